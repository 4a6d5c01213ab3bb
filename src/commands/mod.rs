//! The commands, a file for each thing that people want to do: gather, act, print.

use std::process::ExitCode;
use std::time::Instant;

use argh::{ArgsInfo, EarlyExit};
use tmux_roster::event_scripts;

use self::context::{Context, Outcome};
use self::output::print;
use self::target::did_you_mean;
use self::ui::{key, menu, pick};
use crate::cli::{Cli, Internal, InternalVerb, Line, Verb};

mod backups;
mod begin;
mod bring_back;
mod called;
mod client;
mod complete;
mod context;
mod doctor;
mod edit;
mod end;
mod history;
mod import;
mod in_pane;
mod inspect;
mod load;
mod notice;
mod open;
mod output;
mod projects;
mod servers;
mod start_in;
mod store;
mod sync;
mod target;
mod ui;
mod windows;

pub use context::Failure;
pub use in_pane::run_in_pane;
pub use output::warn;
pub use start_in::start_in;

/// Runs a whole command line, program name first.
pub fn run(args: &[String]) -> Outcome {
    let started = Instant::now();
    let program = args.first().map_or("roster", String::as_str);
    let program = program.rsplit('/').next().unwrap_or(program);
    // Hidden: what follows is a line that is being typed, and not to be understood as ours.
    if args.get(1).is_some_and(|verb| verb == "complete") {
        return complete::complete(&args[2..]);
    }
    let help = Line::help(args);
    let line = Line::new(help.as_deref().unwrap_or(args));
    if line.is_internal() {
        return match line.parse(program) {
            Ok(Internal { socket_name, socket_path, verb }) => {
                dispatch_internal(&Context::new(socket_name, socket_path), verb)
            }
            Err(early) => not_parsed(early, &line),
        };
    }
    let cli: Cli = match line.parse(program) {
        Ok(cli) => cli,
        Err(early) => return not_parsed(early, &line),
    };
    if cli.version {
        print(concat!("roster ", env!("CARGO_PKG_VERSION"), "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(verb) = cli.verb else {
        return Err(Failure::usage("no command given; see `roster --help`".into()));
    };
    for (option, value) in [("-L", &cli.socket_name), ("-S", &cli.socket_path)] {
        if value.as_deref() == Some("") {
            return Err(Failure::usage(format!("{option} has an empty value")));
        }
    }
    let context = Context::new(cli.socket_name, cli.socket_path);
    called::name_server(&context);
    dispatch(&context, verb, line.command, started).map_err(|failure| match failure.is_usage() {
        true => usage(failure.text(), line.verb),
        false => failure,
    })
}

/// Prints the help that was asked for, or says what is wrong, on one line.
fn not_parsed(early: EarlyExit, line: &Line<'_>) -> Outcome {
    let verb = line.verb;
    if early.status.is_ok() {
        let mut help = early.output;
        if verb == "new" {
            // argh knows nothing of the command at the line's end.
            help = help.replacen("[--] [<name>]", "[<name>] [-- <command...>]", 1);
        }
        print(&help)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_known = |verb| Cli::get_args_info().commands.iter().any(|known| known.name == verb);
    if !verb.is_empty() && !line.is_internal() && !is_known(verb) {
        let info = Cli::get_args_info();
        let mut commands = info.commands.iter().map(|command| command.name).chain(["help"]);
        let near = did_you_mean(verb, &mut commands).map(|near| format!(": {near}"));
        return Err(usage(&format!("unknown command {verb}{}", near.unwrap_or_default()), ""));
    }
    let words: Vec<&str> = early.output.split_whitespace().collect();
    let said = words.join(" ");
    let mut said = said.trim_end_matches('.').to_owned();
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    if let Some(option) = said.strip_prefix("unrecognized argument: ") {
        let info = Cli::get_args_info();
        let command = info.commands.iter().find(|command| command.name == verb);
        let flags = command.map_or(&info.flags, |command| &command.command.flags);
        let flags = flags.iter().filter(|flag| !flag.hidden).map(|flag| flag.long);
        let mut flags = flags.filter(|_| option.starts_with("--"));
        if let Some(near) = did_you_mean(option, &mut flags) {
            said.push_str(&format!(": {near}"));
        }
    }
    Err(usage(&said, verb))
}

/// What is wrong with a command line, and where to read what is right.
fn usage(message: &str, verb: &str) -> Failure {
    let space = if verb.is_empty() { "" } else { " " };
    let then = if message.ends_with('?') { "" } else { ";" };
    Failure::usage(format!("{message}{then} see `roster{space}{verb} --help`"))
}

fn dispatch(context: &Context, verb: Verb, command: &[String], started: Instant) -> Outcome {
    match &verb {
        Verb::Sync(args) if args.hook => Ok(sync::sync_for_hook(context, args, started)),
        Verb::Sync(_) => sync::sync_by_hand(context),
        Verb::List(args) => inspect::list(context, args),
        Verb::Show(args) => inspect::show(context, args),
        Verb::Windows(args) => windows::windows(context, args),
        Verb::Names(_) => inspect::names(context),
        Verb::Path(_) => inspect::path(context),
        Verb::Closed(args) => inspect::closed(context, args),
        Verb::History(args) => history::history(context, args),
        Verb::Backups(args) => backups::backups(context, args),
        Verb::New(args) => open::new(context, args, command),
        Verb::Go(args) => open::go(context, args),
        Verb::Last(args) => open::last(context, args),
        Verb::Rename(args) => edit::rename(context, args),
        Verb::Kill(args) => end::kill(context, args),
        Verb::Restore(args) => bring_back::restore(context, args),
        Verb::Reopen(args) => bring_back::reopen(context, args),
        Verb::Import(args) => import::import(context, args),
        Verb::Forget(args) => end::forget(context, args),
        Verb::Clear(_) => end::clear(context),
        Verb::Recover(args) => backups::recover(context, args),
        Verb::Backup(_) => backups::backup(context),
        Verb::Migrate(_) => backups::migrate(context),
        Verb::Mode(args) => edit::mode(context, args),
        Verb::Health(args) => edit::health(context, args),
        Verb::Store(args) => store::run(args),
        Verb::Doctor(args) => doctor::doctor(context, args),
        Verb::Completions(args) => complete::script(args),
        Verb::Pick(args) => pick::pick(context, args),
        Verb::Menu(args) => menu::menu(context, args),
    }
}

fn dispatch_internal(context: &Context, verb: InternalVerb) -> Outcome {
    match &verb {
        InternalVerb::Load(args) => load::load(context, args),
        InternalVerb::Look(args) => Ok(sync::look(context, args)),
        InternalVerb::Key(args) => key::key(context, args),
        InternalVerb::Notice(_) => notice::notice(context),
        InternalVerb::RunScripts(_) => Ok(event_scripts::supervise()),
    }
}
