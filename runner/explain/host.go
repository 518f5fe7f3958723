package explain

import (
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
)

// tellHosts answers for each node that has a share in a slot, and puts the
// answers into one sentence. The worst of them gives the verdict.
func (in *inquiry) tellHosts(a *SlotAnswer, slot time.Time) {
	hosts := map[string]Host{}
	var names []string
	add := func(h Host) {
		if _, known := hosts[h.Name]; !known && in.about(h.Name) {
			hosts[h.Name] = h
			names = append(names, h.Name)
		}
	}
	for _, h := range in.Workflow.Hosts {
		add(h)
	}
	for _, r := range a.Runs {
		add(Host{Name: r.Host, Delay: in.Workflow.Delay}) // a node that is forgotten, or had the label then
	}
	slices.Sort(names)
	for _, name := range names {
		one := HostAnswer{Host: name}
		for _, r := range a.Runs {
			if r.Host == name {
				one.Runs = append(one.Runs, r)
			}
		}
		if len(one.Runs) > 0 {
			one.Verdict, one.Sentence, one.Next = in.row(one.Runs[0])
		} else {
			one.Verdict, one.Sentence, one.Next = in.absent(slot, hosts[name])
		}
		a.Hosts = append(a.Hosts, one)
	}
	in.combine(a)
}

// combine makes one answer of those of the nodes: nodes of which the same is to
// be said share a part of the sentence.
func (in *inquiry) combine(a *SlotAnswer) {
	worst := -1
	var parts []string
	for i, h := range a.Hosts {
		if rank := h.Verdict.rank(); rank > worst {
			worst, a.Verdict, a.Next = rank, h.Verdict, h.Next
		}
		if slices.ContainsFunc(a.Hosts[:i], func(o HostAnswer) bool { return o.Sentence == h.Sentence }) {
			continue
		}
		var names []string
		for _, o := range a.Hosts[i:] {
			if o.Sentence != h.Sentence {
				continue
			}
			if o.Host != "" {
				names = append(names, o.Host)
			}
		}
		sentence := h.Sentence
		if len(names) > 0 {
			sentence = strings.Join(names, ", ") + ": " + sentence
		}
		parts = append(parts, sentence)
	}
	a.Sentence = strings.Join(parts, "; ")
}

// rank orders the verdicts from good to bad, where several nodes have one each.
func (v Verdict) rank() int {
	return slices.Index([]Verdict{
		VerdictElsewhere, VerdictBefore, VerdictPruned, VerdictDue, VerdictSucceeded, VerdictWarned, VerdictRunning, VerdictQueued, VerdictSkipped,
		VerdictCanceled, VerdictChanged, VerdictUnseen, VerdictUndecided, VerdictUnrecorded, VerdictMissed, VerdictFailed, VerdictLost,
	}, v)
}

// onNode says where a run of any node was executed; nothing where there is one
// node, or where the answer names it anyway.
func (in *inquiry) onNode(r runner.Run) string {
	if in.Waits == nil || r.Host != "" || r.Node == "" {
		return ""
	}
	return " on " + oneLine(r.Node)
}

// waits says what a queued run waits for.
func (in *inquiry) waits(r runner.Run) string {
	text := "it waits for its turn"
	if in.Waits != nil {
		if why := in.Waits(r); why != "" {
			text = why
		}
	}
	if !r.StartBy.IsZero() && r.StartedAt.IsZero() {
		text += "; it is missed when it has not begun by " + in.local(r.StartBy)
	}
	return text
}

// delayOf is by how much jitter delays the starts of a run's node.
func (in *inquiry) delayOf(r runner.Run) time.Duration {
	for _, h := range in.Workflow.Hosts {
		if h.Name == r.Host {
			return h.Delay
		}
	}
	return in.Workflow.Delay
}
