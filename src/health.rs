//! Whether a live session is well: its directory is there, and one of its panes lives.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::aside::{Found, aside};
use crate::model::memory::Exact;
use crate::model::session::Session;
use crate::model::snapshot::LiveSession;
use crate::tmux::Tmux;

pub use crate::model::session::{LOST, NO_SERVER};

/// The directory is there and can be entered, and a pane lives.
pub const OK: &str = "ok";
/// The working directory is gone, is no directory, or cannot be entered.
pub const WORKDIR_MISSING: &str = "workdir-missing";
/// Every pane's process has ended (`remain-on-exit`).
pub const PANE_DEAD: &str = "pane-dead";
/// We made it anew after it was lost or closed.
pub const RECREATED: &str = "recreated";
/// Its record was taken from a backup.
pub const RECOVERED: &str = "recovered";

/// How long a directory may take to answer: a network that hangs must not hold the lock.
const DIRECTORY_LIMIT: Duration = Duration::from_millis(500);

/// How long a sync may take for the health of those that were come to: each of their directories
/// may be on a network that hangs.
pub(crate) const HEALTH_LIMIT: Duration = Duration::from_secs(1);

/// Whether a status counts as well.
pub fn is_well(status: &str) -> bool {
    matches!(status, OK | RECREATED | RECOVERED)
}

/// The status of a live session; `None` if it cannot be told now.
pub fn check(
    tmux: &Tmux,
    session: &Session,
    exact: Option<&Exact>,
    live: &LiveSession,
    deadline: Instant,
) -> Option<String> {
    if !is_directory(Exact::workdir_of(exact, session))? {
        return Some(WORKDIR_MISSING.into());
    }
    if live.pane_dead {
        let id = live.id.to_string();
        let format = "#{pane_dead}#{pane_dead_status}";
        let panes = tmux.run(&["list-panes", "-s", "-t", &id, "-F", format], deadline).ok()?;
        let panes = String::from_utf8_lossy(&panes);
        if panes.lines().all(|pane| pane.starts_with('1')) {
            return Some(PANE_DEAD.into());
        }
    }
    Some(OK.into())
}

/// Whether there is a directory that can be entered; `None` if that took too long to find out. One
/// that is relative is nowhere: whoever asks may stand anywhere.
pub fn is_directory(path: Vec<u8>) -> Option<bool> {
    let path = from_home(&path).unwrap_or(path);
    if !path.starts_with(b"/") {
        return Some(false);
    }
    in_time(move || {
        let path = Path::new(OsStr::from_bytes(&path));
        fs::metadata(path).is_ok_and(|found| found.is_dir())
            && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
    })
}

/// Whether two paths lead to one directory now; `None` if that took too long to find out.
pub fn is_one_directory(one: &[u8], other: &[u8]) -> Option<bool> {
    are_one_directory(one.to_vec(), vec![other.to_vec()]).next(DIRECTORY_LIMIT).ok()
}

/// Which of these paths are, or lead to, that directory; what all of them together take too long to
/// tell is told by their spelling.
pub fn lead_to(directory: &[u8], paths: Vec<Vec<u8>>) -> Vec<bool> {
    let is_spelled = paths.iter().map(|path| path == directory).collect::<Vec<_>>();
    let deadline = Instant::now() + DIRECTORY_LIMIT;
    let answers = are_one_directory(directory.to_vec(), paths);
    let asked = || answers.next(deadline.saturating_duration_since(Instant::now()));
    // Each has its answer, and so none may be passed over.
    is_spelled.into_iter().map(|is_spelled| asked().unwrap_or(false) || is_spelled).collect()
}

/// Tells of each of these paths, one after the other, whether it leads to that directory.
fn are_one_directory(one: Vec<u8>, others: Vec<Vec<u8>>) -> Found<bool> {
    aside(move |tell| {
        let found = |path: &[u8]| {
            let path = from_home(path).unwrap_or_else(|| path.to_vec());
            fs::metadata(OsStr::from_bytes(&path)).ok().filter(|_| path.starts_with(b"/"))
        };
        let one = found(&one);
        for other in others {
            let other = one.as_ref().and_then(|_| found(&other));
            let is_one = one.as_ref().zip(other).is_some_and(|(one, other)| is_same(one, &other));
            if !tell(is_one) {
                return;
            }
        }
    })
}

/// Whether both are of the same directory.
pub(crate) fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.is_dir() && (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// What the file system says, if it does not hang.
pub(crate) fn in_time<T: Send + 'static>(ask: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let answer = aside(|tell| {
        tell(ask());
    });
    answer.next(DIRECTORY_LIMIT).ok()
}

/// The home folder.
pub fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// A path that begins in the home folder, `~` or `~/x`, with that written out.
pub fn from_home(path: &[u8]) -> Option<Vec<u8>> {
    let below = match path.strip_prefix(b"~")? {
        b"" => b"",
        below => below.strip_prefix(b"/")?,
    };
    let mut full = home()?.into_os_string().into_vec();
    if !below.is_empty() {
        full.push(b'/');
        full.extend_from_slice(below);
    }
    Some(full)
}
