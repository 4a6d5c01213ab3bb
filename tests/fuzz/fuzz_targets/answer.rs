//! What tmux answers: any bytes are an answer or none.
#![no_main]

use tmux_roster::tmux::query::{Query, parse};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for hooks in [false, true] {
        let _ = parse(Query { mark: "~x~", clear: None, hooks, options: &["@o"] }, bytes);
    }
});
