//! From a frame to what it is for us: parsed once, checksum verified, everything else counted.

use crate::counters::Counters;
use byway_tcp::segment::Segment;
use byway_wire::ethernet::MacAddr;
use byway_wire::frame::{self, ChecksumState, Packet, TcpFrame};
use byway_wire::icmp::IcmpError;
use byway_wire::ip::Ecn;
use byway_wire::plain;

/// Segments without a filled-in checksum, and none with a right one, after which it is said aloud.
const UNFILLED_BEFORE_NOTICE: u64 = 4;

/// What a frame holds that is not plain.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arrival {
    /// A segment with a good checksum.
    Segment(TcpFrame),
    /// An ICMP error about TCP.
    Error(IcmpError),
    /// Nothing; it is counted already.
    Nothing,
}

/// Classifies frames, and watches for a link that leaves checksums unfilled.
#[derive(Debug)]
pub(crate) struct Classifier {
    mac: Option<MacAddr>,
    trust_unfilled: bool,
    /// Segments with a right checksum were seen, or the notice was given.
    settled: bool,
}

impl Classifier {
    pub(crate) fn new(mac: Option<MacAddr>, trust_unfilled: bool) -> Self {
        Self {
            mac,
            trust_unfilled,
            settled: false,
        }
    }

    /// The frame as a plain segment, if it is one for us with a good checksum: most are. If not,
    /// nothing is counted, and [`classify`](Self::classify) tells what it is.
    #[inline]
    pub(crate) fn plain(&mut self, bytes: &[u8]) -> Option<plain::Frame> {
        let found = plain::parse(bytes, self.mac, byway_sys::checksum::sum);
        self.settled |= found.is_some();
        found
    }

    /// What this frame is for us, whatever it is.
    pub(crate) fn classify(
        &mut self,
        bytes: &[u8],
        own: &mut Counters,
        tcp: &mut byway_tcp::counters::Counters,
    ) -> Arrival {
        match frame::parse(bytes) {
            Packet::Tcp(segment) => {
                if self.mac.is_some_and(|mac| segment.link.dst != mac) {
                    own.not_our_mac += 1;
                    return Arrival::Nothing;
                }
                match frame::verify_tcp_checksum(bytes, &segment, byway_sys::checksum::sum) {
                    ChecksumState::Good => {
                        self.settled = true;
                        Arrival::Segment(segment)
                    }
                    ChecksumState::PseudoHeaderOnly => {
                        own.csum_partial += 1;
                        if self.trust_unfilled {
                            return Arrival::Segment(segment);
                        }
                        tcp.in_csum_errors += 1;
                        Arrival::Nothing
                    }
                    ChecksumState::Bad => {
                        tcp.in_csum_errors += 1;
                        Arrival::Nothing
                    }
                }
            }
            Packet::IcmpError(error) => Arrival::Error(error),
            Packet::Fragment => {
                own.fragments += 1;
                Arrival::Nothing
            }
            Packet::Arp(_) | Packet::Other => {
                own.not_tcp += 1;
                Arrival::Nothing
            }
            Packet::Malformed(reason) => {
                own.malformed(reason);
                Arrival::Nothing
            }
        }
    }

    /// True once: segments came without a checksum, and none with one.
    pub(crate) fn unfilled_noticed(&mut self, own: &Counters) -> bool {
        let noticed =
            !self.settled && !self.trust_unfilled && own.csum_partial >= UNFILLED_BEFORE_NOTICE;
        self.settled |= noticed;
        noticed
    }
}

/// The segment as TCP sees it.
#[inline]
pub(crate) fn segment_of(frame: &TcpFrame) -> Segment {
    Segment {
        seq: frame.header.seq,
        ack: frame.header.ack,
        flags: frame.header.flags,
        window: frame.header.window,
        urgent: frame.header.urgent,
        options: frame.header.options,
        payload_len: frame.payload_len(),
        congestion: frame.ecn == Ecn::Ce,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::ethernet::Header as Link;
    use byway_wire::tcp::Header;
    use byway_wire::{Address, Endpoint, FlowKey, checksum};

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

    fn segment_frame() -> Vec<u8> {
        let link = Link {
            src: MacAddr([2, 0, 0, 0, 0, 2]),
            dst: MAC,
            ..Link::default()
        };
        let flow = FlowKey {
            local: Endpoint::new(Address::v4([10, 0, 0, 2]), 1000),
            remote: Endpoint::new(Address::v4([10, 0, 0, 1]), 80),
        };
        let mut bytes = vec![0xa5; 100];
        let len = frame::emit_tcp(
            &mut bytes,
            &link,
            &flow,
            &Header::default(),
            Ecn::NotEct,
            46,
            checksum::sum,
        );
        assert_eq!(len, Some(100));
        bytes
    }

    fn unfilled_frame() -> Vec<u8> {
        let mut bytes = segment_frame();
        let (from, to) = (Address::v4([10, 0, 0, 2]), Address::v4([10, 0, 0, 1]));
        let pseudo = checksum::fold(checksum::pseudo_header(&from, &to, 6, 66));
        bytes[50..52].copy_from_slice(&pseudo.to_be_bytes());
        bytes
    }

    #[derive(Default)]
    struct Counts(Counters, byway_tcp::counters::Counters);

    impl Counts {
        fn takes(&mut self, classifier: &mut Classifier, bytes: &[u8]) -> bool {
            let arrival = classifier.classify(bytes, &mut self.0, &mut self.1);
            matches!(arrival, Arrival::Segment(_))
        }
    }

    #[test]
    fn every_single_damaged_bit_is_noticed() {
        let mut counts = Counts::default();
        let mut classifier = Classifier::new(Some(MAC), false);
        let good = segment_frame();
        assert!(counts.takes(&mut classifier, &good));
        // Nothing covers the source MAC, which says only where an answer would go.
        for bit in (0..800).filter(|bit| !(48..96).contains(bit)) {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(!counts.takes(&mut classifier, &bad), "bit {bit}");
        }
    }

    #[test]
    fn frames_to_others_are_left_alone() {
        let mut counts = Counts::default();
        let other = Some(MacAddr([2, 0, 0, 0, 0, 9]));
        assert!(!counts.takes(&mut Classifier::new(other, false), &segment_frame()));
        assert_eq!(counts.0.not_our_mac, 1);
        assert!(counts.takes(&mut Classifier::new(None, false), &segment_frame()));
    }

    #[test]
    fn unfilled_checksums_are_noticed_once_and_taken_only_on_request() {
        let mut counts = Counts::default();
        let mut classifier = Classifier::new(None, false);
        for count in 1..10 {
            assert!(!counts.takes(&mut classifier, &unfilled_frame()));
            assert_eq!(
                classifier.unfilled_noticed(&counts.0),
                count == UNFILLED_BEFORE_NOTICE
            );
        }
        assert_eq!((counts.0.csum_partial, counts.1.in_csum_errors), (9, 9));
        let mut trusting = Classifier::new(None, true);
        assert!((0..9).all(|_| counts.takes(&mut trusting, &unfilled_frame())));
        assert!(!trusting.unfilled_noticed(&counts.0));
    }

    #[test]
    fn one_right_checksum_shows_that_the_link_fills_them() {
        let mut counts = Counts::default();
        let mut classifier = Classifier::new(None, false);
        assert!(counts.takes(&mut classifier, &segment_frame()));
        for _ in 0..9 {
            assert!(!counts.takes(&mut classifier, &unfilled_frame()));
            assert!(!classifier.unfilled_noticed(&counts.0));
        }
    }
}
