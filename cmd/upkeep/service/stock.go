package service

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/cmd/upkeep/custody"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web"
	"github.com/ghosteam/upkeep/web/api"
)

const (
	// stockAge is how old what is known of a store may be before whoever asks
	// has it read anew.
	stockAge = 5 * time.Minute
	// stockRest is the least time between two readings of a store.
	stockRest = 10 * time.Second
	// stockWithin bounds one reading.
	stockWithin = 10 * time.Minute
	// stockPatience is how long whoever asks waits for a store that was never
	// read.
	stockPatience = 8 * time.Second
	// stockAsked is how long after somebody asked a store is read anew as soon
	// as a job puts something into it.
	stockAsked = 15 * time.Minute
	// mostDamaged bounds how many damaged manifests are named.
	mostDamaged = 20
)

// stock knows what the stores hold, from reading their manifests now and then.
// It is safe for use by several goroutines.
type stock struct {
	e *Engine

	mu      sync.Mutex
	shelves map[string]*shelf
	asked   time.Time
	closed  bool
	readers sync.WaitGroup
}

// shelf is what is known of one store.
type shelf struct {
	kind string
	// asOf is when it was read to its end, tried when that was last begun; zero
	// for never. digest is that of the configuration by which it was opened.
	asOf, tried time.Time
	digest      string
	artifacts   []custody.Artifact // newest first; never changed
	damaged     []string
	retained    []api.RetentionState
	failed      string
	reading     bool
	// stale tells that a job put something there since.
	stale bool
	// first is closed when the first reading is over, whatever came of it.
	first chan struct{}
}

var (
	_ web.Artifacts   = (*stock)(nil)
	_ runner.Observer = (*stock)(nil)
)

// Observe has stores read anew into which an attempt put something.
func (s *stock) Observe(_ context.Context, event runner.Event) {
	ended, ok := event.(runner.AttemptEnded)
	if !ok {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, info := range ended.Attempt.Result.Artifacts {
		if sh, known := s.shelves[info.Store]; known {
			sh.stale = true
		}
	}
	if time.Since(s.asked) < stockAsked {
		s.renew() //nolint:contextcheck // what is read is for all who ask later
	}
}

// renew begins to read what is old. The caller holds the lock.
func (s *stock) renew() {
	if s.closed {
		return
	}
	cfg := s.e.Config()
	if s.shelves == nil {
		s.shelves = map[string]*shelf{}
	}
	for name := range s.shelves {
		if !slices.ContainsFunc(cfg.Stores, func(c configs.Store) bool { return c.Name == name }) {
			delete(s.shelves, name)
		}
	}
	for _, c := range cfg.Stores {
		sh := s.shelves[c.Name]
		if sh == nil {
			sh = &shelf{first: make(chan struct{})}
			s.shelves[c.Name] = sh
		}
		sh.kind = c.Kind
		old := sh.stale || sh.digest != cfg.Digest() || time.Since(sh.asOf) > stockAge
		if old && !sh.reading && (sh.tried.IsZero() || time.Since(sh.tried) >= stockRest) {
			sh.reading, sh.stale, sh.tried = true, false, time.Now()
			s.readers.Go(func() { s.read(cfg, c.Name, sh) })
		}
	}
}

// read reads one store and puts what it found on its shelf.
func (s *stock) read(cfg *configs.Config, name string, sh *shelf) {
	ctx, cancel := context.WithTimeoutCause(s.e.hard, stockWithin, fmt.Errorf("reading the store took longer than %s", stockWithin))
	defer cancel()
	scope := custody.Scope{Store: name, Bare: true}
	var damaged []string
	found, err := custody.In(ctx, cfg, name, scope, func(damage error) {
		if len(damaged) < mostDamaged {
			damaged = append(damaged, jobs.OneLine(damage.Error()))
		}
	})
	var kept []api.RetentionState
	if err == nil {
		asking := custody.New(custody.Options{Config: cfg, Version: s.e.o.Version, Trigger: runner.ByAPI, Ledger: s.e.ledger, Log: s.e.o.Log})
		kept = asking.Foretell(ctx, scope, found, nil)
	}
	s.mu.Lock()
	sh.reading = false
	if err != nil {
		sh.failed = jobs.OneLine(err.Error())
	} else {
		sh.artifacts, sh.damaged, sh.retained, sh.failed = found, damaged, kept, ""
		sh.asOf, sh.digest = time.Now().UTC(), cfg.Digest()
	}
	select {
	case <-sh.first:
	default:
		close(sh.first)
	}
	s.mu.Unlock()
	if err != nil && s.e.hard.Err() == nil {
		s.e.o.Log.WarnContext(ctx, "a store could not be read for the list of artifacts", slog.String("store", name), slog.Any("error", err))
	}
	s.e.hub.Changed(api.TopicArtifacts)
}

// wait has what is old read anew, and waits for stores that were never read.
func (s *stock) wait(ctx context.Context) error {
	s.mu.Lock()
	s.asked = time.Now()
	s.renew() //nolint:contextcheck // as above
	var firsts []chan struct{}
	for _, sh := range s.shelves {
		firsts = append(firsts, sh.first)
	}
	s.mu.Unlock()
	patience := time.NewTimer(stockPatience)
	defer patience.Stop()
	for _, first := range firsts {
		select {
		case <-first:
		case <-patience.C:
			return nil // the answer says what is still being read
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Inventory implements web.Artifacts.
func (s *stock) Inventory(ctx context.Context) (web.Inventory, error) {
	if err := s.wait(ctx); err != nil {
		return web.Inventory{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().Truncate(time.Minute) // so that answers stay the same for a while
	var out web.Inventory
	for _, c := range s.e.Config().Stores {
		sh := s.shelves[c.Name]
		if sh == nil {
			continue // it was configured just now
		}
		out.Stores = append(out.Stores, sh.state(c.Name))
		out.Backups = append(out.Backups, custody.Views(sh.artifacts, now)...)
		out.Retentions = append(out.Retentions, sh.retained...)
	}
	slices.SortStableFunc(out.Backups, func(a, b api.Backup) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(b.ID, a.ID))
	})
	return out, nil
}

// state is what is known of the store itself.
func (sh *shelf) state(name string) api.StoreState {
	v := api.StoreState{
		Name: name, Kind: sh.kind, AsOf: api.Instant(sh.asOf), Reading: sh.reading, Error: sh.failed, Artifacts: len(sh.artifacts),
		Damaged: append([]string{}, sh.damaged...),
	}
	for _, a := range sh.artifacts {
		v.Bytes += a.Manifest.Stored()
	}
	return v
}

// close ends the readings under way, which the end of the engine has told to
// stop.
func (s *stock) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.readers.Wait()
}
