package runner

import (
	"slices"
	"strings"
)

// Target says which nodes may execute a run: the empty Target all of them,
// "node:NAME" the one of that name, "label:NAME" those that carry that label.
type Target string

const (
	toNode  = "node:"
	toLabel = "label:"
)

// OnNode is the Target of one node.
func OnNode(name string) Target { return Target(toNode + name) }

// OnLabel is the Target of the nodes that carry a label.
func OnLabel(label string) Target { return Target(toLabel + label) }

// Node returns the name of the only node of t; ok is false when t is none of
// one node.
func (t Target) Node() (name string, ok bool) { return strings.CutPrefix(string(t), toNode) }

// Label returns the label that t asks for; ok is false when it asks for none.
func (t Target) Label() (label string, ok bool) { return strings.CutPrefix(string(t), toLabel) }

// Fits tells whether a node with these labels may execute what is for t. A
// Target in none of the three forms fits nobody.
func (t Target) Fits(node string, labels []string) bool {
	if name, one := t.Node(); one {
		return name == node
	}
	if label, labeled := t.Label(); labeled {
		return slices.Contains(labels, label)
	}
	return t == ""
}

// Valid tells whether t has one of the three forms.
func (t Target) Valid() bool {
	name, one := t.Node()
	label, labeled := t.Label()
	return t == "" || one && name != "" || labeled && label != ""
}

// String says it for people: "any node", "node db-1" or "nodes labeled db".
func (t Target) String() string {
	if name, one := t.Node(); one {
		return "node " + name
	}
	if label, labeled := t.Label(); labeled {
		return "nodes labeled " + label
	}
	return "any node"
}

// Delivery is what a queue needs to know of an open run: it is a pointer, and
// one with an epoch that has passed leads nowhere.
type Delivery struct {
	Run    RunID
	Epoch  int64
	Target Target
}
