//! What lives no more: closed, and believed to be once the server has outlived it; or lost.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use super::{EventKind, Work};
use crate::model::memory::{Closed, ClosedSession, Known, Memory, Numbered};
use crate::model::name::is_given_by_tmux;
use crate::model::policy::is_sound;
use crate::model::registry::Registry;
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::snapshot::{ServerId, SessionId};
use crate::model::time::Timestamp;
use crate::sorted::{Map, Set, sort_by};

/// Seconds from the last loss of a burst to the second look at it, by which it is believed. At a
/// shutdown sessions die one by one, for seconds or minutes, before the server does: each that
/// closes less than this after the one before starts the time anew for all.
pub const LOOK_AFTER: f64 = 10.0;

/// How long a server must have outlived its last loss for that. It is less than [`LOOK_AFTER`] by
/// what a timer may be early.
pub(in crate::model) const CLOSE_GRACE: f64 = LOOK_AFTER - TIMER_SLACK;

pub(in crate::model) const TIMER_SLACK: f64 = 0.1;

/// No shutdown takes this long, in seconds: what the server has outlived by that was closed,
/// whatever closes after it. Else who closes something every few seconds would close nothing.
pub(in crate::model) const LONGEST_SHUTDOWN: f64 = 600.0;

impl<'a> Work<'a> {
    /// Closes that their server did not outlive were losses.
    pub(super) fn return_losses(&mut self) {
        let mut kept = Vec::with_capacity(self.closed.closed.len());
        for mut entry in std::mem::take(&mut self.closed.closed) {
            match entry.unproven {
                // A crash between two files left it in both: the registry is right, as far as the
                // record stays there.
                _ if self.pool.contains_key(&entry.session.uuid) => entry.unproven = None,
                Some(server) if self.still_runs(server) => {}
                Some(server) if server != self.snapshot.server => {
                    self.event(EventKind::Lost, &entry.session, None);
                    self.returned.push((entry.session.uuid.clone(), entry.closed_at));
                    self.pool.insert(entry.session.uuid.clone(), entry.session);
                    continue;
                }
                // The clock was set back. Until it caught up nothing could be proven, and the
                // server's end would make losses of closes that it outlived by hours.
                Some(_) => entry.closed_at = entry.closed_at.min(self.now),
                None => {}
            }
            kept.push(entry);
        }
        self.closed.closed = kept;
    }

    /// Whether it runs where nobody can reach it.
    pub(super) fn still_runs(&self, server: ServerId) -> bool {
        self.before.memory.unreachable.iter().any(|other| other.server == server)
    }

    /// Closes that their server has outlived are believed.
    pub(super) fn believe_closes(&mut self, live: &Map<SessionId, String>) {
        let here: HashSet<&str> = live.values().map(String::as_str).collect();
        let server = Some(self.snapshot.server);
        let is_loss =
            |e: &ClosedSession| e.unproven == server && !here.contains(e.session.uuid.as_str());
        let is_over = is_outlived(&self.closed, is_loss, self.now);
        for at in 0..self.closed.closed.len() {
            let entry = &mut self.closed.closed[at];
            let is_old = self.now.seconds_since(entry.closed_at) >= LONGEST_SHUTDOWN;
            if is_loss(entry) && (is_over || is_old) {
                entry.unproven = None;
                let session = entry.session.clone();
                self.event(EventKind::Closed, &session, None);
            }
        }
    }

    /// Whether it is one of those whose close turned out to be a loss.
    pub(super) fn has_returned(&self, uuid: &str) -> bool {
        self.returned.iter().any(|(returned, _)| returned == uuid)
    }

    /// What this server had and has no more is closed, though not yet believed. Of a server
    /// that ended everything is lost, and nothing needs to be done. Clones leave no record.
    pub(super) fn close_the_gone(
        &mut self,
        live: &Map<SessionId, String>,
        present: &Set<SessionId>,
        memory: &mut Memory,
    ) -> Option<Duration> {
        let here: HashSet<&str> = live.values().map(String::as_str).collect();
        for (id, known) in &self.before.memory.sessions {
            if here.contains(known.uuid.as_str()) {
                continue;
            }
            if known.clone {
                self.pool.remove(&known.uuid);
            } else if !self.same_server {
                if let Some(session) = self.pool.get(&known.uuid).cloned() {
                    if !self.before.memory.lost_since.contains_key(&known.uuid) {
                        self.event(EventKind::Lost, &session, None);
                    }
                }
            } else if let Some(session) = self.pool.remove(&known.uuid) {
                // What lives but is no longer ours to record was not closed by anyone.
                let unproven = (!present.contains(id)).then_some(self.snapshot.server);
                let entry = ClosedSession::new(session, self.now);
                self.closed.push(ClosedSession { unproven, ..entry });
            }
        }
        memory.look_at = memory.look_at.filter(|at| is_awaited(*at, self.now));
        // Also of those that a sync recorded which was cut off before it could ask for the look.
        let server = Some(self.snapshot.server);
        let is_loss =
            |e: &ClosedSession| e.unproven == server && !here.contains(e.session.uuid.as_str());
        let last = last_loss(&self.closed, is_loss)?;
        if memory.look_at.is_some() {
            // It comes too early for what closed meanwhile, and then asks for the next.
            return None;
        }
        let left = (LOOK_AFTER - self.now.seconds_since(last)).clamp(TIMER_SLACK, LOOK_AFTER);
        let left = Duration::from_secs_f64(left);
        memory.look_at = Some(self.now.plus(left));
        Some(left)
    }

    /// Records without a session stay, unless their name is taken or they are too old.
    pub(super) fn keep_the_lost(
        &mut self,
        live: &Map<SessionId, String>,
        registry: &mut Registry,
        memory: &mut Memory,
    ) {
        let here: HashSet<&str> = live.values().map(String::as_str).collect();
        let mut lost_since = Map::new();
        // Of several of one name the first has it: the one that lived last.
        let mut pool = std::mem::take(&mut self.pool);
        let returned: Vec<Session> =
            self.returned.iter().filter_map(|(uuid, _)| pool.remove(uuid)).collect();
        let lost = pool.into_values().chain(returned);
        let lost = lost.filter(|session| !here.contains(session.uuid.as_str()));
        let (numbered, others): (Vec<Session>, Vec<Session>) =
            lost.partition(|session| self.number_of(session).is_some());
        for session in others {
            self.place_lost(session, registry, &mut lost_since);
        }
        self.place_numbered(numbered, registry, memory, &mut lost_since);
        memory.lost_since = lost_since;
    }

    /// The number that tmux gave a lost session as its name, if a client was ever attached to it.
    /// Nobody chose it, so the session need not go when another takes it.
    fn number_of(&self, session: &Session) -> Option<String> {
        let memory = &self.before.memory;
        let numbered = memory.numbered.get(&session.uuid).filter(|n| n.given == session.name);
        let own = numbered.map_or(&session.name, |numbered| &numbered.own);
        let was_used = !session.last_attached_at.is_zero() && !memory.is_unreachable(&session.uuid);
        (was_used && is_given_by_tmux(own)).then(|| own.clone())
    }

    /// Whether a session that tmux numbered had several windows at some time.
    fn had_windows(&self, session: &Session) -> bool {
        let memory = &self.before.memory;
        let is_it = |known: &Known| known.uuid == session.uuid && known.grown;
        memory.numbered.get(&session.uuid).is_some_and(|numbered| numbered.grown)
            || memory.sessions.values().any(is_it)
    }

    /// Those that tmux numbered. Each gets its number back if that is free, and has another name until
    /// it is. Of those without their number only one of each directory stays, one that had several
    /// windows before others, and then the last used one: else each start of tmux would add one.
    fn place_numbered(
        &mut self,
        sessions: Vec<Session>,
        registry: &mut Registry,
        memory: &mut Memory,
        lost_since: &mut Map<String, Timestamp>,
    ) {
        let ranked = sessions.into_iter().map(|session| {
            let used = (session.last_attached_at, session.created_at);
            (Reverse((self.had_windows(&session), used)), session)
        });
        let mut ranked: Vec<(_, Session)> = ranked.collect();
        sort_by(&mut ranked, |(a, one), (b, other)| (a, &one.uuid).cmp(&(b, &other.uuid)));
        // One that came back under another name stands for its directory.
        let has_other = |session: &&Session| {
            memory.numbered.get(&session.uuid).is_some_and(|n| n.given == session.name)
        };
        let others = registry.sessions.values().filter(has_other);
        let mut directories: Set<String> = others.map(|s| s.workdir.clone()).collect();
        let (mut named, mut nameless) = (Vec::new(), Vec::new());
        for (_, mut session) in ranked {
            let own = self.number_of(&session).unwrap_or_else(|| session.name.clone());
            let is_taken = registry.sessions.contains_key(&own);
            if !is_taken || !directories.insert(session.workdir.clone()) {
                session.name = own;
                self.place_lost(session, registry, lost_since);
            } else if session.name == own {
                nameless.push((own, session));
            } else {
                named.push((own, session));
            }
        }
        memory.numbered.retain(|uuid, _| !lost_since.contains_key(uuid));
        // What has another name already keeps it.
        for (own, mut session) in named.into_iter().chain(nameless) {
            let is_free = |name: &String| *name != own && !registry.sessions.contains_key(name);
            let more = (2..).map(|n| format!("{own}-{n}"));
            let given = std::iter::once(session.name.clone()).chain(more).find(is_free);
            if let Some(given) = given {
                session.name.clone_from(&given);
                let grown = self.had_windows(&session);
                memory.numbered.insert(session.uuid.clone(), Numbered { own, given, grown });
            }
            self.place_lost(session, registry, lost_since);
        }
    }

    pub(super) fn place_lost(
        &mut self,
        session: Session,
        registry: &mut Registry,
        lost_since: &mut Map<String, Timestamp>,
    ) {
        let since = *self.before.memory.lost_since.get(&session.uuid).unwrap_or(&self.now);
        let since = if is_sound(since, &session, self.now) { since } else { self.now };
        let is_unreachable = self.before.memory.is_unreachable(&session.uuid);
        let is_taken = registry.sessions.contains_key(&session.name);
        let is_too_old = !self.leapt && self.policy.is_too_old(since, self.now);
        if is_taken || !is_unreachable && is_too_old {
            return self.step_aside(session, is_taken);
        }
        if !is_unreachable {
            lost_since.insert(session.uuid.clone(), since);
        }
        registry.sessions.insert(session.name.clone(), session);
    }

    /// Into the closed list; one that was there before has its old place.
    pub(super) fn step_aside(&mut self, session: Session, set_aside: bool) {
        let returned = self.returned.iter().find(|(uuid, _)| *uuid == session.uuid);
        let closed_at = returned.map(|(_, closed_at)| *closed_at);
        let entry = ClosedSession::new(session, closed_at.unwrap_or(self.now));
        let entry = ClosedSession { set_aside, ..entry };
        match closed_at {
            Some(_) => self.closed.put_back(entry),
            None => self.closed.push(entry),
        }
    }
}

/// What is known once no server runs: closes that it did not outlive were losses. Of several of
/// one name the one that lived last is lost, the others stay closed. Clones leave nothing.
pub fn end_with_server(remembered: &mut Remembered) {
    let Remembered { registry, closed, memory } = remembered;
    registry.name_by_key();
    let records = &mut registry.sessions;
    let known = memory.sessions.values();
    let clones: HashSet<&str> =
        known.filter(|known| known.clone).map(|known| known.uuid.as_str()).collect();
    records.retain(|_, record| !clones.contains(record.uuid.as_str()));
    closed.closed.retain_mut(|entry| {
        let is_recorded = records.values().any(|record| record.uuid == entry.session.uuid);
        if entry.unproven.take().is_none() || is_recorded {
            return true;
        }
        let name = entry.session.name.clone();
        let is_free = !records.contains_key(&name);
        if is_free {
            records.insert(name, entry.session.clone());
        }
        !is_free
    });
}

/// When the last of these losses was.
pub(super) fn last_loss(
    closed: &Closed,
    is_loss: impl Fn(&ClosedSession) -> bool,
) -> Option<Timestamp> {
    closed.closed.iter().filter(|entry| is_loss(entry)).map(|entry| entry.closed_at).max()
}

/// Whether the server of these losses has outlived the last of them by long enough, given that it
/// lives at `now`: then they were closes.
pub fn is_outlived(
    closed: &Closed,
    is_loss: impl Fn(&ClosedSession) -> bool,
    now: Timestamp,
) -> bool {
    last_loss(closed, is_loss).is_some_and(|last| now.seconds_since(last) >= CLOSE_GRACE)
}

/// Whether the second look that is due then is still to come. One that is further away than any
/// look is ever scheduled is from before the clock was set back, and covers nothing.
pub(in crate::model) fn is_awaited(look_at: Timestamp, now: Timestamp) -> bool {
    let left = look_at.seconds_since(now);
    left > TIMER_SLACK && left <= LOOK_AFTER
}
