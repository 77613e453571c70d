//! Counters of a shard's TCP, named as in the kernel's MIB where it has the same thing.

use crate::effects::DropReason;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal,)*) => {
        /// What TCP did, since the shard started.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Segments that were not taken, by reason.
            pub dropped: [u64; DropReason::COUNT],
        }

        impl Counters {
            /// Every counter with its MIB name, drops excluded.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$(($name, self.$field)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Connections that we opened.
    active_opens => "TcpActiveOpens",
    /// Connections that were opened to us.
    passive_opens => "TcpPassiveOpens",
    /// Connection attempts that failed.
    attempt_fails => "TcpAttemptFails",
    /// Established connections that were reset, by either side.
    estab_resets => "TcpEstabResets",
    /// Segments received.
    in_segs => "TcpInSegs",
    /// Segments sent, retransmissions included.
    out_segs => "TcpOutSegs",
    /// Segments sent again.
    //= rfc6928 12 S12-2
    retrans_segs => "TcpRetransSegs",
    /// Resets sent.
    out_rsts => "TcpOutRsts",
    /// Segments with a wrong checksum.
    in_csum_errors => "TcpInCsumErrors",
    /// Acknowledgments that waited for their timer.
    delayed_acks => "TcpExtDelayedACKs",
    /// Retransmission timeouts.
    timeouts => "TcpExtTCPTimeouts",
    /// Fast retransmissions.
    fast_retrans => "TcpExtTCPFastRetrans",
    /// Tail loss probes sent.
    loss_probes => "TcpExtTCPLossProbes",
    /// Retransmissions while recovering from a timeout.
    slow_start_retrans => "TcpExtTCPSlowStartRetrans",
    /// SYN and SYN-ACK segments sent again.
    syn_retrans => "TcpExtTCPSynRetrans",
    /// SYNs answered with a cookie.
    syn_cookies_sent => "TcpExtSyncookiesSent",
    /// Connections made from a cookie that came back.
    syn_cookies_received => "TcpExtSyncookiesRecv",
    /// ACKs without a connection that brought no cookie of ours, while some were on their way.
    syn_cookies_failed => "TcpExtSyncookiesFailed",
    /// Out-of-order segments kept.
    ofo_queued => "TcpExtTCPOFOQueue",
    /// Segments with nothing new in them.
    duplicates => "TcpExtTCPOldSegs",
    /// Segments refused by PAWS.
    paws_estab => "TcpExtPAWSEstab",
    /// Challenge ACKs sent.
    challenge_acks => "TcpExtTCPChallengeACK",
    /// Times that the peer announced urgent data.
    urgent => "TcpExtTCPUrgent",
    /// Times that we announced a zero window.
    to_zero_window => "TcpExtTCPToZeroWindowAdv",
    /// Reductions of the window for an ECN echo.
    ecn_reductions => "TcpExtTCPECNReductions",
    /// Keep-alive probes sent.
    keep_alives => "TcpExtTCPKeepAlive",
    /// Zero-window probes sent.
    window_probes => "TcpExtTCPWinProbe",
    /// Connections that went into TIME-WAIT.
    time_waits => "TcpExtTW",
    /// Connections given up for lack of an answer.
    aborted_on_timeout => "TcpExtTCPAbortOnTimeout",
    /// Connections reset because data came after they were closed.
    aborted_on_data => "TcpExtTCPAbortOnData",
    /// Connections closed while they held unread data.
    aborted_on_close => "TcpExtTCPAbortOnClose",
    /// Path MTUs that turned out smaller.
    path_mtu_reductions => "TcpExtPathMtuReduced",
    /// ICMP errors that ended no connection.
    soft_errors => "IcmpInErrorsSoft",
}

impl Counters {
    /// Counts a segment that was not taken.
    #[inline]
    pub fn drop(&mut self, reason: DropReason) {
        if let Some(slot) = self.dropped.get_mut(reason as usize) {
            *slot += 1;
        }
    }

    /// How many segments were not taken for this reason.
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }
}
