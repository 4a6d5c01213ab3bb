//! The server as a process: starting one, whether the one of a job still lives, how busy it is
//! (FACTS.md, "A server's end").

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::text::{escape_format, quote_sh};
use super::{ANSWER_LIMIT, Tmux, TmuxError, program, socket_folder_name};

/// Tells a job that takes a look once more, after a sync that failed, how long it was put off.
pub const RETRY_VARIABLE: &str = "ROSTER_RETRY";

/// What a hook's job knows of the server that started it.
pub enum JobServer {
    /// It lives, or nobody can tell.
    Lives,
    /// Its program was replaced on the disk since it began. What is there now may be of another
    /// version, whose client may hang: it is called in this way.
    Replaced(PathBuf),
    /// Another that starts in its place is not to be asked: before tmux 3.2 one that meets a second
    /// client in its first moment does not load its configuration.
    Ended,
}

impl JobServer {
    /// Looks at the process of this id.
    pub fn look(pid: u32) -> JobServer {
        match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(link) => {
                program::if_replaced(pid, &link).map_or(JobServer::Lives, JobServer::Replaced)
            }
            // Linux tells of one as well that ended and whose parent did not ask for it yet, as in
            // a container whose first process is no init.
            Err(error) if error.kind() == ErrorKind::NotFound && program::is_our_proc() => {
                JobServer::Ended
            }
            Err(_) => {
                let pid = pid.try_into().ok().and_then(Pid::from_raw);
                let ended = pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
                if ended { JobServer::Ended } else { JobServer::Lives }
            }
        }
    }

    /// What to call the server with, where that is not the program that the job was told.
    pub fn replaced(&self, tmux: &Tmux) -> Option<Tmux> {
        let JobServer::Replaced(program) = self else { return None };
        Some(Tmux { program: program.clone(), ..tmux.clone() })
    }
}

/// The process id of the server that started this job.
pub fn job_server() -> Option<u32> {
    pid_in(&std::env::var("TMUX").ok()?)
}

pub(crate) fn pid_in(tmux: &str) -> Option<u32> {
    tmux.rsplit(',').nth(1)?.parse().ok()
}

/// For how long a process has run so far, exact to the switch; where the system does not tell
/// (only Linux does), nothing.
pub(crate) fn time_on_cpu(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The directory that a server was started in, if that is known to be gone.
pub fn lost_directory(pid: u32) -> Option<PathBuf> {
    let own = PathBuf::from(format!("/proc/{pid}/cwd"));
    let link = fs::read_link(&own).ok().filter(|_| program::is_our_proc())?;
    let before = program::without_mark(&link)?;
    (!program::is_same_file(&link, &own)).then(|| before.to_owned())
}

/// Set in a server that we started and that is to end by itself, until it has a session.
pub(crate) const STARTING: &str = "@roster_starting";

/// Starts a server that has no sessions and stays for a moment, so that its configuration is
/// loaded before the first session is made. Tells whether it is to end by itself again when it
/// has none, as is tmux's default: then [`let_end`] is to follow. The files of `config` that are there
/// are its configuration; where none is, tmux chooses.
///
/// # Errors
/// tmux cannot start one.
pub fn start(tmux: &Tmux, config: &[PathBuf]) -> Result<bool, TmuxError> {
    let config = config.iter().filter(|file| file.exists());
    let mut args: Vec<&OsStr> =
        config.flat_map(|file| [OsStr::new("-f"), file.as_os_str()]).collect();
    let start = "start-server ; show-options -sv exit-empty ; set-option -s exit-empty off";
    args.extend(start.split(' ').map(OsStr::new));
    // `tmux -L` makes the folder of its sockets, which a reboot takes away, and `tmux -S` does not.
    if let Some(folder) = tmux.socket.parent() {
        if folder.ends_with(socket_folder_name()) && !folder.exists() {
            let _ = DirBuilder::new().mode(0o700).create(folder);
        }
    }
    // The user's configuration is loaded meanwhile.
    let printed = tmux.run(&args, Instant::now() + Duration::from_secs(30))?;
    let ends = String::from_utf8_lossy(&printed).lines().any(|line| line == "on");
    if ends {
        // Should we be cut off before `let_end`, a job does its work (before 3.2 there is no such
        // timer). The job calls tmux anew, since a control-mode client would get the replies to
        // commands that tmux runs by itself.
        let mut then = quote_sh(tmux.program.as_os_str().as_bytes());
        then.extend_from_slice(
            b" if-shell -F '#{@roster_starting}' 'set-option -s exit-empty on ; \
              set-option -gu @roster_starting' >/dev/null 2>&1 || :",
        );
        let then = OsString::from_vec(escape_format(&then));
        let mut later: Vec<OsString> = ["run-shell", "-b", "-d", "20"].map(Into::into).into();
        later.push(then);
        later.extend([";", "set-option", "-g", "@roster_starting", "1"].map(Into::into));
        let _ = tmux.run(&later, Instant::now() + ANSWER_LIMIT);
    }
    Ok(ends)
}

/// Lets the server end with its last session again.
pub fn let_end(tmux: &Tmux) {
    let end =
        ["set-option", "-s", "exit-empty", "on", ";", "set-option", "-gu", "@roster_starting"];
    let _ = tmux.run(&end, Instant::now() + ANSWER_LIMIT);
}
