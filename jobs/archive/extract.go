package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs/internal/crypt"
	"github.com/ghosteam/upkeep/storage/object"
)

// Extraction says what to restore from an archive, and where.
type Extraction struct {
	// Target is the directory that receives the content. It is made when it is
	// not there and must be empty otherwise. It stays as it is until the
	// content is whole: that grows in a directory of its own beside the target,
	// or inside it when the target is the root of a mount.
	Target string
	// Only restricts the extraction to these names of the archive and what is
	// below them; empty means everything.
	Only []string
	// Owners restores owners, groups, the set-user-id, set-group-id and sticky
	// bits, and the extended attributes of programs and of root, which only
	// root may. Without it everything belongs to the caller.
	Owners bool
	// Identities are the paths of files with age identities that decrypt the
	// archive.
	Identities []string
	// Progress, when not nil, is told how many of the archive's bytes are
	// restored.
	Progress func(done, total int64)
}

// Extracted is what an extraction did.
type Extracted struct {
	// Totals counts what was restored.
	Totals Totals
	// Refused names links that were left out because they lead out of the
	// target, or to something that was not restored.
	Refused []string
	// Xattrs names some of the entries whose extended attributes could not all
	// be restored here, and XattrsLost counts them.
	Xattrs     []string
	XattrsLost int
	// Unswept says which leftovers of killed extractions could not be removed;
	// nil when all were.
	Unswept error
}

// Extract restores an archive into a directory. The archive is not trusted:
// absolute names, names with "..", entries of other types than Verify knows
// and entries below symbolic links are errors; links that lead out of the
// target are left out and reported; no more bytes are written than the manifest
// promises. Every file is compared with its hash. After an error the target is
// as it was; only a kill at the very end may leave a part of the content in a
// target that is the root of a mount, beside the directory that marks it as
// unfinished.
func Extract(ctx context.Context, a *object.Artifact, x Extraction) (out Extracted, err error) {
	want, err := DetailsOf(a.Manifest)
	if err != nil {
		return Extracted{}, err
	}
	keys, err := crypt.Load(x.Identities...)
	if err != nil {
		return Extracted{}, err
	}
	x.Only = slices.Clone(x.Only)
	for i, name := range x.Only {
		x.Only[i] = path.Clean(strings.Trim(name, "/"))
	}
	s, err := newStage(x.Target)
	if err != nil {
		return Extracted{}, err
	}
	if out, err = x.restore(ctx, a, keys, s, want); err != nil {
		return out, errors.Join(fmt.Errorf("extract into %s: %w", x.Target, err), s.drop())
	}
	out.Unswept = s.unswept
	if err := s.finish(); err != nil {
		return out, errors.Join(err, s.drop())
	}
	return out, nil
}

// restore extracts the content into a stage and makes it durable.
func (x Extraction) restore(ctx context.Context, a *object.Artifact, keys crypt.Keys, s *stage, want Details) (Extracted, error) {
	if err := x.hasRoom(s.dir, want); err != nil {
		return Extracted{}, err
	}
	root, err := os.OpenRoot(s.tree())
	if err != nil {
		return Extracted{}, fmt.Errorf("open the target: %w", err)
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	e := &extractor{Extraction: x, root: root, total: want.Bytes, dirs: map[string]bool{".": true}, orphans: map[string][]string{}, buf: make([]byte, readBuffer)}
	if err := contents(ctx, a, keys, e.entry); err != nil {
		return e.out, err
	}
	if len(e.orphans) > 0 {
		if err := contents(ctx, a, keys, e.adopt); err != nil {
			return e.out, err
		}
		for first, names := range e.orphans {
			e.out.Totals.Hardlinks -= int64(len(names))
			for _, name := range names {
				e.out.Refused = append(e.out.Refused, fmt.Sprintf("%s -> %s", shown(name), shown(first)))
			}
		}
	}
	if err := e.finish(); err != nil {
		return e.out, err
	}
	if len(x.Only) > 0 && e.out.Totals == (Totals{}) && len(e.out.Refused) == 0 {
		return e.out, fmt.Errorf("the archive holds nothing called %s", strings.Join(x.Only, ", "))
	}
	return e.out, nil
}

// hasRoom refuses an extraction of everything that cannot fit.
func (x Extraction) hasRoom(dir string, want Details) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("free space of %s: %w", x.Target, err)
	}
	free, needed := stat.Bavail*uint64(stat.Bsize), want.Bytes-want.HoleBytes
	if len(x.Only) == 0 && uint64(max(0, needed)) > free {
		return fmt.Errorf("%s has %d bytes free, but the archive holds %d", x.Target, free, needed)
	}
	return nil
}

// extractor restores entries below root.
type extractor struct {
	Extraction
	root  *os.Root
	total int64
	done  int64
	out   Extracted
	buf   []byte
	// dirs are the directories that are known to be real ones.
	dirs map[string]bool
	// orphans are the names of files whose first names are not wanted, by these.
	orphans map[string][]string
	// late are the directories whose attributes are set at the end, because
	// writing into them changes their times and may need their modes.
	late []lateDir
}

// lateDir is a directory with what it gets at the end.
type lateDir struct {
	entry  Entry
	header *tar.Header
}

// entry restores one entry.
func (e *extractor) entry(entry Entry, h *tar.Header, content io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	if err := safeName(name); err != nil {
		return err
	}
	e.done += entry.Bytes
	if e.Progress != nil {
		e.Progress(e.done, e.total)
	}
	if !e.wanted(name) {
		return nil
	}
	if err := e.parents(path.Dir(name)); err != nil {
		return err
	}
	ok, err := true, error(nil)
	switch entry.Type {
	case typeDir:
		err = e.dir(name, entry, h)
	case typeFile:
		err = e.file(name, entry, h, content)
	case typeSymlink:
		ok, err = e.symlink(name, entry, h)
	case typeHardlink:
		ok, err = e.hardlink(name, h)
	default:
		err = fmt.Errorf("%w: %s is of the unknown type %q", object.ErrDamaged, shown(name), entry.Type)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", shown(name), err)
	}
	if !ok {
		e.out.Refused = append(e.out.Refused, fmt.Sprintf("%s -> %s", shown(name), shown(h.Linkname)))
		return nil
	}
	e.out.Totals.add(entry)
	return nil
}

// safeName refuses names that could lead out of the target.
func safeName(name string) error {
	if !filepath.IsLocal(name) || path.Clean(name) != name || name == "." {
		return fmt.Errorf("%w: the archive holds the unsafe name %s", object.ErrDamaged, shown(name))
	}
	return nil
}

func (e *extractor) wanted(name string) bool {
	if len(e.Only) == 0 {
		return true
	}
	for _, only := range e.Only {
		if only == "." || name == only || strings.HasPrefix(name, only+"/") {
			return true
		}
	}
	return false
}

// parents makes sure that every directory above an entry is a real one that
// this extraction made.
func (e *extractor) parents(dir string) error {
	if e.dirs[dir] {
		return nil
	}
	if err := e.parents(path.Dir(dir)); err != nil {
		return err
	}
	err := e.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w: %s is not a directory but has entries", object.ErrDamaged, shown(dir))
	}
	e.dirs[dir] = true
	return err
}

func (e *extractor) dir(name string, entry Entry, h *tar.Header) error {
	if !e.dirs[name] {
		if err := e.root.Mkdir(name, 0o700); err != nil {
			return err
		}
		e.dirs[name] = true
	}
	e.late = append(e.late, lateDir{entry, h})
	return nil
}

// mode returns the mode bits to set.
func (e *extractor) mode(h *tar.Header) fs.FileMode {
	mode := fs.FileMode(h.Mode & 0o777)
	if e.Owners {
		mode |= h.FileInfo().Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	return mode
}

// symlink makes a symbolic link unless it leads out of the target. Because the
// parents are real directories and only the beginning of a target may go up,
// looking at the text is enough.
func (e *extractor) symlink(name string, entry Entry, h *tar.Header) (bool, error) {
	if !staysInside(name, h.Linkname) {
		return false, nil
	}
	if err := e.root.Symlink(h.Linkname, name); err != nil {
		return false, err
	}
	if e.Owners {
		if err := e.root.Lchown(name, h.Uid, h.Gid); err != nil {
			return false, err
		}
	}
	dir, err := e.root.Open(path.Dir(name))
	if err != nil {
		return false, err
	}
	err = unix.UtimesNanoAt(int(dir.Fd()), path.Base(name), timesOf(entry), unix.AT_SYMLINK_NOFOLLOW)
	return true, errors.Join(err, dir.Close())
}

// staysInside tells whether a symbolic link can lead out of the root.
func staysInside(name, target string) bool {
	if target == "" || path.IsAbs(target) {
		return false
	}
	depth := strings.Count(name, "/")
	down := false
	for segment := range strings.SplitSeq(target, "/") {
		switch segment {
		case "", ".":
		case "..":
			if depth--; down || depth < 0 {
				return false
			}
		default:
			down = true
		}
	}
	return true
}

// hardlink links to a file that was restored before. The names of one that is
// not wanted itself have to wait.
func (e *extractor) hardlink(name string, h *tar.Header) (bool, error) {
	if err := safeName(h.Linkname); err != nil {
		return false, err
	}
	if !e.wanted(h.Linkname) {
		e.orphans[h.Linkname] = append(e.orphans[h.Linkname], name)
		return true, nil
	}
	if !e.dirs[path.Dir(h.Linkname)] {
		return false, nil
	}
	info, err := e.root.Lstat(h.Linkname)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, e.root.Link(h.Linkname, name)
}

// adopt restores, in another reading of the archive, the content of files that
// are wanted only under other names than their first.
func (e *extractor) adopt(entry Entry, h *tar.Header, content io.Reader) error {
	names := e.orphans[string(entry.Name)]
	if len(names) == 0 || entry.Type != typeFile {
		return nil
	}
	delete(e.orphans, string(entry.Name))
	if err := e.file(names[0], entry, h, content); err != nil {
		return fmt.Errorf("restore %s: %w", shown(names[0]), err)
	}
	for _, name := range names[1:] {
		if err := e.root.Link(names[0], name); err != nil {
			return fmt.Errorf("restore %s: %w", shown(name), err)
		}
	}
	return nil
}

// finish sets the attributes of the directories, the innermost first, and
// makes everything durable.
func (e *extractor) finish() error {
	for _, d := range slices.Backward(e.late) {
		if err := e.finishDir(d); err != nil {
			return fmt.Errorf("restore %s: %w", shown(string(d.entry.Name)), err)
		}
	}
	dir, err := e.root.Open(".")
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(dir.Fd()))
	return errors.Join(err, dir.Close())
}

func (e *extractor) finishDir(d lateDir) error {
	f, err := e.root.OpenFile(string(d.entry.Name), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(e.attributes(f, d.entry, d.header), f.Close())
}
