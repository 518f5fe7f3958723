package reports

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// Chart is a line over time, with marks of what happened.
type Chart struct {
	Title string
	// Unit is that of the values.
	Unit Unit
	// Bytes tells that the values are bytes, Count that they are plain numbers.
	Bytes, Count bool
	From, Until  time.Time
	Points       []ChartPoint
	Marks        []Mark
	// Limit is a value that is drawn as a line; nil for none.
	Limit *float64
}

// ChartPoint is a value at an instant.
type ChartPoint struct {
	At    time.Time
	Value float64
}

// Mark is something that happened, or lasted.
type Mark struct {
	At, Until time.Time
	Text      string
	Mood      Mood
}

// mostPoints bounds the points of a line: more than it has pixels say nothing.
const mostPoints = 300

// pointsOf makes points of samples, the mean of each part of the time.
func pointsOf(list []runner.Stretch, w window) []ChartPoint {
	if len(list) <= mostPoints {
		var points []ChartPoint
		for _, s := range list {
			points = append(points, ChartPoint{s.At.Add(s.Length / 2), s.Mean()})
		}
		return points
	}
	var points []ChartPoint
	at := 0
	for _, part := range w.parts(mostPoints) {
		n, total := int64(0), 0.0
		for ; at < len(list) && list[at].At.Before(part.until); at++ {
			n, total = n+list[at].Count, total+list[at].Sum
		}
		if n > 0 {
			points = append(points, ChartPoint{part.from.Add(part.length() / 2), total / float64(n)})
		}
	}
	return points
}

// format writes a value of the chart.
func (c Chart) format(v float64) string {
	switch {
	case c.Bytes:
		return bytes(v)
	case c.Count:
		return number(v)
	}
	return c.Unit.Format(v)
}

// bytes writes a number of bytes: 12.4 MiB.
func bytes(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; math.Abs(v) >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", v, units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

// span is the lowest and the highest value that is drawn.
func (c Chart) span() (low, high float64, ok bool) {
	for i, p := range c.Points {
		if i == 0 {
			low, high = p.Value, p.Value
		}
		low, high = min(low, p.Value), max(high, p.Value)
	}
	return low, high, len(c.Points) > 0
}

// caption says the ends of the line and its bounds.
func (c Chart) caption() string {
	low, high, ok := c.span()
	if !ok {
		return "nothing is on record"
	}
	return fmt.Sprintf("%s to %s, last %s", c.format(low), c.format(high), c.format(c.Points[len(c.Points)-1].Value))
}

// sparkParts is how many characters a line becomes.
const sparkParts = 24

// spark draws the line with characters: one for each of a few points, else for
// each part of the time; a blank is where nothing is on record.
func (c Chart) spark() string {
	low, high, ok := c.span()
	if !ok {
		return " "
	}
	glyphs := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	put := func(v float64) {
		at := len(glyphs) / 2
		if high-low > 1e-9*math.Abs(high) {
			at = min(len(glyphs)-1, max(0, int((v-low)/(high-low)*float64(len(glyphs)-1)+0.5)))
		}
		b.WriteRune(glyphs[at])
	}
	if len(c.Points) <= sparkParts {
		for _, p := range c.Points {
			put(p.Value)
		}
		return b.String()
	}
	at := 0
	for _, part := range (window{c.From, c.Until}).parts(sparkParts) {
		var inner []float64
		for ; at < len(c.Points) && c.Points[at].At.Before(part.until); at++ {
			inner = append(inner, c.Points[at].Value)
		}
		if len(inner) == 0 {
			b.WriteByte(' ')
			continue
		}
		put(mean(inner))
	}
	return b.String()
}

// The size of a chart in pixels, and the room for its axes.
const (
	chartWidth, chartHeight     = 720, 180
	leftRoom, rightRoom         = 78, 12
	topRoom, bottomRoom         = 10, 24
	plotWidth, plotHeight       = chartWidth - leftRoom - rightRoom, chartHeight - topRoom - bottomRoom
	dateLayout, clockLayout     = "01-02", "15:04"
	shortChart                  = 3 * 24 * time.Hour
	gapFactor, ticksX, leastGap = 6, 6, 2 * time.Minute
)

// drawing is a chart in coordinates, for the template.
type drawing struct {
	Title, Caption string
	Width, Height  int
	Lines          []string
	Dots           []dot
	Bands          []band
	LimitY         string
	Limit          string
	XTicks, YTicks []tick
	Left, Right    int
	Top, Bottom    int
}

type dot struct{ X, Y string }

type band struct {
	X, Width string
	Text     string
	Mood     Mood
}

type tick struct{ At, Text string }

// draw computes the coordinates.
func (c Chart) draw() drawing {
	d := drawing{
		Title: clean(c.Title, false), Caption: c.caption(), Width: chartWidth, Height: chartHeight,
		Left: leftRoom, Right: chartWidth - rightRoom, Top: topRoom, Bottom: chartHeight - bottomRoom,
	}
	low, high, ok := c.span()
	if !ok {
		return d
	}
	if c.Limit != nil {
		low, high = min(low, *c.Limit), max(high, *c.Limit)
	}
	if low > 0 && low < high/2 || low == high && low > 0 {
		low = 0
	}
	if low == high {
		high = low + 1
	}
	x := func(t time.Time) float64 {
		return leftRoom + plotWidth*min(1, max(0, float64(t.Sub(c.From))/float64(max(1, c.Until.Sub(c.From)))))
	}
	y := func(v float64) float64 { return topRoom + plotHeight*(1-(v-low)/(high-low)) }
	d.lines(c, x, y)
	if c.Limit != nil {
		d.Limit, d.LimitY = c.format(*c.Limit), pixel(y(*c.Limit))
	}
	for _, m := range c.Marks {
		until := m.Until
		if until.Before(m.At) {
			until = m.At
		}
		d.Bands = append(d.Bands, band{pixel(x(m.At)), pixel(max(1.5, x(until)-x(m.At))), clean(m.Text, false), m.Mood})
	}
	for i := range 3 {
		v := low + (high-low)*float64(i)/2
		d.YTicks = append(d.YTicks, tick{pixel(y(v)), c.format(v)})
	}
	layout := dateLayout
	if c.Until.Sub(c.From) <= shortChart {
		layout = clockLayout
	}
	for i := range ticksX + 1 {
		t := c.From.Add(c.Until.Sub(c.From) * time.Duration(i) / ticksX)
		d.XTicks = append(d.XTicks, tick{pixel(x(t)), t.UTC().Format(layout)})
	}
	return d
}

// lines joins the points, but not over gaps in which nothing is on record.
func (d *drawing) lines(c Chart, x func(time.Time) float64, y func(float64) float64) {
	usual := leastGap
	if n := len(c.Points); n > 1 {
		usual = max(usual, gapFactor*c.Points[n-1].At.Sub(c.Points[0].At)/time.Duration(n-1))
	}
	var line []string
	end := func() {
		switch len(line) {
		case 0:
		case 1:
			at := strings.Split(line[0], ",")
			d.Dots = append(d.Dots, dot{at[0], at[1]})
		default:
			d.Lines = append(d.Lines, strings.Join(line, " "))
		}
		line = nil
	}
	for i, p := range c.Points {
		if i > 0 && p.At.Sub(c.Points[i-1].At) > usual {
			end()
		}
		line = append(line, pixel(x(p.At))+","+pixel(y(p.Value)))
	}
	end()
}

func pixel(v float64) string { return fmt.Sprintf("%.1f", v) }
