package pgbackup_test

import (
	"testing"

	"github.com/ghosteam/upkeep/storage/object"
)

// awkward is a schema with some of everything that dumps have tripped over.
var awkward = []string{
	`CREATE SCHEMA "odd ""schema"""`,
	`CREATE SCHEMA app`,
	`CREATE TYPE app.mood AS ENUM ('sad', 'it''s ok', 'happy')`,
	`CREATE DOMAIN app.positive AS int CHECK (VALUE > 0)`,
	`CREATE TYPE app.pair AS (a int, b text)`,
	`CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE, mood app.mood, n app.positive,
		doubled int GENERATED ALWAYS AS (n * 2) STORED, tags text[], span int4range, doc jsonb, raw bytea, p app.pair, at timestamptz DEFAULT now())`,
	`INSERT INTO users (name, mood, n, tags, span, doc, raw, p) SELECT 'user ' || i, 'it''s ok', i, ARRAY['a', NULL, E'b\\c"{}'], int4range(i, i + 3),
		jsonb_build_object('k', i, 'text', E'line\nbreak\t\\.'), decode('005c2e0aff', 'hex'), ROW(i, 'x,"y')::app.pair FROM generate_series(1, 500) i`,
	`CREATE TABLE "odd ""schema"""."odd ""table"" ü
COPY x FROM stdin; --" ("a b" text, "select" int)`,
	`INSERT INTO "odd ""schema"""."odd ""table"" ü
COPY x FROM stdin; --" VALUES (E'\\.', 1), (E'x\n\\.\ny', 2), (NULL, NULL), ('', 3)`,
	`CREATE TABLE events (id bigserial, at date NOT NULL, body text) PARTITION BY RANGE (at)`,
	`CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')`,
	`CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`,
	`INSERT INTO events (at, body) SELECT '2025-06-01'::date + i, repeat('x', i) FROM generate_series(1, 400) i`,
	`CREATE TABLE parent (id int)`, `CREATE TABLE child (more text) INHERITS (parent)`,
	`INSERT INTO parent VALUES (1), (2)`, `INSERT INTO child VALUES (3, 'x')`,
	`CREATE TABLE nothing ()`, `INSERT INTO nothing DEFAULT VALUES`, `CREATE TABLE empty (id int)`,
	`CREATE UNLOGGED TABLE quick (id int)`, `INSERT INTO quick VALUES (1)`,
	`CREATE VIEW happy AS SELECT * FROM users WHERE mood = 'happy'`,
	`CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM users`,
	`CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN /*
COPY users FROM stdin;
1	2
\.
*/ RETURN new; END $$`,
	`CREATE TRIGGER t AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION trap()`,
	`ALTER TABLE users ENABLE ROW LEVEL SECURITY`,
	`CREATE POLICY none ON users FOR SELECT USING (false)`,
	`COMMENT ON TABLE users IS E'a comment; with ''quotes'' and\nCOPY users FROM stdin;'`,
	`CREATE SEQUENCE "odd ""schema"""."odd seq" START 7`, `SELECT nextval('"odd ""schema"""."odd seq"')`,
	`SELECT lo_from_bytea(0, decode(repeat('5c2e0a', 5000), 'hex')), lo_from_bytea(0, 'x'::bytea), lo_from_bytea(0, ''::bytea)`,
	`CREATE INDEX ON users USING gin (doc)`,
	`CREATE EXTENSION IF NOT EXISTS plpgsql`,
}

func TestBacksUpEverythingAwkward(t *testing.T) {
	t.Parallel()
	for name, connections := range map[string]int{"custom": 1, "directory": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, awkward...)
			b.options.Jobs = connections
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatalf("%v\n%s", err, b.out)
			}
			t.Log(r.Summary, r.Findings)
			a, d := b.one()
			if a.Level() != object.L2 || a.Manifest.Suspect != "" {
				t.Errorf("level %s, suspect %q", a.Level(), a.Manifest.Suspect)
			}
			if len(d.Databases) != 1 || d.Format != name {
				t.Fatalf("details %+v", d)
			}
			rows := map[string]int64{}
			for _, table := range d.Databases[0].Tables {
				if !table.Dumped || !table.Exact {
					t.Errorf("%+v is not dumped and counted", table)
				}
				rows[table.Schema+"."+table.Name] = table.Rows
			}
			want := map[string]int64{
				"public.users": 500, "odd \"schema\".odd \"table\" ü\nCOPY x FROM stdin; --": 4, "public.events_2025": 214 - 1, "public.events_2026": 187,
				"public.parent": 2, "public.child": 1, "public.nothing": 1, "public.empty": 0, "public.quick": 1,
			}
			for table, n := range want {
				if got, ok := rows[table]; !ok || got != n {
					t.Errorf("%s has %d rows (there %v), want %d", table, got, ok, n)
				}
			}
			if len(rows) != len(want) {
				t.Errorf("tables %v", rows)
			}
			if d.Databases[0].LargeObjects != 3 || !d.Databases[0].LargeObjectsDumped {
				t.Errorf("large objects %d, dumped %v", d.Databases[0].LargeObjects, d.Databases[0].LargeObjectsDumped)
			}
		})
	}
}
