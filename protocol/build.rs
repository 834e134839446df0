//! Compiles `proto/` into message types and their JSON codec, without an installed protoc.

#[path = "build/codec.rs"]
mod codec;

use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    println!("cargo::rerun-if-changed=build");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let files = protox::compile(["nakama/api.proto", "nakama/realtime.proto"], ["proto"])?;
    fs::write(out.join("codec.rs"), codec::generate(&files)?)?;
    fs::write(out.join("descriptors.bin"), without_comments(files.clone()).encode_to_vec())?;
    let mut prost = prost_build::Config::new();
    prost.bytes(["."]).btree_map(["."]);
    prost.compile_fds(files)?;
    Ok(())
}

fn without_comments(mut files: prost_types::FileDescriptorSet) -> prost_types::FileDescriptorSet {
    for file in &mut files.file {
        file.source_code_info = None;
    }
    files
}
