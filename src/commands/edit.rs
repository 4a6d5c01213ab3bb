//! Changing what a session is called and how it is run: rename, mode, health.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tmux_roster::config::Place;
use tmux_roster::model::memory::ClosedSession;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::tmux::TmuxError;
use tmux_roster::tmux::text::{escape_name, line};
use tmux_roster::transaction::{self, SyncError, Transaction, Trigger};
use tmux_roster::{Session, Timestamp, health, persist, validate_name};

use super::begin::begin;
use super::bring_back::ignored;
use super::client::client;
use super::context::{Context, Failure, Outcome, store_of};
use super::inspect::{Row, State, View, view, without_server};
use super::output::{json, print, to_paste, visible, warn};
use super::target::{Found, Target, find, left_alone, lives_left_alone, not_found};
use crate::cli;

pub fn rename(context: &Context, args: &cli::Rename) -> Outcome {
    validate_name(&args.new)?;
    let place = context.place()?;
    let store = store_of(&place);
    let mut transaction = match begin(&place, &store) {
        // Without a server everything is in the file.
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let mut renamed = Ok(());
            transaction::change_offline(&place, |next| {
                let sessions = next.registry.sessions.values();
                let found = Target::parse(&args.old).among(sessions, |session| session);
                let old = found.map_or_else(|| args.old.clone(), |session| session.name.clone());
                renamed = tmux_roster::store::rename(&mut next.registry, &old, &args.new);
                renamed.is_ok()
            })?;
            renamed?;
            return Ok(ExitCode::SUCCESS);
        }
        begun => begun?,
    };
    let found = find(&transaction, &args.old)?;
    if transaction.is_ignored(&args.new) {
        return Err(ignored(&args.new));
    }
    let old = found.name().to_owned();
    if transaction.remembered.registry.sessions.contains_key(&args.new) {
        return Err(tmux_roster::StoreError::AlreadyExists(args.new.clone()).into());
    }
    match found {
        Found::Live(id, _) => {
            let name = escape_name(args.new.as_bytes(), transaction.version());
            let target = id.to_string();
            transaction.run(&[line(&[
                b"rename-session",
                b"-t",
                target.as_bytes(),
                b"--",
                &name,
            ])])?;
            transaction.look_again()?;
            transaction.bring_into_step()?;
            if !transaction.remembered.registry.sessions.contains_key(&args.new) {
                return Err(format!("tmux did not rename {old:?} to {:?}", args.new).into());
            }
        }
        Found::Lost(session) => {
            let mut next = transaction.remembered.clone();
            next.registry.sessions.remove(&session.name);
            let renamed = Session { name: args.new.clone(), ..session };
            next.registry.sessions.insert(args.new.clone(), renamed);
            transaction.commit(next, None)?;
        }
        Found::Closed(_) => {
            let hint = format!("run roster reopen {} --as {}", to_paste(&old), to_paste(&args.new));
            return Err(format!("session {old:?} is closed: {hint}").into());
        }
        Found::LeftAlone(_, live) => return Err(lives_left_alone(&old, &live)),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn mode(context: &Context, args: &cli::Mode) -> Outcome {
    let place = context.place()?;
    if args.next && args.mode.is_some() {
        return Err(Failure::Usage("mode takes a mode or --next, not both".into()));
    }
    if args.mode.as_deref() == Some("") {
        return Err(Failure::Usage("the mode is empty: use a word such as safe".into()));
    }
    if args.mode.is_none() && !args.next {
        let mode = mode_of(&place, &args.name)?;
        print(&format!("{}\n", visible(&mode)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let store = store_of(&place);
    let mut transaction = match Transaction::begin(&place, &store, Trigger::Person) {
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let mode = args
                .mode
                .as_ref()
                .ok_or("no tmux server is running, so @roster-modes is unknown: name the mode")?;
            let mut found = Ok(());
            transaction::change_offline(&place, |next| {
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
    let view = view(place)?;
    Ok(lost_or_live(&view, name)?.session.mode.clone())
}

fn lost_or_live<'a>(view: &'a View, name: &str) -> Result<&'a Row, Failure> {
    let row = view.named(name).ok_or_else(|| not_found(name, view.names()))?;
    match row.state {
        State::Closed => Err(is_closed(&row.session, name)),
        State::Live | State::Lost | State::Unreachable => Ok(row),
    }
}

/// The error for a closed session. The hint repeats what the user typed: the name may have been
/// taken since.
fn is_closed(session: &Session, called: &str) -> Failure {
    format!("session {:?} is closed: run roster reopen {}", session.name, to_paste(called)).into()
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
        warn(&format!("mode {mode} is not in @roster-modes ({}): set anyway", modes.join(" ")));
    }
}

/// How long all directories may take together: the lock is held meanwhile.
const HEALTH_LIMIT: Duration = Duration::from_secs(3);

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
                    let client = client(context, &place, None)?;
                    let uuid = client.map(|client| live.get(&client.session).cloned());
                    uuid.map(|uuid| {
                        uuid.ok_or("this session is not recorded: name another, or use --all")
                    })
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
                    warn("directories take too long to respond: the rest was not checked");
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
                    warn(&format!("the directory of {:?} does not respond", session.name));
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
            let view = without_server(persist::peek(&place)?);
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
