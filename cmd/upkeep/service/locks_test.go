package service_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ghosteam/upkeep/cmd/upkeep/service"
	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/web/api"
)

// lockRecord is a ledger in which the job train has two locks by its second
// attempt.
type lockRecord struct{}

func (lockRecord) Locks(context.Context) ([]runner.LockHolder, error) {
	return []runner.LockHolder{{Lock: "gpu", Run: "r", Job: "train"}, {Lock: "tape", Run: "r", Job: "train"}, {Lock: "plain", Run: "other", Job: "train"}}, nil
}

func (lockRecord) Waits(context.Context) ([]runner.LockWait, error) { return nil, nil }

func (lockRecord) Attempts(_ context.Context, runs ...runner.RunID) ([]runner.Attempt, error) {
	if len(runs) != 1 || runs[0] != "r" {
		return nil, os.ErrInvalid
	}
	return []runner.Attempt{{Run: "r", Job: "train", Number: 2}, {Run: "r", Job: "train", Number: 1}, {Run: "r", Job: "later", Number: 3}}, nil
}

// TestNamedLocks_InDatabases: what a killed attempt left in a database is not held
// by the one that waits for it; one database that hangs, and one whose address
// nobody knows, hide nothing of another.
func TestNamedLocks_InDatabases(t *testing.T) {
	t.Parallel()
	dir := redisServer(t)
	mute, err := net.Listen("unix", filepath.Join(dir, "mute"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mute.Close() })
	for _, set := range [][2]string{{"upkeep:lock:gpu", "r/train/1:0123456789abcdef"}, {"upkeep:lock:tape#2", "r/train/2:0123456789abcdef"}} {
		if out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "redis-cli"), "SET", set[0], set[1], "PX", "60000").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	path, address := filepath.Join(dir, "upkeep.yaml"), filepath.Join(dir, "address")
	text := `databases:
  cache: {kind: redis, url: "unix://` + dir + `/s"}
  mute: {kind: redis, url: "unix://any:known-only-to-us@` + dir + `/mute"}
  lost: {kind: redis, url: "${file:` + address + `}"}
resources: {gpu: {in: cache}, tape: {limit: 2, in: cache}, silent: {in: mute}, gone: {in: lost}}
workflows: {w: {jobs: {a: {kind: script, with: {run: "true"}}}}}
`
	for name, text := range map[string]string{path: text, address: "unix://" + dir + "/s"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := configs.Load(path, catalog())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(address); err != nil {
		t.Fatal(err)
	}
	list, err := service.NamedLocks(t.Context(), cfg, lockRecord{})
	if err != nil {
		t.Fatal(err)
	}
	locks := map[string]api.Lock{}
	for _, l := range list {
		locks[l.Name] = l
	}
	if l := locks["gpu"]; len(l.Holders) != 1 || !l.Holders[0].Waits || len(l.Others) != 1 || l.Others[0].Name != "r/train/1" || l.Others[0].ExpiresAt == nil {
		t.Errorf("what the first attempt left: %+v", l)
	}
	if l := locks["tape"]; len(l.Holders) != 1 || l.Holders[0].Waits || len(l.Others) > 0 || l.Unknown != "" {
		t.Errorf("what the second attempt has: %+v", l)
	}
	if l := locks["plain"]; len(l.Holders) != 1 || l.Holders[0].Waits || l.In != "" || l.Unknown != "" {
		t.Errorf("a lock of the ledger: %+v", l)
	}
	if why := locks["silent"].Unknown; !strings.HasSuffix(why, "no answer for 2s") || strings.Contains(why, "known-only-to-us") {
		t.Errorf("a database that hangs: %q", why)
	}
	if why := locks["gone"].Unknown; !strings.Contains(why, "does not exist") {
		t.Errorf("a database without an address: %q", why)
	}
}
