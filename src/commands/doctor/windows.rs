//! Whether the record of windows can be read, and keeps up with what tmux has.

use std::time::{Duration, Instant};

use tmux_roster::config::{Place, Settings};
use tmux_roster::model::snapshot::{PaneId, ServerId, SessionId};
use tmux_roster::model::windows::{Seen, SeenWindow, Window, Windows};
use tmux_roster::sorted::{Map, Set};
use tmux_roster::tmux::call::With;
use tmux_roster::tmux::query::Answer;
use tmux_roster::tmux::{ANSWER_LIMIT, TmuxError, call};
use tmux_roster::transaction::pace;
use tmux_roster::{StoreError, panes, persist};

use crate::commands::doctor::{Examination, Repair};
use crate::commands::output::count;

/// How long a look may take to be in the file, beside the time until it begins.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// A look that comes later than this is not waited for.
const LATEST: Duration = Duration::from_secs(5);

pub fn check_windows(
    exam: &mut Examination,
    place: &Place,
    answer: Option<&Answer>,
    settings: Option<&Settings>,
) {
    let is_loaded = settings.is_some_and(|settings| settings.plugin_is_loaded);
    let is_off = settings.is_some_and(|settings| !settings.windows.records);
    let is_looked_at = is_loaded && !is_off;
    let recorded = match persist::read_windows(place) {
        Ok(recorded) => recorded,
        Err(error @ StoreError::Damaged { .. }) => {
            let repair = if is_looked_at { Repair::Look } else { Repair::Windows };
            return exam.mendable("windows", &error.to_string(), repair);
        }
        Err(error @ StoreError::Newer { .. }) => {
            return exam.problem("windows", &error.to_string(), "upgrade tmux-roster");
        }
        Err(error) => {
            return exam.problem("windows", &error.to_string(), "fix it or move it away");
        }
    };
    if is_off {
        if recorded == Windows::default() {
            return exam.ok("windows", "@roster-windows is off: none are recorded");
        }
        let path = place.windows();
        let found = format!(
            "@roster-windows is off: none are recorded; those from before are in {}",
            path.display()
        );
        return exam.note("windows", &found, "delete that file, or leave it");
    }
    let Some(server) = answer.map(|answer| answer.snapshot.server).filter(|_| is_looked_at) else {
        if !recorded.sessions.is_empty() {
            exam.ok("windows", &told(&recorded));
        }
        return;
    };
    if answer.is_some_and(|answer| answer.snapshot.sessions.is_empty()) {
        // Nor can tmux be asked for windows then.
        return;
    }
    match wait_until_kept_up(place, server, recorded) {
        Ok(Kept::Up(recorded)) => {
            exam.ok("windows", &told(&recorded));
            if !recorded.refused.is_empty() {
                let ids: Vec<String> = recorded.refused.iter().map(|id| format!("@{id}")).collect();
                let found = format!("not understood: the layouts of {}", ids.join(", "));
                exam.note("windows", &found, "");
            }
        }
        Ok(Kept::Soon) => exam.ok("windows", "some changed; they are looked at in a few seconds"),
        Ok(Kept::Not(sessions)) => {
            let sessions = count(sessions, "session");
            let found = format!("not kept up: tmux has others than are recorded in {sessions}");
            exam.mendable("windows", &found, Repair::Look);
        }
        // What it lacks is told by other findings.
        Err(TmuxError::NoServer { .. } | TmuxError::Empty) => {}
        Err(error) => exam.problem("windows", &error.to_string(), ""),
    }
}

fn told(recorded: &Windows) -> String {
    let windows = recorded.sessions.values().map(|session| session.to_bring_back().len()).sum();
    let sessions = count(recorded.sessions.len(), "session");
    format!("{} of {sessions} recorded", count(windows, "window"))
}

enum Kept {
    Up(Windows),
    /// A look is about to come, but not at once.
    Soon,
    /// In so many sessions it is not.
    Not(usize),
}

/// Compares what is recorded with what tmux has, as far as a hook tells of each change: of each
/// session what windows it has, and of these what panes. A look that is on its way gets the time
/// to come.
fn wait_until_kept_up(
    place: &Place,
    server: ServerId,
    mut recorded: Windows,
) -> Result<Kept, TmuxError> {
    let due = pace::until_look(place);
    let until = Instant::now() + due.min(LATEST) + LOOK_LIMIT;
    loop {
        let behind = behind(place, server, &recorded)?;
        if behind == 0 {
            return Ok(Kept::Up(recorded));
        }
        if Instant::now() > until {
            return Ok(if due > LATEST { Kept::Soon } else { Kept::Not(behind) });
        }
        std::thread::sleep(Duration::from_millis(100));
        recorded = persist::read_windows(place).unwrap_or_default();
    }
}

/// In how many sessions the record is behind.
fn behind(place: &Place, server: ServerId, recorded: &Windows) -> Result<usize, TmuxError> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let answer =
        call::ask(&place.tmux, With { hooks: false, panes: Some(panes::to_ask()) }, &[], deadline)?;
    let Ok(remembered) = persist::peek(place) else { return Ok(0) };
    if answer.snapshot.server != server || remembered.memory.server != Some(server) {
        return Ok(0);
    }
    let sessions: Map<SessionId, String> = (remembered.memory.sessions.iter())
        .filter(|(_, known)| !known.clone)
        .map(|(id, known)| (*id, known.uuid.clone()))
        .collect();
    let (Seen { sessions, .. }, _) = panes::look(&answer.panes, server, &sessions, &Set::new());
    let is_behind = |(uuid, seen): &(&String, &Vec<SeenWindow>)| {
        let arrangement = recorded.sessions.get(*uuid).filter(|a| a.server == server && a.here);
        arrangement.is_none_or(|arrangement| !is_same(&arrangement.windows, seen))
    };
    Ok(sessions.iter().filter(is_behind).count())
}

/// Whether a session has the windows that are recorded, with their panes. What is not understood of
/// a window leaves its record as it was.
fn is_same(recorded: &[Window], seen: &[SeenWindow]) -> bool {
    let panes =
        |window: &Window| -> Set<PaneId> { window.panes.iter().map(|pane| pane.id).collect() };
    let known: Map<u32, &Window> = recorded.iter().map(|window| (window.id, window)).collect();
    let is_known = |SeenWindow { window, .. }: &SeenWindow| {
        let known = known.get(&window.id);
        known.is_some_and(|known| window.layout.is_none() || panes(known) == panes(window))
    };
    recorded.len() == seen.len() && seen.iter().all(is_known)
}
