//! Looks that come later by themselves: the second one at what closed, and one after a job that
//! could not do its work.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::{SyncError, reachable};
use crate::config::Place;
use crate::model::snapshot::ServerId;
use crate::store::StoreError;
use crate::tmux::query::Mark;
use crate::tmux::server::{JobServer, RETRY_VARIABLE, job_server};
use crate::tmux::text::line;
use crate::tmux::{ANSWER_LIMIT, TmuxError, call};

/// How many seconds after a sync that failed the next look comes, and how many it is at most
/// while one after another fails.
const RETRY: (u32, u32) = (5, 600);

/// What a job looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The sessions.
    Sessions,
    /// The windows of sessions, too.
    Windows,
}

impl Kind {
    /// The kind that the command line of a job says.
    pub fn of_job(windows: bool) -> Kind {
        if windows { Kind::Windows } else { Kind::Sessions }
    }

    /// The option that holds tmux's command for such a look.
    fn job(self) -> &'static str {
        match self {
            Kind::Sessions => "@roster_run",
            Kind::Windows => "@roster_late",
        }
    }

    /// The variable in tmux that tells of the retry that is due.
    fn variable(self) -> &'static str {
        match self {
            Kind::Sessions => "ROSTER_LOOK",
            Kind::Windows => "ROSTER_LOOK_WINDOWS",
        }
    }
}

/// The command that takes another look after `delay`. Its timer does not delay tmux's exit.
pub(super) fn look_line(kind: Kind, delay: Duration) -> Vec<u8> {
    let job = format!("#{{{}}}", kind.job());
    let delay = format!("{}.{:03}", delay.as_secs(), delay.subsec_millis());
    line(&[b"run-shell", b"-b", b"-d", delay.as_bytes(), job.as_bytes()])
}

/// The same before 3.2, where tmux has no such timer: a process of our own, which is no job of
/// tmux's, since its exit would wait for that.
pub(super) fn look_by_ourselves(place: &Place, kind: Kind, server: ServerId, delay: Duration) {
    let Ok(program) = std::env::current_exe() else { return };
    let mut tmux = place.tmux.socket.clone().into_os_string();
    tmux.push(format!(",{},-1", server.pid));
    let _ = Command::new(program)
        .args(["look", "--after", &delay.as_millis().to_string(), "--dir"])
        .arg(&place.dir)
        .arg("--tmux")
        .arg(&place.tmux.program)
        .args((kind == Kind::Windows).then_some("--windows"))
        .env("TMUX", tmux)
        .env_remove("TMUX_PANE")
        .env_remove(RETRY_VARIABLE)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn();
}

/// Waits before a look of [`look_by_ourselves`]; tells whether there is still something to look at:
/// the server lives, and calls us.
pub fn wait_for_look(place: &Place, delay: Duration) -> bool {
    let Some(pid) = job_server() else { return false };
    let due = Instant::now() + delay;
    loop {
        let server = JobServer::look(pid);
        if let JobServer::Ended = server {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let own = reachable(place, &server);
            let place = own.as_ref().unwrap_or(place);
            let run = call::options(&place.tmux, &["@roster_run"], Instant::now() + ANSWER_LIMIT);
            // A tmux that does not say is asked again by the look itself, which has more time.
            return run.map_or(true, |values| values.iter().any(|value| !value.is_empty()));
        }
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}

/// Schedules a retry. A whole burst starts only this job, so if it failed (`error`) or ran out of
/// time, nobody else will look. Before 3.2 tmux has no timer for it, and the next event makes up
/// for the look.
///
/// However many fail meanwhile, one look is on its way, and each that fails waits twice as long
/// as the one before: what lasts must not fill the machine with jobs. A variable in tmux, one for
/// each kind of look, has the second in which it is due, and whose it is. A job of an event asks
/// for one unless one is due soon; that of a look only if no other was asked for since. A newer
/// file and another user's are not looked at again by themselves.
pub fn look_later(place: &Place, mark: Mark, kind: Kind, error: Option<&SyncError>) {
    let lasting = matches!(
        error,
        Some(
            SyncError::Store(StoreError::Newer { .. } | StoreError::NotOurs { .. })
                | SyncError::Tmux(TmuxError::NotOurs { .. })
        )
    );
    if lasting || mark != Mark::Environment {
        return;
    }
    let (before, variable) = (our_look(), kind.variable());
    let delay = match (&before, error) {
        (Some((delay, _)), Some(_)) => delay.saturating_mul(2).clamp(RETRY.0, RETRY.1),
        _ => RETRY.0,
    };
    let now =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let token = format!("{}-{}", now + u64::from(delay), std::process::id());
    let condition = match before {
        Some((_, ours)) => format!("#{{==:#{{{variable}}},{ours}}}"),
        // Of one that was due a while ago nothing came.
        None => format!(
            "#{{||:#{{<:#{{{variable}}},{}}},#{{>:#{{{variable}}},{}}}}}",
            now.saturating_sub(15),
            now + u64::from(delay) + 1
        ),
    };
    let job = kind.job();
    let look = format!(
        "set-environment -gh {variable} {token} ; \
         run-shell -b -d {delay} '{RETRY_VARIABLE}={delay}:{token} #{{{job}}}'"
    );
    run_last(place, &["if-shell", "-F", &condition, &look]);
}

/// Runs a short call for a job that is about to end.
fn run_last(place: &Place, args: &[&str]) {
    let own = job_server().and_then(|pid| JobServer::look(pid).replaced(&place.tmux));
    let tmux = own.as_ref().unwrap_or(&place.tmux);
    let _ = tmux.run(args, Instant::now() + Duration::from_millis(300));
}

/// If this is the job of a look of [`look_later`]: how long it was put off, and its token.
fn our_look() -> Option<(u32, String)> {
    let value = std::env::var(RETRY_VARIABLE).ok()?;
    let (delay, token) = value.split_once(':')?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    Some((delay.parse().ok()?, token.to_owned())).filter(|_| is_plain)
}

/// The look that this job was, if it was one, has done its work: the next that fails asks for one
/// of its own.
pub fn end_look(place: &Place, kind: Kind) {
    if let Some((_, ours)) = our_look() {
        let variable = kind.variable();
        let condition = format!("#{{==:#{{{variable}}},{ours}}}");
        let end = format!("set-environment -gu {variable}");
        run_last(place, &["if-shell", "-F", &condition, &end]);
    }
}
