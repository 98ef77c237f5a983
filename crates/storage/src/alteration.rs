//! What ALTER TABLE of SQLite's lacks: foreign keys for a table that is there, another type or default of a column, and
//! the end of keys. Read from the statement's text, and done to the text of the table's CREATE statement; the table is
//! then built anew ([`crate::rebuild`]).
//!
//! Both texts are taken apart by their tokens: the one of CREATE TABLE is one that SQLite has accepted, and what is put
//! into it SQLite reads again before anything is done.

use bellwether_types::lexer::{self, Token, TokenKind, quoted_name};
use bellwether_types::{ErrorKind, SqlError};

/// One change of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alteration {
    /// The table's name, in no namespace.
    pub(crate) table: String,
    pub(crate) change: Change,
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `ADD [CONSTRAINT name] FOREIGN KEY …`: the constraint as CREATE TABLE has it.
    AddForeignKey(String),
    /// `ALTER column TYPE type [USING expression]`.
    Type {
        column: String,
        type_name: String,
        using: Option<String>,
    },
    /// `ALTER column SET DEFAULT value`, `DROP DEFAULT`.
    Default { column: String, value: Option<String> },
    /// `DROP CONSTRAINT [IF EXISTS] name`.
    DropConstraint { name: String, if_exists: bool },
    /// `DROP COLUMN column`, with the keys and checks that it is part of.
    DropColumn(String),
}

/// Tokens, one by one.
struct Reader<'a> {
    sql: &'a str,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, word: &str) -> bool {
        let is_there = self.tokens.get(self.at).is_some_and(|token| token.is_word(word));
        self.at += usize::from(is_there);
        is_there
    }

    fn name(&mut self) -> Option<String> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        matches!(token.kind, TokenKind::Word | TokenKind::Quoted).then(|| token.unquoted())
    }

    /// The text from here to the token at `end`, which is not part of it.
    fn text(&self, end: usize) -> &'a str {
        match (self.tokens.get(self.at), self.tokens.get(end.saturating_sub(1))) {
            (Some(first), Some(last)) if end > self.at => &self.sql[first.start..last.end()],
            _ => "",
        }
    }

    fn rest(&self) -> Option<String> {
        let rest = self.text(self.tokens.len());
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

impl Alteration {
    /// Of a statement that is one. Most are told by their first letter.
    pub(crate) fn read(sql: &str) -> Option<Alteration> {
        if !lexer::significant(sql).next()?.is_word("ALTER") {
            return None;
        }
        let tokens = lexer::significant(sql).filter(|token| token.kind != TokenKind::Semicolon);
        let mut reader = Reader {
            sql,
            tokens: tokens.collect(),
            at: 1,
        };
        if !reader.take("TABLE") {
            return None;
        }
        let mut table = reader.name()?;
        if reader
            .tokens
            .get(reader.at)
            .is_some_and(|token| token.is_operator("."))
        {
            reader.at += 1;
            let is_ours = ["main", "public"]
                .iter()
                .any(|name| table.eq_ignore_ascii_case(name));
            table = reader.name().filter(|_| is_ours)?;
        }
        let mut depth = 0i64;
        let is_several = reader.tokens.iter().any(|token| {
            depth += i64::from(token.is_operator("(")) - i64::from(token.is_operator(")"));
            depth < 0 || (depth == 0 && token.is_operator(","))
        });
        if is_several || depth != 0 {
            return None;
        }
        let change = Change::read(&mut reader)?;
        Some(Alteration { table, change })
    }

    /// CREATE TABLE's text as it is to be, under another name. `None`: the change is none.
    pub(crate) fn edit(&self, create: &str, name: &str) -> Result<Option<String>, SqlError> {
        let unknown = || SqlError::new(ErrorKind::Internal, "the table's definition is not understood");
        let body = Body::of(create).ok_or_else(unknown)?;
        let (from, to, with) = match &self.change {
            Change::AddForeignKey(constraint) => (body.end, body.end, format!(", {constraint}")),
            Change::Type {
                column, type_name, ..
            } => {
                let column = body.column(column, &self.table)?;
                let before = create[column.type_range.clone()].trim();
                let is_integer = |name: &str| name.to_ascii_uppercase().contains("INT");
                // A rowid's other name is INTEGER and nothing else, which holds any integer.
                if before.eq_ignore_ascii_case("INTEGER") && is_integer(type_name) {
                    return Ok(None);
                }
                (
                    column.type_range.start,
                    column.type_range.end,
                    format!(" {type_name}"),
                )
            }
            Change::Default { column, value } => {
                let column = body.column(column, &self.table)?;
                let value = value
                    .as_ref()
                    .map(|value| format!(" DEFAULT {value}"))
                    .unwrap_or_default();
                match column.parts.iter().find(|part| part.kind == "DEFAULT") {
                    Some(part) => (part.start, part.end, value),
                    None if value.is_empty() => return Ok(None),
                    None => (column.type_range.end, column.type_range.end, value),
                }
            }
            Change::DropConstraint { name, .. } => match body.constraint(name, &self.table) {
                Some((from, to)) => (from, to, String::new()),
                None => return Ok(None),
            },
            Change::DropColumn(column) => {
                if !body.constrains(column) {
                    return Ok(None);
                }
                let kept = body.pieces.iter().filter(|piece| !piece.is_about(column));
                let kept: Vec<&str> = kept.map(|piece| &create[piece.start..piece.end]).collect();
                (body.start, body.end, format!("({}", kept.join(",")))
            }
        };
        let name = quoted_name(name);
        Ok(Some(format!(
            "CREATE TABLE {name}{}{with}{}",
            &create[body.start..from],
            &create[to..]
        )))
    }
}

impl Change {
    fn read(reader: &mut Reader<'_>) -> Option<Change> {
        if reader.take("ADD") {
            let start = reader.at;
            if reader.take("CONSTRAINT") {
                reader.name()?;
            }
            if !reader.take("FOREIGN") {
                return None;
            }
            reader.at = start;
            return reader.rest().map(Change::AddForeignKey);
        }
        if reader.take("DROP") {
            if !reader.take("CONSTRAINT") {
                reader.take("COLUMN");
                let column = reader.name()?;
                let is_whole = reader.at == reader.tokens.len();
                return is_whole.then_some(Change::DropColumn(column));
            }
            let if_exists = reader.take("IF") && reader.take("EXISTS");
            let name = reader.name()?;
            let is_whole = reader.at == reader.tokens.len();
            return is_whole.then_some(Change::DropConstraint { name, if_exists });
        }
        if !reader.take("ALTER") {
            return None;
        }
        reader.take("COLUMN");
        let column = reader.name()?;
        if reader.take("DROP") {
            return reader
                .take("DEFAULT")
                .then_some(Change::Default { column, value: None });
        }
        let sets = reader.take("SET");
        if sets && reader.take("DEFAULT") {
            let value = Some(reader.rest()?);
            return Some(Change::Default { column, value });
        }
        if sets && !reader.take("DATA") || !reader.take("TYPE") {
            return None;
        }
        let is_using = |token: &Token<'_>| token.is_word("USING");
        let end = reader
            .tokens
            .iter()
            .position(is_using)
            .unwrap_or(reader.tokens.len());
        let type_name = reader.text(end).to_owned();
        reader.at = end;
        let using = if reader.take("USING") {
            Some(reader.rest()?)
        } else {
            None
        };
        (!type_name.is_empty()).then_some(Change::Type {
            column,
            type_name,
            using,
        })
    }
}

/// What stands between the parentheses of CREATE TABLE.
struct Body {
    /// Where the opening parenthesis stands.
    start: usize,
    /// After the last token before the closing one.
    end: usize,
    pieces: Vec<Piece>,
}

/// A column with its constraints, or constraints of the table.
struct Piece {
    /// From after the comma before it to its own end.
    start: usize,
    end: usize,
    column: Option<String>,
    /// Of a column's type, from the end of the name.
    type_range: std::ops::Range<usize>,
    parts: Vec<Part>,
}

/// A constraint, a default, a collation.
struct Part {
    start: usize,
    end: usize,
    /// The word that says what it is.
    kind: &'static str,
    name: Option<String>,
    /// Of a key, those between its first parentheses; of a check, all names in it.
    columns: Vec<String>,
}

const KINDS: [&str; 11] = [
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "FOREIGN",
    "GENERATED",
    "AS",
];

impl Body {
    fn of(sql: &str) -> Option<Body> {
        let tokens: Vec<Token<'_>> = lexer::significant(sql).collect();
        let open = tokens.iter().position(|token| token.is_operator("("))?;
        let (mut depth, mut first) = (0usize, open + 1);
        let mut pieces = Vec::new();
        for (at, token) in tokens.iter().enumerate().skip(open) {
            if token.is_operator("(") {
                depth += 1;
            } else if token.is_operator(")") {
                depth -= 1;
            }
            if (depth == 1 && token.is_operator(",")) || depth == 0 {
                pieces.push(Piece::of(sql, tokens.get(first..at)?, tokens[first - 1].end())?);
                first = at + 1;
            }
            if depth == 0 {
                return Some(Body {
                    start: tokens[open].start,
                    end: tokens[at - 1].end(),
                    pieces,
                });
            }
        }
        None
    }

    fn column(&self, name: &str, table: &str) -> Result<&Piece, SqlError> {
        let is_it = |piece: &&Piece| {
            piece
                .column
                .as_ref()
                .is_some_and(|column| column.eq_ignore_ascii_case(name))
        };
        self.pieces.iter().find(is_it).ok_or_else(|| {
            let message = format!("column \"{name}\" of relation \"{table}\" does not exist");
            SqlError::new(ErrorKind::UndefinedColumn, message)
        })
    }

    /// Whether SQLite refuses to drop a column, since a key or check has it.
    fn constrains(&self, column: &str) -> bool {
        self.pieces.iter().any(|piece| {
            let is_its_own = piece.column.is_some();
            let binds =
                |part: &Part| ["PRIMARY", "UNIQUE", "CHECK", "REFERENCES", "FOREIGN"].contains(&part.kind);
            piece.is_about(column) && (!is_its_own || piece.parts.iter().any(binds))
        })
    }

    /// What is to be taken out of the text so that this constraint is gone.
    fn constraint(&self, name: &str, table: &str) -> Option<(usize, usize)> {
        self.pieces.iter().enumerate().find_map(|(index, piece)| {
            let part = piece
                .parts
                .iter()
                .find(|part| part.is_called(name, piece, table))?;
            let is_all = piece.column.is_none() && piece.parts.len() == 1;
            // With the comma before it, or of the first one after it.
            Some(match (is_all, index) {
                (false, _) => (part.start, part.end),
                (true, 0) => (piece.start, self.pieces.get(1)?.start),
                (true, _) => (piece.start - 1, piece.end),
            })
        })
    }
}

impl Piece {
    /// Whether it is this column, or a constraint of the table that names it.
    fn is_about(&self, name: &str) -> bool {
        match &self.column {
            Some(column) => column.eq_ignore_ascii_case(name),
            None => {
                let mut columns = self.parts.iter().flat_map(|part| &part.columns);
                columns.any(|column| column.eq_ignore_ascii_case(name))
            }
        }
    }

    fn of(sql: &str, tokens: &[Token<'_>], start: usize) -> Option<Piece> {
        let (first, last) = (tokens.first()?, tokens.last()?);
        let of_table = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];
        let is_of_table = of_table.iter().any(|word| first.is_word(word));
        let parts = Part::all(tokens, usize::from(!is_of_table), is_of_table);
        let type_end = match parts.first() {
            Some(part) => sql[..part.start].trim_end().len().max(first.end()),
            None => last.end(),
        };
        Some(Piece {
            start,
            end: last.end(),
            column: (!is_of_table).then(|| first.unquoted()),
            type_range: first.end()..type_end,
            parts,
        })
    }
}

impl Part {
    /// From the token at `from` on.
    fn all(tokens: &[Token<'_>], from: usize, is_of_table: bool) -> Vec<Part> {
        let mut parts: Vec<Part> = Vec::new();
        let (mut depth, mut at) = (0usize, from);
        // Within the first parentheses of a part, or before them.
        let mut is_listing = true;
        let mut name: Option<(String, usize)> = None;
        while let Some(token) = tokens.get(at) {
            let before = at.checked_sub(1).map(|before| tokens[before]);
            let after = |word: &str| before.is_some_and(|token| token.is_word(word));
            let follows = |word: &str| tokens.get(at + 1).is_some_and(|token| token.is_word(word));
            let belongs = (token.is_word("NULL") && (after("NOT") || after("SET")))
                || (token.is_word("DEFAULT") && after("SET"))
                || (token.is_word("NOT") && follows("DEFERRABLE"))
                || (token.is_word("AS") && after("ALWAYS"))
                || (token.is_word("REFERENCES") && is_of_table);
            let kind = KINDS
                .into_iter()
                .find(|kind| depth == 0 && !belongs && token.is_word(kind));
            if depth == 0 && token.is_word("CONSTRAINT") {
                name = tokens.get(at + 1).map(|given| (given.unquoted(), token.start));
                at += 2;
                continue;
            }
            if let Some(kind) = kind {
                is_listing = true;
                let (name, start) = name
                    .take()
                    .map_or((None, token.start), |(name, start)| (Some(name), start));
                parts.push(Part {
                    start,
                    end: token.end(),
                    kind,
                    name,
                    columns: Vec::new(),
                });
            }
            if token.is_operator("(") {
                depth += 1;
            } else if token.is_operator(")") {
                depth = depth.saturating_sub(1);
                is_listing &= depth > 0;
            }
            if let Some(part) = parts.last_mut() {
                let is_column = depth == 1
                    && before.is_some_and(|before| before.is_operator("(") || before.is_operator(","));
                let is_name = matches!(token.kind, TokenKind::Word | TokenKind::Quoted);
                let is_named = match part.kind {
                    "PRIMARY" | "UNIQUE" | "FOREIGN" => is_column,
                    "CHECK" => depth > 0,
                    _ => false,
                };
                if is_listing && is_name && is_named {
                    part.columns.push(token.unquoted());
                }
                part.end = token.end();
                // A default's value may be any word.
                if kind == Some("DEFAULT") && tokens.get(at + 1).is_some_and(|value| !value.is_operator("("))
                {
                    let is_signed = tokens[at + 1].is_operator("-") || tokens[at + 1].is_operator("+");
                    at += 1 + usize::from(is_signed);
                    part.end = tokens.get(at).map_or(part.end, Token::end);
                }
            }
            at += 1;
        }
        parts
    }

    /// By its own name, or by the one that it is shown under.
    fn is_called(&self, name: &str, piece: &Piece, table: &str) -> bool {
        if let Some(own) = &self.name {
            return own.eq_ignore_ascii_case(name);
        }
        let listed = match piece.column.as_ref() {
            Some(column) => column.clone(),
            None => self.columns.join("_"),
        };
        let derived = match self.kind {
            "PRIMARY" => format!("{table}_pkey"),
            "UNIQUE" => format!("{table}_{listed}_key"),
            "FOREIGN" | "REFERENCES" => format!("{table}_{listed}_fkey"),
            "CHECK" if piece.column.is_none() => format!("{table}_check"),
            "CHECK" => format!("{table}_{listed}_check"),
            _ => return false,
        };
        derived.eq_ignore_ascii_case(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, -- its number\n\
        name varchar(20) NOT NULL DEFAULT 'a, b' CONSTRAINT once UNIQUE,\n\
        \"of\" int REFERENCES u(x) ON DELETE SET NULL NOT DEFERRABLE DEFAULT -1, price numeric (10, 2) CHECK (price > 0),\n\
        UNIQUE (name, price), CONSTRAINT pair FOREIGN KEY (name, \"of\") REFERENCES u(y, z) -- the last\n) STRICT";

    fn edited(sql: &str) -> Option<String> {
        let alteration = Alteration::read(sql).expect("one of ours");
        let edited = alteration.edit(CREATE, "new").expect("understood")?;
        assert!(
            edited.starts_with("CREATE TABLE \"new\"(id") && edited.ends_with(") STRICT"),
            "{edited}"
        );
        Some(edited)
    }

    /// What was taken out of the text, and what was put in.
    fn difference(sql: &str) -> (String, String) {
        let before = CREATE.replacen("t(", "\"new\"(", 1);
        let after = edited(sql).expect("a change");
        let same = |left: &str, right: &str| {
            left.bytes()
                .zip(right.bytes())
                .take_while(|(a, b)| a == b)
                .count()
        };
        let front = same(&before, &after);
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let back = same(&reversed(&before[front..]), &reversed(&after[front..]));
        let cut = |text: &str| text[front..text.len() - back].to_owned();
        (cut(&before), cut(&after))
    }

    #[test]
    fn only_what_is_named_changes_in_the_text() {
        for (sql, gone, new) in [
            (
                "ALTER TABLE t ADD FOREIGN KEY (name) REFERENCES u(n);",
                "",
                ", FOREIGN KEY (name) REFERENCES u(n)",
            ),
            (
                "alter table public.T alter NAME type text using lower(name)",
                "varchar(20)",
                "text",
            ),
            (
                "ALTER TABLE t ALTER COLUMN price SET DATA TYPE double precision",
                "numeric (10, 2)",
                "double precision",
            ),
            (
                "ALTER TABLE t ALTER COLUMN name DROP DEFAULT",
                " DEFAULT 'a, b'",
                "",
            ),
            (
                "ALTER TABLE t ALTER COLUMN \"of\" SET DEFAULT (1 + 2)",
                "DEFAULT -1",
                "DEFAULT (1 + 2)",
            ),
            ("ALTER TABLE t ALTER COLUMN price SET DEFAULT 0", "", " DEFAULT 0"),
            (
                "ALTER TABLE t DROP CONSTRAINT once",
                " CONSTRAINT once UNIQUE",
                "",
            ),
            (
                "ALTER TABLE t DROP CONSTRAINT IF EXISTS t_name_price_key",
                " UNIQUE (name, price),",
                "",
            ),
            (
                "ALTER TABLE t DROP CONSTRAINT pair",
                ", CONSTRAINT pair FOREIGN KEY (name, \"of\") REFERENCES u(y, z)",
                "",
            ),
            (
                "ALTER TABLE t DROP CONSTRAINT t_of_fkey",
                "REFERENCES u(x) ON DELETE SET NULL NOT DEFERRABLE ",
                "",
            ),
            (
                "ALTER TABLE t DROP CONSTRAINT t_price_check",
                "CHECK (price > 0)",
                "",
            ),
        ] {
            let (was, is) = difference(sql);
            let plain = |text: &str| text.split_whitespace().collect::<String>().replace(',', "");
            assert_eq!(
                (plain(&was), plain(&is)),
                (plain(gone), plain(new)),
                "{sql}: {was:?} became {is:?}"
            );
        }
    }

    #[test]
    fn a_column_goes_with_the_keys_and_checks_that_name_it() {
        let text = edited("ALTER TABLE t DROP COLUMN price").expect("a change");
        assert!(!text.contains("price") && text.contains("pair"), "{text}");
        let text = edited("ALTER TABLE t DROP name").expect("a change");
        assert!(
            !text.contains("once") && !text.contains("pair") && text.contains("price"),
            "{text}"
        );
        let plain = Alteration::read("ALTER TABLE u DROP COLUMN b").expect("may be one of ours");
        let create = "CREATE TABLE u(a, b NOT NULL DEFAULT 'x', FOREIGN KEY (a) REFERENCES v(b))";
        assert_eq!(plain.edit(create, "new").expect("understood"), None);
    }

    #[test]
    fn a_change_that_is_none_is_none() {
        for sql in [
            "ALTER TABLE t ALTER id TYPE bigint",
            "ALTER TABLE t ALTER price DROP DEFAULT",
            "ALTER TABLE t DROP CONSTRAINT nosuch",
        ] {
            assert_eq!(edited(sql), None, "{sql}");
        }
        let missing = Alteration::read("ALTER TABLE t ALTER nosuch TYPE int").expect("one of ours");
        let error = missing.edit(CREATE, "new").expect_err("no such column");
        assert_eq!(error.kind, ErrorKind::UndefinedColumn);
    }

    #[test]
    fn what_sqlite_does_is_left_to_it() {
        for sql in [
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE t ADD COLUMN a int REFERENCES u(x)",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
            "ALTER TABLE t ALTER a SET NOT NULL",
            "ALTER TABLE other.t ALTER a TYPE int",
            "ALTER TABLE t DROP COLUMN a CASCADE",
            "ALTER TABLE t ALTER a SET DEFAULT 1, ALTER b SET DEFAULT 2",
            "ALTER TABLE t ALTER a TYPE int) AS SELECT (1",
            "ALTER",
            "",
        ] {
            assert_eq!(Alteration::read(sql), None, "{sql}");
        }
    }
}
