//! ARP for IPv4 over Ethernet (RFC 826).

use crate::ethernet::{self, EtherType, MacAddr};
use crate::malformed::Malformed;
use crate::write::Writer;

/// Octets of an ARP packet without its Ethernet header.
pub const PACKET_LEN: usize = 28;

/// Ethernet, IPv4, six octets of hardware address, four of protocol address.
const PREFIX: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Operation {
    /// Who has the target address?
    Request = 1,
    /// The sender has the sender address.
    Reply = 2,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Arp {
    /// What it is for.
    pub operation: Operation,
    /// MAC address of the sender.
    pub sender_mac: MacAddr,
    /// IPv4 address of the sender; all zero in a probe (RFC 5227).
    pub sender_ip: [u8; 4],
    /// MAC address of the target; meaningless in a request.
    pub target_mac: MacAddr,
    /// IPv4 address of the target.
    pub target_ip: [u8; 4],
}

impl Arp {
    /// Parses what follows the Ethernet header; padding after it is ignored.
    ///
    /// # Errors
    /// [`Malformed::Arp`] when it is cut, about something else than IPv4 over Ethernet, or neither
    /// a request nor a reply.
    pub fn parse(packet: &[u8]) -> Result<Self, Malformed> {
        let Some(h) = packet.first_chunk::<PACKET_LEN>() else {
            return Err(Malformed::Arp);
        };
        if h.first_chunk() != Some(&PREFIX) {
            return Err(Malformed::Arp);
        }
        let operation = match u16::from_be_bytes([h[6], h[7]]) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return Err(Malformed::Arp),
        };
        Ok(Self {
            operation,
            sender_mac: MacAddr([h[8], h[9], h[10], h[11], h[12], h[13]]),
            sender_ip: [h[14], h[15], h[16], h[17]],
            target_mac: MacAddr([h[18], h[19], h[20], h[21], h[22], h[23]]),
            target_ip: [h[24], h[25], h[26], h[27]],
        })
    }

    /// Writes a whole frame, Ethernet header first, to the start of `frame`: its length, or `None`
    /// when `frame` is too short.
    pub fn emit(&self, link: &ethernet::Header, frame: &mut [u8]) -> Option<usize> {
        let start = link.header_len();
        let end = start + PACKET_LEN;
        let mut out = Writer::new(frame.get_mut(start..end)?);
        out.put(PREFIX)?;
        out.put((self.operation as u16).to_be_bytes())?;
        out.put(self.sender_mac.0)?;
        out.put(self.sender_ip)?;
        out.put(self.target_mac.0)?;
        out.put(self.target_ip)?;
        link.emit(EtherType::ARP, frame)?;
        Some(end)
    }
}
