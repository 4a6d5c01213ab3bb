//! The hooks that call us: where they stand, and what their lines do.
//!
//! The reasons are in FACTS.md, "Hooks" and "Hooks and clients" and "The mark".

use super::text::line;

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

/// The place of what goes before our line, before 3.2: see [`armed_line`].
const ARMED_INDEX: u32 = 4245;

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
/// our program: so the end of a client starts a sync that belongs to nobody, if one is still due.
///
/// Before 3.2 tmux does not tell when the terminal of a client is closed. There the first event
/// after a sync runs an [`armed_line`], and this one only makes good what that job has left undone:
/// it starts another where one is due since another second. (Nothing stands inside this `if-shell`.)
pub fn hook_line(hook: &str, has_hidden_environment: bool) -> &'static str {
    match (has_hidden_environment, hook) {
        (true, CLIENT_DETACHED) => "run-shell -b '#{?#{m:[0-9]*,#{ROSTER_DUE}},#{@roster_run},:}'",
        (true, _) => {
            "set-environment -Fgh ROSTER_DUE '#{?#{!=:#{=6:ROSTER_DUE},#{T:@roster_clock}},#{T:@roster_clock}#(#{@roster_run} # #{=6:ROSTER_DUE}),#{ROSTER_DUE}}'"
        }
        (false, _) => {
            "if-shell -F '#{?@roster_due,#{?#{!=:#{@roster_due},#{T:@roster_clock}},#(#{@roster_run} # #{@roster_due}),},}' ''"
        }
    }
}

/// What stands behind our line of a hook before 3.2, until an event runs it: it goes, and starts a
/// sync that belongs to no client, if none is due. So further events cost next to nothing until
/// that sync's query [puts it back](arm).
fn armed_line(hook: &str) -> String {
    format!(
        "set-hook -gu {hook}[{ARMED_INDEX}] ; run-shell -b \"#{{?#{{!=:#{{@roster_due}},#{{T:@roster_clock}}}},#{{@roster_run}},:}}\" ; set-option -Fg @roster_due \"#{{T:@roster_clock}}\""
    )
}

/// The command that puts the [`armed_line`] of each hook in its place, as the words of a call. Once
/// the plugin has been taken out of the server it does nothing.
pub fn arm() -> [String; 4] {
    let arm = |hook: &str| format!("set-hook -g {hook}[{ARMED_INDEX}] '{}'", armed_line(hook));
    let lines = HOOKS.map(arm).join(" ; ");
    ["if-shell".into(), "-F".into(), "#{@roster_run}".into(), lines]
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
    let bare = |text: &str| text.replace(['"', '\''], "").trim_end().to_owned();
    Some(bare(found) == bare(hook_line(hook, has_hidden_environment)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_is_known_however_tmux_quotes_it() {
        let shown = "session-closed\nsession-created[0] display-message x\n\
             session-created[4242] set-environment -F -gh ROSTER_DUE x\n\
             client-detached[4242] run-shell -b \"#{?#{m:[0-9]*,#{ROSTER_DUE}},#{@roster_run},:}\"\n\
             session-renamed[4242] display-message x\n";
        let ours = |hook| our_hook_in(shown, hook, true);
        assert_eq!(ours("client-detached"), Some(true));
        assert_eq!(our_hook_in(shown, "client-detached", false), Some(false));
        let before = format!("session-created[4242] {} \n", hook_line("", false).replace("''", ""));
        assert_eq!(our_hook_in(&before, "session-created", false), Some(true));
        assert_eq!(ours("session-created"), Some(false));
        assert_eq!(ours("session-renamed"), Some(false));
        assert_eq!(ours("session-closed"), None);
    }
}
