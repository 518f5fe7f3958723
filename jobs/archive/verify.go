package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Verify proves an archive up to L2: it reads the tar and its index in full,
// opened anew through the store, compares every entry and the hash of every
// file with the index, and the counts with the manifest. What is wrong wraps
// object.ErrDamaged. Memory does not grow with the archive.
func Verify(ctx context.Context, a *object.Artifact, keys ...crypt.Key) error {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return err
	}
	var got Totals
	err = contents(ctx, a, keys, func(e Entry, h *tar.Header, _ io.Reader) error {
		got.add(e)
		return nil
	})
	if err != nil {
		return err
	}
	got.Skipped = want.Skipped // what was left out leaves no trace
	if got != want.Totals {
		return fmt.Errorf("verify archive %s: %w: it holds %d files of %d bytes, but %d of %d were saved",
			a.Manifest.ID, object.ErrDamaged, got.Files, got.Bytes, want.Files, want.Bytes)
	}
	return nil
}

// contents reads an archive entry by entry, the tar in step with the index.
// each may read the content of a file or not; what it saw is proven only when
// contents has returned nil.
func contents(ctx context.Context, a *object.Artifact, keys crypt.Keys, each func(Entry, *tar.Header, io.Reader) error) error {
	return artifact.Read(ctx, a, keys, streamIndex, func(index io.Reader) error {
		return artifact.Read(ctx, a, keys, streamTar, func(data io.Reader) error {
			return compare(ctx, tar.NewReader(data), newIndexReader(index), each)
		})
	})
}

func compare(ctx context.Context, data *tar.Reader, index *indexReader, each func(Entry, *tar.Header, io.Reader) error) error {
	sum := sha256.New()
	buf := make([]byte, readBuffer)
	for {
		if err := context.Cause(ctx); err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		h, tarErr := data.Next()
		e, err := index.next()
		switch {
		case errors.Is(tarErr, io.EOF) && errors.Is(err, io.EOF):
			return nil
		case tarErr != nil && !errors.Is(tarErr, io.EOF):
			return fmt.Errorf("%w: tar: %w", object.ErrDamaged, tarErr)
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case tarErr != nil || err != nil:
			return fmt.Errorf("%w: the tar and its index have different numbers of entries", object.ErrDamaged)
		}
		if why := differs(h, e); why != "" {
			return fmt.Errorf("%w: %s has another %s in the tar than in the index", object.ErrDamaged, shown(string(e.Name)), why)
		}
		sum.Reset()
		content := io.TeeReader(data, sum)
		if err := each(e, h, content); err != nil {
			return err
		}
		if e.Type != typeFile {
			continue
		}
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, content, buf); err != nil {
			return fmt.Errorf("%w: %s: %w", object.ErrDamaged, shown(string(e.Name)), err)
		}
		if hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
			return fmt.Errorf("%w: %s has another hash than when it was saved", object.ErrDamaged, shown(string(e.Name)))
		}
	}
}

// differs names what a tar entry and its line of the index do not agree on.
func differs(h *tar.Header, e Entry) string {
	kind := map[byte]string{tar.TypeReg: typeFile, tar.TypeDir: typeDir, tar.TypeSymlink: typeSymlink, tar.TypeLink: typeHardlink}[h.Typeflag]
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	switch {
	case kind != e.Type:
		return "type"
	case name != string(e.Name):
		return "name"
	case h.Linkname != string(e.Target):
		return "target"
	case h.Size != e.Bytes:
		return "length"
	case h.Mode != int64(e.Mode):
		return "mode"
	case !h.ModTime.Equal(e.Modified):
		return "time"
	}
	return ""
}
