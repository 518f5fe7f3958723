package browsertest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience is how long anything may take on a machine that does ten other
// things.
const patience = 90 * time.Second

// Browser is a Chromium without a window. Its methods may be called from
// several goroutines.
type Browser struct{ ctx context.Context }

// Open starts a browser that ends with the test and its subtests, with all of
// its processes.
func Open(t *testing.T) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("there is no Chromium: %v; scripts/dev/deps.sh test installs it", err)
	}
	// Chromium writes below it until the end, so it is removed here.
	profile := filepath.Join(t.TempDir(), "profile")
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-crash-reporter", true), chromedp.Flag("disable-domain-reliability", true), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("font-render-hinting", "none"),
		chromedp.WindowSize(1280, 900),
		chromedp.Env("HOME="+profile, "XDG_CONFIG_HOME="+profile, "XDG_CACHE_HOME="+profile, "DBUS_SESSION_BUS_ADDRESS=disabled:", "TZ=UTC"),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		}))
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		end()
		release()
		reap(t, profile)
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return &Browser{ctx: ctx}
}

// reap kills what is left of the browser with this profile, and returns when
// nothing of it lives.
func reap(t *testing.T, profile string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for quiet := 0; quiet < 3; time.Sleep(10 * time.Millisecond) {
		pids := living(profile)
		if len(pids) == 0 {
			quiet++
			continue
		}
		quiet = 0
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
		}
		if time.Now().After(deadline) {
			t.Errorf("processes of Chromium outlive it: %v", pids)
			return
		}
	}
	if err := os.RemoveAll(profile); err != nil {
		t.Errorf("remove the profile of Chromium: %v", err)
	}
}

// living are the processes of the browser with this profile: Chromium hands
// its folder to each of them. Its helpers leave the group of processes, so that
// cannot tell.
func living(profile string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var list []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline"))
		if err == nil && bytes.Contains(line, []byte(profile)) && strings.Contains(string(line), "chrom") {
			list = append(list, pid)
		}
	}
	return list
}
