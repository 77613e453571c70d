//! An echo server: `cargo run --example echo -- eth0 10.0.0.1:7`, as root.

use byway::{Context, Engine, Service};
use std::sync::atomic::AtomicBool;

struct Echo;

impl Service for Echo {
    fn on_data(&mut self, conn: &mut Context<'_>, data: &[u8]) -> usize {
        // What is not taken now is offered again when there is room to send.
        conn.send(data)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(interface), Some(address)) = (args.next(), args.next()) else {
        return Err("usage: echo INTERFACE ADDRESS:PORT".into());
    };
    let engine = Engine::builder()
        .interface(interface)
        .listen(address.parse()?, Echo)
        .build()?;
    println!("{:?}", engine.report());
    let never = AtomicBool::new(false);
    engine.run(&never)?;
    Ok(())
}
