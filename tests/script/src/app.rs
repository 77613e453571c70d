//! The application on Byway: a service that reads, writes and closes when the script says so.

use crate::packet::octet;
use crate::script::{Check, Failure};
use byway_stack::context::{ConnId, Context};
use byway_stack::{Service, SoftError};
use byway_tcp::effects::CloseReason;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

type Action = Box<dyn FnOnce(&mut Context<'_>)>;

/// What the application knows of a connection.
struct Conn {
    id: ConnId,
    opened: bool,
    /// Octets that the script still wants to read.
    allowed: u64,
    read: u64,
    written: u64,
    /// The place of the first octet that was not the right one.
    wrong: Option<u64>,
    peer_closed: bool,
    closed: Option<CloseReason>,
    /// The soft error that the service was told of last, or that the connection ended with.
    soft: Option<SoftError>,
}

/// The state of the application.
pub(crate) struct App {
    conns: Vec<Conn>,
    /// Indices of those that wait to be accepted.
    backlog: VecDeque<usize>,
    current: Option<usize>,
    pub(crate) actions: VecDeque<Action>,
}

impl App {
    pub(crate) fn new() -> Self {
        Self {
            conns: Vec::new(),
            backlog: VecDeque::new(),
            current: None,
            actions: VecDeque::new(),
        }
    }

    fn add(&mut self, id: ConnId, opened: bool) -> usize {
        self.conns.push(Conn {
            id,
            opened,
            allowed: 0,
            read: 0,
            written: 0,
            wrong: None,
            peer_closed: false,
            closed: None,
            soft: None,
        });
        self.conns.len() - 1
    }

    fn find(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.iter_mut().find(|conn| conn.id == id)
    }

    fn current(&self) -> Result<&Conn, String> {
        let conn = self.current.and_then(|index| self.conns.get(index));
        conn.ok_or_else(|| "there is no connection: accept or connect first".to_owned())
    }

    fn current_mut(&mut self) -> Result<&mut Conn, String> {
        let conn = self.current.and_then(|index| self.conns.get_mut(index));
        conn.ok_or_else(|| "there is no connection: accept or connect first".to_owned())
    }

    pub(crate) fn current_id(&self) -> Result<ConnId, String> {
        self.current().map(|conn| conn.id)
    }

    /// The soft error that the service was told of last, or that the connection ended with.
    pub(crate) fn soft_error(&self) -> Result<Option<SoftError>, String> {
        self.current().map(|conn| conn.soft)
    }

    /// The connection that was made last.
    pub(crate) fn last_id(&self) -> Option<ConnId> {
        self.conns.last().map(|conn| conn.id)
    }

    pub(crate) fn opening(&mut self, id: ConnId) {
        self.current = Some(self.add(id, false));
    }

    pub(crate) fn accept(&mut self) -> Result<(), String> {
        let next = self.backlog.pop_front();
        self.current = Some(next.ok_or("no connection waits to be accepted")?);
        Ok(())
    }

    pub(crate) fn next_octets(&self, octets: u32) -> Result<Vec<u8>, String> {
        let from = self.current()?.written as i64;
        Ok((from..from + i64::from(octets)).map(octet).collect())
    }

    pub(crate) fn wrote(&mut self, octets: usize) {
        if let Ok(conn) = self.current_mut() {
            conn.written += octets as u64;
        }
    }

    /// So many octets may be read from now on. How many were read before.
    pub(crate) fn allow(&mut self, octets: u64) -> Result<u64, String> {
        let conn = self.current_mut()?;
        conn.allowed = octets;
        Ok(conn.read)
    }

    pub(crate) fn was_read(&mut self, before: u64, wanted: u64) -> Result<(), String> {
        let conn = self.current_mut()?;
        conn.allowed = 0;
        if let Some(place) = conn.wrong {
            return Err(format!("octet {place} is not the one that was sent"));
        }
        match conn.read - before {
            read if read == wanted => Ok(()),
            read => Err(format!("{read} octets could be read, not {wanted}")),
        }
    }

    pub(crate) fn check(&self, check: Check) -> Result<(), String> {
        if check == Check::NothingToAccept {
            return match self.backlog.len() {
                0 => Ok(()),
                many => Err(format!("{many} connections wait to be accepted")),
            };
        }
        let conn = self.current()?;
        let good = match check {
            Check::Connected => conn.opened,
            Check::Eof => conn.peer_closed,
            Check::NoError => matches!(conn.closed, None | Some(CloseReason::Finished)),
            Check::Error(failure) => conn.closed == Some(reason(failure)),
            _ => false,
        };
        if good {
            return Ok(());
        }
        Err(format!(
            "the connection is {}, {}, {}",
            if conn.opened { "open" } else { "not open" },
            match conn.peer_closed {
                true => "the peer has closed its side",
                false => "the peer has not closed its side",
            },
            match conn.closed {
                Some(reason) => format!("and it is over: {reason:?}"),
                None => "and it is not over".to_owned(),
            }
        ))
    }
}

fn reason(failure: Failure) -> CloseReason {
    match failure {
        Failure::Reset => CloseReason::Reset,
        Failure::Refused => CloseReason::Refused,
        Failure::TimedOut => CloseReason::TimedOut,
        Failure::Unreachable => CloseReason::Unreachable,
    }
}

/// The service.
pub(crate) struct Tester(pub(crate) Rc<RefCell<App>>);

impl Service for Tester {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        let mut app = self.0.borrow_mut();
        if let Some(known) = app.find(conn.id()) {
            known.opened = true;
            return;
        }
        let index = app.add(conn.id(), true);
        app.backlog.push_back(index);
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let mut app = self.0.borrow_mut();
        let Some(known) = app.find(conn.id()) else {
            return 0;
        };
        let taken = known.allowed.min(data.len() as u64);
        for (place, byte) in (known.read..).zip(&data[..taken as usize]) {
            if *byte != octet(place as i64) && known.wrong.is_none() {
                known.wrong = Some(place);
            }
        }
        known.allowed -= taken;
        known.read += taken;
        taken as usize
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        if let Some(known) = self.0.borrow_mut().find(conn.id()) {
            known.peer_closed = true;
        }
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, reason: CloseReason) {
        if let Some(known) = self.0.borrow_mut().find(conn.id()) {
            known.closed = Some(reason);
            known.soft = conn.soft_error();
        }
    }

    fn on_soft_error(&mut self, conn: &mut Context<'_>, error: SoftError) {
        if let Some(known) = self.0.borrow_mut().find(conn.id()) {
            known.soft = Some(error);
        }
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        let action = self.0.borrow_mut().actions.pop_front();
        let acted = action.is_some();
        if let Some(action) = action {
            action(shard);
        }
        acted
    }
}
