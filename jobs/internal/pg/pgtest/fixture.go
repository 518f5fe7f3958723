package pgtest

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/jobstest"
)

// Main is the name under which jobs in tests know their database.
const Main = "main"

// Configured is the database of an address, as a configuration names it.
func Configured(name, address string) jobs.Database {
	return jobs.Database{Name: name, Kind: jobs.Postgres, URL: secret.New(address)}
}

// AddDatabase makes a database known under a name by its address.
func AddDatabase(deps *jobstest.Deps, name, address string) {
	deps.AddDatabase(Configured(name, address))
}

// Deps returns surroundings with one database, Main, at an address, and with
// others by their names.
func Deps(t testing.TB, address string, others map[string]string) *jobstest.Deps {
	t.Helper()
	deps := jobstest.NewDeps(t)
	for name, other := range others {
		AddDatabase(deps, name, other)
	}
	AddDatabase(deps, Main, address)
	return deps
}

// WrongPassword returns a fixture that fails because the password in the
// address of its database Main is wrong.
func WrongPassword(f jobstest.Fixture) jobstest.Fixture {
	const wrong = "wrong:p@ss"
	arrange := f.Arrange
	f.Name, f.Fails, f.Refuses, f.Effects, f.Judge, f.Settled = "wrong password", "password authentication failed", false, false, nil, nil
	f.Secrets = append(slices.Clip(f.Secrets), wrong)
	f.Arrange = func(t *testing.T, root string, options any, deps *jobstest.Deps) {
		t.Helper()
		arrange(t, root, options, deps)
		main, err := deps.Database(Main)
		if err != nil {
			t.Fatal(err)
		}
		address := main.URL.Reveal()
		AddDatabase(deps, Main, As(t, address, parse(t, address).User.Username(), wrong))
	}
	return f
}

// Worlds keeps one database for each root of a fixture, also for the processes
// that the harness kills, which cannot drop theirs.
type Worlds struct {
	prefix     string
	statements []string

	mu       sync.Mutex
	arranged map[string]string // the address of a test by the test's name
}

// NewWorlds makes databases of these statements whose names begin so.
func NewWorlds(prefix string, statements ...string) *Worlds {
	return &Worlds{prefix: prefix, statements: statements, arranged: map[string]string{}}
}

// At returns the address of a root's database, which is made when it is not
// there and dropped when the test ends.
func (w *Worlds) At(t testing.TB, root string) string {
	t.Helper()
	name := w.prefix + "_" + strings.ToLower(strings.Map(func(c rune) rune {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			return c
		}
		return '_'
	}, root[max(0, len(root)-40):]))
	t.Cleanup(func() { do(t, URL(t, ""), "DROP DATABASE IF EXISTS "+quoted(name)+" WITH (FORCE)") })
	return URL(t, SharedDatabase(t, name, w.statements...))
}

// Arrange makes Main known at the root's database, as that of the test.
func (w *Worlds) Arrange(t *testing.T, root string, deps *jobstest.Deps) {
	t.Helper()
	address := w.At(t, root)
	w.mu.Lock()
	w.arranged[t.Name()] = address
	w.mu.Unlock()
	AddDatabase(deps, Main, address)
}

// Of returns the address that Arrange gave to the test.
func (w *Worlds) Of(t *testing.T) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	address, ok := w.arranged[t.Name()]
	if !ok {
		t.Fatalf("%s has no database", t.Name())
	}
	return address
}
