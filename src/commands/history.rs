//! `roster history`: what happened to sessions and windows, and when.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::{Place, Settings};
use tmux_roster::history::{self, Entry, What};
use tmux_roster::model::session::is_uuid;
use tmux_roster::model::time::Local;
use tmux_roster::tmux::ANSWER_LIMIT;

use super::context::{Context, Outcome};
use super::inspect::view;
use super::output::{json, layout, print, visible, warn};
use super::target::not_found;
use crate::cli;

pub fn history(context: &Context, args: &cli::History) -> Outcome {
    let place = context.place()?;
    // What just happened is in it.
    let view = view(&place)?;
    let mut entries = history::read(&place)?;
    if let Some(name) = &args.name {
        let known = view.rows.iter().map(|row| (&*row.session.name, &*row.session.uuid));
        let uuids = called(name, &entries, known.collect());
        if uuids.is_empty() {
            let names = entries.iter().map(|entry| entry.name.as_str()).chain(view.names());
            let names: HashSet<&str> = names.collect();
            return Err(not_found(name, names.into_iter()));
        }
        entries.retain(|entry| uuids.contains(&entry.uuid));
    }
    entries.reverse();
    if args.json {
        json(&entries)?;
        return Ok(ExitCode::SUCCESS);
    }
    if entries.is_empty() {
        warn(why_empty(&place));
        return Ok(ExitCode::SUCCESS);
    }
    let headings = ["TIME", "EVENT", "SESSION", "DETAILS"].map(str::to_owned);
    let table: Vec<[String; 4]> =
        std::iter::once(headings).chain(entries.iter().map(row)).collect();
    print(&layout(&table, &vec![""; table.len()]))?;
    Ok(ExitCode::SUCCESS)
}

/// The UUIDs of all sessions that are called so now or ever were, or that of a UUID.
fn called(name: &str, entries: &[Entry], known: Vec<(&str, &str)>) -> HashSet<String> {
    let uuid = name.strip_prefix("uuid:").filter(|uuid| is_uuid(uuid));
    let name = if uuid.is_some() { None } else { Some(name) };
    let was_called = |entry: &Entry| {
        let names = [Some(entry.name.as_str()), entry.old_name.as_deref()];
        name.is_some_and(|name| names.contains(&Some(name)))
    };
    let all = entries.iter().map(|entry| entry.uuid.as_str());
    let named = entries.iter().filter(|entry| was_called(entry)).map(|entry| entry.uuid.as_str());
    let now = known.iter().filter(|(of, _)| Some(*of) == name).map(|(_, uuid)| *uuid);
    let named: HashSet<String> = named.chain(now).map(str::to_owned).collect();
    if !named.is_empty() {
        return named;
    }
    let wanted = uuid.or(name);
    let known = known.iter().map(|(_, uuid)| *uuid);
    all.chain(known).filter(|of| Some(*of) == wanted).map(str::to_owned).collect()
}

/// Why there is nothing to show.
fn why_empty(place: &Place) -> &'static str {
    let answer = place.ask(Instant::now() + ANSWER_LIMIT);
    match answer.map(|answer| Settings::parse(&answer.options)) {
        Ok(settings) if !settings.keeps_history => "@roster-history is off: no history is kept",
        _ => "nothing has been noted yet",
    }
}

/// A line: when, what, which session, and what there is to add.
fn row(entry: &Entry) -> [String; 4] {
    let more = match (entry.event, &entry.old_name, entry.window) {
        (What::Renamed, Some(old), _) => format!("was {}", visible(old)),
        (_, _, Some(index)) => match &entry.window_name {
            Some(name) => format!("{index}: {}", visible(&String::from_utf8_lossy(&name.0))),
            None => index.to_string(),
        },
        _ => String::new(),
    };
    [Local(entry.at).to_string(), entry.event.word().to_owned(), visible(&entry.name), more]
}
