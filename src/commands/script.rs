//! The supervisor of one event script.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a script may run.
const LIMIT: Duration = Duration::from_secs(10);

/// Runs the words as a command, without a shell; ends it, and what it started, after the limit.
pub fn supervise(words: &[String]) -> ExitCode {
    let Some((program, args)) = words.split_first() else { return ExitCode::SUCCESS };
    let started = Instant::now();
    let spawned = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let Ok(mut child) = spawned else { return ExitCode::FAILURE };
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
    ExitCode::FAILURE
}
