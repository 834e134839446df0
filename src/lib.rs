//! Kizuna: a realtime game server for Nakama clients, with an identity bridge built in.

pub mod app;
pub mod audit;
pub mod clock;
pub mod config;
pub mod error;
pub mod features;
pub mod hooks;
pub mod identity;
pub mod lifecycle;
pub mod net;
pub mod rate;
pub mod realtime;
pub mod search;
pub mod store;
pub mod telemetry;
