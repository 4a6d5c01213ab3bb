//! The one question that a sync asks, and the reading of its answer (FACTS.md, "Output").
//!
//! An answer has sections, a record a line, and each record begins with its section's tag. Fields
//! stand between random printable marks, since tmux changes or keeps every other separator
//! depending on its version, and free text may hold anything. The last command of the call prints
//! the end, and how many records each section has: an answer without it, or with fewer, is no
//! answer. Anything else between the records was printed by the user's own hooks
//! (`after-set-environment`, `after-list-sessions`), and is skipped.

use super::hooks::arm;
use super::status::STATUS;
use super::text::exact;
use crate::model::session::random_uuid;
use crate::model::snapshot::{LiveSession, PaneId, ServerId, SessionId, Snapshot, Workdir};
use crate::model::time::Timestamp;
use crate::sorted::Map;

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
    /// Whether to ask for the hooks and the status line.
    pub hooks: bool,
    /// What to ask of panes, if they are asked for.
    pub panes: Option<Panes>,
    /// Global options whose values are wanted.
    pub options: &'a [&'a str],
}

/// What is asked of all panes, and of the windows that they are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Panes {
    /// All but what the system tells of their processes.
    Plain,
    /// Also where their programs are and what these are called, which costs tmux as much as all else.
    WithPrograms,
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What lives.
    pub snapshot: Snapshot,
    /// The version of the server, as it says.
    pub version: String,
    /// What `show-hooks -g`, `show-options` for the hooks of windows, and the options of the status
    /// line printed, if they were asked for; and all global options where panes were.
    pub hooks: String,
    /// The panes, if they were asked for: a row for each session that shows it.
    pub panes: Vec<PaneRow>,
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

/// Eight digits, so that what they are part of is another text each time.
fn random_digits() -> String {
    let random = random_uuid();
    random[8..].iter().map(|byte| char::from(b'0' + byte % 10)).collect()
}

impl Panes {
    fn section(self) -> Section {
        match self {
            Panes::Plain => ARRANGEMENT,
            Panes::WithPrograms => ARRANGEMENT_WITH_PROGRAMS,
        }
    }
}

/// One kind of record in an answer.
struct Section {
    /// What each of its records begins with.
    tag: &'static str,
    /// Formats without their `#{}`. Free text has its length in bytes before it.
    fields: &'static [&'static str],
    /// A format that yields one character for each record there is.
    count: &'static str,
}

const SESSIONS: Section = Section {
    tag: "s",
    fields: &[
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
    ],
    count: "#{S:.}",
};

const PANES: Section = Section {
    tag: "p",
    fields: &[
        "session_id",
        "pane_id",
        "n:pane_start_path",
        "pane_start_path",
        "n:pane_current_path",
        "pane_current_path",
    ],
    count: "#{S:#{W:#{P:.}}}",
};

/// What `list-panes -s` lists is counted by nothing: the end says that it is whole.
const PANES_OF_ONE: Section = Section { count: "", ..PANES };

/// What `list-panes -a` lists. The text of a window stands with its active pane, once.
const ARRANGEMENT: Section = Section {
    tag: "w",
    fields: &[
        "session_id",
        "window_id",
        "window_index",
        // One character each: see `flags_of`. From 3.2 on tmux tells a command in quotes. Behind a
        // program that came back a shell is; behind a launch command none.
        "window_active}#{window_last_flag}#{window_zoomed_flag}#{pane_active}#{pane_dead}\
         #{automatic-rename}#{allow-rename}#{synchronize-panes}\
         #{?#{m:*run-in-pane --launch*,#{pane_start_command}},1,\
         #{?#{m:*run-in-pane --*,#{pane_start_command}},0,\
         #{?#{||:#{==:#{pane_start_command},#{default-command}},\
         #{==:#{pane_start_command},\"#{default-command}\"}},0,1}}",
        "pane_id",
        "pane_pid",
        "?pane_active,#{window_layout},",
        "?pane_active,#{n:window_name},",
        "?pane_active,#{window_name},",
        "n:pane_title",
        "pane_title",
    ],
    count: PANES.count,
};

const ARRANGEMENT_WITH_PROGRAMS: Section = Section {
    fields: &{
        let mut fields = [""; 14];
        let mut at = 0;
        while at < ARRANGEMENT.fields.len() {
            fields[at] = ARRANGEMENT.fields[at];
            at += 1;
        }
        fields[at] = "n:pane_current_path";
        fields[at + 1] = "pane_current_path";
        fields[at + 2] = "pane_current_command";
        fields
    },
    ..ARRANGEMENT
};

/// The end of an answer: a tag that is no section's.
const END: &str = "end";

/// What the end tells of the server, beside global options.
const ONCE: [&str; 4] = ["pid", "start_time", "version", "@roster_lost"];

/// The arguments of a call, command by command.
struct Call<'a> {
    mark: &'a str,
    words: Vec<String>,
    counts: String,
}

impl<'a> Call<'a> {
    fn new(mark: &'a str) -> Call<'a> {
        Call { mark, words: Vec::new(), counts: String::new() }
    }

    fn command(&mut self, parts: &[&str]) {
        if !self.words.is_empty() {
            self.words.push(";".into());
        }
        self.words.extend(parts.iter().map(|part| (*part).to_owned()));
    }

    /// The command that lists the records of a section, without its `-F`.
    fn list(&mut self, command: &[&str], section: &Section) {
        let n = self.mark;
        let mut format = String::with_capacity(512);
        format.push_str(&format!("{n}{}", section.tag));
        for field in section.fields {
            format.push_str(&format!("{n}#{{{field}}}"));
        }
        format.push_str(&format!("{n}E"));
        self.command(&[command, &["-F", &format]].concat());
        self.counts.push_str(&format!("{n}{}", section.count));
    }

    /// The end, and what is told once.
    fn end(mut self, fields: &[&str]) -> Vec<String> {
        let n = self.mark;
        let mut end = format!("{n}{END}{}", self.counts);
        for field in fields {
            end.push_str(&format!("{n}#{{{field}}}"));
        }
        end.push_str(&format!("{n}E"));
        self.command(&["display-message", "-p", &end]);
        self.words
    }
}

/// The records of an answer, one after another.
struct Records<'a> {
    mark: &'a [u8],
    /// The sections that were asked for.
    sections: &'static [Section],
    /// How many fields the end has.
    end: usize,
    rest: &'a [u8],
    /// What stood before the last record and is none.
    between: &'a [u8],
}

impl<'a> Records<'a> {
    /// Of an answer whose end has so many fields beside the counts.
    fn new(
        mark: &'a str,
        sections: &'static [Section],
        once: usize,
        answer: &'a [u8],
    ) -> Records<'a> {
        let (mark, end) = (mark.as_bytes(), sections.len() + once);
        Records { mark, sections, end, rest: answer, between: b"" }
    }

    /// The tag and the fields of the next one. They are counted: free text may be what a record
    /// ends with.
    fn next(&mut self) -> Option<Vec<&'a [u8]>> {
        let at = find(self.rest, self.mark)?;
        self.between = &self.rest[..at];
        self.rest = &self.rest[at + self.mark.len()..];
        let tag = self.field()?;
        let section = self.sections.iter().find(|section| section.tag.as_bytes() == tag);
        let count = match section {
            Some(section) => section.fields.len(),
            None if tag == END.as_bytes() => self.end,
            None => return None,
        };
        let mut fields = Vec::with_capacity(1 + count);
        fields.push(tag);
        for _ in 0..count {
            fields.push(self.field()?);
        }
        self.rest = self.rest.strip_prefix(b"E\n")?;
        Some(fields)
    }

    /// What stands before the next mark.
    fn field(&mut self) -> Option<&'a [u8]> {
        let at = find(self.rest, self.mark)?;
        let field = &self.rest[..at];
        self.rest = &self.rest[at + self.mark.len()..];
        Some(field)
    }
}

/// The arguments of the call.
pub fn args(query: Query<'_>) -> Vec<String> {
    let mut call = Call::new(query.mark);
    match query.clear {
        // No time, and another text each time: the next job's differs by it. (Not the mark whole,
        // which a hook of the user's may print.)
        Some(Mark::Environment) => {
            let random = query.mark.get(1..6).unwrap_or_default();
            call.command(&["set-environment", "-gh", "ROSTER_DUE", &format!("r{random}")]);
            if query.panes.is_some() {
                let random = random_digits();
                call.command(&["set-environment", "-gh", "ROSTER_LATE", &format!("0.{random}")]);
            }
        }
        Some(Mark::Option) => {
            // In this order: cut off between the two, there is one job too many, not one too few.
            call.command(&arm().each_ref().map(String::as_str));
            call.command(&["set-option", "-gu", "@roster_due"]);
            if query.panes.is_some() {
                let random = format!("r{}", random_digits());
                call.command(&["set-option", "-g", "@roster_late_due", &random]);
            }
        }
        None => {}
    }
    call.list(&["list-sessions"], &SESSIONS);
    if query.hooks {
        call.command(&["show-hooks", "-g"]);
        // From 3.2 on those of windows stand with the options of windows; before, with the others.
        call.command(&["show-options", "-gwH"]);
        for option in STATUS {
            call.command(&["show-options", "-gq", option]);
        }
    }
    if let Some(panes) = query.panes {
        // Those that are called by the names of programs.
        call.command(&["show-options", "-g"]);
        call.list(&["list-panes", "-a"], &panes.section());
    }
    let lengths: Vec<String> = query.options.iter().map(|option| format!("n:{option}")).collect();
    let mut once = ONCE.to_vec();
    for (option, length) in query.options.iter().zip(&lengths) {
        once.extend([length, *option]);
    }
    call.end(&once)
}

/// Whether `output` ends as a whole answer does. Only [`parse`] can tell for certain.
pub fn looks_whole(query: Query<'_>, output: &[u8]) -> bool {
    let last =
        output.strip_suffix(b"E\n").and_then(|rest| rest.strip_suffix(query.mark.as_bytes()));
    // A line of its own: any field may be called like the end.
    let end = ["\n", query.mark, END, query.mark].concat();
    let (end, alone) = (end.as_bytes(), &end.as_bytes()[1..]);
    last.is_some_and(|rest| {
        rest.starts_with(alone) || rest.windows(end.len()).rev().any(|part| part == end)
    })
}

/// Reads the answer to [`args`]; `None` if it is not whole.
pub fn parse(query: Query<'_>, output: &[u8]) -> Option<Answer> {
    let once = ONCE.len() + query.options.len() * 2;
    let sections: &'static [Section] = match query.panes {
        None => &[SESSIONS],
        Some(Panes::Plain) => &[SESSIONS, ARRANGEMENT],
        Some(Panes::WithPrograms) => &[SESSIONS, ARRANGEMENT_WITH_PROGRAMS],
    };
    let mut records = Records::new(query.mark, sections, once, output);
    let (mut sessions, mut panes, mut hooks) = (Vec::new(), Vec::new(), Vec::new());
    let end = loop {
        let fields = records.next()?;
        hooks.extend_from_slice(records.between);
        match fields.split_first()? {
            (&b"s", fields) => sessions.push(session(fields)?),
            (&b"w", fields) => panes.push(pane(fields)?),
            (&b"end", _) => break fields,
            _ => return None,
        }
    };
    let [_, count, rest @ ..] = end.as_slice() else { return None };
    let rest = match (query.panes, rest) {
        (None, rest) => rest,
        (Some(_), [count, rest @ ..]) if count.len() == panes.len() => rest,
        (Some(_), _) => return None,
    };
    let [pid, start, version, lost, options @ ..] = rest else { return None };
    if count.len() != sessions.len() {
        return None;
    }
    let number = |field: &[u8]| std::str::from_utf8(field).ok()?.parse().ok();
    let server = ServerId { pid: number(pid)? as u32, start_time: number(start)? };
    Some(Answer {
        snapshot: Snapshot {
            server,
            sessions,
            lost_shown: lossy(lost),
            same_directories: Vec::new(),
        },
        version: lossy(version),
        hooks: lossy(&hooks),
        panes,
        options: options.chunks(2).map(|pair| exact(pair[0], pair[1])).collect(),
    })
}

fn session(fields: &[&[u8]]) -> Option<LiveSession> {
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

/// A pane as a session shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct PaneRow {
    /// The session.
    pub session: SessionId,
    /// The number in the id of the window, `@3`.
    pub window: u32,
    /// The window's index in this session.
    pub index: u32,
    /// What is so or not.
    pub flags: Flags,
    /// The pane.
    pub pane: PaneId,
    /// The process that tmux started in it; 0 if there is none.
    pub pid: u32,
    /// The layout and the name of the window, if this is its active pane.
    pub window_text: Option<(String, Vec<u8>)>,
    /// The title.
    pub title: Vec<u8>,
    /// The directory and the name of the program in front, if they were asked for.
    pub program: Option<(Vec<u8>, Vec<u8>)>,
}

/// What is so or not of a pane and its window.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "tmux's own flags")]
#[allow(missing_docs, reason = "tmux's own names")]
pub struct Flags {
    pub window_active: bool,
    pub window_last: bool,
    pub window_zoomed: bool,
    pub pane_active: bool,
    pub pane_dead: bool,
    pub automatic_rename: bool,
    pub allow_rename: bool,
    pub synchronize_panes: bool,
    /// It was made for a command of its own.
    pub start_command: bool,
}

fn flags_of(field: &[u8]) -> Option<Flags> {
    let mut flags = field.iter().map(|byte| match byte {
        b'0' => Some(false),
        b'1' => Some(true),
        _ => None,
    });
    let mut next = || flags.next().flatten();
    let found = Flags {
        window_active: next()?,
        window_last: next()?,
        window_zoomed: next()?,
        pane_active: next()?,
        pane_dead: next()?,
        automatic_rename: next()?,
        allow_rename: next()?,
        synchronize_panes: next()?,
        start_command: next()?,
    };
    flags.next().is_none().then_some(found)
}

fn pane(fields: &[&[u8]]) -> Option<PaneRow> {
    let [
        session,
        window,
        index,
        flags,
        pane,
        pid,
        layout,
        name_len,
        name,
        title_len,
        title,
        program @ ..,
    ] = fields
    else {
        return None;
    };
    let text = |field| std::str::from_utf8(field).ok();
    let flags = flags_of(flags)?;
    Some(PaneRow {
        session: SessionId::parse(text(session)?)?,
        window: text(window)?.strip_prefix('@')?.parse().ok()?,
        index: text(index)?.parse().ok()?,
        pane: PaneId::parse(text(pane)?)?,
        // A dead pane may have none.
        pid: text(pid)?.parse().unwrap_or(0),
        window_text: flags.pane_active.then(|| (lossy(layout), exact(name_len, name))),
        title: exact(title_len, title),
        program: match program {
            [len, path, command] => Some((exact(len, path), command.to_vec())),
            _ => None,
        },
        flags,
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
    let mut call = Call::new(mark);
    match session {
        Some(id) => call.list(&["list-panes", "-s", "-t", &id.to_string()], &PANES_OF_ONE),
        None => call.list(&["list-panes", "-a"], &PANES),
    }
    call.end(&["pid", "start_time"])
}

/// Reads the answer to [`pane_args`], if it is whole and of this server: each session's oldest pane.
pub fn oldest_panes(mark: &str, server: ServerId, output: &[u8]) -> Option<Map<SessionId, Pane>> {
    let number = |field: &[u8]| -> Option<i64> { std::str::from_utf8(field).ok()?.parse().ok() };
    let mut oldest: Map<SessionId, Pane> = Map::new();
    let mut records = Records::new(mark, &[PANES], 2, output);
    let mut listed = 0;
    loop {
        match records.next()?.as_slice() {
            [b"end", count, pid, start] => {
                let is_whole = count.is_empty() || count.len() == listed;
                let is_it = number(pid) == Some(server.pid.into())
                    && number(start) == Some(server.start_time);
                return (is_whole && is_it).then_some(oldest);
            }
            [b"p", session, pane, start_len, start, current_len, current] => {
                let pane = Pane {
                    number: number(pane.strip_prefix(b"%")?)? as u32,
                    start: exact(start_len, start),
                    current: exact(current_len, current),
                };
                listed += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: Query<'_> =
        Query { mark: "~x~", clear: None, hooks: false, panes: None, options: &["@o"] };
    const END: &str = "~x~end~x~.~x~12~x~34~x~3.4~x~2~x~3~x~a$b~x~E\n";

    fn session(name: &str, name_len: &str, path: &str, path_len: &str) -> String {
        format!(
            "~x~s~x~$1~x~5~x~~x~1~x~u~x~m~x~~x~~x~0~x~{name_len}~x~{name}~x~{path_len}~x~{path}~x~E\n"
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
            format!("~x~p~x~${session}~x~%{pane}~x~{length}~x~{start}~x~2~x~/c~x~E\n")
        };
        let panes = [pane(1, 12, "/n"), pane(2, 7, ""), "foreign\n".into(), pane(1, 9, "/o\n")];
        let whole = panes.concat() + "~x~end~x~...~x~12~x~34~x~E\n";
        let server = ServerId { pid: 12, start_time: 34 };
        let found = oldest_panes("~x~", server, whole.as_bytes()).unwrap();
        let starts: Vec<(u32, u32, &[u8])> =
            found.iter().map(|(id, pane)| (id.0, pane.number, pane.start.as_slice())).collect();
        assert_eq!(starts, [(1, 9, &b"/o\n"[..]), (2, 7, b"")]);
        for length in 0..whole.len() {
            let cut = &whole.as_bytes()[..length];
            assert!(oldest_panes("~x~", server, cut).is_none(), "{length}");
        }
        let fewer = whole.replace("~...~", "~....~");
        assert!(oldest_panes("~x~", server, fewer.as_bytes()).is_none());
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
    fn a_name_may_be_what_a_record_ends_with() {
        for name in ["E\n", "E\nx", "end", "s"] {
            let answer = session(name, "", "/w", "") + END;
            let answer = parse(QUERY, answer.as_bytes()).unwrap();
            assert_eq!(answer.snapshot.sessions[0].name, name.as_bytes());
        }
        // The reading of an answer must not stop at such a name either.
        for mode in ["end", "E"] {
            let record = session("end", "", "/w", "").replace("~x~m~x~", &format!("~x~{mode}~x~"));
            assert!(!looks_whole(QUERY, record.as_bytes()), "{mode}");
            assert!(looks_whole(QUERY, (record + END).as_bytes()), "{mode}");
        }
        assert!(looks_whole(QUERY, END.as_bytes()));
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
