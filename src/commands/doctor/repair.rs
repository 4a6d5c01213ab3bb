//! What `doctor --fix` does.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tmux_roster::config::{Environment, Place};
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::tmux::{ANSWER_LIMIT, Running, Tmux, TmuxError, program};
use tmux_roster::transaction::{self, SyncError, Trigger, pace};
use tmux_roster::{persist, sync};

use crate::commands::doctor::{Examination, Finding, Repair};
use crate::commands::load;

/// Does the repairs and tells of each how it went.
pub fn mend(examined: &Examination) -> Vec<Finding> {
    let mut exam = Examination::default();
    let Some(place) = &examined.place else { return exam.findings };
    let store = transaction::store(place, Trigger::Person);
    for repair in &examined.repairs {
        // Whoever holds the lock clears away temporary files, those for source-file among them.
        let held = match repair {
            Repair::Tell(..) | Repair::Load => store.lock().ok(),
            _ => None,
        };
        let (what, done) = match repair {
            Repair::Private(path, mode) => (
                format!("set the mode of {} to {mode:04o}", path.display()),
                make_private(path, *mode),
            ),
            Repair::Tell(what, lines) => {
                (format!("put {what} back"), put_back(place, examined.server, lines))
            }
            Repair::Load => {
                let loaded = load::load_again(&Environment::read(), place);
                let loaded = loaded.map_err(|failure| failure.text().to_owned());
                drop(held);
                // The jobs that loading starts may take their time, and what is looked at next is
                // what there is then.
                let _ = sync::sync(place, Trigger::Person);
                let _ = look(place, examined.server, examined.old_mark);
                ("loaded the plugin".to_owned(), loaded)
            }
            Repair::Socket => {
                let made = make_socket(place);
                // Whoever took its place meanwhile is no more.
                let _ = sync::sync(place, Trigger::Person);
                ("reached the server through a new socket".to_owned(), made)
            }
            Repair::Look => (
                "looked at all windows".to_owned(),
                look(place, examined.server, examined.old_mark),
            ),
            Repair::Windows => {
                let mended = store.lock().and_then(|locked| persist::mend_windows(place, &locked));
                let mended = mended.map_err(|error| error.to_string());
                ("kept the damaged record of windows aside".to_owned(), mended)
            }
            Repair::Sync => {
                let synced = match sync::sync(place, Trigger::Person) {
                    // The files were read under the lock, which mends a damaged one.
                    Err(SyncError::Tmux(TmuxError::NoServer { .. })) => Ok(()),
                    synced => synced.map(drop),
                };
                (
                    "synchronized the registry with tmux".to_owned(),
                    synced.map_err(|e| e.to_string()),
                )
            }
        };
        match done {
            Ok(()) => exam.ok("mended", &what),
            Err(error) => exam.problem("mended", &format!("not done ({what}): {error}"), ""),
        }
    }
    exam.findings
}

/// Takes a look as the job of an event does, which says nothing: what is found next tells how it
/// went.
fn look(place: &Place, server: Option<ServerId>, old_mark: bool) -> Result<(), String> {
    let server = server.ok_or("no server answers")?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut tmux = place.tmux.socket.clone().into_os_string();
    tmux.push(format!(",{},-1", server.pid));
    let mut job = Command::new(program);
    job.args(["sync", "--hook", "--windows", "--dir"]).arg(&place.dir);
    job.arg("--tmux").arg(&place.tmux.program).args(old_mark.then_some("--old-mark"));
    job.env("TMUX", tmux).env_remove("TMUX_PANE").current_dir("/");
    let limit = Instant::now() + pace::until_look(place) + ANSWER_LIMIT;
    let job = Running::start(job).map_err(|error| error.to_string())?;
    job.finish(limit).map(drop).map_err(|error| error.to_string())
}

/// Has the server make its socket again, unless another server already answers there.
fn make_socket(place: &Place) -> Result<(), String> {
    let answers = || place.ask(Instant::now() + ANSWER_LIMIT);
    if let Some(folder) = place.tmux.socket.parent() {
        // tmux does not make it, and takes no other's.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    }
    let none = match answers() {
        Err(none @ TmuxError::NoServer { .. }) => none,
        Err(error) => return Err(error.to_string()),
        Ok(_) => return Err("a server answers there now".into()),
    };
    let memory = persist::peek(place).map_err(|error| error.to_string())?.memory;
    let TmuxError::Unreachable { pid, .. } = transaction::without_socket(none, &memory) else {
        return Err("the server has exited meanwhile".into());
    };
    let process = pid.try_into().ok().and_then(Pid::from_raw).ok_or("it has no process")?;
    kill_process(process, Signal::USR1).map_err(|error| error.to_string())?;
    let until = Instant::now() + ANSWER_LIMIT;
    // The tmux that is found where no server answers may be of another version.
    let program = program::of_process(pid).unwrap_or_else(|| place.tmux.program.clone());
    let own = Place { tmux: Tmux { program, ..place.tmux.clone() }, dir: place.dir.clone() };
    loop {
        match own.ask(Instant::now() + ANSWER_LIMIT) {
            Ok(_) => return Ok(()),
            Err(TmuxError::NoServer { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn make_private(path: &Path, mode: u32) -> Result<(), String> {
    let changed = fs::symlink_metadata(path).and_then(|found| match found.is_symlink() {
        true => Err(io::Error::other("it is a symbolic link now")),
        false => fs::set_permissions(path, Permissions::from_mode(mode)),
    });
    changed.map_err(|error| error.to_string())
}

fn put_back(place: &Place, server: Option<ServerId>, lines: &[Vec<u8>]) -> Result<(), String> {
    let done = place.run_lines(server, lines, Instant::now() + ANSWER_LIMIT);
    done.map(drop).map_err(|error| error.to_string())
}
