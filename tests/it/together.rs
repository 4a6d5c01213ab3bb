//! Many processes of every verb at once, with tmux changing meanwhile: each does what it says it
//! did, nobody waits for ever, and what a model says is there is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::{
    ROSTER, Server, StoppedHolder, backed_up, check_records, hook_job, script, tmux_program,
    tmux_version, uuids, wait_at_most, wait_for,
};

/// What any number of processes may take together on a loaded machine: each has its own limit.
const BOUND: Duration = Duration::from_secs(60);

/// How a process ended that may have come at a bad moment.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Done,
    /// It says that it could not begin: nothing was done.
    Refused,
    /// tmux was too busy to answer, at whatever point.
    Unclear,
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The same where what it prints is wanted, too.
fn spawn_printing(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a process said in the end. One that hangs is ended, and fails the test: nobody waits for
/// it for ever. (What it says is short enough for its pipe.)
fn output(args: &str, mut child: Child) -> Output {
    let (start, mut hangs) = (Instant::now(), false);
    let ended = || {
        if !hangs && start.elapsed() > BOUND {
            hangs = true;
            child.kill().unwrap();
        }
        child.try_wait().unwrap()
    };
    wait_at_most(BOUND * 2, ended, || format!("the end of {args}"));
    let output = child.wait_with_output().unwrap();
    assert!(!hangs, "{args} hangs: {output:?}");
    output
}

fn end(args: &str, child: Child) -> End {
    let output = output(args, child);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => End::Done,
        Some(1) if said.contains("could not get the lock") => End::Refused,
        Some(1) if said.contains("did not answer") => End::Unclear,
        // They tell what is not well, and all is moving.
        Some(1) if args.starts_with("doctor") || args == "health --all" && said.is_empty() => {
            End::Done
        }
        _ => panic!("{args}: {output:?}"),
    }
}

/// The words of a process: of tmux itself if they begin with `tmux`, of a hook's job, of roster.
fn process(server: &Server, args: &str) -> Command {
    let words: Vec<&str> = args.split(' ').collect();
    match words.as_slice() {
        ["tmux", words @ ..] => {
            let mut command = server.command(tmux_program());
            command.args(["-u", "-L", "s"]).args(words);
            command
        }
        ["hook"] => hook_job(server, &tmux_program()),
        ["load"] => {
            let mut command = server.command(ROSTER);
            command.args(["-L", "s", "load", "--chosen", "--tmux"]).arg(tmux_program());
            command
        }
        ["complete", words @ ..] => {
            let mut command = server.command(ROSTER);
            command.arg("complete").args(words);
            command
        }
        ["store", words @ ..] => {
            let mut command = server.command(ROSTER);
            command.args(["store", "--file"]).arg(server.registry_path()).args(words);
            command
        }
        words => {
            let mut command = server.command(ROSTER);
            command.args(["-L", "s"]).args(words);
            command
        }
    }
}

/// Everything that is known, by name: state and UUID.
fn known(server: &Server) -> BTreeMap<String, (String, String)> {
    let mut found = BTreeMap::new();
    for args in [&["list", "--json"][..], &["closed", "--json"]] {
        let rows: Value = serde_json::from_str(&server.roster(args)).unwrap();
        for row in rows.as_array().unwrap() {
            let text = |field: &str| row[field].as_str().unwrap_or("closed").to_owned();
            found.insert(text("name"), (text("state"), text("uuid")));
        }
    }
    found
}

/// For each kind of deed the words, and what they make of which session: `#` is a number, and
/// CLIENT the client that is attached.
const DEEDS: [(&str, &str, &str, &str); 37] = [
    ("new -d -c / n#", "", "n#", "live"),
    ("rename r# z#", "r#", "z#", "live"),
    ("kill k#", "k#", "k#", "closed"),
    ("mode m# yolo", "m#", "m#", "live"),
    ("mode --next o#", "o#", "o#", "live"),
    ("restore l#", "l#", "l#", "live"),
    ("go --client CLIENT g#", "g#", "g#", "live"),
    ("last --client CLIENT", "", "", ""),
    ("reopen c#", "c#", "c#", "live"),
    ("reopen d# --as e#", "d#", "e#", "live"),
    ("forget f#", "f#", "f#", "closed"),
    ("forget --force h#", "h#", "h#", "closed"),
    ("store save v# / safe", "", "v#", "lost"),
    ("store mode s# yolo", "s#", "s#", "lost"),
    ("store rename q# w#", "q#", "w#", "lost"),
    ("store delete b#", "b#", "b#", "gone"),
    ("store health i# unwell", "i#", "i#", "lost"),
    ("store attached j#", "j#", "j#", "live"),
    ("store backup", "", "", ""),
    ("store migrate", "", "", ""),
    ("store list", "", "", ""),
    ("store names", "", "", ""),
    ("store get i#", "", "", ""),
    ("tmux new-session -d -s t#", "", "t#", "live"),
    ("tmux rename-session -t =u#: y#", "u#", "y#", "live"),
    ("tmux kill-session -t =x#", "x#", "x#", "closed"),
    ("health --all", "", "", ""),
    ("sync", "", "", ""),
    ("hook", "", "", ""),
    ("load", "", "", ""),
    ("doctor --fix", "", "", ""),
    ("complete fish roster -L s show m", "", "", ""),
    ("show m#", "", "", ""),
    ("mode m#", "", "", ""),
    ("backup", "", "", ""),
    ("migrate", "", "", ""),
    // One of those that only read.
    ("list", "", "", ""),
];

/// The sessions that live before.
const LIVE: [&str; 10] = ["r", "k", "m", "o", "c", "d", "h", "j", "u", "x"];

const READERS: [&str; 6] = ["list", "names", "closed", "path", "backups", "doctor"];

/// So many of each deed, and some hooks' jobs more.
fn every_verb_at_once(each: usize, hooks: usize) {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    let numbers = || 0..each;
    let lines =
        numbers().flat_map(|n| LIVE.map(|name| format!("new-session -d -s {name}{n} -c /\n")));
    fs::write(server.path("sessions"), lines.collect::<String>()).unwrap();
    server.tmux(&["source-file", &server.dir("sessions")]);
    wait_for(
        || (server.names().len() == each * LIVE.len() + 1).then_some(()),
        || format!("{:?}", server.names()),
    );
    for n in numbers() {
        for name in ["c", "d"] {
            server.roster(&["kill", &format!("{name}{n}")]);
        }
        for name in ["l", "g", "f", "s", "q", "b", "i"] {
            let args = format!("store save {name}{n} / safe");
            assert_eq!(end(&args, spawn(process(&server, &args))), End::Done);
        }
    }
    // A client that was elsewhere before.
    let client = server.attach("j0");
    server.tmux(&["switch-client", "-c", &client.name(), "-t", &server.id("anchor")]);
    server.wait_until_idle();
    let before = known(&server);

    let started = Instant::now();
    let mut deeds = Vec::new();
    for n in numbers() {
        for (kind, (words, ..)) in DEEDS.iter().enumerate() {
            let words = if *words == "list" { READERS[n % READERS.len()] } else { words };
            let args = words.replace('#', &n.to_string()).replace("CLIENT", &client.name());
            let child = spawn(process(&server, &args));
            deeds.push((kind, n, args, child));
        }
    }
    let hook = DEEDS.iter().position(|deed| deed.0 == "hook").unwrap();
    deeds.extend((0..hooks).map(|n| {
        let child = spawn(process(&server, "hook"));
        (hook, each + n, "hook".to_owned(), child)
    }));
    let mut ends = BTreeMap::new();
    for (kind, n, args, child) in deeds {
        let end = end(&args, child);
        assert!(end == End::Done || args != "hook", "a hook's job always ends well");
        ends.insert((kind, n), (end, args));
    }
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    let count = |wanted| ends.values().filter(|(end, _)| *end == wanted).count();
    eprintln!(
        "{} processes in {:.1?}: {} done, {} refused, {} unclear",
        ends.len(),
        started.elapsed(),
        count(End::Done),
        count(End::Refused),
        count(End::Unclear)
    );
    // Who was refused has done nothing, and may say it again; so may who got no answer, unless it
    // is done already.
    server.wait_until_idle();
    for ((kind, n), (end_before, args)) in &ends {
        let (_, _, new, state) = DEEDS[*kind];
        let new = new.replace('#', &n.to_string());
        if new.is_empty() && *end_before == End::Unclear {
            continue;
        }
        let is_done = || {
            let has_mode = !args.starts_with("mode --next") || server.field(&new, "mode") == "yolo";
            known(&server).get(&new).map_or("gone", |(state, _)| state) == state && has_mode
        };
        let mut last = *end_before;
        let settled = || {
            if last == End::Unclear && is_done() {
                last = End::Done;
            } else if last != End::Done {
                last = end(args, spawn(process(&server, args)));
                server.wait_until_idle();
            }
            (last == End::Done).then_some(())
        };
        wait_for(settled, || format!("the end of {args}"));
    }
    server.wait_until_idle();

    let after = known(&server);
    let mut expected: BTreeSet<String> = BTreeSet::from(["anchor".into()]);
    for ((kind, n), (_, args)) in &ends {
        let (_, old, new, state) = DEEDS[*kind];
        let (old, new) = (old.replace('#', &n.to_string()), new.replace('#', &n.to_string()));
        if new.is_empty() {
            continue;
        }
        let uuid = before.get(&old).map(|(_, uuid)| uuid.clone());
        if state == "gone" {
            assert!(!after.contains_key(&new), "{args}: {new} is still there");
            continue;
        }
        let Some((found, now)) = after.get(&new) else { panic!("{args}: {new} is nowhere") };
        assert_eq!(found, state, "{args}");
        assert!(uuid.is_none_or(|uuid| uuid == *now), "{args}: another UUID");
        if args.ends_with(" yolo") || args.starts_with("mode --next") {
            assert_eq!(server.field(&new, "mode"), "yolo", "{args}");
        }
        expected.insert(new);
    }
    assert_eq!(after.keys().cloned().collect::<BTreeSet<String>>(), expected);
    for (uuid, names) in uuids(&server) {
        assert_eq!(names.len(), 1, "{uuid} stands once: {names:?}");
    }
    check_tmux(&server, |name| name.starts_with('h'));
}

/// tmux has the sessions that are said to live, and no others but those that are left untracked;
/// each bears the UUID and the mode that are recorded.
fn check_tmux(server: &Server, is_untracked: impl Fn(&str) -> bool) {
    let format = "#{session_name} #{@roster_uuid} #{@roster_mode}";
    let listed = server.tmux(&["list-sessions", "-F", format]);
    let mut found: BTreeSet<&str> = listed.lines().collect();
    found.retain(|line| !is_untracked(line));
    let rows: Value = serde_json::from_str(&server.roster(&["list", "--json"])).unwrap();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let mut live = BTreeSet::new();
    for row in rows.as_array().unwrap() {
        let (name, uuid, mode) = (text(row, "name"), text(row, "uuid"), text(row, "mode"));
        assert_eq!((server.field(&name, "uuid"), server.field(&name, "mode")), (uuid, mode));
        if row["state"] == "live" {
            live.insert(format!("{name} {} {}", text(row, "uuid"), text(row, "mode")));
        }
    }
    assert_eq!(found, live.iter().map(String::as_str).collect());
    assert_eq!(rows.as_array().unwrap().len(), server.names().len());
}

#[test]
fn sixty_four_of_every_verb_at_once_do_what_they_say() {
    every_verb_at_once(2, 4);
}

#[test]
fn two_hundred_of_every_verb_at_once_do_what_they_say() {
    every_verb_at_once(6, 0);
}

/// The same few sessions are fought for, with those verbs that move many records at a time: who
/// wins is open, but nobody waits for ever and no record is lost. (Without `forget`, which drops
/// a closed one for good.)
#[test]
fn two_hundred_that_fight_for_the_same_sessions_lose_none() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    server.wait_for_names(&["anchor"]);
    for name in ["a", "b"] {
        server.roster(&["new", "-d", "-c", "/", name]);
    }
    server.roster(&["backup"]);
    let mut seen: BTreeSet<String> = uuids(&server).into_keys().collect();
    let verbs = [
        "new -d -c / a",
        "rename a b",
        "kill a",
        "kill b",
        "rename b a",
        "restore --all",
        "reopen",
        "mode a yolo",
        "new -d -c / b",
        "clear",
        "reopen a --as b",
        "recover",
        "backup",
        "health --all",
        "hook",
        "sync",
        "tmux rename-session -t =b: a",
        "tmux new-session -d -s b -c /",
        "tmux kill-session -t =a",
        "store mode a safe",
    ];
    let started = Instant::now();
    let rounds = if std::env::var_os("ROSTER_SOAK").is_some() { 20 } else { 2 };
    for _ in 0..rounds {
        let start = |n: usize| spawn(process(&server, verbs[n * 7 % verbs.len()]));
        let children: Vec<Child> = (0..100).map(start).collect();
        for child in children {
            let output = output("one that fights", child);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
            assert!(!said.contains("panicked"), "{said}");
        }
        server.wait_until_idle();
        check_records(&server, &seen);
        seen.extend(uuids(&server).into_keys());
        for (uuid, names) in uuids(&server) {
            assert_eq!(names.len(), 1, "{uuid} stands once: {names:?}");
        }
        check_tmux(&server, |_| false);
    }
    assert!(started.elapsed() < BOUND * rounds, "{:?}", started.elapsed());
}

/// Those that empty the registry, those that fill it, and those that bring back what was emptied:
/// what was ever there has its way back in the end.
#[test]
fn many_that_empty_the_registry_at_once_leave_everything_a_way_back() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    server.wait_for_names(&["anchor"]);
    let verbs = [
        "clear",
        "store save l# / safe",
        "store delete-all",
        "recover",
        "new -d -c / n#",
        "restore --all",
        "tmux new-session -d -s t# -c /",
        "store save m# / safe",
        "hook",
        "backup",
        "sync",
        "doctor --fix",
    ];
    let rounds = if std::env::var_os("ROSTER_SOAK").is_some() { 20 } else { 2 };
    let mut saved = 0;
    for round in 0..rounds {
        let start = |n: usize| {
            let args = verbs[n * 5 % verbs.len()].replace('#', &format!("{round}n{n}"));
            (args.clone(), spawn_printing(process(&server, &args)))
        };
        let children: Vec<(String, Child)> = (0..72).map(start).collect();
        // The UUIDs that were given to somebody.
        let mut given = BTreeSet::new();
        for (args, child) in children {
            let output = output(&args, child);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(matches!(output.status.code(), Some(0 | 1)), "{args}: {output:?}");
            assert!(!said.contains("panicked"), "{said}");
            if args.starts_with("store save") && output.status.success() {
                let session: Value = serde_json::from_slice(&output.stdout).unwrap();
                given.insert(session["uuid"].as_str().unwrap().to_owned());
            }
        }
        saved += given.len();
        server.wait_until_idle();
        let mut found: BTreeSet<String> = uuids(&server).into_keys().collect();
        found.extend(backed_up(server.registry_path().parent().unwrap()));
        let missing: Vec<&String> = given.iter().filter(|uuid| !found.contains(*uuid)).collect();
        assert!(missing.is_empty(), "{missing:?} were saved, and have no way back");
        check_tmux(&server, |_| false);
        let lives = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        assert!(lives.lines().any(|name| name == "anchor"), "{lives}");
    }
    assert!(saved > 0);
}

#[test]
fn while_a_holder_never_lets_go_writers_say_so_and_readers_do_not_care() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let before = fs::read(server.registry_path()).unwrap();
    let holder = StoppedHolder::start(&server);
    let started = Instant::now();
    let writers = [
        "new -d -c / two",
        "rename one two",
        "kill one",
        "mode one yolo",
        "restore --all",
        "forget --force one",
        "clear",
        "health --all",
        "sync",
        "backup",
        "migrate",
        "store save two / safe",
        "store attached one",
        "store delete-all",
    ];
    let readers =
        ["list", "names", "show one", "mode one", "closed", "path", "store list", "store get one"];
    let start = |args: &&'static str| (*args, spawn(process(&server, args)));
    let writing: Vec<(&str, Child)> = writers.iter().map(start).collect();
    let reading: Vec<(&str, Child)> = readers.iter().map(start).collect();
    for (args, child) in reading {
        assert_eq!(end(args, child), End::Done, "{args}");
    }
    for (args, child) in writing {
        assert_eq!(end(args, child), End::Refused, "{args}");
    }
    assert!(started.elapsed() < BOUND, "{:?}", started.elapsed());
    assert_eq!(fs::read(server.registry_path()).unwrap(), before);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one");
    drop(holder);
    for args in ["mode one yolo", "new -d -c / two", "kill two"] {
        assert_eq!(end(args, spawn(process(&server, args))), End::Done, "{args}");
    }
    assert_eq!((server.names(), server.field("one", "mode")), (vec!["one".into()], "yolo".into()));
}

/// What tmux was told meanwhile no job could record; who only looks is shown it all the same.
#[test]
fn while_a_holder_never_lets_go_readers_show_what_tmux_says() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let (before, uuid) = (fs::read(server.registry_path()).unwrap(), server.uuid("one"));
    let holder = StoppedHolder::start(&server);
    server.tmux(&["rename-session", "-t", "=one:", "uno"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    let shown = known(&server);
    // A UUID that nobody has recorded is not shown: it may be another in the end.
    let live = |uuid: &str| ("live".to_owned(), uuid.to_owned());
    assert_eq!(shown, BTreeMap::from([("uno".into(), live(&uuid)), ("two".into(), live(""))]));
    assert_eq!(server.roster(&["mode", "uno"]), "safe\n");
    assert_eq!(server.roster(&["mode", &uuid]), "safe\n");
    assert!(server.roster(&["show", "two"]).contains("live"));
    assert_eq!(server.roster(&["closed", "--json"]).trim(), "[]");
    assert_eq!(fs::read(server.registry_path()).unwrap(), before);
    drop(holder);
    server.wait_for_names(&["two", "uno"]);
    server.wait_until_idle();
    assert_eq!(server.uuid("uno"), uuid);
}

/// A burst that lasts for seconds leaves a job of each second to wait for its turn. What the
/// first of them sees is all that they were started for, unless it does not come to its end.
#[test]
fn of_jobs_that_wait_together_one_asks_and_after_a_failure_the_next() {
    const JOBS: usize = 5;
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let (stub, asked, broken) =
        (server.path("stub"), server.path("counted"), server.path("broken"));
    let tmux = tmux_program().display().to_string();
    // It fails as often as there are lines in a file.
    let body = format!(
        "case $* in *list-sessions*) ;; *) exec '{tmux}' \"$@\" ;; esac\n\
         echo >>'{0}'\n\
         [ $(wc -l <'{0}') -gt $(wc -l <'{1}') ] || exit 1\n\
         exec '{tmux}' \"$@\"",
        asked.display(),
        broken.display(),
    );
    script(&stub, &body);
    let pid = server.tmux(&["display-message", "-p", "-t", &server.id("one"), "#{pid}"]);
    // In a container that shares our home there may be another server at this socket.
    for (failures, pid, asking) in [(0, &*pid, 1), (2, &pid, 3), (0, "1", JOBS)] {
        fs::write(&broken, "\n".repeat(failures)).unwrap();
        fs::write(&asked, "").unwrap();
        let holder = StoppedHolder::start(&server);
        let start = |_| {
            let mut job = hook_job(&server, &stub);
            job.env("TMUX", format!("/s,{pid},0")).spawn().unwrap()
        };
        let jobs: Vec<Child> = (0..JOBS).map(start).collect();
        for job in &jobs {
            // It looks at the clock, and sleeps for the first time.
            let is_asleep = || {
                let mut ps = Command::new("ps");
                let state = ps.args(["-o", "stat=", "-p", &job.id().to_string()]).output();
                String::from_utf8_lossy(&state.unwrap().stdout).starts_with('S')
            };
            wait_for(|| is_asleep().then_some(()), || "a job that waits".into());
        }
        drop(holder);
        for job in jobs {
            assert_eq!(end("hook", job), End::Done);
        }
        // Before 3.2 each knows the directory of its own session.
        let expected = if tmux_version() < (3, 2) { JOBS } else { asking };
        let asked = fs::read_to_string(&asked).unwrap().lines().count();
        assert_eq!(asked, expected, "{failures} failures, a job of {pid}");
    }
}
