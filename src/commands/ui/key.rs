//! What stands behind a key: one of our commands, whose words the client's message line shows.
//! Nothing is printed, since tmux would put it into a pane (view mode).

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::tmux::text::argument;
use tmux_roster::tmux::{ANSWER_LIMIT, Version, call};
use tmux_roster::{persist, validate_name};

use crate::cli;
use crate::commands::called::as_typed;
use crate::commands::client::client;
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::load::keys::{REOPEN, key_of};
use crate::commands::notice::way_back;
use crate::commands::output::visible;
use crate::commands::target::Target;
use crate::commands::ui::{message, terminal};

/// The format that says where a key was pressed; it stands in an option, so that bindings and
/// menus stay short.
pub const FROM: &str = "#{client_name} #{session_id} #{pane_id} #{client_width} #{client_height}";

/// How long a message stands, in milliseconds.
const MESSAGE_TIME: u32 = 4000;

/// Where a key was pressed.
#[derive(Debug, Clone)]
pub struct Seat {
    pub client: String,
    pub session: SessionId,
    pub pane: String,
    pub width: usize,
    pub height: usize,
}

impl Seat {
    pub fn parse(text: &str) -> Result<Seat, Failure> {
        let mut parts = text.rsplitn(5, ' ');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        let seat = (|| {
            let (height, width) = (next()?.parse().ok()?, next()?.parse().ok()?);
            let (pane, session) = (next()?.to_owned(), SessionId::parse(next()?)?);
            Some(Seat { client: next()?.to_owned(), session, pane, width, height })
        })();
        seat.ok_or_else(|| Failure::usage(format!("--from must be {FROM:?}, not {text:?}")))
    }

    /// The seat of who typed a command; `None` outside tmux.
    pub fn of_pane(context: &Context, place: &Place) -> Result<Option<Seat>, Failure> {
        let Some(client) = client(context, place, None)? else { return Ok(None) };
        Ok(Seat::all(place)?.into_iter().find(|seat| seat.client == client.name))
    }

    /// The seats of all clients, now.
    fn all(place: &Place) -> Result<Vec<Seat>, Failure> {
        let listed =
            place.tmux.run(&["list-clients", "-F", FROM], Instant::now() + ANSWER_LIMIT)?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        Ok(listed.lines().filter_map(|line| Seat::parse(line).ok()).collect())
    }

    fn text(&self) -> String {
        let Seat { client, session, pane, width, height } = self;
        format!("{client} {session} {pane} {width} {height}")
    }

    /// Runs one of our commands for this seat: those that move a client move this one.
    pub fn run(&self, place: &Place, words: &[&str]) -> io::Result<Said> {
        let (verb, rest) = words.split_first().unwrap_or((&"", &[]));
        let mut command = ours(place)?;
        command.arg(verb);
        if matches!(*verb, "go" | "last" | "new" | "kill") || (*verb == "reopen" && rest.is_empty())
        {
            command.args(["--client", &self.client]);
        }
        if *verb == "new" {
            command.args(["--pane", &self.pane]);
        }
        // It may come from the environment that the server was started in.
        command.env_remove("TMUX_PANE").args(rest);
        let output = command.stdin(Stdio::null()).output()?;
        let well = output.status.success();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let lines = text.lines().map(|l| visible(l.strip_prefix("roster: ").unwrap_or(l)));
            lines.collect::<Vec<_>>().join("; ")
        };
        let mut parts = [text(&output.stdout), text(&output.stderr)];
        if *verb == "health" {
            // A line of a table.
            if let Some((status, name)) = parts[0].split_once(' ') {
                parts[0] = format!("{status}: {}", name.trim_start());
            }
        }
        if *verb == "restore" {
            parts[0] = few_names(&parts[0]);
        }
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let name = rest.last().map_or("", |word| *word);
        let back = || {
            let key = key_of(REOPEN, &place.tmux, Instant::now() + ANSWER_LIMIT);
            way_back(key, "reopen")
        };
        let text = match (*verb, well) {
            _ if !parts.is_empty() => parts.join("; "),
            // A clone of a session group is not closed.
            ("kill", true) => match closed_name(place, name) {
                Some(name) => format!("killed {}: {} brings it back", visible(&name), back()),
                None => "killed".to_owned(),
            },
            ("rename", true) => format!("renamed to {name}"),
            ("forget", true) => match closed_name(place, name) {
                Some(name) => format!("forgot {}: {} brings it back", visible(&name), back()),
                None => "forgotten for good".to_owned(),
            },
            _ => String::new(),
        };
        Ok(Said { well, text })
    }

    /// Shows a message on this client.
    pub fn tell(&self, place: &Place, text: &str) {
        if text.is_empty() {
            return;
        }
        // The command may have moved the client.
        let seats = Seat::all(place).unwrap_or_default();
        let seat = seats.iter().find(|seat| seat.client == self.client).unwrap_or(self);
        let session = seat.session.to_string();
        let to = (seat.client.as_str(), session.as_str(), seat.pane.as_str());
        message::show(place, to, &format!("roster: {}", as_typed(text)), MESSAGE_TIME);
    }

    /// Becomes a popup on this client that runs one of our commands; without a shell, since the
    /// popup would take the user's.
    pub fn popup(&self, place: &Place, size: (&str, &str), words: &[&str]) -> Failure {
        let ours = match std::env::current_exe() {
            Ok(ours) => ours,
            Err(error) => return error.into(),
        };
        let mut command = place.tmux.command(&["display-popup", "-E", "-c", &self.client]);
        command.args(["-t", &self.pane, "-w", size.0, "-h", size.1, "-d", "/", "--"]);
        command.arg(argument(ours)).arg("-S").arg(argument(&place.tmux.socket)).args(words);
        command.args(["--from", &self.text()]);
        command.exec().into()
    }
}

/// The name of a session that is one of the closed.
fn closed_name(place: &Place, target: &str) -> Option<String> {
    let closed = persist::read_closed(place).unwrap_or_default().closed;
    let entry = Target::parse(target).among(closed.iter(), |entry| &entry.session)?;
    Some(entry.session.name.clone())
}

/// How a command of ours ended, and what it said, on one line.
pub struct Said {
    pub well: bool,
    pub text: String,
}

/// What `restore` says of many sessions, as short as a message line needs it.
pub fn few_names(said: &str) -> String {
    let names = said.strip_prefix("restored ").map(|names| names.split(", ").count());
    match names.filter(|names| *names > 3) {
        Some(names) => format!("restored {names} sessions"),
        None => said.to_owned(),
    }
}

/// This program, for the same server.
pub fn ours(place: &Place) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("-S").arg(&place.tmux.socket);
    Ok(command)
}

/// The version of the server.
fn version(place: &Place) -> Result<Version, Failure> {
    let show = ["display-message", "-p", "#{version}"];
    let printed = place.tmux.run(&show, Instant::now() + ANSWER_LIMIT)?;
    Ok(Version::parse(&String::from_utf8_lossy(&printed)))
}

pub fn key(context: &Context, args: &cli::Key) -> Outcome {
    let place = context.place()?;
    let seat = Seat::parse(&args.from)?;
    let mut words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    if args.inside {
        let output = ours(&place)?.args(&words).output()?;
        let text = [output.stdout, output.stderr].concat();
        terminal::show(&String::from_utf8_lossy(&text))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.show {
        words.splice(0..0, ["key", "--inside", "--from", &args.from]);
        return Err(show(&place, &seat, &words)?);
    }
    let answer = if args.answer { Some(take_answer(&place)?) } else { None };
    if let Some(answer) = &answer {
        if let Err(error) = validate_name(answer) {
            seat.tell(&place, &visible(&error.to_string()));
            return Ok(ExitCode::SUCCESS);
        }
        words.push(answer);
    }
    let said = seat.run(&place, &words)?;
    seat.tell(&place, &said.text);
    Ok(ExitCode::SUCCESS)
}

/// Shows what a command prints, where there is room for it.
fn show(place: &Place, seat: &Seat, words: &[&str]) -> Result<Failure, Failure> {
    let mut command = if version(place)?.has_popups() {
        let mut command = place.tmux.command(&["display-popup", "-E", "-c", &seat.client]);
        command.args(["-w", "90%", "-h", "80%", "-d", "/"]);
        command
    } else {
        let session = format!("{}:", seat.session);
        place.tmux.command(&["new-window", "-n", "roster", "-t", &session])
    };
    command.arg("--").arg(argument(std::env::current_exe()?));
    command.arg("-S").arg(argument(&place.tmux.socket)).args(words);
    Ok(command.exec().into())
}

/// What was answered at tmux's prompt, which put it into an option.
fn take_answer(place: &Place) -> Result<String, Failure> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let values = call::options(&place.tmux, &["@roster_answer"], deadline)?;
    place.tmux.run(&["set-option", "-gu", "@roster_answer"], deadline)?;
    Ok(String::from_utf8_lossy(&values[0]).into_owned())
}
