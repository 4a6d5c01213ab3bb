//! `roster history`: what happened to sessions and windows, and when.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::Value;
use tmux_roster::Timestamp;

use crate::env::{ROSTER, Server, stderr, tmux_version, wait_for};

fn file(server: &Server, name: &str) -> PathBuf {
    server.registry_path().with_file_name(name)
}

/// The history of a session as JSON, newest first.
fn entries(server: &Server, args: &[&str]) -> Vec<Value> {
    let printed = server.roster(&[&["history", "--json"], args].concat());
    serde_json::from_str::<Vec<Value>>(&printed).expect("a JSON array")
}

/// What happened to a session, oldest first, as words.
fn happened(server: &Server, name: &str) -> Vec<String> {
    let word = |entry: &Value| format!("{} {}", entry["event"], entry["name"]).replace('"', "");
    entries(server, &[name]).iter().rev().map(word).collect()
}

#[test]
fn a_session_is_followed_through_renames_a_loss_a_close_and_its_return() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    server.tmux(&["new-session", "-d", "-s", "other", "-c", &server.dir("c")]);
    server.wait_for_names(&["one", "other"]);
    let uuid = server.uuid("one");
    let client = server.attach("=one");
    wait_for(
        || happened(&server, "one").contains(&"attached one".into()).then_some(()),
        || "the attach".into(),
    );
    server.tmux(&["rename-session", "-t", "=one:", "two"]);
    server.wait_for_names(&["other", "two"]);
    server.wait_until_idle();
    drop(client);
    server.crash();
    // Without a server, and no event tells of it.
    server.roster(&["rename", "two", "three"]);
    server.roster(&["restore", "three"]);
    server.roster(&["kill", "three"]);
    server.roster(&["reopen", "three"]);
    server.roster(&["kill", "three"]);
    server.roster(&["forget", "three"]);
    let told = [
        "created one",
        "attached one",
        "renamed two",
        "renamed three",
        "lost three",
        "restored three",
        "closed three",
        "reopened three",
        "closed three",
        "forgotten three",
    ];
    for name in ["one", "two", "three", &uuid, &format!("uuid:{uuid}")] {
        assert_eq!(happened(&server, name), told, "{name}");
    }
    let renamed = &entries(&server, &["one"])[7];
    assert_eq!((&renamed["old_name"], &renamed["uuid"]), (&"one".into(), &uuid.into()));
    assert!(happened(&server, "other").contains(&"lost other".into()));
    let text = server.roster(&["history", "two"]);
    let first = text.lines().nth(1).unwrap();
    assert!(first.ends_with("  forgotten  three"), "newest first: {text}");
    assert!(text.contains("  renamed    two      was one\n"), "{text}");
    let failed = server.try_roster(&["history", "thre"]);
    assert!(stderr(&failed).contains("did you mean three?"), "{}", stderr(&failed));
    assert_eq!(failed.status.code(), Some(1));
}

#[test]
fn a_window_that_was_closed_and_reopened_is_told_and_times_are_local() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-window", "-d", "-n", "a\u{e9}\\", "-t", "=one:4"]);
    server.wait_for_name("one");
    server.roster(&["show", "one"]);
    wait_for(
        || server.roster(&["windows", "one"]).contains("\u{e9}").then_some(()),
        || "the window on record".into(),
    );
    server.tmux(&["kill-window", "-t", "=one:4"]);
    wait_for(
        || server.try_roster(&["reopen", "--window", "one"]).status.success().then_some(()),
        || "the closed window".into(),
    );
    let text = server.roster(&["history", "one"]);
    assert!(text.contains("window reopened  one      4: a\u{e9}"), "{text}");
    let reopened = &entries(&server, &["one"])[0];
    assert_eq!(reopened["event"], "window-reopened");
    let at = reopened["at"].as_str().unwrap();
    let shown = |zone: &str| {
        let mut command = server.command(ROSTER);
        command.env("TZ", zone).args(["-L", "s", "history", "one"]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stdout).lines().nth(1).unwrap()[..19].to_owned()
    };
    assert_eq!(shown("UTC0"), at[..19].replace('T', " "));
    let minutes = |time: &str| {
        time[11..13].parse::<u32>().unwrap() * 60 + time[14..16].parse::<u32>().unwrap()
    };
    let ahead = (minutes(&shown("XXX-05:30")) + 24 * 60 - minutes(&shown("UTC0"))) % (24 * 60);
    assert_eq!(ahead, 5 * 60 + 30);
}

#[test]
fn the_history_is_private_bounded_and_survives_what_somebody_did_to_it() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_name("one");
    server.wait_until_idle();
    let (new, old) = (file(&server, "history.jsonl"), file(&server, "history.1.jsonl"));
    assert_eq!(fs::metadata(&new).unwrap().mode() & 0o777, 0o600);
    let line = fs::read_to_string(&new).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    // Nothing that changes nothing writes.
    let before = fs::metadata(&new).unwrap().mtime_nsec();
    server.roster(&["sync"]);
    server.roster(&["list"]);
    assert_eq!(fs::metadata(&new).unwrap().mtime_nsec(), before);
    // Cut off, of another time, and no text.
    let cut = &line[..line.len() / 2];
    let newer = line.replace("\"version\":1", "\"version\":7");
    fs::write(&new, [newer.as_bytes(), b"\xff\0\n[]\n", cut.as_bytes()].concat()).unwrap();
    server.tmux(&["rename-session", "-t", "=one:", "a\"b"]);
    wait_for(|| (entries(&server, &[]).len() == 1).then_some(()), || "the line behind it".into());
    assert_eq!(entries(&server, &[])[0]["event"], "renamed");
    fs::write(&new, line.replace("\"one\"", "\"\\u001b[31m\\u009b\"")).unwrap();
    assert_eq!(entries(&server, &[]).len(), 1);
    assert!(!server.roster(&["history"]).contains('\u{9b}'));
    assert!(!server.roster(&["history"]).contains('\u{1b}'));
    assert!(!server.roster(&["history", "--json"]).contains('\u{1b}'));
    // Full.
    fs::write(&new, line.repeat(256 * 1024 / line.len())).unwrap();
    server.roster(&["new", "-d", "more"]);
    server.wait_until_idle();
    assert!(fs::metadata(&old).unwrap().len() > 200 * 1024);
    assert!(fs::metadata(&new).unwrap().len() < 10 * 1024);
    assert_eq!(fs::metadata(&old).unwrap().mode() & 0o777, 0o600);
    assert!(happened(&server, "one").len() > 100);
    assert_eq!(happened(&server, "more"), ["created more"]);
    // A link is not followed.
    fs::remove_file(&new).unwrap();
    let elsewhere = server.path("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, &new).unwrap();
    server.roster(&["new", "-d", "last"]);
    server.wait_until_idle();
    assert_eq!(fs::read(&elsewhere).unwrap(), b"");
}

#[test]
fn what_is_known_later_is_told_in_its_place() {
    let server = Server::running("");
    server.roster(&["new", "-d", "x"]);
    server.wait_until_idle();
    server.tmux(&["kill-session", "-t", "=x:"]);
    // Another event meanwhile; whether that was a close is known some seconds later.
    server.wait_for_names(&["one"]);
    server.tmux(&["rename-session", "-t", "=one:", "two"]);
    wait_for(
        || happened(&server, "x").contains(&"closed x".into()).then_some(()),
        || format!("the close in {:?}", entries(&server, &[])),
    );
    let (all, closed) = (entries(&server, &[]), &entries(&server, &["x"])[0]);
    let at = |entry: &Value| Timestamp::parse(entry["at"].as_str().unwrap()).unwrap();
    assert!(all.is_sorted_by_key(|entry| std::cmp::Reverse(at(entry))), "{all:?}");
    let record = server.roster(&["closed", "--json"]);
    let record: Vec<Value> = serde_json::from_str(&record).unwrap();
    assert_eq!(closed["at"], record[0]["closed_at"]);
    // A new name, given with the return.
    server.roster(&["reopen", "x", "--as", "y"]);
    assert_eq!(entries(&server, &["y"])[0]["old_name"], "x");
    assert!(server.roster(&["history", "x"]).contains("reopened  y        was x"));
}

#[test]
fn what_is_killed_from_inside_is_told_to_the_end() {
    let server = Server::running("");
    server.tmux(&["send-keys", "-t", "=one:", &format!("{ROSTER} kill one"), "Enter"]);
    server.wait_for_end();
    wait_for(
        || (happened(&server, "one") == ["created one", "closed one"]).then_some(()),
        || format!("{:?}", happened(&server, "one")),
    );
}

#[test]
fn a_lost_session_whose_name_another_takes_is_told_to_be_set_aside() {
    if tmux_version() < (3, 2) {
        // There the name alone tells a session.
        return;
    }
    let server = Server::running("");
    let uuid = format!("uuid:{}", server.uuid("one"));
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    wait_for(
        || happened(&server, &uuid).contains(&"set-aside one".into()).then_some(()),
        || format!("what became of it in {:?}", happened(&server, &uuid)),
    );
    assert_eq!(happened(&server, &uuid), ["created one", "lost one", "set-aside one"]);
    server.tmux(&["kill-session", "-t", "=one:"]);
    assert_eq!(happened(&server, "one").len(), 4);
}

#[test]
fn a_uuid_that_somebody_wrote_twice_makes_no_rename() {
    let server = Server::running("");
    server.crash();
    let record = server.registry()["sessions"]["one"].clone();
    let mut registry = server.registry();
    for name in ["d1", "d2", "n1", "n2"] {
        registry["sessions"][name] = record.clone();
        registry["sessions"][name]["name"] = name.into();
        if name.starts_with('n') {
            registry["sessions"][name]["uuid"] = "".into();
        }
    }
    fs::write(server.registry_path(), registry.to_string()).unwrap();
    let before = entries(&server, &[]).len();
    server.roster(&["mode", "one", "yolo"]);
    let after = entries(&server, &[]);
    assert_eq!(after.len(), before, "{after:?}");
}

#[test]
fn nothing_is_noted_where_it_is_off() {
    let server = Server::with_plugin("set -g @roster-history off\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_name("one");
    server.roster(&["kill", "one"]);
    server.wait_for_end();
    // Nor in a history of before, by a command that no server tells so.
    fs::write(file(&server, "history.jsonl"), "").unwrap();
    server.roster(&["forget", "one"]);
    assert_eq!(fs::read(file(&server, "history.jsonl")).unwrap(), b"");
    fs::remove_file(file(&server, "history.jsonl")).unwrap();
    let said = server.try_roster(&["history"]);
    assert!(said.status.success() && said.stdout.is_empty());
    assert!(stderr(&said).contains("nothing has been noted yet"), "{}", stderr(&said));
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_name("two");
    let said = server.try_roster(&["history"]);
    assert!(stderr(&said).contains("@roster-history is off"), "{}", stderr(&said));
    assert!(!file(&server, "history.jsonl").exists());
}
