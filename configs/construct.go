package configs

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/jobs"
)

// options is where the options of a kind stand and where they go.
type options struct {
	// values is a pointer to the kind's default options.
	values any
	// node is the value to decode; nil means that none is given.
	node *source.Node
	// path is its name in the configuration, key the key before it.
	path string
	key  source.Pos
}

// construct decodes options and makes something of them. It reports whatever
// is wrong to d, at its place. It does not call build when the options are not
// all known yet; ok is false then too.
func (w *world) construct(d *decode.Decoder, o options, deps *scope, build func() error) (ok bool) {
	before := len(d.Problems.Errors())
	deferred := d.Deferred
	d.Deferred = false
	node := o.node
	if node == nil {
		node = &source.Node{Kind: source.Map, Pos: o.key}
	}
	d.Decode(node, o.values, o.path, o.key)
	incomplete := d.Deferred
	d.Deferred = deferred || incomplete
	if incomplete && deps != nil {
		deps.incomplete = true
	}
	if incomplete || len(d.Problems.Errors()) > before {
		return false
	}
	decode.Absolute(o.values, w.root)
	err := build()
	if err == nil {
		return true
	}
	if deps != nil && deps.broken {
		return false // what it depends on has been reported where it stands
	}
	for _, one := range flatten(err) {
		explain(d, o, node, deps, one)
	}
	return false
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var out []error
	for _, inner := range joined.Unwrap() {
		out = append(out, flatten(inner)...)
	}
	return out
}

// explain reports an error of a kind at the option that it is about.
func explain(d *decode.Decoder, o options, node *source.Node, deps *scope, err error) {
	hint := jobs.HintOf(err)
	if field, ok := errors.AsType[*jobs.FieldError](err); ok {
		at, _, ok := node.Find(field.Field)
		if !ok {
			at = o.key
		}
		if field.Hint != "" {
			hint = field.Hint
		}
		rule := "bad-value"
		if unknown := deps.asked(field.Why); unknown != nil {
			rule, hint = "unknown-name", unknown.Hint()
		}
		d.Report(at, rule, o.path+"."+field.Field, fmt.Sprintf("%s: %s", field.Field, field.Why), hint)
		return
	}
	if unknown, ok := errors.AsType[*UnknownError](err); ok {
		at := o.key
		if found := node.Search(unknown.Name); found != nil {
			at = found.Pos
		}
		d.Report(at, "unknown-name", o.path, err.Error(), unknown.Hint())
		return
	}
	d.Report(o.key, "bad-value", o.path, err.Error(), hint)
}

// asked returns the unknown name that a kind asked deps for and mentions in
// text, if there is one.
func (s *scope) asked(text string) *UnknownError {
	if s == nil {
		return nil
	}
	for _, unknown := range s.unknown {
		if strings.Contains(text, unknown.Error()) {
			return unknown
		}
	}
	return nil
}
