package artifact

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
)

// cleanupTime bounds how long clearing away may take after a job was canceled
// or failed.
const cleanupTime = 30 * time.Second

// Publisher puts the artifacts of one job into its stores.
type Publisher struct {
	kind    string
	options Options
	stores  []store
	// history tells when a level was proven last; nil when nobody asks.
	history jobs.History
}

// store is a store under its configured name.
type store struct {
	object.Store
	name string
}

// New resolves the stores that o names. A wrong name is a *jobs.FieldError.
func New(kind string, o Options, deps jobs.Deps) (*Publisher, error) {
	p := &Publisher{kind: kind, options: o}
	var errs []error
	for i, name := range o.Store {
		s, err := deps.Store(name)
		if err != nil {
			field := "store"
			if len(o.Store) > 1 {
				field = fmt.Sprintf("store[%d]", i)
			}
			errs = append(errs, &jobs.FieldError{Field: field, Why: err.Error(), Hint: jobs.HintOf(err)})
			continue
		}
		p.stores = append(p.stores, store{Store: s, name: name})
		if _, err := crypt.ParseRecipients(p.recipients(p.stores[len(p.stores)-1])); err != nil && len(o.EncryptTo) > 0 {
			errs = append(errs, jobs.Fieldf("encrypt_to", "together with those of store %s: %v", name, err))
		}
	}
	if len(o.Verify.rungs()) > 0 {
		var err error
		if p.history, err = deps.History("", ""); err != nil {
			errs = append(errs, err)
		}
	}
	return p, errors.Join(errs...)
}

// recipients returns the public keys to which the copy in a store is encrypted:
// those of the job and those of the store, each once and in an order that does
// not depend on where they stand, so that stores which want the same share one
// stream.
func (p *Publisher) recipients(s store) []string {
	texts := slices.Clone([]string(p.options.EncryptTo))
	if e, ok := s.Store.(object.Encrypting); ok {
		texts = append(texts, e.EncryptTo()...)
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// Options returns the options that the publisher was made with.
func (p *Publisher) Options() Options { return p.options }

// Dirs returns the directories in which stores keep their objects on this
// machine.
func (p *Publisher) Dirs() []string {
	var dirs []string
	for _, s := range p.stores {
		if housed, ok := s.Store.(object.Housed); ok {
			dirs = append(dirs, housed.Dir())
		}
	}
	return dirs
}

// Names returns the stores' names for a sentence, such as "store local" or
// "stores local, offsite".
func (p *Publisher) Names() string {
	names := strings.Join(p.options.Store, ", ")
	if len(p.options.Store) == 1 {
		return "store " + names
	}
	return "stores " + names
}

// Check tells whether every store could be written to.
func (p *Publisher) Check(ctx context.Context) error {
	var errs []error
	for _, s := range p.stores {
		if checker, ok := s.Store.(object.Checker); ok {
			if err := checker.Check(ctx); err != nil {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

// Work is one artifact to be made.
type Work struct {
	// What describes it as the object of a verb, such as "archive of data
	// (1,234 files, 56 MB)".
	What string
	// Produce writes the artifact's streams to w, each of which it closes, and
	// says what goes into the manifest. It is called once, also for several
	// stores.
	Produce func(ctx context.Context, w *Writer) (Note, error)
	// Prove reads the artifact's content in full and compares it with its
	// manifest. It is called for each store when L2 is wanted; keys decrypt.
	Prove func(ctx context.Context, a *object.Artifact, keys crypt.Keys) error
	// Driller proves L3 and L4 in the way that Drill says, but for the level
	// and the identities; nil for a kind that cannot.
	Driller jobs.Driller
	Drill   jobs.Drill
}

// Note is what the maker of an artifact adds to its manifest.
type Note struct {
	// Details is encoded as JSON.
	Details any
	// Suspect says why the artifact should not be trusted; empty if nothing is
	// odd.
	Suspect string
}

// Copy is one published copy of an artifact.
type Copy struct {
	// Store is the configured name of the store.
	Store string
	// Artifact is what was published.
	Artifact *object.Artifact
	// Proving is how long reading back took.
	Proving time.Duration
	// Drilled is the further proof that was due; nil when none was, or none
	// came about.
	Drilled *object.Proof

	keys crypt.Keys
}

// Outcome is what a publication achieved.
type Outcome struct {
	// Copies are the stores that hold the artifact now.
	Copies []Copy
	// Findings are what a person should know.
	Findings []jobs.Finding
	// Removed counts the artifacts that retention removed, and RemovedBytes
	// their stored bytes.
	Removed      int
	RemovedBytes int64
}

// Publish makes one artifact in all stores: it clears away what dead attempts
// left, streams and proves the artifact, writes the manifests, and then applies
// retention where the copy is good. Every change goes through env.Effect. A
// store that fails does not keep the others from getting their copy, but makes
// the error that is returned beside the outcome. Before retention it proves
// further what is due.
func (p *Publisher) Publish(ctx context.Context, env *jobs.Env, work Work) (Outcome, error) {
	var out Outcome
	for _, s := range p.stores {
		if err := p.clearLeftovers(ctx, env, s, &out); err != nil {
			return out, err
		}
	}
	err := env.Effect(ctx, "store "+work.What+" in "+p.Names(), func(ctx context.Context) error {
		var err error
		out.Copies, err = p.publish(ctx, env, work, &out)
		return err
	})
	if err != nil && context.Cause(ctx) != nil {
		return out, err
	}
	err = errors.Join(err, p.climb(ctx, env, work, &out))
	if context.Cause(ctx) != nil {
		return out, err
	}
	for _, s := range p.stores {
		if !env.DryRun() && !out.holds(s.name) {
			continue
		}
		if pruneErr := p.prune(ctx, env, s, &out); pruneErr != nil {
			return out, errors.Join(err, pruneErr)
		}
	}
	return out, err
}

// holds tells whether the store of that name got its copy.
func (o Outcome) holds(name string) bool {
	for _, c := range o.Copies {
		if c.Store == name {
			return true
		}
	}
	return false
}

// target is one store on its way to a copy.
type target struct {
	store store
	pub   *object.Publication
	lane  *lane
	// streams are what the store holds, for the manifest.
	streams []object.Stream

	mu  sync.Mutex
	err error
}

// fail notes the first reason why the store gets no copy.
func (t *target) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
}

// failed returns that reason.
func (t *target) failed() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// publish is the effect itself.
func (p *Publisher) publish(ctx context.Context, env *jobs.Env, work Work, out *Outcome) ([]Copy, error) {
	targets, err := p.begin(ctx, env)
	if err != nil {
		return nil, err
	}
	lanes, err := p.lanes(targets)
	if err != nil {
		return nil, errors.Join(err, p.abort(ctx, targets))
	}
	w := &Writer{ctx: ctx, codec: frame.Codec(p.options.Compression), level: p.options.Level, targets: targets, lanes: lanes}
	note, err := work.Produce(ctx, w)
	if err = w.end(err); err != nil {
		return nil, errors.Join(err, p.abort(ctx, targets))
	}
	details, err := json.Marshal(note.Details)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("describe the artifact: %w", err), p.abort(ctx, targets))
	}
	var copies []Copy
	var errs []error
	for _, t := range targets {
		err := t.failed()
		if err == nil {
			var c Copy
			content := object.Content{Streams: t.streams, Details: details, Suspect: note.Suspect}
			c, err = p.commit(ctx, t, content, work.Prove)
			if left, ok := errors.AsType[*object.LeftoverError](err); ok {
				out.Findings = append(out.Findings, jobs.Finding{
					ID: "leftover", Severity: jobs.Info, Text: fmt.Sprintf("store %s: %s", t.store.name, oneLine(left)),
				})
				err = nil
			}
			if err == nil {
				copies = append(copies, c)
				continue
			}
		}
		errs = append(errs, fmt.Errorf("store %s: %w", t.store.name, err), p.abort(ctx, []*target{t}))
	}
	return copies, errors.Join(errs...)
}

func (p *Publisher) begin(ctx context.Context, env *jobs.Env) ([]*target, error) {
	now := time.Now().UTC()
	set := object.NewID(now)
	var targets []*target
	var errs []error
	for _, s := range p.stores {
		pub, err := object.Begin(ctx, s.Store, object.Manifest{
			ID: object.NewID(now), Set: set, Kind: p.kind, Workflow: env.Workflow, Job: env.Job,
			Run: env.RunID, Attempt: env.Attempt, Node: env.Node, Process: Process(), Upkeep: env.Version, Started: now,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w", s.name, err))
		}
		targets = append(targets, &target{store: s, pub: pub, err: err})
	}
	if len(errs) == len(targets) {
		return nil, errors.Join(errs...)
	}
	return targets, nil
}

func (p *Publisher) commit(ctx context.Context, t *target, c object.Content, prove func(context.Context, *object.Artifact, crypt.Keys) error) (Copy, error) {
	began := time.Now()
	a, err := t.pub.Commit(ctx, c, p.options.Verify.Each, func(ctx context.Context, a *object.Artifact) error {
		return prove(ctx, a, t.lane.keys)
	})
	return Copy{Store: t.store.name, Artifact: a, Proving: time.Since(began), keys: t.lane.keys}, err
}

// abort clears away what unfinished publications left, even when ctx has
// ended.
func (p *Publisher) abort(ctx context.Context, targets []*target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
	defer cancel()
	var errs []error
	for _, t := range targets {
		if t.pub == nil {
			continue
		}
		if err := t.pub.Abort(ctx); err != nil {
			errs = append(errs, fmt.Errorf("store %s: %w; it will be swept later", t.store.name, err))
		}
	}
	return errors.Join(errs...)
}

// Count writes a number of things, such as "1 table" or "2,000 tables".
func Count[N int | int64](n N, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return humanize.Comma(int64(n)) + " " + thing
}

// Bytes writes a number of bytes for a sentence, such as "56 MB".
func Bytes(n int64) string { return humanize.Bytes(uint64(max(0, n))) }
