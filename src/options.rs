//! The user's options in one table: names, defaults, and who reads them. README has the same.

/// Who reads an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// Each sync, in its one question to tmux: `Settings` of `config.rs`.
    Sync,
    /// Loading the plugin, which binds the key, and tells the jobs of hooks.
    Load,
    /// The notice of what was lost.
    Notice,
    /// The picker.
    Picker,
    /// A look at windows.
    Windows,
    /// Making a session, for its mode: the option's name ends with that.
    Restore,
    /// plugin.tmux and scripts/install, which get the program.
    Scripts,
}

/// An option of the user's.
#[derive(Debug, Clone, Copy)]
pub struct UserOption {
    /// Its name; of those for a mode what stands before it.
    pub name: &'static str,
    /// What holds where it is not set; empty where there is nothing.
    pub default: &'static str,
    /// Who reads it.
    pub reader: Reader,
}

/// All of them.
pub const TABLE: [UserOption; 28] = [
    row("@roster-binary", "", Reader::Scripts),
    row("@roster-install", "download", Reader::Scripts),
    row("@roster-release-url", "", Reader::Scripts),
    row("@roster-default-mode", "safe", Reader::Sync),
    row("@roster-modes", "safe yolo", Reader::Sync),
    row("@roster-command-", "", Reader::Restore),
    row("@roster-again-", "", Reader::Restore),
    row("@roster-ignore", "", Reader::Sync),
    row("@roster-restore", "off", Reader::Sync),
    row("@roster-notice", "on", Reader::Notice),
    row("@roster-projects", "", Reader::Picker),
    row("@roster-windows", "on", Reader::Windows),
    row("@roster-closed-windows", "on", Reader::Windows),
    row("@roster-programs", "vi vim nvim emacs nano less more man tail top htop", Reader::Windows),
    row("@roster-resume-", "", Reader::Restore),
    row("@roster-lost-days", "30", Reader::Sync),
    row("@roster-closed-limit", "50", Reader::Sync),
    row("@roster-health-interval", "60", Reader::Sync),
    row("@roster-history", "on", Reader::Load),
    row("@roster-on-created", "", Reader::Sync),
    row("@roster-on-attached", "", Reader::Sync),
    row("@roster-on-renamed", "", Reader::Sync),
    row("@roster-on-closed", "", Reader::Sync),
    row("@roster-on-lost", "", Reader::Sync),
    row("@roster-on-restored", "", Reader::Sync),
    row("@roster-pick-key", "G", Reader::Load),
    row("@roster-menu-key", "A", Reader::Load),
    row("@roster-reopen-key", "B", Reader::Load),
];

const fn row(name: &'static str, default: &'static str, reader: Reader) -> UserOption {
    UserOption { name, default, reader }
}

/// What holds where an option is not set.
pub fn default(name: &str) -> &'static str {
    TABLE.iter().find(|option| option.name == name).map_or("", |option| option.default)
}

/// The names of those with this reader.
pub fn read_by(reader: Reader) -> impl Iterator<Item = &'static str> {
    TABLE.iter().filter(move |option| option.reader == reader).map(|option| option.name)
}
