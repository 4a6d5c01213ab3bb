//! `roster doctor`: looks at everything that has to work and tells what does not, with its
//! remedy. Changes nothing but with `--fix`, waits for nothing without a limit.

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::config::{Place, Settings};
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::tmux::Version;

use crate::cli;
use crate::commands::called::{as_typed, missing_link};
use crate::commands::context::{Context, Outcome};
use crate::commands::doctor::files::{
    check_disk, check_fzf, check_install, check_lock, check_log, check_parent, check_permissions,
    check_registry, check_times,
};
use crate::commands::doctor::repair::mend;
use crate::commands::doctor::scratch::check_scratch;
use crate::commands::doctor::server::{
    check_directory, check_folder, check_hooks, check_hosts, check_keys, check_options,
    check_plugin, check_program, check_server, check_socket, check_status,
};
use crate::commands::doctor::windows::check_windows;
use crate::commands::output::{count, cut_inside, json, print, terminal_columns, visible};

pub mod files;
pub mod options;
pub mod repair;
pub mod scratch;
pub mod server;
pub mod windows;

/// What stands before the lines under a finding.
const MARGIN: usize = 21;

pub const FIX: &str = "roster doctor --fix";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    Note,
    Problem,
}

#[derive(Debug, Serialize)]
pub struct Finding {
    check: &'static str,
    level: Level,
    found: String,
    remedy: String,
    /// One line each, the newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    lines: Vec<String>,
}

/// What `--fix` does about a finding.
#[derive(Debug, PartialEq)]
pub enum Repair {
    /// Takes a file's or folder's permissions back to its owner.
    Private(PathBuf, u32),
    /// Tells tmux what it lacks: what that is, and the commands.
    Tell(String, Vec<Vec<u8>>),
    /// Loads the plugin again: program, version, hooks, keys.
    Load,
    /// Brings registry and tmux into step, which also mends a damaged file.
    Sync,
    /// Looks at the windows of the server as the job of a hook does.
    Look,
    /// Keeps a damaged record of windows aside where no server is left to be looked at.
    Windows,
    /// Has a server that runs without its socket make it again.
    Socket,
}

#[derive(Debug, Default)]
pub struct Examination {
    findings: Vec<Finding>,
    repairs: Vec<Repair>,
    place: Option<Place>,
    /// The server that was looked at.
    server: Option<ServerId>,
    /// Whether its jobs have their mark in an option.
    old_mark: bool,
}

impl Examination {
    fn add(&mut self, check: &'static str, level: Level, found: &str, remedy: &str) {
        let told = |text: &str| as_typed(&visible(text)).into_owned();
        let (found, remedy) = (told(found), told(remedy));
        self.findings.push(Finding { check, level, found, remedy, lines: Vec::new() });
    }

    fn ok(&mut self, check: &'static str, found: &str) {
        self.add(check, Level::Ok, found, "");
    }

    fn note(&mut self, check: &'static str, found: &str, remedy: &str) {
        self.add(check, Level::Note, found, remedy);
    }

    fn problem(&mut self, check: &'static str, found: &str, remedy: &str) {
        self.add(check, Level::Problem, found, remedy);
    }

    fn mendable(&mut self, check: &'static str, found: &str, repair: Repair) {
        self.add(check, Level::Problem, found, FIX);
        self.repair(repair);
    }

    fn repair(&mut self, repair: Repair) {
        if !self.repairs.contains(&repair) {
            self.repairs.push(repair);
        }
    }
}

pub fn doctor(context: &Context, args: &cli::Doctor) -> Outcome {
    let mut examined = examine(context);
    let (mut findings, mut tried) = (Vec::new(), Vec::new());
    // What is mended may have hidden something else.
    for _ in 0..2 {
        examined.repairs.retain(|repair| !tried.contains(repair));
        if !args.fix || examined.repairs.is_empty() {
            break;
        }
        findings.append(&mut mend(&examined));
        tried.append(&mut examined.repairs);
        examined = examine(context);
    }
    findings.append(&mut examined.findings);
    if args.json {
        json(&findings)?;
    } else {
        print(&text(&findings, terminal_columns()))?;
    }
    let wrong = findings.iter().any(|finding| finding.level == Level::Problem);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn text(findings: &[Finding], columns: Option<usize>) -> String {
    let mut text = String::new();
    let room = columns.unwrap_or(100).saturating_sub(MARGIN + 1).max(20);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Problem => "PROBLEM",
        };
        text.push_str(&format!("{level:<8} {:<12} {}\n", finding.check, finding.found));
        for line in &finding.lines {
            text.push_str(&format!("{:MARGIN$} {}\n", "", cut_inside(line, room)));
        }
        if !finding.remedy.is_empty() {
            text.push_str(&format!("{:MARGIN$} -> {}\n", "", finding.remedy));
        }
    }
    let problems = findings.iter().filter(|f| f.level == Level::Problem).count();
    text.push_str(&match problems {
        0 => "all is well\n".to_owned(),
        problems => format!("{}\n", count(problems, "problem")),
    });
    text
}

fn examine(context: &Context) -> Examination {
    let mut exam = Examination::default();
    let tmux = context.tmux();
    let program = check_program(&mut exam, &tmux);
    let asked = program.as_ref().and_then(|version| check_server(&mut exam, &tmux, version));
    let settings = asked.as_ref().map(|answer| Settings::parse(&answer.options));
    if let Some(answer) = &asked {
        exam.old_mark = !Version::parse(&answer.version).hides_environment();
    }
    let place = check_folder(&mut exam, context, &tmux, settings.as_ref());
    if let (Some(answer), Some(settings)) = (&asked, &settings) {
        check_directory(&mut exam, answer);
        check_plugin(&mut exam, answer, settings, place.as_ref());
        check_hooks(&mut exam, &tmux, answer, settings);
        check_status(&mut exam, answer, settings);
        check_options(&mut exam, context, &tmux, answer, settings);
        check_keys(&mut exam, &tmux, answer, settings);
    }
    if let Some(place) = &place {
        check_socket(&mut exam, place, asked.is_some());
        check_hosts(&mut exam, place);
        check_parent(&mut exam, place);
        check_permissions(&mut exam, place);
        let is_free = !check_disk(&mut exam, place) || check_lock(&mut exam, place);
        check_registry(&mut exam, place, asked.as_ref(), settings.as_ref(), is_free);
        check_windows(&mut exam, place, asked.as_ref(), settings.as_ref());
        if let (Some(answer), Some(settings)) = (&asked, &settings) {
            check_scratch(&mut exam, place, answer, settings);
        }
        check_times(&mut exam, place);
        check_log(&mut exam, place);
    }
    check_install(&mut exam, context);
    check_fzf(&mut exam);
    if let Some((found, remedy)) = missing_link(&context.environment) {
        exam.note("PATH", &found, &remedy);
    }
    exam.place = place;
    exam
}
