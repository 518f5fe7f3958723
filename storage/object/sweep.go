package object

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"
)

// Leftover is what a crash left of an artifact that was being made or removed:
// objects beside a marker of ours and without a manifest, or a marker beside a
// finished artifact.
type Leftover struct {
	// Dir is the key prefix of the artifact, without a final slash.
	Dir string
	// Objects and Bytes count what would be deleted.
	Objects int
	Bytes   int64
	// Finished tells that the artifact itself exists and only its marker is to
	// be deleted.
	Finished bool
	// Modified is when any of it changed last, UTC.
	Modified time.Time
	// Process is Manifest.Process of who made it; empty when it is not known.
	Process string

	store Store
	owner marker
}

// Leftovers returns what is provably ours under prefix, unfinished, and has
// not changed since before. The instant must lie further back than any
// publication may pause, unless the caller knows that its process is dead and
// that nothing it sent is still on its way.
func Leftovers(ctx context.Context, store Store, prefix string, before time.Time) ([]Leftover, error) {
	var found []Leftover
	var group []Info
	flush := func() error {
		left, ok, err := judge(ctx, store, group, before)
		if ok {
			found = append(found, left)
		}
		group = group[:0]
		return err
	}
	for info, err := range store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("look for leftovers under %q: %w", prefix, err)
		}
		if len(group) > 0 && path.Dir(group[0].Key) != path.Dir(info.Key) {
			if err := flush(); err != nil {
				return nil, err
			}
		}
		group = append(group, info)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	return found, nil
}

// judge decides about the objects of one folder.
func judge(ctx context.Context, store Store, group []Info, before time.Time) (Leftover, bool, error) {
	if len(group) == 0 {
		return Leftover{}, false, nil
	}
	dir := path.Dir(group[0].Key)
	left := Leftover{Dir: dir, store: store}
	marked := false
	for _, info := range group {
		if !info.Modified.Before(before) {
			return Leftover{}, false, nil
		}
		if info.Modified.After(left.Modified) {
			left.Modified = info.Modified
		}
		left.Objects++
		left.Bytes += info.Bytes
		switch path.Base(info.Key) {
		case manifestName:
			left.Finished = true
		case markerName:
			marked = true
		}
	}
	if !marked {
		return Leftover{}, false, nil
	}
	text, info, err := readSmall(ctx, store, dir+"/"+markerName)
	if errors.Is(err, ErrNotFound) {
		return Leftover{}, false, nil
	}
	if err != nil {
		return Leftover{}, false, fmt.Errorf("look for leftovers in %s: %w", dir, err)
	}
	owner, ok := provesOurs(text, dir)
	if !ok {
		return Leftover{}, false, nil
	}
	left.owner, left.Process = owner, owner.Process
	left.Finished = left.Finished && !owner.Aborted
	if left.Finished {
		left.Objects, left.Bytes = 1, info.Bytes
	}
	return left, true, nil
}

// provesOurs reads a marker and tells whether it belongs to the folder it lies
// in.
func provesOurs(text []byte, dir string) (marker, bool) {
	var m marker
	if err := json.Unmarshal(text, &m); err != nil {
		return marker{}, false
	}
	_, err := IDTime(m.ID)
	return m, err == nil && dir == path.Join(m.Workflow, m.Job, m.ID)
}

// Remove deletes the leftover. When it turns out to have become an artifact in
// the meantime, it keeps it, and the marker too, which the next sweep judges.
func (l Leftover) Remove(ctx context.Context) error {
	if l.Finished {
		if err := l.store.Delete(ctx, l.Dir+"/"+markerName); err != nil {
			return fmt.Errorf("clear away %s: %w", l.Dir, err)
		}
		return nil
	}
	if l.owner.Aborted {
		return removeDir(ctx, l.store, l.Dir)
	}
	m := Manifest{ID: l.owner.ID, Workflow: l.owner.Workflow, Job: l.owner.Job, Run: l.owner.Run, Node: l.owner.Node}
	if err := putMarker(ctx, l.store, m, true); err != nil {
		return fmt.Errorf("clear away %s: %w", l.Dir, err)
	}
	_, err := l.store.Stat(ctx, l.Dir+"/"+manifestName)
	if errors.Is(err, ErrNotFound) {
		return removeDir(ctx, l.store, l.Dir)
	}
	if err != nil {
		return fmt.Errorf("clear away %s: %w", l.Dir, err)
	}
	return nil
}
