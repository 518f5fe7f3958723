package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/lock/redis"
)

// long is a TTL that no test outlives; short is one that a test waits out.
const (
	long  = time.Hour
	short = 1500 * time.Millisecond
)

func TestHold(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.locks(long)
	h := s.hold(l, "x", one("gpu")...)
	token, _ := s.do("GET", "upkeep:lock:gpu").(string)
	if !strings.HasPrefix(token, "r/x/1:") || len(token) < 20 {
		t.Errorf("the key holds %q", token)
	}
	if ttl, _ := s.do("PTTL", "upkeep:lock:gpu").(int64); ttl <= 0 || time.Duration(ttl)*time.Millisecond > long {
		t.Errorf("the key expires in %d ms", ttl)
	}
	// As the documentation says that another tool does it.
	if answer := s.do("SET", "upkeep:lock:gpu", "other", "NX", "PX", 60_000); answer != nil {
		t.Errorf("another tool took the lock: %v", answer)
	}
	s.release(h)
	s.release(h)
	if answer := s.do("SET", "upkeep:lock:gpu", "other", "NX", "PX", 60_000); answer != "OK" {
		t.Errorf("another tool did not get the lock: %v", answer)
	}
	next := want(t.Context(), l, "y", one("gpu")...)
	if told := <-next.told; !strings.HasPrefix(told, "gpu is held by another tool in Redis at ") {
		t.Errorf("told %q", told)
	}
	s.do("DEL", "upkeep:lock:gpu")
	<-next.done
	if next.err != nil {
		t.Fatal(next.err)
	}
	if next.Fences()["gpu"] <= h.Fences()["gpu"] {
		t.Errorf("fences: %v after %v", next.Fences(), h.Fences())
	}
	s.release(next)
}

func TestHold_AllOrNone(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.locks(long)
	s.do("SET", "upkeep:lock:b", "other")
	h := want(t.Context(), l, "x", redis.Want{Name: "b"}, redis.Want{Name: "a"}, redis.Want{Name: "c", Places: 2})
	<-h.told
	for _, key := range []string{"upkeep:lock:a", "upkeep:lock:c", "upkeep:lock:c#2"} {
		if s.do("EXISTS", key) != int64(0) {
			t.Errorf("%s is taken while another lock is waited for", key)
		}
	}
	s.do("DEL", "upkeep:lock:b")
	<-h.done
	if h.err != nil || len(h.Fences()) != 3 {
		t.Fatalf("%v, %v", h.err, h.Fences())
	}
	s.release(h)
	if left := s.do("KEYS", "upkeep:lock:*").([]any); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestHold_Counted(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.locks(long)
	var inside, most atomic.Int64
	var mu sync.Mutex
	var fences []int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			h := want(t.Context(), l, fmt.Sprintf("j%d", i), redis.Want{Name: "tape", Places: 2})
			<-h.done
			if h.err != nil {
				t.Error(h.err)
				return
			}
			n := inside.Add(1)
			mu.Lock()
			fences = append(fences, h.Fences()["tape"])
			mu.Unlock()
			most.Store(max(most.Load(), n))
			inside.Add(-1)
			s.release(h)
		})
	}
	all.Wait()
	if most.Load() > 2 {
		t.Errorf("%d held a lock for two", most.Load())
	}
	seen := map[int64]bool{}
	for _, f := range fences {
		if seen[f] {
			t.Errorf("the fencing number %d was given out twice", f)
		}
		seen[f] = true
	}
	a, b := s.hold(l, "a", redis.Want{Name: "tape", Places: 2}), s.hold(l, "b", redis.Want{Name: "tape", Places: 2})
	if s.do("EXISTS", "upkeep:lock:tape", "upkeep:lock:tape#2") != int64(2) {
		t.Error("the places are not where the documentation says")
	}
	s.release(a)
	s.release(b)
}

// TestHold_Fences: the numbers grow although the server lost its data.
func TestHold_Fences(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.locks(long)
	last := int64(0)
	for round := range 6 {
		h := s.hold(l, "x", one("gpu")...)
		if fence := h.Fences()["gpu"]; fence <= last {
			t.Errorf("round %d: %d after %d", round, fence, last)
		} else {
			last = fence
		}
		s.release(h)
		switch round {
		case 1:
			s.do("INCR", "upkeep:fence:gpu")
		case 3:
			s.do("FLUSHALL")
		}
	}
}

func TestHold_Renewed(t *testing.T) {
	t.Parallel()
	s := start(t)
	h := s.hold(s.locks(30*time.Second), "x", one("gpu")...)
	// The renewal is due after 10 s; what remains is then set back to 30 s.
	s.do("PEXPIRE", "upkeep:lock:gpu", 25_000)
	s.eventually("the lock is renewed", func() bool {
		left, _ := s.do("PTTL", "upkeep:lock:gpu").(int64)
		return left > 25_000
	})
	s.release(h)
}

func TestHold_Lost(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*server){
		"Deleted": func(s *server) { s.do("DEL", "upkeep:lock:gpu") },
		"Taken":   func(s *server) { s.do("SET", "upkeep:lock:gpu", "somebody") },
		"Flushed": func(s *server) { s.do("FLUSHALL") },
		"Expired": func(s *server) { s.do("PEXPIRE", "upkeep:lock:gpu", 1) },
		"Killed":  (*server).kill,
		"Restarted": func(s *server) {
			s.kill()
			s.serve()
		},
		"Stopped": func(s *server) { s.signal(syscall.SIGSTOP) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			h := s.hold(s.locks(short), "x", one("gpu")...)
			harm(s)
			lost := <-h.lost
			if lost.Lock != "gpu" || lost.Why == "" || !errors.Is(lost, runner.ErrLockLost) {
				t.Errorf("lost: %+v", lost)
			}
			switch name {
			case "Stopped":
				s.signal(syscall.SIGCONT)
			case "Killed":
				if err := h.Release(t.Context()); err == nil {
					t.Error("a lock was given back to a server that is gone")
				}
				return
			}
			s.release(h)
			if name == "Taken" && s.do("GET", "upkeep:lock:gpu") != "somebody" {
				t.Error("the lock of somebody else was given back")
			}
		})
	}
}

// TestHold_Outage: while the server does not answer a lock is waited for, and a
// short outage loses none.
func TestHold_Outage(t *testing.T) {
	t.Parallel()
	s := start(t)
	kept := s.hold(s.locks(time.Minute), "x", one("kept")...)
	s.signal(syscall.SIGSTOP)
	h := want(t.Context(), s.locks(short), "y", one("gpu")...)
	if told := <-h.told; !strings.Contains(told, "does not answer") {
		t.Errorf("told %q", told)
	}
	s.signal(syscall.SIGCONT)
	<-h.done
	if h.err != nil {
		t.Fatal(h.err)
	}
	s.release(h)
	s.release(kept)
	select {
	case e := <-kept.lost:
		t.Errorf("lost: %v", e)
	default:
	}
}

func TestHold_GivesUp(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.do("HSET", "upkeep:lock:odd", "a", "b")
	h := want(t.Context(), s.locks(long), "x", one("odd")...)
	<-h.done
	if h.err == nil || !strings.Contains(jobs.HintOf(h.err), "not a string") {
		t.Errorf("a key of another type: %v (%s)", h.err, jobs.HintOf(h.err))
	}
	s.do("CONFIG", "SET", "requirepass", "hunter2")
	h = want(t.Context(), s.locks(long), "x", one("gpu")...)
	<-h.done
	if h.err == nil || !strings.Contains(jobs.HintOf(h.err), "password") {
		t.Errorf("without the password: %v (%s)", h.err, jobs.HintOf(h.err))
	}
	s.kill()
	a, err := redisurl.Parse(s.url())
	if err != nil {
		t.Fatal(err)
	}
	h = want(t.Context(), redis.New(a, redis.Options{Patience: time.Millisecond}), "x", one("gpu")...)
	<-h.done
	if h.err == nil || jobs.HintOf(h.err) == "" {
		t.Errorf("without a server: %v", h.err)
	}
	why := errors.New("the run was canceled")
	ctx, cancel := context.WithCancelCause(t.Context())
	h = want(ctx, s.locks(long), "x", one("gpu")...)
	<-h.told
	cancel(why)
	<-h.done
	if !errors.Is(h.err, why) {
		t.Errorf("canceled: %v", h.err)
	}
}
