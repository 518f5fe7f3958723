package pages

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

func checkPath(name string) string    { return "/checks/" + url.PathEscape(name) }
func incidentPath(id string) string   { return "/incidents/" + url.PathEscape(id) }
func workflowPath(name string) string { return "/workflows/" + url.PathEscape(name) }
func runPath[S ~string](id S) string  { return "/runs/" + url.PathEscape(string(id)) }
func backupPath(id string) string     { return "/backups/" + url.PathEscape(id) }

const (
	// mostPast is how many incidents of a check are listed.
	mostPast = 10
	// mostCharts is how many values are drawn unless one is asked for.
	mostCharts = 4
	// checkEvery is how often the page of a check is fetched again.
	checkEvery = 15 * time.Second
)

// checkView is the page of one check.
type checkView struct {
	Name, Path        string
	Badge             badge
	Sentence, Message string
	AnswerTone        tone
	MayAsk            bool
	About             factsView
	// Cut says that charts are not whole.
	Cut        string
	Ping       *pingView
	Side       string
	Limited    bool // any value is judged by a limit
	Measures   []measureRow
	Ranges     []tab
	Charts     []chartView
	Open, Past []incidentLine
}

// pingView says how a heartbeat is told.
type pingView struct {
	Good, Around string
	// Secret tells that the address itself is one, and takes the place of a token.
	Secret bool
}

type measureRow struct {
	measure

	Href string
}

// factsView are lines about something.
type factsView struct {
	Facts []fact
	Zone  *time.Location
}

// fact is one of them.
type fact struct {
	Name, Text string
	At         *time.Time
	Links      []link
}

type link struct{ Href, Text string }

// tab chooses what a page shows.
type tab struct {
	Text, Href string
	Current    bool
}

// incidentLine is an incident in a list beside something else.
type incidentLine struct {
	ID, Title, Lasted string
	Badge             badge
	OpenedAt          time.Time
}

// stretch is how far back a chart reaches.
type stretch struct {
	word, text string
	length     time.Duration
}

// stretches are what charts offer.
func stretches() []stretch {
	const day = 24 * time.Hour
	return []stretch{{"3h", "3 hours", 3 * time.Hour}, {"24h", "24 hours", day}, {"7d", "7 days", 7 * day}, {"30d", "30 days", 30 * day}}
}

func stretchOf(word string) stretch {
	for _, s := range stretches() {
		if s.word == word {
			return s
		}
	}
	return stretches()[1]
}

func (p *Pages) check(v *visit) (page, error) {
	name := v.PathValue("name")
	list, err := v.api.Checks(v.ctx, false, name)
	if err != nil {
		return page{}, err
	}
	at := slices.IndexFunc(list.Checks, func(c api.Check) bool { return c.Name == name })
	if at < 0 {
		return page{}, api.NewProblem(api.CodeNotFound, "the page of the checks lists them", "there is no check "+name)
	}
	c := list.Checks[at]
	view := newCheckView(c, v.now)
	view.About.Zone = v.zone("")
	view.MayAsk = p.o.Who(v.ctx).Operator && c.Kind != kindHeartbeat
	if c.Kind == kindHeartbeat {
		view.Ping = pingOf(v.Request.Host, v.Request.TLS != nil, c.Slug)
	}
	for i, m := range view.Measures {
		view.Measures[i].Href = v.with("value", m.Name) + "#past"
	}
	if err := p.chartCheck(v, c, &view); err != nil {
		return page{}, err
	}
	past, err := v.api.Incidents(v.ctx, runner.IncidentFilter{Fingerprint: "check/" + c.Name, Limit: mostPast})
	if err != nil {
		return page{}, err
	}
	for _, i := range past {
		line := newIncidentLine(i, v.now)
		view.Past = append(view.Past, line)
		if i.State == runner.IncidentOpen {
			view.Open = append(view.Open, line)
		}
	}
	return page{sheet: "check", title: safe(c.Name), nav: "checks", refresh: checkEvery, data: view}, nil
}

func newIncidentLine(i runner.Incident, now time.Time) incidentLine {
	return incidentLine{ID: i.ID, Title: i.Title, Lasted: roughly(incidentLength(i, now)), Badge: incidentBadge(i), OpenedAt: i.OpenedAt}
}

// incidentLength is how long something was wrong: from the first sign to the end, or
// until now.
func incidentLength(i runner.Incident, now time.Time) time.Duration {
	began, end := i.OpenedAt, i.ResolvedAt
	if !i.FirstBad.IsZero() {
		began = i.FirstBad
	}
	if end.IsZero() {
		end = now
	}
	return max(0, end.Sub(began))
}

func newCheckView(c api.Check, now time.Time) checkView {
	view := checkView{Name: c.Name, Path: url.PathEscape(c.Name), Badge: badgeOf(c.Health), Sentence: checkSentence(c, now), Message: c.Message, Side: "above"}
	for _, m := range measures(c) {
		if m.Below {
			view.Side = "beyond"
		}
		view.Limited = view.Limited || m.Limited
		view.Measures = append(view.Measures, measureRow{measure: m})
	}
	view.About.Facts = checkFacts(c)
	view.AnswerTone = badgeOf(c.Answer).Tone
	return view
}

// checkSentence says in one line how a check is.
func checkSentence(c api.Check, now time.Time) string {
	text := map[runner.Health]string{
		runner.Healthy: "Well", runner.HealthWarning: "Warns", runner.HealthCritical: "Failing", runner.HealthUnknown: "Nobody can tell",
	}[c.Health]
	if c.Since != nil && !c.Since.IsZero() {
		text += " for " + roughly(now.Sub(*c.Since))
	}
	if phase := phaseWords(c); phase != "" {
		text += "; " + phase
	}
	if c.Cause != "" {
		text += "; blamed on " + c.Cause
	}
	return text + "."
}

func checkFacts(c api.Check) []fact {
	facts := []fact{{Name: "When it fails, for users", Text: impactWords(c.Impact)}, {Name: "Kind", Text: c.Kind}}
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{Name: name, Text: text})
		}
	}
	when := func(name string, at *time.Time) {
		if at != nil {
			facts = append(facts, fact{Name: name, At: at})
		}
	}
	when("In this state since", c.Since)
	if c.Kind == kindHeartbeat {
		when("Last ping", c.At)
		add("Expected", "every "+tookSeconds(c.EverySeconds)+", at most "+tookSeconds(c.GraceSeconds)+" late")
	} else {
		when("Latest answer", c.At)
		if c.TookSeconds > 0 {
			add("It took", tookSeconds(c.TookSeconds))
		}
		text := "every " + tookSeconds(c.EverySeconds)
		if c.RetrySeconds > 0 && c.RetrySeconds != c.EverySeconds {
			text += ", every " + tookSeconds(c.RetrySeconds) + " while in doubt"
		}
		add("Asked", text)
		if c.TimeoutSeconds > 0 {
			add("It may take", tookSeconds(c.TimeoutSeconds))
		}
	}
	if c.FailAfter > 0 {
		add("Fails after", inRow(c.FailAfter, "bad answer"))
		add("Well after", inRow(max(c.OKAfter, 1), "good answer"))
	}
	if c.WorstSeconds > 0 {
		add("A fault is on record within", tookSeconds(c.WorstSeconds))
	}
	add("No answer because of", errorWords(c.ErrorKind))
	when("Last good answer", c.LastGood)
	when("First bad answer", c.FirstBad)
	if c.Cause != "" {
		facts = append(facts, fact{Name: "Blamed on", Links: []link{{checkPath(c.Cause), c.Cause}}})
	}
	if len(c.DependsOn) > 0 {
		f := fact{Name: "Depends on"}
		for _, name := range c.DependsOn {
			f.Links = append(f.Links, link{checkPath(name), name})
		}
		facts = append(facts, f)
	}
	return facts
}

// errorWords says why there was no answer.
func errorWords(kind string) string {
	words := map[string]string{
		"dns": "the name is not found (dns)", "connect": "no connection (connect)", "tls": "the encryption failed (tls)",
		"auth": "the credentials are refused (auth)", "timeout": "it took too long (timeout)", "status": "the status of the answer (status)",
		"body": "the content of the answer (body)", "internal": "the probe itself is at fault (internal)",
	}
	if text, ok := words[kind]; ok {
		return text
	}
	return kind
}

// pingOf says how a heartbeat is told at the address where the page is seen.
func pingOf(host string, tls bool, slug string) *pingView {
	if slug == "" { // a secret, for whoever knows it needs no token
		address := "http://" + host + "/ping/$SLUG"
		if tls {
			address = "https://" + host + "/ping/$SLUG"
		}
		const curl = "curl -fsS -m 10 --retry 3 "
		return &pingView{Good: curl + address, Around: curl + address + "/start; your-program; " + curl + address + "/$?", Secret: true}
	}
	address := "http://" + host + "/ping/" + slug
	if tls {
		address = "https://" + host + "/ping/" + slug
	}
	const curl = `curl -fsS -m 10 --retry 3 -H "Authorization: Bearer $UPKEEP_TOKEN" `
	return &pingView{Good: curl + address, Around: curl + address + "/start; your-program; " + curl + address + "/$?"}
}

// chartCheck adds the charts of a check's values: those that are judged, and
// how long it took to answer; or the one that is asked for.
func (p *Pages) chartCheck(v *visit, c api.Check, view *checkView) error {
	back := stretchOf(v.query("range"))
	for _, s := range stretches() {
		view.Ranges = append(view.Ranges, tab{Text: s.text, Href: v.with("range", s.word) + "#past", Current: s.word == back.word})
	}
	names := chartedValues(c, v.query("value"))
	for _, name := range names {
		from := v.now.Add(-back.length)
		list, whole, err := samplesOf(v, "check."+c.Name+"."+name, from, v.now)
		if err != nil {
			return err
		}
		if !whole {
			view.Cut = "More samples are on record than are drawn: the earliest are left out."
		}
		limit, _ := limitOf(c.Limits, name)
		if chart, ok := chartOf(name, limit, time.Duration(c.EverySeconds*float64(time.Second)), list, from, v.now, v.zone("")); ok {
			view.Charts = append(view.Charts, chart)
		}
	}
	return nil
}

// chartedValues are the values that are drawn.
func chartedValues(c api.Check, asked string) []string {
	if asked != "" {
		return []string{asked}
	}
	var names []string
	for _, m := range measures(c) {
		group, _, part := strings.Cut(m.Name, ".")
		if _, whole := c.Values[group]; part && whole {
			continue // the one of all says it
		}
		if m.Limited && !slices.Contains(names, m.Name) && len(names) < mostCharts {
			names = append(names, m.Name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(strings.Count(a, "."), strings.Count(b, ".")) })
	switch {
	case c.Kind == kindHeartbeat:
		return []string{"up"}
	case len(names) == 0:
		return []string{"seconds", "up"}
	case !slices.Contains(names, "total_seconds"):
		names = append(names, "seconds")
	}
	return names
}

// chartTitle names a chart and what its lines mean.
func chartTitle(name string, limit api.Limit) string {
	title := valueLabel(name)
	side := "above"
	if limit.Below {
		side = "below"
	}
	var parts []string
	if limit.Warn != nil {
		parts = append(parts, fmt.Sprintf("warns %s %s", side, valueText(name, *limit.Warn)))
	}
	if limit.Crit != nil {
		parts = append(parts, fmt.Sprintf("critical %s %s", side, valueText(name, *limit.Crit)))
	}
	if len(parts) > 0 {
		title += " — " + strings.Join(parts, ", ")
	}
	return title
}

// inRow is a number of answers that count.
func inRow(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(n, noun) + " in a row"
}
