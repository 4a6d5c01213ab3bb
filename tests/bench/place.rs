//! A private tmux server in a folder of its own, and runs of whole processes.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Subject;

pub struct Place<'a> {
    pub subject: &'a Subject,
    pub folder: PathBuf,
}

/// A program of this name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|path| path.is_file())
}

impl<'a> Place<'a> {
    /// A server with this configuration and the session `first`.
    pub fn new(subject: &'a Subject, config: &str) -> Place<'a> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = PathBuf::from(format!("/tmp/rb{}.{count}", std::process::id()));
        fs::create_dir_all(folder.join("home")).expect("a folder in /tmp");
        fs::write(folder.join("tmux.conf"), config).expect("tmux.conf");
        let place = Place { subject, folder };
        place.tmux(&["new-session", "-d", "-s", "first"]);
        place
    }

    /// The same with the plugin loaded.
    pub fn with_plugin(subject: &'a Subject, config: &str) -> Place<'a> {
        let place = Place::new(subject, &format!("{}{config}", load_plugin(subject)));
        wait_until(|| place.count() == 1);
        place
    }

    pub fn command(&self, program: &Path) -> Command {
        let mut path = OsString::from(self.subject.tmux.parent().expect("a whole path"));
        path.push(":/usr/bin:/bin");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", self.folder.join("home"))
            .env("TMUX_TMPDIR", &self.folder)
            .env("PATH", path)
            .env("SHELL", "/bin/sh")
            .env("TERM", "screen")
            .env("LC_ALL", "C")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub fn tmux_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.subject.tmux);
        command.args(["-u", "-L", "b", "-f"]).arg(self.folder.join("tmux.conf")).args(args);
        command
    }

    pub fn tmux(&self, args: &[&str]) -> String {
        let output = self.tmux_command(args).stdout(Stdio::piped()).output().expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    pub fn socket(&self) -> PathBuf {
        let folder = format!("tmux-{}", rustix::process::getuid().as_raw());
        self.folder.join(folder).join("b")
    }

    pub fn dir(&self) -> PathBuf {
        let name = tmux_roster::config::server_name(&self.socket());
        self.folder.join("home/.local/state/tmux-roster").join(name)
    }

    /// How many sessions the registry has: counted in its text, since whoever waits for it
    /// looks all the time and must not take the processor from what is measured.
    pub fn count(&self) -> usize {
        let text = fs::read_to_string(self.dir().join("sessions.json")).unwrap_or_default();
        text.matches("\"uuid\":").count()
    }

    /// How many sessions live.
    pub fn listed(&self) -> usize {
        self.tmux(&["list-sessions", "-F", "x"]).lines().count()
    }

    pub fn server_pid(&self) -> String {
        self.tmux(&["list-sessions", "-F", "#{pid}"]).lines().next().unwrap_or("").to_owned()
    }

    /// Waits until no job that a hook started works here, and the next would not wait.
    pub fn wait_for_jobs(&self) {
        let folder = self.folder.display().to_string();
        wait_until(|| {
            let printed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output();
            let text = String::from_utf8_lossy(&printed.expect("ps runs").stdout).into_owned();
            !text.lines().any(|line| line.contains(" sync --hook") && line.contains(&folder))
        });
        rest();
    }

    /// As a hook's job is run, on a registry in `dir`, with the tmux program `tmux`.
    pub fn hook_job(&self, dir: &Path, tmux: &Path) -> Command {
        let mut command = self.command(&self.subject.roster);
        command.env("TMUX", format!("{},{},0", self.socket().display(), self.server_pid()));
        command.args(["sync", "--hook", "--dir"]).arg(dir).arg("--tmux").arg(tmux);
        if !version(self.subject).hides_environment() {
            command.arg("--old-mark");
        }
        command
    }

    /// Makes sessions by one `source-file` until there are `wanted`, and names them by number.
    pub fn fill(&self, wanted: usize) {
        let lines: String = (1..wanted).map(|n| format!("new-session -d -s n{n:04}\n")).collect();
        let file = self.folder.join("fill");
        fs::write(&file, lines).expect("a file");
        self.tmux(&["source-file", &file.display().to_string()]);
        wait_until(|| self.listed() == wanted);
    }

    /// A program that stands for tmux, does `first`, and then is tmux.
    pub fn wrapper(&self, name: &str, first: &str) -> PathBuf {
        let path = self.folder.join(name);
        let tmux = self.subject.tmux.display();
        fs::write(&path, format!("#!/bin/sh\n{first}\nexec '{tmux}' \"$@\"\n")).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
        path
    }

    /// The very arguments with which a sync without change calls tmux.
    pub fn call_of_a_sync(&self, dir: &Path) -> Vec<OsString> {
        use std::os::unix::ffi::OsStringExt;
        let told = self.folder.join("told");
        let first = format!("for a do printf '%s\\0' \"$a\"; done >'{}'", told.display());
        run(&mut self.hook_job(dir, &self.wrapper("telling", &first)));
        let bytes = fs::read(told).expect("the sync called tmux");
        let words = bytes.strip_suffix(b"\0").expect("arguments").split(|byte| *byte == 0);
        words.map(|word| OsString::from_vec(word.to_vec())).collect()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Longer than a hook's job waits for its pace (100 ms). Before each of the runs that are compared,
/// not only before ours: right after other work the very same call takes a fifth less.
pub fn rest() {
    let start = Instant::now();
    wait_until(|| start.elapsed() >= Duration::from_millis(110));
}

/// What a configuration says to load the plugin as TPM does.
pub fn load_plugin(subject: &Subject) -> String {
    let plugin = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.tmux");
    format!(
        "set -g @roster-binary '{}'\nrun-shell '{} >/dev/null 2>&1 || :'\n",
        subject.roster.display(),
        plugin.display()
    )
}

pub fn version(subject: &Subject) -> tmux_roster::tmux::Version {
    let printed = Command::new(&subject.tmux).arg("-V").output().expect("tmux -V runs");
    tmux_roster::tmux::Version::parse(&String::from_utf8_lossy(&printed.stdout))
}

/// How long a process takes, from its start to its end and the end of its output.
pub fn run(command: &mut Command) -> Duration {
    use std::io::Read;
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program runs");
    let mut output = Vec::new();
    child.stdout.take().map(|mut pipe| pipe.read_to_end(&mut output));
    child.wait().expect("its end");
    start.elapsed()
}

pub fn wait_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "waited in vain for a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}
