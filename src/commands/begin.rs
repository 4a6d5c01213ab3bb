//! How a typed command begins: with a server or without, or with one that is started for it.

use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::tmux::{ANSWER_LIMIT, TmuxError, server};
use tmux_roster::transaction::{Sight, SyncError, Transaction, World};
use tmux_roster::{Session, Store, persist};

use super::context::{Failure, store_of};
use super::output::{visible, warn};
use super::target::{Target, not_found};

/// Whether nothing is recorded for this socket, and no server behind it has anything to record: then
/// nothing is made there, neither a folder nor a server, as for a name that is mistyped.
///
/// # Errors
/// tmux fails.
pub fn is_nowhere(place: &Place) -> Result<bool, TmuxError> {
    let is_missing = |error: std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
    if !std::fs::symlink_metadata(&place.dir).is_err_and(is_missing) {
        return Ok(false);
    }
    match place.ask(Instant::now() + ANSWER_LIMIT) {
        Err(TmuxError::NoServer { .. }) => Ok(true),
        // A server without sessions is one.
        Ok(_) | Err(TmuxError::Empty) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether no server runs, nor one that cannot be reached: for what needs none where there is
/// nothing to bring back.
pub fn no_server_runs(place: &Place) -> Result<bool, Failure> {
    match begin_anywhere(place, &store_of(place)) {
        Ok(World::NoServer(_)) | Err(SyncError::Tmux(TmuxError::NoServer { .. })) => Ok(true),
        Ok(World::Server(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The world as it is: in step already where a server runs.
pub fn begin_anywhere<'a>(place: &'a Place, store: &'a Store) -> Result<World<'a>, SyncError> {
    if is_nowhere(place)? {
        return Err(TmuxError::NoServer { socket: place.tmux.socket.clone() }.into());
    }
    let mut world = World::begin(place, store)?;
    if let Some(mended) = world.mended() {
        warn(&visible(&mended));
    }
    if let World::Server(transaction) = &mut world {
        transaction.bring_into_step()?;
    }
    Ok(world)
}

/// Changes what is remembered, with a server or without: `change` is given it as it is now, to
/// make it what it is to be. Where that fails, nothing is changed.
pub fn change<T>(
    place: &Place,
    change: impl FnOnce(&mut Remembered, &World<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = store_of(place);
    let world = begin_anywhere(place, &store)?;
    let mut next = world.remembered().clone();
    let done = change(&mut next, &world)?;
    world.commit(next)?;
    Ok(done)
}

/// A transaction with the server that runs.
pub fn begin<'a>(place: &'a Place, store: &'a Store) -> Result<Transaction<'a>, SyncError> {
    begin_anywhere(place, store)?.with_server()
}

/// The same where there may be no server yet: then one is started, which ends with its last
/// session as the user's configuration has it once `act` has made one. None is started for names
/// that stand nowhere.
pub fn with_server<T>(
    place: &Place,
    needed: &[&String],
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_any_server(place, needed, false, act)
}

/// The same; with `force` also where one runs that cannot be reached.
pub fn with_any_server<T>(
    place: &Place,
    needed: &[&String],
    force: bool,
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = store_of(place);
    let (begun, ends) = begin_or_start(place, &store, needed, force)?;
    let done = begun.and_then(|mut transaction| act(&mut transaction));
    if ends {
        server::let_end(&place.tmux);
    }
    done
}

/// The transaction, and whether the server was started for it and is to be let end.
fn begin_or_start<'a>(
    place: &'a Place,
    store: &'a Store,
    needed: &[&String],
    force: bool,
) -> Result<(Result<Transaction<'a>, Failure>, bool), Failure> {
    match begin(place, store) {
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {}
        Err(SyncError::Tmux(TmuxError::Unreachable { .. })) if force => {}
        begun => return Ok((begun.map_err(Failure::from), false)),
    }
    let there = persist::peek(place)?;
    let sessions: Vec<&Session> = (there.registry.sessions.values())
        .chain(there.closed.closed.iter().map(|entry| &entry.session))
        .collect();
    for name in needed {
        if Target::parse(name).among(sessions.iter().copied(), |session| session).is_none() {
            return Err(not_found(name, sessions.iter().map(|session| session.name.as_str())));
        }
    }
    let ends = server::start(&place.tmux)?;
    Ok((begin(place, store).map_err(Failure::from), ends))
}

pub fn require_server(place: &Place) -> impl FnOnce(SyncError) -> Failure + use<> {
    let socket = place.tmux.socket.clone();
    move |error| match error {
        SyncError::Tmux(TmuxError::NoServer { .. }) => Failure::from(format!(
            "no tmux server is running on {}: start tmux, or run roster restore --all",
            socket.display()
        )),
        error => error.into(),
    }
}
