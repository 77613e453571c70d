//! What is there of a lab, and what is wrong with it.

use crate::plan::{End, Options, Role};
use crate::{Error, ErrorKind, Namespace};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// How much of a lab is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing.
    Absent,
    /// Something, but not all of it, or not as it was asked for: `problems` says what.
    Partial,
    /// All of it.
    Up,
}

/// A lab, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name of the lab.
    pub name: String,
    /// How much of it is there.
    pub state: State,
    /// How it was asked for, when the journal knows of it.
    pub options: Option<Options>,
    /// The namespaces that exist.
    pub namespaces: Vec<NamespaceStatus>,
    /// What differs from the plan, one line each.
    pub problems: Vec<String>,
}

/// A namespace, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceStatus {
    /// Its name, as in `ip netns exec NAME`.
    pub name: String,
    /// Who lives there.
    pub role: Role,
    /// Its interfaces, without the loopback.
    pub interfaces: Vec<InterfaceStatus>,
    /// Processes in it.
    pub processes: Vec<u32>,
}

/// An interface, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its Ethernet address, as `ip` writes it.
    pub mac: String,
    /// Its MTU, in bytes.
    pub mtu: u32,
    /// True when it is up and its peer is as well.
    pub carrier: bool,
    /// Receive queues.
    pub queues: u32,
    /// Its addresses without link-local ones.
    pub addresses: Vec<IpAddr>,
    /// True when an XDP program is attached.
    pub xdp: bool,
}

impl Status {
    /// Looks at the namespaces of the lab that the journal describes.
    pub(crate) fn read(name: &str, options: Option<Options>) -> Result<Self, Error> {
        let mut namespaces = Vec::new();
        let mut problems = Vec::new();
        let plan = options.clone().unwrap_or_default();
        for role in Role::ALL.into_iter().filter(|role| plan.has(*role)) {
            let namespace = Namespace::named(format!("{name}-{}", role.suffix()));
            if namespace.exists() {
                namespaces.push(NamespaceStatus::read(&namespace, role)?);
            } else {
                problems.push(format!("there is no namespace {}", namespace.name()));
            }
        }
        if options.is_some() {
            for end in plan.pairs().iter().flat_map(|(near, far)| [near, far]) {
                if let Some(namespace) = namespaces.iter().find(|seen| seen.role == end.role) {
                    namespace.compare(end, &plan, &mut problems);
                }
            }
        } else if !namespaces.is_empty() {
            problems.push("these namespaces were not made by `byway lab up`".to_owned());
        }
        let state = match (namespaces.is_empty(), problems.is_empty()) {
            (_, true) => State::Up,
            (true, false) if options.is_none() => State::Absent,
            _ => State::Partial,
        };
        if state == State::Absent {
            problems.clear();
        }
        Ok(Self {
            name: name.to_owned(),
            state,
            options,
            namespaces,
            problems,
        })
    }
}

impl NamespaceStatus {
    fn read(namespace: &Namespace, role: Role) -> Result<Self, Error> {
        let interfaces = links(namespace)?.iter().map(Link::status).collect();
        Ok(Self {
            name: namespace.name().to_owned(),
            role,
            interfaces,
            processes: namespace.pids()?,
        })
    }

    fn compare(&self, end: &End, options: &Options, problems: &mut Vec<String>) {
        let place = format!("{} in {}", end.interface, self.name);
        let Some(seen) = self
            .interfaces
            .iter()
            .find(|seen| seen.name == end.interface)
        else {
            problems.push(format!("there is no {place}"));
            return;
        };
        let mut expect = |holds: bool, what: String| {
            if !holds {
                problems.push(format!("{place} {what}"));
            }
        };
        expect(seen.carrier, "is down or has no carrier".to_owned());
        expect(
            seen.mac == end.mac_text(),
            format!("has address {}", seen.mac),
        );
        expect(seen.mtu == options.mtu, format!("has MTU {}", seen.mtu));
        expect(
            seen.queues == options.queues,
            format!("has {} queues", seen.queues),
        );
        let addresses = [IpAddr::V4(end.v4), IpAddr::V6(end.v6)];
        for address in addresses.into_iter().filter(|_| end.has_addresses()) {
            expect(
                seen.addresses.contains(&address),
                format!("lacks {address}"),
            );
        }
    }
}

/// An interface as `ip -details -json addr show` describes it; what is absent has its default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    pub(crate) ifname: String,
    pub(crate) link_index: u32,
    pub(crate) mtu: u32,
    pub(crate) address: String,
    pub(crate) operstate: String,
    pub(crate) num_tx_queues: u32,
    pub(crate) num_rx_queues: u32,
    link_type: String,
    xdp: Option<serde_json::Value>,
    addr_info: Vec<AddressInfo>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AddressInfo {
    local: String,
    scope: String,
}

impl Link {
    fn status(&self) -> InterfaceStatus {
        let global = self.addr_info.iter().filter(|info| info.scope != "link");
        InterfaceStatus {
            name: self.ifname.clone(),
            mac: self.address.clone(),
            mtu: self.mtu,
            carrier: self.operstate == "UP",
            queues: self.num_rx_queues,
            addresses: global.filter_map(|info| info.local.parse().ok()).collect(),
            xdp: self.xdp.is_some(),
        }
    }
}

/// The interfaces of a namespace, without the loopback.
pub(crate) fn links(namespace: &Namespace) -> Result<Vec<Link>, Error> {
    parse(&namespace.ip(&["-details", "-json", "addr", "show"])?)
}

fn parse(json: &str) -> Result<Vec<Link>, Error> {
    let links: Vec<Link> = serde_json::from_str(json).map_err(|error| {
        let hint = "a current iproute2 is needed: apt-get install iproute2";
        Error::new(
            ErrorKind::Failed,
            format!("cannot read what `ip -json` wrote: {error}"),
            hint,
        )
    })?;
    Ok(links
        .into_iter()
        .filter(|link| link.link_type != "loopback")
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CLIENT, SERVER};

    const SHOWN: &str = r#"[
      {"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP"],"mtu":65536,"operstate":"UNKNOWN",
       "link_type":"loopback","address":"00:00:00:00:00:00",
       "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
      {"ifindex":2,"link_index":2,"ifname":"eth0","flags":["UP","LOWER_UP"],"mtu":1500,
       "xdp":{"mode":1,"prog":{"id":12}},"operstate":"UP","link_type":"ether",
       "address":"02:b7:00:00:4d:01","num_tx_queues":2,"num_rx_queues":2,"some_new_field":{},
       "addr_info":[{"family":"inet","local":"10.77.0.1","prefixlen":24,"scope":"global"},
                    {"family":"inet6","local":"fd77::1","prefixlen":64,"scope":"global"},
                    {"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}]},{}]"#;

    fn client(json: &str) -> NamespaceStatus {
        NamespaceStatus {
            name: "t-client".to_owned(),
            role: Role::Client,
            interfaces: parse(json).unwrap().iter().map(Link::status).collect(),
            processes: Vec::new(),
        }
    }

    #[test]
    fn what_ip_shows_is_understood() {
        let seen = &client(SHOWN).interfaces[0];
        assert_eq!(
            (seen.name.as_str(), seen.mtu, seen.queues),
            ("eth0", 1500, 2)
        );
        assert!(seen.carrier && seen.xdp);
        let expected = [IpAddr::V4(CLIENT.v4), IpAddr::V6(CLIENT.v6)];
        assert_eq!(
            seen.addresses, expected,
            "no loopback, no link-local address"
        );
    }

    #[test]
    fn each_difference_from_the_plan_is_a_problem() {
        let options = Options {
            queues: 2,
            ..Options::default()
        };
        let mut problems = Vec::new();
        client(SHOWN).compare(&CLIENT, &options, &mut problems);
        assert_eq!(problems, Vec::<String>::new());
        client(SHOWN).compare(
            &SERVER,
            &Options {
                mtu: 9000,
                ..options
            },
            &mut problems,
        );
        let text = problems.join("\n");
        for part in [
            "address 02:b7:00:00:4d:01",
            "MTU 1500",
            "lacks 10.77.0.2",
            "lacks fd77::2",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert_eq!(problems.len(), 4);
        problems.clear();
        client("[]").compare(&CLIENT, &Options::default(), &mut problems);
        assert_eq!(problems, ["there is no eth0 in t-client"]);
    }

    #[test]
    fn what_is_not_json_is_an_error() {
        assert!(parse("Object \"x\" is unknown").is_err());
    }
}
