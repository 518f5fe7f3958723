package service_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestStandIn: what two nodes missed that are away is on record once for each of
// them and told once for both, whichever of two nodes that are there looks first;
// and a calendar that nobody knew yet begins when it is found.
func TestStandIn(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		t.Run(strings.Join(order, " before "), func(t *testing.T) {
			t.Parallel()
			testStandIn(t, order)
		})
	}
}

func testStandIn(t *testing.T, order []string) {
	dsn := ledgertest.Postgres(t)
	began := time.Now().UTC()
	// Two slots of the last two days, both far from now.
	newest := began.Add(-12 * time.Hour).Truncate(time.Hour)
	since := began.Add(-48 * time.Hour).Truncate(time.Second)
	ledgers, cfgs := map[string]*ledger.Ledger{}, map[string]*configs.Config{}
	for _, node := range []string{"a", "b", "c", "d"} {
		cfg := configured(t, dsn, node, fmt.Sprintf(`timezone: UTC
channels: {hook: {kind: webhook, url: "http://127.0.0.1:1/"}}
workflows:
  known: {schedule: {daily: "%[1]s"}, runs_on: every, catch_up: {run: none}, jobs: {one: {kind: script, with: {run: "true"}}}}
  fresh: {schedule: {every: 1s}, runs_on: every, start_deadline: 1s, catch_up: {run: none}, jobs: {one: {kind: script, with: {run: "true"}}}}
`, newest.Format("15:04")))
		l := ledgertest.Open(t, dsn, func(o *ledger.Options) { o.Node, o.LeaseTTL, o.Member, o.Alarm = node, time.Hour, true, cfg.Alarm() })
		if err := l.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		ledgers[node], cfgs[node] = l, cfg
		w, err := cfg.Workflow("known")
		if err != nil {
			t.Fatal(err)
		}
		through := runner.Cursor{CalendarKey: runner.CalendarKey{Workflow: "known", Host: node}, Schedule: w.Schedule.String(), Through: since, Since: since}
		if _, err := l.Decide(t.Context(), runner.Decided{Cursor: through}); err != nil {
			t.Fatal(err)
		}
	}
	r := record{ledgers["a"], t}
	look := func() {
		t.Helper()
		for _, node := range order {
			if err := service.StandIn(t.Context(), ledgers[node], cfgs[node]); err != nil {
				t.Fatal(err)
			}
		}
	}
	look()
	if got := r.shares("known", time.Time{}, began); len(got) != 0 {
		t.Errorf("while all are there: %v", got)
	}
	for _, node := range []string{"c", "d"} {
		if err := ledgers[node].Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look()
	look()
	want, at := map[string]string{}, newest.Add(-24*time.Hour)
	for _, node := range []string{"c", "d"} {
		want[key(node, at)], want[key(node, newest)] = "skipped/missed", "skipped/missed"
	}
	if diff := cmp.Diff(want, r.shares("known", time.Time{}, began)); diff != "" {
		t.Errorf("on record (-want +got):\n%s", diff)
	}
	if got := open(t, r.Ledger); !slices.Contains(got, "workflow/known@c 1") || slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "workflow/known@d") }) {
		t.Errorf("open: %v", got)
	}
	for _, node := range []string{"c", "d"} {
		cursors, err := r.Cursors(t.Context(), node)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(cursors, func(c runner.Cursor) bool { return c.Workflow == "fresh" })
		if at < 0 || cursors[at].Since.Before(began.Truncate(time.Second)) {
			t.Errorf("the calendars of %s begin as %+v, and the test at %s", node, cursors, began)
		}
	}
}

// key names the share of a node in a slot.
func key(host string, slot time.Time) string {
	return host + " " + slot.UTC().Format("2006-01-02 15:04:05")
}

// shares are the rows of a workflow whose slots lie in (from, until], by key, each
// as "state/reason". More than one row of a share, and one that stands for several
// slots, is an error.
func (r record) shares(workflow string, from, until time.Time) map[string]string {
	r.t.Helper()
	list, err := r.Slots(r.t.Context(), workflow, from.Add(time.Microsecond), until.Add(time.Microsecond), 10_000)
	if err != nil {
		r.t.Fatal(err)
	}
	found := map[string]string{}
	for _, run := range list {
		at := key(run.Host, run.Slot)
		if found[at] != "" || run.Slots > 1 || run.Trigger == runner.ByAPI {
			r.t.Errorf("%s of %s: %s, and %+v", at, workflow, found[at], run)
		}
		found[at] = strings.TrimSuffix(string(run.State)+"/"+string(run.Reason), "/")
	}
	return found
}
