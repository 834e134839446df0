//! How costs grow: curves over sockets, matches, receivers and stored accounts, measured against servers that are started for it, and
//! drawn.

pub mod args;
mod bench;
pub mod data;
mod matches;
mod picture;
mod sockets;
mod stored;

use crate::{interrupt::Interrupt, progress::tell};
use args::{Curve, GrowthOptions};
use bench::Bench;
use data::Growth;

/// Measures, or reads what was measured, and draws; false when a curve could not be measured to its end.
///
/// # Errors
/// Why nothing could be measured, read or written.
pub fn execute(options: &GrowthOptions) -> Result<bool, String> {
    if let Some(file) = &options.from {
        draw(&Growth::read(file)?, options)?;
        return Ok(true);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        // What is dropped with the measurement takes its processes and files with it.
        Interrupt::listen()?.or(measure(options)).await?
    })
}

async fn measure(options: &GrowthOptions) -> Result<bool, String> {
    let bench = Bench::new(options.kizuna.as_deref())?;
    let mut growth = Growth::new(options);
    let mut complete = true;
    for curve in Curve::ALL.into_iter().filter(|curve| options.curves.contains(curve)) {
        let outcome = match curve {
            Curve::Sockets => sockets::measure(&bench, options, &mut growth).await,
            Curve::Matches => matches::matches(&bench, options, &mut growth).await,
            Curve::Receivers => matches::receivers(&bench, options, &mut growth).await,
            Curve::Stored => stored::measure(&bench, options, &mut growth).await,
        };
        if let Err(why) = outcome {
            tell(&format!("{} ends early: {why}", curve.name()));
            complete = false;
        }
        if let Some(file) = &options.out {
            growth.write(file)?;
        }
    }
    draw(&growth, options)?;
    Ok(complete)
}

fn draw(growth: &Growth, options: &GrowthOptions) -> Result<(), String> {
    let Some(folder) = &options.draw else { return Ok(()) };
    for file in picture::draw(growth, &options.curves, folder)? {
        tell(&format!("drawn: {file}"));
    }
    Ok(())
}

/// A line of progress.
fn say(what: &str, round: u32, options: &GrowthOptions, outcome: &str) {
    tell(&format!("{what}, round {round} of {}: {outcome}", options.rounds));
}
