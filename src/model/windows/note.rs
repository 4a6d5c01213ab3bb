//! From what is recorded of windows and what a server shows, to what is to be recorded.
//!
//! A loss is not a change until the server has outlived it: at a shutdown panes and windows end
//! before the server does, one after another. So what vanished is kept, and comes back with its
//! session, until the server has run on for [`LOOK_AFTER`] seconds after the last loss, or for ten
//! minutes after this one.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Arrangement, ClosedWindow, Fuller, Missing, Pane, Vanished, Window, Windows};
use crate::model::reconcile::{CLOSE_GRACE, LONGEST_SHUTDOWN, LOOK_AFTER, TIMER_SLACK, is_awaited};
use crate::model::snapshot::{PaneId, ServerId};
use crate::model::time::Timestamp;
use crate::sorted::{Map, Set, sort_by_key};

/// How many closed windows of one session are kept.
const CLOSED_OF_ONE: usize = 10;

/// How many closed windows are kept.
const CLOSED_OF_ALL: usize = 50;

/// How many windows of servers before this one are kept.
const CLOSED_BEFORE: usize = 200;

/// How long the windows of a session of which there is no record are kept, in seconds: one that was
/// damaged or cleared may be recovered.
const ORPHAN_KEPT: f64 = 24.0 * 60.0 * 60.0;

/// What a server has: a complete answer.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The server that answered.
    pub server: ServerId,
    /// The windows of each session that is recorded, by UUID. What is not known of a window is left
    /// as it was: see [`SeenWindow`].
    pub sessions: Map<String, Vec<SeenWindow>>,
    /// All windows that live, in whatever session.
    pub windows: Set<u32>,
    /// All panes that live.
    pub panes: Set<PaneId>,
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
/// What belongs to no session that is kept is dropped after a day.
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
    let living = |windows: &[SeenWindow]| -> Vec<(PaneId, u32)> {
        let panes = |seen: &SeenWindow| {
            let id = seen.window.id;
            seen.window.panes.iter().map(|pane| (pane.id, id)).collect::<Vec<_>>()
        };
        windows.iter().flat_map(panes).collect()
    };
    let mut arrangements: Vec<&Arrangement> =
        before.sessions.values().filter(|a| a.server == server).collect();
    // A session that is gone may have had a window that lives in another: this one knows better.
    sort_by_key(&mut arrangements, |arrangement| arrangement.here);
    let old = arrangements.into_iter().flat_map(|arrangement| {
        let vanished = arrangement.vanished.iter().map(|vanished| &vanished.window);
        arrangement.windows.iter().chain(vanished).map(|window| (window, arrangement.here))
    });
    let old: Vec<(&Window, bool)> = old.collect();
    let panes = old.iter().flat_map(|(window, _)| &window.panes);
    let mut work = Work {
        server,
        now,
        is_over: !has_new && last_loss.is_some_and(|last| now.seconds_since(last) >= CLOSE_GRACE),
        last_loss: if has_new { Some(now) } else { last_loss },
        closed: Vec::new(),
        titles: panes.map(|pane| (pane.id, pane)).collect(),
        old: old.into_iter().map(|(window, here)| (window.id, (window, here))).collect(),
        recorded: seen.sessions.values().flat_map(|windows| living(windows)).collect(),
        seen: &seen,
    };
    let mut sessions = Map::new();
    for (uuid, arrangement) in &before.sessions {
        if !is_kept(uuid) {
            let since = arrangement.orphan_since.filter(|since| *since <= now).unwrap_or(now);
            if now.seconds_since(since) < ORPHAN_KEPT {
                let next = work.gone(uuid, arrangement, before);
                sessions.insert(uuid.clone(), Arrangement { orphan_since: Some(since), ..next });
            }
            continue;
        }
        let next = match seen.sessions.get(uuid) {
            Some(windows) if arrangement.server == server && arrangement.here => {
                work.next(uuid, arrangement, windows)
            }
            Some(windows) => work.made_anew(arrangement, windows),
            None => Arrangement { orphan_since: None, ..work.gone(uuid, arrangement, before) },
        };
        sessions.insert(uuid.clone(), next);
    }
    for (uuid, windows) in &seen.sessions {
        if !sessions.contains_key(uuid) && is_kept(uuid) {
            let windows = windows.iter().map(|window| work.window(window)).collect();
            sessions.insert(uuid.clone(), Arrangement::standing(server, windows));
        }
    }
    let Work { last_loss, mut closed, .. } = work;
    let is_kept = |uuid: &String| is_kept(uuid) || sessions.contains_key(uuid);
    closed.extend(before.closed.iter().filter(|entry| is_kept(&entry.session)).cloned());
    if !keeps_closed {
        closed.clear();
    }
    trim(&mut closed, server);
    let is_due = sessions.values().any(|a| a.server == server && a.here && a.is_unproven());
    let look_at = before.look_at.filter(|at| is_same_server && is_due && is_awaited(*at, now));
    let last_loss = last_loss.filter(|_| is_due);
    let look = last_loss.filter(|_| look_at.is_none()).map(|last| {
        let left = (LOOK_AFTER - now.seconds_since(last)).clamp(TIMER_SLACK, LOOK_AFTER);
        Duration::from_secs_f64(left)
    });
    let look_at = look.map(|left| now.plus(left)).or(look_at);
    let (version, refused) = (before.version, before.refused.clone());
    let server = Some(server);
    (Windows { version, server, sessions, last_loss, look_at, refused, closed }, look)
}

/// Whether something of this server vanished since it was last asked.
fn has_new_losses(before: &Windows, seen: &Seen) -> bool {
    let is_here = |(_, a): &(&String, &Arrangement)| a.server == seen.server && a.here;
    before.sessions.iter().filter(is_here).any(|(uuid, arrangement)| {
        let is_gone = |pane: &Pane| !seen.panes.contains(&pane.id);
        // A window that went because its panes moved is no loss.
        let has_lost = |window: &Window| window.panes.iter().any(is_gone);
        !seen.sessions.contains_key(uuid) || arrangement.windows.iter().any(has_lost)
    })
}

/// Whether a window is at another's index, with panes in the same directories.
fn is_placed_like(window: &Window, other: &Window) -> bool {
    let mut panes = window.panes.iter().zip(&other.panes);
    window.index == other.index
        && window.panes.len() == other.panes.len()
        && panes.all(|(pane, other)| pane.directory == other.directory)
}

/// Whether it runs what would be started again in the other.
fn has_programs_of(window: &Window, other: &Window) -> bool {
    let mut panes = window.panes.iter().zip(&other.panes);
    panes.all(|(pane, other)| other.program.is_empty() || pane.program == other.program)
}

/// Takes out of `new` the window that `window` is. The only window of a session may be one that somebody
/// began with: it has come back only if its programs have.
fn take_back(new: &mut Vec<&Window>, window: &Window, is_only: bool) -> bool {
    let is_it =
        |new: &&Window| is_placed_like(new, window) && (!is_only || has_programs_of(new, window));
    let at = new.iter().position(is_it);
    at.map(|at| new.swap_remove(at)).is_some()
}

/// Keeps the indexes that windows had before others vanished, where tmux numbered them anew: then they have
/// lower ones, without gaps, in the same order. What came since stays between the same ones.
fn keep_order(windows: &mut [Window], before: &[Window], has_lost: bool) {
    let old = |window: &Window| {
        let old = before.iter().find(|old| old.id == window.id && old.index >= window.index)?;
        Some((old.index, old.index_before.unwrap_or(old.index)))
    };
    let (mut is_numbered_anew, mut next, mut last) = (has_lost, None, 0);
    for window in windows.iter() {
        let (_, before) = old(window).unwrap_or((0, last));
        is_numbered_anew &= next.is_none_or(|next| window.index == next) && before >= last;
        (next, last) = (Some(window.index.wrapping_add(1)), before);
    }
    let mut next = 0;
    for window in windows {
        let index = match old(window) {
            Some((index, before)) if is_numbered_anew || index == window.index => before,
            _ => window.index,
        };
        let index = index.max(next);
        next = index.saturating_add(1);
        window.index_before = Some(index).filter(|index| *index != window.index);
    }
}

impl Window {
    /// Keeps what waits for directories that were gone when its panes came back in one above: the next
    /// time they may be there.
    pub fn keep_waiting(&mut self, before: &Window) {
        if before.panes.len() != self.panes.len() {
            return;
        }
        for (pane, old) in self.panes.iter_mut().zip(&before.panes) {
            let (Some(now), Some(wanted)) = (&pane.directory, old.starts_in()) else { continue };
            let below = wanted.0.strip_prefix(&now.0[..]);
            if below.is_some_and(|below| below.starts_with(b"/") || now.0 == b"/") && now != wanted
            {
                pane.belongs = Some(wanted.clone());
                pane.keep_program(old);
            }
        }
    }
}

impl Pane {
    /// A program that was not started waits, too.
    fn keep_program(&mut self, before: &Pane) {
        if self.belongs.is_some() && self.program.is_empty() {
            self.program = before.program.clone();
            self.called = before.called.clone();
        }
    }
}

struct Work<'a> {
    server: ServerId,
    now: Timestamp,
    /// Whether the server has outlived its last loss.
    is_over: bool,
    last_loss: Option<Timestamp>,
    closed: Vec<ClosedWindow>,
    /// What this server had, by the numbers of the windows' ids, and whether it was there when that
    /// was last asked.
    old: Map<u32, (&'a Window, bool)>,
    titles: Map<PaneId, &'a Pane>,
    /// In which window each pane of the sessions that are recorded lives.
    recorded: Map<PaneId, u32>,
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
        let before_this = vanished.len();
        for window in &before.windows {
            if self.seen.windows.contains(&window.id) {
                continue;
            }
            vanished.extend(self.what_vanished(window));
        }
        let has_lost = vanished.len() > before_this;
        let is_current = |id: u32| windows.iter().any(|w| w.window.id == id && w.window.active);
        let current = before.windows.iter().find(|window| window.active).map(|window| window.id);
        if current.is_some_and(|id| self.seen.windows.contains(&id) && !is_current(id)) {
            // Somebody chose another meanwhile, which is to be the current one when all come back.
            for gone in &mut vanished {
                (gone.window.active, gone.window.last) = (false, false);
            }
        }
        let mut windows: Vec<Window> = windows.iter().map(|window| self.window(window)).collect();
        if !vanished.is_empty() {
            keep_order(&mut windows, &before.windows, has_lost);
        }
        // Another tool may bring back one window after the other.
        let is_new = |window: &&Window| before.windows.iter().all(|old| old.id != window.id);
        let mut new: Vec<&Window> = windows.iter().filter(is_new).collect();
        let is_only = windows.len() == 1;
        let mut missing = before.missing.clone();
        missing.retain(|missing| !take_back(&mut new, &missing.window, is_only));
        // It may start the program of the first one only then.
        if let [old] = before.windows.as_slice() {
            let now = windows.iter().find(|window| window.id == old.id);
            missing.retain(|Missing { window, .. }| {
                let is_it =
                    |now: &Window| is_placed_like(now, window) && has_programs_of(now, window);
                !(is_placed_like(old, window) && now.is_some_and(is_it))
            });
        }
        let is_over = |missing: &Missing| self.now.seconds_since(missing.since) >= LONGEST_SHUTDOWN;
        let (over, missing): (Vec<Missing>, Vec<Missing>) = missing.into_iter().partition(is_over);
        self.closed.extend(over.into_iter().map(|Missing { since, server, window }| {
            ClosedWindow { session: uuid.to_owned(), closed_at: since, server, window }
        }));
        Arrangement { vanished, missing, ..Arrangement::standing(self.server, windows) }
    }

    /// A session that is not there any more. It keeps what comes back with it, but for what lives on
    /// in other sessions and comes back with these.
    fn gone(&self, uuid: &str, before: &Arrangement, all: &Windows) -> Arrangement {
        let mut next = Arrangement { here: false, ..before.clone() };
        if before.server != self.server {
            return next;
        }
        let others =
            || all.sessions.iter().filter(|(other, a)| *other != uuid && a.server == self.server);
        let is_linked = |id: u32| {
            others().any(|(_, a)| {
                let vanished = a.vanished.iter().map(|vanished| &vanished.window);
                a.windows.iter().chain(vanished).any(|window| window.id == id)
            })
        };
        let living: Set<u32> = self.recorded.values().copied().collect();
        next.windows.retain(|window| !living.contains(&window.id) || is_linked(window.id));
        next.windows.retain_mut(|window| {
            let id = window.id;
            self.take_out(window, |pane| self.recorded.get(&pane).is_some_and(|at| *at != id))
        });
        next
    }

    /// A session that lives again. What did not come back with it is missing: it comes back with the
    /// session the next time, or one by one, and is closed after a while.
    fn made_anew(&mut self, before: &Arrangement, windows: &[SeenWindow]) -> Arrangement {
        let mut windows: Vec<Window> = windows.iter().map(|window| self.window(window)).collect();
        let own = Arrangement { missing: Vec::new(), ..before.clone() };
        let mut own = own.to_bring_back();
        if before.back {
            for window in &mut windows {
                if let Some(old) = own.iter().find(|old| old.index == window.index) {
                    window.keep_waiting(old);
                }
            }
            own.clear();
        }
        let mut new: Vec<&Window> = windows.iter().collect();
        let is_only = windows.len() == 1;
        let mut missing = Vec::new();
        let own = own.into_iter().map(|window| (before.server, window));
        let before = before.missing.iter().map(|missing| (missing.server, missing.window.clone()));
        for (server, mut window) in own.chain(before) {
            let lives = server == self.server
                && (self.seen.windows.contains(&window.id)
                    || !self.take_out(&mut window, |pane| self.seen.panes.contains(&pane)));
            if !lives && !take_back(&mut new, &window, is_only) {
                missing.push(Missing { since: self.now, server, window });
            }
        }
        Arrangement { missing, ..Arrangement::standing(self.server, windows) }
    }

    /// A window, with what is known of it from before.
    fn window(&mut self, seen: &SeenWindow) -> Window {
        let SeenWindow { window, is_name_of_program } = seen;
        let mut window = window.clone();
        for pane in &mut window.panes {
            let Some(old) = self.titles.get(&pane.id) else { continue };
            pane.title = pane.title.take().or_else(|| old.title.clone());
            pane.directory = pane.directory.take().or_else(|| old.directory.clone());
            // A program that is started meanwhile belongs where it runs; what came back with the pane, as a
            // launch command does, waits on.
            let waits = pane.program.is_empty() || pane.program == old.program;
            let waits = waits && pane.directory == old.directory;
            pane.belongs = old.belongs.clone().filter(|_| waits);
            pane.keep_program(old);
        }
        let Some((old, was_here)) = self.old.get(&window.id).copied() else {
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
        let has = |panes: &[Pane], id: PaneId| panes.iter().any(|pane| pane.id == id);
        if window.layout.is_none() && old.panes.iter().all(|pane| has(&window.panes, pane.id)) {
            // What is not understood changes nothing.
            window.layout.clone_from(&old.layout);
            window.panes.clone_from(&old.panes);
            window.zoomed = old.zoomed;
        }
        window.fuller = self.fuller(old, &window.panes).filter(|_| was_here);
        window
    }

    /// Whether what vanished then has been outlived.
    fn is_believed(&self, vanished_at: Timestamp) -> bool {
        self.is_over || self.now.seconds_since(vanished_at) >= LONGEST_SHUTDOWN
    }

    /// What a window was before panes of it vanished, if any did: all of them, and in the layout of
    /// the time when it had most.
    fn fuller(&self, old: &Window, panes: &[Pane]) -> Option<Fuller> {
        let is_gone = |pane: &Pane| !self.seen.panes.contains(&pane.id);
        let before = old.fuller.as_ref().filter(|fuller| !self.is_believed(fuller.vanished_at));
        let latest = old.panes.iter().any(is_gone).then(|| Fuller {
            vanished_at: self.now,
            layout: old.layout.clone(),
            zoomed: old.zoomed,
            panes: old.panes.clone(),
        });
        let mut fuller = match (before.cloned(), latest) {
            (Some(before), Some(latest)) => before.and(latest),
            (before, latest) => before.or(latest)?,
        };
        // A pane that lives in another window must not come back twice.
        let has_moved = |pane: &Pane| !is_gone(pane) && panes.iter().all(|p| p.id != pane.id);
        let before = fuller.panes.len();
        fuller.panes.retain(|pane| !has_moved(pane));
        if fuller.panes.len() < before {
            (fuller.layout, fuller.zoomed) = (None, false);
        }
        fuller.panes.iter().any(is_gone).then_some(fuller)
    }

    /// A window whose id is gone, without those of its panes that live on in other windows. Where all
    /// that it had at last lives on, the rest of it vanished when it did.
    fn what_vanished(&self, window: &Window) -> Option<Vanished> {
        let lives = |pane: PaneId| self.seen.panes.contains(&pane);
        let mut window = window.clone();
        window.fuller = window.fuller.filter(|fuller| !self.is_believed(fuller.vanished_at));
        let before = window.fuller.as_ref().map(|fuller| fuller.vanished_at);
        let before = before.filter(|_| window.panes.iter().all(|pane| lives(pane.id)));
        let is_there = self.take_out(&mut window, lives);
        is_there.then_some(Vanished { vanished_at: before.unwrap_or(self.now), window })
    }

    /// Takes panes out of a window; tells whether any is left. What the others were laid out like is
    /// not known then.
    fn take_out(&self, window: &mut Window, is_out: impl Fn(PaneId) -> bool) -> bool {
        let mut whole = window.whole();
        let before = whole.panes.len();
        whole.panes.retain(|pane| !is_out(pane.id));
        if whole.panes.len() < before {
            (whole.layout, whole.zoomed) = (None, false);
            *window = whole;
        }
        !window.panes.is_empty()
    }

    fn close(&mut self, uuid: &str, mut window: Window, closed_at: Timestamp) {
        // One that was in two sessions is as whole in both as it was in either.
        let (session, server) = (uuid.to_owned(), self.server);
        window.index_before = None;
        let mut new = ClosedWindow { session, closed_at, server, window };
        for entry in &mut self.closed {
            if entry.was() != new.was() {
                continue;
            }
            let (mut less, mut more) = (&mut new.window, &mut entry.window);
            if less.panes.len() > more.panes.len() {
                std::mem::swap(&mut less, &mut more);
            }
            if more.panes.len() > less.panes.len() {
                less.panes.clone_from(&more.panes);
                less.layout.clone_from(&more.layout);
                less.zoomed = more.zoomed;
            }
        }
        self.closed.insert(0, new);
    }
}

impl Fuller {
    /// With what has vanished since.
    fn and(self, latest: Fuller) -> Fuller {
        let has = |panes: &[Pane], pane: &Pane| panes.iter().any(|other| other.id == pane.id);
        let has_all = |of: &[Pane], all: &[Pane]| all.iter().all(|pane| has(of, pane));
        let vanished_at = self.vanished_at;
        if has_all(&self.panes, &latest.panes) {
            self
        } else if has_all(&latest.panes, &self.panes) {
            // The first pane that went took the zoom with it.
            Fuller { vanished_at, zoomed: self.zoomed || latest.zoomed, ..latest }
        } else {
            let mut panes = self.panes;
            let new =
                latest.panes.into_iter().filter(|pane| !has(&panes, pane)).collect::<Vec<_>>();
            panes.extend(new);
            Fuller { vanished_at, layout: None, zoomed: false, panes }
        }
    }
}

/// Keeps the newest: of those that somebody closed on this server the last ones, of those before,
/// which nobody may have closed, more.
fn trim(closed: &mut Vec<ClosedWindow>, server: ServerId) {
    sort_by_key(closed, |entry| Reverse(entry.closed_at));
    let (mut here, mut before) = (0, 0);
    let mut counts = Map::new();
    closed.retain(|entry| {
        if entry.server != server {
            before += 1;
            return before <= CLOSED_BEFORE;
        }
        let count = counts.get_or_insert_with(entry.session.clone(), || 0);
        *count += 1;
        here += usize::from(*count <= CLOSED_OF_ONE);
        *count <= CLOSED_OF_ONE && here <= CLOSED_OF_ALL
    });
}
