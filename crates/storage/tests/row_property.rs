//! Random schemas and random SQL on a leader, whose log is in each format in turn; a follower applies what was captured.
//! After every group: equal sums, sums
//! equal to those computed from scratch, equal content, on both. Now and then they change roles.
//!
//! A failing case prints its seed: `BELLWETHER_SEED=… cargo test -p bellwether-storage --test row_property`.

mod support;

use bellwether_storage::{ClientTransaction, RowSink, SessionState};
use bellwether_types::{Column, LogFormat, RequestId, SessionId, SqlError, Statement, ValueRef};
use support::Pair;
use support::mirror::Mirror;

/// Seeds that run always. More: `BELLWETHER_SEEDS=1000`.
const SEEDS: u64 = 40;
const GROUPS: u64 = 25;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }
}

const TABLES: [&str; 4] = ["a", "b", "\"e e\"", "f"];
const COLUMNS: [&str; 5] = ["k", "v", "w", "x", "y"];

/// A small range, so that statements meet the same rows.
fn value(random: &mut Random) -> String {
    match random.below(14) {
        12 => "random()".to_owned(),
        13 => "strftime('%s %f', 'now') || changes() || ' ' || last_insert_rowid()".to_owned(),
        0 => "NULL".to_owned(),
        1 => format!("{}.0", random.below(4)),
        2 => "-0.0".to_owned(),
        3 => format!("'{}'", random.pick(&["x", "X", "y", "1", "2.0", "1e2", ""])),
        4 => format!("x'{}'", random.pick(&["", "00", "ff00", "78"])),
        5 => format!("zeroblob({})", random.below(50)),
        6 => format!("CAST(x'{}' AS TEXT)", random.pick(&["ff", "7800", "c328"])),
        7 => format!("{}", random.next() as i64),
        8 => format!("printf('%.*c', {}, 'z')", random.below(6000)),
        _ => format!("{}", random.below(8)),
    }
}

fn constant(random: &mut Random) -> String {
    random
        .pick(&["1", "'1'", "2.0", "'x'", "NULL", "x'00'", "-3", "(1 + 1)"])
        .to_owned()
}

fn column_type(random: &mut Random) -> &'static str {
    random.pick(&[
        "",
        "INT",
        "INTEGER",
        "TEXT",
        "REAL",
        "BLOB",
        "NUMERIC",
        "TEXT COLLATE NOCASE",
        "DOUBLE",
        "ANY",
    ])
}

fn create_table(random: &mut Random) -> String {
    let name = random.pick(&TABLES);
    let conflict = random.pick(&["", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE"]);
    let reference = random.pick(&TABLES);
    let action = random.pick(&["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION", "RESTRICT"]);
    let deferred = random.pick(&["", " DEFERRABLE INITIALLY DEFERRED"]);
    let (v, w) = (column_type(random), column_type(random));
    let default = constant(random);
    match random.below(10) {
        0 => format!("CREATE TABLE {name}(k {v}, v {w} DEFAULT {default})"),
        1 => format!("CREATE TABLE {name}(v {v}, k INTEGER PRIMARY KEY, w {w} UNIQUE{conflict})"),
        2 => {
            format!("CREATE TABLE {name}(k INTEGER PRIMARY KEY AUTOINCREMENT, v {v} UNIQUE{conflict}, w {w})")
        }
        3 => format!("CREATE TABLE {name}(k {v}, v {w}, w, PRIMARY KEY(v, k){conflict}) WITHOUT ROWID"),
        4 => {
            format!("CREATE TABLE {name}(k TEXT, v {v}, w INT, PRIMARY KEY(k COLLATE NOCASE)) WITHOUT ROWID")
        }
        5 => {
            format!("CREATE TABLE {name}(k {v} PRIMARY KEY, v {w}, w AS (v || 'g'), x AS (k) STORED, y {w})")
        }
        6 => format!(
            "CREATE TABLE {name}(k INTEGER PRIMARY KEY, v INT DEFAULT 1 REFERENCES {reference} ON DELETE {action} ON UPDATE {action}{deferred}, w {w})"
        ),
        7 => format!(
            "CREATE TABLE {name} AS SELECT {} AS k, {} AS v UNION ALL SELECT 1, 2",
            value(random),
            value(random)
        ),
        8 => format!("CREATE TABLE {name}(k REAL PRIMARY KEY, v REAL, w TEXT) STRICT"),
        _ => format!("CREATE VIRTUAL TABLE {name} USING fts5(k, v)"),
    }
}

fn schema_statement(random: &mut Random) -> String {
    let (table, other) = (random.pick(&TABLES), random.pick(&TABLES));
    let (column, another) = (random.pick(&COLUMNS), random.pick(&COLUMNS));
    match random.below(18) {
        0..=6 => create_table(random),
        7 => format!("DROP TABLE IF EXISTS {table}"),
        8 => format!("ALTER TABLE {table} RENAME TO {other}"),
        9 => format!("ALTER TABLE {table} RENAME COLUMN {column} TO {another}"),
        10 | 11 => {
            let (kind, default) = (column_type(random), constant(random));
            let null = random.pick(&["", " NOT NULL"]);
            format!("ALTER TABLE {table} ADD COLUMN {column} {kind}{null} DEFAULT {default}")
        }
        12 => format!("ALTER TABLE {table} DROP COLUMN {column}"),
        13 => format!(
            "CREATE INDEX IF NOT EXISTS i{} ON {table}({column})",
            random.below(3)
        ),
        14 => format!("DROP INDEX IF EXISTS i{}", random.below(3)),
        15 => format!(
            "CREATE TRIGGER g{} AFTER {} ON {table} BEGIN {}; END",
            random.below(4),
            random.pick(&["INSERT", "UPDATE", "DELETE"]),
            row_statement(random, false)
        ),
        16 => format!("DROP TRIGGER IF EXISTS g{}", random.below(4)),
        _ => random
            .pick(&[
                "ANALYZE",
                "REINDEX",
                "PRAGMA user_version = 7",
                "PRAGMA defer_foreign_keys = 1",
            ])
            .to_owned(),
    }
}

fn row_statement(random: &mut Random, is_top: bool) -> String {
    let (table, other) = (random.pick(&TABLES), random.pick(&TABLES));
    let (column, another) = (random.pick(&COLUMNS), random.pick(&COLUMNS));
    let conflict = random.pick(&["", "", "", " OR REPLACE", " OR IGNORE", " OR FAIL"]);
    let (first, second) = (value(random), value(random));
    match random.below(if is_top { 20 } else { 10 }) {
        0..=4 => format!("INSERT{conflict} INTO {table}(k, v) VALUES ({first}, {second})"),
        5 => format!("UPDATE{conflict} {table} SET {column} = {first} WHERE {another} = {second}"),
        6 => format!("UPDATE{conflict} {table} SET {column} = {another}"),
        7 => format!("DELETE FROM {table} WHERE {column} = {first}"),
        8 => format!("DELETE FROM {table} WHERE {column} < {}", random.below(4)),
        9 => format!("INSERT{conflict} INTO {table} SELECT * FROM {other}"),
        10 => format!("UPDATE{conflict} {table} SET rowid = rowid + {}", random.below(3)),
        11 => format!(
            "INSERT INTO {table}(k, v) VALUES ({first}, {second}) ON CONFLICT DO UPDATE SET {column} = {second}"
        ),
        12 => format!(
            "INSERT INTO {table}({table}) VALUES ('{}')",
            random.pick(&["optimize", "rebuild"])
        ),
        13 => format!(
            "INSERT INTO {table}({table}, rank) VALUES ('{}', {})",
            random.pick(&["pgsz", "automerge", "crisismerge", "merge"]),
            2 + random.below(60)
        ),
        14 => format!("DELETE FROM {table}"),
        15 => {
            format!("INSERT{conflict} INTO {table}(k, v) SELECT value, {first} FROM json_each('[1,2,3,4,5]')")
        }
        16 => format!("UPDATE sqlite_sequence SET seq = {}", random.below(20)),
        17 => format!("INSERT INTO {table}(v) VALUES ({first}) RETURNING k"),
        18 => format!("UPDATE {table} SET k = k + 1, v = v || 'u'"),
        _ => format!("INSERT OR ROLLBACK INTO {table}(k, v) VALUES ({first}, {second})"),
    }
}

fn statement(random: &mut Random) -> Statement {
    Statement::new(if random.one_in(6) {
        schema_statement(random)
    } else {
        row_statement(random, true)
    })
}

/// Nothing is asked of rows.
struct Ignored;

impl RowSink for Ignored {
    fn columns(&mut self, _columns: &[Column]) -> Result<(), SqlError> {
        Ok(())
    }

    fn row(&mut self, _values: &[ValueRef<'_>]) -> Result<(), SqlError> {
        Ok(())
    }
}

/// A transaction with savepoints; answers whether its group is still there.
fn interactive(pair: &mut Pair, random: &mut Random, request: RequestId, trace: &mut Trace) -> bool {
    let writer = &mut pair.leader;
    let session = SessionState {
        foreign_keys: !random.one_in(4),
        recursive_triggers: random.one_in(4),
        ..SessionState::default()
    };
    writer.begin(request, session).expect("a transaction");
    let mut is_failed = false;
    for _ in 0..random.below(12) {
        let name = random.pick(&["s", "t"]);
        match random.below(8) {
            0 if !is_failed => writer.savepoint(name).expect("a savepoint"),
            1 => {
                let result = writer.rollback_to(name);
                is_failed &= result.is_err();
                trace.push(format!("rollback to {name}; -- {:?}", result.err()));
            }
            2 if !is_failed => drop(writer.release(name)),
            _ if !is_failed => {
                let statement = statement(random);
                let result = writer.execute(&statement, &mut Ignored);
                is_failed = result.is_err();
                trace.note(&statement.sql, &result.map(drop));
                if writer.is_group_lost() {
                    writer.abandon();
                    return false;
                }
            }
            _ => {}
        }
    }
    if random.one_in(5) {
        trace.push("abandon".to_owned());
        writer.abandon();
    } else {
        trace.push(format!("finish {:?}", writer.finish().err()));
    }
    !writer.is_group_lost()
}

/// Answers how many statements succeeded and failed, how many stand in the log as they were, how many might have but for
/// the reasons that they are unsafe for, and how many changes a reader of the log from outside followed.
fn run_seed(seed: u64) -> [u64; 5] {
    let mut random = Random(seed);
    let mut pair = Pair::new();
    let mut trace = Trace {
        seed,
        lines: Vec::new(),
        statements: [0; 2],
    };
    let format = pair.write_log(LogFormat::ALL[seed as usize % LogFormat::ALL.len()]);
    trace.push(format);
    for _ in 0..10 {
        let list = [Statement::new(create_table(&mut random))];
        trace.push(list[0].sql.clone());
        let _ = pair.try_run(&list);
    }
    let mut sequence = 0;
    let mut mirror: Option<Mirror> = None;
    let mut followed = 0;
    for _ in 0..GROUPS {
        trace.push("-- group".to_owned());
        if random.one_in(5) {
            let change = if mirror.is_some() { "drop" } else { "create" };
            let sql = format!("PRAGMA bellwether_slot = '{change} mirror'");
            pair.run(&[&sql]);
            trace.push(sql);
            followed += mirror.take().map_or(0, |mirror| mirror.followed);
            mirror = (change == "create").then(|| Mirror::begin(&pair));
        }
        if random.one_in(10) {
            let format = LogFormat::ALL[random.below(3) as usize];
            trace.push(pair.write_log(format));
        }
        if random.one_in(2) {
            let transactions: Vec<ClientTransaction> = (0..1 + random.below(4))
                .map(|_| {
                    sequence += 1;
                    ClientTransaction {
                        durability: Default::default(),
                        seen: Vec::new(),
                        request: RequestId {
                            session: SessionId(5),
                            sequence,
                        },
                        statements: (0..1 + random.below(3)).map(|_| statement(&mut random)).collect(),
                        session: SessionState::default(),
                        facts: Default::default(),
                    }
                })
                .collect();
            for transaction in &transactions {
                let sql: Vec<&str> = transaction
                    .statements
                    .iter()
                    .map(|statement| statement.sql.as_str())
                    .collect();
                trace.push(format!("-- one transaction: {}", sql.join("; ")));
            }
            pair.run_group(&transactions);
        } else {
            let start = pair.start();
            pair.leader.begin_group(start).expect("a group");
            let mut is_there = true;
            for _ in 0..1 + random.below(3) {
                sequence += 1;
                let request = RequestId {
                    session: SessionId(5),
                    sequence,
                };
                is_there = is_there && interactive(&mut pair, &mut random, request, &mut trace);
            }
            if is_there && !random.one_in(8) {
                pair.replicate();
            } else {
                trace.push("rollback".to_owned());
                pair.leader.rollback().expect("rolled back");
                pair.check();
            }
        }
        if let Some(mirror) = &mut mirror {
            mirror.follow(&pair);
        }
        if random.one_in(8) {
            trace.push("-- swap".to_owned());
            pair.swap();
        }
    }
    let counts = [&pair.leader, &pair.follower].map(|writer| writer.safety_counts());
    let safe = counts.iter().map(|counts| counts.safe).sum();
    let unsafe_ones = counts.iter().flat_map(|counts| counts.by_reason.values());
    let unsafe_ones = unsafe_ones.map(|(refused, as_rows)| refused + as_rows).sum();
    let [well, ill] = trace.statements;
    followed += mirror.map_or(0, |mirror| mirror.followed);
    [well, ill, safe, unsafe_ones, followed]
}

/// What was run; told with the seed when the test panics.
struct Trace {
    seed: u64,
    lines: Vec<String>,
    statements: [u64; 2],
}

impl Trace {
    fn push(&mut self, line: String) {
        self.lines.push(line);
    }

    fn note(&mut self, sql: &str, result: &Result<(), SqlError>) {
        self.statements[usize::from(result.is_err())] += 1;
        self.push(format!("{sql}; -- {:?}", result.as_ref().err()));
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let last = self.lines.len().saturating_sub(80);
            eprintln!("BELLWETHER_SEED={}\n{}", self.seed, self.lines[last..].join("\n"));
        }
    }
}

#[test]
fn a_follower_equals_its_leader_whatever_sql_was_run() {
    if let Ok(seed) = std::env::var("BELLWETHER_SEED") {
        run_seed(seed.parse().expect("a number"));
        return;
    }
    let seeds = std::env::var("BELLWETHER_SEEDS").map_or(SEEDS, |count| count.parse().expect("a number"));
    let (mut succeeded, mut failed, mut as_statements, mut unsafe_ones) = (0, 0, 0, 0);
    let mut followed = 0;
    for seed in 0..seeds {
        let [well, ill, safe, unsafe_here, followed_here] = run_seed(seed);
        succeeded += well;
        failed += ill;
        as_statements += safe;
        unsafe_ones += unsafe_here;
        followed += followed_here;
    }
    assert!(
        succeeded > failed / 2,
        "{succeeded} statements succeeded, {failed} failed: the test tests little"
    );
    assert!(
        as_statements > seeds && unsafe_ones > seeds,
        "{as_statements} stand in the log, {unsafe_ones} are unsafe: the test tests little"
    );
    assert!(
        followed > seeds,
        "a reader of the log followed {followed} changes: the test tests little"
    );
    println!(
        "{succeeded} statements succeeded, {failed} failed; {as_statements} stand in the log, {unsafe_ones} are unsafe; \
         a reader of the log followed {followed} changes"
    );
}
