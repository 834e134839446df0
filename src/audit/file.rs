//! The file of the audit log, and the older ones beside it: `audit.log`, `audit.log.1` (the newest of the older), and so on.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Bytes that are gathered for one write.
const GATHERED: usize = 64 << 10;

pub(super) struct LogFile {
    path: PathBuf,
    /// `None` after a rotation that failed half-way, until the file can be opened again.
    file: Option<File>,
    bytes: u64,
    max_bytes: u64,
    keep: u32,
    /// Lines for the next write, and how many they are.
    gathered: (Vec<u8>, u64),
    /// The last write failed: it may have left half a line, and was said once.
    failing: bool,
}

impl LogFile {
    pub(super) fn open(path: PathBuf, max_bytes: u64, keep: u32) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let (file, bytes) = append_to(&path)?;
        Ok(Self { path, file: Some(file), bytes, max_bytes, keep, gathered: (Vec::new(), 0), failing: false })
    }

    /// Writes lines, and answers how many of them are lost. A full disk costs the lines, not the server.
    pub(super) fn write(&mut self, lines: impl Iterator<Item = String>) -> u64 {
        let mut lost = 0;
        for line in lines {
            self.gathered.0.extend_from_slice(line.as_bytes());
            self.gathered.0.push(b'\n');
            self.gathered.1 += 1;
            let waiting = self.gathered.0.len();
            if waiting >= GATHERED || self.bytes + waiting as u64 >= self.max_bytes {
                lost += self.put();
            }
        }
        lost + self.put()
    }

    fn put(&mut self) -> u64 {
        let (bytes, lines) = std::mem::take(&mut self.gathered);
        if bytes.is_empty() {
            return 0;
        }
        match self.try_put(&bytes) {
            Ok(()) => {
                self.failing = false;
                0
            }
            Err(error) => {
                if !self.failing {
                    tracing::warn!(%error, file = %self.path.display(), "the audit log cannot be written; its events are lost");
                }
                self.failing = true;
                lines
            }
        }
    }

    fn try_put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes >= self.max_bytes {
            self.rotate()?;
        }
        if self.file.is_none() {
            let (file, length) = append_to(&self.path)?;
            (self.file, self.bytes) = (Some(file), length);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.failing && self.bytes > 0 {
            file.write_all(b"\n")?;
        }
        file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..self.keep).rev() {
            rename_if_there(&numbered(&self.path, number), &numbered(&self.path, number + 1))?;
        }
        match self.keep {
            0 => fs::remove_file(&self.path)?,
            _ => rename_if_there(&self.path, &numbered(&self.path, 1))?,
        }
        self.bytes = 0;
        Ok(())
    }
}

/// Only the server's own user reads it.
fn append_to(path: &Path) -> io::Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    let bytes = file.metadata()?.len();
    Ok((file, bytes))
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn rename_if_there(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
