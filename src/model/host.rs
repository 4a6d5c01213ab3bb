//! Whose a folder is, where several hosts or containers share a home.

use serde::{Deserialize, Serialize};

/// A host at one boot, as far as the system tells; what it does not tell is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine, or the image of the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// The boot of its kernel.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub boot: String,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// The container, by the process ids that are seen there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pid_namespace: String,
}

/// Whether two of these texts are known, and are not the same.
pub fn differs(a: &str, b: &str) -> bool {
    !a.is_empty() && !b.is_empty() && a != b
}

/// Where the server of a memory is, seen from a host that does not find it behind its socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    /// It was here and has ended, or nothing says otherwise: its sessions are lost.
    Here,
    /// It runs here, and its socket is gone.
    WithoutSocket,
    /// It is another host's or another container's, and may well run there.
    Elsewhere,
}

/// Where the server is that `host` had: `None` if nobody noted it. `runs` tells whether its very
/// process runs in our sight, `shares_sockets` whether it had its socket in the folder that has ours.
pub fn whereabouts(
    host: Option<&Host>,
    here: &Host,
    runs: bool,
    shares_sockets: bool,
) -> Whereabouts {
    let Some(host) = host else {
        return if runs { Whereabouts::WithoutSocket } else { Whereabouts::Here };
    };
    let is_renamed = differs(&host.node, &here.node);
    let is_out_of_sight = differs(&host.pid_namespace, &here.pid_namespace);
    if runs {
        // One that was private about its sockets, or another container's that we can look into.
        return if is_renamed { Whereabouts::Elsewhere } else { Whereabouts::WithoutSocket };
    }
    if differs(&host.machine, &here.machine) {
        return Whereabouts::Elsewhere;
    }
    if differs(&host.boot, &here.boot) {
        // The machine started anew, whatever it is called now; or where machines have no ids, it
        // may be another.
        let is_same = !host.machine.is_empty() && !here.machine.is_empty() || !is_renamed;
        return if is_same { Whereabouts::Here } else { Whereabouts::Elsewhere };
    }
    // Within one boot. Who shares our process ids would be seen to run, and who shares our sockets
    // would answer there: so it is with a container that was started anew.
    if is_out_of_sight && !shares_sockets { Whereabouts::Elsewhere } else { Whereabouts::Here }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_lost_unless_it_may_run_elsewhere() {
        let host = |machine: &str, boot: &str, node: &str, pid_namespace: &str| Host {
            machine: machine.into(),
            boot: boot.into(),
            node: node.into(),
            pid_namespace: pid_namespace.into(),
        };
        let here = host("m", "b", "n", "p");
        let gone = |then: Host| whereabouts(Some(&then), &here, false, false);
        let runs = |then: Host| whereabouts(Some(&then), &here, true, false);
        use Whereabouts::{Elsewhere, Here, WithoutSocket};
        assert_eq!(gone(here.clone()), Here, "it ended");
        assert_eq!(gone(host("m", "before", "other", "q")), Here, "a reboot, and another name");
        assert_eq!(gone(host("m", "b", "other", "p")), Here, "renamed, and seen to have ended");
        assert_eq!(gone(host("m", "b", "n", "q")), Elsewhere, "another container");
        assert_eq!(gone(host("m", "b", "other", "q")), Elsewhere, "another container");
        assert_eq!(gone(host("other", "x", "y", "p")), Elsewhere, "another machine");
        assert_eq!(gone(host("other", "x", "n", "p")), Elsewhere, "another machine of that name");
        assert_eq!(gone(host("", "x", "n", "p")), Here, "a machine without an id, booted anew");
        assert_eq!(gone(host("", "x", "y", "p")), Elsewhere, "two without an id");
        assert_eq!(gone(Host::default()), Here, "nobody knows");
        assert_eq!(gone(host("", "", "other", "")), Here, "nobody knows, and another name");
        let anew = host("m", "b", "n", "q");
        assert_eq!(whereabouts(Some(&anew), &here, false, true), Here, "it does not answer there");
        assert_eq!(whereabouts(None, &here, false, false), Here);
        assert_eq!(whereabouts(None, &here, true, false), WithoutSocket);
        assert_eq!(runs(here.clone()), WithoutSocket);
        assert_eq!(runs(host("m", "b", "other", "p")), Elsewhere, "its sockets are private");
    }
}
