//! `byway lab`: network namespaces to try things in.

use crate::failure::Failure;
use byway_lab::{CLIENT, Lab, Options, SERVER, State, Status};
use clap::{Args, Subcommand};

/// Make, remove or show a lab: three network namespaces joined by veth pairs
#[derive(Args, Clone, Debug)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a lab, or bring what is there of it in order
    Up {
        #[command(flatten)]
        which: Which,
        /// Receive and transmit queues of each interface
        #[arg(long, value_name = "N", default_value_t = Options::default().queues,
              value_parser = clap::value_parser!(u32).range(1..=64))]
        queues: u32,
        /// MTU of each interface
        #[arg(long, value_name = "OCTETS", default_value_t = Options::default().mtu,
              value_parser = clap::value_parser!(u32).range(1280..=65535))]
        mtu: u32,
        /// Put a namespace NAME-wire between client and server, for `byway wire` to run in
        #[arg(long)]
        wire: bool,
    },
    /// Remove a lab; nothing happens when there is none
    Down {
        #[command(flatten)]
        which: Which,
    },
    /// Show a lab: exit code 0 when it is up, 1 when it is not
    Status {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Clone, Debug)]
struct Which {
    /// Name of the lab: its namespaces are NAME-client, NAME-server, NAME-backend
    #[arg(long, value_name = "NAME", default_value = "byway")]
    name: String,
    /// Print the state as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command; false when `status` finds the lab not up.
pub(crate) fn run(args: &LabArgs) -> Result<bool, Failure> {
    match &args.action {
        Action::Up {
            which,
            queues,
            mtu,
            wire,
        } => {
            let options = Options {
                queues: *queues,
                mtu: *mtu,
                wire: *wire,
                ..Options::default()
            };
            let lab = Lab::up(&which.name, &options)?;
            if which.json {
                print_json(&Lab::status(&which.name)?)?;
            } else {
                let (client, server) = (lab.client().name(), lab.server().name());
                println!(
                    "{client}  {}  {}  {}",
                    CLIENT.interface, CLIENT.v4, CLIENT.v6
                );
                println!(
                    "{server}  {}  {}  {}",
                    SERVER.interface, SERVER.v4, SERVER.v6
                );
                eprintln!(
                    "try: ip netns exec {server} byway serve echo -i {}",
                    SERVER.interface
                );
            }
            Ok(true)
        }
        Action::Down { which } => {
            let removed = Lab::down(&which.name)?;
            if which.json {
                let value = serde_json::json!({
                    "name": which.name,
                    "removed": removed.namespaces,
                    "processes": removed.processes,
                });
                println!("{value}");
            } else if removed.namespaces.is_empty() {
                eprintln!("there is no lab {}", which.name);
            } else {
                eprintln!("removed {}", removed.namespaces.join(", "));
            }
            if !removed.processes.is_empty() {
                let pids: Vec<String> = removed.processes.iter().map(u32::to_string).collect();
                eprintln!(
                    "processes that were in it have no network now: {}",
                    pids.join(", ")
                );
            }
            Ok(true)
        }
        Action::Status { which } => {
            let status = Lab::status(&which.name)?;
            if which.json {
                print_json(&status)?
            } else {
                print(&status)
            }
            Ok(status.state == State::Up)
        }
    }
}

fn print_json(status: &Status) -> Result<(), Failure> {
    let line = serde_json::to_string(status)
        .map_err(|error| Failure::failed(format!("output: {error}"), ""))?;
    println!("{line}");
    Ok(())
}

fn print(status: &Status) {
    let state = match status.state {
        State::Absent => "absent",
        State::Partial => "partial",
        State::Up => "up",
    };
    println!("{} is {state}", status.name);
    for namespace in &status.namespaces {
        for interface in &namespace.interfaces {
            let addresses: Vec<String> = interface
                .addresses
                .iter()
                .map(|address| address.to_string())
                .collect();
            println!(
                "  {}  {}  {}  mtu {}{}",
                namespace.name,
                interface.name,
                addresses.join("  "),
                interface.mtu,
                if interface.xdp {
                    "  XDP program attached"
                } else {
                    ""
                },
            );
        }
    }
    for problem in &status.problems {
        println!("  problem: {problem}");
    }
}
