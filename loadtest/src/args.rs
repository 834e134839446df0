//! The command line.

use crate::{
    identity::args::IdentityTool,
    payload::{Format, MARK_BYTES},
    target::Base,
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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
    /// Signs players in while their identity provider rotates its keys again and again.
    Rotate(RotateOptions),
    /// Signs players in while others present bad tokens as fast as they can.
    Flood(FloodOptions),
    /// Plays relayed matches while hostile clients do what they can.
    Hostile(HostileOptions),
    /// Writes a fresh RSA key (private.pem) and its key set (jwks.json) to a folder.
    Keys(KeysOptions),
    /// Prints the figures of two runs and their ratios.
    Compare(CompareOptions),
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

/// `login`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct LoginOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Logins of each pass.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Players that the returning pass goes round; 0 means as many as logins.
    #[arg(long, default_value_t = 0)]
    pub players: u64,
    /// Logins a second; without it as fast as the connections allow.
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Kept-alive connections.
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    pub connections: usize,
    /// Measure players who sign in for the first time. With neither --new nor --returning both are measured.
    #[arg(long)]
    pub new: bool,
    /// Measure players who have signed in before.
    #[arg(long)]
    pub returning: bool,
}

/// `connect`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct ConnectOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Sockets to open.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Sockets to open a second; without it as fast as the server answers.
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Seconds to hold them open.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub hold: Duration,
    /// Handshakes under way at once.
    #[arg(long, default_value_t = 64, value_parser = at_least_one)]
    pub opening: usize,
    /// Format of the sockets.
    #[arg(long, value_enum, default_value_t = Formats::Json)]
    pub format: Formats,
}

/// What is played in matches.
#[derive(Clone, Debug, Args, Serialize)]
pub struct Play {
    /// Matches at once.
    #[arg(long, default_value_t = 50)]
    pub matches: u32,
    /// Players of each match.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    pub players: u16,
    /// Messages that each player sends a second.
    #[arg(long, value_parser = rate, default_value = "20")]
    pub rate: f64,
    /// Bytes of data in each message.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Format of the sockets; mixed has both in each match.
    #[arg(long, value_enum, default_value_t = Formats::Json)]
    pub format: Formats,
    /// Seconds that are measured.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub duration: Duration,
    /// Seconds before that, which are not.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    pub warmup: Duration,
    /// Seconds to wait at the end for messages under way.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub drain: Duration,
}

/// `match`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct MatchOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// What is played.
    #[command(flatten)]
    pub play: Play,
    /// As fast as it goes with so many undelivered messages of each player, instead of --rate.
    #[arg(long, conflicts_with = "rate", value_parser = clap::value_parser!(u64).range(1..))]
    pub window: Option<u64>,
}

/// `mix`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct MixOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// What is played.
    #[command(flatten)]
    pub play: Play,
    /// Logins a second; 0 for none.
    #[arg(long, default_value_t = 200.0, value_parser = rate_or_none)]
    pub logins: f64,
    /// Share of the logins that are of new players, 0 to 1.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub new_share: f64,
    /// Account reads a second; 0 for none.
    #[arg(long, default_value_t = 500.0, value_parser = rate_or_none)]
    pub accounts: f64,
    /// Sockets that only wait.
    #[arg(long, default_value_t = 1_000)]
    pub idle: u64,
    /// Kept-alive connections for each kind of request.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub connections: usize,
}

/// `party`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct PartyOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Parties at once.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub parties: u32,
    /// Members of each party.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub members: u16,
    /// Parties that form, or dissolve, at the same time.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub forming: usize,
    /// Messages that each member sends a second.
    #[arg(long, value_parser = rate, default_value = "10")]
    pub rate: f64,
    /// Bytes of data in each message.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Format of the sockets; mixed has both in each party.
    #[arg(long, value_enum, default_value_t = Formats::Json)]
    pub format: Formats,
    /// Seconds for which they talk.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub duration: Duration,
    /// Seconds to wait at the end for messages under way.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub drain: Duration,
}

/// `matchmaker`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct MatchmakerOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Players, each with one ticket at a time.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(2..))]
    pub players: u64,
    /// Players of each match.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub group: u16,
    /// Regions that the players are spread over: only those of one region may meet.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub regions: u64,
    /// How far the skills, from 0 to 100, of two players who meet may lie apart.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub range: u32,
    /// Messages that each player sends in a match.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub messages: u32,
    /// Bytes of data in each message.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Format of the sockets; mixed has both.
    #[arg(long, value_enum, default_value_t = Formats::Json)]
    pub format: Formats,
    /// Seconds in which tickets are asked for. The server makes matches every few seconds (15 by default): several times that.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub duration: Duration,
    /// Seconds that a ticket may wait. Who is still waiting at the end of the run is no fault if it has been less.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub patience: Duration,
}

/// `churn`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct ChurnOptions {
    /// What all scenarios share. With --pid the server's memory is judged.
    #[command(flatten)]
    pub common: Common,
    /// Matches that players come to and go from.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub matches: u32,
    /// Players of each match.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub players: u16,
    /// Messages that each player sends a second while it is there.
    #[arg(long, value_parser = rate, default_value = "10")]
    pub rate: f64,
    /// Bytes of data in each message.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Format of the sockets; mixed has both in each match.
    #[arg(long, value_enum, default_value_t = Formats::Json)]
    pub format: Formats,
    /// Seconds of the run.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub duration: Duration,
    /// Seconds that a player stays, half as long to half as long again.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub stay: Duration,
    /// Seconds that a player is away.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    pub away: Duration,
    /// Share of the departures in which the connection is dropped without goodbye, 0 to 1.
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    pub drops: f64,
    /// The server keeps the sessions of dropped connections for longer than --away (in Kizuna realtime.resume_window_ms): each player
    /// must get its own back, with what was sent in the second half of the time away.
    #[arg(long)]
    pub resume: bool,
    /// Seconds to wait for messages under way.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub drain: Duration,
    /// By how much resident memory may grow from after the first tenth of the run to its end: a share.
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub growth: f64,
}

/// `rotate`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct RotateOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Be the identity provider, on this loopback address. The server must trust it: `identity check --only-provider
    /// --print-trust --provider ADDRESS:PORT` prints how.
    #[arg(long, value_name = "ADDRESS:PORT", required_unless_present = "rotate_url")]
    pub provider: Option<SocketAddr>,
    /// Another provider's address that rotates its keys on a POST, such as http://127.0.0.1:7352/rotate; with --mint.
    #[arg(long, value_name = "URL", requires = "mint", conflicts_with = "provider")]
    pub rotate_url: Option<String>,
    /// Logins a second.
    #[arg(long, value_parser = rate, default_value = "200")]
    pub rate: f64,
    /// Seconds of each way of rotating.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30")]
    pub duration: Duration,
    /// Seconds from one rotation to the next. A server lets some time pass between two fetches that unknown keys cause (in Kizuna
    /// identity.jwks_unknown_key_wait_sec, 10 by default, 1 in what --print-trust prints): no shorter than that.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3")]
    pub every: Duration,
    /// Seconds for which a key is published before it signs, as providers do; then the same without.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    pub lead: Duration,
    /// Kept-alive connections.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub connections: usize,
    /// Seconds to wait until the server has found the provider.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "70")]
    pub patience: Duration,
}

/// `hostile`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct HostileOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// What is played, in each part: without the attack, with it, without it again.
    #[command(flatten)]
    pub play: Play,
    /// Hostile clients of each of seven kinds.
    #[arg(long, default_value_t = 1, value_parser = at_least_one)]
    pub hostile: usize,
    /// Attempts a second of each hostile client. They are made on this machine, too: as fast as it goes would measure the harness.
    #[arg(long, value_parser = rate, default_value = "500")]
    pub hostile_rate: f64,
    /// How many times the p99 without the attack it may be in the attack; 0 asks for nothing.
    #[arg(long, value_parser = rate_or_none, default_value = "0")]
    pub most_p99: f64,
}

/// `flood`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct FloodOptions {
    /// What all scenarios share. The players need identity tokens: --jwt-key, --tokens, --mint, or --provider.
    #[command(flatten)]
    pub common: Common,
    /// Be the identity provider, on this loopback address; see `rotate`.
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with_all = ["jwt_key", "tokens", "mint"])]
    pub provider: Option<SocketAddr>,
    /// Honest players, each with one token, who sign in again and again.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub players: u64,
    /// Kept-alive connections of honest players.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub connections: usize,
    /// Kept-alive connections of the flood.
    #[arg(long, default_value_t = 16, value_parser = at_least_one)]
    pub flood_connections: usize,
    /// Different bad tokens, gone round.
    #[arg(long, default_value_t = 2_000, value_parser = at_least_one)]
    pub bad_tokens: usize,
    /// Seconds of each part: without the flood, with it, without it again.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "10")]
    pub duration: Duration,
    /// Share of their rate without the flood that honest players must keep; 0 asks for none.
    #[arg(long, value_parser = share, default_value = "0.5")]
    pub keep: f64,
    /// Seconds to wait until the server has found the provider.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "70")]
    pub patience: Duration,
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
            "connect",
            "match",
            "mix",
            "party",
            "matchmaker",
            "churn",
            "flood",
            "rotate --provider 127.0.0.1:1",
            "keys folder",
            "compare a b",
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
            "login --tokens a --jwt-key b",
            "login --kid x",
            "connect --hold -1",
            "mix --new-share 2",
            "rotate",
            "rotate --rotate-url http://x/rotate",
            "flood --keep 2",
            "party --members 1",
            "matchmaker --group 1",
            "churn --drops 2",
            "churn --bytes 17",
            "login --base https://x",
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
