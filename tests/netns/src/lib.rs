//! What end-to-end tests need: the real `byway` program in a lab, and other people's programs
//! talking to it. Everything is bounded in time; nothing outlives its test.
#![forbid(unsafe_code)]

mod output;
mod program;
mod serve;
mod stream;

pub use output::{Finished, run, run_with_input};
pub use program::byway;
pub use serve::Serve;
pub use stream::{Pattern, STEP_LIMIT, connect, echo_pattern, tcp_endpoints};

use byway_lab::{Lab, SERVER};

/// True when an XDP program is attached to the server's interface towards the client.
///
/// # Panics
/// When `ip` does not answer in JSON.
pub fn has_xdp(lab: &Lab) -> bool {
    let mut ip = lab.server().command("ip");
    ip.args(["-json", "link", "show", SERVER.interface]);
    let shown = run(ip);
    let links: serde_json::Value = serde_json::from_str(&shown.stdout).expect("ip -json is JSON");
    links.pointer("/0/xdp").is_some()
}
