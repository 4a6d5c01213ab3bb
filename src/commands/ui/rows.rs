//! The sessions as lines of the picker, in columns that fit.

use std::cmp::Reverse;

use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::SessionId;
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

/// Lines of at most `room` columns, each with a mark before the current session.
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
    let widths = widths(&cells, room.saturating_sub(2));
    let names: Vec<String> = cells.iter().map(|cells| cells[NAME].clone()).collect();
    let names = cut_apart(&names, widths[NAME]);
    let lines = cells.into_iter().zip(names).map(|(mut cells, name)| {
        cells[NAME] = name;
        cells[WORKDIR] = cut_start(&cells[WORKDIR], widths[WORKDIR]);
        line(&cells, &widths)
    });
    let marked = |(row, line): (&'a Row, String)| {
        let here = row.live.as_ref().map(|live| live.id);
        let mark = if here.is_some() && here == current { "* " } else { "  " };
        (row, mark.to_owned() + &line)
    };
    let rows = rows.iter().copied().zip(lines).map(marked).collect();
    Listed { heading: format!("  {}", line(&HEADINGS.map(str::to_owned), &widths)), rows }
}

/// Live ones, then lost ones, then closed ones, each by what USED shows; last of the closed ones what
/// never was more than a start of tmux.
fn sorted(view: &View) -> Vec<&Row> {
    let is_shown = |row: &&Row| is_uuid(&row.session.uuid) && !row.is_older;
    let mut rows: Vec<&Row> = view.rows.iter().filter(is_shown).collect();
    rows.sort_unstable_by_key(|row| {
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
        // What is well needs no word.
        (State::Live, "" | health::OK) => row.state(),
        (State::Live, health) => visible(health),
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
