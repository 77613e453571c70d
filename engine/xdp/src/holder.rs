//! Who holds an interface: the program on it, and the processes that keep that program.

use crate::interface::Interface;
use aya::programs::loaded_programs;
use std::fs;

/// Processes named at most.
const NAMED: usize = 3;

/// One line: the XDP program on the interface, and who keeps it.
pub(crate) fn describe(interface: &str) -> String {
    let Some(id) = Interface::query(interface)
        .ok()
        .and_then(|interface| interface.program)
    else {
        return "no XDP program is attached, so it is an AF_XDP socket of another process".into();
    };
    let program = match program_name(id) {
        Some(name) => format!("XDP program {id} ({name})"),
        None => format!("XDP program {id}"),
    };
    let mut holders = holders(id);
    if holders.is_empty() {
        return format!("{program} is attached and no process that can be seen holds it");
    }
    let others = holders.len().saturating_sub(NAMED);
    holders.truncate(NAMED);
    let names: Vec<String> = holders
        .iter()
        .map(|(pid, command)| format!("pid {pid} ({command})"))
        .collect();
    let more = if others == 0 {
        String::new()
    } else {
        format!(" and {others} more")
    };
    format!("{program} is held by {}{more}", names.join(", "))
}

fn program_name(id: u32) -> Option<String> {
    loaded_programs()
        .flatten()
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}

/// Processes with a descriptor of this program or of a link that attaches it: pid and command.
fn holders(id: u32) -> Vec<(u32, String)> {
    let wanted = format!("prog_id:\t{id}");
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fdinfo"))
            .into_iter()
            .flatten();
        let holds = descriptors.flatten().any(|descriptor| {
            fs::read_to_string(descriptor.path())
                .is_ok_and(|text| text.lines().any(|line| line == wanted))
        });
        if holds {
            let command = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            found.push((pid, command.trim().to_owned()));
        }
    }
    found
}
