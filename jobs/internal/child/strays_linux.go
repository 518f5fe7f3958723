package child

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Strays returns the marks of the processes on this host that carry a mark of
// each of the keys and that this process did not start: for each combination
// that occurs its marks, KEY=VALUE, in the order of the keys. Processes that may
// not be looked into are left out, and so are the ancestors of this process.
func Strays(keys ...string) ([][]string, error) {
	w := &sweeper{family: thisProcess().family}
	all, err := snapshot()
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	spared, err := w.spared(all)
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	var strays [][]string
	for pid, p := range all {
		if spared[pid] || p.dead() || p.kernel {
			continue
		}
		text, err := environOf(pid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
			return nil, fmt.Errorf("look for processes: %w", err)
		}
		marks := marksOf(text, keys)
		if marks != nil && !slices.ContainsFunc(strays, func(known []string) bool { return slices.Equal(known, marks) }) {
			strays = append(strays, marks)
		}
	}
	slices.SortFunc(strays, slices.Compare)
	return strays, nil
}

// marksOf picks the entries of the keys out of an environment; nil when one is
// missing.
func marksOf(environ []byte, keys []string) []string {
	marks := make([]string, len(keys))
	for i, key := range keys {
		for entry := range bytes.SplitSeq(environ, []byte{0}) {
			if bytes.HasPrefix(entry, []byte(key+"=")) {
				marks[i] = string(entry)
			}
		}
		if marks[i] == "" {
			return nil
		}
	}
	return marks
}
