//! Things a person should be told, once and loudly.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Something that does not stop the engine but that its owner wants to know. Shown as one line of
/// what is the matter and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A mode that `auto` tried in vain.
    Fallback {
        /// Which mode, and why not.
        reason: String,
    },
    /// The kernel may choose ports for its own connections that the engine takes frames for.
    PortsOverlap {
        /// Ours.
        ours: RangeInclusive<u16>,
        /// The kernel's `ip_local_port_range`.
        kernel: RangeInclusive<u16>,
    },
    /// A socket of the kernel listens where the engine does: it gets no more connections.
    Shadowed {
        /// Where.
        address: SocketAddr,
    },
    /// Frames arrive with TCP checksums that nobody filled in; they are dropped.
    ChecksumsUnfilled {
        /// The interface they arrive on.
        interface: String,
    },
    /// The interface went down.
    LinkDown {
        /// Its name.
        interface: String,
    },
    /// A service panicked; its connections and listeners are gone, the others go on.
    ServicePanicked {
        /// Its number, in the order in which services were given to the builder, from zero.
        service: u16,
    },
    /// Changes of the network can no longer be followed.
    ControlFailed {
        /// Why.
        cause: String,
    },
    /// Something else.
    Other {
        /// What.
        text: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fallback { reason } => write!(f, "falling back: {reason}"),
            Self::PortsOverlap { ours, kernel } => write!(
                f,
                "the kernel opens connections from ports {}-{}, which meets our {}-{}: answers to \
                 some of its connections will go astray; set net.ipv4.ip_local_port_range apart, \
                 or choose other ephemeral ports",
                kernel.start(),
                kernel.end(),
                ours.start(),
                ours.end(),
            ),
            Self::Shadowed { address } => write!(
                f,
                "a socket of the kernel listens on {address} too: it gets no connections through \
                 this interface while the engine runs"
            ),
            Self::ChecksumsUnfilled { interface } => write!(
                f,
                "frames arrive on {interface} whose TCP checksums nobody filled in, and are \
                 dropped: run `ethtool -K PEER tx off tso off gso off` on the other end of the \
                 virtual link, or trust them with --trust-unfilled-checksums"
            ),
            Self::LinkDown { interface } => write!(f, "interface {interface} is down"),
            Self::ServicePanicked { service } => write!(
                f,
                "service {service} panicked: its connections and listeners are gone, the others \
                 go on"
            ),
            Self::ControlFailed { cause } => write!(
                f,
                "changes of routes and neighbours can no longer be followed: {cause}; restart to \
                 follow them again"
            ),
            Self::Other { text } => f.write_str(text),
        }
    }
}

/// Who is told.
#[derive(Clone)]
pub(crate) struct Notices(Arc<dyn Fn(&Notice) + Send + Sync>);

impl Notices {
    pub(crate) fn new(told: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(crate) fn tell(&self, notice: Notice) {
        (self.0)(&notice);
    }
}

impl Default for Notices {
    /// Loud unless told otherwise: what is said here is what people miss.
    fn default() -> Self {
        Self::new(|notice| eprintln!("byway: {notice}"))
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_one_line() {
        let ports = Notice::PortsOverlap {
            ours: 1..=2,
            kernel: 2..=3,
        };
        for notice in [
            ports,
            Notice::ChecksumsUnfilled {
                interface: "eth0".into(),
            },
        ] {
            let text = notice.to_string();
            assert!(!text.contains('\n') && !text.contains("  "), "{text}");
        }
    }
}
