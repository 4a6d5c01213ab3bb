//! A quick look whether all is as it was: most events change nothing, and comparing costs a
//! tenth of what [`reconcile`](super::reconcile::reconcile) does to find the same.

use std::collections::HashSet;

use super::memory::{Known, Memory};
use super::name::is_given_by_tmux;
use super::policy::{Policy, is_ignored, is_sound};
use super::reconcile::is_awaited;
use super::remembered::Remembered;
use super::session::{Session, is_uuid, says_not_live};
use super::snapshot::{LiveSession, Snapshot, Workdir};
use super::time::Timestamp;

/// Whether reconciling would change nothing, say nothing and tell tmux nothing.
///
/// Where anything is out of the ordinary (session groups, bytes that are no text, closes not yet
/// believed, a stamp that is masked) it says no: then reconciling tells.
pub fn is_in_step(
    before: &Remembered,
    snapshot: &Snapshot,
    policy: &Policy,
    now: Timestamp,
) -> bool {
    let Remembered { registry, closed, memory } = before;
    let records = &registry.sessions;
    let (live, lost) = (&snapshot.sessions, &memory.lost_since);
    if memory.server != Some(snapshot.server)
        || memory.sessions.len() != live.len()
        || records.len() != live.len() + lost.len()
        || !is_ordinary(memory, now)
    {
        return false;
    }
    let mut uuids = HashSet::with_capacity(records.len());
    for live in live {
        let Some(known) = memory.sessions.get(&live.id) else { return false };
        let record = std::str::from_utf8(&live.name).ok().and_then(|name| records.get(name));
        let Some(record) = record else { return false };
        if !is_same(live, known, record)
            || !uuids.insert(record.uuid.as_str())
            || is_ignored(&policy.ignore, &record.name)
        {
            return false;
        }
    }
    let stays = |since: Timestamp, record: &Session| {
        is_sound(since, record, now) && (memory.leapt || !policy.is_too_old(since, now))
    };
    let (mut left, mut restorable) = (0, 0);
    if !lost.is_empty() {
        for (key, record) in records {
            if !uuids.insert(record.uuid.as_str()) {
                continue;
            }
            left += 1;
            restorable += usize::from(!is_ignored(&policy.ignore, &record.name));
            let is_lost = lost.get(&record.uuid).is_some_and(|since| stays(*since, record));
            if !is_lost || record.name != *key || !is_uuid(&record.uuid) {
                return false;
            }
        }
    }
    if left != lost.len() || snapshot.lost_shown != restorable.to_string() {
        return false;
    }
    closed.is_trimmed(policy.closed_limit, now)
        && closed.closed.iter().all(|entry| {
            let uuid = &entry.session.uuid;
            entry.unproven.is_none()
                && is_uuid(uuid)
                && !uuids.contains(uuid.as_str())
                && !lost.contains_key(uuid)
        })
}

fn is_ordinary(memory: &Memory, now: Timestamp) -> bool {
    memory.exact.is_empty()
        && memory.numbered.is_empty()
        && memory.was_seen_today(now)
        && memory.unreachable.is_empty()
        && memory.untracked.is_empty()
        && memory.look_at.is_none_or(|at| is_awaited(at, now))
        && !memory.restore_due
        && memory.to_restore.is_empty()
}

/// Whether tmux, memory and registry say the same of a session.
fn is_same(live: &LiveSession, known: &Known, record: &Session) -> bool {
    let same_directory = match &live.workdir {
        Workdir::Known(path) => record.workdir.as_bytes() == path,
        Workdir::Guess(path) => !record.workdir.is_empty() && std::str::from_utf8(path).is_ok(),
        Workdir::Unknown => true,
    };
    same_directory
        && record.name.as_bytes() == live.name
        && known.name == record.name
        && known.uuid == record.uuid
        && live.stamp == record.uuid
        && is_uuid(&record.uuid)
        && live.mode == record.mode
        && known.mode == record.mode
        && !live.mode.is_empty()
        && live.health == record.last_health_status
        && known.health == record.last_health_status
        && !says_not_live(&record.last_health_status)
        && known.stamps > 0
        && !known.clone
        && !(known.spared && live.last_attached.is_some())
        && (live.windows <= 1 || known.grown || !is_given_by_tmux(&record.name))
        && live.group.is_empty()
        && !record.created_at.is_zero()
        && live.last_attached.is_none_or(|at| at <= record.last_attached_at)
}
