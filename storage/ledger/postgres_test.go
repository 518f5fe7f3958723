package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// with returns dsn changed by change.
func with(t *testing.T, dsn secret.String, change func(*url.URL, url.Values)) secret.String {
	t.Helper()
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	query := u.Query()
	change(u, query)
	u.RawQuery = query.Encode()
	return secret.New(u.String())
}

// TestPostgres_LostAnswers: the server commits, but the client never hears of
// it. Every call may simply be made again.
func TestPostgres_LostAnswers(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	p, through := ledgertest.StartNetwork(t, dsn)
	l := ledgertest.Join(t, through, "a", time.Hour)
	losses := int32(0)
	// twice makes a call whose answer is lost, and makes it again.
	twice := func(what string, call func() error) {
		t.Helper()
		p.LoseAfter("commit\x00")
		if err := call(); !errors.Is(err, runner.ErrUnavailable) {
			t.Errorf("%s with a lost answer: %v, want ErrUnavailable", what, err)
		}
		losses++
		if err := call(); err != nil {
			t.Errorf("%s again: %v", what, err)
		}
	}
	var answers []runner.Submission
	twice("Submit", func() (err error) {
		answers, err = l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
		return err
	})
	if len(answers) != 1 || !answers[0].Duplicate {
		t.Fatalf("Submit again answers %+v, want the run that is on record", answers)
	}
	var c runner.Claim
	twice("Claim", func() (err error) {
		c, _, err = l.Claim(t.Context(), answers[0].Run)
		return err
	})
	if c.Epoch != 2 {
		t.Errorf("claimed again under epoch %d, want 2", c.Epoch)
	}
	a := ledgertest.Attempt("x", 1)
	twice("begin", func() error {
		blocked, err := l.Advance(t.Context(), c, runner.Step{Begun: []runner.Start{{Attempt: a, Locks: []string{"l"}}}})
		if len(blocked) > 0 {
			t.Errorf("it blocks itself: %+v", blocked)
		}
		return err
	})
	twice("end", func() error {
		_, err := l.Advance(t.Context(), c, runner.Step{
			Ended:  []runner.End{{Attempt: ledgertest.Ended(a, runner.Succeeded), Output: runner.Output{Head: []byte("x")}}},
			Finish: &runner.Finish{State: runner.Succeeded},
		})
		return err
	})
	twice("Decide", func() error {
		answers, err := l.Decide(t.Context(), runner.Decided{
			Cursor:   runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: "w"}, Schedule: "daily", Through: ledgertest.Midnight().AddDate(0, 0, 1)},
			Requests: []runner.Request{ledgertest.Request("w", ledgertest.Midnight().AddDate(0, 0, 1))},
		})
		if err == nil && !answers[0].Duplicate {
			t.Errorf("Decide again answers %+v, want the run that is on record", answers)
		}
		return err
	})
	twice("Pause", func() error { return l.Pause(t.Context(), runner.Pause{Workflow: "w", By: "anna", Why: "rest"}) })
	twice("Cancel", func() error {
		_, err := l.Cancel(t.Context(), c.Run, "anna")
		return err
	})
	if got := p.Lost.Load(); got != losses {
		t.Errorf("%d answers were lost, want %d", got, losses)
	}
	attempts, err := l.Attempts(t.Context(), c.Run)
	if err != nil || len(attempts) != 1 || attempts[0].State != runner.Succeeded {
		t.Errorf("attempts: %+v, %v", attempts, err)
	}
}

// TestPostgres_Outage: connections break and the server is away for a while.
func TestPostgres_Outage(t *testing.T) {
	t.Parallel()
	p, through := ledgertest.StartNetwork(t, ledgertest.Postgres(t))
	l := ledgertest.Join(t, through, "a", time.Hour)
	p.Cut()
	if _, err := l.Runs(t.Context(), runner.Filter{}); err != nil {
		// The pool finds out with the first query, which may pay for it.
		if !errors.Is(err, runner.ErrUnavailable) {
			t.Errorf("a broken connection: %v, want ErrUnavailable", err)
		}
		if _, err := l.Runs(t.Context(), runner.Filter{}); err != nil {
			t.Errorf("after a broken connection: %v", err)
		}
	}
	p.Close()
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); !errors.Is(err, runner.ErrUnavailable) || jobs.HintOf(err) == "" {
		t.Errorf("Submit without a server: %v, want ErrUnavailable with a hint", err)
	}
	if err := l.Heartbeat(t.Context()); err == nil || errors.Is(err, runner.ErrLeaseLost) {
		t.Errorf("Heartbeat without a server: %v, want another error than a lost lease", err)
	}
	p.Open()
	if _, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight())); err != nil {
		t.Errorf("Submit with the server back: %v", err)
	}
}

func TestPostgres_Refuses(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	l := ledgertest.Open(t, dsn, nil)
	const password = "hunter2/#?"
	exec := func(statement string) {
		t.Helper()
		if _, err := l.Writer().Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	name := strings.Trim(mustParse(t, dsn).Path, "/")
	poor := name + "_poor"
	exec("CREATE ROLE " + poor + " LOGIN PASSWORD 'x'")
	t.Cleanup(func() { exec("DROP ROLE " + poor) })
	latin := name + "_ascii"
	exec("CREATE DATABASE " + latin + " ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
	t.Cleanup(func() { exec("DROP DATABASE " + latin) })

	tests := []struct {
		name string
		dsn  secret.String
		want string
		hint string
	}{
		{"no server", with(t, dsn, func(u *url.URL, _ url.Values) { u.Host, u.User = "127.0.0.1:1", url.UserPassword("u", password) }), "connection refused", "check that the database server runs"},
		{"no database", with(t, dsn, func(u *url.URL, _ url.Values) {
			u.Path = "/none"
		}), "does not exist", "check user, password and database"},
		{"encoding", with(t, dsn, func(u *url.URL, _ url.Values) { u.Path = "/" + latin }), "encoding is SQL_ASCII", "ENCODING 'UTF8'"},
		{"no right to create", with(t, dsn, func(u *url.URL, q url.Values) { u.User = url.UserPassword(poor, "x"); q.Set("search_path", "other") }), "create the schema other", "CREATE SCHEMA other"},
		{"odd schema", with(t, dsn, func(_ *url.URL, q url.Values) { q.Set("search_path", "a, b") }), "not one plain schema name", "lower-case"},
		{"bare password", secret.New("postgres://u:" + password + "@127.0.0.1/db"), "not a valid PostgreSQL URL", "percent-encode"},
		{"unknown parameter", with(t, dsn, func(u *url.URL, q url.Values) { u.User = url.UserPassword("u", password); q.Set("sslmode", "maybe") }), "not a valid PostgreSQL URL", "names of the parameters"},
	}
	for _, test := range tests {
		l, err := ledger.Open(t.Context(), ledger.Options{DSN: test.dsn})
		if err == nil {
			t.Errorf("%s: opened %s", test.name, l.Address())
			continue
		}
		if !strings.Contains(err.Error(), test.want) || !strings.Contains(jobs.HintOf(err), test.hint) {
			t.Errorf("%s: %v (hint %q), want %q (hint %q)", test.name, err, jobs.HintOf(err), test.want, test.hint)
		}
		for _, part := range []string{password, url.QueryEscape(password), "hunter2"} {
			if strings.Contains(err.Error()+jobs.HintOf(err), part) {
				t.Errorf("%s: the error contains the password: %v", test.name, err)
			}
		}
	}
}

func mustParse(t *testing.T, dsn secret.String) *url.URL {
	t.Helper()
	u, err := url.Parse(dsn.Reveal())
	if err != nil {
		t.Fatal("the DSN is not a URL")
	}
	return u
}

func TestPostgres_Sessions(t *testing.T) {
	t.Parallel()
	dsn := with(t, ledgertest.Postgres(t), func(_ *url.URL, q url.Values) { q.Set("synchronous_commit", "off") })
	l := ledgertest.Open(t, dsn, nil)
	for setting, want := range map[string]string{
		"synchronous_commit": "on", "search_path": "upkeep", "application_name": "upkeep/node-1",
		"lock_timeout": "30s", "idle_in_transaction_session_timeout": "10s",
		"tcp_user_timeout": "10000", "tcp_keepalives_idle": "4",
	} {
		var got string
		if err := l.Writer().QueryRow("SHOW " + setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %s, %v, want %s", setting, got, err, want)
		}
	}
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Database().Exec("DELETE FROM runs"); err == nil {
		t.Error("a reader could write")
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestPostgres_Schemas: two ledgers in two schemas of one database.
func TestPostgres_Schemas(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	one := ledgertest.Join(t, dsn, "a", time.Hour)
	two := ledgertest.Join(t, with(t, dsn, func(_ *url.URL, q url.Values) { q.Set("search_path", "second") }), "a", time.Hour)
	oneRun(t, one, ledgertest.Midnight())
	oneRun(t, two, ledgertest.Midnight())
	for _, l := range []*ledger.Ledger{one, two} {
		if runs, err := l.Runs(t.Context(), runner.Filter{}); err != nil || len(runs) != 1 {
			t.Errorf("%d runs, %v, want its own", len(runs), err)
		}
	}
}

func TestPostgres_Schema(t *testing.T) {
	t.Parallel()
	testNewerSchema(t, ledgertest.Postgres(t))
}

func TestPostgres_FirstOpen(t *testing.T) {
	t.Parallel()
	testFirstOpen(t, ledgertest.Postgres(t))
}

func TestPostgres_RacingProcesses(t *testing.T) {
	t.Parallel()
	testRacingProcesses(t, ledgertest.Postgres(t))
}

// TestPostgres_DeadProcess: on the same host a restart need not wait for the
// lease of the process that died.
func TestPostgres_DeadProcess(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	l := ledgertest.Open(t, dsn, nil)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t, order{Role: "join", DSN: dsn.Reveal(), Run: answers[0].Run})
	c.line()
	c.kill()
	if got, err := l.Pending(t.Context(), "", 10); err != nil || len(got) > 0 {
		t.Errorf("pending before anybody can know: %v, %v", got, err)
	}
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if claim, _, err := l.Claim(t.Context(), answers[0].Run); err != nil || claim.Epoch != 2 {
		t.Errorf("Claim after the restart: %+v, %v", claim, err)
	}
}

// TestPostgres_Conflict: a transaction that the server ended for the sake of
// another one is repeated.
func TestPostgres_Conflict(t *testing.T) {
	t.Parallel()
	l := ledgertest.Open(t, ledgertest.Postgres(t), nil)
	for _, code := range []string{"40P01", "40001"} {
		tries := 0
		err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
			if tries++; tries < 3 {
				return exec("DO $$ BEGIN RAISE EXCEPTION 'conflict' USING ERRCODE = '" + code + "'; END $$")
			}
			return exec("SELECT 1")
		})
		if err != nil || tries != 3 {
			t.Errorf("%s: %d tries, %v, want success with the third", code, tries, err)
		}
	}
	tries := 0
	err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
		tries++
		return exec("SELECT 1/0")
	})
	if err == nil || tries != 1 {
		t.Errorf("an error of another kind: %d tries, %v", tries, err)
	}
}

// TestPostgres_Unset: without a server the tests fail instead of skipping.
func TestPostgres_Unset(t *testing.T) {
	if os.Getenv(ledgertest.PostgresVariable) == "" {
		t.Fatalf("%s is not set", ledgertest.PostgresVariable)
	}
	t.Setenv(ledgertest.PostgresVariable, "")
	asked := &failing{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ledgertest.Postgres(asked)
	}()
	<-done
	if !strings.Contains(asked.text, "make test") {
		t.Errorf("without a server: %q", asked.text)
	}
}

// TestPostgres_Busy: somebody else holds a row for too long.
func TestPostgres_Busy(t *testing.T) {
	t.Parallel()
	dsn := with(t, ledgertest.Postgres(t), func(_ *url.URL, q url.Values) { q.Set("lock_timeout", "100ms") })
	l := ledgertest.Join(t, dsn, "a", time.Hour)
	answers, err := l.Submit(t.Context(), ledgertest.Request("w", ledgertest.Midnight()))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := l.Writer().BeginTx(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("SELECT 1 FROM runs FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Claim(t.Context(), answers[0].Run); !errors.Is(err, runner.ErrUnavailable) {
		t.Errorf("a row that is held: %v, want ErrUnavailable", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Claim(t.Context(), answers[0].Run); err != nil {
		t.Errorf("the row is free: %v", err)
	}
}

// failing is a test that only notes why it failed.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.text = fmt.Sprintf(format, args...)
	runtime.Goexit()
}
