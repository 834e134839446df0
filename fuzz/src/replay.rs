//! The seeds of a fuzz target, without a fuzzer: for the tests, on stable.

use std::{fs, path::Path};

/// Runs `target` over the seeds in `folder`, whole and cut short.
pub fn replay(folder: &Path, target: fn(&[u8])) {
    let files = fs::read_dir(folder).expect("every target has seeds").map(|entry| entry.expect("readable").path());
    let mut count = 0;
    for file in files {
        let data = fs::read(&file).expect("readable");
        // Cut short anywhere, it must not break anything either.
        for end in 0..=data.len().min(512) {
            target(&data[..end]);
        }
        target(&data);
        count += 1;
    }
    assert!(count > 0, "no seeds in {}", folder.display());
}
