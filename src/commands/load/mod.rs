//! `roster load`: puts the plugin into a server. Called by plugin.tmux, while tmux loads its
//! configuration and so has no client that could see anything.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tmux_roster::Session;
use tmux_roster::config::{Environment, NO_HISTORY, Place};
use tmux_roster::host::Seeker;
use tmux_roster::log::log;
use tmux_roster::options;
use tmux_roster::tmux::hooks::{HOOKS, LOAD_INDEX};
use tmux_roster::tmux::program::on_disk;
use tmux_roster::tmux::status::{PUT_BACK, STATUS, replace};
use tmux_roster::tmux::text::{line, quote_sh};
use tmux_roster::tmux::{Tmux, Version, call, query};
use tmux_roster::{files, host, persist};

use crate::cli;
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::load::keys::{KEYS, bindings, gone};
use crate::commands::ui::key;

pub mod keys;
pub mod program;

/// How long loading may take: tmux's start waits for it.
const LIMIT: Duration = Duration::from_secs(3);

pub fn load(context: &Context, args: &cli::Load) -> Outcome {
    let mut place = context.place_without_tmux()?;
    if let Some(program) = &args.tmux {
        place.tmux.program = PathBuf::from(program);
    }
    // A hook's job is told both as arguments, and an option holds text.
    for path in [&place.dir, &program_to_tell(&place.tmux)?] {
        if path.to_str().is_none() {
            let path = path.display();
            return Err(
                format!("{path} is not UTF-8: set XDG_STATE_HOME or PATH to one that is").into()
            );
        }
    }
    let loaded = load_into(&context.environment, &place, args.status, args.chosen);
    if let Err(failure) = &loaded {
        // tmux and TPM show nobody what is said here.
        log(&place, &format!("load: {}", failure.text()));
    }
    if !args.status {
        if let Err(error) = context.environment.note_socket(&place.tmux.socket) {
            log(&place, &format!("load: {error}"));
        }
    }
    loaded.map(|()| ExitCode::SUCCESS)
}

/// Loads the plugin anew into the server of a job, where the folder that it was told turned out to
/// be another host's.
pub fn load_here(environment: &Environment, place: &Place) {
    // Not by the environment of a job, which may be any session's.
    let socket = place.tmux.socket.as_path();
    let dir = host::settle(place.dir.clone(), Seeker { socket, process: environment.server });
    if dir == place.dir {
        return;
    }
    let new = Place { dir, tmux: place.tmux.clone() };
    if let Err(failure) = load_again(environment, &new) {
        log(&new, &format!("load: {}", failure.text()));
    }
}

/// Loads the plugin into a server that had it before, where nobody says whether the user chose the
/// program.
pub fn load_again(environment: &Environment, place: &Place) -> Result<(), Failure> {
    let chosen = call::options(&place.tmux, &["@roster-binary"], Instant::now() + LIMIT)?;
    load_into(environment, place, false, chosen.iter().any(|value| !value.is_empty()))
}

/// Loads the plugin, with the program that runs now, where the place is settled already; or only
/// puts back what others undid since: hooks, and the placeholders of the status line.
pub fn load_into(
    environment: &Environment,
    place: &Place,
    status_only: bool,
    chosen: bool,
) -> Result<(), Failure> {
    let deadline = Instant::now() + LIMIT;
    let version = program_version(place, deadline)?;
    if !version.is_supported() {
        return Err(Failure::from("tmux 3.0 or newer is needed"));
    }
    files::make_folder(&place.dir)?;
    let asked = ask(&place.tmux, deadline)?;
    let lines = if status_only {
        let mut lines = hooks(version);
        lines.extend(placeholders(&asked, version));
        lines
    } else {
        // For commands that run without a server. That it cannot be written stops nothing.
        let _ = match asked.has_no_history {
            true => files::create_new(&place.no_history(), files::PRIVATE).map(drop),
            false => fs::remove_file(place.no_history()),
        };
        let tmux = program_to_tell(&place.tmux)?;
        commands(place, &tmux, version, &asked, &program::lasting(environment, chosen)?)
    };
    let printed = place.run_lines(None, &lines, deadline)?;
    let told = printed.lines().find_map(|line| line.strip_prefix(CONFIG_FILES));
    if let Some(told) = told.filter(|told| !told.is_empty()) {
        note_config_files(environment, place, told);
    }
    Ok(())
}

/// What stands before the files of tmux's configuration where it tells them.
const CONFIG_FILES: &str = "roster-config-files ";

/// Notes what configuration the server was started with, for the next one that we start. It is a
/// matter of convenience, and loading goes on without.
fn note_config_files(environment: &Environment, place: &Place, told: &str) {
    let mut files: Vec<String> = Vec::new();
    for part in told.split(',') {
        match files.last_mut() {
            // A path may have a comma in it.
            Some(last) if !part.starts_with('/') => *last += &format!(",{part}"),
            _ => files.push(part.to_owned()),
        }
    }
    let mut files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
    // What is relative was so to a folder that nobody knows.
    let is_chosen = files.iter().all(|file| file.is_absolute())
        && !files.iter().all(|file| environment.is_usual_config(file));
    files.retain(|file| is_chosen && file.exists());
    let chosen = files.as_slice();
    if let Err(error) = persist::note_config_files(place, chosen) {
        log(place, &format!("load: {error}"));
    }
}

/// The tmux program as hooks, panes and keys are told of it, who find the server's own by
/// themselves where it was replaced: see [`tmux_roster::tmux::program`].
fn program_to_tell(tmux: &Tmux) -> Result<PathBuf, Failure> {
    let gone = || format!("{} is gone: the tmux server has exited", tmux.program.display());
    Ok(on_disk(&tmux.program).ok_or_else(gone)?)
}

fn program_version(place: &Place, deadline: Instant) -> Result<Version, Failure> {
    let printed = place.tmux.run(&["-V"], deadline)?;
    Ok(Version::parse(&String::from_utf8_lossy(&printed)))
}

/// What tmux is told.
fn commands(
    place: &Place,
    tmux: &Path,
    version: Version,
    asked: &Asked,
    program: &Path,
) -> Vec<Vec<u8>> {
    let quoted = |path: &Path| quote_sh(path.as_os_str().as_bytes());
    let hidden = version.hides_environment();
    let job = |what: &[u8]| {
        let mut job = quoted(program);
        job.extend_from_slice(what);
        if asked.has_no_history {
            job.extend_from_slice(NO_HISTORY.trim_end().as_bytes());
        }
        job.extend_from_slice(b" --dir ");
        job.extend(quoted(&place.dir));
        job.extend_from_slice(b" --tmux ");
        job.extend(quoted(tmux));
        if !hidden {
            job.extend_from_slice(b" --old-mark");
        }
        // Nothing is shown to anyone, even if the program is gone by then.
        job.extend_from_slice(b" >/dev/null 2>&1 || :");
        job
    };
    let option = |name: &str, value: &[u8]| line(&[b"set-option", b"-g", name.as_bytes(), value]);
    let variable =
        |name: &str, value: &[u8]| line(&[b"set-environment", b"-g", name.as_bytes(), value]);
    let mut lines = vec![
        option("@roster_clock", b"%H%M%S"),
        option("@roster_seconds", b"%s"),
        option("@roster_minute", b"%H%M"),
        option("@roster_run", &job(b" sync --hook")),
        option("@roster_late", &job(b" sync --hook --windows")),
        // Bindings and menus are the same text for everybody; tmux inserts the path unexpanded.
        option("@roster_program", &quoted(program)),
        option("@roster_from", key::FROM.as_bytes()),
        option("@roster_gone", gone(version).as_bytes()),
        option("@roster_dir", place.dir.as_os_str().as_bytes()),
        option("@roster_version", env!("CARGO_PKG_VERSION").as_bytes()),
        variable("ROSTER_SOCKET", place.tmux.socket.as_os_str().as_bytes()),
        variable("ROSTER_DIR", place.dir.as_os_str().as_bytes()),
        variable("ROSTER_TMUX", tmux.as_os_str().as_bytes()),
    ];
    // A server that was started in a pane of another has that one's session in its environment.
    for name in Session::VARIABLES {
        lines.push(line(&[b"set-environment", b"-gu", name.as_bytes()]));
    }
    lines.extend(hooks(version));
    lines.extend(bindings(version, asked));
    // What keys said while there was no program.
    for name in ["@roster_absent", "@roster_waiting"] {
        lines.push(line(&[b"set-option", b"-gqu", name.as_bytes()]));
    }
    lines.extend(placeholders(asked, version));
    // Whatever sets the status line after us, another plugin say, or wipes our hooks: the first
    // client that comes (or switches) finds it mended.
    let hook = format!("client-session-changed[{LOAD_INDEX}]");
    let again = format!("set-hook -gu '{hook}' ; {PUT_BACK}");
    lines.push(line(&[b"set-hook", b"-g", hook.as_bytes(), again.as_bytes()]));
    // Not in our own folder: before 3.2 a job's directory is taken for its session's.
    lines.push(line(&[b"run-shell", b"-b", b"cd 2>/dev/null; #{@roster_run}"]));
    if version.tells_config_files() {
        let format = format!("{CONFIG_FILES}#{{config_files}}");
        lines.push(line(&[b"display-message", b"-p", format.as_bytes()]));
    }
    if version.delays_jobs() {
        // Before that, the exit of the server would wait for a job that waits; there the next event
        // has windows looked at.
        lines.push(line(&[b"run-shell", b"-b", b"cd 2>/dev/null; #{@roster_late}"]));
    }
    lines
}

fn hooks(version: Version) -> Vec<Vec<u8>> {
    HOOKS.iter().flat_map(|hook| hook.set(version)).collect()
}

/// What loading depends on.
pub struct Asked {
    /// The keys that the options name, in the order of [`KEYS`]; `None` where switched off.
    keys: Vec<Option<String>>,
    /// The values of [`STATUS`].
    status: Vec<String>,
    /// Whether `@roster-history` is off.
    has_no_history: bool,
    /// What list-keys printed of the prefix table.
    bound: String,
}

/// Asks for everything in one call. The values stand between marks, since an option that is not
/// set prints nothing; there may be no session yet, so no format can be asked for before 3.2.
pub fn ask(tmux: &Tmux, deadline: Instant) -> Result<Asked, Failure> {
    let mark = query::new_mark();
    let mut words = vec!["set-option", "-g", "@roster_mark", &mark];
    for option in KEYS.iter().map(|key| key.option).chain(STATUS).chain(["@roster-history"]) {
        words.extend([";", "show-options", "-gqv", option]);
        words.extend([";", "show-options", "-gv", "@roster_mark"]);
    }
    words.extend([";", "set-option", "-gu", "@roster_mark"]);
    words.extend([";", "list-keys", "-T", "prefix"]);
    let printed = tmux.run(&words, deadline)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let parts: Vec<&str> = printed.split(&format!("{mark}\n")).collect();
    let count = KEYS.len() + STATUS.len();
    if parts.len() != count + 2 {
        return Err("tmux gave an incomplete answer".into());
    }
    let value = |at: usize| parts[at].strip_suffix('\n').unwrap_or(parts[at]);
    let keys = KEYS.iter().enumerate().map(|(at, key)| match value(at).trim() {
        "" => Some(options::default(key.option).to_owned()),
        "none" => None,
        chosen => Some(chosen.to_owned()),
    });
    Ok(Asked {
        keys: keys.collect(),
        status: (0..STATUS.len()).map(|at| value(KEYS.len() + at).to_owned()).collect(),
        has_no_history: value(count) == "off",
        bound: parts[count + 1].to_owned(),
    })
}

/// What replaces `#{roster_mode}` and the like in the status line.
fn placeholders(asked: &Asked, version: Version) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (option, value) in STATUS.iter().zip(&asked.status) {
        let mut replaced = replace(value);
        if replaced == *value {
            continue;
        }
        if version.prints_dollars_escaped() {
            // It prints a `$` before a letter as `\$`.
            replaced = replaced.replace("\\$", "$");
        }
        lines.push(line(&[b"set-option", b"-g", option.as_bytes(), replaced.as_bytes()]));
    }
    lines
}
