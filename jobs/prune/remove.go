package prune

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// batch is how many files of a folder go in one effect; their names are at
	// most batchNames bytes long together, unless it is one.
	batch      = 64
	batchNames = 4 << 10
)

// removal is the part of a run that changes something.
type removal struct {
	tree     *tree
	env      *jobs.Env
	open     *opened
	finished atomic.Int64
	slots    chan struct{} // to compress in
	// left is what may still go: what came to match after the survey did not
	// pass its rails.
	left, leftBytes atomic.Int64
}

// remove deletes the files that go and compresses those that are due for it,
// several at once. It stops at the end of ctx and at an error that is not about
// one file. In a dry run it describes them, in order if they are remembered.
func (t *tree) remove(ctx context.Context, env *jobs.Env) error {
	work := &removal{tree: t, env: env, open: &opened{host: t.host, leases: !network(int(t.root.Fd()))}, slots: make(chan struct{}, packers)}
	work.left.Store(int64(t.drops.files))
	work.leftBytes.Store(t.drops.bytes)
	var crew []*remover
	hire := func() *remover {
		r := &remover{removal: work, ctx: ctx}
		crew = append(crew, r)
		return r
	}
	var err error
	if t.forgot.Load() {
		err = t.walk(ctx, env, false, func(s *scanner) visitor { return &finder{remover: hire(), scanner: s, found: &folder{}} })
	} else {
		err = work.remembered(ctx, hire)
	}
	for _, r := range crew {
		t.deleted.join(r.deleted)
		t.packed.join(r.packed)
		t.saved += r.saved
	}
	if err != nil {
		return err
	}
	return t.removeFolders(ctx, env)
}

// remembered goes through what the survey remembered.
func (w *removal) remembered(ctx context.Context, hire func() *remover) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	n := workers
	if w.env.DryRun() {
		n = 1
	}
	folders := w.tree.folders
	var taken atomic.Int64
	var wg sync.WaitGroup
	failures := make([]error, n)
	for i := range failures {
		r := hire()
		r.ctx = ctx
		wg.Go(func() {
			for at := int(taken.Add(1)) - 1; at < len(folders); at = int(taken.Add(1)) - 1 {
				if failures[i] = r.folder(folders[at]); failures[i] != nil {
					stop(errOther)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(slices.DeleteFunc(failures, func(err error) bool { return err == nil || errors.Is(err, errOther) })...)
}

// errOther ends the work of a remover because another one failed.
var errOther = errors.New("another worker failed")

// remover is one worker of a removal.
type remover struct {
	*removal

	ctx     context.Context //nolint:containedctx // it lives as long as the worker
	deleted tally
	packed  tally
	saved   int64
}

// folder works on what is remembered of a folder.
func (r *remover) folder(d *folder) (err error) {
	if r.env.DryRun() {
		slices.SortFunc(d.records, func(a, b record) int { return strings.Compare(d.name(&a), d.name(&b)) })
	}
	dir, err := r.tree.host.open(int(r.tree.root.Fd()), orDot(d.path))
	switch {
	case gone(err):
		// It is no longer the folder that the survey saw.
		r.tree.skipAll(skipChanged, len(d.records))
		return nil
	case err != nil:
		return fmt.Errorf("open folder %s: %w", display(d.path), err)
	}
	defer func() { err = errors.Join(err, unix.Close(dir)) }()
	return r.work(dir, d)
}

// work deletes and compresses files of an open folder, in batches.
func (r *remover) work(dir int, d *folder) error {
	for at := 0; at < len(d.records); {
		end := r.batch(d, at)
		some := d.records[at:end]
		err := r.env.Effect(r.ctx, r.describe(d, some), func(ctx context.Context) error {
			for i := range some {
				if err := context.Cause(ctx); err != nil {
					return fmt.Errorf("delete below %s: %w", display(d.path), err)
				}
				if err := r.file(ctx, dir, d, &some[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.env.Progress(r.finished.Add(int64(len(some))), int64(r.tree.drops.files+r.tree.packs.files), "files")
		at = end
	}
	return nil
}

// batch is where the batch ends that begins at a file. Files are compressed one
// by one, and a dry run shows each.
func (r *remover) batch(d *folder, at int) (end int) {
	length := 0
	for end = at; end < len(d.records) && end < at+batch; end++ {
		f := &d.records[end]
		if length += int(f.length); end > at && (length > batchNames || f.action == pack || d.records[at].action == pack || r.env.DryRun()) {
			break
		}
	}
	return end
}

// describe is what is about to happen to files.
func (r *remover) describe(d *folder, some []record) string {
	f := &some[0]
	path := display(below(below(r.tree.root.Name(), d.path), d.name(f)))
	switch {
	case f.action == pack:
		return "compress " + path + " (" + humanize.IBytes(uint64(f.bytes())) + ", " + days(r.tree.age(d.name(f), f.changed)) + " old)"
	case len(some) == 1:
		return "delete " + path + " (" + humanize.IBytes(uint64(f.bytes())) + ", " + days(r.tree.age(d.name(f), f.changed)) + " old)"
	}
	var text strings.Builder
	var room int64
	for i := range some {
		room += some[i].bytes()
		if i > 0 {
			text.WriteByte(' ')
		}
		text.WriteString(display(d.name(&some[i])))
	}
	return "delete " + strconv.Itoa(len(some)) + " files (" + humanize.IBytes(uint64(room)) + ") in " + display(below(r.tree.root.Name(), d.path)) + ": " + text.String()
}

// age is how old a file of that name and time of change is.
func (t *tree) age(name string, changed int64) time.Duration {
	if t.options.AgeFrom == "name" {
		if date, ok := dateIn(name); ok {
			changed = date.UnixNano()
		}
	}
	return time.Duration(t.now - changed)
}

// file deletes or compresses one file, or counts why not.
func (r *remover) file(ctx context.Context, dir int, d *folder, f *record) error {
	var why string
	var err error
	verb := "delete"
	if f.action == pack {
		verb = "compress"
		why, err = r.pack(ctx, dir, d, f)
	} else if why, err = r.unlink(dir, d, f); why == "" && err == nil {
		r.deleted.add(f.bytes())
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		r.tree.deny(fmt.Errorf("%s %s: %w", verb, display(below(d.path, d.name(f))), err))
	case err != nil:
		return fmt.Errorf("%s %s: %w", verb, display(below(d.path, d.name(f))), err)
	case why != "":
		r.tree.skip(why)
	}
	return nil
}

// unlink deletes one file if it is still the one that was looked at and nobody
// uses it. It returns why not otherwise.
func (r *remover) unlink(dir int, d *folder, f *record) (why string, err error) {
	name := d.name(f)
	fd, why, err := r.open.hold(dir, name, inode{d.device, f.inode}, false)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, r.open.release(fd)) }()
	if other, err := d.compare(dir, name, f); other != "" || err != nil {
		return other, err
	}
	if why != "" {
		return why, nil
	}
	if err := unix.Unlinkat(dir, name, 0); errors.Is(err, unix.ENOENT) {
		return skipGone, nil
	} else if err != nil {
		return "", err
	}
	return "", nil
}

// compare tells why a file is not any more the one that was looked at: by its
// name, because it is the name that goes.
func (d *folder) compare(dir int, name string, f *record) (why string, err error) {
	var now unix.Stat_t
	switch err := unix.Fstatat(dir, name, &now, unix.AT_SYMLINK_NOFOLLOW); {
	case errors.Is(err, unix.ENOENT):
		return skipGone, nil
	case err != nil:
		return "", err
	case now.Dev != d.device || now.Ino != f.inode || now.Size != f.size || nanoseconds(now.Mtim) != f.changed || now.Mode&unix.S_IFMT != unix.S_IFREG:
		return skipChanged, nil
	case now.Nlink > 1:
		return skipLink, nil
	}
	return "", nil
}

// finder removes on a second walk what the survey found but could not
// remember.
type finder struct {
	*remover

	scanner *scanner
	found   *folder
}

func (f *finder) take(s *sighting) error {
	t := f.tree
	a := t.fate(f.scanner.path, s)
	if a == stay || s.linked {
		return nil
	}
	// What the kernel has noted a change of since the survey began was not
	// seen by it as it is now.
	if s.entered >= t.began && !f.env.DryRun() {
		t.skip(skipNew)
		return nil
	}
	if a == drop && (f.left.Add(-1) < 0 || f.leftBytes.Add(-s.bytes()) < 0) {
		t.skip(skipNew)
		return nil
	}
	f.found.add(s, a)
	if len(f.found.records) >= batch {
		return f.leave()
	}
	return nil
}

func (f *finder) leave() error {
	f.found.path, f.found.device = f.scanner.path, f.scanner.stat.Dev
	err := f.work(f.scanner.fd, f.found)
	f.found.clear()
	return err
}

// display makes a file's name safe to show: quoted when it holds anything that
// a terminal or a log would not show as it is.
func display(name string) string {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
				return quoted
			}
			return name
		}
	}
	return name
}

// days writes a duration in days, or hours below two days.
func days(d time.Duration) string {
	if d >= 2*tomorrow {
		return strconv.Itoa(int(d/tomorrow)) + "d"
	}
	return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
}
