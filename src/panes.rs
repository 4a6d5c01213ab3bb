//! What the system says of the programs in panes: which one is in front, and in what directory. On
//! Linux /proc tells it, exactly and at no cost to tmux; elsewhere tmux itself.
//!
//! Of a program that the user's options do not name, nothing but its existence is kept: neither its
//! words, nor a title or a window's name that it may have chosen.

use std::fs;
use std::os::unix::ffi::OsStringExt;

use crate::model::layout::LiveLayout;
use crate::model::snapshot::{PaneId, ServerId, SessionId};
use crate::model::time::Timestamp;
use crate::model::windows::{Bytes, Pane, Seen, SeenWindow, Window};
use crate::sorted::{Map, Set};
use crate::tmux::program::is_our_proc;
use crate::tmux::query::{PaneRow, Panes};

/// What has to be asked of tmux, here.
pub fn to_ask() -> Panes {
    if is_our_proc() { Panes::Plain } else { Panes::WithPrograms }
}

/// What a server has: of each session in `recorded` its windows, by UUID. And the windows whose
/// layout was not understood. `named` are the programs that the user's options name.
pub fn look(
    rows: &[PaneRow],
    server: ServerId,
    recorded: &Map<SessionId, String>,
    named: &Set<String>,
) -> (Seen, Vec<u32>) {
    let wanted = rows.iter().filter(|row| recorded.contains_key(&row.session));
    let wanted: Map<PaneId, &PaneRow> = wanted.map(|row| (row.pane, row)).collect();
    let fronts: Map<PaneId, Front> =
        wanted.into_iter().map(|(pane, row)| (pane, Front::of(row, named))).collect();
    let (mut sessions, mut refused) = (Map::new(), Vec::new());
    for links in rows.chunk_by(|a, b| (a.session, a.index) == (b.session, b.index)) {
        let Some(uuid) = recorded.get(&links[0].session) else { continue };
        let windows: &mut Vec<SeenWindow> =
            sessions.get_or_insert_with(uuid.clone(), || Vec::with_capacity(1));
        let window = window(links, &fronts);
        if window.window.layout.is_none() {
            refused.push(window.window.id);
        }
        windows.push(window);
    }
    let windows = rows.iter().map(|row| row.window).collect();
    let panes = rows.iter().map(|row| row.pane).collect();
    (Seen { server, sessions, windows, panes }, refused)
}

/// A window, of the rows of its panes.
fn window(rows: &[PaneRow], fronts: &Map<PaneId, Front>) -> SeenWindow {
    let active = rows.iter().find(|row| row.flags.pane_active);
    let text = active.and_then(|row| row.window_text.as_ref());
    let live: Option<LiveLayout> = text.and_then(|(layout, _)| layout.parse().ok());
    let by_id: Map<PaneId, &PaneRow> = rows.iter().map(|row| (row.pane, row)).collect();
    let is_there = |live: &LiveLayout| live.panes().iter().all(|pane| by_id.contains_key(pane));
    let live = live.filter(is_there);
    // tmux lists panes in another order than the cells, and floating ones among them.
    let order = match &live {
        Some(live) => live.panes(),
        None => rows.iter().map(|row| row.pane).collect(),
    };
    let panes = order.iter().map(|pane| {
        let front = &fronts[pane];
        Pane {
            id: *pane,
            directory: front.directory.clone(),
            title: front.is_known.then(|| Bytes(by_id[pane].title.clone())),
            active: by_id[pane].flags.pane_active,
            program: front.words.clone(),
            called: front.called.clone(),
            belongs: None,
        }
    });
    let first = &rows[0];
    let flags = active.unwrap_or(first).flags;
    let name = text.filter(|_| !flags.automatic_rename).map(|(_, name)| Bytes(name.clone()));
    // A program sets the name by itself only where `allow-rename` is on, from whichever pane.
    let is_name_of_program =
        flags.allow_rename && rows.iter().any(|row| !fronts[&row.pane].is_known);
    SeenWindow {
        window: Window {
            id: first.window,
            index: first.index,
            name,
            layout: live.map(|live| live.normalised()),
            active: first.flags.window_active,
            last: first.flags.window_last,
            zoomed: first.flags.window_zoomed,
            synchronized: flags.synchronize_panes,
            command: rows.iter().all(|row| row.flags.start_command),
            since: Timestamp::ZERO,
            panes: panes.collect(),
            index_before: None,
            fuller: None,
        },
        is_name_of_program,
    }
}

/// What is in front in a pane.
struct Front {
    /// Whether it is a shell, or a program that the user's options name: it may be spoken of.
    is_known: bool,
    /// The directory of the shell; `None` if it is not known, or is gone.
    directory: Option<Bytes>,
    /// The words of the program, if the options name it.
    words: Vec<Bytes>,
    /// What they call it, if not by the first word.
    called: Option<String>,
}

impl Front {
    fn of(row: &PaneRow, named: &Set<String>) -> Front {
        if row.flags.pane_dead || row.pid == 0 {
            return Front { is_known: false, directory: None, words: Vec::new(), called: None };
        }
        match &row.program {
            Some((directory, command)) => Front::as_told(directory, command, named),
            None => Front::of_process(row.pid, named),
        }
    }

    /// As tmux tells it: the program's name, without its words.
    fn as_told(directory: &[u8], command: &[u8], named: &Set<String>) -> Front {
        let name = String::from_utf8_lossy(command).into_owned();
        let is_shell = is_shell(&[name.as_bytes()]);
        let is_named = named.contains(&name);
        Front {
            is_known: is_shell || is_named,
            directory: there(directory.to_vec()),
            words: if is_named { vec![Bytes(command.to_vec())] } else { Vec::new() },
            called: None,
        }
    }

    /// As /proc tells it of the process that tmux started in the pane.
    fn of_process(pid: u32, named: &Set<String>) -> Front {
        let front = foreground(pid).unwrap_or(pid);
        let words = words_of(front);
        let borrowed: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let is_shell = is_shell(&borrowed);
        let called = if is_shell { None } else { called(named, &borrowed, front) };
        // In a pipe, or with a file as its input, it is not what its words say.
        let is_whole = [0, 1].iter().all(|fd| has_terminal(front, *fd));
        // A shell in a shell, as nix-shell starts one, is where people are.
        let directory = is_shell.then(|| directory_of(front)).flatten();
        Front {
            is_known: is_shell || called.is_some(),
            directory: directory.or_else(|| directory_of(pid)),
            called: called.clone().filter(|called| {
                borrowed.first().is_none_or(|first| base(first) != called.as_bytes())
            }),
            words: match called {
                Some(_) if is_whole => words.into_iter().map(Bytes).collect(),
                _ => Vec::new(),
            },
        }
    }
}

/// Whether a file of a process is a terminal, as far as the system tells.
fn has_terminal(pid: u32, fd: u32) -> bool {
    let link = fs::read_link(format!("/proc/{pid}/fd/{fd}"));
    link.map_or(true, |path| path.starts_with("/dev/pts") || path.starts_with("/dev/tty"))
}

/// Which of `named` a program is: by the name that it was started by, of a script that its
/// interpreter runs by the script's, or by the name that the process gave itself.
fn called(named: &Set<String>, words: &[&[u8]], pid: u32) -> Option<String> {
    let name = base(words.first()?);
    let find = |name: &[u8]| named.get(std::str::from_utf8(name).ok()?).cloned();
    if let Some(found) = find(name) {
        return Some(found);
    }
    let is_interpreter = SHELLS.contains(&name)
        || [&b"python"[..], b"node", b"ruby", b"perl", b"bun", b"deno", b"lua"]
            .iter()
            .any(|interpreter| name.starts_with(interpreter));
    // What stands behind options may be code.
    let script = words.get(1).filter(|word| !word.starts_with(b"-"));
    let by_script = script.filter(|_| is_interpreter).and_then(|script| find(base(script)));
    by_script.or_else(|| {
        let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
        find(comm.strip_suffix(b"\n").unwrap_or(&comm))
    })
}

const SHELLS: [&[u8]; 16] = [
    b"sh", b"bash", b"dash", b"zsh", b"fish", b"ksh", b"ksh93", b"mksh", b"ash", b"busybox",
    b"tcsh", b"csh", b"nu", b"elvish", b"xonsh", b"pwsh",
];

/// Options of shells behind which a word stands that is no script.
const WITH_VALUE: [&[u8]; 5] = [b"--rcfile", b"--init-file", b"-o", b"-O", b"+O"];

/// Whether these words start a shell that people type in: no script, and no command.
pub fn is_shell(words: &[&[u8]]) -> bool {
    let Some((first, rest)) = words.split_first() else { return false };
    let name = base(first);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    if !SHELLS.contains(&name) {
        return false;
    }
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let is_long = word.starts_with(b"--");
        let is_option = word.starts_with(b"-") || word.starts_with(b"+");
        let is_command =
            if is_long { word.starts_with(b"--command") } else { word.contains(&b'c') };
        if !is_option || is_command {
            return false;
        }
        if WITH_VALUE.contains(word) {
            rest.next();
        }
    }
    true
}

fn base(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

/// The leader of the process group that is in front in the terminal of a process.
fn foreground(pid: u32) -> Option<u32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let after = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    let text = std::str::from_utf8(after).ok()?;
    // State, parent, group, session, terminal, and then this.
    text.split_whitespace().nth(5)?.parse().ok()
}

/// The words that a process was started by; none if it is gone.
fn words_of(pid: u32) -> Vec<Vec<u8>> {
    let Ok(mut line) = fs::read(format!("/proc/{pid}/cmdline")) else { return Vec::new() };
    if line.last() == Some(&0) {
        line.pop();
    }
    if line.is_empty() {
        return Vec::new();
    }
    line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

fn directory_of(pid: u32) -> Option<Bytes> {
    let link = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    there(link.into_os_string().into_vec())
}

/// A directory as the system tells it, unless it was removed.
fn there(path: Vec<u8>) -> Option<Bytes> {
    use std::os::unix::ffi::OsStrExt;
    let is_removed = path.ends_with(b" (deleted)")
        && !std::path::Path::new(std::ffi::OsStr::from_bytes(&path)).exists();
    (path.starts_with(b"/") && !is_removed).then_some(Bytes(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_one_that_people_type_in() {
        let is = |words: &[&str]| {
            is_shell(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
        };
        assert!(
            is(&["-bash"]) && is(&["/bin/zsh", "-l"]) && is(&["fish"]) && is(&["bash", "--norc"])
        );
        assert!(!is(&["bash", "-c", "x"]) && !is(&["sh", "./sc"]) && !is(&["bash", "-lc", "x"]));
        assert!(is(&["bash", "--rcfile", "x", "-i"]) && !is(&["fish", "--command=x"]));
        assert!(!is(&["vim"]) && !is(&[]) && !is(&["ssh", "host"]));
    }
}
