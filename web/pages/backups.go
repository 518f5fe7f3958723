package pages

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

const (
	// backupsPage is how many artifacts stand on a page.
	backupsPage = 50
	// sizeTrend is how many artifacts of a job the trend of their sizes shows,
	// mostSeries how many jobs are looked at one by one.
	sizeTrend  = 30
	mostSeries = 50
)

// backupsView is the page of all artifacts.
type backupsView struct {
	Tone               tone
	Glyph              string
	Headline, Sentence string
	Stores             []storeRow
	Series             []seriesRow
	Tabs               []tab
	Rows               []backupRow
	Total              string
	Pager              pagerView
	Empty              emptyView
	// Only says which artifacts are listed when they are not all; All leads to
	// all.
	Only, All string
}

// storeRow is what is known of a store.
type storeRow struct {
	Name, Kind, Holds, Error string
	State                    badge
	AsOf                     *time.Time
	Damaged                  []string
}

// seriesRow are the artifacts of one job in one store.
type seriesRow struct {
	Job, Workflow, Href, Store string
	Newest                     *backupRow
	State                      badge
	// Restorable says what was last proven to be restorable.
	Restorable, Holds, Retention string
	// Say is why there is nothing.
	Say   string
	Held  bool
	Trend sparkView
}

// backupRow is one artifact.
type backupRow struct {
	ID, Href, Job, JobHref, Kind, Store string
	Created                             time.Time
	Size, Change                        string
	ChangeTone                          tone
	Proof                               badge
	// Say is what the proof means, or what is wrong.
	Say                  string
	Fate                 badge
	Reasons              string
	Encrypted            bool
	Damage, Suspect, Run string
	bytes                int64
}

func (p *Pages) registerBackups() {
	p.page("GET /backups", p.backups)
	p.page("GET /backups/{id}", p.backup)
}

func (p *Pages) backups(v *visit) (page, error) {
	show := v.query("show")
	f := client.ArtifactFilter{Workflow: v.query("workflow"), Job: v.query("job"), Store: v.query("store"), Before: v.query("before"), Limit: backupsPage}
	switch show {
	case "wrong":
		f.Wrong = true
	case "leaving":
		f.Retention = "remove"
	}
	list, err := v.api.Artifacts(v.ctx, f)
	if err != nil {
		return page{}, err
	}
	view := backupsView{
		Total: count(list.Total, "artifact") + ", " + bytesText(list.Bytes), Empty: noBackups(list, f, show),
		Tabs: []tab{
			{Text: "all", Href: v.with("show", "", "before", ""), Current: show == ""},
			{Text: "damaged, suspect or unproven", Href: v.with("show", "wrong", "before", ""), Current: f.Wrong},
			{Text: "leaving soon", Href: v.with("show", "leaving", "before", ""), Current: f.Retention != ""},
		},
	}
	for _, b := range list.Artifacts {
		view.Rows = append(view.Rows, newBackupRow(b))
	}
	if f.Before != "" {
		view.Pager.First = v.with("before", "")
	}
	if list.Next != "" {
		view.Pager.Next = v.with("before", list.Next)
	}
	if f.Workflow+f.Job+f.Store != "" {
		view.Only, view.All = onlyWords(f), v.with("workflow", "", "job", "", "store", "", "before", "")
	}
	for _, s := range list.Stores {
		view.Stores = append(view.Stores, newStoreRow(s))
	}
	if view.Series, err = series(v, list); err != nil {
		return page{}, err
	}
	view.Tone, view.Glyph, view.Headline, view.Sentence = backupsSentence(view.Series, view.Stores)
	return page{sheet: "backups", title: "Backups", nav: "backups", refresh: time.Minute, data: view}, nil
}

func onlyWords(f client.ArtifactFilter) string {
	text := "of " + f.Workflow
	if f.Job != "" {
		text += "." + f.Job
	}
	if f.Workflow == "" {
		text = "of all jobs"
	}
	if f.Store != "" {
		text += " in " + f.Store
	}
	return text
}

// noBackups says why a list is empty.
func noBackups(list api.Backups, f client.ArtifactFilter, show string) emptyView {
	switch {
	case show == "wrong":
		return emptyView{Title: "Nothing is wrong with any artifact", Text: "What is damaged, looks odd, or was never proven would stand here."}
	case show == "leaving":
		return emptyView{Title: "Nothing leaves at the next run", Text: "What retention lets go would stand here, before it goes."}
	case len(list.Stores) == 0:
		return emptyView{Title: "No store is configured", Text: "A store is a folder or a bucket; jobs such as pgbackup and archive put their artifacts there, and prove them.", Command: "upkeep kinds --of stores local"}
	case f.Workflow != "":
		return emptyView{Title: "There are no such artifacts", Text: "The stores hold none " + onlyWords(f) + "."}
	}
	return emptyView{Title: "The stores are empty", Text: "Artifacts appear when a job with a store has run and read back what it wrote.", Command: "upkeep list"}
}

// series looks at the newest artifacts of every job in every store.
func series(v *visit, list api.Backups) ([]seriesRow, error) {
	var rows []seriesRow
	for _, r := range list.Retentions[:min(len(list.Retentions), mostSeries)] {
		some, err := v.api.Artifacts(v.ctx, client.ArtifactFilter{Workflow: r.Workflow, Job: r.Job, Store: r.Store, Limit: sizeTrend})
		if err != nil {
			return nil, err
		}
		rows = append(rows, newSeriesRow(r, some))
	}
	empty, err := withoutBackups(v, list.Retentions)
	return append(empty, rows...), err
}

// withoutBackups are the configured jobs that would make artifacts and have
// made none that is still there.
func withoutBackups(v *visit, known []api.RetentionState) ([]seriesRow, error) {
	configured, err := v.workflows()
	if err != nil {
		return nil, err
	}
	var rows []seriesRow
	for _, w := range configured[:min(len(configured), mostSeries)] {
		detail, err := v.api.WorkflowDetail(v.ctx, w.Name, 0)
		if err != nil {
			return nil, err
		}
		for _, job := range detail.Makes {
			if slices.ContainsFunc(known, func(r api.RetentionState) bool { return r.Workflow == w.Name && r.Job == job }) {
				continue
			}
			rows = append(rows, seriesRow{
				Job: w.Name + "." + job, Workflow: w.Name, Href: workflowPath(w.Name), Store: "no store",
				State: badge{Tone: toneBad, Glyph: "✗", Word: "no backup"}, Say: nothingMade(w),
			})
		}
	}
	return rows, nil
}

// nothingMade says why a workflow may have made nothing yet.
func nothingMade(w api.Workflow) string {
	switch {
	case w.Last == nil:
		return "its workflow has never run"
	case w.LastSuccess == nil:
		return "its workflow has never succeeded"
	}
	return "no store holds anything of it"
}

func newSeriesRow(r api.RetentionState, some api.Backups) seriesRow {
	row := seriesRow{
		Job: r.Workflow + "." + r.Job, Workflow: r.Workflow, Store: r.Store, Retention: retentionWords(r), Held: r.Held != "" || r.Error != "",
		Href: "/backups?" + url.Values{"workflow": {r.Workflow}, "job": {r.Job}, "store": {r.Store}}.Encode(),
	}
	row.State = badge{Tone: toneBad, Glyph: "✗", Word: "no backup"}
	if len(some.Artifacts) == 0 {
		return row
	}
	newest := newBackupRow(some.Artifacts[0])
	row.Newest, row.State = &newest, newest.Proof
	row.Holds = count(some.Total, "artifact") + ", " + bytesText(some.Bytes)
	var sizes []*float64
	for _, b := range slices.Backward(some.Artifacts) {
		size := float64(b.Bytes)
		sizes = append(sizes, &size)
		if b.RestorableAsOf != nil && b.Damage == "" {
			row.Restorable = restorableWords(b)
		}
	}
	label := "size: " + newest.Size
	if len(sizes) > 1 {
		label = fmt.Sprintf("size over the last %d: from %s to %s", len(sizes), bytesText(int64(*sizes[0])), newest.Size)
	}
	row.Trend = sparkOf(label, sizes)
	return row
}

// restorableWords says what a drill restored, and how long that took.
func restorableWords(b api.Backup) string {
	text := fmt.Sprintf("restored in %s for %s", tookSeconds(b.RestoreSeconds), bytesText(b.RestoredBytes))
	if b.RestoredRows > 0 {
		text += ", " + number("", float64(b.RestoredRows)) + " rows"
	}
	if b.RestoredOn != "" {
		text += ", on " + b.RestoredOn
	}
	return text
}

// retentionWords says what the retention of a job does at its next run.
func retentionWords(r api.RetentionState) string {
	switch {
	case r.Error != "":
		return "not known: " + r.Error
	case !r.Active:
		return "no rule: all " + number("", float64(r.Keep)) + " stay"
	}
	text := fmt.Sprintf("%d stay", r.Keep)
	if r.Remove > 0 {
		text += fmt.Sprintf(", %d go (%s)", r.Remove, bytesText(r.Bytes))
	} else {
		text += ", none goes"
	}
	if r.Held != "" {
		text += "; held back: " + r.Held
	}
	return text
}

// backupsSentence says whether every job has a backup that counts.
func backupsSentence(series []seriesRow, stores []storeRow) (t tone, glyph, headline, sentence string) {
	var bad, odd, silent []string
	for _, s := range series {
		switch s.State.Tone {
		case toneBad:
			if bad = append(bad, s.Job+" in "+s.Store); s.Newest == nil {
				bad[len(bad)-1] = s.Job
			}
		case toneWarn:
			odd = append(odd, s.Job+" in "+s.Store)
		case toneGood, toneBusy, toneIdle:
		}
	}
	for _, s := range stores {
		if s.Error != "" || len(s.Damaged) > 0 {
			silent = append(silent, s.Name)
		}
	}
	var parts []string
	if len(bad) > 0 {
		parts = append(parts, "Without a backup that counts: "+words(bad)+".")
	}
	if len(odd) > 0 {
		parts = append(parts, "To look at: "+words(odd)+".")
	}
	if len(silent) > 0 {
		parts = append(parts, "Could not be read whole: "+words(silent)+".")
	}
	sentence = strings.Join(parts, " ")
	switch {
	case len(bad) > 0:
		return toneBad, "✗", fmt.Sprintf("%d of %s without a good backup", len(bad), count(len(series), "job")), sentence
	case len(odd)+len(silent) > 0:
		return toneWarn, "!", "Backups want a look", sentence
	case len(series) == 0:
		return toneIdle, "?", "Nothing is backed up", "No artifact of a configured job is known."
	}
	return toneGood, "✓", "Every newest backup is proven", "It was read back after it was written, in every store."
}

func newStoreRow(s api.StoreState) storeRow {
	row := storeRow{Name: s.Name, Kind: s.Kind, Holds: count(s.Artifacts, "artifact") + ", " + bytesText(s.Bytes), Error: s.Error, AsOf: s.AsOf, Damaged: s.Damaged}
	row.State = badge{Tone: toneGood, Glyph: "✓", Word: "read"}
	switch {
	case s.Error != "":
		row.State = badge{Tone: toneBad, Glyph: "✗", Word: "not read"}
	case len(s.Damaged) > 0:
		row.State = badge{Tone: toneBad, Glyph: "✗", Word: "damaged manifests"}
	case s.Reading:
		row.State = badge{Tone: toneBusy, Glyph: "▶", Word: "being read"}
	case s.AsOf == nil:
		row.State = badge{Tone: toneIdle, Glyph: "…", Word: "not read yet"}
	}
	return row
}

func newBackupRow(b api.Backup) backupRow {
	row := backupRow{
		ID: b.ID, Href: backupPath(b.ID), Job: b.Workflow + "." + b.Job, JobHref: workflowPath(b.Workflow), Kind: b.Kind, Store: b.Store,
		Created: b.Created, Size: bytesText(b.Bytes), Reasons: strings.Join(b.Reasons, ", "), Encrypted: b.Encrypted,
		Damage: b.Damage, Suspect: b.Suspect, Run: b.Run, bytes: b.Bytes,
	}
	row.Proof, row.Say = proofOf(b)
	row.Fate = fateOf(b.Retention)
	if b.Ratio != nil {
		row.Change, row.ChangeTone = changeWords(*b.Ratio)
	}
	return row
}

// proofOf says how far an artifact was proven, and what that means.
func proofOf(b api.Backup) (badge, string) {
	switch {
	case b.Damage != "":
		return badge{Tone: toneBad, Glyph: "✗", Word: "damaged"}, b.Damage
	case b.Suspect != "":
		return badge{Tone: toneWarn, Glyph: "!", Word: levelWord(b.Level) + ", suspect"}, b.Suspect
	case b.Level.Rank() < object.L1.Rank():
		return badge{Tone: toneWarn, Glyph: "?", Word: levelWord(b.Level)}, levelMeaning(b.Level)
	case b.RestorableAsOf != nil:
		return badge{Tone: toneGood, Glyph: "✓", Word: levelWord(b.Level)}, restorableWords(b)
	}
	return badge{Tone: toneGood, Glyph: "✓", Word: levelWord(b.Level)}, levelMeaning(b.Level)
}
