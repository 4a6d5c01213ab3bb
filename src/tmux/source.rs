//! Commands by file: sent by `source-file`, one per line, in pieces (FACTS.md, "Many commands").
//! What must not be split over two files is a group.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fmt, fs};

use super::call::{NO_TARGET, incomplete};
use super::text::{escape_glob, line};
use super::{Tmux, TmuxError, query};
use crate::files::{self, FileError, PRIVATE};
use crate::model::reconcile::{Effect, EffectKind};
use crate::model::snapshot::ServerId;

/// How many commands go in one piece: tmux answers nobody while it works through a file.
pub const PIECE: usize = 100;

/// Commands that belong together: tmux answers nobody and runs no hook between them.
pub type Group = Vec<Vec<u8>>;

/// What goes in one file each: as many groups as make a [`PIECE`], and one at least.
pub fn pieces(groups: impl IntoIterator<Item = Group>) -> Vec<Vec<Vec<u8>>> {
    let mut pieces: Vec<Vec<Vec<u8>>> = Vec::new();
    for mut group in groups {
        match pieces.last_mut() {
            Some(piece) if piece.len() + group.len() <= PIECE => piece.append(&mut group),
            _ => pieces.push(group),
        }
    }
    pieces
}

/// The command for an effect.
pub fn effect(effect: &Effect) -> Vec<u8> {
    let target = effect.target.map(|id| id.to_string());
    let mut words: Vec<&[u8]> = vec![match effect.kind {
        EffectKind::Option => b"set-option",
        EffectKind::Environment => b"set-environment",
        EffectKind::Inherited => b"set-option",
    }];
    if effect.only_if_unset {
        words.push(b"-oq");
    }
    match &target {
        Some(target) => words.extend([b"-t", target.as_bytes()]),
        None => words.push(b"-g"),
    }
    match effect.kind {
        EffectKind::Inherited => words.extend([b"-u", effect.name.as_bytes()]),
        _ => words.extend([effect.name.as_bytes(), effect.value.as_bytes()]),
    }
    line(&words)
}

/// The call that runs a file of commands; if `server` is given, on that very server alone: the
/// server asks itself, so none can take its place between the question and the commands.
pub fn source_file(path: &Path, server: Option<ServerId>) -> Vec<OsString> {
    let path = escape_glob(path);
    match server {
        Some(server) => only_on(server, &line(&[b"source-file", &path])),
        None => vec!["source-file".into(), OsString::from_vec(path)],
    }
}

/// The call that runs one command on that very server alone.
pub fn only_on(server: ServerId, command: &[u8]) -> Vec<OsString> {
    // Before 3.2 a server without sessions could not say when it started.
    let condition = match server.start_time {
        0 => format!("#{{==:#{{pid}},{}}}", server.pid),
        start => format!("#{{==:#{{pid}}/#{{start_time}},{}/{start}}}", server.pid),
    };
    let command = command.strip_suffix(b"\n").unwrap_or(command).to_vec();
    vec!["if-shell".into(), "-F".into(), condition.into(), OsString::from_vec(command)]
}

/// Older files of commands than this are of processes that were killed.
const LONG_AGO: Duration = Duration::from_secs(60);

/// Why commands did not reach tmux.
#[derive(Debug)]
pub enum SourceError {
    /// The file.
    File(FileError),
    /// The server.
    Tmux(TmuxError),
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourceError::File(error) => error.fmt(f),
            SourceError::Tmux(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SourceError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SourceError::File(error) => Some(error),
            SourceError::Tmux(error) => Some(error),
        }
    }
}

impl From<FileError> for SourceError {
    fn from(error: FileError) -> Self {
        SourceError::File(error)
    }
}

impl From<TmuxError> for SourceError {
    fn from(error: TmuxError) -> Self {
        SourceError::Tmux(error)
    }
}

/// Sends a piece of commands to tmux by `source-file`; returns what they print. If `server` is
/// given, another server on the same socket does nothing: to it, `$3` is another session.
///
/// # Errors
/// The file cannot be written, or tmux does not answer. That a command fails is no error.
pub fn run(
    tmux: &Tmux,
    registry: &Path,
    server: Option<ServerId>,
    piece: &[Vec<u8>],
    deadline: Instant,
) -> Result<String, SourceError> {
    let (Some(folder), Some(name)) = (registry.parent(), registry.file_name()) else {
        return Ok(String::new());
    };
    // Under the lock it is named after the registry, whose next writer clears away what a crash
    // left. A plugin that loads has no lock, and a sync that commits meanwhile must not clear its
    // file away.
    let name = if server.is_some() { name } else { OsStr::new("commands") };
    if server.is_none() {
        clear_old_commands(folder);
    }
    let path = folder.join(files::temporary_name(name));
    let ran = run_piece(tmux, server, &path, &piece.concat(), deadline);
    let _ = fs::remove_file(&path);
    ran
}

/// Removes the files of loads that were killed a while ago.
fn clear_old_commands(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_commands = entry.file_name().as_bytes().starts_with(b".commands.tmp.");
        let age = entry.metadata().and_then(|found| found.modified()).map(|then| then.elapsed());
        if is_commands && age.is_ok_and(|age| age.is_ok_and(|age| age > LONG_AGO)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn run_piece(
    tmux: &Tmux,
    server: Option<ServerId>,
    path: &Path,
    commands: &[u8],
    deadline: Instant,
) -> Result<String, SourceError> {
    // What the file prints at its end says that all of it was done, and by the right server: an
    // end of tmux alone says neither. That a target has gone meanwhile is no failure of the whole.
    let mark = query::new_mark();
    let print = line(&[b"display-message", b"-p", mark.as_bytes()]);
    let text = [commands, &print].concat();
    files::within_limit(text.len() as u64)
        .and_then(|()| files::create_new(path, PRIVATE)?.write_all(&text))
        .map_err(files::io_error("write", path))?;
    let last = format!("{mark}\n").into_bytes();
    let is_whole = |printed: &[u8]| printed.ends_with(&last);
    let words = source_file(path, server);
    let output = tmux.start(&words)?.finish_or(is_whole, deadline)?;
    // A hook of the user's may print something after it.
    let at = output.stdout.windows(last.len()).rposition(|part| part == last);
    let printed = match at {
        Some(at) => &output.stdout[..at],
        // Where there is no session, a tmux before 3.2 came to the end if it complains of that.
        None if output.stderr.ends_with(NO_TARGET) => &output.stdout[..],
        None => return Err(incomplete(tmux, &output).into()),
    };
    Ok(String::from_utf8_lossy(printed).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_group_is_split_and_no_command_lost() {
        let group = |size: usize, n: u8| vec![vec![n]; size];
        let sizes = [60, 40, 1, 250, 99, 2, 0, 98];
        let groups: Vec<Group> = sizes.iter().zip(1..).map(|(size, n)| group(*size, n)).collect();
        let pieces = pieces(groups.clone());
        let counts: Vec<usize> = pieces.iter().map(Vec::len).collect();
        assert_eq!(counts, [100, 1, 250, 99, 100]);
        assert_eq!(pieces.concat(), groups.concat());
    }
}
