package source

import (
	"fmt"

	"go.yaml.in/yaml/v4"

	"github.com/ghosteam/upkeep/configs/internal/problem"
)

const (
	// maxDepth is the deepest nesting of maps and lists.
	maxDepth = 64
	// maxWeight is how many values a file may have after its aliases were
	// put in place. A megabyte of YAML without aliases stays below it.
	maxWeight = 1 << 20
	// maxKey is the length of the longest key in bytes. YAML itself ends
	// simple keys at 1,024 characters.
	maxKey = 512
)

// converter turns the library's tree into ours, each library node once.
type converter struct {
	file     *File
	done     map[*yaml.Node]*Node
	open     map[*yaml.Node]bool
	problems problem.Problems
}

func (c *converter) report(y *yaml.Node, rule, message, hint string) {
	c.problems = append(c.problems, c.file.at(y.Line, y.Column).Problem(problem.Error, rule, "", message, hint))
}

// convert returns the Node of y. It returns a Null node after a problem, so
// that the rest of the file is looked at too.
func (c *converter) convert(y *yaml.Node, depth int) *Node {
	if ready, ok := c.done[y]; ok {
		return ready
	}
	out := &Node{Kind: Null, Pos: c.file.at(y.Line, y.Column), weight: 1}
	switch {
	case depth > maxDepth:
		c.report(y, "too-deep", fmt.Sprintf("the file nests deeper than %d levels", maxDepth), "")
		return out
	case y.Kind == yaml.DocumentNode:
		if len(y.Content) == 1 {
			return c.convert(y.Content[0], depth)
		}
		return out
	case y.Kind == yaml.AliasNode:
		if c.open[y.Alias] {
			c.report(y, "alias", fmt.Sprintf("the alias *%s stands inside the value that it names", y.Value), "")
			return out
		}
		return c.convert(y.Alias, depth)
	}
	if y.Style&yaml.TaggedStyle != 0 && y.Tag != "!!str" && y.Tag != "!!map" && y.Tag != "!!seq" {
		c.report(y, "tag", fmt.Sprintf("the tag %s is not supported", y.Tag), "remove it")
	}
	c.open[y] = true
	switch y.Kind {
	case yaml.ScalarNode:
		c.scalar(y, out)
	case yaml.SequenceNode:
		out.Kind = List
		for _, item := range y.Content {
			node := c.convert(item, depth+1)
			out.Items = append(out.Items, node)
			out.weight += node.weight
		}
	case yaml.MappingNode:
		out.Kind = Map
		c.entries(y, out, depth)
	}
	delete(c.open, y)
	if out.weight > maxWeight {
		c.report(y, "alias", fmt.Sprintf("the aliases below expand to more than %d values", maxWeight), "")
		out = &Node{Kind: Null, Pos: out.Pos, weight: 1}
	}
	c.done[y] = out
	return out
}

func (c *converter) scalar(y *yaml.Node, out *Node) {
	out.Plain = y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
	if out.Plain && y.Tag == "!!null" {
		return
	}
	out.Kind, out.Text = Scalar, y.Value
}

// entries fills out with the keys of y. Merged keys stand where the merge key
// stands and yield to the map's own keys.
func (c *converter) entries(y *yaml.Node, out *Node, depth int) {
	own := map[string]Pos{}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Tag == "!!merge" {
			continue
		}
		text, ok := c.key(key)
		if !ok {
			continue
		}
		if first, twice := own[text]; twice {
			c.report(key, "duplicate-key", fmt.Sprintf("the key %q is given twice; the first one stands in line %d", text, first.Line), "remove one of them")
			continue
		}
		own[text] = c.file.at(key.Line, key.Column)
	}
	taken := map[string]bool{}
	add := func(e Entry) {
		taken[e.Key] = true
		out.Entries = append(out.Entries, e)
		out.weight += e.Value.weight
	}
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, value := y.Content[i], c.convert(y.Content[i+1], depth+1)
		if key.Tag == "!!merge" {
			for _, e := range c.merged(y.Content[i+1], value) {
				if _, overridden := own[e.Key]; !overridden && !taken[e.Key] {
					add(e)
				}
			}
			continue
		}
		for key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if at, ok := own[key.Value]; ok && key.Kind == yaml.ScalarNode && !taken[key.Value] {
			add(Entry{Key: key.Value, At: at, Value: value})
		}
	}
}

// key returns the text of a map's key.
func (c *converter) key(y *yaml.Node) (string, bool) {
	if y.Kind == yaml.AliasNode {
		return c.key(y.Alias)
	}
	if y.Kind != yaml.ScalarNode || y.Tag == "!!null" {
		c.report(y, "key", "a key must be a word", "")
		return "", false
	}
	if len(y.Value) > maxKey {
		c.report(y, "key", fmt.Sprintf("the key is longer than %d bytes", maxKey), "")
		return "", false
	}
	return y.Value, true
}

// merged returns the entries that a merge key brings in.
func (c *converter) merged(y *yaml.Node, value *Node) []Entry {
	switch value.Kind {
	case Map:
		return value.Entries
	case List:
		var out []Entry
		for _, item := range value.Items {
			if item.Kind != Map {
				c.report(y, "merge", "a merge key takes maps only", "write <<: *name or <<: [*first, *second]")
				return nil
			}
			out = append(out, item.Entries...)
		}
		return out
	default:
		c.report(y, "merge", "a merge key takes a map", "write <<: *name")
		return nil
	}
}
