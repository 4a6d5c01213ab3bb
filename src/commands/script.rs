//! The supervisor of the event scripts of one sync.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tmux_roster::sync::{self, LOG_VARIABLE, Script};

/// How long a script may run.
const LIMIT: Duration = Duration::from_secs(10);

/// How long the next script waits for one: they run in the order of the events, and one that
/// takes its time does not hold up all others.
const TURN: Duration = Duration::from_secs(1);

/// A script at work.
struct Running {
    child: Child,
    started: Instant,
    event: String,
    program: String,
}

/// Runs the scripts that standard input has, each as a command without a shell; ends each, and
/// what it started, after the limit. What one says and how it ends is its own affair: only that it
/// could not be started, or had to be ended, is logged.
pub fn supervise() -> ExitCode {
    let Ok(scripts) = serde_json::from_reader::<_, Vec<Script>>(std::io::stdin()) else {
        return ExitCode::FAILURE;
    };
    let mut running: Vec<Running> = Vec::new();
    for script in scripts {
        let started = Instant::now();
        running.extend(start(script));
        let mut pause = Duration::from_millis(1);
        // The newest is the last, if it is still there.
        while running.last().is_some_and(|last| last.started >= started) && started.elapsed() < TURN
        {
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(100));
            end_late(&mut running);
        }
    }
    while !running.is_empty() {
        std::thread::sleep(Duration::from_millis(100));
        end_late(&mut running);
    }
    ExitCode::SUCCESS
}

fn start(script: Script) -> Option<Running> {
    let (program, args) = script.words.split_first()?;
    let event = script.environment.iter().find(|(name, _)| name == "ROSTER_EVENT");
    let event = event.map(|(_, event)| event.clone()).unwrap_or_default();
    let spawned = Command::new(program)
        .args(args)
        .envs(script.environment.iter().map(|(name, value)| (name, value)))
        .env_remove(LOG_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => {
            Some(Running { child, started: Instant::now(), event, program: program.clone() })
        }
        Err(error) => {
            log(&event, &format!("could not start {program:?}: {error}"));
            None
        }
    }
}

/// Forgets those that ended, and ends those that took too long.
fn end_late(running: &mut Vec<Running>) {
    running.retain_mut(|script| {
        if !matches!(script.child.try_wait(), Ok(None)) {
            return false;
        }
        if script.started.elapsed() < LIMIT {
            return true;
        }
        if let Some(group) = Pid::from_raw(script.child.id() as i32) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = script.child.wait();
        log(&script.event, &format!("{:?} was ended after {} s", script.program, LIMIT.as_secs()));
        false
    });
}

fn log(event: &str, what: &str) {
    if let Some(path) = env::var_os(LOG_VARIABLE) {
        sync::log_to(Path::new(&path), &format!("the script for {event}: {what}"));
    }
}
