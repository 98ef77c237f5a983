//! What a client is told of a statement before, and of its columns when, it runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_pg::dialect::Translation;
use bellwether_pg::types::{Oid, Type, TypeWithModifier, of_declared};
use bellwether_pg::{Description, Field, infer};
use bellwether_types::lexer::quoted_name;
use bellwether_types::{Column, SqlError};

use super::Client;
use super::dialect::placed;
use crate::replica::{PooledReader, unreadable};

/// Statements whose columns are remembered; then all are forgotten.
const KNOWN_MAX: usize = 256;

/// Longer texts are not remembered: a connection's memory is bounded.
pub(super) const REMEMBERED_MAX_BYTES: usize = 16 << 10;

/// Types of columns, by statement: inference parses the text, which costs more than a point read.
#[derive(Default)]
pub(super) struct KnownFields {
    by_sql: BTreeMap<String, (Vec<Column>, Arc<[Field]>)>,
}

impl KnownFields {
    fn get(&self, sql: &str, columns: &[Column]) -> Option<Arc<[Field]>> {
        let (of_columns, fields) = self.by_sql.get(sql)?;
        (of_columns == columns).then(|| Arc::clone(fields))
    }

    fn put(&mut self, sql: &str, columns: &[Column], fields: &Arc<[Field]>) {
        if sql.len() > REMEMBERED_MAX_BYTES {
            return;
        }
        if self.by_sql.len() >= KNOWN_MAX {
            self.by_sql.clear();
        }
        self.by_sql
            .insert(sql.to_owned(), (columns.to_vec(), Arc::clone(fields)));
    }
}

/// The schema as this node's replica has it.
struct ReplicaSchema {
    reader: RefCell<PooledReader>,
}

impl infer::Schema for ReplicaSchema {
    fn columns(&self, table: &str) -> Vec<(String, String)> {
        let sql = format!("SELECT * FROM {}", quoted_name(table));
        let described = self.reader.borrow_mut().describe(&sql);
        let columns = described
            .map(|description| description.columns)
            .unwrap_or_default();
        columns
            .into_iter()
            .map(|column| (column.name, column.declared_type.unwrap_or_default()))
            .collect()
    }
}

impl Client {
    pub(super) async fn describe(&mut self, sql: &str) -> Result<Arc<Description>, SqlError> {
        if let Some(translation) = self.translations.before(sql)? {
            return self.describe_translated(sql, &translation).await;
        }
        match self.describe_statement(sql, sql).await {
            Ok(description) => Ok(Arc::new(description)),
            Err(error) => {
                let translation = self.translations.after(sql, error)?;
                self.describe_translated(sql, &translation).await
            }
        }
    }

    /// The last of its statements, whose rows are the answer; types of parameters that casts tell hold.
    async fn describe_translated(
        &mut self,
        sql: &str,
        translation: &Translation,
    ) -> Result<Arc<Description>, SqlError> {
        let mut parameters: Vec<Oid> = Vec::new();
        let mut fields = None;
        for (index, statement) in translation.statements.iter().enumerate() {
            let described = self.describe_statement(sql, statement).await;
            let described = described.map_err(|error| placed(error, translation, index, sql))?;
            let count = parameters.len().max(described.parameters.len());
            parameters.resize(count, Oid(0));
            for (known, found) in parameters.iter_mut().zip(described.parameters) {
                if *known == Oid(0) {
                    *known = found;
                }
            }
            fields = described.fields;
        }
        for (known, told) in parameters.iter_mut().zip(&translation.parameters) {
            if *told != Oid(0) {
                *known = *told;
            }
        }
        Ok(Arc::new(Description { parameters, fields }))
    }

    /// `client_sql`: under what the columns are remembered.
    async fn describe_statement(&mut self, client_sql: &str, sql: &str) -> Result<Description, SqlError> {
        let session = self.session.as_mut().expect("let in");
        let described = session.describe(sql, self.connection.settings()).await?;
        let mut description = self.infer(sql, &described.columns).await?;
        description.parameters.resize(described.parameter_count, Oid(0));
        if let Some(fields) = &description.fields {
            self.known.put(client_sql, &described.columns, fields);
        }
        Ok(description)
    }

    async fn infer(&mut self, sql: &str, columns: &[Column]) -> Result<Description, SqlError> {
        let session = self.session.as_ref().expect("let in");
        let reader = session
            .replica
            .readers
            .get()
            .await
            .map_err(|error| unreadable(&error))?;
        Ok(infer::describe(
            sql,
            columns,
            &ReplicaSchema {
                reader: RefCell::new(reader),
            },
        ))
    }

    /// Declared types where every column has one, which is cheap; else as inferred from the text, as `describe` does. Of
    /// subqueries SQLite tells a declared type, but calls them by their text: these have a name to be inferred.
    pub(super) async fn fields(&mut self, sql: &str, columns: &[Column]) -> Result<Arc<[Field]>, SqlError> {
        if let Some(fields) = self.known.get(sql, columns) {
            return Ok(fields);
        }
        let is_told = |column: &Column| {
            let declared = column.declared_type.as_deref().unwrap_or_default();
            !declared.is_empty() && !column.name.contains('(')
        };
        if columns.iter().all(is_told) {
            return Ok(columns.iter().map(declared).collect());
        }
        let translation = self.translations.get(sql).cloned();
        let translated = translation
            .as_ref()
            .and_then(|translation| translation.statements.last());
        let inferred = self
            .infer(translated.map_or(sql, String::as_str), columns)
            .await?
            .fields;
        let fields = inferred.unwrap_or_else(|| columns.iter().map(declared).collect());
        self.known.put(sql, columns, &fields);
        Ok(fields)
    }
}

fn declared(column: &Column) -> Field {
    let declared = column.declared_type.as_deref().map(of_declared);
    Field::new(
        column.name.clone(),
        declared.unwrap_or(TypeWithModifier::from(Type::Text)),
    )
}
