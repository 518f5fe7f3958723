package service

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/runner/schedule"
	"github.com/ghosteam/upkeep/web/api"
)

// placesOf are the nodes where something may run, by name: those that belong to
// the system, and this one.
func placesOf(cfg *configs.Config, members []api.Member) []api.Member {
	here := api.Member{Name: cfg.Node, Labels: cfg.Labels, State: api.MemberAlive}
	if !shared(cfg) {
		return []api.Member{here}
	}
	if len(members) > 0 {
		return members
	}
	return []api.Member{here} // no service has run yet
}

// placeNamed is the name of the node that a person means.
func placeNamed(places []api.Member, asked string) (string, error) {
	if asked == "" {
		return "", nil
	}
	d, err := ParseDestination(asked)
	if err != nil || d.Node == "" {
		return "", api.NewProblem(api.CodeInvalid, "name one node: `upkeep nodes` lists them", fmt.Sprintf("%q is not the name of a node", asked))
	}
	var known []string
	for _, m := range places {
		known = append(known, m.Name)
	}
	if !slices.Contains(known, d.Node) {
		return "", unknownPlace("node", d.Node, known)
	}
	return d.Node, nil
}

// hostsOf are the nodes that have a share of their own in a workflow; only, when
// it is not empty, is the one that is wanted, whatever its labels are now.
func hostsOf(w *configs.Workflow, places []api.Member, only string) []explain.Host {
	var list []explain.Host
	for _, m := range places {
		if m.Name != only && (only != "" || !w.Fits(m.Labels)) {
			continue
		}
		list = append(list, explain.Host{Name: m.Name, Delay: schedule.Jitter(w.Jitter, w.Name, m.Name).Truncate(time.Second), Away: awayOf(m)})
	}
	return list
}

// awayOf says why a node does not begin what is due: empty when it does.
func awayOf(m api.Member) string {
	if m.State != api.MemberAbsent {
		return ""
	}
	return "it was last seen at " + m.LastSeen.UTC().Format("2006-01-02 15:04:05 UTC")
}

// waitsFor says what a queued run waits for among the nodes.
func waitsFor(places []api.Member, run runner.Run) string {
	var there, away []string
	for _, m := range places {
		switch {
		case !run.Place().Fits(m.Name, m.Labels):
		case m.State == api.MemberDraining:
			away = append(away, m.Name+": it is drained")
		case m.State == api.MemberAbsent:
			away = append(away, m.Name+": "+awayOf(m))
		default:
			there = append(there, fmt.Sprintf("%s (%d under way)", m.Name, m.Running))
		}
	}
	switch {
	case len(there) == 1:
		return "it waits until there is room on " + there[0]
	case len(there) > 1:
		return "it waits until there is room on one of " + strings.Join(there, ", ")
	}
	text := "no node is there that may run it"
	if run.Place() != "" {
		text += ": it is for " + run.Place().String()
	}
	if len(away) > 0 {
		text += " (" + strings.Join(away, "; ") + ")"
	}
	return text
}

// hostOf is the answer of one node as the API gives it.
func hostOf(h explain.HostAnswer) api.ExplainedHost {
	v := api.ExplainedHost{Host: h.Host, Verdict: string(h.Verdict), Text: h.Sentence, Hint: h.Next}
	if len(h.Runs) > 0 {
		run := h.Runs[0]
		v.Run, v.State, v.Reason = run.ID, run.State, run.Reason
	}
	return v
}
