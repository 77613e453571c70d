//! A tiny responder for load tests.

mod date;
mod exchange;
mod request;
mod response;

use crate::Tally;
use byway::{CloseReason, Context, Service};
use date::Date;
use exchange::{Exchange, Shared, Verdict};

/// Answers HTTP/1.1 and HTTP/1.0 requests (RFC 9110, RFC 9112), for load tests.
///
/// `GET /` gives a line of text, `GET /bytes/N` N generated octets, up to 1 GiB; `HEAD` of both;
/// everything else is 404 or 405. Connections are kept alive, requests may be pipelined. A head has
/// 8 KiB and 64 fields at most (431); what is not HTTP is 400, and the connection is closed.
///
/// There is no time limit for idle connections and slow requests: this is no server for the world.
#[derive(Debug)]
pub struct Http {
    tally: Tally,
    date: Date,
    /// The token of a connection is its place here, plus one.
    exchanges: Vec<Exchange>,
    free: Vec<u32>,
}

impl Http {
    /// A responder that counts in `tally`.
    pub fn new(tally: Tally) -> Self {
        Self {
            tally,
            date: Date::new(),
            exchanges: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Calls `act` on the current connection's exchange, then does what the exchange asks for.
    fn with<R: Default>(
        &mut self,
        conn: &mut Context<'_>,
        act: impl FnOnce(&mut Exchange, &mut Context<'_>, &mut Shared<'_>) -> R,
    ) -> R {
        let Some(exchange) =
            slot(*conn.token_mut()).and_then(|place| self.exchanges.get_mut(place))
        else {
            return R::default();
        };
        let now = conn.now();
        let mut shared = Shared {
            tally: &self.tally,
            date: &mut self.date,
            now,
        };
        let result = act(exchange, conn, &mut shared);
        match exchange.verdict() {
            Verdict::Stay => {}
            Verdict::Close => conn.close(),
            Verdict::Shutdown => conn.shutdown(),
            Verdict::Abort => conn.abort(),
        }
        result
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new(Tally::default())
    }
}

/// The place that a token names; zero is the token of a connection that never opened.
fn slot(token: u64) -> Option<usize> {
    token.checked_sub(1).map(|place| place as usize)
}

impl Service for Http {
    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.tally.opened();
        let place = self.free.pop().unwrap_or_else(|| {
            self.exchanges.push(Exchange::default());
            self.exchanges.len() as u32 - 1
        });
        *conn.token_mut() = u64::from(place) + 1;
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        self.with(conn, |exchange, conn, shared| {
            exchange.on_data(data, conn, shared)
        })
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        self.with(conn, |exchange, conn, shared| {
            exchange.on_writable(conn, shared)
        });
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        self.with(conn, |exchange, _, _| exchange.on_peer_closed());
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, _reason: CloseReason) {
        self.tally.ended();
        if let Some(place) = slot(*conn.token_mut())
            && let Some(exchange) = self.exchanges.get_mut(place)
        {
            exchange.reset();
            self.free.push(place as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zero_token_names_nothing() {
        assert_eq!(slot(0), None);
        assert_eq!(slot(1), Some(0));
    }
}
