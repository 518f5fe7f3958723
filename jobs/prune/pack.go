package prune

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// The values of compress.
const (
	compressNone = "none"
	compressGzip = "gzip"
	compressZstd = "zstd"
)

// packers is how many files are compressed at once.
const packers = 2

// packWindow bounds how far back zstd looks, and with it its memory.
const packWindow = 1 << 20

// unpackedName returns a file's name without the ending that says that it is
// compressed.
func unpackedName(name string) (plain string, packed bool) {
	for _, end := range []string{".gz", ".zst", ".xz", ".bz2", ".lz4", ".lzo", ".br", ".zip", ".7z", ".tgz", ".Z"} {
		if rest, ok := strings.CutSuffix(name, end); ok && rest != "" {
			return rest, true
		}
	}
	return name, false
}

// magics are how compressed files begin.
//
//nolint:gochecknoglobals // a constant that Go cannot spell
var magics = [][]byte{{0x1f, 0x8b}, {0x28, 0xb5, 0x2f, 0xfd}, {0xfd, '7', 'z', 'X', 'Z', 0}, {'B', 'Z', 'h'}, {0x04, 0x22, 0x4d, 0x18}, {'P', 'K', 3, 4}, {'7', 'z', 0xbc, 0xaf}}

// ending is what a compressed file's name ends in.
func ending(form string) string {
	if form == compressGzip {
		return ".gz"
	}
	return ".zst"
}

// pack puts a compressed copy beside a file and then removes the file. The copy
// gets its name when it is whole, on disk, and was read back and compared; a
// file that changes meanwhile stays. It returns why it stays otherwise.
func (r *remover) pack(ctx context.Context, dir int, d *folder, f *record) (why string, err error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-r.slots }()
	name := d.name(f)
	fd, why, err := r.open.hold(dir, name, inode{d.device, f.inode}, true)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.open.release(fd)) }()
	if other, err := d.compare(dir, name, f); other != "" || err != nil {
		return other, err
	}
	if why != "" || fd == none {
		return why, nil
	}
	p := &packing{ctx: ctx, from: fd, form: r.tree.options.Compress, dir: dir, name: name, target: name + ending(r.tree.options.Compress)}
	defer func() { err = errors.Join(err, p.close()) }()
	if why, err := p.make(f); why != "" || err != nil {
		return why, err
	}
	// As late as can be: nobody may have written to it.
	if other, err := d.compare(dir, name, f); other != "" || err != nil {
		return other, errors.Join(err, p.withdraw())
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return "", errors.Join(err, p.withdraw())
	}
	r.packed.add(f.bytes())
	r.saved += f.bytes() - p.bytes
	return "", nil
}

// packing is the compression of one file.
type packing struct {
	ctx          context.Context //nolint:containedctx // it lives as long as the packing
	form         string
	dir          int
	name, target string
	from         int // held by a lease where there are any
	to           *os.File
	stat         unix.Stat_t
	named        string // the copy's temporary name, where it needs one
	published    bool
	bytes        int64 // what the copy takes on disk
}

func (p *packing) close() error {
	var errs []error
	if p.to != nil {
		errs = append(errs, p.to.Close())
	}
	if p.named != "" {
		if err := unix.Unlinkat(p.dir, p.named, 0); !errors.Is(err, unix.ENOENT) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// withdraw removes the copy again.
func (p *packing) withdraw() error {
	if !p.published {
		return nil
	}
	return unix.Unlinkat(p.dir, p.target, 0)
}

// make writes the copy and gives it its name.
func (p *packing) make(f *record) (why string, err error) {
	if err := unix.Fstat(p.from, &p.stat); err != nil {
		return "", err
	}
	if p.stat.Ino != f.inode || p.stat.Size != f.size {
		return skipChanged, nil
	}
	var head [8]byte
	n, err := unix.Pread(p.from, head[:], 0)
	if err != nil {
		return "", err
	}
	for _, magic := range magics {
		if bytes.HasPrefix(head[:n], magic) {
			return skipPacked, nil
		}
	}
	switch why, err := p.write(); {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return skipNoRoom, nil
	case why != "" || err != nil:
		return why, err
	}
	return p.publish()
}

// write makes the copy, with everything but its name, and reads it back.
func (p *packing) write() (why string, err error) {
	if err := p.create(); err != nil {
		return "", err
	}
	read := sha256.New()
	size, err := p.compress(io.TeeReader(io.LimitReader(&reader{p.from}, p.stat.Size), read))
	if err != nil {
		return "", err
	}
	if size != p.stat.Size {
		return skipChanged, nil
	}
	fd := int(p.to.Fd())
	// The owner first: a change of it takes bits of the mode away.
	if err := unix.Fchown(fd, int(p.stat.Uid), int(p.stat.Gid)); err != nil {
		return "", err
	}
	if err := unix.Fchmod(fd, p.stat.Mode&0o7777); err != nil {
		return "", err
	}
	if err := copyAttributes(p.from, fd); err != nil {
		return "", err
	}
	if err := setTimes(fd, p.stat.Atim, p.stat.Mtim); err != nil {
		return "", err
	}
	if err := p.to.Sync(); err != nil {
		return "", err
	}
	var copied unix.Stat_t
	if err := unix.Fstat(fd, &copied); err != nil {
		return "", err
	}
	if p.bytes = copied.Blocks * blockUnit; p.bytes >= p.stat.Blocks*blockUnit && copied.Size >= p.stat.Size {
		return skipPacked, nil
	}
	back, n, err := p.readBack(p.to)
	if err != nil || n != p.stat.Size || !bytes.Equal(back, read.Sum(nil)) {
		return "", errors.Join(fmt.Errorf("the compressed copy is not what was read: %d of %d bytes came back", n, p.stat.Size), err)
	}
	return "", nil
}

// create opens a file without a name where the file system can, so that nothing
// is left when this process dies; else one with a name that says what it is.
func (p *packing) create() error {
	fd, err := unix.Openat(p.dir, ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		sum := sha256.Sum256([]byte(p.name))
		p.named = fmt.Sprintf(".upkeep-%x.tmp", sum[:12])
		// One that is there is left from this very file.
		if err := unix.Unlinkat(p.dir, p.named, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
		if fd, err = unix.Openat(p.dir, p.named, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600); err != nil {
			return err
		}
	}
	p.to = os.NewFile(uintptr(fd), p.target)
	return nil
}

// compress writes all of a file into the copy and returns its length.
func (p *packing) compress(from io.Reader) (int64, error) {
	var w io.WriteCloser
	var err error
	if p.form == compressGzip {
		w, err = gzip.NewWriterLevel(p.to, gzip.DefaultCompression)
	} else {
		w, err = zstd.NewWriter(p.to, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(packWindow), zstd.WithLowerEncoderMem(true))
	}
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(w, &until{p.ctx, from})
	return n, errors.Join(err, w.Close())
}

// readBack returns the SHA-256 and the length of what a copy holds.
func (p *packing) readBack(copied *os.File) ([]byte, int64, error) {
	if _, err := copied.Seek(0, io.SeekStart); err != nil {
		return nil, 0, err
	}
	var r io.Reader
	if p.form == compressGzip {
		z, err := gzip.NewReader(copied)
		if err != nil {
			return nil, 0, err
		}
		r = z
	} else {
		z, err := zstd.NewReader(copied, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, 0, err
		}
		defer z.Close()
		r = z
	}
	h := sha256.New()
	n, err := io.Copy(h, io.LimitReader(&until{p.ctx, r}, p.stat.Size+1))
	return h.Sum(nil), n, err
}

// publish gives the copy its name and makes that durable. A name that is taken
// stays what it is, unless a run that died had published the same copy.
func (p *packing) publish() (why string, err error) {
	if p.named != "" {
		err = unix.Renameat2(p.dir, p.named, p.dir, p.target, unix.RENAME_NOREPLACE)
	} else {
		err = unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", p.to.Fd()), p.dir, p.target, unix.AT_SYMLINK_FOLLOW)
	}
	switch {
	case errors.Is(err, unix.EEXIST):
		return p.sameCopy()
	case errors.Is(err, unix.ENAMETOOLONG):
		return skipTaken, nil
	case err != nil:
		return "", err
	}
	p.named, p.published = "", true
	return "", unix.Fsync(p.dir)
}

// sameCopy tells whether what has the copy's name holds the same.
func (p *packing) sameCopy() (why string, err error) {
	fd, err := unix.Openat(p.dir, p.target, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return skipTaken, nil //nolint:nilerr // whatever it is, it is not the copy
	}
	there := os.NewFile(uintptr(fd), p.target)
	defer func() { err = errors.Join(err, there.Close()) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return "", err
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG || stat.Mtim != p.stat.Mtim {
		return skipTaken, nil
	}
	own, n, err := p.readBack(p.to)
	if err != nil {
		return "", err
	}
	other, m, err := p.readBack(there)
	if err != nil || n != m || !bytes.Equal(own, other) {
		return skipTaken, nil //nolint:nilerr // it is not the copy
	}
	return "", errors.Join(there.Sync(), unix.Fsync(p.dir))
}

// reader reads a descriptor that somebody else closes.
type reader struct{ fd int }

func (r *reader) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// until ends reading with the context.
type until struct {
	ctx  context.Context //nolint:containedctx // it lives as long as the reader
	from io.Reader
}

func (u *until) Read(p []byte) (int, error) {
	if err := context.Cause(u.ctx); err != nil {
		return 0, err
	}
	return u.from.Read(p)
}

// setTimes sets the times of an open file to the nanosecond.
func setTimes(fd int, accessed, changed unix.Timespec) error {
	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{accessed, changed}, 0)
}

// copyAttributes copies the extended attributes that may be copied, access
// lists among them.
func copyAttributes(from, to int) error {
	list := make([]byte, 64<<10)
	n, err := unix.Flistxattr(from, list)
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil
		}
		return err
	}
	value := make([]byte, 64<<10)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if name == "" || strings.HasPrefix(name, "security.") {
			continue
		}
		n, err := unix.Fgetxattr(from, name, value)
		if err != nil {
			return err
		}
		if err := unix.Fsetxattr(to, name, value[:n], 0); err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	return nil
}
