package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// idleFor is how long the idle service is watched.
	idleFor = 60 * time.Second
	// settleFor is how long the service is left alone before that.
	settleFor = 5 * time.Second
	// ticksPerSecond is the unit of times in /proc (sysconf(_SC_CLK_TCK), 100
	// on Linux).
	ticksPerSecond = 100
)

// daemon is a service under measurement.
type daemon struct {
	cmd    *exec.Cmd
	dir    string
	notify *net.UnixConn
	// ended has how the process ended.
	ended <-chan error
	// ready is how long it took until it said that it is ready.
	ready time.Duration
}

// startDaemon starts a service in dir and waits until it is ready.
func startDaemon(binary, dir string) (d *daemon, err error) {
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for the service: %w", err)
	}
	d = &daemon{dir: dir, notify: notify}
	d.cmd = exec.CommandContext(context.Background(), binary, "-c", filepath.Join(dir, "upkeep.yaml"), "serve")
	d.cmd.Dir = dir
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"))
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	d.cmd.Stdout, d.cmd.Stderr = log, log
	began := time.Now()
	if err := d.cmd.Start(); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	ended := make(chan error, 1)
	go func() { ended <- d.cmd.Wait() }()
	d.ended = ended
	message := make([]byte, 4096)
	for {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(filepath.Join(dir, "log")) // without it the error says less
			return nil, errors.Join(fmt.Errorf("the service ended: %w\n%s", err, text), notify.Close())
		default:
		}
		if err := notify.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return nil, err
		}
		n, err := notify.Read(message)
		if errors.Is(err, os.ErrDeadlineExceeded) && time.Since(began) < time.Minute {
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("wait until the service is ready: %w", err), d.end())
		}
		if strings.Contains(string(message[:n]), "READY=1") {
			d.ready = time.Since(began)
			return d, nil
		}
	}
}

// end asks the service to end and waits for it.
func (d *daemon) end() error {
	err := d.cmd.Process.Signal(syscall.SIGTERM)
	return errors.Join(err, <-d.ended, d.notify.Close(), os.Remove(filepath.Join(d.dir, "notify")))
}

// cpu is the time that the service and its ended children have used.
func (d *daemon) cpu() (time.Duration, error) { return cpuOf(d.cmd.Process.Pid) }

// cpuOf is the time that a process and its ended children have used.
func cpuOf(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// proc_pid_stat(5): what follows the name in parentheses begins with field 3.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	total := int64(0)
	for _, at := range []int{14, 15, 16, 17} { // utime stime cutime cstime
		ticks, err := strconv.ParseInt(fields[at-3], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the times of process %d: %w", pid, err)
		}
		total += ticks
	}
	return time.Duration(total) * time.Second / ticksPerSecond, nil
}

// memory reads a field of /proc/PID/status in KiB.
func (d *daemon) memory(field string) (int64, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), field+":"); ok {
			return strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		}
	}
	return 0, fmt.Errorf("the system does not tell %s", field)
}

// reader opens the ledger of the service.
func (d *daemon) reader() (*ledger.Reader, error) {
	return ledger.OpenReader(context.Background(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(d.dir, "var", "upkeep.db"))})
}

// writeWorkflows writes a configuration with n workflows of one job.
func writeWorkflows(dir string, n, maxRunning int, schedule string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "project: bench\nnode: bench\ntimezone: UTC\nmax_running: %d\nballast: off\nworkflows:\n", maxRunning)
	for i := range n {
		fmt.Fprintf(&b, "  w%05d: {schedule: {%s}, alert: {off: true}, jobs: {nothing: {kind: script, with: {run: [/bin/true]}}}}\n", i, schedule)
	}
	return os.WriteFile(filepath.Join(dir, "upkeep.yaml"), []byte(b.String()), 0o600)
}

// burst measures n workflows that are due in the same second.
func burst(binary string, n, maxRunning int) (err error) {
	dir, err := os.MkdirTemp("", "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	slot := time.Now().Add(6 * time.Second).UTC().Truncate(time.Second)
	cron := fmt.Sprintf("%d %d %d %d %d *", slot.Second(), slot.Minute(), slot.Hour(), slot.Day(), slot.Month())
	if err := writeWorkflows(dir, n, maxRunning, fmt.Sprintf("cron: %q", cron)); err != nil {
		return err
	}
	d, err := startDaemon(binary, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	before, err := d.cpu()
	if err != nil {
		return err
	}
	time.Sleep(time.Until(slot))
	r, err := d.reader()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	runs, err := waitForRuns(r, n)
	if err != nil {
		return err
	}
	after, err := d.cpu()
	if err != nil {
		return err
	}
	peak, err := d.memory("VmHWM")
	if err != nil {
		return err
	}
	var lags []time.Duration
	var last time.Time
	for _, run := range runs {
		attempts, err := r.Attempts(context.Background(), run.ID)
		if err != nil {
			return err
		}
		// The run itself starts when it is claimed, its job when the process does.
		lags = append(lags, attempts[0].StartedAt.Sub(run.Slot))
		if run.FinishedAt.After(last) {
			last = run.FinishedAt
		}
	}
	slices.Sort(lags)
	fmt.Printf("| %d | %d | %d | %d | %d | %d | %.2f | %.0f |\n", n, maxRunning, lags[len(lags)/2].Milliseconds(), lags[len(lags)*99/100].Milliseconds(),
		lags[len(lags)-1].Milliseconds(), last.Sub(slot).Milliseconds(), float64((after-before).Microseconds())/1000/float64(n), float64(peak)/1024)
	return nil
}

// waitForRuns returns the runs once all have ended.
func waitForRuns(r *ledger.Reader, n int) ([]runner.Run, error) {
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(500 * time.Millisecond) {
		runs, err := r.Runs(context.Background(), runner.Filter{States: []runner.State{runner.Succeeded}, Limit: n})
		if err != nil || len(runs) == n {
			return runs, err
		}
	}
	return nil, fmt.Errorf("not all %d runs succeeded within 2 minutes", n)
}

// idle measures a service that has nothing to do.
func idle(binary string, n int) (err error) {
	dir, err := os.MkdirTemp("", "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	far := time.Now().AddDate(0, 0, -2)
	if err := writeWorkflows(dir, n, 8, fmt.Sprintf("monthly: \"%d 04:30\"", min(far.Day(), 28))); err != nil {
		return err
	}
	var d *daemon
	for range 2 { // the first start makes the ledger
		if d != nil {
			if err := d.end(); err != nil {
				return err
			}
		}
		if d, err = startDaemon(binary, dir); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, d.end()) }()
	time.Sleep(settleFor)
	before, err := d.cpu()
	if err != nil {
		return err
	}
	time.Sleep(idleFor)
	after, err := d.cpu()
	if err != nil {
		return err
	}
	rss, err := d.memory("VmRSS")
	if err != nil {
		return err
	}
	fmt.Printf("| %d | %d | %.3f %% | %.0f |\n", n, d.ready.Milliseconds(), 100*(after-before).Seconds()/idleFor.Seconds(), float64(rss)/1024)
	return nil
}

// benchService measures the scheduler service.
func benchService(binary string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	fmt.Print("\n## workflows of one /bin/true job due in the same second, recorded durably\n\n")
	fmt.Println("| workflows | max_running | start lag ms, p50 | p99 | max | last one ended after ms | CPU ms a run | peak memory MiB |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, c := range []struct{ n, running int }{{100, 8}, {100, 100}, {1000, 8}, {1000, 100}, {1000, 1000}} {
		if err := burst(binary, c.n, c.running); err != nil {
			return err
		}
	}
	fmt.Printf("\n## an idle service, watched for %s\n\n", idleFor)
	fmt.Println("| workflows | ready after ms | CPU of one core | memory MiB |")
	fmt.Println("|---|---|---|---|")
	for _, n := range []int{1, 1000, 10_000} {
		if err := idle(binary, n); err != nil {
			return err
		}
	}
	return nil
}
