//! A tmux, or any other program, at work: its answer is read within a limit of time and size.

use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::TmuxError;

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
