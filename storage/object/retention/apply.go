package retention

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// rule is a set of calendar buckets of which the newest count are filled.
type rule struct {
	name  string
	count int
	// bucket names the bucket of an instant in the policy's zone.
	bucket func(time.Time) string
}

func (p Policy) rules() []rule {
	return []rule{
		{"hourly", p.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15h -07:00") }},
		{"daily", p.Daily, func(t time.Time) string { return t.Format("2006-01-02") }},
		{"weekly", p.Weekly, func(t time.Time) string {
			year, week := t.ISOWeek()
			return fmt.Sprintf("%04d-W%02d", year, week)
		}},
		{"monthly", p.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
		{"yearly", p.Yearly, func(t time.Time) string { return t.Format("2006") }},
	}
}

// Apply decides about items as of now, with calendar buckets of zone (nil
// means UTC). The order of items does not matter, and applying the same policy
// to what is left changes nothing more, unless MaxRemove cut the first plan.
//
// These hold whatever the policy says: the newest verified item stays, and
// MinKeep of them; without a verified item nothing goes; when the newest item
// is not verified nothing goes, because backups that fail must not eat the
// good ones; an item dated after now stays and does not count.
func Apply(p Policy, items []Item, now time.Time, zone *time.Location) Plan {
	if zone == nil {
		zone = time.UTC
	}
	sorted := slices.SortedFunc(slices.Values(items), func(a, b Item) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.ID, a.ID))
	})
	reasons := make([][]string, len(sorted))
	keep := func(i int, reason string) { reasons[i] = append(reasons[i], reason) }
	var verified []int // indexes of those that count, newest first
	brake := ""
	news := true
	for i, item := range sorted {
		if item.Time.After(now) {
			keep(i, "dated in the future")
			continue
		}
		if news && !item.Verified {
			brake = "the newest item is not verified"
		}
		news = false
		if item.Verified && item.ID != "" {
			verified = append(verified, i)
		}
	}
	switch {
	case !p.Active():
		brake = "no rule says what to keep"
	case len(verified) == 0:
		brake = "no item is verified"
	}
	p.keepVerified(sorted, verified, now, zone, keep)
	p.keepUnverified(sorted, verified, now, keep)
	return p.plan(sorted, reasons, brake)
}

// keepVerified names every reason to keep each verified item.
func (p Policy) keepVerified(sorted []Item, verified []int, now time.Time, zone *time.Location, keep func(int, string)) {
	for n, i := range verified {
		if n < p.Last {
			keep(i, fmt.Sprintf("last %d", n+1))
		}
		if p.Within > 0 && !sorted[i].Time.Before(now.Add(-p.Within)) {
			keep(i, "within "+p.Within.String())
		}
	}
	for _, r := range p.rules() {
		filled := map[string]bool{}
		for _, i := range verified {
			bucket := r.bucket(sorted[i].Time.In(zone))
			if len(filled) >= r.count || filled[bucket] {
				continue
			}
			filled[bucket] = true
			keep(i, r.name+" "+bucket)
		}
	}
	for n, i := range verified {
		if n < max(1, p.MinKeep) {
			keep(i, fmt.Sprintf("min_keep %d", n+1))
		}
	}
}

// keepUnverified lets unverified items go when they had their time and
// something newer and verified stands in for them.
func (p Policy) keepUnverified(sorted []Item, verified []int, now time.Time, keep func(int, string)) {
	for i, item := range sorted {
		if item.Verified || item.Time.After(now) {
			continue
		}
		if len(verified) == 0 || verified[0] > i {
			keep(i, "not verified, and nothing newer is")
		} else if p.Unverified == 0 || !item.Time.Before(now.Add(-p.Unverified)) {
			keep(i, "not verified")
		}
	}
}

// plan sorts the items into kept and removed ones and applies what holds back.
func (p Policy) plan(sorted []Item, reasons [][]string, brake string) Plan {
	plan := Plan{}
	candidates := 0
	for i, item := range sorted {
		if item.ID != "" && len(reasons[i]) == 0 {
			candidates++
		}
	}
	spare := 0 // how many of the newest candidates stay because of a bound
	switch {
	case brake != "":
		spare = candidates
		if candidates > 0 {
			plan.Held = brake
		}
	case p.MaxRemove > 0 && candidates > p.MaxRemove:
		spare = candidates - p.MaxRemove
		plan.Held = fmt.Sprintf("max_remove lets only %d of %d go at a time", p.MaxRemove, candidates)
	}
	for i, item := range sorted {
		switch {
		case item.ID == "":
		case len(reasons[i]) > 0:
			plan.Keep = append(plan.Keep, Decision{Item: item, Reasons: reasons[i]})
		case spare > 0:
			spare--
			plan.Keep = append(plan.Keep, Decision{Item: item, Reasons: []string{"held: " + plan.Held}})
		case item.Verified:
			plan.Remove = append(plan.Remove, Decision{Item: item, Reasons: []string{"no rule keeps it"}})
		default:
			plan.Remove = append(plan.Remove, Decision{Item: item, Reasons: []string{"not verified for longer than " + p.Unverified.String()}})
		}
	}
	return plan
}
