//! Whether this thread may do what set-up needs, checked first so that the answer is one clear line.

use crate::error::SetupError;
use std::fs;

const NET_ADMIN: u64 = 1 << 12;
const NET_RAW: u64 = 1 << 13;
const SYS_ADMIN: u64 = 1 << 21;
const BPF: u64 = 1 << 39;

/// Fails with the names of the capabilities that are missing.
pub(crate) fn check() -> Result<(), SetupError> {
    match fs::read_to_string("/proc/thread-self/status") {
        Ok(status) => check_status(&status),
        // Without /proc nothing is known; the kernel will say.
        Err(_) => Ok(()),
    }
}

fn check_status(status: &str) -> Result<(), SetupError> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let Some(effective) = effective else {
        return Ok(());
    };
    let needed = [
        ("CAP_NET_ADMIN", NET_ADMIN),
        ("CAP_NET_RAW", NET_RAW),
        ("CAP_BPF", BPF | SYS_ADMIN),
    ];
    let missing: Vec<&str> = needed
        .iter()
        .filter(|(_, any)| effective & any == 0)
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut error = SetupError::new(
        "privileges",
        format!("{} missing", missing.join(", ")),
        "run as root, or `setcap cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock+ep` the binary",
    );
    error.errno = Some(libc::EPERM);
    Err(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_capabilities_are_named() {
        let error = check_status("Name:\tx\nCapEff:\t0000000000000000\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "privileges: CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF missing"
        );
        let error = check_status("CapEff:\t0000000000003000\n").unwrap_err();
        assert_eq!(error.to_string(), "privileges: CAP_BPF missing");
        assert!(check_status("CapEff:\t0000008000003000\n").is_ok());
        assert!(
            check_status("CapEff:\t0000000000203000\n").is_ok(),
            "CAP_SYS_ADMIN includes it"
        );
        assert!(check_status("nothing known").is_ok());
    }
}
