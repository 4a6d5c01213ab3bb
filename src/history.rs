//! What happened to sessions and windows, and when: a line for each change, so that one can look up
//! where a session went. Nothing depends on it, and what cannot be written is not missed.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::{Place, Settings};
use crate::files::{self, FileError};
use crate::model::reconcile::{Event, EventKind};
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::time::Timestamp;
use crate::model::windows::{Bytes, Window};
use crate::sorted::sort_by_key;

/// The version of a line.
const VERSION: u32 = 1;

/// What each line begins with.
const START: &str = "{\"version\":";

/// How large the file gets before another is begun, in bytes. The one before it is kept.
const MAX_BYTES: u64 = 256 * 1024;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of events, and those of our commands")]
pub enum What {
    Created,
    Renamed,
    Attached,
    Closed,
    Lost,
    SetAside,
    Restored,
    Reopened,
    Forgotten,
    WindowClosed,
    WindowReopened,
}

impl What {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            What::Created => "created",
            What::Renamed => "renamed",
            What::Attached => "attached",
            What::Closed => "closed",
            What::Lost => "lost",
            What::SetAside => "set aside",
            What::Restored => "restored",
            What::Reopened => "reopened",
            What::Forgotten => "forgotten",
            What::WindowClosed => "window closed",
            What::WindowReopened => "window reopened",
        }
    }
}

/// What happened to a session or a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The version of this line.
    pub version: u32,
    /// When it was seen. That of a loss is the next server's start.
    pub at: Timestamp,
    /// What happened.
    pub event: What,
    /// The session's UUID.
    pub uuid: String,
    /// The session's name after it happened.
    pub name: String,
    /// The name it had before, if it was renamed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_name: Option<String>,
    /// The window's index in the session, if it happened to a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// The window's name, unless tmux named it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_name: Option<Bytes>,
}

impl Entry {
    /// What happened to a session just now.
    pub fn new(event: What, session: &Session) -> Entry {
        Entry {
            version: VERSION,
            at: Timestamp::now(),
            event,
            uuid: session.uuid.clone(),
            name: session.name.clone(),
            old_name: None,
            window: None,
            window_name: None,
        }
    }

    /// What happened to a window of a session.
    pub fn of_window(event: What, session: &Session, window: &Window) -> Entry {
        let (index, name) = (Some(window.index), window.name.clone());
        Entry { window: index, window_name: name, ..Entry::new(event, session) }
    }
}

impl From<&Event> for Entry {
    fn from(event: &Event) -> Entry {
        let what = match event.kind {
            EventKind::Created => What::Created,
            EventKind::Attached => What::Attached,
            EventKind::Renamed => What::Renamed,
            EventKind::Closed => What::Closed,
            EventKind::Lost => What::Lost,
            EventKind::Restored => What::Restored,
        };
        Entry { old_name: event.old_name.clone(), ..Entry::new(what, &event.session) }
    }
}

/// Lost sessions that moved to the closed ones by themselves: another took the name, or it was long
/// ago.
pub fn of_set_aside(before: &Remembered, next: &Remembered, events: &[Event]) -> Vec<Session> {
    if before.closed == next.closed {
        return Vec::new();
    }
    let was = before.closed.closed.iter().map(|entry| &entry.session);
    let closed = events.iter().filter(|event| event.kind == EventKind::Closed);
    let told: HashSet<&str> = was
        .chain(closed.map(|event| &event.session))
        .map(|session| session.uuid.as_str())
        .collect();
    // Of what just ended it is not known yet whether its server did, too.
    let now = next.closed.closed.iter().filter(|entry| entry.unproven.is_none());
    let now = now.map(|entry| &entry.session);
    let new = now.filter(|session| !told.contains(session.uuid.as_str()));
    new.cloned().collect()
}

/// What a typed command did to what does not live: no event tells of that.
pub fn of_change(before: &Remembered, next: &Remembered) -> Vec<Entry> {
    let mut entries = Vec::new();
    let living: HashSet<&str> = next.memory.living().collect();
    for old in before.registry.sessions.values() {
        // Somebody may have written one UUID twice, or none.
        if next.registry.sessions.get(&old.name).is_some_and(|same| same.uuid == old.uuid) {
            continue;
        }
        match next.registry.by_uuid(&old.uuid) {
            Some(new) if !living.contains(new.uuid.as_str()) => {
                let renamed = Entry::new(What::Renamed, new);
                entries.push(Entry { old_name: Some(old.name.clone()), ..renamed });
            }
            Some(_) => {}
            None => entries.push(Entry::new(What::Forgotten, old)),
        }
    }
    let kept = next.closed.closed.iter().map(|entry| &entry.session);
    let kept: HashSet<&str> =
        kept.chain(next.registry.sessions.values()).map(|session| session.uuid.as_str()).collect();
    let closed = before.closed.closed.iter().map(|entry| &entry.session);
    let dropped = closed.filter(|session| !kept.contains(session.uuid.as_str()));
    entries.extend(dropped.map(|session| Entry::new(What::Forgotten, session)));
    entries
}

/// Adds lines, unless the user wants none; for who holds the lock. Where nobody says what the user
/// wants, to a history that is there.
pub fn note(place: &Place, settings: Option<&Settings>, entries: &[Entry]) {
    if entries.is_empty() {
        return;
    }
    let is_wanted = match settings {
        Some(settings) if settings.plugin_is_loaded => settings.keeps_history,
        _ => files::exists(&place.history()) && !files::exists(&place.no_history()),
    };
    if !is_wanted {
        return;
    }
    let mut lines = Vec::new();
    for entry in entries {
        if serde_json::to_writer(&mut lines, entry).is_ok() {
            lines.push(b'\n');
        }
    }
    let path = place.history();
    let length = fs::symlink_metadata(&path).map_or(0, |found| found.len());
    if length > 0 && length + lines.len() as u64 > MAX_BYTES {
        let _ = fs::rename(&path, place.older_history());
    }
    let _ = files::append(&path, &lines);
}

/// All that is recorded, oldest first. What cannot be understood, as a newer version wrote it or a
/// crash cut it off, is left out.
///
/// # Errors
/// A file cannot be read.
pub fn read(place: &Place) -> Result<Vec<Entry>, FileError> {
    let mut entries = Vec::new();
    for path in [place.older_history(), place.history()] {
        entries.extend(read_file(&path)?);
    }
    // What is known to be a close only a while later is noted then.
    sort_by_key(&mut entries, |entry| entry.at);
    Ok(entries)
}

fn read_file(path: &Path) -> Result<Vec<Entry>, FileError> {
    let bytes = files::read(path)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Entry> {
    // Behind a line that was cut off stands the next.
    let start = line.rfind(START)?;
    // As bytes: reading the registry, which takes text, is inlined as long as nobody else does.
    let entry: Entry = serde_json::from_slice(&line.as_bytes()[start..]).ok()?;
    (entry.version == VERSION).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_or_newer_hides_no_other_line() {
        let session = Session::new("a\"\n{\"version\":1", "/w", "safe");
        let entry = Entry::new(What::WindowClosed, &session);
        let line = serde_json::to_string(&entry).unwrap();
        assert!(line.starts_with(START) && !line.contains('\n'));
        assert_eq!(parse(&line), Some(entry.clone()));
        assert_eq!(parse(&format!("{}{line}", &line[..20])), Some(entry));
        for wrong in [
            line.replacen("\"version\":1", "\"version\":2", 1),
            line.replace("window-closed", "painted"),
            line[..line.len() - 1].to_owned(),
            "\0\0".to_owned(),
            String::new(),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
