//! Measures the program beside what it is to be compared with, in one run: whole processes,
//! medians of at least 30, ratios. Writes the table; see scripts/bench.
//!
//! Nothing here decides a test. What is stable from run to run (system calls, instructions) is
//! held by `--budget` against tests/bench/budget.json.

mod budget;
mod place;
mod rows;
mod windows;

use std::path::PathBuf;
use std::process::ExitCode;

/// What is measured, and with what.
pub struct Subject {
    /// The program.
    pub roster: PathBuf,
    /// The program as a release has it (scripts/program), whose size is told too, if it is given.
    pub released: Option<PathBuf>,
    /// The tmux that it speaks to.
    pub tmux: PathBuf,
    /// A whole checkout of tmux-resurrect to set beside it, if one is given.
    pub resurrect: Option<PathBuf>,
    /// What the titles of the sections that are wanted contain.
    pub only: String,
    /// How many runs a median is taken of.
    pub runs: usize,
}

fn main() -> ExitCode {
    let (mut args, mut wanted) = (std::env::args().skip(1), Wanted::Table);
    let mut subject = Subject {
        roster: PathBuf::from("target/release/roster"),
        released: None,
        tmux: place::on_path("tmux").unwrap_or_default(),
        resurrect: None,
        only: String::new(),
        runs: 31,
    };
    while let Some(arg) = args.next() {
        let mut value = || args.next().expect("a value behind the option");
        match arg.as_str() {
            "--roster" => subject.roster = value().into(),
            "--released" => subject.released = Some(value().into()),
            "--tmux" => subject.tmux = value().into(),
            "--resurrect" => subject.resurrect = Some(value().into()),
            "--only" => subject.only = value(),
            "--runs" => subject.runs = value().parse().expect("a number"),
            "--budget" => wanted = Wanted::Check,
            "--set-budget" => wanted = Wanted::Set,
            _ => {
                eprintln!("bench: what is {arg}?");
                return ExitCode::from(2);
            }
        }
    }
    subject.roster = subject.roster.canonicalize().expect("the program is built");
    // As the plugin finds it, links followed.
    subject.tmux = subject.tmux.canonicalize().expect("tmux: install it, or name it with --tmux");
    match wanted {
        Wanted::Table => {
            print!("{}", rows::table(&subject));
            ExitCode::SUCCESS
        }
        Wanted::Check => budget::check(&subject),
        Wanted::Set => budget::set(&subject),
    }
}

enum Wanted {
    Table,
    Check,
    Set,
}
