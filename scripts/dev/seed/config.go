package seed

import (
	"fmt"
	"strings"
	"time"
)

// emptyConfig is a configuration of a first day. Its only schedule is far away
// most of the year, and does nothing.
const emptyConfig = `project: fresh
node: db-1
timezone: UTC
ballast: off
web: {web}
workflows:
  first:
    description: The first workflow
    jobs:
      hello: {kind: script, with: {run: "echo hello"}}
`

// usualConfig is the configuration of Usual, with the times of schedules at
// which nothing is due within hours of now.
func usualConfig(o Options) string {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		zone = time.UTC
	}
	now := o.Now.In(zone)
	hour := 2
	if now.Hour() >= 1 && now.Hour() < 6 {
		hour = 14
	}
	// The last weekly slot was two days ago, the last monthly one nine.
	day := strings.ToLower(now.AddDate(0, 0, -2).Weekday().String()[:3])
	return strings.NewReplacer(
		"{web}", o.Web, "{target}", o.Target,
		"{daily}", fmt.Sprintf("%02d:30", hour), "{weekly}", fmt.Sprintf("%s %02d:30", day, hour+1),
		"{monthly}", fmt.Sprintf("%d %02d:30", min(now.AddDate(0, 0, -9).Day(), 28), hour+2),
		"{six}", fmt.Sprintf("%d %s * * *", now.Minute(), everySix((now.Hour()+5)%6)),
	).Replace(usualText)
}

// everySix lists the hours of a day that are six apart.
func everySix(first int) string {
	return fmt.Sprintf("%d,%d,%d,%d", first, first+6, first+12, first+18)
}

const usualText = `project: ghosteam-v5
node: db-1
timezone: Europe/Berlin
ballast: off
ledger: sqlite:var/upkeep.db
web: {web}
stores:
  local: {kind: local, path: backups}
databases:
  ghosteam: {kind: postgres, url: "postgres:///ghosteam?host=/var/run/postgresql"}
checks:
  database: {kind: http, every: 15s, fail_after: 2, impact: outage, with: {url: "{target}/database"}}
  api: {kind: http, every: 15s, fail_after: 2, impact: outage, depends_on: [database], with: {url: "{target}/api"}}
  redis: {kind: http, every: 15s, fail_after: 2, impact: degraded, with: {url: "{target}/redis"}}
  mlflow: {kind: http, every: 15s, fail_after: 2, impact: degraded, with: {url: "{target}/mlflow"}}
  predictions: {kind: http, every: 15s, fail_after: 2, impact: degraded, with: {url: "{target}/predictions"}}
kpis:
  window: 30d
  uptime: {target: 99.9, planned: [weekly, monthly]}
  deploy_frequency: {target: 4}
  mttr: {target: 1h}
channels:
  ops: {kind: webhook, url: "{target}/alerts"}
  pager: {kind: webhook, url: "{target}/pager"}
routes:
  - {match: {severity: critical}, to: [pager, ops]}
  - {to: [ops]}
workflows:
  daily:
    description: Health, backup of the database, disk space, log files, how the models do.
    schedule: {daily: "{daily}"}
    jitter: 5m
    catch_up: {run: last, within: 12h}
    timeout: 4h
    fresh_within: 26h
    jobs:
      health: {kind: health}
      backup: {kind: pgbackup, timeout: 3h, retry: {max: 2, backoff: 1m..10m}, with: {database: ghosteam, store: local, keep: {daily: 7, weekly: 4, monthly: 12}, verify: {each: L2, weekly: L3}}}
      space: {kind: usage, with: {paths: [{path: ., warn: 5GiB, crit: 20GiB}]}}
      logs: {kind: prune, needs: [backup], with: {root: logs, match: ["*.log"], older_than: 7d}}
      model-performance: {kind: script, needs: [health], with: {run: [python3, scripts/check_model_performance.py], result: json}}
      model-drift: {kind: script, needs: [model-performance], with: {run: [python3, scripts/check_model_drift.py], result: json}}
  weekly:
    description: Packages, restarts, database maintenance, performance report.
    schedule: {weekly: "{weekly}"}
    catch_up: {run: last, within: 2h}
    timeout: 6h
    fresh_within: 10d
    alert: {severity: warning}
    jobs:
      packages: {kind: script, with: {run: [apt-get, -y, upgrade]}}
      restart-api: {kind: script, needs: [packages], with: {run: [systemctl, restart, ghosteam-v5-api]}}
      vacuum: {kind: pgvacuum, needs: [restart-api], when: always, with: {database: ghosteam}}
      performance-report: {kind: script, needs: [vacuum], with: {run: [python3, scripts/generate_performance_report.py]}}
  monthly:
    description: The archive of the month, and whether it can be restored.
    schedule: {monthly: "{monthly}"}
    catch_up: {run: last, within: 2d}
    fresh_within: 40d
    jobs:
      archive: {kind: script, with: {run: [tar, -cf, archive.tar, data]}}
      restore: {kind: script, needs: [archive], with: {run: [tar, -tf, archive.tar]}}
  offsite:
    description: Copies what is new to the other data center, four times a day.
    schedule: {cron: "{six}"}
    catch_up: {run: last, within: 6h}
    fresh_within: 13h
    jobs:
      copy: {kind: script, with: {run: [rsync, -a, backups/, "offsite:"]}}
  reindex:
    description: Builds the indexes anew that have grown.
    schedule: {daily: "{daily}"}
    catch_up: {run: none}
    jobs:
      reindex: {kind: script, with: {run: [reindexdb, ghosteam]}}
  high-memory:
    description: Restarts the API when its memory runs full.
    trigger: {check: api, is: critical, for: 5m}
    mode: approve
    limits: {cooldown: 30m, max: 2/24h}
    jobs:
      restart: {kind: script, with: {run: [systemctl, restart, ghosteam-v5-api]}}
  snapshot:
    description: Saves the files of the models.
    jobs:
      models: {kind: archive, with: {paths: [models], store: local, keep: {last: 5}}}
  import:
    description: Takes the file of a partner in.
    params:
      partner: {type: string, default: acme}
    jobs:
      fetch:
        kind: script
        with:
          env: {PARTNER: "${param:partner}"}
          run: |
            i=0
            while [ ! -e release ]; do
              i=$((i+1)); echo "fetch: block $i of $PARTNER"; sleep 0.2
              [ $i -lt 3000 ] || exit 9
            done
            echo "fetch: all of it"
      load:
        kind: script
        needs: [fetch]
        with: {run: "if [ -e broken ]; then echo 'load: the file is cut off' >&2; exit 3; fi; echo 'load: 1200 rows'"}
`
