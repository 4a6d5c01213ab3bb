//! Every escaping of tmux's text, both ways: what tmux, its formats, its files of commands and sh are
//! given, and what tmux prints (FACTS.md, "Names" and "Output").

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::Version;

/// A command of words, quoted so that tmux's parser gives back exactly these bytes on every
/// version: in double quotes, all but letters and digits as three octal digits.
pub fn line(words: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for word in words {
        if !text.is_empty() {
            text.push(b' ');
        }
        let plain =
            |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'@' | b'/' | b'.');
        let is_plain = !word.is_empty() && word.iter().all(plain);
        if is_plain {
            text.extend_from_slice(word);
            continue;
        }
        text.push(b'"');
        for byte in *word {
            if byte.is_ascii_alphanumeric() {
                text.push(*byte);
            } else {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
        }
        text.push(b'"');
    }
    text.push(b'\n');
    text
}

/// The path of a file as `source-file` takes it: as a glob.
pub fn escape_glob(path: &Path) -> Vec<u8> {
    let mut escaped = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'[' | b']' | b'*' | b'?' | b'\\') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    escaped
}

/// Text that a tmux format shows as it is: every `#` doubled.
pub fn escape_format(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|&b| std::iter::repeat_n(b, if b == b'#' { 2 } else { 1 })).collect()
}

/// Text as an argument of a tmux call: a `;` at its end would end the command there.
pub fn argument(text: impl Into<OsString>) -> OsString {
    let mut text = text.into().into_vec();
    if text.last() == Some(&b';') {
        text.insert(text.len() - 1, b'\\');
    }
    OsString::from_vec(text)
}

/// A word that sh takes as it is.
pub fn quote_sh(word: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in word {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// What tmux is to be given so that it stores `name`: from 3.2 on it doubles every backslash. Before
/// 3.7 it also writes what cannot be printed as `\t` or `\033`, and before 3.5 a `$x` as `\$x`;
/// later ones take no such byte, so there those two stay as they read.
pub fn unstored_name(name: &[u8], version: Version) -> Vec<u8> {
    if !version.escapes_names() {
        return name.to_vec();
    }
    unescape_stored(name, version.doubles_backslashes_alone(), version.escapes_dollars())
}

/// Takes back what tmux makes of a text that it stores: only backslashes are doubled (`alone`), or
/// control characters are escaped as well, and with `dollars` what a shell would expand.
fn unescape_stored(name: &[u8], alone: bool, dollars: bool) -> Vec<u8> {
    let mut given = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, after @ ..] = rest {
        let octal = match after {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                Some(((a - b'0') << 6) + ((b - b'0') << 3) + (c - b'0'))
            }
            _ => None,
        };
        let (byte, length) = match (byte, after.first()) {
            (b'\\', Some(b'\\')) => (b'\\', 2),
            (b'\\', _) if alone => (b'\\', 1),
            (b'\\', Some(b'$')) if dollars => (b'$', 2),
            (b'\\', Some(b'a')) => (7, 2),
            (b'\\', Some(b'b')) => (8, 2),
            (b'\\', Some(b't')) => (b'\t', 2),
            (b'\\', Some(b'n')) => (b'\n', 2),
            (b'\\', Some(b'v')) => (11, 2),
            (b'\\', Some(b'f')) => (12, 2),
            (b'\\', Some(b'r')) => (b'\r', 2),
            (b'\\', _) => octal.filter(|byte| *byte != 0).map_or((b'\\', 1), |byte| (byte, 4)),
            (byte, _) => (*byte, 1),
        };
        given.push(byte);
        rest = &rest[length..];
    }
    given
}

/// The same for a pane's title, which 3.0 alone escapes as later ones do names.
pub fn stored_title(title: &[u8], version: Version) -> Vec<u8> {
    match version.escapes_titles() {
        true => unescape_stored(title, false, true),
        false => stored_text(title, version),
    }
}

/// What tmux is to be given so that it stores a window's name or a pane's title that it told: from
/// 3.7 on it doubles every backslash, and refuses a window whose name has control characters or is
/// not UTF-8.
pub fn stored_text(text: &[u8], version: Version) -> Vec<u8> {
    if !version.doubles_backslashes_alone() {
        return text.to_vec();
    }
    let text = String::from_utf8_lossy(text).replace("\\\\", "\\");
    text.replace(char::is_control, " ").into_bytes()
}

/// A name or a directory for `new-session` or `rename-session`, where it is a format: every `#` is
/// doubled, but from 3.2 on not those right before a `[`, which all stay as they are.
pub fn escape_name(text: &[u8], version: Version) -> Vec<u8> {
    if !version.escapes_styles() {
        return escape_format(text);
    }
    let mut escaped = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        escaped.push(byte);
        let next = text[at..].iter().find(|byte| **byte != b'#');
        if byte == b'#' && next != Some(&b'[') {
            escaped.push(b'#');
        }
    }
    escaped
}

/// Free text as tmux has it, of which it printed this, with the length that it reports. tmux 3.4
/// and 3.5a escape some of it on the way out, but not the backslash; the length tells whether
/// they did.
pub fn exact(length: &[u8], printed: &[u8]) -> Vec<u8> {
    let length: Option<usize> = std::str::from_utf8(length).ok().and_then(|l| l.parse().ok());
    match length {
        Some(length) if length != printed.len() => {
            // What it escaped must account for the length, and what only looks like it must not:
            // of a text with backslashes of its own a `$` alone is escaped, as a rule.
            let without_dollars = unescape_dollars(printed);
            let ways = [(false, false), (true, true), (true, false), (false, true)];
            let undone = [&without_dollars[..], printed]
                .into_iter()
                .flat_map(|text| ways.map(|(octal, letters)| unescape(text, octal, letters)));
            let mut undone = undone.filter(|text| text.len() == length);
            undone.next().unwrap_or_else(|| printed.to_vec())
        }
        _ => printed.to_vec(),
    }
}

/// Takes back what tmux 3.4 makes of `$x`, `$_` and `${`.
pub fn unescape_dollars(printed: &[u8]) -> Vec<u8> {
    let is_escape = |at: usize| {
        let begins_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'{');
        printed[at..].starts_with(b"\\$") && printed.get(at + 2).is_some_and(begins_name)
    };
    (0..printed.len()).filter(|at| !is_escape(*at)).map(|at| printed[at]).collect()
}

/// Takes back what tmux 3.4 and 3.5a make of control bytes, and of those that are no UTF-8: `\177` and
/// the like, and letters as in `\t`.
fn unescape(printed: &[u8], octal: bool, letters: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(printed.len());
    let mut rest = printed;
    while let [first, tail @ ..] = rest {
        let (byte, length) = match (first, tail) {
            (b'\\', [b'a', ..]) if letters => (7, 2),
            (b'\\', [b'b', ..]) if letters => (8, 2),
            (b'\\', [b't', ..]) if letters => (b'\t', 2),
            (b'\\', [b'n', ..]) if letters => (b'\n', 2),
            (b'\\', [b'v', ..]) if letters => (11, 2),
            (b'\\', [b'f', ..]) if letters => (12, 2),
            (b'\\', [b'r', ..]) if letters => (b'\r', 2),
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) if octal => {
                match ((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0') {
                    byte @ (0..=6 | 14..=31 | 127..) => (byte, 4),
                    _ => (b'\\', 1),
                }
            }
            _ => (*first, 1),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_byte_by_byte() {
        assert_eq!(line(&[b"a", b"b c", b"", b"\xff;"]), b"a \"b\\040c\" \"\" \"\\377\\073\"\n");
        assert_eq!(quote_sh(b"it's #{x}"), b"'it'\\''s #{x}'");
        assert_eq!(escape_format(b"a#(b)#"), b"a##(b)##");
        assert_eq!(["a;b", "a;", "a\\;"].map(argument), ["a;b", "a\\;", "a\\\\;"]);
        assert_eq!(escape_glob(Path::new("/p[x]/*")), b"/p\\[x\\]/\\*");
    }

    #[test]
    fn a_name_is_given_to_tmux_so_that_it_stores_it_as_it_was() {
        let given = |name: &str, minor| {
            let given = unstored_name(name.as_bytes(), Version { major: 3, minor });
            String::from_utf8(given).unwrap()
        };
        let name = r"a\\b \$x \t \033[ \000 \9 \";
        assert_eq!(given(name, 1), name);
        assert_eq!(given(name, 3), "a\\b $x \t \x1b[ \\000 \\9 \\");
        assert_eq!(given(name, 6), "a\\b \\$x \t \x1b[ \\000 \\9 \\");
        assert_eq!(given(name, 7), r"a\b \$x \t \033[ \000 \9 \");
    }
}
