package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/jobs"
)

// lintAlerts looks whether somebody is told when something is wrong.
func (l *loader) lintAlerts() {
	l.lintNobody()
	for i := range l.w.channels {
		item := &l.w.channels[i]
		if kindOf(item.Value.node) == emailKind {
			l.lintEmail(item)
		}
		if !l.usesChannel(item.Name) && !l.config.Channels[i].Settings.Disabled {
			l.warn(item.At, "unused", "channels."+item.Name, fmt.Sprintf("no route and no workflow uses the channel %s", item.Name), "")
		}
	}
	if len(l.w.channels) > 0 {
		l.lintRoutes()
		l.lintChannels()
		l.lintDisabled()
	}
	for _, b := range l.drafts {
		if a := b.out.Alert; a.Off && (len(a.To) > 0 || b.file.Alert.Severity != "") {
			b.d.Warn(at(b.node, "alert", b.at), "no-effect", b.child("alert"), "with off: true nobody is told, whatever else stands here", "remove the rest")
		}
	}
}

// lintNobody looks for runs that nobody watches in a configuration that cannot
// tell anybody. It speaks once, at the first of them.
func (l *loader) lintNobody() {
	if len(l.w.channels) > 0 {
		return
	}
	var first *draft
	more := -1
	for _, b := range l.drafts {
		if b.out.Schedule.IsZero() && b.out.FreshWithin == 0 || b.out.Alert.Off {
			continue
		}
		if first == nil {
			first = b
		}
		more++
	}
	if first == nil {
		return
	}
	key, what := "schedule", "a scheduled run of "+first.out.Name+" fails"
	if first.out.Schedule.IsZero() {
		key, what = "fresh_within", first.out.Name+" has not succeeded for too long"
	}
	if more > 0 {
		what += fmt.Sprintf(" (and of %d more)", more)
	}
	l.warn(at(first.node, key, first.at), "no-channel", first.child(key), "nobody is told when "+what+": no channel is configured",
		"add one: channels: {ops: {kind: email, …}}, or say that it is meant so: alert: {off: true}")
}

func (l *loader) usesChannel(name string) bool {
	return slices.ContainsFunc(l.config.Routes, func(r alerts.Route) bool { return slices.Contains(r.Told(), name) }) ||
		slices.ContainsFunc(l.config.Channels, func(c Channel) bool { return c.Settings.Fallback == name }) || slices.Contains(l.config.Weekly.To, name) ||
		slices.ContainsFunc(l.config.Workflows, func(w *Workflow) bool { return slices.Contains(w.Alert.To, name) }) ||
		slices.ContainsFunc(l.config.Checks, func(c Check) bool { return slices.Contains(c.Alert.To, name) })
}

// emailKind is the kind that sends mail, whose transport deserves a look of its
// own.
const emailKind = "email"

// lintEmail looks for a password that travels in the open. Without TLS the kind
// itself takes only a server on this machine.
func (l *loader) lintEmail(item *decode.Item[channelField]) {
	tls, _ := item.Value.node.Get("tls")
	_, password := item.Value.node.Get("password")
	if password && tls.Value != nil && tls.Value.Text == "none" {
		l.warn(tls.Value.Pos, "plain-mail", "channels."+item.Name+".tls", "with tls: none the password goes to the server unencrypted", "use starttls, or implicit on port 465")
	}
}

// fault is one that may happen with this configuration.
type fault struct {
	severity         jobs.Severity
	workflow, reason string
}

// routed returns every fault that the routes decide about.
func (l *loader) routed() []fault {
	out := []fault{
		{severity: jobs.Critical, reason: alerts.ReasonDiskFull},
		{severity: jobs.Warning, reason: alerts.ReasonReload},
		{severity: jobs.Warning, reason: alerts.ReasonDrained},
	}
	for _, w := range l.config.Workflows {
		if w.Alert.Off || len(w.Alert.To) > 0 {
			continue
		}
		for _, reason := range []string{alerts.ReasonFailed, alerts.ReasonLost, alerts.ReasonMissed, alerts.ReasonStale, alerts.ReasonStuck} {
			if reason != alerts.ReasonStale || w.FreshWithin > 0 {
				out = append(out, fault{w.Alert.Severity, w.Name, reason})
			}
		}
	}
	return out
}

// lintRoutes looks for routes that tell nobody anything, and for faults that no
// route is for.
func (l *loader) lintRoutes() {
	e, given := l.node.Get("routes")
	if !given || e.Value.Kind == source.Null {
		return
	}
	faults := l.routed()
	open := slices.Clone(faults)
	for i, route := range l.config.Routes {
		node := e.Value.Items[i]
		path := fmt.Sprintf("routes[%d]", i)
		if l.lintPatterns(route, node, path) || forChecks(route.Match) {
			continue
		}
		fits := func(f fault) bool { return route.Match.Fits(f.severity, f.workflow, f.reason) }
		switch {
		case !slices.ContainsFunc(faults, fits):
			l.warn(node.Pos, "unreachable", path, "no fault that can happen fits this route", "severity, workflow and reason must all fit; workflows with alert: {to: …} or {off: true} follow no route")
		case !slices.ContainsFunc(open, fits):
			l.warn(node.Pos, "unreachable", path, "this route is never reached: the routes before it decide about all that fits it", "move it up, or let the others say continue: true")
		}
		if !route.Continue {
			open = slices.DeleteFunc(open, fits)
		}
	}
	if len(open) > 0 {
		l.warn(e.At, "unrouted", "routes", "no route is for "+open[0].String()+andMore(len(open)-1)+": nobody would be told", "end with {to: [CHANNEL]}, or with {to: []} to say that it is meant so")
	}
}

// forChecks tells whether only faults of checks fit, or of the network, or those
// that somebody raises, which are not among those of routed.
func forChecks(m alerts.Match) bool {
	elsewhere := []string{alerts.ReasonCheck, alerts.ReasonNetwork, alerts.ReasonRaised}
	others := slices.ContainsFunc(m.Reason, func(reason string) bool { return !slices.Contains(elsewhere, reason) })
	return len(m.Check) > 0 || len(m.Reason) > 0 && !others
}

// lintPatterns looks for patterns that fit no workflow. It tells whether that
// leaves the route without any.
func (l *loader) lintPatterns(route alerts.Route, node *source.Node, path string) bool {
	idle := 0
	for i, pattern := range route.Match.Workflow {
		if slices.ContainsFunc(l.config.Workflows, func(w *Workflow) bool { return doublestar.MatchUnvalidated(pattern, w.Name) }) {
			continue
		}
		idle++
		unknown := &UnknownError{Family: "workflow", Name: pattern, Known: l.file.Workflows.Names()}
		l.warn(at(node, fmt.Sprintf("match.workflow[%d]", i), node.Pos), "no-match", path+".match.workflow", fmt.Sprintf("%q fits no workflow", pattern), unknown.Hint())
	}
	return idle > 0 && idle == len(route.Match.Workflow)
}

// String says what the fault is.
func (f fault) String() string {
	reason := strings.ReplaceAll(f.reason, "_", " ")
	if f.workflow == "" {
		return fmt.Sprintf("a %s fault of upkeep itself (%s)", f.severity, reason)
	}
	return fmt.Sprintf("a %s fault of %s (%s)", f.severity, f.workflow, reason)
}

// andMore says how many things were left out, if any.
func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}
