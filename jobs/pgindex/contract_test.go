package pgindex_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgindex"
)

// contractDatabase is where a run of the contract finds its world: one database
// for each root, also in the processes that the harness kills, which cannot
// drop theirs.
func contractDatabase(t testing.TB, root string) string {
	t.Helper()
	name := "index_contract_" + strings.ToLower(strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, root[max(0, len(root)-40):]))
	admin := connect(t, serverURL(t, ""))
	t.Cleanup(func() { exec(t, connect(t, serverURL(t, "")), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	var there bool
	if err := admin.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if !there {
		exec(t, admin, "CREATE DATABASE "+name+" TEMPLATE template0 ENCODING 'UTF8'")
		exec(t, connect(t, serverURL(t, name)), predictions, "CREATE INDEX broken ON predictions (score)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
	}
	return name
}

func TestContract(t *testing.T) {
	t.Parallel()
	address, err := url.Parse(serverURL(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	var arranged sync.Map // the database of a test by the test's name
	fixture := func(name string, change func(o *pgindex.Options)) jobstest.Fixture {
		return jobstest.Fixture{
			Name: name, Effects: true, Secrets: []string{password},
			Arrange: func(t *testing.T, root string, options any, deps *jobstest.Deps) {
				name := contractDatabase(t, root)
				arranged.Store(t.Name(), name)
				deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(serverURL(t, name))})
				o := jobstest.Options[pgindex.Options](t, options)
				o.Database, o.MinFree, o.Reindex.Invalid, o.Pause = "main", 0, true, unit.Duration(1e6)
				o.Indexes = []pgindex.Index{
					{Name: "by_model", Table: "predictions", Columns: []string{"model_name", "created_at"}},
					{Name: "by_id", Table: "predictions", Columns: []string{"id"}, Unique: true},
				}
				if change != nil {
					change(o)
				}
			},
			World: func(t *testing.T) any {
				name, ok := arranged.Load(t.Name())
				if !ok {
					t.Fatalf("%s has no database", t.Name())
				}
				return indexes(t, serverURL(t, fmt.Sprint(name)))
			},
			Settled: func(t *testing.T, root string) {
				b := &bench{t: t, name: contractDatabase(t, root)}
				b.has("broken by_id by_model")
			},
		}
	}
	failing := func(f jobstest.Fixture, with string, refuses bool) jobstest.Fixture {
		f.Fails, f.Refuses, f.Effects, f.Settled = with, refuses, false, nil
		return f
	}
	wrong := fixture("wrong password", nil)
	arrange := wrong.Arrange
	wrong.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		arrange(t, root, options, deps)
		deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres", URL: secret.New(strings.Replace(serverURL(t, "postgres"), password, "wrong:p@ss", 1))})
	}
	wrong.Secrets = append(wrong.Secrets, "wrong:p@ss")
	jobstest.Exercise(t, pgindex.Kind(),
		fixture("build and rebuild", nil),
		failing(fixture("no room", func(o *pgindex.Options) { o.MinFree = 1 << 60 }), "refused by min_free", true),
		failing(wrong, "password authentication failed", false),
	)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(o *pgindex.Options)
		want   string
	}{
		"nothing":  {func(o *pgindex.Options) { o.Indexes = nil }, "there is nothing to do"},
		"database": {func(o *pgindex.Options) { o.Database = "other" }, `database: no database "other"`},
		"name":     {func(o *pgindex.Options) { o.Indexes[0].Name = "" }, "indexes[0].name: it is required"},
		"long":     {func(o *pgindex.Options) { o.Indexes[0].Name = strings.Repeat("x", 64) }, "it has 64 bytes, and the server keeps 63"},
		"mark":     {func(o *pgindex.Options) { o.Indexes[0].Name = "a_upkeep" }, "names that end in _upkeep"},
		"zero":     {func(o *pgindex.Options) { o.Indexes[0].Name = "a\x00b" }, "zero byte"},
		"table":    {func(o *pgindex.Options) { o.Indexes[0].Table = "" }, "indexes[0].table: it is required"},
		"columns":  {func(o *pgindex.Options) { o.Indexes[0].Columns = nil }, "there is no column"},
		"empty":    {func(o *pgindex.Options) { o.Indexes[0].Columns = []string{"a", " "} }, "column 2 is empty"},
		"method":   {func(o *pgindex.Options) { o.Indexes[0].Method = "btree (x); --" }, "is not an access method"},
		"with":     {func(o *pgindex.Options) { o.Indexes[0].With = map[string]string{"a)": "1"} }, `"a)" is not a storage parameter`},
		"twice":    {func(o *pgindex.Options) { o.Indexes = append(o.Indexes, o.Indexes[0]) }, `two indexes of predictions are called "by_model"`},
		"lock":     {func(o *pgindex.Options) { o.LockTimeout = 0 }, "lock_timeout: 0s is too short"},
		"wait":     {func(o *pgindex.Options) { o.WaitTimeout = 5 }, "wait_timeout: "},
		"attempts": {func(o *pgindex.Options) { o.Attempts = 0 }, "attempts: 0 is out of range"},
		"memory":   {func(o *pgindex.Options) { o.Memory = 5 }, "maintenance_work_mem: "},
		"max":      {func(o *pgindex.Options) { o.Reindex.Max = 0 }, "reindex.max: 0 is out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := pgindex.Kind().Options()
			o := jobstest.Options[pgindex.Options](t, options)
			o.Database, o.Indexes = "main", wide()
			tt.change(o)
			deps := jobstest.NewDeps(t)
			deps.AddDatabase(jobs.Database{Name: "main", Kind: "postgres"})
			if _, err := pgindex.Kind().Build(options, deps); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestOwner: only who owns a table may index it.
func TestOwner(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions, "CREATE INDEX broken ON predictions (score)", "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass")
	role := "low_" + b.name
	c := b.conn()
	exec(t, c, "CREATE ROLE "+role+" LOGIN PASSWORD 'planted'", "GRANT SELECT ON predictions TO "+role)
	t.Cleanup(func() { exec(t, b.conn(), "DROP OWNED BY "+role, "DROP ROLE "+role) })
	b.url = strings.Replace(b.url, b.url[len("postgres://"):strings.LastIndex(b.url, "@")], role+":planted", 1)
	b.options.Indexes = wide()
	b.bad(role+" does not own public.predictions", false)
	b.options.Indexes, b.options.Reindex.Invalid = nil, true
	r := b.good()
	b.values(r, map[string]float64{"skipped": 1, "rebuilt": 0})
	if len(r.Findings) != 1 || r.Findings[0].ID != "reindex:public.broken" || r.Findings[0].Severity != jobs.Warning {
		t.Errorf("findings %v", r.Findings)
	}
	b.has("!broken")
	exec(t, c, "GRANT CREATE ON SCHEMA public TO "+role, "ALTER TABLE predictions OWNER TO "+role)
	b.options.Indexes = wide()
	b.values(b.good(), map[string]float64{"built": 1, "rebuilt": 1})
	b.has("broken by_model")
}

// TestPooler: a pooler that lends connections for one transaction is refused.
func TestPooler(t *testing.T) {
	t.Parallel()
	b := newBench(t, predictions)
	b.options.Indexes = wide()
	free := make(chan *pgx.Conn, 3)
	for range cap(free) {
		free <- connect(t, b.url)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_ = pool(c, free) // it ends with its client
				_ = c.Close()
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	u, err := url.Parse(b.url)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	b.url = u.String()
	b.bad("is a connection pooler", true)
	b.has("")
}

// pool serves one client with whatever connection is free, for one transaction
// at a time.
func pool(c net.Conn, free chan *pgx.Conn) error {
	client := pgproto3.NewBackend(c, c)
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return err
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if err := client.Flush(); err != nil {
		return err
	}
	var lent *pgx.Conn
	defer func() {
		if lent != nil {
			free <- lent
		}
	}()
	for {
		message, err := client.Receive()
		if err != nil {
			return err
		}
		if lent == nil {
			lent = <-free
		}
		switch message.(type) {
		case *pgproto3.Terminate:
			return nil
		case *pgproto3.Query, *pgproto3.Sync:
			lent.PgConn().Frontend().Send(message)
			idle, err := relay(client, lent.PgConn().Frontend())
			if err != nil {
				return err
			}
			if idle {
				free <- lent
				lent = nil
			}
		default:
			lent.PgConn().Frontend().Send(message)
		}
	}
}

// relay hands the answer of a server to a client, and tells whether no
// transaction is open after it.
func relay(client *pgproto3.Backend, server *pgproto3.Frontend) (idle bool, err error) {
	if err := server.Flush(); err != nil {
		return false, err
	}
	for {
		answer, err := server.Receive()
		if err != nil {
			return false, err
		}
		client.Send(answer)
		if ready, ok := answer.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus == 'I', client.Flush()
		}
	}
}
