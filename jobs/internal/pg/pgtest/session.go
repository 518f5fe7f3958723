package pgtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// patience bounds every wait: only what never comes exceeds it.
	patience = 2 * time.Minute
	// pace is how often is looked.
	pace = 10 * time.Millisecond
)

// within looks again and again until there is nothing to wait for any more,
// and fails the test with what was last in the way when that takes too long.
func within(t testing.TB, look func() (missing string)) {
	t.Helper()
	again := time.NewTicker(pace)
	defer again.Stop()
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		missing := look()
		if missing == "" {
			return
		}
		select {
		case <-again.C:
		case <-over.C:
			t.Fatalf("waited %s in vain: %s", patience, missing)
		}
	}
}

// Await waits until a query returns true.
func Await(t testing.TB, c *pgx.Conn, query string, args ...any) {
	t.Helper()
	within(t, func() string {
		if Ask[bool](t, c, query, args...) {
			return ""
		}
		return fmt.Sprintf("%.300s is false; sessions:\n%s", query, sessions(t, c))
	})
}

// sessionsOf selects the sessions in a database of applications whose names
// begin so.
const sessionsOf = " FROM pg_stat_activity WHERE datname = $1 AND starts_with(application_name, $2)"

// Session waits until a session of an application, whose name begins so, is
// seen in a database with a condition of pg_stat_activity, and returns its
// process.
func Session(t testing.TB, c *pgx.Conn, database, application, condition string) (process int32) {
	t.Helper()
	within(t, func() string {
		seen := List[int32](t, c, "SELECT pid"+sessionsOf+" AND ("+condition+") ORDER BY pid", database, application)
		if len(seen) > 0 {
			process = seen[len(seen)-1]
			return ""
		}
		return fmt.Sprintf("no session of %q in %s with %s; sessions:\n%s", application, database, condition, sessions(t, c))
	})
	return process
}

// Blocked is Session for one that waits for a lock.
func Blocked(t testing.TB, c *pgx.Conn, database, application string) (process int32) {
	t.Helper()
	return Session(t, c, database, application, "wait_event_type = 'Lock'")
}

// Gone waits until no session of an application, whose name begins so, is left
// in a database.
func Gone(t testing.TB, c *pgx.Conn, database, application string) {
	t.Helper()
	Await(t, c, "SELECT count(*) = 0"+sessionsOf, database, application)
}

// sessions describes what the server is doing.
func sessions(t testing.TB, c *pgx.Conn) string {
	t.Helper()
	return strings.Join(List[string](t, c, `SELECT concat_ws(' ', ' ', pid, datname, application_name, state, wait_event_type, wait_event, left(query, 80))
		FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY datname, pid LIMIT 50`), "\n")
}
