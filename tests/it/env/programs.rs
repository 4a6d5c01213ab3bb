//! The programs under test, stubs in the place of others, and what they say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tmux_roster::tmux::Version;

/// The program under test.
pub const ROSTER: &str = env!("CARGO_BIN_EXE_roster");

/// The tmux under test.
pub fn tmux_program() -> PathBuf {
    let named = std::env::var_os("TEST_TMUX").filter(|path| !path.is_empty()).map(PathBuf::from);
    named.unwrap_or_else(|| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|dir| dir.join("tmux")).find(|p| p.is_file());
        found.expect("tmux is needed: install it, or set TEST_TMUX")
    })
}

/// Its version as (major, minor); a build from the head of development counts as the newest.
pub fn tmux_version() -> (u32, u32) {
    let version = version();
    (version.major, version.minor)
}

/// The same as the program has it.
pub fn version() -> Version {
    let printed = Command::new(tmux_program()).arg("-V").output().expect("tmux -V runs");
    let text = String::from_utf8_lossy(&printed.stdout).into_owned();
    Version::parse(&text)
}

/// Copies a program that is then run. By a process of its own: a child that another test forks at
/// that moment would have the new file open for writing, and nobody could run it.
pub fn copy_program(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-p", "--"]).arg(from).arg(to).status().expect("cp runs");
    assert!(copied.success(), "{} is copied", from.display());
}

/// Writes a script that is then run: in the same way, and for the same reason.
pub fn write_program(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder of the test");
    let beside = path.with_extension("text");
    fs::write(&beside, text).expect("a script");
    fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).expect("mode 0755");
    copy_program(&beside, path);
    fs::remove_file(&beside).expect("a script");
}

/// The same for the body of a shell script.
pub fn script(path: &Path, body: &str) {
    write_program(path, &format!("#!/bin/sh\n{body}\n"));
}

/// `roster store` on a registry file.
pub fn store(file: &Path, args: &[&str]) -> Output {
    Command::new(ROSTER).args(["store", "--file"]).arg(file).args(args).output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
