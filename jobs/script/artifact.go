package script

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/internal/answer"
	"github.com/ghosteam/upkeep/storage/object"
)

// fileStore stands in the store's place for files that a program left on this
// machine.
const fileStore = "file"

// prove reads the file and compares it with what the program says. A relative
// path begins in dir, where the program ran.
func prove(ctx context.Context, a answer.Artifact, dir string) (_ object.Info, err error) {
	wrong := func(err error) (object.Info, error) {
		return object.Info{}, fmt.Errorf("artifact %q: %w", a.Name, err)
	}
	if a.Path == "" {
		return wrong(errors.New("it has no path"))
	}
	path := a.Path
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return wrong(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	switch {
	case err != nil:
		return wrong(err)
	case !info.Mode().IsRegular():
		return wrong(fmt.Errorf("%s is not a regular file", path))
	case info.Size() != a.Bytes:
		return wrong(fmt.Errorf("%s has %d bytes, not the %d that the program says", path, info.Size(), a.Bytes))
	}
	sum := sha256.New()
	n, err := io.Copy(sum, untilDone{ctx, f})
	if err != nil {
		return wrong(err)
	}
	digest := hex.EncodeToString(sum.Sum(nil))
	if n != a.Bytes || digest != a.SHA256 {
		return wrong(fmt.Errorf("%s holds other bytes than the program says", path))
	}
	return object.Info{Store: fileStore, Key: path, Bytes: n, SHA256: digest, Modified: info.ModTime().UTC()}, nil
}

// untilDone is a reader that fails once ctx has ended.
type untilDone struct {
	ctx context.Context //nolint:containedctx // it lives as long as one call
	io.Reader
}

// Read reads.
func (r untilDone) Read(p []byte) (int, error) {
	if err := context.Cause(r.ctx); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
