//! Bringing back what was lost or closed: restore, reopen.

use std::process::ExitCode;

use tmux_roster::Store;
use tmux_roster::config::Place;
use tmux_roster::config::REGISTRY;
use tmux_roster::history::{Entry, What};
use tmux_roster::model::memory::{ClosedSession, Exact, Memory};
use tmux_roster::model::reconcile;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::windows::{ClosedWindow, Windows};
use tmux_roster::restore::{self, Restored, Wanted};
use tmux_roster::sorted::Set;
use tmux_roster::tmux::TmuxError;
use tmux_roster::transaction::{Offline, SyncError, Transaction};
use tmux_roster::{Session, Timestamp, health, host, persist, validate_name};

use super::begin::{begin, need_names, with_any_server, with_server};
use super::client::{Destination, client, destination, go_to};
use super::context::{Context, Failure, Outcome, store_of};
use super::load::keys::{PICK, key_of};
use super::notice::way_back;
use super::output::{count, name_to_paste, print, visible, warn};
use super::target::{
    Found, Target, by_uuid, find, left_alone, lives_left_alone, named_left_alone, not_found,
    out_of_reach,
};
use crate::cli;

pub fn restore(context: &Context, args: &cli::Restore) -> Outcome {
    if let Some(host) = &args.from {
        return restore_from(context, args, host);
    }
    if args.all != args.names.is_empty() {
        return Err(Failure::usage("restore needs either session names or --all".into()));
    }
    if args.new_name.is_some() && args.names.len() != 1 {
        return Err(Failure::usage("--as needs exactly one session name".into()));
    }
    let place = context.place()?;
    let need = |there: &Remembered| match args.all {
        true => Ok(args.force || !there.registry.sessions.is_empty()),
        false => need_names(there, &args.names),
    };
    let mut tried = Set::new();
    let done = with_any_server(&place, &need, args.force, |transaction| {
        if args.force {
            let names = (!args.all).then_some(args.names.as_slice());
            transaction.part_from_unreachable(names)?;
        }
        if args.all {
            return restore_some(transaction, args.bare, &mut tried);
        }
        let (mut records, mut lacking) = (Vec::new(), Vec::new());
        for name in &args.names {
            let found = find(transaction, name)?;
            let name = &found.name().to_owned();
            match found {
                Found::Lost(session) => records.push(session),
                Found::Live(_, session)
                    if !args.bare
                        && args.new_name.is_none()
                        && lacks_windows(transaction, &session)? =>
                {
                    lacking.push(session);
                }
                Found::Live(..) => {
                    let mut closed = transaction.remembered.closed.closed.iter();
                    let hint = if closed.any(|entry| entry.session.name == *name) {
                        let name = name_to_paste(name);
                        format!("run roster reopen --as NEW {name} to bring back the closed one")
                    } else {
                        "there is nothing to restore".into()
                    };
                    return Err(format!("session {name:?} is live: {hint}").into());
                }
                Found::LeftAlone(_, live) => return Err(lives_left_alone(name, &live)),
                Found::Closed(_) => {
                    return Err(format!(
                        "session {name:?} was closed, not lost: run roster reopen {}",
                        name_to_paste(name)
                    )
                    .into());
                }
            }
        }
        let changes = Changes { name: args.new_name.as_deref(), mode: None };
        let wanted = Wanted { bare: args.bare, command: &[] };
        let mut done = match records.is_empty() {
            true => Restored::default(),
            false => bring_back(transaction, records, changes, wanted)?,
        };
        bring_windows(transaction, &lacking, &mut done)?;
        Ok(done)
    })?;
    let done = match done {
        Some(mut done) => {
            while args.all && tried.len() % restore::AT_A_TIME == 0 && !tried.is_empty() {
                let before = tried.len();
                let store = store_of(&place);
                let more = restore_some(&mut begin(&place, &store)?, args.bare, &mut tried)?;
                done.sessions.extend(more.sessions);
                done.warnings.extend(more.warnings);
                done.failed |= more.failed;
                if tried.len() == before {
                    break;
                }
            }
            done
        }
        None => {
            let memory = persist::peek(&place)?.memory;
            Restored {
                warnings: not_here(&place, &memory).into_iter().collect(),
                ..Restored::default()
            }
        }
    };
    report(&done, "restored")
}

/// Restores as many lost sessions as go under one lock; with the last of them it is told what is left
/// where it is.
fn restore_some(
    transaction: &mut Transaction<'_>,
    bare: bool,
    tried: &mut Set<String>,
) -> Result<Restored, Failure> {
    let mut done = restore::restore_all(transaction, bare, tried)?;
    transaction.tell_events(&done.events);
    let is_last = tried.len() % restore::AT_A_TIME != 0 || done.sessions.is_empty();
    if is_last {
        done.warnings.extend(set_aside(transaction));
        let memory = &transaction.remembered.memory;
        done.warnings.extend(not_here(transaction.place(), memory));
    }
    Ok(done)
}

/// Whether windows of a session that lives again did not come with it.
fn lacks_windows(transaction: &mut Transaction<'_>, session: &Session) -> Result<bool, Failure> {
    Ok(!transaction.look_at_windows()?.missing_of(&session.uuid).is_empty())
}

/// Brings back those windows of these sessions.
fn bring_windows(
    transaction: &mut Transaction<'_>,
    sessions: &[Session],
    done: &mut Restored,
) -> Result<(), Failure> {
    for session in sessions {
        let (count, warnings) = restore::bring_missing(transaction, &session.uuid)?;
        done.warnings.extend(warnings);
        done.windows.extend((count > 0).then(|| (session.name.clone(), count)));
    }
    Ok(())
}

/// The lost ones whose names others took since this server started.
fn set_aside(transaction: &Transaction<'_>) -> Option<String> {
    let aside = transaction.remembered.set_aside_since(transaction.answer.snapshot.server);
    let names: Vec<String> = aside.map(|session| visible(&session.name)).collect();
    let (count, names) = (names.len(), names.join(", "));
    let said = match count {
        0 => return None,
        1 => format!("1 lost session was set aside, since its name was taken: {names}"),
        _ => format!("{count} lost sessions were set aside, since their names were taken: {names}"),
    };
    Some(format!("{said} (roster reopen NAME --as NEW brings one back)"))
}

/// What `restore --all` leaves where it is.
fn not_here(place: &Place, memory: &Memory) -> Option<String> {
    let unreachable: usize = memory.unreachable.iter().map(|server| server.uuids.len()).sum();
    let stored = |other: host::Sibling| Store::new(other.dir.join(REGISTRY)).names().ok();
    let others = host::siblings(&place.dir).into_iter().filter_map(stored);
    let elsewhere: usize = others.map(|names| names.len()).sum();
    let said = match (unreachable, elsewhere) {
        (0, 0) => return None,
        (live, 0) => format!("{} out of reach", count(live, "session")),
        (0, other) => format!("{} recorded for other hosts", count(other, "session")),
        (live, other) => {
            format!("{} out of reach, {other} recorded for other hosts", count(live, "session"))
        }
    };
    Some(format!("{said}: see roster doctor"))
}

/// Takes over what is recorded for another host that shares this home, as sessions of this one.
fn restore_from(context: &Context, args: &cli::Restore, host: &str) -> Outcome {
    let place = context.place()?;
    let others = host::siblings(&place.dir);
    let is_named = |other: &&host::Sibling| other.node == host;
    let places: Vec<Place> = (others.iter().filter(is_named))
        .map(|other| Place { dir: other.dir.clone(), tmux: place.tmux.clone() })
        .collect();
    if places.is_empty() {
        let mut known: Vec<&str> = others.iter().map(|other| other.node.as_str()).collect();
        known.dedup();
        let known = match known.as_slice() {
            [] => "nor for any other".to_owned(),
            known => format!("only for {}", known.join(", ")),
        };
        return Err(format!("no sessions are recorded for the host {host:?}, {known}").into());
    }
    let (mut entries, mut is_there, mut arrangements) = (Vec::new(), Vec::new(), Vec::new());
    for other in &places {
        let mut theirs = persist::peek(other)?;
        let mut windows = persist::read_windows(other)?;
        if let (true, Some(server)) =
            (host::runs_here(&theirs.memory, &host::here()), theirs.memory.server)
        {
            return Err(format!(
                "the sessions of {host:?} are live: tmux is running there (process {})",
                server.pid
            )
            .into());
        }
        reconcile::end_with_server(&mut theirs);
        let sessions = theirs.registry.sessions.into_values();
        let wanted =
            sessions.filter(|session| args.names.is_empty() || args.names.contains(&session.name));
        for session in wanted {
            is_there.push(session.name.clone());
            arrangements.extend(windows.sessions.remove_entry(&session.uuid));
            let exact = theirs.memory.exact.get(&session.uuid).cloned();
            entries.push((session, exact));
        }
    }
    if let Some(name) = args.names.iter().find(|name| !is_there.contains(name)) {
        return Err(not_found(name, &mut is_there.iter().map(String::as_str)));
    }
    let taken: Vec<String> = entries.iter().map(|(session, _)| session.uuid.clone()).collect();
    let done = with_server(&place, |transaction| {
        let mut next = transaction.remembered.clone();
        let mut records = Vec::new();
        for (session, exact) in entries {
            if next.registry.by_uuid(&session.uuid).is_some() {
                continue;
            }
            exact.map(|exact| next.memory.exact.insert(session.uuid.clone(), exact));
            let closed_at = Timestamp::now();
            next.closed.push(ClosedSession::new(session.clone(), closed_at));
            records.push(session);
        }
        // They stand here before they leave the other folder.
        transaction.commit(next, None)?;
        arrangements.retain(|(uuid, _)| records.iter().any(|record| record.uuid == *uuid));
        transaction.adopt_windows(arrangements)?;
        let mut done = Restored::default();
        for record in records {
            let name = record.name.clone();
            let wanted = Wanted { bare: args.bare, command: &[] };
            match bring_back(transaction, vec![record], Changes::default(), wanted) {
                Ok(mut made) => {
                    done.sessions.append(&mut made.sessions);
                    done.warnings.append(&mut made.warnings);
                    done.failed |= made.failed;
                }
                Err(failure) => {
                    let why = failure.text();
                    done.warnings.push(format!("{name:?} was added to the closed sessions: {why}"));
                    done.failed = true;
                }
            }
        }
        Ok(done)
    })?;
    for other in &places {
        let store = store_of(other);
        let offline = Offline::begin(other, &store)?;
        let mut theirs = offline.remembered().clone();
        taken.iter().for_each(|uuid| theirs.registry.remove(uuid));
        offline.commit(&theirs)?;
    }
    report(&done, "restored")
}

/// What `reopen` brought back.
struct Reopened {
    /// What to say of a window.
    window: Option<String>,
    done: Restored,
    seat: Option<Destination>,
}

pub fn reopen(context: &Context, args: &cli::Reopen) -> Outcome {
    if args.window && args.new_name.is_some() {
        return Err(Failure::usage("--as is for sessions, not for a window".into()));
    }
    let place = context.place()?;
    let nothing = match (&args.name, args.window) {
        (None, false) => "there is no closed session or window to reopen".to_owned(),
        (None, true) => "no window was closed".to_owned(),
        (Some(name), _) => format!("no window of {name:?} was closed"),
    };
    let need = |there: &Remembered| match (&args.name, args.window) {
        (_, true) => Ok(!persist::read_windows(&place)?.all_closed().is_empty()),
        (None, false) => Ok(!there.closed.closed.is_empty()),
        (Some(name), false) => need_names(there, std::slice::from_ref(name)),
    };
    let back = with_any_server(&place, &need, args.force, |transaction| {
        if args.window || args.name.is_none() {
            let windows = match transaction.look_at_windows() {
                Ok(windows) => windows,
                // A file of another version keeps no session from coming back.
                Err(error) if args.window => return Err(error.into()),
                Err(_) => Windows::default(),
            };
            let has_closed = !windows.all_closed().is_empty();
            if let Some(closed) = closed_window(context, transaction, args, &windows)? {
                let of = transaction.remembered.registry.by_uuid(&closed.session).cloned();
                let is_lost = windows.missing_of(&closed.session).contains(&closed);
                if let Some(of) = of.filter(|_| !args.window && is_lost) {
                    // Those that were lost together come back together.
                    let mut done = Restored::default();
                    bring_windows(transaction, std::slice::from_ref(&of), &mut done)?;
                    if let Some((name, windows)) = done.windows.pop() {
                        let id = transaction.remembered.memory.id_of(&of.uuid);
                        let seat = id.map(|id| destination(transaction, id));
                        let window = format!("{} of {}", count(windows, "window"), visible(&name));
                        return Ok(Reopened { window: Some(window), done, seat });
                    }
                }
                return reopen_window(transaction, args, &closed, &windows);
            }
            if args.window {
                let of = args.name.as_deref().and_then(|name| find(transaction, name).ok());
                return Err(of
                    .map_or(nothing.clone(), |of| {
                        format!("no window of {:?} was closed", of.name())
                    })
                    .into());
            }
            if transaction.remembered.closed.closed.is_empty() && has_closed {
                if let Some(lost) = lost_instead(transaction, args.client.is_some()) {
                    return Err(lost.into());
                }
                let hint = "the last closed window was there for less than ten seconds, or was made \
                            for a command: run roster reopen --window to bring it back";
                return Err(format!("{nothing}; {hint}").into());
            }
        }
        let session = closed_session(transaction, args, &nothing)?;
        let changes = Changes { name: args.new_name.as_deref(), mode: None };
        let wanted = Wanted { bare: args.bare, command: &[] };
        let done = bring_back(transaction, vec![session], changes, wanted)?;
        let seat = done.sessions.first().map(|(id, _)| destination(transaction, *id));
        Ok(Reopened { window: None, done, seat })
    })?;
    let Reopened { window, done, seat } = back.ok_or(nothing)?;
    if let (Some(_), Some(seat)) = (&args.client, seat) {
        go_to(context, &place, seat, args.client.as_deref())?;
    }
    let Some(window) = window else { return report(&done, "reopened") };
    for warning in &done.warnings {
        warn(warning);
    }
    print(&format!("reopened {window}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The session that is meant.
fn closed_session(
    transaction: &mut Transaction<'_>,
    args: &cli::Reopen,
    nothing: &str,
) -> Result<Session, Failure> {
    let closed = &transaction.remembered.closed.closed;
    let entry = match &args.name {
        None => closed
            .iter()
            .filter(|entry| left_alone(transaction, &entry.session.uuid).is_none())
            .min_by_key(|entry| entry.is_passing())
            .ok_or(match closed.first() {
                None => lost_instead(transaction, args.client.is_some())
                    .unwrap_or_else(|| nothing.to_owned()),
                Some(_) => {
                    "the only closed sessions are live but not tracked: run roster closed to list \
                     them"
                        .to_owned()
                }
            })?,
        Some(name) => {
            let named = Target::parse(name).among(closed.iter(), |entry| &entry.session);
            named.ok_or_else(|| match find(transaction, name) {
                Ok(Found::Lost(_)) => {
                    let hint = format!("run roster restore {}", name_to_paste(name));
                    format!("session {name:?} is lost, not closed: {hint}")
                }
                _ => format!("no closed session is named {name:?}: run roster closed to list them"),
            })?
        }
    };
    let mut session = entry.session.clone();
    if transaction.remembered.memory.is_unreachable(&session.uuid) {
        if !args.force {
            return Err(out_of_reach(transaction, &session));
        }
        let new = new_uuid();
        let before = std::mem::replace(&mut session.uuid, new.clone());
        transaction.copy_windows(&[(before, new)])?;
    }
    Ok(session)
}

/// What to say where nothing was closed, but something was lost; for a key, by which key that comes
/// back.
fn lost_instead(transaction: &Transaction<'_>, by_key: bool) -> Option<String> {
    let mut lost = transaction.remembered.lost();
    lost.retain(|session| !transaction.is_ignored(&session.name));
    let were = match lost.len() {
        0 => return None,
        1 => "was",
        _ => "were",
    };
    let (tmux, deadline) = (&transaction.place().tmux, transaction.deadline());
    let key = by_key.then(|| key_of(PICK, tmux, deadline)).flatten();
    let way = way_back(key, "restore --all");
    Some(format!("nothing was closed; {} {were} lost: {way}", count(lost.len(), "session")))
}

/// The closed window that is meant, if it is one: where neither a window nor a session was asked for,
/// the one that people miss, if nothing was closed after it.
fn closed_window(
    context: &Context,
    transaction: &Transaction<'_>,
    args: &cli::Reopen,
    windows: &Windows,
) -> Result<Option<ClosedWindow>, Failure> {
    let wanted = match &args.name {
        Some(name) => Some(find(transaction, name)?.session().uuid.clone()),
        None => None,
    };
    let all = windows.all_closed();
    let memory = &transaction.remembered.memory;
    let mut closed = all.iter();
    // One that was in several sessions comes back to the one that the client is in.
    let in_seat = |found: &ClosedWindow| -> Result<ClosedWindow, Failure> {
        let same: Vec<_> = all.iter().filter(|other| other.was() == found.was()).collect();
        if same.len() < 2 {
            return Ok(found.clone());
        }
        let client = client(context, transaction.place(), args.client.as_deref())?;
        let here = client.and_then(|client| memory.sessions.get(&client.session));
        let is_here = |other: &&ClosedWindow| here.is_some_and(|here| here.uuid == other.session);
        Ok(same.into_iter().find(is_here).unwrap_or(found).clone())
    };
    if args.window {
        return match wanted {
            Some(uuid) => Ok(closed.find(|w| uuid == w.session).cloned()),
            None => closed.next().map(in_seat).transpose(),
        };
    }
    // What did not come back with its session nobody closed.
    let is_missed = |window: &ClosedWindow| {
        window.is_missed() || windows.missing_of(&window.session).contains(window)
    };
    let last = closed.find(|w| is_missed(w) && memory.id_of(&w.session).is_some());
    let sessions = transaction.remembered.closed.closed.iter();
    let session = sessions.filter(|entry| !entry.is_passing()).map(|entry| entry.closed_at).max();
    let last = last.filter(|window| session.is_none_or(|session| session < window.closed_at));
    last.map(in_seat).transpose()
}

/// Brings a closed window back into its session, and the session if that is gone as well.
fn reopen_window(
    transaction: &mut Transaction<'_>,
    args: &cli::Reopen,
    closed: &ClosedWindow,
    windows: &Windows,
) -> Result<Reopened, Failure> {
    let uuid = &closed.session;
    let mut done = Restored::default();
    if transaction.remembered.memory.id_of(uuid).is_none() {
        let recorded = transaction.remembered.registry.by_uuid(uuid).cloned();
        let mut entries = transaction.remembered.closed.closed.iter().map(|entry| &entry.session);
        let session = recorded.or_else(|| entries.find(|session| session.uuid == *uuid).cloned());
        let session = session.ok_or("its session is not recorded any more")?;
        let wanted = Wanted { bare: args.bare, command: &[] };
        done = bring_back(transaction, vec![session], Changes::default(), wanted)?;
        transaction.look_at_windows()?;
    }
    let id = transaction.remembered.memory.id_of(uuid);
    let record = transaction.remembered.registry.by_uuid(uuid).cloned();
    let (Some(id), Some(record)) = (id, record) else {
        return Err("its session could not be brought back".into());
    };
    let goes = args.client.is_some();
    let made = restore::reopen_window(transaction, id, &record, closed, windows, goes)?;
    let (index, warnings) = made.ok_or("tmux did not create the window")?;
    done.warnings.extend(warnings);
    let name = closed.window.name.as_ref().map(|name| String::from_utf8_lossy(&name.0));
    let name = name.map_or_else(String::new, |name| format!(" ({})", visible(&name)));
    let window = format!("window {index}{name} of {}", visible(&record.name));
    Ok(Reopened { window: Some(window), done, seat: Some(destination(transaction, id)) })
}

pub fn ignored(name: &str) -> Failure {
    format!("the name {name:?} matches @roster-ignore: choose another").into()
}

/// What is to be another of a session that is brought back.
#[derive(Clone, Copy, Default)]
pub struct Changes<'a> {
    pub name: Option<&'a str>,
    pub mode: Option<&'a str>,
}

/// Makes recorded sessions anew: lost ones, and closed ones after they are back in the registry.
/// Those that do not come to live are as they were.
pub fn bring_back(
    transaction: &mut Transaction<'_>,
    mut records: Vec<Session>,
    changes: Changes<'_>,
    wanted: Wanted<'_>,
) -> Result<Restored, Failure> {
    let mut before = records.clone();
    let old_names = before.iter().map(|old| (old.uuid.clone(), old.name.clone()));
    let old_names: Vec<(String, String)> = old_names.collect();
    if let Some(name) = changes.name {
        validate_name(name)?;
    }
    for record in &mut records {
        if let Some(name) = changes.name {
            name.clone_into(&mut record.name);
        }
        if let Some(mode) = changes.mode {
            mode.clone_into(&mut record.mode);
        }
    }
    // What lives on in other sessions is not brought back.
    if !wanted.bare && transaction.stood_here(&records) {
        transaction.look_at_windows()?;
    }
    let mut next = transaction.remembered.clone();
    let mut closed = Vec::new();
    for (record, before) in records.iter().zip(&before) {
        let taken = next.registry.sessions.get(&record.name);
        // One that is left alone stands in no record.
        let is_left_alone = named_left_alone(transaction, &record.name).is_some();
        if transaction.is_ignored(&record.name) {
            return Err(ignored(&record.name));
        }
        if let Some(live) = left_alone(transaction, &record.uuid) {
            return Err(lives_left_alone(&before.name, live));
        }
        if next.memory.is_unreachable(&record.uuid) {
            return Err(out_of_reach(transaction, before));
        }
        if is_left_alone || taken.is_some_and(|other| other.uuid != record.uuid) {
            let is_lost = next.registry.by_uuid(&record.uuid).is_some();
            // Of several closed ones of a name, the name alone means the newest.
            let meant = Target::parse(&record.name)
                .among(next.closed.closed.iter(), |entry| &entry.session);
            let called = match meant {
                Some(entry) if !is_lost && entry.session.uuid != record.uuid => by_uuid(record),
                _ => name_to_paste(&record.name),
            };
            return Err(match changes.name {
                Some(name) => {
                    format!("the name {name:?} is already taken: choose another with --as")
                }
                None => format!(
                    "the name {:?} is already taken: run roster {} --as NEW {} to choose another",
                    record.name,
                    if is_lost { "restore" } else { "reopen" },
                    called
                ),
            }
            .into());
        }
        // Its old name must be free of it before it stands under the new one.
        next.registry.remove(&record.uuid);
        next.registry.sessions.insert(record.name.clone(), record.clone());
        closed.extend(next.closed.take(&record.uuid));
    }
    let reopened: Set<String> = closed.iter().map(|entry| entry.session.uuid.clone()).collect();
    let memory = next.memory.clone();
    transaction.commit(next, Some(&memory))?;
    let names: Vec<String> = records.iter().map(|record| record.name.clone()).collect();
    let made = restore::make(transaction, records, wanted);
    if let Err(error) = &made {
        if may_stand(transaction, &names) {
            let names = names.join(", ");
            return Err(
                format!("{error}; {names} counts as lost until the next sync finds it").into()
            );
        }
    }
    let sessions = made.as_ref().map_or(&[][..], |done| done.sessions.as_slice());
    let lives = |uuid: &str| sessions.iter().any(|(_, session)| session.uuid == uuid);
    closed.retain(|entry| !lives(&entry.session.uuid));
    before.retain(|record| !lives(&record.uuid));
    let mut next = transaction.remembered.clone();
    for entry in closed {
        next.registry.remove(&entry.session.uuid);
        next.closed.put_back(entry);
    }
    for record in before {
        let Some(now) = next.registry.by_uuid(&record.uuid).map(|now| now.name.clone()) else {
            continue;
        };
        if let Some(now) = next.registry.sessions.get_mut(&now) {
            now.mode.clone_from(&record.mode);
        }
        // Where its name is already taken, it stays under the new one.
        let _ = tmux_roster::store::rename(&mut next.registry, &now, &record.name);
    }
    if next != transaction.remembered {
        transaction.commit(next, None)?;
    }
    let done = made?;
    if done.failed {
        transaction.look_again()?;
        transaction.bring_into_step()?;
    }
    let mut entries: Vec<Entry> = done.events.iter().map(Entry::from).collect();
    for entry in entries.iter_mut().filter(|entry| entry.event == What::Restored) {
        if reopened.contains(&entry.uuid) {
            entry.event = What::Reopened;
        }
        let old = old_names.iter().find(|(uuid, _)| *uuid == entry.uuid);
        entry.old_name = old.map(|(_, name)| name.clone()).filter(|name| *name != entry.name);
    }
    transaction.note(&entries);
    transaction.run_scripts(&done.events);
    Ok(done)
}

/// Whether sessions of these names may be live, or become so, though making them failed: tmux may
/// have timed out and carried on. If it answers now, it has processed all that was sent before.
fn may_stand(transaction: &mut Transaction<'_>, names: &[String]) -> bool {
    match transaction.look_again() {
        Ok(()) => {
            let mut sessions = transaction.answer.snapshot.sessions.iter();
            sessions.any(|live| names.contains(&String::from_utf8_lossy(&live.name).into_owned()))
        }
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => false,
        Err(_) => true,
    }
}

fn report(done: &Restored, verb: &str) -> Outcome {
    for warning in done.warnings.iter().chain(&done.notes) {
        warn(warning);
    }
    let names: Vec<String> =
        done.sessions.iter().map(|(_, session)| visible(&session.name)).collect();
    let of = |(name, windows): &(String, usize)| {
        format!("{} of {}", count(*windows, "window"), visible(name))
    };
    let names: Vec<String> = names.into_iter().chain(done.windows.iter().map(of)).collect();
    match names.as_slice() {
        [] if done.failed => return Ok(ExitCode::FAILURE),
        [] if done.warnings.is_empty() => print("there are no lost sessions\n")?,
        [] => {}
        names => print(&format!("{verb} {}\n", names.join(", ")))?,
    }
    Ok(if done.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Whether a lost session belongs in this directory, however that is spelled.
pub fn is_directory_of(transaction: &Transaction<'_>, lost: &Session, workdir: &str) -> bool {
    !those_in(transaction, std::iter::once(lost), workdir).is_empty()
}

/// Those of the sessions that belong in this directory, however that is spelled.
pub fn those_in<'s>(
    transaction: &Transaction<'_>,
    sessions: impl Iterator<Item = &'s Session>,
    workdir: &str,
) -> Vec<&'s Session> {
    let memory = &transaction.remembered.memory;
    let (mut spelled, mut of) = (Vec::new(), Vec::new());
    for session in sessions {
        let exact = Exact::workdir_of(memory.exact.get(&session.uuid), session);
        let displaced = memory.displaced.get(&session.uuid);
        let displaced = displaced.filter(|before| before.to == session.workdir);
        let belongs = displaced.map(|before| before.from.clone().into_bytes());
        for path in std::iter::once(exact).chain(belongs) {
            spelled.push(path);
            of.push(session);
        }
    }
    let leads_there = health::lead_to(workdir.as_bytes(), spelled);
    let mut there: Vec<&Session> =
        of.into_iter().zip(leads_there).filter(|(_, leads)| *leads).map(|(s, _)| s).collect();
    there.dedup_by_key(|session| &session.uuid);
    there
}
