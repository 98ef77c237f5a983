//! The parser's grammar of SQLite, and what it lacks of it.

use std::any::TypeId;

use sqlparser::ast::{Expr, Statement};
use sqlparser::dialect::{Dialect, SQLiteDialect};
use sqlparser::parser::{Parser, ParserError};

/// The library's, with the shift operators of SQLite (sqlite.org/lang_expr.html, §2).
#[derive(Debug)]
pub(super) struct Grammar;

const SQLITE: SQLiteDialect = SQLiteDialect {};

impl Dialect for Grammar {
    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    // The rest is the library's.

    fn dialect(&self) -> TypeId {
        SQLITE.dialect()
    }

    fn is_delimited_identifier_start(&self, first: char) -> bool {
        SQLITE.is_delimited_identifier_start(first)
    }

    fn identifier_quote_style(&self, identifier: &str) -> Option<char> {
        SQLITE.identifier_quote_style(identifier)
    }

    fn is_identifier_start(&self, first: char) -> bool {
        SQLITE.is_identifier_start(first)
    }

    fn is_identifier_part(&self, part: char) -> bool {
        SQLITE.is_identifier_part(part)
    }

    fn parse_statement(&self, parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
        SQLITE.parse_statement(parser)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        left: &Expr,
        precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        SQLITE.parse_infix(parser, left, precedence)
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        SQLITE.supports_filter_during_aggregation()
    }

    fn supports_in_empty_list(&self) -> bool {
        SQLITE.supports_in_empty_list()
    }

    fn supports_limit_comma(&self) -> bool {
        SQLITE.supports_limit_comma()
    }

    fn supports_dollar_placeholder(&self) -> bool {
        SQLITE.supports_dollar_placeholder()
    }

    fn supports_notnull_operator(&self) -> bool {
        SQLITE.supports_notnull_operator()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        SQLITE.supports_comma_separated_trim()
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        SQLITE.supports_numeric_literal_underscores()
    }
}
