//! What nodes say to each other: consensus messages, and the parts of which forwarded requests and their answers are
//! made.
//!
//! Byte 0 names the decoder. What decodes must encode to something that decodes to the same, compared by bytes.
//! Does not reach the server's own messages: they are private to it. What opens a connection is in `handshake`.

use bellwether_consensus::{Message, MessageKind};
use bellwether_storage::snapshot::SnapshotInfo;
use bellwether_storage::{Description, SessionState};
use bellwether_types::{
    Column, CommandTag, Decoder, Encoder, Entry, Environment, ErrorKind, HardState, LogIndex, NodeId,
    Position, SqlError, Statement, Term, Value,
};
use bytes::Bytes;

/// Decodes, encodes, decodes, encodes.
macro_rules! check {
    ($type:ty, $input:expr) => {{
        let mut input = Decoder::new($input);
        if let Ok(value) = <$type>::decode(&mut input) {
            let bytes = encoded(|out| value.encode(out));
            let mut again = Decoder::new(&bytes);
            let reread = <$type>::decode(&mut again).expect("it was written just now");
            assert_eq!(again.finish(), Ok(()), "nothing is left");
            assert_eq!(encoded(|out| reread.encode(out)), bytes);
        }
    }};
}

/// Byte 0: the decoder. Then its bytes.
pub fn run(input: &[u8]) {
    let Some((&decoder, bytes)) = input.split_first() else {
        return;
    };
    match decoder % 10 {
        0 => check!(Message, bytes),
        1 => check!(Statement, bytes),
        2 => check!(Column, bytes),
        3 => check!(CommandTag, bytes),
        4 => check!(SqlError, bytes),
        5 => check!(SessionState, bytes),
        6 => check!(Description, bytes),
        7 => check!(SnapshotInfo, bytes),
        8 => check!(Entry, bytes),
        _ => check!(HardState, bytes),
    }
}

fn encoded(encode: impl FnOnce(&mut Encoder)) -> Vec<u8> {
    let mut out = Encoder::new();
    encode(&mut out);
    out.into_vec()
}

fn message() -> Message {
    Message {
        kind: MessageKind::Append,
        from: NodeId(1),
        to: NodeId(2),
        term: Term(3),
        log: Position::new(2, 40),
        entries: vec![Entry {
            position: Position::new(3, 41),
            payload: Bytes::from_static(b"payload"),
        }],
        commit: LogIndex(40),
        leader_commit: LogIndex(0),
        commit_term: Term(2),
        reject: false,
        reject_hint: LogIndex(0),
        is_full: false,
        asks_progress: true,
        applied: LogIndex(39),
        request_snapshot: LogIndex(0),
        context: b"12345678".to_vec(),
    }
}

/// One of each.
pub fn seeds() -> Vec<Vec<u8>> {
    let statement = Statement {
        sql: "INSERT INTO t VALUES ($1, $2)".to_owned(),
        parameters: vec![Value::Integer(-1), Value::Text("text".to_owned()), Value::Null],
        environment: Some(Environment {
            transaction_ms: 1,
            statement_ms: 2,
            seed: [3; 32],
        }),
    };
    let column = Column {
        name: "a".to_owned(),
        declared_type: Some("INTEGER".to_owned()),
    };
    let mut error = SqlError::new(ErrorKind::Syntax, "near \"x\": syntax error")
        .with_hint("hint")
        .with_detail("detail");
    error.column = Some("a".to_owned());
    let description = Description {
        columns: vec![column.clone()],
        parameter_count: 2,
        parameters: vec![1, 2],
        reads_only: true,
        is_explain: false,
        verb: "SELECT".to_owned(),
    };
    let info = SnapshotInfo {
        position: Position::new(1, 2),
        bytes: 4096,
        checksum: 7,
    };
    let state = HardState {
        term: Term(300),
        vote: Some(NodeId(1)),
        commit: LogIndex(5),
    };
    let bodies = [
        encoded(|out| message().encode(out)),
        encoded(|out| statement.encode(out)),
        encoded(|out| column.encode(out)),
        encoded(|out| CommandTag::counted("SELECT", 5).encode(out)),
        encoded(|out| error.encode(out)),
        encoded(|out| SessionState::default().encode(out)),
        encoded(|out| description.encode(out)),
        encoded(|out| info.encode(out)),
        encoded(|out| message().entries[0].encode(out)),
        encoded(|out| state.encode(out)),
    ];
    let numbered = bodies.into_iter().enumerate();
    numbered
        .map(|(decoder, bytes)| [&[decoder as u8], bytes.as_slice()].concat())
        .collect()
}
