//! sessions.json: the store of the registry, and every operation of its format (FORMAT.md).
//!
//! Knows nothing of tmux.

mod backup;
mod lock;
pub mod migrate;
mod scan;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fmt, io};

use crate::files::{self, FileError};
use crate::model::name::{NameError, validate_name};
use crate::model::registry::{FileVersion, Registry, RegistryFile, SCHEMA_VERSION};
use crate::model::session::Session;
use crate::model::time::{Timestamp, seconds};

pub use backup::{Backup, KEPT_BACKUPS, KEPT_DAYS};
use lock::LockGuard;

/// How long a write waits for one holder of the lock, unless [`Store::waiting`] says otherwise.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);

/// Why the store could not do what it was asked to.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// No session has this name.
    NotFound(String),
    /// Another session has this name already.
    AlreadyExists(String),
    /// The new name is not valid.
    Name(NameError),
    /// The file is not a registry that we can read. It is untouched unless a write was asked
    /// for, which keeps it aside first.
    Damaged {
        /// The registry.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The file was written by a newer version; it is untouched.
    Newer {
        /// The registry.
        path: PathBuf,
        /// The version it says.
        version: FileVersion,
    },
    /// Somebody else held the lock for as long as we could wait.
    Busy {
        /// The lock file.
        lock: PathBuf,
        /// How long we waited.
        waited: Duration,
    },
    /// Another user, or a link that somebody planted: not ours to touch.
    NotOurs {
        /// What was found.
        path: PathBuf,
        /// Why it is refused.
        reason: &'static str,
    },
    /// The backup that must come first could not be made; nothing was deleted.
    NoBackup(Box<StoreError>),
    /// A migration plan that does not fit its target, or a step that failed.
    Migration(String),
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

impl From<FileError> for StoreError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotOurs { path, reason } => StoreError::NotOurs { path, reason },
            FileError::Io { verb, path, source } => StoreError::Io { verb, path, source },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::NotFound(name) => write!(f, "session {name:?} not found"),
            StoreError::AlreadyExists(name) => write!(f, "session {name:?} already exists"),
            StoreError::Name(error) => error.fmt(f),
            StoreError::Damaged { path, reason } => write!(
                f,
                "{} is damaged: {reason}; the next change (or roster sync) sets it aside and repairs it",
                path.display()
            ),
            StoreError::Newer { path, version } => write!(
                f,
                "{} is of version {version}, but this roster knows up to {SCHEMA_VERSION}: left \
                 untouched; upgrade tmux-roster to use it",
                path.display()
            ),
            StoreError::Busy { lock, waited } => write!(
                f,
                "could not get the lock {} within {}: another process holds it",
                lock.display(),
                seconds(*waited)
            ),
            StoreError::NotOurs { path, reason } => {
                write!(f, "refused to use {}: {reason}", path.display())
            }
            StoreError::NoBackup(error) => write!(f, "nothing was deleted: {error}"),
            StoreError::Migration(reason) => write!(f, "could not migrate: {reason}"),
            StoreError::Io { verb, path, source } => {
                write!(f, "could not {verb} {}: {source}", path.display())
            }
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StoreError::Io { source, .. } => Some(source),
            StoreError::NoBackup(error) => Some(error.as_ref()),
            StoreError::Name(error) => Some(error),
            _ => None,
        }
    }
}

/// A registry file. Holding a `Store` holds nothing: every operation opens, locks and reads
/// the file for itself, so any number of processes can use one file.
///
/// A newer file is refused, on reads and writes:
///
/// ```
/// use tmux_roster::{Session, Store, StoreError};
///
/// # let folder = std::env::temp_dir().join(format!("roster-newer-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("sessions.json");
/// std::fs::write(&path, r#"{"schema_version":2,"sessions":{}}"#)?;
/// let store = Store::new(&path);
/// assert!(matches!(store.list(), Err(StoreError::Newer { .. })));
/// let saved = store.save(&Session::new("work", "/home/me", "safe"));
/// assert!(matches!(saved, Err(StoreError::Newer { .. })));
/// assert_eq!(std::fs::read_to_string(&path)?, r#"{"schema_version":2,"sessions":{}}"#);
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    path: PathBuf,
    wait: Duration,
    longest: Duration,
}

impl Store {
    /// The store in the file `path`, which need not exist. Nothing is opened or made yet.
    pub fn new(path: impl Into<PathBuf>) -> Store {
        Store { path: path.into(), wait: LOCK_WAIT, longest: 5 * LOCK_WAIT }
    }

    /// The same store with another limit to the wait for the lock. By default it is [`LOCK_WAIT`]
    /// for one holder, and five times that where they follow one another.
    pub fn waiting(self, wait: Duration) -> Store {
        Store { wait, longest: wait, ..self }
    }

    /// Where the registry is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The registry as it is now; empty if there is no file.
    ///
    /// Takes no lock: a replace is atomic, so this is the registry before or after any write.
    ///
    /// # Errors
    /// The file cannot be read, is damaged or newer. It is untouched in each case.
    pub fn read(&self) -> Result<Registry, StoreError> {
        Ok(self.read_if_there()?.unwrap_or_default())
    }

    /// The same; `None` if there is no file, or a link that leads nowhere.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn read_if_there(&self) -> Result<Option<Registry>, StoreError> {
        files::read(&self.path)?.map(|bytes| parse(&self.path, &bytes)).transpose()
    }

    /// The last good copy of the registry, if it reads: what the last write left, for the day that
    /// the registry is damaged or gone.
    pub fn last_good(&self) -> Option<Registry> {
        let copy = backup::last_good(&self.path);
        let bytes = files::read(&copy).ok()??;
        parse(&copy, &bytes).ok()
    }

    /// When the last query began and the hooks were checked, as far as can be told without the
    /// lock; `None` if nobody ever took it.
    #[doc(hidden)]
    pub fn peek_times(&self) -> Option<Times> {
        lock::peek(&files::with_suffix(&self.path, ".lock"))
    }

    /// Takes the lock that every writer takes, for as long as the result lives.
    ///
    /// Excludes other processes and threads that come this way, and programs that lock the lock
    /// file with flock(2) or a record lock. The folder is made (0700) if it is missing.
    ///
    /// While you hold it, the operations of any `Store` that write wait in vain: change the registry
    /// through what this returns.
    ///
    /// ```
    /// use tmux_roster::{Session, Store};
    ///
    /// # let folder = std::env::temp_dir().join(format!("roster-lock-{}", std::process::id()));
    /// let store = Store::new(folder.join("sessions.json"));
    /// # for name in ["a", "b"] {
    /// #     store.save(&Session::new(name, "/home/me", "yolo"))?;
    /// # }
    /// let locked = store.lock()?;
    /// let mut registry = locked.load()?.registry;
    /// for session in registry.sessions.values_mut() {
    ///     session.mode = "safe".into();
    /// }
    /// locked.commit(&registry)?;
    /// drop(locked);
    ///
    /// assert!(store.list()?.iter().all(|session| session.mode == "safe"));
    /// # assert_eq!(store.names()?, ["a", "b"]);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The lock is not free within the wait, or the lock file cannot be made or is not ours.
    pub fn lock(&self) -> Result<Locked<'_>, StoreError> {
        if let Some(folder) = self.path.parent() {
            files::make_folder(folder)?;
        }
        let target = files::resolve(&self.path)?;
        // What is no file is written by nobody.
        let is_file = || std::fs::metadata(&target).is_ok_and(|found| found.is_file());
        let of_target = (target != self.path && is_file()).then_some(target.as_path());
        let of_target = of_target.map(|target| files::with_suffix(target, ".lock"));
        let path = files::with_suffix(&self.path, ".lock");
        let guard = lock::acquire(&path, of_target.as_deref(), self.wait, self.longest)?;
        Ok(Locked { store: self, guard })
    }

    /// Removes the lock file and the folders down from this one, which were made for it, if nothing
    /// else is in them.
    pub(crate) fn remove_if_new(&self, top: &Path) {
        let Ok(_held) = self.lock() else { return };
        let Some(folder) = self.path.parent() else { return };
        if std::fs::read_dir(folder).is_ok_and(|entries| entries.count() == 1) {
            let _ = std::fs::remove_file(files::with_suffix(&self.path, ".lock"));
            for folder in folder.ancestors().take_while(|folder| folder.starts_with(top)) {
                let _ = std::fs::remove_dir(folder);
            }
        }
    }

    /// Adds the session, or replaces the one of its name.
    ///
    /// # Errors
    /// As for every write: the lock, the file, its version, the disk.
    pub fn save(&self, session: &Session) -> Result<(), StoreError> {
        self.change(&|registry| {
            registry.sessions.insert(session.name.clone(), session.clone());
            Ok(())
        })
    }

    /// The session of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or as for [`Store::read`].
    pub fn get(&self, name: &str) -> Result<Session, StoreError> {
        let found = self.read()?.sessions.remove(name);
        found.ok_or_else(|| StoreError::NotFound(name.to_owned()))
    }

    /// All sessions, by name in byte order.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn list(&self) -> Result<Vec<Session>, StoreError> {
        Ok(self.read()?.sessions.into_values().collect())
    }

    /// All names, in byte order.
    ///
    /// # Errors
    /// As for [`Store::read`].
    pub fn names(&self) -> Result<Vec<String>, StoreError> {
        let Some(file) = files::open(&self.path)? else { return Ok(Vec::new()) };
        match scan::names(file).map_err(files::io_error("read", &self.path))? {
            Some(names) => Ok(names),
            None => Ok(self.read()?.sessions.into_keys().collect()),
        }
    }

    /// Removes the session of this name.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or as for every write.
    pub fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.change(&|registry| match registry.sessions.remove(name) {
            Some(_) => Ok(()),
            None => Err(StoreError::NotFound(name.to_owned())),
        })
    }

    /// Empties the registry after a backup, whose path it returns; `None` if there was no file.
    ///
    /// # Errors
    /// [`StoreError::NoBackup`] if there can be no backup: then nothing is deleted.
    pub fn delete_all(&self) -> Result<Option<PathBuf>, StoreError> {
        let locked = self.lock()?;
        let Some(bytes) = files::read(&self.path)? else { return Ok(None) };
        let mut registry = match parse(&self.path, &bytes) {
            Err(StoreError::Damaged { .. }) => Registry::default(),
            parsed => parsed?,
        };
        let backup = backup::write(&self.path, ".bak", &bytes)
            .map_err(|error| StoreError::NoBackup(Box::new(error)))?;
        registry.sessions.clear();
        locked.commit(&registry)?;
        Ok(Some(backup))
    }

    /// Gives the session `old` the name `new`; every other field stays.
    ///
    /// # Errors
    /// `new` is not valid, `old` is not found, or `new` exists already, `old` itself included.
    pub fn rename(&self, old: &str, new: &str) -> Result<(), StoreError> {
        validate_name(new).map_err(StoreError::Name)?;
        self.change(&|registry| rename(registry, old, new))
    }

    /// Changes the mode alone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or as for every write.
    pub fn update_mode(&self, name: &str, mode: &str) -> Result<(), StoreError> {
        self.update(name, &|session| mode.clone_into(&mut session.mode))
    }

    /// Changes the health status, and the time of the check, alone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or as for every write.
    pub fn update_health(&self, name: &str, status: &str, at: Timestamp) -> Result<(), StoreError> {
        self.update(name, &|session| {
            status.clone_into(&mut session.last_health_status);
            session.last_health_at = at;
        })
    }

    /// Changes the time of the last attach alone.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or as for every write.
    pub fn update_attached(&self, name: &str, at: Timestamp) -> Result<(), StoreError> {
        self.update(name, &|session| session.last_attached_at = at)
    }

    /// Copies the file as it is, even if it is damaged or newer, to a new `.bak.<nanoseconds>`
    /// (0600) beside it, synced, and returns its path; `None` if there is no file.
    ///
    /// # Errors
    /// The lock, or reading or writing fails.
    pub fn backup(&self) -> Result<Option<PathBuf>, StoreError> {
        if !files::is_there(&self.path)? {
            return Ok(None);
        }
        self.lock()?.backup()
    }

    /// The backups there are, newest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn backups(&self) -> Result<Vec<Backup>, StoreError> {
        backup::list(&self.path, ".bak")
    }

    /// Brings the file to the plan's target version, after a backup; see [`migrate::Plan`].
    ///
    /// ```
    /// use tmux_roster::{Store, migration_plan};
    ///
    /// # let folder = std::env::temp_dir().join(format!("roster-migrate-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("sessions.json");
    /// std::fs::write(&path, r#"{"sessions":{},"theirs":true}"#)?;
    /// let migrated = Store::new(&path).migrate(&migration_plan())?;
    ///
    /// assert_eq!((migrated.before, migrated.after), (0, 1));
    /// let backup = migrated.backup.expect("something was done");
    /// assert_eq!(std::fs::read_to_string(backup)?, r#"{"sessions":{},"theirs":true}"#);
    /// let now = r#"{"schema_version":1,"sessions":{},"theirs":true}"#;
    /// assert_eq!(std::fs::read_to_string(&path)?, now);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The plan does not fit, the file is newer, damaged or without a sensible version, or a
    /// step fails: then the file is untouched.
    pub fn migrate(&self, plan: &migrate::Plan) -> Result<migrate::Migrated, StoreError> {
        migrate::run(self, plan)
    }

    fn update(&self, name: &str, change: &dyn Fn(&mut Session)) -> Result<(), StoreError> {
        let locked = self.lock()?;
        let bytes = files::read(&self.path)?.unwrap_or_default();
        if let Some((place, record)) = scan::edit(&bytes, name, change) {
            return locked.replace(&[&bytes[..place.start], &record, &bytes[place.end..]]);
        }
        let mut registry = locked.load()?.registry;
        let found = registry.sessions.get_mut(name);
        change(found.ok_or_else(|| StoreError::NotFound(name.to_owned()))?);
        locked.commit(&registry)
    }

    fn change(
        &self,
        change: &dyn Fn(&mut Registry) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let locked = self.lock()?;
        let Loaded { mut registry, .. } = locked.load()?;
        let was_empty = registry.sessions.is_empty();
        change(&mut registry)?;
        if was_empty {
            locked.keep_what_was()?;
        }
        locked.commit(&registry)
    }
}

/// The registry's lock, held. Only this can change the registry.
#[derive(Debug)]
pub struct Locked<'a> {
    store: &'a Store,
    guard: LockGuard,
}

/// What [`Locked::load`] found.
#[derive(Debug)]
pub struct Loaded {
    /// The registry; empty if there is no file.
    pub registry: Registry,
    /// Whether there is a file.
    pub is_there: bool,
    /// Set if the file was damaged.
    pub recovered: Option<Recovered>,
}

/// How a damaged registry was mended.
#[derive(Debug)]
pub struct Recovered {
    /// What was wrong.
    pub reason: String,
    /// Where the damaged file is kept.
    pub kept: PathBuf,
    /// What the records were taken from, if anything could be read.
    pub source: Option<PathBuf>,
}

impl Locked<'_> {
    /// Reads the registry anew. A damaged one is kept aside as `.corrupt.<nanoseconds>` and
    /// replaced by the newest that reads of the last good copy and the backups, or an empty one. What
    /// lives in tmux is not known here: the sync adds it.
    ///
    /// # Errors
    /// The file cannot be read, or is newer: untouched.
    pub fn load(&self) -> Result<Loaded, StoreError> {
        let path = &self.store.path;
        let Some(bytes) = files::read(path)? else {
            return Ok(Loaded { registry: Registry::default(), is_there: false, recovered: None });
        };
        let reason = match parse(path, &bytes) {
            Ok(registry) => {
                if !registry.sessions.is_empty() {
                    backup::follow(path, &bytes);
                }
                return Ok(Loaded { registry, is_there: true, recovered: None });
            }
            Err(StoreError::Damaged { reason, .. }) => reason,
            Err(error) => return Err(error),
        };
        let kept = backup::write(path, ".corrupt", &bytes)?;
        let (registry, source) = backup::newest_readable(path);
        self.commit(&registry)?;
        let recovered = Some(Recovered { reason, kept, source });
        Ok(Loaded { registry, is_there: true, recovered })
    }

    /// As [`Store::backup`], for those who hold the lock already.
    ///
    /// # Errors
    /// Reading or writing fails.
    pub fn backup(&self) -> Result<Option<PathBuf>, StoreError> {
        let path = &self.store.path;
        let Some(bytes) = files::read(path)? else { return Ok(None) };
        backup::write(path, ".bak", &bytes).map(Some)
    }

    /// Replaces the registry. When this returns, file and folder are synced; a crash before
    /// that leaves the old registry or the new one, never part of one.
    ///
    /// # Errors
    /// Writing fails: the old registry is still there.
    pub fn commit(&self, registry: &Registry) -> Result<(), StoreError> {
        let bytes = serde_json::to_vec(registry).map_err(|error| StoreError::Io {
            verb: "write",
            path: self.store.path.clone(),
            source: error.into(),
        })?;
        self.replace(&[&bytes])
    }

    fn replace(&self, parts: &[&[u8]]) -> Result<(), StoreError> {
        let path = &self.store.path;
        files::replace_with(path, parts, files::PRIVATE, files::Durability::Durable)?;
        backup::keep_last_good(path, parts);
        Ok(())
    }

    /// The last good copy of the registry, if it reads: for the day that the registry is gone.
    pub fn last_good(&self) -> Option<Registry> {
        self.store.last_good()
    }

    /// Makes a backup of what the registry held before somebody removed or emptied it, if that is
    /// in no registry any more, and returns its path.
    ///
    /// # Errors
    /// Writing fails.
    pub fn keep_what_was(&self) -> Result<Option<PathBuf>, StoreError> {
        backup::keep_what_was(&self.store.path)
    }

    /// When the last query of tmux began under this lock, and when the hooks were last checked.
    #[doc(hidden)]
    pub fn times(&self) -> lock::Times {
        self.guard.times()
    }

    /// Notes the beginning of a query, and of a check of the hooks, for those who come after.
    #[doc(hidden)]
    pub fn set_times(&self, times: lock::Times) {
        self.guard.set_times(times);
    }
}

pub use lock::Times;
pub(crate) use lock::{check_same, is_held, prepare};

/// Gives the session `old` the name `new`, which must be free.
///
/// # Errors
/// `old` is not found, or `new` exists already.
pub fn rename(registry: &mut Registry, old: &str, new: &str) -> Result<(), StoreError> {
    if !registry.sessions.contains_key(old) {
        return Err(StoreError::NotFound(old.to_owned()));
    }
    if registry.sessions.contains_key(new) {
        return Err(StoreError::AlreadyExists(new.to_owned()));
    }
    let session = registry.sessions.remove(old);
    registry.sessions.extend(session.map(|mut session| {
        new.clone_into(&mut session.name);
        (new.to_owned(), session)
    }));
    Ok(())
}

/// Reads a registry out of the bytes of a file.
///
/// # Errors
/// Damaged, or newer than [`SCHEMA_VERSION`].
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Registry, StoreError> {
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let newer = |version| StoreError::Newer { path: path.to_owned(), version };
    let damaged = |reason| StoreError::Damaged { path: path.to_owned(), reason };
    // Once for the whole file is cheaper than for each string of it.
    let json = std::str::from_utf8(json).map_err(|error| damaged(error.to_string()))?;
    match serde_json::from_str::<RegistryFile>(json) {
        Ok(read) if read.version.is_newer() => Err(newer(read.version)),
        Ok(read) => Ok(read.registry),
        Err(error) => match migrate::version_of(json) {
            // A newer format may well have another shape.
            Some(version) if version.is_newer() => Err(newer(version)),
            _ => Err(damaged(error.to_string())),
        },
    }
}
