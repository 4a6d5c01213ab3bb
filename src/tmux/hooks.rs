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
    /// Our place in its array.
    pub index: u32,
    tells: Tells,
}

/// What it is that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tells {
    /// A session, or where a client is.
    Change,
    /// A client went, and its jobs with it.
    Departure,
    /// A window or a pane, or that people come to look at others.
    Windows,
}

/// All of ours. Loading sets them, a sync and doctor look whether they still stand; uninstalling
/// goes by [`HOOK_INDEX`] and its neighbours. Those of windows miss what no hook tells (FACTS.md,
/// "Windows"), which is seen with the next event.
pub const HOOKS: [Hook; 13] = [
    hook("session-created", Tells::Change),
    hook("session-closed", Tells::Change),
    hook("session-renamed", Tells::Change),
    hook("client-attached", Tells::Change),
    hook("client-session-changed", Tells::Change),
    hook("client-detached", Tells::Departure),
    hook("window-linked", Tells::Windows),
    hook("window-unlinked", Tells::Windows),
    hook("window-renamed", Tells::Windows),
    hook("window-layout-changed", Tells::Windows),
    hook("window-pane-changed", Tells::Windows),
    hook("session-window-changed", Tells::Windows),
    // Somebody comes to a session: a moment to see what directories its panes are in.
    hook("client-session-changed", Tells::Windows),
];

const fn hook(name: &'static str, tells: Tells) -> Hook {
    let index = match tells {
        Tells::Change | Tells::Departure => HOOK_INDEX,
        Tells::Windows => WINDOWS_INDEX,
    };
    Hook { name, index, tells }
}

/// Our place in the array of each hook of sessions and clients. The five after it are ours as well.
pub const HOOK_INDEX: u32 = 4242;

/// Our place where a hook tells of windows.
pub const WINDOWS_INDEX: u32 = 4246;

/// Of client-session-changed alone: loads once more what was wiped after us.
pub const LOAD_INDEX: u32 = 4244;

/// The place of an [armed line](Hook::armed_line).
const ARMED_INDEX: u32 = 4245;

/// Of client-session-changed alone: tells the first who comes of what was lost.
const NOTICE_INDEX: u32 = 4247;

/// What starts the notice, once a second at most, however often programs in control mode change
/// sessions: it looks a second later who has come by then. It waits that long, so it is no job of
/// tmux's: before 3.2 the server's exit would wait for it.
const NOTICE: &str = "run-shell -b \"#{?#{!=:#{@roster_noticing},#{T:@roster_clock}},\
    #{@roster_program} notice </dev/null >/dev/null 2>&1 &,} :\" ; \
    set-option -Fg @roster_noticing \"#{T:@roster_clock}\"";

/// The commands that have a notice shown to who is there, or else to the first who comes.
pub fn give_notice() -> Group {
    let hook = notice_hook();
    let set = line(&[b"set-hook", b"-g", hook.as_bytes(), NOTICE.as_bytes()]);
    vec![set, [NOTICE.as_bytes(), b"\n"].concat()]
}

/// Where in tmux it waits for a client.
pub fn notice_hook() -> String {
    format!("client-session-changed[{NOTICE_INDEX}]")
}

/// Starts a sync that belongs to no client, if none is due, before 3.2.
const START: &str = "run-shell -b \"#{?#{!=:#{@roster_due},#{T:@roster_clock}},#{@roster_run},:}\" ; set-option -Fg @roster_due \"#{T:@roster_clock}\"";

/// Whether no look at windows is due, or one that never came: a mark is a time in seconds, to which
/// a job adds nothing; one that was made under another clock counts for nothing.
macro_rules! since_marked {
    () => {
        "#{e|-:#{T:@roster_seconds},#{=10:ROSTER_LATE}}"
    };
}

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
    /// Windows change more often, and a look at them costs more. So theirs is taken late, if they are
    /// recorded: the job waits by itself. The mark of it is a time in seconds, which counts for a minute.
    ///
    /// Before 3.2 tmux does not tell when the terminal of a client is closed. There the first event
    /// after a sync runs an [armed line](Hook::armed_line), and this one only makes good what that
    /// job has left undone: it starts another where one is due since another second. (Nothing stands
    /// inside this `if-shell`.)
    pub fn line(self, version: Version) -> &'static str {
        match (version.hides_environment(), self.tells) {
            // Whatever job of a look at windows was this client's may have gone with it: of all
            // clients that go in one second one starts another.
            (true, Tells::Departure) => concat!(
                "run-shell -b '#{?#{m:[0-9]*,#{ROSTER_DUE}},#{@roster_run} ;,}",
                "#{?#{!=:#{ROSTER_LEFT},#{T:@roster_seconds}},#{@roster_late},:}' ; ",
                "set-environment -Fgh ROSTER_LEFT '#{T:@roster_seconds}'"
            ),
            (true, Tells::Windows) => concat!(
                "set-environment -Fgh ROSTER_LATE '#{?#{&&:#{!=:#{@roster-windows},off},#{||:#{e|>:",
                since_marked!(),
                ",60},#{e|<:",
                since_marked!(),
                ",0}}},#{T:@roster_seconds}#(#{@roster_late} # #{=10:ROSTER_LATE}),#{ROSTER_LATE}}'"
            ),
            // It cannot reckon: the mark counts until the end of its minute.
            (false, Tells::Windows) => {
                "set-option -Fg @roster_late_due '#{?#{&&:#{!=:#{@roster-windows},off},#{!=:#{=4:@roster_late_due},#{T:@roster_minute}}},#{T:@roster_minute}#(#{@roster_late} # #{=9:@roster_late_due}),#{@roster_late_due}}'"
            }
            (true, Tells::Change) => {
                "set-environment -Fgh ROSTER_DUE '#{?#{!=:#{=6:ROSTER_DUE},#{T:@roster_clock}},#{T:@roster_clock}#(#{@roster_run} # #{=6:ROSTER_DUE}),#{ROSTER_DUE}}'"
            }
            (false, Tells::Change | Tells::Departure) => {
                "if-shell -F '#{?@roster_due,#{?#{!=:#{@roster_due},#{T:@roster_clock}},#(#{@roster_run} # #{@roster_due}),},}' ''"
            }
        }
    }

    /// Whether it has an [armed line](Hook::armed_line).
    fn is_armed(self, version: Version) -> bool {
        self.tells != Tells::Windows && !version.hides_environment()
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
        let mut lines = vec![set(self.index, self.line(version))];
        if self.is_armed(version) {
            lines.push(set(ARMED_INDEX, &self.armed_line()));
        }
        lines
    }

    /// The command that puts our line into a session's own hook, which hides all that is global.
    /// Before 3.2 it is what an armed line does, each time.
    pub fn set_in_session(self, id: &str, version: Version) -> Vec<u8> {
        let index = format!("{}[{}]", self.name, self.index);
        let text = if self.is_armed(version) { START } else { self.line(version) };
        line(&[b"set-hook", b"-t", id.as_bytes(), index.as_bytes(), text.as_bytes()])
    }

    /// Whether it stands among the options of windows (`show-options -w`), so that a window's own
    /// hides it, and not a session's.
    pub fn is_of_windows(self, version: Version) -> bool {
        let of_windows = ["window-renamed", "window-layout-changed", "window-pane-changed"];
        let of_links = ["window-linked", "window-unlinked"];
        version.has_hooks_of_windows() && of_windows.contains(&self.name)
            || version.has_links_among_windows() && of_links.contains(&self.name)
    }

    /// The command that puts our line into a window's own hook, which hides all that is global.
    pub fn set_in_window(self, id: &str, version: Version) -> Vec<u8> {
        let index = format!("{}[{}]", self.name, self.index);
        let words = ["set-hook", "-w", "-t", id, &index, self.line(version)];
        line(&words.map(str::as_bytes))
    }

    /// Whether what stands at our place, as `show-hooks` prints it, is our line; `None` if nothing
    /// stands there.
    pub fn is_set_in(self, shown: &str, version: Version) -> Option<bool> {
        let ours = format!("{}[{}] ", self.name, self.index);
        let found = shown.lines().find_map(|line| line.strip_prefix(&ours))?;
        // tmux prints what it parsed, with quotes of its own choice.
        let bare = |text: &str| text.replace(['"', '\''], "").trim_end().to_owned();
        Some(bare(found) == bare(self.line(version)))
    }

    /// Whether its armed line is missing, which it needs before 3.2: a job that was killed before it
    /// came to ask has not put it back.
    pub fn is_disarmed_in(self, shown: &str, version: Version) -> bool {
        let armed = format!("{}[{ARMED_INDEX}] ", self.name);
        self.is_armed(version) && !shown.lines().any(|line| line.starts_with(&armed))
    }
}

/// The command that puts the [armed line](Hook::armed_line) of each hook in its place, as the words
/// of a call. Once the plugin has been taken out of the server it does nothing.
pub fn arm() -> [String; 4] {
    let arm =
        |hook: &Hook| format!("set-hook -g {}[{ARMED_INDEX}] '{}'", hook.name, hook.armed_line());
    let armed = HOOKS.iter().filter(|hook| hook.tells != Tells::Windows);
    let lines = armed.map(arm).collect::<Vec<_>>().join(" ; ");
    ["if-shell".into(), "-F".into(), "#{@roster_run}".into(), lines]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_line_is_known_however_tmux_quotes_it() {
        let shown = "session-closed\nsession-created[0] display-message x\n\
             session-created[4242] set-environment -F -gh ROSTER_DUE x\n\
             client-detached[4242] LEFT\n\
             session-renamed[4242] display-message x\n";
        let left = hook("client-detached", Tells::Departure).line(Version::parse("3.3a"));
        let shown = &shown.replace("LEFT", &left.replace('\'', "\""));
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
