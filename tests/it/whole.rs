//! The whole system on a real server: whatever people, crashes and editors did, and in whatever
//! order, once it has settled design.md's invariants hold.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use rustix::process::{Pid, Signal, kill_process};

use crate::env::{Client, Server, wait_for};
use crate::faults::uuids;

/// How long it goes on, by default within the gate and longer with `scripts/test --soak`.
const FOR: Duration = Duration::from_secs(15);
const SOAK: Duration = Duration::from_secs(600);

#[derive(Debug, Clone)]
enum Action {
    New(u8),
    Rename(u8, u8),
    Kill(u8),
    Attach(u8),
    Switch(u8),
    SetMode(u8),
    SetModeByCommand(u8),
    Crash,
    KillServer,
    DeleteRegistry,
    DeleteRegistryAndCrash,
    DeleteRegistryAndCopy,
    DeleteMemory,
    Truncate(u8),
    Edit(u8),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let n = 0..5u8;
    let action = prop_oneof![
        6 => n.clone().prop_map(Action::New),
        3 => (n.clone(), n.clone()).prop_map(|(a, b)| Action::Rename(a, b)),
        3 => n.clone().prop_map(Action::Kill),
        1 => n.clone().prop_map(Action::Attach),
        1 => n.clone().prop_map(Action::Switch),
        1 => n.clone().prop_map(Action::SetMode),
        1 => n.clone().prop_map(Action::SetModeByCommand),
        1 => Just(Action::Crash),
        1 => Just(Action::KillServer),
        1 => Just(Action::DeleteRegistry),
        1 => Just(Action::DeleteRegistryAndCrash),
        1 => Just(Action::DeleteRegistryAndCopy),
        1 => Just(Action::DeleteMemory),
        1 => any::<u8>().prop_map(Action::Truncate),
        1 => n.prop_map(Action::Edit),
    ];
    prop::collection::vec(action, 1..12)
}

/// What was ever seen recorded, by UUID; what tampering may cost is taken out again.
type Seen = BTreeSet<String>;

fn act<'a>(server: &'a Server, action: &Action, clients: &mut Vec<Client<'a>>, seen: &mut Seen) {
    let name = |n: u8| format!("s{n}");
    let target = |n: u8| format!("=s{n}:");
    let path = server.registry_path();
    match action {
        Action::New(n) => drop(server.try_tmux(&["new-session", "-d", "-s", &name(*n)])),
        Action::Rename(a, b) => {
            server.try_tmux(&["rename-session", "-t", &target(*a), &name(*b)]);
        }
        Action::Kill(n) => drop(server.try_tmux(&["kill-session", "-t", &format!("=s{n}")])),
        Action::Attach(n) => {
            if server.try_tmux(&["has-session", "-t", &format!("=s{n}")]).status.success() {
                clients.push(server.attach(&name(*n)));
            }
        }
        Action::Switch(n) => {
            server.try_tmux(&["switch-client", "-t", &format!("=s{n}")]);
        }
        Action::SetMode(n) => {
            let listed = server.try_tmux(&["list-sessions", "-F", "#{session_id} #{session_name}"]);
            let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
            let line = listed.lines().find(|line| line.ends_with(&format!(" s{n}")));
            if let Some(id) = line.and_then(|line| line.split(' ').next()) {
                server.try_tmux(&["set-option", "-t", id, "@roster_mode", "by-hand"]);
            }
        }
        Action::SetModeByCommand(n) => drop(server.try_roster(&["mode", &name(*n), "yolo"])),
        // The last good copy has every record, whether or not anybody looks in time.
        Action::DeleteRegistry => drop(fs::remove_file(path)),
        Action::Crash | Action::KillServer | Action::DeleteRegistryAndCrash => {
            if matches!(action, Action::DeleteRegistryAndCrash) {
                let _ = fs::remove_file(path);
            }
            // One that is just ending with its last session may be gone at any of these.
            let listed = server.try_tmux(&["list-sessions", "-F", "#{pid}"]).stdout;
            let listed = String::from_utf8_lossy(&listed).into_owned();
            let pid = listed.lines().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?));
            match (action, pid) {
                (_, None) => {}
                (Action::KillServer, _) => server.kill_server(),
                (_, Some(pid)) => {
                    let _ = kill_process(pid, Signal::KILL);
                    server.wait_for_end();
                }
            }
        }
        Action::DeleteRegistryAndCopy => {
            // What only these files knew is gone; those who live come back, with their
            // UUIDs, at the next look. (If they end before it, both sides are lost at once, and
            // nobody promises anything.)
            let live = live_stamps(server);
            seen.retain(|uuid| live.contains(uuid));
            let _ = fs::remove_file(path.with_file_name("sessions.json.last"));
            let _ = fs::remove_file(path);
            if !server.try_roster(&["sync"]).status.success() {
                seen.clear();
            }
        }
        // Its loss costs convenience, and never a record.
        Action::DeleteMemory => drop(fs::remove_file(path.with_file_name("server.json"))),
        Action::Truncate(to) => {
            if let Ok(bytes) = fs::read(&path) {
                // As an editor does that keeps the old file until the new one is whole; a part
                // of a file is damage all the same, and mended from the last good copy.
                let cut = &bytes[..bytes.len() * usize::from(*to) / 256];
                let _ = fs::write(&path, cut);
            }
        }
        Action::Edit(n) => {
            if let Ok(text) = fs::read_to_string(&path) {
                let edited = text.replace("\"mode\":\"safe\"", &format!("\"mode\":\"m{n}\""));
                let _ = fs::write(path.with_extension("edited"), edited)
                    .and_then(|()| fs::rename(path.with_extension("edited"), &path));
            }
        }
    }
}

fn live_stamps(server: &Server) -> BTreeSet<String> {
    let listed = server.try_tmux(&["list-sessions", "-F", "#{@roster_uuid}"]);
    String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned).collect()
}

/// Waits until nothing changes any more, and checks what must then hold.
fn check_settled(server: &Server, seen: &mut Seen) {
    // A server that is just ending with its last session takes no new one.
    let anchored = || {
        server.try_tmux(&["new-session", "-d", "-s", "anchor"]);
        server.try_tmux(&["has-session", "-t", "=anchor"]).status.success().then_some(())
    };
    wait_for(anchored, || "a session that stays".into());
    server.wait_until_quiet();
    let listed = server.tmux(&["list-sessions", "-F", "#{session_name} #{@roster_uuid}"]);
    let live: BTreeMap<&str, &str> = listed.lines().filter_map(|l| l.split_once(' ')).collect();
    let registry = server.registry();
    let sessions = registry["sessions"].as_object().expect("sessions");
    for (name, stamp) in &live {
        assert_eq!(sessions[*name]["uuid"], *stamp, "{name} bears its own stamp");
        assert_eq!(sessions[*name]["name"], *name);
    }
    let known = uuids(server);
    for (uuid, names) in &known {
        assert_eq!(names.len(), 1, "{uuid} stands once: {names:?}");
    }
    let missing: Vec<&String> = seen.iter().filter(|uuid| !known.contains_key(*uuid)).collect();
    assert!(missing.is_empty(), "{missing:?} were recorded and are in neither file: {known:?}");
    seen.extend(known.into_keys());
    // The damaged file is kept aside, nothing else is left lying about.
    let folder = server.registry_path().parent().expect("a folder").to_owned();
    for entry in fs::read_dir(folder).expect("the folder").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(!name.contains(".tmp."), "{name} was left behind");
    }
}

#[test]
fn whatever_happens_the_invariants_hold_once_it_has_settled() {
    let soak = std::env::var_os("ROSTER_SOAK").is_some();
    let until = Instant::now() + if soak { SOAK } else { FOR };
    // The same sequences each time in the gate, others in a soak.
    let mut runner = if soak { TestRunner::default() } else { TestRunner::deterministic() };
    while Instant::now() < until {
        let server = Server::with_plugin("");
        server.tmux(&["new-session", "-d", "-s", "anchor"]);
        wait_for(|| server.names().contains(&"anchor".into()).then_some(()), || "anchor".into());
        let (mut seen, mut clients) = (Seen::new(), Vec::new());
        for _ in 0..4 {
            let actions = actions().new_tree(&mut runner).expect("actions").current();
            // Shown only if the test fails.
            println!("{actions:?}");
            for action in &actions {
                act(&server, action, &mut clients, &mut seen);
            }
            check_settled(&server, &mut seen);
            if Instant::now() > until {
                break;
            }
        }
        drop(clients);
    }
}
