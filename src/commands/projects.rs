//! The directories that people work in, which `roster go` and the picker offer beside sessions: those
//! that zoxide knows, and those that `@roster-projects` names.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use glob::MatchOptions;
use tmux_roster::aside::{Found, aside};
use tmux_roster::config::{Place, is_program};
use tmux_roster::health;
use tmux_roster::model::memory::{from_hex, to_hex};
use tmux_roster::tmux::process::Running;
use tmux_roster::tmux::{Tmux, TmuxError, call};

use super::context::Failure;
use super::inspect::{State, View};

/// How long finding them may take; what is not found by then is left out.
const LIMIT: Duration = Duration::from_millis(300);

/// How many there are at most.
const MOST: usize = 10_000;

/// What stands before a directory, in hexadecimal digits, where no shell is to see it. tmux allows no
/// colon in a session's name.
const HIDDEN: &str = "dir:";

/// A directory as a word that no shell changes.
pub fn hidden(directory: &str) -> String {
    format!("{HIDDEN}{}", to_hex(directory.as_bytes()))
}

/// The directory that [`hidden`] made a word of.
pub fn unhidden(word: &str) -> Option<String> {
    let bytes = from_hex(word.strip_prefix(HIDDEN)?)?;
    String::from_utf8(bytes).ok().filter(|directory| directory.starts_with('/'))
}

/// The directories in which no session lives or was lost, as they are found: first zoxide's, then the
/// others.
pub struct Projects {
    found: Vec<String>,
    coming: Option<Found<String>>,
    deadline: Instant,
}

impl Projects {
    /// Begins to look for them.
    pub fn look(place: &Place, view: &View) -> Projects {
        let rows = view.rows.iter().filter(|row| row.state != State::Closed);
        let taken: Vec<String> = rows.map(|row| row.session.workdir.clone()).collect();
        let (tmux, deadline) = (place.tmux.clone(), Instant::now() + LIMIT);
        let coming = aside(move |send| without_session(&tmux, taken, deadline, send));
        Projects { found: Vec::new(), coming: Some(coming), deadline }
    }

    /// Those that were found up to now.
    pub fn found(&self) -> &[String] {
        &self.found
    }

    /// Those that are found in so much time, as soon as there are some; `None` if these were all.
    pub fn more(&mut self, wait: Duration) -> Option<&[String]> {
        let coming = self.coming.as_ref()?;
        let before = self.found.len();
        match coming.next(wait) {
            Ok(directory) => self.found.extend(std::iter::once(directory).chain(coming.by_now())),
            Err(RecvTimeoutError::Timeout) if Instant::now() < self.deadline => {}
            Err(_) => self.coming = None,
        }
        self.coming.as_ref().and(Some(&self.found[before..]))
    }

    /// All of them.
    pub fn all(&mut self) -> &[String] {
        while self.more(LIMIT).is_some() {}
        &self.found
    }
}

fn without_session(
    tmux: &Tmux,
    taken: Vec<String>,
    deadline: Instant,
    send: &dyn Fn(String) -> bool,
) {
    let option = match call::options(tmux, &["@roster-projects"], deadline) {
        Ok(values) => values.concat(),
        Err(TmuxError::NoServer { .. }) => Vec::new(),
        // The user may want none.
        Err(_) => return,
    };
    let option = String::from_utf8_lossy(&option);
    if option.trim() == "none" {
        return;
    }
    let all = [zoxide(deadline), found_by(&option)];
    let taken = aside(move |send| {
        for directory in taken {
            let real = fs::canonicalize(&directory);
            send(PathBuf::from(directory));
            real.into_iter().all(send);
        }
    });
    let mut seen: HashSet<PathBuf> = until(&taken, deadline).collect();
    let all = all.iter().flat_map(|found| until(found, deadline));
    let new = all.filter(|(_, real)| seen.insert(real.clone())).map(|(directory, _)| directory);
    new.take(MOST).all(send);
}

/// Those that zoxide knows, those used most first.
fn zoxide(deadline: Instant) -> Found<(String, PathBuf)> {
    aside(move |send| {
        let mut query = Command::new(match program() {
            Some(program) => program,
            None => return,
        });
        query.args(["query", "-l"]);
        // By then who asked may be about to end, and would leave it behind.
        let limit = deadline - LIMIT / 6;
        let printed = Running::start(query).ok().and_then(|query| query.finish(limit).ok());
        let printed = printed.filter(|output| output.success).map(|output| output.stdout);
        let printed = String::from_utf8(printed.unwrap_or_default()).unwrap_or_default();
        let mut real = Real::default();
        for directory in printed.lines().take(MOST).filter(|line| is_plain(line)) {
            send((directory.to_owned(), real.of(Path::new(directory))));
        }
    })
}

/// zoxide on PATH, or where its installer and others put it, which a server's PATH may lack.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = health::home().map(|home| [home.join(".local/bin"), home.join(".cargo/bin")]);
    let usual = ["/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(own.into_iter().flatten())
        .chain(usual)
        .map(|folder| folder.join("zoxide"))
        .find(|program| program.is_absolute() && is_program(program))
}

/// Those that the globs of the option find, in the order of the globs, and then by name.
fn found_by(option: &str) -> Found<(String, PathBuf)> {
    let globs = shell_words::split(option).unwrap_or_default();
    let globs: Vec<String> = globs.iter().filter_map(|glob| absolute_glob(glob)).collect();
    aside(move |send| {
        let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
        let mut real = Real::default();
        // A slash at the end finds directories alone.
        let found =
            globs.iter().filter_map(|glob| glob::glob_with(&format!("{glob}/"), options).ok());
        let found = found.flatten().filter_map(Result::ok).filter_map(|path| {
            let directory: PathBuf = path.components().collect();
            directory.to_str().filter(|text| is_plain(text)).map(str::to_owned)
        });
        for directory in found.take(MOST) {
            let real = real.of(Path::new(&directory));
            send((directory, real));
        }
    })
}

/// What is wrong with the globs of the option.
pub fn complaint(option: &str) -> Option<String> {
    let globs = match shell_words::split(option) {
        Ok(globs) if option.trim() != "none" => globs,
        Ok(_) => return None,
        Err(error) => return Some(format!("cannot be split into words: {error}")),
    };
    globs.iter().find_map(|glob| match absolute_glob(glob) {
        None => Some(format!("has {glob:?}, which begins with neither / nor ~/")),
        Some(path) => {
            let error = glob::Pattern::new(&path).err()?;
            Some(format!("has {glob:?}, which is no glob: {}", error.msg))
        }
    })
}

/// A path with the home directory for `~`; `None` for another user's, and for one that is relative.
fn in_home(path: &str) -> Option<String> {
    below(health::home()?.to_str()?, path)
}

/// The same for a glob: what stands in the home directory's own path is meant as it is.
fn absolute_glob(glob: &str) -> Option<String> {
    below(&glob::Pattern::escape(health::home()?.to_str()?), glob)
}

fn below(home: &str, path: &str) -> Option<String> {
    match path.strip_prefix('~') {
        None => Some(path.to_owned()).filter(|path| path.starts_with('/')),
        Some("") => Some(home.to_owned()),
        Some(rest) => rest.starts_with('/').then(|| home.trim_end_matches('/').to_owned() + rest),
    }
}

/// Whether it is an absolute path other than `/`.
fn is_plain(path: &str) -> bool {
    path.starts_with('/') && path != "/"
}

/// Where paths really lead, as far as their parents do: a link itself is a place of its own.
#[derive(Default)]
struct Real(HashMap<PathBuf, PathBuf>);

impl Real {
    fn of(&mut self, path: &Path) -> PathBuf {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return path.to_owned();
        };
        let real = self
            .0
            .entry(parent.to_owned())
            .or_insert_with(|| fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned()));
        real.join(name)
    }
}

/// What comes until then.
fn until<T: 'static>(found: &Found<T>, deadline: Instant) -> impl Iterator<Item = T> {
    let left = move || deadline.saturating_duration_since(Instant::now());
    std::iter::from_fn(move || found.next(left()).ok())
}

/// The directory that somebody typed instead of a session's name, as a path that leads to it from
/// everywhere: `None` if it looks like no directory.
pub fn typed(word: &str) -> Result<Option<String>, Failure> {
    if let Some(directory) = unhidden(word) {
        return check(PathBuf::from(directory), word).map(Some);
    }
    let is_path = word.starts_with(['/', '~'])
        || matches!(word, "." | "..")
        || ["./", "../"].iter().any(|start| word.starts_with(start));
    let path = match in_home(word) {
        Some(path) => PathBuf::from(path),
        None if is_path && word.starts_with('~') => return Err(no_directory(word)),
        None => match std::env::current_dir() {
            Ok(here) => here.join(word),
            Err(error) if is_path => {
                return Err(format!("the current directory is gone: {error}").into());
            }
            Err(_) => return Ok(None),
        },
    };
    if !is_path && (word.is_empty() || !path.is_dir()) {
        return Ok(None);
    }
    check(path, word).map(Some)
}

fn check(path: PathBuf, word: &str) -> Result<String, Failure> {
    if !path.is_dir() {
        return Err(no_directory(word));
    }
    as_meant(&path)
}

fn no_directory(word: &str) -> Failure {
    let shown = unhidden(word).unwrap_or_else(|| word.to_owned());
    format!("there is no session and no directory {shown:?}").into()
}

/// A path as it is recorded: links stay as they were typed, but where `..` leads they decide.
///
/// # Errors
/// It is not UTF-8, or leads nowhere.
pub fn as_meant(path: &Path) -> Result<String, Failure> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    let path: PathBuf = if climbs { path.canonicalize()? } else { path.components().collect() };
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| format!("{} is not UTF-8", path.display()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_home_directory_is_no_glob() {
        let home = glob::Pattern::escape("/h[1]*");
        let glob = glob::Pattern::new(&below(&home, "~/src/*").unwrap()).unwrap();
        assert!(glob.matches("/h[1]*/src/x") && !glob.matches("/h1/src/x"));
        for (word, path) in [("~", Some("/h")), ("~/", Some("/h/")), ("~x", None), ("x", None)] {
            assert_eq!(below("/h", word).as_deref(), path, "{word}");
        }
    }

    #[test]
    fn a_directory_passes_through_any_shell_as_one_word() {
        let directory = "/a b/'$(touch x)\";#{pid}\n";
        let word = hidden(directory);
        assert!(word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b':'), "{word}");
        assert_eq!(unhidden(&word).as_deref(), Some(directory));
        for other in ["dir:", "dir:zz", "dir:6", "api", "dir:61", "uuid:6161"] {
            assert_eq!(unhidden(other), None, "{other}");
        }
    }
}
