//! Clients in control mode (`tmux -C`: terminals, editors and libraries) are sent nothing that they
//! did not ask for; and whatever client comes and goes, no event is missed.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::env::{Client, Server, tmux_program, wait_for};

/// A client in control mode. It takes the first reply that comes after a command of its own for
/// the answer, as such programs do.
pub struct ControlClient {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<Mutex<String>>,
    read_to: usize,
}

impl ControlClient {
    pub fn attach(server: &Server, session: &str) -> ControlClient {
        let mut command = server.command(tmux_program());
        command.args(["-u", "-L", "s", "-C", "attach", "-t", session]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("tmux runs");
        let said = Arc::new(Mutex::new(String::new()));
        let (into, mut from) = (said.clone(), child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = from.read(&mut chunk) {
                into.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let stdin = child.stdin.take();
        let mut client = ControlClient { child, stdin, said, read_to: 0 };
        // The attach itself is answered.
        client.next_reply();
        client
    }

    pub fn say(&mut self, command: &str) {
        let stdin = self.stdin.as_mut().expect("it is open");
        stdin.write_all(format!("{command}\n").as_bytes()).expect("a command");
    }

    /// What stands in the first reply after those that were read.
    fn next_reply(&mut self) -> String {
        let at = self.read_to;
        let found = || {
            let said = self.said.lock().unwrap();
            let from = at + said[at..].find("%begin ")?;
            let body = from + said[from..].find('\n')? + 1;
            let end =
                body + ["%end ", "%error "].iter().filter_map(|e| said[body..].find(e)).min()?;
            let after = end + said[end..].find('\n')? + 1;
            Some((said[body..end].trim_end().to_owned(), after))
        };
        let (reply, after) =
            wait_for(found, || format!("a reply in {}", self.said.lock().unwrap()));
        self.read_to = after;
        reply
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.next_reply()
    }

    /// All that was said so far, less what differs from run to run: times and numbers of replies,
    /// what panes print, names that follow the program in front, and how fast a client gets its size.
    pub fn transcript(&self) -> Vec<String> {
        let varies =
            ["%output ", "%layout-change ", "%window-renamed ", "%unlinked-window-renamed "];
        let kept =
            |line: &&str| !line.is_empty() && !varies.iter().any(|start| line.starts_with(start));
        let plain = |line: &str| match line.split_once(' ') {
            Some((word @ ("%begin" | "%end" | "%error"), _)) => word.to_owned(),
            // The name of the client.
            Some((word @ ("%client-session-changed" | "%client-detached"), rest)) => {
                format!("{word} {}", rest.split_once(' ').map_or("", |(_, rest)| rest))
            }
            _ => line.to_owned(),
        };
        self.said.lock().unwrap().lines().filter(kept).map(plain).collect()
    }

    /// Ends it, as closing its program's window does.
    pub fn leave(mut self) {
        drop(self.stdin.take());
        self.child.wait().expect("its end");
    }

    pub fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }
}

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
            std::thread::sleep(moment);
            client.close();
        }
        Goes::Left | Goes::Ended => {
            let mut control = ControlClient::attach(server, "=one");
            control.say(&make);
            wait_for(exists, || format!("the session {name}"));
            std::thread::sleep(moment);
            if goes == Goes::Left { control.leave() } else { control.kill() }
        }
    }
    server.wait_for_name(name);
}
