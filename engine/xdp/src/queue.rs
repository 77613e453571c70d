//! One AF_XDP socket: the four rings of a receive queue.

use crate::config::{Mode, XdpConfig};
use crate::error::{SetupError, errno_of};
use crate::holder;
use crate::pool::Pool;
use byway_stack::port::{BURST, RxFrame};
use std::ffi::CString;
use std::os::fd::{AsRawFd, RawFd};
use std::thread::sleep;
use std::time::{Duration, Instant};
use xsk_rs::config::{BindFlags, Interface, LibxdpFlags, QueueSize, SocketConfig};
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

/// How long a queue may stay busy: the kernel lets go of one some ms after its owner left.
const BUSY_FOR: Duration = Duration::from_millis(500);
const BUSY_RETRY: Duration = Duration::from_millis(10);
/// Frames that one wake-up sends at most; 32 without this option (Linux 6.18).
const TX_BUDGET: u32 = 256;

pub(crate) struct Queue {
    rx: RxQueue,
    tx: TxQueue,
    fill: FillQueue,
    completion: CompQueue,
    tx_ring: u32,
    /// Chunks that the kernel has for this queue, and how many it should have.
    filling: u32,
    fill_target: u32,
    scratch: Box<[FrameDesc; BURST]>,
}

impl Queue {
    /// Binds a socket to a queue, waiting for a former owner to be gone.
    pub(crate) fn bind(
        config: &XdpConfig,
        mode: Mode,
        umem: &Umem,
        queue: u32,
        fill_target: u32,
    ) -> Result<Self, SetupError> {
        let deadline = Instant::now() + BUSY_FOR;
        loop {
            match bind_once(config, mode, umem, queue) {
                Ok((rx, tx, fill, completion)) => {
                    let fd = tx.fd().as_raw_fd();
                    close_on_exec(fd);
                    raise_tx_budget(fd, config.tx_ring);
                    return Ok(Self {
                        rx,
                        tx,
                        fill,
                        completion,
                        tx_ring: config.tx_ring,
                        filling: 0,
                        fill_target,
                        scratch: Box::new([FrameDesc::default(); BURST]),
                    });
                }
                Err(Some(libc::EBUSY)) if Instant::now() < deadline => sleep(BUSY_RETRY),
                Err(errno) => return Err(bind_failed(config, mode, queue, errno)),
            }
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.rx.fd().as_raw_fd()
    }

    /// Moves received frames into `burst`, up to its limit of `BURST`.
    pub(crate) fn receive(&mut self, pool: &mut Pool, burst: &mut Vec<RxFrame>) -> usize {
        let room = BURST.saturating_sub(burst.len());
        // SAFETY: the socket was made with this UMEM, the only one of the port.
        let count = unsafe { self.rx.consume(&mut self.scratch[..room]) };
        burst.extend(self.scratch[..count].iter().map(|desc| pool.received(desc)));
        self.filling -= count as u32;
        count
    }

    /// Tops the fill ring up, with at most `spare` chunks; returns how many it took.
    pub(crate) fn refill(&mut self, pool: &mut Pool, spare: usize) -> usize {
        let wanted = spare.min((self.fill_target - self.filling) as usize);
        if wanted == 0 {
            return 0;
        }
        // The kernel shows us a frame before it gives its slot of the fill ring free, so the ring
        // may be full although fewer chunks are out than it has slots.
        let room = self.fill.nb_free(wanted as u32) as usize;
        let mut taken = 0;
        while taken < wanted.min(room) {
            let most = (wanted.min(room) - taken).min(BURST);
            let chunks = std::iter::from_fn(|| pool.fill());
            let slots = self.scratch.iter_mut().take(most);
            let count = slots.zip(chunks).map(|(slot, desc)| *slot = desc).count();
            if count == 0 {
                break;
            }
            // SAFETY: the chunks are of the UMEM that the socket was made with, and in place
            // Filling: user space does not touch them until the receive ring returns them.
            let produced = unsafe { self.fill.produce(&self.scratch[..count]) };
            assert_eq!(produced, count, "only we fill the ring, and it had room");
            taken += count;
        }
        self.filling += taken as u32;
        taken
    }

    /// Puts frames in the transmit ring, as many as fit; returns how many, the first ones.
    pub(crate) fn send(&mut self, descs: &[FrameDesc]) -> usize {
        let room = self.tx.nb_free(descs.len() as u32) as usize;
        let count = room.min(descs.len());
        // SAFETY: the chunks are of the UMEM that the socket was made with, and in place Sending:
        // user space does not touch them until the completion ring returns them.
        let produced = unsafe { self.tx.produce(&descs[..count]) };
        assert_eq!(produced, count, "only we fill the ring, and it had room");
        count
    }

    /// Frames in the transmit ring that the kernel has not taken yet.
    pub(crate) fn unsent(&mut self) -> u32 {
        self.tx_ring - self.tx.nb_free_exact()
    }

    /// Takes back what was sent.
    pub(crate) fn reclaim(&mut self, pool: &mut Pool) {
        loop {
            // SAFETY: the socket was made with this UMEM, the only one of the port.
            let count = unsafe { self.completion.consume(&mut self.scratch[..]) };
            self.scratch[..count]
                .iter()
                .for_each(|desc| pool.completed(desc));
            if count < BURST {
                return;
            }
        }
    }

    /// The kernel sleeps and has to be told about frames to send.
    pub(crate) fn tx_needs_wakeup(&self) -> bool {
        self.tx.needs_wakeup()
    }

    /// The driver sleeps and has to be told about new chunks to receive into.
    pub(crate) fn fill_needs_wakeup(&self) -> bool {
        self.fill.needs_wakeup()
    }

    /// Tells the kernel to send. That it is busy or out of buffers is no error: the frames stay in
    /// the ring, and the next call sends them. Nor is there anything to do about an interface that
    /// went away.
    pub(crate) fn wake_tx(&self) {
        let _ = self.tx.wakeup();
    }

    /// Frames that the kernel dropped for want of a chunk or of a slot in the receive ring.
    pub(crate) fn dropped(&self) -> u64 {
        self.rx
            .fd()
            .xdp_statistics()
            .map_or(0, |s| s.rx_dropped() + s.rx_ring_full())
    }
}

type Rings = (RxQueue, TxQueue, FillQueue, CompQueue);

fn bind_once(
    config: &XdpConfig,
    mode: Mode,
    umem: &Umem,
    queue: u32,
) -> Result<Rings, Option<i32>> {
    let size = |slots| QueueSize::new(slots).map_err(|_| Some(libc::EINVAL));
    let copy = if mode == Mode::Zerocopy {
        BindFlags::XDP_ZEROCOPY
    } else {
        BindFlags::XDP_COPY
    };
    let socket = SocketConfig::builder()
        .rx_queue_size(size(config.rx_ring)?)
        .tx_queue_size(size(config.tx_ring)?)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(copy | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    let name = CString::new(config.interface.as_str()).map_err(|_| Some(libc::ENODEV))?;
    // SAFETY: the flag that this function asks for with a shared UMEM is set above.
    let made = unsafe { Socket::new(socket, umem, &Interface::new(name), queue) };
    match made {
        Ok((tx, rx, Some((fill, completion)))) => Ok((rx, tx, fill, completion)),
        // Rings of its own are missing only when this port has bound the queue already.
        Ok((_, _, None)) => Err(Some(libc::EBUSY)),
        Err(error) => Err(errno_of(&error)),
    }
}

fn bind_failed(config: &XdpConfig, mode: Mode, queue: u32, errno: Option<i32>) -> SetupError {
    let step = format!("bind {} queue {queue} ({mode})", config.interface);
    let Some(errno) = errno else {
        return SetupError::new(step, "the socket could not be made", "see `dmesg`");
    };
    let hint = match errno {
        libc::EBUSY => {
            return SetupError::os(
                step,
                errno,
                "stop the holder, or use another interface or queue",
            )
            .because(holder::describe(&config.interface));
        }
        libc::EOPNOTSUPP | libc::EINVAL if mode == Mode::Zerocopy => {
            "the driver has no zero-copy: use --mode native, generic or auto"
        }
        libc::EINVAL => "the queue must exist (`ethtool -l`) and ring sizes be powers of two",
        libc::ENETDOWN => "bring the interface up: `ip link set dev IF up`",
        libc::ENODEV => "the interface is gone: `ip link` lists those that exist",
        libc::EPERM | libc::EACCES => "AF_XDP sockets need CAP_NET_RAW and CAP_NET_ADMIN",
        libc::ENOBUFS | libc::ENOMEM => {
            "too little memory: fewer frames or smaller rings, or raise `ulimit -l`"
        }
        _ => "use --mode generic or auto",
    };
    SetupError::os(step, errno, hint)
}

/// libxdp makes its sockets without this flag, and a program started by this process would go on
/// holding the queue after we are gone. One that another thread starts while a port is being
/// opened still can: start programs before or after.
fn close_on_exec(fd: RawFd) {
    // SAFETY: the descriptor is open, and the call changes nothing but its flag.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

/// Lets one wake-up send more than 32 frames, where the kernel knows how.
fn raise_tx_budget(fd: RawFd, tx_ring: u32) {
    const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
    let budget = TX_BUDGET.min(tx_ring);
    // SAFETY: the option takes a u32, which outlives the call. A kernel that does not know the
    // option refuses, and `tx_commit` then needs more turns for a large burst.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_XDP,
            XDP_MAX_TX_SKB_BUDGET,
            (&raw const budget).cast(),
            size_of::<u32>() as libc::socklen_t,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{in_own_namespace, privileged};
    use xsk_rs::config::UmemConfig;

    #[test]
    fn full_rings_take_what_fits() {
        if !privileged("the rings of a queue") {
            return;
        }
        in_own_namespace(|| {
            let mut config = XdpConfig::new("lo");
            (config.rx_ring, config.fill_ring, config.tx_ring) = (64, 64, 64);
            let umem_config = UmemConfig::builder()
                .fill_queue_size(QueueSize::new(64).unwrap())
                .comp_queue_size(QueueSize::new(64).unwrap())
                .build()
                .unwrap();
            let (umem, descs) = Umem::new(umem_config, 512.try_into().unwrap(), false).unwrap();
            let mut pool = Pool::new(umem.clone(), descs, 4096);
            let mut queue = Queue::bind(&config, Mode::Generic, &umem, 0, 100).unwrap();
            assert_eq!(queue.refill(&mut pool, 10), 10);
            assert_eq!(queue.refill(&mut pool, 500), 54, "the ring is full");
            assert_eq!(queue.refill(&mut pool, 500), 0);
            assert_eq!(
                (pool.ledger().filling, pool.free()),
                (64, 448),
                "no chunk is lost"
            );

            let mut pushed: Vec<FrameDesc> = Vec::new();
            for _ in 0..100 {
                let frame = pool.allocate().unwrap();
                pool.send(frame, 60, &mut pushed);
            }
            assert_eq!(queue.send(&pushed), 64);
            assert_eq!(queue.unsent(), 64);
            assert_eq!(queue.send(&pushed[64..]), 0);
            let deadline = Instant::now() + Duration::from_secs(5);
            while pool.sending() > 36 && Instant::now() < deadline {
                queue.wake_tx();
                queue.reclaim(&mut pool);
            }
            assert_eq!(queue.send(&pushed[64..]), 36, "there is room again");
        });
    }
}
