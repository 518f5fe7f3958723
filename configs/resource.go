package configs

import (
	"fmt"
	"reflect"

	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/problem"
	"github.com/ghosteam/upkeep/configs/internal/source"
)

// mostPlaces is the largest limit of a resource.
const mostPlaces = 1000

// Resource is a named lock of which more is said than its name: how many jobs
// may hold it at once on all nodes together, and where it is kept.
type Resource struct {
	Name string
	// Limit is at least 1.
	Limit int
	// In is the database of the kind redis in which it is kept beside the ledger,
	// so that other tools take part; empty for none.
	In string
}

// Resource returns what is configured about a named lock. One of which nothing
// is said is for one job at a time, and kept in the ledger alone.
func (c *Config) Resource(lock string) Resource {
	for _, r := range c.Resources {
		if r.Name == lock {
			return r
		}
	}
	return Resource{Name: lock, Limit: 1}
}

// resourceFile is one resource in full.
type resourceFile struct {
	Limit int    `yaml:"limit" range:"1,1000" doc:"How many jobs may hold it at once, on all nodes together, 1 to 1000; 1 by default."`
	In    string `yaml:"in" fixed:"true" doc:"A database of the kind redis in which it is kept too, for tools other than upkeep that take part. Its jobs get the fencing number of the lock as UPKEEP_FENCE_NAME." example:"cache"`
}

// resourceItem is one entry of resources.
type resourceItem struct {
	name string
	at   source.Pos
	node *source.Node
	file resourceFile
}

// resourcesField is the map from names of locks, which may hold what names of
// the configuration may not, to a number or a resourceFile.
type resourcesField []resourceItem

// Decode reads the map.
func (r *resourcesField) Decode(d *decode.Decoder, n *source.Node, path string, at source.Pos) {
	if n.Kind != source.Map {
		if n.Kind != source.Null {
			d.Report(n.Pos, "wrong-type", path, "resources must be a map from the names of locks", "write one \"name: 2\" per line: how many jobs may hold it at once")
		}
		return
	}
	for _, e := range n.Entries {
		below := path + "." + e.Key
		if !lockPattern.MatchString(e.Key) {
			d.Report(e.At, "bad-name", path, fmt.Sprintf("%q cannot be the name of a lock", e.Key), "write a name such as db-heavy or database/main, with lower-case letters, digits and . : / - _")
		}
		item := resourceItem{name: e.Key, at: e.At, node: e.Value, file: resourceFile{Limit: 1}}
		if e.Value.Kind == source.Scalar {
			before := len(d.Problems.Errors())
			d.Decode(e.Value, &item.file.Limit, below, e.At)
			if limit := item.file.Limit; len(d.Problems.Errors()) == before && (limit < 1 || limit > mostPlaces) {
				d.Report(e.Value.Pos, "bad-value", below, fmt.Sprintf("%d is no limit of a resource", limit), fmt.Sprintf("write a number from 1 to %d", mostPlaces))
			}
		} else {
			d.Decode(e.Value, &item.file, below, e.At)
		}
		*r = append(*r, item)
	}
}

// Schema describes the two forms of each entry.
func (*resourcesField) Schema(inner func(reflect.Type) map[string]any) map[string]any {
	return map[string]any{
		"type": []string{"object", "null"}, "propertyNames": map[string]any{"pattern": lockPattern.String()},
		"additionalProperties": map[string]any{"oneOf": []any{
			map[string]any{"type": "integer", "minimum": 1, "maximum": mostPlaces}, inner(reflect.TypeFor[resourceFile]()),
		}},
	}
}

// resources takes the resources, whose databases must exist.
func (l *loader) resources() {
	for _, item := range l.file.Resources {
		r := Resource{Name: item.name, Limit: item.file.Limit, In: item.file.In}
		l.config.Resources = append(l.config.Resources, r)
		if r.In == "" {
			continue
		}
		path, place := "resources."+r.Name+".in", at(item.node, "in", item.at)
		switch database, found := l.w.databases.Lookup(r.In); {
		case !found:
			l.d.Report(place, "unknown-name", path, fmt.Sprintf("there is no database %q", r.In), problem.DidYouMean(r.In, l.w.databases.Names()))
		case database.Value.Kind != "redis" && database.Value.Kind != "":
			l.d.Report(place, "bad-value", path, fmt.Sprintf("the database %q is one of kind %s", r.In, database.Value.Kind), "locks that other tools take part in are kept in a database of kind redis")
		}
	}
}
