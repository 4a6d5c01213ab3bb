//! The command line: any words are understood or answered with a usage, and a command behind `--`
//! is left as it is. Nothing is run.
#![no_main]

#[allow(dead_code, reason = "the program reads what is parsed here")]
#[path = "../../../src/cli.rs"]
mod cli;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let words = text.split('\0').map(str::to_owned);
    let line: Vec<String> = std::iter::once("roster".to_owned()).chain(words).collect();
    let taken = cli::Line::new(&line);
    assert!(taken.command.is_empty() || line.ends_with(taken.command));
    let refused = if taken.is_internal() {
        taken.parse::<cli::Internal>("roster").err()
    } else {
        taken.parse::<cli::Cli>("roster").err()
    };
    assert!(refused.is_none_or(|early| !early.output.is_empty()));
});
