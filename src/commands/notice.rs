//! The one thing that a hook shows: to the first client of a new server, how many sessions were lost
//! with the last one, and what brings them back. Once, and for a few seconds.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use tmux_roster::config::{OPTIONS, Place, Settings};
use tmux_roster::model::remembered::Remembered;
use tmux_roster::model::snapshot::ServerId;
use tmux_roster::tmux::hooks::notice_hook;
use tmux_roster::tmux::{ANSWER_LIMIT, call, query};
use tmux_roster::{files, persist};
use unicode_width::UnicodeWidthStr;

use super::called::as_typed;
use super::context::{Context, Failure, Outcome};
use super::load::keys::{PICK, REOPEN, key_of};
use super::output::{count, name_to_paste, visible};
use super::ui::message;

/// How long after it came a client is told: by then it shows something, and themes have loaded.
const AFTER: Duration = Duration::from_millis(1500);

/// How long it stands, in milliseconds; and once, with the hint, which is more to read.
const STANDS: (u32, u32) = (4000, 6000);

/// A client that can be told, and do something about it.
struct Client {
    came: u64,
    name: String,
    session: String,
    pane: String,
    width: usize,
    /// What the user has messages stand for.
    display_time: u32,
}

pub fn notice(context: &Context) -> Outcome {
    // Less: the client came a while before its hook's job asks when that was, in whole seconds.
    std::thread::sleep(AFTER - Duration::from_millis(500));
    let place = context.place()?;
    let place = &place;
    let asked: Vec<&str> = OPTIONS.into_iter().chain(["@roster-notice"]).collect();
    let answer = call::ask(&place.tmux, call::With::default(), &asked, deadline())?;
    let settings = Settings::parse(&answer.options[..OPTIONS.len()]);
    let is_value = |option: &str, value: &str| {
        let mut options = asked.iter().zip(&answer.options);
        options.any(|(name, set)| *name == option && set == value.as_bytes())
    };
    let server = answer.snapshot.server;
    let remembered = persist::peek(place)?;
    let lost_windows = |remembered: &Remembered| {
        lost_windows(place, remembered, server).filter(|_| settings.windows.records)
    };
    // Sessions come back by themselves where that is wanted; windows of one that somebody made do not,
    // nor does one whose name was taken.
    let lost = match remembered.lost_with_last_server(server, &settings.policy.ignore) {
        _ if settings.restore_at_start => 0,
        lost => lost,
    };
    let aside = remembered.names_taken_since(server, &settings.policy.ignore);
    let lost = match lost {
        0 => lost_windows(&remembered),
        lost => Some(Lost::Sessions(lost)),
    };
    let is_nothing = lost.is_none() && aside.is_empty();
    if is_nothing || is_value("@roster-notice", "off") || is_value("@continuum-restore", "on") {
        place.tmux.run(&["set-hook", "-gu", &notice_hook()], deadline())?;
        return Ok(ExitCode::SUCCESS);
    }
    // Where nobody is there yet, the hook waits for who comes.
    let Some(client) = first_client(place)? else { return Ok(ExitCode::SUCCESS) };
    let since_it_came = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let since_it_came = since_it_came.saturating_sub(Duration::from_secs(client.came));
    std::thread::sleep(AFTER.saturating_sub(since_it_came));
    if !take_turn(place)? {
        return Ok(ExitCode::SUCCESS);
    }
    // Others may have brought some back meanwhile.
    let lost = match lost {
        Some(Lost::Windows(..)) => lost_windows(&persist::peek(place)?),
        lost => lost,
    };
    let (key, command) = match (&lost, aside.first()) {
        (Some(lost), _) => lost.way(),
        (None, Some(name)) => (PICK, format!("reopen --as NEW {}", name_to_paste(name))),
        (None, None) => return Ok(ExitCode::SUCCESS),
    };
    let way = key_of(key, &place.tmux, deadline());
    let has_hint = matches!(lost, Some(Lost::Sessions(_))) && aside.is_empty() && take_hint(place);
    let text = text(lost.as_ref(), &aside, &way_back(way, &command), has_hint, client.width);
    let stands = if has_hint { STANDS.1 } else { STANDS.0 };
    // Whoever has messages stay for longer, or until a key is pressed, has it so.
    let stands = if client.display_time == 0 { 0 } else { stands.max(client.display_time) };
    message::show(place, (&client.name, &client.session, &client.pane), &text, stands);
    Ok(ExitCode::SUCCESS)
}

/// What was lost with the last server.
enum Lost {
    Sessions(usize),
    /// So many windows of sessions that live again, by name.
    Windows(Vec<(String, usize)>),
}

impl Lost {
    fn count(&self) -> usize {
        match self {
            Lost::Sessions(count) => *count,
            Lost::Windows(of) => of.iter().map(|(_, count)| count).sum(),
        }
    }

    fn what(&self) -> String {
        match self {
            Lost::Sessions(sessions) => count(*sessions, "session"),
            Lost::Windows(of) => match of.as_slice() {
                [(name, windows)] => format!("{} of {}", count(*windows, "window"), visible(name)),
                all => {
                    format!("{} of {}", count(self.count(), "window"), count(all.len(), "session"))
                }
            },
        }
    }

    /// The key that brings it back, and the command.
    fn way(&self) -> (&'static str, String) {
        match self {
            Lost::Sessions(_) => (PICK, "restore --all".to_owned()),
            Lost::Windows(of) => {
                let name = of.first().map_or("", |(name, _)| name);
                (REOPEN, format!("restore {}", name_to_paste(name)))
            }
        }
    }
}

/// The windows that did not come back with sessions that live again.
fn lost_windows(place: &Place, remembered: &Remembered, server: ServerId) -> Option<Lost> {
    let windows = persist::read_windows(place).unwrap_or_default();
    let known = remembered.memory.sessions.values().filter(|known| !known.clone);
    let lost = known.map(|known| (known.name.clone(), windows.count_missing(&known.uuid, server)));
    let lost: Vec<(String, usize)> = lost.filter(|(_, count)| *count > 0).collect();
    (!lost.is_empty()).then_some(Lost::Windows(lost))
}

fn deadline() -> Instant {
    Instant::now() + ANSWER_LIMIT
}

/// How something comes back: by this key, or by a command.
pub fn way_back(key: Option<String>, command: &str) -> String {
    key.map_or_else(
        || as_typed(&format!("roster {command}")).into_owned(),
        |key| format!("prefix + {}", visible(&key)),
    )
}

/// What is said, in this many columns: `aside` are earlier sessions whose names others have taken.
fn text(lost: Option<&Lost>, aside: &[String], way: &str, has_hint: bool, width: usize) -> String {
    let were = |count: usize| if count == 1 { "was" } else { "were" };
    let fitting = |long: String, short| if long.width() <= width { long } else { short };
    let others = match aside {
        [] => String::new(),
        [name] => format!("an earlier session named {} was set aside", visible(name)),
        names => format!("{} were set aside", count(names.len(), "earlier session")),
    };
    let Some(lost) = lost else { return format!("{others}: {way}") };
    let (were, lost) = (were(lost.count()), lost.what());
    if aside.is_empty() {
        let plain = format!("{lost} {were} lost with the last server: {way}");
        let hint = "(automatically: set -g @roster-restore on)";
        let (long, short) =
            (format!("{plain} {hint}"), format!("{lost} {were} lost: {way} {hint}"));
        return if has_hint { fitting(long, short) } else { plain };
    }
    fitting(
        format!("{lost} {were} lost with the last server, and {others}: {way}"),
        format!("{lost} {were} lost, {} set aside: {way}", aside.len()),
    )
}

/// The first who came of those who can press a key: programs are in control mode, and who only
/// watches is read-only.
fn first_client(place: &Place) -> Result<Option<Client>, Failure> {
    let format = "#{client_control_mode}#{client_readonly} #{client_created} #{client_width} \
                  #{display-time} #{session_id} #{pane_id} #{client_name}";
    let listed = place.tmux.run(&["list-clients", "-F", format], deadline())?;
    let listed = String::from_utf8_lossy(&listed).into_owned();
    let clients = listed.lines().filter_map(|line| {
        let fields: Vec<&str> = line.splitn(7, ' ').collect();
        let ["00", came, width, display_time, session, pane, name] = fields.as_slice() else {
            return None;
        };
        Some(Client {
            came: came.parse().ok()?,
            name: (*name).to_owned(),
            session: (*session).to_owned(),
            pane: (*pane).to_owned(),
            width: width.parse().ok()?,
            display_time: display_time.parse().ok()?,
        })
    });
    Ok(clients.min_by_key(|client| client.came))
}

/// Whether nobody told anybody of this server before; from now on somebody has, whatever becomes of it.
fn take_turn(place: &Place) -> Result<bool, Failure> {
    let mark = query::new_mark();
    let hook = notice_hook();
    let mut words = vec!["set-option", "-goq", "@roster_noticed", &mark];
    words.extend([";", "set-hook", "-gu", &hook, ";", "show-options", "-gqv", "@roster_noticed"]);
    let printed = place.tmux.run(&words, deadline())?;
    Ok(printed.strip_suffix(b"\n") == Some(mark.as_bytes()))
}

/// Whether the hint was never given before.
fn take_hint(place: &Place) -> bool {
    files::create_new(&place.hint(), files::PRIVATE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_fits_the_usual_terminal() {
        let text = |lost, has_hint, width| {
            text(Some(&Lost::Sessions(lost)), &[], "prefix + G", has_hint, width)
        };
        assert_eq!(text(1, false, 80), "1 session was lost with the last server: prefix + G");
        assert!(text(999, true, 200).starts_with("999 sessions were lost with the last server: "));
        assert!(
            text(999, true, 80).starts_with("999 sessions were lost: prefix + G (automatically: ")
        );
        assert!(text(999, true, 80).width() <= 80);
        let aside = ["my-project".to_owned()];
        let text = |lost: Option<&Lost>| super::text(lost, &aside, "prefix + G", false, 80);
        let lost = Some(&Lost::Sessions(2));
        assert_eq!(text(lost), "2 sessions were lost, 1 set aside: prefix + G");
        assert!(text(None).ends_with("my-project was set aside: prefix + G"));
    }
}
