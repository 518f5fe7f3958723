package configs

import (
	"path/filepath"
	"time"

	"github.com/ghosteam/upkeep/configs/unit"
)

const (
	defaultTextfileEvery  = time.Minute
	shortestTextfileEvery = time.Second
)

// Metrics says which metrics there are, and where they go besides /metrics.
type Metrics struct {
	// SeedNames adds those that applications commonly have, under their own
	// names.
	SeedNames bool
	// Textfile is the absolute path of a file that holds them, for the textfile
	// collector of node_exporter; empty for none. Every is how often it is
	// written.
	Textfile string
	Every    time.Duration
}

type metricsFile struct {
	SeedNames bool          `yaml:"seed_names" doc:"Whether the metrics that applications commonly have are there too, under their usual names: api_requests_total, system_cpu_percent, model_accuracy and so on."`
	Textfile  unit.Path     `yaml:"textfile" doc:"A file that the metrics are written to as well, for the textfile collector of node_exporter." example:"/var/lib/node_exporter/upkeep.prom"`
	Every     unit.Duration `yaml:"every" doc:"How often that file is written, from 1s." example:"1m"`
}

// metrics takes what is said about metrics.
func (l *loader) metrics() {
	f := l.file.Metrics
	l.config.Metrics = Metrics{SeedNames: f.SeedNames, Textfile: l.absolute(f.Textfile), Every: f.Every.Std()}
	report := func(key, message, hint string) {
		l.d.Report(at(l.node, "metrics."+key, l.node.Pos), "bad-value", "metrics."+key, message, hint)
	}
	if sound(l.d, "metrics.every") && f.Every.Std() < shortestTextfileEvery {
		report("every", "every must be at least 1s", "")
	}
	if f.Textfile != "" && filepath.Ext(string(f.Textfile)) != ".prom" {
		report("textfile", "the name of the file must end in .prom", "node_exporter reads no other file")
	}
}

// absolute places a path of the frame against root.
func (l *loader) absolute(path unit.Path) string {
	if path == "" || filepath.IsAbs(string(path)) {
		return string(path)
	}
	return filepath.Join(l.config.Root, string(path))
}
