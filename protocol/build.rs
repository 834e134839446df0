//! Compiles `proto/` into message types, without an installed protoc.

use std::{env, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["nakama/api.proto", "nakama/realtime.proto"], ["proto"])?;
    let mut prost = prost_build::Config::new();
    prost.bytes(["."]).btree_map(["."]);
    let mut impls = String::new();
    for file in &files.file {
        if file.package() == "google.protobuf" {
            continue;
        }
        let package = file.package().replace('.', "::");
        for message in &file.message_type {
            writeln!(impls, "impl crate::json::JsonMessage for crate::{package}::{} {{}}", message.name())?;
        }
    }
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("json.rs"), impls)?;
    prost.compile_fds(files)?;
    Ok(())
}
