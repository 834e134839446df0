//! Where the server is, and connections to it from as many local addresses as it takes.

use crate::stats::Fault;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    fmt,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::net::{TcpSocket, TcpStream};

/// Connections from one loopback address before the next is used. The system has some 28,000 ports for each (32768 to 60999 on
/// Linux), of which earlier runs may still block some.
const PORTS_OF_A_SOURCE: usize = 10_000;
/// Loopback addresses that are used when the target is on loopback.
const SOURCES: usize = 64;

/// The base URL of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Host and port as they stand in the `Host` header.
    pub authority: String,
    address: SocketAddr,
}

impl FromStr for Base {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some((scheme, _)) => {
                return Err(format!("\"{scheme}\" is not served: only http, as behind a load balancer"));
            }
            None => text,
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '?', '#', '@']) {
            return Err("expected http://HOST:PORT".into());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:7350") };
        let mut addresses = authority.to_socket_addrs().map_err(|error| format!("{authority}: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("{authority}: no address"))?;
        Ok(Self { authority, address })
    }
}

impl Base {
    /// The address and port behind it.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.authority)
    }
}

/// Opens connections to one server.
#[derive(Clone, Debug)]
pub struct Target {
    /// The server.
    pub base: Base,
    timeout: Duration,
    opened: Arc<AtomicUsize>,
    /// 0: as many as needed.
    sources: usize,
}

impl Target {
    /// Connections to `base`, each given up after `timeout`; spread over `sources` loopback addresses, or with 0 over as many
    /// as it takes.
    pub fn new(base: Base, timeout: Duration, sources: usize) -> Self {
        Self { base, timeout, opened: Arc::default(), sources: sources.min(SOURCES) }
    }

    /// How long any single step may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// Refused, timed out, or no local port left on any address.
    pub async fn connect(&self) -> Result<TcpStream, Fault> {
        let number = self.opened.fetch_add(1, Relaxed);
        let mut outcome = Err(Fault::new("connect: no local address"));
        for attempt in 0..self.attempts() {
            let dial = tokio::time::timeout(self.timeout, self.dial(self.source(number, attempt)));
            match dial.await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::AddrInUse) => {
                    outcome = Err(Fault::io("connect", &error));
                }
                Ok(Err(error)) => return Err(Fault::io("connect", &error)),
                Err(_) => return Err(Fault::new("connect: timed out")),
            }
        }
        outcome
    }

    fn attempts(&self) -> usize {
        if self.base.address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) { 4 } else { 1 }
    }

    /// The local address of connection `number`: `None` leaves it to the system.
    fn source(&self, number: usize, attempt: usize) -> Option<Ipv4Addr> {
        if self.base.address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return None;
        }
        let place = if self.sources > 0 { number % self.sources } else { number / PORTS_OF_A_SOURCE };
        let place = (place + attempt) % SOURCES;
        let last = u8::try_from(place + 1).expect("a place is below 64");
        (place > 0).then(|| Ipv4Addr::new(127, 0, 0, last))
    }

    async fn dial(&self, source: Option<Ipv4Addr>) -> std::io::Result<TcpStream> {
        let socket = if self.base.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = source {
            socket.bind(SocketAddr::from((source, 0)))?;
        }
        let stream = socket.connect(self.base.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

/// Raises the limit on open files as far as the system lets this process, and says where it then stands.
pub fn raise_open_files() -> u64 {
    const PLENTY: u64 = 1 << 20;
    let limit = getrlimit(Resource::Nofile);
    let hard = limit.maximum.unwrap_or(PLENTY);
    for wanted in [hard.max(PLENTY), hard] {
        // Above the hard limit this needs a privilege; the second round asks for what is granted to all.
        let raised = Rlimit { current: Some(wanted), maximum: Some(wanted.max(hard)) };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return wanted;
        }
    }
    limit.current.unwrap_or(PLENTY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_host_with_or_without_a_port() {
        for (text, authority) in [
            ("http://127.0.0.1:7350", "127.0.0.1:7350"),
            ("http://127.0.0.1", "127.0.0.1:7350"),
            ("127.0.0.1:80/", "127.0.0.1:80"),
            ("http://[::1]:7350", "[::1]:7350"),
        ] {
            assert_eq!(text.parse::<Base>().unwrap().authority, authority);
        }
        for text in ["https://127.0.0.1", "http://", "http://127.0.0.1/v2", "ftp://x"] {
            assert!(text.parse::<Base>().is_err(), "{text}");
        }
    }

    #[test]
    fn many_connections_come_from_many_loopback_addresses() {
        let target = Target::new("127.0.0.1:1".parse().unwrap(), Duration::from_secs(1), 0);
        assert_eq!(target.source(0, 0), None);
        assert_eq!(target.source(9_999, 0), None);
        assert_eq!(target.source(10_000, 0), Some(Ipv4Addr::new(127, 0, 0, 2)));
        assert_eq!(target.source(29_999, 0), Some(Ipv4Addr::new(127, 0, 0, 3)));
        assert_eq!(target.source(0, 1), Some(Ipv4Addr::new(127, 0, 0, 2)));
        let spread = Target::new("127.0.0.1:1".parse().unwrap(), Duration::from_secs(1), 3);
        assert_eq!(spread.source(4, 0), Some(Ipv4Addr::new(127, 0, 0, 2)));
    }

    #[test]
    fn the_limit_on_open_files_never_falls() {
        let before = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(raise_open_files() >= before.min(1 << 20));
    }
}
