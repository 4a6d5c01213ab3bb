//! The keys of the picker: what fzf and menus take, what the help says, and the README's table.

use tmux_roster::sorted::sort;

/// A key of the picker.
pub struct Key {
    /// What it is in fzf: `ctrl-` and the letter, or `alt-` where fzf edits its query with that.
    pub fzf: &'static str,
    /// The letter, which it is in menus; empty where these have nothing like it.
    pub menu: &'static str,
    pub does: &'static str,
}

const fn key(fzf: &'static str, menu: &'static str, does: &'static str) -> Key {
    Key { fzf, menu, does }
}

pub const KEYS: [Key; 12] = [
    key("enter", "g", "go there; a lost or closed one is brought back"),
    key("ctrl-o", "o", "restore or reopen it, and stay here"),
    key("alt-a", "a", "restore all lost sessions"),
    key("alt-w", "w", "reopen the session's last closed window"),
    key("ctrl-s", "s", "create a session, named as typed, where you are"),
    key("ctrl-r", "r", "rename it"),
    key("ctrl-t", "t", "give it the next mode"),
    key("alt-h", "h", "check its health"),
    key("ctrl-x", "x", "kill it (asks first), or forget it if not live"),
    key("ctrl-v", "", "show or hide the preview"),
    key("?", "", "this help (f1 too)"),
    key("esc", "esc", "close the picker"),
];

/// What the list's header says of them, the most needed first.
const SHORT: [(&str, &str); 8] = [
    ("?", "help"),
    ("enter", "go"),
    ("alt-a", "restore all"),
    ("ctrl-x", "kill"),
    ("ctrl-s", "new"),
    ("ctrl-r", "rename"),
    ("ctrl-o", "reopen"),
    ("ctrl-t", "mode"),
];

/// What a key of fzf is called that only shows or hides something, which fzf does by itself.
pub const PREVIEW: &str = "ctrl-v";

/// The letter of a key that fzf gave back, which says no word for enter.
pub fn letter(pressed: &str) -> &'static str {
    let pressed = if pressed.is_empty() { "enter" } else { pressed };
    KEYS.iter().find(|key| key.fzf == pressed).map_or("", |key| key.menu)
}

/// The header of the list: as many keys as go into so many columns, in the order of the help.
pub fn header(room: usize, lost: usize) -> String {
    let mut shown: Vec<(usize, String)> = Vec::new();
    let mut left = room + 2;
    for (fzf, word) in SHORT {
        let place = KEYS.iter().position(|key| key.fzf == fzf).unwrap_or(KEYS.len());
        let text = match (fzf, lost) {
            ("alt-a", 0) => continue,
            ("alt-a", lost) => format!("{fzf} {word} ({lost})"),
            _ => format!("{} {word}", fzf.replace("ctrl-", "^")),
        };
        if let Some(rest) = left.checked_sub(text.len() + 2) {
            left = rest;
            shown.push((place, text));
        }
    }
    sort(&mut shown);
    shown.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(", ")
}

/// The help: every line goes into a popup on a terminal of 60 columns, and in 3.2 that has room for less.
pub fn help() -> String {
    let mut help = String::new();
    for Key { fzf, does, .. } in &KEYS {
        help.push_str(&format!("{fzf:<8} {does}\n"));
    }
    help.push_str(
        "
*        the current session
+        a directory: enter creates a session there
lost     ended with its server, as in a crash or reboot
closed   ended while its server kept running
",
    );
    help
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    #[test]
    fn the_help_fits_a_popup_of_sixty_columns() {
        for line in help().lines() {
            assert!(line.width() <= 56, "{line}");
        }
    }

    #[test]
    fn the_header_has_the_keys_that_fit_the_most_needed_first() {
        let all = "enter go, ^o reopen, ^s new, ^r rename, ^t mode, ^x kill, ? help";
        assert_eq!(header(80, 0), all);
        assert_eq!(header(36, 0), "enter go, ^s new, ^x kill, ? help");
        assert_eq!(header(54, 12), "enter go, alt-a restore all (12), ^x kill, ? help");
        assert_eq!(header(3, 0), "");
        assert!(SHORT.iter().all(|(fzf, _)| KEYS.iter().any(|key| key.fzf == *fzf)));
    }

    #[test]
    fn the_readme_has_every_key_of_the_picker_and_no_other() {
        let readme = include_str!("../../../README.md");
        let section = readme.split("\n## The picker\n").nth(1).unwrap();
        let section = section.split("\n## ").next().unwrap();
        let told: Vec<&str> =
            section.lines().filter(|line| line.starts_with('|')).skip(2).collect();
        let code = |key: &str| if key.is_empty() { String::new() } else { format!("`{key}`") };
        let real = KEYS.map(|Key { fzf, menu, does }| {
            format!("| {} | {} | {does} |", code(fzf), code(menu)).replace("|  |", "| |")
        });
        assert_eq!(told, real);
    }
}
