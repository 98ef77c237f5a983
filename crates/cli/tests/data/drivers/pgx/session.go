// A session of pgx: binary values, statements prepared and cached, batches, COPY, a pool, notifications. Says "done" at
// the end.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var ctx = context.Background()

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func equal[T comparable](found, wanted T) {
	if found != wanted {
		panic(fmt.Sprintf("%v where %v is wanted", found, wanted))
	}
}

// The SQLSTATE of an error that must have come from the server.
func state(err error) string {
	var told *pgconn.PgError
	if !errors.As(err, &told) {
		panic(fmt.Sprintf("no error of the server: %v", err))
	}
	return told.Code
}

func main() {
	url := "postgres://postgres@127.0.0.1:" + os.Args[1] + "/postgres?sslmode=disable"
	table := "pgx_" + os.Args[2]
	conn, err := pgx.Connect(ctx, url)
	must(err)
	_, err = conn.Exec(ctx, "CREATE TABLE "+table+` (
		id serial PRIMARY KEY, four int4, big bigint, real float8, price numeric(10, 2), name varchar(20), wool bytea,
		alive boolean, born date, seen timestamp, told timestamptz, tag uuid, facts jsonb)`)
	must(err)
	values(conn, table)
	batches(conn, table)
	copies(conn, table)
	transactions(conn, table)
	notifications(conn, url, "channel_"+os.Args[2])
	must(conn.Close(ctx))
	pool(url, table)
	fmt.Println("done")
}

// Every type there and back, as pgx sends them: in binary where it knows how.
func values(conn *pgx.Conn, table string) {
	moment := time.Date(2024, 2, 29, 12, 30, 15, 250_000_000, time.UTC)
	day := time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)
	tag := [16]byte{0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11}
	insert := "INSERT INTO " + table + ` (four, big, real, price, name, wool, alive, born, seen, told, tag, facts)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id`
	var id int64
	must(conn.QueryRow(ctx, insert, 7, int64(9_007_199_254_740_993), 0.1, "1234.5", "Dölly 🐑", []byte{0, 255, 39}, true,
		day, moment, moment, tag, map[string]any{"legs": []any{1, "zwei", nil}}).Scan(&id))
	equal(id, 1)
	var four int32
	var big int64
	var real float64
	var price, name string
	var wool []byte
	var alive bool
	var born, seen, told time.Time
	var found [16]byte
	var facts map[string]any
	row := conn.QueryRow(ctx, "SELECT four, big, real, price::text, name, wool, alive, born, seen, told, tag, facts FROM "+
		table+" WHERE id = $1", id)
	must(row.Scan(&four, &big, &real, &price, &name, &wool, &alive, &born, &seen, &told, &found, &facts))
	equal(four, 7)
	equal(big, 9_007_199_254_740_993)
	equal(real, 0.1)
	equal(price, "1234.5")
	equal(name, "Dölly 🐑")
	equal(bytes.Equal(wool, []byte{0, 255, 39}), true)
	equal(alive, true)
	equal(born.Equal(day), true)
	equal(seen.Equal(moment), true)
	equal(told.Equal(moment), true)
	equal(found, tag)
	equal(fmt.Sprint(facts["legs"]), "[1 zwei <nil>]")
	// NULL, and an array as a parameter; the second time from the cache of prepared statements.
	for round := 0; round < 2; round++ {
		var none *string
		must(conn.QueryRow(ctx, "SELECT NULLIF($1::text, 'x')", "x").Scan(&none))
		equal(none == nil, true)
		var count int
		must(conn.QueryRow(ctx, "SELECT count(*) FROM "+table+" WHERE four = ANY($1)", []int32{7, 8}).Scan(&count))
		equal(count, 1)
	}
	// Texts instead of binary, without preparing.
	var plain int
	must(conn.QueryRow(ctx, "SELECT $1::int4 + 1", pgx.QuerySimpleProtocol(true), 41).Scan(&plain))
	equal(plain, 42)
}

// Several statements in one flight, which are one transaction: the last one's error takes all of them back.
func batches(conn *pgx.Conn, table string) {
	batch := &pgx.Batch{}
	for n := 0; n < 10; n++ {
		batch.Queue("INSERT INTO "+table+" (four, name) VALUES ($1, $2)", n, "batch")
	}
	batch.Queue("SELECT count(*) FROM " + table + " WHERE name = 'batch'")
	results := conn.SendBatch(ctx, batch)
	for n := 0; n < 10; n++ {
		tag, err := results.Exec()
		must(err)
		equal(tag.String(), "INSERT 0 1")
	}
	var count int
	must(results.QueryRow().Scan(&count))
	equal(count, 10)
	must(results.Close())
	failing := &pgx.Batch{}
	failing.Queue("DELETE FROM " + table)
	failing.Queue("INSERT INTO "+table+" (id) VALUES ($1), ($1)", 77)
	equal(state(conn.SendBatch(ctx, failing).Close()), "23505")
	must(conn.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&count))
	equal(count, 11)
}

// COPY in binary, which is pgx's only way.
func copies(conn *pgx.Conn, table string) {
	rows := make([][]any, 1000)
	for n := range rows {
		rows[n] = []any{int32(n), int64(n) << 33, "copied", n%2 == 0}
	}
	columns := []string{"four", "big", "name", "alive"}
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows))
	must(err)
	equal(copied, 1000)
	var sum int64
	must(conn.QueryRow(ctx, "SELECT sum(big >> 33) FROM "+table+" WHERE name = 'copied'").Scan(&sum))
	equal(sum, 499_500)
	many, err := conn.Query(ctx, "SELECT four FROM "+table+" WHERE name = 'copied' AND alive ORDER BY four")
	must(err)
	next := int32(0)
	for many.Next() {
		var four int32
		must(many.Scan(&four))
		equal(four, next)
		next += 2
	}
	must(many.Err())
	equal(next, 1000)
}

func transactions(conn *pgx.Conn, table string) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	must(err)
	_, err = tx.Exec(ctx, "DELETE FROM "+table)
	must(err)
	nested, err := tx.Begin(ctx) // a savepoint
	must(err)
	_, err = nested.Exec(ctx, "INSERT INTO "+table+" (id) VALUES (1), (1)")
	equal(state(err), "23505")
	must(nested.Rollback(ctx))
	must(tx.Rollback(ctx))
	reading, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	must(err)
	_, err = reading.Exec(ctx, "DELETE FROM "+table)
	equal(state(err), "25006")
	must(reading.Rollback(ctx))
	_, err = conn.Exec(ctx, "SELECT * FROM nowhere")
	equal(state(err), "42P01")
	_, err = conn.Exec(ctx, "SET statement_timeout = 100")
	must(err)
	var most int64
	endless := "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
	equal(state(conn.QueryRow(ctx, endless).Scan(&most)), "57014")
	_, err = conn.Exec(ctx, "SET statement_timeout = 0")
	must(err)
}

func notifications(conn *pgx.Conn, url string, channel string) {
	_, err := conn.Exec(ctx, "LISTEN "+channel)
	must(err)
	other, err := pgx.Connect(ctx, url)
	must(err)
	_, err = other.Exec(ctx, "SELECT pg_notify($1, 'bell')", channel)
	must(err)
	must(other.Close(ctx))
	patience, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	heard, err := conn.WaitForNotification(patience)
	must(err)
	equal(heard.Channel, channel)
	equal(heard.Payload, "bell")
}

func pool(url string, table string) {
	connections, err := pgxpool.Connect(ctx, url+"&pool_max_conns=4")
	must(err)
	answers := make(chan int, 20)
	for n := 0; n < 20; n++ {
		go func(n int) {
			var twice int
			must(connections.QueryRow(ctx, "SELECT $1::int4 * 2", n).Scan(&twice))
			answers <- twice
		}(n)
	}
	sum := 0
	for n := 0; n < 20; n++ {
		sum += <-answers
	}
	equal(sum, 380)
	_, err = connections.Exec(ctx, "DROP TABLE "+table)
	must(err)
	connections.Close()
}
