// Package all is the list of kinds: one line each. A kind that is not listed
// here does not exist.
package all

import (
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/jobs/archive"
	"github.com/ghosteam/upkeep/jobs/certificate"
	"github.com/ghosteam/upkeep/jobs/health"
	"github.com/ghosteam/upkeep/jobs/http"
	"github.com/ghosteam/upkeep/jobs/mlflow"
	"github.com/ghosteam/upkeep/jobs/packages"
	"github.com/ghosteam/upkeep/jobs/pgbackup"
	"github.com/ghosteam/upkeep/jobs/pgindex"
	"github.com/ghosteam/upkeep/jobs/pgping"
	"github.com/ghosteam/upkeep/jobs/pgreview"
	"github.com/ghosteam/upkeep/jobs/pgvacuum"
	"github.com/ghosteam/upkeep/jobs/prune"
	"github.com/ghosteam/upkeep/jobs/redisping"
	"github.com/ghosteam/upkeep/jobs/redispurge"
	"github.com/ghosteam/upkeep/jobs/retrain"
	"github.com/ghosteam/upkeep/jobs/script"
	"github.com/ghosteam/upkeep/jobs/service"
	"github.com/ghosteam/upkeep/jobs/sqlitebackup"
	"github.com/ghosteam/upkeep/jobs/system"
	"github.com/ghosteam/upkeep/jobs/tcp"
	"github.com/ghosteam/upkeep/jobs/usage"
)

// Kinds returns the registry of all kinds.
func Kinds() *jobs.Registry {
	return jobs.NewRegistry(
		archive.Kind(),
		certificate.Kind(),
		health.Kind(),
		http.Kind(),
		mlflow.Kind(),
		packages.Kind(),
		pgbackup.Kind(),
		pgindex.Kind(),
		pgping.Kind(),
		pgreview.Kind(),
		pgvacuum.Kind(),
		prune.Kind(),
		redisping.Kind(),
		redispurge.Kind(),
		retrain.Kind(),
		script.Kind(),
		service.Kind(),
		sqlitebackup.Kind(),
		system.Kind(),
		tcp.Kind(),
		usage.Kind(),
	)
}
