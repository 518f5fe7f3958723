package object

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// Read hands the stored bytes of a stream to read, part after part, opened
// anew through the store. Afterwards it reads what read left, and returns an
// error that wraps ErrDamaged unless all bytes were exactly those that the
// manifest names; that error wins over read's own, which damage explains.
// Until Read has returned nil, nothing that read saw may be trusted.
func (a *Artifact) Read(ctx context.Context, stream string, read func(io.Reader) error) error {
	s, ok := a.Manifest.Stream(stream)
	if !ok {
		return fmt.Errorf("read artifact %s: it has no stream %q", a.Manifest.ID, stream)
	}
	r := &streamReader{ctx: ctx, artifact: a, parts: s.Parts}
	readErr := read(r)
	err := r.finish()
	if err != nil {
		return fmt.Errorf("read artifact %s: %w", a.Manifest.ID, err)
	}
	if readErr != nil {
		return readErr
	}
	a.whole.Store(stream, true)
	return nil
}

// Verify proves the artifact up to L1: for L0 it asks the store for every part
// and its length, for any higher level it reads and hashes every stream that
// Read has not seen whole already. What is wrong wraps ErrDamaged.
func (a *Artifact) Verify(ctx context.Context, level Level) error {
	if level.Rank() <= L0.Rank() {
		return a.present(ctx)
	}
	for _, s := range a.Manifest.Streams {
		if _, seen := a.whole.Load(s.Name); seen {
			continue
		}
		if err := a.Read(ctx, s.Name, func(io.Reader) error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (a *Artifact) present(ctx context.Context) error {
	for part := range a.Manifest.parts() {
		info, err := a.store.Stat(ctx, a.key(part.Name))
		if errors.Is(err, ErrNotFound) {
			return fmt.Errorf("verify artifact %s: %w: part %s is missing", a.Manifest.ID, ErrDamaged, part.Name)
		}
		if err != nil {
			return fmt.Errorf("verify artifact %s: %w", a.Manifest.ID, err)
		}
		if info.Bytes != part.Bytes || info.SHA256 != "" && info.SHA256 != part.SHA256 {
			return fmt.Errorf("verify artifact %s: %w: part %s has %d bytes instead of %d, or another hash",
				a.Manifest.ID, ErrDamaged, part.Name, info.Bytes, part.Bytes)
		}
	}
	return nil
}

// streamReader reads the parts of a stream one after the other and compares
// each with the manifest.
type streamReader struct {
	ctx      context.Context
	artifact *Artifact
	parts    []Part

	current io.ReadCloser
	seen    int64
	sum     hash.Hash
	err     error
}

// Read implements io.Reader. It never hands out a byte beyond the length that
// the manifest names.
func (r *streamReader) Read(p []byte) (int, error) {
	for r.err == nil {
		if r.current == nil {
			if len(r.parts) == 0 {
				return 0, io.EOF
			}
			r.open()
			continue
		}
		n, err := r.current.Read(p)
		if n > 0 {
			r.sum.Write(p[:n])
			r.seen += int64(n)
			if r.seen > r.parts[0].Bytes {
				r.err = fmt.Errorf("%w: part %s is longer than %d bytes", ErrDamaged, r.parts[0].Name, r.parts[0].Bytes)
				break
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			r.next()
		case err != nil:
			r.err = fmt.Errorf("part %s: %w", r.parts[0].Name, err)
		}
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

func (r *streamReader) open() {
	name := r.parts[0].Name
	body, _, err := r.artifact.store.Get(r.ctx, r.artifact.key(name))
	switch {
	case errors.Is(err, ErrNotFound):
		r.err = fmt.Errorf("%w: part %s is missing", ErrDamaged, name)
	case err != nil:
		r.err = fmt.Errorf("part %s: %w", name, err)
	default:
		r.current, r.seen, r.sum = body, 0, sha256.New()
	}
}

// next ends the current part: closes it and judges what was read.
func (r *streamReader) next() {
	part := r.parts[0]
	err := r.current.Close()
	r.current = nil
	r.parts = r.parts[1:]
	switch got := hex.EncodeToString(r.sum.Sum(nil)); {
	case err != nil:
		r.err = fmt.Errorf("part %s: %w", part.Name, err)
	case r.seen != part.Bytes:
		r.err = fmt.Errorf("%w: part %s has %d bytes instead of %d", ErrDamaged, part.Name, r.seen, part.Bytes)
	case got != part.SHA256:
		r.err = fmt.Errorf("%w: part %s has SHA-256 %.12s… instead of %.12s…", ErrDamaged, part.Name, got, part.SHA256)
	}
}

// finish reads what is left, so that the whole stream is judged.
func (r *streamReader) finish() error {
	if r.err == nil {
		if _, err := io.Copy(io.Discard, struct{ io.Reader }{r}); err != nil && r.err == nil {
			r.err = err
		}
	}
	if r.current != nil {
		r.err = errors.Join(r.err, r.current.Close())
		r.current = nil
	}
	return r.err
}
