package archive

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/jobs"
)

// samples is how many examples a finding names.
const samples = 5

// subject is what a note is about.
type subject int

// The subjects, in the order in which they are reported.
const (
	unreadable subject = iota
	torn
	vanished
	mounted
	liveSQLite
	unsized
	looped
	pseudo
	xattrless
	grown
	cached
	special
	barred
	subjects
)

// describe returns the finding's id, its severity, and what happened to a
// number of entries.
func (s subject) describe() (id string, severity jobs.Severity, text string) {
	switch s {
	case unreadable:
		return "unreadable", jobs.Warning, "could not be read and are not in the archive"
	case torn:
		return "torn", jobs.Warning, "changed while they were read and may be inconsistent"
	case vanished:
		return "vanished", jobs.Warning, "vanished before they could be read"
	case mounted:
		return "mounts-left-out", jobs.Warning, "on other file systems were left out (set follow_mounts, or exclude them)"
	case liveSQLite:
		return "live-sqlite", jobs.Warning, "are SQLite databases in use, whose copies may be inconsistent (save them with sqlitebackup)"
	case unsized:
		return "unsized", jobs.Warning, "say that they are empty but are not, and were saved empty"
	case looped:
		return "loops", jobs.Warning, "are mounted below themselves and were entered once"
	case pseudo:
		return "pseudo-left-out", jobs.Info, "show the state of the kernel and were left out"
	case xattrless:
		return "xattrs-left-out", jobs.Warning, "were saved without their extended attributes"
	case grown:
		return "grown", jobs.Info, "grew while they were read and were saved up to their length at the start"
	case cached:
		return "caches-left-out", jobs.Info, "are marked as caches and their content was left out"
	case special:
		return "specials-left-out", jobs.Info, "are sockets, FIFOs or devices and were left out"
	case barred:
		return "stores-left-out", jobs.Info, "belong to stores, to the ledger or to this run and were left out"
	default:
		panic("archive: no such subject")
	}
}

// notes collects what a person should know, with bounded memory. Several
// goroutines may add to it.
type notes struct {
	mu     sync.Mutex
	counts map[subject]int
	names  map[subject][]string
}

func (n *notes) add(s subject, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.counts == nil {
		n.counts, n.names = map[subject]int{}, map[subject][]string{}
	}
	n.counts[s]++
	if len(n.names[s]) < samples {
		n.names[s] = append(n.names[s], name)
	}
}

// findings returns one finding for each subject that was met.
func (n *notes) findings() []jobs.Finding {
	var out []jobs.Finding
	for s := range subjects {
		if n.counts[s] > 0 {
			id, severity, text := s.describe()
			out = append(out, jobs.Finding{ID: id, Severity: severity, Text: fmt.Sprintf("%d entries %s: %s", n.counts[s], text, n.list(s))})
		}
	}
	return out
}

// list names some examples.
func (n *notes) list(s subject) string {
	text := strings.Join(n.names[s], ", ")
	if more := n.counts[s] - len(n.names[s]); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// shown writes a path so that no byte in it can break a line or a terminal.
func shown(path string) string {
	if utf8.ValidString(path) && strconv.Quote(path) == `"`+path+`"` {
		return path
	}
	return strconv.Quote(path)
}
