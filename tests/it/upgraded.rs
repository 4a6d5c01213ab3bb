//! tmux is replaced on the disk while its server runs, as an upgrade does: the client that is at
//! its path then may be one that the server never answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::env::{
    PLUGIN, ROSTER, Server, build_in, copy_plugin, copy_program, script, skip, stderr,
    tmux_program, try_out, wait_for, with_copy,
};

/// What has to come back, on a loaded machine.
const BOUND: Duration = Duration::from_secs(15);

/// A server that was started by a tmux of its own.
struct Upgraded {
    server: Server,
    program: PathBuf,
}

impl Upgraded {
    fn start(server: Server, name: &str) -> Upgraded {
        let program = server.path("bin").join(name);
        fs::create_dir(server.path("bin")).unwrap();
        copy_program(&tmux_program(), &program);
        let mut command = server.command(&program);
        command.args(["-L", "s", "-f"]).arg(server.path("tmux.conf"));
        let started = command.args(["new-session", "-d", "-s", "one"]).output().unwrap();
        assert!(started.status.success(), "{}", stderr(&started));
        Upgraded { server, program }
    }

    /// A client that waits for ever, as one does whose server speaks another protocol.
    fn waiting_client(&self) -> PathBuf {
        let (stub, calls) = (self.server.path("waits"), self.server.dir("calls"));
        let body = "[ \"$1\" = -V ] && echo 'tmux 9.8' && exit\n";
        script(&stub, &format!("{body}echo \"$*\" >>'{calls}'\nexec sleep 100"));
        stub
    }

    fn replace_by(&self, other: &Path) {
        let new = self.server.path("bin/new");
        copy_program(other, &new);
        fs::rename(&new, &self.program).unwrap();
    }

    /// What was asked of the client that waits.
    fn calls(&self) -> String {
        fs::read_to_string(self.server.path("calls")).unwrap_or_default()
    }

    /// Nobody is told to call a process: its id is another's one day.
    fn check_what_is_told(&self) {
        let server = &self.server;
        let run = server.tmux(&["show-options", "-gqv", "@roster_run"]);
        assert!(run.contains(&format!("--tmux '{}'", self.program.display())), "{run}");
        let told = server.tmux(&["show-environment", "-g", "ROSTER_TMUX"]);
        assert_eq!(told, format!("ROSTER_TMUX={}", self.program.display()));
        for what in ["show-options", "show-hooks", "show-environment"] {
            let all = server.tmux(&[what, "-g"]);
            assert!(!all.contains("/proc/"), "{what}: {all}");
        }
    }

    /// What a command line typed in a pane prints.
    fn typed(&self, name: &str, line: &str) -> String {
        let (server, file) = (&self.server, self.server.dir(name));
        let line = format!("{line} >{file}.new 2>&1; mv {file}.new {file}");
        server.tmux(&["send-keys", "-t", &format!("{}:", server.id("one")), &line, "Enter"]);
        wait_for(|| fs::read_to_string(&file).ok(), || format!("the end of {line}"))
    }
}

/// Without /proc nobody tells what a server runs.
fn is_told() -> bool {
    cfg!(target_os = "linux")
}

/// The waiting one, and those programs of other versions that there are.
fn check_with(other: Option<&Path>) {
    let upgraded = Upgraded::start(Server::with_plugin(""), "tmux");
    let server = &upgraded.server;
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let waiting = upgraded.waiting_client();
    upgraded.replace_by(other.unwrap_or(&waiting));

    // Hooks.
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.wait_for_jobs();
    // Commands, from outside and in a pane, where TMUX tells the server, and where it does not.
    server.wait_until_quiet();
    assert_eq!(server.roster(&["list"]).matches("live").count(), 2);
    for (name, line) in [
        ("inside", format!("{ROSTER} new -d three")),
        ("other-session", format!("{ROSTER} list")),
        ("no-tmux", format!("TMUX= {ROSTER} -S \"$ROSTER_SOCKET\" list")),
    ] {
        let said = upgraded.typed(name, &line);
        assert!(said.is_empty() || said.matches("live").count() == 3, "{name}: {said}");
    }
    server.wait_for_names(&["one", "three", "two"]);
    // Keys, and what a client starts that comes.
    let client = server.attach("one");
    client.press(&["C-b"]);
    client.press(&["A"]);
    client.wait_to_see("check its health");
    client.press(&["h"]);
    client.wait_to_see("roster: ok");
    // Reloading.
    let started = Instant::now();
    server.tmux(&["run-shell", PLUGIN]);
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    upgraded.check_what_is_told();
    let id = server.id("three");
    server.tmux(&["rename-session", "-t", &id, "tres"]);
    server.wait_for_names(&["one", "tres", "two"]);
    server.wait_until_idle();
    // So does whoever lives on without any tmux on the disk.
    fs::remove_file(&upgraded.program).unwrap();
    server.tmux(&["rename-session", "-t", &id, "three"]);
    server.wait_for_names(&["one", "three", "two"]);
    server.roster(&["sync"]);
    upgraded.replace_by(other.unwrap_or(&waiting));

    let doctor = server.try_roster(&["doctor"]);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.status.success(), "{said}");
    assert!(said.contains("note     tmux         tmux was upgraded under the running server"));
    assert!(said.contains("restart the server when convenient"), "{said}");
    assert!(other.is_some() || said.contains("/tmux is 9.8 now"), "{said}");
    assert_eq!(upgraded.calls(), "", "the other is asked for its version alone");

    let uninstall = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/uninstall");
    let removed = server.command(uninstall).output().unwrap();
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(!server.tmux(&["show-hooks", "-g"]).contains("4242"));
}

#[test]
fn the_program_of_a_running_server_is_called_where_another_is_at_its_place() {
    if !is_told() {
        return;
    }
    check_with(None);
    let others = std::env::var_os("TEST_TMUX_OTHER").unwrap_or_default();
    for other in std::env::split_paths(&others).filter(|path| path.is_file()) {
        check_with(Some(&other));
    }
}

/// As the path of a program reads that is not there any more.
#[test]
fn a_program_may_be_called_deleted() {
    if !is_told() {
        return;
    }
    let upgraded = Upgraded::start(Server::with_plugin(""), "tmux (deleted)");
    let server = &upgraded.server;
    server.wait_for_names(&["one"]);
    // At the path that it would have had.
    copy_program(&upgraded.waiting_client(), &upgraded.program.with_file_name("tmux"));
    upgraded.check_what_is_told();
    let check = |name: &str| {
        server.tmux(&["new-session", "-d", "-s", name]);
        server.wait_for_name(name);
        server.wait_until_idle();
        assert!(upgraded.typed(name, &format!("{ROSTER} list")).contains(name));
        server.tmux(&["run-shell", PLUGIN]);
        upgraded.check_what_is_told();
        // A job that found the program before it was replaced calls it by its path once more.
        server.wait_until_idle();
    };
    check("two");
    upgraded.replace_by(&upgraded.waiting_client());
    check("three");
    assert_eq!(upgraded.calls(), "");
}

#[test]
fn a_message_is_shown_by_the_program_that_the_server_runs() {
    if !is_told() {
        return;
    }
    // It is told while the configuration is loaded, and nothing is installed after that.
    let server = with_copy("plugin", "set -g @roster-binary /dev/null");
    build_in(&server.path("plugin"));
    let upgraded = Upgraded::start(server, "tmux");
    let server = &upgraded.server;
    let waits = || server.tmux(&["show-hooks", "-g"]).contains("[4243]");
    assert!(waits());
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    upgraded.replace_by(&upgraded.waiting_client());
    let client = server.attach("one");
    client.wait_to_see("@roster-binary is not a roster program");
    wait_for(|| (!waits()).then_some(()), || "the message's own end".into());
    assert_eq!(upgraded.calls(), "");
}

/// A command where there is no /proc, as on macOS.
fn without_proc(server: &Server, command: &Command) -> Output {
    let mut there = server.command("unshare");
    let body = "mount -t tmpfs none /proc && exec \"$@\"";
    there.args(["-m", "sh", "-c", body, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        value.map(|value| there.env(name, value));
    }
    there.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

#[test]
fn where_nobody_tells_what_the_server_runs_it_is_said_in_time_that_it_does_not_answer() {
    let mut trial = Command::new("unshare");
    let tried = try_out(trial.args(["-m", "mount", "-t", "tmpfs", "none", "/proc"]));
    if let Err((lack, said)) = tried {
        return skip("a system without /proc", lack, &said);
    }
    let upgraded = Upgraded::start(Server::with_plugin(""), "tmux");
    let server = &upgraded.server;
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let before = server.registry();
    // The one on PATH is the new one, too.
    let stub = upgraded.waiting_client();
    upgraded.replace_by(&stub);
    fs::create_dir(server.path("traps")).unwrap();
    copy_program(&stub, &server.path("traps/tmux"));
    let socket = server.published(&upgraded.program)[0].1.display().to_string();
    let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]);

    let mut typed = server.command(ROSTER);
    typed.args(["-L", "s", "sync"]);
    let in_a_pane = |command: &mut Command| {
        command.envs(server.published(&upgraded.program)).env("TMUX", format!("{socket},{pid},0"));
    };
    let mut inside = server.command(ROSTER);
    in_a_pane(inside.arg("sync"));
    for command in [typed, inside] {
        let started = Instant::now();
        let output = without_proc(server, &command);
        let said = stderr(&output);
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("roster: tmux did not answer within 2"), "{said}");
        assert!(said.contains("the server is of another version"), "{said}");
    }
    // With a program at its place, and without.
    let with_program = server.path("plugin");
    copy_plugin(&with_program);
    build_in(&with_program);
    for plugin in [Path::new(PLUGIN), &with_program.join("plugin.tmux")] {
        let mut plugin = server.command(plugin);
        in_a_pane(&mut plugin);
        let started = Instant::now();
        let output = without_proc(server, &plugin);
        assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        assert!(said.starts_with("tmux-roster: tmux did not answer within 3"), "{said}");
        assert!(said.contains("the server is of another version"), "{said}");
    }
    let log = fs::read_to_string(server.registry_path().with_file_name("roster.log")).unwrap();
    assert!(log.contains("load: tmux did not answer within 3"), "{log}");
    assert_eq!(server.registry(), before);
}
