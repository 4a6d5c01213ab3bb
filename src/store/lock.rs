//! The only code that opens the lock file.
//!
//! The lock is a POSIX record lock: it belongs to the process, any close of the file by its
//! holder releases it, and the kernel releases it when the holder dies. So the file is opened
//! once, here, and a mutex keeps threads of one process apart.
//!
//! Other programs take a flock(2) on the same file, and on Linux's local file systems the two
//! kinds do not meet: there we hold both. The record lock comes first, and nobody waits with one
//! in hand: who is refused the flock lets go of both, so a program that has a flock and waits
//! for the record lock gets it. Of ours only one at a time comes as far as the flock, so they do
//! not turn each other away. A flock belongs to the open file, which children would inherit: std
//! opens every file close-on-exec.

use std::fs::{self, File, FileTimes, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant, SystemTime};

use file_lock::{FileLock, FileOptions};
use rustix::fs::Access;
use rustix::process::{Flock, FlockType, Pid, fcntl_getlk};

use super::StoreError;
use crate::files::{PRIVATE, check_owner, create_new, io_error};

static IN_THIS_PROCESS: Mutex<()> = Mutex::new(());

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct LockGuard {
    lock: FileLock,
    _of_target: Option<FileLock>,
    _threads: MutexGuard<'static, ()>,
}

/// What the lock file's own times tell: it is empty, and nobody reads or writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// When the last query of tmux began (the time of modification, to a tenth of a millisecond).
    pub queried: SystemTime,
    /// When the hooks were last checked (the time of access).
    pub hooks_checked: SystemTime,
    /// Where the sync that asked then came to its end, with nothing left to do: the mark of the
    /// server that it asked, else 0 (the rest of the time of modification).
    pub carried_through: u32,
}

/// So many marks, and nanoseconds, are a tenth of a millisecond.
const MARKS: u32 = 100_000;

impl Times {
    const NEVER: Times = Times {
        queried: SystemTime::UNIX_EPOCH,
        hooks_checked: SystemTime::UNIX_EPOCH,
        carried_through: 0,
    };

    /// The mark of a server, derived from its process id. Another program's time passes for a
    /// given mark about once in 100,000 times.
    pub fn mark(pid: u32) -> u32 {
        1 + pid % (MARKS - 1)
    }

    fn of(file: &Metadata) -> io::Result<Times> {
        let (modified, hooks_checked) = (file.modified()?, file.accessed()?);
        let rest = rest_of(modified);
        let queried = modified - nanos(rest);
        Ok(Times { queried, hooks_checked, carried_through: rest })
    }
}

fn rest_of(time: SystemTime) -> u32 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos() % MARKS)
}

fn nanos(count: u32) -> Duration {
    Duration::from_nanos(count.into())
}

impl LockGuard {
    pub(super) fn times(&self) -> Times {
        self.lock.file.metadata().and_then(|found| Times::of(&found)).unwrap_or(Times::NEVER)
    }

    pub(super) fn set_times(&self, times: Times) {
        let queried = times.queried - nanos(rest_of(times.queried));
        let modified = queried + nanos(times.carried_through);
        let times = FileTimes::new().set_modified(modified).set_accessed(times.hooks_checked);
        // Only the pace of queries depends on it.
        let _ = self.lock.file.set_times(times);
    }
}

/// Waits for the lock at `path`, but not longer than `wait` for one holder, nor than `longest` for
/// all: a queue that makes progress is no reason to give up. Where the registry is a link,
/// `of_target` is the lock of what it leads to, which others may come to by another way; it comes
/// second with everybody.
pub(super) fn acquire(
    path: &Path,
    of_target: Option<&Path>,
    wait: Duration,
    longest: Duration,
) -> Result<LockGuard, StoreError> {
    let mut pauses = Pauses { start: Instant::now(), pause: Duration::from_micros(300) };
    let threads = loop {
        match IN_THIS_PROCESS.try_lock() {
            Ok(guard) => break guard,
            Err(TryLockError::Poisoned(guard)) => break PoisonError::into_inner(guard),
            Err(TryLockError::WouldBlock) if pauses.rest(longest) => {}
            Err(TryLockError::WouldBlock) => return Err(pauses.busy(path)),
        }
    };
    let lock = lock_file(path, wait, longest, &mut pauses)?;
    // Of one file with two names, we would refuse ourselves the second flock.
    let of_target = of_target.filter(|path| !is_same(path, &lock).unwrap_or(false));
    let of_target =
        of_target.map(|path| lock_file(path, wait, longest, &mut pauses)).transpose()?;
    Ok(LockGuard { lock, _of_target: of_target, _threads: threads })
}

/// The waits of one that wants a lock: short ones first.
struct Pauses {
    start: Instant,
    pause: Duration,
}

impl Pauses {
    /// Waits a little; `false` if the limit since the start is over.
    fn rest(&mut self, limit: Duration) -> bool {
        let left = limit.saturating_sub(self.start.elapsed());
        if left.is_zero() {
            return false;
        }
        std::thread::sleep(self.pause.min(left));
        self.pause = (self.pause * 2).min(Duration::from_millis(5));
        true
    }

    fn busy(&self, lock: &Path) -> StoreError {
        StoreError::Busy { lock: lock.to_owned(), waited: self.start.elapsed() }
    }
}

fn lock_file(
    path: &Path,
    wait: Duration,
    longest: Duration,
    pauses: &mut Pauses,
) -> Result<FileLock, StoreError> {
    let (mut limit, mut before) = (wait, None);
    prepare(path)?;
    loop {
        if let Some(lock) = try_both(path).map_err(io_error("lock", path))? {
            check_same(path, &lock)?;
            return Ok(lock);
        }
        // Under `threads`: nobody in this process holds what closing the file would free.
        if before.is_none() && longest > wait {
            before = holder(path);
        }
        if pauses.rest(limit) {
            continue;
        }
        let now = holder(path);
        if limit >= longest || now == before {
            return Err(pauses.busy(path));
        }
        (limit, before) = ((limit + wait).min(longest), now);
    }
}

/// The record lock and the flock, or neither: `None` if another has one of them.
fn try_both(path: &Path) -> io::Result<Option<FileLock>> {
    match FileLock::lock(path, false, FileOptions::new().write(true)) {
        // What is dropped is freed.
        Ok(lock) => Ok(add_flock(&lock.file).then_some(lock)),
        Err(error) if is_held(path, &error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the flock on a file whose record lock we have; `false` if another has it.
///
/// Where nobody can have one (ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS, or what else a file system says
/// there), the record lock is all there is.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn add_flock(file: &File) -> bool {
    use rustix::fs::{FlockOperation, flock};
    use rustix::io::Errno;

    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Err(Errno::INTR) => false,
        Err(Errno::WOULDBLOCK) => !keeps_apart(file),
        Ok(()) | Err(_) => true,
    }
}

/// On macOS and the BSDs the two kinds exclude each other, even within one process: our record
/// lock keeps every flock away, ours too. (FreeBSD's flock(2) says so; XNU's kern_lockf.c has one
/// list for both, and the owner of a flock is the open file.)
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn add_flock(_: &File) -> bool {
    true
}

/// Whether flocks and record locks on this file do not meet, so that who refused us a flock is
/// another. Asked only then: it is a system call.
///
/// Linux keeps them apart on file systems that have no locks of their own, as these. NFS and SMB
/// (flock(2) tells it), 9p, Lustre and some of FUSE (their sources do) make a record lock of a
/// flock, and not one of ours: our own refuses us the flock, and keeps others' away. Of those that
/// we do not know we believe the same: else we might wait for ourselves, and nobody could write
/// any more.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn keeps_apart(file: &File) -> bool {
    const LOCAL: [u32; 13] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // XFS
        0x9123_683e, // Btrfs
        0x0102_1994, // tmpfs
        0x794c_7630, // overlayfs
        0x2fc1_2fc1, // ZFS
        0xf2f5_2010, // F2FS
        0xca45_1a4e, // bcachefs
        0xf15f,      // eCryptfs
        0x8584_58f6, // ramfs
        0x3153_464a, // JFS
        0x5265_4973, // ReiserFS
        0x3434,      // NILFS
    ];
    rustix::fs::fstatfs(file).is_ok_and(|found| LOCAL.contains(&(found.f_type as u32)))
}

/// The process that holds the lock, if there is one and the system tells: that with the flock,
/// which ours have too, else that with the record lock. The flock comes first as whoever waits
/// for it has the record lock for a moment, too, and holds nobody up. (macOS tells -1 of a flock.)
fn holder(path: &Path) -> Option<Pid> {
    let file = File::open(path).ok()?;
    let of_flock = file.metadata().ok().and_then(|found| holder_of_flock(found.ino()));
    of_flock.or_else(|| fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??.pid)
}

/// From Linux's /proc/locks, where lines like `1: FLOCK  ADVISORY  WRITE 708 00:13:22 0 EOF` have
/// the process behind the kind, and device and inode behind that. The device is not always the one
/// that stat(2) tells (Btrfs, overlayfs). Who waits has `->` before the kind. A line may come twice
/// while others come and go.
fn holder_of_flock(inode: u64) -> Option<Pid> {
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        let (_, found) = file.rsplit_once(':')?;
        let pid = pid.parse().ok().filter(|pid| *pid > 0)?;
        Pid::from_raw(pid).filter(|_| found.parse() == Ok(inode))
    })
}

/// Makes the lock file, private, if it is not there; refuses a link and another user's file.
pub(crate) fn prepare(path: &Path) -> Result<(), StoreError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(check_owner(path, &found)?),
        Ok(_) => Err(StoreError::NotOurs { path: path.to_owned(), reason: "it is not a file" }),
        Err(_) => match create_new(path, PRIVATE) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error("make the lock", path)(error).into())
            }
            _ => Ok(()),
        },
    }
}

/// The file that we locked is the one that stands at `path`, and no link was put there.
pub(crate) fn check_same(path: &Path, lock: &FileLock) -> Result<(), StoreError> {
    if is_same(path, lock).map_err(io_error("lock", path))? {
        return Ok(());
    }
    Err(StoreError::NotOurs { path: path.to_owned(), reason: "it was replaced meanwhile" })
}

fn is_same(path: &Path, lock: &FileLock) -> io::Result<bool> {
    let locked = lock.file.metadata()?;
    let named = fs::symlink_metadata(path)?;
    Ok((locked.dev(), locked.ino()) == (named.dev(), named.ino()))
}

pub(crate) fn is_held(path: &Path, error: &io::Error) -> bool {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => true,
        // What some systems say of a held lock is what all say of a file that we may not open.
        io::ErrorKind::PermissionDenied => rustix::fs::access(path, Access::WRITE_OK).is_ok(),
        _ => false,
    }
}

/// When the last query began and the hooks were checked, without the lock: for doctor.
/// Opening and closing the lock file would release a lock that this process holds, so this
/// only asks for its times.
pub(super) fn peek(path: &Path) -> Option<Times> {
    let found = fs::symlink_metadata(path).ok()?;
    Times::of(&found).ok()
}
