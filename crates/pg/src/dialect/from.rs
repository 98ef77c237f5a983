//! FROM: what stands there beside tables and subqueries.

use bellwether_types::SqlError;
use sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, Query, Select, SelectItem, SelectItemQualifiedWildcardKind,
    SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut,
};

use super::sql::{quoted, table_factor};
use super::{Translator, set_returning};

/// A column that stands for an expression, since its table has other columns in SQLite.
#[derive(Debug, Clone)]
pub(super) struct Substitution {
    /// Lower case.
    pub(super) table: String,
    /// Lower case.
    pub(super) column: String,
    pub(super) expr: Expr,
}

/// Replaces a column that stands for something else.
pub(super) fn substitute(expr: &mut Expr, translator: &Translator<'_>) {
    let is_table = |known: &Substitution, table: &Ident| known.table.eq_ignore_ascii_case(&table.value);
    let is_column = |known: &Substitution, column: &Ident| known.column.eq_ignore_ascii_case(&column.value);
    let found = translator.substitutions.iter().rev().find(|known| match &*expr {
        Expr::Identifier(column) => is_column(known, column),
        Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, column] => is_table(known, table) && is_column(known, column),
            _ => false,
        },
        _ => false,
    });
    if let Some(found) = found {
        *expr = found.expr.clone();
    }
}

/// Rewrites all tables of a FROM, before what is in them is looked at.
pub(super) fn enter(tables: &mut [TableWithJoins], translator: &mut Translator<'_>) -> Result<(), SqlError> {
    for table in tables {
        enter_factor(&mut table.relation, translator)?;
        for join in &mut table.joins {
            check_join(&join.join_operator, &join.relation, translator)?;
            enter_factor(&mut join.relation, translator)?;
        }
    }
    Ok(())
}

fn check_join(
    operator: &JoinOperator,
    at: &TableFactor,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    match operator {
        JoinOperator::Join(_)
        | JoinOperator::Inner(_)
        | JoinOperator::Left(_)
        | JoinOperator::LeftOuter(_)
        | JoinOperator::Right(_)
        | JoinOperator::RightOuter(_)
        | JoinOperator::FullOuter(_)
        | JoinOperator::CrossJoin(JoinConstraint::None) => Ok(()),
        _ => Err(translator.refuse("this kind of join", at, "")),
    }
}

fn enter_factor(factor: &mut TableFactor, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let refused = |translator: &Translator<'_>, factor: &TableFactor, hint: &str| {
        Err(translator.refuse(factor, factor, hint))
    };
    match factor {
        TableFactor::Table { args: Some(_), .. }
        | TableFactor::Function { .. }
        | TableFactor::UNNEST { .. } => set_returning::in_from(factor, translator),
        TableFactor::Table {
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_hints,
            ..
        } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
            only(factor);
            with_column_names(factor, translator)
        }
        TableFactor::Derived { sample: None, .. } => enter_derived(factor, translator),
        TableFactor::NestedJoin {
            table_with_joins,
            alias: None,
        } => enter(std::slice::from_mut(&mut **table_with_joins), translator),
        TableFactor::Table { sample: Some(_), .. } => refused(
            translator,
            factor,
            "Write WHERE random() % 100 < 5 for five per cent.",
        ),
        _ => refused(translator, factor, ""),
    }
}

/// `ONLY t`, which the parser takes for a table `only` under the name of `t`: no table here has descendants.
fn only(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, .. } = factor else {
        return;
    };
    let is_only = matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|name| {
        name.quote_style.is_none() && name.value.eq_ignore_ascii_case("only")
    }));
    if is_only
        && let Some(TableAlias {
            explicit: false,
            name: table,
            ..
        }) = alias.clone()
    {
        *name = vec![table].into();
        *alias = None;
    }
}

fn enter_derived(factor: &mut TableFactor, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let TableFactor::Derived {
        lateral,
        subquery,
        alias,
        ..
    } = factor
    else {
        return Ok(());
    };
    if alias.as_ref().is_none_or(|alias| alias.columns.is_empty()) {
        super::column_name::of_query(subquery);
    }
    if *lateral {
        return lateral_values(factor, translator);
    }
    if alias.is_none() && matches!(*subquery.body, SetExpr::Values(_)) {
        return Ok(());
    }
    with_column_names(factor, translator)
}

/// A column list after a table's alias: the columns get their names in a common table expression, which can have one.
fn with_column_names(factor: &mut TableFactor, translator: &Translator<'_>) -> Result<(), SqlError> {
    let (source, alias) = match &*factor {
        TableFactor::Table {
            name,
            alias: Some(alias),
            ..
        } if !alias.columns.is_empty() => (format!("SELECT * FROM {name}"), alias),
        TableFactor::Derived {
            subquery,
            alias: Some(alias),
            ..
        } if !alias.columns.is_empty() => (subquery.to_string(), alias),
        _ => return Ok(()),
    };
    if alias.columns.iter().any(|column| column.data_type.is_some()) {
        return Err(translator.refuse("a column list with types", &*factor, "Leave the types out."));
    }
    let columns: Vec<String> = alias
        .columns
        .iter()
        .map(|column| column.name.to_string())
        .collect();
    let name = &alias.name;
    let wrapped = format!(
        "(WITH {name} ({}) AS ({source}) SELECT * FROM {name}) AS {name}",
        columns.join(", ")
    );
    replace(factor, &wrapped, translator)
}

/// Puts a table that is written out in place of another.
pub(super) fn replace(
    factor: &mut TableFactor,
    written: &str,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    match table_factor(written) {
        Some(replacement) => {
            *factor = replacement;
            Ok(())
        }
        None => Err(translator.refuse(&*factor, &*factor, "")),
    }
}

/// `LATERAL (SELECT …)` without a FROM of its own: its columns are expressions over the tables before, and stand
/// where they are used.
fn lateral_values(factor: &mut TableFactor, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    let hint = "Write the subquery as a join with GROUP BY, or as subqueries in the SELECT list.";
    let refused = translator.refuse("LATERAL with a subquery over tables", &*factor, hint);
    let TableFactor::Derived {
        subquery,
        alias: Some(alias),
        ..
    } = factor
    else {
        return Err(refused);
    };
    let Some(mut select) = plain_select(subquery) else {
        return Err(refused);
    };
    let table = alias.name.value.to_ascii_lowercase();
    let rows = set_returning::extract(&mut select.projection, &alias.name, translator)?;
    let names = alias.columns.iter().map(|column| Some(column.name.value.clone()));
    let names: Vec<Option<String>> = names
        .chain(std::iter::repeat(None))
        .take(select.projection.len())
        .collect();
    let alias = alias.name.clone();
    let mut found = Vec::new();
    for (item, name) in select.projection.into_iter().zip(names) {
        let (mut expr, own_name) = match item {
            SelectItem::ExprWithAlias { expr, alias } => (expr, alias.value),
            SelectItem::UnnamedExpr(expr) => {
                let name = super::column_name::name(&expr);
                (expr, name)
            }
            _ => return Err(refused),
        };
        if VisitMut::visit(&mut expr, translator).is_break() {
            return Err(translator.error.take().unwrap_or(refused));
        }
        found.push(Substitution {
            table: table.clone(),
            column: name.unwrap_or(own_name).to_ascii_lowercase(),
            expr: Expr::Nested(Box::new(expr)),
        });
    }
    translator.substitutions.append(&mut found);
    let written = match rows {
        Some(rows) => format!("{rows} AS {alias}"),
        None => format!("(SELECT 1) AS {alias}"),
    };
    replace(factor, &written, translator)
}

/// Writes `*` out where a table has columns that stand for something else, from number `known` on.
pub(super) fn expand_wildcards(
    select: &mut Select,
    known: usize,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    name_substituted(select, translator);
    let found = &translator.substitutions[known..];
    if found.is_empty() {
        return Ok(());
    }
    let columns_of = |table: &Ident| {
        let columns = found
            .iter()
            .filter(|found| found.table.eq_ignore_ascii_case(&table.value));
        let columns = columns.map(|found| SelectItem::ExprWithAlias {
            expr: Expr::CompoundIdentifier(vec![table.clone(), quoted(&found.column)]),
            alias: quoted(&found.column),
        });
        columns.collect::<Vec<_>>()
    };
    let mut items = Vec::new();
    for item in std::mem::take(&mut select.projection) {
        match &item {
            SelectItem::Wildcard(options) => {
                for table in tables_of(&select.from, translator)? {
                    let columns = columns_of(&table);
                    if columns.is_empty() {
                        let kind = SelectItemQualifiedWildcardKind::ObjectName(vec![table].into());
                        items.push(SelectItem::QualifiedWildcard(kind, options.clone()));
                    } else {
                        items.extend(columns);
                    }
                }
            }
            SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                let table = name.0.last().and_then(|part| part.as_ident());
                let columns = table.map(columns_of).unwrap_or_default();
                if columns.is_empty() {
                    items.push(item);
                } else {
                    items.extend(columns);
                }
            }
            _ => items.push(item),
        }
    }
    select.projection = items;
    Ok(())
}

/// A column that stands for something else keeps its name in the result.
fn name_substituted(select: &mut Select, translator: &Translator<'_>) {
    for item in &mut select.projection {
        let SelectItem::UnnamedExpr(expr) = item else {
            continue;
        };
        let mut meant = expr.clone();
        substitute(&mut meant, translator);
        let alias = match &*expr {
            Expr::Identifier(name) => name.clone(),
            Expr::CompoundIdentifier(parts) => match parts.last() {
                Some(name) => name.clone(),
                None => continue,
            },
            _ => continue,
        };
        if meant != *expr {
            *item = SelectItem::ExprWithAlias {
                expr: expr.clone(),
                alias,
            };
        }
    }
}

/// What the tables of a FROM are called, in order.
fn tables_of(from: &[TableWithJoins], translator: &Translator<'_>) -> Result<Vec<Ident>, SqlError> {
    let mut names = Vec::new();
    for table in from {
        for factor in std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation)) {
            let name = match factor {
                TableFactor::Table {
                    alias: Some(alias), ..
                }
                | TableFactor::Derived {
                    alias: Some(alias), ..
                } => Some(alias.name.clone()),
                TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
                _ => None,
            };
            match name {
                Some(name) => names.push(name),
                None => return Err(translator.refuse("* over this FROM", factor, "Name the columns.")),
            }
        }
    }
    Ok(names)
}

/// The SELECT of a query that is nothing but a list of expressions.
fn plain_select(query: &Query) -> Option<Select> {
    let SetExpr::Select(select) = &*query.body else {
        return None;
    };
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && select.from.is_empty()
        && select.selection.is_none()
        && select.distinct.is_none()
        && select.having.is_none();
    is_plain.then(|| (**select).clone())
}
