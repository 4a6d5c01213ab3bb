//! A transaction for a typed command, with a server started for it where there is none.

use tmux_roster::config::Place;
use tmux_roster::tmux::{TmuxError, server};
use tmux_roster::transaction::{SyncError, Transaction, Trigger};
use tmux_roster::{Session, Store, persist};

use super::context::{Failure, store_of};
use super::output::{visible, warn};
use super::target::{Target, not_found};

/// A transaction that is in step already.
pub fn begin<'a>(place: &'a Place, store: &'a Store) -> Result<Transaction<'a>, SyncError> {
    let mut transaction = Transaction::begin(place, store, Trigger::Person)?;
    if let Some(mended) = transaction.mended.take() {
        warn(&visible(&mended));
    }
    transaction.bring_into_step()?;
    Ok(transaction)
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
