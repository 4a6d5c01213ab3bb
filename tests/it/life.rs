//! Lost, closed, restored: what a server's end, a crash and a user's own hand leave.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{
    Client, ROSTER, Server, can_trace, hook_job, script, tmux_program, tmux_version, typed,
    wait_at_most, wait_for, wait_until_past, write_program,
};

/// Five sessions in directories of their own, with modes, in step.
fn five() -> Server {
    let server = Server::with_plugin("set -g @roster-command-yolo 'sleep 1000'");
    for (name, mode) in [("v", "safe"), ("w", "yolo"), ("x", "safe"), ("y", "yolo"), ("z", "safe")]
    {
        std::fs::create_dir(server.path(&format!("dir-{name}"))).unwrap();
        let dir = server.dir(&format!("dir-{name}"));
        server.tmux(&["new-session", "-d", "-s", name, "-c", &dir]);
        server.tmux(&["set-option", "-t", &server.id(name), "@roster_mode", mode]);
    }
    server.wait_for_names(&["v", "w", "x", "y", "z"]);
    server.wait_until_quiet();
    assert_eq!(server.field("w", "mode"), "yolo");
    server
}

/// The server dies, and another has the session `mine` alone.
fn lose_all(server: &Server) {
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    server.wait_for_name("mine");
}

fn names_in(server: &Server, state: &str) -> Vec<String> {
    let listed = server.roster(&["list", "--state", state, "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&listed).unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

/// After the end: starts the server anew with a session of its own, restores all, and checks
/// that each came back as it was, and nothing else.
fn check_all_come_back(server: &Server, before: &Value, names: &[&str]) {
    server.tmux(&["new-session", "-d", "-s", "new", "-c", &server.dir("c")]);
    wait_for(|| server.names().contains(&"new".to_owned()).then_some(()), || "new".into());
    server.wait_until_quiet();
    assert_eq!(names_in(server, "lost"), names);
    server.roster(&["restore", "--all"]);
    let mut all: Vec<&str> = names.to_vec();
    all.push("new");
    all.sort_unstable();
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), all.join("\n"));
    for name in names {
        let was = &before["sessions"][name];
        let is = &server.registry()["sessions"][name];
        for field in ["uuid", "mode", "workdir", "created_at"] {
            assert_eq!(was[field], is[field], "{field} of {name}");
        }
        assert_eq!(is["last_health_status"], "recreated");
        let id = server.id(name);
        assert_eq!(server.tmux(&["show-options", "-qv", "-t", &id, "@roster_uuid"]), was["uuid"]);
        let started = server.tmux(&["list-panes", "-s", "-t", &id, "-F", "#{pane_start_command}"]);
        assert_eq!(started.contains("sleep"), was["mode"] == "yolo", "{name}: {started:?}");
    }
    server.wait_until_quiet();
}

#[test]
fn kill_server_loses_all_and_closes_none() {
    let server = five();
    let before = server.registry();
    server.kill_server();
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
    assert!(names_in(&server, "closed").is_empty());
}

#[test]
fn a_crash_loses_all_and_closes_none() {
    let server = five();
    let before = server.registry();
    server.crash();
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
    assert!(names_in(&server, "closed").is_empty());
}

#[test]
fn sigterm_loses_all_and_closes_none() {
    let server = five();
    let before = server.registry();
    let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]);
    let pid = pid.lines().next().unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    server.wait_for_end();
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
    assert!(names_in(&server, "closed").is_empty());
}

#[test]
fn panes_that_die_one_by_one_at_a_shutdown_are_lost() {
    let server = five();
    let before = server.registry();
    for name in ["v", "w", "x", "y", "z"] {
        server.try_tmux(&["kill-pane", "-t", &format!("={name}:")]);
    }
    server.wait_for_end();
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
    assert!(names_in(&server, "closed").is_empty());
}

#[test]
fn what_the_server_outlived_is_closed_and_the_rest_lost() {
    let server = five();
    let before = server.registry();
    for name in ["v", "x"] {
        server.tmux(&["kill-session", "-t", &server.id(name)]);
    }
    server.wait_for_names(&["w", "y", "z"]);
    // The server outlives the close, which is believed after ten seconds; only time can show it.
    let closed_at = std::time::Instant::now();
    wait_for(|| (closed_at.elapsed().as_secs() >= 11).then_some(()), || "the time".into());
    server.kill_server();
    check_all_come_back(&server, &before, &["w", "y", "z"]);
    assert_eq!(names_in(&server, "closed"), ["v", "x"]);
}

/// The end of a machine as it often goes: the shells one by one, and then the server. What a person
/// closed well before that stays closed.
#[test]
fn sessions_whose_shells_end_one_by_one_before_the_server_does_are_lost() {
    for gap in [1, 4] {
        let server = five();
        let before = server.registry();
        server.tmux(&["kill-session", "-t", &server.id("v")]);
        server.wait_for_names(&["w", "x", "y", "z"]);
        let list = server.registry_path().with_file_name("closed.json");
        let is_believed = || {
            let list: Value = serde_json::from_slice(&std::fs::read(&list).ok()?).ok()?;
            list["closed"][0]["unproven"].is_null().then_some(())
        };
        wait_for(is_believed, || "the look that believes the close".into());
        for name in ["w", "x", "y"] {
            let pid =
                server.tmux(&["display-message", "-p", "-t", &format!("={name}:"), "#{pane_pid}"]);
            let pid = rustix::process::Pid::from_raw(pid.parse().unwrap()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
            wait_until_past(Instant::now(), Duration::from_secs(gap));
        }
        assert_eq!(server.names(), ["z"]);
        let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]).parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        server.wait_for_end();
        check_all_come_back(&server, &before, &["w", "x", "y", "z"]);
        assert_eq!(names_in(&server, "closed"), ["v"]);
    }
}

#[test]
fn restore_works_without_a_server_and_makes_nothing_else() {
    let server = five();
    let before = server.registry();
    server.crash();
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    assert_eq!(server.roster(&["restore", "w", "x"]), "restored w, x\n");
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "w\nx");
    assert_eq!(server.tmux(&["show-options", "-sv", "exit-empty"]), "on");
    for name in ["w", "x"] {
        assert_eq!(before["sessions"][name]["uuid"], server.uuid(name));
    }
    assert_eq!(names_in(&server, "lost"), ["v", "y", "z"]);
}

#[test]
fn restore_works_after_a_reboot_which_took_the_folder_of_sockets() {
    let server = five();
    server.crash();
    let sockets = format!("tmp/tmux-{}", rustix::process::getuid().as_raw());
    std::fs::remove_dir_all(server.path(&sockets)).unwrap();
    assert_eq!(server.roster(&["restore", "--all"]), "restored v, w, x, y, z\n");
    assert_eq!(names_in(&server, "live"), ["v", "w", "x", "y", "z"]);
    let mode = std::fs::metadata(server.path(&sockets)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_session_that_another_tool_restores_keeps_its_uuid() {
    let server = five();
    let (v, w) = (server.uuid("v"), server.uuid("w"));
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "v", "-c", &server.dir("dir-v")]);
    server.wait_until_quiet();
    assert_eq!(server.uuid("v"), v);
    // Another directory: a new session, and the lost one steps aside, still reopenable.
    server.tmux(&["new-session", "-d", "-s", "w", "-c", &server.dir("b")]);
    if tmux_version() >= (3, 2) {
        wait_for(|| (server.uuid("w") != w).then_some(()), || "a new w".into());
        assert_eq!(names_in(&server, "closed"), ["w"]);
    }
}

#[test]
fn a_number_that_tmux_gave_is_no_identity() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d"]);
    server.wait_for_names(&["0"]);
    server.wait_until_quiet();
    let yesterday = server.uuid("0");
    server.crash();
    server.tmux(&["new-session", "-d"]);
    wait_for(|| (server.uuid("0") != yesterday).then_some(()), || "a new 0".into());
    assert_eq!(names_in(&server, "closed"), ["0"]);
    server.roster(&["reopen", "--as", "back"]);
    assert_eq!(server.uuid("back"), yesterday);
}

#[test]
fn killing_foo_never_touches_foobar() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "foobar"]);
    server.wait_for_names(&["foobar"]);
    let output = server.try_roster(&["kill", "foo"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\"foo\" not found") && said.contains("foobar"), "{said}");
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "foobar");
    server.tmux(&["new-session", "-d", "-s", "foo"]);
    server.wait_for_names(&["foo", "foobar"]);
    server.roster(&["kill", "foo"]);
    assert_eq!(server.names(), ["foobar"]);
    assert_eq!(names_in(&server, "closed"), ["foo"]);
    // Our own command ends even the last session at once.
    server.roster(&["kill", "foobar"]);
    server.wait_for_end();
    assert_eq!(names_in(&server, "closed"), ["foo", "foobar"]);
    assert!(names_in(&server, "lost").is_empty());
}

#[test]
fn a_directory_that_is_gone_is_replaced_by_its_nearest_parent() {
    let server = five();
    server.kill_server();
    std::fs::remove_dir(server.path("dir-v")).unwrap();
    let output = server.try_roster(&["restore", "v"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is gone"), "{output:?}");
    assert_eq!(server.field("v", "last_health_status"), "workdir-missing");
    assert_eq!(server.field("v", "workdir"), server.folder.path().display().to_string());
}

#[test]
fn a_taken_name_is_a_clear_error_with_a_way_out() {
    let server = five();
    server.roster(&["kill", "v"]);
    server.tmux(&["new-session", "-d", "-s", "v", "-c", &server.dir("b")]);
    server.wait_for_names(&["v", "w", "x", "y", "z"]);
    let output = server.try_roster(&["reopen", "v"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--as"), "{output:?}");
    server.roster(&["reopen", "v", "--as", "old-v"]);
    assert_eq!(server.names(), ["old-v", "v", "w", "x", "y", "z"]);
}

#[test]
fn new_go_rename_mode_and_last() {
    let server =
        Server::with_plugin("set -g @roster-command-agent 'sh -c \"sleep 1000\" $ROSTER_UUID'");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.roster(&["new", "-d", "-c", &server.dir("b")]);
    assert_eq!(server.field("b", "workdir"), server.dir("b"));
    server.roster(&["new", "-d", "-c", &server.dir("b"), "-m", "agent"]);
    let id = server.id("b-2");
    let command = server.tmux(&["list-panes", "-s", "-t", &id, "-F", "#{pane_start_command}"]);
    assert!(command.contains(&server.uuid("b-2")), "{command}");
    server.roster(&["new", "run", "-d", "--", "sleep", "77"]);
    let id = server.id("run");
    let command = server.tmux(&["list-panes", "-s", "-t", &id, "-F", "#{pane_start_command}"]);
    assert!(command.contains("77"), "{command}");
    for bad in [
        &["new", "a b"][..],
        &["new", "one"],
        &["rename", "one", "a:b"],
        &["rename", "one", "b"],
        &["mode", "none"],
    ] {
        assert_eq!(server.try_roster(bad).status.code(), Some(1), "{bad:?}");
    }
    let uuid = server.uuid("one");
    server.roster(&["rename", "one", "uno"]);
    assert_eq!(server.uuid("uno"), uuid);
    assert_eq!(server.roster(&["mode", "uno"]), "safe\n");
    assert_eq!(server.roster(&["mode", "uno", "--next"]), "yolo\n");
    assert_eq!(
        server.tmux(&["show-options", "-qv", "-t", &server.id("uno"), "@roster_mode"]),
        "yolo"
    );
    assert_eq!(server.roster(&["mode", "uno", "--next"]), "safe\n");

    let client = server.attach("uno");
    let here = |name: &str| {
        let name = name.to_owned();
        wait_for(
            || (server.tmux(&["list-clients", "-F", "#{session_name}"]) == name).then_some(()),
            || format!("the client in {name}"),
        );
    };
    let type_in = |command: &str| {
        let line = format!("{} {command}", ROSTER);
        client.press(&["-l", &line]);
        client.press(&["Enter"]);
    };
    here("uno");
    type_in("go b");
    here("b");
    type_in("last");
    here("uno");
    type_in("kill uno");
    here("b");
    assert!(!server.names().contains(&"uno".to_owned()));
    type_in("go uno");
    here("uno");
    assert_eq!(server.uuid("uno"), uuid);
}

#[test]
fn what_is_no_text_is_restored_byte_for_byte_until_somebody_changes_it() {
    let server = Server::with_plugin("");
    let odd = |name: &[u8]| {
        let path = server.path("a").join(OsStr::from_bytes(name));
        std::fs::create_dir(&path).unwrap();
        path
    };
    let (kept, left) = (odd(b"k\xff"), odd(b"l\xff"));
    for (name, path) in [("kept", &kept), ("changed", &left)] {
        let words = ["new-session", "-d", "-s", name, "-c"].map(OsStr::new);
        server.tmux(&[&words[..], &[path.as_os_str()]].concat());
    }
    server.wait_for_names(&["changed", "kept"]);
    server.wait_until_quiet();
    server.crash();
    server.wait_for_jobs();
    let text = std::fs::read_to_string(server.registry_path()).unwrap();
    let edited = text.replace("l\u{fffd}", "l2");
    assert_ne!(edited, text);
    std::fs::write(server.registry_path(), edited).unwrap();
    std::fs::create_dir(server.path("a").join("l2")).unwrap();
    server.roster(&["rename", "changed", "other"]);
    server.roster(&["restore", "--all"]);
    server.wait_for_names(&["kept", "other"]);
    let here = |name: &str| {
        let pid = server.tmux(&["list-panes", "-t", &server.id(name), "-F", "#{pane_pid}"]);
        let link = format!("/proc/{pid}/cwd");
        wait_for(|| std::fs::read_link(&link).ok(), || link.clone())
    };
    if cfg!(target_os = "linux") {
        assert_eq!(here("kept"), kept);
        assert_eq!(here("other"), server.path("a").join("l2"));
    }
}

#[test]
fn a_new_session_is_made_where_the_pane_is_even_if_tmux_escapes_its_directory() {
    let server = Server::with_plugin("");
    let here = server.path("a").join("k$x\u{e9}");
    std::fs::create_dir(&here).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", here.to_str().unwrap()]);
    server.wait_for_names(&["one"]);
    let client = server.attach("one");
    client.press(&["C-b", "A"]);
    client.wait_to_see("new session here");
    client.press(&["s"]);
    wait_for(|| (server.names().len() == 2).then_some(()), || client.screen());
    let name = server.names().into_iter().find(|name| name != "one").unwrap();
    assert_eq!(server.field(&name, "workdir"), here.to_str().unwrap());
}

#[test]
fn forget_clear_backup_and_recover() {
    let server = five();
    let before = server.registry();
    let backup = server.roster(&["backup"]).trim().to_owned();
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let listed: Value = serde_json::from_str(&server.roster(&["backups", "--json"])).unwrap();
    assert_eq!(listed[0]["sessions"], 5);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "v", "-c", &server.dir("dir-v")]);
    server.wait_until_quiet();

    assert_eq!(server.try_roster(&["forget", "v"]).status.code(), Some(1));
    server.roster(&["forget", "w"]);
    assert_eq!(names_in(&server, "closed"), ["w"]);
    server.roster(&["forget", "w"]);
    assert!(names_in(&server, "closed").is_empty());

    // What tmux does not know of those that live is not lost with the others.
    server.roster(&["health", "v"]);
    let lives = server.registry()["sessions"]["v"].clone();
    assert_eq!(lives["created_at"], before["sessions"]["v"]["created_at"]);
    assert!(server.roster(&["clear"]).contains(".bak."));
    assert_eq!(server.names(), ["v"]);
    assert_eq!(server.registry()["sessions"]["v"], lives);
    assert_eq!(names_in(&server, "closed").len(), 3);

    server.roster(&["recover", &backup]);
    assert_eq!(server.names(), ["v", "w", "x", "y", "z"]);
    assert_eq!(server.field("w", "last_health_status"), "recovered");
    for name in ["v", "w", "x", "y", "z"] {
        assert_eq!(before["sessions"][name]["uuid"], server.uuid(name));
    }

    let uuid = server.uuid("v");
    server.roster(&["forget", "v", "--force"]);
    server.tmux(&["new-session", "-d", "-s", "other"]);
    wait_for(|| server.names().contains(&"other".to_owned()).then_some(()), || "other".into());
    assert!(!server.names().contains(&"v".to_owned()), "untracked");
    // Its name is taken, though no record has it; and so is one that is to be left alone.
    server.tmux(&["set-option", "-g", "@roster-ignore", "scratch*"]);
    for ignored in [&["new", "-d", "scratch-1"][..], &["reopen", "v", "--as", "scratch-2"]] {
        let refused = server.try_roster(ignored);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        let name = ignored.last().unwrap();
        let told = format!("the name {name:?} matches @roster-ignore");
        assert!(refused.status.code() == Some(1) && said.contains(&told), "{said}");
    }
    assert!(!names_in(&server, "lost").iter().any(|name| name.starts_with("scratch")));
    let restorable = || {
        server.roster(&["sync"]);
        server.tmux(&["show-options", "-gv", "@roster_lost"])
    };
    assert_eq!(restorable(), "4");
    server.tmux(&["set-option", "-g", "@roster-ignore", "w x y z"]);
    assert_eq!(restorable(), "0");
    let output = server.try_roster(&["restore", "--all"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = "roster: the only lost sessions match @roster-ignore: \"w\", \"x\", \"y\", \"z\"\n";
    assert_eq!(said, told, "{output:?}");
    assert!(output.stdout.is_empty(), "not: there are no lost sessions");
    server.tmux(&["set-option", "-g", "@roster-ignore", "w x y"]);
    assert_eq!(restorable(), "1");
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
    let output = server.try_roster(&["restore", "--all"]);
    assert_eq!(output.stdout, b"restored z\n", "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
    server.tmux(&["set-option", "-gu", "@roster-ignore"]);
    assert!(!names_in(&server, "lost").contains(&"v".to_owned()));
    let refused = server.try_roster(&["reopen", "v"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(1) && said.contains("is live but not tracked"), "{said}");
    assert!(names_in(&server, "closed").contains(&"v".to_owned()), "it can still be reopened");
    server.tmux(&["rename-session", "-t", &server.id("v"), "again"]);
    wait_for(|| server.names().contains(&"again".to_owned()).then_some(()), || "again".into());
    assert_eq!(server.uuid("again"), uuid);
}

#[test]
fn a_file_that_is_no_registry_is_not_said_to_be_mended() {
    let server = five();
    let before = server.registry();
    let file = server.path("passwd");
    std::fs::write(&file, "root:x:0:0\n").unwrap();
    let refused = server.try_roster(&["recover", &file.display().to_string()]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(1) && said.contains("is not a readable registry"),
        "{said}"
    );
    assert!(said.contains("nothing was changed") && !said.contains("repairs"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"root:x:0:0\n");
    assert_eq!(server.registry(), before);
}

#[test]
fn a_name_that_is_left_alone_is_refused_before_anything_is_renamed() {
    let server = five();
    server.tmux(&["set-option", "-g", "@roster-ignore", "tmp*"]);
    let before = server.registry();
    let output = server.try_roster(&["rename", "v", "tmp-v"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("@roster-ignore"), "{output:?}");
    server.wait_until_idle();
    assert_eq!(server.registry(), before);
    assert!(server.tmux(&["list-sessions", "-F", "#{session_name}"]).contains("v\n"));
}

#[test]
fn new_gives_a_lost_session_the_mode_and_the_command_that_were_asked_for() {
    let server = five();
    let uuid = server.uuid("v");
    lose_all(&server);
    server.roster(&["new", "-d", "v", "-m", "yolo", "--", "sleep", "4242"]);
    assert_eq!((server.uuid("v"), server.field("v", "mode")), (uuid, "yolo".to_owned()));
    let id = server.id("v");
    wait_for(
        || {
            let pid = server.tmux(&["list-panes", "-t", &id, "-F", "#{pane_pid}"]);
            let run = std::process::Command::new("ps").args(["-o", "args=", "-p", &pid]).output();
            let run = String::from_utf8_lossy(&run.unwrap().stdout).into_owned();
            run.contains("sleep 4242").then_some(())
        },
        || "the command that was asked for".into(),
    );
}

#[test]
fn what_cannot_be_restored_under_another_name_keeps_its_own() {
    let server = five();
    let uuid = server.uuid("w");
    lose_all(&server);
    server.tmux(&["set-hook", "-g", "after-new-session", "kill-session"]);
    assert_eq!(server.try_roster(&["restore", "w", "--as", "ww"]).status.code(), Some(1));
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    assert_eq!(server.uuid("w"), uuid);
}

/// Where tmux itself fails half-way, nothing is another than before.
#[test]
fn what_tmux_refuses_to_make_stays_as_it_was() {
    let server = five();
    server.roster(&["kill", "x"]);
    lose_all(&server);
    let (stub, mute) = (server.path("stub"), server.dir("mute"));
    let tmux = tmux_program().display().to_string();
    let fails = |how: &str| {
        let body = format!("case $* in *source-file*) {how} ;; esac\nexec '{tmux}' \"$@\"");
        script(&stub, &body);
    };
    server.wait_until_idle();
    let before = server.registry();
    for how in ["exit 1", "exec sleep 100"] {
        fails(how);
        for args in [
            &["reopen", "x"][..],
            &["reopen", "x", "--as", "xx"],
            &["restore", "v", "--as", "vv"],
            &["restore", "--all"],
            &["new", "-d", "v", "-m", "yolo"],
            &["go", "--client", "none", "x"],
        ] {
            let output = typed(&server, &stub, args);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            assert_eq!(server.registry(), before, "{args:?}");
            assert_eq!(names_in(&server, "closed"), ["x"], "{args:?}");
        }
    }
    // One that answers nothing from then on may make it in the end.
    fails(&format!(">'{mute}' ;; esac\n[ ! -e '{mute}' ] || exec sleep 100\ncase x in y)"));
    let output = typed(&server, &stub, &["reopen", "x"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("x counts as lost"), "{output:?}");
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
}

/// The first command that meets a session records it, and then does what it is for.
#[test]
fn a_mode_that_is_given_before_any_sync_stays() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["mode", "one", "yolo"]);
    let shown = || server.tmux(&["show-options", "-v", "-t", &server.id("one"), "@roster_mode"]);
    assert_eq!((server.field("one", "mode"), shown()), ("yolo".to_owned(), "yolo".to_owned()));
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
    assert_eq!(server.roster(&["mode", "one", "--next"]), "safe\n");
    server.roster(&["sync"]);
    assert_eq!((server.field("one", "mode"), shown()), ("safe".to_owned(), "safe".to_owned()));
}

#[test]
fn a_kill_counts_by_what_tmux_did_and_not_by_its_answer() {
    let server = five();
    let (stub, note, told) = (server.path("stub"), server.path("note"), server.dir("told"));
    script(&note, &format!("echo \"$ROSTER_SESSION\" >>'{told}'"));
    server.tmux(&["set-option", "-g", "@roster-on-closed", &note.display().to_string()]);
    let tmux = tmux_program().display().to_string();
    for (how, name, code) in [("exit 1", "v", 1), ("'{tmux}' \"$@\" >'{told}.'; exit 1", "w", 0)] {
        let how = how.replace("{tmux}", &tmux).replace("{told}", &told);
        script(&stub, &format!("case $* in *source-file*) {how} ;; esac\nexec '{tmux}' \"$@\""));
        let uuid = server.uuid(name);
        let output = typed(&server, &stub, &["kill", name]);
        assert_eq!(output.status.code(), Some(code), "{name}: {output:?}");
        server.wait_until_quiet();
        let lives = names_in(&server, "live").contains(&name.to_owned());
        assert_eq!(lives, code == 1, "{name}");
        if lives {
            assert_eq!(server.uuid(name), uuid);
        }
    }
    let read = || std::fs::read_to_string(&told).unwrap_or_default();
    wait_for(|| (!read().is_empty()).then_some(()), || "closed, told".into());
    server.wait_until_quiet();
    assert_eq!(read(), "w\n");
    for args in [&["mode", "w"][..], &["mode", "w", "yolo"], &["health", "w"]] {
        let output = server.try_roster(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("session \"w\" is closed: run roster -L s reopen w"),
            "{args:?}: {said}"
        );
    }
    // Its name may be another's by now.
    let closed: Value = serde_json::from_str(&server.roster(&["closed", "--json"])).unwrap();
    let uuid = closed[0]["uuid"].as_str().unwrap();
    server.tmux(&["new-session", "-d", "-s", "w"]);
    server.wait_until_quiet();
    let reopen = format!("session \"w\" is closed: run roster -L s reopen {uuid}");
    let is_told = |args: &[&str]| {
        let output = server.try_roster(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(&reopen), "{args:?}: {said}");
    };
    let all = [&["mode", uuid][..], &["mode", uuid, "yolo"], &["health", uuid]];
    all.iter().for_each(|args| is_told(args));
    server.crash();
    all.iter().for_each(|args| is_told(args));
}

/// In the file the key is the name.
#[test]
fn without_a_server_a_record_is_called_by_its_key() {
    let server = five();
    server.crash();
    let mut registry = server.registry();
    let sessions = registry["sessions"].as_object_mut().unwrap();
    let record = sessions.remove("v").unwrap();
    sessions.insert("key".into(), record);
    std::fs::write(server.registry_path(), registry.to_string()).unwrap();
    let said = server.try_roster(&["health", "key"]).stdout;
    assert_eq!(String::from_utf8_lossy(&said), "no-server        key\n");
    server.roster(&["mode", "key", "loud"]);
    server.roster(&["restore", "key"]);
    server.wait_until_quiet();
    assert_eq!(server.field("key", "mode"), "loud");
}

#[test]
fn what_is_refused_with_a_server_is_refused_without_one_in_the_same_words() {
    let server = five();
    for name in ["visible", "work"] {
        server.roster(&["new", "-d", name]);
        server.roster(&["kill", name]);
    }
    let said = || {
        let refused: Vec<(String, String)> = [
            &["rename", "visible", "n"][..],
            &["rename", "visible", "w"],
            &["rename", "visibel", "n"],
            &["rename", "v", "w"],
            &["mode", "visible", "loud"],
            &["mode", "visibel", "loud"],
            &["mode", "nowhere", "--next"],
            &["health", "visible"],
            &["forget", "visibel"],
        ]
        .into_iter()
        .map(|args| {
            let output = server.try_roster(args);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            (args.join(" "), String::from_utf8(output.stderr).unwrap())
        })
        .collect();
        refused
    };
    let with_server = said();
    server.crash();
    assert_eq!(said(), with_server);
}

#[test]
fn health_is_recorded_without_a_server_as_with_one() {
    let server = five();
    lose_all(&server);
    for has_server in [true, false] {
        if !has_server {
            server.crash();
        }
        let name = if has_server { "v" } else { "w" };
        let output = server.try_roster(&["health", name, "--json"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
        let verdict = if has_server { "lost" } else { "no-server" };
        assert_eq!(checked[0]["status"], verdict);
        assert_eq!(server.field(name, "last_health_status"), verdict);
        assert_eq!(server.field(name, "last_health_at"), checked[0]["checked_at"]);
        assert_eq!(server.registry()["sessions"]["x"]["last_health_status"], Value::Null);
    }
}

#[test]
fn what_a_command_mended_is_told_with_a_server_and_without() {
    let server = five();
    lose_all(&server);
    let backup = server.roster(&["backup"]);
    for has_server in [true, false] {
        if !has_server {
            server.crash();
        }
        for args in [
            &["mode", "v", "loud"][..],
            &["rename", "v", "vv"],
            &["rename", "vv", "v"],
            &["health", "v"],
            &["recover", backup.trim()],
            &["forget", "w"],
            &["clear"],
        ] {
            // A job would mend it first.
            server.wait_for_jobs();
            std::fs::write(server.registry_path(), "garbage").unwrap();
            let output = server.try_roster(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.contains("the registry was damaged"), "{args:?}: {output:?}");
        }
        server.roster(&["recover", backup.trim()]);
    }
}

#[test]
fn what_cannot_be_reopened_stays_closed() {
    let server = five();
    server.tmux(&["set-option", "-s", "exit-empty", "off"]);
    server.roster(&["kill", "y"]);
    server.roster(&["kill", "z"]);
    let closed = || {
        let rows: Value = serde_json::from_str(&server.roster(&["closed", "--json"])).unwrap();
        let names = rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    server.tmux(&["set-hook", "-g", "after-new-session", "kill-session"]);
    let fails = || {
        let output = server.try_roster(&["reopen", "y"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("exited at once"), "{output:?}");
        assert!(names_in(&server, "lost").is_empty());
    };
    fails();
    assert_eq!(closed(), ["z", "y"], "newest first, as before");
    assert_eq!(server.tmux(&["show-options", "-gv", "@roster_lost"]), "0");
    // Where it would have been the only one.
    for name in ["v", "w", "x"] {
        server.roster(&["kill", name]);
    }
    fails();
    assert_eq!(closed(), ["x", "w", "v", "z", "y"]);
    server.tmux(&["set-hook", "-gu", "after-new-session"]);
    server.roster(&["reopen", "y"]);
    server.wait_until_quiet();
    assert_eq!(names_in(&server, "live"), ["y"]);
}

#[test]
fn a_session_that_is_left_alone_is_not_made_a_second_time() {
    let server = five();
    server.tmux(&["set-option", "-g", "@roster-ignore", "_*"]);
    server.tmux(&["rename-session", "-t", &server.id("v"), "_v"]);
    server.wait_for_names(&["w", "x", "y", "z"]);
    let output = server.try_roster(&["reopen", "v"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("is live as \"_v\""), "{output:?}");
    assert_eq!(names_in(&server, "closed"), ["v"]);
}

#[test]
fn reopen_passes_over_a_session_that_is_left_alone_and_every_command_says_so() {
    let server = five();
    server.roster(&["kill", "w"]);
    server.roster(&["forget", "--force", "v"]);
    assert_eq!(names_in(&server, "closed"), ["v", "w"]);
    for command in [
        &["reopen", "v"][..],
        &["restore", "v"],
        &["kill", "v"],
        &["rename", "v", "vv"],
        &["new", "-d", "v"],
        &["mode", "v", "yolo"],
        &["health", "v"],
    ] {
        let output = server.try_roster(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = "session \"v\" is live but not tracked";
        assert!(output.status.code() == Some(1) && said.contains(told), "{command:?}: {output:?}");
    }
    assert_eq!(server.roster(&["reopen"]), "reopened w\n");
    assert_eq!(
        String::from_utf8_lossy(&server.try_roster(&["reopen"]).stderr),
        "roster: the only closed sessions are live but not tracked: run roster -L s closed to list them\n"
    );
    let uuid = server.tmux(&["show-options", "-v", "-t", &server.id("v"), "@roster_uuid"]);
    server.tmux(&["kill-session", "-t", &server.id("v")]);
    assert_eq!(server.roster(&["reopen"]), "reopened v\n");
    assert_eq!(server.uuid("v"), uuid);
}

#[test]
fn one_long_name_widens_no_other_row() {
    let server = five();
    let long = "n".repeat(300);
    server.tmux(&["new-session", "-d", "-s", &long]);
    server.wait_for_name(&long);
    let listed = server.roster(&["list"]);
    let rows: Vec<&str> = listed.lines().collect();
    assert!(rows.iter().any(|row| row.starts_with(&format!("{long}  live"))), "{listed}");
    assert!(rows.iter().filter(|row| !row.starts_with("nn")).all(|r| r.len() < 200), "{listed}");
}

/// Anybody can name a session like another's UUID; keys and menus say `uuid:`.
#[test]
fn a_session_named_like_the_uuid_of_another_is_not_taken_for_it() {
    let server = five();
    let uuid = server.uuid("v");
    let target = &format!("uuid:{uuid}");
    server.tmux(&["new-session", "-d", "-s", &uuid, "-c", &server.dir("a")]);
    server.wait_for_name(&uuid);
    server.wait_until_quiet();
    let decoy = server.field(&uuid, "uuid");
    let named = |word: &str| {
        let shown: Value = serde_json::from_str(&server.roster(&["show", word, "--json"])).unwrap();
        (shown["name"].as_str().unwrap().to_owned(), shown["mode"].as_str().unwrap().to_owned())
    };
    assert_eq!(named(&uuid), (uuid.clone(), "safe".to_owned()), "a name is a name first");
    assert_eq!(named(target), ("v".to_owned(), "safe".to_owned()));
    server.roster(&["mode", target, "yolo"]);
    assert_eq!(server.roster(&["mode", target]), "yolo\n");
    assert!(server.roster(&["health", target]).contains(" v\n"));
    server.roster(&["rename", target, "vv"]);
    server.roster(&["kill", target]);
    assert_eq!(names_in(&server, "closed"), ["vv"]);
    server.roster(&["reopen", target]);
    // Without a server as well.
    server.crash();
    server.roster(&["rename", target, "v"]);
    server.roster(&["mode", target, "safe"]);
    assert!(
        String::from_utf8_lossy(&server.try_roster(&["health", target]).stdout).contains(" v\n")
    );
    server.roster(&["restore", target]);
    server.wait_until_quiet();
    server.crash();
    server.roster(&["forget", target]);
    assert_eq!(names_in(&server, "closed"), ["v"]);
    server.roster(&["forget", target]);
    assert!(names_in(&server, "closed").is_empty());
    assert_eq!(named(&uuid), (uuid.clone(), "safe".to_owned()), "what bears its name is as it was");
    assert_eq!(server.field(&uuid, "uuid"), decoy);
    let output = server.try_roster(&["forget", target]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("not found"), "{output:?}");
}

#[test]
fn without_a_server_a_clone_is_not_lost() {
    let server = five();
    server.tmux(&["new-session", "-d", "-s", "clone", "-t", &server.id("v")]);
    server.wait_for_name("clone");
    server.wait_until_idle();
    assert_eq!(server.roster(&["names"]), "clone\nv\nw\nx\ny\nz\n");
    server.crash();
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    assert_eq!(server.roster(&["names"]), "v\nw\nx\ny\nz\n");
    assert!(!server.try_roster(&["show", "clone"]).status.success());
}

/// A disk that is not there yet, say.
#[test]
fn a_directory_that_comes_back_is_where_the_next_restore_starts() {
    let server = five();
    let (there, away) = (server.path("dir-v"), server.path("away"));
    for state in ["safe", "displaced"] {
        server.crash();
        std::fs::rename(&there, &away).unwrap();
        server.tmux(&["new-session", "-d", "-s", &format!("new-{state}"), "-c", &server.dir("c")]);
        server.roster(&["restore", "v"]);
        let parent = there.parent().unwrap().display().to_string();
        assert_eq!(server.field("v", "workdir"), parent);
        assert_eq!(server.field("v", "last_health_status"), "workdir-missing");
        std::fs::rename(&away, &there).unwrap();
    }
    let uuid = server.uuid("v");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "new", "-c", &server.dir("c")]);
    server.roster(&["restore", "v"]);
    assert_eq!(server.field("v", "workdir"), server.dir("dir-v"));
    assert_eq!(server.field("v", "last_health_status"), "recreated");
    assert_eq!(server.uuid("v"), uuid);
    // Whoever makes it there by hand brings it back as well.
    server.crash();
    std::fs::rename(&there, &away).unwrap();
    server.tmux(&["new-session", "-d", "-s", "newer", "-c", &server.dir("c")]);
    server.roster(&["restore", "v"]);
    std::fs::rename(&away, &there).unwrap();
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "v", "-c", &server.dir("dir-v")]);
    server.wait_until_quiet();
    assert_eq!(server.uuid("v"), uuid);
}

#[test]
fn a_name_that_stands_nowhere_starts_no_server() {
    let server = five();
    server.crash();
    for command in [&["restore", "typo"][..], &["reopen", "typo"]] {
        let output = server.try_roster(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("not found"), "{output:?}");
        assert!(!server.try_tmux(&["list-sessions"]).status.success());
    }
    let uuid = server.uuid("v");
    server.roster(&["rename", &uuid, "vv"]);
    assert_eq!(server.uuid("vv"), uuid);
    let output = server.try_roster(&["health", &uuid]);
    assert!(String::from_utf8_lossy(&output.stdout).contains("vv"), "{output:?}");
}

#[test]
fn a_server_that_a_command_started_ends_with_its_last_session_even_if_it_was_interrupted() {
    let server = five();
    server.crash();
    let exits = || server.tmux(&["show-options", "-sv", "exit-empty"]);
    server.roster(&["restore", "v"]);
    assert_eq!(exits(), "on");
    // Then what the user says stands: the timer acts only where this is left.
    assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_starting"]), "");
    if tmux_version() < (3, 2) {
        return;
    }
    // As after SIGINT in the middle.
    server.tmux(&["set-option", "-s", "exit-empty", "off"]);
    server.tmux(&["set-option", "-g", "@roster_starting", "1"]);
    wait_at_most(
        Duration::from_secs(60),
        || (exits() == "on").then_some(()),
        || "tmux that ends by itself".into(),
    );
}

#[test]
fn a_damaged_list_of_closed_sessions_is_told_and_kept() {
    let server = five();
    server.roster(&["kill", "z"]);
    server.wait_until_idle();
    let list = server.registry_path().with_file_name("closed.json");
    std::fs::write(&list, "garbage").unwrap();
    let shown = server.try_roster(&["closed"]);
    assert!(String::from_utf8_lossy(&shown.stderr).contains("damaged"), "{shown:?}");
    assert_eq!(shown.status.code(), Some(1));
    assert_eq!(server.try_roster(&["list", "--state", "closed"]).status.code(), Some(1));
    let output = server.try_roster(&["reopen", "z"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("closed sessions was damaged"), "{said}");
    let kept = said.split_once("kept it as ").unwrap().1.split_once(" and ").unwrap().0;
    assert_eq!(std::fs::read(kept).unwrap(), b"garbage");
}

#[test]
fn a_damaged_list_of_closed_sessions_that_cannot_be_kept_is_not_begun_anew() {
    if !can_trace("a list that cannot be kept") {
        return;
    }
    let server = five();
    server.roster(&["kill", "z"]);
    server.wait_until_idle();
    let list = server.registry_path().with_file_name("closed.json");
    std::fs::write(&list, "garbage").unwrap();
    let mut strace = server.command("strace");
    strace.args(["-o", "/dev/null", "-e", "inject=rename:error=EIO:when=1", ROSTER, "-L", "s"]);
    let output = strace.args(["kill", "y"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("could not set aside"), "{said}");
    assert_eq!(std::fs::read(&list).unwrap(), b"garbage");
}

/// Wherever it is cut off: what it takes out of the closed ones stands in one place afterwards.
#[test]
fn a_recover_that_is_killed_leaves_no_uuid_twice() {
    if !can_trace("a recover that is killed") {
        return;
    }
    for when in 1..6 {
        let server = five();
        server.roster(&["backup"]);
        server.roster(&["kill", "z"]);
        server.wait_until_idle();
        let mut strace = server.command("strace");
        let inject = format!("inject=rename:signal=KILL:when={when}");
        strace.args(["-o", "/dev/null", "-e", &inject, ROSTER, "-L", "s", "recover"]);
        strace.output().unwrap();
        server.roster(&["sync"]);
        let all = [&["list", "--json"][..], &["closed", "--json"]].map(|args| server.roster(args));
        let rows = all.iter().flat_map(|text| serde_json::from_str::<Vec<Value>>(text).unwrap());
        let mut uuids: Vec<String> = rows.map(|row| row["uuid"].to_string()).collect();
        uuids.sort();
        assert_eq!(uuids.len(), 5, "{when}: {all:?}");
        uuids.dedup();
        assert_eq!(uuids.len(), 5, "{when}: {all:?}");
    }
}

/// The copy that it comes back from has what others wrote, once a sync saw it.
#[test]
fn what_a_person_edited_survives_the_loss_of_the_registry() {
    let server = five();
    lose_all(&server);
    server.wait_until_idle();
    let text = std::fs::read_to_string(server.registry_path()).unwrap();
    std::fs::write(server.registry_path(), text.replace("\"yolo\"", "\"mine\"")).unwrap();
    server.roster(&["sync"]);
    std::fs::remove_file(server.registry_path()).unwrap();
    server.roster(&["sync"]);
    assert_eq!([server.field("w", "mode"), server.field("y", "mode")], ["mine", "mine"]);
}

/// What lives is recorded again; what was lost would be in no file any more.
#[test]
fn what_an_emptied_registry_held_is_in_a_backup() {
    for emptied in ["null", "{}", "{\"schema_version\":1,\"sessions\":{}}"] {
        let server = five();
        lose_all(&server);
        server.wait_until_idle();
        std::fs::write(server.registry_path(), emptied).unwrap();
        let output = server.try_roster(&["sync"]);
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains("was emptied"), "{emptied}: {said}");
        assert_eq!(server.names(), ["mine"]);
        let kept = said.split_once("saved as ").unwrap().1.split([',', '\n']).next().unwrap();
        server.roster(&["recover", kept]);
        assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    }
}

/// Without hooks one sync comes to all of them.
#[test]
fn of_many_events_at_once_the_scripts_run_under_one_supervisor_in_their_order() {
    let server = Server::with_config("");
    for n in 0..30 {
        server.tmux(&["new-session", "-d", "-s", &format!("s{n:02}")]);
    }
    let body = format!("echo $PPID $ROSTER_SESSION >>'{}'", server.path("ran").display());
    script(&server.path("note"), &body);
    server.tmux(&["set-option", "-g", "@roster-on-created", &server.dir("note")]);
    server.roster(&["sync"]);
    let ran = || std::fs::read_to_string(server.path("ran")).unwrap_or_default();
    wait_for(|| (ran().lines().count() == 30).then_some(()), ran);
    let supervisor = ran().split(' ').next().unwrap().to_owned();
    for (n, line) in ran().lines().enumerate() {
        // One that takes longer than a second is overtaken.
        assert!(line.starts_with(&format!("{supervisor} s")), "{n}: {line}");
    }
}

/// As in a preview that is open while the server ends and another begins.
#[test]
fn a_preview_never_shows_the_screen_of_a_later_servers_session() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "ours", "cat"]);
    server.roster(&["sync"]);
    let uuid = server.uuid("ours");
    server.tmux(&["send-keys", "-t", "=ours:", "this is ours"]);
    let preview = || server.roster(&["pick", "--preview", &uuid]);
    wait_for(|| preview().contains("this is ours").then_some(()), preview);
    server.kill_server();
    server.tmux(&["new-session", "-d", "-s", "theirs", "echo this is theirs; exec cat"]);
    wait_for(|| server.screen("=theirs:").contains("theirs").then_some(()), || "its screen".into());
    let shown = preview();
    assert!(shown.starts_with("name      ours\n") && !shown.contains("theirs"), "{shown}");
}

/// Refused by whoever would change it, be it a person or a hook's job, and by those who read it.
#[test]
fn a_newer_registry_or_list_of_closed_sessions_is_refused_and_untouched() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["new", "-d", "two"]);
    server.roster(&["kill", "two"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let list = std::fs::read_to_string(dir.join("closed.json")).unwrap();
    // Of the very shape that we know: the version alone says that it is not ours to write.
    let newer_list = list.replacen("\"version\":1", "\"version\":2", 1);
    assert!(newer_list != list && list.contains("two"), "{list}");
    let files = || {
        let entries = std::fs::read_dir(&dir).unwrap().flatten();
        let named = entries.map(|entry| (entry.file_name(), entry.path()));
        let named = named.filter(|(name, _)| name != "roster.log" && name != "server.json");
        let mut files: Vec<_> =
            named.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    for (name, newer, version) in [
        ("closed.json", newer_list.as_str(), "2"),
        ("sessions.json", "{\"schema_version\":9,\"sessions\":[1,2]}", "9"),
        ("sessions.json", "{\"schema_version\":2,\"sessions\":[{\"name\":\"one\"}]}", "2"),
        ("sessions.json", "{\"schema_version\":2,\"sessions\":{}}", "2"),
    ] {
        let kept = std::fs::read(dir.join(name)).unwrap();
        std::fs::write(dir.join(name), newer).unwrap();
        let before = files();
        // There is something to write.
        let id = server.id("one");
        let mode = format!("m{version}{name}");
        server.tmux(&["set-option", "-t", &id, "@roster_mode", &mode]);
        let job = hook_job(&server, &tmux_program()).output().unwrap();
        assert!(job.status.success() && job.stdout.is_empty() && job.stderr.is_empty(), "{job:?}");
        assert_eq!(files(), before, "{newer}: a hook's job");
        for args in [
            &["sync"][..],
            &["list"],
            &["kill", "one"],
            &["rename", "one", "uno"],
            &["mode", "one", "yolo"],
            &["forget", "two"],
            &["reopen", "two"],
            &["new", "-d", "three"],
        ] {
            let output = server.try_roster(args);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let reason = format!("{name} is of version {version}, but this roster knows up to 1");
            assert_eq!(output.status.code(), Some(1), "{newer}, {args:?}: {said}");
            assert!(said.contains(&reason), "{newer}, {args:?}: {said}");
            assert_eq!(files(), before, "{newer}, {args:?}");
        }
        assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one", "{newer}");
        std::fs::write(dir.join(name), kept).unwrap();
    }
    server.roster(&["sync"]);
    assert_eq!(server.field("one", "mode"), "m2sessions.json");
    server.roster(&["reopen", "two"]);
}

#[test]
fn a_new_session_whose_command_ends_at_once_leaves_no_record() {
    let server = five();
    let before = server.registry();
    for command in ["true", "/bin/true"] {
        // On a machine that is busy it may not have begun when it is looked for.
        let ended_at_once = || {
            let output = server.try_roster(&["new", "-d", "gone", "--", command]);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            server.wait_for_names(&["v", "w", "x", "y", "z"]);
            let told = output.status.code() == Some(1) && said.contains("exited at once");
            assert!(told || output.status.success(), "{output:?}");
            told.then_some(())
        };
        wait_for(ended_at_once, || format!("the end of {command}"));
    }
    server.wait_until_idle();
    assert_eq!(server.registry(), before);
}

/// The last good copy brings it back within the same command, before the backup is made.
#[test]
fn what_is_cleared_is_in_a_backup_even_if_the_registry_was_gone() {
    let server = five();
    let before = server.registry();
    server.crash();
    for runs in [false, true] {
        if runs {
            server.tmux(&["new-session", "-d", "-s", "other"]);
            server.wait_for_names(&["other", "v", "w", "x", "y", "z"]);
            server.wait_until_idle();
        }
        std::fs::remove_file(server.registry_path()).unwrap();
        let said = server.roster(&["clear"]);
        let backup = said.trim().rsplit(' ').next().unwrap();
        assert_eq!(names_in(&server, "closed").len(), 5, "{said}");
        server.roster(&["recover", backup]);
        for name in ["v", "w", "x", "y", "z"] {
            assert_eq!(before["sessions"][name]["uuid"], server.uuid(name), "a server: {runs}");
        }
    }
}

#[test]
fn a_mode_edited_by_hand_outlives_the_loss_of_the_file() {
    let server = five();
    let path = server.registry_path();
    for (n, lose) in [std::fs::remove_file, |path| std::fs::write(path, "{")].iter().enumerate() {
        let (old, new) = (server.field("v", "mode"), format!("edited{n}"));
        let text = std::fs::read_to_string(&path).unwrap();
        let edited =
            text.replacen(&format!("\"mode\":\"{old}\""), &format!("\"mode\":\"{new}\""), 1);
        server.wait_until_idle();
        std::fs::write(&path, edited).unwrap();
        server.roster(&["sync"]);
        assert_eq!(server.field("v", "mode"), new);
        lose(path.clone()).unwrap();
        server.roster(&["sync"]);
        assert_eq!(server.field("v", "mode"), new);
        let shown = server.tmux(&["show-options", "-qv", "-t", &server.id("v"), "@roster_mode"]);
        assert_eq!(shown, new);
    }
}

#[test]
fn health_tells_what_is_wrong() {
    let server = five();
    assert!(server.roster(&["health", "--all"]).lines().all(|line| line.starts_with("ok ")));
    std::fs::remove_dir(server.path("dir-v")).unwrap();
    let output = server.try_roster(&["health", "v", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(checked[0]["status"], "workdir-missing");
    assert_eq!(
        server.tmux(&["show-options", "-qv", "-t", &server.id("v"), "@roster_health"]),
        "workdir-missing"
    );

    server.tmux(&["set-option", "-g", "remain-on-exit", "on"]);
    server.tmux(&["respawn-pane", "-k", "-t", "=x:", "exit 3"]);
    wait_for(
        || {
            (server.tmux(&["list-panes", "-s", "-t", &server.id("x"), "-F", "#{pane_dead}"]) == "1")
                .then_some(())
        },
        || "a dead pane".into(),
    );
    assert_eq!(server.try_roster(&["health", "x"]).status.code(), Some(1));
    assert_eq!(server.field("x", "last_health_status"), "pane-dead");
    // The sync checks the session that somebody has just come to, if its check is old.
    server.tmux(&["set-option", "-g", "@roster-health-interval", "1"]);
    std::fs::create_dir(server.path("dir-v")).unwrap();
    let _client = server.attach("v");
    wait_for(
        || {
            server.tmux(&["switch-client", "-t", &server.id("v")]);
            (server.field("v", "last_health_status") == "ok").then_some(())
        },
        || "a check at the attach".into(),
    );
}

#[test]
fn go_attaches_a_terminal_outside_tmux() {
    let server = five();
    let client = Client::start(&server, &format!("{} -L s go x", ROSTER));
    let shown = || server.tmux(&["list-clients", "-F", "#{client_name} #{session_name}"]);
    let wanted = format!("{} x", client.name());
    wait_for(|| (shown() == wanted).then_some(()), || format!("{wanted:?}, not {:?}", shown()));
}

#[test]
fn restore_at_start_brings_all_back_once_a_session_stands() {
    let server = five();
    let before = server.registry();
    server.crash();
    server.write_config(&format!("set -g @roster-restore on\n{}", server.config()));
    server.tmux(&["new-session", "-d", "-s", "mine", "-c", &server.dir("c")]);
    server.wait_for_names(&["mine", "v", "w", "x", "y", "z"]);
    // They have those names while they are lost, too.
    let lost = || names_in(&server, "lost");
    wait_for(|| lost().is_empty().then_some(()), || format!("none lost, not {:?}", lost()));
    server.wait_until_quiet();
    for name in ["v", "w", "x", "y", "z"] {
        assert_eq!(before["sessions"][name]["uuid"], server.uuid(name));
    }
}

#[test]
fn a_script_that_cannot_be_started_or_takes_too_long_is_logged() {
    let server = Server::with_plugin("");
    let (slow, pid) = (server.path("slow"), server.path("pid"));
    // What it started is not to outlive it.
    script(&slow, &format!("sleep 100 & echo $! >'{}'; wait", pid.display()));
    server.write_config(&format!(
        "set -g @roster-on-created /nowhere/script\nset -g @roster-on-renamed '{}'\n{}",
        slow.display(),
        server.config()
    ));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.tmux(&["rename-session", "-t", &server.id("one"), "two"]);
    let path = server.registry_path().with_file_name("roster.log");
    let log = || std::fs::read_to_string(&path).unwrap_or_default();
    wait_for(
        || {
            let created =
                "the script for created: could not start \"/nowhere/script\": No such file";
            let renamed = format!("the script for renamed: {slow:?} was killed after 10 s");
            (log().contains(created) && log().contains(&renamed)).then_some(())
        },
        || format!("two lines, not {:?}", log()),
    );
    let pid = std::fs::read_to_string(pid).unwrap();
    let state = || {
        let printed = Command::new("ps").args(["-o", "stat=", "-p", pid.trim()]).output();
        String::from_utf8_lossy(&printed.expect("ps runs").stdout).trim().to_owned()
    };
    wait_for(
        || (state().is_empty() || state().starts_with('Z')).then_some(()),
        || format!("the end of what the script started, {}", state()),
    );
}

#[test]
fn scripts_are_told_of_the_event_and_nothing_of_whoever_set_it_off() {
    let server = Server::with_config("");
    let (tell, seen) = (server.path("tell"), server.path("seen"));
    let show = seen.display();
    script(&tell, &format!("env >'{show}.tmp'; mv '{show}.tmp' '{show}'"));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["set-option", "-g", "@roster-on-closed", &tell.display().to_string()]);
    server.roster(&["new", "-d", "two"]);
    let uuid = server.uuid("two");
    let mut kill = server.command(ROSTER);
    kill.args(["-L", "s", "kill", "two"]).env("TMUX_PANE", "%0").env("ROSTER_RETRY", "600:1-1");
    let killed = kill.output().unwrap();
    assert!(killed.status.success(), "{killed:?}");
    let text = wait_for(|| std::fs::read_to_string(&seen).ok(), || "the script's end".into());
    for wanted in ["ROSTER_EVENT=closed", "ROSTER_SESSION=two", &format!("ROSTER_UUID={uuid}")] {
        assert!(text.lines().any(|line| line == wanted), "{wanted}: {text}");
    }
    for other in ["TMUX_PANE=", "ROSTER_RETRY=", "ROSTER_LOG="] {
        assert!(!text.lines().any(|line| line.starts_with(other)), "{other}: {text}");
    }
}

#[test]
fn scripts_of_the_user_run_once_for_each_event() {
    let server = Server::with_plugin("");
    let script = server.path("script");
    let body = format!(
        "#!/bin/sh\nprintf '%s|%s|%s|%s\\n' \"$ROSTER_EVENT\" \"$ROSTER_SESSION\" \"$ROSTER_OLD_NAME\" \"$ROSTER_WORKDIR\" >> {}\n",
        server.dir("events")
    );
    write_program(&script, &body);
    let hooks: String = ["created", "renamed", "closed", "lost", "restored"]
        .map(|event| format!("set -g @roster-on-{event} '{}'\n", script.display()))
        .concat();
    server.write_config(&format!("{hooks}{}", server.config()));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    server.tmux(&["rename-session", "-t", &server.id("two"), "zwei"]);
    server.wait_for_names(&["one", "zwei"]);
    server.roster(&["kill", "zwei"]);
    server.roster(&["reopen"]);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "three"]);
    let (a, b) = (server.dir("a"), server.dir("b"));
    let wanted = [
        format!("closed|zwei||{b}"),
        format!("created|one||{a}"),
        format!("created|three||{a}"),
        format!("created|two||{b}"),
        format!("lost|one||{a}"),
        format!("lost|zwei||{b}"),
        format!("renamed|zwei|two|{b}"),
        format!("restored|zwei||{b}"),
    ];
    let happened = || {
        let text = std::fs::read_to_string(server.path("events")).unwrap_or_default();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    wait_for(
        || wanted.iter().all(|line| happened().contains(line)).then_some(()),
        || format!("{wanted:#?} in {:#?}", happened()),
    );
    server.wait_until_quiet();
    assert_eq!(happened(), wanted);

    // A command that starts the server runs them as well.
    server.crash();
    std::fs::write(server.path("home/.tmux.conf"), format!("{hooks}{}", server.config())).unwrap();
    server.roster(&["restore", "one"]);
    let wanted =
        [&wanted[..], &[format!("lost|three||{a}"), format!("restored|one||{a}")]].concat();
    wait_for(
        || wanted.iter().all(|line| happened().contains(line)).then_some(()),
        || format!("{wanted:#?} in {:#?}", happened()),
    );
    server.wait_until_quiet();
    assert_eq!(happened().len(), wanted.len(), "{:#?}", happened());

    // One that somebody makes again is brought back as well, and where the registry is gone it is
    // no new one.
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &a]);
    let wanted = [&wanted[..], &[format!("lost|one||{a}"), format!("restored|one||{a}")]].concat();
    wait_for(
        || (happened().len() >= wanted.len()).then_some(()),
        || format!("{wanted:#?}, not {:#?}", happened()),
    );
    server.wait_until_quiet();
    for name in ["sessions.json", "sessions.json.last"] {
        std::fs::remove_file(server.registry_path().with_file_name(name)).unwrap();
    }
    server.roster(&["sync"]);
    server.wait_until_quiet();
    let mut wanted = wanted;
    wanted.sort();
    assert_eq!(happened(), wanted);
}

#[test]
fn commands_without_a_server_say_so_and_lose_nothing() {
    let server = five();
    let before = server.registry();
    server.crash();
    for command in [&["kill", "v"][..], &["sync"]] {
        let output = server.try_roster(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no tmux server is running"), "{said}");
    }
    assert_eq!(server.registry(), before);
    assert!(tmux_program().exists());
}

#[test]
fn a_deleted_registry_comes_back_even_without_its_server() {
    let server = five();
    // A job of theirs would mend it first.
    server.wait_until_idle();
    let before = server.registry();
    std::fs::remove_file(server.registry_path()).unwrap();
    let said = server.roster(&["sync"]);
    assert!(said.contains("the last good copy"), "{said}");
    assert_eq!(server.registry(), before);
    std::fs::remove_file(server.registry_path()).unwrap();
    server.crash();
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
}

/// A link into dotfiles, say, whose other end a checkout took away.
#[test]
fn a_registry_whose_link_leads_nowhere_comes_back() {
    let server = five();
    server.wait_until_idle();
    let before = server.registry();
    server.crash();
    let away = server.path("dotfiles.json");
    std::fs::rename(server.registry_path(), &away).unwrap();
    std::os::unix::fs::symlink(&away, server.registry_path()).unwrap();
    assert_eq!(server.registry(), before);
    std::fs::remove_file(&away).unwrap();
    assert_eq!(names_in(&server, "lost"), ["v", "w", "x", "y", "z"]);
    assert_eq!(server.roster(&["names"]), "v\nw\nx\ny\nz\n");
    assert_eq!(server.try_roster(&["backup"]).status.code(), Some(1));
    check_all_come_back(&server, &before, &["v", "w", "x", "y", "z"]);
    assert!(std::fs::symlink_metadata(server.registry_path()).unwrap().is_symlink());
}

#[test]
fn a_damaged_registry_is_reported_by_readers_and_mended_by_the_next_change() {
    let server = five();
    server.wait_until_idle();
    let before = server.registry();
    std::fs::write(server.registry_path(), "garbage").unwrap();
    let output = server.try_roster(&["list"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("damaged") && said.contains("roster -L s sync"), "{said}");
    assert_eq!(std::fs::read(server.registry_path()).unwrap(), b"garbage");
    server.tmux(&["new-session", "-d", "-s", "zz"]);
    wait_for(
        || {
            let bytes = std::fs::read(server.registry_path()).ok()?;
            let read: Value = serde_json::from_slice(&bytes).ok()?;
            read["sessions"]["zz"].is_object().then_some(())
        },
        || "the registry mended".into(),
    );
    for name in ["v", "w", "x", "y", "z"] {
        assert_eq!(before["sessions"][name]["uuid"], server.uuid(name));
    }
}

#[test]
fn going_somewhere_needs_a_terminal_and_makes_nothing_without_one() {
    let server = five();
    let output = server.try_roster(&["new", "made"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("-d"), "{output:?}");
    assert_eq!(server.names(), ["v", "w", "x", "y", "z"]);
    for (verb, way_out) in
        [("pick", "roster -L s list"), ("menu", "roster -L s go NAME"), ("last", "inside")]
    {
        let output = server.try_roster(&[verb]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains(way_out), "{verb}: {said}");
    }
}

#[test]
fn a_mode_that_is_no_mode_of_the_users_is_taken_and_told() {
    let server = Server::with_plugin("set -g @roster-modes 'safe wild'");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let said = |args: &[&str]| {
        let output = server.try_roster(args);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warning = "roster: mode wlid is not in @roster-modes (safe wild): set anyway\n";
    assert_eq!(said(&["mode", "one", "wlid"]), warning);
    assert_eq!(server.field("one", "mode"), "wlid");
    assert_eq!(said(&["new", "two", "-d", "-m", "wlid"]), warning);
    assert_eq!(server.field("two", "mode"), "wlid");
    assert_eq!(said(&["mode", "one", "wild"]), "");
    assert_eq!(said(&["mode", "one", "--next"]), "");
    assert_eq!(said(&["new", "three", "-d"]), "");
}

#[test]
fn a_command_line_that_is_off_says_where_to_read_what_is_right() {
    let server = Server::with_config("");
    for (args, wanted) in [
        (&["frob", "x"][..], "unknown command frob; see `roster --help`"),
        (&[], "no command given; see `roster --help`"),
        (&["show"], "required positional arguments not provided: name; see `roster show --help`"),
        (&["list", "--frob"], "unrecognized argument: --frob; see `roster list --help`"),
        (&["restore"], "restore needs either session names or --all; see `roster restore --help`"),
        (&["store", "frob"], "unrecognized argument: frob; see `roster store --help`"),
    ] {
        let output = server.try_roster(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), format!("roster: {wanted}\n"));
    }
    // What is called for people has its help as well.
    for internal in ["load", "run-scripts", "key"] {
        assert!(server.roster(&[internal, "--help"]).starts_with("Usage: "), "{internal}");
    }
}

#[test]
fn the_help_of_new_has_its_command() {
    let server = Server::with_config("");
    let usage = |verb: &str| server.roster(&[verb, "--help"]).lines().next().unwrap().to_owned();
    assert!(usage("new").ends_with(" [-d] [<name>] [-- <command...>]"), "{}", usage("new"));
    assert!(usage("reopen").ends_with(" [--] [<name>]"), "{}", usage("reopen"));
}

/// As systemd starts one for a user who has `exit-empty` off.
#[test]
fn a_server_that_starts_without_a_session_restores_too() {
    if !crate::env::version().delays_jobs() {
        return;
    }
    let server = Server::with_plugin("set -s exit-empty off\nset -g @roster-restore on\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_idle();
    let uuid = server.uuid("two");
    server.crash();
    server.tmux(&["start-server"]);
    wait_for(
        || (names_in(&server, "live") == ["one", "two"]).then_some(()),
        || format!("{:?}", server.registry()),
    );
    assert_eq!(server.uuid("two"), uuid);
}

#[test]
fn a_server_that_a_restore_starts_has_the_configuration_of_the_one_before() {
    if tmux_version() < (3, 3) {
        return;
    }
    // The tests' servers are started with a file of their own.
    let server = Server::with_plugin("set -g @mine yes\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    server.crash();
    server.roster(&["restore", "one"]);
    assert_eq!(server.tmux(&["show-options", "-gv", "@mine"]), "yes");
    server.wait_for_names(&["one"]);
}
