package pgtest

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Database makes a database on the shared test server that is dropped when the
// test ends, and returns its name.
func Database(t testing.TB, statements ...string) string {
	t.Helper()
	return NamedDatabase(t, Unique("test"), statements...)
}

// NamedDatabase is Database under a name that a test wants.
func NamedDatabase(t testing.TB, name string, statements ...string) string {
	t.Helper()
	DatabaseAt(t, URL(t, ""), name, statements...)
	return name
}

// DatabaseAt makes a database on the server of an address, which is dropped
// when the test ends, and returns its address.
func DatabaseAt(t testing.TB, server, name string, statements ...string) string {
	t.Helper()
	do(t, server, create(name))
	t.Cleanup(func() { do(t, server, "DROP DATABASE "+quoted(name)+" WITH (FORCE)") })
	address := In(t, server, name)
	do(t, address, statements...)
	return address
}

// Deserted waits until nobody is connected to a database of the shared test
// server: a session outlives the connection that was closed by a moment.
func Deserted(t testing.TB, name string) {
	t.Helper()
	admin := Connect(t, URL(t, ""))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		n := Ask[int](t, admin, "SELECT count(*)::int FROM pg_stat_activity WHERE datname = $1", name)
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d sessions stay in %s", n, name)
		}
	}
}

// SharedDatabase makes a database on the shared test server, unless it is
// there, and leaves it: for the processes of one test that get killed, and so
// can drop none.
func SharedDatabase(t testing.TB, name string, statements ...string) string {
	t.Helper()
	admin := Connect(t, URL(t, ""))
	const lock = "(hashtext('upkeep test databases'))"
	Exec(t, admin, "SELECT pg_advisory_lock"+lock)
	defer Exec(t, admin, "SELECT pg_advisory_unlock"+lock)
	if !Ask[bool](t, admin, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name) {
		Exec(t, admin, create(name))
		do(t, URL(t, name), statements...)
	}
	return name
}

// do carries out statements on a connection of its own, so that no session
// stays in the database.
func do(t testing.TB, address string, statements ...string) {
	t.Helper()
	c, err := pgx.Connect(context.Background(), address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer hangUp(c)
	Load(t, c, statements...)
}

func create(name string) string {
	return "CREATE DATABASE " + quoted(name) + " TEMPLATE template0 ENCODING 'UTF8'"
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// Unique returns a name that nobody else has and that needs no quotes.
func Unique(prefix string) string { return prefix + "_" + strings.ToLower(rand.Text()[:10]) }

// RolePassword is the password of every Role: one that is awkward in URLs,
// key-value strings and SQL, and easy to find where it must not show.
const RolePassword = `planted-p:w\d@x'y`

// Role makes a role that may log in and nothing more, and returns its name and
// its address of the database. When the test ends it is dropped with what it
// owns in that database.
func Role(t testing.TB, address string) (name, as string) {
	t.Helper()
	name = Unique("low")
	do(t, address, "CREATE ROLE "+name+" LOGIN PASSWORD '"+strings.ReplaceAll(RolePassword, "'", "''")+"'")
	t.Cleanup(func() { do(t, address, "DROP OWNED BY "+name+" CASCADE", "DROP ROLE "+name) })
	return name, As(t, address, name, RolePassword)
}
