package sqlitebackup

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

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

// drops compares the tables with the last run and returns what fell too far,
// the worst first.
func (j *Job) drops(ctx context.Context, tables []Table) ([]jobs.Finding, error) {
	if j.options.MaxDrop >= 100 {
		return nil, nil
	}
	past, err := j.history.Past(ctx, 1)
	if err != nil {
		return nil, fmt.Errorf("read what the last run counted: %w", err)
	}
	if len(past) == 0 {
		return nil, nil
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
	for _, name := range slices.Sorted(maps.Keys(past[0].Result.Values)) {
		table, ok := strings.CutPrefix(name, rowsPrefix)
		before := past[0].Result.Values[name]
		if !ok || before < float64(max(1, j.options.MinRows)) {
			continue
		}
		rows, exists := now[name]
		share := 100 * (before - float64(rows)) / before
		if share <= float64(j.options.MaxDrop) {
			continue
		}
		text := fmt.Sprintf("%s lost %.0f%% of its rows since the last run (%s -> %s), limit %s", table, share,
			humanize.Comma(int64(before)), humanize.Comma(rows), j.options.MaxDrop)
		if !exists {
			text = fmt.Sprintf("%s is gone, which held %s rows in the last run", table, humanize.Comma(int64(before)))
		}
		found = append(found, drop{table, share, text})
	}
	slices.SortStableFunc(found, func(a, b drop) int { return cmp.Compare(b.share, a.share) })
	var findings []jobs.Finding
	for _, d := range found {
		findings = append(findings, jobs.Finding{ID: "rows-dropped:" + d.name, Severity: jobs.Warning, Text: d.text})
	}
	return findings, nil
}
