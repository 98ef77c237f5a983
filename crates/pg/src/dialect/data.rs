//! INSERT, UPDATE and DELETE.

use bellwether_types::SqlError;
use sqlparser::ast::{
    Assignment, ConflictTarget, Delete, Expr, FromTable, Insert, OnConflictAction, OnInsert, SelectItem,
    SetExpr, TableFactor, TableObject, Update, UpdateTableFromKind,
};

use super::sql::{take, verbatim};
use super::{Translator, column_name, from, query};

/// `DEFAULT` in place of a value, which the parser takes for a column.
fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("default"))
}

fn returning(items: &mut Option<Vec<SelectItem>>, translator: &Translator<'_>) -> Result<(), SqlError> {
    let Some(items) = items else { return Ok(()) };
    for item in items.iter() {
        query::check_item(item, translator)?;
    }
    column_name::of_items(items);
    Ok(())
}

fn assignments(assignments: &[Assignment], translator: &Translator<'_>) -> Result<(), SqlError> {
    match assignments
        .iter()
        .find(|assignment| is_default(&assignment.value))
    {
        Some(assignment) => {
            let hint = "Write the default's value.";
            Err(translator.refuse("SET ... = DEFAULT", &assignment.value, hint))
        }
        None => Ok(()),
    }
}

/// Before what is inside is looked at.
pub(super) fn insert(insert: &mut Insert, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let is_usual = matches!(insert.table, TableObject::TableName(_))
        && !insert.overwrite
        && !insert.ignore
        && insert.optimizer_hints.is_empty()
        && insert.assignments.is_empty()
        && insert.partitioned.is_none()
        && insert.after_columns.is_empty()
        && insert.output.is_none()
        && insert.insert_alias.is_none()
        && insert.settings.is_none()
        && insert.format_clause.is_none()
        && insert.multi_table_insert_type.is_none();
    if !is_usual {
        return Err(translator.refuse("this form of INSERT", &insert.table, ""));
    }
    insert.has_table_keyword = false;
    match &insert.on {
        None => {}
        Some(OnInsert::OnConflict(conflict)) => {
            if let Some(ConflictTarget::OnConstraint(name)) = &conflict.conflict_target {
                let hint = "Name the columns: ON CONFLICT (column, ...).";
                return Err(translator.refuse("ON CONFLICT ON CONSTRAINT", name, hint));
            }
            if let OnConflictAction::DoUpdate(update) = &conflict.action {
                assignments(&update.assignments, translator)?;
            }
        }
        Some(_) => return Err(translator.refuse("this form of INSERT", &insert.table, "")),
    }
    on_conflict_of_select(insert);
    returning(&mut insert.returning, translator)
}

/// The rows of VALUES that have DEFAULT in the same places, each lot as an INSERT of its own without these columns,
/// which is the same.
pub(super) fn split_defaults(
    insert: &Insert,
    translator: &Translator<'_>,
) -> Result<Option<Vec<Insert>>, SqlError> {
    let Some(source) = &insert.source else {
        return Ok(None);
    };
    let SetExpr::Values(values) = &*source.body else {
        return Ok(None);
    };
    let Some(default) = values
        .rows
        .iter()
        .flat_map(|row| &row.content)
        .find(|value| is_default(value))
    else {
        return Ok(None);
    };
    let width = insert.columns.len();
    if width == 0 || values.rows.iter().any(|row| row.content.len() != width) {
        let hint = "Name the columns: INSERT INTO t (a, b) VALUES ...";
        return Err(translator.refuse("DEFAULT in VALUES without a list of columns", default, hint));
    }
    let mut lots: Vec<(Vec<bool>, Insert)> = Vec::new();
    for row in &values.rows {
        let given: Vec<bool> = row.content.iter().map(|value| !is_default(value)).collect();
        // SQLite's DEFAULT VALUES is one row.
        let is_new = lots
            .last()
            .is_none_or(|(known, _)| *known != given || !given.contains(&true));
        if is_new {
            lots.push((given.clone(), without(insert, &given)));
        }
        let (_, lot) = lots.last_mut().expect("pushed if there was none");
        let mut row = row.clone();
        let mut kept = given.iter();
        row.content.retain(|_| kept.next() == Some(&true));
        if let Some(source) = &mut lot.source
            && let SetExpr::Values(values) = &mut *source.body
        {
            values.rows.push(row);
        }
    }
    Ok(Some(lots.into_iter().map(|(_, lot)| lot).collect()))
}

/// The INSERT with the columns that are given, and no rows yet.
fn without(insert: &Insert, given: &[bool]) -> Insert {
    let mut lot = insert.clone();
    let mut kept = given.iter();
    lot.columns.retain(|_| kept.next() == Some(&true));
    if lot.columns.is_empty() {
        lot.source = None;
    }
    if let Some(source) = &mut lot.source
        && let SetExpr::Values(values) = &mut *source.body
    {
        values.rows.clear();
    }
    lot
}

/// SQLite would take ON CONFLICT after a SELECT without WHERE for the ON of a join.
fn on_conflict_of_select(insert: &mut Insert) {
    if insert.on.is_none() {
        return;
    }
    if let Some(source) = &mut insert.source
        && let SetExpr::Select(select) = &mut *source.body
        && select.selection.is_none()
        && !select.from.is_empty()
    {
        select.selection = Some(Expr::Identifier("true".into()));
    }
}

/// Before what is inside is looked at.
pub(super) fn update(update: &mut Update, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let is_usual = update.optimizer_hints.is_empty()
        && update.output.is_none()
        && update.table.joins.is_empty()
        && !matches!(update.from, Some(UpdateTableFromKind::BeforeSet(_)));
    if !is_usual {
        return Err(translator.refuse("this form of UPDATE", &update.table, ""));
    }
    assignments(&update.assignments, translator)?;
    from::enter(std::slice::from_mut(&mut update.table), translator)?;
    if let Some(UpdateTableFromKind::AfterSet(tables)) = &mut update.from {
        from::enter(tables, translator)?;
    }
    explicit_alias(&mut update.table.relation);
    returning(&mut update.returning, translator)
}

/// SQLite wants AS before the alias of a table that is written to.
fn explicit_alias(table: &mut TableFactor) {
    if let TableFactor::Table {
        alias: Some(alias), ..
    } = table
    {
        alias.explicit = true;
    }
}

/// Before what is inside is looked at. USING becomes a subquery over the rows' ids.
pub(super) fn delete(delete: &mut Delete, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let FromTable::WithFromKeyword(tables) = &mut delete.from else {
        return Err(translator.refuse("DELETE without FROM", &delete.from, ""));
    };
    let is_usual = delete.tables.is_empty() && delete.optimizer_hints.is_empty() && delete.output.is_none();
    let [table] = tables.as_mut_slice() else {
        return Err(translator.refuse(
            "DELETE from several tables",
            &tables[0],
            "DELETE from one table at a time.",
        ));
    };
    if !is_usual || !table.joins.is_empty() {
        return Err(translator.refuse("this form of DELETE", &*table, ""));
    }
    from::enter(std::slice::from_mut(table), translator)?;
    explicit_alias(&mut table.relation);
    if let Some(using) = delete.using.take() {
        let TableFactor::Table { name, alias, .. } = &table.relation else {
            return Err(translator.refuse("this form of DELETE", &*table, ""));
        };
        let called = alias
            .as_ref()
            .map_or_else(|| name.to_string(), |alias| alias.name.to_string());
        let written = format!(
            "SELECT {called}.rowid FROM {}, {}",
            table.relation,
            using
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        let Some(mut rows) = super::sql::query(&written) else {
            return Err(translator.refuse("this form of USING", &*table, ""));
        };
        if let SetExpr::Select(select) = &mut *rows.body {
            select.selection = delete.selection.take();
        }
        delete.selection = Some(Expr::InSubquery {
            expr: Box::new(Expr::Identifier("rowid".into())),
            subquery: Box::new(rows),
            negated: false,
        });
    }
    returning(&mut delete.returning, translator)
}

/// A value in parentheses, unless it has some.
pub(super) fn in_parentheses(expr: &mut Expr) {
    if !matches!(expr, Expr::Nested(_)) {
        *expr = match take(expr) {
            Expr::Subquery(query) => verbatim(query.to_string()),
            other => Expr::Nested(Box::new(other)),
        };
    }
}
