//! Whatever bytes a text has: escaped, it comes back as it was, through a real tmux and a real sh.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tmux_roster::model::snapshot::{LiveSession, SessionId, Workdir};
use tmux_roster::tmux::query::{self, Answer, Query};
use tmux_roster::tmux::text::{argument, escape_glob, escape_name, line, quote_sh, unstored_name};

use crate::env::{Server, version};

/// What some version of tmux or a shell reads as something else.
const PIECES: &[&str] = &[
    "#",
    "##",
    "#[",
    "#{",
    "}",
    "#(touch canary)",
    "%",
    "%H",
    "$",
    "$HOME",
    "${",
    "\\",
    "\\\\",
    "\\$",
    "\\040",
    "\\n",
    ";",
    "\\;",
    "'",
    "\"",
    "`",
    "~",
    "~root",
    "-",
    "--",
    " ",
    "\t",
    "\n",
    "\x1b[31m",
    "\x7f",
    ":",
    ".",
    "=",
    "@",
    "*",
    "?",
    "[a]",
    "{a,b}",
    "é",
    "日",
    "🦀",
    "E\n",
    "s",
    "end",
    "a",
    "0",
];

fn text() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(PIECES).prop_map(|piece| piece.as_bytes().to_vec());
    let any = prop::collection::vec(1..=255_u8, 1..4);
    prop::collection::vec(prop_oneof![4 => known, 1 => any], 1..8).prop_map(|parts| parts.concat())
}

/// Calls tmux; what it prints if it took the command.
fn call(server: &Server, words: &[&OsStr]) -> Option<Vec<u8>> {
    let output = server.try_tmux(words);
    output.status.success().then_some(output.stdout)
}

fn ask(server: &Server, options: &[&str]) -> Answer {
    let mark = query::new_mark();
    let query = Query { mark: &mark, clear: None, hooks: false, panes: None, options };
    let words: Vec<OsString> = query::args(query).into_iter().map(OsString::from).collect();
    let words: Vec<&OsStr> = words.iter().map(OsString::as_os_str).collect();
    query::parse(query, &call(server, &words).unwrap()).expect("a whole answer")
}

/// A session of this name in this directory as tmux shows it, unless tmux refuses the name.
fn made(server: &Server, name: &[u8], folder: &Path) -> Option<LiveSession> {
    let escape = |text: &[u8]| argument(OsString::from_vec(escape_name(text, version())));
    let words = ["new-session", "-d", "-P", "-F", "#{session_id}", "-s"].map(OsStr::new);
    let (name, folder) = (escape(name), escape(folder.as_os_str().as_bytes()));
    let words = [&words[..], &[&name, OsStr::new("-c"), &folder]].concat();
    let printed = String::from_utf8(call(server, &words)?).unwrap();
    let id = SessionId::parse(printed.trim_end()).expect("an id");
    let live = ask(server, &[]).snapshot.sessions.into_iter().find(|live| live.id == id);
    call(server, &["kill-session", "-t", printed.trim_end()].map(OsStr::new)).unwrap();
    live
}

#[test]
fn every_text_comes_back_as_it_was() {
    let server = Server::with_config("");
    server.set_trap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let names = RefCell::new(0);
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let check = |text: Vec<u8>| {
        // 3.4 and 3.5a print a control byte as some texts print that have none.
        let is_ambiguous = |pair: &[u8]| pair[0] == b'\\' && b"0123abfnrtv$".contains(&pair[1]);
        prop_assume!(!(version().escapes_output() && text.windows(2).any(is_ambiguous)));
        // As an argument of a call, and in a file of commands, whatever that is called.
        let called = argument(OsString::from_vec(text.clone()));
        let set = ["set-option", "-g", "--", "@called"].map(OsStr::new);
        call(&server, &[&set[..], &[&called]].concat()).expect("a value");
        let component: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'/').collect();
        let folder = server.path("b").join(OsString::from_vec([b"d", &*component].concat()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("commands");
        std::fs::write(&file, line(&[b"set-option", b"-g", b"@filed", &text])).unwrap();
        let glob = argument(OsString::from_vec(escape_glob(&file)));
        call(&server, &[OsStr::new("source-file"), &glob]).expect("the file");
        let values = ask(&server, &["@called", "@filed"]).options;
        prop_assert_eq!(&values, &[text.clone(), text.clone()]);
        // A directory; a name as tmux stores it, which may be another than was asked for.
        if let Some(live) = made(&server, &text, &folder) {
            if let Workdir::Known(path) = &live.workdir {
                prop_assert_eq!(path, folder.as_os_str().as_bytes());
            }
            let again = made(&server, &unstored_name(&live.name, version()), &folder);
            prop_assert_eq!(again.map(|again| again.name), Some(live.name));
            *names.borrow_mut() += 1;
        }
        // A word of sh.
        let script = [b"printf %s ", quote_sh(&text).as_slice()].concat();
        let printed =
            Command::new("sh").arg("-c").arg(OsString::from_vec(script)).output().unwrap();
        prop_assert_eq!(printed.stdout, text);
        Ok(())
    };
    TestRunner::new(config).run(&text(), check).unwrap();
    assert!(*names.borrow() > 5, "{} names", names.borrow());
    assert_eq!(server.trapped(), [""; 0]);
}
