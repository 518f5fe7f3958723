package service

import (
	"context"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/health/scrape"
)

// scraper reads the metrics of the applications that the configuration in force
// names.
func (d *Daemon) scraper() *scrape.Scraper {
	return scrape.New(scrape.Options{
		Sampler: d.ledger, Log: d.o.Log,
		Targets: func() []scrape.Target { return scrapeTargets(d.Config()) },
	})
}

func scrapeTargets(cfg *configs.Config) []scrape.Target {
	var list []scrape.Target
	for _, s := range cfg.Scrapes {
		list = append(list, scrape.Target{
			Name: s.Name, URL: s.URL, Token: s.Token, Every: s.Every, Timeout: s.Timeout,
			Histograms: s.Histograms, Counters: s.Counters, Errors: s.Errors, Keep: s.Keep,
		})
	}
	return list
}

// scrape keeps reading until ctx ends.
func (d *Daemon) scrape(ctx context.Context) error {
	d.scraper().Run(ctx)
	return nil
}
