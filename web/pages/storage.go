package pages

import (
	"context"
	"fmt"
	"time"

	"github.com/ghosteam/upkeep/web/api"
	"github.com/ghosteam/upkeep/web/client"
)

// storageView is the room that there is.
type storageView struct {
	Path string
	Disk *meterView
	// Trend is how full the disk was in the last days.
	Trend sparkView
	// Stores are where artifacts are.
	Stores []api.StoreState
}

// storageDays is how far back the trend goes.
const storageDays = 7 * 24 * time.Hour

// storage looks at the disk of the ledger, and at what the first check of the
// machine measured.
func (v *visit) storage(status api.Status) (storageView, error) {
	view := storageView{Path: status.Disk.Path}
	if total := status.Disk.TotalBytes; total > 0 {
		used := int(100 * float64(total-status.Disk.FreeBytes) / float64(total))
		m := &meterView{Tone: toneGood, Percent: used, Text: fmt.Sprintf("%s of %s free", bytesText(status.Disk.FreeBytes), bytesText(total))}
		switch {
		case used >= 95 || status.Disk.BallastReleased:
			m.Tone = toneBad
		case used >= 85:
			m.Tone = toneWarn
		}
		view.Disk = m
	}
	view.Stores = v.stores()
	checks, err := v.api.Checks(v.ctx, false)
	if err != nil {
		return view, err
	}
	for _, c := range checks.Checks {
		if c.Kind != "system" {
			continue
		}
		view.Trend, err = v.diskTrend(c.Name)
		return view, err
	}
	return view, nil
}

// storesWithin is how long the overview waits for stores that were never read.
const storesWithin = 400 * time.Millisecond

// stores is what is known of the stores at once; a store that does not answer
// is no reason to show nothing else.
func (v *visit) stores() []api.StoreState {
	ctx, cancel := context.WithTimeout(v.ctx, storesWithin)
	defer cancel()
	list, err := v.api.Artifacts(ctx, client.ArtifactFilter{Limit: 1})
	if err != nil {
		return nil
	}
	return list.Stores
}

// diskTrend draws how full the disk was at the end of each half day, of what a
// check measured; where it measured nothing is a gap.
func (v *visit) diskTrend(check string) (sparkView, error) {
	const step = 12 * time.Hour
	var values []*float64
	var first, newest api.Stretch
	for at := v.now.Add(-storageDays); at.Before(v.now); at = at.Add(step) {
		last, err := v.api.Samples(v.ctx, "check."+check+".disk_percent", at, at.Add(step), 1)
		if err != nil {
			return sparkView{}, err
		}
		if len(last.Samples) == 0 {
			values = append(values, nil)
			continue
		}
		newest = last.Samples[0]
		if first.Count == 0 {
			first = newest
		}
		values = append(values, new(newest.Mean))
	}
	return sparkOf(fmt.Sprintf("the disk was %.0f %% full %s before, now %.0f %%", first.Mean, roughly(newest.At.Sub(first.At)), newest.Mean), values), nil
}
