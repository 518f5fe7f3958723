package prune

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

const (
	// largeFolder is how many files of a folder are remembered in one piece, so
	// that several workers share a very large folder.
	largeFolder = 4096
	// mostLargest is how many of the largest files are reported.
	mostLargest = 10
)

// wants returns the first pattern that a file matches, or -1, and tells whether
// it is compressed by its name. Under compress a compressed file counts as what
// it was before.
func (t *tree) wants(folder, name string) (which int, packed bool) {
	plain := name
	if t.options.Compress != compressNone {
		plain, packed = unpackedName(name)
	}
	which = matching(t.match, folder, name)
	if which < 0 && packed {
		which = matching(t.match, folder, plain)
	}
	if which >= 0 && (matching(t.exclude, folder, name) >= 0 || packed && matching(t.exclude, folder, plain) >= 0) {
		which = -1
	}
	return which, packed
}

// due tells whether a file is old enough to go, or too much, in so long a time.
func (t *tree) due(folder string, s *sighting, ahead time.Duration) bool {
	if old := t.options.OlderThan.Std(); old > 0 && time.Duration(t.now-s.at)+ahead >= old {
		return true
	}
	return s.at < t.limit.at || s.at == t.limit.at && tie(folder, s.name) <= t.limit.tie
}

// fate decides over a file that keep_newest does not keep. It depends on the
// rule, the file and the limit alone, so that every walk decides alike.
func (t *tree) fate(folder string, s *sighting) action {
	switch {
	case t.due(folder, s, 0):
		return drop
	case t.options.Compress != compressNone && !s.packed && s.size > 0 && time.Duration(t.now-s.at) >= t.options.CompressAfter.Std():
		return pack
	}
	return stay
}

// survey decides which files go without touching any. It counts them all, and
// remembers them as long as there are not too many.
func (t *tree) survey(ctx context.Context, env *jobs.Env) error {
	if t.options.MaxTotal > 0 {
		if err := t.findLimit(ctx, env); err != nil {
			return err
		}
	}
	var crew []*surveyor
	err := t.walk(ctx, env, true, func(s *scanner) visitor {
		v := &surveyor{tree: t, scanner: s, patterns: make([]tally, len(t.match)), found: &folder{}}
		crew = append(crew, v)
		return v
	})
	for _, v := range crew {
		t.drops.join(v.drops)
		t.packs.join(v.packs)
		t.soon.join(v.soon)
		for i, p := range v.patterns {
			t.patterns[i].join(p)
		}
		for _, b := range v.largest {
			t.largest = insertLargest(t.largest, b)
		}
		t.digest.join(v.digest)
		if t.hollow = append(t.hollow, v.hollow...); v.overfull {
			t.skip(skipMany)
		}
		if !t.forgot.Load() {
			t.folders = append(t.folders, v.folders...)
		}
	}
	slices.SortStableFunc(t.folders, func(a, b *folder) int { return strings.Compare(a.path, b.path) })
	return err
}

// big is one of the largest files that are to go.
type big struct {
	path  string
	bytes int64
	at    int64
}

// insertLargest keeps a list of the largest files in order.
func insertLargest(list []big, b big) []big {
	if len(list) == mostLargest && b.bytes <= list[mostLargest-1].bytes {
		return list
	}
	at, _ := slices.BinarySearchFunc(list, b, func(a, b big) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), strings.Compare(a.path, b.path))
	})
	list = slices.Insert(list, at, b)
	return list[:min(len(list), mostLargest)]
}

// surveyor is one worker of a survey.
type surveyor struct {
	tree    *tree
	scanner *scanner

	drops, packs, soon tally
	patterns           []tally
	largest            []big
	digest             sum
	hollow             []*hollow
	overfull           bool
	folders            []*folder
	// found and going are about the folder at hand.
	found *folder
	going int
}

func (v *surveyor) take(s *sighting) error {
	t := v.tree
	a := t.fate(v.scanner.path, s)
	if a == stay {
		if !s.linked && t.due(v.scanner.path, s, tomorrow) {
			v.soon.add(s.bytes())
		}
		return nil
	}
	if s.linked {
		v.scanner.skip(skipLink)
		return nil
	}
	if a == pack {
		v.packs.add(s.bytes())
	} else {
		v.drop(s)
	}
	if t.digests {
		v.digest.add(a, below(v.scanner.path, s.name), s.inode, s.size, s.changed)
	}
	if !t.forgot.Load() {
		v.found.add(s, a)
		if len(v.found.records) >= largeFolder {
			v.remember()
		}
	}
	return nil
}

func (v *surveyor) drop(s *sighting) {
	v.going++
	v.drops.add(s.bytes())
	v.soon.add(s.bytes())
	v.patterns[s.pattern].add(s.bytes())
	if len(v.largest) < mostLargest || s.bytes() > v.largest[mostLargest-1].bytes {
		v.largest = insertLargest(v.largest, big{path: below(v.scanner.path, s.name), bytes: s.bytes(), at: s.at})
	}
}

// remember keeps what was found, or forgets everything when it is too much.
func (v *surveyor) remember() {
	t := v.tree
	if len(v.found.records) > 0 && !t.forgot.Load() {
		v.found.path, v.found.device = v.scanner.path, v.scanner.stat.Dev
		kept := v.found.clone()
		if t.room.Add(kept.room()) > t.host.remember {
			t.forgot.Store(true)
		}
		v.folders = append(v.folders, kept)
	}
	if t.forgot.Load() {
		v.folders = nil
	}
	v.found.clear()
}

func (v *surveyor) leave() error {
	v.remember()
	v.judgeFolder()
	v.going = 0
	return nil
}
