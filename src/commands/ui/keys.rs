//! The keys of the picker: what fzf and menus take, what the help says, and the README's table.

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

/// What a key of fzf is called that only shows or hides something, which fzf does by itself.
pub const PREVIEW: &str = "ctrl-v";

/// The letter of a key that fzf gave back, which says no word for enter.
pub fn letter(pressed: &str) -> &'static str {
    let pressed = if pressed.is_empty() { "enter" } else { pressed };
    KEYS.iter().find(|key| key.fzf == pressed).map_or("", |key| key.menu)
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
