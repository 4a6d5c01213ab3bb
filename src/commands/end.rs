//! Ending sessions, and letting go of what is remembered: kill, forget, clear.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use tmux_roster::model::memory::ClosedSession;
use tmux_roster::model::reconcile::{Event, EventKind};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::tmux::text::line;
use tmux_roster::transaction::{SyncError, Transaction};
use tmux_roster::{Session, Timestamp, persist};

use super::begin::{begin, change, require_server};
use super::client::client;
use super::context::{Context, Failure, Outcome, store_of};
use super::output::{name_to_paste, print, visible, warn};
use super::target::{Found, find, lives_left_alone};
use crate::cli;

pub fn kill(context: &Context, args: &cli::Kill) -> Outcome {
    if context.is_inside() && !args.apart {
        return kill_apart(context, args);
    }
    let place = context.place()?;
    let store = store_of(&place);
    let mut transaction = begin(&place, &store).map_err(require_server(&place))?;
    let (id, session) = match find(&transaction, &args.name)? {
        Found::Live(id, session) => (id, session),
        Found::Lost(Session { name, .. }) => {
            let hint = format!("run roster forget {} to forget it", name_to_paste(&name));
            return Err(format!("session {name:?} is not live: {hint}").into());
        }
        Found::Closed(entry) => {
            return Err(format!("session {:?} is closed already", entry.session.name).into());
        }
        Found::LeftAlone(entry, live) => {
            return Err(lives_left_alone(&entry.session.name, &live));
        }
    };
    let mut lines = Vec::new();
    if let Ok(Some(client)) = client(context, &place, args.client.as_deref()) {
        if client.session == id {
            let Remembered { registry, memory, closed: _ } = &transaction.remembered;
            let others = memory.sessions.iter().filter(|(other, _)| **other != id);
            let previous = others.max_by_key(|(_, known)| {
                registry.by_uuid(&known.uuid).map(|session| session.last_attached_at)
            });
            if let Some((previous, _)) = previous {
                let (name, target) = (client.name.as_bytes(), previous.to_string());
                lines.push(line(&[b"switch-client", b"-c", name, b"-t", target.as_bytes()]));
            }
        }
    }
    let is_clone = transaction.remembered.memory.sessions.get(&id).is_some_and(|known| known.clone);
    let name = session.name.clone();
    let mut next = transaction.remembered.clone();
    let mut events = Vec::new();
    if is_clone {
        next.registry.sessions.remove(&session.name);
    } else {
        events.push(Event { kind: EventKind::Closed, session: session.clone(), old_name: None });
        // What the user ends by our own command is closed at once.
        next.close(session, Timestamp::now());
    }
    transaction.commit(next, None)?;
    lines.extend(unzoom(&transaction, id)?);
    lines.push(line(&[b"kill-session", b"-t", id.to_string().as_bytes()]));
    let server = transaction.answer.snapshot.server;
    let ran = transaction.run(&lines);
    match transaction.look_again() {
        // That was the last session, and the server ended with it.
        Err(SyncError::Tmux(_)) if ran.is_ok() => {}
        Err(error) => {
            ran?;
            return Err(error.into());
        }
        Ok(()) => {
            // To another server the id is another session's.
            let is_same = transaction.answer.snapshot.server == server;
            let mut sessions = transaction.answer.snapshot.sessions.iter();
            let lives = is_same && sessions.any(|live| live.id == id);
            if is_same || ran.is_ok() {
                transaction.bring_into_step()?;
            }
            if lives || !is_same {
                ran?;
            }
            if lives {
                return Err(format!("tmux did not kill the session {name:?}").into());
            }
        }
    }
    // What tmux has done is told, even where its answer was lost.
    transaction.tell_events(&events);
    Ok(ExitCode::SUCCESS)
}

/// Does it in a process that the end of our terminal does not end: what is killed may be the session
/// that we are in, and what follows is to be noted and told all the same.
fn kill_apart(context: &Context, args: &cli::Kill) -> Outcome {
    let output = Command::new(std::env::current_exe()?)
        .args(context.server_words())
        .args(["kill", "--apart"])
        .args(args.client.iter().flat_map(|client| ["--client", client]))
        .args(["--", &args.name])
        .stdin(Stdio::null())
        .process_group(0)
        .output()?;
    io::stdout().write_all(&output.stdout)?;
    io::stderr().write_all(&output.stderr)?;
    Ok(if output.status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub fn forget(context: &Context, args: &cli::Forget) -> Outcome {
    let place = context.place()?;
    let for_good = change(&place, |next, world| {
        match find(world, &args.name)? {
            Found::Live(_, session) if !args.force => {
                return Err(format!(
                    "session {:?} is live: run roster kill {} to end it, or use --force to stop tracking it",
                    session.name,
                    name_to_paste(&session.name)
                )
                .into());
            }
            Found::Live(id, session) => {
                next.memory.sessions.remove(&id);
                next.memory.untracked.insert(id, session.name.clone());
                next.close(session, Timestamp::now());
            }
            Found::Lost(session) => next.close(session, Timestamp::now()),
            Found::Closed(entry) | Found::LeftAlone(entry, _) => {
                next.closed.take(&entry.session.uuid);
                return Ok(Some(entry.session.uuid));
            }
        }
        Ok(None)
    })?;
    if let Some(uuid) = for_good {
        // The session is forgotten, whatever is the matter with the file of windows.
        let store = store_of(&place);
        let forgotten =
            store.lock().and_then(|locked| persist::forget_windows(&place, &locked, &uuid));
        if let Err(error) = forgotten {
            warn(&error.to_string());
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub fn clear(context: &Context) -> Outcome {
    let now = Timestamp::now();
    let backup = change(&context.place()?, |next, world| {
        let backup = world.backup()?;
        // Those that live would be back at once, without what tmux does not know of them.
        let lost = next.lost();
        for session in &lost {
            next.registry.sessions.remove(&session.name);
        }
        let closed = |session| ClosedSession::new(session, now);
        next.closed.push_all(lost.into_iter().map(closed).collect());
        Ok(backup)
    })?;
    match backup {
        Some(path) => {
            let path = visible(&path.display().to_string());
            print(&format!("cleared; the old registry is saved as {path}\n"))?;
        }
        None => print("there was nothing to clear\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands that unzoom the windows of a session, where tmux would die of its end otherwise.
fn unzoom(transaction: &Transaction<'_>, id: SessionId) -> Result<Vec<Vec<u8>>, Failure> {
    if !transaction.version().dies_of_zoomed_sessions() {
        return Ok(Vec::new());
    }
    let list = ["list-windows", "-t", &id.to_string(), "-F", "#{window_zoomed_flag}#{window_id}"];
    let printed = transaction.place().tmux.run(&list, transaction.deadline())?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let zoomed = printed.lines().filter_map(|window| window.strip_prefix('1'));
    Ok(zoomed.map(|window| line(&[b"resize-pane", b"-Z", b"-t", window.as_bytes()])).collect())
}
