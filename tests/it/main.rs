//! Everything against the real thing: a real tmux on a private server, real files, the real
//! program. `TEST_TMUX` names the tmux to test with (by default the one on PATH).

mod bytes;
mod complete;
mod control;
mod directories;
mod doctor;
mod env;
mod escaping;
mod events;
mod faults;
mod golden;
mod history;
mod hostile;
mod hosts;
mod install;
mod killed;
mod layout;
mod life;
mod met;
mod notice;
mod pick;
mod plugin;
mod rebuild;
mod reconcile;
mod reopened;
mod said;
mod secure;
mod shown;
mod store;
mod tidy;
mod together;
mod trial;
mod upgraded;
mod whole;
mod windows;
mod words;
