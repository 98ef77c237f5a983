// A session of pgjdbc: values, batches, cursors, and what DatabaseMetaData asks. Says "done" at the end.

import java.math.BigDecimal;
import java.sql.Array;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.sql.Time;
import java.sql.Timestamp;
import java.sql.Types;
import java.time.LocalDateTime;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.TreeSet;
import java.util.UUID;

public class JdbcSession {
    static String table;

    static void check(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static Connection connect(String port, String... options) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", "postgres");
        for (int n = 0; n < options.length; n += 2) {
            properties.setProperty(options[n], options[n + 1]);
        }
        return DriverManager.getConnection("jdbc:postgresql://127.0.0.1:" + port + "/postgres", properties);
    }

    static void values(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE " + table + " (id bigserial PRIMARY KEY, small smallint, four int4, big bigint,"
                + " real float8, price numeric(12, 2), name varchar(40) NOT NULL, wool bytea, alive boolean, born date,"
                + " at time, seen timestamp, told timestamptz, tag uuid)");
        }
        LocalDateTime noon = LocalDateTime.of(2024, 2, 29, 12, 30, 15, 250_000_000);
        UUID tag = UUID.fromString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        String insert = "INSERT INTO " + table + " (small, four, big, real, price, name, wool, alive, born, at, seen, told, tag)"
            + " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        // Often enough that the driver prepares it at the server, and goes over to binary.
        for (int round = 0; round < 8; round++) {
            try (PreparedStatement statement = connection.prepareStatement(insert, Statement.RETURN_GENERATED_KEYS)) {
                statement.setShort(1, (short) 7);
                statement.setInt(2, 70000);
                statement.setLong(3, 1L << 40);
                statement.setDouble(4, 0.1);
                statement.setBigDecimal(5, new BigDecimal("1234.5"));
                statement.setString(6, "Dölly " + round);
                statement.setBytes(7, new byte[] {0, -1, 39});
                statement.setBoolean(8, true);
                statement.setDate(9, Date.valueOf(noon.toLocalDate()));
                statement.setTime(10, Time.valueOf("12:30:15"));
                statement.setTimestamp(11, Timestamp.valueOf(noon));
                statement.setObject(12, OffsetDateTime.of(noon, ZoneOffset.ofHours(2)));
                statement.setObject(13, tag);
                check(statement.executeUpdate() == 1, "one row");
                try (ResultSet keys = statement.getGeneratedKeys()) {
                    check(keys.next() && keys.getLong("id") == round + 1, "its key");
                }
            }
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT * FROM " + table + " WHERE id = ? OR name = ?")) {
            for (int round = 0; round < 8; round++) {
                statement.setLong(1, round + 1);
                statement.setString(2, "nobody");
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next(), "a row");
                    check(rows.getShort("small") == 7 && rows.getInt("four") == 70000 && rows.getLong("big") == 1L << 40, "integers");
                    check(rows.getDouble("real") == 0.1 && rows.getBigDecimal("price").compareTo(new BigDecimal("1234.5")) == 0, "numbers");
                    check(rows.getString("name").equals("Dölly " + round), rows.getString("name"));
                    check(Arrays.equals(rows.getBytes("wool"), new byte[] {0, -1, 39}) && rows.getBoolean("alive"), "bytes");
                    check(rows.getDate("born").toLocalDate().equals(noon.toLocalDate()), rows.getDate("born"));
                    check(rows.getTime("at").toString().equals("12:30:15"), rows.getTime("at"));
                    check(rows.getTimestamp("seen").toLocalDateTime().equals(noon), rows.getTimestamp("seen"));
                    OffsetDateTime told = rows.getObject("told", OffsetDateTime.class);
                    check(told.isEqual(OffsetDateTime.of(noon, ZoneOffset.ofHours(2))), told);
                    check(rows.getObject("tag").equals(tag) && !rows.next(), "a tag");
                }
            }
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT id FROM " + table + " WHERE id = ANY (?) ORDER BY id")) {
            for (int round = 0; round < 8; round++) {
                statement.setArray(1, connection.createArrayOf("int8", new Object[] {2L, 3L, 99L}));
                try (ResultSet rows = statement.executeQuery()) {
                    check(rows.next() && rows.getLong(1) == 2 && rows.next() && !rows.next(), "two of three");
                }
            }
        }
        try (Statement statement = connection.createStatement();
             ResultSet rows = statement.executeQuery("SELECT ARRAY['a', 'b c'], 1 = 1, EXISTS (SELECT 1), now(), 2 + 2")) {
            check(rows.next(), "a row");
            check(Arrays.equals((String[]) rows.getArray(1).getArray(), new String[] {"a", "b c"}), rows.getString(1));
            check(rows.getBoolean(2) && rows.getBoolean(3) && rows.getInt(5) == 4 && rows.getTimestamp(4) != null, "values");
            check(rows.getMetaData().getColumnType(2) == Types.BIT && rows.getMetaData().getColumnType(5) == Types.INTEGER, "types");
        }
    }

    static void batches(String port) throws SQLException {
        for (String rewrites : new String[] {"false", "true"}) {
            try (Connection connection = connect(port, "reWriteBatchedInserts", rewrites)) {
                connection.setAutoCommit(false);
                try (PreparedStatement statement = connection.prepareStatement("INSERT INTO " + table + " (four, name) VALUES (?, ?)")) {
                    for (int n = 0; n < 500; n++) {
                        statement.setInt(1, n);
                        statement.setString(2, "batch");
                        statement.addBatch();
                    }
                    check(statement.executeBatch().length == 500, "a batch");
                }
                connection.commit();
                // Rows from a cursor, fifty at a time.
                try (Statement statement = connection.createStatement()) {
                    statement.setFetchSize(50);
                    int count = 0;
                    try (ResultSet rows = statement.executeQuery("SELECT four FROM " + table + " WHERE name = 'batch' ORDER BY id")) {
                        while (rows.next()) {
                            check(rows.getInt(1) == count % 500, rows.getInt(1));
                            count++;
                        }
                    }
                    check(count == (rewrites.equals("true") ? 1000 : 500), count);
                }
                Savepoint savepoint = connection.setSavepoint();
                try (Statement statement = connection.createStatement()) {
                    statement.addBatch("INSERT INTO " + table + " (id, name) VALUES (5000, 'x')");
                    statement.addBatch("INSERT INTO " + table + " (id, name) VALUES (5000, 'y')");
                    statement.executeBatch();
                    throw new AssertionError("a duplicate was inserted");
                } catch (BatchUpdateException error) {
                    check(error.getSQLState().equals("23505"), error);
                }
                connection.rollback(savepoint);
                connection.rollback();
                connection.setReadOnly(true);
                try (Statement statement = connection.createStatement()) {
                    statement.executeUpdate("DELETE FROM " + table);
                    throw new AssertionError("a read-only transaction wrote");
                } catch (SQLException error) {
                    check(error.getSQLState().equals("25006"), error);
                }
                connection.rollback();
            }
        }
    }

    static List<String> all(ResultSet rows, String... columns) throws SQLException {
        List<String> found = new ArrayList<>();
        try (rows) {
            while (rows.next()) {
                StringBuilder row = new StringBuilder();
                for (String column : columns) {
                    row.append(row.length() == 0 ? "" : " ").append(rows.getString(column));
                }
                found.add(row.toString());
            }
        }
        return found;
    }

    static void metadata(Connection connection) throws SQLException {
        String child = table + "_child";
        try (Statement statement = connection.createStatement()) {
            statement.execute("CREATE TABLE " + child + " (of bigint CONSTRAINT " + child + "_of REFERENCES " + table
                + " ON DELETE CASCADE, n int, PRIMARY KEY (n, of))");
            statement.execute("CREATE INDEX " + child + "_by_of ON " + child + " (of DESC)");
            statement.execute("CREATE VIEW " + child + "_view AS SELECT n FROM " + child);
        }
        DatabaseMetaData data = connection.getMetaData();
        check(data.getDatabaseProductName().equals("PostgreSQL") && data.getDatabaseMajorVersion() >= 14, data.getDatabaseProductVersion());
        check(data.getURL() != null && data.getUserName().equals("postgres") && data.getMaxColumnNameLength() == 63, "names");
        check(!data.getSQLKeywords().isEmpty(), "keywords");
        List<String> tables = all(data.getTables(null, "public", table + "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME", "TABLE_TYPE");
        check(tables.equals(List.of(table + " TABLE", child + " TABLE", child + "_view VIEW")), tables);
        check(new TreeSet<>(all(data.getSchemas(), "TABLE_SCHEM")).containsAll(List.of("public", "pg_catalog", "information_schema")), "schemas");
        check(all(data.getCatalogs(), "TABLE_CAT").contains("postgres"), "catalogs");
        check(all(data.getTableTypes(), "TABLE_TYPE").contains("TABLE"), "table types");
        List<String> columns = all(data.getColumns(null, "public", table, "%"), "COLUMN_NAME", "TYPE_NAME", "DATA_TYPE", "COLUMN_SIZE", "IS_NULLABLE");
        check(columns.size() == 14 && columns.get(1).equals("small int2 5 5 YES"), columns);
        check(columns.contains("price numeric 2 12 YES") && columns.contains("name varchar 12 40 NO"), columns);
        check(columns.contains("told timestamptz 93 35 YES") && columns.contains("alive bool -7 1 YES"), columns);
        List<String> keys = all(data.getPrimaryKeys(null, "public", child), "COLUMN_NAME", "KEY_SEQ", "PK_NAME");
        check(keys.equals(List.of("n 1 " + child + "_pkey", "of 2 " + child + "_pkey"))
            || keys.equals(List.of("of 2 " + child + "_pkey", "n 1 " + child + "_pkey")), keys);
        List<String> indexes = all(data.getIndexInfo(null, "public", child, false, false), "INDEX_NAME", "COLUMN_NAME", "NON_UNIQUE", "ASC_OR_DESC");
        check(indexes.equals(List.of(child + "_pkey n f A", child + "_pkey of f A", child + "_by_of of t D")), indexes);
        String[] key = {"PKTABLE_NAME", "PKCOLUMN_NAME", "FKTABLE_NAME", "FKCOLUMN_NAME", "DELETE_RULE", "FK_NAME"};
        List<String> imported = all(data.getImportedKeys(null, "public", child), key);
        check(imported.equals(List.of(table + " id " + child + " of 0 " + child + "_of")), imported);
        check(all(data.getExportedKeys(null, "public", table), key).equals(imported), "exported keys");
        check(all(data.getCrossReference(null, "public", table, null, "public", child), key).equals(imported), "cross reference");
        List<String> types = all(data.getTypeInfo(), "TYPE_NAME", "DATA_TYPE");
        check(types.containsAll(List.of("int8 -5", "text 12", "bool -7", "timestamptz 93")), types);
        check(all(data.getBestRowIdentifier(null, "public", table, DatabaseMetaData.bestRowSession, true), "COLUMN_NAME").equals(List.of("id")), "row identifier");
        all(data.getProcedures(null, null, "%"), "PROCEDURE_NAME");
        all(data.getFunctions(null, null, "nothing%"), "FUNCTION_NAME");
        all(data.getTablePrivileges(null, "public", table), "PRIVILEGE");
        all(data.getColumnPrivileges(null, "public", table, "%"), "PRIVILEGE");
        all(data.getUDTs(null, "public", "%", null), "TYPE_NAME");
        all(data.getClientInfoProperties(), "NAME");
        try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery("SELECT * FROM " + table)) {
            check(rows.getMetaData().isAutoIncrement(1) || true, "asked");
            check(rows.getMetaData().isNullable(7) != -1, "asked");
            check(rows.getMetaData().getPrecision(6) == 12 && rows.getMetaData().getScale(6) == 2, "a numeric's size");
        }
    }

    public static void main(String[] arguments) throws SQLException {
        table = "jdbc_" + arguments[1].toLowerCase();
        try (Connection connection = connect(arguments[0])) {
            check(connection.isValid(5), "valid");
            values(connection);
            metadata(connection);
            connection.setAutoCommit(false);
            connection.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
            try (Statement statement = connection.createStatement()) {
                statement.execute("SELECT * FROM nowhere");
                throw new AssertionError("there is no such table");
            } catch (SQLException error) {
                check(error.getSQLState().equals("42P01"), error);
            }
            connection.rollback();
        }
        batches(arguments[0]);
        System.out.println("done");
    }
}
