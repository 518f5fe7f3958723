package pgbackup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg/pgtest"
)

// past is a run that counted so many rows, days ago.
func past(days int, rows float64, findings ...string) jobs.Past {
	p := jobs.Past{Finished: time.Now().AddDate(0, 0, -days), Result: jobs.Result{Values: map[string]float64{
		"rows.orders": rows, "rows": rows + 10, "tables": 2, "bytes": 12 * rows, "dump_seconds": 1,
	}}}
	for _, id := range findings {
		p.Result.Findings = append(p.Result.Findings, jobs.Finding{ID: id, Severity: jobs.Warning, Text: "x"})
	}
	return p
}

func TestAnomalies(t *testing.T) {
	t.Parallel()
	name := pgtest.Database(t, `CREATE TABLE orders (id int)`, `INSERT INTO orders SELECT generate_series(1, 1000)`, `CREATE TABLE few (id int)`)
	for label, tt := range map[string]struct {
		past []jobs.Past
		want string // text of the suspicion
	}{
		"nothing to compare with":  {nil, ""},
		"as usual":                 {[]jobs.Past{past(1, 1000), past(2, 900)}, ""},
		"the median, not the last": {[]jobs.Past{past(1, 1200), past(2, 9000), past(3, 1100)}, ""},
		"a table lost rows":        {[]jobs.Past{past(1, 12_000), past(2, 12_500), past(3, 11_000)}, "table orders has 92% fewer rows than usual (1,000 instead of 12,000)"},
		"suspect runs do not make it normal": {
			[]jobs.Past{past(1, 1000, "suspect:rows.orders"), past(2, 1000, "suspect:rows.orders"), past(3, 12_000)}, "92% fewer rows",
		},
		"after three runs and a week they do": {
			[]jobs.Past{past(1, 1000, "suspect:rows"), past(2, 1000, "suspect:rows"), past(3, 1000, "suspect:rows"), past(9, 12_000)}, "",
		},
		"three runs in a night do not": {
			[]jobs.Past{past(0, 1000, "suspect:rows"), past(0, 1000, "suspect:rows"), past(0, 1000, "suspect:rows"), past(1, 12_000)}, "92% fewer rows",
		},
		"a slow run is not suspect": {[]jobs.Past{past(1, 1000, "slow"), past(2, 1000)}, ""},
		"a table is gone": {[]jobs.Past{{Finished: time.Now(), Result: jobs.Result{Values: map[string]float64{
			"rows.gone": 500, "rows": 1000, "tables": 2, "bytes": 1000, "dump_seconds": 1,
		}}}}, "table gone is gone"},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			b := benchOn(t, name)
			b.past = tt.past
			b.options.Keep.Last = 1
			if _, err := b.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			old, _ := b.one()
			r, err := b.run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			suspicious := false
			for _, f := range r.Findings {
				suspicious = suspicious || strings.HasPrefix(f.ID, "suspect:")
			}
			all := b.artifacts()
			newest := all[len(all)-1].Manifest
			if tt.want == "" {
				if newest.Suspect != "" || suspicious || len(all) != 1 {
					t.Errorf("suspect %q, findings %v, %d artifacts", newest.Suspect, r.Findings, len(all))
				}
				return
			}
			if !strings.Contains(newest.Suspect, tt.want) || r.Worst() != jobs.Warning || !suspicious {
				t.Errorf("suspect %q, findings %v", newest.Suspect, r.Findings)
			}
			// Retention would keep one, but a suspect backup pushes nothing out.
			if len(all) != 2 || all[0].Manifest.ID != old.Manifest.ID {
				t.Errorf("%d artifacts are left", len(all))
			}
		})
	}
}

func TestMaxDropOff(t *testing.T) {
	t.Parallel()
	b := newBench(t, `CREATE TABLE orders (id int)`)
	b.past, b.options.MaxDrop = []jobs.Past{past(1, 12_000)}, 100
	if r, err := b.run(t.Context()); err != nil || len(r.Findings) > 0 {
		t.Errorf("%v, %v", r.Findings, err)
	}
}
