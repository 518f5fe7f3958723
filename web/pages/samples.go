package pages

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/web/api"
)

const (
	// chartPoints and chartRows are how many parts the time of a chart, and of
	// the table below it, is cut into.
	chartPoints = 240
	chartRows   = 24
	// samplesPage is the most samples that one request answers, mostPages how
	// many requests one chart is worth.
	samplesPage = 10_000
	mostPages   = 6
)

// samplesOf reads a series between two instants; whole is false when there are
// more samples than a chart is worth: then the earliest are left out.
func samplesOf(v *visit, series string, from, until time.Time) (list []api.Stretch, whole bool, err error) {
	for range mostPages {
		page, err := v.api.Samples(v.ctx, series, from, until, samplesPage)
		if err != nil {
			return nil, false, err
		}
		list = append(page.Samples, list...)
		if len(page.Samples) < samplesPage {
			return list, true, nil
		}
		until = page.Samples[0].At
	}
	return list, false, nil
}

// part is what was measured in a part of a stretch of time.
type part struct {
	at time.Time // its middle
	// first and last are the beginning of its first sample and the end of its
	// last.
	first, last time.Time
	count       int64
	sum         float64
	low, high   float64
}

func (p part) mean() float64 { return p.sum / float64(p.count) }

// parted folds samples into equal parts of [from, until).
func parted(list []api.Stretch, from, until time.Time, n int) []part {
	length := until.Sub(from) / time.Duration(n)
	if length <= 0 {
		return nil
	}
	parts := make([]part, n)
	for i := range parts {
		parts[i].at = from.Add(time.Duration(i)*length + length/2)
	}
	for _, s := range list {
		middle := s.At.Add(time.Duration(s.LengthSeconds * float64(time.Second) / 2))
		i := int(middle.Sub(from) / length)
		if i < 0 || i >= n || s.Count <= 0 || math.IsNaN(s.Mean) {
			continue
		}
		p := &parts[i]
		if p.count == 0 {
			p.first, p.low, p.high = s.At, s.Low, s.High
		}
		p.last = s.At.Add(time.Duration(s.LengthSeconds * float64(time.Second)))
		p.low, p.high = min(p.low, s.Low), max(p.high, s.High)
		p.sum += s.Mean * float64(s.Count)
		p.count += s.Count
	}
	return parts
}

// unwatched is how long nothing may have been measured, between two samples of
// what is asked this often, before that is a gap: by then the answer before is
// stale. What one part of the chart holds is no gap.
func unwatched(every, part time.Duration) time.Duration { return max(2*every, part) }

// chartOf draws the samples of a value, of a check that is asked this often, with
// what it is judged against; false without any.
func chartOf(name string, limit api.Limit, every time.Duration, list []api.Stretch, from, until time.Time, zone *time.Location) (chartView, bool) {
	c := chartView{ID: "value-" + anchor(name), Title: chartTitle(name, limit), XName: "when", Series: []string{"mean", "lowest", "highest"}}
	c.Plot = plot{Unit: chartUnit(name), Zone: zone.String(), Height: 190}
	mean, peak := chartLine{Label: "mean", Tone: "accent"}, chartLine{Label: "highest", Tone: "idle"}
	peakOf := func(p part) float64 { return p.high }
	if limit.Below {
		peak.Label, peakOf = "lowest", func(p part) float64 { return p.low }
	}
	warn, crit := chartLine{Label: "warns", Tone: "warn", Dash: true}, chartLine{Label: "critical", Tone: "bad", Dash: true}
	folded := false
	point := func(at time.Time, middle, far *float64) {
		c.Plot.X = append(c.Plot.X, math.Round(unix(at)))
		mean.Y, peak.Y, warn.Y, crit.Y = append(mean.Y, middle), append(peak.Y, far), append(warn.Y, limit.Warn), append(crit.Y, limit.Crit)
	}
	parts := parted(list, from, until, chartPoints)
	longest := unwatched(every, until.Sub(from)/chartPoints)
	var before time.Time
	for i, p := range parts {
		switch {
		case p.count > 0 && !before.IsZero() && p.first.Sub(before) > longest:
			point(before.Add(p.first.Sub(before)/2), nil, nil)
			fallthrough
		case p.count > 0:
			point(p.at, rounded(p.mean()), rounded(peakOf(p)))
			c.Points, folded, before = c.Points+1, folded || p.count > 1, p.last
		case i == 0 || i == len(parts)-1: // the limits go from the beginning to the end
			point(p.at, nil, nil)
		}
	}
	if folded && name != "up" {
		c.Plot.Series = append(c.Plot.Series, peak) // first, for the others are drawn over it
	}
	c.Plot.Series = append(c.Plot.Series, mean)
	if limit.Warn != nil {
		c.Plot.Series = append(c.Plot.Series, warn)
	}
	if limit.Crit != nil {
		c.Plot.Series = append(c.Plot.Series, crit)
	}
	c.Rows = tableOf(name, every, list, from, until, zone)
	return c, c.Points > 0
}

// tableOf says the same as the chart in rows; where nothing was measured for
// longer than it should be, a row says so.
func tableOf(name string, every time.Duration, list []api.Stretch, from, until time.Time, zone *time.Location) []chartRow {
	var rows []chartRow
	noted := until.Sub(from)/chartRows > unwatched(every, 0)
	for _, p := range parted(list, from, until, chartRows) {
		row := chartRow{X: p.at.In(zone).Format("Mon 2 Jan 15:04"), Y: []string{"–", "–", "–"}}
		if p.count > 0 {
			row.Y = []string{valueText(name, p.mean()), valueText(name, p.low), valueText(name, p.high)}
		}
		if p.count > 0 || noted && len(rows) > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// rounded is a value with the digits that a chart can show.
func rounded(v float64) *float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 4, 64), 64)
	if err != nil || math.IsInf(short, 0) {
		return nil
	}
	return &short
}

// chartUnit is the word by which charts know a unit.
func chartUnit(name string) string {
	if name == "up" {
		return "share"
	}
	switch unit := unitOf(name); unit {
	case "seconds", "bytes", "percent":
		return unit
	}
	return ""
}

// anchor makes an identifier of a page from a name.
func anchor(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, name)
}
