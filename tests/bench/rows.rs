//! The table.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tmux_roster::{Session, Store};

use crate::budget::{measure, peak_memory};
use crate::place::{Place, load_plugin, median, rest, run, version, wait_until};
use crate::{Subject, place, windows};

/// The whole document.
pub fn table(subject: &Subject) -> String {
    let mut text = head(subject);
    let mut section = |title: &str, columns: &str, measure: &dyn Fn() -> Vec<String>| {
        if !title.contains(&subject.only) {
            return;
        }
        let rows = measure();
        if rows.is_empty() {
            return;
        }
        let rule = columns.replace(|c: char| c != '|', "-");
        let _ = write!(text, "\n## {title}\n\n| {columns} |\n| {rule} |\n");
        for row in rows {
            let _ = writeln!(text, "| {row} |");
        }
        eprintln!("{title}: measured");
    };
    section(
        "A sync without change",
        "sessions | sync, ms | its tmux call alone, ms | sync ÷ call | at most | call ÷ plain list-sessions",
        &|| {
            [(10, 1.45), (100, 1.4), (1000, 1.25)]
                .map(|(n, most)| unchanged(subject, n, most))
                .into()
        },
    );
    section(
        "A sync with a change, 100 sessions",
        "files on | sync, ms | sync ÷ the call of one without change | at most | fsyncs",
        &|| changing(subject),
    );
    section("`roster names`", "records | ms | ÷ /bin/true | at most", &|| {
        [(10, 1.3), (100, 1.4), (1000, 2.5), (10_000, 12.0)]
            .map(|(n, most)| on_records(subject, n, most, Path::new("/tmp"), &["names"]))
            .into()
    });
    let tmpfs = Path::new("/dev/shm");
    if tmpfs.is_dir() {
        section(
            "`roster store attached`, on a tmpfs",
            "records | ms | ÷ /bin/true | at most",
            &|| {
                [(100, 1.8), (10_000, 15.0)]
                    .map(|(n, most)| on_records(subject, n, most, tmpfs, &["attached"]))
                    .into()
            },
        );
    }
    section(
        "`roster store attached`, on the disk",
        "records | ms | ÷ /bin/true | of it to write, fsync, rename, fsync the folder, ms",
        &|| vec![on_the_disk(subject)],
    );
    section("64 saves at once", "wall per save, ms | records afterwards", &|| vec![saves(subject)]);
    section(
        &format!("Bursts of 100, until the registry is right{}", utempter(subject)),
        "what | s | a hook that runs only `run-shell -b /bin/true`, s | ÷ that | at most | no hook at all, s | queries of tmux | at most",
        &|| bursts(subject),
    );
    section(
        "From the key to what it shows, 200 sessions",
        "key | ms, the polling of 1 ms included",
        &|| keys(subject),
    );
    section("Start of tmux", "without, ms | with the plugin, ms | ratio", &|| vec![start(subject)]);
    section("The program", "what | figure | at most", &|| program(subject));
    section(
        "Recording windows, sessions of three panes, one window renamed without end",
        "sessions | renames a second | tmux's CPU without the plugin, % | with it, % | more, % | at most | looks in 20 s | peak memory of a look, kB | at most",
        &|| windows::share(subject),
    );
    section(
        "Restoring sessions of 3 windows of 2 panes",
        "sessions | restore, s | the bare recipe, s | ratio | at most | longest wait of another client, ms | at most | resurrect's save, s | its restore, s | ÷ restore | at least",
        &|| windows::restores(subject),
    );
    section("Beside others", "what | ms", &|| peers(subject));
    text
}

fn head(subject: &Subject) -> String {
    let said = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output();
        output.map_or("?".into(), |o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "# Measured\n\n\
         Written by `scripts/bench`, never by hand. Whole processes, side by side in one run,\n\
         medians of {} runs. Times depend on the machine, ratios hardly.\n\n\
         - machine: {}, {cores} cores, {}\n- tmux: {}\n- roster: {}, {} build\n- compiler: {}\n",
        subject.runs,
        cpu.map_or("?", |found| found.1),
        said("uname", &["-srm"]),
        said(&subject.tmux.display().to_string(), &["-V"]),
        said(&subject.roster.display().to_string(), &["--version"]),
        if measure_is_static(subject) { "static" } else { "dynamic" },
        said("rustc", &["--version"]),
    )
}

/// Debian's tmux, for one, starts a program of utempter's for each pane that begins or ends: that
/// alone, with no hook at all, may take more than a ratio's limit.
fn utempter(subject: &Subject) -> &'static str {
    let bytes = fs::read(&subject.tmux).unwrap_or_default();
    let library = b"libutempter.so";
    let has_it = bytes.windows(library.len()).any(|part| part == library);
    if has_it { ", by a tmux that runs utempter for each pane" } else { "" }
}

fn measure_is_static(subject: &Subject) -> bool {
    crate::budget::linkage(subject) == "static"
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn ratio(a: Duration, b: Duration) -> String {
    format!("{:.2}", a.as_secs_f64() / b.as_secs_f64())
}

/// The median of each of some commands, taken in turns, so that what disturbs one disturbs all.
fn in_turns(runs: usize, ready: &dyn Fn(), makers: &[&dyn Fn() -> Command]) -> Vec<Duration> {
    let mut times = vec![Vec::with_capacity(runs); makers.len()];
    for _ in 0..runs {
        for (maker, times) in makers.iter().zip(&mut times) {
            let mut command = maker();
            ready();
            times.push(run(&mut command));
        }
    }
    times.iter().map(|times| median(times)).collect()
}

fn unchanged(subject: &Subject, sessions: usize, most: f64) -> String {
    let place = Place::new(subject, "");
    place.fill(sessions);
    let dir = place.folder.join("dir");
    for _ in 0..3 {
        run(&mut place.hook_job(&dir, &subject.tmux));
    }
    let words = place.call_of_a_sync(&dir);
    let after = words.iter().position(|w| w == "list-sessions").expect("a list-sessions");
    let format = words[after + 2].clone();
    let call = || {
        let mut command = place.command(&subject.tmux);
        command.args(&words);
        command
    };
    let plain = || {
        let mut command = place.tmux_command(&["list-sessions", "-F"]);
        command.arg(&format);
        command
    };
    let sync = || place.hook_job(&dir, &subject.tmux);
    let times = in_turns(subject.runs, &rest, &[&sync, &call, &plain]);
    format!(
        "{sessions} | {} | {} | {} | {most} | {}",
        ms(times[0]),
        ms(times[1]),
        ratio(times[0], times[1]),
        ratio(times[1], times[2])
    )
}

fn changing(subject: &Subject) -> Vec<String> {
    let place = Place::new(subject, "");
    place.fill(100);
    let mut rows = Vec::new();
    let folders = [("the disk", place.folder.join("dir")), ("a tmpfs", tmpfs_folder(&place))];
    for (name, dir) in folders {
        for _ in 0..3 {
            run(&mut place.hook_job(&dir, &subject.tmux));
        }
        let words = place.call_of_a_sync(&dir);
        let (mut syncs, mut calls) = (Vec::new(), Vec::new());
        for turn in 0..subject.runs {
            let names = if turn % 2 == 0 { ["n0001", "other"] } else { ["other", "n0001"] };
            place.tmux(&["rename-session", "-t", &format!("={}:", names[0]), names[1]]);
            let mut job = place.hook_job(&dir, &subject.tmux);
            rest();
            syncs.push(run(&mut job));
            let mut call = place.command(&subject.tmux);
            call.args(&words);
            rest();
            calls.push(run(&mut call));
        }
        place.tmux(&["rename-session", "-t", "=n0002:", "third"]);
        let job = place.hook_job(&dir, &subject.tmux);
        let syncs_made = count_of(&place, "fsync,fdatasync", &job);
        place.tmux(&["rename-session", "-t", "=third:", "n0002"]);
        // Both names are back before the next folder is measured.
        place.tmux(&["rename-session", "-t", "=other:", "n0001"]);
        let (sync, call) = (median(&syncs), median(&calls));
        rows.push(format!("{name} | {} | {} | 2.2 | {syncs_made}", ms(sync), ratio(sync, call)));
        if dir.starts_with("/dev/shm") {
            let _ = fs::remove_dir_all(&dir);
        }
    }
    rows
}

fn tmpfs_folder(place: &Place<'_>) -> PathBuf {
    let name = place.folder.file_name().expect("a name");
    Path::new("/dev/shm").join(name)
}

/// How many of these system calls a command makes.
fn count_of(place: &Place<'_>, which: &str, command: &Command) -> String {
    let trace = place.folder.join("trace");
    let (file, which) = (trace.display().to_string(), format!("trace={which}"));
    let strace = crate::budget::under(place, "strace", &["-o", &file, "-e", &which], command);
    if !strace.is_some_and(|mut strace| strace.status().is_ok_and(|s| s.success())) {
        return "?".into();
    }
    let text = fs::read_to_string(&trace).unwrap_or_default();
    text.lines().filter(|line| line.contains("sync(")).count().to_string()
}

fn registry_of(records: usize, path: &Path) {
    let store = Store::new(path);
    let locked = store.lock().expect("the lock");
    let mut registry = locked.load().expect("a registry").registry;
    for n in 0..records {
        let session = Session::new(&format!("session-{n:05}"), "/home/user/src/project", "safe");
        registry.sessions.insert(session.name.clone(), session);
    }
    locked.commit(&registry).expect("a write");
}

/// `names`, or a verb of `store`, on a registry of so many records in a folder of `base`.
fn on_records(subject: &Subject, records: usize, most: f64, base: &Path, verb: &[&str]) -> String {
    let home = base.join(format!("rb-records-{}", std::process::id()));
    let socket = tmux_roster::tmux::socket_folder(Some(&home)).join("b");
    let dir = home.join("tmux-roster").join(tmux_roster::config::server_name(&socket));
    let file = dir.join("sessions.json");
    registry_of(records, &file);
    let bare = |program: &Path| {
        let mut command = Command::new(program);
        command.env_clear().env("XDG_STATE_HOME", &home).env("TMUX_TMPDIR", &home);
        command
    };
    let ours = || {
        let mut command = bare(&subject.roster);
        match verb {
            ["names"] => command.args(["-L", "b", "names"]),
            verb => command.args(["store", "--file"]).arg(&file).args(verb).arg("session-00007"),
        };
        command
    };
    let nothing = || bare(Path::new("/bin/true"));
    let times = in_turns(subject.runs * 2, &|| (), &[&ours, &nothing]);
    let _ = fs::remove_dir_all(&home);
    format!("{records} | {} | {} | {most}", ms(times[0]), ratio(times[0], times[1]))
}

/// The same beside what the disk alone takes for it, since no program can be faster.
fn on_the_disk(subject: &Subject) -> String {
    let row = on_records(subject, 100, 0.0, Path::new("/tmp"), &["attached"]);
    let folder = PathBuf::from(format!("/tmp/rb-disk-{}", std::process::id()));
    let (file, temporary) = (folder.join("file"), folder.join("temporary"));
    registry_of(100, &folder.join("sessions.json"));
    let bytes = fs::read(folder.join("sessions.json")).expect("a registry");
    let write = || -> std::io::Result<()> {
        let mut new = fs::File::create_new(&temporary)?;
        new.write_all(&bytes)?;
        new.sync_all()?;
        fs::rename(&temporary, &file)?;
        fs::File::open(&folder)?.sync_all()
    };
    let timed = |_| {
        let start = Instant::now();
        write().expect("a write");
        start.elapsed()
    };
    let times: Vec<Duration> = (0..subject.runs * 2).map(timed).collect();
    let _ = fs::remove_dir_all(&folder);
    let columns: Vec<&str> = row.split(" | ").take(3).collect();
    format!("{} | {}", columns.join(" | "), ms(median(&times)))
}

fn saves(subject: &Subject) -> String {
    let folder = PathBuf::from(format!("/tmp/rb-saves-{}", std::process::id()));
    let (mut times, mut fewest) = (Vec::new(), usize::MAX);
    for turn in 0..subject.runs {
        let file = folder.join(turn.to_string()).join("sessions.json");
        let start = Instant::now();
        let children: Vec<_> = (0..64)
            .map(|n| {
                let mut command = Command::new(&subject.roster);
                command.args(["store", "--file"]).arg(&file);
                command.args(["save", &format!("s{n}"), "/w", "safe"]);
                command.stdout(std::process::Stdio::null()).spawn().expect("the program runs")
            })
            .collect();
        for mut child in children {
            let _ = child.wait();
        }
        times.push(start.elapsed() / 64);
        fewest = fewest.min(Store::new(&file).names().map_or(0, |names| names.len()));
    }
    let _ = fs::remove_dir_all(&folder);
    format!("{} | {fewest} of 64, the worst of {} runs", ms(median(&times)), subject.runs)
}

/// What makes or ends a hundred sessions, and is measured until `done`.
type Burst = fn(&Place<'_>);

const BURSTS: [(&str, Burst); 3] = [
    ("100 created in one file", |place| {
        place.tmux(&["source-file", &place.folder.join("burst").display().to_string()]);
    }),
    ("`kill-session -a` of 100", |place| {
        place.tmux(&["kill-session", "-a", "-t", "=first"]);
    }),
    ("100 clients, one after another", |place| {
        for n in 0..100 {
            place.tmux(&["new-session", "-d", "-s", &format!("n{n:04}")]);
        }
    }),
];

fn bursts(subject: &Subject) -> Vec<String> {
    let old = !version(subject).hides_environment();
    let limits = [
        (0.8, "3".to_owned()),
        (0.5, "3".to_owned()),
        (if old { 1.2 } else { 1.0 }, "1 per 30 ms".to_owned()),
    ];
    let burst_file = |place: &Place<'_>| {
        let lines: String = (0..100).map(|n| format!("new-session -d -s n{n:04}\n")).collect();
        fs::write(place.folder.join("burst"), lines).expect("a file");
    };
    let runs_true: String = ["session-created", "session-closed"]
        .map(|hook| format!("set-hook -g '{hook}[1]' 'run-shell -b /bin/true'\n"))
        .concat();
    let (nothing, hookless) = (Place::new(subject, &runs_true), Place::new(subject, ""));
    let ours = Place::with_plugin(subject, "");
    // Counting costs a process for each query, so it is done on a server of its own.
    let counted = Place::with_plugin(subject, "");
    let count = counted.folder.join("count");
    let first = format!("case \"$*\" in *list-sessions*) printf . >>'{}';; esac", count.display());
    let wrapper = counted.wrapper("counting", &first);
    let run_option = counted.tmux(&["show-options", "-gqv", "@roster_run"]);
    let tmux = format!("--tmux '{}'", subject.tmux.display());
    assert!(run_option.contains(&tmux), "{run_option}");
    let counting = run_option.replace(&tmux, &format!("--tmux '{}'", wrapper.display()));
    counted.tmux(&["set-option", "-g", "@roster_run", &counting]);
    for place in [&nothing, &hookless, &ours, &counted] {
        burst_file(place);
    }

    let order = [0, 1, 2, 1];
    let mut times = vec![(Vec::new(), Vec::new(), Vec::new(), Vec::new()); BURSTS.len()];
    for _ in 0..subject.runs {
        for which in order {
            let wanted = if which == 1 { 1 } else { 101 };
            // The hook's jobs and the sessions' shells are the server's children.
            let pid = nothing.server_pid();
            let drained = || children(&pid) == wanted;
            let plain = timed_to_the_last_job(&nothing, BURSTS[which].1, drained);
            let bare = timed(&hookless, BURSTS[which].1, || hookless.listed() == wanted);
            let own = timed(&ours, BURSTS[which].1, || ours.count() == wanted);
            let _ = fs::remove_file(&count);
            timed(&counted, BURSTS[which].1, || counted.count() == wanted);
            let queries = fs::read(&count).unwrap_or_default().len();
            times[which].0.push(plain);
            times[which].1.push(own);
            times[which].2.push(queries);
            times[which].3.push(bare);
        }
    }
    let mut rows = Vec::new();
    for ((name, _), ((plain, own, queries, bare), (most, most_queries))) in
        BURSTS.iter().zip(times.iter_mut().zip(limits))
    {
        queries.sort_unstable();
        let (plain, own) = (median(plain), median(own));
        rows.push(format!(
            "{name} | {:.3} | {:.3} | {} | {most} | {:.3} | {} (most: {}) | {most_queries}",
            own.as_secs_f64(),
            plain.as_secs_f64(),
            ratio(own, plain),
            median(bare).as_secs_f64(),
            queries[queries.len() / 2],
            queries[queries.len() - 1],
        ));
    }
    rows
}

fn timed(place: &Place<'_>, burst: Burst, done: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    burst(place);
    wait_until(done);
    let time = start.elapsed();
    // What else is under way (effects, scripts) does not count for the next burst.
    place.wait_for_jobs();
    time
}

/// The same until `done` has begun to hold for good: while some sessions' shells and others' jobs
/// stand side by side, the number of children may be right by chance.
fn timed_to_the_last_job(
    place: &Place<'_>,
    burst: Burst,
    mut done: impl FnMut() -> bool,
) -> Duration {
    const CALM: Duration = Duration::from_millis(50);
    let start = Instant::now();
    burst(place);
    let mut since = None;
    wait_until(|| {
        since = if done() { since.or_else(|| Some(Instant::now())) } else { None };
        since.is_some_and(|since| since.elapsed() > CALM)
    });
    since.map_or_else(|| start.elapsed(), |since| since - start)
}

fn children(pid: &str) -> usize {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().count()
}

/// Keys pressed by a client of a second server, and what that server's pane shows then.
fn keys(subject: &Subject) -> Vec<String> {
    let place = Place::with_plugin(subject, "");
    place.fill(200);
    wait_until(|| place.count() == 200);
    let outer = |args: &[&str]| {
        let mut command = place.command(&subject.tmux);
        command.args(["-u", "-L", "o", "-f", "/dev/null"]).args(args);
        let output = command.stdout(std::process::Stdio::piped()).output().expect("tmux runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let attach = format!("'{}' -u -L b attach-session -t =first:", subject.tmux.display());
    outer(&["new-session", "-d", "-s", "outer", "-x", "120", "-y", "40", &attach]);
    let shown = |text: &str| outer(&["capture-pane", "-p", "-t", "outer"]).contains(text);
    wait_until(|| shown("[first]"));
    let measured = |name: &str, key: &str, text: &str, leave: &str| {
        let mut times = Vec::new();
        for _ in 0..subject.runs {
            let start = Instant::now();
            outer(&["send-keys", "-t", "outer", "C-b", key]);
            wait_until(|| shown(text));
            times.push(start.elapsed());
            outer(&["send-keys", "-t", "outer", leave]);
            // In the middle of a redraw it is gone for a moment.
            wait_until(|| (0..5).all(|_| !shown(text)));
        }
        format!("{name} | {}", ms(median(&times)))
    };
    let fzf = place::on_path("fzf").is_some() && version(subject).has_popups();
    let picker = if fzf {
        "`prefix + G`, the picker with fzf"
    } else {
        "`prefix + G`, the picker as a menu"
    };
    let mut rows = vec![
        measured("`prefix + s`, tmux's own choose-tree", "s", "n0001: 1 windows", "q"),
        measured("`prefix + A`, the menu", "A", "previous session", "Escape"),
        measured(picker, "G", "*  first", "Escape"),
    ];
    if fzf {
        for n in 0..10_000 {
            fs::create_dir_all(place.folder.join(format!("home/src/d{n:05}")))
                .expect("a directory");
        }
        place.tmux(&["set-option", "-g", "@roster-projects", "~/src/*"]);
        let picker = "`prefix + G`, beside 10,000 directories of `@roster-projects`";
        rows.push(measured(picker, "G", "*  first", "Escape"));
    }
    outer(&["kill-server"]);
    rows
}

fn start(subject: &Subject) -> String {
    let (without, with) = (Place::new(subject, ""), Place::new(subject, &load_plugin(subject)));
    let start = |place: &Place<'_>| {
        place.tmux(&["kill-server"]);
        wait_until(|| !place.tmux_command(&["list-sessions"]).status().is_ok_and(|s| s.success()));
        run(&mut place.tmux_command(&["new-session", "-d", "-s", "first"]))
    };
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..subject.runs {
        bare.push(start(&without));
        ours.push(start(&with));
    }
    let (bare, ours) = (median(&bare), median(&ours));
    format!("{} | {} | {}", ms(bare), ms(ours), ratio(ours, bare))
}

fn program(subject: &Subject) -> Vec<String> {
    let most = if measure_is_static(subject) { "1700 kB static" } else { "700 kB dynamic" };
    let size = |of: &Path| fs::metadata(of).map_or(0, |found| found.len()) / 1000;
    let mut rows = Vec::new();
    if let Some(released) = &subject.released {
        rows.push(format!("size as released, with musl | {} kB | 1700 kB static", size(released)));
    }
    rows.push(format!("size as built here | {} kB | {most}", size(&subject.roster)));
    let shown = |found: Option<u64>| found.map_or("?".into(), |found| found.to_string());
    let (hundred, thousand) = (measure(subject, 100), measure(subject, 1000));
    rows.push(format!(
        "peak memory of a sync, 1000 records | {} kB | 4000 kB",
        shown(thousand.memory_kb)
    ));
    let place = Place::new(subject, "");
    let file = place.folder.join("sessions.json");
    registry_of(1000, &file);
    let mut list = place.command(&subject.roster);
    list.args(["store", "--file"]).arg(&file).arg("list");
    let memory = shown(peak_memory(&place, &list));
    rows.push(format!("peak memory of `store list`, 1000 records | {memory} kB | 4000 kB"));
    for (sessions, figures) in [(100, hundred), (1000, thousand)] {
        let what = format!("of a sync without change, {sessions} sessions");
        let budget = if sessions == 100 { "tests/bench/budget.json" } else { "" };
        rows.push(format!("system calls {what} | {} | {budget}", shown(figures.calls)));
        rows.push(format!("instructions {what} | {} | {budget}", shown(figures.instructions)));
    }
    rows
}

fn peers(subject: &Subject) -> Vec<String> {
    let mut rows = Vec::new();
    for sessions in [10, 50] {
        let Some(resurrect) = &subject.resurrect else { break };
        let place = Place::with_plugin(subject, "");
        place.fill(sessions);
        let save = resurrect.join("scripts/save.sh");
        let socket = format!("{},{},0", place.socket().display(), place.server_pid());
        let job = || {
            let mut command = place.command(&save);
            command.arg("quiet").env("TMUX", &socket);
            command
        };
        let times = in_turns(subject.runs, &|| (), &[&job]);
        rows.push(format!("resurrect's save, {sessions} sessions | {}", ms(times[0])));
    }
    if let Some(jq) = place::on_path("jq") {
        let folder = PathBuf::from(format!("/tmp/rb-jq-{}", std::process::id()));
        let file = folder.join("sessions.json");
        registry_of(100, &file);
        let theirs = || {
            let mut command = Command::new(&jq);
            command.args(["-c", ".sessions[\"session-00007\"].mode=\"x\""]).arg(&file);
            command
        };
        let ours = || {
            let mut command = Command::new(&subject.roster);
            command.args(["store", "--file"]).arg(&file).args(["mode", "session-00007", "x"]);
            command
        };
        let times = in_turns(subject.runs, &|| (), &[&theirs, &ours]);
        let _ = fs::remove_dir_all(&folder);
        rows.push(format!("jq edits one of 100 records, to its output alone | {}", ms(times[0])));
        rows.push(format!("`roster store mode`, locked, synced, replaced | {}", ms(times[1])));
    }
    rows
}
