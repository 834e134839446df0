//! The `kizuna` command: arguments in, exit status out.

mod commands;

use clap::Parser;
use std::process::ExitCode;

/// Chosen by measurement: docs/decisions/0007-jemalloc.md.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    commands::run(commands::Arguments::parse())
}
