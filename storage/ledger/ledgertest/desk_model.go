package ledgertest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// testDeskModel: whatever happens to incidents in whatever order, every channel
// that heard of an opening hears of exactly one end, as the last thing; who did
// not hear of it hears at most that it was; and of what lasts and is not
// suppressed every channel hears.
func testDeskModel(t *testing.T, dsn secret.String) {
	restless := Open(t, dsn, func(o *ledger.Options) { o.LeaseTTL, o.Flapping = longLease, ledger.Flapping{} })
	sites := []*site{join(t, dsn, "a", longLease), {Ledger: restless, t: t, ctx: t.Context()}}
	sites[1].must(restless.Register(t.Context()))
	checks := 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		d := &deskContest{
			t: t, s: rapid.SampledFrom(sites).Draw(t, "rules"), prefix: fmt.Sprintf("m%d-", checks), now: time.Now().UTC().Truncate(time.Microsecond),
			heard: map[[2]string][]string{}, wanted: map[string]bool{},
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d.step()
		}
		d.settleAll()
		d.deliver(true)
		d.compare(false)
		for _, name := range d.names() {
			d.clear(name)
		}
		d.settleAll()
		d.deliver(true)
		d.compare(true)
		// The next course of events is on the same ledger.
		for _, v := range d.silences(time.Time{}) {
			d.must(d.s.EndSilence(d.s.ctx, v.ID, "anna"))
		}
	})
}

// deskContest is one course of events.
type deskContest struct {
	t      *rapid.T
	s      *site
	prefix string
	now    time.Time
	// heard is what reached a channel about an incident, in order.
	heard map[[2]string][]string
	// wanted are the channels that were ever named.
	wanted map[string]bool
}

func (d *deskContest) names() []string { return []string{d.prefix + "db", d.prefix + "api"} }

func (d *deskContest) must(err error) {
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *deskContest) step() {
	t, s := d.t, d.s
	d.now = d.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(t, "minutes")) * time.Minute)
	name := rapid.SampledFrom(d.names()).Draw(t, "check")
	switch rapid.SampledFrom([]string{"raise", "raise", "raise", "clear", "clear", "silence", "end", "ack", "settle", "deliver", "deliver", "repeat", "widen", "resolve"}).Draw(t, "what") {
	case "raise":
		f := checkFault(name, rapid.SampledFrom([]jobs.Severity{jobs.Warning, jobs.Critical}).Draw(t, "severity"), d.now)
		for _, channel := range []string{"ops", "pager"}[:rapid.IntRange(0, 2).Draw(t, "channels")] {
			f.Channels = append(f.Channels, d.prefix+channel)
			d.wanted[d.prefix+channel] = true
		}
		if name == d.prefix+"api" && rapid.Bool().Draw(t, "caused") {
			f.Parent = "check/" + d.prefix + "db"
		}
		_, err := s.Raise(s.ctx, f)
		d.must(err)
	case "clear":
		d.clear(name)
	case "silence":
		_, err := s.Silence(s.ctx, runner.Silence{
			Check: name, Severity: rapid.SampledFrom([]string{"", "warning"}).Draw(t, "of"), Why: "x", By: "anna",
			Since: d.now.Add(time.Duration(rapid.IntRange(-5, 5).Draw(t, "since")) * time.Minute), Until: d.now.Add(15 * time.Minute),
		})
		d.must(err)
	case "end":
		if list := d.silences(d.now); len(list) > 0 {
			d.must(s.EndSilence(s.ctx, list[0].ID, "anna"))
		}
	case "settle":
		_, err := s.Settle(s.ctx, d.now)
		d.must(err)
	case "deliver":
		d.deliver(false)
	default:
		d.work(name)
	}
}

// work does what a person or the dispatcher does to an open incident.
func (d *deskContest) work(name string) {
	t, s := d.t, d.s
	open, err := s.Incidents(s.ctx, runner.IncidentFilter{Fingerprint: "check/" + name, States: []runner.IncidentState{runner.IncidentOpen}})
	d.must(err)
	if len(open) == 0 {
		return
	}
	switch id := open[0].ID; rapid.SampledFrom([]string{"ack", "repeat", "widen", "resolve"}).Draw(t, "work") {
	case "ack":
		d.must(s.Ack(s.ctx, id, rapid.SampledFrom([]string{"anna", "bert"}).Draw(t, "who"), "", d.now.Add(time.Hour)))
	case "repeat":
		_, err := s.Repeat(s.ctx, id, d.prefix+"ops", rapid.IntRange(0, 3).Draw(t, "seq"), d.now)
		d.must(err)
	case "widen":
		d.wanted[d.prefix+"boss"] = true
		_, err := s.Widen(s.ctx, id, "x", d.now, d.prefix+"boss")
		d.must(err)
	case "resolve":
		d.must(s.Resolve(s.ctx, id, "anna", ""))
	}
}

func (d *deskContest) clear(name string) {
	_, err := d.s.Clear(d.s.ctx, "check/"+name, d.now)
	d.must(err)
}

// silences returns those of this course of events that have not ended.
func (d *deskContest) silences(now time.Time) []runner.Silence {
	list, err := d.s.Silences(d.s.ctx, now, false)
	d.must(err)
	return slices.DeleteFunc(list, func(v runner.Silence) bool { return !strings.HasPrefix(v.Check, d.prefix) })
}

// settleAll lets time pass until nothing ends by itself any more.
func (d *deskContest) settleAll() {
	for range 100 {
		next, err := d.s.Settle(d.s.ctx, d.now)
		d.must(err)
		if next.IsZero() {
			return
		}
		if !next.After(d.now) {
			d.t.Fatalf("at %s the next instant is %s", d.now, next)
		}
		d.now = next
	}
	d.t.Fatal("it never settles")
}

// deliver sends what is due on a channel, or all of all channels; now and then
// it fails.
func (d *deskContest) deliver(all bool) {
	channels := []string{"ops", "pager", "boss"}
	if !all {
		channels = []string{rapid.SampledFrom(channels).Draw(d.t, "channel")}
	}
	s := d.s
	for _, channel := range channels {
		for at := time.Now().Add(time.Second); ; at = at.Add(2 * noticeLease) {
			taken, next, err := s.Take(s.ctx, d.prefix+channel, at, noticeLease, 10)
			d.must(err)
			for _, n := range taken {
				fate := "sent"
				if !all {
					fate = rapid.SampledFrom([]string{"sent", "sent", "retry", "bury", "stays"}).Draw(d.t, "fate")
				}
				if fate == "bury" && n.Action == runner.NoticeResolve {
					fate = "retry" // nobody hears of an end that is given up
				}
				switch fate {
				case "sent":
					key := [2]string{n.Incident, n.Channel}
					d.heard[key] = append(d.heard[key], tale(n))
					d.must(s.Sent(s.ctx, n.ID, "ok"))
				case "retry":
					d.must(s.Retry(s.ctx, n.ID, "451", at))
				case "bury":
					d.must(s.Bury(s.ctx, n.ID, "550"))
				}
			}
			if !all || len(taken) == 0 && next.IsZero() {
				break
			}
		}
	}
}

// compare looks at what people heard once all is delivered. over tells that
// every incident has ended.
func (d *deskContest) compare(over bool) {
	for _, name := range d.names() {
		list, err := d.s.Incidents(d.s.ctx, runner.IncidentFilter{Fingerprint: "check/" + name, Limit: 1000})
		d.must(err)
		for _, i := range list {
			if over && i.State != runner.IncidentResolved {
				d.t.Fatalf("%s is %s", name, i.State)
			}
			for channel := range d.wanted {
				d.judge(i, channel)
			}
		}
	}
}

// judge looks at what one channel heard of one incident.
func (d *deskContest) judge(i runner.Incident, channel string) {
	heard := d.heard[[2]string{i.ID, channel}]
	text := strings.Join(heard, " ")
	told := slices.Contains(i.Channels, channel)
	knew := slices.ContainsFunc(heard, func(w string) bool { return w == "open" || w == "worse" || w == "repeat" })
	ends := strings.Count(text, "resolve")
	switch {
	case !told && text != "":
		d.t.Fatalf("%s is not among those told of %s, and heard %q", channel, i.ID, text)
	case i.State == runner.IncidentOpen && ends > 0, ends > 1, ends == 1 && !strings.HasPrefix(heard[len(heard)-1], "resolve"):
		d.t.Fatalf("%s, %s: %s heard %q", i.ID, i.State, channel, text)
	case i.State == runner.IncidentResolved && told && ends != 1:
		d.t.Fatalf("%s has ended: %s heard %q", i.ID, channel, text)
	case ends == 1 && knew == strings.HasSuffix(text, "*"):
		d.t.Fatalf("the end of %s: %s heard %q", i.ID, channel, text)
	}
}
