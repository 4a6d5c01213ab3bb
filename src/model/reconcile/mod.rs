//! The heart: from what is remembered and what tmux says lives, to what both should say.
//!
//! A pure function. Applying its plan and reconciling again plans nothing.

mod effects;
mod identify;
mod lost_and_closed;
mod record;

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use identify::{display_names, first_of_groups};

use crate::model::memory::{Closed, Known, Memory};
use crate::model::policy::{Policy, is_ignored};
use crate::model::registry::Registry;
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::snapshot::{LiveSession, SessionId, Snapshot, Spellings};
use crate::model::time::Timestamp;
use crate::sorted::{Map, Set};

pub use identify::is_tracked;
pub(super) use lost_and_closed::{CLOSE_GRACE, LONGEST_SHUTDOWN, TIMER_SLACK, is_awaited};
pub use lost_and_closed::{LOOK_AFTER, end_with_server, is_outlived};
use record::keep_exact;

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
    /// An option of tmux's that the session no longer has of its own.
    Inherited,
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
#[allow(missing_docs, reason = "the words are tmux's own, or those for what became of it")]
pub enum EventKind {
    Created,
    Attached,
    Renamed,
    Closed,
    Lost,
    Restored,
}

impl EventKind {
    /// All of them, in the order in which they are told.
    pub const ALL: [EventKind; 6] = [
        EventKind::Created,
        EventKind::Renamed,
        EventKind::Attached,
        EventKind::Closed,
        EventKind::Lost,
        EventKind::Restored,
    ];

    /// The word for it, as scripts have it.
    pub fn word(self) -> &'static str {
        match self {
            EventKind::Created => "created",
            EventKind::Attached => "attached",
            EventKind::Renamed => "renamed",
            EventKind::Closed => "closed",
            EventKind::Lost => "lost",
            EventKind::Restored => "restored",
        }
    }

    /// The option that has the user's command for it.
    pub fn option(self) -> &'static str {
        match self {
            EventKind::Created => "@roster-on-created",
            EventKind::Attached => "@roster-on-attached",
            EventKind::Renamed => "@roster-on-renamed",
            EventKind::Closed => "@roster-on-closed",
            EventKind::Lost => "@roster-on-lost",
            EventKind::Restored => "@roster-on-restored",
        }
    }
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
    pub live: Map<SessionId, String>,
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
        leapt: false,
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

/// The work in progress. `pool` holds every record by UUID until it finds its place.
struct Work<'a> {
    before: &'a Remembered,
    snapshot: &'a Snapshot,
    policy: &'a Policy,
    now: Timestamp,
    same_server: bool,
    /// Whether the clock cannot be trusted with ages.
    leapt: bool,
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
    /// Puts every record in its place and says what tmux is to be told.
    fn record(
        mut self,
        tracked: &[&LiveSession],
        live: &Map<SessionId, String>,
        names: &Map<SessionId, String>,
    ) -> Plan {
        let mut memory = Memory {
            server: Some(self.snapshot.server),
            sessions: Map::new(),
            ..self.before.memory.clone()
        };
        memory.note_seen(!self.same_server, self.policy, self.now);
        self.leapt = memory.leapt;
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
        let present: Set<SessionId> = self.snapshot.sessions.iter().map(|l| l.id).collect();
        let tracked_ids: Set<SessionId> = tracked.iter().map(|l| l.id).collect();
        memory.untracked.retain(|id, _| present.contains(id) && !tracked_ids.contains(id));

        let mut told_after = Map::new();
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
            told_after.insert(session.id, told);
            registry.sessions.insert(record.name.clone(), record);
        }

        let look = self.close_the_gone(live, &present, &mut memory);
        self.keep_the_lost(live, &mut registry, &mut memory);
        let recorded: HashSet<&str> = registry.sessions.values().map(|s| s.uuid.as_str()).collect();
        self.closed.closed.retain(|entry| !recorded.contains(entry.session.uuid.as_str()));
        self.closed.trim(self.policy.closed_limit, self.now);
        memory.exact.retain(|uuid, _| {
            registry.by_uuid(uuid).is_some()
                || self.closed.closed.iter().any(|entry| entry.session.uuid == *uuid)
        });
        for (uuid, displaced) in memory.displaced.iter_mut() {
            let Some(session) = registry.by_uuid(uuid) else { continue };
            let (path, to) = (session.workdir.as_bytes(), displaced.to.as_bytes());
            if self.snapshot.is_one_directory(path, to) {
                displaced.to.clone_from(&session.workdir);
            }
        }
        memory.numbered.retain(|uuid, numbered| {
            registry.by_uuid(uuid).is_some_and(|session| session.name == numbered.given)
        });
        memory.displaced.retain(|uuid, displaced| {
            let closed = self.closed.closed.iter().map(|entry| &entry.session);
            let mut known = closed.chain(registry.by_uuid(uuid)).filter(|s| s.uuid == *uuid);
            known.any(|session| session.workdir == displaced.to)
        });

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
        // All but what tmux was told is the same before and after.
        let told_before = std::mem::take(&mut memory.sessions);
        let memory_after = Memory { sessions: told_after, ..memory.clone() };
        memory.sessions = told_before;
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

    fn event(&mut self, kind: EventKind, session: &Session, old_name: Option<String>) {
        self.events.push(Event { kind, session: session.clone(), old_name });
    }
}

/// Bytes as text, with replacement characters for what is not UTF-8.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
