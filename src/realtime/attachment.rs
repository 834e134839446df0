//! Who keeps a session. Exactly one task does: that of its socket, or, while it has none, the one that waits for the player to
//! come back. What it holds for that is the [`Keeper`], which passes from task to task by value: no two tasks write for one
//! session, and wherever the keeper is dropped, a panic included, the session ends, once.
//!
//! Who wants to take a session over leaves a claim; the keeper's task finds it when it next looks, gives back what it had taken
//! but not sent, and hands itself over. A later claim takes the place of an earlier one.

use super::Session;
use parking_lot::Mutex;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};
use tokio::sync::oneshot;

/// A session's side of it.
#[derive(Debug, Default)]
pub(super) struct Attachment {
    /// Guards who may have the session next; held for a swap.
    state: Mutex<State>,
    /// A claim waits, or the session is to be suspended: what a keeper's task looks at on every turn, without the lock.
    called: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The session has no keeper any more, and never will.
    over: bool,
    suspending: bool,
    claim: Option<oneshot::Sender<Keeper>>,
}

/// What a keeper is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Another connection wants the session: see [`Keeper::hand_over`].
    Claimed,
    /// The server stops and keeps its sessions: see [`Keeper::suspend`].
    Suspended,
}

/// A place in the queue for a session; of length one.
#[derive(Debug)]
pub struct Claim(oneshot::Receiver<Keeper>);

impl Claim {
    /// Waits for the session. `None`: it is over, or somebody else claimed it later.
    pub async fn granted(self) -> Option<Keeper> {
        self.0.await.ok()
    }
}

impl Session {
    /// Asks for the session on behalf of another connection. `None` if it is over or about to be: then there is nothing to take
    /// over.
    pub fn claim(&self) -> Option<Claim> {
        if self.outbound().closing().is_some() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        let earlier = {
            let mut state = self.attachment().state.lock();
            if state.over || state.suspending {
                return None;
            }
            self.attachment().called.store(true, Release);
            state.claim.replace(sender)
        };
        drop(earlier);
        self.outbound().wake();
        Some(Claim(receiver))
    }

    /// Whether another connection may take the session over.
    pub fn is_claimable(&self) -> bool {
        let state = self.attachment().state.lock();
        !state.over && !state.suspending && self.outbound().closing().is_none()
    }

    /// The server stops: whoever keeps the session is to leave it as it is, and nobody takes it over any more.
    pub fn ask_to_suspend(&self) {
        let claim = {
            let mut state = self.attachment().state.lock();
            state.suspending = true;
            self.attachment().called.store(true, Release);
            state.claim.take()
        };
        drop(claim);
        self.outbound().wake();
    }

    /// What the session's keeper is asked for now. A task that has registered with [`super::Outbound::poll_closing`] or
    /// [`super::Outbound::poll_take`] before it looked is woken when that changes.
    pub fn called(&self) -> Option<Call> {
        if !self.attachment().called.load(Acquire) {
            return None;
        }
        let state = self.attachment().state.lock();
        match (state.suspending, &state.claim) {
            (true, _) => Some(Call::Suspended),
            (false, Some(_)) => Some(Call::Claimed),
            (false, None) => None,
        }
    }
}

/// What ends a session.
type Ending = Box<dyn FnOnce(&Arc<Session>) + Send>;

/// The duty to end a session. Dropped, it ends it.
pub struct Keeper {
    session: Arc<Session>,
    /// `None` once it is done, or not to be done.
    ending: Option<Ending>,
}

impl Keeper {
    /// The first keeper of a new session; `ending` runs when the last one is dropped.
    pub fn new(session: Arc<Session>, ending: impl FnOnce(&Arc<Session>) + Send + 'static) -> Self {
        Self { session, ending: Some(Box::new(ending)) }
    }

    /// The session.
    pub fn session(&self) -> &Arc<Session> {
        &self.session
    }

    /// Hands the session to whoever claims it. What was taken from its queue must have been given back before.
    ///
    /// # Errors
    /// Nobody claims it, or whoever did is gone: the keeper stays.
    pub fn hand_over(mut self) -> Result<(), Self> {
        loop {
            let claim = {
                let mut state = self.session.attachment().state.lock();
                self.session.attachment().called.store(state.suspending, Release);
                state.claim.take()
            };
            let Some(claim) = claim else { return Err(self) };
            match claim.send(self) {
                Ok(()) => return Ok(()),
                Err(refused) => self = refused,
            }
        }
    }

    /// Leaves the session as it is, for a snapshot: it stays in everything, with nobody to keep it.
    pub fn suspend(mut self) {
        self.ending = None;
        self.let_go();
    }

    /// From now on nobody can claim the session; who does already is told.
    fn let_go(&self) {
        let claim = {
            let mut state = self.session.attachment().state.lock();
            state.over = true;
            state.claim.take()
        };
        drop(claim);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(ending) = self.ending.take() {
            self.let_go();
            ending(&self.session);
        }
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").field("session", &self.session.id()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::{Tenant, session::SessionClaims},
        realtime::{DetachedBounds, OutboundLimits},
    };
    use kizuna_protocol::{code::Close, envelope::Format};
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use tokio_tungstenite::tungstenite::Message;
    use uuid::Uuid;

    const PLENTY: OutboundLimits = OutboundLimits { messages: 1 << 20, bytes: 1 << 30 };

    fn session() -> Arc<Session> {
        let claims = SessionClaims {
            user_id: Uuid::from_u128(1),
            username: "ann".into(),
            vars: Arc::default(),
            token_id: None,
            expires_unix: 0,
            issued_unix: 0,
            origin: None,
            tenant: Tenant::NONE,
            signature: [0; 32],
        };
        Session::new(Arc::new(claims), Uuid::from_u128(2), Format::Json, false, PLENTY)
    }

    /// A session, its keeper, and how often it has ended.
    fn kept() -> (Arc<Session>, Keeper, Arc<AtomicUsize>) {
        let (session, ended) = (session(), Arc::new(AtomicUsize::new(0)));
        let count = ended.clone();
        let keeper = Keeper::new(session.clone(), move |_| {
            count.fetch_add(1, SeqCst);
        });
        (session, keeper, ended)
    }

    /// With the two counters of its Arc it is 512 bytes, which is what the allocator gives; one byte more would take 640.
    #[test]
    fn a_session_is_no_larger_than_an_idle_socket_can_afford() {
        assert!(size_of::<Session>() <= 496, "{}", size_of::<Session>());
    }

    #[tokio::test]
    async fn a_claim_gets_the_session_and_it_ends_once() {
        let (session, keeper, ended) = kept();
        assert_eq!(session.called(), None);
        let claim = session.claim().expect("it lives");
        assert_eq!(session.called(), Some(Call::Claimed));
        keeper.hand_over().expect("somebody wants it");
        assert_eq!((session.called(), ended.load(SeqCst)), (None, 0));
        let keeper = claim.granted().await.expect("granted");
        drop(keeper);
        assert_eq!(ended.load(SeqCst), 1);
        assert!(session.claim().is_none() && !session.is_claimable());
    }

    #[tokio::test]
    async fn a_later_claim_takes_the_place_of_an_earlier_one() {
        let (session, keeper, _ended) = kept();
        let (first, second) = (session.claim().expect("it lives"), session.claim().expect("it lives"));
        keeper.hand_over().expect("somebody wants it");
        assert!(first.granted().await.is_none());
        assert!(second.granted().await.is_some());
    }

    #[tokio::test]
    async fn who_claims_and_goes_away_leaves_the_keeper_where_it_is_or_ends_the_session() {
        let (session, keeper, ended) = kept();
        drop(session.claim());
        let keeper = keeper.hand_over().expect_err("nobody is there");
        assert_eq!((session.called(), ended.load(SeqCst)), (None, 0));
        let claim = session.claim().expect("it lives");
        keeper.hand_over().expect("somebody wants it");
        drop(claim);
        assert_eq!(ended.load(SeqCst), 1, "in nobody's hands is the end");
    }

    #[tokio::test]
    async fn the_end_of_a_session_tells_who_waits_for_it() {
        let (session, keeper, _ended) = kept();
        let claim = session.claim().expect("it lives");
        drop(keeper);
        assert!(claim.granted().await.is_none());
    }

    #[test]
    fn what_is_to_be_closed_is_not_claimed() {
        let (session, _keeper, _ended) = kept();
        session.outbound().close(Close::SESSION_REVOKED);
        assert!(session.claim().is_none());
    }

    #[tokio::test]
    async fn what_is_suspended_never_ends_and_is_not_claimed() {
        let (session, keeper, ended) = kept();
        let claim = session.claim().expect("it lives");
        session.ask_to_suspend();
        assert_eq!(session.called(), Some(Call::Suspended));
        assert!(claim.granted().await.is_none() && session.claim().is_none());
        keeper.suspend();
        assert_eq!(ended.load(SeqCst), 0);
    }

    /// What may happen next, by whoever is concerned.
    #[derive(Clone, Copy, Debug)]
    enum Turn {
        Push,
        Claim,
        GiveUpClaim(usize),
        /// The keeper's task takes what waits, sends half of it, and looks whether it is asked for something.
        Work,
        /// Somebody who was granted the session begins.
        Begin(usize),
        Lose,
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            4 => Just(Turn::Push),
            3 => Just(Turn::Claim),
            1 => (0_usize..4).prop_map(Turn::GiveUpClaim),
            4 => Just(Turn::Work),
            3 => (0_usize..4).prop_map(Turn::Begin),
            1 => Just(Turn::Lose),
        ]
    }

    proptest! {
        /// Every order in which the parties can come by: one keeper at most, one end at most, and what was sent is what was
        /// pushed, in order, without a gap.
        #[test]
        fn in_every_order_of_events_there_is_one_keeper_and_nothing_is_lost_or_doubled(
            turns in prop::collection::vec(turn(), 1..120),
        ) {
            let (session, first, ended) = kept();
            let (mut keeper, mut claims, mut sent, mut pushed) = (Some(first), Vec::<Claim>::new(), Vec::new(), 0);
            for turn in turns {
                match turn {
                    Turn::Push => {
                        session.outbound().push(Message::text(pushed.to_string()));
                        pushed += 1;
                    }
                    Turn::Claim => claims.extend(session.claim()),
                    Turn::GiveUpClaim(index) if index < claims.len() => drop(claims.remove(index)),
                    Turn::Begin(index) if index < claims.len() => {
                        if let Ok(granted) = claims[index].0.try_recv() {
                            prop_assert!(keeper.is_none(), "two keepers");
                            keeper = Some(granted);
                            claims.remove(index);
                        }
                    }
                    Turn::GiveUpClaim(_) | Turn::Begin(_) => {}
                    Turn::Lose => session.outbound().detach(DetachedBounds::of(PLENTY, 1 << 30)),
                    Turn::Work => {
                        let Some(held) = keeper.take() else { continue };
                        let mut batch = session.outbound().attach();
                        let half = batch.len() / 2;
                        sent.extend(batch.drain(..half));
                        session.outbound().put_back(batch);
                        keeper = match session.called() {
                            Some(_) => held.hand_over().err(),
                            None => Some(held),
                        };
                    }
                }
                prop_assert!(ended.load(SeqCst) <= 1);
            }
            drop(claims);
            let lives = keeper.is_some();
            prop_assert_eq!(ended.load(SeqCst), usize::from(!lives));
            sent.extend(session.outbound().attach());
            prop_assert_eq!(sent, (0..pushed).map(|number| Message::text(number.to_string())).collect::<Vec<_>>());
            drop(keeper);
            prop_assert_eq!(ended.load(SeqCst), 1);
        }
    }
}
