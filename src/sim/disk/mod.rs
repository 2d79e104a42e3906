//! The file system of one simulated machine, with what processes see kept apart from what a power cut would leave.
//!
//! **Owns:** the content of files, the names of files and directories, the room on the device, and which changes of each
//! a power cut undoes. Strict POSIX: data is durable after a durable write of it or a sync of its file, a name after a
//! sync of its directory, and nothing else is promised. Errors are errno values (positive).
//!
//! **Never:** knows time: [`super::storage`] decides when an operation takes effect, and this module what the effect is.
//!
//! **Start reading at** `content`.

mod content;
mod directory;
mod extents;
#[cfg(test)]
mod tests;

use slab::Slab;

use self::content::{Content, PAGE, pages_of};
use self::directory::Directory;
use super::errors::{EFBIG, EISDIR};
use crate::base::prng::Prng;
use crate::io::op::{OpenMode, Space, Stat, errno};
use crate::io::{Path, PathBuf};

/// O_DIRECT takes addresses, positions and lengths that are multiples of this: the strictest of the devices in use.
pub(super) const DIRECT_ALIGN: u64 = PAGE;
/// Largest file: what a signed 64-bit position reaches.
const FILE_BYTES_MAX: u64 = i64::MAX as u64;

/// Names a file or directory on its disk, whatever its path.
pub type InodeId = usize;

/// What a power cut does to what was not made durable. The default is the basic model: all of it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PowerCut {
    /// Of a hundred changed pages, how many reached the device all the same.
    pub pages_kept_percent: u8,
    /// Of a hundred changed pages, how many reached it in part: each 512-byte sector is old or new.
    pub pages_torn_percent: u8,
    /// Of a hundred files whose size was not synced, how many have the new size.
    pub sizes_kept_percent: u8,
    /// Of a hundred writes that had not completed, how many count as changes at all.
    pub writes_in_flight_percent: u8,
    /// Whether the oldest of the unsynced changes of names, a random number of them, are kept (as a file system with an
    /// ordered journal keeps them).
    pub names_kept: bool,
}

impl PowerCut {
    /// A cut that keeps, loses and tears, each often enough.
    pub fn mixed() -> PowerCut {
        PowerCut {
            pages_kept_percent: 40,
            pages_torn_percent: 20,
            sizes_kept_percent: 50,
            writes_in_flight_percent: 50,
            names_kept: true,
        }
    }

    /// A cut that tears half of what was being written, and keeps the other half.
    pub fn torn() -> PowerCut {
        PowerCut {
            pages_kept_percent: 50,
            pages_torn_percent: 50,
            sizes_kept_percent: 100,
            writes_in_flight_percent: 100,
            names_kept: true,
        }
    }

    pub(super) fn happens(&self, percent: u8, random: &mut Prng) -> bool {
        percent > 0 && random.below(100) < u64::from(percent)
    }
}

/// A file system in memory.
pub struct Disk {
    inodes: Slab<Inode>,
    root: InodeId,
    /// Pages that the device has.
    capacity: u64,
    /// Pages in use.
    used: u64,
    /// Orders changes of names over all directories.
    changes: u64,
}

struct Inode {
    /// Entries that name it.
    names: u32,
    /// Unsynced changes of names whose undoing would name it again.
    remembered: u32,
    /// Whether it was unnamed and unheld, so that its room counts as free though a power cut could bring it back.
    room_given_back: bool,
    /// Descriptors and operations that use it.
    holders: u32,
    body: Body,
}

enum Body {
    File(Content),
    Directory(Directory),
}

impl Inode {
    fn new(body: Body) -> Inode {
        Inode { names: 0, remembered: 0, room_given_back: false, holders: 0, body }
    }
}

/// The outcome of an operation: an errno when it fails.
pub(super) type Outcome<T> = Result<T, i32>;

impl Disk {
    /// An empty file system of `bytes`.
    pub fn new(bytes: u64) -> Disk {
        let mut inodes = Slab::new();
        let root = inodes.insert(Inode { names: 1, ..Inode::new(Body::Directory(Directory::default())) });
        Disk { inodes, root, capacity: bytes / PAGE, used: 0, changes: 0 }
    }

    /// Opens, and holds what it opened for the caller.
    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> Outcome<InodeId> {
        if mode.directory && mode.create {
            return Err(errno::EINVAL);
        }
        let found = match self.find(path) {
            Err(errno::ENOENT) if mode.create => self.create_file(path)?,
            found => found?,
        };
        match &self.inodes[found].body {
            Body::File(_) if mode.directory => return Err(errno::ENOTDIR),
            Body::Directory(_) if mode.write || mode.create || mode.truncate => return Err(EISDIR),
            _ => {}
        }
        if mode.truncate {
            self.truncate(found, 0)?;
        }
        self.hold(found);
        Ok(found)
    }

    fn create_file(&mut self, path: &Path) -> Outcome<InodeId> {
        let (parent, name) = self.parent_of(path)?;
        let file = self.inodes.insert(Inode::new(Body::File(Content::default())));
        let number = self.next_change();
        self.set_entry(number, parent, &name, Some(file));
        Ok(file)
    }

    /// Keeps a file from being freed until [`Disk::release`], whatever becomes of its names.
    pub(super) fn hold(&mut self, inode: InodeId) {
        self.inodes[inode].holders += 1;
    }

    pub(super) fn release(&mut self, inode: InodeId) {
        self.inodes[inode].holders -= 1;
        self.free_unused(inode);
    }

    fn free_unused(&mut self, id: InodeId) {
        let inode = &mut self.inodes[id];
        if inode.names > 0 || inode.holders > 0 {
            return;
        }
        if let Body::File(content) = &inode.body
            && !inode.room_given_back
        {
            self.used -= content.allocated.count();
            inode.room_given_back = true;
        }
        if inode.remembered == 0
            && let Body::Directory(mut directory) = self.inodes.remove(id).body
        {
            self.forget(directory.sync());
        }
    }

    /// Drops the memory of what changed names named before.
    fn forget(&mut self, before: Vec<InodeId>) {
        for id in before {
            self.inodes[id].remembered -= 1;
            self.free_unused(id);
        }
    }

    fn content(&mut self, inode: InodeId) -> Outcome<&mut Content> {
        match &mut self.inodes[inode].body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(EISDIR),
        }
    }

    /// Whether it is a directory.
    pub(super) fn is_directory(&self, inode: InodeId) -> bool {
        matches!(self.inodes[inode].body, Body::Directory(_))
    }

    /// Size of an open file.
    pub(super) fn bytes(&self, inode: InodeId) -> u64 {
        match &self.inodes[inode].body {
            Body::File(content) => content.bytes,
            Body::Directory(_) => 0,
        }
    }

    /// Reads; the count is short only at the end of the file.
    pub(super) fn read(&mut self, inode: InodeId, at: u64, into: &mut [u8]) -> Outcome<usize> {
        let content = self.content(inode)?;
        let wanted = (into.len() as u64).min(content.bytes.saturating_sub(at));
        if content.is_readable(at, wanted) { Ok(content.read(at, into)) } else { Err(errno::EIO) }
    }

    /// Writes as much as there is room for.
    pub(super) fn write(&mut self, inode: InodeId, at: u64, bytes: &[u8], durable: bool) -> Outcome<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let wanted = bytes.len() as u64;
        if at.checked_add(wanted).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(EFBIG);
        }
        let free = self.capacity - self.used;
        let content = self.content(inode)?;
        let pages = pages_of(at, wanted);
        let mut last = pages.end;
        if content.allocated.missing(pages.clone()) > free {
            // The kernel writes up to the last page it finds room for.
            last = pages.start;
            while content.allocated.missing(pages.start..last + 1) <= free {
                last += 1;
            }
        }
        let count = wanted.min((last * PAGE).saturating_sub(at));
        if count == 0 {
            return Err(errno::ENOSPC);
        }
        let added = content.allocated.insert(pages.start..last);
        content.write(at, &bytes[..count as usize], durable);
        self.used += added;
        Ok(count as usize)
    }

    /// Makes a file's content and size, or a directory's names, durable.
    pub(super) fn sync(&mut self, inode: InodeId) {
        match &mut self.inodes[inode].body {
            Body::File(content) => content.sync(),
            Body::Directory(directory) => {
                let before = directory.sync();
                self.forget(before);
            }
        }
    }

    /// A sync that reports an error, and leaves some changes in memory that no later sync will write.
    pub(super) fn sync_fails(&mut self, inode: InodeId, random: &mut Prng) {
        if let Body::File(content) = &mut self.inodes[inode].body {
            content.sync_fails(random);
        }
    }

    /// Reserves room and grows the file to cover it.
    pub(super) fn allocate(&mut self, inode: InodeId, at: u64, bytes: u64) -> Outcome<()> {
        if bytes == 0 {
            return Err(errno::EINVAL);
        }
        if at.checked_add(bytes).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(EFBIG);
        }
        let free = self.capacity - self.used;
        let content = self.content(inode)?;
        let pages = pages_of(at, bytes);
        if content.allocated.missing(pages.clone()) > free {
            return Err(errno::ENOSPC);
        }
        let added = content.allocated.insert(pages);
        if content.bytes < at + bytes {
            content.truncate(at + bytes);
        }
        self.used += added;
        Ok(())
    }

    /// Cuts or extends a file.
    pub(super) fn truncate(&mut self, inode: InodeId, bytes: u64) -> Outcome<()> {
        if bytes > FILE_BYTES_MAX {
            return Err(errno::EINVAL);
        }
        let freed = self.content(inode)?.truncate(bytes);
        self.used -= freed;
        Ok(())
    }

    /// Size and kind of what a path names.
    pub(super) fn stat(&self, path: &Path) -> Outcome<Stat> {
        let inode = self.find(path)?;
        Ok(Stat { bytes: self.bytes(inode), directory: self.is_directory(inode) })
    }

    /// Room on the file system.
    pub fn space(&self) -> Space {
        Space { free: (self.capacity - self.used) * PAGE, total: self.capacity * PAGE }
    }

    /// Changes the size of the file system, not below what is in use.
    pub fn resize(&mut self, bytes: u64) {
        self.capacity = (bytes / PAGE).max(self.used);
    }

    /// Leaves what a power cut leaves. Nothing is open afterwards.
    pub(super) fn power_cut(&mut self, policy: &PowerCut, random: &mut Prng) {
        self.cut_names(policy, random);
        self.used = 0;
        for (_, inode) in &mut self.inodes {
            if let Body::File(content) = &mut inode.body {
                content.power_cut(policy, random);
                inode.room_given_back = false;
                self.used += content.allocated.count();
            }
        }
        // What had been deleted and came back may need more than there is: such a disk is full, not broken.
        self.capacity = self.capacity.max(self.used);
    }

    /// The content of a file, for checkers; `None` when there is no such file.
    pub fn content_of(&self, path: &Path) -> Option<Vec<u8>> {
        let Body::File(content) = &self.inodes[self.find(path).ok()?].body else { return None };
        let mut bytes = vec![0; usize::try_from(content.bytes).ok()?];
        content.read(0, &mut bytes);
        Some(bytes)
    }

    /// Flips the bits of `mask` in a file from position `at` on, unnoticed by anybody and durably: bits that rot. False
    /// when there is no such file.
    pub fn corrupt(&mut self, path: &Path, at: u64, mask: &[u8]) -> bool {
        let Ok(inode) = self.find(path) else { return false };
        match &mut self.inodes[inode].body {
            Body::File(content) => {
                content.corrupt(at, mask);
                true
            }
            Body::Directory(_) => false,
        }
    }

    /// Lets the sectors of a part of a file fail when they are read, until they are written again: latent sector errors.
    /// False when there is no such file.
    pub fn make_unreadable(&mut self, path: &Path, at: u64, bytes: u64) -> bool {
        let Ok(inode) = self.find(path) else { return false };
        self.content(inode).map(|content| content.make_unreadable(at, bytes)).is_ok()
    }

    /// Lets all sectors be read again.
    pub fn make_readable(&mut self) {
        for (_, inode) in &mut self.inodes {
            if let Body::File(content) = &mut inode.body {
                content.make_readable();
            }
        }
    }

    /// A path of an open file, if it still has one.
    pub(super) fn path_of(&self, inode: InodeId) -> Option<PathBuf> {
        self.paths().into_iter().find(|path| self.find(path) == Ok(inode))
    }

    /// The paths of all files and directories as processes see them, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut open = vec![(PathBuf::from("/"), self.root)];
        while let Some((path, inode)) = open.pop() {
            if let Body::Directory(directory) = &self.inodes[inode].body {
                open.extend(directory.entries().map(|(name, inode)| (path.join(name), inode)));
            }
            paths.push(path);
        }
        paths.sort();
        paths
    }
}
