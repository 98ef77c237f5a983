//! Checksums of pages: a byte of the main file that rots is met when its page is read, before anything is made of it.
//!
//! Each page of a replica's main file ends with [`CHECKSUM_BYTES`] that SQLite leaves to its VFS (byte 20 of the file's
//! header, sqlite.org/fileformat2.html §1.3.4). There stands the XXH3 of what is before them, little-endian, mixed with
//! the page's number: a page that was written to another's place does not fit either. `vfs::checked` writes them, and
//! compares them whenever SQLite reads a page.
//!
//! A page of zeros is sound: SQLite leaves holes for pages that it allocated and gave back in one transaction. Does not
//! find what was wrong in memory before it was written, nor a whole page that went back to an older version of itself.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a page of every replica's file: SQLite's default and the page size of most disks and kernels.
pub const PAGE_BYTES: usize = 4096;

/// At the end of each page.
pub const CHECKSUM_BYTES: usize = 8;

/// Odd, so that no two page numbers become the same; its bits are those of the golden ratio.
const NUMBER_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// What belongs at the end of page `number` (from 1) with this content.
fn checksum(number: u32, content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let sum = xxh3_64(content) ^ u64::from(number).wrapping_mul(NUMBER_FACTOR);
    sum.to_le_bytes()
}

/// Puts the checksum at the end of a whole page.
///
/// # Panics
/// When `page` is shorter than a checksum.
pub fn write_checksum(number: u32, page: &mut [u8]) {
    let (content, end) = page.split_at_mut(page.len() - CHECKSUM_BYTES);
    end.copy_from_slice(&checksum(number, content));
}

/// Whether a whole page is what was written as page `number`.
///
/// # Panics
/// When `page` is shorter than a checksum.
pub fn is_sound(number: u32, page: &[u8]) -> bool {
    let (content, end) = page.split_at(page.len() - CHECKSUM_BYTES);
    end == checksum(number, content) || page.iter().all(|byte| *byte == 0)
}

/// The number of the page at `offset`; `None` when no page begins there.
pub(crate) fn number_at(offset: u64) -> Option<u32> {
    if !offset.is_multiple_of(PAGE_BYTES as u64) {
        return None;
    }
    u32::try_from(offset / PAGE_BYTES as u64 + 1).ok()
}

/// Looks at the pages of a file that comes in pieces, in order.
#[derive(Default)]
pub(crate) struct PageWalk {
    /// The beginning of the page that is not complete yet.
    partial: Vec<u8>,
    whole: u32,
    unsound: Option<u32>,
}

impl PageWalk {
    /// Takes the next bytes.
    pub(crate) fn update(&mut self, mut bytes: &[u8]) {
        if !self.partial.is_empty() {
            let missing = bytes.len().min(PAGE_BYTES - self.partial.len());
            self.partial.extend_from_slice(&bytes[..missing]);
            bytes = &bytes[missing..];
            if self.partial.len() < PAGE_BYTES {
                return;
            }
            let page = std::mem::take(&mut self.partial);
            self.look(&page);
        }
        let mut pages = bytes.chunks_exact(PAGE_BYTES);
        for page in &mut pages {
            self.look(page);
        }
        self.partial.extend_from_slice(pages.remainder());
    }

    /// The first page that is not what was written, or not whole.
    pub(crate) fn unsound(&self) -> Option<u32> {
        self.unsound
            .or_else(|| (!self.partial.is_empty()).then_some(self.whole.saturating_add(1)))
    }

    fn look(&mut self, page: &[u8]) {
        self.whole = self.whole.saturating_add(1);
        if self.unsound.is_none() && !is_sound(self.whole, page) {
            self.unsound = Some(self.whole);
        }
    }
}

/// A page that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageFault {
    /// The main file.
    pub path: PathBuf,
    /// Its number, from 1.
    pub page: u32,
}

impl fmt::Display for PageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "page {} of {} is not what was written: its checksum does not fit",
            self.page,
            self.path.display()
        )
    }
}

/// Where it is left that a page was not what was written, whoever read it and whatever became of their statement. The
/// replica's driver looks here often and takes it. Clones are the same place.
#[derive(Debug, Clone, Default)]
pub struct Damage(Arc<Mutex<Option<PageFault>>>);

impl Damage {
    /// The first fault since the last call.
    pub fn take(&self) -> Option<PageFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// As [`Damage::take`]; it stays.
    pub(crate) fn first(&self) -> Option<PageFault> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn report(&self, fault: PageFault) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(number: u32, fill: impl Fn(usize) -> u8) -> Vec<u8> {
        let mut page: Vec<u8> = (0..PAGE_BYTES).map(fill).collect();
        write_checksum(number, &mut page);
        page
    }

    proptest! {
        #[test]
        fn every_changed_bit_and_every_other_place_is_found(
            number in 1_u32..,
            other in 1_u32..,
            seed: u8,
            bit in 0..PAGE_BYTES * 8,
        ) {
            let mut page = page(number, |at| (at as u8).wrapping_mul(seed));
            prop_assert!(is_sound(number, &page));
            prop_assert_eq!(is_sound(other, &page), number == other);
            page[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!is_sound(number, &page));
        }

        #[test]
        fn a_walk_finds_the_first_unsound_page_however_the_file_is_cut(
            pages in 1_u32..6,
            rotten in 0_u32..8,
            cuts in proptest::collection::vec(1_usize..9000, 1..9),
            missing in 0_usize..3,
        ) {
            let mut file: Vec<u8> = (1..=pages).flat_map(|number| page(number, |at| at as u8 | 1)).collect();
            if let Some(byte) = file.get_mut(rotten as usize * PAGE_BYTES + 77) {
                *byte ^= 4;
            }
            file.truncate(file.len() - missing);
            let mut walk = PageWalk::default();
            let mut rest = &file[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                walk.update(piece);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            let expected = (rotten < pages).then_some(rotten + 1).or((missing > 0).then_some(pages));
            prop_assert_eq!(walk.unsound(), expected);
        }
    }

    #[test]
    fn a_hole_is_sound() {
        assert!(is_sound(7, &[0; PAGE_BYTES]));
    }
}
