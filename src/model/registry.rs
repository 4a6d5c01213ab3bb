//! The registry as a value: what sessions.json holds (FORMAT.md, "The file").

use std::collections::BTreeMap;
use std::fmt;

use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::session::{Extra, Session};

/// The version of the format that this library reads and writes.
pub const SCHEMA_VERSION: u64 = 1;

/// The sessions by name, in byte order, and the fields that someone else added.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Registry {
    /// Every record, under its key.
    pub sessions: BTreeMap<String, Session>,
    /// Unknown fields of the file itself.
    pub extra: Extra,
}

impl Registry {
    /// The record with this UUID.
    pub fn by_uuid(&self, uuid: &str) -> Option<&Session> {
        self.sessions.values().find(|session| session.uuid == uuid)
    }

    /// Drops what has this UUID.
    pub fn remove(&mut self, uuid: &str) {
        self.sessions.retain(|_, session| session.uuid != uuid);
    }

    /// Gives every record the name that it stands under, whatever somebody wrote inside.
    pub fn name_by_key(&mut self) {
        for (key, session) in &mut self.sessions {
            if session.name != *key {
                session.name.clone_from(key);
            }
        }
    }
}

/// The version that a file says it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileVersion {
    /// A whole number that fits; a file without one is version 0.
    Known(u64),
    /// A whole number that is too large to be read: newer than anything.
    Huge,
}

impl FileVersion {
    /// Reads the text of a JSON value; `None` if it is not a whole number from 0.
    pub fn parse(json: &str) -> Option<FileVersion> {
        let text = json.trim();
        if text == "null" {
            return Some(FileVersion::Known(0));
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().map_or(FileVersion::Huge, FileVersion::Known))
    }

    /// The same for reading alone, where a negative number counts as version 0, as it does for
    /// the reference. A migration cannot know where such a file stands, and refuses it.
    pub fn parse_leniently(json: &str) -> Option<FileVersion> {
        let text = json.trim();
        FileVersion::parse(text)
            .or_else(|| text.parse::<i64>().is_ok().then_some(FileVersion::Known(0)))
    }

    /// Whether the file was written by a newer version of the format than ours.
    pub fn is_newer(self) -> bool {
        !matches!(self, FileVersion::Known(version) if version <= SCHEMA_VERSION)
    }
}

impl fmt::Display for FileVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileVersion::Known(version) => write!(f, "{version}"),
            FileVersion::Huge => write!(f, "larger than any we can read"),
        }
    }
}

/// A registry together with the version that its file says.
#[derive(Debug)]
pub struct RegistryFile {
    /// What `schema_version` says.
    pub version: FileVersion,
    /// What the file holds.
    pub registry: Registry,
}

impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema_version", &SCHEMA_VERSION)?;
        map.serialize_entry("sessions", &self.sessions)?;
        for (key, value) in self.extra.fields() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RegistryFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = RegistryFile;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a registry: an object with schema_version and sessions")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RegistryFile, A::Error> {
                let mut version = FileVersion::Known(0);
                let mut registry = Registry::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "schema_version" => {
                            let value: Box<RawValue> = map.next_value()?;
                            version =
                                FileVersion::parse_leniently(value.get()).ok_or_else(|| {
                                    de::Error::custom(format_args!(
                                        "schema_version is {}, not a whole number",
                                        value.get()
                                    ))
                                })?;
                        }
                        "sessions" => {
                            // A second "sessions" adds to the first, and of two records with
                            // one name the last wins, as in the reference. A null record holds
                            // nothing that could be lost.
                            if let Some(Sessions(read)) = map.next_value()? {
                                registry.sessions.extend(read);
                            }
                        }
                        _ => registry.extra.keep(key, map.next_value()?),
                    }
                }
                Ok(RegistryFile { version, registry })
            }
            fn visit_unit<E: de::Error>(self) -> Result<RegistryFile, E> {
                Ok(RegistryFile { version: FileVersion::Known(0), registry: Registry::default() })
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// The sessions of a file; records that are null are passed over.
struct Sessions(Vec<(String, Session)>);

impl<'de> Deserialize<'de> for Sessions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Sessions;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the sessions: an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sessions, A::Error> {
                let mut read = Vec::new();
                while let Some((key, session)) = map.next_entry::<String, Option<Session>>()? {
                    read.extend(session.map(|session| (key, session)));
                }
                Ok(Sessions(read))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
