//! The files of the project, and what its README tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder of the project.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

pub fn readme() -> String {
    read(&root().join("README.md"))
}

/// The first cells of the README's table below a heading.
pub fn table(heading: &str, column: usize) -> Vec<String> {
    let readme = readme();
    let section = readme.split(&format!("\n## {heading}\n")).nth(1).expect("the section");
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.replace("\\|", "¦").split('|').nth(column + 1).unwrap().trim().to_owned())
        .collect()
}

/// Words that start with `start` and go on with letters, digits, `-` and what is in `more`.
pub fn words(text: &str, start: &str, more: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || more.contains(c);
    text.match_indices(start)
        .map(|(at, _)| {
            let rest = &text[at + start.len()..];
            let end = rest.find(|c| !part(c)).unwrap_or(rest.len());
            format!("{start}{}", rest[..end].trim_end_matches('-'))
        })
        .collect()
}

/// Every option that the README tells; that of modes without a mode.
pub fn options_of_the_readme() -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for cell in table("Options", 0).iter().chain(&table("Keys", 1)) {
        told.extend(words(&cell.replace("-<mode>", ""), "@roster-", ""));
    }
    told
}
