//! A replica through several crashes: leading, applying what its log holds, checkpointing beside it, cut back after
//! each. In the end it must be the one that a replica without crashes becomes from the same log.

use bellwether_types::{Entry, Fingerprint, NodeId, Position, RequestId, SessionId, Statement, Timestamp};

use crate::checkpoint::Checkpointer;
use crate::files::Files;
use crate::group::{GroupStart, Sealed};
use crate::recovery::repair_ahead;
use crate::run::{ClientTransaction, run_group};
use crate::scrub::{Depth, Progress, Scrub};
use crate::session::SessionState;
use crate::testing::{ForgetfulDisk, Registered};
use crate::writer::Writer;

/// What the log of one node knows. All of it is committed; the disk may still lose what is not durable.
#[derive(Default)]
struct Log {
    entries: Vec<Entry>,
    durable: usize,
}

impl Log {
    fn knows(&self, position: Position) -> bool {
        let found = (position.index.0 as usize)
            .checked_sub(1)
            .and_then(|place| self.entries.get(place));
        found.is_some_and(|entry| entry.position == position)
    }

    fn durable_position(&self) -> Position {
        self.durable
            .checked_sub(1)
            .map_or(Position::ZERO, |place| self.entries[place].position)
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

fn statements(dice: &mut Dice, place: u64) -> Vec<Statement> {
    let key = dice.roll(40);
    let size = dice.roll(5000);
    let text = match (place, dice.roll(8)) {
        (1, _) => "CREATE TABLE t(k INTEGER PRIMARY KEY, v BLOB, n UNIQUE)".to_owned(),
        (2, _) => "CREATE TABLE c(id INTEGER PRIMARY KEY AUTOINCREMENT, x)".to_owned(),
        (_, 0) => format!("CREATE TABLE t{place}(x); INSERT INTO t{place} VALUES ({key})"),
        (_, 1) => format!("DELETE FROM t WHERE k >= {key}"),
        (_, 2) => format!("INSERT INTO c(x) VALUES ({key}), ({size}); DELETE FROM c WHERE x = {key}"),
        (_, 3) => format!("UPDATE t SET v = zeroblob({size}) WHERE k % 3 = {}", key % 3),
        _ => format!("INSERT OR REPLACE INTO t VALUES ({key}, zeroblob({size}), {place})"),
    };
    text.split("; ").map(Statement::new).collect()
}

/// Leads for one group. `None` when the disk died; what was proposed is in the log then.
fn lead(writer: &mut Writer, log: &mut Log, term: u64, dice: &mut Dice) -> Option<()> {
    let index = log.entries.len() as u64 + 1;
    let transaction = ClientTransaction {
        durability: Default::default(),
        seen: Vec::new(),
        request: RequestId {
            session: SessionId(1),
            sequence: index,
        },
        statements: statements(dice, index),
        session: SessionState::default(),
        facts: Default::default(),
    };
    let start = GroupStart {
        origin: NodeId(1),
        timestamp: Timestamp(index << 16),
    };
    run_group(writer, start, &[transaction]).ok()?;
    let mut position = Position::new(term, index);
    if writer.seal(position).ok()? == Sealed::Empty {
        return Some(());
    }
    while let Some(payload) = writer.next_payload().ok()? {
        log.entries.push(Entry { position, payload });
        position.index = position.index.next();
    }
    writer.commit().ok()
}

/// Works until the disk dies.
fn live(files: &Files, log: &mut Log, term: u64, dice: &mut Dice) -> Option<()> {
    let mut writer = Writer::open(files).ok()?;
    for entry in &log.entries {
        writer
            .apply(entry)
            .map_err(|error| assert!(error.to_string().contains("SQLite"), "{error}"))
            .ok()?;
    }
    log.durable = log.entries.len();
    let mut checkpointer = Checkpointer::open(files).ok()?;
    loop {
        lead(&mut writer, log, term, dice)?;
        log.durable = log
            .durable
            .max(log.entries.len().saturating_sub(dice.roll(4) as usize));
        let upto = log.durable_position();
        match dice.roll(6) {
            0 | 1 => drop(checkpointer.checkpoint(upto).ok()?),
            2 => drop(checkpointer.restart(upto).ok()?),
            _ => {}
        }
    }
}

/// What a replica without crashes becomes.
fn reference(log: &Log) -> Fingerprint {
    let vfs = Registered::new(ForgetfulDisk::new(0), 0);
    let mut writer = Writer::open(&vfs.files()).expect("a new replica");
    for entry in &log.entries {
        writer
            .apply(entry)
            .unwrap_or_else(|error| panic!("{}: {error}", entry.position));
    }
    writer.fingerprint()
}

#[test]
fn a_replica_that_crashes_again_and_again_is_equal_to_one_that_never_does() {
    let mut records = 0;
    for seed in 0..60 {
        let disk = ForgetfulDisk::new(seed);
        let mut dice = Dice(seed * 2 + 1);
        let mut log = Log::default();
        for life in 0..5 {
            let vfs = Registered::new(disk.clone(), seed);
            let files = vfs.files();
            let recovery = repair_ahead(&files, |position| log.knows(position));
            let recovery = recovery.unwrap_or_else(|error| panic!("seed {seed} life {life}: {error}"));
            assert!(recovery.position <= log.entries.last().map_or(Position::ZERO, |last| last.position));
            disk.die_after(20 + dice.roll(300));
            assert!(
                live(&files, &mut log, life + 1, &mut dice).is_none(),
                "it ends by dying"
            );
            drop(vfs);
            disk.crash();
            // The log loses what was not durable, and a new leader's records take its places.
            let kept = log.durable + dice.roll((log.entries.len() - log.durable) as u64 + 1) as usize;
            log.entries.truncate(kept);
            log.durable = kept;
        }
        let vfs = Registered::new(disk.clone(), seed);
        let files = vfs.files();
        repair_ahead(&files, |position| log.knows(position)).expect("a repair");
        let mut writer = Writer::open(&files).expect("the replica");
        for entry in &log.entries {
            writer
                .apply(entry)
                .unwrap_or_else(|error| panic!("seed {seed}: {}: {error}", entry.position));
        }
        assert_eq!(writer.fingerprint(), reference(&log), "seed {seed}");
        let mut scrub = Scrub::start(&files, Depth::RowsAndIndexes).expect("a scrub");
        let found = scrub.step(u64::MAX).expect("a scrub");
        assert!(
            matches!(found, Progress::Finished { .. }),
            "seed {seed}: {found:?}"
        );
        records += log.entries.len();
    }
    assert!(records > 1000, "too little was done: {records} records");
}
