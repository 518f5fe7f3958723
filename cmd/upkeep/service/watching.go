package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health"
	"github.com/ghosteam/upkeep/runner"
	"github.com/ghosteam/upkeep/storage/ledger"
)

const (
	// shareEvery is how often it is looked which node asks which check, and
	// sharePer how much longer between two looks for each node there is, because
	// each of them reads the list of all.
	shareEvery = 5 * time.Second
	sharePer   = 20 * time.Millisecond
	// glanceAgain is how old what is shown of the checks of other nodes may be.
	glanceAgain = 5 * time.Second
)

// shared tells whether several nodes may watch by one ledger.
func shared(cfg *configs.Config) bool { return cfg.Ledger.Dialect != "sqlite" }

// watched are the checks of a configuration as the monitor of this node takes
// them.
func (e *Engine) watched(ctx context.Context, cfg *configs.Config) ([]health.Check, error) {
	if !shared(cfg) {
		return instances(cfg, nil), nil
	}
	members, err := e.ledger.Members(ctx)
	if err != nil {
		return nil, fmt.Errorf("find out which node asks which check: %w", err)
	}
	return instances(cfg, members), nil
}

// instances are the checks of a configuration, each with the node that asks it.
// Those that every node asks are there once for each of them.
func instances(cfg *configs.Config, members []ledger.Member) []health.Check {
	var list []health.Check
	if !shared(cfg) {
		for _, c := range cfg.Checks {
			if c.Fits(cfg.Labels) {
				list = append(list, c.Watched())
			}
		}
		return list
	}
	here := ledger.Member{Name: cfg.Node, Labels: cfg.Labels, Alive: true}
	members = append(slices.DeleteFunc(slices.Clone(members), func(m ledger.Member) bool { return m.Name == cfg.Node }), here)
	slices.SortFunc(members, func(a, b ledger.Member) int { return strings.Compare(a.Name, b.Name) })
	groups := together(cfg)
	for _, c := range cfg.Checks {
		if !c.EveryNode {
			w := c.Watched()
			if w.Node = askedBy(c, groups[c.Name], members); w.Node == cfg.Node {
				w.Node = ""
			}
			list = append(list, w)
			continue
		}
		for _, m := range members {
			if !c.Fits(m.Labels) {
				continue
			}
			w := c.Watched()
			w.Name, w.DependsOn = runner.CheckOn(c.Name, m.Name), dependsOn(cfg, c, m)
			if m.Name != cfg.Node {
				w.Node = m.Name
			}
			list = append(list, w)
		}
	}
	return list
}

// dependsOn are the names of the checks on which the instance of one node
// depends: that node's own, where each has one.
func dependsOn(cfg *configs.Config, c configs.Check, m ledger.Member) []string {
	var names []string
	for _, name := range c.DependsOn {
		if at := slices.IndexFunc(cfg.Checks, func(o configs.Check) bool { return o.Name == name }); at >= 0 && cfg.Checks[at].EveryNode {
			if !cfg.Checks[at].Fits(m.Labels) {
				continue
			}
			name = runner.CheckOn(name, m.Name)
		}
		names = append(names, name)
	}
	return names
}

// askedBy is the node that asks a check of a group.
func askedBy(c configs.Check, group string, members []ledger.Member) string {
	var there []string
	for _, m := range members {
		if m.Alive && c.Fits(m.Labels) {
			there = append(there, m.Name)
		}
	}
	if len(there) == 0 {
		return "with the label " + c.Label
	}
	return rendezvous("check "+group, there)[0]
}

// together returns the group of each check that one node asks: checks that
// depend on each other are of one group, so that the same node sees them all.
func together(cfg *configs.Config) map[string]string {
	group := map[string]string{}
	for _, c := range cfg.Checks {
		if !c.EveryNode {
			group[c.Name] = c.Name
		}
	}
	for changed := true; changed; {
		changed = false
		for _, c := range cfg.Checks {
			for _, name := range c.DependsOn {
				a, b := group[c.Name], group[name]
				if a == "" || b == "" || a == b {
					continue
				}
				least := min(a, b)
				group[c.Name], group[name], changed = least, least, true
			}
		}
	}
	return group
}

// sharing is who looks which node asks which check.
type sharing struct {
	d    *Daemon
	last time.Time
	next time.Duration
}

// look gives the monitor what this node is to ask now.
func (s *sharing) look(ctx context.Context) error {
	cfg := s.d.Config()
	if !shared(cfg) || time.Since(s.last) < s.next {
		return nil
	}
	s.last = time.Now()
	list, err := s.d.watched(ctx, cfg)
	if err != nil {
		return err
	}
	s.next = time.Duration(len(list)) * sharePer
	if !s.d.monitor.Watches(list) {
		s.d.exposeChecks(cfg, list)
		s.d.monitor.Replace(ctx, list, s.d.connectivity(cfg))
	}
	return nil
}

// glanced is when the checks of other nodes were looked at.
type glanced struct {
	mu   sync.Mutex
	last time.Time
}

// look reads what is on record of the checks of other nodes, unless it was read
// just now.
func (c checks) look(ctx context.Context) error {
	if c.seen == nil {
		return nil
	}
	c.seen.mu.Lock()
	defer c.seen.mu.Unlock()
	if time.Since(c.seen.last) < glanceAgain {
		return nil
	}
	if err := c.monitor.Look(ctx); err != nil {
		return err
	}
	c.seen.last = time.Now()
	return nil
}

// isOneOf tells whether a check, or the one of which it is a node's instance, is
// named.
func isOneOf(names []string, check string) bool {
	return slices.Contains(names, check) || slices.Contains(names, runner.CheckBase(check))
}

// instances are the names of the checks that names mean: those of a check that
// every node asks are its instances.
func (c checks) instances(ctx context.Context, names []string) []string {
	if len(names) == 0 {
		return nil
	}
	var all []string
	known := c.monitor.Reports(ctx)
	for _, name := range names {
		found := false
		for _, r := range known {
			if isOneOf([]string{name}, r.Name) {
				all, found = append(all, r.Name), true
			}
		}
		if !found {
			all = append(all, name) // that there is none is told
		}
	}
	return all
}
