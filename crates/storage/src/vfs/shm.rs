//! Shared memory and its eight locks: what the `-shm` file is to processes, for the connections of one process.
//!
//! Memory regions keep their address until the last connection unmaps them; SQLite accesses them through raw
//! pointers from several threads, with its own atomics and the barrier.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::c_void;
use std::ops::Range;
use std::ptr::NonNull;

use rusqlite::ffi;

/// Lock slots: one writer, one checkpointer, one recovery, five read marks.
const SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// A region larger than this is not SQLite's wish (it uses 32 KiB).
const REGION_BYTES_MAX: usize = 1 << 20;

/// More regions than this would be an index of a WAL of 2 TiB.
const REGIONS_MAX: usize = 1 << 17;

/// The shared memory of one main file.
#[derive(Default)]
pub(super) struct Shm {
    regions: Vec<Region>,
    /// Per slot: how many handles share it, or -1 for one that excludes all others.
    slots: [i32; SLOTS],
    /// Handles that mapped it.
    users: usize,
}

/// What one handle holds of it. Bit n stands for slot n.
#[derive(Default)]
pub(super) struct ShmHandle {
    attached: bool,
    shared: u32,
    exclusive: u32,
}

impl Shm {
    /// The address of region `number`; null when it does not exist and `extend` is not set. `None` when the memory
    /// cannot be had.
    pub(super) fn map(
        &mut self,
        handle: &mut ShmHandle,
        number: usize,
        bytes: usize,
        extend: bool,
    ) -> Option<*mut c_void> {
        if !handle.attached {
            handle.attached = true;
            self.users += 1;
        }
        if number >= self.regions.len() && !extend {
            return Some(std::ptr::null_mut());
        }
        if number >= REGIONS_MAX {
            return None;
        }
        while self.regions.len() <= number {
            self.regions.push(Region::new(bytes)?);
        }
        Some(self.regions[number].address.as_ptr().cast())
    }

    /// Takes or releases slots as `flags` say; false is SQLITE_BUSY.
    pub(super) fn lock(&mut self, handle: &mut ShmHandle, slots: Range<usize>, flags: i32) -> bool {
        if slots.end > SLOTS {
            return false;
        }
        match (
            flags & ffi::SQLITE_SHM_UNLOCK != 0,
            flags & ffi::SQLITE_SHM_SHARED != 0,
        ) {
            (true, _) => self.release(handle, slots),
            (false, true) => return self.share(handle, slots),
            (false, false) => return self.exclude(handle, slots),
        }
        true
    }

    /// Releases everything that the handle holds; the last one frees the memory.
    pub(super) fn unmap(&mut self, handle: &mut ShmHandle) {
        self.release(handle, 0..SLOTS);
        if std::mem::take(&mut handle.attached) {
            self.users -= 1;
            if self.users == 0 {
                self.regions.clear();
            }
        }
    }

    fn share(&mut self, handle: &mut ShmHandle, slots: Range<usize>) -> bool {
        let wanted: Vec<usize> = slots.filter(|slot| handle.shared & (1 << slot) == 0).collect();
        if wanted.iter().any(|&slot| self.slots[slot] < 0) {
            return false;
        }
        for slot in wanted {
            self.slots[slot] += 1;
            handle.shared |= 1 << slot;
        }
        true
    }

    fn exclude(&mut self, handle: &mut ShmHandle, slots: Range<usize>) -> bool {
        if self.slots[slots.clone()].iter().any(|&holders| holders != 0) {
            return false;
        }
        for slot in slots {
            self.slots[slot] = -1;
            handle.exclusive |= 1 << slot;
        }
        true
    }

    fn release(&mut self, handle: &mut ShmHandle, slots: Range<usize>) {
        for slot in slots {
            let bit = 1 << slot;
            if handle.exclusive & bit != 0 {
                self.slots[slot] = 0;
            } else if handle.shared & bit != 0 {
                self.slots[slot] -= 1;
            }
            handle.exclusive &= !bit;
            handle.shared &= !bit;
        }
    }
}

/// Zeroed memory at a fixed address.
struct Region {
    address: NonNull<u8>,
    layout: Layout,
}

// SAFETY: owned memory; only SQLite dereferences the address, with its own synchronisation.
unsafe impl Send for Region {}

impl Region {
    fn new(bytes: usize) -> Option<Region> {
        if bytes == 0 || bytes > REGION_BYTES_MAX {
            return None;
        }
        let layout = Layout::from_size_align(bytes, align_of::<u64>()).ok()?;
        // SAFETY: the layout has a size above zero.
        let address = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Region { address, layout })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` with this layout; the last user has unmapped it.
        unsafe { dealloc(self.address.as_ptr(), self.layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: i32 = ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_SHARED;
    const EXCLUDE: i32 = ffi::SQLITE_SHM_LOCK | ffi::SQLITE_SHM_EXCLUSIVE;

    #[test]
    fn an_excluded_slot_is_shared_by_nobody() {
        let (mut shm, mut one, mut two) = (Shm::default(), ShmHandle::default(), ShmHandle::default());
        assert!(shm.lock(&mut one, 3..4, SHARE) && shm.lock(&mut two, 3..4, SHARE));
        assert!(!shm.lock(&mut two, 3..8, EXCLUDE));
        shm.unmap(&mut one);
        assert!(shm.lock(&mut two, 3..4, ffi::SQLITE_SHM_UNLOCK | ffi::SQLITE_SHM_SHARED));
        assert!(shm.lock(&mut two, 3..8, EXCLUDE));
        assert!(!shm.lock(&mut one, 5..6, SHARE));
    }

    #[test]
    fn memory_is_shared_and_gone_with_its_last_user() {
        let (mut shm, mut one, mut two) = (Shm::default(), ShmHandle::default(), ShmHandle::default());
        assert_eq!(shm.map(&mut one, 0, 32_768, false), Some(std::ptr::null_mut()));
        let address = shm.map(&mut one, 1, 32_768, true).expect("memory");
        assert_eq!(shm.map(&mut two, 1, 32_768, false), Some(address));
        shm.unmap(&mut one);
        assert_eq!(shm.regions.len(), 2);
        shm.unmap(&mut two);
        assert_eq!(shm.regions.len(), 0);
    }
}
