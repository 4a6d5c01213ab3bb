//! What sessions are made of: windows and panes as last seen, what vanished from them, and the
//! windows that were closed (FORMAT.md, "Files beside it").

mod note;

use std::cmp::Reverse;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::layout::Layout;
use super::memory::to_hex;
use super::snapshot::{PaneId, ServerId};
use super::time::Timestamp;
use crate::sorted::{Map, sort_by_key};

pub use note::{Seen, SeenWindow, note};

/// The version of the file.
pub const WINDOWS_VERSION: u32 = 1;

/// What the sessions of a registry are made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// The version of this file.
    pub version: u32,
    /// The server that was last asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// By UUID, what each session is made of.
    #[serde(default)]
    pub sessions: Map<String, Arrangement>,
    /// When a pane, a window or a session of that server last vanished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_loss: Option<Timestamp>,
    /// When the look is due by which losses are believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look_at: Option<Timestamp>,
    /// The windows whose layout was not understood, by the numbers of their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<u32>,
    /// The closed windows, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closed: Vec<ClosedWindow>,
}

impl Default for Windows {
    fn default() -> Self {
        Windows {
            version: WINDOWS_VERSION,
            server: None,
            sessions: Map::new(),
            last_loss: None,
            look_at: None,
            refused: Vec::new(),
            closed: Vec::new(),
        }
    }
}

/// A window of any server: the server's process and start, and the number of the window's id.
pub type Was = (u32, i64, u32);

/// Which window it was.
pub fn was(server: ServerId, id: u32) -> Was {
    (server.pid, server.start_time, id)
}

/// What one session is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arrangement {
    /// The server whose ids these are.
    pub server: ServerId,
    /// Whether the session was there when that server was last asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub here: bool,
    /// Its windows, by index.
    #[serde(deserialize_with = "without_spare_room")]
    pub windows: Vec<Window>,
    /// Windows that vanished, until the server has outlived that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vanished: Vec<Vanished>,
    /// Windows that did not come back when the session did, for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<Missing>,
    /// Whether we have brought the windows back, and nobody has looked since: all but the missing
    /// ones are there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// Since when there is no record of the session: it may come back from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphan_since: Option<Timestamp>,
}

/// A window that did not come back with its session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Missing {
    /// Since when the session is there without it.
    pub since: Timestamp,
    /// The server that it was on.
    pub server: ServerId,
    /// What it was.
    pub window: Window,
}

impl Missing {
    fn was(&self) -> Was {
        was(self.server, self.window.id)
    }
}

/// A window of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// The number in its id, `@3`. Of a window that is in two sessions it is the same in both.
    pub id: u32,
    /// Its index in the session.
    pub index: u32,
    /// The one it had before others vanished and tmux numbered the windows anew (`renumber-windows`), until
    /// the server has outlived that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index_before: Option<u32>,
    /// Its name, unless tmux names it by itself (`automatic-rename`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Bytes>,
    /// How its panes are laid out; `None` if tmux's words for it were not understood, or where these
    /// panes never shared it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Whether it is the session's current one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// Whether it was the current one before that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// Whether its active pane is zoomed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zoomed: bool,
    /// Whether what is typed goes to all its panes (`synchronize-panes`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub synchronized: bool,
    /// Whether it was made for a command, and not for a shell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub command: bool,
    /// When it was first seen.
    pub since: Timestamp,
    /// Its panes, in the order of the layout's cells.
    #[serde(deserialize_with = "without_spare_room")]
    pub panes: Vec<Pane>,
    /// What it was before panes of it vanished, until the server has outlived that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuller: Option<Fuller>,
}

/// A pane of a window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pane {
    /// Its id.
    pub id: PaneId,
    /// The directory of its shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Bytes>,
    /// The one it had, if that was gone when the pane came back, as long as it stays where it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub belongs: Option<Bytes>,
    /// Its title, as last seen with a shell, or a program of the user's lists, in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Bytes>,
    /// Whether it is the window's active one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub active: bool,
    /// The program in front, word by word, if the user's options name it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub program: Vec<Bytes>,
    /// What they call it, if not by the first word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<String>,
}

impl Pane {
    /// The directory that it is to start in.
    pub fn starts_in(&self) -> Option<&Bytes> {
        self.belongs.as_ref().or(self.directory.as_ref())
    }

    /// What the user's options call the program in front.
    pub fn called(&self) -> Option<String> {
        self.called.clone().or_else(|| {
            let first = &self.program.first()?.0;
            let name = first.rsplit(|byte| *byte == b'/').next()?;
            String::from_utf8(name.to_vec()).ok()
        })
    }
}

/// A window as it was before panes of it vanished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fuller {
    /// When they did.
    pub vanished_at: Timestamp,
    /// The layout then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Whether the active pane was zoomed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zoomed: bool,
    /// The panes then.
    pub panes: Vec<Pane>,
}

/// A window that vanished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vanished {
    /// When it did.
    pub vanished_at: Timestamp,
    /// What it was.
    pub window: Window,
}

/// A window that was closed while its server and its session lived on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClosedWindow {
    /// The UUID of its session.
    pub session: String,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// The server that it was closed on.
    pub server: ServerId,
    /// What it was.
    pub window: Window,
}

impl Windows {
    /// All windows that were closed in sessions, those that vanished a moment ago from one that is
    /// here among them, newest first.
    pub fn all_closed(&self) -> Vec<ClosedWindow> {
        let is_orphan = |uuid| self.sessions.get(uuid).is_some_and(|a| a.orphan_since.is_some());
        let of_all = self.closed.iter();
        let mut closed: Vec<ClosedWindow> =
            of_all.filter(|entry| !is_orphan(&entry.session)).cloned().collect();
        for (uuid, arrangement) in self.sessions.iter().filter(|(_, a)| a.here) {
            closed.extend(arrangement.vanished.iter().map(|vanished| ClosedWindow {
                session: uuid.clone(),
                closed_at: vanished.vanished_at,
                server: arrangement.server,
                window: vanished.window.whole(),
            }));
            closed.extend(arrangement.missing_of(uuid));
        }
        // Of those that went together the first one comes back first.
        sort_by_key(&mut closed, |entry| (Reverse(entry.closed_at), entry.window.index));
        closed
    }

    /// Takes out a closed window that came back, in its session and in those that are here.
    pub fn forget_closed(&mut self, back: &ClosedWindow) {
        let is_here = |uuid: &String, arrangement: Option<&Arrangement>| {
            *uuid == back.session || arrangement.is_some_and(|arrangement| arrangement.here)
        };
        let is_back = |entry: &ClosedWindow| {
            entry.was() == back.was() && is_here(&entry.session, self.sessions.get(&entry.session))
        };
        self.closed.retain(|entry| !is_back(entry));
        for (uuid, arrangement) in self.sessions.iter_mut() {
            if is_here(uuid, Some(arrangement)) {
                let Arrangement { server, vanished, missing, .. } = arrangement;
                vanished.retain(|vanished| was(*server, vanished.window.id) != back.was());
                missing.retain(|missing| missing.was() != back.was());
            }
        }
    }

    /// Takes over what waits for a closed window that came back, with this id. Sessions of this server that
    /// are gone had it, too: with them it is linked.
    pub fn take_over(&mut self, back: &ClosedWindow, server: ServerId, id: u32) {
        for arrangement in self.sessions.values_mut().filter(|a| a.server == server) {
            let vanished = arrangement.vanished.iter_mut().map(|vanished| &mut vanished.window);
            for window in arrangement.windows.iter_mut().chain(vanished) {
                if window.id == id {
                    window.keep_waiting(&back.window);
                } else if !arrangement.here && was(server, window.id) == back.was() {
                    window.id = id;
                }
            }
        }
    }

    /// Whether a window of one session stands in another as well, by the ids of that server.
    pub fn is_linked(&self, closed: &ClosedWindow) -> bool {
        let mut others = self.sessions.iter().filter(|(uuid, _)| **uuid != closed.session);
        others.any(|(_, arrangement)| {
            let Arrangement { server, windows, missing, .. } = arrangement;
            windows.iter().any(|window| was(*server, window.id) == closed.was())
                || missing.iter().any(|missing| missing.was() == closed.was())
        })
    }

    /// The windows that did not come back with a session that lives again.
    pub fn missing_of(&self, uuid: &str) -> Vec<ClosedWindow> {
        let arrangement = self.sessions.get(uuid).filter(|arrangement| arrangement.here);
        arrangement.map_or_else(Vec::new, |arrangement| arrangement.missing_of(uuid).collect())
    }

    /// How many windows a session that lives on this server has lost with the server before.
    pub fn count_missing(&self, uuid: &str, server: ServerId) -> usize {
        self.sessions.get(uuid).map_or(0, |arrangement| {
            match arrangement.here && arrangement.server == server {
                true => arrangement.missing.len(),
                false if arrangement.back => 0,
                // Nobody has looked yet at what it has instead: one, as it was made a moment ago.
                false => arrangement.to_bring_back().len().saturating_sub(1),
            }
        })
    }
}

impl ClosedWindow {
    /// Which window it was, in whatever session.
    pub fn was(&self) -> Was {
        was(self.server, self.window.id)
    }

    /// Whether it is what people miss: it was there for a while, and was made for a shell.
    pub fn is_missed(&self) -> bool {
        let lived = self.closed_at.seconds_since(self.window.since);
        lived >= 10.0 && !self.window.command
    }
}

impl Arrangement {
    /// A session as it stands on that server.
    pub fn standing(server: ServerId, windows: Vec<Window>) -> Arrangement {
        let (vanished, missing) = (Vec::new(), Vec::new());
        let (here, back, orphan_since) = (true, false, None);
        Arrangement { server, here, windows, vanished, missing, back, orphan_since }
    }

    fn missing_of(&self, uuid: &str) -> impl Iterator<Item = ClosedWindow> {
        self.missing.iter().map(move |missing| ClosedWindow {
            session: uuid.to_owned(),
            closed_at: missing.since,
            server: missing.server,
            window: missing.window.clone(),
        })
    }

    /// The windows that come back with the session: those that it has, with all panes that were not
    /// yet believed to be closed, those that vanished like that, and those that did not come back the
    /// last time, by index.
    pub fn to_bring_back(&self) -> Vec<Window> {
        self.with_servers().into_iter().map(|(_, window)| window).collect()
    }

    /// The same, each with the server that its ids are of.
    pub fn with_servers(&self) -> Vec<(ServerId, Window)> {
        let own = self.windows.iter().map(|window| (self.server, window.whole()));
        let mut windows: Vec<(ServerId, Window)> = own.collect();
        windows.iter_mut().for_each(|(_, window)| window.number_back());
        let vanished = self.vanished.iter().map(|vanished| (self.server, &vanished.window));
        let missing = self.missing.iter().map(|missing| (missing.server, &missing.window));
        // Where the current window went, tmux chose the one before: first come those that went, as they
        // did, and then the one that is the current one now.
        let went = self.vanished.iter().filter(|vanished| vanished.window.active);
        let first = went.clone().next();
        let current = self.windows.iter().find(|window| window.active);
        let mut chosen = went.map(|gone| gone.window.id).chain(current.map(|w| w.id));
        // One that went before them was no longer the one before.
        let mut last = self.vanished.iter().find(|vanished| vanished.window.last);
        last = last.filter(|last| first.is_none_or(|first| last.vanished_at <= first.vanished_at));
        // As recorded: one that goes to another index below is not that index's.
        let mut recorded = Vec::new();
        for (server, window) in vanished.chain(missing) {
            let mut window = window.whole();
            window.number_back();
            let is_own = server == self.server && self.windows.iter().any(|w| w.id == window.id);
            let entry = (server, window.clone());
            if is_own || recorded.contains(&entry) {
                continue;
            }
            recorded.push(entry);
            window.active &= windows.iter().all(|(_, other)| !other.active);
            window.last &= windows.iter().all(|(_, other)| !other.last);
            // Another may have come in its place.
            while windows.iter().any(|(_, other)| other.index == window.index) {
                window.index = window.index.wrapping_add(1);
            }
            windows.push((server, window));
        }
        if first.is_some() || last.is_some() {
            let (active, next) = (chosen.next(), chosen.next());
            let last = last.map(|last| last.window.id).or(next);
            for (_, window) in windows.iter_mut().filter(|(server, _)| *server == self.server) {
                window.active = Some(window.id) == active;
                window.last = Some(window.id) == last;
            }
        }
        sort_by_key(&mut windows, |(_, window)| window.index);
        windows
    }

    /// Whether something of it is gone and not yet believed to be closed.
    pub fn is_unproven(&self) -> bool {
        !self.vanished.is_empty() || self.windows.iter().any(|window| window.fuller.is_some())
    }
}

impl Window {
    /// Gives it the index that it had before others vanished.
    fn number_back(&mut self) {
        self.index = self.index_before.take().unwrap_or(self.index);
    }

    /// With the panes that vanished and are not yet believed to be closed.
    pub fn whole(&self) -> Window {
        let mut window = Window { fuller: None, ..self.clone() };
        let Some(fuller) = &self.fuller else { return window };
        let new = |pane: &Pane| fuller.panes.iter().all(|before| before.id != pane.id);
        let new: Vec<Pane> = self.panes.iter().filter(|pane| new(pane)).cloned().collect();
        let find = |id: PaneId| self.panes.iter().find(|pane| pane.id == id);
        // Where the active pane went, tmux chose another.
        let chosen = fuller.panes.iter().find(|pane| pane.active && find(pane.id).is_none());
        // What lives is as it is now.
        let now =
            |before: &Pane| Pane { active: false, ..find(before.id).unwrap_or(before).clone() };
        let active = chosen.or(self.panes.iter().find(|pane| pane.active)).map(|pane| pane.id);
        window.zoomed |= fuller.zoomed && new.is_empty();
        window.layout = fuller.layout.clone().filter(|_| new.is_empty());
        window.panes = fuller.panes.iter().map(now).chain(new).collect();
        for pane in &mut window.panes {
            pane.active = Some(pane.id) == active;
        }
        window
    }
}

/// A list grows to four places at once, and most sessions have one window.
fn without_spare_room<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// Text of tmux's, which may not be UTF-8: a string, or else `{"hex": "ff"}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Bytes(bytes.to_vec())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Hex { hex: String },
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => Written::Hex { hex: to_hex(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Bytes(text.into_bytes())),
            Written::Hex { hex } => super::memory::from_hex(&hex)
                .map(Bytes)
                .ok_or_else(|| de::Error::custom("not hexadecimal digits")),
        }
    }
}
