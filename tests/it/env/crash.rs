//! Processes that are killed at any moment or system call, and what they leave.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{Folder, can};

/// Whether strace can trace here; containers may forbid it.
pub fn can_trace(test: &str) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-o", "/dev/null", "-e", "inject=getpid:signal=KILL", "true"]);
    can(test, &mut strace)
}

/// Ends a process at that moment, wherever it is by then, if it has not ended by itself.
pub fn kill_at(child: &mut Child, moment: Instant) {
    while Instant::now() < moment && child.try_wait().expect("its state").is_none() {
        std::thread::yield_now();
    }
    child.kill().expect("kill");
}

/// The calls that change files: a crash is tried at each of these.
const HEART: [&str; 5] = ["write", "fsync", "rename", "unlink", "ftruncate"];

/// Runs `command` once to its end, and then once more for each system call that it made, killed
/// there; `check` is asked after each, with the number of the run. Of the calls that change no
/// file only every `stride`th is taken, unless it is a soak.
///
/// Gives the kinds of calls that it was killed at.
///
/// strace counts for each kind of call by itself (`inject=all:when=3` is the third `read` or the
/// third `write`, whichever comes first, and never the only `rename`), so each call is named by
/// its kind and its place among those.
pub fn kill_at_every_call(
    stride: usize,
    mut command: impl FnMut() -> Command,
    mut check: impl FnMut(usize),
) -> BTreeSet<String> {
    let stride = if std::env::var_os("ROSTER_SOAK").is_some() { 1 } else { stride };
    let folder = Folder::new();
    let trace = folder.path().join("trace");
    let mut run = |options: &[&str]| {
        let plain = command();
        let mut strace = Command::new("strace");
        strace.arg("-o").arg(&trace).args(options);
        strace.arg(plain.get_program()).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            value.map(|value| strace.env(name, value));
        }
        let status = strace.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        status.success()
    };
    assert!(run(&[]), "it ends well if nobody kills it");
    check(1);
    let text = fs::read_to_string(&trace).unwrap();
    let calls = text.lines().filter_map(|line| line.split_once('('));
    let is_call =
        |(kind, _): &(&str, &str)| kind.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    // The first starts the program, and is over before strace injects anything.
    let calls: Vec<(&str, &str)> = calls.filter(is_call).skip(1).collect();
    let (mut counts, mut killed) = (BTreeMap::new(), BTreeSet::new());
    let (mut tried, mut kills) = (0, 0);
    for (at, (kind, words)) in calls.iter().enumerate() {
        let count = counts.entry(*kind).or_insert(0);
        *count += 1;
        let opens = kind.starts_with("open") && words.contains("O_WRONLY");
        if at % stride != 0 && !opens && !HEART.iter().any(|heart| kind.starts_with(heart)) {
            continue;
        }
        tried += 1;
        // Waits for tmux differ from run to run: one call more or less may never come.
        if !run(&["-e", &format!("inject={kind}:signal=KILL:when={count}")]) {
            kills += 1;
            killed.insert((*kind).to_owned());
        }
        check(tried + 1);
    }
    assert!(kills * 4 > tried * 3, "{kills} of {tried} calls were reached");
    eprintln!("killed at {kills} of {} calls: {killed:?}", calls.len());
    killed
}

/// Whether the heart of a write was hit: the calls that put a file in the place of another.
pub fn hit_the_heart(killed: &BTreeSet<String>) -> bool {
    killed.iter().any(|kind| kind.starts_with("rename")) && killed.contains("fsync")
}

/// What a crash left behind in a folder.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".tmp.")).collect()
}
