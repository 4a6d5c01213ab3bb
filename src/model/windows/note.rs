//! From what is recorded of windows and what a server shows, to what is to be recorded.
//!
//! A loss is not a change until the server has outlived it: at a shutdown panes and windows end
//! before the server does, one after another. So what vanished is kept, and comes back with its
//! session, until the server has run on for [`LOOK_AFTER`] seconds after the last loss, or for ten
//! minutes after this one.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::{Arrangement, ClosedWindow, Fuller, Pane, Vanished, Window, Windows};
use crate::model::reconcile::{CLOSE_GRACE, LONGEST_SHUTDOWN, LOOK_AFTER, TIMER_SLACK, is_awaited};
use crate::model::snapshot::{PaneId, ServerId};
use crate::model::time::Timestamp;

/// How many closed windows of one session are kept.
const CLOSED_OF_ONE: usize = 10;

/// How many closed windows are kept.
const CLOSED_OF_ALL: usize = 50;

/// What a server has: a complete answer.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The server that answered.
    pub server: ServerId,
    /// The windows of each session that is recorded, by UUID. What is not known of a window is left
    /// as it was: see [`SeenWindow`].
    pub sessions: BTreeMap<String, Vec<SeenWindow>>,
    /// All windows that live, in whatever session.
    pub windows: HashSet<u32>,
    /// All panes that live.
    pub panes: HashSet<PaneId>,
}

/// A window as seen. A layout, a title or a directory of `None` is not known, and stays as it was.
#[derive(Debug, Clone)]
pub struct SeenWindow {
    /// What was seen.
    pub window: Window,
    /// Whether the name may be a program's, which nobody allowed: it stays as it was.
    pub is_name_of_program: bool,
}

/// Brings the record into step with what was seen, and tells when another look is to be taken.
/// What belongs to no session of `kept` is dropped.
pub fn note(
    before: &Windows,
    seen: Seen,
    is_kept: impl Fn(&str) -> bool,
    keeps_closed: bool,
    now: Timestamp,
) -> (Windows, Option<Duration>) {
    let server = seen.server;
    let is_same_server = before.server == Some(server);
    // Of a server that has ended nothing is believed any more.
    let last_loss = before.last_loss.filter(|_| is_same_server);
    // The clock may have been set back.
    let last_loss = last_loss.map(|last| if last > now { now } else { last });
    // What vanished since the last look may have done so at any moment since.
    let has_new = has_new_losses(before, &seen);
    let mut work = Work {
        server,
        now,
        is_over: !has_new && last_loss.is_some_and(|last| now.seconds_since(last) >= CLOSE_GRACE),
        last_loss: if has_new { Some(now) } else { last_loss },
        closed: Vec::new(),
        old: HashMap::new(),
        titles: HashMap::new(),
        seen: &seen,
    };
    for arrangement in before.sessions.values().filter(|a| a.server == server) {
        for window in
            arrangement.windows.iter().chain(arrangement.vanished.iter().map(|v| &v.window))
        {
            work.old.insert(window.id, window);
            work.titles.extend(window.panes.iter().map(|pane| (pane.id, pane)));
        }
    }
    let mut sessions = BTreeMap::new();
    for (uuid, arrangement) in &before.sessions {
        if !is_kept(uuid) {
            continue;
        }
        let next = match seen.sessions.get(uuid) {
            Some(windows) if arrangement.server == server && arrangement.here => {
                work.next(uuid, arrangement, windows)
            }
            Some(windows) => work.made_anew(uuid, arrangement, windows),
            // It keeps what comes back with it.
            None => Arrangement { here: false, ..arrangement.clone() },
        };
        sessions.insert(uuid.clone(), next);
    }
    for (uuid, windows) in &seen.sessions {
        if !sessions.contains_key(uuid) && is_kept(uuid) {
            let windows = windows.iter().map(|window| work.window(window)).collect();
            let new = Arrangement { server, here: true, windows, vanished: Vec::new() };
            sessions.insert(uuid.clone(), new);
        }
    }
    let Work { last_loss, mut closed, .. } = work;
    closed.extend(before.closed.iter().filter(|entry| is_kept(&entry.session)).cloned());
    // One that another tool brings back comes after its session.
    closed.retain(|entry| {
        let arrangement = sessions.get(&entry.session).filter(|a| a.here);
        let windows = arrangement.map_or(&[][..], |arrangement| &arrangement.windows);
        entry.server == server || !windows.iter().any(|new| came_back(new, &entry.window))
    });
    if !keeps_closed {
        closed.clear();
    }
    trim(&mut closed);
    let is_due = sessions.values().any(|a| a.server == server && a.here && a.is_unproven());
    let look_at = before.look_at.filter(|at| is_same_server && is_due && is_awaited(*at, now));
    let last_loss = last_loss.filter(|_| is_due);
    let look = last_loss.filter(|_| look_at.is_none()).map(|last| {
        let left = (LOOK_AFTER - now.seconds_since(last)).clamp(TIMER_SLACK, LOOK_AFTER);
        Duration::from_secs_f64(left)
    });
    let look_at = look.map(|left| now.plus(left)).or(look_at);
    let next =
        Windows { server: Some(server), sessions, last_loss, look_at, closed, ..before.clone() };
    (next, look)
}

/// Whether something of this server vanished since it was last asked.
fn has_new_losses(before: &Windows, seen: &Seen) -> bool {
    let is_here = |(_, a): &(&String, &Arrangement)| a.server == seen.server && a.here;
    before.sessions.iter().filter(is_here).any(|(uuid, arrangement)| {
        let is_gone = |pane: &Pane| !seen.panes.contains(&pane.id);
        let has_lost = |window: &Window| {
            !seen.windows.contains(&window.id) || window.panes.iter().any(is_gone)
        };
        !seen.sessions.contains_key(uuid) || arrangement.windows.iter().any(has_lost)
    })
}

/// Whether a window is the one that a session had on another server.
fn came_back(new: &Window, window: &Window) -> bool {
    let directories = |window: &Window| -> Vec<_> {
        window.panes.iter().map(|pane| pane.directory.clone()).collect()
    };
    new.index == window.index && new.panes.len() == window.panes.len()
        || directories(new) == directories(window)
}

struct Work<'a> {
    server: ServerId,
    now: Timestamp,
    /// Whether the server has outlived its last loss.
    is_over: bool,
    last_loss: Option<Timestamp>,
    closed: Vec<ClosedWindow>,
    /// What this server had, by the numbers of the windows' ids.
    old: HashMap<u32, &'a Window>,
    titles: HashMap<PaneId, &'a Pane>,
    seen: &'a Seen,
}

impl Work<'_> {
    /// A session that lives where it lived.
    fn next(&mut self, uuid: &str, before: &Arrangement, windows: &[SeenWindow]) -> Arrangement {
        let mut vanished = Vec::new();
        for gone in &before.vanished {
            if self.seen.windows.contains(&gone.window.id) {
                continue;
            }
            if self.is_believed(gone.vanished_at) {
                self.close(uuid, gone.window.whole(), gone.vanished_at);
            } else {
                vanished.push(gone.clone());
            }
        }
        for window in &before.windows {
            if self.seen.windows.contains(&window.id) {
                continue;
            }
            // What of it lives on in other windows is there.
            if !self.lives_on(&window.panes) {
                let window = self.without_what_lives(window);
                vanished.push(Vanished { vanished_at: self.now, window });
            }
        }
        let windows = windows.iter().map(|window| self.window(window)).collect();
        Arrangement { server: self.server, here: true, windows, vanished }
    }

    /// A session that lives again: what did not come back with it is closed.
    fn made_anew(
        &mut self,
        uuid: &str,
        before: &Arrangement,
        windows: &[SeenWindow],
    ) -> Arrangement {
        let windows: Vec<Window> = windows.iter().map(|window| self.window(window)).collect();
        for window in before.to_bring_back() {
            let lives = before.server == self.server && self.seen.windows.contains(&window.id);
            if !lives && !windows.iter().any(|new| came_back(new, &window)) {
                let server = before.server;
                let session = uuid.to_owned();
                self.closed.push(ClosedWindow { session, closed_at: self.now, server, window });
            }
        }
        Arrangement { server: self.server, here: true, windows, vanished: Vec::new() }
    }

    /// A window, with what is known of it from before.
    fn window(&mut self, seen: &SeenWindow) -> Window {
        let SeenWindow { window, is_name_of_program } = seen;
        let mut window = window.clone();
        for pane in &mut window.panes {
            let Some(old) = self.titles.get(&pane.id) else { continue };
            pane.title = pane.title.take().or_else(|| old.title.clone());
            pane.directory = pane.directory.take().or_else(|| old.directory.clone());
        }
        let Some(old) = self.old.get(&window.id).copied() else {
            window.since = self.now;
            if *is_name_of_program {
                window.name = None;
            }
            return window;
        };
        window.since = old.since;
        if *is_name_of_program {
            window.name.clone_from(&old.name);
        }
        let is_same = || old.panes.iter().all(|pane| self.seen.panes.contains(&pane.id));
        if window.layout.is_none() && is_same() {
            // What is not understood changes nothing.
            window.layout.clone_from(&old.layout);
            window.panes.clone_from(&old.panes);
            window.zoomed = old.zoomed;
        }
        let here: HashSet<PaneId> = window.panes.iter().map(|pane| pane.id).collect();
        // A pane that lives in another window must not come back twice.
        let is_all_here = |panes: &[Pane]| {
            panes.iter().all(|pane| here.contains(&pane.id) || !self.seen.panes.contains(&pane.id))
        };
        let fuller = old.fuller.clone();
        let fuller = fuller.filter(|f| !self.is_believed(f.vanished_at) && is_all_here(&f.panes));
        let has_lost = old.panes.iter().any(|pane| !self.seen.panes.contains(&pane.id));
        window.fuller = match fuller {
            Some(fuller) if !has_lost || fuller.panes.len() >= old.panes.len() => Some(fuller),
            _ if has_lost && is_all_here(&old.panes) => Some(Fuller {
                vanished_at: self.now,
                layout: old.layout.clone(),
                panes: old.panes.clone(),
            }),
            fuller => fuller,
        };
        window
    }

    /// Whether what vanished then has been outlived.
    fn is_believed(&self, vanished_at: Timestamp) -> bool {
        self.is_over || self.now.seconds_since(vanished_at) >= LONGEST_SHUTDOWN
    }

    fn lives_on(&self, panes: &[Pane]) -> bool {
        panes.iter().any(|pane| self.seen.panes.contains(&pane.id))
    }

    /// A window that vanished: of its fuller form only if nothing of that lives elsewhere.
    fn without_what_lives(&self, window: &Window) -> Window {
        let fuller = window.fuller.clone().filter(|fuller| !self.lives_on(&fuller.panes));
        Window { fuller, ..window.clone() }
    }

    fn close(&mut self, uuid: &str, window: Window, closed_at: Timestamp) {
        // One that was in two sessions is closed once.
        let is_same = |entry: &ClosedWindow| entry.window.id == window.id;
        if !self.closed.iter().any(is_same) {
            let (session, server) = (uuid.to_owned(), self.server);
            self.closed.insert(0, ClosedWindow { session, closed_at, server, window });
        }
    }
}

fn trim(closed: &mut Vec<ClosedWindow>) {
    closed.sort_by_key(|entry| Reverse(entry.closed_at));
    let mut counts: HashMap<String, usize> = HashMap::new();
    closed.retain(|entry| {
        let count = counts.entry(entry.session.clone()).or_default();
        *count += 1;
        *count <= CLOSED_OF_ONE
    });
    closed.truncate(CLOSED_OF_ALL);
}
