package api

import "time"

// Status is how the daemon is. Its durations are seconds.
type Status struct {
	Version  string        `json:"version"`
	Node     string        `json:"node" doc:"the node's name"`
	Host     string        `json:"host"`
	PID      int           `json:"pid"`
	Since    time.Time     `json:"since" doc:"when the daemon started"`
	Config   ConfigStatus  `json:"config"`
	Web      string        `json:"web" doc:"the address of the pages and the API over TCP; empty when nothing listens there"`
	Draining bool          `json:"draining" doc:"nothing more starts"`
	Running  int           `json:"running" doc:"runs under way on this node"`
	Queued   int           `json:"queued" doc:"runs that wait"`
	Next     []NextSlot    `json:"next" nullable:"false" doc:"the coming slots, soonest first"`
	Ticker   TickerStatus  `json:"ticker"`
	Disk     DiskStatus    `json:"disk"`
	Outbox   OutboxStatus  `json:"outbox"`
	Problems []StatusCheck `json:"problems" nullable:"false" doc:"what is wrong with the daemon just now; empty when nothing is"`
}

// The states of a configuration.
const (
	ConfigOK       = "ok"
	ConfigDegraded = "degraded" // the file does not load; the last good one is in force
)

// ConfigStatus is the configuration in force.
type ConfigStatus struct {
	Path     string     `json:"path"`
	Digest   string     `json:"digest" doc:"of what is in force"`
	State    string     `json:"state" enum:"ok,degraded" doc:"degraded: the file no longer loads, and the last good one is in force"`
	Reason   string     `json:"reason" doc:"why it is degraded"`
	LoadedAt time.Time  `json:"loaded_at" doc:"when what is in force was loaded"`
	TriedAt  *time.Time `json:"tried_at" doc:"when somebody last asked for a reload"`
}

// NextSlot is a slot to come.
type NextSlot struct {
	Workflow string    `json:"workflow"`
	Slot     time.Time `json:"slot"`
}

// TickerStatus is the clock.
type TickerStatus struct {
	LastAt     *time.Time `json:"last_at" doc:"when it last looked for due slots"`
	LagSeconds float64    `json:"lag_seconds" doc:"how late the last slot was submitted"`
	Error      string     `json:"error" doc:"why the last look failed"`
}

// DiskStatus is the room where the ledger stands.
type DiskStatus struct {
	Path            string `json:"path"`
	FreeBytes       int64  `json:"free_bytes"`
	TotalBytes      int64  `json:"total_bytes"`
	BallastBytes    int64  `json:"ballast_bytes" doc:"the length of the ballast file that is kept"`
	BallastReleased bool   `json:"ballast_released" doc:"it was given up, and no run starts until there is room"`
}

// OutboxStatus is what is owed to channels.
type OutboxStatus struct {
	Pending  int        `json:"pending"`
	Dead     int        `json:"dead" doc:"given up"`
	OldestAt *time.Time `json:"oldest_at" doc:"when the oldest that is still owed was created"`
}

// StatusCheck is one thing that the daemon needs.
type StatusCheck struct {
	Name string `json:"name" doc:"one word, such as ledger, ticker, config or disk"`
	OK   bool   `json:"ok"`
	// Fatal checks make the daemon not ready, the others degraded.
	Fatal bool   `json:"fatal" doc:"the daemon cannot do its work without it"`
	Text  string `json:"text" doc:"one line, without secrets"`
}

// Health is the daemon's health in short.
type Health struct {
	Status string        `json:"status" enum:"ok,degraded,failing"`
	Checks []StatusCheck `json:"checks" nullable:"false"`
}

// Drain is how far a drain is.
type Drain struct {
	Draining bool `json:"draining" doc:"nothing more starts"`
	Idle     bool `json:"idle" doc:"nothing runs"`
	Running  int  `json:"running"`
	Queued   int  `json:"queued"`
}

// Reload is what became of a reload.
type Reload struct {
	Config  ConfigStatus `json:"config"`
	Changed bool         `json:"changed" doc:"another configuration is in force now"`
	// Problems are those of the file when it does not load, or its warnings.
	Problems []string `json:"problems" nullable:"false"`
}
