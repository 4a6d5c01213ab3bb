//! Completions in the real shells: what TAB inserts is one word, the name, and runs nothing.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::env::{Client, ROSTER, Server, skip, try_out, wait_for, write_program};

const HOSTILE: [&str; 27] = [
    "'lead",
    "\"lead",
    "plain",
    "a b",
    " lead",
    "it's",
    "q\"q",
    "$HOME",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb",
    "~root",
    "=ls",
    "x;touch pwned",
    "!x",
    "#c",
    "*",
    "[x]",
    "{a,b}",
    "a:b=c@d",
    "a\\b",
    "日本",
    "-x",
    "a|b&c",
    "<x>",
    "%1",
    "tab\there",
];

fn is_installed(shell: &str) -> bool {
    let found = try_out(Command::new(shell).args(["-c", "true"]));
    found.map_err(|(lack, said)| skip(&format!("completions of {shell}"), lack, &said)).is_ok()
}

/// A server without sessions, and a `roster` on the shell's PATH that writes down its arguments
/// and runs the real one for completions only.
fn prepared() -> Server {
    let server = Server::with_plugin("");
    fs::create_dir_all(server.registry_path().parent().unwrap()).unwrap();
    let bin = server.path("bin");
    fs::create_dir(&bin).unwrap();
    let stub = format!(
        "#!/bin/sh\ncase $1 in complet*) exec '{ROSTER}' \"$@\";; esac\n\
         for word; do printf '%s\\0' \"$word\"; done >'{0}.new' && mv '{0}.new' '{0}'\n",
        server.dir("words")
    );
    write_program(&bin.join("roster"), &stub);
    server
}

/// Makes these the lost sessions.
fn write_registry(server: &Server, names: &[&str]) {
    let records = names.iter().map(|name| {
        let record = json!({
            "uuid": format!("00000000-0000-4000-8000-{:012}", name.len()),
            "name": name, "mode": "safe", "workdir": "/",
            "created_at": "2026-01-01T00:00:00Z",
            "last_attached_at": "0001-01-01T00:00:00Z",
            "last_health_at": "0001-01-01T00:00:00Z",
            "last_health_status": "",
        });
        ((*name).to_owned(), record)
    });
    let sessions: serde_json::Map<_, _> = records.collect();
    let registry = json!({"schema_version": 1, "sessions": sessions});
    fs::write(server.registry_path(), registry.to_string()).unwrap();
}

/// Starts the shell on a terminal, and lets it complete each hostile name where it is the only
/// one: with `typed` before it, such as an opening quote. `skip` says by name and typed text
/// what a shell cannot do.
fn completes_hostile_names(
    server: &Server,
    command: &str,
    typed: &str,
    skip: fn(&str, &str) -> bool,
) {
    let environment = format!(
        "cd '{}'; PATH='{}':\"$PATH\"; LC_ALL=C.UTF-8; export PATH LC_ALL; ",
        server.dir("b"),
        server.dir("bin")
    );
    let shell = Client::start(server, &(environment + command));
    shell.wait_to_see("ready>");
    for name in HOSTILE {
        if skip(name, typed) || (name.starts_with('-') && !typed.is_empty()) {
            continue;
        }
        write_registry(server, &[name]);
        shell.press(&["-l", &format!("roster -L s restore {typed}")]);
        let mut words = vec!["-L", "s", "restore"];
        if name.starts_with('-') {
            // The first TAB gives the `--` that such a name needs before it; fish adds no space
            // to what ends in a dash.
            shell.press(&["Tab"]);
            if command.contains("fish") {
                shell.press(&["Space"]);
            }
            words.push("--");
        }
        shell.press(&["Tab", "Enter"]);
        let expected: String = words.iter().chain(&[name]).map(|w| format!("{w}\0")).collect();
        let found = wait_for(
            || fs::read_to_string(server.path("words")).ok(),
            || format!("{name:?} after {typed:?}:\n{}", shell.screen()),
        );
        assert_eq!(found, expected, "{typed:?}:\n{}", shell.screen());
        fs::remove_file(server.path("words")).unwrap();
    }
    assert!(!server.path("b/pwned").exists());
}

#[test]
fn bash_completes_hostile_names() {
    if !is_installed("bash") {
        return;
    }
    let server = prepared();
    let rc = "PS1='ready> '; HISTFILE=; eval \"$(roster completions bash)\"\n";
    fs::write(server.path("rc"), rc).unwrap();
    let command = format!("exec bash --noprofile --rcfile '{}' -i", server.dir("rc"));
    for typed in ["", "'", "\""] {
        completes_hostile_names(&server, &command, typed, |_, _| false);
    }
}

#[test]
fn bash_goes_on_where_names_begin_to_differ() {
    if !is_installed("bash") {
        return;
    }
    let server = prepared();
    let rc = "PS1='ready> '; HISTFILE=; eval \"$(roster completions bash)\"\n";
    fs::write(server.path("rc"), rc).unwrap();
    let command = format!(
        "PATH='{}':\"$PATH\" exec bash --noprofile --rcfile '{}' -i",
        server.dir("bin"),
        server.dir("rc")
    );
    let shell = Client::start(&server, &command);
    shell.wait_to_see("ready>");
    // Readline breaks words at `:` and `=`, and so replaces only what stands behind them.
    write_registry(&server, &["a:b=c one", "a:b=c two"]);
    shell.press(&["-l", "roster -L s restore a"]);
    shell.press(&["Tab", "t", "Tab", "Enter"]);
    let found = wait_for(
        || fs::read_to_string(server.path("words")).ok(),
        || format!("the second name:\n{}", shell.screen()),
    );
    assert_eq!(found, "-L\0s\0restore\0a:b=c two\0", "{}", shell.screen());
}

#[test]
fn zsh_completes_hostile_names() {
    if !is_installed("zsh") {
        return;
    }
    let server = prepared();
    fs::create_dir(server.path("z")).unwrap();
    let rc = "PS1='ready> '; autoload -Uz compinit; compinit -u -D\n\
              eval \"$(roster completions zsh)\"\n";
    fs::write(server.path("z/.zshrc"), rc).unwrap();
    let command = format!("ZDOTDIR='{}' exec zsh -i", server.dir("z"));
    for typed in ["", "'", "\""] {
        completes_hostile_names(&server, &command, typed, |_, _| false);
    }
}

#[test]
fn fish_completes_hostile_names() {
    if !is_installed("fish") {
        return;
    }
    let server = prepared();
    let rc = "function fish_prompt; echo 'ready> '; end\nfunction fish_greeting; end\n\
              roster completions fish | source\n";
    fs::write(server.path("rc"), rc).unwrap();
    let command = format!("exec fish --no-config -i -C \"source '{}'\"", server.dir("rc"));
    for typed in ["", "'", "\""] {
        // fish has a tab between a candidate and its description, and inserts `~` unquoted.
        completes_hostile_names(&server, &command, typed, |name, typed| {
            name.contains('\t') || (name.starts_with('~') && typed.is_empty())
        });
    }
}

/// What `roster complete` offers after these words; the last is being typed.
fn offered(server: &Server, words: &[&str]) -> Vec<String> {
    let mut args = vec!["complete", "zsh", "-L", "s"];
    args.extend(words);
    let output = server.command(ROSTER).args(&args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let fields: Vec<&str> = text.split('\0').collect();
    fields.chunks(2).skip(1).filter(|pair| pair.len() == 2).map(|pair| pair[0].to_owned()).collect()
}

#[test]
fn each_verb_is_offered_the_sessions_it_can_work_on() {
    let server = Server::with_plugin("set -g @roster-modes 'safe wild'");
    server.tmux(&["new-session", "-d", "-s", "away"]);
    server.wait_for_names(&["away"]);
    server.wait_until_quiet();
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "here"]);
    server.wait_for_names(&["away", "here"]);
    server.tmux(&["new-session", "-d", "-s", "gone"]);
    server.wait_for_names(&["away", "gone", "here"]);
    server.roster(&["kill", "gone"]);
    server.wait_for_names(&["away", "here"]);
    for (verb, names) in [
        ("kill", &["here"][..]),
        ("restore", &["away"]),
        ("reopen", &["gone"]),
        ("go", &["here", "away", "gone"]),
        ("show", &["here", "away", "gone"]),
        ("rename", &["here", "away"]),
        ("mode", &["here", "away"]),
        ("health", &["here", "away"]),
        ("forget", &["away", "gone"]),
        ("new", &[]),
    ] {
        assert_eq!(offered(&server, &[verb, ""]), names, "{verb}");
    }
    assert_eq!(offered(&server, &["mode", "here", ""]), ["safe", "wild"]);
    assert_eq!(offered(&server, &["rename", "here", ""]), [""; 0]);
    assert_eq!(offered(&server, &["restore", "away", ""]), [""; 0]);
    assert_eq!(offered(&server, &["store", "m"]), offered(&server, &["store", ""]));
    assert!(offered(&server, &["help", ""]).contains(&"restore".to_owned()));
    assert_eq!(offered(&server, &["help", "restore", ""]), [""; 0]);
    assert_eq!(offered(&server, &["-L", ""]), ["s"], "the names of sockets");
    let backup = server.roster(&["backup"]);
    assert_eq!(offered(&server, &["recover", ""])[0], backup.trim());
}

#[test]
fn a_name_behind_two_dashes_is_no_flag() {
    let server = prepared();
    write_registry(&server, &["-x", "new"]);
    assert!(server.roster(&["show", "--", "-x"]).contains("name      -x"));
    // `new` is a session here, not the verb that takes a command behind `--`.
    server.roster(&["mode", "new", "--", "wild"]);
    assert_eq!(server.field("new", "mode"), "wild");
}

#[test]
fn the_verbs_offered_are_those_of_help() {
    let server = Server::with_config("");
    let help = server.roster(&["--help"]);
    let listed = help.split("Commands:").nth(1).unwrap();
    // A verb stands two columns in, the rest of its description further.
    let verbs: Vec<&str> = listed
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(offered(&server, &[""]), verbs);
}

#[test]
fn a_server_is_named_in_one_word_as_in_two() {
    let server = prepared();
    write_registry(&server, &["one"]);
    for words in [&["-L", "s"][..], &["-Ls"], &["--socket-name=s"]] {
        let run = |before: &[&str], after: &[&str]| {
            let output = server.command(ROSTER).args(before).args(words).args(after).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        assert_eq!(run(&[], &["names"]), "one\n", "{words:?}");
        assert_eq!(run(&["complete", "zsh"], &["kill", ""]), "words\0\0one\0live\0", "{words:?}");
    }
}

#[test]
fn a_server_that_does_not_answer_holds_nobody_up() {
    let server = prepared();
    write_registry(&server, &["one"]);
    let stub = server.path("bin/tmux");
    write_program(&stub, "#!/bin/sh\nexec sleep 60\n");
    let started = std::time::Instant::now();
    let output = server
        .command(ROSTER)
        .env("PATH", format!("{}:/usr/bin:/bin", server.dir("bin")))
        .args(["complete", "zsh", "-L", "s", "kill", ""])
        .output()
        .unwrap();
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "words\0\0one\0live\0");
}
