//! Bytes in, typed calls out.

pub mod provider;
