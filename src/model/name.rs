//! Session names: what is valid, and how to make one out of any text (FORMAT.md, "Names").

use std::fmt;

/// The most bytes that a valid name has.
pub const MAX_NAME_BYTES: usize = 100;

/// Why a name is not valid. Each reason has its own message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    Empty,
    /// The name is longer than [`MAX_NAME_BYTES`]; holds its length in bytes.
    TooLong(usize),
    /// The name has a character that is not allowed, or starts with `-` or `_`; holds the name.
    BadCharacter(String),
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => write!(f, "session name is empty"),
            NameError::TooLong(bytes) => {
                write!(f, "session name is too long: {bytes} bytes, at most {MAX_NAME_BYTES}")
            }
            NameError::BadCharacter(name) => write!(
                f,
                "session name {name:?} is not valid: use letters, digits, - and _, \
                 and start with a letter or digit"
            ),
        }
    }
}

impl std::error::Error for NameError {}

/// Checks `name` against `^[a-zA-Z0-9][a-zA-Z0-9_-]{0,99}$`, whole.
///
/// # Errors
/// Says which of the three rules the name breaks: empty, more than 100 bytes, or a character.
pub fn validate_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.len()));
    }
    let bytes = name.as_bytes();
    if bytes[0].is_ascii_alphanumeric() && bytes.iter().all(|&b| is_allowed(b)) {
        Ok(())
    } else {
        Err(NameError::BadCharacter(name.to_owned()))
    }
}

/// Makes a valid name out of any bytes: each character that is not allowed (and each byte that
/// is not UTF-8) becomes one `-`, leading `-` and `_` go, nothing left becomes `session`, and
/// the result is cut to 100 bytes.
pub fn sanitize_name(raw: &[u8]) -> String {
    let mut name = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        let allowed = |c: char| c.is_ascii() && is_allowed(c as u8);
        name.extend(chunk.valid().chars().map(|c| if allowed(c) { c } else { '-' }));
        name.extend(chunk.invalid().iter().map(|_| '-'));
    }
    let trimmed = name.trim_start_matches(['-', '_']);
    let mut name = if trimmed.is_empty() { "session".to_owned() } else { trimmed.to_owned() };
    name.truncate(MAX_NAME_BYTES);
    name
}

/// Whether tmux itself gave this name: a new session without a name is called by a number.
pub fn is_given_by_tmux(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

fn is_allowed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_rule_has_its_own_reason() {
        assert_eq!(validate_name(""), Err(NameError::Empty));
        assert_eq!(validate_name(&"a".repeat(101)), Err(NameError::TooLong(101)));
        for bad in ["a b", "-a", "_a", "a\n", "a.b", "é", "a/b", " a"] {
            assert_eq!(validate_name(bad), Err(NameError::BadCharacter(bad.into())), "{bad:?}");
        }
        for good in ["a", "0", "A-_z9", "help", &"a".repeat(100)] {
            assert_eq!(validate_name(good), Ok(()), "{good:?}");
        }
    }

    #[test]
    fn sanitized_names_are_valid_whatever_comes_in() {
        let long = "x".repeat(300);
        let cases: [(&[u8], &str); 10] = [
            (b"my project", "my-project"),
            (b"a...", "a---"),
            ("日本語".as_bytes(), "session"),
            ("x日本語".as_bytes(), "x---"),
            ("naïve café".as_bytes(), "na-ve-caf-"),
            (b"--x", "x"),
            (b"_-_a_", "a_"),
            (b"", "session"),
            (b"a\xff\xfeb", "a--b"),
            (long.as_bytes(), &long[..100]),
        ];
        for (raw, name) in cases {
            assert_eq!(sanitize_name(raw), name);
            assert_eq!(validate_name(&sanitize_name(raw)), Ok(()));
        }
    }
}
