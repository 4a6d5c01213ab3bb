//! When a look at windows is taken: a second after the event, one for all that come meanwhile, and
//! so that asking takes a fiftieth of tmux's time at most.
//!
//! windows.lock keeps the pace. Who waits for the next look holds the lock on it, and has written into
//! it for which server; its time of modification tells when that look may begin. The mark in tmux only
//! spares it jobs that would find the lock held.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use file_lock::{FileLock, FileOptions};

use crate::config::Place;
use crate::files::{self, io_error};
use crate::log::log;
use crate::store::{StoreError, check_same, is_held, prepare};
use crate::tmux::server::{JobServer, job_server};

/// How long after an event a look is taken.
const LATE: Duration = Duration::from_secs(1);

/// After a look that took tmux some time, so many times that time passes before the next: so that it is
/// a fiftieth of all, with what tmux does for a job before and after it asks.
const SHARE: u32 = 55;

/// What tmux does then: it forks, and takes leave of a client (measured by `scripts/bench`).
const A_JOB: Duration = Duration::from_millis(10);

/// Nobody waits longer than this.
const LONGEST: Duration = Duration::from_secs(30);

fn path(place: &Place) -> PathBuf {
    place.dir.join("windows.lock")
}

/// How long who waits for a server that has ended may take to notice that.
const HANDOVER: Duration = Duration::from_secs(2);

/// Waits until a look at windows is to be taken. `false` if there is none to take: another job of
/// this server waits already, or the server has ended.
pub fn wait_for_look(place: &Place) -> bool {
    let path = path(place);
    if !files::exists(&place.dir) {
        // Nothing is recorded there, and the registry's lock says so.
        return true;
    }
    let (asked, server) = (Instant::now(), job_server().unwrap_or_default());
    let waiting_for = || files::read(&path).ok().flatten().map(|text| server_in(&text));
    let turn = loop {
        match take(&path) {
            Ok(Some(turn)) => break turn,
            // One of the server before this one looks at nothing any more, and our mark stands.
            Ok(None) if waiting_for() != Some(server) && asked.elapsed() < HANDOVER => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Ok(None) => return false,
            Err(error) => {
                // One look at the wrong time is better than none.
                log(place, &format!("windows: {error}"));
                std::thread::sleep(LATE);
                return true;
            }
        }
    };
    note_server(&turn.file, server);
    let due = asked + LATE;
    loop {
        let left = due.saturating_duration_since(Instant::now()).max(until_next(&turn.file));
        if left.is_zero() {
            return true;
        }
        if job_server().is_some_and(|pid| matches!(JobServer::look(pid), JobServer::Ended)) {
            return false;
        }
        std::thread::sleep(left.min(Duration::from_millis(500)));
    }
}

/// The lock, which keeps a link and another user's file out; `None` if somebody has it.
fn take(path: &Path) -> Result<Option<FileLock>, StoreError> {
    prepare(path)?;
    match FileLock::lock(path, false, FileOptions::new().read(true).write(true)) {
        Ok(turn) => {
            check_same(path, &turn)?;
            let links = turn.file.metadata().map_or(1, |found| found.nlink());
            match links {
                1 => Ok(Some(turn)),
                // It is written to.
                _ => Err(StoreError::NotOurs {
                    path: path.to_owned(),
                    reason: "it has another name, too",
                }),
            }
        }
        Err(error) if is_held(path, &error) => Ok(None),
        Err(error) => Err(io_error("lock", path)(error).into()),
    }
}

/// The process id of the server whose job waits, as it stands in the file.
fn server_in(text: &[u8]) -> u32 {
    String::from_utf8_lossy(text).parse().unwrap_or_default()
}

/// Notes for whom we wait. (The file is not opened once more: closing that would release the lock.)
fn note_server(mut file: &File, server: u32) {
    let mut text = Vec::new();
    let read = file.read_to_end(&mut text);
    if read.is_ok() && server_in(&text) == server {
        return;
    }
    // The time of modification means something else.
    let next = file.metadata().and_then(|found| found.modified());
    let written = file
        .set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)))
        .and_then(|_| file.write_all(server.to_string().as_bytes()));
    if let (Ok(()), Ok(next)) = (written, next) {
        let _ = file.set_modified(next);
    }
}

/// How long it is until the next look may begin.
fn until_next(file: &File) -> Duration {
    let next = file.metadata().and_then(|found| found.modified());
    let left = next.ok().and_then(|next| next.duration_since(SystemTime::now()).ok());
    // A clock that was set back makes nobody wait.
    left.filter(|left| *left <= LONGEST).unwrap_or_default()
}

/// How long it is until the job of an event that comes now has taken its look, but for the time
/// that this takes.
pub fn until_look(place: &Place) -> Duration {
    // Nobody takes the lock for this: it would be taken for a job that waits.
    let path = path(place);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let file = File::open(path).ok().filter(|_| is_file);
    file.map_or(LATE, |file| until_next(&file).max(LATE))
}

/// Notes when the next look may begin after one that took tmux so long.
pub fn note_look(place: &Place, took: Duration) {
    let pause = ((took + A_JOB) * SHARE).clamp(LATE, LONGEST);
    let path = path(place);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let file = File::options().write(true).open(&path).ok().filter(|_| is_file);
    if let Some(file) = file {
        let _ = file.set_modified(SystemTime::now() + pause);
    }
}
