//! Sign-in by Apple, Facebook, Game Center, Google and Steam, and their friends: none of them can be configured yet, and a provider that is not
//! configured answers so, after the checks that Nakama makes before it (spec/auth-and-accounts.md section 10).

use super::{Caller, Client, Services};
use crate::error::Error;
use kizuna_protocol::{api, code::Code};

/// What a request has to hold before its provider would be asked.
trait Credentials {
    /// The provider's name.
    const PROVIDER: &'static str;

    /// The first thing that is missing.
    fn missing(&self) -> Option<&'static str>;
}

fn refuse<C: Credentials + Default>(credentials: Option<C>) -> Error {
    match credentials.unwrap_or_default().missing() {
        Some(missing) => Error::invalid_argument(missing),
        None => not_configured::<C>(),
    }
}

fn not_configured<C: Credentials>() -> Error {
    Error::new(Code::FailedPrecondition, format!("{} authentication is not configured.", C::PROVIDER))
}

impl Credentials for api::AccountApple {
    const PROVIDER: &'static str = "Apple";

    /// Nakama asks whether Apple is configured first.
    fn missing(&self) -> Option<&'static str> {
        None
    }
}

impl Credentials for api::AccountSteam {
    const PROVIDER: &'static str = "Steam";

    /// Nakama asks whether Steam is configured first.
    fn missing(&self) -> Option<&'static str> {
        None
    }
}

impl Credentials for api::AccountFacebook {
    const PROVIDER: &'static str = "Facebook";

    fn missing(&self) -> Option<&'static str> {
        self.token.is_empty().then_some("Facebook access token is required.")
    }
}

impl Credentials for api::AccountGoogle {
    const PROVIDER: &'static str = "Google";

    fn missing(&self) -> Option<&'static str> {
        self.token.is_empty().then_some("Google access token is required.")
    }
}

impl Credentials for api::AccountFacebookInstantGame {
    const PROVIDER: &'static str = "Facebook Instant Game";

    fn missing(&self) -> Option<&'static str> {
        self.signed_player_info.is_empty().then_some("Signed Player Info for a Facebook Instant Game is required.")
    }
}

impl Credentials for api::AccountGameCenter {
    const PROVIDER: &'static str = "GameCenter";

    fn missing(&self) -> Option<&'static str> {
        let parts = [
            (self.bundle_id.is_empty(), "GameCenter bundle ID is required."),
            (self.player_id.is_empty(), "GameCenter player ID is required."),
            (self.public_key_url.is_empty(), "GameCenter public key URL is required."),
            (self.salt.is_empty(), "GameCenter salt is required."),
            (self.signature.is_empty(), "GameCenter signature is required."),
            (self.timestamp_seconds == 0, "GameCenter timestamp is required."),
        ];
        parts.into_iter().find_map(|(is_missing, text)| is_missing.then_some(text))
    }
}

/// Finds nobody's friends: Facebook cannot be configured.
///
/// # Errors
/// Always: 400, code 3, without a token; else code 9.
pub async fn import_facebook_friends(
    _services: &Services,
    _caller: &Caller,
    request: api::ImportFacebookFriendsRequest,
) -> Result<(), Error> {
    let account = request.account.unwrap_or_default();
    Err(match account.missing() {
        Some(_) => Error::invalid_argument("Facebook token is required."),
        None => not_configured::<api::AccountFacebook>(),
    })
}

/// Finds nobody's friends: Steam cannot be configured.
///
/// # Errors
/// Always: 400, code 9, which Nakama asks about first.
pub async fn import_steam_friends(
    _services: &Services,
    _caller: &Caller,
    request: api::ImportSteamFriendsRequest,
) -> Result<(), Error> {
    Err(refuse(request.account))
}

/// The operations of one provider, by the names of their RPCs.
macro_rules! provider {
    ($authenticate:ident($authenticate_request:ident), $link:ident($link_request:ident), $account:expr) => {
        /// Signs nobody in: the provider cannot be configured.
        ///
        /// # Errors
        /// Always: 400, code 3, for what is missing; else code 9.
        pub async fn $authenticate(
            _services: &Services,
            _client: &Client,
            request: api::$authenticate_request,
        ) -> Result<api::Session, Error> {
            std::future::ready(Err(refuse(request.account))).await
        }

        /// Links nothing: the provider cannot be configured.
        ///
        /// # Errors
        /// Always: 400, code 3, for what is missing; else code 9.
        pub async fn $link(_services: &Services, _caller: &Caller, request: api::$link_request) -> Result<(), Error> {
            std::future::ready(Err(refuse($account(request)))).await
        }
    };
}

provider!(authenticate_apple(AuthenticateAppleRequest), link_apple(AccountApple), Some);
provider!(authenticate_google(AuthenticateGoogleRequest), link_google(AccountGoogle), Some);
provider!(authenticate_game_center(AuthenticateGameCenterRequest), link_game_center(AccountGameCenter), Some);
provider!(
    authenticate_facebook_instant_game(AuthenticateFacebookInstantGameRequest),
    link_facebook_instant_game(AccountFacebookInstantGame),
    Some
);
provider!(
    authenticate_facebook(AuthenticateFacebookRequest),
    link_facebook(LinkFacebookRequest),
    |request: api::LinkFacebookRequest| request.account
);
provider!(
    authenticate_steam(AuthenticateSteamRequest),
    link_steam(LinkSteamRequest),
    |request: api::LinkSteamRequest| request.account
);
