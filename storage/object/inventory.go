package object

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"sync"
)

// readAhead is how many manifests are asked for at once: the answers of a
// server far away come side by side, and memory holds no more than these.
const readAhead = 16

// Artifacts yields every artifact whose manifest's key starts with prefix,
// such as Folder("daily", "backup"), in the order of keys, which within one
// job is the order of time. A manifest that cannot be read is yielded as its
// error, with an Artifact of which only Info is set, and the sequence goes on;
// it ends after a failure to list, which is yielded with a nil Artifact.
//
// The store is listed once, while each manifest is read once, and each proof
// that the list shows; up to readAhead of them before they are yielded.
func Artifacts(ctx context.Context, store Store, prefix string) iter.Seq2[*Artifact, error] {
	return func(yield func(*Artifact, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		found := make(chan *reading, readAhead-1)
		cut := false // set before found is closed
		var readers sync.WaitGroup
		defer readers.Wait()
		defer cancel()
		readers.Go(func() {
			defer close(found)
			for folder, err := range folders(ctx, store, prefix) {
				r := &reading{info: folder.manifest, err: err, done: make(chan struct{})}
				select {
				case found <- r:
				case <-ctx.Done():
					cut = true
					return
				}
				if err != nil {
					close(r.done)
					return
				}
				readers.Go(func() {
					defer close(r.done)
					if r.err = folder.disowned(ctx, store); r.err == nil {
						r.artifact, r.err = load(ctx, store, r.info.Key, folder.proven)
					}
				})
			}
		})
		for r := range found {
			<-r.done
			switch {
			case r.info.Key == "":
				yield(nil, fmt.Errorf("list artifacts under %q: %w", prefix, r.err))
				return
			case errors.Is(r.err, ErrNotFound):
				continue // it was removed since it was listed
			case r.err != nil:
				r.artifact = &Artifact{Info: r.info}
			}
			if !yield(r.artifact, r.err) {
				return
			}
		}
		if cut {
			yield(nil, fmt.Errorf("list artifacts under %q: %w", prefix, context.Cause(ctx)))
		}
	}
}

// reading is a manifest that is being read.
type reading struct {
	info     Info
	artifact *Artifact
	err      error
	done     chan struct{}
}

// folder is what a list shows of an artifact.
type folder struct {
	manifest Info
	// proven tells that there is a proof made since its publication.
	proven bool
	// marked tells that there is a marker.
	marked bool
}

// disowned returns ErrNotFound for a manifest that arrived after its
// publication was aborted, which is no artifact.
func (f folder) disowned(ctx context.Context, store Store) error {
	if !f.marked {
		return nil
	}
	text, _, err := readSmall(ctx, store, path.Dir(f.manifest.Key)+"/"+markerName)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the marker beside manifest %s: %w", f.manifest.Key, err)
	}
	if owner, ours := provesOurs(text, path.Dir(f.manifest.Key)); ours && owner.Aborted {
		return ErrNotFound
	}
	return nil
}

// folders lists the artifacts under prefix. It ends after an error.
func folders(ctx context.Context, store Store, prefix string) iter.Seq2[folder, error] {
	return func(yield func(folder, error) bool) {
		var current folder
		for info, err := range store.List(ctx, prefix) {
			if err != nil {
				yield(folder{}, err)
				return
			}
			switch {
			case isManifest(info.Key):
				if current.manifest.Key != "" && !yield(current, nil) {
					return
				}
				current = folder{manifest: info}
			case current.manifest.Key != "" && info.Key == path.Dir(current.manifest.Key)+"/"+proofName:
				current.proven = true
			case current.manifest.Key != "" && info.Key == path.Dir(current.manifest.Key)+"/"+markerName:
				current.marked = true
			}
		}
		if current.manifest.Key != "" {
			yield(current, nil)
		}
	}
}
