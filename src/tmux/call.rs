//! One question to the server, and its answer or why there is none.

use std::time::{Duration, Instant};

use super::query::{self, Answer, Panes, Query};
use super::{Output, Tmux, TmuxError};

/// What `display-message` says before tmux 3.2 where there is no session at all.
pub const NO_TARGET: &str = "no current target";

/// Asks tmux what lives, and for hooks and global options.
///
/// # Errors
/// tmux fails.
pub fn ask(
    tmux: &Tmux,
    hooks: bool,
    options: &[&str],
    deadline: Instant,
) -> Result<Answer, TmuxError> {
    let mark = query::new_mark();
    ask_until(tmux, Query { mark: &mark, clear: None, hooks, panes: None, options }, deadline)
}

/// Asks tmux what lives, down to the panes.
///
/// # Errors
/// tmux fails.
pub fn ask_for_panes(tmux: &Tmux, panes: Panes, deadline: Instant) -> Result<Answer, TmuxError> {
    let mark = query::new_mark();
    let query = Query { mark: &mark, clear: None, hooks: false, panes: Some(panes), options: &[] };
    ask_until(tmux, query, deadline)
}

fn ask_until(tmux: &Tmux, query: Query<'_>, deadline: Instant) -> Result<Answer, TmuxError> {
    loop {
        let output = tmux.start(&query::args(query))?.finish(deadline)?;
        match query::parse(query, &output.stdout) {
            Some(answer) => return Ok(answer),
            None if tmux.is_to_be_asked_again(&output.stderr, deadline) => {
                std::thread::sleep(Duration::from_millis(20));
            }
            None => return Err(incomplete(tmux, &output)),
        }
    }
}

pub(crate) fn incomplete(tmux: &Tmux, output: &Output) -> TmuxError {
    let (stderr, success) = (output.stderr.as_str(), output.success);
    if stderr == NO_TARGET && output.stdout.is_empty() {
        TmuxError::Empty
    } else if success || stderr.is_empty() || stderr == NO_TARGET {
        TmuxError::Incomplete { message: stderr.to_owned() }
    } else {
        tmux.failure(stderr)
    }
}

/// The values of global options, byte for byte; empty for those that are not set.
///
/// # Errors
/// tmux fails.
pub fn options(tmux: &Tmux, names: &[&str], deadline: Instant) -> Result<Vec<Vec<u8>>, TmuxError> {
    match ask(tmux, false, names, deadline) {
        Ok(answer) => return Ok(answer.options),
        Err(TmuxError::Empty) => {}
        Err(error) => return Err(error),
    }
    // Before 3.2 display-message needs a session; show-options prints values as they are.
    let show = |name: &&str| {
        let printed = tmux.run(&["show-options", "-gqv", name], deadline)?;
        Ok(printed.strip_suffix(b"\n").map(<[u8]>::to_vec).unwrap_or(printed))
    };
    names.iter().map(show).collect()
}
