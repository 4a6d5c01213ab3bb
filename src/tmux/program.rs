//! Which program is called: our own, and the tmux that a server runs, as /proc tells it, since a
//! client of another version may hang (FACTS.md, "Clients of other versions").
//!
//! Where that program was replaced on the disk, as an upgrade does, it can still be called, by
//! `/proc/PID/exe`. Such a path is for the next call and nothing else: it is told to nobody and
//! not kept, since process ids are used again.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the system puts behind the path of a file that is not there any more.
const DELETED: &[u8] = b" (deleted)";

/// Our own program, where it can be called: it may have been replaced since it began.
pub fn ourselves() -> Option<PathBuf> {
    std::env::current_exe().ok().filter(|own| own.is_file())
}

/// How to call the program that a process runs, if that can be known.
pub fn of_process(pid: u32) -> Option<PathBuf> {
    let running = running(pid);
    let link = fs::read_link(&running).ok().filter(|_| is_our_proc())?;
    Some(if is_same_file(&link, &running) { link } else { running })
}

/// How to call the program of a process where it was replaced since the process began, by what
/// `/proc/PID/exe` was just seen to lead to: where it was not, that costs nothing.
pub fn if_replaced(pid: u32, link: &Path) -> Option<PathBuf> {
    // A program may be called like that.
    let running = without_mark(link).map(|_| running(pid))?;
    (is_our_proc() && !is_same_file(link, &running)).then_some(running)
}

/// Whether the program of a process was replaced, if that can be known.
pub fn is_replaced(pid: u32) -> Option<bool> {
    let link = fs::read_link(running(pid)).ok()?;
    Some(if_replaced(pid, &link).is_some())
}

/// Where a program is, or was before it was replaced: what others may be told. `None` if it was
/// named by a process that has ended.
pub fn on_disk(program: &Path) -> Option<PathBuf> {
    let pid = program.parent().filter(|_| program.ends_with("exe")).and_then(Path::file_name);
    let pid = pid.and_then(|pid| pid.to_str()?.parse().ok());
    if pid.is_none_or(|pid| running(pid) != program) {
        return Some(program.to_owned());
    }
    let link = fs::read_link(program).ok()?;
    let before = without_mark(&link).filter(|_| !is_same_file(&link, program));
    Some(before.map_or_else(|| link.clone(), PathBuf::from))
}

/// Whether /proc knows processes by the same ids as we do: it may be another container's.
pub fn is_our_proc() -> bool {
    fs::read_link("/proc/self").is_ok_and(|own| own == Path::new(&std::process::id().to_string()))
}

fn running(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/exe"))
}

pub(super) fn without_mark(link: &Path) -> Option<&Path> {
    let path = link.as_os_str().as_bytes().strip_suffix(DELETED)?;
    Some(Path::new(OsStr::from_bytes(path)))
}

pub(super) fn is_same_file(a: &Path, b: &Path) -> bool {
    let identity = |path| fs::metadata(path).map(|found| (found.dev(), found.ino()));
    matches!((identity(a), identity(b)), (Ok(a), Ok(b)) if a == b)
}
