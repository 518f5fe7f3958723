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
	at        time.Time // its middle
	count     int64
	sum       float64
	low, high float64
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
			p.low, p.high = s.Low, s.High
		}
		p.low, p.high = min(p.low, s.Low), max(p.high, s.High)
		p.sum += s.Mean * float64(s.Count)
		p.count += s.Count
	}
	return parts
}

// chartOf draws the samples of a value with what it is judged against; false
// without any.
func chartOf(name string, limit api.Limit, list []api.Stretch, from, until time.Time, zone *time.Location) (chartView, bool) {
	c := chartView{ID: "value-" + anchor(name), Title: chartTitle(name, limit), XName: "when", Series: []string{"mean", "lowest", "highest"}}
	c.Data = chartData{Unit: chartUnit(name), Zone: zone.String(), Height: 190}
	mean, peak := chartLine{Label: "mean", Tone: "accent"}, chartLine{Label: "highest", Tone: "idle"}
	peakOf := func(p part) float64 { return p.high }
	if limit.Below {
		peak.Label, peakOf = "lowest", func(p part) float64 { return p.low }
	}
	warn, crit := chartLine{Label: "warns", Tone: "warn", Dash: true}, chartLine{Label: "critical", Tone: "bad", Dash: true}
	folded := false
	parts := parted(list, from, until, chartPoints)
	for i, p := range parts {
		if p.count == 0 && i > 0 && i < len(parts)-1 {
			continue // the limits need a beginning and an end, and no more
		}
		c.Data.X = append(c.Data.X, math.Round(unix(p.at)))
		warn.Y, crit.Y = append(warn.Y, limit.Warn), append(crit.Y, limit.Crit)
		if p.count == 0 {
			mean.Y, peak.Y = append(mean.Y, nil), append(peak.Y, nil)
			continue
		}
		c.Points++
		mean.Y, peak.Y = append(mean.Y, rounded(p.mean())), append(peak.Y, rounded(peakOf(p)))
		folded = folded || p.count > 1
	}
	c.Data.Series = []chartLine{mean}
	if folded && name != "up" {
		c.Data.Series = append(c.Data.Series, peak)
	}
	if limit.Warn != nil {
		c.Data.Series = append(c.Data.Series, warn)
	}
	if limit.Crit != nil {
		c.Data.Series = append(c.Data.Series, crit)
	}
	for _, p := range parted(list, from, until, chartRows) {
		if p.count > 0 {
			c.Rows = append(c.Rows, chartRow{X: p.at.In(zone).Format("Mon 2 Jan 15:04"), Y: []string{valueText(name, p.mean()), valueText(name, p.low), valueText(name, p.high)}})
		}
	}
	return c, c.Points > 0
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
