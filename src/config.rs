//! Environment, arguments and tmux options in, typed values out.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::files::{self, FileError};
use crate::model::glob::Glob;
use crate::model::policy::Policy;
use crate::model::reconcile::EventKind;
use crate::model::snapshot::ServerId;
use crate::options::default;
use crate::sorted::Set;
use crate::tmux::query::Answer;
use crate::tmux::source::{self, SourceError};
use crate::tmux::{Tmux, TmuxError, call, program, socket_folder, socket_folder_name};

/// The registry's name in its folder.
pub const REGISTRY: &str = "sessions.json";

/// The folder of [notes](Environment::note_socket) among those of servers, none of which begins with a
/// dot.
const SOCKETS: &str = ".sockets";

/// A server and where its registry is.
#[derive(Debug, Clone)]
pub struct Place {
    /// How to speak to the server.
    pub tmux: Tmux,
    /// The folder of its files.
    pub dir: PathBuf,
}

impl Place {
    /// The registry.
    pub fn registry(&self) -> PathBuf {
        self.dir.join(REGISTRY)
    }

    /// The memory of the server.
    pub fn memory(&self) -> PathBuf {
        self.dir.join("server.json")
    }

    /// What the sessions are made of.
    pub fn windows(&self) -> PathBuf {
        self.dir.join("windows.json")
    }

    /// The closed sessions.
    pub fn closed(&self) -> PathBuf {
        self.dir.join("closed.json")
    }

    /// The configuration that the server was started with, where that is not tmux's own choice.
    pub fn config_files(&self) -> PathBuf {
        self.dir.join("config-files.json")
    }

    /// Asks tmux what lives, and for the options that a sync needs.
    ///
    /// # Errors
    /// tmux fails.
    pub fn ask(&self, deadline: Instant) -> Result<Answer, TmuxError> {
        call::ask(&self.tmux, call::With::default(), &OPTIONS, deadline)
    }

    /// Sends commands to tmux by file, each on its own: one that fails stops no other. Returns what
    /// they print. See [`source::run`].
    ///
    /// # Errors
    /// A file cannot be written, or tmux does not answer.
    pub fn run_lines(
        &self,
        server: Option<ServerId>,
        lines: &[Vec<u8>],
        deadline: Instant,
    ) -> Result<String, SourceError> {
        let mut printed = String::new();
        for piece in lines.chunks(source::PIECE) {
            printed += &source::run(&self.tmux, &self.registry(), server, piece, deadline)?;
        }
        Ok(printed)
    }

    /// What happened to sessions.
    pub fn history(&self) -> PathBuf {
        self.dir.join("history.jsonl")
    }

    /// What happened before that.
    pub fn older_history(&self) -> PathBuf {
        self.dir.join("history.1.jsonl")
    }

    /// There while the user wants no history: commands that run without a server go by it.
    pub fn no_history(&self) -> PathBuf {
        self.dir.join("history.off")
    }

    /// What is there once the user was told of `@roster-restore`.
    pub fn hint(&self) -> PathBuf {
        self.dir.join("hint")
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.dir.join("roster.log")
    }
}

/// What the environment says, read once.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The socket that TMUX names, and the id of the session after it.
    pub tmux: Option<(PathBuf, String)>,
    /// The process id of its server, as it was when TMUX was set.
    pub server: Option<u32>,
    /// The pane that the command was typed in.
    pub pane: Option<String>,
    tmux_tmpdir: Option<PathBuf>,
    home: Option<PathBuf>,
    config_home: Option<PathBuf>,
    state_home: Option<PathBuf>,
    data_home: Option<PathBuf>,
    path: OsString,
    /// What the plugin told the programs of its server: socket, folder, tmux program.
    published: Option<(PathBuf, PathBuf, PathBuf)>,
}

impl Environment {
    /// Reads it.
    pub fn read() -> Environment {
        let path = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let absolute = |name| path(name).filter(|path| path.is_absolute());
        let published =
            (absolute("ROSTER_SOCKET"), absolute("ROSTER_DIR"), absolute("ROSTER_TMUX"));
        let tmux = env::var_os("TMUX").and_then(|value| split_tmux(&value));
        Environment {
            server: tmux.as_ref().and_then(|(.., pid)| pid.parse().ok()),
            tmux: tmux.map(|(socket, session, _)| (socket, session)),
            pane: env::var("TMUX_PANE").ok().filter(|pane| pane.starts_with('%')),
            tmux_tmpdir: path("TMUX_TMPDIR"),
            home: absolute("HOME"),
            config_home: absolute("XDG_CONFIG_HOME"),
            state_home: absolute("XDG_STATE_HOME"),
            data_home: absolute("XDG_DATA_HOME"),
            path: env::var_os("PATH").unwrap_or_default(),
            published: match published {
                (Some(socket), Some(dir), Some(tmux)) => Some((socket, dir, tmux)),
                _ => None,
            },
        }
    }

    /// The socket that `-S`, `-L`, TMUX or tmux's default names, in this order.
    pub fn socket(&self, path: Option<&str>, name: Option<&str>) -> PathBuf {
        match (path, name, &self.tmux) {
            (Some(path), ..) => absolute(Path::new(path)),
            (None, None, Some((socket, _))) => socket.clone(),
            (None, name, _) => self.socket_named(name.unwrap_or("default")),
        }
    }

    /// The socket of this name: in tmux's usual folder, or where there is nothing of that name, in the
    /// one that a server with a tmux built for another [told](Self::note_socket).
    fn socket_named(&self, name: &str) -> PathBuf {
        let named = self.named_folder();
        let usual = socket_folder(named).join(name);
        if named.is_some() {
            return usual;
        }
        let told = self.told_socket(&usual);
        let is_nowhere = || {
            let is_there = |path: &Path| path.symlink_metadata().is_ok();
            !is_there(&usual) && !self.own_dir(&usual).is_some_and(|dir| is_there(&dir))
        };
        told.filter(|_| is_nowhere()).unwrap_or(usual)
    }

    /// Where the socket of a name is instead, as a server [told](Self::note_socket).
    pub fn told_socket(&self, usual: &Path) -> Option<PathBuf> {
        let told = self.note_of(usual).and_then(|note| std::fs::read_link(note).ok());
        told.filter(|socket| socket.is_absolute())
    }

    /// What TMUX_TMPDIR names, if that is there.
    fn named_folder(&self) -> Option<&Path> {
        self.tmux_tmpdir.as_deref().filter(|folder| folder.exists())
    }

    /// Notes where the socket of a server is, in whose environment we are, for those who are outside of
    /// it: its tmux may have been built with another folder for sockets than others have. It is noted
    /// as a link, which is made anew in one step, and which nobody follows.
    ///
    /// # Errors
    /// The file system.
    pub fn note_socket(&self, socket: &Path) -> Result<(), FileError> {
        let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Ok(());
        };
        let usual = socket_folder(None).join(name);
        let Some(note) = self.note_of(&usual) else { return Ok(()) };
        // By its environment it would be found only by those who have the same.
        if self.named_folder().is_some() || !folder.ends_with(socket_folder_name()) {
            return Ok(());
        }
        let is_usual = one_spelling(socket) == one_spelling(&usual);
        let wanted = Some(socket).filter(|_| !is_usual);
        if std::fs::read_link(&note).ok().as_deref() == wanted {
            return Ok(());
        }
        let Some(socket) = wanted else {
            return std::fs::remove_file(&note).map_err(files::io_error("remove", &note));
        };
        note.parent().map_or(Ok(()), files::make_folder)?;
        let new = files::with_suffix(&note, &format!(".{}", std::process::id()));
        let _ = std::fs::remove_file(&new);
        symlink(socket, &new)
            .and_then(|()| std::fs::rename(&new, &note))
            .map_err(files::io_error("make", &note))
    }

    /// Whether tmux reads a file by itself, where it is not told another by `-f`.
    pub fn is_usual_config(&self, file: &Path) -> bool {
        let home = |path: &str| self.home.as_ref().map(|home| home.join(path));
        let own = [
            home(".tmux.conf"),
            home(".config/tmux/tmux.conf"),
            self.config_home.as_ref().map(|folder| folder.join("tmux/tmux.conf")),
        ];
        // The folder of the system's depends on how tmux was built.
        own.iter().flatten().any(|own| own == file) || file.ends_with("etc/tmux.conf")
    }

    /// Where it is noted for the socket of a name that tmux has it elsewhere.
    fn note_of(&self, usual: &Path) -> Option<PathBuf> {
        let dir = self.own_dir(usual)?;
        Some(dir.parent()?.join(SOCKETS).join(dir.file_name()?))
    }

    /// Where the plugin of this server said that its files are, if it told our environment.
    pub fn published_dir(&self, socket: &Path) -> Option<&Path> {
        let is_it = |of: &Path| of == socket || one_spelling(of) == one_spelling(socket);
        self.published.as_ref().filter(|(of, ..)| is_it(of)).map(|(_, dir, _)| dir.as_path())
    }

    /// The tmux program: the one that the plugin was loaded with, if the server still runs that,
    /// else the one that the server runs, else the one on PATH, else one in the usual places, since
    /// a tmux server's PATH may lack them.
    pub fn tmux_program(&self, socket: &Path) -> PathBuf {
        if let Some((of, _, program)) = &self.published {
            if of == socket && program.exists() && !self.was_upgraded(socket) {
                return program.clone();
            }
        }
        if let Some(program) = server_process(socket).and_then(program::of_process) {
            return program;
        }
        let usual = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/opt/local/bin", "/bin"];
        env::split_paths(&self.path)
            .chain(usual.iter().map(PathBuf::from))
            .map(|folder| folder.join("tmux"))
            .find(|program| is_program(program))
            .unwrap_or_else(|| PathBuf::from("tmux"))
    }

    /// The program that a word calls.
    pub fn on_path(&self, name: &str) -> Option<PathBuf> {
        let mut found = env::split_paths(&self.path).map(|folder| folder.join(name));
        found.find(|program| is_program(program))
    }

    /// Whether the program of the server on `socket` is known to have been replaced under it: what
    /// is at its path now may be of another version. In a pane, TMUX tells the server's process
    /// without a call to it.
    fn was_upgraded(&self, socket: &Path) -> bool {
        let is_ours = self.tmux.as_ref().is_some_and(|(ours, _)| ours == socket);
        let by_tmux = self.server.filter(|_| is_ours).and_then(program::is_replaced);
        by_tmux
            .or_else(|| server_process(socket).and_then(program::is_replaced))
            .unwrap_or_default()
    }

    /// The folder for the server on `socket`, by our own environment alone. Without a home there
    /// is none.
    pub fn own_dir(&self, socket: &Path) -> Option<PathBuf> {
        let state = match (&self.state_home, &self.home) {
            (Some(state), _) => state.clone(),
            (None, Some(home)) => home.join(".local/state"),
            (None, None) => return None,
        };
        Some(state.join("tmux-roster").join(server_name(socket)))
    }

    /// The folder of installed programs, and of what goes with them.
    pub fn data_dir(&self) -> Option<PathBuf> {
        let data = match (&self.data_home, &self.home) {
            (Some(data), _) => data.clone(),
            (None, Some(home)) => home.join(".local/share"),
            (None, None) => return None,
        };
        Some(data.join("tmux-roster"))
    }

    /// The home folder.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }
}

/// The process id of the server on a socket.
#[cfg(target_os = "linux")]
fn server_process(socket: &Path) -> Option<u32> {
    use rustix::net::{self, AddressFamily, SocketFlags, SocketType};
    // A server that is stopped has no place for more connections at some time: it is not waited for.
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let stream = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
    net::connect(&stream, &net::SocketAddrUnix::new(socket).ok()?).ok()?;
    let peer = net::sockopt::socket_peercred(&stream).ok()?;
    // Whoever else listens there does not choose what we run.
    let is_ours = peer.uid == rustix::process::geteuid();
    is_ours.then(|| peer.pid.as_raw_nonzero().get().try_into().ok()).flatten()
}

#[cfg(not(target_os = "linux"))]
fn server_process(_: &Path) -> Option<u32> {
    None
}

fn absolute(path: &Path) -> PathBuf {
    env::current_dir().map_or_else(|_| path.to_owned(), |here| here.join(path))
}

/// A socket's path without links and `..` as far as its folders are there: however it is spelled,
/// it has one registry. Only for comparing: tmux is told the path as it was given, since one that
/// is short by a link may be too long without.
pub fn one_spelling(socket: &Path) -> PathBuf {
    let resolved =
        |folder: &Path| Some(folder.canonicalize().ok()?.join(socket.strip_prefix(folder).ok()?));
    socket.ancestors().skip(1).find_map(resolved).unwrap_or_else(|| socket.to_owned())
}

/// `socket,pid,session` into the socket, the session's number and the server's process id; the
/// socket may hold commas. A relative one, as `tmux -S` takes it, is relative to where the server
/// was started.
fn split_tmux(value: &OsStr) -> Option<(PathBuf, String, String)> {
    let mut parts = value.as_bytes().rsplitn(3, |b| *b == b',');
    let session = String::from_utf8_lossy(parts.next()?).into_owned();
    let pid = String::from_utf8_lossy(parts.next()?).into_owned();
    let socket = Path::new(OsStr::from_bytes(parts.next()?));
    if socket.is_relative() {
        if let Ok(folder) = std::fs::read_link(format!("/proc/{pid}/cwd")) {
            if folder.join(socket).exists() {
                return Some((folder.join(socket), session, pid));
            }
        }
    }
    Some((absolute(socket), session, pid))
}

/// The folder name for a server: `default`, the name for `-L name`, else the whole path, with
/// `/` and what no folder should be called as `%XX`. Two sockets never share one.
pub fn server_name(socket: &Path) -> OsString {
    let own = socket_folder(None);
    let socket = &one_spelling(socket);
    let bytes = match (socket.parent(), socket.file_name()) {
        (Some(folder), Some(name)) if folder == own => name.as_bytes(),
        _ => socket.as_os_str().as_bytes(),
    };
    let mut name = Vec::new();
    for (at, &byte) in bytes.iter().enumerate() {
        let special =
            byte.is_ascii_control() || matches!(byte, b'/' | b'%') || (byte == b'.' && at == 0);
        if special {
            name.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            name.push(byte);
        }
    }
    OsString::from_vec(name)
}

/// The socket of a folder that [`server_name`] named.
pub fn socket_of(name: &OsStr) -> PathBuf {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (mut rest, mut bytes) = (name.as_bytes(), Vec::new());
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [a, b, ..] if *first == b'%' => digit(*a).zip(digit(*b)).map(|(a, b)| a * 16 + b),
            _ => None,
        };
        bytes.push(escaped.and_then(|byte| u8::try_from(byte).ok()).unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    // A whole path replaces the folder.
    socket_folder(None).join(OsStr::from_bytes(&bytes))
}

/// The user's options, as far as a sync needs them.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What reconciling depends on.
    pub policy: Policy,
    /// The modes that *next mode* goes through: at least one.
    pub modes: Vec<String>,
    /// What is recorded of windows.
    pub windows: WindowPolicy,
    /// Restore all lost sessions when the server starts.
    pub restore_at_start: bool,
    /// Whether it is noted what happens.
    pub keeps_history: bool,
    /// The user's scripts by event, each split into words.
    pub scripts: Vec<(EventKind, Vec<String>)>,
    /// The plugin is loaded in this server.
    pub plugin_is_loaded: bool,
    /// Where the plugin settled the files.
    pub dir: Option<PathBuf>,
    /// Options that could not be understood, for doctor and the log.
    pub complaints: Vec<String>,
}

/// What is recorded of windows.
#[derive(Debug, Clone)]
pub struct WindowPolicy {
    /// Whether anything is.
    pub records: bool,
    /// Whether closed windows are kept.
    pub keeps_closed: bool,
    /// The programs whose words are.
    programs: Vec<String>,
}

impl Default for WindowPolicy {
    fn default() -> Self {
        WindowPolicy {
            records: true,
            keeps_closed: true,
            programs: words(default("@roster-programs")),
        }
    }
}

/// What an option is called that tells how a program is started again, without the program's name.
pub const RESUME: &str = "@roster-resume-";

impl WindowPolicy {
    /// By the values of `@roster-windows`, `@roster-programs` and `@roster-closed-windows`.
    pub fn parse(windows: &str, programs: &str, closed: &str) -> WindowPolicy {
        let (records, keeps_closed) = (windows != "off", closed != "off");
        let mut policy = WindowPolicy { records, keeps_closed, ..WindowPolicy::default() };
        match programs.trim() {
            "" => {}
            "none" => policy.programs.clear(),
            programs => policy.programs = words(programs),
        }
        policy
    }

    /// The programs that the options name, of which these are all as `show-options` lists them.
    pub fn named(&self, listed: &str) -> Set<String> {
        let resumed =
            listed.lines().filter_map(|line| line.strip_prefix(RESUME)?.split(' ').next());
        self.programs.iter().cloned().chain(resumed.map(str::to_owned)).collect()
    }
}

/// The options that a look at windows asks for: first those that each sync does.
pub const LATE_OPTIONS: [&str; OPTIONS.len() + 3] = {
    let mut options = [""; OPTIONS.len() + 3];
    let mut at = 0;
    while at < OPTIONS.len() {
        options[at] = OPTIONS[at];
        at += 1;
    }
    options[at] = "@roster-windows";
    options[at + 1] = "@roster-programs";
    options[at + 2] = "@roster-closed-windows";
    options
};

/// What stands in `@roster_run` where `@roster-history` was off as the plugin was loaded: so no sync has
/// to ask for one option more.
pub const NO_HISTORY: &str = " --no-history ";

/// The options that a sync asks for, in the order of [`Settings::parse`].
pub const OPTIONS: [&str; 16] = [
    "@roster_run",
    "@roster_dir",
    "@roster-default-mode",
    "@roster-ignore",
    "@roster-closed-limit",
    "@roster-lost-days",
    "@roster-health-interval",
    "@roster-restore",
    "@continuum-restore",
    "@roster-on-created",
    "@roster-on-attached",
    "@roster-on-renamed",
    "@roster-on-closed",
    "@roster-on-lost",
    "@roster-on-restored",
    "@roster-modes",
];

impl Settings {
    /// Reads the values of [`OPTIONS`] or [`LATE_OPTIONS`]; none at all where they are not known.
    pub fn parse(values: &[Vec<u8>]) -> Settings {
        let text = |name: &str| -> String {
            let at = LATE_OPTIONS.iter().position(|option| *option == name);
            let value = at.and_then(|at| values.get(at)).map(Vec::as_slice).unwrap_or_default();
            String::from_utf8_lossy(value).into_owned()
        };
        let plugin_is_loaded = !text("@roster_run").is_empty();
        let mut defaults = Policy::default();
        if !plugin_is_loaded {
            // The user's configuration may not be read yet: nothing is dropped by what these are
            // where nobody sets them.
            (defaults.closed_limit, defaults.lost_days) = (u32::MAX as usize, 0);
        }
        let mut complaints = Vec::new();
        let mut number = |name: &str, default: u32| -> u32 {
            let value = text(name);
            match value.trim().parse() {
                _ if value.trim().is_empty() => default,
                Ok(number) => number,
                Err(_) => {
                    complaints
                        .push(format!("{name} is {value:?}, not a whole number: using {default}"));
                    default
                }
            }
        };
        let closed_limit = number("@roster-closed-limit", defaults.closed_limit as u32) as usize;
        let lost_days = number("@roster-lost-days", defaults.lost_days);
        let health_interval = number("@roster-health-interval", defaults.health_interval);
        let mut scripts = Vec::new();
        for kind in EventKind::ALL {
            let name = kind.option();
            match shell_words::split(&text(name)) {
                Ok(words) if words.is_empty() => {}
                Ok(words) => scripts.push((kind, words)),
                Err(error) => {
                    complaints.push(format!("{name} cannot be split into words: {error}"))
                }
            }
        }
        let restore = text("@roster-restore");
        if !matches!(restore.as_str(), "" | "on" | "off") {
            complaints.push(format!("@roster-restore is {restore:?}, not on or off: using off"));
        }
        for option in ["@roster-windows", "@roster-closed-windows"] {
            let value = text(option);
            if !matches!(value.as_str(), "" | "on" | "off") {
                complaints.push(format!("{option} is {value:?}, not on or off: using on"));
            }
        }
        let windows = WindowPolicy::parse(
            &text("@roster-windows"),
            &text("@roster-programs"),
            &text("@roster-closed-windows"),
        );
        let default_mode = Some(text("@roster-default-mode").trim().to_owned());
        let dir = PathBuf::from(text("@roster_dir"));
        Settings {
            policy: Policy {
                default_mode: default_mode
                    .filter(|m| !m.is_empty())
                    .unwrap_or(defaults.default_mode),
                ignore: text("@roster-ignore").split_whitespace().map(Glob::new).collect(),
                closed_limit,
                lost_days,
                health_interval,
            },
            modes: modes(&text("@roster-modes")),
            windows,
            restore_at_start: restore == "on" && text("@continuum-restore") != "on",
            keeps_history: !text("@roster_run").contains(NO_HISTORY),
            scripts,
            plugin_is_loaded,
            dir: Some(dir).filter(|dir| dir.is_absolute()),
            complaints,
        }
    }
}

fn words(value: &str) -> Vec<String> {
    value.split_whitespace().map(str::to_owned).collect()
}

/// The words of @roster-modes; without one, what it is by default.
pub fn modes(value: &str) -> Vec<String> {
    let value = if value.trim().is_empty() { default("@roster-modes") } else { value };
    value.split_whitespace().map(str::to_owned).collect()
}

/// Whether a shell would run this file of PATH, and not look further.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_socket() {
        let own = socket_folder(None);
        for socket in ["work", "a%2Fb", ".x", "é\n", "100%"].map(|name| own.join(name)) {
            assert_eq!(socket_of(&server_name(&socket)), socket);
        }
        for socket in ["/nowhere/a b", "/nowhere/%/c", "/nowhere/tmux-0/default"].map(Path::new) {
            assert_eq!(socket_of(&server_name(socket)), socket);
        }
    }

    #[test]
    fn what_holds_without_an_option_is_what_the_table_says() {
        let mut values = vec![Vec::new(); OPTIONS.len()];
        values[0] = b"loaded".to_vec();
        let unset = Settings::parse(&values);
        for (value, name) in OPTIONS.iter().enumerate().skip(2) {
            values[value] = default(name).into();
        }
        let set = Settings::parse(&values);
        assert_eq!((unset.policy, unset.modes), (set.policy, set.modes));
        assert_eq!((unset.restore_at_start, unset.scripts), (set.restore_at_start, set.scripts));
        assert!(set.complaints.is_empty(), "{:?}", set.complaints);
    }

    #[test]
    fn sockets_never_share_a_folder() {
        let own = socket_folder(None);
        assert_eq!(server_name(&own.join("default")), "default");
        assert_eq!(server_name(&own.join("work")), "work");
        assert_eq!(server_name(Path::new("/a/default")), "%2Fa%2Fdefault");
        assert_eq!(server_name(&own.join("%2Fa%2Fdefault")), "%252Fa%252Fdefault");
    }

    #[test]
    fn nothing_is_dropped_by_options_that_may_not_be_known_yet() {
        let kept = |values: &[Vec<u8>]| {
            let policy = Settings::parse(values).policy;
            (policy.closed_limit, policy.lost_days)
        };
        assert_eq!(kept(&[]), (u32::MAX as usize, 0));
        let mut values = vec![Vec::new(); OPTIONS.len()];
        assert_eq!(kept(&values), (u32::MAX as usize, 0));
        let mut set = |option: &str, value: &str| {
            let at = OPTIONS.iter().position(|known| *known == option).unwrap();
            values[at] = value.into();
            kept(&values)
        };
        assert_eq!(set("@roster-closed-limit", "7"), (7, 0));
        assert_eq!(set("@roster_run", "x"), (7, 30));
        assert_eq!(set("@roster-closed-limit", "x"), (50, 30));
    }

    #[test]
    fn tmux_is_split_from_its_end() {
        let (socket, session, pid) = split_tmux(OsStr::new("/tmp/a,b/s,12,3")).unwrap();
        assert_eq!((socket.as_path(), &*session, &*pid), (Path::new("/tmp/a,b/s"), "3", "12"));
        assert!(split_tmux(OsStr::new("x")).is_none());
        // Never the default server.
        let here = env::current_dir().unwrap();
        assert_eq!(split_tmux(OsStr::new("./s,0,3")).unwrap().0, here.join("./s"));
    }

    #[test]
    fn a_socket_has_one_spelling() {
        let real = Path::new("/usr").canonicalize().unwrap();
        assert_eq!(one_spelling(Path::new("/usr/../usr/./s")), real.join("s"));
        assert_eq!(one_spelling(Path::new("/usr/nothing/t/s")), real.join("nothing/t/s"));
    }
}
