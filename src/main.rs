//! The `kizuna` command.
fn main() {}
