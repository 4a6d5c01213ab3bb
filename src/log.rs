//! The log of problems, beside the registry: one line each, bounded in size.

use std::fs;
use std::path::Path;

use crate::config::Place;
use crate::files::{self, Durability, PRIVATE};
use crate::model::time::Timestamp;

/// The size at which the log is cut to its newer half, in bytes.
const LOG_BYTES: u64 = 256 * 1024;

/// How much of a message the log keeps, in characters: a program may say anything.
const LOG_LINE: usize = 2000;

/// Adds a line to the log. What cannot be logged is not worth disturbing anyone.
pub fn log(place: &Place, message: &str) {
    log_to(&place.log(), message);
}

/// The same for those who know only where the log is.
pub fn log_to(path: &Path, message: &str) {
    if fs::symlink_metadata(path).is_ok_and(|found| found.len() > LOG_BYTES) {
        if let Ok(Some(text)) = files::read(path) {
            let half = &text[text.len() - text.len().min(LOG_BYTES as usize / 2)..];
            let start = half.iter().position(|b| *b == b'\n').map_or(half.len(), |at| at + 1);
            let _ = files::replace(path, &half[start..], PRIVATE, Durability::Lazy);
        }
    }
    let message: String = message.chars().take(LOG_LINE).collect();
    let line = format!("{} {}\n", Timestamp::now(), message.replace(char::is_control, " "));
    let _ = files::append(path, line.as_bytes());
}
