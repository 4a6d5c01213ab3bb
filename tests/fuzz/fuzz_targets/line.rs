//! The command line: any words are understood or answered with a usage, and a command behind `--`
//! is left as it is. Nothing is run.
#![no_main]

#[allow(dead_code, reason = "the program reads what is parsed here")]
#[path = "../../../src/cli.rs"]
mod cli;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let words = text.split('\0').map(str::to_owned);
    let line: Vec<String> = std::iter::once("roster".to_owned()).chain(words).collect();
    match cli::parse("roster", &line) {
        Ok((_, command)) => assert!(command.is_empty() || line.ends_with(command)),
        Err(early) => assert!(!early.output.is_empty()),
    }
});
