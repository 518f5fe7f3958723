package service_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
	"github.com/ghosteam/upkeep/storage/ledger/ledgertest"
	"github.com/ghosteam/upkeep/web/api"
)

// startsAs has a workflow run on a node under a name of its own.
func (n *node) startsAs(node, workflow, name string) runner.RunID {
	n.t.Helper()
	accepted, err := n.api.Start(n.t.Context(), api.RunRequest{Workflow: workflow, On: node, Params: map[string]string{"name": name}, Trigger: runner.ByAPI})
	if err != nil {
		n.t.Fatalf("start %s as %s on %s: %v", workflow, name, node, err)
	}
	return accepted.Run
}

// line returns who waits for a named lock, in their order, as a node tells it.
func (n *node) line(lock string) (runs []runner.RunID) {
	n.t.Helper()
	locks, err := n.api.Locks(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, l := range locks {
		for _, w := range l.Waiters {
			if l.Name == lock {
				runs = append(runs, w.Run)
			}
		}
	}
	return runs
}

// lockIs is a named lock, as a node tells it.
func (n *node) lockIs(lock string) api.Lock {
	n.t.Helper()
	locks, err := n.api.Locks(n.t.Context())
	at := slices.IndexFunc(locks, func(l api.Lock) bool { return l.Name == lock })
	if err != nil || at < 0 {
		n.t.Fatalf("the lock %s of %+v: %v", lock, locks, err)
	}
	return locks[at]
}

// leave makes a file.
func leave(t *testing.T, shared, name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(shared, name), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// trailIs waits for the trail that the jobs leave.
func trailIs(t *testing.T, shared string, want ...string) {
	t.Helper()
	eventually(t, "the trail is "+strings.Join(want, ", ")+", and not longer", func() bool {
		got := strings.Fields(trail(t, shared))
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			t.Fatalf("trail %v, want %v", got, want)
		}
		return len(got) == len(want)
	})
}

// holding is a workflow whose runs hold a lock for two, each until it is let go.
const holding = `  hold:
    overlap: allow
    params: {name: {type: string, default: nobody}}
    jobs:
      work:
        kind: script
        locks: [tape]
        with:
          run: |
            echo "$$" > "%[2]s/pid-${param:name}"
            echo "in:${param:name}" >> %[2]s/trail
            until [ -e "%[2]s/go-${param:name}" ] || [ -e %[2]s/go ]; do sleep 0.1; done
            echo "out:${param:name}" >> %[2]s/trail
resources: {tape: 2}
`

// TestNodes_KilledHolder: what a node held when it was killed is free when its
// lease is over, and not before; those on other nodes get it in their order.
func TestNodes_KilledHolder(t *testing.T) {
	t.Parallel()
	dsn, shared := ledgertest.Postgres(t), t.TempDir()
	a, b := startNode(t, dsn, "a", shared, holding), startNode(t, dsn, "b", shared, holding)
	r := openRecord(t, dsn)
	held := a.startsAs("a", "hold", "a1")
	trailIs(t, shared, "in:a1")
	all := []runner.RunID{held, a.startsAs("b", "hold", "b1")}
	trailIs(t, shared, "in:a1", "in:b1")
	// One of the node that dies is the first in line.
	var line []runner.RunID
	for _, one := range []struct{ node, name string }{{"a", "a2"}, {"b", "b2"}, {"b", "b3"}} {
		line = append(line, b.startsAs(one.node, "hold", one.name))
		eventually(t, one.name+" is in line", func() bool { return slices.Equal(b.line("tape"), line) })
	}
	all = append(all, line...)
	nodes, err := r.Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until := nodes[slices.IndexFunc(nodes, func(n ledger.Node) bool { return n.Name == "a" })].LeaseUntil
	a.signal(syscall.SIGKILL)
	<-a.ended
	trailIs(t, shared, "in:a1", "in:b1", "in:b2")
	pid, err := os.ReadFile(filepath.Join(shared, "pid-a1"))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process of the dead holder is gone", func() bool {
		stat, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "stat"))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	list, err := r.Attempts(t.Context(), line[1])
	if err != nil || len(list) != 1 {
		t.Fatalf("attempts: %+v, %v", list, err)
	}
	if began := list[0].StartedAt; began.Before(until) {
		t.Errorf("it began at %s, while the lease of the holder held until %s", began, until)
	}
	if got := b.line("tape"); !slices.Equal(got, line[2:]) {
		t.Errorf("in line: %v, want %v", got, line[2:])
	}
	leave(t, shared, "go-b1")
	trailIs(t, shared, "in:a1", "in:b1", "in:b2", "out:b1", "in:b3")

	// It comes back: what it left waits behind the others, in its order.
	again := startNode(t, dsn, "a", shared, holding)
	eventually(t, "what the dead node left is in line", func() bool { return len(again.line("tape")) == 2 })
	leave(t, shared, "go-b2")
	eventually(t, "one goes in for the one that goes out", func() bool { return len(strings.Fields(trail(t, shared))) == 7 })
	leave(t, shared, "go")
	for _, id := range all {
		if run, attempts := r.ends(id); run.State != runner.Succeeded {
			t.Errorf("run %s: %s, %v", id, run.State, attempts)
		}
	}
	atMost(t, strings.Fields(trail(t, shared)), 2, "a1")
}

// atMost looks that never more than so many hold a lock. dead held it once when
// it was killed, and does not count for that.
func atMost(t *testing.T, steps []string, limit int, dead string) {
	t.Helper()
	inside := -1 // the dead one's
	for i, step := range steps {
		way, name, _ := strings.Cut(step, ":")
		if way == "in" {
			inside++
		} else {
			inside--
		}
		if inside > limit {
			t.Errorf("%d hold the lock after step %d, %s of %s: %v", inside, i, way, name, steps)
		}
	}
	if inside != 0 || !slices.Contains(steps, "in:"+dead) {
		t.Errorf("%d are left in: %v", inside, steps)
	}
}

// redisServer is a server of the test's own; dir has its socket s, and a
// redis-cli that asks it and no other.
func redisServer(t *testing.T) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a socket has room for a short path only
	if err != nil {
		t.Fatal(err)
	}
	server := exec.Command("redis-server", "--port", "0", "--unixsocket", filepath.Join(dir, "s"), "--save", "", "--dir", dir)
	if err := server.Start(); err != nil {
		t.Fatalf("start redis-server: %v", err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		_ = os.RemoveAll(dir)
	})
	eventually(t, "the server answers", func() bool {
		c, err := net.Dial("unix", filepath.Join(dir, "s"))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	cli, err := exec.LookPath("redis-cli")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "redis-cli"), []byte("#!/bin/sh\nexec "+cli+" -s "+dir+"/s \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

// documented is the script of another tool that docs/locks.md shows.
func documented(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "locks.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```sh\n(.*?)```\n").FindAllStringSubmatch(string(text), -1)
	if len(blocks) != 1 || !strings.Contains(blocks[0][1], "redis-cli") {
		t.Fatalf("docs/locks.md has %d scripts", len(blocks))
	}
	return blocks[0][1]
}

// fences are the fencing numbers in the trail, in the order in which they were
// used.
func fences(t *testing.T, shared string) (who []string, numbers []int64) {
	t.Helper()
	for step := range strings.FieldsSeq(trail(t, shared)) {
		name, text, _ := strings.Cut(step, ":")
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatalf("the fencing number of %s is %q", name, text)
		}
		who, numbers = append(who, name), append(numbers, n)
	}
	return who, numbers
}

// TestNodes_RedisLock: two nodes and the script that the documentation shows want
// one lock in Redis; nobody has it beside another, and the numbers grow, also when
// the server has lost them.
func TestNodes_RedisLock(t *testing.T) {
	t.Parallel()
	dsn, shared, dir := ledgertest.Postgres(t), t.TempDir(), redisServer(t)
	more := `  train:
    overlap: allow
    params: {name: {type: string, default: nobody}}
    jobs:
      work:
        kind: script
        locks: [gpu]
        with:
          run: |
            mkdir %[2]s/inside || exit 9
            echo "${param:name}:$UPKEEP_FENCE_GPU" >> %[2]s/trail
            until [ -e "%[2]s/go-${param:name}" ]; do sleep 0.1; done
            rmdir %[2]s/inside
databases: {cache: {kind: redis, url: "unix://` + dir + `/s"}}
resources: {gpu: {in: cache}}
`
	a, b := startNode(t, dsn, "a", shared, more), startNode(t, dsn, "b", shared, more)
	r := openRecord(t, dsn)
	// The script as it stands, and then what it is for: one at a time.
	script := documented(t) + `
mkdir "$1/inside" || exit 9
echo "shell:$fence" >> "$1/trail"
until [ -e "$1/go-shell" ]; do sleep 0.1; done
rmdir "$1/inside"
`
	shell := func() *exec.Cmd {
		cmd := exec.Command("sh", "-c", script, "sh", shared)
		cmd.Env = append(os.Environ(), "PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"))
		return cmd
	}
	ask := func(args ...string) string {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "redis-cli"), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("redis-cli %v: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	entered := func(want ...string) {
		eventually(t, strings.Join(want, ", ")+" had it", func() bool {
			who, _ := fences(t, shared)
			return slices.Equal(who, want)
		})
	}

	first := shell()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = first.Process.Kill() })
	entered("shell")
	token := ask("GET", "upkeep:lock:gpu")
	name, secret, found := strings.Cut(token, ":")
	outside := func(l api.Lock) {
		if !found || len(l.Others) != 1 || l.Others[0].Name != name || l.Others[0].ExpiresAt == nil || l.Unknown != "" {
			t.Errorf("while the script %q has it: %+v", token, l)
		} else if left := time.Until(*l.Others[0].ExpiresAt); left <= 0 || left > 10*time.Minute {
			t.Errorf("the script has it for %s", left)
		}
		if text, err := json.Marshal(l); err != nil || strings.Contains(string(text), secret) {
			t.Errorf("its token is told: %s, %v", text, err)
		}
	}
	outside(b.lockIs("gpu"))
	one := a.startsAs("a", "train", "a")
	a.logs("the job waits for a lock")
	waits := b.lockIs("gpu")
	outside(waits)
	if len(waits.Holders) != 1 || waits.Holders[0].Run != one || !waits.Holders[0].Waits {
		t.Errorf("while a job waits for the script: %+v", waits)
	}
	if got := ask("GET", "upkeep:lock:gpu"); got != token {
		t.Errorf("the lock of the script is %q's", got)
	}
	two := a.startsAs("b", "train", "b")
	eventually(t, "the other node waits in the ledger", func() bool { return slices.Equal(b.line("gpu"), []runner.RunID{two}) })
	leave(t, shared, "go-shell")
	if err := first.Wait(); err != nil {
		t.Errorf("the script: %v", err)
	}
	entered("shell", "a")
	if l := b.lockIs("gpu"); len(l.Others) > 0 || len(l.Holders) != 1 || l.Holders[0].Run != one || l.Holders[0].Waits || l.Unknown != "" {
		t.Errorf("while the job has it: %+v", l)
	}
	if out, err := shell().CombinedOutput(); err == nil || err.Error() != "exit status 75" {
		t.Errorf("the script, while a job has the lock: %v\n%s", err, out)
	}
	leave(t, shared, "go-a")
	entered("shell", "a", "b")
	leave(t, shared, "go-b")
	for _, id := range []runner.RunID{one, two} {
		if run, attempts := r.ends(id); run.State != runner.Succeeded {
			t.Errorf("run %s: %s, %v", id, run.State, attempts)
		}
	}
	ask("FLUSHALL")
	if out, err := shell().CombinedOutput(); err != nil {
		t.Errorf("the script, after all: %v\n%s", err, out)
	}
	if got := ask("EXISTS", "upkeep:lock:gpu"); got != "0" {
		t.Errorf("the script left its lock behind")
	}
	who, numbers := fences(t, shared)
	if !slices.Equal(who, []string{"shell", "a", "b", "shell"}) || !slices.IsSorted(numbers) || len(slices.Compact(slices.Clone(numbers))) != len(numbers) {
		t.Errorf("fencing numbers: %v of %v", numbers, who)
	}
	if last := ask("GET", "upkeep:fence:gpu"); last != strconv.FormatInt(numbers[len(numbers)-1], 10) {
		t.Errorf("the last number is %s, want %v", last, numbers)
	}
}
