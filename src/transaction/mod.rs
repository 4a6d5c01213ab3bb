//! The one transaction, and the only code that knows its order:
//! lock → load → snapshot → reconcile → commit if changed → effects → unlock.

mod apart;
pub mod look;
pub mod pace;
pub(crate) mod throttle;
mod windows;
mod world;

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::config::{LATE_OPTIONS, OPTIONS, Place, Settings};
use crate::event_scripts::run_scripts;
use crate::files::{Durability, FileError};
use crate::health::{self, HEALTH_LIMIT};
use crate::history::{self, Entry, What};
use crate::log::log;
use crate::model::in_step::is_in_step;
use crate::model::memory::{ClosedSession, Memory};
use crate::model::policy;
use crate::model::reconcile::{Effect, EffectKind, Event, EventKind, Plan};
use crate::model::remembered::Remembered;
use crate::model::session::new_uuid;
use crate::model::snapshot::{LiveSession, ServerId, SessionId, Snapshot, Spellings, Workdir};
use crate::model::time::Timestamp;
use crate::persist::{self, load, write_in_order, write_json};
use crate::sorted::{Map, Set};
use crate::store::{Locked, Store, StoreError, Times};
use crate::tmux::call::{self, NO_TARGET, With, incomplete};
use crate::tmux::hooks::{self, HOOKS};
use crate::tmux::query::{self, Answer, Mark, Query};
use crate::tmux::server::{JobServer, STARTING, job_server, pid_in};
use crate::tmux::source::{self, Group, PIECE, SourceError};
use crate::tmux::status::{PUT_BACK, with_placeholders};
use crate::tmux::{ANSWER_LIMIT, TmuxError, Version};
use crate::{directories, host, panes};

pub use apart::{refuse_elsewhere, tell_servers_apart, without_socket};
pub use look::Kind;
use throttle::note_last_sign;
pub(crate) use windows::Stopwatch;
pub use windows::is_of_a_pane;
pub use world::{Offline, Sight, World};

/// How long a job that a hook started may take in all.
pub const HOOK_LIMIT: Duration = Duration::from_millis(9_500);

/// How long a command that only shows something waits for the lock: as long as a hook's job that
/// is just at work needs, and no longer.
const READER_LIMIT: Duration = Duration::from_millis(200);

/// Why a transaction could not be done. The registry is as it was.
#[derive(Debug)]
pub enum SyncError {
    /// The files.
    Store(StoreError),
    /// The server.
    Tmux(TmuxError),
    /// The folder is another host's, whose server may run there.
    Elsewhere {
        /// The folder.
        dir: PathBuf,
        /// What that host is called.
        node: String,
        /// Whether a server answers here, which needs a folder of its own.
        answers: bool,
    },
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyncError::Store(error) => error.fmt(f),
            SyncError::Tmux(error) => error.fmt(f),
            SyncError::Elsewhere { dir, node, answers } => write!(
                f,
                "{} is the registry of the host {node:?}{}",
                dir.display(),
                if *answers {
                    ": run roster doctor --fix to reload the plugin with a registry for this host"
                } else {
                    ", whose tmux server may still be running: run this command there"
                }
            ),
        }
    }
}

impl std::error::Error for SyncError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SyncError::Store(error) => Some(error),
            SyncError::Tmux(error) => Some(error),
            SyncError::Elsewhere { .. } => None,
        }
    }
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        SyncError::Store(error)
    }
}

impl From<TmuxError> for SyncError {
    fn from(error: TmuxError) -> Self {
        SyncError::Tmux(error)
    }
}

impl From<FileError> for SyncError {
    fn from(error: FileError) -> Self {
        SyncError::Store(error.into())
    }
}

impl From<SourceError> for SyncError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::File(error) => error.into(),
            SourceError::Tmux(error) => error.into(),
        }
    }
}

/// Who asks for a transaction.
#[derive(Debug, Clone, Copy)]
pub enum Trigger {
    /// A hook: silent, in no hurry, and the only look that a whole burst may get.
    Hook {
        /// How its mark stands in tmux.
        mark: Mark,
        /// When the job began.
        started: Instant,
        /// What it looks at. A look at windows is a late one, which covers the mark of that as well.
        kind: Kind,
        /// The session of the event, whose directory the job runs in (before tmux 3.2 nothing
        /// else tells it).
        session: Option<SessionId>,
    },
    /// A person, who waits.
    Person,
    /// A person who only looks, and is shown what there is where the lock is not free at once.
    Reader,
}

impl Trigger {
    /// A person waits as the store has it.
    fn lock_wait(self) -> Option<Duration> {
        match self {
            Trigger::Hook { started, .. } => Some(HOOK_LIMIT.saturating_sub(started.elapsed())),
            Trigger::Person => None,
            Trigger::Reader => Some(READER_LIMIT),
        }
    }

    fn deadline(self) -> Instant {
        match self {
            Trigger::Hook { started, .. } => started + HOOK_LIMIT,
            Trigger::Person | Trigger::Reader => Instant::now() + ANSWER_LIMIT,
        }
    }
}

/// The registry's lock, what is remembered, and what lives: all at one moment.
#[derive(Debug)]
pub struct Transaction<'a> {
    place: &'a Place,
    locked: Locked<'a>,
    times: Times,
    trigger: Trigger,
    /// What the files hold.
    pub remembered: Remembered,
    /// What tmux said.
    pub answer: Answer,
    /// The user's options.
    pub settings: Settings,
    hooks_asked: bool,
    /// What was mended of the files, in words.
    pub mended: Option<String>,
}

/// The place with the program that the job's server runs, where that is not the one it was told.
pub(crate) fn reachable(place: &Place, server: &JobServer) -> Option<Place> {
    server.replaced(&place.tmux).map(|tmux| Place { tmux, dir: place.dir.clone() })
}

/// What a hook's job finds of the server that started it; nobody else looks.
pub(crate) fn server_of(trigger: Trigger) -> JobServer {
    let is_hook = matches!(trigger, Trigger::Hook { .. });
    job_server().filter(|_| is_hook).map_or(JobServer::Lives, JobServer::look)
}

/// The store of a place.
pub fn store(place: &Place, trigger: Trigger) -> Store {
    waiting(Store::new(place.registry()), trigger)
}

/// What is left to a job of a hook at this moment is how long it waits.
pub(crate) fn waiting(store: Store, trigger: Trigger) -> Store {
    match trigger.lock_wait() {
        Some(wait) => store.waiting(wait),
        None => store,
    }
}

impl<'a> Transaction<'a> {
    /// Reads the files and asks tmux, for who has the lock.
    ///
    /// # Errors
    /// A file or tmux fails, or no server runs.
    pub(crate) fn begin_locked(
        place: &'a Place,
        locked: Locked<'a>,
        begun: (Times, bool),
        trigger: Trigger,
        server: &JobServer,
    ) -> Result<Transaction<'a>, SyncError> {
        Transaction::begin_or_offline(place, locked, begun, trigger, server)?.with_server()
    }

    /// The same, with or without.
    fn begin_or_offline(
        place: &'a Place,
        locked: Locked<'a>,
        (times, hooks): (Times, bool),
        trigger: Trigger,
        server: &JobServer,
    ) -> Result<World<'a>, SyncError> {
        let clear = match trigger {
            Trigger::Hook { mark, .. } => Some(mark),
            // The job that is on its way clears it.
            Trigger::Person | Trigger::Reader => None,
        };
        let mark = query::new_mark();
        let (panes, options) = match trigger {
            Trigger::Hook { kind: Kind::Windows, .. } => (Some(panes::to_ask()), &LATE_OPTIONS[..]),
            _ => (None, &OPTIONS[..]),
        };
        let query = Query { mark: &mark, clear, hooks, panes, options };
        let running = if let JobServer::Ended = server {
            Err(TmuxError::NoServer { socket: place.tmux.socket.clone() })
        } else {
            Ok(place.tmux.start(&query::args(query))?)
        };
        // Reading the files and the work of tmux overlap; both come after the lock.
        let remembered = load(place, &locked);
        let is_whole = |output: &[u8]| query::looks_whole(query, output);
        let answered = running.and_then(|running| {
            let output = running.finish_or(is_whole, trigger.deadline())?;
            query::parse(query, &output.stdout).ok_or_else(|| incomplete(&place.tmux, &output))
        });
        let answered = match answered {
            // `list-panes` fails where there is no session.
            Err(TmuxError::Incomplete { message }) if panes.is_some() && message == NO_TARGET => {
                call::ask(&place.tmux, With { hooks, panes: None }, options, trigger.deadline())
            }
            answered => answered,
        };
        let (remembered, mended) = remembered?;
        let (answer, hooks_asked) = match answered {
            Ok(answer) => (answer, hooks),
            Err(error) => match empty_answer(place, &error, &remembered.memory, trigger) {
                // It tells nothing of them.
                Some(answer) => (answer, false),
                None => {
                    note_last_sign(place, &remembered, trigger);
                    return match without_socket(error, &remembered.memory) {
                        TmuxError::NoServer { .. } => {
                            let loaded = (remembered, mended);
                            Ok(World::NoServer(Offline::new(place, locked, loaded)))
                        }
                        error => Err(error.into()),
                    };
                }
            },
        };
        let settings = Settings::parse(&answer.options);
        let mut transaction = Transaction {
            place,
            locked,
            times,
            trigger,
            remembered,
            answer,
            settings,
            hooks_asked,
            mended,
        };
        transaction.use_job_directory();
        Ok(World::Server(transaction))
    }

    /// Whether this is a late look, and the server stays without a session until somebody makes one:
    /// whoever starts a server with a session (`tmux new`) has made it by now.
    pub(crate) fn stays_without_sessions(&self) -> bool {
        let is_late = matches!(self.trigger, Trigger::Hook { kind: Kind::Windows, .. });
        let ask = ["show-options", "-sv", "exit-empty", ";", "show-options", "-gqv", STARTING];
        // Nothing of the second: we have not started the server to make a session in it.
        is_late && self.place.tmux.run(&ask, self.deadline()).is_ok_and(|said| said == b"off\n")
    }

    /// Notes that a hook's sync came to its end with nothing left to do: a job that was started
    /// meanwhile for the same need not ask.
    pub(crate) fn note_carried_through(&self) {
        let carried_through = Times::mark(self.answer.snapshot.server.pid);
        self.locked.set_times(Times { carried_through, ..self.times });
    }

    /// Releases the lock. The process is about to end: what a thousand sessions hold is left
    /// for it to free, which is much faster than one by one.
    pub(crate) fn end(self) {
        let Transaction { locked, remembered, answer, .. } = self;
        std::mem::forget((remembered, answer));
        drop(locked);
    }

    /// Reconciles, commits and tells tmux.
    ///
    /// # Errors
    /// Writing fails; or tmux does not take the effects in time, in which case the registry is
    /// right and the next sync tells tmux again.
    pub fn bring_into_step(&mut self) -> Result<Report, SyncError> {
        self.wait_for_directories()?;
        let server = self.answer.snapshot.server;
        let unreachable = self.remembered.memory.unreachable.len();
        let is_host_known = tell_servers_apart(self.place, &mut self.remembered.memory, server)?;
        if self.remembered.memory.unreachable.len() < unreachable {
            // Nothing else may change, and then nobody would note that they ended.
            write_json(&self.place.memory(), &self.remembered.memory, Durability::Lazy)?;
        }
        let now = Timestamp::now();
        let is_old = !self.version().tells_directories();
        let job_of = is_old.then(|| self.job_directory()).flatten().map(|(id, _)| id);
        let policy = &self.settings.policy;
        let (snapshot, deadline) = (&mut self.answer.snapshot, self.trigger.deadline());
        directories::settle(&self.place.tmux, &self.remembered, snapshot, policy, job_of, deadline);
        if !self.hooks_asked
            && is_host_known
            && is_in_step(&self.remembered, &self.answer.snapshot, policy, now)
        {
            return Ok(Report::default());
        }
        let snapshot = &mut self.answer.snapshot;
        let is_of_a_pane = |both: &Spellings| is_of_a_pane(self.place, &self.remembered, both);
        let mut plan = directories::plan(
            &self.remembered,
            snapshot,
            policy,
            now,
            &mut new_uuid,
            &is_of_a_pane,
        );
        self.check_health(&mut plan, now);
        if !is_host_known || plan.next.memory.server != self.remembered.memory.server {
            let (host, started) = (Some(host::here()), host::started(server.pid));
            let sockets = host::sockets(&self.place.tmux.socket);
            for memory in [&mut plan.next.memory, &mut plan.memory_after] {
                (memory.host, memory.started) = (host.clone(), started);
                memory.sockets.clone_from(&sockets);
            }
        }
        for note in &plan.notes {
            log(self.place, note);
        }
        if plan.next.memory.server != self.remembered.memory.server {
            for complaint in &self.settings.complaints {
                log(self.place, complaint);
            }
        }
        let mut is_noticed = false;
        if self.is_configured() {
            // Once for each server.
            let is_due = plan.next.memory.restore_due;
            let ignore = &self.settings.policy.ignore;
            is_noticed = is_due
                && (self.lacks_windows(&plan.events)
                    || !plan.next.names_taken_since(server, ignore).is_empty());
            if !self.settings.restore_at_start {
                is_noticed |= is_due && plan.next.lost_with_last_server(server, ignore) > 0;
                for memory in [&mut plan.next.memory, &mut plan.memory_after] {
                    memory.restore_due = false;
                    memory.to_restore.clear();
                }
            }
        }
        let changed = plan.next.registry != self.remembered.registry;
        let set_aside = history::of_set_aside(&self.remembered, &plan.next, &plan.events);
        self.commit(plan.next, Some(&plan.memory_after).filter(|_| plan.effects.is_empty()))?;

        let mut lines: Vec<Vec<u8>> = plan.effects.iter().map(source::effect).collect();
        lines.extend(self.missing_hooks());
        lines.extend(self.blank_status());
        if is_noticed {
            lines.extend(hooks::give_notice());
        }
        self.hooks_asked = false;
        if let Some(delay) = plan.look {
            if self.version().delays_jobs() {
                lines.push(look::look_line(Kind::Sessions, delay));
            } else {
                let server = self.answer.snapshot.server;
                look::look_by_ourselves(self.place, Kind::Sessions, server, delay);
            }
        }
        let effects = plan.effects.len();
        let told = self.tell(&lines, &plan.effects, &plan.memory_after);
        if effects > 0 && told.is_ok() {
            self.remember(plan.memory_after)?;
            self.show(&plan.effects);
        }
        // It happened, whether or not tmux could be told of it.
        self.tell_events(&plan.events);
        let aside = set_aside.iter().map(|session| Entry::new(What::SetAside, session));
        self.note(&aside.collect::<Vec<_>>());
        told?;
        Ok(Report { events: plan.events, changed, effects, ..Report::default() })
    }

    /// Whether one of those that live again may lack windows that it had before.
    fn lacks_windows(&self, events: &[Event]) -> bool {
        let mut back = events.iter().filter(|event| event.kind == EventKind::Restored).peekable();
        if back.peek().is_none() || !self.settings.windows.records {
            return false;
        }
        let windows = persist::read_windows(self.place).unwrap_or_default();
        let server = self.answer.snapshot.server;
        back.any(|event| windows.count_missing(&event.session.uuid, server) > 0)
    }

    /// Whether the server has sessions, and its configuration was read: before 3.2 a session may
    /// stand first, and whoever asks then sees no options.
    fn is_configured(&self) -> bool {
        let is_read =
            matches!(self.trigger, Trigger::Hook { .. }) || self.settings.plugin_is_loaded;
        is_read && !self.answer.snapshot.sessions.is_empty()
    }

    /// Whether a hook's job met another server than the one that started it. That one may still be
    /// reading its configuration, so that its options say nothing; once it has loaded the plugin, a
    /// job of its own sees it.
    pub(crate) fn is_of_another_server(&self) -> bool {
        matches!(self.trigger, Trigger::Hook { .. })
            && job_server().is_some_and(|pid| pid != self.answer.snapshot.server.pid)
    }

    /// Notes in the snapshot what tmux was just told: else what a command changes next would be
    /// compared with what tmux showed before.
    fn show(&mut self, effects: &[Effect]) {
        let snapshot = &mut self.answer.snapshot;
        let mut live: Map<SessionId, &mut LiveSession> =
            snapshot.sessions.iter_mut().map(|live| (live.id, live)).collect();
        for effect in effects.iter().filter(|effect| effect.kind == EffectKind::Option) {
            let target = effect.target.and_then(|id| live.get_mut(&id));
            let shown = match (target, effect.name) {
                (Some(live), "@roster_uuid") => &mut live.stamp,
                (Some(live), "@roster_mode") => &mut live.mode,
                (Some(live), "@roster_health") => &mut live.health,
                (None, "@roster_lost") => &mut snapshot.lost_shown,
                _ => continue,
            };
            shown.clone_from(&effect.value);
        }
    }

    /// Whether sessions of that name are left alone.
    pub fn is_ignored(&self, name: &str) -> bool {
        policy::is_ignored(&self.settings.policy.ignore, name)
    }

    /// Whether no session has that name, alive or lost.
    pub fn is_free(&self, name: &str) -> bool {
        let live = &self.answer.snapshot.sessions;
        !self.remembered.registry.sessions.contains_key(name)
            && !live.iter().any(|session| session.name == name.as_bytes())
    }

    /// What follows a name that is taken so that nobody has it and sessions of that name are not left
    /// alone, if there is such a one.
    pub fn suffix(&self, name: &str) -> Option<String> {
        (2..1000).map(|number| format!("-{number}")).find(|suffix| {
            let name = format!("{name}{suffix}");
            self.is_free(&name) && !self.is_ignored(&name)
        })
    }

    /// Tells tmux, piece by piece. Where it stops answering, it is remembered which sessions have
    /// all that was meant for them, so that the next sync goes on from there: else a server so
    /// busy that no job gets to the end would be told the same for ever.
    fn tell(
        &mut self,
        lines: &[Vec<u8>],
        effects: &[Effect],
        told: &Memory,
    ) -> Result<(), SyncError> {
        for (piece, done) in lines.chunks(PIECE).zip((0..).step_by(PIECE)) {
            if let Err(error) = self.run_piece(piece) {
                let missing: Set<Option<SessionId>> =
                    effects.iter().skip(done).map(|effect| effect.target).collect();
                let mut memory = self.remembered.memory.clone();
                for (id, told) in &told.sessions {
                    if !missing.contains(&Some(*id)) {
                        memory.sessions.insert(*id, told.clone());
                    }
                }
                self.remember(memory)?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes what changed. `memory` is written instead of the memory in `next` if it is given.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn commit(&mut self, next: Remembered, memory: Option<&Memory>) -> Result<(), SyncError> {
        self.remember_the_new(&next.memory)?;
        write_in_order(self.place, &self.locked, &self.remembered, &next)?;
        let Remembered { registry, closed, memory: in_step } = next;
        self.remembered.registry = registry;
        self.remembered.closed = closed;
        self.remember(memory.cloned().unwrap_or(in_step))
    }

    /// Notes the sessions that are about to be recorded. Were they in the registry first, and we
    /// cut off there, one that is closed before the next look would be taken for lost: nobody
    /// would know that this server had it.
    fn remember_the_new(&mut self, next: &Memory) -> Result<(), SyncError> {
        let known = &self.remembered.memory.sessions;
        let has_new = next.sessions.keys().any(|id| !known.contains_key(id));
        if !has_new || self.remembered.memory.server != next.server {
            return Ok(());
        }
        let mut memory = self.remembered.memory.clone();
        for (id, known) in &next.sessions {
            memory.sessions.get_or_insert_with(*id, || known.clone());
        }
        self.remember(memory)
    }

    /// Writes the memory of the server if it changed. It is not synced: its loss is harmless.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(&mut self, memory: Memory) -> Result<(), SyncError> {
        if memory != self.remembered.memory {
            write_json(&self.place.memory(), &memory, Durability::Lazy)?;
            self.remembered.memory = memory;
        }
        Ok(())
    }

    /// Where we are.
    pub fn place(&self) -> &Place {
        self.place
    }

    /// Gives records of sessions that live out of reach (those of these names, or all) to new ones,
    /// which are lost and can be restored. What lives keeps its UUID: its record is closed.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn part_from_unreachable(&mut self, names: Option<&[String]>) -> Result<(), SyncError> {
        let now = Timestamp::now();
        let mut next = self.remembered.clone();
        let mut parted = Vec::new();
        for record in next.registry.sessions.values_mut() {
            let is_wanted = names.is_none_or(|names| names.contains(&record.name));
            if !is_wanted || !next.memory.is_unreachable(&record.uuid) {
                continue;
            }
            let lives = record.clone();
            record.uuid = new_uuid();
            parted.push((lives.uuid.clone(), record.uuid.clone()));
            if let Some(exact) = next.memory.exact.get(&lives.uuid).cloned() {
                next.memory.exact.insert(record.uuid.clone(), exact);
            }
            next.closed.push(ClosedSession::new(lives, now));
        }
        self.commit(next, None)?;
        self.copy_windows(&parted)?;
        self.bring_into_step().map(drop)
    }

    /// Until when tmux may take for its next answer.
    pub fn deadline(&self) -> Instant {
        self.trigger.deadline()
    }

    /// Whether half of a hook's time is over: what is left is for finishing what was begun.
    pub fn is_late(&self) -> bool {
        match self.trigger {
            Trigger::Hook { started, .. } => started.elapsed() > HOOK_LIMIT / 2,
            Trigger::Person | Trigger::Reader => false,
        }
    }

    /// The version of the server.
    pub fn version(&self) -> Version {
        Version::parse(&self.answer.version)
    }

    /// Notes what happened, and starts the user's scripts for it.
    pub fn tell_events(&self, events: &[Event]) {
        let mut entries: Vec<Entry> = events.iter().map(Entry::from).collect();
        if entries.iter().any(|entry| entry.event == What::Closed) {
            let closed = self.remembered.closed.closed.iter();
            let times: Map<&str, Timestamp> =
                closed.map(|closed| (closed.session.uuid.as_str(), closed.closed_at)).collect();
            for entry in entries.iter_mut().filter(|entry| entry.event == What::Closed) {
                entry.at = times.get(entry.uuid.as_str()).copied().unwrap_or(entry.at);
            }
        }
        self.note(&entries);
        self.run_scripts(events);
    }

    /// Starts the user's scripts for what a command did.
    pub fn run_scripts(&self, events: &[Event]) {
        run_scripts(self.place, &self.settings, events);
    }

    /// Notes in the history what happened.
    pub fn note(&self, entries: &[Entry]) {
        history::note(self.place, Some(&self.settings), entries);
    }

    /// Asks tmux once more, for what lives now.
    ///
    /// # Errors
    /// tmux fails.
    pub fn look_again(&mut self) -> Result<(), SyncError> {
        let hooks = std::mem::take(&mut self.answer.hooks);
        let asked = self.place.ask(self.trigger.deadline()).or_else(|error| {
            empty_answer(self.place, &error, &self.remembered.memory, self.trigger).ok_or(error)
        })?;
        // Panes are not asked for once more: those that were told, if the same server told them.
        let mut panes = std::mem::take(&mut self.answer.panes);
        if asked.snapshot.server != self.answer.snapshot.server {
            panes.clear();
        }
        self.answer = Answer { hooks, panes, ..asked };
        self.settings = Settings::parse(&self.answer.options);
        Ok(())
    }

    /// Runs commands for tmux's `source-file`, each on its own: one whose target has gone does not
    /// stop the others.
    ///
    /// # Errors
    /// The file cannot be written, or tmux does not answer.
    pub fn run(&self, lines: &[Vec<u8>]) -> Result<(), SyncError> {
        lines.chunks(PIECE).try_for_each(|piece| self.run_piece(piece).map(drop))
    }

    /// The same for groups of commands; returns what they print.
    ///
    /// # Errors
    /// As for [`Transaction::run`].
    pub fn run_groups(&self, groups: Vec<Group>) -> Result<String, SyncError> {
        let mut printed = String::new();
        for piece in source::pieces(groups) {
            printed.push_str(&self.run_piece(&piece)?);
        }
        Ok(printed)
    }

    /// The same for one group that may take tmux longer than an answer, by so much.
    ///
    /// # Errors
    /// As for [`Transaction::run`].
    pub(crate) fn run_long(&self, group: &Group, longer: Duration) -> Result<String, SyncError> {
        let deadline = self.trigger.deadline();
        let deadline = match self.trigger {
            Trigger::Hook { .. } => deadline,
            Trigger::Person | Trigger::Reader => deadline + longer,
        };
        self.run_until(group, deadline)
    }

    /// A person waits for each piece: however many they are, each is progress.
    fn run_piece(&self, piece: &[Vec<u8>]) -> Result<String, SyncError> {
        self.run_until(piece, self.trigger.deadline())
    }

    fn run_until(&self, piece: &[Vec<u8>], deadline: Instant) -> Result<String, SyncError> {
        let (server, registry) = (Some(self.answer.snapshot.server), self.place.registry());
        Ok(source::run(&self.place.tmux, &registry, server, piece, deadline)?)
    }

    /// What the hooks lack, if they were asked for.
    fn missing_hooks(&self) -> Vec<Vec<u8>> {
        if !self.hooks_asked || !self.settings.plugin_is_loaded {
            return Vec::new();
        }
        let version = self.version();
        let mut lines = Vec::new();
        for hook in HOOKS {
            let what = match hook.is_set_in(&self.answer.hooks, version) {
                // A job on its way may do that too.
                Some(true) if hook.is_disarmed_in(&self.answer.hooks, version) => {
                    lines.extend(hook.set(version));
                    continue;
                }
                Some(true) => continue,
                // Of another version of ours, which this server was told before.
                Some(false) => "held another command",
                None => "was wiped",
            };
            log(self.place, &format!("the hook {} {what}; restored it", hook.name));
            lines.extend(hook.set(version));
        }
        lines
    }

    /// What makes the placeholders of a status line that was set after us show something, if it was
    /// asked for.
    fn blank_status(&self) -> Option<Vec<u8>> {
        let is_known = self.hooks_asked && self.settings.plugin_is_loaded;
        let put_back = || [PUT_BACK.as_bytes(), b"\n"].concat();
        (is_known && with_placeholders(&self.answer.hooks).is_some()).then(put_back)
    }

    /// Before 3.2 tmux does not tell a session's directory, but a hook's job runs in that of the
    /// session whose event started it.
    fn job_directory(&self) -> Option<(SessionId, PathBuf)> {
        let Trigger::Hook { session: Some(id), .. } = self.trigger else { return None };
        let here = std::env::current_dir().ok()?;
        // tmux falls back to the home folder where it cannot enter the directory.
        let is_home = std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == here);
        (!is_home).then_some((id, here))
    }

    fn use_job_directory(&mut self) {
        if self.version().tells_directories() {
            return;
        }
        let Some((id, here)) = self.job_directory() else { return };
        for live in &mut self.answer.snapshot.sessions {
            if live.id == id && matches!(live.workdir, Workdir::Guess(_)) {
                live.workdir = Workdir::Guess(here.as_os_str().as_bytes().to_vec());
            }
        }
    }

    /// Before 3.2 a session's directory is that of its pane's process, and for a moment there is
    /// none yet: a new session is asked for again.
    fn wait_for_directories(&mut self) -> Result<(), SyncError> {
        for _ in 0..20 {
            let known = &self.remembered.memory.sessions;
            let lacks_one = |live: &LiveSession| {
                live.workdir == Workdir::Unknown && !live.pane_dead && !known.contains_key(&live.id)
            };
            let is_old = !self.version().tells_directories();
            if !is_old || !self.answer.snapshot.sessions.iter().any(lacks_one) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
            self.look_again()?;
            self.use_job_directory();
        }
        Ok(())
    }

    /// Checks the sessions that were just attached to, within the same commit.
    fn check_health(&self, plan: &mut Plan, now: Timestamp) {
        let until = Instant::now() + HEALTH_LIMIT;
        for id in std::mem::take(&mut plan.health_due) {
            if Instant::now() >= until {
                break;
            }
            let Some(live) = self.answer.snapshot.sessions.iter().find(|live| live.id == id) else {
                continue;
            };
            let uuid = &plan.live[&id];
            let exact = plan.next.memory.exact.get(uuid).cloned();
            let session = plan.next.registry.sessions.values_mut().find(|s| s.uuid == *uuid);
            let Some(session) = session else { continue };
            let deadline = self.trigger.deadline();
            let Some(status) =
                health::check(&self.place.tmux, session, exact.as_ref(), live, deadline)
            else {
                continue;
            };
            session.last_health_at = now;
            if session.last_health_status == status {
                continue;
            }
            session.last_health_status.clone_from(&status);
            if let Some(known) = plan.memory_after.sessions.get_mut(&id) {
                known.health.clone_from(&status);
            }
            plan.effects.retain(|e| e.target != Some(id) || e.name != "@roster_health");
            plan.effects.push(Effect {
                target: Some(id),
                kind: EffectKind::Option,
                name: "@roster_health",
                value: status,
                only_if_unset: false,
            });
        }
    }
}

/// The answer of a tmux before 3.2 that has no sessions: `list-sessions` went well, or the list
/// of commands would have stopped there, and `display-message` found no session to speak of.
/// It does not say which server it is: the one that we know, if its process id is the same.
fn empty_answer(
    place: &Place,
    error: &TmuxError,
    memory: &Memory,
    trigger: Trigger,
) -> Option<Answer> {
    let TmuxError::Empty = error else { return None };
    // Not what started this job: that server may be gone, and the one that answers be loading its
    // configuration, which is no proof that anything was closed.
    let printed = place.tmux.run(&["run-shell", "echo \"$TMUX\""], trigger.deadline()).ok()?;
    let pid = pid_in(String::from_utf8_lossy(&printed).trim())?;
    let server = memory.server.filter(|server| server.pid == pid).or_else(|| {
        (!matches!(trigger, Trigger::Hook { .. })).then_some(ServerId { pid, start_time: 0 })
    })?;
    // Nor does it say which version: the program does.
    let version = place.tmux.run(&["-V"], trigger.deadline()).ok();
    let version = version.map(|printed| String::from_utf8_lossy(&printed).into_owned());
    // A job does without the user's options: tmux may be waiting for it to exit.
    let options = matches!(trigger, Trigger::Person)
        .then(|| call::options(&place.tmux, &OPTIONS, trigger.deadline()).ok())
        .flatten();
    Some(Answer {
        snapshot: Snapshot {
            server,
            sessions: Vec::new(),
            lost_shown: String::new(),
            same_directories: Vec::new(),
        },
        version: version.map_or_else(|| "3.1".into(), |version| version.trim().to_owned()),
        hooks: String::new(),
        panes: Vec::new(),
        options: options.unwrap_or_default(),
    })
}

/// What a sync did.
#[derive(Debug, Default)]
pub struct Report {
    /// What happened to sessions.
    pub events: Vec<Event>,
    /// Whether the registry was written.
    pub changed: bool,
    /// How many things tmux was told.
    pub effects: usize,
    /// Lost sessions are still to be restored, for which there was no time.
    pub unfinished: bool,
    /// What was mended of the registry, in words.
    pub mended: Option<String>,
}
