//! What the user's options say about which sessions are recorded, and for how long.

use super::glob::Glob;
use super::session::Session;
use super::time::Timestamp;

/// What the user's options say about reconciling.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The mode of a session that nobody gave one.
    pub default_mode: String,
    /// Globs: sessions to leave alone.
    pub ignore: Vec<Glob>,
    /// How many closed sessions are kept.
    pub closed_limit: usize,
    /// Days after which a lost session moves to the closed ones; 0 for never.
    pub lost_days: u32,
    /// Seconds that a health check stays fresh; 0 for no checks.
    pub health_interval: u32,
}

impl Policy {
    /// Whether a session that is lost since then moves to the closed ones.
    pub(super) fn is_too_old(&self, since: Timestamp, now: Timestamp) -> bool {
        let days = f64::from(self.lost_days);
        days > 0.0 && now.seconds_since(since) > days * 86_400.0
    }
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            default_mode: "safe".into(),
            ignore: Vec::new(),
            closed_limit: 50,
            lost_days: 30,
            health_interval: 60,
        }
    }
}

/// Whether a session can be lost since then. By a clock that was wrong then, or is now, it cannot, and
/// counts as lost from now on.
pub(super) fn is_sound(since: Timestamp, session: &Session, now: Timestamp) -> bool {
    (session.created_at..=now).contains(&since)
}

/// Whether one of the globs matches the whole name.
pub fn is_ignored(globs: &[Glob], name: &str) -> bool {
    globs.iter().any(|glob| glob.matches(name))
}
