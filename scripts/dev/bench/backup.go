package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// backups are the parameters of the benchmark of pgbackup.
type backups struct {
	binary    string
	client    string // the folder of pg_dump
	servers   servers
	rounds    int
	megabytes int
	tables    int
	// database, unless empty, is the name of one that is there already and is
	// measured instead.
	database string
	// match, unless empty, leaves out the ways whose names do not contain it,
	// except floor and pipe.
	match string
}

// way is one way to save a database, or the floor, which saves nothing.
type way struct {
	name string
	// script is for a shell, or else options is the job's YAML.
	script  string
	options string
	found   []saved
}

// saved is what one round of a way took.
type saved struct {
	wall, cpu, served time.Duration
	verifying         time.Duration
	peakKiB           int64
	bytes             int64
}

// benchBackup compares backups to an S3 server with a plain pipe to the same
// server, and with a dump that goes nowhere.
func benchBackup(b backups) (err error) {
	ctx := context.Background()
	if b.binary, err = filepath.Abs(b.binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if b.client, err = clientDir(); err != nil {
		return err
	}
	if err := makeBucket(ctx); err != nil {
		return err
	}
	url := os.Getenv("UPKEEP_TEST_POSTGRES_URL")
	var large *database
	if b.database != "" {
		large, err = openDatabase(ctx, url, b.database)
	} else if large, err = makeDatabase(ctx, url, b.megabytes); err == nil {
		defer func() { err = errors.Join(err, large.drop(ctx)) }()
	}
	if err != nil {
		return err
	}
	if b.servers, err = findServers(ctx, large.config); err != nil {
		return err
	}
	fmt.Printf("\n## pgbackup of a database of %d MB to an S3 server, %d rounds in turns\n\n", large.bytes/1e6, b.rounds)
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	if err := b.compare(dir, large, ways(key.Recipient().String())); err != nil || b.tables == 0 {
		return err
	}
	small, err := makeTables(ctx, url, b.tables)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, small.drop(ctx)) }()
	fmt.Printf("\n## pgbackup of %d small tables (%d MB)\n\n", b.tables, small.bytes/1e6)
	return b.compare(dir, small, waysOfTables())
}

// pipe is what a shell would do.
const pipe = `$BIN/pg_dump -Fc -Z0 | zstd -q -3 -T2 | `

func ways(recipient string) []*way {
	all := []*way{
		{name: "floor: pg_dump to nothing", script: `$BIN/pg_dump -Fc -Z0 > /dev/null`},
		{name: "pipe: pg_dump, zstd -3 -T2, uploader of the SDK", script: pipe + `$SELF -upload pipe`},
	}
	if _, err := exec.LookPath("aws"); err == nil {
		all = append(all, &way{name: "pipe: pg_dump, zstd -3 -T2, aws s3 cp", script: pipe + `aws s3 cp --quiet --endpoint-url "$UPKEEP_TEST_S3_ENDPOINT" - s3://` + bucket + `/aws`})
	}
	return append(all,
		&way{name: "pgbackup", options: "verify: L0"},
		&way{name: "pgbackup, rows not counted", options: "verify: L0, count_rows: 0s"},
		&way{name: "pgbackup, encrypted", options: "verify: L0, encrypt_to: " + recipient},
		&way{name: "pgbackup, level 3", options: "verify: L0, level: 3"},
		&way{name: "floor: pg_dump -j2 to a folder", script: `$BIN/pg_dump -Fd -j2 -Z0 -f "$DIR/out" && rm -rf "$DIR/out"`},
		&way{name: "pgbackup, jobs 2", options: "verify: L0, jobs: 2"},
		&way{name: "pgbackup, jobs 2, rows not counted", options: "verify: L0, jobs: 2, count_rows: 0s"},
		&way{name: "pgbackup, verified L2", options: "verify: L2"},
	)
}

func waysOfTables() []*way {
	return []*way{
		{name: "floor: pg_dump to nothing", script: `$BIN/pg_dump -Fc -Z0 > /dev/null`},
		{name: "pipe: pg_dump, zstd -3 -T2, uploader of the SDK", script: pipe + `$SELF -upload pipe`},
		{name: "pgbackup", options: "verify: L0"},
		{name: "pgbackup, rows not counted", options: "verify: L0, count_rows: 0s"},
		{name: "floor: pg_dump -j2 to a folder", script: `$BIN/pg_dump -Fd -j2 -Z0 -f "$DIR/out" && rm -rf "$DIR/out"`},
		{name: "pgbackup, jobs 2", options: "verify: L0, jobs: 2"},
		{name: "pgbackup, verified L2", options: "verify: L2"},
	}
}

// compare measures the ways in turns and prints a table.
func (b *backups) compare(dir string, d *database, all []*way) error {
	if b.match != "" {
		all = append(all[:2:2], slices.DeleteFunc(slices.Clone(all[2:]), func(w *way) bool { return !strings.Contains(w.name, b.match) })...)
	}
	for round := range b.rounds {
		for _, w := range all {
			s, err := b.save(dir, d, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			w.found = append(w.found, s)
			fmt.Fprintf(os.Stderr, "bench: round %d, %s: %.2f s, then verify %.2f s, processors %.2f s, of the servers %.2f s, %d MB\n",
				round+1, w.name, (s.wall - s.verifying).Seconds(), s.verifying.Seconds(), s.cpu.Seconds(), s.served.Seconds(), s.peakKiB*1024/1e6)
		}
	}
	fmt.Println("| way | seconds, median [min-max] | MB of the database a second | speed against the pipe | against the floor | then verify seconds | CPU s of the clients | CPU s of the servers | peak memory MB of upkeep alone | stored MB |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, w := range all {
		wall := middle(w.found, func(s saved) time.Duration { return s.wall - s.verifying })
		peak := "-"
		if w.options != "" {
			peak = fmt.Sprintf("%.0f", float64(slices.MaxFunc(w.found, func(x, y saved) int { return int(x.peakKiB - y.peakKiB) }).peakKiB)*1024/1e6)
		}
		fmt.Printf("| %s | %s | %.0f | %.2f | %.2f | %.1f | %.1f | %.1f | %s | %.0f |\n", w.name, w.spread(), float64(d.bytes)/1e6/wall.Seconds(),
			against(all[1], w), against(all[0], w), middle(w.found, func(s saved) time.Duration { return s.verifying }).Seconds(),
			middle(w.found, func(s saved) time.Duration { return s.cpu }).Seconds(),
			middle(w.found, func(s saved) time.Duration { return s.served }).Seconds(), peak, float64(w.found[0].bytes)/1e6)
	}
	return nil
}

// against is how many times as fast w was as other: the median over the rounds,
// in each of which both met the same machine.
func against(other, w *way) float64 {
	var ratios []float64
	for i, s := range w.found {
		ratios = append(ratios, other.found[i].wall.Seconds()/(s.wall-s.verifying).Seconds())
	}
	return median(ratios)
}

func middle[T interface{ ~int64 | ~float64 }](all []saved, of func(saved) T) T {
	var values []T
	for _, s := range all {
		values = append(values, of(s))
	}
	return median(values)
}

func (w *way) spread() string {
	var walls []float64
	for _, s := range w.found {
		walls = append(walls, (s.wall - s.verifying).Seconds())
	}
	return fmt.Sprintf("%.2f [%.2f-%.2f]", median(walls), slices.Min(walls), slices.Max(walls))
}

// save runs one way once.
func (b *backups) save(dir string, d *database, w *way) (saved, error) {
	self, err := os.Executable()
	if err != nil {
		return saved{}, err
	}
	cmd := exec.CommandContext(context.Background(), "bash", "-c", "set -o pipefail; "+w.script)
	if w.options != "" {
		if err := b.configure(dir, d, w); err != nil {
			return saved{}, err
		}
		cmd = exec.CommandContext(context.Background(), b.binary, "-c", filepath.Join(dir, "upkeep.yaml"), "run", "backup", "-q")
	}
	cmd.Env = append(os.Environ(), append(d.environ(), "BIN="+b.client, "SELF="+self, "DIR="+dir, "AWS_REGION=us-east-1",
		"AWS_ACCESS_KEY_ID="+os.Getenv("UPKEEP_TEST_S3_ACCESS_KEY"), "AWS_SECRET_ACCESS_KEY="+os.Getenv("UPKEEP_TEST_S3_SECRET_KEY"))...)
	var said bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &said, &said
	before, err := b.servers.used()
	if err != nil {
		return saved{}, err
	}
	s, err := watch(cmd)
	if err != nil {
		return saved{}, fmt.Errorf("%w\n%s", err, said.String())
	}
	// A process of the database ends a moment after its client has gone.
	time.Sleep(100 * time.Millisecond)
	after, err := b.servers.used()
	if err != nil {
		return saved{}, err
	}
	s.served = after - before
	if w.options != "" {
		if s.verifying, err = verifying(dir); err != nil {
			return saved{}, err
		}
	}
	s.bytes, err = clearBucket()
	return s, err
}

// watch runs a command and looks at the most memory that its process had.
func watch(cmd *exec.Cmd) (saved, error) {
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return saved{}, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var s saved
	for {
		select {
		case err := <-ended:
			s.wall = time.Since(began)
			s.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			return s, err
		case <-ticker.C:
			// It may have ended since.
			if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid)); err == nil {
				_, rest, _ := strings.Cut(string(text), "VmHWM:")
				kib := int64(0)
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					s.peakKiB = max(s.peakKiB, kib)
				}
			}
		}
	}
}

// clientDir returns the folder of the newest client that is installed; what
// Debian puts into PATH is a script that looks for it.
func clientDir() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err == nil && len(found) > 0 {
		slices.SortFunc(found, func(x, y string) int { return majorOf(x) - majorOf(y) })
		return filepath.Dir(found[len(found)-1]), nil
	}
	path, lookErr := exec.LookPath("pg_dump")
	return filepath.Dir(path), errors.Join(err, lookErr)
}

// majorOf returns the version in the path of a client, or 0.
func majorOf(path string) int {
	major, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	if err != nil {
		return 0
	}
	return major
}

// configure writes the configuration of one backup.
func (b *backups) configure(dir string, d *database, w *way) error {
	text := fmt.Sprintf(`project: bench
stores:
  s3: {kind: s3, profile: aws, path_style: true, endpoint: "${env:UPKEEP_TEST_S3_ENDPOINT}", bucket: %s, region: us-east-1,
    access_key: "${env:UPKEEP_TEST_S3_ACCESS_KEY}", secret_key: "${env:UPKEEP_TEST_S3_SECRET_KEY}"}
databases:
  main: {kind: postgres, url: "postgres://${env:PGUSER}:${env:PGPASSWORD}@127.0.0.1:%d/%s?sslmode=disable"}
workflows:
  backup:
    jobs:
      save: {kind: pgbackup, with: {database: main, store: s3, client: %s, max_slowdown: 0, max_drop: 100%%, %s}}
`, bucket, d.config.Port, d.name, b.client, w.options)
	return os.WriteFile(filepath.Join(dir, "upkeep.yaml"), []byte(text), 0o600) //nolint:gosec // in a folder of our own
}

// verifying is how long the last backup took to prove itself.
func verifying(dir string) (_ time.Duration, err error) {
	r, err := ledger.OpenReader(context.Background(), ledger.Options{DSN: secret.New("sqlite:" + filepath.Join(dir, "var", "upkeep.db"))})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	runs, err := r.Runs(context.Background(), runner.Filter{Limit: 1})
	if err != nil || len(runs) != 1 {
		return 0, errors.Join(fmt.Errorf("%d runs on record", len(runs)), err)
	}
	attempts, err := r.Attempts(context.Background(), runs[0].ID)
	if err != nil {
		return 0, err
	}
	seconds := attempts[0].Result.Values["verify_seconds"]
	return time.Duration(seconds * float64(time.Second)), nil
}
