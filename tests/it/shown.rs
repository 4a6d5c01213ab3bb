//! What people and scripts see of windows, and what promises are made of their record.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tmux_roster::tmux::hooks::HOOKS;

use crate::env::{
    ROSTER, Server, check_stays, json, stderr, stdout, tmux_program, version, wait_for,
    write_program,
};

/// Patience of a look: a second late, and a loaded machine.
const LOOK: std::time::Duration = std::time::Duration::from_millis(2_500);

fn windows_file(server: &Server) -> PathBuf {
    server.registry_path().with_file_name("windows.json")
}

/// What is recorded of a session's windows.
fn recorded(server: &Server, name: &str) -> Value {
    let read = fs::read(windows_file(server)).unwrap_or_default();
    let file: Value = serde_json::from_slice(&read).unwrap_or_default();
    file["sessions"][server.field(name, "uuid")].clone()
}

/// Waits until what is recorded of a session is so.
fn wait_until_recorded(server: &Server, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let found = || Some(recorded(server, name)).filter(|found| is_so(found));
    let found = wait_for(found, || format!("windows of {name}: {:#}", recorded(server, name)));
    server.wait_until_idle();
    found
}

fn has_windows(number: usize) -> impl Fn(&Value) -> bool {
    move |found| found["windows"].as_array().is_some_and(|windows| windows.len() == number)
}

/// A program that waits, and is called like this.
fn waiting_program(server: &Server, name: &str) -> String {
    let path = server.path("bin").join(name);
    write_program(&path, "#!/bin/sh\nwhile :; do sleep 0.1; done\n");
    path.display().to_string()
}

/// The session `work` with three windows, of which the first has two panes, in folders of the home.
fn with_windows(config: &str) -> Server {
    let server = Server::with_plugin(config);
    for folder in ["home/api/tests", "home/web", "bin"] {
        fs::create_dir_all(server.path(folder)).unwrap();
    }
    let less = waiting_program(&server, "less");
    server.tmux(&[
        "new-session",
        "-d",
        "-s",
        "work",
        "-n",
        "editor",
        "-c",
        &server.dir("home/api"),
    ]);
    let tests = server.dir("home/api/tests");
    server.tmux(&["split-window", "-t", "=work:0", "-c", &tests]);
    server.tmux(&["resize-pane", "-Z", "-t", "=work:0.0"]);
    server.tmux(&["select-pane", "-t", "=work:0.0"]);
    server.tmux(&["resize-pane", "-Z", "-t", "=work:0.0"]);
    let web = server.dir("home/web");
    server.tmux(&["new-window", "-t", "=work:1", "-c", &web, "-n", "logs", &less, "+F", "a b"]);
    server.tmux(&["new-window", "-d", "-t", "=work:5", "-c", &server.dir("home")]);
    server.tmux(&["set-option", "-w", "-t", "=work:5", "synchronize-panes", "on"]);
    server.tmux(&["new-session", "-d", "-s", "other"]);
    server.wait_for_names(&["other", "work"]);
    server
}

/// The server of [`with_windows`], as it is recorded whole.
fn with_recorded_windows(config: &str) -> Server {
    let server = with_windows(config);
    wait_until_recorded(&server, "work", |found| {
        let text = found.to_string();
        has_windows(3)(found) && text.contains("a b") && text.contains("api/tests")
    });
    server
}

fn json_of(server: &Server, args: &[&str]) -> Value {
    serde_json::from_str(&server.roster(args)).unwrap()
}

/// The lines of `show` about windows.
fn shown(server: &Server, name: &str) -> String {
    let text = server.roster(&["show", name]);
    text[text.find("\nwindows").unwrap_or(text.len())..].trim_start_matches('\n').to_owned()
}

const SHOWN: &str = "\
windows   0:editor  > ~/api
                      ~/api/tests
          1:logs*     ~/web        LESS
          5:(auto)=   ~
";

#[test]
fn show_and_the_preview_list_windows_live_lost_and_closed() {
    let server = with_recorded_windows("");
    let less = server.dir("bin/less");
    // The path of the program is as long as the test's folder is, and cut to what there is room for.
    let start = format!("/bin/sh {}", less.get(..8).unwrap());
    let plain = |text: String| -> String {
        let line = |line: &str| match line.split_once(&start) {
            Some((before, _)) => format!("{before}LESS\n"),
            None => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    };
    let is_shown = |text: &str, flags: &str| {
        let wanted = SHOWN.replace("0:editor ", flags);
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeezed(&plain(text.to_owned())), squeezed(&wanted), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    };
    is_shown(&shown(&server, "work"), "0:editor- ");
    let count = |args: &[&str], name: &str| {
        let table = server.roster(args);
        let row = table.lines().find(|line| line.starts_with(name)).unwrap();
        let at = table.split_whitespace().position(|heading| heading == "WINDOWS");
        row.split_whitespace().nth(at.unwrap()).unwrap().to_owned()
    };
    assert_eq!(count(&["list"], "work"), "3");
    let uuid = server.uuid("work");
    let preview = || server.roster(&["pick", "--preview", &uuid]);
    let live = preview();
    assert!(live.starts_with("0:editor-  1:logs*  5:(auto)=\n\n"), "{live}");
    server.crash();
    is_shown(&shown(&server, "work"), "0:editor- ");
    assert_eq!(count(&["list"], "work"), "3");
    let lost = preview();
    let listed = &lost[lost.find("windows").unwrap()..lost.find("mode").unwrap()];
    is_shown(listed, "0:editor- ");
    assert!(lost.contains("3 windows, as listed"), "{lost}");
    server.tmux(&["new-session", "-d", "-s", "new"]);
    server.wait_for_names(&["new", "other", "work"]);
    server.wait_until_idle();
    server.roster(&["forget", "work"]);
    is_shown(&shown(&server, "work"), "0:editor- ");
    assert_eq!(count(&["closed"], "work"), "3");
}

#[test]
fn what_vanished_is_shown_where_it_would_come_back_and_not_while_the_session_lives() {
    let server = with_recorded_windows("");
    server.tmux(&["kill-window", "-t", "=work:5"]);
    wait_until_recorded(&server, "work", has_windows(2));
    assert!(!shown(&server, "work").contains("5:(auto)"));
    server.crash();
    assert!(shown(&server, "work").contains("5:(auto)"), "{}", shown(&server, "work"));
}

#[test]
fn scripts_get_a_line_for_each_pane() {
    let server = with_recorded_windows("");
    let line = |columns: [&str; 8]| columns.join("\t") + "\n";
    let home = |folder: &str| server.dir(&format!("home{folder}"));
    let less = format!("/bin/sh {} +F 'a b'", server.dir("bin/less"));
    let work = [
        line(["work", "0", "editor", "0", "0", "1", &home("/api"), ""]),
        line(["work", "0", "editor", "1", "0", "0", &home("/api/tests"), ""]),
        line(["work", "1", "logs", "0", "1", "1", &home("/web"), &less]),
        line(["work", "5", "-", "0", "0", "1", &home(""), ""]),
    ];
    assert_eq!(server.roster(&["windows", "work"]), work.concat());
    let other = line(["other", "0", "-", "0", "1", "1", &server.dir("a"), ""]);
    assert_eq!(server.roster(&["windows"]), other + &work.concat());
    server.roster(&["kill", "other"]);
    assert_eq!(server.roster(&["windows"]), work.concat());
    assert_eq!(server.roster(&["windows", "other"]).lines().count(), 1, "a closed one by its name");
    let said = server.try_roster(&["windows", "worg"]);
    assert!(!said.status.success() && stderr(&said).contains("did you mean work?"));
}

#[test]
fn json_has_the_windows_whole() {
    let server = with_recorded_windows("");
    let listed = json_of(&server, &["list", "--json"]);
    let work = listed.as_array().unwrap().iter().find(|row| row["name"] == "work").unwrap();
    let windows = &work["windows"];
    let pane = |folder: &str, active: bool| {
        let title = &windows[0]["panes"][0]["title"];
        json!({"directory": server.dir(folder), "title": title, "active": active, "program": []})
    };
    let layout = |at: usize| {
        let layout = windows[at]["layout"].clone();
        assert!(layout.as_str().is_some_and(|text| text.contains('x')), "{windows:#}");
        layout
    };
    let less = ["/bin/sh", &server.dir("bin/less"), "+F", "a b"];
    let wanted = json!([
        {
            "index": 0, "name": "editor", "layout": layout(0), "active": false, "last": true,
            "zoomed": false, "synchronized": false,
            "panes": [pane("home/api", true), pane("home/api/tests", false)],
        },
        {
            "index": 1, "name": "logs", "layout": layout(1), "active": true, "last": false,
            "zoomed": false, "synchronized": false,
            "panes": [{
                "directory": server.dir("home/web"), "title": windows[1]["panes"][0]["title"],
                "active": true, "program": less,
            }],
        },
        {
            "index": 5, "name": null, "layout": layout(2), "active": false, "last": false,
            "zoomed": false, "synchronized": true, "panes": [pane("home", true)],
        },
    ]);
    assert_eq!(*windows, wanted);
    assert_eq!(json_of(&server, &["show", "work", "--json"])["windows"], wanted);
    let sessions = json_of(&server, &["windows", "--json"]);
    assert_eq!(sessions[1]["session"], "work");
    assert_eq!(sessions[1]["uuid"], server.uuid("work"));
    assert_eq!((&sessions[1]["state"], &sessions[1]["windows"]), (&json!("live"), &wanted));
    server.roster(&["kill", "work"]);
    let closed = json_of(&server, &["closed", "--json"]);
    assert_eq!(closed[0]["windows"], wanted);
}

#[test]
fn hostile_windows_are_shown_without_harm_and_byte_for_byte() {
    let server = Server::with_plugin("");
    let folder = "a\tb\n\u{1b}[31m\u{9b}31m $(touch canary) #(touch canary)";
    fs::create_dir(server.path(folder)).unwrap();
    server.set_trap();
    // What -c is given, tmux takes for a format.
    let there = server.dir(folder);
    let start = ["new-session", "-d", "-s", "one", "sh", "-c", "cd \"$0\"; exec sh", &there];
    server.tmux(&start);
    let (name, title) = ("#(touch canary) $(touch canary) 日本", "#{x}`touch canary`");
    for (command, text) in [(&["rename-window"][..], name), (&["select-pane", "-T"], title)] {
        // These are formats, too.
        let text = text.replace('#', "##");
        server.tmux(&[&command[..1], &["-t", "=one:0"], &command[1..], &[&text]].concat());
    }
    server.wait_for_names(&["one"]);
    wait_until_recorded(&server, "one", |found| {
        let (window, pane) = (&found["windows"][0], &found["windows"][0]["panes"][0]);
        window["name"] == name && pane["title"] == title && pane["directory"] == there
    });
    let uuid = server.uuid("one");
    let check = |name: &str| {
        let all: [&[&str]; 6] = [
            &["show", name],
            &["windows", name],
            &["windows", "--json"],
            &["show", name, "--json"],
            &["list", "--json"],
            &["pick", "--preview", &uuid],
        ];
        for args in all {
            let said = server.roster(args).replace(['\n', '\t'], "").replace("\u{1b}[0m", "");
            assert!(!said.contains(char::is_control), "{args:?}: {said:?}");
        }
        let line = server.roster(&["windows", name]);
        assert_eq!(line.trim_end_matches('\n').lines().count(), 1, "{line:?}");
        assert_eq!(line.split('\t').count(), 8, "{line:?}");
        let windows = &json_of(&server, &["show", name, "--json"])["windows"];
        assert_eq!(windows[0]["panes"][0]["directory"], server.dir(folder));
    };
    check("one");
    server.crash();
    check("one");
    assert_eq!(server.trapped(), [""; 0]);
}

/// In a folder whose name is not UTF-8.
#[test]
fn bytes_that_are_no_text_are_in_json_as_they_are() {
    use std::os::unix::ffi::OsStrExt;
    let server = Server::with_plugin("");
    let folder = server.folder.path().join(std::ffi::OsStr::from_bytes(b"x\xff"));
    if fs::create_dir(&folder).is_err() {
        return;
    }
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let start = [b"cd '", folder.as_os_str().as_bytes(), b"'; exec sh"].concat();
    let start = std::ffi::OsStr::from_bytes(&start);
    let words = ["respawn-pane", "-k", "-t", "=one:0"].map(std::ffi::OsStr::new);
    server.tmux(&[&words[..], &[start]].concat());
    server.wait_for_names(&["one"]);
    // No hook tells of a pane that is started anew.
    server.tmux(&["rename-window", "-t", "=one:0", "x"]);
    wait_until_recorded(&server, "one", |found| found.to_string().contains("\"hex\""));
    let windows = &json_of(&server, &["show", "one", "--json"])["windows"];
    let hex: String =
        folder.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(windows[0]["panes"][0]["directory"], json!({"hex": hex}));
}

/// Everything that our folder holds.
fn all_files(server: &Server) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(server.registry_path().parent().unwrap()).unwrap().flatten();
    let paths = entries.map(|entry| entry.path()).filter(|path| path.is_file());
    paths.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect()
}

fn holding<'a>(files: &'a [(PathBuf, Vec<u8>)], text: &str) -> Vec<&'a Path> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    files.iter().filter(|(_, bytes)| has(bytes)).map(|(path, _)| path.as_path()).collect()
}

/// Whose words, title and window name hold what nobody else may read.
#[test]
fn a_program_that_no_option_names_leaves_no_word() {
    let config = "set -g allow-rename on\nset -g @roster-programs 'known'\n";
    let server = Server::with_plugin(config);
    fs::create_dir(server.path("bin")).unwrap();
    let says = "#!/bin/sh\nprintf '\\033]2;%s\\033\\\\\\033k%s\\033\\\\' \"$1-title\" \"$1-name\"\n\
                while :; do sleep 0.1; done\n";
    let programs = ["known", "unknown"].map(|name| {
        let path = server.path("bin").join(name);
        write_program(&path, says);
        path.display().to_string()
    });
    server.tmux(&["new-session", "-d", "-s", "one"]);
    for (program, word) in programs.iter().zip(["open", "secret"]) {
        server.tmux(&["new-window", "-d", "-t", "=one:", &format!("{program} {word}; :")]);
        server.tmux(&["new-window", "-d", "-t", "=one:", program, word]);
    }
    server.wait_for_names(&["one"]);
    let panes = || server.tmux(&["list-panes", "-a", "-F", "#{pane_title} #{window_name}"]);
    let are_set = || (panes().matches("secret-title secret-name").count() == 2).then_some(());
    wait_for(are_set, panes);
    server.tmux(&["new-window", "-d", "-t", "=one:"]);
    wait_until_recorded(&server, "one", |found| {
        let text = found.to_string();
        has_windows(6)(found) && text.contains("\"open\"") && text.contains("open-title")
    });
    server.roster(&["backup"]);
    server.roster(&["kill", "one"]);
    let files = all_files(&server);
    assert!(!holding(&files, "open-name").is_empty(), "that of a known one is recorded");
    assert_eq!(holding(&files, "secret"), Vec::<&Path>::new());
}

#[test]
fn the_record_of_windows_is_private() {
    let server = Server::with_plugin("");
    let mut start = server.command("sh");
    start.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(tmux_program()).args(["-L", "s", "-f"]);
    start.arg(server.path("tmux.conf")).args(["new-session", "-d", "-s", "one"]);
    assert!(start.status().unwrap().success());
    server.wait_for_names(&["one"]);
    wait_until_recorded(&server, "one", has_windows(1));
    let modes = || {
        for name in ["windows.json", "windows.lock"] {
            let path = server.registry_path().with_file_name(name);
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!(mode, 0o600, "{name}");
        }
    };
    modes();
    fs::write(windows_file(&server), "{").unwrap();
    server.tmux(&["new-window", "-d", "-t", "=one:"]);
    wait_until_recorded(&server, "one", has_windows(2));
    modes();
    for (path, _) in all_files(&server) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{}", path.display());
    }
    let kept = all_files(&server).into_iter().map(|(path, _)| path.display().to_string());
    assert_eq!(kept.filter(|path| path.contains("windows.json.corrupt.")).count(), 1);
}

#[test]
fn nothing_is_recorded_where_windows_are_off() {
    let server = Server::with_plugin("set -g @roster-windows off\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.tmux(&["new-window", "-d", "-t", "=one:", "-n", "two"]);
    check_stays(LOOK, || !windows_file(&server).exists(), || "windows.json".into());
    server.wait_until_idle();
    let (findings, _) = doctor(&server, &[]);
    assert_eq!(found(&findings, "ok"), ["@roster-windows is off: none are recorded"]);
    assert_eq!(json_of(&server, &["show", "one", "--json"])["windows"], json!([]));
    let said = server.try_roster(&["windows", "one"]);
    assert!(said.status.success() && stdout(&said).is_empty());
    assert_eq!(stderr(&said), "roster: no windows of \"one\" are recorded\n");
}

#[test]
fn what_is_forgotten_for_good_leaves_no_windows() {
    let server = with_recorded_windows("");
    let uuid = server.uuid("work");
    server.roster(&["kill", "work"]);
    server.wait_until_idle();
    assert!(json(&windows_file(&server))["sessions"][&uuid].is_object(), "it can be reopened");
    server.roster(&["forget", "work"]);
    server.tmux(&["new-window", "-d", "-t", "=other:"]);
    let in_windows = || json(&windows_file(&server)).to_string().contains(&uuid);
    wait_for(|| (!in_windows()).then_some(()), || "the next look".into());
}

/// `clear` moves what is lost to the closed ones, and so its windows stay.
#[test]
fn what_is_cleared_keeps_its_windows() {
    let server = with_recorded_windows("");
    let before = json_of(&server, &["show", "work", "--json"])["windows"].clone();
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "new"]);
    server.wait_for_names(&["new", "other", "work"]);
    server.wait_until_idle();
    server.roster(&["clear"]);
    server.tmux(&["new-window", "-d", "-t", "=new:"]);
    wait_until_recorded(&server, "new", has_windows(2));
    assert_eq!(json_of(&server, &["closed", "--json"])[0]["state"], "closed");
    assert_eq!(json_of(&server, &["show", "work", "--json"])["windows"], before);
}

fn doctor(server: &Server, args: &[&str]) -> (Vec<Value>, bool) {
    let output = server.try_roster(&[&["doctor", "--json"], args].concat());
    assert_eq!(stderr(&output), "");
    (serde_json::from_slice(&output.stdout).expect("an array"), output.status.success())
}

/// What doctor found of windows at one level.
fn found(findings: &[Value], level: &str) -> Vec<String> {
    let of_windows = findings.iter().filter(|f| f["check"] == "windows" && f["level"] == level);
    of_windows.map(|f| f["found"].as_str().unwrap().to_owned()).collect()
}

fn one_recorded() -> Server {
    let server = Server::with_plugin("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    wait_until_recorded(&server, "one", has_windows(1));
    server
}

#[test]
fn doctor_mends_a_damaged_record_of_windows_and_leaves_a_newer_one() {
    let server = one_recorded();
    let (findings, well) = doctor(&server, &[]);
    assert!(well, "{findings:#?}");
    assert_eq!(found(&findings, "ok"), ["1 window of 1 session recorded"]);
    let path = windows_file(&server);
    fs::write(&path, "{\"version\":1,\"sess").unwrap();
    let (findings, well) = doctor(&server, &[]);
    assert!(!well && found(&findings, "problem")[0].contains("is damaged"), "{findings:#?}");
    assert_eq!(fs::read(&path).unwrap(), b"{\"version\":1,\"sess");
    // Who only looks goes on without it, and says so.
    let said = server.try_roster(&["show", "one"]);
    assert!(said.status.success() && stderr(&said).contains("windows are not shown: "));
    assert!(!server.try_roster(&["windows"]).status.success());
    let (findings, well) = doctor(&server, &["--fix"]);
    assert!(well, "{findings:#?}");
    assert_eq!(recorded(&server, "one")["windows"].as_array().unwrap().len(), 1);
    server.crash();
    fs::write(&path, "{").unwrap();
    assert!(!doctor(&server, &[]).1);
    assert!(doctor(&server, &["--fix"]).1 && !path.exists());

    server.tmux(&["new-session", "-d", "-s", "one"]);
    wait_until_recorded(&server, "one", has_windows(1));
    let newer = "{\"sessions\":[],\"version\":99}";
    fs::write(&path, newer).unwrap();
    for args in [&[][..], &["--fix"]] {
        let (findings, well) = doctor(&server, args);
        assert!(!well && found(&findings, "problem").len() == 1, "{findings:#?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }
}

#[test]
fn doctor_tells_a_record_of_windows_that_is_not_kept_up() {
    let server = one_recorded();
    let late = server.tmux(&["show-options", "-gv", "@roster_late"]);
    // As if the program were gone, or could write nothing.
    server.tmux(&["set-option", "-g", "@roster_late", "false"]);
    server.tmux(&["new-window", "-d", "-t", "=one:"]);
    let (findings, well) = doctor(&server, &[]);
    let told = "not kept up: tmux has others than are recorded in 1 session";
    assert!(!well && found(&findings, "problem") == [told], "{findings:#?}");
    server.tmux(&["set-option", "-g", "@roster_late", &late]);
    let (findings, well) = doctor(&server, &["--fix"]);
    assert!(well && found(&findings, "ok") == ["2 windows of 1 session recorded"], "{findings:#?}");
    // What has only just changed is on its way.
    server.tmux(&["split-window", "-d", "-t", "=one:0"]);
    assert!(doctor(&server, &[]).1);
    fs::remove_file(windows_file(&server)).unwrap();
    let (findings, well) = doctor(&server, &[]);
    assert!(!well && found(&findings, "problem") == [told], "{findings:#?}");
    assert!(doctor(&server, &["--fix"]).1);
}

#[test]
fn a_switch_that_is_neither_on_nor_off_is_told() {
    let server = one_recorded();
    server.tmux(&["set-option", "-g", "@roster-windows", "maybe"]);
    let (findings, well) = doctor(&server, &[]);
    let complaint = "@roster-windows is \"maybe\", not on or off: using on";
    let is_told = findings.iter().any(|finding| finding["found"] == complaint);
    assert!(!well && is_told, "{findings:#?}");
    server.tmux(&["set-option", "-g", "@roster-windows", "off"]);
    let (findings, well) = doctor(&server, &[]);
    assert!(well && found(&findings, "note")[0].contains("those from before"), "{findings:#?}");
}

#[test]
fn a_window_whose_own_hook_hides_ours_is_found_and_keeps_both() {
    let server = one_recorded();
    let version = version();
    let listed = server.tmux(&["show-options", "-gwH"]);
    for hook in HOOKS {
        let is_listed = listed.contains(&format!("{}[{}]", hook.name, hook.index));
        assert_eq!(is_listed, hook.is_of_windows(version), "{}", hook.name);
    }
    let theirs = "set-option -g @theirs 1";
    let id = server.id("one");
    let window = server.tmux(&["display-message", "-p", "-t", "=one:0", "#{window_id}"]);
    let whose = if version.has_hooks_of_windows() {
        server.tmux(&["set-hook", "-w", "-t", "=one:0", "window-renamed", theirs]);
        // A pane has none of these: it is its window's.
        server.tmux(&["set-hook", "-p", "-t", "=one:0.0", "window-layout-changed", theirs]);
        format!("window 0 of session \"one\" ({window})")
    } else {
        server.tmux(&["set-hook", "-t", &id, "window-renamed", theirs]);
        server.tmux(&["set-hook", "-t", &id, "window-layout-changed", theirs]);
        format!("session \"one\" ({id})")
    };
    let told = |findings: &[Value]| {
        let of_hooks = findings.iter().filter(|f| f["check"] == "hooks" && f["level"] == "problem");
        of_hooks.map(|f| f["found"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (findings, well) = doctor(&server, &[]);
    let wanted = ["window-renamed", "window-layout-changed"]
        .map(|hook| format!("{whose} has a hook {hook} of its own, which hides ours"));
    assert!(!well && told(&findings) == wanted, "{findings:#?}");
    let (findings, well) = doctor(&server, &["--fix"]);
    assert!(well, "{findings:#?}");
    server.tmux(&["rename-window", "-t", "=one:0", "renamed"]);
    wait_until_recorded(&server, "one", |found| found["windows"][0]["name"] == "renamed");
    assert_eq!(server.tmux(&["show-options", "-gv", "@theirs"]), "1");
}

#[test]
fn names_are_completed_for_windows() {
    let server = with_windows("");
    let output =
        server.command(ROSTER).args(["complete", "zsh", "-L", "s", "windows", ""]).output();
    let text = stdout(&output.unwrap());
    let offered: Vec<&str> =
        text.split('\0').skip(2).step_by(2).filter(|w| !w.is_empty()).collect();
    assert_eq!(offered, ["other", "work"]);
}

/// In which tmux lists no windows.
#[test]
fn a_server_without_sessions_is_looked_at_without_complaint() {
    let server = Server::with_plugin("set -s exit-empty off\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    wait_until_recorded(&server, "one", has_windows(1));
    let uuid = server.uuid("one");
    server.tmux(&["kill-session", "-t", "=one"]);
    let is_gone = || json(&windows_file(&server))["sessions"][&uuid]["here"] != true;
    if version().delays_jobs() && !version().has_links_among_windows() {
        wait_for(|| is_gone().then_some(()), || "a look at nothing".into());
    }
    server.wait_for_jobs();
    let log = fs::read_to_string(server.registry_path().with_file_name("roster.log"));
    assert_eq!(log.unwrap_or_default(), "");
    assert!(json(&windows_file(&server))["sessions"][&uuid]["windows"][0].is_object());
}
