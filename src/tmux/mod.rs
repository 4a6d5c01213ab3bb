//! The only code that starts tmux, and every escaping of its text, both ways.
//!
//! Every call names its server by the socket's path, and an answer is waited for up to a limit. How
//! tmux behaves, on which version, stands in [`facts`].

#[doc = include_str!("FACTS.md")]
pub mod facts {}

pub mod call;
pub mod hooks;
pub mod process;
pub mod program;
pub mod query;
pub mod server;
pub mod source;
pub mod status;
pub mod text;
pub mod version;

pub use process::{Output, Running};
pub use version::Version;

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fmt, fs, io};

use crate::model::time::seconds;

/// How long a command that a person typed waits for an answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Why tmux did not do what it was asked to. None of these means "no sessions".
#[derive(Debug)]
pub enum TmuxError {
    /// No server listens on the socket.
    NoServer {
        /// The socket.
        socket: PathBuf,
    },
    /// The server runs, but no socket leads to it.
    Unreachable {
        /// The socket that it had.
        socket: PathBuf,
        /// The server's process.
        pid: u32,
    },
    /// The server's socket, or the folder of sockets, is another user's: whoever listens there
    /// could choose by its options what we run.
    NotOurs {
        /// Which of the two.
        path: PathBuf,
    },
    /// tmux could not be started.
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// tmux did not answer in time: it is busy, or of another version than its server.
    TimedOut {
        /// How long we waited.
        limit: Duration,
    },
    /// tmux refused.
    Failed {
        /// What it said.
        message: String,
    },
    /// A server before 3.2 that has no sessions, and cannot even say which server it is.
    Empty,
    /// The answer lacks its end: it counts as no answer.
    Incomplete {
        /// What tmux said beside it.
        message: String,
    },
}

impl fmt::Display for TmuxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TmuxError::NoServer { socket } => {
                write!(f, "no tmux server is running on {}", socket.display())
            }
            TmuxError::Unreachable { socket, pid } => write!(
                f,
                "tmux is still running (process {pid}), but its socket {} is gone: \
                 run roster doctor --fix to have it recreated",
                socket.display()
            ),
            TmuxError::NotOurs { path } => write!(
                f,
                "{} belongs to another user: only your own servers can be used",
                path.display()
            ),
            TmuxError::NotStarted { program, source } => {
                write!(f, "could not start tmux ({}): {source}", program.display())
            }
            TmuxError::TimedOut { limit } => write!(
                f,
                "tmux did not answer within {}: it is busy, or the server is of another version \
                 (then restart it when convenient)",
                seconds(*limit)
            ),
            TmuxError::Failed { message } => write!(f, "tmux refused: {message}"),
            TmuxError::Empty => write!(
                f,
                "the tmux server has no sessions yet, and before tmux 3.2 cannot be queried without one"
            ),
            TmuxError::Incomplete { message } if message.is_empty() => {
                write!(f, "tmux gave an incomplete answer")
            }
            TmuxError::Incomplete { message } => {
                write!(f, "tmux gave an incomplete answer: {message}")
            }
        }
    }
}

impl std::error::Error for TmuxError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TmuxError::NotStarted { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// A tmux program and the socket of the server that it is to speak to.
#[derive(Debug, Clone)]
pub struct Tmux {
    /// The program.
    pub program: PathBuf,
    /// The server's socket.
    pub socket: PathBuf,
    /// Whether a server that is about to exit is asked again, until there is none or another. A
    /// hook's job must not wait for it: before tmux 3.2 the server waits for its jobs.
    pub outwaits_exit: bool,
}

impl Tmux {
    /// A tmux command for this server. Its environment names no other server and no pane.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        // -u: without it, tmux replaces what is not ASCII where the locale is not UTF-8.
        self.command_with(&["-u"], args)
    }

    /// The same for a client that stays: whether its terminal takes UTF-8, its locale tells.
    pub fn client<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Command {
        self.command_with(&[], args)
    }

    fn command_with<S: AsRef<std::ffi::OsStr>>(&self, flags: &[&str], args: &[S]) -> Command {
        let mut command = self.bare_command();
        command.args(flags).arg("-S").arg(&self.socket).args(args);
        command.env_remove("TMUX").env_remove("TMUX_PANE");
        command
    }

    /// A call of the program, about no server. It says its version and shows itself to `ps` under
    /// the name that it was called by: one that is named by its process would be `exe`.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if self.program.starts_with("/proc") {
            command.arg0("tmux");
        }
        command
    }

    /// Starts a call whose answer is to be read later.
    ///
    /// # Errors
    /// The server is another user's, or the program cannot be started.
    pub fn start<S: AsRef<std::ffi::OsStr>>(&self, args: &[S]) -> Result<Running, TmuxError> {
        self.check_owner()?;
        Running::start(self.command(args))
            .map_err(|source| TmuxError::NotStarted { program: self.program.clone(), source })
    }

    /// Refuses a socket of another user, and as `tmux -L` does and `tmux -S` does not, a folder
    /// of sockets that another user made in our name. What cannot be looked at is left for tmux
    /// to complain of.
    fn check_owner(&self) -> Result<(), TmuxError> {
        let folder = self.socket.parent();
        let folder = folder.filter(|path| path.ends_with(socket_folder_name()));
        for path in folder.into_iter().chain([self.socket.as_path()]) {
            let is_ours = |found: fs::Metadata| found.uid() == rustix::process::geteuid().as_raw();
            if !fs::metadata(path).map_or(true, is_ours) {
                return Err(TmuxError::NotOurs { path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// Runs a call to its end and returns what it printed.
    ///
    /// # Errors
    /// tmux cannot be started, does not end before `deadline`, finds no server, or refuses.
    pub fn run<S: AsRef<std::ffi::OsStr>>(
        &self,
        args: &[S],
        deadline: Instant,
    ) -> Result<Vec<u8>, TmuxError> {
        let asked = Instant::now();
        loop {
            let output = self.start(args)?.finish(deadline).map_err(|error| match error {
                // The last of several.
                TmuxError::TimedOut { .. } => TmuxError::TimedOut { limit: asked.elapsed() },
                error => error,
            })?;
            if output.success {
                return Ok(output.stdout);
            }
            if !self.is_to_be_asked_again(&output.stderr, deadline) {
                return Err(self.failure(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it complained only because its server is about to exit, and there is time to see
    /// what comes after.
    pub fn is_to_be_asked_again(&self, message: &str, deadline: Instant) -> bool {
        self.outwaits_exit && is_exiting(message) && Instant::now() < deadline
    }

    /// What a complaint of tmux means.
    pub fn failure(&self, message: &str) -> TmuxError {
        // "(No such file or directory)" for a socket that never was, the other for one whose
        // server ended. "Permission denied" and the like stay what they are.
        let none = message.starts_with("no server running on")
            || (message.starts_with("error connecting to") && message.contains("No such file"));
        if none {
            TmuxError::NoServer { socket: self.socket.clone() }
        } else {
            let said = if message.is_empty() { "it did not say why" } else { message };
            TmuxError::Failed { message: said.to_owned() }
        }
    }
}

/// Whether the server went away while it was asked: a moment later there is none, or another.
pub fn is_exiting(message: &str) -> bool {
    message.contains("server exited") || message.contains("lost server")
}

/// Where the sockets of `tmux -L` are: `tmux-<uid>` in `$TMUX_TMPDIR`, else in /tmp.
pub fn socket_folder(tmux_tmpdir: Option<&Path>) -> PathBuf {
    let base = tmux_tmpdir.unwrap_or(Path::new("/tmp"));
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    base.join(socket_folder_name())
}

/// What that folder is called, wherever it is.
pub fn socket_folder_name() -> String {
    format!("tmux-{}", rustix::process::getuid().as_raw())
}
