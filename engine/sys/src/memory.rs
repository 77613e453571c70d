//! Hints about memory to the kernel.

/// What the kernel maps as one huge page on x86-64 and, with pages of 4 KiB, on AArch64.
const HUGE_PAGE: usize = 2 << 20;

/// Asks the kernel to back the memory reserved by `values` with huge pages, as it comes into use: what is
/// touched in random order then costs a cache miss and not one of the page table's as well. A hint:
/// it has no effect that a program could see. Less than a huge page is left as it is.
pub fn prefer_huge_pages<T>(values: &mut Vec<T>) {
    let start = values.as_mut_ptr() as usize;
    let end = start + values.capacity() * size_of::<T>();
    // Only whole huge pages: the rest is shared with other allocations.
    let (start, end) = (start.next_multiple_of(HUGE_PAGE), end & !(HUGE_PAGE - 1));
    if size_of::<T>() == 0 || start >= end {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: the range lies in an allocation that `values` owns and the call borrows mutably. The
    // advice changes which pages back it, and neither what is in it nor what may be done with it;
    // when it fails, nothing is changed.
    unsafe {
        libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
    }
}
