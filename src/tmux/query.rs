//! The one question that a sync asks, and the reading of its answer (FACTS.md, "Output").
//!
//! Fields stand between random printable marks, since tmux changes or keeps every other
//! separator depending on its version, and free text may hold anything. The last command of the
//! call prints an end mark, and how many sessions there are: an answer without it, or with fewer,
//! is no answer. Anything else between the marks was printed by the user's own hooks
//! (`after-set-environment`, `after-list-sessions`), and is skipped.

use std::collections::BTreeMap;

use super::hooks::arm;
use super::text::exact;
use crate::model::session::random_uuid;
use crate::model::snapshot::{LiveSession, ServerId, SessionId, Snapshot, Workdir};
use crate::model::time::Timestamp;

/// How a mark stands in tmux that a hook has asked for a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A hidden variable of the global environment (from tmux 3.2).
    Environment,
    /// A global user option (before).
    Option,
}

/// What to ask beside the sessions.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Printable and not to be guessed: a fresh one for each call.
    pub mark: &'a str,
    /// The mark that the answer covers and so takes away.
    pub clear: Option<Mark>,
    /// Whether to ask for the hooks.
    pub hooks: bool,
    /// Global options whose values are wanted.
    pub options: &'a [&'a str],
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What lives.
    pub snapshot: Snapshot,
    /// The version of the server, as it says.
    pub version: String,
    /// What `show-hooks -g` printed, if it was asked for.
    pub hooks: String,
    /// The values of the options, in the order asked for.
    pub options: Vec<Vec<u8>>,
}

/// A mark of 48 random bits. It begins with the one character that it does not hold further on,
/// so that no field that ends like it can hide where it begins.
pub fn new_mark() -> String {
    const ALPHABET: &[u8; 64] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
    let random = random_uuid();
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte & 63)]);
    std::iter::once('~').chain(random[8..].iter().map(letter)).collect()
}

/// The arguments of the call.
pub fn args(query: Query<'_>) -> Vec<String> {
    let n = query.mark;
    let mut words: Vec<String> = Vec::new();
    let mut command = |parts: &[&str]| {
        if !words.is_empty() {
            words.push(";".into());
        }
        words.extend(parts.iter().map(|part| (*part).to_owned()));
    };
    match query.clear {
        // No time, and another text each time: the next job's differs by it. (Not the mark whole,
        // which a hook of the user's may print.)
        Some(Mark::Environment) => {
            let random = n.get(1..6).unwrap_or_default();
            command(&["set-environment", "-gh", "ROSTER_DUE", &format!("r{random}")])
        }
        Some(Mark::Option) => {
            command(&["set-option", "-gu", "@roster_due"]);
            command(&arm().each_ref().map(String::as_str));
        }
        None => {}
    }
    let record = [
        "session_id",
        "session_created",
        "session_last_attached",
        "session_windows",
        "@roster_uuid",
        "@roster_mode",
        "@roster_health",
        "session_group",
        "pane_dead",
        "n:session_name",
        "session_name",
        "n:session_path",
        "?session_path,#{session_path},#{pane_current_path}",
    ];
    let mut format = String::with_capacity(512);
    for field in record {
        format.push_str(&format!("{n}#{{{field}}}"));
    }
    format.push_str(&format!("{n}E"));
    command(&["list-sessions", "-F", &format]);
    if query.hooks {
        command(&["show-hooks", "-g"]);
    }
    // Once for each session.
    let mut end = format!("{n}end{n}#{{S:.}}");
    for field in ["pid", "start_time", "version", "@roster_lost"] {
        end.push_str(&format!("{n}#{{{field}}}"));
    }
    for option in query.options {
        end.push_str(&format!("{n}#{{n:{option}}}{n}#{{{option}}}"));
    }
    end.push_str(&format!("{n}E"));
    command(&["display-message", "-p", &end]);
    words
}

/// Whether `output` ends as a whole answer does. Only [`parse`] can tell for certain.
pub fn looks_whole(query: Query<'_>, output: &[u8]) -> bool {
    let last =
        output.strip_suffix(b"E\n").and_then(|rest| rest.strip_suffix(query.mark.as_bytes()));
    let end = [query.mark, "end", query.mark].concat();
    last.is_some_and(|rest| rest.windows(end.len()).rev().any(|part| part == end.as_bytes()))
}

/// Reads the answer to [`args`]; `None` if it is not whole.
pub fn parse(query: Query<'_>, output: &[u8]) -> Option<Answer> {
    let n = query.mark.as_bytes();
    let end_of_record = [n, b"E\n"].concat();
    let start_of_end = [n, b"end", n].concat();
    let mut sessions = Vec::new();
    let mut hooks = Vec::new();
    let mut rest = output;
    loop {
        let at = find(rest, n)?;
        hooks.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let Some(end) = rest.strip_prefix(start_of_end.as_slice()) {
            rest = end;
            break;
        }
        let length = find(rest, &end_of_record)?;
        sessions.push(record(&split(rest.get(n.len()..length)?, n))?);
        rest = &rest[length + end_of_record.len()..];
    }
    let fields = split(&rest[..find(rest, &end_of_record)?], n);
    let [count, pid, start, version, lost, options @ ..] = fields.as_slice() else { return None };
    if count.len() != sessions.len() {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let server = ServerId { pid: number(pid)? as u32, start_time: number(start)? };
    if options.len() != query.options.len() * 2 {
        return None;
    }
    Some(Answer {
        snapshot: Snapshot {
            server,
            sessions,
            lost_shown: lossy(lost),
            same_directories: Vec::new(),
        },
        version: lossy(version),
        hooks: lossy(&hooks),
        options: options.chunks(2).map(|pair| exact(pair[0], pair[1])).collect(),
    })
}

fn record(fields: &[&[u8]]) -> Option<LiveSession> {
    let [
        id,
        created,
        attached_at,
        windows,
        stamp,
        mode,
        health,
        group,
        dead,
        name_len,
        name,
        path_len,
        path,
    ] = fields
    else {
        return None;
    };
    let number = |field: &[u8]| -> Option<i64> { std::str::from_utf8(field).ok()?.parse().ok() };
    let path = exact(path_len, path);
    let workdir = match (path.is_empty(), path_len.is_empty()) {
        (true, _) => Workdir::Unknown,
        // `n:` and `session_path` came with the same version.
        (false, true) => Workdir::Guess(path),
        (false, false) => Workdir::Known(path),
    };
    Some(LiveSession {
        id: SessionId::parse(std::str::from_utf8(id).ok()?)?,
        name: exact(name_len, name),
        workdir,
        created: Timestamp::from_unix(number(created)?)?,
        last_attached: number(attached_at).filter(|at| *at > 0).and_then(Timestamp::from_unix),
        windows: number(windows)? as u32,
        stamp: lossy(stamp),
        mode: lossy(mode),
        health: lossy(health),
        group: group.to_vec(),
        pane_dead: *dead == b"1",
    })
}

/// Where a pane began and where its program is.
#[derive(Debug, Clone, PartialEq)]
pub struct Pane {
    /// Its number: the lower, the older.
    pub number: u32,
    /// What tmux was told to start it in (from 3.3; else empty).
    pub start: Vec<u8>,
    /// The directory of the program in front; empty if there is none.
    pub current: Vec<u8>,
}

/// The arguments of the call that asks for panes: those of one session, or all.
pub fn pane_args(mark: &str, session: Option<SessionId>) -> Vec<String> {
    let n = mark;
    let mut format = String::new();
    for field in ["session_id", "pane_id"] {
        format.push_str(&format!("{n}#{{{field}}}"));
    }
    for field in ["pane_start_path", "pane_current_path"] {
        format.push_str(&format!("{n}#{{n:{field}}}{n}#{{{field}}}"));
    }
    format.push_str(&format!("{n}E"));
    let end = format!("{n}end{n}#{{pid}}{n}#{{start_time}}{n}E");
    let which = match session {
        Some(id) => vec!["-s".to_owned(), "-t".to_owned(), id.to_string()],
        None => vec!["-a".to_owned()],
    };
    let words = ["-F", &format, ";", "display-message", "-p", &end].map(str::to_owned);
    std::iter::once("list-panes".to_owned()).chain(which).chain(words).collect()
}

/// Reads the answer to [`pane_args`], if it is whole and of this server: each session's oldest pane.
pub fn oldest_panes(
    mark: &str,
    server: ServerId,
    output: &[u8],
) -> Option<BTreeMap<SessionId, Pane>> {
    let n = mark.as_bytes();
    let end_of_record = [n, b"E\n"].concat();
    let number = |field: &[u8]| -> Option<i64> { std::str::from_utf8(field).ok()?.parse().ok() };
    let mut oldest: BTreeMap<SessionId, Pane> = BTreeMap::new();
    let mut rest = output;
    loop {
        // What a hook of the user's printed between is passed over.
        rest = &rest[find(rest, n)? + n.len()..];
        let length = find(rest, &end_of_record)?;
        let fields = split(&rest[..length], n);
        rest = &rest[length + end_of_record.len()..];
        match fields.as_slice() {
            [b"end", pid, start] => {
                let is_it = number(pid) == Some(server.pid.into())
                    && number(start) == Some(server.start_time);
                return is_it.then_some(oldest);
            }
            [session, pane, start_len, start, current_len, current] => {
                let pane = Pane {
                    number: number(pane.strip_prefix(b"%")?)? as u32,
                    start: exact(start_len, start),
                    current: exact(current_len, current),
                };
                let session = SessionId::parse(std::str::from_utf8(session).ok()?)?;
                match oldest.get(&session) {
                    Some(other) if other.number < pane.number => {}
                    _ => drop(oldest.insert(session, pane)),
                }
            }
            _ => return None,
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    loop {
        let at = from + haystack.get(from..)?.iter().position(|b| *b == first)?;
        if haystack[at..].starts_with(needle) {
            return Some(at);
        }
        from = at + 1;
    }
}

fn split<'a>(mut text: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::with_capacity(16);
    while let Some(at) = find(text, mark) {
        parts.push(&text[..at]);
        text = &text[at + mark.len()..];
    }
    parts.push(text);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Query<'_> = Query { mark: "~x~", clear: None, hooks: false, options: &["@o"] };
    const END: &str = "~x~end~x~.~x~12~x~34~x~3.4~x~2~x~3~x~a$b~x~E\n";

    fn session(name: &str, name_len: &str, path: &str, path_len: &str) -> String {
        format!(
            "~x~$1~x~5~x~~x~1~x~u~x~m~x~~x~~x~0~x~{name_len}~x~{name}~x~{path_len}~x~{path}~x~E\n"
        )
    }

    #[test]
    fn an_answer_counts_only_with_its_end() {
        let whole = session("a", "1", "/w", "2") + END;
        let answer = parse(QUERY, whole.as_bytes()).unwrap();
        assert_eq!(answer.snapshot.sessions.len(), 1);
        assert_eq!(answer.snapshot.server, ServerId { pid: 12, start_time: 34 });
        assert_eq!(answer.options, [b"a$b".to_vec()]);
        for length in 0..whole.len() {
            assert!(parse(QUERY, &whole.as_bytes()[..length]).is_none(), "{length}");
        }
        assert!(parse(QUERY, END.as_bytes()).is_none(), "there is a session");
        let empty = END.replace("~.~", "~~");
        assert!(parse(QUERY, empty.as_bytes()).unwrap().snapshot.sessions.is_empty());
    }

    #[test]
    fn the_oldest_pane_of_each_session_counts_if_the_answer_is_whole_and_of_this_server() {
        let pane = |session: u32, pane: u32, start: &str| {
            let length = start.len();
            format!("~x~${session}~x~%{pane}~x~{length}~x~{start}~x~2~x~/c~x~E\n")
        };
        let panes = [pane(1, 12, "/n"), pane(2, 7, ""), "foreign\n".into(), pane(1, 9, "/o\n")];
        let whole = panes.concat() + "~x~end~x~12~x~34~x~E\n";
        let server = ServerId { pid: 12, start_time: 34 };
        let found = oldest_panes("~x~", server, whole.as_bytes()).unwrap();
        let starts: Vec<(u32, u32, &[u8])> =
            found.iter().map(|(id, pane)| (id.0, pane.number, pane.start.as_slice())).collect();
        assert_eq!(starts, [(1, 9, &b"/o\n"[..]), (2, 7, b"")]);
        for length in 0..whole.len() {
            let cut = &whole.as_bytes()[..length];
            assert!(oldest_panes("~x~", server, cut).is_none(), "{length}");
        }
        let other = ServerId { pid: 12, start_time: 35 };
        assert!(oldest_panes("~x~", other, whole.as_bytes()).is_none());
    }

    #[test]
    fn what_a_hook_prints_hides_no_session() {
        let end = END.replace("~.~", "~..~");
        let (a, b) = (session("a", "1", "/w", "2"), session("b", "1", "/w", "2"));
        let read = |text: String| parse(QUERY, text.as_bytes()).unwrap().snapshot.sessions.len();
        for foreign in ["hello\n", "~ E\n\n", "end"] {
            assert_eq!(read(format!("{foreign}{a}{b}{end}")), 2);
            assert_eq!(read(format!("{a}{foreign}{b}{foreign}{end}{foreign}")), 2);
        }
        for cut in [format!("{a}{end}"), format!("hello\n{b}{end}"), end.clone()] {
            assert!(parse(QUERY, cut.as_bytes()).is_none(), "{cut}");
        }
    }

    #[test]
    fn what_3_4_and_3_5_escape_is_undone_only_where_they_did() {
        let read = |text: String| {
            let answer = parse(QUERY, (text + END).as_bytes()).unwrap();
            let session = answer.snapshot.sessions[0].clone();
            (session.name, session.workdir)
        };
        let (name, workdir) = read(session("a\\$x", "3", "/w\\377", "3"));
        assert_eq!((name.as_slice(), workdir), (&b"a$x"[..], Workdir::Known(b"/w\xff".to_vec())));
        let (name, workdir) = read(session("a\\$x", "4", "/w\\n", "4"));
        assert_eq!((name.as_slice(), workdir), (&b"a\\$x"[..], Workdir::Known(b"/w\\n".to_vec())));
        let (name, _) = read(session("a\\\\b\\$HOME \\$9", "13", "/w", "2"));
        assert_eq!(name, b"a\\\\b$HOME \\$9");
        let (name, workdir) = read(session("a\nb", "", "/w\n", ""));
        assert_eq!((name.as_slice(), workdir), (&b"a\nb"[..], Workdir::Guess(b"/w\n".to_vec())));
    }
}
