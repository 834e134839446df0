//! The sections about what happens over sockets. The doc text of a key is its text in `config.toml`.

use super::sections::section;
use serde::{Deserialize, Serialize};

section! {
    /// Live sessions: how they outlive a lost connection and a restart (docs/resume.md), and their bounds.
    Realtime {
        /// Milliseconds for which a session whose connection is lost without goodbye is kept, with its places in matches, parties and
        /// streams. A new socket with the same session token takes it over. 0: it ends at once, as with Nakama.
        resume_window_ms: u64 = 0,
        /// Messages kept for a session whose connection is lost; one more ends it.
        resume_max_messages: usize = 1_024,
        /// Bytes kept for a session whose connection is lost; more end it.
        resume_max_bytes: usize = 262_144,
        /// Bytes kept for all sessions whose connection is lost, with what their queues take; a session for which one more message
        /// would pass that ends.
        resume_max_total_bytes: usize = 268_435_456,
        /// Sessions kept whose connection is lost, over all users; beyond it one ends at once, as without a window.
        resume_max_sessions: usize = 16_384,
        /// True: when the server stops, live sessions with their matches, parties and tickets are written to data_dir, and the next
        /// start takes them up. Asks for resume_window_ms above 0.
        snapshot: bool = false,
        /// Largest snapshot in bytes; a larger one is not written, and one that is found is not read.
        snapshot_max_bytes: u64 = 268_435_456,
        /// Members of a stream from which on joins and leaves are gathered before they are told.
        presence_batch_members: usize = 64,
        /// Milliseconds for which joins and leaves of such a stream are gathered; data never waits for them, nor overtakes them.
        presence_batch_ms: u64 = 20,
        /// Streams of a program's own (mode 8 to 255) that one socket may be in at once.
        max_streams_per_session: usize = 256,
        /// Members of one such stream.
        max_stream_members: usize = 65_536,
    }
}

section! {
    /// Status: what users show of themselves to those who follow them.
    Status {
        /// Users that one socket may follow at once; who asks for more follows nobody new, and is answered code 3.
        max_follows: usize = 4_096,
    }
}

section! {
    /// Parties.
    Party {
        /// Parties that one socket may be in at once.
        max_per_session: usize = 16,
        /// Parties that one user may be in at once, over all sockets.
        max_per_user: usize = 32,
        /// Steps that one page of `GET /v2/party` may take to be found, as those of the matchmaker's passes; a query that takes more
        /// is answered 429, code 8.
        max_list_steps: u64 = 2_000_000,
    }
}

section! {
    /// The matchmaker (docs/matchmaker.md).
    Matchmaker {
        /// Tickets that one socket may have in the pool, and again one party.
        max_tickets: usize = 3,
        /// Seconds between passes.
        interval_sec: u64 = 15,
        /// Passes in which a ticket insists on max_count before min_count is enough.
        max_intervals: u32 = 2,
        /// True: tickets match only where each one's query takes the other.
        rev_precision: bool = false,
        /// With rev_precision: intervals of one pass's own time after which it stops checking both ways; 0: never.
        rev_threshold: u64 = 1,
        /// Tickets in the pool, over all sockets; one more is refused.
        max_pool: usize = 200_000,
        /// Bytes of one ticket's query; a longer one is refused.
        max_query_bytes: usize = 2_048,
        /// Properties of one ticket, over both kinds; more are refused.
        max_properties: usize = 64,
        /// Users of one match; a ticket with a larger max_count wants so many. Each is sent all of them.
        max_users: u32 = 256,
        /// Different regular expressions in the queries of all tickets; a ticket with one more is refused. Each may take
        /// 100 KB.
        max_expressions: usize = 2_000,
        /// Steps of one pass, over all tickets that search; a step looks at 64 tickets at once, or at a few bytes of one. Each ticket
        /// that searches has an equal share of half of them, and may take more in advance while the other half lasts; what one leaves
        /// over is for those after it. One that has used up what it has searches again in the next pass.
        max_steps: u64 = 500_000_000,
        /// Tickets that one answer to `GET /v2/matchmaker/why` looks at, the oldest first; 0: it is not served. It takes a hundredth of
        /// max_steps at most, and looks at fewer if those are used up.
        max_why: usize = 10_000,
    }
}

section! {
    /// In-app notifications.
    Notification {
        /// Notifications kept for one user; the oldest make room for new ones.
        max_per_user: usize = 1_000,
        /// Of those, what one other player has caused by invites and the like; that player's oldest make room for new ones, so
        /// that nobody pushes out those of others. What a program sends does not count.
        max_per_sender: usize = 32,
    }
}

section! {
    /// Friends.
    Friend {
        /// Friends, invites and blocks of one user; one more is answered 429, code 8.
        max_per_user: usize = 10_000,
        /// Ids and usernames in one call; more are answered 400, code 3.
        max_per_call: usize = 100,
        /// Relations looked at for one page of friends of friends; a page that would need more is cut short, and its cursor goes on.
        max_looked_at: usize = 10_000,
    }
}

section! {
    /// How much one client may ask for over sockets. A rate of 0 is no limit. Beyond a rate, a message is answered with error code 3
    /// and the seconds to wait.
    Limits {
        /// Messages a second of one socket.
        messages_per_session_per_sec: u32 = 0,
        /// Messages a second of all sockets of one user.
        messages_per_user_per_sec: u32 = 0,
        /// Messages a second of all sockets from one address (of IPv6: one /64).
        messages_per_address_per_sec: u32 = 0,
        /// Joins of matches, parties and chats a minute of one socket.
        joins_per_session_per_min: u32 = 1_200,
        /// The same of one user.
        joins_per_user_per_min: u32 = 2_400,
        /// The same of one address.
        joins_per_address_per_min: u32 = 0,
        /// Tickets a minute of one socket.
        tickets_per_session_per_min: u32 = 600,
        /// The same of one user.
        tickets_per_user_per_min: u32 = 1_200,
        /// The same of one address.
        tickets_per_address_per_min: u32 = 0,
        /// Parties made a minute by one socket.
        parties_per_session_per_min: u32 = 600,
        /// The same by one user.
        parties_per_user_per_min: u32 = 1_200,
        /// The same by one address.
        parties_per_address_per_min: u32 = 0,
        /// Questions a minute of one user to `GET /v2/matchmaker/why`.
        explanations_per_user_per_min: u32 = 30,
        /// Seconds' or minutes' worth that may come at once before a rate holds.
        burst: u32 = 2,
        /// Refusals a second that one socket is answered; who goes on beyond it is closed with 4429. 0: nobody is.
        refusals_per_session_per_sec: u32 = 100,
        /// Users and addresses to remember for rates: those that have come lately. While all are taken, others are held only to the
        /// rates of their sockets.
        max_remembered: usize = 131_072,
        /// Matches that one user may be in at once, over all sockets.
        matches_per_user: usize = 256,
        /// Streams of a program's own that one user may be in at once, over all sockets.
        streams_per_user: usize = 1_024,
    }
}
