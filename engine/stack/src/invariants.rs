//! What must hold between any two turns.

use crate::blocks::BlockPool;
use crate::buffer_pool::Buffers;
use crate::core::{Core, NO_PATH, NONE, flag};
use crate::flow_table::Record;
use byway_wire::FlowKey;
use std::collections::HashSet;

impl Core {
    /// The first rule that is broken, as a sentence.
    pub(crate) fn check_invariants(&self) -> Result<(), String> {
        self.check_flows()?;
        self.check_queues()?;
        self.check_blocks()?;
        self.check_paths()
    }

    /// Every record is found by its flow, and nothing else is in the table.
    fn check_flows(&self) -> Result<(), String> {
        let found = |record: Record, flow: &FlowKey| {
            let hash = self.table.hash(flow);
            match self.find(hash, flow) {
                Some(other) if other == record => Ok(1),
                other => Err(format!("{flow:?} leads to {other:?} instead of {record:?}")),
            }
        };
        let mut count = 0;
        for (index, conn) in self.connections.iter() {
            if conn.owner().flags & flag::LINGERS == 0 {
                count += found(Record::Connection(index), conn.flow())?;
            }
            if conn.owner().flags & flag::LINGERS == 0 {
                conn.check_invariants(&self.tcp);
            }
            if conn.owner().generation != self.connections.generation(index) {
                return Err(format!(
                    "connection {index} is of another generation than its slot"
                ));
            }
        }
        for (index, half_open) in self.half_open.iter() {
            count += found(Record::Syn(index), half_open.entry.flow())?;
        }
        for (index, quiet) in self.time_waits.iter() {
            count += found(Record::TimeWait(index), quiet.wait.flow())?;
        }
        if count != self.table.len() || count != self.table.records().count() {
            return Err(format!(
                "{count} records, {} entries in the table",
                self.table.len()
            ));
        }
        Ok(())
    }

    /// A connection that may have something to send is queued for it; any other has its timer in
    /// the wheel, at its deadline or before.
    fn check_queues(&self) -> Result<(), String> {
        let dirty: HashSet<u32> = self.dirty.iter().copied().collect();
        for (index, conn) in self.connections.iter() {
            let flags = conn.owner().flags;
            if (flags & flag::DIRTY != 0) && !dirty.contains(&index) {
                return Err(format!("connection {index} is dirty and not queued"));
            }
            let quiet = flags & (flag::DIRTY | flag::LINGERS) == 0;
            let tick = byway_tcp::time::Duration::from_micros(66);
            if quiet && self.wheel.armed_at(index) > conn.deadline(&self.tcp) + tick {
                return Err(format!("connection {index} would miss its deadline"));
            }
            if flags & flag::CLOSE != 0 && self.closing.contains(&index) {
                return Err(format!(
                    "connection {index} was not closed as its service asked"
                ));
            }
            let waits = self.waiting.iter().any(|waiting| waiting.id.index == index);
            if flags & flag::WAITING != 0 && !waits {
                return Err(format!(
                    "connection {index} waits for a path that nobody looks for"
                ));
            }
        }
        for (index, half_open) in self.half_open.iter() {
            if self.wheel.armed_at(self.half_open_key(index)) > half_open.entry.deadline() {
                let late = self.wheel.armed_at(self.half_open_key(index));
                if late.since(half_open.entry.deadline()).as_micros() > 66 {
                    return Err(format!(
                        "half-open connection {index} would miss its deadline"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Every block is free or held by one connection, and an empty rope holds none.
    fn check_blocks(&self) -> Result<(), String> {
        let mut with_buffers = 0;
        for (index, conn) in self.connections.iter() {
            let buffers = conn.owner().buffers;
            if buffers == NONE {
                if conn.buffered() > 0 && conn.owner().flags & flag::LINGERS == 0 {
                    return Err(format!("connection {index} has lost what it has to send"));
                }
                continue;
            }
            let Some(record) = self.buffers.get(buffers) else {
                return Err(format!("connection {index} has buffers that are not there"));
            };
            with_buffers += 1;
            if record.are_empty() {
                return Err(format!("connection {index} keeps empty buffers"));
            }
            let lingers = conn.owner().flags & flag::LINGERS != 0;
            if !lingers && record.send.end() != conn.buffered() {
                return Err(format!(
                    "connection {index} has {} octets to send, TCP counts {}",
                    record.send.end(),
                    conn.buffered()
                ));
            }
            if record.receive.end() < conn.unread() {
                return Err(format!(
                    "connection {index} holds {} octets, TCP counts {} unread",
                    record.receive.end(),
                    conn.unread()
                ));
            }
        }
        if with_buffers != self.buffers.in_use() {
            return Err(format!(
                "{} buffers, {with_buffers} in use",
                self.buffers.in_use()
            ));
        }
        let balance = |pool: &BlockPool, held: fn(&Buffers) -> u32, name: &str| {
            let held: u32 = self.buffers.iter().map(held).sum();
            if held == pool.in_use() {
                return Ok(());
            }
            Err(format!(
                "{held} blocks to {name} are held, {} are in use",
                pool.in_use()
            ))
        };
        balance(
            &self.receive_blocks,
            |record| record.receive.held(),
            "receive",
        )?;
        balance(&self.send_blocks, |record| record.send.held(), "send")
    }

    /// Every path has as many users as there are records on it.
    fn check_paths(&self) -> Result<(), String> {
        let connections = self.connections.iter();
        let on_paths = connections
            .filter(|(_, conn)| conn.owner().path != NO_PATH)
            .count() as u64;
        let users = on_paths + u64::from(self.half_open.len()) + u64::from(self.time_waits.len());
        if users != self.paths.users() {
            return Err(format!(
                "{users} users of paths, {} are counted",
                self.paths.users()
            ));
        }
        Ok(())
    }
}
