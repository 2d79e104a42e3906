//! A small file system of a test's own: ext4 in a file, mounted over a loop device. Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::scratch;

/// A mounted image; unmounted when dropped, also by a test that fails.
pub struct Image {
    directory: tempfile::TempDir,
}

/// Runs a program of the system; a panic with what it said unless it succeeds.
fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {error}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

impl Image {
    /// A fresh file system of this size. An error in it makes it read-only, as distributions set it up.
    pub fn new(mib: u64) -> Image {
        Image::made_in(scratch(), mib)
    }

    /// One whose disk is a file of this one: what is written to it waits while this one is frozen.
    pub fn inner(&self, mib: u64) -> Image {
        Image::made_in(tempfile::TempDir::new_in(self.mount_point()).unwrap(), mib)
    }

    /// Freezes the file system until what this gives is dropped.
    pub fn freeze(&self) -> Frozen {
        let mount_point = self.mount_point();
        run("fsfreeze", &["--freeze", mount_point.to_str().unwrap()]);
        Frozen { mount_point }
    }

    fn made_in(directory: tempfile::TempDir, mib: u64) -> Image {
        let image = Image { directory };
        std::fs::File::create(image.file()).unwrap().set_len(mib << 20).unwrap();
        // All inodes at once: initialising them in the background would take space and time from the test.
        let options = ["-q", "-m", "0", "-e", "remount-ro", "-E", "lazy_itable_init=0,lazy_journal_init=0"];
        run("mkfs.ext4", &[&options[..], &[image.file().to_str().unwrap()]].concat());
        std::fs::create_dir(image.mount_point()).unwrap();
        image.mount();
        image
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn mount_point(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    /// Where the broker's data goes.
    pub fn data(&self) -> PathBuf {
        self.mount_point().join("data")
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", self.file().to_str().unwrap(), self.mount_point().to_str().unwrap()]);
    }

    /// Lets the kernel find an error in the file system, upon which it is read-only at once, whoever writes.
    pub fn turn_read_only(&self) {
        let device = run("findmnt", &["-no", "SOURCE", self.mount_point().to_str().unwrap()]);
        let name = Path::new(&device).file_name().unwrap().to_str().unwrap();
        std::fs::write(format!("/sys/fs/ext4/{name}/trigger_fs_error"), "1").unwrap();
    }

    /// What an operator does then: unmount, repair, mount.
    pub fn repair(&self) {
        // The rings of a broker that has ended let go of its files a moment later.
        let mount_point = self.mount_point();
        let unmount = || Command::new("umount").arg(&mount_point).output().is_ok_and(|done| done.status.success());
        assert!(
            (0..500).any(|_| unmount() || {
                std::thread::sleep(Duration::from_millis(10));
                false
            }),
            "it stays busy"
        );
        let repaired = Command::new("e2fsck").args(["-fy", self.file().to_str().unwrap()]).output().unwrap();
        let code = repaired.status.code();
        assert!(code.is_some_and(|code| code <= 1), "e2fsck: {code:?} {}", String::from_utf8_lossy(&repaired.stdout));
        self.mount();
    }

    /// Takes all space but `left` bytes away, as a program that knows no bounds does.
    pub fn fill(&self, left: u64) -> PathBuf {
        let path = self.mount_point().join("foreign");
        let take = self.free().saturating_sub(left).to_string();
        let _ = Command::new("fallocate").args(["-l", &take, path.to_str().unwrap()]).status();
        // The broker writes at the same time: what is still free goes block by block.
        while self.free() > left {
            let size = std::fs::metadata(&path).map_or(0, |file| file.len());
            let more = (size + (self.free() - left).max(4096)).to_string();
            let grown = Command::new("fallocate").args(["-l", &more, path.to_str().unwrap()]).output();
            if !grown.unwrap().status.success() {
                break;
            }
        }
        path
    }

    /// Free bytes.
    pub fn free(&self) -> u64 {
        let path = self.mount_point();
        let text = run("stat", &["-f", "-c", "%a %S", path.to_str().unwrap()]);
        let (blocks, size) = text.split_once(' ').unwrap();
        blocks.parse::<u64>().unwrap() * size.parse::<u64>().unwrap()
    }
}

/// A frozen file system, which thaws when this is dropped.
pub struct Frozen {
    mount_point: PathBuf,
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = Command::new("fsfreeze").arg("--unfreeze").arg(&self.mount_point).status();
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for flags in [&[][..], &["-l"]] {
            let unmounted = Command::new("umount").args(flags).arg(self.mount_point()).output();
            if unmounted.is_ok_and(|output| output.status.success()) {
                return;
            }
        }
    }
}
