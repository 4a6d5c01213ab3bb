//! What doctor looks at beside tmux: the folder and its files, and whether they agree with tmux.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::StatVfsMountFlags;
use tmux_roster::config::{Place, Settings};
use tmux_roster::model::registry::{FileVersion, RegistryFile};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::tmux::ANSWER_LIMIT;
use tmux_roster::tmux::query::Answer;
use tmux_roster::tmux::text::line;
use tmux_roster::transaction;
use tmux_roster::{SCHEMA_VERSION, Store, StoreError, Timestamp, directories, files, persist};

use crate::commands::context::Context;
use crate::commands::doctor::server::first_line;
use crate::commands::doctor::{Examination, Finding, Level, Repair};
use crate::commands::output::{age, count, to_paste, visible};
use crate::commands::ui::fzf;

/// How long the lock may be held by others before that is worth telling: syncs are far quicker.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// How long a sync that is on its way may take to bring things into step.
const STEP_LIMIT: Duration = Duration::from_secs(1);

/// How many lines of the log are shown.
const LOG_LINES: usize = 3;

/// How much of the log's end is read, in bytes.
const LOG_TAIL: usize = 16 * 1024;

const DAY: i64 = 24 * 60 * 60;

/// Whether the file system of the folder takes anything.
pub fn check_disk(exam: &mut Examination, place: &Place) -> bool {
    let Ok(found) = rustix::fs::statvfs(&place.dir) else { return true };
    let is_root = rustix::process::geteuid().is_root();
    let left = if is_root { found.f_bfree } else { found.f_bavail };
    // Not all file systems count their files.
    let is_full = left == 0 || (found.f_files > 0 && found.f_favail == 0);
    let (what, remedy) = match found.f_flag.contains(StatVfsMountFlags::RDONLY) {
        true => ("read-only", "remount it read-write"),
        false if is_full => ("full", "free some space there"),
        false => return true,
    };
    let found = format!("the file system of {} is {what}", place.dir.display());
    exam.problem("disk", &found, remedy);
    false
}

/// Where there is no folder yet, one can be made.
pub fn check_parent(exam: &mut Examination, place: &Place) {
    if let Some(found) = cannot_be_made(&place.dir) {
        exam.problem("folder", &found, "set XDG_STATE_HOME to a folder that you can write to");
    }
}

/// Why the folder is not there and cannot be made, if that is so.
pub fn cannot_be_made(dir: &Path) -> Option<String> {
    if files::exists(dir) {
        return None;
    }
    let parent = dir.ancestors().skip(1).find(|above| files::exists(above))?;
    let trial = parent.join(files::temporary_name(OsStr::new("roster")));
    match fs::create_dir(&trial) {
        Ok(()) => {
            let _ = fs::remove_dir(&trial);
            None
        }
        Err(error) => {
            Some(format!("cannot make {} in {}: {error}", dir.display(), parent.display()))
        }
    }
}

/// Nobody else may read or change the files.
pub fn check_permissions(exam: &mut Examination, place: &Place) {
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
            let found = format!("{} has mode {bits:04o}, not {mode:04o}", path.display());
            exam.mendable("permissions", &found, Repair::Private(path.to_owned(), mode));
        } else if files::is_immutable(path) {
            wrong = true;
            let path = path.display().to_string();
            let remedy = format!("chattr -i {}", to_paste(&path));
            exam.problem("permissions", &format!("{path} cannot be changed (chattr +i)"), &remedy);
        }
    };
    check(exam, &place.dir, 0o700);
    for entry in fs::read_dir(&place.dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            check(exam, &entry.path(), files::PRIVATE);
        }
    }
    if !wrong && place.dir.is_dir() {
        exam.ok("permissions", &format!("only you can access {}", place.dir.display()));
    }
}

/// Whether the lock can be had. It is not made where there is none.
pub fn check_lock(exam: &mut Examination, place: &Place) -> bool {
    let path = files::with_suffix(&place.registry(), ".lock");
    if !files::exists(&path) {
        return true;
    }
    let store = Store::new(place.registry()).waiting(LOCK_LIMIT);
    match store.lock() {
        Ok(_) => {
            exam.ok("lock", "free");
            true
        }
        Err(error @ StoreError::Busy { .. }) => {
            let remedy = format!("find out which process: fuser {}", path.display());
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
pub fn check_registry(
    exam: &mut Examination,
    place: &Place,
    answer: Option<&Answer>,
    settings: Option<&Settings>,
    lock_is_free: bool,
) {
    let path = place.registry();
    if let Err(error @ StoreError::Damaged { .. }) = persist::read_closed(place) {
        let found = format!("the list of closed sessions: {error}");
        exam.mendable("registry", &found, Repair::Sync);
    }
    let remembered = match persist::peek(place) {
        Ok(remembered) => remembered,
        Err(error @ StoreError::Damaged { .. }) => {
            return exam.mendable("registry", &error.to_string(), Repair::Sync);
        }
        Err(error @ StoreError::Newer { .. }) => {
            let remedy =
                "upgrade tmux-roster; or move the file away, to have what lives recorded anew";
            return exam.problem("registry", &error.to_string(), remedy);
        }
        Err(error) => {
            let remedy = "fix it or move it away";
            return exam.problem("registry", &error.to_string(), remedy);
        }
    };
    let bytes = files::read(&path).ok().flatten();
    let Some(bytes) = bytes else {
        let has_sessions = answer.is_some_and(|answer| !answer.snapshot.sessions.is_empty());
        match has_sessions && settings.is_some_and(|settings| settings.plugin_is_loaded) {
            true => exam.mendable("registry", "there is none yet", Repair::Sync),
            false => exam.note("registry", &format!("there is none yet ({})", path.display()), ""),
        }
        return;
    };
    let last = files::with_suffix(&path, ".last");
    if fs::symlink_metadata(&last).is_ok_and(|found| found.is_dir()) {
        let found = format!("{} is a directory, so there is no last good copy", last.display());
        exam.problem("registry", &found, "remove it");
    }
    let sessions = count(remembered.registry.sessions.len(), "session");
    let found = format!("{sessions} in {}", path.display());
    let text = std::str::from_utf8(&bytes).ok();
    match text.and_then(|text| serde_json::from_str::<RegistryFile>(text).ok()) {
        Some(RegistryFile { version: FileVersion::Known(version), .. })
            if version < SCHEMA_VERSION =>
        {
            let found = format!("{found}, older version {version}");
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
        "registry and tmux differ: {} to change, {} for tmux",
        count(step.changes, "record"),
        count(step.effects, "update")
    );
    match lock_is_free {
        true => exam.mendable("step", &found, Repair::Sync),
        false => exam.problem("step", &found, "wait until the lock is free"),
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
        let deadline = Instant::now() + ANSWER_LIMIT;
        directories::settle(&place.tmux, &remembered, snapshot, policy, None, deadline);
        let plan = directories::plan(&remembered, snapshot, policy, now, &mut new_uuid, &|both| {
            transaction::is_of_a_pane(place, &remembered, both)
        });
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
        remembered = persist::peek(place).map_err(|error| error.to_string())?;
        answer = place.ask(Instant::now() + ANSWER_LIMIT).map_err(|error| error.to_string())?;
    }
}

/// A sync stamps a session only once or twice, lest it fight with somebody for ever.
fn check_stamps(exam: &mut Examination, place: &Place, unstamped: &[(SessionId, String)]) {
    for (id, uuid) in unstamped {
        let id = id.to_string();
        let show = ["show-options", "-qv", "-t", &id, "@roster_uuid"];
        let own = place.tmux.run(&show, Instant::now() + ANSWER_LIMIT).unwrap_or_default();
        if String::from_utf8_lossy(&own).trim_end() == uuid {
            let found = format!("a window or pane option hides the @roster_uuid of session {id}");
            exam.note("stamps", &found, "unset @roster_uuid in its windows and panes");
            continue;
        }
        let found = format!("session {id} does not have its @roster_uuid");
        let words: [&[u8]; 5] =
            [b"set-option", b"-t", id.as_bytes(), b"@roster_uuid", uuid.as_bytes()];
        let repair = Repair::Tell(format!("the stamp of {id}"), vec![line(&words)]);
        exam.mendable("stamps", &found, repair);
    }
}

/// When something last happened: what stands still for weeks while people work is broken.
pub fn check_times(exam: &mut Examination, place: &Place) {
    let ago = |time: SystemTime| match SystemTime::now().duration_since(time) {
        Ok(since) => {
            let now = Timestamp::now();
            format!("{} ago", age(now.plus_seconds(-(since.as_secs() as i64)), now))
        }
        Err(_) => "in the future".to_owned(),
    };
    let Some(times) = Store::new(place.registry()).peek_times() else {
        return exam.note("last sync", "there has been none yet", "");
    };
    let mut found = ago(times.queried);
    if let Ok(changed) = fs::metadata(place.registry()).and_then(|found| found.modified()) {
        found.push_str(&format!("; the registry changed {}", ago(changed)));
    }
    exam.ok("last sync", &found);
}

pub fn check_log(exam: &mut Examination, place: &Place) {
    let bytes = match files::read(&place.log()) {
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
        return exam.ok("log", "no problems in the last day");
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
pub fn check_install(exam: &mut Examination, context: &Context) {
    let Some(dir) = context.environment.data_dir() else { return };
    let text = files::read(&dir.join("install-failed")).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines();
    if let (Some(version), Some(_), Some(reason)) = (lines.next(), lines.next(), lines.next()) {
        // An older one is of before this program came in another way.
        let number = |version: &str| -> Vec<u32> {
            version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
        };
        if number(version) > number(env!("CARGO_PKG_VERSION")) {
            let found = format!(
                "the roster program for version {version} of the plugin is missing: {reason}"
            );
            let mut remedy =
                "fix that, then run scripts/build in the plugin's directory and reload tmux.conf"
                    .to_owned();
            let log = dir.join("install.log");
            if files::exists(&log) {
                remedy.push_str(&format!(" (the whole story: {})", log.display()));
            }
            exam.problem("install", &found, &remedy);
        }
    }
}

pub fn check_fzf(exam: &mut Examination) {
    let version = fzf::program().and_then(|program| {
        let mut command = Command::new(program);
        command.arg("--version");
        first_line(command)
    });
    match version {
        Some(version) => exam.ok("fzf", &version),
        None => exam.note("fzf", "not found: tmux's own menus are used", "install fzf"),
    }
}
