//! How a record is to be made: where, under which exact name, with which command, as lines for tmux.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::conditions::Conditions;
use super::launch::{Launch, Profiles};
use super::windows::WindowPlan;
use crate::health;
use crate::model::memory::{Displaced, Exact};
use crate::model::session::Session;
use crate::model::snapshot::SessionId;
use crate::tmux::Version;
use crate::tmux::source::Group;
use crate::tmux::text::{escape_name, line, unstored_name};
use crate::transaction::Transaction;

/// A session to be made.
#[derive(Debug, Clone)]
pub struct Blueprint {
    /// Its record; the name is the one that it shall have.
    pub record: Session,
    /// The name, byte for byte.
    pub name: Vec<u8>,
    /// The directory to start in, byte for byte.
    pub workdir: Vec<u8>,
    /// The one that it belongs in, if that is gone.
    pub displaced: Option<Displaced>,
    /// Whether it starts somewhere else than where it belongs.
    pub is_elsewhere: bool,
    /// What is started in it.
    pub launch: Launch,
    /// Its windows; none for one as tmux makes it.
    pub windows: Vec<WindowPlan>,
}

/// How a record is to be made: where, under which exact name, with which command; `again` if it is
/// one that comes back.
pub(super) fn blueprint(
    transaction: &Transaction<'_>,
    mut record: Session,
    profiles: &Profiles,
    again: bool,
    warnings: &mut Vec<String>,
) -> Blueprint {
    let memory = &transaction.remembered.memory;
    let exact = memory.exact.get(&record.uuid);
    let name = Exact::name_of(exact, &record);
    let mut workdir = Exact::workdir_of(exact, &record);
    let before = memory.displaced.get(&record.uuid).filter(|before| before.to == record.workdir);
    if let Some(before) = before {
        record.workdir.clone_from(&before.from);
        workdir = before.from.clone().into_bytes();
    }
    let (mut displaced, mut is_elsewhere) = (None, false);
    let from_home = health::from_home(&workdir);
    if let Some(path) = from_home.filter(|path| health::is_directory(path.clone()) == Some(true)) {
        record.workdir = String::from_utf8_lossy(&path).into_owned();
        workdir = path;
    }
    match health::is_directory(workdir.clone()) {
        Some(true) => {}
        // To resolve it against where we happen to be would be a guess.
        _ if !workdir.starts_with(b"/") => {
            let home = home();
            warnings.push(format!(
                "the directory {} of {:?} is relative to an unknown directory: started in {}",
                record.workdir,
                record.name,
                home.display()
            ));
            record.workdir = home.to_string_lossy().into_owned();
            workdir = home.into_os_string().into_encoded_bytes();
            is_elsewhere = true;
        }
        // It may only be slow: where the session belongs is not forgotten for that.
        None => warnings.push(format!(
            "the directory {} of {:?} does not respond: started there anyway",
            record.workdir, record.name
        )),
        Some(false) => {
            let parent = nearest_directory(&workdir);
            warnings.push(format!(
                "the directory {} of {:?} is gone: started in {}",
                record.workdir,
                record.name,
                parent.display()
            ));
            workdir = parent.as_os_str().as_bytes().to_vec();
            let to = String::from_utf8_lossy(&workdir).into_owned();
            let from = std::mem::replace(&mut record.workdir, to.clone());
            displaced = Some(Displaced { from, to });
            is_elsewhere = true;
        }
    }
    let launch = profiles.launch(&record, again, warnings);
    Blueprint { name, workdir, displaced, is_elsewhere, launch, record, windows: Vec::new() }
}

/// The home folder, or the nearest one above that is there.
fn home() -> PathBuf {
    let home = health::home().unwrap_or_else(|| "/".into());
    let bytes = home.as_os_str().as_bytes();
    match health::is_directory(bytes.to_vec()) {
        Some(true) => home,
        _ => nearest_directory(bytes).to_owned(),
    }
}

/// The nearest folder above a path that is there; those above one that does not answer are not
/// waited for.
pub(super) fn nearest_directory(path: &[u8]) -> &Path {
    let above = Path::new(OsStr::from_bytes(path)).ancestors().skip(1);
    let looked = above.map(|path| (path, health::is_directory(path.as_os_str().as_bytes().into())));
    let mut answered = looked.take_while(|(_, found)| found.is_some());
    answered.find(|(_, found)| *found == Some(true)).map_or(Path::new("/"), |(path, _)| path)
}

/// Reads what [`new_session`] makes tmux print.
pub(super) fn made(line: &str) -> Option<(String, SessionId)> {
    let (uuid, id) = line.split_once(' ')?;
    Some((uuid.to_owned(), SessionId::parse(id)?))
}

/// Where a group has tmux spare the session that it makes. A hook, since a name is no sure target and
/// the id is not known yet; the first client that leaves, ours for one, would be the session's end.
pub(super) const SPARING: &[u8] = b"after-new-session[4242]";

/// What spares it.
pub(super) const SPARE: &str = "set-option destroy-unattached off";

/// The command that has tmux spare the session that is made next.
fn spare() -> Vec<u8> {
    line(&[b"set-hook", b"-g", SPARING, SPARE.as_bytes()])
}

/// The commands that make a session, as the server's conditions want it, and print its UUID and id.
pub(super) fn new_session(
    blueprint: &Blueprint,
    version: Version,
    conditions: &Conditions,
) -> Group {
    let record = &blueprint.record;
    let pairs: Vec<Vec<u8>> = (record.variables().iter())
        .map(|(name, value)| format!("{name}={value}").into_bytes())
        .collect();
    let has_e = version.sets_environment_of_session();
    let print = format!("{} #{{session_id}}", record.uuid);
    let name = escape_name(&unstored_name(&blueprint.name, version), version);
    let workdir = escape_name(&blueprint.workdir, version);
    let mut words: Vec<&[u8]> =
        vec![b"new-session", b"-d", b"-P", b"-F", print.as_bytes(), b"-s", &name, b"-c", &workdir];
    let mut lines = Vec::new();
    if has_e {
        words.extend(pairs[..3].iter().flat_map(|pair| [&b"-e"[..], pair]));
    }
    // More than one word is run without a shell, on every version.
    let start = conditions.start_in(&blueprint.workdir);
    let command = blueprint.launch.in_pane(record);
    if !start.is_empty() || !command.is_empty() {
        words.push(b"--");
        words.extend(start);
    }
    if !command.is_empty() {
        words.extend(command.iter().map(Vec::as_slice));
    } else if !has_e {
        // The first pane inherits the global environment.
        for (name, value) in &record.variables()[..3] {
            lines.push(line(&[b"set-environment", b"-g", name.as_bytes(), value.as_bytes()]));
        }
    }
    if conditions.spares() {
        lines.push(spare());
    }
    lines.push(line(&words));
    if conditions.spares() {
        lines.push(line(&[b"set-hook", b"-gu", SPARING]));
    }
    if command.is_empty() && !has_e {
        for (name, _) in &record.variables()[..3] {
            lines.push(line(&[b"set-environment", b"-gu", name.as_bytes()]));
        }
    }
    lines
}
