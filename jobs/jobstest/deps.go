package jobstest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Deps is a jobs.Deps whose contents a test arranges.
type Deps struct {
	mu        sync.Mutex
	stores    map[string]object.Store
	databases map[string]jobs.Database
	checks    []jobs.Check
	past      map[string][]jobs.Past
}

// NewDeps returns Deps without anything in it.
func NewDeps(testing.TB) *Deps {
	return &Deps{stores: map[string]object.Store{}, databases: map[string]jobs.Database{}, past: map[string][]jobs.Past{}}
}

// AddStore makes a store known under name.
func (d *Deps) AddStore(name string, s object.Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stores[name] = s
}

// AddDatabase makes a database known under its name.
func (d *Deps) AddDatabase(db jobs.Database) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.databases[db.Name] = db
}

// AddCheck makes a check known under its name.
func (d *Deps) AddCheck(c jobs.Check) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.checks = append(d.checks, c)
}

// AddPast adds an earlier outcome of a job, newest first. Two empty names mean
// the job under test.
func (d *Deps) AddPast(workflow, job string, p jobs.Past) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := workflow + "/" + job
	d.past[key] = append(d.past[key], p)
}

// Store returns a store that AddStore added.
func (d *Deps) Store(name string) (object.Store, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, ok := d.stores[name]
	if !ok {
		return nil, fmt.Errorf("no store %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(d.stores)), ", "))
	}
	return s, nil
}

// Database returns a database that AddDatabase added.
func (d *Deps) Database(name string) (jobs.Database, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	db, ok := d.databases[name]
	if !ok {
		return jobs.Database{}, fmt.Errorf("no database %q", name)
	}
	return db, nil
}

// Check returns a check that AddCheck added.
func (d *Deps) Check(name string) (jobs.Check, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.checks, func(c jobs.Check) bool { return c.Name == name })
	if i < 0 {
		return jobs.Check{}, fmt.Errorf("no check %q", name)
	}
	return d.checks[i], nil
}

// Checks returns the names of the checks in the order of AddCheck.
func (d *Deps) Checks() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, len(d.checks))
	for i, c := range d.checks {
		names[i] = c.Name
	}
	return names
}

// History returns what AddPast added for the job.
func (d *Deps) History(workflow, job string) (jobs.History, error) {
	return pastOf{deps: d, key: workflow + "/" + job}, nil
}

type pastOf struct {
	deps *Deps
	key  string
}

// Past returns the outcomes in the order in which they were added.
func (p pastOf) Past(_ context.Context, limit int) ([]jobs.Past, error) {
	p.deps.mu.Lock()
	defer p.deps.mu.Unlock()
	past := p.deps.past[p.key]
	return slices.Clone(past[:min(limit, len(past))]), nil
}

// contents reads every object of every store.
func (d *Deps) contents() (map[string]map[string]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]map[string]string{}
	for name, store := range d.stores {
		objects, err := objectsOf(store)
		if err != nil {
			return nil, fmt.Errorf("look into store %s: %w", name, err)
		}
		out[name] = objects
	}
	return out, nil
}

func objectsOf(store object.Store) (map[string]string, error) {
	out := map[string]string{}
	for info, err := range store.List(context.Background(), "") {
		if err != nil {
			return nil, err
		}
		r, _, err := store.Get(context.Background(), info.Key)
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", info.Key, err)
		}
		out[info.Key] = string(content)
	}
	return out, nil
}
