//! Whole sessions come back: windows, panes, layouts, directories, names, titles, what was selected,
//! and the programs that the user's options name. Never anything that a text in them says.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tmux_roster::model::layout::LiveLayout;
use tmux_roster::tmux::text::{argument, escape_name, exact};

use crate::env::{
    Client, ROSTER, Server, can_trace, copy_program, end_process, kill_at_every_call, leftovers,
    script, stderr, tmux_program, tmux_version, typed, version, wait_for,
};

/// A window as a session has it, less its id.
#[derive(Debug, Clone, PartialEq)]
struct Window {
    index: u64,
    /// `None` where tmux names it.
    name: Option<OsString>,
    layout: String,
    active: bool,
    last: bool,
    zoomed: bool,
    synchronized: bool,
    /// Where else it is.
    links: Vec<String>,
    /// In the order of the layout's cells.
    panes: Vec<Pane>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pane {
    directory: OsString,
    title: OsString,
    active: bool,
    program: String,
}

/// Panes with the numbers in their ids.
type Numbered = Vec<(u32, Pane)>;

type Look = BTreeMap<String, Vec<Window>>;

/// What tmux has, of these sessions.
fn live(server: &Server, sessions: &[&str]) -> Look {
    const FIELDS: [&str; 17] = [
        "session_name",
        "window_id",
        "window_index",
        "window_active",
        "window_last_flag",
        "window_zoomed_flag",
        "automatic-rename",
        "synchronize-panes",
        "pane_id",
        "pane_active",
        "pane_current_command",
        "window_layout",
        "n:window_name",
        "window_name",
        "n:pane_title",
        "pane_title",
        "n:pane_current_path",
    ];
    let format: String = FIELDS.iter().map(|field| format!("#{{{field}}}<~>")).collect();
    let format = format!("<!>{format}#{{pane_current_path}}<.>");
    let printed = server.try_tmux(&["list-panes", "-a", "-F", &format]).stdout;
    let mut windows: Vec<(String, String, Window, Numbered)> = Vec::new();
    for row in split(&printed, b"<!>").skip(1) {
        let row = &row[..row.windows(3).rposition(|part| part == b"<.>").expect("an end")];
        let fields: Vec<&[u8]> = split(row, b"<~>").collect();
        let text = |at: usize| String::from_utf8_lossy(fields[at]).into_owned();
        let is = |at: usize| matches!(fields[at], b"1" | b"on");
        let bytes = |at: usize| OsString::from_vec(exact(fields[at], fields[at + 1]));
        if !sessions.contains(&text(0).as_str()) {
            continue;
        }
        let (session, id) = (text(0), text(1));
        let index = text(2).parse().unwrap();
        let pane =
            Pane { directory: bytes(16), title: bytes(14), active: is(9), program: text(10) };
        let pane = (text(8)[1..].parse().unwrap(), pane);
        if let Some((_, _, _, panes)) =
            windows.iter_mut().find(|(s, _, w, _)| *s == session && w.index == index)
        {
            panes.push(pane);
            continue;
        }
        let window = Window {
            index,
            name: (!is(6)).then(|| bytes(12)),
            layout: text(11),
            active: is(3),
            last: is(4),
            zoomed: is(5),
            synchronized: is(7),
            links: Vec::new(),
            panes: Vec::new(),
        };
        windows.push((session, id, window, vec![pane]));
    }
    let places: Vec<(String, String)> =
        windows.iter().map(|(s, id, w, _)| (id.clone(), format!("{s}:{}", w.index))).collect();
    let mut look = Look::new();
    for (session, id, mut window, panes) in windows {
        let layout: LiveLayout = window.layout.parse().expect("a layout");
        let find = |id: u32| panes.iter().find(|(pane, _)| *pane == id).expect("a pane").1.clone();
        window.panes = layout.panes().iter().map(|pane| find(pane.0)).collect();
        window.layout = layout.normalised().to_string();
        window.links = links(&places, &id, &session, window.index);
        look.entry(session).or_default().push(window);
    }
    look.values_mut().for_each(|windows| windows.sort_by_key(|window| window.index));
    look
}

fn split<'a>(bytes: &'a [u8], by: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = Some(bytes);
    std::iter::from_fn(move || {
        let now = rest?;
        match now.windows(by.len()).position(|part| part == by) {
            Some(at) => {
                rest = Some(&now[at + by.len()..]);
                Some(&now[..at])
            }
            None => {
                rest = None;
                Some(now)
            }
        }
    })
}

fn links(places: &[(String, String)], id: &str, session: &str, index: u64) -> Vec<String> {
    let here = format!("{session}:{index}");
    let mut links: Vec<String> = (places.iter())
        .filter(|(other, place)| other == id && *place != here)
        .map(|(_, place)| place.clone())
        .collect();
    links.sort();
    links
}

fn windows_path(server: &Server) -> PathBuf {
    server.registry_path().with_file_name("windows.json")
}

/// What is recorded of these sessions; nothing if one is not recorded yet.
fn recorded(server: &Server, sessions: &[&str]) -> Option<Look> {
    let file: Value = serde_json::from_slice(&fs::read(windows_path(server)).ok()?).unwrap();
    let bytes = |value: &Value| -> OsString {
        match value["hex"].as_str() {
            Some(hex) => {
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                OsString::from_vec((0..hex.len()).step_by(2).map(byte).collect())
            }
            None => value.as_str().unwrap_or_default().into(),
        }
    };
    let is = |value: &Value| value.as_bool().unwrap_or(false);
    let mut arrangements = Vec::new();
    for name in sessions {
        let uuid = server.registry()["sessions"][name]["uuid"].as_str()?.to_owned();
        let found = file["sessions"].get(&uuid)?;
        let here = is(&found["here"]) && found["vanished"].is_null();
        arrangements.push(((*name).to_owned(), found.clone()));
        if !here || found["windows"].as_array()?.iter().any(|w| !w["fuller"].is_null()) {
            return None;
        }
    }
    let id = |found: &Value, window: &Value| format!("{}/{}", found["server"], window["id"]);
    let mut places = Vec::new();
    for (name, found) in &arrangements {
        for window in found["windows"].as_array()? {
            places.push((id(found, window), format!("{name}:{}", window["index"])));
        }
    }
    let mut look = Look::new();
    for (name, found) in &arrangements {
        for window in found["windows"].as_array()? {
            let index = window["index"].as_u64()?;
            let panes = window["panes"].as_array()?.iter().map(|pane| Pane {
                directory: bytes(&pane["directory"]),
                title: bytes(&pane["title"]),
                active: is(&pane["active"]),
                program: String::new(),
            });
            look.entry(name.clone()).or_default().push(Window {
                index,
                name: window.get("name").map(bytes),
                layout: window["layout"].as_str().unwrap_or_default().to_owned(),
                active: is(&window["active"]),
                last: is(&window["last"]),
                zoomed: is(&window["zoomed"]),
                synchronized: is(&window["synchronized"]),
                links: links(&places, &id(found, window), name, index),
                panes: panes.collect(),
            });
        }
    }
    Some(look)
}

/// The first thing in which two looks differ.
fn difference(one: &Look, other: &Look) -> Option<String> {
    if one.keys().ne(other.keys()) {
        return Some(format!("sessions {:?}\n {:?}", one.keys(), other.keys()));
    }
    for (name, windows) in one {
        let others = &other[name];
        let indexes = |windows: &[Window]| windows.iter().map(|w| w.index).collect::<Vec<_>>();
        if indexes(windows) != indexes(others) {
            return Some(format!("{name}: {:?} {:?}", indexes(windows), indexes(others)));
        }
        if let Some((a, b)) = windows.iter().zip(others).find(|(a, b)| a != b) {
            return Some(format!("{name}:\n{a:?}\n{b:?}"));
        }
    }
    None
}

fn without_programs(look: &Look) -> Look {
    let mut look = look.clone();
    for pane in look.values_mut().flatten().flat_map(|window| &mut window.panes) {
        pane.program.clear();
    }
    look
}

/// Waits until what is recorded is what there is, and gives that.
fn settle(server: &Server, sessions: &[&str]) -> Look {
    let settled = || {
        let now = live(server, sessions);
        let recorded = recorded(server, sessions)?;
        difference(&without_programs(&now), &recorded).is_none().then_some(now)
    };
    let found = wait_for(settled, || {
        let recorded = recorded(server, sessions).unwrap_or_default();
        format!(
            "the record: {:?}",
            difference(&without_programs(&live(server, sessions)), &recorded)
        )
    });
    server.wait_for_jobs();
    found
}

/// Waits until there is what was.
fn wait_to_be(server: &Server, sessions: &[&str], before: &Look) {
    wait_for(
        || difference(before, &live(server, sessions)).is_none().then_some(()),
        || difference(before, &live(server, sessions)).unwrap_or_default(),
    );
}

fn run(server: &Server, words: &[&OsStr]) -> String {
    server.tmux(words).trim().to_owned()
}

/// A word that tmux takes as a format, so that it shows these bytes.
fn shown(text: &[u8]) -> OsString {
    argument(OsString::from_vec(escape_name(text, version())))
}

fn window_name(text: &[u8]) -> OsString {
    if tmux_version() < (3, 1) { argument(OsString::from_vec(text.to_vec())) } else { shown(text) }
}

const NAMES: [&[u8]; 13] = [
    b"#(touch canary)",
    b"##",
    b"end;",
    br"a\b",
    b"a$b ${HOME} $(touch canary)",
    b"it's \"so\" `touch canary`",
    b"",
    b"#[fg=red]x",
    "日本🦀".as_bytes(),
    b"-x",
    b"#{pid}",
    b"3",
    br"a\\b \033 \t \$x \#(touch canary)",
];

const FOLDERS: [&[u8]; 12] = [
    b"#(touch canary)",
    b"##x#[y]",
    b"end;",
    br"a\b",
    b"a$b ${HOME} $(touch canary)",
    b"it's \"so\" `touch canary`",
    b"line\nbreak",
    b"bad\xff",
    "日本🦀".as_bytes(),
    b"-c",
    b"#{pid}",
    b"x (deleted)",
];

/// The folder of that number, made.
fn folder(server: &Server, number: usize) -> PathBuf {
    let path = server.path("d").join(OsStr::from_bytes(FOLDERS[number % FOLDERS.len()]));
    fs::create_dir_all(&path).unwrap();
    path
}

/// A server that also our own program starts with its configuration.
fn at_home(server: Server) -> Server {
    configure(&server, "");
    server
}

/// Puts lines before the configuration, for the next start.
fn configure(server: &Server, lines: &str) {
    let config = fs::read_to_string(server.path("tmux.conf")).unwrap();
    let config = format!("{lines}\n{config}");
    server.write_config(&config);
    fs::write(server.path("home/.tmux.conf"), config).unwrap();
}

/// Replaces a part of the configuration, for the next start.
fn configure_anew(server: &Server, from: &str, to: &str) {
    let config = fs::read_to_string(server.path("tmux.conf")).unwrap();
    assert!(config.contains(from));
    server.write_config(&config.replace(from, to));
    configure(server, "");
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % n
    }
}

/// A window with this index and name, in a hostile directory; of `count` panes, laid out at random.
/// Gives the pane's ids.
fn make_window(
    server: &Server,
    random: &mut Random,
    target: &str,
    name: Option<&[u8]>,
    count: usize,
) -> Vec<String> {
    let directory = shown(folder(server, random.below(99)).as_os_str().as_bytes());
    let mut words: Vec<OsString> =
        ["new-window", "-d", "-P", "-F", "#{pane_id}", "-t", target, "-c"].map(Into::into).into();
    words.push(directory);
    if let Some(name) = name {
        words.extend(["-n".into(), window_name(name)]);
    }
    let mut panes = vec![server.tmux(&words)];
    while panes.len() < count {
        let from = panes[random.below(panes.len())].clone();
        let directory = shown(folder(server, random.below(99)).as_os_str().as_bytes());
        let way = ["-h", "-v", "-hb", "-vf"][random.below(4)];
        let words = ["split-window", "-d", "-P", "-F", "#{pane_id}", way, "-t", &from, "-c"];
        let mut words: Vec<OsString> = words.map(Into::into).into();
        words.push(directory);
        let made = server.try_tmux(&words);
        if !made.status.success() {
            server.tmux(&["select-layout", "-t", &panes[0], "tiled"]);
            continue;
        }
        panes.push(String::from_utf8(made.stdout).unwrap().trim().to_owned());
        let way = ["-L", "-R", "-U", "-D"][random.below(4)];
        let far = (1 + random.below(5)).to_string();
        server.try_tmux(&["resize-pane", "-t", &from, way, &far]);
    }
    for pane in &panes {
        if random.below(2) == 0 {
            let title = shown(NAMES[random.below(NAMES.len())]);
            let words = ["select-pane", "-t", pane, "-T"].map(OsString::from);
            let words: Vec<&OsStr> =
                words.iter().map(OsString::as_os_str).chain([title.as_os_str()]).collect();
            run(server, &words);
        }
    }
    let active = &panes[random.below(panes.len())];
    server.tmux(&["select-pane", "-t", active]);
    panes
}

/// A server with sessions `one`, `two` and `keep` that has all that a session may be made of.
fn with_hostile(config: &str, renumber: &str, seed: u64) -> Server {
    let server = at_home(Server::with_plugin(config));
    server.set_trap();
    let mut random = Random(seed);
    server.tmux(&["new-session", "-d", "-s", "keep"]);
    for (session, first) in [("one", 2), ("two", 7)] {
        server.tmux(&["new-session", "-d", "-s", session, "-c", &server.dir("b")]);
        for (at, name) in NAMES.iter().enumerate() {
            if at % 2 == usize::from(session == "two") {
                continue;
            }
            let target = format!("{session}:{}", first + 3 * at);
            let name = (at % 5 != 1).then_some(*name);
            let count = 1 + random.below(5);
            make_window(&server, &mut random, &target, name, count);
        }
    }
    // The order of the panes is another than that of the cells.
    let full = |way: &'static str| if tmux_version() < (3, 1) { &way[..2] } else { way };
    for (target, way) in [("one:50", "-hb"), ("one:51", full("-vf")), ("two:52", full("-hf"))] {
        let panes = make_window(&server, &mut random, target, Some(b"joined"), 3);
        let from = format!("{}:60", &target[..3]);
        let joined = make_window(&server, &mut random, &from, None, 2);
        server.tmux(&["join-pane", "-d", way, "-s", &joined[1], "-t", &panes[1]]);
        server.tmux(&["join-pane", "-d", way, "-s", &joined[0], "-t", &panes[2]]);
    }
    let many = make_window(&server, &mut random, "one:55", Some(b"many"), 8);
    server.tmux(&["set-option", "-g", "renumber-windows", renumber]);
    server.tmux(&["resize-pane", "-Z", "-t", &many[3]]);
    server.tmux(&["set-option", "-w", "-t", "one:50", "synchronize-panes", "on"]);
    server.tmux(&["link-window", "-d", "-s", "one:51", "-t", "two:70"]);
    server.tmux(&["link-window", "-d", "-s", "one:51", "-t", "one:71"]);
    server.tmux(&["new-session", "-d", "-t", "two", "-s", "twin"]);
    for target in ["=one:=55", "=one:=50", "=two:=52", "=two:=70"] {
        server.tmux(&["select-window", "-t", target]);
    }
    server
}

const ALL: [&str; 3] = ["keep", "one", "two"];

fn check_round_trip(config: &str, renumber: &str, seed: u64) {
    let server = with_hostile(config, renumber, seed);
    configure(&server, &format!("set -g renumber-windows {renumber}"));
    let before = settle(&server, &ALL);
    assert!(before["one"].iter().map(|window| window.panes.len()).sum::<usize>() > 15);
    assert!(before["one"].iter().any(|w| w.zoomed) && before["one"].iter().any(|w| w.last));
    for round in 0..2 {
        if round == 0 {
            server.kill_server()
        } else {
            server.crash()
        }
        let said = server.try_roster(&["restore", "--all"]);
        assert!(said.status.success() && stderr(&said).is_empty(), "{}", stderr(&said));
        wait_to_be(&server, &ALL, &before);
        assert_eq!(settle(&server, &ALL), before);
        let listed = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), ALL);
        check_hooks_are_shown(&server);
    }
    assert_eq!(server.trapped(), [""; 0]);
}

/// No session hides a hook.
fn check_hooks_are_shown(server: &Server) {
    for id in server.tmux(&["list-sessions", "-F", "#{session_id}"]).lines() {
        let shown = server.tmux(&["show-hooks", "-t", id]);
        let hidden = ["session-created", "after-new-window", "after-split-window"];
        assert!(!hidden.iter().any(|hook| shown.contains(hook)), "{id}: {shown}");
        let shown = server.tmux(&["show-options", "-t", id]);
        assert!(!shown.contains("renumber-windows"), "{id}: {shown}");
    }
}

#[test]
fn whole_sessions_come_back_as_they_were() {
    check_round_trip("", "off", 1);
}

#[test]
fn whole_sessions_come_back_whatever_the_numbers_begin_with() {
    let config = "set -g base-index 1\nset -gw pane-base-index 1\n";
    check_round_trip(config, "on", 7);
}

/// A session of some windows with all kinds of panes, beside `keep`; one of them is in both.
fn with_small(config: &str) -> Server {
    let server = at_home(Server::with_plugin(config));
    server.set_trap();
    let mut random = Random(3);
    server.tmux(&["new-session", "-d", "-s", "keep"]);
    server.tmux(&["new-session", "-d", "-s", "one", "-n", "first", "-c", &server.dir("b")]);
    make_window(&server, &mut random, "one:4", Some(NAMES[0]), 4);
    make_window(&server, &mut random, "one:9", None, 2);
    server
}

#[test]
fn a_closed_session_is_reopened_whole() {
    let server = with_small("");
    server.tmux(&["link-window", "-d", "-s", "one:4", "-t", "keep:12"]);
    server.tmux(&["select-window", "-t", "one:9"]);
    let both = ["keep", "one"];
    let before = settle(&server, &both);
    for wait in [true, false] {
        server.tmux(&["kill-session", "-t", "=one:"]);
        wait_for(
            || (!server.names().contains(&"one".to_owned())).then_some(()),
            || "its close".into(),
        );
        if wait {
            let path = windows_path(&server);
            let is_noted = || {
                let file: Value = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
                let here = file["sessions"].as_object()?.values();
                (here.filter(|a| a["here"] == true).count() == 1).then_some(())
            };
            wait_for(is_noted, || "the record of its close".into());
        }
        server.roster(&["reopen", "one"]);
        wait_to_be(&server, &both, &before);
        // Nothing of it came back twice, or counts as closed.
        assert_eq!(settle(&server, &both), before);
        let file: Value =
            serde_json::from_slice(&fs::read(windows_path(&server)).unwrap()).unwrap();
        assert!(file["closed"].is_null(), "{}", file["closed"]);
    }
    check_hooks_are_shown(&server);
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn going_to_a_session_brings_it_back_whole() {
    let server = with_small("");
    server.tmux(&["select-window", "-t", "one:9"]);
    let before = settle(&server, &["one"]);
    server.tmux(&["kill-session", "-t", "=one:"]);
    wait_for(|| (server.names() == ["keep"]).then_some(()), || "its close".into());
    // Its status line leaves what a detached window has.
    let command = format!("exec {ROSTER} -L s go one");
    let _client = Client::start_sized(&server, (80, 25), &command);
    wait_to_be(&server, &["one"], &before);
    server.kill_server();
    server.wait_for_jobs();
    let client = Client::start_sized(&server, (80, 25), &command);
    wait_to_be(&server, &["one"], &before);
    client.close();
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_server_that_starts_brings_whole_sessions_back() {
    let server = with_small("set -g @roster-restore on\n");
    server.tmux(&["select-window", "-t", "one:9"]);
    let before = settle(&server, &["keep", "one"]);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "other"]);
    wait_to_be(&server, &["keep", "one"], &before);
    assert_eq!(settle(&server, &["keep", "one"]), before);
    check_hooks_are_shown(&server);
    assert_eq!(server.trapped(), [""; 0]);
}

/// A client of another size sees the windows as tmux scales them, and nothing else changes.
#[test]
fn a_session_seen_on_another_terminal_comes_back_with_all_panes() {
    let server = with_small("");
    let client = Client::attach_sized(&server, "=one", (133, 41));
    server.tmux(&["select-window", "-t", "one:9"]);
    let before = settle(&server, &["keep", "one"]);
    client.close();
    server.kill_server();
    server.roster(&["restore", "--all"]);
    wait_to_be(&server, &["keep", "one"], &before);
}

/// The session `two` with two windows, restored while somebody takes its name: with its UUID, and what
/// was said.
fn restored_while_taken(config: &str) -> (Server, String, String) {
    let server = Server::running(config);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.tmux(&["new-window", "-d", "-t", "=two:"]);
    settle(&server, &["two"]);
    let uuid = server.uuid("two");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_idle();
    // It runs among the commands that make the session, after those that made its windows.
    server.tmux(&["set-hook", "-g", "after-select-window", "new-session -d -s two"]);
    let said = stderr(&server.try_roster(&["restore", "two"]));
    server.tmux(&["set-hook", "-gu", "after-select-window"]);
    (server, uuid, said)
}

#[test]
fn a_session_whose_name_is_taken_while_it_is_made_gets_another() {
    let (server, uuid, said) = restored_while_taken("");
    assert!(said.contains("so the one that came back is named \"two-2\""), "{said}");
    server.wait_for_names(&["one", "two", "two-2"]);
    server.wait_until_idle();
    assert_eq!(server.uuid("two-2"), uuid);
    assert_ne!(server.uuid("two"), uuid);
    assert_eq!(server.tmux(&["list-windows", "-t", "=two-2:"]).lines().count(), 2);
}

#[test]
fn a_session_keeps_its_uuid_though_no_name_is_left_for_it() {
    let (server, uuid, _) = restored_while_taken("set -g @roster-ignore 'two-*'\n");
    server.wait_until_idle();
    let format = "#{session_windows} #{@roster_uuid}";
    let listed = server.tmux(&["list-sessions", "-F", format]);
    let of = |uuid: &String| listed.lines().filter(|line| line.ends_with(uuid)).collect::<Vec<_>>();
    assert_eq!(of(&uuid), [format!("2 {uuid}")], "{listed}");
    let all: BTreeSet<&str> = listed.lines().map(|line| &line[2..]).collect();
    assert_eq!(all.len(), 3, "{listed}");
}

/// Nothing starts for a moment, and no event tells of what was never there.
#[test]
fn no_pane_is_made_that_is_taken_away_again() {
    let server = Server::running("set -g base-index 1\n");
    server.tmux(&["new-session", "-d", "-s", "two", "-n", "named", "-c", &server.dir("b")]);
    server.tmux(&["split-window", "-d", "-t", "=two:"]);
    server.tmux(&["new-window", "-d", "-t", "=two:5"]);
    let (before, uuid) = (settle(&server, &["two"]), server.uuid("two"));
    // Where it cannot be helped: before 3.2 always.
    let hook = ["set-hook", "-g", "after-new-session[3]", "set-option @x y"];
    for (hooked, more) in [(false, if tmux_version() < (3, 2) { 1 } else { 0 }), (true, 1)] {
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_until_idle();
        if hooked {
            server.tmux(&hook);
        }
        server.roster(&["restore", "two"]);
        wait_to_be(&server, &["two"], &before);
        let ids = server.tmux(&["list-panes", "-s", "-t", "=two:", "-F", "#{pane_id}"]);
        let expected: Vec<String> = (1..4).map(|n| format!("%{}", n + more)).collect();
        assert_eq!(ids.lines().collect::<Vec<_>>(), expected, "{hooked}");
        type_line(&server, "=two:1.0", "echo $ROSTER_SESSION,$ROSTER_MODE,$ROSTER_UUID");
        wait_to_see(&server, "=two:1.0", &format!("two,safe,{uuid}"));
    }
}

/// The one that it is made with is not the one before.
#[test]
fn a_session_without_a_last_window_comes_back_without_one() {
    let server = Server::running("");
    server.tmux(&["new-session", "-d", "-s", "two", "-n", "zero", "-c", &server.dir("b")]);
    server.tmux(&["new-window", "-t", "=two:3", "-n", "three"]);
    server.tmux(&["kill-window", "-t", "=two:0"]);
    server.tmux(&["new-window", "-d", "-t", "=two:0", "-n", "first", "-c", &server.dir("b")]);
    let before = settle(&server, &["two"]);
    assert!(before["two"].iter().all(|window| !window.last), "{before:?}");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_idle();
    server.roster(&["restore", "two"]);
    wait_to_be(&server, &["two"], &before);
}

/// The first of them is the current window, and then another is, because it went.
#[test]
fn what_was_current_and_zoomed_before_a_slow_shutdown_is_so_again() {
    let server = Server::running("");
    server.tmux(&["new-window", "-d", "-t", "=one:3", "-n", "build"]);
    server.tmux(&["split-window", "-d", "-t", "=one:3"]);
    server.tmux(&["split-window", "-d", "-t", "=one:3"]);
    server.tmux(&["new-window", "-t", "=one:9", "-n", "last"]);
    server.tmux(&["select-window", "-t", "=one:3"]);
    server.tmux(&["resize-pane", "-Z", "-t", "=one:3"]);
    let before = settle(&server, &["one"]);
    // A third one goes first, or the one before, and then the current one.
    let orders = [["0", "3.0", "3", "3"], ["9", "3.0", "3", "3"], ["9", "0", "3", "3"]];
    for order in orders {
        for (target, left) in order.iter().zip((1..5).rev()) {
            server.tmux(&["kill-pane", "-t", &format!("=one:{target}")]);
            let seen = || {
                let said = server.roster(&["windows", "one"]);
                (said.lines().count() == left).then_some(())
            };
            wait_for(seen, || server.roster(&["windows", "one"]));
        }
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "two"]);
        server.wait_until_idle();
        server.roster(&["restore", "one"]);
        wait_to_be(&server, &["one"], &before);
        assert_eq!(settle(&server, &["one"]), before, "{order:?}");
    }
}

/// And tmux numbers the others anew each time.
#[test]
fn windows_that_end_one_by_one_before_the_server_come_back_in_order() {
    let server = Server::running("set -g renumber-windows on\nset -g base-index 1\n");
    server.tmux(&["new-session", "-d", "-s", "two", "-n", "w1"]);
    for name in ["w2", "w3", "w4", "w5"] {
        server.tmux(&["new-window", "-d", "-t", "=two:", "-n", name]);
    }
    server.tmux(&["select-window", "-t", "=two:5"]);
    server.tmux(&["select-window", "-t", "=two:1"]);
    let before = settle(&server, &["two"]);
    for order in [["w1", "w2", "w3", "w4"], ["w3", "w1", "w4", "w2"], ["w5", "w4", "w3", "w2"]] {
        for (name, left) in order.iter().zip((1..5).rev()) {
            server.tmux(&["kill-window", "-t", &format!("=two:={name}")]);
            let seen =
                || (server.roster(&["windows", "two"]).lines().count() == left).then_some(());
            wait_for(seen, || server.roster(&["windows", "two"]));
        }
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_until_idle();
        server.roster(&["restore", "two"]);
        wait_to_be(&server, &["two"], &before);
        assert_eq!(settle(&server, &["two"]), before, "{order:?}");
    }
    // One that is made meanwhile stays behind the last one, and one that came back where it was.
    let left = |count: usize| {
        let seen = || (server.roster(&["windows", "two"]).lines().count() == count).then_some(());
        wait_for(seen, || server.roster(&["windows", "two"]));
    };
    server.tmux(&["kill-window", "-t", "=two:=w1"]);
    left(4);
    server.tmux(&["new-window", "-d", "-t", "=two:", "-n", "new"]);
    left(5);
    server.tmux(&["kill-window", "-t", "=two:=w3"]);
    left(4);
    server.roster(&["reopen", "--window"]);
    for (name, count) in [("w3", 4), ("w5", 3)] {
        server.tmux(&["kill-window", "-t", &format!("=two:={name}")]);
        left(count);
    }
    server.roster(&["kill", "two"]);
    server.roster(&["reopen", "two"]);
    let names =
        server.tmux(&["list-windows", "-t", "=two:", "-F", "#{window_index}#{window_name}"]);
    assert_eq!(names.lines().collect::<Vec<_>>(), ["1w1", "2w2", "3w3", "4w4", "5w5", "6new"]);
}

#[test]
fn what_was_seen_on_a_small_terminal_fills_a_larger_one() {
    let server = Server::running("");
    let client = Client::attach_sized(&server, "=one", (60, 15));
    server.tmux(&["new-window", "-d", "-t", "=one:5"]);
    settle(&server, &["one"]);
    client.close();
    // One of many panes that was seen on a large one, beside it.
    let large = Client::attach_sized(&server, "=one", (200, 50));
    server.tmux(&["new-window", "-t", "=one:7"]);
    for _ in 0..7 {
        server.tmux(&["split-window", "-d", "-t", "=one:7"]);
        server.tmux(&["select-layout", "-t", "=one:7", "tiled"]);
    }
    settle(&server, &["one"]);
    large.close();
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_until_idle();
    let client = Client::attach_sized(&server, "=two", (150, 40));
    server.roster(&["restore", "one"]);
    server.tmux(&["switch-client", "-c", &client.name(), "-t", "=one:"]);
    server.tmux(&["select-window", "-t", "=one:5"]);
    let format = "#{window_width} #{pane_width} #{window_height} #{pane_height}";
    let sizes = || server.tmux(&["display-message", "-p", "-t", "=one:5", format]);
    wait_for(|| (sizes() == "150 150 39 39").then_some(()), sizes);
    assert_eq!(server.tmux(&["show-options", "-t", "=one:", "default-size"]), "");
    assert_eq!(server.tmux(&["list-panes", "-t", "=one:7"]).lines().count(), 8);
}

/// What the user's hooks make is not part of what is rebuilt, however often, and they work after.
fn check_hooks(hook: &str, works: &[&str], panes: &str) {
    let server = with_small("");
    server.tmux(&["select-window", "-t", "one:9"]);
    let both = ["keep", "one"];
    let before = settle(&server, &both);
    configure(&server, hook);
    for round in 0..3 {
        server.crash();
        server.roster(&["restore", "--all"]);
        wait_to_be(&server, &both, &before);
        let listed = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        assert_eq!(listed.lines().collect::<Vec<_>>(), both, "{hook}");
        if round < 2 {
            assert_eq!(settle(&server, &both), before, "{hook}");
        }
        check_hooks_are_shown(&server);
    }
    if works.is_empty() {
        return;
    }
    server.tmux(works);
    let counted = || {
        let format = "#{session_name}:#{window_index}:#{window_name}:#{window_panes}";
        server.tmux(&["list-windows", "-a", "-F", format])
    };
    wait_for(|| counted().contains(panes).then_some(()), || format!("{panes}: {}", counted()));
}

#[test]
fn hooks_of_the_users_that_split_windows_do_not_make_sessions_grow() {
    let new = ["new-window", "-d", "-t", "=one:20", "-n", "x"];
    check_hooks("set-hook -g after-new-window split-window", &new, "one:20:x:2");
    let split = ["split-window", "-d", "-t", "=keep:"];
    check_hooks("set-hook -g after-split-window 'rename-window y'", &split, ":y:2");
}

#[test]
fn hooks_of_the_users_that_follow_a_new_session_do_not_make_sessions_grow() {
    let new = ["new-session", "-d", "-s", "later", "-n", "x"];
    check_hooks("set-hook -g after-new-session split-window", &new, ":x:2");
    check_hooks("set-hook -g after-new-session 'rename-session x'", &new, "x:0:x:1");
}

#[test]
fn hooks_of_the_users_that_make_windows_do_not_make_sessions_grow() {
    let new = ["new-session", "-d", "-s", "later", "-n", "x"];
    check_hooks("set-hook -g after-new-session 'new-window -n y'", &new, "later:1:y:1");
    // On the head nothing hides them: FACTS.md, "Rebuilding".
    if tmux_version() < (3, 8) {
        check_hooks("set-hook -g session-created 'new-window -n y'", &new, "later:1:y:1");
    }
}

#[test]
fn whole_sessions_come_back_where_tmux_destroys_what_nobody_is_attached_to() {
    check_hooks("set -g destroy-unattached on", &[], "");
}

/// Puts a copy of a shell on PATH as another program: words of any kind are nothing to it.
fn program(server: &Server, name: &str) {
    fs::create_dir_all(server.path("traps")).unwrap();
    copy_program(&fs::canonicalize("/bin/sh").unwrap(), &server.path("traps").join(name));
}

/// What `program` runs: notes its words in a file, and then says what it reads.
fn noting(server: &Server, file: &str) -> String {
    let file = server.dir(file);
    format!(
        "printf \"[%s]\" \"$0\" \"$@\" >>{file}; echo >>{file}; while read x; do echo got-$x; done"
    )
}

fn command_of(server: &Server, target: &str) -> String {
    server.tmux(&["display-message", "-p", "-t", target, "#{pane_current_command}"])
}

fn wait_for_command(server: &Server, target: &str, command: &str) {
    wait_for(
        || (command_of(server, target) == command).then_some(()),
        || {
            let screen = server.screen(target);
            format!("{command} in {target}: {} {screen}", command_of(server, target))
        },
    );
}

fn wait_to_see(server: &Server, target: &str, text: &str) {
    let screen = || server.tmux(&["capture-pane", "-p", "-J", "-t", target]);
    wait_for(|| screen().contains(text).then_some(()), || format!("{text:?} in:\n{}", screen()));
}

/// Types a line in a pane.
fn type_line(server: &Server, target: &str, line: &str) {
    server.tmux(&["send-keys", "-t", target, "-l", line]);
    server.tmux(&["send-keys", "-t", target, "Enter"]);
}

/// Waits until the record of the windows of `one` holds so many programs.
fn wait_for_programs(server: &Server, count: usize) {
    let path = windows_path(server);
    let programs = || {
        let text = fs::read_to_string(&path).unwrap_or_default();
        text.matches("\"program\":").count()
    };
    wait_for(
        || (programs() == count).then_some(()),
        || format!("{count} programs in {}", fs::read_to_string(&path).unwrap_or_default()),
    );
    server.wait_for_jobs();
}

#[test]
fn programs_that_options_name_are_started_again_with_their_very_words() {
    let named = "set -g @roster-programs 'vim late'\n\
                 set -g @roster-resume-keeper 'resumed $ROSTER_UUID \"a b\" \"$(touch canary)\" ;'\n";
    let server = at_home(Server::with_plugin(named));
    server.set_trap();
    for name in ["vim", "keeper", "secret", "late"] {
        program(&server, name);
    }
    script(
        &server.path("traps/resumed"),
        &format!("printf '[%s]' \"$@\" >>{}\nexec cat", server.dir("resumed")),
    );
    server.tmux(&["new-session", "-d", "-s", "one", "-c", &server.dir("b")]);
    let words = "'a b' '' \"it's\" '\"' '$(touch canary)' '#(touch canary)' '#{pid}' 'end;' ';' '\\' \
                 \"$(printf 'line\\nbreak')\" \"$(printf 'bad\\377')\" -x";
    for (at, name) in ["vim", "keeper", "secret", "late"].iter().enumerate() {
        let noting = noting(&server, name);
        script(
            &server.path("traps").join(format!("start-{name}")),
            &format!("PATH={}:$PATH; exec {name} -c '{noting}' {words}", server.dir("traps")),
        );
        let target = format!("one:{}", 3 + at);
        server.tmux(&["new-window", "-d", "-t", &target, "-n", name]);
        type_line(&server, &target, &server.dir(&format!("traps/start-{name}")));
        wait_for_command(&server, &target, name);
    }
    // A look that is taken now sees them all.
    server.tmux(&["rename-window", "-t", "one:3", "editor"]);
    wait_for_programs(&server, 3);
    let record = fs::read_to_string(windows_path(&server)).unwrap();
    assert!(!record.contains("secret -c") && !record.contains("dir/secret"), "{record}");
    let noted = |name: &str| fs::read(server.path(name)).unwrap_or_default();
    let first = noted("vim");
    assert!(first.starts_with(b"[a b][][it's][\"][$(touch canary)]"), "{first:?}");
    assert!(first.ends_with(b"[line\nbreak][bad\xff][-x]\n"), "{first:?}");
    server.crash();
    // What is named no more is not started.
    configure_anew(&server, "'vim late'", "vim");
    let uuid = server.uuid("one");
    server.roster(&["restore", "--all"]);
    wait_for_command(&server, "one:3", "vim");
    wait_for(
        || (noted("vim") == [&first[..], &first].concat()).then_some(()),
        || String::from_utf8_lossy(&noted("vim")).into_owned(),
    );
    wait_for_command(&server, "one:4", "cat");
    assert_eq!(noted("resumed"), format!("[{uuid}][a b][$(touch canary)][;]").as_bytes());
    for target in ["one:5", "one:6"] {
        wait_for_command(&server, target, "sh");
    }
    for name in ["keeper", "secret", "late"] {
        assert_eq!(noted(name), first, "{name} was started once");
    }
    // The next record is the same: nor is it a window that was made for a command.
    wait_for_programs(&server, 1);
    let record = fs::read_to_string(windows_path(&server)).unwrap();
    assert!(!record.contains("\"command\""), "{record}");
    server.crash();
    configure_anew(&server, "programs vim", "programs none");
    server.roster(&["restore", "--all"]);
    wait_for_command(&server, "one:3", "sh");
    assert_eq!(noted("vim").len(), 2 * first.len());
    assert_eq!(server.trapped(), [""; 0]);
}

/// A server with the session `one`, lost, which has a window for each of these words of a program
/// called `prog`, from 1 on; brought back by `roster`, with a shell of the user's.
fn with_programs(config: &str, roster: &Path, all: &[&[&str]]) -> Server {
    let server = at_home(Server::with_config(&format!("set -g @roster-programs prog\n{config}")));
    program(&server, "prog");
    save(&server);
    let windows: Vec<Value> = (all.iter().zip(1..))
        .map(|(words, index)| {
            let words: Vec<&str> = std::iter::once("prog").chain(words.iter().copied()).collect();
            json!({"id": index, "index": index, "since": "2020-01-01T00:00:00Z",
                "panes": [{"id": index, "active": true, "program": words}]})
        })
        .collect();
    write_windows(&server, &json!(windows));
    let restored = server.command(roster).args(["-L", "s", "restore", "one"]).output().unwrap();
    assert!(restored.status.success(), "{}", stderr(&restored));
    server
}

/// The session `one`, as a lost one.
fn save(server: &Server) {
    let path = server.registry_path();
    let saved = crate::env::store(&path, &["save", "one", &server.dir("b"), "safe"]);
    assert!(saved.status.success(), "{}", stderr(&saved));
}

/// Records these windows for the session `one`.
fn write_windows(server: &Server, windows: &Value) {
    let of = json!({"pid": 1, "start_time": 1});
    let sessions = json!({server.uuid("one"): {"server": of, "windows": windows}});
    let file = json!({"version": 1, "server": of, "sessions": sessions});
    fs::write(windows_path(server), file.to_string()).unwrap();
}

const READING: &str = "echo begun; while read x; do echo got-$x; done";

/// A shell that people can use is in a pane, and nothing of ours: `login` as tmux starts it by itself.
fn check_shell(server: &Server, target: &str, login: bool) {
    type_line(server, target, "echo shell-$((40+2))-$0");
    wait_to_see(server, target, &format!("shell-42-{}", if login { "-sh" } else { "sh" }));
    type_line(server, target, "clear; stty -a");
    wait_to_see(server, target, "isig icanon");
    let shown = server.tmux(&["capture-pane", "-p", "-J", "-t", target]);
    for sane in ["-echo ", "-icrnl", "-opost", "-isig", "-onlcr"] {
        assert!(!shown.contains(sane), "{sane} in {shown}");
    }
    let size = "#{pane_height} #{pane_width}";
    let size = server.tmux(&["display-message", "-p", "-t", target, size]);
    type_line(server, target, "clear; stty size; trap; umask; ps -o stat= -p $$");
    wait_to_see(server, target, &size);
    wait_to_see(server, target, "0022");
    let pid = server.tmux(&["display-message", "-p", "-t", target, "#{pane_pid}"]);
    let told = server.command("ps").args(["-o", "args=", "--ppid", &pid, "-p", &pid]).output();
    let told = String::from_utf8_lossy(&told.unwrap().stdout).into_owned();
    assert!(!told.contains("run-in-pane"), "{told}");
}

#[test]
fn a_program_has_a_shell_behind_it() {
    let raw = "stty raw -echo; echo begun; read x; echo raw-ended";
    let server = with_programs(
        "",
        ROSTER.as_ref(),
        &[
            &["-c", READING, "ends-by-ctrl-c"],
            &["-c", READING, "ends"],
            &["-c", raw],
            &["-c", READING, "killed-with-its-pane"],
        ],
    );
    for target in ["one:1", "one:2", "one:3", "one:4"] {
        wait_to_see(&server, target, "begun");
        wait_for_command(&server, target, "prog");
    }
    type_line(&server, "one:1", "x1");
    wait_to_see(&server, "one:1", "got-x1");
    server.tmux(&["send-keys", "-t", "one:1", "C-c"]);
    wait_for_command(&server, "one:1", "sh");
    check_shell(&server, "one:1", true);
    server.tmux(&["send-keys", "-t", "one:2", "C-d"]);
    wait_for_command(&server, "one:2", "sh");
    check_shell(&server, "one:2", true);
    server.tmux(&["send-keys", "-t", "one:3", "C-j"]);
    wait_to_see(&server, "one:3", "raw-ended");
    wait_for_command(&server, "one:3", "sh");
    check_shell(&server, "one:3", true);
    server.tmux(&["kill-pane", "-t", "one:4"]);
    server.wait_for_end_of("killed-with-its-pane");
    server.wait_for_end_of("run-in-pane");
    // Their shells' end is the end of the windows.
    for target in ["one:1", "one:2", "one:3"] {
        type_line(&server, target, "exit");
    }
    wait_for(
        || (!server.try_tmux(&["list-sessions"]).status.success()).then_some(()),
        || "the end of the session".into(),
    );
}

#[test]
fn a_program_that_is_started_where_another_waits_is_at_home() {
    let server = Server::running("set -g @roster-programs top\n");
    program(&server, "top");
    let gone = server.dir("b/gone");
    fs::create_dir(&gone).unwrap();
    server.tmux(&["new-window", "-d", "-t", "=one:4", "-c", &gone]);
    let start = |words: &str| {
        let target = "=one:4";
        type_line(&server, target, &format!("{} -c '{words}'", server.dir("traps/top")));
        wait_for_command(&server, target, "top");
        server.tmux(&["rename-window", "-t", target, "seen"]);
        let path = windows_path(&server);
        let text = || fs::read_to_string(&path).unwrap_or_default();
        wait_for(|| text().contains(words).then_some(()), text);
        server.wait_for_jobs();
    };
    start("read x");
    for round in 0..2 {
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "two"]);
        server.wait_until_idle();
        if round == 0 {
            fs::remove_dir(&gone).unwrap();
        }
        server.roster(&["restore", "one"]);
        if round == 0 {
            settle(&server, &["one"]);
            start("read y");
        }
    }
    let path = || server.tmux(&["display-message", "-p", "-t", "=one:4", "#{pane_current_path}"]);
    wait_for(|| (path() == server.dir("b")).then_some(()), path);
    wait_for_command(&server, "=one:4", "top");
}

#[test]
fn a_launch_command_is_in_its_own_directory_again_once_that_is_back() {
    let server = Server::running("set -g @roster-programs top\n");
    program(&server, "top");
    let gone = server.dir("b/gone");
    fs::create_dir(&gone).unwrap();
    let command = format!("{} -c 'read x'", server.dir("traps/top"));
    server.tmux(&["set-option", "-g", "@roster-command-safe", &command]);
    server.roster(&["new", "-d", "-c", &gone, "two"]);
    wait_for_command(&server, "=two:", "top");
    server.tmux(&["rename-window", "-t", "=two:", "seen"]);
    wait_for_programs(&server, 1);
    let path = || server.tmux(&["display-message", "-p", "-t", "=two:", "#{pane_current_path}"]);
    for here in [server.dir("b"), gone.clone()] {
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "other"]);
        server.tmux(&["set-option", "-g", "@roster-command-safe", &command]);
        server.wait_until_idle();
        if here == gone {
            fs::create_dir(&gone).unwrap();
        } else {
            fs::remove_dir(&gone).unwrap();
        }
        server.try_roster(&["restore", "two"]);
        wait_for(|| (path() == here).then_some(()), path);
        wait_for_command(&server, "=two:", "top");
        // Looks at other things change nothing in that.
        for name in ["one", "two"] {
            server.tmux(&["rename-window", "-t", "=two:", name]);
            settle(&server, &["two"]);
        }
    }
}

#[test]
fn a_window_is_named_after_a_program_that_says_nothing() {
    let silent: &[&str] = &["-c", "read x"];
    let server = with_programs("", ROSTER.as_ref(), &[silent]);
    let names = || server.tmux(&["list-windows", "-t", "=one:", "-F", "#{window_name}"]);
    wait_for(|| (names() == "prog").then_some(()), names);
}

#[test]
fn the_shell_behind_a_program_is_the_default_command() {
    let config = "set -g default-command 'MARK=\"it is\"; export MARK; exec sh'\n";
    let server = with_programs(config, ROSTER.as_ref(), &[&["-c", "exit 3"], &["-c", READING]]);
    wait_for_command(&server, "one:1", "sh");
    check_shell(&server, "one:1", false);
    type_line(&server, "one:1", "clear; echo \"<$MARK>\"");
    wait_to_see(&server, "one:1", "<it is>");
    wait_to_see(&server, "one:2", "begun");
    server.tmux(&["send-keys", "-t", "one:2", "C-z"]);
    wait_to_see(&server, "one:2", "prog is stopped");
    type_line(&server, "one:2", "clear; echo \"<$MARK>\"");
    wait_to_see(&server, "one:2", "<it is>");
}

#[test]
fn a_program_that_is_stopped_waits_behind_a_shell() {
    let server = with_programs(
        "",
        ROSTER.as_ref(),
        &[
            &["-c", READING],
            &["-c", READING, "killed-with-its-pane"],
            &["-c", READING, "killed-while-it-waits"],
        ],
    );
    for target in ["one:1", "one:2", "one:3"] {
        wait_to_see(&server, target, "begun");
        server.tmux(&["send-keys", "-t", target, "C-z"]);
        wait_to_see(&server, target, "prog is stopped; type exit (not fg) to go on with it");
        wait_for_command(&server, target, "sh");
    }
    for round in ["x1", "x2"] {
        type_line(&server, "one:1", "clear; stty -echo -icanon; echo shell-$((40+2))");
        wait_to_see(&server, "one:1", "shell-42");
        type_line(&server, "one:1", "exit");
        wait_for_command(&server, "one:1", "prog");
        type_line(&server, "one:1", round);
        wait_to_see(&server, "one:1", &format!("got-{round}"));
        server.tmux(&["send-keys", "-t", "one:1", "C-z"]);
        wait_for_command(&server, "one:1", "sh");
    }
    type_line(&server, "one:1", "exit");
    wait_for_command(&server, "one:1", "prog");
    server.tmux(&["send-keys", "-t", "one:1", "C-c"]);
    wait_for_command(&server, "one:1", "sh");
    check_shell(&server, "one:1", true);
    server.tmux(&["kill-pane", "-t", "one:2"]);
    server.wait_for_end_of("killed-with-its-pane");
    end_process(pid_of(&server, "killed-while-it-waits"));
    type_line(&server, "one:3", "exit");
    wait_for(
        || folder_lines(&server, "run-in-pane").is_empty().then_some(()),
        || format!("{:?}", folder_lines(&server, "run-in-pane")),
    );
    check_shell(&server, "one:3", true);
}

fn folder_lines(server: &Server, what: &str) -> Vec<String> {
    let mut lines = server.folder.processes().expect("ps runs");
    lines.retain(|line| line.contains(what));
    lines
}

/// The process whose command line ends in this, which is none of ours.
fn pid_of(server: &Server, what: &str) -> u32 {
    let find = || {
        let listed = server.command("ps").args(["axww", "-o", "pid=,args="]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let line = listed
            .lines()
            .find(|line| line.trim_end().ends_with(what) && !line.contains("run-in-pane"));
        line?.split_whitespace().next()?.parse().ok()
    };
    wait_for(find, || format!("a process with {what}"))
}

#[test]
fn a_program_that_cannot_be_started_leaves_a_shell_and_says_so() {
    let server = at_home(Server::with_config("set -g @roster-programs prog\n"));
    save(&server);
    let pane = |words: &[&str]| json!({"id": 1, "active": true, "program": words});
    let window = |index: u32, words: &[&str]| json!({"id": index, "index": index, "since": "2020-01-01T00:00:00Z", "panes": [pane(words)]});
    write_windows(&server, &json!([window(1, &["prog"]), window(2, &["/nowhere/prog", "-x"])]));
    server.roster(&["restore", "one"]);
    for (target, said) in [("one:1", "prog: "), ("one:2", "/nowhere/prog: ")] {
        wait_to_see(&server, target, said);
        wait_to_see(&server, target, "No such file");
        wait_for_command(&server, target, "sh");
        check_shell(&server, target, true);
    }
}

/// An update of ours replaces the program while an editor is open for days.
#[test]
fn a_program_has_a_shell_behind_it_though_ours_was_replaced() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let folder = crate::env::Folder::new();
    let copy = folder.path().join("roster");
    copy_program(ROSTER.as_ref(), &copy);
    let server = with_programs("", &copy, &[&["-c", READING], &["-c", READING]]);
    for target in ["one:1", "one:2"] {
        wait_to_see(&server, target, "begun");
    }
    fs::remove_file(&copy).unwrap();
    server.tmux(&["send-keys", "-t", "one:1", "C-c"]);
    wait_for_command(&server, "one:1", "sh");
    check_shell(&server, "one:1", true);
    server.tmux(&["send-keys", "-t", "one:2", "C-z"]);
    wait_to_see(&server, "one:2", "prog is stopped");
    wait_for_command(&server, "one:2", "sh");
    type_line(&server, "one:2", "exit");
    wait_for_command(&server, "one:2", "prog");
}

/// Who is killed while a child of its own has the terminal leaves that to nobody.
#[test]
fn a_program_that_dies_while_its_child_has_the_terminal_leaves_a_shell() {
    let sleep = format!("sleep 1{:06}", std::process::id());
    let then = format!("{sleep}; :");
    let server = with_programs("", ROSTER.as_ref(), &[&["-i", "-c", &then, "a-parent"]]);
    wait_for_command(&server, "one:1", "sleep");
    let child = pid_of(&server, &sleep);
    end_process(pid_of(&server, &format!("{then} a-parent")));
    check_shell(&server, "one:1", true);
    end_process(child);
}

#[test]
fn the_launch_command_runs_again_in_its_pane_and_only_there() {
    let server =
        at_home(Server::with_plugin("set -g @roster-command-safe 'keeper $ROSTER_UUID'\n"));
    let (noted, keeper) = (server.path("noted"), server.path("traps/keeper"));
    script(&keeper, &format!("echo \"$1\" >>'{}'\nexec cat", noted.display()));
    server.roster(&["new", "-d", "-c", &server.dir("b"), "one"]);
    let oldest = server.tmux(&["display-message", "-p", "-t", "=one:", "#{pane_id}"]);
    server.tmux(&["split-window", "-d", "-b", "-t", &oldest, "-c", &server.dir("a")]);
    server.tmux(&["new-window", "-d", "-t", "=one:1", "-c", &server.dir("c")]);
    server.tmux(&["move-window", "-d", "-s", "=one:0", "-t", "=one:6"]);
    wait_for_command(&server, &oldest, "cat");
    let before = wait_for(
        || {
            let now = live(&server, &["one"]);
            let recorded = recorded(&server, &["one"])?;
            let panes = |look: &Look| -> Vec<usize> {
                look["one"].iter().map(|window| window.panes.len()).collect()
            };
            (panes(&now) == panes(&recorded) && recorded["one"][1].index == 6).then_some(now)
        },
        || "the record".into(),
    );
    let uuid = server.uuid("one");
    for round in 2..4 {
        server.crash();
        server.roster(&["restore", "--all"]);
        let programs = |look: &Look| -> Vec<String> {
            let panes = look["one"].iter().flat_map(|window| &window.panes);
            panes.map(|pane| format!("{} {:?}", pane.program, pane.directory)).collect()
        };
        wait_for(
            || (programs(&live(&server, &["one"])) == programs(&before)).then_some(()),
            || format!("{:?}\n{:?}", programs(&live(&server, &["one"])), programs(&before)),
        );
        assert_eq!(fs::read_to_string(&noted).unwrap(), format!("{uuid}\n").repeat(round));
        wait_for(
            || recorded(&server, &["one"]).filter(|look| look["one"].len() == 2),
            || "the record".into(),
        );
        server.wait_for_jobs();
    }
}

#[test]
fn who_wants_one_window_gets_one() {
    let server = with_small("");
    settle(&server, &["keep", "one"]);
    let count = || server.tmux(&["list-panes", "-s", "-t", "=one:", "-F", "x"]).lines().count();
    assert!(count() > 6);
    server.crash();
    server.roster(&["restore", "--bare", "one"]);
    assert_eq!(count(), 1);
    server.wait_until_idle();
    server.crash();
    configure(&server, "set -g @roster-windows off");
    server.roster(&["restore", "--all"]);
    assert_eq!(count(), 1);
}

/// A window with these panes, as recorded.
fn window(index: u64, panes: &Value) -> Value {
    json!({"id": index, "index": index, "since": "2020-01-01T00:00:00Z", "panes": panes})
}

#[test]
fn a_directory_that_is_gone_is_replaced_by_the_nearest_one_above() {
    let server = Server::with_config("");
    save(&server);
    let gone = server.dir("b/gone/deep");
    let words = [server.dir("traps/top"), "-c".into(), "read x".into()];
    program(&server, "top");
    let panes = json!([
        {"id": 1, "directory": gone, "program": words},
        {"id": 2, "directory": server.dir("c"), "program": words, "active": true}
    ]);
    write_windows(&server, &json!([window(4, &panes)]));
    let restored = server.try_roster(&["restore", "one"]);
    let said = stderr(&restored);
    assert!(restored.status.success() && said.contains(&gone), "{said}");
    // A program without what it was working on may do anything.
    let told = "roster: top was not started in a pane of \"one\", whose directory is gone\n";
    assert!(said.ends_with(told), "{said}");
    let directories = || {
        let look = live(&server, &["one"]);
        let panes = look["one"].iter().flat_map(|window| &window.panes);
        panes.map(|pane| pane.directory.clone()).collect::<Vec<_>>()
    };
    let wanted = [server.path("b"), server.path("c")].map(PathBuf::into_os_string);
    wait_for(|| (directories() == wanted).then_some(()), || format!("{:?}", directories()));
    wait_for_command(&server, "one:4.1", "top");
    assert_ne!(command_of(&server, "one:4.0"), "top");
}

#[test]
fn a_pane_is_in_its_own_directory_again_once_that_is_back() {
    let server = Server::running("set -g @roster-programs top\n");
    program(&server, "top");
    let gone = server.dir("b/gone/deep");
    fs::create_dir_all(&gone).unwrap();
    server.tmux(&["new-window", "-d", "-t", "=one:4", "-n", "told", "-c", &gone]);
    server.tmux(&["split-window", "-d", "-t", "=one:4", "-c", &server.dir("c")]);
    type_line(&server, "=one:4.0", &format!("{} -c 'read x'", server.dir("traps/top")));
    wait_for_command(&server, "=one:4.0", "top");
    server.tmux(&["rename-window", "-t", "=one:4", "seen"]);
    wait_for_programs(&server, 1);
    let directories = || {
        let listed = server.tmux(&["list-panes", "-t", "=one:4", "-F", "#{pane_current_path}"]);
        listed.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let restart = || {
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "two"]);
        server.wait_until_idle();
    };
    restart();
    fs::remove_dir_all(server.path("b/gone")).unwrap();
    let restored = server.try_roster(&["restore", "one"]);
    let said = stderr(&restored);
    let told = format!("{gone} of a pane of \"one\" is gone: started in {}", server.dir("b"));
    assert!(said.contains(&told) && said.contains("top was not started in a pane"), "{said}");
    let is_in = |wanted: [String; 2]| {
        wait_for(|| (directories() == wanted).then_some(()), || format!("{:?}", directories()));
    };
    is_in([server.dir("b"), server.dir("c")]);
    let shown = || server.roster(&["show", "one"]);
    wait_for(|| shown().contains(&gone).then_some(()), shown);
    // Looks at other things change nothing in that.
    for name in ["one", "two"] {
        server.tmux(&["rename-window", "-t", "=one:4", name]);
        settle(&server, &["one"]);
    }
    server.tmux(&["kill-window", "-t", "=one:4"]);
    server.roster(&["reopen", "--window"]);
    is_in([server.dir("b"), server.dir("c")]);
    server.tmux(&["rename-window", "-t", "=one:4", "three"]);
    settle(&server, &["one"]);
    restart();
    fs::create_dir_all(&gone).unwrap();
    server.roster(&["restore", "one"]);
    is_in([gone, server.dir("c")]);
    wait_for_command(&server, "=one:4.0", "top");
}

#[test]
fn what_cannot_be_made_is_told_and_the_rest_stands() {
    let server = at_home(Server::with_config("set -g default-size 10x4\n"));
    save(&server);
    let pane = |id: u64| json!({"id": id, "directory": server.dir("c")});
    let many: Vec<Value> = (0..40).map(|id| pane(100 + id)).collect();
    let far = u64::from(u32::MAX);
    write_windows(
        &server,
        &json!([
            window(3, &json!([pane(1), pane(2)])),
            window(4, &json!(many)),
            window(4, &json!([pane(3)])),
            window(far, &json!([pane(4)])),
            window(5, &json!([])),
        ]),
    );
    let restored = server.try_roster(&["restore", "one"]);
    let said = stderr(&restored);
    assert!(restored.status.success(), "{said}");
    let look = live(&server, &["one"]);
    let panes: Vec<(u64, usize)> =
        look["one"].iter().map(|window| (window.index, window.panes.len())).collect();
    // Two whose index is another's, or is none, have the first free ones.
    let indexes: Vec<u64> = panes.iter().map(|(index, _)| *index).collect();
    assert_eq!(indexes, [0, 1, 3, 4], "{panes:?}");
    assert!(panes[2].1 == 2 && panes[3].1 > 1 && panes[3].1 < 40, "{panes:?}");
    assert!(said.contains("window 4") && said.contains("of 40 panes"), "{said}");
    assert!(!said.contains("window 3"), "{said}");
}

/// Waits until what runs in the panes had the time to do its worst: each shell answered.
fn check_panes_are_shells(server: &Server) {
    let panes = || server.tmux(&["list-panes", "-a", "-F", "#{pane_current_command}"]);
    let is_quiet = || panes().lines().all(|command| command == "sh").then_some(());
    wait_for(is_quiet, || format!("shells alone: {:?}", panes()));
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_record_of_windows_that_cannot_be_read_leaves_one_window_and_says_so() {
    let server = Server::with_config("");
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "keep"]);
    save(&server);
    write_windows(&server, &json!([window(3, &json!([{"id": 1}, {"id": 2}]))]));
    let good = fs::read_to_string(windows_path(&server)).unwrap();
    let newer = good.replace("\"version\":1", "\"version\":2");
    let other = newer.replace("\"sessions\":", "\"sessions\":[],\"x\":");
    for (text, is_newer) in [
        (good[..good.len() / 2].to_owned(), false),
        (String::new(), false),
        ("[]".to_owned(), false),
        (good.replace("\"index\":3", "\"index\":4294967296"), false),
        (good.replace("\"index\":3", "\"index\":3,\"layout\":\"garbage\""), false),
        (newer, true),
        (other, true),
    ] {
        fs::write(windows_path(&server), &text).unwrap();
        let restored = server.try_roster(&["restore", "one"]);
        let said = stderr(&restored);
        assert!(restored.status.success(), "{text}: {said}");
        assert!(said.contains("windows.json"), "{text}: {said}");
        assert_eq!(server.tmux(&["list-panes", "-s", "-t", "=one:", "-F", "x"]), "x", "{text}");
        let kept = fs::read_to_string(windows_path(&server)).ok();
        assert_eq!(kept.as_deref() == Some(&text), is_newer, "{text}: {kept:?}");
        server.roster(&["kill", "one"]);
        server.roster(&["forget", "one"]);
        save(&server);
    }
    let folder = server.registry_path().parent().unwrap().to_owned();
    let aside = fs::read_dir(folder).unwrap().flatten();
    let aside = aside.filter(|e| e.file_name().to_string_lossy().contains("windows.json.corrupt."));
    assert_eq!(aside.count(), 5);
    check_panes_are_shells(&server);
}

#[test]
fn a_hostile_record_of_windows_runs_nothing() {
    let server = Server::with_config("set -g @roster-resume-known 'cat $ROSTER_SESSION'\n");
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "keep"]);
    let pid = server.tmux(&["display-message", "-p", "#{pid}"]);
    save(&server);
    fs::write(windows_path(&server), "{}").unwrap();
    let texts = [
        "#(touch canary)",
        "x},#(touch canary)#{x",
        "x}#(touch canary)",
        "$(touch canary)",
        "`touch canary`",
        "; touch canary ;",
        "#{pid}",
        "' touch canary '",
        "\" ; run-shell 'touch canary' ; \"",
        "\n run-shell 'touch canary'\n",
        "\u{1b}]0;x\u{7}",
        "\0",
        "end;",
        "\\",
        "#",
        "#[",
        "##[",
        "=x:",
        "--",
    ];
    let all: Vec<Value> = (texts.iter().zip(1..))
        .map(|(text, at)| {
            let mut window = window(at, &json!([
                {"id": at, "directory": text, "title": text, "program": [text]},
                {"id": 100 + at, "directory": format!("{}/{text}", server.dir("b")),
                 "program": ["sh", "-c", "touch canary", text], "active": true},
                {"id": 200 + at, "title": {"hex": "ff00231b"}, "program": ["env", "touch", "canary"]},
            ]));
            window["name"] = json!(text);
            window
        })
        .collect();
    let bytes: Vec<Value> = (1..=8)
        .map(|at| {
            let mut window =
                window(at, &json!([{"id": at, "title": {"hex": "fffe2328746f75636829"}}]));
            window["name"] = json!({"hex": format!("{:02x}80ff", at + 5)});
            window
        })
        .collect();
    let mut flags = window(2, &json!([{"id": 1, "active": true}, {"id": 2, "active": true}]));
    // Not zoomed: 3.4 and the head die where a session with such a window is closed.
    for flag in ["active", "last", "synchronized", "command"] {
        flags[flag] = json!(true);
    }
    let mut wide = window(13, &json!([{"id": 1}]));
    wide["layout"] = json!(layout("10000x10000,0,0,0"));
    let mut fewer = window(4, &json!([{"id": 1}, {"id": 1}]));
    fewer["layout"] = json!(layout("80x24,0,0,0"));
    let max = u32::MAX;
    let far = json!({"id": 7, "index": 9, "since": "2020-01-01T00:00:00Z", "panes": [{"id": max}],
        "fuller": {"vanished_at": "2020-01-01T00:00:00Z", "panes": [{"id": max}, {"id": 0}]}});
    let panes: Vec<Value> = (0..10_000).map(|id| json!({"id": id})).collect();
    for (what, windows) in [
        ("texts", json!(all)),
        ("bytes", json!(bytes)),
        (
            "indexes",
            json!([
                window(0, &json!([{"id": 1}])),
                window(u64::from(max), &json!([{"id": 2}])),
                window(u64::from(max), &json!([{"id": 3}])),
                window(2_147_483_647, &json!([{"id": 4}])),
                window(2_147_483_648, &json!([{"id": 5}]))
            ]),
        ),
        ("flags", json!([flags, flags, wide, fewer, far])),
        ("nothing", json!([])),
        ("no panes", json!([window(1, &json!([]))])),
        ("panes", json!([window(1, &json!(panes)), window(2, &json!([{"id": 1}]))])),
    ] {
        write_windows(&server, &windows);
        let restored = server.try_roster(&["restore", "one"]);
        let said = stderr(&restored);
        assert!(!said.contains("panicked"), "{what}: {said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{what}: {said:?}");
        assert!(restored.status.success(), "{what}: {said}");
        assert_eq!(server.tmux(&["display-message", "-p", "#{pid}"]), pid, "{what}");
        let listed = server.tmux(&["list-sessions", "-F", "#{session_name}"]);
        assert_eq!(listed, "keep\none", "{what}");
        check_panes_are_shells(&server);
        server.roster(&["kill", "one"]);
        server.roster(&["forget", "one"]);
        save(&server);
    }
}

/// With the checksum that tmux wants.
fn layout(body: &str) -> String {
    let add = |sum: u16, byte: u8| sum.rotate_right(1).wrapping_add(byte.into());
    format!("{:04x},{body}", body.bytes().fold(0, add))
}

/// The sessions with their stamps, and how many panes each has.
fn stamped(server: &Server) -> Vec<String> {
    let format = "#{session_name} #{@roster_uuid} #{W:#{window_panes}.}";
    let listed = server.tmux(&["list-sessions", "-F", format]);
    listed.lines().filter(|line| !line.starts_with("anchor ")).map(str::to_owned).collect()
}

/// A server with the session `anchor`, and the lost session `one` of windows with two, one and three
/// panes.
fn with_lost(config: &str) -> Server {
    let server = Server::with_config(config);
    server.tmux(&["new-session", "-d", "-s", "anchor"]);
    server.roster(&["sync"]);
    lose(&server);
    server
}

fn lose(server: &Server) {
    save(server);
    let panes = |count: u64, at: u64| -> Value {
        (0..count).map(|n| json!({"id": 10 * at + n, "directory": server.dir("c")})).collect()
    };
    write_windows(
        server,
        &json!([window(2, &panes(2, 2)), window(5, &panes(1, 5)), window(6, &panes(3, 6))]),
    );
}

#[test]
fn a_restore_of_windows_killed_at_any_system_call_is_finished_by_the_next() {
    if !can_trace("a restore of windows killed at any system call") {
        return;
    }
    let server = with_lost("");
    server.roster(&["forget", "one"]);
    let folder = server.registry_path().parent().unwrap().to_owned();
    let command = || {
        lose(&server);
        let mut command = server.command(ROSTER);
        command.args(["-L", "s", "restore", "one"]);
        command
    };
    kill_at_every_call(97, command, |call| {
        server.roster(&["sync"]);
        let uuid = server.uuid("one");
        if stamped(&server).is_empty() {
            server.roster(&["restore", "one"]);
        }
        assert_eq!(stamped(&server), [format!("one {uuid} 2.1.3.")], "at call {call}");
        assert_eq!(server.roster(&["sync"]), "nothing to change\n", "at call {call}");
        server.roster(&["kill", "one"]);
        server.roster(&["forget", "one"]);
        server.roster(&["backup"]);
        // The next writer of each file cleans up.
        let mut left = leftovers(&folder);
        left.retain(|name| !name.starts_with(".windows.json."));
        assert_eq!(left, [""; 0], "at call {call}");
    });
}

#[test]
fn a_tmux_that_fails_in_the_middle_of_a_restore_makes_nothing_twice() {
    let tmux = tmux_program();
    for (hook, fails) in [("", 1..4), ("rename-session x", 1..3)] {
        for (deed, at) in [
            "exit 1",
            "exec sleep 60",
            "\"$tmux\" \"$@\" >/dev/null; exit 1",
            "\"$tmux\" \"$@\" >/dev/null; exec sleep 60",
        ]
        .iter()
        .flat_map(|deed| fails.clone().map(move |at| (deed, at)))
        {
            let server = with_lost("");
            if !hook.is_empty() {
                server.tmux(&["set-hook", "-g", "after-new-session", hook]);
            }
            let (path, calls) = (server.path("stub"), server.path("calls"));
            script(
                &path,
                &format!(
                    "tmux='{}' calls='{}'\ncase \"$*\" in *source-file*)\necho >>\"$calls\"\n\
                 if [ $(wc -l <\"$calls\") = {at} ]; then\n{deed}\nfi;;\nesac\nexec \"$tmux\" \"$@\"",
                    tmux.display(),
                    calls.display(),
                ),
            );
            let uuid = server.uuid("one");
            let said = typed(&server, &path, &["restore", "one"]);
            let what = format!("{hook} {deed} at {at}: {}", stderr(&said));
            assert!(!stderr(&said).contains("panicked"), "{what}");
            server.roster(&["sync"]);
            if stamped(&server).is_empty() {
                server.roster(&["restore", "one"]);
            }
            assert_eq!(stamped(&server), [format!("one {uuid} 2.1.3.")], "{what}");
        }
    }
}
