//! Where players are sent once they are signed in: exact addresses from the configuration, nothing else.

use crate::{config::is_loopback, error::Error};
use reqwest::Url;

/// A place to send the browser to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ReturnTo {
    url: Url,
    /// Whether what is said stands in the fragment: the page reads it, no server and no log does. Games on the player's machine
    /// see requests only, so theirs is the query (RFC 8252 section 7.3).
    in_fragment: bool,
}

impl ReturnTo {
    /// The place that a game asks for.
    ///
    /// # Errors
    /// It is none of `allowed`: then nobody is sent there, not even with an error.
    pub(super) fn judge(asked: &str, allowed: &[String]) -> Result<Self, Error> {
        let refused = || Error::invalid_argument("return_to is not an address that login.return_to lists.");
        // Printable ASCII only: what some parsers skip, others do not.
        let url = Url::parse(asked).ok().filter(|_| asked.bytes().all(|b| b.is_ascii_graphic())).ok_or_else(refused)?;
        if allowed.iter().any(|own| own == asked) && !any_port(&url) {
            return Ok(Self { url, in_fragment: true });
        }
        if allowed.iter().filter_map(|own| Url::parse(own).ok()).any(|own| any_port(&own) && same_but_port(&own, &url))
        {
            return Ok(Self { url, in_fragment: false });
        }
        Err(refused())
    }

    /// The address with what is to be said there.
    pub(super) fn with(&self, said: &[(&str, &str)]) -> Url {
        let mut url = self.url.clone();
        if !self.in_fragment {
            url.query_pairs_mut().extend_pairs(said);
            return url;
        }
        let mut form = url.clone();
        form.set_query(None);
        let form = form.query_pairs_mut().extend_pairs(said).finish().query().unwrap_or_default().to_owned();
        url.set_fragment(Some(&form));
        url
    }
}

/// Whether an entry of the list stands for every port: http, a loopback IP address (RFC 8252 section 8.3 advises against
/// `localhost`), no port.
fn any_port(url: &Url) -> bool {
    let is_name = url.domain().is_some();
    url.scheme() == "http" && url.port().is_none() && !is_name && is_loopback(url)
}

fn same_but_port(own: &Url, asked: &Url) -> bool {
    let mut asked = asked.clone();
    // Port 80 is none, and a fragment or user is a difference.
    asked.set_port(None).is_ok() && asked == *own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(asked: &str) -> Result<ReturnTo, Error> {
        let allowed = [
            "https://game.example/play",
            "http://127.0.0.1:5173/game?x=1",
            "http://127.0.0.1/callback",
            "http://[::1]/callback",
        ];
        ReturnTo::judge(asked, &allowed.map(str::to_owned))
    }

    #[test]
    fn pages_get_a_fragment_and_native_games_a_query() {
        let page = judge("https://game.example/play").unwrap().with(&[("code", "a b"), ("state", "#")]);
        assert_eq!(page.as_str(), "https://game.example/play#code=a+b&state=%23");
        let page = judge("http://127.0.0.1:5173/game?x=1").unwrap().with(&[("code", "c")]);
        assert_eq!(page.as_str(), "http://127.0.0.1:5173/game?x=1#code=c");
        let native = judge("http://127.0.0.1:41234/callback").unwrap().with(&[("code", "c")]);
        assert_eq!(native.as_str(), "http://127.0.0.1:41234/callback?code=c");
        assert!(judge("http://[::1]:9/callback").is_ok() && judge("http://127.0.0.1/callback").is_ok());
    }

    #[test]
    fn nobody_is_sent_elsewhere() {
        for bad in [
            "",
            "/play",
            "//evil.example/play",
            "https://game.example/play/",
            "https://game.example/play?x",
            "https://game.example/play#x",
            "https://game.example/Play",
            "https://GAME.example/play",
            "http://game.example/play",
            "https://game.example:444/play",
            "https://game.example@evil.example/play",
            "https://user@game.example/play",
            "https://game.example.evil.example/play",
            "https://evil.example/https://game.example/play",
            "https://game.example\\@evil.example/play",
            "https://game.example/play\n",
            "\thttps://game.example/play",
            "https://game.example/pl\tay",
            "javascript:alert(1)",
            "data:text/html,x",
            "game://callback",
            "http://127.0.0.1:9/other",
            "http://127.0.0.1:9/callback?x=1",
            "http://127.0.0.1:9/callback#x",
            "http://127.0.0.1:9/callback/../other",
            "http://user@127.0.0.1:9/callback",
            "http://127.0.0.2:9/callback",
            "http://localhost:9/callback",
            "http://127.0.0.1.evil.example:9/callback",
            "https://127.0.0.1:9/callback",
            "http://127.0.0.1:5174/game?x=1",
            "http://0x7f.1:9/other",
        ] {
            assert!(judge(bad).is_err(), "{bad}");
        }
    }
}
