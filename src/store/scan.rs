//! A shortcut through a registry in exactly the form that every writer of this format leaves:
//! compact, the eight fields in order, names ascending, nothing escaped, nothing unknown.
//!
//! Names can be read off it, and one record can be changed with the bytes of all others copied,
//! without building ten thousand records. Whatever else a file holds, damage included, is
//! `None`: the caller then reads it in the general way, which gives the same result (a property
//! test holds the two against each other).

use std::io::{self, Read};
use std::ops::Range;

use crate::model::registry::SCHEMA_VERSION;
use crate::model::session::Session;
use crate::model::time::Timestamp;

/// How much is read at once: what stays in the processor's cache, and is not the kernel's to find,
/// clear and free page by page, which took half the time for ten thousand records.
const PIECE: usize = 64 * 1024;

/// The names in the file, in byte order.
pub(super) fn names(mut file: impl Read) -> io::Result<Option<Vec<String>>> {
    let mut names = Vec::new();
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let (held, known) = (piece.len(), names.len());
        file.by_ref().take((PIECE - held) as u64).read_to_end(&mut piece)?;
        let Some(taken) = take_names(&piece, held, &mut names) else { return Ok(None) };
        if piece.len() < PIECE {
            return Ok((&piece[taken..] == b"}}").then_some(names));
        }
        // A record that is longer than a piece, or none: the head stands once, before the first.
        if names.len() == known {
            return Ok(None);
        }
        piece.drain(..taken);
    }
}

/// Takes the names of all records that are whole in `piece`, of which `held` bytes have been seen
/// already, and tells how many bytes that were.
fn take_names(piece: &[u8], held: usize, names: &mut Vec<String>) -> Option<usize> {
    let text = match std::str::from_utf8(piece) {
        Ok(text) => text,
        // The piece ends within a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&piece[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    if !is_plain(&piece[held..]) {
        return None;
    }
    let mut rest = text;
    if names.is_empty() {
        head(&mut rest)?;
    }
    let mut after = rest;
    while let Some((name, _)) = record(&mut after, names.last().map(String::as_str)) {
        names.push(name.to_owned());
        rest = after;
    }
    Some(text.len() - rest.len())
}

/// Where the record of this name stands, and what to write there to change it. A name that is
/// not there is `None` too.
pub(super) fn edit(
    bytes: &[u8],
    name: &str,
    change: &dyn Fn(&mut Session),
) -> Option<(Range<usize>, Vec<u8>)> {
    let text = std::str::from_utf8(bytes).ok().filter(|_| is_plain(bytes))?;
    let (mut rest, mut last, mut found) = (text, None, None);
    head(&mut rest)?;
    while rest != "}}" {
        let (key, length) = record(&mut rest, last)?;
        if key == name {
            let end = text.len() - rest.len();
            found = Some(end - length..end);
        }
        last = Some(key);
    }
    let place = found?;
    let mut session: Session = serde_json::from_slice(&bytes[place.clone()]).ok()?;
    change(&mut session);
    Some((place, serde_json::to_vec(&session).ok()?))
}

/// Takes what stands before the first record.
fn head(rest: &mut &str) -> Option<()> {
    let after = rest.strip_prefix("{\"schema_version\":")?;
    let version = after.split_once(',')?.0;
    if version.parse() != Ok(SCHEMA_VERSION) || version.starts_with(['0', '+']) {
        return None;
    }
    *rest = after[version.len()..].strip_prefix(",\"sessions\":{")?;
    Some(())
}

/// Takes a record that comes after the one named `last`; returns its name and how many bytes
/// it takes without it.
fn record<'a>(rest: &mut &'a str, last: Option<&str>) -> Option<(&'a str, usize)> {
    let name = match last {
        None => string(rest, "\"")?,
        Some(last) => string(rest, ",\"").filter(|name| last < *name)?,
    };
    *rest = rest.strip_prefix(':')?;
    let length = rest.len();
    for before in ["{\"name\":\"", ",\"uuid\":\"", ",\"mode\":\"", ",\"workdir\":\""] {
        string(rest, before)?;
    }
    time(rest, ",\"created_at\":\"")?;
    time(rest, ",\"last_attached_at\":\"")?;
    // Left out when empty, so an empty one is not in the form.
    if rest.starts_with(",\"last_health_status\"")
        && string(rest, ",\"last_health_status\":\"")?.is_empty()
    {
        return None;
    }
    time(rest, ",\"last_health_at\":\"")?;
    *rest = rest.strip_prefix('}')?;
    Some((name, length - rest.len()))
}

/// Takes what stands before a string, the string, and the quote that ends it.
fn string<'a>(rest: &mut &'a str, before: &str) -> Option<&'a str> {
    let (string, left) = rest.strip_prefix(before)?.split_once('"')?;
    *rest = left;
    Some(string)
}

fn time(rest: &mut &str, before: &str) -> Option<()> {
    Timestamp::is_written_form(string(rest, before)?).then_some(())
}

/// Whether there is no escape, which could be written in several ways, and no control character,
/// which is none of JSON. Eight bytes at a time, as in "Bit Twiddling Hacks": a byte that is zero
/// or too small borrows from its highest bit.
fn is_plain(bytes: &[u8]) -> bool {
    const LOW: u64 = u64::MAX / 255;
    let eight = |bytes: [u8; 8]| {
        let word = u64::from_ne_bytes(bytes);
        let escape = word ^ (LOW * b'\\' as u64);
        let control = word.wrapping_sub(LOW * b' ' as u64) & !word;
        (escape.wrapping_sub(LOW) & !escape | control) & (LOW << 7) == 0
    };
    let words = bytes.chunks_exact(8);
    let rest = words.remainder();
    rest.iter().all(|byte| *byte != b'\\' && *byte >= b' ')
        && words.into_iter().all(|word| word.try_into().is_ok_and(eight))
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
            if let Some(short) = names(&bytes[..]).unwrap() {
                prop_assert_eq!(short, long.unwrap().sessions.into_keys().collect::<Vec<_>>());
            }
            let change = |session: &mut Session| session.mode = "other".into();
            if let Some((place, record)) = edit(&bytes, &asked, &change) {
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
        assert_eq!(names(&bytes[..]).unwrap().unwrap(), ["", "a", "日本"]);
        assert!(edit(&bytes, "a", &|_| {}).is_some() && edit(&bytes, "b", &|_| {}).is_none());
    }

    #[test]
    fn names_of_many_pieces_are_those_of_the_whole() {
        let mut registry = Registry::default();
        for n in 0..2000 {
            // Of every length, so that pieces end within every part of a record.
            let name = format!("{n:04}{}", "日é".repeat(n % 7));
            let session = Session::with(&name, "/日本", "safe", "u".into(), Timestamp::ZERO);
            registry.sessions.insert(name, session);
        }
        let bytes = serde_json::to_vec(&registry).unwrap();
        let whole: Vec<String> = registry.sessions.into_keys().collect();
        assert!(bytes.len() > 4 * PIECE);
        assert_eq!(names(&bytes[..]).unwrap().unwrap(), whole);
        for place in [bytes.len() / 2, bytes.len() - 3] {
            for byte in [b'\\', b'\n', 0xff] {
                let damaged = [&bytes[..place], &[byte], &bytes[place + 1..]].concat();
                assert_eq!(names(&damaged[..]).unwrap(), None, "{byte} at {place}");
            }
        }
        for end in [bytes.len() - 1, bytes.len() / 2, 2 * PIECE, PIECE - 1, 40, 0] {
            assert_eq!(names(&bytes[..end]).unwrap(), None, "cut at {end}");
        }
        let twice = [b"{\"schema_version\":1,\"sessions\":{", &bytes[..]].concat();
        assert_eq!(names(&twice[..]).unwrap(), None, "the head stands twice");
    }

    #[test]
    fn what_is_plain_holds_for_every_byte_at_every_place() {
        for byte in 0..=u8::MAX {
            for place in 0..20 {
                let mut bytes = *b"plain\xff\x80 to its very ";
                bytes[place] = byte;
                assert_eq!(is_plain(&bytes), byte >= b' ' && byte != b'\\', "{bytes:?}");
            }
        }
    }
}
