package sqlitebackup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/internal/artifact"
)

// stepPages is how many pages are copied between two looks at the context: 4
// MiB of the usual page size.
const stepPages = 1024

// copy makes a consistent copy of the database at to.
func (j *Job) copy(ctx context.Context, env *jobs.Env, s source, to string) (err error) {
	if err := requireRoom(env.WorkDir, s.bytes); err != nil {
		return err
	}
	db, tidy, err := openLive(ctx, s, j.options.Wait.Std())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), tidy()) }()
	if j.options.Method == methodVacuum {
		if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
			return advise(fmt.Errorf("copy %s: %w", s.path, or(ctx, err)))
		}
		return nil
	}
	return copyPages(ctx, env, db, s, to)
}

// copyPages copies page by page from one snapshot: the transaction that is
// opened first keeps what later writers do out of the copy, and keeps SQLite
// from starting all over after each of their commits.
func copyPages(ctx context.Context, env *jobs.Env, db *sql.DB, s source, to string) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.path, err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return advise(fmt.Errorf("copy %s: %w", s.path, or(ctx, err)))
	}
	// Ended at any rate: the connection is closed at once afterwards.
	defer func() { _, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") }()
	var tables int
	if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return advise(fmt.Errorf("copy %s: %w", s.path, or(ctx, err)))
	}
	err = conn.Raw(func(driver any) error {
		backuper, ok := driver.(interface {
			NewBackup(uri string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the SQLite driver %T has no backup", driver)
		}
		b, err := backuper.NewBackup(uri(to, "_pragma=journal_mode(off)", "_pragma=synchronous(off)"))
		if err != nil {
			return fmt.Errorf("make %s: %w", to, err)
		}
		for more := true; more; {
			if err := context.Cause(ctx); err != nil {
				return errors.Join(err, b.Finish())
			}
			if more, err = b.Step(stepPages); err != nil {
				return errors.Join(err, b.Finish())
			}
			total := int64(b.PageCount())
			env.Progress(total-int64(b.Remaining()), total, "pages")
		}
		return b.Finish()
	})
	if err != nil {
		return advise(fmt.Errorf("copy %s: %w", s.path, err))
	}
	return nil
}

// or prefers the reason why ctx ended to what SQLite makes of it.
func or(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// requireRoom refuses to begin a copy that cannot fit.
func requireRoom(dir string, bytes int64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free := stat.Bavail * uint64(stat.Bsize); free < uint64(bytes) {
		return jobs.WithHint(fmt.Errorf("the working directory has %s free, but the copy needs %s", artifact.Bytes(int64(free)), artifact.Bytes(bytes)),
			"free space on the file system of "+dir)
	}
	return nil
}
