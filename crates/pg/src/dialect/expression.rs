//! Expressions: what each becomes, from the innermost outwards. What is not named here is refused.

use std::ops::ControlFlow;

use bellwether_types::SqlError;
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CeilFloorKind, Expr, Ident, Query, Select, Subscript, TrimWhereField,
    UnaryOperator, Value, ValueWithSpan, VisitorMut,
};

use super::sql::{call, integer, is_call, literal, literal_integer, take, text};
use super::{Translator, any, call as function, cast, from, interval, keyword, pattern, query};

impl Translator<'_> {
    fn go_on(&mut self, done: Result<(), SqlError>) -> ControlFlow<()> {
        match done {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.error = Some(error);
                ControlFlow::Break(())
            }
        }
    }
}

impl VisitorMut for Translator<'_> {
    type Break = ();

    fn pre_visit_ident(&mut self, ident: &mut Ident) -> ControlFlow<()> {
        keyword::quote(ident);
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<()> {
        let done = self.value(value);
        self.go_on(done)
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.scopes.push(self.substitutions.len());
        let done = query::enter(query, self);
        self.go_on(done)
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<()> {
        self.substitutions.truncate(self.scopes.pop().unwrap_or_default());
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        let done = query::enter_select(select, self);
        self.go_on(done)
    }

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        query::leave_select(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        column_of_table(expr);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let done = self.expression(expr);
        self.go_on(done)
    }
}

/// `table.column[1]`: the parser takes the column for a field of a value called `table`.
fn column_of_table(expr: &mut Expr) {
    let Expr::CompoundFieldAccess { root, access_chain } = expr else {
        return;
    };
    let mut parts = match &**root {
        Expr::Identifier(name) => vec![name.clone()],
        Expr::CompoundIdentifier(parts) => parts.clone(),
        _ => return,
    };
    let fields = access_chain.iter().map_while(|access| match access {
        AccessExpr::Dot(Expr::Identifier(field)) => Some(field.clone()),
        _ => None,
    });
    parts.extend(fields);
    if parts.len() > 1 {
        access_chain.retain(|access| !matches!(access, AccessExpr::Dot(Expr::Identifier(_))));
        **root = Expr::CompoundIdentifier(parts);
    }
}

impl Translator<'_> {
    /// Literals in SQLite's quotes.
    fn value(&self, value: &mut ValueWithSpan) -> Result<(), SqlError> {
        let plain = match &value.value {
            Value::EscapedStringLiteral(text) | Value::UnicodeStringLiteral(text) => text.replace('\'', "''"),
            Value::DollarQuotedString(quoted) => quoted.value.replace('\'', "''"),
            Value::SingleQuotedString(_)
            | Value::HexStringLiteral(_)
            | Value::DoubleQuotedString(_)
            | Value::Number(..)
            | Value::Boolean(_)
            | Value::Null
            | Value::Placeholder(_) => return Ok(()),
            _ => {
                let mut error = super::refuse(&value.value, "Write a number, or a blob x'...'.");
                error.position = self.position(value.span.start);
                return Err(error);
            }
        };
        value.value = Value::SingleQuotedString(plain);
        Ok(())
    }

    fn expression(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => from::substitute(expr, self),
            Expr::CompoundFieldAccess { .. } => self.access(expr)?,
            Expr::Cast { .. } | Expr::TypedString(_) => cast::rewrite(expr, self)?,
            Expr::Interval(_) => interval::literal(expr, self)?,
            Expr::BinaryOp { .. } => self.binary(expr)?,
            Expr::UnaryOp { .. } => self.unary(expr)?,
            Expr::AnyOp { .. } | Expr::AllOp { .. } => any::rewrite(expr, self)?,
            Expr::Like { .. } | Expr::ILike { .. } | Expr::SimilarTo { .. } => {
                if !any::rewrite_like(expr) {
                    pattern::rewrite(expr);
                }
            }
            Expr::Collate { .. } => pattern::collation(expr, self)?,
            Expr::Array(array) => *expr = call("array_of", std::mem::take(&mut array.elem)),
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call("timezone", vec![take(time_zone), take(timestamp)]);
            }
            Expr::IsUnknown(inner) => *expr = Expr::IsNull(Box::new(take(inner))),
            Expr::IsNotUnknown(inner) => *expr = Expr::IsNotNull(Box::new(take(inner))),
            Expr::Function(_) => function::rewrite(expr, self)?,
            Expr::InSubquery { subquery, .. } => query::compare_by_value(subquery),
            Expr::Extract { .. }
            | Expr::Position { .. }
            | Expr::Substring { .. }
            | Expr::Trim { .. }
            | Expr::Overlay { .. } => self.spelled_out(expr)?,
            Expr::Ceil { field, .. } | Expr::Floor { field, .. }
                if matches!(
                    field,
                    CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime)
                ) => {}
            Expr::Value(_)
            | Expr::Nested(_)
            | Expr::Tuple(_)
            | Expr::Case { .. }
            | Expr::Exists { .. }
            | Expr::Subquery(_)
            | Expr::InList { .. }
            | Expr::Between { .. }
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsDistinctFrom(..)
            | Expr::IsNotDistinctFrom(..) => {}
            Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => {
                let hint = "Write one SELECT for each grouping, with UNION ALL between.";
                return Err(self.refuse(&*expr, &*expr, hint));
            }
            other => return Err(self.refuse(&*other, &*other, "")),
        }
        Ok(())
    }

    fn binary(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        if interval::arithmetic(expr, self)? || pattern::operator(expr) {
            return Ok(());
        }
        let Expr::BinaryOp { left, op, right } = expr else {
            return Ok(());
        };
        let two = |name: &str, left: &mut Expr, right: &mut Expr| call(name, vec![take(left), take(right)]);
        match op {
            BinaryOperator::StringConcat if any::is_array(left) || any::is_array(right) => {
                *expr = two("array_cat", left, right);
            }
            BinaryOperator::StringConcat => {
                cast::as_output(left);
                cast::as_output(right);
            }
            BinaryOperator::PGExp => *expr = two("power", left, right),
            BinaryOperator::BitwiseXor | BinaryOperator::PGBitwiseXor => *expr = two("bit_xor", left, right),
            BinaryOperator::PGStartsWith => *expr = two("starts_with", left, right),
            BinaryOperator::HashArrow | BinaryOperator::HashLongArrow => self.json_path(expr)?,
            BinaryOperator::Plus
            | BinaryOperator::Minus
            | BinaryOperator::Multiply
            | BinaryOperator::Divide
            | BinaryOperator::Modulo
            | BinaryOperator::Gt
            | BinaryOperator::Lt
            | BinaryOperator::GtEq
            | BinaryOperator::LtEq
            | BinaryOperator::Eq
            | BinaryOperator::NotEq
            | BinaryOperator::And
            | BinaryOperator::Or
            | BinaryOperator::BitwiseOr
            | BinaryOperator::BitwiseAnd
            | BinaryOperator::PGBitwiseShiftLeft
            | BinaryOperator::PGBitwiseShiftRight
            | BinaryOperator::Match
            | BinaryOperator::Regexp
            | BinaryOperator::Glob
            | BinaryOperator::Arrow
            | BinaryOperator::LongArrow => {}
            other => {
                let what = format!("operator {other}");
                let hint = "Use SQLite's functions: json_extract, json_each, and for arrays = ANY (...).";
                return Err(self.refuse(what, &**left, hint));
            }
        }
        Ok(())
    }

    /// `json #> '{a,0}'` is `json -> '$."a"[0]'`.
    fn json_path(&self, expr: &mut Expr) -> Result<(), SqlError> {
        let Expr::BinaryOp { left, op, right } = expr else {
            return Ok(());
        };
        let path = literal(right).and_then(|path| crate::functions::array::elements(&path));
        let Some(path) = path else {
            return Err(self.refuse(
                &*op,
                &**left,
                "Write json -> 'key' -> 0 one step after the other.",
            ));
        };
        let mut json_path = "$".to_owned();
        for step in path.into_iter().flatten() {
            match step.parse::<i64>() {
                Ok(index) if index < 0 => json_path += &format!("[#{index}]"),
                Ok(index) => json_path += &format!("[{index}]"),
                Err(_) => json_path += &format!(".\"{step}\""),
            }
        }
        *op = match op {
            BinaryOperator::HashArrow => BinaryOperator::Arrow,
            _ => BinaryOperator::LongArrow,
        };
        **right = text(json_path);
        Ok(())
    }

    fn unary(&self, expr: &mut Expr) -> Result<(), SqlError> {
        let Expr::UnaryOp { op, expr: inner } = expr else {
            return Ok(());
        };
        match op {
            // Two signs in a row would be a comment.
            UnaryOperator::Plus | UnaryOperator::Minus => {
                if matches!(**inner, Expr::UnaryOp { .. }) {
                    **inner = Expr::Nested(Box::new(take(inner)));
                }
            }
            UnaryOperator::Not | UnaryOperator::BitwiseNot => {}
            UnaryOperator::PGAbs => *expr = call("abs", vec![take(inner)]),
            UnaryOperator::PGSquareRoot => *expr = call("sqrt", vec![take(inner)]),
            UnaryOperator::PGCubeRoot => *expr = call("cbrt", vec![take(inner)]),
            other => return Err(self.refuse(format!("operator {other}"), &**inner, "")),
        }
        Ok(())
    }

    /// `array[1]`, and `(pair).x` of the pairs that `_pg_expandarray` makes.
    fn access(&self, expr: &mut Expr) -> Result<(), SqlError> {
        let hint = "There are no composite types; store the parts in columns of their own.";
        let refused = self.refuse(&*expr, &*expr, hint);
        let Expr::CompoundFieldAccess { root, access_chain } = expr else {
            return Ok(());
        };
        let mut value = take(root);
        for access in access_chain {
            value = match access {
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    call("array_get", vec![value, take(index)])
                }
                AccessExpr::Dot(Expr::Identifier(field)) if self.is_pair(&value) => {
                    let number = match field.value.to_ascii_lowercase().as_str() {
                        "x" => 1,
                        "n" => 2,
                        _ => return Err(refused),
                    };
                    call("pair_part", vec![value, integer(number)])
                }
                _ => return Err(refused),
            };
        }
        *expr = value;
        Ok(())
    }

    fn is_pair(&self, value: &Expr) -> bool {
        match value {
            Expr::Nested(inner) => self.is_pair(inner),
            Expr::CompoundIdentifier(parts) => parts
                .last()
                .is_some_and(|column| self.composites.contains(&column.value.to_ascii_lowercase())),
            Expr::Identifier(column) => self.composites.contains(&column.value.to_ascii_lowercase()),
            other => is_call(other, "pair_of"),
        }
    }

    /// Functions whose arguments have words between them.
    fn spelled_out(&self, expr: &mut Expr) -> Result<(), SqlError> {
        *expr = match expr {
            Expr::Extract { field, expr, .. } => {
                let field = field.to_string().trim_matches('\'').to_ascii_lowercase();
                call("extract", vec![text(field), take(expr)])
            }
            Expr::Position { expr, r#in } => call("instr", vec![take(r#in), take(expr)]),
            Expr::Substring { .. } => return self.substring(expr),
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args = vec![take(expr), take(overlay_what), take(overlay_from)];
                args.extend(overlay_for.as_deref_mut().map(take));
                call("overlay", args)
            }
            Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    _ => "trim",
                };
                let mut args = vec![take(expr)];
                args.extend(trim_what.as_deref_mut().map(take));
                args.extend(trim_characters.take().unwrap_or_default());
                call(name, args)
            }
            _ => return Ok(()),
        };
        Ok(())
    }

    /// `substring(x FROM 2 FOR 3)` counts from before the first character where SQLite counts from the end;
    /// `substring(x FROM 'pattern')` is the part that matches. `substring(x, 2, 3)` is SQLite's own.
    fn substring(&self, expr: &mut Expr) -> Result<(), SqlError> {
        let hint = "Write substring(text FROM start FOR count) or substring(text FROM 'regular expression').";
        let refused = self.refuse("this form of substring", &*expr, hint);
        let Expr::Substring {
            expr: inner,
            substring_from,
            substring_for,
            special,
            ..
        } = expr
        else {
            return Ok(());
        };
        let start = substring_from.as_deref_mut().map_or(integer(1), take);
        let count = substring_for.as_deref_mut().map(take);
        if literal(&start).is_some() {
            if count.is_some() || *special {
                return Err(refused);
            }
            *expr = call("regexp_part", vec![take(inner), start]);
            return Ok(());
        }
        let is_plain = *special || literal_integer(&start).is_some_and(|start| start >= 0);
        let mut args = vec![take(inner), start];
        args.extend(count);
        *expr = call(if is_plain { "substr" } else { "text_substr" }, args);
        Ok(())
    }
}
