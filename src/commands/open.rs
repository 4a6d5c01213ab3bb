//! Going to sessions: new, go, last.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::session::new_uuid;
use tmux_roster::restore::{self, Restored, Wanted};
use tmux_roster::tmux::ANSWER_LIMIT;
use tmux_roster::tmux::text::exact;
use tmux_roster::transaction::Transaction;
use tmux_roster::{Session, Timestamp, sanitize_name, validate_name};

use super::begin::with_server;
use super::bring_back::{Changes, bring_back, ignored, is_directory_of, those_in};
use super::client::{Destination, client, destination, go_to};
use super::context::{Context, Failure, Outcome};
use super::edit::warn_of_mode;
use super::output::{print, to_paste, warn};
use super::projects;
use super::target::{Found, find, find_known, lives_left_alone, named_left_alone, out_of_reach};
use crate::cli;

pub fn new(context: &Context, args: &cli::New, command: &[String]) -> Outcome {
    if args.mode.as_deref() == Some("") {
        return Err(Failure::usage("the mode is empty: use a word such as safe".into()));
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
    let workdir = projects::as_meant(&directory)?;
    if let Some(name) = &args.name {
        validate_name(name)?;
    }
    let mut chosen = None;
    let seat = with_server(&place, |transaction| {
        let name = match &args.name {
            Some(name) => name.clone(),
            None => chosen.insert(free_name(transaction, &workdir)).clone(),
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
                    "session {name:?} is already live: run roster go {}, or choose another name",
                    to_paste(&name)
                )
                .into());
            }
            Ok(Found::Lost(lost))
                if args.directory.is_none() || is_directory_of(transaction, &lost, &workdir) =>
            {
                let changes = Changes { name: None, mode: args.mode.as_deref() };
                let done =
                    bring_back(transaction, vec![lost], changes, Wanted { command, bare: false })?;
                return first(transaction, &done);
            }
            // A lost one of another directory steps aside when the new one stands.
            _ => {}
        }
        make(transaction, &name, &workdir, args.mode.as_deref(), command)
    })?;
    if args.detached {
        if let Some(name) = chosen {
            print(&format!("created {name}\n"))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    go_to(context, &place, seat, args.client.as_deref())
}

/// Where the program in a pane is.
fn pane_directory(place: &Place, pane: &str) -> Result<PathBuf, Failure> {
    let format = "#{n:pane_current_path} #{pane_current_path}";
    let show = ["display-message", "-p", "-t", pane, format];
    let printed = place.tmux.run(&show, Instant::now() + ANSWER_LIMIT)?;
    let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
    let space = printed.iter().position(|byte| *byte == b' ').ok_or("there is no such pane")?;
    let path = exact(&printed[..space], &printed[space + 1..]);
    let path = PathBuf::from(OsString::from_vec(path));
    // A pane whose program has ended is nowhere.
    Some(path)
        .filter(|path| path.is_absolute())
        .ok_or_else(|| "the pane has no current directory".into())
}

/// The first session that was made.
fn first(transaction: &Transaction<'_>, done: &Restored) -> Result<Destination, Failure> {
    let made = done.sessions.first().map(|(id, _)| destination(transaction, *id));
    let (why, warnings) = match (made, done.warnings.split_last()) {
        (None, Some((why, others))) => (why.as_str(), others),
        _ => ("tmux did not create the session", done.warnings.as_slice()),
    };
    for warning in warnings.iter().chain(&done.notes) {
        warn(warning);
    }
    made.ok_or_else(|| why.into())
}

/// Makes a session, and runs the command of its mode.
fn make(
    transaction: &mut Transaction<'_>,
    name: &str,
    workdir: &str,
    mode: Option<&str>,
    command: &[String],
) -> Result<Destination, Failure> {
    let mode = mode.unwrap_or(&transaction.settings.policy.default_mode);
    let record = Session::with(name, workdir, mode, new_uuid(), Timestamp::now());
    let done = restore::make_new(transaction, record, command)?;
    transaction.tell_events(&done.events);
    first(transaction, &done)
}

/// A name made from a directory that neither lives nor is lost: its last part; where a session of
/// another directory has that, its last two; and then with a number.
fn free_name(transaction: &Transaction<'_>, workdir: &str) -> String {
    use std::os::unix::ffi::OsStrExt;
    let directory = Path::new(workdir);
    let part = |path: &Path| path.file_name().map(|name| sanitize_name(name.as_bytes()));
    let name = part(directory).unwrap_or_else(|| "root".into());
    let records = &transaction.remembered.registry.sessions;
    let fits = |name: &str| transaction.is_free(name) && !transaction.is_ignored(name);
    if fits(&name) {
        return name;
    }
    let is_here = |record: &Session| is_directory_of(transaction, record, workdir);
    let parent =
        directory.parent().and_then(part).filter(|_| !records.get(&name).is_some_and(is_here));
    let longer = parent.map(|parent| sanitize_name(format!("{parent}-{name}").as_bytes()));
    if let Some(longer) = longer.filter(|name| fits(name)) {
        return longer;
    }
    let short: String = name.chars().take(90).collect();
    let suffix = transaction.suffix(&short).unwrap_or_default();
    short + &suffix
}

pub fn go(context: &Context, args: &cli::Go) -> Outcome {
    require_terminal(context, args.client.as_deref())?;
    let place = context.place()?;
    let directory = projects::typed(&args.name);
    let seat = with_server(&place, |transaction| {
        let found = match find_known(transaction, &args.name) {
            Some(found) => found,
            None => match directory? {
                Some(directory) => return go_to_directory(transaction, &directory),
                None => find(transaction, &args.name),
            },
        }?;
        let record = match found {
            Found::Live(id, _) => return Ok(destination(transaction, id)),
            Found::Lost(session) => session,
            Found::Closed(entry) | Found::LeftAlone(entry, _) => entry.session,
        };
        let done = bring_back(transaction, vec![record], Changes::default(), Wanted::default())?;
        first(transaction, &done)
    })?;
    go_to(context, &place, seat, args.client.as_deref())
}

/// The session that lives in a directory, of several the one used last; else the one that was lost
/// there; else a new one.
fn go_to_directory(
    transaction: &mut Transaction<'_>,
    workdir: &str,
) -> Result<Destination, Failure> {
    let memory = &transaction.remembered.memory;
    let records = transaction.remembered.registry.sessions.values();
    let here = those_in(transaction, records, workdir).into_iter();
    let rank = |record: &Session| match memory.id_of(&record.uuid) {
        Some(_) => 2,
        None if !memory.is_unreachable(&record.uuid) => 1,
        None => 0,
    };
    let used = |record: &&Session| (rank(record), record.last_attached_at, record.created_at);
    if let Some(record) = here.max_by_key(used).cloned() {
        if let Some(id) = memory.id_of(&record.uuid) {
            return Ok(destination(transaction, id));
        }
        if memory.is_unreachable(&record.uuid) {
            return Err(out_of_reach(transaction, &record));
        }
        let done = bring_back(transaction, vec![record], Changes::default(), Wanted::default())?;
        return first(transaction, &done);
    }
    let name = free_name(transaction, workdir);
    if transaction.is_ignored(&name) {
        return Err(ignored(&name));
    }
    make(transaction, &name, workdir, None, &[])
}

pub fn last(context: &Context, args: &cli::Last) -> Outcome {
    require_terminal(context, args.client.as_deref())?;
    let place = context.place()?;
    let client = client(context, &place, args.client.as_deref());
    let seat = with_server(&place, |transaction| {
        let memory = &transaction.remembered.memory;
        let current = client.as_ref().ok().and_then(|client| client.as_ref());
        // The client's own way back: others come and go as well, monitors in control mode too.
        let mut live = transaction.answer.snapshot.sessions.iter();
        let before = current.filter(|client| !client.last.is_empty());
        let before = before.and_then(|client| live.find(|live| live.name == client.last));
        if let Some(before) = before {
            return Ok(destination(transaction, before.id));
        }
        let current = current.and_then(|client| memory.sessions.get(&client.session));
        let mut sessions: Vec<Session> =
            transaction.remembered.registry.sessions.values().cloned().collect();
        sessions.retain(|s| {
            Some(&s.uuid) != current.map(|known| &known.uuid)
                && !s.last_attached_at.is_zero()
                && !memory.is_unreachable(&s.uuid)
        });
        let before = sessions.into_iter().max_by_key(|session| session.last_attached_at);
        let before = before.ok_or("no other session has been attached")?;
        if let Some(id) = memory.id_of(&before.uuid) {
            return Ok(destination(transaction, id));
        }
        let done = bring_back(transaction, vec![before], Changes::default(), Wanted::default())?;
        first(transaction, &done)
    })?;
    go_to(context, &place, seat, args.client.as_deref())
}

/// Refuses, before anything is done, to go somewhere where nothing can be attached.
fn require_terminal(context: &Context, client: Option<&str>) -> Result<(), Failure> {
    if client.is_some() || context.is_inside() || std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err("not a terminal: run this in one, or inside tmux (roster new -d, roster restore and roster \
         reopen need neither)"
        .into())
}
