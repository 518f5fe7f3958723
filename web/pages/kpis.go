package pages

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/web/api"
)

// The verdicts of figures, as the API says them.
const (
	kpiMet          = "met"
	kpiMissed       = "missed"
	kpiInsufficient = "insufficient data"
)

// mostKPIRows bounds how many rows of evidence are listed.
const mostKPIRows = 500

// kpisView is the page of the operational figures.
type kpisView struct {
	Tone               tone
	Glyph              string
	Headline, Sentence string
	From, Until        time.Time
	Windows            []tab
	Rows               []kpiRow
}

// kpiRow is one figure.
type kpiRow struct {
	Name, Href, Title, Text, Target string
	Verdict                         badge
	Rests, Coverage, Source         string
	Trend                           sparkView
	// Say is what decided it, or what there is to do about it.
	Say string
}

// kpiView is the page of one figure.
type kpiView struct {
	kpiRow

	From, Until time.Time
	Windows     []tab
	Why, Next   string
	Bounds      string
	More        []api.KPIDetail
	Evidence    []kpiEvidence
	Cut         bool
	Charts      []chartView
	Command     string
}

type kpiEvidence struct {
	At                   time.Time
	Until                *time.Time
	What, Text, Href, ID string
}

func (p *Pages) registerKPIs() {
	p.page("GET /kpis", p.kpis)
	p.page("GET /kpis/{name}", p.kpi)
}

// windowField reads how far back figures look; 0 is the configured window.
func windowField(v *visit) (time.Duration, error) {
	text := v.query("window")
	if text == "" {
		return 0, nil
	}
	window, err := unit.ParseDuration(text)
	if err != nil {
		return 0, api.NewProblem(api.CodeInvalid, "write a duration such as 7d", "the window is no duration")
	}
	return window, nil
}

// windowTabs are the windows that pages offer beside the configured one.
func windowTabs(v *visit, now api.KPIs) []tab {
	asked := v.query("window")
	tabs := []tab{{Text: "as configured", Href: v.with("window", ""), Current: asked == ""}}
	for _, w := range []struct{ word, text string }{{"24h", "24 hours"}, {"7d", "7 days"}, {"30d", "30 days"}, {"90d", "90 days"}} {
		tabs = append(tabs, tab{Text: w.text, Href: v.with("window", w.word), Current: asked == w.word})
	}
	if asked == "" {
		tabs[0].Text = roughly(now.Until.Sub(now.From)) + ", as configured"
	}
	return tabs
}

func (p *Pages) kpis(v *visit) (page, error) {
	window, err := windowField(v)
	if err != nil {
		return page{}, err
	}
	list, err := v.api.KPIs(v.ctx, window, false)
	if err != nil {
		return page{}, err
	}
	view := kpisView{From: list.From, Until: list.Until, Windows: windowTabs(v, list)}
	view.Tone, view.Glyph, view.Headline, view.Sentence = kpisSentence(list.KPIs)
	for _, k := range list.KPIs {
		view.Rows = append(view.Rows, newKPIRow(v, k))
	}
	return page{sheet: "kpis", title: "KPIs", nav: "kpis", data: view}, nil
}

// kpisSentence says how many targets are met. What cannot be told is not said
// to be.
func kpisSentence(list []api.KPI) (t tone, glyph, headline, sentence string) {
	met, unknown := 0, 0
	var missed []string
	for _, k := range list {
		switch k.Verdict {
		case kpiMet:
			met++
		case kpiMissed:
			missed = append(missed, k.Title)
		default:
			unknown++
		}
	}
	headline = fmt.Sprintf("%d of %s met", met, count(len(list), "target"))
	var parts []string
	if len(missed) > 0 {
		parts = append(parts, "Missed: "+words(missed)+".")
	}
	if unknown > 0 {
		parts = append(parts, fmt.Sprintf("%d cannot be told: too little is on record, or nothing that could tell.", unknown))
	}
	sentence = strings.Join(parts, " ")
	switch {
	case len(missed) > 0:
		return toneBad, "✗", headline, sentence
	case unknown > 0 || len(list) == 0:
		return toneIdle, "?", headline, sentence
	}
	return toneGood, "✓", headline, "Every figure is as good as it should be."
}

func kpiBadge(verdict string) badge {
	b := badge{Tone: toneIdle, Glyph: "?", Word: verdict}
	switch verdict {
	case kpiMet:
		b.Tone, b.Glyph = toneGood, "✓"
	case kpiMissed:
		b.Tone, b.Glyph = toneBad, "✗"
	case kpiInsufficient:
		b.Tone, b.Glyph = toneWarn, "…"
	}
	return b
}

func newKPIRow(v *visit, k api.KPI) kpiRow {
	row := kpiRow{
		Name: k.Name, Title: k.Title, Text: k.Text, Target: k.TargetText, Verdict: kpiBadge(k.Verdict), Source: k.Source,
		Href: "/kpis/" + url.PathEscape(k.Name), Say: k.Next, Rests: "–", Coverage: "–",
		Trend: sparkOf(k.Title+" over the window", k.Trend),
	}
	if window := v.query("window"); window != "" {
		row.Href += "?" + url.Values{"window": {window}}.Encode()
	}
	if row.Say == "" {
		row.Say = k.Why
	}
	if k.N > 0 {
		row.Rests = number("", float64(k.N)) + " " + k.Of
	}
	if k.Coverage != nil {
		row.Coverage = valueText("coverage_percent", *k.Coverage*100)
	}
	return row
}

func (p *Pages) kpi(v *visit) (page, error) {
	window, err := windowField(v)
	if err != nil {
		return page{}, err
	}
	name := v.PathValue("name")
	list, err := v.api.KPIs(v.ctx, window, true, name)
	if err != nil {
		return page{}, err
	}
	if len(list.KPIs) == 0 {
		return page{}, api.NewProblem(api.CodeNotFound, "the page of the KPIs lists them", "there is no figure "+name)
	}
	k := list.KPIs[0]
	view := kpiView{
		kpiRow: newKPIRow(v, k), From: list.From, Until: list.Until, Windows: windowTabs(v, list), Why: k.Why, Next: k.Next,
		More: k.More, Bounds: kpiBounds(k), Command: shellCommand("kpi", "--explain", k.Name), Cut: len(k.Rows) > mostKPIRows,
	}
	for _, r := range k.Rows[:min(len(k.Rows), mostKPIRows)] {
		view.Evidence = append(view.Evidence, kpiEvidence{At: r.At, Until: r.Until, What: r.What, Text: r.Text, ID: r.ID, Href: evidenceHref(r)})
	}
	if chart, ok := kpiChart(k, list.From, list.Until, v.zone("")); ok {
		view.Charts = append(view.Charts, chart)
	}
	return page{sheet: "kpi", title: safe(k.Title), nav: "kpis", data: view}, nil
}

// evidenceHref leads to what a row is about, as far as its ID tells.
func evidenceHref(r api.KPIRow) string {
	switch {
	case r.ID == "" || strings.HasPrefix(r.What, "deploy "):
		return ""
	case strings.HasPrefix(r.What, "check/") || strings.HasPrefix(r.What, "workflow/"):
		return incidentPath(r.ID)
	}
	return runPath(r.ID)
}

// kpiBounds says within which bounds a figure that cannot be told lies.
func kpiBounds(k api.KPI) string {
	write := func(v float64) string { return kpiText(k.Unit, v) }
	switch {
	case k.Low != nil && k.High != nil:
		return "between " + write(*k.Low) + " and " + write(*k.High)
	case k.Low != nil:
		return "at least " + write(*k.Low)
	case k.High != nil:
		return "at most " + write(*k.High)
	}
	return ""
}

func kpiText(unit string, v float64) string {
	switch unit {
	case "share":
		return valueText("x_percent", v*100)
	case "seconds":
		return valueText("x_seconds", v)
	case "per_minute":
		return valueText("x_per_minute", v)
	}
	return number("", v)
}

// kpiChart draws the trend of a figure with its target.
func kpiChart(k api.KPI, from, until time.Time, zone *time.Location) (chartView, bool) {
	n := len(k.Trend)
	if n == 0 {
		return chartView{}, false
	}
	c := chartView{ID: "trend-" + anchor(k.Name), Title: k.Title + ", target " + k.TargetText, XName: "until", Series: []string{"figure"}}
	unitWord := k.Unit
	if unitWord == "per_minute" {
		unitWord = ""
	}
	c.Plot = plot{Unit: unitWord, Zone: zone.String(), Height: 220}
	figure := chartLine{Label: "figure", Tone: "accent"}
	target := chartLine{Label: "target", Tone: "good", Dash: true}
	length := until.Sub(from) / time.Duration(n)
	for i, value := range k.Trend {
		end := from.Add(time.Duration(i+1) * length)
		c.Plot.X = append(c.Plot.X, unix(end.Truncate(time.Second)))
		figure.Y, target.Y = append(figure.Y, value), append(target.Y, &k.Target)
		if value == nil {
			continue
		}
		c.Points++
		c.Rows = append(c.Rows, chartRow{X: end.In(zone).Format("Mon 2 Jan 15:04"), Y: []string{kpiText(k.Unit, *value)}})
	}
	c.Plot.Series = []chartLine{figure, target}
	return c, c.Points > 0
}
