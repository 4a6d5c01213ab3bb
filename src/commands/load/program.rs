//! Where running servers find the program: a link that outlives upgrades.

use std::fs;
use std::io::{self};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

use tmux_roster::config::Environment;
use tmux_roster::files;

use crate::commands::context::Failure;

/// What is left when TPM has removed the plugin folder, and scripts/uninstall with it.
const SCRIPTS: [(&str, &str); 2] = [
    ("uninstall", include_str!("../../../scripts/uninstall")),
    ("common.sh", include_str!("../../../scripts/common.sh")),
];

/// The path that a server is told: a link in the data folder, which now leads to the program
/// that runs. Servers that were told of it before follow. It is the program's own path where the
/// user named one by `@roster-binary`, and where the data folder cannot be written.
pub fn lasting(environment: &Environment, is_chosen: bool) -> Result<PathBuf, Failure> {
    let own = fs::canonicalize(std::env::current_exe()?)?;
    let data = environment.data_dir();
    let link = data.as_ref().filter(|_| !is_chosen).and_then(|dir| point(dir, &own).ok());
    if link.is_none() {
        data.and_then(|dir| keep(&dir, &own).ok());
    }
    Ok(link.unwrap_or(own))
}

/// Marks a program that scripts/install put into `dir`, and that a server calls by its own path:
/// then scripts/install does not remove it when it has become old.
fn keep(dir: &Path, program: &Path) -> io::Result<()> {
    match program.parent() {
        Some(version) if version.parent() == Some(&fs::canonicalize(dir)?) => {
            fs::write(version.join("kept"), "")
        }
        _ => Ok(()),
    }
}

/// Makes the link in `dir` lead to `program`, and returns its path.
fn point(dir: &Path, program: &Path) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let link = dir.join("roster");
    if fs::read_link(&link).is_ok_and(|target| target == program) {
        return Ok(link);
    }
    let scripts = dir.join("scripts");
    files::make_folder(&scripts)?;
    for (name, text) in SCRIPTS {
        replace(&scripts.join(name), |new| {
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(new)?;
            io::Write::write_all(&mut file, text.as_bytes())
        })?;
    }
    replace(&link, |new| symlink(program, new))?;
    Ok(link)
}

/// Has something made beside `path` and renames it into place, so that whoever opens `path`
/// meets the old or the new.
fn replace(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let new = files::with_suffix(path, &format!(".{}", std::process::id()));
    let _ = fs::remove_file(&new);
    make(&new).and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}
