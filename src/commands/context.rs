//! Which server and which folder a command is about, and why a command did not end well.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::{Environment, Place, one_spelling};
use tmux_roster::host::Seeker;
use tmux_roster::tmux::text::unescape_dollars;
use tmux_roster::tmux::{ANSWER_LIMIT, Tmux, TmuxError};
use tmux_roster::transaction::{self, Trigger};
use tmux_roster::{Store, host};

/// Why a command did not end well. It is one word long, since nearly every function may return it.
pub struct Failure(Box<Why>);

struct Why {
    text: String,
    /// The command line is off.
    is_usage: bool,
}

impl Failure {
    /// The command line is off.
    pub fn usage(text: String) -> Failure {
        Failure(Box::new(Why { text, is_usage: true }))
    }

    pub fn is_usage(&self) -> bool {
        self.0.is_usage
    }

    /// What is said of it.
    pub fn text(&self) -> &str {
        &self.0.text
    }
}

impl<E: Into<Box<dyn std::error::Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        failed(error.into())
    }
}

/// It could not be done.
#[inline(never)]
fn failed(error: Box<dyn std::error::Error>) -> Failure {
    Failure(Box::new(Why { text: error.to_string(), is_usage: false }))
}

/// What a command returns.
pub type Outcome = Result<ExitCode, Failure>;

/// Which server a command is about.
pub struct Context {
    pub environment: Environment,
    socket_name: Option<String>,
    socket_path: Option<String>,
}

impl Context {
    pub fn new(socket_name: Option<String>, socket_path: Option<String>) -> Context {
        Context { environment: Environment::read(), socket_name, socket_path }
    }

    /// Whether a server was named.
    pub fn names_server(&self) -> bool {
        self.socket_name.is_some() || self.socket_path.is_some()
    }

    /// The words that named it.
    pub fn server_words(&self) -> Vec<&str> {
        let words = [("-L", &self.socket_name), ("-S", &self.socket_path)];
        let named =
            words.into_iter().filter_map(|(option, value)| Some([option, value.as_deref()?]));
        named.flatten().collect()
    }

    pub fn socket(&self) -> PathBuf {
        self.environment.socket(self.socket_path.as_deref(), self.socket_name.as_deref())
    }

    /// Whether the command was typed inside that server.
    pub fn is_inside(&self) -> bool {
        self.environment.tmux.as_ref().is_some_and(|(socket, _)| {
            let ours = self.socket();
            *socket == ours || one_spelling(socket) == one_spelling(&ours)
        })
    }

    pub fn tmux(&self) -> Tmux {
        let socket = self.socket();
        Tmux { program: self.environment.tmux_program(&socket), socket, outwaits_exit: true }
    }

    /// The place as the environment alone has it: enough where no server is to be asked.
    pub fn place_without_tmux(&self) -> Result<Place, Failure> {
        let tmux = self.tmux();
        Ok(Place { dir: self.dir_without_tmux(&tmux.socket)?, tmux })
    }

    /// The folder of that place: to find the tmux program takes longer than to read a registry.
    fn dir_without_tmux(&self, socket: &Path) -> Result<PathBuf, Failure> {
        let seeker = Seeker { socket, process: self.own_server() };
        self.dir_by(socket, |dir| host::settle(dir, seeker))
    }

    /// The same where milliseconds count, and tmux is not called.
    pub fn place_at_once(&self) -> Result<Place, Failure> {
        let socket = self.socket();
        let dir = self.dir_by(&socket, |dir| host::settle_quickly(dir, &socket))?;
        Ok(Place { tmux: Tmux { program: "tmux".into(), socket, outwaits_exit: false }, dir })
    }

    /// The process of the server that we were started in.
    fn own_server(&self) -> Option<u32> {
        self.environment.server.filter(|_| self.is_inside())
    }

    fn dir_by(
        &self,
        socket: &Path,
        settle: impl FnOnce(PathBuf) -> PathBuf,
    ) -> Result<PathBuf, Failure> {
        let published = self.environment.published_dir(socket).map(PathBuf::from);
        let dir = published.or_else(|| self.environment.own_dir(socket).map(settle));
        Ok(dir
            .ok_or("there is no directory for the registry: neither HOME nor XDG_STATE_HOME is set to an absolute path")?)
    }

    /// The place that a job was told.
    pub fn place_of_job(&self, dir: &str, program: &str) -> Place {
        let (program, socket) = (PathBuf::from(program), self.socket());
        let tmux = Tmux { program, socket, outwaits_exit: false };
        Place { tmux, dir: PathBuf::from(dir) }
    }

    /// The place as the plugin settled it in the server, if one runs.
    pub fn place(&self) -> Result<Place, Failure> {
        let tmux = self.tmux();
        if let Some(dir) = self.environment.published_dir(&tmux.socket) {
            return Ok(Place { dir: dir.to_owned(), tmux });
        }
        let deadline = Instant::now() + ANSWER_LIMIT;
        let show = ["show-options", "-gqv", "@roster_dir"];
        match tmux.run(&show, deadline) {
            Ok(printed) => {
                let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
                let path = |bytes: Vec<u8>| PathBuf::from(OsString::from_vec(bytes));
                // tmux 3.4 prints `$x` as `\$x`; the plugin made the folder.
                let mut dir = path(printed.to_vec());
                if !dir.is_dir() {
                    dir = path(unescape_dollars(printed));
                }
                if dir.is_absolute() {
                    return Ok(Place { tmux, dir });
                }
            }
            Err(TmuxError::NoServer { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.place_without_tmux()
    }
}

/// The store of a place, for those who wait at a terminal.
pub fn store_of(place: &Place) -> Store {
    transaction::store(place, Trigger::Person)
}
