//! A file read through a window, so that its size does not matter.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::report::Report;

/// Bytes that are read at a time unless more are asked for.
const WINDOW_BYTES: usize = 1 << 20;

/// A file and the part of it that is in memory.
pub struct Window {
    file: File,
    length: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> io::Result<Window> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Window { file, length, at: 0, bytes: Vec::new() })
    }

    /// Size of the file when it was opened, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from `at` on: at least `count`, fewer only at the file's end. The walk tells `report` what it reads.
    pub fn get(&mut self, at: u64, count: usize, report: Option<&mut Report>) -> io::Result<&[u8]> {
        let end = at.saturating_add(count as u64).min(self.length);
        if at < self.at || end > self.at + self.bytes.len() as u64 {
            self.load(at, count, report)?;
        }
        let from = usize::try_from(at - self.at).map_or(self.bytes.len(), |from| from.min(self.bytes.len()));
        Ok(&self.bytes[from..])
    }

    /// Forgets what was read, as the file may have changed.
    pub fn forget(&mut self) {
        self.bytes.clear();
    }

    fn load(&mut self, at: u64, count: usize, report: Option<&mut Report>) -> io::Result<()> {
        let size = (count.max(WINDOW_BYTES) as u64).min(self.length.saturating_sub(at)) as usize;
        let behind = self.at + self.bytes.len() as u64;
        self.bytes.resize(size, 0);
        self.at = at;
        let mut filled = 0;
        while filled < size {
            match self.file.read_at(&mut self.bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        if let Some(report) = report {
            report.advance((at + filled as u64).saturating_sub(behind.max(at)));
        }
        Ok(())
    }
}
