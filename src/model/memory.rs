//! What is remembered beside the registry: the server and its sessions as last seen, and the
//! sessions that were closed. Losing either costs convenience, never a record of the registry
//! (FORMAT.md, "Files beside it").

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use super::host::Host;
use super::name::is_given_by_tmux;
use super::policy::Policy;
use super::session::Session;
use super::snapshot::{ServerId, SessionId};
use super::time::Timestamp;
use crate::sorted::{Map, Set};

/// The version of both files.
pub const MEMORY_VERSION: u32 = 1;

/// The memory of the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The version of this file.
    pub version: u32,
    /// The server that the rest is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// The host that it runs on; `None` until somebody noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// When its process started, as the system of that host counts it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// Which folder its socket is in, on that host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sockets: Option<String>,
    /// Servers of this host that still run, though another stands behind their socket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable: Vec<Unreachable>,
    /// The sessions that it was last seen to have.
    #[serde(default)]
    pub sessions: Map<SessionId, Known>,
    /// When it was last seen, to a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Timestamp>,
    /// Whether the clock had jumped so far since then that lost sessions would be too old at once:
    /// nothing ages until another server starts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub leapt: bool,
    /// Since when each lost record is lost, by UUID.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub lost_since: Map<String, Timestamp>,
    /// Names and directories that are not UTF-8, by UUID.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub exact: Map<String, Exact>,
    /// Those that were restored elsewhere since their directory was gone, by UUID: it may only have
    /// been a disk that was not there.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub displaced: Map<String, Displaced>,
    /// Those that tmux had numbered, and whose number was taken while they were lost, by UUID.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub numbered: Map<String, Numbered>,
    /// Sessions that the user told us to forget while they live, with the name at that time.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub untracked: Map<SessionId, String>,
    /// When the second look at a close is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
    /// Whether it is still to be found out what was lost with the server before this one and is to
    /// be restored by itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore_due: bool,
    /// The UUIDs of those that were found and not yet tried. Each is tried once: one that ends at
    /// once, or that the user kills meanwhile, is not made again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_restore: Vec<String>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            version: MEMORY_VERSION,
            server: None,
            host: None,
            started: None,
            sockets: None,
            unreachable: Vec::new(),
            sessions: Map::new(),
            seen: None,
            leapt: false,
            lost_since: Map::new(),
            exact: Map::new(),
            displaced: Map::new(),
            numbered: Map::new(),
            untracked: Map::new(),
            look_at: None,
            restore_due: false,
            to_restore: Vec::new(),
        }
    }
}

impl Memory {
    /// Notes that the server still runs, though another answers now.
    pub fn leave_running(&mut self) {
        let sessions = std::mem::take(&mut self.sessions).into_values();
        let uuids = sessions.filter(|known| !known.clone).map(|known| known.uuid).collect();
        let started = self.started.take();
        if let Some(server) = self.server.take() {
            self.unreachable.push(Unreachable { server, started, uuids });
        }
    }

    /// Notes that the server was seen, and whether the clock leapt since the last time.
    pub fn note_seen(&mut self, is_new: bool, policy: &Policy, now: Timestamp) {
        let leaps = self.seen.is_some_and(|seen| policy.is_too_old(seen, now));
        self.leapt = leaps || self.leapt && !is_new;
        if is_new || !self.was_seen_today(now) {
            self.seen = Some(now);
        }
    }

    /// Whether it was seen within a day.
    pub fn was_seen_today(&self, now: Timestamp) -> bool {
        self.seen.is_some_and(|seen| now.seconds_since(seen).abs() <= 86_400.0)
    }

    /// The id of a live session.
    pub fn id_of(&self, uuid: &str) -> Option<SessionId> {
        self.sessions.iter().find(|(_, known)| known.uuid == uuid).map(|(id, _)| *id)
    }

    /// The UUIDs of the sessions that live, those out of reach among them.
    pub fn living(&self) -> impl Iterator<Item = &str> {
        let here = self.sessions.values().map(|known| known.uuid.as_str());
        here.chain(self.unreachable.iter().flat_map(|s| s.uuids.iter().map(String::as_str)))
    }

    /// Whether a session lives in a server that cannot be reached.
    pub fn is_unreachable(&self, uuid: &str) -> bool {
        self.unreachable.iter().any(|server| server.uuids.contains(uuid))
    }

    /// Whether `directory` is the one that a session was in before it was displaced.
    pub fn is_where_it_belongs(&self, session: &Session, directory: &str) -> bool {
        let displaced = self.displaced.get(&session.uuid);
        displaced.is_some_and(|d| d.to == session.workdir && d.from == directory)
    }
}

/// A server that runs and cannot be reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unreachable {
    /// Which.
    pub server: ServerId,
    /// When its process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<u64>,
    /// The UUIDs of its sessions, which live: they are neither lost, nor to be made again.
    pub uuids: Set<String>,
}

/// A session as last seen, and what tmux was last told of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Known {
    /// Its UUID.
    pub uuid: String,
    /// The name that tmux was told in `ROSTER_SESSION`.
    pub name: String,
    /// The mode that registry and tmux last agreed on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mode: String,
    /// The health that tmux was last told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub health: String,
    /// Whether it is a clone: a member of a session group that is not the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clone: bool,
    /// How often the stamp was delivered; 0 while nothing was.
    #[serde(default)]
    pub stamps: u8,
    /// What the stamp showed when it was last put in place: if it shows that again, a window or
    /// pane option masks it, and stamping once more would not help.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stamped_over: String,
    /// Whether its own `destroy-unattached` is off until a client has been there: tmux would end what
    /// we made before anybody could come to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spared: bool,
    /// Whether it is one that tmux numbered, and had several windows at some time: more than a start of
    /// tmux.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grown: bool,
}

/// The names of a session that tmux had numbered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Numbered {
    /// Its number.
    pub own: String,
    /// The name that it has instead. Renaming the session drops this.
    pub given: String,
    /// Whether it had several windows at some time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grown: bool,
}

/// Where a session belongs that was restored elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Displaced {
    /// The directory that was gone.
    pub from: String,
    /// The one that took its place. Who leaves it has settled somewhere else.
    pub to: String,
}

/// The exact bytes, in hexadecimal, of what is not UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Exact {
    /// Of the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Of the working directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
}

/// The list of closed sessions, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Closed {
    /// The version of this file.
    pub version: u32,
    /// The sessions.
    #[serde(default)]
    pub closed: Vec<ClosedSession>,
}

impl Default for Closed {
    fn default() -> Self {
        Closed { version: MEMORY_VERSION, closed: Vec::new() }
    }
}

/// A session that was closed, with all that is needed to reopen it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClosedSession {
    /// Its record as it last was.
    pub session: Session,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// While the close is not yet believed: the server that has to outlive it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unproven: Option<ServerId>,
    /// Whether nobody closed it: it was lost, and another took its name.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub set_aside: bool,
}

impl Closed {
    /// Puts a record at the head of the list; an older entry of the same UUID goes.
    pub fn push(&mut self, entry: ClosedSession) {
        self.take(&entry.session.uuid);
        self.closed.insert(0, entry);
    }

    /// Puts an entry back where it was: the list is newest first.
    pub fn put_back(&mut self, entry: ClosedSession) {
        let at = self.closed.iter().position(|other| other.closed_at < entry.closed_at);
        self.closed.insert(at.unwrap_or(self.closed.len()), entry);
    }

    /// As [`Closed::push`] for many, one after the other.
    pub fn push_all(&mut self, entries: Vec<ClosedSession>) {
        let new: HashSet<&str> = entries.iter().map(|entry| entry.session.uuid.as_str()).collect();
        self.closed.retain(|entry| !new.contains(entry.session.uuid.as_str()));
        self.closed.splice(0..0, entries.into_iter().rev());
    }

    /// Takes the entry with this UUID out.
    pub fn take(&mut self, uuid: &str) -> Option<ClosedSession> {
        let at = self.closed.iter().position(|entry| entry.session.uuid == uuid)?;
        Some(self.closed.remove(at))
    }

    /// Drops what is beyond `limit` and older than a day, oldest first. Those of one name and
    /// directory count as one, and passing ones by themselves.
    pub fn trim(&mut self, limit: usize, now: Timestamp) {
        let mut kept = self.kept(limit, now).into_iter();
        self.closed.retain(|_| kept.next().unwrap_or(true));
    }

    /// Whether nothing is to be dropped.
    pub fn is_trimmed(&self, limit: usize, now: Timestamp) -> bool {
        self.closed.len() <= limit || self.kept(limit, now).into_iter().all(|kept| kept)
    }

    fn kept(&self, limit: usize, now: Timestamp) -> Vec<bool> {
        const DAY: f64 = 86_400.0;
        let mut rows: HashMap<(&str, &str), usize> = HashMap::new();
        let (mut lasting, mut passing) = (0, 0);
        let mut are_kept = Vec::with_capacity(self.closed.len());
        for entry in &self.closed {
            let of_row = rows.entry(entry.row()).or_default();
            let kept = if entry.is_passing() { &mut passing } else { &mut lasting };
            *kept += usize::from(*of_row == 0);
            *of_row += 1;
            // What is listed as one must not grow for ever either.
            let is_within = *kept <= limit && *of_row <= limit;
            let is_new = now.seconds_since(entry.closed_at) < DAY;
            are_kept.push(is_within || is_new || entry.unproven.is_some());
        }
        are_kept
    }
}

impl ClosedSession {
    /// One that somebody closed for certain.
    pub fn new(session: Session, closed_at: Timestamp) -> ClosedSession {
        ClosedSession { session, closed_at, unproven: None, set_aside: false }
    }

    /// What those that are listed as one have in common.
    pub fn row(&self) -> (&str, &str) {
        (&self.session.name, &self.session.workdir)
    }

    /// Whether tmux numbered it and it was gone within a minute: what starts tmux and then makes
    /// sessions of its own leaves such ones.
    pub fn is_passing(&self) -> bool {
        let lived = self.closed_at.seconds_since(self.session.created_at);
        is_given_by_tmux(&self.session.name) && (0.0..60.0).contains(&lived)
    }
}

impl Exact {
    /// The name of `session`, byte for byte.
    pub fn name_of(exact: Option<&Exact>, session: &Session) -> Vec<u8> {
        // Of two that look the same, one has a suffix.
        let is_shown = |shown: &str| session.name.starts_with(shown);
        bytes_of(exact.and_then(|exact| exact.name.as_deref()), &session.name, is_shown)
    }

    /// Its working directory, byte for byte.
    pub fn workdir_of(exact: Option<&Exact>, session: &Session) -> Vec<u8> {
        let is_shown = |shown: &str| session.workdir == shown;
        bytes_of(exact.and_then(|exact| exact.workdir.as_deref()), &session.workdir, is_shown)
    }
}

/// What is remembered of a text, if it is still the text of these bytes: somebody may have
/// changed it since.
fn bytes_of(hex: Option<&str>, text: &str, is_shown: impl Fn(&str) -> bool) -> Vec<u8> {
    hex.and_then(from_hex)
        .filter(|bytes| is_shown(&String::from_utf8_lossy(bytes)))
        .unwrap_or_else(|| text.as_bytes().to_vec())
}

/// Bytes as hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Hexadecimal digits as bytes.
pub fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
