//! What is remembered, what lives, and what is to change: values and pure functions. Imports
//! nothing of the crate outside this folder.
//!
//! No files, no processes. Time and new ids come in as parameters, except for what is made to ask
//! for them: `Session::new`, `new_uuid` and `Timestamp::now`.

pub mod glob;
pub mod host;
pub mod in_step;
pub mod layout;
pub mod memory;
pub mod name;
pub mod policy;
pub mod reconcile;
pub mod registry;
pub mod remembered;
pub mod session;
pub mod snapshot;
pub mod time;
