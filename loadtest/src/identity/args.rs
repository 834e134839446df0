//! The command line of `loadtest identity`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with the conformance kit.
#[derive(Debug, Subcommand)]
pub enum IdentityTool {
    /// Writes the kit anew: its cases, key sets and trust entries. The keys stay, and so does every token that did not change.
    Generate(GenerateOptions),
    /// Prints the trust entries with which a server accepts the kit's good tokens.
    Trust(TrustOptions),
}

/// `identity generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateOptions {
    /// The kit's folder. Where it has no keys, they are made.
    #[arg(default_value = "tests/identity")]
    pub folder: PathBuf,
}

/// `identity trust`.
#[derive(Clone, Debug, Args)]
pub struct TrustOptions {
    /// The kit's folder, as the server will see it.
    #[arg(default_value = "tests/identity")]
    pub folder: PathBuf,
}
