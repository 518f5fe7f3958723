package retention_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ghosteam/upkeep/storage/object/retention"
)

// without returns the items that do not meet a condition.
func without(items []retention.Item, unwanted func(retention.Item) bool) []retention.Item {
	return slices.DeleteFunc(slices.Clone(items), unwanted)
}

func removedBy(p retention.Policy, items []retention.Item, now time.Time, zone *time.Location) map[string]bool {
	out := map[string]bool{}
	for _, d := range retention.Apply(p, items, now, zone).Remove {
		out[d.Item.ID] = true
	}
	return out
}

// TestMoreKeepsMore: raising any number of a policy that says what to keep
// never removes what stayed before.
func TestMoreKeepsMore(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, now, zone := timeline(t)
		less := policies(t)
		less.MaxRemove = 0
		if !less.Active() {
			less.Last = 1 // nothing at all would keep all
		}
		more := less
		raise := func(name string, n *int) { *n += rapid.IntRange(0, 3).Draw(t, "more "+name) }
		raise("last", &more.Last)
		raise("hourly", &more.Hourly)
		raise("daily", &more.Daily)
		raise("weekly", &more.Weekly)
		raise("monthly", &more.Monthly)
		raise("yearly", &more.Yearly)
		raise("min_keep", &more.MinKeep)
		more.Within += time.Duration(rapid.IntRange(0, 48).Draw(t, "more within")) * time.Hour
		if less.Unverified == 0 || rapid.Bool().Draw(t, "unverified for ever") {
			more.Unverified = 0
		} else {
			more.Unverified += time.Duration(rapid.IntRange(0, 48).Draw(t, "more unverified")) * time.Hour
		}
		before := removedBy(less, items, now, zone)
		for id := range removedBy(more, items, now, zone) {
			if !before[id] {
				t.Fatalf("%s goes under %+v, and stayed under %+v", id, more, less)
			}
		}
	})
}

// TestUnion: a policy of several rules keeps what any of them alone keeps.
func TestUnion(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, now, zone := timeline(t)
		p := policies(t)
		p.MaxRemove = 0
		common := retention.Policy{MinKeep: p.MinKeep, Unverified: p.Unverified}
		goes := map[string]int{}
		rules := 0
		for _, one := range []retention.Policy{
			{Last: p.Last}, {Within: p.Within}, {Hourly: p.Hourly}, {Daily: p.Daily}, {Weekly: p.Weekly}, {Monthly: p.Monthly}, {Yearly: p.Yearly},
		} {
			if !one.Active() {
				continue
			}
			rules++
			one.MinKeep, one.Unverified = common.MinKeep, common.Unverified
			for id := range removedBy(one, items, now, zone) {
				goes[id]++
			}
		}
		want := map[string]bool{}
		for id, n := range goes {
			if n == rules {
				want[id] = true
			}
		}
		if diff := cmp.Diff(want, removedBy(p, items, now, zone)); diff != "" {
			t.Fatalf("the union of %d rules (-each alone +together):\n%s", rules, diff)
		}
	})
}

// TestSuspectsNeverCount: what becomes of verified items does not depend on the
// others, unless these hold everything back.
func TestSuspectsNeverCount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, now, zone := timeline(t)
		p := policies(t)
		p.MaxRemove = 0
		plan := retention.Apply(p, items, now, zone)
		if plan.Held != "" {
			return
		}
		bad := func(i retention.Item) bool { return !i.Verified }
		want := removedBy(p, without(items, bad), now, zone)
		got := map[string]bool{}
		for _, d := range plan.Remove {
			if d.Item.Verified {
				got[d.Item.ID] = true
			}
		}
		if latest(items, now).Verified {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("with and without the unverified:\n%s", diff)
			}
		}
	})
}

// latest returns the newest item that is not dated in the future.
func latest(items []retention.Item, now time.Time) retention.Item {
	var newest retention.Item
	for _, i := range items {
		if !i.Time.After(now) && (newest.Time.IsZero() || i.Time.After(newest.Time) || i.Time.Equal(newest.Time) && i.ID > newest.ID) {
			newest = i
		}
	}
	return newest
}

// TestFailuresHoldBack: while the last attempt failed, with or without a trace,
// nothing goes, whatever the policy and however long it lasts.
func TestFailuresHoldBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		items, now, zone := timeline(t)
		p := policies(t)
		failed := retention.Item{Time: now, ID: rapid.SampledFrom([]string{"", "zzz suspect"}).Draw(t, "trace")}
		later := now.Add(time.Duration(rapid.IntRange(0, 2000).Draw(t, "days")) * 24 * time.Hour)
		past := without(items, func(i retention.Item) bool { return !i.Time.Before(now) })
		plan := retention.Apply(p, append(past, failed), later, zone)
		if len(plan.Remove) > 0 {
			t.Fatalf("%v go although the last attempt failed", ids(plan.Remove))
		}
	})
}

// TestHoursOfClockChanges: in the night of a clock change every hour that
// really passed has a bucket of its own, in every zone, and a day is one day.
func TestHoursOfClockChanges(t *testing.T) {
	t.Parallel()
	for zone, night := range map[string]string{
		"Europe/Berlin": "2026-10-24 22:00", "America/St_Johns": "2026-11-01 02:30", "Australia/Lord_Howe": "2026-04-04 13:00",
		"Pacific/Apia": "2026-06-01 11:00", "UTC": "2026-10-25 00:00",
	} {
		for name, start := range map[string]string{"autumn": night, "spring": "2026-03-28 22:00"} {
			t.Run(fmt.Sprint(zone, " ", name), func(t *testing.T) {
				t.Parallel()
				place, err := time.LoadLocation(zone)
				if err != nil {
					t.Fatal(err)
				}
				// One every ten minutes for twelve hours.
				var all []retention.Item
				for i := range 6 * 12 {
					made := at(start).Add(time.Duration(i) * 10 * time.Minute)
					all = append(all, retention.Item{ID: made.Format("2006-01-02 15:04"), Time: made, Verified: true})
				}
				now := all[len(all)-1].Time
				plan := retention.Apply(retention.Policy{Hourly: 100}, all, now, place)
				// What is kept lies at most an hour apart, and by no means every
				// ten minutes: no hour is lost and none counted twice for long.
				for i := 1; i < len(plan.Keep); i++ {
					if gap := plan.Keep[i-1].Item.Time.Sub(plan.Keep[i].Item.Time); gap > time.Hour || gap < 30*time.Minute {
						t.Errorf("%s and %s lie %s apart", plan.Keep[i].Item.ID, plan.Keep[i-1].Item.ID, gap)
					}
				}
				if n := len(plan.Keep); n < 12 || n > 14 {
					t.Errorf("%d hours are kept of twelve", n)
				}
				days := map[string]bool{}
				for _, i := range all {
					days[i.Time.In(place).Format("2006-01-02")] = true
				}
				if kept := len(retention.Apply(retention.Policy{Daily: 100}, all, now, place).Keep); kept != len(days) {
					t.Errorf("%d are kept of %d days", kept, len(days))
				}
			})
		}
	}
}
