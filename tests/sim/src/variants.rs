//! What the classes add to a scenario, drawn for itself: what they have in common stays as it is.

use crate::draw::Draw;
use crate::scenario::{Begin, Class, ConnectionPlan, LinkPlan, RouterPlan, START, Scenario};
use byway_impair::Rate;
use byway_tcp::time::{Duration, Instant};

/// What hops carry. IPv6 finds at least 1280 octets everywhere.
const WIDTHS: [u16; 9] = [552, 576, 1000, 1280, 1281, 1300, 1400, 1492, 1500];

/// Bits a second from which on queues do not grow by 200 ms in a round trip.
const QUICK: u64 = 10_000_000;

impl Scenario {
    /// Adds what makes its class.
    pub(crate) fn vary(&mut self) {
        let mut draw = Draw::new(self.seed.rotate_left(32));
        match self.class {
            Class::Chaos | Class::Clean => {}
            Class::Narrow => self.narrow(&mut draw),
            Class::Reuse => self.reuse(&mut draw),
            Class::Queued => self.queue(&mut draw),
        }
    }

    fn narrow(&mut self, draw: &mut Draw) {
        for engine in &mut self.engines {
            if draw.chance(0.7) {
                engine.mtu = 1500;
            }
        }
        let opened: Vec<Instant> = self.connections.iter().map(|plan| plan.opens_at).collect();
        for link in &mut self.links {
            link.router = draw.chance(0.8).then(|| router(draw, link, &opened));
        }
        if draw.chance(0.6) {
            self.forged = draw.fraction(0.001, 0.1);
        }
    }

    fn reuse(&mut self, draw: &mut Draw) {
        for engine in &mut self.engines {
            // A SYN that is no newer than what was before has to outlive TIME-WAIT.
            engine.tcp.rto_max = Duration::from_secs(60);
        }
        for link in &mut self.links {
            if draw.chance(0.7) {
                link.late_copies = draw.fraction(0.001, 0.2);
            }
        }
        for first in 0..self.connections.len() {
            let plan = &mut self.connections[first];
            if plan.crossing || plan.aborts() {
                continue;
            }
            // The server closes first, so TIME-WAIT is its own.
            plan.sides[0].fin_last = true;
            plan.sides[1].fin_last = false;
            if plan.sides[1].begin == Begin::AfterFin {
                plan.sides[1].begin = Begin::AtOpen;
            }
            let mut last = first;
            for _ in 0..draw.below(4) {
                let next = self.connections.len();
                let again = follower(draw, &self.connections[last]);
                let pause = Duration::from_nanos(draw.log(1_000, 90_000_000_000));
                self.connections[last].then = Some((next, pause));
                self.connections.push(again);
                last = next;
            }
        }
    }

    fn queue(&mut self, draw: &mut Draw) {
        let mut slow = false;
        for link in &mut self.links {
            let bits = draw.log(1_000_000, 1_000_000_000);
            slow |= bits < QUICK;
            link.chaos.rate = Rate::bits_per_second(bits);
            link.healed.rate = link.chaos.rate;
        }
        if slow {
            // What others send may delay an ACK by more than 200 ms in one round trip, and no
            // estimate can know that: the minimum of RFC 6298 §2.4.
            for engine in &mut self.engines {
                engine.tcp.rto_min = Duration::from_secs(1);
            }
        }
    }
}

/// Its hop changes while there are connections, when those open that `opened` tells of.
fn router(draw: &mut Draw, link: &LinkPlan, opened: &[Instant]) -> RouterPlan {
    let mut widths: Vec<(Instant, u16)> = vec![(START, draw.pick(&WIDTHS[5..]))];
    for _ in 0..1 + draw.below(4) {
        let from = draw.pick(opened) + Duration::from_nanos(draw.log(1_000_000, 3_000_000_000));
        widths.push((from, draw.pick(&WIDTHS)));
    }
    widths.sort_unstable();
    RouterPlan {
        widths,
        silence: draw.pick(&[0.0, 0.0, 0.2, 0.7]),
        old: draw.chance(0.1),
        quote: draw.pick(&[0, 60, 1500]),
        delay: link.chaos.delay.mul_f64(draw.fraction(0.05, 2.0)),
    }
}

/// The same two ends again, with as many octets or fewer.
fn follower(draw: &mut Draw, before: &ConnectionPlan) -> ConnectionPlan {
    let mut plan = before.clone();
    for side in 0..2 {
        let waited_for = matches!(plan.sides[1 - side].begin, Begin::After(_));
        if !waited_for {
            let bytes = &mut plan.sides[side].bytes;
            *bytes = draw.below(u64::from(*bytes) + 1) as u32;
        }
    }
    plan
}
