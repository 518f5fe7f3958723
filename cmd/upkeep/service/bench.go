package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

// OwnFiles are the files and folders of upkeep itself, which nothing else
// reads or writes.
func OwnFiles(cfg *configs.Config) []string { return ownFiles(cfg) }

// bench is where artifacts are worked on for those who ask over the API: one
// work at a time, for it may take much of the disk and of a database. It is
// safe for use by several goroutines.
type bench struct {
	d *Daemon

	mu sync.Mutex
	// busy says what is under way, and for whom; empty for nothing.
	busy  string
	since time.Time
	// free is closed when nothing is under way any more; nil while nothing is.
	free chan struct{}
}

var _ web.Custody = (*bench)(nil)

// Verify implements web.Custody.
func (b *bench) Verify(ctx context.Context, by string, r api.VerifyRequest) (web.Work, error) {
	return b.take(ctx, by, errand{verb: "verify", reads: true, identities: r.Identities, do: func(ctx context.Context, c *custody.Custodian) (api.Worked, error) {
		return c.Verify(ctx, r)
	}})
}

// Drill implements web.Custody.
func (b *bench) Drill(ctx context.Context, by string, r api.DrillRequest) (web.Work, error) {
	return b.take(ctx, by, errand{verb: "drill", identities: r.Identities, do: func(ctx context.Context, c *custody.Custodian) (api.Worked, error) {
		return c.Drill(ctx, r)
	}})
}

// Restore implements web.Custody.
func (b *bench) Restore(ctx context.Context, by string, r api.RestoreRequest) (web.Work, error) {
	return b.take(ctx, by, errand{verb: "restore", subject: r.To, identities: r.Identities, do: func(ctx context.Context, c *custody.Custodian) (api.Worked, error) {
		return c.Restore(ctx, r)
	}})
}

// Prune implements web.Custody. It makes room, so a full disk does not keep it.
func (b *bench) Prune(ctx context.Context, by string, r api.PruneRequest) (web.Work, error) {
	return b.take(ctx, by, errand{verb: "prune", reads: true, do: func(ctx context.Context, c *custody.Custodian) (api.Worked, error) {
		return c.Prune(ctx, r)
	}})
}

// errand is one work on artifacts.
type errand struct {
	verb, subject string
	// reads tells that it needs no room.
	reads      bool
	identities []string
	do         func(context.Context, *custody.Custodian) (api.Worked, error)
}

// take takes the bench for a work.
func (b *bench) take(ctx context.Context, by string, t errand) (web.Work, error) {
	for _, why := range []hold{holdDrain, holdEnd, holdSpace} {
		if b.d.gate.has(why) && (why != holdSpace || !t.reads) {
			return nil, why.refusal()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.busy != "" {
		return nil, api.NewProblem(api.CodeSkipped, "try again when that has ended",
			fmt.Sprintf("another work on artifacts is under way since %s: %s", b.since.UTC().Format(time.RFC3339), b.busy))
	}
	b.busy, b.since, b.free = t.verb+", asked for by "+by, time.Now(), make(chan struct{})
	var once sync.Once
	release := func() { once.Do(b.leave) }
	unused := context.AfterFunc(ctx, release)
	return func(ctx context.Context, tell func(api.WorkEvent)) (api.Worked, error) {
		if !unused() {
			return api.Worked{Artifacts: []api.Backup{}, Drills: []api.Drill{}}, context.Cause(ctx) // whoever asked has gone already
		}
		defer release()
		return b.work(ctx, by, t, tell)
	}, nil
}

// leave frees the bench.
func (b *bench) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy = ""
	close(b.free)
	b.free = nil
}

// idle blocks until no work is under way, or ctx ends.
func (b *bench) idle(ctx context.Context) error {
	for {
		b.mu.Lock()
		free := b.free
		b.mu.Unlock()
		if free == nil {
			return nil
		}
		select {
		case <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// until blocks until ctx has ended and no work is under way, which the end of
// the process then waits for as it does for runs.
func (b *bench) until(ctx context.Context) error {
	<-ctx.Done()
	return b.idle(context.WithoutCancel(ctx))
}

// work does what was asked for, by the configuration in force now. The end of
// the process ends it.
func (b *bench) work(ctx context.Context, by string, t errand, tell func(api.WorkEvent)) (result api.Worked, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alone := context.AfterFunc(b.d.hard, func() { cancel(context.Cause(b.d.hard)) }) //nolint:contextcheck // the process ends its works, too
	defer alone()
	result = api.Worked{Artifacts: []api.Backup{}, Drills: []api.Drill{}}
	identities, release, err := custody.HoldIdentities(t.identities)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, release()) }()
	cfg := b.d.Config()
	own, err := b.d.ledger.Identity(ctx)
	if err != nil {
		return result, err
	}
	log := named(b.d.o.Log, "custody")
	log.InfoContext(ctx, "work on artifacts begins", slog.String("what", t.verb), slog.String("subject", t.subject), slog.String("by", by))
	began := time.Now()
	said := &saying{tell: tell}
	c := custody.New(custody.Options{
		Config: cfg, Version: b.d.o.Version, Trigger: runner.ByAPI, Ledger: b.d.ledger, Identities: identities, Own: ownFiles(cfg), OwnDatabase: own, Absolute: true,
		Out: said, Watch: watching(tell), Step: func(what string) { tell(api.WorkEvent{Kind: api.WorkStep, Text: jobs.OneLine(what)}) }, Log: log,
	})
	result, err = t.do(ctx, c)
	said.flush()
	b.d.stock.stir()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	log.InfoContext(ctx, "work on artifacts has ended", slog.String("what", t.verb), slog.String("by", by), slog.Duration("took", time.Since(began)), slog.Bool("ok", err == nil))
	return result, err
}

// stir has all stores read anew when somebody asks next.
func (s *stock) stir() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sh := range s.shelves {
		sh.stale = true
	}
}

// tellEvery is how often a work tells how much it has read.
const tellEvery = time.Second

// watching tells every second how much was read.
func watching(tell func(api.WorkEvent)) func(string, func() int64, int64) func() {
	return func(what string, read func() int64, total int64) func() {
		ended := make(chan struct{})
		var telling sync.WaitGroup
		telling.Go(func() {
			tick := time.NewTicker(tellEvery)
			defer tick.Stop()
			for {
				select {
				case <-ended:
					return
				case <-tick.C:
					tell(api.WorkEvent{Kind: api.WorkProgress, Text: what, Bytes: read(), Total: total})
				}
			}
		})
		return func() {
			close(ended)
			telling.Wait()
		}
	}
}

// longestSaid bounds a line that is told whole, in bytes.
const longestSaid = 16 << 10

// saying tells what is written to it line by line. It is safe for use by
// several goroutines.
type saying struct {
	tell func(api.WorkEvent)

	mu   sync.Mutex
	rest []byte
}

// Write takes text.
func (s *saying) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest = append(s.rest, text...)
	for {
		line, rest, whole := bytes.Cut(s.rest, []byte("\n"))
		if !whole {
			if len(s.rest) > longestSaid {
				s.line(s.rest)
				s.rest = nil
			}
			return len(text), nil
		}
		s.line(line)
		s.rest = rest
	}
}

// flush tells what has no end of a line.
func (s *saying) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) > 0 {
		s.line(s.rest)
		s.rest = nil
	}
}

func (s *saying) line(text []byte) {
	s.tell(api.WorkEvent{Kind: api.WorkSaid, Text: string(bytes.ToValidUTF8(text, []byte("?")))})
}
