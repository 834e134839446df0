//! The command `loadtest`.

use clap::Parser;
use loadtest::{args::Arguments, execute, progress::tell};
use std::process::ExitCode;

fn main() -> ExitCode {
    match execute(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(why) => {
            tell(&format!("loadtest: {why}"));
            ExitCode::from(2)
        }
    }
}
