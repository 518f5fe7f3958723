package prune

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"
)

// tomorrow is how far the result looks ahead.
const tomorrow = 24 * time.Hour

// candidate is a file in its folder.
type candidate struct {
	*file

	folder *folder
}

// choose decides which files the rule dooms. It is a pure decision over what
// the scan saw. A file that is due but has several names stays.
func (t *tree) choose() {
	for c := range t.due(0) {
		if c.linked {
			t.skip(skipLink)
			continue
		}
		c.file.fate = doomed
		t.doomed.add(c.file)
	}
}

// next is what a run in a day would doom if nothing changed but this run's
// deletions.
func (t *tree) next() tally {
	var next tally
	for c := range t.due(tomorrow) {
		if !c.linked {
			next.add(c.file)
		}
	}
	return next
}

// due yields the files that are old enough, or too much, in so long a time;
// those that are gone count no more.
func (t *tree) due(ahead time.Duration) iter.Seq[candidate] {
	return func(yield func(candidate) bool) {
		o := t.options
		room := t.room()
		for c := range t.candidates() {
			old := o.OlderThan > 0 && t.age(c.file)+ahead >= o.OlderThan.Std()
			over := o.MaxTotal > 0 && room > int64(o.MaxTotal)
			if !old && !over {
				continue
			}
			room -= c.bytes()
			if !yield(c) {
				return
			}
		}
	}
}

// room is what the files take together.
func (t *tree) room() int64 {
	var room int64
	for _, d := range t.folders {
		for i := range d.files {
			if d.files[i].fate != gone {
				room += d.files[i].bytes()
			}
		}
	}
	return room
}

// candidates are the files that keep_newest does not keep, oldest first when
// it matters which of them go.
func (t *tree) candidates() iter.Seq[candidate] {
	if t.options.MaxTotal == 0 {
		return t.replaceable()
	}
	return slices.Values(slices.SortedFunc(t.replaceable(), older))
}

// replaceable are the files that keep_newest does not keep.
func (t *tree) replaceable() iter.Seq[candidate] {
	return func(yield func(candidate) bool) {
		for _, d := range t.folders {
			own := d.present()
			if keep := t.options.KeepNewest; keep > 0 {
				sorted := slices.SortedFunc(own, older)
				own = slices.Values(sorted[:max(len(sorted)-keep, 0)])
			}
			for c := range own {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// present are the files of a folder that are not gone.
func (d *folder) present() iter.Seq[candidate] {
	return func(yield func(candidate) bool) {
		for i := range d.files {
			if d.files[i].fate != gone && !yield(candidate{&d.files[i], d}) {
				return
			}
		}
	}
}

// older orders by age, and by path where that is the same.
func older(a, b candidate) int {
	return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.folder.path, b.folder.path), strings.Compare(a.name, b.name))
}
