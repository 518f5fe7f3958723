package reports_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
)

// watched is a plan with one check every 30 s over an hour.
func watched(names ...string) reports.Plan {
	p := reports.Guide()
	p.Window = time.Hour
	for _, name := range names {
		p.Checks = append(p.Checks, reports.Check{Name: name, Every: 30 * time.Second})
	}
	p.UptimeChecks = names
	return p
}

func TestMeasure_Uptime(t *testing.T) {
	t.Parallel()
	hour := noon.Add(-time.Hour)
	ups := func(n int) []float64 {
		list := make([]float64, n)
		for i := range list {
			list[i] = 1
		}
		return list
	}
	withOutage := func(from, length int) []float64 {
		list := ups(120)
		for i := range length {
			list[from+i] = 0
		}
		return list
	}
	tests := map[string]struct {
		fill     func(*shelf)
		checks   []string
		want     float64 // seconds down by hand
		known    float64 // seconds known
		verdict  reports.Verdict
		coverage float64
	}{
		"all well":                    {func(s *shelf) { s.observe("check.api.up", hour, 30*time.Second, ups(120)...) }, []string{"api"}, 0, 3600, reports.Met, 1},
		"two bad answers are 60 s":    {func(s *shelf) { s.observe("check.api.up", hour, 30*time.Second, withOutage(10, 2)...) }, []string{"api"}, 60, 3600, reports.Missed, 1},
		"an answer holds 60 s":        {func(s *shelf) { s.observe("check.api.up", hour, 30*time.Second, 1) }, []string{"api"}, 0, 60, reports.Insufficient, 60.0 / 3600},
		"half an hour is not enough":  {func(s *shelf) { s.observe("check.api.up", hour, 30*time.Second, ups(60)...) }, []string{"api"}, 0, 1830, reports.Insufficient, 1830.0 / 3600},
		"an outage beyond the budget": {func(s *shelf) { s.observe("check.api.up", hour, 30*time.Second, 0, 0, 0) }, []string{"api"}, 120, 120, reports.Missed, 120.0 / 3600},
		"two checks, one after another down": {func(s *shelf) {
			s.observe("check.api.up", hour, 30*time.Second, withOutage(10, 1)...)
			s.observe("check.db.up", hour, 30*time.Second, withOutage(11, 1)...)
		}, []string{"api", "db"}, 60, 3600, reports.Missed, 1},
		"unknown where one check is": {func(s *shelf) {
			s.observe("check.api.up", hour, 30*time.Second, ups(120)...)
			s.observe("check.db.up", hour, 30*time.Second, ups(119)...) // holds to the end
		}, []string{"api", "db"}, 0, 3600, reports.Met, 1},
		"down while any node sees it down": {func(s *shelf) {
			s.observe("check.api@a.up", hour, 30*time.Second, withOutage(10, 2)...)
			s.observe("check.api@b.example.org.up", hour, 30*time.Second, withOutage(11, 2)...)
		}, []string{"api"}, 90, 3600, reports.Missed, 1},
		"a node that is away says nothing": {func(s *shelf) {
			s.observe("check.api@a.up", hour, 30*time.Second, ups(120)...)
			s.observe("check.api@b.up", hour, 30*time.Second, ups(20)...)
			s.observe("check.api@gone.up", hour.AddDate(-1, 0, 0), 30*time.Second, 0, 0)
		}, []string{"api"}, 0, 3600, reports.Met, 1},
		"one node asked, then all": {func(s *shelf) {
			s.observe("check.api.up", hour, 30*time.Second, ups(60)...)
			s.observe("check.api@a.up", hour.Add(30*time.Minute), 30*time.Second, ups(60)...)
		}, []string{"api"}, 0, 3600, reports.Met, 1},
		"not another check of a like name": {func(s *shelf) {
			s.observe("check.api.up", hour, 30*time.Second, ups(120)...)
			s.observe("check.api2@a.up", hour, 30*time.Second, withOutage(10, 20)...)
			s.observe("check.api.upper.up", hour, 30*time.Second, withOutage(10, 20)...)
		}, []string{"api"}, 0, 3600, reports.Met, 1},
		"the answer before the window counts": {func(s *shelf) {
			s.observe("check.api.up", hour.Add(-10*time.Second), 30*time.Second, ups(121)...)
		}, []string{"api"}, 0, 3600, reports.Met, 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			test.fill(s)
			f := s.measure(t, watched(test.checks...), reports.Uptime)
			want := (test.known - test.want) / test.known
			if math.Abs(f.Value-want) > 1e-9 || f.Verdict != test.verdict || math.Abs(f.Coverage-test.coverage) > 1e-9 {
				t.Errorf("uptime %v, %s, coverage %v; want %v, %s, %v (%s)", f.Value, f.Verdict, f.Coverage, want, test.verdict, test.coverage, f.Why)
			}
		})
	}
}

func TestMeasure_UptimeHasNoSource(t *testing.T) {
	t.Parallel()
	for _, p := range []reports.Plan{watched(), watched("api")} {
		f := newShelf().measure(t, p, reports.Uptime)
		if f.Verdict != reports.NoSource || f.Known || f.Next == "" || f.Text != "-" {
			t.Errorf("%d checks: %s, %q, next %q", len(p.Checks), f.Verdict, f.Text, f.Next)
		}
	}
}

func TestMeasure_UptimeOfFoldedAnswers(t *testing.T) {
	t.Parallel()
	s := newShelf()
	hour := noon.Add(-time.Hour)
	for i := range 12 { // ten answers every five minutes, in one of them five bad ones
		good := 10.0
		if i == 3 {
			good = 5
		}
		s.samples["check.api.up"] = append(s.samples["check.api.up"], runner.Stretch{
			At: hour.Add(time.Duration(i) * 5 * time.Minute), Length: 5 * time.Minute, Count: 10, Sum: good, Low: 0, High: 1,
		})
	}
	f := s.measure(t, watched("api"), reports.Uptime)
	if want := 1 - 150.0/3600; math.Abs(f.Value-want) > 1e-9 || f.Coverage != 1 {
		t.Errorf("uptime %v, coverage %v, want %v and 1", f.Value, f.Coverage, want)
	}
	if f.N != 120 {
		t.Errorf("n is %d, want 120", f.N)
	}
}

func TestMeasure_UptimeWithoutPlannedWindows(t *testing.T) {
	t.Parallel()
	s := newShelf()
	hour := noon.Add(-time.Hour)
	list := make([]float64, 120)
	for i := range list {
		list[i] = 1
		if i >= 20 && i < 40 { // 10:10 to 10:20
			list[i] = 0
		}
	}
	s.observe("check.api.up", hour, 30*time.Second, list...)
	s.runs = append(s.runs, runner.Run{
		ID: "r", QueuedAt: hour.Add(10 * time.Minute), StartedAt: hour.Add(10 * time.Minute), FinishedAt: hour.Add(15 * time.Minute),
		Request: runner.Request{Spec: runner.Spec{Workflow: "weekly"}, Trigger: runner.BySchedule},
	})
	p := watched("api")
	p.Planned = []string{"weekly"}
	f := s.measure(t, p, reports.Uptime)
	// 50 of 60 minutes raw; 50 of 55 without the five planned ones.
	if f.Text != "83.3 %" || !has(f, "without planned windows", "90.9 %") {
		t.Errorf("raw %s, more %v", f.Text, f.More)
	}
}

func has(f reports.Figure, name, text string) bool {
	for _, d := range f.More {
		if d.Name == name && d.Text == text {
			return true
		}
	}
	return false
}

// The oracle looks at every second of the window anew.
func TestMeasure_UptimeAgainstEverySecond(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		const minutes = 20
		p := watched("a", "b")
		p.Window = minutes * time.Minute
		from := noon.Add(-p.Window)
		s := newShelf()
		for i := range p.Checks {
			p.Checks[i].Every = time.Duration(rapid.IntRange(5, 90).Draw(rt, "every")) * time.Second
			at := from.Add(-time.Duration(rapid.IntRange(0, 200).Draw(rt, "lead")) * time.Second)
			for at.Before(noon) {
				up := float64(rapid.IntRange(0, 1).Draw(rt, "up"))
				s.observe("check."+p.Checks[i].Name+".up", at, 0, up)
				at = at.Add(time.Duration(rapid.IntRange(1, 240).Draw(rt, "wait")) * time.Second)
			}
		}
		up, down := 0, 0
		for second := range minutes * 60 {
			state := oracle(s, p, from.Add(time.Duration(second)*time.Second))
			switch {
			case state < 0:
			case state == 0:
				down++
			default:
				up++
			}
		}
		f, err := reports.Measure(t.Context(), s.source(), p, noon, reports.Uptime)
		if err != nil {
			rt.Fatal(err)
		}
		got := f[0]
		if want := float64(up+down) / (minutes * 60); math.Abs(got.Coverage-want) > 1e-9 && up+down > 0 {
			rt.Fatalf("coverage %v, want %v", got.Coverage, want)
		}
		if up+down > 0 && math.Abs(got.Value-float64(up)/float64(up+down)) > 1e-9 {
			rt.Fatalf("uptime %v, want %d of %d seconds", got.Value, up, up+down)
		}
	})
}

// oracle is 1 when all checks are up in a second, 0 when one is down, and -1 when
// it is unknown.
func oracle(s *shelf, p reports.Plan, second time.Time) int {
	out := 1
	for _, c := range p.Checks {
		state := -1
		for _, one := range s.samples["check."+c.Name+".up"] {
			if !one.At.After(second) {
				state = -1
				if second.Before(one.At.Add(2 * c.Every)) {
					state = int(one.Sum)
				}
			}
		}
		if state == 0 {
			return 0
		}
		out = min(out, state)
	}
	return out
}
