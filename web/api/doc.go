// Package api is the JSON of upkeep: what the API answers and is asked, and
// what the command line prints with -o json. It knows the words of runner and
// turns them into JSON and back. It refuses to know HTTP, the ledger and who
// asks.
//
// Instants are RFC 3339 in UTC, null when there is none. Durations are numbers
// of seconds. Keys stay; new ones may join them. Every key of an answer is
// always there.
package api

import "time"

// Instant is a time as JSON, null for the zero time.
func Instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// moment is the time of an instant, zero for null.
func moment(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// Seconds is how long something took; 0 while it has not ended.
func Seconds(from, to time.Time) float64 {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return to.Sub(from).Seconds()
}

// filled is list, never nil, so that its JSON is [] and not null.
func filled[E any](list []E) []E {
	if list == nil {
		return []E{}
	}
	return list
}

// mapped is m, never nil, so that its JSON is {} and not null.
func mapped[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// converted is list with each element turned by f, never nil.
func converted[A, B any](list []A, f func(A) B) []B {
	out := make([]B, len(list))
	for i, e := range list {
		out[i] = f(e)
	}
	return out
}
