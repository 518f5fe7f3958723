package pages

import (
	"fmt"
	"math"

	"github.com/ghosteam/upkeep/web/api"
)

// valueRow is a value of a job beside that of the last good run.
type valueRow struct {
	Job, Name, Value, Before, Change string
	// Much tells that it changed by so much that one should look.
	Much bool
}

// muchChange is from which share on a change stands out.
const muchChange = 0.5

func valuesOf(list []api.ComparedValue) []valueRow {
	var rows []valueRow
	job := ""
	for _, c := range list {
		row := valueRow{Name: safe(c.Name), Value: "–", Before: "–"}
		if c.Job != job {
			row.Job, job = c.Job, c.Job
		}
		if c.Value != nil {
			row.Value = number(c.Name, *c.Value)
		}
		if c.Before != nil {
			row.Before = number(c.Name, *c.Before)
		}
		switch {
		case c.Change == nil:
		case *c.Change == 0:
			row.Change = "="
		default:
			row.Change = fmt.Sprintf("%+.1f %%", 100**c.Change)
			row.Much = math.Abs(*c.Change) >= muchChange
		}
		rows = append(rows, row)
	}
	return rows
}
