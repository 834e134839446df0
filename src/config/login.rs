//! The sign-in page: its own settings, and the providers that it sends players to.

use super::{document::Secret, sections::section};
use serde::{Deserialize, Serialize};

section! {
    /// The sign-in page (docs/login.md): /bridge/login sends a player's browser to the identity provider, and hands the session to
    /// the game. It is there as soon as there is a client; the development provider is one.
    Login {
        /// Address of this server as browsers see it, such as `https://play.example.com`: https, or http on loopback. Register it
        /// with the provider, followed by /bridge/callback. "" while the server is on loopback: where it listens.
        public_url: String = String::new(),
        /// Where players may be sent once they are signed in: whole addresses of pages (https, or http on loopback), compared byte
        /// by byte. For games on the player's machine: `http://127.0.0.1/path` and `http://[::1]/path`, which stand for any port.
        return_to: Vec<String> = vec!["http://127.0.0.1/callback".into(), "http://[::1]/callback".into()],
        /// Secret from which the keys for cookies and stored refresh tokens are derived, 32 characters or more. "" makes one, in
        /// login.key in data_dir.
        encryption_key: Secret = "".into(),
        /// Seconds that a player may take for signing in at the provider.
        sign_in_sec: u64 = 600,
        /// Finished sign-ins that are remembered until they could not be repeated any more; one more is answered 503, code 14.
        max_finished: usize = 100_000,
        /// How many of these may be of one address (of IPv6: one /64); one more is answered 429, code 8. Many players may share one.
        max_finished_per_address: usize = 10_000,
        /// Seconds that a game may take to exchange the code that it is handed.
        code_sec: u64 = 60,
        /// Codes that wait for their games; one more is answered 503, code 14.
        max_codes: usize = 10_000,
        /// Seconds that a player may take for signing in a device by its code.
        device_sec: u64 = 600,
        /// Seconds that a device must leave between two questions.
        device_poll_sec: u64 = 5,
        /// Devices that wait for their players; one more is answered 503, code 14.
        max_devices: usize = 10_000,
        /// Wrong device codes that one address may type in a minute; one more is answered 429, code 8.
        device_attempts_per_min: u32 = 10,
        /// Milliseconds that one request to a provider may take.
        timeout_ms: u64 = 5_000,
        /// Largest answer of a provider in bytes.
        max_response_bytes: usize = 65_536,
        /// Requests to providers at once; what would need one more is answered 503, code 14.
        max_requests: usize = 64,
        /// Seconds after which a provider's discovery document is read again.
        discovery_refresh_sec: u64 = 3_600,
        /// Seconds for which a session with `renew` is refreshed without asking the provider again.
        renew_every_sec: u64 = 300,
        /// Seconds beyond those for which it is refreshed while the provider cannot be reached; then 503, code 14.
        renew_grace_sec: u64 = 900,
        /// Sign-ins of one player whose refresh tokens are kept; one more ends the oldest.
        max_sign_ins_per_user: usize = 32,
        /// Providers; see [[login.client]] below.
        client: Vec<LoginClient> = Vec::new(),
    }
}

section! {
    /// This server as the client of one identity provider; repeat the section for more. The first is taken where a game names none.
    LoginClient {
        /// Name that games give as `client`: 1 to 32 of a-z, 0-9, - and _.
        name: String = String::new(),
        /// Name of the entry of identity.trust that judges the provider's ID tokens; it must list `issuer` and accept `client_id`.
        entry: String = String::new(),
        /// The provider's issuer, exactly as in its ID tokens; its endpoints are found out from it.
        issuer: String = String::new(),
        /// The client's id at the provider.
        client_id: String = String::new(),
        /// The client's secret, if the provider gave one.
        client_secret: Secret = "".into(),
        /// Scopes to ask for. Providers that give refresh tokens on demand want "offline_access" here.
        scopes: Vec<String> = vec!["openid".into()],
        /// For a provider without discovery: where browsers are sent. Give both endpoints or neither.
        authorization_endpoint: String = String::new(),
        /// For a provider without discovery: where codes are exchanged.
        token_endpoint: String = String::new(),
        /// True: the provider's answer must name its issuer (RFC 9207), even if its discovery document does not promise it.
        require_iss: bool = false,
        /// True: the provider's refresh token is kept, encrypted, and a session is refreshed only while the provider renews it.
        renew: bool = false,
    }
}
