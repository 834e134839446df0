//! The command line.

mod scenarios;

use crate::{
    growth::args::GrowthOptions,
    identity::args::IdentityTool,
    payload::{Format, MARK_BYTES},
    rig::args::MeasureOptions,
    target::Base,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use scenarios::*;
use serde::Serialize;
use std::{path::PathBuf, time::Duration};

/// A load harness for Nakama-compatible servers.
///
/// Figures go to standard output when a run is over, progress to standard error. Exit status: 0 when nothing failed and nothing
/// was lost, 1 when something was, 2 when the run could not be made.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The sub-commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Signs players in: new ones, returning ones, or first the one and then the other.
    Login(LoginOptions),
    /// Reads players' own accounts.
    Account(AccountOptions),
    /// Opens sockets and holds them.
    Connect(ConnectOptions),
    /// Plays relayed matches.
    Match(MatchOptions),
    /// Logins, account reads, idle sockets and matches at the same time.
    Mix(MixOptions),
    /// Forms parties, has their members talk, and dissolves them.
    Party(PartyOptions),
    /// Has players matched again and again, who then meet and exchange data.
    Matchmaker(MatchmakerOptions),
    /// Players come, play, leave, are cut off and come back, while the server's memory is watched.
    Churn(ChurnOptions),
    /// Everything at once for a long time, while the server is stopped and started, and its identity provider rotates its keys.
    Endure(EndureOptions),
    /// Signs players in while their identity provider rotates its keys again and again.
    Rotate(RotateOptions),
    /// Signs players in while others present bad tokens as fast as they can.
    Flood(FloodOptions),
    /// Plays relayed matches while hostile clients do what they can.
    Hostile(HostileOptions),
    /// Plays relayed matches while returning players sign in as fast as the server answers.
    Beside(BesideOptions),
    /// Writes a fresh RSA key (private.pem) and its key set (jwks.json) to a folder.
    Keys(KeysOptions),
    /// Measures every row of the table of speeds, Kizuna and the floor in turn, several rounds. Starts the servers itself.
    Measure(MeasureOptions),
    /// Prints the figures of two runs and their ratios.
    Compare(CompareOptions),
    /// Starts Kizuna again and again, measures how its costs grow with what it serves, and draws that.
    Growth(GrowthOptions),
    /// Shows whether a server verifies identity tokens rightly: the conformance kit, and a provider that misbehaves.
    #[command(subcommand)]
    Identity(IdentityTool),
}

/// What all scenarios share.
#[derive(Clone, Debug, Args, Serialize)]
pub struct Common {
    /// Base URL of the server.
    #[arg(long, default_value = "http://127.0.0.1:7350")]
    #[serde(skip)]
    pub base: Base,
    /// The server key.
    #[arg(long, default_value = "defaultkey")]
    #[serde(skip)]
    pub server_key: String,
    /// Threads of the harness; 0 takes one for each processor. One costs the machine least, and is enough for a few hundred
    /// thousand messages a second.
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Loopback addresses to connect from; 0 takes another for every 10,000 connections.
    #[arg(long, default_value_t = 0)]
    pub sources: usize,
    /// Seconds that one connection, request or handshake may take.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub timeout: Duration,
    /// Process of the server on this machine, to measure its cost; repeat for others, such as its database.
    #[arg(long, value_name = "PID")]
    #[serde(skip)]
    pub pid: Vec<u32>,
    /// File to write the figures to, as JSON.
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub out: Option<PathBuf>,
    /// Say nothing while running.
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
    /// Start of all custom ids and user names. Without it each run has players of its own.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub prefix: String,
    /// Who the players are.
    #[command(flatten)]
    pub identity: IdentityOptions,
}

/// Who the players are; plain custom ids when nothing is said.
#[derive(Clone, Debug, Args, Serialize)]
#[command(next_help_heading = "Identity tokens")]
pub struct IdentityOptions {
    /// Sign RS256 tokens with this private key (PEM), or with a fresh one: "generate".
    #[arg(long, value_name = "FILE|generate")]
    pub jwt_key: Option<String>,
    /// Write the key set of --jwt-key to this file.
    #[arg(long, value_name = "FILE", requires = "jwt_key")]
    #[serde(skip)]
    pub jwks_out: Option<PathBuf>,
    /// Key id in the header; without it the one that `keys` writes for this key.
    #[arg(long, requires = "jwt_key")]
    #[serde(skip)]
    pub kid: Option<String>,
    /// Claim `iss`.
    #[arg(long, default_value = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_loadtest")]
    pub issuer: String,
    /// Claim `client_id`, or `aud` of an id token.
    #[arg(long, default_value = "loadtest")]
    pub client_id: String,
    /// Claim `token_use`.
    #[arg(long, value_enum, default_value_t = TokenUse::Access)]
    pub token_use: TokenUse,
    /// Seconds from `iat` to `exp`.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3600")]
    pub token_lifetime: Duration,
    /// Take the players' ids or tokens from this file, one a line.
    #[arg(long, value_name = "FILE", conflicts_with = "jwt_key")]
    pub tokens: Option<PathBuf>,
    /// Ask an identity provider for tokens: its URL, in which {name} stands for the player. The answer is JSON with
    /// access_token or id_token, as --token-use says.
    #[arg(long, value_name = "URL", conflicts_with_all = ["jwt_key", "tokens"])]
    pub mint: Option<String>,
    /// Form to POST to --mint, in which {name} stands for the player; an empty one makes it a GET.
    #[arg(long, value_name = "FORM", default_value = "user={name}")]
    pub mint_body: String,
}

/// Which of Cognito's two tokens to present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenUse {
    /// Names the client in `client_id`.
    Access,
    /// Names the client in `aud`.
    Id,
}

impl TokenUse {
    /// The value of the claim.
    pub fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Id => "id",
        }
    }
}

/// `keys`.
#[derive(Clone, Debug, Args)]
pub struct KeysOptions {
    /// Folder to write to; made when it is not there.
    pub folder: PathBuf,
}

/// `compare`.
#[derive(Clone, Debug, Args)]
pub struct CompareOptions {
    /// Figures of the first run, which the ratios are relative to.
    pub a: PathBuf,
    /// Figures of the second run.
    pub b: PathBuf,
}

/// Formats of a run's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Formats {
    /// All JSON.
    Json,
    /// All protobuf.
    Protobuf,
    /// In turn.
    Mixed,
}

impl Formats {
    /// The format of player `number`.
    pub fn of(self, number: u64) -> Format {
        match self {
            Self::Json => Format::Json,
            Self::Protobuf => Format::Protobuf,
            Self::Mixed if number.is_multiple_of(2) => Format::Json,
            Self::Mixed => Format::Protobuf,
        }
    }
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    let length = seconds(text)?;
    if length.is_zero() { Err("longer than 0".into()) } else { Ok(length) }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = rate_or_none(text)?;
    if rate > 0.0 { Ok(rate) } else { Err("a rate is above 0".into()) }
}

fn rate_or_none(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=1e7).contains(&rate) { Ok(rate) } else { Err("a rate is at most 10000000 a second".into()) }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is between 0 and 1".into()) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().map_err(|error| error.to_string())?;
    if number > 0 { Ok(number) } else { Err("at least 1".into()) }
}

fn payload_bytes(text: &str) -> Result<usize, String> {
    let size = text.parse::<usize>().map_err(|error| error.to_string())?;
    if size >= MARK_BYTES {
        Ok(size)
    } else {
        Err(format!("at least {MARK_BYTES}: number, sender and time of sending"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Arguments::try_parse_from(std::iter::once("loadtest").chain(line.split_whitespace())).map(|args| args.command)
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_scenario_has_defaults() {
        for line in [
            "login",
            "account",
            "connect",
            "match",
            "mix",
            "party",
            "matchmaker",
            "churn",
            "flood",
            "beside",
            "connect --matches-of 4 --most-match-bytes 4096",
            "churn --visits 100000",
            "endure --kizuna kizuna --data-dir folder",
            "rotate --provider 127.0.0.1:1",
            "keys folder",
            "measure",
            "compare a b",
            "growth",
        ] {
            parse(line).unwrap();
        }
    }

    #[test]
    fn options_are_understood() {
        let Command::Match(options) =
            parse("match --matches 2 --players 3 --rate 0.5 --format mixed --duration 1.5").unwrap()
        else {
            panic!("not a match")
        };
        let play = &options.play;
        assert_eq!((play.matches, play.players, play.duration), (2, 3, Duration::from_millis(1500)));
        assert_eq!((play.format.of(0), play.format.of(1)), (Format::Json, Format::Protobuf));
        let Command::Login(options) =
            parse("login --base http://127.0.0.1:9 --jwt-key generate --pid 1 --pid 2").unwrap()
        else {
            panic!("not a login")
        };
        assert_eq!((options.common.pid.as_slice(), options.rate), (&[1, 2][..], None));
        assert_eq!(options.common.identity.jwt_key.as_deref(), Some("generate"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "match --window 8 --rate 20",
            "match --players 1",
            "match --bytes 17",
            "match --rate 0",
            "login --connections 0",
            "account --players 0",
            "login --tokens a --jwt-key b",
            "login --kid x",
            "connect --hold -1",
            "mix --new-share 2",
            "rotate",
            "beside --connections 0",
            "connect --matches-of 1",
            "connect --most-match-bytes 1",
            "endure --data-dir folder",
            "endure --kizuna kizuna --data-dir folder --config file",
            "endure --kizuna kizuna --data-dir folder --growth 2",
            "rotate --rotate-url http://x/rotate",
            "flood --keep 2",
            "party --members 1",
            "matchmaker --group 1",
            "churn --drops 2",
            "churn --bytes 17",
            "measure --rounds 0",
            "measure --rows sockets --write page.md",
            "measure --against a --floor b",
            "churn --visits 0",
            "churn --visits 10 --duration 10",
            "login --base https://x",
            "growth --rounds 0",
            "growth --curves parabola",
            "growth --from a.json",
            "growth --from a.json --out b.json --draw c",
            "",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_server_key_is_not_among_the_settings_that_are_written_to_a_file() {
        let Command::Login(options) = parse("login --server-key secretvalue").unwrap() else { panic!("not a login") };
        assert!(!serde_json::to_string(&options).unwrap().contains("secretvalue"));
    }
}
