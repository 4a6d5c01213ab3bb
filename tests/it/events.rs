//! What people and programs do to sessions, and that the registry follows by itself.

use std::fs;
use std::path::Path;

use crate::env::{
    Client, ROSTER, Server, copy_program, hook_job, hook_job_in, script, tmux_program,
    tmux_version, wait_for,
};

/// A server with the plugin and the session `one`, in step.
fn started() -> Server {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    server
}

#[test]
fn the_first_session_is_recorded_with_all_its_fields() {
    let server = started();
    assert_eq!(server.field("one", "name"), "one");
    assert_eq!(server.field("one", "mode"), "safe");
    assert_eq!(server.field("one", "workdir"), server.dir("a"));
    assert_eq!(server.field("one", "last_attached_at"), "0001-01-01T00:00:00Z");
    let uuid = server.uuid("one");
    assert_eq!(
        server.tmux(&["show-options", "-qv", "-t", &server.id("one"), "@roster_uuid"]),
        uuid
    );
    let environment = server.tmux(&["show-environment", "-t", &server.id("one")]);
    assert!(environment.contains(&format!("ROSTER_UUID={uuid}")), "{environment}");
}

#[test]
fn rename_in_tmux_keeps_the_uuid() {
    let server = started();
    let uuid = server.uuid("one");
    server.tmux(&["rename-session", "-t", "=one:", "b", ";", "rename-session", "-t", "=b:", "c"]);
    server.wait_for_names(&["c"]);
    assert_eq!(server.uuid("c"), uuid);
}

#[test]
fn two_sessions_that_swap_names_keep_their_uuids() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    let (first, second) = (server.id("one"), server.id("two"));
    server.tmux(&[
        "rename-session",
        "-t",
        &first,
        "x",
        ";",
        "rename-session",
        "-t",
        &second,
        "one",
        ";",
        "rename-session",
        "-t",
        &first,
        "two",
    ]);
    wait_for(|| (server.uuid("two") == one).then_some(()), || "the swap".into());
    assert_eq!(server.uuid("one"), two);
}

#[test]
fn a_closed_session_leaves_the_registry_and_can_be_reopened() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    let uuid = server.uuid("two");
    server.tmux(&["kill-session", "-t", "=two"]);
    server.wait_for_names(&["one"]);
    server.roster(&["reopen"]);
    assert_eq!(server.uuid("two"), uuid);
    assert_eq!(server.field("two", "workdir"), server.dir("b"));
    assert_eq!(server.field("two", "last_health_status"), "recreated");
}

#[test]
fn a_shell_that_exits_closes_its_session() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.tmux(&["respawn-pane", "-k", "-t", "=two:", "exit"]);
    server.wait_for_names(&["one"]);
}

#[test]
fn attach_and_switch_move_last_attached() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    let _client = server.attach("one");
    let never = "0001-01-01T00:00:00Z";
    let attached = |name: &str| {
        wait_for(
            || Some(server.field(name, "last_attached_at")).filter(|at| at != never),
            || format!("{name} attached"),
        )
    };
    let first = attached("one");
    assert_eq!(server.field("two", "last_attached_at"), never);
    server.tmux(&["switch-client", "-t", &server.id("two")]);
    assert!(attached("two") >= first);
    // A new session from a terminal fires no client-attached.
    let _typed = Client::start(
        &server,
        &format!("exec {} -L s new-session -s three", tmux_program().display()),
    );
    attached("three");
}

#[test]
fn a_burst_ends_exact() {
    let server = started();
    let commands: String = (0..100).map(|n| format!("new-session -d -s n{n:02}\n")).collect();
    std::fs::write(server.path("burst"), commands).unwrap();
    server.tmux(&["source-file", &server.dir("burst")]);
    let mut names: Vec<String> = (0..100).map(|n| format!("n{n:02}")).collect();
    names.push("one".into());
    server.wait_for_names(&names.iter().map(String::as_str).collect::<Vec<_>>());
    server.wait_until_quiet();
    let uuids: std::collections::HashSet<String> = names.iter().map(|n| server.uuid(n)).collect();
    assert_eq!(uuids.len(), 101);
    server.tmux(&["kill-session", "-a", "-t", "=one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    assert_eq!(server.names(), ["one"]);
}

#[test]
fn a_restart_of_the_server_loses_nothing() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_quiet();
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    server.crash();
    // `one` comes back under its name and directory, `two` stays lost.
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_quiet();
    assert_eq!((server.uuid("one"), server.uuid("two")), (one, two.clone()));
    assert!(server.roster(&["list", "--state", "lost"]).contains("two"));
    server.roster(&["restore", "--all"]);
    assert_eq!(server.uuid("two"), two);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one\ntwo");
}

#[test]
fn a_deleted_registry_comes_back_with_the_same_uuids() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_quiet();
    let (one, two) = (server.uuid("one"), server.uuid("two"));
    std::fs::remove_dir_all(server.registry_path().parent().unwrap()).unwrap();
    server.tmux(&["rename-session", "-t", "=two:", "zwei"]);
    server.wait_for_names(&["one", "zwei"]);
    assert_eq!((server.uuid("one"), server.uuid("zwei")), (one, two));
}

#[test]
fn loading_twice_leaves_one_entry_and_everybody_elses_hooks() {
    let server = Server::with_plugin("set-hook -ga session-created 'set -g @after 1'\n");
    let loads_twice = format!(
        "set-hook -g session-created 'set -g @before 1'\n{}{}",
        server.config(),
        server.config()
    );
    server.write_config(&loads_twice);
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let hooks = server.tmux(&["show-hooks", "-g"]);
    for hook in ["session-created", "session-closed", "session-renamed", "client-attached"] {
        let ours = format!("{hook}[4242] ");
        assert_eq!(hooks.matches(&ours).count(), 1, "{hook}: {hooks}");
        let ours = [4242, 4244, 4245].map(|index| format!("{hook}[{index}] "));
        let is_ours = |line: &&str| ours.iter().any(|start| line.starts_with(start));
        let mut others = hooks.lines().filter(|line| line.starts_with(hook) && !is_ours(line));
        assert!(others.all(|line| !line.contains("roster_")), "{hook}: {hooks}");
    }
    assert_eq!(server.tmux(&["show-options", "-gqv", "@before"]), "1");
    assert_eq!(server.tmux(&["show-options", "-gqv", "@after"]), "1");
}

#[test]
fn a_program_that_is_gone_disturbs_nobody() {
    let server = Server::with_plugin("");
    let copy = server.path("a dir with '#{x}");
    std::fs::create_dir(&copy).unwrap();
    let copy = copy.join("roster");
    copy_program(ROSTER.as_ref(), &copy);
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["set-option", "-g", "@roster-binary", &copy.display().to_string()]);
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux");
    server.tmux(&["run-shell", plugin]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.wait_until_quiet();
    server.wait_until_idle();
    std::fs::remove_file(&copy).unwrap();
    let client = server.attach("one");
    server.tmux(&["new-session", "-d", "-s", "three"]);
    client.press(&["e", "c", "h", "o", "Space", "$", "(", "(", "6", "*", "7", ")", ")", "Enter"]);
    client.wait_to_see("42");
    assert_eq!(server.tmux(&["display-message", "-p", "-t", "=one:", "#{pane_mode}"]), "");
    assert_eq!(server.names(), ["one", "two"]);
}

#[test]
fn tmux_before_3_2_and_after_take_the_mark_away() {
    let server = started();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    wait_for(
        || {
            let mark = if tmux_version() >= (3, 2) {
                server.try_tmux(&["show-environment", "-gh", "ROSTER_DUE"])
            } else {
                server.try_tmux(&["show-options", "-gqv", "@roster_due"])
            };
            let mark = String::from_utf8_lossy(&mark.stdout).trim().replace("ROSTER_DUE=", "");
            // What a job leaves is no time.
            (mark.is_empty() || mark.starts_with('r')).then_some(())
        },
        || "a sync that takes the mark away".into(),
    );
}

/// It would be as it is for as long as nobody does anything about it.
#[test]
fn what_is_newer_or_not_ours_is_not_looked_at_again_by_itself() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = started();
    server.wait_until_idle();
    server.tmux(&["set-environment", "-gu", "ROSTER_LOOK"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    let (registry, memory) = (server.registry_path(), dir.join("server.json"));
    let (was, remembered) = (fs::read(&registry).unwrap(), fs::read(&memory).unwrap());
    let run = |tmux: &Path| {
        let job = hook_job(&server, tmux).output().unwrap();
        assert!(job.status.success() && job.stdout.is_empty() && job.stderr.is_empty(), "{job:?}");
    };
    let is_coming = || server.tmux(&["show-environment", "-gh"]).contains("ROSTER_LOOK=");
    let log = || fs::read_to_string(dir.join("roster.log")).unwrap_or_default();

    fs::write(&registry, "{\"schema_version\":2,\"sessions\":{}}").unwrap();
    run(&tmux_program());
    assert!(log().contains("this roster knows up to 1"), "{}", log());
    assert!(!is_coming());
    fs::write(&registry, was).unwrap();

    fs::remove_file(&memory).unwrap();
    fs::create_dir(&memory).unwrap();
    run(&tmux_program());
    assert!(log().contains("refused to use "), "{}", log());
    assert!(!is_coming());
    fs::remove_dir(&memory).unwrap();
    fs::write(&memory, remembered).unwrap();

    // Whatever else fails is; a server that is too busy to be told of it at once is told again.
    let (failing, tmux) = (server.path("failing"), tmux_program());
    let body =
        format!("case $* in *list-sessions*) exit 1;; esac\nexec '{}' \"$@\"", tmux.display());
    script(&failing, &body);
    wait_for(
        || {
            run(&failing);
            is_coming().then_some(())
        },
        || format!("a look that is on its way: {}", log()),
    );
}

#[test]
fn however_many_jobs_fail_one_look_is_on_its_way() {
    if tmux_version() < (3, 2) {
        return;
    }
    const EVENTS: usize = 6;
    let server = started();
    let (told, broken) = (server.path("told"), server.path("broken"));
    let failing = server.path("failing");
    let tmux = tmux_program();
    let tmux = tmux.display();
    let refuse = format!("*list-sessions*) [ ! -e '{}' ] || exit 1 ;;", broken.display());
    script(&failing, &format!("case $* in\n{refuse}\nesac\nexec '{tmux}' \"$@\""));
    let run = server.tmux(&["show-options", "-gqv", "@roster_run"]);
    let run = run.replace(&format!("--tmux '{tmux}'"), &format!("--tmux '{}'", failing.display()));
    let noting = server.path("noting");
    script(&noting, &format!("echo \"job $ROSTER_RETRY\" >>'{}'\n{run}", told.display()));
    server.tmux(&["set-option", "-g", "@roster_run", &format!("'{}'", noting.display())]);
    let jobs = || -> Vec<String> {
        fs::read_to_string(&told).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    let id = server.id("one");
    let client = server.attach("one");
    server.wait_until_quiet();
    fs::write(&broken, "").unwrap();
    for n in 0..EVENTS {
        let first = jobs().iter().filter(|job| *job == "job ").count();
        // Events of one second may be one job.
        wait_for(
            || {
                server.tmux(&["rename-session", "-t", &id, &format!("n{n}")]);
                server.tmux(&["rename-session", "-t", &id, "again"]);
                (jobs().iter().filter(|job| *job == "job ").count() > first).then_some(())
            },
            || format!("job {n}"),
        );
    }
    wait_for(
        || server.tmux(&["show-environment", "-gh"]).contains("ROSTER_LOOK=1").then_some(()),
        || format!("a look that is on its way: {:?}", jobs()),
    );
    fs::remove_file(&broken).unwrap();
    // Whoever happened to be attached when it was asked for.
    drop(client);
    // The look comes by itself, and what was set off before this one has come when it comes.
    server.tmux(&["run-shell", "-b", "-d", "6", &format!("echo last >>'{}'", told.display())]);
    server.wait_for_names(&["again"]);
    wait_for(|| jobs().contains(&"last".into()).then_some(()), || format!("{:?}", jobs()));
    let looks = jobs().iter().filter(|job| job.starts_with("job ") && job.len() > 4).count();
    assert!((1..EVENTS / 2).contains(&looks), "{:?}", jobs());
    wait_for(
        || (!server.tmux(&["show-environment", "-gh"]).contains("ROSTER_LOOK")).then_some(()),
        || "the end of the look, so that there can be another".into(),
    );
}

/// A look at sessions that is on its way is none at windows.
#[test]
fn a_look_at_windows_that_fails_is_taken_again() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = started();
    server.wait_until_idle();
    let windows = server.registry_path().with_file_name("windows.json");
    wait_for(|| windows.exists().then_some(()), || "a first look".into());
    fs::remove_file(&windows).unwrap();
    let soon =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    server.tmux(&["set-environment", "-gh", "ROSTER_LOOK", &format!("{}-1", soon + 5)]);
    let (failing, tmux) = (server.path("failing"), tmux_program());
    script(
        &failing,
        &format!("case $* in *list-panes*) exit 1;; esac\nexec '{}' \"$@\"", tmux.display()),
    );
    let mut job = hook_job(&server, &failing);
    assert!(job.arg("--windows").status().unwrap().success());
    assert!(!windows.exists());
    // Nothing else happens.
    wait_for(|| windows.exists().then_some(()), || "another look".into());
}

/// As a job leaves it that could not start, or was killed before it came to ask.
#[test]
fn hooks_that_no_job_will_put_back_are_put_back_by_the_next_command() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_idle();
    for hook in tmux_roster::tmux::hooks::HOOKS {
        server.tmux(&["set-hook", "-gu", &format!("{}[4245]", hook.name)]);
    }
    server.roster(&["sync"]);
    server.tmux(&["rename-session", "-t", &server.id("one"), "two"]);
    server.wait_for_names(&["two"]);
    server.tmux(&["rename-session", "-t", &server.id("two"), "three"]);
    server.wait_for_names(&["three"]);
}

/// It is started as the server ends, and its folder may have gone before it, as a test's does.
#[test]
fn a_job_whose_server_has_ended_leaves_nothing_where_nothing_was() {
    let server = Server::with_config("");
    let dir = server.path("new/deep/er");
    let job = |pid: &str| {
        let mut job = hook_job_in(&server, &tmux_program(), &dir);
        // Nobody listens there, though the process lives.
        job.env("TMUX", format!("{},{pid},0", server.dir("s")));
        assert!(job.status().unwrap().success());
    };
    job(&std::process::id().to_string());
    assert!(!server.path("new").exists());
    fs::create_dir_all(&dir).unwrap();
    job(&std::process::id().to_string());
    assert!(dir.exists());
}
