//! The wish to end a run early: SIGINT or SIGTERM. Whoever starts servers waits for that, too, so that what was started ends with
//! the run.

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Whether the run is to end. Clones are of the same wish.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens for the signals from now on.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn listen() -> Result<Self, String> {
        let told = |error: std::io::Error| error.to_string();
        let mut terminate = signal(SignalKind::terminate()).map_err(told)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(told)?;
        let (wish, wished) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            wish.send_replace(true);
            // The wish stays as long as somebody may look at it.
            wish.closed().await;
        });
        Ok(Self(wished))
    }

    /// What `work` comes to.
    ///
    /// # Errors
    /// The run is to end; `work` is dropped.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let mut wished = self.0.clone();
        tokio::select! {
            biased;
            _ = wished.wait_for(|wished| *wished) => Err("interrupted".to_owned()),
            outcome = work => Ok(outcome),
        }
    }
}
