//! `roster import resurrect`: takes the sessions of tmux-resurrect's last save as lost ones, with their
//! windows, so that who moves here starts with what there is.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::{Place, WindowPolicy};
use tmux_roster::model::layout::LiveLayout;
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::{PaneId, ServerId};
use tmux_roster::model::windows::{Arrangement, Bytes, Pane, Window};
use tmux_roster::sorted::Set;
use tmux_roster::tmux::{ANSWER_LIMIT, call};
use tmux_roster::transaction::Sight;
use tmux_roster::{Session, Timestamp, files, persist};

use super::begin::change;
use super::called::as_typed;
use super::context::{Context, Failure, Outcome};
use super::output::{count, print, tilde, visible};
use crate::cli;

/// A session of a save.
#[derive(Default)]
struct Saved {
    name: String,
    /// In the order of their indexes.
    windows: Vec<Window>,
    /// The programs that no option names.
    programs: Set<String>,
    /// The indexes of the windows whose layout was not understood.
    layouts: Vec<u32>,
}

/// What a save has.
#[derive(Default)]
struct Save {
    /// In the order of their names.
    sessions: Vec<Saved>,
    /// The members of session groups, which are not sessions of their own.
    grouped: Vec<String>,
    /// How many lines were not understood.
    unread: usize,
}

impl Save {
    /// The session of this name, new if there is none.
    fn session(&mut self, name: &str) -> &mut Saved {
        let at = self.sessions.binary_search_by(|saved| saved.name.as_str().cmp(name));
        let at = at.unwrap_or_else(|at| {
            self.sessions.insert(at, Saved { name: name.to_owned(), ..Saved::default() });
            at
        });
        &mut self.sessions[at]
    }
}

pub fn import(context: &Context, args: &cli::Import) -> Outcome {
    if args.from != "resurrect" {
        return Err(Failure::usage(format!(
            "cannot import from {:?}: only from resurrect",
            args.from
        )));
    }
    let place = context.place()?;
    let path = match &args.file {
        Some(file) => PathBuf::from(file),
        None => last_save(context, &place)?,
    };
    let Some(bytes) = files::read(&path)? else {
        return Err(format!("there is no file {:?}", path.display().to_string()).into());
    };
    let named = named(&place);
    let Save { sessions: saved, grouped, unread } = parse(&bytes, &named);
    if saved.is_empty() {
        let path = path.display();
        return Err(format!("{path} holds no sessions, or is no save of tmux-resurrect").into());
    }
    let taken = change(&place, |next, world| {
        let known: Set<String> = next.registry.sessions.keys().cloned().collect();
        let live = world.sessions().iter();
        let live: Set<String> =
            live.map(|live| String::from_utf8_lossy(&live.name).into_owned()).collect();
        let is_free = |saved: &Saved| !known.contains(&saved.name) && !live.contains(&saved.name);
        let (new, others): (Vec<Saved>, Vec<Saved>) = saved.into_iter().partition(is_free);
        let mut text = String::new();
        for saved in &new {
            let panes = saved.windows.iter().map(|window| window.panes.len()).sum();
            let windows = count(saved.windows.len(), "window");
            let name = visible(&saved.name);
            text.push_str(&format!("{name}  {windows}, {}", count(panes, "pane")));
            text.push_str(&format!("  {}\n", visible(&tilde(context, &workdir(saved)))));
        }
        for saved in &others {
            text.push_str(&format!("{}  is recorded already: left out\n", visible(&saved.name)));
        }
        text.push_str(&left_out(&new, &grouped, unread));
        print(&text)?;
        if new.is_empty() {
            return Ok(Some(0));
        }
        if !args.yes {
            return Ok(None);
        }
        let (now, mode) = (Timestamp::now(), default_mode(world));
        let mut arrangements = Vec::new();
        for saved in &new {
            let record = Session::with(&saved.name, &workdir(saved), &mode, new_uuid(), now);
            // Of no server that ever ran.
            let server = ServerId { pid: 0, start_time: 0 };
            let windows = saved.windows.clone();
            let arrangement = Arrangement::standing(server, windows);
            arrangements.push((record.uuid.clone(), arrangement));
            next.registry.sessions.insert(record.name.clone(), record);
        }
        persist::adopt_windows(&place, arrangements)?;
        Ok(Some(new.len()))
    })?;
    match taken {
        Some(0) => print("there is nothing to import\n")?,
        Some(taken) => print(&as_typed(&format!(
            "imported {}: roster restore --all brings them back\n",
            count(taken, "session")
        )))?,
        None => print("nothing is imported yet: run this again with --yes\n")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What of a save is not taken.
fn left_out(new: &[Saved], grouped: &[String], unread: usize) -> String {
    let programs: Set<&str> =
        new.iter().flat_map(|saved| &saved.programs).map(String::as_str).collect();
    let programs: Vec<&str> = programs.into_iter().collect();
    let layouts = new
        .iter()
        .flat_map(|saved| saved.layouts.iter().map(|index| format!("{}:{index}", saved.name)));
    let layouts: Vec<String> = layouts.collect();
    let mut text = String::new();
    for (what, names) in [
        ("programs that no option names (see @roster-programs)", programs.join(", ")),
        ("layouts that were not understood", layouts.join(", ")),
        ("members of session groups", grouped.join(", ")),
    ] {
        if !names.is_empty() {
            text.push_str(&format!("left out: {what}: {}\n", visible(&names)));
        }
    }
    if unread > 0 {
        text.push_str(&format!("left out: {} not understood\n", count(unread, "line")));
    }
    text
}

fn default_mode(world: &tmux_roster::transaction::World<'_>) -> String {
    match world.server() {
        Some(transaction) => transaction.settings.policy.default_mode.clone(),
        None => tmux_roster::options::default("@roster-default-mode").to_owned(),
    }
}

/// Where tmux-resurrect keeps its last save.
fn last_save(context: &Context, place: &Place) -> Result<PathBuf, Failure> {
    let home = context.environment.home().ok_or("HOME is not set: name the file")?;
    let asked = call::options(&place.tmux, &["@resurrect-dir"], Instant::now() + ANSWER_LIMIT);
    let chosen = asked.ok().and_then(|mut values| String::from_utf8(values.pop()?).ok());
    if let Some(chosen) = chosen.filter(|chosen| !chosen.is_empty()) {
        let home = home.to_string_lossy();
        let chosen = chosen.replace("$HOME", &home).replacen('~', &home, 1);
        return Ok(Path::new(&chosen).join("last"));
    }
    let old = home.join(".tmux/resurrect");
    let new = context.environment.data_dir().and_then(|data| Some(data.parent()?.to_owned()));
    let new = new.unwrap_or_default().join("tmux/resurrect");
    Ok(if old.is_dir() { old } else { new }.join("last"))
}

/// The programs that the user's options name.
fn named(place: &Place) -> Set<String> {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let programs = call::options(&place.tmux, &["@roster-programs"], deadline);
    let programs = programs.ok().and_then(|mut values| String::from_utf8(values.pop()?).ok());
    let listed = place.tmux.run(&["show-options", "-g"], deadline).unwrap_or_default();
    let policy = WindowPolicy::parse("", &programs.unwrap_or_default(), "");
    policy.named(&String::from_utf8_lossy(&listed))
}

fn workdir(saved: &Saved) -> String {
    let panes = saved.windows.iter().flat_map(|window| &window.panes);
    let directory = panes.filter_map(|pane| pane.directory.as_ref()).next();
    directory.map_or_else(|| "/".into(), |path| String::from_utf8_lossy(&path.0).into_owned())
}

/// Reads a save.
fn parse(bytes: &[u8], named: &Set<String>) -> Save {
    let mut save = Save::default();
    let mut next_id = 0;
    let lines = bytes.split(|byte| *byte == b'\n');
    let rows: Vec<Vec<&[u8]>> =
        lines.map(|line| line.split(|byte| *byte == b'\t').collect()).collect();
    for row in &rows {
        let [b"pane", session, index, _, flags, _, title, directory, active, _, command, ..] =
            row[..]
        else {
            match row[..] {
                [b"grouped_session", name, ..] => {
                    save.grouped.push(String::from_utf8_lossy(name).into_owned());
                }
                [b""] | [b"window" | b"state", ..] => {}
                _ => save.unread += 1,
            }
            continue;
        };
        let Some(index) = number(index) else {
            save.unread += 1;
            continue;
        };
        let session = save.session(&String::from_utf8_lossy(session));
        let command = command.strip_prefix(b":").unwrap_or(command);
        let program = program(command, named);
        if let Some(name) = first_word(command).filter(|_| program.is_empty()) {
            session.programs.insert(name);
        }
        let at = session.windows.binary_search_by_key(&index, |window| window.index);
        let at = at.unwrap_or_else(|at| {
            session.windows.insert(at, empty(next_id, index));
            at
        });
        let window = &mut session.windows[at];
        next_id += 1;
        let flags = flags.strip_prefix(b":").unwrap_or(flags);
        window.active |= flags.contains(&b'*');
        window.last |= flags.contains(&b'-');
        window.zoomed |= flags.contains(&b'Z');
        window.panes.push(Pane {
            id: PaneId(next_id),
            directory: directory_of(directory),
            title: Some(Bytes(title.to_vec())),
            active: active == b"1",
            program,
            called: None,
            belongs: None,
        });
    }
    for row in &rows {
        let [b"window", session, index, name, _, _, layout, automatic, ..] = row[..] else {
            continue;
        };
        let session = String::from_utf8_lossy(session);
        let Some(session) = save.sessions.iter_mut().find(|saved| saved.name == session) else {
            continue;
        };
        let window = session.windows.iter_mut().find(|window| Some(window.index) == number(index));
        let Some(window) = window else { continue };
        if automatic == b"off" {
            window.name = Some(Bytes(name.strip_prefix(b":").unwrap_or(name).to_vec()));
        }
        let live =
            std::str::from_utf8(layout).ok().and_then(|text| text.parse::<LiveLayout>().ok());
        let layout = live.map(|live| live.normalised());
        window.layout = layout.filter(|layout| layout.cells() == window.panes.len());
        if window.layout.is_none() {
            session.layouts.push(window.index);
        }
    }
    save.sessions.retain(|saved| !saved.name.is_empty());
    save
}

fn empty(id: u32, index: u32) -> Window {
    Window {
        id,
        index,
        name: None,
        layout: None,
        active: false,
        last: false,
        zoomed: false,
        synchronized: false,
        command: false,
        since: Timestamp::now(),
        panes: Vec::new(),
        index_before: None,
        fuller: None,
    }
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// A directory, before which there is a colon, and in which a backslash stands before a space.
fn directory_of(field: &[u8]) -> Option<Bytes> {
    let path = field.strip_prefix(b":").unwrap_or(field);
    let mut plain = Vec::with_capacity(path.len());
    for (at, byte) in path.iter().enumerate() {
        if *byte != b'\\' || path.get(at + 1) != Some(&b' ') {
            plain.push(*byte);
        }
    }
    plain.starts_with(b"/").then_some(Bytes(plain))
}

/// What a program is called, without its folder.
fn first_word(line: &[u8]) -> Option<String> {
    let first = line.split(|byte| *byte == b' ').find(|word| !word.is_empty())?;
    let name = first.rsplit(|byte| *byte == b'/').next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The words of a program that the options name. The save has them joined by spaces.
fn program(line: &[u8], named: &Set<String>) -> Vec<Bytes> {
    let words: Vec<&[u8]> =
        line.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect();
    let is_named = first_word(line).is_some_and(|name| named.contains(&name));
    if is_named { words.into_iter().map(Bytes::from).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_save_is_read_as_tmux_resurrect_writes_it() {
        let save = "pane\ta b\t1\t1\t:*Z\t0\tt\t:/tmp/my\\ dir\t0\tvim\t:vim x y\n\
                    pane\ta b\t1\t1\t:*Z\t1\t\t:/usr\t1\tbash\t:\n\
                    pane\ta b\t3\t0\t:-\t0\tt\t:/\t1\tssh\t:ssh host secret\n\
                    window\ta b\t1\t:code\t1\t:*Z\t48b3,150x40,0,0{75x40,0,0,0,74x40,76,0,1}\toff\n\
                    window\ta b\t3\t:x\t0\t:-\tgarbage\t:\n\
                    state\ta b\t\ngrouped_session\tclone\ta b\t:1\t:0\ngarbage\n";
        let named = Set::from_iter(["vim".to_owned()]);
        let save = parse(save.as_bytes(), &named);
        let [Saved { name, windows, programs, layouts }] = &save.sessions[..] else {
            panic!("one session")
        };
        assert_eq!(name, "a b");
        assert_eq!(*programs, Set::from_iter(["ssh".to_owned()]));
        assert_eq!(*layouts, [1, 3]);
        assert_eq!((save.grouped, save.unread), (vec!["clone".to_owned()], 1));
        let [first, second] = &windows[..] else { panic!("two windows") };
        assert!(first.active && first.zoomed && second.last && second.name.is_none());
        assert_eq!(first.name, Some(b"code"[..].into()));
        assert_eq!(first.panes[0].directory, Some(b"/tmp/my dir"[..].into()));
        let words: Vec<Bytes> = ["vim", "x", "y"].map(|word| word.as_bytes().into()).into();
        assert_eq!((&first.panes[0].program, first.panes[1].active), (&words, true));
        assert_eq!(second.panes[0].program, [], "no word of what is not named");
    }
}
