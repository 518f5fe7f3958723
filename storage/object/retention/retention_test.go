package retention_test

import (
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/storage/object/retention"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

// items makes verified items named after their instants; a leading "!" makes
// one unverified, "x" one that failed without a trace.
func items(instants ...string) []retention.Item {
	var out []retention.Item
	for _, text := range instants {
		bare := strings.TrimLeft(text, "!x")
		item := retention.Item{ID: bare, Time: at(bare), Verified: bare == text}
		if strings.HasPrefix(text, "x") {
			item.ID = ""
		}
		out = append(out, item)
	}
	return out
}

func TestApply(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		policy retention.Policy
		zone   *time.Location
		now    string
		items  []retention.Item
		remove []string
		held   string
	}{
		{name: "zero policy keeps all", now: "2026-11-23 12:00", items: items("2020-01-01 00:00", "2026-11-23 00:00"), held: "no rule says what to keep"},
		{name: "nothing to do", policy: retention.Policy{Last: 3}, now: "2026-11-23 12:00"},
		{
			name: "last", policy: retention.Policy{Last: 2}, now: "2026-11-23 12:00",
			items:  items("2026-11-20 02:00", "2026-11-21 02:00", "2026-11-22 02:00", "2026-11-23 02:00"),
			remove: []string{"2026-11-21 02:00", "2026-11-20 02:00"},
		},
		{
			name: "daily keeps the newest of each day that has one", policy: retention.Policy{Daily: 2}, now: "2026-11-23 12:00",
			items:  items("2026-11-10 02:00", "2026-11-10 14:00", "2026-11-23 01:00", "2026-11-23 02:00", "2026-11-01 00:00"),
			remove: []string{"2026-11-23 01:00", "2026-11-10 02:00", "2026-11-01 00:00"},
		},
		{
			name: "weekly counts ISO weeks over the turn of the year", policy: retention.Policy{Weekly: 2}, now: "2027-01-10 12:00",
			items:  items("2026-12-28 02:00", "2027-01-03 02:00", "2027-01-04 02:00"),
			remove: []string{"2026-12-28 02:00"},
		},
		{
			name: "monthly and yearly", policy: retention.Policy{Monthly: 2, Yearly: 2}, now: "2026-11-23 12:00",
			items:  items("2025-06-01 02:00", "2025-12-31 02:00", "2026-09-01 02:00", "2026-10-31 02:00", "2026-11-01 02:00", "2026-11-22 02:00"),
			remove: []string{"2026-11-01 02:00", "2026-09-01 02:00", "2025-06-01 02:00"},
		},
		{
			name: "the zone decides what a day is", policy: retention.Policy{Daily: 5}, zone: berlin, now: "2026-11-23 12:00",
			items:  items("2026-11-20 22:30", "2026-11-20 23:30", "2026-11-21 22:30"),
			remove: []string{"2026-11-20 23:30"},
		},
		{
			name: "both hours of a clock change are kept", policy: retention.Policy{Hourly: 5}, zone: berlin, now: "2026-10-25 12:00",
			items:  items("2026-10-25 00:10", "2026-10-25 00:20", "2026-10-25 01:20"), // 02:10, 02:20 and again 02:20
			remove: []string{"2026-10-25 00:10"},
		},
		{
			name: "within is exact", policy: retention.Policy{Within: 7 * day}, now: "2026-11-23 12:00",
			items:  items("2026-11-16 11:59", "2026-11-16 12:00", "2026-11-23 11:00"),
			remove: []string{"2026-11-16 11:59"},
		},
		{
			name: "within alone never removes the last one", policy: retention.Policy{Within: day}, now: "2026-11-23 12:00",
			items:  items("2026-01-01 00:00", "2026-01-02 00:00"),
			remove: []string{"2026-01-01 00:00"},
		},
		{
			name: "min_keep goes beyond the rules", policy: retention.Policy{Last: 1, MinKeep: 3}, now: "2026-11-23 12:00",
			items:  items("2026-11-19 02:00", "2026-11-20 02:00", "2026-11-21 02:00", "2026-11-22 02:00"),
			remove: []string{"2026-11-19 02:00"},
		},
		{
			name: "unverified items do not count", policy: retention.Policy{Last: 2}, now: "2026-11-23 12:00",
			items:  items("2026-11-18 02:00", "2026-11-19 02:00", "!2026-11-20 02:00", "!2026-11-21 02:00", "2026-11-22 02:00"),
			remove: []string{"2026-11-18 02:00"},
		},
		{
			name: "unverified items go after their time", policy: retention.Policy{Last: 2, Unverified: 2 * day}, now: "2026-11-23 12:00",
			items:  items("!2026-11-20 02:00", "!2026-11-22 02:00", "2026-11-23 02:00"),
			remove: []string{"2026-11-20 02:00"},
		},
		{
			name: "the newest being unverified stops everything", policy: retention.Policy{Last: 1, Unverified: day}, now: "2026-11-23 12:00",
			items: items("2026-11-20 02:00", "!2026-11-20 03:00", "2026-11-21 02:00", "!2026-11-23 02:00"),
			held:  "the newest item is not verified",
		},
		{
			name: "a failed attempt without a trace stops everything", policy: retention.Policy{Last: 1}, now: "2026-11-23 12:00",
			items: items("2026-11-20 02:00", "2026-11-21 02:00", "x2026-11-23 02:00"),
			held:  "the newest item is not verified",
		},
		{
			name: "an older failure does not", policy: retention.Policy{Last: 1}, now: "2026-11-23 12:00",
			items:  items("2026-11-20 02:00", "x2026-11-21 02:00", "2026-11-22 02:00"),
			remove: []string{"2026-11-20 02:00"},
		},
		{
			name: "nothing verified", policy: retention.Policy{Last: 1, Unverified: day}, now: "2026-11-23 12:00",
			items: items("!2026-11-20 02:00", "!2026-11-21 02:00"),
		},
		{
			name: "the future does not count", policy: retention.Policy{Last: 1}, now: "2026-11-23 12:00",
			items:  items("2026-11-21 02:00", "2026-11-22 02:00", "2027-01-01 00:00", "!2028-01-01 00:00"),
			remove: []string{"2026-11-21 02:00"},
		},
		{
			name: "cap removes the oldest first", policy: retention.Policy{Last: 1, MaxRemove: 2}, now: "2026-11-23 12:00",
			items:  items("2026-11-19 02:00", "2026-11-20 02:00", "2026-11-21 02:00", "2026-11-22 02:00"),
			remove: []string{"2026-11-20 02:00", "2026-11-19 02:00"},
			held:   "max_remove lets only 2 of 3 go at a time",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			plan := retention.Apply(tt.policy, tt.items, at(tt.now), tt.zone)
			if diff := cmp.Diff(tt.remove, ids(plan.Remove)); diff != "" || plan.Held != tt.held {
				t.Errorf("removed (-want +got):\n%s\nheld: %q, want %q", diff, plan.Held, tt.held)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	t.Parallel()
	policy := retention.Policy{Last: 1, Daily: 2, Weekly: 1, Within: 24 * time.Hour}
	plan := retention.Apply(policy, items("2026-11-21 02:00", "2026-11-22 02:00", "2026-11-23 02:00"), at("2026-11-23 12:00"), nil)
	got := map[string][]string{}
	for _, d := range append(plan.Keep, plan.Remove...) {
		got[d.Item.ID] = d.Reasons
	}
	want := map[string][]string{
		"2026-11-23 02:00": {"last 1", "within 24h0m0s", "daily 2026-11-23", "weekly 2026-W48", "min_keep 1"},
		"2026-11-22 02:00": {"daily 2026-11-22"},
		"2026-11-21 02:00": {"no rule keeps it"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if err := (retention.Policy{Last: 1, MinKeep: 1}).Validate(); err != nil {
		t.Errorf("a sound policy: %v", err)
	}
	err := retention.Policy{Last: -1, Daily: -2, Within: -1}.Validate()
	for _, word := range []string{"last is -1", "daily is -2", "duration"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Validate() = %v, want %q in it", err, word)
		}
	}
}

func ids(decisions []retention.Decision) []string {
	var out []string
	for _, d := range decisions {
		out = append(out, d.Item.ID)
	}
	return out
}

// timeline draws items over some years, with clusters, gaps and equal
// instants, in any order.
func timeline(t *rapid.T) ([]retention.Item, time.Time, *time.Location) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 3*365*24*60).Draw(t, "now")) * time.Minute)
	zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Australia/Lord_Howe"}).Draw(t, "zone"))
	if err != nil {
		t.Fatal(err)
	}
	scale := rapid.SampledFrom([]int64{60, 24 * 60, 400 * 24 * 60}).Draw(t, "scale")
	n := rapid.IntRange(0, 40).Draw(t, "n")
	var items []retention.Item
	for i := range n {
		age := time.Duration(rapid.Int64Range(-10, scale).Draw(t, "age")) * time.Minute
		items = append(items, retention.Item{
			ID:       "item" + string(rune('A'+i)),
			Time:     now.Add(-age),
			Verified: rapid.IntRange(0, 9).Draw(t, "verified") > 1,
		})
	}
	return items, now, zone
}

func policies(t *rapid.T) retention.Policy {
	count := func(name string) int { return rapid.IntRange(0, 5).Draw(t, name) }
	return retention.Policy{
		Last: count("last"), Hourly: count("hourly"), Daily: count("daily"), Weekly: count("weekly"),
		Monthly: count("monthly"), Yearly: count("yearly"), MinKeep: count("min_keep"),
		Within:     time.Duration(rapid.Int64Range(0, 72).Draw(t, "within")) * time.Hour,
		Unverified: time.Duration(rapid.Int64Range(0, 72).Draw(t, "unverified")) * time.Hour,
		MaxRemove:  rapid.SampledFrom([]int{0, 0, 1, 7}).Draw(t, "max_remove"),
	}
}

func TestProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, now, zone := timeline(t)
		policy := policies(t)
		plan := retention.Apply(policy, items, now, zone)
		removed := map[string]bool{}
		for _, d := range plan.Remove {
			removed[d.Item.ID] = true
		}
		checkPartition(t, items, plan)
		checkFloor(t, policy, items, removed, now)
		if policy.MaxRemove > 0 && len(plan.Remove) > policy.MaxRemove {
			t.Fatalf("%d removed, cap %d", len(plan.Remove), policy.MaxRemove)
		}
		// The order of the items does not matter.
		again := retention.Apply(policy, rapid.Permutation(items).Draw(t, "order"), now, zone)
		if diff := cmp.Diff(plan, again); diff != "" {
			t.Fatalf("another order, another plan:\n%s", diff)
		}
		// What the rules of an oracle that shares no code keep is kept.
		wanted := oracle(policy, items, now, zone)
		for _, item := range items {
			why, ok := wanted[item.ID]
			if ok && removed[item.ID] {
				t.Fatalf("%s was removed although %s", item.ID, why)
			}
			if !ok && item.Verified && !item.Time.After(now) && !removed[item.ID] && plan.Held == "" {
				t.Fatalf("%s was kept although no rule wants it", item.ID)
			}
		}
		// Applying it to what is left changes nothing.
		if policy.MaxRemove == 0 {
			var left []retention.Item
			for _, d := range plan.Keep {
				left = append(left, d.Item)
			}
			if more := retention.Apply(policy, left, now, zone).Remove; len(more) > 0 {
				t.Fatalf("the second application removes %v", ids(more))
			}
		}
	})
}

// checkPartition proves that every item is decided about exactly once, with a
// reason.
func checkPartition(t *rapid.T, items []retention.Item, plan retention.Plan) {
	seen := map[string]int{}
	for _, d := range slices.Concat(plan.Keep, plan.Remove) {
		seen[d.Item.ID]++
		if len(d.Reasons) == 0 {
			t.Fatalf("no reason for %s", d.Item.ID)
		}
	}
	for _, item := range items {
		if seen[item.ID] != 1 {
			t.Fatalf("%s is decided about %d times", item.ID, seen[item.ID])
		}
	}
}

// checkFloor proves what no policy can configure away.
func checkFloor(t *rapid.T, policy retention.Policy, items []retention.Item, removed map[string]bool, now time.Time) {
	var good, newest []retention.Item
	for _, item := range items {
		if item.Time.After(now) {
			if removed[item.ID] {
				t.Fatalf("%s from the future was removed", item.ID)
			}
			continue
		}
		newest = append(newest, item)
		if item.Verified {
			good = append(good, item)
		}
	}
	byTime := func(a, b retention.Item) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	}
	slices.SortFunc(good, byTime)
	slices.SortFunc(newest, byTime)
	for i := range min(len(good), max(1, policy.MinKeep)) {
		if removed[good[i].ID] {
			t.Fatalf("verified item %d was removed, min_keep %d", i, policy.MinKeep)
		}
	}
	if len(removed) > 0 && (len(good) == 0 || !newest[0].Verified || !policy.Active()) {
		t.Fatalf("%d removed with %d good ones, newest %+v, active %v", len(removed), len(good), newest[0], policy.Active())
	}
}

// oracle names, slowly, what must stay: for each calendar rule it looks at
// every bucket of the calendar instead of walking the items.
func oracle(policy retention.Policy, items []retention.Item, now time.Time, zone *time.Location) map[string]string {
	keep := map[string]string{}
	type bucket struct{ y, m, d, h, offset int }
	for name, r := range map[string]struct {
		count int
		of    func(time.Time) bucket
	}{
		"hourly": {policy.Hourly, func(t time.Time) bucket {
			_, offset := t.Zone()
			return bucket{t.Year(), int(t.Month()), t.Day(), t.Hour(), offset}
		}},
		"daily":   {policy.Daily, func(t time.Time) bucket { return bucket{t.Year(), int(t.Month()), t.Day(), 0, 0} }},
		"weekly":  {policy.Weekly, func(t time.Time) bucket { y, w := t.ISOWeek(); return bucket{y, w, 0, 0, 0} }},
		"monthly": {policy.Monthly, func(t time.Time) bucket { return bucket{t.Year(), int(t.Month()), 0, 0, 0} }},
		"yearly":  {policy.Yearly, func(t time.Time) bucket { return bucket{t.Year(), 0, 0, 0, 0} }},
	} {
		best := map[bucket]retention.Item{}
		for _, item := range items {
			if !item.Verified || item.Time.After(now) {
				continue
			}
			b := r.of(item.Time.In(zone))
			if old, ok := best[b]; !ok || item.Time.After(old.Time) || item.Time.Equal(old.Time) && item.ID > old.ID {
				best[b] = item
			}
		}
		var chosen []retention.Item
		for _, item := range best {
			chosen = append(chosen, item)
		}
		slices.SortFunc(chosen, func(a, b retention.Item) int { return b.Time.Compare(a.Time) })
		for _, item := range chosen[:min(r.count, len(chosen))] {
			keep[item.ID] = name
		}
	}
	for _, item := range items {
		newer := 0
		for _, other := range items {
			if other.Verified && !other.Time.After(now) && (other.Time.After(item.Time) || other.Time.Equal(item.Time) && other.ID > item.ID) {
				newer++
			}
		}
		switch {
		case !item.Verified || item.Time.After(now):
		case policy.Within > 0 && now.Sub(item.Time) <= policy.Within:
			keep[item.ID] = "within"
		case newer < max(policy.Last, policy.MinKeep, 1):
			keep[item.ID] = "last or min_keep"
		}
	}
	return keep
}
