//! `roster store`: the operations of the format on any file, without tmux.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::{
    Session, Store, StoreError, Timestamp, migration_plan, sanitize_name, validate_name,
};

use super::context::{Failure, Outcome};
use super::output::{harmless, print, print_path, warn};
use crate::cli::{self, StoreOperation as Op};

pub fn run(args: &cli::Store) -> Outcome {
    let operation = &args.operation;
    match operation {
        Op::Validate(args) => {
            validate_name(&args.name)?;
            return Ok(ExitCode::SUCCESS);
        }
        Op::Sanitize(args) => {
            print(&format!("{}\n", sanitize_name(args.name.as_bytes())))?;
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    let Some(file) = args.file.as_ref().filter(|file| !file.is_empty()) else {
        return Err(Failure::usage("store needs --file PATH before the operation".into()));
    };
    let store = Store::new(file);
    match operation {
        Op::Save(args) => {
            let session = Session::new(&args.name, &args.workdir, &args.mode);
            store.save(&session)?;
            answer(&session)?;
        }
        Op::Get(args) => answer(&store.get(&args.name)?)?,
        Op::List(_) => answer(&store.list()?)?,
        Op::Names(_) => answer(&store.names()?)?,
        Op::Backup(_) => match store.backup()? {
            Some(path) => print_path(&path)?,
            None => {
                // As the format has it.
                print("\n")?;
                warn("there is no file: nothing to back up");
            }
        },
        operation => change(&store, operation)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The operations that have nothing to print.
fn change(store: &Store, operation: &Op) -> Result<(), StoreError> {
    let now = Timestamp::now();
    match operation {
        Op::Delete(args) => store.delete(&args.name),
        Op::DeleteAll(_) => store.delete_all().map(drop),
        Op::Rename(args) => store.rename(&args.old, &args.new),
        Op::Mode(args) => store.update_mode(&args.name, &args.mode),
        Op::Health(args) => store.update_health(&args.name, &args.status, now),
        Op::Attached(args) => store.update_attached(&args.name, now),
        Op::Migrate(_) => store.migrate(&migration_plan()).map(drop),
        _ => Ok(()),
    }
}

/// One line of JSON: for a script as the format has it, byte for byte.
fn answer<T: Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string(value)?;
    let text = if io::stdout().is_terminal() { harmless(&text) } else { text };
    print(&format!("{text}\n"))
}
