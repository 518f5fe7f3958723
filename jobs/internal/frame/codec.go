// Package frame compresses a stream on several cores: the stream is cut into
// pieces, workers compress each piece into a frame of its own, and the frames
// are written in order. Any zstd or gzip program reads the result as one
// stream. It knows compression and nothing of jobs and stores.
package frame

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Codec names a compression.
type Codec string

// The codecs.
const (
	Zstd Codec = "zstd"
	Gzip Codec = "gzip"
	None Codec = "none"
)

// Suffix is what the name of a compressed file ends in, such as ".zst".
func (c Codec) Suffix() string {
	switch c {
	case Zstd:
		return ".zst"
	case Gzip:
		return ".gz"
	case None:
	}
	return ""
}

// MaxLevel is the highest level of c; the lowest is 1, the fastest. Levels of
// zstd are those of its command line, of which klauspost/compress implements
// four steps: 1, 3, 7 and 11 and above.
func (c Codec) MaxLevel() int {
	switch c {
	case Zstd:
		return 19
	case Gzip:
		return 9
	case None:
	}
	return 0
}

// pieceBytes is how much of the plain stream becomes one frame: enough for
// the ratio to stay within some percent of a single frame's, little enough to
// keep memory small and the processor's caches warm. The fastest level of zstd
// finds hardly anything that is further away; the others do.
func (c Codec) pieceBytes(level int) int {
	if c == Zstd && zstd.EncoderLevelFromZstd(level) > zstd.SpeedFastest {
		return 2 << 20
	}
	return 1 << 20
}

// encoder returns a function for one worker that appends src, compressed, to
// dst.
func (c Codec) encoder(level int) (func(dst, src []byte) ([]byte, error), error) {
	switch c {
	case Zstd:
		// A window as long as a piece never has to move, so one of them is enough.
		e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)), zstd.WithWindowSize(c.pieceBytes(level)))
		if err != nil {
			return nil, fmt.Errorf("compress with zstd level %d: %w", level, err)
		}
		return func(dst, src []byte) ([]byte, error) { return e.EncodeAll(src, dst), nil }, nil
	case Gzip:
		e, err := gzip.NewWriterLevel(nil, level)
		if err != nil {
			return nil, fmt.Errorf("compress with gzip level %d: %w", level, err)
		}
		return func(dst, src []byte) ([]byte, error) {
			buf := bytes.NewBuffer(dst)
			e.Reset(buf)
			_, err := e.Write(src)
			err = errors.Join(err, e.Close())
			return buf.Bytes(), err
		}, nil
	case None:
		return func(dst, src []byte) ([]byte, error) { return append(dst, src...), nil }, nil
	}
	return nil, fmt.Errorf("%q is not a compression: use zstd, gzip or none", c)
}

// maxWindow bounds the memory that reading a foreign zstd stream may claim.
const maxWindow = 128 << 20

// NewReader returns the plain bytes of r, which any program may have
// compressed with codec. The caller closes it, which does not close r.
func NewReader(r io.Reader, codec Codec) (io.ReadCloser, error) {
	switch codec {
	case Zstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, fmt.Errorf("decompress zstd: %w", err)
		}
		return d.IOReadCloser(), nil
	case Gzip:
		d, err := gzip.NewReader(r)
		if err != nil {
			return nil, fmt.Errorf("decompress gzip: %w", err)
		}
		return d, nil
	case None:
		return io.NopCloser(r), nil
	}
	return nil, fmt.Errorf("%q is not a compression", codec)
}
