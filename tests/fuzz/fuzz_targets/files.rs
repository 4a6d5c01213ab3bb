//! All that a sync reads: whatever the three files hold and tmux answers, it makes a plan of it,
//! and another one of what that plan leaves.
#![no_main]

use std::path::Path;

use tmux_roster::Timestamp;
use tmux_roster::model::glob::Glob;
use tmux_roster::model::memory::{Closed, Memory};
use tmux_roster::model::reconcile::{reconcile};
use tmux_roster::model::policy::{Policy};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::new_uuid;
use tmux_roster::store;
use tmux_roster::tmux::query::{Query, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.split(|byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let mut before = Remembered {
        memory: serde_json::from_slice::<Memory>(part()).unwrap_or_default(),
        closed: serde_json::from_slice::<Closed>(part()).unwrap_or_default(),
        registry: store::parse(Path::new("x"), part()).unwrap_or_default(),
    };
    let query = Query { mark: "~x~", clear: None, hooks: false, panes: None, options: &[] };
    let Some(answer) = parse(query, part()) else { return };
    let policy = Policy { ignore: vec![Glob::new("*?[x-z]*")], ..Policy::default() };
    for now in [1_800_000_000, 0, 1_900_000_000] {
        let now = Timestamp::from_unix(now).expect("a time");
        let plan = reconcile(&before, &answer.snapshot, &policy, now, &mut new_uuid);
        before = Remembered { memory: plan.memory_after, ..plan.next };
    }
});
