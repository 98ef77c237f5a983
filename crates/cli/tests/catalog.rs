//! The catalog as clients see it: live at every node, in every transaction, with true types. The queries are in
//! SQLite's dialect.

mod support;

use support::shared::shared_cluster;
use support::{execute, run, sqlstate};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

/// The first column of each row.
async fn names(client: &Client, sql: &str) -> Vec<String> {
    let rows = client.query(sql, &[]).await.expect(sql);
    rows.iter().map(|row| row.get(0)).collect()
}

async fn name(client: &Client, sql: &str) -> String {
    let mut names = names(client, sql).await;
    assert_eq!(names.len(), 1, "{sql}: {names:?}");
    names.remove(0)
}

/// As psql's `\dt` asks.
const TABLES: &str = "SELECT c.relname FROM pg_catalog.pg_class c
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'pg_catalog' AND n.nspname <> 'information_schema'
    AND pg_table_is_visible(c.oid) AND c.relname LIKE 'cat\\_%' ESCAPE '\\' ORDER BY 1";

#[test]
fn what_another_session_creates_is_there_at_once_at_every_node() {
    run(async {
        let cluster = shared_cluster();
        let (leader, follower) = (
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        );
        execute(&follower, "SET bellwether.read_consistency = strong").await;
        for number in 0..10 {
            execute(
                &leader,
                &format!("CREATE TABLE cat_{number}(id INTEGER PRIMARY KEY, name VARCHAR(20))"),
            )
            .await;
            for client in [&leader, &follower] {
                assert_eq!(names(client, TABLES).await.len(), number + 1);
            }
        }
        execute(&leader, "DROP TABLE cat_0; ALTER TABLE cat_1 RENAME TO cat_one").await;
        for client in [&leader, &follower] {
            let tables = names(client, TABLES).await;
            assert_eq!(tables.len(), 9);
            assert!(tables.contains(&"cat_one".to_owned()));
        }
        let oid = "SELECT oid FROM pg_class WHERE relname = 'cat_one'";
        let [here, there]: [u32; 2] = [
            leader.query_one(oid, &[]).await.expect(oid).get(0),
            follower.query_one(oid, &[]).await.expect(oid).get(0),
        ];
        assert_eq!(here, there, "ids are equal at every node");
    });
}

#[test]
fn a_transaction_that_holds_the_writer_sees_its_own_tables_and_a_rollback_forgets_them() {
    run(async {
        let cluster = shared_cluster();
        for client in [
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ] {
            let exists = "SELECT regclassout(to_regclass('cat_mine'))";
            execute(&client, "BEGIN; CREATE TABLE cat_mine(a INTEGER, b TEXT UNIQUE)").await;
            assert_eq!(name(&client, exists).await, "cat_mine");
            let columns =
                "SELECT attname FROM pg_attribute WHERE attrelid = regclassin('cat_mine') AND attnum > 0";
            assert_eq!(names(&client, columns).await, ["a", "b"]);
            execute(&client, "ROLLBACK").await;
            let gone: Option<u32> = client
                .query_one("SELECT to_regclass('cat_mine')", &[])
                .await
                .expect("a row")
                .get(0);
            assert_eq!(gone, None);
        }
    });
}

#[test]
fn keys_references_and_checks_are_told_as_postgresql_does() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        execute(
            &client,
            "CREATE TABLE author(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
             CREATE TABLE book(id INTEGER PRIMARY KEY, author INTEGER REFERENCES author ON DELETE CASCADE,
                pages INTEGER DEFAULT 1 CHECK (pages > 0), title VARCHAR(40));
             CREATE INDEX book_title ON book(title DESC, lower(title)) WHERE pages > 10;
             CREATE VIEW long AS SELECT title FROM book WHERE pages > 500",
        )
        .await;
        let constraints = "SELECT conname || ': ' || pg_get_constraintdef(oid) FROM pg_constraint
            WHERE conrelid = regclassin('book') ORDER BY conname";
        assert_eq!(
            names(&client, constraints).await,
            [
                "book_author_fkey: FOREIGN KEY (author) REFERENCES author(id) ON DELETE CASCADE",
                "book_pages_check: CHECK (pages > 0)",
                "book_pkey: PRIMARY KEY (id)",
            ]
        );
        let indexes =
            "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = regclassin('book') ORDER BY 1";
        assert_eq!(
            names(&client, indexes).await,
            [
                "CREATE INDEX book_title ON public.book USING btree (title DESC, (lower(title))) WHERE pages > 10",
                "CREATE UNIQUE INDEX book_pkey ON public.book USING btree (id)",
            ]
        );
        let types = "SELECT format_type(atttypid, atttypmod) FROM pg_attribute
            WHERE attrelid = regclassin('public.book') AND attnum > 0 ORDER BY attnum";
        assert_eq!(
            names(&client, types).await,
            ["bigint", "bigint", "bigint", "character varying(40)"]
        );
        let default = "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a
            ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE d.adrelid = regclassin('book')";
        assert_eq!(names(&client, default).await, ["1"]);
        let view = "SELECT pg_get_viewdef(regclassin('long'))";
        assert_eq!(
            name(&client, view).await,
            " SELECT title FROM book WHERE pages > 500;"
        );
        let referred = "SELECT ccu.table_name || '.' || ccu.column_name
            FROM information_schema.table_constraints tc
            JOIN information_schema.constraint_column_usage ccu ON ccu.constraint_name = tc.constraint_name
            WHERE tc.table_name = 'book' AND tc.constraint_type = 'FOREIGN KEY'";
        assert_eq!(names(&client, referred).await, ["author.id"]);
        let columns = "SELECT column_name || ' ' || data_type || ' ' || is_nullable
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'author'
            ORDER BY ordinal_position";
        assert_eq!(names(&client, columns).await, ["id bigint NO", "name text NO"]);
    });
}

#[test]
fn columns_of_the_catalog_are_described_with_their_types_and_read_in_binary() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_follower().await;
        execute(
            &client,
            "CREATE TABLE typed(a INTEGER, b INTEGER, PRIMARY KEY(b, a))",
        )
        .await;
        let sql = "SELECT c.oid, c.relname, c.relhasindex, c.relkind, c.reltuples, c.relnatts, con.conkey, i.indkey
            FROM pg_class c JOIN pg_constraint con ON con.conrelid = c.oid JOIN pg_index i ON i.indrelid = c.oid
            WHERE c.relname = 'typed'";
        let row = client.query_one(sql, &[]).await.expect(sql);
        let types: Vec<&Type> = row.columns().iter().map(|column| column.type_()).collect();
        assert_eq!(
            types,
            [
                &Type::OID,
                &Type::NAME,
                &Type::BOOL,
                &Type::CHAR,
                &Type::FLOAT4,
                &Type::INT2,
                &Type::INT2_ARRAY,
                &Type::INT2_VECTOR
            ]
        );
        assert!(row.get::<_, bool>(2));
        assert_eq!(row.get::<_, i8>(3), b'r'.cast_signed());
        assert_eq!(row.get::<_, Vec<i16>>(6), [2, 1]);
    });
}

#[test]
fn every_system_table_answers_at_leader_and_follower() {
    run(async {
        let cluster = shared_cluster();
        for client in [
            cluster.connect_to_leader().await,
            cluster.connect_to_follower().await,
        ] {
            let sql = "SELECT n.nspname || '.' || c.relname FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname <> 'public'";
            let tables = names(&client, sql).await;
            assert!(tables.len() > 180, "{}", tables.len());
            for table in tables {
                let sql = format!("SELECT * FROM {table}");
                client.simple_query(&sql).await.expect(&sql);
            }
        }
    });
}

#[test]
fn what_is_told_about_a_session_is_the_same_at_the_leader() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_follower().await;
        execute(&client, "CREATE TABLE told(a); SET application_name = 'flock'").await;
        let sql = "SELECT pg_backend_pid() || ' ' || current_user() || ' ' || current_database() || ' '
            || pg_is_in_recovery() || ' ' || current_setting('application_name') || ' ' || inet_client_port()";
        let alone = name(&client, sql).await;
        assert!(alone.ends_with(&format!(
            " 1 flock {}",
            alone.rsplit(' ').next().unwrap_or_default()
        )));
        execute(&client, "BEGIN").await;
        assert_eq!(name(&client, sql).await, alone, "from a snapshot of this node's");
        execute(&client, "INSERT INTO told VALUES (1)").await;
        assert_eq!(name(&client, sql).await, alone, "at the leader");
        execute(&client, "COMMIT").await;
        execute(&client, "SET bellwether.read_consistency = strong").await;
        assert_eq!(name(&client, sql).await, alone);
    });
}

#[test]
fn no_function_takes_the_place_of_one_of_sqlites() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        // Ours alone are deterministic only where the session is not asked; SQLite lists each of a name.
        let sql =
            "SELECT name FROM pragma_function_list GROUP BY name, narg HAVING count(DISTINCT builtin) > 1";
        let doubled = names(&client, sql).await;
        assert!(
            doubled.iter().all(|name| [
                "changes",
                "random",
                "randomblob",
                "sqlite_version",
                "total_changes"
            ]
            .contains(&name.as_str())),
            "{doubled:?}"
        );
    });
}

#[test]
fn the_catalog_is_read_only() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        for sql in [
            "DELETE FROM pg_class",
            "CREATE TABLE pg_catalog.t(a)",
            "DROP TABLE pg_catalog.pg_type",
        ] {
            assert_eq!(sqlstate(client.batch_execute(sql).await), "42501", "{sql}");
        }
    });
}

#[test]
fn sizes_are_those_of_the_pages_at_every_node() {
    run(async {
        let cluster = shared_cluster();
        let client = cluster.connect_to_leader().await;
        let create = "CREATE TABLE bulky (id INTEGER PRIMARY KEY, body TEXT);
             CREATE INDEX bulky_body ON bulky (body);
             INSERT INTO bulky WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
                 SELECT i, printf('%01000d', i) FROM n";
        client.batch_execute(create).await.expect("a table");
        cluster.assert_equal_fingerprints();
        for client in [client, cluster.connect_to_follower().await] {
            let sql = "SELECT pg_relation_size('bulky'), pg_table_size('bulky'::regclass), pg_indexes_size('bulky'),
                 pg_total_relation_size('bulky'), pg_relation_size('bulky_body'),
                 pg_database_size(current_database()), pg_relation_size('nowhere'), pg_relation_size('bulky', 'fsm')";
            let row = client.query_one(sql, &[]).await.expect("sizes");
            let sizes: Vec<Option<i64>> = (0..8).map(|column| row.get(column)).collect();
            let [
                Some(table),
                same,
                Some(indexes),
                total,
                index,
                Some(database),
                None,
                None,
            ] = sizes[..]
            else {
                panic!("{sizes:?}");
            };
            // A hundred texts of a thousand bytes, three or four to a page, and some more pages to find them.
            assert!(
                (100_000..200_000).contains(&table) && table % 4096 == 0,
                "{table}"
            );
            assert_eq!((same, index), (Some(table), Some(indexes)));
            assert_eq!(total, Some(table + indexes));
            assert!(database > table + indexes);
        }
    });
}
