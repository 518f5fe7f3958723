package redis_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/lock/redis"
)

// looker is somebody whom the server lets read the keys of locks, and no more.
func (s *server) looker() *redis.Locks {
	s.t.Helper()
	s.do("ACL", "SETUSER", "looker", "on", ">knownonly2us", "%R~upkeep:lock:*", "+get", "+pttl")
	a, err := redisurl.Parse(secret.New("unix://looker:knownonly2us@" + s.dir + "/s"))
	if err == nil && a.Password == "" {
		err = errors.New("the address has no password")
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return redis.New(a, redis.Options{})
}

// TestLook: who looks needs no right to write, learns of no token, and changes
// nothing.
func TestLook(t *testing.T) {
	t.Parallel()
	s := start(t)
	h := s.hold(s.locks(long), "x", one("ours")...)
	s.do("SET", "upkeep:lock:theirs", "train:sh:0123456789", "PX", 60_000)
	s.do("SET", "upkeep:lock:two#2", "for-ever")
	s.do("SET", "upkeep:lock:two#3", "beyond the limit:0123456789")
	s.do("HSET", "upkeep:lock:odd", "a", "b")
	before := s.do("PEXPIRETIME", "upkeep:lock:theirs")
	seen := s.looker().Look(t.Context(), []redis.Want{{Name: "ours"}, {Name: "theirs"}, {Name: "two", Places: 2}, {Name: "odd"}, {Name: "free", Places: 3}})
	if len(seen) != 5 {
		t.Fatalf("seen: %+v", seen)
	}
	for name, want := range map[string][]string{
		"ours": {redis.Name(runner.AttemptKey{Run: "r", Job: "x", Number: 1})}, "theirs": {"train:sh"}, "two": {""}, "free": nil,
	} {
		var got []string
		for _, h := range seen[name].Holders {
			got = append(got, h.Name)
			if left := time.Until(h.Expires); h.Expires.IsZero() != (name == "two") || left > long {
				t.Errorf("%s expires in %s", name, left)
			}
		}
		if err := seen[name].Err; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is held by %q, %v; want %q", name, got, err, want)
		}
	}
	if err := seen["odd"].Err; err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
		t.Errorf("a key that is no lock: %v", err)
	}
	if after := s.do("PEXPIRETIME", "upkeep:lock:theirs"); after != before {
		t.Errorf("the lock expires at %v, and at %v before it was looked at", after, before)
	}
	s.release(h)
}

// TestLook_Names: a name is what a token says, and never lets anybody guess it.
func TestLook_Names(t *testing.T) {
	t.Parallel()
	s := start(t)
	l := s.locks(long)
	for _, tt := range []struct{ token, want string }{
		{"0123456789abcdef", ""},
		{"job:1234567", ""},
		{"job:12345678", "job"},
		{":12345678", ""},
		{"a\x1b[2J\nb\xff\u202ec:12345678", "a[2Jbc"},
		{strings.Repeat("x", 10_000) + ":12345678", ""},
	} {
		s.do("SET", "upkeep:lock:gpu", tt.token)
		seen := l.Look(t.Context(), one("gpu"))["gpu"]
		if len(seen.Holders) != 1 || seen.Err != nil || seen.Holders[0].Name != tt.want {
			t.Errorf("the holder %.40q is called %+v, want %q", tt.token, seen, tt.want)
		}
	}
}

// TestLook_Away: a server that is away is known to be so when the context ends at
// the latest, and the error repeats no password.
func TestLook_Away(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*server){
		"Killed":  (*server).kill,
		"Stopped": func(s *server) { s.signal(syscall.SIGSTOP) },
		"Refuses": func(s *server) { s.do("ACL", "SETUSER", "looker", ">another", "<knownonly2us") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			l := s.looker()
			harm(s)
			late := errors.New("it took too long")
			bound := time.Minute
			if name == "Stopped" {
				bound = 200 * time.Millisecond
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), bound, late)
			defer cancel()
			seen := l.Look(ctx, []redis.Want{{Name: "a"}, {Name: "b", Places: 2}})
			for _, lock := range []string{"a", "b"} {
				err := seen[lock].Err
				if err == nil || len(seen[lock].Holders) > 0 || errors.Is(err, late) != (name == "Stopped") || strings.Contains(err.Error(), "knownonly2us") {
					t.Errorf("%s: %+v", lock, seen[lock])
				}
			}
		})
	}
}
