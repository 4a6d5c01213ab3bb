//! One short function per command: gather, act, print.

mod complete;
mod doctor;
mod key;
mod life;
mod list;
mod load;
mod menu;
mod options;
mod pick;
mod program;
mod script;
mod state;
mod store;
mod terminal;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, EarlyExit};
use tmux_roster::config::{Environment, Place, one_spelling};
use tmux_roster::host;
use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::sync::{self, SyncError, TYPED_LIMIT, Trigger};
use tmux_roster::tmux::query::{Mark, unescape_dollars};
use tmux_roster::tmux::{Tmux, TmuxError, is_exiting};
use tmux_roster::{Session, Store, StoreError};

use crate::cli::{self, Cli, Internal, InternalVerb, Line, Sync, Verb};

/// Why a command did not end well.
pub enum Failure {
    /// The command line is off.
    Usage(String),
    /// It could not be done.
    Error(Box<dyn std::error::Error>),
}

impl Failure {
    /// What is said of it.
    fn text(&self) -> String {
        match self {
            Failure::Usage(message) => message.clone(),
            Failure::Error(error) => error.to_string(),
        }
    }
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Error(error.into())
    }
}

/// What a command returns.
pub type Outcome = Result<ExitCode, Failure>;

/// Runs a whole command line, program name first.
pub fn run(args: &[String]) -> Outcome {
    let started = Instant::now();
    let program = args.first().map_or("roster", String::as_str);
    let program = program.rsplit('/').next().unwrap_or(program);
    // Hidden: what follows is a line that is being typed, and not to be understood as ours.
    if args.get(1).is_some_and(|verb| verb == "complete") {
        return complete::complete(&args[2..]);
    }
    let line = Line::new(args);
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
        return Err(Failure::Usage("a command is missing; see `roster --help`".into()));
    };
    for (option, value) in [("-L", &cli.socket_name), ("-S", &cli.socket_path)] {
        if value.as_deref() == Some("") {
            return Err(Failure::Usage(format!("{option} names no server: its value is empty")));
        }
    }
    let context = Context::new(cli.socket_name, cli.socket_path);
    dispatch(&context, verb, line.command, started).map_err(|failure| match failure {
        Failure::Usage(message) => usage(&message, line.verb),
        failure => failure,
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
        return Err(usage(&format!("unknown command {verb}"), ""));
    }
    let words: Vec<&str> = early.output.split_whitespace().collect();
    let said = words.join(" ");
    let mut said = said.trim_end_matches('.').to_owned();
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    Err(usage(&said, verb))
}

/// What is wrong with a command line, and where to read what is right.
fn usage(message: &str, verb: &str) -> Failure {
    let space = if verb.is_empty() { "" } else { " " };
    Failure::Usage(format!("{message}; see `roster{space}{verb} --help`"))
}

fn dispatch(context: &Context, verb: Verb, command: &[String], started: Instant) -> Outcome {
    match verb {
        Verb::Sync(args) if args.hook => Ok(sync_for_hook(context, &args, started)),
        Verb::Sync(_) => sync_by_hand(context),
        Verb::List(args) => list::list(context, &args),
        Verb::Show(args) => list::show(context, &args),
        Verb::Names(_) => list::names(context),
        Verb::Path(_) => list::path(context),
        Verb::Closed(args) => list::closed(context, &args),
        Verb::Backups(args) => list::backups(context, &args),
        Verb::New(args) => life::new(context, &args, command),
        Verb::Go(args) => life::go(context, &args),
        Verb::Last(args) => life::last(context, &args),
        Verb::Rename(args) => life::rename(context, &args),
        Verb::Kill(args) => life::kill(context, &args),
        Verb::Restore(args) => life::restore(context, &args),
        Verb::Reopen(args) => life::reopen(context, &args),
        Verb::Forget(args) => life::forget(context, &args),
        Verb::Clear(_) => state::clear(context),
        Verb::Recover(args) => state::recover(context, &args),
        Verb::Backup(_) => state::backup(context),
        Verb::Migrate(_) => state::migrate(context),
        Verb::Mode(args) => state::mode(context, &args),
        Verb::Health(args) => state::health(context, &args),
        Verb::Store(args) => store::run(args),
        Verb::Doctor(args) => doctor::doctor(context, &args),
        Verb::Completions(args) => complete::script(&args),
        Verb::Pick(args) => pick::pick(context, &args),
        Verb::Menu(args) => menu::menu(context, &args),
    }
}

fn dispatch_internal(context: &Context, verb: InternalVerb) -> Outcome {
    match verb {
        InternalVerb::Load(args) => load::load(context, &args),
        InternalVerb::Look(args) => Ok(look(context, args)),
        InternalVerb::Key(args) => key::key(context, &args),
        InternalVerb::RunScripts(_) => Ok(script::supervise()),
    }
}

/// Which server a command is about.
pub struct Context {
    pub environment: Environment,
    socket_name: Option<String>,
    socket_path: Option<String>,
}

impl Context {
    fn new(socket_name: Option<String>, socket_path: Option<String>) -> Context {
        Context { environment: Environment::read(), socket_name, socket_path }
    }

    pub fn socket(&self) -> PathBuf {
        self.environment.socket(self.socket_path.as_deref(), self.socket_name.as_deref())
    }

    /// Whether the command was typed inside that server.
    pub fn is_inside(&self) -> bool {
        self.environment.tmux.as_ref().is_some_and(|(socket, _)| {
            let ours = self.socket();
            *socket == ours || one_spelling(socket) == one_spelling(&ours)
        })
    }

    fn tmux(&self) -> Tmux {
        let socket = self.socket();
        Tmux { program: self.environment.tmux_program(&socket), socket, outwaits_exit: true }
    }

    /// The place as the environment alone has it: enough where no server is to be asked.
    pub fn place_without_tmux(&self) -> Result<Place, Failure> {
        let tmux = self.tmux();
        Ok(Place { dir: self.dir_without_tmux(&tmux.socket)?, tmux })
    }

    /// The folder of that place: to find the tmux program takes longer than to read a registry.
    fn dir_without_tmux(&self, socket: &Path) -> Result<PathBuf, Failure> {
        self.dir_by(socket, |dir| host::settle(dir, self.own_server()))
    }

    /// The same where milliseconds count.
    pub fn dir_at_once(&self, socket: &Path) -> Result<PathBuf, Failure> {
        self.dir_by(socket, host::settle_quickly)
    }

    /// The process of the server that we were started in.
    fn own_server(&self) -> Option<u32> {
        self.environment.server.filter(|_| self.is_inside())
    }

    fn dir_by(
        &self,
        socket: &Path,
        settle: impl FnOnce(PathBuf) -> PathBuf,
    ) -> Result<PathBuf, Failure> {
        let published = self.environment.published_dir(socket).map(PathBuf::from);
        let dir = published.or_else(|| self.environment.own_dir(socket).map(settle));
        Ok(dir
            .ok_or("there is no folder for the registry: neither HOME nor XDG_STATE_HOME is set to a whole path")?)
    }

    /// The place that a job was told.
    fn place_of_job(&self, dir: &str, program: &str) -> Place {
        let (program, socket) = (PathBuf::from(program), self.socket());
        let tmux = Tmux { program, socket, outwaits_exit: false };
        Place { tmux, dir: PathBuf::from(dir) }
    }

    /// The place as the plugin settled it in the server, if one runs.
    pub fn place(&self) -> Result<Place, Failure> {
        let tmux = self.tmux();
        if let Some(dir) = self.environment.published_dir(&tmux.socket) {
            return Ok(Place { dir: dir.to_owned(), tmux });
        }
        let deadline = Instant::now() + TYPED_LIMIT;
        let show = ["show-options", "-gqv", "@roster_dir"];
        match tmux.run(&show, deadline) {
            Ok(printed) => {
                let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
                let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
                // tmux 3.4 prints `$x` as `\$x`; the plugin made the folder.
                let mut dir = path(printed.to_vec());
                if !dir.is_dir() {
                    dir = path(unescape_dollars(printed));
                }
                if dir.is_absolute() {
                    return Ok(Place { tmux, dir });
                }
            }
            Err(TmuxError::NoServer { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.place_without_tmux()
    }
}

/// A sync that a hook started: silent, within its time, and always well ended.
fn sync_for_hook(context: &Context, args: &Sync, started: Instant) -> ExitCode {
    let mark = if args.old_mark { Mark::Option } else { Mark::Environment };
    let session = context.environment.tmux.as_ref();
    let session = session.and_then(|(_, id)| SessionId::parse(&format!("${id}")));
    let trigger = Trigger::Hook { mark, started, session };
    // The plugin settled both for this server: a job's environment may be any session's, and
    // looking for either would cost every event something.
    let place = match (&args.dir, &args.tmux) {
        (Some(dir), Some(program)) => Ok(context.place_of_job(dir, program)),
        _ => context.place_without_tmux(),
    };
    if let Ok(place) = place {
        sync_silently(&place, trigger, mark);
    }
    ExitCode::SUCCESS
}

fn sync_silently(place: &Place, trigger: Trigger, mark: Mark) {
    match sync::sync(place, trigger) {
        Ok(report) if report.unfinished => sync::look_later(place, mark, None),
        Ok(_) => sync::end_look(place),
        Err(SyncError::Tmux(TmuxError::NoServer { .. } | TmuxError::Unreachable { .. })) => {}
        // Another host came first to a folder that both had used until then.
        Err(SyncError::Elsewhere { .. }) => load::load_here(&Environment::read(), place),
        // What the server's end interrupts is found at the next start.
        Err(SyncError::Tmux(TmuxError::Failed { message })) if is_exiting(&message) => {}
        Err(error) => {
            sync::log(place, &format!("sync: {error}"));
            sync::look_later(place, mark, Some(&error));
        }
    }
}

/// The second look at what closed, by a process of ours that waits for it.
fn look(context: &Context, args: cli::Look) -> ExitCode {
    let place = context.place_of_job(&args.dir, &args.tmux);
    if sync::wait_for_look(&place, Duration::from_millis(args.after)) {
        let started = Instant::now();
        let trigger = Trigger::Hook { mark: Mark::Option, started, session: None };
        sync_silently(&place, trigger, Mark::Option);
    }
    ExitCode::SUCCESS
}

fn sync_by_hand(context: &Context) -> Outcome {
    use tmux_roster::model::reconcile::EventKind;
    let place = context.place()?;
    let report = sync::sync(&place, Trigger::Person)?;
    let mut parts: Vec<String> = report.mended.iter().map(|text| list::visible(text)).collect();
    for kind in [
        EventKind::Created,
        EventKind::Renamed,
        EventKind::Attached,
        EventKind::Closed,
        EventKind::Lost,
        EventKind::Restored,
    ] {
        let count = report.events.iter().filter(|event| event.kind == kind).count();
        if count > 0 {
            parts.push(format!("{count} {}", sync::event_name(kind)));
        }
    }
    let line = match (parts.is_empty(), report.changed || report.effects > 0) {
        (false, _) => parts.join(", "),
        (true, true) => "brought into step".into(),
        (true, false) => "nothing to change".into(),
    };
    print(&format!("{line}\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a path and a newline: for a script byte for byte, for a person so that it does nothing to
/// the terminal.
pub fn print_path(path: &Path) -> Result<(), Failure> {
    let mut line = match io::stdout().is_terminal() {
        true => list::visible(&path.display().to_string()).into_bytes(),
        false => path.as_os_str().as_bytes().to_vec(),
    };
    line.push(b'\n');
    print_bytes(&line)
}

/// Prints to standard output; a reader that has gone is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// "1 session", "2 sessions".
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Says something on standard error, whether or not somebody is there to read it. It may hold any
/// name or path.
pub fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "roster: {}", list::visible(text));
}

/// A name in a command that a person may paste into a shell.
pub fn to_paste(name: &str) -> Cow<'_, str> {
    shell_words::quote(name)
}

/// What names a session on the command line: its exact name, or else its UUID. Since anybody can
/// name a session like another's UUID, keys and menus say `uuid:` before it; tmux allows no colon
/// in a name.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    name: Option<&'a str>,
    uuid: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub fn parse(word: &'a str) -> Target<'a> {
        let uuid = |word: &'a str| Some(word).filter(|word| is_uuid(word));
        match word.strip_prefix("uuid:").and_then(uuid) {
            Some(uuid) => Target { name: None, uuid: Some(uuid) },
            None => Target { name: Some(word), uuid: uuid(word) },
        }
    }

    /// The first of its name, or else of its UUID.
    pub fn among<'s, T: Copy>(
        self,
        all: impl Iterator<Item = T> + Clone,
        session: impl Fn(T) -> &'s Session,
    ) -> Option<T> {
        let named = all.clone().find(|one| Some(session(*one).name.as_str()) == self.name);
        named.or_else(|| {
            let mut all = all;
            all.find(|one| Some(session(*one).uuid.as_str()) == self.uuid)
        })
    }
}

/// What [`Target`] takes for this session and no other.
pub fn by_uuid(session: &Session) -> String {
    format!("uuid:{}", session.uuid)
}

/// The store of a place, for those who wait at a terminal.
pub fn store_of(place: &Place) -> Store {
    sync::store(place, Trigger::Person)
}

/// "session x not found", with the names that come near.
pub fn not_found<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let mut near: Vec<&str> = known.filter(|other| is_near(name, other)).take(3).collect();
    near.sort_unstable();
    let error = StoreError::NotFound(name.to_owned()).to_string();
    match near.as_slice() {
        [] => Failure::from(format!("{error}: roster list shows those there are")),
        near => Failure::from(format!("{error}: did you mean {}?", near.join(", "))),
    }
}

/// Whether two names differ by a letter or two, or one begins or ends with the other.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    if a.len() >= 2 && (b.contains(&a) || (b.len() >= 2 && a.contains(&b))) {
        return true;
    }
    let (length, other) = (a.chars().count(), b.chars().count());
    length.abs_diff(other) <= 2 && length <= 100 && distance(&a, &b) <= 2.min(length / 2)
}

/// How many letters have to be put in, taken out or replaced to make one of the other.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
