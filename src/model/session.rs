//! One record of the registry: eight fields, and whatever somebody else added.

use std::collections::BTreeMap;
use std::fmt;

#[cfg(target_os = "linux")]
use rustix::rand::GetRandomFlags;
use serde::de::MapAccess;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::time::Timestamp;

/// A session as the registry records it.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// The tmux session's name; also its key in the registry.
    pub name: String,
    /// RFC 4122 version 4, lower case; given once, never changed.
    pub uuid: String,
    /// A label such as `safe` or `yolo`.
    pub mode: String,
    /// The session's working directory (tmux `session_path`).
    pub workdir: String,
    /// When the session was first created.
    pub created_at: Timestamp,
    /// When a client last attached or switched to it; the zero time if never.
    pub last_attached_at: Timestamp,
    /// The verdict of the last health check; empty if there was none.
    pub last_health_status: String,
    /// When health was last checked; the zero time if never.
    pub last_health_at: Timestamp,
    /// Fields that someone else added, as they were, byte for byte.
    pub extra: Extra,
}

/// The verdict on a session whose server has ended.
pub const NO_SERVER: &str = "no-server";

/// The verdict on one that its server runs without.
pub const LOST: &str = "lost";

/// Whether a verdict says that the session does not live.
pub fn says_not_live(verdict: &str) -> bool {
    [NO_SERVER, LOST].contains(&verdict)
}

/// Unknown fields of a JSON object in the order they were found, each value as its own text.
#[derive(Debug, Clone, Default)]
pub struct Extra {
    fields: Vec<(String, Box<RawValue>)>,
    /// Where each field stands, once they are too many to look through for each that comes.
    places: BTreeMap<String, usize>,
}

impl Extra {
    /// No fields.
    pub(crate) const NONE: Extra = Extra { fields: Vec::new(), places: BTreeMap::new() };

    /// Keeps a field; of two with one name the last wins, as in the reference.
    pub(crate) fn keep(&mut self, key: String, value: Box<RawValue>) {
        let known = match self.places.is_empty() {
            true => self.fields.iter().position(|(known, _)| *known == key),
            false => self.places.get(&key).copied(),
        };
        if let Some(at) = known {
            self.fields[at].1 = value;
            return;
        }
        self.fields.push((key, value));
        let from = if self.places.is_empty() { 0 } else { self.fields.len() - 1 };
        if self.fields.len() > 32 {
            let new = self.fields.iter().enumerate().skip(from);
            self.places.extend(new.map(|(at, (key, _))| (key.clone(), at)));
        }
    }

    /// The fields in their order.
    pub(crate) fn fields(&self) -> &[(String, Box<RawValue>)] {
        &self.fields
    }
}

impl PartialEq for Extra {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.fields, &other.fields);
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| a.0 == b.0 && a.1.get() == b.1.get())
    }
}

impl Session {
    /// The variables that programs in a session find in their environment.
    pub const VARIABLES: [&'static str; 4] =
        ["ROSTER_UUID", "ROSTER_MODE", "ROSTER_SESSION", "ROSTER_WORKDIR"];

    /// Their values.
    pub fn variables(&self) -> [(&'static str, &str); 4] {
        let [uuid, mode, name, workdir] = Session::VARIABLES;
        [(uuid, &self.uuid), (mode, &self.mode), (name, &self.name), (workdir, &self.workdir)]
    }

    /// A new session with a fresh UUID, created now, never attached, never checked.
    pub fn new(name: &str, workdir: &str, mode: &str) -> Session {
        Session::with(name, workdir, mode, new_uuid(), Timestamp::now())
    }

    /// A new session with everything given: for code that must not draw ids or read a clock.
    pub fn with(
        name: &str,
        workdir: &str,
        mode: &str,
        uuid: String,
        created_at: Timestamp,
    ) -> Session {
        Session {
            name: name.to_owned(),
            uuid,
            mode: mode.to_owned(),
            workdir: workdir.to_owned(),
            created_at,
            last_attached_at: Timestamp::ZERO,
            last_health_status: String::new(),
            last_health_at: Timestamp::ZERO,
            extra: Extra::default(),
        }
    }
}

/// A random UUID (RFC 4122 version 4) as the registry writes it.
pub fn new_uuid() -> String {
    Uuid::from_bytes(random_uuid()).hyphenated().to_string()
}

/// The bytes of a random UUID. In a static program the library would read /dev/urandom, in six
/// system calls, and panic where no file can be opened.
pub fn random_uuid() -> uuid::Bytes {
    #[cfg(target_os = "linux")]
    {
        let mut bytes = uuid::Bytes::default();
        if rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty()) == Ok(bytes.len()) {
            return uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes();
        }
    }
    Uuid::new_v4().into_bytes()
}

/// Whether `text` is a version 4 UUID in the form that we write: lower case, with hyphens.
pub fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes[14] == b'4'
        && matches!(bytes[19], b'8' | b'9' | b'a' | b'b')
        && bytes.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

impl Serialize for Session {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Session {
            name,
            uuid,
            mode,
            workdir,
            created_at,
            last_attached_at,
            last_health_status,
            last_health_at,
            extra,
        } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", name)?;
        map.serialize_entry("uuid", uuid)?;
        map.serialize_entry("mode", mode)?;
        map.serialize_entry("workdir", workdir)?;
        map.serialize_entry("created_at", created_at)?;
        map.serialize_entry("last_attached_at", last_attached_at)?;
        if !last_health_status.is_empty() {
            map.serialize_entry("last_health_status", last_health_status)?;
        }
        map.serialize_entry("last_health_at", last_health_at)?;
        for (key, value) in extra.fields() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Session {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Session;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a session: an object")
            }
            // A field that is missing or null is read as empty, as the reference does.
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Session, A::Error> {
                let mut s = Session::with("", "", "", String::new(), Timestamp::ZERO);
                while let Some(key) = map.next_key::<Key>()? {
                    match key {
                        Key::Name => read(&mut map, &mut s.name)?,
                        Key::Uuid => read(&mut map, &mut s.uuid)?,
                        Key::Mode => read(&mut map, &mut s.mode)?,
                        Key::Workdir => read(&mut map, &mut s.workdir)?,
                        Key::CreatedAt => read(&mut map, &mut s.created_at)?,
                        Key::LastAttachedAt => read(&mut map, &mut s.last_attached_at)?,
                        Key::LastHealthStatus => read(&mut map, &mut s.last_health_status)?,
                        Key::LastHealthAt => read(&mut map, &mut s.last_health_at)?,
                        Key::Other(key) => s.extra.keep(key, map.next_value()?),
                    }
                }
                Ok(s)
            }
            fn visit_unit<E: de::Error>(self) -> Result<Session, E> {
                Err(E::invalid_type(de::Unexpected::Unit, &self))
            }
        }
        fn read<'de, A: MapAccess<'de>, T: Deserialize<'de>>(
            map: &mut A,
            field: &mut T,
        ) -> Result<(), A::Error> {
            if let Some(value) = map.next_value::<Option<T>>()? {
                *field = value;
            }
            Ok(())
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// The name of a field. (A `Cow<str>` would allocate each of them: serde does not borrow there.)
enum Key {
    Name,
    Uuid,
    Mode,
    Workdir,
    CreatedAt,
    LastAttachedAt,
    LastHealthStatus,
    LastHealthAt,
    Other(String),
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Key;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Key, E> {
                Ok(match text {
                    "name" => Key::Name,
                    "uuid" => Key::Uuid,
                    "mode" => Key::Mode,
                    "workdir" => Key::Workdir,
                    "created_at" => Key::CreatedAt,
                    "last_attached_at" => Key::LastAttachedAt,
                    "last_health_status" => Key::LastHealthStatus,
                    "last_health_at" => Key::LastHealthAt,
                    other => Key::Other(other.to_owned()),
                })
            }
        }
        deserializer.deserialize_identifier(Visitor)
    }
}
