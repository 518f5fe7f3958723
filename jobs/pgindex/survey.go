package pgindex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/pg"
)

// parameters writes the storage parameters in one order.
func (x Index) parameters() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(x.With)) {
		parts = append(parts, name+" = '"+strings.ReplaceAll(x.With[name], "'", "''")+"'")
	}
	return strings.Join(parts, ", ")
}

// table is a table that an index is wanted for.
type table struct {
	OID          int64
	Schema, Name string
	Kind         string
	Bytes        int64
	Owned        bool
}

// present is an index that is there.
type present struct {
	OID, TableOID       int64
	Schema, Table, Name string
	Kind, TableKind     string
	// Definition is how the server writes it.
	Definition string
	Valid      bool
	Constraint bool
	Bytes      int64
	Owned      bool
}

// tail is the part of a definition that does not name the index and its table,
// with what stands in front of these.
func tail(definition string) string {
	front, _, _ := strings.Cut(definition, " INDEX ")
	// What follows is a name, which may hold anything, so the method is looked
	// for outside of quotes.
	quoted := false
	for i := range len(definition) {
		if definition[i] == '"' {
			quoted = !quoted
		}
		if !quoted && strings.HasPrefix(definition[i:], " USING ") {
			return front + definition[i:]
		}
	}
	return definition
}

// findTable finds a table by SCHEMA.TABLE or as SQL would.
func findTable(ctx context.Context, c *pg.Conn, name string) (table, error) {
	const columns = `SELECT c.oid::int8, n.nspname, c.relname, c.relkind::text, pg_table_size(c.oid), pg_has_role(c.relowner, 'USAGE')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace `
	found, err := pg.Rows[table](ctx, c, columns+`WHERE c.relkind IN ('r', 'p', 'm') AND
		(n.nspname || '.' || c.relname = $1 OR c.relname = $1 AND pg_table_is_visible(c.oid)) ORDER BY c.relname = $1 LIMIT 1`, name)
	if err == nil && len(found) == 0 {
		found, err = pg.Rows[table](ctx, c, columns+"WHERE c.oid = to_regclass($1::text)::oid", name)
	}
	if err != nil || len(found) == 0 {
		return table{}, errors.Join(fmt.Errorf("there is no table %s in the database", name), err)
	}
	return found[0], nil
}

// presentIndexes reads indexes by a condition over i (pg_index), c (the index),
// t (its table) and n (their schema).
func presentIndexes(ctx context.Context, c *pg.Conn, condition string, args ...any) ([]present, error) {
	return pg.Rows[present](ctx, c, `SELECT c.oid::int8, t.oid::int8, n.nspname, t.relname, c.relname, c.relkind::text, t.relkind::text, pg_get_indexdef(c.oid),
			i.indisvalid AND i.indisready AND i.indislive, EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = c.oid AND k.contype IN ('p', 'u', 'x')),
			c.relpages::int8 * current_setting('block_size')::int8, pg_has_role(t.relowner, 'USAGE')
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE t.relpersistence <> 't' AND `+condition+` ORDER BY n.nspname, c.relname`, args...)
}

// wanted is an index of the configuration with what is there.
type wanted struct {
	Index
	table   table
	columns map[string]bool
	// there is the index of its name, leftover that of the name under which it
	// is built; nil for none.
	there, leftover *present
	// definition is the tail of its definition as the server writes it.
	definition string
}

func (w wanted) title() string { return jobs.OneLine(w.table.Schema + "." + w.Name) }

func (w wanted) sql() string {
	return w.statement(marked(w.Name), []string{w.table.Schema, w.table.Name}, true, w.columns)
}

// survey finds what is there of an index of the configuration.
func (j *Job) survey(ctx context.Context, c *pg.Conn, x Index) (w wanted, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("index %s: %w", jobs.OneLine(x.Name), err)
		}
	}()
	w = wanted{Index: x, columns: map[string]bool{}}
	if w.table, err = findTable(ctx, c, x.Table); err != nil {
		return w, err
	}
	where := jobs.OneLine(w.table.Schema + "." + w.table.Name)
	switch {
	case w.table.Kind == "p":
		return w, refused("partitioned", "%s is partitioned, and its indexes cannot be built concurrently: list them for its partitions", where)
	case !w.table.Owned:
		return w, jobs.WithHint(fmt.Errorf("%s does not own %s", c.Server.User, where), "indexes are built by the owner of the table, or a role that is a member of it")
	}
	names, err := pg.Texts(ctx, c, "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::int8 AND attnum > 0 AND NOT attisdropped", w.table.OID)
	if err != nil {
		return w, err
	}
	for _, n := range names {
		w.columns[n] = true
	}
	if w.definition, err = j.try(ctx, c, w); err != nil {
		return w, err
	}
	found, err := presentIndexes(ctx, c, "n.nspname = $1 AND c.relname = ANY ($2::text[])", w.table.Schema, []string{x.Name, marked(x.Name)})
	if err != nil {
		return w, err
	}
	for i := range found {
		if found[i].Name == x.Name {
			w.there = &found[i]
		} else {
			w.leftover = &found[i]
		}
	}
	return w, j.agrees(ctx, c, w)
}

// agrees refuses what is called like the index and is something else.
func (j *Job) agrees(ctx context.Context, c *pg.Conn, w wanted) error {
	if w.there == nil {
		other, err := pg.Texts(ctx, c, "SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2", w.table.Schema, w.Name)
		if err == nil && len(other) > 0 {
			err = refused("name", "%s exists and is no index", w.title())
		}
		return err
	}
	switch t := *w.there; {
	case t.TableOID != w.table.OID:
		return refused("name", "%s exists, as an index of %s", w.title(), jobs.OneLine(t.Table))
	case tail(t.Definition) != w.definition:
		return refused("definition", "%s exists with another definition: %s; the configuration says %s", w.title(), jobs.OneLine(tail(t.Definition)), jobs.OneLine(w.definition))
	case !t.Valid && !j.options.ReplaceInvalid:
		return jobs.WithHint(refused("replace_invalid", "%s exists, is not valid, and was not left by this job", w.title()),
			"drop it, or allow to with replace_invalid: true")
	}
	return nil
}

// try lets the server write the definition, on an empty copy of the table in a
// transaction that is rolled back.
func (j *Job) try(ctx context.Context, c *pg.Conn, w wanted) (definition string, err error) {
	if _, err := c.Exec(ctx, "BEGIN"); err != nil {
		return "", err
	}
	defer func() {
		if !c.IsClosed() {
			_, failed := c.Exec(context.WithoutCancel(ctx), "ROLLBACK")
			err = errors.Join(err, failed)
		}
	}()
	const copied = "upkeep_pgindex_try"
	for _, statement := range []string{
		"SELECT set_config('lock_timeout', '" + pg.Milliseconds(j.options.LockTimeout.Std()) + "', true)",
		"CREATE TEMPORARY TABLE " + copied + " (LIKE " + pg.Name(w.table.Schema, w.table.Name) + ") ON COMMIT DROP",
		w.statement(marked(w.Name), []string{"pg_temp", copied}, false, w.columns),
	} {
		if err := c.ExecOne(ctx, statement); err != nil {
			return "", fmt.Errorf("try its definition: %w", err)
		}
	}
	found, err := pg.Texts(ctx, c, "SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'pg_temp."+copied+"'::regclass")
	if err != nil || len(found) != 1 {
		return "", errors.Join(fmt.Errorf("try its definition: %d indexes came of it", len(found)), err)
	}
	return tail(found[0]), nil
}

// rebuilt is an index that reindex chose.
type rebuilt struct {
	present
	why string
	// leftover tells that it is dropped instead.
	leftover bool
	weight   float64
}

// choose finds what reindex is to do, most urgent first.
func (j *Job) choose(ctx context.Context, c *pg.Conn) ([]rebuilt, error) {
	rules := j.options.Reindex
	var chosen []rebuilt
	if rules.Invalid {
		found, err := presentIndexes(ctx, c, "NOT (i.indisvalid AND i.indisready AND i.indislive) AND c.relkind = 'i' AND n.nspname !~ '^pg_'")
		if err != nil {
			return nil, fmt.Errorf("look for invalid indexes: %w", err)
		}
		for _, p := range found {
			if isMarked(p.Name) { // of an index in some configuration
				continue
			}
			left, err := isTransient(ctx, c, p)
			if err != nil {
				return nil, err
			}
			chosen = append(chosen, rebuilt{present: p, why: "it is not valid", leftover: left, weight: 2})
		}
	}
	if rules.Bloated > 0 {
		found, err := pg.IndexBloat(ctx, c, max(rules.MinSize.Bytes(), 1), mostBloated)
		if err != nil {
			return nil, fmt.Errorf("estimate the empty room of indexes: %w", err)
		}
		for _, b := range found {
			if !b.Known || b.Percent() <= float64(rules.Bloated) || b.Wasted() < rules.MinSize.Bytes() {
				continue
			}
			p, err := presentIndexes(ctx, c, "c.oid = $1::int8", b.OID)
			if err != nil {
				return nil, err
			}
			for _, p := range p {
				chosen = append(chosen, rebuilt{present: p, why: fmt.Sprintf("about %.0f %% of it is empty room", b.Percent()), weight: b.Percent() / 100})
			}
		}
	}
	match, exclude := pg.Patterns(rules.Match), pg.Patterns(rules.Exclude)
	chosen = slices.DeleteFunc(chosen, func(r rebuilt) bool {
		name := r.Schema + "." + r.Name
		return match != nil && !match.MatchString(name) || exclude != nil && exclude.MatchString(name)
	})
	slices.SortStableFunc(chosen, func(a, b rebuilt) int { return cmp.Compare(b.weight, a.weight) })
	return chosen, nil
}

// mostBloated bounds how many indexes are estimated, the largest first.
const mostBloated = 500

// isTransient tells whether an invalid index is what an interrupted REINDEX
// CONCURRENTLY left: beside it there is the index that it belongs to, of the
// same table and definition.
func isTransient(ctx context.Context, c *pg.Conn, p present) (bool, error) {
	name := transientOf(p.Name)
	if name == "" {
		return false, nil
	}
	all, err := presentIndexes(ctx, c, "t.oid = $1::int8 AND c.oid <> $2::int8 AND n.nspname = $3", p.TableOID, p.OID, p.Schema)
	if err != nil {
		return false, fmt.Errorf("look for the index that %s belongs to: %w", jobs.OneLine(p.Name), err)
	}
	return slices.ContainsFunc(all, func(o present) bool {
		return (o.Name == name || len(p.Name) >= longestName-3 && strings.HasPrefix(o.Name, name)) && tail(o.Definition) == tail(p.Definition)
	}), nil
}
