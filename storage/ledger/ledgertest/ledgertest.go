// Package ledgertest exercises the ledger's contract on a real database of
// either dialect, and gives other tests fresh ledgers. It knows the package
// ledger and the words of package runner, and is imported by tests only.
package ledgertest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	// The superuser's connection that creates databases.
	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// PostgresVariable names the environment variable that holds the URL of a
// PostgreSQL superuser, who may create and drop databases.
const PostgresVariable = "UPKEEP_TEST_POSTGRES_URL"

// SQLite returns the address of a ledger in a fresh folder.
func SQLite(t testing.TB) secret.String {
	t.Helper()
	return secret.New("sqlite:" + filepath.Join(t.TempDir(), "state", "upkeep.db"))
}

// Postgres returns the address of a ledger in a fresh database, which is
// dropped when the test ends. Without a server the test fails.
func Postgres(t testing.TB) secret.String {
	t.Helper()
	address := os.Getenv(PostgresVariable)
	if address == "" {
		t.Fatalf("%s is not set: run the tests with `make test`, or start the servers with scripts/dev/servers.sh", PostgresVariable)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatalf("%s is not a URL", PostgresVariable)
	}
	var random [6]byte
	if _, err := rand.Read(random[:]); err != nil {
		t.Fatal(err)
	}
	name := "ledger_" + hex.EncodeToString(random[:])
	administer(t, address, "CREATE DATABASE "+name)
	t.Cleanup(func() { administer(t, address, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return secret.New(u.String())
}

func administer(t testing.TB, address, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", address)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Errorf("disconnect from the test server: %v", err)
		}
	}()
	if _, err := db.ExecContext(context.Background(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// Open opens the ledger at dsn as an instance of its own and closes it when
// the test ends. Its incidents do not count as coming and going, whatever a
// test does to them, unless change wants that. change, when not nil, adjusts the options.
func Open(t testing.TB, dsn secret.String, change func(*ledger.Options)) *ledger.Ledger {
	t.Helper()
	o := ledger.Options{DSN: dsn, Node: "node-1", Version: "test", Command: "test", Flapping: ledger.Flapping{Changes: -1}}
	if change != nil {
		change(&o)
	}
	l, err := ledger.Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open the ledger: %v", err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

// Join opens the ledger at dsn as Open does and registers the instance. Its
// lease lives for ttl without a heartbeat.
func Join(t testing.TB, dsn secret.String, node string, ttl time.Duration, labels ...string) *ledger.Ledger {
	t.Helper()
	l := Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.Labels = node, ttl, labels })
	if err := l.Register(context.Background()); err != nil {
		t.Fatalf("register %s: %v", node, err)
	}
	return l
}

// Midnight is the slot of requests that do not care.
func Midnight() time.Time { return time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC) }

// Request returns a request for a scheduled run.
func Request(workflow string, slot time.Time) runner.Request {
	return runner.Request{
		Spec: runner.Spec{Workflow: workflow, Text: "jobs:\n  a: {kind: script}\n"},
		Slot: slot, Trigger: runner.BySchedule, By: "test",
	}
}

// Attempt returns an attempt that is running.
func Attempt(job string, number int) runner.Attempt {
	return runner.Attempt{
		Job: job, Kind: "script", Number: number, State: runner.Running, ExitCode: -1,
		StartedAt: time.Now().UTC().Truncate(time.Microsecond),
	}
}

// Ended returns a as it is after it ended in state.
func Ended(a runner.Attempt, state runner.State) runner.Attempt {
	a.State, a.FinishedAt = state, a.StartedAt.Add(time.Second)
	return a
}

// unique returns a workflow name that no other part of a test uses.
func unique(t *testing.T) string {
	return strings.ToLower(strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()))
}
