//! The program as a hook starts it and as somebody types it, with any tmux program.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{ROSTER, Server, script, tmux_version, wait_for};

/// A job as a hook starts it, with this tmux program.
pub fn hook_job(server: &Server, tmux: &Path) -> Command {
    hook_job_in(server, tmux, server.registry_path().parent().unwrap())
}

/// The same for a registry in another folder.
pub fn hook_job_in(server: &Server, tmux: &Path, dir: &Path) -> Command {
    let mut command = server.command(ROSTER);
    command.args(["-L", "s", "sync", "--hook", "--dir"]).arg(dir).arg("--tmux").arg(tmux);
    if tmux_version() < (3, 2) {
        command.arg("--old-mark");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A job that holds the lock, asks a tmux that never answers, and is stopped there; until this is
/// dropped.
pub struct StoppedHolder {
    job: Child,
    tmux: Pid,
}

impl StoppedHolder {
    pub fn start(server: &Server) -> StoppedHolder {
        // A job of a hook that asks meanwhile would leave this one nothing to do.
        server.wait_for_jobs();
        let (stub, asked) = (server.path("hanging"), server.path("asked"));
        let _ = fs::remove_file(&asked);
        script(&stub, &format!("echo $$ >'{}'; exec sleep 60", asked.display()));
        let job = hook_job(server, &stub).spawn().unwrap();
        let pid = || Pid::from_raw(fs::read_to_string(&asked).ok()?.trim().parse().ok()?);
        let tmux = wait_for(pid, || "the question to tmux".into());
        kill_process(Pid::from_child(&job), Signal::STOP).unwrap();
        StoppedHolder { job, tmux }
    }
}

impl Drop for StoppedHolder {
    fn drop(&mut self) {
        let _ = self.job.kill();
        let _ = self.job.wait();
        let _ = kill_process(self.tmux, Signal::KILL);
    }
}

/// A typed command with this tmux program.
pub fn typed(server: &Server, tmux: &Path, args: &[&str]) -> Output {
    let mut command = server.command(ROSTER);
    command.envs(server.published(tmux)).args(["-L", "s"]).args(args).output().unwrap()
}
