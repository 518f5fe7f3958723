package pages

import (
	"slices"
	"time"

	"github.com/ghosteam/upkeep/storage/object"
	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// backupView is the page of one artifact.
type backupView struct {
	backupRow

	About        factsView
	Ladder       []rung
	Restore      []api.RestoreCommand
	Prove        []string
	Streams      []streamRow
	Copies       []backupRow
	Older, Newer string
	Charts       []chartView
	Store        storeRow
}

// rung is a level of proof; Reached tells that it was reached.
type rung struct {
	Level   object.Level
	Meaning string
	Reached bool
	Tone    tone
	At      *time.Time
}

type streamRow struct {
	Name, Size, Plain, Compression, SHA256, Parts string
	Encrypted                                     bool
}

func (p *Pages) backup(v *visit) (page, error) {
	d, err := v.api.Artifact(v.ctx, v.PathValue("id"))
	if err != nil {
		return page{}, err
	}
	zone := v.zone(d.Workflow)
	view := newBackupView(d)
	view.About.Zone = zone
	some, err := v.api.Artifacts(v.ctx, client.ArtifactFilter{Workflow: d.Workflow, Job: d.Job, Store: d.Backup.Store, Limit: chartPoints})
	if err != nil {
		return page{}, err
	}
	if chart, ok := sizeChart(some.Artifacts, zone); ok {
		view.Charts = append(view.Charts, chart)
	}
	return page{sheet: "backup", title: safe(d.Workflow+"."+d.Job) + ", " + d.Created.In(zone).Format("2 Jan 15:04"), nav: "backups", zone: zone, data: view}, nil
}

func newBackupView(d api.BackupDetail) backupView {
	view := backupView{backupRow: newBackupRow(d.Backup), Restore: d.Restore, Store: newStoreRow(d.State)}
	view.Ladder = ladder(d.Backup)
	view.Prove = []string{
		shellCommand("backup", "verify", d.ID), shellCommand("backup", "drill", d.ID),
	}
	for _, s := range d.Streams {
		view.Streams = append(view.Streams, streamRow{
			Name: s.Name, Size: bytesText(s.Bytes), Plain: bytesText(s.PlainBytes), Compression: s.Compression, SHA256: s.SHA256,
			Parts: count(s.Parts, "part"), Encrypted: s.Encrypted,
		})
	}
	for _, c := range d.Copies {
		view.Copies = append(view.Copies, newBackupRow(c))
	}
	if d.Older != "" {
		view.Older = backupPath(d.Older)
	}
	if d.Newer != "" {
		view.Newer = backupPath(d.Newer)
	}
	view.About.Facts = backupFacts(d)
	return view
}

// ladder are the levels of proof with those that were reached. What is damaged
// reached none.
func ladder(b api.Backup) []rung {
	var list []rung
	for _, l := range []object.Level{object.L4, object.L3, object.L2, object.L1, object.L0} {
		r := rung{Level: l, Meaning: levelMeaning(l), Reached: b.Damage == "" && b.Level.Rank() >= l.Rank()}
		if r.Reached {
			r.Tone = toneGood
		}
		if r.Reached && b.Level == l && !b.ProvenAt.IsZero() {
			r.At = &b.ProvenAt
		}
		list = append(list, r)
	}
	return list
}

func backupFacts(d api.BackupDetail) []fact {
	facts := []fact{
		{Name: "Made", At: &d.Created},
		{Name: "By", Links: []link{{workflowPath(d.Workflow), d.Workflow + "." + d.Job}}},
		{Name: "Kind", Text: d.Kind},
		{Name: "Store", Text: d.Backup.Store},
		{Name: "Size", Text: bytesText(d.Bytes) + " in the store, " + bytesText(d.PlainBytes) + " before compression"},
	}
	if d.Run != "" {
		facts = append(facts, fact{Name: "Run", Links: []link{{runPath(d.Run), short(d.Run)}}})
	}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{Name: name, Text: text})
		}
	}
	add("Node", d.Node)
	if d.Ratio != nil {
		text, _ := changeWords(*d.Ratio)
		add("Than the one before", text)
	}
	if !d.ProvenAt.IsZero() {
		facts = append(facts, fact{Name: "Proven", At: &d.ProvenAt})
	}
	if d.Seconds > 0 {
		add("The proof took", tookSeconds(d.Seconds))
	}
	if d.RestorableAsOf != nil {
		facts = append(facts, fact{Name: "Restorable as of", At: d.RestorableAsOf})
		add("A drill", restorableWords(d.Backup))
	}
	if d.Encrypted {
		add("Encrypted", "yes: restoring needs the file of an identity")
	}
	fate := fateOf(d.Retention)
	text := fate.Word
	if len(d.Reasons) > 0 {
		text += ": " + words(d.Reasons)
	}
	add("At the next run it", text)
	return append(facts, fact{Name: "ID", Text: d.ID})
}

// sizeChart draws the sizes of artifacts of one job in one store, which are
// newest first.
func sizeChart(list []api.Backup, zone *time.Location) (chartView, bool) {
	if len(list) < 2 {
		return chartView{}, false
	}
	c := chartView{ID: "sizes", Title: "Size in the store", XName: "made", Series: []string{"size", "before compression"}, Points: len(list)}
	stored, plain := chartLine{Label: "in the store", Tone: "accent"}, chartLine{Label: "before compression", Tone: "idle"}
	for _, b := range slices.Backward(list) {
		size, whole := float64(b.Bytes), float64(b.PlainBytes)
		c.Plot.X = append(c.Plot.X, unix(b.Created))
		c.Plot.Href = append(c.Plot.Href, backupPath(b.ID))
		stored.Y, plain.Y = append(stored.Y, &size), append(plain.Y, &whole)
		c.Rows = append(c.Rows, chartRow{X: b.Created.In(zone).Format("Mon 2 Jan 2006 15:04"), Y: []string{bytesText(b.Bytes), bytesText(b.PlainBytes)}})
	}
	c.Plot.Series = []chartLine{stored, plain}
	c.Plot.Unit, c.Plot.Zone, c.Plot.Height = "bytes", zone.String(), 190
	return c, true
}
