//! The command line of `loadtest identity`.

use crate::{args::seconds, target::Base};
use clap::{Args, Subcommand, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// What to do with the conformance kit.
#[derive(Debug, Subcommand)]
pub enum IdentityTool {
    /// Writes the kit anew: its cases, key sets and trust entries. The keys stay, and so does every token that did not change.
    Generate(GenerateOptions),
    /// Serves an identity provider that signs in anybody, and misbehaves when told to.
    Provider(ProviderOptions),
    /// Replays the kit against a server, and says of each case whether the answer was right.
    Check(CheckOptions),
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

/// `identity provider`. While it runs, `POST /rotate` (`step=publish`, `sign` or both, `keep=N`), `POST /behaviour` (`key-sets=...`,
/// `discovery=...`) and `GET /counts` steer and show it; `POST /token` (`user`, `use`, `ttl`, `signer`) signs anybody in.
#[derive(Clone, Debug, Args)]
pub struct ProviderOptions {
    /// Where to listen: a loopback address, port 0 for a free one. The issuer is `http://` and this.
    #[arg(long, default_value = "127.0.0.1:7399")]
    pub listen: SocketAddr,
    /// How it behaves at first.
    #[command(flatten)]
    pub told: Told,
}

/// How the provider behaves.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Told {
    /// What becomes of the key set.
    #[arg(long, value_enum, default_value_t = KeySets::Right)]
    pub key_sets: KeySets,
    /// What becomes of the discovery document.
    #[arg(long, value_enum, default_value_t = Discovery::Right)]
    pub discovery: Discovery,
}

/// What a request for the key set gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum KeySets {
    /// The key set.
    #[default]
    Right,
    /// The key set, after two seconds.
    Late,
    /// Nothing, on an open connection.
    Hang,
    /// The key set, a byte every 50 milliseconds.
    Drip,
    /// The key set, and 2,000 other keys in it.
    Crowd,
    /// The key set in 16 MiB.
    Huge,
    /// Status 500.
    Error,
    /// Status 404.
    Missing,
    /// A redirect to the key set of a stranger.
    Redirect,
    /// A page.
    Html,
    /// The key set without its beginning.
    Cut,
    /// `keys` that is no list.
    NoList,
    /// A set without keys.
    Empty,
    /// A broken connection.
    Away,
}

/// What a request for the discovery document gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Discovery {
    /// The document.
    #[default]
    Right,
    /// A document of another issuer.
    WrongIssuer,
    /// A document that leads to the key set of a stranger.
    ForeignKeys,
    /// A page.
    Html,
    /// Status 500.
    Error,
    /// A broken connection.
    Away,
}

/// `identity check`.
#[derive(Clone, Debug, Args)]
pub struct CheckOptions {
    /// Base URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:7350")]
    pub base: Base,
    /// The server key.
    #[arg(long, default_value = "defaultkey")]
    pub server_key: String,
    /// Seconds that one request may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub timeout: Duration,
    /// Only the cases of this trust entry; repeat it for more.
    #[arg(long, value_name = "NAME")]
    pub entry: Vec<String>,
    /// A kit in place of the one that this program carries along.
    #[arg(long, value_name = "FILE")]
    pub corpus: Option<PathBuf>,
    /// Play the provider's misbehaviours too, on this loopback address.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub provider: Option<SocketAddr>,
    /// Leave the cases of the corpus out.
    #[arg(long, requires = "provider")]
    pub only_provider: bool,
    /// Seconds that the server lets pass between two fetches of a key set which unknown keys cause.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1.2")]
    pub key_wait: Duration,
    /// Seconds to wait until the server has found the provider, and found it again after its misbehaviour.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "70")]
    pub patience: Duration,
    /// Print the trust entries that the server needs, and do nothing else.
    #[arg(long)]
    pub print_trust: bool,
    /// Print the cases that failed only.
    #[arg(long)]
    pub quiet: bool,
}
