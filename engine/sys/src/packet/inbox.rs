//! Where received frames are put, and what the kernel says about each.

use super::{BATCH, Receiver, check};
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Octets of the header that the kernel puts before each frame (`struct virtio_net_hdr`).
const VNET_HEADER: usize = 10;
/// Room for a frame: the largest IP packet, an Ethernet header and a few VLAN tags.
const FRAME: usize = 65_536 + 64;
const SLOT: usize = VNET_HEADER + FRAME;
/// Room for what comes beside a frame: a timestamp and a `tpacket_auxdata`, with their headers.
const CONTROL: usize = 128;

/// The control messages of a frame, aligned as their headers need it.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

// linux/virtio_net.h
const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// A flag beside the kind, which changes nothing about how to cut.
const GSO_ECN: u8 = 0x80;

/// A frame, and what its sender left for others to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received<'a> {
    /// The frame from the destination address on, without the tag in `vlan`.
    pub bytes: &'a [u8],
    /// When it arrived: time since 1970 by the system's clock.
    pub arrival: Option<Duration>,
    /// The outermost VLAN tag, which was taken off the frame.
    pub vlan: Option<VlanTag>,
    /// What was left undone.
    pub offload: Offload,
}

/// A VLAN tag as it stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanTag {
    /// The EtherType before it: 0x8100 or 0x88a8.
    pub protocol: u16,
    /// Priority, drop eligible indicator and VLAN identifier.
    pub control: u16,
}

/// What the sender left to be done before the frame is fit for a cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offload {
    /// Nothing.
    None,
    /// Fill in one checksum: the sum over everything from `start` on, which includes the sum of the
    /// pseudo header that stands in the field, goes to `start + offset`.
    Checksum {
        /// Where what it covers starts, in the frame: also where the transport header starts.
        start: u16,
        /// Where the field is, behind `start`.
        offset: u16,
    },
    /// Cut into segments, and compute the checksums of each.
    Segments {
        /// How to cut.
        kind: Segmentation,
        /// Octets of payload in each but the last.
        size: u16,
        /// Where the transport header starts, in the frame.
        start: u16,
    },
    /// Something that this module has no words for.
    Unknown,
}

/// What kind of packets a large one consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// TCP segments, over IPv4 or IPv6.
    Tcp,
    /// UDP datagrams, over IPv4 or IPv6.
    Udp,
}

/// Room for a batch of frames, used again and again.
pub struct Inbox {
    slots: Box<[u8]>,
    controls: Box<[Control]>,
    /// Octets of each slot and of each control buffer that are in use; frames that did not fit have
    /// no octets.
    lens: [(usize, usize); BATCH],
    count: usize,
}

impl Inbox {
    /// Allocates the room.
    pub fn new() -> Self {
        Self {
            slots: vec![0; SLOT * BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL]); BATCH].into_boxed_slice(),
            lens: [(0, 0); BATCH],
            count: 0,
        }
    }

    /// Replaces the frames in here by those that wait, up to [`BATCH`], and returns how many they
    /// are: zero when none waits.
    ///
    /// # Errors
    /// What the kernel says: `ENETDOWN` once after the interface went down, `EINVAL` for a frame
    /// that it cannot describe, which is lost.
    pub fn receive(&mut self, from: &Receiver) -> io::Result<usize> {
        self.count = 0;
        // SAFETY: all zeros is a valid value of these plain C structures.
        let (mut vectors, mut messages): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        let rooms = self.slots.chunks_exact_mut(SLOT).zip(&mut self.controls);
        for ((vector, message), (slot, control)) in vectors.iter_mut().zip(&mut messages).zip(rooms)
        {
            vector.iov_base = slot.as_mut_ptr().cast();
            vector.iov_len = slot.len();
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: each message points to one vector and one control buffer, each vector to a slot
        // of its own; all outlive the call, none overlaps another, and any bits are valid in them.
        let count = unsafe {
            libc::recvmmsg(
                from.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        self.count = match check(count) {
            Ok(count) => count as usize,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        for (lens, message) in self.lens.iter_mut().zip(&messages[..self.count]) {
            let whole = message.msg_hdr.msg_flags & libc::MSG_TRUNC == 0;
            let len = if whole { message.msg_len as usize } else { 0 };
            *lens = (len.min(SLOT), message.msg_hdr.msg_controllen);
        }
        Ok(self.count)
    }

    /// The frames of the last call to [`receive`](Self::receive), in the order of their arrival. A
    /// frame that was too long for any interface is there without octets.
    pub fn frames(&self) -> impl Iterator<Item = Received<'_>> {
        let slots = self.slots.chunks_exact(SLOT).zip(&self.controls);
        let used = slots.zip(&self.lens).take(self.count);
        used.map(|((slot, control), &(len, control_len))| {
            let (header, bytes) = slot[..len].split_at(len.min(VNET_HEADER));
            let mut received = Received {
                bytes,
                arrival: None,
                vlan: None,
                offload: offload(header),
            };
            read_control(control, control_len, &mut received);
            received
        })
    }
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Inbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

/// Understands a `struct virtio_net_hdr`; its numbers are in the order of the machine.
fn offload(header: &[u8]) -> Offload {
    let &[
        flags,
        kind,
        _,
        _,
        size0,
        size1,
        start0,
        start1,
        offset0,
        offset1,
    ] = header
    else {
        return Offload::None;
    };
    let start = u16::from_ne_bytes([start0, start1]);
    let needs_checksum = flags & NEEDS_CHECKSUM != 0;
    let kind = match kind & !GSO_ECN {
        GSO_NONE if needs_checksum => {
            let offset = u16::from_ne_bytes([offset0, offset1]);
            return Offload::Checksum { start, offset };
        }
        GSO_NONE => return Offload::None,
        GSO_TCP4 | GSO_TCP6 => Segmentation::Tcp,
        GSO_UDP => Segmentation::Udp,
        _ => return Offload::Unknown,
    };
    let size = u16::from_ne_bytes([size0, size1]);
    if needs_checksum && size > 0 {
        Offload::Segments { kind, size, start }
    } else {
        Offload::Unknown
    }
}

/// Reads the timestamp and the VLAN tag, if they are there.
fn read_control(control: &Control, len: usize, received: &mut Received<'_>) {
    let mut rest = &control.0[..len.min(CONTROL)];
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while let Some(header) = read::<libc::cmsghdr>(rest) {
        let end = header.cmsg_len;
        let Some(data) = rest.get(HEADER..end) else {
            return;
        };
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => received.arrival = arrival(data),
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => received.vlan = vlan(data),
            _ => {}
        }
        let next = end.next_multiple_of(align_of::<libc::cmsghdr>());
        rest = rest.get(next..).unwrap_or_default();
    }
}

fn arrival(data: &[u8]) -> Option<Duration> {
    let time: libc::timespec = read(data)?;
    let (seconds, nanos) = (time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?);
    Some(Duration::new(seconds, nanos))
}

fn vlan(data: &[u8]) -> Option<VlanTag> {
    let aux: libc::tpacket_auxdata = read(data)?;
    let has = |flag: u32| aux.tp_status & flag != 0;
    has(libc::TP_STATUS_VLAN_VALID).then_some(VlanTag {
        protocol: if has(libc::TP_STATUS_VLAN_TPID_VALID) {
            aux.tp_vlan_tpid
        } else {
            libc::ETH_P_8021Q as u16
        },
        control: aux.tp_vlan_tci,
    })
}

/// Plain C structures in which every pattern of bits is valid.
trait Plain: Copy {}
impl Plain for libc::cmsghdr {}
impl Plain for libc::timespec {}
impl Plain for libc::tpacket_auxdata {}

/// A copy of the structure at the start of `bytes`; none when they are too few.
fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    if bytes.len() < size_of::<T>() {
        return None;
    }
    // SAFETY: there are enough octets, alignment is not needed for this kind of read, and `Plain`
    // promises that any bits will do.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(flags: u8, kind: u8, size: u16, start: u16, offset: u16) -> Vec<u8> {
        let mut header = vec![flags, kind];
        for number in [54, size, start, offset] {
            header.extend(u16::to_ne_bytes(number));
        }
        header
    }

    #[test]
    fn what_was_left_undone_is_understood() {
        assert_eq!(offload(&header(0, 0, 0, 0, 0)), Offload::None);
        assert_eq!(offload(&[]), Offload::None);
        let checksum = Offload::Checksum {
            start: 34,
            offset: 16,
        };
        assert_eq!(offload(&header(1, 0, 0, 34, 16)), checksum);
        for (kind, expected) in [
            (GSO_TCP4, Segmentation::Tcp),
            (GSO_TCP6 | GSO_ECN, Segmentation::Tcp),
            (GSO_UDP, Segmentation::Udp),
        ] {
            let segments = Offload::Segments {
                kind: expected,
                size: 1448,
                start: 34,
            };
            assert_eq!(offload(&header(1, kind, 1448, 34, 16)), segments);
        }
        for odd in [
            header(0, GSO_TCP4, 1448, 34, 16),
            header(1, GSO_TCP4, 0, 34, 16),
            header(1, 3, 1448, 34, 16),
        ] {
            assert_eq!(offload(&odd), Offload::Unknown);
        }
    }

    /// One control message after another, each padded as the kernel does it.
    fn controls(messages: &[(libc::c_int, libc::c_int, Vec<u8>)]) -> (Control, usize) {
        let mut bytes = Vec::new();
        for (level, kind, data) in messages {
            bytes.extend((size_of::<libc::cmsghdr>() + data.len()).to_ne_bytes());
            bytes.extend(level.to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(data);
            bytes.resize(bytes.len().next_multiple_of(8), 0);
        }
        let mut control = Control([0xff; CONTROL]);
        control.0[..bytes.len()].copy_from_slice(&bytes);
        (control, bytes.len())
    }

    fn parsed(control: &(Control, usize)) -> Received<'static> {
        let mut received = Received {
            bytes: &[],
            arrival: None,
            vlan: None,
            offload: Offload::None,
        };
        read_control(&control.0, control.1, &mut received);
        received
    }

    #[test]
    fn times_and_tags_are_read() {
        let mut aux = Vec::new();
        aux.extend((libc::TP_STATUS_VLAN_VALID | libc::TP_STATUS_VLAN_TPID_VALID).to_ne_bytes());
        aux.extend([0; 12]);
        aux.extend(0x2007_u16.to_ne_bytes());
        aux.extend(0x88a8_u16.to_ne_bytes());
        let stamp: Vec<u8> = [9_i64, 7].iter().flat_map(|n| n.to_ne_bytes()).collect();
        let both = controls(&[
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, stamp.clone()),
            (libc::SOL_PACKET, libc::PACKET_AUXDATA, aux),
        ]);
        let received = parsed(&both);
        assert_eq!(received.arrival, Some(Duration::new(9, 7)));
        let tag = VlanTag {
            protocol: 0x88a8,
            control: 0x2007,
        };
        assert_eq!(received.vlan, Some(tag));
        let plain = controls(&[(libc::SOL_PACKET, libc::PACKET_AUXDATA, vec![0; 20])]);
        assert_eq!(parsed(&plain).vlan, None);
        let other = controls(&[(1, 99, vec![1; 3]), (libc::SOL_SOCKET, 35, stamp)]);
        assert!(parsed(&other).arrival.is_some());
    }

    #[test]
    fn control_messages_that_make_no_sense_are_left_alone() {
        let (mut control, len) = controls(&[(1, 35, vec![0; 16])]);
        assert_eq!(parsed(&(control, 4)).arrival, None);
        assert_eq!(parsed(&(control, len - 1)).arrival, None);
        for size in [0_usize, 3, 1000, usize::MAX] {
            control.0[..8].copy_from_slice(&size.to_ne_bytes());
            assert_eq!(parsed(&(control, len)).arrival, None, "{size}");
        }
    }
}
