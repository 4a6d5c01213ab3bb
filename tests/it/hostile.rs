//! Names and directories that try to be something else. A canary shows if anything ran.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::process::Stdio;

use serde_json::Value;
use tmux_roster::model::session::{is_uuid, new_uuid};
use tmux_roster::tmux::text::argument;
use tmux_roster::tmux::text::escape_name;
use tmux_roster::validate_name;

use crate::env::{
    Client, ROSTER, Server, hook_job, script, tmux_program, typed, version, wait_for, write_program,
};

/// Where a key was pressed, as a binding says it.
const FROM: &str = "#{client_name} #{session_id} #{pane_id} #{client_width} #{client_height}";

const NAMES: [&[u8]; 29] = [
    b"a b",
    b"a\\b$HOME",
    b"it's",
    b"say \"hi\"",
    b"$(touch canary)",
    b"`touch canary`",
    b"; touch canary ;",
    b"end;",
    b"a;b",
    b"#(touch canary)",
    b"#{pid}",
    b"#[fg=red]x",
    b"##[x]###",
    b"trailing#",
    b"~",
    b"-x",
    b"--help",
    b"help",
    "🦀 emoji".as_bytes(),
    "日本語".as_bytes(),
    b"%H%M",
    b"$HOME",
    b"a\\b",
    b"a.b:c",
    b"{x,y}",
    b"tab\there",
    b"line\nbreak",
    b"bad\xff\xfeutf8",
    b"esc\x1b[31mred",
];

const FOLDERS: [&[u8]; 11] = [
    b"with space",
    b"quote's\"",
    b"$(touch canary)",
    b"`touch canary`",
    b"end;",
    b"#(touch canary)",
    b"#{pid}",
    b"line\nbreak",
    b"bad\xffutf8",
    b"esc\x1b[31mred",
    "日本語".as_bytes(),
];

fn new_session(server: &Server, name: &[u8], folder: &std::path::Path) -> bool {
    let [name, folder] = [name, folder.as_os_str().as_bytes()]
        .map(|text| argument(OsString::from_vec(escape_name(text, version()))));
    let args = ["new-session", "-d", "-s"].map(OsString::from);
    let args: Vec<OsString> = args.into_iter().chain([name, "-c".into(), folder]).collect();
    server.try_tmux(&args).status.success()
}

/// Nothing that a name holds was run.
fn check_canary(server: &Server) {
    assert_eq!(server.trapped(), [""; 0]);
}

/// Else the other tests would prove nothing.
#[test]
fn the_canary_is_seen_wherever_it_runs() {
    let server = Server::with_config("");
    server.set_trap();
    let folder = server.path("$(touch canary)");
    std::fs::create_dir(&folder).unwrap();
    assert!(new_session(&server, b"one", &folder));
    check_canary(&server);
    server.tmux(&["run-shell", "cd / && touch canary"]);
    assert_eq!(server.trapped(), ["touch canary in /"]);
    std::fs::write(folder.join("canary"), "").unwrap();
    assert_eq!(server.trapped().len(), 2);
    let _client = server.attach("one");
    server.tmux(&["set-option", "-g", "status-right", "#(touch canary)"]);
    wait_for(|| (server.trapped().len() > 2).then_some(()), || "the status line's".into());
}

/// How many sessions live.
fn count(server: &Server) -> usize {
    server.tmux(&["list-sessions", "-F", "#{session_id}"]).lines().count()
}

/// Makes `one` and a session for each name that this tmux takes, with a client on `one`; gives
/// the names as they are recorded.
fn with_hostile_sessions(server: &Server) -> Vec<String> {
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let made = NAMES.iter().filter(|name| new_session(server, name, &server.path("b"))).count();
    assert!(made >= 18, "{made}");
    let long = "n".repeat(150);
    assert!(new_session(server, long.as_bytes(), &server.path("b")));
    let all = count(server);
    wait_for(
        || (server.names().len() == all).then_some(()),
        || format!("{all} names, there are {:?}", server.names()),
    );
    server.wait_until_quiet();
    server.names().into_iter().filter(|name| name != "one").collect()
}

/// Text as it may reach a terminal.
fn visible(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().collect(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Runs a command, and checks that what it says does nothing to a terminal.
fn try_run(server: &Server, args: &[&str]) -> (bool, String) {
    let output = server.try_roster(args);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{args:?}: {said:?}");
    (output.status.success(), said)
}

/// The same for one that must go well.
fn run(server: &Server, args: &[&str]) -> String {
    let (well, said) = try_run(server, args);
    assert!(well, "{args:?}: {said}");
    said
}

/// The same for one that must not.
fn refuse(server: &Server, args: &[&str]) -> String {
    let (well, said) = try_run(server, args);
    assert!(!well && said.starts_with("roster: "), "{args:?}: {said}");
    said
}

/// What never changes while a session is closed, lost and brought back.
fn identity(server: &Server, name: &str) -> (String, String, String) {
    (server.uuid(name), server.field(name, "mode"), server.field(name, "workdir"))
}

/// The program in a session's pane knows whose it is.
fn check_environment(server: &Server, name: &str) {
    if !cfg!(target_os = "linux") {
        return;
    }
    let format = "#{session_id} #{pane_pid} #{@roster_uuid}";
    let listed = server.tmux(&["list-panes", "-a", "-F", format]);
    let uuid = server.uuid(name);
    let line = listed.lines().find(|line| line.ends_with(&uuid)).expect("its pane");
    let pid = line.split(' ').nth(1).unwrap();
    let wanted = ["ROSTER_UUID", "ROSTER_SESSION"].into_iter().zip([uuid.as_str(), name]);
    let wanted: Vec<String> = wanted.map(|(key, value)| format!("{key}={value}")).collect();
    let is_there = || {
        let found = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let found: Vec<&[u8]> = found.split(|byte| *byte == 0).collect();
        wanted.iter().all(|pair| found.contains(&pair.as_bytes())).then_some(())
    };
    wait_for(is_there, || format!("{wanted:?} in the environment of {pid}"));
}

#[test]
fn hostile_names_run_nothing_and_come_back() {
    let server = Server::with_plugin("");
    let names = with_hostile_sessions(&server);
    let _client = server.attach("one");
    for name in &names {
        let shown = run(&server, &["show", "--json", "--", name]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["name"], name.as_str());
        assert_eq!(shown["state"], "live");
        run(&server, &["mode", "--", name, "yolo"]);
    }
    for args in [&["list"][..], &["names"], &["health", "--all"]] {
        let said = run(&server, args);
        for name in &names {
            assert!(said.contains(&visible(name)), "{name} in {said}");
        }
    }
    let all = count(&server);
    let before: Vec<_> = names.iter().map(|name| identity(&server, name)).collect();
    server.crash();
    run(&server, &["restore", "--all"]);
    server.wait_until_quiet();
    let _client = server.attach("one");
    let after: Vec<_> = names.iter().map(|name| identity(&server, name)).collect();
    assert_eq!(after, before);
    assert_eq!(count(&server), all);
    for name in &names {
        check_environment(&server, name);
        run(&server, &["kill", "--", name]);
    }
    assert_eq!(server.names(), ["one"]);
    assert_eq!(count(&server), 1);
    check_canary(&server);
}

#[test]
fn every_command_takes_hostile_names() {
    let server = Server::with_plugin("");
    let names = with_hostile_sessions(&server);
    let client = server.attach("one");
    let terminal = client.name();
    let here = || server.tmux(&["list-clients", "-F", "#{@roster_uuid}"]);
    let file = server.registry_path().display().to_string();
    for name in &names {
        let before = identity(&server, name);
        assert_eq!(run(&server, &["mode", "--", name]), "safe\n");
        assert!(run(&server, &["health", "--", name]).contains(&visible(name)));
        run(&server, &["go", "--client", &terminal, "--", name]);
        assert_eq!(here(), before.0);
        for verb in ["get", "attached"] {
            run(&server, &["store", "--file", &file, verb, "--", name]);
        }
        run(&server, &["store", "--file", &file, "health", "--", name, "ok"]);
        run(&server, &["store", "--file", &file, "mode", "--", name, "yolo"]);
        run(&server, &["sync"]);
        assert!(refuse(&server, &["restore", "--", name]).contains("is live"));
        assert!(refuse(&server, &["forget", "--", name]).contains("is live"));
        run(&server, &["kill", "--client", &terminal, "--", name]);
        assert!(run(&server, &["closed"]).contains(&visible(name)));
        assert!(refuse(&server, &["kill", "--", name]).contains("is closed"));
        assert!(refuse(&server, &["rename", "--", name, "x"]).contains("is closed"));
        let said = refuse(&server, &["restore", "--", name]);
        let dashes = if name.starts_with('-') { "-- " } else { "" };
        let quoted = visible(&shell_words::quote(name));
        let hint = format!("run roster -L s reopen {dashes}{quoted}\n");
        assert!(said.contains("was closed") && said.ends_with(&hint), "{said}");
        let said = run(&server, &["reopen", "--", name]);
        assert_eq!(said, format!("reopened {}\n", visible(name)));
        assert_eq!(identity(&server, name), (before.0, "yolo".into(), before.2));
        check_environment(&server, name);
    }
    let before: Vec<_> = names.iter().map(|name| identity(&server, name)).collect();
    server.crash();
    run(&server, &["restore", "one"]);
    let client = server.attach("one");
    let terminal = client.name();
    for (n, name) in names.iter().enumerate() {
        assert!(run(&server, &["show", "--", name]).contains("lost"));
        assert!(refuse(&server, &["kill", "--", name]).contains("is not live"));
        match n % 4 {
            0 => {
                let said = run(&server, &["restore", "--", name]);
                assert_eq!(said, format!("restored {}\n", visible(name)));
            }
            1 => {
                run(&server, &["forget", "--", name]);
                run(&server, &["reopen", "--client", &terminal, "--", name]);
                assert_eq!(here(), before[n].0);
            }
            2 => drop(run(&server, &["go", "--client", &terminal, "--", name])),
            _ => {
                let plain = format!("lost{n}");
                run(&server, &["rename", "--", name, &plain]);
                run(&server, &["restore", &plain]);
                assert_eq!(identity(&server, &plain), before[n]);
                continue;
            }
        }
        assert_eq!(identity(&server, name), before[n]);
        let plain = format!("live{n}");
        run(&server, &["rename", "--", name, &plain]);
        assert_eq!(identity(&server, &plain), before[n]);
        if validate_name(name).is_err() {
            refuse(&server, &["rename", "--", &plain, name]);
        }
    }
    run(&server, &["last", "--client", &terminal]);
    check_canary(&server);
}

#[test]
fn hostile_records_are_kept_by_backups_and_cleared() {
    let server = Server::with_plugin("");
    let names = with_hostile_sessions(&server);
    let _client = server.attach("one");
    for name in &names {
        run(&server, &["forget", "--force", "--", name]);
        run(&server, &["show", "--", name]);
    }
    server.crash();
    for name in &names {
        run(&server, &["reopen", "--", name]);
    }
    run(&server, &["backup"]);
    for args in [&["backups"][..], &["doctor"], &["doctor", "--fix"], &["doctor", "--json"]] {
        try_run(&server, args);
    }
    let before: Vec<_> = names.iter().map(|name| identity(&server, name)).collect();
    server.crash();
    run(&server, &["clear"]);
    assert!(server.names().is_empty());
    run(&server, &["recover"]);
    run(&server, &["restore", "--all"]);
    let after: Vec<_> = names.iter().map(|name| identity(&server, name)).collect();
    assert_eq!(after, before);
    check_canary(&server);
}

#[test]
fn scripts_get_hostile_values_byte_for_byte() {
    let server = Server::with_plugin("");
    let (script, events) = (server.path("script"), server.path("events"));
    let body = "#!/bin/sh\ncd \"${0%/*}/events\" || exit\n\
        printf '%s\\0' \"$ROSTER_EVENT\" \"$ROSTER_SESSION\" \"$ROSTER_OLD_NAME\" \
        \"$ROSTER_UUID\" \"$ROSTER_MODE\" \"$ROSTER_WORKDIR\" >new.$$ && mv new.$$ event.$$\n";
    write_program(&script, body);
    std::fs::create_dir(&events).unwrap();
    let mode = "#(touch canary)'\"; $(touch canary)";
    let options: String = ["attached", "closed", "renamed", "restored"]
        .map(|event| format!("set -g @roster-on-{event} '{}'\n", script.display()))
        .concat();
    server.write_config(&format!("{options}{}", server.config()));
    let names = with_hostile_sessions(&server);
    let client = server.attach("one");
    let terminal = client.name();
    let folder = server.path("#(touch canary) $(touch canary) `touch canary`;\n\u{1b}[31m");
    std::fs::create_dir(&folder).unwrap();
    let mut wanted = Vec::new();
    for (n, name) in names.iter().enumerate() {
        run(&server, &["mode", "--", name, mode]);
        let (uuid, _, workdir) = identity(&server, name);
        let plain = format!("plain{n}");
        run(&server, &["kill", "--", name]);
        run(&server, &["reopen", "--", name]);
        run(&server, &["go", "--client", &terminal, "--", name]);
        run(&server, &["rename", "--", name, &plain]);
        for (event, name, old) in [
            ("closed", name, ""),
            ("restored", name, ""),
            ("renamed", &plain, name.as_str()),
            ("attached", name, ""),
        ] {
            wanted.push([event, name, old, &uuid, mode, &workdir].map(str::to_owned));
        }
    }
    run(&server, &["new", "-d", "-c", folder.to_str().unwrap(), "-m", mode, "there"]);
    let uuid = server.uuid("there");
    run(&server, &["kill", "there"]);
    let workdir = folder.to_str().unwrap();
    wanted.push(["closed", "there", "", &uuid, mode, workdir].map(str::to_owned));
    let happened = || -> Vec<Vec<String>> {
        let entries = std::fs::read_dir(&events).unwrap().flatten();
        let files = entries.filter(|entry| entry.file_name().as_encoded_bytes()[0] == b'e');
        let texts = files.map(|entry| std::fs::read_to_string(entry.path()).unwrap());
        texts.map(|text| text.split_terminator('\0').map(str::to_owned).collect()).collect()
    };
    for event in &wanted {
        wait_for(
            || happened().iter().any(|found| found == event).then_some(()),
            || format!("{event:?} in {:#?}", happened()),
        );
    }
    check_canary(&server);
}

#[test]
fn hostile_directories_are_recorded_and_restored() {
    let server = Server::with_plugin("");
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    for (n, folder) in FOLDERS.iter().enumerate() {
        let path = server.folder.path().join(OsString::from_vec(folder.to_vec()));
        std::fs::create_dir(&path).unwrap();
        assert!(new_session(&server, format!("n{n}").as_bytes(), &path));
        let name = format!("n{n}");
        wait_for(|| server.names().contains(&name).then_some(()), || name.clone());
    }
    server.wait_until_quiet();
    if version().tells_directories() {
        for (n, folder) in FOLDERS.iter().enumerate() {
            let path = server.folder.path().join(OsString::from_vec(folder.to_vec()));
            let shown = String::from_utf8_lossy(&path.into_os_string().into_vec()).into_owned();
            assert_eq!(server.field(&format!("n{n}"), "workdir"), shown);
        }
    }
    let _client = server.attach("n0");
    for args in [&["list"][..], &["show", "n2"], &["health", "--all"]] {
        run(&server, args);
    }
    let before = server.registry();
    server.crash();
    let said = run(&server, &["restore", "--all"]);
    assert!(!said.contains("gone"), "{said}");
    server.wait_until_quiet();
    for n in 0..FOLDERS.len() {
        let name = format!("n{n}");
        for field in ["uuid", "workdir"] {
            assert_eq!(
                server.registry()["sessions"][&name][field],
                before["sessions"][&name][field]
            );
        }
    }
    // The panes are there, byte for byte.
    for (n, folder) in FOLDERS.iter().enumerate() {
        let path = server.folder.path().join(OsString::from_vec(folder.to_vec()));
        let pid = server.tmux(&[
            "list-panes",
            "-s",
            "-t",
            &server.id(&format!("n{n}")),
            "-F",
            "#{pane_pid}",
        ]);
        wait_for(
            || (std::fs::read_link(format!("/proc/{pid}/cwd")).ok()? == path).then_some(()),
            || format!("pane {n} in {}", path.display()),
        );
        if !cfg!(target_os = "linux") {
            break;
        }
    }
    // A directory that is gone is told of, whatever it is called.
    server.crash();
    for folder in FOLDERS {
        std::fs::remove_dir(server.folder.path().join(OsString::from_vec(folder.to_vec())))
            .unwrap();
    }
    let said = run(&server, &["restore", "--all"]);
    let told = said.lines().filter(|line| line.contains("is gone: started in"));
    let of_sessions = told.filter(|line| !line.contains(" of a pane of "));
    assert_eq!(of_sessions.count(), FOLDERS.len(), "{said}");
    for args in [&["list"][..], &["health", "--all"], &["doctor"]] {
        try_run(&server, args);
    }
    check_canary(&server);
}

#[test]
fn hostile_options_run_nothing() {
    let server = Server::with_plugin(
        "set -g @roster-default-mode \"#(touch canary)'; touch canary; '\"\n\
         set -g @roster-ignore \"\\$(touch canary) `touch canary`\"\n\
         set -g @roster-command-loud \"../loud '50 $(touch canary); #(touch canary)' `touch canary`\"\n\
         set -g @roster-closed-limit '; touch canary'\n\
         set -g @roster-on-created 'unbalanced \"'\n",
    );
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    assert_eq!(server.field("one", "mode"), "#(touch canary)'; touch canary; '");
    let _client = server.attach("one");
    let said = server.dir("said");
    script(&server.path("loud"), &format!("printf '<%s>' \"$@\" >'{said}'; exec sleep 1000\n"));
    server.roster(&["new", "-d", "two", "-m", "loud"]);
    let words = "<50 $(touch canary); #(touch canary)><`touch><canary`>";
    let read = || std::fs::read_to_string(&said).unwrap_or_default();
    wait_for(|| (read() == words).then_some(()), read);
    server.wait_until_quiet();
    let log = std::fs::read_to_string(server.registry_path().with_file_name("roster.log")).unwrap();
    assert!(log.contains("@roster-closed-limit") && log.contains("@roster-on-created"), "{log}");
    check_canary(&server);
}

/// tmux gives a command of one word to a shell, and more than one to none.
#[test]
fn a_launch_command_of_one_word_is_that_program_whatever_it_is_called() {
    let server = Server::with_config("");
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let ran = server.dir("ran");
    let names = [
        "a b",
        "a; touch canary",
        "$(touch canary)",
        "`touch canary`",
        "a && touch canary #",
        "'; touch canary; '",
        "#(touch canary)",
        "$ROSTER_MODES",
        "a=b; touch canary",
    ];
    for (n, name) in names.iter().enumerate() {
        let program = server.path(name);
        script(&program, &format!("echo \"$# $ROSTER_SESSION $0\" >>'{ran}'; exec sleep 1000"));
        let word = program.display().to_string();
        let option = format!("@roster-command-m{n}");
        server.tmux(&["set-option", "-g", &option, &shell_words::quote(&word)]);
        server.roster(&["new", "-d", "-m", &format!("m{n}"), &format!("o{n}")]);
        server.roster(&["new", "-d", &format!("w{n}"), "--", &word]);
        server.roster(&["kill", &format!("o{n}")]);
        server.roster(&["reopen", &format!("o{n}")]);
        let mut wanted = ["o", "o", "w"].map(|kind| format!("0 {kind}{n} {word}"));
        wanted.sort();
        let read = || {
            let text = std::fs::read_to_string(&ran).unwrap_or_default();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        wait_for(|| (read() == wanted).then_some(()), || format!("{wanted:?}, not {:?}", read()));
        std::fs::remove_file(&ran).unwrap();
    }
    check_canary(&server);
}

/// The script of a shell is text to nobody but that shell.
#[test]
fn a_launch_command_that_is_a_script_runs_no_name() {
    let server = Server::with_config("");
    server.set_trap();
    let said = server.dir("said");
    let line = format!("printf '<%s>' \"$ROSTER_SESSION\" \"$1\" >'{said}'; exec sleep 1000");
    let command = format!("sh -c {} x $ROSTER_SESSION", shell_words::quote(&line));
    let name = "x$(touch canary)`touch canary`'; touch canary; '\"";
    assert!(new_session(&server, name.as_bytes(), &server.path("a")));
    server.tmux(&["new-session", "-d", "-s", "other"]);
    let set = ["set-option", "-g", "@roster-command-loud"].map(OsString::from);
    server.tmux(&[&set[..], &[argument(command)]].concat());
    server.roster(&["mode", name, "loud"]);
    server.roster(&["kill", name]);
    server.roster(&["reopen", name]);
    let read = || std::fs::read_to_string(&said).unwrap_or_default();
    wait_for(|| (read() == format!("<{name}><{name}>")).then_some(()), read);
    check_canary(&server);
}

/// What a registry may hold that somebody else wrote.
const VALUES: [&str; 8] = [
    "#(touch canary)",
    "x\"; run-shell 'touch canary",
    "'; run-shell \"touch canary\"; '",
    "$(touch canary)",
    "`touch canary`",
    "; run-shell 'touch canary' ;",
    "#{pid}\u{1b}[31m\n#(touch canary)\n; touch canary",
    "} ; run-shell -b 'touch canary' ; {",
];

/// A record of which the fields named in `hostile` have this value.
fn record(name: &str, hostile: &[&str], value: &str) -> Value {
    let mut record = serde_json::json!({
        "name": name,
        "uuid": new_uuid(),
        "mode": "safe",
        "workdir": "/",
        "created_at": "2026-01-02T03:04:05Z",
        "last_attached_at": "2026-01-02T03:04:05Z",
        "last_health_status": "ok",
        "last_health_at": "2026-01-02T03:04:05Z",
    });
    for field in hostile {
        record[field] = value.into();
    }
    record
}

#[test]
fn hostile_records_run_nothing() {
    let server = Server::with_plugin(
        "set -g status-right '#{@roster_mode} #{@roster_health} #{@roster_uuid}'\n",
    );
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    server.wait_for_names(&["one"]);
    // A job that still runs would read what is written below half written, and mend it.
    server.wait_until_idle();
    let (mut sessions, mut closed) = (serde_json::Map::new(), Vec::new());
    for (n, value) in VALUES.iter().enumerate() {
        for (what, fields) in [
            ("uuid", &["uuid"][..]),
            ("mode", &["mode"]),
            ("health", &["last_health_status"]),
            ("workdir", &["workdir"]),
            ("all", &["uuid", "mode", "last_health_status", "workdir"]),
        ] {
            let name = format!("{what}{n}");
            sessions.insert(name.clone(), record(&name, fields, value));
            let session = record(&format!("closed-{name}"), fields, value);
            let at = "2026-02-03T04:05:06Z";
            closed.push(serde_json::json!({ "session": session, "closed_at": at }));
        }
        let name = format!("{value}{n}");
        sessions.insert(name.clone(), record(&name, &["uuid", "mode", "workdir"], value));
    }
    let plain: Vec<String> = sessions
        .keys()
        .filter(|name| name.is_ascii() && validate_name(name).is_ok())
        .cloned()
        .collect();
    let all: Vec<String> = sessions.keys().cloned().collect();
    assert_eq!((plain.len(), all.len()), (40, 48));
    server.crash();
    let write = |path: &std::path::Path, value: Value| {
        std::fs::write(path, value.to_string()).unwrap();
    };
    write(
        &server.registry_path(),
        serde_json::json!({ "schema_version": 1, "sessions": sessions }),
    );
    write(
        &server.registry_path().with_file_name("closed.json"),
        serde_json::json!({ "version": 1, "closed": closed }),
    );

    // Without a server, and then with a client that sees it all.
    for args in [&["list"][..], &["closed"], &["doctor"], &["names"], &["health", "--all"]] {
        try_run(&server, args);
    }
    for name in &all {
        for verb in ["show", "mode", "health", "kill"] {
            try_run(&server, &[verb, "--", name]);
        }
    }
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let client = server.attach("one");
    for args in [&["list"][..], &["closed"], &["doctor"], &["show", "all0"]] {
        try_run(&server, args);
    }
    refuse(&server, &["show", "--", "ll"]);
    // From 3.7 on tmux takes no control character in a name.
    let (_, restored) = try_run(&server, &["restore", "--all"]);
    check_canary(&server);
    for name in &plain {
        let (_, shown) = try_run(&server, &["show", "--", name]);
        assert!(shown.contains("live"), "{name}: {shown}\n{restored}");
        run(&server, &["reopen", "--", &format!("closed-{name}")]);
    }
    server.wait_until_quiet();
    let terminal = client.name();
    // A command that opens a menu waits until it is closed.
    let pick = |args: &[&str]| {
        let from = server.tmux(&["list-clients", "-F", FROM]);
        let mut command = server.command(ROSTER);
        command.args(["-L", "s", "pick", "--from", &from]).args(args);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    for value in VALUES {
        for flag in ["--actions", "--confirm", "--rename", "--preview"] {
            let mut picked = pick(&[flag, value]);
            wait_for(|| picked.try_wait().unwrap(), || format!("the end of {flag} {value:?}"));
        }
    }
    for n in 0..VALUES.len() {
        for what in ["uuid", "all"] {
            run(&server, &["go", "--client", &terminal, &format!("{what}{n}")]);
            for key in ["t", "h"] {
                client.press(&["C-b"]);
                client.press(&["A"]);
                client.wait_to_see("list of backups");
                client.press(&[key]);
                client.wait_to_see("roster: ");
            }
        }
    }
    // The menu of sessions, whether or not there is fzf.
    let mut picked = pick(&[]);
    client.wait_to_see("more (1 of");
    client.press(&["+"]);
    client.wait_to_see("more (2 of");
    client.press(&["Escape"]);
    wait_for(|| picked.try_wait().unwrap(), || "the end of the menu".into());

    // What stands in tmux, and in the memory of the server, is input too.
    server.wait_until_idle();
    for value in VALUES {
        for option in ["@roster_uuid", "@roster_mode", "@roster_health"] {
            server.tmux(&["set-option", "-t", &server.id("one"), option, &format!("{value} ")]);
        }
        let path = server.registry_path().with_file_name("server.json");
        let memory = std::fs::read_to_string(&path).unwrap();
        let value = Value::from(value).to_string();
        let value = value.trim_matches('"');
        std::fs::write(&path, memory.replace(&server.uuid("one"), value)).unwrap();
        run(&server, &["sync"]);
        try_run(&server, &["doctor", "--fix"]);
    }
    server.wait_until_idle();
    for session in server.registry()["sessions"].as_object().unwrap().values() {
        assert!(is_uuid(session["uuid"].as_str().unwrap()), "{session}");
    }
    for stamp in server.tmux(&["list-sessions", "-F", "#{@roster_uuid}"]).lines() {
        assert!(is_uuid(stamp), "{stamp}");
    }
    check_canary(&server);
}

/// The commands that a person may type while tmux fails.
const TYPED: [&[&str]; 12] = [
    &["sync"],
    &["list"],
    &["kill", "one"],
    &["rename", "one", "uno"],
    &["mode", "one", "yolo"],
    &["health", "--all"],
    &["new", "-d", "new"],
    &["restore", "lost"],
    &["restore", "--all"],
    &["reopen", "closed"],
    &["forget", "lost"],
    &["clear"],
];

/// A server with a session of each state, and something that tmux is still to be told.
fn one_of_each() -> Server {
    let server = Server::with_plugin("");
    for name in ["one", "lost"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.wait_for_names(&["lost", "one"]);
    server.wait_until_quiet();
    server.crash();
    for name in ["one", "closed"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.wait_for_names(&["closed", "lost", "one"]);
    server.roster(&["kill", "closed"]);
    server.wait_until_idle();
    // The look that a failing job asks for would be one by a tmux that does not fail.
    server.tmux(&["set-option", "-g", "@roster_run", ":"]);
    let registry = std::fs::read_to_string(server.registry_path()).unwrap();
    std::fs::write(server.registry_path(), registry.replace("\"safe\"", "\"loud\"")).unwrap();
    server
}

/// Our three files, and all that tmux was ever told.
fn all_there_is(server: &Server) -> (Vec<String>, Vec<String>) {
    let path = server.registry_path();
    let file = |name| std::fs::read_to_string(path.with_file_name(name)).unwrap();
    let files = ["sessions.json", "closed.json", "server.json"].map(file).to_vec();
    let one = server.id("one");
    let told = [
        &["list-sessions", "-F", "#{session_id} #{session_name}"][..],
        &["show-options", "-g"],
        &["show-options", "-t", &one],
        &["show-environment", "-g"],
        &["show-environment", "-t", &one],
    ];
    (files, told.map(|args| server.tmux(args)).to_vec())
}

/// Whatever is asked of this tmux, nothing changes, and whoever waits is told of a failure.
fn check_that_nothing_comes_of(server: &Server, body: &str) {
    let (before, stub) = (all_there_is(server), server.path("stub"));
    let tmux = tmux_program().display().to_string();
    let held = server.dir("held");
    script(&stub, &format!("tmux='{tmux}' held='{held}'\n{body}"));
    let job = hook_job(server, &stub).output().unwrap();
    assert!(job.status.success(), "{body}");
    assert!(job.stdout.is_empty() && job.stderr.is_empty(), "{body}: {job:?}");
    assert_eq!(all_there_is(server), before, "{body}: after a job");
    for args in TYPED {
        let output = typed(server, &stub, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{body}: {args:?}: {said}");
        assert!(output.stdout.is_empty() && said.starts_with("roster: "), "{body}: {output:?}");
        assert!(!said.contains("no tmux server is running"), "{body}: {args:?}: {said}");
        assert_eq!(all_there_is(server), before, "{body}: after {args:?}");
    }
}

#[test]
fn a_failing_tmux_is_no_empty_tmux() {
    let server = one_of_each();
    for body in [
        "exit 0",
        "exit 1",
        "echo garbage",
        "echo 'server version is too old for client' >&2; exit 0",
        "echo 'protocol version mismatch (client 8, server 7)' >&2; exit 1",
        "echo 'server exited unexpectedly' >&2; exit 1",
        "kill -9 $$",
        "head -c 100000 /dev/zero",
        "exec cat /dev/zero",
        "exec yes >&2",
        "yes | head -c 3000000 | tr -d '\\n' >&2; exit 1",
        "printf '%s' \"$*\" | sed 's/#{[^}]*}/x/g'",
    ] {
        check_that_nothing_comes_of(&server, body);
    }
    let log = std::fs::metadata(server.registry_path().with_file_name("roster.log")).unwrap();
    assert!(log.len() < 100_000, "the log has {} bytes", log.len());
    script(&server.path("endless"), "exec cat /dev/zero");
    let said = typed(&server, &server.path("endless"), &["sync"]).stderr;
    assert!(String::from_utf8_lossy(&said).contains("over 64 MiB"), "{said:?}");
    assert_eq!(server.roster(&["sync"]), "synchronized\n", "there was something to do");
}

/// What they print stands in the answer to whoever made them run.
#[test]
fn hooks_of_the_user_that_print_something_hide_no_session() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    for hook in ["set-environment", "set-option", "list-sessions", "display-message"] {
        server.tmux(&["set-hook", "-g", &format!("after-{hook}"), "display-message -p hello"]);
        server.tmux(&["new-session", "-d", "-s", hook]);
        server.wait_for_name(hook);
        if hook == "display-message" {
            break;
        }
        server.tmux(&["set-hook", "-gu", &format!("after-{hook}")]);
    }
    server.tmux(&["set-hook", "-gu", "after-display-message"]);
    server.wait_until_idle();
    assert_eq!(server.roster(&["closed", "--json"]).trim(), "[]");
    assert_eq!(server.names().len(), 5);
}

/// A lie that is whole but for some of its lines.
#[test]
fn an_answer_that_lacks_a_line_changes_nothing() {
    let server = one_of_each();
    for lack in ["tail -n +2", "tail -n 1", "sed '$!d'"] {
        check_that_nothing_comes_of(&server, &format!("\"$tmux\" \"$@\" | {lack}"));
    }
}

/// JSON lets them stand, a terminal obeys them.
#[test]
fn json_that_is_printed_has_no_control_character() {
    let server = Server::with_config("");
    let dir = server.path("d\u{9b}31m\u{7f}");
    std::fs::create_dir(&dir).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", dir.to_str().unwrap()]);
    server.roster(&["sync"]);
    for args in [&["list", "--json"][..], &["show", "one", "--json"]] {
        let text = server.roster(args);
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        let value: Value = serde_json::from_str(&text).unwrap();
        let shown = value.get(0).unwrap_or(&value);
        if version().tells_directories() {
            assert_eq!(shown["workdir"], dir.to_str().unwrap(), "{args:?}");
        }
    }
    // The store's own answers are the format's, byte for byte, except for a person.
    let file = server.path("other.json");
    let store = ["store", "--file", file.to_str().unwrap()];
    server.roster(&[&store[..], &["save", "two", "/d\u{9b}31m\u{7f}", "safe"]].concat());
    let get = [&store[..], &["get", "two"]].concat();
    assert!(server.roster(&get).contains("\"/d\u{9b}31m\u{7f}\""));
    let client = Client::start(&server, &format!("{ROSTER} {}; exec cat", get.join(" ")));
    let screen = || client.screen().replace('\n', "");
    wait_for(|| screen().contains(r#""/d\u009b31m\u007f""#).then_some(()), screen);
}

#[test]
fn an_answer_that_is_cut_off_anywhere_changes_nothing() {
    let server = one_of_each();
    let sizes = (0..8).map(|eighths| format!("size * {eighths} / 8"));
    for size in sizes.chain(["size - 1".into(), "size - 2".into()]) {
        let body = "\"$tmux\" \"$@\" >\"$held\"; size=$(wc -c <\"$held\")\nhead -c";
        check_that_nothing_comes_of(&server, &format!("{body} $(({size})) \"$held\""));
    }
    assert_eq!(server.roster(&["sync"]), "synchronized\n", "there was something to do");
}
