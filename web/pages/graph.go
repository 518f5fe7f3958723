package pages

import (
	"fmt"
	"unicode/utf8"

	"github.com/ghosteam/upkeep/web/api"
)

// graphView is the graph of jobs: what needs what, from left to right.
type graphView struct {
	Width, Height int
	Label         string
	Boxes         []graphBox
	Edges         []string // the data of paths
}

// graphBox is one job.
type graphBox struct {
	X, Y, Width, Height int
	Name, Kind, Href    string
	State               *badge
	Title               string
}

const (
	boxWidth, boxHeight = 168, 46
	gapX, gapY          = 46, 14
	// longestLabel is how many characters of a name fit into a box.
	longestLabel = 19
	graphMargin  = 2
)

// graphOf lays jobs out: each stands right of all that it needs, in the order of
// the file.
func graphOf(jobs []api.JobNode, states map[string]badge, href func(job string) string) graphView {
	columns := columnsOf(jobs)
	at := map[string]graphBox{}
	used := map[int]int{}
	g := graphView{Label: "The graph of " + count(len(jobs), "job")}
	for _, j := range jobs {
		x, y := columns[j.Name], used[columns[j.Name]]
		used[x]++
		box := graphBox{
			X: graphMargin + x*(boxWidth+gapX), Y: graphMargin + y*(boxHeight+gapY), Width: boxWidth, Height: boxHeight,
			Name: shorten(j.Name, longestLabel), Kind: shorten(j.Kind, longestLabel), Href: href(j.Name), Title: j.Name + ", " + j.Kind,
		}
		if b, ok := states[j.Name]; ok {
			box.State = &b
			box.Title += ": " + b.Word
		}
		at[j.Name] = box
		g.Boxes = append(g.Boxes, box)
		g.Width, g.Height = max(g.Width, box.X+boxWidth+graphMargin), max(g.Height, box.Y+boxHeight+graphMargin)
	}
	for _, j := range jobs {
		for _, need := range j.Needs {
			from, ok := at[need]
			if !ok {
				continue
			}
			to := at[j.Name]
			x1, y1, x2, y2 := from.X+boxWidth, from.Y+boxHeight/2, to.X, to.Y+boxHeight/2
			bend := gapX / 2
			g.Edges = append(g.Edges, fmt.Sprintf("M%d %dC%d %d %d %d %d %d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2))
		}
	}
	return g
}

// columnsOf is how many jobs at most come before each one. A graph with a
// cycle, which no configuration has, gets columns too.
func columnsOf(jobs []api.JobNode) map[string]int {
	columns := map[string]int{}
	for range jobs {
		changed := false
		for _, j := range jobs {
			for _, need := range j.Needs {
				if before, ok := columns[need]; ok && columns[j.Name] <= before && before < len(jobs) {
					columns[j.Name], changed = before+1, true
				}
			}
			if _, ok := columns[j.Name]; !ok {
				columns[j.Name], changed = 0, true
			}
		}
		if !changed {
			break
		}
	}
	return columns
}

// shorten cuts text to at most so many characters.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most-1]) + "…"
}
