//! Opening a port: the checks, the modes in order, the pieces.

use crate::capability;
use crate::config::{Mode, Opened, XdpConfig};
use crate::error::{SetupError, errno_of};
use crate::interface::Interface;
use crate::pool::{HEADROOM, Pool};
use crate::port::XdpPort;
use crate::program::Program;
use crate::queue::Queue;
use crate::sleep::Sleeper;
use byway_stack::port::BURST;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use xsk_rs::Umem;
use xsk_rs::config::{FrameSize, QueueSize, UmemConfig};

/// Ethernet header and two VLAN tags.
const LINK_HEADER: u32 = 14 + 4 + 4;
/// Sizes of a chunk that the kernel takes, and so the sizes of frame there can be.
const CHUNKS: [u32; 2] = [2048, 4096];
const MAX_MTU: u32 = CHUNKS[1] - HEADROOM - LINK_HEADER;
/// Memory for a burst in each direction is the least that moves anything.
const MIN_FRAMES: u32 = 4 * BURST as u32;

pub(crate) fn open(config: &XdpConfig) -> Result<(XdpPort, Opened), SetupError> {
    capability::check()?;
    check_kernel()?;
    let interface = Interface::query(&config.interface)?;
    let plan = Plan::new(config, &interface)?;
    let mut fallbacks = Vec::new();
    let candidates = config.mode.candidates();
    for (index, &mode) in candidates.iter().enumerate() {
        let failed = match attempt(config, &interface, &plan, mode) {
            Ok(port) => return Ok((port, plan.opened(&interface, mode, fallbacks))),
            Err(error) => error,
        };
        match candidates.get(index + 1) {
            Some(next) if !failed.is_final() => {
                fallbacks.push(format!("{mode} is not possible ({failed}), trying {next}"));
            }
            _ => return Err(failed),
        }
    }
    unreachable!("the last candidate returns")
}

/// Opens in one mode. The program is attached last, so that the first frame finds its rules, its
/// socket, and a chunk to go into.
fn attempt(
    config: &XdpConfig,
    interface: &Interface,
    plan: &Plan,
    mode: Mode,
) -> Result<XdpPort, SetupError> {
    let (queues, pool) = plan.sockets(config, mode)?;
    let sleeper = Sleeper::new(queues.iter().map(Queue::fd)).map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(libc::EIO);
        SetupError::os("eventfd", errno, "too many open files: raise `ulimit -n`")
    })?;
    let mut program = Program::load(interface.queues)?;
    program.steer(&config.steering)?;
    for (id, queue) in plan.queues.clone().zip(&queues) {
        program.set_socket(id, &queue.fd())?;
    }
    let mut port = XdpPort {
        program,
        queues,
        pool,
        sleeper,
        pushed: Vec::with_capacity(config.tx_ring as usize),
        tx_ring: config.tx_ring,
        allocated: 0,
        tx_reserve: plan.tx_reserve as usize,
        next_queue: 0,
        rx: 0,
        tx: 0,
        tx_wakeups: 0,
    };
    port.refill();
    port.program
        .attach(&interface.name, interface.index, mode)?;
    Ok(port)
}

/// A kernel without AF_XDP says so when asked for a socket.
fn check_kernel() -> Result<(), SetupError> {
    let family = AddressFamily::from_raw(libc::AF_XDP as _);
    match socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, None) {
        Ok(_) => Ok(()),
        Err(errno) => {
            let errno = errno.raw_os_error();
            let hint = match errno {
                libc::EAFNOSUPPORT => "the kernel has no AF_XDP: it needs CONFIG_XDP_SOCKETS",
                libc::EPERM | libc::EACCES => "AF_XDP sockets need CAP_NET_RAW",
                libc::EMFILE | libc::ENFILE => "too many open files: raise `ulimit -n`",
                _ => "AF_XDP must be allowed here: see the cause",
            };
            Err(SetupError::os("AF_XDP socket", errno, hint))
        }
    }
}

/// The sizes that follow from what was asked for and what the interface is.
struct Plan {
    queues: RangeInclusive<u32>,
    chunk_size: u32,
    frames: NonZeroU32,
    fill_target: u32,
    tx_reserve: u32,
}

impl Plan {
    fn new(config: &XdpConfig, interface: &Interface) -> Result<Self, SetupError> {
        let name = &interface.name;
        if !interface.up {
            return Err(SetupError::os(
                format!("interface {name}"),
                libc::ENETDOWN,
                format!("bring it up: `ip link set dev {name} up`"),
            ));
        }
        let needed = interface.mtu.saturating_add(LINK_HEADER + HEADROOM);
        let Some(chunk_size) = CHUNKS.into_iter().find(|size| *size >= needed) else {
            return Err(SetupError::new(
                format!("interface {name}"),
                format!(
                    "its MTU of {} is above {MAX_MTU}, the most for a frame",
                    interface.mtu
                ),
                format!("`ip link set dev {name} mtu {MAX_MTU}`, or lower, on both ends"),
            ));
        };
        let all = 0..=interface.queues - 1;
        let queues = config.queues.clone().unwrap_or_else(|| all.clone());
        if queues.is_empty() || queues.end() > all.end() {
            return Err(SetupError::new(
                format!("queues {}-{} of {name}", queues.start(), queues.end()),
                format!("the interface has queues 0-{}", all.end()),
                "`ethtool -l` shows the queues of an interface",
            ));
        }
        check_sizes(config)?;
        let count = queues.end() - queues.start() + 1;
        let frames = config.frames.max(MIN_FRAMES);
        let tx_reserve = config.tx_ring.min(frames / 4);
        let fill_target = config.fill_ring.min((frames - tx_reserve) / count);
        if fill_target == 0 {
            return Err(SetupError::new(
                "frames",
                format!("{frames} are too few for {count} queues"),
                "ask for more frames, or for fewer queues",
            ));
        }
        let frames = NonZeroU32::new(frames).expect("at least MIN_FRAMES");
        Ok(Self {
            queues,
            chunk_size,
            frames,
            fill_target,
            tx_reserve,
        })
    }

    /// The memory, and a socket for each queue.
    fn sockets(&self, config: &XdpConfig, mode: Mode) -> Result<(Vec<Queue>, Pool), SetupError> {
        let invalid = |cause: &dyn std::fmt::Display| {
            SetupError::new("memory for frames", cause.to_string(), "see the cause")
        };
        let umem_config = UmemConfig::builder()
            .frame_size(FrameSize::new(self.chunk_size).map_err(|error| invalid(&error))?)
            .fill_queue_size(QueueSize::new(config.fill_ring).map_err(|error| invalid(&error))?)
            .comp_queue_size(QueueSize::new(config.tx_ring).map_err(|error| invalid(&error))?)
            .build()
            .map_err(|error| invalid(&error))?;
        let (umem, descs) = Umem::new(umem_config, self.frames, false).map_err(|error| {
            let step = format!(
                "memory for {} frames of {} octets",
                self.frames, self.chunk_size
            );
            let hint = "fewer frames, or raise `ulimit -l`, or grant CAP_IPC_LOCK";
            match errno_of(&error) {
                Some(errno) => SetupError::os(step, errno, hint),
                None => SetupError::new(step, error.to_string(), hint),
            }
        })?;
        let pool = Pool::new(umem, descs, self.chunk_size as usize);
        let queues = self
            .queues
            .clone()
            .map(|queue| Queue::bind(config, mode, pool.umem(), queue, self.fill_target))
            .collect::<Result<_, _>>()?;
        Ok((queues, pool))
    }

    fn opened(&self, interface: &Interface, mode: Mode, fallbacks: Vec<String>) -> Opened {
        Opened {
            mode,
            fallbacks,
            queues: self.queues.clone(),
            mtu: interface.mtu,
            mac: interface.mac,
            ifindex: interface.index,
            chunk_size: self.chunk_size,
            frames: self.frames.get(),
        }
    }
}

/// Rings are powers of two, and not beyond reason.
fn check_sizes(config: &XdpConfig) -> Result<(), SetupError> {
    /// As many as the kernel can index with room to spare.
    const MOST: u32 = 1 << 20;
    let rings = [
        ("receive", config.rx_ring),
        ("fill", config.fill_ring),
        ("transmit", config.tx_ring),
    ];
    for (name, slots) in rings {
        if !slots.is_power_of_two() || !(BURST as u32..=MOST).contains(&slots) {
            return Err(SetupError::new(
                "ring sizes",
                format!("a {name} ring cannot have {slots} slots"),
                format!("a power of two from {BURST} to {MOST}"),
            ));
        }
    }
    if config.frames > MOST {
        return Err(SetupError::new(
            "frames",
            format!("{} are too many", config.frames),
            format!("{MOST} at most"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(mtu: u32) -> Interface {
        Interface {
            name: "x0".into(),
            index: 9,
            up: true,
            mtu,
            queues: 2,
            ..Default::default()
        }
    }

    #[test]
    fn the_chunk_follows_the_mtu() {
        let config = XdpConfig::new("x0");
        let size = |mtu| Plan::new(&config, &interface(mtu)).map(|plan| plan.chunk_size);
        assert_eq!(size(1500).unwrap(), 2048);
        assert_eq!(size(1770).unwrap(), 2048);
        assert_eq!(size(1771).unwrap(), 4096);
        assert_eq!(size(3818).unwrap(), 4096);
        let error = size(3819).unwrap_err();
        assert!(error.to_string().contains("3818") && error.hint().contains("mtu 3818"));
        assert!(size(u32::MAX).is_err());
    }

    #[test]
    fn chunks_are_left_for_sending() {
        let mut config = XdpConfig::new("x0");
        let plan = Plan::new(&config, &interface(1500)).unwrap();
        assert_eq!(
            (plan.queues, plan.fill_target, plan.tx_reserve),
            (0..=1, 6144, 4096)
        );
        config.queues = Some(1..=1);
        let plan = Plan::new(&config, &interface(1500)).unwrap();
        assert_eq!((plan.queues, plan.fill_target), (1..=1, 8192));
        config.frames = 0;
        let plan = Plan::new(&config, &interface(1500)).unwrap();
        assert_eq!(
            (plan.frames.get(), plan.fill_target, plan.tx_reserve),
            (256, 192, 64)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_remedy() {
        let refused = |change: &dyn Fn(&mut XdpConfig, &mut Interface)| {
            let (mut config, mut interface) = (XdpConfig::new("x0"), interface(1500));
            change(&mut config, &mut interface);
            let error = Plan::new(&config, &interface).err().expect("refused");
            assert!(!error.hint().is_empty());
            error.to_string()
        };
        assert!(refused(&|_, i| i.up = false).contains("Network is down"));
        assert!(refused(&|c, _| c.queues = Some(1..=2)).contains("has queues 0-1"));
        assert!(refused(&|c, _| c.rx_ring = 1000).contains("1000 slots"));
        assert!(refused(&|c, _| c.fill_ring = 32).contains("32 slots"));
        assert!(refused(&|c, _| c.tx_ring = 0).contains("0 slots"));
        assert!(refused(&|c, _| c.frames = 1 << 30).contains("too many"));
    }
}
