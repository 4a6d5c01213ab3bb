//! Bringing sessions into life, moving between them, and ending them.
//!
//! Names are looked up exactly, in what lives at that moment; tmux is told ids.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::health;
use tmux_roster::host;
use tmux_roster::model::memory::{ClosedSession, Exact};
use tmux_roster::model::reconcile::{self, Event, EventKind};
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::{LiveSession, ServerId, SessionId};
use tmux_roster::restore::{self, Restored, escape_name};
use tmux_roster::sync::{self, SyncError, TYPED_LIMIT, Transaction, Trigger};
use tmux_roster::tmux::TmuxError;
use tmux_roster::tmux::command::{line, only_on};
use tmux_roster::tmux::query;
use tmux_roster::{Session, Store, Timestamp, sanitize_name, validate_name};

use super::list::visible;
use super::state::warn_of_mode;
use super::{Context, Failure, Outcome, Target, not_found, print, store_of, to_paste, warn};
use crate::cli;

/// A session of one server. To another that takes its place, the id is another session's.
#[derive(Clone, Copy)]
struct Seat {
    server: ServerId,
    id: SessionId,
}

/// Where a session was found.
enum Found {
    Live(SessionId, Session),
    Lost(Session),
    Closed(ClosedSession),
    /// The record of one that lives and that we were told to leave alone.
    LeftAlone(ClosedSession, LiveSession),
}

impl Found {
    /// What people call it, even where a key gave its UUID.
    fn name(&self) -> &str {
        match self {
            Found::Live(_, session) | Found::Lost(session) => &session.name,
            Found::Closed(entry) | Found::LeftAlone(entry, _) => &entry.session.name,
        }
    }
}

/// Looks a name up, or a UUID: live ones first, then lost, then the newest closed one.
fn find(transaction: &Transaction<'_>, name: &str) -> Result<Found, Failure> {
    let remembered = &transaction.remembered;
    let recorded = remembered.registry.sessions.values().map(|session| (session, None));
    let closed = remembered.closed.closed.iter().map(|entry| (&entry.session, Some(entry)));
    let all = recorded.chain(closed);
    Ok(match Target::parse(name).among(all.clone(), |(session, _)| session) {
        Some((_, Some(entry))) => match left_alone(transaction, &entry.session.uuid) {
            Some(live) => Found::LeftAlone(entry.clone(), live.clone()),
            None => Found::Closed(entry.clone()),
        },
        Some((session, None)) => {
            let live = transaction.live();
            let id = live.iter().find(|(_, uuid)| **uuid == session.uuid).map(|(id, _)| *id);
            match id {
                Some(id) => Found::Live(id, session.clone()),
                None if transaction.remembered.memory.is_unreachable(&session.uuid) => {
                    return Err(out_of_reach(transaction, session));
                }
                None => Found::Lost(session.clone()),
            }
        }
        None => return Err(not_found(name, all.map(|(session, _)| session.name.as_str()))),
    })
}

/// What lives without being recorded, as after `forget --force`.
fn all_left_alone<'a>(transaction: &'a Transaction<'_>) -> impl Iterator<Item = &'a LiveSession> {
    let live = transaction.live();
    let sessions = transaction.answer.snapshot.sessions.iter();
    sessions.filter(move |session| !live.contains_key(&session.id))
}

pub fn left_alone<'a>(transaction: &'a Transaction<'_>, uuid: &str) -> Option<&'a LiveSession> {
    all_left_alone(transaction).find(|session| session.stamp == uuid)
}

fn named_left_alone<'a>(transaction: &'a Transaction<'_>, name: &str) -> Option<&'a LiveSession> {
    all_left_alone(transaction).find(|session| session.name == name.as_bytes())
}

/// What is said of a session whose server runs while another answers in its place.
fn out_of_reach(transaction: &Transaction<'_>, session: &Session) -> Failure {
    let servers = &transaction.remembered.memory.unreachable;
    let server = servers.iter().find(|server| server.uuids.contains(&session.uuid));
    let pid = server.map_or(0, |server| server.server.pid);
    let name = to_paste(&session.name);
    format!(
        "session {:?} lives in a tmux whose socket is gone (process {pid}): once this server has \
         ended, roster doctor --fix reaches it; roster restore {name} --force makes another",
        session.name
    )
    .into()
}

pub fn lives_left_alone(name: &str, live: &LiveSession) -> Failure {
    let now = String::from_utf8_lossy(&live.name);
    let now = if now == name { String::new() } else { format!(" as {now:?}") };
    format!(
        "session {name:?} lives{now} and is left alone (roster forget --force, @roster-ignore): \
         tmux rename-session has it recorded again"
    )
    .into()
}

/// A transaction that is in step already.
fn begin<'a>(place: &'a Place, store: &'a Store) -> Result<Transaction<'a>, SyncError> {
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
fn with_server<T>(
    place: &Place,
    needed: &[&String],
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    with_any_server(place, needed, false, act)
}

/// The same; with `force` also where one runs that cannot be reached.
fn with_any_server<T>(
    place: &Place,
    needed: &[&String],
    force: bool,
    act: impl FnOnce(&mut Transaction<'_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let store = store_of(place);
    let (begun, ends) = begin_or_start(place, &store, needed, force)?;
    let done = begun.and_then(|mut transaction| act(&mut transaction));
    if ends {
        sync::let_server_end(place);
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
    let there = sync::peek(place)?;
    let sessions: Vec<&Session> = (there.registry.sessions.values())
        .chain(there.closed.closed.iter().map(|entry| &entry.session))
        .collect();
    for name in needed {
        if Target::parse(name).among(sessions.iter().copied(), |session| session).is_none() {
            return Err(not_found(name, sessions.iter().map(|session| session.name.as_str())));
        }
    }
    let ends = sync::start_server(place)?;
    Ok((begin(place, store).map_err(Failure::from), ends))
}

/// Refuses, before anything is done, to go somewhere where nothing can be attached.
fn require_terminal(context: &Context, client: Option<&str>) -> Result<(), Failure> {
    if client.is_some() || context.is_inside() || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err("there is no terminal to attach: say this in one, or inside tmux; roster new -d and roster \
         restore need neither"
        .into())
}

fn require_server(place: &Place) -> impl FnOnce(SyncError) -> Failure + use<> {
    let socket = place.tmux.socket.clone();
    move |error| match error {
        SyncError::Tmux(TmuxError::NoServer { .. }) => Failure::from(format!(
            "no tmux server is running on {}: start tmux, or roster restore --all",
            socket.display()
        )),
        error => error.into(),
    }
}

pub fn restore(context: &Context, args: &cli::Restore) -> Outcome {
    if let Some(host) = &args.from {
        return restore_from(context, args, host);
    }
    if args.all != args.names.is_empty() {
        return Err(Failure::Usage("restore takes the names of lost sessions, or --all".into()));
    }
    if args.new_name.is_some() && args.names.len() != 1 {
        return Err(Failure::Usage("--as goes with one name".into()));
    }
    let place = context.place()?;
    let needed = args.names.iter().collect::<Vec<_>>();
    let done = with_any_server(&place, &needed, args.force, |transaction| {
        if args.force {
            let names = (!args.all).then_some(args.names.as_slice());
            transaction.part_from_unreachable(names)?;
        }
        if args.all {
            let done = restore::restore_all(transaction)?;
            transaction.run_scripts(&done.events);
            return Ok(done);
        }
        let mut records = Vec::new();
        for name in &args.names {
            let found = find(transaction, name)?;
            let name = &found.name().to_owned();
            match found {
                Found::Lost(session) => records.push(session),
                Found::Live(..) => {
                    let known = transaction.lost();
                    let reopenable = transaction
                        .remembered
                        .closed
                        .closed
                        .iter()
                        .any(|e| e.session.name == *name);
                    let hint = match (known.is_empty(), reopenable) {
                        (_, true) => {
                            let name = to_paste(name);
                            format!("roster reopen {name} --as NEW brings the closed one back")
                        }
                        _ => "it needs no restoring".into(),
                    };
                    return Err(format!("session {name:?} is live: {hint}").into());
                }
                Found::LeftAlone(_, live) => return Err(lives_left_alone(name, &live)),
                Found::Closed(_) => {
                    return Err(format!(
                        "session {name:?} was closed, not lost: roster reopen {}",
                        to_paste(name)
                    )
                    .into());
                }
            }
        }
        let changes = Changes { name: args.new_name.as_deref(), mode: None };
        bring_back(transaction, records, changes, &[])
    })?;
    report(&done, "restored")
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
            [] => "nothing is recorded for any other".to_owned(),
            known => format!("there is something for {}", known.join(", ")),
        };
        return Err(format!("nothing is recorded for the host {host:?}: {known}").into());
    }
    let (mut entries, mut is_there) = (Vec::new(), Vec::new());
    for other in &places {
        let mut theirs = sync::peek(other)?;
        if let (true, Some(server)) =
            (host::runs_here(&theirs.memory, &host::here()), theirs.memory.server)
        {
            return Err(format!(
                "the sessions of {host:?} live: tmux runs there (process {})",
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
            let exact = theirs.memory.exact.get(&session.uuid).cloned();
            entries.push((session, exact));
        }
    }
    if let Some(name) = args.names.iter().find(|name| !is_there.contains(name)) {
        return Err(not_found(name, is_there.iter().map(String::as_str)));
    }
    let taken: Vec<String> = entries.iter().map(|(session, _)| session.uuid.clone()).collect();
    let done = with_server(&place, &[], |transaction| {
        let mut next = transaction.remembered.clone();
        let mut records = Vec::new();
        for (session, exact) in entries {
            if next.registry.by_uuid(&session.uuid).is_some() {
                continue;
            }
            exact.map(|exact| next.memory.exact.insert(session.uuid.clone(), exact));
            let closed_at = Timestamp::now();
            next.closed.push(ClosedSession { session: session.clone(), closed_at, unproven: None });
            records.push(session);
        }
        // They stand here before they leave the other folder.
        transaction.commit(next, None)?;
        let mut done = Restored::default();
        for record in records {
            let name = record.name.clone();
            match bring_back(transaction, vec![record], Changes::default(), &[]) {
                Ok(mut made) => {
                    done.sessions.append(&mut made.sessions);
                    done.warnings.append(&mut made.warnings);
                    done.failed |= made.failed;
                }
                Err(failure) => {
                    let why = failure.text();
                    done.warnings.push(format!("{name:?} is among the closed ones now: {why}"));
                    done.failed = true;
                }
            }
        }
        Ok(done)
    })?;
    for other in &places {
        sync::change_offline(other, |theirs| {
            theirs.registry.sessions.retain(|_, session| !taken.contains(&session.uuid));
            true
        })?;
    }
    report(&done, "restored")
}

pub fn reopen(context: &Context, args: &cli::Reopen) -> Outcome {
    let place = context.place()?;
    let needed: Vec<&String> = args.name.iter().collect();
    let (done, seat) = with_any_server(&place, &needed, args.force, |transaction| {
        let closed = &transaction.remembered.closed.closed;
        let entry = match &args.name {
            None => closed
                .iter()
                .find(|entry| left_alone(transaction, &entry.session.uuid).is_none())
                .ok_or(match closed.first() {
                    None => "no session was closed",
                    Some(_) => "what is closed lives, and is left alone: roster closed lists it",
                })?,
            Some(name) => Target::parse(name)
                .among(closed.iter(), |entry| &entry.session)
                .ok_or_else(|| match find(transaction, name) {
                    Ok(Found::Lost(_)) => {
                        let hint = format!("roster restore {}", to_paste(name));
                        format!("session {name:?} is lost, not closed: {hint}")
                    }
                    _ => format!(
                        "no closed session is named {name:?}: roster closed lists those there are"
                    ),
                })?,
        };
        let mut session = entry.session.clone();
        if transaction.remembered.memory.is_unreachable(&session.uuid) {
            if !args.force {
                return Err(out_of_reach(transaction, &session));
            }
            session.uuid = new_uuid();
        }
        let changes = Changes { name: args.new_name.as_deref(), mode: None };
        let done = bring_back(transaction, vec![session], changes, &[])?;
        let seat = done.sessions.first().map(|(id, _)| seat(transaction, *id));
        Ok((done, seat))
    })?;
    if let (Some(_), Some(seat)) = (&args.client, seat) {
        go_to(context, &place, seat, args.client.as_deref())?;
    }
    report(&done, "reopened")
}

fn ignored(name: &str) -> Failure {
    format!("a session named {name:?} is left alone (@roster-ignore): take another name").into()
}

/// What is to be another of a session that is brought back.
#[derive(Clone, Copy, Default)]
struct Changes<'a> {
    name: Option<&'a str>,
    mode: Option<&'a str>,
}

/// Makes recorded sessions anew: lost ones, and closed ones after they are back in the registry.
/// Those that do not come to live are as they were.
fn bring_back(
    transaction: &mut Transaction<'_>,
    mut records: Vec<Session>,
    changes: Changes<'_>,
    command: &[String],
) -> Result<Restored, Failure> {
    let mut before = records.clone();
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
            return Err(match changes.name {
                Some(name) => format!("the name {name:?} is taken: choose another with --as"),
                None => format!(
                    "the name {:?} is taken by now: roster {} {} --as NEW brings it back as another",
                    record.name,
                    if is_lost { "restore" } else { "reopen" },
                    to_paste(&record.name)
                ),
            }
            .into());
        }
        // Its old name must be free of it before it stands under the new one.
        next.registry.sessions.retain(|_, session| session.uuid != record.uuid);
        next.registry.sessions.insert(record.name.clone(), record.clone());
        closed.extend(next.closed.take(&record.uuid));
    }
    let memory = next.memory.clone();
    transaction.commit(next, Some(&memory))?;
    let names: Vec<String> = records.iter().map(|record| record.name.clone()).collect();
    let made = restore::make(transaction, records, command, health::RECREATED);
    if let Err(error) = &made {
        if may_stand(transaction, &names) {
            let names = names.join(", ");
            return Err(
                format!("{error}: until the next sync sees it, {names} counts as lost").into()
            );
        }
    }
    let sessions = made.as_ref().map_or(&[][..], |done| done.sessions.as_slice());
    let lives = |uuid: &str| sessions.iter().any(|(_, session)| session.uuid == uuid);
    closed.retain(|entry| !lives(&entry.session.uuid));
    before.retain(|record| !lives(&record.uuid));
    let mut next = transaction.remembered.clone();
    for entry in closed {
        next.registry.sessions.retain(|_, session| session.uuid != entry.session.uuid);
        next.closed.put_back(entry);
    }
    for record in before {
        let Some(now) = next.registry.by_uuid(&record.uuid).map(|now| now.name.clone()) else {
            continue;
        };
        if let Some(now) = next.registry.sessions.get_mut(&now) {
            now.mode.clone_from(&record.mode);
        }
        // Where its name is taken by now, it stays under the new one.
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
    transaction.run_scripts(&done.events);
    Ok(done)
}

/// Whether sessions of these names may live or come to live, though making them failed: what tmux
/// does that answers nothing, nobody knows. What it answers now comes after all that it was told.
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
    for warning in &done.warnings {
        warn(warning);
    }
    let names: Vec<String> =
        done.sessions.iter().map(|(_, session)| super::list::visible(&session.name)).collect();
    match names.as_slice() {
        [] if done.failed => return Ok(ExitCode::FAILURE),
        [] if done.warnings.is_empty() => print("nothing is lost\n")?,
        [] => {}
        names => print(&format!("{verb} {}\n", names.join(", ")))?,
    }
    Ok(if done.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

pub fn new(context: &Context, args: &cli::New, command: &[String]) -> Outcome {
    if args.mode.as_deref() == Some("") {
        return Err(Failure::Usage("a mode is a word, such as safe".into()));
    }
    if !args.detached {
        require_terminal(context, args.client.as_deref())?;
    }
    let place = context.place()?;
    let given = Path::new(args.directory.as_deref().unwrap_or("."));
    let here = match &args.pane {
        _ if given.is_absolute() => PathBuf::new(),
        Some(pane) => pane_directory(&place, pane)?,
        None => std::env::current_dir()
            .map_err(|error| format!("the current directory is gone: {error}"))?,
    };
    let directory = here.join(given);
    if !directory.is_dir() {
        return Err(format!("{} is not a directory", directory.display()).into());
    }
    // Links stay as they were typed, but where `..` leads they decide.
    let climbs = directory.components().any(|part| part == Component::ParentDir);
    let directory: PathBuf =
        if climbs { directory.canonicalize()? } else { directory.components().collect() };
    let Some(workdir) = directory.to_str().map(str::to_owned) else {
        return Err(format!("{} is not UTF-8", directory.display()).into());
    };
    if let Some(name) = &args.name {
        validate_name(name)?;
    }
    let seat = with_server(&place, &[], |transaction| {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => free_name(transaction, &directory),
        };
        if transaction.is_ignored(&name) {
            return Err(ignored(&name));
        }
        if let Some(other) = named_left_alone(transaction, &name) {
            return Err(lives_left_alone(&name, other));
        }
        if let Some(mode) = &args.mode {
            warn_of_mode(mode, &transaction.settings.modes);
        }
        match find(transaction, &name) {
            Ok(Found::Live(..)) => {
                return Err(format!(
                    "session {name:?} lives already: roster go {}, or choose another name",
                    to_paste(&name)
                )
                .into());
            }
            Ok(Found::Lost(lost))
                if args.directory.is_none() || is_directory_of(transaction, &lost, &workdir) =>
            {
                let changes = Changes { name: None, mode: args.mode.as_deref() };
                let done = bring_back(transaction, vec![lost], changes, command)?;
                return first(transaction, &done);
            }
            // A lost one of another directory steps aside when the new one stands.
            _ => {}
        }
        let default = &transaction.settings.policy.default_mode;
        let mode = args.mode.clone().unwrap_or_else(|| default.clone());
        let record = Session::with(&name, &workdir, &mode, new_uuid(), Timestamp::now());
        let done = restore::make_new(transaction, record, command)?;
        transaction.run_scripts(&done.events);
        first(transaction, &done)
    })?;
    if args.detached {
        return Ok(ExitCode::SUCCESS);
    }
    go_to(context, &place, seat, args.client.as_deref())
}

/// Whether a lost session belongs in this directory, however that is spelled.
fn is_directory_of(transaction: &Transaction<'_>, lost: &Session, workdir: &str) -> bool {
    let memory = &transaction.remembered.memory;
    let exact = Exact::workdir_of(memory.exact.get(&lost.uuid), lost);
    let displaced = memory.displaced.get(&lost.uuid).filter(|before| before.to == lost.workdir);
    let belongs = displaced.map(|before| before.from.as_bytes());
    let mut recorded = std::iter::once(exact.as_slice()).chain(belongs);
    recorded.any(|recorded| {
        recorded == workdir.as_bytes()
            || health::is_one_directory(workdir.as_bytes(), recorded) == Some(true)
    })
}

/// Where the program in a pane is.
fn pane_directory(place: &Place, pane: &str) -> Result<PathBuf, Failure> {
    let format = "#{n:pane_current_path} #{pane_current_path}";
    let show = ["display-message", "-p", "-t", pane, format];
    let printed = place.tmux.run(&show, Instant::now() + TYPED_LIMIT)?;
    let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
    let space = printed.iter().position(|byte| *byte == b' ').ok_or("tmux shows no such pane")?;
    let path = query::exact(&printed[..space], &printed[space + 1..]);
    let path = PathBuf::from(OsString::from_vec(path));
    // A pane whose program has ended is nowhere.
    Some(path).filter(|path| path.is_absolute()).ok_or_else(|| "the pane has no directory".into())
}

fn seat(transaction: &Transaction<'_>, id: SessionId) -> Seat {
    Seat { server: transaction.answer.snapshot.server, id }
}

/// The first session that was made.
fn first(transaction: &Transaction<'_>, done: &Restored) -> Result<Seat, Failure> {
    let made = done.sessions.first().map(|(id, _)| seat(transaction, *id));
    let (why, warnings) = match (made, done.warnings.split_last()) {
        (None, Some((why, others))) => (why.as_str(), others),
        _ => ("tmux did not make the session", done.warnings.as_slice()),
    };
    for warning in warnings {
        warn(warning);
    }
    made.ok_or_else(|| why.into())
}

/// A name made from a directory that neither lives nor is lost.
fn free_name(transaction: &Transaction<'_>, directory: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let name = directory.file_name().map_or(&b"root"[..], |name| name.as_bytes());
    let name = sanitize_name(name);
    let live = &transaction.answer.snapshot.sessions;
    let taken = |name: &str| {
        transaction.remembered.registry.sessions.contains_key(name)
            || live.iter().any(|session| session.name == name.as_bytes())
    };
    if !taken(&name) {
        return name;
    }
    let short: String = name.chars().take(90).collect();
    (2..).map(|n| format!("{short}-{n}")).find(|name| !taken(name)).unwrap_or(name)
}

pub fn go(context: &Context, args: &cli::Go) -> Outcome {
    require_terminal(context, args.client.as_deref())?;
    let place = context.place()?;
    let seat = with_server(&place, &[], |transaction| {
        let record = match find(transaction, &args.name)? {
            Found::Live(id, _) => return Ok(seat(transaction, id)),
            Found::Lost(session) => session,
            Found::Closed(entry) | Found::LeftAlone(entry, _) => entry.session,
        };
        let done = bring_back(transaction, vec![record], Changes::default(), &[])?;
        first(transaction, &done)
    })?;
    go_to(context, &place, seat, args.client.as_deref())
}

pub fn last(context: &Context, args: &cli::Last) -> Outcome {
    require_terminal(context, args.client.as_deref())?;
    let place = context.place()?;
    let client = client(context, &place, args.client.as_deref());
    let seat = with_server(&place, &[], |transaction| {
        let live = transaction.live();
        let current = client.as_ref().ok().and_then(|client| client.as_ref());
        let current = current.and_then(|client| live.get(&client.session).cloned());
        let mut sessions: Vec<Session> =
            transaction.remembered.registry.sessions.values().cloned().collect();
        let memory = &transaction.remembered.memory;
        sessions.retain(|s| {
            Some(&s.uuid) != current.as_ref()
                && !s.last_attached_at.is_zero()
                && !memory.is_unreachable(&s.uuid)
        });
        let before = sessions.into_iter().max_by_key(|session| session.last_attached_at);
        let before = before.ok_or("no other session was attached before")?;
        if let Some((id, _)) = live.iter().find(|(_, uuid)| **uuid == before.uuid) {
            return Ok(seat(transaction, *id));
        }
        let done = bring_back(transaction, vec![before], Changes::default(), &[])?;
        first(transaction, &done)
    })?;
    go_to(context, &place, seat, args.client.as_deref())
}

pub fn rename(context: &Context, args: &cli::Rename) -> Outcome {
    validate_name(&args.new)?;
    let place = context.place()?;
    let store = store_of(&place);
    let mut transaction = match begin(&place, &store) {
        // Without a server everything is in the file.
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
            let mut renamed = Ok(());
            sync::change_offline(&place, |next| {
                let sessions = next.registry.sessions.values();
                let found = Target::parse(&args.old).among(sessions, |session| session);
                let old = found.map_or_else(|| args.old.clone(), |session| session.name.clone());
                renamed = tmux_roster::store::rename(&mut next.registry, &old, &args.new);
                renamed.is_ok()
            })?;
            renamed?;
            return Ok(ExitCode::SUCCESS);
        }
        begun => begun?,
    };
    let found = find(&transaction, &args.old)?;
    if transaction.is_ignored(&args.new) {
        return Err(ignored(&args.new));
    }
    let old = found.name().to_owned();
    if transaction.remembered.registry.sessions.contains_key(&args.new) {
        return Err(tmux_roster::StoreError::AlreadyExists(args.new.clone()).into());
    }
    match found {
        Found::Live(id, _) => {
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
        Found::Lost(session) => {
            let mut next = transaction.remembered.clone();
            next.registry.sessions.remove(&session.name);
            let renamed = Session { name: args.new.clone(), ..session };
            next.registry.sessions.insert(args.new.clone(), renamed);
            transaction.commit(next, None)?;
        }
        Found::Closed(_) => {
            let hint = format!("roster reopen {} --as {}", to_paste(&old), to_paste(&args.new));
            return Err(format!("session {old:?} is closed: {hint}").into());
        }
        Found::LeftAlone(_, live) => return Err(lives_left_alone(&old, &live)),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn kill(context: &Context, args: &cli::Kill) -> Outcome {
    let place = context.place()?;
    let store = store_of(&place);
    let mut transaction = begin(&place, &store).map_err(require_server(&place))?;
    let (id, session) = match find(&transaction, &args.name)? {
        Found::Live(id, session) => (id, session),
        Found::Lost(Session { name, .. }) => {
            let hint = format!("roster forget {} lets it go", to_paste(&name));
            return Err(format!("session {name:?} does not live: {hint}").into());
        }
        Found::Closed(entry) => {
            return Err(format!("session {:?} is closed", entry.session.name).into());
        }
        Found::LeftAlone(entry, live) => {
            return Err(lives_left_alone(&entry.session.name, &live));
        }
    };
    let mut lines = Vec::new();
    if let Ok(Some(client)) = client(context, &place, args.client.as_deref()) {
        if client.session == id {
            let live = transaction.live();
            let others = live.iter().filter(|(other, _)| **other != id);
            let previous = others.max_by_key(|(_, uuid)| {
                let record = transaction.remembered.registry.by_uuid(uuid);
                record.map(|session| session.last_attached_at)
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
    next.registry.sessions.remove(&session.name);
    let mut events = Vec::new();
    if !is_clone {
        events.push(Event { kind: EventKind::Closed, session: session.clone(), old_name: None });
        // What the user ends by our own command is closed at once.
        next.closed.push(ClosedSession { session, closed_at: Timestamp::now(), unproven: None });
    }
    transaction.commit(next, None)?;
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
                return Err(format!("tmux did not end the session {name:?}").into());
            }
        }
    }
    // What tmux has done is told, even where its answer was lost.
    transaction.run_scripts(&events);
    Ok(ExitCode::SUCCESS)
}

pub fn forget(context: &Context, args: &cli::Forget) -> Outcome {
    let place = context.place()?;
    let store = store_of(&place);
    let mut transaction = match begin(&place, &store) {
        Err(SyncError::Tmux(TmuxError::NoServer { .. })) => return forget_lost(&place, args),
        begun => begun?,
    };
    let found = find(&transaction, &args.name)?;
    let mut next = transaction.remembered.clone();
    let now = Timestamp::now();
    match found {
        Found::Live(id, session) => {
            if !args.force {
                return Err(format!(
                    "session {:?} lives: roster kill {} ends it, --force leaves it untracked",
                    session.name,
                    to_paste(&session.name)
                )
                .into());
            }
            next.registry.sessions.remove(&session.name);
            next.memory.sessions.remove(&id);
            next.memory.untracked.insert(id, session.name.clone());
            next.closed.push(ClosedSession { session, closed_at: now, unproven: None });
        }
        Found::Lost(session) => {
            next.registry.sessions.remove(&session.name);
            next.closed.push(ClosedSession { session, closed_at: now, unproven: None });
        }
        Found::Closed(entry) | Found::LeftAlone(entry, _) => {
            drop(next.closed.take(&entry.session.uuid));
        }
    }
    transaction.commit(next, None)?;
    transaction.bring_into_step()?;
    Ok(ExitCode::SUCCESS)
}

/// Forgetting where no server runs: what the registry has is lost.
fn forget_lost(place: &Place, args: &cli::Forget) -> Outcome {
    let now = Timestamp::now();
    sync::change_offline(place, |next| {
        let lost = next.registry.sessions.values().map(|session| (session, true));
        let closed = next.closed.closed.iter().map(|entry| (&entry.session, false));
        let found = Target::parse(&args.name).among(lost.chain(closed), |(session, _)| session);
        let Some((session, is_lost)) = found.map(|(s, is_lost)| (s.clone(), is_lost)) else {
            return false;
        };
        if is_lost {
            next.registry.sessions.remove(&session.name);
            next.closed.push(ClosedSession { session, closed_at: now, unproven: None });
        } else {
            next.closed.take(&session.uuid);
        }
        true
    })?
    .then_some(ExitCode::SUCCESS)
    .ok_or_else(|| not_found(&args.name, std::iter::empty()))
}

/// A client and where it is.
pub struct Client {
    pub name: String,
    pub session: SessionId,
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
    let deadline = Instant::now() + TYPED_LIMIT;
    let format = "#{client_activity} #{session_id} #{client_name}";
    let listed = place.tmux.run(&["list-clients", "-F", format], deadline)?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let mut clients: Vec<(u64, SessionId, &str)> = listed
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ' ');
            let activity = parts.next()?.parse().ok()?;
            Some((activity, SessionId::parse(parts.next()?)?, parts.next()?))
        })
        .collect();
    if let Some(named) = named {
        clients.retain(|(_, _, name)| *name == named);
    } else {
        let session = match &context.environment.pane {
            Some(pane) => {
                let show = ["display-message", "-p", "-t", pane, "#{session_id}"];
                let printed = place.tmux.run(&show, deadline)?;
                SessionId::parse(String::from_utf8_lossy(&printed).trim())
            }
            None => {
                let session = context.environment.tmux.as_ref().map(|(_, id)| format!("${id}"));
                session.and_then(|id| SessionId::parse(&id))
            }
        };
        clients.retain(|(_, of, _)| Some(*of) == session);
    }
    let newest = clients.into_iter().max();
    Ok(newest.map(|(_, session, name)| Client { name: name.to_owned(), session }))
}

/// Switches the client there, or attaches where there is none.
fn go_to(context: &Context, place: &Place, seat: Seat, named: Option<&str>) -> Outcome {
    let target = seat.id.to_string();
    if named.is_none() && !context.is_inside() {
        let attach = line(&[b"attach-session", b"-t", target.as_bytes()]);
        let error = place.tmux.client(&there_or_fail(seat, &attach)).exec();
        return Err(format!("could not start tmux: {error}").into());
    }
    let Some(client) = client(context, place, named)? else {
        return Err("no client shows this pane, so there is none to switch".into());
    };
    let name = client.name.as_bytes();
    let switch = line(&[b"switch-client", b"-c", name, b"-t", target.as_bytes()]);
    place.tmux.run(&there_or_fail(seat, &switch), Instant::now() + TYPED_LIMIT)?;
    Ok(ExitCode::SUCCESS)
}

/// The call that runs a command on the seat's server; another one says that it cannot find the
/// session, since there can be none of the last id that there is.
fn there_or_fail(seat: Seat, command: &[u8]) -> Vec<OsString> {
    let mut words = only_on(seat.server, command);
    words.push("has-session -t '$4294967295'".into());
    words
}
