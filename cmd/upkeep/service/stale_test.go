package service_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// configured is the configuration of a node; more is added to it.
func configured(t *testing.T, dsn secret.String, node, more string) *configs.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "upkeep.yaml")
	if err := os.WriteFile(path, fmt.Appendf(nil, "node: %s\nballast: off\nledger: %q\n%s", node, dsn.Reveal(), more), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(path, catalog())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// joins opens a ledger as the service of a node does.
func joins(t *testing.T, dsn secret.String, node string) *ledger.Ledger {
	t.Helper()
	l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.Member = node, time.Hour, true })
	if err := l.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

// open are the fingerprints of the open incidents, with how often each occurred.
func open(t *testing.T, l *ledger.Ledger) []string {
	t.Helper()
	list, err := l.Incidents(t.Context(), runner.IncidentFilter{States: []runner.IncidentState{runner.IncidentOpen}})
	if err != nil {
		t.Fatal(err)
	}
	found := []string{}
	for _, i := range list {
		found = append(found, fmt.Sprintf("%s %d", i.Fingerprint, i.Count))
	}
	slices.Sort(found)
	return found
}

// TestStaleAway: of the stale share of a node that is away the others tell, once;
// that of one that is there is its own business; and when a node is forgotten,
// so is what was wrong with it.
func TestStaleAway(t *testing.T) {
	t.Parallel()
	dsn := ledgertest.Postgres(t)
	ledgers, cfgs := map[string]*ledger.Ledger{}, map[string]*configs.Config{}
	since := time.Now().Add(-48 * time.Hour)
	for _, node := range []string{"a", "b", "c"} {
		ledgers[node] = joins(t, dsn, node)
		cfgs[node] = configured(t, dsn, node, `workflows:
  shares: {schedule: {daily: "03:00"}, runs_on: every, fresh_within: 26h, jobs: {one: {kind: script, with: {run: "true"}}}}
  calm: {schedule: {daily: "03:00"}, runs_on: every, fresh_within: 7d, jobs: {one: {kind: script, with: {run: "true"}}}}
`)
		for _, workflow := range []string{"shares", "calm"} {
			decided := runner.Decided{Cursor: runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: workflow, Host: node}, Schedule: "daily", Through: since, Since: since}}
			if _, err := ledgers[node].Decide(t.Context(), decided); err != nil {
				t.Fatal(err)
			}
		}
	}
	look := func(want ...string) {
		t.Helper()
		for range 2 {
			for _, node := range []string{"a", "b"} {
				if err := service.StaleAway(t.Context(), ledgers[node], cfgs[node]); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := open(t, ledgers["a"]); !slices.Equal(got, append([]string{}, want...)) {
			t.Errorf("open: %v, want %v", got, want)
		}
	}
	look()
	if err := ledgers["c"].Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	look("workflow/shares@c 1")
	if _, err := ledgers["a"].Raise(t.Context(), runner.Fault{Fingerprint: "team/x@c", Severity: "warning", Reason: "raised", Title: "by hand", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := ledgers["a"].Forget(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	look("team/x@c 1")
}
