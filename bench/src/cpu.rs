//! Where the processors' time goes, from `/proc/stat`, and pinning to one of them.

use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};
use std::ops::Sub;

/// Time one processor spent, in microseconds, by kind. `user` includes `nice`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CpuTime {
    /// In user space.
    pub user: u64,
    /// In system calls.
    pub system: u64,
    /// In software interrupts: for network load, the receive side of the stack.
    pub softirq: u64,
    /// In hardware interrupts.
    pub irq: u64,
    /// Idle or waiting for a disk.
    pub idle: u64,
    /// Taken away by the hypervisor.
    pub steal: u64,
}

impl CpuTime {
    /// Everything that was work: not idle and not stolen.
    pub fn busy(&self) -> u64 {
        self.user + self.system + self.softirq + self.irq
    }

    /// The share of its time that the processor worked, 0 to 1; 0 when nothing was measured.
    pub fn busy_share(&self) -> f64 {
        let total = self.busy() + self.idle + self.steal;
        if total == 0 {
            0.0
        } else {
            self.busy() as f64 / total as f64
        }
    }
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            softirq: self.softirq.saturating_sub(earlier.softirq),
            irq: self.irq.saturating_sub(earlier.irq),
            idle: self.idle.saturating_sub(earlier.idle),
            steal: self.steal.saturating_sub(earlier.steal),
        }
    }
}

/// A reading of all processors at once; the index is the processor's number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(Vec<CpuTime>);

impl Snapshot {
    /// Reads `/proc/stat`. Empty where there is none.
    pub fn now() -> Self {
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        std::fs::read_to_string("/proc/stat")
            .map(|text| Self::parse(&text, ticks))
            .unwrap_or_default()
    }

    /// Parses the text of `/proc/stat` with this many clock ticks a second.
    fn parse(text: &str, ticks_per_second: u64) -> Self {
        let mut cpus = Vec::new();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("cpu") else {
                continue;
            };
            let mut words = rest.split_ascii_whitespace();
            // The first line, "cpu  ...", is the sum: its first word is no processor number
            // directly after "cpu".
            let Some(number) = words.next().filter(|_| !rest.starts_with(' ')) else {
                continue;
            };
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            let mut micros = [0u64; 8];
            for (slot, word) in micros.iter_mut().zip(words) {
                *slot = word.parse::<u64>().unwrap_or(0) * 1_000_000 / ticks_per_second;
            }
            let [user, nice, system, idle, iowait, irq, softirq, steal] = micros;
            if cpus.len() <= number {
                cpus.resize(number + 1, CpuTime::default());
            }
            cpus[number] = CpuTime {
                user: user + nice,
                system,
                softirq,
                irq,
                idle: idle + iowait,
                steal,
            };
        }
        Self(cpus)
    }

    /// What each processor did from `earlier` to this reading.
    pub fn since(&self, earlier: &Self) -> Vec<CpuTime> {
        self.0
            .iter()
            .zip(&earlier.0)
            .map(|(now, then)| *now - *then)
            .collect()
    }
}

/// Time in microseconds that a process spent in user space and in system calls, all threads
/// together; `None` when there is no such process.
pub fn process_time(pid: u32) -> Option<u64> {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_process(&text, ticks)
}

fn parse_process(stat: &str, ticks_per_second: u64) -> Option<u64> {
    // The second field is the name in parentheses, which may hold anything; the third follows it,
    // and user and system time are the fourteenth and the fifteenth.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_ascii_whitespace().skip(11);
    let mut next = || times.next()?.parse::<u64>().ok();
    Some((next()? + next()?) * 1_000_000 / ticks_per_second)
}

/// Keeps this thread on one processor.
///
/// # Errors
/// The kernel's, `EINVAL` where there is no such processor.
pub fn pin(cpu: usize) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

/// Processors this process may use.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  10 0 20 300 5 1 2 3 0 0\n\
                        cpu0 5 1 10 150 5 1 2 3 0 0\n\
                        cpu1 5 0 10 150 0 0 0 0 0 0\n\
                        intr 123 0\nctxt 99\n";

    #[test]
    fn each_processor_is_read_and_the_sum_is_not() {
        let snapshot = Snapshot::parse(STAT, 100);
        assert_eq!(snapshot.0.len(), 2);
        let first = snapshot.0[0];
        assert_eq!(first.user, 60_000, "user and nice together");
        assert_eq!(first.idle, 1_550_000, "idle and iowait together");
        assert_eq!(
            (first.system, first.irq, first.softirq, first.steal),
            (100_000, 10_000, 20_000, 30_000)
        );
    }

    #[test]
    fn the_difference_is_what_happened_in_between() {
        let before = Snapshot::parse("cpu0 1 0 2 10 0 0 3 0\n", 100);
        let after = Snapshot::parse("cpu0 4 0 8 11 0 0 3 0\n", 100);
        let spent = after.since(&before)[0];
        assert_eq!(
            (spent.user, spent.system, spent.softirq),
            (30_000, 60_000, 0)
        );
        assert!((spent.busy_share() - 0.9).abs() < 1e-9);
    }

    #[test]
    fn the_time_of_a_process_is_found_behind_any_name() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4 5 0 0 0 30 12 0 0 20 0 1 0 99 1 1";
        assert_eq!(parse_process(stat, 100), Some(420_000));
        assert_eq!(parse_process("7 (a", 100), None);
        assert!(process_time(std::process::id()).is_some());
        assert_eq!(process_time(u32::MAX), None);
    }

    #[test]
    fn this_machine_has_a_processor_that_did_something() {
        let snapshot = Snapshot::now();
        assert!(snapshot.0.iter().any(|cpu| cpu.busy() > 0));
    }
}
