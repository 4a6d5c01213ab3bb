//! `roster load`: puts the plugin into a server. Called by plugin.tmux, while tmux loads its
//! configuration and so has no client that could see anything.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tmux_roster::config::{Environment, Place};
use tmux_roster::host;
use tmux_roster::store::file;
use tmux_roster::sync;
use tmux_roster::tmux::command::{HOOKS, line, quote_sh, set_hook};
use tmux_roster::tmux::program::on_disk;
use tmux_roster::tmux::{Tmux, Version, query};

use super::{Context, Failure, Outcome, key, program};
use crate::cli;

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
                format!("{path} is not UTF-8: set XDG_STATE_HOME or PATH to what is").into()
            );
        }
    }
    let loaded = load_into(&context.environment, &place, args.status, args.chosen);
    if let Err(Failure::Error(error)) = &loaded {
        // tmux and TPM show nobody what is said here.
        sync::log(&place, &format!("load: {error}"));
    }
    loaded.map(|()| ExitCode::SUCCESS)
}

/// Loads the plugin anew into the server of a job, where the folder that it was told turned out to
/// be another host's.
pub fn load_here(environment: &Environment, place: &Place) {
    let own = environment.own_dir(&place.tmux.socket);
    let Some(dir) = own.map(|dir| host::settle(dir, environment.server)) else { return };
    if dir == place.dir {
        return;
    }
    let new = Place { dir, tmux: place.tmux.clone() };
    let chosen = sync::options(place, &["@roster-binary"], Instant::now() + LIMIT);
    let chosen = chosen.is_ok_and(|values| values.iter().any(|value| !value.is_empty()));
    if let Err(Failure::Error(error)) = load_into(environment, &new, false, chosen) {
        sync::log(&new, &format!("load: {error}"));
    }
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
    if !version.at_least(3, 0) {
        return Err(Failure::from("tmux 3.0 or newer is needed"));
    }
    file::make_folder(&place.dir)?;
    let asked = ask(&place.tmux, deadline)?;
    let lines = if status_only {
        let mut lines = hooks(version);
        lines.extend(placeholders(&asked, version));
        lines
    } else {
        let tmux = program_to_tell(&place.tmux)?;
        commands(place, &tmux, version, &asked, &program::lasting(environment, chosen)?)
    };
    sync::run_lines(place, None, &lines, deadline)?;
    Ok(())
}

/// The tmux program as hooks, panes and keys are told of it, who find the server's own by
/// themselves where it was replaced: see [`tmux_roster::tmux::program`].
fn program_to_tell(tmux: &Tmux) -> Result<PathBuf, Failure> {
    let gone = || format!("{} is gone: the tmux server has ended", tmux.program.display());
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
    let hidden = version.at_least(3, 2);
    let mut run = quoted(program);
    run.extend_from_slice(b" sync --hook --dir ");
    run.extend(quoted(&place.dir));
    run.extend_from_slice(b" --tmux ");
    run.extend(quoted(tmux));
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
        // Bindings and menus are the same text for everybody; tmux inserts the path unexpanded.
        option("@roster_program", &quoted(program)),
        option("@roster_from", key::FROM.as_bytes()),
        option("@roster_dir", place.dir.as_os_str().as_bytes()),
        option("@roster_version", env!("CARGO_PKG_VERSION").as_bytes()),
        variable("ROSTER_SOCKET", place.tmux.socket.as_os_str().as_bytes()),
        variable("ROSTER_DIR", place.dir.as_os_str().as_bytes()),
        variable("ROSTER_TMUX", tmux.as_os_str().as_bytes()),
    ];
    // A server that was started in a pane of another has that one's session in its environment.
    for name in ["ROSTER_UUID", "ROSTER_MODE", "ROSTER_SESSION", "ROSTER_WORKDIR"] {
        lines.push(line(&[b"set-environment", b"-gu", name.as_bytes()]));
    }
    lines.extend(hooks(version));
    lines.extend(bindings(version, asked));
    lines.extend(placeholders(asked, version));
    // Whatever sets the status line after us, another plugin say, or wipes our hooks: the first
    // client that comes (or switches) finds it mended.
    let again = b"set-hook -gu 'client-session-changed[4244]' ; run-shell -b \"#{@roster_program} load --status >/dev/null 2>&1 || :\"";
    lines.push(line(&[b"set-hook", b"-g", b"client-session-changed[4244]", again]));
    lines.push(line(&[b"run-shell", b"-b", b"#{@roster_run}"]));
    lines
}

fn hooks(version: Version) -> Vec<Vec<u8>> {
    let hidden = version.at_least(3, 2);
    HOOKS.iter().map(|hook| set_hook(hook, hidden)).collect()
}

/// Whose a key is that we would bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Ours,
    Users,
    Unbound,
}

/// The keys that the options name, and whose they are: for doctor.
pub fn keys(tmux: &Tmux, deadline: Instant) -> Result<Vec<(String, KeyState)>, Failure> {
    let asked = ask(tmux, deadline)?;
    let bound: Vec<(String, bool)> = bound(&asked.bound).collect();
    let state = |key: &String| {
        let key = plain_key(key);
        let found = bound.iter().find(|(taken, _)| *taken == key);
        let state = match found {
            None => KeyState::Unbound,
            Some((_, true)) => KeyState::Ours,
            Some((_, false)) => KeyState::Users,
        };
        (key, state)
    };
    Ok(asked.keys.iter().flatten().map(state).collect())
}

/// A key of ours.
pub struct Key {
    /// The option that moves it, or switches it off by `none`.
    pub option: &'static str,
    /// The key without that option.
    pub default: &'static str,
    /// What `prefix + ?` says of it.
    pub note: &'static str,
    words: &'static str,
}

/// All of them.
pub const KEYS: [Key; 3] = [
    Key {
        option: "@roster-pick-key",
        default: "G",
        note: "Pick a session (tmux-roster)",
        words: "pick",
    },
    Key {
        option: "@roster-menu-key",
        default: "A",
        note: "Menu for this session (tmux-roster)",
        words: "menu",
    },
    Key {
        option: "@roster-reopen-key",
        default: "B",
        note: "Reopen the session closed last (tmux-roster)",
        words: "key reopen",
    },
];

/// The options of tmux in which `#{roster_mode}` and the like are replaced.
const STATUS: [&str; 2] = ["status-left", "status-right"];

/// What loading depends on.
struct Asked {
    /// The keys that the options name, in the order of [`KEYS`]; `None` where switched off.
    keys: Vec<Option<String>>,
    /// The values of [`STATUS`].
    status: Vec<String>,
    /// What list-keys printed of the prefix table.
    bound: String,
}

/// Asks for everything in one call. The values stand between marks, since an option that is not
/// set prints nothing; there may be no session yet, so no format can be asked for before 3.2.
fn ask(tmux: &Tmux, deadline: Instant) -> Result<Asked, Failure> {
    let mark = query::new_mark();
    let mut words = vec!["set-option", "-g", "@roster_mark", &mark];
    for option in KEYS.iter().map(|key| key.option).chain(STATUS) {
        words.extend([";", "show-options", "-gqv", option]);
        words.extend([";", "show-options", "-gv", "@roster_mark"]);
    }
    words.extend([";", "set-option", "-gu", "@roster_mark"]);
    words.extend([";", "list-keys", "-T", "prefix"]);
    let printed = tmux.run(&words, deadline)?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    let parts: Vec<&str> = printed.split(&format!("{mark}\n")).collect();
    if parts.len() != KEYS.len() + STATUS.len() + 1 {
        return Err("tmux gave an incomplete answer".into());
    }
    let value = |at: usize| parts[at].strip_suffix('\n').unwrap_or(parts[at]);
    let keys = KEYS.iter().enumerate().map(|(at, key)| match value(at).trim() {
        "" => Some(key.default.to_owned()),
        "none" => None,
        chosen => Some(chosen.to_owned()),
    });
    Ok(Asked {
        keys: keys.collect(),
        status: (0..STATUS.len()).map(|at| value(KEYS.len() + at).to_owned()).collect(),
        bound: parts[KEYS.len() + STATUS.len()].to_owned(),
    })
}

/// The keys of the prefix table as list-keys prints them, and whether each is ours: a key that the
/// user bound may call our program as well, but does not say where it was pressed.
fn bound(listed: &str) -> impl Iterator<Item = (String, bool)> + '_ {
    listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "-T").skip(2);
        let ours = line.contains(" run-shell -b \"#{@roster_program} ")
            && line.contains(" --from '#{E:@roster_from}' ");
        Some((plain_key(words.next()?), ours))
    })
}

/// A key as tmux calls it, whether a person or list-keys wrote it.
fn plain_key(key: &str) -> String {
    let quoted = |q: char| key.len() > 2 && key.starts_with(q) && key.ends_with(q);
    let key = if quoted('"') || quoted('\'') { &key[1..key.len() - 1] } else { key };
    let key = if key.len() > 1 { key.strip_prefix('\\').unwrap_or(key) } else { key };
    match key.strip_prefix('^').or_else(|| key.strip_prefix("C-")) {
        Some(rest) if rest.chars().count() == 1 => format!("C-{}", rest.to_lowercase()),
        _ => key.to_owned(),
    }
}

/// Our bindings: a key that is bound to something else is left alone, and one of ours that is
/// wanted no more goes.
fn bindings(version: Version, asked: &Asked) -> Vec<Vec<u8>> {
    let bound: Vec<(String, bool)> = bound(&asked.bound).collect();
    let wanted: Vec<String> = asked.keys.iter().flatten().map(|key| plain_key(key)).collect();
    let mut lines = Vec::new();
    for (old, _) in bound.iter().filter(|(key, ours)| *ours && !wanted.contains(key)) {
        lines.push(line(&[b"unbind-key", b"-T", b"prefix", b"--", old.as_bytes()]));
    }
    for (key, chosen) in KEYS.iter().zip(&asked.keys) {
        let Some(chosen) = chosen else { continue };
        let plain = plain_key(chosen);
        if bound.iter().any(|(taken, ours)| *taken == plain && !ours) {
            continue;
        }
        let popup = if key.words == "pick" && version.at_least(3, 2) { " --popup" } else { "" };
        let (verb, rest) = key.words.split_once(' ').unwrap_or((key.words, ""));
        let command = format!(
            "#{{@roster_program}} {verb} --from '#{{E:@roster_from}}'{popup} {rest} >/dev/null 2>&1 || :"
        );
        let mut words: Vec<&[u8]> = vec![b"bind-key", b"-T", b"prefix"];
        if version.at_least(3, 1) {
            words.extend([&b"-N"[..], key.note.as_bytes()]);
        }
        words.extend([&b"--"[..], plain.as_bytes(), b"run-shell", b"-b", command.as_bytes()]);
        lines.push(line(&words));
    }
    lines
}

/// `#{roster_mode}` and the like inside the status line, as TPM plugins offer it: replaced by
/// the options that sessions carry, so that showing them starts no process. For example
/// `set -g status-right '#{?#{==:#{roster_mode},yolo},#[fg=red],#[fg=green]}#{roster_mode}#[default]'`
fn placeholders(asked: &Asked, version: Version) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for (option, value) in STATUS.iter().zip(&asked.status) {
        let mut replaced = value.clone();
        for name in ["mode", "health", "uuid", "lost"] {
            let ours = format!("#{{@roster_{name}}}");
            replaced = replaced.replace(&format!("#{{roster_{name}}}"), &ours);
        }
        if replaced == *value {
            continue;
        }
        if (version.major, version.minor) == (3, 4) {
            // It prints a `$` before a letter as `\$`.
            replaced = replaced.replace("\\$", "$");
        }
        lines.push(line(&[b"set-option", b"-g", option.as_bytes(), replaced.as_bytes()]));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_list_keys_writes_them() {
        let listed = "bind-key    -T prefix       \\#   list-buffers\n\
            bind-key -r -T prefix       M-Up  resize-pane -U 5\n\
            bind-key    -T prefix       L     run-shell -b \"#{@roster_program} list\"\n\
            bind-key    -T prefix       C-g   run-shell -b \"#{@roster_program} pick --from '#{E:@roster_from}'  >/dev/null 2>&1 || :\"\n";
        let found: Vec<(String, bool)> = bound(listed).collect();
        let want = [("#", false), ("M-Up", false), ("L", false), ("C-g", true)];
        assert_eq!(found, want.map(|(key, ours)| (key.to_owned(), ours)));
        assert_eq!(plain_key("^G"), "C-g");
        assert_eq!(plain_key("\""), "\"");
    }

    #[test]
    fn another_key_unbinds_the_old_one_and_a_strangers_stays() {
        let asked = Asked {
            keys: vec![Some("X".into()), None, Some("B".into())],
            status: vec!["#{roster_mode} #{roster_mode}".into(), "#{@roster_mode}".into()],
            bound: "bind-key -T prefix G run-shell -b \"#{@roster_program} pick --from '#{E:@roster_from}' x\"\n\
                    bind-key -T prefix B display-message mine\n"
                .into(),
        };
        let version = Version { major: 3, minor: 3 };
        let lines = bindings(version, &asked);
        let text = String::from_utf8(lines.concat()).unwrap();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(text.starts_with("unbind-key -T prefix -- G\nbind-key -T prefix -N "), "{text}");
        assert_eq!(placeholders(&asked, version).len(), 1);
    }
}
