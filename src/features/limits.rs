//! How much one client may ask for over sockets: rates of a session, of a user over all sockets, and of an address
//! (docs/limits.md). Judged in one place, before a message reaches its feature or a hook.

use super::{Client, Services, rules};
use crate::{
    clock::Clock,
    config::Config,
    error::Error,
    rate::{Buckets, Rate, Refused},
    realtime::Session,
    telemetry::KindLabels,
};
use kizuna_protocol::{
    code::{Code, RealtimeCode},
    realtime::envelope::Message as Body,
};
use std::{
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};
use uuid::Uuid;

/// The rates, and who has used how much. Clones share them.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In the order of [`What`].
    rates: [Rates; 5],
    /// Refusals that one session is answered before it is closed.
    refusals: Rate,
    used: Buckets<(What, Who)>,
    clock: Clock,
}

/// The rates of one kind of message.
#[derive(Clone, Copy, Debug)]
struct Rates {
    session: Rate,
    user: Rate,
    address: Rate,
}

impl Rates {
    const fn are_off(self) -> bool {
        self.session.is_off() && self.user.is_off() && self.address.is_off()
    }
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    Messages,
    Joins,
    Tickets,
    Parties,
    /// Not messages, but calls: why a ticket waits.
    Explanations,
}

impl What {
    /// What a message is beside a message.
    fn of(body: &Body) -> Option<Self> {
        match body {
            Body::MatchCreate(_) | Body::MatchJoin(_) | Body::PartyJoin(_) | Body::ChannelJoin(_) => Some(Self::Joins),
            Body::MatchmakerAdd(_) | Body::PartyMatchmakerAdd(_) => Some(Self::Tickets),
            Body::PartyCreate(_) => Some(Self::Parties),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Joins => "joins",
            Self::Tickets => "tickets",
            Self::Parties => "parties",
            Self::Explanations => "questions",
        }
    }
}

/// Of whom something is remembered beside the sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Who {
    User(Uuid),
    Address(IpAddr),
}

/// A limit that was reached.
struct Reached {
    what: What,
    whose: &'static str,
    seconds: i64,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is served.
    Serve,
    /// It has been answered with an error.
    Refused,
    /// It is one refusal too many: the socket closes.
    Close,
}

impl Limits {
    /// Nobody has used anything.
    pub fn new(config: &Config, clock: Clock) -> Self {
        let limits = &config.limits;
        let per_sec = |most: u32| Rate::new(most, 1, most.saturating_mul(limits.burst));
        let per_min = |most: u32| Rate::new(most, 60, most.saturating_mul(limits.burst));
        let rates = [
            Rates {
                session: per_sec(limits.messages_per_session_per_sec),
                user: per_sec(limits.messages_per_user_per_sec),
                address: per_sec(limits.messages_per_address_per_sec),
            },
            Rates {
                session: per_min(limits.joins_per_session_per_min),
                user: per_min(limits.joins_per_user_per_min),
                address: per_min(limits.joins_per_address_per_min),
            },
            Rates {
                session: per_min(limits.tickets_per_session_per_min),
                user: per_min(limits.tickets_per_user_per_min),
                address: per_min(limits.tickets_per_address_per_min),
            },
            Rates {
                session: per_min(limits.parties_per_session_per_min),
                user: per_min(limits.parties_per_user_per_min),
                address: per_min(limits.parties_per_address_per_min),
            },
            Rates { session: per_min(0), user: per_min(limits.explanations_per_user_per_min), address: per_min(0) },
        ];
        let refusals = per_sec(limits.refusals_per_session_per_sec);
        Self(Arc::new(Inner { rates, refusals, used: Buckets::new(limits.max_remembered), clock }))
    }

    /// Takes one message from all that it counts for.
    fn take(&self, session: &Session, client: Client, body: &Body) -> Result<(), Reached> {
        let what = What::of(body);
        if self.rates(What::Messages).are_off() && what.is_none() {
            return Ok(());
        }
        let now = self.0.clock.unix_micros();
        self.take_one(What::Messages, session, client, now)?;
        what.map_or(Ok(()), |what| self.take_one(what, session, client, now))
    }

    fn take_one(&self, what: What, session: &Session, client: Client, now: i64) -> Result<(), Reached> {
        let rates = self.rates(what);
        let reached = |whose| move |seconds| Reached { what, whose, seconds };
        if !rates.session.is_off() {
            session.bucket(what as usize).take(rates.session, now).map_err(reached("session"))?;
        }
        self.take_of(what, Who::User(session.user_id()), rates.user, now).map_err(reached("user"))?;
        // A header that names no address must not be a way around: all who come without one share a bucket.
        let address = client.address.map_or(Ipv6Addr::UNSPECIFIED.into(), rules::network_of);
        self.take_of(what, Who::Address(address), rates.address, now).map_err(reached("address"))
    }

    /// Those who cannot be remembered are held to the rate of their sessions: others who fill the list cost nobody anything.
    fn take_of(&self, what: What, who: Who, rate: Rate, now: i64) -> Result<(), i64> {
        if rate.is_off() {
            return Ok(());
        }
        match self.0.used.take((what, who), rate, now) {
            Ok(()) | Err(Refused::NoRoom) => Ok(()),
            Err(Refused::Wait(seconds)) => Err(seconds),
        }
    }

    /// Takes one question why a ticket waits from what a user may ask.
    ///
    /// # Errors
    /// 429, with the seconds to wait.
    pub(super) fn take_explanation(&self, services: &Services, user: Uuid) -> Result<(), Error> {
        let what = What::Explanations;
        let taken = self.take_of(what, Who::User(user), self.rates(what).user, self.0.clock.unix_micros());
        taken.map_err(|seconds| {
            services.metrics.rate_limited.get_or_create(&KindLabels { kind: kind(what, "user") }).inc();
            let text = format!("Too many {} from this user. Try again in {seconds} seconds.", what.name());
            Error::new(Code::ResourceExhausted, text)
        })
    }

    fn rates(&self, what: What) -> Rates {
        self.0.rates[what as usize]
    }

    /// Forgets users and addresses that may do all again.
    pub(super) fn purge(&self) {
        self.0.used.purge(self.0.clock.unix_micros());
    }
}

/// Lets a message through, or answers it with code 3 and the seconds to wait. Match data is refused without its cid, as it is
/// answered with every error. A session that is refused again and again is closed, so that a flood costs little.
pub(crate) fn judge(services: &Services, session: &Session, client: Client, cid: &str, body: &Body) -> Judgement {
    let limits = &services.limits;
    let Err(reached) = limits.take(session, client, body) else { return Judgement::Serve };
    let Reached { what, whose, seconds } = reached;
    services.metrics.rate_limited.get_or_create(&KindLabels { kind: kind(what, whose) }).inc();
    let refusals = limits.0.refusals;
    if !refusals.is_off() && session.refusals().take(refusals, limits.0.clock.unix_micros()).is_err() {
        return Judgement::Close;
    }
    let cid = if matches!(body, Body::MatchDataSend(_)) { String::new() } else { cid.to_owned() };
    let text = format!("Too many {} from this {whose}. Try again in {seconds} seconds.", what.name());
    session.answer_error(cid, RealtimeCode::BadInput, text);
    Judgement::Refused
}

/// The name under which a refusal is counted.
fn kind(what: What, whose: &str) -> &'static str {
    match (what, whose) {
        (What::Messages, "session") => "messages per session",
        (What::Messages, "user") => "messages per user",
        (What::Messages, _) => "messages per address",
        (What::Joins, "session") => "joins per session",
        (What::Joins, "user") => "joins per user",
        (What::Joins, _) => "joins per address",
        (What::Tickets, "session") => "tickets per session",
        (What::Tickets, "user") => "tickets per user",
        (What::Tickets, _) => "tickets per address",
        (What::Parties, "session") => "parties per session",
        (What::Parties, "user") => "parties per user",
        (What::Parties, _) => "parties per address",
        (What::Explanations, _) => "explanations per user",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A load test, a school or a mobile network is many players behind one address, and a match is played as fast as it goes.
    #[test]
    fn as_shipped_no_rate_stands_between_many_players_of_one_address_and_their_matches() {
        let limits = Limits::new(&Config::default(), Clock::manual(0));
        assert!(limits.rates(What::Messages).are_off());
        assert!(limits.0.rates.iter().all(|rates| rates.address.is_off()));
        assert!([What::Joins, What::Tickets, What::Parties].iter().all(|what| !limits.rates(*what).session.is_off()));
    }
}
