package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/jobs/internal/frame"
	"github.com/ghosteam/upkeep/storage/object"
)

// Read hands the plain bytes of a stream to read, opened anew through the
// store, decrypted with keys where it is encrypted, and decompressed. It
// returns nil only when both the stored and the plain bytes were exactly those
// that the manifest names, whether read took them all or not. What is wrong
// with the artifact wraps object.ErrDamaged; that no key fits wraps
// crypt.ErrNoIdentity.
func Read(ctx context.Context, a *object.Artifact, keys crypt.Keys, stream string, read func(io.Reader) error) error {
	s, ok := a.Manifest.Stream(stream)
	if !ok {
		return fmt.Errorf("read artifact %s: %w: it has no stream %q", a.Manifest.ID, object.ErrDamaged, stream)
	}
	return a.Read(ctx, stream, func(stored io.Reader) (err error) {
		if len(s.Recipients) > 0 {
			if stored, err = decrypt(stored, keys); err != nil {
				return fmt.Errorf("stream %s: %w", stream, err)
			}
		}
		unpacked, err := frame.NewReader(stored, frame.Codec(s.Compression))
		if err != nil {
			return fmt.Errorf("stream %s: %w: %w", stream, object.ErrDamaged, err)
		}
		defer func() { err = errors.Join(err, unpacked.Close()) }()
		plain := &plainReader{r: unpacked, want: s.Plain, sum: sha256.New()}
		if err := read(plain); err != nil {
			return err
		}
		return plain.finish(stream)
	})
}

func decrypt(stored io.Reader, keys crypt.Keys) (io.Reader, error) {
	plain, err := keys.Decrypt(stored)
	switch {
	case errors.Is(err, crypt.ErrNoIdentity):
		return nil, jobs.WithHint(err, "name the file with the identity of one of its recipients")
	case err != nil:
		return nil, fmt.Errorf("%w: %w", object.ErrDamaged, err)
	}
	return plain, nil
}

// plainReader counts and hashes the plain bytes and refuses to hand out more
// than there should be, so that a forged stream cannot blow up.
type plainReader struct {
	r    io.Reader
	want object.Digest
	seen int64
	sum  interface {
		io.Writer
		Sum(b []byte) []byte
	}
}

// Read implements io.Reader.
func (p *plainReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.seen += int64(n); p.seen > p.want.Bytes {
		return 0, fmt.Errorf("%w: the content is longer than %d bytes", object.ErrDamaged, p.want.Bytes)
	}
	_, _ = p.sum.Write(b[:n]) // a hash never fails
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", object.ErrDamaged, err)
	}
	return n, err
}

// finish reads what is left and compares the whole with the manifest.
func (p *plainReader) finish(stream string) error {
	if _, err := io.Copy(io.Discard, p); err != nil {
		return fmt.Errorf("stream %s: %w", stream, err)
	}
	if p.seen != p.want.Bytes || hex.EncodeToString(p.sum.Sum(nil)) != p.want.SHA256 {
		return fmt.Errorf("stream %s: %w: the content has %d bytes instead of %d, or another hash", stream, object.ErrDamaged, p.seen, p.want.Bytes)
	}
	return nil
}
