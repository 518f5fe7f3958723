package pgbackup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/child"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// choose returns the database of a backup that is to be restored, and the
// tables of it when only those are. only are names of databases, or of tables
// as DATABASE:SCHEMA.TABLE.
func (d *Details) choose(only []string) (*Database, []Table, error) {
	var chosen *Database
	var tables []Table
	whole := false
	for _, name := range only {
		db, t, err := d.find(name)
		if err != nil {
			return nil, nil, err
		}
		if chosen != nil && db != chosen {
			return nil, nil, errors.New("one database of the backup is restored at a time")
		}
		chosen = db
		if t == nil {
			whole = true
		} else if !slices.Contains(tables, *t) {
			tables = append(tables, *t)
		}
	}
	switch {
	case whole && len(tables) > 0:
		return nil, nil, errors.New("--only names a database and a table of it: either of them is enough")
	case chosen != nil:
		return chosen, tables, nil
	case len(d.Databases) == 1:
		return &d.Databases[0], nil, nil
	}
	return nil, nil, jobs.WithHint(fmt.Errorf("the backup holds %d databases", len(d.Databases)), "say which one with --only: "+d.names())
}

func (d *Details) names() string {
	var names []string
	for i := range d.Databases {
		names = append(names, d.Databases[i].Name)
	}
	return jobs.OneLine(strings.Join(names, ", "))
}

// find returns the database of a name, or the database and the table.
func (d *Details) find(name string) (*Database, *Table, error) {
	if db := d.called(name); db != nil {
		return db, nil, nil
	}
	for at := range name {
		if name[at] != ':' || d.called(name[:at]) == nil {
			continue
		}
		db, table := d.called(name[:at]), name[at+1:]
		var found []*Table
		for j := range db.Tables {
			if t := &db.Tables[j]; table == t.Schema+"."+t.Name || table == pg.Name(t.Schema, t.Name) {
				found = append(found, t)
			}
		}
		switch {
		case len(found) > 1:
			return nil, nil, fmt.Errorf("%q stands for several tables: write it with quotes, such as %s", name, db.Name+":"+pg.Name(found[0].Schema, found[0].Name))
		case len(found) == 1 && !found[0].Dumped:
			return nil, nil, fmt.Errorf("the backup does not hold the rows of %s", table)
		case len(found) == 1:
			return db, found[0], nil
		}
		return nil, nil, jobs.WithHint(fmt.Errorf("the backup of %s holds no rows of a table %q", db.Name, table), "write it as it is spelled in the database: DATABASE:SCHEMA.TABLE")
	}
	return nil, nil, jobs.WithHint(fmt.Errorf("the backup holds no %q", name), "--only names a database of it, or a table as DATABASE:SCHEMA.TABLE; it holds "+d.names())
}

// called returns the database of a name, its own or else the configured one; nil
// when there is none, or several.
func (d *Details) called(name string) *Database {
	var configured []*Database
	for i := range d.Databases {
		db := &d.Databases[i]
		if db.Name == name {
			return db
		}
		if db.Configured == name {
			configured = append(configured, db)
		}
	}
	if len(configured) == 1 {
		return configured[0]
	}
	return nil
}

// tocEntry is an entry of a dump's table of contents.
type tocEntry struct {
	id           int
	catalog, oid uint32
	sort, what   string
	needs        []int
}

// title is the entry without its owner, who stands last.
func (e *tocEntry) title() string {
	if at := strings.LastIndexByte(strings.TrimRight(e.what, " "), ' '); at > 0 {
		return e.what[:at]
	}
	return e.what
}

// tocLine is such an entry as `pg_restore --list` writes it, and tocNeeds what
// it depends on.
var (
	tocLine  = regexp.MustCompile(`^(\d+); (\d+) (\d+) (.*)$`)
	tocNeeds = regexp.MustCompile(`^;\s+depends on:([ \d]+)$`)
)

// sorts are the sorts of entries that come with a table: what is defined on it
// and its rows. They have spaces, so that they are recognized by their names;
// the longer ones stand first.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var sorts = []string{
	"TABLE DATA", "TABLE ATTACH", "TABLE", "SEQUENCE OWNED BY", "SEQUENCE SET", "SEQUENCE", "DEFAULT", "CHECK CONSTRAINT", foreignKey, "CONSTRAINT",
	"INDEX ATTACH", "INDEX", "TRIGGER", "RULE", "POLICY", "ROW SECURITY", "STATISTICS", "COMMENT", "ACL", "SECURITY LABEL",
}

// toc is a dump's table of contents.
type toc struct {
	entries []*tocEntry
	byID    map[int]*tocEntry
}

// readTOC reads what `pg_restore --list --verbose` writes.
func readTOC(lines *bufio.Reader) (*toc, error) {
	c := &toc{byID: map[int]*tocEntry{}}
	var last *tocEntry
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if m := tocLine.FindStringSubmatch(line); m != nil {
			last = newEntry(m)

			c.entries = append(c.entries, last)
			c.byID[last.id] = last
		} else if m := tocNeeds.FindStringSubmatch(line); m != nil && last != nil {
			for word := range strings.FieldsSeq(m[1]) {
				id, convErr := strconv.Atoi(word)
				if convErr != nil {
					return nil, fmt.Errorf("read the table of contents: %w", convErr)
				}
				last.needs = append(last.needs, id)
			}
		}
		if err != nil {
			if errors.Is(err, errEnd) {
				return c, nil
			}
			return nil, fmt.Errorf("read the table of contents: %w", err)
		}
	}
}

func newEntry(m []string) *tocEntry {
	number := func(text string) uint64 {
		n, _ := strconv.ParseUint(text, 10, 32) // digits; what is too large is nothing of ours
		return n
	}
	e := &tocEntry{id: int(number(m[1])), catalog: uint32(number(m[2])), oid: uint32(number(m[3])), what: m[4]}
	for _, sort := range sorts {
		if strings.HasPrefix(m[4], sort+" ") {
			e.sort = sort
			break
		}
	}
	return e
}

// foreignKey is the sort of an entry that refers to two tables.
const foreignKey = "FK CONSTRAINT"

// classRelations is the OID of pg_class, of which the entries of tables are.
const classRelations = 1259

// selection is what is taken of a table of contents.
type selection struct {
	*toc
	tables  []Table
	wanted  map[uint32]bool
	taken   map[int]bool
	guests  []string
	omitted []string
}

// selectFrom takes tables, what they need, and all that belongs to them: without
// that, a table would come back without its keys, indexes and defaults, and
// nobody would be told. What refers to tables that are not taken is left out and
// named.
func (c *toc) selectFrom(tables []Table) (*selection, error) {
	oids := map[uint32]bool{}
	for _, t := range tables {
		oids[t.OID] = true
	}
	s := &selection{toc: c, tables: tables, wanted: oids, taken: map[int]bool{}}
	found := map[uint32]bool{}
	for _, e := range c.entries {
		if e.sort == "TABLE" && e.catalog == classRelations && oids[e.oid] {
			found[e.oid] = true
			s.take(e.id)
		}
	}
	if len(found) != len(oids) {
		return nil, fmt.Errorf("the dump defines %d of %d tables", len(found), len(oids))
	}
	for again := true; again; {
		again = false
		for _, e := range c.entries {
			if e.sort == "" || e.sort == "TABLE" || s.taken[e.id] || !s.belongs(e) || !s.complete(e) {
				continue
			}
			s.take(e.id)
			again = true
		}
	}
	for _, e := range c.entries {
		if e.sort != "" && e.sort != "TABLE" && e.sort != "SEQUENCE" && !s.taken[e.id] && s.belongs(e) && s.mine(e) {
			s.omitted = append(s.omitted, e.title())
		}
	}
	return s, nil
}

// take takes an entry and what it needs.
func (s *selection) take(id int) {
	e := s.byID[id]
	if e == nil || s.taken[id] {
		return
	}
	s.taken[id] = true
	if e.sort == "TABLE" && !s.wanted[e.oid] {
		s.guests = append(s.guests, e.title())
	}
	for _, need := range e.needs {
		s.take(need)
	}
}

// belongs tells that an entry is about something that was taken. Rows are only
// those of the tables that are wanted, and sequences come with what needs them.
func (s *selection) belongs(e *tocEntry) bool {
	if e.sort == "TABLE DATA" {
		return s.wanted[e.oid]
	}
	about := slices.ContainsFunc(e.needs, func(id int) bool { return s.taken[id] })
	if e.sort == "SEQUENCE" {
		// One that a table owns is made after it; identity columns need theirs.
		return about && slices.ContainsFunc(e.needs, func(id int) bool { return s.isTable(id) && s.taken[id] })
	}
	return about
}

func (s *selection) isTable(id int) bool { return s.byID[id] != nil && s.byID[id].sort == "TABLE" }

// mine tells that a table that is wanted would go without the entry. A foreign
// key also needs the other table, of which it is no part; its own stands in its
// name.
func (s *selection) mine(e *tocEntry) bool {
	if e.sort == foreignKey {
		return slices.ContainsFunc(s.tables, func(t Table) bool { return strings.HasPrefix(e.what, foreignKey+" "+t.Schema+" "+t.Name+" ") })
	}
	return slices.ContainsFunc(e.needs, func(id int) bool { return s.isTable(id) && s.wanted[s.byID[id].oid] })
}

// complete tells that nothing is missing for an entry but what is no table, and
// for a foreign key no rows either.
func (s *selection) complete(e *tocEntry) bool {
	if e.sort == foreignKey && slices.ContainsFunc(e.needs, func(id int) bool { return s.isTable(id) && !s.wanted[s.byID[id].oid] }) {
		return false
	}
	seen := map[int]bool{}
	var whole func(id int) bool
	whole = func(id int) bool {
		n := s.byID[id]
		if n == nil || s.taken[id] || seen[id] {
			return true
		}
		seen[id] = true
		// A relation that was not taken: a table, a view, a foreign table.
		if n.catalog == classRelations && n.sort != "SEQUENCE" && n.sort != "INDEX" {
			return false
		}
		return !slices.ContainsFunc(n.needs, func(id int) bool { return !whole(id) })
	}
	return !slices.ContainsFunc(e.needs, func(id int) bool { return !whole(id) })
}

// selectTables writes the list of what pg_restore is to take, and tells what
// else comes, and what does not.
func (r *restore) selectTables(ctx context.Context) (path string, err error) {
	said := &tail{}
	cmd := tool{client: r.client, environ: r.env.Environ(), marks: r.env.Marks(), dir: r.env.WorkDir}.command("--list", "--verbose", r.file())
	cmd.Stderr = said
	out, err := child.Output(ctx, cmd)
	if err != nil {
		return "", fmt.Errorf("read the table of contents: %w", err)
	}
	c, err := readTOC(bufio.NewReader(out))
	if err = errors.Join(err, out.Close()); err != nil {
		return "", said.explain(err)
	}
	s, err := c.selectFrom(r.tables)
	if err != nil {
		return "", err
	}
	for _, what := range s.guests {
		r.tell("needed:"+jobs.FindingIDFrom(what), "%s is needed and restored without its rows", what)
	}
	for _, what := range s.omitted {
		r.warn("omitted:"+jobs.FindingIDFrom(what), "%s is left out, because it refers to what is not restored", what)
	}
	if r.database.LargeObjectsDumped && r.database.LargeObjects > 0 {
		r.warn("large-objects", "the large objects of the backup are left out: which of them belong to a table cannot be told")
	}
	var list strings.Builder
	for _, e := range c.entries {
		if s.taken[e.id] {
			fmt.Fprintf(&list, "%d; %d %d %s\n", e.id, e.catalog, e.oid, e.what)
		}
	}
	path = filepath.Join(r.laid, "list")
	return path, os.WriteFile(path, []byte(list.String()), 0o600)
}
