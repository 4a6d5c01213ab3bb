//! The notice of what was lost with the last server: to whom, when, and how often.

use std::time::{Duration, Instant};

use crate::env::{
    Client, ControlClient, PLUGIN, ROSTER, Server, check_stays, script, tmux_program, tmux_version,
    wait_for,
};

/// A server with these sessions, which then crashes.
fn crashed(config: &str, names: &[&str]) -> Server {
    let server = Server::with_plugin(config);
    let mut recorded = server.names();
    for name in names {
        server.tmux(&["new-session", "-d", "-s", name, "-c", &server.dir("b")]);
        recorded.push((*name).to_owned());
    }
    server.wait_for_names(&recorded.iter().map(String::as_str).collect::<Vec<_>>());
    server.wait_until_idle();
    server.crash();
    server
}

/// Whether the notice is still to be told.
fn waits(server: &Server) -> bool {
    server.tmux(&["show-hooks", "-g"]).contains("client-session-changed[4247]")
}

fn wait_until_over(server: &Server) {
    wait_for(|| (!waits(server)).then_some(()), || "the end of the notice".into());
    server.wait_for_end_of("roster notice");
}

const TOLD: &str = "lost with the last server: prefix + ";

#[test]
fn the_first_client_of_each_new_server_is_told_once() {
    let server = crashed("", &["v", "w"]);
    // It may be the one that starts the server.
    let start = || {
        let conf = server.dir("tmux.conf");
        let tmux = tmux_program().display().to_string();
        Client::start(&server, &format!("exec {tmux} -u -L s -f '{conf}' new-session -s mine"))
    };
    let client = start();
    // Once ever it is said how to have it done.
    client.wait_to_see(
        "2 sessions were lost with the last server: prefix + G (automatically: set -g @roster-r",
    );
    wait_until_over(&server);
    let other = server.attach("=mine");
    server.wait_until_idle();
    check_stays(Duration::from_secs(3), || !other.screen().contains(TOLD), || other.shown());
    assert!(!waits(&server));
    drop((client, other));

    // Those two were lost before.
    server.tmux(&["new-session", "-d", "-s", "third"]);
    server.wait_for_name("third");
    server.wait_until_idle();
    server.crash();
    let client = start();
    client.wait_to_see("1 session was lost with the last server: prefix + G");
    assert!(!client.screen().contains("@roster-restore"));
    drop(client);
}

#[test]
fn who_cannot_press_a_key_is_not_told_and_the_next_who_can_is() {
    let server = crashed("set -g @roster-pick-key M-#\n", &["v", "w", "x"]);
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    wait_for(|| waits(&server).then_some(()), || "the notice for the first client".into());
    let mut program = ControlClient::attach(&server, "=mine");
    assert_eq!(program.ask("display-message -p first"), "first");
    let watcher = Client::start(
        &server,
        &format!("exec {} -L s attach -r -t =mine", tmux_program().display()),
    );
    watcher.wait_to_see("mine");
    server.wait_until_idle();
    server.wait_for_end_of("roster notice");
    assert!(waits(&server), "nobody has seen it");
    let client = server.attach("=mine");
    client.wait_to_see(&format!("3 sessions were {TOLD}M-#"));
    wait_until_over(&server);
    assert!(!watcher.screen().contains(TOLD));
    assert_eq!(program.ask("display-message -p last"), "last");
    let said = program.said();
    assert!(!said.contains(TOLD) && !said.contains("%message"), "{said}");
    // One for attaching, and one for each question.
    assert_eq!(said.matches("%begin ").count(), 3, "{said}");
}

#[test]
fn whoever_makes_a_lost_session_again_is_told_of_its_windows() {
    // Sessions may come back by themselves: these windows do not.
    for config in ["", "set -g @roster-restore on"] {
        let server = Server::running(config);
        server.tmux(&["new-window", "-d", "-n", "logs", "-t", "=one:5"]);
        server.tmux(&["new-window", "-d", "-n", "more", "-t", "=one:7"]);
        wait_for(
            || server.roster(&["windows", "one"]).contains("more").then_some(()),
            || "the windows on record".into(),
        );
        server.crash();
        let conf = server.dir("tmux.conf");
        let (tmux, home) = (tmux_program().display().to_string(), server.dir("a"));
        let start = format!("cd '{home}' && exec {tmux} -u -L s -f '{conf}' new-session -A -s one");
        let client = Client::start(&server, &start);
        client.wait_to_see("2 windows of one were lost with the last server: prefix + B");
        wait_until_over(&server);
        client.press(&["C-b", "B"]);
        client.wait_to_see("reopened 2 windows of one");
        assert_eq!(server.tmux(&["list-windows", "-t", "=one:"]).lines().count(), 3);
    }
}

#[test]
fn whoever_takes_the_name_of_a_lost_session_is_told_of_that_one() {
    // Before, the name alone says which one it is.
    if tmux_version() < (3, 2) {
        return;
    }
    let told = [
        (
            "",
            "1 session was lost with the last server, and an earlier session named one was set aside: prefix + G",
        ),
        ("set -g @roster-restore on", "an earlier session named one was set aside: prefix + G"),
    ];
    for (config, text) in told {
        let server = crashed(config, &["one", "two"]);
        let conf = server.dir("tmux.conf");
        let (tmux, other) = (tmux_program().display().to_string(), server.dir("c"));
        let start =
            format!("cd '{other}' && exec {tmux} -u -L s -f '{conf}' new-session -A -s one");
        let client = Client::start(&server, &start);
        client.wait_to_see(text);
        assert!(server.roster(&["closed"]).contains("one"));
    }
}

#[test]
fn a_program_that_changes_sessions_all_the_time_starts_no_crowd() {
    let server = crashed("", &["v", "w"]);
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.wait_until_idle();
    let notes = server.dir("notices");
    let counting = format!("[ \"$1\" = notice ] && echo >>'{notes}'\nexec '{ROSTER}' \"$@\"");
    script(&server.path("counting"), &counting);
    server.tmux(&["set-option", "-g", "@roster_program", &server.dir("counting")]);
    let began = Instant::now();
    let mut program = ControlClient::attach(&server, "=mine");
    for _ in 0..50 {
        program.say("switch-client -t =other:");
        program.say("switch-client -t =mine:");
    }
    program.say("display-message -p last");
    wait_for(|| program.said().contains("\nlast\n").then_some(()), || program.said());
    let seconds = began.elapsed().as_secs() as usize;
    wait_for(|| server.path("notices").exists().then_some(()), || "the first notice".into());
    server.wait_for_end_of("roster notice");
    let started = std::fs::read_to_string(notes).unwrap().lines().count();
    assert!(started <= seconds + 2, "{started} in {seconds} s");
    assert!(waits(&server), "nobody has seen it");
}

#[test]
fn a_prompt_keeps_what_was_typed_and_a_message_stands_as_long_as_the_user_has_it() {
    let server = crashed("set -g display-time 0\n", &["v", "w"]);
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    let client = server.attach("=mine");
    client.press(&["C-b", ":"]);
    // Keys that come all at once are a paste.
    wait_for(
        || client.screen().trim_end().ends_with("\n:").then_some(()),
        || format!("the prompt: {}", client.shown()),
    );
    client.press(&["rename-session o"]);
    client.wait_to_see(TOLD);
    wait_until_over(&server);
    // It waits for a key, as the option says.
    check_stays(Duration::from_secs(7), || client.screen().contains(TOLD), || client.shown());
    client.press(&["ther", "Enter"]);
    server.wait_for_name("other");
    assert_eq!(server.tmux(&["show-options", "-gv", "display-time"]), "0");
    assert_eq!(server.tmux(&["show-options", "-t", "=other:"]).matches("display-time").count(), 0);
}

#[test]
fn nobody_is_told_where_it_is_off_or_nothing_is_to_be_done() {
    for (config, names) in [
        ("set -g @roster-notice off", &["v", "w"][..]),
        ("set -g @roster-restore on", &["v", "w"]),
        ("set -g @continuum-restore on", &["v", "w"]),
        ("set -g @roster-restore on\nset -g @continuum-restore on", &["v"]),
        ("", &["0"]),
    ] {
        let server = crashed(config, names);
        server.tmux(&["new-session", "-d", "-s", "mine"]);
        let client = server.attach("=mine");
        server.wait_until_idle();
        wait_until_over(&server);
        check_stays(
            Duration::from_secs(2),
            || !client.screen().contains("lost"),
            || format!("{config}: {}", client.shown()),
        );
        assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_noticed"]), "", "{config}");
    }
}

#[test]
fn what_came_back_before_the_first_client_came_is_not_told() {
    let server = crashed("", &["v", "w"]);
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    wait_for(|| waits(&server).then_some(()), || "the notice for the first client".into());
    server.roster(&["restore", "--all"]);
    let client = server.attach("=mine");
    wait_until_over(&server);
    assert!(!client.screen().contains("lost with"));
}

#[test]
fn without_a_key_of_ours_the_command_is_named_and_the_key_that_reopens_names_the_way() {
    let server = crashed("bind-key G display-message mine\n", &["v", "w"]);
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    let client = server.attach("=mine");
    // By the program's path, where the PATH of the server has none.
    client.wait_to_see("2 sessions were lost: ");
    client.wait_to_see("restore --all");
    client.press(&["C-b", "B"]);
    client.wait_to_see("roster: nothing was closed; 2 sessions were lost: ");
    server.tmux(&["unbind-key", "G"]);
    server.tmux(&["run-shell", PLUGIN]);
    server.wait_until_idle();
    client.press(&["C-b", "B"]);
    client.wait_to_see("roster: nothing was closed; 2 sessions were lost: prefix + G");
}
