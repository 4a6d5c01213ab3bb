//! Making sessions anew from their records: lost ones, closed ones, and new ones.
//!
//! Works under the lock of a transaction, so that no hook's sync sees a session before it bears
//! its stamp.

pub mod at_start;
mod blueprint;
mod build;
mod conditions;
mod launch;
mod windows;

use std::collections::HashSet;
use std::time::Duration;

use at_start::note_tried;

use crate::health;
use crate::history::{Entry, What};
use crate::model::memory::ClosedSession;
use crate::model::reconcile::{Event, EventKind};
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::snapshot::{LiveSession, SessionId};
use crate::model::time::Timestamp;
use crate::model::windows::{ClosedWindow, Window, Windows};
use crate::sorted::{Set, sort_by_key};
use crate::tmux::source::Group;
use crate::tmux::text::line;
use crate::transaction::{SyncError, Transaction};

pub use blueprint::Blueprint;
use blueprint::{blueprint, made, new_session};
use build::{
    Called, Way, begin_in, begun_window, build, can_hide, finish_in, forget_was, is_made_under,
    list_begun, made_window, made_with, new_window_of, rename, show_hook, tell_made, whole,
};
use conditions::Conditions;
pub use conditions::START_IN;
use launch::profiles;
use windows::{MAX_INDEX, Recorded, plan_closed};
pub use windows::{PaneStart, RUN_IN_PANE, WindowPlan};

/// What was made anew, and what was not.
#[derive(Debug, Default)]
pub struct Restored {
    /// The sessions, as recorded afterwards, with their ids.
    pub sessions: Vec<(SessionId, Session)>,
    /// Of sessions that lived already how many windows came back, by name.
    pub windows: Vec<(String, usize)>,
    /// For the user's scripts.
    pub events: Vec<Event>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Whether one of them does not live.
    pub failed: bool,
    /// What tmux will do to them by itself, for who asked for them.
    pub notes: Vec<String>,
}

/// How long a launch command gets to show whether it can be started.
const START: Duration = Duration::from_millis(40);

/// How many sessions are made under one lock, so that jobs of hooks get theirs.
pub const AT_A_TIME: usize = 100;

/// How much longer tmux may take for each pane of a session: a few milliseconds are usual.
const A_PANE: Duration = Duration::from_millis(50);

/// How long others get their turn between two sessions: a new client, which needs several answers
/// of tmux, would else wait for two of them.
const TURN: Duration = Duration::from_millis(5);

/// How many sessions are made at once. tmux answers nobody meanwhile, and starts a process for
/// each.
const AT_ONCE: usize = 10;

/// Makes lost sessions anew whose names are free: [`AT_A_TIME`] of those that were not `tried` yet.
///
/// # Errors
/// A file or tmux fails.
pub fn restore_all(
    transaction: &mut Transaction<'_>,
    bare: bool,
    tried: &mut Set<String>,
) -> Result<Restored, SyncError> {
    // Those would be made, and not be known as what came back.
    let lost = transaction.remembered.lost().into_iter();
    let (ignored, mut lost): (Vec<Session>, Vec<Session>) =
        lost.partition(|session| transaction.is_ignored(&session.name));
    let nothing_else = lost.is_empty() && tried.is_empty();
    lost.retain(|session| !tried.contains(&session.uuid));
    lost.truncate(AT_A_TIME);
    tried.extend(lost.iter().map(|session| session.uuid.clone()));
    let mut done = make(transaction, lost, Wanted { bare, command: &[] })?;
    if nothing_else && !ignored.is_empty() {
        let names: Vec<String> = ignored.iter().map(|s| format!("{:?}", s.name)).collect();
        let names = names.join(", ");
        done.warnings.push(format!("the only lost sessions match @roster-ignore: {names}"));
    }
    Ok(done)
}

/// How sessions are to be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// If it is not empty, instead of their modes' launch profiles.
    pub command: &'a [String],
    /// With one window each, whatever they had.
    pub bare: bool,
}

/// Makes these recorded sessions anew and brings everything into step.
///
/// # Errors
/// A file or tmux fails.
pub fn make(
    transaction: &mut Transaction<'_>,
    records: Vec<Session>,
    wanted: Wanted<'_>,
) -> Result<Restored, SyncError> {
    let mut done = Restored::default();
    carry_out(transaction, records, wanted, health::RECREATED, &mut done)?;
    for (_, session) in &done.sessions {
        let session = session.clone();
        done.events.push(Event { kind: EventKind::Restored, session, old_name: None });
    }
    Ok(done)
}

/// Makes a session that was never there; `command` instead of its mode's launch profile.
///
/// # Errors
/// A file or tmux fails.
pub fn make_new(
    transaction: &mut Transaction<'_>,
    record: Session,
    command: &[String],
) -> Result<Restored, SyncError> {
    let mut done = Restored::default();
    carry_out(transaction, vec![record], Wanted { command, bare: true }, "", &mut done)?;
    for (_, session) in &done.sessions {
        let session = session.clone();
        done.events.push(Event { kind: EventKind::Created, session, old_name: None });
    }
    Ok(done)
}

fn carry_out(
    transaction: &mut Transaction<'_>,
    records: Vec<Session>,
    wanted: Wanted<'_>,
    status: &str,
    done: &mut Restored,
) -> Result<(), SyncError> {
    if records.is_empty() {
        return Ok(());
    }
    // One that comes back has a status.
    let is_new = status.is_empty();
    let profiles = profiles(transaction, &records, &mut done.warnings)?;
    let mut recorded = match wanted.bare {
        true => Recorded::default(),
        false => Recorded::load(transaction, &records, &mut done.warnings)?,
    };
    let conditions = Conditions::ask(transaction)?;
    let (mut blueprints, mut made) = (Vec::new(), Vec::new());
    let mut failure = None;
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() && (blueprints.is_empty() || !transaction.is_late()) {
        let from = blueprints.len();
        // Each directory may take its time.
        while blueprints.len() - from < AT_ONCE
            && (blueprints.len() == from || !transaction.is_late())
        {
            let Some(record) = records.next() else { break };
            let mut blueprint =
                blueprint(transaction, record, &profiles, !is_new, &mut done.warnings);
            if !wanted.command.is_empty() {
                blueprint.launch = profiles.typed(wanted.command);
            }
            blueprint.windows = recorded.plan(&blueprint, &mut done.warnings);
            blueprints.push(blueprint);
        }
        let with = With { conditions: &conditions, recorded: &mut recorded };
        match create(transaction, &blueprints[from..], with, &mut done.warnings) {
            Ok(created) => made.extend(created),
            Err(error) if made.is_empty() => return Err(error),
            // Those that stand are told of all the same. Of these nobody knows whether tmux still
            // makes them: the next sync sees.
            Err(error) => {
                blueprints.truncate(from);
                failure = Some(error);
                break;
            }
        }
        note_tried(transaction, &blueprints[from..])?;
    }
    // One whose command ended at once leaves no record of a session that never was. What cannot be
    // started at all is seen to have ended only once it was tried.
    if blueprints.iter().any(|blueprint| !blueprint.launch.words.is_empty()) {
        std::thread::sleep(START);
    }
    transaction.look_again()?;
    name_otherwise(transaction, &mut blueprints, &made, &mut done.warnings)?;
    let sessions = &transaction.answer.snapshot.sessions;
    made.retain(|(_, id)| sessions.iter().any(|session| session.id == *id));
    let now = Timestamp::now();
    let mut next = transaction.remembered.clone();
    for (uuid, _) in &made {
        let Some(blueprint) = blueprints.iter().find(|b| b.record.uuid == *uuid) else { continue };
        if next.registry.by_uuid(uuid).is_none() {
            // Recorded here, since before tmux 3.2 nobody else can tell its directory. A lost
            // session of its name steps aside.
            let record = blueprint.record.clone();
            if let Some(lost) = next.registry.sessions.insert(record.name.clone(), record) {
                next.closed
                    .push(ClosedSession { set_aside: true, ..ClosedSession::new(lost, now) });
            }
        }
        let recorded = next.registry.sessions.values_mut().find(|s| s.uuid == *uuid);
        if let Some(recorded) = recorded {
            let mut status = status;
            if let Some(displaced) = &blueprint.displaced {
                next.memory.displaced.insert(uuid.clone(), displaced.clone());
            }
            if blueprint.is_elsewhere {
                status = health::WORKDIR_MISSING;
            }
            // That it is restored is told by who asked for it.
            next.memory.lost_since.remove(uuid);
            recorded.workdir.clone_from(&blueprint.record.workdir);
            status.clone_into(&mut recorded.last_health_status);
            recorded.last_health_at = if status.is_empty() { Timestamp::ZERO } else { now };
        }
    }
    transaction.commit(next, None)?;
    recorded.back.retain(|(uuid, _)| made.iter().any(|(made, _)| made == uuid));
    if !recorded.back.is_empty() {
        transaction.note_back(&recorded.back)?;
    }
    transaction.bring_into_step()?;
    let made: HashSet<&str> = made.iter().map(|(uuid, _)| uuid.as_str()).collect();
    let mut lives = HashSet::new();
    if conditions.spares() {
        spare(transaction, &made)?;
    }
    let Remembered { registry, memory, closed: _ } = &transaction.remembered;
    for (id, known) in
        memory.sessions.iter().filter(|(_, known)| made.contains(known.uuid.as_str()))
    {
        if let Some(session) = registry.by_uuid(&known.uuid) {
            lives.insert(known.uuid.as_str());
            done.sessions.push((*id, session.clone()));
        }
    }
    if !lives.is_empty() {
        done.notes.extend(conditions.notes());
    }
    for blueprint in blueprints.iter().filter(|b| !lives.contains(b.record.uuid.as_str())) {
        let what = match blueprint.launch.words.as_slice() {
            [] => "its shell".to_owned(),
            words => format!("its command {:?}", shell_words::join(words)),
        };
        done.failed = true;
        done.warnings.push(format!(
            "tmux did not create the session {:?}, or {what} exited at once",
            blueprint.record.name
        ));
    }
    if let Some(error) = failure {
        done.failed = true;
        done.warnings.push(format!("the rest may not have been created: {error}"));
    }
    Ok(())
}

/// Finds other names for sessions whose names somebody took while they were made, so that they still
/// have the one that they were made under.
///
/// # Errors
/// tmux does not answer.
fn name_otherwise(
    transaction: &mut Transaction<'_>,
    blueprints: &mut [Blueprint],
    made: &[(String, SessionId)],
    warnings: &mut Vec<String>,
) -> Result<(), SyncError> {
    let live = &transaction.answer.snapshot.sessions;
    let name_of = |session: &LiveSession| String::from_utf8_lossy(&session.name).into_owned();
    let (mut lines, mut renamed) = (Vec::new(), Vec::new());
    for blueprint in blueprints {
        let Some((_, id)) = made.iter().find(|(uuid, _)| *uuid == blueprint.record.uuid) else {
            continue;
        };
        let name = live.iter().find(|session| session.id == *id).map(name_of);
        if !name.is_some_and(|name| name != blueprint.record.name && is_made_under(&name)) {
            continue;
        }
        let before = blueprint.record.name.clone();
        // What is left alone may be all such names.
        let Some(suffix) = transaction.suffix(&before) else { continue };
        blueprint.record.name.push_str(&suffix);
        blueprint.name.extend_from_slice(suffix.as_bytes());
        lines.push(rename(id.to_string().as_bytes(), blueprint, transaction.version()));
        renamed.push((*id, before));
    }
    if lines.is_empty() {
        return Ok(());
    }
    transaction.run(&lines)?;
    transaction.look_again()?;
    let live = &transaction.answer.snapshot.sessions;
    for (id, before) in renamed {
        let Some(session) = live.iter().find(|session| session.id == id) else { continue };
        warnings.push(format!(
            "a session named {before:?} was started meanwhile, so the one that came back is named {:?}",
            name_of(session)
        ));
    }
    Ok(())
}

/// Notes which sessions are spared until a client has been there.
///
/// # Errors
/// The memory cannot be written.
fn spare(transaction: &mut Transaction<'_>, made: &HashSet<&str>) -> Result<(), SyncError> {
    let mut memory = transaction.remembered.memory.clone();
    for known in memory.sessions.values_mut().filter(|known| made.contains(known.uuid.as_str())) {
        known.spared = true;
    }
    transaction.remember(memory)
}

/// What sessions are made with.
struct With<'a> {
    conditions: &'a Conditions,
    recorded: &'a mut Recorded,
}

/// Makes the sessions of one piece, detached, and stamps them at once: were we cut off later, each
/// is known by its stamp. Returns the ids by UUID; one that tmux refuses is absent.
///
/// # Errors
/// tmux does not answer.
fn create(
    transaction: &Transaction<'_>,
    blueprints: &[Blueprint],
    mut with: With<'_>,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, SessionId)>, SyncError> {
    let version = transaction.version();
    let (with_windows, bare): (Vec<&Blueprint>, Vec<&Blueprint>) =
        blueprints.iter().partition(|blueprint| !blueprint.windows.is_empty());
    let groups =
        bare.iter().map(|blueprint| new_session(blueprint, version, with.conditions)).collect();
    let printed = transaction.run_groups(groups)?;
    let mut made: Vec<(String, SessionId)> = printed.lines().filter_map(made).collect();
    let mut stamps = Vec::new();
    for (at, blueprint) in with_windows.into_iter().enumerate() {
        if at > 0 {
            std::thread::sleep(TURN);
        }
        if let Some(id) = create_whole(transaction, blueprint, &mut with, warnings)? {
            stamps.push(show_hook(id));
            made.push((blueprint.record.uuid.clone(), id));
        }
    }
    for (uuid, id) in &made {
        let target = id.to_string();
        let mut set = |option: &[u8], value: &str| {
            let words: [&[u8]; 5] =
                [b"set-option", b"-t", target.as_bytes(), option, value.as_bytes()];
            stamps.push(line(&words));
        };
        set(b"@roster_uuid", uuid);
        if let Some(blueprint) = blueprints.iter().find(|b| b.record.uuid == *uuid) {
            set(b"@roster_mode", &blueprint.record.mode);
        }
    }
    transaction.run(&stamps)?;
    Ok(made)
}

/// Makes one session with all its windows, in one file: others get their turn between sessions.
///
/// # Errors
/// tmux does not answer.
fn create_whole(
    transaction: &Transaction<'_>,
    blueprint: &Blueprint,
    with: &mut With<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<SessionId>, SyncError> {
    let version = transaction.version();
    let panes = blueprint.windows.iter().map(|window| window.panes.len()).sum::<usize>();
    let panes = u32::try_from(panes).unwrap_or(u32::MAX);
    let standing = &with.recorded.standing;
    let run = |called: &Called, begun: Option<&WindowPlan>| {
        let group = build(blueprint, called, begun, version, with.conditions, standing);
        transaction.run_long(&group, A_PANE * panes)
    };
    let begun = made_with(blueprint, version, with.conditions, standing);
    let printed = run(&Called::new(), begun)?;
    let Some(id) = printed.lines().find_map(made).map(|(_, id)| id) else { return Ok(None) };
    let mut there = printed.lines().find_map(whole);
    let again;
    if there.is_none() {
        // A hook of the user's gave it another name at once.
        again = run(&Called::Id(id), None)?;
        there = again.lines().find_map(whole);
    }
    let there = there.unwrap_or_default();
    let made = blueprint.windows.iter().filter(|window| there.contains_key(&window.index));
    let made: Vec<WindowPlan> = made.cloned().collect();
    with.recorded.note_made(&made, id);
    let lacking = blueprint.windows.iter().filter(|window| !there.contains_key(&window.index));
    let lacking = lacking.map(|window| window.was).collect();
    with.recorded.back.push((blueprint.record.uuid.clone(), lacking));
    let lacking: Vec<String> = (blueprint.windows.iter())
        .filter_map(|window| {
            let WindowPlan { index, panes, .. } = window;
            match there.get(index) {
                None => Some(format!("window {index} is missing")),
                Some(count) if *count < panes.len() => {
                    Some(format!("window {index} has {count} of {} panes", panes.len()))
                }
                Some(_) => None,
            }
        })
        .collect();
    if !lacking.is_empty() {
        let name = &blueprint.record.name;
        warnings.push(format!("not all of {name:?} came back: {}", lacking.join(", ")));
    }
    Ok(Some(id))
}

/// Brings back the windows that did not come with a session that lives again, first those whose index is
/// free. Tells how many came back, and what the user should know. A window that is in another session as
/// well is left: it would be two.
///
/// # Errors
/// A file or tmux fails.
pub fn bring_missing(
    transaction: &mut Transaction<'_>,
    uuid: &str,
) -> Result<(usize, Vec<String>), SyncError> {
    let windows = transaction.look_at_windows()?;
    let id = transaction.remembered.memory.id_of(uuid);
    let record = transaction.remembered.registry.by_uuid(uuid).cloned();
    let (Some(id), Some(record)) = (id, record) else { return Ok((0, Vec::new())) };
    let mut missing = windows.missing_of(uuid);
    let here = windows.sessions.get(uuid).map_or(&[][..], |arrangement| &arrangement.windows);
    sort_by_key(&mut missing, |closed| {
        let index = closed.window.index;
        (here.iter().any(|window| window.index == index), index)
    });
    let (mut count, mut warnings) = (0, Vec::new());
    let mut back = Vec::new();
    for closed in &missing {
        let index = closed.window.index;
        if back.contains(&closed.was()) {
            // It was at two indexes, and is again.
            count += 1;
            continue;
        }
        if windows.is_linked(closed) {
            warnings.push(format!(
                "window {index} is linked to another session and was not brought back: roster \
                 reopen --window brings it back here"
            ));
            continue;
        }
        match reopen_window(transaction, id, &record, closed, &windows, false)? {
            Some((_, said)) => {
                back.push(closed.was());
                count += 1;
                warnings.extend(said);
            }
            None => warnings.push(format!("tmux did not create window {index}")),
        }
    }
    Ok((count, warnings))
}

/// Makes a closed window again in a session that lives, at its index if that is free or the session numbers
/// its windows anew, and, if wanted, goes to it. Where else it was, by what is recorded of `windows`, it is
/// linked, in its old place if that is free. Returns the index, and what the user should know.
///
/// # Errors
/// A file or tmux fails, or tmux does not make it: then nothing is returned.
pub fn reopen_window(
    transaction: &mut Transaction<'_>,
    id: SessionId,
    record: &Session,
    closed: &ClosedWindow,
    windows: &Windows,
    goes: bool,
) -> Result<Option<(u32, Vec<String>)>, SyncError> {
    let conditions = Conditions::ask(transaction)?;
    let taken_in = |id: SessionId| -> HashSet<u32> {
        let rows = transaction.answer.panes.iter();
        rows.filter(|row| row.session == id).map(|row| row.index).collect()
    };
    let free_in = |taken: &HashSet<u32>, wanted: u32| {
        let is_free = |index: &u32| !taken.contains(index);
        (wanted..=MAX_INDEX).chain(0..).find(is_free).unwrap_or_default()
    };
    let taken = taken_in(id);
    if taken.is_empty() {
        // A session has windows: nobody told of them, and what is made might hit them.
        return Ok(None);
    }
    let version = transaction.version();
    let target = id.to_string();
    let shown = transaction.run_groups(vec![vec![
        line(&[b"show-hooks", b"-t", target.as_bytes()]),
        line(&[b"display-message", b"-p", b"-t", target.as_bytes(), RENUMBERS]),
        list_begun(id),
    ]])?;
    let hides = can_hide(&shown);
    let wanted = closed.window.index;
    let renumbers = taken.contains(&wanted) && shown.lines().any(|line| line == "renumbers 1");
    let way = match renumbers {
        true if wanted.checked_sub(1).is_some_and(|before| taken.contains(&before)) => Way::Behind,
        true if version.inserts_windows_before() => Way::Before,
        _ => Way::Free,
    };
    let index = if way == Way::Free { free_in(&taken, wanted) } else { wanted };
    let mut warnings = Vec::new();
    let window = plan_closed(transaction, closed, record, index, &mut warnings)?;
    // A command that was killed may have made it.
    let begun = begun_window(&shown, window.was);
    let (window_id, is_whole) = match begun {
        Some((window_id, is_whole)) => (window_id.to_owned(), is_whole),
        None => {
            let group = begin_in(id, &window, way, hides, version, &conditions);
            let printed = transaction.run_groups(vec![group])?;
            // Whoever took the index meanwhile has another id.
            match printed.lines().find_map(new_window_of) {
                Some(window_id) => (window_id.to_owned(), false),
                None => return Ok(None),
            }
        }
    };
    let mut group = Group::new();
    if !is_whole {
        group = finish_in(id, &window_id, &window, (hides, goes), version, &conditions);
        for other in windows.all_closed() {
            let place = (&other.session, other.window.index);
            let other_id = transaction.remembered.memory.id_of(&other.session);
            let is_other = other.was() == closed.was() && place != (&closed.session, wanted);
            let Some(other_id) = other_id.filter(|_| is_other) else { continue };
            let mut taken = taken_in(other_id);
            if other_id == id {
                taken.insert(index);
            }
            let at = format!("{other_id}:{}", free_in(&taken, place.1));
            let words: [&[u8]; 6] =
                [b"link-window", b"-d", b"-s", window_id.as_bytes(), b"-t", at.as_bytes()];
            group.push(line(&words));
        }
    }
    group.push(tell_made(id, &window_id));
    let printed = transaction.run_groups(vec![group])?;
    let made = printed.lines().find_map(made_window);
    let Some((index, panes)) = made else { return Ok(None) };
    if index != wanted {
        warnings.push(format!("index {wanted} is taken, so the window came back at index {index}"));
    }
    if panes < window.panes.len() {
        let all = window.panes.len();
        warnings.push(format!(
            "not all of it came back: {panes} of {all} panes; it is still among the closed windows"
        ));
        transaction.look_at_windows()?;
    } else {
        let number = window_id.trim_start_matches('@').parse().unwrap_or(u32::MAX);
        transaction.look_after_return(closed, number)?;
    }
    // If this fails, it says only what is known.
    let _ = transaction.run(&[forget_was(&window_id)]);
    let made = Window { index, ..closed.window.clone() };
    transaction.note(&[Entry::of_window(What::WindowReopened, record, &made)]);
    Ok(Some((index, warnings)))
}

/// Whether a session numbers its windows anew when one goes.
const RENUMBERS: &[u8] = b"renumbers #{?renumber-windows,1,0}";
