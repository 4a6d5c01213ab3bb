//! Commands as text for `source-file`: one a line, so that one that fails (its target has gone)
//! does not stop those behind it, as it would in an argument list.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::model::reconcile::{Effect, EffectKind};
use crate::model::snapshot::ServerId;

/// How many commands go in one piece: tmux answers nobody while it works through a file.
pub const PIECE: usize = 100;

/// The hooks that tell us that something changed.
pub const HOOKS: [&str; 6] = [
    "session-created",
    "session-closed",
    "session-renamed",
    "client-attached",
    "client-session-changed",
    CLIENT_DETACHED,
];

const CLIENT_DETACHED: &str = "client-detached";

/// Our place in the array of each hook.
pub const HOOK_INDEX: u32 = 4242;

/// What a hook does: notes inside tmux that a sync is due, and starts one only if none is on its
/// way. The text is the same for everybody; the program's path stands in `@roster_run`, which tmux
/// inserts without expanding it again.
///
/// It is made of direct commands only. tmux runs what stands inside an `if-shell` as some client's
/// commands, and to a client in control mode it sends a reply to each, which that client takes for
/// the answer to a command of its own.
///
/// From 3.2 on the condition is part of a format, where `#()` starts a job only if its branch is
/// the one that is expanded. tmux starts the same text once a second at most, and not while it
/// runs: so the text ends in the mark as it was, which each sync leaves different. Such a job ends
/// with the client that tmux expands the format for, if that one goes before the shell has started
/// our program: so the end of a client always starts a sync, which belongs to nobody.
///
/// Before 3.2 tmux does not tell when the terminal of a client is closed. There each event starts a
/// shell, which starts a sync if one is due.
pub fn hook_line(hook: &str, has_hidden_environment: bool) -> &'static str {
    match (has_hidden_environment, hook) {
        (true, CLIENT_DETACHED) => "run-shell -b '#{@roster_run}'",
        (true, _) => {
            "set-environment -Fgh ROSTER_DUE '#{?#{!=:#{=6:ROSTER_DUE},#{T:@roster_clock}},#{T:@roster_clock}#(#{@roster_run} # #{=6:ROSTER_DUE}),#{ROSTER_DUE}}'"
        }
        (false, _) => {
            "run-shell -b '#{?#{!=:#{@roster_due},#{T:@roster_clock}},#{@roster_run},:}' ; set-option -Fg @roster_due '#{T:@roster_clock}'"
        }
    }
}

/// The command that puts our line into a hook.
pub fn set_hook(hook: &str, has_hidden_environment: bool) -> Vec<u8> {
    let index = format!("{hook}[{HOOK_INDEX}]");
    let ours = hook_line(hook, has_hidden_environment);
    line(&[b"set-hook", b"-g", index.as_bytes(), ours.as_bytes()])
}

/// What stands at our place in a hook, as `show-hooks` prints it: nothing, our line or another.
pub fn our_hook_in(shown: &str, hook: &str, has_hidden_environment: bool) -> Option<bool> {
    let ours = format!("{hook}[{HOOK_INDEX}] ");
    let found = shown.lines().find_map(|line| line.strip_prefix(&ours))?;
    // tmux prints what it parsed, with quotes of its own choice.
    let bare = |text: &str| text.replace(['"', '\''], "");
    Some(bare(found.trim_end()) == bare(hook_line(hook, has_hidden_environment)))
}

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

/// The command for an effect.
pub fn effect(effect: &Effect) -> Vec<u8> {
    let target = effect.target.map(|id| id.to_string());
    let mut words: Vec<&[u8]> = vec![match effect.kind {
        EffectKind::Option => b"set-option",
        EffectKind::Environment => b"set-environment",
    }];
    if effect.only_if_unset {
        words.push(b"-oq");
    }
    match &target {
        Some(target) => words.extend([b"-t", target.as_bytes()]),
        None => words.push(b"-g"),
    }
    words.extend([effect.name.as_bytes(), effect.value.as_bytes()]);
    line(&words)
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

/// The call that runs a file of commands; if `server` is given, on that very server alone: the
/// server asks itself, so none can take its place between the question and the commands.
pub fn source_file(path: &Path, server: Option<ServerId>) -> Vec<OsString> {
    let path = escape_glob(path);
    match server {
        Some(server) => only_on(server, &line(&[b"source-file", &path])),
        None => vec!["source-file".into(), OsString::from_vec(path)],
    }
}

/// The call that runs one command on that very server alone.
pub fn only_on(server: ServerId, command: &[u8]) -> Vec<OsString> {
    // Before 3.2 a server without sessions could not say when it started.
    let condition = match server.start_time {
        0 => format!("#{{==:#{{pid}},{}}}", server.pid),
        start => format!("#{{==:#{{pid}}/#{{start_time}},{}/{start}}}", server.pid),
    };
    let command = command.strip_suffix(b"\n").unwrap_or(command).to_vec();
    vec!["if-shell".into(), "-F".into(), condition.into(), OsString::from_vec(command)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_is_known_however_tmux_quotes_it() {
        let shown = "session-closed\nsession-created[0] display-message x\n\
             session-created[4242] set-environment -F -gh ROSTER_DUE x\n\
             client-detached[4242] run-shell -b \"#{@roster_run}\"\n\
             session-renamed[4242] display-message x\n";
        let ours = |hook| our_hook_in(shown, hook, true);
        assert_eq!(ours("client-detached"), Some(true));
        assert_eq!(our_hook_in(shown, "client-detached", false), Some(false));
        assert_eq!(ours("session-created"), Some(false));
        assert_eq!(ours("session-renamed"), Some(false));
        assert_eq!(ours("session-closed"), None);
    }

    #[test]
    fn words_are_quoted_byte_by_byte() {
        assert_eq!(line(&[b"a", b"b c", b"", b"\xff;"]), b"a \"b\\040c\" \"\" \"\\377\\073\"\n");
        assert_eq!(quote_sh(b"it's #{x}"), b"'it'\\''s #{x}'");
        assert_eq!(escape_format(b"a#(b)#"), b"a##(b)##");
        assert_eq!(["a;b", "a;", "a\\;"].map(argument), ["a;b", "a\\;", "a\\\\;"]);
        assert_eq!(escape_glob(Path::new("/p[x]/*")), b"/p\\[x\\]/\\*");
    }
}
