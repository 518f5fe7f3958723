package configs_test

import (
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ghosteam/upkeep/configs"
	"github.com/ghosteam/upkeep/runner/logbook"
)

// What a file says about the log and the metrics, and what it leaves out.
func TestLoad_LogAndMetrics(t *testing.T) {
	t.Parallel()
	const jobs = "workflows: {daily: {jobs: {one: {kind: script, with: {run: [echo, one]}}}}}\n"
	rotation := logbook.Rotation{Size: 50 << 20, Age: 7 * 24 * time.Hour, Keep: 5, Compress: true}
	for name, tt := range map[string]struct {
		text    string
		log     configs.Log
		metrics configs.Metrics
	}{
		"nothing": {
			log:     configs.Log{Level: slog.LevelInfo, Levels: map[string]slog.Level{"http.access": slog.LevelWarn}, Keys: logbook.KeysSeed, Rotation: rotation},
			metrics: configs.Metrics{SeedNames: true, Every: time.Minute},
		},
		"everything": {
			text: "log: {level: error, format: text, keys: otel, file: logs/u.log, levels: {http: debug}, rotate: {size: 1MiB, age: 1d, keep: 2, compress: false}}\n" +
				"metrics: {seed_names: false, textfile: up.prom, every: 10s}\n",
			log: configs.Log{
				Level: slog.LevelError, Levels: map[string]slog.Level{"http": slog.LevelDebug, "http.access": slog.LevelError}, Format: configs.LogText, Keys: logbook.KeysOTel,
				File: "ROOT/logs/u.log", Rotation: logbook.Rotation{Size: 1 << 20, Age: 24 * time.Hour, Keep: 2},
			},
			metrics: configs.Metrics{Textfile: "ROOT/up.prom", Every: 10 * time.Second},
		},
		"debug shows requests": {
			text:    "log: {level: debug}\n",
			log:     configs.Log{Level: slog.LevelDebug, Levels: map[string]slog.Level{}, Keys: logbook.KeysSeed, Rotation: rotation},
			metrics: configs.Metrics{SeedNames: true, Every: time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := load(t, tt.text+jobs, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []*string{&cfg.Log.File, &cfg.Metrics.Textfile} {
				if rest, err := filepath.Rel(cfg.Root, *path); *path != "" && err == nil {
					*path = "ROOT/" + rest
				}
			}
			if diff := cmp.Diff(tt.log, cfg.Log); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.metrics, cfg.Metrics); diff != "" {
				t.Error(diff)
			}
		})
	}
}
