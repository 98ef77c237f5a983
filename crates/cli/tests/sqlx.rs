//! sqlx, which reads every value in binary and holds each column to the type that it was told, at the leader and at a
//! follower. What it asks is kept with that of other drivers.

mod support;

use sqlx_core::Error;
use sqlx_core::acquire::Acquire;
use sqlx_core::connection::Connection;
use sqlx_core::query::query;
use sqlx_core::query_as::query_as;
use sqlx_core::query_scalar::query_scalar;
use sqlx_core::row::Row;
use sqlx_core::types::time::{Date, OffsetDateTime, PrimitiveDateTime, Time};
use sqlx_core::types::{Json, Uuid};
use sqlx_postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use support::recorder::Recorder;
use support::run;
use support::shared::shared_cluster;

async fn converse(port: u16, own: &str) -> Result<(), Error> {
    let options = PgConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username("postgres")
        .database("postgres");
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    let table = format!("sqlx_{own}");
    values(&pool, &table).await?;
    arrays(&pool, &table).await?;
    transactions(&pool, &table).await?;
    pool.close().await;
    Ok(())
}

async fn values(pool: &PgPool, table: &str) -> Result<(), Error> {
    let create = format!(
        "CREATE TABLE {table} (id bigserial PRIMARY KEY, small smallint, four int4, real float8, name varchar(20) NOT NULL, \
         wool bytea, alive boolean, born date, at time, seen timestamp, told timestamptz, tag uuid, facts jsonb)"
    );
    query(&create).execute(pool).await?;
    let born = Date::from_ordinal_date(2024, 31 + 29).expect("a leap day");
    let at = Time::from_hms_micro(12, 30, 15, 250_000).expect("a time");
    let seen = PrimitiveDateTime::new(born, at);
    let facts = Json(vec![Some("a".to_owned()), None]);
    let tag = Uuid::from_u128(7);
    let insert = format!(
        "INSERT INTO {table} (small, four, real, name, wool, alive, born, at, seen, told, tag, facts) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id"
    );
    let id: i64 = query_scalar(&insert)
        .bind(7_i16)
        .bind(70_000)
        .bind(0.1)
        .bind("Dölly 🐑")
        .bind(&[0_u8, 255, 39][..])
        .bind(true)
        .bind(born)
        .bind(at)
        .bind(seen)
        .bind(seen.assume_utc())
        .bind(tag)
        .bind(&facts)
        .fetch_one(pool)
        .await?;
    assert_eq!(id, 1);
    let row = query(&format!("SELECT * FROM {table} WHERE id = $1"))
        .bind(id)
        .fetch_one(pool)
        .await?;
    assert_eq!(
        (row.get::<i16, _>("small"), row.get::<i32, _>("four")),
        (7, 70_000)
    );
    assert_eq!(
        (row.get::<f64, _>("real"), row.get::<&str, _>("name")),
        (0.1, "Dölly 🐑")
    );
    assert_eq!(row.get::<&[u8], _>("wool"), [0, 255, 39]);
    assert!(row.get::<bool, _>("alive"));
    assert_eq!((row.get::<Date, _>("born"), row.get::<Time, _>("at")), (born, at));
    assert_eq!(row.get::<PrimitiveDateTime, _>("seen"), seen);
    assert_eq!(row.get::<OffsetDateTime, _>("told"), seen.assume_utc());
    assert_eq!(row.get::<Uuid, _>("tag"), tag);
    assert_eq!(row.get::<Json<Vec<Option<String>>>, _>("facts"), facts);

    // What sqlx is told of expressions.
    let exists: bool = query_scalar(&format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE name = $1)"))
        .bind("nobody")
        .fetch_one(pool)
        .await?;
    assert!(!exists);
    let sum: i32 = query_scalar("SELECT $1::int4 + 1")
        .bind(41)
        .fetch_one(pool)
        .await?;
    assert_eq!(sum, 42);
    let (count, most): (i64, Option<f64>) = query_as(&format!(
        "WITH alive AS (SELECT real FROM {table} WHERE alive) SELECT count(*), max(real) FROM alive"
    ))
    .fetch_one(pool)
    .await?;
    assert_eq!((count, most), (1, Some(0.1)));
    Ok(())
}

async fn arrays(pool: &PgPool, table: &str) -> Result<(), Error> {
    let insert = format!("INSERT INTO {table} (four, name) SELECT * FROM unnest($1::int4[], $2::text[])");
    let added = query(&insert)
        .bind(vec![10, 20, 30])
        .bind(vec!["ten", "twenty", "thirty"])
        .execute(pool)
        .await?;
    assert_eq!(added.rows_affected(), 3);
    let few: Vec<(String,)> = query_as(&format!(
        "SELECT name FROM {table} WHERE four = ANY($1) ORDER BY four"
    ))
    .bind(vec![30, 10, 99])
    .fetch_all(pool)
    .await?;
    assert_eq!(few, [("ten".to_owned(),), ("thirty".to_owned(),)]);
    let tagged: i64 = query_scalar(&format!("SELECT count(*) FROM {table} WHERE tag = ANY($1)"))
        .bind(vec![Uuid::from_u128(7)])
        .fetch_one(pool)
        .await?;
    assert_eq!(tagged, 1);
    let names: Vec<String> = query_scalar(&format!(
        "SELECT array_agg(name ORDER BY id) FROM {table} WHERE four > 15"
    ))
    .fetch_one(pool)
    .await
    .map(|names: Vec<String>| names)?;
    assert_eq!(names, ["Dölly 🐑", "twenty", "thirty"]);
    Ok(())
}

async fn transactions(pool: &PgPool, table: &str) -> Result<(), Error> {
    let insert = format!("INSERT INTO {table} (id, name) VALUES ($1, 'x')");
    let mut connection = pool.acquire().await?;
    connection.ping().await?;
    let mut transaction = connection.begin().await?;
    query(&insert).bind(100_i64).execute(&mut *transaction).await?;
    let mut inner = transaction.begin().await?;
    let twice = query(&insert).bind(100_i64).execute(&mut *inner).await;
    let error = twice
        .expect_err("a duplicate")
        .into_database_error()
        .expect("the node's");
    assert!(error.is_unique_violation());
    inner.rollback().await?;
    transaction.commit().await?;
    let dropped = connection.begin().await?;
    drop(dropped);
    let found: Option<String> = query_scalar(&format!("SELECT name FROM {table} WHERE id = 100"))
        .fetch_optional(&mut *connection)
        .await?;
    assert_eq!(found.as_deref(), Some("x"));
    let missing = query("SELECT * FROM nowhere").execute(&mut *connection).await;
    let error = missing
        .expect_err("no such table")
        .into_database_error()
        .expect("the node's");
    assert_eq!(error.code().as_deref(), Some("42P01"));
    Ok(())
}

#[test]
fn sqlx_is_told_the_types_that_it_reads() {
    run(async {
        let cluster = shared_cluster();
        for node in [cluster.wait_for_leader(), cluster.followers()[0]] {
            let recorder = Recorder::start(cluster.pg(node));
            let own = format!("node{node}");
            converse(recorder.address().port(), &own)
                .await
                .expect("all of it goes as it should");
            recorder.check("sqlx", &own);
        }
        cluster.assert_equal_fingerprints();
    });
}
