//! `roster list --all-servers`: what is recorded for each of this user's servers. It asks none of
//! them, so that one that hangs holds nobody up: what lives is what its own hooks recorded, as long
//! as its process does.

use std::cmp::Ordering;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::config::{Place, socket_of};
use tmux_roster::model::host::Host;
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::sorted::{sort, sort_by};
use tmux_roster::tmux::Tmux;
use tmux_roster::tmux::program::is_our_proc;
use tmux_roster::{Session, StoreError, Timestamp, host, persist};

use super::context::{Context, Failure, Outcome};
use super::inspect::{JsonRow, Row, State, rows_with, without_server};
use super::output::{age, json, layout, print, tilde, visible, warn};
use super::windows::{NOTHING, Recorded, json_windows};

/// A server that something is recorded for.
struct Server {
    place: Place,
    /// Its name as `-L` takes it, or the path of its socket.
    name: String,
    /// The host that it belongs to, if that is another one.
    host: Option<String>,
}

/// What a row is called in the column of states where it belongs to another host.
const ELSEWHERE: &str = "elsewhere";

/// A session as scripts get it.
#[derive(Serialize)]
struct JsonOfServer<'a> {
    server: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(flatten)]
    row: JsonRow<'a>,
}

pub fn list(
    context: &Context,
    wanted: Option<State>,
    order: fn(&Session, &Session) -> Ordering,
    as_json: bool,
) -> Outcome {
    if context.names_server() {
        return Err(Failure::usage("--all-servers goes with neither -L nor -S".into()));
    }
    let here = host::here();
    let (mut found, mut is_whole) = (Vec::new(), true);
    for server in servers(context)? {
        let read = rows(&server, &here);
        // A damaged list of closed sessions hides no others.
        let closed = persist::read_closed(&server.place).err().filter(|_| read.is_ok());
        if let Some(error) = read.as_ref().err().or(closed.as_ref()) {
            warn(&format!("{}: {error}", server.label()));
            is_whole = false;
        }
        if let Ok((mut rows, id)) = read {
            rows.retain(|row| match wanted {
                Some(state) => row.state == state && server.is_told(row),
                None => row.state != State::Closed,
            });
            sort_by(&mut rows, |a, b| order(&a.session, &b.session));
            let recorded = Recorded::read(&server.place);
            found.push((server, rows, id, recorded));
        }
    }
    if as_json {
        let all = found.iter().flat_map(|(server, rows, id, recorded)| {
            rows.iter().map(|row| {
                let mut json = JsonRow::new(row, json_windows(recorded.of_row(row, *id)));
                if !server.is_told(row) {
                    json.state = ELSEWHERE;
                }
                JsonOfServer { server: &server.name, host: server.host.as_deref(), row: json }
            })
        });
        json(&all.collect::<Vec<_>>())?;
    } else {
        print_table(context, &found)?;
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

type Found = (Server, Vec<Row>, Option<ServerId>, Recorded);

fn print_table(context: &Context, found: &[Found]) -> Result<(), Failure> {
    let now = Timestamp::now();
    let header = ["SERVER", "NAME", "STATE", "MODE", "WINDOWS", "WORKDIR", "LAST"];
    let (mut table, mut styles) = (vec![header.map(str::to_owned)], vec!["1"]);
    for (server, rows, id, recorded) in found {
        for row in rows.iter().filter(|row| !row.is_older) {
            let session = &row.session;
            let windows = recorded.of_row(row, *id).len();
            table.push([
                server.label(),
                visible(&session.name),
                server.state(row),
                visible(&session.mode),
                if windows == 0 { NOTHING.to_owned() } else { windows.to_string() },
                visible(&tilde(context, &session.workdir)),
                age(row.closed_at.unwrap_or(session.last_attached_at), now),
            ]);
            styles.push(match row.state {
                State::Live => "",
                State::Lost | State::Unreachable => "33",
                State::Closed => "2",
            });
        }
    }
    print(&layout(&table, &styles))
}

impl Server {
    fn label(&self) -> String {
        match &self.host {
            Some(host) => visible(&format!("{} ({host})", self.name)),
            None => visible(&self.name),
        }
    }

    /// Whether what is said of a row's state is known here.
    fn is_told(&self, row: &Row) -> bool {
        self.host.is_none() || row.state == State::Closed
    }

    fn state(&self, row: &Row) -> String {
        if self.is_told(row) { row.state() } else { ELSEWHERE.to_owned() }
    }
}

/// The servers that have a folder beside ours, in the order of their names.
fn servers(context: &Context) -> Result<Vec<Server>, Failure> {
    let own = context.place_without_tmux()?.dir;
    let Some(state) = own.parent() else { return Ok(Vec::new()) };
    let entries = match fs::read_dir(state) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => {
            entries.map_err(|error| format!("could not read {}: {error}", state.display()))?
        }
    };
    let mut dirs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|dir| dir.is_dir() && dir.file_name().is_some_and(|name| !is_hidden(name)))
        .collect();
    sort(&mut dirs);
    Ok(dirs.into_iter().filter_map(|dir| server(context, dir)).collect())
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn server(context: &Context, dir: PathBuf) -> Option<Server> {
    let name = host::server_of(dir.file_name()?);
    let by_name = socket_of(&name);
    // Its tmux may have its sockets elsewhere.
    let is_path = name.as_encoded_bytes().starts_with(b"%2F");
    let (socket, name) = match is_path {
        true => (by_name.clone(), by_name.display().to_string()),
        false => {
            let word = by_name.file_name()?.to_string_lossy().into_owned();
            (context.environment.told_socket(&by_name).unwrap_or(by_name), word)
        }
    };
    let host = host::elsewhere(&dir, &socket);
    let tmux = Tmux { program: PathBuf::new(), socket, outwaits_exit: false };
    Some(Server { place: Place { tmux, dir }, name, host })
}

/// What is recorded, with the state of each by what is known of the server's process, and the server
/// if that runs.
fn rows(server: &Server, here: &Host) -> Result<(Vec<Row>, Option<ServerId>), StoreError> {
    let mut remembered = persist::peek(&server.place)?;
    let memory = &mut remembered.memory;
    let socket = &server.place.tmux.socket;
    let can_be_reached = match is_our_proc() {
        true => host::runs_here(memory, here) && socket.symlink_metadata().is_ok(),
        false => UnixStream::connect(socket).is_ok(),
    };
    if server.host.is_some() || !can_be_reached {
        return Ok((without_server(remembered).rows, None));
    }
    memory.unreachable.retain(|one| host::is_running(one.server, one.started, None, here));
    let (id, sessions) = (memory.server, memory.sessions.clone());
    let mut rows = rows_with(remembered, &|_| None);
    for row in rows.iter_mut().filter(|row| row.state == State::Lost) {
        if sessions.values().any(|known| known.uuid == row.session.uuid) {
            row.state = State::Live;
        }
    }
    Ok((rows, id))
}
