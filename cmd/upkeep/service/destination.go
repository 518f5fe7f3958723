package service

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/web/api"
)

// Destination is where somebody wants a run: on any node, on one, on one of
// those with a label, or on each.
type Destination struct {
	// Every tells that each node gets a run of its own; Label restricts the
	// nodes. Node is the only one.
	Every       bool
	Label, Node string
}

// The words of a destination.
const (
	onAny   = "any"
	onEvery = "every"
	onLabel = "label:"
	onNode  = "node:"
)

// ParseDestination reads any, every, every:LABEL, label:LABEL, node:NAME or the
// name of a node.
func ParseDestination(text string) (Destination, error) {
	invalid := func(hint string) (Destination, error) {
		return Destination{}, api.NewProblem(api.CodeInvalid, hint, fmt.Sprintf("%q names no nodes", text))
	}
	if label, ok := strings.CutPrefix(text, onEvery+":"); ok {
		if label = strings.TrimPrefix(label, onLabel); label == "" {
			return invalid("write every, or every:LABEL")
		}
		return Destination{Every: true, Label: label}, nil
	}
	if label, ok := strings.CutPrefix(text, onLabel); ok {
		if label == "" {
			return invalid("write label:LABEL")
		}
		return Destination{Label: label}, nil
	}
	switch name := strings.TrimPrefix(text, onNode); {
	case text == onAny:
		return Destination{}, nil
	case text == onEvery:
		return Destination{Every: true}, nil
	case name == "":
		return invalid("write NODE, label:LABEL, any, every or every:LABEL")
	default:
		return Destination{Node: name}, nil
	}
}

// destination is where a run of w goes that somebody asks for.
func destination(w *configs.Workflow, on string) (Destination, error) {
	if on == "" {
		return Destination{Every: w.EveryNode, Label: w.Label}, nil
	}
	d, err := ParseDestination(on)
	if err == nil && on == onEvery {
		d.Label = w.Label // every node that may run it
	}
	return d, err
}

// spot is a node as one who looks for a place for a run sees it.
type spot struct {
	name   string
	labels []string
	// there tells that it takes runs at present.
	there bool
	why   string // why it does not
}

// spots returns the nodes that belong to the system, by name, and this process
// among them.
func (e *Engine) spots(ctx context.Context) ([]spot, error) {
	cfg := e.Config()
	here := spot{name: cfg.Node, labels: cfg.Labels, there: true}
	if cfg.Ledger.Dialect == "sqlite" {
		return []spot{here}, nil
	}
	members, err := e.ledger.Members(ctx)
	if err != nil {
		return nil, err
	}
	nodes, err := e.ledger.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	list := []spot{here}
	for _, m := range members {
		if m.Name == here.name {
			continue
		}
		s := spot{name: m.Name, labels: m.Labels, there: m.Alive, why: fmt.Sprintf("it was last seen at %s", m.LastSeen.Format("2006-01-02 15:04:05 UTC"))}
		i := slices.IndexFunc(nodes, func(n ledger.Node) bool { return n.Member && n.Alive && n.Name == m.Name })
		if i >= 0 && nodes[i].Facts.Draining {
			s.there, s.why = false, "it is drained"
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b spot) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// placed turns a request into the runs that it asks for: one, or one for each
// of several nodes.
func (e *Engine) placed(ctx context.Context, request runner.Request, w *configs.Workflow, on string) ([]runner.Request, error) {
	d, err := destination(w, on)
	if err != nil {
		return nil, err
	}
	request.Host, request.Target = "", ""
	if d == (Destination{}) {
		return []runner.Request{request}, nil
	}
	spots, err := e.spots(ctx)
	if err != nil {
		return nil, err
	}
	if d.Node != "" {
		if err := takes(spots, d.Node); err != nil {
			return nil, err
		}
		if w.EveryNode {
			request.Host = d.Node
		} else {
			request.Target = runner.OnNode(d.Node)
		}
		return []runner.Request{request}, nil
	}
	fit, err := fitting(spots, d.Label, on != "")
	if err != nil {
		return nil, err
	}
	if !d.Every {
		request.Target = runner.OnLabel(d.Label)
		return []runner.Request{request}, nil
	}
	var list []runner.Request
	for _, s := range fit {
		request.Host = s.name
		list = append(list, request)
	}
	return list, nil
}

// takes tells what keeps a node from taking a run.
func takes(spots []spot, name string) error {
	i := slices.IndexFunc(spots, func(s spot) bool { return s.name == name })
	if i < 0 {
		var known []string
		for _, s := range spots {
			known = append(known, s.name)
		}
		return unknownPlace("node", name, known)
	}
	if !spots[i].there {
		return api.NewProblem(api.CodeUnavailable, "`upkeep nodes` shows which nodes are there", fmt.Sprintf("the node %s takes no runs: %s", name, spots[i].why))
	}
	return nil
}

// fitting returns the nodes with a label that take runs, at least one. asked
// tells that a person named the label.
func fitting(spots []spot, label string, asked bool) ([]spot, error) {
	var fit []spot
	var labels, away []string
	for _, s := range spots {
		labels = append(labels, s.labels...)
		switch {
		case label != "" && !slices.Contains(s.labels, label):
		case !s.there:
			away = append(away, s.name+": "+s.why)
		default:
			fit = append(fit, s)
		}
	}
	if len(fit) > 0 {
		return fit, nil
	}
	if asked && label != "" && !slices.Contains(labels, label) {
		slices.Sort(labels)
		return nil, unknownPlace("label", label, slices.Compact(labels))
	}
	what, hint := "no node is there that takes runs", "`upkeep nodes` shows the nodes"
	if label != "" {
		what, hint = fmt.Sprintf("no node with the label %s takes runs", label), fmt.Sprintf("give a node the label with labels: [%s] at the top of its configuration, or name a node with --on", label)
	}
	if len(away) > 0 {
		what, hint = what+" ("+strings.Join(away, "; ")+")", "try again when one is back, or name another with --on"
	}
	return nil, api.NewProblem(api.CodeUnavailable, hint, what)
}

// unknownPlace says that there is no such node or label.
func unknownPlace(family, name string, known []string) error {
	err := &configs.UnknownError{Family: family, Name: name, Known: known}
	hint := err.Hint()
	if hint == "" {
		hint = "`upkeep nodes` shows the nodes and their labels"
	}
	return api.NewProblem(api.CodeNotFound, hint, err.Error())
}
