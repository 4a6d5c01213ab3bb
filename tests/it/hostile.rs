//! Names and directories that try to be something else. A canary shows if anything ran.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use serde_json::Value;
use tmux_roster::restore::escape_name;
use tmux_roster::tmux::Version;

use crate::env::{Server, tmux_version, wait_for};
use crate::faults::{hook_job, script, typed};

const NAMES: [&[u8]; 26] = [
    b"a b",
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
];

const FOLDERS: [&[u8]; 10] = [
    b"with space",
    b"quote's\"",
    b"$(touch canary)",
    b"`touch canary`",
    b"end;",
    b"#(touch canary)",
    b"#{pid}",
    b"line\nbreak",
    b"bad\xffutf8",
    "日本語".as_bytes(),
];

fn version() -> Version {
    let (major, minor) = tmux_version();
    Version { major, minor }
}

/// An argument for tmux: a `;` at its end is escaped, or it would end the command.
fn word(text: &[u8]) -> OsString {
    let mut text = text.to_vec();
    if text.last() == Some(&b';') {
        text.pop();
        text.extend_from_slice(b"\\;");
    }
    OsString::from_vec(text)
}

fn new_session(server: &Server, name: &[u8], folder: &std::path::Path) -> bool {
    let name = word(&escape_name(name, version()));
    let folder = folder.as_os_str().to_owned().into_vec();
    let folder = word(&escape_name(&folder, version()));
    let args = ["new-session", "-d", "-s"].map(OsString::from);
    let args: Vec<OsString> = args.into_iter().chain([name, "-c".into(), folder]).collect();
    server.try_tmux(&args).status.success()
}

fn check_canary(server: &Server) {
    for folder in ["a", "b", "c", "home", "."] {
        assert!(!server.path(folder).join("canary").exists(), "something ran in {folder}");
    }
}

/// What lives, by id and as tmux prints it.
fn count(server: &Server) -> usize {
    server.tmux(&["list-sessions", "-F", "#{session_id}"]).lines().count()
}

#[test]
fn hostile_names_run_nothing_and_come_back() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    // A version may refuse a name; what it takes must be recorded.
    let made = NAMES.iter().filter(|name| new_session(&server, name, &server.path("b"))).count();
    assert!(made >= 18, "{made}");
    let long = "n".repeat(150);
    assert!(new_session(&server, long.as_bytes(), &server.path("b")));
    let all = count(&server);
    wait_for(
        || (server.names().len() == all).then_some(()),
        || format!("{all} names, there are {:?}", server.names()),
    );
    server.wait_until_quiet();
    let before = server.registry();

    // Every command copes with each name.
    for name in server.names() {
        let shown = server.roster(&["show", "--json", "--", &name]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["name"], name);
        assert_eq!(shown["state"], "live");
        server.roster(&["mode", "--", &name, "yolo"]);
    }
    let _ =
        (server.roster(&["list"]), server.roster(&["names"]), server.roster(&["health", "--all"]));
    server.crash();
    server.roster(&["restore", "--all"]);
    server.wait_until_quiet();
    let uuids = |registry: &Value| {
        let sessions = registry["sessions"].as_object().unwrap().clone();
        let mut uuids: Vec<String> =
            sessions.values().map(|s| s["uuid"].as_str().unwrap().to_owned()).collect();
        uuids.sort();
        uuids
    };
    assert_eq!(uuids(&server.registry()), uuids(&before));
    assert_eq!(count(&server), all);
    for name in server.names().into_iter().filter(|name| name != "one") {
        server.roster(&["kill", "--", &name]);
    }
    assert_eq!(server.names(), ["one"]);
    assert_eq!(count(&server), 1);
    check_canary(&server);
}

#[test]
fn hostile_directories_are_recorded_and_restored() {
    let server = Server::with_plugin("");
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
    if version().at_least(3, 2) {
        for (n, folder) in FOLDERS.iter().enumerate() {
            let path = server.folder.path().join(OsString::from_vec(folder.to_vec()));
            let shown = String::from_utf8_lossy(&path.into_os_string().into_vec()).into_owned();
            assert_eq!(server.field(&format!("n{n}"), "workdir"), shown);
        }
    }
    let before = server.registry();
    server.crash();
    let output = server.try_roster(&["restore", "--all"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !said.contains("gone"), "{said}");
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
    check_canary(&server);
}

#[test]
fn hostile_options_run_nothing() {
    let server = Server::with_plugin(
        "set -g @roster-default-mode \"#(touch canary)'; touch canary; '\"\n\
         set -g @roster-ignore \"\\$(touch canary) `touch canary`\"\n\
         set -g @roster-command-loud \"sleep '50 $(touch canary); #(touch canary)' `touch canary`\"\n\
         set -g @roster-closed-limit '; touch canary'\n\
         set -g @roster-on-created 'unbalanced \"'\n",
    );
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    assert_eq!(server.field("one", "mode"), "#(touch canary)'; touch canary; '");
    let _client = server.attach("one");
    let _ = server.try_roster(&["new", "-d", "two", "-m", "loud"]);
    server.wait_until_quiet();
    let log = std::fs::read_to_string(server.registry_path().with_file_name("roster.log")).unwrap();
    assert!(log.contains("@roster-closed-limit") && log.contains("@roster-on-created"), "{log}");
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
    let registry = std::fs::read_to_string(server.registry_path()).unwrap();
    std::fs::write(server.registry_path(), registry.replace("\"safe\"", "\"loud\"")).unwrap();
    server
}

/// Our three files, and all that tmux was ever told.
fn all_there_is(server: &Server) -> (Vec<Vec<u8>>, Vec<String>) {
    let file = |name| std::fs::read(server.registry_path().with_file_name(name)).unwrap();
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
    let tmux = crate::env::tmux_program().display().to_string();
    let held = server.dir("held");
    script(&stub, &format!("tmux='{tmux}' held='{held}'\n{body}"));
    let job = hook_job(server, &stub).output().unwrap();
    assert!(job.status.success(), "{body}");
    assert!(job.stdout.is_empty() && job.stderr.is_empty(), "{body}: {job:?}");
    assert!(all_there_is(server) == before, "{body}: after a job");
    for args in TYPED {
        let output = typed(server, &stub, args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{body}: {args:?}: {said}");
        assert!(output.stdout.is_empty() && said.starts_with("roster: "), "{body}: {output:?}");
        assert!(!said.contains("no tmux server is running"), "{body}: {args:?}: {said}");
        assert!(all_there_is(server) == before, "{body}: after {args:?}");
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
        "printf '%s' \"$*\" | sed 's/#{[^}]*}/x/g'",
    ] {
        check_that_nothing_comes_of(&server, body);
    }
    assert_eq!(server.roster(&["sync"]), "brought into step\n", "there was something to do");
}

#[test]
fn an_answer_that_is_cut_off_anywhere_changes_nothing() {
    let server = one_of_each();
    let sizes = (0..8).map(|eighths| format!("size * {eighths} / 8"));
    for size in sizes.chain(["size - 1".into(), "size - 2".into()]) {
        let body = "\"$tmux\" \"$@\" >\"$held\"; size=$(wc -c <\"$held\")\nhead -c";
        check_that_nothing_comes_of(&server, &format!("{body} $(({size})) \"$held\""));
    }
    assert_eq!(server.roster(&["sync"]), "brought into step\n", "there was something to do");
}
