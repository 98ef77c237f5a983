//! The log's formats side by side: the same work in each, on one cluster, in turns.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::Table;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_postgres::types::ToSql;

use crate::cluster::{self, Cluster};
use crate::failure::Failure;
use crate::machine::{self, Machine};
use crate::patience::Patience;
use crate::peer::served::Started;
use crate::pg::{Address, Session};
use crate::statistics::Spread;
use crate::tables::{self, Style, number};
use crate::usage::{Reading, Source, Sources};

/// In the order of their turns; the others are compared with the first.
const FORMATS: [&str; 3] = ["row", "mixed", "statement"];

/// Rows of the tables that are changed as a whole.
const MANY_ROWS: u64 = 100_000;

/// How long nobody may lead after the start.
const PATIENCE: Duration = Duration::from_secs(30);

/// Compare the formats of the replication log: bytes, rates, CPU time, how far followers are behind
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How often the formats take turns
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The program to start the nodes with [default: bellwether, beside this one]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where data directories are made and removed; the disk that is measured [default: the system's for temporary files]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write the results as JSON to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

/// What one transaction is.
#[derive(Clone, Copy)]
enum Work {
    /// A statement that is prepared once, with the parameters of the n-th run.
    Prepared(fn() -> String, fn(u64) -> Parameters),
    /// The text of the n-th.
    Text(fn(u64) -> String),
}

struct Workload {
    name: &'static str,
    setup: fn() -> Vec<String>,
    clients: u64,
    /// Of all clients together, in one turn.
    transactions: u64,
    work: Work,
}

const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "upsert of one row",
        setup: || vec!["CREATE TABLE formats_upsert (k INTEGER PRIMARY KEY, v INTEGER)".to_owned()],
        clients: 8,
        transactions: 16_000,
        work: Work::Prepared(
            || {
                "INSERT INTO formats_upsert VALUES ($1, $2) ON CONFLICT (k) DO UPDATE SET v = v + excluded.v"
                    .to_owned()
            },
            |n| vec![Box::new((n * 7_919 % 10_000) as i64), Box::new(n as i64)],
        ),
    },
    Workload {
        name: "insert of a row with 20 texts of 50 bytes",
        setup: || {
            let columns: Vec<String> = (0..20).map(|n| format!("c{n} TEXT")).collect();
            let columns = columns.join(", ");
            vec![format!(
                "CREATE TABLE formats_wide (k INTEGER PRIMARY KEY, {columns})"
            )]
        },
        clients: 8,
        transactions: 4_000,
        work: Work::Prepared(
            || {
                let values: Vec<String> = (1..=20).map(|n| format!("${n}")).collect();
                format!("INSERT INTO formats_wide VALUES (NULL, {})", values.join(", "))
            },
            |n| {
                let value = |column| format!("{:050}", n * 31 + column);
                (0..20)
                    .map(|column| Box::new(value(column)) as Box<dyn ToSql + Sync + Send>)
                    .collect()
            },
        ),
    },
    Workload {
        name: "insert of a blob of 100 kB",
        setup: || vec!["CREATE TABLE formats_blob (k INTEGER PRIMARY KEY, v BLOB)".to_owned()],
        clients: 4,
        transactions: 400,
        work: Work::Prepared(
            || "INSERT INTO formats_blob VALUES (NULL, $1)".to_owned(),
            |n| vec![Box::new(noise(n, 100_000))],
        ),
    },
    Workload {
        name: "UPDATE of 100,000 rows",
        setup: || many_rows("formats_bulk"),
        clients: 1,
        transactions: 8,
        work: Work::Text(|_| "UPDATE formats_bulk SET v = v + 1".to_owned()),
    },
    Workload {
        name: "CREATE TABLE, DROP TABLE",
        setup: Vec::new,
        clients: 1,
        transactions: 200,
        work: Work::Text(|n| match n % 2 {
            0 => "CREATE TABLE formats_passing (k INTEGER PRIMARY KEY, v TEXT NOT NULL UNIQUE)".to_owned(),
            _ => "DROP TABLE formats_passing".to_owned(),
        }),
    },
    Workload {
        name: "CREATE INDEX on 100,000 rows, DROP INDEX",
        setup: || many_rows("formats_indexed"),
        clients: 1,
        transactions: 16,
        work: Work::Text(|n| match n % 2 {
            0 => "CREATE INDEX formats_index ON formats_indexed (v)".to_owned(),
            _ => "DROP INDEX formats_index".to_owned(),
        }),
    },
];

fn many_rows(table: &str) -> Vec<String> {
    vec![
        format!("CREATE TABLE {table} (k INTEGER PRIMARY KEY, v INTEGER, note TEXT)"),
        format!(
            "WITH RECURSIVE n(k) AS (VALUES (1) UNION ALL SELECT k + 1 FROM n WHERE k < {MANY_ROWS}) \
             INSERT INTO {table} SELECT k, k * 7919 % {MANY_ROWS}, 'row ' || k FROM n"
        ),
    ]
}

/// Bytes that nothing packs.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..bytes.div_ceil(8)).flat_map(|_| next()).take(bytes).collect()
}

/// One turn.
#[derive(Debug, Clone, Copy, Serialize)]
struct Turn {
    seconds: f64,
    log_bytes: f64,
    leader_cpu_us: Option<u64>,
    followers_cpu_us: Option<u64>,
    /// From the last answer until every follower had it.
    behind_ms: f64,
}

/// All turns of a workload in a format.
#[derive(Debug, Serialize)]
struct Line {
    workload: &'static str,
    format: &'static str,
    transactions: u64,
    turns: Vec<Turn>,
}

#[derive(Serialize)]
struct Results<'a> {
    date: String,
    machine: &'a Machine,
    lines: &'a [Line],
}

struct Bench {
    cluster: Cluster,
    addresses: Vec<Address>,
    leader: usize,
}

/// Measures, prints, writes.
pub async fn run(options: &Options) -> Result<(), Failure> {
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let machine = Machine::describe(&dir)
        .map_err(|error| Failure::new(format!("{} cannot be used", dir.display())).because(error))?;
    println!("{}", machine.line());
    let program = options.binary.clone().map_or_else(cluster::default_program, Ok)?;
    let bench = Bench::start(Cluster::start(&program, 3, &dir)?).await?;
    let mut lines = Vec::new();
    for workload in &WORKLOADS {
        let mut found: Vec<Line> = FORMATS.map(|format| workload.line(format)).into();
        let leader = bench.session(bench.leader).await?;
        leader.execute(&set_format("row")).await?;
        for sql in (workload.setup)() {
            leader.execute(&sql).await?;
        }
        for round in 0..=options.rounds {
            for line in &mut found {
                eprintln!(
                    "{}, {}, round {round} of {}",
                    line.workload, line.format, options.rounds
                );
                let turn = bench.turn(workload, line.format).await?;
                // The first only warms up.
                line.turns.extend((round > 0).then_some(turn));
            }
        }
        lines.append(&mut found);
    }
    println!("\n{}", table(&lines));
    if let Some(path) = &options.json {
        let results = Results {
            date: machine::today(),
            machine: &machine,
            lines: &lines,
        };
        let json =
            serde_json::to_string_pretty(&results).map_err(|error| Failure::new("no JSON").because(error))?;
        std::fs::write(path, json)
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))?;
    }
    Ok(())
}

fn set_format(format: &str) -> String {
    format!("ALTER DATABASE postgres SET bellwether.log_format = '{format}'")
}

impl Workload {
    fn line(&self, format: &'static str) -> Line {
        Line {
            workload: self.name,
            format,
            transactions: self.transactions,
            turns: Vec::new(),
        }
    }
}

impl Bench {
    async fn start(cluster: Cluster) -> Result<Bench, Failure> {
        let address = |address: std::net::SocketAddr| Address {
            host: address.ip().to_string(),
            port: address.port(),
        };
        let mut bench = Bench {
            addresses: cluster.pg().into_iter().map(address).collect(),
            cluster,
            leader: 0,
        };
        let patience = Patience::of(PATIENCE);
        loop {
            let mut ready = 0;
            let mut leader = None;
            for (at, address) in bench.addresses.iter().enumerate() {
                if let Ok(session) = Session::connect(address).await {
                    ready += 1;
                    leader = leader.or(session.leads.then_some(at));
                }
            }
            if let Some(leader) = leader.filter(|_| ready == bench.addresses.len()) {
                bench.leader = leader;
                return Ok(bench);
            }
            if !patience.lasts().await {
                let said = bench.cluster.last_words();
                return Err(
                    Failure::new(format!("no node leads for {} s", patience.seconds())).because(said),
                );
            }
        }
    }

    async fn session(&self, node: usize) -> Result<Session, Failure> {
        Session::connect(&self.addresses[node]).await
    }

    fn reading(&self) -> Reading {
        let nodes = self.cluster.processes().into_iter().zip(self.cluster.http());
        Reading::take(&Sources {
            nodes: nodes
                .map(|(process, http)| Source {
                    process,
                    http: Some(http),
                })
                .collect(),
            roots: self.cluster.roots(),
        })
    }

    async fn turn(&self, workload: &Workload, format: &str) -> Result<Turn, Failure> {
        let leader = self.session(self.leader).await?;
        leader.execute(&set_format(format)).await?;
        self.caught_up().await?;
        let mut clients = Vec::new();
        for _ in 0..workload.clients {
            clients.push(self.session(self.leader).await?);
        }
        let before = self.reading();
        let start = Instant::now();
        let mut running = JoinSet::new();
        for (client, session) in clients.into_iter().enumerate() {
            let (work, of, all) = (workload.work, workload.clients, workload.transactions);
            let numbers = (client as u64..all).step_by(of as usize);
            running.spawn(async move { work.run(&session, numbers).await });
        }
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| Failure::new("a client ended early").because(error))??;
        }
        let done = Instant::now();
        self.caught_up().await?;
        let behind = done.elapsed();
        let usage = self.reading().since(&before, self.leader);
        Ok(Turn {
            seconds: (done - start).as_secs_f64(),
            log_bytes: usage.leader.map_or(0.0, |leader| leader.log_bytes),
            leader_cpu_us: usage.leader_cpu_us,
            followers_cpu_us: usage.followers_cpu_us,
            behind_ms: behind.as_secs_f64() * 1_000.0,
        })
    }

    /// Every follower has applied what is committed now.
    async fn caught_up(&self) -> Result<(), Failure> {
        for node in 0..self.addresses.len() {
            let session = self.session(node).await?;
            session
                .execute("SET bellwether.read_consistency = 'strong'")
                .await?;
            session.number("SELECT 1").await?;
        }
        Ok(())
    }
}

impl Work {
    async fn run(self, session: &Session, numbers: impl Iterator<Item = u64>) -> Result<(), Failure> {
        match self {
            Work::Text(text) => {
                for number in numbers {
                    session.execute(&text(number)).await?;
                }
            }
            Work::Prepared(sql, parameters) => {
                let statement = session.prepare(&sql()).await?;
                for number in numbers {
                    session.run(&statement, &parameters(number)).await?;
                }
            }
        }
        Ok(())
    }
}

impl Line {
    fn median(&self, of: impl Fn(&Turn) -> Option<f64>) -> Option<f64> {
        Spread::of(self.turns.iter().filter_map(of)).map(|spread| spread.median)
    }

    fn rate(&self) -> Option<f64> {
        self.median(|turn| Some(self.transactions as f64 / turn.seconds))
    }

    fn per_transaction(&self, of: impl Fn(&Turn) -> Option<f64>) -> Option<f64> {
        Some(self.median(of)? / self.transactions as f64)
    }
}

fn table(lines: &[Line]) -> Table {
    let header = [
        "workload",
        "format",
        "per second",
        "× row",
        "log bytes each",
        "leader µs each",
        "followers µs each",
        "behind ms",
    ];
    let mut table = tables::table(Style::Markdown, &header, 2);
    for line in lines {
        let row = lines.iter().find(|row| row.workload == line.workload);
        let ratio = row.and_then(|row| Some(line.rate()? / row.rate()?));
        table.add_row([
            line.workload.to_owned(),
            line.format.to_owned(),
            number(line.rate(), if line.rate() < Some(100.0) { 1 } else { 0 }),
            number(ratio, 2),
            number(line.per_transaction(|turn| Some(turn.log_bytes)), 0),
            number(line.per_transaction(|turn| Some(turn.leader_cpu_us? as f64)), 0),
            number(
                line.per_transaction(|turn| Some(turn.followers_cpu_us? as f64)),
                0,
            ),
            number(line.median(|turn| Some(turn.behind_ms)), 1),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_compared_with_rows() {
        let turn = |seconds| Turn {
            seconds,
            log_bytes: 500.0,
            leader_cpu_us: Some(1_000),
            followers_cpu_us: None,
            behind_ms: 1.0,
        };
        let mut lines: Vec<Line> = FORMATS.map(|format| WORKLOADS[3].line(format)).into();
        lines[0].turns = vec![turn(2.0), turn(4.0), turn(3.0)];
        lines[2].turns = vec![turn(1.0)];
        let table = table(&lines).to_string();
        assert!(
            table
                .lines()
                .next()
                .is_some_and(|header| header.contains("× row"))
        );
        let cells = |format: &str| -> Vec<String> {
            let line = table
                .lines()
                .skip(1)
                .find(|line| line.contains(&format!(" {format} ")))
                .expect("a line");
            line.split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        assert_eq!(cells("row")[3..=7], ["2.7", "1.00", "62", "125", "-"]);
        assert_eq!(cells("statement")[3..=4], ["8.0", "3.00"]);
        assert_eq!(cells("mixed")[3], "-", "{table}");
    }

    #[test]
    fn noise_is_its_seeds_and_as_long_as_asked() {
        assert_eq!(noise(1, 13).len(), 13);
        assert_eq!(noise(1, 13), noise(1, 13));
        assert_ne!(noise(1, 13), noise(2, 13));
    }
}
