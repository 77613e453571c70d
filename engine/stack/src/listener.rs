//! Listeners: which service takes connections at which endpoint, and which addresses are ours.

use crate::options::ConnOptions;
use byway_wire::{Address, Endpoint};
use std::collections::{HashMap, HashSet};

/// Why nobody listens at an endpoint after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ListenError {
    /// Another service does.
    Taken,
    /// The limit on listeners is reached.
    Full,
}

/// Who takes the connections at an endpoint, and how they are set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) service: u16,
    /// Index of its options.
    profile: u16,
}

/// The listening endpoints and addresses of a shard.
#[derive(Debug)]
pub(crate) struct Listeners {
    services: HashMap<Endpoint, Listener>,
    /// Every set of options that a listener ever had, the defaults first: a handshake may outlive
    /// its listener.
    profiles: Vec<ConnOptions>,
    addresses: HashSet<Address>,
    limit: usize,
}

impl Listeners {
    pub(crate) fn new(addresses: &[Address], limit: u32) -> Self {
        Self {
            services: HashMap::new(),
            profiles: vec![ConnOptions::default()],
            addresses: addresses.iter().copied().collect(),
            limit: limit as usize,
        }
    }

    /// Accepts at `endpoint` for `service`, unless another one does; a specific address becomes one
    /// of ours. Connections that exist are not asked: they are not listeners.
    //= rfc9293 3.9.1.1 MUST-41 MUST-42
    pub(crate) fn listen(
        &mut self,
        endpoint: Endpoint,
        service: u16,
        options: &ConnOptions,
    ) -> Result<(), ListenError> {
        match self.services.get(&endpoint) {
            Some(holder) if holder.service != service => return Err(ListenError::Taken),
            None if self.services.len() >= self.limit => return Err(ListenError::Full),
            _ => {}
        }
        let profile = self.profile(options).ok_or(ListenError::Full)?;
        if !endpoint.address.is_unspecified() {
            self.addresses.insert(endpoint.address);
        }
        self.services
            .insert(endpoint, Listener { service, profile });
        Ok(())
    }

    /// The index of a set of options; `None` when there were as many as there may be listeners.
    fn profile(&mut self, options: &ConnOptions) -> Option<u16> {
        let known = self.profiles.iter().position(|known| known == options);
        let index = known.unwrap_or(self.profiles.len());
        if index > self.limit {
            return None;
        }
        if known.is_none() {
            self.profiles.push(*options);
        }
        u16::try_from(index).ok()
    }

    /// How the connections of a listener are set up.
    #[inline]
    pub(crate) fn options(&self, listener: Listener) -> ConnOptions {
        let options = self.profiles.get(usize::from(listener.profile));
        options.copied().unwrap_or_default()
    }

    /// Accepts no more at `endpoint`.
    pub(crate) fn unlisten(&mut self, endpoint: &Endpoint) {
        self.services.remove(endpoint);
    }

    /// Accepts no more for `service`.
    pub(crate) fn unlisten_service(&mut self, service: u16) {
        self.services.retain(|_, of| of.service != service);
    }

    /// Accepts no more at all.
    pub(crate) fn close_all(&mut self) {
        self.services.clear();
    }

    pub(crate) fn add_address(&mut self, address: Address) {
        self.addresses.insert(address);
    }

    #[inline]
    pub(crate) fn is_ours(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }

    /// Some address of ours, of the family of `remote`.
    pub(crate) fn some_address(&self, remote: &Address) -> Option<Address> {
        let fits = |address: &&Address| address.is_v4() == remote.is_v4();
        self.addresses
            .iter()
            .filter(fits)
            .min_by_key(|address| *address.octets())
            .copied()
    }

    /// Who takes connections to `local`: the one at exactly this endpoint, else the one at the
    /// unspecified address, which stands for all of ours.
    pub(crate) fn find(&self, local: &Endpoint) -> Option<Listener> {
        if let Some(&listener) = self.services.get(local) {
            return Some(listener);
        }
        let any = if local.address.is_v4() {
            Address::v4([0; 4])
        } else {
            Address::v6([0; 16])
        };
        let listener = self.services.get(&Endpoint::new(any, local.port))?;
        self.is_ours(&local.address).then_some(*listener)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Address = Address::v4([10, 0, 0, 1]);
    const B: Address = Address::v4([10, 0, 0, 2]);
    const PLAIN: ConnOptions = ConnOptions {
        congestion: None,
        nagle: None,
        keep_alive: None,
        user_timeout: None,
        dscp: None,
        hop_limit: None,
    };
    const SIX: Address = Address::v6([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    fn service(listeners: &Listeners, local: &Endpoint) -> Option<u16> {
        listeners.find(local).map(|listener| listener.service)
    }

    #[test]
    fn the_specific_endpoint_wins_over_the_unspecified() {
        let mut listeners = Listeners::new(&[A, SIX], 8);
        let any = Endpoint::new(Address::v4([0; 4]), 80);
        assert_eq!(listeners.listen(any, 1, &PLAIN), Ok(()));
        assert_eq!(listeners.listen(Endpoint::new(A, 80), 2, &PLAIN), Ok(()));
        assert_eq!(listeners.listen(Endpoint::new(A, 81), 3, &PLAIN), Ok(()));
        assert_eq!(service(&listeners, &Endpoint::new(A, 80)), Some(2));
        assert_eq!(service(&listeners, &Endpoint::new(A, 81)), Some(3));
        assert_eq!(service(&listeners, &Endpoint::new(A, 82)), None);
        assert_eq!(service(&listeners, &Endpoint::new(B, 80)), None);
        assert_eq!(service(&listeners, &Endpoint::new(SIX, 80)), None);
        listeners.unlisten(&Endpoint::new(A, 80));
        assert_eq!(service(&listeners, &Endpoint::new(A, 80)), Some(1));
        listeners.add_address(B);
        assert_eq!(service(&listeners, &Endpoint::new(B, 80)), Some(1));
        listeners.unlisten_service(1);
        assert_eq!(service(&listeners, &Endpoint::new(B, 80)), None);
    }

    //= rfc9293 3.9.1.1 MUST-41
    #[test]
    fn an_endpoint_has_one_service_and_the_limit_refuses_one_more() {
        let mut listeners = Listeners::new(&[], 2);
        let at = |port| Endpoint::new(A, port);
        assert_eq!(listeners.listen(at(1), 0, &PLAIN), Ok(()));
        assert_eq!(listeners.listen(at(2), 0, &PLAIN), Ok(()));
        assert_eq!(listeners.listen(at(3), 0, &PLAIN), Err(ListenError::Full));
        assert_eq!(listeners.listen(at(2), 1, &PLAIN), Err(ListenError::Taken));
        assert_eq!(listeners.listen(at(2), 0, &PLAIN), Ok(()), "as it is");
        assert_eq!(service(&listeners, &at(2)), Some(0));
        listeners.unlisten(&at(2));
        assert_eq!(listeners.listen(at(2), 1, &PLAIN), Ok(()));
        assert_eq!(service(&listeners, &at(2)), Some(1));
        assert!(listeners.is_ours(&A));
        assert_eq!(listeners.some_address(&B), Some(A));
        assert_eq!(listeners.some_address(&SIX), None);
    }

    #[test]
    fn each_listener_has_its_options_and_they_outlive_it() {
        let mut listeners = Listeners::new(&[], 3);
        let at = |port| Endpoint::new(A, port);
        let ttl = |hop_limit| ConnOptions {
            hop_limit: Some(hop_limit),
            ..PLAIN
        };
        assert_eq!(listeners.listen(at(1), 0, &ttl(1)), Ok(()));
        assert_eq!(listeners.listen(at(2), 0, &ttl(2)), Ok(()));
        let first = listeners.find(&at(1)).unwrap();
        assert_eq!(listeners.options(first), ttl(1));
        assert_eq!(listeners.listen(at(1), 0, &ttl(3)), Ok(()), "changed");
        assert_eq!(listeners.options(listeners.find(&at(1)).unwrap()), ttl(3));
        assert_eq!(listeners.options(first), ttl(1), "for who holds it yet");
        assert_eq!(listeners.listen(at(3), 0, &ttl(4)), Err(ListenError::Full));
        assert_eq!(listeners.listen(at(3), 0, &ttl(2)), Ok(()));
    }
}
