//! `roster sync`, by a hook and by hand, and the look that comes later.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tmux_roster::config::Place;
use tmux_roster::log::log;
use tmux_roster::model::reconcile::EventKind;
use tmux_roster::model::snapshot::SessionId;
use tmux_roster::sync;
use tmux_roster::tmux::query::Mark;
use tmux_roster::tmux::{TmuxError, is_exiting};
use tmux_roster::transaction::{Kind, SyncError, Trigger, look, pace};

use super::begin::is_nowhere;
use super::context::{Context, Outcome};
use super::load;
use super::output::{print, visible};
use crate::cli;

/// A sync that a hook started: silent, within its time, and always well ended.
pub fn sync_for_hook(context: &Context, args: &cli::Sync, started: Instant) -> ExitCode {
    let mark = if args.old_mark { Mark::Option } else { Mark::Environment };
    let session = context.environment.tmux.as_ref();
    let session = session.and_then(|(_, id)| SessionId::parse(&format!("${id}")));
    // The plugin settled both for this server: a job's environment may be any session's, and
    // looking for either would cost every event something.
    let place = match (&args.dir, &args.tmux) {
        (Some(dir), Some(program)) => Ok(context.place_of_job(dir, program)),
        _ => context.place_without_tmux(),
    };
    if let Ok(place) = place {
        let kind = Kind::of_job(args.windows);
        let started = match kind {
            Kind::Sessions => started,
            Kind::Windows if pace::wait_for_look(&place) => Instant::now(),
            Kind::Windows => return ExitCode::SUCCESS,
        };
        sync_silently(context, &place, Trigger::Hook { mark, started, kind, session });
    }
    ExitCode::SUCCESS
}

fn sync_silently(context: &Context, place: &Place, trigger: Trigger) {
    let Trigger::Hook { mark, kind, .. } = trigger else { return };
    match sync::sync(place, trigger) {
        Ok(report) if report.unfinished => look::look_later(place, mark, kind, None),
        Ok(_) => look::end_look(place, kind),
        Err(SyncError::Tmux(TmuxError::NoServer { .. } | TmuxError::Unreachable { .. })) => {}
        // Another host came first to a folder that both had used until then.
        Err(SyncError::Elsewhere { .. }) => load::load_here(&context.environment, place),
        // What the server's end interrupts is found at the next start.
        Err(SyncError::Tmux(TmuxError::Failed { message })) if is_exiting(&message) => {}
        Err(error) => {
            log(place, &format!("sync: {error}"));
            look::look_later(place, mark, kind, Some(&error));
        }
    }
}

/// The second look at what closed, by a process of ours that waits for it.
pub fn look(context: &Context, args: &cli::Look) -> ExitCode {
    let place = context.place_of_job(&args.dir, &args.tmux);
    if look::wait_for_look(&place, Duration::from_millis(args.after)) {
        let (mark, started) = (Mark::Option, Instant::now());
        let kind = Kind::of_job(args.windows);
        let trigger = Trigger::Hook { mark, started, kind, session: None };
        sync_silently(context, &place, trigger);
    }
    ExitCode::SUCCESS
}

pub fn sync_by_hand(context: &Context) -> Outcome {
    let mut place = context.place()?;
    if is_nowhere(&place)? {
        return Err(TmuxError::NoServer { socket: place.tmux.socket }.into());
    }
    let mut synced = sync::sync(&place, Trigger::Person);
    if let Err(SyncError::Elsewhere { .. }) = synced {
        // As a hook's job does, which may not have come to it.
        load::load_here(&context.environment, &place);
        place = context.place()?;
        synced = sync::sync(&place, Trigger::Person);
    }
    let report = synced?;
    let mut parts: Vec<String> = report.mended.iter().map(|text| visible(text)).collect();
    for kind in EventKind::ALL {
        let count = report.events.iter().filter(|event| event.kind == kind).count();
        if count > 0 {
            parts.push(format!("{count} {}", kind.word()));
        }
    }
    let line = match (parts.is_empty(), report.changed || report.effects > 0) {
        (false, _) => parts.join(", "),
        (true, true) => "synchronized".into(),
        (true, false) => "nothing to change".into(),
    };
    print(&format!("{line}\n"))?;
    Ok(ExitCode::SUCCESS)
}
