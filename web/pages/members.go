package pages

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// membersView are the nodes of a system that has several.
type membersView struct {
	Sentence string
	Rows     []memberRow
	Rest     string // how those are that are not among the rows
}

// memberRow is one node.
type memberRow struct {
	Name, Path, Host, Labels string
	State                    badge
	Here, Forget             bool
	PID                      int
	Since                    time.Time // it began, or was seen last
	Lease                    string
	Version                  string
	OtherVersion             bool // than most
	Running                  int
	Runs                     []link
	Config                   string
	Drift                    bool
	Web                      string
}

const (
	// mostMembers is how many nodes are listed, mostMemberRuns how many runs of
	// one are.
	mostMembers    = 60
	mostMemberRuns = 3
	// mostRunning bounds how many runs are read to say which node has which.
	mostRunning = 200
)

// memberBadge shows how a node is.
func memberBadge(m api.Member) badge {
	switch m.State {
	case api.MemberAlive:
		return badge{Tone: toneGood, Glyph: "✓", Word: "alive"}
	case api.MemberDraining:
		return badge{Tone: toneWarn, Glyph: "‖", Word: "draining"}
	}
	return badge{Tone: toneBad, Glyph: "?", Word: "absent"}
}

// membersOf shows the nodes, those that want a look first; nothing when there is
// one at the most.
func membersOf(list []api.Member, running []api.RunRecord, here string, admin bool, now time.Time) membersView {
	if len(list) < 2 {
		return membersView{}
	}
	usual := usualVersion(list)
	list = slices.SortedStableFunc(slices.Values(list), func(a, b api.Member) int {
		return cmp.Or(cmp.Compare(memberUrgency(a), memberUrgency(b)), strings.Compare(a.Name, b.Name))
	})
	view := membersView{Sentence: membersSentence(list)}
	if len(list) > mostMembers {
		view.Rest = count(len(list)-mostMembers, "more node") + ": " + countMembers(list[mostMembers:])
		list = list[:mostMembers]
	}
	for _, m := range list {
		row := memberRow{
			Name: m.Name, Path: url.PathEscape(m.Name), Host: m.Host, Labels: strings.Join(m.Labels, ", "), State: memberBadge(m), Here: m.Name == here, PID: m.PID,
			Since: m.LastSeen, Version: m.Version, OtherVersion: m.State != api.MemberAbsent && m.Version != usual, Running: m.Running, Config: short(m.Config), Drift: m.Drift,
			Forget: admin && m.State == api.MemberAbsent,
		}
		if u, err := url.Parse(m.Web); err == nil && (u.Scheme == "https" || u.Scheme == "http") {
			row.Web = m.Web
		}
		if m.StartedAt != nil {
			row.Since = *m.StartedAt
		}
		if m.LeaseUntil != nil {
			row.Lease = "lease ends " + ago(now.Sub(*m.LeaseUntil))
			if m.LeaseUntil.Before(now) {
				row.Lease = "its lease ended " + ago(now.Sub(*m.LeaseUntil))
			}
		}
		for _, r := range running {
			if r.Node == m.Name && r.State == runner.Running && len(row.Runs) < mostMemberRuns {
				row.Runs = append(row.Runs, link{runPath(r.ID), r.Workflow})
			}
		}
		view.Rows = append(view.Rows, row)
	}
	return view
}

// memberUrgency orders nodes, those that want a look first.
func memberUrgency(m api.Member) int {
	if m.Drift {
		return urgency(toneWarn)
	}
	return urgency(memberBadge(m).Tone)
}

// usualVersion is the version of most nodes that are there.
func usualVersion(list []api.Member) string {
	versions := map[string]int{}
	usual := ""
	for _, m := range list {
		if m.State == api.MemberAbsent {
			continue
		}
		versions[m.Version]++
		if n := versions[m.Version]; n > versions[usual] || n == versions[usual] && m.Version > usual {
			usual = m.Version
		}
	}
	return usual
}

// countMembers counts nodes by their states.
func countMembers(list []api.Member) string {
	counts := map[string]int{}
	for _, m := range list {
		counts[memberBadge(m).Word]++
	}
	var parts []string
	for _, word := range []string{"absent", "draining", "alive"} {
		if counts[word] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[word], word))
		}
	}
	return words(parts)
}

// membersSentence says how the nodes are.
func membersSentence(list []api.Member) string {
	parts := []string{count(len(list), "node") + ": " + countMembers(list)}
	var versions []string
	drifting := 0
	for _, m := range list {
		if m.State != api.MemberAbsent {
			versions = append(versions, m.Version)
		}
		if m.Drift {
			drifting++
		}
	}
	slices.Sort(versions)
	if n := len(slices.Compact(versions)); n > 1 {
		parts = append(parts, fmt.Sprintf("%d versions of upkeep at work", n))
	}
	if drifting > 0 {
		parts = append(parts, count(drifting, "configuration")+" unlike that of the others")
	}
	return strings.Join(parts, "; ")
}

func forgetNode(v *visit) (outcome, error) {
	name := v.PathValue("name")
	return outcome{text: name + " no longer belongs to the system; if it comes back, it does again"}, v.api.ForgetNode(v.ctx, name)
}
