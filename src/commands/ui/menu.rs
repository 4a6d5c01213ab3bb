//! tmux's own menus, for every version and without anything else installed: the actions for a
//! session, and the picker where there is no fzf or no popup.
//!
//! What a menu shows is a format and then a style, so text is escaped; what it does holds
//! nothing but UUIDs, said so that no session's name can be one, and directories in hexadecimal digits.

use std::os::unix::process::CommandExt;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::memory::Memory;
use tmux_roster::tmux::text::argument;
use tmux_roster::tmux::{ANSWER_LIMIT, Version};
use tmux_roster::transaction::Trigger;
use tmux_roster::{StoreError, panes, persist, sync};
use unicode_width::UnicodeWidthStr;

use crate::cli;
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::inspect::{Row, State, View, view};
use crate::commands::output::{count, cut, tilde, visible};
use crate::commands::projects::hidden;
use crate::commands::target::by_uuid;
use crate::commands::ui::key::Seat;
use crate::commands::windows::{Recorded, closed_label};

/// A line of a menu.
pub struct Item {
    text: String,
    /// The key that chooses it; empty for none.
    key: String,
    /// Our words for it; `None` for a line that only says something.
    words: Option<String>,
}

impl Item {
    pub fn new(key: impl Into<String>, text: impl Into<String>, words: String) -> Item {
        Item { text: text.into(), key: key.into(), words: Some(words) }
    }

    fn note(text: String) -> Item {
        Item { text, key: String::new(), words: None }
    }
}

/// A menu, and the words that open its other pages.
pub struct Menu {
    pub title: String,
    /// What stands over the items of each page; empty for nothing.
    pub heading: String,
    pub items: Vec<Item>,
    /// What stands below the items of each page.
    pub always: Vec<Item>,
    pub more: String,
}

/// The list of arguments that all versions take (FACTS.md, "Command lines"): the newest takes the least.
const ARGUMENT_BYTES: usize = 8_000;

/// On a client with fewer lines than this there is only room for the items themselves.
const SMALL: usize = 10;

impl Menu {
    pub fn new(title: impl Into<String>, items: Vec<Item>, more: impl Into<String>) -> Menu {
        let (title, heading) = (title.into(), String::new());
        Menu { title, heading, items, always: Vec::new(), more: more.into() }
    }

    /// Becomes the menu on the client: one that is too tall or too wide is silently not shown.
    pub fn show(mut self, place: &Place, seat: &Seat, version: Version, page: usize) -> Failure {
        let width = seat.width.saturating_sub(10).max(4);
        let height = seat.height.saturating_sub(2);
        if height < SMALL {
            self.heading.clear();
            self.items.append(&mut self.always);
        }
        let title = cut(&shown(&self.title, version), width);
        if let Some(first) = self.items.first_mut() {
            // The title does not widen the menu.
            let missing = title.width().saturating_sub(first.text.width());
            first.text.push_str(&" ".repeat(missing));
        }
        let arguments = |item: &Item| -> [String; 3] {
            let text = escape(&cut(&shown(&item.text, version), width), version);
            match &item.words {
                // `#[default]` shows nothing, and keeps a `-` from disabling the line; elsewhere it
                // would count as text that is cut.
                Some(words) => {
                    let guard = if text.starts_with('-') { "#[default]" } else { "" };
                    [format!("{guard}{text}"), item.key.clone(), command(words)]
                }
                None => [format!("-{text}"), String::new(), String::new()],
            }
        };
        let heading = Some(self.heading).filter(|heading| !heading.is_empty());
        let heading = heading.map(|heading| arguments(&Item::note(heading)));
        let all: Vec<[String; 3]> = self.items.iter().map(arguments).collect();
        let always: Vec<[String; 3]> = self.always.iter().map(arguments).collect();
        let widest = all
            .iter()
            .chain(&always)
            .map(|a| a.iter().map(|s| s.len() + 1).sum())
            .max()
            .unwrap_or(1);
        let room = height.min(ARGUMENT_BYTES / widest);
        let room = room.saturating_sub(usize::from(heading.is_some()) + always.len()).max(2);
        let pages: Vec<&[[String; 3]]> =
            if all.len() <= room { vec![&all] } else { all.chunks(room - 1).collect() };
        let page = page.min(pages.len() - 1);
        let mut call = place.tmux.command(&["display-menu", "-c", &seat.client]);
        let centre = if version.has_popups() { ["C", "C"] } else { ["P", "P"] };
        call.args(["-t", &seat.pane, "-x", centre[0], "-y", centre[1], "-T"]);
        call.arg(format!("#[align=centre] {} ", escape(&title, version)));
        call.arg("--");
        call.args(heading.iter().chain(pages[page]).chain(&always).flatten().map(argument));
        if pages.len() > 1 {
            let next = (page + 1) % pages.len();
            let text = format!("#[default]more ({} of {})", page + 1, pages.len());
            call.args([text, "+".into(), command(&format!("{} --page {next}", self.more))]);
        }
        call.exec().into()
    }
}

/// The tmux command of an item. tmux expands it when the menu opens, hence the doubled `#`, and
/// again when it runs, within the client and the pane of the menu.
fn command(words: &str) -> String {
    if words.is_empty() {
        return String::new();
    }
    let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
    format!(
        "run-shell -b \"##{{@roster_program}} {verb} --from '##{{E:@roster_from}}' {rest} >/dev/null 2>&1 || :\""
    )
}

/// Text as a menu can show it: before 3.2 `#[` is a style however often it is doubled.
fn shown(text: &str, version: Version) -> String {
    let text = visible(text);
    if version.escapes_styles() { text } else { text.replace("#[", "# [") }
}

/// The same as a menu takes it: first a format, then a style (FACTS.md, "Menus and popups").
fn escape(text: &str, version: Version) -> String {
    let doubled = text.replace('#', "##");
    match doubled.ends_with('#') && version.escapes_styles() {
        true => doubled + "##",
        false => doubled,
    }
}

/// Where a key was pressed, or the command typed.
pub fn seat(context: &Context, place: &Place, from: Option<&str>) -> Result<Seat, Failure> {
    match from {
        Some(from) => Seat::parse(from),
        None if context.is_inside() => Seat::of_pane(context, place)?.ok_or_else(|| {
            "no client is attached to this session: run this from one that is".into()
        }),
        None => {
            Err("menus open only inside tmux: attach first, or use roster list and roster go NAME"
                .into())
        }
    }
}

/// What a key does, whose errors nobody would see otherwise: they are told to its client.
pub fn telling(place: &Place, from: Option<&str>, outcome: Outcome) -> Outcome {
    if let (Err(failure), Some(from)) = (&outcome, from) {
        Seat::parse(from)?.tell(place, &visible(failure.text()));
    }
    outcome
}

/// The view; a damaged registry is mended first, as it is by every other key.
pub fn view_mended(place: &Place) -> Result<View, Failure> {
    if let Err(StoreError::Damaged { .. }) = persist::peek(place) {
        sync::sync(place, Trigger::Person)?;
    }
    view(place)
}

/// The menu of actions for the current session.
pub fn menu(context: &Context, args: &cli::Menu) -> Outcome {
    let place = context.place()?;
    telling(&place, args.from.as_deref(), menu_or_fail(context, &place, args))
}

fn menu_or_fail(context: &Context, place: &Place, args: &cli::Menu) -> Outcome {
    let seat = seat(context, place, args.from.as_deref())?;
    let view = view_mended(place)?;
    let is_here = |row: &&Row| row.live.as_ref().is_some_and(|live| live.id == seat.session);
    let current = view.rows.iter().find(is_here);
    let closed = current.and_then(|row| last_closed(place, row));
    let menu = of_current(current, closed.as_deref(), view.lost());
    Err(menu.show(place, &seat, view.version, args.page))
}

/// The last closed window of a session that lives.
pub fn last_closed(place: &Place, row: &Row) -> Option<String> {
    row.live.as_ref()?;
    let closed = Recorded::read_silently(place).closed_of(&row.session.uuid);
    closed.first().map(closed_label)
}

/// What restores all lost sessions, if there are any.
pub fn restore_all(lost: usize) -> Option<Item> {
    let text = format!("restore all lost ({lost})");
    (lost > 0).then(|| Item::new("a", text, "key restore --all".into()))
}

fn reopen_window(row: &Row, closed: &str) -> Item {
    let words = format!("key reopen --window {}", by_uuid(&row.session));
    Item::new("w", format!("reopen window {closed}"), words)
}

/// What can be done with the current session, if it is recorded, and where so many are lost.
fn of_current(current: Option<&Row>, closed: Option<&str>, lost: usize) -> Menu {
    let mut items = Vec::new();
    let mut title = "tmux-roster".to_owned();
    if let Some(row) = current {
        title.clone_from(&row.session.name);
        let target = by_uuid(&row.session);
        let mode = format!("next mode ({})", row.session.mode);
        items.push(Item::new("t", mode, format!("key mode --next {target}")));
        items.push(Item::new("h", "check its health", format!("key health {target}")));
        items.push(Item::new("r", "rename...", format!("pick --rename {target}")));
        items.extend(closed.map(|closed| reopen_window(row, closed)));
        items.push(Item::new("x", "kill...", format!("pick --confirm {target}")));
    }
    items.push(Item::new("s", "new session here", "key new".into()));
    items.push(Item::new("l", "previous session", "key last".into()));
    items.push(Item::new("o", "reopen the last closed session or window", "key reopen".into()));
    items.extend(restore_all(lost));
    items.push(Item::new("b", "list of backups", "key --show backups".into()));
    items.push(Item::new("d", "doctor", "key --show doctor".into()));
    Menu::new(title, items, "menu")
}

/// How many directories a menu has.
const PROJECTS: usize = 20;

/// The first directories that have no session: each gets one.
pub fn projects(context: &Context, directories: &[String]) -> Menu {
    let mut items = Vec::new();
    for (at, directory) in directories.iter().take(PROJECTS).enumerate() {
        let key = if at < 9 { (at + 1).to_string() } else { String::new() };
        let text = visible(&tilde(context, directory));
        items.push(Item::new(key, text, format!("key go {}", hidden(directory))));
    }
    if items.is_empty() {
        items.push(Item::note("none: set @roster-projects, or use zoxide".into()));
    }
    Menu::new("projects", items, "pick --projects")
}

/// What can be done with a session that was chosen in a menu, and the last window closed in it.
pub fn actions(row: &Row, closed: Option<&str>) -> Menu {
    let Row { session, state, .. } = row;
    let target = by_uuid(session);
    let mut items = Vec::new();
    let mut item = |key: &str, text: &str, words: &str| {
        items.push(Item::new(key, text, format!("{words} {target}")));
    };
    match state {
        State::Live => {
            item("g", "go there", "key go");
            item("r", "rename...", "pick --rename");
            item("t", &format!("next mode ({})", session.mode), "key mode --next");
            item("h", "check its health", "key health");
            items.extend(closed.map(|closed| reopen_window(row, closed)));
            items.push(Item::new("x", "kill...", format!("pick --confirm {target}")));
        }
        State::Lost => {
            item("g", "restore and go there", "key go");
            item("o", "restore", "key restore");
            item("r", "rename...", "pick --rename");
            item("t", &format!("next mode ({})", session.mode), "key mode --next");
            item("x", "forget (it can be reopened)", "key forget");
        }
        State::Unreachable => {
            item("t", &format!("next mode ({})", session.mode), "key mode --next");
        }
        State::Closed => {
            item("g", "reopen and go there", "key go");
            item("o", "reopen", "key reopen");
            item("x", "forget for good...", "pick --confirm");
        }
    }
    let title = format!("{} ({})", session.name, state.word());
    Menu::new(title, items, format!("pick --actions {target}"))
}

/// Asks before something that cannot be undone as it was.
pub fn confirmation(place: &Place, view: &View, row: &Row, height: usize) -> Menu {
    let target = by_uuid(&row.session);
    let (question, words) = question(row);
    // The answers must be on the first page.
    let notes = what_ends(place, view, row, height.saturating_sub(5).max(1));
    let mut items: Vec<Item> = notes.into_iter().map(Item::note).collect();
    // tmux has its cursor on the first one.
    items.push(Item::new("n", "no", String::new()));
    items.push(Item::new("y", "yes", format!("key {words} {target}")));
    Menu::new(question, items, format!("pick --confirm {target}"))
}

/// What is asked before a session is killed or forgotten for good, and the command for it.
pub fn question(row: &Row) -> (String, &'static str) {
    let name = &row.session.name;
    match row.state {
        State::Live => (format!("Kill {name}?"), "kill"),
        State::Lost | State::Closed | State::Unreachable => {
            (format!("Forget {name} for good?"), "forget")
        }
    }
}

/// What ends with a session, in at most so many lines: how much it is and whether it can come back,
/// then its programs, who looks at it, and its shells.
pub fn what_ends(place: &Place, view: &View, row: &Row, room: usize) -> Vec<String> {
    let Some(live) = &row.live else { return Vec::new() };
    let deadline = Instant::now() + ANSWER_LIMIT;
    let id = live.id.to_string();
    let ask = |args: &[&str]| {
        let printed = place.tmux.run(args, deadline).unwrap_or_default();
        let text = String::from_utf8_lossy(&printed).into_owned();
        text.lines().map(visible).collect::<Vec<_>>()
    };
    let is_clone = |memory: &Memory| memory.sessions.get(&live.id).is_some_and(|k| k.clone);
    let is_clone = persist::peek(place).is_ok_and(|remembered| is_clone(&remembered.memory));
    let others = view.rows.iter().filter_map(|row| row.live.as_ref());
    let mut others = others.filter(|other| !other.group.is_empty() && other.id != live.id);
    let stays = others.any(|other| other.group == live.group);
    let format = "#{pane_current_command} window #{window_index}, pane #{pane_index}";
    let panes = ask(&["list-panes", "-s", "-t", &id, "-F", format]);
    let (shells, programs): (Vec<_>, Vec<_>) = panes
        .iter()
        .filter_map(|pane| pane.rsplit_once(" window "))
        .partition(|(program, _)| panes::is_shell(&[program.as_bytes()]));
    let size =
        format!("{}, {}", count(live.windows as usize, "window"), count(panes.len(), "pane"));
    let mut lines = vec![match (stays, is_clone) {
        (true, _) => format!("{size}, which stay in its group"),
        (false, true) => size,
        (false, false) if view.rows.iter().filter(|row| row.live.is_some()).count() == 1 => {
            format!("{size}; it can be reopened; tmux ends with it")
        }
        (false, false) => format!("{size}; it can be reopened"),
    }];
    if !stays {
        lines.extend(programs.iter().map(|(program, pane)| format!("window {pane}: {program}")));
    }
    lines.extend(ask(&["list-clients", "-t", &id, "-F", "client #{client_name}"]));
    if !shells.is_empty() && !stays {
        lines.push(count(shells.len(), "shell"));
    }
    if lines.len() > room {
        let left = lines.len() - room + 1;
        lines.truncate(room.saturating_sub(1));
        lines.push(format!("and {left} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use tmux_roster::Session;

    use super::*;
    use crate::commands::ui::keys::{KEYS, help};

    #[test]
    fn menus_and_the_help_of_the_picker_are_as_reviewed() {
        let row = |state| {
            let uuid = "3b241101-e2bb-4255-8caf-4136c566a962".into();
            let session = Session::with("work", "/w", "safe", uuid, tmux_roster::Timestamp::ZERO);
            Row::new(session, state, None)
        };
        let closed = Some("3:logs");
        let mut menus = vec![
            of_current(Some(&row(State::Live)), closed, 2),
            of_current(None, None, 0),
            actions(&row(State::Live), closed),
        ];
        let states = [State::Live, State::Lost, State::Unreachable, State::Closed];
        menus.extend(states.map(|state| actions(&row(state), None)));
        for item in menus[2..].iter().flat_map(|menu| &menu.items) {
            assert!(KEYS.iter().any(|key| key.menu == item.key), "{}", item.text);
        }
        let mut text = String::new();
        for menu in menus {
            text.push_str(&format!("{}\n", menu.title));
            for item in menu.items {
                text.push_str(&format!("  {} {}\n", item.key, item.text));
            }
        }
        for state in [State::Live, State::Closed] {
            text.push_str(&format!("{}\n", question(&row(state)).0));
        }
        text.push_str(&format!("\n{}", help()));
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("../../../tests/it/snapshots");
        settings.bind(|| insta::assert_snapshot!("menus", text));
    }
}
