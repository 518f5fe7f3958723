package reports_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/reports"
	"github.com/ghosteam/upkeep/runner"
)

const day = 24 * time.Hour

// near tells whether two figures are equal but for rounding.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*max(1, math.Abs(b)) }

func TestMeasure_Accuracy(t *testing.T) {
	t.Parallel()
	result := func(accuracy, n float64) jobs.Result {
		return jobs.Result{Values: map[string]float64{"accuracy": accuracy, reports.CountValue: n}, Outputs: map[string]string{"version": "7"}}
	}
	tests := map[string]struct {
		age      time.Duration
		result   jobs.Result
		cautious bool
		verdict  reports.Verdict
		text     string
	}{
		"good":                 {day, result(0.93, 1000), false, reports.Met, "93 %"},
		"exactly the target":   {day, result(0.9, 1000), false, reports.Missed, "90 %"},
		"bad":                  {day, result(0.85, 1000), false, reports.Missed, "85 %"},
		"stale":                {3 * day, result(0.93, 1000), false, reports.Insufficient, "93 %"},
		"few":                  {day, result(0.93, 19), false, reports.Insufficient, "93 %"},
		"cautious, few":        {day, result(0.93, 100), true, reports.Missed, "93 %"}, // Wilson: 86.3 to 96.6 %
		"cautious, many":       {day, result(0.93, 1000), true, reports.Met, "93 %"},   // Wilson: 91.2 to 94.4 %
		"cautious, no count":   {day, jobs.Result{Values: map[string]float64{"accuracy": 0.99}}, true, reports.Insufficient, "99 %"},
		"no such value":        {day, jobs.Result{Values: map[string]float64{"precision": 0.99}}, false, reports.NoSource, "-"},
		"a model of a retrain": {day, jobs.Result{Values: map[string]float64{"accuracy": 0.95, "samples": 500}}, true, reports.Met, "95 %"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			s.job("daily", "model", noon.Add(-test.age), test.result)
			p := reports.Guide()
			p.Accuracy.Job, p.Accuracy.StaleAfter, p.Accuracy.Cautious = reports.JobName{Workflow: "daily", Job: "model"}, 2*day, test.cautious
			f := s.measure(t, p, reports.Accuracy)
			if f.Verdict != test.verdict || f.Text != test.text {
				t.Errorf("%s, %s (%s); want %s, %s", f.Text, f.Verdict, f.Why, test.text, test.verdict)
			}
		})
	}
}

func TestMeasure_AccuracyOfAFailedJob(t *testing.T) {
	t.Parallel()
	s := newShelf()
	s.job("daily", "model", noon.Add(-2*day), jobs.Result{Values: map[string]float64{"accuracy": 0.95, reports.CountValue: 1000}})
	a := s.job("daily", "model", noon.Add(-day), jobs.Result{Values: map[string]float64{"accuracy": 0.5, reports.CountValue: 1000}})
	a.State, a.Reason = runner.Failed, runner.ReasonFindings
	s.job("daily", "model", noon.Add(-time.Hour), jobs.Result{Values: map[string]float64{"accuracy": 0.99, reports.CountValue: 1000}})
	s.runs[2].DryRun = true // what a dry run says is not on record
	p := reports.Guide()
	p.Accuracy.Job = reports.JobName{Workflow: "daily", Job: "model"}
	if f := s.measure(t, p, reports.Accuracy); f.Verdict != reports.Missed || f.Value != 0.5 || len(f.Rows) != 2 {
		t.Errorf("%s of %d rows, %s", f.Text, len(f.Rows), f.Verdict)
	}
}

func TestMeasure_AccuracyFromOutside(t *testing.T) {
	t.Parallel()
	s := newShelf()
	s.observe("accuracy", noon.Add(-day), time.Hour, 0.8, 0.95)
	if f := s.measure(t, reports.Guide(), reports.Accuracy); f.Verdict != reports.Met || f.Source != "series accuracy" || f.N != 2 {
		t.Errorf("%s from %s, n %d, %s", f.Text, f.Source, f.N, f.Verdict)
	}
}

func TestMeasure_Drift(t *testing.T) {
	t.Parallel()
	p := reports.Guide()
	p.Drift.Job = reports.JobName{Workflow: "daily", Job: "drift"}
	tests := map[string]struct {
		ages    []time.Duration // of the evaluations
		want    time.Duration
		verdict reports.Verdict
	}{
		"every day":              {[]time.Duration{50 * time.Hour, 26 * time.Hour, 2 * time.Hour}, day, reports.Met},
		"the clock was set back": {[]time.Duration{51 * time.Hour, 26 * time.Hour, 2 * time.Hour}, 25 * time.Hour, reports.Met}, // 51-26
		"one day left out":       {[]time.Duration{50 * time.Hour, 2 * time.Hour}, 48 * time.Hour, reports.Missed},
		"not for two days":       {[]time.Duration{72 * time.Hour, 49 * time.Hour}, 49 * time.Hour, reports.Missed},
		"only once, long ago":    {[]time.Duration{10 * day}, 10 * day, reports.Missed},
		"only once, today":       {[]time.Duration{time.Hour}, time.Hour, reports.Insufficient},
		"a gap at the beginning": {[]time.Duration{32 * day, 29 * day, 1 * time.Hour}, 29*day - time.Hour, reports.Missed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			for _, age := range test.ages {
				s.job("daily", "drift", noon.Add(-age), jobs.Result{})
			}
			f := s.measure(t, p, reports.DriftDetection)
			if f.Value != test.want.Seconds() || f.Verdict != test.verdict {
				t.Errorf("%s, %s; want %s, %s", f.Text, f.Verdict, test.want, test.verdict)
			}
		})
	}
}

func TestMeasure_DriftFoundLate(t *testing.T) {
	t.Parallel()
	s := newShelf()
	for i := range 10 {
		r := jobs.Result{}
		if i >= 7 { // since when it is there stays the same, and its age grows
			r = jobs.Result{Outputs: map[string]string{"drift_since": "2026-11-20T00:00:00Z"}, Values: map[string]float64{"drift_age_seconds": float64(i-4) * 86400}}
		}
		s.job("daily", "drift", noon.Add(-time.Duration(9-i)*day), r)
	}
	p := reports.Guide()
	p.Drift.Job = reports.JobName{Workflow: "daily", Job: "drift"}
	// It was three days old when it was first found.
	if f := s.measure(t, p, reports.DriftDetection); f.Value != 3*86400 || f.Verdict != reports.Missed {
		t.Errorf("%s, %s", f.Text, f.Verdict)
	}
}

func TestMeasure_Retraining(t *testing.T) {
	t.Parallel()
	p := reports.Guide()
	p.Retraining.Job = reports.JobName{Workflow: "weekly", Job: "eval"}
	// noon is Wednesday of week 48; the window begins on Monday, October 26, at
	// noon, in week 44. Sundays before noon: 22, 15, 8, 1 November, 25 October.
	sunday := func(n int) time.Time {
		return time.Date(2026, 11, 22, 3, 30, 0, 0, time.UTC).AddDate(0, 0, -7*n)
	}
	tests := map[string]struct {
		at      []time.Time
		text    string
		verdict reports.Verdict
	}{
		"every week":                    {[]time.Time{sunday(4), sunday(3), sunday(2), sunday(1), sunday(0)}, "4 of 4 weeks", reports.Met},
		"one week without":              {[]time.Time{sunday(4), sunday(3), sunday(1), sunday(0)}, "3 of 4 weeks", reports.Missed},
		"monthly":                       {[]time.Time{sunday(5), sunday(3)}, "1 of 4 weeks", reports.Missed},
		"since two weeks":               {[]time.Time{sunday(1), sunday(0)}, "2 of 2 weeks", reports.Met},
		"this week too":                 {[]time.Time{sunday(4), sunday(3), sunday(2), sunday(1), sunday(0), noon.Add(-time.Hour)}, "5 of 5 weeks", reports.Met},
		"never":                         {nil, "0 of 3 weeks", reports.Missed},
		"for the first time this week":  {[]time.Time{noon.Add(-time.Hour)}, "1 of 1 week", reports.Met},
		"twice in a week counts as one": {[]time.Time{sunday(4), sunday(3), sunday(2), sunday(2).Add(-time.Hour), sunday(1), sunday(0)}, "4 of 4 weeks", reports.Met},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			for _, at := range test.at {
				s.job("weekly", "eval", at, jobs.Result{})
			}
			f := s.measure(t, p, reports.Retraining)
			if f.Text != test.text || f.Verdict != test.verdict {
				t.Errorf("%s, %s; want %s, %s", f.Text, f.Verdict, test.text, test.verdict)
			}
		})
	}
}

func TestMeasure_Incidents(t *testing.T) {
	t.Parallel()
	s := newShelf()
	at := noon.Add(-5 * day)
	// Seen 20 s after the first bad and 50 s after the last good answer; well
	// again after ten minutes, which the monitor believed a minute later.
	one := s.incident("api", at, at.Add(30*time.Second), at.Add(50*time.Second), at.Add(12*time.Minute))
	s.samples["check.api.up"] = nil
	s.observe("check.api.up", at.Add(30*time.Second), 0, 0)
	s.observe("check.api.up", at.Add(10*time.Minute), 0, 0)
	s.observe("check.api.up", at.Add(10*time.Minute+30*time.Second), 0, 1)
	s.observe("check.api.up", at.Add(11*time.Minute), 0, 1)
	s.notices = append(s.notices, runner.Notice{ID: "n1", Incident: one.ID, Action: runner.NoticeOpen, State: runner.NoticeSent, CreatedAt: one.OpenedAt, EndedAt: one.OpenedAt.Add(4 * time.Second)})
	// A second one without samples: 2 min to detect, 20 min long.
	late := at.Add(2 * day)
	s.incident("db", late, late, late.Add(2*time.Minute), late.Add(20*time.Minute))
	// A consequence of it, and a workflow: neither counts.
	s.incident("mlflow", late, late, late.Add(time.Hour), late.Add(2*time.Hour)).Parent = "check/db"
	s.incident("", time.Time{}, time.Time{}, late, time.Time{})
	p := watched("api", "db")
	p.Window, p.Checks[0].Worst = 30*day, 56*time.Second

	f := s.measure(t, p, reports.MTTD)
	if want := (50.0 + 120) / 2; f.Value != want || f.Low != (20.0+120)/2 || f.N != 2 || f.Verdict != reports.Met {
		t.Errorf("mttd %v (from %v) of %d, %s; want %v", f.Value, f.Low, f.N, f.Verdict, want)
	}
	if !has(f, "until told", "4s") || !has(f, "worst case", "56s (check api, by its configuration)") {
		t.Errorf("more: %v", f.More)
	}
	f = s.measure(t, p, reports.MTTR)
	if want := (600.0 + 1200) / 2; f.Value != want || f.N != 2 || f.Verdict != reports.Missed {
		t.Errorf("mttr %v of %d, %s; want %v, missed: the target itself is not below it", f.Value, f.N, f.Verdict, want)
	}
	if !has(f, "median", "15m") || !has(f, "p90", "20m") {
		t.Errorf("more: %v", f.More)
	}

	// Somebody knows better when one began.
	said := &s.incidents[0]
	good, bad := said.LastGood, said.FirstBad
	said.LastGood, said.FirstBad = at.Add(-time.Hour), at.Add(-time.Hour)
	f = s.measure(t, p, reports.MTTD)
	if want := (3650.0 + 120) / 2; f.Value != want || f.Low != want || !strings.Contains(f.Rows[0].Text+f.Rows[1].Text, "after it began, as somebody said") {
		t.Errorf("mttd %v (from %v), %+v; want %v", f.Value, f.Low, f.Rows, want)
	}
	said.LastGood, said.FirstBad = good, bad

	// Something that is open counts with its age.
	s.incident("api", noon.Add(-3*time.Hour), noon.Add(-3*time.Hour), noon.Add(-3*time.Hour), time.Time{})
	f = s.measure(t, p, reports.MTTR)
	if want := (600.0 + 1200 + 3*3600) / 3; !near(f.Value, want) || f.N != 3 || !strings.HasPrefix(f.Text, "at least ") || !math.IsInf(f.High, 1) {
		t.Errorf("mttr %v (%s) of %d, up to %v; want %v", f.Value, f.Text, f.N, f.High, want)
	}
}

func TestMeasure_IncidentsOfBefore(t *testing.T) {
	t.Parallel()
	s := newShelf()
	old := noon.Add(-40 * day)
	s.incident("api", old, old, old, time.Time{})         // still open
	s.incident("db", old, old, old, old.Add(time.Hour))   // over before the window
	s.incident("redis", old, old, old, noon.Add(-29*day)) // ended in it
	for i := range 1200 {                                 // several pages
		s.incident("x", old, old, old, old.Add(time.Duration(i))) // over before
	}
	p := reports.Guide()
	if f := s.measure(t, p, reports.MTTR); f.N != 2 {
		t.Errorf("n is %d, want the open one and the one that ended in the window", f.N)
	}
	if f := s.measure(t, p, reports.MTTD); f.N != 0 || f.Verdict != reports.Insufficient {
		t.Errorf("n is %d, %s; none was opened in the window", f.N, f.Verdict)
	}
}

func TestMeasure_Deploys(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		fill               func(*shelf)
		often, bad         string
		frequency, failure reports.Verdict
	}{
		"none": {func(*shelf) {}, "-", "-", reports.NoSource, reports.NoSource},
		"every working day": {func(s *shelf) {
			for d := range 31 { // also on weekends
				s.deploy(noon.Add(-time.Duration(30-d)*day).Add(time.Minute), fmt.Sprintf("1.%d ok", d))
			}
		}, "22 of 22 working days", "0/30", reports.Met, reports.Met},
		"one of twenty fails": {func(s *shelf) {
			for d := range 20 {
				text := fmt.Sprintf("1.%d ok", d)
				if d == 5 {
					text = "1.5 failed: migration"
				}
				s.deploy(noon.Add(-time.Duration(20-d)*day), text)
			}
		}, "13 of 14 working days", "1/20", reports.Missed, reports.Missed},
		"rolled back later is the same deploy": {func(s *shelf) {
			for d := range 14 {
				s.deploy(noon.Add(-time.Duration(14-d)*day), fmt.Sprintf("1.%d ok", d))
			}
			s.deploy(noon.Add(-time.Hour), "1.13 rollback: errors")
		}, "9 of 10 working days", "1/14", reports.Missed, reports.Insufficient},
		"two days are too few": {func(s *shelf) {
			s.deploy(noon.Add(-2*day), "1 ok")
			s.deploy(noon.Add(-time.Hour), "2 ok")
		}, "2 of 3 working days", "0/2", reports.Insufficient, reports.Insufficient},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShelf()
			test.fill(s)
			f := s.measure(t, reports.Guide(), reports.DeployFrequency)
			if f.Text != test.often || f.Verdict != test.frequency {
				t.Errorf("frequency %s, %s; want %s, %s", f.Text, f.Verdict, test.often, test.frequency)
			}
			f = s.measure(t, reports.Guide(), reports.ChangeFailure)
			if f.Text != test.bad || f.Verdict != test.failure {
				t.Errorf("failures %s, %s; want %s, %s", f.Text, f.Verdict, test.bad, test.failure)
			}
		})
	}
}

func TestMeasure_ChangeFailureBlames(t *testing.T) {
	t.Parallel()
	s := newShelf()
	at := noon.Add(-10 * day)
	s.deploy(at, "1.0 ok")
	s.deploy(at.Add(day), "1.1 ok")
	s.deploy(at.Add(2*day), "1.2 ok: led to incident-0002")
	s.deploy(at.Add(3*day), "1.3 ok")
	s.incident("api", at, at, at.Add(time.Hour), at.Add(2*time.Hour))                                   // suspected: 1.0
	s.incident("api", at.Add(day), at.Add(day), at.Add(day+3*time.Hour), at.Add(day+4*time.Hour))       // too late for 1.1
	s.incident("db", at.Add(5*day), at.Add(5*day), at.Add(5*day), at.Add(5*day+time.Minute))            // named by 1.2
	s.incident("db", at.Add(3*day-time.Hour), at.Add(3*day-time.Hour), at.Add(3*day+time.Minute), noon) // began before 1.3
	f := s.measure(t, reports.Guide(), reports.ChangeFailure)
	if f.Text != "2/4" || !has(f, "suspected", "1 deploy, by an incident within 2h") {
		t.Errorf("%s, more %v, rows %v", f.Text, f.More, f.Rows)
	}
}

func TestMeasure_Fails(t *testing.T) {
	t.Parallel()
	s := newShelf()
	s.fail = errors.New("the disk is gone")
	p := watched("api")
	p.Accuracy.Job, p.Drift.Job, p.Retraining.Job = reports.JobName{Workflow: "a", Job: "b"}, reports.JobName{Workflow: "a", Job: "b"}, reports.JobName{Workflow: "a", Job: "b"}
	p.Response.Histogram, p.Model.Histogram, p.Errors.All, p.Errors.Bad, p.Demand.All = "h", "h", "a", "b", "a"
	for _, name := range reports.Names() {
		if _, err := reports.Measure(t.Context(), s.source(), p, noon, name); !errors.Is(err, s.fail) || !strings.Contains(err.Error(), name) {
			if name != reports.DeployFrequency && name != reports.ChangeFailure || err != nil && !errors.Is(err, s.fail) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := reports.Measure(t.Context(), s.source(), p, noon, "speed"); err == nil {
		t.Error("a figure that does not exist was computed")
	}
}
