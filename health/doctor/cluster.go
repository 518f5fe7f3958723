package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
)

// Member is a node that belongs to the system.
type Member struct {
	Name, Host, Version string
	// Alive tells whether its service is there; LastSeen when it was last.
	Alive    bool
	LastSeen time.Time
	// Drift tells that its configuration is not that of most nodes.
	Drift bool
}

// Cluster is the nodes that share a ledger.
type Cluster struct {
	Members []Member
	// Unserved is what none of them may run: a text for each label that is asked
	// for and that nobody carries, such as "label db: workflow backup".
	Unserved []string
}

// absentFor is how long a node may be away, as for a restart.
const absentFor = 2 * time.Minute

// Members returns the step that looks at the nodes that share a ledger.
func Members(look func(ctx context.Context) (Cluster, error), now func() time.Time) Step {
	return Step{Name: "cluster", Title: "the nodes that share the ledger", Within: ledgerPatience, Look: func(ctx context.Context) (Found, error) {
		c, err := look(ctx)
		if err != nil {
			return Found{}, err
		}
		list := c.Members
		f := Found{Facts: list, Findings: append(judgeMembers(list, now()), judgeLabels(c.Unserved)...)}
		there := 0
		for _, m := range list {
			state := "alive"
			if m.Alive {
				there++
			} else {
				state = "absent since " + m.LastSeen.Format(time.RFC3339)
			}
			f.Lines = append(f.Lines, fmt.Sprintf("%s on %s, %s: %s", m.Name, m.Host, m.Version, state))
		}
		f.Summary = fmt.Sprintf("%d of %d nodes are there", there, len(list))
		return f, nil
	}}
}

func judgeMembers(list []Member, now time.Time) []Finding {
	var drift, usual, versions []string
	var out []Finding
	seen := map[string]bool{}
	for _, m := range list {
		switch {
		case !m.Alive && now.Sub(m.LastSeen) > absentFor:
			out = append(out, Finding{
				ID: "absent-" + jobs.NameFrom(m.Name), Severity: jobs.Warning, Text: fmt.Sprintf("node %s is absent since %s", m.Name, m.LastSeen.Format(time.RFC3339)),
				Means: "the others do its work, but what runs on every node is missed there", Next: "upkeep nodes forget " + quoted(m.Name),
			})
		case !m.Alive:
		case m.Drift:
			drift = append(drift, m.Name)
		default:
			usual = append(usual, m.Name)
		}
		if m.Alive && !seen[m.Version] {
			seen[m.Version], versions = true, append(versions, m.Version)
		}
	}
	for _, name := range drift {
		out = append(out, Finding{
			ID: "drift-" + jobs.NameFrom(name), Severity: jobs.Warning, Text: fmt.Sprintf("node %s goes by another configuration than %s", name, strings.Join(usual, ", ")),
			Means: "what runs, and what is told to whom, depends on which node is quicker", Next: "upkeep nodes",
		})
	}
	if len(versions) > 1 {
		out = append(out, Finding{
			ID: "versions", Severity: jobs.Info, Text: "the nodes run different versions: " + strings.Join(versions, ", "),
			Means: "as during an upgrade; when it is over, all are to run the same", Next: "upkeep nodes",
		})
	}
	return out
}

func judgeLabels(unserved []string) []Finding {
	if len(unserved) == 0 {
		return nil
	}
	return []Finding{{
		ID: "labels", Severity: jobs.Warning, Text: "no node carries the " + strings.Join(unserved, "; nor the "),
		Means: "its runs are missed, and its checks are asked by nobody", Next: "upkeep nodes",
	}}
}
