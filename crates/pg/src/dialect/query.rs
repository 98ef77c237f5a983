//! Queries and SELECTs: clauses that SQLite writes otherwise, or does not have.

use bellwether_types::SqlError;
use bellwether_types::lexer::quoted_name;
use sqlparser::ast::{
    Distinct, Expr, GroupByExpr, LimitClause, LockClause, NonBlock, Offset, OffsetRows, OrderBy, OrderByExpr,
    OrderByKind, Query, Select, SelectItem, SetExpr, SetOperator, SetQuantifier,
};

use super::sql::{integer, literal_integer, null, take};
use super::{Lock, Place, Translator, cast, column_name, from, set_returning};

/// Before what is inside is looked at.
pub(super) fn enter(query: &mut Query, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    if query.for_clause.is_some() || query.settings.is_some() || query.format_clause.is_some() {
        return Err(translator.refuse("this clause of a query", &*query, ""));
    }
    if !query.pipe_operators.is_empty() {
        return Err(translator.refuse("|>", &*query, "Write the query with SELECT and subqueries."));
    }
    for table in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
        if matches!(
            *table.query.body,
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_)
        ) {
            let hint =
                "Send the statements one after the other in a transaction; RETURNING gives their rows.";
            return Err(translator.refuse(
                "a data-modifying statement in WITH",
                &Place::from(&table.alias.name),
                hint,
            ));
        }
        if table.alias.columns.is_empty() {
            column_name::of_query(&mut table.query);
        }
    }
    check_order(query.order_by.as_ref(), translator)?;
    locks(&mut query.locks, translator)?;
    limits(query, translator)?;
    enter_set(&mut query.body, translator, true)?;
    unwrap_body(query);
    distinct_on(query, translator)
}

fn check_order(order: Option<&OrderBy>, translator: &Translator<'_>) -> Result<(), SqlError> {
    let Some(order) = order else { return Ok(()) };
    let is_plain = match &order.kind {
        OrderByKind::All(_) => false,
        OrderByKind::Expressions(exprs) => exprs.iter().all(|expr| expr.with_fill.is_none()),
    };
    if is_plain && order.interpolate.is_none() {
        Ok(())
    } else {
        Err(translator.refuse(order, order, "Name the columns to sort by."))
    }
}

/// FOR UPDATE and FOR SHARE take the writer: there is one lock, of everything.
fn locks(locks: &mut Vec<LockClause>, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    for clause in std::mem::take(locks) {
        let lock = match clause.nonblock {
            None => Lock::Wait,
            Some(NonBlock::Nowait) => Lock::NoWait,
            Some(NonBlock::SkipLocked) => Lock::SkipLocked,
        };
        // Not to wait is the stronger wish.
        if translator.translation.lock != Some(Lock::NoWait) {
            translator.translation.lock = Some(lock);
        }
    }
    Ok(())
}

/// FETCH FIRST is LIMIT; OFFSET alone is LIMIT -1 OFFSET.
fn limits(query: &mut Query, translator: &Translator<'_>) -> Result<(), SqlError> {
    let fetched = match query.fetch.take() {
        Some(fetch) if fetch.with_ties || fetch.percent => {
            let hint = "Write LIMIT, or rank() OVER (ORDER BY ...) in a subquery.";
            return Err(translator.refuse("FETCH FIRST with TIES or PERCENT", &*query, hint));
        }
        Some(fetch) => Some(fetch.quantity.unwrap_or_else(|| integer(1))),
        None => None,
    };
    let clause = query.limit_clause.take();
    query.limit_clause = match (clause, fetched) {
        (
            Some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            }),
            fetched,
        ) if limit_by.is_empty() => {
            let limit = limit.or(fetched);
            let offset = offset.map(|offset| Offset {
                value: offset.value,
                rows: OffsetRows::None,
            });
            let limit = match (limit, &offset) {
                (None, Some(_)) => Some(integer(-1)),
                (limit, _) => limit,
            };
            limit.is_some().then_some(LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            })
        }
        (None, Some(limit)) => Some(LimitClause::LimitOffset {
            limit: Some(limit),
            offset: None,
            limit_by: Vec::new(),
        }),
        (clause, _) => clause,
    };
    Ok(())
}

/// The parts of a compound query. SQLite takes no parentheses around them.
fn enter_set(set: &mut SetExpr, translator: &mut Translator<'_>, is_whole: bool) -> Result<(), SqlError> {
    match set {
        SetExpr::SetOperation {
            left,
            op,
            set_quantifier,
            right,
        } => {
            let is_usual = match set_quantifier {
                SetQuantifier::None => true,
                SetQuantifier::All => *op == SetOperator::Union,
                SetQuantifier::Distinct => {
                    *set_quantifier = SetQuantifier::None;
                    true
                }
                _ => false,
            };
            if !is_usual || *op == SetOperator::Minus {
                let what = format!("{op} {set_quantifier}");
                return Err(translator.refuse(
                    what,
                    &**left,
                    "SQLite has UNION, UNION ALL, INTERSECT and EXCEPT.",
                ));
            }
            enter_set(left, translator, false)?;
            enter_set(right, translator, false)
        }
        SetExpr::Query(query) if !is_whole => {
            let written = match plain_body(query) {
                Some(body) => {
                    *set = body;
                    return Ok(());
                }
                None => format!("SELECT * FROM ({query})"),
            };
            if let Some(wrapped) = super::sql::query(&written) {
                *set = *wrapped.body;
            }
            Ok(())
        }
        SetExpr::Table(table) => {
            let schema = table
                .schema_name
                .as_ref()
                .map(|schema| format!("{schema}."))
                .unwrap_or_default();
            let name = table.table_name.clone().unwrap_or_default();
            if let Some(query) = super::sql::query(&format!("SELECT * FROM {schema}{name}")) {
                *set = *query.body;
            }
            Ok(())
        }
        SetExpr::Values(values) => {
            values.explicit_row = false;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A SELECT or VALUES in parentheses that could as well stand without.
fn plain_body(query: &Query) -> Option<SetExpr> {
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.fetch.is_none()
        && query.locks.is_empty();
    match &*query.body {
        SetExpr::Select(_) | SetExpr::Values(_) if is_plain => Some((*query.body).clone()),
        SetExpr::Query(inner) if is_plain => plain_body(inner),
        _ => None,
    }
}

/// A whole query in parentheses.
fn unwrap_body(query: &mut Query) {
    let SetExpr::Query(inner) = &*query.body else {
        return;
    };
    let has_own = query.with.is_some() || query.order_by.is_some() || query.limit_clause.is_some();
    if has_own {
        if let Some(wrapped) = super::sql::query(&format!("SELECT * FROM ({inner})")) {
            query.body = wrapped.body;
        }
    } else {
        let inner = (**inner).clone();
        *query = inner;
        unwrap_body(query);
    }
}

/// Before what is inside is looked at.
pub(super) fn enter_select(select: &mut Select, translator: &mut Translator<'_>) -> Result<(), SqlError> {
    if select.into.is_some() {
        let hint = "Write CREATE TABLE ... AS SELECT.";
        return Err(translator.refuse("SELECT INTO", &*select, hint));
    }
    let has_plain_groups = match &select.group_by {
        GroupByExpr::All(_) => false,
        GroupByExpr::Expressions(_, modifiers) => modifiers.is_empty(),
    };
    let is_usual = has_plain_groups
        && select.optimizer_hints.is_empty()
        && select.select_modifiers.is_none()
        && select.top.is_none()
        && select.exclude.is_none()
        && select.lateral_views.is_empty()
        && select.prewhere.is_none()
        && select.connect_by.is_empty()
        && select.cluster_by.is_empty()
        && select.distribute_by.is_empty()
        && select.sort_by.is_empty()
        && select.qualify.is_none()
        && select.value_table_mode.is_none();
    if !is_usual {
        return Err(translator.refuse("this form of SELECT", &*select, ""));
    }
    if let Some(Distinct::On(_)) = select.distinct {
        let hint = "Number the rows with row_number() OVER (PARTITION BY ...) in a subquery.";
        return Err(translator.refuse("DISTINCT ON here", &*select, hint));
    }
    if let Some(Distinct::All) = select.distinct {
        select.distinct = None;
    }
    for item in &select.projection {
        check_item(item, translator)?;
    }
    if select.projection.is_empty() {
        select.projection.push(SelectItem::UnnamedExpr(null()));
    }
    let known = translator.substitutions.len();
    from::enter(&mut select.from, translator)?;
    from::expand_wildcards(select, known, translator)?;
    set_returning::in_projection(select, translator)
}

/// `t.*` and `*` are SQLite's; `(row).*` and what other databases add are not.
pub(super) fn check_item(item: &SelectItem, translator: &Translator<'_>) -> Result<(), SqlError> {
    use sqlparser::ast::SelectItemQualifiedWildcardKind::ObjectName;
    let is_usual = match item {
        SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. } => true,
        SelectItem::ExprWithAliases { .. } => false,
        SelectItem::QualifiedWildcard(ObjectName(_), options) | SelectItem::Wildcard(options) => {
            options.to_string().is_empty()
        }
        SelectItem::QualifiedWildcard(..) => false,
    };
    if is_usual {
        Ok(())
    } else {
        Err(translator.refuse(item, item, "Name the columns."))
    }
}

/// What is shown of `regclass` and its kin are names.
pub(super) fn leave_select(select: &mut Select) {
    show_names(&mut select.projection);
}

pub(super) fn show_names(items: &mut [SelectItem]) {
    for item in items {
        if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
            cast::as_output(expr);
        }
    }
}

/// What is compared are numbers: of a query at the right of IN.
pub(super) fn compare_by_value(query: &mut Query) {
    fn of_set(set: &mut SetExpr) {
        match set {
            SetExpr::Select(select) => {
                for item in &mut select.projection {
                    if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                        cast::as_number(expr);
                    }
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                of_set(left);
                of_set(right);
            }
            _ => {}
        }
    }
    of_set(&mut query.body);
}

/// `SELECT DISTINCT ON (a) …` keeps the first row of each a: numbered inside, chosen outside.
fn distinct_on(query: &mut Query, translator: &Translator<'_>) -> Result<(), SqlError> {
    let SetExpr::Select(select) = &mut *query.body else {
        return Ok(());
    };
    let Some(Distinct::On(keys)) = select
        .distinct
        .take_if(|distinct| matches!(distinct, Distinct::On(_)))
    else {
        return Ok(());
    };
    let mut inner: Vec<String> = Vec::new();
    let mut outer: Vec<String> = Vec::new();
    let mut exprs: Vec<(String, Expr)> = Vec::new();
    for (number, item) in select.projection.iter_mut().enumerate() {
        let (expr, name) = match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = column_name::name(expr);
                (take(expr), name)
            }
            SelectItem::ExprWithAlias { expr, alias } => (take(expr), alias.value.clone()),
            other => {
                let hint = "Name the columns: SELECT DISTINCT ON (a) a, b, c.";
                return Err(translator.refuse("DISTINCT ON with *", &*other, hint));
            }
        };
        inner.push(format!("{expr} AS \"value_{number}\""));
        outer.push(format!("\"value_{number}\" AS {}", quoted_name(&name)));
        exprs.push((name, expr));
    }
    let order = match query.order_by.take().map(|order| order.kind) {
        Some(OrderByKind::Expressions(order)) => order,
        _ => Vec::new(),
    };
    let mut sorted: Vec<String> = Vec::new();
    let mut sorted_outside: Vec<String> = Vec::new();
    for (number, OrderByExpr { expr, options, .. }) in order.into_iter().enumerate() {
        let expr = meant_by(expr, &exprs);
        inner.push(format!("{expr} AS \"order_{number}\""));
        sorted.push(format!("{expr}{options}"));
        sorted_outside.push(format!("\"order_{number}\"{options}"));
    }
    let keys: Vec<String> = keys
        .into_iter()
        .map(|key| meant_by(key, &exprs).to_string())
        .collect();
    let order_by = |exprs: &[String]| match exprs {
        [] => String::new(),
        exprs => format!(" ORDER BY {}", exprs.join(", ")),
    };
    inner.push(format!(
        "row_number() OVER (PARTITION BY {}{}) AS \"distinct_on\"",
        keys.join(", "),
        order_by(&sorted)
    ));
    select.projection = Vec::new();
    let rest = select.to_string();
    let rest = rest.strip_prefix("SELECT").unwrap_or(&rest);
    let written = format!(
        "SELECT {} FROM (SELECT {}{rest}) AS \"distinct_rows\" WHERE \"distinct_on\" = 1{}",
        outer.join(", "),
        inner.join(", "),
        order_by(&sorted_outside)
    );
    let Some(rewritten) = super::sql::query(&written) else {
        return Err(translator.refuse("this form of DISTINCT ON", &*query, ""));
    };
    query.body = rewritten.body;
    query.order_by = rewritten.order_by;
    Ok(())
}

/// ORDER BY may name a column of the result, or its number.
fn meant_by(expr: Expr, columns: &[(String, Expr)]) -> Expr {
    if let Some(number) = literal_integer(&expr)
        && let Some(column) = usize::try_from(number - 1)
            .ok()
            .and_then(|index| columns.get(index))
    {
        return column.1.clone();
    }
    let named = match &expr {
        Expr::Identifier(name) => columns
            .iter()
            .find(|(column, _)| column.eq_ignore_ascii_case(&name.value)),
        _ => None,
    };
    named.map_or(expr, |(_, meant)| meant.clone())
}
