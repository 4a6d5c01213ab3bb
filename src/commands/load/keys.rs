//! The keys that we bind: which, and whose they are now.

use std::time::Instant;

use tmux_roster::tmux::text::line;
use tmux_roster::tmux::{Tmux, Version};

use crate::commands::context::Failure;
use crate::commands::load::{Asked, ask};

/// Whose a key is that we would bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    Ours,
    Users,
    Unbound,
}

/// The keys that the options name, and whose they are: for doctor.
pub fn keys(tmux: &Tmux, deadline: Instant) -> Result<Vec<(String, KeyState)>, Failure> {
    let asked = ask(tmux, deadline)?;
    let bound = bound(&asked.bound);
    let state = |key: &String| {
        let key = plain_key(key);
        let found = bound.iter().find(|(taken, _)| *taken == key);
        let state = match found {
            None => KeyState::Unbound,
            Some((_, true)) => KeyState::Ours,
            Some((_, false)) => KeyState::Users,
        };
        (key, state)
    };
    Ok(asked.keys.iter().flatten().map(state).collect())
}

/// The words of the key that opens the picker.
pub const PICK: &str = "pick";

/// The words of the key that reopens what was closed last.
pub const REOPEN: &str = "key reopen";

/// The key that does this, if it is ours.
pub fn key_of(words: &str, tmux: &Tmux, deadline: Instant) -> Option<String> {
    let asked = ask(tmux, deadline).ok()?;
    let place = KEYS.iter().position(|key| key.words == words)?;
    let key = plain_key(asked.keys[place].as_ref()?);
    let is_ours = bound(&asked.bound).into_iter().any(|(taken, ours)| ours && taken == key);
    is_ours.then_some(key)
}

/// A key of ours.
pub struct Key {
    /// The option that moves it, or switches it off by `none`.
    pub option: &'static str,
    /// What `prefix + ?` says of it.
    pub note: &'static str,
    words: &'static str,
}

/// All of them.
pub const KEYS: [Key; 3] = [
    Key { option: "@roster-pick-key", note: "Pick a session (tmux-roster)", words: PICK },
    Key { option: "@roster-menu-key", note: "Menu for this session (tmux-roster)", words: "menu" },
    Key {
        option: "@roster-reopen-key",
        note: "Reopen the last closed session (tmux-roster)",
        words: REOPEN,
    },
];

/// How long a message stands, in milliseconds.
const MESSAGE_TIME: u32 = 6000;

/// The value of `@roster_gone`: what a key does when the program was not found or cannot be run. It
/// is a format, and then a part of a command for sh, which needs no file of ours. See `show_client`,
/// `show_longer` and `show_pane` in scripts/common.sh.
pub fn gone(version: Version) -> String {
    let text = "'tmux-roster: the program is gone: reload tmux.conf, or run scripts/uninstall'";
    let shown = if version.has_popups() {
        format!(
            "\"$t\" display-message -d {MESSAGE_TIME} -c '#{{client_name}}' {text} || {{ \
             TMUX_PANE='#{{pane_id}}'; export TMUX_PANE; \
             [ \"$(\"$t\" display-message -p '##{{client_control_mode}}')\" = 0 ] && \
             \"$t\" display-message -d {MESSAGE_TIME} {text}; }}"
        )
    } else {
        format!(
            "s='#{{session_id}}'; \"$t\" set-option -t \"$s\" -F @roster_time '##{{display-time}}' ';' \
             set-option -t \"$s\" display-time {MESSAGE_TIME} ';' \
             display-message -c '#{{client_name}}' {text} ';' \
             set-option -u -t \"$s\" display-time ';' \
             if-shell -t \"$s:\" -F '##{{==:##{{display-time}},##{{@roster_time}}}}' '' \
             \"set-option -t '$s' -F display-time '##{{@roster_time}}'\" ';' \
             set-option -u -t \"$s\" @roster_time"
        )
    };
    format!(
        "case $? in 126|127) t=${{ROSTER_TMUX:-tmux}}; [ -x \"$t\" ] || t=tmux; {{ {shown}; }} \
         >/dev/null 2>&1;; esac; "
    )
}

/// What keys say while there is no program; scripts/common.sh binds them to it.
const ABSENT: &str = "\"#{@roster_absent}\"";

/// The keys of the prefix table as list-keys prints them, and whether each is ours: a key that the
/// user bound may call our program as well, but does not say where it was pressed.
fn bound(listed: &str) -> Vec<(String, bool)> {
    let keys = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "-T").skip(2);
        let ours = line.contains(" run-shell -b \"#{@roster_program} ")
            && line.contains(" --from '#{E:@roster_from}' ");
        let says_why = line.contains(" display-message ") && line.contains(ABSENT);
        Some((plain_key(words.next()?), ours || says_why))
    });
    keys.collect()
}

/// A key as tmux calls it, whether a person or list-keys wrote it.
fn plain_key(key: &str) -> String {
    let quoted = |q: char| key.len() > 2 && key.starts_with(q) && key.ends_with(q);
    let key = if quoted('"') || quoted('\'') { &key[1..key.len() - 1] } else { key };
    let key = if key.len() > 1 { key.strip_prefix('\\').unwrap_or(key) } else { key };
    match key.strip_prefix('^').or_else(|| key.strip_prefix("C-")) {
        Some(rest) if rest.chars().count() == 1 => format!("C-{}", rest.to_lowercase()),
        _ => key.to_owned(),
    }
}

/// Our bindings: a key that is bound to something else is left alone, and one of ours that is
/// wanted no more goes.
pub fn bindings(version: Version, asked: &Asked) -> Vec<Vec<u8>> {
    let bound = bound(&asked.bound);
    let wanted: Vec<String> = asked.keys.iter().flatten().map(|key| plain_key(key)).collect();
    let mut lines = Vec::new();
    for (old, _) in bound.iter().filter(|(key, ours)| *ours && !wanted.contains(key)) {
        lines.push(line(&[b"unbind-key", b"-T", b"prefix", b"--", old.as_bytes()]));
    }
    for (key, chosen) in KEYS.iter().zip(&asked.keys) {
        let Some(chosen) = chosen else { continue };
        let plain = plain_key(chosen);
        if bound.iter().any(|(taken, ours)| *taken == plain && !ours) {
            continue;
        }
        let popup = if key.words == "pick" && version.has_popups() { " --popup" } else { "" };
        let (verb, rest) = key.words.split_once(' ').unwrap_or((key.words, ""));
        let command = format!(
            "#{{@roster_program}} {verb} --from '#{{E:@roster_from}}'{popup} {rest} >/dev/null 2>&1 || {{ #{{E:@roster_gone}}:; }}"
        );
        let mut words: Vec<&[u8]> = vec![b"bind-key", b"-T", b"prefix"];
        if version.notes_bindings() {
            words.extend([&b"-N"[..], key.note.as_bytes()]);
        }
        words.extend([&b"--"[..], plain.as_bytes(), b"run-shell", b"-b", command.as_bytes()]);
        lines.push(line(&words));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_however_list_keys_writes_them() {
        let listed = "bind-key    -T prefix       \\#   list-buffers\n\
            bind-key -r -T prefix       M-Up  resize-pane -U 5\n\
            bind-key    -T prefix       L     run-shell -b \"#{@roster_program} list\"\n\
            bind-key    -T prefix       B     display-message -d 6000 \"#{@roster_absent}\" \\; unbind-key -T prefix B\n\
            bind-key    -T prefix       C-g   run-shell -b \"#{@roster_program} pick --from '#{E:@roster_from}'  >/dev/null 2>&1 || :\"\n";
        let found = bound(listed);
        let want = [("#", false), ("M-Up", false), ("L", false), ("B", true), ("C-g", true)];
        assert_eq!(found, want.map(|(key, ours)| (key.to_owned(), ours)));
        assert_eq!(plain_key("^G"), "C-g");
        assert_eq!(plain_key("\""), "\"");
    }

    #[test]
    fn another_key_unbinds_the_old_one_and_a_strangers_stays() {
        let asked = Asked {
            keys: vec![Some("X".into()), None, Some("B".into())],
            status: vec!["#{roster_mode} #{roster_mode}".into(), "#{@roster_mode}".into()],
            has_no_history: false,
            bound: "bind-key -T prefix G run-shell -b \"#{@roster_program} pick --from '#{E:@roster_from}' x\"\n\
                    bind-key -T prefix B display-message mine\n"
                .into(),
        };
        let version = Version { major: 3, minor: 3 };
        let lines = bindings(version, &asked);
        let text = String::from_utf8(lines.concat()).unwrap();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(text.starts_with("unbind-key -T prefix -- G\nbind-key -T prefix -N "), "{text}");
        assert_eq!(super::super::placeholders(&asked, version).len(), 1);
    }
}
