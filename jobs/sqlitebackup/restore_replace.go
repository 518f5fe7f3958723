package sqlitebackup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// replacement puts one database file in the place of another, which is kept
// beside it. The name of the target always stands for a whole database: the old
// one gets a second name first, and the new one is renamed over the first.
type replacement struct {
	env *jobs.Env
	// target is the file itself, links resolved.
	target string
	// old is what is there; nil when nothing is.
	old os.FileInfo
	// aside is the second name of the old file.
	aside string
}

const (
	// oldMark stands between the name of a target and the time at which it was
	// put aside, which is UTC in the form oldTime.
	oldMark = ".upkeep-old-"
	oldTime = "20060102T150405Z"
)

// look examines the target and refuses one that is in use. It changes nothing.
func (r *replacement) look(ctx context.Context) error {
	path, err := filepath.EvalSymlinks(r.target)
	if err != nil {
		return fmt.Errorf("replace %s: %w", r.target, err)
	}
	r.target = path
	if r.old, err = os.Lstat(path); err != nil {
		return fmt.Errorf("replace %s: %w", r.target, err)
	}
	if !r.old.Mode().IsRegular() {
		return &jobs.RefusedError{Rail: "replace", Why: path + " is not a regular file"}
	}
	if err := r.single(); err != nil {
		return err
	}
	l, err := takeLease(ctx, path)
	if err != nil {
		return err
	}
	return l.free()
}

// single refuses a file that has other names than those that restores gave it.
func (r *replacement) single() error {
	ours := uint64(1)
	olds, err := r.olds()
	if err != nil {
		return err
	}
	for _, o := range olds {
		if os.SameFile(o.info, r.old) {
			ours++
		}
	}
	if stat, ok := r.old.Sys().(*syscall.Stat_t); ok && uint64(stat.Nlink) > ours { //nolint:unconvert // its type differs between architectures
		return jobs.WithHint(&jobs.RefusedError{Rail: "replace", Why: r.target + " has other names (hard links), which would go on standing for the old database"},
			"remove the other names, or restore into a new file")
	}
	return nil
}

// oldFile is a database that was put aside.
type oldFile struct {
	path string
	at   time.Time
	info os.FileInfo
}

// olds lists what was put aside, the newest last.
func (r *replacement) olds() ([]oldFile, error) {
	found, err := filepath.Glob(escapeGlob(r.target+oldMark) + "*")
	if err != nil {
		return nil, fmt.Errorf("look for what was put aside: %w", err)
	}
	var out []oldFile
	for _, path := range found { // in the order of their times
		at, err := time.Parse(oldTime, strings.TrimPrefix(path, r.target+oldMark))
		if err != nil {
			continue // such as its log
		}
		info, err := os.Lstat(path)
		if err == nil && info.Mode().IsRegular() {
			out = append(out, oldFile{path: path, at: at, info: info})
		}
	}
	return out, nil
}

// sweep removes what restores of dead processes left: files that nobody has
// locked, and second names of the target itself.
func (r *replacement) sweep(ctx context.Context) error {
	dead, err := abandoned(r.target)
	if err != nil {
		return err
	}
	if r.old != nil {
		olds, err := r.olds()
		if err != nil {
			return err
		}
		for _, o := range olds {
			if os.SameFile(o.info, r.old) {
				dead = append(dead, o.path)
			}
		}
	}
	for _, path := range dead {
		err := r.env.Effect(ctx, "remove "+path+", which an unfinished restore left", func(context.Context) error { return os.Remove(path) })
		if err != nil {
			return err
		}
	}
	return nil
}

// restore restores beside the target, and exchanges.
func (r *replacement) restore(ctx context.Context, a *object.Artifact, want Details, what string, identities []string) error {
	keys, err := crypt.Load(identities...)
	if err != nil {
		return err
	}
	if err := r.nameAside(); err != nil {
		return err
	}
	var b *beside
	err = r.env.Effect(ctx, "restore "+what+", beside it", func(ctx context.Context) (err error) {
		b, err = restoreBeside(ctx, a, r.target, want, keys)
		if err == nil {
			if err = r.dress(b); err != nil {
				err = errors.Join(err, b.remove())
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("replace %s: %w", r.target, err)
	}
	if r.env.DryRun() {
		return r.exchange(ctx, "")
	}
	if err := r.exchange(ctx, b.path); err != nil {
		return fmt.Errorf("replace %s: %w", r.target, errors.Join(err, b.remove()))
	}
	return b.close()
}

// nameAside chooses the name of the old file: the order of these names is the
// order in which they were put aside.
func (r *replacement) nameAside() error {
	olds, err := r.olds()
	if err != nil {
		return err
	}
	at := time.Now().UTC()
	if len(olds) > 0 {
		if next := olds[len(olds)-1].at.Add(time.Second); at.Before(next) {
			at = next
		}
	}
	r.aside = r.target + oldMark + at.Format(oldTime)
	return nil
}

// dress gives the new file the owner and permissions of the old one.
func (r *replacement) dress(b *beside) error {
	stat, ok := r.old.Sys().(*syscall.Stat_t)
	if ok && (int(stat.Uid) != os.Geteuid() || int(stat.Gid) != os.Getegid()) {
		if err := b.f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return jobs.WithHint(fmt.Errorf("give it the owner of the old file: %w", err), "restore as that user, or as root")
		}
	}
	return errors.Join(b.f.Chmod(r.old.Mode().Perm()), b.f.Sync())
}

// exchange puts the file from in the place of the target while nobody has
// either open.
func (r *replacement) exchange(ctx context.Context, from string) (err error) {
	if err := r.settle(ctx, r.target); err != nil {
		return err
	}
	l, err := takeLease(ctx, r.target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.free()) }()
	if err := settled(r.target); err != nil && !r.env.DryRun() { // somebody was quicker
		return err
	}
	now, err := os.Lstat(r.target)
	if err != nil {
		return err
	}
	if !os.SameFile(now, r.old) {
		return &jobs.RefusedError{Rail: "replace", Why: r.target + " became another file meanwhile"}
	}
	err = r.env.Effect(ctx, fmt.Sprintf("keep %s as %s", r.target, r.aside), func(context.Context) error { return os.Link(r.target, r.aside) })
	if err != nil {
		return jobs.WithHint(err, "move the old database away by hand, and restore without --replace")
	}
	err = r.env.Effect(ctx, fmt.Sprintf("put the other database in the place of %s", r.target), func(context.Context) error {
		if err := os.Rename(from, r.target); err != nil {
			return errors.Join(err, os.Remove(r.aside))
		}
		if l.holds() {
			return syncFolder(r.target)
		}
		// Somebody is opening the old file at this very moment, and would write
		// where nobody looks: it becomes the target again.
		if err := errors.Join(os.Link(r.target, from), os.Rename(r.aside, r.target), syncFolder(r.target)); err != nil {
			return err
		}
		return inUse(r.target)
	})
	if context.Cause(ctx) != nil && !missing(r.aside) {
		// Canceled between the two.
		if info, statErr := os.Lstat(r.aside); statErr == nil && os.SameFile(info, now) && sameAs(r.target, now) {
			err = errors.Join(err, os.Remove(r.aside))
		}
	}
	return err
}

func sameAs(path string, info os.FileInfo) bool {
	other, err := os.Lstat(path)
	return err == nil && os.SameFile(other, info)
}

// settle folds the log of a database into it, as any program that opens it
// would, so that one file is all of it.
func (r *replacement) settle(ctx context.Context, path string) error {
	if missing(path+"-wal") && missing(path+"-journal") {
		return nil
	}
	return r.env.Effect(ctx, "fold the log of "+path+" into it", func(ctx context.Context) error {
		l, err := takeLease(ctx, path)
		if err == nil {
			err = l.free()
		}
		if err != nil {
			return err
		}
		if err := fold(ctx, path); err != nil {
			return jobs.WithHint(fmt.Errorf("fold the log of %s into it: %w", path, err),
				"if the database is beyond repair, move it and its -wal, -shm and -journal files away by hand, and restore without --replace")
		}
		return settled(path)
	})
}

// fold opens a database, which repairs it after a crash, and closes it.
func fold(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", uri(path, "mode=rw", "_pragma=busy_timeout(1000)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	var tables, busy, frames, folded int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return or(ctx, err)
	}
	if err := db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &folded); err != nil {
		return or(ctx, err)
	}
	if busy != 0 {
		return inUse(path)
	}
	return nil
}

// settled refuses a database that is not all in one file.
func settled(path string) error {
	for _, suffix := range []string{"-wal", "-journal"} {
		hot, err := isHot(path + suffix)
		if err != nil {
			return err
		}
		if hot {
			return jobs.WithHint(&jobs.RefusedError{Rail: "replace", Why: fmt.Sprintf("%s%s belongs to a program that uses the database, or to a crash", path, suffix)},
				"end the programs that use the database, or move it and its log away by hand, and restore without --replace")
		}
	}
	return nil
}

// isHot tells whether a log holds anything: SQLite clears the beginning of one
// that it keeps.
func isHot(path string) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	head := make([]byte, 8)
	n, err := io.ReadFull(f, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return strings.Trim(string(head[:n]), "\x00") != "", errors.Join(err, f.Close())
}

// epilogue says what became of the old file.
func (r *replacement) epilogue() string {
	switch {
	case r.aside == "":
		return ""
	case r.env.DryRun():
		return fmt.Sprintf("; the old database would be kept as %s", r.aside)
	}
	return fmt.Sprintf("; the old database is kept as %s: `upkeep backup restore --undo %s` puts it back; remove it when it is not needed any more", r.aside, r.target)
}
