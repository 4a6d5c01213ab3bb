//! `roster doctor`: what it finds, what `--fix` mends, and that it changes nothing without.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::sources::options_of_the_readme;
use crate::env::{ROSTER, Server, stdout, tmux_program, tmux_version, wait_for, write_program};

/// What doctor says: the findings, and whether it ended well.
fn doctor(server: &Server, args: &[&str]) -> (Vec<Value>, bool) {
    let args: Vec<&str> = ["doctor", "--json"].iter().chain(args).copied().collect();
    let output = server.try_roster(&args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr, "", "doctor tells what it has to say in its findings");
    (serde_json::from_slice(&output.stdout).expect("an array"), output.status.success())
}

/// The texts of one check at one level.
fn found(findings: &[Value], check: &str, level: &str) -> Vec<String> {
    let wanted = |f: &&Value| f["check"] == check && f["level"] == level;
    let text = |f: &Value| f["found"].as_str().unwrap().to_owned();
    findings.iter().filter(wanted).map(text).collect()
}

fn problems(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|finding| finding["level"] == "problem").collect()
}

/// Doctor finds this problem and changes nothing; `--fix` mends it, and then all is well.
fn check_mended(server: &Server, check: &str, text: &str) {
    let before = files(server);
    let hooks = server.tmux(&["show-hooks", "-g"]);
    let (findings, well) = doctor(server, &[]);
    let texts = found(&findings, check, "problem");
    assert!(!well && texts.iter().any(|found| found.contains(text)), "{findings:#?}");
    assert_eq!(files(server), before);
    assert_eq!(server.tmux(&["show-hooks", "-g"]), hooks);
    let (findings, well) = doctor(server, &["--fix"]);
    assert!(well && !found(&findings, "mended", "ok").is_empty(), "{findings:#?}");
    let (findings, well) = doctor(server, &[]);
    assert!(well && problems(&findings).is_empty(), "{findings:#?}");
}

/// The files with their permissions and contents.
fn files(server: &Server) -> BTreeMap<String, (u32, Vec<u8>)> {
    let entries = fs::read_dir(server.registry_path().parent().unwrap());
    let entries = entries.into_iter().flatten().flatten();
    let read = |path: &Path| {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        (mode, fs::read(path).unwrap_or_default())
    };
    entries.map(|e| (e.file_name().into_string().unwrap(), read(&e.path()))).collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn all_is_well_on_a_fresh_server() {
    let server = Server::running("");
    let (findings, well) = doctor(&server, &[]);
    assert!(well && problems(&findings).is_empty(), "{findings:#?}");
    for check in
        ["plugin", "program", "hooks", "options", "permissions", "lock", "registry", "step"]
    {
        assert_eq!(found(&findings, check, "ok").len(), 1, "{check}: {findings:#?}");
    }
    let old = tmux_version() < (3, 2);
    assert_eq!(!found(&findings, "tmux", "note").is_empty(), old || tmux_version() == (3, 6));
    assert!(server.roster(&["doctor"]).ends_with("all is well\n"));
}

#[test]
fn a_wiped_hook_is_found_and_put_back() {
    let server = Server::running("");
    server.tmux(&["set-hook", "-g", "session-created", "set-option -g @theirs 1"]);
    check_mended(&server, "hooks", "session-created was wiped");
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    assert_eq!(server.tmux(&["show-options", "-gv", "@theirs"]), "1");
}

#[test]
fn a_command_that_somebody_types_puts_wiped_hooks_back() {
    let server = Server::running("");
    server.roster(&["sync"]);
    let hooks = ["session-created", "session-closed", "session-renamed", "client-attached"];
    for hook in hooks {
        server.tmux(&["set-hook", "-gu", hook]);
    }
    server.roster(&["mode", "one", "yolo"]);
    server.tmux(&["new-session", "-d", "-s", "seen"]);
    server.wait_for_names(&["one", "seen"]);
}

#[test]
fn why_the_plugins_program_is_not_there_is_told() {
    let server = Server::running("");
    let data = server.path("home/.local/share/tmux-roster");
    fs::create_dir_all(&data).unwrap();
    let failed = data.join("install-failed");
    fs::write(&failed, "9.9.9\n1\nthere is no cargo\n").unwrap();
    fs::write(data.join("install.log"), "").unwrap();
    let (findings, well) = doctor(&server, &[]);
    let told = found(&findings, "install", "problem");
    assert!(!well && told.len() == 1 && told[0].contains("9.9.9"), "{findings:#?}");
    assert!(told[0].contains("there is no cargo"), "{told:?}");
    let said = stdout(&server.try_roster(&["doctor"]));
    assert!(said.contains("run scripts/build") && said.contains("/install.log)"), "{said}");
    fs::write(&failed, concat!(env!("CARGO_PKG_VERSION"), "\n1\nolder than this\n")).unwrap();
    assert!(doctor(&server, &[]).1);
}

#[test]
fn a_server_without_sessions_is_no_problem() {
    let server = Server::with_plugin("set -s exit-empty off\n");
    server.tmux(&["start-server"]);
    server.wait_for_jobs();
    let (findings, well) = doctor(&server, &[]);
    assert!(well, "{findings:#?}");
}

#[test]
fn another_line_at_our_index_is_found() {
    let server = Server::running("");
    server.tmux(&["set-hook", "-g", "session-closed[4242]", "set-option -g @theirs 1"]);
    check_mended(&server, "hooks", "session-closed[4242] holds a command that is not ours");
}

#[test]
fn a_session_whose_own_hook_hides_ours_is_found_and_keeps_both() {
    let server = Server::running("");
    let id = server.id("one");
    server.tmux(&["set-hook", "-t", &id, "session-renamed", "set-option -g @theirs 1"]);
    check_mended(&server, "hooks", &format!("session \"one\" ({id}) has a hook session-renamed"));
    server.tmux(&["rename-session", "-t", &id, "uno"]);
    server.wait_for_names(&["uno"]);
    assert_eq!(server.tmux(&["show-options", "-gv", "@theirs"]), "1");
}

#[test]
fn a_damaged_registry_is_left_alone_until_fix() {
    let server = Server::running("");
    let uuid = server.uuid("one");
    fs::write(server.registry_path(), "{\"schema_version\":1,\"sess").unwrap();
    check_mended(&server, "registry", "is damaged");
    assert_eq!(server.uuid("one"), uuid);
}

#[test]
fn a_damaged_list_of_closed_sessions_is_left_alone_until_fix() {
    let server = Server::running("");
    let closed = server.registry_path().with_file_name("closed.json");
    fs::write(&closed, "{").unwrap();
    chmod(&closed, 0o600);
    server.roster(&["list"]);
    check_mended(&server, "registry", "the list of closed sessions");
}

#[test]
fn a_newer_registry_is_told_and_never_touched() {
    let server = Server::running("");
    let newer = "{\"schema_version\":99,\"sessions\":{}}";
    fs::write(server.registry_path(), newer).unwrap();
    for args in [&[][..], &["--fix"]] {
        let (findings, well) = doctor(&server, args);
        let texts = found(&findings, "registry", "problem");
        assert!(!well && texts[0].contains("version 99"), "{findings:#?}");
        assert_eq!(fs::read_to_string(server.registry_path()).unwrap(), newer);
    }
}

/// Whatever shape it has.
#[test]
fn a_newer_list_of_closed_sessions_is_never_touched() {
    let server = Server::running("");
    let closed = server.registry_path().with_file_name("closed.json");
    for newer in ["{\"version\":99,\"closed\":[]}", "{\"closed\":{\"by\":\"name\"},\"version\":99}"]
    {
        fs::write(&closed, newer).unwrap();
        chmod(&closed, 0o600);
        for args in [&["sync"][..], &["reopen"], &["kill", "one"], &["doctor", "--fix"]] {
            let output = server.try_roster(args);
            assert!(!output.status.success(), "{newer}: {args:?}: {output:?}");
        }
        assert_eq!(fs::read_to_string(&closed).unwrap(), newer);
    }
}

#[test]
fn permissions_are_taken_back() {
    let server = Server::running("");
    chmod(&server.registry_path(), 0o644);
    check_mended(&server, "permissions", "has mode 0644, not 0600");
    chmod(server.registry_path().parent().unwrap(), 0o755);
    check_mended(&server, "permissions", "has mode 0755, not 0700");
}

#[test]
fn a_stamp_that_is_gone_is_put_back() {
    let server = Server::running("");
    let id = server.id("one");
    server.tmux(&["set-option", "-u", "-t", &id, "@roster_uuid"]);
    check_mended(&server, "step", "differ");
    // A second time no sync does it.
    server.tmux(&["set-option", "-u", "-t", &id, "@roster_uuid"]);
    server.roster(&["sync"]);
    check_mended(&server, "stamps", "does not have its @roster_uuid");
    assert_eq!(server.tmux(&["show-options", "-v", "-t", &id, "@roster_uuid"]), server.uuid("one"));
}

#[test]
fn a_stamp_that_a_window_hides_is_told() {
    let server = Server::running("");
    server.tmux(&["set-option", "-w", "-t", "=one:", "@roster_uuid", "mine"]);
    server.wait_until_idle();
    let (findings, well) = doctor(&server, &[]);
    assert!(well && found(&findings, "stamps", "note").len() == 1, "{findings:#?}");
}

#[test]
fn a_program_that_is_gone_or_of_another_version_is_replaced() {
    let server = Server::running("");
    let other = server.path("it's roster");
    write_program(&other, "#!/bin/sh\necho roster 0.0.1\n");
    let run = format!("'{}' sync --hook", other.display().to_string().replace('\'', "'\\''"));
    server.tmux(&["set-option", "-g", "@roster_run", &run]);
    let (findings, _) = doctor(&server, &[]);
    assert!(found(&findings, "program", "problem")[0].contains("0.0.1"), "{findings:#?}");
    fs::remove_file(&other).unwrap();
    check_mended(&server, "program", "does not respond");
}

#[test]
fn another_version_of_the_plugin_is_found() {
    let server = Server::running("");
    server.tmux(&["set-option", "-g", "@roster_version", "0.0.1"]);
    check_mended(&server, "plugin", "0.0.1");
}

#[test]
fn a_server_without_the_plugin_gets_it_from_fix() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    check_mended(&server, "plugin", "not loaded");
    assert_eq!(server.names(), ["one"]);
}

#[test]
fn without_a_server_only_files_are_looked_at() {
    let server = Server::running("");
    server.crash();
    let (findings, well) = doctor(&server, &[]);
    assert!(well && found(&findings, "server", "note").len() == 1, "{findings:#?}");
    assert_eq!(found(&findings, "registry", "ok").len(), 1, "{findings:#?}");
    fs::write(server.registry_path(), "junk").unwrap();
    assert!(!doctor(&server, &[]).1);
    let (findings, well) = doctor(&server, &["--fix"]);
    assert!(well, "{findings:#?}");
    assert_eq!(server.names(), ["one"]);
}

#[test]
fn where_nothing_ever_was_nothing_is_made() {
    let server = Server::with_config("");
    let (findings, well) = doctor(&server, &[]);
    assert!(well, "{findings:#?}");
    assert!(!server.path("home/.local").exists());
}

#[test]
fn without_a_home_it_says_so() {
    let server = Server::with_config("");
    let output = server
        .command(ROSTER)
        .env_remove("HOME")
        .args(["-L", "s", "doctor", "--fix", "--json"])
        .output()
        .unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found(&findings, "folder", "problem")[0].contains("HOME"), "{findings:#?}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_tmux_that_does_not_answer_holds_it_up_for_seconds_only() {
    let server = Server::running("");
    let bin = server.path("bin");
    fs::create_dir(&bin).unwrap();
    let stub = format!(
        "#!/bin/sh\n[ \"$1\" = -V ] && exec '{}' -V\nexec sleep 60\n",
        tmux_program().display()
    );
    write_program(&bin.join("tmux"), &stub);
    let before = files(&server);
    let begun = Instant::now();
    let output = server
        .command(ROSTER)
        .envs(server.published(&bin.join("tmux")))
        .args(["-L", "s", "doctor", "--fix", "--json"])
        .output()
        .unwrap();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found(&findings, "server", "problem")[0].contains("did not answer"), "{findings:#?}");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(files(&server), before);
}

#[test]
fn options_that_cannot_be_read_are_told() {
    let server = Server::running("");
    server.tmux(&["set-option", "-g", "@roster-closed-limit", "many"]);
    let (findings, well) = doctor(&server, &[]);
    assert!(!well, "{findings:#?}");
    assert!(found(&findings, "options", "problem")[0].contains("@roster-closed-limit"));
}

#[test]
fn options_that_do_not_do_what_they_are_set_for_are_told() {
    let server = Server::running("");
    let plain = server.path("plain");
    fs::write(&plain, "").unwrap();
    let plain = plain.display().to_string();
    for (name, value, level, told) in [
        ("@roster-modez", "a b", "problem", ": did you mean @roster-modes?"),
        ("@roster_default_mode", "yolo", "problem", ": did you mean @roster-default-mode?"),
        ("@roster-command-yolo", "cat \"unbalanced", "problem", "cannot be split into words"),
        ("@roster-command-yolo", "/no/such/thing $ROSTER_UUID", "problem", "is not a program"),
        ("@roster-resume-vi", "/no/such/vi -S", "problem", "is not a program"),
        ("@roster-windows", "maybe", "problem", "not on or off: using on"),
        ("@roster-default-mode", "nope", "note", "not in @roster-modes (safe yolo)"),
        ("@roster-binary", "/nonexist", "problem", "is not a program"),
        ("@roster-binary", "~/nonexist", "problem", "is not a program"),
        ("@roster-binary", "/bin/sh", "problem", "is not a roster program"),
        ("@roster-projects", "~/a 'b", "problem", "cannot be split into words"),
        (
            "@roster-projects",
            "~/src/* src/*",
            "problem",
            "has \"src/*\", which begins with neither",
        ),
        ("@roster-projects", "$HOME/src/*", "problem", "has \"$HOME/src/*\", which begins with"),
        ("@roster-projects", "~/src/[a", "problem", "has \"~/src/[a\", which is no glob"),
        ("@roster-install", "bogus", "problem", "not download, build or none"),
        ("@roster-on-closed", "/no/such/thing x", "problem", "is not a program"),
        ("@roster-on-closed", "~/thing", "problem", "~ is not expanded here"),
        ("@roster-on-closed", &plain, "problem", "is not a program"),
    ] {
        server.tmux(&["set-option", "-g", name, value]);
        let (findings, well) = doctor(&server, &[]);
        let found = found(&findings, "options", level);
        assert!(found.len() == 1 && found[0].starts_with(name), "{findings:#?}");
        assert!(found[0].contains(told) && well == (level == "note"), "{findings:#?}");
        server.tmux(&["set-option", "-gu", name]);
    }
    // What looks like an option inside a value is none.
    let value = "/bin/sh -c 'true\n@roster-modez x\n\"@roster-modez\" x'";
    for (name, value) in [
        ("@roster-on-closed", value),
        ("@roster-command-nope", "true '\n@roster-modez x\n'"),
        ("@roster-default-mode", "nope"),
        ("@roster-install", "none"),
        ("@roster-binary", ROSTER),
        ("@roster-pick-key", "none"),
    ] {
        server.tmux(&["set-option", "-g", name, value]);
    }
    let (findings, well) = doctor(&server, &[]);
    assert!(well && found(&findings, "options", "ok").len() == 1, "{findings:#?}");
}

#[test]
fn a_misspelt_option_is_told_with_the_one_that_was_meant() {
    let server = Server::running("");
    let meant = [
        ("@roster-modez", ": did you mean @roster-modes?"),
        ("@roster-on-close", ": did you mean @roster-on-closed?"),
        ("@roster-comand-yolo", ": did you mean @roster-command-yolo?"),
        ("@roster-resum-vi", ": did you mean @roster-resume-vi?"),
        ("@roster-resume-", ""),
        ("@roster-pickkey", ": did you mean @roster-pick-key?"),
        ("@roster_default_mode", ": did you mean @roster-default-mode?"),
        ("@Roster-restore", ": did you mean @roster-restore?"),
        ("@roster-colour", ""),
        ("@roster-command-", ""),
    ];
    let others = [
        "@roster_mode",
        "@roster_mine",
        "@roster-command-x",
        "@roster-resume-x",
        "@rosterx",
        "@other",
    ];
    for name in meant.iter().map(|(name, _)| *name).chain(others) {
        server.tmux(&["set-option", "-g", name, "true"]);
    }
    let (findings, well) = doctor(&server, &[]);
    let mut told = found(&findings, "options", "problem");
    let mut wanted = meant.map(|(name, is)| format!("{name} is not a tmux-roster option{is}"));
    told.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(told, wanted);
    assert!(!well);
}

#[test]
fn no_option_of_the_readme_is_unknown() {
    let server = Server::running("");
    let names = options_of_the_readme();
    assert!(names.len() > 15 && names.contains("@roster-command"), "{names:?}");
    for name in &names {
        let name = ["-command", "-again", "-resume"]
            .iter()
            .fold(name.clone(), |name, part| name.replace(part, &format!("{part}-any")));
        server.tmux(&["set-option", "-g", &name, "0"]);
    }
    let (findings, _) = doctor(&server, &[]);
    let text = format!("{findings:#?}");
    assert!(
        text.contains("@roster-install") && !text.contains("is not a tmux-roster option"),
        "{text}"
    );
}

#[test]
fn modes_that_are_set_to_nothing_are_told() {
    let server = Server::running("");
    for empty in ["", "  "] {
        server.tmux(&["set-option", "-g", "@roster-modes", empty]);
        let (findings, well) = doctor(&server, &[]);
        let told = found(&findings, "options", "note");
        assert!(well && told == ["@roster-modes is empty: using safe yolo"], "{findings:#?}");
    }
    server.tmux(&["set-option", "-g", "@roster-modes", "wild"]);
    assert_eq!(found(&doctor(&server, &[]).0, "options", "ok").len(), 1);
}

#[test]
fn a_key_that_the_user_bound_is_told_and_left_alone() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["bind-key", "G", "display-message", "mine"]);
    doctor(&server, &["--fix"]);
    let (findings, well) = doctor(&server, &["--fix"]);
    assert!(well, "{findings:#?}");
    let told = found(&findings, "keys", "note");
    assert!(told.iter().any(|found| found.contains("prefix G is bound")), "{findings:#?}");
    // 3.7 prints nothing when asked for one key of a table.
    let bound = |to: &str| server.tmux(&["list-keys", "-T", "prefix"]).contains(to);
    assert!(bound("mine") && !bound("} pick "));
    server.tmux(&["unbind-key", "G"]);
    doctor(&server, &["--fix"]);
    assert!(bound("} pick "));
}

#[test]
fn continuum_that_restores_as_well_is_told() {
    let server = Server::running("");
    server.tmux(&["set-option", "-g", "@continuum-restore", "on"]);
    server.tmux(&["set-option", "-g", "@roster-restore", "on"]);
    let (findings, well) = doctor(&server, &[]);
    assert!(well && found(&findings, "plugins", "note").len() == 1, "{findings:#?}");
}

#[test]
fn a_lock_that_is_held_is_told() {
    let server = Server::running("");
    let store = tmux_roster::Store::new(server.registry_path());
    let locked = store.lock().unwrap();
    let (findings, well) = doctor(&server, &[]);
    assert!(!well && found(&findings, "lock", "problem").len() == 1, "{findings:#?}");
    drop(locked);
    let free = || doctor(&server, &[]).1.then_some(());
    wait_for(free, || "a lock that is free".into());
}

#[test]
fn what_the_log_says_of_today_is_shown_without_harm() {
    let server = Server::running("");
    let log = server.registry_path().with_file_name("roster.log");
    let now = tmux_roster::Timestamp::now();
    fs::write(&log, format!("2001-01-01T00:00:00Z old\n{now} bad \u{1b}[31m name\n")).unwrap();
    chmod(&log, 0o600);
    let (findings, well) = doctor(&server, &[]);
    let told = found(&findings, "log", "note");
    assert!(well && told.len() == 1, "{findings:#?}");
    assert_eq!(told[0], "1 line in the last day");
    let logged = |findings: &[Value]| {
        let of_log = findings.iter().find(|f| f["check"] == "log").unwrap();
        of_log["lines"].as_array().unwrap().clone()
    };
    let lines = logged(&findings);
    assert!(lines.len() == 1 && lines[0].as_str().unwrap().ends_with("bad \\u{1b}[31m name"));
    // More of them, and longer than a terminal is wide: the newest last, each on one line.
    let long = "x".repeat(300);
    let text: String = (1..=5).map(|n| format!("{now} number {n} {long}\n")).collect();
    fs::write(&log, text).unwrap();
    let lines = logged(&doctor(&server, &[]).0);
    let has = |line: &Value, n| line.as_str().unwrap().contains(&format!("number {n} xxx"));
    assert!(lines.len() == 3 && has(&lines[0], 3) && has(&lines[2], 5), "{lines:?}");
    let client = server.attach("one");
    let command = format!("{ROSTER} doctor; sleep 1000");
    server.tmux(&["respawn-pane", "-k", "-t", "=one:", &command]);
    client.wait_to_see("read /");
    let screen = client.screen();
    let row = |text: &str| screen.lines().position(|line| line.contains(text)).unwrap();
    assert_eq!(row("number 5"), row("number 3") + 2, "{screen}");
    assert!(screen.contains("5 lines in the last day, the last 3:"), "{screen}");
}

#[test]
fn one_session_is_no_sessions() {
    let server = Server::running("");
    let said = server.roster(&["doctor"]);
    assert!(said.contains(" with 1 session, ") && said.contains(" 1 session in /"), "{said}");
}

#[test]
fn sessions_that_popups_make_are_named_with_the_line_that_leaves_them_alone() {
    let server = Server::with_plugin(
        "set -g @roster-ignore '_* [ab]x'\nset -g @floax-session-name 'my float'\n",
    );
    for name in ["one", "scratch", "my float", "one-2@scratch", "_hidden", "popup-ideas"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.wait_for_names(&["one", "scratch", "my float", "one-2@scratch", "popup-ideas"]);
    server.wait_until_idle();
    let (findings, well) = doctor(&server, &[]);
    let told = "recorded, though a popup may have made it: my float (tmux-floax); \
                one-2@scratch (tmux-toggle-scratch); scratch (tmux-scratch and others)";
    assert_eq!(found(&findings, "scratch", "note"), [told]);
    assert!(well, "{findings:#?}");
    let line = "set -g @roster-ignore '_* [ab]x my?float *-*@scratch scratch'";
    let note = findings.iter().find(|finding| finding["check"] == "scratch").unwrap();
    assert_eq!(note["remedy"], format!("to leave that alone: {line}"));
    // As it stands in tmux.conf.
    fs::write(server.path("more.conf"), line).unwrap();
    server.tmux(&["source-file", &server.dir("more.conf")]);
    server.wait_until_quiet();
    assert_eq!(server.names(), ["one", "popup-ideas"]);
    let (findings, _) = doctor(&server, &[]);
    assert_eq!(found(&findings, "scratch", "note"), [""; 0]);
    // tmux-toggle-popup has a server for its own.
    server.tmux(&["set-option", "-g", "@popup-toggle", "x"]);
    assert_eq!(found(&doctor(&server, &[]).0, "scratch", "note"), [""; 0]);
    server.tmux(&["set-option", "-g", "@popup-socket-name", "s"]);
    let said = stdout(&server.try_roster(&["doctor"]));
    assert!(said.contains("one, popup-ideas (tmux-toggle-popup)"), "{said}");
    assert!(said.contains("my?float *-*@scratch scratch *'\n"), "{said}");
}
