//! One end of the wire: an interface and its sockets.

use crate::capture::Capture;
use crate::error::WireError;
use crate::lane::Lane;
use crate::notice::Notice;
use byway_sys::packet::{Inbox, Interface, Receiver, Sender};
use rustix::io::Errno;
use rustix::net::netdevice::index_to_name;
use std::path::Path;

/// An interface of the wire.
#[derive(Debug)]
pub(crate) struct Side {
    pub(crate) name: String,
    index: u32,
    /// Octets of the largest packet that leaves here.
    pub(crate) mtu: usize,
    pub(crate) receiver: Receiver,
    pub(crate) sender: Sender,
    pub(crate) capture: Option<Capture>,
    down: bool,
}

impl Side {
    pub(crate) fn open(name: &str, capture: Option<&Path>) -> Result<Self, WireError> {
        let fail = |error| WireError::interface("interface", name, &error);
        let interface = Interface::query(name).map_err(fail)?;
        let socket_fail = |error| WireError::interface("packet socket on", name, &error);
        Ok(Self {
            name: name.to_owned(),
            index: interface.index,
            mtu: interface.mtu as usize,
            sender: Sender::open(interface.index).map_err(socket_fail)?,
            receiver: Receiver::open(interface.index).map_err(socket_fail)?,
            capture: capture.map(Capture::create).transpose()?,
            down: false,
        })
    }

    /// Takes what waits, for `lane`; zero when nothing does.
    pub(crate) fn receive(
        &mut self,
        inbox: &mut Inbox,
        lane: &mut Lane,
        tell: &mut dyn FnMut(&Notice),
    ) -> Result<usize, WireError> {
        let error = match inbox.receive(&self.receiver) {
            Ok(count) => {
                self.down &= count == 0;
                return Ok(count);
            }
            Err(error) => error,
        };
        match Errno::from_io_error(&error) {
            // Said once; nothing comes until the interface is up again, or it is gone for good.
            Some(Errno::NETDOWN) => {
                self.down = true;
                let interface = self.name.clone();
                tell(&Notice::LinkDown { interface });
            }
            // A packet that the kernel has no description for; the next one waits already.
            Some(Errno::INVAL) => lane.undescribed(),
            Some(Errno::INTR) => {}
            _ => return Err(WireError::interface("receive from", &self.name, &error)),
        }
        Ok(0)
    }

    /// An interface that went down may come back up; one that was removed does not.
    pub(crate) fn check_presence(&self) -> Result<(), WireError> {
        if !self.down || index_to_name(&self.receiver, self.index).is_ok() {
            return Ok(());
        }
        let gone = std::io::Error::from(Errno::NODEV);
        Err(WireError::interface("interface", &self.name, &gone))
    }

    /// Frames that the kernel dropped because nobody read them in time, since the last call.
    pub(crate) fn missed(&self) -> u64 {
        // A socket that is open answers; were it not so, other errors would have said so.
        self.receiver.take_drops().unwrap_or(0)
    }
}
