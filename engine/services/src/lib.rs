//! Services that ship with Byway, written against its public interface as a user would write them.
//!
//! | service | what it does | where it comes from |
//! |---|---|---|
//! | [`Echo`] | sends back what it receives | RFC 862 |
//! | [`Discard`] | throws away what it receives | RFC 863 |
//! | [`Chargen`] | sends a pattern of characters until the peer closes | RFC 864 |
//! | [`Http`] | answers HTTP/1.1 requests, for load tests | RFC 9110, RFC 9112 |
//!
//! Each counts what it does in a [`Tally`] that other threads can read.
#![forbid(unsafe_code)]

mod chargen;
mod discard;
mod echo;
mod http;
mod tally;

pub use chargen::Chargen;
pub use discard::Discard;
pub use echo::Echo;
pub use http::Http;
pub use tally::Tally;

use byway::Context;

/// Where a service writes: a connection, or a buffer in a test.
pub(crate) trait Sink {
    /// Appends what there is room for; returns how many octets that was.
    fn send(&mut self, data: &[u8]) -> usize;
}

impl Sink for Context<'_> {
    fn send(&mut self, data: &[u8]) -> usize {
        Context::send(self, data)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::Sink;

    /// A sink with room for so many octets.
    pub(crate) struct Buffer {
        pub(crate) bytes: Vec<u8>,
        pub(crate) room: usize,
    }

    impl Buffer {
        pub(crate) fn new(room: usize) -> Self {
            Self {
                bytes: Vec::new(),
                room,
            }
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8_lossy(&self.bytes).into_owned()
        }
    }

    impl Sink for Buffer {
        fn send(&mut self, data: &[u8]) -> usize {
            let taken = data.len().min(self.room);
            self.bytes.extend_from_slice(&data[..taken]);
            self.room -= taken;
            taken
        }
    }
}
