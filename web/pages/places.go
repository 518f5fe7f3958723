package pages

import (
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/web/api"
)

// Where a workflow runs, as the API writes it: any, every, the label of nodes, or
// every and a label.
const (
	onAny   = "any"
	onEvery = "every"
)

// placeWords says where a workflow runs.
func placeWords(where string) string {
	text := api.PlaceWords(where)
	if strings.HasPrefix(where, onEvery) {
		text += ", each for itself"
	}
	return text
}

// places are where a run may be asked for besides where its workflow says; none
// when there is one node.
func (v *visit) places(where string) []choice {
	members, err := v.api.Members(v.ctx)
	if err != nil || len(members) < 2 {
		return nil // the form does without
	}
	list := []choice{{Text: "where the workflow says: " + placeWords(where)}}
	if where != onAny {
		list = append(list, choice{Value: onAny, Text: "any node"})
	}
	var labels []string
	named := 0
	for _, m := range members {
		labels = append(labels, m.Labels...)
		if m.State == api.MemberAlive && named < mostChoices {
			list = append(list, choice{Value: "node:" + m.Name, Text: "the node " + m.Name})
			named++
		}
	}
	slices.Sort(labels)
	labels = slices.Compact(labels)
	for _, l := range labels {
		list = append(list, choice{Value: "label:" + l, Text: "a node labeled " + l})
	}
	list = append(list, choice{Value: onEvery, Text: "every node, each for itself"})
	for _, l := range labels {
		list = append(list, choice{Value: onEvery + ":" + l, Text: "every node labeled " + l + ", each for itself"})
	}
	return list
}
