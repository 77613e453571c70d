//! SIGINT, SIGTERM and SIGHUP end a task between two steps, so that it can undo what it did.

use crate::{Failure, Outcome};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Replaces the default action of the signals by a note that they came.
pub(crate) fn install() -> Outcome {
    let flag = REQUESTED.get_or_init(Arc::default);
    for signal in [
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ] {
        signal_hook::flag::register(signal, Arc::clone(flag))
            .map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
    }
    Ok(())
}

/// True once one of the signals came.
pub(crate) fn requested() -> bool {
    REQUESTED
        .get()
        .is_some_and(|flag| flag.load(Ordering::Relaxed))
}

/// An error once one of the signals came.
pub(crate) fn check() -> Outcome {
    if requested() {
        Err(Failure::interrupted())
    } else {
        Ok(())
    }
}
