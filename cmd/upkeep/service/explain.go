package service

import (
	"context"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/explain"
	"github.com/ghosteam/upkeep/runner/ticker"
	"github.com/ghosteam/upkeep/web/api"
)

// Inquiry is what somebody wants to know about the slots of a workflow.
type Inquiry struct {
	// Workflow is its name, Date what a person wrote; empty for the last slot.
	Workflow, Date string
	// Node is the node whose share it is about, as `run --on` names one; empty
	// for all.
	Node string
}

// Explain says what became of the slots of a workflow. members are the nodes that
// share the ledger; they do not matter where it is a file. Its errors about the
// question are of *api.Problem.
func Explain(ctx context.Context, cfg *configs.Config, slots runner.SlotReader, members []api.Member, ask Inquiry, now time.Time) (explain.Answer, error) {
	w, err := cfg.Workflow(ask.Workflow)
	if err != nil {
		return explain.Answer{}, noWorkflow(err)
	}
	from, until, err := explain.ParseDate(ask.Date, w.Zone, now)
	if ask.Date == "" {
		from, until, err = lastSlot(w, now)
	}
	if err != nil {
		return explain.Answer{}, api.NewProblem(api.CodeInvalid, jobs.HintOf(err), err.Error())
	}
	q := explain.Question{
		Workflow: explain.Workflow{
			Name: w.Name, Schedule: w.Schedule, Zone: w.Zone, Policy: w.Policy, Window: w.Window,
			Delay: delayOf(cfg, w), Rule: ticker.RuleOf(w.Schedule),
		},
		From: from, Until: until, Now: now, Node: cfg.Node, Keep: w.History.Keep, KeepRuns: w.History.Runs,
	}
	places := placesOf(cfg, members)
	if q.Only, err = placeNamed(places, ask.Node); err != nil {
		return explain.Answer{}, err
	}
	if w.EveryNode {
		q.Workflow.Hosts = hostsOf(w, places, q.Only)
		if len(q.Workflow.Hosts) == 0 {
			q.Workflow.Elsewhere = "it runs on " + api.PlaceWords(w.Where()) + ", and there is none"
		}
	} else if q.Only != "" {
		q.Only = "" // one run for all nodes: the answer says where that was
	}
	if shared(cfg) {
		q.Waits = func(run runner.Run) string { return waitsFor(places, run) }
	}
	return explain.Why(ctx, slots, q)
}

// lastSlot is the stretch of time of the slot that was due last, or of the next
// one when none was.
func lastSlot(w *configs.Workflow, now time.Time) (from, until time.Time, err error) {
	slot, ok := w.Schedule.Prev(now)
	if !ok {
		slot, ok = w.Schedule.Next(now)
	}
	if !ok {
		return explain.ParseDate("today", w.Zone, now)
	}
	return slot, slot.Add(time.Second), nil
}

// WhyOf is an answer as the API gives it.
func WhyOf(cfg *configs.Config, workflow string, a explain.Answer) api.Why {
	zone := time.UTC
	if w, err := cfg.Workflow(workflow); err == nil {
		zone = w.Zone
	}
	v := api.Why{
		Workflow: a.Workflow, Date: a.From.In(zone).Format(time.DateOnly), Zone: zone.String(),
		From: a.From.UTC(), Until: a.Until.UTC(), Summary: strings.Join(a.Notes, " "), Slots: []api.Explained{},
	}
	for _, s := range a.Slots {
		slot := s.Slot.UTC()
		e := api.Explained{Slot: &slot, Local: s.Local, Slots: 1, Text: s.Sentence, Details: []string{string(s.Verdict)}, Hint: s.Next, Hosts: []api.ExplainedHost{}}
		if runs := runsFor(s); len(runs) > 0 {
			run := runs[0]
			e.Run, e.Node, e.State, e.Reason, e.LastSlot, e.Slots = run.ID, run.Node, run.State, run.Reason, api.Instant(run.LastSlot), max(run.Slots, 1)
		}
		for _, h := range s.Hosts {
			e.Hosts = append(e.Hosts, hostOf(h))
		}
		v.Slots = append(v.Slots, e)
	}
	return v
}

// runsFor are the rows that a verdict rests on: where each node has its own, those
// of the first that has it.
func runsFor(s explain.SlotAnswer) []runner.Run {
	for _, h := range s.Hosts {
		if h.Verdict == s.Verdict {
			return h.Runs
		}
	}
	return s.Runs
}
