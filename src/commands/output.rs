//! What is printed: for people so that it does nothing to their terminal, for scripts byte for byte.

use std::borrow::Cow;
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

/// A name in a command that a person may paste into a shell.
pub fn to_paste(name: &str) -> Cow<'_, str> {
    shell_words::quote(name)
}

/// Prints a value as one line of JSON that does nothing to a terminal.
pub fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    let mut text = String::new();
    // JSON lets DEL and the C1 controls stand in a string, and a terminal obeys them.
    for c in serde_json::to_string(value)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('\n');
    print(&text)
}

/// Where nothing is cut, one long name widens no other row by more than this.
const WIDEST: usize = 40;

/// Lays a table out, its widest column cut to the terminal's width, coloured on a terminal.
pub fn layout<const N: usize>(table: &[[String; N]], styles: &[&str]) -> String {
    let on_terminal = std::io::stdout().is_terminal();
    let coloured = on_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut widths = [0; N];
    for row in table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let total = |widths: &[usize; N]| widths.iter().sum::<usize>() + 2 * (N - 1);
    if let Some(columns) = terminal_columns().filter(|_| on_terminal) {
        while total(&widths) > columns {
            let widest = (0..N).max_by_key(|&i| widths[i]).unwrap_or(0);
            if widths[widest] <= 8 {
                break;
            }
            widths[widest] -= 1;
        }
    } else {
        widths[0] = widths[0].min(WIDEST);
    }
    let mut text = String::new();
    for (row, style) in table.iter().zip(styles) {
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| {
                let cell = if on_terminal { cut(cell, width) } else { cell.clone() };
                let padding = width.saturating_sub(cell.width());
                cell + &" ".repeat(padding)
            })
            .collect();
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
