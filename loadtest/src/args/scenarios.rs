//! The options of the scenarios.

use super::{Common, Formats, at_least_one, payload_bytes, rate, rate_or_none, seconds, share};
use clap::Args;
use serde::Serialize;
use std::{net::SocketAddr, path::PathBuf, time::Duration};

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

/// `account`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct AccountOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// Accounts to read.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
    /// Players that the reads go round, each with the session token of its own. They sign in once, before: a run must be shorter than
    /// a token's life.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub players: u64,
    /// Reads a second; without it as fast as the connections allow.
    #[arg(long, value_parser = rate)]
    pub rate: Option<f64>,
    /// Kept-alive connections.
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    pub connections: usize,
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
    /// After that, have the players enter matches of so many each, in which nothing is sent, and hold for as long again.
    #[arg(long, value_name = "PLAYERS", value_parser = clap::value_parser!(u16).range(2..=256))]
    pub matches_of: Option<u16>,
    /// Bytes of resident memory that a match may cost the first process of --pid beyond its sockets; 0 asks for nothing.
    #[arg(long, value_name = "BYTES", default_value_t = 0, requires = "matches_of")]
    pub most_match_bytes: u64,
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
    /// End after so many visits in all, instead of after --duration: in each a player comes, plays and leaves.
    #[arg(long, conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..))]
    pub visits: Option<u64>,
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

/// `endure`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct EndureOptions {
    /// What all scenarios share. The server is started here, and listens on --base.
    #[command(flatten)]
    pub common: Common,
    /// The server's command.
    #[arg(long, value_name = "FILE")]
    pub kizuna: PathBuf,
    /// Folder for everything that the server keeps, and for its log, endure.log.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: PathBuf,
    /// The server's configuration. It must trust --provider, by what `identity check --only-provider --print-trust --provider
    /// ADDRESS:PORT` prints; without it, that alone is the configuration.
    #[arg(long, value_name = "FILE", requires = "provider")]
    pub config: Option<PathBuf>,
    /// Be the identity provider on this loopback address; without it on a free port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub provider: Option<SocketAddr>,
    /// Seconds of the run.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1800")]
    pub duration: Duration,
    /// Seconds that each life of the server lasts, from when it answers; the last is no shorter than half of that.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "180")]
    pub restart_every: Duration,
    /// Every third stop is a SIGKILL.
    #[arg(long)]
    pub kill: bool,
    /// Seconds that a stop may take, and a start.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "6")]
    pub stop_within: Duration,
    /// Seconds, from when the server listens again, in which failures that a stop explains are still no faults.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2")]
    pub aftermath: Duration,
    /// Seconds from one rotation of the provider's keys to the next: by turns published two seconds before they sign, and at once.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60")]
    pub rotate_every: Duration,
    /// Matches at once.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub matches: u32,
    /// Players of each match.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=256))]
    pub players: u16,
    /// Messages that each player sends a second.
    #[arg(long, value_parser = rate, default_value = "5")]
    pub rate: f64,
    /// Bytes of data in each message.
    #[arg(long, default_value_t = 64, value_parser = payload_bytes)]
    pub bytes: usize,
    /// Format of the sockets; mixed has both in each match.
    #[arg(long, value_enum, default_value_t = Formats::Mixed)]
    pub format: Formats,
    /// Logins a second.
    #[arg(long, value_parser = rate, default_value = "50")]
    pub logins: f64,
    /// Share of the logins that are of new players, 0 to 1.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub new_share: f64,
    /// Account reads a second.
    #[arg(long, value_parser = rate, default_value = "100")]
    pub accounts: f64,
    /// Sockets that only wait.
    #[arg(long, default_value_t = 1_000)]
    pub idle: u64,
    /// Kept-alive connections for each kind of request.
    #[arg(long, default_value_t = 8, value_parser = at_least_one)]
    pub connections: usize,
    /// Seconds to wait at the end for messages under way.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "5")]
    pub drain: Duration,
    /// By how much resident memory may grow between lives of the server that began alike, from the first such but the very first to the
    /// last: a share.
    #[arg(long, default_value_t = 0.05, value_parser = share)]
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

/// `beside`.
#[derive(Clone, Debug, Args, Serialize)]
pub struct BesideOptions {
    /// What all scenarios share.
    #[command(flatten)]
    pub common: Common,
    /// What is played, in each part: without the logins, with them, without them again.
    #[command(flatten)]
    pub play: Play,
    /// Players who sign in again and again, gone round.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub logging_in: u64,
    /// Kept-alive connections that they do so over, one after the other as fast as each is answered.
    #[arg(long, default_value_t = 32, value_parser = at_least_one)]
    pub connections: usize,
    /// How many times the p99 without the logins it may be beside them; 0 asks for nothing.
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
