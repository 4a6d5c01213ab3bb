//! What a server does by itself to what is made in it, and what is done about that.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::tmux::call::{self, Ends};
use crate::tmux::program;
use crate::tmux::server::lost_directory;
use crate::transaction::{SyncError, Transaction};

/// What holds for all that is made now.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    ends: Ends,
    adrift: Option<Adrift>,
}

/// A server that starts everything in a directory of its own that is gone.
#[derive(Debug)]
struct Adrift {
    directory: PathBuf,
    /// What starts a pane's first program where it belongs, as words before that program's.
    words: Option<[Vec<u8>; 2]>,
    /// What a pane runs that is given no program, by its shell; empty for a login shell.
    shell_command: Vec<u8>,
}

/// The verb by which our program starts another one in a directory.
pub const START_IN: &str = "start-in";

impl Conditions {
    /// Asks the server.
    ///
    /// # Errors
    /// tmux fails.
    pub(super) fn ask(transaction: &Transaction<'_>) -> Result<Conditions, SyncError> {
        let (tmux, deadline) = (&transaction.place().tmux, transaction.deadline());
        let ends = call::ends(tmux, deadline)?;
        let pid = transaction.answer.snapshot.server.pid;
        let clings = transaction.version().clings_to_its_directory();
        let Some(directory) = clings.then(|| lost_directory(pid)).flatten() else {
            return Ok(Conditions { ends, adrift: None });
        };
        let mut shell_command = tmux.run(&["show-options", "-gqv", "default-command"], deadline)?;
        shell_command.truncate(shell_command.trim_ascii_end().len());
        let words =
            program::ourselves().map(|own| [own.into_os_string().into_vec(), START_IN.into()]);
        Ok(Conditions { ends, adrift: Some(Adrift { directory, words, shell_command }) })
    }

    /// Whether sessions are to be spared until a client has been there.
    pub(super) fn spares(&self) -> bool {
        self.ends.session.is_some()
    }

    /// Whether no hook of the user's adds something to a session as soon as tmux has made it.
    pub(super) fn leave_alone(&self) -> bool {
        !self.ends.hooked
    }

    /// The words that start a pane's program in this directory, if it would not be by itself: those
    /// of the program follow, if there are any.
    pub(super) fn start_in<'a>(&'a self, directory: &'a [u8]) -> Vec<&'a [u8]> {
        let Some(adrift) = &self.adrift else { return Vec::new() };
        let Some([program, verb]) = &adrift.words else { return Vec::new() };
        vec![program, verb, directory, &adrift.shell_command]
    }

    /// What who made something should know.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.ends.server {
            notes.push(
                "exit-unattached is on and no client is attached: the tmux server exits, with all \
                 sessions"
                    .to_owned(),
            );
        } else if let Some(value) = self.ends.session {
            notes.push(format!(
                "destroy-unattached is {value}: a session ends once its last client leaves it"
            ));
        }
        if let Some(adrift) = &self.adrift {
            let what = if adrift.words.is_some() { "later windows" } else { "windows" };
            notes.push(format!(
                "the directory that the tmux server was started in is gone ({}): it starts {what} \
                 and panes there, not in their own; restart it when convenient",
                adrift.directory.display()
            ));
        }
        notes
    }
}
