//! Players who sign in again, and the session tokens that they get. The identity token is one of the conformance kit's.

use crate::server::Still;
use futures_util::FutureExt;
use kizuna::{
    config::{AccountId, Audience, AudienceClaim, Config, KeySource, TokenType, TrustEntry},
    features::{Client, authenticate::authenticate_custom},
    identity::session::SessionClaims,
};
use kizuna_protocol::api;

const WARM_UP: usize = 4;

/// A player who has signed in before.
pub(crate) struct SignIn {
    server: Still,
    id: String,
    request: Option<api::AuthenticateCustomRequest>,
}

impl SignIn {
    pub(crate) fn by_identity_token() -> Self {
        Self::new(Still::start(trust), identity_token())
    }

    pub(crate) fn by_plain_id() -> Self {
        Self::new(Still::start(|_| {}), "player-0123456789abcdef".to_owned())
    }

    fn new(server: Still, id: String) -> Self {
        let mut sign_in = Self { server, id, request: None };
        let created = sign_in.server.wait_for(authenticate_custom(
            sign_in.server.services(),
            &Client::default(),
            sign_in.request(),
        ));
        assert!(created.expect("a new player signs in").created);
        (0..WARM_UP).for_each(|_| {
            sign_in.request = Some(sign_in.request());
            sign_in.run();
        });
        sign_in.request = Some(sign_in.request());
        sign_in
    }

    fn request(&self) -> api::AuthenticateCustomRequest {
        let account = api::AccountCustom { id: self.id.clone(), ..Default::default() };
        api::AuthenticateCustomRequest { account: Some(account), ..Default::default() }
    }

    /// Polled once, without a runtime: whatever it would have to wait for would not be counted.
    pub(crate) fn run(&mut self) -> api::Session {
        let request = self.request.take().expect("one is there");
        let answer = authenticate_custom(self.server.services(), &Client::default(), request).now_or_never();
        answer.expect("nothing to wait for").expect("the player is known")
    }
}

/// A session token that is to be judged.
pub(crate) struct Check {
    sign_in: SignIn,
    token: String,
}

impl Check {
    pub(crate) fn of_identity_token() -> Self {
        Self::new(SignIn::by_identity_token())
    }

    pub(crate) fn of_plain_id() -> Self {
        Self::new(SignIn::by_plain_id())
    }

    fn new(mut sign_in: SignIn) -> Self {
        let token = sign_in.run().token;
        let check = Self { sign_in, token };
        (0..WARM_UP).for_each(|_| drop(check.run()));
        check
    }

    pub(crate) fn run(&self) -> SessionClaims {
        self.sign_in.server.services().tokens.verify_session(&self.token).expect("our own token")
    }
}

/// The entry of tests/identity/trust.toml by which the token is judged.
fn trust(config: &mut Config) {
    config.identity.trust = vec![TrustEntry {
        name: "kit-access".into(),
        issuers: vec!["https://access.kit.example".into()],
        jwks: KeySource::File(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/identity/keys/access.json").into()),
        audience: Audience { claim: AudienceClaim::ClientId, any_of: vec!["game-client".into()] },
        token_type: TokenType { claim: "token_use".into(), equals: "access".into(), ..TokenType::default() },
        max_lifetime_sec: 3_153_600_000,
        account_id: AccountId::Prefixed,
        ..TrustEntry::default()
    }];
}

fn identity_token() -> String {
    let corpus = include_str!("../../tests/identity/corpus.json");
    let corpus: serde_json::Value = serde_json::from_str(corpus).expect("JSON");
    let mut cases = corpus["cases"].as_array().expect("a list").iter();
    let good = cases.find(|case| case["name"] == "good-rs256").expect("a good token");
    good["token"].as_str().expect("text").to_owned()
}
