//! The kernel as the peer: a script over a socket.

use crate::app::{App, Shared};
use byway_tcp::effects::CloseReason;
use byway_tcp::time::Instant;
use rustix::net::sockopt::set_socket_linger;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// Longest time that a read or a write may take.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// How long a side that may not read or send yet waits before it asks again.
const PAUSE: Duration = Duration::from_millis(2);

/// Follows a script over a kernel socket to its end, and closes it; the outcome is in the app.
///
/// # Panics
/// When the socket cannot be set up.
pub fn converse(stream: TcpStream, shared: &Shared) {
    let stream = &stream;
    stream.set_read_timeout(Some(STEP_LIMIT)).expect("a socket");
    stream
        .set_write_timeout(Some(STEP_LIMIT))
        .expect("a socket");
    let start = std::time::Instant::now();
    let now = || Instant::from_nanos(1 + start.elapsed().as_nanos() as u64);
    App::lock(shared).open(now());
    std::thread::scope(|scope| {
        scope.spawn(|| write(stream, shared));
        read(stream, shared, now);
    });
    let mut app = App::lock(shared);
    if app.outcome().peer_closed && app.wants_fin() {
        app.closed(CloseReason::Finished);
    }
}

fn read(stream: &TcpStream, shared: &Shared, now: impl Fn() -> Instant) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let wanted = App::lock(shared).may_read(now()).min(buffer.len());
        if wanted == 0 {
            std::thread::sleep(PAUSE);
            continue;
        }
        let result = (&*stream).read(&mut buffer[..wanted]);
        let mut app = App::lock(shared);
        match result {
            Ok(0) => return app.peer_closed(),
            Ok(len) => app.read(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return app.closed(CloseReason::Reset);
            }
            Err(_) => return app.closed(CloseReason::TimedOut),
        }
        if app.wants_reset() {
            // A socket that lingers for no time is reset when it is closed.
            set_socket_linger(stream, Some(Duration::ZERO)).expect("a socket");
            return app.closed(CloseReason::Aborted);
        }
    }
}

fn write(stream: &TcpStream, shared: &Shared) {
    loop {
        let part = {
            let app = App::lock(shared);
            if app.outcome().closed.is_some() {
                return;
            }
            if app.wants_fin() {
                // The peer may have reset the connection meanwhile, which the reader tells.
                stream.shutdown(Shutdown::Write).ok();
                return;
            }
            let unsent = app.unsent();
            unsent[..unsent.len().min(64 * 1024)].to_vec()
        };
        if part.is_empty() {
            std::thread::sleep(PAUSE);
            continue;
        }
        match (&*stream).write(&part) {
            Ok(taken) => App::lock(shared).sent(taken),
            // The kernel tells a reset once, to whoever asks first.
            Err(error) => {
                let reset = matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
                );
                let reason = if reset {
                    CloseReason::Reset
                } else {
                    CloseReason::TimedOut
                };
                return App::lock(shared).closed(reason);
            }
        }
    }
}
