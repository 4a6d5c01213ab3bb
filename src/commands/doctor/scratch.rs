//! What doctor says of sessions that popups show: made by other plugins, by scripts and by hand, and
//! nothing that anybody wants to have brought back.

use tmux_roster::config::{Place, Settings};
use tmux_roster::model::glob::Glob;
use tmux_roster::model::policy::is_ignored;
use tmux_roster::persist;
use tmux_roster::sorted::Set;
use tmux_roster::tmux::query::Answer;

use crate::commands::doctor::Examination;
use crate::commands::doctor::server::value;
use crate::commands::output::to_paste;

/// What tells how other plugins name their sessions.
pub const OPTIONS: [&str; 6] = [
    "@floax-session-name",
    "@floax-per-session",
    "@toggle-scratch-session-name-format",
    "@popup-session-name",
    "@popup-toggle",
    "@popup-socket-name",
];

/// The globs of such sessions, and who makes them.
fn known(option: impl Fn(&str) -> String, server: &str) -> Vec<(String, &'static str)> {
    let or = |name: &str, default: &str| match option(name) {
        value if value.trim().is_empty() => default.to_owned(),
        value => value,
    };
    let floax = literal(&or("@floax-session-name", "scratch"));
    let mut known = vec![
        (floax.clone(), "tmux-floax"),
        (
            of_format(&or("@toggle-scratch-session-name-format", "#S-#I@scratch")),
            "tmux-toggle-scratch",
        ),
        (literal(&or("@popup-session-name", "TmuxPopup")), "tmux-popup-session"),
        ("floating".into(), "tmux-floating-terminal"),
        ("scratch".into(), "tmux-scratch and others"),
        ("popup".into(), "tmux-scratchpad and others"),
        ("popup_*".into(), "popups of scripts"),
    ];
    if option("@floax-per-session") == "true" {
        known.insert(1, (format!("{floax}_*"), "tmux-floax"));
    }
    // It has a server for them.
    if !option("@popup-toggle").is_empty() && or("@popup-socket-name", "popup") == server {
        known.insert(0, ("*".into(), "tmux-toggle-popup"));
    }
    known
}

/// The glob of one name.
fn literal(name: &str) -> String {
    let escaped = name.chars().flat_map(|c| {
        let before = matches!(c, '*' | '?' | '[' | '\\').then_some('\\');
        before.into_iter().chain([c])
    });
    escaped.collect()
}

/// The glob of what a format may become.
fn of_format(format: &str) -> String {
    let mut glob = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('#') {
        glob.push_str(&literal(before));
        glob.push('*');
        let mut depth = 0;
        let end = after.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            depth == 0
        });
        rest = end.map_or("", |(at, c)| &after[at + c.len_utf8()..]);
    }
    glob + &literal(rest)
}

/// Sessions that popups show and that are recorded all the same.
pub fn check_scratch(exam: &mut Examination, place: &Place, answer: &Answer, settings: &Settings) {
    let server = place.tmux.socket.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recorded = persist::peek(place).map(|remembered| remembered.registry).unwrap_or_default();
    let live = answer.snapshot.sessions.iter();
    let live = live.map(|session| String::from_utf8_lossy(&session.name).into_owned());
    let ignore = &settings.policy.ignore;
    let names: Set<String> = recorded.sessions.into_keys().chain(live).collect();
    let mut names: Vec<String> =
        names.into_iter().filter(|name| !is_ignored(ignore, name)).collect();
    let (mut globs, mut found) = (Vec::new(), Vec::new());
    for (glob, maker) in known(|name| value(answer, name), &server) {
        // A glob of the option ends at a space.
        let glob = glob.replace(char::is_whitespace, "?");
        let (of_it, others) = names.into_iter().partition(|name| Glob::new(&glob).matches(name));
        names = others;
        let of_it: Vec<String> = of_it;
        if !of_it.is_empty() {
            found.push(format!("{} ({maker})", of_it.join(", ")));
            globs.push(glob);
        }
    }
    if found.is_empty() {
        return;
    }
    let before = value(answer, "@roster-ignore");
    let all: Vec<&str> =
        before.split_whitespace().chain(globs.iter().map(String::as_str)).collect();
    let found = format!("recorded, though a popup may have made it: {}", found.join("; "));
    let all = all.join(" ");
    let remedy = format!("to leave that alone: set -g @roster-ignore {}", to_paste(&all));
    exam.note("scratch", &found, &remedy);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_becomes_a_glob() {
        assert_eq!(of_format("#S-#I@scratch"), "*-*@scratch");
        assert_eq!(of_format("p_#{?#{x},#{session_name},y}_[q]"), "p_*_\\[q]");
        assert_eq!(of_format("plain"), "plain");
        assert_eq!(of_format("cut#{off"), "cut*");
    }
}
