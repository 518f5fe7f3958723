package prune

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
)

// report writes what was decided before anything happens.
func (t *tree) report(env *jobs.Env) {
	env.Printf("%s below %s, %s match (%s), %s are due (%s)", count(int(t.seen.Load())), display(t.root.Name()),
		humanize.Comma(int64(t.matching.files)), room(t.matching.bytes), humanize.Comma(int64(t.drops.files)), room(t.drops.bytes))
	for i, pattern := range t.match {
		env.Printf("  %-20s %s", display(pattern.text), amount(t.patterns[i].files, t.patterns[i].bytes))
	}
	if t.packs.files > 0 {
		env.Printf("  to compress: %s", amount(t.packs.files, t.packs.bytes))
	}
	if len(t.hollow) > 0 {
		env.Printf("  empty folders: %s", humanize.Comma(int64(len(t.hollow))))
	}
	for i, b := range t.largest {
		if i == 0 {
			env.Printf("largest:")
		}
		env.Printf("  %10s  %s old  %s", room(b.bytes), days(time.Duration(t.now-b.at)), display(b.path))
	}
}

// preview is the result of a run that only showed. refusal is what the rails
// say to the next one.
func (t *tree) preview(refusal error) jobs.Result {
	r := t.result()
	r.Summary = fmt.Sprintf("first run of this rule: would %s; the next run does", t.deeds(t.drops, t.packs, len(t.hollow)))
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
	next := tally{max(t.soon.files-t.deleted.files, 0), max(t.soon.bytes-t.deleted.bytes, 0)}
	r := jobs.Result{
		Summary: t.outcome(),
		Values: map[string]float64{
			"files_seen": float64(t.seen.Load()), "files_matched": float64(t.matching.files),
			"deleted": float64(t.deleted.files), "freed_bytes": float64(t.deleted.bytes), "skipped": float64(skipped),
			"remaining_files": float64(t.matching.files - t.deleted.files), "remaining_bytes": float64(t.matching.bytes - t.deleted.bytes),
			"compressed": float64(t.packed.files), "saved_bytes": float64(t.saved), "folders_removed": float64(t.emptied),
			"next_files": float64(next.files), "next_bytes": float64(next.bytes),
		},
	}
	if n := t.skipped[skipNoRoom]; n > 0 {
		r.Findings = append(r.Findings, jobs.Finding{
			ID: "no-room", Severity: jobs.Warning, Text: count(n) + " not compressed, because there is no room on the disk for the copy",
		})
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
	if t.drops.files+t.packs.files+len(t.hollow) == 0 {
		return fmt.Sprintf("nothing to delete among %s that match%s", count(t.matching.files), t.skips())
	}
	done := t.deeds(t.deleted, t.packed, t.emptied)
	if t.saved > 0 {
		done += ", saving " + room(t.saved)
	}
	for present, past := range map[string]string{"delete ": "deleted ", "compress ": "compressed ", "remove ": "removed "} {
		done = strings.Replace(done, present, past, 1)
	}
	return done + t.skips()
}

// deeds are what is done to files and folders: "delete 12 files, 3.4 MiB,
// compress 2 files, 1.0 MiB, remove 1 empty folder".
func (t *tree) deeds(drops, packs tally, folders int) string {
	var list []string
	if drops.files > 0 || t.drops.files > 0 || t.packs.files+len(t.hollow) == 0 {
		list = append(list, "delete "+amount(drops.files, drops.bytes))
	}
	if t.packs.files > 0 {
		list = append(list, "compress "+amount(packs.files, packs.bytes))
	}
	switch {
	case folders == 1:
		list = append(list, "remove 1 empty folder")
	case len(t.hollow) > 0:
		list = append(list, "remove "+humanize.Comma(int64(folders))+" empty folders")
	}
	return strings.Join(list, ", ")
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
