package sqlitebackup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Verify proves a backup up to L2: it fetches it anew through the store into
// dir, opens it, runs SQLite's own check over it and compares the rows of every
// table with the manifest. What is wrong wraps object.ErrDamaged. It leaves
// nothing in dir.
func Verify(ctx context.Context, a *object.Artifact, dir string, keys ...crypt.Key) (err error) {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return err
	}
	main, ok := a.Manifest.Stream(stream)
	if !ok {
		return fmt.Errorf("verify backup %s: %w: it has no stream %s", a.Manifest.ID, object.ErrDamaged, stream)
	}
	if err := requireRoom(dir, main.Plain.Bytes); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "fetched-*.sqlite")
	if err != nil {
		return fmt.Errorf("verify backup %s: %w", a.Manifest.ID, err)
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if err := errors.Join(fetch(ctx, a, f, keys), f.Close()); err != nil {
		return err
	}
	if err := sound(ctx, f.Name(), want); err != nil {
		return fmt.Errorf("verify backup %s: %w", a.Manifest.ID, err)
	}
	return nil
}

// fetch writes the database of a backup into f.
func fetch(ctx context.Context, a *object.Artifact, f *os.File, keys crypt.Keys) error {
	return artifact.Read(ctx, a, keys, stream, func(r io.Reader) error {
		if _, err := io.CopyBuffer(struct{ io.Writer }{f}, r, make([]byte, 1<<20)); err != nil {
			return fmt.Errorf("fetch the database: %w", err)
		}
		return nil
	})
}

// sound tells whether the file is the database that the manifest describes.
func sound(ctx context.Context, path string, want Details) error {
	err := compare(ctx, path, want)
	if err != nil && context.Cause(ctx) == nil {
		err = fmt.Errorf("%w: %w", object.ErrDamaged, err)
	}
	return err
}

func compare(ctx context.Context, path string, want Details) (err error) {
	db, err := openCopy(ctx, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := integrity(ctx, db); err != nil {
		return err
	}
	got, err := examine(ctx, db)
	if err != nil {
		return err
	}
	return want.differs(got)
}

// Restore writes the database of a backup to target, which must not exist, nor
// any file that SQLite would take for its log. The file appears under its name
// only when it is complete, is sound and has the rows that the manifest names.
// identities are the paths of files with age identities that decrypt it.
func Restore(ctx context.Context, a *object.Artifact, target string, identities ...string) (err error) {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return err
	}
	keys, err := crypt.Load(identities...)
	if err != nil {
		return err
	}
	if err := vacant(target); err != nil {
		return err
	}
	b, err := restoreBeside(ctx, a, target, want, keys)
	if err != nil {
		return fmt.Errorf("restore %s: %w", target, err)
	}
	if err := appear(b.path, target); err != nil {
		return fmt.Errorf("restore %s: %w", target, errors.Join(err, b.remove()))
	}
	return b.close()
}

// vacant refuses a target that exists, or beside which a file lies that SQLite
// would take for its log.
func vacant(target string) error {
	for _, name := range []string{target, target + "-wal", target + "-shm", target + "-journal"} {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			return jobs.WithHint(&jobs.RefusedError{Rail: "new target", Why: name + " exists already, and would be overwritten or mixed with the restored database"},
				"choose a new name, or move the old database and its -wal and -shm files away")
		}
	}
	return nil
}

// appear renames a file to a name that must be free, durably.
func appear(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		// Some file systems cannot; a link refuses to replace as well.
		if err = os.Link(from, to); err == nil {
			err = os.Remove(from)
		}
	}
	if err != nil {
		return fmt.Errorf("rename: %w", err)
	}
	return syncFolder(to)
}

// syncFolder makes the names in the folder of a file durable.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// differs names the first fact that is not the same in a copy.
func (f Facts) differs(got Facts) error {
	other := func(what string, want, got any) error {
		return fmt.Errorf("%s is %v in the copy, but was %v", what, got, want)
	}
	switch {
	case f.PageSize != got.PageSize || f.Pages != got.Pages:
		return other("the number of pages", f.Pages, got.Pages)
	case f.UserVersion != got.UserVersion || f.ApplicationID != got.ApplicationID:
		return other("the version", f.UserVersion, got.UserVersion)
	case f.Encoding != got.Encoding:
		return other("the encoding", f.Encoding, got.Encoding)
	case f.Schema != got.Schema:
		return other("the schema", f.Schema, got.Schema)
	case len(f.Tables) != len(got.Tables):
		return other("the number of tables", len(f.Tables), len(got.Tables))
	}
	for i, t := range f.Tables {
		if got.Tables[i] != t {
			return other("the number of rows of "+t.Name, t.Rows, got.Tables[i].Rows)
		}
	}
	return nil
}
