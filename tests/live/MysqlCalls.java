// SPDX-License-Identifier: Apache-2.0
// What MariaDB's Java connector can send, for tests/live/mysql_server.py: text and prepared
// statements, cursors, batches, with and without compression.
import java.sql.*;

public class MysqlCalls {
	static void talk(String url) throws SQLException {
		try (Connection c = DriverManager.getConnection(url)) {
			try (Statement s = c.createStatement()) {
				s.execute("CREATE TEMPORARY TABLE j (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT)");
				for (int i = 0; i < 5; i++)
					s.executeQuery("SELECT id, name FROM t1 WHERE id = " + i);
				try {
					s.executeQuery("SELECT * FROM missing");
				} catch (SQLException expected) {
				}
			}
			prepared(c);
			batch(c);
			fetch(c);
			c.setCatalog("mysql");
			c.setCatalog("shop");
			c.isValid(1);
			// More statements than a connection's prepared ones are usually.
			for (int i = 0; i < 40; i++)
				try (PreparedStatement p = c.prepareStatement("SELECT " + i + ", ?")) {
					p.setInt(1, i);
					p.executeQuery();
				}
		}
	}

	static void prepared(Connection c) throws SQLException {
		try (PreparedStatement p = c.prepareStatement("SELECT name FROM t1 WHERE id = ?")) {
			for (int i = 0; i < 5; i++) {
				p.setInt(1, i);
				try (ResultSet r = p.executeQuery()) {
					while (r.next())
						r.getString(1);
				}
			}
		}
	}

	static void batch(Connection c) throws SQLException {
		try (PreparedStatement p = c.prepareStatement("INSERT INTO j (name) VALUES (?)")) {
			for (int i = 0; i < 20; i++) {
				p.setString(1, "row " + i + "x".repeat(i * 100));
				p.addBatch();
			}
			p.executeBatch();
		}
	}

	static void fetch(Connection c) throws SQLException {
		try (PreparedStatement p = c.prepareStatement("SELECT seq FROM seq_1_to_1000")) {
			p.setFetchSize(100);
			int rows = 0;
			try (ResultSet r = p.executeQuery()) {
				while (r.next())
					rows++;
			}
			if (rows != 1000)
				throw new SQLException(rows + " rows");
		}
	}

	public static void main(String[] args) throws SQLException {
		String[] kinds = {"", "&useServerPrepStmts=true", "&useCompression=true",
				"&useCompression=true&useServerPrepStmts=true&cachePrepStmts=false",
				"&useServerPrepStmts=true&useBulkStmts=true&useBatchMultiSend=true"};
		for (String kind : kinds)
			talk(args[0] + kind);
	}
}
