//! Copies of the registry: backup, backups, recover, migrate.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::model::memory::ClosedSession;
use tmux_roster::transaction::Sight;
use tmux_roster::{Session, Store, StoreError, Timestamp, health, migration_plan};

use super::begin::change;
use super::context::{Context, Failure, Outcome, store_of};
use super::output::{age, count, json, layout, print, print_path, visible, warn};
use crate::cli;

pub fn backups(context: &Context, args: &cli::Backups) -> Outcome {
    #[derive(Serialize)]
    struct JsonBackup {
        path: String,
        created_at: Option<Timestamp>,
        bytes: u64,
        sessions: Option<usize>,
    }
    let store = store_of(&context.place()?);
    let now = Timestamp::now();
    let mut found = Vec::new();
    for backup in store.backups()? {
        let sessions = Store::new(&backup.path).names().ok().map(|names| names.len());
        found.push(JsonBackup {
            path: backup.path.display().to_string(),
            created_at: Timestamp::from_unix((backup.nanos / 1_000_000_000) as i64),
            bytes: backup.bytes,
            sessions,
        });
    }
    if args.json {
        json(&found)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = vec![["AGE", "BYTES", "SESSIONS", "FILE"].map(str::to_owned)];
    for backup in &found {
        table.push([
            backup.created_at.map_or_else(String::new, |at| age(at, now)),
            backup.bytes.to_string(),
            backup.sessions.map_or_else(|| "unreadable".into(), |count| count.to_string()),
            visible(&backup.path),
        ]);
    }
    let styles: Vec<&str> = (0..table.len()).map(|at| if at == 0 { "1" } else { "" }).collect();
    print(&layout(&table, &styles))?;
    Ok(ExitCode::SUCCESS)
}

pub fn backup(context: &Context) -> Outcome {
    let store = store_of(&context.place()?);
    match store.backup()? {
        Some(path) => print_path(&path)?,
        None if store.last_good().is_some_and(|last| !last.sessions.is_empty()) => {
            return Err(
                "the registry is missing: run roster sync to recover it from its last good \
                        copy, then back it up"
                    .into(),
            );
        }
        None => warn("there is no registry yet: nothing to back up"),
    }
    Ok(ExitCode::SUCCESS)
}

pub fn migrate(context: &Context) -> Outcome {
    let done = store_of(&context.place()?).migrate(&migration_plan())?;
    match done.backup {
        Some(backup) => print(&format!(
            "migrated from version {} to {}; the old file is saved as {}\n",
            done.before,
            done.after,
            visible(&backup.display().to_string())
        ))?,
        None => print(&format!("version {}: nothing to migrate\n", done.after))?,
    }
    Ok(ExitCode::SUCCESS)
}

pub fn recover(context: &Context, args: &cli::Recover) -> Outcome {
    let place = context.place()?;
    let store = store_of(&place);
    let file = match &args.file {
        Some(file) => PathBuf::from(file),
        None => {
            let newest = store.backups()?.into_iter().next();
            newest.ok_or("there is no backup: run roster backup to make one")?.path
        }
    };
    if !file.exists() {
        return Err(format!(
            "{} does not exist: run roster backups to list the backups",
            file.display()
        )
        .into());
    }
    let saved = Store::new(&file).read().map_err(|error| match error {
        // What would mend the registry touches no other file.
        StoreError::Damaged { path, reason } => Failure::from(format!(
            "{} is not a readable registry: {reason}; nothing was changed; run roster backups \
             to list the backups",
            path.display()
        )),
        error => error.into(),
    })?;
    let sessions = count(saved.sessions.len(), "session");
    let now = Timestamp::now();
    let kept = change(&place, |next, world| {
        let kept = world.backup()?;
        let living: HashSet<&str> = world.remembered().memory.living().collect();
        let lives = |session: &Session| living.contains(session.uuid.as_str());
        let known: HashSet<&str> = saved.sessions.values().map(|s| s.uuid.as_str()).collect();
        let closed = |session| ClosedSession::new(session, now);
        let lost = next.lost().into_iter().filter(|s| !known.contains(s.uuid.as_str()));
        next.closed.closed.retain(|entry| !known.contains(entry.session.uuid.as_str()));
        next.closed.push_all(lost.map(closed).collect());
        let current = std::mem::take(&mut next.registry.sessions);
        for (name, mut session) in saved.sessions.clone() {
            if !lives(&session) {
                session.last_health_status = health::RECOVERED.into();
                session.last_health_at = now;
                next.registry.sessions.insert(name, session);
            }
        }
        // Those that live keep their records, and their names.
        for (name, session) in current.into_iter().filter(|(_, s)| lives(s)) {
            if let Some(stranger) = next.registry.sessions.insert(name, session) {
                let unproven = None;
                next.closed.push(ClosedSession { unproven, ..ClosedSession::new(stranger, now) });
            }
        }
        next.registry.extra = saved.extra.clone();
        Ok(kept)
    })?;
    let mut text = format!("recovered {sessions} from {}", file.display());
    if let Some(kept) = kept {
        text.push_str(&format!("; the old registry is saved as {}", kept.display()));
    }
    print(&(visible(&text) + "\n"))?;
    Ok(ExitCode::SUCCESS)
}
