//! Reading the groups of a journal file back, in order or wherever they are.

use std::path::PathBuf;

use super::group::{FileHeader, Found, GROUPS_START, find_group};
use super::recovery::{StartError, at};
use crate::base::block::{BLOCK_ALIGN, Use};
use crate::io::Handle;
use crate::io::file::File;
use crate::io::op::OpenMode;

/// Bytes of a journal that are read at a time.
const WINDOW_BYTES: usize = 4 << 20;

type Result<T> = std::result::Result<T, StartError>;

/// A journal file with what its header says.
pub(super) struct JournalPart {
    pub path: PathBuf,
    pub header: FileHeader,
    /// Its size.
    pub bytes: u64,
}

/// Reads the groups of one journal file through a window.
pub(super) struct GroupReader<'a> {
    io: Handle,
    part: &'a JournalPart,
    file: File,
    /// Where the next group is looked for.
    pub position: u64,
    step: u64,
    window: Vec<u8>,
    window_at: u64,
}

impl<'a> GroupReader<'a> {
    pub async fn open(io: &Handle, part: &'a JournalPart) -> Result<GroupReader<'a>> {
        let file = at(&part.path, File::open(io, &part.path, OpenMode::default()).await)?;
        Ok(GroupReader {
            io: io.clone(),
            part,
            file,
            position: GROUPS_START,
            step: 0,
            window: Vec::new(),
            window_at: 0,
        })
    }

    /// Makes sure that the window holds `bytes` from the position on, as far as the file goes.
    async fn fill(&mut self, bytes: usize) -> Result<()> {
        let have = (self.window_at + self.window.len() as u64).saturating_sub(self.position);
        if self.position >= self.window_at && have >= bytes as u64 {
            return Ok(());
        }
        let size = bytes.max(WINDOW_BYTES).next_multiple_of(BLOCK_ALIGN);
        let size = (size as u64).min(self.part.bytes.saturating_sub(self.position)) as usize;
        self.window.clear();
        self.window_at = self.position;
        let mut block = self.io.pool().block_unlimited(WINDOW_BYTES, Use::Staging).ok_or(StartError::Memory)?;
        while self.window.len() < size {
            let count = (size - self.window.len()).min(WINDOW_BYTES) as u32;
            let from = self.window_at + self.window.len() as u64;
            let (returned, read) = self.file.read_at(&self.io, from, block, count).await;
            block = returned;
            let count = at(&self.part.path, read)? as usize;
            if count == 0 {
                break;
            }
            self.window.extend_from_slice(&block[..count]);
        }
        Ok(())
    }

    fn here(&self) -> &[u8] {
        &self.window[(self.position - self.window_at) as usize..]
    }

    /// Number, durable mark and padded size of the group at the position.
    pub async fn look(&mut self) -> Result<Option<(u64, u64, usize)>> {
        let mut need = BLOCK_ALIGN;
        loop {
            if self.position + need as u64 > self.part.bytes {
                return Ok(None);
            }
            self.fill(need).await?;
            match find_group(&self.part.header, self.here()) {
                Found::Group(group) => return Ok(Some((group.number, group.durable, group.padded))),
                Found::Need(more) if more > need => need = more,
                Found::Need(_) | Found::Nothing => return Ok(None),
            }
        }
    }

    /// The group at the position, if it is the one with the number `expected`: its number and its entries.
    pub async fn next(&mut self, expected: u64) -> Result<Option<(u64, &[u8])>> {
        match self.look().await? {
            Some((number, _, padded)) if number == expected => {
                self.step = padded as u64;
                match find_group(&self.part.header, self.here()) {
                    Found::Group(group) => Ok(Some((number, group.body))),
                    _ => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Goes on behind the group that [`GroupReader::next`] gave.
    pub fn advance(&mut self) {
        self.position += self.step;
    }

    /// The next group anywhere behind the position: its number and durable mark.
    pub async fn scan(&mut self) -> Result<Option<(u64, u64)>> {
        while self.position + BLOCK_ALIGN as u64 <= self.part.bytes {
            let found = self.look().await?;
            self.position += found.map_or(BLOCK_ALIGN, |(_, _, padded)| padded) as u64;
            if let Some((number, durable, _)) = found {
                return Ok(Some((number, durable)));
            }
        }
        Ok(None)
    }
}
