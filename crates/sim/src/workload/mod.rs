//! What clients do. Each file has one kind of operation: its tables, its SQL, how its answers read.
//!
//! Every write also inserts a *mark*, unique in the run, into the ledger, a table without a declared key: whether a
//! transaction took effect, and how often, is seen there whatever it did besides.

pub mod bank;
pub mod bulk;
pub mod cold;
pub mod interactive;
pub mod list;
pub mod register;
pub mod set;
pub mod shapes;
pub(crate) mod told;

use bellwether_types::{Durability, LogFormat, Statement, Value};

use crate::random::Random;

/// Rows that a statement answered.
pub type Rows = Vec<Vec<Value>>;

/// What a read promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Guarantee {
    /// Linearizable.
    Strong,
    /// Read your writes, monotonic reads.
    Session,
    /// Whatever the replica has.
    Eventual,
}

/// One transaction of a client.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// What it does.
    pub action: Action,
    /// Writes: what it leaves in the ledger. Reads: what they promise.
    pub kind: Kind,
}

/// Write or read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Leaves this mark.
    Write {
        /// Unique in the run.
        mark: i64,
        /// When its client is answered.
        durability: Durability,
    },
    /// Promises this.
    Read(Guarantee),
}

impl Kind {
    /// Whether it may be answered before it is committed, and then be lost.
    pub fn is_early(self) -> bool {
        matches!(self, Kind::Write { durability, .. } if durability.is_early())
    }

    /// Whether its place is after what its session did before.
    pub fn is_ordered(self) -> bool {
        self != Kind::Read(Guarantee::Eventual)
    }
}

/// By workload.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates tables.
    Setup(&'static [&'static str]),
    /// One register per key.
    Register(register::Action),
    /// Lists that grow.
    List(list::Action),
    /// Money that moves.
    Bank(bank::Action),
    /// A set, and its unique index.
    Set(set::Action),
    /// Tables that come and go; full text, cascades, triggers.
    Shapes(shapes::Action),
    /// More than fits one log entry.
    Bulk(bulk::Action),
    /// Several statements between BEGIN and COMMIT.
    Interactive(interactive::Action),
    /// VACUUM; leaves no mark.
    Vacuum,
    /// From here on the log is written so.
    LogFormat(LogFormat),
}

impl Operation {
    /// What is executed, in order, as one transaction.
    pub fn statements(&self) -> Vec<Statement> {
        let mut statements = match &self.action {
            Action::Setup(texts) => texts.iter().map(|text| Statement::new(*text)).collect(),
            Action::Register(action) => action.statements(),
            Action::List(action) => action.statements(),
            Action::Bank(action) => action.statements(),
            Action::Set(action) => action.statements(),
            Action::Shapes(action) => action.statements(),
            Action::Bulk(action) => action.statements(),
            Action::Interactive(action) => {
                return action.steps.iter().map(interactive::Step::statement).collect();
            }
            Action::Vacuum => return vec![Statement::new("VACUUM")],
            Action::LogFormat(format) => {
                vec![Statement::new(format!("PRAGMA bellwether_log_format = {format}"))]
            }
        };
        if let Kind::Write { mark, .. } = self.kind {
            statements.push(sql("INSERT INTO ledger(mark) VALUES ($1)", [mark.into_value()]));
        }
        statements
    }

    /// When its client is to be answered, if it writes.
    pub fn durability(&self) -> Durability {
        match self.kind {
            Kind::Write { durability, .. } => durability,
            Kind::Read(_) => Durability::default(),
        }
    }

    /// What a write leaves in the ledger.
    pub fn mark(&self) -> Option<i64> {
        match self.kind {
            Kind::Write { mark, .. } if self.action != Action::Vacuum => Some(mark),
            Kind::Write { .. } | Kind::Read(_) => None,
        }
    }
}

/// Transactions that create all tables, in order.
pub const SETUP: [&[&str]; 5] = [
    &[
        "CREATE TABLE ledger(mark INTEGER NOT NULL)",
        told::TRIGGER,
        register::TABLE,
        register::HISTORY,
    ],
    &[
        register::INSERTED,
        register::UPDATED,
        list::TABLE,
        set::TABLE,
        set::NAMES,
    ],
    &[bank::ACCOUNTS, bank::TRANSFERS, bank::FUNDS, bulk::TABLE],
    cold::TABLES,
    shapes::TABLES,
];

/// Queries that read everything at a run's end, by name.
pub const AUDITS: [(&str, &str); 6] = [
    (
        "ledger",
        "SELECT mark, count(*) FROM ledger GROUP BY mark ORDER BY mark",
    ),
    (
        "register",
        "SELECT key, value, version FROM register ORDER BY key",
    ),
    (
        "history",
        "SELECT key, version, value FROM register_history ORDER BY key, version",
    ),
    ("list", "SELECT key, elements FROM list ORDER BY key"),
    ("bank", "SELECT id, balance FROM account ORDER BY id"),
    (
        "set",
        "SELECT value, count(*) FROM member GROUP BY value ORDER BY value",
    ),
];

/// So many writes of a thousand are interactive: each holds the writer for some tens of milliseconds.
const INTERACTIVE_PER_MILLE: u64 = 50;

/// Most transactions are as everybody has them.
const DURABILITIES: [(u64, Durability); 5] = [
    (1, Durability::Off),
    (1, Durability::Local),
    (1, Durability::RemoteWrite),
    (6, Durability::On),
    (1, Durability::RemoteApply),
];

/// So many writes of a thousand change the log's format.
const SWITCHES_PER_MILLE: u64 = 15;

/// In a log of statements some of what clients do is refused.
const LOG_FORMATS: [(u64, LogFormat); 3] = [
    (3, LogFormat::Row),
    (4, LogFormat::Mixed),
    (3, LogFormat::Statement),
];

/// Draws operations: what one run's clients do.
pub struct Mix {
    random: Random,
    durabilities: Random,
    formats: Random,
    marks: i64,
    bulk: bool,
    lists: list::Generator,
    /// The register written last: whoever reads it soon sees most.
    recent: i64,
}

impl Mix {
    /// Of one run; `bulk`: with transactions that are larger than a log entry.
    pub fn new(mut random: Random, bulk: bool) -> Mix {
        let durabilities = random.fork();
        Mix {
            formats: durabilities.clone().fork(),
            durabilities,
            random,
            marks: 0,
            bulk,
            lists: list::Generator::default(),
            recent: 0,
        }
    }

    /// A transaction of the setup.
    pub fn setup(&mut self, step: usize) -> Operation {
        Operation {
            action: Action::Setup(SETUP[step]),
            kind: self.write(Durability::On),
        }
    }

    /// The next operation of some client.
    pub fn draw(&mut self) -> Operation {
        let reads = self.random.per_mille(450);
        let kind = match reads {
            true => self.read(),
            false => {
                let durability = self.durabilities.weighted(&DURABILITIES);
                self.write(durability)
            }
        };
        let random = &mut self.random;
        let mark = self.marks;
        let action = match (random.range(0, 100), kind) {
            (_, Kind::Write { .. }) if random.per_mille(2) => Action::Vacuum,
            (_, Kind::Write { .. }) if random.per_mille(INTERACTIVE_PER_MILLE) => {
                Action::Interactive(interactive::Action::draw(&mut self.lists, random, mark))
            }
            (0..40, Kind::Read(_)) => Action::Register(register::Action::read(random, self.recent)),
            (0..40, _) => Action::Register(register::Action::write(random, mark)),
            (40..60, Kind::Read(_)) => Action::List(self.lists.read(random)),
            (40..60, _) => Action::List(self.lists.append(random, mark)),
            (60..78, Kind::Read(_)) => Action::Bank(bank::Action::Balances),
            (60..78, _) => Action::Bank(bank::Action::transfer(random)),
            (78..90, Kind::Read(_)) => Action::Set(set::Action::Count),
            (78..90, _) => Action::Set(set::Action::add(random, mark)),
            (_, Kind::Read(_)) => Action::Shapes(shapes::Action::Look),
            (_, _) if self.bulk && random.per_mille(12) => Action::Bulk(bulk::Action::draw(random, mark)),
            (_, _) => Action::Shapes(shapes::Action::draw(random, mark)),
        };
        if let Action::Register(register::Action::Write { key, .. }) = &action {
            self.recent = *key;
        }
        let is_switch = matches!(kind, Kind::Write { .. }) && self.formats.per_mille(SWITCHES_PER_MILLE);
        match is_switch {
            true => Operation {
                action: Action::LogFormat(self.formats.weighted(&LOG_FORMATS)),
                kind,
            },
            false => Operation { action, kind },
        }
    }

    /// A strong read of what was written last.
    pub fn probe(&mut self) -> Operation {
        Operation {
            action: Action::Register(register::Action::Read { key: self.recent }),
            kind: Kind::Read(Guarantee::Strong),
        }
    }

    fn write(&mut self, durability: Durability) -> Kind {
        self.marks += 1;
        Kind::Write {
            mark: self.marks,
            durability,
        }
    }

    fn read(&mut self) -> Kind {
        let guarantee = [
            (5, Guarantee::Strong),
            (5, Guarantee::Session),
            (2, Guarantee::Eventual),
        ];
        Kind::Read(self.random.weighted(&guarantee))
    }
}

/// A statement with its parameters.
pub(crate) fn sql<const N: usize>(text: &str, parameters: [Value; N]) -> Statement {
    Statement::bound(text, parameters.into())
}

/// Shorter than naming the variant.
pub(crate) trait IntoValue {
    fn into_value(self) -> Value;
}

impl IntoValue for i64 {
    fn into_value(self) -> Value {
        Value::Integer(self)
    }
}

impl IntoValue for String {
    fn into_value(self) -> Value {
        Value::Text(self)
    }
}

/// An integer of a row, if it is one.
pub(crate) fn integer(row: &[Value], column: usize) -> Option<i64> {
    match row.get(column) {
        Some(Value::Integer(value)) => Some(*value),
        _ => None,
    }
}
