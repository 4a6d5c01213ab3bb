//! A private tmux server in a folder of its own, with a cleared environment.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::Value;

use super::{Client, Folder, PATIENCE, ROSTER, tmux_program, wait_for, write_program};

/// A private server. It is killed when this is dropped.
pub struct Server {
    pub folder: Folder,
    pub(super) name: &'static str,
    config: String,
    user: u32,
    home: &'static str,
}

impl Server {
    /// A server whose configuration loads the plugin as TPM does, and then says `config`.
    /// Nothing is started yet.
    pub fn with_plugin(config: &str) -> Server {
        let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.tmux");
        let binary = format!("set -g @roster-binary '{ROSTER}'\n");
        Server::with_config(&format!(
            "{binary}{config}\nrun-shell '{} >/dev/null 2>&1 || :'\n",
            plugin.display()
        ))
    }

    /// The same, running, with the session `one`, which is recorded.
    pub fn running(config: &str) -> Server {
        let server = Server::with_plugin(config);
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_for_names(&["one"]);
        server.wait_until_idle();
        server
    }

    /// A server with this configuration alone.
    pub fn with_config(config: &str) -> Server {
        let user = rustix::process::getuid().as_raw();
        let (folder, text) = (Folder::new(), config.to_owned());
        let server = Server { folder, name: "s", config: text, user, home: "home" };
        for folder in ["home", "tmp", "a", "b", "c"] {
            fs::create_dir(server.path(folder)).expect("a folder of the test");
        }
        server.write_config(config);
        server
    }

    /// The same for a user whom modes stop: one that is nobody, where the tests run as root.
    pub fn of_ordinary_user(config: &str) -> Server {
        let mut server = Server::with_config(config);
        if server.user == 0 {
            server.user = 65_534;
            for folder in ["", "home", "tmp", "a", "b", "c"] {
                let user = Some(server.user);
                std::os::unix::fs::chown(server.path(folder), user, user).expect("a new owner");
            }
        }
        server
    }

    /// The same with another home folder.
    pub fn at_home(mut self, home: &'static str) -> Server {
        fs::create_dir(self.path(home)).expect("a folder of the test");
        self.home = home;
        self
    }

    /// Takes the right to write in a folder and below from the server's user, or gives it back.
    pub fn lock(&self, folder: &Path, is_locked: bool) {
        let mode = if is_locked { 0o555 } else { 0o755 };
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.lock(&entry.path(), is_locked);
            }
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("a mode");
        if is_locked {
            let file = folder.join("a-trial");
            let tried = self.command("touch").arg(&file).output().expect("touch runs");
            assert!(!tried.status.success() && !file.exists(), "{} is locked", folder.display());
        }
    }

    /// Replaces the configuration for the next start.
    pub fn write_config(&self, config: &str) {
        fs::write(self.path("tmux.conf"), config).expect("tmux.conf");
    }

    pub fn config(&self) -> &str {
        &self.config
    }

    /// A path in the test's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The same as text.
    pub fn dir(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A command in the environment of this test: nothing of ours leaks in.
    pub fn command<S: AsRef<OsStr>>(&self, program: S) -> Command {
        let mut command = Command::new(program);
        let path = self.search_path();
        command
            .env_clear()
            .env("HOME", self.path(self.home))
            .env("TMUX_TMPDIR", self.path("tmp"))
            .env("TMPDIR", self.path("tmp"))
            .env("XDG_RUNTIME_DIR", self.path("tmp"))
            .env("PATH", path)
            .env("SHELL", "/bin/sh")
            .env("TERM", "screen")
            .env("LC_ALL", "C")
            .current_dir(self.path("a"))
            .stdin(Stdio::null());
        if self.user != rustix::process::getuid().as_raw() {
            command.uid(self.user).gid(self.user);
        }
        command
    }

    fn search_path(&self) -> OsString {
        let mut path = self.path("traps").into_os_string();
        path.push(":");
        path.push(tmux_program().parent().unwrap_or(Path::new("/")));
        path.push(":/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin");
        path
    }

    /// Puts a `touch` before all others that notes each call, so that a name that has it called is
    /// found out wherever that happens, be it where nothing can be written.
    pub fn set_trap(&self) {
        let (folder, notes) = (self.path("traps"), self.dir("touched"));
        let body = format!("#!/bin/sh\necho \"touch $* in $PWD\" >>'{notes}'\n");
        write_program(&folder.join("touch"), &body);
    }

    /// Gives the jobs of the server a PATH of one folder, which is returned: only what the plugin needs
    /// and these tools are in it, and the trap.
    pub fn narrow_path(&self, tools: &[&str]) -> PathBuf {
        let bin = self.path("bin");
        fs::create_dir(&bin).unwrap();
        self.set_trap();
        symlink(self.path("traps/touch"), bin.join("touch")).unwrap();
        for tool in ["sh", "readlink", "dirname", "ps", "cat", "sleep"].iter().chain(tools) {
            let found = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool));
            let found = found.iter().find(|path| path.exists());
            symlink(found.unwrap_or_else(|| panic!("{tool} is needed")), bin.join(tool)).unwrap();
        }
        let path = format!("set-environment -g PATH '{}'\n", bin.display());
        self.write_config(&(path + self.config()));
        bin
    }

    /// Every call of the `touch` of [`Server::set_trap`], and every file named `canary`.
    pub fn trapped(&self) -> Vec<String> {
        let notes = fs::read_to_string(self.path("touched")).unwrap_or_default();
        let mut trapped: Vec<String> = notes.lines().map(str::to_owned).collect();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    folders.push(entry.path());
                } else if entry.file_name() == "canary" {
                    trapped.push(entry.path().display().to_string());
                }
            }
        }
        let outside = ["/canary", "canary"].into_iter().filter(|path| Path::new(path).exists());
        trapped.extend(outside.map(str::to_owned));
        trapped
    }

    pub fn socket(&self) -> PathBuf {
        self.path("tmp").join(format!("tmux-{}/{}", self.user, self.name))
    }

    /// What the plugin publishes to the programs of its server, with another tmux program.
    pub fn published(&self, tmux: &Path) -> [(&'static str, PathBuf); 3] {
        let dir = self.registry_path().parent().expect("a folder").to_owned();
        [("ROSTER_SOCKET", self.socket()), ("ROSTER_DIR", dir), ("ROSTER_TMUX", tmux.to_owned())]
    }

    /// Starts the server with the session "one" and this environment alone.
    pub fn start_bare(&self, environment: &[(&str, &str)]) {
        let mut command = self.command(tmux_program());
        command.args(["-L", self.name, "-f"]).arg(self.path("tmux.conf"));
        command.args(["new-session", "-d", "-s", "one"]);
        command.env_clear().env("TMUX_TMPDIR", self.path("tmp")).envs(environment.iter().copied());
        let output = command.output().expect("tmux runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// tmux with these arguments, whatever comes of it.
    pub fn try_tmux<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        self.command(tmux_program())
            .args(["-u", "-L", self.name, "-f"])
            .arg(self.path("tmux.conf"))
            .args(args)
            .output()
            .expect("tmux runs")
    }

    /// tmux with these arguments, which must succeed; returns what it prints.
    pub fn tmux<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let shown: Vec<_> =
            args.iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect();
        let output = self.try_tmux(args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "tmux {shown:?}: {stderr}");
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// The program under test for this server, from outside, by somebody who has it on the PATH.
    pub fn try_roster<S: AsRef<OsStr>>(&self, args: &[S]) -> Output {
        let mut path = self.search_path();
        path.push(":");
        path.push(Path::new(ROSTER).parent().unwrap_or(Path::new("/")));
        let mut command = self.command(ROSTER);
        command.env("PATH", path);
        command.args(["-L", self.name]).args(args).output().expect("roster runs")
    }

    /// The same, which must succeed; returns what it prints.
    pub fn roster<S: AsRef<OsStr>>(&self, args: &[S]) -> String {
        let shown: Vec<_> =
            args.iter().map(|a| a.as_ref().to_string_lossy().into_owned()).collect();
        let start = Instant::now();
        loop {
            let output = self.try_roster(args);
            let stderr = String::from_utf8_lossy(&output.stderr);
            // A loaded machine may take longer than a person waits; these two can be asked again.
            let is_late = stderr.contains("tmux did not answer within")
                && matches!(shown[0].as_str(), "sync" | "list");
            if is_late && start.elapsed() < PATIENCE {
                continue;
            }
            assert!(output.status.success(), "roster {shown:?}: {stderr}");
            return String::from_utf8_lossy(&output.stdout).into_owned();
        }
    }

    /// Where the registry is.
    pub fn registry_path(&self) -> PathBuf {
        let name = tmux_roster::config::server_name(&self.socket());
        self.path(self.home).join(".local/state/tmux-roster").join(name).join("sessions.json")
    }

    /// The file as JSON; `Null` if there is none.
    pub fn registry(&self) -> Value {
        match fs::read(self.registry_path()) {
            Ok(bytes) => serde_json::from_slice(&bytes).expect("the registry is whole at any time"),
            Err(_) => Value::Null,
        }
    }

    /// The recorded names, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        let registry = self.registry();
        let sessions = registry["sessions"].as_object().cloned().unwrap_or_default();
        let mut names: Vec<String> = sessions.keys().cloned().collect();
        names.sort();
        names
    }

    /// A field of a record.
    pub fn field(&self, name: &str, field: &str) -> String {
        self.registry()["sessions"][name][field].as_str().unwrap_or_default().to_owned()
    }

    pub fn uuid(&self, name: &str) -> String {
        let uuid = self.field(name, "uuid");
        assert_eq!(uuid.len(), 36, "{name} has a UUID in {}", self.registry());
        uuid
    }

    /// `$3` of a session.
    pub fn id(&self, name: &str) -> String {
        let listed = self.tmux(&["list-sessions", "-F", "#{session_id} #{session_name}"]);
        let line = listed.lines().find(|line| line.split_once(' ').is_some_and(|l| l.1 == name));
        line.and_then(|line| line.split(' ').next()).expect("the session lives").to_owned()
    }

    /// Waits until the registry has exactly these names.
    pub fn wait_for_names(&self, names: &[&str]) {
        let mut wanted: Vec<&str> = names.to_vec();
        wanted.sort_unstable();
        wait_for(
            || (self.names() == wanted).then_some(()),
            || format!("the names {wanted:?}, there are {:?}", self.names()),
        );
    }

    /// Waits until this is one of the names.
    pub fn wait_for_name(&self, name: &str) {
        wait_for(
            || self.names().iter().any(|known| known == name).then_some(()),
            || format!("the name {name}, there are {:?}", self.names()),
        );
    }

    /// Waits until syncs have done all there is to do, and asserts that they agree: another
    /// sync has nothing to change.
    pub fn wait_until_quiet(&self) {
        wait_for(
            || (self.roster(&["sync"]) == "nothing to change\n").then_some(()),
            || "a sync that changes nothing".into(),
        );
    }

    /// Waits until no sync that a hook started is on its way: it would mend what a test breaks.
    pub fn wait_until_idle(&self) {
        self.wait_for_jobs();
        self.wait_until_quiet();
    }

    /// The same where there may be no server.
    pub fn wait_for_jobs(&self) {
        self.wait_for_end_of(" sync --hook");
    }

    /// Waits until no process of this test has such a command line. Two looks in a row find none:
    /// ps goes by process ids, and may have been past that of a job, if they had begun anew, when
    /// a server started it and ended before its own was come to.
    pub fn wait_for_end_of(&self, what: &str) {
        let running = || {
            let mut lines = self.folder.processes().expect("ps runs");
            lines.retain(|line| line.contains(what));
            // The environment may follow.
            lines.into_iter().map(|line| line.chars().take(100).collect()).collect::<Vec<String>>()
        };
        let none = || running().is_empty().then_some(());
        wait_for(|| none().and_then(|()| none()), || format!("the end of {:?}", running()));
    }

    /// A client that is attached, in a pane of a server of its own.
    pub fn attach(&self, session: &str) -> Client<'_> {
        Client::attach(self, session)
    }

    /// Ends the server with SIGKILL, as a crash would.
    pub fn crash(&self) {
        let listed = self.tmux(&["list-sessions", "-F", "#{pid}"]);
        let pid: i32 = listed.lines().next().and_then(|pid| pid.parse().ok()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("a kill");
        self.wait_for_end();
    }

    pub fn kill_server(&self) {
        self.try_tmux(&["kill-server"]);
        self.wait_for_end();
    }

    /// A server that has jobs to wait for answers everybody that it is exiting, for a while.
    pub fn wait_for_end(&self) {
        let is_gone = || {
            let said = self.try_tmux(&["list-sessions"]).stderr;
            let said = String::from_utf8_lossy(&said).into_owned();
            said.starts_with("no server running") || said.starts_with("error connecting")
        };
        wait_for(|| is_gone().then_some(()), || "the server's end".into());
    }

    /// What a pane shows.
    pub fn screen(&self, target: &str) -> String {
        self.tmux(&["capture-pane", "-p", "-t", target])
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.try_tmux(&["kill-server"]);
        let _ = self.command(tmux_program()).args(["-L", "outer", "kill-server"]).output();
        // What still runs would make the folder anew after it was removed.
        if !std::thread::panicking() {
            self.wait_for_end_of("");
        }
    }
}

/// A server with the sessions `one` and `two`, whose socket somebody removed.
pub fn without_socket(config: &str, with_folder: bool) -> (Server, u32) {
    let server = Server::with_plugin(config);
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_idle();
    let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]);
    let pid = pid.lines().next().unwrap().parse().unwrap();
    let socket = server.socket();
    if with_folder {
        fs::remove_dir_all(socket.parent().unwrap()).unwrap();
    } else {
        fs::remove_file(socket).unwrap();
    }
    (server, pid)
}

/// Ends a process that is not our child with SIGKILL.
pub fn end_process(pid: u32) {
    let process = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    wait_for(
        || (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(()),
        || "its end".into(),
    );
}
