//! `roster load`: puts the plugin into a server. Called by plugin.tmux, while tmux loads its
//! configuration and so has no client that could see anything.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tmux_roster::config::Place;
use tmux_roster::store::file;
use tmux_roster::sync;
use tmux_roster::tmux::Version;
use tmux_roster::tmux::command::{HOOKS, line, quote_sh, set_hook};

use super::{Context, Failure, Outcome, program};
use crate::cli;

/// How long loading may take: tmux's start waits for it.
const LIMIT: Duration = Duration::from_secs(3);

pub fn load(context: &Context, args: &cli::Load) -> Outcome {
    let mut place = context.place_without_tmux()?;
    if let Some(program) = &args.tmux {
        place.tmux.program = PathBuf::from(program);
    }
    file::make_folder(&place.dir)?;
    let deadline = Instant::now() + LIMIT;
    let asked = place.tmux.run(
        &["show-options", "-gqv", "@roster_version", ";", "list-keys", "-T", "prefix"],
        deadline,
    )?;
    let version = program_version(&place, deadline)?;
    if !version.at_least(3, 0) {
        return Err(Failure::from("tmux-roster needs tmux 3.0 or newer"));
    }
    let keys = String::from_utf8_lossy(&asked).into_owned();
    let program = program::lasting(&context.environment, args.chosen)?;
    let lines = commands(&place, version, &keys, &program);
    sync::run_lines(&place, &lines, deadline)?;
    Ok(ExitCode::SUCCESS)
}

fn program_version(place: &Place, deadline: Instant) -> Result<Version, Failure> {
    let printed = place.tmux.run(&["-V"], deadline)?;
    Ok(Version::parse(&String::from_utf8_lossy(&printed)))
}

/// What tmux is told.
fn commands(place: &Place, version: Version, keys: &str, program: &Path) -> Vec<Vec<u8>> {
    let quoted = |path: &Path| quote_sh(path.as_os_str().as_bytes());
    let hidden = version.at_least(3, 2);
    let mut run = quoted(program);
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
    lines.extend(bindings(version, keys, program));
    lines.push(line(&[b"run-shell", b"-b", b"#{@roster_run}"]));
    lines
}

fn bindings(version: Version, keys: &str, program: &Path) -> Vec<Vec<u8>> {
    let bound = |key: &str| {
        keys.lines().any(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "prefix").skip(1);
            words.next() == Some(key) && !line.contains("roster")
        })
    };
    if bound("G") {
        return Vec::new();
    }
    let mut list = quote_sh(program.as_os_str().as_bytes());
    list.extend_from_slice(b" list; read -r _");
    let mut words: Vec<&[u8]> = vec![b"bind-key", b"-T", b"prefix"];
    if version.at_least(3, 1) {
        words.extend([&b"-N"[..], b"Show the registry of sessions (tmux-roster)"]);
    }
    words.push(b"G");
    if version.at_least(3, 2) {
        words.extend([&b"display-popup"[..], b"-E", b"-w", b"90%", b"-h", b"80%", &list]);
        vec![line(&words)]
    } else {
        Vec::new()
    }
}
