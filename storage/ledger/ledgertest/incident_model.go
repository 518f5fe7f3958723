package ledgertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
)

// modelNotice is a notice as the model knows it: what is told of the
// incident-th incident to a channel.
type modelNotice struct {
	Incident int
	Channel  string
	Action   runner.NoticeAction
	State    runner.NoticeState
	Combined bool
	Attempts int

	due   time.Duration
	owner int
}

func (n modelNotice) owed() bool {
	return n.State == runner.NoticePending || n.State == runner.NoticeSending
}

// modelIncident is an incident as the model knows it.
type modelIncident struct {
	Fingerprint string
	Count       int
	Open        bool
}

// alertModel does what the ledger must do with incidents and notices, in the
// simplest way. Instants are distances from its beginning.
type alertModel struct {
	incidents []modelIncident
	notices   []*modelNotice
}

func (m *alertModel) open(fingerprint string) int {
	return slices.IndexFunc(m.incidents, func(i modelIncident) bool { return i.Open && i.Fingerprint == fingerprint })
}

func (m *alertModel) raise(fingerprint string, channels []string) bool {
	i := m.open(fingerprint)
	fresh := i < 0
	if fresh {
		m.incidents = append(m.incidents, modelIncident{fingerprint, 0, true})
		i = len(m.incidents) - 1
	}
	m.incidents[i].Count++
	for _, channel := range channels {
		told := slices.ContainsFunc(m.notices, func(n *modelNotice) bool { return n.Incident == i && n.Channel == channel })
		if !told {
			m.notices = append(m.notices, &modelNotice{Incident: i, Channel: channel, Action: runner.NoticeOpen, State: runner.NoticePending})
		}
	}
	return fresh
}

func (m *alertModel) clear(fingerprint string) bool {
	i := m.open(fingerprint)
	if i < 0 {
		return false
	}
	m.incidents[i].Open = false
	for _, n := range slices.Clone(m.notices) {
		if n.Incident != i {
			continue
		}
		untold := n.State == runner.NoticePending || n.State == runner.NoticeDead
		if untold {
			n.State = runner.NoticeSuperseded
		}
		m.notices = append(m.notices, &modelNotice{Incident: i, Channel: n.Channel, Action: runner.NoticeResolve, State: runner.NoticePending, Combined: untold})
	}
	return true
}

// partner returns the other notice of the same incident and channel, or nil.
func (m *alertModel) partner(n *modelNotice) *modelNotice {
	i := slices.IndexFunc(m.notices, func(o *modelNotice) bool {
		return o.Incident == n.Incident && o.Channel == n.Channel && o.Action != n.Action
	})
	if i < 0 {
		return nil
	}
	return m.notices[i]
}

// due returns what may be sent at now.
func (m *alertModel) due(channel string, now time.Duration) []*modelNotice {
	var list []*modelNotice
	for _, n := range m.notices {
		waits := n.Action == runner.NoticeResolve && m.partner(n).owed()
		if n.Channel == channel && n.owed() && n.due <= now && !waits {
			list = append(list, n)
		}
	}
	return list
}

// unsent tells what happens to a notice that was not accepted, and whether it
// is not owed any longer.
func (m *alertModel) unsent(n *modelNotice) bool {
	end := m.partner(n)
	if n.Action != runner.NoticeOpen || end == nil || end.State != runner.NoticePending {
		return false
	}
	end.Combined, n.State = true, runner.NoticeSuperseded
	return true
}

// change does one change of n by instance; false when it must be refused.
func (m *alertModel) change(what string, n *modelNotice, instance int, next time.Duration) bool {
	switch what {
	case "Sent":
		if n.State != runner.NoticeSuperseded {
			n.State = runner.NoticeSent
		}
	case "Retry":
		if n.State != runner.NoticeSending || n.owner != instance {
			return false
		}
		if !m.unsent(n) {
			n.State, n.due = runner.NoticePending, next
		}
	case "Bury":
		if n.State == runner.NoticeSent || n.State == runner.NoticeSuperseded {
			return false
		}
		if n.owed() && !m.unsent(n) {
			n.State = runner.NoticeDead
		}
	case "Revive":
		if n.State != runner.NoticeDead && n.State != runner.NoticePending {
			return false
		}
		n.State, n.due = runner.NoticePending, 0
	}
	return true
}

// testAlertModel: whatever instances do in whatever order, the ledger and the
// model agree, and nobody hears of an end without its beginning.
func testAlertModel(t *testing.T, dsn secret.String) {
	sites := []*site{join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)}
	checks := 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		c := &alertContest{
			t: t, sites: sites, prefix: fmt.Sprintf("%d/", checks), began: time.Now().Add(time.Hour),
			ids: map[*modelNotice]string{}, heard: map[string][]string{},
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			c.step()
			c.compare()
		}
		for who, heard := range c.heard {
			if text := strings.Join(heard, " "); text != "open" && text != "open resolve" && text != "resolve*" {
				t.Fatalf("%s heard %q", who, text)
			}
		}
	})
}

// alertContest is one comparison of the ledger with the model.
type alertContest struct {
	t      *rapid.T
	sites  []*site
	model  alertModel
	prefix string
	began  time.Time
	// now is the distance from began, calls how many changes were asked for.
	now   time.Duration
	calls int
	// ids are the notices that the ledger handed out or listed.
	ids   map[*modelNotice]string
	heard map[string][]string
}

func (c *alertContest) step() {
	t := c.t
	instance := rapid.IntRange(0, 1).Draw(t, "instance")
	s := c.sites[instance]
	fingerprint := c.prefix + rapid.SampledFrom([]string{"x", "y"}).Draw(t, "fingerprint")
	channels := []string{c.prefix + "one", c.prefix + "two"}
	c.now += time.Duration(rapid.IntRange(0, 3).Draw(t, "minutes")) * time.Minute
	switch what := rapid.SampledFrom([]string{"Raise", "Raise", "Clear", "Take", "Take", "Take", "Sent", "Sent", "Retry", "Bury", "Revive"}).Draw(t, "what"); what {
	case "Raise":
		f := runner.Fault{Fingerprint: fingerprint, Severity: jobs.Warning, Reason: "failed", Title: "x", At: Midnight(), Channels: channels[:rapid.IntRange(0, 2).Draw(t, "channels")]}
		opened, err := s.Raise(s.ctx, f)
		if want := c.model.raise(fingerprint, f.Channels); err != nil || opened != want {
			t.Fatalf("Raise: %t, %v, want %t", opened, err, want)
		}
	case "Clear":
		cleared, err := s.Clear(s.ctx, fingerprint, Midnight())
		if want := c.model.clear(fingerprint); err != nil || cleared != want {
			t.Fatalf("Clear: %t, %v, want %t", cleared, err, want)
		}
	case "Take":
		c.take(s, instance, rapid.SampledFrom(channels).Draw(t, "channel"), rapid.IntRange(1, 4).Draw(t, "limit"))
	default:
		if len(c.model.notices) > 0 {
			c.change(what, instance, rapid.SampledFrom(c.model.notices).Draw(t, "notice"))
		}
	}
}

func (c *alertContest) take(s *site, instance int, channel string, limit int) {
	const lease = 2 * time.Minute
	taken, next, err := s.Take(s.ctx, channel, c.began.Add(c.now), lease, limit)
	if err != nil {
		c.t.Fatalf("Take: %v", err)
	}
	due := c.model.due(channel, c.now)
	if want := min(limit, len(due)); len(taken) != want {
		c.t.Fatalf("Take: %d notices, want %d", len(taken), want)
	}
	latest := time.Duration(-1)
	for _, got := range taken {
		i := slices.IndexFunc(due, func(n *modelNotice) bool { return c.ids[n] == got.ID })
		if i < 0 || due[i].due < latest {
			c.t.Fatalf("Take: %+v is not due, or not its turn", got)
		}
		n := due[i]
		latest = n.due
		n.State, n.owner, n.due = runner.NoticeSending, instance, c.now+lease
		n.Attempts++
	}
	var want time.Time
	for _, n := range c.model.notices {
		mine := slices.ContainsFunc(taken, func(got runner.Notice) bool { return got.ID == c.ids[n] })
		waits := n.Action == runner.NoticeResolve && c.model.partner(n).owed()
		if at := c.began.Add(n.due); n.Channel == channel && n.owed() && !mine && !waits && n.due > c.now && (want.IsZero() || at.Before(want)) {
			want = at
		}
	}
	switch more := len(due) > len(taken); {
	case more && (next.IsZero() || next.After(c.began.Add(c.now))):
		c.t.Fatalf("Take: more is due, but next is %s", next)
	case !more && !next.Equal(want.Truncate(time.Microsecond)):
		c.t.Fatalf("Take: next is %s, want %s", next, want)
	}
}

func (c *alertContest) change(what string, instance int, n *modelNotice) {
	if what == "Sent" && n.Attempts == 0 {
		return // nobody says that of what was never taken
	}
	id := c.ids[n]
	s := c.sites[instance]
	next := c.now + time.Duration(rapid.IntRange(0, 5).Draw(c.t, "next"))*time.Minute
	before := n.State
	// The same call again would be a repetition, which is no mistake.
	c.calls++
	why := fmt.Sprint("why ", c.calls)
	err := map[string]func() error{
		"Sent":   func() error { return s.Sent(s.ctx, id, "ok") },
		"Retry":  func() error { return s.Retry(s.ctx, id, why, c.began.Add(next)) },
		"Bury":   func() error { return s.Bury(s.ctx, id, why) },
		"Revive": func() error { return s.Revive(s.ctx, id) },
	}[what]()
	if what == "Sent" && err == nil && before != runner.NoticeSent && before != runner.NoticeSuperseded {
		who := fmt.Sprint(n.Incident, n.Channel)
		text := string(n.Action)
		if n.Combined {
			text += "*"
		}
		c.heard[who] = append(c.heard[who], text)
	}
	allowed := c.model.change(what, n, instance, next)
	if allowed && err != nil || !allowed && !errors.Is(err, runner.ErrNoticeState) {
		c.t.Fatalf("%s of a notice that is %s: %v, allowed: %t", what, before, err, allowed)
	}
}

// compare reads everything from the ledger and learns the IDs of new notices.
func (c *alertContest) compare() {
	s := c.sites[0]
	var incidents []modelIncident
	var ids []string
	for _, fingerprint := range []string{c.prefix + "x", c.prefix + "y"} {
		list, err := s.Incidents(s.ctx, runner.IncidentFilter{Fingerprint: fingerprint, Limit: 1000})
		if err != nil {
			c.t.Fatal(err)
		}
		slices.Reverse(list)
		for _, i := range list {
			incidents = append(incidents, modelIncident{i.Fingerprint, i.Count, i.State == runner.IncidentOpen})
			ids = append(ids, i.ID)
		}
	}
	want := slices.Clone(c.model.incidents)
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return strings.Compare(want[a].Fingerprint, want[b].Fingerprint)
	})
	slices.SortStableFunc(want, func(a, b modelIncident) int { return strings.Compare(a.Fingerprint, b.Fingerprint) })
	if diff := cmp.Diff(want, incidents); diff != "" {
		c.t.Fatalf("incidents (-want +got):\n%s", diff)
	}
	for place, i := range order {
		list, err := s.Notices(s.ctx, runner.NoticeFilter{Incident: ids[place], Limit: 1000})
		if err != nil {
			c.t.Fatal(err)
		}
		for _, n := range c.model.notices {
			if n.Incident != i {
				continue
			}
			at := slices.IndexFunc(list, func(got runner.Notice) bool { return got.Channel == n.Channel && got.Action == n.Action })
			if at < 0 {
				c.t.Fatalf("the ledger lacks %+v", *n)
			}
			got := list[at]
			list = slices.Delete(list, at, at+1)
			c.ids[n] = got.ID
			if got.State != n.State || got.Combined != n.Combined || got.Attempts != n.Attempts {
				c.t.Fatalf("the ledger has %+v, want %+v", got, *n)
			}
		}
		if len(list) > 0 {
			c.t.Fatalf("the ledger has more: %+v", list)
		}
	}
}
