//! A match whose members are sessions without sockets: what they are sent stays in their queues.

use crate::{envelopes, server::Still};
use kizuna::{
    features::matches,
    identity::session::SessionTokens,
    realtime::{JoinLimits, Mode, OutboundLimits, PresenceMeta, Rule, Session, StreamKey},
};
use kizuna_protocol::{envelope::Format, realtime::MatchDataSend};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

const MATCH: Uuid = Uuid::from_u128(0x0191_a2b3_c4d5_4e6f_8a9b_0c1d_2e3f_4a5b);
const LIMITS: OutboundLimits = OutboundLimits { messages: 8_192, bytes: 1 << 20 };
const WARM_UP: usize = 4;

/// One member's message, to be sent to the others.
pub(crate) struct Fan {
    server: Still,
    members: Vec<Member>,
    message: Option<MatchDataSend>,
}

struct Member {
    session: Arc<Session>,
    /// What a socket's task takes from the queue goes here, and its place goes back to the queue with the next one.
    taken: VecDeque<tokio_tungstenite::tungstenite::Message>,
}

impl Fan {
    pub(crate) fn new(format: Format, receivers: usize) -> Self {
        let server = Still::start(|_| {});
        let tokens = &server.services().tokens;
        let members: Vec<_> = (0..=receivers).map(|order| Member::new(tokens, order, format)).collect();
        let mut fan = Self { server, members, message: None };
        fan.join();
        (0..WARM_UP).for_each(|_| {
            fan.message = Some(message());
            fan.send();
            fan.take();
        });
        assert!(fan.members[1..].iter().all(|member| member.taken.len() == 1), "each has got the message");
        fan.message = Some(message());
        fan
    }

    fn join(&mut self) {
        let _in_runtime = self.server.enter();
        let (services, key) =
            (self.server.services(), StreamKey::new(self.members[0].session.tenant(), Mode::RelayedMatch, MATCH));
        let limits = JoinLimits { members: self.members.len(), per_session: 1 };
        for Member { session, .. } in &self.members {
            services.realtime.connect(session, Uuid::nil(), crate::server::NOW).expect("a place");
            let joined =
                services.realtime.streams().join(&key, Rule::Create, limits, session, PresenceMeta::default(), |_| {});
            joined.expect("a member");
        }
    }

    fn take(&mut self) {
        for Member { session, taken } in &mut self.members {
            taken.clear();
            let _ = session.outbound().try_take(taken);
        }
    }

    pub(crate) fn send(&mut self) {
        let message = self.message.take().expect("one is there");
        matches::send(self.server.services(), &self.members[0].session, message);
    }
}

impl Member {
    fn new(tokens: &SessionTokens, order: usize, format: Format) -> Self {
        let (user_id, session_id) = (Uuid::from_u128(order as u128 + 1), Uuid::from_u128((order as u128 + 1) << 64));
        let pair = tokens.issue(tokens.new_token_id(), user_id, "playerOne", &BTreeMap::new(), None);
        let claims = Arc::new(tokens.verify_session(&pair.token).expect("our own token"));
        Self { session: Session::new(claims, session_id, format, false, LIMITS), taken: VecDeque::new() }
    }
}

fn message() -> MatchDataSend {
    envelopes::to_match(&format!("{MATCH}."), 64)
}
