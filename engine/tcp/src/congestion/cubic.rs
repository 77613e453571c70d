//! CUBIC (RFC 9438): growth by the time since the last loss, not by the round-trip time.

use super::{Acked, CongestionControl, HyStart, Window, floor};
use crate::time::{Duration, Instant};

/// beta_cubic of RFC 9438 §4.6, in tenths.
const BETA_TENTHS: u64 = 7;
/// The aggressiveness C = 0.4 segments per second cubed (RFC 9438 §5.1).
const C: f64 = 0.4;

/// State of CUBIC. Windows are in octets, as everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cubic {
    /// W_max: the window before the last reduction.
    w_max: u32,
    /// When the current congestion avoidance began; `None` until its first ACK.
    epoch: Option<Epoch>,
    /// What an undone reduction takes back.
    before: u32,
    hystart: HyStart,
}

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    start: Instant,
    /// K: seconds until the cubic is back at W_max.
    k: f64,
    /// The window at which the plateau of the cubic lies.
    origin: u32,
    /// W_est: what Reno would have (RFC 9438 §4.3).
    w_est: f64,
    /// Octets of growth below one.
    fraction: f64,
}

impl Epoch {
    fn new(now: Instant, w_max: u32, window: &Window, mss: u32) -> Self {
        let (origin, k) = if window.cwnd < w_max {
            let segments = f64::from(w_max - window.cwnd) / f64::from(mss);
            (w_max, (segments / C).cbrt())
        } else {
            (window.cwnd, 0.0)
        };
        Self {
            start: now,
            k,
            origin,
            w_est: f64::from(window.cwnd),
            fraction: 0.0,
        }
    }

    /// W_cubic(t) in octets (RFC 9438, equation 1).
    fn w_cubic(&self, elapsed: Duration, mss: u32) -> f64 {
        let t = elapsed.as_secs_f64() - self.k;
        f64::from(self.origin) + C * t * t * t * f64::from(mss)
    }
}

impl Cubic {
    //= rfc9438 4.2
    fn avoid_congestion(&mut self, acked: &Acked, window: &mut Window) {
        let mss = acked.mss;
        let w_max = self.w_max;
        let epoch = self
            .epoch
            .get_or_insert_with(|| Epoch::new(acked.now, w_max, window, mss));
        let cwnd = f64::from(window.cwnd);
        let octets = f64::from(acked.octets);
        // Reno-friendly region (RFC 9438 §4.3): alpha makes Reno with beta 0.7 as fast as Reno
        // with one half, and is one once the old maximum is reached.
        let beta = BETA_TENTHS as f64 / 10.0;
        let alpha = if epoch.w_est < f64::from(w_max) {
            3.0 * (1.0 - beta) / (1.0 + beta)
        } else {
            1.0
        };
        epoch.w_est += alpha * octets / cwnd * f64::from(mss);
        let elapsed = acked.now.since(epoch.start);
        // The target is where the cubic is one round trip ahead, at most half as much again.
        let ahead = epoch.w_cubic(elapsed + acked.srtt, mss);
        let target = ahead.clamp(cwnd, 1.5 * cwnd);
        let growth = if epoch.w_cubic(elapsed, mss) < epoch.w_est {
            epoch.w_est - cwnd
        } else {
            (target - cwnd) / cwnd * octets
        };
        epoch.fraction += growth.max(0.0);
        let whole = epoch.fraction.min(octets) as u32;
        epoch.fraction = (epoch.fraction - f64::from(whole)).min(f64::from(mss));
        window.grow(whole);
    }
}

impl CongestionControl for Cubic {
    fn on_acknowledged(&mut self, acked: &Acked, window: &mut Window) {
        if window.in_slow_start() {
            let growth = self.hystart.on_acknowledged(acked);
            window.grow_to_threshold(growth);
            if self.hystart.is_over() {
                window.ssthresh = window.cwnd;
            }
            return;
        }
        self.avoid_congestion(acked, window);
    }

    //= rfc9438 4.6
    //= rfc9438 4.7
    fn on_congestion(&mut self, _now: Instant, mss: u32, window: &Window) -> u32 {
        self.before = self.w_max;
        // Fast convergence: a flow that lost again below its old maximum leaves room for others.
        self.w_max = if window.cwnd < self.w_max {
            (u64::from(window.cwnd) * (10 + BETA_TENTHS) / 20) as u32
        } else {
            window.cwnd
        };
        self.epoch = None;
        self.hystart = HyStart::default();
        ((u64::from(window.cwnd) * BETA_TENTHS / 10) as u32).max(floor(mss))
    }

    fn on_timeout(&mut self, now: Instant, mss: u32, window: &Window) -> u32 {
        self.on_congestion(now, mss, window)
    }

    fn on_undo(&mut self) {
        self.w_max = self.before;
        self.epoch = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use byway_wire::SeqNumber;

    const MSS: u32 = 1000;

    fn run(cubic: &mut Cubic, window: &mut Window, from: Duration, time: Duration, rtt: Duration) {
        let mut at = from;
        while at < from + time {
            at += rtt;
            let mut left = window.cwnd;
            while left > 0 {
                let octets = left.min(2 * MSS);
                left -= octets;
                let now = Instant::from_nanos(0) + at;
                let zero = SeqNumber::new(0);
                let acked = Acked {
                    now,
                    octets,
                    ack: zero,
                    snd_nxt: zero,
                    rtt: None,
                    srtt: rtt,
                    mss: MSS,
                };
                cubic.on_acknowledged(&acked, window);
            }
        }
    }

    #[test]
    fn it_is_back_at_the_old_maximum_after_k_seconds_whatever_the_rtt() {
        for rtt_ms in [20, 100] {
            let mut cubic = Cubic::default();
            let mut window = Window {
                cwnd: 1000 * MSS,
                ssthresh: 0,
            };
            window.ssthresh = cubic.on_congestion(Instant::from_nanos(0), MSS, &window);
            window.cwnd = window.ssthresh;
            assert_eq!(window.cwnd, 700 * MSS);
            // K = cbrt(300 / 0.4) = 9.1 s.
            let rtt = Duration::from_millis(rtt_ms);
            run(
                &mut cubic,
                &mut window,
                Duration::ZERO,
                Duration::from_secs(8),
                rtt,
            );
            assert!(window.cwnd < 1000 * MSS, "{rtt_ms} ms: {window:?} before K");
            run(
                &mut cubic,
                &mut window,
                Duration::from_secs(8),
                Duration::from_secs(2),
                rtt,
            );
            let reached = window.cwnd / MSS;
            assert!(
                (990..1010).contains(&reached),
                "{rtt_ms} ms: {reached} at the plateau"
            );
        }
    }

    #[test]
    fn it_is_no_slower_than_reno_where_reno_is_fast() {
        // 1 ms and 20 segments: Reno gains a segment every round trip.
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 20 * MSS,
            ssthresh: 0,
        };
        window.ssthresh = cubic.on_congestion(Instant::from_nanos(0), MSS, &window);
        window.cwnd = window.ssthresh;
        let rtt = Duration::from_millis(1);
        run(
            &mut cubic,
            &mut window,
            Duration::ZERO,
            Duration::from_millis(100),
            rtt,
        );
        assert!(window.cwnd >= 60 * MSS, "{window:?}");
    }

    #[test]
    fn a_second_loss_below_the_maximum_makes_room() {
        let mut cubic = Cubic::default();
        let now = Instant::from_nanos(0);
        let mut window = Window {
            cwnd: 100 * MSS,
            ssthresh: 0,
        };
        cubic.on_congestion(now, MSS, &window);
        window.cwnd = 80 * MSS;
        assert_eq!(cubic.on_congestion(now, MSS, &window), 56 * MSS);
        assert_eq!(cubic.w_max, 68 * MSS);
        cubic.on_undo();
        assert_eq!(cubic.w_max, 100 * MSS);
    }
}
