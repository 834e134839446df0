//! The one error that a client can be given: a code, a public message, and the private cause that only the log sees.

use kizuna_protocol::code::Code;
use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

/// What an operation answers when it does not succeed.
#[derive(Clone)]
pub struct Error {
    code: Code,
    message: Cow<'static, str>,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with `code` whose `message` the client reads.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), cause: None }
    }

    /// The request is not well-formed: HTTP 400.
    pub fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    /// What was asked for is not there: HTTP 404.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::NotFound, message)
    }

    /// Somebody else has it: HTTP 409.
    pub fn already_exists(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::AlreadyExists, message)
    }

    /// Known, and not allowed: HTTP 403.
    pub fn permission_denied(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    /// Not known, or no longer: HTTP 401.
    pub fn unauthenticated(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthenticated, message)
    }

    /// A limit is reached; the same call may go through later: HTTP 503.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    /// Our fault: HTTP 500. The cause goes to the log, never to the client.
    pub fn internal(message: impl Into<Cow<'static, str>>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { code: Code::Internal, message: message.into(), cause: Some(Arc::from(cause.into())) }
    }

    /// The code that the client sees.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message that the client sees.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What the log says beside the message.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync)> {
        self.cause.as_deref()
    }

    /// Whether it is our fault rather than the client's: only then does it log as an error.
    pub fn is_ours(&self) -> bool {
        matches!(self.code, Code::Internal | Code::Unknown | Code::DataLoss)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)?;
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {}
