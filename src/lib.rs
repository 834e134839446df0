//! Kizuna: a realtime game server for Nakama clients, with an identity bridge built in.

pub mod clock;
pub mod config;
pub mod error;
pub mod identity;
pub mod net;
