package prune

import (
	"math"
	"os"
	"strings"
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
	workers = 8
	// tomorrow is how far the result looks ahead.
	tomorrow = 24 * time.Hour
	// roomToRemember bounds the memory for what a survey found, in bytes. A run
	// that finds more walks the tree once more instead.
	roomToRemember = 7 << 20
)

// The reasons for which a file or a folder stays.
const (
	skipMount     = "on another mount"
	skipLink      = "has several names (hard links)"
	skipOpen      = "open in a process"
	skipChanged   = "changed since it was looked at"
	skipNew       = "came since it was looked for"
	skipGone      = "gone already"
	skipDenied    = "no permission"
	skipDeep      = "too deep"
	skipNoDate    = "no date in its name"
	skipUndecided = "not known whether it is open"
	skipPacked    = "does not get smaller"
	skipTaken     = "its compressed name is taken"
	skipNoRoom    = "no room to compress it"
	skipMany      = "more than one run looks at"
)

// action is what is to happen to a matching file.
type action uint8

const (
	stay action = iota
	drop
	pack
)

// sighting is one matching file as a walk saw it.
type sighting struct {
	name    string
	at      int64 // what its age counts from, nanoseconds since 1970
	changed int64 // the time of its last change, likewise
	entered int64 // the time at which its inode changed last, likewise
	inode   uint64
	size    int64
	blocks  int64
	pattern int  // the first that matched
	linked  bool // it has several names
	packed  bool // its name is that of a compressed file
}

func (s *sighting) bytes() int64 { return s.blocks * blockUnit }

// nanoseconds is an instant since 1970, cut to years that leave room for
// differences: clocks gone wrong leave files in any year.
func nanoseconds(t unix.Timespec) int64 {
	const most = math.MaxInt64 / 2 / int64(time.Second) // in the year 2116
	return min(max(t.Sec, -most), most)*int64(time.Second) + t.Nsec
}

// record is what is remembered of a file that is to go. There may be many of
// them, so it holds no pointers.
type record struct {
	changed int64
	inode   uint64
	size    int64
	blocks  uint32 // at most 2 TiB are reported of one file
	name    uint32 // where it begins among the folder's names
	length  uint16
	action  action
}

func (r *record) bytes() int64 { return int64(r.blocks) * blockUnit }

// folder is what is remembered of one folder, or of a part of a large one.
type folder struct {
	path    string // below root, "" for root itself
	device  uint64
	records []record
	names   []byte
}

// name returns the name of one of its files.
func (d *folder) name(r *record) string {
	return string(d.names[r.name : r.name+uint32(r.length)])
}

func (d *folder) add(s *sighting, a action) {
	d.records = append(d.records, record{
		changed: s.changed, inode: s.inode, size: s.size, blocks: uint32(min(s.blocks, math.MaxUint32)),
		name: uint32(len(d.names)), length: uint16(len(s.name)), action: a,
	})
	d.names = append(d.names, s.name...)
}

// recordSize is about what a record takes.
const recordSize = 40

// room is about how much memory the folder takes.
func (d *folder) room() int64 {
	return int64(len(d.records)*recordSize + len(d.names) + len(d.path) + 96)
}

// clone is a copy without spare room.
func (d *folder) clone() *folder {
	return &folder{path: d.path, device: d.device, records: append([]record(nil), d.records...), names: append([]byte(nil), d.names...)}
}

// clear forgets the files and keeps the room.
func (d *folder) clear() { d.records, d.names = d.records[:0], d.names[:0] }

// below is the path of a name in a folder that is itself given by its path.
func below(folder, name string) string {
	switch {
	case folder == "":
		return name
	case name == "":
		return folder
	}
	return folder + "/" + name
}

// orDot names a folder for calls that take no empty name.
func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}

// split separates the last name of a path from the folder that holds it.
func split(path string) (folder, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// tally counts files and the room they take on disk.
type tally struct {
	files int
	bytes int64
}

func (t *tally) add(bytes int64) {
	t.files++
	t.bytes += bytes
}

func (t *tally) join(o tally) {
	t.files += o.files
	t.bytes += o.bytes
}

// tree is the folder below root as one run sees it.
type tree struct {
	options Options
	match   []pattern
	exclude []pattern
	root    *os.File
	host    host
	now     int64 // nanoseconds since 1970
	began   int64 // when the walks began, by the clock of this machine
	limit   rank  // max_total: what is not newer goes
	digests bool  // the plan is wanted

	// What the survey found.
	seen     atomic.Int64
	matching tally
	drops    tally
	packs    tally
	soon     tally // what a run in a day would drop, today's included
	patterns []tally
	largest  []big
	digest   sum
	hollow   []*hollow
	folders  []*folder
	forgot   atomic.Bool // not all that was found is remembered

	// What was done.
	deleted tally
	packed  tally
	saved   int64
	emptied int

	room atomic.Int64
	mu   sync.Mutex
	// skipped counts files and folders by the reason for which they stay;
	// denied is the first that permissions kept. mu guards both.
	skipped map[string]int
	denied  error
}

func newTree(o Options, root *os.File, now time.Time, h host) *tree {
	return &tree{
		options: o, root: root, host: h, now: now.UnixNano(), began: h.clock(), limit: lowest, skipped: map[string]int{},
		match: compile(o.Match), exclude: compile(o.Exclude), patterns: make([]tally, len(o.Match)),
	}
}

// skip counts what stays. Only what was to go counts.
func (t *tree) skip(reason string) { t.skipAll(reason, 1) }

func (t *tree) skipAll(reason string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped[reason] += n
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
