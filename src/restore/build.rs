//! The commands that make a session whole: its windows, their panes, layouts, names and programs.
//!
//! All of them go in one file, which tmux works through before it answers anybody or runs a job of a
//! hook: nobody sees the session before it is whole. It is made under a name of ours and gets its own
//! name last. Where its first window cannot be made with it, it is made with a window that is taken
//! away at the end. Hooks of the user's that make something are hidden from it meanwhile. See
//! FACTS.md, "Rebuilding".

use super::blueprint::{Blueprint, SPARE, SPARING};
use super::conditions::Conditions;
use super::windows::{PaneStart, WindowPlan};
use crate::model::layout::Layout;
use crate::model::session::new_uuid;
use crate::model::snapshot::SessionId;
use crate::model::windows::Was;
use crate::sorted::Map;
use crate::tmux::Version;
use crate::tmux::source::Group;
use crate::tmux::text::{escape_name, line, stored_text, stored_title, unstored_name};

/// The user's hooks that may make or rename something in what is being made. The first one runs only
/// after all of it.
const HIDDEN: [&str; 3] = ["session-created", "after-new-window", "after-split-window"];

/// How the session is called while it is made.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Called {
    /// By a name that nobody else has.
    Name(String),
    /// It stands already, but a hook of the user's gave it another name.
    Id(SessionId),
}

/// How such a name begins. 32 hexadecimal digits follow.
const MADE_UNDER: &str = "roster-";

/// Whether it is a name that sessions have while they are made.
pub(super) fn is_made_under(name: &str) -> bool {
    let digits = name.strip_prefix(MADE_UNDER).unwrap_or_default();
    digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Called {
    pub(super) fn new() -> Called {
        Called::Name(format!("{MADE_UNDER}{}", new_uuid().replace('-', "")))
    }

    fn target(&self, rest: &str) -> Vec<u8> {
        match self {
            Called::Name(name) => format!("={name}:{rest}"),
            Called::Id(id) => format!("{id}:{rest}"),
        }
        .into_bytes()
    }
}

/// The window that a session can be made with, if there is one: before tmux 3.2 its first pane would not
/// know the session's variables, with a hook of the user's it may not be the only window, and where
/// another one is the current window and none was before, it would be that.
pub(super) fn made_with<'a>(
    blueprint: &'a Blueprint,
    version: Version,
    conditions: &Conditions,
    standing: &Map<Was, String>,
) -> Option<&'a WindowPlan> {
    let window = in_order(blueprint).next()?;
    let is_known = |other: &WindowPlan| other.last || (other.active && other.was == window.was);
    let is_made = version.sets_environment_of_session()
        && blueprint.windows.iter().any(is_known)
        && conditions.leave_alone()
        && standing.get(&window.was).is_none()
        && window.panes[window.first()].directory == blueprint.workdir;
    is_made.then_some(window)
}

/// The windows as they are made. The session's oldest pane stays that: it is the one with the launch
/// command, the next time too.
fn in_order(blueprint: &Blueprint) -> impl Iterator<Item = &WindowPlan> {
    let windows = blueprint.windows.iter();
    let others = windows.clone().filter(|window| window.oldest.is_none());
    windows.filter(|window| window.oldest.is_some()).chain(others)
}

/// The commands that make the session of a blueprint that has windows, with this one, if any. They print
/// its UUID and id when it stands, and [`whole`] what there is at the end.
pub(super) fn build(
    blueprint: &Blueprint,
    called: &Called,
    begun: Option<&WindowPlan>,
    version: Version,
    conditions: &Conditions,
    standing: &Map<Was, String>,
) -> Group {
    let record = &blueprint.record;
    let mut lines = Vec::new();
    let all = called.target("");
    if let Called::Name(name) = called {
        lines.push(tie(name, conditions));
        lines.push(new_session(blueprint, name, begun, version, conditions));
        lines.push(line(&[b"set-hook", b"-gu", SPARING]));
    }
    let mut set = |command: &[u8], name: &str, value: &str| {
        lines.push(line(&[command, b"-t", &all, name.as_bytes(), value.as_bytes()]));
    };
    for hook in HIDDEN {
        set(b"set-hook", hook, "");
    }
    set(b"set-option", "@roster_uuid", &record.uuid);
    set(b"set-option", "@roster_mode", &record.mode);
    for (name, value) in &record.variables()[..3] {
        set(b"set-environment", name, value);
    }
    // Else the windows would move together when the first one goes.
    set(b"set-option", "renumber-windows", "off");
    let is_free = |index: &u32| blueprint.windows.iter().all(|window| window.index != *index);
    let aside = (0..).find(is_free).unwrap_or_default();
    let aside = called.target(&aside.to_string());
    let first = begun.map(|window| called.target(&window.index.to_string()));
    let first = first.as_ref().unwrap_or(&aside);
    lines.push(line(&[b"move-window", b"-d", b"-s", &all, b"-t", first]));
    lines.push(line(&[b"kill-window", b"-a", b"-t", first]));
    let mut here: Map<Was, u32> = Map::new();
    for (at, window) in in_order(blueprint).enumerate() {
        let elsewhere = standing.get(&window.was);
        let source = match (here.get(&window.was), elsewhere) {
            (Some(index), _) => Some(called.target(&index.to_string())),
            (None, Some(target)) => Some(target.clone().into_bytes()),
            (None, None) => None,
        };
        here.get_or_insert_with(window.was, || window.index);
        let target = called.target(&window.index.to_string());
        match source {
            Some(source) => {
                lines.push(line(&[b"link-window", b"-d", b"-s", &source, b"-t", &target]));
            }
            None => {
                let lone = lone_pane(window, version);
                if begun.is_none() || at > 0 {
                    if let Some(layout) = lone {
                        let size = format!("{}x{}", layout.width(), layout.height());
                        let size = size.as_bytes();
                        lines.push(line(&[b"set-option", b"-t", &all, DEFAULT_SIZE, size]));
                    }
                    let words: [&[u8]; 4] = [b"new-window", b"-d", b"-t", &target];
                    lines.push(new_window(&words, window, version, conditions));
                }
                let target = String::from_utf8_lossy(&target);
                lines.extend(fill_window(window, &target, version, conditions));
                if lone.is_some() {
                    // The next may have many panes, for which that is too small.
                    lines.push(line(&[b"set-option", b"-u", b"-t", &all, DEFAULT_SIZE]));
                }
            }
        }
    }
    for window in blueprint.windows.iter().filter(|window| window.last) {
        lines.push(line(&[b"select-window", b"-t", &called.target(&window.index.to_string())]));
    }
    let active = blueprint.windows.iter().find(|window| window.active);
    if let Some(window) = active.or(blueprint.windows.first()) {
        lines.push(line(&[b"select-window", b"-t", &called.target(&window.index.to_string())]));
    }
    if begun.is_none() {
        lines.push(line(&[b"kill-window", b"-t", &aside]));
    }
    lines.push(line(&[b"set-option", b"-u", b"-t", &all, b"renumber-windows"]));
    for hook in &HIDDEN[1..] {
        lines.push(line(&[b"set-hook", b"-u", b"-t", &all, hook.as_bytes()]));
    }
    let print = format!("{} whole #{{W:#{{window_index}}:#{{window_panes}}.}}", record.uuid);
    lines.push(line(&[b"display-message", b"-p", b"-t", &all, print.as_bytes()]));
    lines.push(rename(&all, blueprint, version));
    lines
}

/// The command that makes a session under a name of ours, with its own first window or one to be taken away.
fn new_session(
    blueprint: &Blueprint,
    name: &str,
    begun: Option<&WindowPlan>,
    version: Version,
    conditions: &Conditions,
) -> Vec<u8> {
    let print = format!("{} #{{session_id}}", blueprint.record.uuid);
    let mut words: Vec<&[u8]> = vec![b"new-session", b"-d", b"-P", b"-F", print.as_bytes()];
    words.extend([&b"-s"[..], name.as_bytes()]);
    let Some(window) = begun else {
        let workdir = escape_name(&blueprint.workdir, version);
        words.extend([&b"-c"[..], &workdir, b"--", b"cat", b"-"]);
        return line(&words);
    };
    let pairs = blueprint.record.variables();
    let pairs: Vec<String> =
        pairs[..3].iter().map(|(name, value)| format!("{name}={value}")).collect();
    words.extend(pairs.iter().flat_map(|pair| [&b"-e"[..], pair.as_bytes()]));
    let size = lone_pane(window, version);
    let size = size.map(|layout| [layout.width().to_string(), layout.height().to_string()]);
    if let Some([width, height]) = &size {
        words.extend([&b"-x"[..], width.as_bytes(), b"-y", height.as_bytes()]);
    }
    new_window(&words, window, version, conditions)
}

/// Gives a session the name of its blueprint.
pub(super) fn rename(target: &[u8], blueprint: &Blueprint, version: Version) -> Vec<u8> {
    let name = escape_name(&unstored_name(&blueprint.name, version), version);
    line(&[b"rename-session", b"-t", target, b"--", &name])
}

/// What gives a window its size where no client looks at its session.
const DEFAULT_SIZE: &[u8] = b"default-size";

/// The layout of a window's only pane, where the window is to be made in that size: a layout that is
/// selected does not give it.
fn lone_pane(window: &WindowPlan, version: Version) -> Option<&Layout> {
    let layout = window.layout.as_ref().filter(|layout| layout.cells() == 1)?;
    (!version.resizes_by_lone_panes()).then_some(layout)
}

/// What is to follow once the hooks of the session's making have run.
pub(super) fn show_hook(id: SessionId) -> Vec<u8> {
    line(&[b"set-hook", b"-u", b"-t", id.to_string().as_bytes(), HIDDEN[0].as_bytes()])
}

/// How a window gets its index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// It is free.
    Free,
    /// Behind the window with the index before, which moves those that follow.
    Behind,
    /// Before the window that has it, in the same way.
    Before,
}

/// The option of a window which says which one it was, until it is noted that it is back.
const WAS: &[u8] = b"@roster_was";

/// The command that says so, and whether the window has all that it is to have.
fn say_was(target: &[u8], was: Was, is_whole: bool) -> Vec<u8> {
    let value = value_of_was(was, is_whole);
    line(&[b"set-option", b"-w", b"-t", target, WAS, value.as_bytes()])
}

fn value_of_was((pid, start_time, id): Was, is_whole: bool) -> String {
    format!("{pid}/{start_time}/{id}/{}", if is_whole { "whole" } else { "begun" })
}

/// The command that says no longer which window it was.
pub(super) fn forget_was(window_id: &str) -> Vec<u8> {
    line(&[b"set-option", b"-w", b"-u", b"-t", window_id.as_bytes(), WAS])
}

/// The command that prints what [`begun_window`] reads: the windows of a session, and which one each was.
pub(super) fn list_begun(id: SessionId) -> Vec<u8> {
    let id = id.to_string();
    line(&[b"list-windows", b"-t", id.as_bytes(), b"-F", b"was #{@roster_was} #{window_id}"])
}

/// Reads that: the id of the window that was this one, and whether it is whole. A command that was killed
/// made it.
pub(super) fn begun_window(listed: &str, was: Was) -> Option<(&str, bool)> {
    let find = |is_whole: bool| {
        let start = format!("was {} ", value_of_was(was, is_whole));
        Some((listed.lines().find_map(|line| line.strip_prefix(&start))?, is_whole))
    };
    find(true).or_else(|| find(false))
}

/// The commands that make the first pane of a window in a session that lives, and print [`new_window_of`].
/// `hides` says whether hooks of the user's can be hidden from it: the session has none of its own.
pub(super) fn begin_in(
    id: SessionId,
    window: &WindowPlan,
    way: Way,
    hides: bool,
    version: Version,
    conditions: &Conditions,
) -> Group {
    let mut lines = hiding(id, hides, true);
    let mut words: Vec<&[u8]> = vec![b"new-window", b"-d", b"-P", b"-F", NEW.as_bytes()];
    let index = match way {
        Way::Free => window.index,
        Way::Behind => {
            words.push(b"-a");
            window.index.saturating_sub(1)
        }
        Way::Before => {
            words.push(b"-b");
            window.index
        }
    };
    let target = Called::Id(id).target(&index.to_string());
    words.extend([&b"-t"[..], &target]);
    let mut making = new_window(&words, window, version, conditions);
    // In one line: if the first fails, because the index is taken, the second is not run.
    making.truncate(making.trim_ascii_end().len());
    let stamp = say_was(&Called::Id(id).target(&window.index.to_string()), window.was, false);
    lines.push([&making, &b" ; "[..], &stamp].concat());
    lines.extend(hiding(id, hides, false));
    lines
}

/// What [`begin_in`] has tmux print.
const NEW: &str = "new #{window_id}";

/// Reads what [`begin_in`] prints: the new window's id.
pub(super) fn new_window_of(line: &str) -> Option<&str> {
    line.strip_prefix("new ").filter(|id| id.starts_with('@'))
}

/// The commands that make the rest of the window with this id, and go to it if wanted.
pub(super) fn finish_in(
    id: SessionId,
    window_id: &str,
    window: &WindowPlan,
    (hides, goes): (bool, bool),
    version: Version,
    conditions: &Conditions,
) -> Group {
    let target = in_session(id, window_id);
    let mut lines = hiding(id, hides, true);
    lines.extend(fill_window(window, &target, version, conditions));
    lines.push(say_was(target.as_bytes(), window.was, true));
    lines.extend(hiding(id, hides, false));
    if goes {
        lines.push(line(&[b"select-window", b"-t", target.as_bytes()]));
    }
    lines
}

/// By itself the id may lead tmux to another session of the group, whose hooks are not hidden.
fn in_session(id: SessionId, window_id: &str) -> String {
    format!("{id}:{window_id}")
}

/// The command that prints [`made_window`].
pub(super) fn tell_made(id: SessionId, window_id: &str) -> Vec<u8> {
    let print = b"made #{window_index} #{window_panes}";
    let target = in_session(id, window_id);
    line(&[b"display-message", b"-p", b"-t", target.as_bytes(), print])
}

/// Hides the user's hooks from what is made in a session that lives, or shows them again.
fn hiding(id: SessionId, hides: bool, now: bool) -> Group {
    let id = id.to_string();
    let hidden = if hides { &HIDDEN[1..] } else { &[] };
    let hook = |hook: &&str| match now {
        true => line(&[b"set-hook", b"-t", id.as_bytes(), hook.as_bytes(), b""]),
        false => line(&[b"set-hook", b"-u", b"-t", id.as_bytes(), hook.as_bytes()]),
    };
    hidden.iter().map(hook).collect()
}

/// Whether these hooks of a session, as `show-hooks` prints them, are others than we hide.
pub(super) fn can_hide(shown: &str) -> bool {
    !HIDDEN[1..].iter().any(|hook| shown.lines().any(|line| line.starts_with(hook)))
}

/// Reads what [`tell_made`] prints: the index of the window, and how many panes it has.
pub(super) fn made_window(line: &str) -> Option<(u32, usize)> {
    let (index, panes) = line.strip_prefix("made ")?.split_once(' ')?;
    Some((index.parse().ok()?, panes.parse().ok()?))
}

/// Reads what [`build`] prints at the end: the indexes of the windows, and how many panes each has.
pub(super) fn whole(line: &str) -> Option<Map<u32, usize>> {
    let (_, windows) = line.split_once(" whole ")?;
    let windows = windows.split_terminator('.').map(|window| {
        let (index, panes) = window.split_once(':')?;
        Some((index.parse().ok()?, panes.parse().ok()?))
    });
    windows.collect()
}

/// The command that keeps the name of the session that is made next, whatever a hook of the user's
/// calls it, and spares it where that is needed.
fn tie(name: &str, conditions: &Conditions) -> Vec<u8> {
    let mut then = format!("rename-session -- {name}");
    if conditions.spares() {
        then = format!("{then} ; {SPARE}");
    }
    line(&[b"set-hook", b"-g", SPARING, then.as_bytes()])
}

/// A command that makes a window, with the name and the first pane of this one.
fn new_window(
    command: &[&[u8]],
    window: &WindowPlan,
    version: Version,
    conditions: &Conditions,
) -> Vec<u8> {
    let name = window.name.as_deref().map(|name| window_name(name, version));
    let mut words = command.to_vec();
    if let Some(name) = &name {
        words.extend([&b"-n"[..], name]);
    }
    make_pane(words, &window.panes[window.first()], version, conditions)
}

/// One of tmux's commands that make a pane, with the directory and the words of this one.
fn make_pane<'a>(
    command: Vec<&'a [u8]>,
    pane: &'a PaneStart,
    version: Version,
    conditions: &'a Conditions,
) -> Vec<u8> {
    let directory = escape_name(&pane.directory, version);
    let start = conditions.start_in(&pane.directory);
    let mut words: Vec<&[u8]> = command;
    words.extend([&b"-c"[..], &directory]);
    if !start.is_empty() || !pane.words.is_empty() {
        words.push(b"--");
        words.extend(start);
        words.extend(pane.words.iter().map(Vec::as_slice));
    }
    line(&words)
}

/// The commands that make the other panes of a window, and everything else of it.
fn fill_window(
    window: &WindowPlan,
    target: &str,
    version: Version,
    conditions: &Conditions,
) -> Group {
    let on_from_active = |far: usize| format!("{target}.+{far}");
    let target = target.as_bytes();
    let count = window.panes.len();
    let first = window.first();
    let mut lines = Vec::new();
    // Each splits the one before, which is the active one: so the order is kept.
    let behind = (first..count).map(|at| (at, None));
    // And so those before the first one, from the last, which is the active one then.
    let before = (0..first).rev().map(|at| (at, Some(b"-b")));
    for (at, way) in behind.chain(before) {
        let pane = &window.panes[at];
        if at != first {
            let next = on_from_active(1);
            let from = if at + 1 == first { next.as_bytes() } else { target };
            let mut words: Vec<&[u8]> = vec![b"split-window", b"-t", from];
            words.extend(way.iter().map(|way| &way[..]));
            lines.push(make_pane(words, pane, version, conditions));
            // Makes space for the next.
            lines.push(line(&[b"select-layout", b"-t", target, b"tiled"]));
        }
        if let Some(title) = &pane.title {
            let title = escape_name(&stored_title(title, version), version);
            lines.push(line(&[b"select-pane", b"-t", target, b"-T", &title]));
        }
    }
    if let Some(layout) = window.layout.as_ref().filter(|_| lone_pane(window, version).is_none()) {
        let layout = layout.to_string();
        lines.push(line(&[b"select-layout", b"-t", target, layout.as_bytes()]));
    }
    let active = window.panes.iter().position(|pane| pane.active);
    if let Some(active) = active.filter(|_| count > 1) {
        // However the panes are numbered.
        let now = if first > 0 { 0 } else { count - 1 };
        let far = (active + count - now) % count;
        if far > 0 {
            lines.push(line(&[b"select-pane", b"-t", on_from_active(far).as_bytes()]));
        }
    }
    if window.zoomed {
        lines.push(line(&[b"resize-pane", b"-Z", b"-t", target]));
    }
    if window.synchronized {
        lines.push(line(&[b"set-option", b"-w", b"-t", target, b"synchronize-panes", b"on"]));
    }
    lines
}

/// A window's name as `new-window -n` is to be given it.
fn window_name(name: &[u8], version: Version) -> Vec<u8> {
    let name = stored_text(name, version);
    if version.expands_window_names() { escape_name(&name, version) } else { name }
}
