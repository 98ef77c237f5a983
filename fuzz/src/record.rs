//! What a log entry says: `Payload::from_bytes`, and the changes and statements in a record's body.
//!
//! The checksum is made right, but where the input wants it wrong. What decodes must encode to something that
//! decodes to the same; changes are compared by their bytes, for NaN is not itself.

use bellwether_types::format::row::{Change, RowKey};
use bellwether_types::format::statement::{Executed, Step};
use bellwether_types::record::Transaction;
use bellwether_types::{
    Column, CommandTag, Configuration, Decoder, Durability, Encoder, Facts, Fingerprint, Format, KeptResult,
    NodeId, Payload, Position, Record, RequestId, SessionId, StatementResult, TableId, Timestamp, Value,
    ValueRef,
};
use bytes::Bytes;

/// Byte 0: 0 for a payload whose checksum is repaired, 1 for one as it is, 2 for a record's body. Then the bytes,
/// without the checksum where it is repaired.
pub fn run(input: &[u8]) {
    let Some((&mode, content)) = input.split_first() else {
        return;
    };
    match mode % 3 {
        0 => check_payload(&[content, &crc32c::crc32c(content).to_le_bytes()].concat()),
        1 => check_payload(content),
        _ => check_body(content),
    }
}

fn check_payload(bytes: &[u8]) {
    let Ok(payload) = Payload::from_bytes(bytes) else {
        return;
    };
    let again = payload.to_bytes();
    assert_eq!(Payload::from_bytes(&again).as_ref(), Ok(&payload));
    if let Payload::Record(record) = payload {
        for transaction in &record.transactions {
            check_result(&transaction.result);
        }
        check_body(&record.body);
    }
}

/// What is recalled is kept so again, by its text: NaN is not itself.
fn check_result(kept: &KeptResult) {
    let tag = CommandTag::plain("INSERT");
    let Some(results) = kept.recall(&tag) else { return };
    let again = KeptResult::of(&results);
    let has_rows = results.iter().any(|result| !result.columns.is_empty());
    if has_rows && again != KeptResult::TooLarge {
        assert_eq!(
            format!("{:?}", again.recall(&tag)),
            format!("{:?}", Some(results))
        );
    }
}

fn check_body(body: &[u8]) {
    let mut input = Decoder::new(body);
    while input.remaining() > 0 {
        let before = input.remaining();
        let Ok(step) = Step::decode(&mut input) else {
            return;
        };
        assert!(input.remaining() < before, "a step takes bytes");
        let bytes = encoded(&step);
        let mut again = Decoder::new(&bytes);
        let reread = Step::decode(&mut again).expect("it was written just now");
        assert_eq!(again.finish(), Ok(()));
        assert_eq!(encoded(&reread), bytes);
    }
}

fn encoded(step: &Step<'_>) -> Vec<u8> {
    let mut out = Encoder::new();
    step.encode(&mut out);
    out.into_vec()
}

fn body() -> Vec<u8> {
    let table = TableId(1);
    let changes = [
        Change::Schema {
            sql: "CREATE TABLE t(a, b)",
        },
        Change::Insert {
            table,
            rowid: Some(-5),
            values: vec![ValueRef::Null, ValueRef::Integer(300), ValueRef::Text(b"text")],
        },
        Change::Update {
            table,
            key: RowKey::Rowid(7),
            moved_to: Some(8),
            columns: vec![(1, ValueRef::Real(1.5)), (2, ValueRef::Blob(&[0, 255]))],
            before: Some(vec![ValueRef::Integer(7), ValueRef::Null]),
        },
        Change::Delete {
            table,
            key: RowKey::Primary(vec![ValueRef::Integer(1), ValueRef::Null]),
            before: Some(vec![ValueRef::Text(b"gone")]),
        },
        Change::Sequence {
            table,
            value: Some(9),
        },
    ];
    let executed = Executed {
        sql: Some("UPDATE t SET a = $1"),
        parameters: vec![ValueRef::Integer(1)],
        transaction_ms: 5,
        statement_ms: 6,
        seed: Some([7; 32]),
        sqlite_version: Some("3.54.1"),
        facts: Some(Facts::default()),
        last_insert_rowid: 1,
        changes: 2,
        total_changes: 3,
        foreign_keys: true,
        recursive_triggers: false,
        defers_foreign_keys: false,
    };
    let steps = changes.into_iter().map(Step::Change);
    let steps = steps.chain([Step::Statement(Box::new(executed))]);
    steps.flat_map(|step| encoded(&step)).collect()
}

/// Each payload and a body with each change.
pub fn seeds() -> Vec<Vec<u8>> {
    let column = Column {
        name: "a".to_owned(),
        declared_type: Some("TEXT".to_owned()),
    };
    let result = StatementResult {
        columns: vec![column],
        rows: vec![vec![Value::Null], vec![Value::Real(1.5)]],
        tag: CommandTag::counted("INSERT", 2),
    };
    let transaction = Transaction {
        request: RequestId {
            session: SessionId(3),
            sequence: 4,
        },
        tag: CommandTag::counted("INSERT", 2),
        result: KeptResult::of(&[result]),
        durability: Durability::RemoteApply,
        body_bytes: 11,
    };
    let position = Position::new(2, 300);
    let record = Record {
        notifications: Vec::new(),
        position,
        origin: NodeId(1),
        timestamp: Timestamp(5),
        format: Format::Row,
        transactions: vec![transaction.clone()],
        ended_sessions: vec![SessionId(9)],
        fingerprints: vec![(TableId(0), Fingerprint(8)), (TableId(1), Fingerprint(7))],
        chunks: 2,
        body: Bytes::from(body()),
    };
    let chunk = Payload::Chunk {
        sequence: 1,
        body: Bytes::from_static(b"part"),
    };
    let payloads = [
        chunk,
        Payload::Record(Box::new(record)),
        Payload::Vacuum {
            position,
            origin: NodeId(1),
            timestamp: Timestamp(6),
            transaction,
        },
        Payload::Configure {
            position,
            origin: NodeId(1),
            timestamp: Timestamp(7),
            configuration: Configuration::of_voters([NodeId(1), NodeId(2)]).with_learner(NodeId(5)),
        },
    ];
    let repaired = payloads.iter().map(|payload| {
        let bytes = payload.to_bytes();
        [&[0], &bytes[..bytes.len() - 4]].concat()
    });
    let whole = payloads
        .iter()
        .map(|payload| [&[1], payload.to_bytes().as_ref()].concat());
    let body = [&[2], body().as_slice()].concat();
    repaired.chain(whole).chain([body]).collect()
}
