//! The command line as data.

use argh::{ArgsInfo, EarlyExit, FromArgs, SubCommands};

/// A self-maintaining registry of tmux sessions.
#[derive(ArgsInfo, FromArgs)]
#[argh(help_triggers("-h", "--help"))]
pub struct Cli {
    /// use the server with this socket name, like tmux -L
    #[argh(option, short = 'L', long = "socket-name", arg_name = "name")]
    pub socket_name: Option<String>,
    /// use the server at this socket path, like tmux -S
    #[argh(option, short = 'S', long = "socket-path", arg_name = "path")]
    pub socket_path: Option<String>,
    /// print the version
    #[argh(switch, short = 'V')]
    pub version: bool,
    #[argh(subcommand)]
    pub verb: Option<Verb>,
}

/// A command line taken apart: its verb, and the command that it ends with.
pub struct Line<'a> {
    /// The first word that is neither an option nor an option's value; empty if there is none.
    pub verb: &'a str,
    /// What follows `--`, for verbs that take a command.
    pub command: &'a [String],
    words: Vec<&'a str>,
}

impl<'a> Line<'a> {
    /// Takes a command line apart, program name first.
    pub fn new(args: &'a [String]) -> Line<'a> {
        // What follows "--" is a command to be run, and none of our business.
        let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
        let verb_at = verb_in(&args[..end]).unwrap_or(end);
        let verb = args[..end].get(verb_at).map_or("", String::as_str);
        let takes_command = verb == "new";
        let (ours, command) = match args.get(end + 1..) {
            Some(command) if takes_command => (&args[..end], command),
            _ => (args, &[][..]),
        };
        // As everybody knows them; argh wants two words.
        let mut words = Vec::with_capacity(ours.len());
        for (at, arg) in ours.iter().enumerate().skip(1) {
            let of_tmux = |option: &str| !option.starts_with("--");
            let two = inline(arg).filter(|(o, _)| at < if of_tmux(o) { verb_at } else { end });
            match two {
                Some((option, value)) => words.extend([option, value]),
                None => words.push(arg.as_str()),
            }
        }
        Line { verb, command, words }
    }

    /// A line whose verb is `help` as argh knows it, which lets no verb be called that.
    pub fn help(args: &[String]) -> Option<Vec<String>> {
        let at = verb_in(args).filter(|at| args[*at] == "help")?;
        let words = args[at + 1..].iter().filter(|word| !is_help(word));
        let line = args[..at].iter().chain(words).cloned();
        Some(line.chain(["--help".to_owned()]).collect())
    }

    /// Whether its verb is one of [`Internal`].
    pub fn is_internal(&self) -> bool {
        InternalVerb::COMMANDS.iter().any(|command| command.name == self.verb)
    }

    /// Understands it as a [`Cli`] or an [`Internal`].
    pub fn parse<T: FromArgs>(&self, program: &str) -> Result<T, EarlyExit> {
        T::from_args(&[program], &self.words)
    }
}

fn is_help(word: &str) -> bool {
    matches!(word, "help" | "-h" | "--help" | "--")
}

/// An option with its value in the same word: `--option=value`, `-Lname`.
pub fn inline(arg: &str) -> Option<(&str, &str)> {
    match arg.split_at_checked(2)? {
        ("--", _) => arg.split_once('='),
        (option @ ("-L" | "-S"), value) if !value.is_empty() => Some((option, value)),
        _ => None,
    }
}

/// Where the verb of a command line is: the first word that is neither an option nor its value.
fn verb_in(args: &[String]) -> Option<usize> {
    let mut words = args.iter().enumerate().skip(1);
    while let Some((at, word)) = words.next() {
        match word.as_str() {
            "-L" | "-S" | "--socket-name" | "--socket-path" => drop(words.next()),
            option if option.starts_with('-') => {}
            _ => return Some(at),
        }
    }
    None
}

/// What plugin.tmux, keys and syncs call: apart from [`Cli`], since argh can hide no command, and
/// neither --help nor completions are to show these.
#[derive(FromArgs)]
#[argh(help_triggers("-h", "--help"))]
pub struct Internal {
    /// use the server with this socket name, like tmux -L
    #[argh(option, short = 'L', long = "socket-name", arg_name = "name")]
    pub socket_name: Option<String>,
    /// use the server at this socket path, like tmux -S
    #[argh(option, short = 'S', long = "socket-path", arg_name = "path")]
    pub socket_path: Option<String>,
    #[argh(subcommand)]
    pub verb: InternalVerb,
}

#[derive(FromArgs)]
#[argh(subcommand)]
pub enum InternalVerb {
    Load(Load),
    Look(Look),
    RunScripts(RunScripts),
    Key(Key),
    Notice(Notice),
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum Verb {
    List(List),
    Show(Show),
    Windows(Windows),
    Names(Names),
    Path(PathOf),
    Sync(Sync),
    New(New),
    Go(Go),
    Last(Last),
    Rename(Rename),
    Kill(Kill),
    Restore(Restore),
    Reopen(Reopen),
    Closed(Closed),
    History(History),
    Import(Import),
    Forget(Forget),
    Clear(Clear),
    Mode(Mode),
    Health(Health),
    Backup(Backup),
    Backups(Backups),
    Recover(Recover),
    Migrate(Migrate),
    Store(Store),
    Doctor(Doctor),
    Completions(Completions),
    Pick(Pick),
    Menu(Menu),
}

/// list live and lost sessions
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "list",
    example = "roster list --state lost",
    help_triggers("-h", "--help")
)]
pub struct List {
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
    /// only sessions in this state: live, lost, closed or unreachable
    #[argh(option)]
    pub state: Option<String>,
    /// sort by name (default), created or attached
    #[argh(option)]
    pub sort: Option<String>,
    /// sessions of all your servers, as recorded; no server is asked or started
    #[argh(switch)]
    pub all_servers: bool,
}

/// show everything known about a session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "show", example = "roster show work", help_triggers("-h", "--help"))]
pub struct Show {
    /// print JSON
    #[argh(switch)]
    pub json: bool,
    /// the session
    #[argh(positional)]
    pub name: String,
}

/// print the windows of a session (default: all live and lost sessions) for scripts
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "windows",
    example = "roster windows work | cut -f 7",
    note = "One line for each pane, with tabs between: session, window index, window name, pane (from 0),
1 if it is the current window, 1 if it is the window's active pane, directory, program. A window
that tmux names by itself has the name -, an unknown directory is - too.",
    help_triggers("-h", "--help")
)]
pub struct Windows {
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
    /// the session
    #[argh(positional)]
    pub name: Option<String>,
}

/// print the names of live and lost sessions, one per line
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "names", example = "roster names", help_triggers("-h", "--help"))]
pub struct Names {}

/// print the path of this server's registry
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "path", example = "roster path", help_triggers("-h", "--help"))]
pub struct PathOf {}

/// synchronize the registry with tmux
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "sync", example = "roster sync", help_triggers("-h", "--help"))]
pub struct Sync {
    /// run by a hook: silent, always exits with status 0
    #[argh(switch, hidden_help)]
    pub hook: bool,
    /// the mark is in an option (tmux before 3.2)
    #[argh(switch, hidden_help)]
    pub old_mark: bool,
    /// whoever reads @roster_run sees by this that @roster-history was off as the plugin was loaded
    #[argh(switch, hidden_help)]
    #[allow(
        dead_code,
        reason = "what counts is that it stands there: see NO_HISTORY in config.rs"
    )]
    pub no_history: bool,
    /// look at windows too, a while later
    #[argh(switch, hidden_help)]
    pub windows: bool,
    /// the registry's directory
    #[argh(option, hidden_help)]
    pub dir: Option<String>,
    /// the tmux program
    #[argh(option, hidden_help)]
    pub tmux: Option<String>,
}

/// create a session and switch to it
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "new",
    example = "roster new api -c ~/src/api -m yolo",
    help_triggers("-h", "--help")
)]
pub struct New {
    /// start directory (default: the current one)
    #[argh(option, short = 'c', arg_name = "dir")]
    pub directory: Option<String>,
    /// mode (default: @roster-default-mode)
    #[argh(option, short = 'm')]
    pub mode: Option<String>,
    /// create it detached
    #[argh(switch, short = 'd')]
    pub detached: bool,
    /// the client to switch
    #[argh(option, hidden_help)]
    pub client: Option<String>,
    /// start in this pane's directory
    #[argh(option, hidden_help)]
    pub pane: Option<String>,
    /// its name (default: made from the directory); a command may follow --
    #[argh(positional)]
    pub name: Option<String>,
}

/// switch to a session, or to a directory's, which is brought back or created if need be
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "go",
    example = "roster go work",
    example = "roster go ~/src/api",
    help_triggers("-h", "--help")
)]
pub struct Go {
    /// the client to switch
    #[argh(option, hidden_help)]
    pub client: Option<String>,
    /// the session, or else a directory
    #[argh(positional)]
    pub name: String,
}

/// switch to the previously attached session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "last", example = "roster last", help_triggers("-h", "--help"))]
pub struct Last {
    /// the client to switch
    #[argh(option, hidden_help)]
    pub client: Option<String>,
}

/// rename a session in tmux and in the registry
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "rename",
    example = "roster rename old new",
    help_triggers("-h", "--help")
)]
pub struct Rename {
    /// the session
    #[argh(positional)]
    pub old: String,
    /// its new name
    #[argh(positional)]
    pub new: String,
}

/// kill a live session; it can be reopened
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "kill", example = "roster kill scratch", help_triggers("-h", "--help"))]
pub struct Kill {
    /// the client to switch away first
    #[argh(option, hidden_help)]
    pub client: Option<String>,
    /// this process outlives the session that the command was typed in
    #[argh(switch, hidden_help)]
    pub apart: bool,
    /// the session
    #[argh(positional)]
    pub name: String,
}

/// bring back lost sessions
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "restore",
    example = "roster restore --all",
    note = "All windows of a session come back, with the programs that the options name; with --bare it
comes back with one window and the launch command of its mode.",
    help_triggers("-h", "--help")
)]
pub struct Restore {
    /// all lost sessions
    #[argh(switch)]
    pub all: bool,
    /// under this name instead of its own
    #[argh(option, long = "as", arg_name = "new")]
    pub new_name: Option<String>,
    /// also sessions of a server that cannot be reached, as new sessions
    #[argh(switch)]
    pub force: bool,
    /// only the session, with one window, not the windows it had
    #[argh(switch)]
    pub bare: bool,
    /// sessions recorded for another host, which no longer runs them
    #[argh(option, arg_name = "host")]
    pub from: Option<String>,
    /// the sessions
    #[argh(positional)]
    pub names: Vec<String>,
}

/// bring back the last closed session, or the one named
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "reopen", example = "roster reopen", help_triggers("-h", "--help"))]
pub struct Reopen {
    /// the client to switch to it
    #[argh(option, hidden_help)]
    pub client: Option<String>,
    /// under this name instead of its own
    #[argh(option, long = "as", arg_name = "new")]
    pub new_name: Option<String>,
    /// even if its server is still running but cannot be reached
    #[argh(switch)]
    pub force: bool,
    /// only the session, with one window, not the windows it had
    #[argh(switch)]
    pub bare: bool,
    /// the last closed window, of the session if one is named
    #[argh(switch)]
    pub window: bool,
    /// the session
    #[argh(positional)]
    pub name: Option<String>,
}

/// take the sessions of tmux-resurrect's last save as lost ones
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "import",
    example = "roster import resurrect",
    help_triggers("-h", "--help")
)]
pub struct Import {
    /// do it; without this, only show what would be taken
    #[argh(switch)]
    pub yes: bool,
    /// resurrect
    #[argh(positional)]
    pub from: String,
    /// the save (default: the last one)
    #[argh(positional)]
    pub file: Option<String>,
}

/// list closed sessions and windows, newest first
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "closed", example = "roster closed", help_triggers("-h", "--help"))]
pub struct Closed {
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
    /// only windows
    #[argh(switch)]
    pub windows: bool,
}

/// show what happened to sessions and windows and when, newest first
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "history",
    example = "roster history work",
    note = "A session is found by any name that it ever had, and by its UUID.",
    help_triggers("-h", "--help")
)]
pub struct History {
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
    /// the session (default: all)
    #[argh(positional)]
    pub name: Option<String>,
}

/// forget a lost session (it can still be reopened) or a closed one (for good)
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "forget",
    example = "roster forget scratch",
    help_triggers("-h", "--help")
)]
pub struct Forget {
    /// also a live one: it is not tracked until it is renamed or the server exits
    #[argh(switch)]
    pub force: bool,
    /// the session
    #[argh(positional)]
    pub name: String,
}

/// empty the registry after a backup; live sessions stay, lost ones can still be reopened
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "clear", example = "roster clear", help_triggers("-h", "--help"))]
pub struct Clear {}

/// print or set a session's mode
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "mode",
    example = "roster mode work yolo",
    note = "A mode is a word that a session keeps, and that chooses the command which new, restore and reopen
start in it (@roster-command-<mode>). So one session in the mode `logs` starts `journalctl -f`, and one
with a coding agent asks before it acts in the mode `safe` and does not in the mode `yolo`.",
    help_triggers("-h", "--help")
)]
pub struct Mode {
    /// set the next mode in @roster-modes
    #[argh(switch)]
    pub next: bool,
    /// the session
    #[argh(positional)]
    pub name: String,
    /// the mode
    #[argh(positional)]
    pub mode: Option<String>,
}

/// check a session (default: the current one, or all outside tmux); exits with status 1 if one is
/// not healthy
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "health", example = "roster health --all", help_triggers("-h", "--help"))]
pub struct Health {
    /// all live and lost sessions
    #[argh(switch)]
    pub all: bool,
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
    /// the session
    #[argh(positional)]
    pub name: Option<String>,
}

/// back up the registry and print the path of the backup
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "backup", example = "roster backup", help_triggers("-h", "--help"))]
pub struct Backup {}

/// list the backups, newest first
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "backups", example = "roster backups", help_triggers("-h", "--help"))]
pub struct Backups {
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
}

/// recover the registry from a backup (default: the newest); live sessions keep their records
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "recover", example = "roster recover", help_triggers("-h", "--help"))]
pub struct Recover {
    /// the backup file
    #[argh(positional)]
    pub file: Option<String>,
}

/// migrate an older registry file to the current version, after a backup
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "migrate", example = "roster migrate", help_triggers("-h", "--help"))]
pub struct Migrate {}

/// work on any registry file without tmux, for scripts
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "store",
    example = "roster store --file sessions.json get work",
    help_triggers("-h", "--help")
)]
pub struct Store {
    /// the registry file (needed by all but validate and sanitize)
    #[argh(option)]
    pub file: Option<String>,
    #[argh(subcommand)]
    pub operation: StoreOperation,
}

#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand)]
pub enum StoreOperation {
    Save(StoreSave),
    Get(StoreGet),
    List(StoreList),
    Names(StoreNames),
    Delete(StoreDelete),
    DeleteAll(StoreDeleteAll),
    Rename(StoreRename),
    Mode(StoreMode),
    Health(StoreHealth),
    Attached(StoreAttached),
    Backup(StoreBackup),
    Migrate(StoreMigrate),
    Validate(StoreValidate),
    Sanitize(StoreSanitize),
}

/// add or replace a session and print it
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "save", help_triggers("-h", "--help"))]
pub struct StoreSave {
    /// its name
    #[argh(positional)]
    pub name: String,
    /// its working directory
    #[argh(positional)]
    pub workdir: String,
    /// its mode
    #[argh(positional)]
    pub mode: String,
}

/// print a session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "get", help_triggers("-h", "--help"))]
pub struct StoreGet {
    /// its name
    #[argh(positional)]
    pub name: String,
}

/// print all sessions
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "list", help_triggers("-h", "--help"))]
pub struct StoreList {}

/// print all names
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "names", help_triggers("-h", "--help"))]
pub struct StoreNames {}

/// remove a session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "delete", help_triggers("-h", "--help"))]
pub struct StoreDelete {
    /// its name
    #[argh(positional)]
    pub name: String,
}

/// remove all sessions, after a backup
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "delete-all", help_triggers("-h", "--help"))]
pub struct StoreDeleteAll {}

/// rename a session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "rename", help_triggers("-h", "--help"))]
pub struct StoreRename {
    /// its name
    #[argh(positional)]
    pub old: String,
    /// its new name
    #[argh(positional)]
    pub new: String,
}

/// set a session's mode
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "mode", help_triggers("-h", "--help"))]
pub struct StoreMode {
    /// its name
    #[argh(positional)]
    pub name: String,
    /// its mode
    #[argh(positional)]
    pub mode: String,
}

/// set a session's health status, as checked now
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "health", help_triggers("-h", "--help"))]
pub struct StoreHealth {
    /// its name
    #[argh(positional)]
    pub name: String,
    /// its status
    #[argh(positional)]
    pub status: String,
}

/// record that a session was attached just now
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "attached", help_triggers("-h", "--help"))]
pub struct StoreAttached {
    /// its name
    #[argh(positional)]
    pub name: String,
}

/// back up the file and print the path of the backup
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "backup", help_triggers("-h", "--help"))]
pub struct StoreBackup {}

/// migrate the file to the current version
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "migrate", help_triggers("-h", "--help"))]
pub struct StoreMigrate {}

/// check whether a name is valid
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "validate", help_triggers("-h", "--help"))]
pub struct StoreValidate {
    /// the name
    #[argh(positional)]
    pub name: String,
}

/// turn any text into a valid name
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "sanitize", help_triggers("-h", "--help"))]
pub struct StoreSanitize {
    /// the text
    #[argh(positional)]
    pub name: String,
}

/// check the whole setup and suggest fixes; exits with status 1 if it finds a problem
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "doctor", example = "roster doctor --fix", help_triggers("-h", "--help"))]
pub struct Doctor {
    /// fix what can be fixed
    #[argh(switch)]
    pub fix: bool,
    /// print a JSON array
    #[argh(switch)]
    pub json: bool,
}

/// print a shell's completion script for roster
#[derive(ArgsInfo, FromArgs)]
#[argh(
    subcommand,
    name = "completions",
    example = "eval \"$(roster completions bash)\"",
    help_triggers("-h", "--help")
)]
pub struct Completions {
    /// bash, zsh or fish
    #[argh(positional)]
    pub shell: String,
}

/// load the plugin into a tmux server (called by plugin.tmux)
#[derive(FromArgs)]
#[argh(subcommand, name = "load", help_triggers("-h", "--help"))]
pub struct Load {
    /// the server's tmux program
    #[argh(option)]
    pub tmux: Option<String>,
    /// only put back what the rest of tmux.conf undid: hooks, and #{roster_mode} in the status line
    #[argh(switch)]
    pub status: bool,
    /// the user chose this program with @roster-binary: servers call it by its own path
    #[argh(switch)]
    pub chosen: bool,
}

/// check again which sessions have closed (for a tmux without timers)
#[derive(FromArgs)]
#[argh(subcommand, name = "look", help_triggers("-h", "--help"))]
pub struct Look {
    /// how many milliseconds to wait first
    #[argh(option)]
    pub after: u64,
    /// look at windows too
    #[argh(switch)]
    pub windows: bool,
    /// the registry's directory
    #[argh(option)]
    pub dir: String,
    /// the tmux program
    #[argh(option)]
    pub tmux: String,
}

/// run the user's scripts for the events on standard input
#[derive(FromArgs)]
#[argh(subcommand, name = "run-scripts", help_triggers("-h", "--help"))]
pub struct RunScripts {}

/// tell the first client of a new server how many sessions were lost with the last one
#[derive(FromArgs)]
#[argh(subcommand, name = "notice", help_triggers("-h", "--help"))]
pub struct Notice {}

/// pick a session and switch to it, with fzf or else a tmux menu
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "pick", example = "roster pick", help_triggers("-h", "--help"))]
pub struct Pick {
    /// where a key was pressed: client, session, pane, width, height
    #[argh(option, hidden_help)]
    pub from: Option<String>,
    /// this tmux has popups
    #[argh(switch, hidden_help)]
    pub popup: bool,
    /// this is the popup
    #[argh(switch, hidden_help)]
    pub inside: bool,
    /// the page of a menu, from 0
    #[argh(option, hidden_help, default = "0")]
    pub page: usize,
    /// print what the picker shows beside a session
    #[argh(option, hidden_help)]
    pub preview: Option<String>,
    /// a menu of what can be done with a session
    #[argh(option, hidden_help)]
    pub actions: Option<String>,
    /// a menu that asks before a session is killed, or forgotten for good
    #[argh(option, hidden_help)]
    pub confirm: Option<String>,
    /// ask for the new name of a session
    #[argh(option, hidden_help)]
    pub rename: Option<String>,
    /// a menu of directories without a session
    #[argh(switch, hidden_help)]
    pub projects: bool,
}

/// open the menu of actions for the current session
#[derive(ArgsInfo, FromArgs)]
#[argh(subcommand, name = "menu", example = "roster menu", help_triggers("-h", "--help"))]
pub struct Menu {
    /// where a key was pressed: client, session, pane, width, height
    #[argh(option, hidden_help)]
    pub from: Option<String>,
    /// the page of the menu, from 0
    #[argh(option, hidden_help, default = "0")]
    pub page: usize,
}

/// run a command for a key binding and show its output as a tmux message
#[derive(FromArgs)]
#[argh(
    subcommand,
    name = "key",
    example = "roster key --from '/dev/pts/3 $1 %2 80 24' reopen",
    help_triggers("-h", "--help")
)]
pub struct Key {
    /// where the key was pressed: client, session, pane, width, height
    #[argh(option)]
    pub from: String,
    /// show the output in a popup (before tmux 3.2 in a window)
    #[argh(switch)]
    pub show: bool,
    /// this is that popup or window
    #[argh(switch, hidden_help)]
    pub inside: bool,
    /// its last word is what was answered at tmux's prompt
    #[argh(switch, hidden_help)]
    pub answer: bool,
    /// the command
    #[argh(positional, greedy)]
    pub words: Vec<String>,
}
