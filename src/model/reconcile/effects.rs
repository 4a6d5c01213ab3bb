//! What tmux is to be told of a session.

use super::{Effect, EffectKind, Work};
use crate::model::memory::Known;
use crate::model::name::is_given_by_tmux;
use crate::model::session::Session;
use crate::model::snapshot::LiveSession;

impl<'a> Work<'a> {
    /// Adds what tmux is to be told of a session; returns what it will then have been told.
    pub(super) fn tell(
        &mut self,
        live: &LiveSession,
        record: &Session,
        known: Option<&Known>,
        clone: bool,
        effects: &mut Vec<Effect>,
    ) -> Known {
        let fresh = Known::default();
        let was = known.unwrap_or(&fresh);
        let has_number = is_given_by_tmux(&record.name)
            || self.before.memory.numbered.contains_key(&record.uuid);
        let mut told = Known {
            uuid: record.uuid.clone(),
            name: record.name.clone(),
            mode: record.mode.clone(),
            health: record.last_health_status.clone(),
            clone,
            stamps: was.stamps.max(1),
            stamped_over: was.stamped_over.clone(),
            spared: was.spared && live.last_attached.is_none(),
            grown: was.grown || live.windows > 1 && has_number,
        };
        let mut add = |kind, name, value: &str, only_if_unset| {
            let value = value.to_owned();
            effects.push(Effect { target: Some(live.id), kind, name, value, only_if_unset });
        };
        // Once for each session: an option that is empty again after that is masked.
        let lacks_something =
            live.stamp.is_empty() || live.mode != record.mode && live.mode.is_empty();
        let healing = lacks_something && was.stamps == 1;
        if healing {
            told.stamps = 2;
        }
        let masked = was.stamps > 0 && live.stamp == was.stamped_over && !healing;
        if live.stamp != record.uuid && !masked {
            add(EffectKind::Option, "@roster_uuid", &record.uuid, false);
            told.stamps = was.stamps.saturating_add(1).min(2);
            told.stamped_over.clone_from(&live.stamp);
            if !live.stamp.is_empty() {
                self.notes.push(format!(
                    "session {} had the @roster_uuid {:?}, which is not its own; set it to {}",
                    live.id, live.stamp, record.uuid
                ));
            }
        }
        let told_before = was.stamps > 0;
        if live.mode != record.mode
            && (!told_before || was.mode != record.mode || (live.mode.is_empty() && healing))
        {
            add(EffectKind::Option, "@roster_mode", &record.mode, live.mode.is_empty());
        }
        let health = &record.last_health_status;
        if live.health != *health && (!told_before || was.health != *health) {
            add(EffectKind::Option, "@roster_health", health, false);
        }
        for (name, now, then) in [
            ("ROSTER_UUID", &record.uuid, &was.uuid),
            ("ROSTER_MODE", &record.mode, &was.mode),
            ("ROSTER_SESSION", &record.name, &was.name),
        ] {
            if !told_before || now != then {
                add(EffectKind::Environment, name, now, false);
            }
        }
        if was.spared && !told.spared {
            add(EffectKind::Inherited, "destroy-unattached", "", false);
        }
        told
    }
}
