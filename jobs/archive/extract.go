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
	// not there and must be empty otherwise.
	Target string
	// Only restricts the extraction to these names of the archive and what is
	// below them; empty means everything.
	Only []string
	// Owners restores owners, groups and the set-user-id, set-group-id and
	// sticky bits, which only root may. Without it everything belongs to the
	// caller.
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
}

// Extract restores an archive into a directory. The archive is not trusted:
// absolute names, names with "..", entries of other types than Verify knows
// and entries below symbolic links are errors; links that lead out of the
// target are left out and reported; no more bytes are written than the manifest
// promises. Every file is compared with its hash. After an error the target
// holds a part of the content that must not be used.
func Extract(ctx context.Context, a *object.Artifact, x Extraction) (Extracted, error) {
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
	root, err := openTarget(x.Target)
	if err != nil {
		return Extracted{}, err
	}
	defer root.Close() //nolint:errcheck // only a handle on a directory
	if err := hasRoom(x, want); err != nil {
		return Extracted{}, err
	}
	e := &extractor{Extraction: x, root: root, total: want.Bytes, dirs: map[string]bool{".": true}, buf: make([]byte, readBuffer)}
	if err := contents(ctx, a, keys, e.entry); err != nil {
		return e.out, fmt.Errorf("extract into %s: %w", x.Target, err)
	}
	if err := e.finish(); err != nil {
		return e.out, fmt.Errorf("extract into %s: %w", x.Target, err)
	}
	if len(x.Only) > 0 && e.out.Totals == (Totals{}) && len(e.out.Refused) == 0 {
		return e.out, fmt.Errorf("the archive holds nothing called %s", strings.Join(x.Only, ", "))
	}
	return e.out, nil
}

func openTarget(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the target: %w", err)
	}
	if err := vacant(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the target: %w", err)
	}
	return root, nil
}

// hasRoom refuses an extraction of everything that cannot fit.
func hasRoom(x Extraction, want Details) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(x.Target, &stat); err != nil {
		return fmt.Errorf("free space of %s: %w", x.Target, err)
	}
	free := stat.Bavail * uint64(stat.Bsize)
	if len(x.Only) == 0 && uint64(want.Bytes) > free {
		return fmt.Errorf("%s has %d bytes free, but the archive holds %d", x.Target, free, want.Bytes)
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
	// late are the directories whose attributes are set at the end, because
	// writing into them changes their times and may need their modes.
	late []*tar.Header
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
		err = e.dir(name, h)
	case typeFile:
		err = e.file(name, h, content)
	case typeSymlink:
		ok, err = e.symlink(name, h)
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

func (e *extractor) dir(name string, h *tar.Header) error {
	if !e.dirs[name] {
		if err := e.root.Mkdir(name, 0o700); err != nil {
			return err
		}
		e.dirs[name] = true
	}
	e.late = append(e.late, h)
	return nil
}

func (e *extractor) file(name string, h *tar.Header, content io.Reader) (err error) {
	f, err := e.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, content, e.buf); err != nil {
		return err
	}
	if e.Owners {
		if err := f.Chown(h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(e.mode(h)); err != nil {
		return err
	}
	return e.root.Chtimes(name, h.ModTime, h.ModTime)
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
func (e *extractor) symlink(name string, h *tar.Header) (bool, error) {
	if !staysInside(name, h.Linkname) {
		return false, nil
	}
	if err := e.root.Symlink(h.Linkname, name); err != nil {
		return false, err
	}
	if e.Owners {
		return true, e.root.Lchown(name, h.Uid, h.Gid)
	}
	return true, nil
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

// hardlink links to a file that was restored before.
func (e *extractor) hardlink(name string, h *tar.Header) (bool, error) {
	if err := safeName(h.Linkname); err != nil {
		return false, err
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

// finish sets the attributes of the directories, the innermost first, and
// makes everything durable.
func (e *extractor) finish() error {
	for _, h := range slices.Backward(e.late) {
		name := strings.TrimSuffix(h.Name, "/")
		if e.Owners {
			if err := e.root.Lchown(name, h.Uid, h.Gid); err != nil {
				return err
			}
		}
		if err := e.root.Chmod(name, e.mode(h)); err != nil {
			return err
		}
		if err := e.root.Chtimes(name, h.ModTime, h.ModTime); err != nil {
			return err
		}
	}
	dir, err := e.root.Open(".")
	if err != nil {
		return err
	}
	err = unix.Syncfs(int(dir.Fd()))
	return errors.Join(err, dir.Close())
}
