package service_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestNodes_NoLabel: a slot for a label that no node carries waits until its
// deadline, and not less; then it is missed, and somebody is told.
func TestNodes_NoLabel(t *testing.T) {
	t.Parallel()
	const deadline = 4 * time.Second
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	var told atomic.Int32
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told.Add(1) }))
	t.Cleanup(hook.Close)
	startNode(t, dsn, "a", shared, `  train:
    schedule: {every: 2s}
    runs_on: {label: gpu}
    start_deadline: `+deadline.String()+`
    overlap: allow
    jobs: {work: {kind: script, with: {run: "true"}}}
channels: {hook: {kind: webhook, url: "`+hook.URL+`"}}
`, absentVariable+"=500ms")
	r := openRecord(t, dsn)
	var missed []runner.Run
	eventually(t, "two slots are missed", func() bool {
		var err error
		missed, err = r.Runs(t.Context(), runner.Filter{Workflow: "train", States: []runner.State{runner.Skipped}, Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		return len(missed) > 1
	})
	for _, run := range missed {
		if run.Reason != runner.ReasonMissed || !strings.Contains(run.Message, "gpu") {
			t.Errorf("%s is skipped for %s: %q", run.Slot, run.Reason, run.Message)
		}
		if late := run.FinishedAt.Sub(run.Slot); late < deadline {
			t.Errorf("%s is missed after %s, before its deadline of %s", run.Slot, late, deadline)
		}
	}
	r.incident("workflow/train", runner.IncidentOpen)
	eventually(t, "somebody is told", func() bool { return told.Load() > 0 })
}
