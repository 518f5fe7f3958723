package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
		replaced := map[Name]error{} // what was torn, until a later entry of its name
		for {
			e, err := index.next()
			switch {
			case errors.Is(err, io.EOF):
				for _, err := range replaced {
					return err
				}
				return nil
			case err != nil:
				return err
			case context.Cause(ctx) != nil:
				return fmt.Errorf("read what was restored: %w", context.Cause(ctx))
			case e.Type != typeFile:
				continue
			}
			bytes, sum, err := digest(root, e)
			if err != nil {
				return fmt.Errorf("read what was restored: %w", err)
			}
			if bytes != e.Bytes || sum != e.SHA256 {
				err := fmt.Errorf("%s was restored, but what this machine reads back has %d bytes instead of %d, or another hash", shown(string(e.Name)), bytes, e.Bytes)
				if e.Torn == "" || e.Again {
					return err
				}
				replaced[e.Name] = err
				continue
			}
			delete(replaced, e.Name)
			r.Files++
			r.Bytes += bytes
		}
	})
}

// digest reads one file, of a sparse one the data.
func digest(root *os.Root, e Entry) (n int64, sum string, err error) {
	f, err := root.Open(string(e.Name))
	if errors.Is(err, fs.ErrPermission) { // what root saved, not everybody may read
		if err = root.Chmod(string(e.Name), 0o400); err == nil {
			f, err = root.Open(string(e.Name))
		}
	}
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, "", err
	}
	content := io.Reader(struct{ io.Reader }{f})
	if e.Sparse && info.Size() == e.Bytes {
		content = &dataReader{content: f, segments: e.Data}
	}
	hash := sha256.New()
	n, err = io.CopyBuffer(hash, content, make([]byte, readBuffer))
	if e.Sparse && err == nil {
		n = info.Size()
	}
	return n, hex.EncodeToString(hash.Sum(nil)), err
}
