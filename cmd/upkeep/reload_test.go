package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

const reloadFrame = `
timezone: UTC
ballast: off
drain_timeout: 5s
workflows:
  tick:
    schedule: {every: 1s}
    overlap: allow
    jobs:
      one: {kind: script, with: {run: ["true"]}}
`

// Reloads at random moments, good ones and bad ones, while slots come due every
// second: no slot is lost or doubled of what stays, and what changes, comes or
// goes has no more of a gap than its schedules have.
func TestServe_ReloadsLoseNoSlot(t *testing.T) {
	t.Parallel()
	const changing = "  changing:\n    schedule: {every: %ds}\n    overlap: allow\n    jobs:\n      one: {kind: script, with: {run: [\"true\"]}}\n"
	const coming = "  coming:\n    schedule: {every: 1s}\n    overlap: allow\n    jobs:\n      one: {kind: script, with: {run: [\"true\"]}}\n"
	h := newHouse(t, reloadFrame+fmt.Sprintf(changing, 1))
	d := h.serve(t)
	good, bad, rounds := 0, 0, 14
	if os.Getenv("UPKEEP_SOAK") != "" {
		rounds = 300
	}
	for i := range rounds {
		text := reloadFrame + fmt.Sprintf(changing, 1+i%2)
		if i%4 >= 2 {
			text += coming
		}
		if i%5 == 4 {
			text += "  broken: {}\n"
			bad++
		} else {
			good++
		}
		h.write(t, "upkeep.yaml", text)
		time.Sleep(rand.N(400 * time.Millisecond)) // the moment of the reload is the input of this test
		d.signal(t, syscall.SIGHUP)
		eventually(t, "the reload is done", func() (bool, string) {
			said := d.said(t)
			return strings.Count(said, "the configuration is reloaded") == good && strings.Count(said, "could not be reloaded") == bad, said
		})
	}
	h.write(t, "upkeep.yaml", reloadFrame+fmt.Sprintf(changing, 1)+coming)
	d.signal(t, syscall.SIGHUP)
	h.runs(t, "tick", "succeeded")
	h.runs(t, "changing", "succeeded")
	h.runs(t, "coming", "succeeded")
	d.stop(t)
	h.everySlotOnce(t, "tick", time.Second)

	s := soak{dir: h.dir}
	slots := map[string][]runner.Run{}
	for _, run := range everyRun(t, s.reader(t)) {
		if run.Reason == runner.ReasonMissed {
			t.Errorf("the slot %s of %s was missed", run.Slot, run.Spec.Workflow)
		}
		slots[run.Spec.Workflow] = append(slots[run.Spec.Workflow], run) // newest first
	}
	list := slots["changing"]
	for i := range len(list) - 1 {
		if gap := list[i].Slot.Sub(list[i+1].Slot); gap <= 0 || gap > 2*time.Second {
			t.Errorf("changing has no slot between %s and %s", list[i+1].Slot, list[i].Slot)
		}
	}
}
