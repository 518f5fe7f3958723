package pg_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// open connects to an address for as long as the test lasts.
func open(t *testing.T, address string) *pg.Conn {
	t.Helper()
	c, err := pg.Connect(t.Context(), parse(t, address), "upkeep test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Hangup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func setting(t *testing.T, c *pg.Conn, name string) string {
	t.Helper()
	values, err := pg.Texts(t.Context(), c, "SELECT current_setting($1)", name)
	if err != nil || len(values) != 1 {
		t.Fatalf("%s: %q, %v", name, values, err)
	}
	return values[0]
}

// TestReadOnly: what is done in it can change nothing and is bounded, and
// nothing of it stays.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	c := open(t, pgtest.URL(t, ""))
	before := setting(t, c, "search_path") + setting(t, c, "statement_timeout")
	reading := pg.Reading{Statement: 300 * time.Millisecond, Lock: time.Millisecond, SearchPath: "pg_catalog"}
	for code, statement := range map[string]string{
		"25006":         "CREATE TABLE never ()",
		pg.CodeCanceled: "SELECT pg_sleep(60)",
	} {
		err := c.ReadOnly(t.Context(), reading, func(ctx context.Context) error {
			if got := setting(t, c, "search_path") + setting(t, c, "statement_timeout") + setting(t, c, "lock_timeout"); got != "pg_catalog300ms1ms" {
				t.Errorf("settings %q", got)
			}
			return c.ExecOne(ctx, statement)
		})
		if pg.Code(err) != code {
			t.Errorf("%s: %v", statement, err)
		}
	}
	if after := setting(t, c, "search_path") + setting(t, c, "statement_timeout"); after != before {
		t.Errorf("settings %q, before %q", after, before)
	}
	// An end in the middle leaves no transaction behind, or no connection.
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	err := c.ReadOnly(ctx, pg.Reading{}, func(ctx context.Context) error {
		cancel(why)
		return context.Cause(ctx)
	})
	if !errors.Is(err, why) {
		t.Error(err)
	}
	if !c.IsClosed() {
		if err := c.ExecOne(t.Context(), "VACUUM pg_database"); err != nil { // which no transaction allows
			t.Error(err)
		}
	}
}

// TestOne: several statements in one text are refused.
func TestOne(t *testing.T) {
	t.Parallel()
	c := open(t, pgtest.URL(t, ""))
	if text, err := c.QueryOne(t.Context(), "SELECT 'x' || 1;"); err != nil || string(text) != "x1" {
		t.Errorf("%q, %v", text, err)
	}
	if text, err := c.QueryOne(t.Context(), "SELECT 1 WHERE false"); err != nil || text != nil {
		t.Errorf("%q, %v", text, err)
	}
	const several = "SELECT 1; SELECT 2"
	_, err := c.QueryOne(t.Context(), several)
	if pg.Code(err) != "42601" || pg.Code(c.ExecOne(t.Context(), several)) != "42601" {
		t.Errorf("%v", err)
	}
}
