//! Copies of the plugin, as a clone has it.

use std::path::Path;

use super::{ROSTER, Server, copy_program, write_program};

pub const PLUGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux");

/// What plugin.tmux needs beside it.
const FILES: [&str; 6] = [
    "plugin.tmux",
    "Cargo.toml",
    "scripts/common.sh",
    "scripts/install",
    "scripts/uninstall",
    "scripts/sums",
];

/// Copies the plugin without a program, as a clone has it.
pub fn copy_plugin(folder: &Path) {
    std::fs::create_dir_all(folder.join("scripts")).unwrap();
    for file in FILES {
        copy_program(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &folder.join(file));
    }
}

/// A server that loads a copy of the plugin in `folder`, which has no program.
pub fn with_copy(folder: &str, config: &str) -> Server {
    let server = Server::with_config("");
    let folder = server.path(folder);
    copy_plugin(&folder);
    // TPM runs every *.tmux file of the folder, and throws away what it prints.
    let quoted = folder.display().to_string().replace('\'', "'\\''");
    let tpm = server.path("tpm");
    write_program(&tpm, &format!("#!/bin/sh\n'{quoted}/plugin.tmux' >/dev/null 2>&1\n"));
    server.write_config(&format!("{config}\nrun-shell '{}'\n", tpm.display()));
    server
}

/// Puts the program where scripts/build would.
pub fn build_in(folder: &Path) {
    let target = folder.join("target/release");
    std::fs::create_dir_all(&target).unwrap();
    copy_program(ROSTER.as_ref(), &target.join("roster"));
}
