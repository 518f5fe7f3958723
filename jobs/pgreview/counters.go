package pgreview

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// counters are the numbers of the server that only grow, as a run saw them. It
// leaves them to later runs in its outputs.
type counters struct {
	At       time.Time `json:"at"`
	Database string    `json:"database"`
	// Reset is since when the database counts, CheckpointsReset and
	// StatementsReset since when the others do; zero when that is not known.
	Reset            time.Time `json:"reset"`
	CheckpointsReset time.Time `json:"checkpoints_reset"`
	StatementsReset  time.Time `json:"statements_reset"`
	NewestOID        int64     `json:"newest_oid"`

	// Counts are the counters that were read, by name.
	Counts map[string]int64 `json:"counts,omitempty"`
	// Scans are the sequential scans of large tables by their number.
	Scans map[int64]int64 `json:"scans,omitempty"`

	// statements are kept apart, because they are many. Floor is the total time
	// in milliseconds of the least of those that were kept when others were
	// left out, else 0.
	Floor      float64 `json:"floor"`
	statements map[int64]statementCount
	has        bool
}

// statementCount is what a statement has taken so far.
type statementCount struct {
	calls int64
	total float64 // milliseconds
}

// The outputs that hold counters.
const (
	countersOutput   = "counters"
	statementsOutput = "statements."
	// mostParts bounds how many outputs hold statements.
	mostParts = 12
)

// store writes the counters into outputs.
func (c counters) store(outputs map[string]string) {
	if !c.has {
		return
	}
	parts, kept := packStatements(c.statements)
	for i, part := range parts {
		outputs[statementsOutput+strconv.Itoa(i+1)] = part
	}
	c.Floor = 0
	if kept.left > 0 {
		c.Floor = kept.least
	}
	text, err := json.Marshal(c)
	if err != nil || len(text) > longestOutput {
		return // a struct of numbers and times always fits
	}
	outputs[countersOutput] = string(text)
}

// packing tells what packStatements could not keep.
type packing struct {
	left  int
	least float64
}

// packStatements writes statements as texts of at most longestOutput bytes
// each, those with most time first: "ID CALLS MILLISECONDS;…" with the numbers
// in base 36.
func packStatements(all map[int64]statementCount) ([]string, packing) {
	var parts []string
	var p packing
	var b strings.Builder
	for n, id := range byTotal(all) {
		s := all[id]
		entry := fmt.Sprintf("%s %s %s;", strconv.FormatUint(uint64(id), 36), strconv.FormatInt(s.calls, 36), strconv.FormatInt(int64(math.Round(s.total*1000)), 36))
		if b.Len()+len(entry) > longestOutput {
			parts = append(parts, b.String())
			b.Reset()
			if len(parts) == mostParts {
				p.left = len(all) - n
				return parts, p
			}
		}
		b.WriteString(entry)
		p.least = s.total
	}
	if b.Len() > 0 {
		parts = append(parts, b.String())
	}
	return parts, p
}

// unpackStatements reads what packStatements wrote and leaves out the rest.
func unpackStatements(outputs map[string]string) map[int64]statementCount {
	all := map[int64]statementCount{}
	for n := 1; n <= mostParts; n++ {
		for entry := range strings.SplitSeq(outputs[statementsOutput+strconv.Itoa(n)], ";") {
			fields := strings.Fields(entry)
			if len(fields) != 3 {
				continue
			}
			id, err1 := strconv.ParseUint(fields[0], 36, 64)
			calls, err2 := strconv.ParseInt(fields[1], 36, 64)
			micro, err3 := strconv.ParseInt(fields[2], 36, 64)
			if err1 == nil && err2 == nil && err3 == nil {
				all[int64(id)] = statementCount{calls: calls, total: float64(micro) / 1000}
			}
		}
	}
	return all
}

// countersOf reads the counters of an earlier run.
func countersOf(p jobs.Past) (counters, bool) {
	var c counters
	text := p.Result.Outputs[countersOutput]
	if text == "" || json.Unmarshal([]byte(text), &c) != nil || c.At.IsZero() {
		return counters{}, false
	}
	c.has = true
	return c, true
}

// newestCounters are those of the newest earlier run that has any.
func newestCounters(past []jobs.Past) counters {
	for _, p := range past {
		if c, ok := countersOf(p); ok {
			c.statements = unpackStatements(p.Result.Outputs)
			return c
		}
	}
	return counters{}
}

// keep begins the counters of this run. Those of another database are not
// compared with.
func (r *review) keep() {
	if r.before.Database != r.conn.Server.Database {
		r.before = counters{}
	}
	r.now = counters{
		has: true, At: r.facts.At, Database: r.conn.Server.Database, Reset: r.facts.CountedSince, NewestOID: r.facts.NewestOID,
		Counts: map[string]int64{},
	}
}

// grown keeps a counter of the database and tells by how much it grew, and from
// when on: since the run before or, when it was reset in between or there is no
// such run, since the reset.
func (r *review) grown(name string, now int64) (grown int64, from time.Time) {
	return r.grownSince(name, now, r.now.Reset, r.before.Reset)
}

// grownSince is grown for a counter that is reset on its own. from is zero when
// it is not known.
func (r *review) grownSince(name string, now int64, reset, resetBefore time.Time) (grown int64, from time.Time) {
	r.now.Counts[name] = now
	if was, known := r.before.Counts[name]; known && now >= was && reset.Equal(resetBefore) {
		return now - was, r.before.At
	}
	return now, reset
}
