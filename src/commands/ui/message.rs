//! A message in the status line of one client.

use std::ffi::OsString;
use std::time::Instant;

use tmux_roster::config::Place;
use tmux_roster::tmux::text::argument;
use tmux_roster::tmux::{ANSWER_LIMIT, Running};

/// Shows `text` on a client that is in this session and looks at this pane, for so many milliseconds.
pub fn show(
    place: &Place,
    (client, session, pane): (&str, &str, &str),
    text: &str,
    milliseconds: u32,
) {
    let deadline = Instant::now() + ANSWER_LIMIT;
    let ran = |words: &[OsString]| place.tmux.run(words, deadline).is_ok();
    // It is a format, over which strftime runs.
    let text = argument(text.replace('#', "##").replace('%', "%%"));
    let time = milliseconds.to_string();
    let to_client = ["-c".into(), client.into(), text.clone()];
    let timed = words(&format!("display-message -d {time}"));
    if ran(&[&timed[..], &to_client].concat()) || ran(&for_a_time(session, &time, &to_client)) {
        return;
    }
    // The client has gone, or this is 3.2.
    ran(&put_back(session));
    // tmux 3.2 takes no client: it finds the one that shows our pane, which may be another in control
    // mode.
    let by_pane = |words: Vec<OsString>| {
        let mut command = place.tmux.command(&words);
        command.env("TMUX_PANE", pane);
        let output = Running::start(command).ok()?.finish(deadline).ok()?;
        output.success.then_some(output.stdout)
    };
    let is_program = by_pane(words("display-message -p #{client_control_mode}"));
    if is_program.is_some_and(|printed| printed == b"0\n") {
        by_pane([timed, vec![text]].concat());
    }
}

fn words(text: &str) -> Vec<OsString> {
    os_strings(&text.split(' ').collect::<Vec<_>>())
}

fn os_strings(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// The call that does it before 3.2, where a message stands as long as its session's `display-time`
/// says: what was the session's own is that again.
fn for_a_time(session: &str, time: &str, to_client: &[OsString]) -> Vec<OsString> {
    let before = format!(
        "set-option -t {session} -F @roster_time #{{display-time}} ; \
         set-option -t {session} display-time {time} ; display-message"
    );
    let after = format!("; set-option -u -t {session} display-time ;");
    [&words(&before), to_client, &words(&after), &put_back(session)].concat()
}

/// The call that gives a session the `display-time` back that it had, where that was its own.
fn put_back(session: &str) -> Vec<OsString> {
    let back = format!("set-option -t '{session}' -F display-time '#{{@roster_time}}'");
    let target = format!("{session}:");
    let condition = "#{?#{==:#{@roster_time},},0,#{!=:#{display-time},#{@roster_time}}}";
    let ask = ["if-shell", "-t", &target, "-F", condition, &back, ";"];
    let forget = ["set-option", "-q", "-u", "-t", session, "@roster_time"];
    os_strings(&[&ask[..], &forget].concat())
}
