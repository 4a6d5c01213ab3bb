//! The only code that starts tmux; its text both ways. Imports only `model` of the crate.
//!
//! Every call names its server by the socket's path and has a time limit.

pub mod command;
pub mod program;
pub mod query;

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::model::time::seconds;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

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
                "tmux still runs (process {pid}), but its socket {} is gone: \
                 roster doctor --fix has it made again",
                socket.display()
            ),
            TmuxError::NotOurs { path } => write!(
                f,
                "{} belongs to another user: only servers of your own are spoken to",
                path.display()
            ),
            TmuxError::NotStarted { program, source } => {
                write!(f, "could not start tmux ({}): {source}", program.display())
            }
            TmuxError::TimedOut { limit } => write!(
                f,
                "tmux did not answer within {}: it is busy, or the server is of another version \
                 (then restart it when it suits)",
                seconds(*limit)
            ),
            TmuxError::Failed { message } => write!(f, "tmux refused: {message}"),
            TmuxError::Empty => write!(f, "the tmux server has no sessions"),
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

/// What a tmux that ran to its end printed.
#[derive(Debug)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it complained of, on one line.
    pub stderr: String,
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

    /// Runs a call to its end and gives what it printed.
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
            let said = if message.is_empty() { "it does not say why" } else { message };
            TmuxError::Failed { message: said.to_owned() }
        }
    }
}

/// Whether the server went away while it was asked: a moment later there is none, or another.
pub fn is_exiting(message: &str) -> bool {
    message.contains("server exited") || message.contains("lost server")
}

/// A tmux that is at work.
#[derive(Debug)]
pub struct Running {
    child: Child,
    started: Instant,
}

impl Running {
    /// Starts any command whose answer is to be read later.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(mut command: Command) -> io::Result<Running> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Running { child: command.spawn()?, started: Instant::now() })
    }

    /// Reads what it prints to its end, but not beyond `deadline`: then it is killed.
    ///
    /// # Errors
    /// [`TmuxError::TimedOut`].
    pub fn finish(self, deadline: Instant) -> Result<Output, TmuxError> {
        self.finish_or(|_| false, deadline)
    }

    /// The same, but done as soon as what it printed is the whole answer: until tmux has ended
    /// after that takes as long as some hundred sessions' fields. It ends by itself.
    ///
    /// # Errors
    /// [`TmuxError::TimedOut`].
    pub fn finish_or(
        mut self,
        is_whole: impl Fn(&[u8]) -> bool,
        deadline: Instant,
    ) -> Result<Output, TmuxError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read = read_both(&mut self.child, &mut stdout, &mut stderr, is_whole, deadline);
        let success = match read {
            Read::Whole => true,
            Read::Ended if wait(&mut self.child, deadline).is_some() => {
                self.child.wait().is_ok_and(|status| status.success())
            }
            Read::TooMuch => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                let message = format!("it printed over {} MiB", MOST_PRINTED >> 20);
                return Err(TmuxError::Incomplete { message });
            }
            Read::Ended | Read::TooLong => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return Err(TmuxError::TimedOut { limit: self.started.elapsed() });
            }
        };
        let stderr = String::from_utf8_lossy(&stderr);
        // A client of another version may say the same a hundred times.
        let mut lines: Vec<&str> = stderr.trim().lines().collect();
        lines.dedup();
        let stderr = lines.join("; ");
        Ok(Output { success, stdout, stderr })
    }
}

/// How reading ended.
enum Read {
    Whole,
    Ended,
    TooLong,
    TooMuch,
}

/// The most that is read of what tmux prints, in bytes: a hundred thousand sessions.
const MOST_PRINTED: usize = 64 << 20;

/// The most that is kept of what it complains of.
const MOST_SAID: usize = 64 << 10;

/// Reads both outputs to their ends, or until what is printed is whole.
fn read_both(
    child: &mut Child,
    out: &mut Vec<u8>,
    err: &mut Vec<u8>,
    is_whole: impl Fn(&[u8]) -> bool,
    deadline: Instant,
) -> Read {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let mut chunk = [0; 16 * 1024];
    while stdout.is_some() || stderr.is_some() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // One that never stops printing is always ready.
            return Read::TooLong;
        }
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let mut fds = Vec::with_capacity(2);
        fds.extend(
            stdout.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)),
        );
        fds.extend(
            stderr.as_ref().map(|pipe| PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)),
        );
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => return Read::TooLong,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Read::TooLong,
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut ready = ready.into_iter();
        if stdout.is_some() && ready.next() == Some(true) {
            take(&mut stdout, out, &mut chunk);
            if is_whole(out) {
                return Read::Whole;
            }
            if out.len() > MOST_PRINTED {
                return Read::TooMuch;
            }
        }
        if stderr.is_some() && ready.next() == Some(true) {
            take(&mut stderr, err, &mut chunk);
            err.truncate(MOST_SAID);
        }
    }
    Read::Ended
}

/// Reads once from a pipe that is ready; at its end the pipe is gone.
fn take<R: io::Read>(pipe: &mut Option<R>, into: &mut Vec<u8>, chunk: &mut [u8]) {
    if let Some(reader) = pipe {
        match reader.read(chunk) {
            Ok(0) => *pipe = None,
            Ok(read) => into.extend_from_slice(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => *pipe = None,
        }
    }
}

/// Waits for the end of a child that has closed its outputs and so is about to end.
fn wait(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_micros(50);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(5));
            }
            _ => return None,
        }
    }
}

/// What tmux calls its version, as far as it decides what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 of 3.2a.
    pub major: u32,
    /// 2 of 3.2a.
    pub minor: u32,
}

impl Version {
    /// Reads `3.2a`, `next-3.8`, `tmux 3.3a`. What has no number (a build from the head of
    /// development, OpenBSD's) is taken as the newest.
    pub fn parse(text: &str) -> Version {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let mut parts = digits.split('.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        });
        let newest = Version { major: u32::MAX, minor: 0 };
        if text.contains("openbsd") {
            return newest;
        }
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => Version { major, minor },
            _ => newest,
        }
    }

    /// Whether this is `major.minor` or newer.
    pub fn at_least(self, major: u32, minor: u32) -> bool {
        self >= Version { major, minor }
    }
}

/// Where the sockets of `tmux -L` are: `tmux-<uid>` in `$TMUX_TMPDIR`, else in /tmp.
pub fn socket_folder(tmux_tmpdir: Option<&Path>) -> PathBuf {
    let base = tmux_tmpdir.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("/tmp"));
    let base = base.canonicalize().unwrap_or_else(|_| base.to_owned());
    base.join(socket_folder_name())
}

/// What that folder is called, wherever it is.
pub fn socket_folder_name() -> String {
    format!("tmux-{}", rustix::process::getuid().as_raw())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tmux_prints_them() {
        let v = |major, minor| Version { major, minor };
        assert_eq!(Version::parse("3.0a"), v(3, 0));
        assert_eq!(Version::parse("tmux 3.3a"), v(3, 3));
        assert_eq!(Version::parse("next-3.8"), v(3, 8));
        assert!(Version::parse("master").at_least(3, 2));
        assert!(Version::parse("openbsd-7.4").at_least(3, 2));
        assert!(!Version::parse("3.1c").at_least(3, 2));
        assert!(Version::parse("10.0").at_least(3, 2));
    }
}
