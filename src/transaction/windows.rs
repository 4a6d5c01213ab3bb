//! Recording windows: the late look, which asks for all panes, and what it says of them.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::look::{self, Kind};
use super::{SyncError, Transaction, Trigger};
use crate::config::{LATE_OPTIONS, Place, Settings};
use crate::health;
use crate::history::{Entry, What};
use crate::log::log;
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::snapshot::{ServerId, SessionId, Spellings};
use crate::model::time::Timestamp;
use crate::model::windows::{Arrangement, ClosedWindow, Missing, Was, Window, Windows, note, was};
use crate::panes;
use crate::persist;
use crate::sorted::{Map, Set};
use crate::tmux::call::{self, With};
use crate::tmux::server::{job_server, time_on_cpu};

/// Whether a live session began where the first pane of a lost one was, which is recorded in the other
/// directory: tmux-resurrect makes sessions so. Many begin at home, which says nothing.
pub fn is_of_a_pane(place: &Place, remembered: &Remembered, (live, recorded): &Spellings) -> bool {
    let home = health::home().map(PathBuf::into_os_string);
    if live == b"/" || home.is_some_and(|home| home.as_bytes() == live) {
        return false;
    }
    let Ok(windows) = persist::read_windows(place) else { return false };
    let records = remembered.registry.sessions.values();
    let mut lost = records.filter(|session| session.workdir.as_bytes() == recorded.as_slice());
    lost.any(|session| {
        let arrangement = windows.sessions.get(&session.uuid);
        let windows = arrangement.map(Arrangement::to_bring_back).unwrap_or_default();
        let first = windows.first().and_then(|window| window.panes.first());
        first.and_then(|pane| pane.directory.as_ref()).is_some_and(|path| path.0 == *live)
    })
}

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
        self.record_windows_but(None)
    }

    /// The same, and one that came back, with this id, is closed no more: in one write, so that it stands in
    /// the file wherever we are cut off.
    fn record_windows_but(&mut self, back: Option<(&ClosedWindow, u32)>) -> Result<(), SyncError> {
        let policy = &self.settings.windows;
        // No session is without a pane: nobody told of these.
        let is_told = !self.answer.panes.is_empty() || self.answer.snapshot.sessions.is_empty();
        let is_recorded = policy.records && is_told;
        if !is_recorded && back.is_none() {
            return Ok(());
        }
        let before = self.load_windows()?;
        // A look of a hook has nothing to take out, and no room for another megabyte.
        let known = back.map(|(back, _)| {
            let mut known = before.clone();
            known.forget_closed(back);
            known
        });
        if let Some(known) = known.as_ref().filter(|_| !is_recorded) {
            // It must not come back once more.
            return Ok(persist::write_windows(self.place, known)?);
        }
        let named = policy.named(&self.answer.hooks);
        let memory = &self.remembered.memory;
        let recorded: Map<SessionId, String> = (memory.sessions.iter())
            // Clones leave nothing.
            .filter(|(_, known)| !known.clone)
            .map(|(id, known)| (*id, known.uuid.clone()))
            .collect();
        let server = self.answer.snapshot.server;
        let (seen, refused) = panes::look(&self.answer.panes, server, &recorded, &named);
        if let Trigger::Hook { .. } = self.trigger {
            // Nobody needs them any more, and those of a thousand sessions are a megabyte.
            self.answer.panes = Vec::new();
        }
        let closed = self.remembered.closed.closed.iter().map(|entry| &entry.session);
        let kept = self.remembered.registry.sessions.values().chain(closed);
        let kept: HashSet<&str> = kept.map(|session| session.uuid.as_str()).collect();
        let now = Timestamp::now();
        let (mut next, look) = note(
            known.as_ref().unwrap_or(&before),
            seen,
            |uuid| kept.contains(uuid),
            policy.keeps_closed,
            now,
        );
        for window in refused.iter().filter(|window| !before.refused.contains(window)) {
            log(self.place, &format!("the layout of window @{window} is not understood"));
        }
        next.refused = refused;
        if let Some((back, id)) = back {
            next.take_over(back, server, id);
        }
        if next != before {
            persist::write_windows(self.place, &next)?;
            self.note_closed_windows(&before, &next);
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

    /// Notes which windows are now known to have been closed.
    fn note_closed_windows(&self, before: &Windows, next: &Windows) {
        let known: Set<Was> = before.closed.iter().map(ClosedWindow::was).collect();
        let new = next.closed.iter().rev().filter(|closed| !known.contains(&closed.was()));
        let entry = |closed: &ClosedWindow| {
            let session = self.remembered.registry.by_uuid(&closed.session)?;
            let entry = Entry::of_window(What::WindowClosed, session, &closed.window);
            Some(Entry { at: closed.closed_at, ..entry })
        };
        self.note(&new.filter_map(entry).collect::<Vec<_>>());
    }

    /// Asks for all panes, and records what there is now.
    ///
    /// # Errors
    /// tmux fails, or the file cannot be read or written.
    pub fn look_at_windows(&mut self) -> Result<Windows, SyncError> {
        // Without a session there is no pane, and `list-panes` fails.
        if !self.answer.snapshot.sessions.is_empty() {
            self.ask_for_panes()?;
            self.record_windows()?;
        }
        self.load_windows()
    }

    /// Whether windows are recorded of one of these on the server that answers.
    pub fn stood_here(&self, records: &[Session]) -> bool {
        let windows = persist::read_windows(self.place).unwrap_or_default();
        let server = self.answer.snapshot.server;
        let of = |record: &Session| windows.sessions.get(&record.uuid);
        records.iter().filter_map(of).any(|arrangement| arrangement.server == server)
    }

    fn ask_for_panes(&mut self) -> Result<(), SyncError> {
        let with = With { panes: Some(panes::to_ask()), ..With::default() };
        let asked = call::ask(&self.place.tmux, with, &LATE_OPTIONS, self.deadline())?;
        self.settings = Settings::parse(&asked.options);
        self.answer.panes = asked.panes;
        self.answer.hooks = asked.hooks;
        Ok(())
    }

    /// Notes which sessions are back with their windows, by UUID, but for some: the servers of these,
    /// and the numbers of their ids.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn note_back(&self, sessions: &[(String, Vec<Was>)]) -> Result<(), SyncError> {
        let mut windows = self.load_windows()?;
        let since = Timestamp::now();
        for (uuid, lacking) in sessions {
            let Some(arrangement) = windows.sessions.get_mut(uuid) else { continue };
            let is_lacking =
                |(server, window): &(ServerId, Window)| lacking.contains(&was(*server, window.id));
            let lacking = arrangement.with_servers().into_iter().filter(is_lacking);
            let missing: Vec<Missing> =
                lacking.map(|(server, window)| Missing { since, server, window }).collect();
            (arrangement.missing, arrangement.back) = (missing, true);
        }
        Ok(persist::write_windows(self.place, &windows)?)
    }

    /// Looks once more, after a closed window came back, with this id.
    ///
    /// # Errors
    /// tmux fails, or the file cannot be read or written.
    pub fn look_after_return(&mut self, back: &ClosedWindow, id: u32) -> Result<(), SyncError> {
        self.ask_for_panes()?;
        self.record_windows_but(Some((back, id)))
    }

    /// Notes that these sessions are gone, which nobody may have seen since they closed: else a look
    /// at what is made in their place would take the windows that they had for lost.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(crate) fn leave_windows(&self, records: &[Session]) -> Result<(), SyncError> {
        let mut windows = self.load_windows()?;
        let server = self.answer.snapshot.server;
        let mut is_noted = true;
        for record in records {
            let found = windows.sessions.get_mut(&record.uuid);
            if let Some(arrangement) = found.filter(|found| found.server == server) {
                is_noted &= !std::mem::take(&mut arrangement.here);
            }
        }
        if is_noted { Ok(()) } else { Ok(persist::write_windows(self.place, &windows)?) }
    }

    /// Gives sessions the windows that others have: by the UUIDs of those and of these.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn copy_windows(&self, pairs: &[(String, String)]) -> Result<(), SyncError> {
        let windows = self.load_windows()?.sessions;
        let copy = |(from, to): &(String, String)| Some((to.clone(), windows.get(from)?.clone()));
        self.adopt_windows(pairs.iter().filter_map(copy).collect())
    }

    /// Takes over the windows of sessions from elsewhere, by UUID.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn adopt_windows(&self, sessions: Vec<(String, Arrangement)>) -> Result<(), SyncError> {
        Ok(persist::adopt_windows(self.place, sessions)?)
    }

    /// What was recorded; a damaged file is kept aside.
    fn load_windows(&self) -> Result<Windows, SyncError> {
        Ok(persist::load_windows(self.place)?)
    }
}
