//! Links the release binary statically where that works: on Linux with glibc, half of what
//! a hook costs of our own is the dynamic loader (1.0 ms against 0.6 ms for the start alone).
//!
//! cargo has no setting for this that leaves proc macros alone, so the linker gets a folder
//! that holds only static libraries, ahead of the system's. Where a trial link fails (no
//! libc.a, another target), nothing is changed and the binary is dynamic.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

const LIBRARIES: [&str; 6] =
    ["libc.a", "libm.a", "libpthread.a", "libdl.a", "librt.a", "libutil.a"];

/// Relocations that take 1 KB instead of 57, where linker and libc know them (binutils 2.38,
/// glibc 2.36).
const PACKED: &str = "-Wl,-z,pack-relative-relocs";

fn main() {
    println!("cargo:rerun-if-changed=scripts/build.rs");
    println!("cargo:rerun-if-env-changed=ROSTER_LINK");
    let var = |name: &str| env::var(name).unwrap_or_default();
    let wanted = var("PROFILE") == "release"
        && var("CARGO_CFG_TARGET_OS") == "linux"
        && var("CARGO_CFG_TARGET_ENV") == "gnu"
        && var("HOST") == var("TARGET")
        && !var("CARGO_CFG_TARGET_FEATURE").contains("crt-static")
        // A sanitizer (tests/fuzz) puts itself between a program and the shared library.
        && !var("CARGO_ENCODED_RUSTFLAGS").contains("sanitizer")
        && var("ROSTER_LINK") != "dynamic";
    let folder = PathBuf::from(var("OUT_DIR")).join("static");
    if wanted && collect(&folder).is_ok() && links(&folder, &[]) {
        println!("cargo:rustc-link-arg-bins=-L{}", folder.display());
        println!("cargo:rustc-link-arg-bins=-static-pie");
        if links(&folder, &[PACKED]) {
            println!("cargo:rustc-link-arg-bins={PACKED}");
        }
    }
}

/// Fills `folder` with links to the system's static libraries, and with a `libgcc_s.a` that
/// stands for the static unwinder.
fn collect(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for library in LIBRARIES {
        let asked = Command::new("cc").arg(format!("-print-file-name={library}")).output()?;
        let path = String::from_utf8_lossy(&asked.stdout).trim().to_owned();
        let link = folder.join(library);
        let _ = fs::remove_file(&link);
        if path.starts_with('/') {
            symlink(&path, &link)?;
        }
    }
    fs::write(folder.join("libgcc_s.a"), "INPUT(-lgcc_eh)\n")
}

#[cfg(unix)]
fn symlink(from: &str, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn symlink(_: &str, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether a program linked that way runs.
fn links(folder: &Path, more: &[&str]) -> bool {
    let (source, program) = (folder.join("trial.c"), folder.join("trial"));
    let built = fs::write(&source, "int main(void) { return 0; }\n").is_ok()
        && Command::new("cc")
            .arg("-static-pie")
            .arg("-L")
            .arg(folder)
            .arg(&source)
            .arg("-o")
            .arg(&program)
            .args(["-Wl,-Bdynamic", "-lgcc_s", "-lc"])
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
    built && Command::new(&program).status().is_ok_and(|status| status.success())
}
