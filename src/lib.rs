//! A registry of tmux sessions, `sessions.json`, as a library; and what the `roster` program, which
//! tmux hooks call, is made of.
//!
//! # The registry
//!
//! A [`Store`] is a registry file, a [`Session`] one of its records. Any number of processes can use
//! one file at once. [`mod@format`] tells everything about the file, which other programs share.
//!
//! ```
//! use tmux_roster::{Session, Store, StoreError, sanitize_name};
//!
//! # let folder = std::env::temp_dir().join(format!("roster-face-{}", std::process::id()));
//! # let path = folder.join("sessions.json");
//! let store = Store::new(path);
//! let session = Session::new(&sanitize_name(b"my project"), "/home/me/project", "safe");
//! store.save(&session)?;
//!
//! assert_eq!(store.get("my-project")?, session);
//! assert!(matches!(store.get("other"), Err(StoreError::NotFound(_))));
//! # std::fs::remove_dir_all(folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! To change several records in one step, or to decide from the file's contents, use
//! [`Store::lock`]; to bring an older file up to date, [`Store::migrate`]. A newer file is never
//! touched ([`StoreError::Newer`]).
//!
//! The other modules are public for the program, the tests, the benchmark and the fuzz targets, and may
//! change at any time. How it all works stands below, in `src/lib.rs`; to read it with links, and to see
//! those modules:
//!
//! ```sh
//! RUSTDOCFLAGS='--cfg internals' cargo doc --no-deps --document-private-items --open
//! ```
// Of hidden modules links would lead nowhere, so the rest is shown together with them.
#![cfg_attr(
    internals,
    doc = r#"
# Architecture

tmux knows what lives; the registry knows what each session is. Each can be lost, and the other
brings it back.

## The parts

Each imports only those above it (`tests/it/tidy.rs`, `ORDER`); the program imports them all.

| part | what it is |
|---|---|
| [`sorted`] | what is kept in order |
| [`mod@aside`] | work that may hang |
| [`files`] | private files: atomic replace, ownership, limits |
| [`options`] | the user's options, in one table |
| [`model`] | what is remembered, and what should change: values and pure functions |
| [`store`] | the registry's file: lock, operations, backups, migration |
| [`tmux`] | every call of tmux, every escaping, and what is known of its versions |
| [`config`] | environment and tmux options in, typed values out |
| [`log`], [`health`], [`host`], [`directories`], [`panes`] | what else is asked of the system |
| [`persist`] | the four files together, and what damage does |
| [`history`] | what happened, and when, for who asks |
| [`event_scripts`] | the user's scripts |
| [`transaction`] | the one flow from lock to effects |
| [`restore`] | making sessions anew |
| [`mod@sync`] | one sync |
| `src/cli.rs`, `src/commands` | the program: arguments as data, and a file for each thing to do |

## States of a session

- **live**: tmux has it. It is in sessions.json, and stamped with its UUID in tmux.
- **lost**: it ended with its server. It stays in sessions.json and can be restored; after
  `@roster-lost-days` it is one of the closed.
- **closed**: it ended while its server lived on. It is in closed.json and can be reopened. A close
  is believed once the server has run on for [`LOOK_AFTER`](model::reconcile::LOOK_AFTER) seconds
  after the last close of a burst, or for ten minutes after this one; if the server ends before, it
  was a loss.
- **unreachable**: it lives in a server whose socket is gone. It is neither lost nor made again.

What sessions are made of, windows.json has: of a live one as last seen, of a lost or closed one what
comes back with it. There a loss is no change until the server has outlived it, as with closes.

A state follows from registry, memory and snapshot; no record has it. A clone (a member of a session
group that is not its first) is recorded while it lives, and leaves nothing.

## What always holds

1. **A hook is a hint.** It says that something changed; what did is found by looking. A missed
   event is made good by the next.
2. **One flow**: lock, load, ask tmux, reconcile, commit if something changed, tell tmux, unlock.
   Files and tmux are read after the lock, since jobs race; the commit comes before the effects, so
   that a crash between them only means working them out again. After the effects of a plan,
   reconciling again plans nothing. What a command changes is written once: where no server runs,
   the flow is the same without tmux ([`World`](transaction::World)).
3. **A failure is not emptiness.** An answer counts with its end mark and all its sessions
   ([`query::parse`](tmux::query::parse)). A tmux that fails, hangs or is of another version
   changes no record.
4. **Identity.** A session is known by what its server's memory says of its id, else by the stamp
   `@roster_uuid`, else by name and directory. No two live sessions share a UUID. A name that
   tmux gave by itself (a number) identifies nothing. If something hides a stamp, it is
   set once more, not repeatedly.
5. **Targets are ids** (`$3`), which never match another session of this server; where it matters,
   the command also checks that the server is still the same.
6. **No text is run.** Names, directories and records are escaped where tmux reads a format or a
   command ([`tmux::text`]), and reach a shell only where they are one plain word to it
   (`src/restore/launch.rs`). The user's commands are run as words.
7. **Nothing is lost.** A record that moves is written to its new file first; what then stands in
   both is in the registry. A mass deletion makes a backup first.
8. **Nobody is disturbed.** A hook's job prints nothing, and ends with 0 and within
   [`HOOK_LIMIT`](transaction::HOOK_LIMIT). All that a hook shows is one message to the first client
   of a server that comes after a loss (`src/commands/notice.rs`). tmux waits for it at most at its exit before 3.2, and
   there it gives up at once. No answer of tmux is waited for without a limit.
9. **One registry for each server on each host.** The folder is settled when the plugin is loaded,
   and passed to jobs as an argument: their environment is that of some session.
10. **An event that changed nothing writes nothing**: one query, and a comparison
    ([`is_in_step`](model::in_step::is_in_step)).

## The way of an event

1. You rename a session. tmux runs [our line](tmux::hooks::Hook::line) of the hook session-renamed:
   it sets a mark inside tmux and, unless that was set in this very second already, starts
   `@roster_run`: `roster sync --hook`, with the folder and the tmux program as arguments.
2. `sync_for_hook` in `src/commands/sync.rs` calls [`sync`](sync::sync) with a
   [`Trigger::Hook`](transaction::Trigger::Hook). In a burst it [waits](transaction::throttle::wait_for_turn)
   before it takes [the lock](Store::lock), and is done if another sync has
   [seen it all](transaction::throttle::is_done_by_another) meanwhile.
3. [`Transaction::begin_locked`](transaction::Transaction::begin_locked) starts
   [the query](tmux::query::args), which also takes the mark away, and meanwhile
   [loads](persist::load) three of the files as [`Remembered`](model::remembered::Remembered). The
   answer becomes a [`Snapshot`](model::snapshot::Snapshot).
4. [`bring_into_step`](transaction::Transaction::bring_into_step) first makes sure that the memory
   is [of this server](transaction::tell_servers_apart), and stops if all is in step. Else
   [`reconcile`](model::reconcile::reconcile) compares both, and returns a
   [`Plan`](model::reconcile::Plan): the record under its new name, and `ROSTER_SESSION` to be set.
5. [`commit`](transaction::Transaction::commit) writes what changed [in the safe
   order](persist::write_in_order), the registry by [`Locked::commit`].
6. [The effects](tmux::source::effect) go to tmux [by file](tmux::source::run), a hundred at a time;
   once they have arrived, the memory says so. The user's
   [scripts](event_scripts::run_scripts) are started.
7. If the server has just started, [what it lost](restore::at_start) is restored if the user wants
   that. The lock is released. A job that failed, or had no time left, asks for
   [another look](transaction::look::look_later).

Had a window changed, the hook would have set another mark, and started `@roster_late`: `roster sync
--hook --windows`. That job [waits](transaction::pace::wait_for_look) a second for what else happens,
or longer where tmux needs long to answer. Then it goes the same way, but asks for all panes as well,
learns [from the system](panes::look) what runs in them, and at the end
[compares](model::windows::note) that with windows.json, which no other sync reads.
"#
)]
#![allow(rustdoc::private_intra_doc_links, reason = "the way of an event leads inside")]

pub use model::name::{MAX_NAME_BYTES, NameError, sanitize_name, validate_name};
pub use model::registry::{FileVersion, Registry, SCHEMA_VERSION};
pub use model::session::{Extra, Session};
pub use model::time::Timestamp;
pub use store::migrate::{
    Document as MigrationDocument, Migrated, Plan as MigrationPlan, Step as MigrationStep,
    migration_plan,
};
pub use store::{
    Backup, KEPT_BACKUPS, KEPT_DAYS, LOCK_WAIT, Loaded, Locked, Recovered, Store, StoreError,
};

#[doc = include_str!("store/FORMAT.md")]
pub mod format {}

#[cfg_attr(not(internals), doc(hidden))]
pub mod aside;
#[cfg_attr(not(internals), doc(hidden))]
pub mod config;
#[cfg_attr(not(internals), doc(hidden))]
pub mod directories;
#[cfg_attr(not(internals), doc(hidden))]
pub mod event_scripts;
#[cfg_attr(not(internals), doc(hidden))]
pub mod files;
#[cfg_attr(not(internals), doc(hidden))]
pub mod health;
#[cfg_attr(not(internals), doc(hidden))]
pub mod history;
#[cfg_attr(not(internals), doc(hidden))]
pub mod host;
#[cfg_attr(not(internals), doc(hidden))]
pub mod log;
#[cfg_attr(not(internals), doc(hidden))]
pub mod model;
#[cfg_attr(not(internals), doc(hidden))]
pub mod options;
#[cfg_attr(not(internals), doc(hidden))]
pub mod panes;
#[cfg_attr(not(internals), doc(hidden))]
pub mod persist;
#[cfg_attr(not(internals), doc(hidden))]
pub mod restore;
#[cfg_attr(not(internals), doc(hidden))]
pub mod sorted;
#[cfg_attr(not(internals), doc(hidden))]
pub mod store;
#[cfg_attr(not(internals), doc(hidden))]
pub mod sync;
#[cfg_attr(not(internals), doc(hidden))]
pub mod tmux;
#[cfg_attr(not(internals), doc(hidden))]
pub mod transaction;
