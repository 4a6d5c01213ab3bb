//! The program as a hook starts it and as somebody types it, with any tmux program.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{Folder, ROSTER, Server, script, tmux_version, wait_for};

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

/// Whether a job of a hook works on a registry in a folder.
pub fn jobs_in(folder: &Folder) -> io::Result<bool> {
    let folder = folder.path().display().to_string();
    let printed = Command::new("ps").args(["-A", "-ww", "-o", "args="]).output()?;
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    Ok(text.lines().any(|line| line.contains(" sync --hook") && line.contains(&folder)))
}

/// A job that holds the lock, asks a tmux that never answers, and is stopped there.
pub fn stopped_holder(server: &Server) -> Child {
    // A job of a hook that asks meanwhile would leave this one nothing to do.
    server.wait_for_jobs();
    let (stub, asked) = (server.path("hanging"), server.path("asked"));
    let _ = fs::remove_file(&asked);
    script(&stub, &format!(": >'{}'; exec sleep 60", asked.display()));
    let holder = hook_job(server, &stub).spawn().unwrap();
    wait_for(|| asked.exists().then_some(()), || "the question to tmux".into());
    kill_process(Pid::from_child(&holder), Signal::STOP).unwrap();
    holder
}

/// A typed command with this tmux program.
pub fn typed(server: &Server, tmux: &Path, args: &[&str]) -> Output {
    let mut command = server.command(ROSTER);
    command.envs(server.published(tmux)).args(["-L", "s"]).args(args).output().unwrap()
}
