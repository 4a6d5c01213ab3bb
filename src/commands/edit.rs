//! Changing what a session is called and how it is run: rename, mode, health.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tmux_roster::config::Place;
use tmux_roster::model::memory::ClosedSession;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::tmux::ANSWER_LIMIT;
use tmux_roster::tmux::text::{escape_name, line};
use tmux_roster::transaction::{Sight, World};
use tmux_roster::{Session, StoreError, Timestamp, health, store, validate_name};

use super::begin::{begin_anywhere, change};
use super::bring_back::ignored;
use super::client::client;
use super::context::{Context, Failure, Outcome, store_of};
use super::inspect::{State, view};
use super::output::{json, name_to_paste, print, to_paste, visible, warn};
use super::target::{Found, Target, find, left_alone, lives_left_alone, not_found};
use crate::cli;

pub fn rename(context: &Context, args: &cli::Rename) -> Outcome {
    validate_name(&args.new)?;
    let place = context.place()?;
    let store = store_of(&place);
    let world = begin_anywhere(&place, &store)?;
    let found = find(&world, &args.old)?;
    if world.server().is_some_and(|transaction| transaction.is_ignored(&args.new)) {
        return Err(ignored(&args.new));
    }
    let old = found.name().to_owned();
    if old == args.new && matches!(found, Found::Live(..) | Found::Lost(_)) {
        return Ok(ExitCode::SUCCESS);
    }
    if world.remembered().registry.sessions.contains_key(&args.new) {
        return Err(StoreError::AlreadyExists(args.new.clone()).into());
    }
    match (found, world) {
        // tmux is told first, and the record follows.
        (Found::Live(id, _), World::Server(mut transaction)) => {
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
        (Found::Live(..) | Found::Lost(_), world) => {
            let mut next = world.remembered().clone();
            store::rename(&mut next.registry, &old, &args.new)?;
            world.commit(next)?;
        }
        (Found::Closed(_), _) => {
            let new = to_paste(&args.new);
            let hint = format!("run roster reopen --as {new} {}", name_to_paste(&args.old));
            return Err(format!("session {old:?} is closed: {hint}").into());
        }
        (Found::LeftAlone(_, live), _) => return Err(lives_left_alone(&old, &live)),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn mode(context: &Context, args: &cli::Mode) -> Outcome {
    let place = context.place()?;
    if args.next && args.mode.is_some() {
        return Err(Failure::usage("mode takes a mode or --next, not both".into()));
    }
    if args.mode.as_deref() == Some("") {
        return Err(Failure::usage("the mode is empty: use a word such as safe".into()));
    }
    if args.mode.is_none() && !args.next {
        let mode = mode_of(&place, &args.name)?;
        print(&format!("{}\n", visible(&mode)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mode = change(&place, |next, world| {
        let modes = world.server().map(|transaction| &transaction.settings.modes);
        let session = named(next, world, &args.name)?;
        let unknown = "no tmux server is running, so @roster-modes is unknown: name the mode";
        session.mode = match (&args.mode, modes) {
            (Some(mode), modes) => {
                modes.inspect(|modes| warn_of_mode(mode, modes));
                mode.clone()
            }
            (None, modes) => next_mode(modes.ok_or(unknown)?, &session.mode),
        };
        Ok(session.mode.clone())
    })?;
    if args.next {
        print(&format!("{}\n", visible(&mode)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The mode of a live or lost session, without the lock.
fn mode_of(place: &Place, name: &str) -> Result<String, Failure> {
    let view = view(place)?;
    let row = view.named(name).ok_or_else(|| not_found(name, &mut view.names()))?;
    match row.state {
        State::Closed => Err(is_closed(&row.session, name)),
        State::Live | State::Lost | State::Unreachable => Ok(row.session.mode.clone()),
    }
}

/// The error for a closed session. The hint repeats what the user typed: the name may have been
/// taken since.
fn is_closed(session: &Session, called: &str) -> Failure {
    format!("session {:?} is closed: run roster reopen {}", session.name, name_to_paste(called))
        .into()
}

/// The record of a live or lost session, or of one out of reach.
fn named<'a>(
    next: &'a mut Remembered,
    world: &World<'_>,
    name: &str,
) -> Result<&'a mut Session, Failure> {
    let sessions = &mut next.registry.sessions;
    let key = Target::parse(name).among(sessions.iter(), |(_, session)| session);
    let key = key.map(|(key, _)| key.clone());
    let closed = Target::parse(name).among(next.closed.closed.iter(), |entry| &entry.session);
    let error = match closed {
        Some(ClosedSession { session, .. }) => match left_alone(world, &session.uuid) {
            Some(live) => lives_left_alone(&session.name, live),
            None => is_closed(session, name),
        },
        None => not_found(name, &mut sessions.keys().map(String::as_str)),
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
        return Err(Failure::usage("health takes a name or --all, not both".into()));
    }
    let place = context.place()?;
    let now = Timestamp::now();
    let mut is_whole = true;
    let checked = change(&place, |next, world| {
        let wanted = match &args.name {
            Some(name) => Some(named(next, world, name)?.uuid.clone()),
            None if !args.all && context.is_inside() && world.server().is_some() => {
                let client = client(context, &place, None)?;
                let known = client.map(|client| next.memory.sessions.get(&client.session));
                let known = known.map(|known| {
                    known.ok_or("this session is not recorded: name another, or use --all")
                });
                known.transpose()?.map(|known| known.uuid.clone())
            }
            None => None,
        };
        let until = Instant::now() + HEALTH_LIMIT;
        let mut checked = Vec::new();
        for session in next.registry.sessions.values_mut() {
            if wanted.as_ref().is_some_and(|uuid| *uuid != session.uuid) {
                continue;
            }
            if Instant::now() >= until {
                warn("directories take too long to respond: the rest was not checked");
                is_whole = false;
                break;
            }
            let id = next.memory.id_of(&session.uuid);
            let alive = world.sessions().iter().find(|live| Some(live.id) == id);
            let exact = next.memory.exact.get(&session.uuid);
            let status = match alive {
                None if world.server().is_some() => Some(health::LOST.to_owned()),
                None => Some(health::NO_SERVER.to_owned()),
                Some(alive) => {
                    let deadline = Instant::now() + ANSWER_LIMIT;
                    health::check(&place.tmux, session, exact, alive, deadline)
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
        Ok(checked)
    })?;
    if args.json {
        json(&checked)?;
    } else {
        let mut text = String::new();
        if checked.is_empty() && is_whole {
            text.push_str("there are no sessions to check\n");
        }
        for one in &checked {
            text.push_str(&format!("{:<16} {}\n", one.status, visible(&one.name)));
        }
        print(&text)?;
    }
    let well = is_whole && checked.iter().all(|one| health::is_well(&one.status));
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
