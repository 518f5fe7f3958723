package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
)

// testOutboxRace: several instances take the same channel while incidents come
// and go; every notice is handed out once, and no end before its beginning.
func testOutboxRace(t *testing.T, dsn secret.String) {
	const incidents, takers = 40, 2
	sites := []*site{join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	handed := map[string]int{}
	var heard []runner.Notice
	var work, taking sync.WaitGroup
	for i := range takers {
		s := sites[i%len(sites)]
		taking.Go(func() {
			for done := false; !done; {
				done = ctx.Err() != nil // one last look after all was owed
				taken, _, err := s.Take(s.ctx, "ops", time.Now().Add(time.Hour), noticeLease, 3)
				if err != nil {
					t.Errorf("Take: %v", err)
					return
				}
				done = done && len(taken) == 0
				// SQLite lets a process that never pauses keep the others waiting.
				time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
				for _, n := range taken {
					mu.Lock()
					handed[n.ID]++
					heard = append(heard, n)
					mu.Unlock()
					if err := s.Sent(s.ctx, n.ID, "ok"); err != nil {
						t.Errorf("Sent: %v", err)
					}
				}
			}
		})
	}
	for i := range 2 {
		work.Go(func() {
			for n := range incidents / 2 {
				f := fault(fmt.Sprintf("f-%d-%d", i, n))
				f.Channels = []string{"ops"}
				if _, err := sites[i].Raise(t.Context(), f); err != nil {
					t.Errorf("Raise: %v", err)
				}
				if _, err := sites[1-i].Clear(t.Context(), f.Fingerprint, Midnight()); err != nil {
					t.Errorf("Clear: %v", err)
				}
			}
		})
	}
	work.Wait()
	stop()
	taking.Wait()
	for id, times := range handed {
		if times != 1 {
			t.Errorf("notice %s was handed out %d times", id, times)
		}
	}
	told := map[string][]string{}
	for _, n := range heard {
		told[n.Incident] = append(told[n.Incident], tale(n))
	}
	kinds := map[string]int{}
	for incident, messages := range told {
		kinds[strings.Join(messages, " ")]++
		if text := strings.Join(messages, " "); text != "resolve*" && text != "open resolve" {
			t.Errorf("of incident %s people heard %q", incident, text)
		}
	}
	t.Logf("heard: %v", slices.Sorted(maps.Keys(kinds)))
	if len(told) != incidents {
		t.Errorf("people heard of %d incidents, want %d", len(told), incidents)
	}
}

// testRetryRace: an incident ends at the moment at which the notice of its
// opening turns out not to be accepted: one message in total, whoever is first.
func testRetryRace(t *testing.T, dsn secret.String) {
	a, b := join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)
	for i := range 60 {
		f := fault(fmt.Sprint(i))
		f.Channels = []string{f.Fingerprint}
		a.raise(f)
		n := a.one(f.Fingerprint, time.Now().Add(time.Hour))
		var wait sync.WaitGroup
		wait.Go(func() {
			err := a.Retry(t.Context(), n.ID, "away", time.Now())
			if i%2 == 0 {
				err = errors.Join(err, a.Revive(t.Context(), n.ID))
			}
			if err != nil && !errors.Is(err, runner.ErrNoticeState) {
				t.Errorf("Retry: %v", err)
			}
		})
		wait.Go(func() {
			if _, err := b.Clear(t.Context(), f.Fingerprint, Midnight()); err != nil {
				t.Errorf("Clear: %v", err)
			}
		})
		wait.Wait()
		want := map[runner.NoticeAction]string{"open": "superseded", "resolve": "pending*"}
		same(t, "the notices", want, a.told(n.Incident, f.Fingerprint))
		if t.Failed() {
			return
		}
	}
}

// testRaiseRace: several instances raise and clear one fingerprint; at most one
// incident is open at any time, and no occurrence is lost.
func testRaiseRace(t *testing.T, dsn secret.String) {
	const each = 40
	sites := []*site{join(t, dsn, "a", longLease), join(t, dsn, "b", longLease)}
	var mu sync.Mutex
	opened, cleared := 0, 0
	var wait sync.WaitGroup
	for i := range 4 {
		s := sites[i%2]
		wait.Go(func() {
			for n := range each {
				first, err := s.Raise(t.Context(), fault("x"))
				if err != nil {
					t.Errorf("Raise: %v", err)
				}
				ended := false
				if n%5 == i {
					if ended, err = s.Clear(t.Context(), "x", Midnight()); err != nil {
						t.Errorf("Clear: %v", err)
					}
				}
				mu.Lock()
				if first {
					opened++
				}
				if ended {
					cleared++
				}
				mu.Unlock()
			}
		})
	}
	wait.Wait()
	count, open := 0, 0
	list := sites[0].incidents(runner.IncidentFilter{Limit: 1000})
	for _, i := range list {
		count += i.Count
		if i.State == runner.IncidentOpen {
			open++
		}
	}
	if count != 4*each || len(list) != opened || len(list)-open != cleared || open > 1 {
		t.Errorf("%d occurrences in %d incidents, %d open; answered: %d opened, %d cleared", count, len(list), open, opened, cleared)
	}
	if n := len(sites[0].notices(runner.NoticeFilter{Limit: 10_000})); n != 2*(opened+cleared) {
		t.Errorf("%d notices of %d incidents, %d of them ended, to two channels", n, opened, cleared)
	}
}
