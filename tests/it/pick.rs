//! Keys pressed by a real client, and what it then sees: picker, menus, prompts, messages.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;

use tmux_roster::tmux::text::argument;
use tmux_roster::tmux::text::escape_name;

use crate::env::{Client, ROSTER, Server, script, tmux_version, version, wait_for};

/// Names that would do something if a shell, a format or a style ever got them. The sixth says
/// what a command line would take for an option.
const HOSTILE: [&str; 9] = [
    "a'b\"$(touch canary)",
    "#(touch canary)",
    "#{pid}",
    "`touch canary`",
    "x;touch canary;",
    "--help",
    "#[fg=red]red##[x %H #",
    "日本語 🦀",
    "%%% %1 '%1'",
];

/// The same for a directory.
const FOLDER: &str = "'$(touch canary)\" #(touch canary);";

/// Which picker a key opens.
#[derive(Clone, Copy, PartialEq)]
enum With {
    Fzf,
    Menu,
}

/// The pickers that this tmux can open.
fn pickers() -> Vec<With> {
    if tmux_version() >= (3, 2) { vec![With::Fzf, With::Menu] } else { vec![With::Menu] }
}

/// A server with the plugin and `one`, `two` and `three`, whose jobs find fzf or not.
fn started(with: With, config: &str) -> Server {
    let server = Server::with_plugin(config);
    // A fzf of the machine must not be found by the other ways.
    server.narrow_path(if with == With::Fzf { &["fzf"] } else { &[] });
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.tmux(&["new-session", "-d", "-s", "two", "-c", &server.dir("b")]);
    server.tmux(&["new-session", "-d", "-s", "three", "-c", &server.dir("c")]);
    server.wait_for_names(&["one", "two", "three"]);
    server.wait_until_quiet();
    server
}

/// Which session each client shows, by its name.
fn shown(server: &Server) -> Vec<String> {
    let listed = server.tmux(&["list-clients", "-F", "#{client_session}"]);
    listed.lines().map(str::to_owned).collect()
}

fn wait_to_show(server: &Server, session: &str) {
    wait_for(
        || (shown(server) == [session]).then_some(()),
        || format!("the client in {session}, it is in {:?}", shown(server)),
    );
}

/// Nothing of ours ever put a pane into a mode, and no name was run.
fn assert_undisturbed(server: &Server) {
    let modes = server.tmux(&["list-panes", "-a", "-F", "#{pane_mode}"]);
    assert_eq!(modes.trim(), "", "a pane is in a mode");
    assert_eq!(server.trapped(), [""; 0]);
}

impl Client<'_> {
    /// prefix + a key.
    fn prefix(&self, key: &str) {
        // Until it has gone, a popup gets the keys.
        self.wait_until_gone("└");
        // Two calls: three keys within a millisecond count as a paste.
        self.press(&["C-b"]);
        self.press(&[key]);
    }

    /// Opens the picker and waits for its paint.
    fn open(&self, with: With) {
        self.prefix("G");
        match with {
            With::Fzf => self.wait_to_see("session>"),
            With::Menu => self.wait_to_see("sessions"),
        }
    }

    fn wait_to_see_one_of(&self, texts: &[String]) {
        wait_for(
            || texts.iter().any(|text| self.screen().contains(text.as_str())).then_some(()),
            || format!("one of {texts:?}:\n{}", self.shown()),
        );
    }

    fn wait_until_gone(&self, text: &str) {
        wait_for(
            || (!self.screen().contains(text)).then_some(()),
            || format!("the end of {text:?}:\n{}", self.shown()),
        );
    }

    /// The screen with a menu, once it does not change any more: one look may find a part of it, and
    /// where it takes the whole terminal not every version shows its last line.
    fn whole_menu(&self) -> String {
        let mut before = String::new();
        let settled = || {
            let screen = self.screen();
            let is_same = screen == before;
            before.clone_from(&screen);
            is_same.then_some(screen)
        };
        wait_for(settled, || format!("a menu that stays:\n{}", self.shown()))
    }

    /// Opens the picker and takes the session of this name as far as a choice of actions.
    fn choose(&self, with: With, name: &str) {
        self.open(with);
        match with {
            With::Fzf => {
                self.press(&[name]);
                self.wait_to_see_one_of(&[format!(">    {name} "), format!("> *  {name} ")]);
            }
            With::Menu => {
                let screen = self.whole_menu();
                let line = screen.lines().find(|line| line.contains(&format!("  {name} ")));
                let line = line.unwrap_or_else(|| panic!("{name} in the menu:\n{screen}"));
                let key = line.rsplit_once("(").and_then(|(_, k)| k.split(')').next()).unwrap();
                self.press(&[key]);
                self.wait_to_see(&format!("{name} ("));
            }
        }
    }
}

#[test]
fn enter_goes_to_the_session_and_escape_leaves_everything() {
    for with in pickers() {
        let server = started(with, "");
        let client = server.attach("one");
        client.open(with);
        client.wait_to_see("*  one");
        client.press(&["Escape"]);
        client.wait_until_gone("*  one");
        assert_eq!(shown(&server), ["one"]);
        client.choose(with, "two");
        client.press(if with == With::Fzf { &["Enter"] } else { &["g"] });
        wait_to_show(&server, "two");
        client.wait_until_gone("└");
        // By last use: the current one first, then the one before it.
        client.open(with);
        let in_order = || {
            let screen = client.screen();
            let at = ["*  two", "   one", "   three"].map(|name| screen.find(name));
            (at.is_sorted() && at[0].is_some()).then_some(())
        };
        wait_for(in_order, || format!("two, one and three:\n{}", client.shown()));
        client.press(&["Escape"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn lost_and_closed_sessions_come_back_from_the_picker() {
    for with in pickers() {
        let server = started(with, "");
        let (two, three) = (server.uuid("two"), server.uuid("three"));
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_until_quiet();
        server.roster(&["forget", "three"]);
        let client = server.attach("one");
        client.choose(with, "two");
        if with == With::Fzf {
            client.wait_to_see("lost: it ended with its server");
        }
        client.press(if with == With::Fzf { &["Enter"] } else { &["g"] });
        wait_to_show(&server, "two");
        client.wait_until_gone("└");
        assert_eq!(server.uuid("two"), two);
        client.choose(with, "three");
        client.press(if with == With::Fzf { &["C-o"] } else { &["o"] });
        client.wait_to_see("reopened three");
        wait_for(
            || server.names().contains(&"three".into()).then_some(()),
            || "three, reopened".into(),
        );
        assert_eq!(server.uuid("three"), three);
        assert_eq!(shown(&server), ["two"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn the_picker_renames_kills_forgets_and_changes_the_mode() {
    for with in pickers() {
        let server = started(with, "");
        let uuid = server.uuid("two");
        let client = server.attach("one");
        client.choose(with, "two");
        client.press(if with == With::Fzf { &["C-t"] } else { &["t"] });
        client.wait_to_see("yolo");
        wait_for(|| (server.field("two", "mode") == "yolo").then_some(()), || "the mode".into());
        if with == With::Fzf {
            client.press(&["Escape"]);
            client.wait_until_gone("└");
        }

        client.choose(with, "two");
        client.press(if with == With::Fzf { &["C-r"] } else { &["r"] });
        client.wait_to_see(if tmux_version() >= (3, 2) { "New name for" } else { "new name:" });
        client.wait_to_see("two");
        client.press(&["C-u", "zwei", "Enter"]);
        server.wait_for_names(&["one", "three", "zwei"]);
        assert_eq!(server.uuid("zwei"), uuid);
        client.wait_to_see("renamed");
        if with == With::Fzf {
            client.press(&["Escape"]);
            client.wait_until_gone("└");
        }

        server.tmux(&["respawn-pane", "-k", "-t", "=zwei:", "sleep", "1000"]);
        for (answer, names) in [("n", &["one", "three", "zwei"][..]), ("y", &["one", "three"][..])]
        {
            client.choose(with, "zwei");
            client.press(if with == With::Fzf { &["C-x"] } else { &["x"] });
            client.wait_to_see("Kill zwei?");
            client.wait_to_see(": sleep");
            client.press(&[answer]);
            client.wait_until_gone("Kill zwei?");
            server.wait_for_names(names);
            if with == With::Fzf {
                client.press(&["Escape"]);
                client.wait_until_gone("└");
            }
        }

        client.choose(with, "zwei");
        if with == With::Menu {
            client.wait_to_see("zwei (closed)");
        }
        client.press(if with == With::Fzf { &["C-x"] } else { &["x"] });
        client.wait_to_see("Forget zwei for good?");
        client.press(&["y"]);
        wait_for(
            || (!server.roster(&["closed"]).contains("zwei")).then_some(()),
            || "zwei, forgotten".into(),
        );
        assert_undisturbed(&server);
    }
}

/// Every key of picker and menu acts on the session that it was pressed for, whatever others are
/// called.
#[test]
fn keys_never_take_a_session_named_like_a_uuid_for_the_other() {
    for with in pickers() {
        let server = started(with, "");
        let client = server.attach("one");
        let uuid = server.uuid("two");
        server.tmux(&["new-session", "-d", "-s", &uuid, "-c", &server.dir("a")]);
        server.wait_for_names(&["one", "two", "three", &uuid]);
        server.wait_until_quiet();
        let decoy = server.uuid(&uuid);
        let press = |fzf: &str, menu: &str| {
            client.press(&[if with == With::Fzf { fzf } else { menu }]);
        };
        let leave = || {
            if with == With::Fzf {
                client.press(&["Escape"]);
            }
            client.wait_until_gone("└");
        };
        client.choose(with, "two");
        press("C-t", "t");
        wait_for(|| (server.field("two", "mode") == "yolo").then_some(()), || "the mode".into());
        leave();
        client.choose(with, "two");
        press("C-r", "r");
        client.wait_to_see(if tmux_version() >= (3, 2) { "New name for two" } else { "new name:" });
        client.press(&["C-u", "zwei", "Enter"]);
        server.wait_for_names(&["one", "zwei", "three", &uuid]);
        leave();
        client.choose(with, "zwei");
        press("Enter", "g");
        wait_to_show(&server, "zwei");
        client.wait_until_gone("└");
        // The menu of the current session.
        client.prefix("A");
        client.wait_to_see("list of backups");
        client.press(&["t"]);
        wait_for(|| (server.field("zwei", "mode") == "safe").then_some(()), || "the mode".into());
        client.wait_until_gone("└");
        client.prefix("A");
        client.wait_to_see("list of backups");
        client.press(&["x"]);
        client.wait_to_see("Kill zwei?");
        // The cursor is on "no".
        client.press(&["Enter"]);
        client.wait_until_gone("Kill zwei?");
        server.wait_until_quiet();
        server.wait_for_names(&["one", "zwei", "three", &uuid]);
        client.prefix("A");
        client.wait_to_see("list of backups");
        client.press(&["x"]);
        client.wait_to_see("Kill zwei?");
        client.press(&["y"]);
        server.wait_for_names(&["one", "three", &uuid]);
        client.wait_to_see("killed zwei: ");
        client.choose(with, "zwei");
        press("C-o", "o");
        server.wait_for_names(&["one", "three", "zwei", &uuid]);
        leave();
        assert_eq!(server.uuid("zwei"), uuid);
        let (is, mode) = (server.uuid(&uuid), server.field(&uuid, "mode"));
        assert_eq!((is, mode.as_str()), (decoy, "safe"));
        assert_undisturbed(&server);
    }
}

#[test]
fn the_picker_starts_a_session_named_as_typed_where_the_pane_is() {
    if tmux_version() < (3, 2) {
        return;
    }
    let server = started(With::Fzf, "");
    let client = server.attach("two");
    client.open(With::Fzf);
    client.press(&["not valid"]);
    client.wait_to_see("> not valid");
    client.press(&["C-s"]);
    client.wait_to_see("is not valid");
    client.press(&["C-u", "api"]);
    client.wait_to_see("> api");
    client.press(&["C-s"]);
    wait_to_show(&server, "api");
    client.wait_until_gone("└");
    server.wait_until_quiet();
    assert_eq!(server.field("api", "workdir"), server.dir("b"));
    client.open(With::Fzf);
    client.press(&["?"]);
    client.wait_to_see("close the picker");
    client.press(&["x"]);
    client.wait_to_see("session>");
    // The screen of a live one is its preview.
    client.press(&["Escape"]);
    client.wait_until_gone("└");
    server.tmux(&["respawn-pane", "-k", "-t", "=two:", "echo look-at-me; sleep 1000"]);
    wait_for(|| server.screen("=two:").contains("look-at-me").then_some(()), || "it".into());
    client.choose(With::Fzf, "two");
    client.wait_to_see("look-at-me");
    assert_undisturbed(&server);
}

#[test]
fn a_person_types_roster_pick() {
    let server = started(With::Fzf, "");
    let client = server.attach("one");
    server.tmux(&["respawn-pane", "-k", "-t", "=one:", ROSTER, "pick"]);
    client.wait_to_see("session>");
    client.wait_to_see("*  one");
    client.press(&["three"]);
    client.wait_to_see(">    three ");
    client.press(&["Enter"]);
    wait_to_show(&server, "three");
    // Outside tmux it attaches.
    let outside = Client::start(&server, &format!("exec {} -L s pick", ROSTER));
    outside.wait_to_see("session>");
    outside.press(&["two"]);
    outside.wait_to_see(">    two ");
    outside.press(&["Enter"]);
    wait_for(
        || shown(&server).contains(&"two".into()).then_some(()),
        || format!("a client in two:\n{}", outside.shown()),
    );
}

/// A key is meant for the session under the cursor, which what the key did may move, and a filter
/// hide.
#[test]
fn the_cursor_of_fzf_stays_on_its_session() {
    if !pickers().contains(&With::Fzf) || !fzf_has_pos() {
        return;
    }
    let server = started(With::Fzf, "");
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_quiet();
    let client = server.attach("one");
    let is_on = |name: &str| client.wait_to_see(&format!(">    {name} "));
    client.open(With::Fzf);
    // Both are found by their state.
    client.press(&["lost"]);
    client.wait_until_gone("*  one");
    client.press(&["Down"]);
    is_on("two");
    client.press(&["C-o"]);
    client.wait_to_see("restored two");
    is_on("two");
    client.press(&["C-r"]);
    client.wait_to_see("New name for");
    client.press(&["C-u", "zzz", "Enter"]);
    client.wait_to_see("two: renamed");
    is_on("zzz");
    client.press(&["C-t"]);
    client.wait_to_see("zzz: yolo");
    is_on("zzz");
    // What was typed and still finds it stays.
    client.press(&["C-u", "z"]);
    client.wait_until_gone("*  one");
    client.press(&["C-t"]);
    client.wait_to_see("zzz: safe");
    is_on("zzz");
    assert!(client.screen().contains("session> z"), "{}", client.screen());
    client.press(&["Escape"]);
    assert_undisturbed(&server);
}

#[test]
fn a_key_that_comes_before_fzf_has_read_its_list_is_meant_for_the_session_under_the_cursor() {
    if !pickers().contains(&With::Fzf) || !fzf_has_pos() {
        return;
    }
    let server = started(With::Fzf, "");
    // The picker's second fzf gets such a key: it answers with no line.
    let fzf = server.path("bin/fzf");
    let real = fs::read_link(&fzf).unwrap();
    fs::remove_file(&fzf).unwrap();
    let mark = server.path("early");
    script(
        &fzf,
        &format!(
            "case $* in *load:pos*) [ -e {mark} ] || {{ : >{mark}; printf 'two\nalt-h\n'; exit; }} ;; esac\nexec {real} \"$@\"",
            mark = mark.display(),
            real = real.display(),
        ),
    );
    let client = server.attach("one");
    client.choose(With::Fzf, "two");
    client.press(&["C-t"]);
    client.wait_to_see("ok: two");
    assert!(mark.exists());
    client.press(&["Escape"]);
    assert_undisturbed(&server);
}

/// From 0.36 on.
fn fzf_has_pos() -> bool {
    let printed = std::process::Command::new("fzf").arg("--version").output().unwrap().stdout;
    let text = String::from_utf8_lossy(&printed).into_owned();
    let minor = text.split('.').nth(1).and_then(|minor| minor.parse().ok());
    !text.starts_with("0.") || minor.is_some_and(|minor: u32| minor >= 36)
}

#[test]
fn keys_mend_a_damaged_registry_and_tell_what_they_cannot() {
    let server = started(With::Menu, "");
    let client = server.attach("one");
    for (key, shows) in [("G", "sessions"), ("A", "list of backups")] {
        fs::write(server.registry_path(), "junk").unwrap();
        client.prefix(key);
        client.wait_to_see(shows);
        client.press(&["Escape"]);
        client.wait_until_gone("└");
        server.wait_for_names(&["one", "two", "three"]);
    }
    for key in ["G", "A"] {
        fs::write(server.registry_path(), "{\"schema_version\":9}").unwrap();
        client.prefix(key);
        client.wait_to_see("roster: ");
        // What the status line has room for.
        client.wait_to_see("tmux-roster/");
        client.press(&["x"]);
        client.wait_until_gone("tmux-roster/");
    }
    assert_undisturbed(&server);
}

/// A member of a session group that is not its first is recorded while it lives, and no longer.
#[test]
fn who_kills_a_clone_is_not_told_that_it_can_be_reopened() {
    let server = started(With::Menu, "");
    server.tmux(&["new-session", "-d", "-t", "=one:", "-s", "view"]);
    server.wait_for_names(&["one", "two", "three", "view"]);
    let client = server.attach("view");
    client.prefix("A");
    client.wait_to_see("list of backups");
    client.press(&["x"]);
    client.wait_to_see("Kill view?");
    client.press(&["y"]);
    server.wait_for_names(&["one", "two", "three"]);
    client.wait_to_see("roster: killed");
    assert!(!client.screen().contains("reopen"), "{}", client.screen());
}

#[test]
fn every_action_of_the_menu_does_what_it_says() {
    let server = started(With::Menu, "");
    let client = server.attach("one");
    let act = |key: &str| {
        client.wait_until_gone("└");
        client.prefix("A");
        client.wait_to_see("list of backups");
        client.press(&[key]);
    };
    act("t");
    client.wait_to_see("roster: yolo");
    wait_for(|| (server.field("one", "mode") == "yolo").then_some(()), || "the mode".into());
    act("h");
    client.wait_to_see("roster: ok");
    act("r");
    client.wait_to_see(if tmux_version() >= (3, 2) { "> one" } else { "new name: one" });
    client.press(&["C-u", "uno", "Enter"]);
    server.wait_for_names(&["two", "three", "uno"]);
    client.wait_to_see("renamed");
    act("s");
    wait_to_show(&server, "a");
    server.wait_for_names(&["two", "three", "uno", "a"]);
    act("l");
    wait_to_show(&server, "uno");
    act("x");
    client.wait_to_see("Kill uno?");
    client.wait_to_see("client /dev/");
    client.press(&["y"]);
    server.wait_for_names(&["two", "three", "a"]);
    wait_to_show(&server, "a");
    act("o");
    wait_to_show(&server, "uno");
    client.wait_to_see("reopened uno");
    server.roster(&["backup"]);
    act("b");
    client.wait_to_see("SESSIONS");
    client.press(&["q"]);
    client.wait_until_gone("SESSIONS");
    assert_eq!(server.tmux(&["list-windows", "-t", "=uno:", "-F", "x"]), "x");
    act("d");
    client.wait_to_see("press any key");
    client.press(&["q"]);
    client.wait_until_gone("press any key");
    client.prefix("A");
    client.wait_to_see("list of backups");
    assert!(!client.screen().contains("restore all lost"), "{}", client.screen());
    client.press(&["Escape"]);
    assert_undisturbed(&server);
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "uno", "-c", &server.dir("a")]);
    server.wait_until_quiet();
    let client = server.attach("uno");
    client.prefix("A");
    client.wait_to_see("restore all lost (3)");
    client.press(&["a"]);
    client.wait_to_see("restored");
    wait_for(
        || (server.tmux(&["list-sessions", "-F", "x"]).lines().count() == 4).then_some(()),
        || "four sessions".into(),
    );
    assert_undisturbed(&server);
}

#[test]
fn the_reopen_key_brings_the_last_one_back_or_says_why_not() {
    let server = started(With::Menu, "");
    let client = server.attach("one");
    client.prefix("B");
    client.wait_to_see("there is no closed session or window to reopen");
    let uuid = server.uuid("two");
    server.tmux(&["kill-session", "-t", "=two"]);
    server.wait_for_names(&["one", "three"]);
    client.prefix("B");
    wait_to_show(&server, "two");
    client.wait_to_see("reopened two");
    assert_eq!(server.uuid("two"), uuid);
    assert_undisturbed(&server);
}

#[test]
fn keys_can_be_moved_and_switched_off_and_never_take_a_users() {
    let server = started(With::Menu, "bind G display-message mine\nset -g @roster-menu-key none\n");
    let bound = || server.tmux(&["list-keys", "-T", "prefix"]);
    let ours = || bound().lines().filter(|line| line.contains("@roster_program")).count();
    assert!(bound().contains("display-message mine"), "{}", bound());
    assert_eq!(ours(), 1);
    if tmux_version() >= (3, 1) {
        let notes = server.tmux(&["list-keys", "-N", "-T", "prefix"]);
        assert!(notes.contains("Reopen the last closed session"), "{notes}");
    }
    let reload = || {
        let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux");
        server.tmux(&["run-shell", plugin]);
    };
    server.tmux(&["set-option", "-g", "@roster-pick-key", "C-g"]);
    server.tmux(&["set-option", "-g", "@roster-menu-key", "M-s"]);
    server.tmux(&["set-option", "-g", "@roster-reopen-key", "#"]);
    reload();
    let keys = bound();
    assert_eq!(ours(), 2, "# is tmux's own: {keys}");
    let line = |key: &str| {
        let found = keys.lines().find(|line| line.split_whitespace().any(|word| word == key));
        found.is_some_and(|line| line.contains("@roster_program"))
    };
    assert!(line("C-g") && line("M-s") && !line("B"), "{keys}");
    server.tmux(&["unbind-key", "G"]);
    for option in ["@roster-pick-key", "@roster-menu-key", "@roster-reopen-key"] {
        server.tmux(&["set-option", "-gu", option]);
    }
    reload();
    assert_eq!(ours(), 3, "{}", bound());
    assert!(!bound().lines().any(|l| l.contains("C-g ") && l.contains("@roster_program")));
}

#[test]
fn a_key_acts_on_the_client_that_pressed_it() {
    for with in pickers() {
        let server = started(with, "");
        let first = server.attach("one");
        let second = server.attach("one");
        let clients = || {
            let listed = server.tmux(&["list-clients", "-F", "#{client_created} #{client_name}"]);
            let mut clients: Vec<String> = listed.lines().map(str::to_owned).collect();
            clients.sort();
            clients
        };
        assert_eq!(clients().len(), 2);
        // The second is the one that was active last; the first presses.
        second.press(&["x"]);
        second.wait_to_see("x");
        first.choose(with, "two");
        first.press(if with == With::Fzf { &["Enter"] } else { &["g"] });
        wait_for(
            || {
                let mut shown = shown(&server);
                shown.sort();
                (shown == ["one", "two"]).then_some(())
            },
            || format!("one client in two: {:?}", shown(&server)),
        );
        first.wait_to_see("[two]");
        first.wait_until_gone("└");
        assert!(second.screen().contains("[one]"), "{}", second.screen());
        second.press(&["y"]);
        second.wait_to_see("y");
        first.prefix("A");
        first.wait_to_see("doctor");
        first.press(&["l"]);
        first.wait_to_see("[one]");
        first.prefix("A");
        first.wait_to_see("doctor");
        first.press(&["h"]);
        first.wait_to_see("roster: ok");
        assert!(!second.screen().contains("roster: ok"), "{}", second.screen());
        // A command typed in a pane moves the client of that pane.
        let moved = if first.screen().contains("[one]") { "three" } else { "one" };
        server.tmux(&["switch-client", "-c", &second.name(), "-t", "=two"]);
        second.wait_to_see("[two]");
        first.press(&[&format!("{} go {moved}", ROSTER), "Enter"]);
        first.wait_to_see(&format!("[{moved}]"));
        assert!(second.screen().contains("[two]"), "{}", second.screen());
        assert_undisturbed(&server);
    }
}

/// Makes a session in a hostile folder for each hostile name that this tmux takes; gives the
/// names as tmux has them.
fn with_hostile_sessions(server: &Server) -> Vec<String> {
    fs::create_dir(server.path(FOLDER)).unwrap();
    let folder = escape_name(server.dir(FOLDER).as_bytes(), version());
    let folder = argument(OsString::from_vec(folder)).into_string().unwrap();
    let mut made = Vec::new();
    for name in HOSTILE {
        let id = server.tmux(&["new-session", "-d", "-P", "-F", "#{session_id}", "-c", &folder]);
        // Through a file, so that no command line of the test changes a byte.
        let mut text = String::new();
        for byte in escape_name(name.as_bytes(), version()) {
            text.push_str(&format!("\\{byte:03o}"));
        }
        let file = server.path("rename");
        fs::write(&file, format!("rename-session -t '{id}' -- \"{text}\"\n")).unwrap();
        let renamed = server.try_tmux(&["source-file", &file.display().to_string()]);
        if renamed.status.success() {
            let stored = server.tmux(&["list-sessions", "-F", "#{session_id} #{session_name}"]);
            let start = format!("{id} ");
            let stored = stored.lines().find_map(|line| line.strip_prefix(&start)).unwrap();
            made.push(stored.to_owned());
        } else {
            server.tmux(&["kill-session", "-t", &id]);
        }
    }
    assert!(made.len() >= 6, "{made:?}");
    server.wait_until_quiet();
    made
}

/// A name as a menu shows it, where no doubling keeps `#[` from being a style before tmux 3.2.
fn in_menu(name: &str) -> String {
    if tmux_version() < (3, 2) { name.replace("#[", "# [") } else { name.to_owned() }
}

impl Client<'_> {
    /// The same as `choose` for a name that can be typed nowhere: by its place.
    fn find(&self, with: With, name: &str) {
        self.open(with);
        if with == With::Fzf {
            let [here, there] = ["*  ", "   "].map(|mark| format!(" {mark}{name} "));
            // One screen that has both: what is drawn may be drawn again meanwhile.
            let both = || {
                let screen = self.screen();
                let row = |text: &str| screen.lines().position(|line| line.contains(text));
                Some(row("  NAME ")? + 1..row(&here).or(row(&there))?)
            };
            for _ in wait_for(both, || format!("{name} in\n{}", self.shown())) {
                self.press(&["Down"]);
            }
            return self.wait_to_see_one_of(&[here, there].map(|line| format!(">{line}")));
        }
        let shown = format!(" {} ", in_menu(name));
        self.wait_to_see(&shown);
        let found = || {
            let screen = self.whole_menu();
            let at = screen.lines().position(|line| line.contains(&shown))?;
            Some((screen, at))
        };
        let (screen, at) = wait_for(found, || format!("{shown} in\n{}", self.shown()));
        let line = screen.lines().nth(at).unwrap();
        let key = line.rsplit_once('(').and_then(|(_, key)| key.split(')').next());
        match key.filter(|key| key.len() == 1) {
            Some(key) => self.press(&[key]),
            None => {
                // Beyond the ninth: by the arrow keys.
                let first = screen.lines().position(|line| line.contains("(1)")).unwrap();
                self.press(&vec!["Up"; sessions_shown(&screen, first) - (at - first)]);
                self.press(&["Enter"]);
            }
        }
        self.wait_to_see(&format!("{} (", in_menu(name)));
    }

    /// Opens the menu of actions and takes one.
    fn act(&self, key: &str) {
        self.prefix("A");
        self.wait_to_see("doctor");
        self.press(&[key]);
    }
}

#[test]
fn hostile_names_are_shown_as_they_are_and_never_run() {
    for with in pickers() {
        let server = started(with, "");
        let names = with_hostile_sessions(&server);
        let client = Client::attach_sized(&server, "one", (100, 60));
        for (n, name) in names.iter().enumerate() {
            let uuid = server.uuid(name);
            client.find(with, name);
            client.press(if with == With::Fzf { &["Enter"] } else { &["g"] });
            wait_to_be_in(&server, &client, &uuid);
            client.act("x");
            client.wait_to_see(&format!("Kill {}?", in_menu(name)));
            client.press(&["n"]);
            client.wait_until_gone("Kill ");
            client.act("x");
            client.wait_to_see("Kill ");
            client.press(&["y"]);
            client.wait_to_see("roster: killed");
            client.prefix("B");
            client.wait_to_see(&format!("roster: reopened {name}"));
            wait_to_be_in(&server, &client, &uuid);
            client.act("r");
            if tmux_version() >= (3, 2) {
                client.wait_to_see(&format!("New name for {name}:"));
            } else {
                client.wait_to_see("new name:");
            }
            let plain = format!("plain{n}");
            client.press(&["C-u", &plain, "Enter"]);
            client.wait_to_see("roster: renamed");
            client.wait_until_gone("└");
            assert_eq!(server.uuid(&plain), uuid);
        }
        assert_undisturbed(&server);
    }
}

#[test]
fn hostile_sessions_come_back_from_the_picker() {
    for with in pickers() {
        let server = started(with, "");
        let names = with_hostile_sessions(&server);
        let uuids: Vec<String> = names.iter().map(|name| server.uuid(name)).collect();
        server.crash();
        server.tmux(&["new-session", "-d", "-s", "one"]);
        server.wait_until_quiet();
        // Half of them closed, the others lost.
        for name in names.iter().step_by(2) {
            server.roster(&["forget", "--", name]);
        }
        let client = Client::attach_sized(&server, "one", (160, 60));
        for (name, uuid) in names.iter().zip(&uuids) {
            client.find(with, name);
            client.press(if with == With::Fzf { &["Enter"] } else { &["g"] });
            wait_to_be_in(&server, &client, uuid);
            assert_eq!(server.uuid(name), *uuid);
            assert_eq!(server.field(name, "workdir"), server.dir(FOLDER));
        }
        client.act("s");
        client.wait_to_see("[touch-can");
        server.wait_until_quiet();
        let made =
            server.names().into_iter().find(|name| name.starts_with("touch-canary")).unwrap();
        assert_eq!(server.field(&made, "workdir"), server.dir(FOLDER));
        assert_undisturbed(&server);
    }
}

/// Waits until the client is in the session that bears this stamp.
fn wait_to_be_in(server: &Server, client: &Client, uuid: &str) {
    wait_for(
        || (server.tmux(&["list-clients", "-F", "#{@roster_uuid}"]) == uuid).then_some(()),
        || format!("the client in {uuid}:\n{}", client.shown()),
    );
    client.wait_until_gone("└");
}

/// How many lines a menu shows from this one on, but the one that leads to the next page.
fn sessions_shown(screen: &str, first: usize) -> usize {
    let is_one = |line: &&str| line.contains('│') && !line.contains("more (");
    screen.lines().skip(first).take_while(is_one).count()
}

/// The small and the large terminal that the picker is made for.
const SIZES: [(u32, u32); 2] = [(60, 15), (200, 50)];

/// Names that are alike as far as a small terminal shows their beginnings.
const ALIKE: [&str; 3] = [
    "customer-portal-backend-service-1",
    "customer-portal-backend-service-2",
    "customer-portal-backend-worker-1",
];

/// A server with sessions in every state, one of another mode; the two at the end are lost.
fn with_much_to_read(with: With) -> Server {
    let server = started(with, "");
    let deep = "home/src/a/deep/er/api";
    fs::create_dir_all(server.path(deep)).unwrap();
    for name in ALIKE {
        server.tmux(&["new-session", "-d", "-s", name, "-c", &server.dir(deep)]);
    }
    server.wait_for_names(&[&["one", "two", "three"][..], &ALIKE].concat());
    server.wait_until_quiet();
    server.crash();
    server.tmux(&["new-session", "-d", "-s", "one"]);
    server.wait_until_quiet();
    server.roster(&["restore", ALIKE[0], ALIKE[1]]);
    server.roster(&["forget", "three"]);
    server
}

#[test]
fn columns_have_headings_fit_and_tell_names_apart() {
    for with in pickers() {
        let server = with_much_to_read(with);
        for size in SIZES {
            let client = Client::attach_sized(&server, "one", size);
            client.open(with);
            client.wait_to_see("closed");
            let screen = client.whole_menu();
            let row = |name: &str| {
                let has = |line: &&str| line.contains(name) && line.contains("/api");
                screen.lines().filter(has).count()
            };
            let ends = if size.0 == 60 {
                ["vice-1", "vice-2", "rker-1"]
            } else {
                ["service-1", "service-2", "worker-1"]
            };
            for end in ends {
                assert_eq!(row(end), 1, "{end} in\n{screen}");
            }
            let is_cut = size.0 == 60;
            assert_eq!(
                screen.contains("…/deep/er/api") || screen.contains("…/er/api"),
                is_cut,
                "{screen}"
            );
            assert_eq!(screen.contains("~/src/a/deep/er/api"), !is_cut, "{screen}");
            assert!(screen.contains("  NAME "), "{screen}");
            assert!(!screen.contains("MODE") && !screen.contains(" safe "), "{screen}");
            let states: Vec<usize> = [" live ", " lost ", " closed "]
                .iter()
                .filter_map(|state| screen.find(state))
                .collect();
            assert!(states.len() == 3 && states.is_sorted(), "{screen}");
            client.press(&["Escape"]);
            client.wait_until_gone("closed");
            client.close();
        }
        server.roster(&["mode", "one", "yolo"]);
        let client = Client::attach_sized(&server, "one", SIZES[0]);
        client.open(with);
        client.wait_to_see(" yolo ");
        client.wait_to_see(if with == With::Fzf { "MODE" } else { "closed" });
        assert!(!client.screen().contains(" safe "), "{}", client.screen());
        client.press(&["Escape"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn what_is_cut_short_is_found_all_the_same() {
    if !pickers().contains(&With::Fzf) {
        return;
    }
    let server = with_much_to_read(With::Fzf);
    let client = Client::attach_sized(&server, "one", SIZES[0]);
    for (typed, shown, hidden) in
        [("backend-work", "rker-1", "vice-1"), ("src/a/", "rker-1", "*  one")]
    {
        client.open(With::Fzf);
        client.wait_to_see("*  one");
        client.press(&["-l", typed]);
        client.wait_until_gone(hidden);
        client.wait_to_see(shown);
        client.press(&["Escape"]);
        client.wait_until_gone("└");
    }
    assert_undisturbed(&server);
}

#[test]
fn all_lost_sessions_come_back_with_one_key() {
    for with in pickers() {
        let server = with_much_to_read(with);
        let client = Client::attach_sized(&server, "one", SIZES[0]);
        client.open(with);
        client.wait_to_see(if with == With::Fzf {
            "alt-a restore all (2)"
        } else {
            "restore all lost (2)"
        });
        client.press(&[if with == With::Fzf { "M-a" } else { "a" }]);
        client.wait_to_see("restored ");
        let live = || server.tmux(&["list-sessions", "-F", "x"]).lines().count();
        wait_for(|| (live() == 5).then_some(()), || format!("five sessions, not {}", live()));
        if with == With::Fzf {
            client.press(&["M-a"]);
            client.wait_to_see("no session is lost");
            client.press(&["Escape"]);
        }
        client.wait_until_gone("└");
        client.open(with);
        client.wait_to_see("closed");
        assert!(!client.screen().contains("restore all"), "{}", client.screen());
        client.press(&["Escape"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn a_closed_window_is_reopened_from_the_picker() {
    for with in pickers() {
        let server = started(with, "");
        server.tmux(&["new-window", "-d", "-t", "=two:", "-n", "logs"]);
        server.wait_until_idle();
        server.tmux(&["kill-window", "-t", "=two:logs"]);
        server.wait_until_idle();
        let is_listed = || server.roster(&["closed", "--windows"]).contains("1:logs").then_some(());
        wait_for(is_listed, || "the closed window".into());
        let client = server.attach("one");
        client.choose(with, "two");
        match with {
            With::Fzf => client.wait_to_see("closed (alt-w): 1:logs"),
            With::Menu => client.wait_to_see("reopen window 1:logs"),
        }
        client.press(&[if with == With::Fzf { "M-w" } else { "w" }]);
        client.wait_to_see("reopened window 1 (logs) of two");
        let windows = server.tmux(&["list-windows", "-t", "=two:", "-F", "#{window_name}"]);
        assert_eq!(windows.lines().nth(1), Some("logs"));
        if with == With::Fzf {
            client.press(&["Escape"]);
        }
        client.wait_until_gone("└");
        client.choose(with, "three");
        if with == With::Menu {
            assert!(!client.screen().contains("reopen window"), "{}", client.screen());
        } else {
            client.press(&["M-w"]);
            client.wait_to_see("no window of");
            client.press(&["M-h"]);
            client.wait_to_see("ok: three");
        }
        client.press(&["Escape"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn before_a_kill_it_is_said_how_much_ends() {
    for with in pickers() {
        let server = started(with, "");
        for n in 0..12 {
            server.tmux(&["new-window", "-d", "-t", "=two:", "-n", &format!("w{n}")]);
        }
        server.tmux(&["split-window", "-t", "=two:3", "sleep", "1000"]);
        server.tmux(&["new-session", "-d", "-t", "=three:", "-s", "view"]);
        server.wait_until_quiet();
        let client = Client::attach_sized(&server, "one", SIZES[0]);
        client.choose(with, "two");
        client.press(&[if with == With::Fzf { "C-x" } else { "x" }]);
        client.wait_to_see("Kill two?");
        client.wait_to_see("13 windows, 14 panes; it can be reopened");
        client.wait_to_see("window 3, pane 1: sleep");
        client.wait_to_see("13 shells");
        client.press(&["n"]);
        client.wait_until_gone("Kill two?");
        if with == With::Fzf {
            client.press(&["Escape"]);
        }
        client.wait_until_gone("└");
        client.choose(with, "view");
        client.press(&[if with == With::Fzf { "C-x" } else { "x" }]);
        client.wait_to_see("1 window, 1 pane, which stay in its group");
        client.press(&["n"]);
        client.wait_until_gone("Kill ");
        client.press(&["Escape"]);
        assert_undisturbed(&server);
    }
}

#[test]
fn the_help_and_the_preview_fit_a_small_terminal() {
    if !pickers().contains(&With::Fzf) {
        return;
    }
    let server = with_much_to_read(With::Fzf);
    let client = Client::attach_sized(&server, "one", SIZES[0]);
    client.open(With::Fzf);
    client.press(&["?"]);
    client.wait_to_see("│ctrl-x   kill it (asks first), or forget it if not live");
    client.press(&["Space"]);
    client.wait_to_see("│lost     ended with its server, as in a crash or reboot");
    client.press(&["Space"]);
    client.wait_to_see("session>");
    client.wait_to_see("*  one");
    assert!(
        !client.screen().contains('╭'),
        "no preview takes the list's place: {}",
        client.screen()
    );
    client.press(&["worker"]);
    client.wait_until_gone("*  one");
    client.press(&["C-v"]);
    client.wait_to_see("lost: it ended");
    client.wait_to_see("…/deep/er/api");
    client.press(&["C-v"]);
    client.wait_until_gone("╭");
    client.press(&["Escape"]);
    assert_undisturbed(&server);
}

/// In a pane, and nowhere else.
#[test]
fn list_marks_the_session_that_it_is_typed_in() {
    let server = started(With::Menu, "");
    let typed = format!("{ROSTER} list; sleep 1000");
    server.tmux(&["respawn-pane", "-k", "-t", "=two:", &typed]);
    let rows = || {
        let screen = server.screen("=two:");
        let lines: Vec<String> =
            screen.lines().map(|line| line.chars().take(8).collect()).collect();
        (lines.get(3).is_some_and(|line| line.contains("two"))).then_some(lines)
    };
    let rows = wait_for(rows, || server.screen("=two:"));
    assert_eq!(rows[..4], ["  NAME  ", "  one   ", "  three ", "* two   "]);
    assert!(server.roster(&["list"]).contains("\ntwo "), "nobody is anywhere here");
}

#[test]
fn list_keeps_names_apart_and_the_ends_of_directories_on_a_narrow_terminal() {
    let server = with_much_to_read(With::Menu);
    let client = Client::attach_sized(&server, "one", SIZES[0]);
    let typed = format!("{ROSTER} list; sleep 1000");
    server.tmux(&["respawn-pane", "-k", "-t", "=one:", &typed]);
    client.wait_to_see("* one");
    client.wait_to_see("  two");
    let screen = client.screen();
    let rows: Vec<&str> = screen.lines().filter(|line| line.contains("/api ")).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(names.len(), 3, "{screen}");
    assert!(names[0] != names[1] && names[1] != names[2], "{screen}");
    assert!(names.iter().all(|name| name.contains('…')), "{screen}");
}

#[test]
fn two_hundred_sessions_on_screens_of_two_sizes() {
    for with in pickers() {
        let server = started(with, "");
        let commands: String = (0..197).map(|n| format!("new-session -d -s n{n:03}\n")).collect();
        fs::write(server.path("burst"), commands).unwrap();
        server.tmux(&["source-file", &server.dir("burst")]);
        wait_for(|| (server.names().len() == 200).then_some(()), || "200 sessions".into());
        server.wait_until_quiet();
        for size in [(80, 24), (40, 12)] {
            let client = Client::attach_sized(&server, "one", size);
            client.prefix("A");
            client.wait_to_see("doctor");
            client.press(&["Escape"]);
            client.wait_until_gone("doctor");
            client.open(with);
            client.wait_to_see("one");
            if with == With::Fzf {
                // As many keys as there is room for, and all of what they do.
                client.wait_to_see("^x kill, ? help");
                // What is last in a line of numbers and ages is not what anybody looks for.
                client.press(&["never"]);
                client.wait_to_see(" 0/200");
                client.press(&["C-u", "n123"]);
                client.wait_to_see(">    n123 ");
                client.press(&["Enter"]);
            } else {
                for page in 1.. {
                    client.wait_to_see(&format!("more ({page} of"));
                    client.wait_to_see("new session here");
                    let screen = client.whole_menu();
                    if let Some(line) = screen.lines().find(|line| line.contains("n123 ")) {
                        let first = screen.lines().position(|l| l.contains(" live ")).unwrap();
                        let at = screen.lines().position(|l| l == line).unwrap();
                        let keys = sessions_shown(&screen, first) - (at - first);
                        // From the bottom, where "more" is, and a menu begins above its first.
                        client.press(&vec!["Up"; keys + 1]);
                        client.press(&["Enter"]);
                        break;
                    }
                    client.press(&["+"]);
                }
                client.wait_to_see("n123 (live)");
                client.press(&["g"]);
            }
            client.wait_to_see("[n123]");
            client.wait_until_gone("└");
            client.press(&["C-b", "d"]);
            wait_for(|| shown(&server).is_empty().then_some(()), || "no client".into());
        }
        assert_undisturbed(&server);
    }
}

#[test]
fn what_is_typed_at_the_prompt_for_a_name_is_never_run() {
    let server = started(With::Menu, "");
    let client = server.attach("one");
    for hostile in [
        "'; run-shell 'touch canary' ; '",
        "\" ; run-shell \"touch canary\" ; \"",
        "\" ; run-shell \"touch canary\" ; \" %1 %%",
        "\\\" ; run-shell 'touch canary' ; %1",
        "#(touch canary)",
        "$(touch canary) `touch canary`",
        "-x",
    ] {
        client.prefix("A");
        client.wait_to_see("rename");
        client.press(&["r"]);
        client.wait_to_see(if tmux_version() >= (3, 2) { "> one" } else { "new name:" });
        client.press(&["C-u"]);
        client.press(&["-l", "--", hostile]);
        client.press(&["Enter"]);
        client.wait_to_see("is not valid");
        client.press(&["Escape"]);
        client.wait_until_gone("is not valid");
    }
    assert_eq!(server.tmux(&["show-options", "-gqv", "@roster_answer"]), "");
    assert_undisturbed(&server);
    // Given up, it stays as it was.
    client.prefix("A");
    client.wait_to_see("rename");
    client.press(&["r"]);
    client.wait_to_see(if tmux_version() >= (3, 2) { "> one" } else { "new name:" });
    client.press(&["Escape"]);
    client.wait_until_gone(if tmux_version() >= (3, 2) { "> one" } else { "new name:" });
    server.wait_for_names(&["one", "two", "three"]);
}

#[test]
fn a_session_can_be_renamed_on_a_small_terminal() {
    let server = started(With::Menu, "");
    let client = Client::attach_sized(&server, "one", (40, 12));
    client.prefix("A");
    client.wait_to_see("rename");
    client.press(&["r"]);
    client.wait_to_see(if tmux_version() >= (3, 2) { "> one" } else { "new name:" });
    client.press(&["C-u"]);
    client.press(&["-l", "small"]);
    client.press(&["Enter"]);
    server.wait_for_name("small");
}

#[test]
fn the_status_line_shows_the_mode_whatever_order_plugins_load_in() {
    let by_mode = "#{?#{==:#{roster_mode},yolo},#[fg=red],#[fg=green]}#{roster_mode}#[default]";
    let server = started(
        With::Menu,
        &format!(
            "set -g status-left '[#{{roster_health}}|#{{roster_lost}}] $HOME '\nset -g status-right '{by_mode} #{{roster_mode}}'\n"
        ),
    );
    let value = |option| server.tmux(&["show-options", "-gv", option]);
    assert_eq!(value("status-right"), by_mode.replace("roster_", "@roster_") + " #{@roster_mode}");
    let client = server.attach("one");
    client.wait_to_see("safe safe");
    client.wait_to_see("[ok|");
    server.roster(&["mode", "one", "yolo"]);
    client.wait_to_see("yolo yolo");
    // A theme that comes after us.
    let plugin = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin.tmux");
    server.tmux(&["run-shell", plugin]);
    server.tmux(&["set-option", "-g", "status-right", "theme #{roster_mode}"]);
    server.tmux(&["switch-client", "-t", &server.id("two")]);
    client.wait_to_see("theme safe");
    assert_undisturbed(&server);
}
