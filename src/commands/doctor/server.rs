//! What doctor looks at in tmux: the program, the server, the plugin in it, hooks, options and keys.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tmux_roster::config::{LATE_OPTIONS, OPTIONS, Place, REGISTRY, Settings, is_program};
use tmux_roster::model::memory::Unreachable;
use tmux_roster::options::{Reader, read_by};
use tmux_roster::tmux::call::With;
use tmux_roster::tmux::hooks::{HOOKS, Hook};
use tmux_roster::tmux::query::Answer;
use tmux_roster::tmux::server::lost_directory;
use tmux_roster::tmux::status::with_placeholders;
use tmux_roster::tmux::{ANSWER_LIMIT, Running, Tmux, TmuxError, Version, call, program};
use tmux_roster::{Store, Timestamp, host, persist, transaction};

use crate::commands::context::Context;
use crate::commands::doctor::files::cannot_be_made;
use crate::commands::doctor::{Examination, FIX, Level, Repair, options, scratch};
use crate::commands::load::keys::{self, KeyState};
use crate::commands::output::{age, count, to_paste};

/// What is asked for beside the options of a sync.
const MORE_OPTIONS: [&str; 3] = ["@roster_late", "@roster_version", "status-right"];

/// The tmux program, and what its version cannot do. Returns the version as it is printed.
pub fn check_program(exam: &mut Examination, tmux: &Tmux) -> Option<String> {
    let path = tmux.program.display();
    let mut command = tmux.bare_command();
    command.arg("-V");
    let Some(printed) = first_line(command) else {
        exam.problem(
            "tmux",
            &format!("{path} does not report its version"),
            "install tmux 3.2 or newer",
        );
        return None;
    };
    let name = printed.strip_prefix("tmux ").unwrap_or(&printed).to_owned();
    let version = Version::parse(&name);
    if let Some(before) = program::on_disk(&tmux.program).filter(|before| *before != tmux.program) {
        let mut command = Command::new(&before);
        command.arg("-V");
        let now = match first_line(command) {
            Some(now) => format!("is {} now", now.strip_prefix("tmux ").unwrap_or(&now)),
            None => "does not report its version".to_owned(),
        };
        let found = format!(
            "tmux was upgraded under the running server, which is {name}: {} {now}",
            before.display()
        );
        let remedy = "restart the server when convenient; until then its own program is used";
        exam.note("tmux", &found, remedy);
    }
    let found = format!("{name} ({path})");
    if !version.is_supported() {
        exam.problem("tmux", &format!("{found} is not supported"), "install tmux 3.0 or newer");
    } else if !version.has_popups() {
        let lacks = "has no popups, no timers, and does not report a session's directory: menus \
                     are used, directories are guessed";
        exam.note("tmux", &format!("{found} {lacks}"), "upgrade to tmux 3.2 or newer");
    } else if matches!(name.as_str(), "3.6" | "3.6a" | "3.6b") {
        let crashes = "crashes, with all sessions, on a format with a comma inside #{S:…} while \
                       no client is attached (tmux-roster uses none)";
        exam.note("tmux", &format!("{found} {crashes}"), "upgrade to tmux 3.7 or newer");
    } else {
        exam.ok("tmux", &found);
    }
    Some(name)
}

/// The options that the server is asked for, in the order of the answer.
fn asked_for() -> Vec<&'static str> {
    [&LATE_OPTIONS[..], &MORE_OPTIONS, &scratch::OPTIONS, &others()].concat()
}

/// Those that neither a sync nor the making of a session reads.
fn others() -> Vec<&'static str> {
    let readers = [Reader::Scripts, Reader::Notice, Reader::Picker, Reader::Load];
    readers.into_iter().flat_map(read_by).collect()
}

/// The value of one of them.
pub fn value(answer: &Answer, name: &str) -> String {
    let at = asked_for().iter().position(|option| *option == name);
    at.map(|at| String::from_utf8_lossy(&answer.options[at]).into_owned()).unwrap_or_default()
}

/// The server: whether it answers, whole and in time, and whether its version is the program's.
pub fn check_server(exam: &mut Examination, tmux: &Tmux, program: &str) -> Option<Answer> {
    let options = asked_for();
    let answer = match call::ask(
        tmux,
        With { hooks: true, panes: None },
        &options,
        Instant::now() + ANSWER_LIMIT,
    ) {
        Ok(answer) => answer,
        Err(error @ TmuxError::NoServer { .. }) => {
            exam.note("server", &format!("{error}: only the files were checked"), "");
            return None;
        }
        Err(TmuxError::Empty) => {
            let found = "it has no sessions, and before tmux 3.2 cannot be queried without one";
            exam.note("server", found, "");
            return None;
        }
        Err(error @ TmuxError::NotOurs { .. }) => {
            exam.problem(
                "server",
                &error.to_string(),
                "choose one of your own servers with -L or -S",
            );
            return None;
        }
        Err(error) => {
            let remedy = "wait if it is busy; otherwise use the tmux program that started it, or \
                          restart it: its sessions are then lost and can be restored";
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
            "restart the server when convenient, so that both are of one version",
        );
    }
    Some(answer)
}

/// Whether the server still has the directory that it was started in, where its version needs it.
pub fn check_directory(exam: &mut Examination, answer: &Answer) {
    let clings = Version::parse(&answer.version).clings_to_its_directory();
    let lost = clings.then(|| lost_directory(answer.snapshot.server.pid)).flatten();
    if let Some(directory) = lost {
        let found = format!(
            "the directory that the server was started in is gone ({}): it starts new windows and \
             panes there, not in their own",
            directory.display()
        );
        let remedy = "restart the server when convenient: its sessions are then lost and can be \
                      restored";
        exam.problem("server", &found, remedy);
    }
}

/// Whether a server runs that nobody reaches: its socket was removed, by a cleaner of /tmp say.
pub fn check_socket(exam: &mut Examination, place: &Place, is_answered: bool) {
    let Ok(remembered) = persist::peek(place) else { return };
    let memory = remembered.memory;
    let none = TmuxError::NoServer { socket: place.tmux.socket.clone() };
    let is_silent = exam.findings.iter().any(|f| f.check == "server" && f.level != Level::Note);
    match transaction::without_socket(none, &memory) {
        TmuxError::Unreachable { socket, pid } if !is_answered && !is_silent => {
            // No server answers, but that is not all there is to say.
            exam.findings.retain(|finding| finding.check != "server");
            let of_last =
                memory.server.filter(|last| last.pid == pid).map(|_| memory.sessions.len());
            let before = memory.unreachable.iter().find(|other| other.server.pid == pid);
            let sessions = of_last.or(before.map(|other| other.uuids.len())).unwrap_or_default();
            let found = format!(
                "tmux is running with {} (process {pid}), but its socket {} is gone",
                count(sessions, "session"),
                socket.display()
            );
            exam.mendable("server", &found, Repair::Socket);
        }
        _ => {}
    }
    let here = host::here();
    let runs = |o: &&Unreachable| host::is_running(o.server, o.started, None, &here);
    let answered = exam.server;
    let is_other = |o: &&Unreachable| answered.is_some_and(|server| server != o.server);
    for other in memory.unreachable.iter().filter(runs).filter(is_other) {
        let found = format!(
            "{} in another tmux server (process {}), whose socket is gone",
            count(other.uuids.len(), "session"),
            other.server.pid
        );
        let remedy = "end this server, then run roster doctor --fix to reach that one; or run \
                      roster restore --all --force to create new sessions instead";
        exam.problem("socket", &found, remedy);
    }
}

/// What is recorded here for other hosts that share this home.
pub fn check_hosts(exam: &mut Examination, place: &Place) {
    for other in host::siblings(&place.dir) {
        let store = Store::new(other.dir.join(REGISTRY));
        let sessions = match store.names() {
            Ok(names) if names.is_empty() => continue,
            Ok(names) => count(names.len(), "session"),
            Err(error) => {
                let found = format!("the registry of the host {}: {error}", other.node);
                exam.problem("hosts", &found, "");
                continue;
            }
        };
        let now = Timestamp::now();
        let seen = store.peek_times().and_then(|times| times.queried.elapsed().ok());
        let seen = seen.map_or("never seen".to_owned(), |since| {
            format!("last seen {} ago", age(now.plus_seconds(-(since.as_secs() as i64)), now))
        });
        let found = format!("{sessions} recorded for the host {}, {seen}", other.node);
        let node = to_paste(&other.node);
        let remedy = format!("if it no longer runs them: roster restore --from {node}");
        exam.note("hosts", &found, &remedy);
    }
}

/// The folder of the files, as the server has it, this shell, and at last our environment.
pub fn check_folder(
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
            exam.problem(
                "folder",
                &found,
                "open a new pane, whose shell will be told the right one",
            );
        }
        _ => {}
    }
    if let Some(dir) = server.or(shell) {
        return place(dir);
    }
    match context.place_without_tmux() {
        Ok(found) => Some(found),
        Err(failure) => {
            exam.problem("folder", failure.text(), "set HOME");
            None
        }
    }
}

/// Whether the plugin is loaded, with a program that is there, runs, and is of our version.
pub fn check_plugin(
    exam: &mut Examination,
    answer: &Answer,
    settings: &Settings,
    place: Option<&Place>,
) {
    if !settings.plugin_is_loaded {
        let found = "not loaded in this server: nothing is recorded";
        if place.is_some_and(|place| cannot_be_made(&place.dir).is_some()) {
            let remedy = "it has no folder (see below): once it can have one, reload tmux.conf";
            return exam.problem("plugin", found, remedy);
        }
        let remedy = "load plugin.tmux in tmux.conf (TPM, or run-shell); for now: ";
        exam.problem("plugin", found, &format!("{remedy}{FIX}"));
        exam.repair(Repair::Load);
        return;
    }
    let ours = env!("CARGO_PKG_VERSION");
    let loaded = value(answer, "@roster_version");
    if loaded == ours && value(answer, "@roster_late").is_empty() {
        let found = "loaded by an earlier build: windows are not recorded";
        exam.mendable("plugin", found, Repair::Load);
    } else if loaded == ours {
        exam.ok("plugin", &loaded);
    } else {
        let found = format!("version {loaded:?} is loaded, but this program is {ours}");
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
            let found = format!("the hooks run {program}, which does not respond");
            exam.mendable("program", &found, Repair::Load);
        }
    }
}

/// Whether each hook holds our line, and no session or window has hooks of its own that hide it.
pub fn check_hooks(exam: &mut Examination, tmux: &Tmux, answer: &Answer, settings: &Settings) {
    if !settings.plugin_is_loaded {
        return;
    }
    let version = Version::parse(&answer.version);
    let mut well = Vec::new();
    for hook in HOOKS {
        let name = hook.name;
        let found = match hook.is_set_in(&answer.hooks, version) {
            Some(true) => {
                well.push(hook);
                continue;
            }
            Some(false) => format!("{name}[{}] holds a command that is not ours", hook.index),
            None => format!("{name} was wiped, as set-hook without an index does (in tmux.conf?)"),
        };
        exam.mendable("hooks", &found, Repair::Tell(format!("our hook {name}"), hook.set(version)));
    }
    // Without a session there is none, and list-windows fails.
    let is_empty = answer.snapshot.sessions.is_empty();
    let shadows = match shadows(tmux, if is_empty { &[] } else { &well }, version) {
        Ok(shadows) => shadows,
        Err(error) => return exam.problem("hooks", &error.to_string(), ""),
    };
    for Shadow { id, whose, hook } in &shadows {
        let found = format!("{whose} ({id}) has a hook {} of its own, which hides ours", hook.name);
        let what = format!("our hook {} of {id}", hook.name);
        let lines = match hook.is_of_windows(version) {
            true => vec![hook.set_in_window(id, version)],
            false => vec![hook.set_in_session(id, version)],
        };
        exam.mendable("hooks", &found, Repair::Tell(what, lines));
    }
    if well.len() == HOOKS.len() && shadows.is_empty() {
        exam.ok("hooks", &format!("all {} are set", HOOKS.len()));
    }
}

/// Whether a status line that was set after us has placeholders that show nothing.
pub fn check_status(exam: &mut Examination, answer: &Answer, settings: &Settings) {
    let blank = with_placeholders(&answer.hooks).filter(|_| settings.plugin_is_loaded);
    if let Some(option) = blank {
        let found = format!(
            "{option} was set after the plugin was loaded: #{{roster_mode}} and the like are blank"
        );
        exam.mendable("status", &found, Repair::Load);
    }
}

/// A session or a window for which a hook of ours, which is there, does not show.
struct Shadow {
    id: String,
    /// What people call it.
    whose: String,
    hook: Hook,
}

fn shadows(tmux: &Tmux, hooks: &[Hook], version: Version) -> Result<Vec<Shadow>, TmuxError> {
    let (of_windows, of_sessions): (Vec<Hook>, Vec<Hook>) =
        hooks.iter().partition(|hook| hook.is_of_windows(version));
    let mut found = Vec::new();
    if !of_sessions.is_empty() {
        found = shadows_among(tmux, &of_sessions, &["list-sessions"], "$", &|rest| {
            format!("session {rest:?}")
        })?;
    }
    if !of_windows.is_empty() {
        let list = ["list-windows", "-a"];
        let whose = |rest: &str| match rest.split_once(' ') {
            Some((index, session)) => format!("window {index} of session {session:?}"),
            None => "a window".to_owned(),
        };
        let shadows = shadows_among(tmux, &of_windows, &list, "@", &whose)?;
        // One that is in two sessions is listed twice.
        for shadow in shadows {
            if !found.iter().any(|other| (&other.id, other.hook) == (&shadow.id, shadow.hook)) {
                found.push(shadow);
            }
        }
    }
    Ok(found)
}

/// Those that `list` lists, whose ids begin with `sigil`.
fn shadows_among(
    tmux: &Tmux,
    hooks: &[Hook],
    list: &[&str],
    sigil: &str,
    whose: &dyn Fn(&str) -> String,
) -> Result<Vec<Shadow>, TmuxError> {
    let flags: Vec<String> =
        hooks.iter().map(|hook| format!("#{{?{}[{}],1,0}}", hook.name, hook.index)).collect();
    let (id, rest) = match sigil {
        "@" => ("window_id", "#{window_index} #{session_name}"),
        _ => ("session_id", "#{session_name}"),
    };
    let format = format!("#{{{id}}} {} {rest}", flags.concat());
    let printed = tmux.run(&[list, &["-F", &format]].concat(), Instant::now() + ANSWER_LIMIT)?;
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&printed).lines() {
        let mut fields = line.splitn(3, ' ');
        let (Some(id), Some(flags)) = (fields.next(), fields.next()) else { continue };
        // A name may hold a newline: what does not look like a record is the rest of one.
        if !id.starts_with(sigil) || flags.len() != hooks.len() {
            continue;
        }
        let whose = whose(fields.next().unwrap_or_default());
        let hiding = hooks.iter().zip(flags.bytes()).filter(|(_, flag)| *flag == b'0');
        for (hook, _) in hiding {
            found.push(Shadow { id: id.to_owned(), whose: whose.clone(), hook: *hook });
        }
    }
    Ok(found)
}

pub fn check_options(
    exam: &mut Examination,
    context: &Context,
    tmux: &Tmux,
    answer: &Answer,
    settings: &Settings,
) {
    let before = exam.findings.len();
    for complaint in &settings.complaints {
        exam.problem("options", complaint, "fix it in tmux.conf");
    }
    let show = |args: &[&str]| {
        let printed = tmux.run(args, Instant::now() + ANSWER_LIMIT)?;
        Ok::<_, TmuxError>(String::from_utf8_lossy(&printed).into_owned())
    };
    let listed = match show(&["show-options", "-g"]) {
        Ok(listed) => listed,
        Err(error) => return exam.problem("options", &error.to_string(), ""),
    };
    let names = options::names(&listed);
    let path = show(&["show-environment", "-g", "PATH"]).ok();
    let path = path.and_then(|line| Some(line.trim_end().strip_prefix("PATH=")?.to_owned()));
    let mut complaints: Vec<_> = names.iter().filter_map(|name| options::misspelt(name)).collect();
    let home = context.environment.home();
    for name in others() {
        complaints.extend(options::of_others(name, &value(answer, name), home));
    }
    complaints.extend(not_ours(&value(answer, "@roster-binary")));
    let is_command = |name: &&&str| options::commands().iter().any(|start| name.starts_with(start));
    for name in names.iter().filter(is_command) {
        match show(&["show-options", "-gqv", name]) {
            Ok(value) => complaints.extend(options::command(name, &value, path.as_deref())),
            Err(error) => exam.problem("options", &error.to_string(), ""),
        }
    }
    // What cannot be split is among the settings' complaints.
    for name in OPTIONS.iter().filter(|name| name.contains("-on-")) {
        let value = value(answer, name);
        if shell_words::split(&value).is_ok() {
            complaints.extend(options::command(name, &value, path.as_deref()));
        }
    }
    for (found, remedy) in &complaints {
        exam.problem("options", found, remedy);
    }
    let modes = settings.modes.join(" ");
    // A value alone does not tell an option that is empty from one that is not set.
    if names.contains(&"@roster-modes") && value(answer, "@roster-modes").trim().is_empty() {
        let found = format!("@roster-modes is empty: using {modes}");
        exam.note("options", &found, "list modes in it, or remove it from tmux.conf");
    }
    let mode = &settings.policy.default_mode;
    let has_command = names.contains(&format!("{}{mode}", options::COMMAND).as_str());
    let is_set = !value(answer, "@roster-default-mode").trim().is_empty();
    if is_set && !has_command && !settings.modes.contains(mode) {
        let found =
            format!("@roster-default-mode is {mode:?}, which is not in @roster-modes ({modes})");
        exam.note("options", &found, "add it there, or use one of those");
    }
    if exam.findings.len() == before {
        exam.ok("options", "all values are valid");
    }
    let of_windows = show(&["show-options", "-gw"]).unwrap_or_default();
    for (found, remedy) in listed.lines().chain(of_windows.lines()).filter_map(options::blank) {
        exam.note("status", &found, &remedy);
    }
    if let Some(value) = call::ending_value(&listed) {
        let found = format!(
            "destroy-unattached is {value}: a session ends once its last client leaves it (what \
             roster creates waits for its first one)"
        );
        exam.note("options", &found, "to keep sessions: set -g destroy-unattached off");
    }
    let exits = show(&["show-options", "-s", "exit-unattached"]);
    if exits.is_ok_and(|line| line.trim_end() == call::EXITS) {
        let found = "exit-unattached is on: the server exits once no client is attached, and its \
                     sessions are lost";
        exam.note("options", found, "to keep them running: set -s exit-unattached off");
    }
    for glob in &settings.policy.ignore {
        let sessions = answer.snapshot.sessions.iter();
        let names = sessions.map(|live| String::from_utf8_lossy(&live.name).into_owned());
        let hidden: Vec<String> = names.filter(|name| glob.matches(name)).collect();
        let hidden = match hidden.as_slice() {
            [] => "no live session".to_owned(),
            names => names.join(", "),
        };
        exam.ok("options", &format!("@roster-ignore: {} hides {hidden}", glob.as_str()));
    }
}

/// Keys that are the user's, and other plugins that restore sessions.
pub fn check_keys(exam: &mut Examination, tmux: &Tmux, answer: &Answer, settings: &Settings) {
    let listed = tmux.run(&["list-keys", "-T", "prefix"], Instant::now() + ANSWER_LIMIT);
    let listed = match listed {
        Ok(printed) => String::from_utf8_lossy(&printed).into_owned(),
        Err(error) => return exam.problem("keys", &error.to_string(), ""),
    };
    if settings.plugin_is_loaded {
        let keys = match keys::keys(tmux, Instant::now() + ANSWER_LIMIT) {
            Ok(keys) => keys,
            Err(_) => return exam.problem("keys", "tmux does not list its keys", FIX),
        };
        for (key, state) in &keys {
            let (found, remedy) = match state {
                KeyState::Ours => continue,
                KeyState::Users => {
                    ("is bound to something else: left alone", "unbind it, or choose another key")
                }
                KeyState::Unbound if is_no_key(tmux, key) => {
                    ("is not a tmux key", "choose another in tmux.conf")
                }
                KeyState::Unbound => {
                    exam.repair(Repair::Load);
                    ("is no longer bound", FIX)
                }
            };
            exam.note("keys", &format!("prefix {key} {found}"), remedy);
        }
        if keys.iter().all(|(_, state)| *state == KeyState::Ours) {
            exam.ok("keys", &format!("{} bound", keys.len()));
        }
    }
    let continuum = value(answer, "@continuum-restore") == "on";
    if continuum && value(answer, "@roster-restore") == "on" {
        let found = "tmux-continuum restores at start, so @roster-restore does nothing";
        exam.note("plugins", found, "turn on only one of @continuum-restore and @roster-restore");
    } else if continuum || value(answer, "status-right").contains("continuum") {
        exam.ok("plugins", "tmux-continuum: sessions that it restores keep their identity");
    } else if listed.contains("resurrect") {
        exam.ok("plugins", "tmux-resurrect: sessions that it restores keep their identity");
    }
}

/// Whether tmux says that there is no such key; before 3.1 it does not tell.
fn is_no_key(tmux: &Tmux, key: &str) -> bool {
    let list = ["list-keys", "-T", "prefix", key];
    let error = tmux.run(&list, Instant::now() + ANSWER_LIMIT).err();
    error.is_some_and(|error| error.to_string().contains("invalid key"))
}

/// Why the program that the user chose is not ours, if it is none.
fn not_ours(chosen: &str) -> Option<(String, String)> {
    if !Path::new(chosen).is_absolute() || !is_program(Path::new(chosen)) {
        return None;
    }
    let mut command = Command::new(chosen);
    command.arg("--version");
    let is_ours = first_line(command).is_some_and(|line| line.starts_with("roster "));
    let found = format!("@roster-binary is {chosen:?}, which is not a roster program");
    (!is_ours).then(|| (found, "fix it in tmux.conf".into()))
}

/// The first line that a program prints, if it ends well and in time.
pub fn first_line(command: Command) -> Option<String> {
    let output = Running::start(command).ok()?.finish(Instant::now() + ANSWER_LIMIT).ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().next().filter(|_| output.success)?;
    Some(line.trim().to_owned())
}
