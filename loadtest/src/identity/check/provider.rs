//! Rotation and misbehaviour of a provider, seen from the players' side. Whatever the provider does, whoever has a token of a
//! known key gets in, nobody else does, and everybody gets an answer in time.

use super::Check;
use crate::{
    identity::{
        args::{CheckOptions, KeySets, Told},
        provider::{Provider, Signer},
    },
    progress::tell,
};
use clap::ValueEnum;
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two tries of a token that the server may not know yet.
const RETRY: Duration = Duration::from_millis(200);

/// Plays everything.
///
/// # Errors
/// The provider cannot listen or make keys, or the server never accepts its first token.
pub(super) async fn run(check: &mut Check, options: &CheckOptions, address: SocketAddr) -> Result<(), String> {
    let serving = Provider::serve(address, Told::default()).await?;
    let mut play = Play { check, provider: &serving.provider, key_wait: options.key_wait, patience: options.patience };
    if !options.quiet {
        tell(&format!("waiting until the server accepts a token of {}", serving.provider.issuer));
    }
    play.settled("provider-is-trusted").await;
    if play.check.failed > 0 && play.check.passed == 0 {
        return Err(format!("the server does not trust {}: see --print-trust", serving.provider.issuer));
    }
    play.strangers().await?;
    play.rotations().await?;
    for behaviour in KeySets::value_variants().iter().filter(|behaviour| **behaviour != KeySets::Right) {
        play.misbehaviour(*behaviour).await?;
    }
    play.recovery().await
}

struct Play<'a> {
    check: &'a mut Check,
    provider: &'a Provider,
    key_wait: Duration,
    patience: Duration,
}

impl Play<'_> {
    /// A token of the current key is accepted, sooner or later.
    async fn settled(&mut self, name: &str) {
        let until = Instant::now() + self.patience;
        loop {
            let found = self.current().await;
            if found.is_ok() || Instant::now() >= until {
                let found = found.map_err(|found| format!("{found} after {:?}", self.patience));
                return self.check.note(name, "accepted sooner or later", found);
            }
            sleep(RETRY).await;
        }
    }

    async fn by(&mut self, signer: Signer) -> Result<(), String> {
        let token = self.provider.token("kit", signer)?;
        self.check.present(&token).await.accepted().map(|_| ())
    }

    async fn current(&mut self) -> Result<(), String> {
        self.by(Signer::Current).await
    }

    async fn accepts(&mut self, name: &str, signer: Signer) {
        let found = self.by(signer).await;
        self.check.note(name, "accepted", found);
    }

    async fn refuses(&mut self, name: &str, signer: Signer) -> Result<(), String> {
        let token = self.provider.token("kit", signer)?;
        let found = self.check.present(&token).await.not_accepted();
        self.check.note(name, "not accepted", found);
        Ok(())
    }

    /// Keys that the provider does not have.
    async fn strangers(&mut self) -> Result<(), String> {
        self.refuses("unknown-key", Signer::Stranger).await?;
        self.refuses("unknown-key-again", Signer::Stranger).await?;
        self.accepts("known-key-meanwhile", Signer::Current).await;
        self.refuses("known-key-id-of-another-key", Signer::Impostor).await
    }

    async fn rotations(&mut self) -> Result<(), String> {
        sleep(self.key_wait).await;
        self.provider.publish().await?;
        self.accepts("published-and-not-used", Signer::Current).await;
        self.provider.switch();
        self.accepts("published-then-used", Signer::Current).await;
        self.accepts("key-before-is-still-published", Signer::Previous).await;
        sleep(self.key_wait).await;
        self.provider.publish().await?;
        self.provider.switch();
        self.accepts("used-at-once", Signer::Current).await;
        sleep(self.key_wait).await;
        self.provider.publish().await?;
        self.provider.switch();
        self.provider.withdraw(1);
        self.accepts("used-at-once-others-withdrawn", Signer::Current).await;
        self.refuses("withdrawn-key", Signer::Previous).await
    }

    /// While the provider misbehaves the known key counts, and no other does.
    async fn misbehaviour(&mut self, behaviour: KeySets) -> Result<(), String> {
        let word = behaviour.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        self.provider.tell(Told { key_sets: behaviour, ..Told::default() });
        sleep(self.key_wait).await;
        // Makes the server ask for the key set.
        self.refuses(&format!("{word}-unknown-key"), Signer::Stranger).await?;
        self.accepts(&format!("{word}-known-key"), Signer::Current).await;
        Ok(())
    }

    /// Whatever happened is forgotten when the provider is itself again.
    async fn recovery(&mut self) -> Result<(), String> {
        self.provider.publish().await?;
        self.provider.switch();
        self.provider.tell(Told::default());
        sleep(self.key_wait).await;
        self.settled("new-key-after-everything").await;
        Ok(())
    }
}
