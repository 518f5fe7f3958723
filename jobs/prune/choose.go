package prune

import (
	"cmp"
	"regexp"
	"slices"
	"time"
)

// choose returns the files that the rule dooms, oldest first. It is a pure
// decision over what the scan saw.
func (t *tree) choose() []*file {
	return choose(t.options, t.matching, t.now)
}

func choose(o Options, matching []*file, now time.Time) []*file {
	oldest := slices.SortedStableFunc(slices.Values(matching), func(a, b *file) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.dir, b.dir), cmp.Compare(a.name, b.name))
	})
	kept := map[string]int{}
	stays := map[*file]bool{}
	for _, f := range slices.Backward(oldest) {
		if kept[f.dir] < o.KeepNewest {
			kept[f.dir]++
			stays[f] = true
		}
	}
	total := blocks(oldest)
	var doomed []*file
	for _, f := range oldest {
		old := o.OlderThan > 0 && now.Sub(f.at) >= o.OlderThan.Std()
		over := o.MaxTotal > 0 && total > int64(o.MaxTotal)
		if stays[f] || !old && !over {
			continue
		}
		doomed = append(doomed, f)
		total -= f.blocks()
	}
	return doomed
}

// datePattern finds a date between things that are not digits.
var datePattern = regexp.MustCompile(`(?:^|\D)(\d{4})-?(\d{2})-?(\d{2})(?:\D|$)`)

// dateIn reads the last date in a name, midnight UTC.
func dateIn(name string) (time.Time, bool) {
	found := datePattern.FindAllStringSubmatch(name, -1)
	for _, m := range slices.Backward(found) {
		if date, err := time.Parse("20060102", m[1]+m[2]+m[3]); err == nil {
			return date, true
		}
	}
	return time.Time{}, false
}
