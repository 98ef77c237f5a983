//! Dates and times plus and minus something. SQLite would add the number that a text begins with, so what is a
//! date for certain is never left to its `+`.

use bellwether_types::SqlError;
use bellwether_types::lexer;
use sqlparser::ast::{BinaryOperator, Expr};

use super::Translator;
use super::sql::{as_call, call, integer, literal_integer, take, text};

/// Stands for an interval until the arithmetic around it takes it up.
const MARKER: &str = "interval";

/// An interval, which is no value of its own here.
pub(super) fn marker(value: Expr) -> Expr {
    call(MARKER, vec![value])
}

/// `INTERVAL '1' DAY`, `INTERVAL '1 day'`.
pub(super) fn literal(expr: &mut Expr, translator: &Translator<'_>) -> Result<(), SqlError> {
    let Expr::Interval(interval) = &mut *expr else {
        return Ok(());
    };
    if interval.last_field.is_some() || interval.leading_precision.is_some() {
        let hint = "Write INTERVAL '1 day 02:03:04'.";
        return Err(translator.refuse("an interval with a range of fields", &*expr, hint));
    }
    let value = take(&mut interval.value);
    *expr = match &interval.leading_field {
        Some(field) => {
            let number = super::sql::literal(&value).unwrap_or_else(|| value.to_string());
            marker(text(format!("{number} {field}")))
        }
        None => marker(value),
    };
    Ok(())
}

/// What an expression certainly is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temporal {
    Date,
    Timestamp,
    Interval,
}

fn temporal(expr: &Expr) -> Option<Temporal> {
    match expr {
        Expr::Nested(inner) => temporal(inner),
        Expr::Identifier(name)
            if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("current_date") =>
        {
            Some(Temporal::Date)
        }
        Expr::Function(function) if is_bare(function, "current_date") => Some(Temporal::Date),
        Expr::Function(function) if is_bare(function, "current_timestamp") => Some(Temporal::Timestamp),
        _ => match as_call(expr)?.0 {
            "cast_date" | "make_date" | "to_date" => Some(Temporal::Date),
            "cast_timestamp" | "cast_timestamptz" | "date_trunc" | "timezone" | "to_timestamp"
            | "date_add" | "make_timestamp" => Some(Temporal::Timestamp),
            "date_add_days" => Some(Temporal::Date),
            MARKER => Some(Temporal::Interval),
            _ => None,
        },
    }
}

fn is_bare(function: &sqlparser::ast::Function, name: &str) -> bool {
    matches!(function.args, sqlparser::ast::FunctionArguments::None)
        && function.name.to_string().eq_ignore_ascii_case(name)
}

/// Takes up `+` and `-` with a date, time or interval at one side. Whether it was such a sum.
pub(super) fn arithmetic(expr: &mut Expr, translator: &Translator<'_>) -> Result<bool, SqlError> {
    let Expr::BinaryOp { left, op, right } = expr else {
        return Ok(false);
    };
    let sign = match op {
        BinaryOperator::Plus => 1,
        BinaryOperator::Minus => -1,
        _ => return Ok(false),
    };
    let (before, after) = (temporal(left), temporal(right));
    let sum = match (before, after) {
        (None, None) => return Ok(false),
        (_, Some(Temporal::Interval)) if before != Some(Temporal::Interval) => {
            call("date_add", vec![take(left), inner(right), integer(sign)])
        }
        (Some(Temporal::Interval), _) if sign == 1 && after != Some(Temporal::Interval) => {
            call("date_add", vec![take(right), inner(left), integer(1)])
        }
        (Some(Temporal::Date), Some(Temporal::Date)) if sign == -1 => {
            call("date_difference", vec![take(left), take(right)])
        }
        (Some(Temporal::Date), None) if is_number(right) => call(
            "date_add_days",
            vec![take(left), Expr::Nested(Box::new(signed(take(right), sign)))],
        ),
        _ => {
            let hint = "Add an INTERVAL '...', or subtract seconds: unixepoch(x) - unixepoch(y).";
            return Err(translator.refuse("this sum of dates or times", &**left, hint));
        }
    };
    *expr = sum;
    Ok(true)
}

fn inner(marker: &mut Expr) -> Expr {
    if let Expr::Nested(nested) = marker {
        return inner(nested);
    }
    let first = as_call(marker).and_then(|(_, args)| args.first().map(|arg| (*arg).clone()));
    first.unwrap_or_else(super::sql::null)
}

fn is_number(expr: &Expr) -> bool {
    literal_integer(expr).is_some()
        || super::cast::parameter_number(expr).is_some()
        || as_call(expr).is_some_and(|(name, _)| name.starts_with("cast_int"))
}

fn signed(number: Expr, sign: i64) -> Expr {
    if sign == 1 {
        return number;
    }
    Expr::UnaryOp {
        op: sqlparser::ast::UnaryOperator::Minus,
        expr: Box::new(Expr::Nested(Box::new(number))),
    }
}

/// Whether an interval was left over that nothing took up.
pub(super) fn is_left_over(translated: &str) -> bool {
    let mut tokens = lexer::significant(translated).peekable();
    while let Some(token) = tokens.next() {
        if token.text == MARKER && tokens.peek().is_some_and(|next| next.is_operator("(")) {
            return true;
        }
    }
    false
}
