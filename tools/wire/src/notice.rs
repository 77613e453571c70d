//! Things a person should be told, once.

use std::fmt;

/// Something that does not stop a wire but that its user wants to know. Shown as one line of what
/// is the matter and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// Frames are longer than what the other interface takes; they are dropped.
    Oversize {
        /// The interface they came from.
        from: String,
        /// The interface they would leave by.
        to: String,
        /// Its MTU.
        mtu: usize,
    },
    /// Frames cannot be made fit for a cable; they are dropped.
    Incompletable {
        /// The interface they came from.
        from: String,
    },
    /// The interface went down.
    LinkDown {
        /// Its name.
        interface: String,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversize { from, to, mtu } => write!(
                f,
                "frames from {from} are longer than the MTU of {to}, {mtu}, and are dropped: give \
                 all interfaces on the way the same MTU"
            ),
            Self::Incompletable { from } => write!(
                f,
                "large packets arrive on {from} that only the kernel can cut, and are dropped: run \
                 `ethtool -K PEER tx off tso off gso off` on the other end of the virtual link"
            ),
            Self::LinkDown { interface } => {
                write!(f, "{interface} is down: `ip link set {interface} up`")
            }
        }
    }
}
