//! What a session, a registry and a change are. No I/O, no clock, no randomness: time and new
//! ids come in as parameters. Imports nothing of the crate outside this folder.

pub mod host;
pub mod in_step;
pub mod memory;
pub mod name;
pub mod policy;
pub mod reconcile;
pub mod registry;
pub mod remembered;
pub mod session;
pub mod snapshot;
pub mod time;
