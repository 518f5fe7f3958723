package explain_test

import (
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// newHosts is the scene of a workflow that the nodes a, b and c run, of which c
// was last there on Saturday.
func newHosts(t *testing.T) *scene {
	s := newScene(t)
	s.q.Node = "a"
	s.q.Workflow.Hosts = []explain.Host{{Name: "a"}, {Name: "b"}, {Name: "c", Away: "it was last seen on Saturday"}}
	s.memory.cursors = nil
	for _, host := range []string{"a", "b", "c"} {
		through := s.q.Now
		if host == "c" {
			through = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
		}
		s.memory.cursors = append(s.memory.cursors, runner.Cursor{
			CalendarKey: runner.CalendarKey{Workflow: "daily", Host: host}, Schedule: "rule", Through: through, Since: s.q.Now.AddDate(-1, 0, 0),
		})
	}
	return s
}

// share records what became of the share of a node.
func (s *scene) share(slot time.Time, host string, change func(*runner.Run)) {
	s.memory.add("daily", slot, func(r *runner.Run) {
		r.Host, r.Node = host, host
		if change != nil {
			change(r)
		}
	})
}

func TestWhy_Hosts(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
	missed := func(r *runner.Run) {
		r.State, r.Reason, r.Message = runner.Skipped, runner.ReasonMissed, "the node c was not there: catch_up is none"
	}
	for _, test := range []struct {
		name, only, want string
		change           func(*scene)
	}{
		{"AllWell", "", "succeeded: a, b, c: ran on time and succeeded after 12m", func(s *scene) { s.share(slot, "c", nil) }},
		{"Missed", "", "missed: a, b: ran on time and succeeded after 12m; c: did not run: the node c was not there: catch_up is none [upkeep run daily]", func(s *scene) {
			s.share(slot, "c", missed)
		}},
		{"One", "b", "succeeded: b: ran on time and succeeded after 12m", func(s *scene) { s.share(slot, "c", missed) }},
		{"Away", "c", "undecided: c: was not started: the node is not there: it was last seen on Saturday; another node will record it as missed [upkeep nodes]", nil},
		{"InTime", "c", "undecided: c: was not started: the node is not there: it was last seen on Saturday; it runs if it is back in time, and is missed otherwise [upkeep nodes]", func(s *scene) {
			s.q.Workflow.Policy.CatchUp = schedule.CatchUp{Run: schedule.CatchUpAll, Max: 10, Within: 7 * 24 * time.Hour}
		}},
		{"Folded", "c", "missed: c: did not run: the node c was not there: catch_up is none (one row for 3 slots from Fri 2026-11-20 02:30:00 CET to Sun 2026-11-22 02:30:00 CET) [upkeep run daily]", func(s *scene) {
			s.share(slot.AddDate(0, 0, -2), "c", func(r *runner.Run) {
				missed(r)
				r.Slots, r.LastSlot = 3, slot
			})
		}},
		{"Forgotten", "", "failed: a, b, c: ran on time and succeeded after 12m; d: ran on time and failed after 12m: no room [upkeep show run-4]", func(s *scene) {
			s.share(slot, "c", nil)
			s.share(slot, "d", func(r *runner.Run) { r.State, r.Message = runner.Failed, "no room" })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newHosts(t)
			s.q.Only = test.only
			s.share(slot, "a", nil)
			s.share(slot, "b", nil)
			if test.change != nil {
				test.change(s)
			}
			a := s.ask("sunday")
			a.Notes = a.Notes[:1]
			expect(t, "Sun 2026-11-22 02:30:00 CET "+test.want+"\n"+dueDaily, a)
			if want := map[bool]int{true: 1, false: 3}[test.only != ""]; len(a.Slots[0].Hosts) < want {
				t.Errorf("%d nodes answer: %+v", len(a.Slots[0].Hosts), a.Slots[0].Hosts)
			}
		})
	}
	t.Run("Due", func(t *testing.T) {
		t.Parallel()
		s := newHosts(t)
		s.q.Workflow.Hosts[1].Delay = 5 * time.Minute
		expect(t, `Tue 2026-11-24 02:30:00 CET due: a: is due in 13h30m; b: is due in 13h35m (jitter delays it by 5m); c: is due in 13h30m, and the node is not there: it was last seen on Saturday
			`+dueDaily, s.ask("tomorrow"))
	})
}

// Of a workflow that one of several nodes runs it is told which did, and what it
// waits for.
func TestWhy_OneOfSeveral(t *testing.T) {
	t.Parallel()
	slot := time.Date(2026, 11, 22, 1, 30, 0, 0, time.UTC)
	queued := func(r *runner.Run) {
		r.State, r.StartedAt, r.FinishedAt, r.StartBy = runner.Queued, time.Time{}, time.Time{}, slot.Add(15*time.Minute)
	}
	for want, change := range map[string]func(*runner.Run){
		"succeeded: ran on time on b and succeeded after 12m": func(r *runner.Run) { r.Node = "b" },
		"queued: is queued since Sun 2026-11-22 02:30:00 CET: no node is there; it is missed when it has not begun by Sun 2026-11-22 02:45:00 CET [upkeep show run-1]": queued,
	} {
		s := newScene(t)
		s.q.Waits = func(runner.Run) string { return "no node is there" }
		s.memory.add("daily", slot, change)
		expect(t, "Sun 2026-11-22 02:30:00 CET "+want+"\n"+dueDaily, s.ask("sunday"))
	}
}
