//! `bellwether verify`: what every node has on its disk is looked at, and the nodes are compared.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bellwether_http::{Fault, Place, Verified};
use bellwether_types::Position;
use clap::Args;
use comfy_table::{Cell, CellAlignment};

use crate::failure::Failure;
use crate::output::{end_with_the_reader, human_bytes, plain_table};
use crate::sql;

#[derive(Args)]
pub struct Options {
    /// Look at every page, row and index, too: as long as the databases are large
    #[arg(long)]
    full: bool,
    /// Repair what is wrong: from another node, or from the database what the log has lost
    #[arg(long)]
    repair: bool,
    /// With pauses, so that clients hardly notice
    #[arg(long)]
    gently: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    door: sql::Door,
}

/// Exit code 1 when something is wrong and not repaired.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    end_with_the_reader();
    let target = options.door.target("bellwether verify")?;
    let wanted = [
        (options.full, "full"),
        (options.repair, "repair"),
        (options.gently, "gently"),
    ];
    let words: Vec<&str> = wanted
        .iter()
        .filter(|(is_wanted, _)| *is_wanted)
        .map(|(_, word)| *word)
        .collect();
    let sql = format!("CALL bellwether.verify({})", words.join(", "));
    let told = with_progress(|| sql::call(&target, &sql))?;
    let read = |line: &String| serde_json::from_str::<Verified>(line);
    let found: Vec<Verified> = told.iter().map(read).collect::<Result<_, _>>().map_err(|error| {
        Failure::new(format!("{} answers something else", target.address())).because(error)
    })?;
    if options.json {
        let json = serde_json::to_string_pretty(&found).expect("these structures have only text keys");
        println!("{json}");
    } else {
        print(&found, options.repair);
    }
    let is_sound = !found.is_empty() && found.iter().all(|verified| verified.faults.is_empty());
    Ok(if is_sound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A person at the terminal sees that it goes on, and for how long already.
fn with_progress<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (end, ended) = mpsc::channel::<()>();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let tick = Duration::from_secs(1);
            while ended.recv_timeout(tick) == Err(mpsc::RecvTimeoutError::Timeout) {
                // A terminal that is gone is no reason to stop.
                let _ = write!(
                    std::io::stderr(),
                    "\rlooking for {} s ",
                    begun.elapsed().as_secs()
                );
            }
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        });
        let done = work();
        drop(end);
        done
    })
}

fn print(found: &[Verified], is_repair: bool) {
    let mut table = plain_table([
        "node",
        "database",
        "position",
        "fingerprint",
        "log entries",
        "log bytes",
        "pages",
        "tables",
        "rows",
        "verdict",
    ]);
    for verified in found {
        table.add_row(row(verified));
    }
    for number in 4..=8 {
        if let Some(column) = table.column_mut(number) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}", table.trim_fmt());
    for verified in found {
        let who = match &verified.database {
            Some(database) => format!("node {}, database {database}", verified.node),
            None => format!("node {}", verified.node),
        };
        for Fault { what, .. } in &verified.repaired {
            println!("repaired: {who}: {what}");
        }
        for Fault { place, what } in &verified.faults {
            println!("problem: {who}: {what}");
            if let Some(hint) = hint(*place, is_repair) {
                println!("  hint: {hint}");
            }
        }
    }
}

/// What to do about it.
fn hint(place: Place, is_repair: bool) -> Option<&'static str> {
    match (place, is_repair) {
        (Place::Log | Place::Database, false) => Some("\"bellwether verify --repair\" repairs it"),
        (Place::Log | Place::Database, true) => {
            Some("if it comes back the disk is bad: let another node join, and take this one out")
        }
        (Place::Nodes, _) => Some(
            "each has what its own log says: find out which is right before you take the other out with \"bellwether \
             node remove\"",
        ),
        (Place::Unreadable, _) => None,
    }
}

fn row(verified: &Verified) -> Vec<Cell> {
    // Enough of it to see a difference; `--json` has all of it.
    let mut fingerprint = verified.fingerprint.to_string();
    fingerprint.truncate(12);
    let is_compared = verified.position != Position::ZERO;
    let if_some = |number: u64| match number {
        0 => "-".to_owned(),
        number => number.to_string(),
    };
    let verdict = match (verified.faults.as_slice(), verified.repaired.as_slice()) {
        ([], []) => "sound",
        ([], _) => "repaired",
        ([fault, ..], _) => match fault.place {
            Place::Log => "log damaged",
            Place::Database => "database damaged",
            Place::Nodes => "differs",
            Place::Unreadable => "not verified",
        },
    };
    let texts = [
        verified.node.to_string(),
        verified.database.clone().unwrap_or_else(|| "-".to_owned()),
        if is_compared {
            verified.position.to_string()
        } else {
            "-".to_owned()
        },
        if is_compared { fingerprint } else { "-".to_owned() },
        if_some(verified.log_entries),
        human_bytes(verified.log_bytes),
        if_some(verified.pages),
        if_some(verified.tables),
        if_some(verified.rows),
        verdict.to_owned(),
    ];
    texts.into_iter().map(Cell::new).collect()
}
