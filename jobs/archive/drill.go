package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

var _ jobs.Driller = artifacts{}

// Deepest implements jobs.Driller.
func (artifacts) Deepest() object.Level { return object.L3 }

// Drill extracts the whole archive, reads every file of it from the disk again
// and compares it with the index, and the counts with the manifest.
func (artifacts) Drill(ctx context.Context, env *jobs.Env, a *object.Artifact, d jobs.Drill) (jobs.Drilled, error) {
	details, err := DetailsOf(a.Manifest)
	if err != nil {
		return jobs.Drilled{}, err
	}
	if len(d.Assert) > 0 {
		return jobs.Drilled{}, errors.New("nothing in an archive answers questions: drill it without assertions")
	}
	keys, err := crypt.Load(d.Identities...)
	if err != nil {
		return jobs.Drilled{}, err
	}
	return artifact.Rehearse(ctx, env, a, d, artifact.Rehearsal{
		What:  fmt.Sprintf("%s files, %s", humanize.Comma(details.Files), artifact.Bytes(details.Bytes)),
		Bytes: details.Bytes,
		Restore: func(ctx context.Context, dir string, _ *object.Restored) error {
			out, err := Extract(ctx, a, Extraction{
				Target: filepath.Join(dir, "content"), Owners: os.Geteuid() == 0, Identities: d.Identities,
				Progress: func(done, total int64) { env.Progress(done, total, "bytes") },
			})
			if err != nil {
				return err
			}
			if out.Totals.Files != details.Files || out.Totals.Bytes != details.Bytes {
				return fmt.Errorf("%w: %d files of %d bytes came back, but %d of %d were saved", object.ErrDamaged,
					out.Totals.Files, out.Totals.Bytes, details.Files, details.Bytes)
			}
			return nil
		},
		Judge: func(ctx context.Context, dir string, r *object.Restored) error {
			return reread(ctx, a, keys, filepath.Join(dir, "content"), r)
		},
	})
}

// reread compares every file below dir with its line of the index. What differs
// now is the fault of this machine, because it was right when it was written.
func reread(ctx context.Context, a *object.Artifact, keys crypt.Keys, dir string, r *object.Restored) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("read what was restored: %w", err)
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	return artifact.Read(ctx, a, keys, streamIndex, func(plain io.Reader) error {
		index := newIndexReader(plain)
		for {
			e, err := index.next()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			case context.Cause(ctx) != nil:
				return fmt.Errorf("read what was restored: %w", context.Cause(ctx))
			case e.Type != typeFile:
				continue
			}
			bytes, sum, err := digest(root, string(e.Name))
			if err != nil {
				return fmt.Errorf("read what was restored: %w", err)
			}
			if bytes != e.Bytes || sum != e.SHA256 {
				return fmt.Errorf("%s was restored, but what this machine reads back has %d bytes instead of %d, or another hash", shown(string(e.Name)), bytes, e.Bytes)
			}
			r.Files++
			r.Bytes += bytes
		}
	})
}

// digest reads one file.
func digest(root *os.Root, name string) (n int64, sum string, err error) {
	f, err := root.Open(name)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	hash := sha256.New()
	n, err = io.CopyBuffer(hash, struct{ io.Reader }{f}, make([]byte, readBuffer))
	return n, hex.EncodeToString(hash.Sum(nil)), err
}
