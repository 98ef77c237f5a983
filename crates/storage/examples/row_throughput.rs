//! Client transactions per second through a leader's groups, and records per second through a follower.
//!
//! `cargo run --release -p bellwether-storage --example row_throughput [transactions per group]`. No log and no
//! network: execution, capture, COMMIT, apply.

use std::time::{Duration, Instant};

use bellwether_storage::{
    ClientTransaction, Files, GroupStart, Sealed, SessionState, Vfs, Writer, run_group,
};
use bellwether_types::{Entry, NodeId, Position, RequestId, SessionId, Statement, Timestamp, Value};

/// A group that is proposed and committed.
struct Bench {
    leader: Writer,
    follower: Writer,
    position: Position,
    leading: Duration,
    applying: Duration,
}

impl Bench {
    fn run(&mut self, transactions: &[ClientTransaction]) {
        let start = GroupStart {
            origin: NodeId(1),
            timestamp: Timestamp(self.position.index.0 + 1),
        };
        let began = Instant::now();
        for answer in run_group(&mut self.leader, start, transactions).expect("the group runs") {
            answer.expect("the transaction succeeds");
        }
        let mut next = self.position;
        next.index = next.index.next();
        assert!(self.leader.seal(next).expect("it seals") != Sealed::Empty);
        let mut entries = Vec::new();
        while let Some(payload) = self.leader.next_payload().expect("readable") {
            entries.push(Entry {
                position: next,
                payload,
            });
            self.position = next;
            next.index = next.index.next();
        }
        self.leader.commit().expect("committed");
        self.leading += began.elapsed();
        let began = Instant::now();
        for entry in &entries {
            self.follower.apply(entry).expect("applied");
        }
        self.applying += began.elapsed();
    }

    fn report(&mut self, what: &str, transactions: u64) {
        let rate = |time: Duration| transactions as f64 / time.as_secs_f64();
        println!(
            "{what}: {:.0} tx/s led, {:.0} tx/s applied",
            rate(self.leading),
            rate(self.applying)
        );
        (self.leading, self.applying) = (Duration::ZERO, Duration::ZERO);
    }
}

fn main() {
    let per_group: u64 = std::env::args()
        .nth(1)
        .map_or(64, |text| text.parse().expect("a number"));
    let groups = 100_000 / per_group;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = |name: &str| {
        let files = Files::new(directory.path().join(name), Vfs::Os);
        Writer::open(&files).expect("a new file")
    };
    let mut bench = Bench {
        leader: open("leader.db"),
        follower: open("follower.db"),
        position: Position::new(1, 0),
        leading: Duration::ZERO,
        applying: Duration::ZERO,
    };
    let mut sequence = 0;
    let mut transaction = |session: u64, sql: &str, parameters: Vec<Value>| {
        sequence += 1;
        ClientTransaction {
            durability: Default::default(),
            seen: Vec::new(),
            request: RequestId {
                session: SessionId(u128::from(session) << 64 | 7),
                sequence,
            },
            statements: vec![Statement::bound(sql, parameters)],
            session: SessionState::default(),
            facts: Default::default(),
        }
    };
    let create = "CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, n INT, body TEXT)";
    bench.run(&[transaction(0, create, Vec::new())]);
    bench.run(&[transaction(0, "CREATE INDEX i ON t(n)", Vec::new())]);
    bench.report("schema", 2);
    let insert = "INSERT INTO t(name, n, body) VALUES ($1, $2, $3)";
    for group in 0..groups {
        let list: Vec<ClientTransaction> = (0..per_group)
            .map(|place| {
                let number = group * per_group + place;
                let name = Value::Text(format!("name {number}"));
                let body = Value::Text("some forty bytes of text in this column".to_owned());
                transaction(
                    place,
                    insert,
                    vec![name, Value::Integer(number as i64 * 7919 % 100_000), body],
                )
            })
            .collect();
        bench.run(&list);
    }
    bench.report("INSERT", groups * per_group);
    let update = "UPDATE t SET name = $1 WHERE id = $2";
    for group in 0..groups {
        let list: Vec<ClientTransaction> = (0..per_group)
            .map(|place| {
                let id = (group * per_group + place) * 7919 % (groups * per_group) + 1;
                transaction(
                    place,
                    update,
                    vec![Value::Text("changed".to_owned()), Value::Integer(id as i64)],
                )
            })
            .collect();
        bench.run(&list);
    }
    bench.report("UPDATE", groups * per_group);
    assert_eq!(bench.leader.fingerprints(), bench.follower.fingerprints());
}
