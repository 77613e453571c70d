//! The steering program in the kernel: loaded, told what is ours, attached, counted.
//!
//! The layouts and the order of verdicts are those of `bpf/steer.h`.

use crate::config::{Mode, Steering};
use crate::error::{SetupError, errno_of};
use crate::holder;
use aya::maps::{Array, HashMap, MapData, MapError, PerCpuArray, XskMap};
use aya::programs::links::FdLink;
use aya::programs::{ProgramError, Xdp, XdpMode};
use aya::{Ebpf, EbpfLoader, Pod, include_bytes_aligned};
use byway_wire::{Address, Endpoint};
use std::collections::HashSet;
use std::hash::Hash;
use std::os::fd::AsRawFd;

static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/steer.bpf.o"));

/// What the program did with a frame; each has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// To the kernel: neither IPv4 nor IPv6.
    PassNotIp,
    /// To the kernel: IP, but neither TCP nor an ICMP error.
    PassNotTcp,
    /// To the kernel: TCP to an address and port that are not ours.
    PassNotOurs,
    /// To the kernel: ICMP that is no error about a flow of ours.
    PassIcmp,
    /// To the kernel: a fragment whose first one was not ours, or has not come yet.
    PassFragment,
    /// To the kernel: more IPv6 extension headers than are followed, or a route not at its end.
    PassExtension,
    /// To the kernel: the frame ends before its headers, or before the length they state.
    PassTruncated,
    /// To the kernel: headers that contradict themselves.
    PassMalformed,
    /// To us: TCP.
    RedirectTcp,
    /// To us: an ICMP error that quotes a flow of ours.
    RedirectIcmp,
    /// To us: a fragment of a TCP segment.
    RedirectFragment,
    /// Dropped: ours, but the queue it came in by has no socket. The kernel, which knows no such
    /// connection, would have answered with a reset.
    DropNoSocket,
}

impl Verdict {
    /// All, in the order of the counters.
    pub const ALL: [Verdict; 12] = [
        Self::PassNotIp,
        Self::PassNotTcp,
        Self::PassNotOurs,
        Self::PassIcmp,
        Self::PassFragment,
        Self::PassExtension,
        Self::PassTruncated,
        Self::PassMalformed,
        Self::RedirectTcp,
        Self::RedirectIcmp,
        Self::RedirectFragment,
        Self::DropNoSocket,
    ];

    /// The name of the counter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PassNotIp => "pass_not_ip",
            Self::PassNotTcp => "pass_not_tcp",
            Self::PassNotOurs => "pass_not_ours",
            Self::PassIcmp => "pass_icmp",
            Self::PassFragment => "pass_fragment",
            Self::PassExtension => "pass_extension",
            Self::PassTruncated => "pass_truncated",
            Self::PassMalformed => "pass_malformed",
            Self::RedirectTcp => "redirect_tcp",
            Self::RedirectIcmp => "redirect_icmp",
            Self::RedirectFragment => "redirect_fragment",
            Self::DropNoSocket => "drop_no_socket",
        }
    }
}

/// Frames by verdict since the program was attached, over all CPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SteerCounters([u64; Verdict::ALL.len()]);

impl SteerCounters {
    /// Frames with this verdict.
    pub const fn get(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize]
    }

    /// Names and counts.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Verdict::ALL
            .iter()
            .map(|verdict| (verdict.name(), self.get(*verdict)))
    }
}

/// `struct address`.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct AddressKey([u8; 16]);

/// `struct endpoint`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct EndpointKey {
    address: AddressKey,
    port: [u8; 2],
    zero: [u8; 2],
}

/// `struct rules`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Rules {
    ephemeral_first: u32,
    ephemeral_last: u32,
}

// SAFETY: an array of octets: no padding, every bit pattern valid.
unsafe impl Pod for AddressKey {}
// SAFETY: octets only, alignment 1, so no padding, and every bit pattern is valid.
unsafe impl Pod for EndpointKey {}
// SAFETY: two u32 in C layout: no padding, every bit pattern valid.
unsafe impl Pod for Rules {}

impl From<Address> for AddressKey {
    fn from(address: Address) -> Self {
        Self(*address.octets())
    }
}

impl From<Endpoint> for EndpointKey {
    fn from(endpoint: Endpoint) -> Self {
        Self {
            address: endpoint.address.into(),
            port: endpoint.port.to_be_bytes(),
            zero: [0; 2],
        }
    }
}

/// The loaded program. Dropping it detaches it; if the process dies, the kernel does.
pub(crate) struct Program {
    ebpf: Ebpf,
    sockets: XskMap<MapData>,
    listeners: HashMap<MapData, EndpointKey, u32>,
    local: HashMap<MapData, AddressKey, u32>,
    rules: Array<MapData, Rules>,
    verdicts: PerCpuArray<MapData, u64>,
    link: Option<FdLink>,
}

impl Program {
    /// Loads the program, for an interface with receive queues below `queues`.
    pub(crate) fn load(queues: u32) -> Result<Self, SetupError> {
        // The program needs no type of the running kernel, so its BTF need not be read (slow).
        let loaded = EbpfLoader::new()
            .btf(None)
            .map_max_entries("sockets", queues)
            .load(OBJECT);
        let mut ebpf = loaded.map_err(|error| load_failed(&error))?;
        let program: &mut Xdp = ebpf
            .program_mut("steer")
            .and_then(|program| program.try_into().ok())
            .expect("the object is built with this program");
        program.load().map_err(|error| load_failed(&error))?;
        let mut take = |name| {
            ebpf.take_map(name)
                .expect("the object is built with this map")
        };
        let (sockets, listeners, local) =
            (take("sockets"), take("listeners"), take("local_addresses"));
        let (rules, verdicts) = (take("steering"), take("verdicts"));
        let same = "the object is built with a map of this type";
        Ok(Self {
            sockets: XskMap::try_from(sockets).expect(same),
            listeners: HashMap::try_from(listeners).expect(same),
            local: HashMap::try_from(local).expect(same),
            rules: Array::try_from(rules).expect(same),
            verdicts: PerCpuArray::try_from(verdicts).expect(same),
            ebpf,
            link: None,
        })
    }

    /// Frames of ours on this queue go to this socket.
    pub(crate) fn set_socket(&mut self, queue: u32, fd: &impl AsRawFd) -> Result<(), SetupError> {
        self.sockets
            .set(queue, fd.as_raw_fd(), 0)
            .map_err(|error| map_failed(&format!("socket map, queue {queue}"), &error))
    }

    /// Makes these the rules. Frames that arrive meanwhile see some of the old and some of the new.
    pub(crate) fn steer(&mut self, steering: &Steering) -> Result<(), SetupError> {
        let step = "steering rules";
        let limits = [
            (
                "listening endpoints",
                steering.listen.len(),
                Steering::LISTENERS,
            ),
            ("local addresses", steering.local.len(), Steering::ADDRESSES),
        ];
        for (what, count, limit) in limits {
            if count > limit {
                let cause = format!("{count} {what}, at most {limit} fit");
                return Err(SetupError::new(
                    step,
                    cause,
                    "listen on 0.0.0.0 or :: instead",
                ));
            }
        }
        let rules = Rules {
            ephemeral_first: u32::from(*steering.ephemeral.start()),
            ephemeral_last: u32::from(*steering.ephemeral.end()),
        };
        let listen = steering
            .listen
            .iter()
            .map(|endpoint| EndpointKey::from(*endpoint))
            .collect();
        let local = steering
            .local
            .iter()
            .map(|ip| AddressKey::from(Address::from(*ip)))
            .collect();
        replace(&mut self.listeners, &listen)
            .and_then(|()| replace(&mut self.local, &local))
            .and_then(|()| self.rules.set(0, rules, 0))
            .map_err(|error| map_failed(step, &error))
    }

    /// Attaches the program by a link that dies with this process.
    pub(crate) fn attach(&mut self, name: &str, index: u32, mode: Mode) -> Result<(), SetupError> {
        let step = format!("attach to {name} ({mode})");
        let flags = if mode == Mode::Generic {
            XdpMode::Skb
        } else {
            XdpMode::Driver
        };
        let program = self.program_mut();
        let attached = program
            .attach_to_if_index(index, flags)
            .and_then(|id| program.take_link(id));
        let link = match attached {
            Ok(link) => link,
            Err(error) => return Err(attach_failed(step, name, &error)),
        };
        // A kernel that refuses the link makes the loader attach without one, and then nothing
        // would detach it after a kill. Dropping such an attachment undoes it.
        let link = FdLink::try_from(link).map_err(|_| {
            SetupError::new(
                step,
                "the kernel refused a bpf link",
                "try another --mode; links for XDP need Linux 5.9",
            )
        })?;
        self.link = Some(link);
        Ok(())
    }

    /// Frames by verdict.
    pub(crate) fn counters(&self) -> SteerCounters {
        let mut counters = SteerCounters::default();
        for (index, counter) in counters.0.iter_mut().enumerate() {
            let slots = self.verdicts.get(&(index as u32), 0);
            *counter = slots.map_or(0, |slots| slots.iter().sum());
        }
        counters
    }

    pub(crate) fn program_mut(&mut self) -> &mut Xdp {
        self.ebpf
            .program_mut("steer")
            .and_then(|program| program.try_into().ok())
            .expect("the object is built with this program")
    }
}

/// Makes `keys` the keys of the map; what stays is never absent.
fn replace<K: Pod + Eq + Hash>(
    map: &mut HashMap<MapData, K, u32>,
    keys: &HashSet<K>,
) -> Result<(), MapError> {
    let present: HashSet<K> = map.keys().collect::<Result<_, _>>()?;
    // The old ones first: in a map that is almost full they must make room.
    for gone in present.difference(keys) {
        map.remove(gone)?;
    }
    for new in keys.difference(&present) {
        map.insert(new, 1, 0)?;
    }
    Ok(())
}

fn load_failed(error: &(dyn std::error::Error + 'static)) -> SetupError {
    let hint = match errno_of(error) {
        Some(libc::EPERM | libc::EACCES) => {
            "loading needs root, or CAP_BPF and CAP_NET_ADMIN, outside a user namespace"
        }
        _ => "the steering program needs Linux 5.18 or later with CONFIG_BPF_SYSCALL",
    };
    failed("load the steering program", error, hint)
}

fn map_failed(step: &str, error: &MapError) -> SetupError {
    failed(
        step,
        error,
        "the kernel refused an entry of a map: see the cause",
    )
}

fn attach_failed(step: String, interface: &str, error: &ProgramError) -> SetupError {
    let errno = errno_of(error);
    let hint = match errno {
        Some(libc::EBUSY | libc::EEXIST) => {
            return failed(
                &step,
                error,
                "stop the holder, or detach its program: `ip link set dev IF xdp off`",
            )
            .because(holder::describe(interface));
        }
        Some(libc::EOPNOTSUPP) => "the driver runs no XDP programs: use --mode generic or auto",
        Some(libc::ERANGE | libc::EINVAL) => {
            "the driver refuses XDP at this MTU or with its offloads: lower the MTU, switch LRO \
             off, or use --mode generic"
        }
        Some(libc::EPERM | libc::EACCES) => "attaching needs CAP_NET_ADMIN over the interface",
        _ => "use --mode generic or auto",
    };
    failed(&step, error, hint)
}

fn failed(step: &str, error: &(dyn std::error::Error + 'static), hint: &str) -> SetupError {
    match errno_of(error) {
        Some(errno) => SetupError::os(step, errno, hint),
        // The verifier's log is many lines; the cause is one.
        None => {
            let text = error.to_string();
            SetupError::new(step, text.lines().next().unwrap_or("failed"), hint)
        }
    }
}

#[cfg(test)]
#[path = "program_tests.rs"]
mod tests;
