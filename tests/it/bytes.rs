//! No panic from any bytes: what tests/fuzz looks for with coverage and for as long as one
//! likes, here with random input in every run. Both call the same functions.

use std::path::Path;
use std::process::Command;

use proptest::prelude::*;
use tmux_roster::Timestamp;
use tmux_roster::config::{OPTIONS, Settings};
use tmux_roster::model::layout::LiveLayout;
use tmux_roster::model::policy::Policy;
use tmux_roster::model::reconcile::reconcile;
use tmux_roster::model::registry::Registry;
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::session::new_uuid;
use tmux_roster::model::snapshot::ServerId;
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
    "~x~s~x~",
    "~x~p~x~",
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

/// What the two files of our own hold, beside the registry: sessions that tmux has and has not.
const OURS: &[&str] = &[
    "\"stamps\":255",
    "\"stamps\":1",
    "\"clone\":true",
    "\"mode\":\"m\"",
    "\"stamped_over\":\"u2\"",
];

/// None, what is no UUID, and three that are.
const UUIDS: [&str; 5] = [
    "",
    "#(u)",
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
];

/// A memory and a list of closed sessions that anybody could have edited.
fn files() -> impl Strategy<Value = (String, String)> {
    let id = || prop::sample::select(vec!["$0", "$1", "$2", "$7", "$4294967295"]);
    let uuid = || prop::sample::select(&UUIDS[..]);
    let at = || {
        prop::sample::select(vec![
            "0000-01-01T00:00:00Z",
            "2026-04-18T19:22:22.5Z",
            "9999-12-31T23:59:59.999999999Z",
        ])
    };
    let fields = prop::collection::btree_set(prop::sample::select(OURS), 0..OURS.len());
    let known = (id(), uuid(), fields).prop_map(|(id, uuid, mut fields)| {
        // One of the two alone, or it does not parse.
        if fields.contains(OURS[0]) {
            fields.remove(OURS[1]);
        }
        let fields: String = fields.iter().map(|field| format!(",{field}")).collect();
        format!("\"{id}\":{{\"uuid\":\"{uuid}\",\"name\":\"a\"{fields}}}")
    });
    let server = prop::sample::select(vec![(12, 34), (12, i64::MIN), (0, i64::MAX)]);
    let known = prop::collection::vec(known, 0..4);
    let memory = (server.clone(), known, uuid(), at(), at());
    let memory = memory.prop_map(|((pid, start), known, uuid, lost, look)| {
        format!(
            "{{\"version\":1,\"server\":{{\"pid\":{pid},\"start_time\":{start}}},\
             \"sessions\":{{{}}},\"lost_since\":{{\"{uuid}\":\"{lost}\"}},\"look_at\":\"{look}\",\
             \"exact\":{{\"{uuid}\":{{\"name\":\"f\",\"workdir\":\"zz\"}}}}}}",
            known.join(",")
        )
    });
    let entry = (uuid(), at(), server).prop_map(|(uuid, at, (pid, start))| {
        format!(
            "{{\"session\":{{\"name\":\"a\",\"uuid\":\"{uuid}\"}},\"closed_at\":\"{at}\",\
             \"unproven\":{{\"pid\":{pid},\"start_time\":{start}}}}}"
        )
    });
    let closed = prop::collection::vec(entry, 0..4)
        .prop_map(|entries| format!("{{\"version\":1,\"closed\":[{}]}}", entries.join(",")));
    (memory, closed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn whatever_stands_in_our_files_a_sync_makes_a_plan(
        (memory, closed) in files(),
        registry in pieces(JSON),
        stamps in prop::array::uniform2(prop::sample::select(&UUIDS[..])),
        now in prop::sample::select(vec![-62_000_000_000, 0, 1_800_000_000, 253_402_300_799]),
    ) {
        let mut before = Remembered {
            memory: serde_json::from_str(&memory).unwrap(),
            closed: serde_json::from_str(&closed).unwrap(),
            registry: store::parse(Path::new("x"), &registry).unwrap_or_default(),
        };
        let session = |(n, stamp): (usize, &&str)| {
            format!("~x~s~x~${n}~x~5~x~9~x~1~x~{stamp}~x~~x~~x~~x~0~x~1~x~{n}~x~2~x~/w~x~E\n")
        };
        let sessions: String = stamps.iter().enumerate().map(session).collect();
        let answer = sessions + "~x~end~x~..~x~12~x~34~x~3.4~x~~x~E\n";
        let query = Query { mark: "~x~", clear: None, hooks: false, panes: None, options: &[] };
        let snapshot = query::parse(query, answer.as_bytes()).unwrap().snapshot;
        let now = Timestamp::from_unix(now).unwrap();
        for _ in 0..2 {
            let plan = reconcile(&before, &snapshot, &Policy::default(), now, &mut new_uuid);
            prop_assert_eq!(plan.live.len(), 2);
            before = Remembered { memory: plan.memory_after, ..plan.next };
        }
    }

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
        let query = Query { mark: "~x~", clear: None, hooks, panes: None, options: &["@o"] };
        let _ = query::parse(query, &bytes);
        let server = ServerId { pid: 12, start_time: 34 };
        let _ = query::oldest_panes("~x~", server, &bytes);
        let _ = Version::parse(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_text_is_a_layout_or_an_error(
        body in pieces(&["5x1,0,0", ",0", ",7", "2x1,3,0", "{", "}", "[", "]", "<", ">", "-1", "x"])
    ) {
        let body = String::from_utf8_lossy(&body);
        let add = |sum: u16, byte: u8| sum.rotate_right(1).wrapping_add(byte.into());
        let sum = body.bytes().fold(0, add);
        for text in [body.to_string(), format!("{sum:04x},{body}")] {
            if let Ok(live) = text.parse::<LiveLayout>() {
                let layout = live.normalised();
                prop_assert_eq!(layout.to_string().parse(), Ok(layout));
            }
        }
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
