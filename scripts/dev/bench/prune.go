package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// prunes measures the deletion of every other file of a tree of logs.
type prunes struct {
	binary  string
	rounds  int
	folders int
	each    int
	million int
}

func (p *prunes) register() {
	flag.IntVar(&p.rounds, "prune-rounds", 5, "how often each way of pruning runs")
	flag.IntVar(&p.folders, "prune-folders", 200, "folders of the pruned tree")
	flag.IntVar(&p.each, "prune-files", 1000, "files in each folder of the pruned tree")
	flag.IntVar(&p.million, "prune-million", 1_000_000, "files of the one large folder; 0 leaves it out")
}

// pruneConfig is a rule with all its rails, for a root.
const pruneConfig = `project: bench
workflows:
  prune:
    jobs:
      logs: {kind: prune, with: {root: %q, match: ["*.log"], older_than: 7d, first_run: apply, max_files: 10000000, max_share: 60%%}}
`

// benchPrune runs on the file system of the temporary files and, as root, on a
// RAM file system of its own.
func benchPrune(p prunes) (err error) {
	if p.binary, err = filepath.Abs(p.binary); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var places []string
	if os.Geteuid() == 0 {
		ram := filepath.Join(dir, "ram")
		if err := errors.Join(os.Mkdir(ram, 0o700), unix.Mount("none", ram, "tmpfs", 0, "size=4g")); err != nil {
			return fmt.Errorf("mount a RAM file system: %w", err)
		}
		defer func() { err = errors.Join(err, unix.Unmount(ram, 0)) }()
		places = append(places, ram)
	}
	places = append(places, filepath.Join(dir, "disk"))
	fmt.Printf("## pruning, %d rounds, %d cores, %s\n\n", p.rounds, runtime.NumCPU(), runtime.Version())
	fmt.Println("| tree | way | wall ms, median [min-max] | CPU ms | peak memory MiB | times faster |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, place := range places {
		if err := p.compare(place, p.folders, p.each, p.rounds); err != nil {
			return err
		}
		if p.million > 0 {
			if err := p.compare(place, 1, p.million, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare lets both ways take turns on trees that are made anew.
func (p *prunes) compare(place string, folders, each, rounds int) error {
	root := filepath.Join(place, "logs", "tree")
	file := filepath.Join(place, "upkeep.yaml")
	if err := errors.Join(os.MkdirAll(place, 0o700), os.WriteFile(file, fmt.Appendf(nil, pruneConfig, root), 0o600)); err != nil {
		return err
	}
	ways := []*contestant{
		{name: "find -name '*.log' -mtime +7 -delete", argv: []string{"find", root, "-name", "*.log", "-mtime", "+7", "-delete"}},
		{name: "upkeep run, all rails, recorded", argv: []string{p.binary, "-c", file, "run", "prune", "-q"}},
	}
	for range rounds {
		for _, way := range ways {
			if err := plant(root, folders, each); err != nil {
				return err
			}
			unix.Sync() // each pays for its own writes
			if err := way.run(place, true); err != nil {
				return err
			}
			if err := harvested(root, folders*each/2); err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			if err := os.RemoveAll(root); err != nil {
				return err
			}
		}
		slices.Reverse(ways) // nobody is always the first
	}
	slices.SortFunc(ways, func(a, b *contestant) int { return cmp.Compare(a.name, b.name) })
	kind, err := fileSystem(place)
	if err != nil {
		return err
	}
	floor := median(ways[0].wall)
	for _, way := range ways {
		fmt.Printf("| %d files in %d folders, %s | %s | %s | %s | %.0f | %.2f |\n", folders*each, folders, kind, way.name, spread(way.wall), spread(way.cpu),
			float64(slices.Max(way.memory))/1024, float64(floor)/float64(median(way.wall)))
	}
	return nil
}

// plant makes folders of empty logs, every other one old enough to go.
func plant(root string, folders, each int) error {
	old := time.Now().Add(-30 * 24 * time.Hour).UnixNano()
	at := unix.NsecToTimespec(old)
	for i := range folders {
		dir := filepath.Join(root, fmt.Sprintf("app-%03d", i))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for j := range each {
			fd, err := unix.Open(filepath.Join(dir, fmt.Sprintf("service-%06d.log", j)), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				return err
			}
			if j%2 == 0 {
				err = unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), []unix.Timespec{at, at}, 0)
			}
			if err := errors.Join(err, unix.Close(fd)); err != nil {
				return err
			}
		}
	}
	return nil
}

// harvested makes sure that so many files are left. It reads in small pieces,
// because the memory of this process counts as that of the next it starts.
func harvested(root string, want int) error {
	got := 0
	dirs, err := filepath.Glob(filepath.Join(root, "*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		n, err := entriesOf(dir)
		if err != nil {
			return err
		}
		got += n
	}
	if got != want {
		return fmt.Errorf("%d files are left, want %d", got, want)
	}
	return nil
}

func entriesOf(dir string) (n int, err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	for {
		names, err := folder.Readdirnames(512)
		if n += len(names); errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// fileSystem names the type of a file system.
func fileSystem(path string) (string, error) {
	var where unix.Statfs_t
	if err := unix.Statfs(path, &where); err != nil {
		return "", err
	}
	switch int64(where.Type) { //nolint:unconvert // its type differs between architectures
	case unix.EXT4_SUPER_MAGIC:
		return "ext4", nil
	case unix.TMPFS_MAGIC:
		return "RAM", nil
	case unix.XFS_SUPER_MAGIC:
		return "xfs", nil
	case unix.BTRFS_SUPER_MAGIC:
		return "btrfs", nil
	}
	return fmt.Sprintf("file system %#x", where.Type), nil
}
