//! What sessions are made of, as people and scripts see it: `roster windows`, and what list, show
//! and the picker tell of windows.

use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::config::Place;
use tmux_roster::model::layout::Layout;
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::model::windows::{Bytes, ClosedWindow, Pane, Window, Windows};
use tmux_roster::sorted::Map;
use tmux_roster::{Timestamp, persist};
use unicode_width::UnicodeWidthStr;

use super::context::{Context, Outcome};
use super::inspect::{Row, State, view};
use super::output::{age, cut, cut_inside, json, layout, print, tilde, visible, warn};
use super::target::not_found;
use crate::cli;

/// The widest that a window's index, name and flags are shown.
const LABEL: usize = 24;

/// No column of a window gets narrower than this.
const NARROWEST: usize = 8;

/// What stands for what is not known, where columns must not be empty.
pub const NOTHING: &str = "-";

/// What stands for the name of a window that tmux names by itself, after what runs there: of that
/// nothing is recorded where no option names it.
const UNNAMED: &str = "(auto)";

/// What is recorded of windows.
pub struct Recorded(Windows);

impl Recorded {
    /// Reads it. Where that fails this is said, and nothing is known of windows.
    pub fn read(place: &Place) -> Recorded {
        Recorded(persist::read_windows(place).unwrap_or_else(|error| {
            warn(&format!("windows are not shown: {error}"));
            Windows::default()
        }))
    }

    /// The same for who has no place to say something.
    pub fn read_silently(place: &Place) -> Recorded {
        Recorded(persist::read_windows(place).unwrap_or_default())
    }

    /// Nothing, for who needs none of it.
    pub fn none() -> Recorded {
        Recorded(Windows::default())
    }

    /// The windows of a session: of one that lives on `server` as last seen there, of one that does
    /// not what would come back. None if nothing is recorded of it.
    pub fn of(&self, uuid: &str, state: State, server: Option<ServerId>) -> Vec<Window> {
        let Some(arrangement) = self.0.sessions.get(uuid) else { return Vec::new() };
        match state {
            // It has come back, and was not looked at since.
            State::Live if Some(arrangement.server) != server => Vec::new(),
            State::Live | State::Unreachable => arrangement.windows.clone(),
            State::Lost | State::Closed => arrangement.to_bring_back(),
        }
    }

    pub fn of_row(&self, row: &Row, server: Option<ServerId>) -> Vec<Window> {
        self.of(&row.session.uuid, row.state, server)
    }

    /// The windows that were closed in a session, newest first.
    pub fn closed_of(&self, uuid: &str) -> Vec<ClosedWindow> {
        let mut closed = self.0.all_closed();
        closed.retain(|entry| entry.session == uuid);
        closed
    }

    /// How many windows a session has, as tmux says, or had, where that is known.
    pub fn count(&self, row: &Row) -> Option<usize> {
        match &row.live {
            Some(live) => Some(live.windows as usize),
            None => Some(self.of_row(row, None).len()).filter(|count| *count > 0),
        }
    }
}

/// A window as scripts get it.
#[derive(Serialize)]
pub struct JsonWindow {
    index: u32,
    name: Option<Bytes>,
    layout: Option<Layout>,
    active: bool,
    last: bool,
    zoomed: bool,
    synchronized: bool,
    panes: Vec<JsonPane>,
}

#[derive(Serialize)]
struct JsonPane {
    directory: Option<Bytes>,
    title: Option<Bytes>,
    active: bool,
    program: Vec<Bytes>,
}

impl From<Window> for JsonWindow {
    fn from(window: Window) -> Self {
        let panes = window.panes.into_iter().map(|pane| JsonPane {
            directory: pane.directory,
            title: pane.title,
            active: pane.active,
            program: pane.program,
        });
        JsonWindow {
            index: window.index,
            name: window.name,
            layout: window.layout,
            active: window.active,
            last: window.last,
            zoomed: window.zoomed,
            synchronized: window.synchronized,
            panes: panes.collect(),
        }
    }
}

/// A closed window as scripts get it.
#[derive(Serialize)]
struct JsonClosed {
    session: String,
    uuid: String,
    closed_at: Timestamp,
    #[serde(flatten)]
    window: JsonWindow,
}

/// Prints the windows that were closed while their sessions lived on.
pub fn print_closed(context: &Context, place: &Place, args: &cli::Closed) -> Outcome {
    let Recorded(windows) = Recorded::read(place);
    let remembered = persist::peek(place)?;
    let recorded = remembered.registry.sessions.values();
    let sessions = recorded.chain(remembered.closed.closed.iter().map(|entry| &entry.session));
    let names: Map<&str, &str> =
        sessions.map(|session| (session.uuid.as_str(), session.name.as_str())).collect();
    let mut closed = windows.all_closed();
    closed.retain(|entry| names.contains_key(entry.session.as_str()));
    if args.json {
        let rows = closed.into_iter().map(|entry| JsonClosed {
            session: names[entry.session.as_str()].to_owned(),
            uuid: entry.session,
            closed_at: entry.closed_at,
            window: entry.window.into(),
        });
        json(&rows.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    if closed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let now = Timestamp::now();
    let mut table = vec![["WINDOW", "SESSION", "PANES", "WORKDIR", "CLOSED"].map(str::to_owned)];
    for entry in &closed {
        let window = &entry.window;
        let directory = window.panes.iter().find_map(|pane| pane.directory.as_ref());
        let directory = directory.map(|path| String::from_utf8_lossy(&path.0).into_owned());
        table.push([
            format!("{}:{}", window.index, visible(&name(window))),
            visible(names[entry.session.as_str()]),
            window.panes.len().to_string(),
            directory.map_or_else(|| NOTHING.into(), |path| visible(&tilde(context, &path))),
            age(entry.closed_at, now),
        ]);
    }
    let styles: Vec<&str> =
        std::iter::once("1").chain(std::iter::repeat_n("2", closed.len())).collect();
    print(&layout(&table, &styles))?;
    Ok(ExitCode::SUCCESS)
}

/// All windows of a session as scripts get them.
pub fn json_windows(windows: Vec<Window>) -> Vec<JsonWindow> {
    windows.into_iter().map(JsonWindow::from).collect()
}

pub fn windows(context: &Context, args: &cli::Windows) -> Outcome {
    #[derive(Serialize)]
    struct JsonSession<'a> {
        session: &'a str,
        uuid: &'a str,
        state: State,
        windows: Vec<JsonWindow>,
    }
    let place = context.place()?;
    let recorded = Recorded(persist::read_windows(&place)?);
    let view = view(&place)?;
    let rows: Vec<&Row> = match &args.name {
        Some(name) => vec![view.named(name).ok_or_else(|| not_found(name, &mut view.names()))?],
        None => view.rows.iter().filter(|row| row.state != State::Closed).collect(),
    };
    if args.json {
        let sessions = rows.iter().map(|row| JsonSession {
            session: &row.session.name,
            uuid: &row.session.uuid,
            state: row.state,
            windows: json_windows(recorded.of_row(row, view.server)),
        });
        json(&sessions.collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = String::new();
    for row in &rows {
        let windows = recorded.of_row(row, view.server);
        if windows.is_empty() && args.name.is_some() {
            warn(&format!("no windows of {:?} are recorded", row.session.name));
        }
        for window in &windows {
            for (number, pane) in window.panes.iter().enumerate() {
                text.push_str(&line(&row.session.name, window, number, pane));
            }
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// A pane as a line for scripts. Only the last column may be empty: a shell that splits a line at
/// tabs takes several for one.
fn line(session: &str, window: &Window, number: usize, pane: &Pane) -> String {
    let known = |bytes: Option<&Bytes>| match bytes.map(text) {
        Some(text) if !text.is_empty() => text,
        _ => NOTHING.to_owned(),
    };
    let flag = |is_so: bool| if is_so { "1" } else { "0" };
    let columns = [
        &visible(session),
        &window.index.to_string(),
        &known(window.name.as_ref()),
        &number.to_string(),
        flag(window.active),
        flag(pane.active),
        &known(pane.directory.as_ref()),
        &program(pane),
    ];
    columns.join("\t") + "\n"
}

fn text(bytes: &Bytes) -> String {
    visible(&String::from_utf8_lossy(&bytes.0))
}

/// The words of a pane's program, as a shell takes them; empty where it is none that is recorded.
fn program(pane: &Pane) -> String {
    let words: Vec<_> = pane.program.iter().map(|word| String::from_utf8_lossy(&word.0)).collect();
    visible(&shell_words::join(words))
}

/// A window's name; of one that tmux names by itself, what runs in it.
fn name(window: &Window) -> String {
    if let Some(name) = window.name.as_ref().map(text).filter(|name| !name.is_empty()) {
        return name;
    }
    let active = window.panes.iter().find(|pane| pane.active).or(window.panes.first());
    let program = active.and_then(|pane| pane.program.first()).map(text);
    let program = program.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned());
    program.filter(|name| !name.is_empty()).unwrap_or_else(|| UNNAMED.into())
}

/// A window as tmux's status line has it: `0:name*Z`.
fn label(window: &Window) -> String {
    let mut flags = String::new();
    for (is_so, flag) in
        [(window.active, "*"), (window.last, "-"), (window.zoomed, "Z"), (window.synchronized, "=")]
    {
        flags.push_str(if is_so { flag } else { "" });
    }
    let index = window.index;
    let room = LABEL.saturating_sub(index.to_string().len() + 1 + flags.len());
    format!("{index}:{}{flags}", cut(&name(window), room))
}

/// The windows on one line.
pub fn strip(windows: &[Window], room: usize) -> String {
    let labels: Vec<String> = windows.iter().map(label).collect();
    cut(&labels.join("  "), room)
}

/// The closed windows on one line, newest first, and what brings the first back.
pub fn strip_of_closed(closed: &[ClosedWindow], room: usize) -> String {
    let now = Timestamp::now();
    let labels =
        closed.iter().map(|entry| format!("{} {}", closed_label(entry), age(entry.closed_at, now)));
    cut(&format!("closed (alt-w): {}", labels.collect::<Vec<_>>().join(", ")), room)
}

/// A closed window's index and name.
pub fn closed_label(closed: &ClosedWindow) -> String {
    format!("{}:{}", closed.window.index, cut(&name(&closed.window), LABEL))
}

/// The windows as lines of so many columns, a line for each pane: the window, the directory and the
/// program, with a mark at the active one of several panes.
pub fn lines(context: &Context, windows: &[Window], room: usize) -> Vec<String> {
    let mut rows: Vec<[String; 3]> = Vec::new();
    let has_marks = windows.iter().any(|window| window.panes.len() > 1);
    for window in windows {
        let mut label = label(window);
        let is_one = window.panes.len() < 2;
        for pane in &window.panes {
            let mark = match pane.active && !is_one {
                true => "> ",
                false if has_marks => "  ",
                false => " ",
            };
            let directory = pane.directory.as_ref().map(text).unwrap_or_default();
            let directory = tilde(context, &directory);
            rows.push([std::mem::take(&mut label), format!("{mark}{directory}"), program(pane)]);
        }
    }
    let mut widths = [0; 3];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let gaps = if widths[2] > 0 { 3 } else { 1 };
    while widths.iter().sum::<usize>() + gaps > room {
        let widest = (0..3).max_by_key(|&at| widths[at]).unwrap_or(0);
        if widths[widest] <= NARROWEST {
            break;
        }
        widths[widest] -= 1;
    }
    let shown = rows.iter().map(|[label, directory, program]| {
        let label = cut(label, widths[0]);
        // The end of a path tells most.
        let directory = cut_inside(directory, widths[1]);
        let padding = |text: &str, width: usize| " ".repeat(width.saturating_sub(text.width()));
        let line = format!(
            "{label}{} {directory}{}  {}",
            padding(&label, widths[0]),
            padding(&directory, widths[1]),
            cut(program, widths[2])
        );
        line.trim_end().to_owned()
    });
    shown.collect()
}

/// What `roster show` says of windows, below its other lines and indented like these.
pub fn block(context: &Context, windows: &[Window], columns: usize) -> String {
    let mut block = String::new();
    let room = columns.saturating_sub(10).max(3 * NARROWEST);
    for (at, line) in lines(context, windows, room).iter().enumerate() {
        let heading = if at == 0 { "windows" } else { "" };
        block.push_str(&format!("{heading:<9} {line}\n"));
    }
    block
}

#[cfg(test)]
mod tests {
    use tmux_roster::model::snapshot::PaneId;

    use super::*;

    fn pane(directory: &str, program: &[&str]) -> Pane {
        Pane {
            called: None,
            belongs: None,
            id: PaneId(0),
            directory: Some(directory.as_bytes().into()),
            title: None,
            active: false,
            program: program.iter().map(|word| word.as_bytes().into()).collect(),
        }
    }

    fn window(index: u32, name: Option<&str>, panes: Vec<Pane>) -> Window {
        Window {
            id: index,
            index,
            name: name.map(|name| name.as_bytes().into()),
            layout: None,
            active: false,
            last: false,
            zoomed: false,
            synchronized: false,
            command: false,
            since: Timestamp::ZERO,
            panes,
            index_before: None,
            fuller: None,
        }
    }

    #[test]
    fn no_line_is_wider_than_there_is_room() {
        let context = Context::new(None, None);
        let long = "/very/long/".repeat(20) + "end";
        let windows = [
            window(0, Some(&"name".repeat(20)), vec![pane(&long, &["less", &"x".repeat(200)])]),
            window(1000, None, vec![pane("/a", &["/usr/bin/vim"]), pane(&long, &[])]),
        ];
        for room in [24, 40, 80, 200] {
            for line in lines(&context, &windows, room) {
                assert!(line.width() <= room.max(3 * NARROWEST + 3), "{room}: {line}");
            }
        }
        let wide = lines(&context, &windows, 80);
        assert!(wide[0].contains("…") && wide[0].contains("end"), "{wide:?}");
        assert!(wide[1].starts_with("1000:vim "), "{wide:?}");
        assert_eq!(strip(&windows[1..], 80), "1000:vim");
    }
}
