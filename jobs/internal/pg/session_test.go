package pg_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ghosteam/upkeep/jobs/internal/pg"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// TestSet: a setting that the server does not know is left out, a wrong value
// is an error.
func TestSet(t *testing.T) {
	t.Parallel()
	c := open(t, pgtest.URL(t, ""))
	if err := c.Set(t.Context(), map[string]string{"lock_timeout": pg.Milliseconds(1500 * time.Millisecond), "no_such_setting": "1"}); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, c, "lock_timeout"); got != "1500ms" {
		t.Errorf("lock_timeout is %q", got)
	}
	if pg.Milliseconds(time.Nanosecond) != "1" {
		t.Error("a short timeout is none")
	}
	if err := c.Set(t.Context(), map[string]string{"lock_timeout": "soon"}); pg.Code(err) != "22023" {
		t.Errorf("%v", err)
	}
}

// TestEndAbandoned: what is called otherwise, stands in another database or is
// another user's stays.
func TestEndAbandoned(t *testing.T) {
	t.Parallel()
	const kind = "upkeep test work "
	name := pgtest.Database(t)
	address := pgtest.URL(t, name)
	application := pg.Application(kind, strings.Repeat("dead", 20))
	if len(application) != 63 {
		t.Errorf("the name has %d bytes", len(application))
	}
	dead := pgtest.Connect(t, pgtest.Called(t, address, application))
	_, low := pgtest.Role(t, address)
	var spared []*pgx.Conn
	for _, other := range []string{pgtest.Called(t, address, "upkeep test"), pgtest.Called(t, pgtest.URL(t, ""), application), pgtest.Called(t, low, application)} {
		spared = append(spared, pgtest.Connect(t, other))
	}
	c := open(t, address)
	if left, err := pg.Texts(t.Context(), c, "SELECT a.pid::text"+pg.Abandoned(kind)); err != nil || len(left) != 1 {
		t.Errorf("%q, %v", left, err)
	}
	if err := c.EndAbandoned(t.Context(), kind); err != nil {
		t.Fatal(err)
	}
	if dead.Ping(t.Context()) == nil {
		t.Error("the session lives")
	}
	for _, other := range spared {
		if err := other.Ping(t.Context()); err != nil {
			t.Errorf("another session ended: %v", err)
		}
	}
}
