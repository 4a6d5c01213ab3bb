//! `roster run-in-pane`: runs a program in a pane so that a shell stays when it ends.
//!
//! As a shell does, it puts the program into a process group of its own, in front: so tmux shows the
//! program's name, and Ctrl-C reaches nothing else. When the program ends, this process becomes the
//! shell. A program that is stopped (Ctrl-Z) is no job of a shell that starts later: a shell is put
//! in front, and when that ends the program goes on.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpgrp, kill_process_group, waitid};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr, tcsetpgrp};
use tmux_roster::restore::RUN_IN_PANE;
use tmux_roster::tmux::program;

use super::output::visible;

/// Another process of ours in the program's group: waits until that is in front and becomes it.
const BECOME: &str = "--become";

/// Another one: gives the terminal to a group. Who is behind may not take it.
const GIVE: &str = "--give";

/// How long a program waits to be in front.
const TO_FRONT: Duration = Duration::from_secs(10);

/// How soon a launch command that cannot work fails.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What is to be run, and what comes after.
#[derive(Default)]
struct Request<'a> {
    words: &'a [OsString],
    /// tmux's default-command.
    default_command: Option<&'a OsStr>,
    /// Of a launch command, the option that it comes from: it takes its pane with it, unless it
    /// fails at once.
    launch: Option<&'a OsStr>,
    /// What is tried then, as one line of words.
    otherwise: Option<&'a str>,
}

/// The words behind the verb: `[--launch OPTION [--or LINE]] [--then COMMAND] -- PROGRAM ...`.
pub fn run_in_pane(args: &[OsString]) -> ExitCode {
    match args {
        [stage, words @ ..] if stage == BECOME => return become_program(words),
        [give, group] if give == GIVE => return give_terminal(group),
        _ => {}
    }
    let (mut request, mut rest) = (Request::default(), args);
    loop {
        match rest {
            [dashes, words @ ..] if dashes == "--" && !words.is_empty() => {
                return run_and_stay(&Request { words, ..request });
            }
            [option, value, others @ ..] => {
                match option.to_str() {
                    Some("--launch") => request.launch = Some(value),
                    Some("--or") => request.otherwise = value.to_str(),
                    Some("--then") => request.default_command = Some(value),
                    _ => return ExitCode::from(2),
                }
                rest = others;
            }
            _ => return ExitCode::from(2),
        }
    }
}

fn run_and_stay(request: &Request<'_>) -> ExitCode {
    let Ok(found) = tcgetattr(stdin()) else {
        // No terminal: nobody would see a shell.
        return exec(request.words);
    };
    let began = Instant::now();
    let status = run_in_front(request.words, request.default_command, &found);
    if let Some(option) = request.launch {
        if status == 0 || began.elapsed() > AT_ONCE {
            return ExitCode::from(status);
        }
        if let Some(Ok(words)) = request.otherwise.map(shell_words::split) {
            let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
            if !words.is_empty() {
                let option = option.to_string_lossy().replace("-again-", "-command-");
                let launch = Some(OsStr::new(&option));
                let second = Request { words: &words, launch, otherwise: None, ..*request };
                return run_and_stay(&second);
            }
        }
        println!("{}", failed(option, request.words, status));
    }
    let _ = shell(request.default_command).exec();
    ExitCode::FAILURE
}

/// Says what failed, and that this is no end.
fn failed(option: &OsStr, words: &[OsString], status: u8) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let command = visible(&shell_words::join(&words));
    let option = visible(&option.to_string_lossy());
    let from = if option.is_empty() { String::new() } else { format!(" ({option})") };
    // It was meant for a shell, as its words stand in one.
    let hint = match words.as_slice() {
        [line] if line.contains(char::is_whitespace) => {
            format!(" (no shell runs it: for that, say sh -c {command})")
        }
        _ => String::new(),
    };
    format!("roster: {command}{from} failed with status {status}{hint}; this is a shell instead")
}

/// Runs a program until it ends, and returns its status as a shell would have it.
fn run_in_front(words: &[OsString], default_command: Option<&OsStr>, found: &Termios) -> u8 {
    let Some(mut program) = InFront::start(words) else { return 126 };
    loop {
        match program.wait() {
            Ended::Exited(status) => {
                program.step_back(found);
                program.reap();
                return status;
            }
            Ended::Stopped => {
                let name = words.first().map(|word| base(word)).unwrap_or_default();
                program.step_back(found);
                println!("{} is stopped; type exit (not fg) to go on with it", visible(&name));
                if let Some(mut shell) = InFront::start_shell(default_command) {
                    // A shell that somebody stops goes on at once.
                    while shell.wait() == Ended::Stopped {
                        shell.go_on();
                    }
                    shell.step_back(found);
                    shell.reap();
                }
                program.go_on();
            }
        }
    }
}

/// How a look at a program ended.
#[derive(PartialEq)]
enum Ended {
    Stopped,
    Exited(u8),
}

/// A program in front.
struct InFront {
    group: Pid,
    /// The terminal as the program left it when it was stopped.
    left: Option<Termios>,
}

impl InFront {
    fn start(words: &[OsString]) -> Option<InFront> {
        InFront::spawn(Command::new(ourselves()?).args([RUN_IN_PANE, BECOME, "-"]).args(words))
    }

    fn start_shell(then: Option<&OsStr>) -> Option<InFront> {
        let mut command = Command::new(ourselves()?);
        match then {
            Some(then) => {
                command.args([RUN_IN_PANE, BECOME, "-"]).arg(shell_path()).arg("-c").arg(then)
            }
            None => command.args([RUN_IN_PANE, BECOME, "login"]).arg(shell_path()),
        };
        InFront::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Option<InFront> {
        let child = command.process_group(0).spawn().ok()?;
        let group = Pid::from_raw(child.id().try_into().ok()?)?;
        tcsetpgrp(stdin(), group).ok()?;
        Some(InFront { group, left: None })
    }

    /// Waits until it has ended or was stopped. It is not yet reaped: its group stays.
    fn wait(&self) -> Ended {
        let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
        loop {
            match waitid(WaitId::Pid(self.group), options) {
                Ok(Some(status)) if status.stopped() => {
                    // So that the same stop is not told again.
                    let _ = waitid(
                        WaitId::Pid(self.group),
                        WaitIdOptions::STOPPED | WaitIdOptions::NOHANG,
                    );
                    return Ended::Stopped;
                }
                Err(rustix::io::Errno::INTR) | Ok(None) => {}
                Ok(Some(status)) => {
                    let by_signal = || status.terminating_signal().map(|signal| 128 + signal);
                    let status = status.exit_status().or_else(by_signal).unwrap_or(1);
                    return Ended::Exited(status.try_into().unwrap_or(1));
                }
                Err(_) => return Ended::Exited(1),
            }
        }
    }

    /// Takes the terminal from it, and puts that as it was.
    fn step_back(&mut self, found: &Termios) {
        self.left = tcgetattr(stdin()).ok();
        let ours = getpgrp().as_raw_nonzero().get().to_string();
        let given = ourselves().and_then(|program| {
            // It may not be the program's group that is in front, but that of a child of it: who
            // ignores this signal may take the terminal from anywhere.
            let mut give = Command::new("/bin/sh");
            give.args(["-c", r#"trap "" TTOU; exec "$0" "$@""#]).arg(program);
            give.args([RUN_IN_PANE, GIVE, &ours]).process_group(0);
            give.status().ok()
        });
        if !given.is_some_and(|status| status.success()) {
            let _ = tcsetpgrp(stdin(), getpgrp());
        }
        let _ = tcsetattr(stdin(), OptionalActions::Drain, found);
    }

    /// Puts it in front again.
    fn go_on(&mut self) {
        // In this order: who is behind may not do the second.
        if let Some(left) = self.left.take() {
            let _ = tcsetattr(stdin(), OptionalActions::Drain, &left);
        }
        let _ = tcsetpgrp(stdin(), self.group);
        let _ = kill_process_group(self.group, Signal::CONT);
    }

    fn reap(self) {
        let _ = waitid(WaitId::Pid(self.group), WaitIdOptions::EXITED);
    }
}

/// Waits for its group to be in front, and becomes the program.
fn become_program(words: &[OsString]) -> ExitCode {
    let [how, words @ ..] = words else { return ExitCode::from(2) };
    let until = Instant::now() + TO_FRONT;
    loop {
        match tcgetpgrp(stdin()) {
            Ok(front) if front == getpgrp() => break,
            Ok(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
            // The pane is gone, and with it who would have put us in front.
            Ok(_) | Err(_) => return ExitCode::FAILURE,
        }
    }
    if how == "login" {
        let _ = shell(None).exec();
        return ExitCode::FAILURE;
    }
    // tmux looks for a window's name where there is output, and within half a second once more if there
    // is more: else one whose program says nothing would be named after ours.
    let _ = rustix::io::write(stdout(), b"\0");
    exec(words)
}

fn give_terminal(group: &OsStr) -> ExitCode {
    let group = group.to_str().and_then(|group| Pid::from_raw(group.parse().ok()?));
    let given = group.is_some_and(|group| tcsetpgrp(stdin(), group).is_ok());
    if given { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn exec(words: &[OsString]) -> ExitCode {
    let [program, args @ ..] = words else { return ExitCode::from(2) };
    let error = Command::new(program).args(args).exec();
    eprintln!("{}: {error}", program.to_string_lossy());
    ExitCode::from(127)
}

/// What tmux starts in a pane by itself: its default-command by the shell, or a login shell.
pub fn shell(default_command: Option<&OsStr>) -> Command {
    let path = shell_path();
    let mut command = Command::new(&path);
    match default_command {
        Some(line) => command.arg0(base(&path)).arg("-c").arg(line),
        None => command.arg0(format!("-{}", base(&path))),
    };
    command
}

/// tmux sets it to its default-shell.
fn shell_path() -> OsString {
    std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into())
}

fn base(path: &OsStr) -> String {
    let name = Path::new(path).file_name().unwrap_or(path);
    String::from_utf8_lossy(name.as_bytes()).into_owned()
}

/// Our own program: Linux keeps one that was replaced.
fn ourselves() -> Option<OsString> {
    let own = program::ourselves();
    let kept = || PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    own.or_else(|| Some(kept()).filter(|kept| kept.exists())).map(Into::into)
}
