//! Where a measurement takes place: a lab of our own, or an address that the user gave.

use crate::environment::{Interface, TcpSettings};
use crate::error::BenchError;
use crate::generator::Sources;
use crate::result;
use crate::scenario::{Cell, Scenario};
use byway_lab::{CLIENT, End, ErrorKind, LabGuard, Offloads, Options, SERVER};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

/// The port of every target in the lab.
const PORT: u16 = 7000;
/// Where the connections of `crr` come from: a network for benchmarks (RFC 2544). A source address
/// and port come back after 15 million connections, which takes longer than TIME-WAIT.
const SOURCES: Sources = Sources {
    first: Ipv4Addr::new(198, 18, 0, 1),
    count: 254,
};
/// The /24 that they are of.
const SOURCES_NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// The place, and how its interfaces are set at the moment.
pub(crate) enum Bed {
    /// Namespaces that vanish with this value.
    Lab {
        /// The namespaces.
        lab: LabGuard,
        /// Offloads of the client's and the server's interface.
        offloads: (Offloads, Offloads),
        /// Addresses that connections come from, when it is not the client's own.
        sources: Option<Sources>,
    },
    /// The network that this process is in.
    Here {
        /// Where the server is.
        address: SocketAddr,
        /// The interface towards it, for the AF_XDP generator.
        interface: Option<String>,
        /// Addresses that connections come from, when it is not the client's own.
        sources: Option<Sources>,
    },
}

/// Tells the server's kernel the way to [`SOURCES`], with the congestion control of the lab.
fn route_sources(lab: &LabGuard) -> Result<(), BenchError> {
    let network = format!("{SOURCES_NETWORK}/24");
    let gateway = CLIENT.v4.to_string();
    let said = lab
        .server()
        .command("ip")
        .args(["route", "replace", &network, "via", &gateway])
        .args(["congctl", "cubic"])
        .output()
        .map_err(BenchError::io("starting ip"))?;
    match said.status.success() {
        true => Ok(()),
        false => Err(BenchError::Failed(format!(
            "ip route replace {network}: {}",
            String::from_utf8_lossy(&said.stderr).trim()
        ))),
    }
}

impl From<byway_lab::Error> for BenchError {
    fn from(error: byway_lab::Error) -> Self {
        match error.kind() {
            ErrorKind::Failed => Self::Failed(format!("{error}\n  hint: {}", error.hint())),
            _ => Self::Preflight {
                what: error.to_string(),
                hint: error.hint().to_owned(),
            },
        }
    }
}

impl Bed {
    /// Makes a lab under a name of its own. `crr` gets source addresses behind the client, which is
    /// their router as far as the server knows: it must look for no neighbour but the client.
    pub(crate) fn lab(scenario: Scenario) -> Result<Self, BenchError> {
        let options = Options::default();
        let offloads = (options.client, options.server);
        let lab = LabGuard::up("bw-bench-", &options)?;
        let sources = match scenario {
            Scenario::Rr => None,
            Scenario::Crr => {
                route_sources(&lab)?;
                Some(SOURCES)
            }
        };
        Ok(Self::Lab {
            lab,
            offloads,
            sources,
        })
    }

    /// Addresses that connections come from, when it is not the client's own.
    pub(crate) fn sources(&self) -> Option<Sources> {
        match self {
            Self::Lab { sources, .. } | Self::Here { sources, .. } => *sources,
        }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Lab { .. } => SocketAddr::from((SERVER.v4, PORT)),
            Self::Here { address, .. } => *address,
        }
    }

    /// The interface of the server, where it is ours.
    pub(crate) fn server_interface(&self) -> Option<&str> {
        matches!(self, Self::Lab { .. }).then_some(SERVER.interface)
    }

    /// The interface of the client, where it is known.
    pub(crate) fn client_interface(&self) -> Option<&str> {
        match self {
            Self::Lab { .. } => Some(CLIENT.interface),
            Self::Here { interface, .. } => interface.as_deref(),
        }
    }

    /// A command that runs where the server is.
    pub(crate) fn at_server(&self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Lab { lab, .. } => lab.server().command(program.as_ref()),
            Self::Here { .. } => Command::new(program.as_ref()),
        }
    }

    /// A command that runs where the load comes from.
    pub(crate) fn at_client(&self, program: impl AsRef<Path>) -> Command {
        match self {
            Self::Lab { lab, .. } => lab.client().command(program.as_ref()),
            Self::Here { .. } => Command::new(program.as_ref()),
        }
    }

    /// Sets the interfaces as the cell needs them: a side that faces AF_XDP must send complete
    /// frames, every other keeps the kernel's defaults, which are the best for Linux. Returns how
    /// they are set.
    pub(crate) fn prepare(&mut self, cell: &Cell) -> Result<Option<result::Offloads>, BenchError> {
        let Self::Lab { lab, offloads, .. } = self else {
            return Ok(None);
        };
        let facing = |xdp: bool| {
            if xdp {
                Offloads::Off
            } else {
                Offloads::Default
            }
        };
        let client = facing(cell.target.is_xdp());
        let server = facing(cell.generator.is_xdp());
        let set = |end: &End, is: &mut Offloads, wanted: Offloads| {
            if *is != wanted {
                lab.set_offloads(end, wanted)?;
                *is = wanted;
            }
            Ok::<(), BenchError>(())
        };
        set(&CLIENT, &mut offloads.0, client)?;
        set(&SERVER, &mut offloads.1, server)?;
        let name = |offloads| match offloads {
            Offloads::Default => "on".to_owned(),
            Offloads::Off => "off".to_owned(),
        };
        Ok(Some(result::Offloads {
            client: name(client),
            server: name(server),
        }))
    }

    /// How the kernel's TCP is set at the ends that are ours. A namespace that cannot be entered is
    /// left out.
    pub(crate) fn tcp_settings(&self) -> Vec<TcpSettings> {
        // The kernel shows it to its first namespace only, but it counts in all of them.
        let here = TcpSettings::read("client");
        let ends = match self {
            Self::Lab { lab, .. } => {
                [("client", lab.client()), ("server", lab.server())].map(|(role, namespace)| {
                    let settings = namespace.run(|| TcpSettings::read(role)).ok()?;
                    let routes = namespace.command("ip").args(["route", "show"]).output();
                    let routes = routes.map(|output| output.stdout).unwrap_or_default();
                    Some(settings.with_route(&String::from_utf8_lossy(&routes)))
                })
            }
            Self::Here { .. } => [Some(here.clone()), None],
        };
        ends.into_iter()
            .flatten()
            .map(|end| TcpSettings {
                busy_poll_us: end.busy_poll_us.or(here.busy_poll_us),
                ..end
            })
            .collect()
    }

    /// The interfaces as they are now.
    pub(crate) fn interfaces(&self) -> Vec<Interface> {
        match self {
            Self::Lab { .. } => vec![
                Interface::read("client", CLIENT.interface, |program| {
                    self.at_client(program)
                }),
                Interface::read("server", SERVER.interface, |program| {
                    self.at_server(program)
                }),
            ],
            Self::Here { interface, .. } => interface
                .iter()
                .map(|name| Interface::read("client", name, |program| self.at_client(program)))
                .collect(),
        }
    }
}
