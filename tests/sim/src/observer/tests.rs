//! Each rule broken once, on purpose.

use super::half::Half;
use super::{Facts, Standing};
use crate::oracle::Stream;
use crate::wire::{Segment, flag};
use byway_tcp::Config;
use byway_tcp::time::{Duration, Instant};

const MINE: u32 = u32::MAX - 1;
const THEIRS: u32 = 1000;

struct End {
    half: Half,
    now: Instant,
    config: Config,
    clean: bool,
    probe_after: Option<Duration>,
    reuses: bool,
    learned: Option<(Instant, u16)>,
    over: bool,
}

fn segment(flags: u8, seq: u32, ack: u32) -> Segment {
    Segment {
        flags,
        seq: seq.wrapping_add(if flags == flag::SYN { MINE } else { 0 }),
        ack,
        window: 1000,
        packet_len: 100,
        ..Segment::default()
    }
}

impl End {
    /// An end that opened a connection with SACK, window scales and no timestamps.
    fn open() -> Self {
        let mut end = Self {
            half: Half::default(),
            now: Instant::from_nanos(1_000_000_000),
            config: Config::default(),
            clean: false,
            probe_after: None,
            reuses: false,
            learned: None,
            over: false,
        };
        let mut syn = segment(flag::SYN, 0, 0);
        (syn.mss, syn.scale, syn.sack_permitted) = (Some(1460), Some(2), true);
        end.sends(syn).unwrap();
        let mut answer = segment(flag::SYN | flag::ACK, THEIRS, MINE.wrapping_add(1));
        (answer.mss, answer.scale, answer.sack_permitted) = (Some(100), Some(0), true);
        end.half.hears(&answer, end.now);
        end.sends(end.ack(1)).unwrap();
        end
    }

    fn sends(&mut self, segment: Segment) -> Result<(), String> {
        let stream = Stream::new(1, 0, 0);
        let place = i64::from(segment.seq.wrapping_sub(MINE) as i32) - 1;
        let bytes = stream.piece(place.max(0) as u64, segment.len() as usize);
        self.sends_bytes(segment, bytes)
    }

    fn sends_bytes(&mut self, segment: Segment, bytes: &[u8]) -> Result<(), String> {
        let facts = Facts {
            now: self.now,
            tcp: &self.config,
            mtu: 1500,
            v6: false,
            standing: Standing {
                over: self.over,
                info: None,
                timeouts: 0,
            },
            stream: Stream::new(1, 0, 0),
            bytes: 500,
            clean: self.clean,
            probe_after: self.probe_after,
            aborts: false,
            reuses: self.reuses,
            learned: self.learned,
        };
        self.half.sends(&segment, bytes, &facts)
    }

    /// An acknowledgment of the peer's octets before this place.
    fn ack(&self, place: u32) -> Segment {
        segment(flag::ACK, MINE.wrapping_add(1), THEIRS + place)
    }

    /// So many octets from this place on.
    fn data(&self, place: u32, len: u16) -> Segment {
        Segment {
            payload: (54, len),
            ..segment(flag::ACK, MINE.wrapping_add(place), THEIRS + 1)
        }
    }

    fn hears_data(&mut self, place: u32, len: u16) {
        let segment = Segment {
            payload: (54, len),
            ..segment(flag::ACK, THEIRS + place, MINE.wrapping_add(1))
        };
        self.half.hears(&segment, self.now);
    }

    fn waits(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }
}

fn refused(outcome: Result<(), String>, why: &str) {
    let broken = outcome.expect_err(why);
    assert!(broken.contains(why), "{broken:?} instead of {why:?}");
}

#[test]
fn what_is_right_is_accepted() {
    let mut end = End::open();
    end.sends(end.data(1, 100)).unwrap();
    end.sends(end.data(101, 100)).unwrap();
    end.waits(230);
    end.sends(end.data(101, 100)).unwrap();
    end.hears_data(1, 50);
    end.sends(end.ack(51)).unwrap();
}

#[test]
fn acknowledgments_of_what_did_not_arrive_are_found() {
    let mut end = End::open();
    end.hears_data(11, 50);
    refused(end.sends(end.ack(2)), "was not delivered");
    let mut end = End::open();
    end.hears_data(1, 50);
    end.sends(end.ack(51)).unwrap();
    refused(end.sends(end.ack(50)), "after 51");
}

#[test]
fn wrong_sack_blocks_are_found() {
    for (left, right, why) in [
        (11, 62, "was not delivered"),
        (30, 30, "an empty SACK block"),
        (1, 61, "was not delivered"),
    ] {
        let mut end = End::open();
        end.hears_data(11, 50);
        let mut ack = end.ack(1);
        ack.set_sack(THEIRS + left, THEIRS + right);
        refused(end.sends(ack), why);
    }
    let mut end = End::open();
    end.hears_data(11, 50);
    let mut ack = end.ack(1);
    ack.set_sack(THEIRS + 11, THEIRS + 61);
    end.sends(ack).unwrap();
}

#[test]
fn a_window_that_shrinks_is_found_and_one_that_is_rounded_is_not() {
    let mut end = End::open();
    let mut ack = end.ack(1);
    ack.window = 999;
    refused(end.sends(ack), "its window shrinks");
    let mut end = End::open();
    end.hears_data(1, 3);
    let mut ack = end.ack(4);
    ack.window = 999;
    end.sends(ack).unwrap();
}

#[test]
fn data_outside_of_the_window_or_out_of_its_place_is_found() {
    let mut end = End::open();
    for place in [1, 101, 201, 301, 401] {
        end.sends(end.data(place, 100)).unwrap();
    }
    refused(end.sends(end.data(501, 1)), "and has 500");
    let mut end = End::open();
    end.half.edge = 50;
    refused(end.sends(end.data(1, 50)), "the window ends at 50");
    let mut end = End::open();
    refused(end.sends(end.data(2, 50)), "not 1");
    let mut end = End::open();
    refused(end.sends(end.data(1, 101)), "exceed the MSS");
}

#[test]
fn wrong_octets_are_found_sent_again_or_not() {
    let wrong = [0; 100];
    let mut end = End::open();
    refused(end.sends_bytes(end.data(1, 100), &wrong), "a wrong octet");
    let mut end = End::open();
    end.sends(end.data(1, 100)).unwrap();
    end.waits(230);
    refused(end.sends_bytes(end.data(1, 100), &wrong), "a wrong octet");
}

#[test]
fn a_fin_in_a_wrong_place_and_data_behind_it_are_found() {
    let mut end = End::open();
    let mut fin = end.data(1, 100);
    fin.flags |= flag::FIN;
    refused(end.sends(fin), "its FIN is at 101");
    let mut end = End::open();
    end.half.fin = Some(101);
    end.sends(end.data(1, 100)).unwrap();
    refused(end.sends(end.data(101, 100)), "new data after the FIN");
}

#[test]
fn sending_again_without_a_reason_is_found() {
    let mut end = End::open();
    end.clean = true;
    end.sends(end.data(1, 100)).unwrap();
    end.waits(500);
    refused(end.sends(end.data(1, 100)), "nothing was lost");
}

#[test]
fn behind_a_queue_the_last_segment_is_sent_again_once_and_late() {
    let open = || {
        let mut end = End::open();
        (end.clean, end.probe_after) = (true, Some(Duration::from_millis(20)));
        end.sends(end.data(1, 100)).unwrap();
        end.sends(end.data(101, 100)).unwrap();
        end
    };
    let mut early = open();
    early.waits(10);
    refused(early.sends(early.data(101, 100)), "nothing was lost");
    let mut first = open();
    first.waits(30);
    refused(first.sends(first.data(1, 100)), "nothing was lost");
    let mut end = open();
    end.waits(30);
    end.sends(end.data(101, 100)).unwrap();
    end.waits(300);
    refused(end.sends(end.data(101, 100)), "nothing was lost");
}

#[test]
fn segments_that_a_router_refused_are_found() {
    let told = |place: u32, mtu: u16| {
        let mut end = End::open();
        end.sends(end.data(1, 100)).unwrap();
        let believed = end.half.is_told(MINE.wrapping_add(place), mtu, end.now);
        (end, believed)
    };
    let sends = |end: &mut End, len: u16| {
        end.waits(1);
        let mut segment = end.data(101, 50);
        (segment.packet_len, segment.whole) = (len, true);
        end.sends(segment)
    };
    let (mut end, believed) = told(1, 600);
    assert!(believed);
    sends(&mut end, 600).unwrap();
    let (mut end, _) = told(1, 600);
    refused(sends(&mut end, 601), "a router said that 600");
    for place in [0, 101] {
        let (mut end, believed) = told(place, 600);
        assert!(!believed, "{place} is not in flight");
        sends(&mut end, 601).unwrap();
    }
    // What the host learned is for connections that begin later.
    for (earlier, refuses) in [(0, false), (1, true)] {
        let mut end = End::open();
        end.sends(end.data(1, 100)).unwrap();
        let began = end.half.began.unwrap();
        end.learned = Some((began - Duration::from_millis(earlier), 600));
        assert_eq!(sends(&mut end, 601).is_err(), refuses);
    }
}

#[test]
fn a_reset_that_the_connection_before_explains_is_for_handshakes() {
    let mut end = End::open();
    end.reuses = true;
    let reset = segment(flag::RST, MINE.wrapping_add(1), 0);
    end.sends(reset).unwrap();
    end.sends(end.data(1, 100)).unwrap();
    refused(end.sends(reset), "an unexpected reset");
}

#[test]
fn timeouts_that_come_early_or_do_not_back_off_are_found() {
    let mut end = End::open();
    end.sends(end.data(1, 100)).unwrap();
    end.waits(50);
    // It could be a tail loss probe.
    end.sends(end.data(1, 100)).unwrap();
    end.waits(100);
    refused(end.sends(end.data(1, 100)), "a timeout after 100ms");

    let mut end = End::open();
    end.sends(end.data(1, 100)).unwrap();
    for ms in [230, 460, 920] {
        end.waits(ms);
        end.sends(end.data(1, 100)).unwrap();
    }
    end.waits(920);
    refused(end.sends(end.data(1, 100)), "a timeout after 920ms");
}

#[test]
fn more_than_one_segment_after_a_timeout_is_found() {
    let mut end = End::open();
    for place in [1, 101, 201, 301] {
        end.sends(end.data(place, 100)).unwrap();
    }
    end.waits(230);
    let sent: i64 = (0..40)
        .map(|_| end.sends(end.data(1, 100)))
        .take_while(Result::is_ok)
        .count() as i64
        * 100;
    assert!((100..=3000).contains(&sent), "{sent} octets");
}

#[test]
fn resets_and_data_after_the_end_are_found() {
    let mut end = End::open();
    let reset = segment(flag::RST, MINE.wrapping_add(1), 0);
    refused(end.sends(reset), "an unexpected reset");
    end.over = true;
    end.sends(reset).unwrap();
    refused(end.sends(end.data(1, 100)), "data after the end");
}

#[test]
fn echoes_of_marks_that_nobody_made_are_found() {
    let mut end = End::open();
    let mut echo = end.ack(1);
    echo.flags |= flag::ECE;
    refused(end.sends(echo), "no mark was delivered");
    let mut ack = end.ack(1);
    ack.ecn = 2;
    refused(end.sends(ack), "an ECN-capable ACK");
}

#[test]
fn timestamps_that_go_back_or_echo_what_nobody_sent_are_found() {
    let stamped = |value, echo| {
        let mut end = End::open();
        let offer = |offer: &mut Option<super::half::Offer>| {
            offer.as_mut().unwrap().timestamps = true;
        };
        offer(&mut end.half.mine);
        offer(&mut end.half.theirs);
        end.half.timestamps = vec![7, 9];
        end.half.last_timestamp = Some(u32::MAX);
        let mut ack = end.ack(1);
        ack.timestamps = Some((value, echo));
        end.sends(ack)
    };
    stamped(0, 7).unwrap();
    refused(stamped(u32::MAX - 1, 7), "go back");
    refused(stamped(0, 8), "which was not delivered");
    let mut end = End::open();
    let mut ack = end.ack(1);
    ack.timestamps = Some((1, 1));
    refused(end.sends(ack), "were not agreed on");
}
