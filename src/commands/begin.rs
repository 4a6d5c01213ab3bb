//! How a typed command begins: with a server or without, or with one that is started for it.

use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::reconcile::end_with_server;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::tmux::{ANSWER_LIMIT, TmuxError, server};
use tmux_roster::transaction::{Sight, SyncError, Transaction, World};
use tmux_roster::{Session, Store, files, persist};

use super::context::{Failure, store_of};
use super::output::{visible, warn};
use super::target::{Target, not_found};

/// Whether nothing is recorded for this socket, and no server behind it has anything to record: then
/// nothing is made there, neither a folder nor a server, as for a name that is mistyped.
///
/// # Errors
/// The file system or tmux fails.
pub fn is_nowhere(place: &Place) -> Result<bool, SyncError> {
    if files::is_there(&place.dir)? {
        return Ok(false);
    }
    match place.ask(Instant::now() + ANSWER_LIMIT) {
        Err(TmuxError::NoServer { .. }) => Ok(true),
        // A server without sessions is one.
        Ok(_) | Err(TmuxError::Empty) => Ok(false),
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
/// session as the user's configuration has it once `act` has made one.
pub fn with_server<T>(
    place: &Place,
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let done = with_any_server(place, &|_| Ok(true), false, act)?;
    done.ok_or_else(|| "no tmux server was started".into())
}

/// The same, but none is started, and nothing done, if what is remembered is not to `need` one; with
/// `force` also where one runs that cannot be reached.
pub fn with_any_server<T>(
    place: &Place,
    need: &dyn Fn(&Remembered) -> Result<bool, Failure>,
    force: bool,
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let store = store_of(place);
    let Some((mut transaction, ends)) = begin_or_start(place, &store, need, force)? else {
        return Ok(None);
    };
    let done = act(&mut transaction);
    drop(transaction);
    if ends {
        server::let_end(&place.tmux);
    }
    done.map(Some)
}

/// A transaction with that server, and whether it was started and is to end with its last session.
fn begin_or_start<'a>(
    place: &'a Place,
    store: &'a Store,
    need: &dyn Fn(&Remembered) -> Result<bool, Failure>,
    force: bool,
) -> Result<Option<(Transaction<'a>, bool)>, Failure> {
    match begin(place, store) {
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {}
        Err(SyncError::Tmux(TmuxError::Unreachable { .. })) if force => {}
        begun => return Ok(Some((begun?, false))),
    }
    let mut there = persist::peek(place)?;
    end_with_server(&mut there);
    if !need(&there)? {
        return Ok(None);
    }
    let ends = server::start(&place.tmux, &persist::config_files(place))?;
    let begun = begin(place, store);
    if ends && begun.is_err() {
        server::let_end(&place.tmux);
    }
    Ok(Some((begun?, ends)))
}

/// Whether these names stand somewhere.
///
/// # Errors
/// One does not.
pub fn need_names(there: &Remembered, names: &[String]) -> Result<bool, Failure> {
    let closed = there.closed.closed.iter().map(|entry| &entry.session);
    let sessions: Vec<&Session> = there.registry.sessions.values().chain(closed).collect();
    for name in names {
        if Target::parse(name).among(sessions.iter().copied(), |session| session).is_none() {
            return Err(not_found(name, &mut sessions.iter().map(|session| session.name.as_str())));
        }
    }
    Ok(true)
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
