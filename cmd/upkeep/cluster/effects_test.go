package cluster_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// effect is one attempt as its job wrote it down.
type effect struct {
	node, workflow, run, job string
	number                   int64
	began, ended             []time.Time
}

// effects returns what the jobs wrote on all nodes, by "run job number".
func (c *cluster) effects(t *testing.T) map[string]*effect {
	t.Helper()
	all := map[string]*effect{}
	for _, n := range c.nodes {
		text, err := os.ReadFile(filepath.Join(n.dir, "effects"))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) != 6 {
				t.Fatalf("a trace on %s is not whole: %q", n.name, line)
			}
			key := strings.Join(f[2:5], " ")
			at, err := strconv.ParseInt(f[5], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if all[key] == nil {
				number, err := strconv.ParseInt(f[4], 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				all[key] = &effect{node: n.name, workflow: f[1], run: f[2], job: f[3], number: number}
			}
			if f[0] == "begin" {
				all[key].began = append(all[key].began, time.Unix(0, at))
			} else {
				all[key].ended = append(all[key].ended, time.Unix(0, at))
			}
		}
	}
	return all
}

// checkEffects compares what the jobs did with what the ledger says of them.
func (c *cluster) checkEffects(t *testing.T, trail map[string][]step) {
	t.Helper()
	never := map[string]bool{}
	for _, w := range calendars() {
		never[w.name] = w.never
	}
	begun := map[string]int{} // by run, of workflows with on_crash: never
	for key, e := range c.effects(t) {
		if len(e.began) != 1 {
			broken(t, "attempt %s of %s began %d times", key, e.workflow, len(e.began))
		}
		if never[e.workflow] {
			if begun[e.run]++; begun[e.run] > 1 {
				broken(t, "run %s of %s had its effect twice, though it is never to be repeated", e.run, e.workflow)
			}
		}
		state := ""
		for _, s := range trail[e.run] {
			switch {
			case s.job != e.job:
			case s.number == e.number && s.final():
				state = s.state
			case isDone(s.state) && len(e.began) > 0 && e.began[0].After(s.at):
				broken(t, "job %s of run %s (%s) began again as attempt %d on %s, %s after its success was recorded",
					e.job, e.run, e.workflow, e.number, e.node, e.began[0].Sub(s.at))
			}
		}
		if isDone(state) && len(e.ended) != 1 {
			broken(t, "attempt %s of %s is on record as %s and ended %d times", key, e.workflow, state, len(e.ended))
		}
		if state == "" {
			broken(t, "attempt %s of %s had an effect and has no end on record", key, e.workflow)
		}
	}
	c.checkDone(t, trail)
}

// checkDone looks that every attempt that is on record as done left its traces.
func (c *cluster) checkDone(t *testing.T, trail map[string][]step) {
	t.Helper()
	traced := map[string]bool{}
	for _, w := range calendars() {
		traced[w.name] = w.name != "alarm"
	}
	effects := c.effects(t)
	names := map[string]string{}
	for _, r := range c.database.runs(t, "") {
		names[r.id] = r.workflow
	}
	done := 0
	for id, steps := range trail {
		for _, s := range steps {
			if s.job == "" || !isDone(s.state) || !traced[names[id]] {
				continue
			}
			done++
			if key := strings.Join([]string{s.run, s.job, strconv.FormatInt(s.number, 10)}, " "); effects[key] == nil {
				broken(t, "attempt %s of %s is on record as %s and did nothing", key, names[id], s.state)
			}
		}
	}
	t.Logf("%d attempts that are on record as done left one beginning and one end each", done)
}
