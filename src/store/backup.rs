//! Copies of the registry beside it: backups, damaged files kept aside, the last good copy.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{StoreError, parse};
use crate::files::{self, PRIVATE, create_new, io_error, with_suffix};
use crate::model::registry::Registry;
use crate::model::time::Timestamp;
use crate::sorted::sort_by_key;

/// How many backups are kept in any case.
pub const KEPT_BACKUPS: usize = 20;

/// For how many days every backup is kept.
pub const KEPT_DAYS: i128 = 30;

/// A copy of the registry.
#[derive(Debug, Clone)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// When it was made, in nanoseconds since 1970, from its name.
    pub nanos: i128,
    /// Its size in bytes.
    pub bytes: u64,
}

/// Puts `bytes` into a new `<path><kind>.<nanoseconds>`, whole or not at all, and syncs file and
/// folder; old ones are cleared. The caller holds the lock, so nobody else picks that name.
pub(super) fn write(path: &Path, kind: &str, bytes: &[u8]) -> Result<PathBuf, StoreError> {
    let mut nanos = Timestamp::now().unix_nanos();
    let mut copy = with_suffix(path, &format!("{kind}.{nanos}"));
    while files::exists(&copy) {
        nanos += 1;
        copy = with_suffix(path, &format!("{kind}.{nanos}"));
    }
    let (folder, name) = (files::folder_of(path), path.file_name().unwrap_or_default());
    files::remove_leftovers(folder, name);
    let temporary = folder.join(files::temporary_name(name));
    let written = (|| {
        files::within_limit(bytes.len() as u64)?;
        let mut file = create_new(&temporary, PRIVATE)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &copy)?;
        files::sync_folder(folder)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(io_error("write the backup", &copy)(error).into());
    }
    clear_old(path, kind);
    Ok(copy)
}

/// The copies of this kind, newest first.
pub(super) fn list(path: &Path, kind: &str) -> Result<Vec<Backup>, StoreError> {
    let folder = files::folder_of(path);
    let prefix = format!("{}{kind}.", path.file_name().unwrap_or_default().to_string_lossy());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("read the folder", folder)(error).into()),
    };
    let mut found: Vec<Backup> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let nanos = name.strip_prefix(&prefix)?.parse().ok()?;
            let bytes = entry.metadata().ok().filter(fs::Metadata::is_file)?.len();
            Some(Backup { path: entry.path(), nanos, bytes })
        })
        .collect();
    sort_by_key(&mut found, |backup| std::cmp::Reverse(backup.nanos));
    Ok(found)
}

/// Removes copies beyond the newest [`KEPT_BACKUPS`] that are older than [`KEPT_DAYS`].
fn clear_old(path: &Path, kind: &str) {
    let oldest = Timestamp::now().unix_nanos() - KEPT_DAYS * 86_400 * 1_000_000_000;
    for old in list(path, kind).unwrap_or_default().iter().skip(KEPT_BACKUPS) {
        if old.nanos < oldest {
            let _ = fs::remove_file(&old.path);
        }
    }
}

/// Keeps the parts as the last good copy, for the day that somebody damages the registry.
///
/// A convenience: not synced, and a failure is no error. It is written in place, since a rename
/// over an old file makes ext4 write it out at once, which took longer than the whole rest. What
/// a crash leaves half written does not parse and is passed over by [`newest_readable`].
pub(super) fn keep_last_good(path: &Path, parts: &[&[u8]]) {
    let copy = last_good(path);
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    let written = (|| {
        files::within_limit(bytes)?;
        let mut file = files::open_own(&copy)?;
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.set_len(bytes)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&copy);
    }
}

/// Brings the last good copy into step with a registry that somebody else wrote since, whose
/// bytes these are: ours is always the older of the two.
pub(super) fn follow(path: &Path, bytes: &[u8]) {
    let written = |path: &Path| fs::metadata(path).and_then(|found| found.modified());
    if let (Ok(registry), Ok(copy)) = (written(path), written(&last_good(path))) {
        if registry > copy {
            keep_last_good(path, &[bytes]);
        }
    }
}

/// The last good copy of the registry at `path`.
pub(super) fn last_good(path: &Path) -> PathBuf {
    with_suffix(path, ".last")
}

/// Makes a backup of the last good copy, whose place that takes, where the registry itself is gone
/// or was emptied: a new one is about to come, in both. Returns its path, if there was anything.
pub(super) fn keep_what_was(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let copy = last_good(path);
    match files::read(&copy) {
        Ok(Some(bytes)) if parse(&copy, &bytes).is_ok_and(|r| r.sessions.is_empty()) => Ok(None),
        // A newer one, or one that does not read, may be of use to somebody.
        Ok(Some(bytes)) => {
            let backup = write(path, ".bak", &bytes)?;
            let _ = fs::remove_file(&copy);
            Ok(Some(backup))
        }
        Ok(None) | Err(_) => Ok(None),
    }
}

/// The newest that reads of the last good copy and the backups, or an empty registry.
pub(super) fn newest_readable(path: &Path) -> (Registry, Option<PathBuf>) {
    let mut copies: Vec<(i128, PathBuf)> = (list(path, ".bak").unwrap_or_default().into_iter())
        .map(|backup| (backup.nanos, backup.path))
        .collect();
    let last = last_good(path);
    if let Ok(written) = fs::metadata(&last).and_then(|found| found.modified()) {
        let since = written.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        copies.push((since.as_nanos() as i128, last));
    }
    // A time to come is that of a clock that ran ahead, and says nothing about which is newer.
    let now = Timestamp::now().unix_nanos();
    sort_by_key(&mut copies, |(nanos, _)| std::cmp::Reverse((*nanos <= now, *nanos)));
    for (_, copy) in copies {
        let Ok(Some(bytes)) = files::read(&copy) else { continue };
        if let Ok(registry) = parse(&copy, &bytes) {
            return (registry, Some(copy));
        }
    }
    (Registry::default(), None)
}
