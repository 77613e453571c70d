//! Proportional rate reduction (RFC 6937, RFC 9937): the window shrinks with the ACKs of recovery,
//! not at once.

/// State of one recovery; octets.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Prr {
    /// Delivered since recovery began.
    delivered: u32,
    /// Sent since recovery began.
    out: u32,
    /// RecoverFS: in flight when it began.
    flight_size: u32,
}

impl Prr {
    pub(crate) fn new(flight_size: u32) -> Self {
        Self {
            flight_size: flight_size.max(1),
            ..Self::default()
        }
    }

    /// Something was sent during recovery.
    #[inline]
    pub(crate) fn on_sent(&mut self, octets: u32) {
        self.out = self.out.saturating_add(octets);
    }

    /// Octets that may be sent now. `safe`: the ACK moved SND.UNA and showed no new loss.
    //= rfc6937 3 S3-1 S3-2 S3-4
    pub(crate) fn on_ack(
        &mut self,
        delivered: u32,
        pipe: u32,
        ssthresh: u32,
        safe: bool,
        mss: u32,
    ) -> u32 {
        self.delivered = self.delivered.saturating_add(delivered);
        let may_send = if pipe > ssthresh {
            let due = (u64::from(self.delivered) * u64::from(ssthresh))
                .div_ceil(u64::from(self.flight_size));
            due.saturating_sub(u64::from(self.out)) as u32
        } else {
            let mut limit = self.delivered.saturating_sub(self.out).max(delivered);
            if safe {
                limit = limit.saturating_add(mss);
            }
            limit.min(ssthresh - pipe)
        };
        // The first retransmission always leaves.
        if self.out == 0 {
            may_send.max(mss)
        } else {
            may_send
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= rfc6937 3 S3-1 S3-4
    #[test]
    fn one_segment_leaves_for_two_that_arrive_when_halving() {
        let mss = 1000;
        let mut prr = Prr::new(20 * mss);
        let (mut pipe, ssthresh) = (19 * mss, 10 * mss);
        let mut sent = 0;
        for _ in 0..10 {
            pipe -= mss;
            let now = prr.on_ack(mss, pipe, ssthresh, false, mss) / mss * mss;
            prr.on_sent(now);
            pipe += now;
            sent += now;
        }
        assert_eq!(sent, 5 * mss);
    }

    //= rfc6937 3 S3-2
    #[test]
    fn after_heavy_losses_it_grows_back_to_the_threshold() {
        let mss = 1000;
        let mut prr = Prr::new(20 * mss);
        let (mut pipe, ssthresh) = (2 * mss, 10 * mss);
        for _ in 0..10 {
            pipe -= mss;
            let now = prr.on_ack(mss, pipe, ssthresh, true, mss);
            assert!(now <= 2 * mss, "no burst");
            prr.on_sent(now);
            pipe += now;
        }
        assert_eq!(pipe, ssthresh);
    }
}
