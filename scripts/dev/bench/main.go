// Command bench measures what upkeep costs on this machine, against plain
// tools in the same run: start-up, a recorded run of /bin/true, memory, the
// service, backups of PostgreSQL, the pages, several nodes. All contestants of a round take turns, so that
// other work on the machine hits them alike. It prints Markdown.
//
//	go run ./scripts/dev/bench [-upkeep bin/upkeep] [-rounds 40] [-only processes|service|archive|backup|prune|web|cluster]
//
// The parts archive, backup, prune, web and cluster are measured only when they
// are asked for: they take minutes. The parts backup and cluster start the
// servers of the tests unless they run already.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// config is the smallest useful configuration: one workflow of one job.
const config = `project: bench
workflows:
  "true":
    jobs:
      nothing: {kind: script, with: {run: [/bin/true]}}
`

func main() {
	upkeep := flag.String("upkeep", "bin/upkeep", "the binary to measure")
	rounds := flag.Int("rounds", 40, "how often each contestant runs")
	only := flag.String("only", "", "only this part: processes, service, archive, backup, prune, web or cluster")
	b := backups{}
	flag.IntVar(&b.rounds, "backup-rounds", 3, "how often each way of a backup runs")
	flag.IntVar(&b.megabytes, "database-mb", 1600, "size of the database that is saved")
	flag.StringVar(&b.database, "database", "", "save this database of the server instead of a new one")
	flag.IntVar(&b.tables, "tables", 10_000, "tables of the database that has many; 0 leaves it out")
	flag.StringVar(&b.match, "match", "", "only the backups whose names hold this, beside floor and pipe")
	key := flag.String("upload", "", "store what is read from the standard input under this key, as the end of a pipe")
	a := archives{}
	a.register()
	p := prunes{}
	p.register()
	w := pages{}
	w.register()
	c := clusters{}
	c.register()
	flag.Parse()
	a.binary, b.binary, p.binary, w.binary, c.binary = *upkeep, *upkeep, *upkeep, *upkeep, *upkeep
	err := present(*upkeep, "/bin/true")
	switch {
	case *key != "":
		err = upload(os.Stdin, *key)
	case err != nil:
	case (*only == "backup" || *only == "cluster") && os.Getenv("UPKEEP_TEST_POSTGRES_URL") == "":
		err = withServers()
	case *only == "backup":
		err = benchBackup(b)
	case *only == "archive":
		err = benchArchive(a)
	case *only == "prune":
		err = benchPrune(p)
	case *only == "cluster":
		err = benchCluster(c)
	case *only == "web":
		err = benchPages(w)
	default:
		if *only != "service" {
			err = bench(*upkeep, *rounds)
		}
		if err == nil && *only != "processes" {
			err = benchService(*upkeep)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// present tells before anything is measured that a program is missing: some parts
// first work for minutes.
func present(programs ...string) error {
	for _, path := range programs {
		if _, err := exec.LookPath(path); err != nil {
			return fmt.Errorf("%w\nhint: make build makes bin/upkeep; -upkeep names another one", err)
		}
	}
	return nil
}

// withServers runs this program again beside the servers of the tests.
func withServers() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(context.Background(), "scripts/dev/servers.sh", append([]string{"run", "--", self}, os.Args[1:]...)...) //nolint:gosec // itself, with its own arguments
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// contestant is one command line.
type contestant struct {
	name   string
	argv   []string
	wall   []time.Duration
	cpu    []time.Duration
	memory []int64
}

func bench(binary string, rounds int) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "upkeep.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	contestants := []*contestant{
		{name: "floor: fork and exec of /bin/true", argv: []string{"/bin/true"}},
		{name: "sh -c /bin/true, nothing recorded", argv: []string{"/bin/sh", "-c", "/bin/true; exit 0"}},
		{name: "upkeep version", argv: []string{binary, "version"}},
		{name: "upkeep list", argv: []string{binary, "-c", file, "list"}},
		{name: "upkeep run of one /bin/true job, recorded durably", argv: []string{binary, "-c", file, "run", "true"}},
		{name: "upkeep history, last 20", argv: []string{binary, "-c", file, "history"}},
	}
	for round := range rounds + 1 {
		for _, c := range contestants {
			// The first round fills caches and makes the ledger.
			if err := c.run(dir, round > 0); err != nil {
				return err
			}
		}
	}
	fmt.Printf("## whole processes, %d rounds, %d cores, %s\n\n", rounds, runtime.NumCPU(), runtime.Version())
	fmt.Println("| command | wall ms, median [min-max] | against the floor | CPU ms | peak memory MiB |")
	fmt.Println("|---|---|---|---|---|")
	floor := median(contestants[0].wall)
	for _, c := range contestants {
		fmt.Printf("| %s | %s | %.1f | %s | %.0f |\n", c.name, spread(c.wall), float64(median(c.wall))/float64(floor), spread(c.cpu), float64(slices.Max(c.memory))/1024)
	}
	return nil
}

func (c *contestant) run(dir string, count bool) error {
	cmd := exec.CommandContext(context.Background(), c.argv[0], c.argv[1:]...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	start := time.Now()
	err := cmd.Run()
	wall := time.Since(start)
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(c.argv, " "), err, said.String())
	}
	if !count {
		return nil
	}
	c.wall = append(c.wall, wall)
	c.cpu = append(c.cpu, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return errors.New("the system does not tell how much memory a process took")
	}
	c.memory = append(c.memory, usage.Maxrss)
	return nil
}

func median[T cmp.Ordered](values []T) T {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

func spread(values []time.Duration) string {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return fmt.Sprintf("%.1f [%.1f-%.1f]", ms(median(values)), ms(slices.Min(values)), ms(slices.Max(values)))
}
