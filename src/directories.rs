//! What tmux says of the directories of sessions, and what the file system says of that: relative
//! ones made absolute, and two spellings of one directory known as such. The heart asks nobody.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::{Duration, Instant};

use crate::health::{self, HEALTH_LIMIT, in_time};
use crate::model::memory::Known;
use crate::model::policy::Policy;
use crate::model::reconcile::{Plan, is_tracked, reconcile};
use crate::model::remembered::Remembered;
use crate::model::snapshot::{LiveSession, SessionId, Snapshot, Spellings, Workdir};
use crate::model::time::Timestamp;
use crate::sorted::Map;
use crate::tmux::query::{self, Pane};
use crate::tmux::{ANSWER_LIMIT, Tmux};

/// What Linux adds to the path of a directory that was removed.
const REMOVED: &[u8] = b" (deleted)";

/// Reconciles; where a live session might be the lost one of its name, were it not for its directory,
/// the file system is asked whether that is the same, only spelled otherwise. Or it is that of a pane
/// of the lost one, as `is_of_a_pane` knows: what restores panes starts a session there.
pub fn plan(
    remembered: &Remembered,
    snapshot: &mut Snapshot,
    policy: &Policy,
    now: Timestamp,
    new_uuid: &mut dyn FnMut() -> String,
    is_of_a_pane: &dyn Fn(&Spellings) -> bool,
) -> Plan {
    let plan = reconcile(remembered, snapshot, policy, now, new_uuid);
    let until = Instant::now() + HEALTH_LIMIT;
    let mut same = plan.doubts.clone();
    same.retain(|both| {
        let (live, recorded) = both;
        Instant::now() < until && health::is_one_directory(live, recorded) == Some(true)
            || is_of_a_pane(both)
    });
    if same.is_empty() {
        return plan;
    }
    snapshot.same_directories.extend(same);
    reconcile(remembered, snapshot, policy, now, new_uuid)
}

/// From 3.2 on tmux keeps what `new-session -c` and `attach-session -c` were given, which may be
/// relative, to what it does not say. Where a session's absolute directory is known it stays; else
/// its oldest pane tells. A tmux that does not answer leaves it unknown, and the next sync asks.
pub fn settle(
    tmux: &Tmux,
    remembered: &Remembered,
    snapshot: &mut Snapshot,
    policy: &Policy,
    job_of: Option<SessionId>,
    deadline: Instant,
) {
    settle_guesses(tmux, remembered, snapshot, policy, job_of, deadline);
    let is_unsettled = |live: &&LiveSession| {
        matches!(&live.workdir, Workdir::Known(path) if !path.starts_with(b"/"))
            && is_tracked(remembered, snapshot, policy, live)
    };
    let unsettled: Map<SessionId, bool> = (snapshot.sessions.iter().filter(is_unsettled))
        .map(|live| (live.id, is_settled(remembered, snapshot, live)))
        .collect();
    if unsettled.is_empty() {
        return;
    }
    let unknown: Vec<SessionId> =
        unsettled.iter().filter(|(_, settled)| !**settled).map(|(id, _)| *id).collect();
    let panes = match unknown.is_empty() {
        true => Map::new(),
        false => panes_of(tmux, snapshot, &unknown, deadline),
    };
    let until = Instant::now() + HEALTH_LIMIT;
    for live in snapshot.sessions.iter_mut().filter(|live| unsettled.contains_key(&live.id)) {
        let told = std::mem::replace(&mut live.workdir, Workdir::Unknown);
        let (Some(pane), Workdir::Known(told)) = (panes.get(&live.id), told) else { continue };
        if let Some(path) = directory_of(pane, &told, until) {
            // The version before recorded it as tmux tells it.
            snapshot.same_directories.push((path.clone(), told));
            live.workdir = Workdir::Known(path);
        }
    }
}

/// Before 3.2 tmux tells where the active pane is. Of a session that is new to us the oldest pane
/// tells more, except of the session whose directory the job knows.
fn settle_guesses(
    tmux: &Tmux,
    remembered: &Remembered,
    snapshot: &mut Snapshot,
    policy: &Policy,
    job_of: Option<SessionId>,
    deadline: Instant,
) {
    let is_guessed = |live: &&LiveSession| {
        matches!(live.workdir, Workdir::Guess(_))
            && Some(live.id) != job_of
            && is_tracked(remembered, snapshot, policy, live)
            && !is_settled(remembered, snapshot, live)
    };
    let guessed: Vec<SessionId> =
        snapshot.sessions.iter().filter(is_guessed).map(|live| live.id).collect();
    if guessed.is_empty() {
        return;
    }
    let panes = panes_of(tmux, snapshot, &guessed, deadline);
    for live in snapshot.sessions.iter_mut().filter(|live| guessed.contains(&live.id)) {
        let current = panes.get(&live.id).map(|pane| pane.current.clone());
        if let Some(path) = current.filter(|path| path.starts_with(b"/")) {
            live.workdir = Workdir::Guess(path);
        }
    }
}

/// Whether a live session has a record with an absolute directory: one that this server was seen
/// to have, or that bears its stamp alone.
fn is_settled(remembered: &Remembered, snapshot: &Snapshot, live: &LiveSession) -> bool {
    let (registry, memory) = (&remembered.registry, &remembered.memory);
    let known: Option<&Known> = match memory.server == Some(snapshot.server) {
        true => memory.sessions.get(&live.id),
        false => None,
    };
    let record = match known {
        Some(known) => (registry.sessions.get(&known.name))
            .filter(|record| record.uuid == known.uuid)
            .or_else(|| registry.by_uuid(&known.uuid)),
        None if live.stamp.is_empty() => None,
        None => {
            let bearers = snapshot.sessions.iter().filter(|other| other.stamp == live.stamp);
            registry.by_uuid(&live.stamp).filter(|_| bearers.count() == 1)
        }
    };
    record.is_some_and(|record| record.workdir.starts_with('/'))
}

/// The oldest pane of each of these sessions; none if tmux does not tell.
fn panes_of(
    tmux: &Tmux,
    snapshot: &Snapshot,
    sessions: &[SessionId],
    deadline: Instant,
) -> Map<SessionId, Pane> {
    let deadline = deadline.min(Instant::now() + ANSWER_LIMIT);
    let one = match sessions {
        [one] => Some(*one),
        _ => None,
    };
    let mark = query::new_mark();
    let ask = || {
        let output = tmux.start(&query::pane_args(&mark, one)).ok()?.finish(deadline).ok()?;
        query::oldest_panes(&mark, snapshot.server, &output.stdout)
    };
    let is_nowhere = |pane: &Pane| pane.start.is_empty() && pane.current.is_empty();
    let mut panes = Map::new();
    for _ in 0..5 {
        let Some(answer) = ask() else { break };
        panes = answer;
        // Where tmux does not tell where a pane began, one whose process has just begun may be
        // nowhere for a moment.
        let is_to_come = |live: &LiveSession| {
            !live.pane_dead
                && sessions.contains(&live.id)
                && panes.get(&live.id).is_some_and(is_nowhere)
        };
        if !snapshot.sessions.iter().any(is_to_come) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panes
}

/// The directory of a session of which tmux says only `told`, by its oldest pane: where that was
/// started, else where it is. `~/x`, as tmux has it of a shell that did not expand it, is meant
/// from the home folder.
fn directory_of(pane: &Pane, told: &[u8], until: Instant) -> Option<Vec<u8>> {
    let is_late = || Instant::now() >= until;
    let start = Some(&pane.start).filter(|start| start.starts_with(b"/"));
    let start = start.map(|start| match is_late() {
        true => Ok(plain(start)),
        false => where_it_leads(start),
    });
    if let Some(Ok(path)) = start {
        return Some(path);
    }
    let is_there = |path: &[u8]| !is_late() && health::is_directory(path.to_vec()) == Some(true);
    if let Some(path) = health::from_home(told).map(|path| plain(&path)).filter(|p| is_there(p)) {
        return Some(path);
    }
    let current = Some(&pane.current).filter(|current| current.starts_with(b"/"));
    let current = current.map(|current| match current.strip_suffix(REMOVED) {
        Some(removed) if !is_there(current) => removed.to_vec(),
        _ => current.clone(),
    });
    // Where the program has ended, a directory that was removed is still the one.
    current.or(start.and_then(Result::err))
}

/// Where a path leads, without `.` and `..`; an error with the same of one that leads to no
/// directory. Links stay as they were written, but where `..` leads they decide.
fn where_it_leads(path: &[u8]) -> Result<Vec<u8>, Vec<u8>> {
    let (whole, cleaned) = (path.to_vec(), plain(path));
    let short = cleaned.clone();
    let found = in_time(move || {
        let directory =
            |path: &[u8]| fs::metadata(OsStr::from_bytes(path)).ok().filter(|found| found.is_dir());
        let (there, here) = (directory(&whole), directory(&short));
        match (there, here) {
            (Some(there), Some(here)) if health::is_same(&there, &here) => Some(short),
            (Some(_), _) => {
                let real = fs::canonicalize(OsStr::from_bytes(&whole)).ok();
                real.map(|real| real.into_os_string().into_vec())
            }
            (None, Some(_)) => Some(short),
            (None, None) => None,
        }
    });
    match found {
        Some(found) => found.ok_or(cleaned),
        // It may only be slow.
        None => Ok(cleaned),
    }
}

/// An absolute path without `.` and `..`, by its letters alone.
fn plain(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", parts.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_cleaned_from_paths() {
        for (path, plainly) in [
            ("/", "/"),
            ("/a/.", "/a"),
            ("/a/./b//c/", "/a/b/c"),
            ("/a/../b/..", "/"),
            ("/../../a", "/a"),
            ("/a/.../..b", "/a/.../..b"),
        ] {
            assert_eq!(plain(path.as_bytes()), plainly.as_bytes(), "{path}");
        }
    }
}
