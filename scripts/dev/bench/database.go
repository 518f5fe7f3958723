package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is a database made for the benchmark.
type database struct {
	name   string
	config *pgx.ConnConfig
	// bytes is what the server says that it takes.
	bytes int64
}

// makeDatabase makes a database of about so many MB whose content looks like
// that of an application: accounts as pgbench makes them, events with JSON,
// orders, measurements and messages.
func makeDatabase(ctx context.Context, url string, megabytes int) (*database, error) {
	return newDatabase(ctx, url, "bench", []string{
		`CREATE TABLE phrases AS SELECT i AS id, string_agg(word, ' ') AS text FROM generate_series(0, 4999) i, LATERAL (
			SELECT substr(md5((random() * 3000)::int::text), 1, 3 + (random() * 6)::int) AS word FROM generate_series(1, 6 + i % 7)) words GROUP BY i`,
		`CREATE TABLE accounts (aid int NOT NULL, bid int, abalance int, filler char(84))`,
		`CREATE TABLE events (id bigint NOT NULL, at timestamptz, kind text, doc jsonb)`,
		`CREATE TABLE orders (id bigint NOT NULL, customer int, at timestamptz, amount numeric(12, 2), currency char(3), state text, note text)`,
		`CREATE TABLE measurements (sensor int, at timestamptz, value double precision, quality smallint)`,
		`CREATE TABLE messages (id bigint NOT NULL, author int, at timestamptz, body text)`,
		fmt.Sprintf(`INSERT INTO accounts SELECT i, i / 100000, (random() * 1e6)::int, '' FROM generate_series(1, %d) i`, megabytes*1400),
		fmt.Sprintf(`INSERT INTO events SELECT i, now() - i * interval '1 s' * random(), 'kind ' || i %% 17, jsonb_build_object('user', i %% 9973,
			'path', '/api/' || md5((i %% 5000)::text), 'took', round(random()::numeric, 4), 'tags', ARRAY['a', 'b', (i %% 13)::text], 'session', md5((i / 20)::text),
			'agent', 'client/' || i %% 7 || '.' || i %% 31) FROM generate_series(1, %d) i`, megabytes*1100),
		fmt.Sprintf(`INSERT INTO orders SELECT i, (random() * 200000)::int, now() - i * interval '7 s', round((random() * 1e4)::numeric, 2), (ARRAY['EUR', 'USD', 'GBP'])[1 + i %% 3],
			(ARRAY['new', 'paid', 'shipped', 'closed', 'returned'])[1 + (random() * 4)::int], text FROM generate_series(1::bigint, %d) i JOIN phrases ON id = i * 7919 %% 5000`, megabytes*1100),
		fmt.Sprintf(`INSERT INTO measurements SELECT i %% 500, now() - i / 500 * interval '1 min', round((20 + 5 * sin(i / 9000.0) + random())::numeric, 3), i %% 4
			FROM generate_series(1, %d) i`, megabytes*2600),
		fmt.Sprintf(`INSERT INTO messages SELECT i, (random() * 50000)::int, now() - i * interval '3 s', a.text || '. ' || b.text || ', ' || c.text FROM generate_series(1::bigint, %d) i
			JOIN phrases a ON a.id = i * 104729 %% 5000 JOIN phrases b ON b.id = i * 7907 / 5 %% 5000 JOIN phrases c ON c.id = i * 31337 / 11 %% 5000`, megabytes*550),
		`ALTER TABLE accounts ADD PRIMARY KEY (aid)`, `ALTER TABLE events ADD PRIMARY KEY (id)`,
		`ALTER TABLE orders ADD PRIMARY KEY (id)`, `ALTER TABLE messages ADD PRIMARY KEY (id)`,
		`DROP TABLE phrases`, `VACUUM ANALYZE`, `CHECKPOINT`,
	})
}

// makeTables makes a database of so many small tables.
func makeTables(ctx context.Context, url string, tables int) (*database, error) {
	var statements []string
	// One transaction for all would need a lock for each table.
	for first := 1; first <= tables; first += tableBatch {
		statements = append(statements, fmt.Sprintf(`DO $$ BEGIN FOR i IN %d..%d LOOP
			EXECUTE format('CREATE TABLE small_%%s (id int PRIMARY KEY, at timestamptz DEFAULT now(), name text)', i);
			EXECUTE format('INSERT INTO small_%%s (id, name) SELECT n, md5(n::text) FROM generate_series(1, %%s) n', i, 1 + i %% 20);
		END LOOP; END $$`, first, min(first+tableBatch-1, tables)))
	}
	return newDatabase(ctx, url, "small", append(statements, `ANALYZE`, `CHECKPOINT`))
}

// tableBatch is how many tables are made in one transaction.
const tableBatch = 500

func newDatabase(ctx context.Context, url, name string, statements []string) (d *database, err error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the address of the server: %w", err)
	}
	admin, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, admin.Close(ctx)) }()
	d = &database{name: fmt.Sprintf("%s_%d", name, time.Now().UnixNano()), config: config.Copy()}
	if _, err := admin.Exec(ctx, `CREATE DATABASE `+d.name+` TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		return nil, err
	}
	d.config.Database = d.name
	if err := d.fill(ctx, statements); err != nil {
		return nil, errors.Join(fmt.Errorf("fill database %s: %w", d.name, err), d.drop(ctx))
	}
	return d, nil
}

// openDatabase takes a database of the server as it is.
func openDatabase(ctx context.Context, url, name string) (*database, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read the address of the server: %w", err)
	}
	config.Database = name
	d := &database{name: name, config: config}
	return d, d.fill(ctx, nil)
}

func (d *database) fill(ctx context.Context, statements []string) (err error) {
	conn, err := pgx.ConnectConfig(ctx, d.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&d.bytes)
}

func (d *database) drop(ctx context.Context) (err error) {
	config := d.config.Copy()
	config.Database = "postgres"
	admin, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close(ctx)) }()
	_, err = admin.Exec(ctx, `DROP DATABASE `+d.name+` WITH (FORCE)`)
	return err
}

// environ names the database to programs of PostgreSQL.
func (d *database) environ() []string {
	return []string{
		"PGHOST=" + d.config.Host, fmt.Sprintf("PGPORT=%d", d.config.Port), "PGUSER=" + d.config.User,
		"PGPASSWORD=" + d.config.Password, "PGDATABASE=" + d.name, "PGSSLMODE=disable",
	}
}
