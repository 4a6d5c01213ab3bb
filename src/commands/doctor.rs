//! `roster doctor`: looks at everything that has to work and tells what does not, with its
//! remedy. Changes nothing but with `--fix`, waits for nothing without a limit.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::StatVfsMountFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tmux_roster::config::{Environment, OPTIONS, Place, REGISTRY, Settings};
use tmux_roster::directories;
use tmux_roster::host;
use tmux_roster::model::reconcile::Remembered;
use tmux_roster::model::registry::{FileVersion, RegistryFile, SCHEMA_VERSION};
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::{ServerId, SessionId};
use tmux_roster::store::file;
use tmux_roster::sync::{self, TYPED_LIMIT, Trigger};
use tmux_roster::tmux::command::{HOOK_INDEX, HOOKS, hook_line, line, our_hook_in, set_hook};
use tmux_roster::tmux::query::Answer;
use tmux_roster::tmux::{Running, Tmux, TmuxError, Version, program};
use tmux_roster::{Store, StoreError, Timestamp};

use super::list::{age, cut, terminal_columns, visible};
use super::load::{self, KeyState};
use super::store::json;
use super::{Context, Failure, Outcome, count, options, print, to_paste};
use crate::cli;

/// How long the lock may be held by others before that is worth telling: syncs are far quicker.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// How long a sync that is on its way may take to bring things into step.
const STEP_LIMIT: Duration = Duration::from_secs(1);

/// What stands before the lines under a finding.
const MARGIN: usize = 21;

/// How many lines of the log are shown.
const LOG_LINES: usize = 3;

/// How much of the log's end is read, in bytes.
const LOG_TAIL: usize = 16 * 1024;

const DAY: i64 = 24 * 60 * 60;

const FIX: &str = "roster doctor --fix";

/// What is asked for beside the options of a sync.
const MORE_OPTIONS: [&str; 2] = ["@roster_version", "status-right"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Note,
    Problem,
}

#[derive(Debug, Serialize)]
struct Finding {
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
enum Repair {
    /// Takes a file's or folder's permissions back to its owner.
    Private(PathBuf, u32),
    /// Tells tmux what it lacks: what that is, and the command.
    Tell(String, Vec<u8>),
    /// Loads the plugin again: program, version, hooks, keys.
    Load,
    /// Brings registry and tmux into step, which also mends a damaged file.
    Sync,
    /// Has a server that runs without its socket make it again.
    Socket,
}

#[derive(Debug, Default)]
struct Examination {
    findings: Vec<Finding>,
    repairs: Vec<Repair>,
    place: Option<Place>,
    /// The server that was looked at.
    server: Option<ServerId>,
}

impl Examination {
    fn add(&mut self, check: &'static str, level: Level, found: &str, remedy: &str) {
        let (found, remedy) = (visible(found), visible(remedy));
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
    let mut findings = Vec::new();
    if args.fix && !examined.repairs.is_empty() {
        findings = mend(&examined);
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
    // What was logged may be long: here a line is a line, and the log has all of it.
    let room = columns.unwrap_or(100).saturating_sub(MARGIN + 1).max(20);
    for finding in findings {
        let level = match finding.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Problem => "PROBLEM",
        };
        text.push_str(&format!("{level:<8} {:<12} {}\n", finding.check, finding.found));
        for line in &finding.lines {
            text.push_str(&format!("{:MARGIN$} {}\n", "", cut(line, room)));
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
    let place = check_folder(&mut exam, context, &tmux, settings.as_ref());
    if let (Some(answer), Some(settings)) = (&asked, &settings) {
        check_plugin(&mut exam, answer, settings);
        check_hooks(&mut exam, &tmux, answer, settings);
        check_options(&mut exam, context, &tmux, answer, settings);
        check_keys(&mut exam, &tmux, answer, settings);
    }
    if let Some(place) = &place {
        check_socket(&mut exam, place, asked.is_some());
        check_hosts(&mut exam, place);
        check_permissions(&mut exam, place);
        let is_free = !check_disk(&mut exam, place) || check_lock(&mut exam, place);
        check_registry(&mut exam, place, asked.as_ref(), settings.as_ref(), is_free);
        check_times(&mut exam, place);
        check_log(&mut exam, place);
    }
    check_install(&mut exam, context);
    check_fzf(&mut exam);
    exam.place = place;
    exam
}

/// Whether the file system of the folder takes anything.
fn check_disk(exam: &mut Examination, place: &Place) -> bool {
    let Ok(found) = rustix::fs::statvfs(&place.dir) else { return true };
    let is_root = rustix::process::geteuid().is_root();
    let left = if is_root { found.f_bfree } else { found.f_bavail };
    // Not all file systems count their files.
    let is_full = left == 0 || (found.f_files > 0 && found.f_favail == 0);
    let (what, remedy) = match found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        true => ("read-only", "mount it writable"),
        false if is_full => ("full", "make room there"),
        false => return true,
    };
    let found = format!("the file system of {} is {what}", place.dir.display());
    exam.problem("disk", &found, remedy);
    false
}

/// The tmux program, and what its version cannot do. Gives what it calls its version.
fn check_program(exam: &mut Examination, tmux: &Tmux) -> Option<String> {
    let path = tmux.program.display();
    let mut command = tmux.bare_command();
    command.arg("-V");
    let Some(printed) = first_line(command) else {
        exam.problem("tmux", &format!("{path} does not tell its version"), "install tmux 3.2");
        return None;
    };
    let name = printed.strip_prefix("tmux ").unwrap_or(&printed).to_owned();
    let version = Version::parse(&name);
    if let Some(before) = program::on_disk(&tmux.program).filter(|before| *before != tmux.program) {
        let mut command = Command::new(&before);
        command.arg("-V");
        let now = match first_line(command) {
            Some(now) => format!("is {} now", now.strip_prefix("tmux ").unwrap_or(&now)),
            None => "does not tell its version".to_owned(),
        };
        let found = format!(
            "tmux was upgraded under the running server, which is {name}: {} {now}",
            before.display()
        );
        let remedy = "restart the server when it suits; until then its own program is called";
        exam.note("tmux", &found, remedy);
    }
    let found = format!("{name} ({path})");
    if !version.at_least(3, 0) {
        exam.problem("tmux", &format!("{found} is not supported"), "install tmux 3.0 or newer");
    } else if !version.at_least(3, 2) {
        let lacks = "has no popups, no timers, and does not tell a session's directory: menus \
                     are used, directories are guessed";
        exam.note("tmux", &format!("{found} {lacks}"), "tmux 3.2 or newer has all");
    } else if matches!(name.as_str(), "3.6" | "3.6a" | "3.6b") {
        let crashes = "ends, with all sessions, when a format has a comma inside #{S:…} and \
                       nobody is attached (tmux-roster uses none)";
        exam.note("tmux", &format!("{found} {crashes}"), "tmux 3.7 or newer");
    } else {
        exam.ok("tmux", &found);
    }
    Some(name)
}

/// The options that the server is asked for, in the order of the answer.
fn asked_for() -> impl Iterator<Item = &'static str> {
    OPTIONS.into_iter().chain(MORE_OPTIONS).chain(options::OF_SCRIPTS)
}

fn value(answer: &Answer, name: &str) -> String {
    let at = asked_for().position(|option| option == name);
    at.map(|at| String::from_utf8_lossy(&answer.options[at]).into_owned()).unwrap_or_default()
}

/// The server: whether it answers, whole and in time, and whether its version is the program's.
fn check_server(exam: &mut Examination, tmux: &Tmux, program: &str) -> Option<Answer> {
    let place = Place { tmux: tmux.clone(), dir: PathBuf::new() };
    let options: Vec<&str> = asked_for().collect();
    let answer = match sync::ask_more(&place, true, &options, Instant::now() + TYPED_LIMIT) {
        Ok(answer) => answer,
        Err(error @ TmuxError::NoServer { .. }) => {
            exam.note("server", &format!("{error}: only the files were looked at"), "");
            return None;
        }
        Err(TmuxError::Empty) => {
            let found = "it has no session, and before tmux 3.2 cannot be asked without one";
            exam.note("server", found, "");
            return None;
        }
        Err(error @ TmuxError::NotOurs { .. }) => {
            exam.problem("server", &error.to_string(), "name a server of your own: -L or -S");
            return None;
        }
        Err(error) => {
            let remedy = "wait if it is busy; else use the tmux program that started it, or \
                          restart it: sessions are kept as lost and can be restored";
            exam.problem("server", &error.to_string(), remedy);
            return None;
        }
    };
    exam.server = Some(answer.snapshot.server);
    let pid = answer.snapshot.server.pid;
    let sessions = count(answer.snapshot.sessions.len(), "session");
    let found = format!("{} with {sessions}, process {pid}", answer.version);
    if answer.version == program {
        exam.ok("server", &found);
    } else {
        let found = format!("{found}; the tmux program is {program}");
        exam.note(
            "server",
            &found,
            "restart the server when it suits: then both are of one version",
        );
    }
    Some(answer)
}

/// Whether a server runs that nobody reaches: its socket was removed, by a cleaner of /tmp say.
fn check_socket(exam: &mut Examination, place: &Place, is_answered: bool) {
    let Ok(remembered) = sync::peek(place) else { return };
    let memory = remembered.memory;
    for other in &memory.unreachable {
        let found = format!(
            "{} in another tmux (process {}), whose socket is gone",
            count(other.uuids.len(), "session"),
            other.server.pid
        );
        let remedy = "end this server, then roster doctor --fix reaches that one; or roster \
                      restore --all --force makes new sessions of theirs";
        exam.problem("socket", &found, remedy);
    }
    let none = TmuxError::NoServer { socket: place.tmux.socket.clone() };
    if is_answered || exam.findings.iter().any(|f| f.check == "server" && f.level != Level::Note) {
        return;
    }
    if let TmuxError::Unreachable { socket, pid } = sync::without_socket(none, &memory) {
        // No server answers, but that is not all there is to say.
        exam.findings.retain(|finding| finding.check != "server");
        let sessions = count(memory.sessions.len(), "session");
        let found = format!(
            "tmux runs with {sessions} (process {pid}), but its socket {} is gone",
            socket.display()
        );
        exam.mendable("server", &found, Repair::Socket);
    }
}

/// What is recorded here for other hosts that share this home.
fn check_hosts(exam: &mut Examination, place: &Place) {
    for other in host::siblings(&place.dir) {
        let store = Store::new(other.dir.join(REGISTRY));
        let sessions = count(store.names().map_or(0, |names| names.len()), "session");
        let now = Timestamp::now();
        let seen = store.peek_times().and_then(|times| times.queried.elapsed().ok());
        let seen = seen.map_or("never".to_owned(), |since| {
            format!("{} ago", age(now.plus_seconds(-(since.as_secs() as i64)), now))
        });
        let found = format!("{sessions} recorded for the host {}, last seen {seen}", other.node);
        let node = to_paste(&other.node);
        let remedy = format!("if it runs them no more: roster restore --from {node}");
        exam.note("hosts", &found, &remedy);
    }
}

/// The folder of the files, as the server has it, this shell, and at last our environment.
fn check_folder(
    exam: &mut Examination,
    context: &Context,
    tmux: &Tmux,
    settings: Option<&Settings>,
) -> Option<Place> {
    let place = |dir: &Path| Some(Place { tmux: tmux.clone(), dir: dir.to_owned() });
    let shell = context.environment.published_dir(&tmux.socket);
    let server = settings.and_then(|settings| settings.dir.as_deref());
    match (server, shell) {
        (Some(server), Some(shell)) if server != shell => {
            let (server, shell) = (server.display(), shell.display());
            let found = format!("the server uses {server}, but this shell was told {shell}");
            exam.problem("folder", &found, "open a new pane, whose shell is told anew");
        }
        _ => {}
    }
    if let Some(dir) = server.or(shell) {
        return place(dir);
    }
    match context.place_without_tmux() {
        Ok(found) => Some(found),
        Err(Failure::Error(error)) => {
            exam.problem("folder", &error.to_string(), "set HOME");
            None
        }
        Err(Failure::Usage(_)) => None,
    }
}

/// Whether the plugin is loaded, with a program that is there, runs, and is of our version.
fn check_plugin(exam: &mut Examination, answer: &Answer, settings: &Settings) {
    if !settings.plugin_is_loaded {
        let found = "it is not loaded in this server: nothing is recorded";
        let remedy = "load plugin.tmux in tmux.conf (TPM, or run-shell); for now: ";
        exam.problem("plugin", found, &format!("{remedy}{FIX}"));
        exam.repair(Repair::Load);
        return;
    }
    let ours = env!("CARGO_PKG_VERSION");
    let loaded = value(answer, "@roster_version");
    if loaded == ours {
        exam.ok("plugin", &loaded);
    } else {
        let found = format!("version {loaded:?} is loaded, this program is {ours}");
        exam.mendable("plugin", &found, Repair::Load);
    }
    let run = value(answer, "@roster_run");
    let words = shell_words::split(&run).unwrap_or_default();
    let Some(program) = words.first() else {
        exam.mendable("program", "@roster_run names no program", Repair::Load);
        return;
    };
    let mut command = Command::new(program);
    command.arg("--version");
    match first_line(command) {
        Some(line) if line == format!("roster {ours}") => exam.ok("program", program),
        Some(line) => {
            let found = format!("the hooks run {program}, which is {line:?}, not {ours}");
            exam.mendable("program", &found, Repair::Load);
        }
        None => {
            let found = format!("the hooks run {program}, which does not answer");
            exam.mendable("program", &found, Repair::Load);
        }
    }
}

/// Whether each hook holds our line, and no session has hooks of its own that hide it.
fn check_hooks(exam: &mut Examination, tmux: &Tmux, answer: &Answer, settings: &Settings) {
    if !settings.plugin_is_loaded {
        return;
    }
    let hidden = Version::parse(&answer.version).at_least(3, 2);
    let mut well = Vec::new();
    for hook in HOOKS {
        let found = match our_hook_in(&answer.hooks, hook, hidden) {
            Some(true) => {
                well.push(hook);
                continue;
            }
            Some(false) => format!("{hook}[{HOOK_INDEX}] holds another line than ours"),
            None => format!("{hook} was wiped, as set-hook without an index does (in tmux.conf?)"),
        };
        exam.mendable(
            "hooks",
            &found,
            Repair::Tell(format!("our hook {hook}"), set_hook(hook, hidden)),
        );
    }
    let shadows = match shadows(tmux, &well) {
        Ok(shadows) => shadows,
        Err(error) => return exam.problem("hooks", &error.to_string(), ""),
    };
    for (id, name, hook) in &shadows {
        let index = format!("{hook}[{HOOK_INDEX}]");
        let found =
            format!("session {name:?} ({id}) has a hook {hook} of its own, which hides ours");
        let words: [&[u8]; 5] = [
            b"set-hook",
            b"-t",
            id.as_bytes(),
            index.as_bytes(),
            hook_line(hook, hidden).as_bytes(),
        ];
        exam.mendable(
            "hooks",
            &found,
            Repair::Tell(format!("our hook {hook} of {id}"), line(&words)),
        );
    }
    if well.len() == HOOKS.len() && shadows.is_empty() {
        exam.ok("hooks", &format!("all {} are at index {HOOK_INDEX}", HOOKS.len()));
    }
}

/// Sessions for which our hooks, which are there, do not show: id, name, hook.
fn shadows(
    tmux: &Tmux,
    hooks: &[&'static str],
) -> Result<Vec<(String, String, &'static str)>, TmuxError> {
    let flags: Vec<String> =
        hooks.iter().map(|hook| format!("#{{?{hook}[{HOOK_INDEX}],1,0}}")).collect();
    let format = format!("#{{session_id}} {} #{{session_name}}", flags.concat());
    let args = ["list-sessions", "-F", &format];
    let printed = tmux.run(&args, Instant::now() + TYPED_LIMIT)?;
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&printed).lines() {
        let mut fields = line.splitn(3, ' ');
        let (Some(id), Some(flags)) = (fields.next(), fields.next()) else { continue };
        // A name may hold a newline: what does not look like a record is the rest of one.
        if !id.starts_with('$') || flags.len() != hooks.len() {
            continue;
        }
        let name = fields.next().unwrap_or_default();
        let hiding = hooks.iter().zip(flags.bytes()).filter(|(_, flag)| *flag == b'0');
        found.extend(hiding.map(|(hook, _)| (id.to_owned(), name.to_owned(), *hook)));
    }
    Ok(found)
}

fn check_options(
    exam: &mut Examination,
    context: &Context,
    tmux: &Tmux,
    answer: &Answer,
    settings: &Settings,
) {
    let before = exam.findings.len();
    for complaint in &settings.complaints {
        exam.problem("options", complaint, "set it right in tmux.conf");
    }
    let show = |args: &[&str]| {
        let printed = tmux.run(args, Instant::now() + TYPED_LIMIT)?;
        Ok::<_, TmuxError>(String::from_utf8_lossy(&printed).into_owned())
    };
    let listed = match show(&["show-options", "-g"]) {
        Ok(listed) => listed,
        Err(error) => return exam.problem("options", &error.to_string(), ""),
    };
    let names = options::names(&listed);
    let mut complaints: Vec<_> = names.iter().filter_map(|name| options::misspelt(name)).collect();
    let home = context.environment.home();
    let of_scripts = options::OF_SCRIPTS.into_iter();
    complaints.extend(
        of_scripts.filter_map(|name| options::of_scripts(name, &value(answer, name), home)),
    );
    for name in names.iter().filter(|name| name.starts_with(options::COMMAND)) {
        match show(&["show-options", "-gqv", name]) {
            Ok(value) => complaints.extend(options::command(name, &value)),
            Err(error) => exam.problem("options", &error.to_string(), ""),
        }
    }
    // What cannot be split is among the settings' complaints.
    for name in OPTIONS.iter().filter(|name| name.contains("-on-")) {
        let value = value(answer, name);
        if shell_words::split(&value).is_ok() {
            complaints.extend(options::command(name, &value));
        }
    }
    for (found, remedy) in &complaints {
        exam.problem("options", found, remedy);
    }
    let modes = settings.modes.join(" ");
    // A value alone does not tell an option that is empty from one that is not set.
    if names.contains(&"@roster-modes") && value(answer, "@roster-modes").trim().is_empty() {
        let found = format!("@roster-modes is empty: taken as {modes}");
        exam.note("options", &found, "name modes in it, or take it out of tmux.conf");
    }
    let mode = &settings.policy.default_mode;
    let has_command = names.contains(&format!("{}{mode}", options::COMMAND).as_str());
    let is_set = !value(answer, "@roster-default-mode").trim().is_empty();
    if is_set && !has_command && !settings.modes.contains(mode) {
        let found =
            format!("@roster-default-mode is {mode:?}, which is not in @roster-modes ({modes})");
        exam.note("options", &found, "name it there too, or take one of those");
    }
    if exam.findings.len() == before {
        exam.ok("options", "all values can be read");
    }
}

/// Keys that are the user's, and other plugins that restore sessions.
fn check_keys(exam: &mut Examination, tmux: &Tmux, answer: &Answer, settings: &Settings) {
    let listed = tmux.run(&["list-keys", "-T", "prefix"], Instant::now() + TYPED_LIMIT);
    let listed = match listed {
        Ok(printed) => String::from_utf8_lossy(&printed).into_owned(),
        Err(error) => return exam.problem("keys", &error.to_string(), ""),
    };
    if settings.plugin_is_loaded {
        let keys = match load::keys(tmux, Instant::now() + TYPED_LIMIT) {
            Ok(keys) => keys,
            Err(_) => return exam.problem("keys", "tmux does not tell its keys", FIX),
        };
        for (key, state) in &keys {
            let (found, remedy) = match state {
                KeyState::Ours => continue,
                KeyState::Users => {
                    ("is bound to something else: left alone", "unbind it, or use another")
                }
                KeyState::Unbound => ("is not bound any more, or no key of tmux", FIX),
            };
            exam.note("keys", &format!("prefix {key} {found}"), remedy);
            if *state == KeyState::Unbound {
                exam.repair(Repair::Load);
            }
        }
        if keys.iter().all(|(_, state)| *state == KeyState::Ours) {
            exam.ok("keys", &format!("{} bound", keys.len()));
        }
    }
    let continuum = value(answer, "@continuum-restore") == "on";
    if continuum && value(answer, "@roster-restore") == "on" {
        let found = "tmux-continuum restores at start, so @roster-restore stands aside";
        exam.note("plugins", found, "leave only one of @continuum-restore and @roster-restore on");
    } else if continuum || value(answer, "status-right").contains("continuum") {
        exam.ok("plugins", "tmux-continuum: sessions that it restores keep their identity");
    } else if listed.contains("resurrect") {
        exam.ok("plugins", "tmux-resurrect: sessions that it restores keep their identity");
    }
}

/// Nobody else may read or change the files.
fn check_permissions(exam: &mut Examination, place: &Place) {
    let mut wrong = false;
    let mut check = |exam: &mut Examination, path: &Path, mode: u32| {
        // Links are not followed: what they lead to is not ours to change.
        let Ok(found) = fs::symlink_metadata(path) else { return };
        let bits = found.mode() & 0o7777;
        let owner = rustix::process::geteuid().as_raw();
        if found.uid() != owner {
            wrong = true;
            let found = format!("{} belongs to user {}", path.display(), found.uid());
            exam.problem("permissions", &found, "chown it, or move it away");
        } else if (found.is_file() || found.is_dir()) && bits != mode {
            wrong = true;
            let found = format!("{} is {bits:04o}, not {mode:04o}", path.display());
            exam.mendable("permissions", &found, Repair::Private(path.to_owned(), mode));
        }
    };
    check(exam, &place.dir, 0o700);
    for entry in fs::read_dir(&place.dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            check(exam, &entry.path(), file::PRIVATE);
        }
    }
    if !wrong && place.dir.is_dir() {
        exam.ok("permissions", &format!("{} is yours alone", place.dir.display()));
    }
}

/// Whether the lock can be had. It is not made where there is none.
fn check_lock(exam: &mut Examination, place: &Place) -> bool {
    let path = file::with_suffix(&place.registry(), ".lock");
    if !file::exists(&path) {
        return true;
    }
    let store = Store::new(place.registry()).waiting(LOCK_LIMIT);
    match store.lock() {
        Ok(_) => {
            exam.ok("lock", "free");
            true
        }
        Err(error @ StoreError::Busy { .. }) => {
            let remedy = format!("find out who: fuser {}", path.display());
            exam.problem("lock", &error.to_string(), &remedy);
            false
        }
        Err(error) => {
            exam.problem("lock", &error.to_string(), "move it away");
            true
        }
    }
}

/// The registry can be read and, where a server runs, tells the same as tmux.
fn check_registry(
    exam: &mut Examination,
    place: &Place,
    answer: Option<&Answer>,
    settings: Option<&Settings>,
    lock_is_free: bool,
) {
    let path = place.registry();
    if let Err(error @ StoreError::Damaged { .. }) = sync::read_closed(place) {
        let found = format!("the list of closed sessions: {error}");
        exam.mendable("registry", &found, Repair::Sync);
    }
    let remembered = match sync::peek(place) {
        Ok(remembered) => remembered,
        Err(error @ StoreError::Damaged { .. }) => {
            return exam.mendable("registry", &error.to_string(), Repair::Sync);
        }
        Err(error @ StoreError::Newer { .. }) => {
            return exam.problem("registry", &error.to_string(), "upgrade tmux-roster");
        }
        Err(error) => {
            let remedy = "mend or move away what stands there";
            return exam.problem("registry", &error.to_string(), remedy);
        }
    };
    let bytes = file::read(&path).ok().flatten();
    let Some(bytes) = bytes else {
        let has_sessions = answer.is_some_and(|answer| !answer.snapshot.sessions.is_empty());
        match has_sessions && settings.is_some_and(|settings| settings.plugin_is_loaded) {
            true => exam.mendable("registry", "there is none yet", Repair::Sync),
            false => exam.note("registry", &format!("there is none yet ({})", path.display()), ""),
        }
        return;
    };
    let last = file::with_suffix(&path, ".last");
    if fs::symlink_metadata(&last).is_ok_and(|found| found.is_dir()) {
        let found = format!("{} is a folder: there is no last good copy", last.display());
        exam.problem("registry", &found, "remove it");
    }
    let sessions = count(remembered.registry.sessions.len(), "session");
    let found = format!("{sessions} in {}", path.display());
    match serde_json::from_slice::<RegistryFile>(&bytes) {
        Ok(RegistryFile { version: FileVersion::Known(version), .. })
            if version < SCHEMA_VERSION =>
        {
            let found = format!("{found}, of the older version {version}");
            exam.note("registry", &found, "roster migrate");
        }
        _ => exam.ok("registry", &format!("{found}, version {SCHEMA_VERSION}")),
    }
    let (Some(answer), Some(settings)) = (answer, settings) else { return };
    if !settings.plugin_is_loaded {
        return;
    }
    let step = match wait_for_step(place, remembered, answer, settings) {
        Ok(step) => step,
        Err(error) => return exam.problem("step", &error, ""),
    };
    if (step.changes, step.effects) == (0, 0) {
        exam.ok("step", "registry and tmux agree");
        return check_stamps(exam, place, &step.unstamped);
    }
    let found = format!(
        "registry and tmux differ: {} to change, {} to tell tmux",
        count(step.changes, "record"),
        count(step.effects, "thing")
    );
    match lock_is_free {
        true => exam.mendable("step", &found, Repair::Sync),
        false => exam.problem("step", &found, "free the lock"),
    }
}

/// How far registry and tmux are apart.
struct Step {
    /// How many records a sync would change.
    changes: usize,
    /// How many things it would tell tmux.
    effects: usize,
    /// Live sessions that do not show their UUID, and that UUID.
    unstamped: Vec<(SessionId, String)>,
}

/// How much a sync would have to do. One that is on its way gets the time to do it.
fn wait_for_step(
    place: &Place,
    mut remembered: Remembered,
    answer: &Answer,
    settings: &Settings,
) -> Result<Step, String> {
    let started = Instant::now();
    let mut answer = answer.clone();
    loop {
        let now = Timestamp::now();
        let (snapshot, policy) = (&mut answer.snapshot, &settings.policy);
        let deadline = Instant::now() + TYPED_LIMIT;
        directories::settle(&place.tmux, &remembered, snapshot, policy, deadline);
        let plan = directories::plan(&remembered, snapshot, policy, now, &mut new_uuid);
        let (before, after) = (&remembered.registry.sessions, &plan.next.registry.sessions);
        let changed = after.iter().filter(|(name, record)| before.get(*name) != Some(record));
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let sessions = answer.snapshot.sessions.iter();
        let unstamped = sessions
            .filter_map(|live| plan.live.get(&live.id).map(|uuid| (live, uuid)))
            .filter(|(live, uuid)| live.stamp != **uuid)
            .map(|(live, uuid)| (live.id, uuid.clone()));
        let step = Step {
            changes: changed.count() + gone.count(),
            effects: plan.effects.len(),
            unstamped: unstamped.collect(),
        };
        if step.changes + step.effects == 0 || started.elapsed() > STEP_LIMIT {
            return Ok(step);
        }
        std::thread::sleep(Duration::from_millis(100));
        remembered = sync::peek(place).map_err(|error| error.to_string())?;
        answer =
            sync::ask(place, Instant::now() + TYPED_LIMIT).map_err(|error| error.to_string())?;
    }
}

/// A sync stamps a session only once or twice, lest it fight with somebody for ever.
fn check_stamps(exam: &mut Examination, place: &Place, unstamped: &[(SessionId, String)]) {
    for (id, uuid) in unstamped {
        let id = id.to_string();
        let show = ["show-options", "-qv", "-t", &id, "@roster_uuid"];
        let own = place.tmux.run(&show, Instant::now() + TYPED_LIMIT).unwrap_or_default();
        if String::from_utf8_lossy(&own).trim_end() == uuid {
            let found = format!("a window or pane option hides the @roster_uuid of session {id}");
            exam.note("stamps", &found, "unset @roster_uuid in its windows and panes");
            continue;
        }
        let found = format!("session {id} does not have its @roster_uuid");
        let words: [&[u8]; 5] =
            [b"set-option", b"-t", id.as_bytes(), b"@roster_uuid", uuid.as_bytes()];
        let repair = Repair::Tell(format!("the stamp of {id}"), line(&words));
        exam.mendable("stamps", &found, repair);
    }
}

/// When something last happened: what stands still for weeks while people work is broken.
fn check_times(exam: &mut Examination, place: &Place) {
    let ago = |time: SystemTime| match SystemTime::now().duration_since(time) {
        Ok(since) => {
            let now = Timestamp::now();
            format!("{} ago", age(now.plus_seconds(-(since.as_secs() as i64)), now))
        }
        Err(_) => "in the future".to_owned(),
    };
    let Some(times) = Store::new(place.registry()).peek_times() else {
        return exam.note("last sync", "there was none yet", "");
    };
    let mut found = ago(times.queried);
    if let Ok(changed) = fs::metadata(place.registry()).and_then(|found| found.modified()) {
        found.push_str(&format!("; the registry changed {}", ago(changed)));
    }
    exam.ok("last sync", &found);
}

fn check_log(exam: &mut Examination, place: &Place) {
    let bytes = match file::read(&place.log()) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => return exam.problem("log", &error.to_string(), "move it away"),
    };
    let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LOG_TAIL)..]).into_owned();
    let since = Timestamp::now().plus_seconds(-DAY);
    let read = |line: &str| {
        let (time, message) = line.split_once(' ')?;
        let time = Timestamp::parse(time).filter(|time| *time >= since)?;
        Some(format!("{} ago: {}", age(time, Timestamp::now()), visible(message)))
    };
    let mut lines: Vec<String> = tail.lines().filter_map(read).collect();
    if lines.is_empty() {
        return exam.ok("log", "no problem in the last day");
    }
    let found = match lines.len() {
        all @ ..=LOG_LINES => format!("{} in the last day", count(all, "line")),
        all => format!("{} in the last day, the last {LOG_LINES}:", count(all, "line")),
    };
    lines.drain(..lines.len().saturating_sub(LOG_LINES));
    let remedy = visible(&format!("read {}", place.log().display()));
    exam.findings.push(Finding { check: "log", level: Level::Note, found, remedy, lines });
}

/// Why scripts/install could not get the program of the plugin's version, if that is another one.
fn check_install(exam: &mut Examination, context: &Context) {
    let path = context.environment.data_dir().map(|dir| dir.join("install-failed"));
    let text = path.and_then(|path| file::read(&path).ok()).flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines();
    if let (Some(version), Some(_), Some(reason)) = (lines.next(), lines.next(), lines.next()) {
        // An older one is of before this program came in another way.
        let number = |version: &str| -> Vec<u32> {
            version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
        };
        if number(version) > number(env!("CARGO_PKG_VERSION")) {
            let found =
                format!("the program of the plugin's version {version} is missing: {reason}");
            exam.problem(
                "install",
                &found,
                "mend that, then scripts/install in the plugin's folder",
            );
        }
    }
}

fn check_fzf(exam: &mut Examination) {
    let version = super::pick::fzf().and_then(|program| {
        let mut command = Command::new(program);
        command.arg("--version");
        first_line(command)
    });
    match version {
        Some(version) => exam.ok("fzf", &version),
        None => exam.note("fzf", "not found: tmux's own menus are used", "install fzf"),
    }
}

/// The first line that a program prints, if it ends well and in time.
fn first_line(command: Command) -> Option<String> {
    let output = Running::start(command).ok()?.finish(Instant::now() + TYPED_LIMIT).ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().filter(|_| output.success)?;
    Some(line.trim().to_owned())
}

/// Does the repairs and tells of each how it went.
fn mend(examined: &Examination) -> Vec<Finding> {
    let mut exam = Examination::default();
    let Some(place) = &examined.place else { return exam.findings };
    let store = sync::store(place, Trigger::Person);
    for repair in &examined.repairs {
        // Whoever holds the lock clears away temporary files, those for source-file among them.
        let held = match repair {
            Repair::Tell(..) | Repair::Load => store.lock().ok(),
            Repair::Private(..) | Repair::Sync | Repair::Socket => None,
        };
        let (what, done) = match repair {
            Repair::Private(path, mode) => {
                (format!("made {} {mode:04o}", path.display()), make_private(path, *mode))
            }
            Repair::Tell(what, line) => {
                (format!("put {what} back"), put_back(place, examined.server, line))
            }
            Repair::Load => {
                let deadline = Instant::now() + TYPED_LIMIT;
                let loaded = sync::options(place, &["@roster-binary"], deadline)
                    .map_err(Failure::from)
                    .and_then(|values| {
                        let is_chosen = values.iter().any(|value| !value.is_empty());
                        load::load_into(&Environment::read(), place, false, is_chosen)
                    })
                    .map_err(|failure| match failure {
                        Failure::Usage(message) => message,
                        Failure::Error(error) => error.to_string(),
                    });
                drop(held);
                // The job that loading starts may take its time, and what is looked at next is
                // what there is then.
                let _ = sync::sync(place, Trigger::Person);
                ("loaded the plugin".to_owned(), loaded)
            }
            Repair::Socket => ("reached the server by a new socket".to_owned(), make_socket(place)),
            Repair::Sync => {
                let synced = sync::sync(place, Trigger::Person).map(drop);
                let synced = match synced {
                    // Reading under the lock is what mends a damaged file.
                    Err(sync::SyncError::Tmux(TmuxError::NoServer { .. })) => {
                        sync::change_offline(place, |_| false).map(drop)
                    }
                    synced => synced,
                };
                (
                    "brought registry and tmux into step".to_owned(),
                    synced.map_err(|e| e.to_string()),
                )
            }
        };
        match done {
            Ok(()) => exam.ok("mended", &what),
            Err(error) => exam.problem("mended", &format!("not {what}: {error}"), ""),
        }
    }
    exam.findings
}

/// Has the server make its socket again, unless another server answers there by now.
fn make_socket(place: &Place) -> Result<(), String> {
    let answers = || sync::ask(place, Instant::now() + TYPED_LIMIT);
    if let Some(folder) = place.tmux.socket.parent() {
        // tmux does not make it, and takes no other's.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    }
    let none = match answers() {
        Err(none @ TmuxError::NoServer { .. }) => none,
        Err(error) => return Err(error.to_string()),
        Ok(_) => return Err("a server answers there now".into()),
    };
    let memory = sync::peek(place).map_err(|error| error.to_string())?.memory;
    let TmuxError::Unreachable { pid, .. } = sync::without_socket(none, &memory) else {
        return Err("it has ended meanwhile".into());
    };
    let process = pid.try_into().ok().and_then(Pid::from_raw).ok_or("it has no process")?;
    kill_process(process, Signal::USR1).map_err(|error| error.to_string())?;
    let until = Instant::now() + TYPED_LIMIT;
    loop {
        match answers() {
            Ok(_) => return Ok(()),
            Err(TmuxError::NoServer { .. }) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn make_private(path: &Path, mode: u32) -> Result<(), String> {
    let changed = fs::symlink_metadata(path).and_then(|found| match found.is_symlink() {
        true => Err(io::Error::other("it is a link now")),
        false => fs::set_permissions(path, Permissions::from_mode(mode)),
    });
    changed.map_err(|error| error.to_string())
}

fn put_back(place: &Place, server: Option<ServerId>, line: &[u8]) -> Result<(), String> {
    let lines = [line.to_vec()];
    sync::run_lines(place, server, &lines, Instant::now() + TYPED_LIMIT)
        .map(drop)
        .map_err(|e| e.to_string())
}
