package prune

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// largest is how many of the largest doomed files are listed.
const largest = 10

// report writes what was decided before anything happens.
func (t *tree) report(env *jobs.Env) {
	env.Printf("%s below %s, %s match (%s), %s are due (%s)", count(int(t.seen.Load())), display(t.root.Name()),
		humanize.Comma(int64(t.matching.files)), room(t.matching.bytes), humanize.Comma(int64(t.doomed.files)), room(t.doomed.bytes))
	perPattern := make([]tally, len(t.match))
	var top []candidate
	for c := range t.doomedFiles() {
		perPattern[c.pattern].add(c.file)
		at, _ := slices.BinarySearchFunc(top, c, func(a, b candidate) int { return cmp.Compare(b.blocks, a.blocks) })
		if at < largest {
			top = slices.Insert(top, at, c)
			top = top[:min(len(top), largest)]
		}
	}
	for i, pattern := range t.match {
		env.Printf("  %-20s %s", display(pattern.text), amount(perPattern[i].files, perPattern[i].bytes))
	}
	for i, c := range top {
		if i == 0 {
			env.Printf("largest:")
		}
		env.Printf("  %10s  %s old  %s", room(c.bytes()), days(t.age(c.file)), display(c.folder.below(c.file)))
	}
}

func (t *tree) doomedFiles() func(yield func(candidate) bool) {
	return func(yield func(candidate) bool) {
		for _, d := range t.folders {
			for c := range d.present() {
				if c.fate == doomed && !yield(c) {
					return
				}
			}
		}
	}
}

// preview is the result of a run that only showed. refusal is what the rails
// say to the next one.
func (t *tree) preview(refusal error) jobs.Result {
	r := t.result()
	r.Summary = fmt.Sprintf("first run of this rule: would delete %s; the next run does", amount(t.doomed.files, t.doomed.bytes))
	r.Findings = append(r.Findings, jobs.Finding{
		ID: "first-run", Severity: jobs.Info,
		Text: "the rule is new or changed, so this run only showed what it would delete (first_run: dry)",
	})
	if refusal != nil {
		r.Summary = fmt.Sprintf("first run of this rule: would be %s", refusal)
		r.Findings = append(r.Findings, jobs.Finding{ID: "would-refuse", Severity: jobs.Warning, Text: "the next run will be " + refusal.Error()})
	}
	return r
}

// result is what the run leaves on record.
func (t *tree) result() jobs.Result {
	skipped := 0
	for _, n := range t.skipped {
		skipped += n
	}
	next := t.next()
	r := jobs.Result{
		Summary: t.outcome(),
		Values: map[string]float64{
			"files_seen": float64(t.seen.Load()), "files_matched": float64(t.matching.files),
			"deleted": float64(t.deleted.files), "freed_bytes": float64(t.deleted.bytes), "skipped": float64(skipped),
			"remaining_files": float64(t.matching.files - t.deleted.files), "remaining_bytes": float64(t.matching.bytes - t.deleted.bytes),
			"next_files": float64(next.files), "next_bytes": float64(next.bytes),
		},
	}
	if t.denied != nil {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "denied", Severity: jobs.Warning,
			Text: jobs.OneLine(fmt.Sprintf("%d files or folders were left because of missing permission: %s", t.skipped[skipDenied], t.denied)),
		})
	}
	if n := t.skipped[skipUndecided]; n > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "undecided", Severity: jobs.Warning,
			Text: fmt.Sprintf("%s not deleted, because only root or their owner can tell whether they are open", count(n)),
		})
	}
	return r
}

// outcome is what happened in one line.
func (t *tree) outcome() string {
	if t.doomed.files == 0 && t.deleted.files == 0 {
		return fmt.Sprintf("nothing to delete among %s that match%s", count(t.matching.files), t.skips())
	}
	return fmt.Sprintf("deleted %s%s", amount(t.deleted.files, t.deleted.bytes), t.skips())
}

// skips are the reasons for which files stayed, as the end of a summary.
func (t *tree) skips() string {
	var text strings.Builder
	for _, why := range slices.Sorted(maps.Keys(t.skipped)) {
		fmt.Fprintf(&text, ", %d skipped: %s", t.skipped[why], why)
	}
	return text.String()
}

// amount is "12 files, 3.4 MiB".
func amount(files int, bytes int64) string { return count(files) + ", " + room(bytes) }

// count is "12 files".
func count(files int) string {
	if files == 1 {
		return "1 file"
	}
	return humanize.Comma(int64(files)) + " files"
}

func room(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
