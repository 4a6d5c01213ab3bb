//! Layouts: random ones, damaged ones, and what a real tmux makes of its windows.

use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tmux_roster::model::layout::{Layout, LayoutError, LiveLayout};
use tmux_roster::model::snapshot::PaneId;

use crate::env::{Server, tmux_version};

/// A layout with the checksum that tmux would give it.
fn signed(body: &str) -> String {
    let turned = |sum: u16| (sum >> 1) + ((sum & 1) << 15);
    let sum = body.bytes().fold(0, |sum, byte| turned(sum).wrapping_add(byte.into()));
    format!("{sum:04x},{body}")
}

/// Columns, lines, and where it begins.
type Rect = (i32, i32, i32, i32);

#[derive(Debug, Clone)]
enum Tree {
    Pane(Rect, u32),
    /// With its brackets.
    Cells(Rect, [char; 2], Vec<Tree>),
}

const ROW: [char; 2] = ['{', '}'];
const COLUMN: [char; 2] = ['[', ']'];

impl Tree {
    fn text(&self) -> String {
        let rect = |(width, height, x, y): &Rect| format!("{width}x{height},{x},{y}");
        match self {
            Tree::Pane(at, id) => format!("{},{id}", rect(at)),
            Tree::Cells(at, [open, close], cells) => {
                let cells: Vec<String> = cells.iter().map(Tree::text).collect();
                format!("{}{open}{}{close}", rect(at), cells.join(","))
            }
        }
    }
}

/// Decisions; when they run out, all is 0.
struct Dice(Vec<u16>);

impl Dice {
    fn below(&mut self, end: i32) -> i32 {
        i32::from(self.0.pop().unwrap_or(0)) % end
    }
}

/// Splits a rectangle at random; its panes go to `panes`.
fn grow(dice: &mut Dice, (width, height, x, y): Rect, panes: &mut Vec<u32>) -> Tree {
    let (is_row, parts) = (dice.below(2) == 0, dice.below(5));
    let room = if is_row { width } else { height };
    if parts < 2 || room < 2 * parts - 1 {
        // No two are the same.
        let id = panes.len() as u32 * 100 + dice.below(100).unsigned_abs();
        panes.push(id);
        return Tree::Pane((width, height, x, y), id);
    }
    let (mut cells, mut from) = (Vec::new(), 0);
    for left in (0..parts).rev() {
        let size = if left == 0 { room - from } else { 1 + dice.below(room - from - 2 * left) };
        let at = if is_row { (size, height, x + from, y) } else { (width, size, x, y + from) };
        cells.push(grow(dice, at, panes));
        from += size + 1;
    }
    Tree::Cells((width, height, x, y), if is_row { ROW } else { COLUMN }, cells)
}

/// The same with floating panes in it, wherever tmux might put them.
fn float(dice: &mut Dice, tree: Tree, floating: &mut Vec<String>) -> Tree {
    let mut pane = |dice: &mut Dice| {
        let (width, height) = (1 + dice.below(300), 1 + dice.below(99));
        let rect = (width, height, dice.below(99) - 9, dice.below(99) - 9);
        let pane = Tree::Pane(rect, 1_000_000 + floating.len() as u32);
        floating.push(pane.text());
        pane
    };
    let mut added = match dice.below(4) {
        0 => vec![pane(dice)],
        1 => vec![Tree::Cells((0, 0, 0, 0), ROW, vec![pane(dice), pane(dice)])],
        _ => vec![],
    };
    match tree {
        Tree::Pane(rect, _) if !added.is_empty() => {
            added.insert(dice.below(2) as usize, tree);
            Tree::Cells(rect, COLUMN, added)
        }
        Tree::Pane(..) => tree,
        Tree::Cells(rect, brackets, cells) => {
            let mut cells: Vec<Tree> =
                cells.into_iter().map(|cell| float(dice, cell, floating)).collect();
            let at = dice.below(cells.len() as i32 + 1) as usize;
            cells.splice(at..at, added);
            Tree::Cells(rect, brackets, cells)
        }
    }
}

/// A layout as tmux prints it, without floating panes and with them, and the panes that have a cell.
fn layouts() -> impl Strategy<Value = (String, Option<String>, Vec<u32>)> {
    let dice = prop::collection::vec(any::<u16>(), 0..150);
    (dice, 1..300, 1..100).prop_map(|(dice, width, height)| {
        let (mut dice, mut panes, mut floating) = (Dice(dice), Vec::new(), Vec::new());
        let tree = grow(&mut dice, (width, height, 0, 0), &mut panes);
        let text = signed(&tree.text());
        let tree = float(&mut dice, tree, &mut floating);
        let told =
            (!floating.is_empty()).then(|| format!("{}<{}>", tree.text(), floating.join(",")));
        (text, told, panes)
    })
}

proptest! {
    #[test]
    fn a_layout_is_read_and_written((text, floating, panes) in layouts()) {
        let live: LiveLayout = text.parse().unwrap();
        prop_assert_eq!(live.to_string(), text);
        let panes: Vec<PaneId> = panes.into_iter().map(PaneId).collect();
        prop_assert_eq!(&live.panes(), &panes);

        let layout = live.normalised();
        prop_assert_eq!(layout.cells(), panes.len());
        prop_assert_eq!(layout.to_string().parse(), Ok(layout.clone()));
        let json = serde_json::to_string(&layout).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Layout>(&json).unwrap(), &layout);
        let live_again: LiveLayout = layout.to_string().parse().unwrap();
        prop_assert_eq!(live_again.normalised(), layout);

        if let Some(body) = floating {
            prop_assert_eq!(signed(&body).parse(), Ok(live));
            // As it is told while the window is zoomed.
            let (body, _) = body.split_once('<').unwrap();
            prop_assert_eq!(signed(body).parse::<LiveLayout>(), Err(LayoutError::WrongSizes));
        }
    }

    #[test]
    fn a_damaged_layout_is_refused(
        (text, floating, _) in layouts(),
        at: Index,
        byte in prop_oneof!["[0-9a-f{}<>,x-]", any::<char>().prop_map(String::from)],
    ) {
        let text = floating.map_or(text, |body| signed(&body));
        let at = at.index(text.len());
        let changed = [&text[..at], &byte, &text[at + 1..]].concat();
        if changed != text {
            prop_assert!(changed.parse::<LiveLayout>().is_err(), "{changed}");
        }
        for damaged in [&text[..at], &text[at + 1..], &text.repeat(2), &format!("{text}\n")] {
            prop_assert!(damaged.parse::<LiveLayout>().is_err(), "{damaged}");
        }
        // With a right checksum it may still be a layout, but no other one than it says.
        let (_, body) = changed.split_once(',').unwrap();
        if let Ok(live) = signed(body).parse::<LiveLayout>() {
            prop_assert!(body.contains('<') || live.to_string() == signed(body), "{body}");
        }
    }
}

/// What people do to a window: A and B are panes, N a number of two digits. Left out is what tmux
/// itself does wrong (FACTS.md, "Layouts").
const OPERATIONS: &[&str] = &[
    "split-window -h -t A",
    "split-window -v -b -t A",
    "split-window -h -f -t A",
    "split-window -v -b -f -t A",
    "split-window -d -h -l N -t A",
    "split-window -v -b -l N -t A",
    "join-pane -h -s A -t B",
    "join-pane -v -b -s A -t B",
    "join-pane -h -b -f -s A -t B",
    "join-pane -v -f -s A -t B",
    "move-pane -d -h -l N -s A -t B",
    "break-pane -d -s A",
    "swap-pane -s A -t B",
    "swap-pane -d -s A -t B",
    "rotate-window -U -t A",
    "rotate-window -D -t A",
    "resize-pane -x N -t A",
    "resize-pane -y N -t A",
    "resize-pane -L -t A N",
    "resize-pane -D -t A N",
    "resize-window -x 1N -t A",
    "resize-window -y 1N -t A",
    "select-layout -t A even-horizontal",
    "select-layout -t A even-vertical",
    "select-layout -t A main-horizontal",
    "select-layout -t A main-vertical",
    "select-layout -t A tiled",
    "kill-pane -t A",
];

type Operation = (&'static str, Index, Index, u16);

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let operation = (select(OPERATIONS), any::<Index>(), any::<Index>(), 10..60_u16);
    prop::collection::vec(operation, 20..40)
}

/// A window as tmux tells it.
struct Window {
    id: String,
    layout: String,
    panes: Vec<PaneId>,
}

/// The windows of the session that a test works on.
fn windows(server: &Server) -> Vec<Window> {
    let format = "#{window_id} #{window_layout} #{pane_id}";
    let mut windows: Vec<Window> = Vec::new();
    for line in server.tmux(&["list-panes", "-s", "-t", "=it:", "-F", format]).lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [id, layout, pane] = fields[..] else { panic!("{line}") };
        if windows.last().is_none_or(|last| last.id != id) {
            let (id, layout) = (id.to_owned(), layout.to_owned());
            windows.push(Window { id, layout, panes: Vec::new() });
        }
        windows.last_mut().unwrap().panes.push(PaneId::parse(pane).unwrap());
    }
    windows
}

fn operate(server: &Server, (operation, a, b, n): &Operation) {
    let windows = windows(server);
    let panes: Vec<&PaneId> = windows.iter().flat_map(|window| &window.panes).collect();
    let is_last = panes.len() == 1 && operation.starts_with("kill");
    if is_last || panes.len() > 12 && operation.starts_with("split") {
        return;
    }
    let word = |word| match word {
        "A" => a.get(&panes).to_string(),
        "B" => b.get(&panes).to_string(),
        word => word.replace('N', &n.to_string()),
    };
    // Some are refused: no space, one pane alone, an option that this version lacks.
    server.try_tmux(&operation.split(' ').map(word).collect::<Vec<_>>());
}

/// Some sequences of operations, each on a new session's window; looks at what they lead to.
fn operate_at_random(look: impl Fn(&Server, &[Operation]) -> Result<(), TestCaseError>) {
    let server = Server::with_config("set -g default-command 'exec cat'");
    server.tmux(&["new-session", "-d", "-s", "other"]);
    let config = Config { cases: 4, failure_persistence: None, ..Config::default() };
    let check = |operations: Vec<Operation>| {
        // What a failed one left, too.
        server.try_tmux(&["kill-session", "-t", "=it"]);
        server.tmux(&["new-session", "-d", "-s", "it", "-x", "200", "-y", "50"]);
        look(&server, &operations)
    };
    TestRunner::new(config).run(&operations(), check).unwrap();
}

/// What tmux makes of it in a new window with as many panes.
fn applied(server: &Server, layout: &Layout) -> LiveLayout {
    let id = server.tmux(&["new-window", "-d", "-P", "-F", "#{window_id}", "-t", "=other:"]);
    let text = layout.to_string();
    let mut words = Vec::new();
    for _ in 1..layout.cells() {
        words.extend(["split-window", "-t", &id, ";", "select-layout", "-t", &id, "tiled", ";"]);
    }
    words.extend(["select-layout", "-t", &id, &text, ";"]);
    words.extend(["display-message", "-p", "-t", &id, "#{window_layout}"]);
    let live = server.tmux(&words).parse().unwrap();
    server.tmux(&["kill-window", "-t", &id]);
    live
}

#[test]
fn every_window_comes_back_as_it_was_arranged() {
    operate_at_random(|server, operations| {
        for operation in operations {
            operate(server, operation);
            for window in windows(server) {
                let live = window.layout.parse::<LiveLayout>();
                let live = live
                    .map_err(|error| TestCaseError::fail(format!("{error}: {}", window.layout)))?;
                prop_assert_eq!(live.to_string(), window.layout);
                let (mut told, mut listed) = (live.panes(), window.panes);
                told.sort();
                listed.sort();
                prop_assert_eq!(told, listed);
            }
        }
        for window in windows(server) {
            // The whole layout is told while it is zoomed, too. 3.4 and master die of a session that
            // ends so.
            let zoom = || server.tmux(&["resize-pane", "-Z", "-t", &window.panes[0].to_string()]);
            zoom();
            prop_assert!(windows(server).iter().any(|zoomed| zoomed.layout == window.layout));
            zoom();
            let layout = window.layout.parse::<LiveLayout>().unwrap().normalised();
            let again = applied(server, &layout);
            prop_assert_eq!(again.normalised(), layout);
            prop_assert!(again.panes().is_sorted(), "panes made in the order of the cells");
        }
        Ok(())
    });
}

#[test]
fn floating_panes_leave_the_layout_from_before() {
    if tmux_version() < (3, 7) {
        return;
    }
    operate_at_random(|server, operations| {
        // In a small window there is no place for them.
        let operations: Vec<_> =
            operations.iter().filter(|op| !op.0.starts_with("resize-window")).collect();
        operations.iter().for_each(|operation| operate(server, operation));
        let layout = || windows(server)[0].layout.clone();
        let window = windows(server).remove(0);
        let zoom = || server.tmux(&["resize-pane", "-Z", "-t", &window.panes[0].to_string()]);
        let before = window.layout.clone();
        let mut floating = Vec::new();
        for (_, pane, _, n) in operations.iter().take(4) {
            let (pane, n) = (pane.get(&window.panes).to_string(), n.to_string());
            let words = ["new-pane", "-d", "-P", "-F", "#{pane_id}", "-t", &pane];
            let place = ["-x", &n, "-y", "5", "-X", &n, "-Y", "-3"];
            floating.push(server.tmux(&[&words[..], &place].concat()));
            prop_assert_ne!(layout(), before.as_str());
            let live: LiveLayout = layout().parse().unwrap();
            prop_assert_eq!(live.to_string(), before.as_str());
        }
        zoom();
        prop_assert_eq!(layout().parse::<LiveLayout>(), Err(LayoutError::WrongSizes));
        zoom();
        for pane in floating {
            server.tmux(&["kill-pane", "-t", &pane]);
            let live: LiveLayout = layout().parse().unwrap();
            prop_assert_eq!(live.to_string(), before.as_str());
        }
        prop_assert_eq!(layout(), before);
        Ok(())
    });
}
