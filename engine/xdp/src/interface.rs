//! What the kernel says about a network interface, in the namespace of the calling thread.

use crate::error::SetupError;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, recv, sendto, socket_with};

/// Facts about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) up: bool,
    pub(crate) mtu: u32,
    pub(crate) mac: [u8; 6],
    /// Receive queues in use.
    pub(crate) queues: u32,
    /// The XDP program that is attached, in any mode.
    pub(crate) program: Option<u32>,
}

// linux/if_link.h, linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_HEADER: usize = 16;
const IFINFO: usize = 16;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_PROG_ID: u16 = 4;
/// Native, generic and hardware, when several are attached.
const IFLA_XDP_MODE_PROG_IDS: std::ops::RangeInclusive<u16> = 5..=7;
const IFF_UP: u32 = 1;

impl Interface {
    /// Asks for the interface with this name.
    pub(crate) fn query(name: &str) -> Result<Self, SetupError> {
        let step = || format!("interface {name}");
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains('\0') {
            return Err(no_such_interface(name));
        }
        let mut interface = match get_link(name) {
            Ok(Some(interface)) => interface,
            Ok(None) | Err(Errno::NODEV) => return Err(no_such_interface(name)),
            Err(errno) => {
                return Err(SetupError::os(
                    step(),
                    errno.raw_os_error(),
                    "see `ip link`",
                ));
            }
        };
        if let Some(channels) = channels(name) {
            interface.queues = channels;
        }
        Ok(interface)
    }
}

fn no_such_interface(name: &str) -> SetupError {
    SetupError::os(
        format!("interface {name}"),
        libc::ENODEV,
        "`ip link` lists the interfaces; one in another network namespace needs `ip netns exec`",
    )
}

fn get_link(name: &str) -> Result<Option<Interface>, Errno> {
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None, // NETLINK_ROUTE is protocol zero
    )?;
    bind(&socket, &SocketAddrNetlink::new(0, 0))?;
    let mut request = Vec::with_capacity(64);
    let attribute = 4 + name.len() + 1;
    let total = NLMSG_HEADER + IFINFO + attribute.next_multiple_of(4);
    request.extend_from_slice(&(total as u32).to_ne_bytes());
    request.extend_from_slice(&RTM_GETLINK.to_ne_bytes());
    request.extend_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request.extend_from_slice(&[0; 8 + IFINFO]);
    request.extend_from_slice(&(attribute as u16).to_ne_bytes());
    request.extend_from_slice(&IFLA_IFNAME.to_ne_bytes());
    request.extend_from_slice(name.as_bytes());
    request.resize(total, 0);
    sendto(
        &socket,
        &request,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    let mut answer = vec![0; 64 * 1024];
    let (len, _) = recv(socket.as_fd(), &mut answer[..], RecvFlags::empty())?;
    parse_link(&answer[..len])
}

/// Reads the answer to RTM_GETLINK; `None` when it is something else.
fn parse_link(answer: &[u8]) -> Result<Option<Interface>, Errno> {
    let kind = u16_at(answer, 4);
    if kind == Some(NLMSG_ERROR) {
        let errno = u32_at(answer, NLMSG_HEADER).unwrap_or(0) as i32;
        return Err(Errno::from_raw_os_error(errno.wrapping_neg()));
    }
    let (Some(RTM_NEWLINK), Some(index), Some(flags)) = (
        kind,
        u32_at(answer, NLMSG_HEADER + 4),
        u32_at(answer, NLMSG_HEADER + 8),
    ) else {
        return Ok(None);
    };
    let mut link = Interface {
        index,
        up: flags & IFF_UP != 0,
        queues: 1,
        ..Default::default()
    };
    for (kind, value) in Attributes(answer.get(NLMSG_HEADER + IFINFO..).unwrap_or(&[])) {
        match kind {
            IFLA_IFNAME => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').into(),
            IFLA_MTU => link.mtu = u32_at(value, 0).unwrap_or(0),
            IFLA_ADDRESS => link.mac = value.try_into().unwrap_or_default(),
            IFLA_NUM_RX_QUEUES => link.queues = u32_at(value, 0).unwrap_or(1).max(1),
            IFLA_XDP => link.program = attached_program(value),
            _ => {}
        }
    }
    Ok(Some(link))
}

fn attached_program(nested: &[u8]) -> Option<u32> {
    Attributes(nested)
        .filter(|(kind, _)| *kind == IFLA_XDP_PROG_ID || IFLA_XDP_MODE_PROG_IDS.contains(kind))
        .find_map(|(_, value)| u32_at(value, 0).filter(|id| *id != 0))
}

/// The attributes of a netlink message: type and value.
struct Attributes<'a>(&'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        /// The two top bits say "nested" and "network byte order".
        const TYPE: u16 = 0x3fff;
        let len = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..at + 2)?
        .try_into()
        .ok()
        .map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .try_into()
        .ok()
        .map(u32::from_ne_bytes)
}

/// `struct ethtool_channels` of linux/ethtool.h.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max_rx: u32,
    max_tx: u32,
    max_other: u32,
    max_combined: u32,
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

/// Receive queues in use, as ethtool counts them; `None` when the driver does not say.
fn channels(name: &str) -> Option<u32> {
    const SIOCETHTOOL: libc::c_ulong = 0x8946;
    const ETHTOOL_GCHANNELS: u32 = 0x3c;
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .ok()?;
    let mut channels = Channels {
        command: ETHTOOL_GCHANNELS,
        ..Channels::default()
    };
    // SAFETY: ifreq is plain data, for which zeroes are valid.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut channels).cast();
    // SAFETY: the request is what SIOCETHTOOL takes: a terminated name (its length was checked to
    // be below IFNAMSIZ) and a pointer to a struct of the command's size that outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    let queues = channels.rx.saturating_add(channels.combined);
    (result == 0 && queues > 0).then_some(queues)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_is_known() {
        let lo = Interface::query("lo").unwrap();
        assert_eq!((lo.name.as_str(), lo.mac, lo.queues), ("lo", [0; 6], 1));
        assert!(lo.index > 0 && lo.mtu >= 1500);
    }

    #[test]
    fn a_wrong_name_is_told_in_one_line() {
        for name in ["nowhere0", "", "a-name-that-is-far-too-long"] {
            let error = Interface::query(name).unwrap_err();
            assert_eq!(error.errno, Some(libc::ENODEV), "{error}");
            assert!(!error.to_string().contains('\n') && !error.hint().is_empty());
        }
    }

    #[test]
    fn attributes_end_with_the_bytes() {
        let mut bytes = vec![5, 0, 1, 0, 9, 0, 0, 0, 8, 0, 4, 0x80, 7, 0, 0, 0];
        let all: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(all, [(1, &[9][..]), (4, &[7, 0, 0, 0][..])]);
        bytes[8] = 200;
        assert_eq!(Attributes(&bytes).count(), 1);
        assert_eq!(
            Attributes(&[3, 0, 1, 0]).count(),
            0,
            "shorter than its own header"
        );
    }
}
