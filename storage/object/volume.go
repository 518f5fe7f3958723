package object

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// Stream stores r as one object, or as several when the store bounds their
// length, and returns them in their order for the manifest. The first is called
// name and the next ones name.00002, name.00003 …, so that their names sort as
// they follow each other. Lengths and hashes are those of what was read from r;
// a store that claims another is refused. After an error of r some objects may
// be complete already; without a manifest they are no artifact, and Abort
// removes them.
func (p *Publication) Stream(ctx context.Context, name string, r io.Reader) ([]Part, error) {
	volumed, ok := p.store.(Volumed)
	if !ok {
		part, err := p.volume(ctx, name, r)
		return []Part{part}, err
	}
	var parts []Part
	rest := bufio.NewReaderSize(r, 1<<20)
	for {
		next := name
		if len(parts) > 0 {
			next = fmt.Sprintf("%s.%05d", name, len(parts)+1)
		}
		part, err := p.volume(ctx, next, io.LimitReader(rest, volumed.VolumeBytes()))
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		// Whether another volume follows is known only by its first byte.
		if _, err := rest.Peek(1); err == io.EOF { // a wrapped EOF is a failure and no end
			return parts, nil
		} else if err != nil {
			return nil, fmt.Errorf("store part %s of artifact %s: read what is to be stored: %w", next, p.draft.ID, err)
		}
	}
}

// volume stores one object and compares what the store says with what was
// read.
func (p *Publication) volume(ctx context.Context, name string, r io.Reader) (Part, error) {
	read := &digester{r: r, sum: sha256.New()}
	info, err := p.Part(ctx, name, read)
	if err != nil {
		return Part{}, err
	}
	got := Digest{Bytes: read.bytes, SHA256: hex.EncodeToString(read.sum.Sum(nil))}
	if !read.ended || info.Bytes != got.Bytes || info.SHA256 != "" && info.SHA256 != got.SHA256 {
		return Part{}, fmt.Errorf("store part %s of artifact %s: %w: the store says it holds %d bytes, but %d were written, or others",
			name, p.draft.ID, ErrDamaged, info.Bytes, got.Bytes)
	}
	return Part{Name: name, Digest: got}, nil
}

// digester counts and hashes what is read through it.
type digester struct {
	r     io.Reader
	sum   hash.Hash
	bytes int64
	ended bool
}

// Read implements io.Reader.
func (d *digester) Read(p []byte) (int, error) {
	n, err := d.r.Read(p)
	d.sum.Write(p[:n])
	d.bytes += int64(n)
	d.ended = d.ended || err == io.EOF // a wrapped EOF is a failure and no end
	return n, err
}
