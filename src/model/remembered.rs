//! Everything that is remembered. Whoever does something with each part takes it apart in full, so
//! that a part that is added later is not forgotten.

use std::collections::HashSet;

use super::memory::{Closed, ClosedSession, Memory};
use super::registry::Registry;
use super::session::Session;
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

    /// Makes a session one of the closed, as the user wants it.
    pub fn close(&mut self, session: Session, closed_at: Timestamp) {
        self.registry.sessions.remove(&session.name);
        self.closed.push(ClosedSession::new(session, closed_at));
    }
}
