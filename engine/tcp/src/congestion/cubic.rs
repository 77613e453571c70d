//! CUBIC (RFC 9438): growth by the time since the last loss, not by the round-trip time.

use super::{Acked, CongestionControl, HyStart, L, Window, floor};
use crate::time::{Duration, Instant};

/// beta_cubic of RFC 9438 §4.6, in tenths.
const BETA_TENTHS: u64 = 7;
/// The aggressiveness C = 0.4 segments per second cubed (RFC 9438 §5.1).
//= rfc9438 5.1 S5.1-1
const C: f64 = 0.4;

/// State of CUBIC. Windows are in octets, as everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cubic {
    /// W_max: the window before the last reduction, less with fast convergence.
    w_max: u32,
    /// cwnd_prior: the window before the last reduction.
    prior: u32,
    /// When the current congestion avoidance began; `None` until its first ACK.
    epoch: Option<Epoch>,
    /// What an undone reduction takes back.
    before: u32,
    hystart: HyStart,
}

/// One stage of congestion avoidance.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Moved on by the pauses in which the window did not grow.
    start: Instant,
    /// When the window last grew.
    grown: Instant,
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
            grown: now,
            k,
            origin,
            w_est: f64::from(window.cwnd),
            fraction: 0.0,
        }
    }

    /// How long the window has been growing. A pause of more than two round trips is one in which
    /// it was not used up: that time does not count.
    //= rfc9438 4.2 S4.2-1
    fn elapsed(&mut self, acked: &Acked) -> Duration {
        let pause = acked.now.since(self.grown);
        self.grown = acked.now;
        if pause > 2 * acked.srtt {
            self.start += pause;
        }
        acked.now.since(self.start)
    }

    /// W_cubic(t) in octets (RFC 9438, equation 1).
    fn w_cubic(&self, elapsed: Duration, mss: u32) -> f64 {
        let t = elapsed.as_secs_f64() - self.k;
        f64::from(self.origin) + C * t * t * t * f64::from(mss)
    }
}

impl Cubic {
    //= rfc9438 4.2 S4.2-2
    //= rfc9438 4.3 S4.3-1 S4.3-2
    //= rfc9438 4.4 S4.4-1
    //= rfc9438 4.5 S4.5-1
    fn avoid_congestion(&mut self, acked: &Acked, window: &mut Window) {
        let mss = acked.mss;
        let (w_max, prior) = (self.w_max, self.prior);
        let epoch = self
            .epoch
            .get_or_insert_with(|| Epoch::new(acked.now, w_max, window, mss));
        let cwnd = f64::from(window.cwnd);
        let octets = f64::from(acked.octets);
        // Reno-friendly region (RFC 9438 §4.3): alpha makes Reno with beta 0.7 as fast as Reno
        // with one half, and is one once the old window is reached.
        let beta = BETA_TENTHS as f64 / 10.0;
        let alpha = if epoch.w_est < f64::from(prior) {
            3.0 * (1.0 - beta) / (1.0 + beta)
        } else {
            1.0
        };
        epoch.w_est += alpha * octets / cwnd * f64::from(mss);
        let elapsed = epoch.elapsed(acked);
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
    //= rfc9293 3.8.2 MAY-18
    //= rfc9438 4.10 S4.10-1 S4.10-2
    //= rfc9406 4.3 S4.3-1
    //= rfc5681 3.1 S3.1-6
    fn on_acknowledged(&mut self, acked: &Acked, window: &mut Window) {
        if !window.in_slow_start() {
            return self.avoid_congestion(acked, window);
        }
        if window.ssthresh < u32::MAX {
            // The threshold is known: no need to look for it.
            return window.grow_to_threshold(acked.octets.min(L * acked.mss));
        }
        let growth = self.hystart.on_acknowledged(acked);
        window.grow_to_threshold(growth);
        if self.hystart.is_over() {
            window.ssthresh = window.cwnd;
        }
    }

    //= rfc9438 4.6 S4.6-1 S4.6-2
    //= rfc9438 4.7 S4.7-1
    fn on_congestion(&mut self, _now: Instant, mss: u32, window: &Window) -> u32 {
        self.before = self.w_max;
        self.prior = window.cwnd;
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

    //= rfc9438 4.8 S4.8-1
    fn on_timeout(&mut self, now: Instant, mss: u32, window: &Window) -> u32 {
        let ssthresh = self.on_congestion(now, mss, window);
        // The old maximum says nothing any more: the cubic begins at its plateau.
        self.w_max = 0;
        ssthresh
    }

    //= rfc9438 4.9 S4.9-1
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

    //= rfc9293 3.8.2 MAY-18
    //= rfc9438 4.2 S4.2-2
    //= rfc9438 4.4 S4.4-1
    //= rfc9438 4.5 S4.5-1
    //= rfc9438 5.1 S5.1-1
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
            // 0.4 * 10.9^3 segments beyond it after 20 seconds.
            let (from, time) = (Duration::from_secs(10), Duration::from_secs(10));
            run(&mut cubic, &mut window, from, time, rtt);
            let beyond = window.cwnd / MSS;
            assert!((1450..1600).contains(&beyond), "{rtt_ms} ms: {beyond}");
        }
    }

    //= rfc9438 4.3 S4.3-1
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

    fn reduced() -> (Cubic, Window) {
        let mut cubic = Cubic::default();
        let mut window = Window {
            cwnd: 100 * MSS,
            ssthresh: 0,
        };
        window.ssthresh = cubic.on_congestion(Instant::from_nanos(0), MSS, &window);
        window.cwnd = window.ssthresh;
        (cubic, window)
    }

    //= rfc9438 4.8 S4.8-1
    #[test]
    fn after_a_timeout_the_cubic_begins_at_its_plateau() {
        let after = |timeout: bool| {
            let (mut cubic, mut window) = reduced();
            if timeout {
                window.cwnd = 100 * MSS;
                window.ssthresh = cubic.on_timeout(Instant::from_nanos(0), MSS, &window);
                window.cwnd = window.ssthresh;
            }
            assert_eq!(window.cwnd, 70 * MSS);
            let second = Duration::from_secs(2);
            // A round trip so long that Reno would gain next to nothing.
            run(
                &mut cubic,
                &mut window,
                Duration::ZERO,
                second,
                Duration::from_millis(500),
            );
            window.cwnd / MSS
        };
        let (fast, flat) = (after(false), after(true));
        assert!(fast > flat + 10, "{fast} and {flat}");
    }

    //= rfc9438 4.2 S4.2-1
    #[test]
    fn time_in_which_the_window_was_not_used_does_not_count() {
        let rtt = Duration::from_millis(100);
        let grown = |pause: Duration| {
            let (mut cubic, mut window) = reduced();
            let second = Duration::from_secs(1);
            run(&mut cubic, &mut window, Duration::ZERO, second, rtt);
            run(&mut cubic, &mut window, second + pause, second, rtt);
            window.cwnd / MSS
        };
        let (paused, steady) = (grown(Duration::from_secs(60)), grown(Duration::ZERO));
        assert!(steady - paused <= 1, "{paused} and {steady}");
    }

    //= rfc9438 4.3 S4.3-2
    #[test]
    fn renos_share_is_smaller_until_the_window_is_what_it_was() {
        let (mut cubic, mut window) = reduced();
        // A second reduction: with fast convergence the maximum is below the window before it.
        window.cwnd = 90 * MSS;
        window.ssthresh = cubic.on_congestion(Instant::from_nanos(0), MSS, &window);
        window.cwnd = window.ssthresh;
        assert!(cubic.w_max < 90 * MSS && cubic.prior == 90 * MSS);
        // With a round trip of a millisecond Reno governs.
        let rtt = Duration::from_millis(1);
        let (mut before, mut steps) = (window.cwnd, vec![]);
        for n in 0..70 {
            run(&mut cubic, &mut window, rtt * n, rtt, rtt);
            steps.push(window.cwnd - before);
            before = window.cwnd;
        }
        assert!((500..580).contains(&steps[40]), "{steps:?}");
        assert!((900..1100).contains(&steps[69]), "{steps:?}");
    }

    //= rfc9406 4.3 S4.3-1
    //= rfc9438 4.10 S4.10-1
    #[test]
    fn a_known_threshold_is_reached_by_plain_slow_start() {
        let (mut cubic, mut window) = reduced();
        window.cwnd = 10 * MSS;
        // The delay grows all the time, which is what HyStart++ looks for.
        for n in 1..=3 {
            let mut left = window.cwnd;
            while left > 0 {
                let octets = left.min(MSS);
                left -= octets;
                let acked = Acked {
                    now: Instant::from_nanos(0),
                    octets,
                    ack: SeqNumber::new(n * 1000),
                    snd_nxt: SeqNumber::new(n * 1000 + 1),
                    rtt: Some(Duration::from_millis(u64::from(n) * 20)),
                    srtt: Duration::from_millis(20),
                    mss: MSS,
                };
                if window.in_slow_start() {
                    cubic.on_acknowledged(&acked, &mut window);
                }
            }
        }
        assert_eq!((window.cwnd, window.ssthresh), (70 * MSS, 70 * MSS));
    }

    //= rfc9438 4.6 S4.6-1
    //= rfc9438 4.7 S4.7-1
    //= rfc9438 4.9 S4.9-1
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
