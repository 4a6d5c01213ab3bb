//! How a typed command begins: with a server or without, or with one that is started for it.

use tmux_roster::config::Place;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::tmux::{TmuxError, server};
use tmux_roster::transaction::{Sight, SyncError, Transaction, World};
use tmux_roster::{Session, Store, persist};

use super::context::{Failure, store_of};
use super::output::{visible, warn};
use super::target::{Target, not_found};

/// The world as it is: in step already where a server runs.
pub fn begin_anywhere<'a>(place: &'a Place, store: &'a Store) -> Result<World<'a>, SyncError> {
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
