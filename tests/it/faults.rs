//! Crashes, full disks, many at once, and a tmux that goes away, hangs or lies: afterwards the
//! registry is whole, and it is the old one or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::env::{Folder, ROSTER, Server, tmux_program, tmux_version, wait_at_most, wait_for};

/// What a hook's job may take, and what a loaded machine adds to it.
const JOB_BOUND: Duration = Duration::from_secs(10 + 5);

/// Whether strace can trace here; containers may forbid it.
pub fn can_trace(test: &str) -> bool {
    let traced = Command::new("strace")
        .args(["-o", "/dev/null", "-e", "inject=getpid:signal=KILL", "true"])
        .stderr(Stdio::null())
        .status();
    let can = traced.is_ok_and(|status| status.success());
    if !can {
        eprintln!("{test}: skipped, strace cannot trace here");
    }
    can
}

/// Whether we may make mounts of our own.
fn can_mount(test: &str) -> bool {
    let mounted = Command::new("unshare")
        .args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null())
        .status();
    let can = mounted.is_ok_and(|status| status.success());
    if !can {
        eprintln!("{test}: skipped, no mounts here");
    }
    can
}

fn script(path: &Path, body: &str) {
    fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn store(file: &Path, args: &[&str]) -> Output {
    Command::new(ROSTER).args(["store", "--file"]).arg(file).args(args).output().unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_default())
        .unwrap_or_else(|error| panic!("{} is whole: {error}", path.display()))
}

/// What a crash left behind in a folder.
pub fn leftovers(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.contains(".tmp.")).collect()
}

/// A job as a hook starts it, with this tmux program.
pub fn hook_job(server: &Server, tmux: &Path) -> Command {
    hook_job_in(server, tmux, server.registry_path().parent().unwrap())
}

fn hook_job_in(server: &Server, tmux: &Path, dir: &Path) -> Command {
    let mut command = server.command(ROSTER);
    command.args(["-L", "s", "sync", "--hook", "--dir"]).arg(dir).arg("--tmux").arg(tmux);
    if tmux_version() < (3, 2) {
        command.arg("--old-mark");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Ends well, says nothing, and in time.
fn check_job(child: Child, started: Instant) {
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < JOB_BOUND, "{:?}", started.elapsed());
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
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

#[test]
fn a_save_killed_at_any_system_call_leaves_the_old_registry_or_the_new() {
    if !can_trace("a save killed at any system call") {
        return;
    }
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    assert!(store(&file, &["save", "kept", "/w", "safe"]).status.success());
    let kept = json(&file)["sessions"]["kept"].clone();
    let old = fs::read(&file).unwrap();
    let save = || {
        fs::write(&file, &old).unwrap();
        let mut command = Command::new(ROSTER);
        command.args(["store", "--file"]).arg(&file).args(["save", "new", "/w", "safe"]);
        command
    };
    let killed = kill_at_every_call(1, save, |call| {
        let now = json(&file);
        let names: Vec<&String> = now["sessions"].as_object().unwrap().keys().collect();
        assert!(names == ["kept"] || names == ["kept", "new"], "at call {call}: {names:?}");
        assert_eq!(now["sessions"]["kept"], kept, "at call {call}");
        // The lock is free, and the next writer cleans up.
        assert!(store(&file, &["mode", "kept", "safe"]).status.success(), "at call {call}");
        assert!(leftovers(folder.path()).is_empty(), "{:?}", leftovers(folder.path()));
    });
    assert!(hit_the_heart(&killed), "{killed:?}");
    assert!(json(&file)["sessions"]["new"].is_object());
}

#[test]
fn a_sync_killed_at_any_system_call_loses_nothing() {
    if !can_trace("a sync killed at any system call") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let mut seen = BTreeSet::new();
    let (mut turn, mut made) = (0, 0);
    // Each sync finds one session closed and one new: all three files are written.
    let change = || {
        turn += 1;
        let (old, new) = (format!("n{}", turn - 1), format!("n{turn}"));
        server.try_tmux(&["kill-session", "-t", &format!("={old}")]);
        server.tmux(&["new-session", "-d", "-s", &new]);
        hook_job(&server, &tmux_program())
    };
    let killed = kill_at_every_call(1, change, |call| {
        made = call;
        seen.extend(uuids(&server).into_keys());
        check_records(&server, &seen);
    });
    assert!(hit_the_heart(&killed), "{killed:?}");
    server.roster(&["sync"]);
    // Wherever a sync was cut off: what was closed while its server lived on is closed, not lost.
    let listed: Value = serde_json::from_str(&server.roster(&["list", "--json"])).unwrap();
    let states = listed.as_array().unwrap().iter();
    let states: BTreeMap<&str, &str> =
        states.map(|row| (row["name"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
    let last = format!("n{made}");
    assert_eq!(states, BTreeMap::from([("one", "live"), (last.as_str(), "live")]));
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    server.roster(&["sync"]);
    assert!(leftovers(&dir).is_empty(), "{:?}", leftovers(&dir));
}

/// Every UUID in both files, with the names it stands under.
pub fn uuids(server: &Server) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |session: &Value| {
        let text = |field: &str| session[field].as_str().unwrap().to_owned();
        found.entry(text("uuid")).or_default().push(text("name"));
    };
    if let Some(sessions) = server.registry()["sessions"].as_object() {
        sessions.values().for_each(&mut add);
    }
    let closed = server.registry_path().with_file_name("closed.json");
    if closed.exists() {
        for entry in json(&closed)["closed"].as_array().unwrap() {
            add(&entry["session"]);
        }
    }
    found
}

/// Nothing that was ever recorded is missing from both files.
pub fn check_records(server: &Server, seen: &BTreeSet<String>) {
    let known = uuids(server);
    let missing: Vec<&String> = seen.iter().filter(|uuid| !known.contains_key(*uuid)).collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:?}");
}

#[test]
fn a_write_that_the_disk_refuses_changes_nothing() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    for n in 0..40 {
        store(&file, &["save", &format!("session-{n}"), "/some/directory", "safe"]);
    }
    let before = fs::read(&file).unwrap();
    // The limit stands for a disk that is full: a write stops in the middle.
    let limited = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh", ROSTER, "store", "--file"])
        .arg(&file)
        .args(["save", "new", "/w", "safe"])
        .output()
        .unwrap();
    assert_eq!(limited.status.code(), Some(1));
    assert!(stderr(&limited).contains("could not write"), "{}", stderr(&limited));
    assert_eq!(fs::read(&file).unwrap(), before);
    assert!(leftovers(folder.path()).is_empty());
    assert!(store(&file, &["save", "new", "/w", "safe"]).status.success());
}

#[test]
fn a_full_disk_and_a_read_only_one_are_survived() {
    if !can_mount("a full disk and a read-only one") {
        return;
    }
    let folder = Folder::new();
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let body = r#"
set -eu
roster=$1 disk=$2 file=$2/sessions.json
save() { "$roster" store --file "$file" save "$1" /w safe >/dev/null; }
mount -t tmpfs -o size=64k none "$disk"
save kept
cp "$file" "$disk/copy"
dd if=/dev/zero of="$disk/filler" bs=1k 2>/dev/null || :
if save new 2>"$disk/../full"; then echo 'a full disk was written to'; exit 1; fi
cmp "$file" "$disk/copy"
rm "$disk/filler"
save new
mount -o remount,ro "$disk"
if save other 2>"$disk/../ro"; then echo 'a read-only disk was written to'; exit 1; fi
[ "$("$roster" store --file "$file" names)" = '["kept","new"]' ]
mount -o remount,rw "$disk"
save other
[ "$("$roster" store --file "$file" names)" = '["kept","new","other"]' ]
! ls -A "$disk" | grep -F .tmp.
"#;
    let mut command = Command::new("unshare");
    let output = command.args(["-m", "sh", "-c", body, "sh", ROSTER]).arg(&disk).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    for (name, reason) in [("full", "No space left"), ("ro", "Read-only")] {
        let said = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(said.starts_with("roster: could not") && said.contains(reason), "{said}");
    }
}

/// As slow as it can get: the disk comes back when we say so.
#[test]
fn while_a_disk_takes_its_time_tmux_answers_hooks_wait_and_nothing_is_lost() {
    if !can_trace("a disk that takes its time") {
        return;
    }
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let (one, trace, pid) = (server.uuid("one"), server.path("trace"), server.path("pid"));
    // The hooks see nothing of this change, so that the slow one is the first to write it.
    server.tmux(&["set-option", "-t", &server.id("one"), "@roster_mode", "slow"]);
    let job = hook_job(&server, &tmux_program());
    let mut slow = server.command("strace");
    slow.arg("-o").arg(&trace).args(["-e", "trace=fsync", "-e", "inject=fsync:signal=STOP:when=1"]);
    slow.args(["sh", "-c", "echo $$ >\"$0\"; exec \"$@\""]).arg(&pid);
    slow.arg(job.get_program()).args(job.get_args());
    let slow = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let traced = || fs::read_to_string(&trace).unwrap_or_default();
    wait_for(|| traced().contains("stopped by SIGSTOP").then_some(()), traced);

    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.tmux(&["new-session", "-d", "-s", "gone"]);
    server.tmux(&["kill-session", "-t", "=gone"]);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "two\nuno");
    let waiting = hook_job(&server, &tmux_program()).spawn().unwrap();
    // Readers see what stood there before, and wait for nobody.
    assert_eq!(server.roster(&["names"]), "one\n");
    assert_eq!(server.field("one", "mode"), "safe");

    let pid = fs::read_to_string(&pid).unwrap().trim().parse().ok().and_then(Pid::from_raw);
    let started = Instant::now();
    kill_process(pid.unwrap(), Signal::CONT).unwrap();
    check_job(slow, started);
    check_job(waiting, started);
    server.wait_for_names(&["two", "uno"]);
    server.wait_until_quiet();
    assert_eq!((server.uuid("uno"), server.field("uno", "mode")), (one, "slow".into()));
}

#[test]
fn a_full_option_table_hides_nothing() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let id = server.id("one");
    let (long, value) = ("m".repeat(100), "v".repeat(10_000));
    let mut lines = String::new();
    for n in 0..3000 {
        lines += &format!("set-option -g @g{n} 'x{n} ~ #{{pid}}'\n");
        lines += &format!("set-option -t '{id}' @s{n} 'y{n}'\n");
        lines += &format!("set-environment -t '{id}' S{n} 'y{n}'\n");
    }
    for n in 0..50 {
        lines += &format!("set-option -t '{id}' @long{n} '{value}'\n");
    }
    // As long as a value may get that is set by one command, twenty times over.
    for append in ["", "a"].into_iter().chain(std::iter::repeat_n("a", 18)) {
        lines += &format!("set-option -{append}t '{id}' @roster_mode '{value}'\n");
    }
    fs::write(server.path("options"), lines).unwrap();
    server.tmux(&["source-file", &server.dir("options")]);
    server.tmux(&["set-option", "-g", "@roster-ignore", &format!("{long} ").repeat(100)]);

    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_quiet();
    assert_eq!(server.field("one", "mode"), value.repeat(20));
    for name in ["one", "two"] {
        assert_eq!(stamps(&server)[name], server.uuid(name));
    }
    let told = |name: &str| server.tmux(&["show-environment", "-t", &id, name]);
    assert_eq!(told("ROSTER_UUID"), format!("ROSTER_UUID={}", server.uuid("one")));
    assert_eq!(told("ROSTER_MODE"), format!("ROSTER_MODE={}", value.repeat(20)));
    server.roster(&["rename", "one", "uno"]);
    server.roster(&["mode", "uno", "yolo"]);
    assert_eq!(told("ROSTER_SESSION"), "ROSTER_SESSION=uno");
    assert_eq!(told("ROSTER_MODE"), "ROSTER_MODE=yolo");
    assert_eq!(
        server.roster(&["list", "--state", "live", "--json"]).matches("\"live\"").count(),
        2
    );
}

#[test]
fn what_is_no_registry_is_left_alone() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    fs::create_dir(&file).unwrap();
    fs::write(file.join("inside"), "x").unwrap();
    for args in [&["save", "new", "/w", "safe"][..], &["list"], &["names"], &["delete-all"]] {
        let output = store(&file, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("not a file"), "{}", stderr(&output));
    }
    assert_eq!(fs::read(file.join("inside")).unwrap(), b"x");
    fs::remove_dir_all(&file).unwrap();
    assert!(store(&file, &["save", "new", "/w", "safe"]).status.success());
}

#[test]
fn a_clock_that_was_set_back_delays_nobody() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let lock = server.registry_path().with_extension("json.lock");
    for (old, time) in [("one", "2099-01-01"), ("2099-01-01", "1971-01-01")] {
        assert!(Command::new("touch").args(["-d", time]).arg(&lock).status().unwrap().success());
        server.tmux(&["rename-session", "-t", &format!("={old}:"), time]);
        let started = Instant::now();
        check_job(hook_job(&server, &tmux_program()).spawn().unwrap(), started);
        server.wait_for_names(&[time]);
    }
}

#[test]
fn two_hundred_at_once_lose_no_update() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    for n in 0..40 {
        store(&file, &["save", &format!("d{n}"), "/w", "safe"]);
        store(&file, &["save", &format!("r{n}"), "/w", "safe"]);
        store(&file, &["save", &format!("m{n}"), "/w", "safe"]);
    }
    let started = Instant::now();
    let mut children = Vec::new();
    for n in 0..200 {
        let k = n / 5;
        let (d, r, m, s, z) =
            (format!("d{k}"), format!("r{k}"), format!("m{k}"), format!("s{k}"), format!("z{k}"));
        let args: Vec<&str> = match n % 5 {
            0 => vec!["save", &s, "/w", "safe"],
            1 => vec!["delete", &d],
            2 => vec!["rename", &r, &z],
            3 => vec!["mode", &m, "yolo"],
            _ if k % 2 == 0 => vec!["list"],
            _ => vec!["backup"],
        };
        let mut command = Command::new(ROSTER);
        command.args(["store", "--file"]).arg(&file).args(&args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        children.push((args.join(" "), command.spawn().unwrap()));
    }
    // A slow machine may make somebody wait for longer than the 2 s limit: an error that says
    // so, and then nothing was done. Silent loss is what must not be.
    let mut refused = BTreeSet::new();
    for (args, child) in children {
        let output = child.wait_with_output().unwrap();
        if !output.status.success() {
            assert!(stderr(&output).contains("could not get the lock"), "{}", stderr(&output));
            refused.insert(args);
        }
    }
    assert!(started.elapsed() < Duration::from_secs(60));
    let sessions = json(&file)["sessions"].as_object().unwrap().clone();
    for k in 0..40 {
        let done = |args: String| !refused.contains(&args);
        assert_eq!(sessions.contains_key(&format!("s{k}")), done(format!("save s{k} /w safe")));
        assert_eq!(!sessions.contains_key(&format!("d{k}")), done(format!("delete d{k}")));
        assert_eq!(sessions.contains_key(&format!("z{k}")), done(format!("rename r{k} z{k}")));
        let mode = if done(format!("mode m{k} yolo")) { "yolo" } else { "safe" };
        assert_eq!(sessions[&format!("m{k}")]["mode"], mode);
    }
    assert!(leftovers(folder.path()).is_empty());
}

/// A job that holds the lock, asks a tmux that never answers, and is stopped there.
pub fn stopped_holder(server: &Server) -> Child {
    let (stub, asked) = (server.path("hanging"), server.path("asked"));
    script(&stub, &format!(": >'{}'; exec sleep 60", asked.display()));
    let holder = hook_job(server, &stub).spawn().unwrap();
    wait_for(|| asked.exists().then_some(()), || "the question to tmux".into());
    kill_process(Pid::from_child(&holder), Signal::STOP).unwrap();
    holder
}

#[test]
fn a_stopped_holder_delays_jobs_and_people_within_their_bounds() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    let mut holder = stopped_holder(&server);
    let started = Instant::now();
    // Its hook starts a job that cannot get the lock.
    server.tmux(&["rename-session", "-t", "=one:", "two"]);
    check_job(hook_job(&server, &tmux_program()).spawn().unwrap(), started);
    assert!(started.elapsed() > Duration::from_secs(5), "a job waits for as long as it may");
    assert_eq!(server.names(), ["one"]);
    let started = Instant::now();
    let typed = server.try_roster(&["sync"]);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(typed.status.code(), Some(1));
    let said = stderr(&typed);
    assert!(said.contains("sessions.json.lock") && said.contains("another process"), "{said}");
    // Readers do not care.
    assert_eq!(server.roster(&["names"]), "one\n");
    holder.kill().unwrap();
    holder.wait().unwrap();
    if tmux_version() >= (3, 2) {
        // The look that the job left for later, and no event.
        server.wait_for_names(&["two"]);
    }
}

#[test]
fn a_tmux_that_never_answers_holds_nobody_up() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let before = fs::read(server.registry_path()).unwrap();
    fs::create_dir(server.path("bin")).unwrap();
    script(&server.path("bin/tmux"), "exec sleep 60");
    let started = Instant::now();
    let job = hook_job(&server, &server.path("bin/tmux")).spawn().unwrap();
    let mut typed = server.command(ROSTER);
    let typed = typed.envs(server.published(&server.path("bin/tmux")));
    let typed = typed.args(["-L", "s", "list"]).output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(typed.status.code(), Some(1));
    assert!(stderr(&typed).contains("did not answer"), "{}", stderr(&typed));
    check_job(job, started);
    assert_eq!(fs::read(server.registry_path()).unwrap(), before);
}

/// A tmux that, once it has given the snapshot, does something else before anybody acts on it.
fn meddling_tmux(server: &Server, then: &str) -> PathBuf {
    let (path, once, held) = (server.path("meddling"), server.path("once"), server.path("held"));
    let body = format!(
        "tmux() {{ '{tmux}' -u -L s -f /dev/null \"$@\"; }}\n\
         case \"$*\" in *list-sessions*)\n\
         '{tmux}' \"$@\" >'{held}'; rc=$?\n\
         if mkdir '{once}' 2>/dev/null; then {{ {then}\n}} >/dev/null 2>&1; fi\n\
         cat '{held}'; exit $rc;;\nesac\nexec '{tmux}' \"$@\"",
        tmux = tmux_program().display(),
        once = once.display(),
        held = held.display(),
    );
    script(&path, &body);
    path
}

/// Session names with the stamp that each bears.
fn stamps(server: &Server) -> BTreeMap<String, String> {
    let listed = server.tmux(&["list-sessions", "-F", "#{session_name} #{@roster_uuid}"]);
    let pairs = listed.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(name, stamp)| (name.to_owned(), stamp.to_owned())).collect()
}

#[test]
fn a_server_that_restarts_after_the_snapshot_gets_no_effects_meant_for_the_old_one() {
    let server = Server::with_config("");
    for name in ["one", "two"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    let tmux = meddling_tmux(
        &server,
        "tmux kill-server; while tmux list-sessions; do :; done\n\
         tmux new-session -d -s other -c / ; tmux new-session -d -s stranger -c /",
    );
    let started = Instant::now();
    check_job(hook_job(&server, &tmux).spawn().unwrap(), started);
    // The new server's $0 and $1 are no longer `one` and `two`.
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "other\nstranger");
    for (name, stamp) in stamps(&server) {
        assert_eq!(stamp, "", "{name} was stamped for another");
        let environment = server.tmux(&["show-environment", "-t", &server.id(&name)]);
        assert!(!environment.contains("ROSTER_"), "{environment}");
    }
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    server.roster(&["sync"]);
    server.wait_for_names(&["one", "two", "other", "stranger"]);
    assert_eq!((server.uuid("one"), server.uuid("two")), (one, two));
}

#[test]
fn a_session_closed_or_renamed_after_the_snapshot_stops_no_effects_for_the_others() {
    let server = Server::with_config("");
    for name in ["a", "b", "c"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    let tmux = meddling_tmux(
        &server,
        "tmux kill-session -t =a; tmux rename-session -t =b: bb; tmux new-session -d -s a",
    );
    let started = Instant::now();
    check_job(hook_job(&server, &tmux).spawn().unwrap(), started);
    let (a, b, c) = (server.uuid("a"), server.uuid("b"), server.uuid("c"));
    let shown = stamps(&server);
    assert_eq!((shown["bb"].as_str(), shown["c"].as_str()), (b.as_str(), c.as_str()));
    assert_eq!(shown["a"], "", "a new session bears the stamp of the one it replaced");
    server.roster(&["sync"]);
    server.wait_for_names(&["a", "bb", "c"]);
    assert_eq!((server.uuid("bb"), server.uuid("c")), (b, c));
    assert_ne!(server.uuid("a"), a);
    assert!(uuids(&server).contains_key(&a));
}

#[test]
fn what_arrived_before_tmux_stopped_answering_is_not_told_again() {
    let server = Server::with_config("");
    for n in 0..60 {
        server.tmux(&["new-session", "-d", "-s", &format!("n{n}")]);
    }
    // The first hundred commands arrive, the others never.
    let (path, once) = (server.path("tiring"), server.path("once"));
    let body = format!(
        "case \"$*\" in *source-file*) mkdir '{}' 2>/dev/null || exec sleep 60;; esac\n\
         exec '{}' \"$@\"",
        once.display(),
        tmux_program().display()
    );
    script(&path, &body);
    let started = Instant::now();
    check_job(hook_job(&server, &path).spawn().unwrap(), started);
    let told = || {
        let memory = json(&server.registry_path().with_file_name("server.json"));
        let sessions = memory["sessions"].as_object().unwrap().clone();
        sessions.values().filter(|known| known["stamps"] == 1).count()
    };
    // A stamp that was sent is not proof that all else was: five things are said of each session.
    assert!((10..=20).contains(&told()), "{} of 60", told());
    server.roster(&["sync"]);
    assert_eq!(told(), 60);
}

#[test]
fn a_thousand_sessions_are_recorded_and_stamped() {
    // Elsewhere tmux itself takes too long for a gate that runs on every change.
    let count = if tmux_version() == (3, 3) { 1000 } else { 150 };
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "first"]);
    let lines: String = (1..count).map(|n| format!("new-session -d -s n{n}\n")).collect();
    fs::write(server.path("many"), lines).unwrap();
    server.tmux(&["source-file", &server.dir("many")]);
    // Half of what a loaded machine may need for each of two waits.
    for what in ["recorded", "stamped"] {
        let all = || match what {
            "recorded" => server.names().len() == count,
            _ => stamps(&server).values().filter(|stamp| stamp.len() == 36).count() == count,
        };
        let minute = Duration::from_secs(60);
        wait_at_most(minute, || all().then_some(()), || format!("{count} that are {what}"));
    }
    server.wait_until_quiet();
    let sessions = server.registry()["sessions"].as_object().unwrap().clone();
    for (name, stamp) in stamps(&server) {
        assert_eq!(sessions[&name]["uuid"], stamp.as_str());
    }
}

/// Other tmux programs than the one under test: those that TEST_TMUX_OTHER names, with colons
/// between, or what /opt/tmux has; and stubs that do what such clients were seen to do
/// (tmux-facts, c).
fn other_clients(server: &Server) -> Vec<PathBuf> {
    let named = std::env::var_os("TEST_TMUX_OTHER").unwrap_or_default();
    let mut others: Vec<PathBuf> =
        std::env::split_paths(&named).filter(|path| path.is_file()).collect();
    if others.is_empty() {
        let entries = fs::read_dir("/opt/tmux").into_iter().flatten().flatten();
        others = entries.map(|entry| entry.path().join("bin/tmux")).collect();
        others.retain(|tmux| tmux.is_file());
    }
    if others.is_empty() {
        eprintln!("clients of other versions: stubs alone, TEST_TMUX_OTHER names none");
    }
    for (name, body) in [
        ("too-old", "echo 'server version is too old for client' >&2; exit 0"),
        ("exited", "echo 'server exited unexpectedly' >&2; exit 1"),
        ("lost", "echo 'lost server' >&2; exit 1"),
        ("mismatch", "echo 'protocol version mismatch (client 8, server 7)' >&2; exit 1"),
        ("silent", "exec sleep 60"),
    ] {
        script(&server.path(name), body);
        others.push(server.path(name));
    }
    others
}

#[test]
fn a_client_of_another_version_changes_nothing_that_is_not_true() {
    let server = Server::with_config("");
    for name in ["one", "two"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.roster(&["sync"]);
    let before = server.registry();
    let started = Instant::now();
    let mut asked = Vec::new();
    for (n, tmux) in other_clients(&server).into_iter().enumerate() {
        // A folder for each, or one that hangs would keep the others from the lock.
        let folder = |what: &str| {
            let dir = server.path(&format!("{what}{n}"));
            fs::create_dir(&dir).unwrap();
            for file in ["sessions.json", "server.json"] {
                fs::copy(server.registry_path().with_file_name(file), dir.join(file)).unwrap();
            }
            dir
        };
        let job_dir = folder("job");
        let job = hook_job_in(&server, &tmux, &job_dir).spawn().unwrap();
        let typed = ["sync", "list"].map(|verb| {
            let dir = folder(verb);
            let mut command = server.command(ROSTER);
            command.envs(server.published(&tmux)).env("ROSTER_DIR", &dir);
            command.args(["-L", "s", verb]).stdout(Stdio::piped()).stderr(Stdio::piped());
            (command.spawn().unwrap(), dir)
        });
        asked.push((tmux, (job, job_dir), typed));
    }
    let check = |tmux: &Path, dir: &Path| {
        let after = json(&dir.join("sessions.json"));
        assert_eq!(after["sessions"], before["sessions"], "with {}", tmux.display());
        assert!(!dir.join("closed.json").exists(), "with {}", tmux.display());
    };
    let (mut understood, mut refused) = (0, 0);
    for (tmux, (job, dir), typed) in asked {
        check_job(job, started);
        check(&tmux, &dir);
        for (child, dir) in typed {
            let output = child.wait_with_output().unwrap();
            assert!(started.elapsed() < JOB_BOUND, "{:?}", started.elapsed());
            let shown = String::from_utf8_lossy(&output.stdout).into_owned();
            // The truth, or an error: never that nothing lives.
            let (told, said) = (output.status.code(), stderr(&output));
            match told {
                Some(0) => {
                    let lives = shown.matches("live").count() == 2;
                    assert!(lives || shown == "nothing to change\n", "{}: {shown}", tmux.display());
                    understood += 1;
                }
                _ => {
                    assert_eq!(told, Some(1), "{}: {said}", tmux.display());
                    assert!(shown.is_empty() && said.starts_with("roster: "), "{said}");
                    assert!(!said.contains("no tmux server is running"), "{said}");
                    refused += 1;
                }
            }
            check(&tmux, &dir);
        }
    }
    assert!(refused >= 10, "the stubs alone");
    eprintln!("clients of other versions: {understood} were understood, {refused} refused");
}

#[test]
fn a_server_killed_in_the_middle_of_a_burst_loses_no_record() {
    let rounds = if std::env::var_os("ROSTER_SOAK").is_some() { 200 } else { 30 };
    let server = Server::with_plugin("");
    let mut seen = BTreeSet::new();
    for round in 0..rounds {
        let name = format!("r{round}");
        let name = name.as_str();
        server.tmux(&["new-session", "-d", "-s", name]);
        let lines: String = (0..30)
            .map(|n| match n % 3 {
                0 => format!("new-session -d -s {name}n{n}\n"),
                1 => format!("rename-session -t ={name}n{}: {name}x{n}\n", n - 1),
                _ => format!("new-session -d -s {name}y{n}\nkill-session -t ={name}x{}\n", n - 1),
            })
            .collect();
        fs::write(server.path("burst"), lines).unwrap();
        let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]);
        let pid = pid.lines().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).unwrap();
        let mut burst = server.command(tmux_program());
        burst.args(["-L", "s", "source-file"]).arg(server.path("burst"));
        let mut burst = burst.stderr(Stdio::null()).spawn().unwrap();
        // At another moment each time; whatever the moment, the same must hold.
        let moment = Instant::now() + Duration::from_millis(round * 7 % 120);
        while Instant::now() < moment {
            seen.extend(uuids_if_whole(&server));
        }
        kill_process(pid, Signal::KILL).unwrap();
        burst.wait().unwrap();
        server.wait_for_end();
        seen.extend(uuids_if_whole(&server));
    }
    server.tmux(&["new-session", "-d", "-s", "last"]);
    server.wait_until_quiet();
    assert!(seen.len() >= 20, "{}", seen.len());
    check_records(&server, &seen);
    for (uuid, names) in uuids(&server) {
        assert_eq!(names.len(), 1, "{uuid} stands once: {names:?}");
    }
}

/// Between its two renames a record may stand in no file at all for one who reads the two files
/// one after the other; so this only gathers.
fn uuids_if_whole(server: &Server) -> BTreeSet<String> {
    let sessions = server.registry()["sessions"].as_object().cloned().unwrap_or_default();
    sessions.values().map(|s| s["uuid"].as_str().unwrap().to_owned()).collect()
}

/// What life.rs has not: there the panes die one by one, and the server with the last of them, or
/// the server alone is ended.
#[test]
fn a_shutdown_loses_sessions_and_closes_none() {
    for order in ["all at once", "all killed at once", "SIGHUP", "panes first"] {
        // A slow machine may let the server outlive its panes by so much that they count as
        // closed: that was no shutdown, and is tried again.
        wait_at_most(
            Duration::from_secs(60),
            || was_lost_at_a_shutdown(order).then_some(()),
            || format!("a shutdown that is quick enough, {order}"),
        );
    }
}

/// Ends everything in one order and checks that all was lost; false if that took too long.
fn was_lost_at_a_shutdown(order: &str) -> bool {
    // Else the server ends by itself with the last pane.
    let config = if order == "panes first" { "set -s exit-empty off\n" } else { "" };
    let server = Server::with_plugin(config);
    let names = ["one", "three", "two"];
    for name in names {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.wait_for_names(&names);
    server.wait_until_quiet();
    let before = uuids(&server);
    let pids = |args: &[&str]| -> Vec<Pid> {
        let printed = server.tmux(args);
        printed.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    };
    let panes = pids(&["list-panes", "-a", "-F", "#{pane_pid}"]);
    let main = pids(&["list-sessions", "-F", "#{pid}"])[0];
    let started = Instant::now();
    let send = |pid: Pid, signals: &[Signal]| {
        for signal in signals {
            let _ = kill_process(pid, *signal);
        }
    };
    match order {
        "all at once" => {
            panes.into_iter().chain([main]).for_each(|pid| send(pid, &[Signal::TERM, Signal::HUP]));
        }
        "all killed at once" => {
            panes.into_iter().chain([main]).for_each(|pid| send(pid, &[Signal::KILL]));
        }
        // tmux ignores it; systemd sends SIGTERM after it.
        "SIGHUP" => send(main, &[Signal::HUP, Signal::TERM]),
        _ => {
            panes.into_iter().for_each(|pid| send(pid, &[Signal::TERM, Signal::HUP]));
            // By now they are in the list of closed sessions, not yet believed.
            server.wait_for_names(&[]);
            assert_eq!(uuids(&server).len(), 3, "{order}");
            send(main, &[Signal::TERM]);
        }
    }
    server.wait_for_end();
    if started.elapsed() > Duration::from_secs(2) {
        return false;
    }
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.wait_for_names(&["one", "other", "three", "two"]);
    server.wait_until_quiet();
    let lost = server.roster(&["list", "--state", "lost"]);
    for name in names {
        assert!(lost.contains(name), "{order}: {lost}");
        assert!(before.contains_key(&server.uuid(name)), "{order}: {name}");
    }
    assert_eq!(server.roster(&["list", "--state", "closed", "--json"]).trim(), "[]", "{order}");
    true
}
