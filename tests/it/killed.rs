//! Every command that moves or replaces records, killed at every system call that touches a file:
//! no record is lost, the lock is free, and who says it again gets what was meant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tmux_roster::tmux::hooks::{HOOK_INDEX, HOOKS};

use crate::env::{
    Folder, ROSTER, Server, backed_up, can_trace, hit_the_heart, json, kill_at, kill_at_every_call,
    leftovers, stderr, tmux_program, uuids, wait_for,
};

/// How many calls that touch no file are passed over for each that is tried, within the gate.
const STRIDE: usize = 61;

/// A command where no server runs.
struct Case {
    words: &'static [&'static str],
    /// What was done to the registry before.
    damage: Damage,
    /// The names that the registry may have after a crash, and has in the end.
    old: &'static [&'static str],
    new: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq)]
enum Damage {
    None,
    /// Its last good copy is there.
    Deleted,
    Cut,
    /// It is of a version before the first.
    Old,
}

/// Stands for the backup that was there before: by itself `recover` takes the newest, and after a
/// crash that may be the one which it made of what it was about to replace.
const OLDEST: &str = "<oldest>";

const CASES: [Case; 12] = [
    Case { words: &["clear"], damage: Damage::None, old: &["one", "two"], new: &[] },
    Case { words: &["clear"], damage: Damage::Deleted, old: &["one", "two"], new: &[] },
    Case {
        words: &["recover", OLDEST],
        damage: Damage::None,
        old: &["one", "two"],
        new: &["closed", "gone", "one", "two"],
    },
    Case {
        words: &["recover", OLDEST],
        damage: Damage::Cut,
        old: &["one", "two"],
        new: &["closed", "gone", "one", "two"],
    },
    Case { words: &["forget", "one"], damage: Damage::None, old: &["one", "two"], new: &["two"] },
    Case {
        words: &["forget", "one"],
        damage: Damage::Deleted,
        old: &["one", "two"],
        new: &["two"],
    },
    Case { words: &["forget", "one"], damage: Damage::Cut, old: &["one", "two"], new: &["two"] },
    Case {
        words: &["rename", "one", "uno"],
        damage: Damage::None,
        old: &["one", "two"],
        new: &["two", "uno"],
    },
    Case {
        words: &["store", "save", "new", "/", "safe"],
        damage: Damage::Cut,
        old: &["one", "two"],
        new: &["new", "one", "two"],
    },
    Case { words: &["store", "delete-all"], damage: Damage::None, old: &["one", "two"], new: &[] },
    Case {
        words: &["store", "migrate"],
        damage: Damage::Old,
        old: &["one", "two"],
        new: &["one", "two"],
    },
    Case { words: &["backup"], damage: Damage::None, old: &["one", "two"], new: &["one", "two"] },
];

fn roster(server: &Server, words: &[&str]) -> Command {
    let mut command = server.command(ROSTER);
    match words {
        ["store", rest @ ..] => {
            command.args(["store", "--file"]).arg(server.registry_path()).args(rest);
        }
        ["recover", ..] => {
            let backups = tmux_roster::Store::new(server.registry_path()).backups().unwrap();
            command.args(["-L", "s", "recover"]).arg(&backups.last().unwrap().path);
        }
        words => drop(command.args(["-L", "s"]).args(words)),
    }
    command
}

#[test]
fn a_command_killed_at_any_system_call_without_a_server_loses_nothing() {
    if !can_trace("a command killed without a server") {
        return;
    }
    let server = Server::with_config("");
    let path = server.registry_path();
    let folder = path.parent().unwrap();
    let template = server.path("template");
    for name in ["one", "two", "gone", "closed"] {
        assert!(roster(&server, &["store", "save", name, "/", "safe"]).status().unwrap().success());
    }
    server.roster(&["backup"]);
    server.roster(&["forget", "closed"]);
    assert!(roster(&server, &["store", "delete", "gone"]).status().unwrap().success());
    // The backup has who is gone, and the list of closed ones who is closed.
    let newest = server.roster(&["backup"]);
    fs::remove_file(newest.trim()).unwrap();
    fs::rename(folder, &template).unwrap();
    for case in &CASES {
        check_case(&server, case, &template);
    }
}

fn check_case(server: &Server, case: &Case, template: &Path) {
    let path = server.registry_path();
    let folder = path.parent().unwrap();
    let words = case.words.join(" ");
    let reset = || {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir(folder).unwrap();
        for entry in fs::read_dir(template).unwrap().flatten() {
            fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        match case.damage {
            Damage::None => {}
            Damage::Deleted => fs::remove_file(&path).unwrap(),
            Damage::Cut => fs::write(&path, &text[..text.len() / 2]).unwrap(),
            Damage::Old => fs::write(&path, text.replace("\"schema_version\":1,", "")).unwrap(),
        }
    };
    reset();
    let damaged = fs::read(&path).ok();
    let known: BTreeSet<String> = {
        fs::copy(template.join("sessions.json"), &path).unwrap();
        uuids(server).into_keys().collect()
    };
    let whole = fs::read(&path).unwrap();
    let command = || {
        reset();
        roster(server, case.words)
    };
    let killed = kill_at_every_call(STRIDE, command, |call| {
        let at = format!("{words} at call {call}");
        let now = fs::read(&path).ok();
        if now != damaged || case.damage == Damage::None {
            let names = server.names();
            assert!(names == case.old || names == case.new, "{at}: {names:?}");
            let mut found: BTreeSet<String> = uuids(server).into_keys().collect();
            // What is deleted has its way back in a backup alone.
            if case.words == ["store", "delete-all"] {
                found.extend(backed_up(folder));
            }
            assert!(known.is_subset(&found), "{at}: {known:?} in {found:?}");
        } else {
            // As it was; what was lost with it is where it was.
            fs::write(&path, &whole).unwrap();
            let closed: BTreeSet<String> = uuids(server).into_keys().collect();
            assert!(known.is_subset(&closed), "{at}: {known:?} in {closed:?}");
            match &damaged {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
        }
        let is_done = || server.names() == case.new && case.old != case.new;
        if case.damage == Damage::Old && now != damaged {
            // Nobody can make the file that it was out of what it became.
            let mut copies = fs::read_dir(folder).unwrap().flatten();
            let is_original = |entry: fs::DirEntry| {
                entry.file_name().to_string_lossy().contains(".bak.")
                    && fs::read(entry.path()).ok() == damaged
            };
            assert!(copies.any(is_original), "{at}: the original is in a backup");
        }
        if now == damaged || !is_done() {
            let again = roster(server, case.words).output().unwrap();
            assert!(again.status.success(), "{at}: {}", stderr(&again));
        } else {
            // Any other writer.
            let other = roster(server, &["backup"]).output().unwrap();
            assert!(other.status.success(), "{at}: {}", stderr(&other));
        }
        assert_eq!(server.names(), case.new, "{at}");
        let mut found: BTreeSet<String> = uuids(server).into_keys().collect();
        found.extend(backed_up(folder));
        assert!(known.is_subset(&found), "{at}: {known:?} in {found:?}");
        if case.damage == Damage::Cut {
            let mut aside = fs::read_dir(folder).unwrap().flatten();
            let is_kept = |entry: fs::DirEntry| {
                entry.file_name().to_string_lossy().contains(".corrupt.")
                    && fs::read(entry.path()).ok() == damaged
            };
            assert!(aside.any(is_kept), "{at}: the damaged file is kept aside");
        }
        // The next writer of each file cleans up.
        let saved = roster(server, &["store", "save", "next", "/", "safe"]).output().unwrap();
        assert!(saved.status.success(), "{at}: {}", stderr(&saved));
        server.roster(&["forget", "next"]);
        assert!(leftovers(folder).is_empty(), "{at}: {:?}", leftovers(folder));
    });
    assert!(hit_the_heart(&killed), "{words}: {killed:?}");
}

/// Where the session of this UUID is, when all is in step, and under which name.
fn state(server: &Server, uuid: &str) -> (&'static str, String) {
    let recorded = server.registry()["sessions"].as_object().cloned().unwrap_or_default();
    let name = recorded.iter().find(|(_, session)| session["uuid"] == uuid).map(|(name, _)| name);
    let listed = server.tmux(&["list-sessions", "-F", "#{session_name} #{@roster_uuid}"]);
    let lives = |name: &String| listed.lines().any(|line| line == format!("{name} {uuid}"));
    let stamped = listed.lines().filter(|line| line.ends_with(uuid)).count();
    match name {
        Some(name) if lives(name) => ("live", name.clone()),
        _ if stamped > 0 => panic!("{listed}, but recorded is {recorded:?}"),
        Some(name) => ("lost", name.clone()),
        None => ("closed", uuids(server)[uuid].concat()),
    }
}

#[test]
fn a_command_killed_at_any_system_call_on_a_server_loses_nothing() {
    if !can_trace("a command killed on a server") {
        return;
    }
    // What it is before and shall be in the end, under which name; the last ones in a soak alone.
    let cases = [
        ("restore x", "lost", "live", "x"),
        ("reopen x --as y", "closed", "live", "y"),
        ("kill x", "live", "closed", "x"),
        ("rename x y", "live", "live", "y"),
        ("reopen x", "closed", "live", "x"),
        ("rename x y", "lost", "lost", "y"),
        ("clear", "lost", "closed", "x"),
    ];
    let count = if std::env::var_os("ROSTER_SOAK").is_some() { cases.len() } else { 4 };
    for (words, before, after, name) in &cases[..count] {
        check_on_server(words, before, after, name);
    }
}

#[test]
fn a_window_is_brought_back_once_whenever_the_command_is_killed() {
    if !can_trace("a command killed that brings back a window") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    let listed =
        || server.tmux(&["list-windows", "-t", "=x:", "-F", "#{window_index} #{window_panes}"]);
    let command = || {
        server.tmux(&["new-session", "-d", "-s", "x"]);
        server.tmux(&["new-window", "-d", "-t", "=x:5"]);
        server.tmux(&["split-window", "-d", "-t", "=x:5"]);
        // Which looks at it.
        assert!(!server.try_roster(&["reopen", "--window", "x"]).status.success());
        server.tmux(&["kill-window", "-t", "=x:5"]);
        roster(&server, &["reopen", "--window", "x"])
    };
    let killed = kill_at_every_call(STRIDE, command, |call| {
        // tmux may still be at what it was told.
        server.wait_for_end_of("source-file");
        let again = server.try_roster(&["reopen", "--window", "x"]);
        let told = "no window of \"x\" was closed";
        assert!(again.status.success() || stderr(&again).contains(told), "{call}: {again:?}");
        let over = server.try_roster(&["reopen", "--window", "x"]);
        assert!(stderr(&over).contains(told), "{call}: {over:?}");
        assert_eq!(listed(), "0 1\n5 2", "{call}: {again:?}");
        server.roster(&["kill", "x"]);
        server.roster(&["forget", "x"]);
    });
    assert!(hit_the_heart(&killed), "{killed:?}");
}

fn check_on_server(words: &str, before: &str, after: &str, name: &str) {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    server.roster(&["sync"]);
    let folder = server.registry_path().parent().unwrap().to_owned();
    let uuid = std::cell::RefCell::new(String::new());
    let words: Vec<&str> = words.split(' ').collect();
    let command = || {
        match before {
            "lost" => {
                let saved = roster(&server, &["store", "save", "x", "/", "safe"]).output().unwrap();
                assert!(saved.status.success(), "{}", stderr(&saved));
            }
            _ => drop(server.roster(&["new", "-d", "-c", "/", "x"])),
        }
        *uuid.borrow_mut() = server.uuid("x");
        if before == "closed" {
            server.roster(&["kill", "x"]);
        }
        roster(&server, &words)
    };
    let killed = kill_at_every_call(STRIDE, command, |call| {
        let (at, uuid) = (format!("{words:?} at call {call}"), uuid.borrow().clone());
        assert!(uuids(&server).contains_key(&uuid), "{at}: {:?}", uuids(&server));
        server.roster(&["sync"]);
        let done = (after, name.to_owned());
        let found = state(&server, &uuid);
        // A closed one becomes a lost one before it lives.
        let between = words[0] == "reopen" && found == ("lost", name.to_owned());
        assert!(found.0 == before || found == done || between, "{at}: {found:?}");
        if between {
            // tmux may still have been at what it was told, and then there is nothing to restore.
            let _ = server.try_roster(&["restore", name]);
            server.roster(&["sync"]);
        } else if found != done {
            server.roster(&words);
        }
        assert_eq!(state(&server, &uuid), done, "{at}");
        assert_eq!(server.roster(&["sync"]), "nothing to change\n", "{at}");
        if after == "live" {
            server.roster(&["kill", name]);
        } else if after == "lost" {
            server.roster(&["forget", name]);
        }
        server.roster(&["forget", name]);
        // The next writer of the registry cleans up.
        server.roster(&["backup"]);
        assert!(leftovers(&folder).is_empty(), "{at}: {:?}", leftovers(&folder));
    });
    assert!(hit_the_heart(&killed), "{words:?}: {killed:?}");
}

#[test]
fn a_load_killed_at_any_system_call_is_made_good_by_the_next() {
    if !can_trace("a load killed at any system call") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let folder = server.registry_path().parent().unwrap().to_owned();
    let load = || {
        let mut command = roster(&server, &["load", "--chosen", "--tmux"]);
        command.arg(tmux_program());
        command
    };
    // The first one notes the configuration's files, too.
    assert!(load().status().unwrap().success());
    let killed = kill_at_every_call(STRIDE, load, |call| {
        // As if they had been there for a while: those of a load that still runs are left alone.
        for name in leftovers(&folder) {
            let mut touch = Command::new("touch");
            // Only if it is there: a job may just have taken it away.
            touch.args(["-c", "-d", "2001-01-01"]).arg(folder.join(name));
            assert!(touch.status().unwrap().success());
        }
        assert!(load().status().unwrap().success(), "at call {call}");
        server.wait_for_jobs();
        // A job that begins later has one for a moment.
        let none = || leftovers(&folder).is_empty().then_some(());
        wait_for(none, || format!("at call {call}: {:?}", leftovers(&folder)));
        let hooks = server.tmux(&["show-hooks", "-g"]);
        assert_eq!(
            hooks.matches(&format!("[{HOOK_INDEX}] ")).count(),
            HOOKS.iter().filter(|hook| hook.index == HOOK_INDEX).count(),
            "at call {call}: {hooks}"
        );
    });
    assert!(killed.contains("unlink") && killed.contains("write"), "{killed:?}");
    server.wait_for_names(&["one"]);
}

/// All at once, and each killed at a moment of its own.
#[test]
fn many_writers_that_are_killed_under_load_leave_the_registry_whole_and_the_lock_free() {
    let rounds = if std::env::var_os("ROSTER_SOAK").is_some() { 200 } else { 12 };
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    let store = |args: &[String]| {
        let mut command = Command::new(ROSTER);
        command.args(["store", "--file"]).arg(&file).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    let words = |text: String| text.split(' ').map(str::to_owned).collect::<Vec<String>>();
    for n in 0..50 {
        assert!(store(&words(format!("save kept{n} /w safe"))).status().unwrap().success());
    }
    let (mut killed, mut saved) = (0, BTreeSet::new());
    for round in 0..rounds {
        let started = Instant::now();
        let start = |n: u32| {
            let args = words(match n % 4 {
                0 | 1 => format!("save r{round}n{n} /w safe"),
                2 => format!("mode kept{n} r{round}"),
                _ => format!("attached kept{n}"),
            });
            (n, args.clone(), store(&args).spawn().unwrap())
        };
        let children: Vec<(u32, Vec<String>, Child)> = (0..24).map(start).collect();
        for (n, args, mut child) in children {
            // Half of them, each at a moment of its own; whatever the moment, the same must hold.
            if n % 2 == 0 {
                let moment = Duration::from_millis(u64::from((n * 7 + round * 5) % 60));
                kill_at(&mut child, started + moment);
            }
            let output = child.wait_with_output().unwrap();
            match output.status.code() {
                Some(0) if args[0] == "save" => drop(saved.insert(args[1].clone())),
                Some(0) => {}
                Some(_) => assert!(stderr(&output).contains("could not get the lock")),
                None => killed += 1,
            }
        }
        let names = json(&file)["sessions"].as_object().unwrap().clone();
        let missing: Vec<&String> = saved.iter().filter(|n| !names.contains_key(*n)).collect();
        assert!(missing.is_empty(), "{missing:?} were saved, and killed away");
        assert!((0..50).all(|n| names.contains_key(&format!("kept{n}"))), "{names:?}");
        let next = store(&words("mode kept0 safe".into())).output().unwrap();
        assert!(next.status.success(), "{}", stderr(&next));
        assert!(leftovers(folder.path()).is_empty(), "{:?}", leftovers(folder.path()));
    }
    assert!(killed > 10 && saved.len() > 10, "{killed} were killed, {} saved", saved.len());
    let damaged = fs::read_dir(folder.path()).unwrap().flatten();
    assert!(!damaged.map(|e| e.file_name()).any(|n| n.to_string_lossy().contains(".corrupt.")));
}
