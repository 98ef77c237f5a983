//! Plain SQLite within this process: what a program gets that needs no replicas.
//!
//! Durable as a cluster's commits are: WAL with `synchronous=FULL`, an fsync for each transaction. One connection,
//! which all clients' threads share by a lock for the length of a transaction, since SQLite writes one at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{CachedStatement, Connection};
use tempfile::TempDir;

use crate::failure::Failure;
use crate::outcome::{Latencies, Outcome};
use crate::pgbench::Load;
use crate::script::{Chance, NotUnderstood, Script, Step, Variables};
use crate::usage::{Reading, Sources, Usage};
use crate::workload::{Part, SETUP, SQLITE_SETUP, Workload};

/// Statements of all workloads together.
const CACHED_STATEMENTS: usize = 32;

/// A database file of this run's own, removed when it is dropped.
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    _dir: TempDir,
}

impl Sqlite {
    /// A fresh database below `parent`.
    pub fn open(parent: &Path) -> Result<Sqlite, Failure> {
        let dir = tempfile::Builder::new()
            .prefix("bellwether-bench-sqlite-")
            .tempdir_in(parent)
            .map_err(|error| Failure::new(format!("{} cannot be used", parent.display())).because(error))?;
        let open = || {
            let connection = Connection::open(dir.path().join("bench.db"))?;
            connection.pragma_update(None, "journal_mode", "WAL")?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
            Ok(connection)
        };
        let connection = open().map_err(|error| refused("opening the database", &error))?;
        Ok(Sqlite {
            connection: Arc::new(Mutex::new(connection)),
            _dir: dir,
        })
    }

    pub(super) fn description(&self) -> String {
        format!("SQLite {}, WAL, synchronous=FULL", rusqlite::version())
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn execute(&self, statements: &[&str]) -> Result<(), Failure> {
        for sql in statements {
            self.connection()
                .execute_batch(sql)
                .map_err(|error| refused(sql, &error))?;
        }
        Ok(())
    }

    /// Our own tables and those that pgbench makes at other peers.
    pub(super) fn make_tables(&self) -> Result<(), Failure> {
        for text in [SETUP, SQLITE_SETUP] {
            let setup = Script::parse(text).map_err(misread)?;
            self.execute(&setup.statements().collect::<Vec<_>>())?;
        }
        Ok(())
    }

    pub(super) fn number(&self, sql: &str) -> Result<i64, Failure> {
        let answer = self.connection().query_row(sql, [], |row| row.get(0));
        answer.map_err(|error| refused(sql, &error))
    }

    pub(super) async fn run(&self, load: &Load) -> Result<Outcome, Failure> {
        let scripts = Scripts::of(load.workload)?;
        let (connection, load) = (Arc::clone(&self.connection), load.clone());
        tokio::task::spawn_blocking(move || run_clients(&connection, &scripts, &load))
            .await
            .map_err(|error| Failure::new("a client of SQLite panicked").because(error))
    }
}

fn refused(sql: &str, error: &rusqlite::Error) -> Failure {
    Failure::new("SQLite refused a statement").because(format!("{error}\n{sql}"))
}

/// A workload's parts, understood.
struct Scripts(Vec<(Part, Script)>);

impl Scripts {
    fn of(workload: Workload) -> Result<Scripts, Failure> {
        let parse = |part: Part| Ok((part, Script::parse(part.script).map_err(misread)?));
        workload
            .parts()
            .into_iter()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Scripts)
    }

    /// One by the parts' weights.
    fn draw(&self, chance: &mut Chance) -> (&Part, &Script) {
        let total: i64 = self.0.iter().map(|(part, _)| i64::from(part.weight)).sum();
        let mut drawn = chance.draw(1, total);
        let chosen = self.0.iter().find(|(part, _)| {
            drawn -= i64::from(part.weight);
            drawn <= 0
        });
        let (part, script) = chosen.expect("what is drawn lies within the sum of the weights");
        (part, script)
    }
}

fn misread(error: NotUnderstood) -> Failure {
    Failure::new("a script is not understood").because(error)
}

/// What one client did.
struct ClientOutcome {
    transactions: u64,
    writes: u64,
    latencies: Latencies,
    lost: Option<String>,
}

fn run_clients(connection: &Mutex<Connection>, scripts: &Scripts, load: &Load) -> Outcome {
    let before = Reading::take(&Sources::default());
    let began = Instant::now();
    let deadline = began + Duration::from_secs(load.seconds.into());
    let clients: Vec<ClientOutcome> = std::thread::scope(|scope| {
        let start = |client| scope.spawn(move || run_client(connection, scripts, load, client, deadline));
        let threads: Vec<_> = (0..load.clients).map(start).collect();
        let join = |thread: std::thread::ScopedJoinHandle<_>| thread.join().expect("a client does not panic");
        threads.into_iter().map(join).collect()
    });
    let elapsed = began.elapsed();
    let after = Reading::take(&Sources::default());
    let mut outcome = Outcome {
        transactions: 0,
        writes: 0,
        uncounted: 0,
        failed: 0,
        clients_lost: 0,
        errors: Vec::new(),
        tps: 0.0,
        latencies: Latencies::new(),
        usage: Usage::default(),
        syscalls: None,
        leader_changed: false,
    };
    for client in clients {
        outcome.transactions += client.transactions;
        outcome.writes += client.writes;
        outcome.latencies.add(&client.latencies);
        outcome.clients_lost += u64::from(client.lost.is_some());
        outcome.errors.extend(client.lost);
    }
    outcome.tps = outcome.transactions as f64 / elapsed.as_secs_f64();
    outcome.usage = after.since_embedded(&before);
    outcome
}

/// As pgbench does, a client that meets an error gives up.
fn run_client(
    connection: &Mutex<Connection>,
    scripts: &Scripts,
    load: &Load,
    client: u32,
    deadline: Instant,
) -> ClientOutcome {
    let mut outcome = ClientOutcome {
        transactions: 0,
        writes: 0,
        latencies: Latencies::new(),
        lost: None,
    };
    let mut variables = load.variables.clone();
    variables.insert("client_id".to_owned(), client.into());
    let mut chance = Chance::new(client.into());
    loop {
        let began = Instant::now();
        if began >= deadline {
            return outcome;
        }
        let (part, script) = scripts.draw(&mut chance);
        if let Err(error) = run_transaction(connection, script, &mut variables, &mut chance) {
            outcome.lost = Some(error);
            return outcome;
        }
        outcome.latencies.record(began.elapsed());
        outcome.transactions += 1;
        outcome.writes += u64::from(part.writes);
    }
}

fn run_transaction(
    connection: &Mutex<Connection>,
    script: &Script,
    variables: &mut Variables,
    chance: &mut Chance,
) -> Result<(), String> {
    let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
    for step in &script.steps {
        match step {
            Step::Set(name, expression) => {
                let value = expression.value(variables, chance);
                let value = value.map_err(|unset| format!("the variable {unset} is not set"))?;
                variables.insert(name.clone(), value);
            }
            Step::Sql(sql) => {
                let mut statement = connection
                    .prepare_cached(sql)
                    .map_err(|error| error.to_string())?;
                run_statement(&mut statement, variables)?;
            }
        }
    }
    Ok(())
}

/// Binds by name, runs, and reads every row.
fn run_statement(statement: &mut CachedStatement<'_>, variables: &Variables) -> Result<(), String> {
    for at in 1..=statement.parameter_count() {
        let name = statement.parameter_name(at).unwrap_or_default();
        let value = variables
            .get(name.trim_start_matches(':'))
            .copied()
            .ok_or_else(|| format!("the parameter {name} is not set"))?;
        statement
            .raw_bind_parameter(at, value)
            .map_err(|error| error.to_string())?;
    }
    let mut rows = statement.raw_query();
    while rows.next().map_err(|error| error.to_string())?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;
    use crate::workload::LAST_EVENT;

    fn prepared() -> (TempDir, Sqlite) {
        let dir = tempfile::tempdir().expect("a directory");
        let sqlite = Sqlite::open(dir.path()).expect("a database");
        sqlite.make_tables().expect("SQLite takes them");
        (dir, sqlite)
    }

    /// Runs the transactions of a workload's scripts some times as one client.
    fn repeat(sqlite: &Sqlite, workload: Workload, times: i64) {
        let scripts = Scripts::of(workload).expect("valid");
        let connection = &sqlite.connection;
        let mut variables = crate::measure::variables(1, 0);
        variables.insert("client_id".to_owned(), 0);
        let mut chance = Chance::new(1);
        for _ in 0..times {
            for (_, script) in &scripts.0 {
                run_transaction(connection, script, &mut variables, &mut chance)
                    .unwrap_or_else(|error| panic!("{}: {error}", workload.name()));
            }
        }
    }

    #[test]
    fn setup_makes_a_hundred_thousand_rows_where_the_scripts_look_for_them() {
        let (_dir, sqlite) = prepared();
        for (table, key, rows) in [
            ("bench_counters", "id", 100_000),
            ("bench_accounts", "aid", 100_000),
            ("pgbench_accounts", "aid", 100_000),
            ("pgbench_tellers", "tid", 10),
            ("pgbench_branches", "bid", 1),
        ] {
            for (aggregate, expected) in [("count", rows), ("min", 1), ("max", rows)] {
                let sql = format!("SELECT {aggregate}({key}) FROM {table}");
                assert_eq!(sqlite.number(&sql).expect("a number"), expected, "{sql}");
            }
        }
    }

    #[test]
    fn every_transaction_is_seen_in_its_workloads_effect_and_sums_stay_equal() {
        let (_dir, sqlite) = prepared();
        for workload in Workload::value_variants() {
            let effect = workload.writes_as().and_then(Workload::effect);
            let count = || effect.map(|sql| sqlite.number(sql).expect("a number"));
            let before = count();
            repeat(&sqlite, *workload, 7);
            assert_eq!(count(), before.map(|count| count + 7), "{}", workload.name());
            let sums = workload
                .equal_sums()
                .iter()
                .map(|sql| sqlite.number(sql).expect("a number"));
            let sums: Vec<i64> = sums.collect();
            assert!(sums.windows(2).all(|pair| pair[0] == pair[1]), "{sums:?}");
        }
        assert!(sqlite.number(LAST_EVENT).expect("a number") > 0);
    }

    #[test]
    fn parts_are_drawn_by_their_weights() {
        let scripts = Scripts::of(Workload::ReadMostly).expect("valid");
        let mut chance = Chance::new(3);
        let writes = (0..10_000).filter(|_| scripts.draw(&mut chance).0.writes).count();
        assert!(
            (400..600).contains(&writes),
            "{writes} of 10,000 where 500 are due"
        );
    }

    #[test]
    fn a_client_that_meets_an_error_gives_up_and_says_why() {
        let (_dir, sqlite) = prepared();
        sqlite.execute(&["DROP TABLE bench_events"]).expect("it is there");
        let load = Load {
            workload: Workload::Insert,
            clients: 2,
            seconds: 1,
            variables: crate::measure::variables(2, 0),
            counted_processes: Vec::new(),
        };
        let scripts = Scripts::of(load.workload).expect("valid");
        let connection = &sqlite.connection;
        let outcome = run_clients(connection, &scripts, &load);
        assert_eq!((outcome.transactions, outcome.clients_lost), (0, 2));
        assert!(outcome.errors[0].contains("bench_events"), "{:?}", outcome.errors);
    }
}
