//! Making, repairing and removing a lab.

use crate::journal::{self, Entry, Journal, Process};
use crate::plan::{CONGESTION_CONTROL, End, Offloads, Options, Role, SYSCTLS, WIRE_SYSCTLS};
use crate::status::{Link, Status, links};
use crate::{Error, ErrorKind, Namespace};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a new veth pair may take to have a carrier at both ends.
const CARRIER_WAIT: Duration = Duration::from_secs(5);

/// A lab that is up.
#[derive(Clone, Debug)]
pub struct Lab {
    name: String,
    options: Options,
    /// One for each role, in their order; the wire's exists in labs that have one.
    namespaces: [Namespace; 4],
}

/// What `down` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names of the namespaces that are gone; empty when there was no such lab.
    pub namespaces: Vec<String>,
    /// Processes that were in them, and now run without a network. They are nobody's to kill
    /// but the user's.
    pub processes: Vec<u32>,
    /// Names of labs that went as well, because the process they belonged to is gone.
    pub abandoned: Vec<String>,
}

impl Lab {
    /// Makes the lab, or brings what is there of it to what `options` says. Doing it twice is the
    /// same as doing it once; what is right already is not touched, and programs on it go on.
    ///
    /// # Errors
    /// Missing privilege or tools, an unusable name, namespaces of that name which no lab made, a
    /// failed command. What was made until then stays for `up` to finish or `down` to remove.
    pub fn up(name: &str, options: &Options) -> Result<Self, Error> {
        Self::up_for(name, options, None)
    }

    pub(crate) fn up_for(
        name: &str,
        options: &Options,
        owner: Option<Process>,
    ) -> Result<Self, Error> {
        check(name, options)?;
        let journal = Journal::lock(Path::new(journal::DIRECTORY))?;
        let lab = Self::describe(name, options);
        let before = journal.read(name);
        lab.refuse_foreign(before.as_ref())?;
        let drops_wire = before.is_some_and(|before| before.options.wire) && !options.wire;
        if drops_wire {
            // Before the journal forgets it.
            remove(lab.wire(), &mut Removed::default())?;
        }
        journal.write(&Entry {
            schema: 1,
            name: name.to_owned(),
            options: options.clone(),
            namespaces: lab
                .inhabited()
                .map(|(_, each)| each.name().to_owned())
                .collect(),
            owner,
        })?;
        for (role, namespace) in lab.inhabited() {
            if !namespace.exists() {
                namespace.create()?;
            }
            namespace.set_sysctls(&SYSCTLS)?;
            if role == Role::Wire {
                namespace.set_sysctls(&WIRE_SYSCTLS)?;
            }
            namespace.ip(&["link", "set", "lo", "up"])?;
        }
        for (near, far) in options.pairs() {
            lab.join(near, far)?;
            lab.configure(near)?;
            lab.configure(far)?;
        }
        lab.wait_for_carrier()?;
        Ok(lab)
    }

    /// The lab of this name if it was brought up earlier and is complete.
    pub fn find(name: &str) -> Result<Option<Self>, Error> {
        let status = Self::status(name)?;
        match (status.state, status.options) {
            (crate::State::Up, Some(options)) => Ok(Some(Self::describe(name, &options))),
            _ => Ok(None),
        }
    }

    /// Removes the lab of this name, whatever is left of it. Not an error when there is none.
    /// Labs that killed tests and benchmarks left behind go with it.
    ///
    /// # Errors
    /// Missing privilege, namespaces of that name which no lab made, a failed command.
    pub fn down(name: &str) -> Result<Removed, Error> {
        check(name, &Options::default())?;
        let directory = Path::new(journal::DIRECTORY);
        let known = journal::read(directory, name).is_some();
        let lab = Self::describe(name, &Options::default());
        let absent = !known && lab.inhabited().all(|(_, namespace)| !namespace.exists());
        let mut removed = Removed::default();
        if !absent {
            let journal = Journal::lock(directory)?;
            let entry = journal.read(name);
            let options = entry.as_ref().map(|entry| entry.options.clone());
            let lab = Self::describe(name, &options.unwrap_or_default());
            lab.refuse_foreign(entry.as_ref())?;
            removed = lab.remove(&journal)?;
        }
        // What was asked for is done; a failure to do more than that is not the caller's.
        if Path::new(journal::DIRECTORY).exists() {
            removed.abandoned = Self::remove_abandoned().unwrap_or_default();
        }
        Ok(removed)
    }

    /// What is there of the lab of this name. Needs no more privilege than `ip netns exec` does.
    pub fn status(name: &str) -> Result<Status, Error> {
        check(name, &Options::default())?;
        let entry = journal::read(Path::new(journal::DIRECTORY), name);
        Status::read(name, entry.map(|entry| entry.options))
    }

    /// Removes the labs of processes that ended without doing it: killed tests and benchmarks.
    /// Returns their names.
    pub fn remove_abandoned() -> Result<Vec<String>, Error> {
        let journal = Journal::lock(Path::new(journal::DIRECTORY))?;
        let mut names = Vec::new();
        for entry in journal.abandoned() {
            Self::describe(&entry.name, &entry.options).remove(&journal)?;
            names.push(entry.name);
        }
        Ok(names)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it was made.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The namespace of a role.
    pub fn namespace(&self, role: Role) -> &Namespace {
        let [client, wire, server, backend] = &self.namespaces;
        match role {
            Role::Client => client,
            Role::Wire => wire,
            Role::Server => server,
            Role::Backend => backend,
        }
    }

    /// The namespace that load comes from.
    pub fn client(&self) -> &Namespace {
        self.namespace(Role::Client)
    }

    /// The namespace of the forwarder, in labs that have one.
    pub fn wire(&self) -> &Namespace {
        self.namespace(Role::Wire)
    }

    /// The namespace of the system under test.
    pub fn server(&self) -> &Namespace {
        self.namespace(Role::Server)
    }

    /// The namespace of what a proxy talks to.
    pub fn backend(&self) -> &Namespace {
        self.namespace(Role::Backend)
    }

    /// Changes the offloads of one interface, until the next `up`.
    pub fn set_offloads(&self, end: &End, offloads: Offloads) -> Result<(), Error> {
        let mut args = vec!["-K", end.interface];
        args.extend(offloads.features());
        self.namespace(end.role).tool("ethtool", &args).map(drop)
    }

    fn describe(name: &str, options: &Options) -> Self {
        let namespaces =
            Role::ALL.map(|role| Namespace::named(format!("{name}-{}", role.suffix())));
        Self {
            name: name.to_owned(),
            options: options.clone(),
            namespaces,
        }
    }

    /// The roles that this lab has, and their namespaces.
    fn inhabited(&self) -> impl Iterator<Item = (Role, &Namespace)> {
        let all = Role::ALL.into_iter().zip(&self.namespaces);
        all.filter(|(role, _)| self.options.has(*role))
    }

    /// A namespace that the journal does not know belongs to somebody else.
    fn refuse_foreign(&self, known: Option<&Entry>) -> Result<(), Error> {
        let is_ours = |name: &str| known.is_some_and(|entry| entry.has(name));
        let foreign = self
            .inhabited()
            .map(|(_, namespace)| namespace)
            .find(|namespace| namespace.exists() && !is_ours(namespace.name()));
        match foreign {
            None => Ok(()),
            Some(theirs) => Err(Error::new(
                ErrorKind::Foreign,
                format!(
                    "namespace {} exists and was not made by a lab",
                    theirs.name()
                ),
                format!(
                    "choose another name, or remove it: ip netns delete {}",
                    theirs.name()
                ),
            )),
        }
    }

    /// Makes sure that a veth pair with the right number of queues joins the two ends.
    fn join(&self, near: &End, far: &End) -> Result<(), Error> {
        let near_link = self.link(near)?;
        let far_link = self.link(far)?;
        if let (Some(near_link), Some(far_link)) = (&near_link, &far_link)
            && self.is_pair(near_link, far_link)
        {
            return Ok(());
        }
        if near_link.is_some() {
            self.unlink(near)?;
        }
        // The far end goes with the near one, unless it was another pair's.
        if self.link(far)?.is_some() {
            self.unlink(far)?;
        }
        let queues = self.options.queues.to_string();
        let queue_args = ["numrxqueues", &queues, "numtxqueues", &queues];
        let (near_mac, far_mac) = (near.mac_text(), far.mac_text());
        let mut args = vec!["link", "add", near.interface, "address", &near_mac];
        args.extend(queue_args);
        args.extend([
            "type",
            "veth",
            "peer",
            "name",
            far.interface,
            "address",
            &far_mac,
        ]);
        args.extend(queue_args);
        args.extend(["netns", self.namespace(far.role).name()]);
        self.namespace(near.role).ip(&args).map(drop)
    }

    fn is_pair(&self, near: &Link, far: &Link) -> bool {
        let queues = |link: &Link| {
            link.num_rx_queues == self.options.queues && link.num_tx_queues == self.options.queues
        };
        near.link_index == far.ifindex
            && far.link_index == near.ifindex
            && queues(near)
            && queues(far)
    }

    fn link(&self, end: &End) -> Result<Option<Link>, Error> {
        let all = links(self.namespace(end.role))?;
        Ok(all.into_iter().find(|link| link.ifname == end.interface))
    }

    fn unlink(&self, end: &End) -> Result<(), Error> {
        self.namespace(end.role)
            .ip(&["link", "delete", end.interface])
            .map(drop)
    }

    /// Addresses, MTU and offloads of one end; only what differs is changed.
    fn configure(&self, end: &End) -> Result<(), Error> {
        let namespace = self.namespace(end.role);
        let mtu = self.options.mtu.to_string();
        let mac = end.mac_text();
        if let Some(link) = self.link(end)? {
            if link.mtu != self.options.mtu {
                namespace.ip(&["link", "set", end.interface, "mtu", &mtu])?;
            }
            if link.address != mac {
                namespace.ip(&["link", "set", end.interface, "address", &mac])?;
            }
        }
        self.set_offloads(end, self.options.offloads(end.role))?;
        namespace.ip(&["link", "set", end.interface, "up"])?;
        if !end.has_addresses() {
            return Ok(());
        }
        // Behind `up`: a link that goes down takes its IPv6 addresses with it.
        let v4 = format!("{}/24", end.v4);
        let v6 = format!("{}/64", end.v6);
        namespace.ip(&["addr", "replace", &v4, "dev", end.interface])?;
        namespace.ip(&["addr", "replace", &v6, "dev", end.interface, "nodad"])?;
        self.pin_congestion_control(end)
    }

    /// Replaces the routes that came with the addresses by the same with a congestion control.
    fn pin_congestion_control(&self, end: &End) -> Result<(), Error> {
        let namespace = self.namespace(end.role);
        let (source, subnet4, subnet6) = (end.v4.to_string(), end.subnet_v4(), end.subnet_v6());
        let mut args = vec!["-4", "route", "replace", &subnet4, "dev", end.interface];
        args.extend(["proto", "kernel", "scope", "link", "src", &source]);
        args.extend(["congctl", CONGESTION_CONTROL]);
        namespace.ip(&args)?;
        let mut args = vec!["-6", "route", "replace", &subnet6, "dev", end.interface];
        args.extend([
            "proto",
            "kernel",
            "metric",
            "256",
            "congctl",
            CONGESTION_CONTROL,
        ]);
        namespace.ip(&args).map(drop)
    }

    fn wait_for_carrier(&self) -> Result<(), Error> {
        let start = Instant::now();
        loop {
            let status = Status::read(&self.name, Some(self.options.clone()))?;
            if status.problems.is_empty() {
                return Ok(());
            }
            if start.elapsed() > CARRIER_WAIT {
                return Err(Error::new(
                    ErrorKind::Failed,
                    format!(
                        "the lab is not as it should be: {}",
                        status.problems.join("; ")
                    ),
                    "another program may be configuring its interfaces",
                ));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn remove(&self, journal: &Journal) -> Result<Removed, Error> {
        let mut removed = Removed::default();
        for (_, namespace) in self.inhabited() {
            remove(namespace, &mut removed)?;
        }
        journal.remove(&self.name)?;
        Ok(removed)
    }
}

/// Removes a namespace, or what is left of one.
fn remove(namespace: &Namespace, removed: &mut Removed) -> Result<(), Error> {
    if namespace.exists() {
        removed.processes.extend(namespace.pids()?);
        // A namespace lives on for as long as a process is in it; its links need not.
        for link in links(namespace)? {
            namespace.ip(&["link", "delete", &link.ifname])?;
        }
        namespace.delete()?;
        removed.namespaces.push(namespace.name().to_owned());
    } else if namespace.path().exists() {
        let path = namespace.path();
        std::fs::remove_file(&path).map_err(|error| Error::file(&path, "remove", &error))?;
    }
    Ok(())
}

fn check(name: &str, options: &Options) -> Result<(), Error> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 32 || name.starts_with('-') || !name.bytes().all(plain) {
        return Err(Error::new(
            ErrorKind::Name,
            format!("{name:?} cannot be the name of a lab"),
            "use 1 to 32 lower-case letters, digits and hyphens, no hyphen first",
        ));
    }
    if !(1..=64).contains(&options.queues) || !(1280..=65535).contains(&options.mtu) {
        return Err(Error::new(
            ErrorKind::Name,
            format!(
                "a lab cannot have {} queues and MTU {}",
                options.queues, options.mtu
            ),
            "use 1 to 64 queues and an MTU of 1280 to 65535",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_paths_or_options_are_refused() {
        let options = Options::default();
        for name in ["byway", "t1-2"] {
            assert!(check(name, &options).is_ok(), "{name}");
        }
        let long = "x".repeat(33);
        for name in ["", "-x", "../x", "a b", "A", "a/b", long.as_str()] {
            assert_eq!(
                check(name, &options).unwrap_err().kind(),
                ErrorKind::Name,
                "{name}"
            );
        }
    }

    #[test]
    fn options_have_bounds() {
        for (queues, mtu, good) in [
            (1, 1280, true),
            (64, 65535, true),
            (0, 1500, false),
            (65, 1500, false),
            (1, 1279, false),
        ] {
            let options = Options {
                queues,
                mtu,
                ..Options::default()
            };
            assert_eq!(check("x", &options).is_ok(), good, "{queues} {mtu}");
        }
    }
}
