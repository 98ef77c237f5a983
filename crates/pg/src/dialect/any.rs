//! Arrays, which are texts `{a,b}` here, and comparisons with any or all of their elements.

use bellwether_types::SqlError;
use sqlparser::ast::{BinaryOperator, Expr, Query};

use super::sql::{as_call, call, is_column, literal, take, text, verbatim};
use super::{Translator, cast, pattern, query};

/// Functions whose answer is an array.
const MAKE_ARRAYS: [&str; 9] = [
    "array_of",
    "array_from_json",
    "array_cat",
    "array_append",
    "array_prepend",
    "array_remove",
    "string_to_array",
    "regexp_split_to_array",
    "cast_array",
];

/// Whether an expression's value is certainly an array.
pub(super) fn is_array(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_array(inner),
        _ => as_call(expr).is_some_and(|(name, _)| MAKE_ARRAYS.contains(&name)),
    }
}

/// The rows `value` of an array's elements, as a SELECT's FROM. The array is computed where no column of
/// `json_each` can be taken for one of its own; NULL has one element, which is not known.
fn elements(array: &Expr) -> String {
    format!("(SELECT coalesce(array_to_json({array}), '[null]') AS any_array), json_each(any_array)")
}

/// `left op ANY (right)`, `left op ALL (right)`.
pub(super) fn rewrite(expr: &mut Expr, translator: &Translator<'_>) -> Result<(), SqlError> {
    let (left, op, right, is_any) = match expr {
        Expr::AnyOp {
            left,
            compare_op,
            right,
            ..
        } => (left, compare_op, right, true),
        Expr::AllOp {
            left,
            compare_op,
            right,
        } => (left, compare_op, right, false),
        _ => return Ok(()),
    };
    let is_membership = matches!(
        (&*op, is_any),
        (BinaryOperator::Eq, true) | (BinaryOperator::NotEq, false)
    );
    let right = without_parentheses(take(right));
    if is_membership {
        *expr = member(take(left), right, !is_any);
        return Ok(());
    }
    let mut comparison = Expr::BinaryOp {
        left: Box::new((**left).clone()),
        op: op.clone(),
        right: Box::new(element()),
    };
    if !pattern::operator(&mut comparison) && !is_comparison(op) {
        return Err(translator.refuse(format!("operator {op} with ANY or ALL"), &**left, ""));
    }
    *expr = each(&comparison, right, is_any);
    Ok(())
}

/// Whether `left` is one of the elements: SQLite's IN, which an index may serve, if it compares as PostgreSQL
/// does. A column's affinity converts the elements; where there is none the function compares what they spell.
fn member(left: Expr, right: Expr, negated: bool) -> Expr {
    let expr = Box::new(left);
    if let Expr::Subquery(mut subquery) = right {
        query::compare_by_value(&mut subquery);
        return Expr::InSubquery {
            expr,
            subquery,
            negated,
        };
    }
    if let Some(("array_of", list)) = as_call(&right) {
        let list = list.into_iter().cloned().collect();
        return Expr::InList { expr, list, negated };
    }
    if let Some(("cast_array", args)) = as_call(&right)
        && let [array, element_type] = args.as_slice()
        && let Some(element_type) = literal(element_type)
    {
        return member_of_typed(*expr, array, &element_type, negated);
    }
    let not = if negated { "NOT " } else { "" };
    if is_column(&expr) {
        return verbatim(format!("{expr} {not}IN (SELECT value FROM {})", elements(&right)));
    }
    let found = call("array_has", vec![right, *expr]);
    if negated {
        verbatim(format!("NOT {found}"))
    } else {
        found
    }
}

fn member_of_typed(left: Expr, array: &Expr, element_type: &str, negated: bool) -> Expr {
    let known = literal(array).and_then(|array| crate::functions::array::elements(&array));
    if let Some(known) = known {
        let list = known.into_iter().map(|element| match element {
            Some(element) => cast::to_name(text(element), element_type),
            None => super::sql::null(),
        });
        let list = list.collect();
        return Expr::InList {
            expr: Box::new(left),
            list,
            negated,
        };
    }
    let value = cast::to_name(Expr::Identifier("value".into()), element_type);
    let not = if negated { "NOT " } else { "" };
    verbatim(format!(
        "{left} {not}IN (SELECT {value} FROM {})",
        elements(array)
    ))
}

/// `text LIKE ANY (patterns)`, `text LIKE ALL (patterns)`; the parser takes the latter for a function. Whether it
/// was one of them.
pub(super) fn rewrite_like(expr: &mut Expr) -> bool {
    let (Expr::Like { any, pattern, .. } | Expr::ILike { any, pattern, .. }) = expr else {
        return false;
    };
    let all = as_call(pattern).filter(|(name, args)| name.eq_ignore_ascii_case("all") && args.len() == 1);
    let patterns = match all.map(|(_, args)| args[0].clone()) {
        Some(patterns) => patterns,
        None if *any => (**pattern).clone(),
        None => return false,
    };
    let is_any = std::mem::replace(any, false);
    **pattern = element();
    let mut comparison = take(expr);
    pattern::rewrite(&mut comparison);
    *expr = each(&comparison, without_parentheses(patterns), is_any);
    true
}

fn without_parentheses(expr: Expr) -> Expr {
    match expr {
        Expr::Nested(inner) => *inner,
        other => other,
    }
}

/// The element that is compared.
fn element() -> Expr {
    Expr::CompoundIdentifier(vec!["any_of".into(), "any_value".into()])
}

/// A comparison with the elements one by one: true (ALL: false) as soon as one says so, else NULL if one is not known.
fn each(comparison: &Expr, right: Expr, is_any: bool) -> Expr {
    let rows = match right {
        Expr::Subquery(mut subquery) => {
            query::compare_by_value(&mut subquery);
            subquery.to_string()
        }
        array => format!("SELECT value FROM {}", elements(&array)),
    };
    let (decisive, decided, otherwise) = if is_any { ("max", 1, 0) } else { ("min", 0, 1) };
    verbatim(format!(
        "WITH any_of(any_value) AS ({rows}) SELECT CASE WHEN {decisive}({comparison}) = {decided} THEN {decided} \
         WHEN count(*) > count({comparison}) THEN NULL ELSE {otherwise} END FROM any_of"
    ))
}

fn is_comparison(op: &BinaryOperator) -> bool {
    matches!(
        op,
        BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::Lt
            | BinaryOperator::LtEq
            | BinaryOperator::Gt
            | BinaryOperator::GtEq
    )
}

/// `ARRAY(SELECT ...)`: the first column's values.
pub(super) fn of_query(subquery: Query) -> Expr {
    verbatim(format!(
        "WITH rows_of(value) AS ({subquery}) SELECT array_from_json(json_group_array(value)) FROM rows_of"
    ))
}
