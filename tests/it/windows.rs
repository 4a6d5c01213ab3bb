//! Windows and panes as they are recorded: what is kept of what vanished, and that the record is what
//! tmux has, on real servers.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::process::{Pid, Signal, kill_process};
use tmux_roster::Timestamp;
use tmux_roster::model::snapshot::{PaneId, ServerId};
use tmux_roster::model::windows::{
    Arrangement, Bytes, ClosedWindow, Missing, Pane, Seen, SeenWindow, Window, Windows, note,
};
use tmux_roster::tmux::text::{argument, escape_name, quote_sh};

use crate::env::{
    ControlClient, Lack, PATIENCE, ROSTER, Server, can, can_trace, copy_program, hit_the_heart,
    kill_at_every_call, leftovers, script, skip, tmux_program, tmux_version, version, wait_for,
    wait_until_past,
};

const SERVER: ServerId = ServerId { pid: 10, start_time: 1000 };
const NEXT_SERVER: ServerId = ServerId { pid: 11, start_time: 2000 };

/// A moment, in milliseconds.
fn at(moment: i64) -> Timestamp {
    let base = Timestamp::from_unix(1_000_000_000).unwrap();
    base.plus_seconds(moment.div_euclid(1000))
        .plus(Duration::from_millis(moment.rem_euclid(1000) as u64))
}

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// Columns of one character each, as tmux tells them.
fn columns(panes: &[u32]) -> String {
    let cell = |(at, pane): (usize, &u32)| format!("1x1,{},0,{pane}", at * 2);
    let body = match panes {
        [pane] => format!("1x1,0,0,{pane}"),
        _ => {
            let cells: Vec<String> = panes.iter().enumerate().map(cell).collect();
            format!("{}x1,0,0{{{}}}", panes.len() * 2 - 1, cells.join(","))
        }
    };
    format!("{},{body}", checksum(&body))
}

fn checksum(body: &str) -> String {
    let add = |sum: u16, byte: u8| sum.rotate_right(1).wrapping_add(byte.into());
    format!("{:04x}", body.bytes().fold(0, add))
}

/// A window as a look finds it.
fn seen_window(id: u32, index: u32, panes: &[u32]) -> SeenWindow {
    let numbers: Vec<u32> = (0..panes.len() as u32).collect();
    let pane = |(at, id): (usize, &u32)| Pane {
        id: PaneId(*id),
        directory: Some(Bytes(format!("/{id}").into_bytes())),
        title: Some(Bytes(format!("title {id}").into_bytes())),
        active: at == 0,
        program: Vec::new(),
        called: None,
        belongs: None,
    };
    let window = Window {
        id,
        index,
        name: None,
        layout: Some(columns(&numbers).parse().unwrap()),
        active: false,
        last: false,
        zoomed: false,
        synchronized: false,
        command: false,
        since: Timestamp::ZERO,
        panes: panes.iter().enumerate().map(pane).collect(),
        index_before: None,
        fuller: None,
    };
    SeenWindow { window, is_name_of_program: false }
}

/// What a server has: of each session its number and its windows.
fn seen(server: ServerId, sessions: &[(u32, Vec<SeenWindow>)]) -> Seen {
    let all = || sessions.iter().flat_map(|(_, windows)| windows);
    Seen {
        server,
        windows: all().map(|seen| seen.window.id).collect(),
        panes: all().flat_map(|seen| seen.window.panes.iter().map(|pane| pane.id)).collect(),
        sessions: sessions.iter().map(|(n, windows)| (uuid(*n), windows.clone())).collect(),
    }
}

/// Notes one look after another: sessions with windows with panes.
struct Noted {
    record: Windows,
    now: i64,
    server: ServerId,
}

type Look<'a> = &'a [(u32, &'a [(u32, &'a [u32])])];

impl Noted {
    fn new(look: Look<'_>) -> Noted {
        let mut noted = Noted { record: Windows::default(), now: 0, server: SERVER };
        noted.look(0, look);
        noted
    }

    /// A look so many seconds after the last; tells when the next is asked for.
    fn look(&mut self, after: i64, look: Look<'_>) -> Option<Duration> {
        self.now += after * 1000;
        let windows = |windows: &[(u32, &[u32])]| {
            let windows = windows.iter().enumerate();
            windows.map(|(at, (id, panes))| seen_window(*id, at as u32, panes)).collect()
        };
        let look: Vec<_> = look.iter().map(|(n, found)| (*n, windows(found))).collect();
        let (next, delay) =
            note(&self.record, seen(self.server, &look), |_| true, true, at(self.now));
        self.record = next;
        delay
    }

    /// What comes back: the panes of each window.
    fn back(&self, session: u32) -> Vec<(u32, Vec<u32>)> {
        panes_of(self.record.sessions[&uuid(session)].to_bring_back())
    }

    fn closed(&self) -> Vec<(u32, Vec<u32>)> {
        panes_of(self.record.closed.iter().map(|closed| closed.window.clone()))
    }
}

fn panes_of(windows: impl IntoIterator<Item = Window>) -> Vec<(u32, Vec<u32>)> {
    let panes = |window: Window| (window.id, window.panes.iter().map(|pane| pane.id.0).collect());
    windows.into_iter().map(panes).collect()
}

#[test]
fn a_loss_is_believed_ten_seconds_after_the_last() {
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2, 3]), (2, &[4])])]);
    let whole = [(1, vec![1, 2, 3]), (2, vec![4])];
    let look = noted.look(1, &[(1, &[(1, &[1, 3]), (2, &[4])])]).unwrap();
    assert_eq!(look, Duration::from_secs(10));
    assert_eq!(noted.back(1), whole);
    // Each further one begins the time anew.
    for (panes, after) in [(&[1_u32][..], 9), (&[1], 9)] {
        noted.look(after, &[(1, &[(1, panes)])]);
        assert_eq!(noted.back(1), whole);
    }
    assert_eq!(noted.record.closed, []);
    noted.look(1, &[(1, &[(1, &[1])])]);
    assert_eq!(noted.back(1), [(1, vec![1])]);
    assert_eq!(noted.closed(), [(2, vec![4])]);
    assert!(!noted.record.sessions[&uuid(1)].is_unproven());
    assert_eq!((noted.record.last_loss, noted.record.look_at), (None, None));
}

#[test]
fn who_closes_something_all_the_time_closes_what_is_ten_minutes_old() {
    let mut noted = Noted::new(&[(1, &[(1, &[1]), (2, &[2]), (100, &[100])])]);
    noted.look(0, &[(1, &[(1, &[1]), (100, &[100])])]);
    for n in 1..=200 {
        let (id, pane) = (100 + n, [100 + n]);
        noted.look(3, &[(1, &[(1, &[1]), (id, &pane)])]);
        assert_eq!(noted.back(1).iter().any(|(id, _)| *id == 2), n < 200, "{n}");
    }
    assert_eq!(noted.closed().last(), Some(&(2, vec![2])));
}

/// What lives comes back as it is now, whatever else comes back with it.
#[test]
fn a_pane_that_was_made_since_the_loss_comes_back_too() {
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2])])]);
    noted.look(1, &[(1, &[(1, &[1])])]);
    noted.look(1, &[(1, &[(1, &[1, 3])])]);
    assert_eq!(noted.back(1), [(1, vec![1, 2, 3])]);
    // And when the machine then goes down.
    noted.look(1, &[(1, &[(1, &[1])])]);
    noted.look(1, &[(1, &[(2, &[9])])]);
    let panes: BTreeSet<u32> = noted.back(1).into_iter().flat_map(|(_, panes)| panes).collect();
    assert_eq!(panes, BTreeSet::from([1, 2, 3, 9]));
}

#[test]
fn of_what_vanished_from_a_window_nothing_goes_with_a_pane_that_moved() {
    // Out of the window, after another was lost.
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2, 3]), (2, &[4])])]);
    noted.look(1, &[(1, &[(1, &[1, 2]), (2, &[4])])]);
    noted.look(1, &[(1, &[(1, &[1]), (2, &[4, 2])])]);
    assert_eq!(noted.back(1), [(1, vec![1, 3]), (2, vec![4, 2])]);
    // In the same moment.
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2, 3]), (2, &[4])])]);
    noted.look(1, &[(1, &[(1, &[1]), (2, &[4, 2])])]);
    assert_eq!(noted.back(1), [(1, vec![1, 3]), (2, vec![4, 2])]);
    // Out of a window that is gone.
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2, 3]), (2, &[4])])]);
    noted.look(1, &[(1, &[(1, &[1, 2]), (2, &[4])])]);
    noted.look(1, &[(1, &[(2, &[4, 2])])]);
    let back: BTreeMap<u32, Vec<u32>> = noted.back(1).into_iter().collect();
    assert_eq!(back, BTreeMap::from([(1, vec![1, 3]), (2, vec![4, 2])]));
    noted.look(11, &[(1, &[(2, &[4, 2])])]);
    assert_eq!(noted.closed(), [(1, vec![1, 3])], "what lives elsewhere is not in it");
}

#[test]
fn a_window_that_moved_comes_back_once() {
    let mut noted = Noted::new(&[(1, &[(1, &[1])]), (2, &[(2, &[2])])]);
    // With it the last one of its session.
    noted.look(1, &[(2, &[(2, &[2]), (1, &[1])])]);
    assert_eq!((noted.back(1), noted.back(2)), (vec![], vec![(2, vec![2]), (1, vec![1])]));
    // One that is in two sessions is in both still when one of these is gone.
    let mut noted = Noted::new(&[(1, &[(1, &[1, 3])]), (2, &[(2, &[2]), (1, &[1, 3])])]);
    noted.look(1, &[(2, &[(2, &[2]), (1, &[1, 3])])]);
    assert_eq!(noted.back(1), [(1, vec![1, 3])]);
    noted.look(1, &[(2, &[(2, &[2, 3]), (1, &[1])])]);
    assert_eq!(noted.back(1), [(1, vec![1])]);
    // And is not taken for what it was when that one went.
    for _ in 0..3 {
        noted.look(20, &[(2, &[(2, &[2, 3]), (1, &[1])])]);
        assert!(!noted.record.sessions[&uuid(2)].is_unproven());
    }
}

/// What is not understood changes nothing, but nothing of it comes back twice.
#[test]
fn a_layout_that_is_not_understood_leaves_the_one_before() {
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2]), (2, &[3])])]);
    let look = |first: &[u32], second: &[u32]| {
        let mut first = seen_window(1, 0, first);
        first.window.layout = None;
        seen(SERVER, &[(1, vec![first, seen_window(2, 1, second)])])
    };
    let all = |_: &str| true;
    noted.record = note(&noted.record, look(&[1, 2, 4], &[3]), all, true, at(1000)).0;
    assert_eq!(noted.back(1), [(1, vec![1, 2]), (2, vec![3])]);
    assert!(noted.record.sessions[&uuid(1)].windows[0].layout.is_some());
    noted.record = note(&noted.record, look(&[1, 4], &[3, 2]), all, true, at(2000)).0;
    assert_eq!(noted.back(1), [(1, vec![1, 4]), (2, vec![3, 2])]);
}

#[test]
fn a_clock_that_is_set_back_harms_nothing() {
    let mut noted = Noted::new(&[(1, &[(1, &[1, 2]), (2, &[3])])]);
    noted.look(1, &[(1, &[(1, &[1])])]);
    let look = noted.look(-3600, &[(1, &[(1, &[1])])]).unwrap();
    assert!(look <= Duration::from_secs(10), "{look:?}");
    assert_eq!(noted.back(1), [(1, vec![1, 2]), (2, vec![3])]);
    assert_eq!(noted.look(11, &[(1, &[(1, &[1])])]), None);
    assert_eq!((noted.back(1), noted.closed()), (vec![(1, vec![1])], vec![(2, vec![3])]));
}

fn closed_window(session: u32, id: u32, moment: i64) -> ClosedWindow {
    let window = seen_window(id, id, &[id]).window;
    ClosedWindow { session: uuid(session), closed_at: at(moment), server: SERVER, window }
}

#[test]
fn as_many_closed_windows_are_kept_as_somebody_may_miss() {
    let look = |record: &Windows, kept: u32| {
        let is_kept = |found: &str| (1..=kept).any(|n| uuid(n) == found);
        note(record, seen(SERVER, &[]), is_kept, true, at(1_000_000)).0.closed
    };
    let mut record = Windows::default();
    for n in 0..20 {
        for session in 1..=8 {
            record.closed.push(closed_window(session, n, i64::from(n * 10 + session)));
        }
    }
    let closed = look(&record, 8);
    assert_eq!(closed.len(), 50);
    assert!(closed.is_sorted_by(|a, b| a.closed_at >= b.closed_at));
    let few = look(&record, 3);
    assert_eq!(few.len(), 30, "ten of each, and none of what is not kept");
    assert!(few.iter().all(|entry| entry.window.id >= 10), "the newest");
}

/// The numbers of ids begin anew with each server.
#[test]
fn windows_of_two_servers_that_close_together_are_two() {
    let mut noted = Noted::new(&[(1, &[(0, &[0]), (7, &[7])]), (2, &[(1, &[1])])]);
    noted.server = NEXT_SERVER;
    noted.look(60, &[(2, &[(1, &[1]), (7, &[17])])]);
    noted.look(1, &[(2, &[(1, &[1])])]);
    // The other session is back without one of its windows, which is closed after a while.
    noted.look(11, &[(1, &[(0, &[5])]), (2, &[(1, &[1])])]);
    assert_eq!(noted.closed(), [(7, vec![17])]);
    noted.look(601, &[(1, &[(0, &[5])]), (2, &[(1, &[1])])]);
    let mut closed = noted.closed();
    closed.sort();
    // The window at 0 is in another directory: it is another.
    assert_eq!(closed, [(0, vec![0]), (7, vec![7]), (7, vec![17])]);
}

/// What people, programs and a shutdown do on a server. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Deed {
    NewSession,
    NewWindow(u8),
    Split(u8),
    EndPane(u8),
    EndWindow(u8),
    EndSession(u8),
    Join(u8, u8),
    Break(u8, u8),
    Move(u8, u8),
    Link(u8, u8),
    /// A session is not recorded any more, or is so again.
    Ignore(u8),
    /// The user forgets a record.
    Drop(u8),
}

/// A deed, how much time passes after it, and whether a look is taken then.
fn deeds() -> impl Strategy<Value = Vec<(Deed, i64, bool)>> {
    let n = || any::<u8>();
    let deed = prop_oneof![
        2 => Just(Deed::NewSession),
        4 => n().prop_map(Deed::NewWindow),
        6 => n().prop_map(Deed::Split),
        6 => n().prop_map(Deed::EndPane),
        3 => n().prop_map(Deed::EndWindow),
        1 => n().prop_map(Deed::EndSession),
        3 => (n(), n()).prop_map(|(a, b)| Deed::Join(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Deed::Break(a, b)),
        3 => (n(), n()).prop_map(|(a, b)| Deed::Move(a, b)),
        2 => (n(), n()).prop_map(|(a, b)| Deed::Link(a, b)),
        1 => n().prop_map(Deed::Ignore),
        1 => n().prop_map(Deed::Drop),
    ];
    let passes = prop_oneof![4 => 0..4000_i64, 3 => 4000..12_000_i64, 1 => 12_000..700_000_i64];
    prop::collection::vec((deed, passes, prop::bool::weighted(0.7)), 1..60)
}

/// A server, and the record of it.
#[derive(Debug, Default)]
struct World {
    now: i64,
    next: u32,
    /// The windows of each session, by index.
    sessions: BTreeMap<u32, BTreeMap<u32, u32>>,
    ignored: BTreeSet<u32>,
    dropped: BTreeSet<u32>,
    panes: BTreeMap<u32, Vec<u32>>,
    record: Windows,
    // What the looks showed.
    /// By window, the sessions that it was last seen in.
    homes: BTreeMap<u32, BTreeSet<u32>>,
    /// Of each pane that was seen the window.
    known: BTreeMap<u32, u32>,
    /// By window, all panes that it was ever seen with.
    had: BTreeMap<u32, BTreeSet<u32>>,
    shown: BTreeSet<u32>,
    /// Windows that one look showed in both sessions.
    linked: BTreeSet<(u32, u32, u32)>,
    last_loss: i64,
    /// By pane when it was seen to be gone.
    lost: BTreeMap<u32, i64>,
    /// Those of them of which nothing is said: their session was left alone for a while.
    unsaid: BTreeSet<u32>,
    believed: BTreeSet<u32>,
}

impl World {
    /// A server on which that happens, and another that makes some of its sessions anew.
    fn live(deeds: &[(Deed, i64, bool)], keep: u8) {
        let mut world = World { last_loss: -1_000_000, ..World::default() };
        world.act(&Deed::NewSession);
        world.look();
        for (deed, passes, looks) in deeds {
            world.act(deed);
            world.tidy();
            world.now += passes;
            if *looks {
                world.look();
            }
        }
        world.restart(keep);
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn pick<T: Copy>(n: u8, of: impl Iterator<Item = T>) -> Option<T> {
        let all: Vec<T> = of.collect();
        (!all.is_empty()).then(|| all[usize::from(n) % all.len()])
    }

    fn session(&self, n: u8) -> Option<u32> {
        World::pick(n, self.sessions.keys().copied())
    }

    fn window(&self, n: u8) -> Option<u32> {
        World::pick(n, self.panes.keys().copied())
    }

    fn pane(&self, n: u8) -> Option<u32> {
        World::pick(n, self.panes.values().flatten().copied())
    }

    fn link(&mut self, window: u32, session: u32) {
        let windows = self.sessions.get_mut(&session).unwrap();
        let index = (0..).find(|index| !windows.contains_key(index)).unwrap();
        windows.insert(index, window);
    }

    /// What has nothing in it ends.
    fn tidy(&mut self) {
        self.panes.retain(|_, panes| !panes.is_empty());
        let panes = &self.panes;
        for windows in self.sessions.values_mut() {
            windows.retain(|_, window| panes.contains_key(window));
        }
        self.sessions.retain(|_, windows| !windows.is_empty());
        let linked: BTreeSet<u32> =
            self.sessions.values().flat_map(|windows| windows.values().copied()).collect();
        self.panes.retain(|window, _| linked.contains(window));
    }

    fn take(&mut self, pane: u32) {
        self.panes.values_mut().for_each(|panes| panes.retain(|found| *found != pane));
    }

    fn new_window(&mut self, panes: Vec<u32>, session: u32) {
        let window = self.fresh();
        self.panes.insert(window, panes);
        self.link(window, session);
    }

    fn act(&mut self, deed: &Deed) -> Option<()> {
        match *deed {
            Deed::NewSession => {
                let session = self.fresh();
                self.sessions.insert(session, BTreeMap::new());
                let pane = self.fresh();
                self.new_window(vec![pane], session);
            }
            Deed::NewWindow(n) => {
                let (session, pane) = (self.session(n)?, self.fresh());
                self.new_window(vec![pane], session);
            }
            Deed::Split(n) => {
                let (window, pane) = (self.window(n)?, self.fresh());
                self.panes.get_mut(&window)?.insert(usize::from(n) % 2, pane);
            }
            Deed::EndPane(n) => {
                let pane = self.pane(n)?;
                self.take(pane);
            }
            Deed::EndWindow(n) => {
                let window = self.window(n)?;
                self.panes.remove(&window);
            }
            Deed::EndSession(n) => {
                let session = self.session(n)?;
                self.sessions.remove(&session);
            }
            Deed::Join(n, to) => {
                let (pane, window) = (self.pane(n)?, self.window(to)?);
                self.take(pane);
                self.panes.get_mut(&window)?.push(pane);
            }
            Deed::Break(n, to) => {
                let (pane, session) = (self.pane(n)?, self.session(to)?);
                self.take(pane);
                self.new_window(vec![pane], session);
            }
            Deed::Move(n, to) => {
                let (window, session) = (self.window(n)?, self.session(to)?);
                let from = self.sessions.iter_mut();
                let mut from = from.filter(|(_, windows)| windows.values().any(|w| *w == window));
                let (_, windows) = from.next()?;
                let index = *windows.iter().find(|(_, found)| **found == window)?.0;
                windows.remove(&index);
                self.link(window, session);
            }
            Deed::Link(n, to) => {
                let (window, session) = (self.window(n)?, self.session(to)?);
                self.link(window, session);
            }
            Deed::Ignore(n) => {
                let session = self.session(n)?;
                if self.dropped.contains(&session) || !self.ignored.remove(&session) {
                    self.ignored.insert(session);
                }
                self.leave_unsaid(session);
            }
            Deed::Drop(n) => {
                let session = self.session(n)?;
                self.dropped.insert(session);
                self.ignored.insert(session);
                self.leave_unsaid(session);
            }
        }
        Some(())
    }

    fn leave_unsaid(&mut self, session: u32) {
        for (pane, window) in &self.known {
            if self.homes[window].contains(&session) {
                self.unsaid.insert(*pane);
            }
        }
    }

    fn seen(&self, server: ServerId) -> Seen {
        let recorded = self.sessions.iter().filter(|(session, _)| !self.ignored.contains(session));
        let look: Vec<_> = recorded
            .map(|(session, windows)| {
                let window = |(index, window): (&u32, &u32)| {
                    seen_window(*window, *index, &self.panes[window])
                };
                (*session, windows.iter().map(window).collect())
            })
            .collect();
        Seen {
            windows: self.panes.keys().copied().collect(),
            panes: self.panes.values().flatten().map(|pane| PaneId(*pane)).collect(),
            ..seen(server, &look)
        }
    }

    /// The sessions that comes back with, by pane and window.
    fn back(&self) -> BTreeMap<u32, BTreeSet<(u32, u32)>> {
        let mut back: BTreeMap<u32, BTreeSet<(u32, u32)>> = BTreeMap::new();
        let kept = self.record.sessions.iter().filter(|(_, a)| a.orphan_since.is_none());
        for (uuid, arrangement) in kept {
            let session = u32::from_str_radix(&uuid[..8], 16).unwrap();
            for (window, panes) in panes_of(arrangement.to_bring_back()) {
                for pane in panes {
                    let is_new = back.entry(pane).or_default().insert((window, session));
                    let is_linked_twice = self.linked.contains(&(window, session, session));
                    assert!(is_new || is_linked_twice, "%{pane} twice in @{window}");
                }
            }
        }
        back
    }

    fn look(&mut self) {
        let alive: BTreeSet<u32> = self.panes.values().flatten().copied().collect();
        let is_recorded = |session: &u32| !self.ignored.contains(session);
        // What a look can know to be gone.
        let gone: Vec<u32> = (self.known.keys().copied())
            .filter(|pane| !alive.contains(pane) && !self.lost.contains_key(pane))
            .collect();
        let is_shown = |pane: &&u32| !self.homes[&self.known[*pane]].is_disjoint(&self.shown);
        let here: BTreeSet<u32> = self.sessions.keys().copied().filter(is_recorded).collect();
        let has_new = gone.iter().any(|pane| is_shown(&pane)) || !self.shown.is_subset(&here);
        let unseen = gone.iter().filter(|pane| !is_shown(pane)).copied().collect::<Vec<_>>();
        self.unsaid.extend(unseen);
        for pane in gone {
            self.lost.insert(pane, self.now);
        }
        match self.now - self.last_loss {
            9899..=9901 => self.unsaid.extend(self.lost.keys()),
            9902.. if !has_new => self.believed.extend(self.lost.keys()),
            _ => {}
        }
        // Of one window all panes are kept, and go, with the first that vanished.
        let believed = self.believed.clone();
        for panes in self.had.values() {
            let lost = panes.iter().filter(|pane| !believed.contains(pane));
            let lost: Vec<u32> =
                lost.copied().filter(|pane| self.lost.contains_key(pane)).collect();
            let ages = || lost.iter().map(|pane| self.now - self.lost[pane]);
            if ages().all(|age| age > 600_001) {
                self.believed.extend(lost);
            } else if ages().any(|age| age >= 599_999) {
                self.unsaid.extend(lost);
            }
        }
        if has_new {
            self.last_loss = self.now;
        }
        let mut homes: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        for (session, windows) in self.sessions.iter().filter(|(session, _)| is_recorded(session)) {
            for (index, window) in windows {
                let sessions = homes.entry(*window).or_default();
                sessions.insert(*session);
                for other in sessions.iter() {
                    let is_other_link = windows.iter().any(|(i, w)| w == window && i != index);
                    if other != session || is_other_link {
                        self.linked.insert((*window, *other, *session));
                        self.linked.insert((*window, *session, *other));
                    }
                }
            }
        }
        for (window, sessions) in &homes {
            self.known.extend(self.panes[window].iter().map(|pane| (*pane, *window)));
            self.had.entry(*window).or_default().extend(&self.panes[window]);
            self.homes.insert(*window, sessions.clone());
        }
        // What lives where nobody looks.
        for (window, panes) in self.panes.iter().filter(|(window, _)| !homes.contains_key(window)) {
            self.unsaid.extend(panes);
            self.known.retain(|pane, _| !panes.contains(pane));
            let lost = self.lost.keys().filter(|pane| self.known[pane] == *window);
            self.unsaid.extend(lost.copied().collect::<Vec<_>>());
        }
        self.shown = here;

        let dropped: HashSet<String> = self.dropped.iter().map(|session| uuid(*session)).collect();
        let is_kept = |uuid: &str| !dropped.contains(uuid);
        let before = self.record.clone();
        let (next, _) = note(&before, self.seen(SERVER), is_kept, true, at(self.now));
        let again = note(&next, self.seen(SERVER), is_kept, true, at(self.now)).0;
        assert_eq!(again, next, "the same once more");
        let text = serde_json::to_vec(&next).unwrap();
        assert_eq!(serde_json::from_slice::<Windows>(&text).unwrap(), next);
        let closed_before = before.closed;
        self.record = next;
        self.check(&closed_before);
    }

    fn check(&self, closed_before: &[ClosedWindow]) {
        let Windows { closed, sessions, .. } = &self.record;
        let dropped: BTreeSet<String> = self.dropped.iter().map(|session| uuid(*session)).collect();
        // They are kept for a day, but nothing offers them.
        let is_orphan =
            |(uuid, a): (&String, &Arrangement)| dropped.contains(uuid) == a.orphan_since.is_some();
        assert!(sessions.iter().all(is_orphan));
        let offered = self.record.all_closed();
        assert!(offered.iter().all(|entry| !dropped.contains(&entry.session)));
        assert!(closed.len() <= 50 && closed.is_sorted_by(|a, b| a.closed_at >= b.closed_at));
        for entry in closed {
            let same = closed.iter().filter(|other| other.session == entry.session).count();
            assert!(same <= 10);
            for (window, panes) in panes_of([entry.window.clone()]) {
                assert!(!self.panes.contains_key(&window), "@{window} lives");
                let lives = |pane: &u32| self.panes.values().any(|panes| panes.contains(pane));
                let is_new = !closed_before.contains(entry);
                assert!(!is_new || !panes.iter().any(lives), "of {panes:?} some live");
            }
        }
        let here = |arrangement: &&Arrangement| arrangement.here && arrangement.is_unproven();
        if sessions.values().find(here).is_some() {
            let left =
                self.record.look_at.expect("a look is on its way").seconds_since(at(self.now));
            assert!((0.0..=10.0).contains(&left), "{left}");
        }
        let back = self.back();
        for (pane, places) in &back {
            let windows: BTreeSet<u32> = places.iter().map(|(window, _)| *window).collect();
            assert_eq!(windows.len(), 1, "%{pane} is in {places:?}");
            for (window, session) in places {
                for (_, other) in places.iter().filter(|(_, other)| other != session) {
                    let linked = self.linked.iter().any(|(id, ..)| id == window);
                    assert!(linked, "@{window} in {session} and {other}");
                }
            }
        }
        let nowhere = BTreeSet::new();
        for (pane, window) in &self.known {
            let places = back.get(pane).unwrap_or(&nowhere);
            let is_lost = self.lost.contains_key(pane);
            if self.unsaid.contains(pane) {
                continue;
            }
            for session in self.homes[window].iter().filter(|s| !self.dropped.contains(s)) {
                let comes_back = places.iter().any(|(_, home)| home == session);
                if !is_lost || !self.believed.contains(pane) {
                    assert!(comes_back, "%{pane} of @{window} in {session}, lost: {is_lost}");
                } else if self.shown.contains(session) {
                    assert!(!comes_back, "%{pane} of @{window} in {session} is closed");
                }
            }
        }
        // A whole window that was outlived is a closed one.
        let full: BTreeSet<&String> = closed.iter().map(|entry| &entry.session).collect();
        let is_full = |session: &String| {
            closed.iter().filter(|entry| entry.session == *session).count() >= 10
        };
        if closed.len() >= 50 || full.into_iter().any(is_full) {
            return;
        }
        for pane in self.believed.difference(&self.unsaid) {
            let window = self.known[pane];
            // The window was seen whole to the end, and its session lives on.
            let lives = self.panes.contains_key(&window);
            let homes = &self.homes[&window];
            if lives || !homes.iter().all(|home| self.shown.contains(home)) {
                continue;
            }
            let ends: BTreeSet<Option<&i64>> =
                self.had[&window].iter().map(|pane| self.lost.get(pane)).collect();
            if ends.len() == 1 {
                let is_it = |(id, panes): &(u32, Vec<u32>)| *id == window && panes.contains(pane);
                let all = panes_of(closed.iter().map(|entry| entry.window.clone()));
                assert!(all.iter().any(is_it), "@{window} with %{pane} is closed: {all:?}");
            }
        }
    }

    /// Another server makes some sessions anew, with some of their windows.
    fn restart(&mut self, keep: u8) {
        let before = self.record.clone();
        let mut look = Vec::new();
        for (at, (uuid, arrangement)) in before.sessions.iter().enumerate() {
            if (keep >> (at % 8)) & 1 == 1 {
                let session = u32::from_str_radix(&uuid[..8], 16).unwrap();
                let mut windows: Vec<SeenWindow> = Vec::new();
                for (n, window) in arrangement.to_bring_back().into_iter().enumerate() {
                    if n == 0 || (keep >> (n % 8)) & 1 == 1 {
                        let id = (at * 100 + n) as u32;
                        let mut panes = window.panes.clone();
                        panes.iter_mut().enumerate().for_each(|(at, pane)| {
                            pane.id = PaneId(id * 100 + at as u32);
                        });
                        let window = Window { id, panes, fuller: None, ..window };
                        windows.push(SeenWindow { window, is_name_of_program: false });
                    }
                }
                look.push((session, windows));
            }
        }
        let next = note(&before, seen(NEXT_SERVER, &look), |_| true, true, at(self.now)).0;
        assert_eq!(next.server, Some(NEXT_SERVER));
        for (at, (uuid, arrangement)) in before.sessions.iter().enumerate() {
            let found = &next.sessions[uuid];
            if (keep >> (at % 8)) & 1 == 0 {
                assert_eq!(found.to_bring_back(), arrangement.to_bring_back(), "still lost");
                assert!(!found.here);
                continue;
            }
            assert!(found.here && found.server == NEXT_SERVER && !found.is_unproven());
            let missing = arrangement.to_bring_back().into_iter().enumerate();
            let missing = missing.filter(|(n, _)| *n > 0 && (keep >> (n % 8)) & 1 == 0);
            // What comes back the next time has all of them, each once.
            let directories = |window: &Window| -> Vec<Option<Bytes>> {
                window.panes.iter().map(|pane| pane.directory.clone()).collect()
            };
            for (_, window) in missing {
                let is_it = |m: &&Missing| m.window.panes == window.panes;
                // Of what looks just like one that came back it cannot be told.
                let is_like = |new: &Window| {
                    new.index == window.index && directories(new) == directories(&window)
                };
                let is_there = found.missing.iter().any(|m| is_it(&m));
                assert!(is_there || found.windows.iter().any(is_like), "{window:?}");
            }
            assert_eq!(found.to_bring_back().len(), found.windows.len() + found.missing.len());
        }
    }
}

/// What the property below once found.
#[test]
fn what_was_lost_or_came_twice_once() {
    use Deed::*;
    // A window that was in its session twice came back once.
    let linked_twice = [
        (Split(0), 0, false),
        (Break(0, 0), 0, false),
        (Split(0), 0, false),
        (Link(72, 0), 0, true),
        (EndWindow(30), 0, false),
        (Ignore(0), 0, true),
        (Ignore(0), 0, false),
        (Break(0, 0), 0, false),
        (Join(0, 0), 0, true),
    ];
    World::live(&linked_twice, 35);
    // A pane became younger when the last other one left its window.
    let left_behind = [
        (Split(0), 0, false),
        (NewWindow(0), 0, false),
        (NewSession, 0, false),
        (EndPane(57), 0, true),
        (Join(221, 94), 0, false),
        (Break(150, 0), 95_989, true),
        (EndPane(45), 504_013, true),
    ];
    World::live(&left_behind, 0);
    // A window was missing for ten minutes before its session was there again.
    let left_alone = [
        (NewSession, 0, false),
        (EndPane(0), 0, false),
        (NewWindow(0), 0, false),
        (NewSession, 0, false),
        (NewWindow(0), 0, false),
        (NewWindow(0), 0, false),
        (NewWindow(0), 0, true),
        (Ignore(20), 0, false),
        (EndWindow(56), 0, false),
        (EndPane(0), 0, true),
        (Ignore(0), 0, true),
        (Ignore(0), 0, false),
        (Join(0, 0), 120_547, false),
        (NewSession, 476_081, true),
        (Ignore(20), 3372, true),
    ];
    World::live(&left_alone, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..ProptestConfig::default() })]

    /// Whatever happens on a server, and whenever it ends: what lives and what vanished unproven comes
    /// back with its session, each pane once; what the server outlived does not, and is closed.
    #[test]
    fn nothing_is_lost_before_it_is_outlived_and_nothing_comes_twice(
        deeds in deeds(),
        keep in any::<u8>(),
    ) {
        World::live(&deeds, keep);
    }

    /// The same under a clock that jumps: nothing is lost, and nothing stays unproven for ever.
    #[test]
    fn whatever_the_clock_does_each_loss_is_believed_in_the_end(
        deeds in deeds(),
        jumps in prop::collection::vec(-1_000_000..1_000_000_i64, 60),
    ) {
        let mut world = World::default();
        world.act(&Deed::NewSession);
        let all = |_: &str| true;
        let look = |world: &mut World| {
            world.record = note(&world.record, world.seen(SERVER), all, true, at(world.now)).0;
            let back = world.record.sessions.values().flat_map(|a| panes_of(a.to_bring_back()));
            let back: BTreeSet<u32> = back.flat_map(|(_, panes)| panes).collect();
            let recorded = world.sessions.iter().filter(|(s, _)| !world.ignored.contains(s));
            for window in recorded.flat_map(|(_, windows)| windows.values()) {
                assert!(world.panes[window].iter().all(|pane| back.contains(pane)));
            }
        };
        for ((deed, passes, _), jump) in deeds.iter().zip(jumps) {
            world.act(deed);
            world.tidy();
            world.now += if jump % 4 == 0 { jump } else { *passes };
            look(&mut world);
        }
        for _ in 0..3 {
            world.now += 10_500;
            look(&mut world);
        }
        let is_unproven = |a: &Arrangement| a.here && a.is_unproven();
        prop_assert!(!world.record.sessions.values().any(is_unproven), "{:?}", world.record);
    }
}

// On real servers.

/// A server with the plugin, and sessions of these names in `a`, all recorded.
fn started(config: &str, sessions: &[&str]) -> Server {
    let server = Server::with_plugin(config);
    for name in sessions {
        server.tmux(&["new-session", "-d", "-x", "120", "-y", "40", "-s", name]);
    }
    server.wait_for_names(sessions);
    wait_for_record(&server);
    server
}

fn file(server: &Server) -> PathBuf {
    server.registry_path().with_file_name("windows.json")
}

/// What is recorded.
fn recorded(server: &Server) -> Windows {
    let Ok(bytes) = fs::read(file(server)) else { return Windows::default() };
    serde_json::from_slice(&bytes).expect("it is whole at any time")
}

/// What is recorded of a session.
fn arrangement(server: &Server, name: &str) -> Option<Arrangement> {
    recorded(server).sessions.get(&server.field(name, "uuid")).cloned()
}

/// Reads a layout with our own eyes: the ids in the order of the cells, and the layout with their
/// places there instead.
fn read_layout(text: &str) -> (Vec<u32>, String) {
    let (_, mut rest) = text.split_once(',').unwrap();
    let (mut ids, mut plain) = (Vec::new(), String::new());
    let number = |rest: &mut &str, plain: Option<&mut String>| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        if let Some(plain) = plain {
            plain.push_str(number);
        }
        *rest = after;
        number.parse::<u32>().unwrap()
    };
    while !rest.is_empty() {
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            plain.push_str(&rest[..1]);
            rest = &rest[1..];
            continue;
        }
        for at in 0..4 {
            number(&mut rest, Some(&mut plain));
            if at < 3 {
                plain.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
        if let Some(after) = rest.strip_prefix(',') {
            rest = after;
            let id = number(&mut rest, None);
            plain.push_str(&format!(",{}", ids.len()));
            ids.push(id);
        }
    }
    (ids, format!("{},{plain}", checksum(&plain)))
}

/// The record's windows as lines, for the sessions that are there.
fn lines_recorded(server: &Server) -> Vec<String> {
    let mut lines = Vec::new();
    let text = |bytes: &Option<Bytes>| match bytes {
        Some(bytes) => String::from_utf8_lossy(&bytes.0).into_owned(),
        None => "?".into(),
    };
    for (uuid, arrangement) in recorded(server).sessions.iter().filter(|(_, a)| a.here) {
        for window in &arrangement.windows {
            let layout = window.layout.as_ref().map(ToString::to_string).unwrap_or_default();
            let flags = [window.active, window.last, window.zoomed, window.synchronized];
            lines.push(format!(
                "{} {:03} @{} {} {layout} {:?}",
                &uuid[..8],
                window.index,
                window.id,
                text(&window.name),
                flags.map(u8::from)
            ));
            for (at, pane) in window.panes.iter().enumerate() {
                let (directory, title) = (text(&pane.directory), text(&pane.title));
                lines.push(format!(
                    "{} {:03} {at:02} {} {directory} {title} {}",
                    &uuid[..8],
                    window.index,
                    pane.id,
                    u8::from(pane.active)
                ));
            }
        }
    }
    lines.sort();
    lines
}

/// The same as tmux tells it.
fn lines_shown(server: &Server) -> Vec<String> {
    let uuids = server.tmux(&["list-sessions", "-F", "#{session_id} #{@roster_uuid}"]);
    let uuids: BTreeMap<&str, &str> =
        uuids.lines().filter_map(|line| line.split_once(' ')).collect();
    let format = "#{session_id}|#{window_index}|#{window_id}|#{automatic-rename}|#{window_name}|\
        #{window_layout}|[#{window_active}, #{window_last_flag}, #{window_zoomed_flag}, \
        #{synchronize-panes}]|#{pane_id}|#{pane_current_path}|#{pane_title}|#{pane_active}";
    let mut lines = BTreeSet::new();
    for row in server.tmux(&["list-panes", "-a", "-F", format]).lines() {
        let fields: Vec<&str> = row.split('|').collect();
        let [session, index, id, automatic, name, layout, flags, pane, path, title, active] =
            fields[..]
        else {
            panic!("{row}")
        };
        let uuid = uuids.get(session).and_then(|uuid| uuid.get(..8)).unwrap_or_default();
        let name = if automatic == "1" { "?" } else { name };
        let (ids, layout) = read_layout(layout);
        lines.insert(format!("{uuid} {index:0>3} {id} {name} {layout} {flags}"));
        let number: u32 = pane[1..].parse().unwrap();
        let at = ids.iter().position(|found| *found == number).unwrap();
        lines.insert(format!("{uuid} {index:0>3} {at:02} {pane} {path} {title} {active}"));
    }
    lines.into_iter().collect()
}

/// Waits until the record is what tmux tells.
fn wait_for_record(server: &Server) {
    let is_same = || (lines_recorded(server) == lines_shown(server)).then_some(());
    let differ = || {
        let (ours, theirs) = (lines_recorded(server), lines_shown(server));
        let of = |some: &[String], others: &[String]| -> Vec<String> {
            some.iter().filter(|line| !others.contains(line)).cloned().collect()
        };
        format!("the record: {:#?} instead of {:#?}", of(&ours, &theirs), of(&theirs, &ours))
    };
    wait_for(is_same, differ);
}

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

fn is_soak() -> bool {
    std::env::var_os("ROSTER_SOAK").is_some()
}

/// What lives: panes with their windows, and windows with their sessions.
struct Living {
    panes: Vec<(String, String)>,
    links: Vec<(String, String)>,
}

impl Living {
    fn of(server: &Server) -> Living {
        let format = "#{pane_id} #{window_id} #{session_id}:#{window_index}";
        let listed = server.tmux(&["list-panes", "-a", "-F", format]);
        let (mut panes, mut links) = (BTreeSet::new(), BTreeSet::new());
        for row in listed.lines() {
            let [pane, window, link] = row.split(' ').collect::<Vec<_>>()[..] else { panic!() };
            panes.insert((pane.to_owned(), window.to_owned()));
            links.insert((window.to_owned(), link.to_owned()));
        }
        Living { panes: panes.into_iter().collect(), links: links.into_iter().collect() }
    }
}

/// One of the commands that people give, as the dice have it. The windows in `kept` never go, so that
/// their sessions do not.
fn command(server: &Server, dice: &mut Dice, kept: &[String], n: usize) -> Vec<String> {
    let living = Living::of(server);
    let is_free = |(_, window): &&(String, String)| {
        let panes = living.panes.iter().filter(|(_, other)| other == window).count();
        panes > 1 || !kept.contains(window)
    };
    let free: Vec<_> = living.panes.iter().filter(is_free).collect();
    let loose: Vec<_> = living.links.iter().filter(|(id, _)| !kept.contains(id)).collect();
    let (pane, window) = dice.pick(&living.panes).clone();
    let other = dice.pick(&living.panes).0.clone();
    let session = format!("${}:", dice.roll(3));
    let dir = server.dir(["a", "b", "c"][dice.roll(3)]);
    let mine = if free.is_empty() { pane.clone() } else { dice.pick(&free).0.clone() };
    let taken = (!loose.is_empty()).then(|| (*dice.pick(&loose)).clone());
    let axis = *dice.pick(&["-h", "-v"]);
    let link = dice.pick(&living.links).1.clone();
    let name = format!("n{n}");
    let many = living.panes.len() > 24;
    let is_in = |window: &String, session: &String| {
        living.links.iter().any(|(id, link)| id == window && link.starts_with(session))
    };
    let words: Vec<&str> = match (dice.roll(26), &taken) {
        (0 | 1, _) if !many => vec!["new-window", "-t", &session, "-c", &dir],
        (2, _) if !many => vec!["new-window", "-d", "-n", &name, "-t", &session, "-c", &dir],
        (3 | 4, _) if !many => vec!["split-window", axis, "-t", &pane, "-c", &dir],
        (5, _) if !many => vec!["split-window", axis, "-b", "-d", "-t", &pane, "-c", &dir],
        (6, _) if !free.is_empty() => vec!["kill-pane", "-t", &mine],
        (7, Some((window, _))) => vec!["kill-window", "-t", window],
        (8, _) if !free.is_empty() => vec!["join-pane", axis, "-s", &mine, "-t", &other],
        (9, _) if !free.is_empty() => vec!["join-pane", axis, "-b", "-s", &mine, "-t", &other],
        (10, _) if !free.is_empty() => vec!["break-pane", "-d", "-s", &mine, "-t", &session],
        (11, _) => vec!["swap-pane", "-s", &pane, "-t", &other],
        (12, _) => vec!["rotate-window", "-t", &window],
        (13, _) => vec!["resize-pane", *dice.pick(&["-L", "-R", "-U", "-D"]), "-t", &pane, "3"],
        (14, _) => vec!["resize-pane", "-Z", "-t", &pane],
        (15, _) => vec!["rename-window", "-t", &window, &name],
        (16, Some((window, link))) if !is_in(window, &session) => {
            vec!["move-window", "-s", link, "-t", &session]
        }
        // Twice in one session, it has tmux itself die or hang when that is taken apart.
        (17, Some((window, _))) if !is_in(window, &session) => {
            vec!["link-window", "-s", window, "-t", &session]
        }
        (18, _) => vec!["select-window", "-t", &link],
        (19, _) => vec!["select-pane", "-t", &pane],
        (20, _) => vec!["select-pane", "-t", &pane, "-T", &name],
        (21, _) => vec!["respawn-pane", "-k", "-t", &pane, "-c", &dir],
        (22, _) => vec!["send-keys", "-t", &pane, "cd ", &dir, "Enter"],
        (23, _) => vec!["select-layout", "-t", &window, *dice.pick(&["tiled", "even-vertical"])],
        (24, _) => match dice.roll(5) {
            0 => vec!["set-option", "-w", "-t", &window, "synchronize-panes"],
            1 => vec!["set-option", "-w", "-t", &window, "automatic-rename"],
            2 => vec!["move-window", "-r", "-t", &session],
            3 => vec!["last-window", "-t", &session],
            _ => vec!["swap-window", "-s", &link, "-t", &session],
        },
        _ => vec!["last-pane", "-t", &window],
    };
    words.into_iter().map(str::to_owned).collect()
}

/// Whatever is done to windows and panes, in whatever order, the record is what tmux says.
#[test]
fn after_any_commands_the_record_is_what_tmux_says() {
    let (mut seeds, count) = if is_soak() { (1..=30, 400) } else { (1..=1, 150) };
    if let Some(seed) = std::env::var("ROSTER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        seeds = seed..=seed;
    }
    for seed in seeds {
        let server = started("", &["one", "two", "three"]);
        let kept: Vec<String> = Living::of(&server).links.into_iter().map(|(id, _)| id).collect();
        let mut dice = Dice(seed * 7919);
        let mut given = Given { seed, commands: Vec::new() };
        for n in 0..count {
            let words = command(&server, &mut dice, &kept, n);
            given.commands.push(words.join(" "));
            // Some cannot be done, as where there is no space.
            server.try_tmux(&words);
            if n % 50 == 49 {
                check(&server, n);
            }
        }
    }
}

/// The commands that were given, which are told if the test fails.
struct Given {
    seed: u64,
    commands: Vec<String>,
}

impl Drop for Given {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}:\n{}", self.seed, self.commands.join("\n"));
        }
    }
}

/// Once what was typed in shells has been done, and then one more event has told of it.
fn check(server: &Server, n: usize) {
    let started = Instant::now();
    let mut told = None;
    let mut shown = Vec::new();
    loop {
        let now = lines_shown(server);
        if now == lines_recorded(server) && told.is_some() {
            return;
        }
        // No hook tells what shells do later.
        if now == shown && told.is_none_or(|told: Instant| told.elapsed() > PATIENCE / 3) {
            server.tmux(&["rename-window", "-t", "$0:", &format!("told{n}")]);
            told = Some(Instant::now());
        }
        if started.elapsed() > PATIENCE {
            wait_for_record(server);
            return;
        }
        shown = now;
        wait_until_past(Instant::now(), Duration::from_millis(200));
    }
}

/// No other event helps.
#[test]
fn each_change_that_a_hook_tells_is_recorded_by_itself() {
    let changes: [&[&[&str]]; 3] = [
        &[
            &["new-window", "-d", "-t", "one:5"],
            &["split-window", "-h", "-t", "one:0"],
            &["split-window", "-d", "-b", "-t", "one:0"],
            &["select-pane", "-t", "one:0.0"],
            &["resize-pane", "-t", "one:0.0", "-R", "2"],
            &["kill-pane", "-t", "one:0.1"],
        ],
        &[
            &["new-window", "-t", "one:5", "-n", "name"],
            &["rename-window", "-t", "one:5", "other"],
            &["select-window", "-t", "one:0"],
            &["split-window", "-t", "one:5"],
            &["resize-pane", "-Z", "-t", "one:5.0"],
            &["break-pane", "-d", "-s", "one:5.0", "-t", "one:7"],
        ],
        &[
            &["split-window", "-h", "-t", "one:0"],
            &["rotate-window", "-t", "one:0"],
            &["link-window", "-d", "-s", "one:0", "-t", "one:3"],
            &["unlink-window", "-t", "one:3"],
            &["new-window", "-d", "-t", "one:4"],
            &["join-pane", "-b", "-d", "-s", "one:4.0", "-t", "one:0.1"],
        ],
    ];
    std::thread::scope(|scope| {
        for changes in changes {
            scope.spawn(move || {
                let server = started("", &["one"]);
                for words in changes {
                    let before = lines_shown(&server);
                    server.tmux(words);
                    assert_ne!(lines_shown(&server), before, "{words:?}");
                    wait_for_record(&server);
                }
            });
        }
    });
}

/// What of a server comes back: of each session the windows with their layouts and panes.
fn coming_back(server: &Server, uuids: &[String]) -> Vec<(String, Option<String>, Vec<u32>)> {
    let record = recorded(server);
    let mut back = Vec::new();
    for uuid in uuids {
        for window in record.sessions[uuid].to_bring_back() {
            let layout = window.layout.map(|layout| layout.to_string());
            let panes = window.panes.iter().map(|pane| pane.id.0).collect();
            back.push((format!("{uuid} {}", window.index), layout, panes));
        }
    }
    back
}

fn pane_pid(server: &Server, pane: &str) -> Pid {
    let pid = server.tmux(&["display-message", "-p", "-t", pane, "#{pane_pid}"]);
    Pid::from_raw(pid.parse().unwrap()).unwrap()
}

/// The end of a machine as it goes: what runs in panes ends before the server does, one by one.
fn end_one_by_one(over: Duration, seed: u64) {
    let server = started("", &["one", "two"]);
    server.tmux(&["split-window", "-h", "-t", "=one:0"]);
    server.tmux(&["new-window", "-d", "-t", "=one:"]);
    server.tmux(&["split-window", "-t", "=one:1"]);
    server.tmux(&["split-window", "-t", "=two:0"]);
    wait_for_record(&server);
    let uuids = ["one", "two"].map(|name| server.uuid(name));
    let before = coming_back(&server, &uuids);
    assert_eq!(before.iter().map(|(.., panes)| panes.len()).collect::<Vec<_>>(), [2, 2, 2]);
    let mut dice = Dice(seed * 7919);
    let mut panes: Vec<String> = Living::of(&server).panes.into_iter().map(|p| p.0).collect();
    let step = over / panes.len() as u32;
    let mut ended = Vec::new();
    while !panes.is_empty() {
        let pane = panes.remove(dice.roll(panes.len()));
        let how = dice.roll(3);
        match how {
            0 => kill_process(pane_pid(&server, &pane), Signal::HUP).unwrap(),
            1 => kill_process(pane_pid(&server, &pane), Signal::KILL).unwrap(),
            _ => drop(server.tmux(&["send-keys", "-t", &pane, "exit", "Enter"])),
        }
        ended.push((pane, how));
        wait_until_past(Instant::now(), step);
    }
    server.kill_server();
    server.wait_for_jobs();
    assert_eq!(coming_back(&server, &uuids), before, "seed {seed}, {over:?}: {ended:?}");
    assert_eq!(recorded(&server).closed, []);
}

#[test]
fn what_ends_one_by_one_before_its_server_comes_back_whole() {
    let soak = [(2, 1), (2, 2), (6, 3), (6, 4), (10, 5), (10, 6)];
    let cases = if is_soak() { &soak[..] } else { &[(6, 7)] };
    for (over, seed) in cases {
        end_one_by_one(Duration::from_secs(*over), *seed);
    }
}

#[test]
fn of_what_somebody_closed_what_is_believed_stays_closed_after_a_crash() {
    let server = started("", &["one"]);
    for n in 1..=5 {
        server.tmux(&["new-window", "-d", "-t", &format!("=one:{n}"), "-n", &format!("w{n}")]);
    }
    wait_for_record(&server);
    server.tmux(&["kill-window", "-t", "=one:1"]);
    let closed = || recorded(&server).closed;
    wait_for(|| (closed().len() == 1).then_some(()), || "a closed window".into());
    assert!(!arrangement(&server, "one").unwrap().is_unproven());
    for n in 2..=4 {
        let at = Instant::now();
        server.tmux(&["kill-window", "-t", &format!("=one:{n}")]);
        wait_until_past(at, Duration::from_secs(3));
    }
    let uuid = server.uuid("one");
    server.crash();
    server.wait_for_jobs();
    let back = recorded(&server).sessions[&uuid].to_bring_back();
    let indexes: Vec<u32> = back.iter().map(|window| window.index).collect();
    assert_eq!(indexes, [0, 2, 3, 4, 5]);
    let names: Vec<_> = closed().iter().map(|entry| entry.window.name.clone()).collect();
    assert_eq!(names, [Some(Bytes(b"w1".to_vec()))]);
    // What moved to another window just before is in that one alone.
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_name("two");
    server.tmux(&["split-window", "-t", "=two:"]);
    server.tmux(&["new-window", "-d", "-t", "=two:"]);
    wait_for_record(&server);
    server.tmux(&["join-pane", "-s", "=two:0.1", "-t", "=two:1"]);
    wait_for_record(&server);
    server.tmux(&["kill-pane", "-t", "=two:0.0"]);
    wait_for_record(&server);
    let uuid = server.uuid("two");
    let windows = panes_of(recorded(&server).sessions[&uuid].to_bring_back());
    let panes: Vec<u32> = windows.into_iter().flat_map(|(_, panes)| panes).collect();
    let once: BTreeSet<u32> = panes.iter().copied().collect();
    assert_eq!((panes.len(), once.len()), (3, 3));
}

/// Has the late jobs go through a script, and what they ask tmux through another: both leave a line
/// in the file that is returned.
fn watch_jobs(server: &Server) -> PathBuf {
    let (job, tmux, log) = (server.path("job"), server.path("asking"), server.path("jobs"));
    let note = |what: &str| format!("echo {what} >>'{}'", log.display());
    script(&job, &format!("{}\nexec '{ROSTER}' \"$@\"", note("job")));
    let real = tmux_program().display().to_string();
    let ask = note("ask");
    script(&tmux, &format!("case $* in *list-panes*) {ask};; esac\nexec '{real}' \"$@\""));
    let late = server.tmux(&["show-options", "-gv", "@roster_late"]);
    assert!(late.contains(ROSTER) && late.contains(&real), "{late}");
    let late = late.replace(ROSTER, &job.display().to_string());
    let late = late.replace(&real, &tmux.display().to_string());
    server.tmux(&["set-option", "-g", "@roster_late", &late]);
    log
}

/// Drags a border back and forth for five seconds; tells how many jobs there were, how many of them
/// asked, and how long it took.
fn drag(server: &Server, log: &Path) -> (usize, usize, Duration) {
    server.wait_until_idle();
    let _ = fs::remove_file(log);
    let mut client = ControlClient::attach(server, "=one");
    server.wait_until_idle();
    let count = |what: &str| {
        let text = fs::read_to_string(log).unwrap_or_default();
        text.lines().filter(|line| *line == what).count()
    };
    let before = (count("job"), count("ask"));
    let started = Instant::now();
    for n in 0..200_u32 {
        let way = if n % 20 < 10 { "-L" } else { "-R" };
        client.say(&format!("resize-pane -t =one:0.0 {way} 1"));
        wait_until_past(started, Duration::from_millis(25) * (n + 1));
    }
    let took = started.elapsed();
    wait_for_record(server);
    server.wait_until_idle();
    client.leave();
    (count("job") - before.0, count("ask") - before.1, took)
}

#[test]
fn while_a_border_is_dragged_tmux_is_asked_once_a_second() {
    let server = started("", &["one"]);
    server.tmux(&["split-window", "-h", "-t", "=one:0"]);
    wait_for_record(&server);
    let log = watch_jobs(&server);
    // A loaded machine drags for longer.
    let most = |took: Duration| took.as_secs() as usize + 1;
    let (jobs, asked, took) = drag(&server, &log);
    assert!((2..=most(took)).contains(&jobs), "{jobs} jobs in {took:?}");
    assert!((2..=most(took)).contains(&asked), "{asked} looks in {took:?}");
    if !version().hides_environment() {
        // Each second like the end of a minute, whose mark counts no more: whoever finds another
        // waiting leaves at once.
        server.tmux(&["set-option", "-g", "@roster_minute", "%M%S"]);
        let (_, asked, took) = drag(&server, &log);
        assert!((2..=most(took)).contains(&asked), "{asked} looks in {took:?}");
    }
}

#[test]
fn where_no_windows_are_recorded_their_events_start_no_job() {
    let server = started("", &["one"]);
    server.tmux(&["set-option", "-g", "@roster-windows", "off"]);
    server.wait_until_idle();
    let log = watch_jobs(&server);
    let started = Instant::now();
    for n in 0..6 {
        server.tmux(&["rename-window", "-t", "=one:0", &format!("w{n}")]);
        wait_until_past(started, Duration::from_millis(500) * (n + 1));
    }
    server.wait_until_idle();
    assert!(!log.exists(), "{}", fs::read_to_string(&log).unwrap_or_default());
    // With the next event, they are.
    server.tmux(&["set-option", "-g", "@roster-windows", "on"]);
    name_shell(&server, 0);
}

/// What is recorded of a window of the session `one`.
fn window_at(server: &Server, index: u32) -> Option<Window> {
    arrangement(server, "one")?.windows.into_iter().find(|window| window.index == index)
}

/// Gives a pane with a shell a title, and its window a name, which are recorded.
fn name_shell(server: &Server, index: u32) {
    let target = format!("=one:{index}");
    server.tmux(&["select-pane", "-t", &target, "-T", "mine"]);
    server.tmux(&["rename-window", "-t", &target, "told"]);
    let has = || {
        let window = window_at(server, index)?;
        let (name, title) = (window.name?, window.panes[0].title.clone()?);
        (name.0 == b"told" && title.0 == b"mine").then_some(())
    };
    wait_for(has, || format!("name and title: {:?}", window_at(server, index)));
}

/// Causes an event, and waits until the look at it is in the file.
fn look(server: &Server) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("event{}", COUNT.fetch_add(1, Ordering::Relaxed));
    server.tmux(&["rename-window", "-t", "=one:0", &name]);
    let is_there = || {
        let found = window_at(server, 0)?.name?;
        (found.0 == name.as_bytes()).then_some(())
    };
    wait_for(is_there, || format!("the name {name} in the record"));
}

/// The files below the folder of states that hold a text.
fn holding(server: &Server, text: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![server.path("home/.local/state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if fs::read(&path).unwrap().windows(text.len()).any(|w| w == text.as_bytes()) {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn what_a_program_that_nobody_named_says_stands_in_no_file() {
    let config = "set -g allow-rename on\nset -g @roster-programs 'less known'\n";
    let server = started(config, &["one"]);
    name_shell(&server, 0);
    let body = "printf '\\033]2;S3CRET-title\\033\\\\'\nprintf '\\033kS3CRET-name\\033\\\\'\n\
        exec sleep 1000";
    // By its own words, by those of a shell that runs it, and where its words name a listed one.
    script(&server.path("agent"), body);
    let agent = server.dir("agent");
    let ways = [
        format!("{agent} S3CRET-word"),
        format!("sh -c '{agent} S3CRET-word; :' known"),
        format!("sh -c '. {agent}' S3CRET-word"),
    ];
    for (n, way) in ways.iter().enumerate() {
        let target = format!("=one:{}", n + 1);
        server.tmux(&["new-window", "-d", "-t", &target]);
        name_shell(&server, n as u32 + 1);
        server.tmux(&["send-keys", "-t", &target, way, "Enter"]);
        let shown = || {
            let format = "#{pane_title} #{window_name}";
            server.tmux(&["display-message", "-p", "-t", &target, format])
        };
        wait_for(
            || (shown() == "S3CRET-title S3CRET-name").then_some(()),
            || format!("the title and the name, there are {}", shown()),
        );
        look(&server);
        let window = || window_at(&server, n as u32 + 1).unwrap();
        assert_eq!(window().name, Some(Bytes(b"told".to_vec())), "{way}");
        assert_eq!(window().panes[0].title, Some(Bytes(b"mine".to_vec())), "{way}");
        assert_eq!(window().panes[0].program, []);
        // A program that is not in the active pane has named the window as well.
        server.tmux(&["split-window", "-t", &target]);
        wait_for(|| (window().panes.len() == 2).then_some(()), || "the new pane".into());
        look(&server);
        assert_eq!(window().name, Some(Bytes(b"told".to_vec())), "{way}");
    }
    assert_eq!(holding(&server, "S3CRET"), Vec::<PathBuf>::new());
    assert!(!holding(&server, "mine").is_empty(), "else this would prove nothing");
}

#[test]
fn a_program_that_is_named_has_its_exact_words() {
    let config = "set -g @roster-programs 'lister'\nset -g @roster-resume-resumed 'x'\n";
    let server = started(config, &["one"]);
    let arguments: [&[u8]; 10] = [
        b"a b",
        b"it's",
        b"say \"hi\"",
        b"two\nlines",
        b"",
        b"bad\xff",
        b"$(touch canary)",
        b"#(touch canary)",
        b"--",
        b"",
    ];
    server.set_trap();
    for (n, name) in ["lister", "resumed"].iter().enumerate() {
        // It runs for a while whatever its arguments are.
        copy_program(Path::new("/bin/sh"), &server.path(name));
        let program = server.dir(name);
        let mut words: Vec<&[u8]> = vec![program.as_bytes(), b"-c", b"sleep 1000; :", b"it"];
        words.extend(arguments);
        let quoted: Vec<Vec<u8>> = words.iter().map(|word| quote_sh(word)).collect();
        let launch = server.path("launch");
        fs::write(&launch, [b"exec ", quoted.join(&b' ').as_slice(), b"\n"].concat()).unwrap();
        let target = format!("=one:{}", n + 1);
        server.tmux(&["new-window", "-d", "-t", &target]);
        server.tmux(&["send-keys", "-t", &target, &format!("sh {}", launch.display()), "Enter"]);
        let words: Vec<Bytes> = words.into_iter().map(Bytes::from).collect();
        let program = || {
            look(&server);
            let windows = arrangement(&server, "one")?.windows;
            Some(windows.iter().find(|w| w.index == n as u32 + 1)?.panes[0].program.clone())
        };
        wait_for(|| (program()? == words).then_some(()), || format!("{words:?}: {:?}", program()));
    }
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_directory_that_was_removed_and_a_pane_that_is_dead_are_what_they_were() {
    let server = started("set -g remain-on-exit on\n", &["one"]);
    let gone = server.dir("gone");
    fs::create_dir(&gone).unwrap();
    server.tmux(&["new-window", "-d", "-t", "=one:1", "-c", &gone]);
    server.tmux(&["new-window", "-d", "-t", "=one:2", "-c", &server.dir("b")]);
    wait_for_record(&server);
    let before = arrangement(&server, "one").unwrap().windows;
    fs::remove_dir(&gone).unwrap();
    kill_process(pane_pid(&server, "=one:2"), Signal::KILL).unwrap();
    let is_dead = || server.tmux(&["display-message", "-p", "-t", "=one:2", "#{pane_dead}"]);
    wait_for(|| (is_dead() == "1").then_some(()), || "a dead pane".into());
    look(&server);
    let after = arrangement(&server, "one").unwrap().windows;
    for (before, after) in before.iter().zip(&after).skip(1) {
        assert_eq!(before.panes, after.panes);
        assert!(after.panes[0].directory.is_some() && after.fuller.is_none());
    }
    // Its process gone with its directory, and whatever else there is of it.
    server.tmux(&["kill-window", "-t", "=one:2"]);
    look(&server);
    assert_eq!(arrangement(&server, "one").unwrap().windows.len(), 2);
}

/// As a program is that another user owns, and that may not be looked into.
#[test]
fn of_a_process_of_another_user_what_was_known_stays() {
    if !rustix::process::geteuid().is_root() {
        return skip("a process of another user", Lack::Permission, "only root can make one");
    }
    let plain = Server::with_plugin("set -g @roster-programs other\n");
    let server = Server::of_ordinary_user(plain.config());
    server.tmux(&["new-session", "-d", "-s", "one"]);
    wait_for_record(&server);
    // Neither dumpable nor ours, while it runs.
    let program = server.path("other");
    copy_program(Path::new("/bin/sleep"), &program);
    let modes = fs::Permissions::from_mode(0o4755);
    fs::set_permissions(&program, modes).unwrap();
    name_shell(&server, 0);
    server.tmux(&["new-window", "-d", "-t", "=one:1", "-c", &server.dir("b")]);
    name_shell(&server, 1);
    let before = window_at(&server, 1).unwrap().panes;
    let command = format!("exec '{}' 1000", program.display());
    server.tmux(&["send-keys", "-t", "=one:1", &command, "Enter"]);
    let pid = pane_pid(&server, "=one:1").as_raw_nonzero();
    let runs = || fs::read_to_string(format!("/proc/{pid}/comm")).unwrap() == "other\n";
    wait_for(|| runs().then_some(()), || "the program".into());
    look(&server);
    let after = window_at(&server, 1).unwrap().panes;
    assert_eq!(after[0].directory, before[0].directory);
    assert_eq!(after[0].title, before[0].title);
    // Whoever it is, its words are for all to see.
    assert_eq!(after[0].program.len(), 2);
}

#[test]
fn where_there_is_no_proc_tmux_tells_of_programs_and_directories() {
    let mut trial = Command::new("unshare");
    trial.args(["-m", "mount", "-t", "tmpfs", "none", "/proc"]);
    if !can("a system without /proc", &mut trial) {
        return;
    }
    let server = started("set -g @roster-programs sleep\n", &["one"]);
    let job = server.path("job");
    let body = "exec unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh";
    script(&job, &format!("{body} '{ROSTER}' \"$@\""));
    let late = server.tmux(&["show-options", "-gv", "@roster_late"]);
    let late = late.replace(ROSTER, &job.display().to_string());
    server.tmux(&["set-option", "-g", "@roster_late", &late]);
    server.tmux(&["new-window", "-d", "-t", "=one:1", "-c", &server.dir("b")]);
    wait_for_record(&server);
    server.tmux(&["send-keys", "-t", "=one:1", "sleep 1000", "Enter"]);
    let command = || {
        let format = "#{pane_current_command}";
        server.tmux(&["display-message", "-p", "-t", "=one:1", format])
    };
    wait_for(|| (command() == "sleep").then_some(()), || "sleep in front".into());
    look(&server);
    let pane = arrangement(&server, "one").unwrap().windows[1].panes[0].clone();
    assert_eq!(pane.program, [Bytes(b"sleep".to_vec())]);
    assert_eq!(pane.directory, Some(Bytes(server.dir("b").into_bytes())));
}

#[test]
fn the_file_is_private_and_damage_and_a_newer_one_disturb_nothing() {
    let server = started("", &["one"]);
    let path = file(&server);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    server.wait_until_idle();
    fs::write(&path, "{\"version\":1,\"sessions\":[").unwrap();
    server.tmux(&["new-window", "-d", "-t", "=one:"]);
    let whole = || {
        let text = fs::read(&path).ok()?;
        serde_json::from_slice::<Windows>(&text).is_ok().then_some(())
    };
    wait_for(whole, || "a whole file".into());
    wait_for_record(&server);
    let aside: Vec<PathBuf> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.display().to_string().contains("windows.json.corrupt."))
        .collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(fs::read(&aside[0]).unwrap(), b"{\"version\":1,\"sessions\":[");
    assert_eq!(server.names(), ["one"]);

    server.wait_until_idle();
    let newer = b"{\"version\":2,\"sessions\":[7]}";
    fs::write(&path, newer).unwrap();
    server.tmux(&["split-window", "-t", "=one:"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    server.wait_for_names(&["two", "uno"]);
    server.wait_until_idle();
    let log = server.registry_path().with_file_name("roster.log");
    let complains = || fs::read_to_string(&log).unwrap_or_default().contains("windows.json");
    wait_for(|| complains().then_some(()), || "a line in the log".into());
    server.wait_until_idle();
    assert_eq!(fs::read(&path).unwrap(), newer);
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
    // Once that is gone it is as ever.
    fs::remove_file(&path).unwrap();
    server.tmux(&["split-window", "-t", "=two:"]);
    wait_for_record(&server);
}

#[test]
fn names_titles_and_directories_are_recorded_byte_for_byte() {
    let server = started("", &["one"]);
    server.set_trap();
    let version = version();
    let plain: [&[u8]; 11] = [
        b"a b",
        b"it's",
        b"say \"hi\"",
        b"$(touch canary)",
        b"`touch canary`",
        b"#(touch canary)",
        b"#{pid}",
        b"#[fg=red]x",
        b"end;",
        b"E",
        "日本語".as_bytes(),
    ];
    // As names those are refused by some versions, and stored otherwise by others.
    let odd: [&[u8]; 4] = [b"line\nbreak", b"bad\xffutf8", b"esc\x1b[31mred", b"a\\b$HOME"];
    let mut expected = Vec::new();
    for (n, text) in plain.iter().chain(&odd).enumerate() {
        let folder = server.path("c").join(OsStr::from_bytes(text));
        fs::create_dir(&folder).unwrap();
        let target = format!("=one:{}", n + 1);
        let escaped = |text: &[u8]| argument(OsString::from_vec(escape_name(text, version)));
        let mut words: Vec<OsString> = ["new-window", "-d", "-t", &target].map(Into::into).into();
        words.extend(["-c".into(), escaped(folder.as_os_str().as_bytes())]);
        let name = plain.contains(text).then_some(*text);
        if let Some(name) = name {
            // 3.0a takes a name as it is.
            let raw = || argument(OsString::from_vec(name.to_vec()));
            words
                .extend(["-n".into(), if tmux_version() > (3, 0) { escaped(name) } else { raw() }]);
        }
        server.tmux(&words);
        if name.is_some() {
            let words: [OsString; 4] =
                ["select-pane".into(), "-t".into(), target.into(), "-T".into()];
            server.tmux(&[&words[..], &[escaped(text)]].concat());
        }
        let directory = Bytes(folder.as_os_str().as_bytes().to_vec());
        expected.push((n as u32 + 1, directory, name.map(Bytes::from)));
    }
    let found = || {
        let windows = arrangement(&server, "one").map_or(Vec::new(), |a| a.windows);
        let row = |window: Window| {
            let pane = window.panes[0].clone();
            let title = window.name.as_ref().and(pane.title);
            let directory = pane.directory.unwrap_or(Bytes(Vec::new()));
            assert!(title == window.name || title.is_some(), "{title:?}");
            (window.index, directory, window.name, title)
        };
        windows.into_iter().skip(1).map(row).collect::<Vec<_>>()
    };
    let expected: Vec<_> =
        expected.into_iter().map(|(n, dir, name)| (n, dir, name.clone(), name)).collect();
    wait_for(|| (found() == expected).then_some(()), || format!("{expected:?}, not {:?}", found()));
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn killed_at_any_system_call_the_file_is_the_old_or_the_new_one() {
    if !can_trace("a look at windows killed at any system call") {
        return;
    }
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["set-option", "-g", "@roster_run", "true"]);
    server.roster(&["sync"]);
    let folder = server.registry_path().parent().unwrap().to_owned();
    let pid = server.tmux(&["display-message", "-p", "-t", "=one:", "#{pid}"]);
    let socket = format!("{},{pid},-1", server.socket().display());
    let found = || {
        let record = recorded(&server);
        let session = record.sessions.values().next()?;
        Some(String::from_utf8(session.windows[0].name.clone()?.0).unwrap())
    };
    // What stands in the file before each, and what is to stand there.
    let names = std::cell::RefCell::new((None, String::new()));
    let command = || {
        let mut names = names.borrow_mut();
        let n: u32 = names.1.strip_prefix('n').map_or(0, |n| n.parse().unwrap());
        *names = (found(), format!("n{}", n + 1));
        server.tmux(&["rename-window", "-t", "=one:", &names.1]);
        // A look that does not wait.
        let mut job = server.command(ROSTER);
        job.args(["look", "--windows", "--after", "0", "--dir"]).arg(&folder);
        job.arg("--tmux").arg(tmux_program()).env("TMUX", &socket);
        job
    };
    let killed = kill_at_every_call(25, command, |call| {
        let (old, new) = names.borrow().clone();
        let now = found();
        assert!(now == old || now == Some(new), "at call {call}: {now:?}, before {old:?}");
        assert_eq!(server.names(), ["one"], "at call {call}");
    });
    assert!(hit_the_heart(&killed), "{killed:?}");
    assert!(command().status().unwrap().success());
    assert_eq!(found(), Some(names.borrow().1.clone()));
    assert!(leftovers(&folder).is_empty(), "{:?}", leftovers(&folder));
}

#[test]
fn a_window_in_two_sessions_is_one_and_clones_and_ignored_sessions_leave_nothing() {
    let server = started("set -g @roster-ignore '_*'\n", &["one", "two"]);
    server.tmux(&["new-session", "-d", "-s", "_hidden"]);
    server.tmux(&["split-window", "-t", "=one:0"]);
    server.tmux(&["link-window", "-d", "-s", "=one:0", "-t", "=two:7"]);
    server.tmux(&["new-session", "-d", "-s", "clone", "-t", "=two"]);
    server.tmux(&["new-window", "-d", "-t", "=_hidden:"]);
    server.wait_for_name("clone");
    let ids = |name: &str| -> Vec<u32> {
        let windows = arrangement(&server, name).map_or(Vec::new(), |a| a.windows);
        windows.iter().map(|window| window.id).collect()
    };
    let first = || ids("one").first().copied();
    wait_for(
        || (ids("two").len() == 2 && ids("two").get(1).copied() == first()).then_some(()),
        || format!("the window in both: {:?} {:?}", ids("one"), ids("two")),
    );
    server.wait_until_idle();
    let record = recorded(&server);
    let uuids = ["one", "two"].map(|name| server.uuid(name));
    assert_eq!(record.sessions.keys().collect::<BTreeSet<_>>(), uuids.iter().collect());
    // Its pane is lost once, and comes back with both.
    let pane = server.tmux(&["display-message", "-p", "-t", "=one:0.1", "#{pane_id}"]);
    server.tmux(&["kill-pane", "-t", &pane]);
    let lost = PaneId::parse(&pane).unwrap().0;
    let has = |uuid: &String| {
        let record = recorded(&server);
        record.sessions[uuid].is_unproven()
            && panes_of(record.sessions[uuid].to_bring_back()).iter().any(|w| w.1.contains(&lost))
    };
    wait_for(|| uuids.iter().all(has).then_some(()), || format!("{:?}", recorded(&server)));
    // With the whole session in the other window's place.
    server.tmux(&["kill-session", "-t", &server.id("one")]);
    let is_gone = || (!recorded(&server).sessions[&uuids[0]].here).then_some(());
    wait_for(is_gone, || "the end of its session".into());
    assert!(uuids.iter().all(|uuid| {
        let back = panes_of(recorded(&server).sessions[uuid].to_bring_back());
        back.iter().any(|window| window.1.contains(&lost))
    }));
}

/// A look that does a session's work, too, asks once more in between, and not for panes.
#[test]
fn a_look_that_restores_sessions_loses_no_window() {
    let server = Server::with_config("set -g @roster_run true\nset -g @roster-restore on\n");
    let look = |names: &[&str]| {
        let pid =
            server.tmux(&["list-sessions", "-F", "#{pid}"]).lines().next().unwrap().to_owned();
        let mut job = server.command(ROSTER);
        let folder = server.registry_path().parent().unwrap().to_owned();
        job.args(["look", "--windows", "--after", "0", "--dir"]).arg(folder);
        job.arg("--tmux").arg(tmux_program());
        job.env("TMUX", format!("{},{pid},-1", server.socket().display()));
        assert!(job.status().unwrap().success());
        assert_eq!(server.names(), names);
    };
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    look(&["one"]);
    server.tmux(&["split-window", "-t", "=one:"]);
    look(&["one"]);
    let before = arrangement(&server, "one").unwrap();
    assert_eq!(before.windows[0].panes.len(), 2);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    look(&["one", "two"]);
    let living = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
    assert_eq!(living, "one\ntwo");
    assert!(arrangement(&server, "two").is_some_and(|two| two.here && two.windows.len() == 1));
    // What was made after the question is seen the next time.
    let one = arrangement(&server, "one").unwrap();
    assert_eq!((one.here, one.to_bring_back()), (false, before.to_bring_back()));
    look(&["one", "two"]);
    assert!(arrangement(&server, "one").unwrap().here);
}

/// It waits for its turn to look, and until it notices, its lock is in the way.
#[test]
fn a_job_of_a_server_that_has_ended_keeps_no_other_from_looking() {
    let server = started("", &["one"]);
    for _ in 0..3 {
        server.tmux(&["split-window", "-d", "-t", "=one:"]);
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        wait_for_record(&server);
    }
}
