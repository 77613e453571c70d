//! Services: what runs in the loop, on the shard's own core, without locks.

use crate::context::Context;
use crate::icmp::SoftError;
use byway_tcp::effects::CloseReason;

/// What a connection does with its bytes. One value serves all connections of a shard that came
/// through the same listener or `connect`; per-connection state goes in [`Context::token_mut`].
///
/// Callbacks run inside the turn: they must not block. What they send leaves at the end of the turn.
pub trait Service {
    /// The shard starts turning; open connections here with [`Context::connect`].
    fn on_start(&mut self, _shard: &mut Context<'_>) {}

    /// A connection is established: accepted, or opened by [`Context::connect`].
    fn on_open(&mut self, _conn: &mut Context<'_>) {}

    /// Bytes in order. Returns how many were consumed; the rest is kept, closes the window, and is
    /// offered again with the next bytes, after `on_writable`, or after [`Context::resume`].
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize;

    /// The peer says that it has urgent data, or more than it had said; [`Context::urgent_left`] tells
    /// how much is to be read until its end. It comes in its place in the stream, by `on_data`.
    fn on_urgent(&mut self, _conn: &mut Context<'_>) {}

    /// There is room to send again, after a [`Context::send`] that took less than it was given.
    fn on_writable(&mut self, _conn: &mut Context<'_>) {}

    /// The peer will send no more. The default closes our direction as well.
    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        conn.shutdown();
    }

    /// Nothing was acknowledged although it was sent again three times by timeout: the peer may be
    /// gone, or the way to it. The connection goes on until what the configuration allows is used up.
    fn on_silence(&mut self, _conn: &mut Context<'_>) {}

    /// The network could not deliver a segment of this connection. It goes on all the same: what
    /// was lost is sent again. After a time-out [`Context::soft_error`] still tells the last one.
    fn on_soft_error(&mut self, _conn: &mut Context<'_>, _error: SoftError) {}

    /// The connection is gone; its id is no longer valid for anything but comparison.
    fn on_closed(&mut self, _conn: &mut Context<'_>, _reason: CloseReason) {}

    /// Once a turn, after all segments and timers; also when nothing arrived. `Context` has no
    /// current connection here. Returning true asks for another turn at once, without sleeping.
    fn on_turn(&mut self, _shard: &mut Context<'_>) -> bool {
        false
    }
}
