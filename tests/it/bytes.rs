//! No panic from any bytes: what tests/fuzz looks for with coverage and for as long as one
//! likes, here with random input in every run. Both call the same functions.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use tmux_roster::config::{OPTIONS, Settings};
use tmux_roster::model::registry::Registry;
use tmux_roster::store;
use tmux_roster::tmux::Version;
use tmux_roster::tmux::query::{self, Query};

use crate::env::ROSTER;

/// Pieces of what is expected, in any order, with anything between.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "\"a\"",
    "{\"schema_version\":1,\"sessions\":{",
    "\"schema_version\":",
    "\"sessions\":",
    "\"uuid\":",
    "\"name\":\"x\"",
    "\"created_at\":\"2026-01-01T00:00:00Z\"",
    "\"created_at\":\"9999-99-99T99:99:99.999999999+99:99\"",
    "1",
    "-1",
    "1e999",
    "18446744073709551616",
    "\"\\ud800\"",
    "\u{feff}",
];

const ANSWER: &[&str] = &[
    "~x~",
    "E\n",
    "end",
    "~x~E\n",
    "~x~end~x~",
    "$1",
    "$",
    "5",
    "-5",
    "99999999999999999999",
    "\\",
    "\\0",
    "\\777",
    "\\377",
    "a",
    "",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn any_bytes_are_a_registry_or_an_error(bytes in pieces(JSON)) {
        if let Ok(registry) = store::parse(Path::new("x"), &bytes) {
            // What is read can be written, and is read again as the same.
            let written = serde_json::to_vec(&registry).unwrap();
            let again: Registry = store::parse(Path::new("x"), &written).unwrap();
            prop_assert_eq!(again, registry);
        }
    }

    #[test]
    fn any_bytes_are_an_answer_or_none(bytes in pieces(ANSWER), hooks: bool) {
        let query = Query { mark: "~x~", clear: None, hooks, options: &["@o"] };
        let _ = query::parse(query, &bytes);
        let _ = Version::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_are_options(
        values in prop::collection::vec(
            pieces(&["\"", "'", "\\", "#(x)", "99999999999", "-1", "on", " ", "*", "["]),
            0..=OPTIONS.len() + 1,
        )
    ) {
        let _ = Settings::parse(&values);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn any_command_line_is_answered(
        words in prop::collection::vec(
            prop_oneof![
                prop::sample::select(vec![
                    "list", "show", "names", "path", "closed", "store", "--file", "/nowhere/f",
                    "get", "validate", "sanitize", "--", "--json", "-L", "fuzz", "-S", "help",
                    "--help", "--sort", "=", "--state=", "--=", "-", "complete", "\u{1f980}", "",
                ]).prop_map(str::to_owned),
                "[^\0]{0,6}",
            ],
            0..5,
        )
    ) {
        // Readers alone: nothing here may reach a server or make a folder.
        let output = Command::new(ROSTER)
            .args(["-L", "no-such-server-for-tests"])
            .args(&words)
            .env_clear()
            .env("TMUX_TMPDIR", "/nonexistent")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        prop_assert!(matches!(output.status.code(), Some(0..=2)), "{words:?}: {output:?}");
        prop_assert!(!said.contains("panicked"), "{words:?}: {said}");
    }
}
