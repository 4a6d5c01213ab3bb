//! Recording windows: the late look, which asks for all panes, and what it says of them.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use super::look::{self, Kind};
use super::{SyncError, Transaction};
use crate::log::log;
use crate::model::snapshot::SessionId;
use crate::model::time::Timestamp;
use crate::model::windows::{Windows, note};
use crate::panes;
use crate::persist;
use crate::tmux::server::{job_server, time_on_cpu};

/// Measures what a call takes tmux.
pub(crate) struct Stopwatch {
    began: Instant,
    worked: Option<Duration>,
}

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch { began: Instant::now(), worked: job_server().and_then(time_on_cpu) }
    }

    /// The time that the server worked since, or where nobody tells that, all the time since:
    /// the shorter of both, as it may have been busy with others.
    pub(crate) fn stop(&self) -> Duration {
        let worked = job_server().and_then(time_on_cpu);
        let worked = worked.zip(self.worked).map(|(now, then)| now.saturating_sub(then));
        let passed = self.began.elapsed();
        worked.map_or(passed, |worked| worked.min(passed))
    }
}

impl Transaction<'_> {
    /// Records the windows of all sessions, as far as something changed.
    ///
    /// # Errors
    /// The file cannot be read or written, or tmux cannot be told of the next look.
    pub(crate) fn record_windows(&mut self) -> Result<(), SyncError> {
        let policy = &self.settings.windows;
        // No session is without a pane: nobody told of these.
        let is_told = !self.answer.panes.is_empty() || self.answer.snapshot.sessions.is_empty();
        if !policy.records || !is_told {
            return Ok(());
        }
        let before = self.load_windows()?;
        let named = policy.named(&self.answer.hooks);
        let memory = &self.remembered.memory;
        let recorded: BTreeMap<SessionId, String> = (memory.sessions.iter())
            // Clones leave nothing.
            .filter(|(_, known)| !known.clone)
            .map(|(id, known)| (*id, known.uuid.clone()))
            .collect();
        let server = self.answer.snapshot.server;
        let rows = std::mem::take(&mut self.answer.panes);
        let (seen, refused) = panes::look(&rows, server, &recorded, &named);
        let closed = self.remembered.closed.closed.iter().map(|entry| &entry.session);
        let kept = self.remembered.registry.sessions.values().chain(closed);
        let kept: HashSet<&str> = kept.map(|session| session.uuid.as_str()).collect();
        let now = Timestamp::now();
        let (mut next, look) = note(&before, seen, |uuid| kept.contains(uuid), now);
        for window in refused.iter().filter(|window| !before.refused.contains(window)) {
            log(self.place, &format!("the layout of window @{window} is not understood"));
        }
        next.refused = refused;
        if next != before {
            persist::write_windows(self.place, &next)?;
        }
        if let Some(delay) = look {
            if self.version().delays_jobs() {
                self.run(&[look::look_line(Kind::Windows, delay)])?;
            } else {
                look::look_by_ourselves(self.place, Kind::Windows, server, delay);
            }
        }
        Ok(())
    }

    /// What was recorded; a damaged file is kept aside.
    fn load_windows(&self) -> Result<Windows, SyncError> {
        Ok(persist::load_windows(self.place)?)
    }
}
