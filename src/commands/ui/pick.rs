//! `roster pick`: the picker, in a popup with fzf, on the terminal where it was typed, or as a
//! menu of tmux where there is no fzf or no popup.
//!
//! What a user named reaches no shell: fzf gets lines on its input and gives back a UUID, or the
//! hexadecimal digits of a directory, which stand hidden in each; its preview command gets these alone.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use tmux_roster::config::Place;
use tmux_roster::validate_name;

use crate::cli;
use crate::commands::context::{Context, Failure, Outcome};
use crate::commands::inspect::{Row, State, View, view};
use crate::commands::output::{count, cut, visible};
use crate::commands::projects::{Projects, unhidden};
use crate::commands::target::{by_uuid, not_found};
use crate::commands::ui::fzf::{self, Fzf, Picked};
use crate::commands::ui::key::{self, Said, Seat};
use crate::commands::ui::keys::{help, letter};
use crate::commands::ui::menu::{self, Item, Menu};
use crate::commands::ui::preview::preview;
use crate::commands::ui::rows::listed;
use crate::commands::ui::terminal;
use crate::commands::windows::Recorded;

pub fn pick(context: &Context, args: &cli::Pick) -> Outcome {
    let place = context.place()?;
    if let Some(uuid) = &args.preview {
        return preview(context, &place, uuid);
    }
    menu::telling(&place, args.from.as_deref(), pick_or_fail(context, &place, args))
}

fn pick_or_fail(context: &Context, place: &Place, args: &cli::Pick) -> Outcome {
    let from = args.from.as_deref();
    if args.inside {
        let seat = menu::seat(context, place, from)?;
        return match &args.rename {
            Some(target) => ask_new_name(place, &seat, target),
            None => with_fzf(context, place, Some(&seat)),
        };
    }
    let has_terminal = std::io::stdin().is_terminal();
    if from.is_none() && fzf::program().is_some() && has_terminal {
        let seat = Seat::of_pane(context, place)?;
        return with_fzf(context, place, seat.as_ref());
    }
    if from.is_none() && !context.is_inside() {
        return Err(match has_terminal {
            true => {
                "outside tmux the picker needs fzf: install it, or use roster list and \
                     roster go NAME"
            }
            false => "outside tmux the picker needs a terminal: use roster list instead",
        }
        .into());
    }
    let seat = menu::seat(context, place, from)?;
    let by_menu = args.actions.as_ref().or(args.confirm.as_ref()).or(args.rename.as_ref());
    if args.popup && by_menu.is_none() && !args.projects && fzf::program().is_some() {
        // A small client needs all of itself.
        let size = if seat.width < 100 || seat.height < 30 { "100%" } else { "85%" };
        return Err(seat.popup(place, (size, size), &["pick", "--inside"]));
    }
    let view = menu::view_mended(place)?;
    if args.projects {
        let menu = menu::projects(context, Projects::look(place, &view).all());
        return Err(menu.show(place, &seat, view.version, args.page));
    }
    let Some(target) = by_menu else {
        let menu = sessions(context, place, &view, &seat);
        return Err(menu.show(place, &seat, view.version, args.page));
    };
    let Some(row) = view.named(target) else {
        seat.tell(place, "that session no longer exists");
        return Ok(ExitCode::SUCCESS);
    };
    if args.rename.is_some() {
        return Err(rename(place, &seat, &view, row));
    }
    let menu = match &args.confirm {
        Some(_) => menu::confirmation(place, &view, row, seat.height),
        None => menu::actions(row, menu::last_closed(place, row).as_deref()),
    };
    Err(menu.show(place, &seat, view.version, args.page))
}

/// All sessions as a menu.
fn sessions(context: &Context, place: &Place, view: &View, seat: &Seat) -> Menu {
    let recorded = Recorded::read_silently(place);
    let room = seat.width.saturating_sub(10).max(20);
    let listed = listed(context, &recorded, view, Some(seat.session), room);
    let heading = if listed.rows.is_empty() { String::new() } else { listed.heading };
    let mut items = Vec::new();
    for (at, (row, text)) in listed.rows.into_iter().enumerate() {
        let key = if at < 9 { (at + 1).to_string() } else { String::new() };
        let actions = format!("pick --actions {}", by_uuid(&row.session));
        items.push(Item::new(key, text, actions));
    }
    let new =
        if items.is_empty() { "no sessions yet: create one here" } else { "new session here" };
    let mut always = vec![
        Item::new("s", new, "key new".into()),
        Item::new("p", "projects...", "pick --projects".into()),
    ];
    always.extend(menu::restore_all(view.lost()));
    Menu { heading, always, ..Menu::new("sessions", items, "pick") }
}

/// Asks for a new name: in a popup of our own, since the prompt of tmux 3.3a expands `%1` in
/// what was typed once more, unquoted; before 3.2 at that prompt, which escapes what `%%%` puts
/// between double quotes.
fn rename(place: &Place, seat: &Seat, view: &View, row: &Row) -> Failure {
    let target = &by_uuid(&row.session);
    if view.version.has_popups() {
        // tmux refuses a popup that is larger than the client.
        let size = [(60, seat.width), (7, seat.height)].map(|(at_most, has)| at_most.min(has));
        let [width, height] = size.map(|size| size.to_string());
        return seat.popup(place, (&width, &height), &["pick", "--inside", "--rename", target]);
    }
    let then = format!(
        "set-option -g @roster_answer \"%%%\" ; run-shell -b \"#{{@roster_program}} key --answer --from '#{{E:@roster_from}}' rename {target} >/dev/null 2>&1 || :\""
    );
    let mut call = place.tmux.command(&["command-prompt", "-t", &seat.client, "-p", "new name:"]);
    // The text to begin with is a format, and a list of them.
    if validate_name(&row.session.name).is_ok() {
        call.args(["-I", &row.session.name]);
    }
    call.arg(then).exec().into()
}

/// The popup that [`rename`] opens.
fn ask_new_name(place: &Place, seat: &Seat, target: &str) -> Outcome {
    let view = view(place)?;
    let row = view.named(target).ok_or_else(|| not_found(target, &mut std::iter::empty()))?;
    if let Some(said) = rename_row(row, |words| Ok(seat.run(place, words)?))? {
        seat.tell(place, &said.text);
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks for a session's new name on our terminal, and renames it.
fn rename_row(
    row: &Row,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<Option<Said>, Failure> {
    let name = &row.session.name;
    let question = format!("New name for {}:", visible(name));
    let Some(answer) = terminal::ask(&question, name)?.filter(|answer| answer != name) else {
        return Ok(None);
    };
    if let Err(error) = validate_name(&answer) {
        return Ok(Some(Said { well: false, text: visible(&error.to_string()) }));
    }
    run(&["rename", &by_uuid(&row.session), &answer]).map(Some)
}

/// The picker with fzf, on our terminal: what was picked is done, and unless that leads
/// elsewhere it is shown again.
fn with_fzf(context: &Context, place: &Place, seat: Option<&Seat>) -> Outcome {
    let mut picked = Picked::default();
    let mut note = String::new();
    let mut projects = None;
    let fzf = Fzf::find(context, place, seat).ok_or("fzf is gone")?;
    loop {
        let view = menu::view_mended(place)?;
        let projects = projects.get_or_insert_with(|| Projects::look(place, &view));
        picked = match fzf.ask(&view, projects, picked, &note)? {
            Some(picked) => picked,
            None => return Ok(ExitCode::SUCCESS),
        };
        let run = |words: &[&str]| run(context, place, seat, words);
        let chosen = picked.chosen.as_deref();
        let row = view.rows.iter().find(|row| Some(row.session.uuid.as_str()) == chosen);
        let directory = chosen.filter(|chosen| unhidden(chosen).is_some());
        note = match (letter(&picked.key), row) {
            // It is the help.
            ("", _) => {
                terminal::show(&help())?;
                String::new()
            }
            ("s", _) => match new(&picked.query, run)? {
                Some(note) => note,
                None => return Ok(ExitCode::SUCCESS),
            },
            ("g", _) if row.is_some() || directory.is_some() => {
                let target = row.map(|row| by_uuid(&row.session));
                let said = run(&["go", target.as_deref().or(directory).unwrap_or_default()])?;
                if said.well {
                    if let Some(seat) = seat {
                        seat.tell(place, &said.text);
                    }
                    return Ok(ExitCode::SUCCESS);
                }
                said.text
            }
            ("a", _) if view.lost() == 0 => "no session is lost".into(),
            ("a", _) => {
                terminal::working(&format!("restoring {}", count(view.lost(), "lost session")))?;
                run(&["restore", "--all"])?.text
            }
            (key, Some(row)) => act(place, &view, key, row, run)?,
            (_, None) if directory.is_some() => {
                "this directory has no session yet: press enter to create one there".into()
            }
            (_, None) => "no session matches: press ctrl-s to create one with this name".into(),
        };
    }
}

/// Starts a session; returns what went wrong.
fn new(
    name: &str,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<Option<String>, Failure> {
    let said = match validate_name(name) {
        _ if name.is_empty() => run(&["new"])?,
        Ok(()) => run(&["new", name])?,
        Err(error) => return Ok(Some(visible(&error.to_string()))),
    };
    Ok(Some(said.text).filter(|_| !said.well))
}

/// Does what a key means for a session; returns the message about it.
fn act(
    place: &Place,
    view: &View,
    key: &str,
    row: &Row,
    run: impl Fn(&[&str]) -> Result<Said, Failure>,
) -> Result<String, Failure> {
    let target = by_uuid(&row.session);
    let target = target.as_str();
    let said = match (key, row.state) {
        ("t", _) => run(&["mode", "--next", target])?,
        ("r", _) => match rename_row(row, run)? {
            Some(said) => said,
            None => return Ok(String::new()),
        },
        // Of one that is out of reach it only says so.
        ("x", State::Lost | State::Unreachable) => run(&["forget", target])?,
        ("x", _) => {
            let (question, words) = menu::question(row);
            let (columns, rows) = terminal::size();
            let mut text = format!("{}\r\n\r\n", cut(&visible(&question), columns));
            for line in menu::what_ends(place, view, row, rows.saturating_sub(4).max(1)) {
                text.push_str(&format!("  {}\r\n", cut(&line, columns.saturating_sub(2))));
            }
            text.push_str("\r\npress y to confirm, any other key to cancel ");
            if !terminal::confirm(&text)? {
                return Ok(String::new());
            }
            run(&[words, target])?
        }
        ("h", State::Live) => run(&["health", target])?,
        ("w", State::Live) => run(&["reopen", "--window", target])?,
        ("h" | "w", _) => {
            return Ok(format!("{} is not live", visible(&row.session.name)));
        }
        ("o", State::Lost) => run(&["restore", target])?,
        ("o", State::Closed) => run(&["reopen", target])?,
        _ => return Ok(format!("{} is already live", visible(&row.session.name))),
    };
    let name = visible(&row.session.name);
    Ok(if said.text.contains(&name) { said.text } else { format!("{name}: {}", said.text) })
}

/// Runs one of our commands. Outside tmux, what leads to a session takes over the terminal.
fn run(
    context: &Context,
    place: &Place,
    seat: Option<&Seat>,
    words: &[&str],
) -> Result<Said, Failure> {
    match seat {
        Some(seat) => Ok(seat.run(place, words)?),
        None if matches!(words[0], "go" | "new") => {
            debug_assert!(!context.is_inside());
            Err(key::ours(place)?.args(words).exec().into())
        }
        None => {
            let output = key::ours(place)?.args(words).output()?;
            let text = [output.stdout, output.stderr].concat();
            let text = key::few_names(&visible(String::from_utf8_lossy(&text).trim()));
            Ok(Said { well: output.status.success(), text })
        }
    }
}
