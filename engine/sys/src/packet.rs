//! Raw Ethernet frames of an interface through an `AF_PACKET` socket (packet(7)): for tools that
//! stand in the middle of a link. The data path of the engine is elsewhere.
//!
//! The kernel hands frames over as it has them, which on virtual links is not as they would be on a
//! cable: a checksum may be left to be filled in, many segments may come as one, a VLAN tag may
//! have been taken off. [`Received`] tells all of that, so that nothing is lost.

mod inbox;

pub use inbox::{Inbox, Offload, Received, Segmentation, VlanTag};

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Frames that one call sends or receives at most.
pub const BATCH: usize = 32;

/// Octets that may wait in the kernel for us to read or for the link to take them. The kernel
/// counts its own bookkeeping too, up to three times the length of the frames.
const BUFFER: libc::c_int = 32 << 20;

/// An interface, as far as a socket on it needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index, never zero.
    pub index: u32,
    /// Octets of the largest packet that it takes, the Ethernet header not counted.
    pub mtu: u32,
}

impl Interface {
    /// The interface of this name, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `ENODEV` when there is none; what the kernel says when it does not tell the MTU.
    pub fn query(name: &str) -> io::Result<Self> {
        let missing = || io::Error::from_raw_os_error(libc::ENODEV);
        let c_name = CString::new(name).map_err(|_| missing())?;
        if name.len() >= libc::IFNAMSIZ {
            return Err(missing());
        }
        // SAFETY: the name ends in a zero and outlives the call.
        let index = unsafe { libc::if_nametoindex(c_name.as_ptr()) };
        if index == 0 {
            return Err(missing());
        }
        let socket = raw_socket()?;
        // SAFETY: all zeros is a valid value of this plain C structure.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(c_name.as_bytes()) {
            *to = *from as libc::c_char;
        }
        // SAFETY: the request is a live `ifreq` with a name that ends in a zero, since the name is
        // shorter than the field.
        check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFMTU, &raw mut request) })?;
        // SAFETY: SIOCGIFMTU succeeded, and fills in this field.
        let mtu = unsafe { request.ifr_ifru.ifru_mtu };
        let mtu = mtu as u32;
        Ok(Self { index, mtu })
    }
}

/// Receives every frame that arrives on an interface, whoever it is for; not those that leave.
/// The interface is promiscuous for as long as the socket is open.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
}

impl Receiver {
    /// Opens a socket on the interface with this index. It never blocks.
    ///
    /// # Errors
    /// What the kernel says: `EPERM` without CAP_NET_RAW.
    pub fn open(index: u32) -> io::Result<Self> {
        let socket = raw_socket()?;
        let fd = &socket;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1)?;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        set_option(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &1)?;
        raise_buffer(fd, libc::SO_RCVBUFFORCE, libc::SO_RCVBUF)?;
        let membership = libc::packet_mreq {
            mr_ifindex: index as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        set_option(
            fd,
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            &membership,
        )?;
        // Last: from here on frames come in, and each must come with the options above.
        bind(fd, index, libc::ETH_P_ALL as u16)?;
        Ok(Self { socket })
    }

    /// Frames that the kernel dropped since the last call, because nobody read them in time.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take_drops(&self) -> io::Result<u64> {
        let mut stats = libc::tpacket_stats {
            tp_packets: 0,
            tp_drops: 0,
        };
        let mut len = size_of_val(&stats) as libc::socklen_t;
        // SAFETY: the kernel writes at most `len` octets to `stats`, which has that size and may
        // hold any bits.
        check(unsafe {
            libc::getsockopt(
                self.socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut stats).cast(),
                &raw mut len,
            )
        })?;
        Ok(u64::from(stats.tp_drops))
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends frames out of an interface. Receives nothing.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
}

impl Sender {
    /// Opens a socket on the interface with this index. It never blocks.
    ///
    /// # Errors
    /// What the kernel says: `EPERM` without CAP_NET_RAW.
    pub fn open(index: u32) -> io::Result<Self> {
        let socket = raw_socket()?;
        raise_buffer(&socket, libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)?;
        // Protocol zero: no frame is ever queued for reading.
        bind(&socket, index, 0)?;
        Ok(Self { socket })
    }

    /// Sends frames in this order, [`BATCH`] at most, and returns how many went out. The frames are
    /// complete, from the destination address on.
    ///
    /// # Errors
    /// Why the first one did not go out; a later one that does not ends the call early.
    pub fn send(&self, frames: &[impl AsRef<[u8]>]) -> io::Result<usize> {
        let count = frames.len().min(BATCH);
        // SAFETY: all zeros is a valid value of these plain C structures.
        let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        for ((frame, vector), message) in frames.iter().zip(&mut vectors).zip(&mut messages) {
            let bytes = frame.as_ref();
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: the first `count` messages each point to one vector, and each vector to a frame,
        // all of which outlive the call. The kernel only reads the frames.
        let sent = unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        check(sent).map(|sent| sent as usize)
    }
}

/// A packet socket that is bound to nothing and receives nothing.
fn raw_socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
    // SAFETY: plain numbers.
    let fd = check(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
    // SAFETY: the descriptor is open, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn bind(socket: &OwnedFd, index: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: all zeros is a valid value of this plain C structure.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as libc::c_ushort;
    address.sll_protocol = protocol.to_be();
    address.sll_ifindex = index as libc::c_int;
    let len = size_of_val(&address) as libc::socklen_t;
    // SAFETY: the address outlives the call and has the length that is given.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
    check(result).map(drop)
}

/// A large buffer where we are allowed one, as large a one as anybody may have elsewhere.
fn raise_buffer(socket: &OwnedFd, force: libc::c_int, ask: libc::c_int) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, force, &BUFFER)
        .or_else(|_| set_option(socket, libc::SOL_SOCKET, ask, &BUFFER))
}

/// `T` is what the kernel expects for this option: an `int` or a C structure without padding.
fn set_option<T>(
    socket: &OwnedFd,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    let pointer: *const T = value;
    // SAFETY: the kernel reads `len` octets from `value`, which has that size and is initialised.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, pointer.cast(), len) };
    check(result).map(drop)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_that_are_not_there_are_errors() {
        for name in ["", "no-such-if", "a\0b", "a-name-much-longer-than-allowed"] {
            let error = Interface::query(name).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{name:?}");
        }
    }
}
