//! Who each live session is: by the memory of its server, by its stamp, by name and directory.

use std::collections::HashSet;

use super::{Work, text};
use crate::model::memory::{Exact, Known};
use crate::model::name::is_given_by_tmux;
use crate::model::policy::{Policy, is_ignored};
use crate::model::remembered::Remembered;
use crate::model::session::{Session, is_uuid};
use crate::model::snapshot::{LiveSession, SessionId, Snapshot, Spellings, Workdir};
use crate::sorted::{Map, Set, sort_by_key};

impl<'a> Work<'a> {
    /// Every record by UUID. Of several records with one UUID the one keeps it whose name the
    /// server memory knows, else the first; the others, and those without any, get what it knows of
    /// their names, else new ones. What is no UUID is none: it would reach tmux's formats and the
    /// commands of menus.
    pub(super) fn fill_pool(&mut self, new_uuid: &mut dyn FnMut() -> String) {
        let sessions = &self.before.registry.sessions;
        let mut duplicates = Vec::new();
        for (key, session) in sessions {
            let session = Session { name: key.clone(), ..session.clone() };
            if !is_uuid(&session.uuid) {
                duplicates.push(session);
                continue;
            }
            // Asked for a duplicate only: for every record it made a thousand sessions a million
            // comparisons.
            let remembered = || {
                (self.before.memory.sessions.values())
                    .any(|known| known.uuid == session.uuid && known.name == *key)
            };
            match self.pool.get(&session.uuid) {
                Some(_) if !remembered() => duplicates.push(session),
                _ => duplicates.extend(self.pool.insert(session.uuid.clone(), session)),
            }
        }
        for mut session in duplicates {
            let mut known = self.before.memory.sessions.values();
            let own = known.find(|known| known.name == session.name && is_uuid(&known.uuid));
            let own =
                own.map(|known| known.uuid.clone()).filter(|own| !self.pool.contains_key(own));
            session.uuid = own.unwrap_or_else(|| self.unused(new_uuid, &Set::new()));
            self.notes.push(format!(
                "the record {:?} had no UUID of its own; assigned {}",
                session.name, session.uuid
            ));
            self.pool.insert(session.uuid.clone(), session);
        }
        for at in 0..self.closed.closed.len() {
            if !is_uuid(&self.closed.closed[at].session.uuid) {
                self.closed.closed[at].session.uuid = self.unused(new_uuid, &Set::new());
            }
        }
    }

    /// The live sessions that are ours to record, by id.
    pub(super) fn tracked(&self) -> Vec<&'a LiveSession> {
        let mut tracked: Vec<&'a LiveSession> = (self.snapshot.sessions.iter())
            .filter(|live| is_tracked(self.before, self.snapshot, self.policy, live))
            .collect();
        sort_by_key(&mut tracked, |live| live.id);
        tracked
    }

    /// The UUID of each live session: by the memory of this very server, by its stamp, by name
    /// and directory, or a new one. And the doubts:
    /// [`Plan::doubts`](super::Plan::doubts).
    ///
    /// Memory comes first because a stamp can be changed, copied or masked by anyone, and an id
    /// is never used twice by one server.
    pub(super) fn identify(
        &self,
        tracked: &[&'a LiveSession],
        new_uuid: &mut dyn FnMut() -> String,
    ) -> (Map<SessionId, String>, Vec<Spellings>) {
        let mut found: Map<SessionId, String> = Map::new();
        let mut doubts = Vec::new();
        let mut taken: Set<String> = Set::new();
        let remembered = &self.before.memory.sessions;
        if self.same_server {
            for live in tracked {
                if let Some(known) = remembered.get(&live.id).filter(|k| is_uuid(&k.uuid)) {
                    if taken.insert(known.uuid.clone()) {
                        found.insert(live.id, known.uuid.clone());
                    }
                }
            }
        }
        let mut stamped: Vec<&LiveSession> = (tracked.iter().copied())
            .filter(|live| !found.contains_key(&live.id))
            .filter(|live| is_uuid(&live.stamp))
            .collect();
        // Of two with one stamp, the one that bears the recorded name, else the older one.
        sort_by_key(&mut stamped, |live| {
            let named = self.pool.get(&live.stamp).is_some_and(|s| s.name == text(&live.name));
            (!named, live.id)
        });
        for live in stamped {
            if taken.insert(live.stamp.clone()) {
                found.insert(live.id, live.stamp.clone());
            }
        }
        // A record that this server was seen to have under another id is no lost one: its
        // session was closed, and a new one bears its name.
        let of_this_server: HashSet<&str> = if self.same_server {
            remembered.values().map(|known| known.uuid.as_str()).collect()
        } else {
            HashSet::new()
        };
        let groups = first_of_groups(tracked);
        // The last of a name counts: one that was never closed, else the one closed last.
        let returned = self.returned.iter().rev().filter_map(|(uuid, _)| self.pool.get(uuid));
        let others = self.pool.values().filter(|session| !self.has_returned(&session.uuid));
        let by_name: Map<&str, &Session> =
            returned.chain(others).map(|session| (session.name.as_str(), session)).collect();
        for live in tracked {
            if found.contains_key(&live.id) {
                continue;
            }
            let name = text(&live.name);
            // A clone leaves no record: taken for a lost session, it would end that one's, too.
            let is_clone = groups.get(&live.group).is_some_and(|first| *first != live.id);
            let namesake = by_name.get(name.as_str()).filter(|session| {
                !is_given_by_tmux(&name)
                    && !is_clone
                    && !taken.contains(&session.uuid)
                    && !self.before.memory.is_unreachable(&session.uuid)
                    && !of_this_server.contains(session.uuid.as_str())
            });
            let returned = namesake.filter(|session| self.is_same_directory(live, session));
            if returned.is_none() {
                doubts.extend(namesake.into_iter().flat_map(|s| self.doubts(live, s)));
            }
            let uuid = match returned {
                Some(session) => session.uuid.clone(),
                None => self.unused(new_uuid, &taken),
            };
            taken.insert(uuid.clone());
            found.insert(live.id, uuid);
        }
        (found, doubts)
    }

    pub(super) fn unused(
        &self,
        new_uuid: &mut dyn FnMut() -> String,
        taken: &Set<String>,
    ) -> String {
        loop {
            let uuid = new_uuid();
            let in_closed = self.closed.closed.iter().any(|entry| entry.session.uuid == uuid);
            if !taken.contains(&uuid) && !self.pool.contains_key(&uuid) && !in_closed {
                return uuid;
            }
        }
    }

    pub(super) fn is_same_directory(&self, live: &LiveSession, session: &Session) -> bool {
        match &live.workdir {
            Workdir::Known(path) => {
                let exact = self.before.memory.exact.get(&session.uuid);
                let exact = Exact::workdir_of(exact, session);
                self.before.memory.is_where_it_belongs(session, &text(path))
                    || plain(&exact) == plain(path)
                    || (exact == session.workdir.as_bytes() && session.workdir == text(path))
                    || (self.doubts(live, session).iter())
                        .any(|(path, recorded)| self.snapshot.is_one_directory(path, recorded))
            }
            Workdir::Guess(_) | Workdir::Unknown => true,
        }
    }

    /// What would make them one session if both led to the same directory: where the live one is,
    /// and each place where the recorded one belongs.
    pub(super) fn doubts(&self, live: &LiveSession, session: &Session) -> Vec<Spellings> {
        let Workdir::Known(path) = &live.workdir else { return Vec::new() };
        let memory = &self.before.memory;
        let exact = Exact::workdir_of(memory.exact.get(&session.uuid), session);
        let displaced = memory.displaced.get(&session.uuid);
        let before = displaced.filter(|before| before.to == session.workdir);
        let recorded = [Some(exact), before.map(|before| before.from.clone().into_bytes())];
        recorded.into_iter().flatten().map(|recorded| (path.clone(), recorded)).collect()
    }

    /// The record of a session whose UUID somebody edited in the file: it stands under the name
    /// that the session last had, with an id that nobody knows.
    pub(super) fn edited(&mut self, uuid: &str, known: Option<&Known>) -> Option<Session> {
        let name =
            known.filter(|known| known.uuid == uuid && !known.name.is_empty())?.name.as_str();
        let stranger = self.pool.values().find(|session| session.name == name)?.uuid.clone();
        let is_known = self.before.memory.sessions.values().any(|known| known.uuid == stranger)
            || self.before.memory.lost_since.contains_key(&stranger)
            || self.snapshot.sessions.iter().any(|live| live.stamp == stranger)
            || self.before.closed.closed.iter().any(|entry| entry.session.uuid == stranger);
        if is_known {
            return None;
        }
        let mut record = self.pool.remove(&stranger)?;
        record.uuid = uuid.to_owned();
        Some(record)
    }
}

/// Whether a live session is ours to record.
pub fn is_tracked(
    before: &Remembered,
    snapshot: &Snapshot,
    policy: &Policy,
    live: &LiveSession,
) -> bool {
    let name = text(&live.name);
    let is_untracked = before.memory.server == Some(snapshot.server)
        && before.memory.untracked.get(&live.id).is_some_and(|untracked| *untracked == name);
    !is_untracked && !is_ignored(&policy.ignore, &name)
}

/// The name each session is recorded under: its own, and where two become equal because they
/// are not UTF-8, a suffix for the younger ones.
pub(super) fn display_names(tracked: &[&LiveSession]) -> Map<SessionId, String> {
    let exact = |live: &LiveSession| std::str::from_utf8(&live.name).ok().map(str::to_owned);
    let mut names = Map::new();
    names.extend(tracked.iter().filter_map(|live| Some((live.id, exact(live)?))));
    if names.len() == tracked.len() {
        return names;
    }
    let mut taken: Set<String> = names.values().cloned().collect();
    for live in tracked.iter().filter(|live| exact(live).is_none()) {
        let shown = text(&live.name);
        let mut name = shown.clone();
        let mut number = 2;
        while !taken.insert(name.clone()) {
            name = format!("{shown}-{number}");
            number += 1;
        }
        names.insert(live.id, name);
    }
    names
}

/// The first member of each session group: the one with the lowest id.
pub(super) fn first_of_groups<'a>(tracked: &[&'a LiveSession]) -> Map<&'a Vec<u8>, SessionId> {
    let mut groups = Map::new();
    for live in tracked.iter().filter(|live| !live.group.is_empty()) {
        groups.get_or_insert_with(&live.group, || live.id);
    }
    groups
}

/// A directory without the slashes at its end, which a shell's TAB puts there.
pub(super) fn plain(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    &path[..end]
}
