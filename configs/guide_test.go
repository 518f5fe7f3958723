package configs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs/pgping"
	"github.com/ghosteam/upkeep/jobs/redisping"
	"github.com/ghosteam/upkeep/jobs/system"
)

// What docs/coverage.md says of the shipped configuration stands in it.
func TestShipped_Guide(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("ghosteam.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]any
	if err := yaml.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	const limits = "map[crit:95% warn:80%]"
	for path, want := range map[string]string{
		// The five components of the guide's health and their limits.
		"checks.system.kind":                "system",
		"checks.system.with.cpu":            limits,
		"checks.system.with.memory":         limits,
		"checks.system.with.disk":           limits,
		"checks.database.kind":              "pgping",
		"checks.database.impact":            "outage",
		"checks.database.with.latency":      "map[crit:5s warn:1s]",
		"checks.redis.kind":                 "redisping",
		"checks.redis.with.latency":         "map[crit:1s warn:100ms]",
		"checks.mlflow.with.url":            "${env:MLFLOW_URL:-http://localhost:5000}/health",
		"checks.mlflow.with.timeout":        "5s",
		"checks.mlflow.with.expect":         "map[status:[200]]",
		"checks.api.with.url":               "${env:API_URL:-http://localhost:8081}/health",
		"checks.api.with.timeout":           "5s",
		"checks.api.with.expect":            "map[status:[200]]",
		"checks.api.with.latency":           "map[warn:200ms]",
		"checks.api.depends_on":             "[database]",
		"checks.predictions.with.method":    "POST",
		"checks.predictions.with.safe":      "true",
		"checks.predictions.with.url":       "${env:API_URL:-http://localhost:8081}/predict",
		"checks.predictions.with.expect":    "map[absent:[Traceback] status:[200]]",
		"scrape.api.url":                    "${env:API_URL:-http://localhost:8081}/metrics",
		"databases.ghosteam.url":            "${env:DATABASE_URL:-postgres:///ghosteam?host=/var/run/postgresql}",
		"databases.cache.url":               "${env:REDIS_URL:-redis://localhost:6379}",
		"checks.predictions.with.headers":   "map[Content-Type:application/json]",
		"checks.predictions.with.timeout":   "5s",
		"checks.predictions.with.body_file": "models/golden.json",

		// Troubleshooting: what looks runs by itself, what restarts is asked for.
		"workflows.memory-evidence.trigger":                        "map[check:system evidence:true for:1m is:warning value:memory_percent]",
		"workflows.high-memory.trigger":                            "map[check:system for:5m is:critical value:memory_percent]",
		"workflows.high-memory.mode":                               "approve",
		"workflows.high-memory.jobs.restart-api.with.restart":      "ghosteam-v5-api",
		"workflows.high-memory.jobs.restart-api.with.verify.check": "api",
		"workflows.high-memory.jobs.restart-mlflow.needs":          "[memory]",
		"workflows.high-memory.jobs.restart-mlflow.if":             "jobs.memory.values.memory_percent > 95",
		"workflows.high-memory.jobs.restart-mlflow.with.restart":   "mlflow-server",
		"workflows.database-evidence.trigger":                      "map[check:database evidence:true for:30s]",
		"workflows.database-unreachable.trigger":                   "map[check:database error_kind:[connect timeout] for:2m]",
		"workflows.database-unreachable.mode":                      "approve",
		"workflows.database-unreachable.jobs.restart.locks":        "[database/ghosteam]",
		"workflows.database-unreachable.jobs.restart.with.restart": "postgresql",
		"workflows.model-errors.trigger":                           "map[check:predictions evidence:true for:2m]",
		"workflows.model-errors.jobs.registry.kind":                "mlflow",
		"workflows.model-errors.jobs.registry.with.models":         "[map[golden:models/golden.json name:ghosteam]]",
		"workflows.retrain.jobs.promote.kind":                      "retrain",
		"workflows.clear-cache.jobs.purge.with.match":              "[prediction:*]",
		"workflows.clear-cache.jobs.warm-up.with.repeat":           "map[concurrency:2 count:20]",
		"workflows.clear-cache.jobs.warm-up.with.wait":             "1m",
		"workflows.indexes.jobs.build.with.indexes":                "[map[columns:[model_name created_at] name:idx_model_name table:public.predictions] map[columns:[created_at] name:idx_created_at table:public.predictions]]",
		"workflows.monthly.jobs.database-review.with.pools":        "[map[name:api processes:2 size:20]]",

		// Maintenance: every step of the guide, on the day of the guide or sooner.
		"workflows.daily.schedule":                            "map[daily:02:30]",
		"workflows.daily.jobs.health.kind":                    "health",
		"workflows.daily.jobs.backup.kind":                    "pgbackup",
		"workflows.daily.jobs.space.kind":                     "usage",
		"workflows.daily.jobs.logs.kind":                      "prune",
		"workflows.daily.jobs.logs.with.older_than":           "7d",
		"workflows.daily.jobs.certificate.kind":               "certificate",
		"workflows.daily.jobs.model-performance.with.run":     "[python3 scripts/check_model_performance.py --min-accuracy=90% --max-latency=100ms]",
		"workflows.daily.jobs.model-drift.with.run":           "[python3 scripts/check_model_drift.py --reference=data/reference.csv]",
		"workflows.weekly.schedule":                           "map[weekly:sun 03:30]",
		"workflows.weekly.jobs.packages.with.policy":          "all",
		"workflows.weekly.jobs.restart-api.with.restart":      "ghosteam-v5-api",
		"workflows.weekly.jobs.restart-mlflow.with.restart":   "mlflow-server",
		"workflows.weekly.jobs.vacuum.kind":                   "pgvacuum",
		"workflows.weekly.jobs.performance-report.with.run":   "[python3 scripts/generate_performance_report.py --out=reports]",
		"workflows.weekly.jobs.retraining.with.run":           "[python3 scripts/evaluate_retraining_needs.py --models=data/models.csv --reference=data/reference.csv]",
		"workflows.monthly.schedule":                          "map[monthly:1 04:30]",
		"workflows.monthly.jobs.archive.with.paths":           "[data models logs configs]",
		"workflows.monthly.jobs.security-updates.with.policy": "security",
		"workflows.monthly.jobs.optimization-review.with.run": "[python3 scripts/performance_optimization_review.py]",

		// The goals.
		"kpis.uptime.target":           "99.9",
		"kpis.response_time.target":    "200ms",
		"kpis.error_rate.target":       "0.1",
		"kpis.throughput.target":       "1000",
		"kpis.accuracy.target":         "90",
		"kpis.model_latency.target":    "100ms",
		"kpis.drift_detection.target":  "24h",
		"kpis.mttd.target":             "5m",
		"kpis.mttr.target":             "15m",
		"kpis.deploy_frequency.target": "100",
		"kpis.change_failure.target":   "5",
	} {
		var at any = all
		for name := range strings.SplitSeq(path, ".") {
			below, _ := at.(map[string]any)
			at = below[name]
		}
		if got := fmt.Sprint(at); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// Who writes no limits gets those of the guide.
func TestGuide_Limits(t *testing.T) {
	t.Parallel()
	host := system.Kind().Options().(*system.Options)
	for name, l := range map[string]system.Limits{"cpu": host.CPU, "memory": host.Memory, "disk": host.Disk} {
		if fmt.Sprint(l.Warn, l.Crit) != "80% 95%" {
			t.Errorf("%s: %v, %v", name, l.Warn, l.Crit)
		}
	}
	if l := pgping.Kind().Options().(*pgping.Options).Latency; l.Warn != unit.Duration(time.Second) || l.Crit != unit.Duration(5*time.Second) {
		t.Errorf("pgping: %v, %v", l.Warn, l.Crit)
	}
	if l := redisping.Kind().Options().(*redisping.Options).Latency; l.Warn != unit.Duration(100*time.Millisecond) || l.Crit != unit.Duration(time.Second) {
		t.Errorf("redisping: %v, %v", l.Warn, l.Crit)
	}
}
