//! Blocks and slices: the one buffer type.
//!
//! A [`Block`] is an exclusively owned run of bytes whose address and size are multiples of 4 KiB, so that O_DIRECT
//! takes it as it is. When its content is final it becomes a [`Slice`]: a counted, read-only part of a block that any
//! reactor may hold. An [`Appender`] is the middle form: the front of the block is already shared as slices while
//! the rest is still being filled, which is how a journal group serves consumers before it is full.
//!
//! Every block belongs to a [`Pool`], which bounds the bytes in use, counts them by [`Use`] and keeps freed blocks
//! for the next request: a recycled block needs no page fault (on virtual machines the first touch of a page costs
//! more than copying it). A new large one is touched page by page as it is filled, not at its birth: a MiB of page faults
//! at once takes as long as twenty commits. Some large ones are *lasting*: their memory stays where it is as long as the pool, so that a
//! ring can tell the kernel of it once.

use std::alloc::{self, GlobalAlloc, Layout, System};
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

/// Alignment of every block's address and size, in bytes: what O_DIRECT asks for on every device in use.
pub const BLOCK_ALIGN: usize = 4096;

/// The largest size class that is kept for reuse, in bytes; larger blocks go back to the allocator.
const CLASS_BYTES_MAX: usize = 4 << 20;
/// Size classes are powers of two from 4 KiB to [`CLASS_BYTES_MAX`].
const CLASSES: usize = (CLASS_BYTES_MAX / BLOCK_ALIGN).trailing_zeros() as usize + 1;
/// At most this many freed bytes wait for reuse in one pool; lasting ones are not counted, and are used first.
const IDLE_BYTES_MAX: usize = 64 << 20;
/// Blocks up to this size come from the program's allocator. Every log that rests may hold one of 4 KiB, and the
/// system's takes 8 KiB for it: its own header stands before each, so that the next 4 KiB boundary is a page away.
const SMALL_BYTES_MAX: usize = 32 << 10;
/// The alignment that every allocator gives without being asked.
const LARGE_ALIGN: usize = 16;

/// Blocks from this size on may be lasting: what journals and runs are written from.
const LASTING_BYTES_MIN: usize = 256 << 10;
/// At most this many blocks of a pool are lasting, and this many bytes.
pub const LASTING_MAX: u16 = 64;
const LASTING_BYTES_MAX: usize = 64 << 20;

/// What a block is used for; memory is reported by use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Bytes received from a socket and not yet answered.
    Receive,
    /// Journal groups and direct runs: the tail that consumers read from.
    Tail,
    /// Bytes read back from segments.
    Read,
    /// Staging for write-back, recovery and other background work.
    Staging,
    /// Encoded replies.
    Reply,
}

impl Use {
    /// All uses, in the order of their counters.
    pub const ALL: [Use; 5] = [Use::Receive, Use::Tail, Use::Read, Use::Staging, Use::Reply];

    /// The name that statistics print.
    pub fn name(self) -> &'static str {
        match self {
            Use::Receive => "receive",
            Use::Tail => "tail",
            Use::Read => "read",
            Use::Staging => "staging",
            Use::Reply => "reply",
        }
    }
}

/// A bounded supply of blocks. Clones share the supply; a block may be freed on any thread.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    limit_bytes: usize,
    in_use: [AtomicUsize; Use::ALL.len()],
    kept: Mutex<Kept>,
}

/// What a pool keeps beside the blocks in use.
#[derive(Default)]
struct Kept {
    /// Freed memory that lasts, by size class.
    idle_lasting: [Vec<Memory>; CLASSES],
    /// Other freed memory, by size class.
    idle: [Vec<Memory>; CLASSES],
    /// Bytes of the latter, and the least they were since the last [`Pool::trim`].
    idle_bytes: usize,
    surplus_bytes: usize,
    /// How many blocks were made lasting, and their bytes; they may be in use.
    lasting: u16,
    lasting_bytes: usize,
}

/// One allocation, with neither an owner nor a content.
struct Memory {
    address: NonNull<u8>,
    bytes: usize,
    /// Bytes of the allocation before `address`.
    before: usize,
    /// The number under which it lasts as long as its pool.
    lasting: Option<u16>,
}

// SAFETY: a Memory is a plain heap allocation with a single owner; nothing in it is tied to a thread.
unsafe impl Send for Memory {}

impl Memory {
    /// Of an allocation for `bytes`. For a large one the alignment is made here: asked for an aligned allocation of zeros, the
    /// system's allocator writes them, and otherwise it takes them from the kernel, which provides a page when it is touched.
    fn layout(bytes: usize) -> Layout {
        let layout = if bytes <= SMALL_BYTES_MAX {
            Layout::from_size_align(bytes, BLOCK_ALIGN)
        } else {
            Layout::from_size_align(bytes + BLOCK_ALIGN, LARGE_ALIGN)
        };
        layout.expect("a block size is a multiple of 4 KiB far below isize::MAX")
    }

    fn allocate(bytes: usize) -> Option<Memory> {
        let layout = Memory::layout(bytes);
        // Blocks are handed out as initialised bytes, so they are zeros at birth.
        // The program's allocator is made for small things; for large ones it takes huge pages.
        // SAFETY: the layout has a size above zero (asserted by the callers' rounding up to BLOCK_ALIGN).
        let allocation =
            unsafe { if bytes <= SMALL_BYTES_MAX { alloc::alloc_zeroed(layout) } else { System.alloc_zeroed(layout) } };
        let allocation = NonNull::new(allocation)?;
        let before = allocation.align_offset(BLOCK_ALIGN);
        assert!(before + bytes <= layout.size(), "the layout has room for the alignment");
        // SAFETY: within the allocation, as was just asserted.
        Some(Memory { address: unsafe { allocation.add(before) }, bytes, before, lasting: None })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let layout = Memory::layout(self.bytes);
        // SAFETY: `allocate` took it from this allocator, which follows from the size, with this layout, so many bytes
        // before the address; dropped once.
        unsafe {
            let allocation = self.address.as_ptr().sub(self.before);
            if self.bytes <= SMALL_BYTES_MAX {
                alloc::dealloc(allocation, layout)
            } else {
                System.dealloc(allocation, layout)
            }
        };
    }
}

/// The size a request for `bytes` is rounded up to: a power of two from 4 KiB while it pays, whole 4 KiB above.
fn rounded(bytes: usize) -> usize {
    let bytes = bytes.max(BLOCK_ALIGN);
    if bytes <= CLASS_BYTES_MAX { bytes.next_power_of_two() } else { bytes.next_multiple_of(BLOCK_ALIGN) }
}

fn class(rounded_bytes: usize) -> Option<usize> {
    (rounded_bytes <= CLASS_BYTES_MAX).then(|| (rounded_bytes / BLOCK_ALIGN).trailing_zeros() as usize)
}

impl Pool {
    /// A pool that hands out at most `limit_bytes` at a time, over all uses.
    pub fn new(limit_bytes: usize) -> Pool {
        let shared = Shared { limit_bytes, in_use: Default::default(), kept: Mutex::default() };
        Pool { shared: Arc::new(shared) }
    }

    /// A block of at least `bytes`, or `None` when the pool's limit would be passed or the machine has no memory left.
    /// The content is unspecified bytes of earlier uses. The caller then sheds load or waits: this is where memory is
    /// admitted, and the only place where it can be refused.
    pub fn try_block(&self, bytes: usize, purpose: Use) -> Option<Block> {
        let size = rounded(bytes);
        if self.in_use_total() + size > self.shared.limit_bytes {
            return None;
        }
        self.block_unlimited(bytes, purpose)
    }

    /// A block outside the limit, for the few places whose own bound is stated beside the call (the journal's groups
    /// in flight, write-back staging) and where a refusal would stop the work that frees memory. `None` only when the
    /// machine has no memory left.
    pub fn block_unlimited(&self, bytes: usize, purpose: Use) -> Option<Block> {
        let size = rounded(bytes);
        let memory = match self.shared.recycled(size) {
            Some(memory) => memory,
            None => {
                let memory = Memory::allocate(size)?;
                self.shared.numbered(memory)
            }
        };
        self.shared.in_use[purpose as usize].fetch_add(size, Ordering::Relaxed);
        Some(Block { memory: Some(memory), shared: Arc::clone(&self.shared), purpose })
    }

    /// The lasting block of this pool that `slice` is part of.
    pub fn lasting_of(&self, slice: &Slice) -> Option<Lasting> {
        let memory = slice.block.memory();
        let number = memory.lasting.filter(|_| Arc::ptr_eq(&self.shared, &slice.block.shared))?;
        Some(Lasting { number, address: memory.address.as_ptr(), bytes: memory.bytes })
    }

    /// Gives memory back that was not needed since the last call, the largest blocks first, and at most `bytes_max`: to return a MiB
    /// takes the kernel some 0.1 ms.
    pub fn trim(&self, bytes_max: usize) {
        let mut unneeded = Vec::new();
        let mut kept = self.shared.kept();
        let mut left = kept.surplus_bytes.min(bytes_max);
        for class in (0..CLASSES).rev() {
            while let Some(memory) = kept.idle[class].pop_if(|memory| memory.bytes <= left) {
                left -= memory.bytes;
                kept.idle_bytes -= memory.bytes;
                unneeded.push(memory);
            }
        }
        kept.surplus_bytes = kept.idle_bytes;
        // Nobody waits for the lock while the kernel takes the memory.
        drop(kept);
        drop(unneeded);
    }

    /// Bytes in use for `purpose`.
    pub fn in_use(&self, purpose: Use) -> usize {
        self.shared.in_use[purpose as usize].load(Ordering::Relaxed)
    }

    /// Bytes in use for all purposes.
    pub fn in_use_total(&self) -> usize {
        self.shared.in_use.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }

    /// The most bytes that [`Pool::try_block`] hands out at a time.
    pub fn limit_bytes(&self) -> usize {
        self.shared.limit_bytes
    }
}

/// Memory that stays where it is until its pool is gone, however often it becomes a block again.
#[derive(Clone, Copy, Debug)]
pub struct Lasting {
    /// Its number in the pool, below [`LASTING_MAX`].
    pub number: u16,
    /// Where it begins.
    pub address: *const u8,
    /// Its size.
    pub bytes: usize,
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("what is kept is never left mid-change")
    }

    fn recycled(&self, bytes: usize) -> Option<Memory> {
        let (mut kept, class) = (self.kept(), class(bytes)?);
        if let Some(memory) = kept.idle_lasting[class].pop() {
            return Some(memory);
        }
        let memory = kept.idle[class].pop()?;
        kept.idle_bytes -= memory.bytes;
        kept.surplus_bytes = kept.surplus_bytes.min(kept.idle_bytes);
        Some(memory)
    }

    /// A new allocation, which from here on lasts if it is large enough and there are not enough of them.
    fn numbered(&self, mut memory: Memory) -> Memory {
        if (LASTING_BYTES_MIN..=CLASS_BYTES_MAX).contains(&memory.bytes) {
            let mut kept = self.kept();
            if kept.lasting < LASTING_MAX && kept.lasting_bytes + memory.bytes <= LASTING_BYTES_MAX {
                memory.lasting = Some(kept.lasting);
                kept.lasting += 1;
                kept.lasting_bytes += memory.bytes;
            }
        }
        memory
    }

    fn give_back(&self, memory: Memory, purpose: Use) {
        let before = self.in_use[purpose as usize].fetch_sub(memory.bytes, Ordering::Relaxed);
        assert!(before >= memory.bytes, "more bytes freed than were in use");
        let Some(class) = class(memory.bytes) else { return };
        let mut kept = self.kept();
        if memory.lasting.is_some() {
            kept.idle_lasting[class].push(memory);
        } else if kept.idle_bytes + memory.bytes <= IDLE_BYTES_MAX {
            kept.idle_bytes += memory.bytes;
            kept.idle[class].push(memory);
        }
    }
}

/// An exclusively owned, 4 KiB-aligned run of bytes. `len()` is its whole size, a multiple of 4 KiB.
pub struct Block {
    /// `None` only while dropping.
    memory: Option<Memory>,
    shared: Arc<Shared>,
    purpose: Use,
}

impl Block {
    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("present until drop")
    }

    /// Shares the first `bytes` of the block, whose content is final from here on.
    ///
    /// # Panics
    /// When `bytes` is more than the block holds.
    pub fn into_slice(self, bytes: usize) -> Slice {
        assert!(bytes <= self.len(), "a slice of {bytes} bytes of a block of {}", self.len());
        Slice { block: Arc::new(self), start: 0, bytes: bytes as u32 }
    }

    /// Starts to fill the block from its front.
    pub fn into_appender(self) -> Appender {
        assert!(u32::try_from(self.len()).is_ok(), "blocks are below 4 GiB");
        Appender { start: 0, private: 0, filled: 0, block: Arc::new(self) }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let Some(memory) = self.memory.take() {
            self.shared.give_back(memory, self.purpose);
        }
    }
}

impl Deref for Block {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let memory = self.memory();
        // SAFETY: the memory is `bytes` long, initialised at birth, and shared borrows of the Block exclude writers
        // (an Appender's block is private to it and never dereferenced as a whole).
        unsafe { std::slice::from_raw_parts(memory.address.as_ptr(), memory.bytes) }
    }
}

impl DerefMut for Block {
    fn deref_mut(&mut self) -> &mut [u8] {
        let memory = self.memory.as_mut().expect("present until drop");
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(memory.address.as_ptr(), memory.bytes) }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({} bytes, {:?})", self.memory().bytes, self.purpose)
    }
}

// SAFETY: a Block owns its memory; shared access is read-only, or through an Appender that writes only bytes no Slice
// covers.
unsafe impl Sync for Block {}

/// A counted, read-only part of a block. Clones are cheap and may cross reactors.
#[derive(Clone)]
pub struct Slice {
    block: Arc<Block>,
    start: u32,
    bytes: u32,
}

impl Slice {
    /// The bytes `range` of this slice, sharing the same block.
    ///
    /// # Panics
    /// When the range reaches beyond the slice.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.bytes as usize, "{range:?} of {} bytes", self.bytes);
        Slice {
            block: Arc::clone(&self.block),
            start: self.start + range.start as u32,
            bytes: (range.end - range.start) as u32,
        }
    }

    /// Size of the whole block that this slice keeps in memory, in bytes.
    pub fn block_bytes(&self) -> usize {
        self.block.memory().bytes
    }

    /// Whether `next` follows this slice directly in the same block.
    pub fn is_followed_by(&self, next: &Slice) -> bool {
        Arc::ptr_eq(&self.block, &next.block) && self.start + self.bytes == next.start
    }

    /// This slice and `next` as one, when `next` follows it directly in the same block.
    pub fn joined(&self, next: &Slice) -> Option<Slice> {
        self.is_followed_by(next).then(|| Slice {
            block: Arc::clone(&self.block),
            start: self.start,
            bytes: self.bytes + next.bytes,
        })
    }

    /// The block itself, for another use, when this slice is the last holder of it.
    pub fn into_block(self) -> Option<Block> {
        Arc::into_inner(self.block)
    }
}

impl Deref for Slice {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let address = self.block.memory().address.as_ptr();
        // SAFETY: `start + bytes` was checked to lie within the block when the slice was made, and bytes covered by a
        // slice are never written again (an Appender writes only behind what it has shared).
        unsafe { std::slice::from_raw_parts(address.add(self.start as usize), self.bytes as usize) }
    }
}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes)", self.bytes)
    }
}

/// A block that is filled from the front while its filled part is already shared.
///
/// It is filled in *sections*, each of which begins at a multiple of 4 KiB with a private front (a header that is
/// written last) and ends with [`Appender::seal`].
pub struct Appender {
    block: Arc<Block>,
    /// Where the current section starts.
    start: usize,
    /// Bytes of the section before this are not shared before the seal.
    private: usize,
    filled: usize,
}

impl Appender {
    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        self.capacity() - self.filled
    }

    /// Position of the next byte in the block.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Where the current section starts in the block, a multiple of 4 KiB.
    pub fn section_start(&self) -> usize {
        self.start
    }

    /// Size of the whole block in bytes.
    pub fn capacity(&self) -> usize {
        self.block.memory().bytes
    }

    /// Sets the private front of a section in which nothing was filled yet.
    ///
    /// # Panics
    /// When the section has begun already, or the front does not fit.
    pub fn begin(&mut self, private: usize) {
        assert!(self.filled == self.start && private <= self.room());
        self.private = self.start + private;
        self.filled = self.private;
    }

    /// The next `bytes` of the block, to be written; they are shared by the [`Appender::share`] that follows.
    ///
    /// # Panics
    /// When fewer than `bytes` are left.
    pub fn reserve(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= self.room(), "{bytes} bytes into {} left", self.room());
        let address = self.block.memory().address.as_ptr();
        // SAFETY: the range lies within the block and behind everything shared so far, and `&mut self` excludes a
        // second writer: no other reference to these bytes exists.
        unsafe { std::slice::from_raw_parts_mut(address.add(self.filled), bytes) }
    }

    /// Shares the next `bytes`, whose content is final from here on.
    pub fn share(&mut self, bytes: usize) -> Slice {
        assert!(bytes <= self.room());
        let slice = Slice { block: Arc::clone(&self.block), start: self.filled as u32, bytes: bytes as u32 };
        self.filled += bytes;
        slice
    }

    /// Ends the section: writes `header` over its private front, pads it with zeros to a multiple of 4 KiB, and shares
    /// the whole of it. The next section begins behind.
    ///
    /// # Panics
    /// When the header is longer than the private front.
    pub fn seal(&mut self, header: &[u8]) -> Slice {
        assert!(self.start + header.len() <= self.private, "a header of {} bytes is too long", header.len());
        let padded = self.filled.next_multiple_of(BLOCK_ALIGN);
        let address = self.block.memory().address.as_ptr();
        // SAFETY: the front of the section was never shared (`private` is where sharing began) and the padding lies
        // behind all that was; both lie within the block, whose size is a multiple of BLOCK_ALIGN.
        unsafe {
            address.add(self.start).copy_from_nonoverlapping(header.as_ptr(), header.len());
            address.add(self.filled).write_bytes(0, padded - self.filled);
        }
        let slice = self.range(self.start..padded);
        (self.start, self.private, self.filled) = (padded, padded, padded);
        slice
    }

    /// The shared bytes `range`, counted from the start of the block.
    ///
    /// # Panics
    /// When the range touches a private front that is not sealed yet, or reaches beyond what is filled.
    pub fn shared(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.filled);
        assert!(range.end <= self.start || range.start >= self.private);
        self.range(range)
    }

    /// The unsealed content of the section behind its private front, for a checksum over it.
    pub fn section(&self) -> &[u8] {
        let address = self.block.memory().address.as_ptr();
        // SAFETY: these bytes were filled and are final.
        unsafe { std::slice::from_raw_parts(address.add(self.private), self.filled - self.private) }
    }

    fn range(&self, range: Range<usize>) -> Slice {
        Slice { block: Arc::clone(&self.block), start: range.start as u32, bytes: (range.end - range.start) as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_aligned_and_counted_and_recycled() {
        let pool = Pool::new(1 << 20);
        let block = pool.try_block(5000, Use::Receive).expect("within the limit");
        assert_eq!(block.len(), 8192);
        assert_eq!(block.as_ptr() as usize % BLOCK_ALIGN, 0);
        assert_eq!(pool.in_use(Use::Receive), 8192);
        let address = block.as_ptr();
        drop(block);
        assert_eq!(pool.in_use_total(), 0);
        let again = pool.try_block(8192, Use::Tail).expect("within the limit");
        assert_eq!(again.as_ptr(), address, "the freed block is handed out again");
    }

    #[test]
    fn the_limit_refuses_and_recovers() {
        let pool = Pool::new(16 << 10);
        let held: Vec<_> = (0..4).map(|_| pool.try_block(4096, Use::Receive).expect("fits")).collect();
        assert!(pool.try_block(1, Use::Receive).is_none());
        assert!(pool.block_unlimited(1, Use::Tail).is_some());
        drop(held);
        assert!(pool.try_block(16 << 10, Use::Receive).is_some());
    }

    #[test]
    fn lasting_blocks_come_back_where_they_were() {
        let pool = Pool::new(0);
        let block = || pool.block_unlimited(1 << 20, Use::Tail).expect("memory").into_slice(4096);
        let held: Vec<_> = (0..usize::from(LASTING_MAX) + 1).map(|_| block()).collect();
        let last = |slice: &Slice| pool.lasting_of(slice).map(|lasting| (lasting.number, lasting.address));
        let lasting: Vec<_> = held.iter().filter_map(&last).collect();
        assert_eq!(lasting.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..LASTING_MAX).collect::<Vec<_>>());
        assert!(last(&held[usize::from(LASTING_MAX)]).is_none(), "no more than so many");
        assert!(Pool::new(0).lasting_of(&held[0]).is_none(), "another pool's numbers are others");
        drop(held);
        let again: Vec<_> = lasting.iter().map(|_| block()).collect();
        let mut found: Vec<_> = again.iter().filter_map(&last).collect();
        found.sort_unstable();
        assert_eq!(found, lasting, "they come first, and each is where it was");
    }

    #[test]
    fn what_is_not_needed_for_a_while_is_given_back() {
        let pool = Pool::new(0);
        let idle_bytes = || pool.shared.kept().idle_bytes;
        let blocks = |count: usize| -> Vec<_> {
            (0..count).map(|_| pool.block_unlimited(64 << 10, Use::Staging).expect("memory")).collect()
        };
        drop(blocks(10));
        pool.trim(usize::MAX);
        assert_eq!(idle_bytes(), 640 << 10, "all of them were in use since the call before");
        drop(blocks(4));
        pool.trim(100 << 10);
        assert_eq!(idle_bytes(), 576 << 10, "no more than it may");
        pool.trim(usize::MAX);
        assert_eq!(idle_bytes(), 0, "nothing was taken since");
        drop(blocks(1));
        assert_eq!(idle_bytes(), 64 << 10);
    }

    #[test]
    fn an_appender_shares_its_front_while_it_is_filled() {
        let pool = Pool::new(1 << 20);
        let mut appender = pool.try_block(8192, Use::Tail).expect("fits").into_appender();
        appender.begin(64);
        appender.reserve(3).copy_from_slice(b"abc");
        let first = appender.share(3);
        appender.reserve(2).copy_from_slice(b"de");
        let second = appender.share(2);
        assert_eq!((&*first, &*second), (&b"abc"[..], &b"de"[..]));
        assert_eq!(&*first.joined(&second).expect("adjacent"), b"abcde");
        let sealed = appender.seal(b"header");
        assert_eq!(sealed.len(), 4096);
        assert_eq!(&sealed[..6], b"header");
        assert_eq!(&sealed[64..69], b"abcde");
        assert!(sealed[69..].iter().all(|byte| *byte == 0));
        assert_eq!(&*first, b"abc");
        assert_eq!((appender.section_start(), appender.room()), (4096, 4096));
    }

    #[test]
    fn a_last_slice_gives_its_block_back() {
        let pool = Pool::new(1 << 20);
        let slice = pool.try_block(4096, Use::Read).expect("fits").into_slice(10);
        let other = slice.slice(2..4);
        assert!(slice.into_block().is_none());
        assert!(other.into_block().is_some());
    }
}
