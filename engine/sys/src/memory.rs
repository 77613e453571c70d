//! Hints about memory to the kernel.

/// What the kernel maps as one huge page on x86-64 and, with pages of 4 KiB, on AArch64.
const HUGE_PAGE: usize = 2 << 20;

/// Asks the kernel to back the memory reserved by `values` with huge pages as it comes into use:
/// what is touched in random order then costs a cache miss, and not another for the page table. The
/// price is that the first touch of each page waits until all of it was zeroed, some 100 us once
/// in 2 MiB, in place of 512 short waits. A hint: it has no effect that a program could see. Less
/// than a huge page is left as it is.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_and_capacity_too() {
        for len in [0, 1, 1000, 3 << 20] {
            let mut values: Vec<u8> = Vec::with_capacity(len);
            values.extend((0..len / 2).map(|at| at as u8));
            let (before, room) = (values.clone(), values.capacity());
            prefer_huge_pages(&mut values);
            assert_eq!(values, before);
            values.resize(len, 7);
            assert_eq!(values.capacity(), room);
        }
        prefer_huge_pages(&mut Vec::<()>::with_capacity(9));
    }
}
