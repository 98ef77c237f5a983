//! Columns that number themselves: serial and identity are SQLite's AUTOINCREMENT, whose numbers never come again.

use std::borrow::Cow;

use bellwether_types::SqlError;
use bellwether_types::lexer;
use sqlparser::ast::{ColumnDef, ColumnOption, Expr, GeneratedAs, SequenceOptions};

use super::sql::literal_integer;
use super::{Place, Translator};

const SERIALS: [&str; 6] = [
    "serial",
    "bigserial",
    "smallserial",
    "serial2",
    "serial4",
    "serial8",
];

/// The text with blanks in place of `SEQUENCE NAME …`, which the parser does not know: a sequence has no name here.
pub(super) fn without_names(sql: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(sql);
    let mut tokens = lexer::significant(sql).peekable();
    while let Some(token) = tokens.next() {
        if token.is_word("SEQUENCE")
            && tokens.peek().is_some_and(|next| next.is_word("NAME"))
            && let Some(name) = tokens.nth(1)
        {
            let range = token.start..name.end();
            let blanks: String = sql[range.clone()].chars().map(|_| ' ').collect();
            // Of one length in characters, so that positions keep their meaning.
            if blanks.len() == range.len() {
                text.to_mut().replace_range(range, &blanks);
            }
        }
    }
    text
}

/// How a column is given its numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbering {
    /// Unless a value is given.
    ByDefault,
    /// A value that is given is an error in PostgreSQL.
    Always,
}

/// Whether a column numbers itself; what says so is taken out of it.
pub(super) fn take_numbering(
    column: &mut ColumnDef,
    translator: &Translator<'_>,
) -> Result<Option<Numbering>, SqlError> {
    let type_name = column.data_type.to_string().to_ascii_lowercase();
    let mut numbering = SERIALS
        .contains(&type_name.as_str())
        .then_some(Numbering::ByDefault);
    for definition in &column.options {
        if let ColumnOption::Generated {
            generated_as,
            sequence_options,
            generation_expr: None,
            ..
        } = &definition.option
        {
            numbering = Some(match generated_as {
                GeneratedAs::Always => Numbering::Always,
                _ => Numbering::ByDefault,
            });
            check_options(
                sequence_options.as_deref().unwrap_or_default(),
                column,
                translator,
            )?;
        }
    }
    if numbering.is_some() {
        column.options.retain(|definition| {
            !matches!(
                definition.option,
                ColumnOption::Generated {
                    generation_expr: None,
                    ..
                }
            )
        });
    }
    Ok(numbering)
}

/// Numbers begin at 1 and go on by 1; limits and caches change nothing before 2^63.
fn check_options(
    options: &[SequenceOptions],
    column: &ColumnDef,
    translator: &Translator<'_>,
) -> Result<(), SqlError> {
    let is_one = |expr: &Expr| literal_integer(expr) == Some(1);
    let is_usual = |option: &SequenceOptions| match option {
        SequenceOptions::IncrementBy(by, _) => is_one(by),
        SequenceOptions::StartWith(start, _) => is_one(start),
        SequenceOptions::MinValue(least) => least.as_ref().is_none_or(is_one),
        SequenceOptions::MaxValue(_) | SequenceOptions::Cache(_) => true,
        SequenceOptions::Cycle(is_not) => *is_not,
    };
    match options.iter().find(|option| !is_usual(option)) {
        Some(odd) => {
            let hint =
                "Numbers begin at 1 and go on by 1; insert a row with a greater number to begin there.";
            Err(translator.refuse(odd.to_string().trim(), &Place::from(&column.name), hint))
        }
        None => Ok(()),
    }
}
