//! The `roster` program: parse, run, print, exit code.

mod cli;
mod commands;

use std::ffi::OsString;
use std::process::ExitCode;

use tmux_roster::restore::{RUN_IN_PANE, START_IN};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // A directory, or the words of a program, may be any bytes.
    match args.get(1) {
        Some(verb) if verb == START_IN => return commands::start_in(&args[2..]),
        Some(verb) if verb == RUN_IN_PANE => return commands::run_in_pane(&args[2..]),
        _ => {}
    }
    let args: Vec<String> = match args.into_iter().map(OsString::into_string).collect() {
        Ok(args) => args,
        Err(arg) => return fail(2, &format!("{} is not UTF-8", arg.to_string_lossy())),
    };
    match commands::run(&args) {
        Ok(code) => code,
        Err(failure) => fail(if failure.is_usage() { 2 } else { 1 }, failure.text()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    commands::warn(message);
    ExitCode::from(code)
}
