//! What a version of tmux can do. The rest asks by what it needs, not by numbers.

/// What tmux calls its version, as far as it decides what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3 of 3.2a.
    pub major: u32,
    /// 2 of 3.2a.
    pub minor: u32,
}

impl Version {
    /// Reads `3.2a`, `next-3.8`, `tmux 3.3a`. What has no number (a build from the head of
    /// development, OpenBSD's) is taken as the newest.
    pub fn parse(text: &str) -> Version {
        let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
        let mut parts = digits.split('.').map(|part| {
            let end = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..end].parse().ok()
        });
        let newest = Version { major: u32::MAX, minor: 0 };
        if text.contains("openbsd") {
            return newest;
        }
        match (parts.next().flatten(), parts.next().flatten()) {
            (Some(major), Some(minor)) => Version { major, minor },
            _ => newest,
        }
    }

    /// Whether this is `major.minor` or newer.
    fn at_least(self, major: u32, minor: u32) -> bool {
        self >= Version { major, minor }
    }

    /// Whether it is one that we can work with.
    pub fn is_supported(self) -> bool {
        self.at_least(3, 0)
    }

    /// Whether it has popups, and menus in the centre.
    pub fn has_popups(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether `new-window` has `-b`.
    pub fn inserts_windows_before(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether variables of its environment can be hidden from programs, and set by a format.
    pub fn hides_environment(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether `new-window -n` takes the name as a format.
    pub fn expands_window_names(self) -> bool {
        self.at_least(3, 1)
    }

    /// Whether a title is stored with its control characters as `\t` and `\033`, and a backslash before
    /// others and `$x`.
    pub fn escapes_titles(self) -> bool {
        !self.at_least(3, 1)
    }

    /// Whether it dies where a session ends that has a zoomed window.
    pub fn dies_of_zoomed_sessions(self) -> bool {
        (self.major, self.minor) == (3, 4) || self.at_least(3, 8)
    }

    /// Whether it can start a job after some time (`run-shell -d`).
    pub fn delays_jobs(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether it tells the directory that a session was made in (`session_path`).
    pub fn tells_directories(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether it tells its configuration's files (`config_files`; 3.2 itself tells none), and can be
    /// asked for a format without a session.
    pub fn tells_config_files(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether hooks of windows stand among the options of windows, where each window can have its
    /// own, which hide the global ones.
    pub fn has_hooks_of_windows(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether window-linked and window-unlinked are hooks of windows: then the end of a session's last
    /// window is not told, since nothing has that window any more.
    pub fn has_links_among_windows(self) -> bool {
        (self.major, self.minor) == (3, 2)
    }

    /// Whether the layout of a window's only pane gives the window that size, too. Where it does not,
    /// the pane is left with a size of its own, and a client as large as the window does not mend it.
    pub fn resizes_by_lone_panes(self) -> bool {
        !self.at_least(3, 7)
    }

    /// Whether `new-session` takes variables for the first pane (`-e`).
    pub fn sets_environment_of_session(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether a key binding has a note (`bind-key -N`).
    pub fn notes_bindings(self) -> bool {
        self.at_least(3, 1)
    }

    /// Whether a name is stored with its control characters as `\t` and `\033`, and with two
    /// backslashes for one.
    pub fn escapes_names(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether a name is stored with nothing but its backslashes doubled.
    pub fn doubles_backslashes_alone(self) -> bool {
        self.at_least(3, 7)
    }

    /// Whether a name is stored with a backslash before `$`.
    pub fn escapes_dollars(self) -> bool {
        self.escapes_names() && !self.at_least(3, 5)
    }

    /// Whether `##[` in a format shows `#[`, and before that begins a style all the same.
    pub fn escapes_styles(self) -> bool {
        self.at_least(3, 2)
    }

    /// Whether it starts everything in its own directory, whatever directory it is told, once that
    /// is gone.
    pub fn clings_to_its_directory(self) -> bool {
        self.at_least(3, 7)
    }

    /// Whether it prints control bytes, and what is no UTF-8, as `\177` and the like.
    pub fn escapes_output(self) -> bool {
        matches!((self.major, self.minor), (3, 4 | 5))
    }

    /// Whether it prints a `$` before a letter as `\$`.
    pub fn prints_dollars_escaped(self) -> bool {
        (self.major, self.minor) == (3, 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_tmux_prints_them() {
        let v = |major, minor| Version { major, minor };
        assert_eq!(Version::parse("3.0a"), v(3, 0));
        assert_eq!(Version::parse("tmux 3.3a"), v(3, 3));
        assert_eq!(Version::parse("next-3.8"), v(3, 8));
        assert!(Version::parse("master").at_least(3, 2));
        assert!(Version::parse("openbsd-7.4").at_least(3, 2));
        assert!(!Version::parse("3.1c").at_least(3, 2));
        assert!(Version::parse("10.0").at_least(3, 2));
    }
}
