package problem

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the candidate that word is most likely a misspelling of, or
// the empty string when none is close.
func Nearest(word string, candidates []string) string {
	plain := simplify(word)
	best, bestDistance := "", len(plain)/3+1
	if len(plain) <= 3 {
		bestDistance = 1
	}
	bestDistance = min(bestDistance, 3)
	for _, candidate := range candidates {
		other := simplify(candidate)
		if other == plain {
			return candidate
		}
		if d := distance(plain, other); d <= bestDistance && d < max(len(plain), len(other)) && (best == "" || d < bestDistance) {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// DidYouMean returns a hint for a word that is not among candidates: the
// nearest one, or all of them when there are few.
func DidYouMean(word string, candidates []string) string {
	if near := Nearest(word, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(candidates) == 0 || len(candidates) > 12 {
		return ""
	}
	return "use one of: " + strings.Join(slices.Sorted(slices.Values(candidates)), ", ")
}

// simplify drops what people mix up without looking: case, hyphens and
// underscores.
func simplify(word string) string {
	return strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(word))
}

// distance is the optimal string alignment distance: insertions, deletions,
// replacements and swaps of neighbors, each counted as one.
func distance(a, b string) int {
	left, right := []rune(a), []rune(b)
	if len(left) > 64 || len(right) > 64 {
		return 64
	}
	rows := make([][]int, len(left)+1)
	for i := range rows {
		rows[i] = make([]int, len(right)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(left); i++ {
		for j := 1; j <= len(right); j++ {
			change := 1
			if left[i-1] == right[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && left[i-1] == right[j-2] && left[i-2] == right[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(left)][len(right)]
}
