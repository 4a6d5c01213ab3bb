//! Whether what is remembered is of the server that answers, or of one that still runs somewhere.

use super::SyncError;
use crate::config::Place;
use crate::host;
use crate::model::host::{Whereabouts, whereabouts};
use crate::model::memory::Memory;
use crate::model::snapshot::ServerId;
use crate::tmux::TmuxError;

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
    let shares_sockets = shares_sockets(place, memory);
    let is_another = memory.server.is_some_and(|before| before != server)
        || !is_current && !shares_sockets && host::is_of_another(memory, &here);
    if is_another {
        let runs = host::runs_here(memory, &here);
        match whereabouts(memory.host.as_ref(), &here, runs, shares_sockets) {
            Whereabouts::Here if memory.server == Some(server) => {
                memory.server = None;
                memory.sessions.clear();
            }
            Whereabouts::Here => {}
            Whereabouts::WithoutSocket => memory.leave_running(),
            Whereabouts::Elsewhere => return Err(elsewhere(place, memory, true)),
        }
    }
    memory.unreachable.retain(|other| {
        let runs = host::is_running(other.server, other.started, None, &here);
        runs && other.server != server && !other.uuids.is_empty()
    });
    Ok(is_current)
}

/// Before what is remembered counts as lost, since no server answers: one may run where we cannot
/// see it, as a sandbox in one of its panes cannot.
///
/// # Errors
/// The folder is another host's, whose server may still run.
pub fn refuse_elsewhere(place: &Place, memory: &Memory) -> Result<(), SyncError> {
    let (here, shares_sockets) = (host::here(), shares_sockets(place, memory));
    // What is seen to run here is no other host's, whatever this one is called now.
    if host::runs_here(memory, &here) {
        return Ok(());
    }
    match whereabouts(memory.host.as_ref(), &here, false, shares_sockets) {
        Whereabouts::Elsewhere if memory.server.is_some() => Err(elsewhere(place, memory, false)),
        _ => Ok(()),
    }
}

/// Whether the server of this memory had its socket where ours is.
fn shares_sockets(place: &Place, memory: &Memory) -> bool {
    memory.sockets.is_some() && memory.sockets == host::sockets(&place.tmux.socket)
}

fn elsewhere(place: &Place, memory: &Memory, answers: bool) -> SyncError {
    let node = memory.host.as_ref().map_or("", |host| &host.node).to_owned();
    SyncError::Elsewhere { dir: place.dir.clone(), node, answers }
}

/// What it means that no server answers: the one that is remembered may still run, or one that it
/// took the place of.
pub fn without_socket(error: TmuxError, memory: &Memory) -> TmuxError {
    match (error, running(memory)) {
        (TmuxError::NoServer { socket }, Some(pid)) => TmuxError::Unreachable { socket, pid },
        (error, _) => error,
    }
}

/// The process of a server of this memory that runs on this host.
fn running(memory: &Memory) -> Option<u32> {
    if memory.server.is_none() && memory.unreachable.is_empty() {
        return None;
    }
    let here = host::here();
    let last = memory.server.filter(|_| host::runs_here(memory, &here));
    let before = || {
        let mut others = memory.unreachable.iter();
        let other = others.find(|o| host::is_running(o.server, o.started, None, &here));
        other.map(|other| other.server)
    };
    last.or_else(before).map(|server| server.pid)
}
