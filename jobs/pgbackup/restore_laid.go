package pgbackup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
)

// lays tells that the dump has to be laid down: it consists of several files,
// or pg_restore has to go back and forth in it.
func (r *restore) lays() bool {
	return r.details.Format == formatDirectory || r.target.Jobs > 1 || len(r.tables) > 0
}

// room refuses a working directory that cannot hold a dump that is laid down.
func (r *restore) room() error {
	if !r.lays() {
		return nil
	}
	stream, _ := r.artifact.Manifest.Stream(r.database.Stream)
	free, err := artifact.FreeBytes(r.env.WorkDir)
	if err != nil {
		return err
	}
	if free < stream.Plain.Bytes {
		return jobs.WithHint(fmt.Errorf("the working directory has %s free, but the dump takes %s", artifact.Bytes(free), artifact.Bytes(stream.Plain.Bytes)),
			"free space there, or set TMPDIR")
	}
	return nil
}

// fetch lays the dump down, if need be, and proves it.
func (r *restore) fetch(ctx context.Context) error {
	if !r.lays() || r.laid != "" {
		return nil
	}
	if err := r.room(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(r.env.WorkDir, "dump-")
	if err != nil {
		return fmt.Errorf("make a place for the dump: %w", err)
	}
	r.laid = dir
	return artifact.Read(ctx, r.artifact, r.keys, r.database.Stream, func(plain io.Reader) error {
		if r.details.Format == formatDirectory {
			if err := os.Mkdir(r.file(), 0o700); err != nil {
				return fmt.Errorf("lay the dump down: %w", err)
			}
			return unpack(plain, r.file())
		}
		if err := lay(r.file(), plain); err != nil {
			return fmt.Errorf("lay the dump down: %w", err)
		}
		return nil
	})
}

// file is the dump that was laid down, as pg_restore takes it: a file or a folder.
func (r *restore) file() string { return filepath.Join(r.laid, "dump") }

// discard removes what was laid down.
func (r *restore) discard() error {
	if r.laid == "" {
		return nil
	}
	dir := r.laid
	r.laid = ""
	return os.RemoveAll(dir)
}

// loadLaid loads the dump that was laid down.
func (r *restore) loadLaid(ctx context.Context, environ []string) error {
	args := []string{"--format=" + r.details.Format}
	if len(r.tables) > 0 {
		list, err := r.selectTables(ctx)
		if err != nil {
			return err
		}
		args = append(args, "--use-list="+list)
	}
	return r.load(ctx, environ, nil, append(args, r.file())...)
}

// unpack writes the files of a dump's tar into dir.
func unpack(r io.Reader, dir string) error {
	files := tar.NewReader(r)
	for {
		h, err := files.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return damage("tar: %w", err)
		case h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name) || filepath.Base(h.Name) != h.Name:
			return damage("the dump holds %q, which is no plain file", h.Name)
		}
		if err := lay(filepath.Join(dir, filepath.Base(h.Name)), files); err != nil {
			return err
		}
	}
}
