//! What was meant by the name that was typed: looked up exactly, among what lives at that moment and
//! what is remembered.

use tmux_roster::model::memory::ClosedSession;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::is_uuid;
use tmux_roster::model::snapshot::{LiveSession, SessionId};
use tmux_roster::sorted::sort;
use tmux_roster::transaction::Sight;
use tmux_roster::{Session, StoreError};

use super::context::Failure;
use super::output::{name_to_paste, to_paste};

/// What names a session on the command line: its exact name, or else its UUID. Since anybody can
/// name a session like another's UUID, keys and menus say `uuid:` before it; tmux allows no colon
/// in a name.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The name, unless it was said that this is a UUID.
    pub name: Option<&'a str>,
    /// The UUID, if it is one.
    pub uuid: Option<&'a str>,
}

impl<'a> Target<'a> {
    pub fn parse(word: &'a str) -> Target<'a> {
        let uuid = |word: &'a str| Some(word).filter(|word| is_uuid(word));
        match word.strip_prefix("uuid:").and_then(uuid) {
            Some(uuid) => Target { name: None, uuid: Some(uuid) },
            None => Target { name: Some(word), uuid: uuid(word) },
        }
    }

    /// The first of its name, or else of its UUID.
    pub fn among<'s, T: Copy>(
        self,
        all: impl Iterator<Item = T>,
        session: impl Fn(T) -> &'s Session,
    ) -> Option<T> {
        let mut first = None;
        for one in all {
            let session = session(one);
            if Some(session.name.as_str()) == self.name {
                return Some(one);
            }
            if first.is_none() && Some(session.uuid.as_str()) == self.uuid {
                first = Some(one);
            }
        }
        first
    }
}

/// What [`Target`] takes for this session and no other.
pub fn by_uuid(session: &Session) -> String {
    format!("uuid:{}", session.uuid)
}

/// "session x not found", with the names that come near.
pub fn not_found(name: &str, known: &mut dyn Iterator<Item = &str>) -> Failure {
    let error = StoreError::NotFound(name.to_owned());
    let then = did_you_mean(name, known);
    let then = then.unwrap_or_else(|| "run roster list to see the sessions".into());
    format!("{error}: {then}").into()
}

/// A question for what was mistyped, with at most three words that come near to it.
pub fn did_you_mean(word: &str, known: &mut dyn Iterator<Item = &str>) -> Option<String> {
    let mut near: Vec<&str> = known.filter(|other| is_near(word, other)).take(3).collect();
    sort(&mut near);
    let near: Vec<_> = near.into_iter().map(to_paste).collect();
    let (last, others) = near.split_last()?;
    let others = if others.is_empty() { String::new() } else { others.join(", ") + " or " };
    Some(format!("did you mean {others}{last}?"))
}

/// Whether two names differ by a letter or two, or one begins or ends with the other.
fn is_near(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    if a.len() >= 2 && (b.contains(&a) || (b.len() >= 2 && a.contains(&b))) {
        return true;
    }
    let (length, other) = (a.chars().count(), b.chars().count());
    length.abs_diff(other) <= 2 && length <= 100 && distance(&a, &b) <= 2.min(length / 2)
}

/// How many letters have to be put in, taken out or replaced to make one of the other.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Where a session was found.
pub enum Found {
    Live(SessionId, Session),
    Lost(Session),
    Closed(ClosedSession),
    /// The record of one that lives and that we were told to leave alone.
    LeftAlone(ClosedSession, LiveSession),
}

impl Found {
    /// Its record.
    pub fn session(&self) -> &Session {
        match self {
            Found::Live(_, session) | Found::Lost(session) => session,
            Found::Closed(entry) | Found::LeftAlone(entry, _) => &entry.session,
        }
    }

    /// What people call it, even where a key gave its UUID.
    pub fn name(&self) -> &str {
        &self.session().name
    }
}

/// Looks a name up, or a UUID: live ones first, then lost, then the newest closed one.
pub fn find(world: &dyn Sight, name: &str) -> Result<Found, Failure> {
    find_known(world, name).unwrap_or_else(|| {
        let all = recorded(world.remembered());
        Err(not_found(name, &mut all.iter().map(|(session, _)| session.name.as_str())))
    })
}

/// The same; `None` if nothing is recorded by that name.
pub fn find_known(world: &dyn Sight, name: &str) -> Option<Result<Found, Failure>> {
    let remembered = world.remembered();
    let all = recorded(remembered);
    Some(Ok(match Target::parse(name).among(all.into_iter(), |(session, _)| session)? {
        (_, Some(entry)) => match left_alone(world, &entry.session.uuid) {
            Some(live) => Found::LeftAlone(entry.clone(), live.clone()),
            None => Found::Closed(entry.clone()),
        },
        (session, None) => match remembered.memory.id_of(&session.uuid) {
            Some(id) => Found::Live(id, session.clone()),
            None if remembered.memory.is_unreachable(&session.uuid) => {
                return Some(Err(out_of_reach(world, session)));
            }
            None => Found::Lost(session.clone()),
        },
    }))
}

/// Every record, that of a closed session with its entry.
fn recorded(remembered: &Remembered) -> Vec<(&Session, Option<&ClosedSession>)> {
    let recorded = remembered.registry.sessions.values().map(|session| (session, None));
    let closed = remembered.closed.closed.iter().map(|entry| (&entry.session, Some(entry)));
    recorded.chain(closed).collect()
}

/// What lives without being recorded, as after `forget --force`.
fn all_left_alone(world: &dyn Sight) -> impl Iterator<Item = &LiveSession> {
    let tracked = &world.remembered().memory.sessions;
    world.sessions().iter().filter(|session| !tracked.contains_key(&session.id))
}

pub fn left_alone<'a>(world: &'a dyn Sight, uuid: &str) -> Option<&'a LiveSession> {
    all_left_alone(world).find(|session| session.stamp == uuid)
}

pub fn named_left_alone<'a>(world: &'a dyn Sight, name: &str) -> Option<&'a LiveSession> {
    all_left_alone(world).find(|session| session.name == name.as_bytes())
}

/// What is said of a session whose server runs while another answers in its place.
pub fn out_of_reach(world: &dyn Sight, session: &Session) -> Failure {
    let servers = &world.remembered().memory.unreachable;
    let server = servers.iter().find(|server| server.uuids.contains(&session.uuid));
    let pid = server.map_or(0, |server| server.server.pid);
    let name = name_to_paste(&session.name);
    format!(
        "session {:?} is live in a tmux server whose socket is gone (process {pid}): once this server \
         has exited, run roster doctor --fix to reach it; or run roster restore --force {name} to \
         create another",
        session.name
    )
    .into()
}

pub fn lives_left_alone(name: &str, live: &LiveSession) -> Failure {
    let now = String::from_utf8_lossy(&live.name);
    let now = if now == name { String::new() } else { format!(" as {now:?}") };
    format!(
        "session {name:?} is live{now} but not tracked (roster forget --force or @roster-ignore): \
         rename it with tmux rename-session to track it"
    )
    .into()
}
