"""A session of psycopg 3: connects, prepares, queries, runs transactions. Says "done" at the end."""

import sys

import psycopg
from psycopg import errors

TABLE = "psycopg_" + sys.argv[2]

with psycopg.connect(host="127.0.0.1", port=sys.argv[1], user="postgres", dbname="postgres") as connection:
    # One way of saying that each statement is a transaction of its own.
    connection.autocommit = True
    assert connection.info.server_version >= 140000, connection.info.server_version
    connection.execute(f"CREATE TABLE {TABLE} (id INTEGER PRIMARY KEY, name TEXT, price REAL, wool BLOB, alive BOOLEAN)")
    connection.autocommit = False

    # A transaction begins by itself.
    row = (1, "Dölly 🐑", 0.1, b"\x00\xff'", True)
    connection.execute(f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s, %s)", row)
    connection.commit()
    assert connection.execute(f"SELECT * FROM {TABLE}").fetchone() == row
    connection.rollback()

    # Values in binary, both ways.
    with connection.cursor(binary=True) as cursor:
        cursor.execute(f"SELECT id, name, price, wool, alive FROM {TABLE} WHERE id = %b", (1,))
        assert cursor.fetchone() == row
        cursor.execute(f"INSERT INTO {TABLE} (id, wool) VALUES (%b, %b) RETURNING id, wool", (2, b"\x00" * 1000))
        assert cursor.fetchone() == (2, b"\x00" * 1000)
    connection.rollback()
    assert connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (1,)
    connection.rollback()

    # psycopg prepares a statement by itself when it comes often; and at once when asked.
    for number in range(10, 30):
        connection.execute(f"INSERT INTO {TABLE} (id, name) VALUES (%s, %s)", (number, str(number)), prepare=number > 20)
    connection.commit()
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {TABLE} (id, name) VALUES (%s, %s)", [(n, str(n)) for n in range(30, 60)])
        assert cursor.rowcount == 30, cursor.rowcount
    connection.commit()

    # Nested transactions are savepoints.
    with connection.transaction():
        connection.execute(f"DELETE FROM {TABLE} WHERE id >= 50")
        try:
            with connection.transaction():
                connection.execute(f"INSERT INTO {TABLE} (id) VALUES (1)")
        except errors.UniqueViolation as error:
            assert error.sqlstate == "23505"
        else:
            raise AssertionError("a duplicate was inserted")
    assert connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone() == (41,)
    connection.rollback()

    # A failed transaction says so until it is ended.
    for expected in errors.UndefinedTable, errors.InFailedSqlTransaction:
        try:
            connection.execute("SELECT * FROM nowhere")
        except expected:
            pass
        else:
            raise AssertionError(f"expected {expected}")
    connection.rollback()

    # A pipeline: several statements on their way before the first answer.
    with connection.pipeline():
        for number in range(60, 70):
            connection.execute(f"INSERT INTO {TABLE} (id) VALUES (%s)", (number,))
        answer = connection.execute(f"SELECT count(*) FROM {TABLE}")
        assert answer.fetchone() == (51,)
    connection.commit()

    # Rows that come one by one.
    with connection.cursor() as cursor:
        stream = cursor.stream(f"SELECT id FROM {TABLE} WHERE id BETWEEN %s AND %s ORDER BY id", (10, 49))
        assert [number for (number,) in stream] == list(range(10, 50))
    connection.rollback()

    # Read-only, by the driver's own switch.
    connection.read_only = True
    try:
        connection.execute(f"DELETE FROM {TABLE}")
    except errors.ReadOnlySqlTransaction:
        connection.rollback()
    else:
        raise AssertionError("a read-only transaction wrote")
    connection.read_only = None
    connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    connection.execute(f"DELETE FROM {TABLE} WHERE id = 1")
    connection.commit()
    assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

print("done")
