package ledgertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// modelPasses is how often one that waits is passed by later ones.
const modelPasses = 8

// modelWait is a run of the model that stands in line.
type modelWait struct {
	Run    int
	Wants  []string
	Limits map[string]int
	Passed int
}

// lockModel says who holds and who waits for locks, in the simplest way.
type lockModel struct {
	holds map[string][]int
	line  []modelWait
}

// try returns what blocks a run: the lock, and whether somebody waits ahead.
func (m *lockModel) try(run int, wants []string, limits map[string]int) (lock string, ahead bool) {
	at := slices.IndexFunc(m.line, func(w modelWait) bool { return w.Run == run })
	before := m.line
	if at >= 0 {
		before = m.line[:at]
	}
	var passed []int
	for _, want := range wants {
		free := limits[want] - len(m.holds[want])
		if free <= 0 {
			lock, ahead = want, false
			break
		}
		for i, other := range before {
			switch {
			case !slices.Contains(other.Wants, want):
			case other.Passed < modelPasses && slices.ContainsFunc(other.Wants, func(l string) bool { return len(m.holds[l]) >= other.Limits[l] }):
				if !slices.Contains(passed, i) {
					passed = append(passed, i)
				}
			default:
				if free--; free == 0 && lock == "" {
					lock, ahead = want, true
				}
			}
		}
	}
	switch {
	case lock != "" && at >= 0:
		m.line[at].Wants, m.line[at].Limits = wants, limits
	case lock != "":
		m.line = append(m.line, modelWait{Run: run, Wants: wants, Limits: limits})
	default:
		for _, i := range passed {
			m.line[i].Passed++
		}
		if at >= 0 {
			m.line = slices.Delete(m.line, at, at+1)
		}
		for _, want := range wants {
			m.holds[want] = append(m.holds[want], run)
		}
	}
	return lock, ahead
}

// leave takes a run from everywhere.
func (m *lockModel) leave(run int) {
	for lock, list := range m.holds {
		m.holds[lock] = slices.DeleteFunc(list, func(r int) bool { return r == run })
	}
	m.line = slices.DeleteFunc(m.line, func(w modelWait) bool { return w.Run == run })
}

func (m *lockModel) busy(run int) bool {
	for _, list := range m.holds {
		if slices.Contains(list, run) {
			return true
		}
	}
	return false
}

// lockContest is one comparison of the ledger with the model.
type lockContest struct {
	*rapid.T
	s      *site
	m      *lockModel
	prefix string
	claims []runner.Claim
	// tries and others number the attempts of each run: of the job that wants
	// locks, and of one that wants none.
	tries, others []int
}

func (c *lockContest) try(*rapid.T) {
	run := rapid.IntRange(0, len(c.claims)-1).Draw(c.T, "run")
	if c.m.busy(run) {
		return
	}
	wants := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{c.prefix + "a", c.prefix + "b", c.prefix + "c"}), 1, 3, rapid.ID[string]).Draw(c.T, "wants")
	slices.Sort(wants)
	step := start("x", wants...)
	step.Begun[0].Attempt.Number = c.tries[run] + 1
	limits := map[string]int{}
	for _, want := range wants {
		limits[want] = rapid.SampledFrom([]int{1, 2, 2, 3}).Draw(c.T, "limit")
	}
	step.Begun[0].Limits = limits
	blocked, err := c.s.Advance(c.s.ctx, c.claims[run], step)
	if err != nil {
		c.Fatalf("Advance: %v", err)
	}
	lock, ahead := c.m.try(run, wants, limits)
	switch {
	case lock == "":
		c.tries[run]++
		if len(blocked) > 0 {
			c.Fatalf("run %d is blocked by %+v, want not", run, blocked)
		}
	case len(blocked) != 1 || blocked[0].Lock != lock || blocked[0].Ahead != ahead || blocked[0].Holder.Run == "":
		c.Fatalf("run %d is blocked by %+v, want by %s (ahead: %t)", run, blocked, lock, ahead)
	}
}

// leave ends what a run does, or its waiting, by something else that begins.
func (c *lockContest) leave(*rapid.T) { c.end(rapid.IntRange(0, len(c.claims)-1).Draw(c.T, "run")) }

func (c *lockContest) end(run int) {
	step := runner.Step{Ended: []runner.End{{Attempt: Ended(Attempt("x", c.tries[run]), runner.Succeeded)}}}
	if !c.m.busy(run) {
		c.others[run]++
		step = runner.Step{Begun: []runner.Start{{Attempt: Attempt("other", c.others[run])}}}
	}
	c.s.advance(c.claims[run], step)
	c.m.leave(run)
}

// compare looks at all places and lines.
func (c *lockContest) compare(*rapid.T) {
	number := map[runner.RunID]int{}
	for i, claim := range c.claims {
		number[claim.Run] = i
	}
	held, err := c.s.Locks(c.s.ctx)
	if err != nil {
		c.Fatalf("Locks: %v", err)
	}
	waits, err := c.s.Waits(c.s.ctx)
	if err != nil {
		c.Fatalf("Waits: %v", err)
	}
	for _, lock := range []string{c.prefix + "a", c.prefix + "b", c.prefix + "c"} {
		holders := 0
		for _, h := range held {
			if h.Lock == lock {
				holders++
			}
		}
		if want := len(c.m.holds[lock]); holders != want {
			c.Fatalf("%d hold %s, want %d", holders, lock, want)
		}
		var want, got []modelWait
		for _, w := range c.m.line {
			if slices.Contains(w.Wants, lock) {
				want = append(want, modelWait{Run: w.Run, Passed: w.Passed})
			}
		}
		for _, w := range waits {
			if w.Lock == lock {
				got = append(got, modelWait{Run: number[w.Run], Passed: w.Passed})
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			c.Fatalf("the line of %s differs (-want +got):\n%s", lock, diff)
		}
	}
}

// testLocksModel plays random histories on the ledger and on the model.
func testLocksModel(t *testing.T, dsn secret.String) {
	s := join(t, dsn, "a", longLease)
	claims := []runner.Claim{s.running(), s.running(), s.running(), s.running()}
	tries, others := make([]int, len(claims)), make([]int, len(claims))
	plays, waited, passed := 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		plays++
		c := &lockContest{
			T: rt, s: s, m: &lockModel{holds: map[string][]int{}}, prefix: fmt.Sprintf("p%d-", plays),
			claims: claims, tries: tries, others: others,
		}
		defer func() {
			for run := range claims {
				c.end(run)
			}
		}()
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			rapid.SampledFrom([]func(*rapid.T){c.try, c.try, c.try, c.leave}).Draw(rt, "step")(rt)
		}
		c.compare(rt)
		waited += len(c.m.line)
		for _, w := range c.m.line {
			passed += w.Passed
		}
	})
	if waited == 0 || passed == 0 {
		t.Errorf("%d waited and %d were passed: the histories show nothing", waited, passed)
	}
}
