//! The heap: dlmalloc, behind the standard library's lock and on memory that is there at once.
//!
//! musl's own gives memory back to the kernel block by block, which is a third of the time of a short command. dlmalloc's own lock
//! is the C library's, and takes longer than finding a block. And a page that is not there until it is touched costs several
//! times as much as the page: a command, which is about to use them anyway, asks for a few at a time.

use std::alloc::{GlobalAlloc, Layout};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::{Allocator, Dlmalloc};
use rustix::mm::{MapFlags, MremapFlags, ProtFlags, mmap_anonymous, mremap, munmap};

/// What a command asks for at a time.
const STEP: usize = 256 << 10;
/// What is longer is asked for by itself, and may never be used as a whole.
const LONGEST_AT_ONCE: usize = 1 << 20;

/// Whether pages are to be there at once.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// The allocator of a process.
pub struct Heap(Mutex<Dlmalloc<Pages>>);

impl std::fmt::Debug for Heap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heap")
    }
}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new_with_allocator(Pages)))
    }

    /// For a process that is to be quick and ends soon: those that stay are to be small.
    pub fn hurry(&self) {
        AT_ONCE.store(true, Ordering::Relaxed);
        self.lock().set_granularity(STEP);
    }

    fn lock(&self) -> MutexGuard<'_, Dlmalloc<Pages>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: dlmalloc's functions have the contracts of those of this trait, which it names (`Dlmalloc::malloc` and so on), and are
// called by one thread at a time. The lock allocates nothing (a futex), so none of them is entered from within another.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, passed on.
        unsafe { self.lock().malloc(layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.lock().calloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller says that the block is of this allocator, with this layout.
        unsafe { self.lock().free(block, layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.lock().realloc(block, layout.size(), layout.align(), size) }
    }
}

/// Memory of the kernel's.
#[derive(Debug)]
struct Pages;

// SAFETY: what is returned is a new private mapping of the length that is returned with it, of zeros and writable; the other
// functions are called with such mappings alone, and do what their names say (mmap(2), mremap(2)).
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let at_once = size <= LONGEST_AT_ONCE && AT_ONCE.load(Ordering::Relaxed);
        let flags = if at_once { MapFlags::PRIVATE | MapFlags::POPULATE } else { MapFlags::PRIVATE };
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let mapped =
            unsafe { mmap_anonymous(ptr::null_mut(), size, ProtFlags::READ | ProtFlags::WRITE, flags) };
        mapped.map_or((ptr::null_mut(), 0, 0), |start| (start.cast(), size, 0))
    }

    fn remap(&self, start: *mut u8, before: usize, after: usize, can_move: bool) -> *mut u8 {
        let flags = if can_move { MremapFlags::MAYMOVE } else { MremapFlags::empty() };
        // SAFETY: dlmalloc owns the mapping, and uses its new address alone.
        unsafe { mremap(start.cast(), before, after, flags) }.map_or(ptr::null_mut(), <*mut _>::cast)
    }

    fn free_part(&self, start: *mut u8, before: usize, after: usize) -> bool {
        // SAFETY: the mapping is `before` long, so the address is within it; dlmalloc does not use what is behind it any more.
        unsafe { munmap(start.add(after).cast(), before - after) }.is_ok()
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        // SAFETY: dlmalloc owns the mapping, and does not use it any more.
        unsafe { munmap(start.cast(), size) }.is_ok()
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        4096
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_keep_what_is_in_them_whatever_happens_to_others() {
        let heap = Heap::new();
        let layout = |size| Layout::from_size_align(size, 16).unwrap();
        let mut blocks = Vec::new();
        for round in 0..2 {
            for (number, size) in
                [1, 24, 100, 5000, 70_000, 3 << 20].into_iter().cycle().take(600).enumerate()
            {
                // SAFETY: each block is written within its size, and freed once, with its layout.
                unsafe {
                    let block = heap.alloc(layout(size));
                    assert!(!block.is_null() && block.addr().is_multiple_of(16));
                    block.write_bytes(u8::try_from(number % 251).unwrap(), size);
                    blocks.push((block, size, number));
                    if number % 3 == 0 {
                        let (block, size, number) = blocks.swap_remove(number / 2 % blocks.len());
                        let longer = heap.realloc(block, layout(size), size + 4096);
                        assert_eq!(*longer.add(size - 1), u8::try_from(number % 251).unwrap());
                        heap.dealloc(longer, layout(size + 4096));
                    }
                    let zeros = heap.alloc_zeroed(layout(size));
                    assert_eq!((*zeros, *zeros.add(size - 1)), (0, 0));
                    heap.dealloc(zeros, layout(size));
                }
            }
            if round == 0 {
                heap.hurry();
            }
        }
        for (block, size, number) in blocks {
            // SAFETY: as above.
            unsafe {
                assert_eq!(*block.add(size / 2), u8::try_from(number % 251).unwrap());
                heap.dealloc(block, layout(size));
            }
        }
        AT_ONCE.store(false, Ordering::Relaxed);
    }
}
