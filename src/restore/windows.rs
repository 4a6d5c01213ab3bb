//! What a session's windows are to be, of what is recorded of them: where each pane starts, and with
//! which program.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::blueprint::{Blueprint, nearest_directory};
use super::launch::launch_command;
use crate::config::{RESUME, WindowPolicy};
use crate::health;
use crate::model::layout::Layout;
use crate::model::remembered::Remembered;
use crate::model::session::Session;
use crate::model::snapshot::{PaneId, ServerId, SessionId};
use crate::model::windows::{Arrangement, ClosedWindow, Pane, Was, Window, Windows, was};
use crate::persist;
use crate::sorted::{Map, Set};
use crate::store::StoreError;
use crate::tmux::call;
use crate::tmux::program;
use crate::transaction::{SyncError, Transaction};

/// The verb by which our program runs another one in a pane.
pub const RUN_IN_PANE: &str = "run-in-pane";

/// A window to be made.
#[derive(Debug, Clone)]
pub struct WindowPlan {
    /// Its index.
    pub index: u32,
    /// Its name; `None` where tmux names it.
    pub name: Option<Vec<u8>>,
    /// Its layout; `None` for one that tmux makes.
    pub layout: Option<Layout>,
    /// Whether it is the current one.
    pub active: bool,
    /// Whether it was the current one before.
    pub last: bool,
    /// Whether its active pane is zoomed.
    pub zoomed: bool,
    /// Whether its panes are synchronized.
    pub synchronized: bool,
    /// Which window it was: one that is in several sessions is made once.
    pub was: Was,
    /// Its panes.
    pub panes: Vec<PaneStart>,
    /// Which of them is the session's oldest, if one of them is.
    pub oldest: Option<usize>,
}

impl WindowPlan {
    /// Which pane is made first.
    pub(super) fn first(&self) -> usize {
        self.oldest.unwrap_or(0)
    }
}

/// A pane to be made.
#[derive(Debug, Clone)]
pub struct PaneStart {
    /// The directory.
    pub directory: Vec<u8>,
    /// The title; `None` for tmux's.
    pub title: Option<Vec<u8>>,
    /// Whether it is the active one of its window.
    pub active: bool,
    /// What tmux is to start in it; nothing for what it starts by itself.
    pub words: Vec<Vec<u8>>,
}

/// What is recorded of windows, and what may be started in them.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    windows: Windows,
    programs: Programs,
    /// The targets of windows that stand: those that were made, which another session may have had,
    /// too, and those of a closed session that live on in another one.
    pub(super) standing: Map<Was, String>,
    /// The windows that lost sessions have which are not to be made, with the names of these.
    elsewhere: Map<Was, String>,
    /// The UUIDs of the sessions that were made, and which windows of each were not.
    pub(super) back: Vec<(String, Vec<Was>)>,
}

/// The most panes of a window: no layout has as many.
const MAX_PANES: usize = 800;

/// The greatest index that tmux gives a window.
pub(super) const MAX_INDEX: u32 = i32::MAX as u32;

impl Recorded {
    /// Reads it, for the windows of these records. Of a file that cannot be read they come back with
    /// one window each.
    ///
    /// # Errors
    /// tmux does not tell the options, or the file cannot be written.
    pub(super) fn load(
        transaction: &Transaction<'_>,
        records: &[Session],
        warnings: &mut Vec<String>,
    ) -> Result<Recorded, SyncError> {
        let place = transaction.place();
        let read = match persist::read_windows(place) {
            Err(StoreError::Damaged { path, reason }) => {
                warnings.push(format!(
                    "{} is damaged: {reason}; it was kept aside ({0}.corrupt.…), and sessions come \
                     back with one window",
                    path.display()
                ));
                persist::load_windows(place)
            }
            Err(error) => {
                warnings.push(format!("{error}; sessions come back with one window"));
                return Ok(Recorded::default());
            }
            read => read,
        };
        let mut windows = read?;
        let is_wanted = |uuid: &String| records.iter().any(|record| record.uuid == *uuid);
        let elsewhere = windows.sessions.iter().filter(|(uuid, _)| !is_wanted(uuid));
        let elsewhere = elsewhere.flat_map(|(uuid, arrangement)| {
            let Remembered { registry, memory, closed: _ } = &transaction.remembered;
            let lost = registry.by_uuid(uuid).filter(|_| memory.id_of(uuid).is_none());
            let of = |lost: &Session| -> Vec<(Was, String)> {
                let windows = arrangement.with_servers().into_iter();
                windows.map(|(server, w)| (was(server, w.id), lost.name.clone())).collect()
            };
            lost.map(of).unwrap_or_default()
        });
        let elsewhere = elsewhere.collect();
        windows.sessions.retain(|uuid, _| is_wanted(uuid));
        if windows.sessions.is_empty() {
            return Ok(Recorded::default());
        }
        let to_make: Vec<Window> =
            windows.sessions.values().flat_map(Arrangement::to_bring_back).collect();
        let Some(programs) = Programs::ask(transaction, &to_make, warnings)? else {
            return Ok(Recorded::default());
        };
        let standing = living(transaction, &windows)?;
        transaction.leave_windows(records)?;
        Ok(Recorded { windows, programs, standing, elsewhere, back: Vec::new() })
    }

    /// The windows of a session that is to be made.
    pub(super) fn plan(
        &self,
        blueprint: &Blueprint,
        warnings: &mut Vec<String>,
    ) -> Vec<WindowPlan> {
        let Some(arrangement) = self.windows.sessions.get(&blueprint.record.uuid) else {
            return Vec::new();
        };
        let (servers, mut windows): (Vec<ServerId>, Vec<Window>) = (arrangement.with_servers())
            .into_iter()
            .filter(|(_, window)| !window.panes.is_empty())
            .unzip();
        windows.iter_mut().for_each(|window| window.panes.truncate(MAX_PANES));
        give_indexes(&mut windows);
        // The pane that the session began with has its launch command.
        let panes = windows.iter().flat_map(|window| &window.panes);
        let oldest = panes.map(|pane| pane.id).min();
        let first = oldest.filter(|_| !blueprint.launch.words.is_empty());
        let first = first.map(|first| (first, blueprint.launch.in_pane(&blueprint.record)));
        // That the session's own is gone was told already.
        let own = blueprint.displaced.as_ref().map(|displaced| displaced.from.as_bytes().to_vec());
        let mut missing = Missing::default();
        let (record, workdir) = (&blueprint.record, &blueprint.workdir);
        let plans = servers.into_iter().zip(windows).map(|(server, window)| {
            let position = window.panes.iter().position(|pane| Some(pane.id) == oldest);
            let plan = self.programs.plan(window, server, record, workdir, &first, &mut missing);
            WindowPlan { oldest: position, ..plan }
        });
        let plans: Vec<WindowPlan> = plans.collect();
        for plan in plans.iter().filter(|plan| !self.standing.contains_key(&plan.was)) {
            if let Some(other) = self.elsewhere.get(&plan.was) {
                let (index, name) = (plan.index, &record.name);
                warnings.push(format!(
                    "window {index} of {name:?} was linked to the lost session {other:?} and is a \
                     separate window now: only sessions that are restored together share windows"
                ));
            }
        }
        missing.directories.retain(|path| Some(path) != own.as_ref());
        missing.tell(&record.name, warnings);
        plans
    }

    /// Notes where the windows of a session stand now.
    pub(super) fn note_made(&mut self, windows: &[WindowPlan], id: SessionId) {
        for window in windows {
            let target = || format!("{id}:{}", window.index);
            self.standing.get_or_insert_with(window.was, target);
        }
    }
}

/// What panes lack.
#[derive(Default)]
struct Missing {
    directories: Set<Vec<u8>>,
    /// Programs that would not find what they were working on.
    programs: Set<String>,
}

impl Missing {
    fn tell(&self, name: &str, warnings: &mut Vec<String>) {
        for path in self.directories.iter() {
            let nearest = nearest_directory(path).display();
            let path = String::from_utf8_lossy(path);
            warnings.push(format!(
                "the directory {path} of a pane of {name:?} is gone: started in {nearest}"
            ));
        }
        for program in self.programs.iter() {
            warnings.push(format!(
                "{program} was not started in a pane of {name:?}, whose directory is gone"
            ));
        }
    }
}

/// What may be started in panes.
#[derive(Debug, Default)]
pub(super) struct Programs {
    named: Set<String>,
    /// What starts a program again, by its name.
    resume: Map<String, Vec<String>>,
    /// The user's default-command.
    default_command: Vec<u8>,
}

impl Programs {
    /// Asks for the options that concern these windows; nothing if windows are not to come back.
    ///
    /// # Errors
    /// tmux does not tell them.
    pub(super) fn ask(
        transaction: &Transaction<'_>,
        windows: &[Window],
        warnings: &mut Vec<String>,
    ) -> Result<Option<Programs>, SyncError> {
        let panes = windows.iter().flat_map(|window| &window.panes);
        let names: Set<String> =
            panes.filter_map(Pane::called).filter(|name| is_in_options(name)).collect();
        let resumes: Vec<String> = names.iter().map(|name| format!("{RESUME}{name}")).collect();
        let options = ["@roster-windows", "@roster-programs", "default-command"];
        let names: Vec<&str> =
            options.into_iter().chain(resumes.iter().map(String::as_str)).collect();
        let (mut values, place) = (Vec::new(), transaction.place());
        for some in names.chunks(50) {
            values.extend(call::options(&place.tmux, some, transaction.deadline())?);
        }
        let text = |at: usize| String::from_utf8_lossy(&values[at]).into_owned();
        let policy = WindowPolicy::parse(&text(0), &text(1), "");
        if !policy.records {
            return Ok(None);
        }
        let mut resume = Map::new();
        for (option, value) in resumes.iter().zip(&values[options.len()..]) {
            match shell_words::split(&String::from_utf8_lossy(value)) {
                Ok(words) if words.is_empty() => {}
                Ok(words) => drop(resume.insert(option[RESUME.len()..].to_owned(), words)),
                Err(error) => {
                    warnings.push(format!("{option} cannot be split into words ({error})"));
                }
            }
        }
        let (named, default_command) = (policy.named(""), values[2].clone());
        Ok(Some(Programs { named, resume, default_command }))
    }

    /// A window as it is to be made; `first` is the pane that has words of its own.
    fn plan(
        &self,
        window: Window,
        server: ServerId,
        record: &Session,
        workdir: &[u8],
        first: &Option<(PaneId, Vec<Vec<u8>>)>,
        missing: &mut Missing,
    ) -> WindowPlan {
        let panes = window.panes.iter().map(|pane| {
            let launch = first.as_ref().filter(|(first, _)| *first == pane.id);
            let mut words = match launch {
                Some((_, words)) => words.clone(),
                None => self.program(pane, record),
            };
            let mut directory = pane.starts_in().map_or(workdir, |directory| &directory.0);
            // It may only be slow.
            if pane.starts_in().is_some() && health::is_directory(directory.to_vec()) == Some(false)
            {
                missing.directories.insert(directory.to_vec());
                directory = nearest_directory(directory).as_os_str().as_bytes();
                if launch.is_none() && !words.is_empty() {
                    words.clear();
                    missing.programs.extend(pane.called());
                }
            }
            PaneStart {
                directory: directory.to_vec(),
                title: pane.title.as_ref().map(|title| title.0.clone()),
                active: pane.active,
                words,
            }
        });
        let panes: Vec<PaneStart> = panes.collect();
        WindowPlan {
            index: window.index,
            name: window.name.map(|name| name.0),
            layout: window.layout.filter(|layout| layout.cells() == panes.len()),
            active: window.active,
            last: window.last,
            zoomed: window.zoomed,
            synchronized: window.synchronized,
            was: was(server, window.id),
            oldest: None,
            panes,
        }
    }

    /// What is to be started in a pane for the program that was in front there.
    fn program(&self, pane: &Pane, record: &Session) -> Vec<Vec<u8>> {
        let Some(name) = pane.called() else { return Vec::new() };
        let words: Vec<Vec<u8>> = match self.resume.get(&name) {
            Some(words) => match launch_command(words, record) {
                Ok(words) => words.into_iter().map(String::into_bytes).collect(),
                Err(_) => return Vec::new(),
            },
            None if self.named.contains(&name) => {
                pane.program.iter().map(|word| word.0.clone()).collect()
            }
            None => return Vec::new(),
        };
        self.in_pane(&words)
    }

    /// The words that run a program in a pane so that a shell stays when it ends: by our own
    /// program, where it can be called.
    fn in_pane(&self, words: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let Some(program) = program::ourselves() else { return Vec::new() };
        let mut all = vec![program.into_os_string().into_vec(), RUN_IN_PANE.into()];
        if !self.default_command.is_empty() {
            all.extend([b"--then".to_vec(), self.default_command.clone()]);
        }
        all.push(b"--".to_vec());
        all.extend(words.iter().cloned());
        all
    }
}

/// A window that was closed, as it is to be made again at this index.
///
/// # Errors
/// tmux does not tell the options.
pub(super) fn plan_closed(
    transaction: &Transaction<'_>,
    closed: &ClosedWindow,
    record: &Session,
    index: u32,
    warnings: &mut Vec<String>,
) -> Result<WindowPlan, SyncError> {
    let window = Window { index, ..closed.window.clone() };
    let programs = Programs::ask(transaction, std::slice::from_ref(&window), warnings)?;
    let programs = programs.unwrap_or_default();
    let (mut missing, workdir) = (Missing::default(), record.workdir.as_bytes());
    let plan = programs.plan(window, closed.server, record, workdir, &None, &mut missing);
    missing.tell(&record.name, warnings);
    Ok(plan)
}

/// Whether an option's name may end in this: tmux reads it as a part of a format.
fn is_in_options(name: &str) -> bool {
    (1..=100).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_@.+".contains(&b))
}

/// The targets of windows that live though their session was closed: they were in another one, too.
///
/// # Errors
/// tmux does not tell them.
fn living(transaction: &Transaction<'_>, windows: &Windows) -> Result<Map<Was, String>, SyncError> {
    let server = transaction.answer.snapshot.server;
    if windows.sessions.values().all(|arrangement| arrangement.server != server) {
        return Ok(Map::new());
    }
    let list = ["list-windows", "-a", "-F", "#{window_id}"];
    let printed = transaction.place().tmux.run(&list, transaction.deadline())?;
    let printed = String::from_utf8_lossy(&printed);
    let numbered = |id: &str| Some((was(server, id.strip_prefix('@')?.parse().ok()?), id.into()));
    Ok(printed.lines().filter_map(numbered).collect())
}

/// Sees to it that each window has an index of its own, which tmux takes.
fn give_indexes(windows: &mut [Window]) {
    let mut taken = Set::new();
    for at in 0..windows.len() {
        let wanted = windows[at].index;
        if wanted > MAX_INDEX || taken.contains(&wanted) {
            let is_free = |index: &u32| windows.iter().all(|window| window.index != *index);
            windows[at].index = (0..=MAX_INDEX).find(is_free).unwrap_or(wanted);
        }
        taken.insert(windows[at].index);
    }
}
