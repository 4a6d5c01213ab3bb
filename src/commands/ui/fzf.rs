//! fzf: finding it, asking it for a session, and reading what was picked.

use std::cell::{Cell, OnceCell};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tmux_roster::config::{Place, is_program};
use tmux_roster::model::session::is_uuid;
use tmux_roster::tmux::text::quote_sh;
use unicode_width::UnicodeWidthStr;

use crate::commands::called::as_typed;
use crate::commands::context::{Context, Failure};
use crate::commands::inspect::{State, View};
use crate::commands::output::{cut_start, tilde, visible};
use crate::commands::projects::{Projects, hidden, unhidden};
use crate::commands::ui::key::Seat;
use crate::commands::ui::keys::{KEYS, PREVIEW, header};
use crate::commands::ui::rows::{Listed, listed};
use crate::commands::ui::terminal;
use crate::commands::windows::Recorded;

/// fzf on PATH, or where its own installer and others put it, which a server's PATH may lack.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".fzf/bin"));
    let usual = ["/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(own)
        .chain(usual)
        .map(|folder| folder.join("fzf"))
        .find(|program| program.is_absolute() && is_program(program))
}

/// What fzf gave back.
#[derive(Debug, Default, PartialEq)]
pub struct Picked {
    pub query: String,
    pub key: String,
    /// What the line hides: a session's UUID, or a directory.
    pub chosen: Option<String>,
}

/// Reads the query, the key and the line chosen, one per line; a line that is missing is empty.
fn read_picked(printed: &str) -> Picked {
    let mut lines = printed.split('\n').map(str::to_owned);
    let mut next = || lines.next().unwrap_or_default();
    let (query, key, line) = (next(), next(), next());
    let is_ours = |word: &&str| is_uuid(word) || unhidden(word).is_some();
    let chosen = line.split('\t').next().filter(is_ours).map(str::to_owned);
    Picked { query, key, chosen }
}

/// fzf on our terminal.
pub struct Fzf<'a> {
    context: &'a Context,
    place: &'a Place,
    seat: Option<&'a Seat>,
    fzf: PathBuf,
    /// It is asked for its version while we look at tmux.
    asked: Cell<Option<Child>>,
    version: OnceCell<(u32, u32)>,
}

impl<'a> Fzf<'a> {
    pub fn find(context: &'a Context, place: &'a Place, seat: Option<&'a Seat>) -> Option<Fzf<'a>> {
        let fzf = program()?;
        let mut ask = Command::new(&fzf);
        let ask = ask.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped());
        let asked = Cell::new(ask.spawn().ok());
        Some(Fzf { context, place, seat, fzf, asked, version: OnceCell::new() })
    }

    fn version(&self) -> (u32, u32) {
        *self.version.get_or_init(|| {
            let output = self.asked.take().and_then(|asked| asked.wait_with_output().ok());
            version(&output.map(|output| output.stdout).unwrap_or_default())
        })
    }

    /// Shows the sessions in fzf, with the cursor on the session that was picked before, wherever it
    /// stands now: the next key is meant for it. `None` if nothing was picked.
    pub fn ask(
        &self,
        view: &View,
        projects: &mut Projects,
        before: Picked,
        note: &str,
    ) -> Result<Option<Picked>, Failure> {
        let (context, place) = (self.context, self.place);
        let (columns, rows) = terminal::size();
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
        let room = if beside { columns / 2 } else { columns }.saturating_sub(4);
        let header = match note {
            "" => header(room, view.lost()),
            note => wrapped(&as_typed(note), room, (rows / 4).max(2)),
        };
        let recorded = Recorded::read_silently(place);
        let current = self.seat.map(|seat| seat.session);
        let listed = listed(context, &recorded, view, current, room);
        if before.chosen.is_some() {
            // It may be one of them.
            projects.all();
        }
        let lines = lines(context, &listed) + &project_lines(context, projects.found(), room);
        let mut query = before.query;
        let mut at = None;
        if let Some(chosen) = before.chosen.as_ref().filter(|_| self.version() >= POS) {
            let position = |shown: &str| {
                let is_it = |line: &str| line.split('\t').next() == Some(chosen);
                shown.lines().position(is_it)
            };
            if !query.is_empty() {
                at = position(&self.filtered(&query, &lines)?);
            }
            if at.is_none() {
                // What was typed does not find it any more, as after a new name.
                at = position(&lines);
                if at.is_some() {
                    query.clear();
                }
            }
        }
        let mut fzf = self.filtering();
        fzf.args(["--layout=reverse", "--no-multi"])
            .args(["--print-query", "--info=inline", "--prompt=session> "])
            .arg(format!("--expect={},f1", expected().join(",")))
            .arg(format!("--bind={PREVIEW}:toggle-preview"))
            .arg(format!("--query={query}"))
            .arg(format!("--header={header}"))
            // What is to be found and not to be seen stands far to the right.
            .args(["--header-lines=1", "--no-hscroll"])
            .args(["--preview-window", preview_window, "--preview"])
            .arg(std::ffi::OsStr::from_bytes(&preview));
        if self.version() >= ELLIPSIS {
            fzf.arg("--ellipsis=");
        }
        if let Some(at) = at {
            fzf.arg(format!("--bind=load:pos({})", at + 1));
        }
        fzf.args(colours());
        let more = || Some(project_lines(context, projects.more(LULL)?, room));
        let output = feed(fzf, &format!("\t{}\n{lines}", listed.heading), more)?;
        match output.status.code() {
            Some(0 | 1) => {
                let mut picked = read_picked(&String::from_utf8_lossy(&output.stdout));
                if picked.chosen.is_none() && picked.query == query && at.is_some() {
                    // The key was pressed before fzf had read the line on which its cursor is put.
                    picked.chosen = before.chosen;
                }
                Ok(Some(picked))
            }
            Some(130) => Ok(None),
            _ => Err("fzf failed: use roster list and roster go instead".into()),
        }
    }

    /// A call of fzf that takes our lines, matches what it shows of them, and sorts as we do.
    fn filtering(&self) -> Command {
        let mut fzf = Command::new(&self.fzf);
        fzf.args(["--ansi", "--with-nth=2..", "--tiebreak=index"]);
        // Behind the mark stand name and state, at the end the directory, or it and the name where
        // one is cut: numbers and ages are not to be searched.
        fzf.args(["--delimiter=\t| {2,}", "--nth=2,3,-1"]);
        // The user's own bindings and filters would change what its keys and its answer mean, and
        // the preview command is quoted for sh.
        fzf.env_remove("FZF_DEFAULT_OPTS")
            .env_remove("FZF_DEFAULT_OPTS_FILE")
            .env_remove("FZF_DEFAULT_COMMAND")
            .env("SHELL", "/bin/sh");
        fzf
    }

    /// The lines that fzf shows for this query, in its order.
    fn filtered(&self, query: &str, lines: &str) -> Result<String, Failure> {
        let mut fzf = self.filtering();
        fzf.arg(format!("--filter={query}"));
        Ok(String::from_utf8_lossy(&feed(fzf, lines, || None)?.stdout).into_owned())
    }
}

/// How long we wait for more lines before we look whether anybody still wants them.
const LULL: Duration = Duration::from_millis(2);

/// Runs fzf on these lines, and on more while it runs, until there are none.
fn feed(
    mut fzf: Command,
    lines: &str,
    mut more: impl FnMut() -> Option<String> + Send,
) -> Result<Output, Failure> {
    let fzf = fzf.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = fzf.spawn().map_err(|error| format!("could not start fzf: {error}"))?;
    let stdin = child.stdin.take();
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let Some(mut stdin) = stdin else { return };
            // It may be left before it has read everything.
            let mut written = stdin.write_all(lines.as_bytes());
            while written.is_ok() && !has_ended.load(Ordering::Relaxed) {
                let Some(lines) = more() else { return };
                written = stdin.write_all(lines.as_bytes());
            }
        });
        let output = child.wait_with_output();
        has_ended.store(true, Ordering::Relaxed);
        Ok(output?)
    })
}

/// The keys that fzf leaves to us.
fn expected() -> Vec<&'static str> {
    let ours = |key: &&str| key.starts_with(['c', 'a', '?']) && *key != PREVIEW;
    KEYS.iter().map(|key| key.fzf).filter(ours).collect()
}

/// What fzf shows, each line behind the UUID that it hides. What of a name or a directory does not
/// fit is where it can be found and not be seen.
fn lines(context: &Context, listed: &Listed) -> String {
    let mut text = String::new();
    for (row, line) in &listed.rows {
        let style = match row.state {
            State::Live if line.starts_with('*') => "1",
            State::Live => "",
            State::Lost | State::Unreachable => "2;33",
            State::Closed => "2",
        };
        let session = &row.session;
        let whole = [visible(&session.name), visible(&tilde(context, &session.workdir))];
        text.push_str(&format!("{}\t{}", session.uuid, styled(style, line)));
        if whole.iter().any(|whole| !line.contains(whole.as_str()) || whole.contains("  ")) {
            text.push_str(&format!("{}{}", far(), whole.join(" ")));
        }
        text.push('\n');
    }
    text
}

/// The directories that have no session yet, below all sessions.
fn project_lines(context: &Context, projects: &[String], room: usize) -> String {
    let mut text = String::new();
    for directory in projects {
        let shown = visible(&tilde(context, directory));
        let line = format!("+  {}", cut_start(&shown, room.saturating_sub(3)));
        text.push_str(&format!("{}\t{}", hidden(directory), styled("2", &line)));
        if !line.contains(&shown) || shown.contains("  ") {
            text.push_str(&format!("{}{shown}", far()));
        }
        text.push('\n');
    }
    text
}

/// A line in this style, unless the user wants no colours.
fn styled(style: &str, line: &str) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if plain || style.is_empty() { line.to_owned() } else { format!("\x1b[{style}m{line}\x1b[0m") }
}

/// What leads beyond the right edge of any terminal.
fn far() -> String {
    " ".repeat(1_000)
}

/// Text in at most so many lines of so many columns, as far as its words allow.
fn wrapped(text: &str, room: usize, rows: usize) -> String {
    let mut lines = String::new();
    let (mut left, mut row) = (room, 1);
    for word in text.split(' ') {
        let needed = word.width() + 1;
        if needed > left && !lines.is_empty() {
            if row == rows {
                lines.push('…');
                break;
            }
            lines.push('\n');
            row += 1;
            left = room;
        } else if !lines.is_empty() {
            lines.push(' ');
        }
        lines.push_str(word);
        left = left.saturating_sub(needed);
    }
    lines
}

/// The fzf that can leave out the mark of a line that is cut.
const ELLIPSIS: (u32, u32) = (0, 30);

/// The fzf that can put its cursor somewhere.
const POS: (u32, u32) = (0, 36);

fn version(printed: &[u8]) -> (u32, u32) {
    let text = String::from_utf8_lossy(printed).into_owned();
    let mut parts = text.trim().split(['.', ' ']).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
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
        assert_eq!(picked.chosen.as_deref(), Some(uuid));
        let directory = hidden("/a b");
        let picked = read_picked(&format!("\n\n{directory}\t+ /a b\n"));
        assert_eq!(picked.chosen, Some(directory));
        assert_eq!(read_picked("x\n\n"), Picked { query: "x".into(), ..Picked::default() });
        assert_eq!(read_picked("\n\n$(x)\ty\n").chosen, None);
    }

    #[test]
    fn a_note_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 80, 2), "one two three");
        assert_eq!(wrapped("one two three", 8, 2), "one two\nthree");
        assert_eq!(wrapped("a-very-long-word two", 8, 2), "a-very-long-word\ntwo");
        assert_eq!(wrapped("", 8, 2), "");
        assert_eq!(wrapped("one two three four", 8, 2), "one two\nthree…");
    }
}
