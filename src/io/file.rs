//! Files and directories.
//!
//! A [`File`] closes itself when its last holder is gone, on whatever reactor that is. Writes and reads loop over
//! short counts; an error is returned as the kernel gave it, and what it means is decided by the caller.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::op::{Fd, Op, OpenMode, Payload, Slices, Space, Stat, errno};
use super::reactor::{Closing, Handle, result_of};
use super::{Error, ErrorKind, Result};
use crate::base::block::{BLOCK_ALIGN, Block};

/// An open file. Clones share it, also across reactors.
#[derive(Clone)]
pub struct File {
    inner: Arc<Inner>,
}

struct Inner {
    fd: Fd,
    path: PathBuf,
    /// Whether it is read and written past the page cache.
    direct: bool,
    closing: Closing,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.closing.push(self.fd);
    }
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "File({})", self.inner.path.display())
    }
}

impl File {
    /// Opens `path`.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn open(io: &Handle, path: &Path, mode: OpenMode) -> Result<File> {
        let completion = io.submit(Op::Open { path: path.to_owned(), mode }).await;
        let fd = Fd(result_of(completion.result)? as i32);
        Ok(File { inner: Arc::new(Inner { fd, path: path.to_owned(), direct: mode.direct, closing: io.closing() }) })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    pub(super) fn fd(&self) -> Fd {
        self.inner.fd
    }

    /// Whether all of `[at, at + bytes)` is in the page cache, or on its way there.
    ///
    /// # Errors
    /// The kernel's: `Unsupported` before Linux 6.5.
    pub async fn is_resident(&self, io: &Handle, at: u64, bytes: u32) -> Result<bool> {
        Ok(result_of(io.submit(Op::IsResident { fd: self.fd(), at, bytes }).await.result)? == 1)
    }

    /// Reads into the front of `block` until `bytes` are there or the file ends; gives the block back with the count.
    pub async fn read_at(&self, io: &Handle, at: u64, block: Block, bytes: u32) -> (Block, Result<u32>) {
        self.read_in_pieces(io, at, block, bytes, u32::MAX).await
    }

    /// As [`File::read_at`], asking for at most `piece` bytes at a time, a multiple of 4 KiB or all there are.
    pub async fn read_in_pieces(
        &self,
        io: &Handle,
        at: u64,
        block: Block,
        bytes: u32,
        piece: u32,
    ) -> (Block, Result<u32>) {
        assert!(bytes as usize <= block.len());
        let (mut block, mut done) = (block, 0);
        while done < bytes {
            if self.inner.direct && !(done as usize).is_multiple_of(BLOCK_ALIGN) {
                // Past the page cache only the end of a file gives less than whole sectors, and nothing can be asked for from there.
                break;
            }
            let (at, bytes) = (at + u64::from(done), piece.min(bytes - done));
            let op = Op::Read { fd: self.fd(), at, into: block, start: done, bytes };
            let completion = io.submit(op).await;
            let Payload::Block(returned) = completion.payload else { unreachable!("a read gives its block back") };
            block = returned;
            match result_of(completion.result) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return (block, Err(error)),
            }
        }
        (block, Ok(done))
    }

    /// Writes all `bytes` at position `at`; with `durable` they are on stable storage when it returns.
    ///
    /// # Errors
    /// The kernel's; some of the bytes may have been written.
    pub async fn write_at(&self, io: &Handle, at: u64, bytes: Slices, durable: bool) -> Result<()> {
        let (mut bytes, mut at) = (bytes, at);
        loop {
            let left: usize = bytes.iter().map(|slice| slice.len()).sum();
            if left == 0 {
                return Ok(());
            }
            let written = io.submit(Op::Write { fd: self.fd(), at, bytes: bytes.clone(), durable }).await.result;
            match result_of(written) {
                Ok(0) => return Err(Error::from_raw_os_error(errno::EIO)),
                Ok(count) if count as usize == left => return Ok(()),
                Ok(count) => {
                    at += u64::from(count);
                    skip(&mut bytes, count as usize);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the content durable (and the metadata, unless `data_only`).
    ///
    /// # Errors
    /// The kernel's; after one, nothing may be assumed about any earlier write to the file.
    pub async fn sync(&self, io: &Handle, data_only: bool) -> Result<()> {
        result_of(io.submit(Op::Sync { fd: self.fd(), data_only }).await.result).map(drop)
    }

    /// Reserves space for `[at, at + bytes)`, which then reads as zeros where nothing was written.
    ///
    /// # Errors
    /// The kernel's; `StorageFull` among them.
    pub async fn allocate(&self, io: &Handle, at: u64, bytes: u64) -> Result<()> {
        result_of(io.submit(Op::Allocate { fd: self.fd(), at, bytes }).await.result).map(drop)
    }

    /// Cuts or extends the file to `bytes`.
    ///
    /// # Errors
    /// The kernel's.
    pub async fn truncate(&self, io: &Handle, bytes: u64) -> Result<()> {
        result_of(io.submit(Op::Truncate { fd: self.fd(), bytes }).await.result).map(drop)
    }
}

/// Drops the first `count` bytes.
pub(super) fn skip(slices: &mut Slices, mut count: usize) {
    while count > 0 {
        let first = slices[0].len();
        if first > count {
            slices[0] = slices[0].slice(count..first);
            return;
        }
        count -= first;
        slices.remove(0);
    }
}

/// Size and kind of `path`; `None` when it does not exist.
///
/// # Errors
/// The kernel's.
pub async fn stat(io: &Handle, path: &Path) -> Result<Option<Stat>> {
    let completion = io.submit(Op::Stat { path: path.to_owned() }).await;
    if completion.result == -errno::ENOENT {
        return Ok(None);
    }
    result_of(completion.result)?;
    let Payload::Stat(stat) = completion.payload else { unreachable!("stat answers with a stat") };
    Ok(Some(stat))
}

/// The names in a directory, sorted.
///
/// # Errors
/// The kernel's.
pub async fn list(io: &Handle, path: &Path) -> Result<Vec<String>> {
    let completion = io.submit(Op::List { path: path.to_owned() }).await;
    result_of(completion.result)?;
    let Payload::Names(mut names) = completion.payload else { unreachable!("list answers with names") };
    names.sort();
    Ok(names)
}

/// Makes a directory; fine if it exists. Its name is durable after a [`sync_directory`] of its parent.
///
/// # Errors
/// The kernel's.
pub async fn create_directory(io: &Handle, path: &Path) -> Result<()> {
    let result = io.submit(Op::CreateDirectory { path: path.to_owned() }).await.result;
    if result == -errno::EEXIST { Ok(()) } else { result_of(result).map(drop) }
}

/// Makes the names in a directory durable.
///
/// # Errors
/// The kernel's.
pub async fn sync_directory(io: &Handle, path: &Path) -> Result<()> {
    let mode = OpenMode { directory: true, ..OpenMode::default() };
    File::open(io, path, mode).await?.sync(io, false).await
}

/// Renames within one file system, replacing the target.
///
/// # Errors
/// The kernel's.
pub async fn rename(io: &Handle, from: &Path, to: &Path) -> Result<()> {
    result_of(io.submit(Op::Rename { from: from.to_owned(), to: to.to_owned() }).await.result).map(drop)
}

/// Removes a file; fine if it does not exist.
///
/// # Errors
/// The kernel's.
pub async fn unlink(io: &Handle, path: &Path) -> Result<()> {
    let result = io.submit(Op::Unlink { path: path.to_owned() }).await.result;
    if result == -errno::ENOENT { Ok(()) } else { result_of(result).map(drop) }
}

/// Removes an empty directory; fine if it does not exist.
///
/// # Errors
/// The kernel's.
pub async fn remove_directory(io: &Handle, path: &Path) -> Result<()> {
    let result = io.submit(Op::RemoveDirectory { path: path.to_owned() }).await.result;
    if result == -errno::ENOENT { Ok(()) } else { result_of(result).map(drop) }
}

/// Room on the file system that holds `path`.
///
/// # Errors
/// The kernel's.
pub async fn space(io: &Handle, path: &Path) -> Result<Space> {
    let completion = io.submit(Op::Space { path: path.to_owned() }).await;
    result_of(completion.result)?;
    let Payload::Space(space) = completion.payload else { unreachable!("space answers with a space") };
    Ok(space)
}

/// Reads a whole file of at most `bytes_max`; `None` when it does not exist.
///
/// # Errors
/// The kernel's; `InvalidData` when the file is larger, `OutOfMemory` when there is no block for it.
pub async fn read_whole(io: &Handle, path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>> {
    const CHUNK: u32 = 1 << 20;
    let Some(stat) = stat(io, path).await? else { return Ok(None) };
    if stat.bytes > bytes_max {
        return Err(Error::new(
            ErrorKind::InvalidData,
            format!("{} bytes where at most {bytes_max} belong", stat.bytes),
        ));
    }
    let file = File::open(io, path, OpenMode::default()).await?;
    let mut content = Vec::with_capacity(stat.bytes as usize);
    let Some(mut block) = io.pool().block_unlimited(CHUNK as usize, crate::base::block::Use::Staging) else {
        return Err(ErrorKind::OutOfMemory.into());
    };
    loop {
        let (returned, read) = file.read_at(io, content.len() as u64, block, CHUNK).await;
        block = returned;
        let count = read? as usize;
        content.extend_from_slice(&block[..count]);
        if count < CHUNK as usize {
            return Ok(Some(content));
        }
    }
}

/// Writes a small file so that a crash leaves the old content or the new one: a temporary file, its sync, the rename,
/// the directory's sync.
///
/// # Errors
/// The kernel's; `OutOfMemory` when there is no block for it.
pub async fn replace(io: &Handle, path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    let mode = OpenMode { write: true, create: true, truncate: true, ..OpenMode::default() };
    let file = File::open(io, &temporary, mode).await?;
    append_copied(io, &file, 0, content).await?;
    file.sync(io, false).await?;
    rename(io, &temporary, path).await?;
    let parent = path.parent().unwrap_or_else(|| Path::new("."));
    sync_directory(io, parent).await
}

/// Writes `content` at `at` by way of blocks (for buffered files: any position, any length).
///
/// # Errors
/// The kernel's; `OutOfMemory` when there is no block for it.
pub async fn append_copied(io: &Handle, file: &File, at: u64, content: &[u8]) -> Result<()> {
    let mut at = at;
    for chunk in content.chunks(1 << 20) {
        let block = io.pool().block_unlimited(chunk.len(), crate::base::block::Use::Staging);
        let Some(mut block) = block else { return Err(ErrorKind::OutOfMemory.into()) };
        block[..chunk.len()].copy_from_slice(chunk);
        let mut slices = Slices::new();
        slices.push(block.into_slice(chunk.len()));
        file.write_at(io, at, slices, false).await?;
        at += chunk.len() as u64;
    }
    Ok(())
}
