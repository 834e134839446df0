//! Telling those who were matched (spec/matchmaker.md 10).

use super::{super::Services, ticket::Ticket};
use kizuna_protocol::realtime::{Envelope, MatchmakerMatched, envelope::Message as Body, matchmaker_matched};
use std::sync::Arc;
use uuid::Uuid;

/// One to be told.
struct Told<'t> {
    session: Uuid,
    ticket: &'t Ticket,
    place: usize,
}

/// Tells every holder of the tickets of a match. All get one token, which leads into a new relayed match, and one list of users; only
/// ticket and `self` differ, so the list is made once.
pub(super) fn announce(services: &Services, tickets: &[Arc<Ticket>]) {
    let Some(first) = tickets.first() else { return };
    let mut told = Vec::new();
    let mut users = Vec::new();
    for ticket in tickets {
        for (session, user) in ticket.users() {
            told.push(Told { session, ticket, place: users.len() });
            users.push(user);
        }
    }
    let token = services.tokens.mint_match_token(&format!("{}.", services.entropy.uuid()), first.draft.tenant);
    let id = Some(matchmaker_matched::Id::Token(token));
    let mut matched = MatchmakerMatched { users, id, ..MatchmakerMatched::default() };
    for Told { session, ticket, place } in told {
        // Who has just gone need not be told; the others find an empty place, as after a match.
        let Some(session) = services.realtime.registry().by_id(session) else { continue };
        matched.ticket = ticket.id.to_string();
        matched.self_ = matched.users.get(place).cloned();
        let envelope = Envelope { cid: String::new(), message: Some(Body::MatchmakerMatched(matched)) };
        session.tell(&envelope);
        let Some(Body::MatchmakerMatched(again)) = envelope.message else { return };
        matched = again;
    }
}
