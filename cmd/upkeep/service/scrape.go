package service

import (
	"context"
	"time"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/scrape"
	"github.com/ghosteam/upkeep/storage/ledger"
)

// membersWithin bounds how long it may take to find out which nodes are there.
const membersWithin = 5 * time.Second

// scraper reads the metrics of the applications that the configuration in force
// names.
func (d *Daemon) scraper() *scrape.Scraper {
	return scrape.New(scrape.Options{Sampler: d.ledger, Log: d.o.Log, Targets: (&scraping{d: d}).targets})
}

// scraping is who looks which applications this node reads: each is read by one
// of the nodes that are there, because two would count everything twice.
type scraping struct {
	d       *Daemon
	members []ledger.Member
	last    time.Time
}

// targets are the applications that this node reads now. Only the scraper's
// goroutine calls it.
func (s *scraping) targets() []scrape.Target {
	cfg := s.d.Config()
	if len(cfg.Scrapes) > 0 && shared(cfg) && time.Since(s.last) >= shareEvery {
		s.last = time.Now()
		ctx, cancel := context.WithTimeout(s.d.hard, membersWithin)
		defer cancel()
		members, err := s.d.ledger.Members(ctx)
		if err != nil {
			s.d.o.Log.WarnContext(ctx, "find out which node reads which metrics", "error", err)
			members = s.members // as it was
		}
		s.members = members
	}
	return scrapeTargets(cfg, s.members)
}

// scrapeTargets are those of a configuration that this node reads.
func scrapeTargets(cfg *configs.Config, members []ledger.Member) []scrape.Target {
	var list []scrape.Target
	for _, s := range cfg.Scrapes {
		if shared(cfg) && readBy(s.Name, members) != cfg.Node {
			continue
		}
		list = append(list, scrape.Target{
			Name: s.Name, URL: s.URL, Token: s.Token, Every: s.Every, Timeout: s.Timeout,
			Histograms: s.Histograms, Counters: s.Counters, Errors: s.Errors, Keep: s.Keep,
		})
	}
	return list
}

// readBy is the node that reads an application; empty when nobody knows which are
// there.
func readBy(name string, members []ledger.Member) string {
	var there []string
	for _, m := range members {
		if m.Alive {
			there = append(there, m.Name)
		}
	}
	if len(there) == 0 {
		return ""
	}
	return rendezvous("scrape "+name, there)[0]
}

// scrape keeps reading until ctx ends.
func (d *Daemon) scrape(ctx context.Context) error {
	d.scraper().Run(ctx)
	return nil
}
