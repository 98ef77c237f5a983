"""A session of asyncpg, which sends and asks for every value in binary. Says "done" at the end."""

import asyncio
import datetime
import decimal
import json
import sys
import uuid

import asyncpg

PORT, NODE = int(sys.argv[1]), sys.argv[2]
TABLE = "asyncpg_" + NODE
NOON = datetime.datetime(2024, 2, 29, 12, 30, 15, 250000)
UTC = datetime.timezone.utc
SHEEP = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")


async def values(connection):
    await connection.execute(f"""
        CREATE TABLE {TABLE} (
            id serial PRIMARY KEY, small smallint, four int4, big bigint, single float4, real float8,
            price numeric(12, 2), name text, short varchar(20), wool bytea, alive boolean, born date, at time,
            seen timestamp, told timestamptz, tag uuid, facts json, more jsonb)""")
    row = (7, 70000, 2**40, 1.5, 0.1, decimal.Decimal("1234.50"), "Dölly 🐑", "short", b"\x00\xff", True,
           NOON.date(), NOON.time(), NOON, NOON.replace(tzinfo=UTC), SHEEP, '{"a": 1}', '{"b":[1,2]}')
    columns = ("small, four, big, single, real, price, name, short, wool, alive, born, at, seen, told, tag, facts, "
               "more")
    places = ", ".join(f"${n}" for n in range(1, 18))
    id = await connection.fetchval(f"INSERT INTO {TABLE} ({columns}) VALUES ({places}) RETURNING id", *row)
    assert id == 1, id
    read = await connection.fetchrow(f"SELECT {columns} FROM {TABLE} WHERE id = $1", id)
    for name, sent, came in zip(read.keys(), row, read.values()):
        same = json.loads(sent) == json.loads(came) if name in ("facts", "more") else sent == came
        assert same, (name, sent, came)
    # A negative and a small number, nothing, a time before 2000, and the other way round.
    old = datetime.datetime(1969, 12, 31, 23, 59, 59, 999999)
    await connection.execute(f"INSERT INTO {TABLE} (price, seen, born) VALUES ($1, $2, $3)", decimal.Decimal("-0.07"),
                             old, old.date())
    read = await connection.fetchrow(f"SELECT price, seen, born, told FROM {TABLE} WHERE seen < $1", NOON)
    assert tuple(read) == (decimal.Decimal("-0.07"), old, old.date(), None), read
    assert await connection.fetchval("SELECT $1::int + $2::int", 40, 2) == 42
    assert await connection.fetchval("SELECT $1::text || 'b'", "a") == "ab"
    assert await connection.fetchval("SELECT now() > $1::timestamptz", NOON.replace(tzinfo=UTC))
    assert isinstance(await connection.fetchval("SELECT now()"), datetime.datetime)
    assert await connection.fetchval("SELECT '{\"a\": 1}'::jsonb") == '{"a":1}'
    assert await connection.fetchval("SELECT 1.50::numeric(10,2)") == decimal.Decimal("1.5")


async def arrays(connection):
    many = [(n, f"sheep {n}") for n in range(10, 20)]
    await connection.executemany(f"INSERT INTO {TABLE} (id, name) VALUES ($1, $2)", many)
    for sql, given, expected in [
        ("id = ANY($1)", [10, 12, 99], 2),
        ("id = ANY($1::int[])", [10, 12, 13], 3),
        ("id = ANY($1::bigint[])", [10], 1),
        ("name = ANY($1)", ["sheep 10", "sheep 11", None], 2),
        ("name = ANY($1::text[])", ["sheep 10"], 1),
        ("name = ANY($1::varchar[])", ["sheep 10"], 1),
        ("tag = ANY($1::uuid[])", [SHEEP], 1),
        ("id <> ALL($1::int[])", [10], 11),
        ("id = ANY($1::int[])", [], 0),
    ]:
        found = await connection.fetch(f"SELECT id FROM {TABLE} WHERE {sql}", given)
        assert len(found) == expected, (sql, found)
    assert await connection.fetchval("SELECT ARRAY[1, 2, 3]") == [1, 2, 3]
    assert await connection.fetchval("SELECT ARRAY['a', 'b c']") == ["a", "b c"]
    assert await connection.fetchval("SELECT $1::int[]", [3, None]) == [3, None]
    assert await connection.fetchval(f"SELECT array_agg(name ORDER BY id) FROM {TABLE} WHERE id > 17") == [
        "sheep 18", "sheep 19"]
    rows = await connection.fetch("SELECT * FROM unnest($1::int[], $2::text[]) AS u(n, t)", [1, 2], ["a", "b"])
    assert [tuple(row) for row in rows] == [(1, "a"), (2, "b")], rows
    await connection.execute(f"INSERT INTO {TABLE} (id, name) SELECT * FROM unnest($1::int[], $2::text[])",
                             [30, 31], ["x", "y"])


async def transactions(connection):
    async with connection.transaction():
        await connection.execute(f"DELETE FROM {TABLE} WHERE id >= 30")
        try:
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {TABLE} (id) VALUES (1)")
        except asyncpg.UniqueViolationError:
            pass
        else:
            raise AssertionError("a duplicate was inserted")
        numbers = [row["id"] async for row in connection.cursor(f"SELECT id FROM {TABLE} WHERE id > $1", 2, prefetch=3)]
        assert numbers == list(range(10, 20)), numbers
    transaction = connection.transaction(isolation="serializable", readonly=True)
    await transaction.start()
    try:
        await connection.execute(f"DELETE FROM {TABLE}")
    except asyncpg.ReadOnlySQLTransactionError:
        pass
    else:
        raise AssertionError("a read-only transaction wrote")
    finally:
        await transaction.rollback()
    try:
        await connection.fetch("SELECT * FROM nowhere")
    except asyncpg.UndefinedTableError:
        pass


async def copies(connection):
    records = [(n, f"copied {n}", NOON) for n in range(100, 200)]
    said = await connection.copy_records_to_table(TABLE, records=records, columns=["id", "name", "seen"])
    assert said == "COPY 100", said
    assert await connection.fetchval(f"SELECT count(*) FROM {TABLE} WHERE seen = $1 AND id >= 100", NOON) == 100


async def main():
    connection = await asyncpg.connect(host="127.0.0.1", port=PORT, user="postgres", database="postgres")
    await values(connection)
    await arrays(connection)
    await transactions(connection)
    await copies(connection)
    await connection.close()
    # A pool takes a connection back with statements of its own.
    async with asyncpg.create_pool(host="127.0.0.1", port=PORT, user="postgres", database="postgres",
                                   min_size=1, max_size=1) as pool:
        for _ in range(2):
            async with pool.acquire() as connection:
                assert await connection.fetchval(f"SELECT count(*) FROM {TABLE}") == 112
    print("done")


asyncio.run(main())
