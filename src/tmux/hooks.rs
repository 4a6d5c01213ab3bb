//! The hooks that call us: where they stand, and what their lines do.
//!
//! The reasons are in FACTS.md, "Hooks" and "Hooks and clients" and "The mark".

use super::Version;
use super::source::Group;
use super::text::line;

/// A hook that tells us that something changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hook {
    /// What tmux calls it.
    pub name: &'static str,
    tells: Tells,
}

/// What it is that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// A session, or where a client is.
    Change,
    /// A client went, and its jobs with it.
    Departure,
}

/// All of ours. Loading sets them, a sync and doctor look whether they still stand; uninstalling
/// goes by [`HOOK_INDEX`] and its neighbours.
pub const HOOKS: [Hook; 6] = [
    Hook { name: "session-created", tells: Tells::Change },
    Hook { name: "session-closed", tells: Tells::Change },
    Hook { name: "session-renamed", tells: Tells::Change },
    Hook { name: "client-attached", tells: Tells::Change },
    Hook { name: "client-session-changed", tells: Tells::Change },
    Hook { name: "client-detached", tells: Tells::Departure },
];

/// Our place in the array of each hook. The three after it are ours as well.
pub const HOOK_INDEX: u32 = 4242;

/// Of client-session-changed alone: loads once more what was wiped after us.
pub const LOAD_INDEX: u32 = 4244;

/// The place of an [armed line](Hook::armed_line).
const ARMED_INDEX: u32 = 4245;

/// Starts a sync that belongs to no client, if none is due, before 3.2.
const START: &str = "run-shell -b \"#{?#{!=:#{@roster_due},#{T:@roster_clock}},#{@roster_run},:}\" ; set-option -Fg @roster_due \"#{T:@roster_clock}\"";

impl Hook {
    /// What a hook does: notes inside tmux that a sync is due, and starts one only if none is on its
    /// way. The text is the same for everybody; the program's path stands in `@roster_run`, which
    /// tmux inserts without expanding it again.
    ///
    /// It is made of direct commands only. tmux runs what stands inside an `if-shell` as some
    /// client's commands, and to a client in control mode it sends a reply to each, which that
    /// client takes for the answer to a command of its own.
    ///
    /// From 3.2 on the condition is part of a format, where `#()` starts a job only if its branch is
    /// the one that is expanded. tmux starts the same text once a second at most, and not while it
    /// runs: so the text ends in the mark as it was, which each sync leaves different. Such a job
    /// ends with the client that tmux expands the format for, if that one goes before the shell has
    /// started our program: so the end of a client starts a sync that belongs to nobody, if one is
    /// still due.
    ///
    /// Before 3.2 tmux does not tell when the terminal of a client is closed. There the first event
    /// after a sync runs an [armed line](Hook::armed_line), and this one only makes good what that
    /// job has left undone: it starts another where one is due since another second. (Nothing stands
    /// inside this `if-shell`.)
    pub fn line(self, version: Version) -> &'static str {
        match (version.hides_environment(), self.tells) {
            (true, Tells::Departure) => {
                "run-shell -b '#{?#{m:[0-9]*,#{ROSTER_DUE}},#{@roster_run},:}'"
            }
            (true, Tells::Change) => {
                "set-environment -Fgh ROSTER_DUE '#{?#{!=:#{=6:ROSTER_DUE},#{T:@roster_clock}},#{T:@roster_clock}#(#{@roster_run} # #{=6:ROSTER_DUE}),#{ROSTER_DUE}}'"
            }
            (false, _) => {
                "if-shell -F '#{?@roster_due,#{?#{!=:#{@roster_due},#{T:@roster_clock}},#(#{@roster_run} # #{@roster_due}),},}' ''"
            }
        }
    }

    /// What stands behind our line before 3.2, until an event runs it: it starts a sync that belongs
    /// to no client, if none is due, and takes itself away. So further events cost next to nothing
    /// until that sync's query [puts it back](arm). Where tmux cannot start the job, for want of a
    /// process say, the rest of the line is not run, and it stays.
    fn armed_line(self) -> String {
        format!("{START} ; set-hook -gu {}[{ARMED_INDEX}]", self.name)
    }

    /// The commands that put our line there, and before 3.2 the armed one.
    pub fn set(self, version: Version) -> Group {
        let set = |index: u32, text: &str| {
            let index = format!("{}[{index}]", self.name);
            line(&[b"set-hook", b"-g", index.as_bytes(), text.as_bytes()])
        };
        let mut lines = vec![set(HOOK_INDEX, self.line(version))];
        if !version.hides_environment() {
            lines.push(set(ARMED_INDEX, &self.armed_line()));
        }
        lines
    }

    /// The command that puts our line into a session's own hook, which hides all that is global.
    /// Before 3.2 it is what an armed line does, each time.
    pub fn set_in_session(self, id: &str, version: Version) -> Vec<u8> {
        let index = format!("{}[{HOOK_INDEX}]", self.name);
        let text = if version.hides_environment() { self.line(version) } else { START };
        line(&[b"set-hook", b"-t", id.as_bytes(), index.as_bytes(), text.as_bytes()])
    }

    /// Whether what stands at our place, as `show-hooks` prints it, is our line; `None` if nothing
    /// stands there.
    pub fn is_set_in(self, shown: &str, version: Version) -> Option<bool> {
        let ours = format!("{}[{HOOK_INDEX}] ", self.name);
        let found = shown.lines().find_map(|line| line.strip_prefix(&ours))?;
        // tmux prints what it parsed, with quotes of its own choice.
        let bare = |text: &str| text.replace(['"', '\''], "").trim_end().to_owned();
        Some(bare(found) == bare(self.line(version)))
    }

    /// Whether its armed line is missing, which it needs before 3.2: a job that was killed before it
    /// came to ask has not put it back.
    pub fn is_disarmed_in(self, shown: &str, version: Version) -> bool {
        let armed = format!("{}[{ARMED_INDEX}] ", self.name);
        !version.hides_environment() && !shown.lines().any(|line| line.starts_with(&armed))
    }
}

/// The command that puts the [armed line](Hook::armed_line) of each hook in its place, as the words
/// of a call. Once the plugin has been taken out of the server it does nothing.
pub fn arm() -> [String; 4] {
    let arm =
        |hook: Hook| format!("set-hook -g {}[{ARMED_INDEX}] '{}'", hook.name, hook.armed_line());
    let lines = HOOKS.map(arm).join(" ; ");
    ["if-shell".into(), "-F".into(), "#{@roster_run}".into(), lines]
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
        let [new, old] = ["3.3a", "3.0a"].map(Version::parse);
        let hook = |name: &str| HOOKS.into_iter().find(|hook| hook.name == name).unwrap();
        let ours = |name| hook(name).is_set_in(shown, new);
        assert_eq!(ours("client-detached"), Some(true));
        assert_eq!(hook("client-detached").is_set_in(shown, old), Some(false));
        assert_eq!(ours("session-created"), Some(false));
        assert_eq!(ours("session-renamed"), Some(false));
        assert_eq!(ours("session-closed"), None);
        // Up to 3.1 an empty argument is not printed.
        let created = hook("session-created");
        let shown = format!("session-created[4242] {} \n", created.line(old).replace("''", ""));
        assert_eq!(created.is_set_in(&shown, old), Some(true));
    }
}
