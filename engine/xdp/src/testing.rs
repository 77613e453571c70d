//! For tests that need privileges.

use std::panic::resume_unwind;
use std::process::Command;

/// True when this process may load programs and make AF_XDP sockets; else says loudly what is
/// skipped, and fails where skipping would hide it (CI=true).
pub(crate) fn privileged(what: &str) -> bool {
    let Err(missing) = crate::capability::check() else {
        return true;
    };
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "{what}: not tested: {missing}"
    );
    eprintln!("\n=== SKIPPED: {what}: {missing} ===\n");
    false
}

/// Runs a test on a thread with a network namespace of its own, in which only `lo` is, and up.
pub(crate) fn in_own_namespace(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: unshare has no memory effects; a new network namespace concerns this thread only.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
            let up = Command::new("ip")
                .args(["link", "set", "lo", "up"])
                .status()
                .unwrap();
            assert!(up.success());
            test();
        });
        if let Err(panic) = thread.join() {
            resume_unwind(panic);
        }
    });
}
