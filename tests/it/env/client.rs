//! Clients: on a terminal, and in control mode.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};

use super::{Server, tmux_program, wait_for};

/// A real client: `tmux attach` in a pane of another private server.
pub struct Client<'a> {
    server: &'a Server,
    pane: String,
}

impl<'a> Client<'a> {
    pub fn attach(server: &'a Server, session: &str) -> Client<'a> {
        Client::attach_sized(server, session, (100, 30))
    }

    /// A client on a terminal of so many columns and rows.
    pub fn attach_sized(server: &'a Server, session: &str, size: (u32, u32)) -> Client<'a> {
        let before = server.tmux(&["list-clients", "-F", "#{client_name}"]);
        let command = format!(
            "exec {} -u -L {} attach -t '{session}'",
            tmux_program().display(),
            server.name
        );
        let client = Client::start_sized(server, size, &command);
        wait_for(
            || (server.tmux(&["list-clients", "-F", "#{client_name}"]) != before).then_some(()),
            || "the client".into(),
        );
        // Before its first paint, keys may be taken for the terminal's answers.
        wait_for(|| (!client.screen().trim().is_empty()).then_some(()), || "its paint".into());
        client
    }

    /// Runs a command on a terminal of its own.
    pub fn start(server: &'a Server, command: &str) -> Client<'a> {
        Client::start_sized(server, (100, 30), command)
    }

    /// The same with a terminal of so many columns and rows.
    pub fn start_sized(server: &'a Server, size: (u32, u32), command: &str) -> Client<'a> {
        let (columns, rows) = (size.0.to_string(), size.1.to_string());
        let start = || {
            let output = server
                .command(tmux_program())
                .args(["-u", "-L", "outer", "-f", "/dev/null", "new-session", "-d", "-x", &columns])
                .args(["-y", &rows, "-P", "-F", "#{pane_id}"])
                .arg(format!("unset TMUX TMUX_PANE; {command}"))
                .output()
                .expect("tmux runs");
            // The server may just be ending with the client before this one.
            let ending = String::from_utf8_lossy(&output.stderr).contains("server exited");
            (!ending).then_some(output)
        };
        let output = wait_for(start, || "a server for the client".into());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let pane = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let client = Client { server, pane };
        // A status line takes a row of what new-session is told, and tmux 3.2 takes no size there.
        let pane = client.pane.as_str();
        client.outer(&["resize-window", "-t", pane, "-x", &columns, "-y", &rows]);
        client
    }

    fn outer(&self, args: &[&str]) -> String {
        let output = self
            .server
            .command(tmux_program())
            .args(["-u", "-L", "outer"])
            .args(args)
            .output()
            .expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What tmux calls it: its terminal.
    pub fn name(&self) -> String {
        let printed = self.outer(&["display-message", "-p", "-t", &self.pane, "#{pane_tty}"]);
        printed.trim().to_owned()
    }

    /// Closes its terminal.
    pub fn close(self) {
        self.outer(&["kill-pane", "-t", &self.pane]);
    }

    /// Presses keys.
    pub fn press(&self, keys: &[&str]) {
        let mut args = vec!["send-keys", "-t", self.pane.as_str()];
        args.extend(keys);
        self.outer(&args);
    }

    /// What the user sees.
    pub fn screen(&self) -> String {
        self.outer(&["capture-pane", "-p", "-t", &self.pane])
    }

    /// Waits until the user sees a text.
    pub fn wait_to_see(&self, text: &str) {
        wait_for(
            || self.screen().contains(text).then_some(()),
            || format!("{text:?} on the screen:\n{}", self.shown()),
        );
    }

    /// The screen for a failure's message, without what is empty in it: CI keeps little of a
    /// message.
    pub fn shown(&self) -> String {
        let screen = self.screen();
        let lines =
            screen.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let is_empty = |line: &String| line.chars().all(|c| "│┌┐└┘─╭╮╰╯ ".contains(c));
        lines.filter(|line| !is_empty(line)).collect::<Vec<_>>().join("\n")
    }
}

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
        let (reply, after) = wait_for(found, || format!("a reply in {}", self.said()));
        self.read_to = after;
        reply
    }

    pub fn ask(&mut self, command: &str) -> String {
        self.say(command);
        self.next_reply()
    }

    /// All that was said so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// The same less what differs from run to run: times and numbers of replies,
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
        self.said().lines().filter(kept).map(plain).collect()
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

impl Drop for ControlClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
