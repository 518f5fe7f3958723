package pgbackup_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
	"github.com/ghosteam/upkeep/jobs/jobstest"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/storage/object/objecttest"
)

// changed returns the only artifact of b with other details in its manifest,
// sealed as if it had been made so.
func changed(b *bench, change func(d *pgbackup.Details)) *object.Artifact {
	b.t.Helper()
	a, d := b.one()
	change(&d)
	m := a.Manifest
	var err error
	if m.Details, err = json.Marshal(d); err != nil {
		b.t.Fatal(err)
	}
	text, err := object.EncodeManifest(m)
	if err != nil {
		b.t.Fatal(err)
	}
	memory, ok := b.store.(*objecttest.Memory)
	if !ok {
		b.t.Fatal("the store cannot be changed")
	}
	memory.Change(a.Info.Key, func([]byte) []byte { return text })
	a, _ = b.one()
	return a
}

// TestDrill_Damaged: what is not as its manifest says is found, put on record,
// and its scratch database dropped.
func TestDrill_Damaged(t *testing.T) {
	t.Parallel()
	for label, spoil := range map[string]func(b *bench) *object.Artifact{
		"a flipped byte": func(b *bench) *object.Artifact {
			a, _ := b.one()
			key := a.Dir() + "/" + a.Manifest.Streams[0].Parts[0].Name
			b.store.(*objecttest.Memory).Change(key, func(body []byte) []byte { body[len(body)-200] ^= 1; return body })
			return a
		},
		"cut": func(b *bench) *object.Artifact {
			a, _ := b.one()
			key := a.Dir() + "/" + a.Manifest.Streams[0].Parts[0].Name
			b.store.(*objecttest.Memory).Change(key, func(body []byte) []byte { return body[:len(body)*6/10] })
			return a
		},
		"fewer rows": func(b *bench) *object.Artifact {
			return changed(b, func(d *pgbackup.Details) { d.Databases[0].Tables[0].Rows++ })
		},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, shop...)
			b.options.Compression = "none"
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a := spoil(b)
			made := false
			r, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{Effect: func(string) { made = made || len(scratchOf(t, a.Manifest.ID)) > 0 }})
			if !errors.Is(err, object.ErrDamaged) || r.Proof.Damage == "" || r.Proof.Level != object.L3 || r.Proof.Restored != nil {
				t.Fatalf("%+v, %v", r, err)
			}
			if !made {
				t.Error("there was no scratch database")
			}
			noScratch(t, a)
		})
	}
}

func TestDrill_Assertions(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE a (id int PRIMARY KEY, v boolean)`, `INSERT INTO a VALUES (1, true), (2, NULL), (3, false)`)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	for assertion, want := range map[string]string{
		`SELECT count(*) = 3 FROM a`:            "",
		`SELECT 0`:                              "",
		`SELECT v FROM a WHERE v`:               "",
		`SELECT count(*) > 3 FROM a`:            "false",
		`SELECT v FROM a ORDER BY id`:           "null in row 2",
		`SELECT v FROM a ORDER BY v DESC`:       "null",
		`SELECT id FROM a WHERE id > 3`:         "no rows",
		`SELECT nothing FROM a`:                 `column "nothing" does not exist`,
		`DELETE FROM a RETURNING true`:          "read-only transaction",
		`SELECT 1/0`:                            "division by zero",
		`SELECT true; SELECT false`:             "multiple commands",
		`SELECT set_config('a.b', 'x', false) `: "",
	} {
		t.Run(assertion, func(t *testing.T) {
			t.Parallel()
			r, err := drillAll(t.Context(), b, a, jobs.Drill{Assert: []string{`SELECT true`, assertion}}, jobs.Hooks{})
			unmet, is := errors.AsType[*jobs.AssertionError](err)
			switch {
			case want == "" && (err != nil || r.Proof.Restored.Assertions != 2):
				t.Errorf("%+v, %v", r, err)
			case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !r.Proof.Time.IsZero() || errors.Is(err, object.ErrDamaged)):
				t.Errorf("%+v, %v", r, err)
			case is && unmet.Answer != want:
				t.Errorf("answer %q, want %q", unmet.Answer, want)
			}
		})
	}
	t.Cleanup(func() { noScratch(t, a) })
}

// TestDrill_Refuses: what cannot work is refused before anything is made.
func TestDrill_Refuses(t *testing.T) {
	t.Parallel()
	for label, tt := range map[string]struct {
		change func(d *pgbackup.Details)
		want   string
	}{
		"extension":  {func(d *pgbackup.Details) { d.Databases[0].Extensions = []pgbackup.Extension{{Name: "no_such_thing"}} }, "it lacks extensions: no_such_thing"},
		"role":       {func(d *pgbackup.Details) { d.Databases[0].Roles = []string{"no such role"} }, "it lacks roles: no such role"},
		"newer":      {func(d *pgbackup.Details) { d.Databases[0].Server.Number = 990000 }, "but the backup comes from 99"},
		"free space": {func(d *pgbackup.Details) { d.Databases[0].Bytes = 1 << 60 }, "free space"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, `CREATE TABLE t (id int)`)
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			a := changed(b, tt.change)
			for _, dry := range []bool{true, false} {
				var effects []string
				_, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{DryRun: dry, Effect: func(what string) { effects = append(effects, what) }})
				if !refused(err) || !strings.Contains(err.Error(), tt.want) || jobs.HintOf(err) == "" {
					t.Errorf("dry run %v: %v", dry, err)
				}
				for _, what := range effects {
					if strings.HasPrefix(what, "make") {
						t.Errorf("effect %q", what)
					}
				}
			}
		})
	}
}

// reading is a store of which the reader of the dump calls do once, after so
// many bytes.
type reading struct {
	object.Store
	after int64
	do    func()
	once  sync.Once
}

// Get implements object.Store.
func (r *reading) Get(ctx context.Context, key string) (io.ReadCloser, object.Info, error) {
	body, info, err := r.Store.Get(ctx, key)
	if err == nil && strings.Contains(key, ".dump") {
		body = &half{ReadCloser: body, of: r}
	}
	return body, info, err
}

type half struct {
	io.ReadCloser

	of   *reading
	seen int64
}

// Read implements io.Reader.
func (h *half) Read(p []byte) (int, error) {
	n, err := h.ReadCloser.Read(p)
	if h.seen += int64(n); h.seen > h.of.after {
		h.of.once.Do(h.of.do)
	}
	return n, err
}

// through returns the only artifact of b as read through another store.
func through(b *bench, store object.Store) *object.Artifact {
	b.t.Helper()
	a, _ := b.one()
	a, err := object.Load(b.t.Context(), store, a.Info.Key)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

// half-way through a restore of the large table there is a session that loads.
const halfWay = 30 << 20

// killSessions ends the sessions of the scratch database of an artifact: those
// that load, or all. It returns when the server has ended one.
func killSessions(t testing.TB, id, like string) {
	t.Helper()
	admin := pgtest.Connect(t, pgtest.URL(t, ""))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var ended int
		err := admin.QueryRow(context.Background(), `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname IN (SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%' || $1 || '%') AND query LIKE $2`, id, like).Scan(&ended)
		if err != nil {
			t.Error(err)
			return
		}
		if ended > 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Error("no session loads")
			return
		}
	}
}

// TestDrill_ServerFails: a server that ends sessions in the middle says nothing
// about the backup, and keeps no scratch database.
func TestDrill_ServerFails(t *testing.T) {
	t.Parallel()
	for label, like := range map[string]string{"the loading session": "COPY%", "every session": "%"} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, large...)
			b.options.Compression = "none"
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			whole, _ := b.one()
			fired := false
			a := through(b, &reading{Store: b.store, after: halfWay, do: func() { fired = true; killSessions(t, whole.Manifest.ID, like) }})
			r, err := drillAll(t.Context(), b, a, jobs.Drill{}, jobs.Hooks{})
			if err == nil || errors.Is(err, object.ErrDamaged) || !r.Proof.Time.IsZero() || jobs.HintOf(err) == "" || !fired {
				t.Errorf("fired %v: %+v, %v, hint %q", fired, r, err, jobs.HintOf(err))
			}
			noScratch(t, a)
			if _, err := drillAll(t.Context(), b, whole, jobs.Drill{}, jobs.Hooks{}); err != nil {
				t.Errorf("the next drill: %v", err)
			}
		})
	}
}

// TestDrill_Canceled: whoever cancels a drill finds nothing left of it.
func TestDrill_Canceled(t *testing.T) {
	t.Parallel()
	for _, level := range []object.Level{object.L3, object.L4} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, large...)
			b.options.Compression = "none"
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			stop := errors.New("a person stops it")
			a := through(b, &reading{Store: b.store, after: halfWay, do: func() { cancel(stop) }})
			r, err := drillAll(ctx, b, a, jobs.Drill{Level: level}, jobs.Hooks{})
			if err == nil || !errors.Is(context.Cause(ctx), stop) || !r.Proof.Time.IsZero() || errors.Is(err, object.ErrDamaged) {
				t.Errorf("%+v, %v", r, err)
			}
			noScratch(t, a)
			if left := ours(t, "drill-"+b.name, "postgres"); len(left) > 0 {
				t.Errorf("servers left: %v", left)
			}
		})
	}
}

// TestDrill_Secrets: the password of the server's user is nowhere.
func TestDrill_Secrets(t *testing.T) {
	t.Parallel()
	b := newBench(t, large...)
	if _, err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := b.one()
	const password = pgtest.RolePassword
	role, _ := pgtest.Role(t, pgtest.URL(t, ""))
	pgtest.Exec(t, pgtest.Connect(t, pgtest.URL(t, "")), "ALTER ROLE "+role+" SUPERUSER")
	address := "host=127.0.0.1 port=" + b.port() + " user=" + role + " password=" + pg.Quote(password) + " dbname=postgres sslmode=disable"
	open := func(name string) (jobs.Database, error) {
		return pgtest.Configured(name, address), nil
	}
	var said []string
	redactor := secret.NewRedactor([]string{password})
	watch := jobstest.WatchArguments([]string{password})
	r, err := drillAll(t.Context(), b, a, jobs.Drill{Open: open}, jobs.Hooks{Effect: func(what string) { said = append(said, what) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, leak := range watch() {
		t.Errorf("a secret stands in the arguments of a child process: %s", leak)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	_, wrong := drillAll(t.Context(), b, a, jobs.Drill{Assert: []string{"SELECT false"}, Open: open}, jobs.Hooks{})
	if wrong == nil {
		t.Fatal("an assertion that is false holds")
	}
	said = append(said, string(text), b.out.String(), wrong.Error())
	for _, text := range said {
		if redactor.Scrub(text) != text {
			t.Errorf("a secret shows: %s", redactor.Scrub(text))
		}
	}
	noScratch(t, a)
}
