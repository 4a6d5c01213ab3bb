//! Everything that is remembered. Whoever does something with each part takes it apart in full, so
//! that a part that is added later is not forgotten.

use super::memory::{Closed, Memory};
use super::registry::Registry;

/// Everything that is remembered: three files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Remembered {
    /// sessions.json
    pub registry: Registry,
    /// The closed sessions.
    pub closed: Closed,
    /// The memory of the server.
    pub memory: Memory,
}
