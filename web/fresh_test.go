package web_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
)

func TestFresh(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	share := func(host string, since, success int, labels ...string) runner.Share {
		s := runner.Share{CalendarKey: runner.CalendarKey{Workflow: "w", Host: host}, Labels: labels, Since: ago(since)}
		if success > 0 {
			s.Success = ago(success)
		}
		return s
	}
	for name, test := range map[string]struct {
		runsOn         string
		success, since time.Time
		shares         []runner.Share
		want           string
	}{
		"fresh":               {"any", ago(5), ago(1000), nil, "fresh"},
		"stale":               {"any", ago(25), ago(1000), nil, "stale"},
		"new":                 {"any", time.Time{}, ago(5), nil, "fresh"},
		"never seen":          {"any", time.Time{}, time.Time{}, nil, "unknown"},
		"every":               {"every", ago(5), ago(1000), []runner.Share{share("a", 1000, 5), share("b", 1000, 6)}, "fresh"},
		"one of them":         {"every", ago(5), ago(1000), []runner.Share{share("a", 1000, 5), share("b", 1000, 25)}, "stale"},
		"one never":           {"every", ago(5), ago(1000), []runner.Share{share("a", 1000, 5), share("b", 1000, 0)}, "stale"},
		"one new":             {"every", ago(5), ago(1000), []runner.Share{share("a", 1000, 5), share("b", 3, 0)}, "fresh"},
		"one without a label": {"every db", ago(5), ago(1000), []runner.Share{share("a", 1000, 5, "db"), share("b", 1000, 25)}, "fresh"},
		"one with the label":  {"every db", ago(5), ago(1000), []runner.Share{share("a", 1000, 5), share("b", 1000, 25, "db")}, "stale"},
		"nobody yet":          {"every", ago(5), ago(1000), nil, "unknown"},
	} {
		got := "unknown"
		if fresh := web.Fresh(web.Workflow{Name: "w", RunsOn: test.runsOn, FreshWithin: 24 * time.Hour}, test.success, test.since, test.shares, now); fresh != nil {
			got = map[bool]string{true: "fresh", false: "stale"}[*fresh]
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
