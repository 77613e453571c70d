//! Frames written down as a pcap file with nanoseconds, and a port that does so.

use crate::clock::Clock;
use crate::mailbox::Waker;
use crate::port::{Port, PortStats, RxFrame, TxFrame};
use byway_tcp::time::{Duration, Instant};
use std::io::{self, Write};

/// The classic format with nanosecond timestamps, written little-endian.
const MAGIC: u32 = 0xa1b2_3c4d;
const VERSION: [u16; 2] = [2, 4];
/// Octets kept of a frame: all of it.
const SNAPLEN: u32 = 65_535;
const LINKTYPE_ETHERNET: u32 = 1;

/// Writes frames as a pcap file. After an error it writes no more, and [`finish`](Self::finish)
/// tells: whoever records goes on with what it does.
#[derive(Debug)]
pub struct PcapWriter<W> {
    out: W,
    error: Option<io::Error>,
}

impl<W: Write> PcapWriter<W> {
    /// Writes the file header to `out`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(mut out: W) -> io::Result<Self> {
        let [major, minor] = VERSION;
        out.write_all(&MAGIC.to_le_bytes())?;
        out.write_all(&major.to_le_bytes())?;
        out.write_all(&minor.to_le_bytes())?;
        // Time zone and accuracy, which nobody uses.
        out.write_all(&[0; 8])?;
        out.write_all(&SNAPLEN.to_le_bytes())?;
        out.write_all(&LINKTYPE_ETHERNET.to_le_bytes())?;
        Ok(Self { out, error: None })
    }

    /// Writes one frame. Readers take the epoch of `at` for 1970.
    pub fn record(&mut self, at: Instant, frame: &[u8]) {
        if self.error.is_none() {
            self.error = self.write(at, frame).err();
        }
    }

    fn write(&mut self, at: Instant, frame: &[u8]) -> io::Result<()> {
        let (seconds, nanos) = (at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000);
        let len = (frame.len() as u32).to_le_bytes();
        self.out.write_all(&(seconds as u32).to_le_bytes())?;
        self.out.write_all(&(nanos as u32).to_le_bytes())?;
        self.out.write_all(&len)?;
        self.out.write_all(&len)?;
        self.out.write_all(frame)
    }

    /// The error that ended the recording, if one did.
    pub fn error(&self) -> Option<&io::Error> {
        self.error.as_ref()
    }

    /// Ends the recording: the output, flushed.
    ///
    /// # Errors
    /// The error that ended the recording earlier, or what the flush says.
    pub fn finish(mut self) -> io::Result<W> {
        match self.error {
            Some(error) => Err(error),
            None => self.out.flush().map(|()| self.out),
        }
    }
}

/// Records every frame that is received or sent. For a look at what happens, not for the fast path:
/// it writes in the turn. After an error it records no more; [`PcapPort::error`] tells.
#[derive(Debug)]
pub struct PcapPort<P, C, W> {
    port: P,
    clock: C,
    writer: PcapWriter<W>,
}

impl<P: Port, C: Clock, W: Write> PcapPort<P, C, W> {
    /// Wraps `port` and writes the file header.
    ///
    /// # Errors
    /// What `out` says.
    pub fn new(port: P, clock: C, out: W) -> io::Result<Self> {
        Ok(Self {
            port,
            clock,
            writer: PcapWriter::new(out)?,
        })
    }

    /// The error that ended the recording, if one did.
    pub fn error(&self) -> Option<&io::Error> {
        self.writer.error()
    }

    /// The port inside.
    pub fn inner(&self) -> &P {
        &self.port
    }

    /// Ends the recording: the port inside, and the output flushed.
    ///
    /// # Errors
    /// The error that ended the recording earlier, or what the flush says.
    pub fn finish(self) -> io::Result<(P, W)> {
        Ok((self.port, self.writer.finish()?))
    }
}

impl<P: Port, C: Clock, W: Write> Port for PcapPort<P, C, W> {
    fn rx_burst(&mut self, burst: &mut Vec<RxFrame>) -> usize {
        let count = self.port.rx_burst(burst);
        if count > 0 {
            let now = self.clock.now();
            for frame in burst.iter() {
                self.writer.record(now, self.port.rx_bytes(frame));
            }
        }
        count
    }

    fn rx_bytes(&self, frame: &RxFrame) -> &[u8] {
        self.port.rx_bytes(frame)
    }

    fn release(&mut self, frame: RxFrame) {
        self.port.release(frame);
    }

    fn tx_alloc(&mut self) -> Option<TxFrame> {
        self.port.tx_alloc()
    }

    fn tx_bytes(&mut self, frame: &mut TxFrame) -> &mut [u8] {
        self.port.tx_bytes(frame)
    }

    fn tx_push(&mut self, mut frame: TxFrame, len: usize) {
        let now = self.clock.now();
        let bytes = self.port.tx_bytes(&mut frame);
        self.writer.record(now, &bytes[..len]);
        self.port.tx_push(frame, len);
    }

    fn tx_cancel(&mut self, frame: TxFrame) {
        self.port.tx_cancel(frame);
    }

    fn tx_commit(&mut self) {
        self.port.tx_commit();
    }

    fn frame_capacity(&self) -> usize {
        self.port.frame_capacity()
    }

    fn wait(&mut self, timeout: Duration) {
        self.port.wait(timeout);
    }

    fn waker(&self) -> Waker {
        self.port.waker()
    }

    fn stats(&self) -> PortStats {
        self.port.stats()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::memory::MemoryPort;

    fn send(port: &mut impl Port, bytes: &[u8]) {
        let mut frame = port.tx_alloc().unwrap();
        port.tx_bytes(&mut frame)[..bytes.len()].copy_from_slice(bytes);
        port.tx_push(frame, bytes.len());
    }

    #[test]
    fn both_directions_are_written_with_their_time() {
        let (port, mut peer) = MemoryPort::pair(8);
        let clock = ManualClock::new(Instant::from_nanos(5_000_000_007));
        let mut port = PcapPort::new(port, clock.clone(), Vec::new()).unwrap();
        send(&mut port, &[1, 2, 3]);
        clock.advance(Duration::from_secs(1));
        send(&mut peer, &[4, 5]);
        let mut burst = Vec::new();
        assert_eq!(port.rx_burst(&mut burst), 1);
        burst.into_iter().for_each(|frame| port.release(frame));
        let (_, bytes) = port.finish().unwrap();
        assert_eq!(bytes[..4], [0x4d, 0x3c, 0xb2, 0xa1]);
        assert_eq!(bytes[20..24], [1, 0, 0, 0]);
        let first = [5, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3];
        let second = [6, 0, 0, 0, 7, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4, 5];
        assert_eq!(bytes[24..], [&first[..], &second[..]].concat());
    }

    #[test]
    fn an_error_ends_the_recording_and_not_the_port() {
        let (port, peer) = MemoryPort::pair(8);
        let mut full = [0; 30];
        let mut port = PcapPort::new(port, ManualClock::default(), &mut full[..]).unwrap();
        send(&mut port, &[1; 60]);
        send(&mut port, &[2; 60]);
        assert!(port.error().is_some());
        assert_eq!(peer.waiting(), 2);
        assert!(port.finish().is_err());
    }
}
