//! What sessions carry and what keeps them: mode, health, backups, clear, recover, migrate.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tmux_roster::config::Place;
use tmux_roster::health;
use tmux_roster::model::memory::ClosedSession;
use tmux_roster::model::reconcile::Remembered;
use tmux_roster::sync::{self, SyncError, Transaction, Trigger};
use tmux_roster::tmux::TmuxError;
use tmux_roster::{Session, Store, StoreError, Timestamp, migration_plan};

use super::life::{left_alone, lives_left_alone};
use super::list::{Row, State, View, visible};
use super::store::json;
use super::{
    Context, Failure, Outcome, Target, count, not_found, print, print_path, store_of, to_paste,
    warn,
};
use crate::cli;

/// How long all directories may take together: the lock is held meanwhile.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

pub fn backup(context: &Context) -> Outcome {
    let store = store_of(&context.place()?);
    match store.backup()? {
        Some(path) => print_path(&path)?,
        None if store.last_good().is_some_and(|last| !last.sessions.is_empty()) => {
            return Err(
                "the registry is gone: roster sync brings it back from its last good copy, \
                        then it can be backed up"
                    .into(),
            );
        }
        None => warn("there is no registry yet: nothing to back up"),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn migrate(context: &Context) -> Outcome {
    let done = store_of(&context.place()?).migrate(&migration_plan())?;
    match done.backup {
        Some(backup) => print(&format!(
            "migrated from version {} to {}; the file as it was is {}\n",
            done.before,
            done.after,
            visible(&backup.display().to_string())
        ))?,
        None => print(&format!("version {}: nothing to migrate\n", done.after))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn clear(context: &Context) -> Outcome {
    let place = context.place()?;
    let now = Timestamp::now();
    let backup = change_after_backup(&place, |next, live, lost| {
        let closed = |session| ClosedSession { session, closed_at: now, unproven: None };
        next.closed.push_all(lost.into_iter().map(closed).collect());
        // Those that live would be back at once, without what tmux does not know of them.
        next.registry.sessions.retain(|_, session| live.contains(&session.uuid));
    })?;
    match backup {
        Some(path) => {
            let path = visible(&path.display().to_string());
            print(&format!("cleared; the registry as it was is {path}\n"))?;
        }
        None => print("there was nothing to clear\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes what is remembered, given the UUIDs that live and what is lost, after a backup, whose
/// path it gives. The backup is of the registry as it was loaded and brought into step: one that
/// was gone or damaged is back by then, and would be in no backup that was made before.
fn change_after_backup(
    place: &Place,
    change: impl FnOnce(&mut Remembered, &HashSet<String>, Vec<Session>),
) -> Result<Option<PathBuf>, Failure> {
    let store = store_of(place);
    match Transaction::begin(place, &store, Trigger::Person) {
        Ok(mut transaction) => {
            transaction.bring_into_step()?;
            let backup = transaction.backup()?;
            let live: HashSet<String> = transaction.live().into_values().collect();
            let mut next = transaction.remembered.clone();
            change(&mut next, &live, transaction.lost());
            transaction.commit(next, None)?;
            transaction.bring_into_step()?;
            Ok(backup)
        }
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let change = |next: &mut Remembered| {
                let lost = next.registry.sessions.values().cloned().collect();
                change(next, &HashSet::new(), lost);
            };
            Ok(sync::change_offline_after_backup(place, change)?)
        }
        Err(error) => Err(error.into()),
    }
}

pub fn recover(context: &Context, args: &cli::Recover) -> Outcome {
    let place = context.place()?;
    let store = store_of(&place);
    let file = match &args.file {
        Some(file) => PathBuf::from(file),
        None => {
            let newest = store.backups()?.into_iter().next();
            newest.ok_or("there is no backup: roster backup makes one")?.path
        }
    };
    if !file.exists() {
        return Err(format!("{} is not there: roster backups lists what is", file.display()).into());
    }
    let saved = Store::new(&file).read().map_err(|error| match error {
        // What would mend the registry touches no other file.
        StoreError::Damaged { path, reason } => Failure::from(format!(
            "{} is no registry that can be read: {reason}; nothing was changed, roster backups \
             lists what can be recovered",
            path.display()
        )),
        error => error.into(),
    })?;
    let sessions = count(saved.sessions.len(), "session");
    let now = Timestamp::now();
    let kept = change_after_backup(&place, |next, live, lost| {
        let known: HashSet<&str> = saved.sessions.values().map(|s| s.uuid.as_str()).collect();
        let closed = |session| ClosedSession { session, closed_at: now, unproven: None };
        let lost = lost.into_iter().filter(|session| !known.contains(session.uuid.as_str()));
        next.closed.closed.retain(|entry| !known.contains(entry.session.uuid.as_str()));
        next.closed.push_all(lost.map(closed).collect());
        let current = std::mem::take(&mut next.registry.sessions);
        for (name, mut session) in saved.sessions.clone() {
            if !live.contains(&session.uuid) {
                session.last_health_status = health::RECOVERED.into();
                session.last_health_at = now;
                next.registry.sessions.insert(name, session);
            }
        }
        // Those that live keep their records, and their names.
        for (name, session) in current.into_iter().filter(|(_, s)| live.contains(&s.uuid)) {
            if let Some(stranger) = next.registry.sessions.insert(name, session) {
                let unproven = None;
                next.closed.push(ClosedSession { session: stranger, closed_at: now, unproven });
            }
        }
        next.registry.extra = saved.extra.clone();
    })?;
    let mut text = format!("recovered {sessions} from {}", file.display());
    if let Some(kept) = kept {
        text.push_str(&format!("; what was there is {}", kept.display()));
    }
    print(&(visible(&text) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub fn mode(context: &Context, args: &cli::Mode) -> Outcome {
    let place = context.place()?;
    if args.next && args.mode.is_some() {
        return Err(Failure::Usage("mode takes a mode or --next, not both".into()));
    }
    if args.mode.as_deref() == Some("") {
        return Err(Failure::Usage("a mode is a word, such as safe".into()));
    }
    if args.mode.is_none() && !args.next {
        let mode = mode_of(&place, &args.name)?;
        print(&format!("{}\n", visible(&mode)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = store_of(&place);
    let mut transaction = match Transaction::begin(&place, &store, Trigger::Person) {
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let mode = args.mode.as_ref().ok_or("no tmux server runs that knows @roster-modes")?;
            let mut found = Ok(());
            sync::change_offline(&place, |next| {
                let session = named(next, None, &args.name);
                found = session.map(|session| session.mode.clone_from(mode));
                found.is_ok()
            })?;
            found?;
            return Ok(ExitCode::SUCCESS);
        }
        begun => begun?,
    };
    transaction.bring_into_step()?;
    let mut next = transaction.remembered.clone();
    let session = named(&mut next, Some(&transaction), &args.name)?;
    let mode = match &args.mode {
        Some(mode) => {
            warn_of_mode(mode, &transaction.settings.modes);
            mode.clone()
        }
        None => next_mode(&transaction.settings.modes, &session.mode),
    };
    session.mode.clone_from(&mode);
    transaction.commit(next, None)?;
    transaction.bring_into_step()?;
    if args.next {
        print(&format!("{}\n", visible(&mode)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The mode of a live or lost session, without the lock.
fn mode_of(place: &Place, name: &str) -> Result<String, Failure> {
    let view = super::list::view(place)?;
    Ok(lost_or_live(&view, name)?.session.mode.clone())
}

fn lost_or_live<'a>(view: &'a View, name: &str) -> Result<&'a Row, Failure> {
    let row = view.named(name).ok_or_else(|| not_found(name, view.names()))?;
    match row.state {
        State::Closed => Err(is_closed(&row.session, name)),
        State::Live | State::Lost | State::Unreachable => Ok(row),
    }
}

/// What is said of a closed session: how it is come by is as the user called it, since its name may
/// be another's by now.
fn is_closed(session: &Session, called: &str) -> Failure {
    format!("session {:?} is closed: roster reopen {}", session.name, to_paste(called)).into()
}

/// A live or lost session.
fn named<'a>(
    next: &'a mut Remembered,
    transaction: Option<&Transaction<'_>>,
    name: &str,
) -> Result<&'a mut Session, Failure> {
    let sessions = &mut next.registry.sessions;
    let key = Target::parse(name).among(sessions.iter(), |(_, session)| session);
    let key = key.map(|(key, _)| key.clone());
    let closed = Target::parse(name).among(next.closed.closed.iter(), |entry| &entry.session);
    let error = match closed {
        Some(ClosedSession { session, .. }) => {
            match transaction.and_then(|transaction| left_alone(transaction, &session.uuid)) {
                Some(live) => lives_left_alone(&session.name, live),
                None => is_closed(session, name),
            }
        }
        None => not_found(name, sessions.keys().map(String::as_str)),
    };
    key.and_then(|key| sessions.get_mut(&key)).ok_or(error)
}

fn next_mode(modes: &[String], current: &str) -> String {
    let at = modes.iter().position(|mode| mode == current).map_or(0, |at| at + 1);
    modes[at % modes.len()].clone()
}

/// A mode is any word, but one that *next mode* never comes to may be a slip of the pen.
pub fn warn_of_mode(mode: &str, modes: &[String]) {
    if !modes.iter().any(|known| known == mode) {
        warn(&format!(
            "mode {mode} is not in @roster-modes ({}): set all the same",
            modes.join(" ")
        ));
    }
}

pub fn health(context: &Context, args: &cli::Health) -> Outcome {
    #[derive(Serialize)]
    struct Checked {
        name: String,
        status: String,
        workdir: String,
        checked_at: Timestamp,
    }
    if args.all && args.name.is_some() {
        return Err(Failure::Usage("health takes a name or --all, not both".into()));
    }
    let place = context.place()?;
    let store = store_of(&place);
    let now = Timestamp::now();
    let mut checked = Vec::new();
    let mut is_whole = true;
    match Transaction::begin(&place, &store, Trigger::Person) {
        Ok(mut transaction) => {
            transaction.bring_into_step()?;
            let mut next = transaction.remembered.clone();
            let live = transaction.live();
            let wanted = match (&args.name, args.all) {
                (Some(name), _) => Some(named(&mut next, Some(&transaction), name)?.uuid.clone()),
                (None, false) if context.is_inside() => {
                    let client = super::life::client(context, &place, None)?;
                    let uuid = client.map(|client| live.get(&client.session).cloned());
                    uuid.map(|uuid| uuid.ok_or("this session is not recorded: name one, or --all"))
                        .transpose()?
                }
                _ => None,
            };
            let until = Instant::now() + HEALTH_LIMIT;
            for session in next.registry.sessions.values_mut() {
                if wanted.as_ref().is_some_and(|uuid| *uuid != session.uuid) {
                    continue;
                }
                if Instant::now() >= until {
                    warn("directories take too long to answer: the rest was not checked");
                    is_whole = false;
                    break;
                }
                let id = live.iter().find(|(_, uuid)| **uuid == session.uuid).map(|(id, _)| *id);
                let snapshot = &transaction.answer.snapshot;
                let alive = id.and_then(|id| snapshot.sessions.iter().find(|live| live.id == id));
                let exact = next.memory.exact.get(&session.uuid);
                let status = match alive {
                    None => Some(health::NO_SERVER.to_owned()),
                    Some(alive) => {
                        health::check(&place.tmux, session, exact, alive, transaction.deadline())
                    }
                };
                let Some(status) = status else {
                    warn(&format!("the directory of {:?} does not answer", session.name));
                    is_whole = false;
                    continue;
                };
                session.last_health_status.clone_from(&status);
                session.last_health_at = now;
                checked.push(Checked {
                    name: session.name.clone(),
                    status,
                    workdir: session.workdir.clone(),
                    checked_at: now,
                });
            }
            transaction.commit(next, None)?;
            transaction.bring_into_step()?;
        }
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let view = super::list::without_server(sync::peek(&place)?);
            let rows = match &args.name {
                Some(name) => vec![lost_or_live(&view, name)?.clone()],
                None => view.rows,
            };
            let lost = rows.into_iter().filter(|row| row.state == State::Lost);
            checked.extend(lost.map(|Row { session, .. }| Checked {
                name: session.name,
                status: health::NO_SERVER.into(),
                workdir: session.workdir,
                checked_at: now,
            }));
        }
        Err(error) => return Err(error.into()),
    }
    if args.json {
        json(&checked)?;
    } else {
        let mut text = String::new();
        for one in &checked {
            text.push_str(&format!("{:<16} {}\n", one.status, visible(&one.name)));
        }
        print(&text)?;
    }
    let well = is_whole && checked.iter().all(|one| health::is_well(&one.status));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
