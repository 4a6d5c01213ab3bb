//! What a machine must have for a test, and what is said where it has not.

use std::io::Write;
use std::process::{Command, Stdio};

/// Why a test cannot run here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// A program is missing, or is not what it should be: whoever set this machine up can help.
    Program,
    /// The system forbids it to this user, as a container may even to root.
    Permission,
}

/// Says that a test, or a part of it, is left out, and lets it pass; past the test harness, which
/// shows nobody what a test that passes prints.
///
/// A gate must not pass because its machine lacks something: there (CI=true, on Linux) the lack
/// of a program fails the test. What a system forbids, only who set it up can know to be wrong:
/// TEST_NO_SKIP=1 says that nothing is.
pub fn skip(what: &str, lack: Lack, reason: &str) {
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let reason = reason.trim().replace('\n', "; ");
    let must_run = cfg!(target_os = "linux") && is("CI", "true") && lack == Lack::Program;
    assert!(!must_run && !is("TEST_NO_SKIP", "1"), "{what}: cannot run here: {reason}");
    let line = format!("SKIPPED: {what}: {reason}\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Runs something that shows whether tests can be run; what it says if not, and what is lacking.
pub fn try_out(trial: &mut Command) -> Result<(), (Lack, String)> {
    let output = trial.env("LC_ALL", "C").stdin(Stdio::null()).output();
    let output = output.map_err(|error| {
        (Lack::Program, format!("{}: {error}", trial.get_program().to_string_lossy()))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_forbidden = ["not permitted", "ermission denied"].iter().any(|no| said.contains(no));
    Err((if is_forbidden { Lack::Permission } else { Lack::Program }, said))
}

/// Whether a trial succeeds; the test is left out if not.
pub fn can(test: &str, trial: &mut Command) -> bool {
    try_out(trial).map_err(|(lack, said)| skip(test, lack, &said)).is_ok()
}

/// Whether we may make mounts of our own.
pub fn can_mount(test: &str) -> bool {
    can(test, Command::new("unshare").args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]))
}
