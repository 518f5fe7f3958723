package pgbackup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
)

const (
	// rowsPrefix begins the name of the value that holds a table's rows, and
	// rowsLimit bounds how many tables get one.
	rowsPrefix = "rows."
	rowsLimit  = 200
	// suspectPrefix begins the id of a finding that makes a backup suspect.
	suspectPrefix = "suspect:"
	// doubtRuns and doubtTime are how many runs, and how long, all must have
	// been suspect before what they found is taken for the new normal.
	doubtRuns = 3
	doubtTime = 7 * 24 * time.Hour
	// goodRuns is how many good runs the median is taken of, and pastLimit how
	// far back they are looked for.
	goodRuns  = 7
	pastLimit = 2500
)

// values are the measurements of the run so far.
func (r *run) values() map[string]float64 {
	v := map[string]float64{
		"bytes": float64(r.bytes), "rows": float64(r.rows), "tables": float64(r.tables), "databases": float64(len(r.details.Databases)),
		"database_bytes": float64(r.plan.bytes), "dump_seconds": r.took.Seconds(),
	}
	type table struct {
		name string
		rows int64
	}
	var all []table
	for i := range r.details.Databases {
		d := &r.details.Databases[i]
		for k := range d.Tables {
			t := &d.Tables[k]
			name := t.Schema + "." + t.Name
			if t.Schema == "public" {
				name = t.Name
			}
			if len(r.details.Databases) > 1 {
				name = d.Name + "." + name
			}
			if t.Dumped {
				all = append(all, table{name: rowsPrefix + jobs.NameFrom(name), rows: t.Rows})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b table) int { return cmp.Compare(b.rows, a.rows) })
	left := rowsLimit
	for _, t := range all {
		if _, taken := v[t.name]; !taken && left > 0 && jobs.ValidName(t.name) {
			v[t.name] = float64(t.rows)
			left--
		}
	}
	return v
}

// suspect tells whether a run found that something was lost.
func suspect(r jobs.Result) bool {
	return slices.ContainsFunc(r.Findings, func(f jobs.Finding) bool { return strings.HasPrefix(f.ID, suspectPrefix) })
}

// baseline returns the medians of the last good runs by the name of the value.
// Suspect runs do not count, because else a loss would soon be normal and let
// retention remove the last backup from before it, unless all have been
// suspect for long enough.
func (j *Job) baseline(ctx context.Context) (map[string]float64, error) {
	past, err := j.history.Past(ctx, goodRuns)
	if err == nil && slices.ContainsFunc(past, func(p jobs.Past) bool { return suspect(p.Result) }) {
		past, err = j.history.Past(ctx, pastLimit)
	}
	if err != nil {
		return nil, fmt.Errorf("read what the last runs counted: %w", err)
	}
	first := slices.IndexFunc(past, func(p jobs.Past) bool { return !suspect(p.Result) })
	if first < 0 || first >= doubtRuns && time.Since(past[first].Finished) > doubtTime {
		return nil, nil
	}
	samples := map[string][]float64{}
	good := 0
	for _, p := range past[first:] {
		if suspect(p.Result) {
			continue
		}
		if good++; good > goodRuns {
			break
		}
		for name, value := range p.Result.Values {
			samples[name] = append(samples[name], value)
		}
	}
	// A table that only older runs had is no longer expected.
	newest := past[first].Result.Values
	medians := map[string]float64{}
	for name, values := range samples {
		if _, ok := newest[name]; ok {
			medians[name] = median(values)
		}
	}
	return medians, nil
}

// median returns the middle of values, of which there is at least one.
func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// anomalies compares the run with the last good ones, tables first and of
// these the worst. What makes the backup suspect has an id that begins with
// suspectPrefix.
func (j *Job) anomalies(ctx context.Context, now map[string]float64) ([]jobs.Finding, error) {
	usual, err := j.baseline(ctx)
	if err != nil || usual == nil {
		return nil, err
	}
	crowded := 0
	for name := range now {
		if strings.HasPrefix(name, rowsPrefix) {
			crowded++
		}
	}
	var drops []drop
	for _, name := range slices.Sorted(maps.Keys(usual)) {
		if d, ok := j.compare(name, usual[name], now); ok && !(d.gone && crowded >= rowsLimit) {
			drops = append(drops, d)
		}
	}
	slices.SortStableFunc(drops, func(a, b drop) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(b.share, a.share))
	})
	var findings []jobs.Finding
	for _, d := range drops {
		findings = append(findings, d.finding)
	}
	return append(findings, j.slowness(usual, now)...), nil
}

// drop is a value that fell too far.
type drop struct {
	finding jobs.Finding
	share   float64
	// class orders what is compared from the telling to the vague.
	class int
	// gone tells that the table has no value any more, which is no news while
	// only the largest tables have one.
	gone bool
}

// compare judges one value of the run by what is usual.
func (j *Job) compare(name string, before float64, now map[string]float64) (drop, bool) {
	is, there := now[name]
	table, isTable := strings.CutPrefix(name, rowsPrefix)
	least, class := 1.0, 0
	switch {
	case isTable:
		least = float64(max(1, j.options.MinRows))
	case name == "rows":
		least, class = float64(max(1, j.options.MinRows)), 1
	case name == "tables":
		class = 2
	case name == "bytes":
		class = 3
	default:
		return drop{}, false
	}
	share := 100 * (before - is) / before
	if before < least || j.options.MaxDrop >= 100 || share <= float64(j.options.MaxDrop) {
		return drop{}, false
	}
	number := func(v float64) string { return humanize.Comma(int64(v)) }
	var text string
	switch {
	case isTable && !there:
		text = fmt.Sprintf("table %s is gone, which usually has %s rows", table, number(before))
	case isTable:
		text = fmt.Sprintf("table %s has %.0f%% fewer rows than usual (%s instead of %s), limit %s", table, share, number(is), number(before), j.options.MaxDrop)
	case name == "bytes":
		text = fmt.Sprintf("the dump is %.0f%% smaller than usual (%s instead of %s), limit %s", share,
			artifact.Bytes(int64(is)), artifact.Bytes(int64(before)), j.options.MaxDrop)
	default:
		text = fmt.Sprintf("there are %.0f%% fewer %s than usual (%s instead of %s), limit %s", share, name, number(is), number(before), j.options.MaxDrop)
	}
	return drop{
		finding: jobs.Finding{ID: suspectPrefix + name, Severity: jobs.Warning, Text: text},
		share:   share, class: class, gone: isTable && !there,
	}, true
}

// slowest is the least duration that counts as slow.
const slowest = 60 * time.Second

// slowness compares the duration, which makes no backup suspect.
func (j *Job) slowness(usual, now map[string]float64) []jobs.Finding {
	before, is := usual["dump_seconds"], now["dump_seconds"]
	if j.options.MaxSlowdown == 0 || before <= 0 || is < slowest.Seconds() || is <= before*j.options.MaxSlowdown {
		return nil
	}
	return []jobs.Finding{{ID: "slow", Severity: jobs.Warning, Text: fmt.Sprintf("the dump took %s, usually %s",
		(time.Duration(is) * time.Second).Round(time.Second), (time.Duration(before) * time.Second).Round(time.Second))}}
}

// suspicion is what the manifest says about the findings that make a backup
// suspect.
func suspicion(findings []jobs.Finding) string {
	for _, f := range findings {
		if strings.HasPrefix(f.ID, suspectPrefix) {
			return f.Text
		}
	}
	return ""
}
