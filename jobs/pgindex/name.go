package pgindex

import (
	"fmt"
	"hash/fnv"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// mark ends the name under which an index is built. Nothing else gives such
// names, so what bears one is ours.
const mark = "_upkeep"

// marked is the name under which an index is built. One that would be too long
// is cut, and told from others by a digest.
func marked(name string) string {
	if len(name)+len(mark) <= longestName {
		return name + mark
	}
	h := fnv.New32a()
	// A hash takes every write.
	_, _ = h.Write([]byte(name))
	digest := fmt.Sprintf("_%08x", h.Sum32())
	name = name[:longestName-len(mark)-len(digest)]
	for !utf8.ValidString(name) {
		name = name[:len(name)-1]
	}
	return name + digest + mark
}

func isMarked(name string) bool { return strings.HasSuffix(name, mark) }

// transient is how REINDEX CONCURRENTLY calls what it builds, and what it
// replaced, until it is done; a number makes the name unique
// (postgresql.org/docs/current/sql-reindex.html).
var transient = regexp.MustCompile(`^(.+)_cc(?:new|old)\d*$`)

// transientOf returns the name of the index that a leftover of REINDEX
// CONCURRENTLY belongs to; empty when name is not that of one. The server cuts
// a long name to make room for the ending.
func transientOf(name string) string {
	if m := transient.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return ""
}

// statement writes the definition as SQL under a name, for a table. columns are
// those that the table has.
func (x Index) statement(name string, table []string, concurrently bool, columns map[string]bool) string {
	var b strings.Builder
	b.WriteString("CREATE ")
	if x.Unique {
		b.WriteString("UNIQUE ")
	}
	b.WriteString("INDEX ")
	if concurrently {
		b.WriteString("CONCURRENTLY IF NOT EXISTS ")
	}
	method := x.Method
	if method == "" {
		method = "btree"
	}
	keys := make([]string, len(x.Columns))
	for i, c := range x.Columns {
		keys[i] = c
		if columns[c] {
			keys[i] = pg.Name(c)
		}
	}
	fmt.Fprintf(&b, "%s ON %s USING %s (%s)", pg.Name(name), pg.Name(table...), method, strings.Join(keys, ", "))
	if len(x.Include) > 0 {
		quoted := make([]string, len(x.Include))
		for i, c := range x.Include {
			quoted[i] = pg.Name(c)
		}
		fmt.Fprintf(&b, " INCLUDE (%s)", strings.Join(quoted, ", "))
	}
	if len(x.With) > 0 {
		b.WriteString(" WITH (" + x.parameters() + ")")
	}
	if x.Tablespace != "" && concurrently {
		b.WriteString(" TABLESPACE " + pg.Name(x.Tablespace))
	}
	if x.Where != "" {
		b.WriteString(" WHERE " + x.Where)
	}
	return b.String()
}

// objectID makes the id of a finding about an index. A name that the form of
// ids changes gets a digest, so that two such names stay two.
func objectID(prefix, schema, name string) string {
	object := schema + "." + name
	id := jobs.FindingIDFrom(prefix + ":" + object)
	if id == prefix+":"+object {
		return id
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(object))
	return fmt.Sprintf("%s-%08x", id[:min(len(id), 200)], h.Sum32())
}
