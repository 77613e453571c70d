//! The exchanges that are measured.

use crate::bed::{BATCH, Bed, Setup};
use crate::frames::{Dialect, MSS};
use crate::meter::Meter;
use crate::peer::{Kind, REQUEST};
use crate::services::{Echo, Sink, Source};
use byway_stack::port::BURST;
use byway_stack::random::SplitMix;

/// Connections that come and go together in [`Visits`].
const VISITORS: usize = 512;
/// The server's is one octet less: a segment of 64 octets is then more than a full one, and
/// acknowledged at once.
const TINY_MSS: u16 = 64;

/// An exchange, repeated.
pub(crate) trait Scenario {
    /// Some operations; what is the server's part goes through the meter. Returns how many there
    /// were: segments, requests, connections, or octets.
    fn batch(&mut self, meter: &mut Meter) -> u64;

    /// What must be true after any number of batches.
    ///
    /// # Errors
    /// What went wrong.
    fn check(&self) -> Result<(), String>;
}

/// What all scenarios are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Whether clients use timestamps.
    pub(crate) timestamps: bool,
    /// Whether time is the machine's.
    pub(crate) real_clock: bool,
}

impl Terms {
    /// A set-up on these terms.
    pub(crate) fn setup(self, clients: usize, per_turn: usize, mss: u16) -> Setup {
        Setup {
            clients,
            per_turn,
            dialect: Dialect {
                timestamps: self.timestamps,
                mss,
            },
            real_clock: self.real_clock,
        }
    }
}

/// Clients in an order that is random and the same in every run, round after round, so that the
/// same one does not come twice in a burst.
#[derive(Debug)]
pub(crate) struct Order {
    places: Vec<u32>,
    next: usize,
}

impl Order {
    /// All of so many clients.
    pub(crate) fn shuffled(clients: usize) -> Self {
        let mut places: Vec<u32> = (0..clients as u32).collect();
        let mut random = SplitMix::new(1);
        for end in (1..places.len()).rev() {
            places.swap(end, random.below(end as u64 + 1) as usize);
        }
        Self { places, next: 0 }
    }

    /// The next client.
    pub(crate) fn next(&mut self) -> u32 {
        let place = self.places[self.next];
        self.next = (self.next + 1) % self.places.len();
        place
    }
}

/// One segment of 64 octets after the other. An operation is a segment.
pub(crate) struct Segments {
    bed: Bed,
    order: Order,
    /// Segments to one acknowledgment.
    per_ack: u64,
    sent: u64,
}

impl Segments {
    /// Every segment gets an acknowledgment of its own, for no segment should be longer than
    /// [`TINY_MSS`]. (Without a delay a delayed acknowledgment leaves one turn later, and the
    /// count of quick ones ends at 255.)
    pub(crate) fn acknowledged_each(terms: Terms, clients: usize, per_turn: usize) -> Self {
        let bed = Bed::new(&terms.setup(clients, per_turn, TINY_MSS), Box::new(Sink));
        Self::on(bed, 1)
    }

    /// One acknowledgment for each burst on one connection.
    pub(crate) fn acknowledged_together(terms: Terms, burst: usize) -> Self {
        let bed = Bed::new(&terms.setup(1, burst, MSS), Box::new(Sink));
        Self::on(bed, burst as u64)
    }

    /// On a bed without connections, which makes them.
    pub(crate) fn on(mut bed: Bed, per_ack: u64) -> Self {
        bed.establish();
        let order = Order::shuffled(bed.peer.len());
        Self {
            bed,
            order,
            per_ack,
            sent: 0,
        }
    }

    /// As many segments as wished.
    pub(crate) fn send(&mut self, meter: &mut Meter, segments: usize) -> u64 {
        for _ in 0..segments {
            let place = self.order.next();
            self.bed
                .peer
                .send(self.bed.shard.port_mut(), place, Kind::Request, 0);
        }
        self.bed.run(meter);
        self.sent += segments as u64;
        segments as u64
    }
}

impl Scenario for Segments {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        self.send(meter, BATCH)
    }

    fn check(&self) -> Result<(), String> {
        let seen = self.bed.peer.seen();
        let acks = seen.segments - seen.opened;
        if acks != self.sent / self.per_ack {
            return Err(format!("{acks} ACKs for {} segments", self.sent));
        }
        self.bed.check()
    }
}

/// 64 octets in, 64 octets out. An operation is a request with its response.
pub(crate) struct Requests {
    bed: Bed,
    order: Order,
    sent: u64,
    /// Clients acknowledge each response by itself: they may not be back for long.
    acknowledge: bool,
}

impl Requests {
    /// So many connections in a random order, so many requests a turn.
    pub(crate) fn new(terms: Terms, clients: usize, per_turn: usize) -> Self {
        let setup = terms.setup(clients, per_turn, MSS);
        let mut bed = Bed::new(&setup, Box::new(Echo));
        bed.establish();
        Self::on_open(bed, false)
    }

    /// On a bed whose connections are open.
    pub(crate) fn on_open(bed: Bed, acknowledge: bool) -> Self {
        let order = Order::shuffled(bed.peer.len());
        Self {
            bed,
            order,
            sent: 0,
            acknowledge,
        }
    }
}

impl Scenario for Requests {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        let mut places = [0; BATCH];
        places.fill_with(|| self.order.next());
        let places = places.into_iter();
        self.bed.send_all(places.clone(), Kind::Request, REQUEST);
        self.bed.run(meter);
        if self.acknowledge {
            self.bed.send_all(places, Kind::Ack, 0);
            self.bed.run(meter);
        }
        self.sent += BATCH as u64;
        BATCH as u64
    }

    fn check(&self) -> Result<(), String> {
        let seen = self.bed.peer.seen();
        let wanted = self.sent * REQUEST as u64;
        if seen.payload != wanted {
            return Err(format!("{} octets in place of {wanted}", seen.payload));
        }
        self.bed.check()
    }
}

/// Handshake, request, response, close; the client closes first. An operation is a connection:
/// five segments in, three out.
pub(crate) struct Visits {
    bed: Bed,
    made: u64,
}

impl Visits {
    /// So many frames a turn.
    pub(crate) fn new(terms: Terms, per_turn: usize) -> Self {
        let setup = terms.setup(VISITORS, per_turn, MSS);
        let bed = Bed::new(&setup, Box::new(Echo));
        Self { bed, made: 0 }
    }
}

impl Scenario for Visits {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        let all = 0..VISITORS as u32;
        self.bed.peer.renew();
        self.bed.send_all(all.clone(), Kind::Syn, 0);
        self.bed.run(meter);
        self.bed.send_all(all.clone(), Kind::Ack, 0);
        self.bed.send_all(all.clone(), Kind::Request, REQUEST);
        self.bed.run(meter);
        self.bed.send_all(all.clone(), Kind::Fin, 1);
        self.bed.run(meter);
        self.bed.send_all(all, Kind::Ack, 0);
        self.bed.run(meter);
        self.made += VISITORS as u64;
        VISITORS as u64
    }

    fn check(&self) -> Result<(), String> {
        let seen = self.bed.peer.seen();
        let (left, waits) = (self.bed.shard.connections(), self.bed.shard.time_waits());
        let good = seen.opened == self.made
            && seen.closed == self.made
            && seen.segments == 3 * self.made
            && seen.payload == self.made * REQUEST as u64;
        if !good || left + waits != 0 {
            return Err(format!("{seen:?} for {} visits, {left} left", self.made));
        }
        self.bed.check()
    }
}

/// Full segments in, as many a turn as a burst holds. An operation is an octet of payload.
pub(crate) struct Inflow {
    bed: Bed,
    segments: u64,
}

impl Inflow {
    /// On one connection.
    pub(crate) fn new(terms: Terms) -> Self {
        let mut bed = Bed::new(&terms.setup(1, BURST, MSS), Box::new(Sink));
        bed.establish();
        // The window of a SYN-ACK is smaller than a burst, and grows with the first ACK.
        bed.peer.send(bed.shard.port_mut(), 0, Kind::Full, 0);
        bed.run(&mut Meter::idle());
        Self { bed, segments: 0 }
    }
}

impl Scenario for Inflow {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        for _ in 0..BATCH {
            let port = self.bed.shard.port_mut();
            self.bed.peer.send(port, 0, Kind::Full, 0);
        }
        self.bed.run(meter);
        self.segments += BATCH as u64;
        (BATCH * self.bed.peer.dialect().full_segment()) as u64
    }

    fn check(&self) -> Result<(), String> {
        let taken = self.bed.shard.tcp_counters().in_segs;
        if taken < self.segments {
            return Err(format!("{taken} segments of {}", self.segments));
        }
        self.bed.check()
    }
}

/// Full segments out; every second one is acknowledged. An operation is an octet of payload.
pub(crate) struct Outflow {
    bed: Bed,
}

impl Outflow {
    /// On one connection.
    pub(crate) fn new(terms: Terms) -> Self {
        let mut bed = Bed::new(&terms.setup(1, BURST, MSS), Box::new(Source::new()));
        bed.establish();
        // The first window came with the handshake: its acknowledgment makes the next one leave.
        bed.peer.send(bed.shard.port_mut(), 0, Kind::Ack, 0);
        Self { bed }
    }
}

impl Scenario for Outflow {
    fn batch(&mut self, meter: &mut Meter) -> u64 {
        let mut octets = 0;
        let enough = (BATCH * self.bed.peer.dialect().full_segment()) as u64;
        while octets < enough {
            let port = self.bed.shard.port_mut();
            octets += self.bed.peer.collect_and_acknowledge(port);
            self.bed.peer.tick();
            self.bed.turns(meter);
        }
        octets
    }

    fn check(&self) -> Result<(), String> {
        self.bed.check()
    }
}
