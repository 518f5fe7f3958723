package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

const hintUnreadable = "let the user that runs upkeep read them, or exclude them; with `unreadable: warn` the rest is saved"

// survey is what a walk without contents found.
type survey struct {
	files int64
	// bytes is the sum of the files' lengths, data what they hold without
	// holes.
	bytes, data int64
}

// survey walks the sources without reading files and returns an error when the
// archive could not be complete.
func (j *Job) survey(ctx context.Context, env *jobs.Env, sources []source, said *notes) (survey, error) {
	var seen survey
	var first error
	found := &notes{}
	if env.DryRun() {
		found = said // there is no second walk that would say it
	}
	w := j.walker(env, found)
	w.unreadable = func(disk string, err error) error {
		found.add(unreadable, shown(disk))
		if first == nil {
			first = fmt.Errorf("read %s: %w", shown(disk), err)
		}
		return nil
	}
	w.listed = func(dir *node, fd int, names []string) { w.findLiveSQLite(dir, fd, names, said) }
	w.visit = func(_ context.Context, n *node) error {
		if n.mode() != unix.S_IFREG {
			return nil
		}
		if err := readable(n); err != nil {
			return w.unreadable(n.disk, err)
		}
		seen.files++
		seen.bytes += n.stat.Size
		seen.data += min(n.stat.Size, n.stat.Blocks*512)
		return nil
	}
	for _, s := range sources {
		before := seen.files
		if err := w.source(ctx, s); err != nil {
			return seen, err
		}
		if seen.files == before && !j.options.AllowEmpty && first == nil {
			return seen, jobs.WithHint(fmt.Errorf("%s holds no file to save", s.path),
				"correct paths or exclude, or set allow_empty if that is how it should be")
		}
	}
	if first != nil && j.options.Unreadable == policyFail {
		if more := found.counts[unreadable] - 1; more > 0 {
			first = fmt.Errorf("%w (and %d more that cannot be read: %s)", first, more, found.list(unreadable))
		}
		return seen, jobs.WithHint(first, hintUnreadable)
	}
	return seen, nil
}

// walker returns a walker of this job's rules.
func (j *Job) walker(env *jobs.Env, said *notes) *walker {
	w := &walker{rules: parseRules(j.options.Exclude), followMounts: j.options.FollowMounts, excludeCaches: j.options.ExcludeCaches, barred: map[inode]bool{}, own: env.IsOwn, notes: said}
	for _, dir := range append(j.publisher.Dirs(), env.WorkDir) {
		var st unix.Stat_t
		if dir != "" && unix.Stat(dir, &st) == nil {
			w.barred[inodeOf(&st)] = true
		}
	}
	return w
}

// readable asks the kernel whether a file may be read, without opening it.
func readable(n *node) error {
	if os.Geteuid() == 0 {
		return nil
	}
	err := unix.Faccessat(n.dir, n.base, unix.R_OK, unix.AT_EACCESS)
	if errors.Is(err, unix.ENOENT) {
		return nil // the walk that reads it will say so
	}
	return err //nolint:wrapcheck // the caller names the file
}

// findLiveSQLite reports databases that have a write-ahead log with content.
func (w *walker) findLiveSQLite(dir *node, fd int, names []string, said *notes) {
	for _, wal := range names {
		base, ok := strings.CutSuffix(wal, "-wal")
		if !ok {
			continue
		}
		disk := filepath.Join(dir.disk, base)
		if _, ok := slices.BinarySearch(names, base); !ok || excluded(w.rules, filepath.Join(dir.name, base), disk, false) {
			continue
		}
		var st unix.Stat_t
		if err := unix.Fstatat(fd, wal, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Size == 0 || w.own(st.Dev, st.Ino) {
			continue
		}
		if isSQLite(fd, base) {
			said.add(liveSQLite, shown(disk))
		}
	}
}

// sqliteMagic begins every SQLite 3 database (www.sqlite.org/fileformat.html).
const sqliteMagic = "SQLite format 3\x00"

func isSQLite(dir int, base string) bool { return beginsWith(dir, base, sqliteMagic) }

// beginsWith tells whether a name in an open directory is a regular file that
// begins with these bytes.
func beginsWith(dir int, base, magic string) bool {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return false
	}
	fd, err := openFile(dir, base)
	if err != nil {
		return false
	}
	defer unix.Close(fd) //nolint:errcheck // only read
	head := make([]byte, len(magic))
	n, err := unix.Pread(fd, head, 0)
	return err == nil && n == len(head) && string(head) == magic
}
