package reports

import (
	"context"
	"slices"
	"strings"
)

// instances are the names under which the answers of a check are on record: its
// own, and NAME@NODE of each node that asks for itself. Without any it is its
// own.
func (s Source) instances(ctx context.Context, check string) ([]string, error) {
	own, each := upSeries(check), "check."+check+"@"
	var names []string
	for _, prefix := range []string{own, each} {
		known, err := s.Samples.Series(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, one := range known {
			name, up := strings.CutSuffix(strings.TrimPrefix(one.Name, "check."), ".up")
			if up && (one.Name == own || strings.HasPrefix(one.Name, each)) {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		names = []string{check}
	}
	slices.Sort(names)
	return names, nil
}

// expand are the instances of several checks.
func (s Source) expand(ctx context.Context, checks []string) ([]string, error) {
	var all []string
	for _, check := range checks {
		names, err := s.instances(ctx, check)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
	}
	return all, nil
}

// asked are the configured checks, each once for every node that asks it.
func (s Source) asked(ctx context.Context, checks []Check) ([]Check, error) {
	var all []Check
	for _, c := range checks {
		names, err := s.instances(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			c.Name = name
			all = append(all, c)
		}
	}
	return all, nil
}
