//! What the command line offers.

use clap::{Args, Parser, Subcommand, ValueEnum};
use kizuna::{
    app::{Running, Server, StartError},
    clock::{Clock, Entropy},
    config::{Config, KeySource, Overrides},
    identity::{Explanation, HttpFetcher, KeyFetcher, Metrics, NoNetwork, RefusalKind, Trusted, Verifier},
    lifecycle::{self, Signals},
    telemetry,
};
use std::{
    fmt,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// Exit status for a configuration that is not in order (sysexits.h, EX_CONFIG).
const BAD_CONFIG: u8 = 78;
/// Exit status after a second signal during the grace.
const ENDED_BY_SIGNAL: u8 = 130;
/// Exit status of `bridge explain` where the signature could not be judged.
const NOT_JUDGED: u8 = 3;
/// Bytes read of a token on standard input, at most.
const LONGEST_INPUT: u64 = 1 << 20;
/// How long `healthcheck` waits.
const HEALTH_WAIT: Duration = Duration::from_secs(5);

/// A realtime game server for Nakama clients, with an identity bridge built in.
#[derive(Debug, Parser)]
#[command(name = "kizuna", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Settings,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; what `kizuna` does without a command.
    Serve(Settings),
    /// Read the configuration, say whether it is in order, and end.
    Check(Settings),
    /// Bring the store's tables up to date, or say whether they are.
    Migrate {
        /// What to do.
        action: MigrateAction,
        #[command(flatten)]
        settings: Settings,
    },
    /// Ask a running server whether it is well: exit status 0 if so.
    Healthcheck(Settings),
    /// Print an identity token of the development provider.
    Token {
        /// The player's name; the same name is the same player.
        #[arg(long)]
        user: String,
        /// Which of the two kinds.
        #[arg(long, value_enum, default_value = "access")]
        r#use: TokenUse,
        #[command(flatten)]
        settings: Settings,
    },
    /// Tools for the identity bridge.
    Bridge {
        #[command(subcommand)]
        tool: BridgeTool,
    },
}

#[derive(Debug, Subcommand)]
enum BridgeTool {
    /// Say what each step finds in an identity token: exit status 0 if it is good, 1 if it is refused, 3 if its signature could
    /// not be judged. Prints what the session would get, which is personal data, and never the token.
    Explain {
        /// The token; "-" reads it from standard input, where no other user of the machine can see it.
        token: String,
        /// Fetch no keys.
        #[arg(long)]
        offline: bool,
        /// A key set to judge by in place of those that would be fetched.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MigrateAction {
    Up,
    Status,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TokenUse {
    Access,
    Id,
}

/// Where the configuration is, and what wins over it.
#[derive(Args, Debug)]
struct Settings {
    /// Configuration file; without it ./config.toml if there is one, else the defaults.
    #[arg(long, env = "KIZUNA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for everything that is kept.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port of HTTP and WebSocket; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// Address and port of the metrics; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics: Option<SocketAddr>,
}

impl Settings {
    fn load(self) -> Result<Config, Failure> {
        let beside = || Some(PathBuf::from("config.toml")).filter(|path| path.exists());
        let file = self.config.or_else(beside);
        let overrides = Overrides { data_dir: self.data_dir, http: self.http, metrics: self.metrics };
        // A variable that is not UTF-8 cannot be one of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Config::load(file.as_deref(), environment, &overrides)
            .map_err(|error| Failure { status: BAD_CONFIG, text: format!("configuration: {error}") })
    }
}

/// Why a command fails: what to print, and the exit status.
struct Failure {
    status: u8,
    text: String,
}

impl Failure {
    fn new(cause: impl fmt::Display) -> Self {
        Self { status: 1, text: cause.to_string() }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let status = if matches!(error, StartError::Config(_)) { BAD_CONFIG } else { 1 };
        Self { status, text: error.to_string() }
    }
}

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(settings) => serve(settings),
        Command::Check(settings) => check(settings),
        Command::Migrate { action, settings } => migrate(action, settings),
        Command::Healthcheck(settings) => healthcheck(settings),
        Command::Token { user, r#use, settings } => token(&user, r#use, settings),
        Command::Bridge { tool: BridgeTool::Explain { token, offline, keys, settings } } => {
            explain(&token, offline, keys.as_ref(), settings)
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure.text);
            ExitCode::from(failure.status)
        }
    }
}

fn check(settings: Settings) -> Result<(), Failure> {
    Server::check(&settings.load()?)?;
    print("The configuration is in order.");
    Ok(())
}

fn serve(settings: Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    telemetry::init_logging(&config.logger);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let sockets = runtime("sockets", socket_threads(config.socket.threads, processors))?;
    // Threads inherit it: what is started from here on yields, that is requests, the store's writer and the logs. This one does, too: it
    // starts and stops the server and serves nobody.
    lifecycle::yield_to_play(config.socket.request_nice);
    let requests = runtime("requests", processors)?;
    sockets.block_on(async {
        let mut signals = Signals::take_over().map_err(Failure::new)?;
        lifecycle::survive_file_size_limit().map_err(Failure::new)?;
        let running = Server::builder(config).with_requests_on(requests.handle().clone()).start().await?;
        announce(&running);
        let signal = signals.next().await;
        tracing::info!(signal, "stopping");
        // Whoever asks twice does not want to wait for the grace.
        let drained = tokio::select! {
            drained = running.stop() => drained,
            signal = signals.next() => {
                tracing::warn!(signal, "ended before everything had stopped");
                complain("ended by a second signal");
                // Not by returning: that would wait for threads that may be the reason for the second signal.
                std::process::exit(i32::from(ENDED_BY_SIGNAL));
            }
        };
        tracing::info!(drained, "stopped");
        Ok(())
    })
}

/// How many threads serve sockets: as many as asked for, or one for every two processors. A second thread beside an idle one is woken for
/// nearly every message, and half of a message is the system's own work (docs/decisions/0032-the-message-path.md).
const fn socket_threads(asked: usize, processors: usize) -> usize {
    match asked {
        0 => processors.div_ceil(2),
        asked => asked,
    }
}

/// Threads that are there from now on, named after what they serve.
fn runtime(name: &str, threads: usize) -> Result<Runtime, Failure> {
    let mut builder = Builder::new_multi_thread();
    builder.thread_name(name).worker_threads(threads).enable_all().build().map_err(Failure::new)
}

/// The addresses, one a line for programs, then what a person would try first.
fn announce(running: &Running) {
    print(format!("listening http {}", running.http()));
    let provider = running.dev_provider();
    if let Some(provider) = provider {
        print(format!("listening dev_provider {provider}"));
    }
    if let Some(metrics) = running.metrics() {
        print(format!("listening metrics {metrics}"));
    }
    if let Some(provider) = provider {
        print(format!(
            "\nSign in through the bridge, as anybody:\n\n  {}\n\nor in a browser: http://{provider}/",
            running.provider().map(|provider| provider.curl_line("ann")).unwrap_or_default()
        ));
    }
}

fn migrate(action: MigrateAction, settings: Settings) -> Result<(), Failure> {
    use kizuna::store::Store;
    let config = settings.load()?;
    if let MigrateAction::Up = action {
        let applied = Store::migrate_up(&config.store, &config.data_dir, &Clock::system()).map_err(Failure::new)?;
        applied.iter().for_each(|name| print(format!("applied  {name}")));
    }
    for state in Store::migration_status(&config.store, &config.data_dir).map_err(Failure::new)? {
        print(format!("{}  {}", if state.applied_at.is_some() { "done   " } else { "pending" }, state.name));
    }
    Ok(())
}

fn token(user: &str, kind: TokenUse, settings: Settings) -> Result<(), Failure> {
    use kizuna::net::provider::{DevProvider, TokenUse as Use};
    let config = settings.load()?;
    let folder = DevProvider::folder(&config.data_dir);
    let provider = DevProvider::for_minting(&folder, Clock::system(), Entropy::system(), &config.dev_provider)
        .map_err(Failure::new)?;
    let kind = match kind {
        TokenUse::Access => Use::Access,
        TokenUse::Id => Use::Id,
    };
    print(provider.mint(user, kind, None).map_err(Failure::new)?);
    Ok(())
}

fn explain(token: &str, offline: bool, keys: Option<&PathBuf>, settings: Settings) -> Result<(), Failure> {
    let mut config = settings.load()?;
    let mut input = String::new();
    let token = match token {
        "-" => {
            std::io::stdin().take(LONGEST_INPUT).read_to_string(&mut input).map_err(Failure::new)?;
            input.trim()
        }
        token => token,
    };
    if let Some(file) = keys {
        let fetched = |source: &KeySource| matches!(source, KeySource::Url(_) | KeySource::Discovery);
        let replaced = config.identity.trust.iter_mut().filter(|entry| fetched(&entry.jwks));
        replaced.for_each(|entry| entry.jwks = KeySource::File(file.clone()));
    }
    let held = held_by_provider(&config)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(Failure::new)?;
    let explained: Result<Explanation, Failure> = runtime.block_on(async {
        let fetcher: Arc<dyn KeyFetcher> = match offline {
            true => Arc::new(NoNetwork),
            false => Arc::new(HttpFetcher::new(true).map_err(StartError::from)?),
        };
        let (clock, metrics) = (Clock::system(), Metrics::default());
        let verifier = Verifier::with_fetcher(&config.identity, &held, clock, metrics, &fetcher);
        Ok(verifier.map_err(StartError::from)?.explain(token).await)
    });
    let explained = explained?;
    print(&explained);
    match &explained.outcome {
        Ok(_) if explained.signature_judged => Ok(()),
        Err(refusal) if refusal.kind() == RefusalKind::Invalid => Err(Failure { status: 1, text: refusal.to_string() }),
        _ => Err(Failure { status: NOT_JUDGED, text: "the signature was not judged".to_owned() }),
    }
}

/// The development provider's keys, if it is on and has ever run here.
fn held_by_provider(config: &Config) -> Result<Vec<Trusted>, Failure> {
    use kizuna::net::provider::DevProvider;
    let folder = DevProvider::folder(&config.data_dir);
    if !config.dev_provider.enabled || !folder.exists() {
        return Ok(Vec::new());
    }
    let provider = DevProvider::for_minting(&folder, Clock::system(), Entropy::system(), &config.dev_provider);
    Ok(provider.map_err(Failure::new)?.trusted(&config.identity))
}

fn healthcheck(settings: Settings) -> Result<(), Failure> {
    let config = settings.load()?;
    let address: SocketAddr =
        format!("{}:{}", config.socket.address, config.socket.port).parse().map_err(Failure::new)?;
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, HEALTH_WAIT)?;
        stream.set_read_timeout(Some(HEALTH_WAIT))?;
        stream.write_all(b"GET /healthcheck HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.take(4_096).read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        Ok(answer) => Err(Failure::new(format!("{address} answers {}", answer.lines().next().unwrap_or("nothing")))),
        Err(error) => Err(Failure::new(format!("{address} does not answer: {error}"))),
    }
}

/// Tells the terminal. When nobody reads it any more, that is no reason for a server to end.
fn print(text: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Says why a command fails, whatever becomes of the log.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "kizuna: {text}");
}
