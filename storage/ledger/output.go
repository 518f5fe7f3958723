package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/ghosteam/upkeep/runner"
)

const (
	// maxPart bounds the stored head and the stored tail of an output; the
	// executor's own limits are far lower.
	maxPart = 16 << 20
	// minCompressed is the length from which compression pays for itself.
	minCompressed = 512

	codecRaw  = "raw"
	codecZstd = "zstd"
)

// compressor makes its zstd state when it is first needed: most runs write
// little, and a command that only lists runs never needs it.
type compressor struct {
	once    sync.Once
	encoder *zstd.Encoder
	err     error
}

// pack returns how head and tail are stored.
func (c *compressor) pack(o runner.Output) (codec string, head, tail []byte, err error) {
	if len(o.Head)+len(o.Tail) < minCompressed {
		return codecRaw, o.Head, o.Tail, nil
	}
	c.once.Do(func() {
		c.encoder, c.err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest),
			zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	})
	if c.err != nil {
		return "", nil, nil, fmt.Errorf("prepare compression: %w", c.err)
	}
	return codecZstd, c.encoder.EncodeAll(o.Head, nil), c.encoder.EncodeAll(o.Tail, nil), nil
}

// unpackOutput is the inverse of pack.
func unpackOutput(codec string, o runner.Output) (runner.Output, error) {
	switch codec {
	case codecRaw:
		return o, nil
	case codecZstd:
	default:
		return o, fmt.Errorf("the output is stored as %q, which this version cannot read", codec)
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(4*maxPart))
	if err != nil {
		return o, fmt.Errorf("prepare decompression: %w", err)
	}
	defer decoder.Close()
	if o.Head, err = decoder.DecodeAll(o.Head, nil); err != nil {
		return o, fmt.Errorf("decompress the head: %w", err)
	}
	if o.Tail, err = decoder.DecodeAll(o.Tail, nil); err != nil {
		return o, fmt.Errorf("decompress the tail: %w", err)
	}
	return o, nil
}

// bounded drops what exceeds maxPart from the middle of o and counts it.
func bounded(o runner.Output) runner.Output {
	if over := len(o.Head) - maxPart; over > 0 {
		o.Head, o.Cut = o.Head[:maxPart], o.Cut+int64(over)
	}
	if over := len(o.Tail) - maxPart; over > 0 {
		o.Tail, o.Cut = o.Tail[over:], o.Cut+int64(over)
	}
	return o
}

// Output returns what an attempt wrote, or has written so far when it is still
// running and this machine can tell. An attempt that wrote nothing has an
// empty output; ErrNotFound when there is no such attempt, or when it runs out
// of sight.
func (r *Reader) Output(ctx context.Context, key runner.AttemptKey) (runner.Output, error) {
	what := fmt.Sprintf("read the output of %s/%s/%d", key.Run, key.Job, key.Number)
	o, found, err := r.storedOutput(ctx, key)
	if err != nil || found {
		return o, r.explain(ctx, what, err)
	}
	if r.live != nil {
		if o, found, err = r.live(key); err != nil || found {
			return o, r.explain(ctx, what, err)
		}
	}
	if o, found, err = r.mirroredOutput(ctx, key); err != nil || found {
		return o, r.explain(ctx, what, err)
	}
	// It may have ended between the looks.
	if o, found, err = r.storedOutput(ctx, key); err != nil || found {
		return o, r.explain(ctx, what, err)
	}
	var state runner.State
	err = r.reading().row(ctx, "SELECT state FROM attempts WHERE run = ? AND job = ? AND number = ?", key.Run, key.Job, key.Number).Scan(&state)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return runner.Output{}, fmt.Errorf("%s: %w", what, runner.ErrNotFound)
	case err != nil:
		return runner.Output{}, r.explain(ctx, what, err)
	case state == runner.Running:
		return runner.Output{}, fmt.Errorf("%s: it is running where this process cannot see it: %w", what, runner.ErrNotFound)
	}
	return runner.Output{}, nil
}

func (r *Reader) storedOutput(ctx context.Context, key runner.AttemptKey) (runner.Output, bool, error) {
	var o runner.Output
	var codec string
	const query = "SELECT codec, head, tail, cut FROM outputs WHERE run = ? AND job = ? AND number = ?"
	err := r.reading().row(ctx, query, key.Run, key.Job, key.Number).Scan(&codec, &o.Head, &o.Tail, &o.Cut)
	if errors.Is(err, sql.ErrNoRows) {
		return runner.Output{}, false, nil
	}
	if err != nil {
		return runner.Output{}, false, err
	}
	o, err = unpackOutput(codec, o)
	return o, true, err
}
