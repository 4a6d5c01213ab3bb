//! What tmux says lives, as values.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::time::Timestamp;

/// A session's id in tmux, `$3`: unique while its server lives, and the only way that we name
/// a session to tmux.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

impl SessionId {
    /// Reads `$3`.
    pub fn parse(text: &str) -> Option<SessionId> {
        number(text.strip_prefix('$')?).map(SessionId)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.0)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        SessionId::parse(&text).ok_or_else(|| de::Error::custom("not a session id"))
    }
}

/// A pane's id in tmux, `%3`: unique while its server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaneId(pub u32);

impl PaneId {
    /// Reads `%3`.
    pub fn parse(text: &str) -> Option<PaneId> {
        number(text.strip_prefix('%')?).map(PaneId)
    }
}

impl fmt::Display for PaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// A number in plain digits, without a sign.
fn number(digits: &str) -> Option<u32> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Which run of a server this is: a restarted server has another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerId {
    /// Its process id.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub start_time: i64,
}

/// Where the working directory of a session in a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Workdir {
    /// tmux's `session_path`.
    Known(Vec<u8>),
    /// Before tmux 3.2 there is no `session_path`: the active pane's directory, which follows
    /// `cd` and so counts for a new session only.
    Guess(Vec<u8>),
    /// Nobody knows.
    Unknown,
}

impl Workdir {
    /// The directory, wherever it comes from.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Workdir::Known(path) | Workdir::Guess(path) => Some(path),
            Workdir::Unknown => None,
        }
    }
}

/// One live session.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveSession {
    /// Its id.
    pub id: SessionId,
    /// Its name, byte for byte.
    pub name: Vec<u8>,
    /// Its working directory.
    pub workdir: Workdir,
    /// When tmux made it (whole seconds).
    pub created: Timestamp,
    /// When a client last came to it (whole seconds); `None` if never.
    pub last_attached: Option<Timestamp>,
    /// How many windows it has.
    pub windows: u32,
    /// What `#{@roster_uuid}` shows: its stamp, or what masks it.
    pub stamp: String,
    /// What `#{@roster_mode}` shows.
    pub mode: String,
    /// What `#{@roster_health}` shows.
    pub health: String,
    /// The session group; empty if it is in none.
    pub group: Vec<u8>,
    /// Whether the process of its active pane has ended (`remain-on-exit`).
    pub pane_dead: bool,
}

/// How the directory of a live session is spelled, and how that of a record is.
pub type Spellings = (Vec<u8>, Vec<u8>);

/// Everything that lives on one server at one moment: a complete answer, never part of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The server that answered.
    pub server: ServerId,
    /// Its sessions.
    pub sessions: Vec<LiveSession>,
    /// What the global option `@roster_lost` holds.
    pub lost_shown: String,
    /// Those that were found to lead to one directory.
    pub same_directories: Vec<Spellings>,
}

impl Snapshot {
    /// Whether these spellings were found to lead to one directory.
    pub fn is_one_directory(&self, live: &[u8], recorded: &[u8]) -> bool {
        self.same_directories.iter().any(|(one, other)| one == live && other == recorded)
    }
}
