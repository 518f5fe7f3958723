package prune

import (
	"math"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// blockUnit is the unit of st_blocks by POSIX.
	blockUnit = 512
	// workers is how many folders are worked on at once. Most of the time
	// goes into waiting for the file system, so it does not follow the number
	// of processors.
	workers = 4
	// largeFolder is how many files of a folder are kept in one piece, so that
	// several workers share a very large folder.
	largeFolder = 4096
)

// The reasons for which a file stays.
const (
	skipMount     = "on another mount"
	skipLink      = "has several names (hard links)"
	skipOpen      = "open in a process"
	skipChanged   = "changed since it was looked at"
	skipGone      = "gone already"
	skipDenied    = "no permission"
	skipDeep      = "too deep"
	skipNoDate    = "no date in its name"
	skipUndecided = "not known whether it is open"
)

// fate is what happens to a matching file.
type fate uint8

const (
	stays fate = iota
	doomed
	gone
)

// file is one matching file as the scan saw it. There may be a million of
// them, so it is kept small.
type file struct {
	name    string
	at      int64 // what its age counts from, nanoseconds since 1970
	changed int64 // the time of its last change, likewise
	inode   uint64
	size    int64
	blocks  int64
	pattern uint16 // the first that matched
	fate    fate
	linked  bool // it has several names
}

func (f *file) bytes() int64 { return f.blocks * blockUnit }

// nanoseconds is an instant since 1970, cut to years that leave room for
// differences: clocks gone wrong leave files in any year.
func nanoseconds(t unix.Timespec) int64 {
	const most = math.MaxInt64 / 2 / int64(time.Second) // in the year 2116
	return min(max(t.Sec, -most), most)*int64(time.Second) + t.Nsec
}

// folder holds matching files, or a part of a very large one's.
type folder struct {
	path   string // below root, "" for root itself
	device uint64
	files  []file
}

// below returns the path of one of its files below root.
func (d *folder) below(f *file) string { return path.Join(d.path, f.name) }

// tally counts files and the room they take on disk.
type tally struct {
	files int
	bytes int64
}

func (t *tally) add(f *file) {
	t.files++
	t.bytes += f.bytes()
}

// tree is the folder below root as one run sees it.
type tree struct {
	options  Options
	match    []pattern
	exclude  []pattern
	root     *os.File
	host     host
	now      int64         // nanoseconds since 1970
	horizon  time.Duration // files younger than this are of no interest
	folders  []*folder
	matching tally
	doomed   tally
	deleted  tally

	seen atomic.Int64
	mu   sync.Mutex
	// skipped counts files and folders by the reason for which they stay;
	// denied is the first that permissions kept. mu guards both.
	skipped map[string]int
	denied  error
}

func newTree(o Options, root *os.File, now time.Time, h host) *tree {
	t := &tree{options: o, root: root, host: h, now: now.UnixNano(), skipped: map[string]int{}, match: compile(o.Match), exclude: compile(o.Exclude)}
	if o.KeepNewest == 0 && o.MaxTotal == 0 {
		t.horizon = o.OlderThan.Std() - tomorrow
	} else {
		t.horizon = math.MinInt64
	}
	return t
}

// age is how old a file is.
func (t *tree) age(f *file) time.Duration { return time.Duration(t.now - f.at) }

func (t *tree) skip(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped[reason]++
}

// deny counts what permissions keep, and remembers the first.
func (t *tree) deny(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped[skipDenied]++
	if t.denied == nil {
		t.denied = err
	}
}
