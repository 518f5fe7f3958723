package prune_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// FuzzPlanTime: a plan is of the last day, or it is refused.
func FuzzPlanTime(f *testing.F) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, plan := range []string{"20261123T110000Z-00", "20261122T115959Z-00", "20261123T120001Z-", "20261123T110000Z", "-", "", "99991231T235959Z-a"} {
		f.Add(plan)
	}
	f.Fuzz(func(t *testing.T, plan string) {
		at, err := prune.PlanTime(plan, now)
		if err != nil {
			if _, refused := errors.AsType[*jobs.RefusedError](err); !refused {
				t.Errorf("%q: %v is no refusal", plan, err)
			}
			return
		}
		if age := now.Sub(at); age < 0 || age > 24*time.Hour || !strings.HasPrefix(plan, at.Format("20060102T150405")) {
			t.Errorf("%q was accepted as of %s", plan, at)
		}
	})
}

// FuzzDateIn: the date that is found stands in the name.
func FuzzDateIn(f *testing.F) {
	for _, name := range []string{"app-2026-11-23.log", "20261123.log", "1202611230.log", "2026-02-30", "app-20261123-2026-11-24.log", ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if at, ok := prune.DateIn(name); ok && !strings.Contains(name, at.Format("2006-01-02")) && !strings.Contains(name, at.Format("20060102")) {
			t.Errorf("%q has no date %s", name, at)
		}
	})
}
