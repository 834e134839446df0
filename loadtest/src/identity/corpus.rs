//! The conformance kit as data: cases, key sets, and the trust entries that a server needs for them.

use super::keys::{TestKeys, encode, rsa_jwk, with};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fmt, fs, path::Path};

/// The kit that this program carries along.
const CARRIED: &str = include_str!("../../../tests/identity/corpus.json");

/// A text that stands in hostile claims and must appear in no account and in no session token.
pub const MARKER: &str = "kit-forbidden";

/// All cases.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Corpus {
    /// What it is, for whoever opens the file.
    pub about: String,
    /// [`MARKER`].
    pub marker: String,
    /// The cases.
    pub cases: Vec<Case>,
}

/// One token and what must become of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Case {
    /// Its name, which is its own.
    pub name: String,
    /// What it shows, in a sentence.
    pub says: String,
    /// The trust entry whose issuer it names or feigns.
    pub entry: String,
    /// The rows of the kit's two tables (README.md) that it belongs to.
    pub rows: Vec<String>,
    /// What must become of it.
    pub expected: Expected,
    /// The subject that an accepted token signs in.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The token.
    pub token: String,
}

/// What must become of a token: accepted, or refused at the step that is named. Over the wire only the first word is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the steps that the kit's README.md explains")]
pub enum Expected {
    Accepted,
    Format,
    Algorithm,
    Signature,
    Expiry,
    Issuer,
    Client,
    Subject,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self {
            Self::Accepted => return f.write_str("accepted"),
            Self::Format => "format",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expiry => "expiry",
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Subject => "subject",
        };
        write!(f, "refused ({step})")
    }
}

impl Corpus {
    /// The kit of `file`, or the one that this program carries along.
    ///
    /// # Errors
    /// The file cannot be read, or is no kit.
    pub fn open(file: Option<&Path>) -> Result<Self, String> {
        let Some(file) = file else { return serde_json::from_str(CARRIED).map_err(|error| error.to_string()) };
        let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
    }
}

/// A trust entry of the kit.
#[derive(Debug)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// `iss`, byte by byte.
    pub issuer: &'static str,
    /// The file of its key set, in the folder `keys`.
    pub key_set: &'static str,
    /// The rest of it, as Kizuna's configuration says it.
    rules: &'static str,
}

/// Access tokens in the shape of Cognito's, three algorithms.
pub const ACCESS: Entry = Entry {
    name: "kit-access",
    issuer: "https://access.kit.example",
    key_set: "access.json",
    rules: "algorithms = [\"RS256\", \"ES256\", \"EdDSA\"]\n\
            audience = { claim = \"client_id\", any_of = [\"game-client\"] }\n\
            token_type = { claim = \"token_use\", equals = \"access\" }\n",
};
/// ID tokens with `aud`, of an issuer whose name ends with a slash.
pub const ID: Entry = Entry {
    name: "kit-id",
    issuer: "https://id.kit.example/",
    key_set: "id.json",
    rules: "algorithms = [\"RS256\"]\n\
            audience = { claim = \"aud\", any_of = [\"game-client\", \"second-client\"] }\n\
            token_type = { claim = \"token_use\", equals = \"id\" }\n",
};
/// Access tokens by RFC 9068: the header says the type, `azp` the client.
pub const TYPED: Entry = Entry {
    name: "kit-typed",
    issuer: "https://typed.kit.example/realms/game",
    key_set: "typed.json",
    rules: "algorithms = [\"ES256\"]\n\
            audience = { claim = \"azp\", any_of = [\"game-client\"] }\n\
            token_type = { header = \"typ\", equals = \"at+jwt\" }\n",
};
/// All of them.
pub const ENTRIES: [&Entry; 3] = [&ACCESS, &ID, &TYPED];

/// The configuration that makes Kizuna trust the kit, its key sets in `folder`.
pub fn trust(folder: &str) -> String {
    "# Trusts the conformance kit, whose private keys are public: never in production.\n\n\
         [identity]\n\
         # However many key ids are unknown, each is looked for at once: every token is judged, and none put off.\n\
         jwks_unknown_key_wait_sec = 0\n"
        .to_owned()
        + &entries(folder)
}

/// The trust entries of [`trust`], to stand below another table `[identity]`.
pub fn entries(folder: &str) -> String {
    let mut text = String::new();
    for Entry { name, issuer, key_set, rules } in ENTRIES {
        text += &format!("\n[[identity.trust]]\nname = \"{name}\"\nissuers = [\"{issuer}\"]\n");
        text += &format!("jwks = {{ file = \"{folder}/keys/{key_set}\" }}\n{rules}");
        // The tokens live for decades, since they are data.
        text += "max_lifetime_sec = 3153600000\naccount_id = \"prefixed\"\n";
    }
    text
}

/// The key set of an entry.
pub fn key_set(entry: &Entry, keys: &TestKeys) -> Value {
    let list = match entry.name {
        "kit-access" => access_keys(keys),
        // The same id as a key of the other issuer, but another key.
        "kit-id" => vec![rsa_jwk("rsa", &keys.other), keys.ec_jwk("ec")],
        _ => vec![keys.ec_jwk("ec")],
    };
    json!({ "keys": list })
}

/// Good keys among many that must not be used, and must do the good ones no harm.
fn access_keys(keys: &TestKeys) -> Vec<Value> {
    let stranger = |kid: &str, change: Value| with(rsa_jwk(kid, &keys.stranger), &change);
    let mut list = vec![
        json!({ "kty": "oct", "kid": "oct", "alg": "HS256", "k": encode("secret") }),
        json!({ "kty": "unheard-of", "kid": "unheard-of" }),
        stranger("encryption", json!({ "use": "enc" })),
        stranger("only-encrypts", json!({ "use": null, "key_ops": ["encrypt"] })),
        stranger("oaep", json!({ "alg": "RSA-OAEP" })),
        stranger("pss", json!({ "alg": "PS256" })),
        stranger("lying", json!({ "alg": "ES256" })),
        stranger("wrong-type", json!({ "kty": "EC" })),
        stranger("without-id", json!({ "kid": null })),
        stranger("numbered", json!({ "kid": 7 })),
        stranger("no-modulus", json!({ "n": null })),
        stranger("no-exponent", json!({ "e": null })),
        stranger("given-away", json!({ "d": "AAAA" })),
        with(keys.ec_jwk("no-y"), &json!({ "y": null })),
        with(keys.ec_jwk("no-curve"), &json!({ "crv": null })),
        with(keys.ec_jwk("other-curve"), &json!({ "crv": "P-384" })),
        with(keys.ec_jwk("off-curve"), &json!({ "y": encode([9; 32]) })),
        with(keys.ed_jwk("x25519"), &json!({ "crv": "X25519" })),
        with(keys.ed_jwk("small-order"), &json!({ "x": encode(SMALL_ORDER_POINT) })),
    ];
    list.extend(keys.weak.iter().map(|weak| weak.jwk.clone()));
    list.extend([
        rsa_jwk("rsa", &keys.rsa),
        with(rsa_jwk("bare", &keys.bare), &json!({ "alg": null, "use": null })),
        keys.ec_jwk("ec"),
        keys.ed_jwk("ed"),
    ]);
    list
}

/// The neutral point of Ed25519: under it one signature fits every message.
pub const SMALL_ORDER_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 1;
    point
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_kit_is_carried_along() {
        let corpus = Corpus::open(None).unwrap();
        let names: BTreeSet<_> = corpus.cases.iter().map(|case| &case.name).collect();
        assert_eq!(names.len(), corpus.cases.len(), "every case has a name of its own");
        assert!(corpus.cases.iter().all(|case| !case.says.is_empty() && !case.rows.is_empty()));
        assert!(corpus.cases.iter().all(|case| (case.expected == Expected::Accepted) != case.subject.is_empty()));
        assert!(corpus.cases.iter().all(|case| ENTRIES.iter().any(|entry| entry.name == case.entry)));
    }
}
