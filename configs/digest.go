package configs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/configs/internal/source"
)

// Digest identifies the configuration: the SHA-256, in lower-case hexadecimal,
// of the texts of its files in their order, each after its length in 8 bytes.
// What references stand for, and where the files lie, is not part of it, so
// nodes with the same files have the same digest.
func (c *Config) Digest() string { return c.digest }

func digestOf(texts [][]byte) string {
	h := sha256.New()
	for _, text := range texts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write(text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// mostChanges is how many names Changes lists one by one.
const mostChanges = 10

// Changes says in words what is different from an earlier configuration, one
// line for each part, such as "workflows added: weekly" or "workflow daily
// changed: schedule, jobs.backup". It shows keys and names, never values, and is
// empty when both mean the same. What references stand for is not compared.
func (c *Config) Changes(old *Config) []string {
	var out, keys []string
	for _, key := range union(c.node.Keys(), old.node.Keys()) {
		now, before := entry(c.node, key), entry(old.node, key)
		switch {
		case same(now, before):
		case named(key):
			out = append(out, changesOfFamily(key, now, before)...)
		default:
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		out = append([]string{"changed: " + few(keys)}, out...)
	}
	return out
}

// named tells whether a key at the top is a map of names, to which several
// files may contribute.
func named(key string) bool {
	return slices.Contains([]string{"stores", "databases", "checks", "channels", "scrape", "resources", "workflows"}, key)
}

// changesOfFamily compares two maps of names.
func changesOfFamily(family string, now, before *source.Node) []string {
	var added, removed, changed, out []string
	present, past := index(now), index(before)
	for _, name := range union(now.Keys(), before.Keys()) {
		a, b := present[name], past[name]
		switch {
		case b == nil:
			added = append(added, name)
		case a == nil:
			removed = append(removed, name)
		case !same(a, b):
			changed = append(changed, name)
		}
	}
	if len(added) > 0 {
		out = append(out, family+" added: "+few(added))
	}
	if len(removed) > 0 {
		out = append(out, family+" removed: "+few(removed))
	}
	if len(changed) > mostChanges {
		return append(out, family+" changed: "+few(changed))
	}
	for _, name := range changed {
		out = append(out, fmt.Sprintf("%s %s changed: %s", strings.TrimSuffix(family, "s"), name, few(changedKeys("", present[name], past[name]))))
	}
	return out
}

// changedKeys returns the keys in which two maps differ; of jobs their names.
func changedKeys(prefix string, now, before *source.Node) []string {
	var out []string
	for _, key := range union(now.Keys(), before.Keys()) {
		a, b := entry(now, key), entry(before, key)
		switch {
		case same(a, b):
		case prefix == "" && key == "jobs" && a != nil && b != nil && a.Kind == source.Map && b.Kind == source.Map && len(changedKeys("jobs.", a, b)) > 0:
			out = append(out, changedKeys("jobs.", a, b)...)
		default:
			out = append(out, prefix+key)
		}
	}
	if len(out) == 0 {
		return []string{"order"}
	}
	return out
}

// entry returns the value of a key, or nil.
func entry(n *source.Node, key string) *source.Node {
	e, _ := n.Get(key)
	return e.Value
}

// index returns the values of a map by their keys.
func index(n *source.Node) map[string]*source.Node {
	out := map[string]*source.Node{}
	if n != nil {
		for _, e := range n.Entries {
			out[e.Key] = e.Value
		}
	}
	return out
}

// same tells whether two values are written alike but for comments, aliases and
// layout.
func same(a, b *source.Node) bool {
	if a == nil || b == nil {
		return a == b
	}
	return source.Text(a) == source.Text(b)
}

// union returns what is in a, then what is in b alone.
func union(a, b []string) []string {
	out := slices.Clone(a)
	known := make(map[string]bool, len(a))
	for _, key := range a {
		known[key] = true
	}
	for _, key := range b {
		if !known[key] {
			out = append(out, key)
		}
	}
	return out
}

// few lists names, or the first of them and how many there are more.
func few(names []string) string {
	if len(names) <= mostChanges {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostChanges], ", "), len(names)-mostChanges)
}
