//! The control plane: one thread that keeps the shard's paths as the kernel would have them, and
//! finds the words for what the shard has to tell a person.

pub(crate) mod netlink;
mod resolver;
mod system;

use crate::notice::{Notice, Notices};
use byway_stack::mailbox::{self, MailboxHandle};
use netlink::{Change, Changes, Link, Netlink};
use resolver::Resolver;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use system::System;

/// How often the shard's queues are looked at; the shard itself never spends a system call on us.
const PERIOD: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};
/// Changes of routes come in flocks: this long after the first, all of them are looked at.
const SETTLE: Duration = Duration::from_millis(50);

/// The control plane of one shard, before it runs.
pub(crate) struct Control {
    changes: Changes,
    resolver: Resolver<System>,
    notices: Notices,
    interface: String,
    /// When the network is to be looked at again.
    network_due: Option<Instant>,
    /// Changes could not be read: said once.
    blind: bool,
}

impl Control {
    /// Subscribes to changes and gets ready to ask. `port_mtu` is the largest IP packet the port
    /// can carry.
    pub(crate) fn open(
        interface: &str,
        link: Link,
        port_mtu: u16,
        notices: Notices,
    ) -> io::Result<Self> {
        let changes = Changes::open()?;
        let system = System::new(Netlink::open()?, interface, link.index);
        Ok(Self {
            changes,
            resolver: Resolver::new(system, link, port_mtu),
            notices,
            interface: interface.to_owned(),
            network_due: None,
            blind: false,
        })
    }

    /// Serves the shard behind `mailbox` until `done`.
    pub(crate) fn run(mut self, mailbox: &MailboxHandle, done: &AtomicBool) {
        while !done.load(Ordering::Acquire) {
            let mut sources = [PollFd::new(&self.changes, PollFlags::IN)];
            // An interrupted or failed wait only means that the queues are looked at earlier.
            let _ = poll(&mut sources, Some(&PERIOD));
            self.turn(mailbox, Instant::now());
        }
        self.tell(mailbox);
    }

    fn turn(&mut self, mailbox: &MailboxHandle, now: Instant) {
        self.read_changes(now);
        while let Some(request) = mailbox.next_request() {
            self.resolver.ask(request, now);
        }
        if self.network_due.is_some_and(|due| due <= now) {
            self.network_due = None;
            self.look_at_network(now);
        }
        self.resolver.tick(now);
        while let Some(answer) = self.resolver.next_answer() {
            if let Err(answer) = mailbox.send(answer) {
                self.resolver.put_back(answer);
                break;
            }
        }
        self.tell(mailbox);
    }

    fn read_changes(&mut self, now: Instant) {
        let Self {
            changes,
            resolver,
            network_due,
            ..
        } = self;
        let read = changes.read(|change| match change {
            Change::Neighbour {
                interface,
                address,
                now,
            } => {
                resolver.neighbour_changed(interface, address, now);
            }
            Change::Network => {
                network_due.get_or_insert(now + SETTLE);
            }
        });
        if let Err(error) = read
            && !std::mem::replace(&mut self.blind, true)
        {
            self.notices.tell(Notice::ControlFailed {
                cause: error.to_string(),
            });
        }
    }

    fn look_at_network(&mut self, now: Instant) {
        let was_up = self.resolver.link().up;
        // A failure here is an interface that is gone, or a kernel out of memory: what is known
        // stays, and the next change is looked at again.
        let up = self.resolver.network_changed(now).is_ok() && self.resolver.link().up;
        if was_up && !up {
            self.notices.tell(Notice::LinkDown {
                interface: self.interface.clone(),
            });
        }
    }

    fn tell(&self, mailbox: &MailboxHandle) {
        while let Some(notice) = mailbox.next_notice() {
            match notice {
                mailbox::Notice::ChecksumsUnfilled => {
                    let interface = self.interface.clone();
                    self.notices.tell(Notice::ChecksumsUnfilled { interface });
                }
                mailbox::Notice::ServicePanicked(service) => {
                    self.notices.tell(Notice::ServicePanicked { service });
                }
                other => self.notices.tell(Notice::Other {
                    text: format!("{other:?}"),
                }),
            }
        }
    }
}
