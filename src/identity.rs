//! Who somebody is: our own session tokens.

pub mod session;
