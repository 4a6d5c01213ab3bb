//! The records with the server whose sessions they are, or where none runs: a typed change is
//! written once, and carried through in either.

use std::cell::OnceCell;
use std::path::PathBuf;

use super::throttle::begin_query;
use super::{SyncError, Transaction, Trigger, refuse_elsewhere};
use crate::config::Place;
use crate::history::{self, of_change};
use crate::model::reconcile::end_with_server;
use crate::model::remembered::Remembered;
use crate::model::snapshot::LiveSession;
use crate::persist::{backup, load, write_in_order};
use crate::store::{Locked, Store, StoreError};
use crate::tmux::TmuxError;
use crate::tmux::server::JobServer;

/// What a typed command finds, under the lock.
#[derive(Debug)]
pub enum World<'a> {
    /// A server runs.
    Server(Transaction<'a>),
    /// None does, nor one that cannot be reached.
    NoServer(Offline<'a>),
}

/// What is remembered and what lives, at one moment.
pub trait Sight {
    /// What is remembered.
    fn remembered(&self) -> &Remembered;
    /// What lives: nothing where no server runs.
    fn sessions(&self) -> &[LiveSession];
}

impl Sight for Transaction<'_> {
    fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    fn sessions(&self) -> &[LiveSession] {
        &self.answer.snapshot.sessions
    }
}

impl Sight for World<'_> {
    fn remembered(&self) -> &Remembered {
        match self {
            World::Server(transaction) => &transaction.remembered,
            World::NoServer(offline) => offline.remembered(),
        }
    }

    fn sessions(&self) -> &[LiveSession] {
        self.server().map_or(&[], Sight::sessions)
    }
}

impl<'a> World<'a> {
    /// Takes the lock, reads the files and asks tmux.
    ///
    /// # Errors
    /// Somebody holds the lock, a file or tmux fails, or a server may run that cannot be asked.
    pub fn begin(place: &'a Place, store: &'a Store) -> Result<World<'a>, SyncError> {
        let (locked, trigger) = (store.lock()?, Trigger::Person);
        let begun = begin_query(&locked, trigger);
        let world =
            Transaction::begin_or_offline(place, locked, begun, trigger, &JobServer::Lives)?;
        if let World::NoServer(offline) = &world {
            refuse_elsewhere(place, &offline.loaded.memory)?;
        }
        Ok(world)
    }

    /// The server, if one runs.
    pub fn server(&self) -> Option<&Transaction<'a>> {
        match self {
            World::Server(transaction) => Some(transaction),
            World::NoServer(_) => None,
        }
    }

    /// For what needs a server.
    ///
    /// # Errors
    /// None runs.
    pub fn with_server(self) -> Result<Transaction<'a>, SyncError> {
        match self {
            World::Server(transaction) => Ok(transaction),
            World::NoServer(Offline { place, .. }) => {
                Err(TmuxError::NoServer { socket: place.tmux.socket.clone() }.into())
            }
        }
    }

    /// What was mended of the files, in words, if it was not told yet.
    pub fn mended(&mut self) -> Option<String> {
        match self {
            World::Server(transaction) => transaction.mended.take(),
            World::NoServer(offline) => offline.mended.take(),
        }
    }

    /// Backs up the registry as it is now, also one that was gone or damaged until just now; `None`
    /// if there is none.
    ///
    /// # Errors
    /// The backup cannot be made.
    pub fn backup(&self) -> Result<Option<PathBuf>, StoreError> {
        match self {
            World::Server(transaction) => backup(&transaction.locked),
            World::NoServer(offline) => backup(&offline.locked),
        }
    }

    /// Writes what changed, and tells tmux where a server runs.
    ///
    /// # Errors
    /// As for [`Transaction::bring_into_step`].
    pub fn commit(self, next: Remembered) -> Result<(), SyncError> {
        match self {
            World::Server(mut transaction) => {
                let entries = of_change(&transaction.remembered, &next);
                transaction.commit(next, None)?;
                transaction.note(&entries);
                transaction.bring_into_step().map(drop)
            }
            World::NoServer(offline) => offline.commit(&next),
        }
    }
}

/// The files alone: where no server runs, what is recorded is all there is.
#[derive(Debug)]
pub struct Offline<'a> {
    place: &'a Place,
    locked: Locked<'a>,
    loaded: Remembered,
    ended: OnceCell<Remembered>,
    mended: Option<String>,
}

impl<'a> Offline<'a> {
    /// Takes the lock and reads the files, and asks no tmux.
    ///
    /// # Errors
    /// Somebody holds the lock, or a file fails.
    pub fn begin(place: &'a Place, store: &'a Store) -> Result<Offline<'a>, SyncError> {
        let locked = store.lock()?;
        let loaded = load(place, &locked)?;
        Ok(Offline::new(place, locked, loaded))
    }

    pub(super) fn new(
        place: &'a Place,
        locked: Locked<'a>,
        (loaded, mended): (Remembered, Option<String>),
    ) -> Offline<'a> {
        Offline { place, locked, loaded, ended: OnceCell::new(), mended }
    }

    /// What is remembered now that the server has ended: nothing lives.
    pub fn remembered(&self) -> &Remembered {
        self.ended.get_or_init(|| {
            let mut remembered = self.loaded.clone();
            end_with_server(&mut remembered);
            remembered.memory.sessions.clear();
            remembered.memory.unreachable.clear();
            remembered
        })
    }

    /// Writes what changed. The memory stays as it is: by it the next server finds what was lost.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn commit(self, next: &Remembered) -> Result<(), SyncError> {
        let entries = of_change(self.remembered(), next);
        write_in_order(self.place, &self.locked, &self.loaded, next)?;
        history::note(self.place, None, &entries);
        Ok(())
    }
}
