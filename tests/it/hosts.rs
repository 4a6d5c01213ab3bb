//! A server that runs without its socket, and hosts and containers that share a home: what lives
//! where we cannot see it is neither lost nor made a second time.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::env::{
    ROSTER, Server, can, end_process, json, stderr, stdout, tmux_program, wait_for, without_socket,
};

fn state_of(listed: &str, name: &str) -> String {
    let rows: Value = serde_json::from_str(listed).unwrap();
    let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
    row.map_or("none".into(), |row| row["state"].as_str().unwrap().to_owned())
}

fn files(server: &Server) -> Vec<Option<Vec<u8>>> {
    let file = |name| fs::read(server.registry_path().with_file_name(name)).ok();
    ["sessions.json", "closed.json", "server.json"].map(file).into()
}

#[test]
fn a_server_whose_socket_is_gone_is_said_to_run_and_none_is_started_beside_it() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    for with_folder in [false, true] {
        let (server, pid) = without_socket("", with_folder);
        let (uuids, before) = ((server.uuid("one"), server.uuid("two")), files(&server));
        for args in [
            &["restore", "--all"][..],
            &["restore", "one"],
            &["reopen"],
            &["new", "-d", "three"],
            &["rename", "one", "uno"],
            &["mode", "one", "yolo"],
            &["forget", "one"],
            &["clear"],
            &["kill", "one"],
            &["health", "one"],
            &["sync"],
        ] {
            let output = server.try_roster(args);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            assert!(said.contains(&format!("process {pid}")), "{args:?}: {said}");
            assert!(said.contains("roster -L s doctor --fix") && !said.contains("kill "), "{said}");
            assert!(!server.socket().exists(), "{args:?} started a server");
        }
        let listed = server.roster(&["list", "--json"]);
        assert_eq!(state_of(&listed, "one"), "unreachable");
        assert_eq!(server.roster(&["list", "--state", "lost", "--json"]), "[]\n");
        assert_eq!(files(&server), before);

        let doctor = server.try_roster(&["doctor"]);
        assert_eq!(doctor.status.code(), Some(1));
        assert!(stdout(&doctor).contains("tmux is running with 2 sessions"), "{doctor:?}");
        let fixed = server.try_roster(&["doctor", "--fix"]);
        assert!(fixed.status.success(), "{fixed:?}");
        assert!(stdout(&fixed).contains("reached the server through a new socket"), "{fixed:?}");
        assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one\ntwo");
        server.wait_until_quiet();
        assert_eq!((server.uuid("one"), server.uuid("two")), uuids);
        server.tmux(&["new-session", "-d", "-s", "three"]);
        server.wait_for_names(&["one", "three", "two"]);

        // Once it has ended, its sessions are lost as ever.
        fs::remove_file(server.socket()).unwrap();
        end_process(pid);
        assert_eq!(state_of(&server.roster(&["list", "--json"]), "one"), "lost");
        server.roster(&["restore", "one", "two"]);
        assert_eq!((server.uuid("one"), server.uuid("two")), uuids);
    }
}

/// People whose sessions seem to be gone start tmux anew.
#[test]
fn a_new_server_beside_one_that_nobody_reaches_doubles_nothing() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let (server, pid) = without_socket("set -g @roster-restore on", true);
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    server.wait_for_name("mine");
    // Under the name and in the directory of one that lives.
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_idle();
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "mine\none");
    let new = server.uuid("one");
    assert_ne!(new, one);
    assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_lost"]), "0");
    let listed = server.roster(&["list", "--json"]);
    assert_eq!(state_of(&listed, "two"), "unreachable");
    for args in [&["restore", "two"][..], &["go", "two"], &["kill", "two"], &["reopen", "one"]] {
        let output = server.try_roster(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert!(
            !args.contains(&"two")
                || stderr(&output).contains(&format!("process {pid}"))
                || stderr(&output).contains("terminal"),
            "{output:?}"
        );
    }
    server.roster(&["restore", "--all"]);
    // Nor is another made in the directory that it lives in.
    let client = server.attach("mine");
    let refused = server.try_roster(&["go", "--client", &client.name(), &server.dir("b")]);
    assert!(stderr(&refused).contains(&format!("process {pid}")), "{refused:?}");
    drop(client);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "mine\none");
    let doctor = server.try_roster(&["doctor"]);
    let found = stdout(&doctor);
    assert!(found.contains(&format!("in another tmux server (process {pid})")), "{found}");

    // Asked to all the same, it makes another.
    server.roster(&["restore", "two", "--force"]);
    let twin = server.uuid("two");
    assert_ne!(twin, two);
    server.wait_until_idle();
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "mine\none\ntwo");

    // Once the new one has ended, the first is reached again, with its own.
    server.kill_server();
    assert_eq!(state_of(&server.roster(&["list", "--json"]), "mine"), "lost");
    let refused = server.try_roster(&["restore", "mine"]);
    assert!(stderr(&refused).contains(&format!("process {pid}")), "{refused:?}");
    let fixed = server.try_roster(&["doctor", "--fix"]);
    assert!(fixed.status.success(), "{fixed:?}");
    server.tmux(&["rename-session", "-t", "=two:", "zwei"]);
    server.wait_for_name("zwei");
    server.wait_until_idle();
    assert_eq!(server.uuid("zwei"), two);
    let own = server.tmux(&["show-options", "-qv", "-t", &server.id("one"), "@roster_uuid"]);
    assert_eq!(own, one);
    assert_eq!(server.uuid("one"), one);
    let all: Vec<String> =
        [server.registry(), json(&server.registry_path().with_file_name("closed.json"))]
            .iter()
            .flat_map(|file| {
                file.to_string()
                    .split("\"uuid\":\"")
                    .skip(1)
                    .map(|rest| rest[..36].to_owned())
                    .collect::<Vec<_>>()
            })
            .collect();
    for uuid in [&one, &two, &new, &twin] {
        assert_eq!(all.iter().filter(|found| *found == uuid).count(), 1, "{uuid} in {all:?}");
    }
}

#[test]
fn what_nobody_reaches_is_made_again_only_by_force_and_as_another() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let (server, pid) = without_socket("", false);
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    server.roster(&["restore", "--all", "--force"]);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one\ntwo");
    let now = BTreeSet::from([server.uuid("one"), server.uuid("two")]);
    assert!(now.len() == 2 && !now.contains(&one) && !now.contains(&two));
    assert_eq!(server.field("two", "workdir"), server.dir("b"));
    end_process(pid);
    // What lived there alone is not lost: it was made again.
    server.wait_until_quiet();
    assert_eq!(server.roster(&["list", "--state", "lost", "--json"]), "[]\n");
}

#[test]
fn what_lives_out_of_reach_keeps_its_record_when_all_others_go() {
    if !Path::new("/proc/self/stat").exists() {
        return;
    }
    let (server, pid) = without_socket("", true);
    let record = |name: &str| server.registry()["sessions"][name].clone();
    server.tmux(&["new-session", "-d", "-s", "mine"]);
    server.wait_for_name("mine");
    server.wait_until_idle();
    let (one, two) = (record("one"), record("two"));
    server.roster(&["clear"]);
    assert_eq!((record("one"), record("two")), (one.clone(), two.clone()));
    // A registry of before that has neither.
    let saved = server.path("saved.json");
    fs::write(&saved, r#"{"schema_version":1,"sessions":{}}"#).unwrap();
    server.roster(&["recover", saved.to_str().unwrap()]);
    assert_eq!((record("one"), record("two")), (one, two));
    let listed = server.roster(&["list", "--json"]);
    assert_eq!(state_of(&listed, "two"), "unreachable");
    end_process(pid);
}

/// A host of its own: another name, private sockets, and if wanted other process ids, another
/// machine id or boot.
struct Host<'a> {
    server: &'a Server,
    holder: Child,
    enter: Vec<String>,
}

/// What is another there than here.
#[derive(Default, Clone, Copy)]
struct Other<'a> {
    machine: Option<&'a str>,
    boot: Option<&'a str>,
    is_container: bool,
    /// It has the folder of sockets that all share, as a container has that is started again.
    shares_sockets: bool,
}

fn can_be_hosts(test: &str) -> bool {
    let mut trial = Command::new("unshare");
    can(test, trial.args(["-m", "-u", "-p", "-f", "--mount-proc", "hostname", "trial"]))
}

impl<'a> Host<'a> {
    fn new(server: &'a Server, name: &str, other: Other<'_>) -> Host<'a> {
        let body = "
            set -e
            hostname \"$1\"
            [ -n \"$5\" ] || mount -t tmpfs none \"$2\"
            [ -z \"$3\" ] || { echo \"$3\" >\"$2/machine\"; mount --bind \"$2/machine\" /etc/machine-id; }
            [ -z \"$4\" ] || { echo \"$4\" >\"$2/boot\"; mount --bind \"$2/boot\" /proc/sys/kernel/random/boot_id; }
            echo ready
            exec sleep 600";
        let mut command = server.command("unshare");
        command.args(["-m", "-u"]);
        if other.is_container {
            command.args(["-p", "-f", "--mount-proc", "--kill-child"]);
        }
        command.args(["sh", "-c", body, "sh", name]).arg(server.path("tmp"));
        command.args([other.machine.unwrap_or_default(), other.boot.unwrap_or_default()]);
        command.arg(if other.shares_sockets { "yes" } else { "" });
        let mut holder = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        let mut said = BufReader::new(holder.stdout.take().unwrap());
        said.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let mut pid = holder.id();
        if other.is_container {
            let children = format!("/proc/{pid}/task/{pid}/children");
            pid = fs::read_to_string(children).unwrap().trim().parse().unwrap();
        }
        let mut enter = vec!["-t".to_owned(), pid.to_string(), "-m".into(), "-u".into()];
        if other.is_container {
            enter.push("-p".into());
        }
        Host { server, holder, enter }
    }

    fn run(&self, program: &Path, args: &[&str]) -> Output {
        let mut command = self.server.command("nsenter");
        command.args(&self.enter).args(["sh", "-c", "cd \"$0\"; exec \"$@\""]);
        command.arg(self.server.path("a")).arg(program).args(args).output().unwrap()
    }

    fn tmux(&self, args: &[&str]) -> String {
        let config = self.server.dir("tmux.conf");
        let output = self.run(&tmux_program(), &[&["-u", "-L", "s", "-f", &config], args].concat());
        assert!(output.status.success(), "tmux {args:?}: {output:?}");
        stdout(&output)
    }

    fn try_roster(&self, args: &[&str]) -> Output {
        self.run(Path::new(ROSTER), &[&["-L", "s"], args].concat())
    }

    fn roster(&self, args: &[&str]) -> String {
        let output = self.try_roster(args);
        assert!(output.status.success(), "roster {args:?}: {output:?}");
        stdout(&output)
    }

    fn state(&self, name: &str) -> String {
        state_of(&self.roster(&["list", "--json"]), name)
    }

    /// Waits until a session lives and all is in step. (For a moment the folder may be another's.)
    fn wait_for_live(&self, name: &str) {
        let lives = || {
            let listed = self.try_roster(&["list", "--json"]);
            let is_live = listed.status.success() && state_of(&stdout(&listed), name) == "live";
            let synced = self.try_roster(&["sync"]);
            (is_live && stdout(&synced) == "nothing to change\n").then_some(())
        };
        wait_for(lives, || format!("{name} live"));
    }

    fn uuid(&self, name: &str) -> String {
        let rows: Value = serde_json::from_str(&self.roster(&["list", "--json"])).unwrap();
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name);
        row.unwrap()["uuid"].as_str().unwrap().to_owned()
    }
}

impl Host<'_> {
    /// Ends its server, and waits until that has ended: before tmux 3.2 it waits for its jobs.
    fn end_server(&self) {
        let pid = self.tmux(&["list-sessions", "-F", "#{pid}"]);
        let pid = pid.lines().next().unwrap().to_owned();
        self.tmux(&["kill-server"]);
        let ended = "! readlink /proc/$0/exe >/dev/null";
        wait_for(
            || self.run(Path::new("sh"), &["-c", ended, &pid]).status.success().then_some(()),
            || "the server's end".into(),
        );
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        let _ = self.run(&tmux_program(), &["-L", "s", "kill-server"]);
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

const RESTORES: &str = "set -g @roster-restore on";

#[test]
fn two_hosts_that_share_a_home_leave_each_other_alone() {
    if !can_be_hosts("two hosts") {
        return;
    }
    // On one kernel, in two containers of it, and on two machines.
    for (at, (a, b)) in [
        (Other::default(), Other::default()),
        (
            Other { is_container: true, ..Other::default() },
            Other { is_container: true, ..Other::default() },
        ),
        (
            Other {
                machine: Some("aaaa"),
                boot: Some("1"),
                is_container: true,
                ..Other::default()
            },
            Other {
                machine: Some("bbbb"),
                boot: Some("2"),
                is_container: true,
                ..Other::default()
            },
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let server = Server::with_plugin(RESTORES);
        let (a, b) = (Host::new(&server, "alpha", a), Host::new(&server, "beta", b));
        a.tmux(&["new-session", "-d", "-s", "work"]);
        a.wait_for_live("work");
        let work = a.uuid("work");
        b.tmux(&["new-session", "-d", "-s", "mine"]);
        b.wait_for_live("mine");
        // The same name in the same directory is another session there.
        b.tmux(&["new-session", "-d", "-s", "work"]);
        b.wait_for_live("work");
        assert_ne!(b.uuid("work"), work, "{at}");
        b.tmux(&["kill-session", "-t", "=work"]);
        b.roster(&["sync"]);
        assert_eq!(b.state("work"), "none");
        assert_eq!(a.state("mine"), "none");
        a.tmux(&["rename-session", "-t", "=work:", "job"]);
        a.wait_for_live("job");
        assert_eq!(a.uuid("job"), work);
        let doctor = stdout(&b.try_roster(&["doctor"]));
        assert!(doctor.contains("1 session recorded for the host alpha"), "{doctor}");
        assert!(doctor.contains("roster -L s restore --from alpha"), "{doctor}");
        // The first host has the folder that it always had.
        assert!(server.names().contains(&"job".into()), "{}", server.registry());

        // Each has its own back after its own end.
        b.end_server();
        assert_eq!(b.state("mine"), "lost");
        a.roster(&["sync"]);
        assert_eq!(a.state("job"), "live");
        b.roster(&["restore", "mine"]);
        assert_eq!(b.state("mine"), "live");

        // Taken over by name alone, and not while they live in our sight.
        let no = b.try_roster(&["restore", "--from", "gamma"]);
        assert!(stderr(&no).contains("only for alpha"), "{no:?}");
        if at == 0 {
            let live = b.try_roster(&["restore", "--from", "alpha"]);
            assert!(stderr(&live).contains("are live: tmux is running there"), "{live:?}");
        }
        a.end_server();
        b.roster(&["sync"]);
        if at > 0 {
            b.roster(&["restore", "--from", "alpha"]);
            assert_eq!(b.state("job"), "live");
            assert_eq!(b.uuid("job"), work);
            assert_eq!(server.names(), [""; 0]);
        }
    }
}

#[test]
fn a_host_that_is_renamed_or_boots_anew_has_its_sessions_lost_as_ever() {
    if !can_be_hosts("a host renamed") {
        return;
    }
    let server = Server::with_plugin("");
    let machine = Other { machine: Some("aaaa"), boot: Some("1"), ..Other::default() };
    let before = Host::new(&server, "before", machine);
    before.tmux(&["new-session", "-d", "-s", "work"]);
    before.wait_for_live("work");
    let work = before.uuid("work");
    before.end_server();
    drop(before);
    let renamed = Host::new(&server, "renamed", machine);
    assert_eq!(renamed.state("work"), "lost");
    renamed.roster(&["restore", "work"]);
    assert_eq!(renamed.uuid("work"), work);
    renamed.end_server();
    drop(renamed);
    let booted = Other { boot: Some("2"), is_container: true, ..machine };
    let booted = Host::new(&server, "again", booted);
    assert_eq!(booted.state("work"), "lost");
    booted.roster(&["restore", "work"]);
    assert_eq!(booted.uuid("work"), work);
}

#[test]
fn a_container_made_anew_with_its_home_takes_over_what_is_asked_for() {
    if !can_be_hosts("a container made anew") {
        return;
    }
    let server = Server::with_plugin(RESTORES);
    let container = Other { is_container: true, ..Other::default() };
    let mut uuids = BTreeSet::new();
    // Were one gone, the next might have its number, and see that all in it have ended.
    let mut kept = Vec::new();
    for round in 0..3 {
        let host = Host::new(&server, "box", container);
        host.tmux(&["new-session", "-d", "-s", &format!("n{round}")]);
        host.wait_for_live(&format!("n{round}"));
        if round > 0 {
            // It cannot be seen that what ran there has ended.
            assert_eq!(host.state("n0"), "none");
            host.roster(&["restore", "--from", "box"]);
            for earlier in 0..round {
                assert_eq!(host.state(&format!("n{earlier}")), "live");
            }
        }
        let now: BTreeSet<String> = (0..=round).map(|n| host.uuid(&format!("n{n}"))).collect();
        assert!(now.is_superset(&uuids) && now.len() == round + 1, "{now:?} {uuids:?}");
        uuids = now;
        host.end_server();
        kept.push(host);
    }
}

/// The version before knew nothing of hosts: both used one folder, and the one that comes second
/// now gets its own without being asked.
#[test]
fn hosts_that_used_one_folder_part_by_themselves() {
    if !can_be_hosts("hosts that used one folder") {
        return;
    }
    let server = Server::with_plugin("");
    let container = Other { is_container: true, ..Other::default() };
    let a = Host::new(&server, "alpha", container);
    a.tmux(&["new-session", "-d", "-s", "work"]);
    a.wait_for_live("work");
    let work = a.uuid("work");
    server.wait_for_jobs();
    let memory = server.registry_path().with_file_name("server.json");
    let mut old = json(&memory);
    for key in ["host", "started"] {
        assert!(old.as_object_mut().unwrap().remove(key).is_some(), "{old}");
    }
    fs::write(&memory, old.to_string()).unwrap();
    let b = Host::new(&server, "beta", container);
    b.tmux(&["new-session", "-d", "-s", "mine"]);
    b.wait_for_live("mine");
    assert!(server.names().contains(&"mine".into()));
    a.tmux(&["new-session", "-d", "-s", "more"]);
    a.wait_for_live("more");
    assert_eq!((a.state("work"), a.uuid("work")), ("live".into(), work));
    assert_eq!(a.state("mine"), "none");
    assert!(!server.names().contains(&"more".into()));
}

#[test]
fn a_container_that_is_started_again_has_its_sessions_lost_as_ever() {
    if !can_be_hosts("a container started again") {
        return;
    }
    let server = Server::with_plugin("");
    let container = Other { is_container: true, shares_sockets: true, ..Other::default() };
    let before = Host::new(&server, "box", container);
    before.tmux(&["new-session", "-d", "-s", "work"]);
    before.wait_for_live("work");
    let work = before.uuid("work");
    before.end_server();
    drop(before);
    server.wait_for_jobs();
    let again = Host::new(&server, "box", container);
    assert_eq!(again.state("work"), "lost");
    again.roster(&["restore", "--all"]);
    assert_eq!((again.state("work"), again.uuid("work")), ("live".into(), work));
}

/// A sandbox of the same host, with process ids and sockets of its own, gets a folder of its own;
/// the host keeps to the one that it has.
#[test]
fn a_sandbox_takes_no_folder_from_its_host() {
    if !can_be_hosts("a sandbox") {
        return;
    }
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "work"]);
    server.wait_for_names(&["work"]);
    server.wait_until_idle();
    let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let sandbox = Other { is_container: true, ..Other::default() };
    let sandbox = Host::new(&server, node.trim(), sandbox);
    sandbox.tmux(&["new-session", "-d", "-s", "inside"]);
    sandbox.wait_for_live("inside");
    assert_eq!(sandbox.state("work"), "none");
    drop(sandbox);
    server.kill_server();
    assert_eq!(state_of(&server.roster(&["list", "--json"]), "work"), "lost");
    server.roster(&["restore", "--all"]);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "work");
    let doctor = stdout(&server.try_roster(&["doctor"]));
    assert!(doctor.contains("1 session recorded for the host"), "{doctor}");
}

/// A sandbox in a pane has that pane's environment, and does not see that its server runs.
#[test]
fn a_sandbox_in_a_pane_takes_nothing_that_is_recorded_outside_for_lost() {
    if !can_be_hosts("a sandbox in a pane") {
        return;
    }
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "work"]);
    server.wait_for_names(&["work"]);
    server.wait_until_idle();
    let before = files(&server);
    let node = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let sandbox = Other { is_container: true, ..Other::default() };
    let sandbox = Host::new(&server, node.trim(), sandbox);
    let published = server.published(&tmux_program());
    let published = published.map(|(name, value)| format!("{name}={}", value.display()));
    for args in [
        &["list"][..],
        &["show", "work"],
        &["mode", "work"],
        &["rename", "work", "job"],
        &["mode", "work", "yolo"],
        &["health", "work"],
        &["forget", "work"],
        &["clear"],
        &["kill", "work"],
        &["restore", "work"],
        &["new", "-d", "more"],
    ] {
        let mut words: Vec<&str> = published.iter().map(String::as_str).collect();
        words.extend([ROSTER, "-L", "s"]);
        words.extend(args);
        let output = sandbox.run(Path::new("env"), &words);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        assert!(stderr(&output).contains("run this command there"), "{args:?}: {output:?}");
        assert_eq!(files(&server), before, "{args:?}");
    }
    server.kill_server();
    drop(sandbox);
    server.roster(&["rename", "work", "job"]);
}
