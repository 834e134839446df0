//! What the sections about sockets must be like.

use super::{Config, ConfigError, load::check};

/// Judges what happens over sockets.
///
/// # Errors
/// The first key that breaks a rule.
pub(super) fn judge_realtime(config: &Config) -> Result<(), ConfigError> {
    let Config { realtime, status, party, matchmaker, notification, friend, limits, .. } = config;
    for (value, path) in [
        (realtime.resume_max_messages, "realtime.resume_max_messages"),
        (realtime.resume_max_bytes, "realtime.resume_max_bytes"),
        (realtime.resume_max_total_bytes, "realtime.resume_max_total_bytes"),
        (realtime.resume_max_sessions, "realtime.resume_max_sessions"),
        (realtime.presence_batch_members, "realtime.presence_batch_members"),
        (realtime.max_streams_per_session, "realtime.max_streams_per_session"),
        (realtime.max_stream_members, "realtime.max_stream_members"),
        (status.max_follows, "status.max_follows"),
        (party.max_per_session, "party.max_per_session"),
        (party.max_per_user, "party.max_per_user"),
        (matchmaker.max_tickets, "matchmaker.max_tickets"),
        (matchmaker.max_pool, "matchmaker.max_pool"),
        (matchmaker.max_query_bytes, "matchmaker.max_query_bytes"),
        (matchmaker.max_properties, "matchmaker.max_properties"),
        (matchmaker.max_expressions, "matchmaker.max_expressions"),
        (notification.max_per_user, "notification.max_per_user"),
        (notification.max_per_sender, "notification.max_per_sender"),
        (friend.max_per_user, "friend.max_per_user"),
        (friend.max_per_call, "friend.max_per_call"),
        (friend.max_looked_at, "friend.max_looked_at"),
        (limits.max_remembered, "limits.max_remembered"),
        (limits.matches_per_user, "limits.matches_per_user"),
        (limits.streams_per_user, "limits.streams_per_user"),
    ] {
        check(value >= 1, path, "1 or more")?;
    }
    let day = 86_400_000;
    check(realtime.resume_window_ms <= day, "realtime.resume_window_ms", "0 to 86400000")?;
    check(realtime.presence_batch_ms <= 1_000, "realtime.presence_batch_ms", "0 to 1000")?;
    check(
        !realtime.snapshot || realtime.resume_window_ms > 0,
        "realtime.snapshot",
        "true only with realtime.resume_window_ms above 0: what is taken up has to wait for its players",
    )?;
    check((1..=86_400).contains(&matchmaker.interval_sec), "matchmaker.interval_sec", "1 to 86400")?;
    check(matchmaker.max_steps >= 10_000, "matchmaker.max_steps", "10000 or more")?;
    check(party.max_list_steps >= 10_000, "party.max_list_steps", "10000 or more")?;
    check(matchmaker.max_intervals >= 1, "matchmaker.max_intervals", "1 or more")?;
    check((2..=4_096).contains(&matchmaker.max_users), "matchmaker.max_users", "2 to 4096")?;
    check(limits.burst >= 1, "limits.burst", "1 or more")
}
