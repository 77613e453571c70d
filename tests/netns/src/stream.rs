//! Byte streams over the kernel's sockets, from inside the client's namespace.

use byway_lab::{Lab, SERVER};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Longest wait for any one step: a connection, a read, a write.
pub const STEP_LIMIT: Duration = Duration::from_secs(10);

/// The server's address of each family, with this port.
pub fn tcp_endpoints(port: u16) -> [SocketAddr; 2] {
    [IpAddr::V4(SERVER.v4), IpAddr::V6(SERVER.v6)].map(|address| SocketAddr::new(address, port))
}

/// Opens a connection from the client's namespace, with limits on every later step.
///
/// # Errors
/// What the kernel says: refused, timed out.
///
/// # Panics
/// When the namespace cannot be entered.
pub fn connect(lab: &Lab, to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = lab
        .client()
        .run(|| TcpStream::connect_timeout(&to, STEP_LIMIT))
        .expect("the client's namespace is there")?;
    stream.set_read_timeout(Some(STEP_LIMIT))?;
    stream.set_write_timeout(Some(STEP_LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Bytes that look random and can be made again from the seed.
#[derive(Clone, Debug)]
pub struct Pattern(u64);

impl Pattern {
    /// The pattern of this seed.
    pub fn new(seed: u64) -> Self {
        // xorshift stays at zero for ever.
        Self(seed.max(1))
    }

    /// Fills the buffer with the next bytes.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            for (to, from) in chunk.iter_mut().zip(self.0.to_le_bytes()) {
                *to = from;
            }
        }
    }
}

/// Sends `len` random bytes, closes that direction, and compares what comes back byte for byte.
/// Returns how long it took.
///
/// # Panics
/// When a step takes too long, or a byte differs, or is missing, or is too many.
pub fn echo_pattern(stream: &TcpStream, len: usize, seed: u64) -> Duration {
    const CHUNK: usize = 64 * 1024;
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut pattern = Pattern::new(seed);
            let mut buffer = [0; CHUNK];
            for at in (0..len).step_by(CHUNK) {
                let part = &mut buffer[..CHUNK.min(len - at)];
                pattern.fill(part);
                (&*stream)
                    .write_all(part)
                    .unwrap_or_else(|error| panic!("sending at {at}: {error}"));
            }
            stream
                .shutdown(Shutdown::Write)
                .expect("the connection is open");
        });
        let mut pattern = Pattern::new(seed);
        let (mut expected, mut received) = ([0; CHUNK], [0; CHUNK]);
        for at in (0..len).step_by(CHUNK) {
            let size = CHUNK.min(len - at);
            pattern.fill(&mut expected[..size]);
            (&*stream)
                .read_exact(&mut received[..size])
                .unwrap_or_else(|error| panic!("receiving at {at} of {len}: {error}"));
            assert!(
                expected[..size] == received[..size],
                "bytes differ behind {at}"
            );
        }
        let rest = (&*stream)
            .read(&mut received)
            .expect("a close, not a reset");
        assert_eq!(rest, 0, "more bytes came back than were sent");
    });
    start.elapsed()
}
