//! What there is: list, show, names, path, closed.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Instant;

use serde::Serialize;
use tmux_roster::config::{Place, Settings};
use tmux_roster::model::memory::Unreachable;
use tmux_roster::model::reconcile::{Plan, end_with_server};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::{LiveSession, ServerId, SessionId};
use tmux_roster::model::windows::{Bytes, Pane, Window};
use tmux_roster::sorted::{Map, Set, sort, sort_by, sort_by_key};
use tmux_roster::tmux::program::is_our_proc;
use tmux_roster::tmux::query::Answer;
use tmux_roster::tmux::{ANSWER_LIMIT, TmuxError, Version};
use tmux_roster::transaction::{self, SyncError, Trigger};
use tmux_roster::{
    Session, StoreError, Timestamp, directories, files, health, host, persist, sync,
};

use super::client::here;
use super::context::{Context, Failure, Outcome, store_of};
use super::output::{age, json, layout, print, print_path, terminal_columns, tilde, visible, warn};
use super::servers;
use super::target::{Target, not_found};
use super::windows::{self, JsonWindow, NOTHING, Recorded, block, json_windows};
use crate::cli;

/// What a session is; the documentation of the library (src/lib.rs) says what each state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Live,
    Lost,
    Closed,
    /// It lives in a server whose socket is gone.
    Unreachable,
}

impl State {
    pub fn word(self) -> &'static str {
        match self {
            State::Live => "live",
            State::Lost => "lost",
            State::Closed => "closed",
            State::Unreachable => "unreachable",
        }
    }
}

/// A session, its state, and what of it lives.
#[derive(Debug, Clone)]
pub struct Row {
    pub session: Session,
    pub state: State,
    pub live: Option<LiveSession>,
    pub closed_at: Option<Timestamp>,
    /// How many older ones of this name and directory are closed, and whether this is one of them:
    /// they are listed as one.
    pub older: usize,
    pub is_older: bool,
    /// Whether a closed one never was more than a start of tmux.
    pub is_passing: bool,
    /// The directory it belongs in, which was missing when it was brought back elsewhere.
    pub waits_for: Option<String>,
}

impl Row {
    pub fn new(session: Session, state: State, live: Option<LiveSession>) -> Row {
        Row {
            session,
            state,
            live,
            closed_at: None,
            older: 0,
            is_older: false,
            is_passing: false,
            waits_for: None,
        }
    }

    /// Its state; of a closed one how many there are like it.
    pub fn state(&self) -> String {
        match self.older {
            0 => self.state.word().to_owned(),
            older => format!("{} ({})", self.state.word(), older + 1),
        }
    }
}

/// Everything at one moment.
pub struct View {
    pub rows: Vec<Row>,
    pub version: Version,
    /// The server that answered.
    pub server: Option<ServerId>,
    /// The mode of a session that nobody gave one.
    pub default_mode: String,
}

impl View {
    /// The session of that name, or else of that UUID.
    pub fn named(&self, name: &str) -> Option<&Row> {
        // The closed ones come last.
        Target::parse(name).among(self.rows.iter(), |row| &row.session)
    }

    /// How many sessions are lost.
    pub fn lost(&self) -> usize {
        self.rows.iter().filter(|row| row.state == State::Lost).count()
    }

    /// A session's mode, empty for the default one: most people use no other.
    pub fn mode_to_show<'a>(&self, session: &'a Session) -> &'a str {
        if session.mode == self.default_mode { "" } else { &session.mode }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.session.name.as_str())
    }
}

/// What the registry and tmux say together. Takes the lock only if they are out of step and it is
/// free: a reader waits for nobody.
pub fn view(place: &Place) -> Result<View, Failure> {
    let mut remembered = persist::peek(place)?;
    let Some(mut answer) = asked(place)? else {
        transaction::refuse_elsewhere(place, &remembered.memory)?;
        if !place.registry().exists() && remembered == Remembered::default() {
            let socket = place.tmux.socket.display();
            warn(&format!(
                "no tmux server is running on {socket}, and there is no registry for it"
            ));
        }
        let none = TmuxError::NoServer { socket: place.tmux.socket.clone() };
        if let error @ TmuxError::Unreachable { .. } =
            transaction::without_socket(none, &remembered.memory)
        {
            warn(&error.to_string());
        }
        return Ok(without_server(remembered));
    };
    transaction::tell_servers_apart(place, &mut remembered.memory, answer.snapshot.server)?;
    let settings = Settings::parse(&answer.options);
    settle(place, &remembered, &mut answer, &settings);
    let mut planned = plan(place, &remembered, &mut answer, &settings);
    if planned.0.next.registry != remembered.registry {
        // The file is shown, not what it might become: so bring it into step first.
        match sync::sync(place, Trigger::Reader) {
            Err(SyncError::Store(StoreError::Busy { .. })) => {}
            // A disk that takes nothing can still be read.
            Err(SyncError::Store(error @ StoreError::Io { .. })) => warn(&error.to_string()),
            // It ended meanwhile.
            Err(SyncError::Tmux(TmuxError::NoServer { .. })) => {
                return Ok(without_server(remembered));
            }
            synced => {
                synced?;
                remembered = persist::peek(place)?;
                // What was made since the first answer is in the files, and not in that.
                let Some(now) = asked(place)? else { return Ok(without_server(remembered)) };
                answer = now;
                settle(place, &remembered, &mut answer, &settings);
                planned = plan(place, &remembered, &mut answer, &settings);
            }
        }
    }
    let version = Version::parse(&answer.version);
    let server = Some(answer.snapshot.server);
    let default_mode = settings.policy.default_mode;
    Ok(View { rows: rows(planned, &answer), version, server, default_mode })
}

/// What tmux says; nothing where there is no server, or before 3.2 one without sessions.
fn asked(place: &Place) -> Result<Option<Answer>, Failure> {
    match place.ask(Instant::now() + ANSWER_LIMIT) {
        Ok(answer) => Ok(Some(answer)),
        Err(TmuxError::NoServer { .. } | TmuxError::Empty) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What there is by this answer, whether or not the files are in step with it.
pub fn rows_of(
    place: &Place,
    remembered: &Remembered,
    mut answer: Answer,
    settings: &Settings,
) -> Vec<Row> {
    let planned = plan(place, remembered, &mut answer, settings);
    rows(planned, &answer)
}

fn settle(place: &Place, remembered: &Remembered, answer: &mut Answer, settings: &Settings) {
    let deadline = Instant::now() + ANSWER_LIMIT;
    directories::settle(
        &place.tmux,
        remembered,
        &mut answer.snapshot,
        &settings.policy,
        None,
        deadline,
    );
}

/// What both should say, and the UUIDs that sessions would be given which are not recorded yet.
fn plan(
    place: &Place,
    remembered: &Remembered,
    answer: &mut Answer,
    settings: &Settings,
) -> (Plan, Set<String>) {
    let mut given = Set::new();
    let mut give = || {
        let uuid = new_uuid();
        given.insert(uuid.clone());
        uuid
    };
    let (snapshot, policy) = (&mut answer.snapshot, &settings.policy);
    let plan =
        directories::plan(remembered, snapshot, policy, Timestamp::now(), &mut give, &|both| {
            transaction::is_of_a_pane(place, remembered, both)
        });
    (plan, given)
}

fn rows((planned, given): (Plan, Set<String>), answer: &Answer) -> Vec<Row> {
    let ids: Map<&String, &SessionId> = planned.live.iter().map(|(id, uuid)| (uuid, id)).collect();
    let mut rows = rows_with(planned.next, &|session| {
        let id = ids.get(&session.uuid)?;
        answer.snapshot.sessions.iter().find(|live| live.id == **id).cloned()
    });
    // Nobody has promised them yet.
    for row in rows.iter_mut().filter(|row| given.contains(&row.session.uuid)) {
        row.session.uuid.clear();
    }
    rows
}

/// A row for each record, given what of it lives.
pub fn rows_with(
    Remembered { registry, closed, memory }: Remembered,
    live: &dyn Fn(&Session) -> Option<LiveSession>,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for session in registry.sessions.into_values() {
        let live = live(&session);
        let state = match &live {
            Some(_) => State::Live,
            None if memory.is_unreachable(&session.uuid) => State::Unreachable,
            None => State::Lost,
        };
        let displaced = memory.displaced.get(&session.uuid);
        let displaced = displaced.filter(|displaced| displaced.to == session.workdir);
        let waits_for = displaced.map(|displaced| displaced.from.clone());
        rows.push(Row { waits_for, ..Row::new(session, state, live) });
    }
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for entry in &closed.closed {
        *counts.entry(entry.row()).or_default() += 1;
    }
    for entry in &closed.closed {
        // The newest comes first.
        let count = counts.insert(entry.row(), 0).unwrap_or_default();
        rows.push(Row {
            closed_at: Some(entry.closed_at),
            older: count.saturating_sub(1),
            is_older: count == 0,
            is_passing: entry.is_passing(),
            ..Row::new(entry.session.clone(), State::Closed, None)
        });
    }
    rows
}

/// No server answers: closes that the last one did not outlive were losses, unless it still runs.
pub fn without_server(mut remembered: Remembered) -> View {
    let here = host::here();
    if host::runs_here(&remembered.memory, &here) {
        remembered.memory.leave_running();
    } else {
        end_with_server(&mut remembered);
    }
    let runs = |o: &Unreachable| host::is_running(o.server, o.started, None, &here);
    remembered.memory.unreachable.retain(runs);
    View {
        rows: rows_with(remembered, &|_| None),
        version: Version::parse(""),
        server: None,
        // Nobody knows which one it is: each is shown.
        default_mode: String::new(),
    }
}

/// A row as scripts get it.
#[derive(Serialize)]
pub struct JsonRow<'a> {
    name: &'a str,
    uuid: &'a str,
    mode: &'a str,
    workdir: &'a str,
    created_at: Timestamp,
    last_attached_at: Timestamp,
    last_health_status: &'a str,
    last_health_at: Timestamp,
    pub state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<&'a str>,
    /// None if nothing is recorded of them.
    windows: Vec<JsonWindow>,
}

impl<'a> JsonRow<'a> {
    pub fn new(row: &'a Row, windows: Vec<JsonWindow>) -> Self {
        let session = &row.session;
        JsonRow {
            name: &session.name,
            uuid: &session.uuid,
            mode: &session.mode,
            workdir: &session.workdir,
            created_at: session.created_at,
            last_attached_at: session.last_attached_at,
            last_health_status: &session.last_health_status,
            last_health_at: session.last_health_at,
            state: row.state.word(),
            closed_at: row.closed_at,
            waits_for: row.waits_for.as_deref(),
            windows,
        }
    }
}

pub fn list(context: &Context, args: &cli::List) -> Outcome {
    let wanted = match args.state.as_deref() {
        None => None,
        Some("live") => Some(State::Live),
        Some("lost") => Some(State::Lost),
        Some("closed") => Some(State::Closed),
        Some("unreachable") => Some(State::Unreachable),
        Some(other) => {
            let message =
                format!("--state must be live, lost, closed or unreachable, not {other:?}");
            return Err(Failure::usage(message));
        }
    };
    let order: fn(&Session, &Session) -> Ordering = match args.sort.as_deref() {
        None | Some("name") => |a, b| a.name.cmp(&b.name),
        Some("created") => |a, b| b.created_at.cmp(&a.created_at),
        Some("attached") => |a, b| b.last_attached_at.cmp(&a.last_attached_at),
        Some(other) => {
            let message = format!("--sort must be name, created or attached, not {other:?}");
            return Err(Failure::usage(message));
        }
    };
    if args.all_servers {
        return servers::list(context, wanted, order, args.json);
    }
    let place = context.place()?;
    let mut view = view_in(&place, wanted)?;
    sort_by(&mut view.rows, |a, b| order(&a.session, &b.session));
    print_rows(context, &place, &view, "ATTACHED", args.json)
}

/// The view with the rows in a state, or with all but the closed ones.
fn view_in(place: &Place, wanted: Option<State>) -> Result<View, Failure> {
    if wanted == Some(State::Closed) {
        // The view has none where that list is damaged.
        persist::read_closed(place)?;
    }
    let mut view = view(place)?;
    view.rows.retain(|row| match wanted {
        Some(state) => row.state == state,
        None => row.state != State::Closed,
    });
    Ok(view)
}

pub fn closed(context: &Context, args: &cli::Closed) -> Outcome {
    let place = context.place()?;
    if !args.windows {
        let view = view_in(&place, Some(State::Closed))?;
        print_rows(context, &place, &view, "CLOSED", args.json)?;
    }
    if args.windows || !args.json {
        windows::print_closed(context, &place, args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_rows(context: &Context, place: &Place, view: &View, last: &str, as_json: bool) -> Outcome {
    let View { rows, server, .. } = view;
    // Of what lives tmux tells the number.
    let is_needed = as_json || rows.iter().any(|row| row.live.is_none());
    let recorded = if is_needed { Recorded::read(place) } else { Recorded::none() };
    if as_json {
        let windows = |row| json_windows(recorded.of_row(row, *server));
        json(&rows.iter().map(|row| JsonRow::new(row, windows(row))).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows: Vec<&Row> = rows.iter().filter(|row| !row.is_older).collect();
    sort_by_key(&mut rows, |row| row.is_passing);
    let now = Timestamp::now();
    let last = if rows.iter().any(|row| row.closed_at.is_some()) { "CLOSED" } else { last };
    let header = ["NAME", "STATE", "MODE", "WINDOWS", "WORKDIR", "CREATED", last];
    let mut table = vec![header.map(str::to_owned)];
    let current = here(context, place);
    let is_here = |row: &Row| row.live.as_ref().is_some_and(|live| Some(live.id) == current);
    let has_mark = rows.iter().any(|row| is_here(row));
    if has_mark {
        table[0][0].insert_str(0, "  ");
    }
    for row in &rows {
        let session = &row.session;
        let mark = match has_mark {
            true if is_here(row) => "* ",
            true => "  ",
            false => "",
        };
        table.push([
            mark.to_owned() + &visible(&session.name),
            row.state(),
            visible(view.mode_to_show(session)),
            recorded.count(row).map_or_else(|| NOTHING.into(), |count| count.to_string()),
            visible(&tilde(context, &session.workdir)),
            age(session.created_at, now),
            age(row.closed_at.unwrap_or(session.last_attached_at), now),
        ]);
    }
    let styles: Vec<&str> = std::iter::once("1")
        .chain(rows.iter().map(|row| match row.state {
            State::Live => "",
            State::Lost | State::Unreachable => "33",
            State::Closed => "2",
        }))
        .collect();
    print(&layout(&table, &styles))?;
    Ok(ExitCode::SUCCESS)
}

pub fn show(context: &Context, args: &cli::Show) -> Outcome {
    let place = context.place()?;
    let view = view(&place)?;
    let row = view.named(&args.name).ok_or_else(|| not_found(&args.name, &mut view.names()))?;
    let windows = Recorded::read(&place).of_row(row, view.server);
    if args.json {
        json(&JsonRow::new(row, json_windows(windows)))?;
        return Ok(ExitCode::SUCCESS);
    }
    let now = Timestamp::now();
    let session = &row.session;
    let time = |time: Timestamp| {
        if time.is_zero() { "never".into() } else { format!("{time} ({} ago)", age(time, now)) }
    };
    let health = match session.last_health_status.as_str() {
        "" => "never checked".into(),
        status => format!("{}, checked {}", visible(status), time(session.last_health_at)),
    };
    let mut text = String::new();
    for (label, value) in [
        ("name", visible(&session.name)),
        ("state", row.state.word().to_owned()),
        ("uuid", visible(&session.uuid)),
        ("mode", visible(&session.mode)),
        ("workdir", visible(&session.workdir)),
        ("created", time(session.created_at)),
        ("attached", time(session.last_attached_at)),
        ("health", health),
    ] {
        text.push_str(&format!("{label:<9} {value}\n"));
    }
    if let Some(directory) = &row.waits_for {
        text.push_str(&format!("{:<9} {}\n", "waits for", visible(directory)));
    }
    if let Some(closed_at) = row.closed_at {
        text.push_str(&format!("{:<9} {}\n", "closed", time(closed_at)));
    }
    text.push_str(&block(context, &windows, terminal_columns().unwrap_or(80)));
    for (at, directory) in missing(&windows).iter().enumerate() {
        let heading = if at == 0 { "missing" } else { "" };
        text.push_str(&format!("{heading:<9} {}\n", visible(&tilde(context, directory))));
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The directories of panes that are gone, unless one does not answer: then nobody waits for more.
fn missing(windows: &[Window]) -> Vec<String> {
    let panes = windows.iter().flat_map(|window| &window.panes);
    let directories: Set<&Bytes> = panes.filter_map(Pane::starts_in).collect();
    let looked = directories.into_iter().map(|path| (path, health::is_directory(path.0.clone())));
    let gone =
        looked.take_while(|(_, found)| found.is_some()).filter(|(_, found)| *found == Some(false));
    gone.map(|(path, _)| String::from_utf8_lossy(&path.0).into_owned()).collect()
}

/// The names as the registry has them: no lock, and no tmux outside of it.
pub fn names(context: &Context) -> Outcome {
    let mut text = String::new();
    for name in names_quickly(context)? {
        text.push_str(&visible(&name));
        text.push('\n');
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// The names for completions, where milliseconds count: as little is asked and read as can be.
fn names_quickly(context: &Context) -> Result<Vec<String>, Failure> {
    let is_inside = context.is_inside();
    let mut place = if is_inside { context.place()? } else { context.place_at_once()? };
    // Its server may keep it elsewhere, or be another user's.
    if !is_inside && !files::exists(&place.registry()) && files::exists(&place.tmux.socket) {
        place = context.place()?;
    }
    let names = store_of(&place).names()?;
    // Without the server's process in sight, its end is not known.
    if !names.is_empty() && (is_inside || !is_our_proc() || !host::has_ended(&place.dir)) {
        return Ok(names);
    }
    // With a server that has ended its clones are gone, and others are lost. And the file may have
    // been deleted; the next sync brings it back from its copy.
    let rows = without_server(persist::peek(&place)?).rows;
    let rows = rows.into_iter().filter(|row| row.state != State::Closed);
    let mut names: Vec<String> = rows.map(|row| row.session.name).collect();
    sort(&mut names);
    Ok(names)
}

pub fn path(context: &Context) -> Outcome {
    print_path(&context.place()?.registry())?;
    Ok(ExitCode::SUCCESS)
}
