//! Counters of a shard: what it did, and a name for everything it did not do.

use byway_tcp::effects::DropReason;
use byway_wire::Malformed;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident => $name:literal,)*) => {
        /// What a shard counted since it started, beside what TCP counts.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $field: u64,)*
            /// Frames that could not be parsed, by reason.
            pub malformed: [u64; Malformed::COUNT],
        }

        impl Counters {
            /// Every counter with its name, malformed frames excluded.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$(($name, self.$field)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Turns.
    turns => "BywayTurns",
    /// Turns that found something to do.
    busy_turns => "BywayBusyTurns",
    /// Frames received.
    frames_in => "BywayFramesIn",
    /// Frames sent.
    frames_out => "BywayFramesOut",
    /// Frames that were neither TCP nor an ICMP error about TCP.
    not_tcp => "BywayNotTcp",
    /// Pieces of fragmented packets, which are not put together.
    fragments => "BywayFragments",
    /// Frames to another MAC address.
    not_our_mac => "BywayNotOurMac",
    /// Segments to an address that is not ours.
    not_our_address => "BywayNotOurAddress",
    /// Segments without a filled-in checksum.
    csum_partial => "BywayCsumPartial",
    /// ICMP errors about a connection of ours.
    icmp_errors => "IcmpInDestUnreachs",
    /// ICMP errors that say a packet was too big.
    icmp_too_big => "IcmpInTooBigs",
    /// ICMP errors about no connection of ours.
    icmp_stray => "IcmpInErrorsStray",
    /// ICMP errors that quote nothing that the connection has in flight.
    icmp_out_of_window => "TcpExtOutOfWindowIcmps",
    /// SYNs dropped because the queue of half-open connections was full.
    syn_queue_full => "TcpExtTCPReqQFullDrop",
    /// SYNs answered with a cookie because that queue was full.
    syn_queue_cookies => "TcpExtTCPReqQFullDoCookies",
    /// Beginnings of a connection dropped, or refused to a service, because all places of the flow table
    /// that it could have were taken.
    flow_table_crowded => "BywayFlowTableCrowded",
    /// SYNs and answers to cookies dropped because the table of paths was full.
    path_table_full => "BywayPathTableFull",
    /// Path MTUs forgotten before their time because too many were remembered.
    path_mtu_overflow => "BywayPathMtuOverflow",
    /// Connections that changed to another path, as the kernel said.
    paths_moved => "BywayPathMoved",
    /// Handshakes that completed and were reset, because the table of connections was full.
    table_full => "TcpExtListenOverflows",
    /// Half-open connections that were given up.
    syn_expired => "TcpExtTCPTimeoutRetransSynAck",
    /// TIME-WAIT records that ended early because there were too many.
    time_wait_overflow => "TcpExtTCPTimeWaitOverflow",
    /// In-order segments dropped because there were no blocks to hold them, or too few for a
    /// connection that leaves so much unread.
    receive_blocks_empty => "TcpExtTCPRcvQDrop",
    /// Out-of-order segments dropped because there were too few blocks left.
    receive_blocks_reserved => "TcpExtTCPOFODrop",
    /// Times that `send` took less because there were no blocks.
    send_blocks_empty => "BywaySendBlocksEmpty",
    /// Calls of `connect` that failed.
    connect_failed => "BywayConnectFailed",
    /// Connections that did not learn their path in time, or that no path leads to.
    path_unresolved => "BywayPathUnresolved",
    /// Requests for a path that the control plane's queue had no room for.
    request_lost => "BywayRequestLost",
    /// Segments without a connection that were lost because too many waited for a frame.
    reply_lost => "BywayReplyLost",
    /// Turns that ended with segments still to send: no frame was free.
    no_frame => "BywayTxNoFrame",
    /// Turns that ended with segments still to send: the limit per turn was reached.
    tx_budget => "BywayTxBudget",
    /// Turns that ended with timers still to fire.
    timer_budget => "BywayTimerBudget",
    /// Services that panicked.
    service_panics => "BywayServicePanics",
    /// Listening endpoints refused because there were too many.
    listeners_full => "BywayListenersFull",
    /// Listening endpoints refused because another service has them.
    listeners_taken => "BywayListenersTaken",
}

impl Counters {
    /// Counts a frame that could not be parsed.
    #[inline]
    pub(crate) fn malformed(&mut self, reason: Malformed) {
        if let Some(count) = self.malformed.get_mut(reason as usize) {
            *count += 1;
        }
    }

    /// How many frames could not be parsed for this reason.
    pub fn malformed_for(&self, reason: Malformed) -> u64 {
        self.malformed.get(reason as usize).copied().unwrap_or(0)
    }
}

/// The name under which a malformed frame is counted.
pub(crate) const fn malformed_name(reason: Malformed) -> &'static str {
    match reason {
        Malformed::EthernetTruncated => "BywayMalformedEthernetTruncated",
        Malformed::IpHeader => "IpInHdrErrors",
        Malformed::IpLength => "IpExtInTruncatedPkts",
        Malformed::IpChecksum => "IpExtInCsumErrors",
        Malformed::IpExtension => "BywayMalformedIpExtension",
        Malformed::Address => "IpInAddrErrors",
        Malformed::TcpHeader => "TcpInErrs",
        Malformed::Arp => "BywayMalformedArp",
        Malformed::IcmpTruncated => "IcmpInErrors",
        Malformed::IcmpChecksum => "IcmpInCsumErrors",
        Malformed::IcmpQuote => "BywayMalformedIcmpQuote",
    }
}

/// Every reason for a malformed frame.
pub(crate) const MALFORMED: [Malformed; Malformed::COUNT] = [
    Malformed::EthernetTruncated,
    Malformed::IpHeader,
    Malformed::IpLength,
    Malformed::IpChecksum,
    Malformed::IpExtension,
    Malformed::Address,
    Malformed::TcpHeader,
    Malformed::Arp,
    Malformed::IcmpTruncated,
    Malformed::IcmpChecksum,
    Malformed::IcmpQuote,
];

/// The name under which a segment that was not taken is counted.
const fn drop_name(reason: DropReason) -> &'static str {
    match reason {
        DropReason::OutOfWindow => "BywayDropOutOfWindow",
        DropReason::Paws => "BywayDropPaws",
        DropReason::NoTimestamp => "BywayDropNoTimestamp",
        DropReason::ResetChallenged => "BywayDropResetChallenged",
        DropReason::ResetOutOfWindow => "BywayDropResetOutOfWindow",
        DropReason::SynChallenged => "BywayDropSynChallenged",
        DropReason::NoAck => "BywayDropNoAck",
        DropReason::BadAck => "BywayDropBadAck",
        DropReason::ReassemblyFull => "BywayDropReassemblyFull",
        DropReason::AfterClose => "BywayDropAfterClose",
        DropReason::NoListener => "BywayDropNoListener",
        DropReason::SynQueueFull => "BywayDropSynQueueFull",
        DropReason::TableFull => "BywayDropTableFull",
        DropReason::BadFlags => "BywayDropBadFlags",
    }
}

/// Counters by name, of TCP and the stack together: what tools show.
pub fn snapshot(tcp: &byway_tcp::counters::Counters, own: &Counters) -> Vec<(&'static str, u64)> {
    let malformed = MALFORMED
        .iter()
        .map(|&m| (malformed_name(m), own.malformed_for(m)));
    let dropped = DropReason::ALL
        .iter()
        .map(|&reason| (drop_name(reason), tcp.dropped_for(reason)));
    tcp.named()
        .chain(own.named())
        .chain(malformed)
        .chain(dropped)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_a_name_of_its_own() {
        let mut own = Counters::default();
        own.malformed(Malformed::IpChecksum);
        own.syn_queue_full = 3;
        let all = snapshot(&Default::default(), &own);
        let mut names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
        assert!(all.contains(&("IpExtInCsumErrors", 1)));
        assert!(all.contains(&("TcpExtTCPReqQFullDrop", 3)));
    }
}
