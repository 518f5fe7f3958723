package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
)

// CopyOptions say which ledger is copied, and where to.
type CopyOptions struct {
	// From is the SQLite ledger, To an empty PostgreSQL database.
	From, To secret.String
	// Node and Command name who does it, for those who find a ledger taken.
	Node, Command string
	// DryRun looks at both and writes nothing.
	DryRun bool
	// Progress is told how far it is, by one goroutine at a time, about every
	// 10,000 rows and at the end of each table; nil for nobody.
	Progress func(CopyProgress)
	// Log receives what a person should know; nil means nobody.
	Log *slog.Logger
}

// The steps of a copy.
const (
	CopyRead   = "read"   // the rows of an interrupted copy are compared
	CopyWrite  = "write"  // rows are copied
	CopyVerify = "verify" // what was written is read back
)

// CopyProgress is how far a copy is.
type CopyProgress struct {
	Step, Table string
	// Rows of Total are done.
	Rows, Total int64
}

// Copied is what became of a copy.
type Copied struct {
	// From and To name the ledgers, without secrets; Schema is the name of the
	// tables' schema on the server.
	From, To, Schema string
	Tables           []CopiedTable
	// Resumed tells that an earlier copy was interrupted and this one went on
	// with it.
	Resumed bool
	// Repaired is how many texts had bytes that PostgreSQL does not take; each
	// such byte became the replacement character.
	Repaired int64
}

// CopiedTable is one table of a copy.
type CopiedTable struct {
	Name string
	Rows int64
	// Kept tells that an interrupted copy had written it.
	Kept bool
}

// Rows is the number of rows of all tables.
func (c Copied) Rows() int64 {
	var n int64
	for _, t := range c.Tables {
		n += t.Rows
	}
	return n
}

// errBeingFilled is why a ledger cannot be opened into which another is being
// copied.
func errBeingFilled(address string) error {
	return jobs.WithHint(fmt.Errorf("the ledger %s is not complete: another one is being copied into it, or that was interrupted", address),
		"wait for `upkeep ledger migrate`, or start it again: it goes on where it was")
}

// Copy copies everything that an SQLite ledger has on record into an empty
// PostgreSQL ledger, reads it back and compares. It needs the SQLite ledger for
// itself: *LockedError when a service or a command executes runs of it,
// runner.ErrUnavailable when one writes just now; meanwhile nobody can write
// there, and what is read is not changed.
//
// Each table is copied in one transaction or not at all. Until all of it has
// been compared, nobody can open the target as a ledger; a copy that was
// interrupted goes on when it is started again from the same file. A target
// that has rows of its own is refused with *jobs.RefusedError, and one of
// another schema with *SchemaError. Rows about processes that are gone (nodes)
// and what they were writing (live_outputs) stay behind.
func Copy(ctx context.Context, o CopyOptions) (c Copied, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(CopyProgress) {}
	}
	from, err := openCopySource(ctx, o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, from.close()) }()
	to, err := openCopyTarget(ctx, o)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, to.close(context.WithoutCancel(ctx))) }()
	c = Copied{From: from.path, To: to.address, Schema: to.schema}
	what := fmt.Sprintf("copy the ledger %s to %s", from.path, to.address)
	w := &copying{o: o, from: from, to: to}
	if o.DryRun {
		c.Tables, c.Resumed, err = w.rehearse(ctx)
	} else {
		c.Resumed, err = to.begin(ctx, from.identity)
		if err == nil {
			c.Tables, err = w.copy(ctx)
		}
		c.Repaired = w.repaired
	}
	if err != nil {
		return c, to.explain(ctx, what, err)
	}
	return c, nil
}

// copying is a copy under way.
type copying struct {
	o        CopyOptions
	from     *copySource
	to       *copyTarget
	repaired int64
}

// rehearse counts what would be copied, and tells whether an interrupted copy
// would go on.
func (w *copying) rehearse(ctx context.Context) ([]CopiedTable, bool, error) {
	resumed, err := w.to.fit(ctx, w.from.identity)
	if err != nil {
		return nil, false, err
	}
	names, err := w.from.tables(ctx)
	if err != nil {
		return nil, false, err
	}
	var list []CopiedTable
	for _, name := range names {
		rows, err := w.from.count(ctx, name)
		if err != nil {
			return nil, false, err
		}
		list = append(list, CopiedTable{Name: name, Rows: rows})
	}
	return list, resumed, nil
}

// copy copies the tables that are not there yet, compares all of them, and opens
// the target to everybody.
func (w *copying) copy(ctx context.Context) ([]CopiedTable, error) {
	tables, err := w.plan(ctx)
	if err != nil {
		return nil, err
	}
	list, sums, err := w.write(ctx, tables)
	if errors.Is(err, errSourceChanged) {
		w.o.Log.WarnContext(ctx, "the ledger changed since the copy was interrupted; it starts anew")
		if err = w.to.clear(ctx, tables); err == nil {
			list, sums, err = w.write(ctx, tables)
		}
	}
	if err != nil {
		return nil, err
	}
	for i, t := range tables {
		there, err := w.to.digest(ctx, t, w.telling(CopyVerify, t.name, list[i].Rows))
		if err != nil {
			return nil, fmt.Errorf("read table %s back: %w", t.name, err)
		}
		if there != sums[i] {
			return nil, fmt.Errorf("table %s was not copied faithfully: %d rows with digest %s here, %d with %s there",
				t.name, sums[i].rows, sums[i].short(), there.rows, there.short())
		}
	}
	return list, w.to.finish(ctx, tables)
}

// errSourceChanged ends a copy whose beginning was made from other rows.
var errSourceChanged = errors.New("the ledger changed since the copy began")

// write copies the tables that are not there yet.
func (w *copying) write(ctx context.Context, tables []copyTable) ([]CopiedTable, []rowDigest, error) {
	w.repaired = 0
	done, err := w.to.done(ctx)
	if err != nil {
		return nil, nil, err
	}
	var list []CopiedTable
	var sums []rowDigest
	for _, t := range tables {
		was, kept := done[t.name]
		sum, err := w.table(ctx, t, kept)
		if err == nil && kept && sum.String() != was {
			err = errSourceChanged
		}
		if err != nil {
			return nil, nil, fmt.Errorf("table %s: %w", t.name, err)
		}
		list, sums = append(list, CopiedTable{Name: t.name, Rows: sum.rows, Kept: kept}), append(sums, sum)
	}
	return list, sums, nil
}

// table copies a table, or only reads it when it is there already, and returns
// its digest.
func (w *copying) table(ctx context.Context, t copyTable, there bool) (rowDigest, error) {
	total, err := w.from.count(ctx, t.name)
	if err != nil {
		return rowDigest{}, err
	}
	step := CopyWrite
	if there {
		step = CopyRead
	}
	feed, err := w.from.feed(ctx, t, w.telling(step, t.name, total))
	if err != nil {
		return rowDigest{}, err
	}
	if there {
		for feed.Next() {
		}
		err = feed.Err()
	} else {
		err = w.to.fill(ctx, t, feed)
	}
	w.repaired += feed.repaired
	return feed.sum, errors.Join(err, feed.close())
}

// tellEvery is after how many rows it is told how far a copy is.
const tellEvery = 10_000

// telling returns what is called with the number of rows so far, and at the end
// with that number negated.
func (w *copying) telling(step, table string, total int64) func(int64) {
	return func(rows int64) {
		if rows <= 0 || rows%tellEvery == 0 {
			w.o.Progress(CopyProgress{Step: step, Table: table, Rows: max(rows, -rows), Total: total})
		}
	}
}

// plan returns the tables in an order in which what is referred to comes first.
// Both sides must have the same ones with the same columns.
func (w *copying) plan(ctx context.Context) ([]copyTable, error) {
	names, err := w.from.tables(ctx)
	if err != nil {
		return nil, err
	}
	there, err := w.to.tables(ctx)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(names, there) {
		return nil, fmt.Errorf("the tables differ: %s here, %s there", strings.Join(names, ", "), strings.Join(there, ", "))
	}
	parents, err := w.to.parents(ctx)
	if err != nil {
		return nil, err
	}
	var list []copyTable
	for _, name := range inOrder(names, parents) {
		t := copyTable{name: name}
		if t.columns, err = w.to.columns(ctx, name); err != nil {
			return nil, err
		}
		ours, keys, err := w.from.columns(ctx, name)
		if err != nil {
			return nil, err
		}
		if theirs := t.columnNames(); !slices.Equal(slices.Sorted(slices.Values(ours)), slices.Sorted(slices.Values(theirs))) {
			return nil, fmt.Errorf("the columns of table %s differ: %s here, %s there", name, strings.Join(ours, ", "), strings.Join(theirs, ", "))
		}
		t.keys = keys
		list = append(list, t)
	}
	return list, nil
}

// inOrder sorts names so that each comes after its parents. One that is its own
// parent, or in a circle, comes where it is met.
func inOrder(names []string, parents map[string][]string) []string {
	var out []string
	met := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if met[name] || !slices.Contains(names, name) {
			return
		}
		met[name] = true
		for _, parent := range parents[name] {
			visit(parent)
		}
		out = append(out, name)
	}
	for _, name := range names {
		visit(name)
	}
	return out
}

// copyWait is how long a writer of the source, and another process that sets the
// target up, are waited for.
const copyWait = 10 * time.Second
