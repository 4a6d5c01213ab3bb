//! All that is remembered, as files: read together, written in the order that loses nothing if we
//! are cut off, and what is done about damage (FORMAT.md, "Damage" and "Files beside it").

use std::fs;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::Place;
use crate::files::{self, Durability, PRIVATE};
use crate::health;
use crate::log::log;
use crate::model::memory::{Closed, MEMORY_VERSION, Memory};
use crate::model::registry::{FileVersion, Registry};
use crate::model::remembered::Remembered;
use crate::model::time::Timestamp;
use crate::model::windows::{Arrangement, WINDOWS_VERSION, Windows};
use crate::sorted::Map;
use crate::store::{Locked, Store, StoreError};

/// Reads the three files. A damaged registry is mended, damage in the others forgotten.
///
/// Also returns what was repaired, in words.
pub(crate) fn load(
    place: &Place,
    locked: &Locked<'_>,
) -> Result<(Remembered, Option<String>), StoreError> {
    let mut loaded = locked.load()?;
    let memory = read_memory(place)?;
    let mut mended = None;
    let mut mend = |text: String| {
        log(place, &text);
        mended = Some(match mended.take() {
            Some(before) => format!("{before}; {text}"),
            None => text,
        });
    };
    if let Some(recovered) = &loaded.recovered {
        let source = recovered.source.as_ref().map(|path| path.display().to_string());
        mend(format!(
            "the registry was damaged ({}); kept it as {} and recovered its sessions from {}",
            recovered.reason,
            recovered.kept.display(),
            source.as_deref().unwrap_or("tmux alone")
        ));
        let now = Timestamp::now();
        for session in loaded.registry.sessions.values_mut() {
            session.last_health_status = health::RECOVERED.into();
            session.last_health_at = now;
        }
        restore_modes(&mut loaded.registry, &memory);
        locked.commit(&loaded.registry)?;
    } else if loaded.registry.sessions.is_empty() {
        let last = locked.last_good().filter(|last| !last.sessions.is_empty() && !loaded.is_there);
        if let Some(mut last) = last {
            // Somebody deleted it, or what its link leads to. What lives comes back from tmux, the
            // rest from the last copy.
            restore_modes(&mut last, &memory);
            mend("the registry was missing; recovered its sessions from the last good copy".into());
            locked.commit(&last)?;
            loaded.registry = last;
        } else if let Some(kept) = locked.keep_what_was()? {
            // Somebody emptied it, which may have been meant.
            let kept = kept.display();
            mend(format!("the registry was emptied; its former content is saved as {kept}"));
        }
    }
    let closed = match read_closed(place) {
        Err(StoreError::Damaged { path, reason }) => {
            let aside = set_aside(&path)?;
            mend(format!(
                "the list of closed sessions was damaged ({reason}); kept it as {} and started anew",
                aside.display()
            ));
            Closed::default()
        }
        read => read?,
    };
    Ok((Remembered { registry: loaded.registry, closed, memory }, mended))
}

/// A copy knows nothing of a mode that somebody edited in the file since we last wrote it; what
/// registry and tmux then agreed on stands in the memory.
fn restore_modes(registry: &mut Registry, memory: &Memory) {
    let modes: Map<&str, &str> = (memory.sessions.values())
        .filter(|known| !known.mode.is_empty())
        .map(|known| (known.uuid.as_str(), known.mode.as_str()))
        .collect();
    for session in registry.sessions.values_mut() {
        if let Some(mode) = modes.get(session.uuid.as_str()) {
            (*mode).clone_into(&mut session.mode);
        }
    }
}

/// The memory of the server; one that is damaged or of another version is forgotten.
///
/// # Errors
/// It cannot be read. Whoever went on without it could not write it either, and would take the
/// sessions of this server for new ones each time.
fn read_memory(place: &Place) -> Result<Memory, StoreError> {
    match read_json::<Memory>(&place.memory(), MEMORY_VERSION) {
        Ok(Some(memory)) if memory.version == MEMORY_VERSION => Ok(memory),
        Ok(_) | Err(StoreError::Damaged { .. } | StoreError::Newer { .. }) => Ok(Memory::default()),
        Err(error) => Err(error),
    }
}

/// The closed sessions. Whoever holds the lock keeps a damaged list aside; readers leave it.
///
/// # Errors
/// The file cannot be read, is damaged or newer.
pub fn read_closed(place: &Place) -> Result<Closed, StoreError> {
    let path = place.closed();
    match read_json::<Closed>(&path, MEMORY_VERSION) {
        Ok(Some(closed)) if closed.version > MEMORY_VERSION => Err(newer(&path, closed.version)),
        Ok(closed) => Ok(closed.unwrap_or_default()),
        Err(error) => Err(error),
    }
}

/// What sessions are made of, for who holds the lock: a damaged file is kept aside.
///
/// # Errors
/// The file cannot be read, is newer, or cannot be set aside.
pub(crate) fn load_windows(place: &Place) -> Result<Windows, StoreError> {
    match read_windows(place) {
        Err(StoreError::Damaged { path, reason }) => {
            let aside = set_aside(&path)?;
            let aside = aside.display();
            log(place, &format!("the windows' file was damaged ({reason}); kept it as {aside}"));
            Ok(Windows::default())
        }
        read => read,
    }
}

/// Keeps a damaged file of windows aside where no server is left to be looked at, which would do it;
/// for who holds the lock.
///
/// # Errors
/// The file cannot be read, is newer, or cannot be set aside.
pub fn mend_windows(place: &Place, _: &Locked<'_>) -> Result<(), StoreError> {
    load_windows(place).map(drop)
}

/// What sessions are made of, for who only looks.
///
/// # Errors
/// The file cannot be read, is damaged or newer.
pub fn read_windows(place: &Place) -> Result<Windows, StoreError> {
    let path = place.windows();
    match read_json::<Windows>(&path, WINDOWS_VERSION) {
        Ok(Some(windows)) if windows.version > WINDOWS_VERSION => {
            Err(newer(&path, windows.version))
        }
        Ok(windows) => Ok(windows.unwrap_or_default()),
        Err(error) => Err(error),
    }
}

/// Writes what sessions are made of.
pub(crate) fn write_windows(place: &Place, windows: &Windows) -> Result<(), StoreError> {
    write_json(&place.windows(), windows, Durability::Durable)
}

/// Takes over the windows of sessions from elsewhere, by UUID; for who holds the lock.
///
/// # Errors
/// The file cannot be read or written.
pub fn adopt_windows(
    place: &Place,
    sessions: Vec<(String, Arrangement)>,
) -> Result<(), StoreError> {
    if sessions.is_empty() {
        return Ok(());
    }
    let mut windows = load_windows(place)?;
    for (uuid, arrangement) in sessions {
        windows.sessions.insert(uuid, Arrangement { here: false, ..arrangement });
    }
    write_windows(place, &windows)
}

/// Drops all windows of a session that is forgotten for good.
///
/// # Errors
/// The file cannot be read or written.
pub fn forget_windows(place: &Place, _: &Locked<'_>, uuid: &str) -> Result<(), StoreError> {
    let mut windows = load_windows(place)?;
    let closed = windows.closed.len();
    windows.closed.retain(|entry| entry.session != uuid);
    if windows.sessions.remove(uuid).is_none() && windows.closed.len() == closed {
        return Ok(());
    }
    write_windows(place, &windows)
}

/// Notes the files of the configuration that the server was started with; none where tmux chose them.
///
/// # Errors
/// The note cannot be written.
pub fn note_config_files(place: &Place, chosen: &[PathBuf]) -> Result<(), StoreError> {
    let (path, before) = (place.config_files(), config_files(place));
    if before == chosen {
        return Ok(());
    }
    if chosen.is_empty() {
        return fs::remove_file(&path)
            .map_err(files::io_error("remove", &path))
            .map_err(Into::into);
    }
    write_json(&path, &chosen, Durability::Lazy)
}

/// The files of the configuration that the last server was started with; none where tmux chose them,
/// or nobody noted it.
pub fn config_files(place: &Place) -> Vec<PathBuf> {
    let noted = files::read(&place.config_files()).ok().flatten();
    noted.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Keeps a damaged file under another name, which it returns.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = format!(".corrupt.{}", Timestamp::now().unix_nanos());
    let aside = files::with_suffix(path, &aside);
    fs::rename(path, &aside).map_err(files::io_error("set aside", path))?;
    Ok(aside)
}

/// All three files without the lock, for those who only look and change nothing. A damaged list
/// of closed sessions shows none.
///
/// # Errors
/// The registry or the list of closed sessions cannot be read.
pub fn peek(place: &Place) -> Result<Remembered, StoreError> {
    let store = Store::new(place.registry());
    let mut registry = match store.read_if_there()? {
        Some(registry) => registry,
        None => store.last_good().unwrap_or_default(),
    };
    registry.name_by_key();
    Ok(Remembered {
        registry,
        closed: match read_closed(place) {
            Err(StoreError::Damaged { .. }) => Closed::default(),
            read => read?,
        },
        memory: read_memory(place)?,
    })
}

/// Writes registry and closed sessions, as far as they changed, in the order that loses nothing
/// if we are cut off: a record that moves stands in its new file before it leaves the old one.
pub(crate) fn write_in_order(
    place: &Place,
    locked: &Locked<'_>,
    before: &Remembered,
    next: &Remembered,
) -> Result<(), StoreError> {
    // The memory is written by itself: it follows what tmux was told.
    let Remembered { registry, closed, memory: _ } = next;
    let mut both = closed.clone();
    for (at, entry) in before.closed.closed.iter().enumerate() {
        let uuid = &entry.session.uuid;
        let moves = registry.by_uuid(uuid).is_some()
            && before.registry.by_uuid(uuid).is_none()
            && !closed.closed.iter().any(|kept| kept.session.uuid == *uuid);
        if moves {
            // In its old place: if we are cut off, the one closed last is still the first.
            both.closed.insert(at.min(both.closed.len()), entry.clone());
        }
    }
    if both != before.closed {
        write_json(&place.closed(), &both, Durability::Durable)?;
    }
    if *registry != before.registry {
        locked.commit(registry)?;
    }
    if both != *closed {
        write_json(&place.closed(), closed, Durability::Durable)?;
    }
    Ok(())
}

pub(crate) fn backup(locked: &Locked<'_>) -> Result<Option<PathBuf>, StoreError> {
    locked.backup().map_err(|error| StoreError::NoBackup(Box::new(error)))
}

fn read_json<T: DeserializeOwned>(path: &Path, known: u32) -> Result<Option<T>, StoreError> {
    /// A newer format may well have another shape.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(bytes) = files::read(path)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes).map(Some);
    read.map_err(|error| match serde_json::from_slice(&bytes) {
        Ok(Versioned { version }) if version > known => newer(path, version),
        _ => StoreError::Damaged { path: path.to_owned(), reason: error.to_string() },
    })
}

fn newer(path: &Path, version: u32) -> StoreError {
    StoreError::Newer { path: path.to_owned(), version: FileVersion::Known(version.into()) }
}

pub(crate) fn write_json<T: Serialize>(
    path: &Path,
    value: &T,
    durability: Durability,
) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Io {
        verb: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    Ok(files::replace(path, &bytes, PRIVATE, durability)?)
}
