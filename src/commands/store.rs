//! `roster store`: the operations of the format on any file, without tmux.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use serde::Serialize;
use tmux_roster::{Session, Store, Timestamp, migration_plan, sanitize_name, validate_name};

use super::context::{Failure, Outcome};
use super::output::{json, print, print_path, warn};
use crate::cli::{self, StoreOperation as Op};

pub fn run(args: cli::Store) -> Outcome {
    match &args.operation {
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
    let Some(file) = args.file.filter(|file| !file.is_empty()) else {
        return Err(Failure::Usage("store needs --file PATH before the operation".into()));
    };
    let store = Store::new(file);
    let now = Timestamp::now();
    match args.operation {
        Op::Save(args) => {
            let session = Session::new(&args.name, &args.workdir, &args.mode);
            store.save(&session)?;
            answer(&session)?;
        }
        Op::Get(args) => answer(&store.get(&args.name)?)?,
        Op::List(_) => answer(&store.list()?)?,
        Op::Names(_) => answer(&store.names()?)?,
        Op::Delete(args) => store.delete(&args.name)?,
        Op::DeleteAll(_) => drop(store.delete_all()?),
        Op::Rename(args) => store.rename(&args.old, &args.new)?,
        Op::Mode(args) => store.update_mode(&args.name, &args.mode)?,
        Op::Health(args) => store.update_health(&args.name, &args.status, now)?,
        Op::Attached(args) => store.update_attached(&args.name, now)?,
        Op::Backup(_) => match store.backup()? {
            Some(path) => print_path(&path)?,
            None => {
                // As the format has it.
                print("\n")?;
                warn("there is no file: nothing to back up");
            }
        },
        Op::Migrate(_) => drop(store.migrate(&migration_plan())?),
        Op::Validate(_) | Op::Sanitize(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// One line of JSON: for a script as the format has it, byte for byte.
fn answer<T: Serialize>(value: &T) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return json(value);
    }
    print(&format!("{}\n", serde_json::to_string(value)?))
}
