//! Records in the words of the schema as it was then: for change data capture, for the list of lost writes, for people.
//!
//! A table that nobody knows (any more, or since its CREATE was lost as well) is named by its number, its columns by
//! their places.

use std::fmt;
use std::sync::Arc;

use bellwether_types::format::row::{Change, RowKey};
use bellwether_types::format::statement::Step;
use bellwether_types::{
    DecodeError, Decoder, LogIndex, Relation, RelationColumn, Rowid, TableId, Value, ValueRef,
};

use crate::apply::CHANGE_BYTES_MAX;
use crate::error::StorageError;
use crate::reader::Reader;
use crate::relations::Relations;

/// Values by column.
pub type Named = Vec<(Arc<str>, Value)>;

/// One step of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A schema statement.
    Schema(String),
    /// A statement that was executed.
    Statement {
        /// Its text.
        sql: String,
        /// The values of `$1` ….
        parameters: Vec<Value>,
        /// Its rows were told before it.
        has_images: bool,
    },
    /// A row came, changed or went.
    Row(RowChange),
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// It came.
    Insert,
    /// It changed.
    Update,
    /// It went.
    Delete,
}

/// A row's change.
#[derive(Debug, Clone, PartialEq)]
pub struct RowChange {
    /// What became of it.
    pub operation: Operation,
    /// Of which table.
    pub relation: Arc<Relation>,
    /// What it was found by: the declared primary key where the log has that and none of it is NULL, else the rowid.
    pub key: Named,
    /// What it is found by from now on, where that has changed.
    pub key_after: Option<Named>,
    /// Of an insert all columns, of an update those that changed.
    pub values: Named,
    /// The whole row as it was, where the log has it.
    pub before: Option<Named>,
    /// The whole row as it is, where the log has it.
    pub after: Option<Named>,
    /// The log has the statement that did it, too; that one is told next.
    pub is_image: bool,
}

/// Why a body cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotDecoded {
    /// It is no body.
    Malformed(DecodeError),
    /// It ends within a change.
    Cut,
    /// A change is longer than any that is written.
    TooLong,
}

impl fmt::Display for NotDecoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotDecoded::Malformed(error) => error.fmt(f),
            NotDecoded::Cut => f.write_str("it ends within a change"),
            NotDecoded::TooLong => write!(f, "a change of more than {CHANGE_BYTES_MAX} bytes"),
        }
    }
}

impl std::error::Error for NotDecoded {}

impl Reader {
    /// What tables were called at each point of the log, through the last record committed in SQLite.
    pub fn relations(&self) -> Result<Relations, StorageError> {
        let database = self.database();
        let _gate = database.enter();
        Relations::load(database)?.map_err(StorageError::Malformed)
    }
}

/// Of one record, as its body comes.
pub struct Decoding {
    relations: Arc<Relations>,
    record: LogIndex,
    /// Schema statements so far.
    ordinal: u64,
    /// The beginning of a change whose end has not come.
    rest: Vec<u8>,
    last_statement: String,
    is_within_images: bool,
    /// The table of the last change: changes come in runs.
    last: Option<(TableId, Arc<Relation>)>,
}

impl Decoding {
    /// Of the record that stands, or was to stand, there.
    pub fn new(relations: Arc<Relations>, record: LogIndex) -> Decoding {
        Decoding {
            relations,
            record,
            ordinal: 0,
            rest: Vec::new(),
            last_statement: String::new(),
            is_within_images: false,
            last: None,
        }
    }

    /// The next part of the body, cut anywhere. Where AUTOINCREMENT stands is left out.
    pub fn feed(&mut self, part: &[u8], mut each: impl FnMut(Decoded)) -> Result<(), NotDecoded> {
        let joined = match self.rest.is_empty() {
            true => None,
            false => {
                self.rest.extend_from_slice(part);
                Some(std::mem::take(&mut self.rest))
            }
        };
        let mut input = Decoder::new(joined.as_deref().unwrap_or(part));
        while input.remaining() > 0 {
            let mut ahead = input.clone();
            match Step::decode(&mut ahead) {
                Ok(step) => {
                    if let Some(decoded) = self.step(step) {
                        each(decoded);
                    }
                }
                Err(DecodeError::Truncated) => break,
                Err(error) => return Err(NotDecoded::Malformed(error)),
            }
            input = ahead;
        }
        if input.remaining() > CHANGE_BYTES_MAX {
            return Err(NotDecoded::TooLong);
        }
        self.rest = match joined {
            Some(joined) if input.remaining() == joined.len() => joined,
            _ => input.rest().to_vec(),
        };
        Ok(())
    }

    /// The body is over.
    pub fn finish(self) -> Result<(), NotDecoded> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(NotDecoded::Cut),
        }
    }

    fn step(&mut self, step: Step<'_>) -> Option<Decoded> {
        match step {
            Step::Images => self.is_within_images = true,
            Step::NoImages | Step::Change(Change::Sequence { .. }) => {}
            Step::Statement(executed) => {
                if let Some(sql) = executed.sql {
                    self.last_statement = sql.to_owned();
                }
                return Some(Decoded::Statement {
                    sql: self.last_statement.clone(),
                    parameters: executed.parameters.iter().map(owned).collect(),
                    has_images: std::mem::take(&mut self.is_within_images),
                });
            }
            Step::Change(Change::Schema { sql }) => {
                self.ordinal += 1;
                self.last = None;
                return Some(Decoded::Schema(sql.to_owned()));
            }
            Step::Change(Change::Insert { table, rowid, values }) => {
                return Some(Decoded::Row(self.insert(table, rowid, &values)));
            }
            Step::Change(Change::Update {
                table,
                key,
                moved_to,
                columns,
                before,
            }) => {
                let update = self.update(table, &key, moved_to, &columns, before.as_deref());
                return Some(Decoded::Row(update));
            }
            Step::Change(Change::Delete { table, key, before }) => {
                let relation = self.relation(table);
                return Some(Decoded::Row(RowChange {
                    operation: Operation::Delete,
                    key: key_of(&relation, &key, before.as_deref()),
                    key_after: None,
                    values: Named::new(),
                    before: before.map(|before| named(&relation, &before)),
                    after: None,
                    is_image: self.is_within_images,
                    relation,
                }));
            }
        }
        None
    }

    fn insert(&mut self, table: TableId, rowid: Option<i64>, values: &[ValueRef<'_>]) -> RowChange {
        let relation = self.relation(table);
        let key = match rowid {
            Some(rowid) => RowKey::Rowid(rowid),
            // The key is among the values.
            None => RowKey::Primary(Vec::new()),
        };
        let values_by_name = named(&relation, values);
        RowChange {
            operation: Operation::Insert,
            key: key_of(&relation, &key, Some(values)),
            key_after: None,
            after: Some(values_by_name.clone()),
            values: values_by_name,
            before: None,
            is_image: self.is_within_images,
            relation,
        }
    }

    fn update(
        &mut self,
        table: TableId,
        key: &RowKey<'_>,
        moved_to: Option<i64>,
        columns: &[(u32, ValueRef<'_>)],
        before: Option<&[ValueRef<'_>]>,
    ) -> RowChange {
        let relation = self.relation(table);
        let changed = columns.iter();
        let changed = changed.map(|(place, value)| (column(&relation, *place as usize), owned(value)));
        let mut values: Named = changed.collect();
        let moved = moved_to.map(|rowid| (rowid_name(&relation), Value::Integer(rowid)));
        values.extend(moved.filter(|(name, _)| values.iter().all(|(known, _)| known != name)));
        let after = before.map(|before| changed_row(&relation, before, moved_to, columns));
        let found_by = key_of(&relation, key, before);
        let moved = match key {
            RowKey::Rowid(rowid) => RowKey::Rowid(moved_to.unwrap_or(*rowid)),
            RowKey::Primary(key) => RowKey::Primary(changed_key(&relation, key, columns)),
        };
        let key_after = key_of(&relation, &moved, after.as_deref());
        RowChange {
            operation: Operation::Update,
            key_after: (key_after != found_by).then_some(key_after),
            key: found_by,
            values,
            before: before.map(|before| named(&relation, before)),
            after: after.map(|after| named(&relation, &after)),
            is_image: self.is_within_images,
            relation,
        }
    }

    fn relation(&mut self, table: TableId) -> Arc<Relation> {
        if let Some((last, relation)) = &self.last
            && *last == table
        {
            return relation.clone();
        }
        let known = self.relations.at(table, self.record, self.ordinal);
        let relation = known.unwrap_or_else(|| Arc::new(unknown(table)));
        self.last = Some((table, relation.clone()));
        relation
    }
}

/// In words that say that nobody knows.
fn unknown(table: TableId) -> Relation {
    Relation {
        name: format!("table {table}"),
        columns: Vec::<RelationColumn>::new(),
        rowid: Rowid::Hidden("rowid".into()),
        primary: Vec::new(),
    }
}

fn column(relation: &Relation, place: usize) -> Arc<str> {
    match relation.columns.get(place) {
        Some(column) => column.name.clone(),
        None => format!("column {}", place + 1).into(),
    }
}

fn named(relation: &Relation, values: &[ValueRef<'_>]) -> Named {
    let values = values.iter().enumerate();
    values
        .map(|(place, value)| (column(relation, place), owned(value)))
        .collect()
}

/// The whole row after an update.
fn changed_row<'a>(
    relation: &Relation,
    before: &[ValueRef<'a>],
    moved_to: Option<i64>,
    columns: &[(u32, ValueRef<'a>)],
) -> Vec<ValueRef<'a>> {
    let mut after = before.to_vec();
    for (place, value) in columns {
        if let Some(after) = after.get_mut(*place as usize) {
            *after = *value;
        }
    }
    if let (Rowid::Column(place), Some(rowid)) = (&relation.rowid, moved_to)
        && let Some(after) = after.get_mut(*place as usize)
    {
        *after = ValueRef::Integer(rowid);
    }
    after
}

/// A WITHOUT ROWID table's key after an update.
fn changed_key<'a>(
    relation: &Relation,
    key: &[ValueRef<'a>],
    columns: &[(u32, ValueRef<'a>)],
) -> Vec<ValueRef<'a>> {
    let mut after = key.to_vec();
    for (place, value) in columns {
        let in_key = relation.primary.iter().position(|primary| primary == place);
        if let Some(after) = in_key.and_then(|in_key| after.get_mut(in_key)) {
            *after = *value;
        }
    }
    after
}

fn rowid_name(relation: &Relation) -> Arc<str> {
    match &relation.rowid {
        Rowid::Column(place) => column(relation, *place as usize),
        Rowid::Hidden(name) => name.clone(),
        Rowid::None => "rowid".into(),
    }
}

/// The declared key, when the row is known and has one; else what it was found by. Other than SQL would have it, SQLite
/// lets NULL into keys of tables with rowids, any number of times (<https://sqlite.org/quirks.html>).
fn key_of(relation: &Relation, key: &RowKey<'_>, row: Option<&[ValueRef<'_>]>) -> Named {
    let places = || relation.primary.iter().map(|place| *place as usize);
    let declared = row.filter(|_| !relation.primary.is_empty()).and_then(|row| {
        let in_row = |place: usize| row.get(place).filter(|value| **value != ValueRef::Null);
        let values = places().map(|place| Some((column(relation, place), owned(in_row(place)?))));
        values.collect::<Option<Named>>()
    });
    if let Some(declared) = declared {
        return declared;
    }
    match key {
        RowKey::Rowid(rowid) => vec![(rowid_name(relation), Value::Integer(*rowid))],
        RowKey::Primary(values) => {
            let places: Vec<usize> = match relation.primary.len() == values.len() {
                true => places().collect(),
                false => (0..values.len()).collect(),
            };
            let values = places.into_iter().zip(values);
            values
                .map(|(place, value)| (column(relation, place), owned(value)))
                .collect()
        }
    }
}

/// Text that is not UTF-8 is told as the bytes that it is.
fn owned(value: &ValueRef<'_>) -> Value {
    match *value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Integer(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_vec()),
        },
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
    }
}
