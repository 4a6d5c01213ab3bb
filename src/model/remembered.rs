//! Everything that is remembered. Whoever does something with each part takes it apart in full, so
//! that a part that is added later is not forgotten.

use std::collections::HashSet;

use super::glob::Glob;
use super::memory::{Closed, ClosedSession, Memory};
use super::name::is_given_by_tmux;
use super::policy::is_ignored;
use super::registry::Registry;
use super::session::Session;
use super::snapshot::ServerId;
use super::time::Timestamp;

/// Everything that is remembered: three files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    /// sessions.json
    pub registry: Registry,
    /// The closed sessions.
    pub closed: Closed,
    /// The memory of the server.
    pub memory: Memory,
}

impl Remembered {
    /// The records that can be restored: those of the registry that do not live.
    pub fn lost(&self) -> Vec<Session> {
        let living: HashSet<&str> = self.memory.living().collect();
        let sessions = self.registry.sessions.values();
        sessions.filter(|session| !living.contains(session.uuid.as_str())).cloned().collect()
    }

    /// How many sessions were lost with the server before this one, and still are, but for those whose
    /// names match `ignore`. None where it is one alone and tmux had named it: who starts tmux without
    /// a name, and ends it by leaving the last shell, loses such a one each time.
    pub fn lost_with_last_server(&self, server: ServerId, ignore: &[Glob]) -> usize {
        let Remembered { registry, memory, closed: _ } = self;
        let is_new = |since: &Timestamp| since.unix() >= server.start_time;
        let lost = registry.sessions.values().filter(|session| {
            memory.lost_since.get(&session.uuid).is_some_and(is_new)
                && !is_ignored(ignore, &session.name)
        });
        let lost: Vec<&Session> = lost.collect();
        match lost.as_slice() {
            [one] if is_given_by_tmux(&one.name) || memory.numbered.contains_key(&one.uuid) => 0,
            lost => lost.len(),
        }
    }

    /// The lost sessions whose names others took since this server started.
    pub fn set_aside_since(&self, server: ServerId) -> impl Iterator<Item = &Session> {
        let entries = self.closed.closed.iter();
        let entries = entries
            .filter(move |entry| entry.set_aside && entry.closed_at.unix() >= server.start_time);
        entries.map(|entry| &entry.session)
    }

    /// The names of these, but for those that tmux gave, which it gives again each time, those that match
    /// `ignore`, and those of sessions that live where nobody reaches them.
    pub fn names_taken_since(&self, server: ServerId, ignore: &[Glob]) -> Vec<String> {
        let is_gone = |session: &&Session| !self.memory.is_unreachable(&session.uuid);
        let names = self.set_aside_since(server).filter(is_gone).map(|session| &session.name);
        let is_told = |name: &&String| !is_given_by_tmux(name) && !is_ignored(ignore, name);
        names.filter(is_told).cloned().collect()
    }

    /// Makes a session one of the closed, as the user wants it.
    pub fn close(&mut self, session: Session, closed_at: Timestamp) {
        self.registry.sessions.remove(&session.name);
        self.closed.push(ClosedSession::new(session, closed_at));
    }
}
