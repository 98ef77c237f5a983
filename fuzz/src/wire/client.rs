//! A client: raw bytes, or messages composed by choices, most of them well formed.

use bellwether_types::lexer;

use crate::source::Source;

/// What composed queries say, alone or several in a row.
const STATEMENTS: [&str; 40] = [
    "",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1",
    "SELECT a, b FROM t WHERE a = $1",
    "INSERT INTO t VALUES ($1, $2)",
    "INSERT INTO t VALUES (1) RETURNING a",
    "SAVEPOINT a",
    "SAVEPOINT \"A\"",
    "ROLLBACK TO a",
    "RELEASE a",
    "SAVEPOINT b",
    "ROLLBACK TO SAVEPOINT b",
    "RELEASE SAVEPOINT b",
    "BEGIN READ ONLY",
    "START TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE",
    "COMMIT AND CHAIN",
    "ROLLBACK AND CHAIN",
    "SET bellwether.read_consistency = 'strong'",
    "SET LOCAL statement_timeout = '5s'",
    "SET TRANSACTION READ ONLY",
    "SHOW bellwether.read_consistency",
    "SHOW ALL",
    "RESET ALL",
    "DISCARD ALL",
    "DEALLOCATE a",
    "DEALLOCATE ALL",
    "CLOSE ALL",
    "CREATE TABLE t(a)",
    "COPY t FROM STDIN",
    "SELECT $1::int, $2",
    "FETCH 1 FROM a",
    "MOVE ALL IN b",
    "CLOSE c",
    "DECLARE c CURSOR FOR SELECT 1",
    "PREPARE b (int) AS SELECT $1, $2",
    "EXECUTE b('1', -2.5)",
    "EXECUTE b(now(), NULL)",
    "EXECUTE a(b, upper('c'))",
];

/// Statements and portals.
const NAMES: [&str; 4] = ["", "a", "b", "c"];

/// Types that clients name: none, bool, bytea, int8, int4, text, float8, varchar, date, timestamptz, numeric, uuid,
/// and one that nobody has.
const TYPES: [u32; 13] = [
    0,
    16,
    17,
    20,
    23,
    25,
    701,
    1043,
    1082,
    1184,
    1700,
    2950,
    4_000_000_000,
];

/// Messages at most: a long input is not a slow one.
const MESSAGES_MAX: usize = 200;

/// What it sends, and what it is due for that.
#[derive(Debug, Default)]
pub(super) struct Client {
    bytes: Vec<u8>,
    /// Messages that ReadyForQuery always answers.
    surely_ready: usize,
    /// Messages that it answers unless an error has everything skipped up to Sync.
    maybe_ready: usize,
}

impl Client {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many ReadyForQuery an open connection must have sent, at least and at most.
    /// While rows are to come for a COPY, Sync is passed over, as the protocol has it.
    pub(super) fn ready_due(&self) -> (usize, usize) {
        let copies = lexer::mentions(&self.bytes, "FROM STDIN");
        let least = if copies { 0 } else { self.surely_ready };
        (least, self.surely_ready + self.maybe_ready)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first message; `more` are further pairs, each part ended by a zero.
    pub(super) fn startup(&mut self, more: &str) {
        let mut body = 196_608u32.to_be_bytes().to_vec();
        body.extend_from_slice(b"user\0u\0database\0postgres\0");
        body.extend_from_slice(more.as_bytes());
        body.push(0);
        self.bytes
            .extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        self.bytes.extend(body);
        self.surely_ready += 1;
    }

    /// Messages by choices. Of a connection that is not inside the first is an opening.
    pub(super) fn compose(&mut self, source: &mut Source<'_>, is_inside: bool) {
        if !is_inside {
            let len = u32::from(source.byte());
            self.bytes.extend_from_slice(&len.to_be_bytes());
            self.bytes
                .extend_from_slice(source.take(len.saturating_sub(4) as usize));
        }
        for _ in 0..MESSAGES_MAX {
            if source.is_empty() {
                return;
            }
            self.message(source);
        }
    }

    fn message(&mut self, source: &mut Source<'_>) {
        let mut body = Vec::new();
        let tag = match source.byte() % 20 {
            0..=2 => {
                self.maybe_ready += 1;
                put_text(&mut body, sql(source));
                b'Q'
            }
            3..=5 => {
                put_text(&mut body, name(source));
                put_text(&mut body, sql(source));
                put_list(&mut body, source, |body, source| {
                    let oid = TYPES[usize::from(source.byte()) % TYPES.len()];
                    body.extend_from_slice(&oid.to_be_bytes());
                });
                b'P'
            }
            6..=8 => {
                bind(&mut body, source);
                b'B'
            }
            9 => {
                target(&mut body, source);
                b'D'
            }
            10..=12 => {
                put_text(&mut body, name(source));
                body.extend_from_slice(&i32::from(source.byte() as i8).to_be_bytes());
                b'E'
            }
            13 => {
                target(&mut body, source);
                b'C'
            }
            14 => b'H',
            15 | 16 => {
                self.surely_ready += 1;
                b'S'
            }
            17 => {
                self.maybe_ready += 1;
                b'F'
            }
            18 => b"dcf"[usize::from(source.byte()) % 3],
            _ => {
                // Any content under any tag; also Terminate and Password, which end the connection.
                self.maybe_ready += 1;
                body.extend_from_slice(source.chunk());
                b"QPBDEpX"[usize::from(source.byte()) % 7]
            }
        };
        self.bytes.push(tag);
        self.bytes
            .extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
        self.bytes.extend(body);
    }
}

fn put_text(body: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    body.extend_from_slice(text.as_ref());
    body.push(0);
}

/// A count below 4, and so many items.
fn put_list(body: &mut Vec<u8>, source: &mut Source<'_>, item: impl Fn(&mut Vec<u8>, &mut Source<'_>)) {
    let count = u16::from(source.byte() % 4);
    body.extend_from_slice(&count.to_be_bytes());
    for _ in 0..count {
        item(body, source);
    }
}

fn put_format(body: &mut Vec<u8>, source: &mut Source<'_>) {
    let code = source.byte() % 8;
    body.extend_from_slice(&u16::from(if code < 6 { code % 2 } else { code }).to_be_bytes());
}

fn name(source: &mut Source<'_>) -> &'static str {
    NAMES[usize::from(source.byte()) % NAMES.len()]
}

fn target(body: &mut Vec<u8>, source: &mut Source<'_>) {
    body.push(b"SP"[usize::from(source.byte()) % 2]);
    put_text(body, name(source));
}

/// One statement from the list, the input's own text, or several from the list.
fn sql(source: &mut Source<'_>) -> Vec<u8> {
    let choice = usize::from(source.byte());
    match choice {
        0..=159 => STATEMENTS[choice % STATEMENTS.len()].as_bytes().to_vec(),
        160..=199 => {
            let own = source.chunk().iter();
            own.map(|byte| if *byte == 0 { b' ' } else { *byte }).collect()
        }
        _ => {
            let count = choice % 5 + 1;
            let texts = (0..count).map(|_| STATEMENTS[usize::from(source.byte()) % STATEMENTS.len()]);
            texts.collect::<Vec<_>>().join(";").into_bytes()
        }
    }
}

fn bind(body: &mut Vec<u8>, source: &mut Source<'_>) {
    put_text(body, name(source));
    put_text(body, name(source));
    put_list(body, source, put_format);
    put_list(body, source, |body, source| match source.byte() {
        0 => body.extend_from_slice(&(-1i32).to_be_bytes()),
        kind => {
            let text = ["1", "-5.5", "true", "2024-02-29", "\\x00ff"];
            let value = match text.get(usize::from(kind) % 8) {
                Some(text) => text.as_bytes(),
                None => source.chunk(),
            };
            body.extend_from_slice(&(value.len() as u32).to_be_bytes());
            body.extend_from_slice(value);
        }
    });
    put_list(body, source, put_format);
}

/// Composed: a simple query in a transaction, a prepared statement with a portal in pieces, savepoints, several
/// statements, a portal that is no cursor, PREPARE and EXECUTE. Raw: what drivers send. And openings.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let composed: [&[u8]; 8] = [
        &[0, 1, 0, 6, 0, 4, 0, 2],
        &[
            3, 1, 5, 1, 4, 6, 1, 1, 0, 1, 1, 1, 9, 1, 1, 10, 1, 1, 10, 1, 2, 15,
        ],
        &[0, 1, 0, 8, 0, 9, 0, 10, 0, 11, 0, 3, 0, 17],
        &[0, 204, 1, 6, 8, 4, 10, 0, 203, 4, 6, 4, 15],
        &[
            3, 0, 31, 2, 4, 5, 6, 0, 0, 0, 2, 1, 2, 1, 0, 10, 0, 0, 13, 1, 1, 15, 14, 17, 18, 1,
        ],
        &[
            0, 160, 9, b'S', b'E', b'L', b'E', b'C', b'T', b' ', b'\'', b'x', 0, 19, 0, 25, 19, 22, 0, 24,
        ],
        &[0, 1, 3, 1, 23, 0, 6, 1, 1, 0, 0, 0, 15, 0, 32],
        &[
            0, 36, 0, 37, 3, 1, 5, 0, 0, 39, 3, 0, 38, 0, 6, 0, 0, 0, 0, 0, 10, 0, 0, 15,
        ],
    ];
    let mut seeds = Vec::new();
    for (index, choices) in composed.into_iter().enumerate() {
        let shape = [0, 8, 32, 4][index % 4];
        seeds.push([&[shape, (index as u8).wrapping_mul(40)], choices].concat());
    }
    for (index, choices) in composed.into_iter().enumerate() {
        let mut client = Client::default();
        client.compose(&mut Source::new(choices), true);
        seeds.push([&[2, index as u8], client.bytes()].concat());
    }
    let mut client = Client::default();
    client.startup("options\0-c bellwether.read_consistency=strong --statement-timeout=5s\0TimeZone\0UTC\0");
    client.compose(&mut Source::new(composed[0]), true);
    seeds.push([&[3, 0], client.bytes()].concat());
    for code in [80_877_103u32, 80_877_104, 80_877_102] {
        let mut request = vec![3, 0, 0, 0, 0, 8];
        request.extend_from_slice(&code.to_be_bytes());
        if code == 80_877_102 {
            request[5] = 16;
            request.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 2]);
        }
        request.extend_from_slice(client.bytes());
        seeds.push(request);
    }
    seeds
}
