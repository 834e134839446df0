//! The client's address, as far as proxies tell it (spec/auth-and-accounts.md section 13).

use crate::features::Client;
use hyper::{HeaderMap, header::HeaderName};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-for");
const OVERRIDE: HeaderName = HeaderName::from_static("grpc-metadata-x-forwarded-for");

/// What is believed of `X-Forwarded-For`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proxies {
    /// `socket.proxy_count`.
    pub(super) count: usize,
    /// Whether the TCP peer stands behind the header's entries: so it is where `socket.address` is an outside address.
    pub(super) peer_counts: bool,
}

impl Proxies {
    /// Those of `socket.proxy_count`, for a server that listens on `socket.address`.
    pub(super) fn new(count: usize, address: &str) -> Self {
        let is_inside = address.is_empty()
            || address == "localhost"
            || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified());
        Self { count, peer_counts: !is_inside }
    }

    /// Who sends an HTTP request: the address alone, its port only if a proxy names it.
    pub(super) fn of_request(self, headers: &HeaderMap, peer: SocketAddr) -> Client {
        if headers.contains_key(OVERRIDE) {
            return self.choose(values(headers, &OVERRIDE), None);
        }
        if !headers.contains_key(FORWARDED) {
            return Client { address: Some(peer.ip().to_canonical()), port: None };
        }
        self.choose(values(headers, &FORWARDED), self.peer_counts.then(|| peer.ip().to_canonical()))
    }

    /// Who opens a socket: without a proxy the port is known too.
    pub(super) fn of_socket(self, headers: &HeaderMap, peer: SocketAddr) -> Client {
        if !headers.contains_key(FORWARDED) {
            return Client { address: Some(peer.ip().to_canonical()), port: Some(peer.port()) };
        }
        self.choose(values(headers, &FORWARDED), None)
    }

    /// Walks from the nearest proxy outwards, over as many valid entries as there are proxies to be believed.
    fn choose<'a>(self, entries: impl DoubleEndedIterator<Item = &'a str>, last: Option<IpAddr>) -> Client {
        let mut chosen = last.map(|ip| Client { address: Some(ip), port: None });
        let mut passed = 0;
        if chosen.is_some() && passed >= self.count {
            return chosen.unwrap_or_default();
        }
        let mut entries = entries.rev().peekable();
        while let Some(entry) = entries.next() {
            if chosen.is_some() {
                passed += 1;
            }
            let Some(client) = parse(entry.trim()) else { continue };
            let is_leftmost = entries.peek().is_none();
            if client.address.is_some_and(|ip| ip.is_loopback()) && !is_leftmost {
                continue;
            }
            chosen = Some(client);
            if passed >= self.count {
                break;
            }
        }
        chosen.unwrap_or_default()
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl DoubleEndedIterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','))
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]:5`; neither `[::1]` nor zone ids.
fn parse(entry: &str) -> Option<Client> {
    if let Ok(ip) = entry.parse::<IpAddr>() {
        return Some(Client { address: Some(ip.to_canonical()), port: None });
    }
    let (host, port) = entry.rsplit_once(':')?;
    let address = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => IpAddr::V6(inside.parse::<Ipv6Addr>().ok()?),
        None => IpAddr::V4(host.parse::<Ipv4Addr>().ok()?),
    };
    Some(Client { address: Some(address.to_canonical()), port: port.parse().ok() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const PEER: &str = "127.0.0.1:4000";

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, HeaderValue::from_str(line).unwrap());
        }
        headers
    }

    fn chosen(lines: &[&str], count: usize) -> String {
        let client = Proxies::new(count, "127.0.0.1").of_request(&forwarded(lines), PEER.parse().unwrap());
        match (client.address, client.port) {
            (Some(ip), Some(port)) => format!("{ip} port {port}"),
            (Some(ip), None) => ip.to_string(),
            (None, _) => "none".to_owned(),
        }
    }

    #[test]
    fn the_table_of_the_specification() {
        let table: [(&[&str], [&str; 3]); 9] = [
            (&[], ["127.0.0.1", "127.0.0.1", "127.0.0.1"]),
            (&["1.1.1.1"], ["1.1.1.1", "1.1.1.1", "1.1.1.1"]),
            (&["1.1.1.1, 2.2.2.2"], ["2.2.2.2", "1.1.1.1", "1.1.1.1"]),
            (&["1.1.1.1, 2.2.2.2, 3.3.3.3"], ["3.3.3.3", "2.2.2.2", "1.1.1.1"]),
            (&["1.1.1.1, 2.2.2.2, 3.3.3.3, 4.4.4.4"], ["4.4.4.4", "3.3.3.3", "2.2.2.2"]),
            (&["1.1.1.1:5"], ["1.1.1.1 port 5"; 3]),
            (&["127.0.0.1, 2.2.2.2"], ["2.2.2.2", "127.0.0.1", "127.0.0.1"]),
            (&["1.1.1.1, 127.0.0.1, 2.2.2.2"], ["2.2.2.2", "1.1.1.1", "1.1.1.1"]),
            (&["garbage"], ["none"; 3]),
        ];
        for (lines, expected) in table {
            for (count, expected) in expected.into_iter().enumerate() {
                assert_eq!(chosen(lines, count), expected, "{lines:?} with {count}");
            }
        }
    }

    #[test]
    fn several_header_lines_are_one_list() {
        assert_eq!(chosen(&["1.1.1.1", "2.2.2.2"], 1), "1.1.1.1");
    }

    #[test]
    fn entries_may_name_a_port() {
        assert_eq!(chosen(&["[2001:db8::1]:80"], 1), "2001:db8::1 port 80");
        assert_eq!(chosen(&["2001:db8::1"], 1), "2001:db8::1");
        assert_eq!(chosen(&["[2001:db8::1]"], 1), "none");
        assert_eq!(chosen(&["fe80::1%eth0"], 1), "none");
        assert_eq!(chosen(&["1.2.3.4:abc"], 1), "1.2.3.4");
        assert_eq!(chosen(&[""], 1), "none");
    }

    #[test]
    fn a_socket_without_a_proxy_has_a_port() {
        let proxies = Proxies::new(1, "");
        let client = proxies.of_socket(&HeaderMap::new(), PEER.parse().unwrap());
        assert_eq!((client.address, client.port), (Some(Ipv4Addr::LOCALHOST.into()), Some(4000)));
        let client = proxies.of_socket(&forwarded(&["9.9.9.9"]), PEER.parse().unwrap());
        assert_eq!((client.address, client.port), (Some(Ipv4Addr::new(9, 9, 9, 9).into()), None));
    }

    #[test]
    fn an_outside_address_makes_the_peer_an_entry() {
        let peer = "5.5.5.5:1".parse().unwrap();
        let of = |count, address| Proxies::new(count, address).of_request(&forwarded(&["1.1.1.1, 2.2.2.2"]), peer);
        assert_eq!(of(0, "5.5.5.1").address, Some(Ipv4Addr::new(5, 5, 5, 5).into()));
        assert_eq!(of(1, "5.5.5.1").address, Some(Ipv4Addr::new(2, 2, 2, 2).into()));
        assert_eq!(of(2, "5.5.5.1").address, Some(Ipv4Addr::new(1, 1, 1, 1).into()));
        assert_eq!(of(1, "0.0.0.0").address, Some(Ipv4Addr::new(1, 1, 1, 1).into()));
    }

    #[test]
    fn the_gateways_own_header_goes_first() {
        let mut headers = forwarded(&["1.1.1.1"]);
        headers.insert(OVERRIDE, HeaderValue::from_static("3.3.3.3"));
        let client = Proxies::new(1, "").of_request(&headers, PEER.parse().unwrap());
        assert_eq!(client.address, Some(Ipv4Addr::new(3, 3, 3, 3).into()));
    }
}
