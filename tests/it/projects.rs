//! Directories beside sessions: `roster go DIR`, and what the picker offers below its sessions.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use crate::env::{Client, ROSTER, Server, script, stderr, tmux_version, wait_for};

/// What would do something if a shell or a format ever got it.
const HOSTILE: [&str; 4] =
    ["$(touch canary)", "'\"; touch canary #", "#(touch canary)", "two\twords"];

/// A server with the session `one` in `a`, whose jobs find fzf or not, and a zoxide that prints these.
fn started(config: &str, zoxide: &str, has_fzf: bool) -> Server {
    let server = Server::with_plugin(config);
    let bin = server.narrow_path(if has_fzf { &["fzf"] } else { &[] });
    fs::write(server.path("zoxide"), zoxide).unwrap();
    let printing = format!("[ \"$*\" = 'query -l' ] && cat '{}'", server.path("zoxide").display());
    script(&bin.join("zoxide"), &printing);
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("a")]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    server
}

/// A folder below those of the server, and its path.
fn folder(server: &Server, path: &str) -> String {
    fs::create_dir_all(server.path(path)).unwrap();
    server.dir(path)
}

fn try_go(server: &Server, client: &Client<'_>, word: &str, from: &str) -> Output {
    let mut command = server.command(ROSTER);
    command.current_dir(from).args(["-L", "s", "go", "--client", &client.name(), "--", word]);
    command.output().unwrap()
}

/// Goes there, and returns which session the client then shows.
fn go(server: &Server, client: &Client<'_>, word: &str) -> String {
    let output = try_go(server, client, word, &server.dir("a"));
    assert!(output.status.success(), "{word}: {}", stderr(&output));
    server.tmux(&["list-clients", "-F", "#{client_session}"])
}

fn wait_to_show(server: &Server, session: &str) {
    let shown = || server.tmux(&["list-clients", "-F", "#{client_session}"]);
    wait_for(|| (shown() == session).then_some(()), || format!("{session}, not {}", shown()));
}

#[test]
fn go_takes_a_name_and_else_a_directory() {
    let server = started("", "", false);
    let client = server.attach("one");
    let api = folder(&server, "work/api");
    assert_eq!(go(&server, &client, &api), "api");
    assert_eq!(server.field("api", "workdir"), api);
    let uuid = server.uuid("api");
    // By whatever path; the session that is there.
    symlink(&api, server.path("link")).unwrap();
    for path in [".", "../a", "../work/api", "../link", &format!("{api}/"), "../work/../work/api"] {
        let expected = if path == "." || path == "../a" { "one" } else { "api" };
        assert_eq!(go(&server, &client, path), expected, "{path}");
    }
    // A name comes first, even where a directory is called so.
    folder(&server, "a/api");
    assert_eq!(go(&server, &client, "api"), "api");
    assert_eq!(server.uuid("api"), uuid);
    // Another directory of that name is called by two parts, and then by number.
    assert_eq!(go(&server, &client, "./api"), "a-api");
    let deep = folder(&server, "x/a/api");
    assert_eq!(go(&server, &client, &deep), "api-2");
    // The one used last of several.
    server.roster(&["new", "-d", "other", "-c", &api]);
    assert_eq!(go(&server, &client, "other"), "other");
    assert_eq!(go(&server, &client, "one"), "one");
    server.wait_until_idle();
    assert_eq!(go(&server, &client, &api), "other");
    let home = server.path("home");
    fs::create_dir(home.join("notes")).unwrap();
    assert_eq!(go(&server, &client, "~/notes"), "notes");
    for (word, said) in [
        ("/nowhere/at/all", "there is no session and no directory \"/nowhere/at/all\""),
        ("./nothing", "there is no session and no directory \"./nothing\""),
        ("~root/x", "there is no session and no directory \"~root/x\""),
        ("nothing", "session \"nothing\" not found"),
        ("", "session \"\" not found"),
    ] {
        let output = try_go(&server, &client, word, &server.dir("a"));
        assert_eq!(output.status.code(), Some(1), "{word}");
        assert!(stderr(&output).contains(said), "{word}: {}", stderr(&output));
    }
}

#[test]
fn a_directory_whose_name_is_ignored_has_its_session_called_by_two_parts() {
    let server = started("set -g @roster-ignore '[0-9]*'", "", false);
    let client = server.attach("one");
    let folder = folder(&server, "work/2024");
    assert_eq!(go(&server, &client, &folder), "work-2024");
    assert_eq!(go(&server, &client, &folder), "work-2024");
}

#[test]
fn go_brings_back_what_was_lost_in_a_directory() {
    let server = started("", "", false);
    let api = folder(&server, "work/api");
    server.roster(&["new", "-d", "api", "-c", &api, "-m", "yolo"]);
    server.wait_until_idle();
    let uuid = server.uuid("api");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    let client = server.attach("two");
    assert_eq!(go(&server, &client, &api), "api");
    assert_eq!((server.uuid("api"), server.field("api", "mode")), (uuid, "yolo".into()));
}

#[test]
fn the_picker_has_directories_below_its_sessions() {
    if tmux_version() < (3, 2) {
        return;
    }
    let config = "set -g @roster-projects '~/src/* /nowhere/* [ ~/src/.hidden'";
    let server = started(config, "", true);
    for name in ["api", "web", "known"].into_iter().chain(HOSTILE) {
        folder(&server, &format!("home/src/{name}"));
    }
    fs::write(server.path("home/src/file"), "").unwrap();
    folder(&server, "home/src/.hidden");
    folder(&server, "home/src/.not");
    let often = folder(&server, "often");
    fs::write(server.path("home/src/web/README"), "").unwrap();
    // What zoxide knows comes first, and nothing comes twice, nor where a session is.
    let lines = [&often, &server.dir("a"), &server.dir("home/src/web"), "relative", "/", "#{pid}"];
    fs::write(server.path("zoxide"), lines.map(|line| format!("{line}\n")).concat()).unwrap();
    server.roster(&["new", "-d", "known", "-c", &server.dir("home/src/known")]);
    server.wait_until_idle();
    let client = Client::attach_sized(&server, "=one", (160, 45));
    let open = || {
        client.press(&["C-b"]);
        client.press(&["G"]);
        client.wait_to_see("session>");
    };
    open();
    client.wait_to_see("+  ~/src/web");
    let screen = client.screen();
    let listed: Vec<&str> = screen.lines().filter(|line| line.contains(" +  ")).collect();
    let listed: Vec<&str> =
        listed.iter().filter_map(|line| line.split(" +  ").nth(1)?.split("  ").next()).collect();
    let end = "/often";
    assert!(listed[0].ends_with(end) && listed[1] == "~/src/web", "{listed:?}\n{screen}");
    for name in ["~/src/api", "~/src/.hidden", "~/src/$(touch canary)"] {
        assert!(listed.iter().any(|line| line.trim_end() == name), "{name}: {listed:?}");
    }
    assert!(
        !listed.iter().any(|line| line.contains("known") || line.contains(".not")),
        "{listed:?}"
    );
    assert!(!listed.iter().any(|line| line.contains("file") || line.ends_with("/a")), "{listed:?}");
    assert_eq!(listed.len(), 8, "{listed:?}");

    client.press(&["src/web"]);
    client.wait_to_see("Enter creates a session here.");
    client.wait_to_see("README");
    client.press(&["C-x"]);
    client.wait_to_see("no session yet");
    client.press(&["Enter"]);
    wait_to_show(&server, "web");
    assert_eq!(server.field("web", "workdir"), server.dir("home/src/web"));
    for (at, name) in HOSTILE.into_iter().enumerate() {
        let typed = ["$(touch", "touch canary #", "#(touch", "words"][at];
        open();
        client.press(&["-l", typed]);
        client.wait_to_see("Enter creates a session here.");
        client.press(&["Enter"]);
        let workdir = server.dir(&format!("home/src/{name}"));
        let there = || {
            let path = server.tmux(&["list-clients", "-F", "#{session_path}"]);
            (path == workdir || path == workdir.replace('\t', "\\011")).then_some(())
        };
        wait_for(there, || format!("a session in {workdir}:\n{}", client.shown()));
        wait_for(|| (!client.screen().contains("└")).then_some(()), || "the popup's end".into());
    }
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_zoxide_that_hangs_and_the_word_none_leave_the_sessions() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = started("", "", true);
    let often = folder(&server, "often");
    script(&server.path("bin/zoxide"), "exec sleep 1000");
    let client = server.attach("one");
    let open = || {
        client.press(&["C-b"]);
        client.press(&["G"]);
        client.wait_to_see("*  one");
        assert!(!client.screen().contains(" +  "), "{}", client.shown());
        client.press(&["Escape"]);
        wait_for(|| (!client.screen().contains("└")).then_some(()), || "the popup's end".into());
    };
    open();
    script(&server.path("bin/zoxide"), &format!("echo '{often}'"));
    server.tmux(&["set-option", "-g", "@roster-projects", "none"]);
    open();
}

#[test]
fn the_menu_has_directories_of_its_own() {
    let config = "set -g @roster-projects \"$HOME/src/*\"";
    let server = started(config, "", false);
    for name in ["api", "$(touch canary)"] {
        folder(&server, &format!("home/src/{name}"));
    }
    let client = server.attach("one");
    for (key, session) in [("1", "touch-canary"), ("1", "api")] {
        client.press(&["C-b"]);
        client.press(&["G"]);
        client.wait_to_see("projects...");
        client.press(&["p"]);
        client.wait_to_see("─ projects");
        client.press(&[key]);
        let named = || server.tmux(&["list-clients", "-F", "#{client_session}"]);
        wait_for(
            || named().contains(session).then_some(()),
            || format!("{session}, not {}:\n{}", named(), client.shown()),
        );
        wait_for(|| (!client.screen().contains("└")).then_some(()), || "the menu's end".into());
        server.wait_until_idle();
    }
    assert_eq!(server.trapped(), [""; 0]);
}
