//! Every code that a client can see, and how the kinds map onto each other.
//! Sources: contract/README.md section 6 (gRPC and HTTP), spec/realtime-core.md 2.5 and 4.3 (close reasons, envelope errors).

/// A gRPC status code; what an HTTP error body carries as `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
#[expect(missing_docs, reason = "the names are gRPC's own")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl Code {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Ok,
        Self::Canceled,
        Self::Unknown,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
        Self::Unauthenticated,
    ];

    /// The code with this number; `None` outside of 0 to 16.
    pub fn from_i32(number: i32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// The HTTP status that carries this code.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Ok => 200,
            Self::Canceled => 499,
            Self::InvalidArgument | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::DeadlineExceeded => 504,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::PermissionDenied => 403,
            Self::ResourceExhausted => 429,
            Self::Unimplemented => 501,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unavailable => 503,
            Self::Unauthenticated => 401,
        }
    }
}

/// What an `error` envelope carries as `code` (spec/realtime-core.md 4.3).
pub use crate::realtime::error::Code as RealtimeCode;

/// What a notification of the server's own is about; a game's codes are above 0 (spec/chat-and-notifications.md B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum NotificationCode {
    /// Somebody wants to chat.
    DirectMessage = -1,
    /// Somebody asks to be a friend.
    FriendRequest = -2,
    /// Somebody has become a friend.
    FriendAccept = -3,
    /// One was taken into a group.
    GroupAdd = -4,
    /// Somebody asks to be taken into a group.
    GroupJoinRequest = -5,
    /// A friend from another network plays now.
    FriendJoinGame = -6,
    /// Another socket takes this one's place. Never stored.
    SingleSocket = -7,
    /// The account was banned. Never stored.
    Banned = -8,
    /// Somebody is no longer a friend, or no longer asks to be.
    FriendRemove = -9,
    /// The session ends soon. Ours, not Nakama's, and so far below its codes. Never stored.
    SessionExpiring = -1_001,
}

impl NotificationCode {
    /// Every code of the server's own.
    pub const ALL: [Self; 10] = [
        Self::DirectMessage,
        Self::FriendRequest,
        Self::FriendAccept,
        Self::GroupAdd,
        Self::GroupJoinRequest,
        Self::FriendJoinGame,
        Self::SingleSocket,
        Self::Banned,
        Self::FriendRemove,
        Self::SessionExpiring,
    ];

    /// Its number on the wire.
    pub const fn number(self) -> i32 {
        self as i32
    }

    /// Whether a program may send `number`: above 0 as PostgreSQL's `smallint` holds it, or -2000 to -1000, but for those that
    /// are the server's own.
    pub fn is_free(number: i32) -> bool {
        let is_a_programs = (1..=i32::from(i16::MAX)).contains(&number) || (-2_000..=-1_000).contains(&number);
        is_a_programs && Self::ALL.iter().all(|own| own.number() != number)
    }
}

/// How the server ends a WebSocket: the code and the reason of its close frame (spec/realtime-core.md 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Close {
    /// RFC 6455 section 7.4.1.
    pub code: u16,
    /// At most 123 bytes, so that it fits into a close frame.
    pub reason: &'static str,
}

impl Close {
    /// A text frame on a protobuf session, or a binary frame on a JSON session.
    pub const UNEXPECTED_FRAME_TYPE: Self = Self::normal("received unexpected WebSocket message type");
    /// The payload is not an envelope.
    pub const MALFORMED_PAYLOAD: Self = Self::normal("received malformed payload");
    /// The envelope has no message, or one that only the server sends; or a hook dropped it.
    pub const PROCESSING_ERROR: Self = Self::normal("error processing message");
    /// The client takes its messages more slowly than they come.
    pub const QUEUE_FULL: Self = Self::normal("session outgoing queue full");
    /// The server ends the session: account deleted or banned, another socket of a single-socket user, game code.
    pub const DISCONNECTED: Self = Self::normal("server-side session disconnect");
    /// Nothing was heard from the client for longer than the pong wait. Nakama names both addresses before `i/o timeout`;
    /// the server's address is nothing that a client needs to see.
    pub const IDLE_TIMEOUT: Self = Self::normal("i/o timeout");
    /// The message is longer than the session takes. The connection is dropped right after.
    pub const MESSAGE_TOO_BIG: Self = Self { code: 1009, reason: "" };
    /// A frame without a mask. The connection is dropped right after, as after the other protocol errors.
    pub const BAD_MASK: Self = Self::protocol_error("bad MASK");
    /// A frame with a reserved bit.
    pub const RESERVED_BIT: Self = Self::protocol_error("RSV1 set");
    /// A frame of no known kind, whose number is not known either. See [`Close::bad_opcode`].
    pub const BAD_OPCODE: Self = Self::protocol_error("bad opcode");
    /// A control frame in fragments.
    pub const FRAGMENTED_CONTROL: Self = Self::protocol_error("FIN not set on control");
    /// A control frame with more than 125 bytes.
    pub const LONG_CONTROL: Self = Self::protocol_error("len > 125 for control");
    /// A new message before the last fragment of the one before.
    pub const UNFINISHED_MESSAGE: Self = Self::protocol_error("data before FIN");
    /// A fragment of no message.
    pub const STRAY_FRAGMENT: Self = Self::protocol_error("continuation after FIN");
    /// The client's close frame has a code that must not be sent.
    pub const BAD_CLOSE_CODE: Self = Self::protocol_error("bad close code");
    /// The server stops. Nakama sends no close frame at all here, which clients see as 1006.
    pub const SHUTTING_DOWN: Self = Self { code: 1001, reason: "server shutting down" };
    /// The session token has ended, and the server is configured to end the socket with it. Ours, not Nakama's.
    pub const SESSION_EXPIRED: Self = Self { code: 4401, reason: "session expired" };
    /// The session was revoked: logged out, banned, deleted, or ended by its identity provider. Ours, not Nakama's.
    pub const SESSION_REVOKED: Self = Self { code: 4402, reason: "session revoked" };
    /// The server stops and keeps its sessions: whoever comes back with the same session token is where it was. Ours.
    pub const RESTARTING: Self = Self { code: 1001, reason: "server restarting" };
    /// Another connection with the same session token has taken the session over. Ours, not Nakama's.
    pub const TAKEN_OVER: Self = Self { code: 4403, reason: "session taken over" };
    /// The client went on asking for more than a limit lets it, refusal after refusal. Ours, not Nakama's.
    pub const FLOODING: Self = Self { code: 4429, reason: "too many refused messages" };
    /// A handler failed in a way it should not have; only its session ends.
    pub const INTERNAL_ERROR: Self = Self { code: 1011, reason: "internal error" };

    /// Every close that the server begins, but for those of [`Close::bad_opcode`].
    pub const ALL: [Self; 22] = [
        Self::UNEXPECTED_FRAME_TYPE,
        Self::MALFORMED_PAYLOAD,
        Self::PROCESSING_ERROR,
        Self::QUEUE_FULL,
        Self::DISCONNECTED,
        Self::IDLE_TIMEOUT,
        Self::MESSAGE_TOO_BIG,
        Self::BAD_MASK,
        Self::RESERVED_BIT,
        Self::BAD_OPCODE,
        Self::FRAGMENTED_CONTROL,
        Self::LONG_CONTROL,
        Self::UNFINISHED_MESSAGE,
        Self::STRAY_FRAGMENT,
        Self::BAD_CLOSE_CODE,
        Self::SHUTTING_DOWN,
        Self::SESSION_EXPIRED,
        Self::SESSION_REVOKED,
        Self::RESTARTING,
        Self::TAKEN_OVER,
        Self::FLOODING,
        Self::INTERNAL_ERROR,
    ];

    /// A frame of no known kind (RFC 6455 section 5.2 reserves 3 to 7 and 11 to 15).
    pub const fn bad_opcode(opcode: u8) -> Self {
        Self::protocol_error(match opcode {
            3 => "bad opcode 3",
            4 => "bad opcode 4",
            5 => "bad opcode 5",
            6 => "bad opcode 6",
            7 => "bad opcode 7",
            11 => "bad opcode 11",
            12 => "bad opcode 12",
            13 => "bad opcode 13",
            14 => "bad opcode 14",
            15 => "bad opcode 15",
            _ => return Self::BAD_OPCODE,
        })
    }

    const fn normal(reason: &'static str) -> Self {
        Self { code: 1000, reason }
    }

    const fn protocol_error(reason: &'static str) -> Self {
        Self { code: 1002, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_by_its_number() {
        for code in Code::ALL {
            assert_eq!(Code::from_i32(code as i32), Some(code));
        }
        for number in [-1, 17, i32::MIN, i32::MAX] {
            assert_eq!(Code::from_i32(number), None);
        }
    }

    #[test]
    fn a_program_sends_its_own_notification_codes_and_none_of_the_servers() {
        for number in [1, 100, i32::from(i16::MAX), -1_000, -2_000] {
            assert!(NotificationCode::is_free(number), "{number}");
        }
        for number in [0, -10, -999, -2_001, i32::from(i16::MAX) + 1, i32::MIN, i32::MAX] {
            assert!(!NotificationCode::is_free(number), "{number}");
        }
        for (at, own) in NotificationCode::ALL.iter().enumerate() {
            assert!(!NotificationCode::is_free(own.number()) && !NotificationCode::ALL[..at].contains(own), "{own:?}");
        }
    }

    #[test]
    fn every_close_fits_into_a_close_frame_and_is_told_apart() {
        for (at, close) in Close::ALL.iter().enumerate() {
            assert!(close.reason.len() <= 123, "{close:?}");
            assert!(!Close::ALL[..at].contains(close), "{close:?}");
        }
    }
}
