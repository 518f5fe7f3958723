package object

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Publication is an artifact on its way into one store. Its order of steps is
// what makes a half artifact impossible: a marker that names it as ours and
// unfinished, the parts, the proof read back through the store, and the
// manifest last. It is used by one goroutine, except that Part may be called
// from several.
type Publication struct {
	store Store
	draft Manifest
	// unclear tells that the manifest was sent, and that nobody knows whether
	// it will still arrive.
	unclear bool
}

// marker stands beside an artifact that is not finished, or no longer meant to
// exist. It is what allows a later sweep to remove it.
type marker struct {
	ID       string    `json:"id"`
	Workflow string    `json:"workflow"`
	Job      string    `json:"job"`
	Run      string    `json:"run"`
	Node     string    `json:"node"`
	Process  string    `json:"process,omitempty"`
	Since    time.Time `json:"since"`
	// Removing tells that somebody has begun to delete the folder, so that no
	// manifest may be written any more.
	Removing bool `json:"removing,omitempty"`
	// Aborted tells that the parts are gone, and that a manifest which arrives
	// nevertheless is none.
	Aborted bool `json:"aborted,omitempty"`
}

// LeftoverError reports that an artifact was published whole, or removed, but
// something of its making could not be cleared away; a later sweep will.
type LeftoverError struct {
	// Key is what is left.
	Key string
	// Err is why.
	Err error
}

// Error says what is left.
func (e *LeftoverError) Error() string { return fmt.Sprintf("clear away %s: %v", e.Key, e.Err) }

// Unwrap returns the cause.
func (e *LeftoverError) Unwrap() error { return e.Err }

// Begin starts the publication of an artifact into store. draft needs ID, Set,
// Kind, Workflow, Job, Run, Attempt, Node, Upkeep and Started.
func Begin(ctx context.Context, store Store, draft Manifest) (*Publication, error) {
	p := &Publication{store: store, draft: draft}
	if _, err := IDTime(draft.ID); err != nil {
		return nil, err
	}
	if err := putMarker(ctx, store, draft, false); err != nil {
		// It may be there nevertheless: an answer can be lost, and a request can
		// arrive after its sender was canceled.
		return nil, errors.Join(fmt.Errorf("begin artifact %s: %w", draft.ID, err), p.forsake(ctx))
	}
	return p, nil
}

// forsakeTime bounds how long clearing away takes after a failure.
const forsakeTime = 10 * time.Second

// forsake removes a marker of which nobody knows whether it is there.
func (p *Publication) forsake(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), forsakeTime, errors.New("clearing away took too long"))
	defer cancel()
	if err := p.store.Delete(ctx, p.draft.dir()+"/"+markerName); err != nil {
		return fmt.Errorf("%w; it will be swept later", err)
	}
	return nil
}

func putMarker(ctx context.Context, store Store, m Manifest, removing bool) error {
	return writeMarker(ctx, store, m, marker{Removing: removing})
}

func writeMarker(ctx context.Context, store Store, m Manifest, note marker) error {
	note.ID, note.Workflow, note.Job, note.Run, note.Node, note.Process = m.ID, m.Workflow, m.Job, m.Run, m.Node, m.Process
	note.Since = time.Now().UTC()
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	_, err = store.Put(ctx, m.dir()+"/"+markerName, bytes.NewReader(text), PutOptions{ContentType: "application/json", Passing: true})
	return err
}

// abandoned returns an error when the artifact's marker is gone or says that
// the folder is being deleted.
func (a *Artifact) abandoned(ctx context.Context) error {
	text, _, err := readSmall(ctx, a.store, a.key(markerName))
	if err != nil {
		return err
	}
	var m marker
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%w: marker: %w", ErrDamaged, err)
	}
	if m.Removing {
		return errors.New("another process is clearing it away as abandoned")
	}
	return nil
}

// Part streams r into the store as the part of that name and returns what the
// store says it holds. An error of r leaves no part.
func (p *Publication) Part(ctx context.Context, name string, r io.Reader) (Info, error) {
	if why := badSegment(name); why != "" {
		return Info{}, fmt.Errorf("part %q %s", name, why)
	}
	info, err := p.store.Put(ctx, p.draft.dir()+"/"+name, r, PutOptions{IfAbsent: true, ContentType: "application/octet-stream"})
	if err != nil {
		return Info{}, fmt.Errorf("store part %s of artifact %s: %w", name, p.draft.ID, err)
	}
	return info, nil
}

// Content is what a publication learned while its parts were streamed.
type Content struct {
	// Streams, Details and Suspect go into the manifest.
	Streams []Stream
	Details json.RawMessage
	Suspect string
}

// Commit proves the parts up to level, opening each anew through the store,
// and writes the manifest last; before it returned nil or a LeftoverError no
// artifact exists. For levels above L1, prove reads the content; it may be nil
// for L0 and L1. The manifest is read back too.
func (p *Publication) Commit(ctx context.Context, c Content, level Level, prove func(context.Context, *Artifact) error) (*Artifact, error) {
	m := p.draft
	m.Schema = ManifestSchema
	m.Streams, m.Details, m.Suspect, m.Level = c.Streams, c.Details, c.Suspect, level
	m.Created = time.Now().UTC()
	a := &Artifact{
		Manifest: m,
		Info:     Info{Key: m.dir() + "/" + manifestName},
		store:    p.store,
		whole:    new(sync.Map),
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("publish artifact %s: %w", m.ID, err)
	}
	if level.Rank() > L1.Rank() {
		if prove == nil {
			return nil, fmt.Errorf("publish artifact %s: nothing can prove it up to %s", m.ID, level)
		}
		if err := prove(ctx, a); err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
	}
	if err := a.Verify(ctx, level); err != nil {
		return nil, fmt.Errorf("read back: %w", err)
	}
	a.Manifest.Proven = time.Now().UTC()
	return p.seal(ctx, a)
}

// seal writes the manifest, reads it back and drops the marker. The marker is
// looked at after the manifest was written, and a sweep looks for the manifest
// after it changed the marker, so that one of the two always yields.
func (p *Publication) seal(ctx context.Context, a *Artifact) (*Artifact, error) {
	id := a.Manifest.ID
	text, err := EncodeManifest(a.Manifest)
	if err != nil {
		return nil, err
	}
	info, err := p.store.Put(ctx, a.Info.Key, bytes.NewReader(text), PutOptions{IfAbsent: true, ContentType: "application/json"})
	if err != nil {
		p.unclear = errors.Is(err, ErrUnreachable)
		return nil, fmt.Errorf("write manifest of artifact %s: %w", id, err)
	}
	back, _, err := readSmall(ctx, p.store, info.Key)
	if err == nil && !bytes.Equal(back, text) {
		err = fmt.Errorf("%w: the store returned other bytes", ErrDamaged)
	}
	if err == nil {
		err = a.abandoned(ctx)
	}
	if err != nil {
		err = fmt.Errorf("read back manifest of artifact %s: %w", id, err)
		// What cannot be read back must not count as an artifact.
		gone := p.store.Delete(context.WithoutCancel(ctx), info.Key)
		p.unclear = gone != nil // then it is still there
		return nil, errors.Join(err, gone)
	}
	a.Info = info
	if err := p.store.Delete(ctx, a.key(markerName)); err != nil {
		return a, &LeftoverError{Key: a.key(markerName), Err: err}
	}
	return a, nil
}

// Abort removes what the publication has put into the store so far. It must
// not be called after Commit returned an artifact. When it fails, or is never
// called, a later sweep removes the rest. A manifest that was sent and may
// still arrive is disowned first; what disowns it goes with a later sweep.
func (p *Publication) Abort(ctx context.Context) error {
	dir := p.draft.dir()
	if !p.unclear {
		return removeDir(ctx, p.store, dir)
	}
	if err := writeMarker(ctx, p.store, p.draft, marker{Aborted: true}); err != nil {
		return fmt.Errorf("clear away %s: %w", dir, err)
	}
	return removeParts(ctx, p.store, dir)
}

// Remove deletes an artifact. It marks it first and deletes the manifest
// second, so that it stops to exist at one instant, and what a crash leaves is
// swept. The error is a *LockedError, and nothing has changed, when the store
// has locked any of it.
func (a *Artifact) Remove(ctx context.Context) error {
	if a.store == nil {
		return fmt.Errorf("remove %s: its manifest could not be read, so it is not provably ours", a.Info.Key)
	}
	if err := a.unlocked(ctx); err != nil {
		return fmt.Errorf("remove artifact %s: %w", a.Manifest.ID, err)
	}
	if err := putMarker(ctx, a.store, a.Manifest, true); err != nil {
		return fmt.Errorf("remove artifact %s: %w", a.Manifest.ID, err)
	}
	if err := a.store.Delete(ctx, a.Info.Key); err != nil {
		return fmt.Errorf("remove artifact %s: %w", a.Manifest.ID, err)
	}
	if err := removeDir(ctx, a.store, a.Dir()); err != nil {
		return &LeftoverError{Key: a.Dir(), Err: err}
	}
	return nil
}

// unlocked returns a *LockedError when an object of the artifact is locked
// against removal.
func (a *Artifact) unlocked(ctx context.Context) error {
	locker, ok := a.store.(Locker)
	if !ok {
		return nil
	}
	keys := []string{a.Info.Key}
	for part := range a.Manifest.parts() {
		keys = append(keys, a.key(part.Name))
	}
	now := time.Now()
	var last time.Time
	for _, key := range keys {
		until, err := locker.LockedUntil(ctx, key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if until.After(last) {
			last = until
		}
	}
	if last.After(now) {
		return &LockedError{Key: a.Dir(), Until: last}
	}
	return nil
}

// removeDir deletes everything under an unfinished artifact's folder, the
// marker last.
func removeDir(ctx context.Context, store Store, dir string) error {
	if err := removeParts(ctx, store, dir); err != nil {
		return err
	}
	marker := dir + "/" + markerName
	if err := store.Delete(ctx, marker); err != nil {
		return fmt.Errorf("clear away %s: %w", marker, err)
	}
	return nil
}

// removeParts deletes everything but the marker.
func removeParts(ctx context.Context, store Store, dir string) error {
	var keys []string
	for info, err := range store.List(ctx, dir+"/") {
		if err != nil {
			return fmt.Errorf("clear away %s: %w", dir, err)
		}
		if info.Key != dir+"/"+markerName {
			keys = append(keys, info.Key)
		}
	}
	if err := deleteAll(ctx, store, keys); err != nil {
		return fmt.Errorf("clear away %s: %w", dir, err)
	}
	return nil
}

// deleteAll deletes objects in the fastest way that the store knows.
func deleteAll(ctx context.Context, store Store, keys []string) error {
	if bulk, ok := store.(BulkDeleter); ok && len(keys) > 1 {
		return bulk.DeleteAll(ctx, keys)
	}
	for _, key := range keys {
		if err := store.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}
