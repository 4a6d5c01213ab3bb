//! What people read, word for word: help, errors, tables and what doctor says. The snapshots below
//! `snapshots/` are reviewed like code; `INSTA_UPDATE=always` writes them anew.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use crate::env::{ROSTER, Server, end_process, tmux_program, without_socket};

fn check(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Runs commands one after the other; what each says, and how it ends unless that is well.
fn session(server: &Server, lines: &[&[&str]]) -> String {
    let said = lines.iter().map(|args| said(server, args, &server.try_roster(args)));
    said.collect::<Vec<_>>().join("\n")
}

fn said(server: &Server, args: &[&str], output: &Output) -> String {
    let mut text = format!("$ roster {}\n", shell_words::join(args));
    text.push_str(&String::from_utf8_lossy(&output.stdout));
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if let Some(code) = output.status.code().filter(|code| *code != 0) {
        text.push_str(&format!("[exit status {code}]\n"));
    }
    masked(server, &text)
}

/// The same wherever, whenever and by whomever it is run.
fn masked(server: &Server, text: &str) -> String {
    let socket = server.path(&format!("tmp/tmux-{}/s", rustix::process::getuid().as_raw()));
    let folder = tmux_roster::config::server_name(&socket);
    let mut text = text.to_owned();
    for (found, shown) in [
        (ROSTER, "ROSTER"),
        (&folder.to_string_lossy(), "SERVER"),
        (&socket.display().to_string(), "SOCKET"),
        (&server.folder.path().display().to_string(), "/FOLDER"),
        (&tmux_program().display().to_string(), "TMUX"),
        ("/private/FOLDER", "/FOLDER"),
        (env!("CARGO_PKG_VERSION"), "VERSION"),
    ] {
        text = text.replace(found, shown);
    }
    let lines = text.lines().map(|line| {
        let mut words: Vec<String> = line.split(' ').map(masked_word).collect();
        for at in 1..words.len() {
            let is_number = |c: char| c.is_ascii_digit() || c == '#';
            if words[at - 1].ends_with("process") && words[at].starts_with(is_number) {
                words[at] = format!("PID{}", words[at].trim_start_matches(is_number));
            }
        }
        words.join(" ")
    });
    lines.map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// A word without what differs each time: a UUID, a time, an age, a long number.
fn masked_word(word: &str) -> String {
    let is_mark = |c: char| !c.is_ascii_alphanumeric() && !"-:._".contains(c);
    let core = word.trim_matches(|c| is_mark(c) || c == ':' || c == '.');
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let is_age = core.strip_suffix(['s', 'm', 'h', 'd']).is_some_and(is_digits);
    let shown = if core.len() == 36 && core.split('-').count() == 5 {
        "UUID"
    } else if core.len() >= 20 && core.starts_with("20") && core.ends_with('Z') {
        "TIME"
    } else if is_age {
        "AGE"
    } else if core.len() > 3 && is_digits(core) && !core.starts_with('0') && core != "4242" {
        "#"
    } else if let Some((before, _)) =
        core.rsplit_once('.').filter(|(_, n)| n.len() > 15 && is_digits(n))
    {
        return word.replace(core, &format!("{before}.NANOSECONDS"));
    } else {
        return word.to_owned();
    };
    word.replace(core, shown)
}

/// A table, whose columns are as wide as the ages in it.
fn table(text: &str) -> String {
    let cells = |line: &str| {
        let cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty());
        cells.collect::<Vec<_>>().join("  ") + "\n"
    };
    text.lines().map(cells).collect()
}

/// What doctor says, without what depends on the machine: its tmux and its fzf.
fn doctor(server: &Server, args: &[&str]) -> String {
    let text = session(server, &[&[&["doctor"], args].concat()]);
    let mut is_shown = true;
    let mut kept = String::new();
    for line in text.replace(&version_name(), "TMUX-VERSION").lines() {
        if !line.starts_with(' ') {
            let mut words = line.split_whitespace();
            is_shown = !matches!(words.nth(1), Some("tmux" | "fzf"));
        }
        if is_shown {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn version_name() -> String {
    let printed = std::process::Command::new(tmux_program()).arg("-V").output().unwrap();
    String::from_utf8(printed.stdout).unwrap().trim().replace("tmux ", "")
}

/// A server with a session that lives, `one`, one that was lost, `old`, and one that was closed,
/// `gone`.
fn with_all_states() -> Server {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "old", "-c", &server.dir("b")]);
    server.tmux(&["new-session", "-d", "-s", "gone", "-c", &server.dir("c")]);
    server.wait_for_names(&["gone", "old"]);
    server.wait_until_idle();
    server.roster(&["kill", "gone"]);
    server.wait_until_idle();
    server.kill_server();
    server.wait_for_jobs();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["old", "one"]);
    server.wait_until_idle();
    server
}

fn verbs(help: &str) -> Vec<&str> {
    let listed = help.split_once("Commands:\n").expect("commands").1;
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let verb = |line: &'_ str| line.len() > 2 && line[2..].starts_with(|c: char| c.is_alphabetic());
    listed.filter(|line| verb(line)).filter_map(|line| line.split_whitespace().next()).collect()
}

#[test]
fn the_help() {
    let server = Server::with_config("");
    let top = String::from_utf8(server.try_roster(&["--help"]).stdout).unwrap();
    let mut lines = vec![vec!["--help"]];
    lines.extend(verbs(&top).into_iter().map(|verb| vec![verb, "--help"]));
    let internal = ["load", "look", "run-scripts", "key"];
    lines.extend(internal.map(|verb| vec![verb, "--help"]));
    let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
    assert!(lines.len() > 25, "{top}");
    check("help", &session(&server, &lines));
}

#[test]
fn the_help_of_store() {
    let server = Server::with_config("");
    let top = String::from_utf8(server.try_roster(&["store", "--help"]).stdout).unwrap();
    let lines: Vec<_> = verbs(&top).into_iter().map(|verb| ["store", verb, "--help"]).collect();
    let lines: Vec<&[&str]> = lines.iter().map(|line| &line[..]).collect();
    assert!(lines.len() > 10, "{top}");
    check("help-store", &session(&server, &lines));
}

#[test]
fn errors_of_usage() {
    let server = Server::with_config("");
    let text = session(
        &server,
        &[
            &[],
            &["frobnicate"],
            &["lst"],
            &["help", "lst"],
            &["list", "--jsn"],
            &["list", "--all-servers"],
            &["--frobnicate"],
            &["show"],
            &["show", "one", "two"],
            &["list", "--frobnicate"],
            &["list", "--state"],
            &["list", "--state", "dead"],
            &["list", "--sort", "size"],
            &["rename", "one"],
            &["restore"],
            &["restore", "--all", "one"],
            &["restore", "--all", "--as", "two"],
            &["restore", "--from", "host", "one"],
            &["mode"],
            &["mode", "one", "yolo", "--next"],
            &["health", "--all", "one"],
            &["completions", "csh"],
            &["store", "get", "one"],
            &["store", "--file", "x.json", "frobnicate"],
            &["-S", "", "list"],
            &["key"],
            &["key", "--from", "nonsense", "reopen"],
            &["look", "--after", "soon", "--dir", "x", "--tmux", "y"],
            &["load", "--frobnicate"],
        ],
    );
    check("usage", &text);
}

#[test]
fn sessions_of_each_state() {
    let server = with_all_states();
    check("list", &table(&session(&server, &[&["list"], &["closed"], &["names"]])));
    let show: [&[&str]; 4] =
        [&["show", "one"], &["show", "old"], &["show", "gone"], &["show", "x"]];
    check("show", &session(&server, &show));
    server.roster(&["backup"]);
    let backups = session(&server, &[&["backups"]]);
    let size = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    let backups = backups.split(' ').map(|w| if size(w) && w.len() > 2 { "#" } else { w });
    check("backups", &table(&backups.collect::<Vec<_>>().join(" ")));
    let preview = |name: &str| {
        let known = server.roster(&["show", "--json", name]);
        let known: serde_json::Value = serde_json::from_str(&known).unwrap();
        let uuid = known["uuid"].as_str().unwrap().to_owned();
        session(&server, &[&["pick", "--preview", &uuid]])
    };
    check("preview", &[preview("old"), preview("gone")].join("\n"));
}

#[test]
fn what_commands_say() {
    let server = with_all_states();
    let text = session(
        &server,
        &[
            &["sync"],
            &["new", "-d", "two"],
            &["new", "-d", "two"],
            &["new", "-d", "a:b"],
            &["new", "-d", ""],
            &["new", "-d", "three", "-c", "/nowhere/at/all"],
            &["new", "-d", "three", "-m", "wild"],
            &["show", "twoo"],
            &["go", "tow"],
            &["go", "one"],
            &["last"],
            &["menu"],
            &["pick"],
            &["rename", "one", "two"],
            &["rename", "one", "old"],
            &["rename", "one", "a.b"],
            &["rename", "gone", "went"],
            &["rename", "nobody", "x"],
            &["rename", "old", "older"],
            &["rename", "older", "old"],
            &["mode", "one"],
            &["mode", "one", "yolo"],
            &["mode", "one", "--next"],
            &["mode", "one", "a b"],
            &["mode", "gone", "yolo"],
            &["mode", "nobody"],
            &["health", "one"],
            &["health", "old"],
            &["health", "gone"],
            &["health", "nobody"],
            &["kill", "old"],
            &["kill", "gone"],
            &["kill", "nobody"],
            &["forget", "two"],
            &["forget", "nobody"],
            &["restore", "one"],
            &["restore", "gone"],
            &["restore", "nobody"],
            &["restore", "old", "--as", "two"],
            &["restore", "--from", "elsewhere"],
            &["reopen", "one"],
            &["reopen", "old"],
            &["reopen", "nobody"],
            &["reopen", "gone", "--as", "two"],
            &["reopen", "gone", "--as", "a:b"],
            &["restore", "old"],
            &["restore", "--all"],
            &["forget", "old"],
            &["reopen", "gone"],
            &["reopen"],
            &["kill", "gone"],
            &["forget", "gone"],
            &["forget", "gone"],
            &["forget", "two", "--force"],
            &["kill", "two"],
            &["new", "-d", "two"],
            &["rename", "two", "zwei"],
            &["recover"],
            &["recover", "/nowhere"],
            &["migrate"],
            &["clear"],
        ],
    );
    check("commands", &text);
}

#[test]
fn where_no_server_runs() {
    let server = Server::with_plugin("");
    let before = session(
        &server,
        &[&["list"], &["sync"], &["restore", "--all"], &["reopen"], &["backup"], &["go", "x"]],
    );
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    server.kill_server();
    server.wait_for_jobs();
    let after = session(
        &server,
        &[
            &["sync"],
            &["last"],
            &["kill", "one"],
            &["health", "one"],
            &["rename", "one", "uno"],
            &["mode", "uno", "yolo"],
            &["forget", "uno"],
            &["forget", "uno"],
            &["clear"],
        ],
    );
    check("no-server", &format!("{before}\n{after}"));
}

#[test]
fn where_the_server_cannot_be_reached() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let (server, pid) = without_socket("", false);
    let text = session(
        &server,
        &[
            &["list", "--state", "unreachable"],
            &["show", "one"],
            &["restore", "one"],
            &["reopen"],
            &["new", "-d", "three"],
            &["rename", "one", "uno"],
            &["mode", "one", "yolo"],
            &["kill", "one"],
            &["go", "one"],
            &["sync"],
        ],
    );
    let text = table(&text);
    let doctor = doctor(&server, &[]);
    end_process(pid);
    let number = pid.to_string();
    check("unreachable", &format!("{text}\n{doctor}").replace(&number, "PID"));
}

#[test]
fn what_is_recorded_for_another_host() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let server = Server::running("");
    let own = server.registry_path().parent().unwrap().to_owned();
    let mut name = own.file_name().unwrap().to_owned();
    name.push("%host-beta-bbbb");
    let other = own.with_file_name(name);
    fs::create_dir(&other).unwrap();
    fs::copy(server.registry_path(), other.join("sessions.json")).unwrap();
    let memory = own.join("server.json");
    let mut memory: serde_json::Value = serde_json::from_slice(&fs::read(memory).unwrap()).unwrap();
    memory["host"]["machine"] = "bbbb".into();
    memory["host"]["node"] = "beta".into();
    fs::write(other.join("server.json"), memory.to_string()).unwrap();
    let lines: [&[&str]; 3] = [
        &["restore", "--all"],
        &["restore", "--from", "gamma"],
        &["restore", "--from", "beta", "x"],
    ];
    check("hosts", &[session(&server, &lines), doctor(&server, &[])].join("\n"));
}

#[test]
fn a_registry_that_cannot_be_used() {
    let server = Server::running("");
    let path = server.registry_path();
    let store = |args: &[&'static str]| {
        let file = path.display().to_string();
        session(&server, &[&[&["store", "--file", &file], args].concat()])
    };
    let mut text = String::new();
    for args in [
        &["get", "nobody"][..],
        &["rename", "one", "one"],
        &["delete", "nobody"],
        &["validate", "."],
        &["validate", ""],
        &["validate", "--", "-x"],
    ] {
        text.push_str(&store(args));
    }
    fs::write(&path, "{\"schema_version\":99,\"sessions\":{}}").unwrap();
    text.push_str(&session(&server, &[&["list"], &["sync"]]));
    text.push_str(&doctor(&server, &[]));
    fs::write(&path, "{").unwrap();
    text.push_str(&store(&["list"]));
    text.push_str(&session(&server, &[&["list"], &["sync"]]));
    fs::remove_file(&path).unwrap();
    text.push_str(&session(&server, &[&["backup"], &["sync"]]));
    check("registry", &text);
}

#[test]
fn what_doctor_says() {
    let server = Server::running("");
    check("doctor-well", &doctor(&server, &[]));

    server.tmux(&["set-hook", "-g", "session-created", "set-option -g @theirs 1"]);
    server.tmux(&["set-hook", "-g", "session-closed[4242]", "set-option -g @theirs 1"]);
    server.tmux(&["set-option", "-g", "@roster-defualt-mode", "yolo"]);
    server.tmux(&["set-option", "-g", "@roster-frobnicate", "1"]);
    server.tmux(&["set-option", "-g", "@roster-lost-days", "many"]);
    server.tmux(&["set-option", "-g", "@roster-restore", "maybe"]);
    server.tmux(&["set-option", "-g", "@roster-command-yolo", "'half"]);
    server.tmux(&["set-option", "-g", "@roster-command-safe", "~/bin/x"]);
    server.tmux(&["set-option", "-g", "@roster-on-created", "/nowhere/script"]);
    server.tmux(&["set-option", "-g", "@roster-install", "perhaps"]);
    server.tmux(&["set-option", "-g", "@roster-modes", ""]);
    server.tmux(&["unbind-key", "-T", "prefix", "G"]);
    server.tmux(&["bind-key", "-T", "prefix", "A", "display-message", "mine"]);
    let id = server.id("one");
    server.tmux(&["set-option", "-u", "-t", &id, "@roster_uuid"]);
    fs::set_permissions(server.registry_path(), fs::Permissions::from_mode(0o644)).unwrap();
    check("doctor-ill", &doctor(&server, &[]));
    check("doctor-fix", &doctor(&server, &["--fix"]));

    server.kill_server();
    server.wait_for_jobs();
    check("doctor-no-server", &doctor(&server, &[]));
}

#[test]
fn what_doctor_says_where_the_plugin_is_not_loaded() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    check("doctor-no-plugin", &doctor(&server, &[]));
}
