package cluster_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// notice is one message that the ledger owes or owed.
type notice struct{ id, incident, action, state string }

// incident is one on record.
type incident struct{ id, fingerprint, state string }

// checkTold looks that no incident began or ended without a word.
func (c *cluster) checkTold(t *testing.T, count func(incident, action string) int) {
	t.Helper()
	until := c.settled.Add(-2 * time.Second).UnixMicro()
	all := rowsOf(t, c.database, `SELECT id, fingerprint, state FROM upkeep.incidents WHERE opened_at < $1 AND (state = 'open' OR resolved_at < $1)`,
		func(r pgx.Rows, i *incident) error { return r.Scan(&i.id, &i.fingerprint, &i.state) }, until)
	for _, i := range all {
		if count(i.id, "open") == 0 {
			t.Errorf("nobody was told that the incident %s (%s) began", i.id, i.fingerprint)
		}
		if i.state == "resolved" && count(i.id, "resolve") == 0 {
			t.Errorf("nobody was told that the incident %s (%s) ended", i.id, i.fingerprint)
		}
	}
	t.Logf("%d incidents", len(all))
}

// checkAlerts looks that everybody was told once of each beginning and each end.
func (c *cluster) checkAlerts(t *testing.T) {
	t.Helper()
	told, seen := c.collector.messages()
	type what struct{ incident, action string }
	count := map[what]int{}
	for _, one := range told {
		count[what{one.incident, one.action}]++
	}
	for at, times := range count {
		if times != 1 && (at.action == "open" || at.action == "resolve") {
			broken(t, "the %s of incident %s was told %d times", at.action, at.incident, times)
		}
	}
	states := map[string]int{}
	until := c.settled.Add(-2 * time.Second).UnixMicro()
	for _, n := range rowsOf(t, c.database, `SELECT id, COALESCE(incident, ''), action, state FROM upkeep.notices WHERE created_at < $1`,
		func(r pgx.Rows, n *notice) error { return r.Scan(&n.id, &n.incident, &n.action, &n.state) }, until) {
		states[n.action+" "+n.state]++
		if n.state == "dead" {
			t.Errorf("notice %s was given up", n.id)
		}
		if n.state == "sent" && n.incident != "" && count[what{n.incident, n.action}] != 1 {
			t.Errorf("the %s of incident %s is on record as told, and was told %d times", n.action, n.incident, count[what{n.incident, n.action}])
		}
	}
	c.checkTold(t, func(incident, action string) int { return count[what{incident, action}] })
	repeated := 0
	for key, all := range seen {
		for i := 1; i < len(all); i++ {
			repeated++
			if !c.unsettled(all[i-1]) {
				tell(t, "message %s was sent again after %s, though nothing was wrong with its sender at %.1fs", key, all[i].at.Sub(all[i-1].at), all[i-1].at.Sub(c.began).Seconds())
			}
		}
	}
	t.Logf("%d messages about %d changes of incidents; %d were sent once more under their key, because of faults; notices: %v", len(seen), len(count), repeated, states)
	if count := len(count); count == 0 {
		t.Error("nobody was told of anything, which proves too little")
	}
}

// unsettled tells whether the sender of a message may not have put on record that
// it was accepted: it, or its way to the database, was gone about then.
func (c *cluster) unsettled(m sent) bool {
	return c.disturbed(m.at.Add(-c.ttl), m.at.Add(c.ttl), func(f *fault) bool {
		return f.kind != isolate && (f.node == nil || m.from == addressOf(toOutside, slices.Index(c.nodes, f.node)+1))
	})
}
