//! What a person types to call this program: `roster`, or its path where that word calls another
//! program or none. Found out only when something is said that may be pasted.

use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::io::IsTerminal;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use argh::ArgsInfo;
use tmux_roster::config::Environment;
use tmux_roster::tmux::program::ourselves;

use super::context::Context;
use super::output::{in_home, to_paste};
use crate::cli::Cli;

/// The word that stands for this program in all that is said.
const NAME: &str = "roster";

/// What follows the program's name in commands that are told, from now on: the server that this one
/// named, unless it was typed in there, as every key is.
pub fn name_server(context: &Context) {
    if !context.is_inside() {
        let words = context.server_words();
        let words = match words.as_slice() {
            // A relative path would lead elsewhere once pasted in another directory.
            ["-S", path] => vec!["-S".to_owned(), absolute(path)],
            words => words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let _ = SERVER.set(words.iter().map(|word| format!(" {}", to_paste(word))).collect());
    }
}

fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(path).ok();
    absolute.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| path.to_owned())
}

static SERVER: OnceLock<String> = OnceLock::new();

/// A text as it is told to a person: commands in it, such as `roster restore --all`, work where they
/// are pasted. What stands in quotes, as names do, stays as it is. A key's job has the PATH of
/// the server, of which a shell's may differ: where that does not lead to us, the path always does.
pub fn as_typed(text: &str) -> Cow<'_, str> {
    static CALLED: OnceLock<String> = OnceLock::new();
    if !text.contains(NAME) {
        return text.into();
    }
    let called = CALLED.get_or_init(|| called(&Environment::read()));
    let server = SERVER.get().map_or("", String::as_str);
    match called.as_str() {
        NAME if server.is_empty() => text.into(),
        called => with_program(text, called, server).into(),
    }
}

fn called(environment: &Environment) -> String {
    let path = match program(environment) {
        Some(path) if !leads_to_us(environment.on_path(NAME).as_deref()) => path,
        _ => return NAME.to_owned(),
    };
    for_shell(environment, &path).unwrap_or_else(|| NAME.to_owned())
}

/// Where the word does not lead here: what it leads to, if anything, and what would make it do so.
pub fn missing_link(environment: &Environment) -> Option<(String, String)> {
    let found = environment.on_path(NAME);
    if leads_to_us(found.as_deref()) {
        return None;
    }
    let program = for_shell(environment, &program(environment)?)?;
    let bin = environment.home()?.join(".local/bin");
    let said = match &found {
        Some(other) => format!("roster on your PATH is {}, not this program", other.display()),
        None => "roster is not on your PATH: type its path, or make a link".to_owned(),
    };
    let is_linked = leads_to_us(Some(&bin.join(NAME)));
    if is_linked && !std::io::stdin().is_terminal() {
        // The PATH of a key's job or of a script: a shell's may well have the folder.
        return None;
    }
    let remedy = match is_linked {
        true if found.is_some() => "put ~/.local/bin first in your PATH".to_owned(),
        true => "add ~/.local/bin to your PATH".to_owned(),
        false => match bin.join(NAME).symlink_metadata() {
            Ok(found) if !found.is_symlink() => {
                format!("~/.local/bin/{NAME} is another program: call this one {program}")
            }
            // Without -n it would be made in a folder that the old one leads to.
            Ok(_) => format!("ln -sfn {program} ~/.local/bin/{NAME}"),
            Err(_) => format!("mkdir -p ~/.local/bin && ln -s {program} ~/.local/bin/{NAME}"),
        },
    };
    Some((said, remedy))
}

/// The path that outlives upgrades, if it leads to us, else our own.
fn program(environment: &Environment) -> Option<PathBuf> {
    let lasting = environment.data_dir().map(|data| data.join(NAME));
    lasting.filter(|path| leads_to_us(Some(path))).or_else(ourselves)
}

fn leads_to_us(path: Option<&Path>) -> bool {
    let found = |path: &Path| fs::metadata(path).ok();
    let is_same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let own = std::env::current_exe().ok().and_then(|path| found(&path));
    path.and_then(found).zip(own).is_some_and(|(a, b)| is_same(&a, &b))
}

fn for_shell(environment: &Environment, path: &Path) -> Option<String> {
    let short = in_home(environment, path.to_str()?);
    Some(match short.strip_prefix("~/") {
        // A shell knows the tilde only without quotes.
        Some(below) => format!("~/{}", to_paste(below)),
        None => to_paste(&short).into_owned(),
    })
}

/// The text with another word for this program wherever one of its commands is told, and the server
/// behind it unless that is one for help.
fn with_program(text: &str, program: &str, server: &str) -> String {
    let info = Cli::get_args_info();
    let is_ours =
        |word: &str| word == "--help" || info.commands.iter().any(|command| command.name == word);
    let mut told = String::with_capacity(text.len());
    let (mut quote, mut is_escaped, mut is_start) = (None, false, true);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let command = rest.strip_prefix(NAME).and_then(|after| after.strip_prefix(' '));
        let verb = command.map(|command| {
            let end = command.find(|c: char| c != '-' && !c.is_ascii_lowercase());
            &command[..end.unwrap_or(command.len())]
        });
        if is_start && quote.is_none() && verb.is_some_and(is_ours) {
            told.push_str(program);
            let is_help = |(command, _): (&str, &str)| command.ends_with("--help");
            told.push_str(if rest.split_once('`').is_some_and(is_help) { "" } else { server });
            rest = &rest[NAME.len()..];
            is_start = false;
            continue;
        }
        match quote {
            // Within a word it is an apostrophe.
            None if c == '"' || c == '\'' && is_start => quote = Some(c),
            Some(open) if open == c && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = c == '\\' && !is_escaped;
        is_start = matches!(c, ' ' | '(' | '`');
        told.push(c);
        rest = &rest[c.len_utf8()..];
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_are_told_otherwise() {
        let told = |text: &str| with_program(text, "~/x/roster", "");
        assert_eq!(told("run roster list"), "run ~/x/roster list");
        assert_eq!(
            told("roster go x, or `roster --help`"),
            "~/x/roster go x, or `~/x/roster --help`"
        );
        assert_eq!(told("it's there: roster list"), "it's there: ~/x/roster list");
        assert_eq!(told("(roster sync) repairs it"), "(~/x/roster sync) repairs it");
        let told_of = |text: &str| with_program(text, "roster", " -L 'a b'");
        assert_eq!(
            told_of("run roster kill x; see `roster kill --help`"),
            "run roster -L 'a b' kill x; see `roster kill --help`"
        );
        assert_eq!(told_of("roster reopen -- --help"), "roster -L 'a b' reopen -- --help");
        for same in [
            "this roster knows up to 1",
            "session \"a \\\" roster list\" is live",
            "/usr/bin/roster list",
            "reopen 'roster list'",
            "kill 'my roster list' to end it",
            "@roster-on-closed, tmux-roster list",
            "roster lists",
        ] {
            assert_eq!(told(same), same);
        }
    }
}
