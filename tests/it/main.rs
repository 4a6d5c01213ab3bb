//! Everything against the real thing: a real tmux on a private server, real files, the real
//! program. `TEST_TMUX` names the tmux to test with (by default the one on PATH).

mod env;
mod events;
mod golden;
mod store;
