//! The user's options: any values are settings, with complaints.
#![no_main]

use tmux_roster::config::Settings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let values: Vec<Vec<u8>> = bytes.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    let _ = Settings::parse(&values);
});
