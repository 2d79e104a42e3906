//! Names: directories, paths, and which of their changes a power cut undoes.

use std::collections::BTreeMap;

use super::{Body, Disk, Inode, InodeId, Outcome, PowerCut};
use crate::base::prng::Prng;
use crate::io::Path;
use crate::io::op::errno;
use crate::sim::errors::{EBUSY, EISDIR, ENAMETOOLONG};
use std::path::Component;

/// Longest name of a directory entry in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A directory's names as processes see them, and how to undo those changes that were not synced.
#[derive(Default)]
pub(super) struct Directory {
    entries: BTreeMap<String, InodeId>,
    unsynced: Vec<Change>,
}

/// A change of one name.
struct Change {
    /// Orders changes over all directories of the disk.
    number: u64,
    name: String,
    /// What the name named before.
    before: Option<InodeId>,
}

impl Directory {
    /// Makes the names durable; answers what is no longer named by what was durable before.
    pub(super) fn sync(&mut self) -> Vec<InodeId> {
        self.unsynced.drain(..).filter_map(|change| change.before).collect()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, InodeId)> {
        self.entries.iter().map(|(name, inode)| (name.as_str(), *inode))
    }
}

impl Disk {
    /// What a path names.
    pub(in crate::sim) fn find(&self, path: &Path) -> Outcome<InodeId> {
        self.walk(path).map(|trail| *trail.last().expect("the root is on every trail"))
    }

    /// The directories from the root to what a path names, which comes last.
    fn walk(&self, path: &Path) -> Outcome<Vec<InodeId>> {
        let mut trail = vec![self.root];
        for component in path.components() {
            let here = *trail.last().expect("the root stays");
            match component {
                Component::Normal(name) => {
                    let name = checked_name(name)?;
                    let Body::Directory(directory) = &self.inodes[here].body else { return Err(errno::ENOTDIR) };
                    trail.push(*directory.entries.get(name).ok_or(errno::ENOENT)?);
                }
                Component::ParentDir if trail.len() > 1 => drop(trail.pop()),
                _ => {}
            }
        }
        Ok(trail)
    }

    /// The directory that a path's last name stands in, and that name.
    pub(super) fn parent_of(&self, path: &Path) -> Outcome<(InodeId, String)> {
        // The root has no name and cannot be made, renamed or removed.
        let name = checked_name(path.file_name().ok_or(EBUSY)?)?.to_owned();
        let parent = self.find(path.parent().unwrap_or(Path::new("/")))?;
        if self.is_directory(parent) { Ok((parent, name)) } else { Err(errno::ENOTDIR) }
    }

    fn entry(&self, directory: InodeId, name: &str) -> Option<InodeId> {
        match &self.inodes[directory].body {
            Body::Directory(directory) => directory.entries.get(name).copied(),
            Body::File(_) => unreachable!("checked to be a directory"),
        }
    }

    /// Makes a name name something else, or nothing, as part of the change `number`.
    pub(super) fn set_entry(&mut self, number: u64, directory: InodeId, name: &str, inode: Option<InodeId>) {
        if let Some(inode) = inode {
            self.inodes[inode].names += 1;
        }
        let Body::Directory(directory) = &mut self.inodes[directory].body else {
            unreachable!("checked to be a directory")
        };
        let before = match inode {
            Some(inode) => directory.entries.insert(name.to_owned(), inode),
            None => directory.entries.remove(name),
        };
        directory.unsynced.push(Change { number, name: name.to_owned(), before });
        if let Some(before) = before {
            self.inodes[before].names -= 1;
            self.inodes[before].remembered += 1;
            self.free_unused(before);
        }
    }

    /// The number of the next change; what bears one number survives a power cut together or not at all, unless it
    /// stands in two directories of which one was synced.
    pub(super) fn next_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// The names in a directory.
    pub(in crate::sim) fn list(&self, path: &Path) -> Outcome<Vec<String>> {
        match &self.inodes[self.find(path)?].body {
            Body::Directory(directory) => Ok(directory.entries.keys().cloned().collect()),
            Body::File(_) => Err(errno::ENOTDIR),
        }
    }

    /// Makes a directory.
    pub(in crate::sim) fn create_directory(&mut self, path: &Path) -> Outcome<()> {
        if self.find(path).is_ok() {
            return Err(errno::EEXIST);
        }
        let (parent, name) = self.parent_of(path)?;
        let made = self.inodes.insert(Inode::new(Body::Directory(Directory::default())));
        let number = self.next_change();
        self.set_entry(number, parent, &name, Some(made));
        Ok(())
    }

    /// Removes a file's name; who has it open keeps it.
    pub(in crate::sim) fn unlink(&mut self, path: &Path) -> Outcome<()> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.entry(parent, &name).ok_or(errno::ENOENT)?;
        if self.is_directory(inode) {
            return Err(EISDIR);
        }
        let number = self.next_change();
        self.set_entry(number, parent, &name, None);
        Ok(())
    }

    /// Removes an empty directory.
    pub(in crate::sim) fn remove_directory(&mut self, path: &Path) -> Outcome<()> {
        let (parent, name) = self.parent_of(path)?;
        let inode = self.entry(parent, &name).ok_or(errno::ENOENT)?;
        self.check_empty(inode)?;
        let number = self.next_change();
        self.set_entry(number, parent, &name, None);
        Ok(())
    }

    fn check_empty(&self, inode: InodeId) -> Outcome<()> {
        match &self.inodes[inode].body {
            Body::File(_) => Err(errno::ENOTDIR),
            Body::Directory(directory) if !directory.entries.is_empty() => Err(errno::ENOTEMPTY),
            Body::Directory(_) => Ok(()),
        }
    }

    /// Renames, replacing a file by a file or an empty directory by a directory.
    pub(in crate::sim) fn rename(&mut self, from: &Path, to: &Path) -> Outcome<()> {
        let (from_parent, from_name) = self.parent_of(from)?;
        let (to_parent, to_name) = self.parent_of(to)?;
        let inode = self.entry(from_parent, &from_name).ok_or(errno::ENOENT)?;
        if self.walk(to.parent().unwrap_or(Path::new("/")))?.contains(&inode) {
            return Err(errno::EINVAL);
        }
        if let Some(target) = self.entry(to_parent, &to_name) {
            if target == inode {
                return Ok(());
            }
            match (self.is_directory(inode), self.is_directory(target)) {
                (true, _) => self.check_empty(target)?,
                (false, true) => return Err(EISDIR),
                (false, false) => {}
            }
        }
        let number = self.next_change();
        self.set_entry(number, to_parent, &to_name, Some(inode));
        self.set_entry(number, from_parent, &from_name, None);
        Ok(())
    }

    /// Undoes changes of names, newest first: all that were not synced, or all after a random one.
    pub(super) fn cut_names(&mut self, policy: &PowerCut, random: &mut Prng) {
        let mut changes = Vec::new();
        for (id, inode) in &mut self.inodes {
            inode.holders = 0;
            if let Body::Directory(directory) = &mut inode.body {
                changes.extend(directory.unsynced.drain(..).map(|change| (id, change)));
            }
        }
        changes.sort_by_key(|(_, change)| change.number);
        let mut kept = if policy.names_kept { random.below(changes.len() as u64 + 1) as usize } else { 0 };
        while kept > 0 && kept < changes.len() && changes[kept].1.number == changes[kept - 1].1.number {
            kept -= 1;
        }
        for (directory, change) in changes.drain(kept..).rev() {
            let Body::Directory(directory) = &mut self.inodes[directory].body else {
                unreachable!("it had changes of names")
            };
            match change.before {
                Some(inode) => directory.entries.insert(change.name, inode),
                None => directory.entries.remove(&change.name),
            };
        }
        self.keep_reachable();
    }

    /// Frees what no path leads to and counts names anew.
    fn keep_reachable(&mut self) {
        for (_, inode) in &mut self.inodes {
            inode.names = 0;
            inode.remembered = 0;
        }
        self.inodes[self.root].names = 1;
        let mut open = vec![self.root];
        while let Some(inode) = open.pop() {
            let Body::Directory(directory) = &self.inodes[inode].body else { continue };
            let named: Vec<InodeId> = directory.entries.values().copied().collect();
            for inode in named {
                self.inodes[inode].names += 1;
                if self.inodes[inode].names == 1 {
                    open.push(inode);
                }
            }
        }
        self.inodes.retain(|_, inode| inode.names > 0);
    }
}

fn checked_name(name: &std::ffi::OsStr) -> Outcome<&str> {
    if name.len() > NAME_BYTES_MAX {
        return Err(ENAMETOOLONG);
    }
    name.to_str().ok_or(errno::EINVAL)
}
