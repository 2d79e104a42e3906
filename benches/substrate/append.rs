//! What both sides of the append job share: the file, and the group that producers fill.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use flumen::base::oneshot;

/// Producers, and batches that each has in flight.
pub const PRODUCERS: usize = 16 * 4;
/// The most bytes of a group.
pub const GROUP_BYTES: usize = 1 << 20;
/// Writes in flight.
pub const WRITES: usize = 2;
/// Size of the file, which is written round and round.
pub const FILE_BYTES: u64 = 256 << 20;

pub fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("substrate.journal")
}

/// Makes the file, every block of it written, unless it is there.
pub fn prepare_file() {
    if std::fs::metadata(path()).is_ok_and(|metadata| metadata.len() == FILE_BYTES) {
        return;
    }
    let mut file = File::create(path()).expect("a file for the append job");
    let zeros = vec![0; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&zeros).expect("room for the append job");
    }
    file.sync_all().expect("a sync");
}

/// The group that is being filled: `B` is the substrate's buffer.
pub struct Filling<B> {
    pub group: Option<Group<B>>,
    /// Batches that found no room in the group; their producers wait for the next one.
    pub waiting: Vec<oneshot::Sender<()>>,
    /// The writer, asleep for want of a group.
    pub writer: Option<oneshot::Sender<()>>,
    /// Position of the next group in the file.
    pub at: u64,
}

/// A buffer with its batches, and who awaits their durability.
pub struct Group<B> {
    pub buffer: B,
    pub bytes: usize,
    pub producers: Vec<oneshot::Sender<()>>,
}

impl<B> Default for Filling<B> {
    fn default() -> Self {
        Filling { group: None, waiting: Vec::new(), writer: None, at: 0 }
    }
}

impl<B> Filling<B> {
    /// Copies `batch` into the group, made with `make` if there is none; tells where to await its durability, or
    /// (`Err`) where to await room.
    pub fn append(
        &mut self,
        batch: &[u8],
        make: impl FnOnce() -> B,
        bytes_of: impl Fn(&mut B) -> &mut [u8],
    ) -> Result<oneshot::Receiver<()>, oneshot::Receiver<()>> {
        let (sender, receiver) = oneshot::channel();
        let group = self.group.get_or_insert_with(|| Group { buffer: make(), bytes: 0, producers: Vec::new() });
        if group.bytes + batch.len() > GROUP_BYTES {
            self.waiting.push(sender);
            return Err(receiver);
        }
        bytes_of(&mut group.buffer)[group.bytes..group.bytes + batch.len()].copy_from_slice(batch);
        group.bytes += batch.len();
        group.producers.push(sender);
        if let Some(writer) = self.writer.take() {
            writer.send(());
        }
        Ok(receiver)
    }

    /// The group to write next and its position; `Err` tells where to await one.
    pub fn take(&mut self) -> Result<(Group<B>, u64), oneshot::Receiver<()>> {
        let Some(group) = self.group.take() else {
            let (sender, receiver) = oneshot::channel();
            self.writer = Some(sender);
            return Err(receiver);
        };
        if self.at + GROUP_BYTES as u64 > FILE_BYTES {
            self.at = 0;
        }
        let at = self.at;
        self.at += group.bytes as u64;
        for waiting in self.waiting.drain(..) {
            waiting.send(());
        }
        Ok((group, at))
    }
}
