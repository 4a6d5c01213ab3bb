//! The one transaction, and the only file that knows its order:
//! lock → load → snapshot → reconcile → commit if changed → effects → unlock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{OPTIONS, Place, REGISTRY, Settings};
use crate::directories;
use crate::health;
use crate::host;
use crate::model::host::{Whereabouts, whereabouts};
use crate::model::in_step::is_in_step;
use crate::model::memory::{Closed, ClosedSession, MEMORY_VERSION, Memory};
use crate::model::reconcile::{self, Effect, EffectKind, Event, EventKind, Plan, Remembered};
use crate::model::registry::{FileVersion, Registry};
use crate::model::session::{Session, new_uuid};
use crate::model::snapshot::{LiveSession, ServerId, SessionId, Snapshot, Workdir};
use crate::model::time::Timestamp;
use crate::store::file::{self, PRIVATE, Sync};
use crate::store::{Locked, Store, StoreError, Times};
use crate::tmux::command::{self, HOOK_INDEX, HOOKS, PIECE};
use crate::tmux::query::{self, Answer, Mark, Query};
use crate::tmux::{Output, Tmux, TmuxError, Version, program, socket_folder_name};

/// How long a job that a hook started may take in all.
pub const HOOK_LIMIT: Duration = Duration::from_millis(9_500);

/// How long a command that a person typed waits for the lock, and for each answer of tmux.
pub const TYPED_LIMIT: Duration = Duration::from_secs(2);

/// How long a command that only shows something waits for the lock: as long as a hook's job that
/// is just at work needs, and no longer.
const READER_LIMIT: Duration = Duration::from_millis(200);

/// Two queries that hooks asked for begin at least this far apart, and while tmux is at work up to
/// [`LONGEST_PACE`]: during a burst each query is one more thing that tmux is busy with, and the
/// one that counts comes after it.
const PACE: Duration = Duration::from_millis(100);

/// Nobody waits longer than this because tmux is at work.
const LONGEST_PACE: Duration = Duration::from_millis(300);

/// How long tmux is watched to see whether it is at work, and which fraction of that time (one in
/// so many) shows it: after a burst its timers take a tenth to a fifth, during one a quarter.
const WATCH: Duration = Duration::from_millis(20);
const AT_WORK: u32 = 4;

/// The same where another query began while this job waited for the lock: servers that ended one
/// after another may each have left a job.
const LEAST_PACE: Duration = Duration::from_millis(30);

/// How long a sync may take for the health of those that were come to: each of their directories
/// may be on a network that hangs.
pub(crate) const HEALTH_LIMIT: Duration = Duration::from_secs(1);

/// How many seconds after a sync that failed the next look comes, and how many it is at most
/// while one after another fails.
const RETRY: (u32, u32) = (5, 600);

/// Tells the job of such a look how long it was put off.
const RETRY_VARIABLE: &str = "ROSTER_RETRY";

/// How often the sync of a hook looks whether all hooks are still there.
const HOOKS_CHECK: Duration = Duration::from_secs(60);

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
    },
}

impl fmt::Display for SyncError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SyncError::Store(error) => error.fmt(f),
            SyncError::Tmux(error) => error.fmt(f),
            SyncError::Elsewhere { dir, node } => write!(
                f,
                "{} is the registry of the host {node:?}: load the plugin anew, and this one gets \
                 its own (roster doctor --fix)",
                dir.display()
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

/// Who asks for a transaction.
#[derive(Debug, Clone, Copy)]
pub enum Trigger {
    /// A hook: silent, in no hurry, and the only look that a whole burst may get.
    Hook {
        /// How its mark stands in tmux.
        mark: Mark,
        /// When the job began.
        started: Instant,
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
            Trigger::Person | Trigger::Reader => Instant::now() + TYPED_LIMIT,
        }
    }
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

/// The store of a place.
pub fn store(place: &Place, trigger: Trigger) -> Store {
    waiting(Store::new(place.registry()), trigger)
}

/// What is left to a job of a hook at this moment is how long it waits.
fn waiting(store: Store, trigger: Trigger) -> Store {
    match trigger.lock_wait() {
        Some(wait) => store.waiting(wait),
        None => store,
    }
}

/// Brings registry and tmux into step.
///
/// # Errors
/// Somebody holds the lock, a file or tmux fails: then nothing was changed.
pub fn sync(place: &Place, trigger: Trigger) -> Result<Report, SyncError> {
    let store = Store::new(place.registry());
    let seen = if let Trigger::Hook { .. } = trigger { store.peek_times() } else { None };
    if let Some(seen) = seen {
        // Not under the lock, which somebody who waits for nothing may want.
        wait_for_turn(seen.queried);
    }
    let store = waiting(store, trigger);
    let locked = store.lock()?;
    if seen.is_some_and(|seen| is_done_by_another(seen, locked.times(), trigger)) {
        return Ok(Report::default());
    }
    let begun = begin_query(&locked, trigger);
    let server = JobServer::of(trigger);
    let own = server.replaced(place);
    let place = own.as_ref().unwrap_or(place);
    let mut transaction = Transaction::begin_locked(place, locked, begun, trigger, &server)?;
    if transaction.is_of_another_server() {
        return Ok(Report::default());
    }
    let mut report = match trigger {
        Trigger::Reader => transaction.bring_into_step()?,
        _ => transaction.bring_into_step_and_restore()?,
    };
    report.mended = transaction.mended.take();
    if matches!(trigger, Trigger::Hook { .. }) && !report.unfinished {
        let carried_through = Times::mark(transaction.answer.snapshot.server.pid);
        transaction.locked.set_times(Times { carried_through, ..transaction.times });
    }
    transaction.end();
    Ok(report)
}

/// Whether another sync asked tmux since this job of a hook began, and came to its end: then it
/// saw what this one was started for. A burst that lasts for seconds starts a job in each of
/// them; if each of those went on asking, tmux would be asked ever faster.
fn is_done_by_another(seen: Times, now: Times, trigger: Trigger) -> bool {
    // Before 3.2 only the job itself knows the directory of its session.
    matches!(trigger, Trigger::Hook { mark: Mark::Environment, .. })
        && now.queried > seen.queried
        // Containers that share a home may each have a server at this socket, whose process ids
        // are mostly not the same.
        && job_server().is_some_and(|pid| now.carried_through == Times::mark(pid))
}

impl<'a> Transaction<'a> {
    /// Takes the lock, reads the files and asks tmux.
    ///
    /// # Errors
    /// As for [`sync`].
    pub fn begin(
        place: &'a Place,
        store: &'a Store,
        trigger: Trigger,
    ) -> Result<Transaction<'a>, SyncError> {
        let locked = store.lock()?;
        let begun = begin_query(&locked, trigger);
        Transaction::begin_locked(place, locked, begun, trigger, &JobServer::Lives)
    }

    /// The same for who has the lock.
    fn begin_locked(
        place: &'a Place,
        locked: Locked<'a>,
        (times, hooks): (Times, bool),
        trigger: Trigger,
        server: &JobServer,
    ) -> Result<Transaction<'a>, SyncError> {
        let clear = match trigger {
            Trigger::Hook { mark, .. } => Some(mark),
            // The job that is on its way clears it.
            Trigger::Person | Trigger::Reader => None,
        };
        let mark = query::new_mark();
        let query = Query { mark: &mark, clear, hooks, options: &OPTIONS };
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
            query::parse(query, &output.stdout).ok_or_else(|| incomplete(place, &output))
        });
        let (remembered, mended) = remembered?;
        let (answer, hooks_asked) = match answered {
            Ok(answer) => (answer, hooks),
            Err(error) => match empty_answer(place, &error, &remembered.memory, trigger) {
                // It tells nothing of them.
                Some(answer) => (answer, false),
                None => {
                    note_last_sign(place, &remembered, trigger);
                    return Err(without_socket(error, &remembered.memory).into());
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
        Ok(transaction)
    }

    /// Releases the lock. The process is about to end: what a thousand sessions hold is left
    /// for it to free, which is much faster than one by one.
    fn end(self) {
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
        let is_host_known = tell_servers_apart(self.place, &mut self.remembered.memory, server)?;
        let now = Timestamp::now();
        let policy = &self.settings.policy;
        let (snapshot, deadline) = (&mut self.answer.snapshot, self.trigger.deadline());
        directories::settle(&self.place.tmux, &self.remembered, snapshot, policy, deadline);
        if !self.hooks_asked
            && is_host_known
            && is_in_step(&self.remembered, &self.answer.snapshot, policy, now)
        {
            return Ok(Report::default());
        }
        let snapshot = &mut self.answer.snapshot;
        let mut plan = directories::plan(&self.remembered, snapshot, policy, now, &mut new_uuid);
        self.check_health(&mut plan, now);
        if !is_host_known || plan.next.memory.server != self.remembered.memory.server {
            let (host, started) = (Some(host::here()), host::started(server.pid));
            for memory in [&mut plan.next.memory, &mut plan.memory_after] {
                (memory.host, memory.started) = (host.clone(), started);
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
        if self.is_configured() && !self.settings.restore_at_start {
            for memory in [&mut plan.next.memory, &mut plan.memory_after] {
                memory.restore_due = false;
                memory.to_restore.clear();
            }
        }
        let changed = plan.next.registry != self.remembered.registry;
        self.commit(plan.next, Some(&plan.memory_after).filter(|_| plan.effects.is_empty()))?;

        let mut lines: Vec<Vec<u8>> = plan.effects.iter().map(command::effect).collect();
        lines.extend(self.missing_hooks());
        self.hooks_asked = false;
        if let Some(delay) = plan.look {
            if self.version().at_least(3, 2) {
                lines.push(look_line(delay));
            } else {
                look_by_ourselves(self.place, self.answer.snapshot.server, delay);
            }
        }
        let effects = plan.effects.len();
        let told = self.tell(&lines, &plan.effects, &plan.memory_after);
        if effects > 0 && told.is_ok() {
            self.remember(plan.memory_after)?;
            self.show(&plan.effects);
        }
        // It happened, whether or not tmux could be told of it.
        run_scripts(self.place, &self.settings, &plan.events);
        told?;
        Ok(Report { events: plan.events, changed, effects, ..Report::default() })
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
    fn is_of_another_server(&self) -> bool {
        matches!(self.trigger, Trigger::Hook { .. })
            && job_server().is_some_and(|pid| pid != self.answer.snapshot.server.pid)
    }

    /// Notes in the snapshot what tmux was just told: else what a command changes next would be
    /// compared with what tmux showed before.
    fn show(&mut self, effects: &[Effect]) {
        let snapshot = &mut self.answer.snapshot;
        let mut live: HashMap<SessionId, &mut LiveSession> =
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

    /// The same, and restores what was lost, if that is due.
    ///
    /// # Errors
    /// As for [`Transaction::bring_into_step`].
    fn bring_into_step_and_restore(&mut self) -> Result<Report, SyncError> {
        let mut report = self.bring_into_step()?;
        // Before the first session stands, one of them might take the name that the user is about
        // to give it.
        if !self.settings.restore_at_start || self.answer.snapshot.sessions.is_empty() {
            return Ok(report);
        }
        self.settle_what_to_restore()?;
        if !self.remembered.memory.to_restore.is_empty() {
            let done = crate::restore::restore_at_start(self)?;
            // Each is tried once, and nobody is there to be told.
            for warning in &done.warnings {
                log(self.place, warning);
            }
            run_scripts(self.place, &self.settings, &done.events);
            report.events.extend(done.events);
            report.unfinished = !self.remembered.memory.to_restore.is_empty();
        }
        Ok(report)
    }

    /// Notes what is to be restored by itself: all that is lost now, and nothing that is later.
    ///
    /// # Errors
    /// The memory cannot be written.
    pub fn settle_what_to_restore(&mut self) -> Result<(), SyncError> {
        let memory = self.remembered.memory.clone();
        if !memory.restore_due || !self.settings.restore_at_start {
            return Ok(());
        }
        let to_restore = self.lost().into_iter().map(|session| session.uuid).collect();
        self.remember(Memory { restore_due: false, to_restore, ..memory })
    }

    /// Whether sessions of that name are left alone.
    pub fn is_ignored(&self, name: &str) -> bool {
        reconcile::is_ignored(&self.settings.policy.ignore, name)
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
            if let Err(error) = self.run(piece) {
                let missing: HashSet<Option<SessionId>> =
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
        self.remembered.registry = next.registry;
        self.remembered.closed = next.closed;
        let memory = memory.cloned().unwrap_or(next.memory);
        self.remember(memory)
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
            memory.sessions.entry(*id).or_insert_with(|| known.clone());
        }
        self.remember(memory)
    }

    /// Writes the memory of the server if it changed. It is not synced: its loss is harmless.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn remember(&mut self, memory: Memory) -> Result<(), SyncError> {
        if memory != self.remembered.memory {
            write_json(&self.place.memory(), &memory, Sync::No)?;
            self.remembered.memory = memory;
        }
        Ok(())
    }

    /// Backs up the registry as it is now; `None` if there is none.
    ///
    /// # Errors
    /// The backup cannot be made.
    pub fn backup(&self) -> Result<Option<PathBuf>, StoreError> {
        backup(&self.locked)
    }

    /// Where we are.
    pub fn place(&self) -> &Place {
        self.place
    }

    /// The UUID of each live session that is recorded, by id.
    pub fn live(&self) -> BTreeMap<SessionId, String> {
        let mut live = BTreeMap::new();
        live.extend(
            self.remembered.memory.sessions.iter().map(|(id, known)| (*id, known.uuid.clone())),
        );
        live
    }

    /// The records that can be restored: those of the registry that do not live.
    pub fn lost(&self) -> Vec<Session> {
        let live: HashSet<String> = self.live().into_values().collect();
        let memory = &self.remembered.memory;
        let is_lost = |s: &&Session| !live.contains(&s.uuid) && !memory.is_unreachable(&s.uuid);
        self.remembered.registry.sessions.values().filter(is_lost).cloned().collect()
    }

    /// Gives records of sessions that live out of reach (those of these names, or all) to new ones,
    /// which are lost and can be restored. What lives keeps its UUID: its record is closed.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn part_from_unreachable(&mut self, names: Option<&[String]>) -> Result<(), SyncError> {
        let now = Timestamp::now();
        let mut next = self.remembered.clone();
        for record in next.registry.sessions.values_mut() {
            let is_wanted = names.is_none_or(|names| names.contains(&record.name));
            if !is_wanted || !next.memory.is_unreachable(&record.uuid) {
                continue;
            }
            let lives = record.clone();
            record.uuid = new_uuid();
            if let Some(exact) = next.memory.exact.get(&lives.uuid).cloned() {
                next.memory.exact.insert(record.uuid.clone(), exact);
            }
            next.closed.push(ClosedSession { session: lives, closed_at: now, unproven: None });
        }
        self.commit(next, None)?;
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

    /// Starts the user's scripts for what a command did.
    pub fn run_scripts(&self, events: &[Event]) {
        run_scripts(self.place, &self.settings, events);
    }

    /// Asks tmux once more, for what lives now.
    ///
    /// # Errors
    /// tmux fails.
    pub fn look_again(&mut self) -> Result<(), SyncError> {
        let hooks = std::mem::take(&mut self.answer.hooks);
        let asked = ask(self.place, self.trigger.deadline()).or_else(|error| {
            empty_answer(self.place, &error, &self.remembered.memory, self.trigger).ok_or(error)
        })?;
        self.answer = Answer { hooks, ..asked };
        self.settings = Settings::parse(&self.answer.options);
        Ok(())
    }

    /// Runs commands for tmux's `source-file`, a hundred at a time, each on its own: one whose
    /// target has gone does not stop the others.
    ///
    /// # Errors
    /// The file cannot be written, or tmux does not answer.
    pub fn run(&self, lines: &[Vec<u8>]) -> Result<(), SyncError> {
        self.run_printing(lines).map(drop)
    }

    /// The same for those whose output is wanted.
    ///
    /// # Errors
    /// As for [`Transaction::run`].
    pub fn run_printing(&self, lines: &[Vec<u8>]) -> Result<String, SyncError> {
        let server = Some(self.answer.snapshot.server);
        let mut printed = String::new();
        // A person waits for each of them: however many they are, each is progress.
        for piece in lines.chunks(PIECE) {
            printed.push_str(&run_lines(self.place, server, piece, self.trigger.deadline())?);
        }
        Ok(printed)
    }

    /// What the hooks lack, if they were asked for.
    fn missing_hooks(&self) -> Vec<Vec<u8>> {
        if !self.hooks_asked || !self.settings.plugin_is_loaded {
            return Vec::new();
        }
        let hidden = self.version().at_least(3, 2);
        let is_missing = |hook: &&&str| {
            let ours = format!("{hook}[{HOOK_INDEX}] ");
            !self.answer.hooks.lines().any(|line| line.starts_with(&ours))
        };
        let missing: Vec<&&str> = HOOKS.iter().filter(is_missing).collect();
        for hook in &missing {
            log(self.place, &format!("the hook {hook} was wiped; put it back"));
        }
        missing.iter().map(|hook| command::set_hook(hook, hidden)).collect()
    }

    /// Before 3.2 tmux does not tell a session's directory, but a hook's job runs in that of the
    /// session whose event started it.
    fn use_job_directory(&mut self) {
        let Trigger::Hook { session: Some(id), .. } = self.trigger else { return };
        let Ok(here) = std::env::current_dir() else { return };
        // tmux falls back to the home folder where it cannot enter the directory.
        if std::env::var_os("HOME").is_some_and(|home| Path::new(&home) == here) {
            return;
        }
        for live in &mut self.answer.snapshot.sessions {
            if live.id == id && matches!(live.workdir, Workdir::Guess(_)) {
                live.workdir = Workdir::Guess(here.as_os_str().as_bytes().to_vec());
            }
        }
    }

    /// Before 3.2 a session's directory is that of its pane's process, and for a moment there is
    /// none yet: a new session is asked for again.
    fn wait_for_directories(&mut self) -> Result<(), SyncError> {
        for _ in 0..5 {
            let known = &self.remembered.memory.sessions;
            let lacks_one = |live: &LiveSession| {
                live.workdir == Workdir::Unknown && !live.pane_dead && !known.contains_key(&live.id)
            };
            let is_old = !self.version().at_least(3, 2);
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

/// Asks tmux what lives, without lock or files: for those who only look.
///
/// # Errors
/// tmux fails.
pub fn ask(place: &Place, deadline: Instant) -> Result<Answer, TmuxError> {
    ask_more(place, false, &OPTIONS, deadline)
}

/// The same with the hooks, and with other options.
///
/// # Errors
/// tmux fails.
pub fn ask_more(
    place: &Place,
    hooks: bool,
    options: &[&str],
    deadline: Instant,
) -> Result<Answer, TmuxError> {
    let mark = query::new_mark();
    let query = Query { mark: &mark, clear: None, hooks, options };
    loop {
        let output = place.tmux.start(&query::args(query))?.finish(deadline)?;
        match query::parse(query, &output.stdout) {
            Some(answer) => return Ok(answer),
            None if place.tmux.is_to_be_asked_again(&output.stderr, deadline) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            None => return Err(incomplete(place, &output)),
        }
    }
}

fn incomplete(place: &Place, output: &Output) -> TmuxError {
    let (stderr, success) = (output.stderr.as_str(), output.success);
    if stderr == NO_TARGET && output.stdout.is_empty() {
        TmuxError::Empty
    } else if success || stderr.is_empty() || stderr == NO_TARGET {
        TmuxError::Incomplete { message: stderr.to_owned() }
    } else {
        place.tmux.failure(stderr)
    }
}

/// Before what lives on `server` is compared with what is remembered: whether that is of this very
/// server, and if not, whether the other one still runs. Only the memory changes, and nothing is
/// written. Tells whether the memory has our host as it is now.
///
/// # Errors
/// The folder is another host's, whose server may still run: nothing in it may be changed.
pub fn tell_servers_apart(
    place: &Place,
    memory: &mut Memory,
    server: ServerId,
) -> Result<bool, SyncError> {
    let is_current = memory.host.as_ref().is_some_and(host::is_here);
    if memory.server == Some(server) && is_current && memory.unreachable.is_empty() {
        return Ok(true);
    }
    let here = host::here();
    // In another container one may have the same process id, and have started in the same second.
    let is_another = memory.server.is_some_and(|before| before != server)
        || !is_current && host::is_of_another(memory, &here);
    if is_another {
        let runs = host::runs_here(memory, &here);
        match whereabouts(memory.host.as_ref(), &here, runs) {
            Whereabouts::Here if memory.server == Some(server) => {
                memory.server = None;
                memory.sessions.clear();
            }
            Whereabouts::Here => {}
            Whereabouts::WithoutSocket => memory.leave_running(),
            Whereabouts::Elsewhere => {
                let node = memory.host.as_ref().map_or("", |host| &host.node).to_owned();
                return Err(SyncError::Elsewhere { dir: place.dir.clone(), node });
            }
        }
    }
    memory.unreachable.retain(|other| {
        let runs = host::is_running(other.server, other.started, None, &here);
        runs && other.server != server && !other.uuids.is_empty()
    });
    Ok(is_current)
}

/// What it means that no server answers: the one that is remembered may still run.
pub fn without_socket(error: TmuxError, memory: &Memory) -> TmuxError {
    match (error, memory.server) {
        (TmuxError::NoServer { socket }, Some(server))
            if host::runs_here(memory, &host::here()) =>
        {
            TmuxError::Unreachable { socket, pid: server.pid }
        }
        (error, _) => error,
    }
}

/// What `display-message` says before tmux 3.2 where there is no session at all.
pub const NO_TARGET: &str = "no current target";

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
    // A job does without the user's options: tmux may be waiting for it to exit.
    let options = matches!(trigger, Trigger::Person)
        .then(|| options(place, &OPTIONS, trigger.deadline()).ok())
        .flatten();
    Some(Answer {
        snapshot: Snapshot {
            server,
            sessions: Vec::new(),
            lost_shown: String::new(),
            same_directories: Vec::new(),
        },
        version: "3.1".into(),
        hooks: String::new(),
        options: options.unwrap_or_default(),
    })
}

/// What a hook's job knows of the server that started it.
enum JobServer {
    Lives,
    /// Its program was replaced on the disk since it began. What is there now may be of another
    /// version, whose client may hang: it is called in this way.
    Replaced(PathBuf),
    /// Another that starts in its place is not to be asked: before tmux 3.2 one that meets a second
    /// client in its first moment does not load its configuration.
    Ended,
}

impl JobServer {
    fn of(trigger: Trigger) -> JobServer {
        let is_hook = matches!(trigger, Trigger::Hook { .. });
        job_server().filter(|_| is_hook).map_or(JobServer::Lives, JobServer::look)
    }

    fn look(pid: u32) -> JobServer {
        match fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(link) => {
                program::if_replaced(pid, &link).map_or(JobServer::Lives, JobServer::Replaced)
            }
            // Linux tells of one as well that ended and whose parent did not ask for it yet, as in
            // a container whose first process is no init.
            Err(error) if error.kind() == ErrorKind::NotFound && program::is_our_proc() => {
                JobServer::Ended
            }
            Err(_) => {
                let pid = pid.try_into().ok().and_then(Pid::from_raw);
                let ended = pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH));
                if ended { JobServer::Ended } else { JobServer::Lives }
            }
        }
    }

    /// The place with the program to call, where that is not the one that the job was told.
    fn replaced(&self, place: &Place) -> Option<Place> {
        let JobServer::Replaced(program) = self else { return None };
        let tmux = Tmux { program: program.clone(), ..place.tmux.clone() };
        Some(Place { tmux, dir: place.dir.clone() })
    }
}

/// Runs a short call for a job that is about to end.
fn run_last(place: &Place, args: &[&str]) {
    let own = job_server().and_then(|pid| JobServer::look(pid).replaced(place));
    let tmux = &own.as_ref().unwrap_or(place).tmux;
    let _ = tmux.run(args, Instant::now() + Duration::from_millis(300));
}

/// The process id of the server that started this job.
fn job_server() -> Option<u32> {
    pid_in(&std::env::var("TMUX").ok()?)
}

fn pid_in(tmux: &str) -> Option<u32> {
    tmux.rsplit(',').nth(1)?.parse().ok()
}

/// Starts a server that has no sessions and stays for a moment, so that its configuration is
/// loaded before the first session is made. Tells whether it is to end by itself again when it
/// has none, as is tmux's default: then [`let_server_end`] is to follow.
///
/// # Errors
/// tmux cannot start one.
pub fn start_server(place: &Place) -> Result<bool, SyncError> {
    let args = [
        "start-server",
        ";",
        "show-options",
        "-sv",
        "exit-empty",
        ";",
        "set-option",
        "-s",
        "exit-empty",
        "off",
    ];
    // `tmux -L` makes the folder of its sockets, which a reboot takes away, and `tmux -S` does not.
    if let Some(folder) = place.tmux.socket.parent() {
        if folder.ends_with(socket_folder_name()) && !folder.exists() {
            let _ = DirBuilder::new().mode(0o700).create(folder);
        }
    }
    // The user's configuration is loaded meanwhile.
    let printed = place.tmux.run(&args, Instant::now() + Duration::from_secs(30))?;
    let ends = String::from_utf8_lossy(&printed).lines().any(|line| line == "on");
    if ends {
        // Were we interrupted before that, a job does it (before 3.2 there is no such timer). It is
        // a call of its own, since commands that tmux runs by itself are answered to whichever
        // client is in control mode.
        let mut then = command::quote_sh(place.tmux.program.as_os_str().as_bytes());
        then.extend_from_slice(
            b" if-shell -F '#{@roster_starting}' 'set-option -s exit-empty on ; \
              set-option -gu @roster_starting' >/dev/null 2>&1 || :",
        );
        let then = OsString::from_vec(command::escape_format(&then));
        let mut later: Vec<OsString> = ["run-shell", "-b", "-d", "20"].map(Into::into).into();
        later.push(then);
        later.extend([";", "set-option", "-g", "@roster_starting", "1"].map(Into::into));
        let _ = place.tmux.run(&later, Instant::now() + TYPED_LIMIT);
    }
    Ok(ends)
}

/// Lets the server end with its last session again.
pub fn let_server_end(place: &Place) {
    let end =
        ["set-option", "-s", "exit-empty", "on", ";", "set-option", "-gu", "@roster_starting"];
    let _ = place.tmux.run(&end, Instant::now() + TYPED_LIMIT);
}

/// Waits until this long has passed. A clock that was set back makes nobody wait.
fn wait_since(moment: SystemTime, long: Duration) {
    if let Ok(since) = SystemTime::now().duration_since(moment) {
        std::thread::sleep(long.saturating_sub(since));
    }
}

/// Waits until it is time for the next query of a hook's job after the last one. A job that comes
/// by itself is not made to wait, nor is anybody after the clock was set back.
fn wait_for_turn(queried: SystemTime) {
    let is_within = |pace| SystemTime::now().duration_since(queried).is_ok_and(|age| age < pace);
    if !is_within(PACE) {
        return;
    }
    let worked = || time_on_cpu(job_server()?);
    wait_since(queried, PACE - WATCH);
    while is_within(LONGEST_PACE) {
        let (start, before) = (Instant::now(), worked());
        std::thread::sleep(WATCH);
        let at_work = start.elapsed() / AT_WORK;
        let is_at_work = before.zip(worked()).is_some_and(|(then, now)| now >= then + at_work);
        if !is_at_work {
            break;
        }
    }
}

/// For how long a process has run so far, exact to the switch; where the system does not tell
/// (only Linux does), nothing.
fn time_on_cpu(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// Notes when this query begins, and says whether the hooks are to be checked.
fn begin_query(locked: &Locked<'_>, trigger: Trigger) -> (Times, bool) {
    let times = locked.times();
    if matches!(trigger, Trigger::Hook { .. }) {
        wait_since(times.queried, LEAST_PACE);
    }
    let now = SystemTime::now();
    // A person, who waits for more than this costs, has them looked at each time.
    let due = matches!(trigger, Trigger::Person)
        || now.duration_since(times.hooks_checked).map_or(true, |since| since > HOOKS_CHECK);
    let hooks_checked = if due { now } else { times.hooks_checked };
    let times = Times { queried: now, hooks_checked, carried_through: 0 };
    locked.set_times(times);
    (times, due)
}

/// A job of a hook proves that its server lived when the job began: closes that were old
/// enough by then are believed. (Before 3.2 nothing can take a second look by itself.)
fn note_last_sign(place: &Place, remembered: &Remembered, trigger: Trigger) {
    let Trigger::Hook { started, .. } = trigger else { return };
    let age = started.elapsed().as_secs().saturating_add(1) as i64;
    let then = Timestamp::now().plus_seconds(-age);
    let mut closed = remembered.closed.clone();
    let is_ours = |server: ServerId| Some(server.pid) == job_server();
    let is_loss = |entry: &ClosedSession| entry.unproven.is_some_and(is_ours);
    let settled = reconcile::is_outlived(&closed, is_loss, then);
    for entry in closed.closed.iter_mut().filter(|_| settled) {
        entry.unproven = entry.unproven.filter(|server| !is_ours(*server));
    }
    if settled {
        let _ = write_json(&place.closed(), &closed, Sync::Yes);
    }
}

/// Reads the three files. A damaged registry is mended, damage in the others forgotten.
///
/// Gives what was mended of the registry, too, in words.
fn load(place: &Place, locked: &Locked<'_>) -> Result<(Remembered, Option<String>), StoreError> {
    let mut loaded = locked.load()?;
    let memory = read_memory(place)?;
    let mut mended = None;
    let mut mend = |text: String| {
        log(place, &text);
        mended = Some(match mended.take() {
            Some(before) => format!("{before}; {text}"),
            None => text,
        });
    };
    if let Some(recovered) = &loaded.recovered {
        let source = recovered.source.as_ref().map(|path| path.display().to_string());
        mend(format!(
            "the registry was damaged ({}); kept as {}, took its sessions from {}",
            recovered.reason,
            recovered.kept.display(),
            source.as_deref().unwrap_or("tmux alone")
        ));
        let now = Timestamp::now();
        for session in loaded.registry.sessions.values_mut() {
            session.last_health_status = health::RECOVERED.into();
            session.last_health_at = now;
        }
        restore_modes(&mut loaded.registry, &memory);
        locked.commit(&loaded.registry)?;
    } else if loaded.registry.sessions.is_empty() {
        let last = locked.last_good().filter(|last| !last.sessions.is_empty() && !loaded.is_there);
        if let Some(mut last) = last {
            // Somebody deleted it, or what its link leads to. What lives comes back from tmux, the
            // rest from the last copy.
            restore_modes(&mut last, &memory);
            mend("the registry was gone; took its sessions from the last good copy".into());
            locked.commit(&last)?;
            loaded.registry = last;
        } else if let Some(kept) = locked.keep_what_was()? {
            // Somebody emptied it, which may have been meant.
            let kept = kept.display();
            mend(format!("the registry was emptied; what it held before is kept as {kept}"));
        }
    }
    let closed = match read_closed(place) {
        Err(StoreError::Damaged { path, reason }) => {
            let aside = format!(".corrupt.{}", Timestamp::now().unix_nanos());
            let aside = file::with_suffix(&path, &aside);
            fs::rename(&path, &aside).map_err(file::io_error("keep aside", &path))?;
            mend(format!(
                "the list of closed sessions was damaged ({reason}); kept as {}, and begun anew",
                aside.display()
            ));
            Closed::default()
        }
        read => read?,
    };
    Ok((Remembered { registry: loaded.registry, closed, memory }, mended))
}

/// A copy knows nothing of a mode that somebody edited in the file since we last wrote it; what
/// registry and tmux then agreed on stands in the memory.
fn restore_modes(registry: &mut Registry, memory: &Memory) {
    let modes: HashMap<&str, &str> = (memory.sessions.values())
        .filter(|known| !known.mode.is_empty())
        .map(|known| (known.uuid.as_str(), known.mode.as_str()))
        .collect();
    for session in registry.sessions.values_mut() {
        if let Some(mode) = modes.get(session.uuid.as_str()) {
            (*mode).clone_into(&mut session.mode);
        }
    }
}

/// The memory of the server; one that is damaged or of another version is forgotten.
///
/// # Errors
/// It cannot be read. Whoever went on without it could not write it either, and would take the
/// sessions of this server for new ones each time.
fn read_memory(place: &Place) -> Result<Memory, StoreError> {
    match read_json::<Memory>(&place.memory()) {
        Ok(Some(memory)) if memory.version == MEMORY_VERSION => Ok(memory),
        Ok(_) | Err(StoreError::Damaged { .. } | StoreError::Newer { .. }) => Ok(Memory::default()),
        Err(error) => Err(error),
    }
}

/// The closed sessions. Whoever holds the lock keeps a damaged list aside; readers leave it.
///
/// # Errors
/// The file cannot be read, is damaged or newer.
pub fn read_closed(place: &Place) -> Result<Closed, StoreError> {
    let path = place.closed();
    match read_json::<Closed>(&path) {
        Ok(Some(closed)) if closed.version > MEMORY_VERSION => Err(newer(&path, closed.version)),
        Ok(closed) => Ok(closed.unwrap_or_default()),
        Err(error) => Err(error),
    }
}

/// All three files without the lock, for those who only look and change nothing. A damaged list
/// of closed sessions shows none.
///
/// # Errors
/// The registry or the list of closed sessions cannot be read.
pub fn peek(place: &Place) -> Result<Remembered, StoreError> {
    let store = Store::new(place.registry());
    let mut registry = match store.read_if_there()? {
        Some(registry) => registry,
        None => store.last_good().unwrap_or_default(),
    };
    registry.name_by_key();
    Ok(Remembered {
        registry,
        closed: match read_closed(place) {
            Err(StoreError::Damaged { .. }) => Closed::default(),
            read => read?,
        },
        memory: read_memory(place)?,
    })
}

/// Changes what is remembered where no server runs; what `change` did not want is not written.
/// Gives back what `change` said.
///
/// # Errors
/// The lock, or a file.
pub fn change_offline(
    place: &Place,
    change: impl FnOnce(&mut Remembered) -> bool,
) -> Result<bool, SyncError> {
    let store = store(place, Trigger::Person);
    let locked = store.lock()?;
    let (before, _) = load(place, &locked)?;
    let mut next = before.clone();
    reconcile::end_with_server(&mut next);
    let wanted = change(&mut next);
    if wanted {
        write_in_order(place, &locked, &before, &next)?;
    }
    Ok(wanted)
}

/// The same for what is to have a backup first, whose path it gives: of the registry as it was
/// loaded, so also of one that was mended or brought back just now.
///
/// # Errors
/// The lock, or a file; without a backup nothing is changed.
pub fn change_offline_after_backup(
    place: &Place,
    change: impl FnOnce(&mut Remembered),
) -> Result<Option<PathBuf>, SyncError> {
    let store = store(place, Trigger::Person);
    let locked = store.lock()?;
    let (before, _) = load(place, &locked)?;
    let backup = backup(&locked)?;
    let mut next = before.clone();
    reconcile::end_with_server(&mut next);
    change(&mut next);
    write_in_order(place, &locked, &before, &next)?;
    Ok(backup)
}

fn backup(locked: &Locked<'_>) -> Result<Option<PathBuf>, StoreError> {
    locked.backup().map_err(|error| StoreError::NoBackup(Box::new(error)))
}

/// Writes registry and closed sessions, as far as they changed, in the order that loses nothing
/// if we are cut off: a record that moves stands in its new file before it leaves the old one.
fn write_in_order(
    place: &Place,
    locked: &Locked<'_>,
    before: &Remembered,
    next: &Remembered,
) -> Result<(), StoreError> {
    let mut both = next.closed.clone();
    for (at, entry) in before.closed.closed.iter().enumerate() {
        let uuid = &entry.session.uuid;
        let moves = next.registry.by_uuid(uuid).is_some()
            && before.registry.by_uuid(uuid).is_none()
            && !next.closed.closed.iter().any(|kept| kept.session.uuid == *uuid);
        if moves {
            // In its old place: if we are cut off, the one closed last is still the first.
            both.closed.insert(at.min(both.closed.len()), entry.clone());
        }
    }
    if both != before.closed {
        write_json(&place.closed(), &both, Sync::Yes)?;
    }
    if next.registry != before.registry {
        locked.commit(&next.registry)?;
    }
    if both != next.closed {
        write_json(&place.closed(), &next.closed, Sync::Yes)?;
    }
    Ok(())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    /// A newer format may well have another shape.
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let Some(bytes) = file::read(path)? else { return Ok(None) };
    let read = serde_json::from_slice(&bytes).map(Some);
    read.map_err(|error| match serde_json::from_slice(&bytes) {
        Ok(Versioned { version }) if version > MEMORY_VERSION => newer(path, version),
        _ => StoreError::Damaged { path: path.to_owned(), reason: error.to_string() },
    })
}

fn newer(path: &Path, version: u32) -> StoreError {
    StoreError::Newer { path: path.to_owned(), version: FileVersion::Known(version.into()) }
}

fn write_json<T: Serialize>(path: &Path, value: &T, sync: Sync) -> Result<(), StoreError> {
    let bytes = serde_json::to_vec(value).map_err(|error| StoreError::Io {
        verb: "write",
        path: path.to_owned(),
        source: error.into(),
    })?;
    file::replace(path, &bytes, PRIVATE, sync)
}

/// The command that takes another look after `delay`. Its timer does not delay tmux's exit.
fn look_line(delay: Duration) -> Vec<u8> {
    let delay = format!("{}.{:03}", delay.as_secs(), delay.subsec_millis());
    command::line(&[b"run-shell", b"-b", b"-d", delay.as_bytes(), b"#{@roster_run}"])
}

/// The same before 3.2, where tmux has no such timer: a process of our own, which is no job of
/// tmux's, since its exit would wait for that.
fn look_by_ourselves(place: &Place, server: ServerId, delay: Duration) {
    let Ok(program) = std::env::current_exe() else { return };
    let mut tmux = place.tmux.socket.clone().into_os_string();
    tmux.push(format!(",{},-1", server.pid));
    let _ = Command::new(program)
        .args(["look", "--after", &delay.as_millis().to_string(), "--dir"])
        .arg(&place.dir)
        .arg("--tmux")
        .arg(&place.tmux.program)
        .env("TMUX", tmux)
        .env_remove("TMUX_PANE")
        .env_remove(RETRY_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn();
}

/// Waits before a look of [`look_by_ourselves`]; tells whether there is still something to look at:
/// the server lives, and calls us.
pub fn wait_for_look(place: &Place, delay: Duration) -> bool {
    let Some(pid) = job_server() else { return false };
    let due = Instant::now() + delay;
    loop {
        let server = JobServer::look(pid);
        if let JobServer::Ended = server {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let own = server.replaced(place);
            let place = own.as_ref().unwrap_or(place);
            let run = options(place, &["@roster_run"], Instant::now() + TYPED_LIMIT);
            return run.is_ok_and(|values| values.iter().any(|value| !value.is_empty()));
        }
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}

/// Sends commands to tmux by `source-file`, in pieces; gives what they print. If `server` is
/// given, another server on the same socket does nothing: to it, `$3` is another session.
///
/// # Errors
/// The file cannot be written, or tmux does not answer. That a command fails is no error.
pub fn run_lines(
    place: &Place,
    server: Option<ServerId>,
    lines: &[Vec<u8>],
    deadline: Instant,
) -> Result<String, SyncError> {
    let mut printed = String::new();
    for piece in lines.chunks(PIECE) {
        // Under the lock it is named after the registry, whose next writer clears away what a
        // crash left. A plugin that loads has no lock, and a sync that commits meanwhile must
        // not clear its file away.
        let name = if server.is_some() { REGISTRY } else { "commands" };
        if server.is_none() {
            clear_old_commands(place);
        }
        let path = place.dir.join(file::temporary_name(name.as_ref()));
        let ran = run_piece(place, server, &path, &piece.concat(), deadline);
        let _ = fs::remove_file(&path);
        printed.push_str(&ran?);
    }
    Ok(printed)
}

/// Removes the files of loads that were killed a while ago.
fn clear_old_commands(place: &Place) {
    let Ok(entries) = fs::read_dir(&place.dir) else { return };
    for entry in entries.flatten() {
        let is_commands = entry.file_name().as_bytes().starts_with(b".commands.tmp.");
        let age = entry.metadata().and_then(|found| found.modified()).map(|then| then.elapsed());
        if is_commands && age.is_ok_and(|age| age.is_ok_and(|age| age > HOOKS_CHECK)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn run_piece(
    place: &Place,
    server: Option<ServerId>,
    path: &Path,
    commands: &[u8],
    deadline: Instant,
) -> Result<String, SyncError> {
    // What the file prints at its end says that all of it was done, and by the right server: an
    // end of tmux alone says neither. That a target has gone meanwhile is no failure of the whole.
    let mark = query::new_mark();
    let print = command::line(&[b"display-message", b"-p", mark.as_bytes()]);
    let text = [commands, &print].concat();
    file::within_limit(text.len() as u64)
        .and_then(|()| file::create_new(path, PRIVATE)?.write_all(&text))
        .map_err(file::io_error("write", path))?;
    let last = format!("{mark}\n").into_bytes();
    let is_whole = |printed: &[u8]| printed.ends_with(&last);
    let words = command::source_file(path, server);
    let output = place.tmux.start(&words)?.finish_or(is_whole, deadline)?;
    // A hook of the user's may print something after it.
    let at = output.stdout.windows(last.len()).rposition(|part| part == last);
    let printed = match at {
        Some(at) => &output.stdout[..at],
        // Where there is no session, a tmux before 3.2 came to the end if it complains of that.
        None if output.stderr.ends_with(NO_TARGET) => &output.stdout[..],
        None => return Err(incomplete(place, &output).into()),
    };
    Ok(String::from_utf8_lossy(printed).into_owned())
}

/// The values of global options, byte for byte; empty for those that are not set.
///
/// # Errors
/// tmux fails.
pub fn options(
    place: &Place,
    names: &[&str],
    deadline: Instant,
) -> Result<Vec<Vec<u8>>, TmuxError> {
    let mark = query::new_mark();
    let query = Query { mark: &mark, clear: None, hooks: false, options: names };
    let output = place.tmux.start(&query::args(query))?.finish(deadline)?;
    if let Some(answer) = query::parse(query, &output.stdout) {
        return Ok(answer.options);
    }
    if output.stderr != NO_TARGET || !output.stdout.is_empty() {
        return Err(incomplete(place, &output));
    }
    // Before 3.2 display-message needs a session; show-options prints values as they are.
    let show = |name: &&str| {
        let printed = place.tmux.run(&["show-options", "-gqv", name], deadline)?;
        Ok(printed.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(printed))
    };
    names.iter().map(show).collect()
}

/// Asks tmux to call us again in a while: we are the only look that a burst gets, and could
/// not take it, by this error, or not do all that was due. Before 3.2 there is no such timer, and
/// the next event makes it good.
///
/// However many fail meanwhile, one look is on its way, and each that fails waits twice as long
/// as the one before: what lasts must not fill the machine with jobs. A variable in tmux has the
/// second in which the look is due, and whose it is. A job of an event asks for one unless one is
/// due soon; that of a look only if no other was asked for since. A newer file and another user's
/// are not looked at again by themselves.
pub fn look_later(place: &Place, mark: Mark, error: Option<&SyncError>) {
    let lasting = matches!(
        error,
        Some(
            SyncError::Store(StoreError::Newer { .. } | StoreError::NotOurs { .. })
                | SyncError::Tmux(TmuxError::NotOurs { .. })
        )
    );
    if lasting || mark != Mark::Environment {
        return;
    }
    let before = our_look();
    let delay = match (&before, error) {
        (Some((delay, _)), Some(_)) => delay.saturating_mul(2).clamp(RETRY.0, RETRY.1),
        _ => RETRY.0,
    };
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let token = format!("{}-{}", now + u64::from(delay), std::process::id());
    let condition = match before {
        Some((_, ours)) => format!("#{{==:#{{ROSTER_LOOK}},{ours}}}"),
        // Of one that was due a while ago nothing came.
        None => format!(
            "#{{||:#{{<:#{{ROSTER_LOOK}},{}}},#{{>:#{{ROSTER_LOOK}},{}}}}}",
            now.saturating_sub(15),
            now + u64::from(delay) + 1
        ),
    };
    let look = format!(
        "set-environment -gh ROSTER_LOOK {token} ; \
         run-shell -b -d {delay} '{RETRY_VARIABLE}={delay}:{token} #{{@roster_run}}'"
    );
    run_last(place, &["if-shell", "-F", &condition, &look]);
}

/// If this is the job of a look of [`look_later`]: how long it was put off, and its token.
fn our_look() -> Option<(u32, String)> {
    let value = std::env::var(RETRY_VARIABLE).ok()?;
    let (delay, token) = value.split_once(':')?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    Some((delay.parse().ok()?, token.to_owned())).filter(|_| is_plain)
}

/// The look that this job was, if it was one, has done its work: the next that fails asks for one
/// of its own.
pub fn end_look(place: &Place) {
    if let Some((_, ours)) = our_look() {
        let condition = format!("#{{==:#{{ROSTER_LOOK}},{ours}}}");
        run_last(place, &["if-shell", "-F", &condition, "set-environment -gu ROSTER_LOOK"]);
    }
}

/// One run of a user's script, as its supervisor is told of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Script {
    /// The command, a word each.
    pub words: Vec<String>,
    /// What it finds in its environment.
    pub environment: Vec<(String, String)>,
}

/// Starts the user's scripts for what happened, under a supervisor that nobody waits for: a
/// hundred sessions that end at once must not start a hundred programs at once, and while the
/// lock is held one program is all there is time for.
fn run_scripts(place: &Place, settings: &Settings, events: &[Event]) {
    let script_of = |event: &Event| {
        let (_, words) = settings.scripts.iter().find(|(kind, _)| *kind == event.kind)?;
        let session = &event.session;
        let environment = [
            ("ROSTER_EVENT", event_name(event.kind)),
            ("ROSTER_SESSION", &session.name),
            ("ROSTER_OLD_NAME", event.old_name.as_deref().unwrap_or_default()),
            ("ROSTER_UUID", &session.uuid),
            ("ROSTER_MODE", &session.mode),
            ("ROSTER_WORKDIR", &session.workdir),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(Script { words: words.clone(), environment: environment.to_vec() })
    };
    let scripts: Vec<Script> = events.iter().filter_map(script_of).collect();
    let Ok(program) = std::env::current_exe() else { return };
    let Ok(told) = serde_json::to_vec(&scripts) else { return };
    if scripts.is_empty() {
        return;
    }
    let supervisor = Command::new(&program)
        .arg("run-scripts")
        .env(LOG_VARIABLE, place.log())
        .env_remove("TMUX_PANE")
        .env_remove(RETRY_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn();
    if let Some(mut stdin) = supervisor.ok().and_then(|mut supervisor| supervisor.stdin.take()) {
        let _ = stdin.write_all(&told);
    }
}

/// The word for an event, as options and scripts have it.
pub fn event_name(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Created => "created",
        EventKind::Attached => "attached",
        EventKind::Renamed => "renamed",
        EventKind::Closed => "closed",
        EventKind::Lost => "lost",
        EventKind::Restored => "restored",
    }
}

/// Tells the supervisor of scripts where to log.
pub const LOG_VARIABLE: &str = "ROSTER_LOG";

/// The size at which the log is cut to its newer half, in bytes.
const LOG_BYTES: u64 = 256 * 1024;

/// How much of a message the log keeps, in characters: a program may say anything.
const LOG_LINE: usize = 2000;

/// Adds a line to the log. What cannot be logged is not worth disturbing anyone.
pub fn log(place: &Place, message: &str) {
    log_to(&place.log(), message);
}

/// The same for those who know only where the log is.
pub fn log_to(path: &Path, message: &str) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.len() > LOG_BYTES) {
        if let Ok(Some(text)) = file::read(path) {
            let half = &text[text.len() - text.len().min(LOG_BYTES as usize / 2)..];
            let start = half.iter().position(|b| *b == b'\n').map_or(half.len(), |at| at + 1);
            let _ = file::replace(path, &half[start..], PRIVATE, Sync::No);
        }
    }
    let message: String = message.chars().take(LOG_LINE).collect();
    let line = format!("{} {}\n", Timestamp::now(), message.replace(char::is_control, " "));
    // A FIFO would hold a hook's job for ever.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let opened =
        OpenOptions::new().append(true).create(true).mode(PRIVATE).custom_flags(flags).open(path);
    let _ = opened.and_then(|mut file| {
        let found = file.metadata()?;
        let ours = found.is_file() && found.nlink() == 1;
        // What somebody planted gets nothing.
        if ours && file::check_owner(path, &found).is_ok() {
            file::within_limit(found.len() + line.len() as u64)?;
            file.write_all(line.as_bytes())?;
        }
        Ok(())
    });
}
