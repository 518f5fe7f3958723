package prune_test

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/prune"
)

// little is a machine on which nothing can be remembered or sorted.
func little() prune.World { return prune.World{Remember: 1, Rank: 1} }

// leaf is one file of a made-up tree.
type leaf struct {
	folder, name string
	age          int // days
	blocks       int
}

// expected is what a rule leaves, decided in the plainest way.
func expected(leaves []leaf, o *prune.Options) []string {
	byAge := slices.SortedFunc(slices.Values(leaves), func(a, b leaf) int { return b.age - a.age })
	kept := map[string]int{}
	var loose []leaf
	var left []string
	room := 0
	for _, f := range slices.Backward(byAge) {
		room += f.blocks * 4096
		if kept[f.folder]++; kept[f.folder] <= o.KeepNewest {
			left = append(left, path.Join(f.folder, f.name))
		} else {
			loose = append(loose, f)
		}
	}
	for _, f := range slices.Backward(loose) {
		over := o.MaxTotal > 0 && room > int(o.MaxTotal)
		if over || o.OlderThan > 0 && time.Duration(f.age)*day >= o.OlderThan.Std() {
			room -= f.blocks * 4096
			continue
		}
		left = append(left, path.Join(f.folder, f.name))
	}
	slices.Sort(left)
	return left
}

// TestRun_LeavesWhatItShould compares trees with what a plain decision leaves,
// with memory for everything and for nothing.
func TestRun_LeavesWhatItShould(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	trees := 0
	rapid.Check(t, func(rt *rapid.T) {
		ages := rapid.Permutation([]int{1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233}).Draw(rt, "ages") // all different: ties have no order
		leaves := make([]leaf, rapid.IntRange(1, len(ages)).Draw(rt, "files"))
		for i := range leaves {
			leaves[i] = leaf{
				folder: rapid.SampledFrom([]string{"", "a", "a/b", "c"}).Draw(rt, "folder"),
				name:   fmt.Sprintf("%02d.log", i), age: ages[i], blocks: rapid.IntRange(1, 3).Draw(rt, "blocks"),
			}
		}
		var o prune.Options
		o.KeepNewest = rapid.IntRange(0, 3).Draw(rt, "keep")
		o.OlderThan = unit.Duration(time.Duration(rapid.SampledFrom([]int{0, 4, 30}).Draw(rt, "older")) * day)
		o.MaxTotal = unit.Size(rapid.SampledFrom([]int{0, 1, 4096, 20000, 60000}).Draw(rt, "total"))
		if o.OlderThan == 0 && o.MaxTotal == 0 {
			o.MaxTotal = 1
		}
		want := expected(leaves, &o)
		for _, world := range []prune.World{{Proc: base}, {Proc: base, Remember: 1, Rank: 1}} { // an empty /proc: leases decide
			trees++
			root := filepath.Join(base, fmt.Sprint(trees))
			for _, f := range leaves {
				file := filepath.Join(root, f.folder, f.name)
				put(t, file, 0)
				if err := os.WriteFile(file, make([]byte, f.blocks*4096), 0o600); err != nil {
					rt.Fatal(err)
				}
				setAge(t, file, time.Duration(f.age)*day+time.Hour)
			}
			tr := trial{world: world, adjust: func(p *prune.Options) {
				p.KeepNewest, p.OlderThan, p.MaxTotal, p.MaxShare = o.KeepNewest, o.OlderThan, o.MaxTotal, 100
			}}
			dry := tr
			dry.hooks = jobs.Hooks{DryRun: true}
			shown, _, err := dry.run(t, root)
			if err != nil {
				rt.Fatal(err)
			}
			r, out, err := tr.run(t, root)
			if err != nil {
				rt.Fatalf("%v\n%s", err, out)
			}
			var left []string
			for _, name := range names(t, root) {
				if strings.HasSuffix(name, ".log") {
					left = append(left, name)
				}
			}
			if diff := cmp.Diff(want, left); diff != "" {
				rt.Fatalf("world %+v left (-want +got):\n%s", world, diff)
			}
			if gone := len(leaves) - len(left); int(r.Values["deleted"]) != gone || !strings.HasPrefix(shown.Summary, "would delete "+fmt.Sprint(gone)+" file") {
				rt.Fatalf("%d went; result %+v, shown %+v", gone, r, shown)
			}
			if err := os.RemoveAll(root); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

// TestRun_ManyOfOneInstant sorts files of the same age without memory for it.
func TestRun_ManyOfOneInstant(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	at := time.Now().Add(-90 * day)
	for i := range 100 {
		file := filepath.Join(root, fmt.Sprintf("%02d.log", i))
		put(t, file, 0)
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	block := int(usedBy(t, filepath.Join(root, "00.log")))
	keep := func(n int) func(*prune.Options) {
		return func(o *prune.Options) { o.OlderThan, o.MaxTotal, o.MaxShare = 0, unit.Size(n*block), 100 }
	}
	// The same files go whether there is memory or not.
	dry := trial{adjust: keep(60), hooks: jobs.Hooks{DryRun: true}}
	much, _, err := dry.run(t, root)
	if err != nil {
		t.Fatal(err)
	}
	dry.world = little()
	dry.hooks.Plan = ""
	scant, _, err := dry.run(t, root)
	if err != nil {
		t.Fatal(err)
	}
	_, one, _ := strings.Cut(much.Outputs[jobs.OutputPlan], "-")
	_, other, _ := strings.Cut(scant.Outputs[jobs.OutputPlan], "-")
	if one == "" || one != other {
		t.Errorf("plans %q and %q, want the same", one, other)
	}
	r, out, err := trial{adjust: keep(60), world: little()}.run(t, root)
	if err != nil || r.Values["deleted"] != 40 {
		t.Errorf("result %+v, %v\n%s", r, err, out)
	}
}

// TestRun_SecondWalkTakesNothingNew puts old files into a tree whose files are
// not remembered, while they are removed.
func TestRun_SecondWalkTakesNothingNew(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	root := filepath.Join(base, "logs")
	for i := range 200 {
		put(t, filepath.Join(root, fmt.Sprint(i%20), fmt.Sprintf("%03d.log", i)), 90*day)
	}
	put(t, filepath.Join(base, "moved.log"), 90*day)
	put(t, filepath.Join(base, "folder", "moved-along.log"), 90*day)
	fired := 0
	once := func(string) {
		if fired++; fired > 1 {
			return
		}
		for i := range 20 {
			put(t, filepath.Join(root, fmt.Sprint(i), "new.log"), 90*day)
		}
		if err := os.Rename(filepath.Join(base, "moved.log"), filepath.Join(root, "19", "moved.log")); err != nil {
			t.Error(err)
		}
	}
	r, _, err := trial{world: little(), adjust: func(o *prune.Options) { o.MaxShare = 100 }, hooks: jobs.Hooks{Effect: serial(once)}}.run(t, root)
	if err != nil || fired < 2 {
		t.Fatalf("%v, %d effects", err, fired)
	}
	if r.Values["deleted"] != 200 || !exists(filepath.Join(root, "19", "moved.log")) {
		t.Errorf("deleted %v; left %v", r.Values["deleted"], names(t, root))
	}
	for i := range 20 {
		if !exists(filepath.Join(root, fmt.Sprint(i), "new.log")) {
			t.Errorf("%d/new.log was deleted, which no survey saw", i)
		}
	}
}
