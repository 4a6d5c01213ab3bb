//! Getting the program, upgrading it with tmux running, and taking everything out again.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use tmux_roster::tmux::hooks::HOOKS;

use crate::env::{
    Client, ControlClient, Folder, ROSTER, Server, check_stays, copy_plugin, copy_program, script,
    tmux_program, tmux_version, wait_for, write_program,
};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A program that says it is of another version, and is ours in all else.
fn program_of(version: &str) -> String {
    format!(
        "#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'roster {version}'; exit; fi\nexec '{ROSTER}' \"$@\"\n"
    )
}

fn program_named(version: &str, program: &str) -> Answer {
    Answer::Programs(vec![(version.to_owned(), program.into())])
}

/// What is told where there is no program, and none is to be installed.
fn no_roster() -> String {
    format!(
        "no roster {}.x, and @roster-install is none: run ",
        VERSION.rsplit_once('.').unwrap().0
    )
}

/// The version with another patch number: compatible.
fn other_patch() -> String {
    let series = VERSION.rsplit_once('.').unwrap().0;
    format!("{series}.99")
}

/// The plugin in a folder with a space, as a clone has it, loaded by tmux as TPM does.
struct Installation {
    server: Server,
}

impl Installation {
    /// One that found nothing to download.
    fn that_failed(release: &Release) -> Installation {
        let installation = Installation::new(&release.option());
        installation.commit_sum("x");
        installation.start();
        installation.wait_for_failure();
        installation
    }

    /// `config` stands before the plugin's line.
    fn new(config: &str) -> Installation {
        Installation::with_environment(config, "")
    }

    fn with_environment(config: &str, environment: &str) -> Installation {
        Installation::on(Server::with_config(""), config, environment)
    }

    fn on(server: Server, config: &str, environment: &str) -> Installation {
        let installation = Installation { server };
        copy_plugin(&installation.plugin());
        // Whatever cargo this machine has, nothing is really built.
        stub_cargo(&installation, "exit 101");
        installation.configure(config, environment);
        installation
    }

    fn configure(&self, config: &str, environment: &str) {
        let plugin = self.plugin();
        write_program(
            &self.server.path("tpm"),
            &format!(
                "#!/bin/sh\n{environment} '{}/plugin.tmux' >/dev/null 2>&1\n",
                plugin.display()
            ),
        );
        self.server.write_config(&format!("{config}\nrun-shell '{}'\n", self.server.dir("tpm")));
    }

    fn plugin(&self) -> PathBuf {
        self.server.path("the plugin")
    }

    fn data(&self) -> PathBuf {
        self.server.path("home/.local/share/tmux-roster")
    }

    fn installed(&self) -> PathBuf {
        self.data().join(VERSION).join("roster")
    }

    fn failure(&self) -> Option<String> {
        std::fs::read_to_string(self.data().join("install-failed")).ok()
    }

    /// Says by which checksum the plugin knows the program for this machine.
    fn commit_sum(&self, program: &str) {
        write_sum(&self.plugin(), VERSION, program);
    }

    fn start(&self) {
        self.server.tmux(&["new-session", "-d", "-s", "one"]);
    }

    /// Nothing runs any more: the lock is gone, as is what was half done.
    fn wait_for_end_of_install(&self) {
        wait_for(
            || {
                let names = std::fs::read_dir(self.data()).into_iter().flatten().flatten();
                let names: Vec<_> = names.map(|e| e.file_name().into_string().unwrap()).collect();
                let busy = |name: &String| name == "install.lock" || name.starts_with("new.");
                (!names.iter().any(busy)).then_some(())
            },
            || "the end of the installation".into(),
        );
    }

    fn wait_for_failure(&self) -> String {
        let failure = wait_for(|| self.failure(), || "a remembered failure".into());
        self.wait_for_end_of_install();
        let lines: Vec<&str> = failure.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, VERSION), "{failure}");
        assert!(lines[1].parse::<u64>().is_ok(), "{failure}");
        assert!(!self.installed().exists());
        assert_eq!(self.server.tmux(&["show-options", "-gqv", "@roster_run"]), "");
        lines[2].to_owned()
    }

    /// What the first client is shown.
    fn message(&self, part: &str) {
        let waits = || self.server.tmux(&["show-options", "-gqv", "@roster_tell"]);
        wait_for(|| waits().contains(part).then_some(()), || format!("{part:?} in {}", waits()));
        self.server.attach("one").wait_to_see(part);
    }
}

/// The name of the file for this machine.
fn asset(version: &str) -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    format!("roster-{version}-{}-{system}", std::env::consts::ARCH)
}

/// Writes the checksum of a program where the plugin in `folder` has it.
fn write_sum(folder: &Path, version: &str, program: impl AsRef<[u8]>) {
    let sums = folder.join("scripts/sums");
    std::fs::write(&sums, program).unwrap();
    let by = |program: &str, args: &[&str]| Command::new(program).args(args).arg(&sums).output();
    let printed = by("sha256sum", &[]).or_else(|_| by("shasum", &["-a", "256"])).unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let sum = printed.split(' ').next().unwrap();
    std::fs::write(&sums, format!("{sum}  {}\n", asset(version))).unwrap();
}

/// What the release server does.
#[derive(Clone)]
enum Answer {
    /// These programs, each of a version.
    Programs(Vec<(String, Vec<u8>)>),
    Missing,
    /// Takes the request and says nothing.
    Silence,
    /// Sends half of a program, and says nothing more.
    Half(String),
    /// Sends half of a program, and ends.
    Cut(String),
}

/// A release on a local port; counts the requests.
struct Release {
    url: String,
    requests: Arc<AtomicUsize>,
}

impl Release {
    fn serve(answer: Answer) -> Release {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/releases", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        // It ends with the test's process.
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                match &answer {
                    Answer::Silence => silent.push(stream),
                    answer => {
                        let stream = respond(stream, answer);
                        if matches!(answer, Answer::Half(_)) {
                            silent.extend(stream);
                        }
                    }
                }
            }
        });
        Release { url, requests }
    }

    fn option(&self) -> String {
        format!("set -g @roster-release-url '{}'", self.url)
    }
}

fn respond(mut stream: TcpStream, answer: &Answer) -> Option<TcpStream> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend_from_slice(&buffer[..count]),
        }
    }
    let wants = |version: &str| {
        let line = format!("GET /releases/v{version}/{} ", asset(version));
        request.starts_with(line.as_bytes())
    };
    let (status, length, body) = match answer {
        Answer::Programs(programs) => match programs.iter().find(|(version, _)| wants(version)) {
            Some((_, program)) => ("200 OK", program.len(), program.as_slice()),
            None => ("404 Not Found", 8, &b"not here"[..]),
        },
        Answer::Half(program) | Answer::Cut(program) => {
            ("200 OK", program.len(), &program.as_bytes()[..program.len() / 2])
        }
        Answer::Missing | Answer::Silence => ("404 Not Found", 8, &b"not here"[..]),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok().map(|()| stream)
}

/// A cargo that does what `body` says, where scripts/install looks for one.
fn stub_cargo(installation: &Installation, body: &str) {
    let cargo = installation.server.path("home/.cargo/bin/cargo");
    write_program(&cargo, &format!("#!/bin/sh\n{CARGO_VERSION}{body}\n"));
}

/// What a cargo of our time says first.
const CARGO_VERSION: &str = "[ \"$1\" != --version ] || { echo 'cargo 99.0.0'; exit; }\n";

/// A cargo that builds what it is given, and leaves its arguments in the home folder.
fn stub_build(installation: &Installation) {
    let program = installation.server.path("built");
    write_program(&program, &program_of(VERSION));
    let body = format!(
        "echo \"$*\" >>\"$HOME/cargo-called\"\nmkdir -p \"$CARGO_TARGET_DIR/release\"\ncp '{}' \"$CARGO_TARGET_DIR/release/roster\"",
        program.display()
    );
    stub_cargo(installation, &body);
}

#[test]
fn a_release_is_downloaded_checked_and_loaded() {
    let program = program_of(VERSION);
    let release = Release::serve(program_named(VERSION, &program));
    let installation = Installation::new(&release.option());
    installation.commit_sum(&program);
    installation.start();
    let server = &installation.server;
    // No hook of ours saw this session come: the plugin was loaded after it.
    server.wait_for_names(&["one"]);
    installation.message(&format!("version {VERSION} is ready"));
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    installation.wait_for_end_of_install();
    assert_eq!(installation.failure(), None);
    // What is there is used from now on, and nothing is fetched again.
    server.kill_server();
    installation.start();
    server.wait_until_quiet();
    assert_eq!(release.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn without_a_client_to_see_it_a_message_waits_for_the_first() {
    let installation = Installation::new("");
    installation.start();
    let reason = installation.wait_for_failure();
    assert!(reason.contains("no prebuilt program of version"), "{reason}");
    assert!(reason.contains("cargo build failed"), "{reason}");
    let build = installation.plugin().join("scripts/build");
    installation.message(&format!("tmux-roster: cargo build failed: run {}", build.display()));
}

/// A cargo that waits until `go` is there, and then builds or does what `body` says.
fn stub_slow_cargo(installation: &Installation, body: Option<&str>) {
    stub_build(installation);
    let cargo = installation.server.path("home/.cargo/bin/cargo");
    let stub = std::fs::read_to_string(&cargo).unwrap();
    let wait = "touch \"$HOME/asked\"\nwhile [ ! -e \"$HOME/go\" ]; do sleep 0.1; done\n";
    let body = format!("{CARGO_VERSION}{wait}{}\n", body.unwrap_or(""));
    write_program(&cargo, &stub.replacen(CARGO_VERSION, &body, 1));
}

impl Installation {
    fn wait_for_cargo(&self) {
        let asked = self.server.path("home/asked");
        wait_for(|| asked.exists().then_some(()), || "cargo".into());
    }

    fn let_cargo_go(&self) {
        std::fs::write(self.server.path("home/go"), "").unwrap();
    }

    /// The keys of the prefix table whose binding contains this.
    fn keys(&self, part: &str) -> Vec<String> {
        let listed = self.server.tmux(&["list-keys", "-T", "prefix"]);
        let key = |line: &str| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "prefix");
            words.nth(1).unwrap().to_owned()
        };
        let ours = listed.lines().filter(|line| line.contains(part));
        let keys: BTreeSet<String> = ours.map(key).collect();
        keys.into_iter().collect()
    }

    /// Presses a key of the prefix table, and waits for what it says.
    fn press_to_see(&self, client: &Client, key: &str, text: &str) {
        // What stands there is taken away by the first key.
        client.press(&["C-b"]);
        client.press(&[key]);
        client.wait_to_see(text);
    }

    fn reload(&self) {
        let config = self.server.dir("tmux.conf");
        self.server.tmux(&["source-file", &config]);
    }
}

const ABSENT: &str = "#{@roster_absent}";

#[test]
fn keys_say_from_the_first_moment_what_is_going_on_until_the_program_is_there() {
    let installation = Installation::new("bind-key A display-message mine");
    let server = &installation.server;
    server.write_config(&format!(
        "{}\nset -g @roster-reopen-key C-y",
        std::fs::read_to_string(server.path("tmux.conf")).unwrap()
    ));
    stub_slow_cargo(&installation, None);
    installation.start();
    // The option comes after the plugin: it counts when the program is loaded.
    assert_eq!(installation.keys(ABSENT), ["B", "G"]);
    assert_eq!(installation.keys("mine"), ["A"]);
    let client = server.attach("one");
    installation.wait_for_cargo();
    installation.press_to_see(&client, "G", "tmux-roster: version 0.1.0 is being built, which");
    installation.let_cargo_go();
    client.wait_to_see(&format!("tmux-roster: version {VERSION} is ready"));
    assert_eq!(installation.keys(ABSENT), [""; 0]);
    assert_eq!(installation.keys("#{@roster_program}"), ["C-y", "G"]);
    assert_eq!(installation.keys("mine"), ["A"]);
    for option in ["@roster_absent", "@roster_waiting"] {
        assert_eq!(server.tmux(&["show-options", "-gqv", option]), "");
    }
}

#[test]
fn after_a_failure_each_key_says_why_once_and_is_free_again() {
    let installation = Installation::new("");
    let server = &installation.server;
    stub_slow_cargo(&installation, Some("exit 101"));
    installation.start();
    installation.wait_for_cargo();
    server.tmux(&["bind-key", "A", "display-message", "mine"]);
    installation.let_cargo_go();
    installation.wait_for_failure();
    let why = "tmux-roster: cargo build failed: run ";
    let said = || server.tmux(&["show-options", "-gqv", "@roster_absent"]);
    wait_for(|| said().starts_with(why).then_some(()), said);
    wait_for(|| (installation.keys("unbind-key").len() == 2).then_some(()), || "both".into());
    assert_eq!(installation.keys("mine"), ["A"], "bound meanwhile");
    let client = server.attach("one");
    client.wait_to_see(why);
    for (own, keys) in [("1234", ["G", "B"].as_slice()), ("", &["G", "B"])] {
        if !own.is_empty() {
            server.tmux(&["set-option", "-t", "one", "display-time", own]);
        }
        let before = server.tmux(&["show-options", "-t", "one"]);
        for key in keys {
            installation.press_to_see(&client, key, why);
            wait_for(
                || (!installation.keys(ABSENT).contains(&(*key).into())).then_some(()),
                || format!("the end of {key}"),
            );
            assert_eq!(server.tmux(&["show-options", "-t", "one"]), before);
        }
        assert_eq!(installation.keys("mine"), ["A"]);
        server.tmux(&["set-option", "-u", "-t", "one", "display-time"]);
        // Within a minute nothing is tried again, and it is said again.
        installation.reload();
        wait_for(|| (installation.keys("unbind-key").len() == 2).then_some(()), || "both".into());
    }
    assert_eq!(server.tmux(&["show-options", "-gv", "display-time"]), "750");
}

#[test]
fn a_message_can_be_read_and_display_time_is_put_back() {
    for own in ["", "100", "20000"] {
        let installation = Installation::new("set -g @roster-install none");
        let server = &installation.server;
        installation.start();
        if !own.is_empty() {
            server.tmux(&["set-option", "-t", "one", "display-time", own]);
        }
        let before = server.tmux(&["show-options", "-t", "one"]);
        installation.message(&no_roster());
        let client = Client::attach_sized(server, "one", (100, 20));
        installation.reload();
        client.wait_to_see(&no_roster());
        // Three times as long as tmux shows one by default.
        let is_seen = || client.screen().contains(&no_roster());
        check_stays(Duration::from_millis(2250), is_seen, || client.shown());
        assert_eq!(server.tmux(&["show-options", "-t", "one"]), before);
        assert_eq!(server.tmux(&["show-options", "-gv", "display-time"]), "750");
    }
}

#[test]
fn a_bad_choice_of_a_program_is_told_together_with_what_is_done_about_it() {
    let installation = Installation::new("set -g @roster-binary /dev/null");
    let server = &installation.server;
    stub_slow_cargo(&installation, None);
    installation.start();
    let series = VERSION.rsplit_once('.').unwrap().0;
    let bad = format!("tmux-roster: @roster-binary is not a roster program of version {series}.x");
    installation.message(&format!("{bad}: installing version {VERSION}"));
    installation.let_cargo_go();
    let client = Client::attach_sized(server, "one", (100, 20));
    client.wait_to_see(&format!("version {VERSION} is ready; fix or remove @roster-binary"));
    server.kill_server();

    // Where there is another program, that is all there is to tell.
    put_program(&installation.plugin());
    installation.start();
    installation.message(&format!("{bad}: fix it in tmux.conf"));
    server.kill_server();

    std::fs::remove_dir_all(installation.plugin().join("target")).unwrap();
    std::fs::remove_dir_all(installation.data()).unwrap();
    stub_cargo(&installation, "exit 101");
    installation.start();
    installation.wait_for_failure();
    installation.message(&format!("{bad}: fix it (cargo build failed)"));
}

#[test]
fn messages_say_any_text_of_the_plugins_folder() {
    let installation = Installation::new("");
    let server = &installation.server;
    let odd = server.path("it's; 100%H #{pid} #(touch canary) é");
    std::fs::rename(installation.plugin(), &odd).unwrap();
    let tpm = "#!/bin/sh\n\"$HOME\"/../it*/plugin.tmux >/dev/null 2>&1\n";
    write_program(&server.path("tpm"), tpm);
    server.set_trap();
    installation.start();
    let text = format!("cargo build failed: run {}/scripts/build", odd.display());
    let waits = || server.tmux(&["show-options", "-gqv", "@roster_tell"]);
    wait_for(|| waits().contains("cargo build failed").then_some(()), waits);
    let client = Client::attach_sized(server, "one", (160, 20));
    client.wait_to_see(&text);
    installation.press_to_see(&client, "G", &text);
    assert_eq!(server.trapped(), [""; 0]);
}

#[test]
fn a_load_for_somebody_tries_again_what_failed_once_a_minute() {
    let release = Release::serve(Answer::Missing);
    let installation = Installation::that_failed(&release);
    let requests = || release.requests.load(Ordering::SeqCst);
    let file = installation.data().join("install-failed");
    let fail_before = |seconds: u64| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let text = format!("{VERSION}\n{}\nit rained\n", now.as_secs() - seconds);
        std::fs::write(&file, &text).unwrap();
    };
    let told = || installation.server.tmux(&["show-options", "-gqv", "@roster_absent"]);
    let told_of = |what: &str| wait_for(|| told().contains(what).then_some(()), told);
    // Nobody is there.
    fail_before(61);
    installation.reload();
    told_of("it rained: run ");
    assert_eq!(requests(), 1);
    let _client = installation.server.attach("one");
    installation.reload();
    told_of("cargo build failed");
    installation.wait_for_end_of_install();
    assert_eq!(requests(), 2);
    fail_before(30);
    installation.reload();
    told_of("it rained: run ");
    installation.wait_for_end_of_install();
    assert_eq!(requests(), 2);
    // What was mended has come at the next load.
    fail_before(61);
    stub_build(&installation);
    installation.reload();
    installation.server.wait_for_names(&["one"]);
}

#[test]
fn a_cargo_that_is_too_old_is_told_before_it_builds() {
    let installation = Installation::new("");
    let cargo = installation.server.path("home/.cargo/bin/cargo");
    let old = "#!/bin/sh\necho \"$*\" >>\"$HOME/called\"\necho 'cargo 1.9.3 (0000 2016-07-01)'\n";
    write_program(&cargo, old);
    installation.start();
    let reason = installation.wait_for_failure();
    assert!(reason.ends_with("; cargo 1.9.3 is too old, Rust 1.85 is needed"), "{reason}");
    installation.message("tmux-roster: cargo 1.9.3 is too old: update Rust, run ");
    let called = || std::fs::read_to_string(installation.server.path("home/called")).unwrap();
    assert_eq!(called(), "--version\n");
    let log = std::fs::read_to_string(installation.data().join("install.log")).unwrap();
    assert!(log.contains("could not be installed: there is no prebuilt program"), "{log}");

    let build = installation.plugin().join("scripts/build");
    copy_program(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/build").as_ref(), &build);
    let mut build = Command::new(build);
    build.env("HOME", installation.server.path("home"));
    build.env("PATH", format!("{}:/usr/bin:/bin", cargo.parent().unwrap().display()));
    let output = build.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cargo 1.9.3 is too old: update Rust to 1.85 or newer"), "{said}");
    assert_eq!(called(), "--version\n--version\n");
}

#[test]
fn building_by_hand_loads_it_into_the_server_that_waits() {
    let installation = Installation::new("");
    let server = &installation.server;
    installation.start();
    installation.wait_for_failure();
    let build = installation.plugin().join("scripts/build");
    copy_program(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/build").as_ref(), &build);
    stub_cargo(
        &installation,
        &format!("mkdir -p target/release; cp '{ROSTER}' target/release/roster"),
    );
    let line = format!("PATH=\"$HOME/.cargo/bin:$PATH\" '{}'", build.display());
    server.tmux(&["send-keys", "-t", "=one:", &line, "Enter"]);
    server.wait_for_names(&["one"]);
    wait_for(|| installation.keys(ABSENT).is_empty().then_some(()), || "our keys".into());
}

#[test]
fn an_installation_that_is_ended_is_not_said_to_go_on() {
    let installation = Installation::new("");
    let server = &installation.server;
    stub_slow_cargo(&installation, None);
    installation.start();
    installation.wait_for_cargo();
    let holder = std::fs::read_link(installation.data().join("install.lock")).unwrap();
    let holder = Pid::from_raw(holder.to_str().unwrap().parse().unwrap()).unwrap();
    kill_process(holder, Signal::TERM).unwrap();
    // It looks up when what it waits for has ended.
    installation.let_cargo_go();
    let said = || server.tmux(&["show-options", "-gqv", "@roster_absent"]);
    wait_for(|| said().contains("the installation was interrupted: run ").then_some(()), said);
    installation.wait_for_end_of_install();
    assert_eq!(installation.keys("unbind-key").len(), 3);
}

#[test]
fn keys_whose_program_is_gone_say_so_to_who_pressed_them() {
    let installation = Installation::new("");
    let program = put_program(&installation.plugin());
    let server = &installation.server;
    installation.start();
    server.wait_for_names(&["one"]);
    let client = server.attach("one");
    let mut other = ControlClient::attach(server, "one");
    server.wait_until_idle();
    let before = server.tmux(&["show-options", "-t", "one"]);
    let gone = "tmux-roster: the program is gone: reload tmux.conf, or run scripts/uninstall";
    let check = |key: &str| {
        server.tmux(&["send-keys", "-t", "=one:", "clear", "Enter"]);
        installation.press_to_see(&client, key, gone);
        let is_seen = || client.screen().contains(gone);
        check_stays(Duration::from_millis(1500), is_seen, || client.shown());
        assert_eq!(server.tmux(&["display-message", "-p", "-t", "=one:", "#{pane_mode}"]), "");
    };
    std::fs::remove_file(&program).unwrap();
    check("G");
    write_program(&program, "#!/bin/sh\n");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    check("A");
    std::fs::remove_dir_all(installation.data()).unwrap();
    std::fs::remove_dir_all(installation.plugin()).unwrap();
    check("B");
    let after = || server.tmux(&["show-options", "-t", "one"]);
    wait_for(|| (after() == before).then_some(()), after);
    assert_eq!(other.ask("display-message -p last"), "last");
    let said = other.said();
    assert!(!said.contains("tmux-roster") && !said.contains("%message"), "{said}");
    assert_eq!(said.matches("%begin ").count(), 2, "{said}");
}

#[test]
fn uninstalling_takes_away_what_keys_say_without_a_program() {
    let installation = Installation::new("bind-key A display-message mine");
    let server = &installation.server;
    stub_slow_cargo(&installation, Some("exit 101"));
    installation.start();
    assert_eq!(installation.keys(ABSENT), ["B", "G"]);
    let uninstall = || {
        let mut command = server.command(installation.plugin().join("scripts/uninstall"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("Removed from the server on"), "{said}");
        assert_eq!(installation.keys(ABSENT), [""; 0]);
        assert_eq!(installation.keys("mine"), ["A"]);
        for what in ["show-options", "show-hooks"] {
            let left = server.tmux(&[what, "-g"]);
            assert!(!left.contains("roster_") && !left.contains("[424"), "{left}");
        }
    };
    installation.wait_for_cargo();
    uninstall();
    // What was on its way says nothing any more.
    installation.let_cargo_go();
    server.wait_for_end_of("scripts/install");
    assert_eq!(installation.keys(ABSENT), [""; 0]);
    assert!(!server.tmux(&["show-options", "-g"]).contains("@roster_"));
    assert!(!installation.data().exists());

    installation.reload();
    wait_for(|| (installation.keys("unbind-key").len() == 2).then_some(()), || "both".into());
    server.wait_for_end_of("scripts/install");
    uninstall();
}

#[test]
fn a_wrong_sum_is_refused() {
    let release = Release::serve(program_named(VERSION, &program_of(VERSION)));
    let installation = Installation::new(&release.option());
    installation.commit_sum("another program");
    installation.start();
    let reason = installation.wait_for_failure();
    assert!(reason.contains("checksum") && reason.contains("is wrong"), "{reason}");
}

#[test]
fn a_download_that_says_another_version_is_refused() {
    let program = program_of(&other_patch());
    let release = Release::serve(program_named(VERSION, &program));
    let installation = Installation::new(&release.option());
    installation.commit_sum(&program);
    installation.start();
    let reason = installation.wait_for_failure();
    assert!(reason.contains("does not run here"), "{reason}");
}

#[test]
fn a_missing_file_and_a_dead_server_are_told() {
    let release = Release::serve(Answer::Missing);
    let dead = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = dead.local_addr().unwrap().port();
    drop(dead);
    let dead = format!("set -g @roster-release-url http://127.0.0.1:{port}");
    for option in [release.option(), dead] {
        let installation = Installation::new(&option);
        installation.commit_sum("x");
        installation.start();
        let reason = installation.wait_for_failure();
        assert!(reason.starts_with("could not download http://127.0.0.1:"), "{reason}");
    }
}

#[test]
fn a_server_that_does_not_say_all_is_given_up() {
    let program = program_of(VERSION);
    for answer in [Answer::Silence, Answer::Half(program.clone()), Answer::Cut(program.clone())] {
        let release = Release::serve(answer);
        let limit = "ROSTER_DOWNLOAD_LIMIT=1";
        let installation = Installation::with_environment(&release.option(), limit);
        installation.commit_sum(&program);
        installation.start();
        let reason = installation.wait_for_failure();
        assert!(reason.starts_with("could not download"), "{reason}");
    }
}

/// A folder to be a PATH, with these programs of this machine; fails where one is missing.
fn path_of(folder: &Path, programs: &[&str]) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir(folder).unwrap();
    let path = std::env::var_os("PATH").unwrap();
    for program in programs {
        let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.exists());
        symlink(found.ok_or(*program)?, folder.join(program)).unwrap();
    }
    Ok(())
}

#[test]
fn whatever_there_is_to_download_and_to_check_with_will_do() {
    const ALWAYS: &[&str] = &[
        "awk", "chmod", "cut", "date", "dirname", "find", "id", "ln", "mkdir", "mv", "nice", "ps",
        "readlink", "rm", "sed", "tail", "tr", "uname",
    ];
    let program = program_of(VERSION);
    let release = Release::serve(program_named(VERSION, &program));
    let installation = Installation::new("");
    let server = &installation.server;
    server.write_config(&release.option());
    installation.start();
    let printed = server.tmux(&["list-sessions", "-F", "#{pid}"]);
    let socket = format!("tmp/tmux-{}/s,{printed},0", rustix::process::getuid().as_raw());
    let install = |programs: &[&str]| {
        let bin = server.path("bin");
        path_of(&bin, &[ALWAYS, programs].concat())?;
        let mut command = Command::new(installation.plugin().join("scripts/install"));
        command.env_clear().env("PATH", bin).env("HOME", server.path("home"));
        command.env("TMUX", server.path(&socket)).env("ROSTER_TMUX", tmux_program());
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        Ok::<_, String>((output.status.success(), said))
    };
    for programs in [
        &["curl", "sha256sum", "timeout"][..],
        &["curl", "openssl"],
        &["wget", "shasum", "perl"],
        &["wget", "sha256sum"],
    ] {
        for (is_right, committed) in [(false, "another program"), (true, program.as_str())] {
            installation.commit_sum(committed);
            let (is_done, said) = match install(programs) {
                Ok(result) => result,
                // It comes with none of GNU's.
                Err(missing) if cfg!(target_os = "macos") => {
                    println!("skipped {programs:?}: there is no {missing}");
                    break;
                }
                Err(missing) => panic!("{missing} is needed: install it"),
            };
            assert_eq!(is_done, is_right, "{programs:?}: {said}");
            assert_eq!(said.contains("the checksum of "), !is_right, "{programs:?}: {said}");
            assert_eq!(said.contains("is ready"), is_right, "{programs:?}: {said}");
        }
        let _ = std::fs::remove_file(installation.installed());
    }
    for (programs, wanted) in [
        (&["sha256sum"][..], "could not be installed: curl or wget is needed;"),
        (&["curl"], "could not be installed: sha256sum, shasum or openssl is needed;"),
    ] {
        let (is_done, said) = install(programs).unwrap();
        assert!(!is_done && said.contains(wanted), "{programs:?}: {said}");
    }
}

#[test]
fn a_failure_is_not_tried_again_before_a_day_or_another_version() {
    let release = Release::serve(Answer::Missing);
    let installation = Installation::that_failed(&release);
    let requests = || release.requests.load(Ordering::SeqCst);
    assert_eq!(requests(), 1);
    let reload = || {
        let config = installation.server.dir("tmux.conf");
        installation.server.tmux(&["set-hook", "-gu", "client-session-changed[4243]"]);
        installation.server.tmux(&["source-file", &config]);
    };
    reload();
    installation.message("tmux-roster: cargo build failed: run");
    installation.wait_for_end_of_install();
    assert_eq!(requests(), 1);
    let day_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(86401);
    let day_ago = day_ago.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let file = installation.data().join("install-failed");
    for (count, text) in [
        (2, format!("{VERSION}\n{day_ago}\nwhatever\n")),
        (3, format!("9.9.9\n{}\nwhatever\n", day_ago + 86400)),
    ] {
        std::fs::write(&file, &text).unwrap();
        reload();
        wait_for(|| installation.failure().filter(|now| *now != text), || "another attempt".into());
        assert_eq!(requests(), count);
        installation.wait_for_end_of_install();
    }
}

#[test]
fn cargo_builds_where_there_is_nothing_to_download() {
    let installation = Installation::new("");
    stub_build(&installation);
    installation.start();
    installation.server.wait_for_names(&["one"]);
    installation.wait_for_end_of_install();
    assert!(installation.installed().exists());
    let called = std::fs::read_to_string(installation.server.path("home/cargo-called")).unwrap();
    assert_eq!(called, "build --release --locked\n");
}

#[test]
fn a_target_in_the_environment_is_not_built_for() {
    let installation = Installation::with_environment("", "CARGO_BUILD_TARGET=wasm32-wasip1");
    stub_build(&installation);
    let cargo = installation.server.path("home/.cargo/bin/cargo");
    let stub = std::fs::read_to_string(&cargo).unwrap();
    let refuses = "[ -z \"${CARGO_BUILD_TARGET+set}\" ] || exit 101\n";
    write_program(&cargo, &stub.replacen('\n', &format!("\n{refuses}"), 1));
    installation.start();
    installation.server.wait_for_names(&["one"]);
    installation.wait_for_end_of_install();
    assert!(installation.installed().exists());

    // By hand it is built where the plugin looks, whatever folder other projects use.
    write_program(&cargo, &format!("#!/bin/sh\n{CARGO_VERSION}{refuses}echo \"$*\"\n"));
    let build = installation.plugin().join("scripts/build");
    copy_program(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/build").as_ref(), &build);
    let output = Command::new(build)
        .env("PATH", format!("{}:/usr/bin:/bin", cargo.parent().unwrap().display()))
        .env("CARGO_BUILD_TARGET", "wasm32-wasip1")
        .env("CARGO_TARGET_DIR", "/elsewhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "build --release --locked --target-dir target\n", "{output:?}");
}

#[test]
fn a_cargo_that_has_come_since_is_used_at_the_next_load() {
    let installation = Installation::new("");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    std::fs::create_dir_all(installation.data()).unwrap();
    let reason = "there is no prebuilt program; there is no cargo";
    let failure = format!("{VERSION}\n{}\n{reason}\n", now.as_secs());
    std::fs::write(installation.data().join("install-failed"), failure).unwrap();
    stub_build(&installation);
    installation.start();
    installation.server.wait_for_names(&["one"]);
    installation.wait_for_end_of_install();
    assert!(installation.installed().exists() && installation.failure().is_none());
}

#[test]
fn a_plugin_folder_that_cannot_be_written_does_not_matter() {
    for is_built in [false, true] {
        let release = Release::serve(program_named(VERSION, &program_of(VERSION)));
        let how = if is_built { "build" } else { "download" };
        let config = format!("{}\nset -g @roster-install {how}", release.option());
        let installation = Installation::on(Server::of_ordinary_user(""), &config, "");
        installation.commit_sum(&program_of(VERSION));
        if is_built {
            stub_build(&installation);
        }
        installation.server.lock(&installation.plugin(), true);
        installation.start();
        installation.server.wait_for_names(&["one"]);
        installation.wait_for_end_of_install();
        assert!(installation.installed().exists());
        assert!(!installation.data().join("build").exists());
        assert_eq!(release.requests.load(Ordering::SeqCst), usize::from(!is_built));
        let called = installation.server.path("home/cargo-called").exists();
        assert_eq!(called, is_built, "the other way is not tried");
        installation.server.lock(&installation.plugin(), false);
    }
}

#[test]
fn a_broken_cargo_is_told_and_its_words_are_kept() {
    let installation = Installation::new("");
    stub_cargo(&installation, "echo 'error: no' >&2; exit 101");
    installation.start();
    let reason = installation.wait_for_failure();
    assert!(reason.contains("cargo build failed"), "{reason}");
    let log = std::fs::read_to_string(installation.data().join("build.log")).unwrap();
    assert_eq!(log, "error: no\n");
}

#[test]
fn a_cargo_without_end_is_ended() {
    let installation = Installation::with_environment("", "ROSTER_BUILD_LIMIT=1");
    stub_cargo(&installation, "exec sleep 600");
    installation.start();
    assert!(installation.wait_for_failure().contains("cargo build failed"));
}

#[test]
fn none_means_none() {
    let release = Release::serve(program_named(VERSION, &program_of(VERSION)));
    let config = format!("{}\nset -g @roster-install none", release.option());
    let installation = Installation::new(&config);
    installation.commit_sum(&program_of(VERSION));
    stub_build(&installation);
    installation.start();
    installation.message("@roster-install is none");
    assert!(!installation.data().exists());
    assert!(!installation.server.path("home/cargo-called").exists());
    assert_eq!(release.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn two_installations_at_a_time_do_the_work_once() {
    let release = Release::serve(program_named(VERSION, &program_of(VERSION)));
    let installation = Installation::new(&release.option());
    installation.commit_sum(&program_of(VERSION));
    // Slow enough for both to be there.
    installation
        .configure(&release.option(), &format!("PATH='{}':$PATH", installation.server.dir("slow")));
    let curl = "#!/bin/sh\ntouch \"$HOME/asked\"\nwhile [ ! -e \"$HOME/go\" ]; do sleep 0.1; done\nexec /usr/bin/env PATH=/usr/bin:/bin:/opt/homebrew/bin curl \"$@\"\n";
    write_program(&installation.server.path("slow/curl"), curl);
    installation.start();
    wait_for(
        || installation.server.path("home/asked").exists().then_some(()),
        || "the first download".into(),
    );
    installation.server.tmux(&["run-shell", &installation.server.dir("tpm")]);
    // By hand, beside them: a second one at the same time.
    let mut second = installation.server.command(installation.plugin().join("scripts/install"));
    let second = second.spawn();
    std::fs::write(installation.server.path("home/go"), "").unwrap();
    installation.server.wait_for_names(&["one"]);
    assert!(second.unwrap().wait().unwrap().success());
    installation.wait_for_end_of_install();
    assert_eq!(release.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_lock_that_a_crash_left_is_taken() {
    let release = Release::serve(program_named(VERSION, &program_of(VERSION)));
    let installation = Installation::new(&release.option());
    installation.commit_sum(&program_of(VERSION));
    std::fs::create_dir_all(installation.data()).unwrap();
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    symlink(gone.id().to_string(), installation.data().join("install.lock")).unwrap();
    installation.start();
    installation.server.wait_for_names(&["one"]);
}

#[test]
fn who_waits_for_another_installation_ends_where_the_folder_goes() {
    let installation = Installation::new("");
    std::fs::create_dir_all(installation.data()).unwrap();
    let holder = std::process::id().to_string();
    symlink(holder, installation.data().join("install.lock")).unwrap();
    let server = &installation.server;
    let noted = server.path("sleeps");
    let body = format!("echo >>'{}'\nexec /bin/sleep \"$@\"", noted.display());
    script(&server.path("traps/sleep"), &body);
    let mut install = server.command(installation.plugin().join("scripts/install"));
    let mut install = install.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| noted.exists().then_some(()), || "an installation that waits".into());
    assert!(install.try_wait().unwrap().is_none(), "it waits");
    std::fs::remove_dir_all(installation.data()).unwrap();
    let ended = wait_for(|| install.try_wait().unwrap(), || "the end of the installation".into());
    assert_eq!(ended.code(), Some(1));
}

#[test]
fn an_older_compatible_program_works_while_the_new_one_is_fetched() {
    let release = Release::serve(Answer::Missing);
    let installation = Installation::new(&release.option());
    installation.commit_sum("x");
    let older = installation.plugin().join("target/release/roster");
    write_program(&older, &program_of(&other_patch()));
    installation.start();
    installation.server.wait_for_names(&["one"]);
    wait_for(|| installation.failure(), || "an attempt".into());
}

#[test]
fn an_incompatible_program_is_not_called() {
    let installation = Installation::new("set -g @roster-install none");
    for version in ["0.0.9", "9.9.9", "1", ""] {
        let program = installation.plugin().join("target/release/roster");
        let text = program_of(version).replace("exec ", "touch \"$HOME/called\"; exec ");
        write_program(&program, &text);
        installation.start();
        installation.message(&no_roster());
        assert!(!installation.server.path("home/called").exists());
        installation.server.kill_server();
    }
}

#[test]
fn the_chosen_program_is_used_and_nothing_is_fetched() {
    let release = Release::serve(Answer::Missing);
    let installation = Installation::new("");
    installation
        .configure(&format!("{}\nset -g @roster-binary '~/my roster'", release.option()), "");
    installation.commit_sum("x");
    write_program(&installation.server.path("home/my roster"), &program_of(&other_patch()));
    installation.start();
    installation.server.wait_for_names(&["one"]);
    assert!(!installation.data().exists(), "no link: the user's program is called by its path");
    assert_eq!(release.requests.load(Ordering::SeqCst), 0);
}

/// Whatever stands on PATH or in the option under that name: tmux's start does not wait for it.
#[test]
fn a_stranger_called_roster_that_hangs_is_given_up() {
    for (body, is_chosen) in
        [("sleep 60", false), ("trap '' TERM; sleep 60", false), ("exec sleep 60", true)]
    {
        let installation = Installation::new("");
        let server = &installation.server;
        let stranger = server.path("strangers/roster");
        let text = format!("#!/bin/sh\n: >\"$HOME/called\"\n{body}\n");
        write_program(&stranger, &text);
        let chosen = format!("set -g @roster-binary '{}'\n", stranger.display());
        let path = format!("PATH='{}':$PATH", server.dir("strangers"));
        let (chosen, path) = if is_chosen { (&*chosen, "") } else { ("", &*path) };
        installation.configure(&format!("{chosen}set -g @roster-install none"), path);
        let none = no_roster();
        let started = Instant::now();
        installation.start();
        // A program that works is there at once; this bound is for a loaded machine.
        assert!(started.elapsed() < Duration::from_secs(15), "{body}: {:?}", started.elapsed());
        assert!(server.path("home/called").exists(), "{body}: it was asked");
        installation.message(if is_chosen { "@roster-binary is not a roster" } else { &none });
        assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_run"]), "");
    }
}

#[test]
fn a_time_limit_ends_all_that_was_started_with_whatever_there_is_to_do_it() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    let common = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/common.sh");
    for (program, body) in [
        ("timeout", "sleep 60"),
        ("timeout", "trap '' TERM; sleep 60"),
        ("perl", "sleep 60"),
        ("perl", "trap '' TERM ALRM; sleep 60"),
    ] {
        match path_of(&at("bin"), &["sh", "sleep", program]) {
            Ok(()) => {}
            Err(_) if cfg!(target_os = "macos") => continue,
            Err(missing) => panic!("{missing} is needed: install it"),
        }
        // Whoever lives on holds up the one who reads what they print.
        write_program(&at("slow"), &format!("#!/bin/sh\n({body}) &\n{body}\n"));
        let script =
            ". \"$1\"; said=$(limited 1 \"$2\"); echo $?; limited 9 sh -c 'exit 7'; echo $?";
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script, "sh"]).arg(&common).arg(at("slow"));
        let started = Instant::now();
        let output = command.env_clear().env("PATH", at("bin")).output().unwrap();
        let taken = started.elapsed();
        assert!(taken < Duration::from_secs(15), "{program}, {body}: {taken:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(!said.starts_with("0\n") && said.ends_with("\n7\n"), "{program}, {body}: {said}");
    }
}

/// Puts a copy of the program where the plugin finds it.
fn put_program(folder: &Path) -> PathBuf {
    let program = folder.join("target/release/roster");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    copy_program(ROSTER.as_ref(), &program);
    program
}

#[test]
fn running_servers_follow_an_upgrade_and_a_downgrade() {
    let installation = Installation::new("");
    put_program(&installation.plugin());
    installation.start();
    let server = &installation.server;
    server.wait_for_names(&["one"]);
    let link = installation.data().join("roster");
    let run = server.tmux(&["show-options", "-gqv", "@roster_run"]);
    assert!(run.contains(&format!("'{}' sync", link.display())), "{run}");
    let before = std::fs::read_link(&link).unwrap();
    // The plugin moves (another server loads it from elsewhere), while events go on.
    let other = server.path("other");
    copy_plugin(&other);
    put_program(&other);
    let mut names = vec!["one".to_owned()];
    for count in 0..6 {
        let folder = if count % 2 == 0 { &other } else { &installation.plugin() };
        for event in 0..5 {
            let name = format!("s{count}{event}");
            server.tmux(&["new-session", "-d", "-s", &name]);
            if event == 2 {
                server.tmux(&["run-shell", &format!("'{}/plugin.tmux'", folder.display())]);
                assert_eq!(
                    *std::fs::read_link(&link).unwrap(),
                    *folder.join("target/release/roster")
                );
            }
            names.push(name);
        }
    }
    assert_eq!(std::fs::read_link(&link).unwrap(), before);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    server.wait_for_names(&names);
    assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_run"]), run);
    assert_eq!(server.tmux(&["display-message", "-p", "-t", "=one:", "#{pane_mode}"]), "");
}

/// The program as it would be built for a version that is as long to write: a copy in which only
/// that differs. (A script that says so would not do where the program asks who it is.) macOS does
/// not run it, since the signature is wrong then.
#[cfg(target_os = "linux")]
fn built_as(version: &str) -> Vec<u8> {
    assert_eq!(version.len(), VERSION.len());
    let mut program = std::fs::read(ROSTER).unwrap();
    let found: Vec<usize> = (0..program.len() - VERSION.len())
        .filter(|&at| program[at..].starts_with(VERSION.as_bytes()))
        .collect();
    for at in found {
        program[at..at + version.len()].copy_from_slice(version.as_bytes());
    }
    program
}

#[cfg(target_os = "linux")]
#[test]
fn an_upgrade_keeps_the_version_before_and_what_servers_call() {
    let patch = |last: char| format!("{}{last}", &VERSION[..VERSION.len() - 1]);
    let versions = ['5', '6', '7', '8', '9'].map(patch);
    let [first, second, third, fourth, fifth] = &versions;
    let programs = versions.iter().map(|version| (version.clone(), built_as(version)));
    let programs: Vec<_> = programs.collect();
    let release = Release::serve(Answer::Programs(programs.clone()));
    let installation = Installation::new(&release.option());
    let server = &installation.server;
    let link = installation.data().join("roster");
    let program = |version: &str| installation.data().join(version).join("roster");
    let choose = |version: &str| {
        let (_, program) = programs.iter().find(|(known, _)| known == version).unwrap();
        set_version(&installation.plugin(), version, program);
    };
    // Loads the plugin while events go on, and waits until the link leads to its version.
    let mut names = vec!["one".to_owned()];
    let mut load = || {
        for event in 0..4 {
            let name = format!("s{}", names.len());
            server.tmux(&["new-session", "-d", "-s", &name]);
            names.push(name);
            if event == 1 {
                server.tmux(&["run-shell", "-b", &server.dir("tpm")]);
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        server.wait_for_names(&names);
    };
    let is_there = || -> Vec<&String> {
        versions.iter().filter(|version| program(version).exists()).collect()
    };
    let leads_to = |version: &str| {
        wait_for(
            || std::fs::read_link(&link).is_ok_and(|to| to == program(version)).then_some(()),
            || format!("the link to {version}, which is {:?}", std::fs::read_link(&link)),
        );
        installation.wait_for_end_of_install();
    };
    choose(first);
    installation.start();
    leads_to(first);
    server.wait_for_names(&["one"]);
    let uuid = server.uuid("one");
    let run = server.tmux(&["show-options", "-gv", "@roster_run"]);
    choose(second);
    load();
    leads_to(second);
    assert_eq!(is_there(), [first, second]);
    // Another server is told of the second by its own path.
    let other = |args: &[&str]| {
        let mut command = server.command(tmux_program());
        command.args(["-L", "other", "-f", "/dev/null"]).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    other(&["new-session", "-d", "-s", "two"]);
    other(&["set-option", "-g", "@roster-binary", &program(second).display().to_string()]);
    other(&["run-shell", &server.dir("tpm")]);
    assert!(other(&["show-options", "-gv", "@roster_run"]).contains(&format!("/{second}/roster")));
    choose(third);
    load();
    leads_to(third);
    assert_eq!(is_there(), [second, third]);
    choose(fourth);
    load();
    leads_to(fourth);
    assert_eq!(is_there(), [second, third, fourth]);
    // Down again: what is there is used, nothing is fetched.
    let requests = release.requests.load(Ordering::SeqCst);
    choose(third);
    load();
    leads_to(third);
    assert_eq!(release.requests.load(Ordering::SeqCst), requests);
    assert_eq!(is_there(), [second, third, fourth]);
    // The one before is now the third.
    choose(fifth);
    load();
    leads_to(fifth);
    assert_eq!(is_there(), [second, third, fifth]);
    assert_eq!(server.tmux(&["show-options", "-gv", "@roster_run"]), run);
    assert_eq!(server.uuid("one"), uuid);
    other(&["kill-server"]);
}

#[test]
fn hooks_stay_silent_when_the_folder_is_gone() {
    let installation = Installation::new("");
    put_program(&installation.plugin());
    installation.start();
    let server = &installation.server;
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    let client = server.attach("one");
    wait_for(
        || (!server.field("one", "last_attached_at").is_empty()).then_some(()),
        || "the sync for the client".into(),
    );
    server.wait_until_quiet();
    server.wait_until_idle();
    // What `prefix + alt + u` does.
    std::fs::remove_dir_all(installation.plugin()).unwrap();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.tmux(&["rename-session", "-t", &server.id("two"), "three"]);
    // A job that comes after theirs, and so ends after them.
    server.tmux(&["run-shell", "true"]);
    assert_eq!(server.tmux(&["display-message", "-p", "-t", "=one:", "#{pane_mode}"]), "");
    assert!(!client.screen().contains("roster"), "{}", client.screen());
    assert_eq!(server.names(), ["one"]);
    let mut uninstall = server.command(installation.data().join("scripts/uninstall"));
    assert!(uninstall.output().unwrap().status.success());
    let hooks = server.tmux(&["show-hooks", "-g"]);
    assert!(!hooks.contains("roster"), "{hooks}");
}

#[test]
fn uninstalling_leaves_nothing_but_the_registry() {
    let installation = Installation::new(
        "set -g @roster-default-mode build\nset-hook -g 'session-created[7]' 'set -g @theirs 1'\n\
         bind-key X display-message '#{@roster_mode}'\n\
         bind-key U run-shell -b '#{@roster_program} sync >/dev/null 2>&1 || :'\n\
         bind-key -T roster Y run-shell '~/.local/share/tmux-roster/roster list'\n\
         bind-key -r M-r display-message '#{@roster_dir}' \\; run-shell -b \"'$PROGRAM' list || :\"",
    );
    put_program(&installation.plugin());
    let server = &installation.server;
    let before = |what: &[&str]| server.tmux(what);
    installation.start();
    server.wait_for_names(&["one"]);
    server.wait_until_quiet();
    // Another server of the same user, by another name.
    let other = |args: &[&str]| {
        let mut command = server.command(tmux_program());
        command.args(["-L", "other", "-f"]).arg(server.path("tmux.conf")).args(args);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    other(&["new-session", "-d", "-s", "two"]);
    wait_for(
        || other(&["show-options", "-t", "two"]).contains("@roster_uuid").then_some(()),
        || "the other server's stamp".into(),
    );
    let has_hidden = tmux_version() >= (3, 2);
    // What doctor puts beside hooks of the user's that hide ours.
    let own = ["session-renamed", "window-linked", "window-renamed"];
    for hook in own {
        server.tmux(&["set-hook", "-t", "=one:", hook, "set -g @theirs 1"]);
    }
    server.roster(&["doctor", "--fix"]);
    if has_hidden {
        // As after a sync that failed.
        for variable in ["ROSTER_LOOK", "ROSTER_LOOK_WINDOWS"] {
            server.tmux(&["set-environment", "-gh", variable, "1-1"]);
        }
    }
    let keys = before(&["list-keys"]);
    let bin = server.path("home/.local/bin");
    std::fs::create_dir_all(&bin).unwrap();
    for (name, program) in [("roster", "roster"), ("other", "scripts/uninstall")] {
        symlink(installation.data().join(program), bin.join(name)).unwrap();
    }
    // A job that is on its way, and does what it came for when all is removed already.
    let job = server.path("roster");
    let text = "#!/bin/sh\nwhile TMUX -L s show-hooks -g | grep -qF '[4242]'; do sleep 0.1; done\n\
                TMUX -L s set-option -g @roster_lost 1\n";
    write_program(&job, &text.replace("TMUX", &tmux_program().display().to_string()));
    let dir = server.registry_path().parent().unwrap().to_owned();
    let mut job = server.command(job);
    let mut job = job.args(["sync", "--hook", "--windows", "--dir"]).arg(dir).spawn().unwrap();
    let uninstall = |args: &[&str]| {
        let script = installation.plugin().join("scripts/uninstall");
        let output = server.command(script).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let said = uninstall(&[]);
    assert!(job.wait().unwrap().success());
    assert_eq!(said.matches("Removed from the server on").count(), 2, "{said}");
    for ask in [&other as &dyn Fn(&[&str]) -> String, &|args: &[&str]| server.tmux(args)] {
        for what in [
            &["show-hooks", "-g"][..],
            &["show-environment", "-g"],
            &["show-environment", if has_hidden { "-gh" } else { "-g" }],
            &["show-options", "-g"],
            &["list-sessions", "-F", "#{@roster_uuid}#{@roster_mode}#{@roster_health}"],
        ] {
            let shown = ask(what);
            let ours = |line: &&str| line.contains("roster_") || line.contains("ROSTER");
            let left: Vec<&str> = shown.lines().filter(ours).collect();
            assert!(left.is_empty(), "{what:?}: {left:?}");
            if what[0] == "show-hooks" {
                assert!(!shown.contains("[424") && shown.contains("session-created[7]"), "{shown}");
            }
        }
    }
    let id = server.id("one");
    let mut shown = server.tmux(&["show-hooks", "-t", "=one:"]);
    if has_hidden {
        shown.push_str(&server.tmux(&["show-options", "-gwH"]));
        shown.push_str(&server.tmux(&["show-options", "-wH", "-t", "=one:"]));
    }
    assert!(!shown.contains("[424"), "{shown}");
    assert!(own.iter().all(|hook| shown.contains(&format!("{hook}[0]"))), "{shown}");
    for what in ["show-options", "show-environment"] {
        let shown = server.tmux(&[what, "-t", &id]);
        assert!(!shown.to_lowercase().contains("roster"), "{shown}");
    }
    assert_eq!(server.tmux(&["show-options", "-gv", "@roster-default-mode"]), "build");
    // The user's keys may speak of us.
    let left = server.tmux(&["list-keys"]);
    assert_eq!(left.lines().filter(|line| line.contains("roster")).count(), 4, "{left}");
    let is_ours = |line: &&str| line.contains("--from '#{E:@roster_from}'");
    let (ours, theirs): (Vec<&str>, Vec<&str>) = keys.lines().partition(is_ours);
    assert_eq!(ours.len(), 3, "{keys}");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let sorted = |lines: Vec<&str>| lines.into_iter().map(words).collect::<BTreeSet<_>>();
    assert_eq!(sorted(left.lines().collect()), sorted(theirs));
    assert!(!installation.data().exists());
    let left = |name: &str| bin.join(name).symlink_metadata().is_ok();
    assert!(!left("roster") && left("other"), "its link is ours to take, and no other");
    assert_eq!(server.names(), ["one"]);
    let beside = |name: &str| server.registry_path().with_file_name(name).exists();
    assert!(beside("windows.json") && beside("windows.lock"));
    assert!(uninstall(&["--purge"]).contains("Removed the registries"));
    assert!(!server.registry_path().parent().unwrap().exists());
    other(&["kill-server"]);
}

/// One that is stopped, and one that a client of another version is put off by.
#[test]
fn uninstalling_tells_which_server_was_not_cleared_and_leaves_it_the_program() {
    let installation = Installation::new("");
    put_program(&installation.plugin());
    let server = &installation.server;
    installation.start();
    server.wait_for_names(&["one"]);
    server.wait_until_idle();
    let other = |args: &[&str]| {
        let mut command = server.command(tmux_program());
        command.args(["-L", "other", "-f", "/dev/null"]).args(args).output().unwrap()
    };
    other(&["new-session", "-d", "-s", "two"]);
    other(&["run-shell", &server.dir("tpm")]);
    let set = |options: Output| !options.stdout.is_empty();
    wait_for(
        || set(other(&["show-options", "-gqv", "@roster_run"])).then_some(()),
        || "the plugin in the other server".into(),
    );
    let uninstall = |args: &[&str]| {
        let script = installation.data().join("scripts/uninstall");
        let output = server.command(script).args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let socket = |name: &str| {
        server.path("tmp").join(format!("tmux-{}/{name}", rustix::process::getuid().as_raw()))
    };
    let hooks = || {
        // From 3.2 on those of windows are listed apart.
        let listed = server.tmux(&["show-hooks", "-g", ";", "show-options", "-gwH"]);
        listed.matches("[4242]").count() + listed.matches("[4246]").count()
    };
    let program = installation.data().join("roster");
    let check_kept = |(code, said, told): (Option<i32>, String, String), names: &[&str]| {
        assert_eq!(code, Some(1), "{said}{told}");
        for name in ["s", "other"] {
            let (is_left, path) = (names.contains(&name), socket(name));
            let failed = format!("The server on {} does not answer", path.display());
            let removed = format!("Removed from the server on {}\n", path.display());
            assert_eq!(told.contains(&failed), is_left, "{name}: {told}");
            assert_eq!(said.contains(&removed), !is_left, "{name}: {said}");
        }
        assert!(
            told.contains("ROSTER_TMUX set to the path") && !said.contains("registries"),
            "{said}{told}"
        );
        assert!(program.exists() && server.registry_path().exists());
    };
    // No server's own program is found out, as where there is no /proc.
    let (ps, tmux) = (server.path("traps/ps"), server.path("traps/tmux"));
    write_program(&ps, "#!/bin/sh\n");
    for client in [
        "echo 'server version is too old for client' >&2",
        "echo 'server exited unexpectedly' >&2; exit 1",
    ] {
        write_program(&tmux, &format!("#!/bin/sh\n{client}\n"));
        check_kept(uninstall(&["--purge"]), &["s", "other"]);
        assert_eq!(hooks(), HOOKS.len());
    }
    std::fs::remove_file(&tmux).unwrap();
    let pid = server.tmux(&["list-sessions", "-F", "#{pid}"]).parse().unwrap();
    let pid = Pid::from_raw(pid).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let stopped = uninstall(&["--purge"]);
    kill_process(pid, Signal::CONT).unwrap();
    check_kept(stopped, &["s"]);
    assert_eq!(hooks(), HOOKS.len());
    assert!(!set(other(&["show-options", "-gqv", "@roster_run"])));
    // The server's own program is asked where the one on PATH gets no answer.
    std::fs::remove_file(&ps).unwrap();
    if cfg!(target_os = "linux") {
        write_program(&tmux, "#!/bin/sh\n");
    }
    let (code, said, told) = uninstall(&["--purge"]);
    assert_eq!((code, told.as_str()), (Some(0), ""), "{said}");
    let removed = format!("Removed from the server on {}\n", socket("s").display());
    assert!(said.starts_with(&removed), "{said}");
    assert!(!said.contains("other\n"), "nothing was left there: {said}");
    let _ = std::fs::remove_file(&tmux);
    assert_eq!(hooks(), 0);
    assert!(!installation.data().exists() && !server.registry_path().exists());
    other(&["kill-server"]);
}

#[test]
fn without_a_home_the_user_is_told_and_nothing_is_set() {
    let installation = Installation::new("");
    put_program(&installation.plugin());
    installation.server.start_bare(&[]);
    installation.message("neither HOME nor XDG_STATE_HOME is set");
    assert!(!installation.server.tmux(&["show-hooks", "-g"]).contains("4242"));
    assert_eq!(installation.server.tmux(&["show-options", "-gqv", "@roster_run"]), "");
}

#[test]
fn without_a_home_nothing_is_installed() {
    let installation = Installation::new("");
    installation.server.start_bare(&[]);
    installation.message("cannot be installed: HOME is not set");
}

#[test]
fn without_a_home_xdg_folders_will_do() {
    let installation = Installation::new("");
    let server = &installation.server;
    let program = put_program(&installation.plugin());
    server.start_bare(&[("XDG_STATE_HOME", &server.dir("home/.local/state"))]);
    server.wait_for_names(&["one"]);
    server.tmux(&["rename-session", "-t", &server.id("one"), "uno"]);
    server.wait_for_names(&["uno"]);
    let run = server.tmux(&["show-options", "-gqv", "@roster_run"]);
    assert!(run.starts_with(&format!("'{}' sync", program.display())), "{run}");
}

#[test]
fn homes_behind_links_and_xdg_folders_are_used_as_they_are_named() {
    let installation = Installation::new("");
    let server = &installation.server;
    put_program(&installation.plugin());
    symlink("home", server.path("link")).unwrap();
    for (environment, data) in [
        (format!("HOME='{}'", server.dir("link")), "link/.local/share/tmux-roster"),
        (
            format!(
                "XDG_DATA_HOME='{}' XDG_STATE_HOME='{}'",
                server.dir("my data"),
                server.dir("b")
            ),
            "my data/tmux-roster",
        ),
    ] {
        installation.configure("", &environment);
        installation.start();
        wait_for(
            || server.tmux(&["show-options", "-t", "one"]).contains("@roster_uuid").then_some(()),
            || "a stamp".into(),
        );
        let run = server.tmux(&["show-options", "-gqv", "@roster_run"]);
        assert!(run.starts_with(&format!("'{}/roster' sync", server.dir(data))), "{run}");
        server.kill_server();
    }
    assert!(server.path("b/tmux-roster").is_dir());
}

#[test]
fn a_data_folder_that_cannot_be_made_does_not_matter() {
    let installation = Installation::with_environment("", "XDG_DATA_HOME=/dev/null/x");
    let program = put_program(&installation.plugin());
    installation.start();
    installation.server.wait_for_names(&["one"]);
    let run = installation.server.tmux(&["show-options", "-gqv", "@roster_run"]);
    assert!(run.starts_with(&format!("'{}' sync", program.display())), "{run}");
    std::fs::remove_file(&program).unwrap();
    installation.server.kill_server();
    installation.start();
    installation.message("/dev/null/x/tmux-roster is not writable");
}

#[test]
fn a_server_with_a_bare_environment_is_enough() {
    for path in [Some("/usr/bin:/bin"), Some(""), None] {
        let installation = Installation::new("");
        let server = &installation.server;
        put_program(&installation.plugin());
        let home = server.dir("home");
        let mut environment = vec![("HOME", home.as_str())];
        environment.extend(path.map(|path| ("PATH", path)));
        server.start_bare(&environment);
        server.wait_for_names(&["one"]);
        // Hooks run in that environment as well.
        server.tmux(&["rename-session", "-t", &server.id("one"), "uno"]);
        server.wait_for_names(&["uno"]);
        assert_eq!(server.tmux(&["display-message", "-p", "-t", "=uno:", "#{pane_mode}"]), "");
    }
}

/// With TEST_TMUX a tmux of before 3.0 runs this as well.
#[test]
fn before_3_0_the_plugin_says_what_it_needs_and_sets_nothing() {
    for with_program in [true, false] {
        let theirs =
            "set -g display-time 60000\nset-hook -g client-session-changed 'set -g @theirs 1'";
        let installation = Installation::new(theirs);
        let server = &installation.server;
        if with_program {
            put_program(&installation.plugin());
        }
        // In its place, a server whose program says that it is old. It takes a hook's index for
        // a part of its name, and never runs it.
        let stub = server.path("bin/tmux");
        let text = "#!/bin/sh\nfor last; do :; done\n[ \"$last\" != -V ] || { echo 'tmux 2.9'; exit; }\ncase $1$3 in set-hook*[[]*) exit ;; esac\nexec 'TMUX' \"$@\"\n";
        write_program(&stub, &text.replace("TMUX", &tmux_program().display().to_string()));
        let found = installation.plugin().join("scripts/common.sh");
        let common = std::fs::read_to_string(&found).unwrap();
        let stubbed =
            format!("{common}\ntmux_program() {{ printf '%s\\n' '{}'; }}\n", stub.display());
        std::fs::write(&found, stubbed).unwrap();
        installation.start();
        let client = server.attach("one");
        client.wait_to_see("tmux-roster: tmux 3.0 or newer is needed");
        let hooks = server.tmux(&["show-hooks", "-g"]);
        assert!(!hooks.contains("roster") && hooks.contains("@theirs"), "{hooks}");
        assert!(!server.tmux(&["show-options", "-g"]).contains("@roster_"));
        assert_eq!(installation.failure(), None);
    }
}

#[test]
fn the_release_checklist_refuses_what_disagrees() {
    let folder = Folder::new();
    let at = |name: &str| folder.path().join(name);
    copy_plugin(folder.path());
    for file in ["Cargo.lock", "scripts/release"] {
        copy_program(&Path::new(env!("CARGO_MANIFEST_DIR")).join(file), &at(file));
    }
    let lock = std::fs::read_to_string(at("Cargo.lock")).unwrap();
    let changelog =
        format!("# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-01-31\n\n- x\n");
    let readme = format!("roster {VERSION}, tmux 3.0, jq 1.6.9, v{VERSION}\n");
    let sum = "0123456789abcdef".repeat(4);
    let platforms = ["unknown-linux-musl", "apple-darwin"];
    let sums: String = ["x86_64", "aarch64"]
        .iter()
        .flat_map(|machine| platforms.map(|p| format!("{sum}  roster-{VERSION}-{machine}-{p}\n")))
        .collect();
    let right = [
        ("Cargo.lock", lock.clone()),
        ("CHANGELOG.md", changelog.clone()),
        ("README.md", readme.clone()),
        ("scripts/sums", sums.clone()),
    ];
    let check = |file: &str, text: &str| {
        for (file, text) in &right {
            std::fs::write(at(file), text).unwrap();
        }
        std::fs::write(at(file), text).unwrap();
        let output = Command::new(at("scripts/release")).output().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(check("README.md", &readme), (true, format!("Ready to release {VERSION}\n")));
    let other = other_patch();
    let name = "name = \"tmux-roster\"\nversion = \"";
    for (file, text) in [
        ("Cargo.lock", lock.replace(&format!("{name}{VERSION}"), &format!("{name}{other}"))),
        ("CHANGELOG.md", changelog.replace(" - 2026-01-31", "")),
        ("CHANGELOG.md", changelog.replace(VERSION, &other)),
        ("CHANGELOG.md", changelog.replace("[Unreleased]\n", "[Unreleased]\n\n- more\n")),
        ("README.md", readme.replace(&format!("v{VERSION}"), &format!("v{other}"))),
        ("scripts/sums", sums.replacen(VERSION, &other, 1)),
        ("scripts/sums", sums.replacen("0123", "012X", 1)),
        ("scripts/sums", format!("{sums}{sum}  another\n")),
        ("scripts/sums", String::new()),
    ] {
        let (ready, said) = check(file, &text);
        assert!(!ready && said.contains(file), "{file}: {text}: {said}");
    }
}

/// Makes the plugin in `folder` one of this version, which has this program.
fn set_version(folder: &Path, version: &str, program: impl AsRef<[u8]>) {
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let (before, after) = manifest.split_once("\nversion = \"").unwrap();
    let after = after.split_once('"').unwrap().1;
    let manifest = format!("{before}\nversion = \"{version}\"{after}");
    std::fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    write_sum(folder, version, program);
}

/// Commits the plugin in `folder` as of this version, as its authors would.
fn publish(folder: &Path, version: &str) {
    set_version(folder, version, program_of(version));
    for args in [&["init", "-q"][..], &["add", "."], &["commit", "-q", "-m", version]] {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-C"])
            .arg(folder)
            .args(args)
            .output()
            .expect("git runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {args:?}: {stderr}");
    }
}

/// `TEST_TPM` names a folder with clones of tpm and of the others; nothing of theirs is in here.
/// sesh is no plugin: what its README has people paste is in tmux.conf, before TPM's line or
/// after it, and a script stands for the program.
#[test]
fn with_the_real_tpm_and_its_neighbours() {
    let Some(clones) = std::env::var_os("TEST_TPM").filter(|f| !f.is_empty()) else {
        println!("skipped: TEST_TPM names no folder with clones of tpm and other plugins");
        return;
    };
    let clones = PathBuf::from(clones);
    for (ours_at, sesh_is_last) in
        [(0, false), (0, true), (2, false), (2, true), (4, false), (4, true)]
    {
        among_neighbours(&clones, ours_at, sesh_is_last);
    }
}

fn among_neighbours(clones: &Path, ours_at: usize, sesh_is_last: bool) {
    let server = Server::with_config("");
    let home = server.path("home");
    let origin = server.path("tmux-roster");
    copy_plugin(&origin);
    publish(&origin, VERSION);
    let newer = other_patch();
    let release = Release::serve(Answer::Programs(vec![
        (VERSION.to_owned(), program_of(VERSION).into()),
        (newer.clone(), program_of(&newer).into()),
    ]));
    let plugins = home.join(".tmux/plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    let mut clone = Command::new("git");
    clone.args(["clone", "-q"]).arg(clones.join("tpm")).arg(plugins.join("tpm"));
    assert!(clone.status().unwrap().success());
    let line = |folder: &Path| format!("set -g @plugin 'file://{}'\n", folder.display());
    let mut lines: Vec<String> =
        ["tmux-sensible", "tmux-resurrect", "tmux-continuum", "tmux-sessionx"]
            .iter()
            .map(|name| line(&clones.join(name)))
            .collect();
    lines.insert(ours_at, line(&origin));
    let sesh = server.path("sesh");
    write_program(&sesh, "#!/bin/sh\necho \"$*\" >>\"$HOME/sesh-called\"\n");
    let called = || std::fs::read_to_string(home.join("sesh-called")).unwrap_or_default();
    let pasted = format!(
        "bind-key T run-shell '{0} connect x'\n\
         set-hook -g session-created 'run-shell -b \"{0} cache refresh\"'\n\
         set-hook -g session-closed 'run-shell -b \"{0} cache refresh\"'\n",
        sesh.display()
    );
    let (before, after) = if sesh_is_last { ("", &*pasted) } else { (&*pasted, "") };
    let config = format!(
        "set -g status-right 'mine #{{roster_mode}}'\n\
         set-hook -g 'session-renamed[3]' 'set -g @mine 1'\n{}\n{before}{}run '{}'\n{after}",
        release.option(),
        lines.concat(),
        plugins.join("tpm/tpm").display(),
    );
    server.write_config(&config);
    symlink("../tmux.conf", home.join(".tmux.conf")).unwrap();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    let client = server.attach("one");
    let look_at_theirs = || {
        let keys = server.tmux(&["list-keys", "-T", "prefix"]);
        for theirs in [
            "tpm/bindings/install_plugins",
            "/scripts/save.sh",
            "/scripts/restore.sh",
            "/scripts/sessionx.sh",
            "sesh connect x",
            // tmux-sensible's.
            "Sourced ",
        ] {
            assert!(keys.contains(theirs), "{theirs} in {keys}");
        }
        let hooks = server.tmux(&["show-hooks", "-g"]);
        assert!(hooks.contains("session-renamed[3]"), "{hooks}");
        assert_eq!(hooks.matches("sesh cache refresh").count(), 2, "{hooks}");
        let right = server.tmux(&["show-options", "-gv", "status-right"]);
        assert!(right.contains("continuum_save.sh") && right.contains("mine"), "{right}");
    };
    let wait_for_tpm = || {
        client.wait_to_see("Done, press");
        client.press(&["Escape"]);
        // A key that came too soon after would be taken as one with Meta.
        wait_for(
            || server.tmux(&["display-message", "-p", "#{pane_mode}"]).is_empty().then_some(()),
            || "the end of view mode".into(),
        );
    };
    // The client comes to a session: what was wiped after us in tmux.conf is put back.
    let wait_for_ours = || {
        server.tmux(&["switch-client", "-c", &client.name(), "-t", "one"]);
        let count = || server.tmux(&["show-hooks", "-g"]).matches("[4242]").count();
        wait_for(|| (count() == HOOKS.len()).then_some(()), || "our hooks".into());
        let keys = server.tmux(&["list-keys", "-T", "prefix"]);
        assert_eq!(keys.matches("#{@roster_program}").count(), 3, "{keys}");
        let right = || server.tmux(&["show-options", "-gv", "status-right"]);
        wait_for(|| right().contains("mine #{@roster_mode}").then_some(()), right);
    };
    let data = home.join(".local/share/tmux-roster");
    let installed = |version: &str| data.join(version).join("roster").exists();

    client.press(&["C-b", "I"]);
    wait_for_tpm();
    server.wait_for_names(&["one"]);
    assert!(installed(VERSION));
    wait_for_ours();
    look_at_theirs();
    let calls = called().len();
    server.tmux(&["new-session", "-d", "-s", "two"]);
    server.wait_for_names(&["one", "two"]);
    wait_for(|| (called().len() > calls).then_some(()), || "a call of sesh".into());
    server.tmux(&["kill-session", "-t", &server.id("two")]);
    server.wait_for_names(&["one"]);
    server.tmux(&["new-session", "-d", "-s", "two"]);
    let uuid = server.uuid("one");
    client.press(&["C-b", "C-s"]);
    let saved = home.join(".local/share/tmux/resurrect/last");
    wait_for(|| saved.exists().then_some(()), || "tmux-resurrect's save".into());
    client.press(&["C-b", "T"]);
    wait_for(|| called().contains("connect x").then_some(()), || "sesh's key".into());

    publish(&origin, &newer);
    client.press(&["C-b", "U"]);
    client.wait_to_see("plugin update:");
    client.press(&["-l", "tmux-roster"]);
    client.press(&["Enter"]);
    wait_for(|| installed(&newer).then_some(()), || "the newer program".into());
    wait_for_tpm();
    wait_for_ours();
    look_at_theirs();
    server.tmux(&["new-session", "-d", "-s", "three"]);
    server.wait_for_names(&["one", "three", "two"]);
    assert_eq!(server.uuid("one"), uuid);

    server.write_config(&config.replace(&line(&origin), ""));
    client.press(&["C-b", "M-u"]);
    wait_for_tpm();
    assert!(!plugins.join("tmux-roster").exists());
    look_at_theirs();
    let output = server.command(data.join("scripts/uninstall")).output().unwrap();
    assert!(output.status.success());
    look_at_theirs();
    assert!(!server.tmux(&["show-hooks", "-g"]).contains("[4242]"));
    assert_eq!(server.names(), ["one", "three", "two"]);
}
