//! Making sessions anew from their records: lost ones, closed ones, and new ones.
//!
//! Works under the lock of a transaction, so that no hook's sync sees a session before it bears
//! its stamp.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::health;
use crate::model::memory::{ClosedSession, Displaced, Exact};
use crate::model::reconcile::{Event, EventKind};
use crate::model::session::Session;
use crate::model::snapshot::SessionId;
use crate::model::time::Timestamp;
use crate::sync::{SyncError, Transaction};
use crate::tmux::Version;
use crate::tmux::command::{escape_format, line};

/// What was made anew, and what was not.
#[derive(Debug, Default)]
pub struct Restored {
    /// The sessions, as recorded afterwards, with their ids.
    pub sessions: Vec<(SessionId, Session)>,
    /// For the user's scripts.
    pub events: Vec<Event>,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Whether one of them does not live.
    pub failed: bool,
}

/// How many sessions are made in one piece. tmux answers nobody meanwhile, and starts a process
/// for each; and all the lines that belong to one must be in the same piece ([`new_session`]).
const AT_ONCE: usize = 10;

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
    /// The launch command; empty for tmux's default.
    pub command: Vec<String>,
}

/// Makes every lost session anew whose name is free.
///
/// # Errors
/// A file or tmux fails.
pub fn restore_all(transaction: &mut Transaction<'_>) -> Result<Restored, SyncError> {
    // Those would be made, and not be known as what came back.
    let (ignored, lost): (Vec<Session>, Vec<Session>) =
        transaction.lost().into_iter().partition(|session| transaction.is_ignored(&session.name));
    let nothing_else = lost.is_empty();
    let mut done = make(transaction, lost, &[], health::RECREATED)?;
    if nothing_else && !ignored.is_empty() {
        let names: Vec<String> = ignored.iter().map(|s| format!("{:?}", s.name)).collect();
        let names = names.join(", ");
        done.warnings.push(format!("only what @roster-ignore leaves alone is lost: {names}"));
    }
    Ok(done)
}

/// Makes those anew that are to be restored by themselves, as far as there is time.
///
/// # Errors
/// A file or tmux fails.
pub fn restore_at_start(transaction: &mut Transaction<'_>) -> Result<Restored, SyncError> {
    let mut lost = transaction.lost();
    let mut memory = transaction.remembered.memory.clone();
    lost.retain(|session| {
        memory.to_restore.contains(&session.uuid) && !transaction.is_ignored(&session.name)
    });
    // What is lost no more was made by somebody else, or forgotten.
    memory.to_restore = lost.iter().map(|session| session.uuid.clone()).collect();
    transaction.remember(memory)?;
    make(transaction, lost, &[], health::RECREATED)
}

/// Makes these recorded sessions anew and brings everything into step; `command`, if it is not
/// empty, instead of their modes' launch profiles.
///
/// # Errors
/// A file or tmux fails.
pub fn make(
    transaction: &mut Transaction<'_>,
    records: Vec<Session>,
    command: &[String],
    status: &str,
) -> Result<Restored, SyncError> {
    let mut done = Restored::default();
    carry_out(transaction, records, command, status, &mut done)?;
    for (_, session) in &done.sessions {
        let session = session.clone();
        done.events.push(Event { kind: EventKind::Restored, session, old_name: None });
    }
    Ok(done)
}

/// Makes a session that was never there; `command` instead of its mode's launch profile.
///
/// # Errors
/// A file or tmux fails.
pub fn make_new(
    transaction: &mut Transaction<'_>,
    record: Session,
    command: &[String],
) -> Result<Restored, SyncError> {
    let mut done = Restored::default();
    carry_out(transaction, vec![record], command, "", &mut done)?;
    for (_, session) in &done.sessions {
        let session = session.clone();
        done.events.push(Event { kind: EventKind::Created, session, old_name: None });
    }
    Ok(done)
}

fn carry_out(
    transaction: &mut Transaction<'_>,
    records: Vec<Session>,
    command: &[String],
    status: &str,
    done: &mut Restored,
) -> Result<(), SyncError> {
    if records.is_empty() {
        return Ok(());
    }
    let profiles = profiles(transaction, &records, &mut done.warnings)?;
    let (mut blueprints, mut made) = (Vec::new(), Vec::new());
    let mut failure = None;
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() && (blueprints.is_empty() || !transaction.is_late()) {
        let from = blueprints.len();
        // Each directory may take its time.
        while blueprints.len() - from < AT_ONCE
            && (blueprints.len() == from || !transaction.is_late())
        {
            let Some(record) = records.next() else { break };
            let mut blueprint = blueprint(transaction, record, &profiles, &mut done.warnings);
            if !command.is_empty() {
                blueprint.command = command.to_vec();
            }
            blueprints.push(blueprint);
        }
        match create(transaction, &blueprints[from..]) {
            Ok(created) => made.extend(created),
            Err(error) if made.is_empty() => return Err(error),
            // Those that stand are told of all the same. Of these nobody knows whether tmux still
            // makes them: the next sync sees.
            Err(error) => {
                blueprints.truncate(from);
                failure = Some(error);
                break;
            }
        }
        note_tried(transaction, &blueprints[from..])?;
    }
    // One whose command ended at once leaves no record of a session that never was.
    transaction.look_again()?;
    let sessions = &transaction.answer.snapshot.sessions;
    made.retain(|(_, id)| sessions.iter().any(|session| session.id == *id));
    let now = Timestamp::now();
    let mut next = transaction.remembered.clone();
    for (uuid, _) in &made {
        let Some(blueprint) = blueprints.iter().find(|b| b.record.uuid == *uuid) else { continue };
        if next.registry.by_uuid(uuid).is_none() {
            // Recorded here, since before tmux 3.2 nobody else can tell its directory. A lost
            // session of its name steps aside.
            let record = blueprint.record.clone();
            if let Some(lost) = next.registry.sessions.insert(record.name.clone(), record) {
                next.closed.push(ClosedSession { session: lost, closed_at: now, unproven: None });
            }
        }
        let recorded = next.registry.sessions.values_mut().find(|s| s.uuid == *uuid);
        if let Some(recorded) = recorded {
            let mut status = status;
            if let Some(displaced) = &blueprint.displaced {
                next.memory.displaced.insert(uuid.clone(), displaced.clone());
            }
            if blueprint.is_elsewhere {
                status = health::WORKDIR_MISSING;
            }
            // That it is restored is told by who asked for it.
            next.memory.lost_since.remove(uuid);
            recorded.workdir.clone_from(&blueprint.record.workdir);
            status.clone_into(&mut recorded.last_health_status);
            recorded.last_health_at = if status.is_empty() { Timestamp::ZERO } else { now };
        }
    }
    transaction.commit(next, None)?;
    transaction.bring_into_step()?;
    let live = transaction.live();
    let made: HashSet<&String> = made.iter().map(|(uuid, _)| uuid).collect();
    let mut lives = HashSet::new();
    for (id, uuid) in live.iter().filter(|(_, uuid)| made.contains(uuid)) {
        if let Some(session) = transaction.remembered.registry.by_uuid(uuid) {
            lives.insert(uuid);
            done.sessions.push((*id, session.clone()));
        }
    }
    for blueprint in blueprints.iter().filter(|b| !lives.contains(&b.record.uuid)) {
        let what = match blueprint.command.as_slice() {
            [] => "its shell".to_owned(),
            words => format!("its command {:?}", shell_words::join(words)),
        };
        done.failed = true;
        done.warnings.push(format!(
            "tmux did not make the session {:?}, or {what} ended at once",
            blueprint.record.name
        ));
    }
    if let Some(error) = failure {
        done.failed = true;
        done.warnings.push(format!("the rest may not have been made: {error}"));
    }
    Ok(())
}

/// Notes what is not to be tried again by itself. One of them that ends before the others are made
/// stays lost: its command may be what is wrong, and then whoever mends that restores it.
fn note_tried(transaction: &mut Transaction<'_>, tried: &[Blueprint]) -> Result<(), SyncError> {
    transaction.settle_what_to_restore()?;
    let mut memory = transaction.remembered.memory.clone();
    memory.to_restore.retain(|uuid| tried.iter().all(|blueprint| blueprint.record.uuid != *uuid));
    transaction.remember(memory)
}

/// How a record is to be made: where, under which exact name, with which command.
fn blueprint(
    transaction: &Transaction<'_>,
    mut record: Session,
    profiles: &Profiles,
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
                "the directory {} of {:?} is relative, to what is not known: started in {}",
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
            "the directory {} of {:?} does not answer: started there all the same",
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
    let words = profiles.get(&record.mode).map_or(&[][..], Vec::as_slice);
    let command = launch_command(words, &record).unwrap_or_else(|variable| {
        warnings.push(format!(
            "@roster-command-{} is for another machine, whose shell would take the value of \
             ${variable} of {:?} apart: not started",
            record.mode, record.name
        ));
        Vec::new()
    });
    Blueprint { name, workdir, displaced, is_elsewhere, command, record }
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
fn nearest_directory(path: &[u8]) -> &Path {
    let above = Path::new(OsStr::from_bytes(path)).ancestors().skip(1);
    let looked = above.map(|path| (path, health::is_directory(path.as_os_str().as_bytes().into())));
    let mut answered = looked.take_while(|(_, found)| found.is_some());
    answered.find(|(_, found)| *found == Some(true)).map_or(Path::new("/"), |(path, _)| path)
}

/// The words of each mode's launch command, where it has one.
type Profiles = HashMap<String, Vec<String>>;

/// The launch commands of the records' modes, asked for in one call.
///
/// # Errors
/// tmux does not tell them.
fn profiles(
    transaction: &Transaction<'_>,
    records: &[Session],
    warnings: &mut Vec<String>,
) -> Result<Profiles, SyncError> {
    let is_option = |mode: &&str| {
        // tmux takes no call that is too long.
        (1..=100).contains(&mode.len())
            && mode.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_@".contains(&b))
    };
    let modes: BTreeSet<&str> =
        records.iter().map(|record| record.mode.as_str()).filter(is_option).collect();
    let options: Vec<String> = modes.iter().map(|mode| format!("@roster-command-{mode}")).collect();
    let names: Vec<&str> = options.iter().map(String::as_str).collect();
    let mut values = Vec::new();
    for some in names.chunks(50) {
        values.extend(crate::sync::options(transaction.place(), some, transaction.deadline())?);
    }
    let mut profiles = Profiles::new();
    for ((mode, option), value) in modes.iter().zip(&options).zip(values) {
        match shell_words::split(&String::from_utf8_lossy(&value)) {
            Ok(words) => drop(profiles.insert((*mode).to_owned(), words)),
            Err(error) => {
                let text = format!("{option} cannot be split into words ({error}): not started");
                warnings.push(text);
            }
        }
    }
    Ok(profiles)
}

/// What a session's programs find in their environment.
pub fn variables(record: &Session) -> [(&'static str, &str); 4] {
    [
        ("ROSTER_UUID", &record.uuid),
        ("ROSTER_MODE", &record.mode),
        ("ROSTER_SESSION", &record.name),
        ("ROSTER_WORKDIR", &record.workdir),
    ]
}

/// Programs that make one line of their arguments for a shell of another machine.
const REMOTE: [&str; 7] = ["ssh", "autossh", "mosh", "rsh", "slogin", "pdsh", "dsh"];

/// The same for a shell of this one.
const JOINING: [&str; 3] = ["watch", "hwatch", "viddy"];

/// Programs that take a script.
const SCRIPTED: [&str; 24] = [
    "sh", "ash", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "oksh", "loksh", "pdksh", "yash",
    "rbash", "rksh", "csh", "tcsh", "fish", "nu", "xonsh", "elvish", "osh", "ysh", "su", "script",
];

/// The words of a launch command, with our variables expanded: what may come to a shell gets only
/// values that are nothing to it. Any other is left to that shell, which has it in its environment:
/// a session may be named `$(reboot)`. The shell of another machine has not; then it is the name
/// of the variable that is the error.
fn launch_command(words: &[String], record: &Session) -> Result<Vec<String>, &'static str> {
    let programs = || words.iter().map(|word| word.rsplit('/').next().unwrap_or_default());
    let has_one_of = |those: &[&str]| programs().any(|program| those.contains(&program));
    let is_remote = has_one_of(&REMOTE);
    let is_line = is_remote || has_one_of(&JOINING);
    let is_shell = |program: &str| program.ends_with("sh") && !program.ends_with(".sh");
    let is_scripted = has_one_of(&SCRIPTED) || programs().next().is_some_and(is_shell);
    let mut left = None;
    let expanded = words.iter().enumerate().map(|(at, word)| {
        let around = replace_variables(word, record, |_, _| Some(""));
        // Text with spaces or quotes in it is a script, whatever program it is for.
        let is_script = !is_plain(&around)
            || is_scripted && (!around.is_empty() || is_after_option(&words[..at]));
        replace_variables(word, record, |name, value| {
            let value = (is_plain(value) || !is_line && !is_script).then_some(value);
            if value.is_none() {
                left = Some(name);
            }
            value
        })
    });
    let expanded = expanded.collect();
    left.filter(|_| is_remote).map_or(Ok(expanded), Err)
}

/// Whether what comes after these words may be what an option such as `-c` takes, after others
/// such as the two words of `-o errexit`.
fn is_after_option(before: &[String]) -> bool {
    let is_option = |word: &str| word.starts_with(['-', '+']);
    match before {
        [.., option, _] if is_option(option) && option.ends_with(['o', 'O']) => true,
        [.., option] => is_option(option),
        [] => false,
    }
}

/// Whether a text is one word to any shell, and no more than a part of one.
fn is_plain(text: &str) -> bool {
    // To zsh `=ls` is a path, to fish `%self` a process.
    !text.starts_with(['=', '%'])
        && text.chars().all(|c| c.is_alphanumeric() || "_./@%+,:=-".contains(c))
}

/// Replaces `$NAME` and `${NAME}` of our four variables, and nothing else, by what is made of their
/// names and values; those for which that is nothing stay.
fn replace_variables<'a>(
    word: &str,
    record: &'a Session,
    mut by: impl FnMut(&'static str, &'a str) -> Option<&'a str>,
) -> String {
    let variables = variables(record);
    let mut replaced = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        replaced.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let found = variables.iter().find_map(|&(name, value)| {
            let braced =
                tail.strip_prefix('{').and_then(|t| t.strip_prefix(name)?.strip_prefix('}'));
            let bare = tail
                .strip_prefix(name)
                .filter(|t| !t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
            let after = braced.or(bare)?;
            Some((by(name, value)?, after))
        });
        let (text, after) = found.unwrap_or(("$", tail));
        replaced.push_str(text);
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

/// Makes the sessions of one piece, detached, and stamps them at once: were we cut off later, each
/// is known by its stamp. Gives the id of each by UUID; one that tmux refuses is absent.
///
/// # Errors
/// tmux does not answer.
fn create(
    transaction: &Transaction<'_>,
    blueprints: &[Blueprint],
) -> Result<Vec<(String, SessionId)>, SyncError> {
    let version = transaction.version();
    let lines: Vec<Vec<u8>> = blueprints.iter().flat_map(|b| new_session(b, version)).collect();
    let printed = transaction.run_printing(&lines)?;
    let made: Vec<(String, SessionId)> = printed.lines().filter_map(made).collect();
    let mut stamps = Vec::new();
    for (uuid, id) in &made {
        let target = id.to_string();
        let mut set = |option: &[u8], value: &str| {
            let words: [&[u8]; 5] =
                [b"set-option", b"-t", target.as_bytes(), option, value.as_bytes()];
            stamps.push(line(&words));
        };
        set(b"@roster_uuid", uuid);
        if let Some(blueprint) = blueprints.iter().find(|b| b.record.uuid == *uuid) {
            set(b"@roster_mode", &blueprint.record.mode);
        }
    }
    transaction.run(&stamps)?;
    Ok(made)
}

/// Reads what [`new_session`] makes tmux print.
fn made(line: &str) -> Option<(String, SessionId)> {
    let (uuid, id) = line.split_once(' ')?;
    Some((uuid.to_owned(), SessionId::parse(id)?))
}

/// The commands that make a session and print its UUID and id.
fn new_session(blueprint: &Blueprint, version: Version) -> Vec<Vec<u8>> {
    let record = &blueprint.record;
    let pairs: Vec<Vec<u8>> = (variables(record).iter())
        .map(|(name, value)| format!("{name}={value}").into_bytes())
        .collect();
    let has_e = version.at_least(3, 2);
    let print = format!("{} #{{session_id}}", record.uuid);
    let name = escape_name(&unstored_name(&blueprint.name, version), version);
    let workdir = escape_name(&blueprint.workdir, version);
    let mut words: Vec<&[u8]> =
        vec![b"new-session", b"-d", b"-P", b"-F", print.as_bytes(), b"-s", &name, b"-c", &workdir];
    let mut lines = Vec::new();
    if has_e {
        words.extend(pairs[..3].iter().flat_map(|pair| [&b"-e"[..], pair]));
    }
    if !blueprint.command.is_empty() {
        // More than one word is run without a shell, on every version.
        words.extend([&b"--"[..], b"env"]);
        words.extend(pairs.iter().map(Vec::as_slice));
        if blueprint.command[0].contains('=') {
            // env would take it for one more variable; this sh gets it as an argument.
            words.extend([&b"sh"[..], b"-c", br#"exec "$0" "$@""#]);
        }
        words.extend(blueprint.command.iter().map(String::as_bytes));
    } else if !has_e {
        // The first pane inherits the global environment.
        for (name, value) in &variables(record)[..3] {
            lines.push(line(&[b"set-environment", b"-g", name.as_bytes(), value.as_bytes()]));
        }
    }
    lines.push(line(&words));
    if blueprint.command.is_empty() && !has_e {
        for (name, _) in &variables(record)[..3] {
            lines.push(line(&[b"set-environment", b"-gu", name.as_bytes()]));
        }
    }
    lines
}

/// What tmux is to be given so that it stores `name`: from 3.2 on it doubles every backslash. Before
/// 3.7 it also writes what cannot be printed as `\t` or `\033`, and before 3.5 a `$x` as `\$x`;
/// later ones take no such byte, so there those two stay as they read.
fn unstored_name(name: &[u8], version: Version) -> Vec<u8> {
    if !version.at_least(3, 2) {
        return name.to_vec();
    }
    let mut given = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        let octal = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some(((a - b'0') << 6) + ((b - b'0') << 3) + (c - b'0'))
            }
            _ => None,
        };
        let (byte, length) = match (byte, after.first()) {
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', _) if version.at_least(3, 7) => (b'\\', 1),
            (b'\\', Some(b'$')) if !version.at_least(3, 5) => (b'$', 2),
            (b'\\', Some(b'a')) => (7, 2),
            (b'\\', Some(b'b')) => (8, 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'v')) => (11, 2),
            (b'\\', Some(b'f')) => (12, 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', _) => octal.filter(|byte| *byte != 0).map_or((b'\\', 1), |byte| (byte, 4)),
            (byte, _) => (*byte, 1),
        };
        given.push(byte);
        rest = &rest[length..];
    }
    given
}

/// A name or a directory for `new-session` or `rename-session`, where it is a format: every `#` is
/// doubled, but from 3.2 on not those right before a `[`, which all stay as they are.
pub fn escape_name(text: &[u8], version: Version) -> Vec<u8> {
    if !version.at_least(3, 2) {
        return escape_format(text);
    }
    let mut escaped = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        escaped.push(byte);
        let next = text[at..].iter().find(|byte| **byte != b'#');
        if byte == b'#' && next != Some(&b'[') {
            escaped.push(b'#');
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_to_tmux_so_that_it_stores_it_as_it_was() {
        let given = |name: &str, minor| {
            let given = unstored_name(name.as_bytes(), Version { major: 3, minor });
            String::from_utf8(given).unwrap()
        };
        let name = r"a\\b \$x \t \033[ \000 \9 \";
        assert_eq!(given(name, 1), name);
        assert_eq!(given(name, 3), "a\\b $x \t \x1b[ \\000 \\9 \\");
        assert_eq!(given(name, 6), "a\\b \\$x \t \x1b[ \\000 \\9 \\");
        assert_eq!(given(name, 7), r"a\b \$x \t \033[ \000 \9 \");
    }

    fn launched(command: &str, name: &str) -> String {
        let mut record = Session::with("n", "/w x", "safe", "u".into(), Timestamp::ZERO);
        record.name = name.into();
        let words = shell_words::split(command).unwrap();
        match launch_command(&words, &record) {
            Ok(words) => words.join("|"),
            Err(name) => format!("not with {name}"),
        }
    }

    #[test]
    fn what_may_come_to_a_shell_gets_no_value_that_is_something_to_it() {
        for script in [
            r#"sh -c 'x "$ROSTER_SESSION"'"#,
            r#"bash -lc -- 'x "${ROSTER_SESSION}"'"#,
            "rbash -c +x $ROSTER_SESSION;",
            "fish --command='x $ROSTER_SESSION'",
            "zsh -c a/$ROSTER_SESSION",
            "env nice su -c a/$ROSTER_SESSION",
            "sh -c $ROSTER_SESSION",
            "env bash -lc $ROSTER_SESSION",
            "bash -c -O extglob $ROSTER_SESSION",
            "newsh -c $ROSTER_SESSION",
            "watch -n 5 x $ROSTER_SESSION",
            r#"python3 -c 'print("$ROSTER_SESSION")'"#,
            r#"sh -c 'eval "$1"' x 'x $ROSTER_SESSION'"#,
        ] {
            let as_it_is = shell_words::split(script).unwrap().join("|");
            for hostile in
                ["$(reboot)", "a b", "a;b", "\"", "'", "a\nb", "~", "*", "#", "\\", "a`b`", "=ls"]
            {
                assert_eq!(launched(script, hostile), as_it_is, "{hostile}");
            }
            let harmless = as_it_is.replace("${ROSTER_SESSION}", "$ROSTER_SESSION");
            let harmless = harmless.replace("$ROSTER_SESSION", "a-1.é");
            assert_eq!(launched(script, "a-1.é"), harmless);
        }
    }

    #[test]
    fn another_machine_gets_no_value_that_its_shell_would_take_apart() {
        for command in ["ssh host x -t", "env autossh host 'x' ", "/usr/bin/mosh host --"] {
            let command = format!("{command} $ROSTER_SESSION $ROSTER_UUID");
            assert_eq!(launched(&command, "a b"), "not with ROSTER_SESSION");
            assert!(launched(&command, "a").ends_with("|a|u"));
        }
        assert_eq!(launched("ssh host x $ROSTER_UUID", "a b"), "ssh|host|x|u");
    }

    #[test]
    fn only_our_own_variables_are_expanded_and_a_plain_program_gets_any_value() {
        let name = "a $ROSTER_UUID;";
        assert_eq!(launched("x $ROSTER_UUID", name), "x|u");
        assert_eq!(launched("x${ROSTER_MODE}y$ROSTER_WORKDIR/z", name), "xsafey/w x/z");
        assert_eq!(launched("x --name=$ROSTER_SESSION", name), format!("x|--name={name}"));
        assert_eq!(
            launched("sh -c 'x \"$1\"' x $ROSTER_SESSION", name),
            format!("sh|-c|x \"$1\"|x|{name}")
        );
        for word in ["push", "./x.sh", "~/.ssh", "stash", "refresh"] {
            let command = format!("x {word} --dir=$ROSTER_SESSION/y");
            assert_eq!(launched(&command, name), format!("x|{word}|--dir={name}/y"));
        }
        let others = "x $ROSTER_UUIDS $HOME $ ${ROSTER_UUID $(x)";
        assert_eq!(launched(others, name), others.replace(' ', "|"));
    }
}
