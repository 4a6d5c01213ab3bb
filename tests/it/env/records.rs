//! What is recorded, in whichever file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Server;

/// A file that must be whole.
pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_default())
        .unwrap_or_else(|error| panic!("{} is whole: {error}", path.display()))
}

/// Every UUID in both files, with the names it stands under.
pub fn uuids(server: &Server) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut add = |session: &Value| {
        let text = |field: &str| session[field].as_str().unwrap().to_owned();
        found.entry(text("uuid")).or_default().push(text("name"));
    };
    if let Some(sessions) = server.registry()["sessions"].as_object() {
        sessions.values().for_each(&mut add);
    }
    let closed = server.registry_path().with_file_name("closed.json");
    if closed.exists() {
        for entry in json(&closed)["closed"].as_array().unwrap() {
            add(&entry["session"]);
        }
    }
    found
}

/// Nothing that was ever recorded is missing from both files.
pub fn check_records(server: &Server, seen: &BTreeSet<String>) {
    let known = uuids(server);
    let missing: Vec<&String> = seen.iter().filter(|uuid| !known.contains_key(*uuid)).collect();
    assert!(missing.is_empty(), "{missing:?} of {seen:?}");
}

/// Every UUID in the backups.
pub fn backed_up(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.contains(".json.bak.") {
            let sessions = json(&entry.path())["sessions"].as_object().cloned().unwrap_or_default();
            found.extend(sessions.values().map(|s| s["uuid"].as_str().unwrap().to_owned()));
        }
    }
    found
}
