//! `roster completions SHELL`, and the hidden `roster complete` that its scripts call at each
//! press of TAB: so verbs and flags are those that this program has.
//!
//! Takes no lock, starts tmux only to learn what lives, and for no longer than [`LIMIT`].

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argh::{ArgsInfo, CommandInfoWithArgs, FlagInfo, FlagInfoKind, Optionality};
use tmux_roster::config::{self, Place, Settings};
use tmux_roster::sorted::{Set, sort, sort_by};
use tmux_roster::tmux::call;
use tmux_roster::tmux::text::quote_sh;
use tmux_roster::{Store, persist};

use crate::cli::{self, Cli};
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::inspect::{Row, State, rows_of, without_server};
use crate::commands::output::print;

/// How long tmux may take to tell what lives; without its answer all names are offered.
const LIMIT: Duration = Duration::from_millis(300);

const BASH: &str = include_str!("completions.bash");

const ZSH: &str = include_str!("completions.zsh");

const FISH: &str = include_str!("completions.fish");

/// What begins a word of fish's that is quoted; it comes as it is typed.
const QUOTES: [char; 3] = ['\'', '"', '\\'];

/// `roster completions SHELL`
pub fn script(args: &cli::Completions) -> Outcome {
    let script = match args.shell.as_str() {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        other => {
            let message =
                format!("completions are available for bash, zsh and fish, not {other:?}");
            return Err(Failure::usage(message));
        }
    };
    let program = std::env::current_exe()?;
    let program = program.to_str().ok_or("the program's path is not UTF-8")?;
    let quoted = match args.shell.as_str() {
        "fish" => format!("'{}'", program.replace('\\', "\\\\").replace('\'', "\\'")),
        _ => String::from_utf8_lossy(&quote_sh(program.as_bytes())).into_owned(),
    };
    print(&script.replace("@PROGRAM@", &quoted))?;
    Ok(ExitCode::SUCCESS)
}

/// `roster complete SHELL WORD… CURRENT`, for bash `roster complete bash LINE END-OF-LINE`.
/// Prints what kind of thing stands there and then candidates, each with a description (for
/// fish with a tab between, else as a field of its own), each field ended by a NUL.
pub fn complete(args: &[String]) -> Outcome {
    let (typed, words, current) = match args {
        [shell, line, end] if shell == "bash" => match Typed::parse(line, end) {
            Some(typed) => (Some(typed.clone()), typed.words, typed.current),
            None => return Ok(ExitCode::SUCCESS),
        },
        [_, words @ .., current] => (None, words.to_vec(), current.clone()),
        _ => {
            return Err(Failure::usage("roster complete is for completion scripts only".into()));
        }
    };
    let is_fish = args[0] == "fish";
    let (kind, candidates) = match candidates(&words, &current) {
        Offer::Words(candidates) => ("words", candidates),
        Offer::Files => ("files", Vec::new()),
        Offer::Directories => ("directories", Vec::new()),
    };
    let mut text = format!("{kind}\0\0");
    for (value, description) in candidates {
        match &typed {
            Some(typed) => {
                if let Some(value) = typed.quote(&value) {
                    text.push_str(&format!("{value}\0\0"));
                }
            }
            None if !is_fish => text.push_str(&format!("{value}\0{description}\0")),
            // fish knows no other mark between the two, and puts `~` unquoted into the line.
            None if value.contains('\t') => {}
            None if value.starts_with('~') && !current.starts_with(QUOTES) => {}
            None if description.is_empty() => text.push_str(&format!("{value}\0")),
            None => text.push_str(&format!("{value}\t{description}\0")),
        }
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

enum Offer {
    /// Each with a description, which may be empty.
    Words(Vec<(String, String)>),
    Files,
    Directories,
}

fn one_of(words: &[&str]) -> Offer {
    Offer::Words(words.iter().map(|word| ((*word).to_owned(), String::new())).collect())
}

/// What can stand after `words`, which are those behind the program's name.
fn candidates(words: &[String], current: &str) -> Offer {
    let whole = Cli::get_args_info();
    let mut command: &CommandInfoWithArgs = &whole;
    let (mut socket_name, mut socket_path) = (None, None);
    let mut verb = "";
    let mut positionals = Vec::new();
    let (mut ended, mut is_help) = (false, false);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "help" && verb.is_empty() && !is_help {
            is_help = true;
            continue;
        }
        if ended || !word.starts_with('-') {
            match command.commands.iter().find(|sub| sub.name == word.as_str()) {
                Some(sub) if !ended => {
                    command = &sub.command;
                    if verb.is_empty() {
                        verb = sub.name;
                    }
                }
                _ => positionals.push(word.as_str()),
            }
            continue;
        }
        if word == "--" {
            ended = true;
            continue;
        }
        let (name, inline) = match cli::inline(word) {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let Some(flag) = command.flags.iter().find(|flag| is_called(flag, name)) else { continue };
        if !takes_value(flag) {
            continue;
        }
        let Some(value) = inline.or_else(|| words.next().cloned()) else {
            return value_of(flag.long);
        };
        match flag.long {
            "--socket-name" => socket_name = Some(value),
            "--socket-path" => socket_path = Some(value),
            _ => {}
        }
    }
    if current.starts_with('-') && !ended {
        let mut offered: Vec<(String, String)> = command
            .flags
            .iter()
            .filter(|flag| !flag.hidden)
            .map(|flag| (flag.long.to_owned(), flag.description.to_owned()))
            .collect();
        offered.push(("--".into(), "end of options".into()));
        return Offer::Words(offered);
    }
    if !command.commands.is_empty() {
        let verbs = command.commands.iter();
        let offered = verbs.map(|sub| (sub.name.into(), sub.command.description.into())).collect();
        return Offer::Words(offered);
    }
    if is_help {
        return Offer::Words(Vec::new());
    }
    let context = Context::new(socket_name, socket_path);
    let at = positionals.len();
    let takes_more = match command.positionals.last() {
        Some(last) if matches!(last.optionality, Optionality::Repeating) => true,
        _ => at < command.positionals.len(),
    };
    if !takes_more {
        return Offer::Words(Vec::new());
    }
    use State::{Closed, Live, Lost, Unreachable};
    let states: &[State] = match (verb, at) {
        ("kill", 0) => &[Live],
        ("restore", _) => &[Lost],
        ("reopen", 0) => &[Closed],
        ("go", 0) if current.starts_with(['.', '/', '~']) => return Offer::Directories,
        ("go", 0) => &[Live, Lost, Closed],
        ("show" | "windows" | "history", 0) => &[Live, Lost, Closed, Unreachable],
        ("rename" | "mode" | "health", 0) => &[Live, Lost],
        ("forget", 0) => &[Lost, Closed],
        ("mode", 1) => return modes(&context),
        ("import", 0) => return one_of(&["resurrect"]),
        ("recover", 0) => return backups(&context),
        ("import", 1) => return Offer::Files,
        ("completions", 0) => return one_of(&["bash", "zsh", "fish"]),
        _ => return Offer::Words(Vec::new()),
    };
    let mut offered: Vec<(String, String)> = Vec::new();
    let mut has_dashes = false;
    for (name, state) in names(&context, states) {
        // Taken for a flag unless `--` stands before it.
        if name.starts_with('-') && !ended {
            has_dashes = true;
        } else if !positionals.contains(&name.as_str()) {
            offered.push((name, state.to_owned()));
        }
    }
    if has_dashes {
        offered.push(("--".into(), "names that start with a dash".into()));
    }
    Offer::Words(offered)
}

fn is_called(flag: &FlagInfo<'_>, name: &str) -> bool {
    flag.long == name || flag.short.is_some_and(|short| name == format!("-{short}"))
}

fn takes_value(flag: &FlagInfo<'_>) -> bool {
    matches!(flag.kind, FlagInfoKind::Option { .. })
}

fn value_of(flag: &str) -> Offer {
    match flag {
        "--state" => one_of(&["live", "lost", "closed", "unreachable"]),
        "--sort" => one_of(&["name", "created", "attached"]),
        "--directory" => Offer::Directories,
        "--socket-name" => servers(),
        "--socket-path" | "--file" | "--tmux" => Offer::Files,
        _ => Offer::Words(Vec::new()),
    }
}

/// The names of the sessions in these states, each once, and their states.
fn names(context: &Context, states: &[State]) -> Vec<(String, &'static str)> {
    let place = context.place_without_tmux();
    let mut rows = if states == [State::Closed] {
        // The files know them alone.
        place.ok().map(|place| without_tmux(&place)).unwrap_or_default()
    } else {
        let dir = place.as_ref().map_or_else(|_| PathBuf::new(), |place| place.dir.clone());
        asked(&Place { tmux: context.tmux(), dir }).unwrap_or_else(|place| {
            // Who lives is not known: any of the registry may.
            let mut rows = without_tmux(&place);
            for row in rows.iter_mut().filter(|row| row.state == State::Lost) {
                row.state = if states.contains(&State::Lost) { State::Lost } else { State::Live };
            }
            rows
        })
    };
    rows.retain(|row| states.contains(&row.state));
    let order = |state| states.iter().position(|other| *other == state);
    sort_by(&mut rows, |a, b| {
        (order(a.state), &a.session.name).cmp(&(order(b.state), &b.session.name))
    });
    let mut seen = Set::new();
    rows.retain(|row| seen.insert(row.session.name.clone()));
    rows.into_iter().map(|row| (row.session.name, row.state.word())).collect()
}

/// All sessions as registry and tmux have them; the place, if tmux does not tell.
fn asked(place: &Place) -> Result<Vec<Row>, Place> {
    let mut place = place.clone();
    let Ok(answer) = place.ask(Instant::now() + LIMIT) else { return Err(place) };
    let settings = Settings::parse(&answer.options);
    if let Some(dir) = &settings.dir {
        place.dir.clone_from(dir);
    }
    let Ok(remembered) = persist::peek(&place) else { return Err(place) };
    Ok(rows_of(&place, &remembered, answer, &settings))
}

fn without_tmux(place: &Place) -> Vec<Row> {
    persist::peek(place).map(without_server).map(|view| view.rows).unwrap_or_default()
}

/// The names of the sockets in the folder where tmux has them.
fn servers() -> Offer {
    let folder = Context::new(Some("default".into()), None).socket();
    let entries = folder.parent().and_then(|folder| fs::read_dir(folder).ok());
    let is_socket = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_socket());
    let sockets = entries.into_iter().flatten().flatten().filter(is_socket);
    let mut names: Vec<String> =
        sockets.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    sort(&mut names);
    Offer::Words(names.into_iter().map(|name| (name, String::new())).collect())
}

/// The backups, the newest first; files where there are none.
fn backups(context: &Context) -> Offer {
    let place = context.place_without_tmux().ok();
    let backups = place.and_then(|place| Store::new(place.registry()).backups().ok());
    let backups: Vec<(String, String)> = (backups.unwrap_or_default().into_iter())
        .filter_map(|backup| Some((backup.path.to_str()?.to_owned(), String::new())))
        .collect();
    if backups.is_empty() { Offer::Files } else { Offer::Words(backups) }
}

/// The words of @roster-modes.
fn modes(context: &Context) -> Offer {
    let values = call::options(&context.tmux(), &["@roster-modes"], Instant::now() + LIMIT);
    let value = values.ok().and_then(|values| values.into_iter().next()).unwrap_or_default();
    let modes = config::modes(&String::from_utf8_lossy(&value));
    Offer::Words(modes.into_iter().map(|mode| (mode, String::new())).collect())
}

/// A line that is being typed in bash: its words, and the part of the last one that readline is
/// going to replace. Readline breaks words also at `:`, `=` and others, so that it may be less
/// than the word.
#[derive(Debug, Clone, PartialEq)]
struct Typed {
    /// The whole words behind the program's name.
    words: Vec<String>,
    /// The word that is being typed, without its quotes.
    current: String,
    /// What of it stands before the part that is replaced.
    kept: String,
    /// The quotes that are open where that part begins.
    quotes: Option<char>,
    /// Whether they were opened right there.
    opened_there: bool,
}

impl Typed {
    /// Reads the line up to the cursor; `end` is the part at its end that is replaced. `None`
    /// where we cannot tell what is meant.
    fn parse(line: &str, end: &str) -> Option<Typed> {
        let start = line.strip_suffix(end)?.len();
        let mut words: Vec<String> = Vec::new();
        let mut word: Option<String> = None;
        let mut quotes = None;
        let mut at_start = None;
        let mut chars = line.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if at >= start && at_start.is_none() {
                at_start = Some((word.clone().unwrap_or_default(), quotes));
            }
            let into = match (quotes, c) {
                (None, ' ' | '\t' | '\n') => {
                    words.extend(word.take());
                    continue;
                }
                _ => word.get_or_insert_default(),
            };
            match (quotes, c) {
                (None, '$') if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    // What `quote` wrote for control characters.
                    chars.next();
                    let mut escaped = false;
                    let mut inside = String::new();
                    loop {
                        let (_, c) = chars.next()?;
                        if c == '\'' && !escaped {
                            break;
                        }
                        escaped = c == '\\' && !escaped;
                        inside.push(c);
                    }
                    into.push_str(&unescape(&inside)?);
                }
                (None, '\'' | '"') => quotes = Some(c),
                (Some(open), c) if open == c => quotes = None,
                (Some('\''), c) => into.push(c),
                (None, '\\') => into.extend(chars.next().map(|(_, c)| c)),
                (Some(_), '\\') => match chars.peek() {
                    Some((_, c @ ('\\' | '"' | '$' | '`'))) => {
                        into.push(*c);
                        chars.next();
                    }
                    _ => into.push('\\'),
                },
                (_, c) => into.push(c),
            }
        }
        let (kept, quotes) = at_start.unwrap_or_else(|| (word.clone().unwrap_or_default(), quotes));
        // `X=1 roster …`
        let is_assignment = |word: &String| word.contains('=') && !word.contains('/');
        let name = words.iter().position(|word| !is_assignment(word))?;
        let opened_there = quotes.is_some_and(|open| line[..start].ends_with(open));
        Some(Typed {
            opened_there,
            words: words.split_off(name + 1),
            current: word.unwrap_or_default(),
            kept,
            quotes,
        })
    }

    /// What stands in place of the replaced part for this candidate, if it is one.
    fn quote(&self, candidate: &str) -> Option<String> {
        if !candidate.starts_with(&self.current) {
            return None;
        }
        let rest = candidate.strip_prefix(&self.kept)?;
        let mut quoted = String::new();
        for (at, c) in rest.chars().enumerate() {
            // Where the whole is quoted, what needs other quotes leaves them for a moment.
            let around = self.quotes.map(String::from).unwrap_or_default();
            match (self.quotes, c) {
                (_, c) if c.is_control() => {
                    let mut bytes = [0; 4];
                    let codes = c.encode_utf8(&mut bytes).bytes();
                    let codes: String = codes.map(|byte| format!("\\{byte:03o}")).collect();
                    quoted.push_str(&format!("{around}$'{codes}'{around}"));
                }
                (Some('\''), '\'') => quoted.push_str("'\\''"),
                // History expansion knows no backslash in double quotes.
                (Some('"'), '!') => quoted.push_str("\"'!'\""),
                (Some('"'), '\\' | '"' | '$' | '`') => quoted.extend(['\\', c]),
                (Some(_), c) => quoted.push(c),
                (None, c) => {
                    let plain = c.is_alphanumeric() || "-_./:=@%+,".contains(c);
                    if !plain || (at == 0 && self.kept.is_empty() && c == '~') {
                        quoted.push('\\');
                    }
                    quoted.push(c);
                }
            }
        }
        // Readline takes a quote at the beginning for the one that stands there already.
        if let (Some(open), true) = (self.quotes, self.opened_there) {
            if quoted.starts_with(open) {
                quoted.insert(0, open);
            }
        }
        Some(quoted)
    }
}

/// The octal escapes of [`Typed::quote`].
fn unescape(text: &str) -> Option<String> {
    let codes = text.split('\\').skip(1);
    let bytes: Option<Vec<u8>> = codes.map(|code| u8::from_str_radix(code, 8).ok()).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_bash_inserts_is_the_name_again() {
        let names = [
            "a b", "it's", "q\"q", "$HOME", "`x`", "a\nb", "~x", "x;y", "!x", "日本", "a\\b", "'q",
            "\"q",
        ];
        for name in names {
            for (typed, end) in [("", ""), ("'", ""), ("\"", "")] {
                let line = format!("roster kill {typed}");
                let quoted = Typed::parse(&line, end).unwrap().quote(name).unwrap();
                // Readline does not double the opening quote.
                let added = match typed.chars().next() {
                    Some(open) => quoted.strip_prefix(open).unwrap_or(&quoted),
                    None => &quoted,
                };
                let again = Typed::parse(&format!("{line}{added}"), "").unwrap();
                assert_eq!(again.current, name, "{line}{added}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_line_that_is_being_typed_is_read_or_not(
            line in "([ -~]|[\\\\'\"$ =:]|\\$'|[é日\u{1f980}\n\t]){0,30}",
            end in any::<prop::sample::Index>(),
            name in "[^\0]{0,8}",
        ) {
            let starts: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
            let end = if starts.is_empty() { "" } else { &line[*end.get(&starts)..] };
            if let Some(typed) = Typed::parse(&line, end) {
                let name = format!("{}{name}", typed.current);
                let quoted = typed.quote(&name);
                prop_assert!(quoted.is_none() || name.starts_with(&typed.kept));
            }
            prop_assert_eq!(Typed::parse("roster", "x"), None);
            let _ = unescape(&line);
        }
    }

    #[test]
    fn only_what_readline_replaces_is_given() {
        let typed = Typed::parse("A=1 roster -L x kill a:b\\ c", "b\\ c").unwrap();
        assert_eq!(typed.words, ["-L", "x", "kill"]);
        assert_eq!((typed.current.as_str(), typed.kept.as_str()), ("a:b c", "a:"));
        assert_eq!(typed.quote("a:b cd").as_deref(), Some("b\\ cd"));
        assert_eq!(typed.quote("a:c"), None);
    }

    #[test]
    fn verbs_and_flags_are_those_of_the_command_line() {
        let words = |offer| match offer {
            Offer::Words(words) => words.into_iter().map(|(word, _)| word).collect::<Vec<_>>(),
            _ => panic!("words"),
        };
        let verbs = words(candidates(&[], ""));
        assert!(verbs.contains(&"kill".to_owned()) && verbs.contains(&"doctor".to_owned()));
        let flags = words(candidates(&["restore".into()], "--"));
        assert_eq!(flags, ["--help", "--all", "--as", "--force", "--bare", "--from", "--"]);
        let states = words(candidates(&["list".into(), "--state".into()], ""));
        assert_eq!(states, ["live", "lost", "closed", "unreachable"]);
    }
}
