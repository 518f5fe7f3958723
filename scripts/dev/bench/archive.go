package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// archives measures the kind archive against tar.
type archives struct {
	binary string
	// rounds is how often each contestant runs, megabytes the size of the tree.
	rounds, megabytes int
	// dir is where the tree and the archives lie; empty for a temporary one.
	dir string
}

// register declares the flags of the part.
func (a *archives) register() {
	flag.IntVar(&a.rounds, "archive-rounds", 5, "how often each way of an archive runs")
	flag.IntVar(&a.megabytes, "archive-mb", 1000, "size of the tree that is archived")
	flag.StringVar(&a.dir, "archive-dir", "", "directory for the tree and the archives, such as one on a RAM file system")
}

const archiveConfig = `project: bench
ballast: off
stores:
  disk: {kind: local, path: store}
workflows:
  plain:
    jobs: {files: {kind: archive, with: {paths: [data], store: disk, verify: L0, keep: {last: 1}}}}
  proven:
    jobs: {files: {kind: archive, with: {paths: [data], store: disk, verify: L2, keep: {last: 1}}}}
`

func benchArchive(a archives) (err error) {
	binary, err := filepath.Abs(a.binary)
	if err != nil {
		return err
	}
	root, err := os.MkdirTemp(a.dir, "upkeep-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := os.WriteFile(filepath.Join(root, "upkeep.yaml"), []byte(archiveConfig), 0o600); err != nil {
		return err
	}
	files, err := mixedTree(filepath.Join(root, "data"), a.megabytes)
	if err != nil {
		return err
	}
	shell := func(name, command string) *contestant {
		return &contestant{name: name, argv: []string{"/bin/sh", "-c", command}}
	}
	run := func(name, workflow string) *contestant {
		return &contestant{name: name, argv: []string{binary, "run", workflow}}
	}
	contestants := []*contestant{
		shell("floor: `tar -cf - \\| cat`, to nothing", "tar -cf - data | cat >/dev/null"),
		shell("`tar -czf`", "tar -czf gzip.tar.gz data"),
		shell("`tar -I 'zstd -T0' -cf`", "tar -I 'zstd -T0' -cf zstd.tar.zst data"),
		shell("`tar -I 'zstd -1 -T0' -cf`", "tar -I 'zstd -1 -T0' -cf fast.tar.zst data"),
		shell("`tar -I 'zstd -T0' -cf`, then `tar -d`", "tar -I 'zstd -T0' -cf compared.tar.zst data && tar -I zstd -df compared.tar.zst"),
		run("archive, L0: every file hashed, stored durably", "plain"),
		run("archive, L2: and read back, unpacked, compared with the hashes", "proven"),
	}
	// Reading the tree once makes the first round like the others.
	if err := contestants[0].run(root, false); err != nil {
		return err
	}
	for round := range a.rounds {
		// Each begins in turn, so that none always follows the same one.
		for i := range contestants {
			if err := contestants[(i+round)%len(contestants)].run(root, true); err != nil {
				return err
			}
		}
	}
	fmt.Printf("## an archive of %d files, %d MB, a quarter incompressible; %d rounds, %d cores, %s\n\n", files, a.megabytes, a.rounds, runtime.NumCPU(), runtime.Version())
	fmt.Println("| way | wall ms, median [min-max] | faster than `tar -czf` | than `zstd -T0` | CPU ms | peak memory MiB |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, c := range contestants {
		fmt.Printf("| %s | %s | %.1f | %.2f | %s | %.0f |\n", c.name, spread(c.wall), ratio(contestants[1], c), ratio(contestants[2], c), spread(c.cpu), float64(slices.Max(c.memory))/1024)
	}
	return sameContent(root)
}

// ratio is the median, over the rounds, of how much faster c was than other in
// the same round.
func ratio(other, c *contestant) float64 {
	ratios := make([]float64, 0, len(c.wall))
	for i := range c.wall {
		ratios = append(ratios, other.wall[i].Seconds()/c.wall[i].Seconds())
	}
	return median(ratios)
}

// sameContent unpacks the last archive with zstd and GNU tar and compares it
// with the tree, and prints the sizes of all.
func sameContent(root string) error {
	const script = `set -e
part=$(find store -path '*proven*' -name 'archive.tar.zst')
mkdir unpacked
zstd -dc "$part" | tar -x -C unpacked
diff -r data unpacked/data
ls -L -s --block-size=1M gzip.tar.gz zstd.tar.zst fast.tar.zst "$part"`
	cmd := exec.Command("/bin/sh", "-c", script) //nolint:noctx // ends by itself
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("compare what GNU tar makes of the archive: %w\n%s", err, out)
	}
	fmt.Printf("\nUnpacked by zstd and GNU tar the last archive equals the tree. Sizes in MiB:\n\n```\n%s```\n", out)
	return nil
}

// mixedTree makes so many megabytes of files: about 50 small ones of text for
// each, and files of 4 MiB, some of which do not compress: a quarter of all.
func mixedTree(dir string, megabytes int) (files int, err error) {
	r := rand.New(rand.NewPCG(1, 2))
	words := strings.Fields("the model predicted a score of for user at time with latency error retry cache miss hit batch feature drift value")
	text := func(size int) []byte {
		var s strings.Builder
		for s.Len() < size {
			fmt.Fprintf(&s, "%d,%s %s,%.6f\n", r.IntN(100000), words[r.IntN(len(words))], words[r.IntN(len(words))], r.Float64())
		}
		return []byte(s.String()[:size])
	}
	put := func(name string, body []byte) error {
		files++
		path := filepath.Join(dir, name)
		return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, body, 0o644)) //nolint:gosec // like any tree
	}
	total, wanted := 0, megabytes*1_000_000
	sample := text(4 << 20)
	for i := range megabytes * 50 {
		at, size := r.IntN(len(sample)-20000), 1000+r.IntN(15000)
		total += size
		if err := put(fmt.Sprintf("small/%03d/%05d.csv", i%100, i), sample[at:at+size]); err != nil {
			return 0, err
		}
	}
	noise := make([]byte, 4<<20)
	noisy := 0
	for i := 0; total < wanted; i++ {
		body := noise
		if noisy < wanted/4 && i%2 == 0 {
			noisy += len(noise)
			for k := 0; k < len(noise); k += 8 {
				v := r.Uint64()
				for b := range 8 {
					noise[k+b] = byte(v >> (8 * b))
				}
			}
		} else {
			body = text(len(noise))
		}
		total += len(body)
		if err := put(fmt.Sprintf("large/%04d.bin", i), body); err != nil {
			return 0, err
		}
	}
	return files, nil
}
