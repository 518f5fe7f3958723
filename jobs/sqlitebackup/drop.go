package sqlitebackup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// rowsPrefix begins the name of the value that holds a table's rows.
	rowsPrefix = "rows."
	// rowsLimit bounds how many tables get a value of their own.
	rowsLimit = 200
)

var valueName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)

// rowValues returns the rows of the largest tables by the name of their value.
// Tables whose names cannot be part of one are left out.
func rowValues(tables []Table) map[string]float64 {
	sorted := slices.SortedStableFunc(slices.Values(tables), func(a, b Table) int { return cmp.Compare(b.Rows, a.Rows) })
	values := map[string]float64{}
	for _, t := range sorted {
		name := rowsPrefix + strings.ToLower(t.Name)
		if valueName.MatchString(name) && len(values) < rowsLimit {
			values[name] = float64(t.Rows)
		}
	}
	return values
}

const (
	// droppedPrefix begins the id of a finding about a table.
	droppedPrefix = "rows-dropped:"
	// doubtRuns and doubtTime are how many runs, and how long, all must have
	// been suspect before what they found is taken for the new normal.
	doubtRuns = 3
	doubtTime = 7 * 24 * time.Hour
	// pastLimit bounds how far back a good run is looked for.
	pastLimit = 2500
)

// lastGood returns the run to compare with: the newest that was not suspect
// itself, because else the second run after a loss would find nothing odd and
// let retention remove the last backup from before it. When all runs have been
// suspect for long enough, there is nothing to compare with any more.
func (j *Job) lastGood(ctx context.Context) (jobs.Past, bool, error) {
	for _, limit := range []int{1, pastLimit} { // usually the newest will do
		past, err := j.history.Past(ctx, limit)
		if err != nil {
			return jobs.Past{}, false, fmt.Errorf("read what the last runs counted: %w", err)
		}
		if len(past) == 0 {
			return jobs.Past{}, false, nil
		}
		good := slices.IndexFunc(past, func(p jobs.Past) bool { return !suspect(p.Result) })
		if good >= 0 {
			old := good >= doubtRuns && time.Since(past[good].Finished) > doubtTime
			return past[good], !old, nil
		}
	}
	return jobs.Past{}, false, nil
}

// suspect tells whether a run found that rows were lost.
func suspect(r jobs.Result) bool {
	return slices.ContainsFunc(r.Findings, func(f jobs.Finding) bool { return strings.HasPrefix(f.ID, droppedPrefix) })
}

// drops compares the tables with the last good run and returns what fell too far,
// the worst first.
func (j *Job) drops(ctx context.Context, tables []Table) ([]jobs.Finding, error) {
	if j.options.MaxDrop >= 100 {
		return nil, nil
	}
	last, ok, err := j.lastGood(ctx)
	if err != nil || !ok {
		return nil, err
	}
	now := map[string]int64{}
	for _, t := range tables {
		now[rowsPrefix+strings.ToLower(t.Name)] = t.Rows
	}
	type drop struct {
		name  string
		share float64
		text  string
	}
	var found []drop
	for _, name := range slices.Sorted(maps.Keys(last.Result.Values)) {
		table, ok := strings.CutPrefix(name, rowsPrefix)
		before := last.Result.Values[name]
		if !ok || before < float64(max(1, j.options.MinRows)) {
			continue
		}
		rows, exists := now[name]
		share := 100 * (before - float64(rows)) / before
		if share <= float64(j.options.MaxDrop) {
			continue
		}
		text := fmt.Sprintf("%s lost %.0f%% of its rows since the last good run (%s -> %s), limit %s", table, share,
			humanize.Comma(int64(before)), humanize.Comma(rows), j.options.MaxDrop)
		if !exists {
			text = fmt.Sprintf("%s is gone, which held %s rows in the last good run", table, humanize.Comma(int64(before)))
		}
		found = append(found, drop{table, share, text})
	}
	slices.SortStableFunc(found, func(a, b drop) int { return cmp.Compare(b.share, a.share) })
	var findings []jobs.Finding
	for _, d := range found {
		findings = append(findings, jobs.Finding{ID: droppedPrefix + d.name, Severity: jobs.Warning, Text: d.text})
	}
	return findings, nil
}
