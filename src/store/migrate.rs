//! Bringing an older file to the version that we write.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde::de::{self, MapAccess};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::{Store, StoreError, backup};
use crate::files::{self, io_error};
use crate::model::registry::{FileVersion, SCHEMA_VERSION};
use crate::model::session::Extra;

/// One step: changes the file's fields from one version to the next.
pub type Step = fn(&mut Document) -> Result<(), String>;

/// How to get from any older version to the target: one step per version.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The version that a file has afterwards.
    pub target: u64,
    /// `steps[n]` leads from version n to n + 1.
    pub steps: Vec<Step>,
}

/// The plan for the registry's current version. Version 0 (none at all) to 1 only stamps.
pub fn migration_plan() -> Plan {
    Plan { target: SCHEMA_VERSION, steps: vec![|_| Ok(())] }
}

/// What a migration did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version before.
    pub before: u64,
    /// The version now.
    pub after: u64,
    /// The copy of the file as it was; `None` if nothing had to be done.
    pub backup: Option<PathBuf>,
}

/// The fields of a file other than its version, in their order, each with its own text.
#[derive(Debug, Clone, Default)]
pub struct Document {
    version: Option<FileVersion>,
    fields: Extra,
}

impl Document {
    const EMPTY: Document = Document { version: Some(FileVersion::Known(0)), fields: Extra::NONE };

    /// The JSON text of a field.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields.fields().iter().find(|(known, _)| known == key).map(|(_, value)| value.get())
    }

    /// Sets a field to a JSON text.
    ///
    /// # Errors
    /// The text is not JSON.
    pub fn set(&mut self, key: &str, json: &str) -> Result<(), String> {
        let value = RawValue::from_string(json.to_owned()).map_err(|error| error.to_string())?;
        self.fields.keep(key.to_owned(), value);
        Ok(())
    }
}

struct Stamped<'a>(u64, &'a Document);

impl Serialize for Stamped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &self.0)?;
        for (key, value) in self.1.fields.fields() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Document;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let mut document = Document::EMPTY;
                while let Some((key, value)) = map.next_entry::<String, Box<RawValue>>()? {
                    if key == "schema_version" {
                        document.version = FileVersion::parse(value.get());
                    } else {
                        document.fields.keep(key, value);
                    }
                }
                Ok(document)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Document, E> {
                // As for a reader: nothing is there, so nothing can be lost.
                Ok(Document::EMPTY)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The version that a JSON object says, whatever else is in it.
pub(super) fn version_of(json: &str) -> Option<FileVersion> {
    serde_json::from_slice::<Document>(json.as_bytes()).ok()?.version
}

pub(super) fn run(store: &Store, plan: &Plan) -> Result<Migrated, StoreError> {
    if plan.steps.len() as u64 != plan.target {
        return Err(StoreError::Migration(format!(
            "the plan for version {} has {} steps",
            plan.target,
            plan.steps.len()
        )));
    }
    let path = store.path();
    let nothing = |version| Migrated { before: version, after: version, backup: None };
    if !files::is_there(path)? {
        return Ok(nothing(plan.target));
    }
    let _locked = store.lock()?;
    let Some(bytes) = files::read(path)? else { return Ok(nothing(plan.target)) };
    let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let damaged = |reason: String| StoreError::Damaged { path: path.to_owned(), reason };
    let mut document: Document =
        serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
    let before = match document.version {
        Some(FileVersion::Known(version)) if version <= plan.target => version,
        Some(version) => return Err(StoreError::Newer { path: path.to_owned(), version }),
        None => return Err(damaged("schema_version is not a whole number of 0 or more".into())),
    };
    if before == plan.target {
        return Ok(nothing(before));
    }
    for (version, step) in (before..).zip(&plan.steps[before as usize..]) {
        step(&mut document).map_err(|reason| {
            StoreError::Migration(format!("from version {version} to {}: {reason}", version + 1))
        })?;
    }
    let migrated = serde_json::to_vec(&Stamped(plan.target, &document))
        .map_err(|error| StoreError::Migration(error.to_string()))?;
    let mode = std::fs::metadata(path).map_err(io_error("read", path))?.permissions().mode();
    let copy = backup::write(path, ".bak", &bytes)?;
    files::replace(path, &migrated, mode & 0o777, files::Durability::Durable)?;
    Ok(Migrated { before, after: plan.target, backup: Some(copy) })
}
