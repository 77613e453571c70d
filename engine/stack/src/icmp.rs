//! ICMP errors: what the network says about segments of ours (RFC 9293 §3.9.2.2, RFC 5927).
//!
//! A message is about a connection when it quotes something that the connection has in flight; any
//! other is old or made up. None of them ends a connection that is established.

use crate::core::{Core, flag};
use crate::flow_table::Record;
use crate::reactor::Reactor;
use byway_tcp::effects::Effects;
use byway_wire::icmp::{IcmpError, Kind};

/// A soft error: the network could not deliver a segment, which is no reason to give up, but may
/// explain why nothing comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SoftError {
    /// What happened to the segment.
    pub kind: Kind,
    /// The code of the ICMP message; what it means depends on the kind and the family.
    pub code: u8,
}

impl Reactor {
    /// An ICMP error about a segment of ours.
    //= rfc9293 3.9.2.2 MUST-54
    pub(crate) fn on_icmp_error(&mut self, error: &IcmpError) {
        let core = &mut self.core;
        let hash = core.table.hash(&error.quoted);
        let Some(Record::Connection(index)) = core.find(hash, &error.quoted) else {
            core.counters.icmp_stray += 1;
            return;
        };
        core.counters.icmp_errors += 1;
        if !core.conn(index).is_in_flight(error.seq) {
            core.counters.icmp_out_of_window += 1;
            return;
        }
        match error.kind {
            Kind::TooBig => core.on_too_big(index, error),
            Kind::Unreachable => self.on_unreachable(index, error),
            //= rfc9293 3.9.2.2 MUST-56
            Kind::TimeExceeded | Kind::ParameterProblem => {
                core.tcp.counters.soft_errors += 1;
                self.tell_soft_error(index, error);
            }
        }
    }

    /// It ends an attempt to connect, and is a soft error for every other connection.
    fn on_unreachable(&mut self, index: u32, error: &IcmpError) {
        let core = &mut self.core;
        let mut fx = Effects::default();
        let conn = core
            .connections
            .get_mut(index)
            .expect("the flow table knows live ones only");
        conn.on_unreachable(error.seq, &mut core.tcp, &mut fx);
        if fx.closed.is_some() {
            self.apply(index, &fx, &[]);
        } else {
            self.tell_soft_error(index, error);
        }
    }

    /// A service that does not want to know of soft errors does not implement the callback.
    //= rfc9293 3.9.1.8 MUST-47 SHLD-20
    //= rfc9293 3.9.2.2 SHLD-25
    fn tell_soft_error(&mut self, index: u32, error: &IcmpError) {
        let soft = SoftError {
            kind: error.kind,
            code: error.code,
        };
        self.core.set(index, flag::SOFT_ERROR);
        self.core.soft_errors.insert(index, soft);
        self.tell(index, |service, conn| service.on_soft_error(conn, soft));
        self.settle();
    }
}

impl Core {
    /// Packets of the size of ours do not get through. Connections to the same destination that
    /// come later begin with what does; those there are find out for themselves, because a lesson
    /// for all would be worth forging.
    fn on_too_big(&mut self, index: u32, error: &IcmpError) {
        self.counters.icmp_too_big += 1;
        let conn = self
            .connections
            .get_mut(index)
            .expect("the flow table knows live ones only");
        let remote = conn.flow().remote.address;
        let learned = conn.on_too_big(error.mtu, error.seq, &mut self.tcp);
        if let Some(mtu) = learned {
            let overflow = self.path_mtus.learn(remote, mtu, self.now);
            self.counters.path_mtu_overflow += u64::from(overflow);
        }
        self.mark_dirty(index);
    }

    /// Something got through, or the connection is gone: what the network said before is history.
    #[inline]
    pub(crate) fn forget_soft_error(&mut self, index: u32) {
        if self.clear(index, flag::SOFT_ERROR) {
            self.soft_errors.remove(&index);
        }
    }
}
