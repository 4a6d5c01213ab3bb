//! The placeholders of the status line, `#{roster_mode}` and the like: replaced by the options that
//! sessions carry, so that showing them starts no process.

/// The options of tmux in which they are replaced.
pub const STATUS: [&str; 2] = ["status-left", "status-right"];

/// What stands after `roster_` in them.
const NAMES: [&str; 4] = ["mode", "health", "uuid", "lost"];

/// The command that puts back what others undid since the plugin was loaded: hooks and placeholders.
pub const PUT_BACK: &str = "run-shell -b \"#{@roster_program} load --status >/dev/null 2>&1 || :\"";

/// A value of such an option with the placeholders replaced.
pub fn replace(value: &str) -> String {
    NAMES.iter().fold(value.to_owned(), |text, name| {
        text.replace(&format!("#{{roster_{name}}}"), &format!("#{{@roster_{name}}}"))
    })
}

/// Which of the options, as `show-options` prints them among other things, has placeholders, which
/// show nothing: somebody set it after us.
pub fn with_placeholders(shown: &str) -> Option<&'static str> {
    let has = |option: &&str| {
        let value = |line: &str| Some(line.strip_prefix(option)?.strip_prefix(' ')?.to_owned());
        shown.lines().filter_map(value).any(|value| replace(&value) != value)
    };
    STATUS.into_iter().find(has)
}

/// The name of ours that a format has without its `@`, which so shows nothing, if it has one; those
/// that are replaced where they stand do not count.
pub fn bare_name(format: &str) -> Option<String> {
    let names = NAMES.map(|name| format!("roster_{name}"));
    let has = |name: &String| {
        let before = format.match_indices(name.as_str()).map(|(at, _)| &format[..at]);
        before.into_iter().any(|before| before.ends_with(['{', '?', ':', ',']))
    };
    names.into_iter().find(has)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_status_line_counts() {
        let shown = "session-created[0] display-message #{roster_mode}\nstatus-left \"#S\"\n";
        assert_eq!(with_placeholders(shown), None);
        let blank = format!("{shown}status-right \"#{{==:#{{roster_mode}},yolo}}\"\n");
        assert_eq!(with_placeholders(&blank), Some("status-right"));
        assert_eq!(with_placeholders(&replace(&blank)), None);
    }

    #[test]
    fn a_name_without_its_at_sign_is_found() {
        assert_eq!(bare_name("#{?roster_lost,x,}").as_deref(), Some("roster_lost"));
        assert_eq!(bare_name("#{?@roster_lost,x,} #{@roster_mode} roster_mode"), None);
    }
}
