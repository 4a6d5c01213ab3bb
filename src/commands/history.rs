//! `roster history`: what happened to sessions and windows, and when.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::Instant;

use tmux_roster::config::{Place, Settings};
use tmux_roster::history::{self, Entry};
use tmux_roster::model::time::Local;
use tmux_roster::sorted::Set;
use tmux_roster::tmux::ANSWER_LIMIT;

use super::context::{Context, Outcome};
use super::inspect::{View, view};
use super::output::{json, layout, print, visible, warn};
use super::target::{Target, not_found};
use crate::cli;

pub fn history(context: &Context, args: &cli::History) -> Outcome {
    let place = context.place()?;
    // What just happened is in it.
    let view = view(&place)?;
    let mut entries = history::read(&place)?;
    if let Some(name) = &args.name {
        let uuids = called(name, &entries, &view);
        if uuids.is_empty() {
            let names = entries.iter().map(|entry| entry.name.as_str()).chain(view.names());
            let names: HashSet<&str> = names.collect();
            return Err(not_found(name, &mut names.into_iter()));
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

/// The UUIDs of all sessions that are called so now or ever were; else the UUID that was given.
fn called(word: &str, entries: &[Entry], view: &View) -> Set<String> {
    let rows = view.rows.iter().map(|row| &row.session);
    let now = rows.map(|session| (session.name.as_str(), session.uuid.as_str()));
    let ever = entries.iter().flat_map(|entry| {
        let names = entry.old_name.as_deref().into_iter().chain([entry.name.as_str()]);
        names.map(|name| (name, entry.uuid.as_str()))
    });
    let (known, target) = (now.chain(ever), Target::parse(word));
    let named = known.clone().filter(|(name, _)| Some(*name) == target.name);
    let named: Set<String> = named.map(|(_, uuid)| uuid.to_owned()).collect();
    if !named.is_empty() {
        return named;
    }
    known
        .map(|(_, uuid)| uuid)
        .filter(|uuid| Some(*uuid) == target.uuid)
        .map(str::to_owned)
        .collect()
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
        (_, Some(old), None) => format!("was {}", visible(old)),
        (_, _, Some(index)) => match &entry.window_name {
            Some(name) => format!("{index}: {}", visible(&String::from_utf8_lossy(&name.0))),
            None => index.to_string(),
        },
        _ => String::new(),
    };
    [Local(entry.at).to_string(), entry.event.word().to_owned(), visible(&entry.name), more]
}
