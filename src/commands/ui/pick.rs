//! `roster pick`: the picker, in a popup with fzf, on the terminal where it was typed, or as a
//! menu of tmux where there is no fzf or no popup.
//!
//! What a user named reaches no shell: fzf gets lines on its input and gives back a UUID, which
//! stands hidden in each; its preview command gets that UUID alone.

use std::cmp::Reverse;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::tmux::source::only_on;
use tmux_roster::tmux::text::line;
use tmux_roster::tmux::{ANSWER_LIMIT, call};
use tmux_roster::{Timestamp, health, persist, validate_name};
use unicode_width::UnicodeWidthStr;

use crate::cli;
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::inspect::{Row, State, View, view};
use crate::commands::output::{age, print, tilde, visible};
use crate::commands::target::{by_uuid, not_found};
use crate::commands::ui::fzf::{HELP, Picked, ask_fzf, fzf};
use crate::commands::ui::key::{self, Said, Seat};
use crate::commands::ui::menu::{self, Item, Menu, row_text};
use crate::commands::ui::terminal;
use crate::commands::windows::{Recorded, block, strip};

pub fn pick(context: &Context, args: &cli::Pick) -> Outcome {
    let place = context.place()?;
    if let Some(uuid) = &args.preview {
        return preview(context, &place, uuid);
    }
    menu::telling(&place, args.from.as_deref(), pick_or_fail(context, &place, args))
}

fn pick_or_fail(context: &Context, place: &Place, args: &cli::Pick) -> Outcome {
    let from = args.from.as_deref();
    if args.inside {
        let seat = menu::seat(context, place, from)?;
        return match &args.rename {
            Some(target) => ask_new_name(place, &seat, target),
            None => with_fzf(context, place, Some(&seat)),
        };
    }
    let has_terminal = std::io::stdin().is_terminal();
    if from.is_none() && fzf().is_some() && has_terminal {
        let seat = Seat::of_pane(context, place)?;
        return with_fzf(context, place, seat.as_ref());
    }
    if from.is_none() && !context.is_inside() {
        return Err(match has_terminal {
            true => {
                "outside tmux the picker needs fzf: install it, or use roster list and \
                     roster go NAME"
            }
            false => "outside tmux the picker needs a terminal: use roster list instead",
        }
        .into());
    }
    let seat = menu::seat(context, place, from)?;
    let by_menu = args.actions.as_ref().or(args.confirm.as_ref()).or(args.rename.as_ref());
    if args.popup && by_menu.is_none() && fzf().is_some() {
        // A small client needs all of itself.
        let size = if seat.width < 100 || seat.height < 30 { "100%" } else { "85%" };
        return Err(seat.popup(place, (size, size), &["pick", "--inside"]));
    }
    let view = menu::view_mended(place)?;
    let Some(target) = by_menu else {
        let menu = sessions(context, place, &view, &seat);
        return Err(menu.show(place, &seat, view.version, args.page));
    };
    let Some(row) = view.named(target) else {
        seat.tell(place, "that session no longer exists");
        return Ok(ExitCode::SUCCESS);
    };
    if args.rename.is_some() {
        return Err(rename(place, &seat, &view, row));
    }
    let menu = match &args.confirm {
        Some(_) => menu::confirmation(place, row, seat.height),
        None => menu::actions(row),
    };
    Err(menu.show(place, &seat, view.version, args.page))
}

/// All sessions as a menu.
fn sessions(context: &Context, place: &Place, view: &View, seat: &Seat) -> Menu {
    let rows = sorted(view);
    let recorded = Recorded::read_silently(place);
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(context, &recorded, row)).collect();
    let mut widths = widths(&cells);
    widths[0] = widths[0].min((seat.width.saturating_sub(30)).max(8));
    let mut items = Vec::new();
    for (at, (row, cells)) in rows.iter().zip(&cells).enumerate() {
        let key = if at < 9 { (at + 1).to_string() } else { String::new() };
        let text = format!("{}{}", mark(row, Some(seat.session)), row_text(cells, &widths));
        let actions = format!("pick --actions {}", by_uuid(&row.session));
        items.push(Item::new(key, text, actions));
    }
    if items.is_empty() {
        items.push(Item::new("s", "no sessions yet: create one here", "key new".into()));
    }
    Menu { title: "sessions".into(), items, more: "pick".into() }
}

/// Asks for a new name: in a popup of our own, since the prompt of tmux 3.3a expands `%1` in
/// what was typed once more, unquoted; before 3.2 at that prompt, which escapes what `%%%` puts
/// between double quotes.
fn rename(place: &Place, seat: &Seat, view: &View, row: &Row) -> Failure {
    let target = &by_uuid(&row.session);
    if view.version.has_popups() {
        // tmux refuses a popup that is larger than the client.
        let size = [(60, seat.width), (7, seat.height)].map(|(at_most, has)| at_most.min(has));
        let [width, height] = size.map(|size| size.to_string());
        return seat.popup(place, (&width, &height), &["pick", "--inside", "--rename", target]);
    }
    let then = format!(
        "set-option -g @roster_answer \"%%%\" ; run-shell -b \"#{{@roster_program}} key --answer --from '#{{E:@roster_from}}' rename {target} >/dev/null 2>&1 || :\""
    );
    let mut call = place.tmux.command(&["command-prompt", "-t", &seat.client, "-p", "new name:"]);
    // The text to begin with is a format, and a list of them.
    if validate_name(&row.session.name).is_ok() {
        call.args(["-I", &row.session.name]);
    }
    call.arg(then).exec().into()
}

/// The popup that [`rename`] opens.
fn ask_new_name(place: &Place, seat: &Seat, target: &str) -> Outcome {
    let view = view(place)?;
    let row = view.named(target).ok_or_else(|| not_found(target, std::iter::empty()))?;
    if let Some(said) = rename_row(row, |words| Ok(seat.run(place, words)?))? {
        seat.tell(place, &said.text);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a session's new name on our terminal, and renames it.
fn rename_row(
    row: &Row,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<Option<Said>, Failure> {
    let name = &row.session.name;
    let question = format!("New name for {}:", visible(name));
    let Some(answer) = terminal::ask(&question, name)?.filter(|answer| answer != name) else {
        return Ok(None);
    };
    if let Err(error) = validate_name(&answer) {
        return Ok(Some(Said { well: false, text: visible(&error.to_string()) }));
    }
    run(&["rename", &by_uuid(&row.session), &answer]).map(Some)
}

/// Live ones by last use, then lost ones, then closed ones, the newest first.
fn sorted(view: &View) -> Vec<&Row> {
    let is_shown = |row: &&Row| is_uuid(&row.session.uuid) && !row.is_older;
    let mut rows: Vec<&Row> = view.rows.iter().filter(is_shown).collect();
    rows.sort_unstable_by_key(|row| {
        let session = &row.session;
        let used = row.closed_at.unwrap_or(session.last_attached_at);
        (row.state as u8, row.is_passing, Reverse(used), Reverse(session.created_at), &session.name)
    });
    rows
}

fn mark(row: &Row, current: Option<SessionId>) -> &'static str {
    let here = row.live.as_ref().map(|live| live.id);
    if here.is_some() && here == current { "* " } else { "  " }
}

/// Name, mode, health or state, windows, age, directory.
fn cells(context: &Context, recorded: &Recorded, row: &Row) -> Vec<String> {
    let session = &row.session;
    let health = match row.state {
        State::Live => visible(&session.last_health_status),
        _ => row.state(),
    };
    vec![
        visible(&session.name),
        visible(&session.mode),
        health,
        recorded.count(row).map(|count| count.to_string()).unwrap_or_default(),
        age(session.created_at, Timestamp::now()),
        visible(&tilde(context, &session.workdir)),
    ]
}

/// The widest of each column, within reason.
fn widths(cells: &[Vec<String>]) -> Vec<usize> {
    let limits = [40, 10, 15, 3, 5, 60];
    let widest = |at: usize| cells.iter().map(|row| row[at].width()).max().unwrap_or(0);
    limits.iter().enumerate().map(|(at, limit)| widest(at).min(*limit)).collect()
}

/// The picker with fzf, on our terminal: what was picked is done, and unless that leads
/// elsewhere it is shown again.
fn with_fzf(context: &Context, place: &Place, seat: Option<&Seat>) -> Outcome {
    let mut picked = Picked::default();
    let mut note = String::new();
    loop {
        let view = menu::view_mended(place)?;
        picked = match ask_fzf(context, place, &view, seat, picked, &note)? {
            Some(picked) => picked,
            None => return Ok(ExitCode::SUCCESS),
        };
        let run = |words: &[&str]| run(context, place, seat, words);
        let chosen = picked.uuid.as_ref();
        let row = view.rows.iter().find(|row| Some(&row.session.uuid) == chosen);
        note = match (picked.key.as_str(), row) {
            ("?" | "f1", _) => {
                terminal::show(HELP)?;
                String::new()
            }
            ("ctrl-s", _) => match new(&picked.query, run)? {
                Some(note) => note,
                None => return Ok(ExitCode::SUCCESS),
            },
            ("", Some(row)) => {
                let said = run(&["go", &by_uuid(&row.session)])?;
                if said.well {
                    if let Some(seat) = seat {
                        seat.tell(place, &said.text);
                    }
                    return Ok(ExitCode::SUCCESS);
                }
                said.text
            }
            (key, Some(row)) => act(place, key, row, run)?,
            (_, None) => "no session matches: press ctrl-s to create one with this name".into(),
        };
    }
}

/// Starts a session; returns what went wrong.
fn new(
    name: &str,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<Option<String>, Failure> {
    let said = match validate_name(name) {
        _ if name.is_empty() => run(&["new"])?,
        Ok(()) => run(&["new", name])?,
        Err(error) => return Ok(Some(visible(&error.to_string()))),
    };
    Ok(Some(said.text).filter(|_| !said.well))
}

/// Does what a key means for a session; returns the message about it.
fn act(
    place: &Place,
    key: &str,
    row: &Row,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<String, Failure> {
    let target = by_uuid(&row.session);
    let target = target.as_str();
    let said = match (key, row.state) {
        ("ctrl-t", _) => run(&["mode", "--next", target])?,
        ("ctrl-r", _) => match rename_row(row, run)? {
            Some(said) => said,
            None => return Ok(String::new()),
        },
        // Of one that is out of reach it only says so.
        ("ctrl-x", State::Lost | State::Unreachable) => run(&["forget", target])?,
        ("ctrl-x", _) => {
            let (question, words) = menu::question(row);
            let mut text = format!("{}\r\n\r\n", visible(&question));
            for line in menu::what_runs(place, row).iter().take(30) {
                text.push_str(&format!("  {line}\r\n"));
            }
            text.push_str("\r\npress y to confirm, any other key to cancel ");
            if !terminal::confirm(&text)? {
                return Ok(String::new());
            }
            run(&[words, target])?
        }
        ("ctrl-o", State::Lost) => run(&["restore", target])?,
        ("ctrl-o", State::Closed) => run(&["reopen", target])?,
        _ => return Ok(format!("{} is already live", visible(&row.session.name))),
    };
    let name = visible(&row.session.name);
    Ok(if said.text.contains(&name) { said.text } else { format!("{name}: {}", said.text) })
}

/// Runs one of our commands. Outside tmux, what leads to a session takes over the terminal.
fn run(
    context: &Context,
    place: &Place,
    seat: Option<&Seat>,
    words: &[&str],
) -> Result<Said, Failure> {
    match seat {
        Some(seat) => Ok(seat.run(place, words)?),
        None if matches!(words[0], "go" | "new") => {
            debug_assert!(!context.is_inside());
            Err(key::ours(place)?.args(words).exec().into())
        }
        None => {
            let output = key::ours(place)?.args(words).output()?;
            let text = [output.stdout, output.stderr].concat();
            let text = visible(String::from_utf8_lossy(&text).trim());
            Ok(Said { well: output.status.success(), text })
        }
    }
}

/// What fzf shows, each line behind the UUID that it hides.
pub fn lines(context: &Context, place: &Place, view: &View, current: Option<SessionId>) -> String {
    let rows = sorted(view);
    let recorded = Recorded::read_silently(place);
    let cells: Vec<Vec<String>> = rows.iter().map(|row| cells(context, &recorded, row)).collect();
    let widths = widths(&cells);
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut text = String::new();
    for (row, cells) in rows.iter().zip(&cells) {
        let line = format!("{}{}", mark(row, current), row_text(cells, &widths));
        let style = match row.state {
            _ if plain => "",
            State::Live if line.starts_with('*') => "1",
            State::Live => "",
            State::Lost | State::Unreachable => "2;33",
            State::Closed => "2",
        };
        let (line, uuid) = (line.trim_end(), &row.session.uuid);
        match style {
            "" => text.push_str(&format!("{uuid}\t{line}\n")),
            style => text.push_str(&format!("{uuid}\t\x1b[{style}m{line}\x1b[0m\n")),
        }
    }
    text
}

/// What the picker shows beside a session: the windows of a live one and its screen, what is known
/// of the others and what bringing them back would do.
fn preview(context: &Context, place: &Place, uuid: &str) -> Outcome {
    let remembered = persist::peek(place)?;
    let recorded = Recorded::read_silently(place);
    let columns = environment_number("FZF_PREVIEW_COLUMNS").unwrap_or(80);
    let live = remembered.memory.sessions.iter().find(|(_, known)| known.uuid == uuid);
    let deadline = Instant::now() + ANSWER_LIMIT;
    if let (Some((id, _)), Some(server)) = (live, remembered.memory.server) {
        // In a server that came after the one we know, that id is another session's.
        let target = format!("{id}:");
        let capture = line(&[b"capture-pane", b"-e", b"-p", b"-t", target.as_bytes()]);
        let screen = place.tmux.run(&only_on(server, &capture), deadline).unwrap_or_default();
        if !screen.is_empty() {
            let windows = recorded.of(uuid, State::Live, Some(server));
            let mut room = environment_number("FZF_PREVIEW_LINES").unwrap_or(usize::MAX);
            let mut text = String::new();
            if windows.len() > 1 {
                text.push_str(&format!("{}\n\n", strip(&windows, columns)));
                room = room.saturating_sub(2).max(1);
            }
            print(&(text + &screen_text(&screen, room)))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let closed = remembered.closed.closed.iter().find(|entry| entry.session.uuid == uuid);
    let lost = remembered.registry.by_uuid(uuid);
    let session = lost.or(closed.map(|entry| &entry.session));
    let session = session.ok_or_else(|| not_found(uuid, std::iter::empty()))?;
    let now = Timestamp::now();
    let ago = |time: Timestamp| match age(time, now).as_str() {
        "never" => "never".to_owned(),
        age => format!("{age} ago"),
    };
    let mut text = format!("{}\n\n", visible(&session.name));
    let (state, told) = match closed {
        Some(entry) if lost.is_none() => {
            (State::Closed, format!("closed {}", ago(entry.closed_at)))
        }
        _ if remembered.memory.is_unreachable(uuid) => (
            State::Unreachable,
            "unreachable: it is live, but its server's socket is gone".to_owned(),
        ),
        _ => (State::Lost, "lost: it ended with its server".into()),
    };
    let workdir = visible(&tilde(context, &session.workdir));
    for (label, value) in [
        ("state", told),
        ("mode", visible(&session.mode)),
        ("workdir", workdir.clone()),
        ("created", ago(session.created_at)),
        ("attached", ago(session.last_attached_at)),
    ] {
        text.push_str(&format!("{label:<9} {value}\n"));
    }
    let option = format!("@roster-command-{}", session.mode);
    let is_name = option.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_@".contains(&b));
    let command =
        if is_name { call::options(&place.tmux, &[&option], deadline).ok() } else { None };
    let command = command.and_then(|values| values.into_iter().next()).unwrap_or_default();
    let program = match String::from_utf8_lossy(&command).trim() {
        "" => "your shell".to_owned(),
        command => visible(command),
    };
    let is_there = health::is_directory(session.workdir.clone().into_bytes()) == Some(true);
    let place = match is_there {
        true => workdir,
        false if !session.workdir.starts_with('/') => {
            "your home directory, since its own is relative".into()
        }
        false => "the nearest parent, since its own is gone".into(),
    };
    text.push_str(&format!(
        "\nEnter recreates it\nwith its name and UUID:\none window in {place},\nrunning {program}.\n"
    ));
    let windows = recorded.of(uuid, state, None);
    if !windows.is_empty() {
        text.push_str(&format!("\n{}", block(context, &windows, columns)));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A number that fzf tells its preview.
fn environment_number(name: &str) -> Option<usize> {
    std::env::var(name).ok().and_then(|number| number.parse().ok())
}

/// A captured screen: its last lines as far as there is room, with its colours and without any
/// other control sequence.
fn screen_text(screen: &[u8], room: usize) -> String {
    let text = only_colours(&String::from_utf8_lossy(screen));
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let skipped = lines.len().saturating_sub(room);
    lines[skipped..].join("\n") + "\x1b[0m\n"
}

fn only_colours(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('\x1b', Some('[')) => {
                let mut sequence = String::from(c);
                for c in chars.by_ref() {
                    sequence.push(c);
                    if sequence.len() > 2 && ('@'..='~').contains(&c) {
                        break;
                    }
                }
                if sequence.ends_with('m') {
                    kept.push_str(&sequence);
                }
            }
            // A link and the like, up to its terminator.
            ('\x1b', Some(']')) => {
                while chars.next().is_some_and(|c| c != '\x07' && c != '\x1b') {}
                chars.next_if_eq(&'\\');
            }
            ('\x1b', _) => drop(chars.next()),
            (c, _) if c.is_control() && c != '\n' => {}
            (c, _) => kept.push(c),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_keeps_its_colours_and_nothing_else() {
        assert_eq!(only_colours("a\x1b[1;31mb\x1b[0m\x1b[2Jc"), "a\x1b[1;31mb\x1b[0mc");
        assert_eq!(only_colours("\x1b]8;;http://x\x1b\\y\x1b]8;;\x1b\\\x0ez\x1b(B"), "yzB");
    }
}
