//! The sections of `config.toml`, one type each. The doc text of a key is its text in `config.toml`.

use super::{document::Secret, trust::TrustEntry};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Declares a section once: the type, its defaults, and what `config.toml` says of each key.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident { $($(#[doc = $doc:literal])+ $key:ident : $type:ty = $default:expr),* $(,)? }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[doc = $doc])+ pub $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)* }
            }
        }

        impl $crate::config::Documented for $name {
            const ABOUT: &'static str = concat!($($about, "\n"),+);
            const KEYS: &'static [(&'static str, &'static str)] =
                &[$(($crate::config::sections::key_name(stringify!($key)), concat!($($doc, "\n"),+)),)*];
        }
    };
}
pub(super) use section;

/// A raw identifier's name without its mark: `r#match` is the key `match`.
pub(super) const fn key_name(written: &'static str) -> &'static str {
    match written.as_bytes() {
        [b'r', b'#', ..] => written.split_at(2).1,
        _ => written,
    }
}

section! {
    /// HTTP and WebSocket: where the server listens, and its limits.
    Socket {
        /// Address to listen on. Other than loopback asks for keys of your own in place of the default ones.
        address: String = "127.0.0.1".into(),
        /// Port of HTTP and WebSocket; 0 takes a free one.
        port: u16 = 7350,
        /// Key that clients present as Basic user name to sign in. It is in every client: it keeps strays out, nothing more.
        server_key: Secret = "defaultkey".into(),
        /// Connections open at once, sockets included; one more is closed at once.
        max_connections: usize = 32_768,
        /// HTTP requests in work at once, each from the end of its body; one more is answered 503, code 14. Not counted:
        /// /healthcheck and sockets.
        max_requests_in_flight: usize = 1024,
        /// Largest HTTP body in bytes as sent, and again once inflated; larger is answered 400, code 3 (429, code 8).
        max_request_size_bytes: usize = 262_144,
        /// Largest request line with headers, in bytes, 8192 or more; larger is answered 431.
        max_header_size_bytes: usize = 9_216,
        /// Milliseconds for the whole head of a request, and again for its body.
        read_timeout_ms: u64 = 10_000,
        /// Milliseconds that a connection may stay open between requests.
        idle_timeout_ms: u64 = 60_000,
        /// Milliseconds that a request may take, from its head to its answer; longer is answered 504, code 4.
        request_timeout_ms: u64 = 30_000,
        /// Headers added to every response, as "Name: value".
        response_headers: Vec<String> = Vec::new(),
        /// Proxies in front of the server whose X-Forwarded-For entry is believed.
        proxy_count: usize = 1,
        /// Largest message that a client may send over a socket, in bytes; larger closes it with 1009.
        max_message_size_bytes: usize = 4_096,
        /// Milliseconds between pings of the server; less than pong_wait_ms.
        ping_period_ms: u64 = 15_000,
        /// Milliseconds after which a silent client is taken for lost.
        pong_wait_ms: u64 = 25_000,
        /// Messages received that count as a sign of life.
        ping_backoff_threshold: u32 = 20,
        /// Milliseconds that one write to a client may take before the client is closed as too slow.
        write_wait_ms: u64 = 5_000,
        /// Milliseconds to wait for the client's close frame after the server's.
        close_ack_wait_ms: u64 = 2_000,
        /// Messages that may wait for one client; one more closes it as too slow.
        outgoing_queue_size: usize = 8_192,
        /// Bytes that may wait for one client; more closes it as too slow.
        outgoing_queue_bytes: usize = 1_048_576,
        /// Read buffer of each socket in bytes.
        read_buffer_size_bytes: usize = 1_024,
        /// Bytes gathered before they are written to a socket.
        write_buffer_size_bytes: usize = 16_384,
        /// Sign-ins that one address (of IPv6: one /64) may make in a minute; more are answered 429, code 8, with the seconds to
        /// wait. 0: no limit. Set it where the server sees its clients' own addresses (see proxy_count).
        sign_ins_per_address_per_min: u32 = 0,
        /// Sign-ins that an address may make at once before that rate holds.
        sign_in_burst: u32 = 20,
        /// Addresses to remember for that; while all are taken, a new one is answered as if it had come too often.
        max_sign_in_addresses: usize = 65_536,
        /// Sockets that one user may hold at once; one more is refused with 429.
        max_sockets_per_user: usize = 64,
        /// Threads that serve sockets, and nothing else, 1 to 1024; 0: one for every two processors.
        threads: usize = 0,
        /// How far threads that serve requests yield to those that serve sockets, so that play does not wait for logins: what is added to
        /// their nice value, 0 (not at all) to 19. Linux only.
        request_nice: u8 = 10,
    }
}

/// What signs session tokens (RFC 7518 section 3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the variants are the RFC's words")]
pub enum Signing {
    HS256,
    ES256,
    EdDSA,
}

/// A key of session tokens in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// PEM: PKCS #8, or a public key that only verifies.
    pub file: PathBuf,
    /// When it begins to sign, in seconds since 1970; it is published and believed at once.
    #[serde(default)]
    pub not_before_unix: i64,
}

section! {
    /// Session tokens: Nakama's claims, signed by HMAC-SHA256 unless said otherwise.
    Session {
        /// Key that signs session tokens. Change it before the server can be reached from outside.
        encryption_key: Secret = "defaultencryptionkey".into(),
        /// Keys that signed session tokens earlier and are still believed: put the old key here when you change it.
        previous_encryption_keys: Vec<Secret> = Vec::new(),
        /// What signs session tokens: "HS256" as with Nakama, or "ES256" or "EdDSA", whose public keys others find at
        /// /.well-known/jwks.json. Refresh and match tokens stay under HS256.
        signing: Signing = Signing::HS256,
        /// Keys of "ES256" and "EdDSA": { file = "key.pem", not_before_unix = 0 }. All are published and believed; of those of
        /// the algorithm above, the one that has begun last signs. Empty: one that is made and kept in data_dir.
        signing_keys: Vec<SigningKey> = Vec::new(),
        /// True: with "ES256" or "EdDSA", session tokens under encryption_key are believed too: those from before the change.
        accept_hs256: bool = true,
        /// The claim `iss` of session tokens under "ES256" and "EdDSA", and of what introspection answers; "" leaves it out.
        issuer: String = String::new(),
        /// The claim `aud` of session tokens under "ES256" and "EdDSA"; "" leaves it out.
        audience: String = String::new(),
        /// Keys of services that may ask what a session token says, at /v2/session/introspect, 16 bytes or more each. Without one
        /// that route is not there.
        introspection_keys: Vec<Secret> = Vec::new(),
        /// Seconds that a session token is good for.
        token_expiry_sec: u64 = 60,
        /// Key that signs refresh tokens; another than encryption_key.
        refresh_encryption_key: Secret = "defaultrefreshencryptionkey".into(),
        /// Keys that signed refresh tokens earlier and are still believed.
        previous_refresh_encryption_keys: Vec<Secret> = Vec::new(),
        /// Seconds that a refresh token is good for.
        refresh_token_expiry_sec: u64 = 3_600,
        /// True: a refresh token is good for one refresh. Its second use ends the session, since somebody else has a copy; see
        /// docs/sessions.md. False: it stays good until it expires, as with Nakama.
        refresh_rotation: bool = true,
        /// Seconds for which a refresh token that was used is still answered: its answer may have been lost.
        refresh_grace_sec: u64 = 30,
        /// Refreshed sessions to remember until their refresh tokens expire; the first refresh of one more is answered 503, code 14.
        max_refresh_chains: usize = 1_000_000,
        /// Seconds since the player proved who it is (to the identity provider, else here) after which a session ends however often
        /// it is refreshed; 0: no such end.
        max_chain_sec: u64 = 0,
        /// Longest session token in bytes, 1024 or more: it travels in addresses and headers. A sign-in or refresh that would make a
        /// longer one is answered 400: code 3 where the client's variables are too large, code 9 where claims of the identity token are.
        max_token_bytes: usize = 2_048,
        /// Bytes of a session token from which on one is warned of, in the log, once a minute at most; 0: never.
        warn_token_bytes: usize = 1_024,
        /// Session variables that a client may set at once; more are answered 400, code 3.
        max_vars: usize = 64,
        /// Bytes of one such variable, name and value together; more are answered 400, code 3.
        max_var_bytes: usize = 1_024,
        /// Logged-out tokens, users and groups, and event tokens to remember until they have expired; one more log-out, ban,
        /// deletion, event, or sign-in with single_session, is answered 503, code 14.
        max_revoked_tokens: usize = 1_000_000,
        /// True: a user's newest socket closes the older ones.
        single_socket: bool = false,
        /// True: joining a match leaves the others; asks for single_socket.
        single_match: bool = false,
        /// True: joining a party leaves the others; asks for single_socket.
        single_party: bool = false,
        /// True: signing in ends the user's earlier tokens.
        single_session: bool = false,
        /// True: sockets whose session is logged out are closed, with code 4402. False: they live on, as with Nakama.
        close_on_logout: bool = true,
        /// True: a socket is closed with 4401 when its session token ends, unless the token's chain is refreshed or a new token is
        /// sent over the socket before that (docs/connection.md). False, as in Nakama: a token is looked at when a socket opens.
        close_on_expiry: bool = false,
        /// With close_on_expiry: seconds before the end at which the client is told of it; 0 tells it nothing.
        expiry_warning_sec: u64 = 20,
        /// Seconds that a ticket for a socket is good for.
        ticket_expiry_sec: u64 = 30,
        /// Tickets that wait to be used; one more is answered 503, code 14.
        max_tickets: usize = 100_000,
        /// Tickets of one user that wait to be used; one more is answered 429, code 8.
        max_tickets_per_user: usize = 16,
    }
}

section! {
    /// The embedded store (SQLite, in data_dir).
    Store {
        /// File name of the database inside data_dir.
        file: String = "kizuna.db".into(),
        /// Connections for reading.
        read_connections: usize = 4,
        /// Writes that may wait for the writer; one more is answered 503, code 14.
        write_queue_size: usize = 16_384,
        /// Writes committed together at most.
        group_commit_size: usize = 512,
        /// Milliseconds to wait for a database file that another program has locked.
        busy_timeout_ms: u64 = 2_000,
        /// Memory for database pages of each connection, in KiB.
        cache_size_kib: u32 = 16_384,
    }
}

section! {
    /// Identity tokens: JSON Web Tokens that players get from an identity provider and post as `account.id` to
    /// /v2/account/authenticate/custom. As soon as an entry is trusted here, a custom id that is not such a token is refused.
    Identity {
        /// What becomes of an identity token that is presented once more: "off" takes it as often as it comes while it is good;
        /// "idempotent" answers the same session as before for replay_window_sec, for clients whose first answer was lost, and then
        /// refuses it; "strict" refuses it. Signing in and linking ask; both modes cost one durable write for each.
        replay: Replay = Replay::Off,
        /// With replay = "idempotent": seconds after the first use, 1 to 3600.
        replay_window_sec: u64 = 30,
        /// With replay: used tokens to remember until they expire; one more is answered 503, code 14.
        max_replay_tokens: usize = 1_000_000,
        /// Longest identity token in bytes.
        max_token_bytes: usize = 8_192,
        /// Length in bytes from which an accepted token is counted as large, and warned of at most once a minute: the provider
        /// puts too much into it (docs/tokens.md). 0 never warns.
        warn_token_bytes: usize = 4_096,
        /// Bytes that all session variables of one player that come from claims may have, names included; more refuses the token.
        /// They travel in every session token, and so in the address of every socket.
        max_vars_bytes: usize = 1_024,
        /// Seconds in which a nonce of POST /bridge/nonce must come back in an identity token.
        nonce_lifetime_sec: u64 = 300,
        /// Nonces remembered as used until they expire; one more sign-in by nonce is answered 503, code 14.
        max_used_nonces: usize = 100_000,
        /// Signatures checked at once, and sign-ins that wait for keys at once; one more of a kind is answered 503, code 14.
        max_verifications: usize = 256,
        /// Seconds after which a key set is fetched anew in the background.
        jwks_refresh_sec: u64 = 600,
        /// Seconds after which a key set that could not be fetched anew is no longer believed.
        jwks_max_age_sec: u64 = 86_400,
        /// Largest key set in bytes.
        jwks_max_bytes: usize = 262_144,
        /// Most keys that are taken from one key set.
        jwks_max_keys: usize = 64,
        /// Milliseconds that fetching a key set may take.
        jwks_timeout_ms: u64 = 3_000,
        /// Seconds between two fetches that unknown key ids may cause; after a quiet time there may be two at once. Meanwhile a token
        /// with another unknown key id is answered 503, code 14.
        jwks_unknown_key_wait_sec: u64 = 10,
        /// Allow key sets over plain http from this machine (loopback addresses only).
        jwks_allow_loopback_http: bool = false,
        /// Oldest log-out token or security event token that is taken, in seconds since its `iat`. Its id is remembered for as long.
        event_max_age_sec: u64 = 86_400,
        /// Trust entries; see [[identity.trust]] below.
        trust: Vec<TrustEntry> = Vec::new(),
    }
}

/// What becomes of an identity token that is presented once more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Replay {
    #[default]
    Off,
    Idempotent,
    Strict,
}

section! {
    /// Tenants: players of one never meet, see or find players of another (docs/tenants.md).
    Tenancy {
        /// True: every session belongs to the tenant that its identity token names (`tenant` of a trust entry). Who has none
        /// cannot sign in, and custom ids, by identity token, are the only way to.
        enabled: bool = false,
    }
}

section! {
    /// A small identity provider for trying things out: signs in anybody under any name. It listens on the loopback interface
    /// only, and the server trusts it only while it is itself on loopback. Turn it off in production.
    DevProvider {
        /// True: start it, and trust it.
        enabled: bool = true,
        /// Loopback address to listen on.
        address: String = "127.0.0.1".into(),
        /// Port; 0 takes a free one.
        port: u16 = 7352,
        /// Seconds that its tokens are good for.
        token_expiry_sec: u64 = 3_600,
    }
}

section! {
    /// Hooks around authentication, the linking of custom ids, and the messages of sockets (docs/hooks.md). Built in: "bridge"
    /// (identity tokens, see `[identity]`) and every webhook by its name. Programs that embed the server register hooks of their
    /// own.
    Hooks {
        /// What runs before, in this order. The bridge must be here when `[identity]` trusts anybody.
        before: Vec<String> = vec!["bridge".into()],
        /// What runs after, in this order, once the account is on disk.
        after: Vec<String> = Vec::new(),
        /// What runs before messages of sockets, in this order.
        realtime_before: Vec<String> = Vec::new(),
        /// What runs after messages of sockets that were served without an error, in this order.
        realtime_after: Vec<String> = Vec::new(),
        /// Milliseconds for all hooks before one message, and again for all after it. Who takes longer before it refuses the
        /// message; after it, is cut off.
        realtime_timeout_ms: u64 = 5_000,
        /// What "after" webhooks are still to be told of messages; beyond it they are not told, which
        /// `kizuna_messages_told_total` counts as dropped.
        realtime_queue_size: usize = 4_096,
        /// The same in bytes.
        realtime_queue_bytes: usize = 16_777_216,
        /// Webhooks; see [[hooks.webhook]] below.
        webhook: Vec<Webhook> = Vec::new(),
        /// Notices to "after" webhooks that may wait for delivery; beyond it signing in is answered 503, code 14.
        outbox_size: usize = 100_000,
        /// Notices that are being delivered at once, and again what webhooks are told of messages.
        max_deliveries: usize = 16,
    }
}

section! {
    /// A web address that is asked before, or told after, an authentication; list its name in hooks.before or hooks.after. One
    /// with `messages` is asked and told of messages of sockets instead; list it in hooks.realtime_before or
    /// hooks.realtime_after.
    Webhook {
        /// Name for the lists above.
        name: String = String::new(),
        /// "before" asks and waits; "after" tells, with retries (of messages: without).
        stage: WebhookStage = WebhookStage::Before,
        /// Messages of sockets that it is about, such as "match_create"; none: sign-ins.
        messages: Vec<String> = Vec::new(),
        /// Address to POST to; https, or http on loopback.
        url: String = String::new(),
        /// Value of the Authorization header to send; "" sends none.
        authorization: Secret = "".into(),
        /// Milliseconds to wait for the answer. A "before" hook that does not answer refuses.
        timeout_ms: u64 = 2_000,
        /// Largest answer in bytes.
        max_response_bytes: usize = 65_536,
        /// "after": tries before a notice is given up.
        max_attempts: u32 = 20,
        /// "after": milliseconds before the second try; doubled each time, up to ten minutes.
        retry_ms: u64 = 1_000,
    }
}

/// When a webhook is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum WebhookStage {
    Before,
    After,
}

section! {
    /// Passwords of email accounts: bcrypt, as Nakama stores them.
    Password {
        /// Cost of new hashes, 10 to 15; each step doubles the time.
        bcrypt_cost: u32 = 11,
        /// Hashes computed at once, away from the threads that serve sockets; 0 takes half of the processors.
        max_concurrent: usize = 0,
        /// Requests that may wait for a hash; one more is answered 503, code 14.
        queue_size: usize = 256,
    }
}

section! {
    /// Relayed matches.
    Match {
        /// Matches that one socket may be in at once.
        max_per_session: usize = 128,
        /// Players in one match. Who joins is sent all of them at once, some 150 bytes each.
        max_size: usize = 1_024,
    }
}

section! {
    /// Calls from other servers.
    Runtime {
        /// Key for /v2/rpc calls without a session.
        http_key: Secret = "defaulthttpkey".into(),
    }
}

section! {
    /// Prometheus metrics, on a port of their own. Nobody is asked for credentials there: keep it inside.
    Metrics {
        /// True: serve them.
        enabled: bool = true,
        /// Address to listen on.
        address: String = "127.0.0.1".into(),
        /// Port; 0 takes a free one.
        port: u16 = 7354,
    }
}

section! {
    /// What servers of yours and identity providers tell the bridge (docs/revocation.md).
    Bridge {
        /// Key for POST /bridge/revoke, as Authorization: Bearer. Empty: that route answers 404.
        admin_key: Secret = "".into(),
    }
}

section! {
    /// The audit log: sign-ins, refusals, ended sessions; one JSON object a line. It names users, trust entries and addresses,
    /// and never holds a token or a claim.
    Audit {
        /// True: keep it.
        enabled: bool = true,
        /// File name inside data_dir; older ones stand beside it as file.1, file.2 and so on.
        file: String = "audit.log".into(),
        /// Bytes after which a new file is begun.
        max_bytes: u64 = 67_108_864,
        /// Older files to keep.
        keep_files: u32 = 5,
        /// Events that may wait to be written; more are dropped and counted in kizuna_audit_dropped.
        queue_size: usize = 16_384,
    }
}

section! {
    /// Logs, on standard error.
    Logger {
        /// Lowest level that is logged: "error", "warn", "info", "debug" or "trace".
        level: String = "info".into(),
        /// "text" for people, "json" for machines.
        format: String = "text".into(),
        /// True: one line for each request, with what it cost.
        requests: bool = true,
    }
}
