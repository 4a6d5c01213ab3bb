//! `roster load`: puts the plugin into a server. Called by plugin.tmux, while tmux loads its
//! configuration and so has no client that could see anything.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tmux_roster::config::Place;
use tmux_roster::store::file;
use tmux_roster::sync;
use tmux_roster::tmux::Version;
use tmux_roster::tmux::command::{HOOKS, line, quote_sh, set_hook};

use super::{Context, Failure, Outcome};
use crate::cli;

/// How long loading may take: tmux's start waits for it.
const LIMIT: Duration = Duration::from_secs(3);

pub fn load(context: &Context, args: &cli::Load) -> Outcome {
    let mut place = context.place_without_tmux()?;
    if let Some(program) = &args.tmux {
        place.tmux.program = PathBuf::from(program);
    }
    load_into(&place)?;
    Ok(ExitCode::SUCCESS)
}

/// Loads the plugin, with the program that runs now, where the place is settled already.
pub fn load_into(place: &Place) -> Result<(), Failure> {
    file::make_folder(&place.dir)?;
    let deadline = Instant::now() + LIMIT;
    let asked = place.tmux.run(
        &["show-options", "-gqv", "@roster_version", ";", "list-keys", "-T", "prefix"],
        deadline,
    )?;
    let version = program_version(place, deadline)?;
    if !version.at_least(3, 0) {
        return Err(Failure::from("tmux-roster needs tmux 3.0 or newer"));
    }
    let keys = String::from_utf8_lossy(&asked).into_owned();
    let lines = commands(place, version, &keys)?;
    sync::run_lines(place, &lines, deadline)?;
    Ok(())
}

fn program_version(place: &Place, deadline: Instant) -> Result<Version, Failure> {
    let printed = place.tmux.run(&["-V"], deadline)?;
    Ok(Version::parse(&String::from_utf8_lossy(&printed)))
}

/// What tmux is told.
fn commands(place: &Place, version: Version, keys: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let program = std::env::current_exe()?;
    let quoted = |path: &std::path::Path| quote_sh(path.as_os_str().as_bytes());
    let hidden = version.at_least(3, 2);
    let mut run = quoted(&program);
    run.extend_from_slice(b" sync --hook --dir ");
    run.extend(quoted(&place.dir));
    run.extend_from_slice(b" --tmux ");
    run.extend(quoted(&place.tmux.program));
    if !hidden {
        run.extend_from_slice(b" --old-mark");
    }
    // Nothing is shown to anyone, even if the program is gone by then.
    run.extend_from_slice(b" >/dev/null 2>&1 || :");
    let option = |name: &str, value: &[u8]| line(&[b"set-option", b"-g", name.as_bytes(), value]);
    let variable =
        |name: &str, value: &[u8]| line(&[b"set-environment", b"-g", name.as_bytes(), value]);
    let mut lines = vec![
        option("@roster_clock", b"%H%M%S"),
        option("@roster_run", &run),
        option("@roster_dir", place.dir.as_os_str().as_bytes()),
        option("@roster_version", env!("CARGO_PKG_VERSION").as_bytes()),
        variable("ROSTER_SOCKET", place.tmux.socket.as_os_str().as_bytes()),
        variable("ROSTER_DIR", place.dir.as_os_str().as_bytes()),
        variable("ROSTER_TMUX", place.tmux.program.as_os_str().as_bytes()),
    ];
    lines.extend(HOOKS.iter().map(|hook| set_hook(hook, hidden)));
    lines.extend(bindings(version, keys, &program));
    lines.push(line(&[b"run-shell", b"-b", b"#{@roster_run}"]));
    Ok(lines)
}

/// Whose a key is that we would bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Ours,
    Users,
    Unbound,
}

/// The keys that we bind on this version, and whose they are by what `list-keys` printed.
pub fn keys(version: Version, listed: &str) -> Vec<(&'static str, KeyState)> {
    let wanted: &[&str] = if version.at_least(3, 2) { &["G"] } else { &[] };
    wanted.iter().map(|key| (*key, key_state(key, listed))).collect()
}

fn key_state(key: &str, listed: &str) -> KeyState {
    let found = listed.lines().find(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "prefix").skip(1);
        words.next() == Some(key)
    });
    match found {
        None => KeyState::Unbound,
        Some(line) if line.contains("roster") => KeyState::Ours,
        Some(_) => KeyState::Users,
    }
}

fn bindings(version: Version, listed: &str, program: &std::path::Path) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (key, state) in keys(version, listed) {
        if state == KeyState::Users {
            continue;
        }
        let mut list = quote_sh(program.as_os_str().as_bytes());
        list.extend_from_slice(b" list; read -r _");
        let mut words: Vec<&[u8]> = vec![b"bind-key", b"-T", b"prefix"];
        words.extend([&b"-N"[..], b"Show the registry of sessions (tmux-roster)", key.as_bytes()]);
        words.extend([&b"display-popup"[..], b"-E", b"-w", b"90%", b"-h", b"80%", &list]);
        lines.push(line(&words));
    }
    lines
}
