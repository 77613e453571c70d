//! Giving up what set-up needed.

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};
use std::io;

/// Drops every capability of this thread, and of the threads it starts from now on, for good.
pub(crate) fn drop_all() -> io::Result<()> {
    set_no_new_privs(true)?;
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::capabilities;

    #[test]
    fn nothing_is_left_on_this_thread() {
        // On a thread of its own, so that the test runner keeps what it has.
        std::thread::spawn(|| {
            drop_all().unwrap();
            let left = capabilities(None).unwrap();
            assert!(left.effective.is_empty() && left.permitted.is_empty());
        })
        .join()
        .unwrap();
    }
}
