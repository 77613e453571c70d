//! The reflector: what the path allows. It answers the lean generator's segments with no state at
//! all, on the same AF_XDP port as Byway, and so shows what is left when a TCP costs nothing.
//!
//! It is a yardstick and no TCP: it remembers no connection, takes every number for right, sends
//! nothing again and never times out. What a segment asks for follows from the segment alone:
//!
//! ```text
//!   SYN             SYN, ACK of it, from a number that is always the same
//!   data            the same octets back, ACK of them
//!   FIN             FIN, ACK of it
//!   anything else   nothing
//! ```

use crate::cpu;
use crate::error::BenchError;
use crate::segment::{self, Fields, Flags, Received};
use byway_stack::port::{BURST, Port, RxFrame};
use byway_sys::prefetch_read;
use byway_wire::SeqNumber;
use byway_xdp::{Mode, Steering, XdpConfig, XdpPort};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

/// The initial sequence number of every connection.
const ISN: SeqNumber = SeqNumber::new(0x4259_5741);
/// Bursts taken in one turn at most.
const BURSTS: usize = 4;

/// Arguments of the child process that is the reflector.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerReflectorArgs {
    /// Address and port to answer at
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Interface to answer on
    #[arg(long, value_name = "IF")]
    pub interface: String,
    /// XDP mode: auto, zerocopy, native or generic
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub mode: String,
    /// Frames that the rings hold, a power of two
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub in_flight: u32,
    /// Processor to stay on
    #[arg(long, value_name = "N")]
    pub cpu: Option<usize>,
}

/// Answers until `stop` is set or the process is killed. Prints a line that starts with `ready`
/// once it does.
///
/// # Errors
/// When the processor or the port is not to be had.
pub fn serve(args: &ServerReflectorArgs, stop: &AtomicBool) -> Result<(), BenchError> {
    crate::child::die_with_parent();
    let mut config = XdpConfig::new(args.interface.as_str());
    config.mode = args
        .mode
        .parse::<Mode>()
        .map_err(|error| BenchError::Usage(format!("--mode {}: {error}", args.mode)))?;
    let ring = args.in_flight;
    (config.rx_ring, config.fill_ring, config.tx_ring) = (ring, ring, ring);
    config.frames = ring.saturating_mul(2);
    config.steering = Steering {
        listen: vec![args.listen.into()],
        local: vec![args.listen.ip()],
        ..Steering::default()
    };
    let (mut port, opened) = XdpPort::open(&config).map_err(|error| BenchError::Preflight {
        what: error.to_string(),
        hint: error.hint().to_owned(),
    })?;
    if let Some(cpu) = args.cpu {
        cpu::pin(cpu).map_err(BenchError::io(format!("pinning to processor {cpu}")))?;
    }
    println!("ready {} mode={}", args.listen, opened.mode);
    std::io::stdout()
        .flush()
        .map_err(BenchError::io("writing to standard output"))?;
    let (mut burst, mut scratch) = (Vec::with_capacity(BURST), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        turn(&mut port, &mut burst, &mut scratch);
    }
    Ok(())
}

/// One turn: answers what arrived, with one wake-up. `burst` is empty, and is again.
fn turn(port: &mut impl Port, burst: &mut Vec<RxFrame>, scratch: &mut Vec<u8>) {
    for _ in 0..BURSTS {
        let count = port.rx_burst(burst);
        for frame in &*burst {
            if let Some(first) = port.rx_bytes(frame).get(segment::ETHERNET) {
                prefetch_read(first);
            }
        }
        for frame in burst.drain(..) {
            let bytes = port.rx_bytes(&frame);
            let fields = segment::parse(bytes).and_then(|segment| answer(&segment));
            if let Some(fields) = fields {
                // Through a buffer, because the port lends either frame or the other.
                scratch.clear();
                scratch.extend_from_slice(bytes);
                segment::turn_round(scratch, &fields);
                if let Some(mut out) = port.tx_alloc() {
                    port.tx_bytes(&mut out)[..scratch.len()].copy_from_slice(scratch);
                    port.tx_push(out, scratch.len());
                }
            }
            port.release(frame);
        }
        if count < BURST {
            break;
        }
    }
    port.tx_commit();
}

/// What a segment asks for.
#[inline]
fn answer(segment: &Received<'_>) -> Option<Fields> {
    let flags = segment.flags;
    let (seq, marks) = match flags {
        _ if flags.has(Flags::RST) => return None,
        _ if flags.has(Flags::SYN) => (ISN, Flags::SYN),
        _ if flags.has(Flags::FIN) => (segment.ack, Flags::FIN),
        _ if !segment.payload.is_empty() => (segment.ack, Flags::PSH),
        _ => return None,
    };
    Some(Fields {
        seq,
        ack: segment.seq + segment.length(),
        flags: Flags::ACK.and(marks),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reflector on any port.
    pub(crate) struct Reflector<P> {
        port: P,
        burst: Vec<RxFrame>,
        scratch: Vec<u8>,
    }

    impl<P: Port> Reflector<P> {
        pub(crate) fn new(port: P) -> Self {
            Self {
                port,
                burst: Vec::new(),
                scratch: Vec::new(),
            }
        }

        pub(crate) fn turn(&mut self) {
            turn(&mut self.port, &mut self.burst, &mut self.scratch);
        }
    }

    #[test]
    fn an_answer_follows_from_the_segment_alone() {
        let end = |last, port| segment::End {
            address: [10, 0, 0, last],
            port,
        };
        let asked = |flags: Flags, payload: &'static [u8]| {
            answer(&Received {
                from: end(1, 9999),
                to: end(2, 7),
                seq: SeqNumber::new(u32::MAX),
                ack: SeqNumber::new(70),
                flags,
                window: 1000,
                payload,
                mss: 1460,
            })
            .map(|fields| (fields.seq.get(), fields.ack.get(), fields.flags))
        };
        let ack = Flags::ACK;
        let isn = ISN.get();
        assert_eq!(asked(Flags::SYN, b""), Some((isn, 0, ack.and(Flags::SYN))));
        assert_eq!(asked(ack, b"abc"), Some((70, 2, ack.and(Flags::PSH))));
        let fin = ack.and(Flags::FIN);
        assert_eq!(asked(fin, b""), Some((70, 0, fin)));
        assert_eq!(asked(ack, b""), None);
        assert_eq!(asked(Flags::RST, b""), None);
        assert_eq!(asked(Flags::RST.and(ack), b""), None);
    }
}
