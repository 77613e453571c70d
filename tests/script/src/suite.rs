//! All scripts, with both stacks, and the table of what came of them.

use crate::byway::{Byway, Origin};
use crate::linux;
use crate::parse::parse;
use crate::run::{Difference, Peer, run};
use crate::script::{Known, Script};
use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Scripts that take longer are not carried out in real time, unless asked for.
pub const LONGEST: Duration = Duration::from_secs(5);
/// How often a script is tried with Linux: real time on a busy machine is not exact.
const TRIES: u32 = 3;
/// Scripts that are carried out with Linux at the same time.
const WORKERS: usize = 24;

/// How an exchange ended: well, with what was sent and received, or with a difference.
pub type Exchange = Result<Vec<String>, Box<Difference>>;

/// The sequence numbers at the start of the streams of Byway's runs: as they come, and so that
/// they pass zero, and the middle, early in the exchange.
const STARTS: [(&str, Option<u32>); 3] = [
    ("as they come", None),
    ("numbers that wrap", Some(0xffff_fff0)),
    ("numbers that change sign", Some(0x7fff_fff0)),
];

/// What became of a script with one of the stacks.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It does as the script says, as was to be expected.
    Ok,
    /// It differs, as was to be expected for this reason.
    Differs(String),
    /// It was not carried out, for this reason.
    Skipped(String),
    /// It differs, or does not although it was to be expected: the message.
    Failed(String),
}

impl Verdict {
    fn of(known: &Known, exchange: Exchange, stack: &str) -> Self {
        match (known, exchange) {
            (Known::Skipped(reason), _) => Self::Skipped(reason.clone()),
            (Known::Follows, Ok(_)) => Self::Ok,
            (Known::Follows, Err(difference)) => Self::Failed(format!("{stack}: {difference}")),
            (Known::Differs(reason), Err(_)) => Self::Differs(reason.clone()),
            (Known::Differs(reason), Ok(_)) => Self::Failed(format!(
                "{stack} does as the script says, although its header expects a difference: {reason}\n"
            )),
        }
    }

    fn word(&self, differs: &str) -> String {
        match self {
            Self::Ok => "ok".to_owned(),
            Self::Differs(_) => differs.to_owned(),
            Self::Skipped(_) => "skipped".to_owned(),
            Self::Failed(_) => "FAILED".to_owned(),
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Differs(reason) | Self::Skipped(reason) => Some(reason),
            _ => None,
        }
    }

    /// True when this is an error.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

/// Reads the scripts below a directory, or the one in a file, by path.
///
/// # Errors
/// The first that cannot be read, with the reason.
pub fn load(path: &Path) -> Result<Vec<Script>, String> {
    let mut files = Vec::new();
    list(path, &mut files)?;
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<Script, String> {
    let name = file.to_string_lossy();
    let text = std::fs::read_to_string(file).map_err(|why| format!("{name}: {why}"))?;
    // Seen from the root of the repository, whoever asked from where.
    let short = name
        .rfind("tests/script/")
        .map_or(&*name, |at| name.get(at..).unwrap_or(&name));
    parse(short, &text)
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let explain = |why: std::io::Error| format!("{}: {why}", path.display());
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for item in std::fs::read_dir(path).map_err(explain)? {
        let item = item.map_err(explain)?.path();
        if item.is_dir() || item.extension().is_some_and(|end| end == "script") {
            list(&item, files)?;
        }
    }
    Ok(())
}

/// Carries a script out with Byway, once for each start of the sequence numbers.
pub fn with_byway(script: &Script) -> Exchange {
    let mut natural = None;
    let mut first = None;
    for (name, start) in STARTS {
        let (isn, origin) = match start {
            None => (script.peer_isn.unwrap_or(1_000_000), Origin::default()),
            Some(start) => {
                // The first run told where its own numbers begin; time moves them.
                let ticks = first.map_or(0, |iss: u32| start.wrapping_sub(iss));
                let timestamp = Some(start);
                (start, Origin { ticks, timestamp })
            }
        };
        let peer = Peer { isn, clock: isn };
        let (exchange, iss) = run_byway(script, origin, peer).map_err(|mut difference| {
            write!(difference.what, "\n    numbers:   {name}").ok();
            Box::new(difference)
        })?;
        natural.get_or_insert(exchange);
        first = first.or(iss);
    }
    Ok(natural.unwrap_or_default())
}

/// One run. A panic of the engine is a failure of the script, not of all of them.
fn run_byway(
    script: &Script,
    origin: Origin,
    peer: Peer,
) -> Result<(Vec<String>, Option<u32>), Difference> {
    let run = || {
        let mut byway = Byway::new(&script.settings, origin);
        run(script, &mut byway, peer)
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(Difference {
            place: format!("{}:1", script.file),
            statement: "somewhere in the script".to_owned(),
            what: format!("panicked: {}", text.unwrap_or("no message")),
            exchange: Vec::new(),
        })
    })
}

/// What became of a script with Byway.
pub fn judge_byway(script: &Script) -> Verdict {
    if let Known::Skipped(reason) = &script.byway {
        return Verdict::Skipped(reason.clone());
    }
    Verdict::of(&script.byway, with_byway(script), "Byway")
}

/// Carries a script out with Linux; as root.
///
/// # Errors
/// A difference in all of the tries; the last of them.
pub fn with_linux(script: &Script) -> Exchange {
    let mut last = linux::carry_out(script);
    for _ in 1..TRIES {
        if last.is_ok() {
            break;
        }
        last = linux::carry_out(script);
    }
    last
}

/// Why a script is not carried out with Linux, if it is not. Those that take long are if `slow`.
fn skipped_on_linux(script: &Script, slow: bool) -> Option<Verdict> {
    if let Known::Skipped(reason) = &script.linux {
        return Some(Verdict::Skipped(reason.clone()));
    }
    let time = script.duration();
    (time > LONGEST && !slow)
        .then(|| Verdict::Skipped(format!("takes {} s of real time", time.as_secs())))
}

/// Only the scripts whose name contains a part that the environment asks for, if it does:
/// `BYWAY_SCRIPT=open/,timers/rto`.
pub fn wanted(scripts: Vec<Script>) -> Vec<Script> {
    let Ok(parts) = std::env::var("BYWAY_SCRIPT") else {
        return scripts;
    };
    let is_wanted = |script: &Script| parts.split(',').any(|part| script.name().contains(part));
    scripts.into_iter().filter(is_wanted).collect()
}

/// Whether the environment asks for the scripts that take Linux long: `BYWAY_SCRIPT_SLOW=1`.
pub fn is_slow_wanted() -> bool {
    std::env::var("BYWAY_SCRIPT_SLOW").is_ok_and(|value| value == "1")
}

/// The verdicts of Linux on all scripts; as root. Many at the same time, then those that were
/// perhaps disturbed by the others once more, alone.
pub fn judge_all_linux(scripts: &[Script], slow: bool) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(vec![None; scripts.len()]);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(scripts.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(script) = scripts.get(index) else {
                        return;
                    };
                    let verdict = first_verdict(script, slow);
                    if let Ok(mut verdicts) = verdicts.lock()
                        && let Some(slot) = verdicts.get_mut(index)
                    {
                        *slot = verdict;
                    }
                }
            });
        }
    });
    let verdicts = verdicts.into_inner().unwrap_or_default();
    let verdicts = verdicts.into_iter().zip(scripts);
    let alone = |script: &Script| Verdict::of(&script.linux, with_linux(script), "Linux");
    verdicts
        .map(|(verdict, script)| verdict.unwrap_or_else(|| alone(script)))
        .collect()
}

/// The verdict of one try; `None` when another one may say otherwise.
fn first_verdict(script: &Script, slow: bool) -> Option<Verdict> {
    if let Some(skipped) = skipped_on_linux(script, slow) {
        return Some(skipped);
    }
    let exchange = linux::carry_out(script);
    if exchange.is_err() && script.linux == Known::Follows {
        return None;
    }
    Some(Verdict::of(&script.linux, exchange, "Linux"))
}

/// A line for each script, then the reasons, then the failures in full.
pub fn table(scripts: &[Script], byway: &[Verdict], linux: &[Verdict]) -> String {
    let wide = scripts.iter().map(|script| script.name().len()).max();
    let wide = wide.unwrap_or(0).max(6);
    let mut text = format!("{:wide$}  {:8} {:8} \n", "script", "Byway", "Linux");
    let mut failures = String::new();
    for ((script, byway), linux) in scripts.iter().zip(byway).zip(linux) {
        let (left, right) = (byway.word("open"), linux.word("differs"));
        let reasons = [byway.reason(), linux.reason()];
        let reasons: Vec<&str> = reasons.into_iter().flatten().collect();
        let line = format!(
            "{:wide$}  {left:8} {right:8} {}",
            script.name(),
            reasons.join("; ")
        );
        writeln!(text, "{}", line.trim_end()).ok();
        for verdict in [byway, linux] {
            if let Verdict::Failed(why) = verdict {
                writeln!(failures, "\n{why}").ok();
            }
        }
    }
    text + &failures
}
