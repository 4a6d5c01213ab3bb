//! Windows that were closed by mistake, and what comes back with its own command.

use std::time::Duration;

use tmux_roster::model::windows::Windows;

use crate::env::{Server, script, tmux_version, wait_at_most, wait_for};

/// What is recorded of windows, once that is so.
fn recorded(server: &Server, what: &str, is_so: impl Fn(&Windows) -> bool) -> Windows {
    let path = server.registry_path().with_file_name("windows.json");
    let read = || serde_json::from_slice::<Windows>(&std::fs::read(&path).ok()?).ok();
    let limit = Duration::from_secs(40);
    wait_at_most(
        limit,
        || read().filter(|windows| is_so(windows)),
        || format!("{what}: {:#?}", read()),
    )
}

/// A session with a window of two panes beside its first.
fn with_logs(config: &str) -> Server {
    let server = Server::with_plugin(config);
    server.tmux(&["new-session", "-d", "-s", "api", "-x", "100", "-y", "40"]);
    server.tmux(&["new-window", "-d", "-t", "=api:5", "-n", "logs", "-c", "/usr"]);
    server.tmux(&["split-window", "-d", "-h", "-t", "=api:5", "-c", "/etc"]);
    server.wait_for_names(&["api"]);
    recorded(&server, "both windows", |windows| has_windows(windows, &[0, 5]));
    server
}

fn has_windows(windows: &Windows, indexes: &[u32]) -> bool {
    windows.sessions.values().any(|session| {
        let here = session.windows.iter().map(|window| window.index);
        session.here && here.eq(indexes.iter().copied())
    })
}

/// The windows of all sessions, as tmux has them.
fn windows(server: &Server) -> Vec<String> {
    let format = "#{session_name}:#{window_index} #{window_name} #{window_panes} #{window_width}x#{window_height} #{window_active}";
    server.tmux(&["list-windows", "-a", "-F", format]).lines().map(str::to_owned).collect()
}

fn directories(server: &Server, window: &str) -> Vec<String> {
    let listed = server.tmux(&["list-panes", "-t", window, "-F", "#{pane_current_path}"]);
    listed.lines().map(str::to_owned).collect()
}

fn fails(server: &Server, args: &[&str]) -> String {
    let output = server.try_roster(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_closed_window_comes_back_where_it_was() {
    let server = with_logs("");
    let before = windows(&server);
    server.tmux(&["kill-window", "-t", "=api:5"]);
    // At once: nobody waits until the server has outlived it.
    assert_eq!(server.roster(&["reopen", "--window"]).trim(), "reopened window 5 (logs) of api");
    let after = windows(&server);
    assert_eq!(after, before, "nobody's current window is another");
    let here = || (directories(&server, "=api:5") == ["/usr", "/etc"]).then_some(());
    wait_for(here, || format!("{:?}", directories(&server, "=api:5")));
    // It is not closed any more, now or later.
    assert!(fails(&server, &["reopen", "--window"]).contains("no window was closed"));
    let settled = |windows: &Windows| has_windows(windows, &[0, 5]) && windows.last_loss.is_none();
    assert_eq!(recorded(&server, "all is well", settled).closed, []);
}

#[test]
fn a_closed_window_is_believed_and_kept_and_its_index_may_be_taken() {
    let server = with_logs("");
    server.tmux(&["kill-window", "-t", "=api:5"]);
    let closed = recorded(&server, "the closed window", |windows| windows.closed.len() == 1);
    assert_eq!(closed.closed[0].window.panes.len(), 2);
    server.tmux(&["new-window", "-d", "-t", "=api:5", "-n", "other"]);
    server.tmux(&["new-session", "-d", "-s", "second"]);
    server.wait_for_names(&["api", "second"]);
    assert!(fails(&server, &["reopen", "--window", "second"]).contains("no window of \"second\""));
    assert_eq!(
        server.roster(&["reopen", "--window", "api"]).trim(),
        "reopened window 6 (logs) of api"
    );
    // A session that is gone comes back with it.
    recorded(&server, "three windows", |windows| has_windows(windows, &[0, 5, 6]));
    server.tmux(&["kill-window", "-t", "=api:6"]);
    recorded(&server, "the closed window", |windows| windows.closed.len() == 1);
    server.roster(&["kill", "api"]);
    assert_eq!(server.roster(&["reopen", "--window"]).trim(), "reopened window 6 (logs) of api");
    let back: Vec<String> = windows(&server);
    let count = back.iter().filter(|window| window.starts_with("api:")).count();
    assert_eq!(count, 3, "{back:?}");
}

#[test]
fn plain_reopen_brings_back_what_was_closed_last() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "second"]);
    server.wait_for_names(&["api", "second"]);
    server.roster(&["kill", "second"]);
    // Until it has been there for a while, a window is not what people miss.
    let lasted = |windows: &Windows| {
        let logs = windows.sessions.values().flat_map(|session| &session.windows);
        let logs = logs.filter(|window| window.index == 5).map(|window| window.since);
        logs.into_iter().all(|since| tmux_roster::Timestamp::now().seconds_since(since) > 10.5)
    };
    recorded(&server, "a window that lasted", lasted);
    server.tmux(&["kill-window", "-t", "=api:5"]);
    assert_eq!(server.roster(&["reopen"]).trim(), "reopened window 5 (logs) of api");
    assert_eq!(server.roster(&["reopen"]).trim(), "reopened second");
    // One that was made for a command is none either.
    server.tmux(&["new-window", "-d", "-t", "=api:7", "sleep 1000"]);
    recorded(&server, "the command", |windows| has_windows(windows, &[0, 5, 7]));
    server.tmux(&["kill-window", "-t", "=api:7"]);
    assert!(fails(&server, &["reopen"]).contains("no closed session"));
}

#[test]
fn what_was_moved_or_linked_or_is_not_wanted_is_no_closed_window() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "second"]);
    server.tmux(&["move-window", "-d", "-s", "=api:5", "-t", "=second:9"]);
    server.tmux(&["link-window", "-d", "-s", "=api:0", "-t", "=second:3"]);
    recorded(&server, "the move", |windows| has_windows(windows, &[0, 3, 9]));
    server.tmux(&["unlink-window", "-t", "=second:3"]);
    recorded(&server, "the unlinking", |windows| has_windows(windows, &[0, 9]));
    assert!(fails(&server, &["reopen", "--window"]).contains("no window was closed"));
    server.tmux(&["set-option", "-g", "@roster-closed-windows", "off"]);
    server.tmux(&["kill-window", "-t", "=second:9"]);
    let over = |windows: &Windows| has_windows(windows, &[0]) && windows.last_loss.is_none();
    assert_eq!(recorded(&server, "the end of the window", over).closed, []);
}

#[test]
fn a_launch_command_that_fails_at_once_leaves_a_shell_that_says_so() {
    let server = Server::with_plugin("set -g @roster-command-yolo 'sh -c \"exit 3\" x \"a b\"'\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let said = |name: &str, text: &str| {
        let target = format!("={name}:");
        // Lines may be broken anywhere.
        let looks = || server.screen(&target).replace('\n', "").contains(text).then_some(());
        wait_for(looks, || server.screen(&target));
        server.tmux(&["send-keys", "-t", &target, "echo s$((40+2))", "Enter"]);
        let looks = || server.screen(&target).contains("s42").then_some(());
        wait_for(looks, || server.screen(&target));
    };
    server.roster(&["new", "-d", "bad", "-m", "yolo"]);
    said("bad", "(@roster-command-yolo) failed with status 3; this is a shell instead");
    server.roster(&["new", "-d", "typed", "--", "/nowhere/nothing"]);
    said("typed", "/nowhere/nothing failed with status 127; this is a shell instead");
    server.roster(&["kill", "bad"]);
    server.roster(&["reopen", "bad"]);
    said("bad", "failed with status 3");
}

/// An agent that takes an id for a new conversation, and goes on with one that it knows.
#[test]
fn what_comes_back_is_started_again_and_else_as_new() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "other"]);
    let (agent, known) = (server.path("agent"), server.path("known"));
    let known_is = known.display();
    script(
        &agent,
        &format!(
            "case $1 in\n\
             --session-id) [ ! -e '{known_is}' ] || exit 1; : >'{known_is}' ;;\n\
             --resume) [ -e '{known_is}' ] || exit 1 ;;\n\
             esac\n\
             echo \"$1 $2\"; exec sleep 1000"
        ),
    );
    let agent = agent.display();
    for (option, way) in [("command", "--session-id"), ("again", "--resume")] {
        let option = format!("@roster-{option}-yolo");
        server.tmux(&["set-option", "-g", &option, &format!("{agent} {way} $ROSTER_UUID")]);
    }
    server.roster(&["new", "-d", "one", "-m", "yolo"]);
    let uuid = server.uuid("one");
    let says = |what: &str| {
        let text = format!("{what} {uuid}");
        let looks = || server.screen("=one:").contains(&text).then_some(());
        wait_for(looks, || server.screen("=one:"));
    };
    says("--session-id");
    server.roster(&["kill", "one"]);
    server.roster(&["reopen", "one"]);
    says("--resume");
    server.roster(&["kill", "one"]);
    std::fs::remove_file(&known).unwrap();
    server.roster(&["reopen", "one"]);
    says("--session-id");
}

#[test]
fn the_last_save_of_tmux_resurrect_is_taken_over_once_it_was_seen() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    let folder = server.path("home/.local/share/tmux/resurrect");
    std::fs::create_dir_all(&folder).unwrap();
    let save = "pane\tone\t0\t1\t:*\t0\t\t:/\t1\tsh\t:\n\
                pane\twork\t1\t1\t:*\t0\tt\t:/usr\t1\tsh\t:\n\
                pane\twork\t1\t1\t:*\t1\tt\t:/etc\t0\tssh\t:ssh secret\n\
                pane\twork\t4\t0\t:-\t0\tt\t:/usr\t1\tsh\t:\n\
                window\twork\t1\t:co#(x)de\t1\t:*\tf09b,120x30,0,0{60x30,0,0,0,59x30,61,0,1}\toff\n";
    std::fs::write(folder.join("last"), save).unwrap();
    let said = server.roster(&["import", "resurrect"]);
    assert!(said.contains("work  2 windows, 3 panes  /usr\n"), "{said}");
    assert!(said.contains("one  is recorded already") && said.contains("--yes"), "{said}");
    assert!(said.contains("(see @roster-programs): ssh\n") && !said.contains("secret"), "{said}");
    assert_eq!(server.names(), ["one"]);
    let said = server.roster(&["import", "resurrect", "--yes"]);
    assert!(said.contains("imported 1 session: roster -L s restore --all"), "{said}");
    for args in [&["import", "resurrect"][..], &["import", "resurrect", "--yes"]] {
        let said = server.roster(args);
        assert!(said.ends_with("already: left out\nthere is nothing to import\n"), "{said}");
    }
    assert!(server.roster(&["list", "--state", "lost"]).contains("work"));
    assert_eq!(server.roster(&["restore", "--all"]).trim(), "restored work");
    let back = windows(&server);
    assert!(back[1].starts_with("work:1 co#(x)de 2 120x30 1"), "{back:?}");
    assert!(back[2].starts_with("work:4 "), "{back:?}");
    let here = || (directories(&server, "=work:1") == ["/usr", "/etc"]).then_some(());
    wait_for(here, || format!("{:?}", directories(&server, "=work:1")));
    for entry in std::fs::read_dir(server.registry_path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
    }
    let said = fails(&server, &["import", "resurrect", "/nowhere/save"]);
    assert!(said.contains("there is no file \"/nowhere/save\""), "{said}");
}

/// As many people start tmux: with the session itself, which then has one window.
fn begun_again(config: &str) -> Server {
    let server = with_logs(config);
    server.tmux(&["new-window", "-d", "-t", "=api:2", "-n", "more", "-c", "/usr"]);
    recorded(&server, "all windows", |windows| has_windows(windows, &[0, 2, 5]));
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "api"]);
    server
}

#[test]
fn windows_come_back_to_a_session_that_somebody_made_again() {
    for (args, said) in [
        (&["restore", "api"][..], "restored 2 windows of api\n"),
        (&["reopen"], "reopened 2 windows of api\n"),
    ] {
        let server = begun_again("");
        server.wait_for_name("api");
        server.wait_until_idle();
        assert_eq!(windows(&server).len(), 1);
        assert_eq!(server.roster(args), said, "{args:?}");
        let back = windows(&server);
        assert!(back[0].starts_with("api:0 ") && back[0].ends_with(" 1"), "{back:?}");
        assert!(back[1].starts_with("api:2 more 1 ") && back[1].ends_with(" 0"), "{back:?}");
        assert!(back[2].starts_with("api:5 logs 2 "), "{back:?}");
        assert_eq!(back.len(), 3);
        let there = || (directories(&server, "=api:5") == ["/usr", "/etc"]).then_some(());
        wait_for(there, || format!("{:?}", directories(&server, "=api:5")));
        assert!(fails(&server, &["restore", "api"]).contains("there is nothing to restore"));
        assert!(fails(&server, &["reopen"]).contains("there is no closed session or window"));
        assert_eq!(windows(&server), back);
    }
}

/// The first window is another by then, in another directory and with another pane.
#[test]
fn what_stands_at_an_index_is_not_touched_by_what_comes_back_to_it() {
    for config in ["", "set -g @roster-restore on"] {
        let server = Server::with_plugin(config);
        server.tmux(&["new-session", "-d", "-s", "api", "-n", "zero", "-c", "/usr"]);
        server.tmux(&["split-window", "-d", "-t", "=api:0", "-c", "/etc"]);
        server.tmux(&["new-window", "-d", "-t", "=api:1", "-n", "one", "-c", "/etc"]);
        server.wait_for_names(&["api"]);
        recorded(&server, "both windows", |windows| has_windows(windows, &[0, 1]));
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "api", "-n", "new", "-c", "/usr"]);
        server.wait_for_names(&["api"]);
        server.wait_until_idle();
        assert_eq!(windows(&server).len(), 1, "{config}");
        let output = server.try_roster(&["restore", "api"]);
        assert_eq!(output.stdout, b"restored 2 windows of api\n", "{output:?}");
        let told = "index 0 is taken, so the window came back at index 2";
        assert!(String::from_utf8_lossy(&output.stderr).contains(told), "{output:?}");
        let all: Vec<String> = windows(&server)
            .iter()
            .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(all, ["api:0 new 1", "api:1 one 1", "api:2 zero 2"]);
        assert!(windows(&server)[0].ends_with(" 1"), "the user's window is the current one");
        server.crash();
        server.roster(&["restore", "--all"]);
        assert_eq!(windows(&server).len(), 3, "each once");
    }
}

#[test]
fn who_takes_an_index_at_that_moment_keeps_the_window_as_it_is() {
    let server = with_logs("");
    server.tmux(&["kill-window", "-t", "=api:5"]);
    recorded(&server, "the closed window", |windows| !windows.all_closed().is_empty());
    // It runs behind the commands that hide the user's hooks, and so before the window is made.
    let theirs = "if-shell -F '#{@now}' 'new-window -d -t =api:5 -n theirs'";
    server.tmux(&["set-hook", "-g", "after-set-hook", theirs]);
    server.tmux(&["set-option", "-g", "@now", "1"]);
    assert!(fails(&server, &["reopen", "--window", "api"]).contains("did not create"));
    let all = windows(&server);
    assert!(all.iter().any(|line| line.starts_with("api:5 theirs 1 ")), "{all:?}");
    server.tmux(&["set-option", "-g", "@now", ""]);
    server.roster(&["reopen", "--window", "api"]);
    let all = windows(&server);
    assert!(all.iter().any(|line| line.starts_with("api:6 logs 2 ")), "{all:?}");
}

#[test]
fn a_window_of_two_sessions_comes_back_in_both_and_the_client_stays() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "second"]);
    server.tmux(&["link-window", "-d", "-s", "=api:5", "-t", "=second:7"]);
    recorded(&server, "the link", |windows| has_windows(windows, &[0, 7]));
    let client = server.attach("=second");
    // It was there last.
    let other = server.attach("=api");
    for is_believed in [false, true] {
        server.tmux(&["kill-window", "-t", "=api:5"]);
        if is_believed {
            recorded(&server, "the closed window", |windows| windows.closed.len() == 2);
        }
        let said = server.roster(&["reopen", "--window", "--client", &client.name()]);
        assert_eq!(said.trim(), "reopened window 7 (logs) of second");
        let ids = ["=api:5", "=second:7"]
            .map(|window| server.tmux(&["display-message", "-p", "-t", window, "#{window_id}"]));
        assert_eq!(ids[0], ids[1]);
        let format = "#{client_name} #{client_session} #{window_index}";
        let shown = server.tmux(&["list-clients", "-F", format]);
        for (client, place) in [(&client, "second 7"), (&other, "api 0")] {
            let line = format!("{} {place}", client.name());
            assert!(shown.lines().any(|shown| shown == line), "{shown}");
        }
        assert!(fails(&server, &["reopen", "--window"]).contains("no window was closed"));
        recorded(&server, "the link", |windows| {
            has_windows(windows, &[0, 7]) && has_windows(windows, &[0, 5])
        });
    }
}

#[test]
fn a_window_that_came_back_is_linked_to_the_session_that_had_it_too() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "second"]);
    server.tmux(&["link-window", "-d", "-s", "=api:5", "-t", "=second:7"]);
    recorded(&server, "the link", |windows| has_windows(windows, &[0, 7]));
    server.roster(&["kill", "second"]);
    server.tmux(&["kill-window", "-t", "=api:5"]);
    server.roster(&["reopen", "--window"]);
    // Looks find nothing to be mended in that.
    server.tmux(&["rename-window", "-t", "=api:5", "again"]);
    recorded(&server, "a look", |windows| has_windows(windows, &[0, 5]));
    server.roster(&["reopen", "second"]);
    let id = |window| server.tmux(&["display-message", "-p", "-t", window, "#{window_id}"]);
    assert_eq!(id("=api:5"), id("=second:7"));
}

#[test]
fn a_window_at_two_indexes_comes_back_at_both() {
    let server = with_logs("");
    server.tmux(&["link-window", "-d", "-s", "=api:5", "-t", "=api:8"]);
    let both = |windows: &Windows| has_windows(windows, &[0, 5, 8]);
    let check = || {
        recorded(&server, "both places", both);
        let format = "#{window_index} #{window_id}";
        let listed = server.tmux(&["list-windows", "-t", "=api:", "-F", format]);
        let lines: Vec<(&str, &str)> = listed.lines().filter_map(|l| l.split_once(' ')).collect();
        assert!(matches!(lines[..], [_, ("5", one), ("8", two)] if one == two), "{listed}");
    };
    recorded(&server, "both places", both);
    server.tmux(&["kill-window", "-t", "=api:5"]);
    server.roster(&["reopen", "--window"]);
    check();
    assert!(fails(&server, &["reopen", "--window"]).contains("no window was closed"));
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "api"]);
    server.wait_for_name("api");
    server.wait_until_idle();
    let output = server.try_roster(&["restore", "api"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "restored 2 windows of api");
    check();
}

#[test]
fn a_window_comes_back_to_its_session_and_not_to_that_ones_clone() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-t", "=api", "-s", "zclone"]);
    server.wait_until_idle();
    server.tmux(&["set-hook", "-g", "after-split-window", "kill-pane -a"]);
    // So tmux itself would rather take the clone.
    let client = server.attach("=zclone");
    server.tmux(&["kill-window", "-t", "=api:5"]);
    server.roster(&["reopen", "--window", "--client", &client.name()]);
    let all: Vec<String> = windows(&server);
    let of = |session: &str| -> Vec<String> {
        let lines = all.iter().filter_map(|line| line.strip_prefix(session));
        lines
            .map(|line| line.split(' ').nth(2).unwrap().to_owned() + &line[line.len() - 2..])
            .collect()
    };
    assert_eq!(of("api:"), ["1 0", "2 1"], "{all:?}");
    assert_eq!(of("zclone:"), ["1 1", "2 0"], "{all:?}");
}

#[test]
fn where_windows_are_numbered_anew_one_comes_back_between_the_same_ones() {
    let server = Server::with_plugin("set -g renumber-windows on\nset -g base-index 1\n");
    server.tmux(&["new-session", "-d", "-s", "api", "-n", "a"]);
    for name in ["b", "c"] {
        server.tmux(&["new-window", "-d", "-t", "=api:", "-n", name]);
    }
    server.wait_for_names(&["api"]);
    recorded(&server, "three windows", |windows| has_windows(windows, &[1, 2, 3]));
    // To be before all others takes -b of new-window.
    let first = if tmux_version() >= (3, 2) { "a" } else { "b" };
    for name in ["b", first, "c"] {
        server.tmux(&["kill-window", "-t", &format!("=api:{name}")]);
        server.roster(&["reopen", "--window"]);
        let names: Vec<String> =
            windows(&server).iter().map(|line| line.split(' ').nth(1).unwrap().into()).collect();
        assert_eq!(names, ["a", "b", "c"], "{name}");
        recorded(&server, "three windows", |windows| {
            has_windows(windows, &[1, 2, 3]) && windows.all_closed().is_empty()
        });
    }
}

#[test]
fn a_shell_in_the_place_of_a_program_is_not_that_window_come_back() {
    let server = Server::with_plugin("set -g @roster-programs sleep\n");
    server.tmux(&["new-session", "-d", "-s", "api", "-c", "/usr"]);
    server.wait_for_names(&["api"]);
    server.tmux(&["send-keys", "-t", "=api:", "sleep 1000", "Enter"]);
    let commands =
        || server.tmux(&["list-panes", "-s", "-t", "=api:", "-F", "#{pane_current_command}"]);
    wait_for(|| commands().contains("sleep").then_some(()), commands);
    server.tmux(&["rename-window", "-t", "=api:", "told"]);
    recorded(&server, "the program", |windows| {
        let mut all = windows.sessions.values().flat_map(|session| &session.windows);
        all.any(|window| !window.panes[0].program.is_empty())
    });
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "api", "-c", "/usr"]);
    server.wait_for_names(&["api"]);
    server.wait_until_idle();
    assert_eq!(server.roster(&["restore", "api"]).trim(), "restored 1 window of api");
    wait_for(|| commands().contains("sleep").then_some(()), commands);
    assert_eq!(windows(&server).len(), 2);
}

#[test]
fn windows_that_another_tool_made_again_come_back_no_second_time() {
    let server = Server::with_plugin("set -g @roster-programs sleep\n");
    let make = |programs: &[&str]| {
        server.tmux(&["new-session", "-d", "-s", "api", "-c", "/usr"]);
        server.tmux(&["new-window", "-d", "-t", "=api:3", "-c", "/etc"]);
        server.wait_for_names(&["api"]);
        for window in programs {
            let target = format!("=api:{window}");
            server.tmux(&["send-keys", "-t", &target, "sleep 1000", "Enter"]);
            let command = || {
                server.tmux(&["display-message", "-p", "-t", &target, "#{pane_current_command}"])
            };
            wait_for(|| (command().trim() == "sleep").then_some(()), command);
        }
        server.tmux(&["rename-window", "-t", "=api:0", "told"]);
    };
    let programs = |windows: &Windows| {
        let all = windows.sessions.values().flat_map(|session| &session.windows);
        all.filter(|window| !window.panes[0].program.is_empty()).count()
    };
    make(&["0", "3"]);
    recorded(&server, "the programs", |windows| programs(windows) == 2);
    server.crash();
    // The tool does not know one of the programs.
    make(&["0"]);
    recorded(&server, "a program", |windows| programs(windows) == 1);
    assert!(fails(&server, &["restore", "api"]).contains("live"));
    assert_eq!(windows(&server).len(), 2);
}

#[test]
fn a_window_comes_back_once_where_none_are_recorded_any_more() {
    let server = with_logs("");
    server.tmux(&["kill-window", "-t", "=api:5"]);
    recorded(&server, "the closed window", |windows| !windows.all_closed().is_empty());
    server.tmux(&["set-option", "-g", "@roster-windows", "off"]);
    server.roster(&["reopen", "--window", "api"]);
    assert_eq!(windows(&server).len(), 2);
    assert!(fails(&server, &["reopen", "--window", "api"]).contains("no window"));
    assert_eq!(windows(&server).len(), 2);
}

/// After the crash of a server whose sessions `api` and `other` had a window in common.
fn crashed_with_a_link() -> Server {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "api", "-c", "/usr"]);
    server.tmux(&["new-session", "-d", "-s", "other", "-c", "/usr"]);
    server.tmux(&["new-window", "-d", "-t", "=api:3", "-n", "both", "-c", "/etc"]);
    server.tmux(&["link-window", "-d", "-s", "=api:3", "-t", "=other:5"]);
    recorded(&server, "both sessions", |windows| {
        has_windows(windows, &[0, 3]) && has_windows(windows, &[0, 5])
    });
    server.crash();
    server
}

#[test]
fn a_window_of_two_sessions_does_not_become_two() {
    let server = crashed_with_a_link();
    server.tmux(&["new-session", "-d", "-s", "api", "-c", "/usr"]);
    server.wait_for_name("api");
    server.wait_until_idle();
    let output = server.try_roster(&["restore", "api"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("window 3 is linked to another session"), "{output:?}");
    assert_eq!(windows(&server).len(), 1);
}

#[test]
fn who_restores_one_of_two_sessions_with_a_common_window_is_told_that_it_becomes_two() {
    let server = crashed_with_a_link();
    server.tmux(&["new-session", "-d", "-s", "base"]);
    server.wait_until_idle();
    let output = server.try_roster(&["restore", "api"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("window 3 of \"api\" was linked to the lost session \"other\""),
        "{said}"
    );
    let output = server.try_roster(&["restore", "other"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

/// tmux 3.4 and the head die of it by themselves.
#[test]
fn a_session_with_a_zoomed_window_is_killed_and_nothing_else() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.tmux(&["resize-pane", "-Z", "-t", "=api:5"]);
    server.wait_for_names(&["api", "other"]);
    server.roster(&["kill", "api"]);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "other");
}

/// Somebody begins the session anew before it is restored, in a directory that all its windows share.
#[test]
fn what_did_not_come_back_comes_with_the_session_the_next_time() {
    let server = Server::with_plugin("");
    let here = server.dir("");
    server.tmux(&["new-session", "-d", "-s", "work", "-c", &here]);
    for n in 1..5 {
        let target = format!("=work:{n}");
        server.tmux(&["new-window", "-d", "-t", &target, "-n", &format!("w{n}"), "-c", &here]);
    }
    server.wait_for_names(&["work"]);
    recorded(&server, "five windows", |windows| has_windows(windows, &[0, 1, 2, 3, 4]));
    let uuid = server.uuid("work");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "work", "-c", &here]);
    server.wait_for_names(&["work"]);
    assert_eq!(server.uuid("work"), uuid, "it is that one");
    recorded(&server, "the one window", |windows| has_windows(windows, &[0]));
    assert_eq!(server.roster(&["reopen", "--window"]).trim(), "reopened window 1 (w1) of work");
    recorded(&server, "two windows", |windows| has_windows(windows, &[0, 1]));
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.roster(&["restore", "--all"]);
    let back = windows(&server);
    let indexes: Vec<&str> = back.iter().map(|window| window.split(' ').next().unwrap()).collect();
    assert_eq!(indexes[1..], ["work:0", "work:1", "work:2", "work:3", "work:4"], "{back:?}");
    recorded(&server, "all windows", |windows| {
        has_windows(windows, &[0, 1, 2, 3, 4]) && windows.all_closed().is_empty()
    });
}

/// Where many sessions have a pane it says nothing.
#[test]
fn a_stranger_in_the_home_folder_is_not_the_lost_session() {
    if tmux_version() < (3, 2) {
        // There the name alone tells a session.
        return;
    }
    let server = Server::with_plugin("");
    let (home, work) = (server.dir("home"), server.dir("work"));
    std::fs::create_dir_all(&work).unwrap();
    server.tmux(&["new-session", "-d", "-s", "main", "-c", &work]);
    server.tmux(&["split-window", "-d", "-t", "=main:", "-c", &home]);
    server.wait_for_names(&["main"]);
    recorded(&server, "the session", |windows| has_windows(windows, &[0]));
    let uuid = server.uuid("main");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "main", "-c", &home]);
    server.wait_for_names(&["main"]);
    wait_for(|| (server.uuid("main") != uuid).then_some(()), || "another session".into());
    assert!(server.roster(&["closed"]).contains("main"));
}

#[test]
fn the_lock_of_looks_follows_no_link() {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let lock = server.registry_path().with_file_name("windows.lock");
    let victim = server.path("victim");
    std::fs::write(&victim, "precious").unwrap();
    for by_link in [true, false] {
        let _ = std::fs::remove_file(&lock);
        match by_link {
            true => std::os::unix::fs::symlink(&victim, &lock).unwrap(),
            false => std::fs::hard_link(&victim, &lock).unwrap(),
        }
        // A look is taken all the same.
        let name = format!("seen-{by_link}");
        server.tmux(&["rename-window", "-t", "=one:", &name]);
        let text = || {
            let path = server.registry_path().with_file_name("windows.json");
            std::fs::read_to_string(path).unwrap_or_default()
        };
        wait_for(|| text().contains(&name).then_some(()), text);
        server.wait_until_idle();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    }
}

#[test]
fn windows_outlive_a_damaged_list_of_closed_sessions_and_not_one_that_is_forgotten_for_good() {
    let server = with_logs("");
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.wait_for_names(&["api", "other"]);
    let uuid = server.uuid("api");
    server.roster(&["kill", "api"]);
    let list = server.registry_path().with_file_name("closed.json");
    let good = std::fs::read(&list).unwrap();
    std::fs::write(&list, "{").unwrap();
    server.roster(&["sync"]);
    server.tmux(&["new-window", "-d", "-t", "=other:"]);
    recorded(&server, "no record", |windows| {
        let is_orphan = windows.sessions.get(&uuid).is_some_and(|a| a.orphan_since.is_some());
        is_orphan && windows.sessions.values().any(|a| a.here && a.windows.len() == 2)
    });
    std::fs::write(&list, good).unwrap();
    server.roster(&["reopen", "api"]);
    assert_eq!(windows(&server).iter().filter(|line| line.starts_with("api:")).count(), 2);
    server.roster(&["kill", "api"]);
    recorded(&server, "closed", |windows| windows.sessions.get(&uuid).is_some_and(|a| !a.here));
    server.roster(&["forget", "api"]);
    recorded(&server, "nothing of it", |windows| !windows.sessions.contains_key(&uuid));
}
