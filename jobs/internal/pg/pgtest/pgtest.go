// Package pgtest is what tests of kinds that speak to PostgreSQL stand on: the
// shared test server with databases and roles of their own (Database, Role),
// servers of a test's own with settings and standbys (NewCluster, NewStandby),
// what stands between a job and its server (NewProxy, NewPooler), and the
// fixtures of the contract (Worlds, WrongPassword). Production code never
// imports it.
//
// It waits by asking the server what its sessions do (Session, Await), never
// for a time. It knows no kind, and judges no result. It refuses to skip: a
// test without a server fails. The servers are PostgreSQL 15 or later.
package pgtest

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable that holds the URL of a PostgreSQL
// superuser on the shared test server.
const Variable = "UPKEEP_TEST_POSTGRES_URL"

// URL returns the superuser's address of a database on the shared test server;
// an empty name is the one of the variable.
func URL(t testing.TB, database string) string {
	t.Helper()
	text := os.Getenv(Variable)
	if text == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", Variable)
	}
	if database == "" {
		return text
	}
	return In(t, text, database)
}

// Password returns the superuser's password on the shared test server.
func Password(t testing.TB) string {
	t.Helper()
	password, ok := parse(t, URL(t, "")).User.Password()
	if !ok {
		t.Fatalf("%s holds no password", Variable)
	}
	return password
}

// In returns an address with another database.
func In(t testing.TB, address, database string) string {
	t.Helper()
	u := parse(t, address)
	u.Path = "/" + database
	return u.String()
}

// By returns an address with another host, HOST:PORT.
func By(t testing.TB, address, host string) string {
	t.Helper()
	u := parse(t, address)
	u.Host = host
	return u.String()
}

// As returns an address with another user; an empty password is none.
func As(t testing.TB, address, user, password string) string {
	t.Helper()
	u := parse(t, address)
	if u.User = url.User(user); password != "" {
		u.User = url.UserPassword(user, password)
	}
	return u.String()
}

// Called returns an address whose sessions have an application name.
func Called(t testing.TB, address, application string) string {
	t.Helper()
	u := parse(t, address)
	q := u.Query()
	q.Set("application_name", application)
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20") // libpq knows no other space
	return u.String()
}

func parse(t testing.TB, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address of the test server is not a URL") // the error would show the password
	}
	return u
}

// Connect returns a connection that lasts as long as the test.
func Connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	t.Cleanup(func() { hangUp(c) })
	return c
}

// hangUp ends a connection that may be gone already: the test may have closed
// it, or killed its server process.
func hangUp(c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = c.Close(ctx) // as above
}

// Exec carries out statements, one after the other.
func Exec(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := c.Exec(context.Background(), s); err != nil {
			t.Fatalf("%.200s: %v", s, err)
		}
	}
}

// Flush is the statement that lets the server count at once what its session
// did before.
const Flush = "SELECT pg_stat_force_next_flush()"

// Load carries out statements and lets the server count each at once.
func Load(t testing.TB, c *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		Exec(t, c, s, Flush)
	}
}

// Ask returns the only value of a query's only row.
func Ask[T any](t testing.TB, c *pgx.Conn, query string, args ...any) T {
	t.Helper()
	all := List[T](t, c, query, args...)
	if len(all) != 1 {
		t.Fatalf("%.200s: %d rows", query, len(all))
	}
	return all[0]
}

// List returns the only column of a query's rows.
func List[T any](t testing.TB, c *pgx.Conn, query string, args ...any) []T {
	t.Helper()
	rows, err := c.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
	return all
}

// Look is List on a connection of its own, which is closed at once: a
// database may be asked again and again without a session staying there.
func Look[T any](t testing.TB, address, query string, args ...any) []T {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer hangUp(c)
	return List[T](t, c, query, args...)
}
