//! Changes where no server runs: what is recorded is all there is.

use std::path::PathBuf;

use super::{SyncError, Trigger, store};
use crate::config::Place;
use crate::model::reconcile::{self};
use crate::model::remembered::Remembered;
use crate::persist::{backup, load, write_in_order};

/// Changes what is remembered where no server runs; what `change` did not want is not written.
/// Returns what `change` returned.
///
/// # Errors
/// The lock, or a file.
pub fn change_offline(
    place: &Place,
    change: impl FnOnce(&mut Remembered) -> bool,
) -> Result<bool, SyncError> {
    let store = store(place, Trigger::Person);
    let locked = store.lock()?;
    let (before, _) = load(place, &locked)?;
    let mut next = before.clone();
    reconcile::end_with_server(&mut next);
    let wanted = change(&mut next);
    if wanted {
        write_in_order(place, &locked, &before, &next)?;
    }
    Ok(wanted)
}

/// The same for what is to have a backup first, whose path it returns: of the registry as it was
/// loaded, so also of one that was mended or brought back just now.
///
/// # Errors
/// The lock, or a file; without a backup nothing is changed.
pub fn change_offline_after_backup(
    place: &Place,
    change: impl FnOnce(&mut Remembered),
) -> Result<Option<PathBuf>, SyncError> {
    let store = store(place, Trigger::Person);
    let locked = store.lock()?;
    let (before, _) = load(place, &locked)?;
    let backup = backup(&locked)?;
    let mut next = before.clone();
    reconcile::end_with_server(&mut next);
    change(&mut next);
    write_in_order(place, &locked, &before, &next)?;
    Ok(backup)
}
