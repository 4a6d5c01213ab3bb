//! What doctor says of the user's options beyond what a sync reads of them: names that are nobody's,
//! and values that cannot work. Asks tmux nothing.

use std::path::Path;

use tmux_roster::config::{OPTIONS, is_program};
use tmux_roster::options::{Reader, TABLE, read_by};
use tmux_roster::tmux::status::{STATUS, bare_name, replace};

use crate::commands::output::to_paste;
use crate::commands::projects;
use crate::commands::target::distance;

/// What the option of a mode's launch profile begins with.
pub const COMMAND: &str = "@roster-command-";

/// What the options begin with whose names end with a mode or a program, and whose values are
/// commands.
pub fn commands() -> Vec<&'static str> {
    read_by(Reader::Restore).collect()
}

/// How many letters a name may be away from the one that was meant.
const NEAR: usize = 2;

/// Something that is wrong, and what to do.
type Complaint = (String, String);

/// The names of the options of the user that `show-options -g` printed: each stands at the
/// beginning of a line, since every version prints a value on one, a newline in it as `\n`.
pub fn names(listed: &str) -> Vec<&str> {
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    names.filter(|name| name.starts_with('@')).collect()
}

/// A name that reads like an option of ours and is none.
pub fn misspelt(name: &str) -> Option<Complaint> {
    let plain = name.to_ascii_lowercase().replace('_', "-");
    let of = commands().into_iter().find_map(|start| name.strip_prefix(start));
    if !plain.starts_with("@roster-")
        || known().contains(&name)
        || of.is_some_and(|of| !of.is_empty())
    {
        return None;
    }
    // With `_` are those that the plugin sets itself, now or in another version.
    let near = if name.to_ascii_lowercase().starts_with("@roster_") { 0 } else { NEAR };
    // The word before the mode or the program may be the misspelt one.
    let of = plain.splitn(3, '-').nth(2).filter(|of| !of.is_empty());
    let mut options: Vec<String> = known().into_iter().map(str::to_owned).collect();
    for start in commands() {
        options.extend(of.map(|of| format!("{start}{of}")));
    }
    let meant = options.into_iter().map(|meant| (distance(&plain, &meant), meant)).min();
    let meant = meant.filter(|(distance, _)| *distance <= near).map(|(_, meant)| meant);
    if meant.is_none() && near == 0 {
        return None;
    }
    let (hint, change) = match meant {
        Some(meant) => (format!(": did you mean {meant}?"), "rename it in"),
        None => (String::new(), "remove it from"),
    };
    Some((
        format!("{name} is not a tmux-roster option{hint}"),
        format!("{change} tmux.conf, then run: tmux set -gu {}", to_paste(name)),
    ))
}

/// All but those of modes and programs.
fn known() -> Vec<&'static str> {
    let ours = TABLE.iter().filter(|option| option.reader != Reader::Restore);
    // What a sync asks for of other plugins' is no option of ours, and no mistake either.
    ours.map(|option| option.name).chain(OPTIONS).collect()
}

/// A format of tmux's own in which a name of ours has lost its `@`, in a line of `show-options -g`.
pub fn blank(line: &str) -> Option<Complaint> {
    let (option, value) = line.split_once(' ').filter(|(option, _)| !option.starts_with('@'))?;
    let is_mended = STATUS.contains(&option);
    let name = bare_name(&if is_mended { replace(value) } else { value.to_owned() })?;
    let found = format!("{name} in {option} is blank: tmux knows it as @{name}");
    Some((found, format!("write @{name} there")))
}

/// A value that no sync reads and that cannot work.
pub fn of_others(name: &str, value: &str, home: Option<&Path>) -> Option<Complaint> {
    let found = match name {
        "@roster-notice" | "@roster-history" if !matches!(value, "" | "on" | "off") => {
            format!("{name} is {value:?}, not on or off: using on")
        }
        "@roster-install" if !matches!(value, "" | "download" | "build" | "none") => {
            format!("{name} is {value:?}, not download, build or none: using download")
        }
        "@roster-projects" => format!("{name} {}", projects::complaint(value)?),
        "@roster-binary" if !value.is_empty() => {
            // As plugin.tmux does.
            let path = match (value.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ => value.into(),
            };
            let is_elsewhere = path.is_relative() && value.contains('/');
            if is_elsewhere || path.is_absolute() && is_program(&path) {
                return None;
            }
            format!("{name} is {value:?}, which is not a program: not used")
        }
        _ => return None,
    };
    Some((found, "fix it in tmux.conf".into()))
}

/// A command that is started without a shell, and cannot be, given the server's PATH.
pub fn command(name: &str, value: &str, path: Option<&str>) -> Option<Complaint> {
    let words = match shell_words::split(value) {
        Ok(words) => words,
        Err(error) => {
            let found = format!("{name} cannot be split into words: {error}");
            return Some((found, "fix it in tmux.conf".into()));
        }
    };
    let program = words.first()?;
    if program.starts_with("~/") {
        let found = format!("{name} starts {program:?}, but ~ is not expanded here");
        return Some((found, "write the full path in tmux.conf".into()));
    }
    // Our variables are not known yet.
    if program.contains('$') {
        return None;
    }
    let found = match (program.starts_with('/'), path) {
        (true, _) if is_program(Path::new(program)) => return None,
        (true, _) => format!("{name} starts {program:?}, which is not a program"),
        (false, Some(path)) if !program.contains('/') => {
            if path.split(':').any(|folder| is_program(&Path::new(folder).join(program))) {
                return None;
            }
            format!("{name} starts {program:?}, which is not in the PATH of the tmux server")
        }
        _ => return None,
    };
    Some((found, "put an executable there (chmod +x), or fix it in tmux.conf".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_inside_a_value_is_no_name() {
        let listed = "@a \"x\\n@b y\"\n@empty \n@c ''\nbase-index 0\n";
        assert_eq!(names(listed), ["@a", "@empty", "@c"]);
    }
}
