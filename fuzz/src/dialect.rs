//! PostgreSQL's accent: a text that the parser takes becomes statements of SQLite's, or a refusal.
//!
//! Each statement of a translation is one statement, and not empty; it has as many parameter types as there are
//! parameters at most; a place in it leads to a place in the client's text or to none; and what it is translated to,
//! the translator takes as well.

use std::borrow::Cow;

use bellwether_pg::dialect::{needs_translation, translate};
use bellwether_types::lexer;

/// A text; what is no UTF-8 in it is replaced, as the door refuses it.
pub fn run(input: &[u8]) {
    let sql: Cow<'_, str> = String::from_utf8_lossy(input);
    needs_translation(&sql);
    let characters = sql.chars().count();
    let Ok(Some(translation)) = translate(&sql) else {
        return;
    };
    let tokens = translation
        .statements
        .iter()
        .flat_map(|statement| lexer::tokens(statement));
    let highest = tokens.filter_map(|token| token.parameter_number()).max();
    assert!(translation.parameters.len() <= highest.unwrap_or(0) as usize);
    for (number, statement) in translation.statements.iter().enumerate() {
        assert_eq!(lexer::split(statement).len(), 1, "one statement: {statement}");
        for at in [0, statement.len() / 2, statement.len()] {
            if let Some(position) = translation.position(&sql, number, at) {
                assert!((1..=characters + 1).contains(&(position as usize)));
            }
        }
        let _ = translate(statement);
    }
}

/// Statements of many kinds.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "SELECT a::int, b || 'x'::varchar(3), now() - interval '1 day' FROM t WHERE a = ANY($1) AND b ~* '^x'",
        "SELECT DISTINCT ON (a) a, b FROM t ORDER BY a, b DESC NULLS LAST FETCH FIRST 5 ROWS ONLY FOR UPDATE NOWAIT",
        "CREATE TABLE IF NOT EXISTS public.t (id bigserial PRIMARY KEY, a numeric(10,2) DEFAULT 0::numeric, \
         b timestamptz DEFAULT now(), c int[] , CHECK (a > 0), FOREIGN KEY (id) REFERENCES u (id) ON DELETE CASCADE)",
        "INSERT INTO t (a, b) VALUES (DEFAULT, E'it\\'s'), ($1::int, $$x$$) ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b \
         RETURNING id, b AS c",
        "UPDATE t x SET a = u.a, (b, c) = (1, 2) FROM u WHERE u.id = x.id",
        "DELETE FROM ONLY t USING u WHERE u.id = t.id; TRUNCATE a, b RESTART IDENTITY",
        "ALTER TABLE t ADD COLUMN a int NOT NULL DEFAULT 1, DROP COLUMN IF EXISTS b, ALTER COLUMN c TYPE text",
        "SELECT t.a, e FROM t, unnest(t.list) WITH ORDINALITY AS e(v, n), generate_series(1, 10) AS g(x)",
        "WITH RECURSIVE r AS MATERIALIZED (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r OFFSET 1",
        "SELECT extract(epoch FROM a), date_trunc('month', a) AT TIME ZONE 'UTC', a BETWEEN SYMMETRIC 2 AND 1 FROM t",
        "SELECT ARRAY[1,2][1], '{}'::jsonb -> 'a' ->> 0, (a, b) IS DISTINCT FROM (1, 2), CASE WHEN true THEN 1 END FROM t",
        "CREATE UNIQUE INDEX CONCURRENTLY ON public.t USING btree (lower(a) text_pattern_ops DESC) WHERE b IS NOT NULL",
        "DROP TABLE IF EXISTS a, b CASCADE; LOCK TABLE t IN EXCLUSIVE MODE; VACUUM (ANALYZE) t; COMMENT ON TABLE t IS 'x'",
    ]
    .into_iter()
    .map(|sql| sql.as_bytes().to_vec())
    .collect()
}
