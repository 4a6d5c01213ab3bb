//! The record of a live session: name and directory as tmux has them, the mode by which side
//! changed.

use super::{EventKind, Work, text};
use crate::model::memory::{Exact, Known, Memory, to_hex};
use crate::model::session::{Session, says_not_live};
use crate::model::snapshot::{LiveSession, SessionId, Workdir};
use crate::model::time::Timestamp;

impl<'a> Work<'a> {
    /// The record of a live session: name and directory as tmux has them, the mode by which
    /// side changed since the last sync, and tmux if both did.
    pub(super) fn live_record(
        &mut self,
        live: &LiveSession,
        uuid: &str,
        name: &str,
        known: Option<&Known>,
        health_due: &mut Vec<SessionId>,
    ) -> Session {
        let workdir = live.workdir.bytes().map(text);
        let recorded = self.pool.remove(uuid).or_else(|| self.edited(uuid, known)).or_else(|| {
            self.closed.closed.iter().find(|e| e.session.uuid == uuid).map(|e| e.session.clone())
        });
        let is_new = recorded.is_none();
        let mut record = recorded.unwrap_or_else(|| {
            let mode = if live.mode.is_empty() { &self.policy.default_mode } else { &live.mode };
            let mode = known
                .map(|k| &k.mode)
                .filter(|m| live.mode.is_empty() && !m.is_empty())
                .unwrap_or(mode);
            Session::with(name, "", mode, uuid.to_owned(), live.created)
        });
        let old_name = std::mem::replace(&mut record.name, name.to_owned());
        match &live.workdir {
            Workdir::Known(path) => record.workdir = text(path),
            Workdir::Guess(_) if record.workdir.is_empty() => {
                record.workdir = workdir.unwrap_or_default()
            }
            Workdir::Guess(_) | Workdir::Unknown => {}
        }
        let agreed = known.map_or("", |known| known.mode.as_str());
        if !live.mode.is_empty() && live.mode != agreed {
            record.mode.clone_from(&live.mode);
        }
        if record.mode.is_empty() {
            record.mode.clone_from(&self.policy.default_mode);
        }
        if record.created_at.is_zero() {
            record.created_at = live.created;
        }
        // That it did not live says nothing of it now.
        if says_not_live(&record.last_health_status) {
            record.last_health_status.clear();
            record.last_health_at = Timestamp::ZERO;
        }
        // One with a stamp is not new: its record was taken away.
        if is_new && live.stamp != uuid && self.now.seconds_since(live.created) < 60.0 {
            self.event(EventKind::Created, &record, None);
        }
        if !is_new {
            let is_told_lost =
                self.before.memory.lost_since.contains_key(uuid) || self.has_returned(uuid);
            let is_lost = self.of_server_before.contains(uuid) && !is_told_lost;
            if is_lost {
                self.event(EventKind::Lost, &record, None);
            }
            if is_lost || is_told_lost {
                self.event(EventKind::Restored, &record, None);
            }
        }
        if old_name != name {
            self.event(EventKind::Renamed, &record, Some(old_name));
        }
        if let Some(attached) = live.last_attached.filter(|at| *at > record.last_attached_at) {
            // tmux counts whole seconds; an attach that happened just now is known better, so
            // that the order of two within a second is kept.
            let age = self.now.seconds_since(attached);
            record.last_attached_at = if (0.0..2.0).contains(&age) { self.now } else { attached };
            if age < 60.0 {
                self.event(EventKind::Attached, &record, None);
            }
            let interval = f64::from(self.policy.health_interval);
            let stale = self.now.seconds_since(record.last_health_at).abs() >= interval;
            if self.policy.health_interval > 0 && stale {
                health_due.push(live.id);
            }
        }
        record
    }
}

pub(super) fn keep_exact(memory: &mut Memory, live: &LiveSession, record: &Session) {
    let uuid = &record.uuid;
    // A pane's directory is the session's only as long as nobody went elsewhere.
    let recorded = |guess: &&[u8]| text(guess) == record.workdir;
    let hex = |bytes: &[u8]| std::str::from_utf8(bytes).is_err().then(|| to_hex(bytes));
    let workdir = match &live.workdir {
        Workdir::Known(path) => hex(path),
        Workdir::Guess(_) | Workdir::Unknown => memory
            .exact
            .get(uuid)
            .and_then(|exact| exact.workdir.clone())
            .or_else(|| live.workdir.bytes().filter(recorded).and_then(hex)),
    };
    let exact = Exact { name: hex(&live.name), workdir };
    if exact == Exact::default() {
        memory.exact.remove(uuid);
    } else {
        memory.exact.insert(uuid.clone(), exact);
    }
}
