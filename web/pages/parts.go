package pages

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// What templates/parts.html shows.

// emptyView says why there is nothing to show, and with which command there
// would be.
type emptyView struct{ Title, Text, Command string }

// pagerView leads to the first rows and to those after these; empty for no such
// page. Rows that are in another order than the newest first are ByName.
type pagerView struct {
	First, Next string
	ByName      bool
}

// meterView is a share with its text.
type meterView struct {
	Tone    tone
	Percent int // 0 to 100
	Text    string
}

// stripView is one mark a run, the oldest first.
type stripView struct {
	Label string
	Marks []stripMark
}

// stripMark is one of them.
type stripMark struct {
	Tone        tone
	Href, Title string
}

// chartView is a chart: app.js draws Plot, and a table has the same in Rows.
type chartView struct {
	// ID is unique on the page and fit for an address.
	ID, Title string
	// XName names the first column of the table.
	XName string
	// Series name its other columns.
	Series []string
	Rows   []chartRow
	Plot   plot
	// Points is how many there are; a chart without any is left out.
	Points int
}

// chartRow is a line of the table.
type chartRow struct {
	X string
	Y []string
}

// plot is what app.js draws.
type plot struct {
	// X are seconds since 1970 in order.
	X      []float64   `json:"x"`
	Series []chartLine `json:"series"`
	Unit   string      `json:"unit,omitempty"` // seconds, bytes, share, percent, or empty for plain numbers
	Zone   string      `json:"zone,omitempty"` // the IANA name of the zone of the axis
	Height int         `json:"height,omitempty"`
	Href   []string    `json:"href,omitempty"` // where a click on a point leads
}

// chartLine is one line or, with Points, a cloud of points. Nulls are gaps, which
// a line with Span passes over: then they are points of another line.
type chartLine struct {
	Label  string     `json:"label"`
	Y      []*float64 `json:"y"`
	Tone   string     `json:"tone,omitempty"` // good, warn, bad, busy, idle or accent
	Points bool       `json:"points,omitempty"`
	Dash   bool       `json:"dash,omitempty"`
	Span   bool       `json:"span,omitempty"`
}

// sparkView is a small line without axes.
type sparkView struct {
	Label, Line, Area string
	Width, Height     int
}

const (
	sparkWidth  = 240
	sparkHeight = 40
)

// sparkOf draws values that were measured at equal distances; nulls are gaps.
// Fewer than two values make no line.
func sparkOf(label string, values []*float64) sparkView {
	low, high, known := math.Inf(1), math.Inf(-1), 0
	for _, v := range values {
		if v != nil {
			low, high, known = min(low, *v), max(high, *v), known+1
		}
	}
	view := sparkView{Label: label, Width: sparkWidth, Height: sparkHeight}
	if known < 2 {
		return view
	}
	if high-low <= math.Abs(high)*0.02 { // what hardly moves is a flat line in the middle
		low, high = low-1, high+1
	}
	var stretch strings.Builder
	first, last := 0.0, 0.0
	for i, v := range values {
		if v != nil {
			last = float64(i) / float64(len(values)-1) * sparkWidth
			verb := "L"
			if stretch.Len() == 0 {
				first, verb = last, "M"
			}
			fmt.Fprintf(&stretch, "%s%.1f %.1f", verb, last, sparkHeight-2-(*v-low)/(high-low)*(sparkHeight-4))
		}
		if stretch.Len() > 0 && (v == nil || i == len(values)-1) {
			view.Line += stretch.String()
			if first == last {
				view.Line += "h0" // a dot
			}
			view.Area += fmt.Sprintf("%sL%.1f %dL%.1f %dZ", stretch.String(), last, sparkHeight, first, sparkHeight)
			stretch.Reset()
		}
	}
	return view
}

// unix is an instant on the axis of a chart.
func unix(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
