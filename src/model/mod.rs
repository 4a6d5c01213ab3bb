//! What a session, a registry and a change are. No I/O, no clock, no randomness: time and new
//! ids come in as parameters. Imports nothing of the crate outside this folder.

pub mod name;
pub mod time;
pub mod session;
pub mod registry;
pub mod memory;
pub mod snapshot;
pub mod reconcile;
