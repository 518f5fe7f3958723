package configs

import (
	"time"

	"github.com/ghosteam/upkeep/alerts"
	"github.com/ghosteam/upkeep/configs/internal/decode"
	"github.com/ghosteam/upkeep/configs/internal/source"
	"github.com/ghosteam/upkeep/configs/secret"
	"github.com/ghosteam/upkeep/configs/unit"
	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/runner/retry"
)

// The structs of this file are the shape of the configuration as people write
// it. The decoder fills them, and the schema is generated from them. A key with
// the tag `later` is known and refused: nothing in this version acts on it.

const (
	defaultMaxRunning = 8
	defaultKillGrace  = 10 * time.Second
	longestKillGrace  = time.Hour

	defaultDrainTimeout = 10 * time.Minute
	longestDrainTimeout = 24 * time.Hour

	defaultBallast  = 64 << 20
	smallestBallast = 1 << 20

	defaultHistoryKeep   = 180 * 24 * time.Hour
	defaultHistoryRuns   = 10_000
	defaultHistoryBytes  = 1 << 30
	shortestHistoryKeep  = time.Hour
	smallestHistoryBytes = 1 << 20

	shortestFreshness = time.Minute
)

// defaults is the frame of an empty file.
func defaults() frame {
	return frame{
		MaxRunning: defaultMaxRunning, KillGrace: unit.Duration(defaultKillGrace), DrainTimeout: unit.Duration(defaultDrainTimeout),
		Ballast: ballastField(defaultBallast), Lease: defaultLease(), OnLeaseLoss: leaseKill,
		History: historyFile{Keep: unit.Duration(defaultHistoryKeep), Runs: defaultHistoryRuns, Bytes: defaultHistoryBytes},
		Log:     defaultLog(),
		Metrics: metricsFile{SeedNames: true, Every: unit.Duration(defaultTextfileEvery)},
		KPIs:    defaultKPIs(),
	}
}

type frame struct {
	Project      string                      `yaml:"project" doc:"The name of what is looked after; by default the name of the root folder." example:"ghosteam-v5"`
	Timezone     zone                        `yaml:"timezone" doc:"The time zone of every schedule; a workflow may name another. By default the zone of this machine." example:"Europe/Berlin"`
	Node         string                      `yaml:"node" doc:"The name of this node in the ledger; by default the name of the machine." example:"db-1"`
	Labels       labelsField                 `yaml:"labels" doc:"What this node is good for: workflows and checks may ask for nodes with a label. A list, or one text with commas between, as an environment variable holds it." example:"[db, gpu]"`
	Ledger       ledgerField                 `yaml:"ledger" doc:"Where the record of all runs is kept: sqlite:PATH, or a postgres:// URL when several nodes share the work." example:"sqlite:var/upkeep.db"`
	Root         unit.Path                   `yaml:"root" doc:"The folder at which relative paths begin; by default the folder of the configuration file." example:"/srv/ghosteam"`
	Web          webField                    `yaml:"web" doc:"The API and the pages over TCP, for this machine alone unless it says otherwise; or off."`
	MaxRunning   int                         `yaml:"max_running" range:"1,1000" doc:"How many runs may be under way at once on this node, 1 to 1000."`
	KillGrace    unit.Duration               `yaml:"kill_grace" doc:"How long a process that was asked to end may take before it is killed, up to 1h." example:"10s"`
	DrainTimeout unit.Duration               `yaml:"drain_timeout" doc:"How long a service that is asked to end waits for its runs before it interrupts them, up to 24h; they go on at the next start." example:"10m"`
	Lease        leaseFile                   `yaml:"lease" doc:"How nodes that share a ledger prove to each other that they are alive."`
	OnLeaseLoss  string                      `yaml:"on_lease_loss" enum:"kill,continue" doc:"What a node does with its runs when it could not prove in time that it is alive: kill (the default) ends them at once, because others may take them over; continue lets them go on until somebody has."`
	Ballast      ballastField                `yaml:"ballast" doc:"The size of a file beside the ledger that is given up when the disk is full, so that there is room to record how runs end; off for none."`
	History      historyFile                 `yaml:"history" doc:"How much of the past of each workflow stays on record. The limits hold together: what exceeds any of them goes."`
	Stores       decode.Named[storeField]    `yaml:"stores" doc:"Where artifacts are kept, by name."`
	Databases    decode.Named[databaseField] `yaml:"databases" doc:"The database servers that jobs work on, by name."`
	Resources    resourcesField              `yaml:"resources" doc:"Named locks that more than one job may hold, or that other tools take part in: how many at once on all nodes together, or limit and in. A lock that is not named here is for one job at a time." example:"{db-heavy: 2}"`
	Checks       decode.Named[checkField]    `yaml:"checks" doc:"Probes of the system's health, by name. Without any there is one called system, which measures this machine and alerts nobody."`
	Connectivity *connectivityFile           `yaml:"connectivity" doc:"How to find out whether the network of this machine is up, so that its own fault is not taken for one of everything else. It is asked only when a check reaches nothing."`
	Workflows    decode.Named[workflowField] `yaml:"workflows" doc:"The plans of maintenance, by name."`
	Channels     decode.Named[channelField]  `yaml:"channels" doc:"Ways to tell people that something is wrong, by name. Without any, faults are on record and in the log only."`
	Routes       []alerts.Route              `yaml:"routes" doc:"Which faults are told to which channels. The first route that matches decides; without routes every channel is told of everything."`
	Heartbeat    *heartbeatFile              `yaml:"heartbeat" doc:"Somebody outside who is told that the service is well, for as long as it is, and alerts when it no longer hears that."`
	Digest       *digestFile                 `yaml:"digest" doc:"What happened in the week, sent whether anything is wrong or not."`

	Log     logFile     `yaml:"log" doc:"What the service logs, how, and where besides standard error."`
	Metrics metricsFile `yaml:"metrics" doc:"What upkeep tells Prometheus about itself, besides at /metrics of its API."`

	Scrape decode.Named[scrapeField] `yaml:"scrape" doc:"Applications whose metrics tell figures, by name."`
	KPIs   kpisFile                  `yaml:"kpis" doc:"The operational figures: their targets, and where they come from where that is not plain."`
}

type databaseField struct {
	Kind string        `yaml:"kind" required:"true" fixed:"true" enum:"postgres,redis" doc:"The kind of server: postgres or redis." example:"postgres"`
	URL  secret.String `yaml:"url" required:"true" doc:"How to connect, as a URL: postgres://USER:PASSWORD@HOST:PORT/DATABASE, or redis://USER:PASSWORD@HOST:PORT/NUMBER (rediss:// with TLS, unix://PATH by socket)." example:"\"${env:DATABASE_URL}\""`
}

type checkField struct {
	Kind       string        `yaml:"kind" required:"true" fixed:"true" doc:"The kind of probe; or heartbeat, for something that tells upkeep that it is well." example:"system"`
	Every      unit.Duration `yaml:"every" doc:"How often it is asked, from 1s; 30s by default. Of a heartbeat, how often it must tell."`
	RetryEvery unit.Duration `yaml:"retry_every" doc:"How often it is asked while it is suspect or recovering, from 1s; 10s by default, or every when that is less."`
	FailAfter  int           `yaml:"fail_after" range:"1,100" doc:"After how many bad answers in a row it counts as failed, 1 to 100; 3 by default, 1 for a heartbeat."`
	OKAfter    int           `yaml:"ok_after" range:"1,100" doc:"After how many good answers in a row it counts as well again, 1 to 100; 2 by default, 1 for a heartbeat."`
	Impact     string        `yaml:"impact" enum:"outage,degraded,none" doc:"What its failure means for users: outage, degraded (the default), or none, and then it is a warning at most."`
	Timeout    unit.Duration `yaml:"timeout" doc:"How long one answer may take before the probe is left behind; by default 1s longer than the probe's own timeout, and at least 10s."`
	DependsOn  unit.Names    `yaml:"depends_on" fixed:"true" doc:"Checks whose failure explains this one's: people are told of those instead." example:"[database]"`
	RunsOn     *runsOn       `yaml:"runs_on" doc:"Which nodes ask it: any (the default) and {label: L} for one at a time, or every and {every: {label: L}} for each with a state of its own, which is called NAME@NODE."`
	Alert      checkAlert    `yaml:"alert" doc:"Who is told when it fails, where that differs from the routes."`
	With       *source.Node  `yaml:"with" doc:"The options of its kind."`
}

type connectivityFile struct {
	TCP     []string      `yaml:"tcp" required:"true" doc:"Addresses outside, HOST:PORT; one that accepts a connection proves that the network of this machine is up." example:"[\"1.1.1.1:53\"]"`
	OnFail  string        `yaml:"on_fail" enum:"unknown" doc:"What answers count as that say that something cannot be reached while none of them can be either: unknown."`
	Timeout unit.Duration `yaml:"timeout" doc:"How long an attempt may take; 3s by default." example:"3s"`
}

type workflowFile struct {
	Description   string                  `yaml:"description" doc:"What it is for, in one line."`
	Schedule      *scheduleFile           `yaml:"schedule" doc:"When it is due; without one it runs only when somebody asks."`
	Timezone      *zone                   `yaml:"timezone" doc:"The time zone of its schedule and window." example:"Europe/Berlin"`
	DST           string                  `yaml:"dst" enum:"once,skip,both" doc:"What a change of the clock does to times that are missing or occur twice: once (the default) runs exactly once, skip leaves missing ones out, both runs doubled ones twice."`
	Jitter        unit.Duration           `yaml:"jitter" doc:"The most by which a start is delayed at random; the slot stays."`
	CatchUp       *catchUpFile            `yaml:"catch_up" doc:"What happens to slots that passed while nothing ran."`
	Overlap       string                  `yaml:"overlap" enum:"skip,queue,allow" doc:"What happens when it is due while it still runs: skip (the default), queue or allow."`
	StartDeadline unit.Duration           `yaml:"start_deadline" doc:"How late a slot may be and still count as on time: 1m by default, and 15m where runs_on names some nodes or every one, or as long as the schedule's interval if that is shorter. A run that none of those nodes has begun by then is missed."`
	Window        *windowFile             `yaml:"window" doc:"When its runs may start."`
	Timeout       unit.Duration           `yaml:"timeout" doc:"The most time for the whole run; none by default." example:"4h"`
	Parallel      int                     `yaml:"parallel" range:"1,256" doc:"How many of its jobs may run at once, 1 to 256; by default the number of processors."`
	FreshWithin   unit.Duration           `yaml:"fresh_within" doc:"The longest time without a success before that is a fault, whatever the cause, from 1m." example:"26h"`
	Alert         alertFile               `yaml:"alert" doc:"Who is told when it fails, is lost, misses its slot or is not fresh, where that differs from the routes."`
	Mode          modeField               `yaml:"mode" doc:"Whether runs that its schedule or its check starts begin by themselves: auto (the default), or approve, so that each waits until somebody approves it, or, with a trigger, observe: a dry run shows what it would do."`
	Trigger       *triggerFile            `yaml:"trigger" doc:"The check that starts it, which makes it a runbook; it has no schedule then."`
	Limits        *limitsFile             `yaml:"limits" doc:"How often its check may start it."`
	History       historyFile             `yaml:"history" doc:"How much of its past stays on record, where that differs from history: at the top."`
	RunsOn        *runsOn                 `yaml:"runs_on" doc:"Which node runs it: any (the default), every, {label: L} or {every: {label: L}}."`
	Params        decode.Named[paramFile] `yaml:"params" doc:"Values that may differ from run to run, by name; a job uses them as ${param:NAME}."`
	Jobs          jobsField               `yaml:"jobs" required:"true" doc:"Its jobs, by name." example:"{health: {kind: health}}"`
}

type alertFile struct {
	Severity jobs.Severity `yaml:"severity" enum:"critical,warning" doc:"How grave its faults are: critical (the default) or warning."`
	To       unit.Names    `yaml:"to" doc:"The channels that are told, in place of what the routes say." example:"[ops]"`
	Off      bool          `yaml:"off" doc:"Tell nobody; its faults are still on record."`
	After    int           `yaml:"after" range:"1,100" doc:"After how many failed runs in a row people are told, 1 to 100; at once by default." example:"2"`
}

type checkAlert struct {
	Severity jobs.Severity `yaml:"severity" enum:"critical,warning" doc:"How grave its faults are at most: critical (the default) or warning."`
	To       unit.Names    `yaml:"to" doc:"The channels that are told, in place of what the routes say." example:"[ops]"`
	Off      bool          `yaml:"off" doc:"Tell nobody; its faults are still on record."`
}

type historyFile struct {
	Keep  unit.Duration `yaml:"keep" doc:"For how long a run stays on record, from 1h. What catch_up looks back at stays longer if need be." example:"180d"`
	Runs  int           `yaml:"runs" range:"1,100000000" doc:"The most runs of one workflow that stay on record."`
	Bytes unit.Size     `yaml:"bytes" doc:"The most room that the output of one workflow's runs takes, from 1MiB." example:"1GiB"`
}

type scheduleFile struct {
	Daily   string        `yaml:"daily" doc:"Times of every day." example:"\"02:30\""`
	Weekly  string        `yaml:"weekly" doc:"Days of the week and times." example:"\"sun 03:30\""`
	Monthly string        `yaml:"monthly" doc:"Days of the month and times; -1 is the last day." example:"\"1 04:30\""`
	Every   unit.Duration `yaml:"every" doc:"An interval from 1s; its slots are the multiples since 1970-01-01 UTC." example:"5m"`
	Cron    string        `yaml:"cron" doc:"A line of five or six fields as for cron." example:"\"10 3 * * 1-5\""`
}

type catchUpFile struct {
	Run    string        `yaml:"run" required:"true" enum:"none,last,all" doc:"Which missed slots still run: none, last or all." example:"last"`
	Within unit.Duration `yaml:"within" doc:"How late a slot may be and still be caught up; any time by default." example:"12h"`
	Max    int           `yaml:"max" range:"1,1000" doc:"With run: all, the most slots that run, 1 to 1000."`
}

type windowFile struct {
	Allow    []string `yaml:"allow" doc:"When runs may start." example:"[\"mon-fri 22:00-05:00\"]"`
	Blackout []string `yaml:"blackout" doc:"When runs may not start; it wins over allow." example:"[\"12-24..01-02\"]"`
	OnClose  string   `yaml:"on_close" enum:"warn,stop" doc:"What happens to what still runs when the window closes: warn (the default) or stop."`
	// Quiet are patterns of doublestar.
	Quiet unit.Names `yaml:"quiet" doc:"Checks whose faults nobody is told of while the window is open; * ? [a-z] and {a,b} are understood. What still lasts at its close is told then." example:"[api]"`
}

type paramFile struct {
	Description string   `yaml:"description" doc:"What it is for, in one line."`
	Type        string   `yaml:"type" enum:"string,int,bool,enum" doc:"The type of its values: string (the default), int, bool or enum."`
	Values      []string `yaml:"values" doc:"With type: enum, the words that are allowed." example:"[fast, full]"`
	Default     *string  `yaml:"default" doc:"The value when none is given."`
	Required    bool     `yaml:"required" doc:"Whether a value must be given; a workflow with a schedule cannot ask for one."`
	Pattern     string   `yaml:"pattern" doc:"With type: string, a regular expression (RE2) that the whole value must match." example:"\"[a-z-]+\""`
}

type jobFile struct {
	Kind            string        `yaml:"kind" required:"true" fixed:"true" doc:"The kind of job." example:"script"`
	Description     string        `yaml:"description" doc:"What it is for, in one line."`
	Needs           unit.Names    `yaml:"needs" fixed:"true" doc:"The jobs of this workflow that must have ended before it starts."`
	When            string        `yaml:"when" enum:"success,failure,always" doc:"Whether it starts, given how those ended: success (the default), failure or always."`
	If              string        `yaml:"if" fixed:"true" doc:"An expression over earlier results that must be true for it to start." example:"jobs.usage.values.logs_bytes > 1e9"`
	ContinueOnError bool          `yaml:"continue_on_error" doc:"Whether its failure is only a warning for the run."`
	FailOn          string        `yaml:"fail_on" enum:"warning,critical" doc:"The severity of findings from which it fails; by default findings only warn."`
	Timeout         unit.Duration `yaml:"timeout" doc:"The most time for one attempt; none by default." example:"30m"`
	Retry           *retryFile    `yaml:"retry" doc:"Whether a failed attempt is followed by another."`
	OnCrash         string        `yaml:"on_crash" enum:"restart,never" doc:"What happens when upkeep dies while it runs: restart (the default) or never."`
	Locks           []string      `yaml:"locks" doc:"Names of locks that it holds while it runs, shared with all workflows." example:"[database/main]"`
	Quiets          unit.Names    `yaml:"quiets" fixed:"true" doc:"Checks that it makes fail: nobody is told of their faults while it runs, for 30m at most, and until 2m after its end; * ? [a-z] and {a,b} are understood. What still lasts is told then." example:"[api]"`
	With            *source.Node  `yaml:"with" doc:"The options of its kind."`
}

type retryFile struct {
	Max         int           `yaml:"max" required:"true" range:"0,100" doc:"How many attempts may follow the first, 0 to 100." example:"2"`
	Backoff     retry.Backoff `yaml:"backoff" doc:"The wait before the next attempt: the first and the longest. By default 1s..1m." example:"1m..10m"`
	OnExitCodes []int         `yaml:"on_exit_codes" range:"1,255" doc:"Only after these exit codes of a process, 1 to 255; by default after every error." example:"[75]"`
}
