//! The far end of the wire in memory, for peers that speak IP: takes the Ethernet header off and
//! puts it on.

use crate::mac;
use byway_stack::clock::Clock;
use byway_stack::fault::{FaultPort, Faults};
use byway_stack::memory::MemoryPort;
use byway_stack::port::{Port, PortStats, RxFrame};
use byway_tcp::time::Instant;
use std::collections::VecDeque;

const ETHERNET: usize = 14;
const SYN: u8 = 0x02;

/// The peer's end of the wire.
#[derive(Debug)]
pub struct IpWire<C> {
    port: FaultPort<MemoryPort, C>,
    burst: Vec<RxFrame>,
    arrived: VecDeque<Vec<u8>>,
    seen: Seen,
}

/// What was seen on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets that arrived, and were sent.
    pub packets: (u64, u64),
    /// The engine's initial sequence number, and the peer's.
    pub iss: (Option<u32>, Option<u32>),
    /// Segments from the engine and from the peer that said that their window is closed.
    pub closed_windows: (u64, u64),
    /// Packets of the peer that were lost because the wire was full.
    pub no_room: u64,
}

impl<C: Clock> IpWire<C> {
    /// The far end of a wire, with faults for what is sent from here.
    pub fn new(port: MemoryPort, clock: C, faults: Faults, seed: u64) -> Self {
        Self {
            port: FaultPort::new(port, clock, faults, seed),
            burst: Vec::new(),
            arrived: VecDeque::new(),
            seen: Seen::default(),
        }
    }

    /// The next IP packet that arrived.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        if self.arrived.is_empty() {
            self.port.rx_burst(&mut self.burst);
            for frame in self.burst.drain(..) {
                if let Some(packet) = packet_in(self.port.rx_bytes(&frame)) {
                    self.arrived.push_back(packet.to_vec());
                }
                self.port.release(frame);
            }
        }
        let packet = self.arrived.pop_front()?;
        self.seen.packets.0 += 1;
        if let Some((seq, flags, window)) = tcp_of(&packet) {
            if flags & SYN != 0 {
                self.seen.iss.0.get_or_insert(seq);
            }
            self.seen.closed_windows.0 += u64::from(window == 0 && flags == ACK);
        }
        Some(packet)
    }

    /// Sends an IP packet.
    pub fn send(&mut self, packet: &[u8]) {
        self.seen.packets.1 += 1;
        if let Some((seq, flags, window)) = tcp_of(packet) {
            if flags & SYN != 0 {
                self.seen.iss.1.get_or_insert(seq);
            }
            self.seen.closed_windows.1 += u64::from(window == 0 && flags == ACK);
        }
        let Some(mut frame) = self.port.tx_alloc() else {
            self.seen.no_room += 1;
            return;
        };
        let bytes = self.port.tx_bytes(&mut frame);
        bytes[..6].copy_from_slice(&mac(1).0);
        bytes[6..12].copy_from_slice(&mac(2).0);
        bytes[12..14].copy_from_slice(&ether_type(packet));
        bytes[ETHERNET..ETHERNET + packet.len()].copy_from_slice(packet);
        self.port.tx_push(frame, ETHERNET + packet.len());
    }

    /// Lets go what is due.
    pub fn flush(&mut self) {
        self.port.tx_commit();
    }

    /// When the next delayed frame is due.
    pub fn next_due(&self) -> Instant {
        self.port.next_due()
    }

    /// What was seen so far.
    pub fn seen(&self) -> Seen {
        self.seen
    }

    /// The ledger of the frames.
    pub fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

const ACK: u8 = 0x10;

fn ether_type(packet: &[u8]) -> [u8; 2] {
    match packet.first().map(|first| first >> 4) {
        Some(6) => [0x86, 0xdd],
        _ => [0x08, 0x00],
    }
}

/// The IP packet in a frame to the peer. No checksum covers the Ethernet header, so a frame whose
/// header is damaged goes nowhere, as on a network.
fn packet_in(frame: &[u8]) -> Option<&[u8]> {
    let packet = frame.get(ETHERNET..)?;
    let ours = frame.starts_with(&mac(2).0) && frame.get(12..14) == Some(&ether_type(packet));
    ours.then_some(packet)
}

/// Sequence number, flags without PSH, and window of an undamaged packet's segment.
fn tcp_of(packet: &[u8]) -> Option<(u32, u8, u16)> {
    let first = *packet.first()?;
    let header = if first >> 4 == 6 {
        40
    } else {
        usize::from(first & 15) * 4
    };
    let tcp = packet.get(header..header + 20)?;
    let seq = u32::from_be_bytes(tcp.get(4..8)?.try_into().ok()?);
    let window = u16::from_be_bytes(tcp.get(14..16)?.try_into().ok()?);
    Some((seq, tcp.get(13)? & !0x08, window))
}
