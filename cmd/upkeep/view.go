package main

import "github.com/ghosteam/upkeep/runner"

// latestPerJob returns the last attempt of each job in the order in which the
// jobs first appear.
func latestPerJob(attempts []runner.Attempt) []runner.Attempt {
	place := map[string]int{}
	var out []runner.Attempt
	for _, a := range attempts {
		if i, ok := place[a.Job]; ok {
			out[i] = a
			continue
		}
		place[a.Job] = len(out)
		out = append(out, a)
	}
	return out
}
