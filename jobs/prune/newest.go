package prune

import (
	"cmp"
	"strings"
)

// mostNewest bounds keep_newest, because so many files of a folder are held in
// memory while it is read.
const mostNewest = 100_000

// newest is a heap of the newest files of a folder with the oldest of them on
// top: so many files need memory, however many there are.
type newest struct{ heap []sighting }

func (n *newest) clear() {
	clear(n.heap)
	n.heap = n.heap[:0]
}

// push adds a file. Once there are more than keep it returns the oldest.
func (n *newest) push(f sighting, keep int) (oldest sighting, full bool) {
	if len(n.heap) < keep {
		n.heap = append(n.heap, f)
		for at := len(n.heap) - 1; at > 0; {
			above := (at - 1) / 2
			if !older(&n.heap[at], &n.heap[above]) {
				break
			}
			n.heap[at], n.heap[above] = n.heap[above], n.heap[at]
			at = above
		}
		return sighting{}, false
	}
	if older(&f, &n.heap[0]) {
		return f, true
	}
	oldest, n.heap[0] = n.heap[0], f
	for at := 0; ; {
		next := at
		for _, under := range []int{2*at + 1, 2*at + 2} {
			if under < len(n.heap) && older(&n.heap[under], &n.heap[next]) {
				next = under
			}
		}
		if next == at {
			return oldest, true
		}
		n.heap[at], n.heap[next] = n.heap[next], n.heap[at]
		at = next
	}
}

// older orders the files of one folder.
func older(a, b *sighting) bool {
	return cmp.Or(cmp.Compare(a.at, b.at), strings.Compare(a.name, b.name)) < 0
}
