//! Patterns and collations: LIKE's kin are functions here, since SQLite has no operators for them.

use bellwether_types::SqlError;
use sqlparser::ast::{BinaryOperator, Expr, ObjectName};

use super::Translator;
use super::sql::{call, literal, take, text, verbatim};

/// ILIKE, SIMILAR TO, and LIKE whose pattern escapes with a backslash, as PostgreSQL's do.
pub(super) fn rewrite(expr: &mut Expr) {
    match expr {
        Expr::ILike {
            negated,
            expr: value,
            pattern,
            escape_char,
            ..
        } => {
            let mut args = vec![take(value), take(pattern)];
            args.extend(escape_char.as_deref_mut().map(take));
            *expr = truth("ilike", args, *negated);
        }
        Expr::SimilarTo {
            negated,
            expr: value,
            pattern,
            escape_char,
        } => {
            let mut args = vec![take(value), take(pattern)];
            args.extend(escape_char.as_deref_mut().map(take));
            *expr = truth("similar_to", args, *negated);
        }
        Expr::Like {
            pattern, escape_char, ..
        } => {
            let given = escape_char.as_deref().and_then(literal);
            if given.is_some_and(|escape| escape.is_empty()) {
                // Nothing escapes: so it is in SQLite without the clause.
                *escape_char = None;
            } else if escape_char.is_none() && literal(pattern).is_some_and(|pattern| pattern.contains('\\'))
            {
                *escape_char = Some(Box::new(text("\\")));
            }
        }
        _ => {}
    }
}

/// `~`, `~*`, `~~`, `~~*` and their opposites, also as `OPERATOR(pg_catalog.~)`. Whether it was one of them.
pub(super) fn operator(expr: &mut Expr) -> bool {
    let Expr::BinaryOp { left, op, right } = expr else {
        return false;
    };
    let symbol = match &*op {
        BinaryOperator::PGCustomBinaryOperator(path) => path.last().cloned().unwrap_or_default(),
        other => other.to_string(),
    };
    let (negated, symbol) = match symbol.strip_prefix('!') {
        Some(rest) if rest.starts_with('~') => (true, rest),
        _ => (false, symbol.as_str()),
    };
    let (name, flags) = match symbol {
        "~" => ("regexp_like", None),
        "~*" => ("regexp_like", Some("i")),
        "~~" => ("pg_like", None),
        "~~*" => ("ilike", None),
        other => return standard(other, op),
    };
    let mut args = vec![take(left), uncollated(take(right))];
    args.extend(flags.map(text));
    *expr = truth(name, args, negated);
    true
}

/// `OPERATOR(pg_catalog.=)` and the like. Never the last word: the operator goes on to be looked at.
fn standard(symbol: &str, op: &mut BinaryOperator) -> bool {
    if matches!(op, BinaryOperator::PGCustomBinaryOperator(_)) {
        *op = match symbol {
            "=" => BinaryOperator::Eq,
            "<>" => BinaryOperator::NotEq,
            "<" => BinaryOperator::Lt,
            "<=" => BinaryOperator::LtEq,
            ">" => BinaryOperator::Gt,
            ">=" => BinaryOperator::GtEq,
            "+" => BinaryOperator::Plus,
            "-" => BinaryOperator::Minus,
            "*" => BinaryOperator::Multiply,
            "/" => BinaryOperator::Divide,
            "||" => BinaryOperator::StringConcat,
            _ => return false,
        };
    }
    false
}

fn truth(name: &str, args: Vec<Expr>, negated: bool) -> Expr {
    let call = call(name, args);
    if negated {
        verbatim(format!("NOT {call}"))
    } else {
        call
    }
}

/// Patterns have no order.
fn uncollated(expr: Expr) -> Expr {
    match expr {
        Expr::Collate { expr, collation } if is_byte_order(&collation) => *expr,
        other => other,
    }
}

/// Whether a COLLATE clause says what is so anyhow: text is in the order of its bytes.
pub(super) fn is_byte_order(collation: &ObjectName) -> bool {
    let name = collation.0.last().and_then(|part| part.as_ident());
    name.is_some_and(|name| {
        ["default", "c", "posix", "ucs_basic", "c.utf8", "c.utf-8"]
            .iter()
            .any(|known| name.value.eq_ignore_ascii_case(known))
    })
}

/// Text is in the order of its bytes here, which is `"C"`.
pub(super) fn collation(expr: &mut Expr, translator: &Translator<'_>) -> Result<(), SqlError> {
    let Expr::Collate {
        expr: inner,
        collation,
    } = &mut *expr
    else {
        return Ok(());
    };
    if is_byte_order(collation) {
        *expr = take(inner);
        return Ok(());
    }
    known_collation(collation).ok_or_else(|| {
        let hint = "Collations are BINARY (byte order, also \"C\" and \"default\"), NOCASE and RTRIM.";
        translator.refuse(format!("collation {collation}"), &**inner, hint)
    })
}

/// Whether SQLite has a collation of that name.
pub(super) fn known_collation(collation: &ObjectName) -> Option<()> {
    let [part] = collation.0.as_slice() else {
        return None;
    };
    let name = &part.as_ident()?.value;
    ["BINARY", "NOCASE", "RTRIM"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
        .then_some(())
}
