package service

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
)

// rendezvous orders nodes for something, for each thing otherwise: who is first
// changes only when that one goes, or a new one comes before it.
func rendezvous(thing string, nodes []string) []string {
	order := slices.Clone(nodes)
	slices.SortFunc(order, func(a, b string) int { return before(thing, a, b) })
	return order
}

// placeIn is the place of a node in the order that rendezvous makes of nodes,
// without making it; 0 for the first.
func placeIn(thing string, nodes []string, node string) int {
	place := 0
	for _, other := range nodes {
		if other != node && before(thing, other, node) < 0 {
			place++
		}
	}
	return place
}

// before is negative when a comes before b in the order for something.
func before(thing, a, b string) int {
	return cmp.Or(cmp.Compare(weight(thing, b), weight(thing, a)), strings.Compare(a, b))
}

func weight(thing, node string) uint64 {
	h := fnv.New64a()
	// A hash never fails.
	_, _ = h.Write([]byte(thing + "\x00" + node))
	x := h.Sum64()
	// The end of splitmix64, because FNV hardly mixes its last bytes.
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
