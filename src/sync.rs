//! One sync: takes its turn, looks at tmux, and brings registry and tmux into step.

use crate::config::Place;
use crate::files;
use crate::restore::at_start::bring_into_step_and_restore;
use crate::store::Store;
use crate::tmux::TmuxError;
use crate::tmux::server::JobServer;
use crate::transaction::throttle::{begin_query, is_done_by_another, wait_for_turn};
use crate::transaction::{
    Kind, Report, Stopwatch, SyncError, Transaction, Trigger, pace, reachable, server_of, waiting,
};

/// Brings registry and tmux into step.
///
/// # Errors
/// Somebody holds the lock, a file or tmux fails: then nothing was changed.
pub fn sync(place: &Place, trigger: Trigger) -> Result<Report, SyncError> {
    let store = Store::new(place.registry());
    let seen = if let Trigger::Hook { .. } = trigger { store.peek_times() } else { None };
    match (seen, trigger) {
        // Not under the lock, which somebody who waits for nothing may want.
        (Some(seen), _) => wait_for_turn(seen.queried),
        // Nobody took the lock yet, or the folder went with the server: it is not made anew for one
        // that has ended.
        (None, Trigger::Hook { .. }) if matches!(server_of(trigger), JobServer::Ended) => {
            return Ok(Report::default());
        }
        _ => {}
    }
    // Where it ends only now, what locking makes is taken away again.
    let missing = match (seen, trigger) {
        (None, Trigger::Hook { .. }) => files::first_missing(&place.dir),
        _ => None,
    };
    let store = waiting(store, trigger);
    let locked = store.lock()?;
    let at_windows = matches!(trigger, Trigger::Hook { kind: Kind::Windows, .. });
    if !at_windows && seen.is_some_and(|seen| is_done_by_another(seen, locked.times(), trigger)) {
        return Ok(Report::default());
    }
    let watch = at_windows.then(Stopwatch::start);
    let begun = begin_query(&locked, trigger);
    let server = server_of(trigger);
    let own = reachable(place, &server);
    let place = own.as_ref().unwrap_or(place);
    let begun = Transaction::begin_locked(place, locked, begun, trigger, &server);
    if let (Some(missing), Err(SyncError::Tmux(TmuxError::NoServer { .. }))) = (&missing, &begun) {
        store.remove_if_new(missing);
    }
    if let Some(watch) = watch {
        pace::note_look(place, watch.stop());
    }
    let mut transaction = begun?;
    if transaction.is_of_another_server() {
        return Ok(Report::default());
    }
    let mut report = match trigger {
        Trigger::Reader => transaction.bring_into_step()?,
        _ => bring_into_step_and_restore(&mut transaction)?,
    };
    // Whoever asked again meanwhile asked for sessions alone; and where the options are not known,
    // neither is whether anything is to be recorded.
    let answer = &transaction.answer;
    let has_panes = !answer.panes.is_empty() || answer.snapshot.sessions.is_empty();
    if at_windows && has_panes && transaction.settings.plugin_is_loaded {
        transaction.record_windows()?;
    }
    report.mended = transaction.mended.take();
    if matches!(trigger, Trigger::Hook { .. }) && !report.unfinished {
        transaction.note_carried_through();
    }
    transaction.end();
    Ok(report)
}
