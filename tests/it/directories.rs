//! Where a session belongs: relative directories, links, and two spellings of one.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::env::{
    Client, ROSTER, Server, can_trace, hook_job, script, stderr, tmux_program, tmux_version,
    wait_for,
};

/// tmux as somebody calls it who stands in `here`.
fn tmux_in<S: AsRef<OsStr>>(server: &Server, here: &Path, args: &[S]) {
    let mut command = server.command(tmux_program());
    command.args(["-u", "-L", "s", "-f"]).arg(server.path("tmux.conf")).args(args);
    let output = command.current_dir(here).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
}

fn new_in(server: &Server, here: &Path, name: &str, directory: &str) {
    tmux_in(server, here, &["new-session", "-d", "-s", name, "-c", directory]);
}

/// Starts the server in `here`: before 3.3 what is relative is relative to that.
fn start_in(server: &Server, here: &Path) {
    tmux_in(server, here, &["new-session", "-d", "-s", "one"]);
}

/// A folder of the test, as the programs in it see it.
fn folder(server: &Server, name: &str) -> PathBuf {
    let path = server.path(name);
    fs::create_dir_all(&path).unwrap();
    path.canonicalize().unwrap()
}

fn wait_for_workdir(server: &Server, name: &str, path: &Path) {
    let path = path.to_string_lossy();
    wait_for(
        || (server.field(name, "workdir") == path).then_some(()),
        || format!("{path} of {name}, there is {}", server.registry()),
    );
}

/// Where the program in a session's first pane is.
fn check_pane(server: &Server, name: &str, path: &Path) {
    let id = server.id(name);
    let pid = server.tmux(&["list-panes", "-t", &id, "-F", "#{pane_pid}"]);
    if cfg!(target_os = "linux") {
        let link = format!("/proc/{pid}/cwd");
        wait_for(
            || fs::read_link(&link).is_ok_and(|found| found == path).then_some(()),
            || format!("{name} in {}, it is in {:?}", path.display(), fs::read_link(&link)),
        );
    }
}

/// Changes the records as another program may, or the version before.
fn edit(server: &Server, change: impl FnOnce(&mut Value)) {
    // One that began before would write what it read before.
    server.wait_for_jobs();
    let mut registry = server.registry();
    change(&mut registry["sessions"]);
    fs::write(server.registry_path(), serde_json::to_vec(&registry).unwrap()).unwrap();
}

#[test]
fn a_relative_directory_is_recorded_as_the_absolute_one() {
    let server = Server::with_plugin("");
    let (real, proj) = (folder(&server, "real"), folder(&server, "real/proj"));
    let other = folder(&server, "real/other");
    symlink(folder(&server, "far/away"), real.join("link")).unwrap();
    start_in(&server, &real);
    let wanted = [
        ("dot", ".", real.clone()),
        ("proj", "proj", proj.clone()),
        ("slash", "./proj/", proj),
        ("up", "other/../proj/..", real.clone()),
        ("over-link", "link/..", folder(&server, "far")),
    ];
    for (name, directory, _) in &wanted {
        new_in(&server, &real, name, directory);
    }
    let names = ["dot", "one", "over-link", "proj", "slash", "up"];
    server.wait_for_names(&names);
    for (name, _, path) in &wanted {
        wait_for_workdir(&server, name, path);
    }
    server.wait_until_quiet();
    assert!(server.roster(&["doctor"]).contains("registry and tmux agree"));
    // A pane that is younger is somewhere else.
    tmux_in(&server, &other, &["new-window", "-t", "dot:"]);
    let uuids: Vec<String> = wanted.iter().map(|(name, ..)| server.uuid(name)).collect();
    server.kill_server();
    server.roster(&["restore", "--all"]);
    server.wait_for_names(&names);
    for ((name, _, path), uuid) in wanted.iter().zip(uuids) {
        check_pane(&server, name, path);
        wait_for_workdir(&server, name, path);
        assert_eq!(server.uuid(name), uuid);
        assert_eq!(server.field(name, "last_health_status"), "recreated");
    }
    // Another tool, or a person, makes it as it was made before.
    let uuid = server.uuid("dot");
    server.kill_server();
    new_in(&server, &real, "dot", ".");
    server.wait_until_quiet();
    assert_eq!((server.uuid("dot"), server.field("dot", "workdir")), (uuid.clone(), text(&real)));
    // What is `.` elsewhere is not; before 3.2 the name is all that there is.
    if tmux_version() < (3, 2) {
        return;
    }
    server.kill_server();
    new_in(&server, &other, "dot", ".");
    server.wait_until_quiet();
    wait_for_workdir(&server, "dot", &other);
    assert_ne!(server.uuid("dot"), uuid);
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[test]
fn a_client_that_attaches_with_a_relative_directory_changes_no_record() {
    let server = Server::with_plugin("");
    let (real, other) = (folder(&server, "real"), folder(&server, "other"));
    server.tmux(&["new-session", "-d", "-s", "proj", "-c", &text(&real)]);
    server.wait_for_names(&["proj"]);
    server.wait_until_quiet();
    let memory = server.registry_path().with_file_name("server.json");
    let shown = |path: &str| {
        if tmux_version() >= (3, 2) {
            let show = ["list-sessions", "-F", "#{session_path}"];
            wait_for(|| (server.tmux(&show) == path).then_some(()), || path.to_owned());
        }
    };
    let attach = |flags: &str, directory: &str| {
        let tmux = tmux_program();
        let (tmux, other) = (tmux.display(), other.display());
        let command =
            format!("cd '{other}' && exec {tmux} {flags} -u -L s attach -t proj -c '{directory}'");
        let client = Client::start(&server, &command);
        shown(directory);
        server.wait_until_idle();
        client
    };
    let _real = attach("", ".");
    assert_eq!(server.field("proj", "workdir"), text(&real));
    let _control = attach("-C", "..");
    assert_eq!(server.field("proj", "workdir"), text(&real));
    assert!(server.roster(&["doctor"]).contains("registry and tmux agree"));
    // Whoever does not remember the server asks the pane.
    let _ = fs::remove_file(&memory);
    server.roster(&["sync"]);
    assert_eq!(server.field("proj", "workdir"), text(&real));
    // A record that was taken away comes back with what the pane tells.
    edit(&server, |sessions| *sessions = json!({}));
    server.roster(&["sync"]);
    server.wait_until_quiet();
    assert_eq!(server.field("proj", "workdir"), text(&real));
    // An absolute one is where the session is from now on.
    if tmux_version() >= (3, 2) {
        let _moved = attach("", &text(&other));
        wait_for_workdir(&server, "proj", &other);
    }
}

#[test]
fn relative_directories_of_any_bytes_are_recorded_and_restored() {
    let server = Server::with_plugin("");
    let here = folder(&server, "he re");
    start_in(&server, &here);
    let names: &[&[u8]] = match cfg!(target_os = "linux") {
        true => {
            &[b"a b", b"#{pid}", b"#(x)", b"'q\"", b"n\nl", b"b\\s", b"$HOME", b"~", b"x\xffy;"]
        }
        false => &[b"a b", b"#{pid}", b"#(x)", b"'q\"", b"n\nl", b"b\\s", b"$HOME", b"~"],
    };
    let mut wanted = Vec::new();
    for (n, name) in names.iter().enumerate() {
        let path = here.join(OsStr::from_bytes(name));
        fs::create_dir(&path).unwrap();
        // As one types it for tmux.
        let mut given = name.iter().fold(b"./".to_vec(), |mut given, byte| {
            given.extend_from_slice(if *byte == b'#' { b"##" } else { std::slice::from_ref(byte) });
            given
        });
        if given.ends_with(b";") {
            given.insert(given.len() - 1, b'\\');
        }
        let session = format!("h{n}");
        let words = ["new-session", "-d", "-s", &session, "-c"].map(OsString::from);
        tmux_in(&server, &here, &[&words[..], &[OsString::from_vec(given)]].concat());
        wait_for_workdir(&server, &session, &path);
        wanted.push((session, path));
    }
    server.wait_until_quiet();
    server.crash();
    server.roster(&["restore", "--all"]);
    for (session, path) in &wanted {
        check_pane(&server, session, path);
        wait_for_workdir(&server, session, path);
    }
}

#[test]
fn a_tilde_that_no_shell_expanded_is_the_home_folder_if_that_is_there() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = Server::with_plugin("");
    let (home, real) = (folder(&server, "home"), folder(&server, "real"));
    let work = folder(&server, "home/w");
    folder(&server, "home/v");
    let literal = folder(&server, "real/~/v");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    for (name, directory) in [("w", "~/w/."), ("home", "~"), ("v", "~/v"), ("none", "~/none")] {
        new_in(&server, &real, name, directory);
    }
    server.wait_for_names(&["home", "none", "one", "v", "w"]);
    wait_for_workdir(&server, "w", &work);
    // 3.3a starts it in its own directory, where that is, and the others at home.
    let pane = ["display-message", "-p", "-t", "none:", "#{pane_current_path}"];
    wait_for_workdir(&server, "none", Path::new(&server.tmux(&pane)));
    if tmux_version() >= (3, 3) {
        // There was such a directory.
        wait_for_workdir(&server, "v", &literal);
    }
    let inside = server.path("real/~");
    let at_home = if tmux_version() >= (3, 3) { &inside } else { &home };
    wait_for_workdir(&server, "home", at_home);
    server.wait_until_quiet();
}

#[test]
fn a_directory_that_was_removed_meanwhile_is_still_the_sessions() {
    let server = Server::with_config("");
    let real = folder(&server, "real");
    let gone = folder(&server, "real/gone");
    start_in(&server, &real);
    new_in(&server, &real, "gone", "./gone");
    check_pane(&server, "gone", &gone);
    fs::remove_dir(&gone).unwrap();
    server.roster(&["sync"]);
    if tmux_version() >= (3, 2) {
        assert_eq!(server.field("gone", "workdir"), text(&gone));
        let health = server.try_roster(&["health", "gone"]);
        assert_eq!(health.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&health.stdout).contains("workdir-missing"));
    }
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
}

#[test]
fn what_the_version_before_recorded_as_relative_is_mended_while_it_lives() {
    let server = Server::with_plugin("");
    let real = folder(&server, "real");
    start_in(&server, &real);
    new_in(&server, &real, "dot", ".");
    wait_for_workdir(&server, "dot", &real);
    server.wait_until_quiet();
    let uuid = server.uuid("dot");
    edit(&server, |sessions| sessions["dot"]["workdir"] = ".".into());
    if tmux_version() < (3, 2) {
        return;
    }
    // Whoever only looks is told what is right.
    assert!(server.roster(&["show", "dot"]).contains(&text(&real)));
    server.roster(&["sync"]);
    assert_eq!((server.uuid("dot"), server.field("dot", "workdir")), (uuid.clone(), text(&real)));
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
    // A lost one is known by what is all that its record says.
    server.kill_server();
    edit(&server, |sessions| sessions["dot"]["workdir"] = ".".into());
    new_in(&server, &real, "dot", ".");
    wait_for_workdir(&server, "dot", &real);
    assert_eq!(server.uuid("dot"), uuid);
}

#[test]
fn a_lost_session_with_a_relative_directory_never_starts_where_the_asker_stands() {
    let server = Server::with_plugin("");
    let (home, asker) = (folder(&server, "home"), folder(&server, "a"));
    let work = folder(&server, "home/w");
    folder(&server, "a/proj");
    for name in ["dot", "proj", "tilde", "away", "shut"] {
        server.tmux(&["new-session", "-d", "-s", name, "-c", &text(&asker)]);
    }
    server.wait_for_names(&["away", "dot", "proj", "shut", "tilde"]);
    server.wait_until_quiet();
    server.kill_server();
    edit(&server, |sessions| {
        for (name, workdir) in
            [("dot", "."), ("proj", "proj"), ("tilde", "~/w"), ("away", "~/none"), ("shut", "proj")]
        {
            sessions[name]["workdir"] = workdir.into();
        }
    });
    let uuid = server.uuid("dot");
    server.roster(&["forget", "shut"]);
    let restored = server.try_roster(&["restore", "--all"]);
    let said = stderr(&restored);
    assert!(restored.status.success(), "{said}");
    let warning = |directory: &str, name: &str| {
        format!(
            "the directory {directory} of {name:?} is relative to an unknown directory: started in {}",
            server.path("home").display()
        )
    };
    assert!(said.contains(&warning(".", "dot")), "{restored:?} {}", server.registry());
    assert!(said.contains(&warning("proj", "proj")), "{said}");
    assert!(said.contains(&warning("~/none", "away")), "{said}");
    assert!(!said.contains("tilde"), "{said}");
    let reopened = server.try_roster(&["reopen", "shut"]);
    assert!(stderr(&reopened).contains(&warning("proj", "shut")), "{reopened:?}");
    for (name, path) in [("dot", &home), ("proj", &home), ("tilde", &work), ("shut", &home)] {
        check_pane(&server, name, path);
        assert_eq!(Path::new(&server.field(name, "workdir")).canonicalize().unwrap(), *path);
    }
    assert_eq!(server.uuid("dot"), uuid);
    assert_eq!(server.field("dot", "last_health_status"), "workdir-missing");
    assert_eq!(server.field("tilde", "last_health_status"), "recreated");
    // It is settled now.
    server.wait_until_quiet();
    assert!(server.roster(&["health", "dot"]).starts_with("ok"));
}

#[test]
fn new_takes_a_relative_directory_from_where_it_is_said() {
    let server = Server::with_plugin("");
    let proj = folder(&server, "a/proj");
    server.roster(&["new", "-d", "x", "-c", "proj"]);
    wait_for_workdir(&server, "x", &proj);
    // A lost one whose record is relative to what nobody knows is another.
    let uuid = server.uuid("x");
    server.kill_server();
    edit(&server, |sessions| sessions["x"]["workdir"] = "proj".into());
    server.roster(&["new", "-d", "x", "-c", "proj"]);
    assert_ne!(server.uuid("x"), uuid);
}

#[test]
fn a_tmux_that_does_not_tell_of_panes_fails_no_sync() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = Server::with_plugin("");
    let real = folder(&server, "real");
    let mute = server.path("mute");
    let tmux = tmux_program();
    let (tmux, asked) = (tmux.display(), server.path("asked"));
    let note = format!("echo x >>'{}'; exit 1", asked.display());
    script(
        &mute,
        &format!("case \" $* \" in *' list-panes '*) {note} ;; esac\nexec '{tmux}' \"$@\""),
    );
    start_in(&server, &real);
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    for hook in ["session-created", "session-closed", "session-renamed", "client-attached"] {
        server.tmux(&["set-hook", "-gu", hook]);
    }
    new_in(&server, &real, "dot", ".");
    let job = hook_job(&server, &mute).output().unwrap();
    assert!(job.status.success() && job.stdout.is_empty(), "{job:?}");
    assert_eq!(server.names(), ["dot", "one"]);
    assert_eq!(server.field("dot", "workdir"), "");
    let uuid = server.uuid("dot");
    server.roster(&["sync"]);
    assert_eq!((server.uuid("dot"), server.field("dot", "workdir")), (uuid, text(&real)));
    // Nobody asks for what is known.
    assert_eq!(fs::read_to_string(&asked).unwrap().lines().count(), 1);
    let job = hook_job(&server, &mute).output().unwrap();
    assert!(job.status.success(), "{job:?}");
    assert_eq!(fs::read_to_string(&asked).unwrap().lines().count(), 1);
    assert_eq!(server.field("dot", "workdir"), text(&real));
}

/// A mode that is not the default, so that it shows whether a record is the same.
fn set_mode(server: &Server, name: &str) -> String {
    server.wait_for_name(name);
    server.roster(&["mode", name, "yolo"]);
    server.wait_until_quiet();
    server.uuid(name)
}

#[test]
fn a_directory_that_is_spelled_by_another_link_is_the_same_one() {
    let server = Server::with_plugin("");
    let top = folder(&server, ".");
    let proj = folder(&server, "data/proj");
    symlink("data", top.join("work")).unwrap();
    start_in(&server, &top);
    new_in(&server, &top, "proj", "work/proj");
    let uuid = set_mode(&server, "proj");
    let check = |given: &str, spelled: &Path| {
        server.kill_server();
        start_in(&server, &top);
        new_in(&server, &top, "proj", given);
        server.wait_until_quiet();
        let record = (server.uuid("proj"), server.field("proj", "mode"));
        assert_eq!(record, (uuid.clone(), "yolo".into()), "{given}");
        // As tmux has it, which is never made canonical; before 3.3 a pane does not tell how what
        // is relative was spelled.
        if tmux_version() >= (3, 3) || given.starts_with('/') && tmux_version() >= (3, 2) {
            assert_eq!(server.field("proj", "workdir"), text(spelled));
        }
        assert!(!server.roster(&["closed"]).contains("proj"), "{given}");
    };
    let link = top.join("work/proj");
    check(&text(&proj), &proj);
    check(&text(&link), &link);
    check("data/proj", &proj);
    check("work/proj", &link);
    server.kill_server();
    server.roster(&["new", "-d", "proj", "-c", &text(&proj)]);
    assert_eq!(server.uuid("proj"), uuid);
    server.kill_server();
    server.roster(&["new", "-d", "proj", "-c", &(text(&link) + "/")]);
    assert_eq!(server.uuid("proj"), uuid);
}

#[test]
fn sessions_of_a_home_behind_a_link_are_known_by_its_other_spelling() {
    let server = Server::with_plugin("");
    let top = folder(&server, ".");
    symlink("disk", top.join("house")).unwrap();
    let names: Vec<String> = (0..20).map(|n| format!("s{n:02}")).collect();
    for name in &names {
        folder(&server, &format!("disk/{name}"));
        server.tmux(&["new-session", "-d", "-s", name, "-c", &text(&top.join("house").join(name))]);
    }
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    server.wait_for_names(&wanted);
    server.wait_until_quiet();
    let uuids: Vec<String> = names.iter().map(|name| server.uuid(name)).collect();
    server.crash();
    // As a tool does that notes where the panes are.
    for name in &names {
        server.tmux(&["new-session", "-d", "-s", name, "-c", &text(&top.join("disk").join(name))]);
    }
    server.wait_until_quiet();
    let now: Vec<String> = names.iter().map(|name| server.uuid(name)).collect();
    assert_eq!(now, uuids);
}

#[test]
fn a_link_that_leads_elsewhere_is_the_same_as_spelled_and_other_directories_are_others() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = Server::with_plugin("");
    let top = folder(&server, ".");
    let (one, two) = (folder(&server, "r1"), folder(&server, "r2"));
    let current = top.join("current");
    symlink("r1", &current).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    new_in(&server, &top, "site", &text(&current));
    let uuid = set_mode(&server, "site");
    fs::remove_file(&current).unwrap();
    symlink("r2", &current).unwrap();
    server.kill_server();
    new_in(&server, &top, "site", &text(&current));
    server.wait_until_quiet();
    assert_eq!(
        (server.uuid("site"), server.field("site", "workdir")),
        (uuid.clone(), text(&current))
    );
    // What it leads to now is the same, what it led to before is another.
    server.kill_server();
    new_in(&server, &top, "site", &text(&two));
    server.wait_until_quiet();
    assert_eq!(server.uuid("site"), uuid);
    server.kill_server();
    new_in(&server, &top, "site", &text(&one));
    server.wait_until_quiet();
    assert_ne!(server.uuid("site"), uuid);
    assert!(server.roster(&["closed"]).contains("site"));
}

#[test]
fn one_that_was_restored_elsewhere_belongs_where_it_did_by_any_spelling() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = Server::with_plugin("");
    let top = folder(&server, ".");
    let (there, away) = (folder(&server, "disk/proj"), top.join("away"));
    symlink("disk", top.join("mnt")).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d", "-s", "proj", "-c", &text(&there)]);
    let uuid = set_mode(&server, "proj");
    server.crash();
    fs::rename(&there, &away).unwrap();
    server.roster(&["restore", "--all"]);
    assert_eq!(server.field("proj", "workdir"), text(&top.join("disk")));
    // Where it is for the time being has two names as well.
    server.crash();
    new_in(&server, &top, "proj", &text(&top.join("mnt")));
    server.wait_until_quiet();
    assert_eq!(
        (server.uuid("proj"), server.field("proj", "workdir")),
        (uuid.clone(), text(&top.join("mnt")))
    );
    fs::rename(&away, &there).unwrap();
    server.crash();
    new_in(&server, &top, "proj", &text(&top.join("mnt/proj")));
    server.wait_until_quiet();
    assert_eq!(server.uuid("proj"), uuid);
    assert_eq!(server.field("proj", "workdir"), text(&top.join("mnt/proj")));
}

#[test]
fn a_directory_that_hangs_is_not_waited_for() {
    if tmux_version() < (3, 2) || !can_trace("a_directory_that_hangs") {
        return;
    }
    let server = Server::with_config("");
    let top = folder(&server, ".");
    let names: Vec<String> = (0..8).map(|n| format!("s{n}")).collect();
    let start = |folder: &Path| {
        for name in &names {
            server.tmux(&["new-session", "-d", "-s", name, "-c", &text(&folder.join(name))]);
        }
    };
    symlink("disk", top.join("mnt")).unwrap();
    for name in &names {
        folder(&server, &format!("disk/{name}"));
    }
    start(&top.join("mnt"));
    server.roster(&["sync"]);
    server.crash();
    start(&top.join("disk"));
    let mut strace = server.command("strace");
    strace.args(["-f", "-o", "/dev/null"]);
    for name in &names {
        strace.arg("-P").arg(top.join("disk").join(name));
    }
    strace.args(["-e", "inject=?statx,?stat,?newfstatat:delay_enter=700000"]);
    let started = Instant::now();
    let output = strace.args([ROSTER, "-L", "s", "sync"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let taken = started.elapsed();
    assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&taken), "{taken:?}");
    assert_eq!(server.names(), names);
    assert_eq!(server.roster(&["sync"]), "nothing to change\n");
}
