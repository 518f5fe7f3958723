package redis_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/ghosteam/upkeep/configs/redisurl"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/lock/redis"
)

// server is a Redis server of the test's own, without persistence.
type server struct {
	t       *testing.T
	dir     string
	process *exec.Cmd
	// client is a tool other than upkeep.
	client *goredis.Client
}

func start(t *testing.T) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "upkeep-lock") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, dir: dir}
	s.client = goredis.NewClient(&goredis.Options{Network: "unix", Addr: dir + "/s", MaxRetries: -1})
	t.Cleanup(func() {
		s.kill()
		_ = s.client.Close()
		_ = os.RemoveAll(dir)
	})
	s.serve()
	return s
}

// serve starts the process and waits until it answers.
func (s *server) serve() {
	s.t.Helper()
	s.process = exec.Command("redis-server", "--port", "0", "--unixsocket", s.dir+"/s", "--save", "", "--dir", s.dir)
	if err := s.process.Start(); err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	s.eventually("the server answers", func() bool {
		c, err := net.Dial("unix", s.dir+"/s")
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}

// kill ends the server the hard way; what it held is gone.
func (s *server) kill() {
	if s.process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	s.process = nil
}

func (s *server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) eventually(what string, happened func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("after a minute still not: %s", what)
		}
	}
}

func (s *server) url() secret.String { return secret.New("unix://" + s.dir + "/s") }

func (s *server) locks(ttl time.Duration) *redis.Locks {
	s.t.Helper()
	a, err := redisurl.Parse(s.url())
	if err != nil {
		s.t.Fatal(err)
	}
	return redis.New(a, redis.Options{TTL: ttl})
}

// do is a command of the other tool.
func (s *server) do(args ...any) any {
	s.t.Helper()
	answer, err := s.client.Do(context.Background(), args...).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		s.t.Fatalf("%v: %v", args, err)
	}
	return answer
}

// holder is one who wants locks, with what it was told.
type holder struct {
	runner.HeldLocks
	told chan string
	lost chan *runner.LockLostError
	err  error
	done chan struct{}
}

func one(name string) []redis.Want { return []redis.Want{{Name: name, Places: 1}} }

// want asks for locks in the background.
func want(ctx context.Context, l *redis.Locks, job string, wants ...redis.Want) *holder {
	h := &holder{told: make(chan string, 1000), lost: make(chan *runner.LockLostError, 1), done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.HeldLocks, h.err = l.Hold(ctx, runner.AttemptKey{Run: "r", Job: job, Number: 1}, wants,
			func(text string) { h.told <- text }, func(e *runner.LockLostError) { h.lost <- e })
	}()
	return h
}

// hold asks for locks that are free.
func (s *server) hold(l *redis.Locks, job string, wants ...redis.Want) *holder {
	s.t.Helper()
	h := want(context.Background(), l, job, wants...)
	<-h.done
	if h.err != nil {
		s.t.Fatalf("Hold: %v", h.err)
	}
	s.t.Cleanup(func() { _ = h.Release(context.Background()) })
	return h
}

func (s *server) release(h *holder) {
	s.t.Helper()
	if err := h.Release(context.Background()); err != nil {
		s.t.Errorf("Release: %v", err)
	}
}
