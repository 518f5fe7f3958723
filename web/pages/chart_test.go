package pages_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// drawn is a chart as app.js gets it.
type drawn struct {
	X      []float64 `json:"x"`
	Series []struct {
		Label string     `json:"label"`
		Y     []*float64 `json:"y"`
		Span  bool       `json:"span"`
	} `json:"series"`
}

// chartOn reads a chart of a page.
func chartOn(t *testing.T, body, id string) drawn {
	t.Helper()
	var c drawn
	if err := json.Unmarshal([]byte(between(body, `id="`+id+`-data">`, "</script>")), &c); err != nil {
		t.Fatalf("the chart %s: %v", id, err)
	}
	if !slices.IsSorted(c.X) || len(slices.Compact(slices.Clone(c.X))) != len(c.X) {
		t.Errorf("the chart %s does not go forward: %v", id, c.X)
	}
	for _, s := range c.Series {
		if len(s.Y) != len(c.X) {
			t.Errorf("the chart %s has %d points, its line %s %d", id, len(c.X), s.Label, len(s.Y))
		}
	}
	return c
}

// gaps are the instants, before now, where the first line of a chart is broken
// between two points.
func (c drawn) gaps() []time.Duration {
	var list []time.Duration
	y := c.Series[0].Y
	for i := 1; i+1 < len(y); i++ {
		if y[i] == nil && y[i-1] != nil && y[i+1] != nil {
			list = append(list, now().Sub(time.Unix(int64(c.X[i]), 0)))
		}
	}
	return list
}

// measurements are samples of a value that was measured this often, but for a
// stretch in which nobody watched.
func measurements(from, until, every, length time.Duration, gap ...time.Duration) []api.Stretch {
	var list []api.Stretch
	for at := from; at > until; at -= every {
		if len(gap) == 2 && at <= gap[0] && at > gap[1] {
			continue
		}
		list = append(list, api.Stretch{At: ago(at), LengthSeconds: length.Seconds(), Count: 1 + int64(length/every), Mean: 0.5, Low: 0.4, High: 0.6})
	}
	return list
}

// TestChart_Gaps: where nobody watched, a chart draws no line; where a check is
// asked seldom, or its samples are folded, it does.
func TestChart_Gaps(t *testing.T) {
	t.Parallel()
	const minute, hour = time.Minute, time.Hour
	tests := map[string]struct {
		every   time.Duration
		samples []api.Stretch
		want    []time.Duration
		missing int // rows of the table
	}{
		"always":       {30 * time.Second, measurements(20*hour, 0, 30*time.Second, 0), nil, 0},
		"stopped":      {30 * time.Second, measurements(20*hour, 0, 30*time.Second, 0, 14*hour, 10*hour), []time.Duration{12 * hour}, 4},
		"for a moment": {30 * time.Second, measurements(20*hour, 0, 30*time.Second, 0, 10*hour, 10*hour-4*minute), nil, 0},
		"seldom":       {hour, measurements(20*hour, 0, hour, 0), nil, 0},
		"one missed":   {hour, measurements(20*hour, 0, hour, 0, 9*hour+minute, 8*hour+minute), nil, 0},
		"two missed":   {hour, measurements(20*hour, 0, hour, 0, 9*hour+minute, 7*hour+minute), []time.Duration{8*hour + 30*minute}, 0},
		"folded":       {30 * time.Second, measurements(20*hour, 0, 15*minute, 15*minute), nil, 0},
		"folded, gone": {30 * time.Second, measurements(20*hour, 0, 15*minute, 15*minute, 12*hour, 6*hour), []time.Duration{9 * hour}, 6},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := usualDesk("offsite", "text")
			check := w.answers["/checks"].(api.Checks).Checks[0]
			check.Name, check.EverySeconds, check.Values = "database", test.every.Seconds(), map[string]float64{"total_seconds": 0.5}
			check.CheckSetup = api.CheckSetup{Limits: []api.Limit{{Value: "total_seconds", Crit: new(5.0)}}}
			check.Kind = "pgping"
			w.answers["/checks"] = api.NewChecks([]api.Check{check})
			w.answers["/samples"] = api.Samples{Samples: test.samples}
			body := page(t, w, "/checks/database")
			c := chartOn(t, body, "value-total-seconds")
			got := c.gaps()
			if !slices.EqualFunc(got, test.want, func(a, b time.Duration) bool { return (a - b).Abs() <= 8*minute }) {
				t.Errorf("the gaps are %v before now, want %v", got, test.want)
			}
			if limit := c.Series[len(c.Series)-1]; limit.Label != "critical" || slices.Contains(limit.Y, nil) {
				t.Errorf("the line of the limit is broken: %v", limit)
			}
			if got := strings.Count(between(body, "<figure", "</figure>"), `<td class="num">–</td><td class="num">–</td><td class="num">–</td>`); got != test.missing {
				t.Errorf("%d rows of the table say that nothing was measured, want %d", got, test.missing)
			}
		})
	}
}

// TestChart_Span: the line of how long runs took goes on where one failed, and so
// is no gap.
func TestChart_Span(t *testing.T) {
	t.Parallel()
	w := usualWorld("dump-all", "text")
	detail := w.answers["/workflows/daily"].(api.WorkflowDetail)
	detail.Recent = nil
	for i, state := range []runner.State{runner.Succeeded, runner.Failed, runner.Succeeded} {
		detail.Recent = append(detail.Recent, api.RecentRun{ID: goodRun, State: state, Slot: ago(time.Duration(i+1) * time.Hour), StartedAt: new(ago(time.Duration(i+1) * time.Hour)), DurationSeconds: 90})
	}
	w.answers["/workflows/daily"] = detail
	c := chartOn(t, page(t, w, "/workflows/daily"), "durations")
	if len(c.Series) != 2 || !c.Series[0].Span || c.Series[1].Span || len(c.gaps()) != 1 {
		t.Errorf("the lines are %+v", c.Series)
	}
}

// TestSparkline_Gaps: a small line has gaps too.
func TestSparkline_Gaps(t *testing.T) {
	t.Parallel()
	w := usualDesk("offsite", "text")
	k := w.answers["/kpis"].(api.KPIs)
	k.KPIs[0].Trend = []*float64{new(1.0), new(2.0), nil, nil, new(1.0), nil, new(2.0), new(1.0)}
	line := between(page(t, w, "/kpis"), `<path class="line" d="`, `"`)
	if strings.Count(line, "M") != 3 || strings.Count(line, "L") != 2 || strings.Count(line, "h0") != 1 {
		t.Errorf("the line is %s", line)
	}
}
