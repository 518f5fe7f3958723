package configs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/ghosteam/upkeep/configs/internal/source"
)

// perNode are the keys at the top that may rightly differ between nodes: who the
// node is, where its files, its ledger's address and its pages are, how much it
// may do at once, and how it speaks to its own machine.
func perNode(key string) bool {
	return slices.Contains([]string{"node", "labels", "root", "ledger", "web", "max_running", "ballast", "log", "metrics"}, key)
}

// SharedDigest identifies what must be the same on all nodes that share a
// ledger: the SHA-256, in lower-case hexadecimal, of all keys at the top but
// those of perNode, with what they say, each text after its length in 8 bytes.
// It does not depend on comments, layout, the files that things stand in, or
// the order of keys at the top and of names below them; what references stand for is not part of it.
func (c *Config) SharedDigest() string {
	h := sha256.New()
	put := func(name string, value *source.Node) {
		for _, text := range []string{name, source.Text(value)} {
			h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
			h.Write([]byte(text))
		}
	}
	entries := index(c.node)
	for _, key := range sortedKeys(entries) {
		value := entries[key]
		switch {
		case perNode(key):
		case named(key) && value.Kind == source.Map:
			below := index(value)
			for _, name := range sortedKeys(below) {
				put(key+"."+name, below[name])
			}
		default:
			put(key, value)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func sortedKeys(entries map[string]*source.Node) []string {
	keys := make([]string, 0, len(entries))
	for key := range entries {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
