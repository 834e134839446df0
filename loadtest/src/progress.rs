//! A line a second while a scenario runs, and the terminal.

use crate::{
    process::Processes,
    stats::{Faults, Meter},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior},
};

/// Prints to standard output: the tables.
#[expect(clippy::print_stdout, reason = "the one place that writes to standard output")]
pub fn print(text: &str) {
    print!("{text}");
}

/// Prints a line to standard error: progress, and why a run could not be made.
#[expect(clippy::print_stderr, reason = "the one place that writes to standard error")]
pub fn tell(line: &str) {
    eprintln!("{line}");
}

/// What a progress line is about.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The phase.
    pub name: String,
    /// What is counted, by name.
    pub meters: Vec<(&'static str, Arc<Meter>)>,
    /// What failed.
    pub faults: Arc<Faults>,
}

/// Prints while it lives.
#[derive(Debug)]
pub struct Progress(JoinHandle<()>);

impl Progress {
    /// Prints a line each second, and each second looks at the processes, so that none of their threads is missed.
    pub fn start(watched: Watched, processes: Arc<Processes>, quiet: bool) -> Self {
        Self(tokio::spawn(async move {
            let start = Instant::now();
            let mut ticks = tokio::time::interval(Duration::from_secs(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut last: Vec<u64> = vec![0; watched.meters.len()];
            ticks.tick().await;
            loop {
                ticks.tick().await;
                processes.snapshot();
                let done: Vec<u64> = watched.meters.iter().map(|(_, meter)| meter.done()).collect();
                if !quiet {
                    tell(&line(&watched, start.elapsed(), &last, &done));
                }
                last = done;
            }
        }))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn line(watched: &Watched, elapsed: Duration, last: &[u64], done: &[u64]) -> String {
    let mut line = format!("{} {:>4.0} s", watched.name, elapsed.as_secs_f64());
    for ((name, _), (before, now)) in watched.meters.iter().zip(last.iter().zip(done)) {
        line += &format!("  {name} {now} (+{})", now - before);
    }
    match watched.faults.total() {
        0 => line,
        failed => line + &format!("  errors {failed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_many_and_how_many_more() {
        let watched = Watched { name: "login".into(), meters: vec![("done", Arc::default())], faults: Arc::default() };
        assert_eq!(line(&watched, Duration::from_secs(3), &[10], &[25]), "login    3 s  done 25 (+15)");
        watched.faults.add("login", &crate::stats::Fault::new("http 500"));
        assert!(line(&watched, Duration::from_secs(3), &[0], &[0]).ends_with("errors 1"));
    }
}
