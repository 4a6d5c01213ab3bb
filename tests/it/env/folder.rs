//! A folder for each test.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of its own, removed afterwards: in the one of the run (`scripts/test` sets TMPDIR).
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        // Paths of sockets must be short, and macOS's folder for temporary files is not.
        let named = std::env::temp_dir();
        let is_short = named.as_os_str().len() <= "/tmp/rt.1234567.12".len();
        let base = if is_short { named } else { PathBuf::from("/tmp") };
        let path = base.join(format!("rt{}.{count}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).expect("a folder of the test");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("mode 0700");
        Folder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The command lines of the processes that know of the folder: by them or, where ps shows it
    /// (on Linux), by their environment.
    pub fn processes(&self) -> io::Result<Vec<String>> {
        let folder = self.0.display().to_string();
        let printed = Command::new("ps").args(["axeww", "-o", "args="]).output()?;
        let text = String::from_utf8_lossy(&printed.stdout).into_owned();
        // Not rt1.10 for rt1.1.
        let knows_it = |line: &&str| {
            let mut rest = line.split(&folder).skip(1);
            rest.any(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Ok(text.lines().filter(knows_it).map(str::to_owned).collect())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed test leaves tells about it.
        if !std::thread::panicking() {
            let removed = fs::remove_dir_all(&self.0);
            assert!(!self.0.exists(), "{} is left: {removed:?}", self.0.display());
        }
    }
}
