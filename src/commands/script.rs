//! The supervisor of one event script.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tmux_roster::sync::{self, LOG_VARIABLE};

/// How long a script may run.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the words as a command, without a shell; ends it, and what it started, after the limit.
/// What it says and how it ends is its own affair: only that it could not be started, or had to be
/// ended, is logged.
pub fn supervise(words: &[String]) -> ExitCode {
    let Some((program, args)) = words.split_first() else { return ExitCode::SUCCESS };
    let started = Instant::now();
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_remove(LOG_VARIABLE)
        .process_group(0)
        .spawn();
    let log = |what: &str| {
        if let Some(path) = env::var_os(LOG_VARIABLE) {
            let event = env::var("ROSTER_EVENT").unwrap_or_default();
            sync::log_to(Path::new(&path), &format!("the script for {event}: {what}"));
        }
    };
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            log(&format!("could not start {program:?}: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let mut pause = Duration::from_millis(1);
    while started.elapsed() < LIMIT {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(pause),
            _ => return ExitCode::SUCCESS,
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    log(&format!("{program:?} was ended after {} s", LIMIT.as_secs()));
    ExitCode::FAILURE
}
