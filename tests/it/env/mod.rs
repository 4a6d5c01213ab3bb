//! What the tests stand on: a private tmux server in a folder of its own, with clients, jobs and
//! stubs, and the program under test. A test file imports from here, and from no other test file.

mod client;
mod crash;
mod folder;
mod jobs;
mod plugin;
mod programs;
mod records;
mod server;
mod skip;
pub mod sources;
mod wait;

pub use self::client::{Client, ControlClient};
pub use self::crash::{can_trace, hit_the_heart, kill_at, kill_at_every_call, leftovers};
pub use self::folder::Folder;
pub use self::jobs::{StoppedHolder, hook_job, hook_job_in, typed};
pub use self::plugin::{PLUGIN, build_in, copy_plugin, with_copy};
pub use self::programs::{
    ROSTER, copy_program, script, stderr, stdout, store, tmux_program, tmux_version, version,
    write_program,
};
pub use self::records::{backed_up, check_records, json, uuids};
pub use self::server::{Server, end_process, without_socket};
pub use self::skip::{Lack, can, can_mount, skip, try_out};
pub use self::wait::{LOAD, PATIENCE, check_stays, wait_at_most, wait_for, wait_until_past};
