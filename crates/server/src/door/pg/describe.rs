//! What a client is told of a statement before, and of its columns when, it runs.

use std::sync::Arc;

use bellwether_pg::types::{Type, TypeWithModifier, of_declared};
use bellwether_pg::{Description, Field};
use bellwether_types::{Column, SqlError};

use super::Client;

impl Client {
    pub(super) async fn describe(&mut self, sql: &str) -> Result<Arc<Description>, SqlError> {
        let session = self.session.as_mut().expect("let in");
        let described = session.describe(sql, self.connection.settings()).await?;
        let fields = (!described.columns.is_empty()).then(|| self.fields(sql, &described.columns));
        let parameters = vec![bellwether_pg::types::Oid(0); described.parameter_count];
        Ok(Arc::new(Description { parameters, fields }))
    }

    /// Declared types where there is one; else text.
    pub(super) fn fields(&self, _sql: &str, columns: &[Column]) -> Arc<[Field]> {
        let field = |column: &Column| {
            let declared = column.declared_type.as_deref().map(of_declared);
            Field::new(
                column.name.clone(),
                declared.unwrap_or(TypeWithModifier::from(Type::Text)),
            )
        };
        columns.iter().map(field).collect()
    }
}
