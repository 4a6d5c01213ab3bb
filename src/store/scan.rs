//! A shortcut through a registry in exactly the form that every writer of this format leaves:
//! compact, the eight fields in order, names ascending, nothing escaped, nothing unknown.
//!
//! Names can be read off it, and one record can be changed with the bytes of all others copied,
//! without building ten thousand records. Whatever else a file holds, damage included, is
//! `None`: the caller then reads it in the general way, which gives the same result (a property
//! test holds the two against each other).

use std::ops::Range;

use crate::model::registry::SCHEMA_VERSION;
use crate::model::session::Session;
use crate::model::time::Timestamp;

/// The names in the file, in byte order.
pub(super) fn names(bytes: &[u8]) -> Option<Vec<String>> {
    Some(records(bytes)?.1.iter().map(|record| record.name.to_owned()).collect())
}

/// Where the record of this name stands, and what to write there to change it. A name that is
/// not there is `None` too.
pub(super) fn edit(
    bytes: &[u8],
    name: &str,
    change: impl FnOnce(&mut Session),
) -> Option<(Range<usize>, Vec<u8>)> {
    let (text, records) = records(bytes)?;
    let found = records.binary_search_by(|record| record.name.cmp(name)).ok()?;
    let place = records[found].place.clone();
    let mut session: Session = serde_json::from_str(&text[place.clone()]).ok()?;
    change(&mut session);
    Some((place, serde_json::to_vec(&session).ok()?))
}

struct Record<'a> {
    name: &'a str,
    place: Range<usize>,
}

fn records(bytes: &[u8]) -> Option<(&str, Vec<Record<'_>>)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut rest = text.strip_prefix("{\"schema_version\":")?;
    let version = rest.split_once(',')?.0;
    if version.parse() != Ok(SCHEMA_VERSION) || version.starts_with(['0', '+']) {
        return None;
    }
    rest = rest[version.len()..].strip_prefix(",\"sessions\":{")?;
    // A record takes about this many bytes at least, so the list need not grow.
    let mut found: Vec<Record> = Vec::with_capacity(text.len() / 200);
    while rest != "}}" {
        if !found.is_empty() {
            rest = rest.strip_prefix(',')?;
        }
        let name = string(&mut rest, "\"")?;
        rest = rest.strip_prefix(':')?;
        let start = text.len() - rest.len();
        for before in ["{\"name\":\"", ",\"uuid\":\"", ",\"mode\":\"", ",\"workdir\":\""] {
            string(&mut rest, before)?;
        }
        time(&mut rest, ",\"created_at\":\"")?;
        time(&mut rest, ",\"last_attached_at\":\"")?;
        // Left out when empty, so an empty one is not in the form.
        if rest.starts_with(",\"last_health_status\"")
            && string(&mut rest, ",\"last_health_status\":\"")?.is_empty()
        {
            return None;
        }
        time(&mut rest, ",\"last_health_at\":\"")?;
        rest = rest.strip_prefix('}')?;
        if found.last().is_some_and(|last| last.name >= name) {
            return None;
        }
        found.push(Record { name, place: start..text.len() - rest.len() });
    }
    Some((text, found))
}

/// Takes what stands before a string, the string, and the quote that ends it. One with an
/// escape is not in the form: it could be written in several ways.
fn string<'a>(rest: &mut &'a str, before: &str) -> Option<&'a str> {
    let after = rest.strip_prefix(before)?;
    let end = after.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
    let (string, left) = after.split_at(end);
    *rest = left.strip_prefix('"')?;
    Some(string)
}

fn time(rest: &mut &str, before: &str) -> Option<()> {
    Timestamp::is_written_form(string(rest, before)?).then_some(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::model::registry::Registry;
    use crate::store::parse;

    fn session() -> impl Strategy<Value = (String, Session)> {
        let text = || "[a-c\\\\\"é<]{0,3}";
        let at = 0..4_000_000_000_i64;
        (text(), text(), text(), at, any::<bool>()).prop_map(|(name, mode, status, at, other)| {
            let at = Timestamp::from_unix(at).unwrap();
            let mut session = Session::with(&name, "/w", &mode, "u".into(), at);
            session.last_health_status = status;
            let key = if other { format!("{name}x") } else { name };
            (key, session)
        })
    }

    proptest! {
        #[test]
        fn the_shortcut_agrees_with_the_long_way(
            sessions in proptest::collection::btree_map("[a-e]", session(), 0..5),
            damage in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            asked in "[a-e]",
        ) {
            let sessions = sessions.into_values().collect();
            let registry = Registry { sessions, ..Default::default() };
            let mut bytes = serde_json::to_vec(&registry).unwrap();
            if let Some((at, byte)) = damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let long = parse(Path::new("x"), &bytes);
            if let Some(short) = names(&bytes) {
                prop_assert_eq!(short, long.unwrap().sessions.into_keys().collect::<Vec<_>>());
            }
            let change = |session: &mut Session| session.mode = "other".into();
            if let Some((place, record)) = edit(&bytes, &asked, change) {
                let mut registry = parse(Path::new("x"), &bytes).unwrap();
                change(registry.sessions.get_mut(&asked).unwrap());
                let edited = [&bytes[..place.start], &record, &bytes[place.end..]].concat();
                prop_assert_eq!(edited, serde_json::to_vec(&registry).unwrap());
            }
        }
    }

    #[test]
    fn what_we_write_takes_the_shortcut() {
        let at = Timestamp::from_unix(1_800_000_000).unwrap();
        let mut registry = Registry::default();
        for name in ["", "a", "日本"] {
            let session = Session::with(name, "/w é", "safe", "u".into(), at);
            registry.sessions.insert(name.into(), session);
        }
        let bytes = serde_json::to_vec(&registry).unwrap();
        assert_eq!(names(&bytes).unwrap(), ["", "a", "日本"]);
        assert!(edit(&bytes, "a", |_| {}).is_some() && edit(&bytes, "b", |_| {}).is_none());
    }
}
