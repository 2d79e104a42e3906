use super::content::PAGE;
use super::{Disk, PowerCut};
use crate::base::prng::Prng;
use crate::io::Path;
use crate::io::op::{OpenMode, errno};

const CREATE: OpenMode = OpenMode { write: true, create: true, direct: false, directory: false, truncate: false };
const DIRECTORY: OpenMode = OpenMode { write: false, create: false, direct: false, directory: true, truncate: false };
const DISK_BYTES: u64 = 64 << 20;

fn sync_directory(disk: &mut Disk, path: &str) {
    let inode = disk.open(Path::new(path), DIRECTORY).expect("a directory");
    disk.sync(inode);
    disk.release(inode);
}

fn write(disk: &mut Disk, path: &str, content: &[u8], sync: bool) {
    let inode = disk.open(Path::new(path), CREATE).expect("a file");
    assert_eq!(disk.write(inode, 0, content, false), Ok(content.len()));
    if sync {
        disk.sync(inode);
    }
    disk.release(inode);
}

fn content(disk: &Disk, path: &str) -> Option<Vec<u8>> {
    disk.content_of(Path::new(path))
}

fn names(disk: &Disk) -> Vec<String> {
    disk.paths().iter().map(|path| path.display().to_string()).collect()
}

fn cut(disk: &mut Disk) {
    disk.power_cut(&PowerCut::default(), &mut Prng::new(0));
}

/// One file as two plain arrays: what processes see, and what a power cut leaves.
#[derive(Default)]
struct Model {
    seen: Vec<u8>,
    /// What the device has, also beyond the durable size, where a page was written as a whole.
    device: Vec<u8>,
    durable_bytes: usize,
    /// The smallest size since the durable size followed.
    cut: usize,
}

impl Model {
    fn new() -> Model {
        Model { cut: usize::MAX, ..Model::default() }
    }

    fn resize(&mut self, bytes: usize) {
        self.cut = self.cut.min(bytes);
        self.seen.resize(bytes, 0);
    }

    fn write(&mut self, at: usize, bytes: &[u8], durable: bool) {
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        if durable {
            if self.cut < usize::MAX {
                self.durable_bytes = self.durable_bytes.min(self.cut);
                self.device.truncate(self.cut);
                self.cut = usize::MAX;
            }
            self.durable_bytes = self.durable_bytes.max(end);
            let page = PAGE as usize;
            let whole = at / page * page..end.next_multiple_of(page).min(self.seen.len());
            if self.device.len() < whole.end {
                self.device.resize(whole.end, 0);
            }
            self.device[whole.clone()].copy_from_slice(&self.seen[whole]);
        }
    }

    fn sync(&mut self) {
        self.device.clone_from(&self.seen);
        self.durable_bytes = self.seen.len();
        self.cut = usize::MAX;
    }

    fn power_cut(&mut self) {
        self.device.resize(self.durable_bytes, 0);
        self.seen.clone_from(&self.device);
        self.cut = usize::MAX;
    }
}

#[test]
fn files_agree_with_plain_arrays_before_and_after_power_cuts() {
    for seed in 0..300 {
        let mut random = Prng::new(seed);
        let mut disk = Disk::new(DISK_BYTES);
        write(&mut disk, "/file", b"", true);
        sync_directory(&mut disk, "/");
        let mut model = Model::new();
        for _ in 0..4 {
            let inode = disk.open(Path::new("/file"), CREATE).expect("it is there");
            for step in 0..random.below(30) {
                change(&mut disk, inode, &mut model, &mut random, step);
            }
            assert!(content(&disk, "/file").expect("there") == model.seen, "seed {seed}");
            cut(&mut disk);
            model.power_cut();
            assert!(content(&disk, "/file").expect("there") == model.seen, "seed {seed}");
        }
    }
}

fn change(disk: &mut Disk, inode: usize, model: &mut Model, random: &mut Prng, step: u64) {
    let at = random.below(10 * PAGE);
    match random.below(8) {
        0 => {
            disk.truncate(inode, at).expect("a size");
            model.resize(at as usize);
        }
        1 => {
            let bytes = 1 + random.below(5 * PAGE);
            disk.allocate(inode, at, bytes).expect("room");
            if model.seen.len() < (at + bytes) as usize {
                model.seen.resize((at + bytes) as usize, 0);
            }
        }
        2 => {
            disk.sync(inode);
            model.sync();
        }
        kind => {
            let (at, bytes) =
                if kind < 5 { (at / PAGE * PAGE, PAGE * random.between(1, 4)) } else { (at, 1 + random.below(9000)) };
            let mut bytes = vec![0; bytes as usize];
            if !random.one_in(4) {
                bytes.fill(1 + step as u8);
            }
            let durable = random.one_in(3);
            assert_eq!(disk.write(inode, at, &bytes, durable), Ok(bytes.len()));
            model.write(at as usize, &bytes, durable);
        }
    }
}

#[test]
fn a_mixed_power_cut_keeps_loses_and_tears() {
    let mut random = Prng::new(1);
    let (mut kept, mut lost, mut torn) = (0, 0, 0);
    for _ in 0..50 {
        let mut disk = Disk::new(DISK_BYTES);
        write(&mut disk, "/file", &[1; 8 * PAGE as usize], true);
        sync_directory(&mut disk, "/");
        write(&mut disk, "/file", &[2; 8 * PAGE as usize], false);
        disk.power_cut(&PowerCut::mixed(), &mut random);
        for page in content(&disk, "/file").expect("its name was durable").chunks(PAGE as usize) {
            let sectors: Vec<&[u8]> = page.chunks(512).collect();
            assert!(sectors.iter().all(|sector| *sector == [1; 512] || *sector == [2; 512]), "sectors are whole");
            match sectors.iter().filter(|sector| sector[0] == 2).count() {
                0 => lost += 1,
                8 => kept += 1,
                _ => torn += 1,
            }
        }
    }
    assert!(kept > 50 && lost > 50 && torn > 20, "{kept} {lost} {torn}");
}

#[test]
fn a_failed_sync_gives_pages_up_for_good() {
    let mut disk = Disk::new(DISK_BYTES);
    write(&mut disk, "/file", &[1; 32 * PAGE as usize], true);
    sync_directory(&mut disk, "/");
    let inode = disk.open(Path::new("/file"), CREATE).expect("a file");
    disk.write(inode, 0, &[2; 32 * PAGE as usize], false).expect("room");
    disk.sync_fails(inode, &mut Prng::new(4));
    disk.sync(inode);
    assert!(content(&disk, "/file").expect("there").iter().all(|byte| *byte == 2), "memory has the new content");
    disk.write(inode, 0, &[3; 2 * PAGE as usize], false).expect("room");
    disk.sync(inode);
    cut(&mut disk);
    let left = content(&disk, "/file").expect("there");
    assert!(left[..2 * PAGE as usize].iter().all(|byte| *byte == 3), "what was written again is durable");
    let stale = left[2 * PAGE as usize..].chunks(PAGE as usize).filter(|page| page[0] == 1).count();
    assert!((1..30).contains(&stale), "some of the rest was given up: {stale}");
}

#[test]
fn names_are_durable_after_their_directory_is_synced() {
    let mut disk = Disk::new(DISK_BYTES);
    disk.create_directory(Path::new("/kept")).expect("made");
    sync_directory(&mut disk, "/");
    write(&mut disk, "/kept/synced", b"content", true);
    sync_directory(&mut disk, "/kept");
    write(&mut disk, "/kept/late", b"content", true);
    disk.create_directory(Path::new("/lost")).expect("made");
    write(&mut disk, "/lost/inner", b"content", true);
    sync_directory(&mut disk, "/lost");
    cut(&mut disk);
    assert_eq!(names(&disk), ["/", "/kept", "/kept/synced"]);
    assert_eq!(content(&disk, "/kept/synced").as_deref(), Some(&b"content"[..]));
}

#[test]
fn a_rename_is_durable_after_the_directory_is_synced() {
    for synced in [false, true] {
        let mut disk = Disk::new(DISK_BYTES);
        write(&mut disk, "/old", b"old", true);
        write(&mut disk, "/new", b"new", true);
        sync_directory(&mut disk, "/");
        disk.rename(Path::new("/new"), Path::new("/old")).expect("a rename");
        assert_eq!(names(&disk), ["/", "/old"]);
        if synced {
            sync_directory(&mut disk, "/");
        }
        cut(&mut disk);
        let expected = if synced { (&b"new"[..], 2) } else { (&b"old"[..], 3) };
        assert_eq!((content(&disk, "/old").as_deref().expect("there"), names(&disk).len()), expected);
    }
}

#[test]
fn a_rename_across_directories_needs_both_synced() {
    for (first, left) in [("/from", vec![]), ("/to", vec!["/from/file", "/to/file"])] {
        let mut disk = Disk::new(DISK_BYTES);
        for directory in ["/from", "/to"] {
            disk.create_directory(Path::new(directory)).expect("made");
        }
        sync_directory(&mut disk, "/");
        write(&mut disk, "/from/file", b"content", true);
        sync_directory(&mut disk, "/from");
        disk.rename(Path::new("/from/file"), Path::new("/to/file")).expect("a rename");
        sync_directory(&mut disk, first);
        cut(&mut disk);
        assert_eq!(names(&disk)[1..].iter().filter(|name| name.ends_with("file")).collect::<Vec<_>>(), left);
        assert_eq!(disk.space().free, disk.space().total - PAGE * u64::from(!left.is_empty()));
    }
}

#[test]
fn a_cut_that_keeps_names_keeps_the_oldest_and_no_half_renames() {
    let mut random = Prng::new(9);
    let policy = PowerCut { names_kept: true, ..PowerCut::default() };
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let mut disk = Disk::new(DISK_BYTES);
        write(&mut disk, "/a", b"", true);
        write(&mut disk, "/b", b"", true);
        disk.rename(Path::new("/b"), Path::new("/c")).expect("a rename");
        disk.power_cut(&policy, &mut random);
        seen.insert(names(&disk)[1..].concat());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["", "/a", "/a/b", "/a/c"]);
}

#[test]
fn an_unlinked_file_lives_as_long_as_it_is_held_and_its_room_comes_back() {
    let mut disk = Disk::new(DISK_BYTES);
    let free = disk.space().free;
    let inode = disk.open(Path::new("/file"), CREATE).expect("a file");
    disk.write(inode, 0, &[7; 5000], false).expect("room");
    disk.unlink(Path::new("/file")).expect("an unlink");
    let mut bytes = [0; 10];
    assert_eq!(disk.read(inode, 4995, &mut bytes), Ok(5));
    assert_eq!(disk.space().free, free - 2 * PAGE);
    disk.release(inode);
    assert_eq!(disk.space().free, free, "at once, though a power cut may bring the file back");
    sync_directory(&mut disk, "/");
    assert_eq!(disk.inodes.len(), 1, "nothing of it is left");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let mut disk = Disk::new(4 * PAGE);
    let inode = disk.open(Path::new("/file"), CREATE).expect("a file");
    assert_eq!(disk.write(inode, 100, &[1; 5 * PAGE as usize], false), Ok(4 * PAGE as usize - 100));
    assert_eq!(disk.write(inode, 4 * PAGE, &[1], false), Err(errno::ENOSPC));
    assert_eq!(disk.write(inode, 50, &[1; 50], false), Ok(50), "what has its room can be written");
    assert_eq!(disk.allocate(inode, 4 * PAGE, 1), Err(errno::ENOSPC));
    disk.truncate(inode, PAGE).expect("a cut");
    assert_eq!(disk.space().free, 3 * PAGE);
    assert_eq!(disk.allocate(inode, 0, 4 * PAGE), Ok(()));
    assert_eq!(disk.space().free, 0);
}

#[test]
fn names_are_refused_as_posix_refuses_them() {
    let mut disk = Disk::new(DISK_BYTES);
    let path = Path::new;
    disk.create_directory(path("/a")).expect("made");
    disk.create_directory(path("/a/b")).expect("made");
    write(&mut disk, "/file", b"", false);
    assert_eq!(disk.create_directory(path("/")), Err(errno::EEXIST));
    assert_eq!(disk.create_directory(path("/file/x")), Err(errno::ENOTDIR));
    assert_eq!(disk.rename(path("/a"), path("/a/b/c")), Err(errno::EINVAL));
    assert_eq!(disk.rename(path("/a"), path("/file")), Err(errno::ENOTDIR));
    assert_eq!(disk.rename(path("/file"), path("/a")), Err(crate::sim::errors::EISDIR));
    assert_eq!(disk.rename(path("/a/b"), path("/a/b")), Ok(()));
    assert_eq!(disk.remove_directory(path("/a")), Err(errno::ENOTEMPTY));
    assert_eq!(disk.unlink(path("/a")), Err(crate::sim::errors::EISDIR));
    assert_eq!(disk.open(path("/a"), CREATE), Err(crate::sim::errors::EISDIR));
    assert_eq!(disk.open(path(&format!("/{}", "n".repeat(256))), CREATE), Err(crate::sim::errors::ENAMETOOLONG));
    assert_eq!(disk.stat(path("/a/../a/./b/../../file")).map(|stat| stat.directory), Ok(false));
}

#[test]
fn corrupted_bits_stay_corrupted() {
    let mut disk = Disk::new(DISK_BYTES);
    write(&mut disk, "/file", &[0; 100], true);
    sync_directory(&mut disk, "/");
    assert!(disk.corrupt(Path::new("/file"), 98, &[1, 2, 4]));
    assert!(!disk.corrupt(Path::new("/other"), 0, &[1]));
    cut(&mut disk);
    let left = content(&disk, "/file").expect("there");
    assert_eq!((left[97], left[98], left[99], left.len()), (0, 1, 2, 100));
}
