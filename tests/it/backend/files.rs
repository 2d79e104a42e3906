//! Cases about files and directories.

use std::path::Path;

use flumen::base::block::Use;
use flumen::io::file::{self, File};
use flumen::io::op::{Op, OpenMode, Payload, Slices, errno};
use flumen::io::{ErrorKind, Handle};

use super::{Harness, pattern, slice, slices, start};

const CREATE: OpenMode = OpenMode { write: true, create: true, direct: false, directory: false, truncate: false };
const DIRECT: OpenMode = OpenMode { direct: true, ..CREATE };
const READ: OpenMode = OpenMode { write: false, create: false, ..CREATE };

async fn read(io: &Handle, file: &File, at: u64, bytes: u32) -> Vec<u8> {
    let block = io.pool().block_unlimited(bytes as usize, Use::Read).expect("memory for a test");
    let (block, count) = file.read_at(io, at, block, bytes).await;
    block[..count.expect("a read") as usize].to_vec()
}

async fn write_new(io: &Handle, path: &Path, content: &[u8]) -> File {
    let file = File::open(io, path, CREATE).await.expect("a new file");
    file.write_at(io, 0, slices(io, content), false).await.expect("a write");
    file
}

async fn size(io: &Handle, path: &Path) -> u64 {
    file::stat(io, path).await.expect("a stat").expect("the file is there").bytes
}

pub fn absent_names_are_reported(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        let absent = directory.join("absent");
        assert_eq!(File::open(&io, &absent, READ).await.expect_err("absent").kind(), ErrorKind::NotFound);
        let below = absent.join("below");
        assert_eq!(File::open(&io, &below, CREATE).await.expect_err("no parent").kind(), ErrorKind::NotFound);
        assert_eq!(file::stat(&io, &absent).await.expect("not an error"), None);
        assert_eq!(file::list(&io, &absent).await.expect_err("absent").kind(), ErrorKind::NotFound);
        assert_eq!(file::rename(&io, &absent, &below).await.expect_err("absent").kind(), ErrorKind::NotFound);
        assert_eq!(io.submit(Op::Unlink { path: absent.clone() }).await.result, -errno::ENOENT);
        assert_eq!(io.submit(Op::RemoveDirectory { path: absent.clone() }).await.result, -errno::ENOENT);
        assert_eq!(io.submit(Op::CreateDirectory { path: below }).await.result, -errno::ENOENT);
        file::unlink(&io, &absent).await.expect("fine if absent");
        file::remove_directory(&io, &absent).await.expect("fine if absent");
    });
}

pub fn large_blocks_that_come_back_are_written_as_they_are(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        const BYTES: usize = 256 << 10;
        let file = File::open(&io, &path, DIRECT).await.expect("a new file");
        // More of them at a time than are lasting, of two sizes; all are freed and come back with another content.
        for round in 0..3 {
            let blocks = (0..70).map(|number| {
                let bytes = BYTES << (number % 2);
                let mut block = io.pool().block_unlimited(bytes, Use::Tail).expect("memory for a test");
                block.copy_from_slice(&pattern(round * 1_000 + number, bytes));
                (number, block.into_slice(bytes))
            });
            for (number, block) in blocks.collect::<Vec<_>>() {
                // Its second half, and then all of it.
                let (at, half) = ((number * 2 * BYTES) as u64, block.len() / 2);
                file.write_at(&io, at, Slices::from_iter([block.slice(half..block.len())]), false)
                    .await
                    .expect("a write");
                assert!(read(&io, &file, at, half as u32).await == block[half..]);
                file.write_at(&io, at, Slices::from_iter([block]), true).await.expect("a write");
            }
            for number in 0..70 {
                let bytes = BYTES << (number % 2);
                let found = read(&io, &file, (number * 2 * BYTES) as u64, bytes as u32).await;
                assert!(found == pattern(round * 1_000 + number, bytes), "block {number} of round {round}");
            }
        }
    });
}

pub fn written_bytes_read_back(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, CREATE).await.expect("a new file");
        let parts = [(0, 1), (1, 4999), (5000, 70_000), (75_000, 3)];
        let bytes = Slices::from_iter(parts.map(|(from, bytes)| slice(&io, &pattern(from, bytes))));
        file.write_at(&io, 0, bytes, false).await.expect("a write");
        assert_eq!(size(&io, &path).await, 75_003);
        assert!(read(&io, &file, 0, 75_003).await == pattern(0, 75_003));
        file.write_at(&io, 10_000, slices(&io, b"patch"), false).await.expect("a write");
        assert_eq!(read(&io, &file, 9_999, 7).await, [&pattern(9_999, 1), &b"patch"[..], &pattern(10_005, 1)].concat());
        assert_eq!(size(&io, &path).await, 75_003);
    });
}

pub fn a_durable_write_reads_back_through_another_open(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, CREATE).await.expect("a new file");
        file.write_at(&io, 0, slices(&io, &pattern(0, 10_000)), true).await.expect("a durable write");
        drop(file);
        let again = File::open(&io, &path, READ).await.expect("the file");
        assert!(read(&io, &again, 0, 10_000).await == pattern(0, 10_000));
    });
}

pub fn a_direct_read_ends_at_the_end_of_a_file_of_any_size(harness: impl Harness) {
    const DIRECT_READ: OpenMode = OpenMode { direct: true, ..READ };
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = write_new(&io, &path, &pattern(0, 1_300_001)).await;
        file.sync(&io, true).await.expect("a sync");
        let file = File::open(&io, &path, DIRECT_READ).await.expect("the file");
        assert!(read(&io, &file, 0, 2 << 20).await == pattern(0, 1_300_001));
        assert!(read(&io, &file, 1_298_432, 8192).await == pattern(0, 1_300_001)[1_298_432..]);
        assert!(read(&io, &file, 1_302_528, 4096).await.is_empty());
    });
}

pub fn what_was_read_through_the_page_cache_may_be_resident_and_what_was_not_read_is_not(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, DIRECT).await.expect("a new file");
        file.write_at(&io, 0, slices(&io, &pattern(0, 256 << 10)), true).await.expect("a write");
        let cached = File::open(&io, &path, READ).await.expect("the file");
        assert!(!cached.is_resident(&io, 0, 256 << 10).await.expect("the kernel can tell"));
        read(&io, &file, 0, 256 << 10).await;
        assert!(!cached.is_resident(&io, 0, 256 << 10).await.expect("the kernel can tell"), "read past the page cache");
        let mut found = false;
        for _ in 0..20 {
            read(&io, &cached, 0, 256 << 10).await;
            // Neither end of a range need be that of a page.
            found |= cached.is_resident(&io, 100, (256 << 10) - 200).await.expect("the kernel can tell");
        }
        assert!(found, "read through it twenty times");
        file.write_at(&io, 0, slices(&io, &pattern(1, 256 << 10)), true).await.expect("a write");
        assert!(!cached.is_resident(&io, 0, 256 << 10).await.expect("the kernel can tell"), "written past it");
    });
}

pub fn a_read_ends_at_the_end_of_the_file(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = write_new(&io, &path, &pattern(0, 5000)).await;
        assert_eq!(read(&io, &file, 4000, 4096).await, pattern(4000, 1000));
        assert!(read(&io, &file, 5000, 4096).await.is_empty());
        assert!(read(&io, &file, 1 << 40, 4096).await.is_empty());
        let block = io.pool().block_unlimited(8192, Use::Read).expect("memory");
        let completion =
            io.submit(Op::Read { fd: fd_of(&io, &path).await, at: 4999, into: block, start: 0, bytes: 10 });
        assert_eq!(completion.await.result, 1);
    });
}

/// A descriptor for operations submitted by hand; left open.
async fn fd_of(io: &Handle, path: &Path) -> flumen::io::op::Fd {
    let completion = io.submit(Op::Open { path: path.to_owned(), mode: READ }).await;
    assert!(completion.result >= 0);
    flumen::io::op::Fd(completion.result)
}

pub fn a_hole_reads_as_zeros(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, CREATE).await.expect("a new file");
        file.write_at(&io, 100_000, slices(&io, b"end"), false).await.expect("a write");
        assert_eq!(size(&io, &path).await, 100_003);
        let content = read(&io, &file, 0, 100_003).await;
        assert!(content[..100_000].iter().all(|byte| *byte == 0));
        assert_eq!(&content[100_000..], b"end");
    });
}

pub fn a_read_fills_the_block_from_its_start_position(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        drop(write_new(&io, &path, &pattern(0, 5000)).await);
        let mut block = io.pool().block_unlimited(4096, Use::Read).expect("memory");
        block.fill(7);
        let op = Op::Read { fd: fd_of(&io, &path).await, at: 1000, into: block, start: 50, bytes: 200 };
        let completion = io.submit(op).await;
        let Payload::Block(block) = completion.payload else { panic!("the block comes back") };
        // A single read may fall short.
        let end = 50 + usize::try_from(completion.result).expect("a count");
        assert!((51..=250).contains(&end));
        assert_eq!(block[50..end], pattern(1000, end - 50));
        assert!(block[..50].iter().chain(&block[250..]).all(|byte| *byte == 7));
    });
}

pub fn direct_access_must_be_aligned(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, DIRECT).await.expect("a new file");
        file.write_at(&io, 0, slices(&io, &pattern(0, 16_384)), false).await.expect("an aligned write");
        file.write_at(&io, 4096, slices(&io, &pattern(0, 8192)), true).await.expect("an aligned durable write");
        let whole = slice(&io, &pattern(0, 8192));
        let refused = [(100, whole.slice(0..4096)), (0, whole.slice(0..100)), (0, whole.slice(1..4097))];
        for (at, bytes) in refused {
            let error = file.write_at(&io, at, Slices::from_iter([bytes]), false).await.expect_err("misaligned");
            assert_eq!(error.raw_os_error(), Some(errno::EINVAL));
        }
        for (at, bytes) in [(1, 4096), (0, 511)] {
            let block = io.pool().block_unlimited(4096, Use::Read).expect("memory");
            let (_, result) = file.read_at(&io, at, block, bytes).await;
            assert_eq!(result.expect_err("misaligned").raw_os_error(), Some(errno::EINVAL));
        }
        assert_eq!(read(&io, &file, 4096, 4096).await, pattern(0, 4096));
        assert_eq!(read(&io, &file, 12_288, 8192).await, pattern(12_288, 4096), "a direct read is short at the end");
    });
}

pub fn a_direct_write_is_seen_by_buffered_reads(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let direct = File::open(&io, &path, DIRECT).await.expect("a new file");
        let buffered = File::open(&io, &path, READ).await.expect("the file");
        for round in 0..8 {
            let content = pattern(round * 4096, 8192);
            direct.write_at(&io, 0, slices(&io, &content), false).await.expect("an aligned write");
            assert_eq!(read(&io, &buffered, 0, 8192).await, content);
        }
    });
}

pub fn allocate_grows_and_truncate_cuts(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = write_new(&io, &path, b"start").await;
        file.allocate(&io, 0, 1 << 20).await.expect("room");
        assert_eq!(size(&io, &path).await, 1 << 20);
        let content = read(&io, &file, 0, 1 << 20).await;
        assert_eq!(&content[..5], b"start");
        assert!(content[5..].iter().all(|byte| *byte == 0));
        file.truncate(&io, 3).await.expect("cut");
        assert_eq!(read(&io, &file, 0, 100).await, b"sta");
        file.truncate(&io, 6).await.expect("extended");
        assert_eq!(read(&io, &file, 0, 100).await, b"sta\0\0\0");
        file.allocate(&io, 0, 4).await.expect("room that is there");
        assert_eq!(size(&io, &path).await, 6, "allocating never cuts");
    });
}

pub fn a_directory_lists_its_names(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        assert!(file::list(&io, &directory).await.expect("a list").is_empty());
        drop(write_new(&io, &directory.join("b"), b"").await);
        file::create_directory(&io, &directory.join("a")).await.expect("a directory");
        drop(write_new(&io, &directory.join("a/inner"), b"xyz").await);
        assert_eq!(file::list(&io, &directory).await.expect("a list"), ["a", "b"]);
        let stat = file::stat(&io, &directory.join("a")).await.expect("a stat").expect("there");
        assert!(stat.directory);
        let stat = file::stat(&io, &directory.join("a/inner")).await.expect("a stat").expect("there");
        assert_eq!((stat.directory, stat.bytes), (false, 3));
        let error = file::list(&io, &directory.join("b")).await.expect_err("a file");
        assert_eq!(error.raw_os_error(), Some(errno::ENOTDIR));
    });
}

pub fn making_a_directory_twice_is_told(harness: impl Harness) {
    let path = harness.scratch().join("made");
    harness.one(move |io| async move {
        assert_eq!(io.submit(Op::CreateDirectory { path: path.clone() }).await.result, 0);
        assert_eq!(io.submit(Op::CreateDirectory { path: path.clone() }).await.result, -errno::EEXIST);
        file::create_directory(&io, &path).await.expect("fine if it exists");
    });
}

pub fn a_rename_replaces(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        let (old, new) = (directory.join("old"), directory.join("new"));
        let held = write_new(&io, &old, b"old content").await;
        drop(write_new(&io, &new, b"to be replaced").await);
        file::rename(&io, &old, &new).await.expect("a rename");
        assert_eq!(file::list(&io, &directory).await.expect("a list"), ["new"]);
        assert_eq!(file::read_whole(&io, &new, 100).await.expect("a read").expect("there"), b"old content");
        held.write_at(&io, 0, slices(&io, b"NEW"), false).await.expect("the open file followed its name");
        assert_eq!(file::read_whole(&io, &new, 100).await.expect("a read").expect("there"), b"NEW content");
        file::create_directory(&io, &directory.join("before")).await.expect("a directory");
        file::rename(&io, &directory.join("before"), &directory.join("after")).await.expect("directories too");
        assert_eq!(file::list(&io, &directory).await.expect("a list"), ["after", "new"]);
    });
}

pub fn an_unlinked_file_stays_readable_while_open(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = write_new(&io, &path, b"still here").await;
        file::unlink(&io, &path).await.expect("an unlink");
        assert_eq!(file::stat(&io, &path).await.expect("a stat"), None);
        assert_eq!(read(&io, &file, 0, 100).await, b"still here");
        let other = write_new(&io, &path, b"another").await;
        assert_eq!(read(&io, &file, 0, 100).await, b"still here");
        assert_eq!(read(&io, &other, 0, 100).await, b"another");
    });
}

pub fn only_an_empty_directory_is_removed(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        let (made, inner) = (directory.join("made"), directory.join("made/inner"));
        file::create_directory(&io, &made).await.expect("a directory");
        drop(write_new(&io, &inner, b"").await);
        assert_eq!(io.submit(Op::RemoveDirectory { path: made.clone() }).await.result, -errno::ENOTEMPTY);
        assert_eq!(io.submit(Op::RemoveDirectory { path: inner.clone() }).await.result, -errno::ENOTDIR);
        assert!(io.submit(Op::Unlink { path: made.clone() }).await.result < 0, "a directory is not unlinked");
        file::unlink(&io, &inner).await.expect("an unlink");
        file::remove_directory(&io, &made).await.expect("it is empty");
        assert_eq!(file::stat(&io, &made).await.expect("a stat"), None);
    });
}

pub fn syncs_of_files_and_directories(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        let path = directory.join("file");
        let file = write_new(&io, &path, b"content").await;
        file.sync(&io, true).await.expect("a data sync");
        file.sync(&io, false).await.expect("a full sync");
        file::sync_directory(&io, &directory).await.expect("a directory sync");
        let error = file::sync_directory(&io, &path).await.expect_err("not a directory");
        assert_eq!(error.raw_os_error(), Some(errno::ENOTDIR));
        assert_eq!(
            io.submit(Op::Sync { fd: flumen::io::op::Fd(1 << 29), data_only: true }).await.result,
            -errno::EBADF
        );
    });
}

pub fn truncate_on_open_and_read_only(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        drop(write_new(&io, &path, b"content").await);
        drop(File::open(&io, &path, CREATE).await.expect("opened again"));
        assert_eq!(size(&io, &path).await, 7, "create alone keeps the content");
        drop(File::open(&io, &path, OpenMode { truncate: true, ..CREATE }).await.expect("opened again"));
        assert_eq!(size(&io, &path).await, 0);
        let file = File::open(&io, &path, READ).await.expect("opened again");
        let error = file.write_at(&io, 0, slices(&io, b"no"), false).await.expect_err("not opened for writing");
        assert_eq!(error.raw_os_error(), Some(errno::EBADF));
    });
}

pub fn space_is_told(harness: impl Harness) {
    let directory = harness.scratch();
    harness.one(move |io| async move {
        let space = file::space(&io, &directory).await.expect("the space");
        assert!(space.total > 0 && space.free <= space.total);
        let error = file::space(&io, &directory.join("absent")).await.expect_err("absent");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

pub fn a_full_disk_refuses_and_recovers(harness: impl Harness) {
    let Some((directory, _disk)) = harness.small_disk() else { return };
    harness.one(move |io| async move {
        let (kept, filler) = (directory.join("kept"), directory.join("filler"));
        let file = write_new(&io, &kept, b"kept").await;
        let filling = File::open(&io, &filler, CREATE).await.expect("a new file");
        let chunk = slice(&io, &pattern(0, 1 << 20));
        let mut written = 0;
        let error = loop {
            assert!(written < 1 << 30, "the disk is small");
            match filling.write_at(&io, written, Slices::from_iter([chunk.clone()]), false).await {
                Ok(()) => written += 1 << 20,
                Err(error) => break error,
            }
        };
        assert_eq!(error.raw_os_error(), Some(errno::ENOSPC));
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        let error = file.allocate(&io, 0, 4 << 20).await.expect_err("full");
        assert_eq!(error.raw_os_error(), Some(errno::ENOSPC));
        assert!(file::space(&io, &directory).await.expect("the space").free < 1 << 20);
        assert_eq!(read(&io, &file, 0, 4).await, b"kept", "reads go on");
        drop(filling);
        file::unlink(&io, &filler).await.expect("an unlink");
        let mut tries = 0;
        while file.write_at(&io, 4096, slices(&io, &pattern(0, 4096)), false).await.is_err() {
            tries += 1;
            assert!(tries < 1000, "the freed room is usable");
            io.sleep(core::time::Duration::from_millis(5)).await;
        }
        assert_eq!(read(&io, &file, 4096, 4096).await, pattern(0, 4096));
    });
}

pub fn a_small_file_is_replaced_whole(harness: impl Harness) {
    let path = harness.scratch().join("meta.properties");
    harness.one(move |io| async move {
        assert_eq!(file::read_whole(&io, &path, 100).await.expect("a read"), None);
        file::replace(&io, &path, b"first").await.expect("a first content");
        file::replace(&io, &path, &pattern(0, 3_000_000)).await.expect("a second content");
        let content = file::read_whole(&io, &path, 1 << 30).await.expect("a read").expect("there");
        assert!(content == pattern(0, 3_000_000));
        let error = file::read_whole(&io, &path, 1000).await.expect_err("too large");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let names = file::list(&io, path.parent().expect("a directory")).await.expect("a list");
        assert_eq!(names, ["meta.properties"]);
    });
}

pub fn concurrent_writes_land_each_in_its_place(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = File::open(&io, &path, DIRECT).await.expect("a new file");
        file.allocate(&io, 0, 512 * 4096).await.expect("room");
        let mut writes = Vec::new();
        for number in (0..512).rev() {
            let (task_io, file) = (io.clone(), file.clone());
            writes.push(start(&io, async move {
                let bytes = slices(&task_io, &pattern(number * 4096, 4096));
                file.write_at(&task_io, number as u64 * 4096, bytes, number % 64 == 0).await
            }));
        }
        for write in writes {
            write.await.expect("the task ended").expect("a write");
        }
        assert!(read(&io, &file, 0, 512 * 4096).await == pattern(0, 512 * 4096));
    });
}

/// Opens of one case, far more than a leak could hide among what other cases hold open.
const OPENS: usize = 3000;

/// Gives closes that were submitted time to be done.
async fn settle(io: &Handle) {
    for _ in 0..20 {
        io.sleep(core::time::Duration::from_millis(1)).await;
    }
}

pub fn abandoned_operations_release_descriptors(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        drop(write_new(&io, &path, b"content").await);
        let before = harness.descriptors();
        for number in 0..OPENS {
            let open = io.submit(Op::Open { path: path.clone(), mode: READ });
            if number % 2 == 0 {
                // Half of them are dropped with their completion already there.
                io.yield_now().await;
            }
            drop(open);
            if number % 64 == 0 {
                settle(&io).await;
            }
        }
        settle(&io).await;
        if let (Some(before), Some(after)) = (before, harness.descriptors()) {
            assert!(after < before + OPENS / 2, "{before} descriptors became {after}");
        }
        assert_eq!(io.counters().in_flight, 0);
    });
}

pub fn dropped_files_are_closed(harness: impl Harness) {
    let path = harness.scratch().join("file");
    harness.one(move |io| async move {
        let file = write_new(&io, &path, b"content").await;
        let before = harness.descriptors();
        for _ in 0..OPENS {
            let one = File::open(&io, &path, READ).await.expect("opened");
            let two = one.clone();
            drop(one);
            assert_eq!(read(&io, &two, 0, 100).await, b"content", "open while a clone is held");
        }
        settle(&io).await;
        if let (Some(before), Some(after)) = (before, harness.descriptors()) {
            assert!(after < before + OPENS / 2, "{before} descriptors became {after}");
        }
        assert_eq!(read(&io, &file, 0, 100).await, b"content");
    });
}
