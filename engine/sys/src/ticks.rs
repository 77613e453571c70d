//! The CPU's own counter of time.

/// The counter of the CPU that ticks at a constant rate in every power state (x86-64's invariant TSC).
/// `None` where the CPU has none, where this process may not read it, and where the kernel does not
/// trust it with its own time: only then it is the same on all cores. Its rate has to be measured, and a
/// virtual machine that moves may see it jump.
#[inline]
pub fn ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_trusted() {
            // SAFETY: every x86-64 CPU has the instruction, and reading a counter changes nothing.
            // Where it is forbidden later on, the process ends by a signal, as it does after any
            // other call that is forbidden to it.
            return Some(unsafe { core::arch::x86_64::_rdtsc() });
        }
    }
    None
}

/// Asked once.
#[cfg(target_arch = "x86_64")]
#[inline]
fn is_trusted() -> bool {
    use std::sync::OnceLock;
    static TRUSTED: OnceLock<bool> = OnceLock::new();
    *TRUSTED.get_or_init(|| is_invariant() && may_be_read() && kernel_goes_by_it())
}

/// CPUID leaf 0x8000_0007, bit 8 of EDX.
#[cfg(target_arch = "x86_64")]
fn is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    const HIGHEST: u32 = 0x8000_0000;
    const POWER: u32 = 0x8000_0007;
    __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx >> 8 & 1 == 1
}

/// The process was not forbidden to read it (PR_SET_TSC).
#[cfg(target_arch = "x86_64")]
fn may_be_read() -> bool {
    let mut mode: libc::c_int = 0;
    // SAFETY: the kernel writes one int to the address it is given, which is that of an int.
    let asked = unsafe { libc::prctl(libc::PR_GET_TSC, core::ptr::from_mut(&mut mode)) };
    asked == 0 && mode == libc::PR_TSC_ENABLE
}

/// The kernel's own clock is the counter, or what a hypervisor makes of it.
#[cfg(target_arch = "x86_64")]
fn kernel_goes_by_it() -> bool {
    const CURRENT: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(CURRENT).unwrap_or_default();
    matches!(
        source.trim(),
        "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page"
    )
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
