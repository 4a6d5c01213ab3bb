//! What the picker shows beside a session: `roster pick --preview UUID`, which fzf runs.

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::sorted::sort_by;
use tmux_roster::tmux::source::only_on;
use tmux_roster::tmux::text::line;
use tmux_roster::tmux::{ANSWER_LIMIT, call};
use tmux_roster::{Session, Timestamp, health, persist};

use crate::commands::context::{Context, Outcome};
use crate::commands::inspect::State;
use crate::commands::output::{age, count, cut_inside, cut_start, print, tilde, visible};
use crate::commands::projects::unhidden;
use crate::commands::target::not_found;
use crate::commands::windows::{Recorded, block, strip, strip_of_closed};

/// What the picker shows beside a session: the windows of a live one and its screen, what is known
/// of the others and what bringing them back would do.
pub fn preview(context: &Context, place: &Place, uuid: &str) -> Outcome {
    if let Some(directory) = unhidden(uuid) {
        return directory_preview(context, &directory);
    }
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
            let closed = recorded.closed_of(uuid);
            let mut room = environment_number("FZF_PREVIEW_LINES").unwrap_or(usize::MAX);
            let mut text = String::new();
            if windows.len() > 1 {
                text.push_str(&format!("{}\n", strip(&windows, columns)));
            }
            if !closed.is_empty() {
                text.push_str(&format!("{}\n", strip_of_closed(&closed, columns)));
            }
            if !text.is_empty() {
                text.push('\n');
                room = room.saturating_sub(text.lines().count()).max(1);
            }
            print(&(text + &screen_text(&screen, room)))?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let closed = remembered.closed.closed.iter().find(|entry| entry.session.uuid == uuid);
    let lost = remembered.registry.by_uuid(uuid);
    let session = lost.or(closed.map(|entry| &entry.session));
    let session = session.ok_or_else(|| not_found(uuid, &mut std::iter::empty()))?;
    let now = Timestamp::now();
    let ago = |time: Timestamp| match age(time, now).as_str() {
        "never" => "never".to_owned(),
        age => format!("{age} ago"),
    };
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
    let room = columns.saturating_sub(10);
    let windows = recorded.of(uuid, state, None);
    let lines = |rows: &[(&str, String)]| -> String {
        rows.iter().map(|(label, value)| format!("{label:<9} {value}\n")).collect()
    };
    let mut text = lines(&[
        ("name", cut_inside(&visible(&session.name), room)),
        ("state", told),
        ("workdir", cut_start(&workdir, room)),
    ]);
    text.push_str(&block(context, &windows, columns));
    text.push_str(&lines(&[
        ("mode", visible(&session.mode)),
        ("created", ago(session.created_at)),
        ("attached", ago(session.last_attached_at)),
    ]));
    if state != State::Unreachable {
        text.push_str(&way_back(context, place, session, windows.len()));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// What is in a directory that has no session yet.
fn directory_preview(context: &Context, directory: &str) -> Outcome {
    let room = environment_number("FZF_PREVIEW_LINES").unwrap_or(usize::MAX).saturating_sub(3);
    let shown = visible(&tilde(context, directory));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries.filter_map(Result::ok).take(MOST_ENTRIES),
        Err(error) => {
            print(&format!("{shown}\nIt cannot be read: {error}\n"))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let mut names: Vec<String> = entries
        .map(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let name = visible(&entry.file_name().to_string_lossy());
            if is_folder { name + "/" } else { name }
        })
        .collect();
    // What is hidden comes last.
    sort_by(&mut names, |a, b| (a.starts_with('.'), a).cmp(&(b.starts_with('.'), b)));
    names.truncate(room.max(1));
    print(&format!("{shown}\nEnter creates a session here.\n\n{}\n", names.join("\n")))?;
    Ok(ExitCode::SUCCESS)
}

/// How much of a directory is read.
const MOST_ENTRIES: usize = 1_000;

/// What brings it back, and as what.
fn way_back(context: &Context, place: &Place, session: &Session, windows: usize) -> String {
    let is_there = health::is_directory(session.workdir.clone().into_bytes()) == Some(true);
    let directory = match is_there {
        true => visible(&tilde(context, &session.workdir)),
        false if !session.workdir.starts_with('/') => {
            "your home directory, since its own is relative".into()
        }
        false => "the nearest parent, since its own is gone".into(),
    };
    let mut parts = vec![match windows {
        0 => "one window".to_owned(),
        _ => format!("{}, as listed", count(windows, "window")),
    }];
    if windows == 0 || !is_there {
        parts.push(format!("in {directory}"));
    }
    match launch_command(place, session) {
        Some(command) => parts.push(format!("running {command}")),
        None if windows == 0 => parts.push("running your shell".into()),
        None => {}
    }
    format!("\nEnter recreates it\nwith its name and UUID:\n{}.\n", parts.join(",\n"))
}

/// What the session's mode starts in it when it comes back; `None` for a shell.
fn launch_command(place: &Place, session: &Session) -> Option<String> {
    let options = ["again", "command"].map(|what| format!("@roster-{what}-{}", session.mode));
    let is_name = |b: u8| b.is_ascii_alphanumeric() || b"-_@".contains(&b);
    if !options[0].bytes().all(is_name) {
        return None;
    }
    let options = [options[0].as_str(), options[1].as_str()];
    let values = call::options(&place.tmux, &options, Instant::now() + ANSWER_LIMIT).ok()?;
    let values = values.iter().map(|value| String::from_utf8_lossy(value).trim().to_owned());
    values.filter(|value| !value.is_empty()).map(|value| visible(&value)).next()
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
