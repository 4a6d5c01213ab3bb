//! Loading: as TPM does it, from odd places, twice, without a program, among other people's hooks.

use std::path::Path;

use tmux_roster::tmux::hooks::{HOOK_INDEX, HOOKS};

use crate::env::{
    Client, ControlClient, PLUGIN, ROSTER, Server, build_in, copy_plugin, copy_program,
    tmux_program, tmux_version, wait_for, with_copy,
};

#[test]
fn without_a_program_the_first_client_is_told_once_and_nothing_else_is_set() {
    let server = with_copy("plugin", "set -g @roster-install none");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    wait_for(
        || server.tmux(&["show-hooks", "-g"]).contains("[4243]").then_some(()),
        || "the message for the first client".into(),
    );
    let client = server.attach("one");
    client.wait_to_see("@roster-install is none");
    let hooks = server.tmux(&["show-hooks", "-g"]);
    wait_for(
        || (!server.tmux(&["show-hooks", "-g"]).contains("[4243]")).then_some(()),
        || "the message's own end".into(),
    );
    assert!(!hooks.contains("4242"), "{hooks}");
    assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_run"]), "");
}

/// Waits until what a message's hook started has ended.
fn wait_until_told(server: &Server) {
    server.wait_for_end_of("plugin.tmux --tell");
}

#[test]
fn a_message_is_for_people_and_waits_while_only_programs_are_there() {
    let server = with_copy("plugin", "set -g @roster-install none");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let waits = || server.tmux(&["show-hooks", "-g"]).contains("[4243]");
    wait_for(|| waits().then_some(()), || "the message for the first client".into());
    let mut program = ControlClient::attach(&server, "one");
    assert_eq!(program.ask("display-message -p first"), "first");
    // Another event that the hook hears of.
    let mut other = ControlClient::attach(&server, "one");
    assert_eq!(other.ask("display-message -p second"), "second");
    wait_until_told(&server);
    assert_eq!(program.ask("display-message -p third"), "third");
    assert!(waits(), "nobody has seen it");
    let client = server.attach("one");
    client.wait_to_see("@roster-install is none");
    wait_for(|| (!waits()).then_some(()), || "the message's own end".into());
    wait_until_told(&server);
    // Where somebody is there, it is shown at once.
    server.tmux(&["send-keys", "-t", "=one:", "clear", "Enter"]);
    server.tmux(&["run-shell", &format!("'{}'", server.dir("plugin/plugin.tmux"))]);
    client.wait_to_see("@roster-install is none");
    wait_for(|| (!waits()).then_some(()), || "the message's own end".into());
    for (program, asked) in [(&mut program, 2), (&mut other, 1)] {
        assert_eq!(program.ask("display-message -p last"), "last");
        let said = program.said();
        assert!(!said.contains("tmux-roster") && !said.contains("%message"), "{said}");
        // One for attaching, and one for each question.
        assert_eq!(said.matches("%begin ").count(), 1 + asked + 1, "{said}");
    }
}

#[test]
fn a_message_is_shown_from_odd_plugin_folders() {
    for folder in ["a plugin's \"folder\"", "hash#{pid}#(touch canary)", "$(touch canary)%H;x"] {
        let server = with_copy(folder, "set -g @roster-install none");
        server.set_trap();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        let waits = || server.tmux(&["show-hooks", "-g"]).contains("[4243]");
        wait_for(|| waits().then_some(()), || "the message for the first client".into());
        server.attach("one").wait_to_see("@roster-install is none");
        wait_for(|| (!waits()).then_some(()), || "the message's own end".into());
        assert_eq!(server.trapped(), [""; 0], "{folder}");
    }
}

#[test]
fn odd_plugin_folders_work() {
    for folder in ["a plugin's \"folder\"", "hash#{pid}#(touch canary)", "p[x]*?"] {
        let server = with_copy(folder, "");
        server.set_trap();
        build_in(&server.path(folder));
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_for_names(&["one"]);
        server.tmux(&["new-session", "-d", "-s", "two"]);
        server.wait_for_names(&["one", "two"]);
        assert_eq!(server.trapped(), [""; 0]);
    }
}

/// The folder of the files and the path of the program both stand in it.
#[test]
fn odd_home_folders_work() {
    for home in [
        "it's \"my\" home",
        "p[x]*?\\",
        "#(touch canary)#{pid}#[x",
        "$(touch canary) `touch canary`;",
        "%H%M; touch canary;",
        "esc\u{1b}[31m\nred",
    ] {
        let server = with_copy("plugin", "").at_home(home);
        server.set_trap();
        build_in(&server.path("plugin"));
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_for_names(&["one"]);
        server.wait_until_quiet();
        let uuid = server.uuid("one");
        let stamp = || server.tmux(&["list-sessions", "-F", "#{@roster_uuid}"]);
        assert!(stamp().starts_with(&uuid), "{}", stamp());
        let program = server.tmux(&["show-options", "-gqv", "@roster_program"]);
        assert!(program.contains(".local/share"), "{program}");
        let client = server.attach("one");
        client.press(&["C-b"]);
        client.press(&["A"]);
        client.wait_to_see("check its health");
        client.press(&["h"]);
        client.wait_to_see("roster: ok");
        for args in [&["list"][..], &["doctor"], &["backup"], &["backups"], &["new", "-d", "two"]] {
            server.roster(args);
        }
        server.crash();
        server.roster(&["restore", "--all"]);
        server.wait_for_names(&["one", "two"]);
        assert!(stamp().starts_with(&uuid), "{}", stamp());
        assert_eq!(server.trapped(), [""; 0], "{home}");
    }
}

#[test]
fn an_odd_state_folder_works() {
    let state = "p[x]*? $(touch canary) `touch canary` #(touch canary) #{pid} %H \"q\";";
    let server = with_copy("plugin", "");
    server.set_trap();
    build_in(&server.path("plugin"));
    server.write_config(&format!(
        "set-environment -g XDG_STATE_HOME '{}'\n{}",
        server.dir(state),
        std::fs::read_to_string(server.path("tmux.conf")).unwrap()
    ));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let stamp = || server.tmux(&["list-sessions", "-F", "#{@roster_uuid}"]);
    wait_for(|| (stamp().len() == 36).then_some(()), || "the stamp".into());
    let path = server.roster(&["path"]);
    assert!(path.starts_with(&server.dir(state)), "{path}");
    assert!(std::path::Path::new(path.trim_end()).exists(), "{path}");
    assert!(server.roster(&["show", "one"]).contains(&stamp()));
    server.roster(&["doctor"]);
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_read_only_folder_behind_a_link_works() {
    let server = Server::of_ordinary_user("");
    let folder = server.path("store");
    std::fs::create_dir_all(folder.join("target/release")).unwrap();
    copy_plugin(&folder);
    copy_program(ROSTER.as_ref(), &folder.join("target/release/roster"));
    server.lock(&folder, true);
    std::os::unix::fs::symlink("store/plugin.tmux", server.path("link.tmux")).unwrap();
    server.write_config(&format!("run-shell '{} >/dev/null 2>&1'", server.dir("link.tmux")));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.lock(&folder, false);
}

#[test]
fn sessions_from_before_the_plugin_are_known_once_it_is_loaded() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "old", "-c", &server.dir("b")]);
    server.tmux(&["set-option", "-g", "@roster-binary", ROSTER]);
    server.tmux(&["run-shell", PLUGIN]);
    server.wait_for_names(&["old"]);
    if tmux_version() >= (3, 2) {
        assert_eq!(server.field("old", "workdir"), server.dir("b"));
    }
    assert_eq!(server.tmux(&["display-message", "-p", "-t", "=old:", "#{pane_mode}"]), "");
}

#[test]
fn wiped_hooks_are_put_back_by_those_that_still_run() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    // What an unindexed set-hook elsewhere does.
    server.tmux(&["set-hook", "-g", "session-created", "set -g @theirs 1"]);
    // Checked at most once a minute: the lock file's time of access says when it was.
    let lock = server.registry_path().with_file_name("sessions.json.lock");
    let lock = std::fs::File::options().write(true).open(lock).unwrap();
    let id = server.id("one");
    let mut count = 0;
    wait_for(
        || {
            // A job that is still on its way may put the old time back.
            lock.set_times(std::fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH)).ok()?;
            count += 1;
            server.tmux(&["rename-session", "-t", &id, &format!("uno{}", count % 2)]);
            let hooks = server.tmux(&["show-hooks", "-g"]);
            hooks.contains("session-created[4242] ").then_some(())
        },
        || "our hook".into(),
    );
    server.tmux(&["rename-session", "-t", &id, "uno"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["two", "uno"]);
    assert_eq!(server.tmux(&["show-options", "-gqv", "@theirs"]), "1");
}

#[test]
fn hooks_that_the_rest_of_the_configuration_wiped_are_back_for_the_first_client() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    // The hooks were checked just now, and are not for a minute.
    server.wait_until_idle();
    for hook in ["session-created", "session-closed"] {
        server.tmux(&["set-hook", "-g", hook, "set -g @theirs 1"]);
    }
    let ours = || server.tmux(&["show-hooks", "-g"]).matches("[4242]").count();
    let all = HOOKS.iter().filter(|hook| hook.index == HOOK_INDEX).count();
    assert_eq!(ours(), all - 2);
    let _client = server.attach("one");
    wait_for(|| (ours() == all).then_some(()), || "our hooks".into());
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    assert_eq!(server.tmux(&["show-options", "-gqv", "@theirs"]), "1");
}

#[test]
fn a_session_with_a_home_of_its_own_uses_the_servers_registry() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    for (name, value) in [("HOME", "elsewhere"), ("XDG_STATE_HOME", "state")] {
        server.tmux(&["set-environment", "-t", &server.id("one"), name, &server.dir(value)]);
    }
    server.tmux(&["rename-session", "-t", &server.id("one"), "uno"]);
    server.wait_for_names(&["uno"]);
    assert!(!server.path("elsewhere").exists() && !server.path("state").exists());
    let client = Client::attach_sized(&server, "uno", (200, 30));
    client.press(&["-l", &format!("HOME=/nowhere XDG_STATE_HOME=/nowhere {ROSTER} path")]);
    client.press(&["Enter"]);
    client.wait_to_see("sessions.json");
    assert!(!client.screen().contains("/nowhere/tmux-roster"), "{}", client.screen());
    // What the first client that comes starts has done its work by now.
    wait_for(
        || (!server.tmux(&["show-hooks", "-g"]).contains("[4244]")).then_some(()),
        || "the hook for the first client done".into(),
    );
    server.wait_for_jobs();
    assert!(!server.path("elsewhere").exists() && !server.path("state").exists());
}

/// `tmux -S ./s` tells its panes `./s`: what is typed there is for that server.
#[test]
fn a_relative_socket_is_never_taken_for_the_default_server() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "victim"]);
    server.wait_for_names(&["victim"]);
    let default = |args: &[&str]| {
        let mut command = server.command(tmux_program());
        let output =
            command.args(["-L", "default", "-f", "/dev/null"]).args(args).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    default(&["new-session", "-d", "-s", "victim"]);
    let relative = |args: &[&str]| {
        let mut command = server.command(tmux_program());
        let output = command.args(["-S", "./r", "-f"]).arg(server.path("tmux.conf")).args(args);
        String::from_utf8_lossy(&output.output().unwrap().stdout).into_owned()
    };
    relative(&["new-session", "-d", "-s", "victim", "-c", "/"]);
    relative(&["new-session", "-d", "-s", "other", "-c", "/"]);
    let stamped = || relative(&["list-sessions", "-F", "#{@roster_uuid}"]).trim().len() > 70;
    if cfg!(target_os = "linux") {
        wait_for(|| stamped().then_some(()), || "the stamps".into());
    }
    relative(&["send-keys", "-t", "=victim:", &format!("{ROSTER} kill victim"), "Enter"]);
    let sessions = || relative(&["list-sessions", "-F", "#{session_name}"]);
    if cfg!(target_os = "linux") {
        wait_for(|| (sessions() == "other\n").then_some(()), sessions);
    }
    assert_eq!(default(&["list-sessions", "-F", "#{session_name}"]), "victim\n");
    relative(&["kill-server"]);
    default(&["kill-server"]);
}

#[test]
fn a_server_that_was_started_in_a_pane_has_none_of_that_ones_identity() {
    let server = Server::with_plugin("");
    let mut command = server.command(tmux_program());
    let uuid = "11111111-1111-4111-8111-111111111111";
    command.env("ROSTER_UUID", uuid).env("ROSTER_SESSION", "outer").env("ROSTER_MODE", "x");
    command.args(["-L", "s", "-f"]).arg(server.path("tmux.conf"));
    let seen = server.dir("seen");
    command.args(["new-session", "-d", "-s", "one", &format!("env >{seen}; exec sleep 100")]);
    assert!(command.status().unwrap().success());
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    let first_pane = std::fs::read_to_string(&seen).unwrap();
    assert!(!first_pane.contains(uuid) && !first_pane.contains("outer"), "{first_pane}");
    let global = server.tmux(&["show-environment", "-g"]);
    assert!(!global.contains(uuid) && !global.contains("outer"), "{global}");
    assert_ne!(server.uuid("one"), uuid);
}

#[test]
fn loading_again_for_the_status_line_leaves_the_programs_of_other_servers_alone() {
    let server = Server::with_plugin(&format!("set -g @roster-binary '{ROSTER}'\n"));
    let data = server.path("home/.local/share/tmux-roster");
    std::fs::create_dir_all(data.join("0.1.0")).unwrap();
    std::os::unix::fs::symlink("0.1.0/roster", data.join("roster")).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let _client = server.attach("one");
    wait_for(
        || (!server.tmux(&["show-hooks", "-g"]).contains("[4244]")).then_some(()),
        || "the hook for the first client done".into(),
    );
    server.wait_for_end_of("load --status");
    assert_eq!(std::fs::read_link(data.join("roster")).unwrap(), Path::new("0.1.0/roster"));
}

#[test]
fn a_socket_has_one_registry_however_it_is_spelled() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.crash();
    std::os::unix::fs::symlink(server.path("tmp"), server.path("link")).unwrap();
    let folder = server.path("tmp").read_dir().unwrap().next().unwrap().unwrap().file_name();
    let folder = folder.to_str().unwrap();
    for socket in [format!("../tmp/{folder}/s"), server.dir(&format!("link/{folder}/s"))] {
        let mut command = server.command(ROSTER);
        let output = command.args(["-S", &socket, "names"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "one\n", "{socket}");
    }
    // A link makes a path short that is too long for a socket.
    let deep = server.path(&"d".repeat(100));
    std::fs::create_dir(&deep).unwrap();
    std::os::unix::fs::symlink(&deep, server.path("k")).unwrap();
    let socket = server.dir("k/s");
    let mut command = server.command(tmux_program());
    command.args(["-S", &socket, "-f"]).arg(server.path("tmux.conf"));
    assert!(command.args(["new-session", "-d", "-s", "deep"]).status().unwrap().success());
    let names = || {
        let mut command = server.command(ROSTER);
        let output = command.args(["-S", &socket, "list"]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait_for(|| names().contains("deep").then_some(()), names);
    let mut command = server.command(tmux_program());
    command.args(["-S", &socket, "kill-server"]).status().unwrap();
}

#[test]
fn a_folder_that_is_not_utf_8_is_refused_in_words() {
    use std::os::unix::ffi::OsStrExt;
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let mut command = server.command(ROSTER);
    let state = server.path("").join(std::ffi::OsStr::from_bytes(b"st\xff"));
    let output = command.env("XDG_STATE_HOME", state).args(["-L", "s", "load"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("is not UTF-8"), "{said}");
}

#[test]
fn a_server_without_sessions_keeps_what_it_closed_as_closed() {
    let server = Server::with_plugin("set -s exit-empty off\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    server.tmux(&["kill-session", "-t", &server.id("one")]);
    server.wait_for_names(&[]);
    assert!(Path::new(&server.registry_path()).exists());
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["two"]);
    assert!(server.roster(&["closed"]).contains("one"));
}
