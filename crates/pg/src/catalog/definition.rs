//! Indexes, constraints, views and triggers as text, in PostgreSQL's form where there is one.

use bellwether_types::schema::{Constraint, Index, IndexKey, Relation, Rule};
use bellwether_types::{Schema, lexer};

use super::constraint::{columns, target};
use crate::functions::quote::quoted_ident;

fn names<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = parts.map(quoted_ident).collect();
    names.join(", ")
}

fn column_names(relation: &Relation, places: &[usize]) -> String {
    let columns = places.iter().filter_map(|place| relation.columns.get(*place));
    names(columns.map(|column| column.name.as_str()))
}

/// One column of an index, without its order.
pub(super) fn index_column(relation: &Relation, index: &Index, place: usize) -> Option<String> {
    Some(match &index.columns.get(place)?.key {
        IndexKey::Column(column) => quoted_ident(&relation.columns.get(*column)?.name),
        IndexKey::Expression(text) => format!("({text})"),
    })
}

/// CREATE INDEX.
pub(super) fn index(relation: &Relation, index: &Index) -> String {
    let columns: Vec<String> = (0..index.columns.len())
        .filter_map(|place| {
            let column = &index.columns[place];
            let mut text = index_column(relation, index, place)?;
            if !column.collation.eq_ignore_ascii_case("BINARY") {
                text.push_str(&format!(" COLLATE {}", quoted_ident(&column.collation)));
            }
            text.push_str(if column.is_descending { " DESC" } else { "" });
            Some(text)
        })
        .collect();
    let unique = if index.is_unique { "UNIQUE " } else { "" };
    let predicate = index.predicate.as_ref().map(|text| format!(" WHERE {text}"));
    format!(
        "CREATE {unique}INDEX {} ON public.{} USING btree ({}){}",
        quoted_ident(&index.name),
        quoted_ident(&relation.name),
        columns.join(", "),
        predicate.unwrap_or_default()
    )
}

/// What stands after CONSTRAINT and its name.
pub(super) fn constraint(schema: &Schema, relation: &Relation, constraint: &Constraint) -> String {
    let own = column_names(relation, &columns(relation, constraint));
    match &constraint.rule {
        Rule::PrimaryKey(_) => format!("PRIMARY KEY ({own})"),
        Rule::Unique(_) => format!("UNIQUE ({own})"),
        Rule::Check(text) => format!("CHECK ({text})"),
        Rule::ForeignKey(key) => {
            let referred = match target(schema, key) {
                Some((target, places)) => column_names(target, &places),
                None => names(key.target_columns.iter().map(String::as_str)),
            };
            let mut text = format!(
                "FOREIGN KEY ({own}) REFERENCES {}({referred})",
                quoted_ident(&key.target)
            );
            for (event, action) in [("UPDATE", &key.on_update), ("DELETE", &key.on_delete)] {
                if action != "NO ACTION" {
                    text.push_str(&format!(" ON {event} {action}"));
                }
            }
            if key.is_deferred {
                text.push_str(" DEFERRABLE INITIALLY DEFERRED");
            }
            text
        }
    }
}

/// A view's query, with the semicolon that PostgreSQL ends it with.
pub(super) fn view(relation: &Relation) -> String {
    let mut depth = 0i64;
    for token in lexer::significant(&relation.sql) {
        if token.is_operator("(") {
            depth += 1;
        } else if token.is_operator(")") {
            depth -= 1;
        } else if depth == 0 && token.is_word("AS") {
            let query = relation.sql[token.end()..]
                .trim()
                .trim_end_matches(';')
                .trim_end();
            return format!(" {query};");
        }
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_views_query_is_what_stands_after_as() {
        let relation = Relation {
            sql: "CREATE VIEW v(\"as\", b) AS SELECT a AS b FROM t;".to_owned(),
            ..Relation::default()
        };
        assert_eq!(view(&relation), " SELECT a AS b FROM t;");
    }
}
