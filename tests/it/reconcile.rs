//! The pure heart: tables of cases, and the properties that hold for any registry and any tmux.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use tmux_roster::model::glob::Glob;
use tmux_roster::model::in_step::is_in_step;
use tmux_roster::model::memory::{Closed, ClosedSession, Displaced, Known};
use tmux_roster::model::policy::Policy;
use tmux_roster::model::reconcile::{EffectKind, EventKind, Plan, end_with_server, reconcile};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::{
    LiveSession, ServerId, SessionId, Snapshot, Spellings, Workdir,
};
use tmux_roster::{Session, Timestamp};

const SERVER: ServerId = ServerId { pid: 10, start_time: 1000 };
const NEXT_SERVER: ServerId = ServerId { pid: 11, start_time: 2000 };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(1_000_000 + seconds).unwrap()
}

fn uuid(n: u32) -> String {
    format!("{n:08x}-0000-4000-8000-000000000000")
}

/// Ids that no test writes down.
fn fresh() -> impl FnMut() -> String {
    let mut n = 0xf000_0000_u32;
    move || {
        n += 1;
        uuid(n)
    }
}

fn record(name: &str, n: u32) -> Session {
    Session::with(name, &format!("/{name}"), "safe", uuid(n), at(0))
}

fn live(id: u32, name: &str) -> LiveSession {
    LiveSession {
        id: SessionId(id),
        name: name.into(),
        workdir: Workdir::Known(format!("/{name}").into_bytes()),
        created: at(0),
        last_attached: None,
        windows: 1,
        stamp: String::new(),
        mode: String::new(),
        health: String::new(),
        group: Vec::new(),
        pane_dead: false,
    }
}

/// A tmux that takes effects, with masks that hide a session's own options.
#[derive(Debug, Clone)]
struct World {
    remembered: Remembered,
    server: ServerId,
    sessions: Vec<LiveSession>,
    masks: BTreeMap<SessionId, String>,
    lost_shown: String,
    now: i64,
    policy: Policy,
    same_directories: Vec<Spellings>,
}

impl World {
    fn new(sessions: Vec<LiveSession>) -> World {
        World {
            remembered: Remembered::default(),
            server: SERVER,
            sessions,
            masks: BTreeMap::new(),
            lost_shown: String::new(),
            now: 100,
            policy: Policy::default(),
            same_directories: Vec::new(),
        }
    }

    /// A world in step.
    fn settled(sessions: Vec<LiveSession>) -> World {
        let mut world = World::new(sessions);
        world.sync(&mut fresh());
        world
    }

    fn snapshot(&self) -> Snapshot {
        let mut sessions = self.sessions.clone();
        for session in &mut sessions {
            if let Some(mask) = self.masks.get(&session.id) {
                session.stamp.clone_from(mask);
            }
        }
        let same_directories = self.same_directories.clone();
        let lost_shown = self.lost_shown.clone();
        Snapshot { server: self.server, sessions, lost_shown, same_directories }
    }

    fn plan(&self, new_uuid: &mut dyn FnMut() -> String) -> Plan {
        let (snapshot, now) = (self.snapshot(), at(self.now));
        let plan = reconcile(&self.remembered, &snapshot, &self.policy, now, new_uuid);
        if is_in_step(&self.remembered, &snapshot, &self.policy, now) {
            assert_eq!(plan.next, self.remembered, "in step means that nothing changes");
            assert_eq!(plan.memory_after, self.remembered.memory);
            assert_eq!((&plan.effects[..], &plan.events[..]), (&[][..], &[][..]));
            assert_eq!((&plan.health_due[..], &plan.notes[..]), (&[][..], &[][..]));
            assert_eq!(plan.look, None);
        }
        plan
    }

    fn plan_of(&self, remembered: &Remembered) -> Plan {
        let (snapshot, now) = (self.snapshot(), at(self.now));
        reconcile(remembered, &snapshot, &self.policy, now, &mut fresh())
    }

    fn sync(&mut self, new_uuid: &mut dyn FnMut() -> String) -> Plan {
        let plan = self.plan(new_uuid);
        for effect in &plan.effects {
            let Some(id) = effect.target else {
                self.lost_shown.clone_from(&effect.value);
                continue;
            };
            let session = self.sessions.iter_mut().find(|s| s.id == id).unwrap();
            let field = match effect.name {
                "@roster_uuid" => &mut session.stamp,
                "@roster_mode" => &mut session.mode,
                "@roster_health" => &mut session.health,
                _ => {
                    assert_ne!(effect.kind, EffectKind::Option);
                    continue;
                }
            };
            field.clone_from(&effect.value);
        }
        self.remembered = plan.next.clone();
        self.remembered.memory = plan.memory_after.clone();
        plan
    }

    fn check_settled(&self) {
        let plan = self.plan(&mut fresh());
        assert_eq!(plan.effects, [], "effects");
        assert_eq!(plan.next.registry, self.remembered.registry);
        assert_eq!(plan.next.closed, self.remembered.closed);
        assert_eq!(plan.next.memory, self.remembered.memory);
        assert_eq!(plan.memory_after, self.remembered.memory);
    }

    fn uuid(&self, name: &str) -> &str {
        &self.remembered.registry.sessions[name].uuid
    }

    fn names(&self) -> Vec<&str> {
        self.remembered.registry.sessions.keys().map(String::as_str).collect()
    }

    fn closed(&self) -> Vec<&str> {
        self.remembered.closed.closed.iter().map(|entry| entry.session.name.as_str()).collect()
    }

    /// The server ends, and another starts with these sessions.
    fn restart(&mut self, sessions: Vec<LiveSession>) {
        self.server = NEXT_SERVER;
        self.sessions = sessions;
        self.lost_shown.clear();
        self.masks.clear();
    }
}

#[test]
fn created_renamed_closed() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    world.check_settled();
    assert_eq!(world.names(), ["a", "b"]);
    let (a, b) = (world.uuid("a").to_owned(), world.uuid("b").to_owned());
    assert_eq!(world.sessions[0].stamp, a);

    // a → b' → c, seen only at its end.
    world.sessions[0].name = b"c".to_vec();
    let plan = world.sync(&mut fresh());
    assert_eq!(world.uuid("c"), a);
    let renamed: Vec<_> = plan.events.iter().map(|e| (e.kind, e.old_name.as_deref())).collect();
    assert_eq!(renamed, [(EventKind::Renamed, Some("a"))]);

    // A swap.
    world.sessions[0].name = b"b".to_vec();
    world.sessions[1].name = b"c".to_vec();
    world.sync(&mut fresh());
    assert_eq!((world.uuid("b"), world.uuid("c")), (a.as_str(), b.as_str()));
    world.check_settled();

    world.sessions.remove(0);
    let plan = world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["c"], vec!["b"]));
    let ten_seconds = Some(Duration::from_secs(10));
    assert_eq!(plan.look, ten_seconds, "the sync that records a close schedules a second look");
    world.check_settled();
    world.now += 9;
    world.check_settled();
    world.now += 1;
    let plan = world.sync(&mut fresh());
    assert_eq!(plan.events.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Closed]);
    world.restart(vec![]);
    world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["c"], vec!["b"]));
}

#[test]
fn closes_that_the_server_did_not_outlive_are_losses() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let a = world.uuid("a").to_owned();
    world.sessions.clear();
    world.sync(&mut fresh());
    assert!(world.names().is_empty());
    world.now += 100;
    world.restart(vec![live(0, "x")]);
    let plan = world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["a", "b", "x"], vec![]));
    assert_eq!(world.uuid("a"), a);
    assert_eq!(plan.events.iter().filter(|e| e.kind == EventKind::Lost).count(), 2);
    assert_eq!(world.lost_shown, "2");
    world.check_settled();
}

/// At a shutdown shells end one by one, and the server last.
#[test]
fn each_loss_within_ten_seconds_of_the_one_before_starts_the_time_anew_for_all() {
    for gap in [1, 5, 9] {
        let names: Vec<String> = (1..=8).map(|n| format!("s{n}")).collect();
        let sessions = (1..).zip(&names).map(|(id, name)| live(id, name)).collect();
        let mut world = World::settled(sessions);
        // A person closed this one well before.
        world.sessions.remove(0);
        world.sync(&mut fresh());
        world.now += 10;
        world.sync(&mut fresh());
        let mut looks = Vec::new();
        while world.sessions.len() > 1 {
            world.now += gap;
            // The look that is due comes as well.
            while world.remembered.memory.look_at.is_some_and(|at_| at_ <= at(world.now)) {
                let now = world.now;
                world.now = world.remembered.memory.look_at.unwrap().unix() - at(0).unix();
                looks.extend(world.sync(&mut fresh()).look);
                world.now = now;
            }
            world.sessions.remove(0);
            looks.extend(world.sync(&mut fresh()).look);
            world.check_settled();
        }
        assert!(looks.len() <= 8, "one look at a time: {looks:?}");
        let mut outlived = world.clone();
        world.restart(vec![]);
        world.sync(&mut fresh());
        assert_eq!(world.names(), names[1..], "{gap}");
        assert_eq!(world.closed(), ["s1"]);

        // Once the server has outlived the last, each of them was closed.
        outlived.now += 10;
        outlived.sync(&mut fresh());
        outlived.restart(vec![]);
        outlived.sync(&mut fresh());
        assert_eq!((outlived.names(), outlived.closed().len()), (vec!["s8"], 7));
    }
}

/// Who closes something every few seconds all day closes it all the same.
#[test]
fn what_closed_ten_minutes_ago_is_believed_whatever_closes_after_it() {
    let sessions = (1..=201).map(|id| live(id, &format!("s{id:03}"))).collect();
    let mut world = World::settled(sessions);
    let mut closed = 0;
    while world.sessions.len() > 1 {
        world.sessions.remove(0);
        let plan = world.sync(&mut fresh());
        closed += plan.events.iter().filter(|event| event.kind == EventKind::Closed).count();
        world.check_settled();
        world.now += 5;
    }
    // 600 s at a session each 5 s are still open.
    assert_eq!(closed, 200 - 120);
    world.restart(vec![]);
    world.sync(&mut fresh());
    assert_eq!((world.names().len(), world.closed().len()), (121, 80));
}

#[test]
fn of_several_lost_sessions_of_one_name_the_one_that_lived_last_has_it() {
    let mut new_uuid = fresh();
    let mut world = World::new(vec![live(1, "other")]);
    world.sync(&mut new_uuid);
    let mut uuids = Vec::new();
    for id in 2..5 {
        world.sessions.truncate(1);
        world.sessions.push(live(id, "a"));
        // The later ones have the lower UUIDs: their order is no matter.
        world.sync(&mut || uuid(100 - id));
        uuids.push(world.uuid("a").to_owned());
    }
    assert_eq!(world.remembered.closed.closed.len(), 2);
    // With the last of them alive at the server's end, and with it closed just before.
    for closed in [false, true] {
        let mut world = world.clone();
        if closed {
            world.sessions.truncate(1);
            world.sync(&mut new_uuid);
        }
        let mut comes_back = world.clone();
        world.restart(vec![live(0, "x")]);
        world.sync(&mut new_uuid);
        assert_eq!((world.uuid("a"), world.closed()), (uuids[2].as_str(), vec!["a", "a"]));
        world.check_settled();
        comes_back.restart(vec![live(0, "a")]);
        comes_back.sync(&mut new_uuid);
        assert_eq!(comes_back.uuid("a"), uuids[2]);
        comes_back.check_settled();
    }
}

/// The same for those who only read the files, once there is no server.
#[test]
fn without_a_server_closes_that_it_did_not_outlive_are_losses() {
    let mut world = World::new(vec![live(1, "other")]);
    let mut new_uuid = fresh();
    world.sync(&mut new_uuid);
    for id in 2..5 {
        let name = ["a", "a", "b"][id as usize - 2];
        world.sessions.truncate(1);
        world.sessions.push(live(id, name));
        world.sync(&mut new_uuid);
    }
    world.sessions.truncate(1);
    world.sync(&mut new_uuid);
    assert_eq!((world.names(), world.closed()), (vec!["other"], vec!["b", "a", "a"]));
    let last = world.remembered.closed.closed[1].session.uuid.clone();
    let mut believed = world.clone();
    end_with_server(&mut world.remembered);
    assert_eq!((world.names(), world.closed()), (vec!["a", "b", "other"], vec!["a"]));
    assert_eq!(world.uuid("a"), last, "the one that lived last");
    world.restart(vec![live(0, "x")]);
    world.sync(&mut new_uuid);
    assert_eq!((world.names(), world.closed()), (vec!["a", "b", "other", "x"], vec!["a"]));
    world.check_settled();

    believed.now += 10;
    believed.sync(&mut new_uuid);
    end_with_server(&mut believed.remembered);
    assert_eq!((believed.names(), believed.closed()), (vec!["other"], vec!["b", "a", "a"]));
}

#[test]
fn a_close_whose_sync_was_cut_off_gets_its_look_from_the_next_one_and_only_one() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    world.sessions.remove(0);
    // Both files were written, and neither the memory nor a look.
    let plan = world.plan(&mut fresh());
    world.remembered.registry = plan.next.registry;
    world.remembered.closed = plan.next.closed;
    world.now += 1;
    let plan = world.sync(&mut fresh());
    assert_eq!(plan.look, Some(Duration::from_secs(9)));
    assert_eq!((world.names(), world.closed()), (vec!["b"], vec!["a"]));
    world.check_settled();
    world.now += 1;
    assert_eq!(world.sync(&mut fresh()).look, None, "one look for both");
    world.now += 8;
    let plan = world.sync(&mut fresh());
    assert_eq!(plan.events.iter().map(|e| e.kind).collect::<Vec<_>>(), [EventKind::Closed]);
}

#[test]
fn a_clock_that_was_set_back_keeps_no_close_from_being_believed() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b"), live(3, "c")]);
    world.sessions.remove(0);
    assert!(world.sync(&mut fresh()).look.is_some());
    world.now = -3500;
    world.sessions.remove(0);
    let plan = world.sync(&mut fresh());
    assert!(plan.look.is_some(), "the look at the first would come in an hour");
    assert_eq!(world.sync(&mut fresh()).look, None, "nobody looks again and again");
    world.check_settled();
    world.now += 10;
    let plan = world.sync(&mut fresh());
    let believed = plan.events.iter().filter(|event| event.kind == EventKind::Closed).count();
    assert_eq!((believed, world.closed()), (2, vec!["b", "a"]));
    world.check_settled();
    world.restart(vec![]);
    world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["c"], vec!["b", "a"]));

    // A look that is left over from before is forgotten, and nobody is told that all is in step.
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    world.remembered.memory.restore_due = false;
    world.remembered.memory.look_at = Some(at(100_000));
    world.sync(&mut fresh());
    assert_eq!(world.remembered.memory.look_at, None);
    world.check_settled();
}

#[test]
fn a_memory_that_counts_too_far_is_no_matter() {
    let mut world = World::settled(vec![live(1, "a")]);
    world.remembered.memory.sessions.get_mut(&SessionId(1)).unwrap().stamps = u8::MAX;
    world.sessions[0].stamp = uuid(9);
    world.sync(&mut fresh());
    assert_eq!(world.sessions[0].stamp, world.uuid("a"));
    world.check_settled();
}

#[test]
fn attached_moves_forward_only() {
    let mut world = World::settled(vec![live(1, "a")]);
    world.sessions[0].last_attached = Some(at(50));
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry.sessions["a"].last_attached_at, at(50));
    world.sessions[0].last_attached = Some(at(40));
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry.sessions["a"].last_attached_at, at(50));
    world.check_settled();
}

#[test]
fn what_is_no_uuid_is_replaced_wherever_it_stands() {
    let hostile = "#(touch canary)".to_owned();
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let b = world.uuid("b").to_owned();
    let remembered = &mut world.remembered;
    remembered.registry.sessions.get_mut("a").unwrap().uuid.clone_from(&hostile);
    let known = remembered.memory.sessions.values_mut().find(|known| known.name == "a");
    known.unwrap().uuid.clone_from(&hostile);
    world.sessions[0].stamp.clone_from(&hostile);
    world.sync(&mut fresh());
    world.sync(&mut fresh());
    assert_ne!(world.uuid("a"), hostile);
    assert!(world.remembered.memory.sessions.values().all(|known| known.uuid != hostile));
    assert_eq!(world.sessions[0].stamp, world.uuid("a"));
    assert_eq!(world.uuid("b"), b);

    world.sessions.remove(0);
    world.sync(&mut fresh());
    world.remembered.closed.closed[0].session.uuid.clone_from(&hostile);
    world.sync(&mut fresh());
    let closed = &world.remembered.closed.closed[0].session;
    assert!(closed.name == "a" && closed.uuid != hostile, "{closed:?}");
}

#[test]
fn a_record_that_lost_its_uuid_has_it_back_from_the_memory_and_that_one_is_told() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let (a, b) = (world.uuid("a").to_owned(), world.uuid("b").to_owned());
    let broken = |world: &mut World, name: &str, uuid: &str| {
        uuid.clone_into(&mut world.remembered.registry.sessions.get_mut(name).unwrap().uuid);
    };
    broken(&mut world, "a", "nope");
    let plan = world.sync(&mut fresh());
    assert_eq!(world.uuid("a"), a);
    assert!(plan.notes[0].ends_with(&a), "{:?}", plan.notes);
    // One that was made a copy of another.
    broken(&mut world, "b", &a);
    world.sync(&mut fresh());
    assert_eq!((world.uuid("a"), world.uuid("b")), (a.as_str(), b.as_str()));
    world.check_settled();
    // One that is lost by then.
    broken(&mut world, "b", "");
    world.restart(vec![live(0, "x")]);
    world.sync(&mut fresh());
    assert_eq!(world.uuid("b"), b);
    world.check_settled();
}

#[test]
fn of_two_that_tmux_numbered_the_one_with_windows_stays() {
    let zero = |id: u32, name: &str, attached: i64, windows: u32| LiveSession {
        workdir: Workdir::Known(b"/w".to_vec()),
        last_attached: Some(at(attached)),
        windows,
        ..live(id, name)
    };
    let mut world = World::settled(vec![zero(0, "0", 10, 1)]);
    let real = world.uuid("0").to_owned();
    // A second window alone changes nothing else.
    world.sessions[0].windows = 2;
    world.sync(&mut fresh());
    world.check_settled();
    world.sessions[0].windows = 1;
    world.restart(vec![zero(0, "0", 200, 1)]);
    world.sync(&mut fresh());
    assert_eq!(world.uuid("0-2"), real);
    // It is brought back, and nobody comes to it before the next crash, but to the new one.
    world.sessions.push(LiveSession { stamp: real.clone(), ..zero(1, "0-2", 10, 1) });
    world.sync(&mut fresh());
    world.restart(vec![zero(0, "0", 300, 1)]);
    world.server = ServerId { pid: 12, start_time: 3000 };
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["0", "0-2"]);
    assert_eq!(world.uuid("0-2"), real);
    assert_eq!(world.closed(), ["0"]);
    world.check_settled();
}

#[test]
fn a_copied_stamp_is_replaced_and_the_rightful_owner_keeps_its_uuid() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let (a, b) = (world.uuid("a").to_owned(), world.uuid("b").to_owned());
    world.sessions[1].stamp.clone_from(&a);
    world.sync(&mut fresh());
    assert_eq!((world.uuid("a"), world.uuid("b")), (a.as_str(), b.as_str()));
    assert_eq!(world.sessions[1].stamp, b);
    world.check_settled();

    // The same with all memory gone: the recorded name decides.
    world.sessions[1].stamp.clone_from(&a);
    world.remembered.memory = Default::default();
    world.sync(&mut fresh());
    assert_eq!(world.uuid("a"), a);
    assert_eq!(world.uuid("b"), b);
    world.check_settled();
}

#[test]
fn a_stamp_that_someone_removed_is_put_back() {
    let mut world = World::settled(vec![live(1, "a")]);
    let a = world.uuid("a").to_owned();
    world.sessions[0].stamp.clear();
    world.sync(&mut fresh());
    assert_eq!(world.sessions[0].stamp, a);
    world.check_settled();
}

#[test]
fn a_masked_stamp_is_put_in_place_once_and_no_more() {
    let mut world = World::new(vec![live(1, "a")]);
    world.masks.insert(SessionId(1), "a window option".into());
    let plan = world.sync(&mut fresh());
    assert!(plan.notes[0].contains("a window option"), "{:?}", plan.notes);
    world.check_settled();
    world.masks.insert(SessionId(1), uuid(77));
    world.sync(&mut fresh());
    world.check_settled();
}

#[test]
fn a_group_clone_leaves_no_record() {
    let mut world = World::new(vec![live(1, "a"), live(2, "a-2")]);
    for session in &mut world.sessions {
        session.group = b"a".to_vec();
    }
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["a", "a-2"]);
    world.sessions.pop();
    world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["a"], vec![]));
    let mut world = World::new(vec![live(1, "a"), live(2, "a-2")]);
    for session in &mut world.sessions {
        session.group = b"a".to_vec();
    }
    world.sync(&mut fresh());
    world.restart(vec![live(0, "x")]);
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["a", "x"]);
    world.check_settled();
}

#[test]
fn a_clone_under_the_name_of_a_lost_session_is_not_that_one_come_back() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let b = world.uuid("b").to_owned();
    world.restart(vec![live(0, "a"), live(1, "b")]);
    for session in &mut world.sessions {
        session.group = b"a".to_vec();
    }
    world.sync(&mut fresh());
    assert_ne!(world.uuid("b"), b);
    assert_eq!(world.closed(), ["b"], "it steps aside");
    world.check_settled();
    world.sessions.pop();
    world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["a"], vec!["b"]));
    assert_eq!(world.remembered.closed.closed[0].session.uuid, b);
}

#[test]
fn what_was_edited_in_the_file() {
    // The name and the directory: as tmux has them.
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let a = world.uuid("a").to_owned();
    let mut edited = world.remembered.registry.sessions.remove("a").unwrap();
    edited.name = "edited".into();
    edited.workdir = "/elsewhere".into();
    world.remembered.registry.sessions.insert("edited".into(), edited);
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["a", "b"]);
    assert_eq!(world.uuid("a"), a);
    assert_eq!(world.remembered.registry.sessions["a"].workdir, "/a");
    // The mode: the side that changed, and tmux if both did.
    world.remembered.registry.sessions.get_mut("a").unwrap().mode = "yolo".into();
    world.sync(&mut fresh());
    assert_eq!(world.sessions[0].mode, "yolo");
    world.sessions[0].mode = "calm".into();
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry.sessions["a"].mode, "calm");
    world.sessions[0].mode = "tmux".into();
    world.remembered.registry.sessions.get_mut("a").unwrap().mode = "file".into();
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry.sessions["a"].mode, "tmux");
    // One that somebody took out of the file is no mode to have.
    world.remembered.registry.sessions.get_mut("a").unwrap().mode.clear();
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry.sessions["a"].mode, world.policy.default_mode);
    assert_eq!(world.sessions[0].mode, world.policy.default_mode);
    // The UUID never changes, and the record is not doubled.
    let created = at(-5000);
    let record = world.remembered.registry.sessions.get_mut("a").unwrap();
    record.uuid = uuid(99);
    record.created_at = created;
    world.sync(&mut fresh());
    assert_eq!((world.uuid("a"), world.closed()), (a.as_str(), vec![]));
    assert_eq!(world.remembered.registry.sessions["a"].created_at, created);
    world.check_settled();
}

#[test]
fn records_with_one_uuid_or_none_are_told_apart() {
    let mut world = World::settled(vec![live(1, "a")]);
    let a = world.uuid("a").to_owned();
    for (name, uuid) in [("0copy", a.as_str()), ("copy", a.as_str()), ("none", ""), ("none2", "")] {
        let mut copy = record(name, 0);
        copy.uuid = uuid.into();
        world.remembered.registry.sessions.insert(name.into(), copy);
    }
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["0copy", "a", "copy", "none", "none2"]);
    assert_eq!(world.uuid("a"), a);
    let uuids: HashSet<&str> = world.names().iter().map(|name| world.uuid(name)).collect();
    assert_eq!(uuids.len(), 5);
    world.check_settled();
}

#[test]
fn a_deleted_registry_comes_back_from_memory_or_from_stamps() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let before = world.remembered.registry.clone();
    world.remembered.registry = Default::default();
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry, before);
    world.remembered = Remembered::default();
    world.sync(&mut fresh());
    assert_eq!(world.remembered.registry, before);
    world.check_settled();
}

#[test]
fn after_a_restart_names_come_back_by_name_and_directory() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b"), live(3, "0")]);
    let before = world.remembered.registry.clone();
    let mut elsewhere = live(1, "b");
    elsewhere.workdir = Workdir::Known(b"/other".to_vec());
    world.restart(vec![live(0, "a"), elsewhere, live(2, "0")]);
    world.sync(&mut fresh());
    assert_eq!(world.uuid("a"), before.sessions["a"].uuid);
    assert_ne!(world.uuid("b"), before.sessions["b"].uuid);
    assert_ne!(world.uuid("0"), before.sessions["0"].uuid);
    let mut closed = world.closed();
    closed.sort_unstable();
    assert_eq!(closed, ["0", "b"]);
    world.check_settled();

    // Where the directory cannot be known, the name is enough.
    let mut world = World::settled(vec![live(1, "a")]);
    let a = world.uuid("a").to_owned();
    let mut guess = live(0, "a");
    guess.workdir = Workdir::Guess(b"/cd".to_vec());
    world.restart(vec![guess]);
    world.sync(&mut fresh());
    assert_eq!(world.uuid("a"), a);
    assert_eq!(world.remembered.registry.sessions["a"].workdir, "/a");
}

#[test]
fn two_spellings_of_a_directory_are_doubted_and_one_if_they_were_found_to_be() {
    let mut world = World::settled(
        ["a", "b", "c", "0"]
            .map(|name| live(1, name))
            .into_iter()
            .zip(1..)
            .map(|(session, id)| LiveSession { id: SessionId(id), ..session })
            .collect(),
    );
    let a = world.uuid("a").to_owned();
    let c = world.uuid("c").to_owned();
    let known = |path: &str| Workdir::Known(path.as_bytes().to_vec());
    let pair =
        |live: &str, recorded: &str| (live.as_bytes().to_vec(), recorded.as_bytes().to_vec());
    let displaced = Displaced { from: "/far".into(), to: "/c".into() };
    world.remembered.memory.displaced.insert(c.clone(), displaced);
    let at_path = |id, name, path| LiveSession { workdir: known(path), ..live(id, name) };
    // A number is no identity, a slash at the end no other spelling, and `new` has no namesake.
    world.restart(vec![
        at_path(0, "a", "/link/a"),
        at_path(1, "b", "/b/"),
        at_path(2, "c", "/link/c"),
        at_path(3, "0", "/link/0"),
        at_path(4, "new", "/link/new"),
    ]);
    let plan = world.plan(&mut fresh());
    let doubts = [pair("/link/a", "/a"), pair("/link/c", "/c"), pair("/link/c", "/far")];
    assert_eq!(plan.doubts, doubts);
    assert_ne!(plan.live[&SessionId(0)], a);
    // Another pair is none of theirs.
    world.same_directories = vec![pair("/link/a", "/c"), pair("/a", "/link/a")];
    assert_ne!(world.plan(&mut fresh()).live[&SessionId(0)], a);

    world.same_directories = vec![pair("/link/a", "/a"), pair("/link/c", "/c")];
    world.sync(&mut fresh());
    assert_eq!((world.uuid("a"), world.uuid("c")), (a.as_str(), c.as_str()));
    let records = &world.remembered.registry.sessions;
    assert_eq!((&*records["a"].workdir, &*records["b"].workdir), ("/link/a", "/b/"));
    // Where it belongs is known by its new spelling, too.
    let displaced = Displaced { from: "/far".into(), to: "/link/c".into() };
    assert_eq!(world.remembered.memory.displaced[&c], displaced);
    world.same_directories.clear();
    world.check_settled();
    assert_eq!(world.plan(&mut fresh()).doubts, []);
    // What came back to where it belongs is there.
    world.remembered.memory.server = None;
    world.remembered.memory.sessions.clear();
    world.restart(vec![at_path(0, "c", "/link/far")]);
    world.same_directories = vec![pair("/link/far", "/far")];
    world.sync(&mut fresh());
    assert_eq!(world.uuid("c"), c);
    assert!(world.remembered.memory.displaced.is_empty());
    world.check_settled();
}

#[test]
fn a_name_taken_again_within_one_server_is_a_new_session() {
    let mut world = World::settled(vec![live(1, "a"), live(2, "b")]);
    let a = world.uuid("a").to_owned();
    world.sessions[0] = live(3, "a");
    world.sync(&mut fresh());
    assert_ne!(world.uuid("a"), a);
    assert_eq!(world.closed(), ["a"]);
    world.check_settled();
}

#[test]
fn odd_names_are_names() {
    let mut world = World::new(vec![
        live(1, ""),
        live(2, "a.b"),
        live(3, "日本語"),
        LiveSession { name: b"x\xff".to_vec(), ..live(4, "x") },
        LiveSession { name: b"x\xfe".to_vec(), ..live(5, "x") },
        LiveSession { workdir: Workdir::Known(b"/\xff".to_vec()), ..live(6, "dir") },
    ]);
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["", "a.b", "dir", "x\u{fffd}", "x\u{fffd}-2", "日本語"]);
    assert_eq!(world.remembered.memory.exact.len(), 3);
    world.check_settled();
    let x = world.uuid("x\u{fffd}").to_owned();
    world.restart(vec![LiveSession { name: b"x\xff".to_vec(), ..live(0, "x") }]);
    world.sync(&mut fresh());
    assert_eq!(world.uuid("x\u{fffd}"), x);
}

#[test]
fn ignored_and_untracked_sessions_are_left_alone() {
    let mut world = World::new(vec![live(1, "a"), live(2, "_scratch")]);
    world.policy.ignore = vec![Glob::new("_*")];
    let plan = world.sync(&mut fresh());
    assert_eq!(world.names(), ["a"]);
    assert!(plan.effects.iter().all(|effect| effect.target != Some(SessionId(2))));
    world.check_settled();
    world.remembered.memory.untracked.insert(SessionId(1), "a".into());
    world.remembered.memory.sessions.clear();
    let stepped = world.remembered.registry.sessions.remove("a").unwrap();
    world.sync(&mut fresh());
    assert!(world.names().is_empty());
    world.check_settled();
    world.sessions[0].name = b"again".to_vec();
    world.sync(&mut fresh());
    assert_eq!(world.uuid("again"), stepped.uuid);
}

#[test]
fn what_is_lost_for_long_steps_aside_and_what_is_closed_for_long_goes() {
    let mut world = World::settled(vec![live(1, "a")]);
    world.restart(vec![live(0, "x")]);
    world.sync(&mut fresh());
    world.now += 29 * 86_400;
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["a", "x"]);
    world.now += 2 * 86_400;
    world.sync(&mut fresh());
    assert_eq!((world.names(), world.closed()), (vec!["x"], vec!["a"]));
    world.policy.closed_limit = 0;
    world.sync(&mut fresh());
    assert_eq!(world.closed(), ["a"], "within a day nothing goes");
    world.now += 86_401;
    world.sync(&mut fresh());
    assert!(world.closed().is_empty());
}

/// A board without a clock starts in 1970, until it is told the time.
#[test]
fn a_clock_that_leaps_makes_nothing_too_old() {
    let years = 40 * 365 * 86_400;
    let mut world = World::settled(vec![live(1, "a")]);
    let restart = |world: &mut World| {
        world.restart(vec![live(0, "x")]);
        world.server.start_time += world.now;
    };
    restart(&mut world);
    world.sync(&mut fresh());
    // While the server runs, and with the next one.
    for _ in 0..2 {
        world.now += years;
        world.sync(&mut fresh());
        world.check_settled();
        world.now += 2 * 86_400;
        world.sync(&mut fresh());
        assert_eq!(world.names(), ["a", "x"]);
        restart(&mut world);
    }
    // The next start agrees that it is so late.
    world.sync(&mut fresh());
    restart(&mut world);
    world.sync(&mut fresh());
    assert_eq!(world.names(), ["x"]);
}

#[test]
fn what_is_lost_since_a_time_that_cannot_be_counts_from_now() {
    let mut world = World::settled(vec![live(1, "a")]);
    world.restart(vec![live(0, "x")]);
    world.sync(&mut fresh());
    let uuid = world.uuid("a").to_owned();
    for since in [Timestamp::from_unix(0).unwrap(), at(10 * 365 * 86_400)] {
        world.remembered.memory.lost_since.insert(uuid.clone(), since);
        world.sync(&mut fresh());
        assert_eq!(world.names(), ["a", "x"]);
        assert_eq!(world.remembered.memory.lost_since[&uuid], at(world.now));
        world.check_settled();
    }
}

/// It may yet turn out to be a loss, and then nothing else has its record.
#[test]
fn the_limit_of_closed_ones_counts_one_name_and_directory_once() {
    let old = |name: &str, workdir: &str, lived: i64| {
        let mut session = record(name, 1);
        session.workdir = workdir.into();
        session.created_at = at(-lived);
        ClosedSession { session, closed_at: at(0), unproven: None, set_aside: false }
    };
    let mut closed = Closed::default();
    let starts = (0..50).map(|_| old("0", "/", 3));
    let work = (0..4).map(|_| old("work", "/w", 500));
    let others = ["a", "b", "c"].map(|name| old(name, "/", 500));
    let elsewhere = [old("work", "/x", 500), old("0", "/", 500)];
    closed.closed = starts.chain(work).chain(others).chain(elsewhere).collect();
    let kept = |closed: &Closed| -> Vec<String> {
        let names = closed.closed.iter().map(|entry| entry.session.name.clone());
        let mut names: Vec<String> = names.collect();
        names.dedup();
        names
    };
    let before = kept(&closed);
    closed.trim(5, at(3600));
    assert_eq!(kept(&closed), before, "nothing goes within a day");
    closed.trim(5, at(2 * 86_400));
    assert_eq!(kept(&closed), ["0", "work", "a", "b", "c", "work"]);
    assert!(closed.is_trimmed(5, at(2 * 86_400)) && !closed.is_trimmed(4, at(2 * 86_400)));
    assert_eq!(closed.closed.iter().filter(|entry| entry.session.name == "0").count(), 5);
}

#[test]
fn a_close_that_is_not_yet_believed_stays_whatever_the_limit() {
    let entry = |n: u32, unproven| ClosedSession {
        session: record(&format!("n{n}"), n),
        closed_at: at(0),
        unproven,
        set_aside: false,
    };
    let kept = |limit| {
        let unproven = [None, Some(SERVER), None, Some(NEXT_SERVER), None];
        let entries = (1..).zip(unproven).map(|(n, unproven)| entry(n, unproven));
        let mut closed = Closed { closed: entries.collect(), ..Closed::default() };
        closed.trim(limit, at(10 * 86_400));
        let names = closed.closed.into_iter().map(|entry| entry.session.name);
        names.collect::<Vec<String>>()
    };
    assert_eq!(kept(0), ["n2", "n4"]);
    assert_eq!(kept(1), ["n1", "n2", "n4"]);
    assert_eq!(kept(3), ["n1", "n2", "n3", "n4"]);
    assert_eq!(kept(5), ["n1", "n2", "n3", "n4", "n5"]);
}

#[test]
fn effects_that_did_not_arrive_are_planned_again() {
    let mut world = World::new(vec![live(1, "a")]);
    let plan = world.plan(&mut fresh());
    assert_eq!(plan.effects.len(), 6, "{:?}", plan.effects);
    world.remembered = plan.next;
    let again = world.plan(&mut fresh());
    assert_eq!(again.effects, plan.effects);
    assert_eq!(again.next, world.remembered);
}

/// Names from a small set, so that they collide.
fn any_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-c]{0,2}".prop_map(String::into_bytes),
        Just(b"0".to_vec()),
        Just(b"x\xff".to_vec()),
        Just(b"x\xfe".to_vec()),
        Just("x\u{fffd}".as_bytes().to_vec()),
    ]
}

fn any_uuid() -> impl Strategy<Value = String> {
    prop_oneof![4 => (0..6_u32).prop_map(uuid), 1 => Just(String::new()), 1 => "[a-z]{3}"]
}

fn any_mode() -> impl Strategy<Value = String> {
    prop_oneof![Just("safe".to_owned()), Just("yolo".to_owned()), Just(String::new())]
}

prop_compose! {
    fn any_live()(
        name in any_name(),
        stamp in any_uuid(),
        mode in any_mode(),
        path in prop_oneof![
            Just(Workdir::Unknown),
            Just(Workdir::Guess(b"/g".to_vec())),
            "/[a-b]?".prop_map(|p| Workdir::Known(p.into_bytes())),
        ],
        attached in prop::option::of(0..90_i64),
        group in prop_oneof![3 => Just(Vec::new()), 1 => Just(b"g".to_vec())],
    ) -> LiveSession {
        LiveSession {
            name, stamp, mode, group,
            workdir: path,
            last_attached: attached.map(at),
            ..live(0, "")
        }
    }
}

fn any_sessions() -> impl Strategy<Value = Vec<LiveSession>> {
    prop::collection::vec((0..8_u32, any_live()), 0..6).prop_map(|sessions| {
        let mut names = HashSet::new();
        let mut ids = HashSet::new();
        sessions
            .into_iter()
            .map(|(id, session)| LiveSession { id: SessionId(id), ..session })
            .filter(|session| ids.insert(session.id) && names.insert(session.name.clone()))
            .collect()
    })
}

prop_compose! {
    fn any_record()(name in any_name(), uuid in any_uuid(), mode in any_mode(), dir in "/[a-b]?")
        -> Session {
        let name = String::from_utf8_lossy(&name).into_owned();
        Session::with(&name, &dir, &mode, uuid, at(1))
    }
}

prop_compose! {
    fn any_remembered()(
        records in prop::collection::vec(any_record(), 0..6),
        closed in prop::collection::vec((any_record(), 0..100_i64, 0..3_usize), 0..4),
        server in prop::option::of(prop_oneof![Just(SERVER), Just(NEXT_SERVER)]),
        known in prop::collection::vec((0..8_u32, any_uuid(), "[a-c]{0,2}", any_mode(), 0..2_u8, any::<(bool, bool)>()), 0..5),
    ) -> Remembered {
        let mut remembered = Remembered::default();
        for record in records {
            remembered.registry.sessions.insert(record.name.clone(), record);
        }
        for (session, seconds, unproven) in closed {
            let unproven = [None, Some(SERVER), Some(NEXT_SERVER)][unproven];
            if !session.uuid.is_empty() {
                remembered.closed.push(ClosedSession { session, closed_at: at(seconds), unproven, set_aside: false });
            }
        }
        remembered.memory.server = server;
        for (id, uuid, name, mode, stamps, (clone, spared)) in known {
            if !uuid.is_empty() {
                let stamped_over = String::new();
                let known = Known { uuid, name, mode, health: String::new(), clone, stamps, stamped_over, spared, grown: stamps % 2 == 1 };
                remembered.memory.sessions.insert(SessionId(id), known);
            }
        }
        remembered
    }
}

/// Every UUID that stands in either file, as often as it stands there.
fn all_uuids(remembered: &Remembered) -> Vec<String> {
    let recorded = remembered.registry.sessions.values().map(|s| s.uuid.clone());
    recorded.chain(remembered.closed.closed.iter().map(|e| e.session.uuid.clone())).collect()
}

/// Changes one thing in tmux, in a file or in the options.
fn touch(world: &mut World, what: usize, n: usize, name: &[u8], uuid: &str) {
    let text = String::from_utf8_lossy(name).into_owned();
    let is_free = world.sessions.iter().all(|live| live.name != name);
    let clock = world.now;
    let World { remembered, sessions, policy, .. } = world;
    let Remembered { registry, closed, memory } = remembered;
    let id = SessionId(n as u32);
    let (records, known) = (&mut registry.sessions, memory.sessions.get_mut(&id));
    let key = records.keys().nth(n % records.len().max(1)).cloned().unwrap_or_default();
    match (what, sessions.get_mut(n), records.get_mut(&key), known) {
        (0, Some(live), ..) if is_free => live.name = name.to_owned(),
        (1, Some(live), ..) => live.stamp = uuid.to_owned(),
        (2, Some(live), ..) => live.mode = text,
        (3, Some(live), ..) => live.health = text,
        (4, Some(live), ..) => live.workdir = Workdir::Known(name.to_owned()),
        (5, Some(live), ..) => live.workdir = Workdir::Guess(name.to_owned()),
        (6, Some(live), ..) => live.group = name.to_owned(),
        (7, Some(live), ..) => live.last_attached = Some(at(clock - 1)),
        (8, _, Some(record), _) => record.uuid = uuid.to_owned(),
        (9, _, Some(record), _) => record.mode = text,
        (10, _, Some(record), _) => record.workdir = text,
        (11, _, Some(record), _) => record.last_health_status = text,
        (12, _, Some(record), _) => record.name = text,
        (13, _, Some(record), _) => record.created_at = Timestamp::ZERO,
        (14, ..) => drop(records.remove(&key)),
        (15, ..) => drop(
            records.insert(text.clone(), Session::with(&text, "/", "", uuid.to_owned(), at(1))),
        ),
        (16, .., Some(known)) => known.uuid = uuid.to_owned(),
        (17, .., Some(known)) => known.mode = text,
        (18, .., Some(known)) => known.stamps = (n % 2) as u8,
        (19, .., Some(known)) => known.name = text,
        (20, ..) => drop(sessions.pop()),
        (21, ..) => policy.ignore = vec![Glob::new(&format!("s{n}"))],
        (22, ..) => world.now += 31 * 86_400,
        (23, ..) => {
            if let Some(entry) = closed.closed.first_mut() {
                entry.session.uuid = uuid.to_owned();
                entry.unproven = [None, Some(SERVER), Some(NEXT_SERVER)][n];
            }
            if let Some((lost, _)) = memory.lost_since.iter().next() {
                let lost = lost.clone();
                memory.lost_since.remove(&lost);
                memory.lost_since.insert(uuid.to_owned(), at(0));
            }
        }
        _ => world.lost_shown = text,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]

    /// From any registry and any snapshot: one plan settles it, no UUID is given twice, every
    /// live session is recorded under its name, and no record leaves both files but clones.
    #[test]
    fn any_world_settles_at_once(
        remembered in any_remembered(),
        sessions in any_sessions(),
        all_one in any::<bool>(),
    ) {
        let mut world = World::new(sessions);
        if all_one {
            world.same_directories = world.plan_of(&remembered).doubts;
        }
        world.remembered = remembered.clone();
        let mut new_uuid = fresh();
        let plan = world.sync(&mut new_uuid);
        // A session that memory calls stamped but that shows nothing is healed once more.
        let again = world.plan(&mut new_uuid);
        prop_assert_eq!(&again.effects, &[]);
        prop_assert_eq!(&again.next, &world.remembered);
        prop_assert_eq!(&again.memory_after, &world.remembered.memory);

        let uuids = all_uuids(&world.remembered);
        let distinct: HashSet<&String> = uuids.iter().collect();
        prop_assert_eq!(distinct.len(), uuids.len(), "each UUID once: {:?}", uuids);

        prop_assert_eq!(plan.live.len(), world.sessions.len());
        for (key, session) in &world.remembered.registry.sessions {
            prop_assert_eq!(key, &session.name);
            prop_assert!(!session.uuid.is_empty());
        }
        for session in &world.sessions {
            let uuid = &plan.live[&session.id];
            let recorded = world.remembered.registry.by_uuid(uuid).unwrap();
            prop_assert!(recorded.name.starts_with(&*String::from_utf8_lossy(&session.name)));
            prop_assert_eq!(&session.stamp, uuid);
            prop_assert_eq!(&session.mode, &recorded.mode);
        }

        let clones: HashSet<&String> =
            remembered.memory.sessions.values().filter(|k| k.clone).map(|k| &k.uuid).collect();
        // A record without a UUID has only its name, under which a live session may take it over.
        let with_uuid = |s: &&Session| is_uuid(&s.uuid);
        for before in remembered.registry.sessions.values().filter(with_uuid) {
            // One of two with one UUID has another now, and where a live session took it over
            // whose name is not UTF-8 and looks like another's, a suffix to its name. Where all
            // directories are one, it may be recorded as that session spells it.
            let is_named = |s: &Session| s.name.strip_prefix(&before.name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
            let is_there = |s: &Session| all_one || s.workdir == before.workdir;
            let same = |s: &Session| s.uuid == before.uuid || (is_there(s) && is_named(s));
            let kept = world.remembered.registry.sessions.values().any(same)
                || world.remembered.closed.closed.iter().any(|e| same(&e.session));
            // An edited UUID goes back to the one that memory knows.
            let edited = remembered.memory.sessions.values().any(|k| k.name == before.name);
            prop_assert!(kept || edited || clones.contains(&before.uuid), "{:?} is gone", before);
        }
        let closed = remembered.closed.closed.iter();
        for before in closed.filter(|entry| with_uuid(&&entry.session)) {
            let uuid = &before.session.uuid;
            prop_assert!(distinct.contains(uuid) || clones.contains(uuid), "{:?} is gone", before);
        }
    }

    /// A world at rest is seen to be so at once, with lost and closed sessions beside the live
    /// ones; and whatever is touched then, one field or several, the quick look overlooks nothing
    /// (`plan` compares it with what reconciling says).
    #[test]
    fn the_quick_look_overlooks_nothing(
        lost in 0..3_u32,
        closed in 0..3_u32,
        touches in prop::collection::vec((0..24_usize, 0..3_usize, any_name(), any_uuid()), 0..3),
    ) {
        let mut world = World::settled((0..lost).map(|n| live(n, &format!("lost{n}"))).collect());
        world.restart((0..3).map(|n| live(n, &format!("s{n}"))).collect());
        let made = (0..closed).map(|n| live(10 + n, &format!("closed{n}")));
        world.sessions.extend(made);
        let mut new_uuid = fresh();
        world.sync(&mut new_uuid);
        world.sessions.truncate(3);
        for _ in 0..3 {
            world.now += 10;
            world.sync(&mut new_uuid);
            // As the sync does that sees to it.
            world.remembered.memory.restore_due = false;
        }
        let in_step = |world: &World| {
            is_in_step(&world.remembered, &world.snapshot(), &world.policy, at(world.now))
        };
        prop_assert_eq!(world.remembered.closed.closed.len(), closed as usize);
        prop_assert!(in_step(&world));
        for (what, at_index, name, uuid) in &touches {
            touch(&mut world, *what, *at_index, name, uuid);
        }
        world.plan(&mut new_uuid);
        world.sync(&mut new_uuid);
        world.plan(&mut new_uuid);
    }

    /// Whatever happens in whatever order, nothing is lost and all settles.
    #[test]
    fn any_history_settles(steps in prop::collection::vec((any_sessions(), 0..5_i64, any::<bool>()), 1..6)) {
        let mut world = World::new(Vec::new());
        let mut new_uuid = fresh();
        let mut seen: HashSet<String> = HashSet::new();
        for (n, (mut sessions, seconds, restart)) in steps.into_iter().enumerate() {
            if restart {
                world.restart(Vec::new());
                world.server = ServerId { pid: n as u32, start_time: 0 };
            }
            for session in &mut sessions {
                // tmux keeps what a session carries as long as it lives.
                let carried = world.sessions.iter().find(|s| s.id == session.id);
                session.stamp = carried.map(|s| s.stamp.clone()).unwrap_or_default();
                session.mode = carried.map(|s| s.mode.clone()).unwrap_or_default();
                session.group.clear();
            }
            world.sessions = sessions;
            world.now += seconds;
            world.sync(&mut new_uuid);
            world.check_settled();
            let uuids = all_uuids(&world.remembered);
            let distinct: HashSet<String> = uuids.iter().cloned().collect();
            prop_assert_eq!(distinct.len(), uuids.len());
            prop_assert!(seen.is_subset(&distinct), "a record left both files");
            seen = distinct;
        }
    }
}
