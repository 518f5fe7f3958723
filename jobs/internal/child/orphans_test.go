package child_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ghosteam/upkeep/jobs/internal/child"
)

const (
	reapedOrphans  = 40
	reapedCommands = 100
)

// playReaper is process 1 of a container: orphans die all the time while
// commands and other code of the same process wait for children of their own.
func playReaper() {
	stop := child.ReapOrphans(slog.New(slog.DiscardHandler))
	var tasks sync.WaitGroup
	var mu sync.Mutex
	wrong := []string{}
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}
	tasks.Go(func() {
		for i := range reapedOrphans {
			text := fmt.Sprintf("setsid sleep 0.%d </dev/null >/dev/null 2>&1 & exit %d", i%5, i)
			err := exec.Command("/bin/sh", "-c", text).Run()
			exit, _ := errors.AsType[*exec.ExitError](err)
			if i > 0 && (exit == nil || exit.ExitCode() != i) || i == 0 && err != nil {
				note("other code's child %d: %v", i, err)
			}
		}
	})
	for i := range reapedCommands {
		tasks.Go(func() {
			c := child.WithoutCgroup(child.Command{Argv: child.Shell(fmt.Sprintf("exit %d", i)), Env: []string{path}})
			if exit, err := child.Run(context.Background(), c); exit.Code != i {
				note("command %d: %+v, %v", i, exit, err)
			}
		})
	}
	tasks.Wait()
	// From here on nobody starts a command, whose end would bury them too.
	if err := exec.Command("/bin/sh", "-c", "for i in 1 2 3; do setsid sleep 0.$i </dev/null >/dev/null 2>&1 & done").Run(); err != nil {
		note("make orphans: %v", err)
	}
	dead := func() (n int) {
		all, err := child.Processes()
		if err != nil {
			panic(err)
		}
		for _, p := range all {
			if p.PPID == os.Getpid() {
				n++
			}
		}
		return n
	}
	for began := time.Now(); dead() > 0 && time.Since(began) < 10*time.Second; {
		time.Sleep(10 * time.Millisecond)
	}
	left := dead()
	stop()
	stop()
	report([]any{os.Getpid(), left, wrong})
}

func TestReapOrphans(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // only root makes a pid namespace; CI is
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bound(t), "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", self)
	cmd.Env = []string{path, "CHILD_TEST_PART=reaper"}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "[1,0,[]]" {
		t.Errorf("[process number, children left, what went wrong] %s, %v; want [1,0,[]]", out, err)
	}
}
