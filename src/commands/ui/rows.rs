//! The sessions as lines of the picker, in columns that fit.

use std::cmp::Reverse;

use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::sorted::sort_by_key;
use tmux_roster::{Timestamp, health};
use unicode_width::UnicodeWidthStr;

use crate::commands::context::Context;
use crate::commands::inspect::{Row, State, View};
use crate::commands::output::{age, cut, cut_apart, cut_start, tilde, visible};
use crate::commands::windows::Recorded;

const HEADINGS: [&str; 6] = ["NAME", "STATE", "MODE", "WIN", "USED", "WORKDIR"];
const NAME: usize = 0;
const STATE: usize = 1;
const MODE: usize = 2;
const WINDOWS: usize = 3;
const USED: usize = 4;
const WORKDIR: usize = 5;

/// The widest of each column.
const WIDEST: [usize; 6] = [40, 15, 10, 5, 5, 60];

/// What names and directories are cut to, before another column goes.
const NARROW: usize = 10;

/// What directories are cut to, before names are.
const ENOUGH: usize = 14;

/// The sessions as the picker lists them.
pub struct Listed<'a> {
    pub heading: String,
    pub rows: Vec<(&'a Row, String)>,
}

/// Lines of at most `room` columns, each with a mark before the current session. Two spaces or more
/// stand between all of what is in a line.
pub fn listed<'a>(
    context: &Context,
    recorded: &Recorded,
    view: &'a View,
    current: Option<SessionId>,
    room: usize,
) -> Listed<'a> {
    let rows = sorted(view);
    let now = Timestamp::now();
    let cells = rows.iter().map(|row| cells(context, recorded, view, row, now));
    let cells: Vec<[String; 6]> = cells.collect();
    let widths = widths(&cells, room.saturating_sub(3));
    let names: Vec<String> = cells.iter().map(|cells| cells[NAME].clone()).collect();
    let names = cut_apart(&names, widths[NAME]);
    let lines = cells.into_iter().zip(names).map(|(mut cells, name)| {
        cells[NAME] = name;
        cells[WORKDIR] = cut_start(&cells[WORKDIR], widths[WORKDIR]);
        line(&cells, &widths)
    });
    let marked = |(row, line): (&'a Row, String)| {
        let here = row.live.as_ref().map(|live| live.id);
        let mark = if here.is_some() && here == current { "*  " } else { "   " };
        (row, mark.to_owned() + &line)
    };
    let rows = rows.iter().copied().zip(lines).map(marked).collect();
    Listed { heading: format!("   {}", line(&HEADINGS.map(str::to_owned), &widths)), rows }
}

/// Live ones, then lost ones, then closed ones, each by what USED shows; last of the closed ones what
/// never was more than a start of tmux.
fn sorted(view: &View) -> Vec<&Row> {
    let is_shown = |row: &&Row| is_uuid(&row.session.uuid) && !row.is_older;
    let mut rows: Vec<&Row> = view.rows.iter().filter(is_shown).collect();
    sort_by_key(&mut rows, |row| {
        let session = &row.session;
        let used = Reverse(used(row));
        (row.state as u8, row.is_passing, used, Reverse(session.created_at), &session.name)
    });
    rows
}

/// When a client last came to it, or a closed one was closed.
fn used(row: &Row) -> Timestamp {
    row.closed_at.unwrap_or(row.session.last_attached_at)
}

fn cells(
    context: &Context,
    recorded: &Recorded,
    view: &View,
    row: &Row,
    now: Timestamp,
) -> [String; 6] {
    let session = &row.session;
    let state = match (row.state, session.last_health_status.as_str()) {
        (State::Live, health) if !health.is_empty() && !health::is_well(health) => visible(health),
        _ => row.state(),
    };
    [
        visible(&session.name),
        state,
        visible(view.mode_to_show(session)),
        recorded.count(row).map(|count| count.to_string()).unwrap_or_default(),
        age(used(row), now),
        visible(&tilde(context, &session.workdir)),
    ]
}

/// How wide each column is; 0 if nothing stands in it, or there is no room for it.
fn widths(cells: &[[String; 6]], room: usize) -> [usize; 6] {
    let mut widths: [usize; 6] = std::array::from_fn(|at| {
        let widest = cells.iter().map(|row| row[at].width()).max().unwrap_or(0);
        let is_needed = widest > 0 || cells.is_empty();
        if is_needed { widest.max(HEADINGS[at].width()).min(WIDEST[at]) } else { 0 }
    });
    let total = |widths: &[usize; 6]| {
        let shown = widths.iter().filter(|width| **width > 0);
        shown.map(|width| width + 2).sum::<usize>().saturating_sub(2)
    };
    let mut least = widths;
    for at in [NAME, WORKDIR] {
        least[at] = least[at].min(NARROW);
    }
    for at in [WINDOWS, USED, MODE, WORKDIR, STATE] {
        if total(&least) > room {
            (least[at], widths[at]) = (0, 0);
        }
    }
    least[NAME] = least[NAME].min(room);
    while total(&widths) > room {
        let [name, workdir] = [widths[NAME], widths[WORKDIR]];
        let at = if workdir > ENOUGH || (workdir >= name && workdir > least[WORKDIR]) {
            WORKDIR
        } else if name > least[NAME] {
            NAME
        } else if workdir > least[WORKDIR] {
            WORKDIR
        } else {
            break;
        };
        widths[at] -= 1;
    }
    widths
}

fn line(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let shown = cells.iter().zip(widths).filter(|(_, width)| **width > 0);
    let padded = shown.map(|(cell, width)| {
        let cell = cut(cell, *width);
        let padding = width.saturating_sub(cell.width());
        cell + &" ".repeat(padding)
    });
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use tmux_roster::Session;
    use tmux_roster::model::snapshot::{LiveSession, Workdir};
    use tmux_roster::tmux::Version;

    use super::*;

    fn row(at: u32, name: &str, workdir: &str, mode: &str, state: State) -> Row {
        let uuid = format!("3b241101-e2bb-4255-8caf-4136c566{at:04}");
        let mut session = Session::with(name, workdir, mode, uuid, Timestamp::ZERO);
        session.last_attached_at = Timestamp::from_unix(i64::from(at)).unwrap();
        let live = LiveSession {
            id: SessionId(at),
            name: name.into(),
            workdir: Workdir::Unknown,
            created: Timestamp::ZERO,
            last_attached: None,
            windows: 12,
            stamp: String::new(),
            mode: String::new(),
            health: String::new(),
            group: Vec::new(),
            pane_dead: false,
        };
        Row::new(session, state, (state == State::Live).then_some(live))
    }

    fn view(default_mode: &str) -> View {
        let mut rows = vec![
            row(1, "api", "/srv/api", "safe", State::Live),
            row(
                2,
                "customer-portal-backend-service-1",
                "/srv/a/long/way/to/api",
                "safe",
                State::Live,
            ),
            row(
                3,
                "customer-portal-backend-service-2",
                "/srv/a/long/way/to/api",
                "safe",
                State::Lost,
            ),
            row(4, "日本語日本語日本語日本語", "/日本語/日本語/日本語", "yolo", State::Live),
        ];
        rows[0].session.last_health_status = "ok".into();
        rows[3].session.last_health_status = "workdir-missing".into();
        let mut closed = row(5, "old", "/srv/old", "safe", State::Closed);
        (closed.closed_at, closed.older) = (Timestamp::from_unix(9), 2);
        rows.push(closed);
        let (version, default_mode) = (Version::parse("3.3a"), default_mode.to_owned());
        View { rows, version, server: None, default_mode }
    }

    fn shown(view: &View, room: usize) -> Vec<String> {
        let context = Context::new(None, None);
        let listed = listed(&context, &Recorded::none(), view, Some(SessionId(1)), room);
        let lines = listed.rows.into_iter().map(|(_, line)| line);
        std::iter::once(listed.heading).chain(lines).collect()
    }

    #[test]
    fn lines_fit_and_stay_apart_however_little_room_there_is() {
        let view = view("safe");
        for room in 3..220 {
            let lines = shown(&view, room);
            for line in &lines {
                assert!(line.width() <= room, "{room}: {line:?}");
            }
            let mut different = lines.clone();
            different.sort_unstable();
            different.dedup();
            assert!(room < 15 || different.len() == lines.len(), "{room}: {lines:#?}");
        }
    }

    #[test]
    fn what_the_picker_lists_is_as_reviewed() {
        let mut view = view("safe");
        let mut text = String::new();
        for room in [30, 54, 79] {
            text.push_str(&format!("{}\n\n", shown(&view, room).join("\n")));
        }
        view.rows.retain(|row| row.session.mode == "safe");
        text.push_str(&shown(&view, 54).join("\n"));
        // Ages in years pass, and so does this.
        let age = age(Timestamp::from_unix(1).unwrap(), Timestamp::now());
        let text = text.replace(&age, &"Y".repeat(age.len()));
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.set_snapshot_path("../../../tests/it/snapshots");
        settings.bind(|| insta::assert_snapshot!("picker", text));
    }
}
