//! What is printed: for people so that it does nothing to their terminal, for scripts byte for byte.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use serde::Serialize;
use tmux_roster::Timestamp;
use tmux_roster::config::Environment;
use unicode_width::UnicodeWidthStr;

use super::called::as_typed;
use super::context::{Context, Failure};

/// Prints a path and a newline: for a script byte for byte, for a person so that it does nothing to
/// the terminal.
pub fn print_path(path: &Path) -> Result<(), Failure> {
    let mut line = match io::stdout().is_terminal() {
        true => visible(&path.display().to_string()).into_bytes(),
        false => path.as_os_str().as_bytes().to_vec(),
    };
    line.push(b'\n');
    print_bytes(&line)
}

/// Prints to standard output; a reader that has gone is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// "1 session", "2 sessions".
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Says something on standard error, whether or not somebody is there to read it. It may hold any
/// name or path.
pub fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "roster: {}", as_typed(&visible(text)));
}

/// A word in a command that a person may paste into a shell.
pub fn to_paste(word: &str) -> Cow<'_, str> {
    shell_words::quote(word)
}

/// A session's name as the last of such a command's words.
pub fn name_to_paste(name: &str) -> String {
    let dashes = if name.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", to_paste(name))
}

/// Prints a value as one line of JSON that does nothing to a terminal.
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    print(&format!("{}\n", harmless(&serde_json::to_string(value)?)))
}

/// JSON as a terminal may have it: in a string may stand DEL and the C1 controls, which a terminal obeys.
pub fn harmless(json: &str) -> String {
    let mut text = String::new();
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// Where nothing is cut, one long name widens no other row by more than this.
const WIDEST: usize = 40;

/// Lays a table out, its widest column cut to the terminal's width, coloured on a terminal. A column
/// that is empty below its heading is left out.
pub fn layout<const N: usize>(table: &[[String; N]], styles: &[&str]) -> String {
    let rows: Vec<&[String]> = table.iter().map(<[String; N]>::as_slice).collect();
    layout_rows(&rows, styles)
}

fn layout_rows(table: &[&[String]], styles: &[&str]) -> String {
    let on_terminal = std::io::stdout().is_terminal();
    let coloured = on_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let is_shown =
        |at: &usize| table.len() == 1 || table.iter().skip(1).any(|row| !row[*at].is_empty());
    let columns = table.first().map_or(0, |row| row.len());
    let shown: Vec<usize> = (0..columns).filter(is_shown).collect();
    let width = |at: &usize| table.iter().map(|row| row[*at].width()).max().unwrap_or(0);
    let mut widths: Vec<usize> = shown.iter().map(width).collect();
    let gaps = 2 * shown.len().saturating_sub(1);
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + gaps;
    if let Some(columns) = terminal_columns().filter(|_| on_terminal) {
        while total(&widths) > columns {
            let widest = (0..widths.len()).max_by_key(|&i| widths[i]).unwrap_or(0);
            if widths[widest] <= 8 {
                break;
            }
            widths[widest] -= 1;
        }
    } else if shown.first() == Some(&0) {
        widths[0] = widths[0].min(WIDEST);
    }
    let column = |(&at, &width): (&usize, &usize)| {
        let cells: Vec<String> = table.iter().map(|row| row[at].clone()).collect();
        match on_terminal {
            true if table[0][at] == "WORKDIR" => {
                cells.iter().map(|cell| cut_start(cell, width)).collect()
            }
            true => cut_apart(&cells, width),
            false => cells,
        }
    };
    let columns: Vec<Vec<String>> = shown.iter().zip(&widths).map(column).collect();
    let mut text = String::new();
    for (row, style) in styles.iter().enumerate().take(table.len()) {
        let cell = |(column, width): (&Vec<String>, &usize)| {
            let cell = &column[row];
            let padding = width.saturating_sub(cell.width());
            cell.clone() + &" ".repeat(padding)
        };
        let cells: Vec<String> = columns.iter().zip(&widths).map(cell).collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        if coloured && !style.is_empty() {
            text.push_str(&format!("\x1b[{style}m{line}\x1b[0m\n"));
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// Text that takes at most `width` columns.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut cut = String::new();
    for c in text.chars() {
        if cut.width() + c.to_string().width() + 1 > width {
            break;
        }
        cut.push(c);
    }
    cut.push('…');
    cut
}

/// The same, cut in the middle: the reason of a message stands at its end.
pub fn cut_inside(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let head = cut(text, width / 2);
    let mut tail = String::new();
    for c in text.chars().rev() {
        if head.width() + tail.width() + c.to_string().width() > width {
            break;
        }
        tail.insert(0, c);
    }
    head + &tail
}

/// The same for a path, whose end tells most.
pub fn cut_start(path: &str, width: usize) -> String {
    if path.width() <= width {
        return path.to_owned();
    }
    let mut tail = String::new();
    for c in path.chars().rev() {
        if tail.width() + c.to_string().width() + 1 > width {
            break;
        }
        tail.insert(0, c);
    }
    // From the beginning of a name, if that leaves most of it.
    if let Some(at) = tail.find('/').filter(|at| *at < tail.len() / 2) {
        tail.drain(..at);
    }
    format!("…{tail}")
}

/// The same for all texts of a column, of which no two that differ look alike: cut in the middle, and
/// where that hides the difference, up to it.
pub fn cut_apart(texts: &[String], width: usize) -> Vec<String> {
    let mut shown: Vec<String> = texts.iter().map(|text| cut_inside(text, width)).collect();
    // A round tells apart by one more difference; names are short.
    for _ in 0..8 {
        let mut alike: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, shown) in shown.iter().enumerate() {
            alike.entry(shown).or_default().push(at);
        }
        let mut anew = Vec::new();
        for group in alike.values() {
            let first = &texts[group[0]];
            let common = |at: &usize| {
                let pairs = first.chars().zip(texts[*at].chars());
                pairs.take_while(|(one, other)| one == other).count()
            };
            if group.iter().all(|at| texts[*at] == *first) {
                continue;
            }
            let skipped = group.iter().map(common).min().unwrap_or(0).saturating_sub(2);
            for &at in group {
                let rest: String = texts[at].chars().skip(skipped).collect();
                anew.push((at, format!("…{}", cut(&rest, width.saturating_sub(1)))));
            }
        }
        if anew.is_empty() {
            break;
        }
        for (at, text) in anew {
            shown[at] = text;
        }
    }
    shown
}

pub fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then_some(size.ws_col.into())
}

/// Text without control characters, which could do things to a terminal.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A path with the home folder as `~`.
pub fn tilde(context: &Context, path: &str) -> String {
    in_home(&context.environment, path)
}

/// The same for who has no context.
pub fn in_home(environment: &Environment, path: &str) -> String {
    let home = environment.home().and_then(|home| home.to_str());
    match home.and_then(|home| path.strip_prefix(home.trim_end_matches('/'))) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

/// How long ago something was, in the largest unit that fits.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    if then.is_zero() {
        return "never".into();
    }
    let seconds = now.seconds_since(then).max(0.0) as u64;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_end_and_begins_with_a_name() {
        assert_eq!(cut_start("~/src/api", 9), "~/src/api");
        assert_eq!(cut_start("/very/long/way/deep/er/api", 14), "…/deep/er/api");
        assert_eq!(cut_start("/a/much-too-long-a-name", 8), "…-a-name");
        assert_eq!(cut_start("/日本/日本語", 8), "…/日本語");
    }

    #[test]
    fn names_that_differ_look_different_wherever_they_do() {
        let long = "customer-portal-backend-";
        let names: Vec<String> = ["1", "2", "10-x-end", "11-x-end", "10-y-end", "11-y-end"]
            .iter()
            .map(|end| format!("{long}{end}"))
            .chain((0..20).map(|n| format!("{long}{n}-{long}{}-{long}", n % 3)))
            .chain(["short".to_owned(), long.repeat(2), long.repeat(2)])
            .collect();
        for width in 8..40 {
            let shown = cut_apart(&names, width);
            for (at, (name, text)) in names.iter().zip(&shown).enumerate() {
                assert!(text.width() <= width, "{text}");
                assert!(name.width() > width || name == text, "{text}");
                let twin = shown.iter().position(|other| other == text).unwrap();
                assert!(twin == at || names[twin] == *name, "{name} and {}: {text}", names[twin]);
            }
        }
    }
}
