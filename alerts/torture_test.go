package alerts_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
)

// torture is a process that changes states and sends messages, and is killed
// over and over.
type torture struct {
	order tortureOrder
	// made counts the changes that are on record, kills the kills, and hits those
	// that met a message being sent.
	made, kills, hits int
	// sending are the messages that were being sent at the kill before, with the
	// number of their tries.
	sending map[string]int
}

// TestTorture_Kill: states change while channels fail at random and the process
// is killed at random moments. Whatever these are: the final state of every
// incident arrives at every channel, in order, under keys that never mean two
// things, and nobody is called for what was over before. With a clock that is
// ahead all that is owed is more than a day old from the beginning, and nothing is
// lost for that. UPKEEP_SOAK=1 makes 20,000 changes each, 1,000 at a time.
func TestTorture_Kill(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		dsn     func(testing.TB) secret.String
		changes int
		// ahead is how far the clock of the dispatcher is ahead.
		ahead time.Duration
	}{
		"sqlite":                {dsn: ledgertest.SQLite, changes: manyChanges},
		"postgres":              {dsn: ledgertest.Postgres, changes: 250},
		"a clock that is ahead": {dsn: ledgertest.SQLite, changes: 250, ahead: 30 * time.Hour},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rounds, changes := 1, test.changes
			if os.Getenv("UPKEEP_SOAK") != "" {
				rounds, changes = 20, manyChanges
			}
			began := time.Now()
			made, kills, hits := 0, 0, 0
			for range rounds {
				s := &torture{order: tortureOrder{DSN: test.dsn(t).Reveal(), Dir: t.TempDir(), Began: time.Now().Add(-test.ahead / tortureScale), Scale: tortureScale}}
				s.endure(t, changes)
				made, kills, hits = made+s.made, kills+s.kills, hits+s.hits
				t.Logf("%d changes of state in %s, %d of %d kills hit a message being sent", made, time.Since(began).Round(time.Second), hits, kills)
			}
			if hits < kills/2 || kills < 10 {
				t.Errorf("%d of %d kills hit a message being sent, which proves too little", hits, kills)
			}
		})
	}
}

// endure makes so many changes, and judges what came of them.
func (s *torture) endure(t *testing.T, changes int) {
	t.Helper()
	for s.made < changes {
		s.order.Changes = changes - s.made
		s.live(t, 1+rand.IntN(min(40, changes/10)), rand.N(20*time.Millisecond))
	}
	s.settle(t)
	s.judge(t)
}

// tortureScale is how many times as fast time goes for the dispatcher.
const tortureScale = 60

// manyChanges are enough for everything to happen that the torture is about.
const manyChanges = 1000

// start starts a process and returns it with its words.
func (s *torture) start(t *testing.T) (*exec.Cmd, *bufio.Scanner, *strings.Builder) {
	t.Helper()
	text, err := json.Marshal(s.order)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(text), "GORACE=atexit_sleep_ms=0")
	said := new(strings.Builder)
	cmd.Stderr = said
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	words := bufio.NewScanner(stdout)
	if !words.Scan() || words.Text() != "ready" {
		t.Fatalf("the child says %q: %v\n%s", words.Text(), cmd.Wait(), said)
	}
	return cmd, words, said
}

// live lets a process make so many changes, however long that takes on a busy
// machine, and kills it a moment later.
func (s *torture) live(t *testing.T, changes int, moment time.Duration) {
	t.Helper()
	cmd, words, said := s.start(t)
	for words.Scan() {
		switch words.Text() {
		case "changed":
			s.made++
			changes--
		case "done":
			changes = 0
		}
		if changes == 0 {
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the child ended by itself: %v\n%s", err, said)
	}
	s.kills++
	r := s.reader(t)
	defer func() { _ = r.Close() }()
	sending, err := r.Notices(t.Context(), runner.NoticeFilter{States: []runner.NoticeState{runner.NoticeSending}, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	// What is left of an earlier kill is no hit of this one.
	before, hit := s.sending, false
	s.sending = map[string]int{}
	for _, n := range sending {
		s.sending[n.ID] = n.Attempts
		hit = hit || before[n.ID] != n.Attempts
	}
	if hit {
		s.hits++
	}
}

func (s *torture) reader(t *testing.T) *ledger.Reader {
	t.Helper()
	r, err := ledger.OpenReader(t.Context(), ledger.Options{DSN: s.order.dsn()})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// settle lets a process send what is owed through channels that are well.
// Reminders of faults that last are owed for ever, so nobody waits for those.
func (s *torture) settle(t *testing.T) {
	t.Helper()
	s.order.Changes = 0
	cmd, _, said := s.start(t)
	r := s.reader(t)
	defer func() { _ = r.Close() }()
	for deadline := time.Now().Add(10 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		owed, err := r.Notices(t.Context(), runner.NoticeFilter{States: []runner.NoticeState{runner.NoticePending, runner.NoticeSending}, Limit: 100_000})
		if err != nil {
			t.Fatal(err)
		}
		owed = slices.DeleteFunc(owed, func(n runner.Notice) bool { return n.Action == runner.NoticeRepeat })
		if len(owed) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d notices are owed still, such as %+v\n%s", len(owed), owed[0], said)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

// arrivals returns what arrived, in order, with what digests stood for in their
// places.
func (s *torture) arrivals(t *testing.T) (all []arrival, digests int) {
	t.Helper()
	file, err := os.Open(filepath.Join(s.order.Dir, "arrivals"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	meant := map[string]string{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var a arrival
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatalf("%v: %s", err, lines.Text())
		}
		// The same key always means the same.
		means := string(a.Action) + " " + a.Incident + fmt.Sprint(a.Items)
		if before, known := meant[a.ID]; known && before != means {
			t.Errorf("the key %s meant %s and then %s", a.ID, before, means)
		}
		meant[a.ID] = means
		if a.Action != runner.NoticeDigest {
			all = append(all, a)
			continue
		}
		digests++
		all = append(all, a.Items...)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return all, digests
}

// judge compares what arrived with what is on record.
func (s *torture) judge(t *testing.T) {
	t.Helper()
	all, digests := s.arrivals(t)
	r := s.reader(t)
	defer func() { _ = r.Close() }()
	got := map[string][]arrival{} // by incident and channel
	for _, a := range all {
		got[a.Incident+a.Channel] = append(got[a.Incident+a.Channel], a)
	}
	counts := map[string]int{"arrived": len(all), "digests": digests}
	filter := runner.IncidentFilter{Limit: 500}
	for {
		page, err := r.Incidents(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			counts["incidents"]++
			if s.judgeIncident(t, r, i, got, counts); t.Failed() {
				t.Fatal("one incident is enough")
			}
		}
		if len(page) < filter.Limit {
			break
		}
		filter.Before = page[len(page)-1].ID
	}
	t.Logf("counts: %v", counts)
	for _, must := range []string{"digests", "again", "diverted", "healed", "combined", "escalated", "repeated"} {
		if counts[must] == 0 && s.made >= manyChanges {
			t.Errorf("nothing was %s: the torture does not reach what it should", must)
		}
	}
}

func (s *torture) judgeIncident(t *testing.T, r *ledger.Reader, i runner.Incident, got map[string][]arrival, counts map[string]int) {
	t.Helper()
	list, err := r.Notices(t.Context(), runner.NoticeFilter{Incident: i.ID, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(list)
	for _, channel := range i.Channels {
		owed := slices.DeleteFunc(slices.Clone(list), func(n runner.Notice) bool { return n.Channel != channel })
		told := got[i.ID+channel]
		counts["again"] += inOrder(t, i, channel, owed, told)
		tried, combined, dead := false, false, false
		for _, n := range owed {
			switch n.Action {
			case runner.NoticeRepeat:
				counts["repeated"]++
			case runner.NoticeResolve:
				combined = n.Combined
			default:
			}
			tried = tried || n.Action != runner.NoticeResolve && n.Attempts > 0
			dead = dead || n.State == runner.NoticeDead
			if n.State == runner.NoticeSent && !slices.ContainsFunc(told, func(a arrival) bool { return a.ID == n.ID }) {
				t.Errorf("notice %s of %s to %s is sent and never arrived", n.ID, i.ID, channel)
			}
		}
		if channel == "boss" {
			counts["escalated"]++
		}
		switch last := final(told); {
		case i.State == runner.IncidentResolved && channel == "pager" && combined && !tried:
			counts["healed"]++
			if len(told) > 0 {
				t.Errorf("incident %s was over before anybody was called, and the pager got %v", i.ID, told)
			}
		case dead && channel != "mail" && tortureSettings(channel).Fallback != "":
			counts["diverted"]++
			if !slices.Contains(i.Channels, "mail") {
				t.Errorf("incident %s was refused by %s, and its fallback is not told", i.ID, channel)
			}
		case i.State == runner.IncidentResolved && last != runner.NoticeResolve:
			t.Errorf("incident %s is over, and the last that %s heard is %q: %v, owed %+v", i.ID, channel, last, told, owed)
		case i.State == runner.IncidentOpen && (last == "" || last == runner.NoticeResolve):
			t.Errorf("incident %s is open, and the last that %s heard is %q: %v, owed %+v", i.ID, channel, last, told, owed)
		case combined:
			counts["combined"]++
		}
	}
}

// final is what a channel heard last.
func final(told []arrival) runner.NoticeAction {
	if len(told) == 0 {
		return ""
	}
	return told[len(told)-1].Action
}

// inOrder checks that what a channel heard of an incident came in the order in
// which it happened, and returns how often something came again.
func inOrder(t *testing.T, i runner.Incident, channel string, owed []runner.Notice, told []arrival) (again int) {
	t.Helper()
	place := map[string]int{}
	for k, n := range owed {
		place[n.ID] = k
	}
	last := -1
	for _, a := range told {
		at, known := place[a.ID]
		switch {
		case !known:
			t.Errorf("%s got %s of incident %s, which nobody owed", channel, a.ID, i.ID)
		case at < last:
			t.Errorf("%s got %s of incident %s after what came later: %v", channel, a.Action, i.ID, told)
		case at == last:
			again++
		}
		last = max(last, at)
	}
	return again
}

var _ alerts.Styled = (*victim)(nil)
