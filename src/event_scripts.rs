//! The user's scripts for events: which are to run, and the supervisor that runs them.

use std::env;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::config::{Place, Settings};
use crate::log::log_to;
use crate::model::reconcile::Event;
use crate::tmux::server::RETRY_VARIABLE;

/// Tells the supervisor of scripts where to log.
pub const LOG_VARIABLE: &str = "ROSTER_LOG";

/// One run of a user's script, as its supervisor is told of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Script {
    /// The command, a word each.
    pub words: Vec<String>,
    /// What it finds in its environment.
    pub environment: Vec<(String, String)>,
}

/// Starts the user's scripts for what happened, under a supervisor that nobody waits for: a
/// hundred sessions that end at once must not start a hundred programs at once, and while the
/// lock is held one program is all there is time for.
pub fn run_scripts(place: &Place, settings: &Settings, events: &[Event]) {
    let script_of = |event: &Event| {
        let (_, words) = settings.scripts.iter().find(|(kind, _)| *kind == event.kind)?;
        let session = &event.session;
        let own = [
            ("ROSTER_EVENT", event.kind.word()),
            ("ROSTER_OLD_NAME", event.old_name.as_deref().unwrap_or_default()),
        ];
        let environment = own.into_iter().chain(session.variables());
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(Script { words: words.clone(), environment: environment.collect() })
    };
    let scripts: Vec<Script> = events.iter().filter_map(script_of).collect();
    if scripts.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(told) = serde_json::to_vec(&scripts) else { return };
    let supervisor = Command::new(&program)
        .arg("run-scripts")
        .env(LOG_VARIABLE, place.log())
        .env_remove("TMUX_PANE")
        .env_remove(RETRY_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn();
    if let Some(mut stdin) = supervisor.ok().and_then(|mut supervisor| supervisor.stdin.take()) {
        let _ = stdin.write_all(&told);
    }
}

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
    let mut told = Vec::new();
    let read = std::io::stdin().read_to_end(&mut told);
    let (Ok(_), Ok(scripts)) = (read, serde_json::from_slice::<Vec<Script>>(&told)) else {
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
            complain(&event, &format!("could not start {program:?}: {error}"));
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
        complain(
            &script.event,
            &format!("{:?} was killed after {} s", script.program, LIMIT.as_secs()),
        );
        false
    });
}

fn complain(event: &str, what: &str) {
    if let Some(path) = env::var_os(LOG_VARIABLE) {
        log_to(Path::new(&path), &format!("the script for {event}: {what}"));
    }
}
