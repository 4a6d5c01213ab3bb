//! Waits by polling; whoever waits says for what.

use std::time::{Duration, Instant};

/// How long anything may take on a loaded machine before a test calls it missing.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What a loaded machine adds to a time limit of the program.
pub const LOAD: Duration = Duration::from_secs(5);

/// Polls until `look` finds something; says what was missing if it never does.
pub fn wait_for<T>(look: impl FnMut() -> Option<T>, missing: impl Fn() -> String) -> T {
    wait_at_most(PATIENCE, look, missing)
}

/// The same for what may take longer than anything else.
pub fn wait_at_most<T>(
    patience: Duration,
    mut look: impl FnMut() -> Option<T>,
    missing: impl Fn() -> String,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < patience, "waited in vain for {}", missing());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Polls until so much time has passed: for what depends on how long after something it comes.
pub fn wait_until_past(since: Instant, long: Duration) {
    wait_for(|| (since.elapsed() >= long).then_some(()), || format!("{long:?} to pass"));
}

/// Polls for so long that something stays as it is; says what changed if it does not.
pub fn check_stays(long: Duration, mut is_so: impl FnMut() -> bool, what: impl Fn() -> String) {
    let start = Instant::now();
    let past = || {
        assert!(is_so(), "after {:?} no more: {}", start.elapsed(), what());
        (start.elapsed() >= long).then_some(())
    };
    wait_for(past, || format!("{long:?} to pass"));
}
