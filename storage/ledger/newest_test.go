package ledger_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// TestNewest compares what one statement finds of many jobs with what is found of
// each.
func TestNewest(t *testing.T) {
	t.Parallel()
	for name, dsn := range dialects() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := ledgertest.Open(t, dsn(t), nil)
			fill(t, l, 400)
			var jobs []ledger.JobName
			for _, workflow := range []string{"w-0", "w-3", "w-7", "w-19", "rare", "old", "never"} {
				for _, job := range []string{"backup", "other"} {
					jobs = append(jobs, ledger.JobName{Workflow: workflow, Job: job})
				}
			}
			newest, err := l.Newest(t.Context(), jobs)
			if err != nil {
				t.Fatal(err)
			}
			if len(newest) != 5 { // w-7 always fails
				t.Errorf("%d jobs have done their work, want 5", len(newest))
			}
			for _, j := range jobs {
				past, err := l.Past(t.Context(), j.Workflow, j.Job, "", 1)
				a, found := newest[j]
				if err != nil || found != (len(past) == 1) {
					t.Errorf("%v: %t, want %d, %v", j, found, len(past), err)
				} else if found && !cmp.Equal(past[0], a) {
					t.Errorf("%v (-want +got):\n%s", j, cmp.Diff(past[0], a))
				}
			}
			if none, err := l.Newest(t.Context(), nil); err != nil || len(none) != 0 {
				t.Errorf("of no jobs: %v, %v", none, err)
			}
		})
	}
}
