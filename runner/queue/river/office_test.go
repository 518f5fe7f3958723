package river_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/queue/river"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// patience bounds what must happen; only a hang exceeds it.
const patience = 60 * time.Second

// office is a ledger that knows which runs are open, and nothing else.
type office struct {
	mu   sync.Mutex
	open map[runner.RunID]runner.Delivery
	// begun are the open runs that somebody executes.
	begun map[runner.RunID]bool
	// reads counts the calls of Pending.
	reads int
}

func newOffice() *office {
	return &office{open: map[runner.RunID]runner.Delivery{}, begun: map[runner.RunID]bool{}}
}

// begin takes a run off the list of those that are pending.
func (o *office) begin(id runner.RunID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun[id] = true
}

// read returns how often the list of pending runs was read.
func (o *office) read() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.reads
}

// record opens runs for a target and returns their IDs.
func (o *office) record(prefix string, count int, t runner.Target) []runner.RunID {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []runner.RunID
	for i := range count {
		id := runner.RunID(fmt.Sprintf("%s-%04d", prefix, i))
		o.open[id] = runner.Delivery{Run: id, Epoch: 1, Target: t}
		ids = append(ids, id)
	}
	return ids
}

// end closes a run.
func (o *office) end(id runner.RunID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, id)
}

// Pending implements runner.Backlog.
func (o *office) Pending(_ context.Context, after runner.RunID, limit int) ([]runner.RunID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.reads++
	var ids []runner.RunID
	for id := range o.open {
		if id > after && !o.begun[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(limit, len(ids))], nil
}

// Deliveries implements river.Ledger.
func (o *office) Deliveries(_ context.Context, ids ...runner.RunID) ([]runner.Delivery, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []runner.Delivery
	for _, id := range ids {
		if d, ok := o.open[id]; ok {
			list = append(list, d)
		}
	}
	return list, nil
}

// database is a fresh database with the schema of a ledger.
func database(t *testing.T) string {
	t.Helper()
	address := ledgertest.Postgres(t).Reveal()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA upkeep"); err != nil {
		t.Fatal(err)
	}
	return address
}

// pool connects to a database as a ledger does.
func pool(t *testing.T, address string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(address)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 8
	config.ConnConfig.RuntimeParams["search_path"] = "upkeep"
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on"
	p, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// journal collects log lines.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(p))
	return len(p), nil
}

// of returns the lines that have a level.
func (j *journal) of(level string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.lines), func(l string) bool { return !strings.Contains(l, "level="+level+" ") })
}

// post is a node that works on what its queue hands it.
type post struct {
	*river.Queue

	t       *testing.T
	name    string
	office  *office
	journal *journal
	pool    *pgxpool.Pool
	// handle is called for each run, before the run is closed; nil for nothing.
	handle func(ctx context.Context, id runner.RunID)
	leave  context.CancelFunc
	over   chan error

	mu    sync.Mutex
	began []runner.RunID
	now   map[runner.RunID]bool
	most  int
	twice bool
	// bell has a value when a run began or ended.
	bell chan struct{}
}

// newPost makes a node that does not work yet.
func (o *office) newPost(t *testing.T, address, name string, slots int, labels ...string) *post {
	t.Helper()
	p := &post{t: t, name: name, office: o, journal: &journal{}, pool: pool(t, address), now: map[runner.RunID]bool{}, bell: make(chan struct{}, 1)}
	q, err := river.New(t.Context(), river.Options{
		Ledger: o, Pool: p.pool, Node: name, Labels: labels, Slots: slots,
		Log: slog.New(slog.NewTextHandler(p.journal, nil)),
	})
	if err != nil {
		t.Fatalf("open the queue of %s: %v", name, err)
	}
	p.Queue = q
	return p
}

// work begins to work, until end or the test's end. It has read what is pending
// when it returns, so that nothing that comes later is handed over twice.
func (p *post) work() *post {
	p.t.Helper()
	read := p.office.read()
	defer await(p.t, "the beginning of work", func() bool { return p.office.read() > read })
	ctx, leave := context.WithCancel(context.Background())
	p.leave, p.over = leave, make(chan error, 1)
	go func() { p.over <- p.Work(ctx, p.do) }()
	p.t.Cleanup(func() {
		leave()
		if p.over != nil {
			p.end()
		}
	})
	return p
}

// end stops working and waits for it.
func (p *post) end() {
	p.t.Helper()
	p.leave()
	select {
	case err := <-p.over:
		if err != nil {
			p.t.Errorf("%s ended with %v", p.name, err)
		}
	case <-time.After(patience):
		p.t.Errorf("%s does not end", p.name)
	}
	p.over = nil
	if bad := p.journal.of("ERROR"); len(bad) > 0 {
		p.t.Errorf("%s logged errors: %s", p.name, bad)
	}
}

func (p *post) do(ctx context.Context, id runner.RunID) {
	p.mu.Lock()
	p.office.begin(id)
	p.began = append(p.began, id)
	p.twice = p.twice || p.now[id]
	p.now[id] = true
	p.most = max(p.most, len(p.now))
	handle := p.handle
	p.mu.Unlock()
	p.ring()
	if handle != nil {
		handle(ctx, id)
	}
	p.office.end(id)
	p.mu.Lock()
	delete(p.now, id)
	p.mu.Unlock()
	p.ring()
}

func (p *post) ring() {
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// runs returns what it began, in order, and how many of these run.
func (p *post) runs() (began []runner.RunID, now int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.began), len(p.now)
}

// hold holds the queue and waits for the fetches that had begun before.
func (p *post) hold() {
	p.t.Helper()
	p.Hold()
	await(p.t, "the end of fetches", func() bool { return !p.Fetching() })
}

// deliver hands runs over.
func (p *post) deliver(ids ...runner.RunID) {
	p.t.Helper()
	if err := p.Deliver(p.t.Context(), ids...); err != nil {
		p.t.Fatalf("deliver: %v", err)
	}
}

// await waits until done returns true.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// awaitBegun waits until the posts together have begun so many runs.
func awaitBegun(t *testing.T, count int, posts ...*post) {
	t.Helper()
	total := func() (n int) {
		for _, p := range posts {
			began, _ := p.runs()
			n += len(began)
		}
		return n
	}
	deadline := time.Now().Add(patience)
	for total() < count {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d runs began in %s", total(), count, patience)
		}
		time.Sleep(2 * time.Millisecond)
	}
}
