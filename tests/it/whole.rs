//! The whole system on a real server against a small model: whatever people, crashes, kills of our
//! own and editors do, and in whatever order, after each of them registry, list of closed sessions
//! and tmux say what the model says, and the invariants of src/lib.rs hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;
use tmux_roster::Timestamp;
use tmux_roster::model::session::is_uuid;
use tmux_roster::tmux::hooks::HOOKS;

use crate::env::{
    Client, ROSTER, Server, hook_job, leftovers, tmux_program, tmux_version, wait_for,
};

/// How many sequences run in any case, and how long it goes on with others: within the gate, and
/// with `scripts/test --soak`.
const AT_LEAST: u64 = 8;
const FOR: Duration = Duration::from_secs(15);
const SOAK: Duration = Duration::from_secs(600);

/// What the server must outlive a close by: ten seconds, less what a timer may be early.
const GRACE: Duration = Duration::from_millis(9_900);

const MODES: [&str; 3] = ["safe", "yolo", "calm"];

/// One of our commands. Sessions are numbered; `s0` is the name of the first.
#[derive(Debug, Clone)]
enum Verb {
    New(u8, u8),
    Rename(u8, u8),
    Kill(u8),
    Restore(u8),
    RestoreAll,
    Reopen(u8),
    ReopenLast,
    ReopenAs(u8, u8),
    Forget(u8),
    Mode(u8, u8),
    NextMode(u8),
    Clear,
}

/// What people do in tmux itself, which hooks tell us of.
#[derive(Debug, Clone)]
enum Deed {
    New(u8, u8),
    /// A session of the group of the first, under the second name.
    Clone(u8, u8, u8),
    Rename(u8, u8),
    Kill(u8),
}

/// What no hook tells: what people set, edit and delete.
#[derive(Debug, Clone)]
enum Meddling {
    CopyStamp(u8, u8),
    SetMode(u8, u8),
    EditMode(u8, u8),
    WipeHooks,
    DeleteRegistry,
    DeleteRegistryAndCopy,
    DamageRegistry(u8),
    DeleteMemory,
}

#[derive(Debug, Clone)]
enum Action {
    Verb(Verb),
    Deed(Deed),
    Meddling(Meddling),
    Attach(u8),
    /// A session that is left untracked, and then is renamed (or not) and so tracked again.
    ForgetLive(u8, bool),
    /// A command of ours gets SIGKILL after so many tenths of a millisecond.
    KilledVerb(Verb, u8),
    /// Something happens in tmux, and a hook's job is killed while it looks.
    KilledJob(Deed, u8),
    /// The server ends, by SIGKILL or by its own command; a command may come while there is none;
    /// then it is started again, by tmux or by `restore --all`.
    Restart {
        crash: bool,
        meanwhile: Option<Verb>,
        restore: bool,
    },
}

/// Numbers from 4 on are taken as they come, the others aimed at a session that suits.
const NUMBERS: std::ops::Range<u8> = 0..6;

fn verbs() -> impl Strategy<Value = Verb> {
    let (n, d) = (NUMBERS, 0..2u8);
    prop_oneof![
        4 => (n.clone(), d).prop_map(|(n, d)| Verb::New(n, d)),
        2 => (n.clone(), n.clone()).prop_map(|(a, b)| Verb::Rename(a, b)),
        2 => n.clone().prop_map(Verb::Kill),
        2 => n.clone().prop_map(Verb::Restore),
        1 => Just(Verb::RestoreAll),
        2 => n.clone().prop_map(Verb::Reopen),
        1 => Just(Verb::ReopenLast),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Verb::ReopenAs(a, b)),
        2 => n.clone().prop_map(Verb::Forget),
        2 => (n.clone(), 0..3u8).prop_map(|(n, m)| Verb::Mode(n, m)),
        1 => n.prop_map(Verb::NextMode),
        1 => Just(Verb::Clear),
    ]
}

fn deeds() -> impl Strategy<Value = Deed> {
    let (n, d) = (NUMBERS, 0..2u8);
    prop_oneof![
        4 => (n.clone(), d.clone()).prop_map(|(n, d)| Deed::New(n, d)),
        2 => (n.clone(), n.clone(), d).prop_map(|(a, b, d)| Deed::Clone(a, b, d)),
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Deed::Rename(a, b)),
        3 => n.prop_map(Deed::Kill),
    ]
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let n = NUMBERS;
    let meddling = prop_oneof![
        (n.clone(), n.clone()).prop_map(|(a, b)| Meddling::CopyStamp(a, b)),
        (n.clone(), 0..3u8).prop_map(|(n, m)| Meddling::SetMode(n, m)),
        (n.clone(), 0..3u8).prop_map(|(n, m)| Meddling::EditMode(n, m)),
        Just(Meddling::WipeHooks),
        Just(Meddling::DeleteRegistry),
        Just(Meddling::DeleteRegistryAndCopy),
        any::<u8>().prop_map(Meddling::DamageRegistry),
        Just(Meddling::DeleteMemory),
    ];
    let restart = (any::<bool>(), prop::option::of(verbs()), any::<bool>());
    let action = prop_oneof![
        7 => verbs().prop_map(Action::Verb),
        8 => deeds().prop_map(Action::Deed),
        4 => meddling.prop_map(Action::Meddling),
        2 => n.clone().prop_map(Action::Attach),
        1 => (n, any::<bool>()).prop_map(|(n, again)| Action::ForgetLive(n, again)),
        4 => (verbs(), any::<u8>()).prop_map(|(verb, delay)| Action::KilledVerb(verb, delay)),
        2 => (deeds(), any::<u8>()).prop_map(|(deed, delay)| Action::KilledJob(deed, delay)),
        3 => restart.prop_map(|(crash, meanwhile, restore)| {
            Action::Restart { crash, meanwhile, restore }
        }),
    ];
    prop::collection::vec(action, 12..24)
}

fn name(n: u8) -> String {
    format!("s{n}")
}

fn dir(server: &Server, d: u8) -> String {
    server.dir(["a", "b"][usize::from(d)])
}

impl Verb {
    fn words(&self, server: &Server) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Verb::New(n, d) => words(&["new", "-d", "-c", &dir(server, *d), &name(*n)]),
            Verb::Rename(a, b) => words(&["rename", &name(*a), &name(*b)]),
            Verb::Kill(n) => words(&["kill", &name(*n)]),
            Verb::Restore(n) => words(&["restore", &name(*n)]),
            Verb::RestoreAll => words(&["restore", "--all"]),
            Verb::Reopen(n) => words(&["reopen", &name(*n)]),
            Verb::ReopenLast => words(&["reopen"]),
            Verb::ReopenAs(a, b) => words(&["reopen", &name(*a), "--as", &name(*b)]),
            Verb::Forget(n) => words(&["forget", &name(*n)]),
            Verb::Mode(n, m) => words(&["mode", &name(*n), MODES[usize::from(*m)]]),
            Verb::NextMode(n) => words(&["mode", "--next", &name(*n)]),
            Verb::Clear => words(&["clear"]),
        }
    }
}

/// The number of a session that suits, if there is one: from `n` on.
fn aim(n: u8, suits: impl Fn(&str) -> bool) -> u8 {
    match n {
        0..4 => (0..4).map(|k| (n + k) % 4).find(|n| suits(&name(*n))).unwrap_or(n),
        _ => n - 4,
    }
}

impl Verb {
    fn aimed(&self, model: &Model) -> Verb {
        let recorded = |name: &str| model.at(name).is_some();
        let (live, lost) =
            (|name: &str| model.live(name).is_some(), |name: &str| model.lost(name).is_some());
        let closed = |name: &str| model.closed.iter().any(|record| record.name == name);
        let free = |name: &str| !recorded(name);
        match self {
            Verb::New(n, d) => Verb::New(n % 4, *d),
            Verb::Rename(a, b) => Verb::Rename(aim(*a, recorded), aim(*b, free)),
            Verb::Kill(n) => Verb::Kill(aim(*n, live)),
            Verb::Restore(n) => Verb::Restore(aim(*n, lost)),
            Verb::Reopen(n) => Verb::Reopen(aim(*n, |name| closed(name) && free(name))),
            Verb::ReopenAs(a, b) => Verb::ReopenAs(aim(*a, closed), aim(*b, free)),
            Verb::Forget(n) => {
                Verb::Forget(aim(*n, |name| lost(name) || closed(name) && free(name)))
            }
            Verb::Mode(n, m) => Verb::Mode(aim(*n, recorded), *m),
            Verb::NextMode(n) => Verb::NextMode(aim(*n, recorded)),
            verb => verb.clone(),
        }
    }
}

impl Deed {
    fn aimed(&self, model: &Model) -> Deed {
        let live = |name: &str| model.live(name).is_some();
        let free = |name: &str| !live(name);
        match self {
            Deed::New(n, d) => Deed::New(aim(*n, free), *d),
            Deed::Clone(a, b, d) => Deed::Clone(aim(*a, live), aim(*b, free), *d),
            Deed::Rename(a, b) => Deed::Rename(aim(*a, live), aim(*b, free)),
            Deed::Kill(n) => Deed::Kill(aim(*n, live)),
        }
    }
}

impl Meddling {
    fn aimed(&self, model: &Model) -> Meddling {
        let live = |name: &str| model.live(name).is_some();
        match self {
            Meddling::CopyStamp(a, b) => {
                let a = aim(*a, live);
                Meddling::CopyStamp(a, aim(*b, |other| live(other) && other != name(a)))
            }
            Meddling::SetMode(n, m) => Meddling::SetMode(aim(*n, live), *m),
            Meddling::EditMode(n, m) => Meddling::EditMode(aim(*n, live), *m),
            meddling => meddling.clone(),
        }
    }
}

impl Action {
    /// The same for sessions that there are.
    fn aimed(&self, model: &Model) -> Action {
        let live = |name: &str| model.live(name).is_some();
        match self {
            Action::Verb(verb) => Action::Verb(verb.aimed(model)),
            Action::Deed(deed) => Action::Deed(deed.aimed(model)),
            Action::Meddling(meddling) => Action::Meddling(meddling.aimed(model)),
            Action::Attach(n) => Action::Attach(aim(*n, live)),
            Action::ForgetLive(n, again) => Action::ForgetLive(aim(*n, live), *again),
            Action::KilledVerb(verb, delay) => Action::KilledVerb(verb.aimed(model), *delay),
            Action::KilledJob(deed, delay) => Action::KilledJob(deed.aimed(model), *delay),
            // What there will be is known only once the server has ended.
            Action::Restart { .. } => self.clone(),
        }
    }
}

#[derive(Debug, Clone)]
struct Record {
    /// Empty until it was seen.
    uuid: String,
    name: String,
    mode: String,
    dir: String,
    lives: bool,
    /// Its place in the order in which tmux made them, and its session group.
    born: u32,
    group: Option<u32>,
    /// The foreign stamp that it was last given: given once more, it would look like one that a
    /// window's option masks, and those are put in place but once.
    stamped_over: String,
    /// For a close in tmux: since when, while nobody has seen that it is believed.
    unproven: Option<Instant>,
}

/// What there should be, by the states of a session (src/lib.rs).
#[derive(Debug, Clone, Default)]
struct Model {
    /// What sessions.json holds.
    recorded: Vec<Record>,
    /// Newest first.
    closed: Vec<Record>,
    born: u32,
    /// Every UUID that was ever given, with created_at and last_attached_at as last seen.
    seen: BTreeMap<String, Option<(Timestamp, Timestamp)>>,
    /// At least then, to the second, a client came to the session.
    attached: BTreeMap<String, Timestamp>,
}

impl Model {
    fn at(&self, name: &str) -> Option<usize> {
        self.recorded.iter().position(|record| record.name == name)
    }

    fn live(&self, name: &str) -> Option<usize> {
        self.at(name).filter(|at| self.recorded[*at].lives)
    }

    fn lost(&self, name: &str) -> Option<usize> {
        self.at(name).filter(|at| !self.recorded[*at].lives)
    }

    fn is_clone(&self, record: &Record) -> bool {
        let first =
            |other: &Record| other.lives && other.group == record.group && other.born < record.born;
        record.lives && record.group.is_some() && self.recorded.iter().any(first)
    }

    fn close(&mut self, record: Record, unproven: Option<Instant>) {
        let record = Record { lives: false, group: None, unproven, ..record };
        self.closed.insert(0, record);
    }

    /// A record that is made anew, or a new one.
    fn bear(&mut self, record: Record) {
        self.born += 1;
        let stamped_over = String::new();
        let (group, unproven) = (record.group, None);
        let born = self.born;
        self.recorded.push(Record { lives: true, born, group, stamped_over, unproven, ..record });
    }

    fn bear_new(&mut self, name: &str, dir: String, group: Option<u32>) {
        let (uuid, mode) = (String::new(), MODES[0].to_owned());
        let stamped_over = String::new();
        let (lives, born, unproven) = (true, 0, None);
        let name = name.to_owned();
        self.bear(Record { uuid, name, mode, dir, lives, born, group, stamped_over, unproven });
    }

    /// A lost session steps aside for one that takes its name.
    fn step_aside(&mut self, name: &str) {
        if let Some(at) = self.lost(name) {
            let lost = self.recorded.remove(at);
            self.close(lost, None);
        }
    }

    fn bring_back(&mut self, at: usize) {
        let record = self.recorded.remove(at);
        self.bear(record);
    }

    /// What a command of ours makes of it; `None` if it refuses.
    fn verb(&self, server: &Server, verb: &Verb) -> Option<Model> {
        let mut next = self.clone();
        match verb {
            Verb::New(n, d) => {
                let (name, dir) = (name(*n), dir(server, *d));
                match next.at(&name) {
                    Some(at) if next.recorded[at].lives => return None,
                    Some(at) if next.recorded[at].dir == dir => next.bring_back(at),
                    _ => {
                        next.step_aside(&name);
                        next.bear_new(&name, dir, None);
                    }
                }
            }
            Verb::Rename(a, b) => {
                if next.at(&name(*b)).is_some() {
                    return None;
                }
                let at = next.at(&name(*a))?;
                next.recorded[at].name = name(*b);
            }
            Verb::Kill(n) => {
                let at = next.live(&name(*n))?;
                let is_clone = next.is_clone(&next.recorded[at]);
                let record = next.recorded.remove(at);
                if !is_clone {
                    next.close(record, None);
                }
            }
            Verb::Restore(n) => {
                let at = next.lost(&name(*n))?;
                next.bring_back(at);
            }
            Verb::RestoreAll => next.restore_all(),
            Verb::Reopen(_) | Verb::ReopenLast | Verb::ReopenAs(..) => {
                next = next.half_reopened(verb)?;
                let at = next.recorded.len() - 1;
                next.bring_back(at);
            }
            Verb::Forget(n) => match next.at(&name(*n)) {
                Some(at) if next.recorded[at].lives => return None,
                Some(at) => {
                    let lost = next.recorded.remove(at);
                    next.close(lost, None);
                }
                None => {
                    let at = next.closed.iter().position(|record| record.name == name(*n))?;
                    next.closed.remove(at);
                }
            },
            Verb::Mode(n, m) => {
                let at = next.at(&name(*n))?;
                next.recorded[at].mode = MODES[usize::from(*m)].to_owned();
            }
            Verb::NextMode(n) => {
                let at = next.at(&name(*n))?;
                let mode = &mut next.recorded[at].mode;
                *mode = if mode == MODES[0] { MODES[1] } else { MODES[0] }.to_owned();
            }
            Verb::Clear => {
                let mut lost: Vec<Record> = next.recorded.clone();
                lost.retain(|record| !record.lives);
                lost.sort_by(|a, b| a.name.cmp(&b.name));
                next.recorded.retain(|record| record.lives);
                lost.into_iter().for_each(|record| next.close(record, None));
            }
        }
        Some(next)
    }

    fn restore_all(&mut self) {
        while let Some(at) = self.recorded.iter().position(|record| !record.lives) {
            self.bring_back(at);
        }
    }

    /// A closed one that is among the lost ones again, under its old name or another.
    fn half_reopened(&self, verb: &Verb) -> Option<Model> {
        let mut next = self.clone();
        let wanted = match verb {
            Verb::Reopen(n) | Verb::ReopenAs(n, _) => Some(name(*n)),
            _ => None,
        };
        let is_it = |record: &Record| wanted.as_ref().is_none_or(|name| *name == record.name);
        let at = next.closed.iter().position(is_it)?;
        let mut record = next.closed.remove(at);
        if let Verb::ReopenAs(_, b) = verb {
            record.name = name(*b);
        }
        if next.at(&record.name).is_some() {
            return None;
        }
        next.recorded.push(record);
        Some(next)
    }

    /// What a deed in tmux makes of it; `None` if tmux refuses.
    fn deed(&self, server: &Server, deed: &Deed) -> Option<Model> {
        let mut next = self.clone();
        match deed {
            Deed::New(n, d) => {
                let (name, dir) = (name(*n), dir(server, *d));
                match next.at(&name) {
                    Some(at) if next.recorded[at].lives => return None,
                    // Before 3.2 tmux does not tell the directory, and the name is enough.
                    Some(at) if next.recorded[at].dir == dir || tmux_version() < (3, 2) => {
                        next.bring_back(at);
                    }
                    _ => {
                        next.step_aside(&name);
                        next.bear_new(&name, dir, None);
                    }
                }
            }
            Deed::Clone(a, b, d) => {
                let first = next.live(&name(*a))?;
                if next.live(&name(*b)).is_some() {
                    return None;
                }
                let group = next.recorded[first].group.unwrap_or(next.recorded[first].born);
                next.recorded[first].group = Some(group);
                next.step_aside(&name(*b));
                next.bear_new(&name(*b), dir(server, *d), Some(group));
            }
            Deed::Rename(a, b) => {
                let at = next.live(&name(*a))?;
                if next.live(&name(*b)).is_some() {
                    return None;
                }
                name(*b).clone_into(&mut next.recorded[at].name);
                let lost = |record: &Record| !record.lives && record.name == name(*b);
                if let Some(at) = next.recorded.iter().position(lost) {
                    let lost = next.recorded.remove(at);
                    next.close(lost, None);
                }
            }
            Deed::Kill(n) => {
                let at = next.live(&name(*n))?;
                let is_clone = next.is_clone(&next.recorded[at]);
                let record = next.recorded.remove(at);
                if !is_clone {
                    next.close(record, Some(Instant::now()));
                }
            }
        }
        Some(next)
    }

    /// The server has ended: who lived is lost, and so are those whose close it did not outlive.
    /// Where nobody knows whether it did, the list of closed ones says so.
    fn end(&mut self, ended: Instant, believed: &BTreeSet<String>) {
        let clones: BTreeSet<String> = (self.recorded.iter())
            .filter(|record| self.is_clone(record))
            .map(|record| record.uuid.clone())
            .collect();
        self.recorded.retain(|record| !clones.contains(&record.uuid));
        for record in &mut self.recorded {
            (record.lives, record.group) = (false, None);
        }
        let recorded = &mut self.recorded;
        self.closed.retain_mut(|record| {
            let Some(since) = record.unproven.take() else { return true };
            let may_be_believed = ended - since >= GRACE;
            let is_believed = believed.contains(&record.uuid);
            assert!(may_be_believed || !is_believed, "{record:?} was believed too soon");
            // Of several of one name the one that lived last comes first, the others stay closed.
            let is_taken = recorded.iter().any(|other| other.name == record.name);
            if !is_believed && !is_taken {
                recorded.push(record.clone());
            }
            is_believed || is_taken
        });
    }

    /// What is recorded anew has new times.
    fn forget_times(&mut self) {
        self.seen.values_mut().for_each(|times| *times = None);
        self.attached.clear();
    }

    /// Compares with the files and with tmux. Gives the model with what they alone could know: the
    /// UUIDs of new sessions, times, and which closes are believed by now.
    ///
    /// Time heals a close that should be believed and is not, so that is asked for where nobody
    /// waits: `strictly`.
    fn compare(&self, server: &Server, strictly: bool) -> Result<Model, String> {
        let mut next = self.clone();
        let registry = server.registry();
        let sessions = registry["sessions"].as_object().cloned().unwrap_or_default();
        let closed = closed(server);
        let names: BTreeSet<&String> = sessions.keys().collect();
        let wanted: BTreeSet<&String> = self.recorded.iter().map(|record| &record.name).collect();
        let closed_names: Vec<&str> = closed.iter().map(|e| text(&e["session"], "name")).collect();
        let wanted_closed: Vec<&str> = self.closed.iter().map(|r| r.name.as_str()).collect();
        if names != wanted || closed_names != wanted_closed {
            return Err(format!(
                "recorded {wanted:?}, closed {wanted_closed:?}; found {names:?}, {closed_names:?}"
            ));
        }
        let entries = next.closed.iter_mut().zip(&closed).map(|(r, e)| (r, &e["session"]));
        let recorded = next.recorded.iter_mut();
        let found = recorded.map(|record| (&sessions[&record.name], record));
        for (found, record) in found.chain(entries.map(|(record, found)| (found, record))) {
            check_record(found, record, &mut next.seen, &self.attached)?;
        }
        for (record, entry) in next.closed.iter_mut().zip(&closed) {
            match (entry["unproven"].is_null(), record.unproven) {
                (true, _) => record.unproven = None,
                (false, Some(_)) => {}
                (false, None) if strictly => return Err(format!("{record:?} is not believed")),
                (false, None) => {}
            }
        }
        next.compare_tmux(server)?;
        Ok(next)
    }

    fn compare_tmux(&self, server: &Server) -> Result<(), String> {
        let format = "#{session_id} #{session_name} #{@roster_uuid} #{@roster_mode}";
        let listed = server.tmux(&["list-sessions", "-F", format]);
        let mut found = BTreeMap::new();
        let mut asks: Vec<String> = ["show-options", "-gqv", "@roster_lost"].map(Into::into).into();
        for line in listed.lines() {
            let [id, name, uuid, mode] = line.splitn(4, ' ').collect::<Vec<_>>()[..] else {
                return Err(format!("tmux lists {line:?}"));
            };
            found.insert(name.to_owned(), (uuid.to_owned(), mode.to_owned()));
            for variable in ["ROSTER_UUID", "ROSTER_MODE", "ROSTER_SESSION"] {
                let ask = [";", "show-environment", "-t", id, variable];
                asks.extend(ask.map(str::to_owned));
            }
        }
        let live = || self.recorded.iter().filter(|record| record.lives);
        let wanted: BTreeMap<String, (String, String)> =
            live().map(|r| (r.name.clone(), (r.uuid.clone(), r.mode.clone()))).collect();
        if found != wanted {
            return Err(format!("tmux has {found:?}, and should have {wanted:?}"));
        }
        let told = server.try_tmux(&asks);
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        let mut should = format!("{}\n", self.recorded.len() - live().count());
        for name in listed.lines().filter_map(|line| line.split(' ').nth(1)) {
            let (uuid, mode) = &wanted[name];
            should += &format!("ROSTER_UUID={uuid}\nROSTER_MODE={mode}\nROSTER_SESSION={name}\n");
        }
        if told != should {
            return Err(format!("sessions find {told:?}, and should find {should:?}"));
        }
        Ok(())
    }

    /// `roster list` says the same.
    fn check_list(&self, server: &Server) {
        let state = |record: &Record| if record.lives { "live" } else { "lost" }.to_owned();
        let wanted: BTreeSet<(String, String)> =
            self.recorded.iter().map(|record| (record.uuid.clone(), state(record))).collect();
        let rows: Value = serde_json::from_str(&server.roster(&["list", "--json"])).unwrap();
        let row = |row: &Value| (text(row, "uuid").to_owned(), text(row, "state").to_owned());
        let found: BTreeSet<(String, String)> = rows.as_array().unwrap().iter().map(row).collect();
        assert_eq!(found, wanted);
    }
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn closed(server: &Server) -> Vec<Value> {
    let bytes = fs::read(server.registry_path().with_file_name("closed.json")).unwrap_or_default();
    let closed: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    closed["closed"].as_array().cloned().unwrap_or_default()
}

/// One record of a file against the model's; a new one gets its UUID.
fn check_record(
    found: &Value,
    record: &mut Record,
    seen: &mut BTreeMap<String, Option<(Timestamp, Timestamp)>>,
    attached: &BTreeMap<String, Timestamp>,
) -> Result<(), String> {
    let time = |field: &str| -> Timestamp {
        serde_json::from_value(found[field].clone()).expect("a time")
    };
    let uuid = text(found, "uuid");
    if record.uuid.is_empty() {
        if seen.contains_key(uuid) || !is_uuid(uuid) {
            return Err(format!("the new {record:?} bears an old UUID: {found}"));
        }
        uuid.clone_into(&mut record.uuid);
    }
    let same = uuid == record.uuid
        && text(found, "name") == record.name
        && text(found, "mode") == record.mode
        && text(found, "workdir") == record.dir;
    if !same {
        return Err(format!("{record:?} is recorded as {found}"));
    }
    let (created, came) = (time("created_at"), time("last_attached_at"));
    if let Some(Some((then, before))) = seen.get(uuid) {
        if created != *then || came < *before {
            return Err(format!("times went back from {then}, {before}: {found}"));
        }
    }
    if attached.get(uuid).is_some_and(|at| came < *at) {
        return Err(format!("a client came at {}: {found}", attached[uuid]));
    }
    seen.insert(uuid.to_owned(), Some((created, came)));
    Ok(())
}

/// How the world gets into step with the model.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// Hooks see to it.
    Hooks,
    /// No hook tells: somebody says `roster sync`.
    Hand,
}

struct Run<'a> {
    server: &'a Server,
    model: Model,
    clients: Vec<Client<'a>>,
}

impl<'a> Run<'a> {
    fn start(server: &'a Server) -> Run<'a> {
        let mut run = Run { server, model: Model::default(), clients: Vec::new() };
        run.model.bear_new("anchor", server.dir("c"), None);
        run.start_server();
        (0..3).for_each(|n| run.model = run.do_deed(&Deed::New(n, n % 2)));
        let model = run.model.clone();
        run.settle(&[model], By::Hooks);
        run
    }

    fn start_server(&self) {
        let args = ["new-session", "-d", "-s", "anchor", "-c", &self.server.dir("c")];
        self.server.tmux(&args);
    }

    /// Waits until everything is as one of the models says, and checks that it stays so.
    fn settle(&mut self, candidates: &[Model], by: By) {
        let server = self.server;
        if by == By::Hand {
            server.roster(&["sync"]);
        }
        let compare = || candidates.iter().map(|model| model.compare(server, false));
        self.model = wait_for(
            || compare().find_map(Result::ok),
            || format!("{:#?}", compare().filter_map(Result::err).collect::<Vec<_>>()),
        );
        // After the effects of a plan, reconciling again plans nothing.
        server.roster(&["sync"]);
        let files = || {
            ["sessions.json", "closed.json", "server.json"].map(|name| {
                let bytes = fs::read(server.registry_path().with_file_name(name)).ok()?;
                let mut file: Value = serde_json::from_slice(&bytes).expect("JSON");
                // Another look may be asked for, where a later close put the first one's off.
                file.as_object_mut().expect("an object").remove("look_at");
                Some(file)
            })
        };
        loop {
            let waiting = || closed(server).iter().filter(|e| !e["unproven"].is_null()).count();
            let (before, waited) = (files(), waiting());
            let said = server.roster(&["sync"]);
            if files() == before {
                assert_eq!(said, "nothing to change\n");
                break;
            }
            assert!(waiting() < waited, "only a close that came to be believed changes a file");
        }
        self.model = self.model.compare(server, true).unwrap_or_else(|error| panic!("{error}"));
        self.model.check_list(server);
    }

    fn id(&self, at: usize) -> String {
        self.server.id(&self.model.recorded[at].name)
    }

    fn act(&mut self, action: &Action) {
        let server = self.server;
        match action {
            Action::Verb(verb) => {
                let next = self.model.verb(server, verb);
                let output = server.try_roster(&verb.words(server));
                assert_eq!(output.status.success(), next.is_some(), "{output:?}");
                let next = next.unwrap_or_else(|| self.model.clone());
                self.settle(&[next], By::Hooks);
            }
            Action::Deed(deed) => {
                let next = self.do_deed(deed);
                self.settle(&[next], By::Hooks);
            }
            Action::Meddling(meddling) => {
                server.wait_for_jobs();
                self.meddle(meddling);
                let model = self.model.clone();
                self.settle(&[model], By::Hand);
            }
            Action::Attach(n) => self.attach(*n),
            Action::ForgetLive(n, again) => self.forget_live(*n, *again),
            Action::KilledVerb(verb, delay) => self.kill_verb(verb, *delay),
            // Before 3.2 the job that is killed may be the only one to know a clone's directory.
            Action::KilledJob(deed @ Deed::Clone(..), _) if tmux_version() < (3, 2) => {
                self.act(&Action::Deed(deed.clone()));
            }
            Action::KilledJob(deed, delay) => {
                let next = self.do_deed(deed);
                let job = hook_job(server, &tmux_program());
                kill_after(job, *delay);
                // Its mark stands until a job of the same second, or any later one, takes it away.
                let well = hook_job(server, &tmux_program()).status().unwrap();
                assert!(well.success());
                self.settle(&[next], By::Hand);
            }
            Action::Restart { crash, meanwhile, restore } => {
                self.restart(*crash, meanwhile.as_ref(), *restore);
            }
        }
    }

    fn do_deed(&self, deed: &Deed) -> Model {
        let server = self.server;
        let target = |n: &u8| self.model.live(&name(*n)).map_or("$99".to_owned(), |at| self.id(at));
        let next = self.model.deed(server, deed);
        let output = match deed {
            Deed::New(n, d) => {
                let dir = dir(server, *d);
                server.try_tmux(&["new-session", "-d", "-s", &name(*n), "-c", &dir])
            }
            Deed::Clone(a, b, d) if next.is_some() => {
                let (to, dir) = (target(a), dir(server, *d));
                server.try_tmux(&["new-session", "-d", "-t", &to, "-s", &name(*b), "-c", &dir])
            }
            Deed::Clone(..) => return self.model.clone(),
            Deed::Rename(a, b) if a == b => return self.model.clone(),
            Deed::Rename(a, b) => server.try_tmux(&["rename-session", "-t", &target(a), &name(*b)]),
            Deed::Kill(n) => server.try_tmux(&["kill-session", "-t", &target(n)]),
        };
        assert_eq!(output.status.success(), next.is_some(), "{output:?}");
        next.unwrap_or_else(|| self.model.clone())
    }

    fn meddle(&mut self, meddling: &Meddling) {
        let server = self.server;
        let path = server.registry_path();
        match meddling {
            Meddling::CopyStamp(a, b) => {
                let (Some(a), Some(b)) = (self.model.live(&name(*a)), self.model.live(&name(*b)))
                else {
                    return;
                };
                let stamp = self.model.recorded[a].uuid.clone();
                if a != b && self.model.recorded[b].stamped_over != stamp {
                    server.tmux(&["set-option", "-t", &self.id(b), "@roster_uuid", &stamp]);
                    self.model.recorded[b].stamped_over = stamp;
                }
            }
            Meddling::SetMode(n, m) => {
                let (Some(at), mode) = (self.model.live(&name(*n)), MODES[usize::from(*m)]) else {
                    return;
                };
                server.tmux(&["set-option", "-t", &self.id(at), "@roster_mode", mode]);
                mode.clone_into(&mut self.model.recorded[at].mode);
            }
            // (Of a lost one no copy has it until the next sync.)
            Meddling::EditMode(n, m) => {
                let (Some(at), mode) = (self.model.live(&name(*n)), MODES[usize::from(*m)]) else {
                    return;
                };
                let mut registry = server.registry();
                registry["sessions"][name(*n)]["mode"] = mode.into();
                // As an editor does that keeps the old file until the new one is whole.
                fs::write(path.with_extension("edited"), registry.to_string()).unwrap();
                fs::rename(path.with_extension("edited"), &path).unwrap();
                mode.clone_into(&mut self.model.recorded[at].mode);
            }
            Meddling::WipeHooks => {
                for hook in HOOKS {
                    server.tmux(&["set-hook", "-gu", hook.name]);
                }
                // As if a minute had gone by since a sync last looked for them.
                let lock = path.with_extension("json.lock");
                let touched =
                    Command::new("touch").args(["-a", "-d", "2001-01-01"]).arg(lock).status();
                assert!(touched.unwrap().success());
                server.roster(&["sync"]);
                for hook in HOOKS {
                    let shown = server.tmux(&["show-hooks", "-g", hook.name]);
                    let ours = format!("{}[{}] ", hook.name, hook.index);
                    assert!(shown.contains(&ours), "{ours}: {shown}");
                }
            }
            // The last good copy has every record.
            Meddling::DeleteRegistry => fs::remove_file(path).unwrap(),
            Meddling::DeleteRegistryAndCopy => {
                // Before 3.2 nothing else tells a clone's directory: its windows are another's.
                let is_clone = |record: &Record| record.lives && record.group.is_some();
                if tmux_version() < (3, 2) && self.model.recorded.iter().any(is_clone) {
                    return;
                }
                // Those who live come back; what only these files knew is gone.
                fs::remove_file(path.with_file_name("sessions.json.last")).unwrap();
                fs::remove_file(path).unwrap();
                self.model.recorded.retain(|record| record.lives);
                self.model.forget_times();
            }
            Meddling::DamageRegistry(to) => {
                let bytes = fs::read(&path).unwrap();
                fs::write(&path, &bytes[..bytes.len() * usize::from(*to) / 256]).unwrap();
            }
            // Its loss costs convenience, and never a record.
            Meddling::DeleteMemory => {
                fs::remove_file(path.with_file_name("server.json")).unwrap();
                self.model.recorded.iter_mut().for_each(|record| record.stamped_over.clear());
            }
        }
    }

    fn attach(&mut self, n: u8) {
        let server = self.server;
        let Some(at) = self.model.live(&name(n)) else { return };
        let (id, uuid) = (self.id(at), self.model.recorded[at].uuid.clone());
        let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
        let listed = server.tmux(&["list-clients", "-F", "#{session_id} #{client_name}"]);
        match listed.split_once(' ') {
            None => self.clients.push(server.attach(&name(n))),
            Some((here, _)) if here == id => return,
            Some((_, client)) => {
                let client = client.lines().next().unwrap();
                server.tmux(&["switch-client", "-c", client, "-t", &id]);
            }
        }
        let mut next = self.model.clone();
        next.attached.insert(uuid, Timestamp::from_unix(seconds as i64).unwrap());
        self.settle(&[next], By::Hooks);
    }

    fn forget_live(&mut self, n: u8, again: bool) {
        let server = self.server;
        let Some(at) = self.model.live(&name(n)) else { return };
        let id = self.id(at);
        if self.model.is_clone(&self.model.recorded[at]) || self.model.recorded[at].group.is_some()
        {
            return;
        }
        server.roster(&["forget", "--force", &name(n)]);
        assert!(!server.names().contains(&name(n)));
        assert!(server.tmux(&["list-sessions", "-F", "#{session_name}"]).contains(&name(n)));
        server.wait_until_quiet();
        if again {
            // Under another name it is tracked again, and is the same.
            server.tmux(&["rename-session", "-t", &id, "again"]);
            server.wait_for_name("again");
            server.tmux(&["rename-session", "-t", &id, &name(n)]);
            let model = self.model.clone();
            self.settle(&[model], By::Hooks);
        } else {
            server.tmux(&["kill-session", "-t", &id]);
            let mut next = self.model.clone();
            let record = next.recorded.remove(at);
            next.close(record, None);
            self.settle(&[next], By::Hooks);
        }
    }

    fn kill_verb(&mut self, verb: &Verb, delay: u8) {
        let server = self.server;
        // Of all that are restored some may live and others not.
        if matches!(verb, Verb::RestoreAll) {
            return;
        }
        let mut candidates = vec![self.model.clone()];
        // Made, and not yet stamped: then it is what it would be if tmux alone had made it.
        // Ended, but not by us any more: then it is not believed at once.
        candidates.extend(match verb {
            Verb::New(n, d) => self.model.deed(server, &Deed::New(*n, *d)),
            Verb::Kill(n) => self.model.deed(server, &Deed::Kill(*n)),
            Verb::Reopen(_) | Verb::ReopenLast | Verb::ReopenAs(..) => {
                self.model.half_reopened(verb)
            }
            _ => None,
        });
        if !matches!(verb, Verb::Kill(_)) {
            candidates.extend(self.model.verb(server, verb));
        }
        let mut command = server.command(ROSTER);
        command.args(["-L", "s"]).args(verb.words(server));
        kill_after(command, delay);
        self.settle(&candidates, By::Hand);
    }

    fn restart(&mut self, crash: bool, meanwhile: Option<&Verb>, restore: bool) {
        let server = self.server;
        if crash {
            server.crash();
        } else {
            server.kill_server();
        }
        let ended = Instant::now();
        self.clients.clear();
        server.wait_for_jobs();
        let believed = closed(server)
            .iter()
            .filter(|e| e["unproven"].is_null())
            .map(|e| text(&e["session"], "uuid").to_owned())
            .collect();
        self.model.end(ended, &believed);
        if let Some(verb) = meanwhile {
            self.without_server(verb);
        }
        // A server without sessions ends.
        if restore && !self.model.recorded.is_empty() {
            server.roster(&["restore", "--all"]);
            self.model.restore_all();
        } else {
            self.start_server();
            match self.model.at("anchor") {
                Some(at) => self.model.bring_back(at),
                None => self.model.bear_new("anchor", server.dir("c"), None),
            }
        }
        let model = self.model.clone();
        self.settle(&[model], By::Hooks);
    }
}

impl Run<'_> {
    /// Commands that need no server.
    fn without_server(&mut self, verb: &Verb) {
        if !matches!(verb, Verb::Rename(..) | Verb::Forget(_) | Verb::Mode(..) | Verb::Clear) {
            return;
        }
        let verb = verb.aimed(&self.model);
        let next = self.model.verb(self.server, &verb);
        let output = self.server.try_roster(&verb.words(self.server));
        assert_eq!(output.status.success(), next.is_some(), "{output:?}");
        self.model = next.unwrap_or_else(|| self.model.clone());
    }
}

/// Starts a command and kills it, and what it started, so many tenths of a millisecond later.
fn kill_after(mut command: Command, delay: u8) {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.process_group(0).spawn().unwrap();
    // Whatever the moment, the same must hold.
    let moment = Instant::now() + Duration::from_micros(u64::from(delay) * 100);
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    let group = Pid::from_child(&child);
    let _ = kill_process_group(group, Signal::KILL);
    let _ = kill_process(group, Signal::KILL);
    child.wait().unwrap();
}

#[test]
fn whatever_happens_files_and_tmux_say_what_the_model_says() {
    let soak = std::env::var_os("ROSTER_SOAK").is_some();
    let seed = |text: String| text.parse::<u64>().expect("ROSTER_SEED is a number");
    let given = std::env::var("ROSTER_SEED").ok().map(seed);
    let until = Instant::now() + if soak { SOAK } else { FOR };
    // The same sequences each time in the gate, others in a soak.
    let first = match given {
        Some(seed) => seed,
        None if soak => std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64,
        None => 0,
    };
    let (mut sequences, mut steps) = (0, 0);
    while given.is_none() && (sequences < AT_LEAST || Instant::now() < until)
        || given.is_some() && sequences == 0
    {
        let seed = first + sequences;
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), rng);
        let actions = actions().new_tree(&mut runner).expect("actions").current();
        // Shown only if the test fails.
        println!("ROSTER_SEED={seed}");
        let server = Server::with_plugin("");
        // Where one of our commands starts the server, it loads this.
        fs::copy(server.path("tmux.conf"), server.path("home/.tmux.conf")).unwrap();
        let mut run = Run::start(&server);
        for action in &actions {
            let action = action.aimed(&run.model);
            println!("{action:?}");
            run.act(&action);
            steps += 1;
        }
        // The damaged files are kept aside, nothing else is left lying about: the next writer of
        // each file cleans up.
        server.wait_for_jobs();
        server.roster(&["new", "-d", "-c", "/", "last"]);
        server.roster(&["kill", "last"]);
        server.wait_for_jobs();
        let left = leftovers(server.registry_path().parent().expect("a folder"));
        assert!(left.is_empty(), "{left:?}");
        sequences += 1;
    }
    eprintln!("{sequences} sequences, {steps} steps");
}
