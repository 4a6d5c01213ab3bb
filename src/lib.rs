//! tmux-roster: a registry of tmux sessions, `sessions.json`, that tmux hooks keep in step.
//!
//! The face of the library is the store of that file: [`Store`], [`Session`], the rules for
//! names and the migration of older files. The rest serves the `roster` program and may change.

pub mod files;
pub mod model;

pub use model::name::{MAX_NAME_BYTES, NameError, sanitize_name, validate_name};
pub use model::registry::{Registry, SCHEMA_VERSION};
pub use model::session::Session;
pub use model::time::Timestamp;

pub mod config;
pub mod directories;
pub mod event_scripts;
pub mod health;
pub mod host;
pub mod log;
pub mod options;
pub mod persist;
pub mod restore;
pub mod store;
pub mod sync;
pub mod tmux;
pub mod transaction;
pub use store::migrate::{Migrated, Plan as MigrationPlan, migration_plan};
pub use store::{Store, StoreError};
