//! Everybody but the players: who signs in, who reads its account, who only waits on a socket.

use super::world::{BackOff, World};
use crate::{
    client::Client,
    http::HttpConnection,
    pacing::{Pace, Turn},
    payload::Format,
    scenario::noise,
    stats::Fault,
};
use std::sync::Arc;
use uuid::Uuid;

/// Signs in at each turn: somebody new, or one of those who have been there, as the same user as ever.
pub(super) async fn sign_in(world: Arc<World>, pace: Arc<Pace>, worker: usize) {
    let mut http = HttpConnection::new(&world.run.api.target);
    let mut back_off = BackOff::new(worker as u64);
    while let Some(turn) = pace.take(&world.run.timer).await {
        let known =
            if is_new(turn.number, world.options.new_share) { None } else { world.book.any(noise(turn.number)) };
        let name = known.as_ref().map_or_else(|| format!("visitor-{}", turn.number), |(name, _)| name.clone());
        let Some(user_id) = user(&world, &mut http, &mut back_off, &name).await else { return };
        world.done(&world.login, worker, turn.intended);
        match known {
            Some((_, before)) if before != user_id => {
                world.failed("login", &Fault::new("came back as another user"));
            }
            Some(_) => {}
            None => world.book.add(name, user_id),
        }
    }
}

/// Tries until it works, or the run is over.
async fn user(world: &World, http: &mut HttpConnection, back_off: &mut BackOff, name: &str) -> Option<Uuid> {
    loop {
        let signed_in = world.sign_in_over(http, name).await;
        let user = signed_in.and_then(|session| session.user_id().ok_or_else(|| Fault::new("a token without user id")));
        match user {
            Ok(user_id) => {
                back_off.reset();
                return Some(user_id);
            }
            Err(fault) => world.failed("login", &fault),
        }
        if world.is_over() {
            return None;
        }
        back_off.wait(world).await;
    }
}

/// Spread evenly, the first of all among them.
fn is_new(number: u64, share: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "logins of a run are far below 2^53")]
    let so_far = |number: u64| (number as f64 * share).ceil();
    so_far(number + 1) > so_far(number)
}

/// Reads its own account at each turn, with one session for the whole run.
pub(super) async fn read_account(world: Arc<World>, pace: Arc<Pace>, worker: usize) {
    let mut http = HttpConnection::new(&world.run.api.target);
    let mut back_off = BackOff::new(worker as u64 | 1 << 32);
    let mut session = None;
    while let Some(turn) = pace.take(&world.run.timer).await {
        while let Err((step, fault)) = read_once(&world, &mut http, &mut session, worker, turn).await {
            world.failed(step, &fault);
            if world.is_over() {
                return;
            }
            back_off.wait(&world).await;
        }
        back_off.reset();
    }
}

async fn read_once(
    world: &World,
    http: &mut HttpConnection,
    session: &mut Option<(String, String)>,
    worker: usize,
    turn: Turn,
) -> Result<(), (&'static str, Fault)> {
    if session.is_none() {
        let signed_in = world.sign_in_over(http, &format!("reader-{worker}")).await;
        let signed_in = signed_in.map_err(|fault| ("login", fault))?;
        let user_id = signed_in.user_id().ok_or_else(|| ("login", Fault::new("a token without user id")))?;
        *session = Some((signed_in.token, user_id.to_string()));
    }
    let Some((token, user_id)) = session else { return Ok(()) };
    let account = world.run.api.account(http, token).await.map_err(|fault| ("read", fault))?;
    if !String::from_utf8_lossy(&account).contains(user_id.as_str()) {
        return Err(("read", Fault::new("the account of another user")));
    }
    world.done(&world.read, worker, turn.intended);
    Ok(())
}

/// Holds a socket, and opens it again with the same session token whenever it is lost.
pub(super) async fn wait(world: Arc<World>, number: u64, format: Format) {
    world.arrive(number).await;
    let mut back_off = BackOff::new(number | 1 << 33);
    let mut token = None;
    while let Err((step, fault)) = wait_once(&world, number, format, &mut token, &mut back_off).await {
        world.failed(step, &fault);
        if world.is_over() {
            return;
        }
        back_off.wait(&world).await;
    }
}

async fn wait_once(
    world: &World,
    number: u64,
    format: Format,
    token: &mut Option<String>,
    back_off: &mut BackOff,
) -> Result<(), (&'static str, Fault)> {
    if token.is_none() {
        let session = world.sign_in(&format!("idle-{number}")).await.map_err(|fault| ("login", fault))?;
        *token = Some(session.token);
    }
    let held = token.as_deref().unwrap_or_default();
    let mut client = Client::open(&world.run, held, format).await.map_err(|fault| ("connect", fault))?;
    back_off.reset();
    let held = client.listen(&world.run.timer, world.end, |_| {}).await;
    let goodbye = client.close().await;
    held.map_err(|fault| ("idle", fault))?;
    goodbye.map_err(|fault| ("leave", fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_players_are_spread_evenly_and_come_first() {
        let new: Vec<_> = (0..20).filter(|number| is_new(*number, 0.25)).collect();
        assert_eq!(new, [0, 4, 8, 12, 16]);
        assert!(is_new(0, 0.2) && !is_new(0, 0.0) && (0..9).all(|number| is_new(number, 1.0)));
    }
}
