package retrain

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
	"strings"
	"syscall"

	"github.com/ghosteam/upkeep/configs/unit"
)

// source is one file that a model is made of.
type source struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`

	stamp string
}

// stampOf changes whenever a file does.
func stampOf(info fs.FileInfo) string {
	s := fmt.Sprintf("%d %s", info.Size(), info.ModTime().UTC())
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s += fmt.Sprintf(" %d %d %d", stat.Dev, stat.Ino, stat.Ctim.Nano())
	}
	return s
}

// hashFiles hashes files, each and all together; no file has no hash.
func hashFiles(ctx context.Context, paths []unit.Path) (all string, files []source, err error) {
	if len(paths) == 0 {
		return "", nil, nil
	}
	sum := sha256.New()
	for _, p := range paths {
		s, err := hashFile(ctx, string(p))
		if err != nil {
			return "", nil, err
		}
		files = append(files, s)
		_, _ = fmt.Fprintf(sum, "%s  %q\n", s.SHA256, filepath.Base(s.Path)) // a hash never fails
	}
	return hex.EncodeToString(sum.Sum(nil)), files, nil
}

func hashFile(ctx context.Context, name string) (_ source, err error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return source{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return source{}, err
	}
	if !info.Mode().IsRegular() {
		return source{}, fmt.Errorf("%s is not a regular file", name)
	}
	sum := sha256.New()
	n, err := io.Copy(sum, untilDone{ctx, f})
	if err != nil {
		return source{}, fmt.Errorf("hash %s: %w", name, err)
	}
	return source{Path: name, Bytes: n, SHA256: hex.EncodeToString(sum.Sum(nil)), stamp: stampOf(info)}, nil
}

// unchanged fails when one of the files is not what it was.
func unchanged(files []source) error {
	for _, s := range files {
		info, err := os.Stat(s.Path)
		if err == nil && stampOf(info) != s.stamp {
			err = errors.New("it was changed")
		}
		if err != nil {
			return fmt.Errorf("the data did not stay the same during the run: %s: %w", s.Path, err)
		}
	}
	return nil
}

// hashModel hashes all files of a version but the manifest, and makes them
// durable. A version without any file is no model.
func (m *model) hashModel(ctx context.Context, version string) (string, error) {
	folder := linkTo(version)
	sum, files := sha256.New(), 0
	err := fs.WalkDir(m.root.FS(), folder, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return m.sync(name)
		case name == folder+"/"+manifestName:
			return nil
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := m.root.Readlink(name)
			_, _ = fmt.Fprintf(sum, "link %q %q\n", target, name)
			return err
		case !entry.Type().IsRegular():
			return fmt.Errorf("%s is neither a file nor a folder", name)
		}
		files++
		f, err := m.root.Open(name)
		if err != nil {
			return err
		}
		own := sha256.New()
		n, err := io.Copy(own, untilDone{ctx, f})
		files += int(min(n, 1)) - 1 // empty files are no model either
		_, _ = fmt.Fprintf(sum, "%x  %q\n", own.Sum(nil), strings.TrimPrefix(name, folder+"/"))
		return errors.Join(err, f.Sync(), f.Close())
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("hash version %s: %w", version, err)
	case files == 0:
		return "", fmt.Errorf("version %s holds no model: every file of it is empty, or there is none", version)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// gitRevision is the commit that a folder, or one above it, has checked out,
// read as gitrepository-layout(5) describes; empty when there is none.
func gitRevision(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		git := filepath.Join(dir, ".git")
		if head, err := os.ReadFile(filepath.Join(git, "HEAD")); err == nil {
			return resolveHead(git, strings.TrimSpace(string(head)))
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

func resolveHead(git, head string) string {
	ref, ok := strings.CutPrefix(head, "ref: ")
	if !ok {
		return head
	}
	if !filepath.IsLocal(ref) {
		return ""
	}
	if hash, err := os.ReadFile(filepath.Join(git, ref)); err == nil { //nolint:gosec // it is local
		return strings.TrimSpace(string(hash))
	}
	packed, err := os.ReadFile(filepath.Join(git, "packed-refs"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(packed)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == ref {
			return hash
		}
	}
	return ""
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
