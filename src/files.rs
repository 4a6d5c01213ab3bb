//! Files that nobody else may read or replace: reading, atomic replace, folders. Imports nothing of
//! the crate.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The mode of our files.
pub const PRIVATE: u32 = 0o600;

/// The largest file that we read, in bytes: far beyond any registry, well within memory.
const MAX_BYTES: u64 = 1 << 30;

/// Why a file could not be read or written. It is as it was.
#[derive(Debug)]
pub enum FileError {
    /// Another user's, or a link or a device that somebody planted: not ours to touch.
    NotOurs {
        /// What was found.
        path: PathBuf,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The system said no.
    Io {
        /// What we were doing, as in "could not read".
        verb: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::NotOurs { path, reason } => {
                write!(f, "refused to use {}: {reason}", path.display())
            }
            FileError::Io { verb, path, source } => {
                write!(f, "could not {verb} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FileError::Io { source, .. } => Some(source),
            FileError::NotOurs { .. } => None,
        }
    }
}

/// Whether a write shall survive a power cut, which costs a wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// File and folder are synced.
    Durable,
    /// The system writes when it likes.
    Lazy,
}

pub(crate) fn io_error(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { verb, path, source }
}

/// `path` with `suffix` put behind its name.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether something is there, be it a link that leads nowhere.
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The same where a folder that is closed to us must not pass for one that lacks the file.
///
/// # Errors
/// The file system does not tell.
pub fn is_there(path: &Path) -> Result<bool, FileError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.map(|_| true).map_err(io_error("read", path)),
    }
}

/// Whether the system lets nobody change it (`chattr +i`), whatever its mode is.
#[cfg(target_os = "linux")]
pub fn is_immutable(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::IMMUTABLE))
}

/// Whether the system lets nobody change it: not told here.
#[cfg(not(target_os = "linux"))]
pub fn is_immutable(_: &Path) -> bool {
    false
}

/// The bytes of a regular file of ours; `None` if there is no file.
///
/// # Errors
/// It cannot be read, is a folder or a device, belongs to another user, or is another user's link.
pub fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error("read", path))?;
    Ok(Some(bytes))
}

/// The same to be read piece by piece.
pub(crate) fn open(path: &Path) -> Result<Option<File>, FileError> {
    resolve(path)?;
    // Without O_NONBLOCK a planted FIFO would hold us for ever.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("read", path)(error)),
    };
    let found = file.metadata().map_err(io_error("read", path))?;
    if !found.is_file() {
        return Err(FileError::NotOurs { path: path.to_owned(), reason: "it is not a file" });
    }
    check_owner(path, &found)?;
    if found.len() > MAX_BYTES {
        return Err(FileError::NotOurs { path: path.to_owned(), reason: "it is over 1 GiB" });
    }
    Ok(Some(file))
}

/// Refuses what belongs to another user.
pub(crate) fn check_owner(path: &Path, found: &fs::Metadata) -> Result<(), FileError> {
    if found.uid() == rustix::process::geteuid().as_raw() {
        Ok(())
    } else {
        Err(FileError::NotOurs { path: path.to_owned(), reason: "it belongs to another user" })
    }
}

/// Makes a folder, and those above it, with mode 0700 whatever the umask; one that is there
/// stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_folder(above)?;
    }
    let made = DirBuilder::new().mode(0o700).create(path).and_then(|()| {
        let permissions = fs::metadata(path)?.permissions();
        if permissions.mode() & 0o777 == 0o700 {
            return Ok(());
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    });
    match made {
        // Somebody else was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.map_err(io_error("make", path)),
    }
}

/// The uppermost folder of a path that is not there.
pub fn first_missing(path: &Path) -> Option<PathBuf> {
    path.ancestors().take_while(|folder| !exists(folder)).last().map(Path::to_owned)
}

/// Makes a file that was not there before, 0600 less nothing, whatever the umask.
///
/// # Errors
/// It is there, or cannot be made.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if file.metadata()?.permissions().mode() & 0o7777 != mode {
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    Ok(file)
}

/// Refuses a file of so many bytes if the user's limit (`ulimit -f`) is below that: SIGXFSZ would
/// end us in the middle, without a word.
pub(crate) fn within_limit(bytes: u64) -> io::Result<()> {
    match getrlimit(Resource::Fsize).current {
        Some(limit) if limit < bytes => {
            let reason = format!("{bytes} bytes are more than `ulimit -f` allows here ({limit})");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
        }
        _ => Ok(()),
    }
}

/// Opens a private file of ours for writing, or makes it. What else stands there (a link, a
/// second name of some file, a FIFO, another's file, one that others may read) is replaced.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let opened = OpenOptions::new().write(true).custom_flags(flags).open(path);
    if let Ok(file) = opened {
        let found = file.metadata()?;
        let private = found.permissions().mode() & 0o7777 == PRIVATE;
        if found.is_file() && found.nlink() == 1 && private && check_owner(path, &found).is_ok() {
            return Ok(file);
        }
    }
    if exists(path) {
        fs::remove_file(path)?;
    }
    create_new(path, PRIVATE)
}

/// Adds `bytes` to a private file of ours in one write, or makes it. What somebody planted there gets
/// nothing, which is no error.
pub(crate) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A FIFO would hold a hook's job for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let open = || OpenOptions::new().append(true).custom_flags(flags).open(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Somebody else may be faster.
            let _ = create_new(path, PRIVATE);
            open()?
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    let ours = found.is_file() && found.nlink() == 1;
    if ours && check_owner(path, &found).is_ok() {
        within_limit(found.len() + bytes.len() as u64)?;
        file.write_all(bytes)?;
    }
    Ok(())
}

/// Puts `bytes` in the place of the file `path`, or, with [`Durability::Durable`], of the file that a link
/// there leads to; with [`Durability::Lazy`] of the link itself.
///
/// Whoever opens `path` sees the old bytes or the new ones. With [`Durability::Durable`] the new ones
/// survive a power cut from the moment that this returns. The caller holds the lock: temporary
/// files that a crash left behind are removed.
///
/// # Errors
/// Writing, syncing or renaming fails: the old file is still there. Only if the folder cannot be
/// synced, the new one is, which a power cut may take back.
pub fn replace(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    durability: Durability,
) -> Result<(), FileError> {
    replace_with(path, &[bytes], mode, durability)
}

/// The same for bytes in several parts, one after the other.
pub(crate) fn replace_with(
    path: &Path,
    parts: &[&[u8]],
    mode: u32,
    durability: Durability,
) -> Result<(), FileError> {
    let target = match durability {
        Durability::Durable => resolve(path)?,
        // What nobody would miss nobody has linked to a place of their own.
        Durability::Lazy => path.to_owned(),
    };
    let folder = folder_of(&target);
    let name = target.file_name().unwrap_or_default();
    remove_leftovers(folder, name);
    if target != path {
        // Commands for tmux are named after the link, and stand beside it.
        remove_leftovers(folder_of(path), path.file_name().unwrap_or_default());
    }
    let temporary = folder.join(temporary_name(name));
    let written = (|| {
        within_limit(parts.iter().map(|part| part.len() as u64).sum())?;
        let mut file = create_new(&temporary, mode)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        if durability == Durability::Durable {
            file.sync_all()?;
        }
        fs::rename(&temporary, &target)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(io_error("write", path)(error));
    }
    if durability == Durability::Durable {
        sync_folder(folder).map_err(io_error("sync the folder of", path))?;
    }
    Ok(())
}

/// Syncs the names in a folder. A file system that cannot (FUSE, SMB and the like) is no failure:
/// what was written is there all the same.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::INVAL | Errno::NOTSUP | Errno::NOSYS) => Ok(()),
            _ => Err(error),
        },
        synced => synced,
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Where a chain of symbolic links leads, whether or not something is there. A link that
/// another user planted is refused; those of root (an administrator's, Nix's) are not.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, FileError> {
    let mut target = path.to_owned();
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&target) else {
            // Not a link, or not there.
            return Ok(target);
        };
        let found = fs::symlink_metadata(&target).map_err(io_error("follow", &target))?;
        if found.uid() != 0 {
            check_owner(&target, &found)?;
        }
        target = target.parent().unwrap_or(Path::new("")).join(next);
    }
    Err(io_error("follow", path)(io::Error::other("too many levels of symbolic links")))
}

/// A name for a temporary file that belongs to the file `name`; see [`remove_leftovers`].
pub fn temporary_name(name: &OsStr) -> OsString {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let nanos =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".tmp.{}.{nanos}.{count}", std::process::id()));
    temporary
}

/// Removes what a crash left of the file `name`: nobody but the holder of its lock makes files of
/// such names.
pub(crate) fn remove_leftovers(folder: &Path, name: &OsStr) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let start = [b".", name.as_bytes(), b".tmp."].concat();
    for entry in entries.flatten() {
        if entry.file_name().as_bytes().starts_with(&start) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
