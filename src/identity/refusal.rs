//! Why a token is refused: precise for metrics and the debug log, one and the same for the client.

use super::{VerifiedIdentity, Verifier};
use crate::error::Error;
use std::{fmt, sync::Arc};

/// The step at which a token is refused, in the order in which they are taken. Issuer and client are the fifth step; the
/// subject comes after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Compact form, base64url, bounded JSON, header parameters.
    Format,
    /// The algorithm is one that the entry and the key allow.
    Algorithm,
    /// The key is known and the signature is its.
    Signature,
    /// The times in the token.
    Expiry,
    /// Who issued it. An unknown issuer is refused here although its keys were never looked at: it has none.
    Issuer,
    /// For which client it is, and which kind of token.
    Client,
    /// Whom it names.
    Subject,
    /// What the entry's mapping makes of its claims: variables and tenant.
    Claims,
    /// The nonce that it must bring back.
    Nonce,
    /// Whether it was presented before, where `identity.replay` asks. Judged at the sign-in, after all else.
    Replay,
    /// Whether what it proves still counts.
    Revoked,
}

impl Step {
    /// The steps that a token is taken through by itself, in their order.
    pub const ALL: [Self; 9] = [
        Self::Format,
        Self::Algorithm,
        Self::Signature,
        Self::Expiry,
        Self::Issuer,
        Self::Client,
        Self::Subject,
        Self::Claims,
        Self::Nonce,
    ];

    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Algorithm => "algorithm",
            Self::Signature => "signature",
            Self::Expiry => "expiry",
            Self::Issuer => "issuer",
            Self::Client => "client",
            Self::Subject => "subject",
            Self::Claims => "claims",
            Self::Nonce => "nonce",
            Self::Replay => "replay",
            Self::Revoked => "revoked",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $step:ident, $text:literal;)+) => {
        /// The rule that a token broke.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// The rule in plain words, for the debug log.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// The step to which the rule belongs.
            pub const fn step(self) -> Step {
                match self { $(Self::$name => Step::$step,)+ }
            }
        }
    };
}

reasons! {
    /// Longer than `identity.max_token_bytes`.
    TooLong = Format, "the token is too long";
    /// Not three segments (RFC 7515 section 7.1). Five are an encrypted token.
    Segments = Format, "the token has not three segments";
    /// Not canonical base64url without padding (RFC 7515 section 2).
    Base64 = Format, "a segment is not base64url";
    /// The header is longer than [`super::MAX_HEADER_BYTES`].
    HeaderTooLong = Format, "the header is too long";
    /// Header or payload is not JSON.
    Json = Format, "header or payload is not JSON";
    /// Header or payload is JSON, and no object.
    NotAnObject = Format, "header or payload is not a JSON object";
    /// A name stands twice in one object (RFC 7519 section 4).
    DuplicateName = Format, "a name stands twice";
    /// Nested deeper than [`super::MAX_DEPTH`].
    TooDeep = Format, "the JSON is nested too deep";
    /// More members than [`super::MAX_MEMBERS`].
    TooManyMembers = Format, "the JSON has too many members";
    /// `crit`, or a parameter that brings keys, encryption, compression or another token along.
    HeaderParameter = Format, "the header has a parameter that is never accepted";
    /// `kid` is no string, empty or too long.
    KeyIdForm = Format, "the key id is malformed";
    /// `typ` is no string.
    TypeForm = Format, "the header's type is malformed";
    /// `alg` is missing, malformed, or not among the entry's algorithms.
    Algorithm = Algorithm, "the algorithm is not allowed";
    /// `alg` is not the algorithm of the key.
    KeyAlgorithm = Algorithm, "the algorithm is not the key's";
    /// No `kid`.
    NoKeyId = Signature, "the key id is missing";
    /// The key set has no such key: it was asked for.
    UnknownKey = Signature, "the key is unknown";
    /// The issuer's keys could not be fetched, may not be fetched again yet, or are too old.
    KeysUnavailable = Signature, "the issuer's keys are not available";
    /// The signature is not the key's over these bytes.
    BadSignature = Signature, "the signature is wrong";
    /// The key's own `issuer` (Entra ID) is another.
    KeyIssuer = Signature, "the key signs for another issuer";
    /// More verifications under way than `identity.max_verifications`.
    Busy = Signature, "too many verifications are under way";
    /// A time is missing or no number, or lies outside of what can be.
    TimeForm = Expiry, "a time is missing or malformed";
    /// `exp` is past.
    Expired = Expiry, "the token has expired";
    /// `exp` lies further ahead than `max_lifetime_sec`.
    Lifetime = Expiry, "the token lives too long";
    /// `nbf` is in the future.
    NotYet = Expiry, "the token is not valid yet";
    /// `iat` is in the future.
    IssuedLater = Expiry, "the token was issued in the future";
    /// Older than `max_age_sec`.
    TooOld = Expiry, "the token is too old";
    /// `auth_time` is in the future, where `max_auth_age_sec` is set.
    SignedInLater = Expiry, "the player signed in in the future";
    /// `auth_time` is longer ago than `max_auth_age_sec`.
    SignedInLongAgo = Expiry, "the player signed in too long ago";
    /// `iss` is missing, malformed, or no trusted issuer.
    Issuer = Issuer, "the issuer is not trusted";
    /// `tid` is not the tenant in `iss`.
    IssuerTenant = Issuer, "the issuer is another tenant's";
    /// Another entry judges it than the one that the caller expects.
    OtherEntry = Client, "the token is another trust entry's";
    /// The audience claim is missing, malformed, or names others.
    Audience = Client, "the token is for another client";
    /// `azp` is missing or not one of `authorized_parties`.
    AuthorizedParty = Client, "the token was made for another client";
    /// Another kind of token than the entry asks for, or a security event.
    TokenType = Client, "the token is of another kind";
    /// `sub` is missing, malformed, or has characters that cannot be printed.
    Subject = Subject, "the subject is malformed";
    /// The bare subject cannot be a custom id: not 6 to 128 bytes, or with spaces.
    SubjectUnfit = Subject, "the subject cannot be an account id";
    /// A required claim is not there.
    ClaimMissing = Claims, "a required claim is missing";
    /// A mapped claim has another type than the mapping says, or characters that cannot be kept apart.
    ClaimType = Claims, "a mapped claim has another type";
    /// A mapped claim has none of the values that it may have.
    ClaimValue = Claims, "a mapped claim has a value that is not allowed";
    /// A variable is longer than its `max_bytes`.
    VarTooLong = Claims, "a variable is too long";
    /// All variables together are longer than `identity.max_vars_bytes`.
    VarsTooLong = Claims, "the variables are too long together";
    /// The tenant is missing, malformed, or not one that is believed.
    Tenant = Claims, "the tenant is missing or not believed";
    /// The nonce is missing, not ours, expired, used, or not the expected one.
    Nonce = Nonce, "the nonce is not one that was handed out for this";
    /// More nonces came back than `identity.max_used_nonces`.
    TooManyNonces = Nonce, "too many nonces are remembered";
    /// It has opened a session before, and `identity.replay` lets it open no other.
    Replayed = Replay, "the token was used before";
    /// Older than the end of its player's, sign-in's, tenant's or issuer's sessions.
    Revoked = Revoked, "the token is older than the end of its player's sessions";
    /// An event token lacks `jti`, `events`, or whom it is about, or has what it must not have.
    EventForm = Subject, "the event is malformed";
}

/// Whether the token is at fault, or we.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalKind {
    /// The token is refused: HTTP 401.
    Invalid,
    /// The issuer's keys are not at hand, so nothing is known about the token: HTTP 503.
    KeysUnavailable,
    /// Too many verifications are under way: HTTP 503.
    Busy,
}

impl RefusalKind {
    /// The label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "refused",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Busy => "busy",
        }
    }
}

/// A refused token. Holds nothing of the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that it broke.
    pub reason: Reason,
    /// The trust entry that judged it; `None` while none was found.
    pub entry: Option<Arc<str>>,
    /// `iss`, as configured; `None` while no entry was found.
    pub issuer: Option<Arc<str>>,
}

impl Refusal {
    /// The step at which it was refused.
    pub fn step(&self) -> Step {
        self.reason.step()
    }

    /// Whether the token is at fault, or we.
    pub fn kind(&self) -> RefusalKind {
        match self.reason {
            Reason::KeysUnavailable => RefusalKind::KeysUnavailable,
            Reason::Busy | Reason::TooManyNonces => RefusalKind::Busy,
            _ => RefusalKind::Invalid,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())
    }
}

impl std::error::Error for Refusal {}

impl Verifier {
    /// Counts and notes that `identity`, though verified, is refused: for what only the sign-in could find out, since it takes the
    /// store or the sessions.
    pub fn refuse(&self, identity: &VerifiedIdentity, reason: Reason) -> Refusal {
        let refusal =
            Refusal { reason, entry: Some(Arc::clone(&identity.entry)), issuer: Some(Arc::clone(&identity.issuer)) };
        self.metrics().refused(&refusal);
        let step = refusal.step().as_str();
        tracing::debug!(step, entry = &*identity.entry, reason = %refusal, "identity token refused");
        refusal
    }
}

/// What a client is told of an identity token that is refused, whatever is wrong with it.
pub const IDENTITY_REFUSED: &str = "Identity token refused.";

/// What the client is told: the same for every fault of a token.
impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal.kind() {
            RefusalKind::Invalid => Self::unauthenticated(IDENTITY_REFUSED),
            RefusalKind::KeysUnavailable | RefusalKind::Busy => {
                Self::unavailable("Identity tokens cannot be verified right now.")
            }
        }
    }
}
