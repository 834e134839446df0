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
