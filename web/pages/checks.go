package pages

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// kindHeartbeat is the kind of checks that are told instead of asked.
	kindHeartbeat = "heartbeat"
	// networkFault identifies the fault of this machine's own network.
	networkFault = "upkeep/connectivity"
	// checksEvery is how often the page of the checks is fetched again.
	checksEvery = 10 * time.Second
)

// checksView is the page of all checks.
type checksView struct {
	Overall            badge
	Headline, Sentence string
	// Network is the open fault of this machine's own network; nil for none.
	Network *networkView
	Groups  []checkGroup
	Empty   emptyView
}

type networkView struct {
	Since time.Time
	Href  string
}

// checkGroup are checks of a sort.
type checkGroup struct {
	Key, Title, Text string
	Rows             []checkRow
	// Limits tells that any of them is judged by a limit.
	Limits bool
}

// checkRow is one check in the list.
type checkRow struct {
	Name, Href, Kind, Impact string
	Every                    string
	Badge                    badge
	Phase, Message, Cause    string
	At                       *time.Time
	// For is how long it is in that state.
	For     string
	Nearest *measure
}

func (p *Pages) registerChecks() {
	p.page("GET /checks", p.checks)
	p.page("GET /checks/{name}", p.check)
	p.action("POST /do/checks/{name}/ask", func(v *visit) (outcome, error) {
		name := v.PathValue("name")
		list, err := v.api.Checks(v.ctx, true, name)
		if err != nil {
			return outcome{}, err
		}
		text := name + " was asked"
		for _, c := range list.Checks {
			text = fmt.Sprintf("%s was asked: its answer is %s", c.Name, c.Answer)
		}
		return outcome{to: checkPath(name), text: text}, nil
	})
}

func (p *Pages) checks(v *visit) (page, error) {
	list, err := v.api.Checks(v.ctx, false)
	if err != nil {
		return page{}, err
	}
	view := newChecksView(list, v.now)
	open, err := v.api.Incidents(v.ctx, runner.IncidentFilter{Fingerprint: networkFault, States: []runner.IncidentState{runner.IncidentOpen}, Limit: 1})
	if err != nil {
		return page{}, err
	}
	if len(open) > 0 {
		view.Network = &networkView{Since: open[0].OpenedAt, Href: incidentPath(open[0].ID)}
	}
	return page{sheet: "checks", title: "Checks", nav: "checks", refresh: checksEvery, data: view}, nil
}

func newChecksView(list api.Checks, now time.Time) checksView {
	view := checksView{
		Overall: badgeOf(list.OverallStatus),
		Empty:   emptyView{Title: "No checks are configured", Text: "A check is a probe on an interval: a database that must answer, a page, a disk that must not fill up. Put one below checks: in the configuration.", Command: "upkeep kinds system"},
	}
	view.Headline, view.Sentence = healthSentence(list)
	probes := checkGroup{Key: "probes", Title: "Probes", Text: "Asked again and again; a check counts as failed after several bad answers in a row."}
	beats := checkGroup{Key: "heartbeats", Title: "Heartbeats", Text: "Told instead of asked: what runs elsewhere pings here, and silence is the fault."}
	ordered := slices.Clone(list.Checks)
	slices.SortStableFunc(ordered, func(a, b api.Check) int { return badness(b) - badness(a) })
	for _, c := range ordered {
		row := newCheckRow(c, now)
		if c.Kind == kindHeartbeat {
			beats.Rows = append(beats.Rows, row)
			continue
		}
		probes.Rows = append(probes.Rows, row)
	}
	for _, g := range []checkGroup{probes, beats} {
		g.Limits = slices.ContainsFunc(g.Rows, func(r checkRow) bool { return r.Nearest != nil })
		if len(g.Rows) > 0 {
			view.Groups = append(view.Groups, g)
		}
	}
	return view
}

func newCheckRow(c api.Check, now time.Time) checkRow {
	row := checkRow{
		Name: c.Name, Href: checkPath(c.Name), Kind: c.Kind, Every: "every " + tookSeconds(c.EverySeconds), Impact: impactWords(c.Impact), Badge: badgeOf(c.Health), Phase: phaseWords(c),
		Message: c.Message, Cause: c.Cause, At: c.At,
	}
	if c.Since != nil && !c.Since.IsZero() {
		row.For = roughly(max(0, now.Sub(*c.Since)))
	}
	for _, m := range measures(c) {
		if m.Limited {
			row.Nearest = &m
			break
		}
	}
	return row
}

// healthSentence says in a few words, and in one line, how everything is.
func healthSentence(list api.Checks) (headline, sentence string) {
	var bad, unsure []string
	for _, c := range list.Checks {
		switch {
		case c.Health == runner.HealthCritical:
			bad = append(bad, c.Name)
		case c.Health != runner.Healthy && !waits(c):
			unsure = append(unsure, c.Name)
		}
	}
	all := count(len(list.Checks), "check")
	switch {
	case len(list.Checks) == 0:
		return "Nothing is watched", "No check is configured."
	case len(bad) > 0:
		sentence = "Failing: " + few(bad) + "."
		if len(unsure) > 0 {
			sentence += " To look at: " + few(unsure) + "."
		}
		return fmt.Sprintf("%d of %s failing", len(bad), all), sentence
	case len(unsure) > 0:
		return "Nothing has failed", "To look at: " + few(unsure) + "."
	}
	return "All checks are well", "Every one of " + all + " answers as it should."
}

// waits tells that a heartbeat was never told and is not late yet.
func waits(c api.Check) bool {
	return c.Kind == kindHeartbeat && c.Health == runner.HealthUnknown && c.Phase == runner.CheckWell
}

// badness orders checks: what has failed comes first.
func badness(c api.Check) int {
	switch {
	case c.Health == runner.HealthCritical:
		return 4
	case c.Health == runner.HealthWarning:
		return 3
	case c.Health == runner.HealthUnknown && !waits(c):
		return 2
	case c.Answer != runner.Healthy && !waits(c):
		return 1
	}
	return 0
}

// few lists some names.
func few(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// phaseWords says where a check stands when that is not the same as its health.
func phaseWords(c api.Check) string {
	switch c.Phase {
	case runner.CheckSuspect:
		return fmt.Sprintf("suspect: it fails after %d bad answers in a row", max(c.FailAfter, 1))
	case runner.CheckRecovering:
		return fmt.Sprintf("recovering: it is well after %d good answers in a row", max(c.OKAfter, 1))
	case runner.CheckWell, runner.CheckFailing:
	}
	if waits(c) && !strings.Contains(c.Message, "first ping") {
		return "waits for its first ping"
	}
	if c.Health == runner.HealthUnknown && c.Answer == runner.Healthy {
		return "its latest answer is too old"
	}
	return ""
}

// impactWords says what the failure of a check means for users.
func impactWords(impact string) string {
	switch impact {
	case runner.ImpactOutage:
		return "an outage"
	case runner.ImpactDegraded:
		return "degraded"
	}
	return "users do not notice"
}
