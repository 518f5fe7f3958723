package configs

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// channels checks the channels and the routes to them.
func (l *loader) channels() {
	names := l.w.channels.Names()
	for i := range l.w.channels {
		l.config.Channels = append(l.config.Channels, l.channel(&l.w.channels[i]))
	}
	l.fallbacks()
	for i := range l.config.Channels {
		s := &l.config.Channels[i].Settings
		s.Fallback = l.standIn(s.Fallback)
	}
	e, given := l.node.Get("routes")
	if !given || e.Value.Kind == source.Null {
		if len(names) > 0 {
			l.config.Routes = []alerts.Route{{To: names}}
		}
		return
	}
	l.config.Routes = l.file.Routes
	for i, route := range l.file.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		node := e.Value.Items[i]
		addressees(l.d, node, "to", route.To, names, path, node.Pos)
		for k, escalation := range route.Escalate {
			addressees(l.d, node, fmt.Sprintf("escalate[%d].to", k), escalation.To, names, path, node.Pos)
		}
		for _, err := range flatten(route.Validate()) {
			if wrong, ok := errors.AsType[*jobs.FieldError](err); ok && sound(l.d, path) {
				l.d.Report(at(node, wrong.Field, node.Pos), "bad-value", path+"."+wrong.Field, wrong.Why, wrong.Hint)
			}
		}
	}
}

// addressees checks the names of channels in a field of node, which stands at
// path.
func addressees(d *decode.Decoder, node *source.Node, field string, to unit.Names, known []string, path string, key source.Pos) {
	for i, name := range to {
		if name == "" {
			continue // its value has been reported
		}
		place := at(node, fmt.Sprintf("%s[%d]", field, i), key)
		switch {
		case !slices.Contains(known, name):
			unknown := &UnknownError{Family: "channel", Name: name, Known: known}
			hint := unknown.Hint()
			if len(known) == 0 {
				hint = fmt.Sprintf("add it: channels: {%s: {kind: email, …}}", name)
			}
			d.Report(place, "unknown-name", path+"."+field, unknown.Error(), hint)
		case slices.Contains(to[:i], name):
			d.Report(place, "bad-value", path+"."+field, fmt.Sprintf("the channel %q is named twice", name), "remove one")
		}
	}
}

// alert takes what the workflow says about its alerts. A run under way does not
// ask for it, and its channels may be gone.
func (b *draft) alert() {
	f := b.file.Alert
	b.out.Alert = alerts.WorkflowAlert{Severity: f.Severity, To: f.To, Off: f.Off, After: f.After}
	if f.Severity == "" {
		b.out.Alert.Severity = jobs.Critical
	}
	e, given := b.node.Get("alert")
	if !given || b.frozen {
		return
	}
	b.world.told(b.d, e, f.To, b.child("alert"))
}

// told checks the channels that the alert: of a workflow or a check names.
func (w *world) told(d *decode.Decoder, e source.Entry, names unit.Names, path string) {
	addressees(d, e.Value, "to", names, w.channels.Names(), path, e.At)
	if to, given := e.Value.Get("to"); given && to.Value.Kind == source.List && len(to.Value.Items) == 0 {
		d.Report(to.At, "bad-value", path+".to", "to names no channel", "write off: true to tell nobody, or leave to: out to follow the routes")
	}
}

// alarm makes the policy of a configuration whose routes are sound.
func (l *loader) alarm() {
	if !sound(l.d, "routes") {
		return
	}
	own := map[string]alerts.WorkflowAlert{}
	var quiet []alerts.Quiet
	var disturbers []alerts.Disturber
	for _, w := range l.config.Workflows {
		if len(w.Quiet) > 0 {
			quiet = append(quiet, alerts.Quiet{Workflow: w.Name, Window: w.Window, Checks: w.Quiet})
		}
		for _, job := range w.Jobs {
			if len(job.Quiets) > 0 {
				disturbers = append(disturbers, alerts.Disturber{Place: runner.Place{Workflow: w.Name, Job: job.Name}, Checks: job.Quiets})
			}
		}
		if w.Alert.Off || len(w.Alert.To) > 0 || w.Alert.Severity != jobs.Critical || w.Alert.After > 1 {
			own[w.Name] = l.usedBy(w.Alert) // the others are what the policy takes for granted
		}
	}
	checks := map[string]alerts.WorkflowAlert{}
	for _, c := range l.config.Checks {
		checks[c.Name] = l.usedBy(c.Alert)
	}
	policy, err := alerts.NewPolicy(alerts.PolicyOptions{Routes: l.usedRoutes(), Workflows: own, Checks: checks, Quiet: quiet, Disturbers: disturbers})
	if err != nil {
		e, _ := l.node.Get("routes")
		l.d.Report(e.At, "bad-value", "routes", err.Error(), jobs.HintOf(err))
		return
	}
	l.config.alarm = policy
}

// usedBy is what a workflow or a check says about its alerts, for the channels
// that are used.
func (l *loader) usedBy(own alerts.WorkflowAlert) alerts.WorkflowAlert {
	own.To = l.used(own.To)
	return own
}

// sound tells whether nothing is wrong with what stands at path or below it, so
// that complaints about it are not about what the decoder left out.
func sound(d *decode.Decoder, path string) bool {
	return !slices.ContainsFunc(d.Problems, func(p Problem) bool { return p.Severity == problem.Error && below(p.Path, path) })
}

// below tells whether path is root or leads to a part of it.
func below(path, root string) bool {
	if len(path) <= len(root) || path[:len(root)] != root {
		return path == root
	}
	return path[len(root)] == '.' || path[len(root)] == '['
}
