//! The `roster` program: parse, run, print, exit code.

mod cli;
mod commands;

use std::ffi::OsString;
use std::process::ExitCode;

use tmux_roster::restore::START_IN;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    // A directory may be any bytes.
    if args.get(1).is_some_and(|verb| verb == START_IN) {
        return commands::start_in(&args[2..]);
    }
    let args: Vec<String> = match args.into_iter().map(OsString::into_string).collect() {
        Ok(args) => args,
        Err(arg) => return fail(2, &format!("{} is not UTF-8", arg.to_string_lossy())),
    };
    match commands::run(&args) {
        Ok(code) => code,
        Err(commands::Failure::Usage(message)) => fail(2, &message),
        Err(commands::Failure::Error(error)) => fail(1, &error.to_string()),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    commands::warn(message);
    ExitCode::from(code)
}
