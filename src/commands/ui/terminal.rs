//! Asking and showing on a terminal of our own: in the picker's popup, or where it was typed.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use unicode_width::UnicodeWidthStr;

use crate::commands::output::visible;

/// The terminal, giving each key as it is pressed, until this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> io::Result<Raw> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Raw { before })
    }

    /// The bytes of the next key; `None` when there is no terminal any more.
    fn key(&self) -> Option<Vec<u8>> {
        let mut bytes = [0; 64];
        match io::stdin().lock().read(&mut bytes) {
            Ok(0) | Err(_) => None,
            Ok(count) => Some(bytes[..count].to_vec()),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

/// Its columns and rows.
pub fn size() -> (usize, usize) {
    let size = tcgetwinsize(io::stdout()).map_or((80, 24), |size| (size.ws_col, size.ws_row));
    (size.0.into(), size.1.into())
}

const CLEAR: &str = "\x1b[2J\x1b[H";

/// Says what is being done, while nothing else is on the screen.
pub fn working(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "{CLEAR}{text}...")?;
    out.flush()
}

/// Asks, and tells whether `y` was pressed: every other key is a no.
pub fn confirm(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    // First: whoever reads the question may have answered before it is written to the end.
    let raw = Raw::new()?;
    write!(out, "{CLEAR}{text}")?;
    out.flush()?;
    let key = raw.key().unwrap_or_default();
    drop(raw);
    write!(out, "{CLEAR}")?;
    Ok(key == b"y" || key == b"Y")
}

/// Asks for one line, with something to begin with. `None` if it was given up: Escape.
pub fn ask(question: &str, begin: &str) -> io::Result<Option<String>> {
    let mut out = io::stdout().lock();
    let mut line = begin.as_bytes().to_vec();
    let raw = Raw::new()?;
    write!(out, "{CLEAR}{question}\r\n(Enter to accept, Escape to cancel)\r\n\r\n")?;
    loop {
        let shown = visible(&String::from_utf8_lossy(&line));
        write!(out, "\r\x1b[K> {shown}")?;
        out.flush()?;
        for byte in raw.key().unwrap_or_else(|| vec![0x1b]) {
            match byte {
                b'\r' | b'\n' => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                0x1b | 0x03 | 0x04 => return Ok(None),
                // ctrl-u and ctrl-w: a name is one word.
                0x15 | 0x17 => line.clear(),
                // The last character, however many bytes it has.
                0x7f | 0x08 => while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {},
                byte if byte >= b' ' => line.push(byte),
                _ => {}
            }
        }
    }
}

/// How many rows a line takes on a terminal of so many columns.
fn height(line: &str, columns: usize) -> usize {
    let mut width = 0_usize;
    let mut rest = line;
    while let Some((before, colour)) = rest.split_once('\x1b') {
        width += before.width();
        rest = colour.split_once('m').map_or("", |(_, after)| after);
    }
    (width + rest.width()).div_ceil(columns.max(1)).max(1)
}

/// Shows a text, a screen at a time, until a key is pressed.
pub fn show(text: &str) -> io::Result<()> {
    let (columns, rows) = size();
    let rows = rows.saturating_sub(2).max(1);
    let mut lines = text.lines().peekable();
    let mut out = io::stdout().lock();
    while lines.peek().is_some() {
        write!(out, "{CLEAR}")?;
        let mut left = rows;
        while let Some(line) = lines.next_if(|line| left == rows || height(line, columns) <= left) {
            writeln!(out, "{line}")?;
            left = left.saturating_sub(height(line, columns));
        }
        let more = lines.peek().is_some();
        write!(
            out,
            "\x1b[2m{}\x1b[0m",
            if more { "press any key for more" } else { "press any key to go back" }
        )?;
        out.flush()?;
        let key = Raw::new()?.key();
        if key.is_none_or(|key| matches!(key.as_slice(), b"q" | b"\x1b" | b"\x03")) {
            break;
        }
    }
    write!(out, "{CLEAR}")
}
