package sqlitebackup_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
)

func TestDrops(t *testing.T) {
	t.Parallel()
	past := func(values map[string]float64) []jobs.Past { return []jobs.Past{{Result: jobs.Result{Values: values}}} }
	good := func(age time.Duration) jobs.Past {
		return jobs.Past{Finished: time.Now().Add(-age), Result: jobs.Result{Values: map[string]float64{"rows.orders": 10000}}}
	}
	bad := func(age time.Duration) jobs.Past {
		return jobs.Past{Finished: time.Now().Add(-age), Result: jobs.Result{
			Values: map[string]float64{"rows.orders": 1000}, Findings: []jobs.Finding{{ID: "rows-dropped:orders", Severity: jobs.Warning}},
		}}
	}
	const lost = "orders lost 90% of its rows since the last good run (10,000 -> 1,000), limit 50%"
	for name, tt := range map[string]struct {
		past  []jobs.Past
		limit unit.Share
		want  []string
	}{
		"no history":               {nil, 50, nil},
		"as before":                {past(map[string]float64{"rows.orders": 1000, "rows.users": 50, "bytes": 1}), 50, nil},
		"grew":                     {past(map[string]float64{"rows.orders": 500}), 50, nil},
		"at limit":                 {past(map[string]float64{"rows.orders": 2000}), 50, nil},
		"beyond":                   {past(map[string]float64{"rows.orders": 12500}), 50, []string{"orders lost 92% of its rows since the last good run (12,500 -> 1,000), limit 50%"}},
		"gone":                     {past(map[string]float64{"rows.audit": 500}), 50, []string{"audit is gone, which held 500 rows in the last good run"}},
		"small":                    {past(map[string]float64{"rows.audit": 99}), 50, nil},
		"turned off":               {past(map[string]float64{"rows.orders": 1e9, "rows.audit": 500}), 100, nil},
		"the last run was suspect": {[]jobs.Past{bad(time.Hour), bad(2 * time.Hour), good(3 * time.Hour)}, 50, []string{lost}},
		"suspect for long":         {[]jobs.Past{bad(time.Hour), bad(100 * time.Hour), good(500 * time.Hour)}, 50, []string{lost}},
		"suspect often":            {[]jobs.Past{bad(1), bad(2), bad(3), bad(4), good(time.Hour)}, 50, []string{lost}},
		"the new normal":           {[]jobs.Past{bad(time.Hour), bad(2), bad(3), good(169 * time.Hour)}, 50, nil},
		"weekly":                   {[]jobs.Past{good(1000 * time.Hour)}, 50, []string{lost}},
		"never good":               {[]jobs.Past{bad(time.Hour), bad(2 * time.Hour)}, 50, nil},
		"worst first":              {past(map[string]float64{"rows.orders": 4000, "rows.audit": 500}), 10, []string{"audit is gone, which held 500 rows in the last good run", "orders lost 75% of its rows since the last good run (4,000 -> 1,000), limit 10%"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, "delete")
			b.past, b.options.MaxDrop = tt.past, tt.limit
			r, a := b.saved()
			var got []string
			for _, f := range r.Findings {
				got = append(got, f.Text)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if (a.Manifest.Suspect != "") != (len(tt.want) > 0) {
				t.Errorf("suspect: %q", a.Manifest.Suspect)
			}
		})
	}
}

func TestManyTables(t *testing.T) {
	t.Parallel()
	b := newBench(t, "delete")
	db := connect(t, b.path, "")
	for i := range 300 {
		exec(t, db, fmt.Sprintf("CREATE TABLE extra_%d (x)", i))
	}
	r, a := b.saved()
	rows := 0
	for name := range r.Values {
		if strings.HasPrefix(name, "rows.") {
			rows++
		}
	}
	d, err := sqlitebackup.DetailsOf(a.Manifest)
	if err != nil || rows != 200 || r.Values["rows.orders"] != 1000 || len(d.Tables) < 300 {
		t.Errorf("%d values, %d tables in the manifest, %v", rows, len(d.Tables), err)
	}
}
