package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// readBuffer is how much of a file is copied at a time.
const readBuffer = 1 << 20

// Verify proves an archive up to L2: it reads the tar and its index in full,
// opened anew through the store, compares every entry and the hash of every
// file with the index, and the counts with the manifest. What is wrong wraps
// object.ErrDamaged. Memory does not grow with the archive.
func Verify(ctx context.Context, a *object.Artifact, keys ...crypt.Key) error {
	if err := contents(ctx, a, keys, func(Entry, *tar.Header, io.Reader) error { return nil }); err != nil {
		return fmt.Errorf("verify archive %s: %w", a.Manifest.ID, err)
	}
	return nil
}

// contents reads an archive entry by entry, the tar in step with the index,
// and compares the counts with the manifest. each may read the content of a
// file or not, of which sparse ones give their data without the holes; what it
// saw is proven only when contents has returned nil.
func contents(ctx context.Context, a *object.Artifact, keys crypt.Keys, each func(Entry, *tar.Header, io.Reader) error) error {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return err
	}
	c := &comparison{each: each, want: want.Totals}
	err = artifact.Read(ctx, a, keys, streamIndex, func(index io.Reader) error {
		return artifact.Read(ctx, a, keys, streamTar, func(data io.Reader) error {
			return c.run(ctx, data, index)
		})
	})
	if err != nil {
		return err
	}
	c.got.Skipped = want.Skipped // what was left out leaves no trace
	if c.got != want.Totals {
		return fmt.Errorf("%w: it holds %d files of %d bytes, but %d of %d were saved", object.ErrDamaged, c.got.Files, c.got.Bytes, want.Files, want.Bytes)
	}
	return nil
}

// comparison reads a tar in step with its index.
type comparison struct {
	each func(Entry, *tar.Header, io.Reader) error
	// got counts what was read, want what the manifest promises.
	got, want Totals
	sums      *sums
	buf       []byte
}

// run reads both to their ends.
func (c *comparison) run(ctx context.Context, data, index io.Reader) error {
	c.sums, c.buf = newSums(), make([]byte, 64<<10)
	entries := readAhead(ctx, newIndexReader(index))
	defer entries.stop()
	err := c.compare(ctx, tar.NewReader(data), entries)
	// A hash that differs explains more than what went wrong after it.
	if sumErr := c.sums.close(); sumErr != nil && (err == nil || errors.Is(err, errSums)) {
		return sumErr
	}
	return err
}

func (c *comparison) compare(ctx context.Context, data *tar.Reader, index *entriesAhead) error {
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
		if err := c.entry(e, h, data); err != nil {
			return err
		}
	}
}

// entry compares one entry.
func (c *comparison) entry(e Entry, h *tar.Header, data io.Reader) error {
	if why := differs(h, &e); why != "" {
		return fmt.Errorf("%w: %s has another %s in the tar than in the index", object.ErrDamaged, shown(string(e.Name)), why)
	}
	if err := checkSegments(e); err != nil {
		return err
	}
	c.got.add(e)
	if c.got.Bytes-c.got.HoleBytes > c.want.Bytes-c.want.HoleBytes || c.got.Bytes > c.want.Bytes {
		return fmt.Errorf("%w: it holds more than the %d bytes that were saved", object.ErrDamaged, c.want.Bytes)
	}
	content := data
	if e.Sparse {
		content = &dataReader{content: data, segments: e.Data}
	}
	if e.Type != typeFile {
		return c.each(e, h, content)
	}
	content = io.TeeReader(content, c.sums)
	if err := c.each(e, h, content); err != nil {
		return err
	}
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, content, c.buf); err != nil {
		return fmt.Errorf("%w: %s: %w", object.ErrDamaged, shown(string(e.Name)), err)
	}
	return c.sums.end(e)
}

// differs names what a tar entry and its line of the index do not agree on.
func differs(h *tar.Header, e *Entry) string {
	name := h.Name
	if h.Typeflag == tar.TypeDir {
		name = strings.TrimSuffix(name, "/")
	}
	switch {
	case typeOf(h.Typeflag) != e.Type:
		return "type"
	case name != string(e.Name):
		return "name"
	case h.Linkname != string(e.Target):
		return "target"
	case h.Size != e.Bytes:
		return "length"
	case h.Mode != int64(e.Mode):
		return "mode"
	case h.ModTime.Unix() != e.Modified.Unix():
		return "time"
	case !maps.EqualFunc(xattrsOf(h), e.Xattrs, bytes.Equal):
		return "set of extended attributes"
	}
	return ""
}

// typeOf returns the type of entry that a flag of the tar stands for, or
// nothing.
func typeOf(flag byte) string {
	switch flag {
	case flagFile:
		return typeFile
	case flagDir:
		return typeDir
	case flagSymlink:
		return typeSymlink
	case flagHardlink:
		return typeHardlink
	}
	return ""
}

// xattrsOf returns the extended attributes that a header holds.
func xattrsOf(h *tar.Header) map[string][]byte {
	var out map[string][]byte
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, xattrRecord); ok {
			if out == nil {
				out = map[string][]byte{}
			}
			out[name] = []byte(value)
		}
	}
	return out
}
