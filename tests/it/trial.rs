//! `scripts/try --attach`: the plugin in a private server, and no trace of it afterwards.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::env::{
    Client, ROSTER, Server, copy_plugin, copy_program, tmux_program, wait_for, write_program,
};

/// A clone of the plugin with a cargo that copies the program, and this tmux on the PATH.
fn clone(server: &Server) {
    let plugin = server.path("plugin");
    copy_plugin(&plugin);
    for script in ["scripts/try", "scripts/build"] {
        copy_program(&Path::new(env!("CARGO_MANIFEST_DIR")).join(script), &plugin.join(script));
    }
    let cargo = "#!/bin/sh\n[ \"$1\" != --version ] || exit 0\necho Compiling roster >&2\n\
                 mkdir -p target/release\ncp 'ROSTER' target/release/roster\n";
    write_program(&server.path("bin/cargo"), &cargo.replace("ROSTER", ROSTER));
    let tmux = format!("#!/bin/sh\nexec '{}' \"$@\"\n", tmux_program().display());
    write_program(&server.path("bin/tmux"), &tmux);
}

/// Runs it on a terminal; `before` is what its shell does first.
fn start<'a>(server: &'a Server, before: &str) -> Client<'a> {
    let (bin, pid) = (server.dir("bin"), server.dir("pid"));
    let command = format!(
        "export PATH='{bin}':\"$PATH\"; {before} cd '{}'; echo $$ >'{pid}'; \
         exec scripts/try --attach",
        server.dir("plugin"),
    );
    Client::start(server, &command)
}

/// The private server's folder and process, asked for in its pane.
fn inside(server: &Server, client: &Client) -> (String, Pid) {
    let file = server.path("inside");
    let _ = fs::remove_file(&file);
    let line = format!("echo \"$HOME $TMUX\" >'{0}.new'; mv '{0}.new' '{0}'", file.display());
    client.press(&["-l", &line]);
    client.press(&["Enter"]);
    let text = wait_for(|| fs::read_to_string(&file).ok(), || "an answer".into());
    let (home, tmux) = text.trim().split_once(' ').unwrap();
    let pid = tmux.rsplit(',').nth(1).unwrap().parse().unwrap();
    (home.to_owned(), Pid::from_raw(pid).unwrap())
}

#[test]
fn it_leaves_nothing_however_it_ends_and_roster_is_on_the_path() {
    let server = Server::with_config("");
    clone(&server);
    for ending in ["detach", "kill-server", "HUP", "INT", "TERM"] {
        let client = start(&server, "");
        client.wait_to_see("C-b A: menu | C-b G: picker | C-b d: leave, clean up");
        let (home, pid) = inside(&server, &client);
        client.press(&["-l", "roster list"]);
        client.press(&["Enter"]);
        client.wait_to_see(" live ");
        client.press(&["C-b"]);
        client.press(&["A"]);
        client.wait_to_see("check its health");
        client.press(&["q"]);
        let script: i32 = fs::read_to_string(server.path("pid")).unwrap().trim().parse().unwrap();
        let script = Pid::from_raw(script).unwrap();
        match ending {
            "detach" => client.press(&["C-b", "d"]),
            "kill-server" => client.press(&["tmux kill-server", "Enter"]),
            "HUP" => kill_process(script, Signal::HUP).unwrap(),
            "INT" => kill_process(script, Signal::INT).unwrap(),
            _ => kill_process(script, Signal::TERM).unwrap(),
        }
        for (process, what) in [(script, "the script"), (pid, "the server")] {
            let is_gone = || test_kill_process(process).is_err();
            wait_for(|| is_gone().then_some(()), || format!("{ending}: the end of {what}"));
        }
        assert!(!Path::new(&home).exists(), "{ending}: {home}");
    }
}

#[test]
fn inside_tmux_it_takes_another_prefix_than_the_one_around_it() {
    let server = Server::with_config("");
    clone(&server);
    let outer = |options: &str| {
        format!(
            "tmux -u -L outer {options}; \
             export TMUX=\"$(tmux -L outer display-message -p '#{{socket_path}},#{{pid}},0')\";"
        )
    };
    for (options, prefix) in [
        ("set-option -g prefix2 None", "C-a"),
        ("set-option -g prefix2 C-a", "C-o"),
        ("set-option -g prefix C-a ';' set-option -g prefix2 None", "C-b"),
    ] {
        let client = start(&server, &outer(options));
        client.wait_to_see(&format!("{prefix} A: menu | {prefix} G: picker"));
        let (_, pid) = inside(&server, &client);
        client.press(&[prefix]);
        client.press(&["A"]);
        client.wait_to_see("check its health");
        client.press(&["q"]);
        client.press(&[prefix, "d"]);
        let is_gone = || test_kill_process(pid).is_err();
        wait_for(|| is_gone().then_some(()), || "the server's end".into());
    }
}
