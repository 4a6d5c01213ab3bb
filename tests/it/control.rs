//! Clients in control mode (`tmux -C`: terminals, editors and libraries) are sent nothing that they
//! did not ask for; and whatever client comes and goes, no event is missed.

use std::time::{Duration, Instant};

use crate::env::{Client, ControlClient, Server, tmux_program, wait_for, wait_until_past};

/// What a control client is told from its attach on, while sessions come, change and go, other
/// clients come and go, and the plugin is loaded again.
fn told(server: &Server, is_loaded: bool) -> Vec<String> {
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let clients = |count: usize| {
        let listed = || server.tmux(&["list-clients", "-F", "x"]).lines().count();
        wait_for(|| (listed() == count).then_some(()), || format!("{count} clients"));
    };
    let settle = || {
        if is_loaded {
            server.wait_until_idle();
        }
    };
    settle();
    let mut client = ControlClient::attach(server, "=one");
    assert_eq!(client.ask("display-message -p first"), "first");
    settle();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    assert_eq!(client.ask("display-message -p second"), "second");
    settle();
    server.tmux(&["rename-session", "-t", "=two:", "three"]);
    settle();
    let other = server.attach("=one");
    settle();
    server.tmux(&["switch-client", "-c", &other.name(), "-t", &server.id("three")]);
    settle();
    server.tmux(&["detach-client", "-t", &other.name()]);
    clients(1);
    settle();
    server.tmux(&["kill-session", "-t", &server.id("three")]);
    settle();
    // What happens to windows and panes has hooks of its own, and jobs that come later.
    for commands in [
        &["new-window -d -n two -t one:5", "split-window -d -t one:5", "select-window -t one:5"][..],
        &["select-pane -t one:5.1", "resize-pane -t one:5.1 -D 2", "rotate-window -t one:5"],
        &["break-pane -d -s one:5.0 -t one:7", "link-window -d -s one:7 -t one:8"],
        &["unlink-window -t one:8", "join-pane -b -d -s one:7 -t one:5", "kill-window -t one:5"],
    ] {
        for command in commands {
            assert_eq!(client.ask(command), "", "{command}");
            assert_eq!(client.ask("display-message -p '#S, then'"), "one, then", "{command}");
        }
        settle();
    }
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux");
    server.tmux(&["run-shell", if is_loaded { plugin } else { "true" }]);
    settle();
    // The first attach after loading has a hook of its own.
    let other = ControlClient::attach(server, "=one");
    settle();
    other.leave();
    clients(1);
    settle();
    assert_eq!(client.ask("display-message -p last"), "last");
    let transcript = client.transcript();
    client.leave();
    transcript
}

#[test]
fn a_control_client_is_told_what_it_is_told_without_the_plugin() {
    let without = told(&Server::with_config(""), false);
    let with = told(&Server::with_plugin(""), true);
    assert_eq!(with, without);
}

/// How the client that has just made a session goes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Goes {
    /// By itself, with the next command.
    Detached,
    /// With its terminal.
    Closed,
    /// By a signal to it.
    HungUp,
    Killed,
    /// A client in control mode whose standard input is closed, and one that is killed.
    Left,
    Ended,
}

/// `new-session -d` by a client that is gone a moment later, in every way in which clients go: each
/// is seen by itself, since the look of another event would see it too. Clients of the same kind
/// are alone or have another beside them.
#[test]
fn no_event_is_missed_whatever_client_comes_and_goes() {
    use Goes::*;
    let soak = std::env::var_os("ROSTER_SOAK").is_some();
    for _ in 0..if soak { 10 } else { 1 } {
        let server = Server::with_plugin("");
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_until_idle();
        for round in 0..if soak { 10_u64 } else { 2 } {
            let _other = (round % 2 == 1).then(|| server.attach("=one"));
            for goes in [Detached, Closed, HungUp, Killed, Left, Ended] {
                // tmux 3.4 dies of an event in the very moment in which a control client comes.
                server.wait_until_idle();
                // From at once to a little after the job has started.
                let moment = Duration::from_millis(round * 7 % 40);
                make_and_go(&server, goes, &format!("{goes:?}{round}"), moment);
            }
        }
    }
}

/// Has a client make a session and go, and waits until it is recorded.
fn make_and_go(server: &Server, goes: Goes, name: &str, moment: Duration) {
    let tmux = tmux_program().display().to_string();
    let make = format!("new-session -d -s {name}");
    let attach = format!("{tmux} -L s attach -t =one \\; {make}");
    let exists = || {
        let listed = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        listed.lines().any(|line| line == name).then_some(())
    };
    // The shell sees the session and ends the client in the very next moment.
    let signalled = |signal: &str| {
        let sleep = moment.as_secs_f64();
        format!(
            "{{ until {tmux} -L s has-session -t ={name}; do :; done; sleep {sleep}; \
             kill -{signal} $$; }} & exec {attach}"
        )
    };
    match goes {
        Goes::Detached => drop(Client::start(server, &format!("{attach} \\; detach-client"))),
        Goes::HungUp => drop(Client::start(server, &signalled("HUP"))),
        Goes::Killed => drop(Client::start(server, &signalled("KILL"))),
        Goes::Closed => {
            let client = Client::start(server, &format!("exec {attach}"));
            wait_for(exists, || format!("the session {name}"));
            wait_until_past(Instant::now(), moment);
            client.close();
        }
        Goes::Left | Goes::Ended => {
            let mut control = ControlClient::attach(server, "=one");
            control.say(&make);
            wait_for(exists, || format!("the session {name}"));
            wait_until_past(Instant::now(), moment);
            if goes == Goes::Left { control.leave() } else { control.kill() }
        }
    }
    server.wait_for_name(name);
}
