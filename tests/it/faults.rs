//! Crashes, full disks, many at once, and a tmux that goes away, hangs or lies: afterwards the
//! registry is whole, and it is the old one or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tmux_roster::log::log_to;
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::tmux::source::only_on;
use tmux_roster::tmux::text::line;

use crate::env::{
    Client, Folder, LOAD, ROSTER, Server, StoppedHolder, can, can_mount, can_trace, check_records,
    hit_the_heart, hook_job, hook_job_in, json, kill_at_every_call, leftovers, script, stderr,
    store, tmux_program, tmux_version, typed, uuids, wait_at_most, wait_for,
};

/// What a hook's job may take.
const JOB_BOUND: Duration = Duration::from_secs(10).saturating_add(LOAD);

/// Ends well, says nothing, and in time.
fn check_job(child: Child, started: Instant) {
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < JOB_BOUND, "{:?}", started.elapsed());
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
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

#[test]
fn directories_that_hang_hold_the_lock_for_seconds_however_many_they_are() {
    if !can_trace("directories_that_hang") {
        return;
    }
    const SESSIONS: usize = 20;
    let server = Server::with_config("");
    for n in 0..SESSIONS {
        server.tmux(&["new-session", "-d", "-s", &format!("s{n:02}")]);
    }
    server.roster(&["sync"]);
    // Each takes longer to answer than anybody waits for it.
    let delay = "inject=?access,?faccessat:delay_enter=700000";
    let mut strace = server.command("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", delay, ROSTER, "-L", "s", "health", "--all"]);
    let output = strace.output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let asked = said.matches("does not respond").count();
    assert!((1..=SESSIONS / 2).contains(&asked), "{asked}: {said}");
    assert!(said.contains("the rest was not checked"), "{said}");
    assert!(server.roster(&["health", "--all"]).lines().count() == SESSIONS);
}

#[test]
fn a_write_that_the_disk_refuses_changes_nothing() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    for n in 0..40 {
        store(&file, &["save", &format!("session-{n}"), "/some/directory", "safe"]);
    }
    let before = fs::read(&file).unwrap();
    // Without the trap, the write itself would kill the program.
    for limit in ["ulimit -f 4", "trap '' XFSZ; ulimit -f 4"] {
        let limited = Command::new("sh")
            .args(["-c", &format!("{limit}; exec \"$@\""), "sh", ROSTER, "store", "--file"])
            .arg(&file)
            .args(["save", "new", "/w", "safe"])
            .output()
            .unwrap();
        assert_eq!(limited.status.code(), Some(1));
        assert!(stderr(&limited).contains("could not write"), "{}", stderr(&limited));
        assert!(stderr(&limited).contains("ulimit -f"), "{}", stderr(&limited));
        assert_eq!(fs::read(&file).unwrap(), before);
        assert!(leftovers(folder.path()).is_empty());
    }
    assert!(store(&file, &["save", "new", "/w", "safe"]).status.success());
}

#[test]
fn a_limit_on_open_files_is_a_clear_error() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    assert!(store(&file, &["save", "old", "/w", "safe"]).status.success());
    // The three standard ones are open; a dynamic program needs one more to start.
    let mut refused = 0;
    for limit in 4.. {
        let before = fs::read(&file).unwrap();
        let limited = Command::new("sh")
            .args(["-c", &format!("ulimit -n {limit}; exec \"$@\""), "sh", ROSTER, "store"])
            .arg("--file")
            .arg(&file)
            .args(["save", "new", "/w", "safe"])
            .output()
            .unwrap();
        if limited.status.success() {
            break;
        }
        refused += 1;
        assert_eq!(limited.status.code(), Some(1), "{}", stderr(&limited));
        assert!(stderr(&limited).contains("os error 24"), "{}", stderr(&limited));
        assert_eq!(fs::read(&file).unwrap(), before);
        assert!(leftovers(folder.path()).is_empty());
    }
    assert!(refused > 0);
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
told() {
	ROSTER_SOCKET=/none ROSTER_DIR=$disk ROSTER_TMUX=/none "$roster" -S /none doctor |
		grep -qF "the file system of $disk is $1"
}
mount -t tmpfs -o size=64k none "$disk"
save kept
! told ''
cp "$file" "$disk/copy"
dd if=/dev/zero of="$disk/filler" bs=1k 2>/dev/null || :
if save new 2>"$disk/../full"; then echo 'a full disk was written to'; exit 1; fi
told full
cmp "$file" "$disk/copy"
rm "$disk/filler"
save new
mount -o remount,ro "$disk"
if save other 2>"$disk/../ro"; then echo 'a read-only disk was written to'; exit 1; fi
told read-only
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

/// A server with the plugin, `one` and one that tmux named: only its stamp and the memory of the
/// server tell who that is.
fn with_plugin_and_two(server: Server) -> Server {
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d"]);
    wait_for(|| (server.names().len() == 2).then_some(()), || "two records".into());
    // A job that has its lock already would not meet what comes.
    server.wait_until_idle();
    server
}

/// The files of a registry's folder with what is in them, but for the log and the lock.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let files = files.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    let ours = files.filter(|(name, _)| name != "roster.log" && !name.ends_with(".lock"));
    ours.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

/// While `fault` stands, events change nothing of what is recorded, jobs are silent and typed
/// commands tell `reason`; once it is mended, all is as it would have been.
fn check_fault(server: &Server, reason: &str, fault: impl Fn(&Path), mend: impl Fn(&Path)) {
    let dir = server.registry_path().parent().unwrap().to_owned();
    let before = uuids(server);
    fault(&dir);
    let as_it_was = files(&dir);
    // As many events as would each make records of their own.
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    server.tmux(&["new-session", "-d"]);
    for _ in 0..3 {
        let started = Instant::now();
        check_job(hook_job(server, &tmux_program()).spawn().unwrap(), started);
    }
    for args in [&["sync"][..], &["mode", "uno", "x"], &["kill", "uno"], &["new", "-d", "x"]] {
        let output = server.try_roster(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.starts_with("roster: ") && said.contains(reason), "{args:?}: {said}");
    }
    let told = server.try_roster(&["doctor"]);
    assert_eq!(told.status.code(), Some(1), "{}", String::from_utf8_lossy(&told.stdout));
    assert_eq!(files(&dir), as_it_was, "{reason}");
    mend(&dir);
    server.wait_until_quiet();
    let after = uuids(server);
    let [uuid] = before.iter().filter(|(_, names)| **names == ["one"]).collect::<Vec<_>>()[..]
    else {
        panic!("{before:?}")
    };
    assert_eq!(after[uuid.0], ["uno"], "{reason}");
    assert_eq!(after.len(), before.len() + 1, "{reason}: {before:?} {after:?}");
    check_records(server, &before.into_keys().collect());
    assert!(leftovers(&dir).is_empty(), "{:?}", leftovers(&dir));
    assert_eq!(stamps(server).values().filter(|stamp| after.contains_key(*stamp)).count(), 3);
}

/// Puts a folder with something in it where a file was, which is kept.
fn obstruct(path: &Path) {
    if path.exists() {
        fs::rename(path, path.with_file_name("kept")).unwrap();
    }
    fs::create_dir(path).unwrap();
    fs::write(path.join("inside"), "precious").unwrap();
}

fn free(path: &Path) {
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"precious");
    fs::remove_dir_all(path).unwrap();
    let _ = fs::rename(path.with_file_name("kept"), path);
}

#[test]
fn a_folder_in_the_place_of_a_file_stops_everything_and_loses_nothing() {
    for name in ["sessions.json", "closed.json", "server.json"] {
        let server = with_plugin_and_two(Server::with_plugin(""));
        let fault = |dir: &Path| obstruct(&dir.join(name));
        check_fault(&server, "it is not a file", fault, |dir| free(&dir.join(name)));
    }
}

#[test]
fn a_folder_in_the_place_of_the_last_good_copy_hinders_nobody() {
    let server = with_plugin_and_two(Server::with_plugin(""));
    let copy = server.registry_path().with_extension("json.last");
    fs::remove_file(&copy).unwrap();
    obstruct(&copy);
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    wait_for(|| server.names().contains(&"uno".into()).then_some(()), || "the name".into());
    server.roster(&["mode", "uno", "yolo"]);
    assert_eq!(server.field("uno", "mode"), "yolo");
    free(&copy);
}

#[test]
fn a_folder_that_nobody_may_write_changes_nothing() {
    for name in ["", "sessions.json.lock"] {
        let server =
            with_plugin_and_two(Server::of_ordinary_user(Server::with_plugin("").config()));
        let allow = |dir: &Path, mode| {
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        let old = if name.is_empty() { [0o555, 0o700] } else { [0o400, 0o600] };
        check_fault(
            &server,
            "Permission denied",
            |dir| allow(dir, old[0]),
            |dir| allow(dir, old[1]),
        );
    }
}

#[test]
fn a_read_only_disk_changes_nothing() {
    if !can_mount("a read-only disk") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d"]);
    server.roster(&["sync"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let before = files(&dir);
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    let here = |command: &Command| {
        let mut there = server.command("unshare");
        let body = "dir=$1; shift; mount --bind \"$dir\" \"$dir\" &&\n\
            mount -o remount,bind,ro \"$dir\" && exec \"$@\"";
        there.args(["-m", "sh", "-c", body, "sh"]).arg(&dir);
        there.arg(command.get_program()).args(command.get_args());
        there.stdout(Stdio::piped()).stderr(Stdio::piped());
        there
    };
    let started = Instant::now();
    check_job(here(&hook_job(&server, &tmux_program())).spawn().unwrap(), started);
    for verb in ["sync", "list"] {
        let mut typed = server.command(ROSTER);
        typed.args(["-L", "s", verb]);
        let output = here(&typed).output().unwrap();
        let said = stderr(&output);
        // Who only looks is shown what there is.
        let (code, shown) = if verb == "list" { (0, "uno") } else { (1, "") };
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains(shown), "{output:?}");
        assert!(said.starts_with("roster: could not") && said.contains("Read-only"), "{said}");
    }
    assert_eq!(files(&dir), before);
    let known: BTreeSet<String> = uuids(&server).into_keys().collect();
    server.roster(&["sync"]);
    assert!(server.names().contains(&"uno".into()));
    assert_eq!(uuids(&server).into_keys().collect::<BTreeSet<_>>(), known);
}

#[test]
fn a_folder_removed_in_the_middle_of_a_sync_comes_back_with_what_lives() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d"]);
    server.roster(&["sync"]);
    let known: BTreeSet<String> = uuids(&server).into_keys().collect();
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let tmux = meddling_tmux(&server, &format!("rm -rf '{}'", dir.display()));
    let started = Instant::now();
    check_job(hook_job(&server, &tmux).spawn().unwrap(), started);
    assert!(server.path("once").exists(), "it was removed");
    server.roster(&["sync"]);
    assert_eq!(uuids(&server).into_keys().collect::<BTreeSet<_>>(), known);
    assert!(server.names().contains(&"uno".into()), "{:?}", server.names());
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    // The same for one who typed.
    fs::remove_dir(server.path("once")).unwrap();
    server.tmux(&["rename-session", "-t", "=uno:", "eins"]);
    let mut typed = server.command(ROSTER);
    let output = typed.envs(server.published(&tmux)).args(["-L", "s", "sync"]).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success() || said.contains("could not write"), "{said}");
    server.roster(&["sync"]);
    assert_eq!(uuids(&server).into_keys().collect::<BTreeSet<_>>(), known);
}

/// Every call that opens or changes a file fails once, and then all from it on, as on a disk that
/// is full.
#[test]
fn a_sync_whose_disk_is_full_at_any_call_loses_nothing() {
    if !can_trace("a sync whose disk is full") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let (trace, one) = (server.path("trace"), server.uuid("one"));
    let mut turn = 0;
    let mut change = || {
        turn += 1;
        let (old, new) = (format!("n{}", turn - 1), format!("n{turn}"));
        server.try_tmux(&["kill-session", "-t", &format!("={old}")]);
        server.tmux(&["new-session", "-d", "-s", &new]);
        server.tmux(&["set-option", "-t", &server.id("one"), "@roster_mode", &new]);
        new
    };
    let run = |command: Command, options: &[&str]| {
        let mut strace = server.command("strace");
        strace.arg("-o").arg(&trace).args(options).arg(command.get_program());
        strace.args(command.get_args()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        (strace.spawn().unwrap(), started)
    };
    let job = || hook_job(&server, &tmux_program());
    change();
    let (child, started) = run(job(), &[]);
    check_job(child, started);
    let text = fs::read_to_string(&trace).unwrap();
    let (mut counts, mut places) = (BTreeMap::new(), Vec::new());
    for (kind, rest) in text.lines().filter_map(|line| line.split_once('(')) {
        let count = counts.entry(kind.to_owned()).or_insert(0);
        *count += 1;
        // The loader's files are none of ours, and what is only read needs no room.
        let opens = kind.starts_with("open") && rest.contains("O_CREAT");
        if opens || kind.starts_with("rename") || ["write", "fsync", "ftruncate"].contains(&kind) {
            places.push((kind.to_owned(), *count));
        }
    }
    let kinds: BTreeSet<&str> = places.iter().map(|(kind, _)| kind.as_str()).collect();
    assert!(kinds.contains("write") && kinds.contains("fsync") && kinds.len() >= 4, "{kinds:?}");
    let mut told = 0;
    for (kind, count) in &places {
        for onwards in ["", "+"] {
            let inject = format!("inject={kind}:error=ENOSPC:when={count}{onwards}");
            let seen: BTreeSet<String> = uuids(&server).into_keys().collect();
            let old = server.registry();
            let new = change();
            let (child, started) = run(job(), &["-e", &inject]);
            check_job(child, started);
            let now = server.names();
            assert!(now == [&new, "one"] || server.registry() == old, "{inject}: {now:?}");
            check_records(&server, &seen);
            let mut typed = server.command(ROSTER);
            typed.args(["-L", "s", "mode", "one", &format!("typed-{new}")]);
            let (child, _) = run(typed, &["-e", &inject]);
            let output = child.wait_with_output().unwrap();
            if !output.status.success() {
                let said = stderr(&output);
                let is_told = said.contains("roster: could not") && said.contains("No space left");
                // Where no write goes well, the error is written nowhere either.
                assert!(is_told || (kind == "write" && onwards == "+"), "{inject}: {said}");
                told += usize::from(is_told);
            }
            server.roster(&["sync"]);
            assert_eq!(server.names(), [&new, "one"], "{inject}");
            assert_eq!(server.uuid("one"), one);
            let listed = server.roster(&["list", "--json"]);
            assert_eq!(listed.matches("\"lost\"").count(), 0, "{inject}: {listed}");
            check_records(&server, &seen);
            assert!(leftovers(&dir).is_empty(), "{inject}: {:?}", leftovers(&dir));
            for (uuid, names) in uuids(&server) {
                assert_eq!(names.len(), 1, "{inject}: {uuid} stands once: {names:?}");
            }
        }
    }
    assert!(told * 2 > places.len(), "{told} of {places:?}");
    eprintln!("full at {} calls: {kinds:?}, told {told} times", places.len());
}

/// Some file systems cannot: FUSE, SMB, some of macOS.
#[test]
fn a_folder_that_cannot_be_synced_is_no_failure() {
    if !can_trace("a folder that cannot be synced") {
        return;
    }
    for (error, well) in [("EINVAL", true), ("ENOSYS", true), ("EOPNOTSUPP", true), ("EIO", false)]
    {
        let folder = Folder::new();
        let file = folder.path().join("sessions.json");
        let mut strace = Command::new("strace");
        // The first is the file itself.
        let inject = format!("inject=fsync:error={error}:when=2");
        strace.arg("-o").arg("/dev/null").args(["-e", &inject, ROSTER, "store", "--file"]);
        let output = strace.arg(&file).args(["save", "a", "/w", "safe"]).output().unwrap();
        assert_eq!(output.status.success(), well, "{error}: {output:?}");
        assert!(json(&file)["sessions"]["a"].is_object());
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
fn the_log_is_cut_to_its_newer_half_at_the_end_of_a_line() {
    const LIMIT: usize = 256 * 1024;
    let folder = Folder::new();
    let log = folder.path().join("roster.log");
    let read = || fs::read_to_string(&log).unwrap();
    // Line lengths that do not divide the half.
    let lines: Vec<String> =
        (0..LIMIT / 31 + 1).map(|n| format!("line {n:06} of what was logged\n")).collect();
    let text = lines.concat();
    fs::write(&log, &text[text.len() - LIMIT..]).unwrap();
    log_to(&log, "fits");
    let full = read();
    assert!(full.starts_with(&text[text.len() - LIMIT..]), "nothing goes below the limit");
    assert!(full.ends_with(" fits\n") && full.len() > LIMIT);
    log_to(&log, "cuts");
    let cut = read();
    let (kept, last) = cut.trim_end().rsplit_once('\n').unwrap();
    assert!(last.ends_with(" cuts"), "{last}");
    assert!(full.ends_with(&format!("\n{kept}\n")), "what is kept is the newer part, in lines");
    let half = full.len() / 2;
    assert!((half - 80..=half).contains(&(kept.len() + 1)), "{} of {}", kept.len(), full.len());
    let mode = fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // One that is all one line has no end of a line to be cut at.
    fs::write(&log, "x".repeat(LIMIT + 1)).unwrap();
    log_to(&log, "more");
    assert!(read().len() < LIMIT, "{}", read().len());
}

/// What a job that could not ask tmux proves is that the server which started it lived.
#[test]
fn a_sign_of_another_server_proves_no_close() {
    let server = Server::with_config("");
    for name in ["one", "two"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.roster(&["sync"]);
    server.tmux(&["kill-session", "-t", "=two"]);
    server.roster(&["sync"]);
    let path = server.registry_path().with_file_name("closed.json");
    let mut list = json(&path);
    let pid = list["closed"][0]["unproven"]["pid"].as_u64().expect("a close not yet believed");
    // Long enough ago to be believed at any sign of its server.
    list["closed"][0]["closed_at"] = "2020-01-01T00:00:00Z".into();
    fs::write(&path, list.to_string()).unwrap();
    let mute = server.path("mute");
    script(&mute, "exit 1");
    let job = |tmux: Option<String>| {
        let mut job = hook_job(&server, &mute);
        tmux.map(|tmux| job.env("TMUX", tmux));
        check_job(job.spawn().unwrap(), Instant::now());
        json(&path)
    };
    assert_eq!(job(Some(format!("/nowhere,{},0", pid + 1))), list);
    assert_eq!(job(None), list);
    let settled = job(Some(format!("/nowhere,{pid},0")));
    assert_eq!(settled["closed"][0]["unproven"], Value::Null, "{settled}");
    assert_eq!(settled["closed"][0]["session"], list["closed"][0]["session"]);
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

#[test]
fn a_stopped_holder_delays_jobs_and_people_within_their_bounds() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    let holder = StoppedHolder::start(&server);
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
    drop(holder);
    if tmux_version() >= (3, 2) {
        // The look that the job left for later, and no event.
        server.wait_for_names(&["two"]);
    }
}

/// Before 3.2 a server that exits waits for its jobs, so a job must not wait for the server.
#[test]
fn a_job_does_not_wait_for_a_server_that_exits() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let (stub, asked) = (server.path("exiting"), server.path("asked"));
    let body = format!(
        "echo >>'{asked}'\n\
         case $*$(wc -l <'{asked}') in *list-sessions*1) '{tmux}' \"$@\" | sed 's|{path}[^~]*~|~|g'; exit ;; esac\n\
         echo 'server exited unexpectedly' >&2; exit 1",
        asked = asked.display(),
        tmux = tmux_program().display(),
        path = server.path("").display(),
    );
    script(&stub, &body);
    assert!(hook_job(&server, &stub).status().unwrap().success());
    let calls = fs::read_to_string(&asked).unwrap().lines().count();
    // The query, once more for a directory that a tmux before 3.2 did not know, what is to be
    // told, and a look for later.
    assert!((2..=4).contains(&calls), "{calls}");
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

/// Connections that a stopped server does not take, so many that no other finds a place.
fn fill_backlog(socket: &Path) -> Vec<rustix::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
    let address = SocketAddrUnix::new(socket).unwrap();
    let mut held = Vec::new();
    loop {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
        let connection = rustix::net::socket_with(family, kind, flags, None).unwrap();
        match rustix::net::connect(&connection, &address) {
            Ok(()) => held.push(connection),
            Err(rustix::io::Errno::AGAIN) => return held,
            Err(error) => panic!("after {} connections: {error}", held.len()),
        }
    }
}

/// A process that is stopped until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn new(pid: Pid) -> Stopped {
        kill_process(pid, Signal::STOP).unwrap();
        Stopped(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

#[test]
fn a_server_that_is_stopped_holds_nobody_up() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let before = fs::read(server.registry_path()).unwrap();
    let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]).parse().ok().and_then(Pid::from_raw);
    let pid = pid.unwrap();
    let [(_, socket), ..] = server.published(&tmux_program());
    let stopped = Stopped::new(pid);
    // With a place left in the queue, and without.
    let mut queue = Vec::new();
    for round in ["stopped", "stopped and full"] {
        let started = Instant::now();
        let job = hook_job(&server, &tmux_program()).spawn().unwrap();
        let verbs = [&["sync"][..], &["list"], &["kill", "one"], &["mode", "one", "yolo"]];
        let typed = verbs.map(|args| {
            let mut command = server.command("timeout");
            command.args(["-s", "KILL", "15", ROSTER, "-L", "s"]).args(args);
            (args, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        });
        for (args, child) in typed {
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{round}: {args:?}: {}", stderr(&output));
            let said = stderr(&output);
            let is_told =
                said.contains("did not answer") || said.contains("could not get the lock");
            assert!(is_told && output.stdout.is_empty(), "{round}: {args:?}: {said}");
        }
        assert!(started.elapsed() < JOB_BOUND, "{round}: {:?}", started.elapsed());
        check_job(job, started);
        queue = fill_backlog(&socket);
    }
    drop((queue, stopped));
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
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
    let tmux = meddling_tmux(&server, RESTART);
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

/// Whose configuration may not be read yet: what it has is not to be recorded by the defaults.
#[test]
fn a_job_that_the_server_before_left_changes_nothing() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    // No job but ours.
    server.tmux(&["set-option", "-g", "@roster_run", ":"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    let own = server.tmux(&["display-message", "-p", "-t", &server.id("one"), "#{pid}"]);
    for (pid, names) in [("1", &["one"][..]), (&own, &["one", "two"])] {
        let mut job = hook_job(&server, &tmux_program());
        let job = job.env("TMUX", format!("/s,{pid},0")).output().unwrap();
        assert!(job.status.success() && job.stderr.is_empty(), "{job:?}");
        assert_eq!(server.names(), names, "a job of {pid}");
    }
}

/// There the server's process id is nobody's, or another's.
#[test]
fn a_proc_that_is_another_containers_tells_nothing_of_a_server() {
    let mut trial = Command::new("unshare");
    if !can("a /proc of another container", trial.args(["--pid", "--fork", "true"])) {
        return;
    }
    let server = Server::with_plugin("");
    let mut inside = server.command("unshare");
    inside.args(["--pid", "--fork", "--kill-child", "sh", "-c", "\"$@\" && exec sleep 60", "sh"]);
    inside.arg(tmux_program()).args(["-L", "s", "-f"]).arg(server.path("tmux.conf"));
    inside.args(["new-session", "-d", "-s", "one"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut inside = inside.spawn().unwrap();
    server.wait_for_names(&["one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    inside.kill().unwrap();
    inside.wait().unwrap();
    server.wait_for_end();
}

fn wait_for_zombie(pid: u32) {
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    wait_for(|| state().contains(") Z ").then_some(()), state);
}

/// Before 3.2 a server that meets a second client in its first moment does not load its
/// configuration.
#[test]
fn a_job_whose_server_has_ended_asks_no_other() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let (stub, asked) = (server.path("stub"), server.path("asked"));
    let tmux = tmux_program();
    script(&stub, &format!("touch '{}'\nexec '{}' \"$@\"", asked.display(), tmux.display()));
    let own = server.tmux(&["display-message", "-p", "-t", &server.id("one"), "#{pid}"]);
    let [mut ended, mut unasked] = [(); 2].map(|()| Command::new("true").spawn().unwrap());
    ended.wait().unwrap();
    let mut all = vec![(ended.id().to_string(), false), (own, true)];
    if cfg!(target_os = "linux") {
        // Ended, and its parent has not asked how.
        wait_for_zombie(unasked.id());
        all.push((unasked.id().to_string(), false));
    }
    for (pid, asks) in all {
        let _ = fs::remove_file(&asked);
        let mut job = hook_job(&server, &stub);
        let job = job.env("TMUX", format!("/s,{pid},0")).output().unwrap();
        assert!(job.status.success() && job.stderr.is_empty(), "{job:?}");
        assert_eq!(asked.exists(), asks, "a job of {pid}");
    }
    unasked.wait().unwrap();
    assert_eq!(server.names(), ["one"]);
    assert!(!server.registry_path().with_file_name("roster.log").exists());
}

/// Ends the server and starts another, whose `$0` and `$1` are sessions of other people's choice.
/// (One that is about to exit lists nothing any more, and takes the first call.)
const RESTART: &str = "tmux kill-server; while tmux list-sessions; do :; done\n\
     until tmux new-session -d -s other -c / ; do :; done; tmux new-session -d -s stranger -c /";

#[test]
fn a_server_that_restarts_under_a_typed_command_is_not_taken_for_the_old_one() {
    for args in [
        &["kill", "one"][..],
        &["rename", "one", "uno"],
        &["mode", "one", "yolo"],
        &["health", "--all"],
        &["restore", "gone"],
        &["restore", "--all"],
        &["reopen"],
        &["new", "-d", "fresh"],
    ] {
        let server = Server::with_config("");
        for name in ["one", "gone"] {
            server.tmux(&["new-session", "-d", "-s", name]);
        }
        server.roster(&["sync"]);
        server.crash();
        for name in ["one", "closed"] {
            server.tmux(&["new-session", "-d", "-s", name]);
        }
        server.roster(&["sync"]);
        server.roster(&["kill", "closed"]);
        let seen: BTreeSet<String> = uuids(&server).into_keys().collect();
        assert_eq!(seen.len(), 3, "{args:?}");
        typed(&server, &meddling_tmux(&server, RESTART), args);
        // The new server's $0 is no longer `one`.
        assert_eq!(
            server.tmux(&["list-sessions", "-F", "#{session_name}"]),
            "other\nstranger",
            "{args:?}"
        );
        for (name, stamp) in stamps(&server) {
            assert_eq!(stamp, "", "{args:?}: {name} was stamped for another");
            for show in ["show-environment", "show-options"] {
                let shown = server.tmux(&[show, "-t", &server.id(&name)]);
                assert!(!shown.to_lowercase().contains("roster_"), "{args:?}: {shown}");
            }
        }
        server.roster(&["sync"]);
        check_records(&server, &seen);
        for name in ["other", "stranger"] {
            assert!(!seen.contains(&server.uuid(name)), "{args:?}: {name}");
        }
    }
}

/// The system gives a process id again.
#[test]
fn a_server_is_known_by_its_process_id_and_by_when_it_started() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let shown = server.tmux(&["display-message", "-p", "-t", "=one:", "#{pid} #{start_time}"]);
    let (pid, start_time) = shown.split_once(' ').unwrap();
    let this = ServerId { pid: pid.parse().unwrap(), start_time: start_time.parse().unwrap() };
    let runs = |server_id: ServerId| {
        let ran = server.tmux(&only_on(server_id, &line(&[b"display-message", b"-p", b"ran"])));
        ran == "ran"
    };
    assert!(runs(this));
    assert!(!runs(ServerId { start_time: this.start_time + 1, ..this }));
    assert!(!runs(ServerId { start_time: this.start_time / 10, ..this }));
    assert!(!runs(ServerId { pid: this.pid + 1, ..this }));
    // Before tmux 3.2 one without sessions could not tell when it started.
    assert!(runs(ServerId { start_time: 0, ..this }));
    assert!(!runs(ServerId { pid: this.pid + 1, start_time: 0 }));
}

#[test]
fn a_client_is_not_moved_to_a_session_of_a_server_that_was_never_asked() {
    let server = Server::with_config("");
    for name in ["one", "two"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.roster(&["sync"]);
    // It comes as soon as there is one to come to; attach alone would start a server of its own.
    let tmux = format!("{} -u -L s", tmux_program().display());
    let attach = format!("{tmux} has-session -t stranger 2>&1 && {tmux} attach -t stranger");
    let client = Client::start(&server, &format!("while :; do {attach}; sleep 0.1; done"));
    let then = format!("{RESTART}\nwhile [ -z \"$(tmux list-clients)\" ]; do :; done");
    let moved =
        typed(&server, &meddling_tmux(&server, &then), &["go", "--client", &client.name(), "one"]);
    assert_eq!(server.tmux(&["list-clients", "-F", "#{session_name}"]), "stranger", "{moved:?}");
    // Whoever asked for it is told that nothing came of it.
    assert_eq!(moved.status.code(), Some(1), "{moved:?}");
    assert!(stderr(&moved).contains("can't find session"), "{}", stderr(&moved));
}

#[test]
fn a_session_renamed_under_a_typed_command_is_still_the_one_that_is_meant() {
    let then = "tmux rename-session -t =one: first; tmux new-session -d -s one";
    for args in [&["kill", "one"][..], &["rename", "one", "uno"], &["mode", "one", "yolo"]] {
        let server = Server::with_config("");
        for name in ["one", "two"] {
            server.tmux(&["new-session", "-d", "-s", name]);
        }
        server.roster(&["sync"]);
        let uuid = server.uuid("one");
        let done = typed(&server, &meddling_tmux(&server, then), args);
        assert!(done.status.success(), "{args:?}: {}", stderr(&done));
        server.roster(&["sync"]);
        let names: &[&str] = match args[0] {
            "kill" => &["one", "two"],
            "rename" => &["one", "two", "uno"],
            _ => &["first", "one", "two"],
        };
        assert_eq!(server.names(), names, "{args:?}");
        assert_ne!(server.uuid("one"), uuid, "{args:?}");
        assert_eq!(server.field("one", "mode"), "safe", "{args:?}");
        let meant = names.iter().find(|name| server.uuid(name) == uuid);
        assert_eq!(meant.is_some(), args[0] != "kill", "{args:?}");
        assert!(meant.is_none_or(|n| args[0] != "mode" || server.field(n, "mode") == "yolo"));
    }
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
fn what_a_failing_tmux_was_to_tell_is_told_by_the_next_sync() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let tmux = tmux_program();
    for (n, fault) in [
        "exit 1",
        "exit 0",
        "kill -9 $$",
        "echo 'server version is too old for client' >&2; exit 0",
        "echo 'lost server' >&2; exit 1",
        "echo 'server exited unexpectedly' >&2; exit 1",
        "echo garbage",
        "head -c 100000 /dev/zero",
        // What it is to read has gone.
        "rm -f \"$dir\"/.sessions.json.tmp.*; exec \"$tmux\" \"$@\"",
    ]
    .into_iter()
    .enumerate()
    {
        // A session that nobody was told of yet.
        let (name, stub) = (format!("n{n}"), server.path("failing"));
        server.tmux(&["new-session", "-d", "-s", &name]);
        let body = format!(
            "tmux='{}' dir='{}'\ncase \"$*\" in *source-file*) {fault}; exit;; esac\n\
             exec \"$tmux\" \"$@\"",
            tmux.display(),
            server.registry_path().parent().unwrap().display(),
        );
        script(&stub, &body);
        let started = Instant::now();
        check_job(hook_job(&server, &stub).spawn().unwrap(), started);
        let (uuid, id) = (server.uuid(&name), server.id(&name));
        assert_eq!(stamps(&server)[&name], "", "{fault}");
        server.roster(&["sync"]);
        assert_eq!(stamps(&server)[&name], uuid, "{fault}");
        let told = server.tmux(&["show-environment", "-t", &id]);
        for line in [
            format!("ROSTER_UUID={uuid}"),
            "ROSTER_MODE=safe".into(),
            format!("ROSTER_SESSION={name}"),
        ] {
            assert!(told.contains(&line), "{fault}: {line} in {told}");
        }
        server.wait_until_quiet();
    }
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

/// Many sessions of a server that then ended with a crash.
fn many_lost(config: &str, count: usize) -> (Server, BTreeMap<String, String>) {
    let server = Server::with_config(config);
    server.tmux(&["new-session", "-d", "-s", "n0"]);
    let lines: String = (1..count).map(|n| format!("new-session -d -s n{n}\n")).collect();
    fs::write(server.path("many"), lines).unwrap();
    server.tmux(&["source-file", &server.dir("many")]);
    server.wait_until_quiet();
    let before = names_by_uuid(&server);
    assert_eq!(before.len(), count);
    server.crash();
    (server, before)
}

fn names_by_uuid(server: &Server) -> BTreeMap<String, String> {
    let pairs = uuids(server).into_iter();
    pairs.map(|(uuid, names)| (uuid, names.concat())).collect()
}

/// Everything is back under its name and UUID, with all that tmux is to be told of it.
fn check_restored(server: &Server, before: &BTreeMap<String, String>) {
    server.wait_until_quiet();
    let shown = stamps(server);
    for (uuid, name) in before {
        assert_eq!(shown.get(name), Some(uuid), "{name}");
    }
    let known = names_by_uuid(server);
    assert!(before.iter().all(|(uuid, name)| known.get(uuid) == Some(name)), "{known:?}");
    let lost = server.roster(&["list", "--state", "lost", "--json"]);
    assert_eq!(lost.trim(), "[]");
}

#[test]
fn hundreds_of_lost_sessions_are_restored_by_one_command() {
    let count = if std::env::var_os("ROSTER_SOAK").is_some() { 1000 } else { 300 };
    let (server, before) = many_lost("", count);
    let said = server.roster(&["restore", "--all"]);
    assert_eq!(said.split(", ").count(), count);
    check_restored(&server, &before);
}

/// A tmux that takes its time for all that it is told.
fn slow_tmux(server: &Server) -> PathBuf {
    let path = server.path("slow");
    let tmux = tmux_program();
    let body = "case \"$*\" in *source-file*) sleep 0.7;; esac";
    script(&path, &format!("{body}\nexec '{}' \"$@\"", tmux.display()));
    path
}

/// A tmux that does `deed` instead of the file of commands that is the `call`th.
fn tmux_that_at(server: &Server, call: usize, deed: &str) -> PathBuf {
    let (path, calls) = (server.path("stub"), server.path("calls"));
    let body = format!(
        "tmux='{}' calls='{}'\ncase \"$*\" in *source-file*)\n\
         echo >>\"$calls\"\nif [ $(wc -l <\"$calls\") = {call} ]; then\n\
         {deed}\nfi;;\nesac\nexec \"$tmux\" \"$@\"",
        tmux_program().display(),
        calls.display(),
    );
    script(&path, &body);
    path
}

#[test]
fn a_typed_restore_goes_on_for_as_long_as_tmux_answers() {
    let (server, before) = many_lost("", 40);
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    let started = Instant::now();
    let done = typed(&server, &slow_tmux(&server), &["restore", "--all"]);
    assert!(done.status.success(), "{}", stderr(&done));
    assert!(started.elapsed() > Duration::from_secs(4), "longer than one answer may take");
    check_restored(&server, &before);
}

/// Nobody knows then whether tmux makes the others yet: it is not said that it did not.
#[test]
fn a_typed_restore_that_tmux_leaves_unanswered_tells_what_is_done_and_goes_on_later() {
    let (server, before) = many_lost("", 25);
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    // The second ten: something is told before, and the first ten are made and stamped.
    let stub = tmux_that_at(&server, 4, "exec sleep 30");
    let done = typed(&server, &stub, &["restore", "--all"]);
    let said = stderr(&done);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("the rest may not have been created: tmux did not answer"), "{said}");
    assert!(!said.contains("did not create the session"), "{said}");
    let restored = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(restored.split(", ").count(), 10, "{restored}");
    server.roster(&["restore", "--all"]);
    check_restored(&server, &before);
}

#[test]
fn a_restore_at_start_that_is_cut_off_anywhere_is_finished_by_the_next_sync() {
    for after in ["", "\"$tmux\" \"$@\" >/dev/null; "] {
        for call in 1.. {
            let (server, before) = many_lost("set -g @roster-restore on", 25);
            server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
            let stub = tmux_that_at(&server, call, &format!("{after}kill -9 $PPID; exit"));
            let output = hook_job(&server, &stub).output().unwrap();
            let came_to_its_end = output.status.success();
            server.roster(&["sync"]);
            check_restored(&server, &before);
            if came_to_its_end {
                // Three times ten are made and stamped, and something is told before and after.
                assert!(call > 8, "{call} calls");
                break;
            }
        }
    }
}

#[test]
fn a_restore_at_start_for_which_a_hook_has_no_time_goes_on_with_the_next() {
    let (server, before) = many_lost("set -g @roster-restore on", 100);
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    let started = Instant::now();
    check_job(hook_job(&server, &slow_tmux(&server)).spawn().unwrap(), started);
    let made = stamps(&server).len() - 1;
    assert!((10..100).contains(&made), "{made} of 100");
    server.roster(&["sync"]);
    check_restored(&server, &before);
}

#[test]
fn what_the_user_kills_during_a_restore_at_start_is_not_made_again() {
    let (server, _) = many_lost("set -g @roster-restore on", 25);
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    let (stub, once) = (server.path("killing"), server.path("once"));
    // n0 is of the first ten; the second ten are just made.
    let body = format!(
        "tmux='{}'\n\"$tmux\" \"$@\"; rc=$?\n\
         if [ -n \"$(\"$tmux\" -L s list-sessions -F x | sed -n 15p)\" ] && mkdir '{}' 2>/dev/null; then\n\
         \"$tmux\" -L s kill-session -t =n0\nfi >/dev/null 2>&1\nexit $rc",
        tmux_program().display(),
        once.display(),
    );
    script(&stub, &body);
    assert!(hook_job(&server, &stub).status().unwrap().success());
    assert!(once.exists());
    server.wait_until_quiet();
    assert_eq!(server.roster(&["list", "--state", "lost"]).lines().count(), 2, "its head and n0");
    assert_eq!(stamps(&server).len(), 25, "24 and mine");
    assert!(!stamps(&server).contains_key("n0"));
}

#[test]
fn what_ends_at_once_is_tried_once_at_start_and_keeps_nobody_from_coming_back() {
    // All end but n9, the last one of all.
    let ends = "#{&&:#{m:n[0-9]*,#{session_name}},#{!=:#{session_name},n9}}";
    let hook = format!("set-hook -g after-new-session \"if-shell -F '{ends}' kill-session\"");
    let (server, _) = many_lost("", 15);
    server.write_config(&format!("set -g @roster-restore on\n{hook}\n"));
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    for _ in 0..4 {
        server.roster(&["sync"]);
    }
    server.wait_until_quiet();
    assert!(stamps(&server).contains_key("n9"));
    let next = server.tmux(&["new-session", "-d", "-P", "-F", "#{session_id}", "-s", "next"]);
    assert_eq!(next, "$16", "mine, and each of the fifteen once");
    let log = fs::read_to_string(server.registry_path().with_file_name("roster.log")).unwrap();
    assert!(log.contains("\"n3\"") && log.contains("its shell exited at once"), "{log}");

    // Who asks for them is told of each.
    let lost = server.try_roster(&["restore", "n3"]);
    let said = stderr(&lost);
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
    assert!(said.contains("\"n3\"") && said.contains("its shell exited at once"), "{said}");
}

/// Before tmux 3.2 a session's first pane gets its environment by way of the global one.
#[test]
fn a_restore_that_is_cut_off_leaves_nothing_in_the_global_environment() {
    for call in 1..=4 {
        let (server, before) = many_lost("", 30);
        let calls = server.path("calls");
        let body = format!(
            "case \"$*\" in *source-file*)\necho >>'{calls}'\n\
             [ $(wc -l <'{calls}') -le {call} ] || exit 1;;\nesac\nexec '{tmux}' \"$@\"",
            calls = calls.display(),
            tmux = tmux_program().display(),
        );
        script(&server.path("failing"), &body);
        server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
        let failed = typed(&server, &server.path("failing"), &["restore", "--all"]);
        assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
        let global = server.tmux(&["show-environment", "-g"]);
        assert!(!global.contains("ROSTER_UUID"), "{global}");
        server.roster(&["restore", "--all"]);
        check_restored(&server, &before);
    }
}

/// Other tmux programs than the one under test: those that TEST_TMUX_OTHER names, with colons
/// between, or what /opt/tmux has; and stubs that do what such clients were seen to do
/// (FACTS.md, "Clients of other versions").
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
        // Every other time the sync of this one is over, so that something was seen in any case.
        if round % 2 == 0 {
            wait_for(|| server.names().iter().any(|n| n == name).then_some(()), || name.to_owned());
        }
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
    assert!(seen.len() >= rounds as usize / 2, "{}", seen.len());
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
