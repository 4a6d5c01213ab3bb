//! What is said is true and works where it is pasted.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::env::{ROSTER, Server, stderr, stdout, wait_for, write_program};

/// The program in a shell that has only these folders on its PATH.
fn with_path(server: &Server, path: &str, args: &[&str]) -> Output {
    let mut command = server.command(ROSTER);
    command.env("PATH", format!("{path}:/usr/bin:/bin")).args(["-L", "s"]).args(args);
    command.output().unwrap()
}

#[test]
fn commands_that_are_told_work_where_they_are_pasted() {
    let server = Server::running("");
    let bin = server.path("bin");
    fs::create_dir(&bin).unwrap();
    let tells = |path: &str, word: &str| {
        let said = stderr(&with_path(&server, path, &["new", "-d", "one"]));
        assert!(said.contains(&format!("run {word} -L s go one,")), "{said}");
        let doctor = stdout(&with_path(&server, path, &["doctor"]));
        assert!(doctor.ends_with("all is well\n"), "{doctor}");
        doctor
    };
    let doctor = tells("/nowhere", ROSTER);
    let link = format!("-> mkdir -p ~/.local/bin && ln -s {ROSTER} ~/.local/bin/roster\n");
    assert!(doctor.contains(&link), "{doctor}");

    // What stands where the link would be is not overwritten, unless it is a link itself.
    let local = server.path("home/.local/bin");
    fs::create_dir_all(&local).unwrap();
    std::os::unix::fs::symlink("/nowhere/roster", local.join("roster")).unwrap();
    let doctor = tells("/nowhere", ROSTER);
    assert!(doctor.contains(&format!("-> ln -sfn {ROSTER} ~/.local/bin/roster\n")), "{doctor}");
    fs::remove_file(local.join("roster")).unwrap();
    write_program(&local.join("roster"), "#!/bin/sh\n");
    let doctor = tells("/nowhere", ROSTER);
    let other = format!("-> ~/.local/bin/roster is another program: call this one {ROSTER}\n");
    assert!(doctor.contains(&other), "{doctor}");
    fs::remove_file(local.join("roster")).unwrap();

    // Another program of that name is not this one.
    let path = bin.display().to_string();
    write_program(&bin.join("roster"), "#!/bin/sh\n");
    let doctor = tells(&path, ROSTER);
    assert!(doctor.contains("bin/roster, not this program\n"), "{doctor}");

    // The link that outlives upgrades is told, in the home folder.
    let data = server.path("home/.local/share/tmux-roster");
    fs::create_dir_all(&data).unwrap();
    std::os::unix::fs::symlink(ROSTER, data.join("roster")).unwrap();
    let told = "~/.local/share/tmux-roster/roster";
    tells(&path, told);
    let pasted = server.command("sh").args(["-c", &format!("{told} -L s names")]).output().unwrap();
    assert_eq!(stdout(&pasted), "one\n");

    fs::remove_file(bin.join("roster")).unwrap();
    std::os::unix::fs::symlink(data.join("roster"), bin.join("roster")).unwrap();
    assert!(!tells(&path, "roster").contains("PATH"));
    // A key's job may lack what the user's shell has.
    std::os::unix::fs::symlink(ROSTER, local.join("roster")).unwrap();
    assert!(!tells("/nowhere", told).contains("PATH"));
    // A name is no command.
    let said = stderr(&with_path(&server, "/nowhere", &["show", "roster list"]));
    assert!(said.contains("\"roster list\" not found") && said.contains(told), "{said}");
}

#[test]
fn help_is_a_word_too() {
    let server = Server::with_config("");
    let said = |args: &[&str]| server.roster(args);
    assert_eq!(said(&["help"]), said(&["--help"]));
    assert_eq!(said(&["help", "restore"]), said(&["restore", "--help"]));
    assert_eq!(said(&["help", "store", "get"]), said(&["store", "get", "--help"]));
    assert_eq!(said(&["help", "help"]), said(&["--help"]));
    assert_eq!(said(&["help", "--", "list"]), said(&["list", "--help"]));
    let output = server.command(ROSTER).args(["help", "lst"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean last or list?"), "{}", stderr(&output));
}

#[test]
fn new_tells_the_name_that_it_chose() {
    let server = Server::running("");
    assert_eq!(server.roster(&["new", "-d", "-c", &server.dir("b")]), "created b\n");
    assert_eq!(server.roster(&["new", "-d", "-c", &server.dir("b")]), "created b-2\n");
    assert_eq!(server.roster(&["new", "-d", "two"]), "");
    server.roster(&["new", "-d", "line", "--", "sleep 1; echo"]);
    let says = || server.screen("=line:").contains("no shell runs it").then_some(());
    wait_for(says, || server.screen("=line:"));
}

#[test]
fn a_directory_that_is_gone_is_told_once_and_shown() {
    let server = Server::running("");
    let gone = server.path("gone");
    fs::create_dir(&gone).unwrap();
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("gone")]);
    server.tmux(&["split-window", "-d", "-t", "=two:", "-c", &server.dir("gone")]);
    server.wait_for_names(&["one", "two"]);
    let shows = || server.roster(&["show", "two"]).matches("/gone").count() == 3;
    wait_for(|| shows().then_some(()), || server.roster(&["show", "two"]));
    assert!(!server.roster(&["show", "two"]).contains("missing"));
    server.crash();
    fs::remove_dir(&gone).unwrap();
    let shown = server.roster(&["show", "two"]);
    assert!(shown.contains(&format!("\nmissing   {}\n", gone.display())), "{shown}");
    let said = stderr(&server.try_roster(&["restore", "two"]));
    assert_eq!(said.matches("is gone").count(), 1, "{said}");
}

#[test]
fn a_window_whose_index_is_taken_says_where_it_is() {
    let server = Server::running("");
    server.tmux(&["new-window", "-d", "-t", "=one:7", "-n", "logs"]);
    let shown = || server.roster(&["show", "one"]);
    wait_for(|| shown().contains("7:logs").then_some(()), shown);
    server.tmux(&["kill-window", "-t", "=one:7"]);
    let closed = || server.roster(&["closed", "--windows"]);
    wait_for(|| closed().contains("7:logs").then_some(()), closed);
    server.tmux(&["new-window", "-d", "-t", "=one:7"]);
    let output = server.try_roster(&["reopen", "--window"]);
    assert_eq!(stdout(&output), "reopened window 8 (logs) of one\n");
    let told = "index 7 is taken, so the window came back at index 8";
    assert!(stderr(&output).contains(told), "{}", stderr(&output));
}

#[test]
fn doctor_offers_to_mend_only_what_it_can_mend() {
    let server = Server::running("");
    server.tmux(&["set-option", "-g", "@roster-pick-key", "Foo-Bar"]);
    let doctor = || stdout(&server.try_roster(&["doctor"]));
    let said = doctor();
    // Before 3.1 tmux does not tell.
    if !server.tmux(&["-V"]).contains("tmux 3.0") {
        let told = "prefix Foo-Bar is not a tmux key\n";
        assert!(said.contains(told) && !said.contains("--fix"), "{said}");
    }
    server.tmux(&["set-option", "-gu", "@roster-pick-key"]);

    let registry = server.registry_path();
    let chattr = |flag: &str| server.command("chattr").arg(flag).arg(&registry).output();
    if chattr("+i").is_ok_and(|output| output.status.success()) {
        let said = doctor();
        assert!(chattr("-i").unwrap().status.success());
        let told = format!("{} cannot be changed (chattr +i)\n", registry.display());
        assert!(said.contains(&told) && said.contains("-> chattr -i "), "{said}");
    }
}

#[test]
fn all_servers_are_listed_and_none_is_asked_or_started() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let server = Server::running("");
    let list = |args: &[&str]| {
        let mut command = server.command(ROSTER);
        command.env("PATH", "/nowhere").args(["list", "--all-servers"]).args(args);
        command.output().unwrap()
    };
    let rows = |output: &Output| -> Vec<(String, String, String)> {
        let rows: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        let row = |row| (text(row, "host"), text(row, "name"), text(row, "state"));
        rows.as_array().unwrap().iter().map(row).collect()
    };
    let row = |host: &str, name: &str, state: &str| (host.into(), name.into(), state.into());
    let own = server.registry_path().parent().unwrap().to_owned();
    let folder = |name: &str| own.with_file_name(name);

    // A server of another name that has ended, and one of another host.
    fs::create_dir(folder("ended")).unwrap();
    let registry = fs::read_to_string(server.registry_path()).unwrap();
    fs::write(folder("ended").join("sessions.json"), registry.replace("\"one\"", "\"old\""))
        .unwrap();
    let mut other = own.file_name().unwrap().to_owned();
    other.push("%host-beta-bbbb");
    let other = own.with_file_name(other);
    fs::create_dir(&other).unwrap();
    fs::copy(server.registry_path(), other.join("sessions.json")).unwrap();
    let memory = fs::read(own.join("server.json")).unwrap();
    let mut memory: Value = serde_json::from_slice(&memory).unwrap();
    memory["host"]["machine"] = "bbbb".into();
    memory["host"]["node"] = "beta".into();
    fs::write(other.join("server.json"), memory.to_string()).unwrap();

    let all = [row("", "one", "live"), row("beta", "one", "elsewhere"), row("", "old", "lost")];
    let listed = list(&["--json"]);
    assert!(listed.status.success(), "{}", stderr(&listed));
    assert_eq!(rows(&listed), all);
    let lost = rows(&list(&["--json", "--state", "lost"]));
    assert_eq!(lost, [row("", "old", "lost")]);
    let table = stdout(&list(&[]));
    let socket = server.socket().canonicalize().unwrap().display().to_string();
    assert!(table.starts_with("SERVER") && table.contains(&socket), "{table}");
    assert!(table.contains(" (beta)") && table.contains("ended"), "{table}");

    // Of what cannot be read the rest does not suffer.
    for (name, text) in [("broken", "{"), ("newer", "{\"schema_version\":99,\"sessions\":{}}")] {
        fs::create_dir(folder(name)).unwrap();
        fs::write(folder(name).join("sessions.json"), text).unwrap();
    }
    let listed = list(&["--json"]);
    assert_eq!((listed.status.code(), rows(&listed)), (Some(1), all.to_vec()));
    let said = stderr(&listed);
    assert!(said.contains("roster: broken: ") && said.contains("roster: newer: "), "{said}");
    for name in ["broken", "newer"] {
        fs::remove_dir_all(folder(name)).unwrap();
    }

    server.kill_server();
    server.wait_for_jobs();
    assert_eq!(rows(&list(&["--json"]))[0], row("", "one", "lost"));
    assert!(
        !server.socket().exists() || server.try_tmux(&["list-sessions"]).status.code() == Some(1)
    );
    let refused = server.try_roster(&["list", "--all-servers"]);
    assert_eq!(refused.status.code(), Some(2), "-L names one");
}
