//! A reader of the log who keeps tables of its own, by what the log says of rows alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_storage::{Decoded, Decoding, Named, Operation, Reader, Relations, RowChange};
use bellwether_types::{Entry, Payload, Relation, Rowid, Statement, Value, ValueRef};

use super::Pair;

/// Rows by what they are found by, of tables by name.
type Content = BTreeMap<Arc<str>, BTreeMap<String, String>>;

pub struct Mirror {
    content: Content,
    /// Entries of the pair's log that were read.
    read: usize,
    /// Changes of rows that were followed.
    pub followed: u64,
}

impl Mirror {
    /// Begins where the pair is: it has a slot from there on.
    pub fn begin(pair: &Pair) -> Mirror {
        Mirror {
            content: content(&mut reader(pair)),
            read: pair.log.len(),
            followed: 0,
        }
    }

    /// Follows what was written since, and compares itself with the leader.
    pub fn follow(&mut self, pair: &Pair) {
        let mut reader = reader(pair);
        let relations = Arc::new(reader.relations().expect("readable"));
        let mut body = Vec::new();
        let mut has_new_schema = false;
        for entry in &pair.log[self.read..] {
            has_new_schema |= self.follow_entry(entry, &mut body, &relations, has_new_schema);
        }
        self.read = pair.log.len();
        let now = content(&mut reader);
        if !has_new_schema {
            assert_eq!(self.content, now, "(mirror, leader)");
        }
        self.content = now;
    }

    fn follow_entry(
        &mut self,
        entry: &Entry,
        body: &mut Vec<u8>,
        relations: &Arc<Relations>,
        mut has_new_schema: bool,
    ) -> bool {
        let record = match Payload::from_bytes(&entry.payload).expect("a payload") {
            Payload::Chunk { body: part, .. } => {
                body.extend_from_slice(&part);
                return has_new_schema;
            }
            Payload::Record(record) => record,
            _ => return has_new_schema,
        };
        body.extend_from_slice(&record.body);
        let mut decoding = Decoding::new(relations.clone(), record.position.index);
        // Cut anywhere.
        for part in body.chunks(61) {
            let told = decoding.feed(part, |decoded| match decoded {
                Decoded::Schema(_) => has_new_schema = true,
                Decoded::Statement { has_images, .. } => assert!(has_images, "a slot is there"),
                Decoded::Row(change) => {
                    let columns = change.relation.columns.len();
                    assert!(columns > 0, "{change:?}");
                    for row in [&change.before, &change.after].into_iter().flatten() {
                        assert_eq!(row.len(), columns, "{change:?}");
                    }
                    if !has_new_schema {
                        self.change(&change);
                    }
                }
            });
            told.expect("a body");
        }
        decoding.finish().expect("whole");
        body.clear();
        has_new_schema
    }

    fn change(&mut self, change: &RowChange) {
        let rows = self
            .content
            .entry(change.relation.name.as_str().into())
            .or_default();
        let key = format!("{:?}", change.key);
        self.followed += 1;
        match change.operation {
            Operation::Insert => {
                let row = change.after.as_ref().expect("an inserted row is whole");
                let before = rows.insert(key, format!("{row:?}"));
                assert_eq!(before, None, "{change:?}");
            }
            Operation::Update => {
                let found = rows
                    .remove(&key)
                    .unwrap_or_else(|| panic!("no such row: {change:?}"));
                // FTS5 writes blobs in place, and nobody has what was there.
                if let Some(before) = &change.before {
                    assert_eq!(found, format!("{before:?}"), "{change:?}");
                }
                let key = change.key_after.as_ref().map_or(key, |key| format!("{key:?}"));
                let after = match &change.after {
                    Some(after) => format!("{after:?}"),
                    None => with_blob(&found, &change.values),
                };
                assert_eq!(rows.insert(key, after), None, "{change:?}");
            }
            Operation::Delete => {
                let found = rows
                    .remove(&key)
                    .unwrap_or_else(|| panic!("no such row: {change:?}"));
                if let Some(before) = &change.before {
                    assert_eq!(found, format!("{before:?}"), "{change:?}");
                }
            }
        }
    }
}

/// A row of an FTS5 table's own, whose last column is the blob.
fn with_blob(row: &str, values: &Named) -> String {
    let [(name, value)] = values.as_slice() else {
        panic!("{values:?} of {row}");
    };
    let (front, _) = row.split_once(&format!("({name:?}, ")).expect("the column");
    format!("{front}({name:?}, {value:?})]")
}

fn reader(pair: &Pair) -> Reader {
    Reader::open(&pair.files("leader")).expect("a replica")
}

fn content(reader: &mut Reader) -> Content {
    let relations = reader.relations().expect("readable");
    let tables = relations.now().map(|relation| {
        let rows = rows(reader, relation);
        (relation.name.as_str().into(), rows)
    });
    tables.collect()
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn rows(reader: &mut Reader, relation: &Relation) -> BTreeMap<String, String> {
    let rowid = match &relation.rowid {
        Rowid::None => "NULL".to_owned(),
        Rowid::Column(place) => quoted(&relation.columns[*place as usize].name),
        Rowid::Hidden(name) => name.to_string(),
    };
    // Text that is not UTF-8 no client reads.
    let columns = relation.columns.iter().map(|column| {
        let name = quoted(&column.name);
        format!("typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END")
    });
    let columns: Vec<String> = columns.collect();
    let sql = format!(
        "SELECT {rowid}, {} FROM {}",
        columns.join(", "),
        quoted(&relation.name)
    );
    let read = read_all(reader, &sql);
    let keyed = read.into_iter().map(|(rowid_value, row)| {
        let named = |place: usize| (relation.columns[place].name.clone(), row[place].clone());
        let primary: Named = relation
            .primary
            .iter()
            .map(|place| named(*place as usize))
            .collect();
        let has_null = primary.iter().any(|(_, value)| *value == Value::Null);
        let key = match primary.is_empty() || has_null {
            false => primary,
            true => vec![(rowid_name(relation), rowid_value)],
        };
        let row: Named = (0..row.len()).map(named).collect();
        (format!("{key:?}"), format!("{row:?}"))
    });
    keyed.collect()
}

fn rowid_name(relation: &Relation) -> Arc<str> {
    match &relation.rowid {
        Rowid::Column(place) => relation.columns[*place as usize].name.clone(),
        Rowid::Hidden(name) => name.clone(),
        Rowid::None => "".into(),
    }
}

/// A value, then pairs of a type and a value.
fn read_all(reader: &mut Reader, sql: &str) -> Vec<(Value, Vec<Value>)> {
    let mut cursor = reader
        .open_cursor(&Statement::new(sql))
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let columns = cursor.columns().len();
    let mut rows = Vec::new();
    while cursor.step().unwrap_or_else(|error| panic!("{sql}: {error}")) {
        let typed = (1..columns).step_by(2);
        let values = typed.map(|place| match (cursor.value(place), cursor.value(place + 1)) {
            (ValueRef::Text(b"text"), ValueRef::Blob(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::Text(text.to_owned()),
                Err(_) => Value::Blob(bytes.to_vec()),
            },
            (_, value) => value.to_value().expect("no text"),
        });
        let values = values.collect();
        rows.push((cursor.value(0).to_value().expect("a number"), values));
    }
    rows
}
