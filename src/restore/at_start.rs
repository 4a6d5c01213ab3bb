//! Restoring by itself when a server starts: what was lost with the one before, each once.

use super::{Blueprint, Restored, Wanted, make};
use crate::log::log;
use crate::model::memory::Memory;
use crate::transaction::{Report, SyncError, Transaction};

/// Brings registry and tmux into step, and restores what was lost, if that is due.
///
/// # Errors
/// As for [`Transaction::bring_into_step`].
pub fn bring_into_step_and_restore(transaction: &mut Transaction<'_>) -> Result<Report, SyncError> {
    let mut report = transaction.bring_into_step()?;
    let memory = &transaction.remembered.memory;
    let is_due = memory.restore_due || !memory.to_restore.is_empty();
    if !is_due || !transaction.settings.restore_at_start {
        return Ok(report);
    }
    // Before the first session stands, one of them might take the name that the user is about
    // to give it.
    if transaction.answer.snapshot.sessions.is_empty() && !transaction.stays_without_sessions() {
        return Ok(report);
    }
    settle(transaction)?;
    if !transaction.remembered.memory.to_restore.is_empty() {
        let done = restore_at_start(transaction)?;
        // Each is tried once, and nobody is there to be told.
        for warning in &done.warnings {
            log(transaction.place(), warning);
        }
        transaction.tell_events(&done.events);
        report.events.extend(done.events);
        report.unfinished = !transaction.remembered.memory.to_restore.is_empty();
    }
    Ok(report)
}

/// Notes what is to be restored by itself: all that is lost now, and nothing that is later.
///
/// # Errors
/// The memory cannot be written.
pub(super) fn settle(transaction: &mut Transaction<'_>) -> Result<(), SyncError> {
    let memory = transaction.remembered.memory.clone();
    if !memory.restore_due || !transaction.settings.restore_at_start {
        return Ok(());
    }
    let lost = transaction.remembered.lost();
    let to_restore = lost.into_iter().map(|session| session.uuid).collect();
    transaction.remember(Memory { restore_due: false, to_restore, ..memory })
}

/// Makes those anew that are to be restored by themselves, as far as there is time.
///
/// # Errors
/// A file or tmux fails.
fn restore_at_start(transaction: &mut Transaction<'_>) -> Result<Restored, SyncError> {
    let mut lost = transaction.remembered.lost();
    let mut memory = transaction.remembered.memory.clone();
    lost.retain(|session| {
        memory.to_restore.contains(&session.uuid) && !transaction.is_ignored(&session.name)
    });
    // What is lost no more was made by somebody else, or forgotten.
    memory.to_restore = lost.iter().map(|session| session.uuid.clone()).collect();
    transaction.remember(memory)?;
    make(transaction, lost, Wanted::default())
}

/// Notes what is not to be tried again by itself. One of them that ends before the others are made
/// stays lost: its command may be what is wrong, and then whoever mends that restores it.
pub(super) fn note_tried(
    transaction: &mut Transaction<'_>,
    tried: &[Blueprint],
) -> Result<(), SyncError> {
    settle(transaction)?;
    let mut memory = transaction.remembered.memory.clone();
    memory.to_restore.retain(|uuid| tried.iter().all(|blueprint| blueprint.record.uuid != *uuid));
    transaction.remember(memory)
}
