package web

import (
	"cmp"
	"sync"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// mostPending is how many events wait for one subscriber. Whoever falls behind
// by more is told to read the run anew.
const mostPending = 256

// subscription is what waits for one follower of one run.
type subscription struct {
	hub *Hub
	run runner.RunID
	// wake has something when there is something to take.
	wake chan struct{}

	mu      sync.Mutex
	pending []message
	lost    bool
}

// add puts a message into the queue. Progress takes the place of earlier
// progress of the same attempt.
func (s *subscription) add(m message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.lost:
		return
	case m.kind == api.EventAttemptProgress && s.replace(m):
		return
	case len(s.pending) == mostPending:
		s.pending, s.lost = nil, true
	default:
		s.pending = append(s.pending, m)
	}
	s.ring()
}

func (s *subscription) replace(m message) bool {
	for i := len(s.pending) - 1; i >= 0; i-- {
		if s.pending[i].attempt == m.attempt {
			if s.pending[i].kind != m.kind {
				return false
			}
			s.pending[i] = m
			return true
		}
	}
	return false
}

// lose makes the subscriber read the run anew.
func (s *subscription) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending, s.lost = nil, true
	s.ring()
}

func (s *subscription) ring() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns what is pending; lost tells that something is missing and
// everything has to be read anew.
func (s *subscription) take() (pending []message, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending, lost = s.pending, s.lost
	s.pending, s.lost = nil, false
	return pending, lost
}

// close ends the subscription.
func (s *subscription) close() {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	delete(s.hub.subs[s.run], s)
	if len(s.hub.subs[s.run]) == 0 {
		delete(s.hub.subs, s.run)
	}
}

func compareKeys(a, b runner.AttemptKey) int {
	return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Job, b.Job), cmp.Compare(a.Number, b.Number))
}
