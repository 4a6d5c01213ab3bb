//! The command that a session's mode starts in it: its words, with our variables in them where no
//! shell can read them.

use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::windows::RUN_IN_PANE;

use crate::model::session::Session;
use crate::sorted::{Map, Set};
use crate::tmux::call;
use crate::tmux::program;
use crate::transaction::{SyncError, Transaction};

/// What the modes of some records start.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    /// The words of the launch commands, by the names of the options.
    commands: Map<String, Vec<String>>,
    /// tmux's own option, for the shell that comes after a command that fails.
    default_command: Vec<u8>,
}

/// What is to be started in a session.
#[derive(Debug, Clone, Default)]
pub struct Launch {
    /// The words; none for what tmux starts by itself.
    pub words: Vec<String>,
    /// What is tried once where that fails at once.
    pub otherwise: Vec<String>,
    /// The option that the words come from; empty if they were typed.
    pub option: String,
    /// tmux's option of that name.
    pub default_command: Vec<u8>,
}

/// The option for a session that is made, and for one that comes back.
const COMMAND: &str = "@roster-command-";
const AGAIN: &str = "@roster-again-";

/// The launch commands of the records' modes.
///
/// # Errors
/// tmux does not tell them.
pub(super) fn profiles(
    transaction: &Transaction<'_>,
    records: &[Session],
    warnings: &mut Vec<String>,
) -> Result<Profiles, SyncError> {
    let is_option = |mode: &&str| {
        // tmux takes no call that is too long.
        (1..=100).contains(&mode.len())
            && mode.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_@".contains(&b))
    };
    let modes: Set<&str> =
        records.iter().map(|record| record.mode.as_str()).filter(is_option).collect();
    let of_mode = |mode: &&str| [format!("{COMMAND}{mode}"), format!("{AGAIN}{mode}")];
    let options: Vec<String> = modes.iter().flat_map(of_mode).collect();
    let names: Vec<&str> = options.iter().map(String::as_str).chain(["default-command"]).collect();
    let mut values = Vec::new();
    for some in names.chunks(50) {
        values.extend(call::options(&transaction.place().tmux, some, transaction.deadline())?);
    }
    let default_command = values.pop().unwrap_or_default();
    let mut commands = Map::new();
    for (option, value) in options.into_iter().zip(values) {
        match shell_words::split(&String::from_utf8_lossy(&value)) {
            Ok(words) => drop(commands.insert(option, words)),
            Err(error) => {
                let text = format!("{option} cannot be split into words ({error}): not started");
                warnings.push(text);
            }
        }
    }
    Ok(Profiles { commands, default_command })
}

impl Profiles {
    /// What a session's mode starts in it, where it is made, or comes back: then that fails at once,
    /// what it starts in a new one is tried.
    pub(super) fn launch(
        &self,
        record: &Session,
        again: bool,
        warnings: &mut Vec<String>,
    ) -> Launch {
        let mut expanded = |option: &str| {
            let words = self.commands.get(option).map_or(&[][..], Vec::as_slice);
            launch_command(words, record).unwrap_or_else(|variable| {
                warnings.push(format!(
                    "{option} runs on another machine, whose shell would parse the value of \
                     ${variable} of {:?}: not started",
                    record.name
                ));
                Vec::new()
            })
        };
        let (first, second) =
            (format!("{AGAIN}{}", record.mode), format!("{COMMAND}{}", record.mode));
        let words = if again { expanded(&first) } else { Vec::new() };
        let otherwise = expanded(&second);
        let default_command = self.default_command.clone();
        match words.is_empty() {
            true => {
                Launch { words: otherwise, otherwise: Vec::new(), option: second, default_command }
            }
            false => Launch { words, otherwise, option: first, default_command },
        }
    }

    /// What somebody typed instead.
    pub(super) fn typed(&self, words: &[String]) -> Launch {
        let default_command = self.default_command.clone();
        Launch { words: words.to_vec(), default_command, ..Launch::default() }
    }
}

impl Launch {
    /// The words that tmux is to start in a pane, in the environment of that session.
    pub(super) fn in_pane(&self, record: &Session) -> Vec<Vec<u8>> {
        if self.words.is_empty() {
            return Vec::new();
        }
        let pairs = record.variables();
        let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}").into_bytes());
        // More than one word is run without a shell, on every version.
        let mut all: Vec<Vec<u8>> = std::iter::once(b"env".to_vec()).chain(pairs).collect();
        let own = program::ourselves();
        let first = own.as_ref().map_or(self.words[0].as_bytes(), |own| own.as_os_str().as_bytes());
        if first.contains(&b'=') {
            // env would take it for one more variable; this sh gets it as an argument.
            all.extend([b"sh".to_vec(), b"-c".to_vec(), br#"exec "$0" "$@""#.to_vec()]);
        }
        if let Some(own) = own {
            all.extend([own.into_os_string().into_vec(), RUN_IN_PANE.into()]);
            all.extend([b"--launch".to_vec(), self.option.clone().into_bytes()]);
            if !self.otherwise.is_empty() {
                let otherwise = shell_words::join(&self.otherwise).into_bytes();
                all.extend([b"--or".to_vec(), otherwise]);
            }
            if !self.default_command.is_empty() {
                all.extend([b"--then".to_vec(), self.default_command.clone()]);
            }
            all.push(b"--".to_vec());
        }
        all.extend(self.words.iter().map(|word| word.clone().into_bytes()));
        all
    }
}

/// Programs that make one line of their arguments for a shell of another machine.
const REMOTE: [&str; 7] = ["ssh", "autossh", "mosh", "rsh", "slogin", "pdsh", "dsh"];

/// The same for a shell of this one.
const JOINING: [&str; 3] = ["watch", "hwatch", "viddy"];

/// Programs that take a script.
const SCRIPTED: [&str; 24] = [
    "sh", "ash", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "oksh", "loksh", "pdksh", "yash",
    "rbash", "rksh", "csh", "tcsh", "fish", "nu", "xonsh", "elvish", "osh", "ysh", "su", "script",
];

/// The words of a launch command, with our variables expanded. Words that a shell may parse only
/// get values without shell syntax (a session may be named `$(reboot)`); otherwise `$NAME` is left
/// for that shell to expand. A remote shell lacks our environment, so there we fail with the
/// variable's name.
pub(super) fn launch_command(
    words: &[String],
    record: &Session,
) -> Result<Vec<String>, &'static str> {
    let programs = || words.iter().map(|word| word.rsplit('/').next().unwrap_or_default());
    let has_one_of = |those: &[&str]| programs().any(|program| those.contains(&program));
    let is_remote = has_one_of(&REMOTE);
    let is_line = is_remote || has_one_of(&JOINING);
    let is_shell = |program: &str| program.ends_with("sh") && !program.ends_with(".sh");
    let is_scripted = has_one_of(&SCRIPTED) || programs().next().is_some_and(is_shell);
    let mut left = None;
    let expanded = words.iter().enumerate().map(|(at, word)| {
        let around = replace_variables(word, record, |_, _| Some(""));
        // Text with spaces or quotes in it is a script, whatever program it is for.
        let is_script = !is_plain(&around)
            || is_scripted && (!around.is_empty() || is_after_option(&words[..at]));
        replace_variables(word, record, |name, value| {
            let value = (is_plain(value) || !is_line && !is_script).then_some(value);
            if value.is_none() {
                left = Some(name);
            }
            value
        })
    });
    let expanded = expanded.collect();
    left.filter(|_| is_remote).map_or(Ok(expanded), Err)
}

/// Whether what comes after these words may be what an option such as `-c` takes, after others
/// such as the two words of `-o errexit`.
fn is_after_option(before: &[String]) -> bool {
    let is_option = |word: &str| word.starts_with(['-', '+']);
    match before {
        [.., option, _] if is_option(option) && option.ends_with(['o', 'O']) => true,
        [.., option] => is_option(option),
        [] => false,
    }
}

/// Whether a text is one word to any shell, and no more than a part of one.
fn is_plain(text: &str) -> bool {
    // To zsh `=ls` is a path, to fish `%self` a process.
    !text.starts_with(['=', '%'])
        && text.chars().all(|c| c.is_alphanumeric() || "_./@%+,:=-".contains(c))
}

/// Replaces `$NAME` and `${NAME}` of our four variables, and nothing else, by what is made of their
/// names and values; those for which that is nothing stay.
fn replace_variables<'a>(
    word: &str,
    record: &'a Session,
    mut by: impl FnMut(&'static str, &'a str) -> Option<&'a str>,
) -> String {
    let variables = record.variables();
    let mut replaced = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        replaced.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let found = variables.iter().find_map(|&(name, value)| {
            let braced =
                tail.strip_prefix('{').and_then(|t| t.strip_prefix(name)?.strip_prefix('}'));
            let bare = tail
                .strip_prefix(name)
                .filter(|t| !t.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'));
            let after = braced.or(bare)?;
            Some((by(name, value)?, after))
        });
        let (text, after) = found.unwrap_or(("$", tail));
        replaced.push_str(text);
        rest = after;
    }
    replaced.push_str(rest);
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn launched(command: &str, name: &str) -> String {
        let mut record = Session::with("n", "/w x", "safe", "u".into(), Timestamp::ZERO);
        record.name = name.into();
        let words = shell_words::split(command).unwrap();
        match launch_command(&words, &record) {
            Ok(words) => words.join("|"),
            Err(name) => format!("not with {name}"),
        }
    }

    #[test]
    fn what_may_come_to_a_shell_gets_no_value_that_is_something_to_it() {
        for script in [
            r#"sh -c 'x "$ROSTER_SESSION"'"#,
            r#"bash -lc -- 'x "${ROSTER_SESSION}"'"#,
            "rbash -c +x $ROSTER_SESSION;",
            "fish --command='x $ROSTER_SESSION'",
            "zsh -c a/$ROSTER_SESSION",
            "env nice su -c a/$ROSTER_SESSION",
            "sh -c $ROSTER_SESSION",
            "env bash -lc $ROSTER_SESSION",
            "bash -c -O extglob $ROSTER_SESSION",
            "newsh -c $ROSTER_SESSION",
            "watch -n 5 x $ROSTER_SESSION",
            r#"python3 -c 'print("$ROSTER_SESSION")'"#,
            r#"sh -c 'eval "$1"' x 'x $ROSTER_SESSION'"#,
        ] {
            let as_it_is = shell_words::split(script).unwrap().join("|");
            for hostile in
                ["$(reboot)", "a b", "a;b", "\"", "'", "a\nb", "~", "*", "#", "\\", "a`b`", "=ls"]
            {
                assert_eq!(launched(script, hostile), as_it_is, "{hostile}");
            }
            let harmless = as_it_is.replace("${ROSTER_SESSION}", "$ROSTER_SESSION");
            let harmless = harmless.replace("$ROSTER_SESSION", "a-1.é");
            assert_eq!(launched(script, "a-1.é"), harmless);
        }
    }

    #[test]
    fn another_machine_gets_no_value_that_its_shell_would_take_apart() {
        for command in ["ssh host x -t", "env autossh host 'x' ", "/usr/bin/mosh host --"] {
            let command = format!("{command} $ROSTER_SESSION $ROSTER_UUID");
            assert_eq!(launched(&command, "a b"), "not with ROSTER_SESSION");
            assert!(launched(&command, "a").ends_with("|a|u"));
        }
        assert_eq!(launched("ssh host x $ROSTER_UUID", "a b"), "ssh|host|x|u");
    }

    #[test]
    fn only_our_own_variables_are_expanded_and_a_plain_program_gets_any_value() {
        let name = "a $ROSTER_UUID;";
        assert_eq!(launched("x $ROSTER_UUID", name), "x|u");
        assert_eq!(launched("x${ROSTER_MODE}y$ROSTER_WORKDIR/z", name), "xsafey/w x/z");
        assert_eq!(launched("x --name=$ROSTER_SESSION", name), format!("x|--name={name}"));
        assert_eq!(
            launched("sh -c 'x \"$1\"' x $ROSTER_SESSION", name),
            format!("sh|-c|x \"$1\"|x|{name}")
        );
        for word in ["push", "./x.sh", "~/.ssh", "stash", "refresh"] {
            let command = format!("x {word} --dir=$ROSTER_SESSION/y");
            assert_eq!(launched(&command, name), format!("x|{word}|--dir={name}/y"));
        }
        let others = "x $ROSTER_UUIDS $HOME $ ${ROSTER_UUID $(x)";
        assert_eq!(launched(others, name), others.replace(' ', "|"));
    }
}
