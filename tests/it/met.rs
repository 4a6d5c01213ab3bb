//! Faults that people met, each with a small input and the right answer.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::env::{Client, ControlClient, Lack, Server, skip, tmux_program, version, wait_for};

/// What a command that must fail says.
fn complaint(server: &Server, args: &[&str]) -> String {
    let output = server.try_roster(args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn globs_have_brackets_and_doctor_shows_what_they_hide() {
    let server = Server::running("set -g @roster-ignore '[0-9]* _[!x]* tmp['\n");
    for name in ["7", "_a", "_x", "tmp[", "9lives"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    server.wait_for_names(&["one", "_x"]);
    server.wait_until_idle();
    assert_eq!(server.names(), ["_x", "one"]);
    let said = server.roster(&["doctor"]);
    for hidden in ["[0-9]* hides 7, 9lives", "_[!x]* hides _a", "tmp[ hides tmp["] {
        assert!(said.contains(&format!("@roster-ignore: {hidden}\n")), "{hidden}: {said}");
    }
    server.tmux(&["kill-session", "-t", "=_a:"]);
    let said = server.roster(&["doctor"]);
    assert!(said.contains("_[!x]* hides no live session\n"), "{said}");
}

#[test]
fn the_remedy_for_a_name_that_is_taken_names_the_very_session() {
    let server = Server::running("");
    let mut uuids = Vec::new();
    for _ in 0..2 {
        server.roster(&["new", "-d", "dup"]);
        uuids.push(server.uuid("dup"));
        server.roster(&["kill", "dup"]);
    }
    server.roster(&["new", "-d", "dup"]);
    let [older, newer] = uuids.try_into().unwrap();
    for (called, remedy) in [
        (format!("uuid:{older}"), format!("roster -L s reopen --as NEW uuid:{older}")),
        (format!("uuid:{newer}"), "roster -L s reopen --as NEW dup".to_owned()),
    ] {
        let said = complaint(&server, &["reopen", &called]);
        assert!(said.contains(&remedy), "{remedy}: {said}");
        let said = complaint(&server, &["rename", &called, "other"]);
        assert!(said.contains(&format!("roster -L s reopen --as other {called}")), "{said}");
    }
    server.roster(&["reopen", &format!("uuid:{older}"), "--as", "old"]);
    assert_eq!(server.uuid("old"), older);
}

#[test]
fn a_session_may_be_renamed_to_its_name() {
    let server = Server::running("");
    server.roster(&["rename", "one", "one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    assert!(complaint(&server, &["rename", "one", "two"]).contains("already exists"));
    server.kill_server();
    server.roster(&["rename", "two", "two"]);
    assert_eq!(server.names(), ["one", "two"]);
}

#[test]
fn last_is_each_clients_own_way_back() {
    let server = Server::running("");
    for name in ["a b", "two", "three"] {
        server.tmux(&["new-session", "-d", "-s", name]);
    }
    let (mine, other) = (server.attach("=one"), server.attach("=one"));
    let switch = |client: &Client, name: &str| {
        let client = client.name();
        server.tmux(&["switch-client", "-c", &client, "-t", &server.id(name)]);
    };
    let is_in = |client: &Client| {
        let name = client.name();
        let listed = server.tmux(&["list-clients", "-F", "#{client_name} #{session_name}"]);
        let found = listed.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        found.unwrap_or_else(|| panic!("{name} in {listed}")).to_owned()
    };
    switch(&mine, "a b");
    switch(&mine, "two");
    // Later than any visit of mine.
    switch(&other, "three");
    server.wait_until_idle();
    let mut monitor = ControlClient::attach(&server, "=one");
    for name in ["three", "two", "a b", "one"] {
        monitor.ask(&format!("switch-client -t ={name}"));
    }
    server.wait_until_idle();
    for expected in ["a b", "two", "a b"] {
        server.roster(&["last", "--client", &mine.name()]);
        assert_eq!(is_in(&mine), expected);
    }
    // Where it was is gone: the registry knows another.
    server.tmux(&["kill-session", "-t", &server.id("two")]);
    server.wait_until_idle();
    server.roster(&["last", "--client", &mine.name()]);
    assert_ne!(is_in(&mine), "a b");
    monitor.leave();
}

#[test]
fn where_there_is_nothing_nothing_is_made() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let state = server.registry_path().parent().unwrap().parent().unwrap().to_owned();
    let folders = || std::fs::read_dir(&state).unwrap().count();
    assert_eq!(folders(), 1);
    let none = "no tmux server is running on ";
    for (words, said, well) in [
        (&["sync"][..], none, false),
        (&["health"], none, false),
        (&["health", "x"], none, false),
        (&["kill", "x"], none, false),
        (&["rename", "x", "y"], none, false),
        (&["mode", "x", "yolo"], none, false),
        (&["forget", "x"], none, false),
        (&["clear"], none, false),
        (&["restore", "x"], "session \"x\" not found", false),
        (&["restore", "--all"], "there are no lost sessions", true),
        (&["reopen"], "there is no closed session or window to reopen", false),
        (&["reopen", "x"], "session \"x\" not found", false),
        (&["list"], none, true),
        (&["closed"], none, true),
        (&["backup"], "nothing to back up", true),
        (&["recover"], "there is no backup", false),
    ] {
        let roster = [&[crate::env::ROSTER, "-L", "typo"], words].concat();
        let output = server.command(roster[0]).args(&roster[1..]).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains(said) && output.status.success() == well, "{words:?}: {text}");
        assert_eq!(folders(), 1, "{words:?}");
        let made = server.socket().with_file_name("typo");
        assert!(!made.exists(), "{words:?} started a server");
    }
    // What is recorded, but not lost, needs no server either.
    server.roster(&["new", "-d", "two"]);
    server.roster(&["kill", "two"]);
    server.roster(&["forget", "--force", "one"]);
    server.kill_server();
    server.roster(&["restore", "--all"]);
    assert!(!server.try_tmux(&["list-sessions"]).status.success());
    assert_eq!(server.roster(&["health"]), "there are no sessions to check\n");
    server.roster(&["reopen"]);
    server.wait_for_names(&["one"]);
}

#[test]
fn a_session_made_again_keeps_no_verdict_of_when_it_was_lost() {
    let server = Server::running("");
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    server.crash();
    assert!(!server.try_roster(&["health"]).status.success());
    assert_eq!(server.field("two", "last_health_status"), "no-server");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_idle();
    assert_eq!(server.field("one", "last_health_status"), "");
    let checked = server.try_roster(&["health", "--all"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("lost             two\n"), "{said}");
    let uuid = server.uuid("two");
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_until_idle();
    assert_eq!(server.uuid("two"), uuid);
    assert_eq!(server.field("two", "last_health_status"), "");
    assert_eq!(server.tmux(&["show-options", "-qv", "-t", "=two:", "@roster_health"]), "");
}

#[test]
fn show_tells_which_directory_a_session_waits_for() {
    let server = Server::running("");
    let own = server.dir("gone");
    std::fs::create_dir(&own).unwrap();
    server.roster(&["new", "-d", "-c", &own, "two"]);
    server.crash();
    std::fs::remove_dir(&own).unwrap();
    server.roster(&["restore", "two"]);
    assert!(server.roster(&["show", "two"]).contains(&format!("waits for {own}\n")));
    let shown: serde_json::Value =
        serde_json::from_str(&server.roster(&["show", "two", "--json"])).unwrap();
    assert_eq!(shown["waits_for"], own);
    server.crash();
    std::fs::create_dir(&own).unwrap();
    server.roster(&["restore", "two"]);
    assert!(!server.roster(&["show", "two"]).contains("waits for"));
}

/// Starts tmux as people do, without a word, and ends it again.
fn boot(server: &Server, wait: impl Fn()) {
    let tmux = tmux_program().display().to_string();
    let config = server.dir("tmux.conf");
    let client = Client::start(server, &format!("exec {tmux} -u -L s -f '{config}'"));
    client.wait_to_see("[");
    wait();
    server.wait_until_idle();
}

#[test]
fn numbered_sessions_stay_lost_and_do_not_become_more() {
    let server = Server::with_plugin("set -g @roster-restore on\n");
    boot(&server, || server.wait_for_names(&["0"]));
    let first = server.uuid("0");
    server.crash();
    boot(&server, || server.wait_for_names(&["0", "0-2"]));
    assert_eq!(server.uuid("0-2"), first);
    for _ in 0..4 {
        let last = server.uuid("0");
        server.crash();
        boot(&server, || wait_for(|| (server.uuid("0-2") == last).then_some(()), || last.clone()));
        assert_eq!(server.names(), ["0", "0-2"]);
    }
    // The number is free again: it is the name of the one that had it.
    server.tmux(&["set-option", "-g", "@roster-restore", "off"]);
    let last = server.uuid("0");
    server.crash();
    server.write_config(&server.config().replace("restore on", "restore off"));
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.wait_for_names(&["0", "0-2", "other"]);
    assert_eq!(server.uuid("0"), last);
    server.roster(&["restore", "--all"]);
    let listed = server.tmux(&["list-sessions", "-F", "#{session_name} #{@roster_uuid}"]);
    assert!(listed.contains(&format!("0 {last}")), "{listed}");
}

#[test]
fn a_numbered_session_where_nobody_was_steps_aside() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d"]);
    server.wait_for_names(&["0"]);
    server.crash();
    server.tmux(&["new-session", "-d"]);
    server.wait_until_idle();
    assert_eq!(server.names(), ["0"]);
}

#[test]
fn restore_all_names_what_had_to_step_aside() {
    // Before 3.2 tmux tells no directory, by which the two are told apart.
    if !version().tells_directories() {
        return;
    }
    let server = Server::running("");
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    server.wait_until_idle();
    let output = server.try_roster(&["restore", "--all"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = "1 lost session was set aside, since its name was taken: one (roster -L s reopen NAME --as NEW";
    assert!(output.status.success() && said.contains(told), "{said}");
    server.roster(&["reopen", "one", "--as", "first"]);
    let said = server.try_roster(&["restore", "--all"]).stderr;
    assert!(said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn closed_sessions_of_one_name_and_directory_are_listed_as_one() {
    let server = Server::running("");
    for _ in 0..3 {
        server.roster(&["new", "-d", "work", "-c", &server.dir("a")]);
        server.roster(&["kill", "work"]);
    }
    server.roster(&["new", "-d", "work", "-c", &server.dir("b")]);
    server.roster(&["kill", "work"]);
    // As tmux-resurrect does with the session of a start, several times.
    for _ in 0..2 {
        server.tmux(&["new-session", "-d", "-s", "7"]);
        server.wait_for_names(&["7", "one"]);
        server.tmux(&["kill-session", "-t", "=7:"]);
        server.wait_for_names(&["one"]);
    }
    let listed = server.roster(&["closed"]);
    // What was closed at once may have left no windows.
    let is_shown = |word: &&str| !["-", "1"].contains(word);
    let shown: Vec<String> = listed
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take_while(is_shown).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(shown, ["work closed", "work closed (3)", "7 closed (2)"], "{listed}");
    let all: serde_json::Value =
        serde_json::from_str(&server.roster(&["closed", "--json"])).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 6);
    // What was but a start of tmux is not what anybody means.
    server.roster(&["reopen"]);
    server.wait_for_names(&["one", "work"]);
    assert_eq!(server.field("work", "workdir"), server.dir("b"));
}

#[test]
fn doctor_finds_a_folder_that_cannot_be_made_and_programs_that_are_not_there() {
    let server = Server::running(
        "set -g @roster-on-created 'nosuch-note created'\nset -g @roster-command-safe 'nosuch-agent x'\n\
         set -g @roster-on-closed 'true'\n",
    );
    server.wait_until_idle();
    let output = server.try_roster(&["doctor"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for (option, program) in
        [("@roster-on-created", "nosuch-note"), ("@roster-command-safe", "nosuch-agent")]
    {
        let found = format!("{option} starts \"{program}\", which is not in the PATH");
        assert!(said.contains(&found), "{said}");
    }
    assert!(!said.contains("@roster-on-closed starts"), "{said}");
    // Of a long line in the log the reason is seen.
    assert!(said.contains("No such file or directory (os error 2)\n"), "{said}");

    let doctor = |state: &str| {
        let mut command = server.command(crate::env::ROSTER);
        let output = command.env("XDG_STATE_HOME", state).args(["-L", "x", "doctor"]).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let file = server.dir("tmux.conf");
    let (well, said) = doctor(&format!("{file}/state"));
    assert!(!well && said.contains("PROBLEM  folder       cannot make "), "{said}");
    let fine = server.path("b/deep/er");
    assert!(doctor(&fine.display().to_string()).0 && !server.path("b/deep").exists());
    assert_eq!(std::fs::read_dir(server.path("b")).unwrap().count(), 0);
}

#[test]
fn a_session_that_was_there_before_the_plugin_is_recorded_where_it_began() {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    // Before 3.2 tmux tells the directory of the pane in front alone.
    server.tmux(&["split-window", "-t", "=one:", "-c", &server.dir("a")]);
    server.tmux(&["set-option", "-g", "@roster-binary", crate::env::ROSTER]);
    server.tmux(&["run-shell", concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux")]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    assert_eq!(server.field("one", "workdir"), server.dir("b"));
}

#[test]
fn without_a_server_all_that_was_lost_comes_back_wherever_it_is_recorded() {
    // Shells that end one by one before their server are closed, until it has outlived them.
    let server = Server::running("");
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.tmux(&["kill-session", "-t", "=two:"]);
    server.wait_for_names(&["one"]);
    server.roster(&["forget", "--force", "one"]);
    server.crash();
    assert_eq!(server.roster(&["restore", "--all"]), "restored two\n");
    // Of a registry that is gone or damaged the last good copy is taken.
    for text in [None, Some("{\"sess")] {
        server.wait_until_idle();
        server.crash();
        std::fs::remove_file(server.registry_path()).unwrap();
        if let Some(text) = text {
            std::fs::write(server.registry_path(), text).unwrap();
        }
        assert_eq!(server.roster(&["restore", "--all"]), "restored two\n", "{text:?}");
    }
}

/// Starts tmux on a terminal of its own, in a session of this name.
fn begin<'a>(server: &'a Server, session: &str) -> Client<'a> {
    let tmux = tmux_program().display().to_string();
    let config = server.dir("tmux.conf");
    let command = format!("exec {tmux} -u -L s -f '{config}' new-session -s {session}");
    let client = Client::start(server, &command);
    client.wait_to_see(&format!("[{session}]"));
    server.wait_for_name(session);
    client
}

#[test]
fn what_is_made_lives_until_a_client_has_left_it() {
    let config = "set -g destroy-unattached on\nset -g @roster-command-yolo 'sleep 1000'\n";
    let server = Server::with_plugin(config);
    // What runs by now, after the end of each of our own calls of tmux.
    let live = || {
        server.wait_until_idle();
        let listed = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let is_told = |words: &[&str]| {
        let output = server.try_roster(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        let told =
            "roster: destroy-unattached is on: a session ends once its last client leaves it";
        assert_eq!(said.trim_end(), told, "{words:?}");
    };
    let _client = begin(&server, "one");
    let mut monitor = ControlClient::attach(&server, "=one");
    is_told(&["new", "-d", "two"]);
    is_told(&["new", "-d", "-m", "yolo", "three"]);
    assert_eq!(monitor.ask("display-message -p still"), "still");
    monitor.leave();
    assert_eq!(live(), ["one", "three", "two"]);
    server.roster(&["kill", "two"]);
    is_told(&["reopen", "two"]);
    server.crash();

    let client = begin(&server, "one");
    is_told(&["restore", "--all"]);
    assert_eq!(live(), ["one", "three", "two"]);
    // Once a client has been there, it ends as all do.
    server.roster(&["go", "two", "--client", &client.name()]);
    assert_eq!(live(), ["three", "two"]);
    assert_eq!(server.tmux(&["show-options", "-t", "=two:", "destroy-unattached"]), "");
    server.roster(&["go", "three", "--client", &client.name()]);
    assert_eq!(live(), ["three"]);
    let said = server.roster(&["doctor"]);
    assert!(said.contains("note     options      destroy-unattached is on: "), "{said}");

    // What comes back by itself does so, too.
    server.crash();
    server.write_config(&format!("set -g @roster-restore on\n{}", server.config()));
    let _client = begin(&server, "one");
    // (What ended just before its server is lost, too.)
    server.wait_for_names(&["one", "three", "two"]);
    assert_eq!(live(), ["one", "three", "two"]);
    assert!(!server.tmux(&["show-hooks", "-g"]).contains("after-new-session["));
    // Where tmux ends none, nothing is done.
    server.tmux(&["set-option", "-g", "destroy-unattached", "off"]);
    assert!(server.try_roster(&["new", "-d", "four"]).stderr.is_empty());
    assert_eq!(server.tmux(&["show-options", "-t", "=four:", "destroy-unattached"]), "");
}

#[test]
fn a_status_line_that_is_set_later_shows_what_it_is_to_show() {
    let server = Server::running("");
    let client = server.attach("=one");
    // What the first client that comes has put back is past.
    let hooks = || server.tmux(&["show-hooks", "-g"]);
    wait_for(|| (!hooks().contains("[4244]")).then_some(()), hooks);
    server.wait_for_end_of(" load --status");
    server.wait_until_idle();
    let set = |value: &str| server.tmux(&["set-option", "-g", "status-right", value]);
    set("theme #{roster_mode}|#{?@roster_lost,x,} $HOME");
    let said = server.try_roster(&["doctor"]).stdout;
    let said = String::from_utf8_lossy(&said);
    let found = "PROBLEM  status       status-right was set after the plugin was loaded: ";
    assert!(said.contains(found), "{said}");
    server.roster(&["sync"]);
    client.wait_to_see("theme safe|");
    let value = server.tmux(&["show-options", "-gqv", "status-right"]);
    assert_eq!(value.replace("\\$", "$"), "theme #{@roster_mode}|#{?@roster_lost,x,} $HOME");
    // A hook's sync looks once a minute: the lock file's time of access says when it did.
    set("other #{roster_mode}|");
    let lock = server.registry_path().with_file_name("sessions.json.lock");
    let lock = std::fs::File::options().write(true).open(lock).unwrap();
    lock.set_times(std::fs::FileTimes::new().set_accessed(std::time::UNIX_EPOCH)).unwrap();
    server.tmux(&["rename-session", "-t", &server.id("one"), "uno"]);
    client.wait_to_see("other safe|");
    set("#{?roster_lost,x,}");
    server.tmux(&["set-option", "-g", "set-titles-string", "#{roster_mode}"]);
    let said = server.roster(&["doctor", "--fix"]);
    for (name, option) in [("roster_lost", "status-right"), ("roster_mode", "set-titles-string")] {
        let found =
            format!("note     status       {name} in {option} is blank: tmux knows it as @");
        assert!(said.contains(&found), "{said}");
    }
}

#[test]
fn what_is_made_stands_in_its_directory_where_the_servers_own_is_gone() {
    if !Path::new("/proc/self/cwd").exists() {
        return;
    }
    let server = Server::with_plugin("set -g @roster-command-yolo 'sleep 1000'\n");
    let gone = server.path("gone");
    std::fs::create_dir(&gone).unwrap();
    let mut start = server.command(tmux_program());
    start.args(["-L", "s", "-f"]).arg(server.path("tmux.conf")).current_dir(&gone);
    let started = start.args(["new-session", "-d", "-s", "one", "-c"]).arg(server.path("b"));
    assert!(started.status().unwrap().success());
    server.wait_for_names(&["one"]);
    std::fs::remove_dir(&gone).unwrap();
    let is_adrift = version().clings_to_its_directory();

    let in_b = |name: &[u8]| OsString::from_vec([server.dir("b").as_bytes(), name].concat());
    let odd = in_b(b"/it's #{x} \xff");
    std::fs::create_dir(&odd).unwrap();
    let link = server.path("link");
    std::os::unix::fs::symlink(server.path("b"), &link).unwrap();
    let stands_in = |name: &str, directory: &Path| {
        let pid = server.tmux(&["list-panes", "-t", &server.id(name), "-F", "#{pane_pid}"]);
        let own = format!("/proc/{pid}/cwd");
        let is_there = || std::fs::read_link(&own).is_ok_and(|found| found == directory);
        wait_for(|| is_there().then_some(()), || format!("{name} in {}", directory.display()));
    };
    let told = format!(
        "roster: the directory that the tmux server was started in is gone ({}): it starts later \
         windows and panes there, not in their own; restart it when convenient\n",
        gone.display()
    );
    let make = |words: &[&str]| {
        let output = server.try_roster(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        assert_eq!(said, if is_adrift { told.as_str() } else { "" }, "{words:?}");
    };
    // A login shell, by the path as it was given.
    make(&["new", "-d", "two", "-c", &link.display().to_string()]);
    stands_in("two", &server.path("b"));
    let two = server.id("two");
    server.tmux(&["send-keys", "-t", &two, "-l", "echo \"<$0 $PWD $ROSTER_SESSION>\""]);
    server.tmux(&["send-keys", "-t", &two, "Enter"]);
    // Before 3.3 tmux says no PWD.
    let shown = match is_adrift {
        true => format!("<-sh {} two>", link.display()),
        false => "<-sh ".to_owned(),
    };
    let screen = || server.screen(&two).replace('\n', "");
    wait_for(|| screen().contains(&shown).then_some(()), screen);
    // A program.
    make(&["new", "-d", "-m", "yolo", "three", "-c", &server.dir("c")]);
    stands_in("three", &server.path("c"));
    // What tmux runs for a shell.
    server.tmux(&["set-option", "-g", "default-command", "ROSTER_X='a b' exec sleep 1000"]);
    make(&["new", "-d", "four", "-c", &server.dir("c")]);
    stands_in("four", &server.path("c"));
    let pid = server.tmux(&["list-panes", "-t", &server.id("four"), "-F", "#{pane_pid}"]);
    let words = || std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    wait_for(|| (words() == b"sleep\x001000\0").then_some(()), || format!("{:?}", words()));
    // Any bytes.
    // To tmux it is a format.
    let escaped = in_b(b"/it's ##{x} \xff");
    let words = ["new-session", "-d", "-s", "odd", "-c"].map(OsStr::new);
    server.tmux(&[&words[..], &[&escaped]].concat());
    server.wait_for_name("odd");
    server.roster(&["kill", "odd"]);
    make(&["reopen", "odd"]);
    stands_in("odd", Path::new(&odd));
    let said = String::from_utf8_lossy(&server.try_roster(&["doctor"]).stdout).into_owned();
    let found = "PROBLEM  server       the directory that the server was started in is gone (";
    assert_eq!(said.contains(found), is_adrift, "{said}");
}

#[test]
fn a_server_whose_tmux_has_another_folder_for_sockets_is_found_from_outside() {
    let usual = Path::new("/tmp").join(tmux_roster::tmux::socket_folder_name()).join("s");
    if usual.symlink_metadata().is_ok() {
        return skip("another folder for sockets", Lack::Permission, "somebody uses the usual one");
    }
    // Such a tmux knows its folder by itself, not by its environment.
    let server = Server::with_config("");
    let plugin = Server::with_plugin("").config().to_owned();
    server.write_config(&format!("set-environment -gu TMUX_TMPDIR\n{plugin}"));
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    let outside = |words: &[&str]| {
        let mut command = server.command(crate::env::ROSTER);
        command.env_remove("TMUX_TMPDIR").args(["-L", "s"]).args(words);
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        String::from_utf8_lossy(&said).into_owned()
    };
    assert!(outside(&["list"]).contains("two   live"), "{}", outside(&["list"]));
    assert_eq!(outside(&["path"]).trim_end(), server.registry_path().display().to_string());
    server.crash();
    // As a reboot does.
    std::fs::remove_dir_all(server.socket().parent().unwrap()).unwrap();
    assert!(outside(&["list"]).contains("two   lost"), "{}", outside(&["list"]));
    assert_eq!(outside(&["restore", "--all"]), "restored one, two\n");
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one\ntwo");
    server.kill_server();
    // What the environment says counts first, and a folder that is not there says nothing.
    let asked = |folder: &Path| {
        let mut command = server.command(crate::env::ROSTER);
        command.env("TMUX_TMPDIR", folder).args(["-L", "s", "sync"]);
        String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
    };
    let other = server.path("b");
    let in_other = other.join(tmux_roster::tmux::socket_folder_name()).join("s");
    assert!(asked(&other).contains(&in_other.display().to_string()), "{}", asked(&other));
    let missing = server.path("missing");
    assert!(
        asked(&missing).contains(&server.socket().display().to_string()),
        "{}",
        asked(&missing)
    );
    // Nor is it noted where a server was only told.
    let told = Server::running("");
    let notes = told.registry_path().parent().unwrap().with_file_name(".sockets");
    assert!(!notes.exists());
}

#[test]
fn without_a_server_no_mode_is_taken_for_the_default_one() {
    let server = Server::running("set -g @roster-default-mode yolo");
    server.roster(&["new", "-d", "two", "-m", "safe"]);
    let row = |name: &str| {
        let listed = server.roster(&["list"]);
        listed.lines().find(|line| line.contains(name)).unwrap().to_owned()
    };
    assert!(!row("one").contains("yolo") && row("two").contains("safe"));
    server.kill_server();
    assert!(row("one").contains("yolo") && row("two").contains("safe"), "{}", row("two"));
}

#[test]
fn doctor_names_the_folder_as_the_cause_where_the_plugin_could_not_be_loaded() {
    let server = Server::with_plugin("");
    let state = server.path("file");
    std::fs::write(&state, "").unwrap();
    let run = |program: &str, args: &[&str]| {
        let mut command = server.command(program);
        command.env("XDG_STATE_HOME", &state).args(["-L", "s"]).args(args).output().unwrap()
    };
    let config = server.dir("tmux.conf");
    let tmux = tmux_program().display().to_string();
    assert!(run(&tmux, &["-f", &config, "new-session", "-d", "-s", "one"]).status.success());
    let said = run(crate::env::ROSTER, &["doctor"]);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains("not loaded in this server") && said.contains("cannot make"), "{said}");
    assert!(
        said.contains("has no folder (see below)") && !said.contains("load plugin.tmux"),
        "{said}"
    );
}
