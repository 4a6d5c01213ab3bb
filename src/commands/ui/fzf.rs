//! fzf: finding it, asking it for a session, and reading what was picked.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::termios::tcgetwinsize;
use tmux_roster::config::{Place, is_program};
use tmux_roster::model::session::is_uuid;
use tmux_roster::tmux::text::quote_sh;
use unicode_width::UnicodeWidthStr;

use crate::commands::context::{Context, Failure};
use crate::commands::inspect::View;
use crate::commands::ui::key::Seat;
use crate::commands::ui::pick::lines;

/// fzf on PATH, or where its own installer and others put it, which a server's PATH may lack.
pub fn fzf() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".fzf/bin"));
    let usual = ["/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(own)
        .chain(usual)
        .map(|folder| folder.join("fzf"))
        .find(|program| program.is_absolute() && is_program(program))
}

pub const HELP: &str = "\
Enter    switch to it; a lost or closed session is brought back first
ctrl-s   create a session named as typed, in your pane's directory
ctrl-r   rename
ctrl-x   kill a live session (asks first), forget a lost or closed one
ctrl-o   restore a lost session or reopen a closed one, and stay here
ctrl-t   next mode
? or F1  this help
Escape   close the picker

*        the current session
lost     ended with its server (kill-server, crash, reboot)
closed   ended while its server kept running
";

/// What fzf gave back.
#[derive(Debug, Default, PartialEq)]
pub struct Picked {
    pub query: String,
    pub key: String,
    pub uuid: Option<String>,
}

/// Reads the query, the key and the line chosen, one per line; a line that is missing is empty.
fn read_picked(printed: &str) -> Picked {
    let mut lines = printed.split('\n').map(str::to_owned);
    let mut next = || lines.next().unwrap_or_default();
    let (query, key, line) = (next(), next(), next());
    let uuid = line.split('\t').next().filter(|uuid| is_uuid(uuid)).map(str::to_owned);
    Picked { query, key, uuid }
}

/// Shows the sessions in fzf, with the cursor on the session that was picked before, wherever it
/// stands now: the next key is meant for it. `None` if nothing was picked.
pub fn ask_fzf(
    context: &Context,
    place: &Place,
    view: &View,
    seat: Option<&Seat>,
    before: Picked,
    note: &str,
) -> Result<Option<Picked>, Failure> {
    let program = fzf().ok_or("fzf is gone")?;
    let size = tcgetwinsize(std::io::stdout()).ok();
    let (columns, rows) = size.map_or((80, 24), |size| (size.ws_col, size.ws_row));
    let mut preview = quote_sh(std::env::current_exe()?.as_os_str().as_bytes());
    preview.extend_from_slice(b" -S ");
    preview.extend(quote_sh(place.tmux.socket.as_os_str().as_bytes()));
    preview.extend_from_slice(b" pick --preview {1}");
    let preview_window = match (columns, rows) {
        (110.., _) => "right:50%",
        (_, 18..) => "down:50%",
        _ => "right:50%:hidden",
    };
    // The list and what stands over it share their columns with a preview beside them; two stay
    // empty at their left.
    let beside = preview_window == "right:50%";
    let room = usize::from(if beside { columns / 2 } else { columns }).saturating_sub(4);
    let header = if note.is_empty() { keys(room).to_owned() } else { wrapped(note, room) };
    let lines = lines(context, place, view, seat.map(|seat| seat.session));
    let mut query = before.query;
    let mut at = None;
    if let Some(uuid) = before.uuid.filter(|_| has_pos(&program)) {
        let position = |shown: &str| {
            let is_it = |line: &str| line.split('\t').next() == Some(&uuid);
            shown.lines().position(is_it)
        };
        if !query.is_empty() {
            at = position(&filtered(&program, &query, &lines)?);
        }
        if at.is_none() {
            // What was typed does not find it any more, as after a new name.
            at = position(&lines);
            if at.is_some() {
                query.clear();
            }
        }
    }
    let mut fzf = filtering(&program);
    fzf.args(["--layout=reverse", "--no-multi"])
        .args(["--print-query", "--info=inline", "--prompt=session> "])
        .arg("--expect=ctrl-s,ctrl-r,ctrl-x,ctrl-o,ctrl-t,?,f1")
        .arg(format!("--query={query}"))
        .arg(format!("--header={header}"))
        .args(["--preview-window", preview_window, "--preview"])
        .arg(std::ffi::OsStr::from_bytes(&preview));
    if let Some(at) = at {
        fzf.arg(format!("--bind=load:pos({})", at + 1));
    }
    fzf.args(colours());
    let output = feed(fzf, &lines)?;
    match output.status.code() {
        Some(0 | 1) => Ok(Some(read_picked(&String::from_utf8_lossy(&output.stdout)))),
        Some(130) => Ok(None),
        _ => Err("fzf failed: use roster list and roster go instead".into()),
    }
}

/// A call of fzf that takes our lines, matches what it shows of them, and sorts as we do.
fn filtering(program: &Path) -> Command {
    let mut fzf = Command::new(program);
    fzf.args(["--ansi", "--delimiter=\t", "--with-nth=2..", "--tiebreak=index"]);
    // The user's own bindings and filters would change what its keys and its answer mean, and
    // the preview command is quoted for sh.
    fzf.env_remove("FZF_DEFAULT_OPTS")
        .env_remove("FZF_DEFAULT_OPTS_FILE")
        .env_remove("FZF_DEFAULT_COMMAND")
        .env("SHELL", "/bin/sh");
    fzf
}

/// The lines that fzf shows for this query, in its order.
fn filtered(program: &Path, query: &str, lines: &str) -> Result<String, Failure> {
    let mut fzf = filtering(program);
    fzf.arg(format!("--filter={query}"));
    Ok(String::from_utf8_lossy(&feed(fzf, lines)?.stdout).into_owned())
}

/// Runs fzf on these lines.
fn feed(mut fzf: Command, lines: &str) -> Result<Output, Failure> {
    let fzf = fzf.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = fzf.spawn().map_err(|error| format!("could not start fzf: {error}"))?;
    let stdin = child.stdin.take();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // It may be left before it has read everything.
            let _ = stdin.map(|mut stdin| stdin.write_all(lines.as_bytes()));
        });
        Ok(child.wait_with_output()?)
    })
}

/// What the picker's keys do, in as many columns.
fn keys(room: usize) -> &'static str {
    let all = [
        "enter go, ^s new, ^r rename, ^x kill, ^o reopen, ^t mode, ? help",
        "enter go, ^s new, ^r rename, ^x kill, ? help",
        "enter go, ^s new, ^x kill, ? help",
        "enter go, ? help",
    ];
    all.into_iter().find(|keys| keys.len() <= room).unwrap_or("? help")
}

/// Text in lines of so many columns, as far as its words allow.
fn wrapped(text: &str, room: usize) -> String {
    let mut lines = String::new();
    let mut left = room;
    for word in text.split(' ') {
        let needed = word.width() + 1;
        if needed > left && !lines.is_empty() {
            lines.push('\n');
            left = room;
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines.push_str(word);
        left = left.saturating_sub(needed);
    }
    lines
}

/// Whether this fzf can put its cursor somewhere: from 0.36 on.
fn has_pos(program: &Path) -> bool {
    let printed = Command::new(program).arg("--version").stdin(Stdio::null()).output();
    let printed = printed.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&printed).into_owned();
    let mut parts = text.trim().split(['.', ' ']).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(0), Some(36))
}

/// The colours that the user chose for fzf.
fn colours() -> Vec<String> {
    let options = std::env::var("FZF_DEFAULT_OPTS").unwrap_or_default();
    let words = shell_words::split(&options).unwrap_or_default();
    let mut colours = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word.starts_with("--color=") {
            colours.push(word);
        } else if word == "--color" {
            colours.extend(words.next().map(|value| format!("--color={value}")));
        }
    }
    colours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fzf_prints_is_read_line_by_line() {
        let uuid = "3b241101-e2bb-4255-8caf-4136c566a962";
        let picked = read_picked(&format!("qu ery\nctrl-x\n{uuid}\t* name\n"));
        assert_eq!((picked.query.as_str(), picked.key.as_str()), ("qu ery", "ctrl-x"));
        assert_eq!(picked.uuid.as_deref(), Some(uuid));
        assert_eq!(read_picked("x\n\n"), Picked { query: "x".into(), ..Picked::default() });
        assert_eq!(read_picked("\n\n$(x)\ty\n").uuid, None);
    }

    #[test]
    fn a_note_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 80), "one two three");
        assert_eq!(wrapped("one two three", 8), "one two\nthree");
        assert_eq!(wrapped("a-very-long-word two", 8), "a-very-long-word\ntwo");
        assert_eq!(wrapped("", 8), "");
    }
}
