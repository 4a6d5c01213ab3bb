//! The promises of SECURITY.md about files: who may read them, and what is refused.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::env::{Folder, ROSTER, Server};

fn store(file: &Path, args: &[&str]) -> Output {
    Command::new(ROSTER).args(["store", "--file"]).arg(file).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

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
fn a_link_of_our_own_is_followed_and_another_users_is_not() {
    let folder = Folder::new();
    let (file, target) = (folder.path().join("sessions.json"), folder.path().join("dotfiles"));
    symlink(&target, &file).unwrap();
    assert!(store(&file, &["save", "a", "/w", "safe"]).status.success());
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink() && target.is_file());
    let before = fs::read(&target).unwrap();
    let chown = Command::new("chown").args(["-h", "12345"]).arg(&file).output();
    if !chown.is_ok_and(|output| output.status.success()) {
        eprintln!("another user's link: skipped, only root can make one");
        return;
    }
    let output = store(&file, &["save", "b", "/w", "safe"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("another user"), "{}", stderr(&output));
    assert_eq!(fs::read(&target).unwrap(), before);
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
        eprintln!("another user's registry: skipped, only root can make one");
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
