//! What recording windows costs tmux, and how fast whole sessions come back.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::Subject;
use crate::budget::peak_memory;
use crate::place::{Place, median, run, wait_until};

/// How long things change without end.
const CHANGING: Duration = Duration::from_secs(20);

/// The share of its time that a server needs more with the plugin, the forks for its jobs included,
/// while a window is renamed again and again: 25 times a second, or 5 where that alone would keep the
/// server busy.
pub fn share(subject: &Subject) -> Vec<String> {
    [(10, 25), (100, 25), (1000, 5)]
        .map(|(sessions, rate)| share_of(subject, sessions, rate))
        .into()
}

fn share_of(subject: &Subject, sessions: usize, rate: u32) -> String {
    let mut runs: Vec<Share> =
        (0..subject.runs.min(3)).map(|_| measure_share(subject, sessions, rate)).collect();
    runs.sort_by(|a, b| a.more().total_cmp(&b.more()));
    let run = &runs[runs.len() / 2];
    let peak = run.peak.map_or("?".into(), |kb| kb.to_string());
    let Share { plain, own, looks, .. } = run;
    let more = run.more();
    format!("{sessions} | {rate} | {plain:.2} | {own:.2} | {more:.2} | 2 | {looks} | {peak} | 8000")
}

/// What one server needed without the plugin and one with it, in percent of its time.
struct Share {
    plain: f64,
    own: f64,
    looks: usize,
    peak: Option<u64>,
}

impl Share {
    fn more(&self) -> f64 {
        self.own - self.plain
    }
}

fn measure_share(subject: &Subject, sessions: usize, rate: u32) -> Share {
    let fill = |place: &Place<'_>| {
        let lines: String = (1..sessions)
            .map(|n| {
                format!(
                    "new-session -d -s n{n:04} -x 200 -y 50 -- sleep 100000\n\
                     split-window -d -t =n{n:04}: -- sleep 100000\n\
                     split-window -d -t =n{n:04}: -- sleep 100000\n"
                )
            })
            .collect();
        source(place, &lines);
        wait_until(|| place.listed() == sessions);
    };
    let busy = |place: &Place<'_>| {
        let pid = place.server_pid();
        let (began, before) = (Instant::now(), worked(&pid));
        let mut events = 0_u32;
        while began.elapsed() < CHANGING {
            events += 1;
            place.tmux(&["rename-window", "-t", "=first:", &format!("w{events}")]);
            let next = Duration::from_secs(1) / rate * events;
            thread::sleep(next.saturating_sub(began.elapsed()));
        }
        (worked(&pid) - before).as_secs_f64() / began.elapsed().as_secs_f64() * 100.0
    };
    // One after the other: a system has not as many terminals as both would need.
    let without = Place::new(subject, "");
    fill(&without);
    let plain = busy(&without);
    drop(without);
    let with = Place::with_plugin(subject, "");
    fill(&with);
    wait_until(|| with.count() == sessions);
    with.wait_for_jobs();
    let count = with.folder.join("count");
    let first = format!("case \"$*\" in *list-panes*) printf . >>'{}';; esac", count.display());
    let wrapper = with.wrapper("counting", &first);
    let late = with.tmux(&["show-options", "-gqv", "@roster_late"]);
    let tmux = format!("--tmux '{}'", subject.tmux.display());
    let counting = late.replace(&tmux, &format!("--tmux '{}'", wrapper.display()));
    with.tmux(&["set-option", "-g", "@roster_late", &counting]);
    let own = busy(&with);
    let looks = fs::read(&count).unwrap_or_default().len();
    with.wait_for_jobs();
    let mut job = with.hook_job(&with.dir(), &subject.tmux);
    let peak = peak_memory(&with, job.arg("--windows"));
    Share { plain, own, looks, peak }
}

fn source(place: &Place<'_>, lines: &str) {
    let file = place.folder.join("fill");
    fs::write(&file, lines).expect("a file");
    place.tmux(&["source-file", &file.display().to_string()]);
}

fn worked(pid: &str) -> Duration {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat")).expect("Linux");
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("a number");
    Duration::from_nanos(nanos)
}

/// Restoring sessions of three windows of two panes each, beside their bare recipe, which is one
/// file a session sourced by hand, and beside tmux-resurrect.
pub fn restores(subject: &Subject) -> Vec<String> {
    [10, 50, 100].map(|sessions| restores_of(subject, sessions)).into()
}

fn recipe(name: &str) -> String {
    let mut lines = format!("new-session -d -s {name} -x 200 -y 50 -c /usr -n w0\n");
    for window in 0..3 {
        if window > 0 {
            let _ = writeln!(lines, "new-window -d -t ={name}:{window} -n w{window} -c /usr");
        }
        let _ = writeln!(lines, "split-window -t ={name}:{window} -c /etc");
        let _ = writeln!(lines, "select-layout -t ={name}:{window} even-horizontal");
    }
    lines
}

fn restores_of(subject: &Subject, sessions: usize) -> String {
    let runs = subject.runs.min(5);
    let (mut own, mut bare, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut longest, mut saves) = (Duration::ZERO, Vec::new());
    let names: Vec<String> = (1..sessions).map(|n| format!("n{n:04}")).collect();
    let by_hand = |place: &Place<'_>| {
        for (n, name) in names.iter().enumerate() {
            let file = place.folder.join(format!("recipe{n}"));
            fs::write(&file, recipe(name)).expect("a file");
            run(&mut place.tmux_command(&["source-file", &file.display().to_string()]));
        }
    };
    for _ in 0..runs {
        let place = Place::new(subject, "");
        // With the same client that asks without end beside it.
        let (time, _) = watched(&place, || {
            let start = Instant::now();
            by_hand(&place);
            start.elapsed()
        });
        bare.push(time);
        drop(place);

        let place = Place::with_plugin(subject, "");
        by_hand(&place);
        let recorded = || {
            let text = fs::read_to_string(place.dir().join("windows.json")).unwrap_or_default();
            text.matches("\"layout\":").count() >= names.len() * 3
        };
        wait_until(recorded);
        place.wait_for_jobs();
        if let Some(resurrect) = &subject.resurrect {
            saves.push(resurrected(&place, resurrect, "save.sh"));
        }
        end(&place);
        place.tmux(&["new-session", "-d", "-s", "first"]);
        place.wait_for_jobs();
        let (time, wait) = watched(&place, || {
            let mut restore = place.command(&subject.roster);
            restore.args(["-L", "b", "restore", "--all"]);
            run(&mut restore)
        });
        own.push(time);
        longest = longest.max(wait);
        assert_eq!(place.listed(), sessions, "all came back");
        if let Some(resurrect) = &subject.resurrect {
            end(&place);
            let _ = fs::remove_dir_all(place.dir());
            place.tmux(&["new-session", "-d", "-s", "first"]);
            place.wait_for_jobs();
            theirs.push(resurrected(&place, resurrect, "restore.sh"));
        }
    }
    let (own, bare) = (median(&own), median(&bare));
    let told = |times: &[Duration]| match times {
        [] => "-".to_owned(),
        times => format!("{:.2}", median(times).as_secs_f64()),
    };
    let ratio = own.as_secs_f64() / bare.as_secs_f64();
    let times = match theirs.as_slice() {
        [] => "-".to_owned(),
        times => format!("{:.1}", median(times).as_secs_f64() / own.as_secs_f64()),
    };
    format!(
        "{sessions} | {:.2} | {:.2} | {ratio:.2} | 1.5 | {:.0} | 60 | {} | {} | {times} | 8",
        own.as_secs_f64(),
        bare.as_secs_f64(),
        longest.as_secs_f64() * 1e3,
        told(&saves),
        told(&theirs),
    )
}

fn end(place: &Place<'_>) {
    place.tmux(&["kill-server"]);
    wait_until(|| place.listed() == 0);
}

fn resurrected(place: &Place<'_>, resurrect: &Path, script: &str) -> Duration {
    let socket = format!("{},{},0", place.socket().display(), place.server_pid());
    let mut command = place.command(&resurrect.join("scripts").join(script));
    run(command.arg("quiet").env("TMUX", &socket))
}

/// The time of something, and the longest that another client waited meanwhile.
fn watched(place: &Place<'_>, act: impl FnOnce() -> Duration) -> (Duration, Duration) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let start = Instant::now();
                place.tmux(&["display-message", "-p", "x"]);
                longest = longest.max(start.elapsed());
            }
            longest
        });
        let time = act();
        over.store(true, Ordering::Relaxed);
        (time, watcher.join().expect("the watcher"))
    })
}
