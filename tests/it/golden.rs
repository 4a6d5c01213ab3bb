//! Every file of `tests/fixtures` through every operation, against what the reference answered.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tmux_roster::Timestamp;
use tmux_roster::model::session::is_uuid;

use crate::env::{Folder, ROSTER};

/// A difference between the reference and us that is meant. It is checked from both sides: our
/// answer must be the one that `ours` makes of the reference's, and that must be another one.
struct Difference {
    reason: &'static str,
    fixtures: &'static [&'static str],
    operations: &'static [&'static str],
    ours: fn(&Case, &mut Outcome),
}

const EVERY: &[&str] = &[];
const READS: &[&str] = &["list", "names", "get"];
const UPDATES: &[&str] = &["attached", "health", "mode", "rename", "delete"];
const WRITES: &[&str] = &["attached", "health", "mode", "rename", "delete", "save"];
const NEWER: &[&str] =
    &["newer-v2-by-ctm", "newer-v3-by-ctm", "schema-2-no-unknown", "schema-huge", "schema-i64max"];
const DAMAGED: &[&str] = &[
    "array",
    "created-empty",
    "deep-obj-in-session",
    "not-json",
    "nul-in-string",
    "nul-prefix",
    "number",
    "raw-control",
    "schema-bool",
    "schema-string",
    "single-quotes",
    "string",
    "time-15",
    "time-17",
    "time-21",
    "time-22",
    "time-23",
    "true",
    "truncated",
    "utf16",
    "v0-keyorder",
];

const DIFFERENCES: &[Difference] = &[
    Difference {
        reason: "a newer registry is refused, on reads and writes, and left as it is",
        fixtures: NEWER,
        operations: &["list", "names", "get", "save", "delete-all"],
        ours: |_, outcome| outcome.refuse("this roster knows up to 1"),
    },
    Difference {
        reason: "the same where the reference did not find the session after moving the file",
        fixtures: &["newer-v2-by-ctm", "newer-v3-by-ctm", "schema-huge"],
        operations: UPDATES,
        ours: |_, outcome| outcome.refuse("this roster knows up to 1"),
    },
    Difference {
        reason: "the same where the reference read the file and stamped it down to 1",
        fixtures: &["schema-2-no-unknown"],
        operations: UPDATES,
        ours: |_, outcome| outcome.refuse("this roster knows up to 1"),
    },
    Difference {
        reason: "a read of a damaged registry says so, and touches nothing",
        fixtures: DAMAGED,
        operations: READS,
        ours: |_, outcome| outcome.refuse("is damaged"),
    },
    Difference {
        reason: "what a damaged file held is private: its copy has mode 0600",
        fixtures: DAMAGED,
        operations: WRITES,
        ours: |_, outcome| outcome.set("sessions.json.corrupt.<NS>", 0o600, Content::Same),
    },
    Difference {
        reason: "a damaged registry is rebuilt at once, not when something is saved",
        fixtures: DAMAGED,
        operations: UPDATES,
        ours: |_, outcome| outcome.set("sessions.json", 0o600, Content::Text(EMPTY.into())),
    },
    Difference {
        reason: "fields that we do not know are no cause for a copy of the file",
        fixtures: &["v0-keyorder"],
        operations: WRITES,
        ours: |_, outcome| outcome.remove("sessions.json.bak.unknowns.<NS>"),
    },
    Difference {
        reason: "unknown fields are kept on a read",
        fixtures: &["deep-200-unknown", "unknown-top", "unknown-top-html"],
        operations: READS,
        ours: |_, outcome| {
            outcome.remove("sessions.json.bak.unknowns.<NS>");
            outcome.set("sessions.json", 0o640, Content::Same);
        },
    },
    Difference {
        reason: "unknown fields are kept on a write that finds nothing to do",
        fixtures: &["deep-200-unknown"],
        operations: UPDATES,
        ours: |_, outcome| {
            outcome.remove("sessions.json.bak.unknowns.<NS>");
            outcome.set("sessions.json", 0o640, Content::Same);
        },
    },
    Difference {
        reason: "unknown fields are kept on a write",
        fixtures: &["unknown-top", "unknown-top-html"],
        operations: WRITES,
        ours: |case, outcome| {
            outcome.remove("sessions.json.bak.unknowns.<NS>");
            outcome.keep_unknown(case);
        },
    },
    Difference {
        reason: "unknown fields are kept on a write, however deep",
        fixtures: &["deep-200-unknown"],
        operations: &["save"],
        ours: |case, outcome| {
            outcome.remove("sessions.json.bak.unknowns.<NS>");
            outcome.keep_unknown(case);
        },
    },
    Difference {
        reason: "delete-all deletes sessions, not what others keep in the file",
        fixtures: &["deep-200-unknown", "unknown-top", "unknown-top-html"],
        operations: &["delete-all"],
        ours: |case, outcome| outcome.keep_unknown(case),
    },
    Difference {
        reason: "an unknown field inside a session is no damage, and is kept",
        fixtures: &["unknown-in-session"],
        operations: &["list", "names", "get", "attached", "health", "mode", "rename", "delete"],
        ours: |case, outcome| {
            let record = case.input().split_once("{\"a\":").expect("a").1;
            let record = record.strip_suffix("}}").expect("the end").to_owned();
            let file = |record: &str| {
                Content::Text(format!("{{\"schema_version\":1,\"sessions\":{{{record}}}}}"))
            };
            outcome.code = 0;
            outcome.error = "";
            outcome.remove("sessions.json.corrupt.<NS>");
            let zero = "0001-01-01T00:00:00Z";
            let health_at = format!("\"last_health_at\":\"{zero}\"");
            let changed = match case.operation() {
                "list" => return outcome.answer_and_keep(format!("[{record}]")),
                "names" => return outcome.answer_and_keep("[\"a\"]".into()),
                "get" => return outcome.answer_and_keep(record),
                "attached" => record.replacen(zero, "<NOW>", 1),
                "health" => record.replace(
                    &health_at,
                    "\"last_health_status\":\"ok\",\"last_health_at\":\"<NOW>\"",
                ),
                "mode" => record.replace("\"safe\"", "\"yolo\""),
                "rename" => record.replace("\"name\":\"a\"", "\"name\":\"renamed\""),
                _ => return outcome.set("sessions.json", 0o600, file("")),
            };
            let name = if case.operation() == "rename" { "renamed" } else { "a" };
            outcome.set("sessions.json", 0o600, file(&format!("\"{name}\":{changed}")));
        },
    },
    Difference {
        reason: "an unknown field inside a session is no damage, and is kept when another is saved",
        fixtures: &["unknown-in-session"],
        operations: &["save"],
        ours: |case, outcome| {
            let fresh = outcome.answer.trim().to_owned();
            let input = case.input().strip_suffix("}}").expect("the end");
            outcome.remove("sessions.json.corrupt.<NS>");
            let text = format!("{input},\"fresh\":{fresh}}}}}");
            outcome.set("sessions.json", 0o600, Content::Text(text));
        },
    },
    Difference {
        reason: "a session that is null is none, where the reference shows it or panics",
        fixtures: &["session-null"],
        operations: &["list", "names"],
        ours: |_, outcome| outcome.answer = "[]\n".into(),
    },
    Difference {
        reason: "a session that is null is not found, where the reference shows it or panics",
        fixtures: &["session-null"],
        operations: &["get", "attached", "health", "mode", "rename", "delete"],
        ours: |_, outcome| {
            outcome.answer.clear();
            outcome.code = 1;
            outcome.error = "session \"a\" not found";
            outcome.set("sessions.json", 0o640, Content::Same);
        },
    },
    Difference {
        reason: "a session that is null is not written again",
        fixtures: &["session-null"],
        operations: &["save"],
        ours: |_, outcome| outcome.edit("\"a\":null,", ""),
    },
    Difference {
        reason: "the reference reads an offset of 24 hours but cannot write it; we write UTC",
        fixtures: &["time-18"],
        operations: &["list", "get", "attached", "health", "mode", "rename", "save"],
        ours: |case, outcome| {
            let input = case.input().replace("2026-04-18T19:22:22+24:00", "2026-04-17T19:22:22Z");
            let record = input.split_once("{\"a\":").expect("a").1;
            let record = record.strip_suffix("}}").expect("the end");
            let zero = "0001-01-01T00:00:00Z";
            outcome.code = 0;
            outcome.error = "";
            let changed = match case.operation() {
                "list" => return outcome.answer_and_keep(format!("[{record}]")),
                "get" => return outcome.answer_and_keep(record.to_owned()),
                "attached" => input.replacen(zero, "<NOW>", 1),
                "health" => input.replace(
                    &format!("\"last_health_at\":\"{zero}\""),
                    "\"last_health_status\":\"ok\",\"last_health_at\":\"<NOW>\"",
                ),
                "mode" => input.replace("\"safe\"", "\"yolo\""),
                "rename" => input.replace("\"a\"", "\"renamed\""),
                _ => {
                    let fresh = format!(
                        "{{\"name\":\"fresh\",\"uuid\":\"<UUID>\",\"mode\":\"safe\",\
                         \"workdir\":\"/w/fresh\",\"created_at\":\"<NOW>\",\
                         \"last_attached_at\":\"{zero}\",\"last_health_at\":\"{zero}\"}}"
                    );
                    let input = input.strip_suffix("}}").expect("the end");
                    outcome.answer = format!("{fresh}\n");
                    format!("{input},\"fresh\":{fresh}}}}}")
                }
            };
            outcome.set("sessions.json", 0o600, Content::Text(changed));
        },
    },
    Difference {
        reason: "a migration refuses a negative version, where the reference panics",
        fixtures: &["schema-negative"],
        operations: &["migrate"],
        ours: |_, outcome| {
            outcome.code = 1;
            outcome.error = "not a whole number";
        },
    },
    Difference {
        reason: "a migration keeps the fields in their order, the version first, not by name",
        fixtures: &["v0-keyorder"],
        operations: &["migrate"],
        ours: |case, outcome| {
            let fields = case.input().trim_start_matches('{');
            let text = format!("{{\"schema_version\":1,{fields}");
            outcome.set("sessions.json", 0o640, Content::Text(text));
        },
    },
    Difference {
        reason: "the answer of migrate is its exit code",
        fixtures: EVERY,
        operations: &["migrate"],
        ours: |_, outcome| outcome.answer.clear(),
    },
    Difference {
        reason: "a migration takes the lock that every writer takes",
        fixtures: EVERY,
        operations: &["migrate"],
        ours: |_, outcome| outcome.set("sessions.json.lock", 0o600, Content::Text("".into())),
    },
    Difference {
        reason: "a backup is private, whatever the mode of the registry",
        fixtures: EVERY,
        operations: &["migrate"],
        ours: |_, outcome| {
            if outcome.files.contains_key("sessions.json.bak.<NS>") {
                outcome.set("sessions.json.bak.<NS>", 0o600, Content::Same);
            }
        },
    },
    Difference {
        reason: "the path of a backup is for a script, not for a JSON reader",
        fixtures: EVERY,
        operations: &["backup"],
        ours: |_, outcome| outcome.answer = outcome.answer.replace('"', ""),
    },
    Difference {
        reason: "readers take no lock, and make no lock file",
        fixtures: EVERY,
        operations: READS,
        ours: |_, outcome| outcome.remove("sessions.json.lock"),
    },
    Difference {
        reason: "a last good copy is kept beside what a write leaves",
        fixtures: EVERY,
        operations: &["attached", "health", "mode", "rename", "delete", "save", "delete-all"],
        ours: |_, outcome| {
            // The fixtures have mode 0640: what has 0600 was written.
            if outcome.files.get("sessions.json").is_some_and(|file| file.mode == 0o600) {
                outcome.set("sessions.json.last", 0o600, Content::LikeRegistry);
            }
        },
    },
];

const EMPTY: &str = "{\"schema_version\":1,\"sessions\":{}}";

/// One line of golden.jsonl.
struct Case {
    fixture: String,
    args: Vec<String>,
    input: Vec<u8>,
}

#[derive(Clone, PartialEq)]
struct Outcome {
    code: i64,
    answer: String,
    /// What stderr must hold; the wording of the reference is not part of the format.
    error: &'static str,
    files: BTreeMap<String, File>,
}

#[derive(Clone, PartialEq)]
struct File {
    mode: u64,
    content: Content,
}

#[derive(Clone, PartialEq)]
enum Content {
    /// The bytes of the fixture.
    Same,
    /// This JSON, in this order, with `<NOW>` and `<UUID>` in it.
    Text(String),
    /// The start of the SHA-256 of the bytes.
    Sha(String),
    /// A registry that is too long for golden.jsonl and holds a time.
    Long,
    /// The bytes of sessions.json.
    LikeRegistry,
}

impl Outcome {
    fn set(&mut self, name: &str, mode: u64, content: Content) {
        self.files.insert(name.into(), File { mode, content });
    }

    fn remove(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// An error, with the registry as it was and nothing beside it but the lock.
    fn refuse(&mut self, error: &'static str) {
        self.code = 1;
        self.answer.clear();
        self.error = error;
        self.files.retain(|name, _| name == "sessions.json.lock");
        self.set("sessions.json", 0o640, Content::Same);
    }

    fn answer_and_keep(&mut self, answer: String) {
        self.answer = format!("{answer}\n");
        self.set("sessions.json", 0o640, Content::Same);
    }

    fn edit(&mut self, from: &str, to: &str) {
        if let Some(File { content: Content::Text(text), .. }) = self.files.get_mut("sessions.json")
        {
            *text = text.replacen(from, to, 1);
        }
    }

    /// Puts the fields after "sessions" of the fixture behind what the reference left.
    fn keep_unknown(&mut self, case: &Case) {
        let start = ["\"typo\"", "\"x\""].iter().find_map(|key| case.input().find(key));
        let unknown = &case.input()[start.expect("an unknown field")..];
        match self.files.get_mut("sessions.json") {
            Some(File { content: Content::Text(text), .. }) => {
                text.pop();
                text.push(',');
                text.push_str(unknown.trim_end());
            }
            _ => panic!("the reference left another file"),
        }
    }
}

impl Case {
    fn operation(&self) -> &str {
        &self.args[0]
    }

    fn input(&self) -> &str {
        std::str::from_utf8(&self.input).expect("the fixture is text")
    }
}

#[test]
fn every_fixture_through_every_operation() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let golden = fs::read_to_string(fixtures.join("golden.jsonl")).expect("golden.jsonl");
    let mut occurred = vec![Vec::new(); DIFFERENCES.len()];
    let mut problems = Vec::new();
    for line in golden.lines() {
        let (case, reference) = read_line(&fixtures, line);
        let mut expected = reference;
        for (difference, occurred) in DIFFERENCES.iter().zip(&mut occurred) {
            let applies = |list: &[&str], what: &str| list.is_empty() || list.contains(&what);
            if applies(difference.fixtures, &case.fixture)
                && applies(difference.operations, case.operation())
            {
                let before = expected.clone();
                (difference.ours)(&case, &mut expected);
                occurred.push(before != expected);
            }
        }
        if let Err(problem) = run(&case, &expected) {
            problems.push(format!("{} {:?}: {problem}", case.fixture, case.args));
        }
    }
    for (difference, occurred) in DIFFERENCES.iter().zip(occurred) {
        // A rule for every file may have nothing to change in some; one for a named file may not.
        let named = !difference.fixtures.is_empty();
        if !occurred.contains(&true) || (named && occurred.contains(&false)) {
            problems.push(format!("is no difference: {}", difference.reason));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

fn read_line(fixtures: &Path, line: &str) -> (Case, Outcome) {
    let golden: Value = serde_json::from_str(line).expect("a line of golden.jsonl");
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let fixture = text(&golden["fixture"]);
    let args = golden["args"].as_array().expect("args").iter().map(text).collect();
    let input = ["good", "bad"]
        .iter()
        .find_map(|folder| fs::read(fixtures.join(folder).join(format!("{fixture}.json"))).ok());
    let files = golden["files"].as_object().expect("files").iter().map(|(name, file)| {
        let mode = text(&file["mode"]);
        let mode = u64::from_str_radix(mode.trim_start_matches("0o"), 8).expect("a mode");
        let content = match (&file["same_as_input"], &file["text"], &file["sha"]) {
            (Value::Bool(true), _, _) => Content::Same,
            (_, Value::String(text), _) => Content::Text(text.clone()),
            (_, _, Value::String(sha)) => Content::Sha(sha.clone()),
            _ => Content::Long,
        };
        (name.clone(), File { mode, content })
    });
    let outcome = Outcome {
        code: golden["rc"].as_i64().expect("rc"),
        answer: text(&golden["stdout"]),
        error: "",
        files: files.collect(),
    };
    (Case { fixture, args, input: input.expect("the fixture") }, outcome)
}

fn run(case: &Case, expected: &Outcome) -> Result<(), String> {
    let folder = Folder::new();
    let path = folder.path().join("sessions.json");
    fs::write(&path, &case.input).expect("the fixture is copied");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("mode 0640");
    let start = Timestamp::now();
    let output = Command::new(ROSTER)
        .args(["store", "--file"])
        .arg(&path)
        .args(&case.args)
        .env_clear()
        .output()
        .expect("roster runs");
    let mask = Mask { start, end: Timestamp::now(), folder: folder.path(), case };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code().map(i64::from) != Some(expected.code) {
        return Err(format!("{}, not {}: {said}", output.status, expected.code));
    }
    if (expected.code == 0) != said.is_empty() || !said.contains(expected.error) {
        return Err(format!("said {said:?}, not {:?}", expected.error));
    }
    match expected.answer.strip_prefix("sha:") {
        Some(sha) => mask.same_sha(sha, &output.stdout),
        None => mask.same_text(&expected.answer, &output.stdout),
    }
    .map_err(|problem| format!("answer: {problem}"))?;
    mask.compare_files(&expected.files)
}

/// What changes from run to run, and the bounds of it.
struct Mask<'a> {
    start: Timestamp,
    end: Timestamp,
    folder: &'a Path,
    case: &'a Case,
}

impl Mask<'_> {
    fn compare_files(&self, expected: &BTreeMap<String, File>) -> Result<(), String> {
        let found: BTreeMap<String, PathBuf> = fs::read_dir(self.folder)
            .expect("the folder")
            .map(|entry| {
                let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
                let path = self.folder.join(&name);
                match name.rsplit_once('.') {
                    Some((kind, nanos)) if self.is_nanos(nanos) => (format!("{kind}.<NS>"), path),
                    _ => (name, path),
                }
            })
            .collect();
        if !found.keys().eq(expected.keys()) {
            let expected: Vec<_> = expected.keys().collect();
            return Err(format!("files {:?}, not {expected:?}", found.keys()));
        }
        for (name, file) in expected {
            let path = &found[name];
            let bytes = fs::read(path).expect("a file");
            let mode = u64::from(fs::metadata(path).expect("a file").permissions().mode() & 0o7777);
            if mode != file.mode {
                return Err(format!("{name}: mode {mode:o}, not {:o}", file.mode));
            }
            let same = |wanted: &[u8]| {
                (bytes == wanted).then_some(()).ok_or_else(|| "other bytes".to_owned())
            };
            match &file.content {
                Content::Same => same(&self.case.input),
                Content::LikeRegistry => same(&fs::read(&found["sessions.json"]).expect("it")),
                Content::Text(text) => self.same_text(text, &bytes),
                Content::Sha(sha) => self.same_sha(sha, &bytes),
                Content::Long => match tmux_roster::store::parse(path, &bytes) {
                    Ok(_) if bytes != self.case.input => Ok(()),
                    Ok(_) => Err("nothing has changed".into()),
                    Err(error) => Err(error.to_string()),
                },
            }
            .map_err(|problem| format!("{name}: {problem}"))?;
        }
        Ok(())
    }

    /// The same JSON in the same order: spaces and the way to write a character do not count.
    fn same_text(&self, golden: &str, found: &[u8]) -> Result<(), String> {
        let found = plain(std::str::from_utf8(found).map_err(|error| error.to_string())?);
        let golden = plain(golden);
        let (mut left, mut wanted) = (found.as_str(), golden.as_str());
        let differ = || Err(format!("{found} is not {golden}"));
        while let Some(at) = wanted.find("<") {
            let Some(rest) = left.strip_prefix(&wanted[..at]) else { return differ() };
            (left, wanted) = (rest, &wanted[at..]);
            let end = left.find(['"', '\n', '/']).unwrap_or(left.len());
            let taken = if wanted.starts_with("<UUID>") && is_uuid(&left[..end]) {
                // A new one: not copied from somewhere.
                (!self.case.fixture_has(&left[..end])).then_some(("<UUID>", end))
            } else if wanted.starts_with("<NOW>") {
                self.is_now(&left[..end]).then_some(("<NOW>", end))
            } else if wanted.starts_with("<NS>") {
                self.is_nanos(&left[..end]).then_some(("<NS>", end))
            } else if wanted.starts_with("<DIR>") {
                let folder = self.folder.to_str().expect("UTF-8");
                left.starts_with(folder).then_some(("<DIR>", folder.len()))
            } else {
                left.starts_with('<').then_some(("<", 1))
            };
            let Some((mark, end)) = taken else { return differ() };
            (left, wanted) = (&left[end..], &wanted[mark.len()..]);
        }
        if left == wanted { Ok(()) } else { differ() }
    }

    fn same_sha(&self, wanted: &str, bytes: &[u8]) -> Result<(), String> {
        let mut program = Command::new("sha256sum")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sha256sum runs");
        program.stdin.take().expect("stdin").write_all(bytes).expect("it reads");
        let sum = program.wait_with_output().expect("it ends").stdout;
        let found = String::from_utf8_lossy(&sum[..wanted.len()]).into_owned();
        if found == wanted { Ok(()) } else { Err(format!("SHA {found} is not {wanted}")) }
    }

    fn is_now(&self, text: &str) -> bool {
        Timestamp::parse(text)
            .is_some_and(|time| self.start <= time && time <= self.end && time.to_string() == text)
    }

    fn is_nanos(&self, text: &str) -> bool {
        text.parse().is_ok_and(|nanos: i128| {
            self.start.unix_nanos() <= nanos && nanos <= self.end.unix_nanos()
        })
    }
}

impl Case {
    fn fixture_has(&self, text: &str) -> bool {
        self.input.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

/// JSON without spaces between its parts and with the escapes that only Go writes undone.
fn plain(json: &str) -> String {
    let mut plain = String::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in json.trim_end().chars() {
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        if in_string || !c.is_whitespace() {
            plain.push(c);
        }
    }
    for (escape, c) in [
        ("\\u003c", "<"),
        ("\\u003e", ">"),
        ("\\u0026", "&"),
        ("\\u2028", "\u{2028}"),
        ("\\u2029", "\u{2029}"),
    ] {
        plain = plain.replace(escape, c);
    }
    plain
}
