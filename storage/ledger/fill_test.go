package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// fill records n ended runs, one attempt each, by statements that the database
// works off by itself, oldest first and one every 30 seconds. Of the workflows
// w-0 to w-19 w-7 fails always, every 10,000th run is lost, every 1,000th was
// manual; the workflow rare has 10 runs, and old those of the first twentieth.
func fill(t testing.TB, l *ledger.Ledger, n int) {
	t.Helper()
	answers, err := l.Submit(t.Context(), ledgertest.Request("seed", ledgertest.Midnight().AddDate(-30, 0, 0)))
	if err != nil {
		t.Fatal(err)
	}
	seed, err := l.Run(t.Context(), string(answers[0].Run))
	if err != nil {
		t.Fatal(err)
	}
	run := strings.NewReplacer(
		"{digest}", seed.Spec.Digest,
		"{id}", textOf(l, "substr({hex}, 1, 8) || '-' || substr({hex}, 9, 4) || '-7' || {low} || '-8000-' || {serial}"),
		"{micros}", fmt.Sprintf("(%d + i * 30000000)", fillStart().UnixMicro()),
		"{workflow}", fmt.Sprintf("CASE WHEN i %% %d = 5 THEN 'rare' WHEN i < %d THEN 'old' ELSE 'w-' || (i %% 20) END", max(n/10, 1), n/20),
		"{state}", "CASE WHEN i % 10000 = 9999 THEN 'lost' WHEN i % 20 = 7 THEN 'failed' ELSE 'succeeded' END",
		"{trigger}", "CASE WHEN i % 1000 = 999 THEN 'manual' ELSE 'schedule' END",
	)
	const runs = `INSERT INTO runs (id, workflow, slot, host, trigger, spec, params, jobs, dry_run, requested_by, state, reason, message,
			owner, node, epoch, canceled_by, reopened_by, queued_at, started_at, finished_at)
		SELECT {id}, {workflow}, {micros}, '', {trigger}, '{digest}', '', '', 0, 'cron', {state}, '', '',
			'0199aaaa-0000-7000-8000-000000000000', 'db-1', 1, '', '', {micros}, {micros} + 5000, {micros} + 9000000 FROM `
	const attempts = `INSERT INTO attempts (run, job, number, kind, workflow, dry_run, epoch, state, reason, error, hint, exit_code,
			started_at, finished_at, result, superseded, output_bytes, output_cut)
		SELECT {id}, 'backup', 1, 'pgbackup', {workflow}, 0, 1, {state}, '', '', '', 0, {micros} + 9000, {micros} + 8000000,
			'{"summary":"12 MB in 3 s","values":{"size_bytes":12345678,"duration_seconds":3.25}}', 0, 0, 0 FROM `
	const chunk = 100_000
	for from := 0; from < n; from += chunk {
		err := l.Transact(t.Context(), func(exec func(string, ...any) error) error {
			source := series(l, from, min(from+chunk, n)-1)
			if err := exec(run.Replace(runs) + source); err != nil {
				return err
			}
			return exec(run.Replace(attempts) + source)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if l.Dialect() == "postgres" {
		// What the server would do by itself in a while, but not beside a test.
		for _, statement := range []string{"VACUUM (ANALYZE) runs", "VACUUM (ANALYZE) attempts", "CHECKPOINT"} {
			if _, err := l.Writer().Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// fillStart is when the first run of fill was recorded.
func fillStart() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

// textOf writes the run ID of row i in a dialect.
func textOf(l *ledger.Ledger, template string) string {
	hex := func(value string, width int) string {
		if l.Dialect() == "postgres" {
			return fmt.Sprintf("lpad(to_hex(%s), %d, '0')", value, width)
		}
		return fmt.Sprintf("printf('%%0%dx', %s)", width, value)
	}
	millis := fmt.Sprintf("(%d + i * 30000)", fillStart().UnixMilli())
	return strings.NewReplacer("{hex}", hex(millis, 12), "{low}", hex("0", 3), "{serial}", hex("i", 12)).Replace(template)
}

// series yields the numbers from first to last as i.
func series(l *ledger.Ledger, first, last int) string {
	if l.Dialect() == "postgres" {
		return fmt.Sprintf("generate_series(%d::bigint, %d::bigint) AS s(i)", first, last)
	}
	return fmt.Sprintf("(WITH RECURSIVE s(i) AS (SELECT %d UNION ALL SELECT i + 1 FROM s WHERE i < %d) SELECT i FROM s)", first, last)
}

// question is a read that must stay fast with a million runs.
type question struct {
	name string
	ask  func(t testing.TB, l *ledger.Ledger) int
	// want is the least number of rows that a filled ledger answers with.
	want int
}

func questions(t testing.TB, l *ledger.Ledger, n int) []question {
	t.Helper()
	list := func(f runner.Filter) func(testing.TB, *ledger.Ledger) int {
		return func(t testing.TB, l *ledger.Ledger) int {
			runs, err := l.Runs(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			return len(runs)
		}
	}
	all, err := l.Runs(t.Context(), runner.Filter{Until: fillStart().Add(time.Duration(n/2) * 30 * time.Second), Limit: 51})
	if err != nil || len(all) != 51 {
		t.Fatalf("%d runs, %v", len(all), err)
	}
	middle := all[50]
	since := func(from, to int) (time.Time, time.Time) {
		return fillStart().Add(time.Duration(from) * 30 * time.Second), fillStart().Add(time.Duration(to) * 30 * time.Second)
	}
	early, later := since(n/4, n/2)
	states := func(s ...runner.State) []runner.State { return s }
	return []question{
		{"last", list(runner.Filter{}), 50},
		{"last of a workflow", list(runner.Filter{Workflow: "w-3"}), 50},
		{"last of a rare workflow", list(runner.Filter{Workflow: "rare"}), 10},
		{"last of a workflow of long ago", list(runner.Filter{Workflow: "old"}), 50},
		{"last of no workflow", list(runner.Filter{Workflow: "never"}), 0},
		{"failed, common", list(runner.Filter{States: states(runner.Failed)}), 50},
		{"lost, rare", list(runner.Filter{States: states(runner.Lost)}), min(50, n/10_000)},
		{"canceled, none", list(runner.Filter{States: states(runner.Canceled)}), 0},
		{"failed of its workflow", list(runner.Filter{Workflow: "w-7", States: states(runner.Failed)}), 50},
		{"failed of another workflow", list(runner.Filter{Workflow: "w-3", States: states(runner.Failed)}), 0},
		{"any bad end", list(runner.Filter{States: states(runner.Failed, runner.Lost, runner.Canceled, runner.Warned)}), 50},
		{"any bad end of a workflow", list(runner.Filter{Workflow: "w-19", States: states(runner.Failed, runner.Lost, runner.Canceled)}), min(50, n/10_000)},
		{"manual", list(runner.Filter{Triggers: []runner.Trigger{runner.ByManual}}), min(50, n/1000)},
		{"by API, none", list(runner.Filter{Triggers: []runner.Trigger{runner.ByAPI}}), 0},
		{"a quarter by time", list(runner.Filter{Since: early, Until: later}), 50},
		{"a quarter by time, lost", list(runner.Filter{Since: early, Until: later, States: states(runner.Lost)}), 0},
		{"a page in the middle", list(runner.Filter{Before: middle.ID}), 50},
		{"a page in the middle of a workflow", list(runner.Filter{Before: middle.ID, Workflow: "w-3"}), 50},
		{"one run with attempts", func(t testing.TB, l *ledger.Ledger) int {
			run, err := l.Run(t.Context(), string(middle.ID[:13]))
			if err != nil {
				t.Fatal(err)
			}
			attempts, err := l.Attempts(t.Context(), run.ID)
			if err != nil {
				t.Fatal(err)
			}
			return len(attempts)
		}, 1},
		{"the newest attempts of jobs", func(t testing.TB, l *ledger.Ledger) int {
			jobs := []ledger.JobName{{Workflow: "w-7", Job: "backup"}, {Workflow: "never", Job: "backup"}, {Workflow: "rare", Job: "other"}}
			for i := range 200 { // of most there is none
				jobs = append(jobs, ledger.JobName{Workflow: fmt.Sprintf("w-%d", i), Job: "backup"})
			}
			newest, err := l.Newest(t.Context(), jobs)
			if err != nil {
				t.Fatal(err)
			}
			return len(newest)
		}, 19},
		{"history page with attempts", func(t testing.TB, l *ledger.Ledger) int {
			runs, err := l.Runs(t.Context(), runner.Filter{Before: middle.ID})
			if err != nil {
				t.Fatal(err)
			}
			var ids []runner.RunID
			for _, run := range runs {
				ids = append(ids, run.ID)
			}
			attempts, err := l.Attempts(t.Context(), ids...)
			if err != nil {
				t.Fatal(err)
			}
			return len(attempts)
		}, 50},
		{"latest of 20 workflows", func(t testing.TB, l *ledger.Ledger) int {
			names := []string{"rare", "never"}
			for i := range 20 {
				names = append(names, fmt.Sprintf("w-%d", i))
			}
			latest, err := l.Latest(t.Context(), names)
			if err != nil {
				t.Fatal(err)
			}
			return len(latest)
		}, 21},
		{"slots of a day of a workflow", slots("w-3", early, early.AddDate(0, 0, 1)), 100},
		{"slots of a workflow, none", slots("w-3", fillStart().AddDate(-1, 0, 0), fillStart()), 0},
		{"usual durations of 22 workflows", func(t testing.TB, l *ledger.Ledger) int {
			usual, err := l.Usual(t.Context(), fillNames())
			if err != nil {
				t.Fatal(err)
			}
			runs := 0
			for _, u := range usual {
				runs += u.Runs
			}
			return runs
		}, 20 * 20},
		{"latest successes of 22 workflows", func(t testing.TB, l *ledger.Ledger) int {
			ends, err := l.Successes(t.Context(), fillNames())
			if err != nil {
				t.Fatal(err)
			}
			return len(ends)
		}, 20},
		{"open runs of 23 workflows", func(t testing.TB, l *ledger.Ledger) int {
			open, err := l.OpenOf(t.Context(), append(fillNames(), "seed"))
			if err != nil {
				t.Fatal(err)
			}
			return open
		}, 1},
		{"the next run of a workflow, none", func(t testing.TB, l *ledger.Ledger) int {
			if _, err := l.Next(t.Context(), "w-3"); !errors.Is(err, runner.ErrNotFound) {
				t.Fatal(err)
			}
			return 0
		}, 0},
		{"what an old run waits for, nothing", func(t testing.TB, l *ledger.Ledger) int {
			run := middle
			run.Overlap = runner.OverlapQueue
			if err := l.MayStart(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			return 0
		}, 0},
		{"watch of 33 old runs", func(t testing.TB, l *ledger.Ledger) int {
			list, err := l.Runs(t.Context(), runner.Filter{Before: middle.ID, Limit: 33})
			if err != nil {
				t.Fatal(err)
			}
			claims := make([]runner.Claim, len(list))
			for i, run := range list {
				claims[i] = runner.Claim{Run: run.ID, Owner: "a", Epoch: 1}
			}
			causes, err := l.Watch(t.Context(), claims...)
			if err != nil {
				t.Fatal(err)
			}
			return len(causes)
		}, 33},
		{"past of a job", past("w-3"), 30},
		{"past of a job that never succeeded", past("w-7"), 0},
		{"pending", func(t testing.TB, l *ledger.Ledger) int {
			ids, err := l.Pending(t.Context(), "", 100)
			if err != nil {
				t.Fatal(err)
			}
			return len(ids)
		}, 1},
	}
}

// fillNames are the workflows of fill.
func fillNames() []string {
	names := []string{"rare", "old"}
	for i := range 20 {
		names = append(names, fmt.Sprintf("w-%d", i))
	}
	return names
}

func slots(workflow string, from, until time.Time) func(testing.TB, *ledger.Ledger) int {
	return func(t testing.TB, l *ledger.Ledger) int {
		runs, err := l.Slots(t.Context(), workflow, from, until, 200)
		if err != nil {
			t.Fatal(err)
		}
		return len(runs)
	}
}

func past(workflow string) func(testing.TB, *ledger.Ledger) int {
	return func(t testing.TB, l *ledger.Ledger) int {
		list, err := l.Past(t.Context(), workflow, "backup", "", 30)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
}
