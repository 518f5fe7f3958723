package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ghosteam/upkeep/runner"
)

// ErrMissing reports that there is no ledger yet at the given address.
var ErrMissing = errors.New("there is no ledger yet")

// Reader reads a ledger. It is safe for use by several goroutines, sees only
// committed data, and works while other processes write.
type Reader struct {
	db *sql.DB
	// on is db, where reads go.
	on executor
	// pool is what db draws its connections from; nil for SQLite.
	pool *pgxpool.Pool
	d    *dialect
	// address names the ledger in messages, without secrets.
	address string
	live    func(runner.AttemptKey) (runner.Output, bool, error)
}

// Ledger reads and writes a ledger as one instance. It is safe for use by
// several goroutines.
type Ledger struct {
	*Reader
	write *sql.DB
	// group is how SQLite is written; nil for PostgreSQL.
	group *group
	o     Options
	lock  *lockFile
	codec *compressor
	alarm atomic.Pointer[runner.Alarm]

	mu sync.Mutex
	registration
	// wires are the connections to the server; nil for SQLite.
	wires *wires
	// line is where the lease is renewed on PostgreSQL; nil before that.
	line *lifeline
	// buried are the ends of leases of dead instances of which nothing is left to
	// take over.
	buried map[string]time.Time
	// peers are the nodes as Abandoned last saw them, and peersAt when that was.
	peers   []Node
	peersAt time.Time
	// seen is when this node was last noted as a member, by the local clock.
	seen time.Time
	// facts are what this instance last had to announce; told tells that they
	// are on record.
	facts NodeFacts
	told  bool
	// mirrored are the running attempts of which pieces are on record.
	mirrored map[runner.AttemptKey]struct{}
	// claims are the claims handed out and not ended, so that a claim whose
	// answer never arrived can be told from one that somebody works on.
	claims map[runner.RunID]int64
}

// The ledger is what the engine and its readers need.
var (
	_ runner.Ledger  = (*Ledger)(nil)
	_ runner.Watcher = (*Ledger)(nil)
	_ runner.Backlog = (*Ledger)(nil)
	_ runner.Reader  = (*Ledger)(nil)
	_ runner.Reader  = (*Reader)(nil)

	_ runner.Calendars  = (*Ledger)(nil)
	_ runner.Control    = (*Ledger)(nil)
	_ runner.SlotReader = (*Reader)(nil)
	_ runner.Pruner     = (*Ledger)(nil)
)

// Open opens a ledger for reading and writing, creates it when it does not
// exist, and brings its tables up to date. A ledger that a newer upkeep wrote
// is refused with *SchemaError. The caller closes it.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	at, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	if o, err = o.complete(); err != nil {
		return nil, err
	}
	l := &Ledger{o: o, claims: map[runner.RunID]int64{}, codec: new(compressor)}
	l.SetAlarm(o.Alarm)
	if at.path != "" {
		err = l.openSQLite(ctx, at.path)
	} else {
		err = l.openPostgres(ctx, at.server)
	}
	if err != nil {
		return nil, errors.Join(err, l.close(context.WithoutCancel(ctx)))
	}
	return l, nil
}

// OpenReader opens a ledger for reading only. It never creates or changes
// anything: ErrMissing when there is no ledger. On a PostgreSQL server it also
// reads a ledger that a newer upkeep wrote, as migrations only add; an SQLite
// file of that kind is refused with *SchemaError. Of o only DSN and Live matter.
// The caller closes it.
func OpenReader(ctx context.Context, o Options) (*Reader, error) {
	at, err := parseDSN(o.DSN)
	if err != nil {
		return nil, err
	}
	if o, err = o.complete(); err != nil {
		return nil, err
	}
	if at.path != "" {
		return openSQLiteReader(ctx, at.path, o)
	}
	return openPostgresReader(ctx, at.server, o)
}

// Close ends all connections.
func (r *Reader) Close() error {
	if r.db == nil {
		return nil
	}
	return errors.Join(r.db.Close(), closePool(r.pool))
}

// Close takes this instance off the list of nodes, ends all connections and
// frees the lock file. Claimed runs that did not end count as abandoned.
func (l *Ledger) Close() error { return l.close(context.Background()) }

func (l *Ledger) close(ctx context.Context) error {
	var errs []error
	if l.write != nil {
		ctx, cancel := context.WithTimeoutCause(ctx, closeTimeout,
			errors.New("the ledger did not answer in time"))
		defer cancel()
		if err := l.Leave(ctx); err != nil {
			errs = append(errs, err)
		}
		if l.line != nil {
			l.line.close(ctx)
		}
	}
	// The writer closes last: the last connection of SQLite merges the
	// write-ahead log, which a read-only one cannot.
	if l.Reader != nil && l.db != l.write {
		errs = append(errs, l.Reader.Close())
	}
	if l.write != nil {
		errs = append(errs, l.write.Close())
		if l.Reader != nil && l.db == l.write {
			errs = append(errs, closePool(l.pool))
		}
		l.write = nil
	}
	if l.lock != nil {
		errs = append(errs, l.lock.release())
		l.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close the ledger: %w", err)
	}
	return nil
}

// closeTimeout bounds the farewell of Close.
const closeTimeout = 5 * time.Second

// Instance returns the identity under which this ledger writes.
func (l *Ledger) Instance() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.owner
}

// Address names the ledger for people, without secrets: the path of the SQLite
// file, or host, port and database of the server.
func (r *Reader) Address() string { return r.address }

// LiveDir returns the folder in which the executor keeps what running attempts
// have written so far, or the empty string when no StateDir is known. It need
// not exist.
func (l *Ledger) LiveDir() string {
	if l.o.StateDir == "" {
		return ""
	}
	return filepath.Join(l.o.StateDir, "live")
}

// reading returns a session for one read outside any transaction.
func (r *Reader) reading() session { return session{on: r.on, d: r.d} }
