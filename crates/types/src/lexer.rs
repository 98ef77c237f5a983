//! SQL text into tokens, by SQLite's lexical rules, and what can be told from tokens alone: where a statement
//! ends, and which command it is.
//!
//! Promises: any text is cut into tokens without loss (their texts, joined, are the input) and without a panic;
//! nothing is allocated per token. What SQLite would call an unrecognised token is [`TokenKind::Invalid`].
//! Does not parse: whether the statement is well formed is for SQLite to say.

/// What a token is. Comments do not nest, and may end with the text instead of `*/`, as in SQLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Blanks, newlines, and the byte order mark.
    Space,
    /// `-- …` or `/* … */`.
    Comment,
    /// A keyword or a bare identifier.
    Word,
    /// `"…"`, `` `…` `` or `[…]`.
    Quoted,
    /// `'…'`.
    Text,
    /// `x'…'` with an even number of hexadecimal digits.
    Blob,
    /// `1`, `1.5e3`, `0x1F`, `1_000`.
    Number,
    /// `?`, `?1`, `$1`, `:name`, `@name`. SQLite reads `$1::int` as *one* parameter of that name.
    Parameter,
    /// Punctuation other than a semicolon.
    Operator,
    /// `;`.
    Semicolon,
    /// An unterminated literal, or bytes that begin no token.
    Invalid,
}

/// A piece of SQL text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text, quotes included.
    pub text: &'a str,
    /// Its first byte in the text it was cut from.
    pub start: usize,
}

impl<'a> Token<'a> {
    /// Whether it is this bare word, whatever the case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this operator.
    pub fn is_operator(&self, text: &str) -> bool {
        self.kind == TokenKind::Operator && self.text == text
    }

    /// The first byte after it.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// The name or text that it spells: quotes removed, doubled ones halved; other tokens as they stand.
    pub fn unquoted(&self) -> String {
        let quote = match self.kind {
            TokenKind::Text | TokenKind::Quoted => self.text.as_bytes()[0],
            _ => return self.text.to_owned(),
        };
        let inner = &self.text[1..self.text.len() - 1];
        match quote {
            b'[' => inner.to_owned(),
            b'"' => inner.replace("\"\"", "\""),
            b'`' => inner.replace("``", "`"),
            _ => inner.replace("''", "'"),
        }
    }

    /// The number of a parameter that is bound by number: `$7` and `$7::int` are 7. Others have none.
    pub fn parameter_number(&self) -> Option<u32> {
        let digits = self
            .text
            .strip_prefix('$')
            .filter(|_| self.kind == TokenKind::Parameter)?;
        let digits = digits.split_once("::").map_or(digits, |(number, _)| number);
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        digits.parse().ok()
    }
}

/// A name in double quotes, as SQLite and PostgreSQL read it: [`Token::unquoted`] gives it back.
pub fn quoted_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Whether these words stand anywhere in `sql`, whatever the case: in a comment, a literal or a longer name, too.
/// A no is certain.
pub fn mentions(sql: impl AsRef<[u8]>, words: &str) -> bool {
    let mut windows = sql.as_ref().windows(words.len());
    windows.any(|window| window.eq_ignore_ascii_case(words.as_bytes()))
}

/// Whether a query may read a table: it names one after FROM, SQLite after IN too, PostgreSQL after TABLE. A no is
/// certain.
pub fn may_read_tables(sql: &str) -> bool {
    significant(sql).any(|token| ["FROM", "IN", "TABLE"].iter().any(|word| token.is_word(word)))
}

/// All tokens of `sql`.
pub fn tokens(sql: &str) -> impl Iterator<Item = Token<'_>> + Clone {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &sql.as_bytes()[start..];
        if rest.is_empty() {
            return None;
        }
        let (kind, len) = scan(rest);
        let token = Token {
            kind,
            text: &sql[start..start + len],
            start,
        };
        start += len;
        Some(token)
    })
}

/// The tokens of `sql` that are neither space nor comment.
pub fn significant(sql: &str) -> impl Iterator<Item = Token<'_>> + Clone {
    tokens(sql).filter(|token| !matches!(token.kind, TokenKind::Space | TokenKind::Comment))
}

/// Two- and three-byte operators, longest first.
const LONG_OPERATORS: [&[u8]; 10] = [
    b"->>", b"->", b"||", b"==", b"<=", b"<>", b"<<", b">=", b">>", b"!=",
];

/// Kind and length of the first token. Every token ends before an ASCII byte or with one, since all bytes of
/// longer characters may stand in a word: so the length is always a character's boundary.
fn scan(rest: &[u8]) -> (TokenKind, usize) {
    let second = rest.get(1).copied().unwrap_or(0);
    match rest[0] {
        b' ' | b'\t' | b'\n' | b'\r' | 0x0C => (
            TokenKind::Space,
            run(rest, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0C)),
        ),
        0xEF if rest.starts_with(b"\xEF\xBB\xBF") => (TokenKind::Space, 3),
        b'-' if second == b'-' => (TokenKind::Comment, run(rest, |byte| byte != b'\n')),
        b'/' if second == b'*' => {
            let end = rest[2..].windows(2).position(|pair| pair == b"*/");
            (TokenKind::Comment, end.map_or(rest.len(), |at| at + 4))
        }
        b';' => (TokenKind::Semicolon, 1),
        b'\'' => quoted(rest, TokenKind::Text),
        b'"' | b'`' => quoted(rest, TokenKind::Quoted),
        b'[' => match rest.iter().position(|&byte| byte == b']') {
            Some(end) => (TokenKind::Quoted, end + 1),
            None => (TokenKind::Invalid, rest.len()),
        },
        b'x' | b'X' if second == b'\'' => blob(rest),
        b'0'..=b'9' => number(rest),
        b'.' if second.is_ascii_digit() => number(rest),
        b'?' => (
            TokenKind::Parameter,
            1 + run(&rest[1..], |byte| byte.is_ascii_digit()),
        ),
        b'$' | b'@' | b':' => named_parameter(rest),
        first if is_word_byte(first) => (TokenKind::Word, run(rest, is_word_byte)),
        _ => operator(rest),
    }
}

/// Bytes that may stand inside a word; the first is also no digit and no `$`, which `scan` takes before.
fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn run(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|&byte| !belongs(byte))
        .unwrap_or(bytes.len())
}

/// A literal whose quote is written twice to stand for itself.
fn quoted(rest: &[u8], kind: TokenKind) -> (TokenKind, usize) {
    let quote = rest[0];
    let mut at = 1;
    while at < rest.len() {
        if rest[at] != quote {
            at += 1;
        } else if rest.get(at + 1) == Some(&quote) {
            at += 2;
        } else {
            return (kind, at + 1);
        }
    }
    (TokenKind::Invalid, rest.len())
}

fn blob(rest: &[u8]) -> (TokenKind, usize) {
    let digits = run(&rest[2..], |byte| byte.is_ascii_hexdigit());
    if rest.get(2 + digits) == Some(&b'\'') && digits.is_multiple_of(2) {
        return (TokenKind::Blob, digits + 3);
    }
    let to_quote = run(&rest[2..], |byte| byte != b'\'');
    (TokenKind::Invalid, (to_quote + 3).min(rest.len()))
}

fn number(rest: &[u8]) -> (TokenKind, usize) {
    let digits = |at: usize| run(&rest[at..], |byte| byte.is_ascii_digit() || byte == b'_');
    let mut len;
    if rest[0] == b'0'
        && matches!(rest.get(1), Some(b'x' | b'X'))
        && rest.get(2).is_some_and(u8::is_ascii_hexdigit)
    {
        len = 2 + run(&rest[2..], |byte| byte.is_ascii_hexdigit() || byte == b'_');
    } else {
        len = digits(0);
        if rest.get(len) == Some(&b'.') {
            len += 1 + digits(len + 1);
        }
        if matches!(rest.get(len), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
            if rest.get(len + 1 + sign).is_some_and(u8::is_ascii_digit) {
                len += 1 + sign + digits(len + 1 + sign);
            }
        }
    }
    match run(&rest[len..], is_word_byte) {
        0 => (TokenKind::Number, len),
        tail => (TokenKind::Invalid, len + tail),
    }
}

/// Besides word bytes a name may hold `::` and end in `(…)` without blanks: Tcl's variables.
fn named_parameter(rest: &[u8]) -> (TokenKind, usize) {
    let mut len = 1;
    let mut word_bytes = 0;
    while let Some(&byte) = rest.get(len) {
        if is_word_byte(byte) {
            word_bytes += 1;
            len += 1;
        } else if byte == b':' && rest.get(len + 1) == Some(&b':') {
            len += 2;
        } else if byte == b'(' && word_bytes > 0 {
            len += run(&rest[len..], |byte| byte != b')' && !byte.is_ascii_whitespace());
            if rest.get(len) != Some(&b')') {
                return (TokenKind::Invalid, len);
            }
            return (TokenKind::Parameter, len + 1);
        } else {
            break;
        }
    }
    if word_bytes == 0 {
        (TokenKind::Invalid, len)
    } else {
        (TokenKind::Parameter, len)
    }
}

fn operator(rest: &[u8]) -> (TokenKind, usize) {
    if let Some(long) = LONG_OPERATORS.iter().find(|operator| rest.starts_with(operator)) {
        return (TokenKind::Operator, long.len());
    }
    match rest[0] {
        b'(' | b')' | b',' | b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'=' | b'<' | b'>' | b'|' | b'&'
        | b'~' => (TokenKind::Operator, 1),
        _ => (TokenKind::Invalid, 1),
    }
}

/// Where between the start and the end of a statement the text stands. A trigger's body holds semicolons; it
/// ends at `END` right after one: the rule of `sqlite3_complete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Start,
    /// After EXPLAIN and what may follow it.
    Explain,
    /// After CREATE, TEMP, TEMPORARY.
    Create,
    /// In a statement that the next semicolon ends.
    Plain,
    /// In CREATE TRIGGER.
    Trigger,
    /// In CREATE TRIGGER, right after a semicolon.
    TriggerSemicolon,
    /// In CREATE TRIGGER, after `; END`.
    TriggerEnd,
}

impl Progress {
    /// After a significant token. Back at `Start`: the token was the semicolon that ends the statement.
    fn after(self, token: &Token<'_>) -> Progress {
        let semicolon = token.kind == TokenKind::Semicolon;
        match self {
            Progress::Trigger | Progress::TriggerSemicolon if semicolon => Progress::TriggerSemicolon,
            _ if semicolon => Progress::Start,
            Progress::Start | Progress::Explain if token.is_word("CREATE") => Progress::Create,
            Progress::Start if token.is_word("EXPLAIN") => Progress::Explain,
            Progress::Explain if token.is_word("QUERY") || token.is_word("PLAN") => Progress::Explain,
            Progress::Create if token.is_word("TEMP") || token.is_word("TEMPORARY") => Progress::Create,
            Progress::Create if token.is_word("TRIGGER") => Progress::Trigger,
            Progress::TriggerSemicolon if token.is_word("END") => Progress::TriggerEnd,
            Progress::Trigger | Progress::TriggerSemicolon | Progress::TriggerEnd => Progress::Trigger,
            Progress::Start | Progress::Explain | Progress::Create | Progress::Plain => Progress::Plain,
        }
    }
}

/// The statements of `sql`, each without its semicolon and surrounding blanks; a piece of comments alone is
/// none. Each is a slice of `sql`, so its address tells where it stands.
pub fn split(sql: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut progress = Progress::Start;
    let mut piece_start = 0;
    for token in significant(sql) {
        let before = progress;
        progress = progress.after(&token);
        if progress == Progress::Start {
            if before != Progress::Start {
                pieces.push(trim(&sql[piece_start..token.start]));
            }
            piece_start = token.end();
        }
    }
    if progress != Progress::Start {
        pieces.push(trim(&sql[piece_start..]));
    }
    pieces
}

fn trim(piece: &str) -> &str {
    piece.trim_matches([' ', '\t', '\n', '\r', '\x0C', '\u{FEFF}'])
}

/// Whether `sql` is the beginning of a CREATE TRIGGER whose body is cut off: what psql sends, which ends a
/// statement at the first semicolon.
pub fn is_incomplete_trigger(sql: &str) -> bool {
    let mut progress = Progress::Start;
    let mut begun = false;
    for token in significant(sql) {
        progress = progress.after(&token);
        begun |= progress == Progress::Trigger && token.is_word("BEGIN");
    }
    begun && matches!(progress, Progress::Trigger | Progress::TriggerSemicolon)
}

/// The command of a statement, as PostgreSQL's command tag names it: the object's kind after CREATE, DROP and
/// ALTER, `SELECT` for VALUES, `INSERT` for REPLACE, `COMMIT` for END; the main statement's verb after WITH.
/// `None` if the text does not begin with a word.
pub fn verb(sql: &str) -> Option<String> {
    let mut tokens = significant(sql).skip_while(|token| token.kind == TokenKind::Semicolon);
    let first = tokens.next().filter(|token| token.kind == TokenKind::Word)?;
    let first = first.text.to_ascii_uppercase();
    let verb = match first.as_str() {
        "WITH" => main_verb(tokens).unwrap_or("WITH".to_owned()),
        "CREATE" | "DROP" | "ALTER" => match object_kind(tokens) {
            Some(kind) => format!("{first} {kind}"),
            None => first,
        },
        "START" if tokens.next().is_some_and(|token| token.is_word("TRANSACTION")) => {
            "START TRANSACTION".to_owned()
        }
        "DISCARD" if tokens.next().is_some_and(|token| token.is_word("ALL")) => "DISCARD ALL".to_owned(),
        _ => tag_of(&first).to_owned(),
    };
    Some(verb)
}

fn tag_of(word: &str) -> &str {
    match word {
        "VALUES" => "SELECT",
        "REPLACE" => "INSERT",
        "END" => "COMMIT",
        "ABORT" => "ROLLBACK",
        other => other,
    }
}

/// The verb after the common table expressions, which stand in parentheses. A word right after WITH or a comma
/// is an expression's name.
fn main_verb<'a>(tokens: impl Iterator<Item = Token<'a>>) -> Option<String> {
    let mut depth = 0u32;
    let mut names_expression = true;
    for token in tokens {
        let word = token.text.to_ascii_uppercase();
        if token.is_operator("(") {
            depth += 1;
        } else if token.is_operator(")") {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && token.kind == TokenKind::Word && !names_expression && is_main_verb(&word) {
            return Some(tag_of(&word).to_owned());
        }
        names_expression = depth == 0 && (token.is_operator(",") || names_expression && word == "RECURSIVE");
    }
    None
}

fn is_main_verb(word: &str) -> bool {
    matches!(
        word,
        "SELECT" | "VALUES" | "INSERT" | "REPLACE" | "UPDATE" | "DELETE"
    )
}

fn object_kind<'a>(tokens: impl Iterator<Item = Token<'a>>) -> Option<String> {
    let modifiers = ["TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL"];
    let kind = tokens
        .take_while(|token| token.kind == TokenKind::Word)
        .find(|token| !modifiers.iter().any(|modifier| token.is_word(modifier)))?;
    Some(match kind.text.to_ascii_uppercase().as_str() {
        "USER" => "ROLE".to_owned(),
        other => other.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds(sql: &str) -> Vec<(TokenKind, &str)> {
        significant(sql).map(|token| (token.kind, token.text)).collect()
    }

    #[test]
    fn words_are_found_wherever_they_stand() {
        for sql in [
            "a RETURNING b",
            "x returning",
            "Returning",
            "'returning'",
            "non_returning()",
        ] {
            assert!(mentions(sql, "RETURNING"), "{sql}");
        }
        for sql in ["", "RETURN", "RETURN ING"] {
            assert!(!mentions(sql, "RETURNING"), "{sql}");
        }
    }

    #[test]
    fn a_query_that_names_no_table_is_told_from_one_that_may() {
        for sql in ["SELECT random(), 'from', \"from\" -- FROM t", "VALUES (1)"] {
            assert!(!may_read_tables(sql), "{sql}");
        }
        for sql in ["SELECT a FROM t", "SELECT 1 in t", "SELECT (TABLE t)"] {
            assert!(may_read_tables(sql), "{sql}");
        }
    }

    #[test]
    fn literals_keep_what_looks_like_other_tokens_inside_them() {
        use TokenKind::*;
        assert_eq!(
            kinds(r#"'a;''b' "c"";" `d;` [e;] x'0aFF' -- ;"#),
            [
                (Text, "'a;''b'"),
                (Quoted, r#""c"";""#),
                (Quoted, "`d;`"),
                (Quoted, "[e;]"),
                (Blob, "x'0aFF'")
            ]
        );
    }

    #[test]
    fn numbers_end_where_sqlite_ends_them() {
        use TokenKind::*;
        assert_eq!(
            kinds("1 1.5e-3 .5 0x1F 1_000 1e 2a"),
            [
                (Number, "1"),
                (Number, "1.5e-3"),
                (Number, ".5"),
                (Number, "0x1F"),
                (Number, "1_000"),
                (Invalid, "1e"),
                (Invalid, "2a")
            ]
        );
    }

    #[test]
    fn parameters_of_all_five_spellings_are_found() {
        use TokenKind::*;
        assert_eq!(
            kinds("?,?12,$1,:n,@n,$1::int"),
            ["?", "?12", "$1", ":n", "@n", "$1::int"]
                .into_iter()
                .flat_map(|text| [(Parameter, text), (Operator, ",")])
                .take(11)
                .collect::<Vec<_>>()
        );
        let numbers: Vec<_> = tokens("$1 $12::int $a ?3")
            .filter_map(|token| token.parameter_number())
            .collect();
        assert_eq!(numbers, [1, 12]);
    }

    #[test]
    fn long_operators_are_one_token() {
        let texts: Vec<_> = significant("a->>b->c||d<=e<>f!=g==h")
            .map(|token| token.text)
            .collect();
        assert_eq!(texts.join(" "), "a ->> b -> c || d <= e <> f != g == h");
    }

    #[test]
    fn comments_do_not_nest_and_may_stay_open() {
        assert_eq!(kinds("/* /* */ 1 /* open"), [(TokenKind::Number, "1")]);
        assert_eq!(kinds("/*/ 1 */ 2"), [(TokenKind::Number, "2")]);
    }

    #[test]
    fn an_unterminated_literal_reaches_to_the_end() {
        for sql in ["'abc", "\"abc", "`abc", "[abc", "x'0", "x'0g'", "x'012'"] {
            assert_eq!(kinds(sql), [(TokenKind::Invalid, sql)]);
        }
    }

    #[test]
    fn a_script_is_split_at_the_semicolons_between_statements_only() {
        let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN SELECT CASE 1 WHEN 2 THEN 3 END; DELETE FROM b; END";
        let sql = format!(";; SELECT ';' ; -- ;\n/* ; */; {trigger}; BEGIN; END; EXPLAIN {trigger};x");
        let explained = format!("EXPLAIN {trigger}");
        assert_eq!(
            split(&sql),
            ["SELECT ';'", trigger, "BEGIN", "END", &explained, "x"]
        );
        assert_eq!(split(" \n-- nothing\n;"), Vec::<&str>::new());
    }

    #[test]
    fn a_trigger_cut_at_its_first_semicolon_is_seen_as_incomplete() {
        assert!(is_incomplete_trigger(
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b"
        ));
        assert!(is_incomplete_trigger(
            "create temp trigger t after insert on a begin delete from b;"
        ));
        assert!(!is_incomplete_trigger(
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END"
        ));
        assert!(!is_incomplete_trigger(
            "CREATE TRIGGER t AFTER INSERT ON a BEGIN DELETE FROM b; END;"
        ));
        assert!(!is_incomplete_trigger("CREATE TRIGGER nonsense"));
        assert!(!is_incomplete_trigger("CREATE TABLE trigger_t (begin_x)"));
    }

    #[test]
    fn verbs_are_those_of_postgresqls_command_tags() {
        for (sql, expected) in [
            ("select 1", "SELECT"),
            ("/* a */ -- b\n VALUES (1)", "SELECT"),
            ("REPLACE INTO t VALUES (1)", "INSERT"),
            ("INSERT OR REPLACE INTO t VALUES (1)", "INSERT"),
            ("CREATE TABLE t (a)", "CREATE TABLE"),
            ("create temp table t (a)", "CREATE TABLE"),
            ("CREATE VIRTUAL TABLE t USING fts5(a)", "CREATE TABLE"),
            ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX"),
            ("ALTER TABLE t RENAME TO u", "ALTER TABLE"),
            ("DROP VIEW IF EXISTS v", "DROP VIEW"),
            ("CREATE USER u", "CREATE ROLE"),
            (
                "WITH a AS (SELECT 1), replace(x) AS (VALUES (1)) UPDATE t SET a = 1",
                "UPDATE",
            ),
            (
                "WITH RECURSIVE a(delete) AS (SELECT 1) INSERT INTO t SELECT * FROM a",
                "INSERT",
            ),
            ("WITH a AS NOT MATERIALIZED (DELETE) SELECT 1", "SELECT"),
            ("EXPLAIN QUERY PLAN SELECT 1", "EXPLAIN"),
            ("PRAGMA user_version", "PRAGMA"),
            ("BEGIN IMMEDIATE", "BEGIN"),
            ("START TRANSACTION READ ONLY", "START TRANSACTION"),
            ("END", "COMMIT"),
            ("ABORT", "ROLLBACK"),
            ("; DISCARD ALL", "DISCARD ALL"),
        ] {
            assert_eq!(verb(sql).as_deref(), Some(expected), "{sql}");
        }
        assert_eq!(verb("-- nothing"), None);
        assert_eq!(verb("(SELECT 1)"), None);
    }

    #[test]
    fn quotes_are_taken_off_and_doubled_ones_halved() {
        let texts: Vec<_> = significant(r#"'it''s' "a""b" `c``d` [e]] f"#)
            .map(|token| token.unquoted())
            .collect();
        assert_eq!(texts, ["it's", "a\"b", "c`d", "e", "]", "f"]);
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_loss(sql in r#"([a-zé'"`\[\];$:?@0-9x.\-/* ()\n_<>|]|\PC|BEGIN|END;|CREATE TRIGGER ){0,60}"#) {
            let joined: String = tokens(&sql).map(|token| token.text).collect();
            prop_assert_eq!(&joined, &sql);
            for token in tokens(&sql) {
                token.unquoted();
            }
            for piece in split(&sql) {
                verb(piece);
                is_incomplete_trigger(piece);
                prop_assert!(!piece.is_empty());
            }
        }
    }
}
