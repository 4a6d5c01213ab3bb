//! Globs as a shell has them: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` before what stands for itself.

use std::iter::Peekable;
use std::str::Chars;

/// A pattern for whole names.
#[derive(Debug, Clone, PartialEq)]
pub struct Glob {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
    /// The ranges between brackets, and whether they are those that do not match.
    Class(Vec<(char, char)>, bool),
}

impl Glob {
    /// Every text is a glob: a `[` without its `]` stands for itself.
    pub fn new(text: &str) -> Glob {
        let mut parts = Vec::new();
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            parts.push(match c {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Char(rest.next().unwrap_or('\\')),
                '[' => match class(rest.clone()) {
                    Some((class, after)) => {
                        rest = after;
                        class
                    }
                    None => Part::Char('['),
                },
                c => Part::Char(c),
            });
        }
        Glob { text: text.to_owned(), parts }
    }

    /// What it was made of.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole name.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut part, mut at) = (0, 0);
        // Where the last `*` is, and what it reaches to so far.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() {
            let matches = match self.parts.get(part) {
                Some(Part::Any) => {
                    retry = Some((part, at));
                    part += 1;
                    continue;
                }
                Some(Part::One) => true,
                Some(Part::Char(c)) => *c == name[at],
                Some(Part::Class(ranges, is_negated)) => {
                    ranges.iter().any(|(from, to)| (from..=to).contains(&&name[at])) != *is_negated
                }
                None => false,
            };
            if matches {
                (part, at) = (part + 1, at + 1);
            } else if let Some((star, from)) = retry {
                retry = Some((star, from + 1));
                (part, at) = (star + 1, from + 1);
            } else {
                return false;
            }
        }
        self.parts[part..].iter().all(|part| *part == Part::Any)
    }
}

/// What stands behind a `[`, up to its `]`, and the rest. A `]` that comes first is one of it.
fn class(mut rest: Peekable<Chars<'_>>) -> Option<(Part, Peekable<Chars<'_>>)> {
    let is_negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let from = match rest.next()? {
            ']' if !ranges.is_empty() => return Some((Part::Class(ranges, is_negated), rest)),
            '\\' => rest.next()?,
            c => c,
        };
        let mut after = rest.clone();
        let to = match (after.next(), after.next()) {
            (Some('-'), Some(to)) if to != ']' => {
                rest = after;
                if to == '\\' { rest.next()? } else { to }
            }
            _ => from,
        };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, yes, no) in [
            ("_*", &["_", "_a"][..], &["a_", ""][..]),
            ("[0-9]*", &["0", "7x"], &["x", ""]),
            ("[!0-9]*", &["x", "é9"], &["0", ""]),
            ("[^a]", &["b"], &["a", "bb"]),
            ("a[bc-]d", &["abd", "a-d"], &["aad", "ad"]),
            ("[]x]", &["]", "x"], &["[", "[]x]"]),
            ("[!]]", &["x"], &["]"]),
            ("[a-", &["[a-"], &["a", "-"]),
            ("x[", &["x["], &["x"]),
            ("[z-a]", &[], &["z", "a", "m"]),
            ("[\\]-_]", &["]", "^", "_"], &["[", "a"]),
            ("\\*", &["*"], &["x", "\\*"]),
            ("a\\", &["a\\"], &["a"]),
            ("*a*b?", &["abc", "xaxbx", "abab!"], &["ab", "ba"]),
            ("日?", &["日本"], &["日", "本日"]),
            ("", &[""], &["a"]),
            ("**", &["", "a"], &[]),
        ] {
            let glob = Glob::new(glob);
            for name in yes {
                assert!(glob.matches(name), "{} {name}", glob.as_str());
            }
            for name in no {
                assert!(!glob.matches(name), "{} {name}", glob.as_str());
            }
        }
    }
}
