package prune

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// largest is how many of the largest doomed files are listed.
const largest = 10

// report writes what was decided before anything happens.
func (t *tree) report(env *jobs.Env, doomed []*file) {
	env.Printf("%d files below %s, %d match (%s), %d are due (%s)",
		t.seen, display(t.root.Name()), len(t.matching), humanize.IBytes(uint64(t.matchedBytes)), len(doomed), humanize.IBytes(uint64(blocks(doomed))))
	for _, pattern := range t.options.Match {
		var files int
		var bytes int64
		for _, f := range doomed {
			if anyMatch([]string{pattern}, f) {
				files++
				bytes += f.blocks()
			}
		}
		env.Printf("  %-20s %s", pattern, amount(files, bytes))
	}
	bySize := slices.SortedStableFunc(slices.Values(doomed), func(a, b *file) int { return cmp.Compare(b.blocks(), a.blocks()) })
	for i, f := range bySize[:min(largest, len(bySize))] {
		if i == 0 {
			env.Printf("largest:")
		}
		env.Printf("  %10s  %s old  %s", humanize.IBytes(uint64(f.blocks())), age(t.now.Sub(f.at)), display(f.path()))
	}
}

// preview is the result of a run that only showed.
func (t *tree) preview(o Options, doomed []*file) jobs.Result {
	r := t.result(o, 0, 0)
	r.Summary = fmt.Sprintf("first run of this rule: would delete %s; the next run does", amount(len(doomed), blocks(doomed)))
	r.Findings = append(r.Findings, jobs.Finding{
		ID: "first-run", Severity: jobs.Info,
		Text: "the rule is new or changed, so this run only showed what it would delete (first_run: dry)",
	})
	return r
}

// result is what the run leaves on record.
func (t *tree) result(o Options, deleted int, freed int64) jobs.Result {
	skipped := 0
	for _, n := range t.skipped {
		skipped += n
	}
	next := t.tomorrow(o)
	r := jobs.Result{
		Summary: fmt.Sprintf("deleted %s", amount(deleted, freed)),
		Values: map[string]float64{
			"files_seen": float64(t.seen), "files_matched": float64(len(t.matching)),
			"deleted": float64(deleted), "freed_bytes": float64(freed), "skipped": float64(skipped),
			"remaining_files": float64(len(t.matching) - deleted), "remaining_bytes": float64(t.matchedBytes - freed),
			"next_files": float64(max(len(next)-deleted, 0)), "next_bytes": float64(max(blocks(next)-freed, 0)),
		},
	}
	for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
		r.Summary += fmt.Sprintf(", %d skipped: %s", t.skipped[why], why)
	}
	if t.denied != nil {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "denied", Severity: jobs.Warning,
			Text: fmt.Sprintf("%d files or folders were left because of missing permission: %s", t.skipped[skipDenied], t.denied),
		})
	}
	if t.skipped[skipUndecided] > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "undecided", Severity: jobs.Warning,
			Text: fmt.Sprintf("%d files were left because only root or their owner can tell whether they are open", t.skipped[skipUndecided]),
		})
	}
	return r
}

// tomorrow is what the rule would doom in 24 hours if nothing changed.
func (t *tree) tomorrow(o Options) []*file {
	return choose(o, t.matching, t.now.Add(24*time.Hour))
}

// amount is "12 files, 3.4 MiB".
func amount(files int, bytes int64) string {
	word := "files"
	if files == 1 {
		word = "file"
	}
	return fmt.Sprintf("%s %s, %s", humanize.Comma(int64(files)), word, humanize.IBytes(uint64(max(bytes, 0))))
}
