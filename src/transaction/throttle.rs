//! When a job of a hook may ask tmux: not while another's answer will do, not in the middle of a
//! burst, and what its coming proves.

use std::time::{Duration, Instant, SystemTime};

use super::Trigger;
use crate::config::Place;
use crate::files::Durability;
use crate::model::memory::ClosedSession;
use crate::model::reconcile::{self};
use crate::model::remembered::Remembered;
use crate::model::snapshot::ServerId;
use crate::model::time::Timestamp;
use crate::persist::write_json;
use crate::store::{Locked, Times};
use crate::tmux::query::Mark;
use crate::tmux::server::{job_server, time_on_cpu};

/// Minimum spacing of queries started by hooks, stretched to [`LONGEST_PACE`] while tmux is busy.
/// In a burst each query adds load, and only the last one matters.
const PACE: Duration = Duration::from_millis(100);

/// Nobody waits longer than this because tmux is busy.
const LONGEST_PACE: Duration = Duration::from_millis(300);

/// How long tmux's CPU time is sampled.
const WATCH: Duration = Duration::from_millis(20);

/// tmux is busy if it used the CPU for one in so many parts of [`WATCH`] or more. After a burst
/// its timers alone use 10 to 20 %, during one it uses 25 %.
const AT_WORK: u32 = 4;

/// Minimum spacing where another query began while this job waited for the lock: servers that ended
/// one after another may each have left a job.
const LEAST_PACE: Duration = Duration::from_millis(30);

/// How often the sync of a hook looks whether all hooks are still there.
const HOOKS_CHECK: Duration = Duration::from_secs(60);

/// Whether another sync asked tmux since this job of a hook began, and came to its end: then it
/// saw what this one was started for. A burst that lasts for seconds starts a job in each of
/// them; if each of those went on asking, tmux would be asked ever faster.
pub(crate) fn is_done_by_another(seen: Times, now: Times, trigger: Trigger) -> bool {
    // Before 3.2 only the job itself knows the directory of its session.
    matches!(trigger, Trigger::Hook { mark: Mark::Environment, .. })
        && now.queried > seen.queried
        // Containers that share a home may each have a server at this socket, whose process ids
        // are mostly not the same.
        && job_server().is_some_and(|pid| now.carried_through == Times::mark(pid))
}

/// Waits until this long has passed. A clock that was set back makes nobody wait.
fn wait_since(moment: SystemTime, long: Duration) {
    if let Ok(since) = SystemTime::now().duration_since(moment) {
        std::thread::sleep(long.saturating_sub(since));
    }
}

/// Waits until it is time for the next query of a hook's job after the last one. A job that comes
/// by itself is not made to wait, nor is anybody after the clock was set back.
pub(crate) fn wait_for_turn(queried: SystemTime) {
    let is_within = |pace| SystemTime::now().duration_since(queried).is_ok_and(|age| age < pace);
    if !is_within(PACE) {
        return;
    }
    let worked = || time_on_cpu(job_server()?);
    wait_since(queried, PACE - WATCH);
    while is_within(LONGEST_PACE) {
        let (start, before) = (Instant::now(), worked());
        std::thread::sleep(WATCH);
        let at_work = start.elapsed() / AT_WORK;
        let is_at_work = before.zip(worked()).is_some_and(|(then, now)| now >= then + at_work);
        if !is_at_work {
            break;
        }
    }
}

/// Notes when this query begins, and says whether the hooks are to be checked.
pub(crate) fn begin_query(locked: &Locked<'_>, trigger: Trigger) -> (Times, bool) {
    let times = locked.times();
    if matches!(trigger, Trigger::Hook { .. }) {
        wait_since(times.queried, LEAST_PACE);
    }
    let now = SystemTime::now();
    // A person, who waits for more than this costs, has them looked at each time.
    let due = matches!(trigger, Trigger::Person)
        || now.duration_since(times.hooks_checked).map_or(true, |since| since > HOOKS_CHECK);
    let hooks_checked = if due { now } else { times.hooks_checked };
    let times = Times { queried: now, hooks_checked, carried_through: 0 };
    locked.set_times(times);
    (times, due)
}

/// A job of a hook proves that its server lived when the job began: closes that were old
/// enough by then are believed.
pub(crate) fn note_last_sign(place: &Place, remembered: &Remembered, trigger: Trigger) {
    let Trigger::Hook { started, .. } = trigger else { return };
    let age = started.elapsed().as_secs().saturating_add(1) as i64;
    let then = Timestamp::now().plus_seconds(-age);
    let mut closed = remembered.closed.clone();
    let is_ours = |server: ServerId| Some(server.pid) == job_server();
    let is_loss = |entry: &ClosedSession| entry.unproven.is_some_and(is_ours);
    let settled = reconcile::is_outlived(&closed, is_loss, then);
    for entry in closed.closed.iter_mut().filter(|_| settled) {
        entry.unproven = entry.unproven.filter(|server| !is_ours(*server));
    }
    if settled {
        let _ = write_json(&place.closed(), &closed, Durability::Durable);
    }
}
