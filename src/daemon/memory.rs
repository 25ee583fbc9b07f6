//! How the C library keeps the gateway's memory.
//!
//! By itself it has a heap for nearly every thread, and keeps whatever one of them needed for a moment: a gateway has a
//! dozen threads, lives for weeks and needs little.

use std::time::Duration;

use crate::supervisor::Tasks;

/// What the start needed and nobody needs any more is given back so soon after it,
const FIRST: Duration = Duration::from_secs(30);
/// and what was needed since then this often.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// Has few heaps, and gives large pieces back as soon as they are free. To be called while there is one thread.
pub(super) fn keep_small() {
    allocator::set();
}

/// Gives back from time to time what is free between pieces that are not.
pub(super) fn give_back_now_and_then(core: &Tasks) {
    core.spawn_once("free memory", move |stop| async move {
        let mut pause = FIRST;
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            // Whoever allocates meanwhile waits for a moment.
            if tokio::task::spawn_blocking(allocator::trim).await.is_err() {
                return;
            }
            pause = EVERY;
        }
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator {
    /// As many heaps as the runtime has workers.
    const HEAPS: libc::c_int = 2;
    /// A piece from this size on is a mapping of its own, for good: by itself the limit grows with what was freed.
    const LARGE: libc::c_int = 256 * 1024;

    #[expect(unsafe_code, reason = "the C library has no other door")]
    pub(super) fn set() {
        for (what, value) in
            [(libc::M_ARENA_MAX, HEAPS), (libc::M_MMAP_THRESHOLD, LARGE), (libc::M_TRIM_THRESHOLD, LARGE)]
        {
            // SAFETY: it takes two numbers and keeps no pointer. What it does not know it refuses.
            let _ = unsafe { libc::mallopt(what, value) };
        }
    }

    #[expect(unsafe_code, reason = "the C library has no other door")]
    pub(super) fn trim() {
        // SAFETY: it gives back pages that nobody has, and locks each heap meanwhile.
        let _ = unsafe { libc::malloc_trim(0) };
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
mod allocator {
    pub(super) fn set() {}

    pub(super) fn trim() {}
}
