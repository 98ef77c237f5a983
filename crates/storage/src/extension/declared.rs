//! What only the text of a CREATE statement tells: names of constraints, CHECKs, generated columns, expressions of
//! indexes. The text is one that SQLite has accepted; of what is not understood nothing is told.

use std::collections::BTreeMap;

use bellwether_types::lexer::{self, Token, TokenKind};
use bellwether_types::schema::Generated;

/// Of a table.
#[derive(Debug, Default)]
pub(super) struct Declared {
    /// In the order of the text.
    pub(super) clauses: Vec<Clause>,
    /// By column, lower case.
    pub(super) generated: BTreeMap<String, Generated>,
}

/// A constraint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// PRIMARY KEY or UNIQUE, with its columns, lower case.
    Key {
        name: Option<String>,
        is_primary: bool,
        columns: Vec<String>,
    },
    /// REFERENCES.
    References { name: Option<String>, is_deferred: bool },
    /// The text between the parentheses; of a column's: which.
    Check {
        name: Option<String>,
        column: Option<String>,
        expression: String,
    },
}

/// Tokens, and what they stand in.
struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn new(sql: &'a str) -> Reader<'a> {
        Reader {
            sql,
            tokens: lexer::significant(sql).collect(),
            at: 0,
        }
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn is_at(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    fn is_at_operator(&self, operator: &str) -> bool {
        self.peek().is_some_and(|token| token.is_operator(operator))
    }

    fn take(&mut self, word: &str) -> bool {
        let is_there = self.is_at(word);
        self.at += usize::from(is_there);
        is_there
    }

    fn name(&mut self) -> Option<String> {
        let token = self.peek()?;
        self.at += 1;
        Some(token.unquoted())
    }

    /// From an opening parenthesis over its closing one; the text between.
    fn parenthesised(&mut self) -> Option<&'a str> {
        if !self.is_at_operator("(") {
            return None;
        }
        let from = self.peek()?.end();
        let mut depth = 0usize;
        while let Some(token) = self.peek() {
            self.at += 1;
            if token.is_operator("(") {
                depth += 1;
            } else if token.is_operator(")") {
                depth -= 1;
                if depth == 0 {
                    return self.sql.get(from..token.start).map(str::trim);
                }
            }
        }
        None
    }
}

/// The pieces between commas that stand in no parentheses.
fn split_list(text: &str) -> Vec<&str> {
    let (mut pieces, mut from, mut depth) = (Vec::new(), 0, 0i64);
    for token in lexer::significant(text) {
        if token.is_operator("(") {
            depth += 1;
        } else if token.is_operator(")") {
            depth -= 1;
        } else if token.is_operator(",") && depth == 0 {
            pieces.push(text[from..token.start].trim());
            from = token.end();
        }
    }
    pieces.push(text[from..].trim());
    pieces
}

/// The first word or quoted name of a piece, lower case: an indexed column without COLLATE and DESC.
fn first_name(piece: &str) -> String {
    lexer::significant(piece)
        .next()
        .map(|token| token.unquoted().to_ascii_lowercase())
        .unwrap_or_default()
}

impl Declared {
    /// Of CREATE TABLE's text.
    pub(super) fn of(sql: &str) -> Declared {
        let mut declared = Declared::default();
        let mut reader = Reader::new(sql);
        while reader.peek().is_some() && !reader.is_at_operator("(") {
            reader.at += 1;
        }
        let Some(body) = reader.parenthesised() else {
            return declared;
        };
        for piece in split_list(body) {
            declared.read_piece(piece);
        }
        declared
    }

    /// The name that a key was given.
    pub(super) fn key_name(&self, is_primary: bool, columns: &[String]) -> Option<&str> {
        self.clauses.iter().find_map(|clause| match clause {
            Clause::Key {
                name,
                is_primary: primary,
                columns: of,
            } if *primary == is_primary && of == columns => name.as_deref(),
            _ => None,
        })
    }

    /// A column with its constraints, or constraints of the table, which SQLite takes without commas, too.
    fn read_piece(&mut self, piece: &str) {
        let mut reader = Reader::new(piece);
        let begins_constraint = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
        let is_bare = reader.peek().is_some_and(|token| token.kind == TokenKind::Word);
        let is_of_table = is_bare && begins_constraint.iter().any(|word| reader.is_at(word));
        let column = if is_of_table { None } else { reader.name() };
        let mut name = None;
        while let Some(token) = reader.peek() {
            let before = reader.at;
            if reader.take("CONSTRAINT") {
                name = reader.name();
                continue;
            }
            if self.read_clause(&mut reader, column.as_deref(), &mut name) {
                continue;
            }
            reader.at = before;
            if token.is_operator("(") {
                // A type's length, a default.
                if reader.parenthesised().is_none() {
                    return;
                }
            } else {
                reader.at += 1;
            }
        }
    }

    /// Whether there was one.
    fn read_clause(
        &mut self,
        reader: &mut Reader<'_>,
        column: Option<&str>,
        name: &mut Option<String>,
    ) -> bool {
        let is_primary = reader.take("PRIMARY") && reader.take("KEY");
        if is_primary || reader.take("UNIQUE") {
            let listed = reader.parenthesised();
            let columns = match (listed, column) {
                (Some(list), _) => split_list(list).into_iter().map(first_name).collect(),
                (None, Some(column)) => vec![column.to_ascii_lowercase()],
                (None, None) => Vec::new(),
            };
            self.clauses.push(Clause::Key {
                name: name.take(),
                is_primary,
                columns,
            });
            return true;
        }
        if reader.take("CHECK") {
            let expression = reader.parenthesised().unwrap_or_default().to_owned();
            self.clauses.push(Clause::Check {
                name: name.take(),
                column: column.map(str::to_owned),
                expression,
            });
            return true;
        }
        if reader.take("REFERENCES") {
            self.clauses.push(Clause::References {
                name: name.take(),
                is_deferred: is_deferred(reader),
            });
            return true;
        }
        if let Some(column) = column
            && reader.take("AS")
        {
            let expression = reader.parenthesised().unwrap_or_default().to_owned();
            let generated = Generated {
                expression,
                is_stored: reader.is_at("STORED"),
            };
            self.generated.insert(column.to_ascii_lowercase(), generated);
            return true;
        }
        false
    }
}

/// Whether the reference that begins here is DEFERRABLE INITIALLY DEFERRED.
fn is_deferred(reader: &Reader<'_>) -> bool {
    let rest = &reader.tokens[reader.at..];
    let ends = [
        "CONSTRAINT",
        "PRIMARY",
        "UNIQUE",
        "CHECK",
        "REFERENCES",
        "DEFAULT",
        "COLLATE",
    ];
    let own = rest
        .iter()
        .take_while(|token| !ends.iter().any(|word| token.is_word(word)));
    let words: Vec<&Token<'_>> = own.collect();
    words.windows(3).enumerate().any(|(at, words_here)| {
        words_here[0].is_word("DEFERRABLE")
            && words_here[1].is_word("INITIALLY")
            && words_here[2].is_word("DEFERRED")
            && (at == 0 || !words[at - 1].is_word("NOT"))
    })
}

/// Of CREATE INDEX: the text of each column, and what stands after WHERE.
pub(super) fn index(sql: &str) -> (Vec<String>, Option<String>) {
    let mut reader = Reader::new(sql);
    while reader.peek().is_some() && !reader.is_at_operator("(") {
        reader.at += 1;
    }
    let Some(list) = reader.parenthesised() else {
        return (Vec::new(), None);
    };
    let columns = split_list(list).into_iter().map(without_order).collect();
    let predicate = reader.take("WHERE").then(|| {
        let from = reader.peek().map_or(sql.len(), |token| token.start);
        sql[from..].trim().trim_end_matches(';').trim_end().to_owned()
    });
    (columns, predicate)
}

/// An indexed expression without COLLATE, ASC and DESC at its end.
fn without_order(piece: &str) -> String {
    let tokens: Vec<Token<'_>> = lexer::significant(piece).collect();
    let mut count = tokens.len();
    if count > 1 && (tokens[count - 1].is_word("ASC") || tokens[count - 1].is_word("DESC")) {
        count -= 1;
    }
    if count > 2 && tokens[count - 2].is_word("COLLATE") {
        count -= 2;
    }
    let end = count.checked_sub(1).map_or(0, |last| tokens[last].end());
    piece[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_are_read_with_their_names() {
        let declared = Declared::of(
            "CREATE TABLE \"a,(b\" (id INTEGER CONSTRAINT k PRIMARY KEY, b TEXT DEFAULT ('x,y') UNIQUE,
             c NUMERIC(10, 2) CHECK (c > (1)) REFERENCES t(x) DEFERRABLE INITIALLY DEFERRED NOT NULL,
             d INT GENERATED ALWAYS AS (b || ')') STORED,
             CONSTRAINT u UNIQUE (b COLLATE NOCASE, \"C\"), CONSTRAINT ch CHECK (b <> c)
             FOREIGN KEY (b) REFERENCES t(y) NOT DEFERRABLE INITIALLY DEFERRED) STRICT",
        );
        let check = |name: Option<&str>, column: Option<&str>, expression: &str| Clause::Check {
            name: name.map(str::to_owned),
            column: column.map(str::to_owned),
            expression: expression.to_owned(),
        };
        assert_eq!(declared.key_name(true, &["id".to_owned()]), Some("k"));
        assert_eq!(declared.key_name(false, &["b".to_owned()]), None);
        assert_eq!(
            declared.key_name(false, &["b".to_owned(), "c".to_owned()]),
            Some("u")
        );
        assert!(declared.clauses.contains(&check(None, Some("c"), "c > (1)")));
        assert!(declared.clauses.contains(&check(Some("ch"), None, "b <> c")));
        let deferred: Vec<bool> = declared
            .clauses
            .iter()
            .filter_map(|clause| match clause {
                Clause::References { is_deferred, .. } => Some(*is_deferred),
                _ => None,
            })
            .collect();
        assert_eq!(deferred, [true, false]);
        let generated = &declared.generated["d"];
        assert_eq!(
            (generated.expression.as_str(), generated.is_stored),
            ("b || ')'", true)
        );
    }

    #[test]
    fn an_index_tells_its_expressions_and_its_predicate() {
        let (columns, predicate) =
            index("CREATE INDEX i ON t (a, lower(b || ',') COLLATE NOCASE DESC, c asc) WHERE a > 1;");
        assert_eq!(columns, ["a", "lower(b || ',')", "c"]);
        assert_eq!(predicate.as_deref(), Some("a > 1"));
    }

    #[test]
    fn text_that_makes_no_sense_tells_nothing() {
        for sql in [
            "",
            "CREATE TABLE t AS",
            "CREATE TABLE t(",
            "CREATE TABLE t(a CHECK",
            "((((",
            "CREATE TABLE t())",
        ] {
            let _ = Declared::of(sql);
            let _ = index(sql);
        }
    }
}
