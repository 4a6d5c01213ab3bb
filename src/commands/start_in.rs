//! Starts a pane's first program in a directory that tmux was told of and did not go to.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::in_pane::shell;
use super::output::warn;

/// Becomes a program as tmux starts it: the words of one; else what a shell is to run; else a login
/// shell. The arguments are the directory, what the shell is to run, and the words.
pub fn start_in(args: &[OsString]) -> ExitCode {
    let [directory, shell_command, words @ ..] = args else { return ExitCode::from(2) };
    let home = env::var_os("HOME").unwrap_or_default();
    // As tmux does where it cannot enter one.
    let entered = [directory, &home, OsStr::new("/")].into_iter().find(|path| {
        let path = Path::new(path);
        path.is_absolute() && env::set_current_dir(path).is_ok()
    });
    let mut command = match words {
        [program, words @ ..] => {
            let mut command = Command::new(program);
            command.args(words);
            command
        }
        [] => shell(Some(shell_command.as_os_str()).filter(|command| !command.is_empty())),
    };
    // By the path as it is recorded, which may lead through links.
    command.envs(entered.map(|path| ("PWD", path)));
    let error = command.exec();
    let program = command.get_program().to_string_lossy();
    warn(&format!("could not start {program}: {error}"));
    ExitCode::from(127)
}
