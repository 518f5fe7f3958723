package ledger

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"

	"github.com/ghosteam/upkeep/runner"
)

// Writer returns the handle that writes.
func (l *Ledger) Writer() *sql.DB { return l.write }

// Database returns the handle that reads.
func (r *Reader) Database() *sql.DB { return r.db }

// Dialect names the dialect.
func (r *Reader) Dialect() string { return r.d.name }

// OnCommit calls f for every transaction that SQLite commits on the writer's
// connection, including any that this package does not know it makes.
func (l *Ledger) OnCommit(ctx context.Context, f func()) error {
	conn, err := l.write.Conn(ctx)
	if err != nil {
		return err
	}
	err = conn.Raw(func(c any) error {
		hooks, ok := c.(sqlite.HookRegisterer)
		if !ok {
			return errors.New("the driver has no hooks")
		}
		hooks.RegisterCommitHook(func() int32 { f(); return 0 })
		return nil
	})
	return errors.Join(err, conn.Close())
}

// Transact runs do in a transaction of the ledger.
func (l *Ledger) Transact(ctx context.Context, do func(exec func(query string, args ...any) error) error) error {
	return l.transact(ctx, "test", func(ctx context.Context, s session) error {
		return do(func(query string, args ...any) error {
			_, err := s.exec(ctx, query, args...)
			return err
		})
	})
}

// Recorded is a query that a reader ran, as the database saw it.
type Recorded struct {
	Query string
	Args  []any
}

// recorder is an executor that remembers queries.
type recorder struct {
	executor
	mu   sync.Mutex
	list []Recorded
}

func (r *recorder) note(query string, args []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, Recorded{query, slices.Clone(args)})
}

func (r *recorder) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	r.note(query, args)
	return r.executor.QueryContext(ctx, query, args...)
}

func (r *recorder) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	r.note(query, args)
	return r.executor.QueryRowContext(ctx, query, args...)
}

// Recorded returns the queries that reads made while do ran.
func (r *Reader) Recorded(do func()) []Recorded {
	rec := &recorder{executor: r.on}
	r.on = rec
	defer func() { r.on = rec.executor }()
	do()
	return rec.list
}

// IDsOf, TickBounds and Micros expose how run IDs carry their time.
func IDsOf(now time.Time, n int) ([]runner.RunID, []int64, error) {
	ids, ticks, err := newRunIDs(now, n)
	at := make([]int64, len(ticks))
	for i, t := range ticks {
		at[i] = t.micros()
	}
	return ids, at, err
}

// BoundOf returns the smallest run ID that is not before t.
func BoundOf(t time.Time) runner.RunID { return tickOf(t).bound() }

// JudgeFolder judges a folder that lies on a file system with this magic number.
func JudgeFolder(folder string, magic int64, o Options) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	return judgeFolder(folder, magic, o)
}

// ProcessOf and ProvablyDead expose how processes are told apart.
func ProcessOf(pid int) string { return processOf(pid) }

// ProvablyDead tells whether a process is certainly gone.
func ProvablyDead(host string, pid int, process string, local bool) bool {
	return provablyDead(host, pid, process, local)
}

// MigrateTo applies the migrations of a dialect up to a version.
func MigrateTo(ctx context.Context, db *sql.DB, name string, version int64) error {
	d := sqliteDialect("")
	if name == "postgres" {
		d = postgresDialect()
	}
	files, _, err := migrationsOf(d)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(d.goose, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	_, err = provider.UpTo(ctx, version)
	return err
}

// OpenOf counts the workflows among names that have an open run, as Decide
// looks for them.
func (r *Reader) OpenOf(ctx context.Context, names []string) (int, error) {
	open := map[runner.CalendarKey]openRun{}
	err := addOpenRuns(ctx, r.reading(), names, open)
	return len(open), err
}

// MayStart tells what keeps a queued run from starting.
func (r *Reader) MayStart(ctx context.Context, run runner.Run) error {
	return mayStart(ctx, r.reading(), run)
}

// Overwrite fills a file on file systems that cannot allocate.
func Overwrite(ctx context.Context, file *os.File, bytes int64) error {
	return overwrite(ctx, file, bytes)
}

// Clean makes a text storable.
func Clean(text string, limit int) string { return clean(text, limit) }
