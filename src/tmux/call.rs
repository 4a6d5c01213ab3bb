//! One question to the server, and its answer or why there is none.

use std::time::{Duration, Instant};

use super::query::{self, Answer, Panes, Query};
use super::{Output, Tmux, TmuxError};

/// What `display-message` says before tmux 3.2 where there is no session at all.
pub const NO_TARGET: &str = "no current target";

/// What to ask for beside what lives and global options.
#[derive(Debug, Clone, Copy, Default)]
pub struct With {
    /// The hooks.
    pub hooks: bool,
    /// Panes.
    pub panes: Option<Panes>,
}

/// Asks tmux what lives, and for what else is wanted.
///
/// # Errors
/// tmux fails.
pub fn ask(
    tmux: &Tmux,
    with: With,
    options: &[&str],
    deadline: Instant,
) -> Result<Answer, TmuxError> {
    let mark = query::new_mark();
    let query = Query { mark: &mark, clear: None, hooks: with.hooks, panes: with.panes, options };
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

/// What `show-options -s` says where the server does not stay without clients.
pub const EXITS: &str = "exit-unattached on";

/// What tmux itself will end, and when, of what is made now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ends {
    /// The value of `destroy-unattached` that ends a session where no client is.
    pub session: Option<&'static str>,
    /// Whether the server exits now: `exit-unattached` is on, and there is no client.
    pub server: bool,
    /// Whether the user has hooks that run as soon as a session is made, before anything else of it.
    pub hooked: bool,
}

/// Asks what tmux will end by itself. By no format: that would show the value of some session.
///
/// # Errors
/// tmux fails.
pub fn ends(tmux: &Tmux, deadline: Instant) -> Result<Ends, TmuxError> {
    let show = ["show-options", "-g", "destroy-unattached", ";"];
    let show_server = ["show-options", "-s", "exit-unattached", ";"];
    let show_hook = ["show-options", "-gq", "after-new-session"];
    let printed = tmux.run(&[&show[..], &show_server, &show_hook].concat(), deadline)?;
    let printed = String::from_utf8_lossy(&printed);
    let hooked = printed.contains("after-new-session[");
    let exits = printed.lines().any(|line| line == EXITS);
    // Where there is no session, it fails.
    let clients = || tmux.run(&["list-clients", "-F", "x"], deadline).unwrap_or_default();
    Ok(Ends { session: ending_value(&printed), server: exits && clients().is_empty(), hooked })
}

/// The value of `destroy-unattached` in a list of global options, if it ends a session that is in no
/// group.
pub fn ending_value(listed: &str) -> Option<&'static str> {
    let value = listed.lines().find_map(|line| line.strip_prefix("destroy-unattached "))?;
    ["on", "keep-group"].into_iter().find(|ends| *ends == value)
}

/// The values of global options, byte for byte; empty for those that are not set.
///
/// # Errors
/// tmux fails.
pub fn options(tmux: &Tmux, names: &[&str], deadline: Instant) -> Result<Vec<Vec<u8>>, TmuxError> {
    match ask(tmux, With::default(), names, deadline) {
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
