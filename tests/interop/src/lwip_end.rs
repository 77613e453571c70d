//! lwIP as the peer, in real time: it reads the machine's clock and cannot be given another.
//!
//! Its state is global, so there is one at a time in a process. The crate that wraps it takes
//! connections and does not open any.

use crate::app::{App, Shared};
use crate::wire::{IpWire, Seen};
use crate::world::Peer;
use byway_stack::clock::{Clock, MonotonicClock};
use byway_stack::port::PortStats;
use byway_tcp::effects::CloseReason;
use byway_tcp::time::{Duration, Instant};
use futures::{Sink, Stream};
use lwip::{NetStack, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;

/// There is one lwIP in a process.
static ONLY: Mutex<()> = Mutex::new(());

/// How often lwIP looks at its timers, at the least.
const TICK: Duration = Duration::from_millis(50);
/// Packets that wait between lwIP and the wire; beyond it, they are lost.
const PACKETS: usize = 4096;

/// lwIP with one connection that follows a script.
pub struct LwipPeer {
    clock: MonotonicClock,
    wire: IpWire<MonotonicClock>,
    // Dropped in this order: the stream and the listener are lwIP's, whose timers the runtime has.
    stream: Option<TcpStream>,
    listener: TcpListener,
    stack: NetStack,
    runtime: Runtime,
    app: Shared,
    said_fin: bool,
    _only: MutexGuard<'static, ()>,
}

impl LwipPeer {
    /// lwIP at the far end of a wire, accepting connections at every address and port. Waits until
    /// another one in this process is gone.
    ///
    /// # Panics
    /// When lwIP cannot be set up.
    pub fn new(wire: IpWire<MonotonicClock>, clock: MonotonicClock, app: Shared) -> Self {
        let only = ONLY.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime can be made");
        let (stack, listener, _udp) = {
            let _inside = runtime.enter();
            NetStack::with_buffer_size(PACKETS, 1).expect("lwIP can be set up")
        };
        Self {
            clock,
            wire,
            stream: None,
            listener,
            stack,
            runtime,
            app,
            said_fin: false,
            _only: only,
        }
    }

    /// Moves packets between the wire and lwIP.
    fn forward(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.wire.seen().packets;
        while let Some(packet) = self.wire.receive() {
            // lwIP refuses what it cannot parse; the network may damage as it likes.
            let mut stack = Pin::new(&mut self.stack);
            let _ = stack.as_mut().start_send(packet);
            let _ = stack.as_mut().poll_flush(context);
        }
        while let Poll::Ready(Some(Ok(packet))) = Pin::new(&mut self.stack).poll_next(context) {
            self.wire.send(&packet);
        }
        self.wire.flush();
        self.wire.seen().packets != before
    }

    /// Lets the script act on the connection.
    fn talk(&mut self, context: &mut Context<'_>) -> bool {
        let now = self.clock.now();
        let mut app = App::lock(&self.app);
        if self.stream.is_none()
            && !app.is_open()
            && app.outcome().closed.is_none()
            && let Poll::Ready(Some((stream, _, _))) =
                Pin::new(&mut self.listener).poll_next(context)
        {
            self.stream = Some(stream);
            app.open(now);
        }
        let Some(stream) = &mut self.stream else {
            return false;
        };
        let mut acted = read(stream, &mut app, now, context);
        if app.outcome().closed.is_some() || app.wants_reset() {
            // A stream that is dropped before its direction is closed is reset.
            app.closed(CloseReason::Aborted);
            self.stream = None;
            return true;
        }
        while !app.unsent().is_empty()
            && let Poll::Ready(Ok(taken)) = Pin::new(&mut *stream).poll_write(context, app.unsent())
        {
            app.sent(taken);
            acted = true;
        }
        if app.wants_fin() && !self.said_fin {
            self.said_fin = Pin::new(&mut *stream).poll_shutdown(context).is_ready();
            acted |= self.said_fin;
        }
        if self.said_fin && app.outcome().peer_closed {
            app.closed(CloseReason::Finished);
            self.stream = None;
            acted = true;
        }
        acted
    }
}

/// Reads what the script wants to; true when there was something.
///
/// The crate loses a FIN that one read brings together with octets. A read without room moves one
/// message of lwIP, octets or the FIN, to where the next read finds it; when that finds nothing, it
/// was the FIN.
fn read(stream: &mut TcpStream, app: &mut App, now: Instant, context: &mut Context<'_>) -> bool {
    let mut acted = false;
    let mut memory = [0; 4096];
    let mut stream = Pin::new(stream);
    while !app.outcome().peer_closed {
        let wanted = app.may_read(now).min(memory.len());
        if wanted == 0 {
            break;
        }
        match stream
            .as_mut()
            .poll_read(context, &mut ReadBuf::new(&mut []))
        {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => {
                app.closed(CloseReason::Reset);
                return true;
            }
            Poll::Pending => break,
        }
        let mut buffer = ReadBuf::new(&mut memory[..wanted]);
        match stream.as_mut().poll_read(context, &mut buffer) {
            Poll::Ready(_) => app.read(buffer.filled()),
            Poll::Pending => app.peer_closed(),
        }
        acted = true;
    }
    acted
}

impl Peer for LwipPeer {
    fn poll(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        // lwIP's timers are a task of the runtime.
        self.runtime
            .block_on(async { tokio::task::yield_now().await });
        let acted = self.forward(&mut context) | self.talk(&mut context);
        acted | self.forward(&mut context)
    }

    fn next_due(&mut self) -> Instant {
        let now = self.clock.now();
        let reads = App::lock(&self.app).next_read(now);
        (now + TICK).min(self.wire.next_due()).min(reads)
    }

    fn seen(&self) -> Seen {
        self.wire.seen()
    }

    fn stats(&self) -> PortStats {
        self.wire.stats()
    }
}
