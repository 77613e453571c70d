//! The CPU's own counter of time.

/// The counter that all cores share and that ticks at a constant rate in every power state
/// (x86-64's invariant TSC); `None` where the CPU has none. Its rate has to be measured, and a virtual
/// machine that moves may see it jump.
#[inline]
pub fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_invariant() {
            // SAFETY: every x86-64 CPU has the instruction; systems that forbid it to user space
            // do not offer their processes the flag that was just asked for either.
            return Some(unsafe { core::arch::x86_64::_rdtsc() });
        }
    }
    None
}

/// CPUID leaf 0x8000_0007, bit 8 of EDX; asked once.
#[cfg(target_arch = "x86_64")]
#[inline]
fn is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    use std::sync::OnceLock;
    static INVARIANT: OnceLock<bool> = OnceLock::new();
    *INVARIANT.get_or_init(|| {
        const HIGHEST: u32 = 0x8000_0000;
        const POWER: u32 = 0x8000_0007;
        __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx >> 8 & 1 == 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_do_not_go_back() {
        let mut last = ticks();
        for _ in 0..10_000 {
            let next = ticks();
            assert_eq!(next.is_some(), last.is_some());
            assert!(next >= last);
            last = next;
        }
    }
}
