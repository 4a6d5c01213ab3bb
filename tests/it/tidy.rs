//! The rules of the house, as far as a program can check them: who may import whom, and that
//! the README tells what the code has, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tmux_roster::tmux::hooks::HOOKS;

use tmux_roster::config::OPTIONS;
use tmux_roster::options::{self, Reader, TABLE};

use crate::env::sources::{files, options_of_the_readme, read, readme, root, table, words};
use crate::env::{Folder, ROSTER, script, stderr, stdout, tmux_program};

/// The folders and files of the library: each imports only those that stand before it.
const ORDER: [&str; 19] = [
    "sorted",
    "aside",
    "files",
    "options",
    "model",
    "store",
    "tmux",
    "config",
    "log",
    "health",
    "host",
    "directories",
    "panes",
    "persist",
    "history",
    "event_scripts",
    "transaction",
    "restore",
    "sync",
];

/// The first names of the paths that begin with `start`; `use crate::{a::{b, c}, d};` has two.
fn names_behind(text: &str, start: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in text.split(start).skip(1) {
        // What the outer braces hold, without what stands in inner ones.
        let (mut depth, mut paths) = (0, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ if depth <= 1 => paths.push(c),
                _ => {}
            }
            if depth == 0 && !(c.is_alphanumeric() || c == '_' || c == '*') {
                break;
            }
        }
        let in_name = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
        let first = |path: &str| path.trim().split(|c| !in_name(c)).next().unwrap().to_owned();
        names.extend(paths.split(',').map(first).filter(|name| !name.is_empty()));
    }
    names
}

#[test]
fn every_folder_imports_only_those_before_it() {
    let lib = read(&root().join("src/lib.rs"));
    let modules: BTreeSet<&str> =
        lib.lines().filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';')).collect();
    assert_eq!(modules, BTreeSet::from(ORDER), "src/lib.rs has what ORDER has");
    let parts = lib.lines().filter(|line| line.starts_with("| [`"));
    let told: Vec<&str> = parts
        .flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2))
        .map(|name| name.trim_start_matches("mod@"))
        .collect();
    assert_eq!(told, ORDER, "the table of parts in src/lib.rs");
    for (at, module) in ORDER.iter().enumerate() {
        let allowed = &ORDER[..=at];
        let of_module = |file: &PathBuf| {
            let path = file.strip_prefix(root().join("src")).unwrap();
            path.starts_with(module) || path == Path::new(&format!("{module}.rs"))
        };
        for file in files("src").iter().filter(|file| of_module(file)) {
            let text = read(file);
            for name in names_behind(&text, "crate::") {
                assert!(allowed.contains(&name.as_str()), "{} imports {name}", file.display());
            }
        }
    }
    for file in files("src/model") {
        let text = read(&file);
        let code = text.split("#[cfg(test)]").next().unwrap();
        assert!(!code.contains("std::fs") && !code.contains("std::process"), "{}", file.display());
    }
    for file in files("src") {
        let starts_tmux = read(&file).contains("Command::new(&self.program)");
        assert!(!starts_tmux || file.ends_with("tmux/mod.rs"), "{}", file.display());
        let is_code = file.extension().is_some_and(|kind| kind == "rs");
        assert!(
            !is_code || read(&file).starts_with("//!"),
            "{} says what it is for",
            file.display()
        );
    }
}

/// What several test files need is in `env`, so that each can be read, moved and split by itself.
#[test]
fn no_test_file_imports_from_another() {
    let main = read(&root().join("tests/it/main.rs"));
    let modules = main.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'));
    let tests: BTreeSet<&str> = modules.filter(|module| *module != "env").collect();
    let wrong = |text: &str, starts: &[&str]| -> Vec<String> {
        let mut names: Vec<String> =
            starts.iter().flat_map(|start| names_behind(text, start)).collect();
        names.retain(|name| tests.contains(name.as_str()) || name == "*");
        names
    };
    let mut checked = 0;
    for file in files("tests/it").iter().filter(|file| file.extension().is_some_and(|e| e == "rs"))
    {
        // For those in env/, `super` is env.
        let is_test = file.parent().is_some_and(|folder| folder.ends_with("it"));
        let starts = if is_test { &["crate::", "super::"][..] } else { &["crate::"] };
        assert_eq!(wrong(&read(file), starts), [""; 0], "{}", file.display());
        checked += usize::from(is_test);
    }
    assert_eq!(checked, tests.len() + 1, "each, and main.rs");

    let check = |paths: &str| wrong(&paths.replace("root", "crate"), &["crate::"]);
    assert_eq!(check("use root::env::{faults, Server};\nroot::env::plugin::life();"), [""; 0]);
    assert_eq!(
        check("use root::{\n    env::{self, pick},\n    faults::{can, life},\n};"),
        ["faults"]
    );
    assert_eq!(
        check("root::life::five(); use root::{words}; use root::*;"),
        ["life", "words", "*"]
    );
}

#[test]
fn every_option_stands_in_the_readme_and_every_option_there_is_real() {
    let mut used = BTreeSet::new();
    for file in files("src").iter().chain(&files("scripts")).chain([&root().join("plugin.tmux")]) {
        used.extend(words(&read(file), "@roster-", ""));
    }
    used.remove("@roster-");
    used.remove("@roster");
    assert_eq!(used, options_of_the_readme());
}

/// The names and defaults of a table of the README.
fn defaults(heading: &str, name: usize, default: usize) -> Vec<(String, String)> {
    let plain =
        |cell: String| cell.trim_matches('`').replace("<mode>", "").replace("<program>", "");
    let names = table(heading, name).into_iter().map(plain);
    names.zip(table(heading, default).into_iter().map(plain)).collect()
}

#[test]
fn the_readme_has_the_table_of_options_with_its_defaults() {
    let mut told = defaults("Options", 0, 1);
    let keys = defaults("Keys", 1, 0).into_iter();
    told.extend(keys.map(|(name, key)| (name, key.replace("prefix + ", ""))));
    let real: BTreeSet<(String, String)> = TABLE
        .iter()
        .map(|option| match (option.name, option.default) {
            ("@roster-release-url", "") => (option.name, "from the clone's origin"),
            row => row,
        })
        .map(|(name, default)| (name.to_owned(), default.to_owned()))
        .collect();
    assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), real);
    assert_eq!(told.len(), real.len(), "each once");
}

#[test]
fn each_option_is_read_by_whom_the_table_says() {
    let asked: BTreeSet<&str> =
        OPTIONS.into_iter().filter(|option| option.starts_with("@roster-")).collect();
    assert_eq!(asked, options::read_by(Reader::Sync).collect());
    let scripts: String = files("scripts").iter().map(|file| read(file)).collect();
    let scripts = scripts + &read(&root().join("plugin.tmux"));
    for option in options::read_by(Reader::Scripts) {
        assert!(scripts.contains(option), "{option}");
    }
}

#[test]
fn every_command_stands_in_the_readme_and_every_command_there_is_real() {
    let help = std::process::Command::new(ROSTER).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("Commands:").nth(1).expect("the list of commands");
    let real: BTreeSet<&str> = commands
        .lines()
        .filter_map(|line| {
            line.strip_prefix("  ")?.split_whitespace().next().filter(|_| !line.starts_with("   "))
        })
        .collect();
    // What plugin.tmux, keys and completions call is no command for people.
    for internal in ["load", "look", "run-scripts", "complete", "key"] {
        assert!(!real.contains(internal), "{help}");
    }
    let rows = table("Commands", 0);
    assert_eq!(rows.len(), real.len(), "each once: {rows:?}");
    let told: BTreeSet<&str> = rows
        .iter()
        .filter_map(|row| row.split_whitespace().nth(1))
        .map(|w| w.trim_end_matches('`'))
        .collect();
    assert_eq!(real, told);
    for verb in real {
        let help = std::process::Command::new(ROSTER).args([verb, "--help"]).output().unwrap();
        assert!(help.status.success());
        let help = String::from_utf8(help.stdout).unwrap();
        assert!(help.contains(&format!("roster {verb}")), "an example for {verb}: {help}");
    }
}

#[test]
fn the_readme_shows_the_commands_that_try_and_test() {
    let readme = readme();
    let (top, _) = readme.split_once("\n## ").unwrap();
    for command in ["scripts/try", "scripts/test"] {
        assert!(top.contains(command));
        assert!(root().join(command).exists());
    }
    let gate = read(&root().join(".ci/run"));
    assert!(gate.contains("scripts/check") && gate.contains("scripts/test"));
    let check = read(&root().join("scripts/check"));
    for script in files("scripts").iter().filter(|path| read(path).starts_with("#!")) {
        let name = script.strip_prefix(root()).unwrap().display().to_string();
        assert!(check.contains(&name), "{name} is checked by shellcheck in scripts/check");
    }
    let cargo = read(&root().join("Cargo.toml"));
    let msrv = cargo.split("rust-version = \"").nth(1).unwrap().split('"').next().unwrap();
    assert!(readme.contains(&format!("Rust {msrv}")));
}

/// The names of an XML text's elements that are open at its end, and whether each ended in turn.
fn open_elements(text: &str) -> Vec<&str> {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').expect("the end of a tag");
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{tag}>{text}");
        for rest in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|e| rest.starts_with(e)), "{rest}");
        }
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        match (tag.starts_with('/'), tag.ends_with('/')) {
            (true, _) => assert_eq!(open.pop(), Some(name)),
            (false, true) => {}
            (false, false) => open.push(name),
        }
    }
    open
}

#[test]
fn the_pictures_of_the_readme_are_there_whole_and_small() {
    let readme = readme();
    for (picture, shown) in [
        (".github/picker.svg", &["session&gt;", "lost", "closed", "Enter recreates it"][..]),
        (".github/status.svg", &["$ roster list", "yolo", "ok 2 lost"]),
    ] {
        let (before, _) = readme.split_once(&format!("]({picture})")).expect("it is shown");
        assert!(before.rsplit_once("![").unwrap().1.len() > 40, "{picture} is told in words");
        let text = read(&root().join(picture));
        assert!(text.len() < 30_000, "{picture} has {} bytes", text.len());
        assert!(text.starts_with("<svg xmlns=") && text.ends_with("</svg>\n"), "{picture}");
        assert_eq!(open_elements(&text), [""; 0], "{picture}");
        for part in shown {
            assert!(text.contains(&format!(">{part}")), "{part} in {picture}");
        }
        assert!(!text.contains("/tmp") && !text.contains("/home"), "{picture} shows a folder");
    }
}

/// A test that needs a mount is run alone, where that is forbidden, and where there is no unshare.
#[test]
fn a_test_that_is_left_out_is_shown_and_fails_a_gate_that_could_run_it() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let folder = Folder::new();
    let unshare = folder.path().join("unshare");
    let run = |environment: &[(&str, &str)]| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.arg("a_full_disk_and_a_read_only_one_are_survived").env_clear();
        let output = test.env("PATH", folder.path()).envs(environment.iter().copied()).output();
        let output = output.unwrap();
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        assert!(text(&output.stdout).contains("running 1 test\n"), "{output:?}");
        (output.status.success(), text(&output.stderr))
    };
    let (gate, strict) = ([("CI", "true")], [("TEST_NO_SKIP", "1")]);
    let check = |environment: &[(&str, &str)], reason: Option<&str>| {
        let (passed, said) = run(environment);
        assert_eq!(passed, reason.is_some(), "{environment:?}: {said}");
        let line =
            reason.map(|reason| format!("SKIPPED: a full disk and a read-only one: {reason}\n"));
        assert!(line.is_none_or(|line| said.contains(&line)), "{environment:?}: {said}");
    };
    check(&[], Some("unshare: No such file or directory (os error 2)"));
    check(&gate, None);
    check(&strict, None);
    script(&unshare, "echo 'unshare failed: Operation not permitted' >&2; exit 1");
    let forbidden = Some("unshare failed: Operation not permitted");
    check(&[], forbidden);
    check(&gate, forbidden);
    check(&strict, None);
}

/// With a cargo whose tests do `body`.
#[test]
fn a_run_of_tests_that_pass_and_leave_something_fails() {
    let folder = Folder::new();
    script(&folder.path().join("cc"), "exit 1");
    let run = |body: &str| {
        script(&folder.path().join("cargo"), &format!("{body}\necho summary\nexit $status"));
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let mut test = Command::new(root().join("scripts/test"));
        let output = test.env("PATH", path).env("TEST_TMUX", tmux_program()).output().unwrap();
        assert_eq!(stdout(&output), "summary\n");
        (output.status.code(), stderr(&output))
    };
    // A passing run closes with its summary, and a failed one keeps what is left of it.
    let quiet = |code: i32| (Some(code), String::new());
    assert_eq!(run("status=0; mkdir $TMPDIR/a; rmdir $TMPDIR/a"), quiet(0));
    let noted = folder.path().join("noted");
    let note = format!("mkdir $TMPDIR/a; echo $TMPDIR >{}", noted.display());
    assert_eq!(run(&format!("status=101; {note}")), quiet(101));
    let left = || PathBuf::from(read(&noted).trim());
    fs::remove_dir(left().join("a")).unwrap();
    fs::remove_dir(left()).unwrap();

    let (code, said) = run(&format!("status=0; {note}"));
    assert_eq!(code, Some(1));
    assert!(said.ends_with(&format!("they left {} \n", left().join("a").display())), "{said}");
    fs::remove_dir_all(left()).unwrap();
}

#[test]
fn every_test_that_security_md_names_is_there() {
    let text = read(&root().join("SECURITY.md"));
    let mut file = String::new();
    let mut checked = 0;
    for word in text.split('`').skip(1).step_by(2) {
        if word.ends_with(".rs") {
            file = read(&root().join("tests/it").join(word));
        } else if word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            assert!(file.contains(&format!("fn {word}()")), "{word} is a test");
            checked += 1;
        }
    }
    assert!(checked >= 20, "{checked}");
}

/// What documents a text names, each with the sections that are named right behind it, as in
/// `FACTS.md, "Names" and "Output"`.
fn citations(text: &str) -> Vec<(String, Vec<String>)> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".md") {
        let end = at + ".md".len();
        let start = text[..at].rfind(|c| !in_path(c)).map_or(0, |before| before + 1);
        let is_name = at > start && !text[end..].starts_with(|c: char| c.is_ascii_alphanumeric());
        if !is_name || text[start..].starts_with("//") {
            continue;
        }
        let mut sections = Vec::new();
        let mut rest = text[end..].trim_start_matches('`');
        while let Some((section, after)) =
            [", \"", " and \""].iter().find_map(|before| rest.strip_prefix(before)?.split_once('"'))
        {
            sections.push(section.to_owned());
            rest = after;
        }
        found.push((text[start..end].to_owned(), sections));
    }
    found
}

/// The comments of a file, or all of a document, on one line.
fn prose(path: &Path, text: &str) -> String {
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    let comment = |line: &str| -> Option<String> {
        match kind {
            "md" => Some(line.to_owned()),
            "rs" => {
                // Not within a string.
                let is_comment =
                    |at: &usize| line[..*at].replace("\\\"", "").matches('"').count() % 2 == 0;
                let at = line.match_indices("//").map(|(at, _)| at).find(is_comment)?;
                Some(line[at..].trim_start_matches(['/', '!']).to_owned())
            }
            _ => {
                let at = line.find("# ").filter(|at| line[..*at].trim().is_empty())?;
                Some(line[at + 2..].to_owned())
            }
        }
    };
    let lines: Vec<String> = text.lines().filter_map(comment).collect();
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// The headings of a document; what is shown as code has none.
fn headings(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let is_text = |line: &&str| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_fence && !is_code
    };
    let lines = text.lines().filter(is_text).filter(|line| line.starts_with('#'));
    lines.map(|line| line.trim_start_matches('#').trim()).collect()
}

/// What is wrong with the documents that `text` in the folder `from` names. A document is named by
/// its path, from there or from the root, or by its name alone where only one is called like that.
fn wrong_citations(text: &str, from: &Path, documents: &[PathBuf]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, sections) in citations(text) {
        let of_path = [from, root()].map(|folder| folder.join(&name));
        let named: Vec<&PathBuf> =
            documents.iter().filter(|path| path.file_name() == Some(name.as_ref())).collect();
        let document = match (of_path.into_iter().find(|path| path.is_file()), named.as_slice()) {
            (Some(path), _) => path,
            (None, [one]) => (*one).clone(),
            (None, _) => {
                wrong.push(format!("{name} is not there"));
                continue;
            }
        };
        let text = read(&document);
        let there = headings(&text);
        let missing = sections.iter().filter(|section| !there.contains(&section.as_str()));
        wrong.extend(missing.map(|section| format!("{name} has no section {section:?}")));
    }
    wrong
}

#[test]
fn every_document_that_is_cited_is_there_with_its_section() {
    let mut all: Vec<PathBuf> = ["src", "tests", "scripts", ".ci", ".github"]
        .iter()
        .flat_map(|folder| files(folder))
        .chain(fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()))
        .filter(|path| path.is_file())
        .collect();
    // What a fuzzer or its build left.
    all.retain(|path| !path.strip_prefix(root()).unwrap().starts_with("tests/fuzz/target"));
    let is_document = |path: &&PathBuf| path.extension().is_some_and(|kind| kind == "md");
    let documents: Vec<PathBuf> = all.iter().filter(is_document).cloned().collect();
    let mut cited = 0;
    for path in &all {
        let prose = prose(path, &read(path));
        cited += citations(&prose).len();
        let wrong = wrong_citations(&prose, path.parent().unwrap(), &documents);
        assert!(wrong.is_empty(), "{}: {wrong:?}", path.display());
    }
    assert!(cited > 10, "{cited} citations");

    let check = |text: &str| {
        let text = prose(Path::new("x.rs"), text);
        wrong_citations(&text, &root().join("src"), &documents)
    };
    for fine in [
        "// See FACTS.md, \"Names\" and \"Output\".",
        "/// (`FORMAT.md`, \"The\n/// file\"), and store/FORMAT.md.",
        "let x = 1; // ../README.md; https://example.com/NONE.md",
        "let x = \"// NONE.md\"; // NONE.mdx",
    ] {
        assert_eq!(check(fine), [""; 0], "{fine}");
    }
    for (wrong, said) in [
        ("//! As in NONE.md, \"Names\".", "NONE.md is not there"),
        ("// src/FACTS.md", "src/FACTS.md is not there"),
        ("// FACTS.md,\n    // \"Nothing\"", "FACTS.md has no section \"Nothing\""),
        ("x(); // FACTS.md, \"Names\" and \"No\"", "FACTS.md has no section \"No\""),
    ] {
        assert_eq!(check(wrong), [said], "{wrong}");
    }
}

#[test]
fn format_md_has_every_field_of_our_files() {
    let format = read(&root().join("src/store/FORMAT.md"));
    let mut checked = 0;
    for (file, structs) in [
        ("session", &["Session"][..]),
        ("host", &["Host"]),
        ("../history", &["Entry"]),
        ("snapshot", &["ServerId"]),
        (
            "windows/mod",
            &[
                "Windows",
                "Arrangement",
                "Window",
                "Pane",
                "Fuller",
                "Vanished",
                "Missing",
                "ClosedWindow",
            ],
        ),
        (
            "memory",
            &["Memory", "Unreachable", "Known", "Displaced", "Exact", "Closed", "ClosedSession"],
        ),
    ] {
        let code = read(&root().join(format!("src/model/{file}.rs")));
        for name in structs {
            let start = format!("pub struct {name} {{\n");
            let body = code.split_once(&start).expect("the struct").1.split_once("\n}").unwrap().0;
            let fields = body.lines().filter_map(|line| line.trim().strip_prefix("pub "));
            for field in fields.filter_map(|field| field.split(':').next()) {
                let is_told = format.contains(&format!("`{field}`"))
                    || format.contains(&format!("\"{field}\":"))
                    || field == "extra";
                assert!(is_told, "{name}.{field}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn uninstalling_knows_every_hook() {
    let script = read(&root().join("scripts/uninstall"));
    let hooks = script.split_once("\nhooks='").unwrap().1.split_once('\'').unwrap().0;
    let hooks: Vec<&str> = hooks.split(' ').collect();
    let mut known: Vec<&str> = HOOKS.iter().map(|hook| hook.name).collect();
    // It has two lines of ours.
    assert_eq!(known.pop(), Some("client-session-changed"));
    assert_eq!(hooks, known);
}
