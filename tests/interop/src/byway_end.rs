//! The engine's side: a shard with a service that follows a script.

use crate::app::{App, Shared};
use crate::{Family, mac};
use byway_stack::context::{ConnId, Context};
use byway_stack::{Service, ShardConfig};
use byway_tcp::Secrets;
use byway_tcp::effects::CloseReason;
use byway_wire::Endpoint;

/// A service with one connection that follows a script.
pub struct Talk {
    app: Shared,
    opens: Option<(Endpoint, Option<Endpoint>)>,
    id: ConnId,
}

impl Talk {
    /// Waits for the connection.
    pub fn waits(app: Shared) -> Self {
        Self {
            app,
            opens: None,
            id: ConnId::NONE,
        }
    }

    /// Opens the connection, from a local endpoint of its choice or of the shard's.
    pub fn opens(app: Shared, remote: Endpoint, local: Option<Endpoint>) -> Self {
        Self {
            app,
            opens: Some((remote, local)),
            id: ConnId::NONE,
        }
    }

    fn go_on(app: &mut App, conn: &mut Context<'_>) {
        if app.wants_reset() {
            return conn.abort();
        }
        let taken = conn.send(app.unsent());
        app.sent(taken);
        if app.wants_fin() {
            conn.shutdown();
        }
    }
}

impl Service for Talk {
    fn on_start(&mut self, shard: &mut Context<'_>) {
        if let Some((remote, local)) = self.opens {
            shard
                .connect(remote, local, 0)
                .expect("nothing stands in the way at the start");
        }
    }

    fn on_open(&mut self, conn: &mut Context<'_>) {
        self.id = conn.id();
        let mut app = App::lock(&self.app);
        app.open(conn.now());
        Self::go_on(&mut app, conn);
    }

    fn on_writable(&mut self, conn: &mut Context<'_>) {
        Self::go_on(&mut App::lock(&self.app), conn);
    }

    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        let mut app = App::lock(&self.app);
        let taken = app.may_read(conn.now()).min(data.len());
        app.read(&data[..taken]);
        Self::go_on(&mut app, conn);
        taken
    }

    fn on_peer_closed(&mut self, conn: &mut Context<'_>) {
        let mut app = App::lock(&self.app);
        app.peer_closed();
        Self::go_on(&mut app, conn);
    }

    fn on_closed(&mut self, conn: &mut Context<'_>, reason: CloseReason) {
        // Others may come and go while this one is there: a listener that met itself has two.
        if self.id == ConnId::NONE || conn.id() == self.id {
            App::lock(&self.app).closed(reason);
        }
    }

    fn on_turn(&mut self, shard: &mut Context<'_>) -> bool {
        let wants = App::lock(&self.app).may_read(shard.now()) > 0;
        if wants && shard.select(self.id) && shard.unread() > 0 {
            shard.resume();
        }
        false
    }
}

/// What may differ between two runs of the engine's side.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    /// Parameters of TCP.
    pub tcp: byway_tcp::Config,
    /// From which keys are drawn.
    pub seed: u64,
}

impl Tuning {
    /// The configuration of the shard of a host.
    pub fn shard(&self, family: Family, host: u8) -> ShardConfig {
        let mut random = byway_stack::random::SplitMix::new(self.seed);
        let secrets = Secrets {
            isn: [random.next_u64(), random.next_u64()],
            timestamp_offset: random.next_u64() as u32,
        };
        let mut config = ShardConfig::new(secrets, [random.next_u64(), random.next_u64()]);
        config.tcp = self.tcp.clone();
        config.addresses = vec![family.address(host)];
        config.mac = Some(mac(host));
        config.limits.max_connections = 16;
        config.limits.syn_queue = 16;
        config.limits.time_wait = 16;
        config.limits.receive_blocks = 512;
        config.limits.send_blocks = 512;
        config
    }
}
