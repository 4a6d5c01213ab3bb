//! What tmux answers: any bytes are an answer or none.
#![no_main]

use tmux_roster::model::snapshot::ServerId;
use tmux_roster::tmux::query::{Query, oldest_panes, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for hooks in [false, true] {
        let _ = parse(Query { mark: "~x~", clear: None, hooks, panes: None, options: &["@o"] }, bytes);
    }
    let _ = oldest_panes("~x~", ServerId { pid: 12, start_time: 34 }, bytes);
});
