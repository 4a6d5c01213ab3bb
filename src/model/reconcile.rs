//! The heart: from what is remembered and what tmux says lives, to what both should say.
//!
//! A pure function. Applying its plan and reconciling again plans nothing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::memory::{Closed, ClosedSession, Exact, Known, Memory, to_hex};
use super::name::is_given_by_tmux;
use super::registry::Registry;
use super::session::{Session, is_uuid};
use super::snapshot::{LiveSession, ServerId, SessionId, Snapshot, Spellings, Workdir};
use super::time::Timestamp;

/// Seconds from the last loss of a burst to the second look at it, by which it is believed. At a
/// shutdown sessions die one by one, for seconds or minutes, before the server does: each that
/// closes less than this after the one before starts the time anew for all.
pub const LOOK_AFTER: f64 = 10.0;

/// How long a server must have outlived its last loss for that. It is less than [`LOOK_AFTER`] by
/// what a timer may be early.
const CLOSE_GRACE: f64 = LOOK_AFTER - TIMER_SLACK;

const TIMER_SLACK: f64 = 0.1;

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

/// What the user's options say about reconciling.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The mode of a session that nobody gave one.
    pub default_mode: String,
    /// Globs: sessions to leave alone.
    pub ignore: Vec<String>,
    /// How many closed sessions are kept.
    pub closed_limit: usize,
    /// Days after which a lost session moves to the closed ones; 0 for never.
    pub lost_days: u32,
    /// Seconds that a health check stays fresh; 0 for no checks.
    pub health_interval: u32,
}

impl Policy {
    /// Whether a session that is lost since then moves to the closed ones.
    pub(super) fn is_too_old(&self, since: Timestamp, now: Timestamp) -> bool {
        let days = f64::from(self.lost_days);
        days > 0.0 && now.seconds_since(since) > days * 86_400.0
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            default_mode: "safe".into(),
            ignore: Vec::new(),
            closed_limit: 50,
            lost_days: 30,
            health_interval: 60,
        }
    }
}

/// Something that tmux is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The session; `None` for the server as a whole.
    pub target: Option<SessionId>,
    /// An option or a variable of the environment.
    pub kind: EffectKind,
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Leave a value alone that somebody set since the snapshot.
    pub only_if_unset: bool,
}

/// What an effect sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectKind {
    /// A user option.
    Option,
    /// A variable of the session's environment.
    Environment,
}

/// What happened to a session, for the user's own scripts and for the summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The session's record after it happened.
    pub session: Session,
    /// The name it had before, for a rename.
    pub old_name: Option<String>,
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the words are tmux's own, or design.md's states")]
pub enum EventKind {
    Created,
    Attached,
    Renamed,
    Closed,
    Lost,
    Restored,
}

/// What to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What shall be remembered; the memory as it is while the effects are still to come.
    pub next: Remembered,
    /// The memory once the effects have arrived.
    pub memory_after: Memory,
    /// What to tell tmux.
    pub effects: Vec<Effect>,
    /// What happened.
    pub events: Vec<Event>,
    /// In how long a second look at closes is to be taken, if one is to be scheduled.
    pub look: Option<Duration>,
    /// The live sessions whose health is due, just attached to.
    pub health_due: Vec<SessionId>,
    /// For the log.
    pub notes: Vec<String>,
    /// The UUID of each live session that is recorded.
    pub live: BTreeMap<SessionId, String>,
    /// Live sessions that were not taken for the lost ones of their names, only because the
    /// directories are not spelled alike.
    pub doubts: Vec<Spellings>,
}

/// Compares `before` with what lives and says what to do.
///
/// `new_uuid` is asked once for each session that turns out to be new.
pub fn reconcile(
    before: &Remembered,
    snapshot: &Snapshot,
    policy: &Policy,
    now: Timestamp,
    new_uuid: &mut dyn FnMut() -> String,
) -> Plan {
    let same_server = before.memory.server == Some(snapshot.server);
    let mut work = Work {
        before,
        snapshot,
        policy,
        now,
        same_server,
        of_server_before: match same_server {
            true => HashSet::new(),
            false => before.memory.sessions.values().map(|known| known.uuid.as_str()).collect(),
        },
        pool: BTreeMap::new(),
        returned: Vec::new(),
        closed: before.closed.clone(),
        events: Vec::new(),
        notes: Vec::new(),
    };
    work.fill_pool(new_uuid);
    work.return_losses();
    let tracked = work.tracked();
    let (live, doubts) = work.identify(&tracked, new_uuid);
    work.believe_closes(&live);
    let names = display_names(&tracked);
    let plan = work.record(&tracked, &live, &names);
    Plan { doubts, ..plan }
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

/// The work in progress. `pool` holds every record by UUID until it finds its place.
struct Work<'a> {
    before: &'a Remembered,
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    now: Timestamp,
    same_server: bool,
    /// What the server before this one was last seen to have.
    of_server_before: HashSet<&'a str>,
    pool: BTreeMap<String, Session>,
    /// Those of them that come back from the closed ones, the one closed last first, and when they
    /// were closed.
    returned: Vec<(String, Timestamp)>,
    closed: Closed,
    events: Vec<Event>,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    /// Every record by UUID. Of several records with one UUID the one keeps it whose name the
    /// server memory knows, else the first; the others, and those without any, get new ones. What
    /// is no UUID is none: it would reach tmux's formats and the commands of menus.
    fn fill_pool(&mut self, new_uuid: &mut dyn FnMut() -> String) {
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
            session.uuid = self.unused(new_uuid, &HashSet::new());
            self.notes.push(format!(
                "the record {:?} had no UUID of its own; gave it {}",
                session.name, session.uuid
            ));
            self.pool.insert(session.uuid.clone(), session);
        }
        for at in 0..self.closed.closed.len() {
            if !is_uuid(&self.closed.closed[at].session.uuid) {
                self.closed.closed[at].session.uuid = self.unused(new_uuid, &HashSet::new());
            }
        }
    }

    /// Closes that their server did not outlive were losses.
    fn return_losses(&mut self) {
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
    fn still_runs(&self, server: ServerId) -> bool {
        self.before.memory.unreachable.iter().any(|other| other.server == server)
    }

    /// Closes that their server has outlived are believed.
    fn believe_closes(&mut self, live: &BTreeMap<SessionId, String>) {
        let here: HashSet<&String> = live.values().collect();
        let is_loss = |e: &ClosedSession| e.unproven.is_some() && !here.contains(&e.session.uuid);
        if !is_outlived(&self.closed, is_loss, self.now) {
            return;
        }
        for at in 0..self.closed.closed.len() {
            let entry = &mut self.closed.closed[at];
            if is_loss(entry) {
                entry.unproven = None;
                let session = entry.session.clone();
                self.event(EventKind::Closed, &session, None);
            }
        }
    }

    /// Whether it is one of those whose close turned out to be a loss.
    fn has_returned(&self, uuid: &str) -> bool {
        self.returned.iter().any(|(returned, _)| returned == uuid)
    }

    /// The live sessions that are ours to record, by id.
    fn tracked(&self) -> Vec<&'a LiveSession> {
        let mut tracked: Vec<&'a LiveSession> = (self.snapshot.sessions.iter())
            .filter(|live| is_tracked(self.before, self.snapshot, self.policy, live))
            .collect();
        tracked.sort_unstable_by_key(|live| live.id);
        tracked
    }

    /// The UUID of each live session: by the memory of this very server, by its stamp, by name
    /// and directory, or a new one. And the doubts: [`Plan::doubts`].
    ///
    /// Memory comes first because a stamp can be changed, copied or masked by anyone, and an id
    /// is never used twice by one server.
    fn identify(
        &self,
        tracked: &[&'a LiveSession],
        new_uuid: &mut dyn FnMut() -> String,
    ) -> (BTreeMap<SessionId, String>, Vec<Spellings>) {
        let mut found: BTreeMap<SessionId, String> = BTreeMap::new();
        let mut doubts = Vec::new();
        let mut taken: HashSet<String> = HashSet::new();
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
        stamped.sort_unstable_by_key(|live| {
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
        let by_name: HashMap<&str, &Session> =
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

    fn unused(&self, new_uuid: &mut dyn FnMut() -> String, taken: &HashSet<String>) -> String {
        loop {
            let uuid = new_uuid();
            let in_closed = self.closed.closed.iter().any(|entry| entry.session.uuid == uuid);
            if !taken.contains(&uuid) && !self.pool.contains_key(&uuid) && !in_closed {
                return uuid;
            }
        }
    }

    fn is_same_directory(&self, live: &LiveSession, session: &Session) -> bool {
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
    fn doubts(&self, live: &LiveSession, session: &Session) -> Vec<Spellings> {
        let Workdir::Known(path) = &live.workdir else { return Vec::new() };
        let memory = &self.before.memory;
        let exact = Exact::workdir_of(memory.exact.get(&session.uuid), session);
        let displaced = memory.displaced.get(&session.uuid);
        let before = displaced.filter(|before| before.to == session.workdir);
        let recorded = [Some(exact), before.map(|before| before.from.clone().into_bytes())];
        recorded.into_iter().flatten().map(|recorded| (path.clone(), recorded)).collect()
    }

    /// Puts every record in its place and says what tmux is to be told.
    fn record(
        mut self,
        tracked: &[&LiveSession],
        live: &BTreeMap<SessionId, String>,
        names: &BTreeMap<SessionId, String>,
    ) -> Plan {
        let mut memory = Memory {
            server: Some(self.snapshot.server),
            sessions: BTreeMap::new(),
            ..self.before.memory.clone()
        };
        // One that bears its stamp here was reached after all.
        for server in &mut memory.unreachable {
            server.uuids.retain(|uuid| live.values().all(|here| here != uuid));
        }
        if !self.same_server {
            memory.untracked.clear();
            memory.look_at = None;
            memory.restore_due = true;
            memory.to_restore.clear();
        }
        let present: HashSet<SessionId> = self.snapshot.sessions.iter().map(|l| l.id).collect();
        let tracked_ids: HashSet<SessionId> = tracked.iter().map(|l| l.id).collect();
        memory.untracked.retain(|id, _| present.contains(id) && !tracked_ids.contains(id));

        let mut memory_after = memory.clone();
        let mut registry =
            Registry { extra: self.before.registry.extra.clone(), ..Registry::default() };
        let (mut effects, mut health_due) = (Vec::new(), Vec::new());
        let groups = first_of_groups(tracked);

        for session in tracked {
            let uuid = &live[&session.id];
            let known =
                if self.same_server { self.before.memory.sessions.get(&session.id) } else { None };
            let record =
                self.live_record(session, uuid, &names[&session.id], known, &mut health_due);
            keep_exact(&mut memory, session, &record);
            let clone = groups.get(&session.group).is_some_and(|first| *first != session.id);
            let told = self.tell(session, &record, known, clone, &mut effects);
            // Until the effects have arrived, memory says what tmux was told before.
            let before = match known {
                Some(known) => Known { clone, ..known.clone() },
                None => {
                    Known { uuid: uuid.clone(), name: String::new(), clone, ..Known::default() }
                }
            };
            memory.sessions.insert(session.id, before);
            memory_after.sessions.insert(session.id, told);
            registry.sessions.insert(record.name.clone(), record);
        }
        memory_after.exact = memory.exact.clone();

        let look = self.close_the_gone(live, &present, &mut memory);
        self.keep_the_lost(live, &mut registry, &mut memory);
        let recorded: HashSet<&String> = registry.sessions.values().map(|s| &s.uuid).collect();
        self.closed.closed.retain(|entry| !recorded.contains(&entry.session.uuid));
        self.closed.trim(self.policy.closed_limit, self.now);
        memory.exact.retain(|uuid, _| {
            registry.by_uuid(uuid).is_some()
                || self.closed.closed.iter().any(|entry| entry.session.uuid == *uuid)
        });
        for (uuid, displaced) in &mut memory.displaced {
            let Some(session) = registry.by_uuid(uuid) else { continue };
            let (path, to) = (session.workdir.as_bytes(), displaced.to.as_bytes());
            if self.snapshot.is_one_directory(path, to) {
                displaced.to.clone_from(&session.workdir);
            }
        }
        memory.displaced.retain(|uuid, displaced| {
            let closed = self.closed.closed.iter().map(|entry| &entry.session);
            let mut known = closed.chain(registry.by_uuid(uuid)).filter(|s| s.uuid == *uuid);
            known.any(|session| session.workdir == displaced.to)
        });
        memory_after.exact.clone_from(&memory.exact);
        memory_after.displaced.clone_from(&memory.displaced);
        memory_after.lost_since.clone_from(&memory.lost_since);
        memory_after.look_at = memory.look_at;

        let ignore = &self.policy.ignore;
        let is_lost = |s: &&Session| memory.lost_since.contains_key(&s.uuid);
        let lost = registry.sessions.values().filter(is_lost);
        let lost = lost.filter(|session| !is_ignored(ignore, &session.name)).count();
        if self.snapshot.lost_shown != lost.to_string() {
            effects.push(Effect {
                target: None,
                kind: EffectKind::Option,
                name: "@roster_lost",
                value: lost.to_string(),
                only_if_unset: false,
            });
        }
        let closed = self.closed;
        Plan {
            next: Remembered { registry, closed, memory },
            memory_after,
            effects,
            events: self.events,
            look,
            health_due,
            notes: self.notes,
            live: live.clone(),
            doubts: Vec::new(),
        }
    }

    /// The record of a live session: name and directory as tmux has them, the mode by which
    /// side changed since the last sync, and tmux if both did.
    fn live_record(
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

    /// The record of a session whose UUID somebody edited in the file: it stands under the name
    /// that the session last had, with an id that nobody knows.
    fn edited(&mut self, uuid: &str, known: Option<&Known>) -> Option<Session> {
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

    /// Adds what tmux is to be told of a session; returns what it will then have been told.
    fn tell(
        &mut self,
        live: &LiveSession,
        record: &Session,
        known: Option<&Known>,
        clone: bool,
        effects: &mut Vec<Effect>,
    ) -> Known {
        let fresh = Known::default();
        let was = known.unwrap_or(&fresh);
        let mut told = Known {
            uuid: record.uuid.clone(),
            name: record.name.clone(),
            mode: record.mode.clone(),
            health: record.last_health_status.clone(),
            clone,
            stamps: was.stamps.max(1),
            stamped_over: was.stamped_over.clone(),
        };
        let mut add = |kind, name, value: &str, only_if_unset| {
            let value = value.to_owned();
            effects.push(Effect { target: Some(live.id), kind, name, value, only_if_unset });
        };
        // Once for each session: an option that is empty again after that is masked.
        let lacks_something =
            live.stamp.is_empty() || live.mode != record.mode && live.mode.is_empty();
        let healing = lacks_something && was.stamps == 1;
        if healing {
            told.stamps = 2;
        }
        let masked = was.stamps > 0 && live.stamp == was.stamped_over && !healing;
        if live.stamp != record.uuid && !masked {
            add(EffectKind::Option, "@roster_uuid", &record.uuid, false);
            told.stamps = was.stamps.saturating_add(1).min(2);
            told.stamped_over.clone_from(&live.stamp);
            if !live.stamp.is_empty() {
                self.notes.push(format!(
                    "session {} showed the stamp {:?}, which is not its own; stamped it with {}",
                    live.id, live.stamp, record.uuid
                ));
            }
        }
        let told_before = was.stamps > 0;
        if live.mode != record.mode
            && (!told_before || was.mode != record.mode || (live.mode.is_empty() && healing))
        {
            add(EffectKind::Option, "@roster_mode", &record.mode, live.mode.is_empty());
        }
        let health = &record.last_health_status;
        if live.health != *health && (!told_before || was.health != *health) {
            add(EffectKind::Option, "@roster_health", health, false);
        }
        for (name, now, then) in [
            ("ROSTER_UUID", &record.uuid, &was.uuid),
            ("ROSTER_MODE", &record.mode, &was.mode),
            ("ROSTER_SESSION", &record.name, &was.name),
        ] {
            if !told_before || now != then {
                add(EffectKind::Environment, name, now, false);
            }
        }
        told
    }

    /// What this server had and has no more is closed, though not yet believed. Of a server
    /// that ended everything is lost, and nothing needs to be done. Clones leave no record.
    fn close_the_gone(
        &mut self,
        live: &BTreeMap<SessionId, String>,
        present: &HashSet<SessionId>,
        memory: &mut Memory,
    ) -> Option<Duration> {
        let here: HashSet<&String> = live.values().collect();
        for (id, known) in &self.before.memory.sessions {
            if here.contains(&known.uuid) {
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
                self.closed.push(ClosedSession { session, closed_at: self.now, unproven });
            }
        }
        memory.look_at = memory.look_at.filter(|at| is_awaited(*at, self.now));
        // Also of those that a sync recorded which was cut off before it could ask for the look.
        let is_loss = |e: &ClosedSession| e.unproven.is_some() && !here.contains(&e.session.uuid);
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
    fn keep_the_lost(
        &mut self,
        live: &BTreeMap<SessionId, String>,
        registry: &mut Registry,
        memory: &mut Memory,
    ) {
        let here: HashSet<&String> = live.values().collect();
        let mut lost_since = BTreeMap::new();
        // Of several of one name the first has it: the one that lived last.
        let mut pool = std::mem::take(&mut self.pool);
        let returned: Vec<Session> =
            self.returned.iter().filter_map(|(uuid, _)| pool.remove(uuid)).collect();
        let lost = pool.into_values().chain(returned);
        for session in lost.filter(|session| !here.contains(&session.uuid)) {
            self.place_lost(session, registry, &mut lost_since);
        }
        memory.lost_since = lost_since;
    }

    fn place_lost(
        &mut self,
        session: Session,
        registry: &mut Registry,
        lost_since: &mut BTreeMap<String, Timestamp>,
    ) {
        let since = *self.before.memory.lost_since.get(&session.uuid).unwrap_or(&self.now);
        let is_unreachable = self.before.memory.is_unreachable(&session.uuid);
        let is_taken = registry.sessions.contains_key(&session.name);
        if is_taken || !is_unreachable && self.policy.is_too_old(since, self.now) {
            self.step_aside(session);
        } else if is_unreachable {
            registry.sessions.insert(session.name.clone(), session);
        } else {
            lost_since.insert(session.uuid.clone(), since);
            registry.sessions.insert(session.name.clone(), session);
        }
    }

    /// Into the closed list; one that was there before has its old place.
    fn step_aside(&mut self, session: Session) {
        let returned = self.returned.iter().find(|(uuid, _)| *uuid == session.uuid);
        let Some((_, closed_at)) = returned.cloned() else {
            self.closed.push(ClosedSession { session, closed_at: self.now, unproven: None });
            return;
        };
        self.closed.put_back(ClosedSession { session, closed_at, unproven: None });
    }

    fn event(&mut self, kind: EventKind, session: &Session, old_name: Option<String>) {
        self.events.push(Event { kind, session: session.clone(), old_name });
    }
}

/// What is known once no server runs: closes that it did not outlive were losses. Of several of
/// one name the one that lived last is lost, the others stay closed. Clones leave nothing.
pub fn end_with_server(remembered: &mut Remembered) {
    remembered.registry.name_by_key();
    let records = &mut remembered.registry.sessions;
    let known = remembered.memory.sessions.values();
    let clones: HashSet<&str> =
        known.filter(|known| known.clone).map(|known| known.uuid.as_str()).collect();
    records.retain(|_, record| !clones.contains(record.uuid.as_str()));
    remembered.closed.closed.retain_mut(|entry| {
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
fn last_loss(closed: &Closed, is_loss: impl Fn(&ClosedSession) -> bool) -> Option<Timestamp> {
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
pub(super) fn is_awaited(look_at: Timestamp, now: Timestamp) -> bool {
    let left = look_at.seconds_since(now);
    left > TIMER_SLACK && left <= LOOK_AFTER
}

/// Bytes as text, with replacement characters for what is not UTF-8.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The name each session is recorded under: its own, and where two become equal because they
/// are not UTF-8, a suffix for the younger ones.
fn display_names(tracked: &[&LiveSession]) -> BTreeMap<SessionId, String> {
    let exact = |live: &LiveSession| std::str::from_utf8(&live.name).ok().map(str::to_owned);
    let mut names = BTreeMap::new();
    names.extend(tracked.iter().filter_map(|live| Some((live.id, exact(live)?))));
    if names.len() == tracked.len() {
        return names;
    }
    let mut taken: HashSet<String> = names.values().cloned().collect();
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
fn first_of_groups<'a>(tracked: &[&'a LiveSession]) -> HashMap<&'a Vec<u8>, SessionId> {
    let mut groups = HashMap::new();
    for live in tracked.iter().filter(|live| !live.group.is_empty()) {
        groups.entry(&live.group).or_insert(live.id);
    }
    groups
}

fn keep_exact(memory: &mut Memory, live: &LiveSession, record: &Session) {
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

/// A directory without the slashes at its end, which a shell's TAB puts there.
fn plain(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |at| at + 1);
    &path[..end]
}

/// Whether one of the globs matches the whole name.
pub fn is_ignored(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| {
        let (glob, name): (Vec<char>, Vec<char>) = (glob.chars().collect(), name.chars().collect());
        glob_matches(&glob, &name)
    })
}

/// `*` stands for any characters, `?` for one.
fn glob_matches(glob: &[char], name: &[char]) -> bool {
    let (mut g, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match glob.get(g) {
            Some('*') => {
                retry = Some((g, n));
                g += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                g += 1;
                n += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    retry = Some((star, from + 1));
                    g = star + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|c| *c == '*')
}
