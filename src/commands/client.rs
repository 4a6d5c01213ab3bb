//! Clients: the one that a command was typed in, and taking it to a session.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::snapshot::{ServerId, SessionId};
use tmux_roster::tmux::source::only_on;
use tmux_roster::tmux::text::{exact, line};
use tmux_roster::tmux::{ANSWER_LIMIT, TmuxError};
use tmux_roster::transaction::Transaction;

use super::context::{Context, Failure, Outcome};

/// A session of one server. To another that takes its place, the id is another session's.
#[derive(Clone, Copy)]
pub struct Destination {
    server: ServerId,
    id: SessionId,
}

/// A client and where it is.
pub struct Client {
    pub name: String,
    pub session: SessionId,
    /// The name of the session that it was in before, as long as that lives; else empty.
    pub last: Vec<u8>,
}

pub fn destination(transaction: &Transaction<'_>, id: SessionId) -> Destination {
    Destination { server: transaction.answer.snapshot.server, id }
}

/// The client that a command is to act on: the one named by a key binding, or the one that
/// shows the pane in which the command was typed; `None` outside tmux.
pub fn client(
    context: &Context,
    place: &Place,
    named: Option<&str>,
) -> Result<Option<Client>, Failure> {
    if named.is_none() && !context.is_inside() {
        return Ok(None);
    }
    let deadline = Instant::now() + ANSWER_LIMIT;
    let format = "#{client_activity} #{session_id} #{client_name} #{n:client_last_session} #{client_last_session}";
    let listed = place.tmux.run(&["list-clients", "-F", format], deadline)?;
    // What does not look like a client is the rest of a name with a newline.
    let mut clients: Vec<(u64, SessionId, &str, Vec<u8>)> = (listed.split(|byte| *byte == b'\n'))
        .filter_map(|line| {
            let mut parts = line.splitn(5, |byte| *byte == b' ');
            let mut text = || std::str::from_utf8(parts.next()?).ok();
            let (activity, session, name) = (text()?.parse().ok()?, text()?, text()?);
            let (length, last) = (parts.next()?, parts.next()?);
            Some((activity, SessionId::parse(session)?, name, exact(length, last)))
        })
        .collect();
    if let Some(named) = named {
        clients.retain(|(_, _, name, _)| *name == named);
    } else {
        let session = session_of_pane(context, place)?;
        clients.retain(|(_, of, ..)| Some(*of) == session);
    }
    let newest = clients.into_iter().max();
    Ok(newest.map(|(_, session, name, last)| Client { name: name.to_owned(), session, last }))
}

/// The session that a command was typed in; `None` outside tmux, and where that cannot be told.
pub fn here(context: &Context, place: &Place) -> Option<SessionId> {
    if context.is_inside() { session_of_pane(context, place).ok().flatten() } else { None }
}

fn session_of_pane(context: &Context, place: &Place) -> Result<Option<SessionId>, TmuxError> {
    let Some(pane) = &context.environment.pane else {
        let session = context.environment.tmux.as_ref().map(|(_, id)| format!("${id}"));
        return Ok(session.and_then(|id| SessionId::parse(&id)));
    };
    let show = ["display-message", "-p", "-t", pane, "#{session_id}"];
    let printed = place.tmux.run(&show, Instant::now() + ANSWER_LIMIT)?;
    Ok(SessionId::parse(String::from_utf8_lossy(&printed).trim()))
}

/// Switches the client there, or attaches where there is none.
pub fn go_to(context: &Context, place: &Place, seat: Destination, named: Option<&str>) -> Outcome {
    let target = seat.id.to_string();
    if named.is_none() && !context.is_inside() {
        let attach = line(&[b"attach-session", b"-t", target.as_bytes()]);
        let error = place.tmux.client(&there_or_fail(seat, &attach)).exec();
        return Err(format!("could not start tmux: {error}").into());
    }
    let Some(client) = client(context, place, named)? else {
        return Err("no client is attached to this session, so there is none to switch".into());
    };
    let name = client.name.as_bytes();
    let switch = line(&[b"switch-client", b"-c", name, b"-t", target.as_bytes()]);
    place.tmux.run(&there_or_fail(seat, &switch), Instant::now() + ANSWER_LIMIT)?;
    Ok(ExitCode::SUCCESS)
}

/// The call that runs a command on the seat's server; another one says that it cannot find the
/// session, since there can be none of the last id that there is.
fn there_or_fail(seat: Destination, command: &[u8]) -> Vec<OsString> {
    let mut words = only_on(seat.server, command);
    words.push("has-session -t '$4294967295'".into());
    words
}
