//! The promises of SECURITY.md about files: who may read them, and what is refused.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::env::{
    Folder, Lack, ROSTER, Server, can_trace, copy_program, hook_job, skip, stderr, store,
    tmux_program, try_out, wait_for, write_program,
};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn every_file_is_private_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let folder = Folder::new();
        let dir = folder.path().join("new");
        let file = dir.join("sessions.json");
        let body = "umask \"$1\"; f=$2; r=$3\n\
            \"$r\" store --file \"$f\" save a /w safe && \"$r\" store --file \"$f\" backup &&\n\
            \"$r\" store --file \"$f\" save b /w safe && echo damaged >\"$f\" &&\n\
            \"$r\" store --file \"$f\" save c /w safe";
        let output = Command::new("sh")
            .args(["-c", body, "sh", umask])
            .args([&file, Path::new(ROSTER)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(mode(&dir), 0o700);
        let entries: Vec<_> = fs::read_dir(&dir).unwrap().map(Result::unwrap).collect();
        assert!(entries.len() >= 5, "{entries:?}");
        for entry in entries {
            assert_eq!(mode(&entry.path()), 0o600, "{umask}: {}", entry.path().display());
        }
    }
}

#[test]
fn a_servers_files_are_private() {
    let server = Server::with_plugin("set -g @roster-lost-days nonsense\n");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_for_names(&["one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.tmux(&["kill-session", "-t", "=two"]);
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    let dir = server.registry_path().parent().unwrap().to_owned();
    assert_eq!(mode(&dir), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        names.push(entry.file_name().into_string().unwrap());
    }
    for name in ["sessions.json", "closed.json", "server.json", "roster.log"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
}

/// The loosest umask that a server, its jobs and a person can have.
#[test]
fn a_servers_files_are_private_without_a_umask() {
    let server = Server::with_plugin("set -g @roster-lost-days nonsense\n");
    let loosely = |program: &Path| {
        let mut command = server.command("sh");
        command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(program).args(["-L", "s"]);
        command
    };
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let start = ["new-session", "-d", "-s", "one"];
    run(loosely(&tmux_program()).arg("-f").arg(server.path("tmux.conf")).args(start));
    server.wait_for_names(&["one"]);
    let umask = server.path("umask");
    server.tmux(&["run-shell", &format!("umask >'{}'", umask.display())]);
    assert_eq!(
        fs::read_to_string(umask).unwrap().trim_matches(['0', '\n']),
        "",
        "jobs have it too"
    );
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    server.tmux(&["kill-session", "-t", "=two"]);
    server.wait_for_names(&["one"]);
    for args in [&["backup"][..], &["new", "-d", "three"], &["rename", "three", "drei"]] {
        run(loosely(Path::new(ROSTER)).args(args));
    }
    fs::write(server.registry_path(), "damaged").unwrap();
    run(loosely(Path::new(ROSTER)).arg("sync"));
    // What tmux is told goes through a file that is gone afterwards: this tmux sees it.
    let dir = server.registry_path().parent().unwrap().to_owned();
    let (stub, seen) = (server.path("stub"), server.path("seen"));
    let body = format!(
        "#!/bin/sh\nls -lA '{}' >>'{}'\nexec '{}' \"$@\"\n",
        dir.display(),
        seen.display(),
        tmux_program().display()
    );
    write_program(&stub, &body);
    run(loosely(Path::new(ROSTER)).envs(server.published(&stub)).args(["mode", "one", "yolo"]));
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.contains(".tmp."), "{seen}");
    for line in seen.lines().filter(|line| !line.starts_with("total")) {
        assert!(line.starts_with("-rw-------"), "{line}");
    }
    for above in dir.ancestors().take_while(|folder| !folder.ends_with("home")) {
        assert_eq!(mode(above), 0o700, "{}", above.display());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        assert_eq!(mode(&entry.path()), 0o600, "{}", entry.path().display());
        names.push(entry.file_name().into_string().unwrap());
    }
    for start in ["closed.json", "server.json", "roster.log", "sessions.json."] {
        assert!(names.iter().any(|name| name.starts_with(start)), "{names:?}");
    }
    for kind in [".lock", ".last", ".bak.", ".corrupt."] {
        assert!(names.iter().any(|name| name.contains(kind)), "{names:?}");
    }
}

#[test]
fn planted_links_reach_nothing() {
    let folder = Folder::new();
    let (file, victim) = (folder.path().join("sessions.json"), folder.path().join("victim"));
    assert!(store(&file, &["save", "a", "/w", "safe"]).status.success());
    let before = fs::read(&file).unwrap();

    // At the lock: refused, be there something behind the link or not.
    let lock = folder.path().join("sessions.json.lock");
    for there in [true, false] {
        let _ = fs::remove_file(&lock);
        let _ = fs::remove_file(&victim);
        if there {
            fs::write(&victim, "precious").unwrap();
        }
        symlink(&victim, &lock).unwrap();
        let output = store(&file, &["save", "b", "/w", "safe"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("refused"), "{}", stderr(&output));
        assert_eq!(victim.exists(), there, "nothing was made behind the link");
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    fs::remove_file(&lock).unwrap();

    // At the last good copy, and at names that a temporary file might take: replaced or passed
    // over, never followed.
    fs::write(&victim, "precious").unwrap();
    for name in ["sessions.json.last", ".sessions.json.tmp", ".sessions.json.tmp.1.1.0"] {
        let link = folder.path().join(name);
        let _ = fs::remove_file(&link);
        symlink(&victim, &link).unwrap();
    }
    for args in [&["save", "b", "/w", "safe"][..], &["backup"], &["delete-all"]] {
        assert!(store(&file, args).status.success());
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn what_was_planted_at_the_log_gets_nothing_and_holds_no_job_up() {
    let server = Server::with_config("");
    let dir = server.path("dir");
    fs::create_dir(&dir).unwrap();
    let (log, victim) = (dir.join("roster.log"), dir.join("victim"));
    let plants: [fn(&Path, &Path); 4] = [
        |victim, log| symlink(victim, log).unwrap(),
        |victim, log| fs::hard_link(victim, log).unwrap(),
        |_, log| assert!(Command::new("mkfifo").arg(log).status().unwrap().success()),
        |_, _| {},
    ];
    for (n, plant) in plants.iter().enumerate() {
        fs::write(&victim, "precious").unwrap();
        plant(&victim, &log);
        // There is no such tmux, which is worth a line.
        let mut job = server.command(ROSTER);
        job.args(["-L", "s", "sync", "--hook", "--tmux", "/nonexistent", "--dir"]).arg(&dir);
        let mut job = job.spawn().unwrap();
        let ended = wait_for(|| job.try_wait().unwrap(), || format!("the end of job {n}"));
        assert!(ended.success());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        if n == 3 {
            assert!(fs::read_to_string(&log).unwrap().contains("could not start tmux"));
        } else {
            fs::remove_file(&log).unwrap();
        }
    }
}

/// Between the moment that it is opened and the one that it is locked, the lock file may go: two
/// would then hold a lock each. The program is stopped right after it has locked.
#[test]
fn a_lock_file_that_is_replaced_meanwhile_is_refused() {
    if !can_trace("a lock file that is replaced meanwhile") {
        return;
    }
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name);
    let (file, lock, trace) = (path("sessions.json"), path("sessions.json.lock"), path("trace"));
    assert!(store(&file, &["save", "a", "/w", "safe"]).status.success());
    let before = fs::read(&file).unwrap();
    let traced = |more: &[&str]| {
        let mut command = Command::new("strace");
        command.arg("-o").arg(&trace).args(["-e", "trace=fcntl"]).args(more);
        // The shell becomes the program, whose process id it tells.
        command.args(["sh", "-c", "echo $$ >\"$0\"; exec \"$@\""]).arg(path("pid")).arg(ROSTER);
        command.args(["store", "--file"]).arg(&file).args(["save", "b", "/w", "safe"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command
    };
    assert!(traced(&[]).status().unwrap().success());
    fs::write(&file, &before).unwrap();
    let text = fs::read_to_string(&trace).unwrap();
    let calls = text.lines().filter(|line| line.starts_with("fcntl("));
    let nth = calls.into_iter().position(|line| line.contains("F_SETLK")).expect("it locks") + 1;
    let plants: [fn(&Path, &Path); 2] =
        [|lock, _| fs::write(lock, "").unwrap(), |lock, aside| symlink(aside, lock).unwrap()];
    for (n, plant) in plants.iter().enumerate() {
        let inject = format!("inject=fcntl:signal=STOP:when={nth}");
        let child = traced(&["-e", &inject]).spawn().unwrap();
        let is_stopped = || fs::read_to_string(&trace).unwrap_or_default().contains("stopped by");
        wait_for(|| is_stopped().then_some(()), || "the stop".into());
        let aside = path(&format!("aside{n}"));
        fs::rename(&lock, &aside).unwrap();
        plant(&lock, &aside);
        let pid = fs::read_to_string(path("pid")).unwrap().trim().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::CONT).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{n}: {}", stderr(&output));
        assert!(stderr(&output).contains("replaced meanwhile"), "{n}: {}", stderr(&output));
        assert_eq!(fs::read(&file).unwrap(), before, "{n}");
        fs::remove_file(&lock).unwrap();
        fs::rename(&aside, &lock).unwrap();
        fs::remove_file(&trace).unwrap();
    }
    assert!(store(&file, &["save", "b", "/w", "safe"]).status.success());
}

/// Starts a program as a user who has nothing; `None` where we may not.
fn as_nobody(program: &Path) -> Option<Command> {
    let setpriv = || {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command
    };
    if let Err((lack, said)) = try_out(setpriv().arg("true")) {
        skip("what another user may", lack, &said);
        return None;
    }
    let mut command = setpriv();
    command.arg(program).env_clear().stdin(Stdio::null());
    Some(command)
}

/// A folder that everybody may enter, with the program in it, since the one under test may stand
/// where another user cannot go.
fn place_for_nobody() -> (Folder, PathBuf) {
    let folder = Folder::new();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("roster");
    copy_program(ROSTER.as_ref(), &program);
    for (name, mode) in [("closed", 0o700), ("nobody", 0o777)] {
        fs::create_dir(folder.path().join(name)).unwrap();
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(folder.path().join(name), permissions).unwrap();
    }
    (folder, program)
}

#[test]
fn a_folder_or_file_of_another_user_is_an_error_and_left_alone() {
    let (folder, program) = place_for_nobody();
    let (closed, open) = (folder.path().join("closed/s.json"), folder.path().join("nobody/s.json"));
    for file in [&closed, &open] {
        assert!(store(file, &["save", "a", "/w", "safe"]).status.success());
        // That it could be read is no reason to take it.
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    }
    for (file, reason) in [(&closed, "Permission denied"), (&open, "another user")] {
        let before =
            (fs::read(file).unwrap(), fs::read_dir(file.parent().unwrap()).unwrap().count());
        for args in [
            &["list"][..],
            &["names"],
            &["save", "b", "/w", "safe"],
            &["delete-all"],
            &["backup"],
            &["migrate"],
        ] {
            let Some(mut command) = as_nobody(&program) else { return };
            let output = command.args(["store", "--file"]).arg(file).args(args).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{args:?}");
            let said = stderr(&output);
            assert!(said.starts_with("roster: ") && said.contains(reason), "{args:?}: {said}");
            assert!(output.stdout.is_empty());
        }
        let after =
            (fs::read(file).unwrap(), fs::read_dir(file.parent().unwrap()).unwrap().count());
        assert_eq!(after, before);
    }
    // A hook's job can do nothing there, and says nothing.
    let dir = closed.parent().unwrap();
    let mut job = as_nobody(&program).unwrap();
    job.args(["-S", "/nonexistent", "sync", "--hook", "--tmux", "/nonexistent", "--dir"]).arg(dir);
    let output = job.output().unwrap();
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty());
    assert_eq!(fs::read_dir(dir).unwrap().count(), 3, "registry, lock and last good copy");
}

#[test]
fn another_users_server_is_an_error_and_no_server_without_sessions() {
    let (folder, program) = place_for_nobody();
    let Some(_) = as_nobody(&program) else { return };
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let socket = server.path(&format!("tmp/tmux-{}/s", rustix::process::getuid().as_raw()));
    let home = folder.path().join("nobody");
    let ask = |args: &[&str]| {
        let mut command = as_nobody(&program).unwrap();
        command.env("HOME", &home).env("PATH", "/usr/bin:/bin").arg("-S").arg(&socket);
        let tmux = tmux_program();
        // The very program of that server: another would prove nothing about permissions.
        command.env("ROSTER_SOCKET", &socket).env("ROSTER_TMUX", tmux);
        command.env("ROSTER_DIR", home.join("dir")).args(args).output().unwrap()
    };
    let verbs: [&[&str]; 5] =
        [&["list"], &["sync"], &["kill", "one"], &["new", "-d", "x"], &["mode", "one", "m"]];
    let check = |reason: &str| {
        for args in verbs {
            let output = ask(args);
            let said = stderr(&output);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
            assert!(said.contains(reason), "{args:?}: {said}");
            assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
            assert!(!home.join("dir/sessions.json").exists(), "{args:?}");
        }
    };
    check("Permission denied");
    // Somebody opens all doors to it.
    let doors = || socket.ancestors().take_while(|path| path.starts_with(server.folder.path()));
    let open = |mode| {
        for door in doors() {
            fs::set_permissions(door, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    open(0o777);
    check("belongs to another user");
    // tmux uses no folder that others may enter.
    open(0o700);
    assert_eq!(server.tmux(&["list-sessions", "-F", "#{session_name}"]), "one");
}

/// What another user's server says would be run by us: scripts for events, the program that
/// doctor asks for its version, the tmux program that the server itself runs, and the folder.
#[test]
fn another_users_server_chooses_nothing_that_we_run_or_write() {
    let (folder, _) = place_for_nobody();
    let theirs = folder.path().join("nobody");
    let canary = theirs.join("canary");
    let script = theirs.join("script");
    write_program(&script, &format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", canary.display()));
    // The server runs a tmux that is not to be run by us either.
    let program = theirs.join("their-tmux");
    copy_program(&tmux_program(), &program);
    let config = format!(
        "set -g @roster-on-created '{0}'\nset -g @roster_run '{0} x'\nset -g @roster_dir '{1}'\n",
        script.display(),
        theirs.join("dir").display()
    );
    fs::write(theirs.join("conf"), config).unwrap();
    // In the folder of sockets that would be ours, and with a socket that is named.
    let squatted = theirs.join(tmux_roster::tmux::socket_folder_name());
    for socket in [squatted.join("s"), theirs.join("socket")] {
        let Some(mut make) = as_nobody(Path::new("/bin/mkdir")) else { return };
        make.arg("-p").arg(socket.parent().unwrap()).status().unwrap();
        let tmux = |args: &[&str]| {
            let mut tmux = as_nobody(&program).unwrap();
            tmux.arg("-S").arg(&socket).arg("-f").arg(theirs.join("conf")).args(args);
            tmux.env("SHELL", "/bin/sh").env("HOME", &theirs).status().unwrap()
        };
        assert!(tmux(&["new-session", "-d", "-s", "one"]).success());
        let ask = |args: &[&str]| {
            let mut roster = Command::new(ROSTER);
            roster.env_clear().env("HOME", folder.path().join("closed"));
            roster.env("PATH", "/usr/bin:/bin").env("TMUX_TMPDIR", &theirs);
            if socket.starts_with(&squatted) {
                roster.args(["-L", "s"]);
            } else {
                roster.arg("-S").arg(&socket);
            }
            roster.args(args).output().unwrap()
        };
        let verbs: [&[&str]; 7] = [
            &["list"],
            &["sync"],
            &["new", "-d", "x"],
            &["kill", "one"],
            &["health", "--all"],
            &["restore", "--all"],
            &["load"],
        ];
        for args in verbs {
            let output = ask(args);
            assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
            let said = stderr(&output);
            assert!(said.contains("belongs to another user"), "{args:?}: {said}");
        }
        let doctor = ask(&["doctor", "--fix"]);
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert_eq!(doctor.status.code(), Some(1), "{said}");
        assert!(said.contains("belongs to another user"), "{said}");
        assert!(!said.contains(&program.display().to_string()), "{said}");
        let offered = Command::new(ROSTER)
            .env_clear()
            .args(["complete", "zsh", "-S"])
            .arg(&socket)
            .args(["go", ""])
            .output()
            .unwrap();
        assert!(offered.status.success(), "{offered:?}");
        // Nor is a server of our own started in a folder that another user made for it.
        if socket.starts_with(&squatted) {
            assert!(tmux(&["kill-server"]).success());
            let output = ask(&["new", "-d", "x"]);
            assert!(stderr(&output).contains("belongs to another user"), "{output:?}");
        }
        tmux(&["kill-server"]);
        assert!(!canary.exists(), "{}", fs::read_to_string(&canary).unwrap());
        assert!(!theirs.join("dir").exists());
    }
}

#[test]
fn a_link_of_our_own_is_followed_and_another_users_is_not() {
    let folder = Folder::new();
    let (file, target) = (folder.path().join("sessions.json"), folder.path().join("dotfiles"));
    symlink(&target, &file).unwrap();
    assert!(store(&file, &["save", "a", "/w", "safe"]).status.success());
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink() && target.is_file());
    let before = fs::read(&target).unwrap();
    let chown = Command::new("chown").args(["-h", "12345"]).arg(&file).output();
    if !chown.is_ok_and(|output| output.status.success()) {
        skip("another user's link", Lack::Permission, "only root can make one");
        return;
    }
    for args in [&["save", "b", "/w", "safe"][..], &["list"], &["names"], &["backup"]] {
        let output = store(&file, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("another user"), "{args:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read(&target).unwrap(), before);
    // Nor are records taken out of a file of ours that their link names as the last good copy.
    let last = folder.path().join("sessions.json.last");
    fs::remove_file(&file).unwrap();
    fs::remove_file(&last).unwrap();
    fs::write(&file, "damaged").unwrap();
    symlink(&target, &last).unwrap();
    assert!(Command::new("chown").args(["-h", "12345"]).arg(&last).status().unwrap().success());
    assert!(store(&file, &["save", "b", "/w", "safe"]).status.success());
    let names = store(&file, &["names"]).stdout;
    assert_eq!(String::from_utf8_lossy(&names), "[\"b\"]\n");
}

#[test]
fn another_users_registry_is_refused() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    assert!(store(&file, &["save", "a", "/w", "safe"]).status.success());
    let chown = |path: &Path| {
        let chown = Command::new("chown").arg("12345").arg(path).output();
        chown.is_ok_and(|output| output.status.success())
            && fs::metadata(path).is_ok_and(|found| found.uid() == 12345)
    };
    if !chown(&file) {
        skip("another user's registry", Lack::Permission, "only root can make one");
        return;
    }
    let before = fs::read(&file).unwrap();
    for args in [&["save", "b", "/w", "safe"][..], &["list"], &["delete-all"], &["migrate"]] {
        let output = store(&file, args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(stderr(&output).contains("another user"), "{}", stderr(&output));
    }
    assert_eq!(fs::read(&file).unwrap(), before);
    // Nor is another's lock taken.
    fs::remove_file(&file).unwrap();
    assert!(chown(&folder.path().join("sessions.json.lock")));
    let output = store(&file, &["save", "b", "/w", "safe"]);
    assert!(stderr(&output).contains("another user"), "{}", stderr(&output));
    assert!(!file.exists());
}

/// Gives what stands at a path, not what a link there leads to, to another user.
fn give_away(path: &Path) -> bool {
    let given = lchown(path, Some(12345), None).is_ok();
    if !given {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let what = format!("another user's {name}");
        skip(&what, Lack::Permission, "only root can make one");
    }
    given
}

/// A server with one session whose folder others can write, and a file of ours that they would
/// have us harm.
fn in_an_open_folder() -> (Server, PathBuf, PathBuf) {
    let server = Server::with_config("");
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.roster(&["sync"]);
    let dir = server.registry_path().parent().unwrap().to_owned();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let victim = server.path("victim");
    fs::write(&victim, "precious").unwrap();
    // As private as our own files, so that it might pass for one.
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    (server, dir, victim)
}

/// A change in tmux, then a hook's job, which says nothing and ends well.
fn run_job(server: &Server, mode: &str) {
    server.tmux(&["set-option", "-t", &server.id("one"), "@roster_mode", mode]);
    let job = hook_job(server, &tmux_program()).output().unwrap();
    assert!(job.status.success() && job.stdout.is_empty() && job.stderr.is_empty(), "{job:?}");
}

/// Each plant is all that our own copy is but for one thing, so that this alone must give it away.
/// What is written to is no longer what stands there under that name.
#[test]
fn what_is_not_ours_alone_is_replaced_by_the_last_good_copy_and_never_written_to() {
    let folder = Folder::new();
    let file = folder.path().join("sessions.json");
    let (last, victim) = (folder.path().join("sessions.json.last"), folder.path().join("victim"));
    let chmod = |mode| fs::set_permissions(&victim, fs::Permissions::from_mode(mode)).unwrap();
    for plant in ["a second name", "readable to all", "another's"] {
        let _ = fs::remove_file(&last);
        let _ = fs::remove_file(&victim);
        fs::write(&victim, "precious").unwrap();
        chmod(0o600);
        // Who had it open before reads in it what is written later.
        let mut opened = fs::File::open(&victim).unwrap();
        match plant {
            "a second name" => fs::hard_link(&victim, &last).unwrap(),
            "readable to all" => {
                chmod(0o644);
                fs::rename(&victim, &last).unwrap();
            }
            _ => {
                fs::rename(&victim, &last).unwrap();
                if !give_away(&last) {
                    break;
                }
            }
        }
        assert!(store(&file, &["save", "a", "/w", "safe"]).status.success(), "{plant}");
        let mut text = String::new();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, "precious", "{plant}");
        assert_eq!(fs::read(&last).unwrap(), fs::read(&file).unwrap(), "{plant}");
        let found = fs::symlink_metadata(&last).unwrap();
        assert_eq!((mode(&last), found.nlink()), (0o600, 1), "{plant}");
        assert_eq!(found.uid(), rustix::process::geteuid().as_raw(), "{plant}");
    }
    // One of our own is written in place: a rename over it would make some disks wait.
    let inode = || fs::symlink_metadata(&last).unwrap().ino();
    let before = inode();
    assert!(store(&file, &["save", "b", "/w", "safe"]).status.success());
    assert_eq!(inode(), before);
}

#[test]
fn a_link_at_the_lock_of_a_server_is_refused() {
    let (server, dir, victim) = in_an_open_folder();
    let lock = dir.join("sessions.json.lock");
    let before = fs::read(server.registry_path()).unwrap();
    for there in [true, false] {
        let _ = fs::remove_file(&lock);
        if !there {
            fs::remove_file(&victim).unwrap();
        }
        symlink(&victim, &lock).unwrap();
        run_job(&server, "yolo");
        for args in [&["sync"][..], &["list"], &["mode", "one", "x"], &["new", "-d", "x"]] {
            let output = server.try_roster(args);
            assert_eq!(output.status.code(), Some(1), "{args:?}");
            assert!(stderr(&output).contains("refused"), "{args:?}: {}", stderr(&output));
        }
        let told = server.try_roster(&["doctor"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert_eq!(told.status.code(), Some(1), "{text}");
        assert!(text.contains("refused") && text.contains("0777, not 0700"), "{text}");
        assert_eq!(fs::read(server.registry_path()).unwrap(), before);
        assert_eq!(fs::read(&victim).ok(), there.then(|| b"precious".to_vec()));
    }
    fs::remove_file(&lock).unwrap();
    assert!(server.roster(&["doctor", "--fix"]).contains("all is well"));
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(server.field("one", "mode"), "yolo");
}

#[test]
fn a_second_name_of_our_file_at_the_lock_does_it_no_harm() {
    let (server, dir, victim) = in_an_open_folder();
    let lock = dir.join("sessions.json.lock");
    fs::remove_file(&lock).unwrap();
    fs::hard_link(&victim, &lock).unwrap();
    run_job(&server, "yolo");
    for args in [&["sync"][..], &["list"], &["doctor"]] {
        server.try_roster(args);
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn links_planted_among_a_servers_files_reach_nothing() {
    let names = [
        "closed.json",
        "server.json",
        "sessions.json.last",
        ".closed.json.tmp.1.1.0",
        ".server.json.tmp.1.1.0",
        ".sessions.json.tmp.1.1.0",
    ];
    for (there, is_theirs) in [(true, true), (false, true), (true, false)] {
        let (server, dir, victim) = in_an_open_folder();
        let uuid = server.uuid("one");
        server.tmux(&["new-session", "-d", "-s", "two"]);
        server.roster(&["kill", "two"]);
        if !there {
            fs::remove_file(&victim).unwrap();
        }
        for name in names {
            // A list of closed sessions that we link elsewhere ourselves may be meant to be there.
            if name == "closed.json" && !is_theirs {
                continue;
            }
            let link = dir.join(name);
            let _ = fs::remove_file(&link);
            symlink(&victim, &link).unwrap();
            if is_theirs && !give_away(&link) {
                return;
            }
        }
        run_job(&server, "yolo");
        for args in [&["sync"][..], &["list"], &["doctor"], &["mode", "one", "x"], &["backup"]] {
            server.try_roster(args);
        }
        server.try_roster(&["kill", "one"]);
        assert_eq!(fs::read(&victim).ok(), there.then(|| b"precious".to_vec()), "{is_theirs}");
        let closed = fs::read_to_string(dir.join("closed.json")).unwrap_or_default();
        let registry = fs::read_to_string(server.registry_path()).unwrap();
        assert!(closed.contains(&uuid) || registry.contains(&uuid), "{closed} {registry}");
    }
}

#[test]
fn another_users_copies_are_taken_for_nothing() {
    for damaged in [false, true] {
        let (server, dir, _) = in_an_open_folder();
        let uuid = server.uuid("one");
        let registry = fs::read_to_string(server.registry_path()).unwrap();
        let theirs = registry.replace("\"one\"", "\"evil\"").replace(&uuid[..8], "deadbeef");
        let copies = ["sessions.json.last", "sessions.json.bak.9000000000000000000"];
        for copy in copies.map(|name| dir.join(name)) {
            let _ = fs::remove_file(&copy);
            fs::write(&copy, &theirs).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
            if !give_away(&copy) {
                return;
            }
        }
        match damaged {
            true => fs::write(server.registry_path(), "damaged").unwrap(),
            false => fs::remove_file(server.registry_path()).unwrap(),
        }
        let output = server.try_roster(&["list"]);
        assert!(!String::from_utf8_lossy(&output.stdout).contains("evil"), "{output:?}");
        assert!(!String::from_utf8_lossy(&server.try_roster(&["doctor"]).stdout).contains("evil"));
        run_job(&server, "yolo");
        server.roster(&["sync"]);
        assert_eq!(server.names(), ["one"]);
        assert_eq!(server.uuid("one"), uuid);
        let refused = server.try_roster(&["recover"]);
        assert!(stderr(&refused).contains("another user"), "{}", stderr(&refused));
        assert_eq!(server.names(), ["one"]);
    }
}

#[test]
fn another_users_files_of_a_server_are_refused() {
    for name in ["sessions.json", "closed.json", "server.json", "sessions.json.lock"] {
        let (server, dir, _) = in_an_open_folder();
        let file = dir.join(name);
        if !file.exists() {
            fs::write(&file, "{\"version\":1,\"closed\":[]}").unwrap();
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        if !give_away(&file) {
            return;
        }
        let before = fs::read(server.registry_path()).unwrap();
        let bytes = fs::read(&file).unwrap();
        run_job(&server, "yolo");
        for args in [&["sync"][..], &["list"], &["mode", "one", "x"], &["kill", "one"]] {
            let output = server.try_roster(args);
            assert_eq!(output.status.code(), Some(1), "{name}, {args:?}");
            assert!(stderr(&output).contains("another user"), "{args:?}: {}", stderr(&output));
        }
        let told = String::from_utf8_lossy(&server.try_roster(&["doctor"]).stdout).into_owned();
        assert!(told.contains("belongs to user 12345"), "{told}");
        assert_eq!(fs::read(server.registry_path()).unwrap(), before, "{name}");
        assert_eq!(fs::read(&file).unwrap(), bytes, "{name}");
    }
}
