//! What the system should know of our memory: hints, without which everything works.

/// Hint that these items, none of them written yet, should lie in large pages where the system has them: a fault for every 4 KB took
/// more time than ranking the tokens in it.
pub fn in_large_pages<T>(items: &mut [T]) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 1 << 16; // the largest of any machine
        let range = items.as_mut_ptr_range();
        let start = range.start.addr().next_multiple_of(PAGE);
        let bytes = range.end.addr().saturating_sub(start) / PAGE * PAGE;
        if bytes > 0 {
            // SAFETY: the advice is for whole pages inside of the items, and changes nothing of what they hold.
            unsafe { libc::madvise(range.start.with_addr(start).cast(), bytes, libc::MADV_HUGEPAGE) };
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = items;
}

/// Give what the allocator keeps of freed memory back to the system. A budget counts what is in use: after the margins of 32 groups
/// the allocator kept 20 MB.
pub fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: changes nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
