//! sessions.json: any bytes are a registry or an error, and a registry is written and read back.
#![no_main]

use std::path::Path;

use tmux_roster::store::parse;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(registry) = parse(Path::new("x"), bytes) {
        let written = serde_json::to_vec(&registry).expect("it can be written");
        assert_eq!(parse(Path::new("x"), &written).expect("it can be read"), registry);
    }
});
