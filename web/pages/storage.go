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
		samples, err := v.api.Samples(v.ctx, "check."+c.Name+".disk_percent", v.now.Add(-storageDays), v.now, 500)
		if err != nil {
			return view, err
		}
		view.Trend = diskTrend(samples.Samples)
		break
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

// diskTrend draws stretches.
func diskTrend(list []api.Stretch) sparkView {
	if len(list) < 2 {
		return sparkView{}
	}
	values := make([]*float64, len(list))
	for i := range list {
		values[i] = &list[i].Mean
	}
	first, last := list[0], list[len(list)-1]
	return sparkOf(fmt.Sprintf("the disk was %.0f %% full %s before, now %.0f %%", first.Mean, roughly(last.At.Sub(first.At)), last.Mean), values)
}
