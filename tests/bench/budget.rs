//! What a sync without change costs in system calls and instructions: nearly the same in every
//! run and on every machine, so a figure can be committed and held to.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::{Value, json};

use crate::Subject;
use crate::place::{Place, on_path, rest, run, wait_until};

/// How many sessions live while it is measured.
const SESSIONS: usize = 100;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/budget.json")
}

/// A dynamic program runs its loader first, which is not our doing.
pub fn linkage(subject: &Subject) -> &'static str {
    let bytes = fs::read(&subject.roster).unwrap_or_default();
    let loader = b"/ld-linux";
    if bytes.windows(loader.len()).any(|part| part == loader) { "dynamic" } else { "static" }
}

/// Fails if a figure is more than a tenth over the committed one.
pub fn check(subject: &Subject) -> ExitCode {
    let text = fs::read_to_string(path()).expect("tests/bench/budget.json");
    let budget: Value = serde_json::from_str(&text).expect("JSON");
    let figures = measure(subject, SESSIONS);
    let mut code = ExitCode::SUCCESS;
    for (name, found) in [("system calls", figures.calls), ("instructions", figures.instructions)] {
        let committed = budget[linkage(subject)][name].as_u64();
        match (committed, found) {
            (Some(committed), Some(found)) if found * 10 > committed * 11 => {
                println!(
                    "budget: {found} {name}, more than a tenth over the {committed} of tests/bench/budget.json"
                );
                code = ExitCode::FAILURE;
            }
            (Some(committed), Some(found)) => println!("budget: {found} {name} of {committed}"),
            (None, _) => {
                println!("budget: no {name} committed for a {} program: skipped", linkage(subject))
            }
            (_, None) => {
                println!("budget: {name} cannot be counted here (strace, valgrind): skipped")
            }
        }
    }
    code
}

/// Commits what is measured now.
pub fn set(subject: &Subject) -> ExitCode {
    let text = fs::read_to_string(path()).unwrap_or_else(|_| "{}".into());
    let mut budget: Value = serde_json::from_str(&text).expect("JSON");
    let figures = measure(subject, SESSIONS);
    budget[linkage(subject)] =
        json!({ "system calls": figures.calls, "instructions": figures.instructions });
    let text = serde_json::to_string_pretty(&budget).expect("JSON") + "\n";
    fs::write(path(), &text).expect("tests/bench/budget.json");
    print!("{text}");
    ExitCode::SUCCESS
}

#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub calls: Option<u64>,
    pub instructions: Option<u64>,
    pub memory_kb: Option<u64>,
}

/// Of a sync without change at this many sessions, the program alone and not the tmux it calls.
pub fn measure(subject: &Subject, sessions: usize) -> Figures {
    let place = Place::new(subject, "");
    place.fill(sessions);
    let dir = place.folder.join("dir");
    for _ in 0..3 {
        run(&mut place.hook_job(&dir, &subject.tmux));
    }
    let job = || place.hook_job(&dir, &subject.tmux);
    Figures {
        calls: least(|| calls(&place, &job())),
        instructions: least(|| instructions(&place, &job())),
        memory_kb: peak_memory(&place, &job()),
    }
}

/// Waiting for tmux takes a call more or less: the least of some runs is stable. Each is of a job
/// that comes by itself, as most do.
fn least(mut count: impl FnMut() -> Option<u64>) -> Option<u64> {
    let mut count = || {
        rest();
        count()
    };
    (0..9).map(|_| count()).min().flatten()
}

/// `command` run by another program, which gets these arguments first.
pub fn under(
    place: &Place<'_>,
    program: &str,
    args: &[&str],
    command: &Command,
) -> Option<Command> {
    let mut outer = place.command(&on_path(program)?);
    outer.args(args).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        value.map(|value| outer.env(name, value));
    }
    Some(outer)
}

fn calls(place: &Place<'_>, command: &Command) -> Option<u64> {
    let trace = place.folder.join("trace");
    let file = trace.display().to_string();
    let mut strace = under(place, "strace", &["-o", &file, "--"], command)?;
    strace.status().ok().filter(|status| status.success())?;
    let text = fs::read_to_string(&trace).ok()?;
    // Without a name and a parenthesis it is the end, or a signal.
    let calls = text.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_lowercase())).count();
    Some(calls as u64).filter(|calls| *calls > 0)
}

fn instructions(place: &Place<'_>, command: &Command) -> Option<u64> {
    let args = ["--tool=callgrind", "--callgrind-out-file=/dev/null", "--"];
    let output = under(place, "valgrind", &args, command)?.stderr(Stdio::piped()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let line = text.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

/// The peak of what it had in memory, read while strace holds it at its very last call.
pub fn peak_memory(place: &Place<'_>, command: &Command) -> Option<u64> {
    let args =
        ["-o", "/dev/null", "-e", "trace=exit_group", "-e", "inject=exit_group:delay_enter=300000"];
    let mut strace = under(place, "strace", &args, command)?.spawn().ok()?;
    let children = format!("/proc/{0}/task/{0}/children", strace.id());
    let mut peak = None;
    wait_until(|| {
        let child = fs::read_to_string(&children).unwrap_or_default();
        let child = child.split_whitespace().next().unwrap_or("0");
        // Until it has become the program, strace's own memory is what is seen.
        let is_roster = fs::read_link(format!("/proc/{child}/exe")).ok()
            == Some(PathBuf::from(command.get_program()));
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let found = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let found = found.and_then(|kb| kb.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(found.filter(|_| is_roster));
        strace.try_wait().expect("its state").is_some()
    });
    peak
}
