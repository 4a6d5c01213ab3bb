//! The store on real files and with real processes: what it keeps, what it refuses, and what
//! is left after a crash.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use file_lock::{FileLock, FileOptions};
use proptest::prelude::*;
use rustix::fs::{FlockOperation, flock};
use tmux_roster::store::migrate::Step;
use tmux_roster::store::{KEPT_BACKUPS, KEPT_DAYS, StoreError, Times};
use tmux_roster::{MigrationPlan, Registry, Session, Store, Timestamp, migration_plan};

use crate::env::{Folder, LOAD, ROSTER, can, can_trace, check_stays, kill_at, stderr, wait_for};

const EMPTY: &str = "{\"schema_version\":1,\"sessions\":{}}";
const DAY: i128 = 86_400 * 1_000_000_000;

/// A registry in a folder of its own.
struct Place {
    folder: Folder,
}

impl Place {
    fn new() -> Place {
        Place { folder: Folder::new() }
    }

    fn with(bytes: impl AsRef<[u8]>) -> Place {
        let place = Place::new();
        place.write("sessions.json", bytes);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn registry(&self) -> PathBuf {
        self.path("sessions.json")
    }

    fn store(&self) -> Store {
        Store::new(self.registry())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("a file of the test");
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(ROSTER);
        command.args(["store", "--file"]).arg(self.registry()).args(args).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("roster runs")
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What it says when it ends with exit code 1 and prints nothing.
    fn fails(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{args:?}");
        stderr(&output)
    }

    fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("the folder")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    fn files_with(&self, part: &str) -> Vec<String> {
        self.files().into_iter().filter(|name| name.contains(part)).collect()
    }

    fn names(&self) -> Vec<String> {
        self.store().names().expect("the registry reads")
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("a file").permissions().mode() & 0o7777
}

fn record(name: &str) -> String {
    format!(
        "\"{name}\":{{\"name\":\"{name}\",\"uuid\":\"11111111-1111-4111-8111-111111111111\",\
         \"mode\":\"safe\",\"workdir\":\"/w\",\"created_at\":\"2026-04-18T19:22:22.5Z\",\
         \"last_attached_at\":\"0001-01-01T00:00:00Z\",\"last_health_at\":\"0001-01-01T00:00:00Z\"}}"
    )
}

fn registry(records: &[String]) -> String {
    format!("{{\"schema_version\":1,\"sessions\":{{{}}}}}", records.join(","))
}

// What goes in and comes out.

#[derive(Debug, Clone)]
enum Operation {
    Save(String, String),
    Delete(String),
    Rename(String, String),
    Mode(String, String),
    Health(String, String),
    Attached(String),
    Backup,
    DeleteAll,
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = || {
        prop_oneof![
            8 => "[a-e]",
            1 => Just("x<&>\u{2028}".to_owned()),
            1 => Just("日本 \"語\"\\".to_owned()),
            1 => Just(String::new()),
        ]
    };
    let text = || "[a-z\\\\\" é]{0,4}";
    prop_oneof![
        4 => (name(), text()).prop_map(|(name, text)| Operation::Save(name, text)),
        2 => name().prop_map(Operation::Delete),
        2 => (name(), name()).prop_map(|(old, new)| Operation::Rename(old, new)),
        2 => (name(), text()).prop_map(|(name, text)| Operation::Mode(name, text)),
        2 => (name(), text()).prop_map(|(name, text)| Operation::Health(name, text)),
        2 => name().prop_map(Operation::Attached),
        1 => Just(Operation::Backup),
        1 => Just(Operation::DeleteAll),
    ]
}

/// Does the same to the model; false where the store must refuse.
fn apply(model: &mut BTreeMap<String, Session>, operation: &Operation, at: Timestamp) -> bool {
    let mut change =
        |name: &String, change: &dyn Fn(&mut Session)| model.get_mut(name).map(change).is_some();
    match operation {
        Operation::Save(..) | Operation::Backup => true,
        Operation::Delete(name) => model.remove(name).is_some(),
        Operation::Rename(old, new) => {
            let valid = tmux_roster::validate_name(new).is_ok() && !model.contains_key(new);
            let Some(mut session) = model.get(old).filter(|_| valid).cloned() else { return false };
            model.remove(old);
            session.name.clone_from(new);
            model.insert(new.clone(), session);
            true
        }
        Operation::Mode(name, mode) => change(name, &|session| session.mode.clone_from(mode)),
        Operation::Health(name, status) => change(name, &|session| {
            session.last_health_status.clone_from(status);
            session.last_health_at = at;
        }),
        Operation::Attached(name) => change(name, &|session| session.last_attached_at = at),
        Operation::DeleteAll => {
            model.clear();
            true
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_does_what_a_map_does(operations in proptest::collection::vec(operation(), 1..20)) {
        let place = Place::new();
        let mut model = BTreeMap::new();
        let mut backups = 0;
        for operation in &operations {
            let store = place.store();
            let at = Timestamp::now();
            let existed = place.registry().exists();
            let done = match operation {
                Operation::Save(name, text) => {
                    let session = Session::new(name, text, text);
                    model.insert(name.clone(), session.clone());
                    store.save(&session)
                }
                Operation::Delete(name) => store.delete(name),
                Operation::Rename(old, new) => store.rename(old, new),
                Operation::Mode(name, mode) => store.update_mode(name, mode),
                Operation::Health(name, status) => store.update_health(name, status, at),
                Operation::Attached(name) => store.update_attached(name, at),
                Operation::Backup => store.backup().map(|made| backups += made.iter().count()),
                Operation::DeleteAll => store.delete_all().map(|_| backups += usize::from(existed)),
            };
            prop_assert_eq!(done.is_ok(), apply(&mut model, operation, at), "{:?}", operation);
            let reopened = place.store();
            prop_assert_eq!(reopened.list().unwrap(), model.values().cloned().collect::<Vec<_>>());
            prop_assert_eq!(reopened.names().unwrap(), model.keys().cloned().collect::<Vec<_>>());
            for (name, session) in &model {
                prop_assert_eq!(&reopened.get(name).unwrap(), session);
            }
            prop_assert_eq!(reopened.backups().unwrap().len(), backups);
            if place.registry().exists() {
                let whole = Registry { sessions: model.clone(), ..Default::default() };
                prop_assert_eq!(place.bytes("sessions.json"), serde_json::to_vec(&whole).unwrap());
            }
        }
    }
}

#[test]
fn odd_files_are_read_right_or_reported_and_their_bytes_kept() {
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    let a = record("a");
    let with = |field: &str| a.replace("\"/w\"", &format!("\"/w\",{field}"));
    let many: Vec<String> = (0..23_000).map(|n| record(&format!("n{n:05}"))).collect();
    let large = registry(&many);
    assert!(large.len() > 4_900_000, "{}", large.len());
    let twice = registry(&[record("b"), a.clone(), a.replace("/w", "/x")]);
    // A lone surrogate inside an unknown value is only copied, so nothing is lost.
    let right: Vec<(&str, Vec<u8>, Option<usize>)> = vec![
        (
            "a byte order mark",
            ["\u{feff}", &registry(std::slice::from_ref(&a))].concat().into(),
            Some(1),
        ),
        ("5 MB", large.into(), Some(23_000)),
        ("the last of two wins", twice.into(), Some(2)),
        ("10,000 levels unknown", with(&format!("\"x\":{}", deep("[", "]"))).into(), None),
        (
            "10,000 objects unknown",
            with(&format!("\"x\":{}", deep("{\"x\":", "}").replace(":}", ":1}"))).into(),
            None,
        ),
        (
            "a number too large",
            with("\"x\":1e999999,\"y\":123456789012345678901234567890").into(),
            None,
        ),
        ("an unknown lone surrogate", with("\"x\":\"\\ud800\"").into(), None),
        (
            "spaces and lines",
            registry(std::slice::from_ref(&a)).replace(',', " ,\n\t").into(),
            Some(1),
        ),
    ];
    for (what, bytes, names) in right {
        let bytes = match names {
            Some(_) => bytes,
            None => registry(&[String::from_utf8(bytes).unwrap()]).into_bytes(),
        };
        let place = Place::with(&bytes);
        let names = names.unwrap_or(1);
        assert_eq!(place.names().len(), names, "{what}");
        place.ok(&["list"]);
        place.ok(&["attached", if names == 23_000 { "n00007" } else { "a" }]);
        place.ok(&["save", "z", "/z", "safe"]);
        assert_eq!(place.names().len(), names + 1, "{what}");
        let text = String::from_utf8(place.bytes("sessions.json")).unwrap();
        let start = std::str::from_utf8(&bytes).unwrap().find(",\"x\":").map(|at| at + 1);
        if let Some(start) = start {
            let end = bytes.len() - 3;
            let unknown = std::str::from_utf8(&bytes[start..end]).unwrap();
            let unknown = unknown.split_once(",\"created_at\"").unwrap().0;
            assert!(text.contains(unknown), "{what} is not kept");
        }
        assert!(place.files_with(".corrupt.").is_empty(), "{what}");
    }

    let mut bad_utf8 = registry(std::slice::from_ref(&a)).into_bytes();
    bad_utf8.splice(60..61, [0xff]);
    let damaged: Vec<(&str, Vec<u8>)> = vec![
        ("nothing at all", Vec::new()),
        ("zeros, as a crash leaves them", vec![0; 4096]),
        ("zeros behind", [registry(std::slice::from_ref(&a)).into_bytes(), vec![0; 10]].concat()),
        ("bad UTF-8", bad_utf8),
        ("a lone surrogate", registry(&[a.replace("/w", "\\ud800")]).into()),
        ("a NUL in a name", registry(&[a.replace("/w", "\0")]).into()),
        ("10,000 levels", deep("[", "]").into()),
        ("10,000 levels, unclosed", "[".repeat(10_000).into()),
        ("10,000 objects, unclosed", "{\"sessions\":".repeat(10_000).into()),
        ("10,000 levels of sessions", registry(&[deep("[", "]")]).into()),
        ("sessions are 10,000 levels", EMPTY.replace("{}", &deep("[", "]")).into()),
        ("a name of 10,000 levels", registry(&[a.replace("\"/w\"", &deep("[", "]"))]).into()),
        ("a version of 10,000 levels", EMPTY.replacen('1', &deep("[", "]"), 1).into()),
        ("a version with a fraction", EMPTY.replacen('1', "1.5", 1).into()),
        ("a version that does not fit", EMPTY.replacen('1', "1e400", 1).into()),
        ("a number for a name", registry(&[a.replace("\"/w\"", "1e999")]).into()),
        ("two registries", EMPTY.repeat(2).into()),
    ];
    for (what, bytes) in damaged {
        let place = Place::with(&bytes);
        for args in [&["list"][..], &["names"], &["get", "a"]] {
            assert!(place.fails(args).contains("is damaged: "), "{what}");
        }
        assert_eq!(place.files(), ["sessions.json"], "{what}: a read touches nothing");
        assert_eq!(place.bytes("sessions.json"), bytes, "{what}");
        // A migration knows the version and the outermost fields alone.
        if !place.run(&["migrate"]).status.success() {
            assert_eq!(place.files(), ["sessions.json", "sessions.json.lock"], "{what}");
        }
        assert_eq!(place.bytes("sessions.json"), bytes, "{what}");
        let backup = place.ok(&["backup"]);
        assert_eq!(fs::read(backup.trim_end()).unwrap(), bytes, "{what}");
        place.ok(&["save", "z", "/z", "safe"]);
        let kept = place.files_with(".corrupt.");
        assert_eq!((kept.len(), place.bytes(&kept[0])), (1, bytes), "{what}");
        assert_eq!(place.names(), ["z"], "{what}");
    }
}

#[test]
fn what_is_no_readable_file_is_an_error_and_left_alone() {
    let folder = Place::new();
    fs::create_dir(folder.registry()).unwrap();
    let fifo = Place::new();
    let made = Command::new("mkfifo").arg(fifo.registry()).status().expect("mkfifo runs");
    assert!(made.success());
    let device = Place::new();
    symlink("/dev/zero", device.registry()).unwrap();
    let ring = Place::new();
    symlink("sessions.json", ring.registry()).unwrap();
    for place in [folder, fifo, device, ring] {
        let before = fs::symlink_metadata(place.registry()).unwrap();
        for args in [
            &["list"][..],
            &["names"],
            &["get", "a"],
            &["save", "a", "/a", "safe"],
            &["attached", "a"],
            &["delete-all"],
            &["backup"],
            &["migrate"],
        ] {
            let said = place.fails(args);
            assert!(said.contains("sessions.json: "), "{args:?}: {said}");
        }
        let after = fs::symlink_metadata(place.registry()).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        assert!(place.files_with(".corrupt.").is_empty());
    }
}

#[test]
fn a_file_without_permission_is_an_error_and_left_alone() {
    let place = Place::with(EMPTY);
    fs::set_permissions(place.registry(), fs::Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(place.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    for args in [&["list"][..], &["save", "a", "/a", "safe"], &["delete-all"], &["backup"]] {
        let mut command = place.command(args);
        if fs::metadata(place.folder.path()).unwrap().uid() == 0 {
            // Root may read anything.
            command.uid(65_534);
        }
        let output = command.output().expect("roster runs as another user");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains("could not read ") && said.contains("sessions.json: "), "{said}");
    }
    fs::set_permissions(place.registry(), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.bytes("sessions.json"), EMPTY.as_bytes());
    assert!(place.files_with(".corrupt.").is_empty());
}

// Migration.

fn plan(steps: Vec<Step>) -> MigrationPlan {
    MigrationPlan { target: steps.len() as u64, steps }
}

#[test]
fn a_migration_of_nothing_makes_nothing() {
    let place = Place::new();
    let migrated = place.store().migrate(&migration_plan()).unwrap();
    assert_eq!(migrated.backup, None);
    assert!(place.files().is_empty());
}

#[test]
fn a_migration_takes_each_step_and_keeps_everything_else() {
    let before = "{\"zeta\": [1,  2],\"sessions\":{},\"alpha\":{\"b\":1e999,\"a\":2}}";
    let place = Place::with(before);
    fs::set_permissions(place.registry(), fs::Permissions::from_mode(0o640)).unwrap();
    let step = |document: &mut tmux_roster::store::migrate::Document| {
        let steps: usize = document.get("steps").unwrap_or("0").parse().unwrap();
        document.set("steps", &(steps + 1).to_string())
    };
    let migrated = place.store().migrate(&plan(vec![step, step, step])).unwrap();
    assert_eq!((migrated.before, migrated.after), (0, 3));
    assert_eq!(fs::read(migrated.backup.unwrap()).unwrap(), before.as_bytes());
    let after = "{\"schema_version\":3,\"zeta\":[1,  2],\"sessions\":{},\
                 \"alpha\":{\"b\":1e999,\"a\":2},\"steps\":3}";
    assert_eq!(String::from_utf8(place.bytes("sessions.json")).unwrap(), after);
    assert_eq!(mode(&place.registry()), 0o640);

    // From the middle of the plan only the rest is done.
    place.write("sessions.json", "{\"schema_version\":2}");
    place.store().migrate(&plan(vec![step, step, step])).unwrap();
    assert_eq!(place.bytes("sessions.json"), b"{\"schema_version\":3,\"steps\":1}");
    assert_eq!(place.store().backups().unwrap().len(), 2);
    // And at its end nothing.
    let again = place.store().migrate(&plan(vec![step, step, step])).unwrap();
    assert_eq!((again.before, again.after, again.backup), (3, 3, None));
    assert_eq!(place.bytes("sessions.json"), b"{\"schema_version\":3,\"steps\":1}");
}

#[test]
fn a_migration_that_cannot_be_done_leaves_the_file() {
    let fails: Step = |_| Err("no way".into());
    let fine: Step = |_| Ok(());
    let short = MigrationPlan { target: 2, steps: vec![fine] };
    let no_json: Step = |document| document.set("x", "{");
    for (text, plan, reason) in [
        ("{}", short.clone(), "has 1 steps"),
        ("{\"schema_version\":2}", short, "has 1 steps"),
        ("{}", plan(vec![fine, fails]), "from version 1 to 2: no way"),
        ("{}", plan(vec![no_json]), "from version 0 to 1: "),
        ("{\"schema_version\":2}", migration_plan(), "this roster knows up to 1"),
        (
            "{\"schema_version\":99999999999999999999}",
            migration_plan(),
            "this roster knows up to 1",
        ),
        ("{\"schema_version\":-1}", migration_plan(), "is damaged"),
        ("{\"schema_version\":\"0\"}", migration_plan(), "is damaged"),
        ("{\"schema_version\":0.5}", migration_plan(), "is damaged"),
        ("{\"schema_version\":", migration_plan(), "is damaged"),
        ("[]", migration_plan(), "is damaged"),
        ("", migration_plan(), "is damaged"),
    ] {
        let place = Place::with(text);
        let error = place.store().migrate(&plan).unwrap_err().to_string();
        assert!(error.contains(reason), "{text}: {error}");
        assert_eq!(place.bytes("sessions.json"), text.as_bytes());
        assert!(place.files_with(".bak.").is_empty(), "{text}");
    }
}

/// What a newer version makes of it is not for us to know, nor to mend.
const NEWER: [&str; 7] = [
    "{\"schema_version\":9,\"sessions\":[1,2]}",
    "{\"schema_version\":2,\"sessions\":[{\"name\":\"a\"}]}",
    "{\"sessions\":{\"a\":\"b\"},\"schema_version\":2}",
    "{\"schema_version\":2,\"sessions\":{\"a\":{\"name\":[\"a\"],\"workdir\":{}}}}",
    "\u{feff}{\"schema_version\":2,\"sessions\":\"elsewhere\"}\n",
    "{\"schema_version\":99999999999999999999,\"sessions\":7}",
    "{\"schema_version\":2,\"sessions\":{}}",
];

#[test]
fn a_newer_file_of_any_shape_is_refused_and_untouched() {
    for newer in NEWER {
        let place = Place::with(newer);
        place.write("sessions.json.last", EMPTY);
        let before = place.files();
        for args in [
            &["list"][..],
            &["names"],
            &["get", "a"],
            &["save", "b", "/b", "safe"],
            &["delete", "a"],
            &["rename", "a", "b"],
            &["mode", "a", "safe"],
            &["health", "a", "healthy"],
            &["attached", "a"],
            &["delete-all"],
            &["migrate"],
        ] {
            let said = place.fails(args);
            assert!(said.contains("this roster knows up to 1"), "{newer}, {args:?}: {said}");
            assert_eq!(place.bytes("sessions.json"), newer.as_bytes(), "{newer}, {args:?}");
        }
        let after: Vec<String> =
            place.files().into_iter().filter(|name| !name.ends_with(".lock")).collect();
        assert_eq!(after, before, "{newer}");
        assert_eq!(place.bytes("sessions.json.last"), EMPTY.as_bytes(), "{newer}");
        let backup = place.ok(&["backup"]);
        assert_eq!(fs::read(backup.trim_end()).unwrap(), newer.as_bytes(), "{newer}");
    }
}

// Damage, copies and leftovers.

#[test]
fn a_damaged_registry_is_rebuilt_from_the_last_good_copy() {
    let place = Place::new();
    for name in ["a", "b"] {
        place.ok(&["save", name, "/w", "safe"]);
    }
    let good = place.bytes("sessions.json");
    // In place, as an editor or a full disk does it: a copy that shared the file would go too.
    place.write("sessions.json", &good[..good.len() / 2]);
    place.ok(&["mode", "b", "yolo"]);
    let kept = place.files_with(".corrupt.");
    assert_eq!(place.bytes(&kept[0]), good[..good.len() / 2]);
    assert_eq!(mode(&place.path(&kept[0])), 0o600);
    assert_eq!(place.names(), ["a", "b"]);
    let good = String::from_utf8(good).unwrap();
    let text = String::from_utf8(place.bytes("sessions.json")).unwrap();
    let at = good.find("\"b\":").unwrap();
    assert_eq!(text[..at], good[..at]);
    assert_eq!(text[at..], good[at..].replacen("safe", "yolo", 1));
}

/// A registry that somebody deleted may be wanted back even after a new one was begun.
#[test]
fn a_new_registry_makes_a_backup_of_the_last_good_copy_of_a_deleted_one() {
    let place = Place::new();
    place.ok(&["save", "a", "/w", "safe"]);
    let good = place.bytes("sessions.json");
    std::fs::remove_file(place.path("sessions.json")).unwrap();
    place.fails(&["delete", "a"]);
    assert!(place.files_with(".bak.").is_empty());
    place.ok(&["save", "b", "/w", "safe"]);
    assert_eq!(place.names(), ["b"]);
    let [backup] = place.files_with(".bak.").try_into().unwrap();
    assert_eq!(place.bytes(&backup), good);
    place.ok(&["save", "c", "/w", "safe"]);
    assert_eq!(place.files_with(".bak.").len(), 1);
}

/// What `jq` leaves that found nothing, or a careless hand.
#[test]
fn an_emptied_registry_makes_one_too() {
    for emptied in ["null", "{}", EMPTY] {
        let place = Place::new();
        place.ok(&["save", "a", "/w", "safe"]);
        let good = place.bytes("sessions.json");
        place.write("sessions.json", emptied);
        for name in ["b", "c"] {
            place.ok(&["save", name, "/w", "safe"]);
        }
        let copies = [place.files_with(".bak."), place.files_with(".corrupt.")].concat();
        let kept = place.files_with(".bak.").into_iter().any(|copy| place.bytes(&copy) == good);
        assert!(kept || place.names() == ["a", "b", "c"], "{emptied}: {copies:?}");
        assert!(copies.len() <= 1, "{emptied}: {copies:?}");
    }
}

/// Beyond some dozens their places are looked up.
#[test]
fn of_many_unknown_fields_each_is_kept_and_of_two_the_last() {
    let place = Place::new();
    let field = |n: usize| format!("\"field{n}\":{n}");
    let fields: Vec<String> = (0..100).map(field).collect();
    let twice = ["\"field7\":\"x\"", "\"field98\":\"y\""].map(str::to_owned);
    let text = |fields: &[String], sessions: &str| {
        format!("{{\"schema_version\":1,\"sessions\":{{{sessions}}},{}}}", fields.join(","))
    };
    place.write("sessions.json", text(&[&fields[..], &twice].concat(), ""));
    place.ok(&["save", "a", "/w", "safe"]);
    place.ok(&["delete", "a"]);
    let mut wanted = fields;
    wanted[7].clone_from(&twice[0]);
    wanted[98].clone_from(&twice[1]);
    let written = String::from_utf8(place.bytes("sessions.json")).unwrap();
    assert_eq!(written, text(&wanted, ""));
}

#[test]
fn a_registry_leaves_the_temporary_files_of_its_neighbours_alone() {
    let place = Place::new();
    for name in [".sessions.json.a.tmp.1.2.3", ".sessions.json.tmp.1.2.3"] {
        place.write(name, "being written");
    }
    place.ok(&["save", "a", "/w", "safe"]);
    assert_eq!(place.files_with(".tmp."), [".sessions.json.a.tmp.1.2.3"]);
}

#[test]
fn without_it_the_newest_backup_that_reads_is_taken() {
    let place = Place::with(registry(&[record("a")]));
    place.ok(&["backup"]);
    place.write("sessions.json", registry(&[record("b")]));
    place.ok(&["backup"]);
    place.write("sessions.json", "{\"schema_version\":7}");
    place.ok(&["backup"]);
    place.write("sessions.json", "{");
    place.ok(&["backup"]);
    place.write("sessions.json.last", "{\"schema_ver");
    place.ok(&["save", "c", "/c", "safe"]);
    assert_eq!(place.names(), ["b", "c"]);
}

#[test]
fn a_backup_that_is_newer_than_the_last_good_copy_goes_first() {
    let place = Place::new();
    place.ok(&["save", "old", "/w", "safe"]);
    // Another program writes, and then somebody makes a backup.
    place.write("sessions.json", registry(&[record("old"), record("other")]));
    place.ok(&["backup"]);
    place.write("sessions.json", "{");
    place.ok(&["save", "new", "/w", "safe"]);
    assert_eq!(place.names(), ["new", "old", "other"]);
}

#[test]
fn a_backup_of_a_clock_that_ran_ahead_does_not_go_before_the_last_good_copy() {
    let place = Place::new();
    place.ok(&["save", "now", "/w", "safe"]);
    let ahead = Timestamp::now().unix_nanos() + DAY;
    place.write(&format!("sessions.json.bak.{ahead}"), registry(&[record("long ago")]));
    place.write("sessions.json", "{");
    place.ok(&["save", "new", "/w", "safe"]);
    assert_eq!(place.names(), ["new", "now"]);
}

#[test]
fn backups_of_one_moment_do_not_collide() {
    let place = Place::with("{ damaged");
    let mut made: Vec<String> = (0..20).map(|_| place.ok(&["backup"])).collect();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 20);
    for path in made {
        let path = PathBuf::from(path.trim_end());
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"{ damaged".to_vec(), 0o600));
    }
}

#[test]
fn the_newest_copies_and_those_of_a_month_are_kept() {
    let now = Timestamp::now().unix_nanos();
    let month = KEPT_DAYS * DAY;
    for (kind, args) in [(".bak", &["backup"][..]), (".corrupt", &["save", "a", "/", "safe"])] {
        let copies = |place: &Place, from: i128, count: i128| {
            for n in 0..count {
                place.write(&format!("sessions.json{kind}.{}", from - n), "{}");
            }
        };
        let place = Place::with("{ damaged");
        copies(&place, now - month - DAY, 30);
        place.ok(args);
        assert_eq!(place.files_with(&format!("{kind}.")).len(), KEPT_BACKUPS, "{kind}");

        let place = Place::with("{ damaged");
        copies(&place, now - month + DAY, 30);
        copies(&place, now - month - DAY, 30);
        // What is not one of ours stays, whatever it is called.
        place.write(&format!("sessions.json{kind}.mine"), "");
        place.ok(args);
        assert_eq!(place.files_with(&format!("{kind}.")).len(), 32, "{kind}");
    }
}

#[test]
fn delete_all_needs_its_backup() {
    let place = Place::new();
    place.ok(&["delete-all"]);
    assert!(place.files_with(".bak.").is_empty());
    // A name that leaves no room for the suffix of a backup, but for that of the lock.
    let path = place.path(&"n".repeat(249));
    fs::write(&path, registry(&[record("a")])).unwrap();
    let error = Store::new(&path).delete_all().unwrap_err();
    assert!(matches!(error, StoreError::NoBackup(_)), "{error}");
    assert!(error.to_string().starts_with("nothing was deleted: "), "{error}");
    assert_eq!(Store::new(&path).names().unwrap(), ["a"]);
}

#[test]
fn what_a_crash_left_is_cleaned_by_the_next_writer() {
    let place = Place::new();
    place.write("victim", "mine");
    place.write(".sessions.json.tmp.1.2.3", "half");
    symlink("victim", place.path(".sessions.json.tmp.4.5.6")).unwrap();
    place.write(".sessions.json.swp", "an editor's");
    place.ok(&["list"]);
    assert_eq!(place.files_with(".tmp.").len(), 2);
    place.ok(&["save", "a", "/a", "safe"]);
    assert!(place.files_with(".tmp.").is_empty());
    assert_eq!(place.bytes("victim"), b"mine");
    assert_eq!(place.bytes(".sessions.json.swp"), b"an editor's");
}

// Links and modes.

#[test]
fn a_link_to_the_registry_stays() {
    let place = Place::new();
    fs::create_dir(place.path("dotfiles")).unwrap();
    symlink("dotfiles/s.json", place.path("middle")).unwrap();
    symlink("middle", place.registry()).unwrap();
    // First it leads nowhere.
    for name in ["a", "b"] {
        place.ok(&["save", name, "/w", "safe"]);
    }
    place.ok(&["attached", "a"]);
    assert_eq!(fs::read_link(place.registry()).unwrap(), Path::new("middle"));
    assert_eq!(fs::read_link(place.path("middle")).unwrap(), Path::new("dotfiles/s.json"));
    assert!(fs::symlink_metadata(place.path("dotfiles/s.json")).unwrap().is_file());
    assert_eq!(place.names(), ["a", "b"]);
    let unversioned = EMPTY.replace("\"schema_version\":1,", "");
    place.write("dotfiles/s.json", unversioned);
    place.ok(&["migrate"]);
    assert_eq!(place.bytes("dotfiles/s.json"), EMPTY.as_bytes());
    assert!(fs::symlink_metadata(place.registry()).unwrap().is_symlink());
}

/// Each of two ways to one registry has a lock of its own.
#[test]
fn who_comes_by_a_link_and_who_comes_by_the_file_itself_lose_nothing_of_each_other() {
    let place = Place::new();
    for folder in ["a", "b"] {
        fs::create_dir(place.path(folder)).unwrap();
    }
    place.write("b/real.json", EMPTY);
    symlink("../b/real.json", place.path("a/sessions.json")).unwrap();
    let mut savers = Vec::new();
    for n in 0..40 {
        for file in ["a/sessions.json", "b/real.json"] {
            let name = format!("{}{n}", &file[..1]);
            let store = ["store", "--file", file, "save", &name, "/w", "safe"];
            let mut saver = Command::new(ROSTER);
            saver.args(store).current_dir(place.path("")).stdout(Stdio::null());
            savers.push(saver.spawn().unwrap());
        }
    }
    for mut saver in savers {
        assert!(saver.wait().unwrap().success());
    }
    let saved = Store::new(place.path("b/real.json")).names().unwrap();
    assert_eq!(saved.len(), 80);
}

#[test]
fn planted_links_are_refused_or_replaced_and_never_followed() {
    let place = Place::with(EMPTY);
    place.write("victim", "mine");
    symlink("victim", place.path("sessions.json.lock")).unwrap();
    let said = place.fails(&["save", "a", "/a", "safe"]);
    assert!(said.contains("refused to use ") && said.contains(".lock"), "{said}");
    fs::remove_file(place.path("sessions.json.lock")).unwrap();
    symlink("nowhere", place.path("sessions.json.lock")).unwrap();
    place.fails(&["save", "a", "/a", "safe"]);
    assert!(!place.path("nowhere").exists());
    fs::remove_file(place.path("sessions.json.lock")).unwrap();

    let last = place.path("sessions.json.last");
    let plant: [fn(&Place, &Path); 3] = [
        |_, last| symlink("victim", last).unwrap(),
        |place, last| fs::hard_link(place.path("victim"), last).unwrap(),
        |_, last| assert!(Command::new("mkfifo").arg(last).status().unwrap().success()),
    ];
    for plant in plant {
        plant(&place, &last);
        place.ok(&["save", "a", "/a", "safe"]);
        assert_eq!(fs::read(&last).unwrap(), place.bytes("sessions.json"));
        assert_eq!(mode(&last), 0o600);
        assert_eq!(place.bytes("victim"), b"mine");
        fs::remove_file(&last).unwrap();
    }
}

#[test]
fn modes_do_not_depend_on_the_umask() {
    for umask in ["000", "077", "777"] {
        let folder = Folder::new();
        let registry = folder.path().join("new/deep/sessions.json");
        let roster = |args: &[&str]| {
            let script = format!("umask {umask}; exec \"$0\" store --file \"$@\"");
            let mut command = Command::new("/bin/sh");
            command.args(["-c", &script, ROSTER]).arg(&registry).args(args).env_clear();
            let output = command.output().expect("sh runs");
            assert!(output.status.success(), "{umask} {args:?}: {}", stderr(&output));
        };
        roster(&["save", "a", "/a", "safe"]);
        roster(&["backup"]);
        fs::write(&registry, "{").unwrap();
        roster(&["save", "b", "/b", "safe"]);
        let deep = registry.parent().unwrap();
        assert_eq!((mode(deep), mode(&folder.path().join("new"))), (0o700, 0o700), "{umask}");
        let files: Vec<PathBuf> = fs::read_dir(deep).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 5, "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "{umask}: {}", file.display());
        }
    }
}

// Processes.

#[test]
fn of_many_that_save_at_once_none_is_lost() {
    let place = Place::new();
    for round in 0..3 {
        let names: Vec<String> = (0..64).map(|n| format!("r{round}-{n:02}")).collect();
        let start = |name: &String| {
            let mut save = place.command(&["save", name, "/w", "safe"]);
            save.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("roster runs")
        };
        let children: Vec<Child> = names.iter().map(start).collect();
        for child in children {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{}", stderr(&output));
        }
        let saved = place.names();
        assert_eq!(saved.len(), 64 * (round + 1));
        assert!(names.iter().all(|name| saved.contains(name)));
    }
}

#[test]
fn killed_writers_leave_the_registry_whole_and_the_lock_free() {
    let many: Vec<String> = (0..300).map(|n| record(&format!("n{n:03}"))).collect();
    let place = Place::with(registry(&many));
    let life = || {
        let start = Instant::now();
        place.ok(&["attached", "n007"]);
        start.elapsed()
    };
    // Of one alone the load of a moment may make many lives.
    let whole = (0..5).map(|_| life()).min().expect("five");
    let (mut killed, mut fresh) = (0, 0);
    for n in 0..300_u32 {
        let (args, name) = (["attached", "mode", "save"][n as usize % 3], format!("k{n:03}"));
        let args: &[&str] = match args {
            "attached" => &["attached", "n007"],
            "mode" => &["mode", "n299", &name],
            _ => &["save", &name, "/w", "safe"],
        };
        let mut child = place.command(args).spawn().expect("roster runs");
        let started = Instant::now();
        // Spread over several lives of a writer, so that some end by themselves however much
        // slower they are than the first; a prime keeps the three kinds apart.
        let moment = started + whole * (n * 37 % 100) / 25;
        // Some saves are left to end, however slow the machine is.
        if n % 30 != 2 {
            kill_at(&mut child, moment);
        }
        let ended = child.wait().expect("it ends");
        killed += usize::from(!ended.success());
        let registry = place.store().read().expect("the registry is whole");
        fresh = registry.sessions.len();
        assert!(fresh >= 300, "{n}");
        // Other tests of this process may hold its mutex for a moment.
        let lock = place.store().waiting(Duration::from_secs(10));
        lock.lock().unwrap_or_else(|error| panic!("{n}: {error}"));
    }
    assert!(killed > 30 && fresh > 300, "{killed} were killed, {} saved", fresh - 300);
    place.ok(&["save", "z", "/z", "safe"]);
    assert!(place.files_with(".tmp.").is_empty());
    assert!(place.files_with(".corrupt.").is_empty());
}

/// How a process holds the lock: as we do, or as other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ours,
    Flock,
    Record,
}

impl Kind {
    /// Waits for the lock of a registry, and does something under it.
    fn hold(self, registry: &Path, then: impl FnOnce()) {
        let path = registry.with_extension("json.lock");
        match self {
            Kind::Ours => {
                let store = Store::new(registry);
                let _locked = store.lock().expect("the lock");
                then();
            }
            Kind::Flock => {
                let file = File::create(path).unwrap();
                flock(&file, FlockOperation::LockExclusive).unwrap();
                then();
            }
            Kind::Record => {
                let options = FileOptions::new().write(true).create(true);
                let _lock = FileLock::lock(path, true, options).unwrap();
                then();
            }
        }
    }

    /// Whether the lock is free to a program that takes it so. Not for a file that this process
    /// has a lock on.
    fn is_free(self, lock: &Path) -> bool {
        match self {
            Kind::Ours => unreachable!("a Store tells it"),
            Kind::Flock => {
                let file = File::open(lock).unwrap();
                flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
            }
            Kind::Record => FileLock::lock(lock, false, FileOptions::new().write(true)).is_ok(),
        }
    }

    /// This test binary once more, which does `what` with the lock of that kind.
    fn helper(self, what: &str, registry: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--exact", "store::lock_for_another_test", "--nocapture"]);
        command.env("ROSTER_TEST_LOCK", format!("{self:?} {what}"));
        command.env("ROSTER_TEST_REGISTRY", registry);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    }
}

#[test]
fn lock_for_another_test() {
    let Ok(words) = std::env::var("ROSTER_TEST_LOCK") else { return };
    let registry = PathBuf::from(std::env::var_os("ROSTER_TEST_REGISTRY").unwrap());
    let (kind, what) = words.split_once(' ').unwrap();
    let kinds = [Kind::Ours, Kind::Flock, Kind::Record];
    let kind = kinds.into_iter().find(|one| format!("{one:?}") == kind).unwrap();
    if what == "hold" {
        kind.hold(&registry, || {
            println!("holding");
            // Until the other test has gone.
            let _ = std::io::stdin().read(&mut [0]);
        });
        return;
    }
    for n in 0..16 {
        kind.hold(&registry, || {
            let bytes = fs::read(&registry).unwrap();
            let mut value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let name = format!("{kind:?}{n}");
            value["sessions"][&name] =
                serde_json::to_value(Session::new(&name, "/w", "safe")).unwrap();
            let new = registry.with_extension("new");
            fs::write(&new, value.to_string()).unwrap();
            fs::rename(&new, &registry).unwrap();
        });
    }
}

/// The holder of a lock, in a process of its own.
struct Holder(Child);

impl Holder {
    fn of(place: &Place) -> Holder {
        Holder::with(Kind::Ours, &place.registry())
    }

    fn with(kind: Kind, registry: &Path) -> Holder {
        let mut child = kind.helper("hold", registry).spawn().expect("the test binary runs");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let held = lines.map_while(Result::ok).any(|line| line.contains("holding"));
        assert!(held, "the holder got the lock");
        Holder(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_holder_that_never_lets_go_is_named_after_two_seconds() {
    let place = Place::with(registry(&[record("a")]));
    let holder = Holder::of(&place);
    for args in [&["save", "b", "/b", "safe"][..], &["delete-all"], &["backup"], &["migrate"]] {
        let start = Instant::now();
        let said = place.fails(args);
        let waited = start.elapsed();
        assert!(said.contains("sessions.json.lock") && said.contains("could not get"), "{said}");
        let two = Duration::from_secs(2);
        assert!((two..two + LOAD).contains(&waited), "{waited:?}");
    }
    // Readers do not wait.
    assert_eq!(place.ok(&["names"]), "[\"a\"]\n");
    // Nor do threads of one process get in each other's way for ever.
    let store = place.store().waiting(Duration::from_millis(50));
    assert!(matches!(store.delete("a"), Err(StoreError::Busy { .. })));
    drop(holder);
    place.ok(&["delete", "a"]);
    assert!(place.names().is_empty());
}

#[test]
fn who_locks_with_flock_or_a_record_lock_keeps_us_waiting() {
    for kind in [Kind::Flock, Kind::Record] {
        let place = Place::with(registry(&[record("a")]));
        let holder = Holder::with(kind, &place.registry());
        let start = Instant::now();
        let said = place.fails(&["save", "b", "/b", "safe"]);
        let (waited, two) = (start.elapsed(), Duration::from_secs(2));
        assert!(said.contains("could not get the lock"), "{kind:?}: {said}");
        assert!(said.contains("sessions.json.lock within"), "{kind:?}: {said}");
        assert!((two..two + LOAD).contains(&waited), "{kind:?}: {waited:?}");
        assert_eq!(place.ok(&["names"]), "[\"a\"]\n");
        // It comes as soon as the other lets go, which here is killed.
        let mut waiter = place.command(&["save", "b", "/b", "safe"]).spawn().unwrap();
        let mut waits = || waiter.try_wait().unwrap().is_none() && place.names() == ["a"];
        check_stays(Duration::from_millis(300), &mut waits, || {
            format!("{kind:?} keeps it waiting")
        });
        drop(holder);
        assert!(waiter.wait().unwrap().success(), "{kind:?}");
        assert_eq!(place.names(), ["a", "b"]);
    }
}

#[test]
fn we_keep_waiting_who_locks_with_flock_or_a_record_lock() {
    let place = Place::with(EMPTY);
    let lock = place.path("sessions.json.lock");
    let holder = Holder::of(&place);
    for kind in [Kind::Flock, Kind::Record] {
        assert!(!kind.is_free(&lock), "{kind:?}");
    }
    drop(holder);
    for kind in [Kind::Flock, Kind::Record] {
        assert!(kind.is_free(&lock), "{kind:?}: the holder was killed");
    }
}

#[test]
fn none_that_saves_at_the_same_time_with_flock_or_a_record_lock_loses_anything() {
    for kind in [Kind::Flock, Kind::Record] {
        let place = Place::with(EMPTY);
        let mut other = kind.helper("save", &place.registry()).spawn().unwrap();
        let save = |n| place.command(&["save", &format!("n{n}"), "/w", "safe"]).spawn().unwrap();
        for mut child in (0..48).map(save).collect::<Vec<Child>>() {
            let ended = child.wait().unwrap();
            assert!(ended.success(), "{kind:?}: {}", said_by(child));
        }
        assert!(other.wait().unwrap().success(), "{kind:?}");
        let names = place.names();
        let of_other = names.iter().filter(|name| name.starts_with(&format!("{kind:?}"))).count();
        assert_eq!((of_other, names.len()), (16, 64), "{kind:?}: {names:?}");
    }
}

fn said_by(child: Child) -> String {
    let mut said = String::new();
    let _ = child.stderr.expect("stderr").read_to_string(&mut said);
    said
}

/// Whether there is util-linux's flock, which scripts use.
fn can_flock(test: &str) -> bool {
    can(test, Command::new("flock").args(["--close", "/dev/null", "true"]))
}

#[test]
fn a_script_that_uses_flock_and_we_wait_for_each_other() {
    if !can_flock("a script that uses flock") {
        return;
    }
    let place = Place::with(EMPTY);
    let lock = place.path("sessions.json.lock");
    let mut script = Command::new("flock");
    script.arg(&lock).args(["sh", "-c", "echo held; cat"]).stdin(Stdio::piped());
    let mut script = script.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(script.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let busy = place.fails(&["save", "a", "/a", "safe"]);
    assert!(busy.contains("another process holds it"), "{busy}");
    drop(script.stdin.take());
    assert!(script.wait().unwrap().success());
    place.ok(&["save", "a", "/a", "safe"]);

    let holder = Holder::of(&place);
    let mut script = Command::new("flock");
    script.args(["--nonblock"]).arg(&lock).arg("true");
    assert_eq!(script.status().unwrap().code(), Some(1));
    drop(holder);
    assert!(script.status().unwrap().success());
}

/// As with holders of our own: only one that stays is a reason to give up after two seconds.
#[cfg(target_os = "linux")]
#[test]
fn holders_of_a_flock_that_follow_one_another_are_waited_for() {
    if !can_flock("holders of a flock that follow one another") {
        return;
    }
    let place = Place::with(EMPTY);
    let lock = place.path("sessions.json.lock");
    place.write("sessions.json.lock", "");
    let start = || {
        let mut script = Command::new("flock");
        script.args(["--close"]).arg(&lock).args(["sleep", "1"]).spawn().unwrap()
    };
    let mut holders: Vec<Child> = (0..4).map(|_| start()).collect();
    wait_for(|| (!Kind::Flock.is_free(&lock)).then_some(()), || "the first holder".into());
    place.ok(&["save", "a", "/a", "safe"]);
    for holder in &mut holders {
        assert!(holder.wait().unwrap().success());
    }
    // One that stays is given up after two seconds also by many: each of them has the record lock
    // for a moment whenever it looks.
    let holder = Holder::with(Kind::Flock, &place.registry());
    let save = |n| {
        let start = Instant::now();
        (place.command(&["save", &format!("n{n}"), "/w", "safe"]).spawn().unwrap(), start)
    };
    for (mut child, start) in (0..8).map(save).collect::<Vec<(Child, Instant)>>() {
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let (waited, two) = (start.elapsed(), Duration::from_secs(2));
        assert!((two..two + LOAD).contains(&waited), "{waited:?}");
    }
    drop(holder);
}

#[test]
fn the_lock_of_a_links_target_is_both_kinds_too() {
    let place = Place::new();
    place.write("real.json", EMPTY);
    symlink("real.json", place.registry()).unwrap();
    for kind in [Kind::Flock, Kind::Record] {
        let holder = Holder::with(kind, &place.path("real.json"));
        let said = place.fails(&["save", "a", "/a", "safe"]);
        assert!(said.contains("real.json.lock within"), "{kind:?}: {said}");
        drop(holder);
        place.ok(&["save", "a", "/a", "safe"]);
        let holder = Holder::of(&place);
        assert!(!kind.is_free(&place.path("real.json.lock")), "{kind:?}");
        drop(holder);
    }
    // Whoever made one file of both locks is not made to wait for himself.
    fs::remove_file(place.path("real.json.lock")).unwrap();
    fs::hard_link(place.path("sessions.json.lock"), place.path("real.json.lock")).unwrap();
    place.ok(&["save", "b", "/b", "safe"]);
}

/// A flock goes with the open file, which a child must not get.
#[test]
fn a_child_that_outlives_us_keeps_no_lock() {
    let place = Place::with(EMPTY);
    let store = place.store();
    let locked = store.lock().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    drop(locked);
    let lock = place.path("sessions.json.lock");
    for kind in [Kind::Flock, Kind::Record] {
        // Other tests start processes, which have our files for a moment.
        wait_for(|| kind.is_free(&lock).then_some(()), || format!("{kind:?}, to be free"));
    }
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    child.wait().unwrap();
}

/// What the system says of a flock while nobody has one: there is none on this file system, or it
/// is our own record lock that is in the way, as on NFS.
#[test]
fn where_the_file_system_has_no_flock_of_its_own_the_record_lock_is_enough() {
    if !can_trace("a file system without flock") {
        return;
    }
    let place = Place::with(EMPTY);
    let save = |injected: &[&str]| {
        let mut strace = Command::new("strace");
        strace.arg("-o").arg(place.path("trace"));
        for inject in injected {
            strace.args(["-e", &format!("inject={inject}")]);
        }
        strace.args([ROSTER, "store", "--file"]).arg(place.registry());
        let output = strace.args(["save", "a", "/a", "safe"]).output().unwrap();
        (output.status.success(), fs::read_to_string(place.path("trace")).unwrap())
    };
    for error in ["ENOLCK", "EOPNOTSUPP", "EINVAL", "ENOSYS"] {
        let (saved, trace) = save(&[&format!("flock:error={error}")]);
        assert!(saved && trace.contains(error), "{error}: {trace}");
    }
    // Of what file system it is, it cannot tell.
    let (saved, trace) = save(&["flock:error=EAGAIN", "fstatfs:error=EIO"]);
    assert!(saved && trace.contains("fstatfs"), "{trace}");
    // Of this one, it knows that another must have it.
    let (saved, trace) = save(&["flock:error=EAGAIN"]);
    assert!(!saved, "{trace}");
    // It is asked only where the flock is refused.
    let (saved, trace) = save(&[]);
    let calls = |name: &str| trace.lines().filter(|line| line.starts_with(name)).count();
    assert!(saved && (calls("flock("), calls("fstatfs(")) == (1, 0), "{trace}");
}

#[test]
fn a_backup_of_nothing_prints_an_empty_line() {
    let place = Place::new();
    let output = place.command(&["backup"]).output().unwrap();
    assert!(output.status.success() && output.stdout == b"\n", "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing to back up"), "{output:?}");
}

#[test]
fn threads_of_one_process_exclude_each_other() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for n in 0..16 {
            let store = place.store().waiting(Duration::from_secs(20));
            scope.spawn(move || store.save(&Session::new(&format!("t{n}"), "/", "safe")).unwrap());
        }
    });
    assert_eq!(place.names().len(), 16);
}

#[test]
fn the_lock_file_tells_whose_sync_was_carried_through() {
    let place = Place::new();
    let store = Store::new(place.registry());
    let told = || store.lock().unwrap().times();
    let tenth = |n: u32| SystemTime::UNIX_EPOCH + Duration::from_micros(100) * n;
    for pid in [1, 4_194_304, 99_998, 99_999] {
        for (at, since) in [(7, 0), (9_999, 1), (10_000, 99_999), (20_001, 50_000)] {
            for carried_through in [0, Times::mark(pid)] {
                let (queried, hooks_checked) = (tenth(at), tenth(3) + Duration::from_nanos(1));
                let times = Times { queried, hooks_checked, carried_through };
                let exactly = queried + Duration::from_nanos(since);
                store.lock().unwrap().set_times(Times { queried: exactly, ..times });
                assert_eq!(told(), times, "{pid} at {at} and {since} ns");
                assert_eq!(store.peek_times(), Some(times));
            }
        }
    }
    assert!(Times::mark(0) != 0, "no server is not one");
    assert_ne!(Times::mark(1000), Times::mark(1001));
}
