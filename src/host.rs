//! Which host, boot and container this is, and whether a server that is not behind its socket
//! still runs here. A home may be shared by several of each.
//!
//! What is told by /proc is unknown without it (macOS, a /proc of another container): then nothing
//! is taken for another host's, and a server without a socket counts as ended.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files;
use crate::model::host::{Host, Whereabouts, differs, whereabouts};
use crate::model::memory::Memory;
use crate::model::snapshot::ServerId;
use crate::sorted::sort_by;

/// In which of a second the kernel counts the start of a process: the same on every Linux.
const TICKS: u64 = 100;

/// This host.
pub fn here() -> Host {
    let line = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        // "uninitialized" is what an image says before its first boot.
        let word = text.trim().to_owned();
        Some(word).filter(|word| word != "uninitialized").unwrap_or_default()
    };
    Host {
        machine: line("/etc/machine-id"),
        boot: line("/proc/sys/kernel/random/boot_id"),
        node: node(),
        pid_namespace: pid_namespace(),
    }
}

/// Whether this is that host, by what can be told in two system calls.
pub fn is_here(host: &Host) -> bool {
    host.pid_namespace == pid_namespace() && host.node == node()
}

/// Whether a memory whose server seems to be ours by process id and start is another's.
pub fn is_of_another(memory: &Memory, here: &Host) -> bool {
    let (Some(host), Some(server)) = (&memory.host, memory.server) else { return false };
    let is_other_process = memory.started.zip(started(server.pid)).is_some_and(|(a, b)| a != b);
    differs(&host.machine, &here.machine)
        || differs(&host.boot, &here.boot)
        || differs(&host.pid_namespace, &here.pid_namespace)
        || is_other_process
}

fn pid_namespace() -> String {
    let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    namespace.to_string_lossy().into_owned()
}

fn node() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When a process started, in ticks since the boot; `None` if there is none of that id, or /proc
/// does not tell.
pub fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let is_over = matches!(fields.next()?, "Z" | "X" | "x");
    fields.nth(18)?.parse().ok().filter(|_| !is_over)
}

/// Whether the server of this memory runs here. (A process id alone proves nothing: in a container
/// tmux may have the same one each time.)
pub fn runs_here(memory: &Memory, here: &Host) -> bool {
    memory
        .server
        .is_some_and(|server| is_running(server, memory.started, memory.host.as_ref(), here))
}

/// The same for any server that is remembered, by what is known of it.
pub fn is_running(
    server: ServerId,
    started_then: Option<u64>,
    host: Option<&Host>,
    here: &Host,
) -> bool {
    let is_out_of_sight = host.is_some_and(|host| {
        differs(&host.boot, &here.boot) || differs(&host.pid_namespace, &here.pid_namespace)
    });
    if is_out_of_sight || !is_ours(server.pid) || !has_program(server.pid) {
        return false;
    }
    match (started(server.pid), started_then) {
        (None, _) => false,
        (Some(now), Some(then)) => now == then,
        (Some(now), None) => is_tmux(server.pid) && is_near(now, server.start_time),
    }
}

fn is_ours(pid: u32) -> bool {
    let owner = fs::metadata(format!("/proc/{pid}")).map(|found| found.uid());
    owner.is_ok_and(|owner| owner == rustix::process::geteuid().as_raw())
}

/// One that is just ending, or has ended and was not asked for yet, has none.
fn has_program(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn is_tmux(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("tmux"))
}

/// Whether so many ticks after the boot are that time, as the clock counts it now.
fn is_near(ticks: u64, start_time: i64) -> bool {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    boot.is_some_and(|boot: i64| (boot + (ticks / TICKS) as i64 - start_time).abs() <= 2)
}

/// What a folder's memory says of its server and host; the sessions are passed over.
#[derive(Default, Deserialize)]
struct Brief {
    server: Option<ServerId>,
    host: Option<Host>,
    started: Option<u64>,
    sockets: Option<String>,
}

/// One that cannot be read says nothing: whoever takes the folder then fails on it, and says so.
fn brief(dir: &Path) -> Brief {
    let bytes = files::read(&dir.join("server.json")).ok().flatten().unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Whether the server that was last seen in a folder has ended, for who wants to know nothing else.
pub fn has_ended(dir: &Path) -> bool {
    let Brief { server: Some(server), host, started, .. } = brief(dir) else { return false };
    !is_running(server, started, host.as_ref(), &here())
}

/// Which folder the sockets are in: whoever shares it finds the same servers.
pub fn sockets(socket: &Path) -> Option<String> {
    let found = fs::metadata(socket.parent()?).ok()?;
    Some(format!("{}:{}", found.dev(), found.ino()))
}

/// A server of this host, as far as it is known which folder is to be its.
#[derive(Debug, Clone, Copy)]
pub struct Seeker<'a> {
    /// Its socket.
    pub socket: &'a Path,
    /// Its process, where we are in it.
    pub process: Option<u32>,
}

/// How likely a folder is ours: the best has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It is another host's or container's, which may run.
    None,
    /// Nobody has it, or who had it has ended.
    Free,
    /// It was ours before the last boot, or before this container was started anew.
    Before,
    /// It is ours.
    Ours,
}

fn claim(dir: &Path, here: &Host, seeker: Seeker<'_>) -> Claim {
    let Brief { server: Some(server), host, started, sockets: theirs } = brief(dir) else {
        return Claim::Free;
    };
    let runs = is_running(server, started, host.as_ref(), here);
    if runs && seeker.process == Some(server.pid) || host.as_ref() == Some(here) {
        return Claim::Ours;
    }
    let shares_sockets = theirs.is_some() && theirs == sockets(seeker.socket);
    match whereabouts(host.as_ref(), here, runs, shares_sockets) {
        Whereabouts::Elsewhere => Claim::None,
        _ if host
            .is_some_and(|h| (h.machine, h.node) == (here.machine.clone(), here.node.clone())) =>
        {
            Claim::Before
        }
        _ => Claim::Free,
    }
}

/// Stands between a server's name and its host's in the name of a folder. A `%` in the name of a
/// socket is written as two digits after it, so no server's folder is called like that.
const OF_HOST: &str = "%host-";

/// The folder that this host has instead of `dir`, where that is another host's; the second is of
/// this container alone.
fn own_folders(dir: &Path, here: &Host) -> [PathBuf; 2] {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let part = |text: &str, most| text.chars().map(plain).take(most).collect::<String>();
    let of_host = format!("{OF_HOST}{}-{}", part(&here.node, 40), part(&here.machine, 8));
    let digits = here.pid_namespace.chars().filter(char::is_ascii_digit).collect::<String>();
    let mut name = dir.as_os_str().to_owned();
    name.push(&of_host);
    let mut of_container = name.clone();
    of_container.push(format!("-{digits}"));
    [name.into(), of_container.into()]
}

/// The folder for a server of this host, where `dir` is what its socket says: that one, unless it
/// is another host's, or this host has one of its own.
pub fn settle(dir: PathBuf, seeker: Seeker<'_>) -> PathBuf {
    let here = here();
    let dir = base(&dir);
    let [of_host, of_container] = own_folders(&dir, &here);
    let is_host_there = of_host.is_dir();
    let mut best = (claim(&dir, &here, seeker), dir);
    for own in [&of_host, &of_container].into_iter().filter(|own| own.is_dir()) {
        let claim = claim(own, &here, seeker);
        if claim > best.0 {
            best = (claim, own.clone());
        }
    }
    match best {
        (Claim::None, _) if is_host_there => of_container,
        (Claim::None, _) => of_host,
        (_, dir) => dir,
    }
}

/// The same for those in a hurry: a host that comes for the first time is shown what there is.
pub fn settle_quickly(dir: PathBuf, socket: &Path) -> PathBuf {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default().trim().to_owned();
    let here = Host { machine, node: node(), ..Host::default() };
    let [of_host, _] = own_folders(&dir, &here);
    if of_host.is_dir() { settle(dir, Seeker { socket, process: None }) } else { dir }
}

/// The folder that a socket says, of one that a host has beside it.
pub fn base(dir: &Path) -> PathBuf {
    dir.file_name().map_or_else(|| dir.to_owned(), |name| dir.with_file_name(server_of(name)))
}

/// Another folder for servers of the same name: of another host, or of this one before.
#[derive(Debug)]
pub struct Sibling {
    /// The folder.
    pub dir: PathBuf,
    /// What the host was called.
    pub node: String,
}

/// The other folders for the server of this folder.
pub fn siblings(dir: &Path) -> Vec<Sibling> {
    let (Some(parent), Some(name)) = (dir.parent(), dir.file_name()) else { return Vec::new() };
    let server = server_of(name);
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let others = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<Sibling> = others
        .filter(|other| other != dir && other.file_name().is_some_and(|o| server_of(o) == server))
        .filter_map(|dir| Some(Sibling { node: brief(&dir).host?.node, dir }))
        .collect();
    sort_by(&mut found, |a, b| a.dir.cmp(&b.dir));
    found
}

/// What the host of a folder is called, where that is another one, which may run there.
pub fn elsewhere(dir: &Path, socket: &Path) -> Option<String> {
    let Brief { server: Some(server), host: Some(host), started, sockets: theirs } = brief(dir)
    else {
        return None;
    };
    let here = here();
    let runs = is_running(server, started, Some(&host), &here);
    let shares_sockets = theirs.is_some() && theirs == sockets(socket);
    let whereabouts = whereabouts(Some(&host), &here, runs, shares_sockets);
    (whereabouts == Whereabouts::Elsewhere).then_some(host.node)
}

/// The part of a folder's name that is the server's.
pub fn server_of(name: &std::ffi::OsStr) -> OsString {
    let bytes = name.as_bytes();
    let at = bytes.windows(OF_HOST.len()).position(|part| part == OF_HOST.as_bytes());
    OsString::from_vec(bytes[..at.unwrap_or(bytes.len())].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start() {
        let own = std::process::id();
        let Some(then) = started(own) else { return };
        let server = ServerId { pid: own, start_time: 0 };
        let here = here();
        assert!(is_running(server, Some(then), Some(&here), &here));
        assert!(!is_running(server, Some(then + 1), Some(&here), &here));
        assert!(!is_running(server, None, None, &here), "it is no tmux of that time");
        let other = Host { boot: "another".into(), ..here.clone() };
        assert!(!is_running(server, Some(then), Some(&other), &here));
    }

    #[test]
    fn no_socket_has_the_folder_of_a_host() {
        let name = crate::config::server_name(Path::new("/a/x%host-b"));
        assert_eq!(server_of(&name), name);
        assert_eq!(server_of("x%host-b-1".as_ref()), "x");
    }
}
