//! The content of one simulated file, as processes see it and as a power cut would leave it.
//!
//! Kept in pages of 4 KiB. A page that was changed since it was last made durable has its durable content in `before`;
//! a sync drops these, a power cut puts them back.

use std::collections::{BTreeMap, BTreeSet};

use super::PowerCut;
use super::extents::Extents;
use crate::base::prng::Prng;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;
/// What a device writes or fails to write as one.
const SECTOR: usize = 512;

type Page = Box<[u8; PAGE as usize]>;
/// Content by page number; `None` is a page of zeros.
type Images = BTreeMap<u64, Option<Page>>;

/// One file's content.
#[derive(Default)]
pub(super) struct Content {
    /// Size as processes see it.
    pub(super) bytes: u64,
    durable_bytes: u64,
    /// The smallest size it was cut to since its size was last made durable.
    cut: Option<u64>,
    /// What processes see; a page that is absent reads as zeros.
    pages: BTreeMap<u64, Page>,
    /// Durable content of the pages changed since.
    before: Images,
    /// Durable content of pages that a failed sync gave up on: no later sync makes them durable.
    given_up: Images,
    /// Pages with room on the device.
    pub(super) allocated: Extents,
    durable_allocated: Extents,
    /// Sectors that cannot be read until they are written again.
    unreadable: BTreeSet<u64>,
}

fn zeros() -> Page {
    Box::new([0; PAGE as usize])
}

/// The pages that `[at, at + bytes)` touches.
pub(super) fn pages_of(at: u64, bytes: u64) -> std::ops::Range<u64> {
    at / PAGE..(at + bytes).div_ceil(PAGE)
}

/// The sectors that `[at, at + bytes)` touches.
fn sectors(at: u64, bytes: u64) -> std::ops::Range<u64> {
    at / SECTOR as u64..(at + bytes).div_ceil(SECTOR as u64)
}

impl Content {
    /// Reads at `at`; tells how many bytes there were.
    pub(super) fn read(&self, at: u64, into: &mut [u8]) -> usize {
        let count = self.bytes.saturating_sub(at).min(into.len() as u64) as usize;
        let mut done = 0;
        while done < count {
            let position = at + done as u64;
            let offset = (position % PAGE) as usize;
            let part = (PAGE as usize - offset).min(count - done);
            let target = &mut into[done..done + part];
            match self.pages.get(&(position / PAGE)) {
                Some(page) => target.copy_from_slice(&page[offset..offset + part]),
                None => target.fill(0),
            }
            done += part;
        }
        count
    }

    /// Whether all of `[at, at + bytes)` can be read.
    pub(super) fn is_readable(&self, at: u64, bytes: u64) -> bool {
        self.unreadable.is_empty() || bytes == 0 || self.unreadable.range(sectors(at, bytes)).next().is_none()
    }

    /// Lets the sectors of `[at, at + bytes)` fail when they are read.
    pub(super) fn make_unreadable(&mut self, at: u64, bytes: u64) {
        self.unreadable.extend(sectors(at, bytes));
    }

    /// Lets every sector be read again.
    pub(super) fn make_readable(&mut self) {
        self.unreadable.clear();
    }

    /// Writes at `at`, where room was allocated before. A device gives a sector that is written another place.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8], durable: bool) {
        let end = at + bytes.len() as u64;
        if !self.unreadable.is_empty() && !bytes.is_empty() {
            let written = sectors(at, bytes.len() as u64);
            self.unreadable.retain(|sector| !written.contains(sector));
        }
        if durable {
            self.commit_size(end);
        }
        let mut done = 0;
        while done < bytes.len() {
            let position = at + done as u64;
            let offset = (position % PAGE) as usize;
            let part = (PAGE as usize - offset).min(bytes.len() - done);
            let piece = &bytes[done..done + part];
            match <&[u8; PAGE as usize]>::try_from(piece) {
                Ok(whole) => self.write_whole(position / PAGE, whole, durable),
                Err(_) => self.write_part(position / PAGE, offset, piece, durable),
            }
            done += part;
        }
        self.bytes = self.bytes.max(end);
    }

    fn write_whole(&mut self, number: u64, bytes: &[u8; PAGE as usize], durable: bool) {
        let old = if bytes.iter().all(|byte| *byte == 0) {
            self.pages.remove(&number)
        } else if durable && let Some(page) = self.pages.get_mut(&number) {
            page.copy_from_slice(bytes);
            None
        } else {
            self.pages.insert(number, Box::new(*bytes))
        };
        if durable { self.made_durable(number) } else { self.changed(number, old) }
    }

    fn write_part(&mut self, number: u64, offset: usize, bytes: &[u8], durable: bool) {
        if durable {
            // The device takes the whole page, with whatever else was changed in it.
            self.made_durable(number);
        } else if !self.before.contains_key(&number) {
            let old = self.pages.get(&number).cloned();
            self.changed(number, old);
        }
        self.pages.entry(number).or_insert_with(zeros)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn made_durable(&mut self, number: u64) {
        self.before.remove(&number);
        self.given_up.remove(&number);
    }

    /// Notes that a page is no longer what the device has; `old` is what it was.
    fn changed(&mut self, number: u64, old: Option<Page>) {
        if self.before.contains_key(&number) {
            return;
        }
        let durable = self.given_up.remove(&number).unwrap_or(old);
        self.before.insert(number, durable);
    }

    /// Makes the size durable, as far as bytes before `end` need it, and the cuts that led to it.
    fn commit_size(&mut self, end: u64) {
        if let Some(cut) = self.cut.take() {
            self.durable_bytes = self.durable_bytes.min(cut);
            forget_beyond(&mut self.before, cut, &self.pages);
            forget_beyond(&mut self.given_up, cut, &self.pages);
        }
        self.durable_bytes = self.durable_bytes.max(end);
        if self.durable_allocated != self.allocated {
            self.durable_allocated = self.allocated.clone();
        }
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        self.before.clear();
        self.commit_size(self.bytes);
        assert_eq!(self.durable_bytes, self.bytes, "a size that shrank was cut");
    }

    /// A sync that fails the way Linux lets it fail: some changed pages count as clean from now on, though the device
    /// never got them.
    pub(super) fn sync_fails(&mut self, random: &mut Prng) {
        for (number, durable) in std::mem::take(&mut self.before) {
            if random.one_in(2) {
                self.given_up.insert(number, durable);
            } else {
                self.before.insert(number, durable);
            }
        }
    }

    /// Cuts or extends the file; tells how many pages of room it gave up.
    pub(super) fn truncate(&mut self, bytes: u64) -> u64 {
        let mut freed = 0;
        if bytes < self.bytes {
            freed = self.cut_pages(bytes);
            self.cut = Some(self.cut.unwrap_or(bytes).min(bytes));
        }
        self.bytes = bytes;
        freed
    }

    fn cut_pages(&mut self, bytes: u64) -> u64 {
        let first = bytes.div_ceil(PAGE);
        for (number, page) in self.pages.split_off(&first) {
            self.changed(number, Some(page));
        }
        let offset = (bytes % PAGE) as usize;
        let last = bytes / PAGE;
        if offset > 0 && self.pages.contains_key(&last) {
            let rest = vec![0; PAGE as usize - offset];
            self.write_part(last, offset, &rest, false);
        }
        self.allocated.cut(first)
    }

    /// Leaves what a power cut leaves.
    pub(super) fn power_cut(&mut self, policy: &PowerCut, random: &mut Prng) {
        let changed = !self.before.is_empty() || !self.given_up.is_empty();
        if !changed && self.durable_bytes == self.bytes && self.cut.is_none() {
            return;
        }
        if policy.happens(policy.sizes_kept_percent, random) {
            self.commit_size(self.bytes);
        }
        let images = std::mem::take(&mut self.before).into_iter().chain(std::mem::take(&mut self.given_up));
        for (number, durable) in images {
            let fate = random.below(100);
            let torn_below = u64::from(policy.pages_kept_percent) + u64::from(policy.pages_torn_percent);
            if fate < u64::from(policy.pages_kept_percent) {
                continue;
            }
            let left = if fate < torn_below { torn(self.pages.get(&number), durable, random) } else { durable };
            match left {
                Some(page) => self.pages.insert(number, page),
                None => self.pages.remove(&number),
            };
        }
        self.bytes = self.durable_bytes;
        self.cut = None;
        self.allocated = self.durable_allocated.clone();
        self.trim();
        for number in self.pages.keys() {
            self.allocated.insert(*number..*number + 1);
        }
        self.durable_allocated = self.allocated.clone();
    }

    /// Makes what lies beyond the size read as zeros.
    fn trim(&mut self) {
        drop(self.pages.split_off(&self.bytes.div_ceil(PAGE)));
        let offset = (self.bytes % PAGE) as usize;
        if offset > 0
            && let Some(page) = self.pages.get_mut(&(self.bytes / PAGE))
        {
            page[offset..].fill(0);
        }
    }

    /// Changes bytes where they lie, unnoticed: what processes see and what is durable.
    pub(super) fn corrupt(&mut self, at: u64, mask: &[u8]) {
        for (index, mask) in mask.iter().enumerate() {
            let position = at + index as u64;
            if position >= self.bytes {
                return;
            }
            let (number, offset) = (position / PAGE, (position % PAGE) as usize);
            self.pages.entry(number).or_insert_with(zeros)[offset] ^= mask;
            if let Some(durable) = self.before.get_mut(&number) {
                durable.get_or_insert_with(zeros)[offset] ^= mask;
            }
        }
    }
}

/// What lay beyond a cut that has become durable is gone from the device as well.
fn forget_beyond(images: &mut Images, cut: u64, pages: &BTreeMap<u64, Page>) {
    for (number, _) in images.split_off(&cut.div_ceil(PAGE)) {
        if pages.contains_key(&number) {
            images.insert(number, None);
        }
    }
    let offset = (cut % PAGE) as usize;
    if offset > 0
        && let Some(Some(page)) = images.get_mut(&(cut / PAGE))
    {
        page[offset..].fill(0);
    }
}

/// A page of which each sector is either new or what was durable.
fn torn(new: Option<&Page>, durable: Option<Page>, random: &mut Prng) -> Option<Page> {
    let mut page = durable.unwrap_or_else(zeros);
    let arrived = random.bits();
    for sector in 0..PAGE as usize / SECTOR {
        if arrived >> sector & 1 == 1 {
            let range = sector * SECTOR..(sector + 1) * SECTOR;
            match new {
                Some(new) => page[range.clone()].copy_from_slice(&new[range]),
                None => page[range].fill(0),
            }
        }
    }
    Some(page)
}
