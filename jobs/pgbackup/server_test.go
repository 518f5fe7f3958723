package pgbackup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
)

// held are the tables whose rows are in a dump.
func held(d pgbackup.Database) []string {
	var out []string
	for _, t := range d.Tables {
		if t.Dumped {
			out = append(out, t.Schema+"."+t.Name)
		}
	}
	slices.Sort(out)
	return out
}

func TestFilters(t *testing.T) {
	t.Parallel()
	name := pgtest.Database(t, `CREATE SCHEMA app`, `CREATE SCHEMA tmp_1`, `CREATE TABLE app.a (id int)`, `CREATE TABLE app.log (id int)`,
		`CREATE TABLE tmp_1.t (id int)`, `CREATE TABLE public.p (id int)`, `INSERT INTO app.log SELECT generate_series(1, 50)`,
		`SELECT lo_from_bytea(0, 'x'::bytea)`)
	for label, tt := range map[string]struct {
		change func(o *pgbackup.Options)
		want   []string
		fails  string
	}{
		"schemas":         {func(o *pgbackup.Options) { o.Schemas = []string{"app"} }, []string{"app.a", "app.log"}, ""},
		"exclude schemas": {func(o *pgbackup.Options) { o.ExcludeSchemas = []string{"tmp_*"} }, []string{"app.a", "app.log", "public.p"}, ""},
		"tables":          {func(o *pgbackup.Options) { o.Tables = []string{"app.log", "p"} }, []string{"app.log", "public.p"}, ""},
		"exclude tables":  {func(o *pgbackup.Options) { o.ExcludeTables = []string{"app.*"} }, []string{"public.p", "tmp_1.t"}, ""},
		"exclude rows":    {func(o *pgbackup.Options) { o.ExcludeRows, o.Jobs = []string{"app.log"}, 2 }, []string{"app.a", "public.p", "tmp_1.t"}, ""},
		"no match":        {func(o *pgbackup.Options) { o.Tables = []string{"app.nothing"} }, nil, "no matching"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, name)
			tt.change(&b.options)
			_, err := b.run(t.Context())
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("%v", err)
				}
				b.empty()
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			_, d := b.one()
			if diff := cmp.Diff(tt.want, held(d.Databases[0])); diff != "" || len(d.Filters) == 0 {
				t.Errorf("filters %q (-want +got):\n%s", d.Filters, diff)
			}
		})
	}
}

func TestAllDatabases(t *testing.T) {
	t.Parallel()
	odd := `all "odd" = 'x' ü/ö`
	names := []string{
		pgtest.NamedDatabase(t, "all_one", `CREATE TABLE t (id int)`), pgtest.NamedDatabase(t, odd, `CREATE TABLE t (id int)`, `INSERT INTO t VALUES (1), (2)`),
		pgtest.NamedDatabase(t, "all_left_out"),
	}
	b := benchOn(t, names[0])
	b.options.AllDatabases = true
	// Other tests make databases on the same server, which may go while they are dumped.
	b.options.ExcludeDatabases = pgtest.Look[string](t, pgtest.URL(t, ""), "SELECT datname::text FROM pg_database WHERE NOT datistemplate AND datname <> ALL ($1)", []string{"all_one", odd})
	r, err := b.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, d := b.one()
	found := map[string]string{}
	for _, db := range d.Databases {
		found[db.Name] = db.Stream
	}
	if found["all_one"] != "all_one.dump" || found[odd] != "all__odd_____x_____.dump" || found["all_left_out"] != "" {
		t.Errorf("databases %v", found)
	}
	if r.Values["databases"] < 2 {
		t.Errorf("values %v", r.Values)
	}
}

func TestListOfDatabasesAndGlobals(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`, `INSERT INTO t VALUES (1)`)
	other := pgtest.Database(t, `CREATE TABLE u (id int)`)
	b.dbs = map[string]string{"other": pgtest.URL(t, other), "same": b.url}
	b.options.Database = unit.Names{"main", "other", "same"}
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, d := b.one()
	if len(d.Databases) != 2 || len(d.Globals) != 1 || !d.Globals[0].Passwords || d.Globals[0].Roles < 1 {
		t.Errorf("details %+v", d)
	}
	if len(a.Manifest.Streams) != 3 || a.Manifest.Streams[2].Name != "globals.sql" {
		t.Errorf("streams %+v", a.Manifest.Streams)
	}
}

// TestOrdinaryRole: a role that may only read gets a whole backup, with the
// hashes of passwords only if it may read those; one that may not read
// everything gets none.
func TestOrdinaryRole(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`, `INSERT INTO t VALUES (1)`, `CREATE TABLE hidden (id int)`)
	admin := pgtest.Connect(t, b.url)
	role, _ := pgtest.Role(t, b.url)
	pgtest.Exec(t, admin, "GRANT pg_read_all_data TO "+role)
	address, err := pgx.ParseConfig(b.url)
	if err != nil {
		t.Fatal(err)
	}
	b.url = "host=" + address.Host + " port=" + b.port() + " user=" + role + " password=" + pg.Quote(pgtest.RolePassword) + " dbname=" + b.name + " sslmode=disable"
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, d := b.one()
	if !d.Globals[0].Passwords || d.Databases[0].Server.User != role || a.Level() != object.L2 {
		t.Errorf("globals %+v by %s", d.Globals, d.Databases[0].Server.User)
	}
	pgtest.Exec(t, admin, "REVOKE pg_read_all_data FROM "+role)
	_, err = b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
	b.one()
	pgtest.Exec(t, admin, "GRANT SELECT ON t, hidden TO "+role)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := b.artifacts(); len(all) == 2 {
		d, err = pgbackup.DetailsOf(all[1].Manifest)
	}
	if err != nil || d.Globals[0].Passwords {
		t.Errorf("globals %+v, %v", d.Globals, err)
	}
	pgtest.Exec(t, admin, "ALTER TABLE t ENABLE ROW LEVEL SECURITY")
	_, err = b.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("%v", err)
	}
	if all := b.artifacts(); len(all) != 2 {
		t.Errorf("%d artifacts", len(all))
	}
}

// TestSettingsOfApplications: settings with a dot may be secrets, and a manifest
// is not encrypted.
func TestSettingsOfApplications(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`)
	pgtest.Exec(t, pgtest.Connect(t, b.url), "ALTER DATABASE "+b.name+" SET app.jwt_secret = 'hunter2hunter2'", "ALTER DATABASE "+b.name+" SET work_mem = '5MB'")
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, d := b.one()
	if diff := cmp.Diff([]string{"app.jwt_secret=…", "work_mem=5MB"}, d.Databases[0].Settings); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(string(a.Manifest.Details), "hunter2") {
		t.Error("a secret stands in the manifest")
	}
}

// TestBudget: without time to count, rows are estimates and say so.
func TestBudget(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE t (id int)`, `INSERT INTO t SELECT generate_series(1, 1000)`, `ANALYZE t`)
	b.options.CountRows = 0
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, d := b.one(); d.Databases[0].Tables[0].Exact || d.Databases[0].Tables[0].Rows != 1000 {
		t.Errorf("tables %+v", d.Databases[0].Tables)
	}
}
