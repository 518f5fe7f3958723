package forecast_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/runner/forecast"
	"github.com/ghosteam/upkeep/runner/schedule"
)

// crowd is a month of many workflows of all forms.
func crowd(t testing.TB, n int) forecast.Input {
	t.Helper()
	berlin := location(t, "Europe/Berlin")
	in := forecast.Input{Now: monday, Until: monday.AddDate(0, 0, 30), MaxRunning: 8, Usual: map[string]runner.Usual{}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		rule := schedule.Rule{Zone: berlin, DST: []schedule.DST{schedule.DSTOnce, schedule.DSTSkip}[i%2]}
		switch i % 10 {
		case 0:
			rule.Weekly = "sun 03:30"
		case 1:
			rule.Monthly = "31 04:30"
		case 2:
			rule.Every = 5 * time.Minute
		default:
			rule.Daily = fmt.Sprintf("%02d:%02d", random.IntN(6), random.IntN(60))
		}
		w := forecast.Workflow{
			Name: fmt.Sprintf("w%05d", i), Schedule: parse(t, rule), Delay: schedule.Jitter(5*time.Minute, fmt.Sprint(i), ""),
			Locks: []string{fmt.Sprintf("lock/%d", i%100)}, Databases: []string{"main"},
		}
		in.Workflows = append(in.Workflows, w)
		in.Usual[w.Name] = usual(time.Duration(1+random.IntN(30))*time.Second, time.Minute)
	}
	return in
}

func TestOf_TenThousandWorkflowsForAMonth(t *testing.T) {
	t.Parallel()
	in := crowd(t, 10_000)
	in.MaxSteps = 50_000
	began := time.Now()
	got := forecast.Of(in)
	t.Logf("%d slots in %s", got.Total, time.Since(began))
	var want int64
	for _, w := range in.Workflows {
		want += w.Schedule.Count(in.Now, in.Until)
	}
	if got.Total != want {
		t.Errorf("Total = %d, want %d", got.Total, want)
	}
	if len(got.Slots) != forecast.DefaultMaxLines {
		t.Errorf("%d lines, want %d", len(got.Slots), forecast.DefaultMaxLines)
	}
	var listed int64
	for _, s := range got.Slots {
		listed += s.Count
	}
	if got.Listed != listed || listed >= want {
		t.Errorf("Listed = %d, the lines stand for %d of %d", got.Listed, listed, want)
	}
	count := map[forecast.Kind]int{}
	cut := false
	for _, f := range got.Findings {
		count[f.Kind]++
		cut = cut || f.Kind == forecast.KindUnknown && f.Hint == "look at fewer days"
		if len(f.Workflows) > forecast.MaxNamed {
			t.Errorf("%s names %d workflows", f.Text, len(f.Workflows))
		}
	}
	if !cut {
		t.Error("no finding says that the simulation was cut")
	}
	if count[forecast.KindMonth] != forecast.MaxOfKind || got.Unlisted[forecast.KindMonth] != 1000-forecast.MaxOfKind {
		t.Errorf("months: %d findings listed, %d not", count[forecast.KindMonth], got.Unlisted[forecast.KindMonth])
	}
	if count[forecast.KindLock] != forecast.MaxOfKind || count[forecast.KindBusy] != 1 || got.Worst != jobs.Warning {
		t.Errorf("findings %v, worst %q", count, got.Worst)
	}
}

// TestOf_SameWhateverTheOrder shuffles the input: the answer has one order.
func TestOf_SameWhateverTheOrder(t *testing.T) {
	t.Parallel()
	in := crowd(t, 100)
	want := forecast.Of(in)
	for range 3 {
		rand.Shuffle(len(in.Workflows), func(i, j int) { in.Workflows[i], in.Workflows[j] = in.Workflows[j], in.Workflows[i] })
		if diff := cmp.Diff(want, forecast.Of(in)); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	}
}

// TestOf_ListsEverySlot compares the lines with the schedules themselves, and
// the fates with rules that every simulation has to keep.
func TestOf_ListsEverySlot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		got := forecast.Of(in)
		type key struct {
			name string
			slot int64
		}
		seen := map[key]bool{}
		under := map[string]time.Time{}
		var ends []time.Time
		previous := time.Time{}
		for _, line := range got.Slots {
			if at := line.Slot.Add(line.Delay); at.Before(previous) {
				t.Fatalf("%s %s comes after %s", line.Workflow, at, previous)
			} else {
				previous = at
			}
			k := key{line.Workflow, line.Slot.Unix()}
			if seen[k] {
				t.Fatalf("%s %s is listed twice", line.Workflow, line.Slot)
			}
			seen[k] = true
			if line.Fate.Skipped() != line.Starts.IsZero() {
				t.Fatalf("%+v", line)
			}
			if line.Fate.Skipped() {
				continue
			}
			if line.Starts.Before(line.Slot.Add(line.Delay)) || line.Starts.Before(under[line.Workflow]) {
				t.Fatalf("%+v starts too early; the run before it ends at %s", line, under[line.Workflow])
			}
			if !line.Ends.IsZero() {
				under[line.Workflow] = line.Ends
				ends = append(ends, line.Starts, line.Ends)
			}
		}
		for _, w := range in.Workflows {
			for slot := range w.Schedule.Slots(in.Now, in.Until) {
				if !seen[key{w.Name, slot.Unix()}] {
					t.Fatalf("%s %s is not listed", w.Name, slot)
				}
				delete(seen, key{w.Name, slot.Unix()})
			}
		}
		if len(seen) > 0 {
			t.Fatalf("invented: %v", seen)
		}
		for i := 0; i < len(ends); i += 2 {
			running := 0
			for j := 0; j < len(ends); j += 2 {
				if !ends[j].After(ends[i]) && ends[j+1].After(ends[i]) {
					running++
				}
			}
			if running > in.MaxRunning {
				t.Fatalf("%d runs at %s, at most %d may run", running, ends[i], in.MaxRunning)
			}
		}
	})
}

func drawInput(t *rapid.T) forecast.Input {
	in := forecast.Input{
		Now: monday, Until: monday.Add(36 * time.Hour), MaxEach: 1 << 30, MaxLines: 1 << 30, MaxRunning: rapid.IntRange(1, 4).Draw(t, "most"),
		Usual: map[string]runner.Usual{},
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "workflows") {
		minutes := rapid.IntRange(20, 300).Draw(t, "every")
		s, err := schedule.Parse(schedule.Rule{Every: time.Duration(minutes) * time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		w := forecast.Workflow{
			Name: fmt.Sprint(i), Schedule: s, Delay: time.Duration(rapid.IntRange(0, 20).Draw(t, "delay")) * time.Minute,
			Overlap: rapid.SampledFrom([]runner.Overlap{runner.OverlapSkip, runner.OverlapQueue}).Draw(t, "overlap"),
			Locks:   []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "lock")},
		}
		in.Workflows = append(in.Workflows, w)
		in.Usual[w.Name] = usual(time.Duration(rapid.IntRange(0, 90).Draw(t, "usual"))*time.Minute, 0)
		if rapid.IntRange(0, 5).Draw(t, "paused") == 3 {
			in.Pauses = append(in.Pauses, runner.Pause{Workflow: w.Name, By: "anna", Why: "x", Since: monday, Until: monday.Add(9 * time.Hour)})
		}
	}
	return in
}

// TestOf_LocksAgreeWithAllPairs checks the short memory of shared things: it
// finds a meeting exactly when some pair of runs meets.
func TestOf_LocksAgreeWithAllPairs(t *testing.T) {
	t.Parallel()
	found, none := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		in.MaxRunning = 0
		for i := range in.Workflows {
			in.Workflows[i].Overlap = runner.OverlapSkip
		}
		got := forecast.Of(in)
		lockOf := map[string]string{}
		for _, w := range in.Workflows {
			lockOf[w.Name] = w.Locks[0]
		}
		want := map[string]bool{}
		for i, a := range got.Slots {
			for _, b := range got.Slots[:i] {
				if a.Workflow != b.Workflow && lockOf[a.Workflow] == lockOf[b.Workflow] && !a.Ends.IsZero() && !b.Ends.IsZero() &&
					a.Starts.Before(b.Ends) && b.Starts.Before(a.Ends) {
					want[lockOf[a.Workflow]] = true
				}
			}
		}
		kinds := 0
		for _, f := range got.Findings {
			if f.Kind == forecast.KindLock {
				kinds++
			}
		}
		if kinds != len(want) {
			t.Fatalf("%d locks are wanted by several, want %v\n%s", kinds, want, spell(got))
		}
		found, none = found+len(want), none+2-len(want)
	})
	if found < 20 || none < 20 {
		t.Errorf("the samples hold %d meetings and %d locks without: too few", found, none)
	}
}

func TestOf_Often_CountsWhatIsSkipped(t *testing.T) {
	t.Parallel()
	in := forecast.Input{
		Now: monday, Until: monday.Add(10 * time.Hour), Usual: map[string]runner.Usual{"a": usual(90*time.Second, 0)},
		Workflows: []forecast.Workflow{{Name: "a", Schedule: parse(t, schedule.Rule{Every: time.Minute})}},
	}
	got := forecast.Of(in)
	if len(got.Slots) != 1 || got.Slots[0].Count != 600 || got.Slots[0].Skipped != 300 {
		t.Errorf("slots %+v", got.Slots)
	}
	if !slices.ContainsFunc(got.Findings, func(f forecast.Finding) bool { return f.Kind == forecast.KindOverlap && f.Count == 300 }) {
		t.Errorf("findings %+v", got.Findings)
	}
}

func BenchmarkOf_TenThousandWorkflowsForAMonth(b *testing.B) {
	in := crowd(b, 10_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		forecast.Of(in)
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.Sys-before.Sys)/(1<<20), "MiB-grown")
	b.ReportAllocs()
}
