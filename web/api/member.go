package api

import "time"

// The states of a member.
const (
	MemberAlive    = "alive"
	MemberDraining = "draining" // it takes nothing new
	MemberAbsent   = "absent"
)

// Member is a node that belongs to the system, whether it is there or not.
type Member struct {
	Name    string   `json:"name"`
	State   string   `json:"state" enum:"alive,draining,absent"`
	Host    string   `json:"host" doc:"where it runs, or ran last"`
	PID     int      `json:"pid" doc:"its process there; 0 while it is absent"`
	Version string   `json:"version"`
	Labels  []string `json:"labels" nullable:"false"`
	// FirstSeen and LastSeen are by the clock of the database.
	FirstSeen  time.Time  `json:"first_seen"`
	LastSeen   time.Time  `json:"last_seen" doc:"when it was last noted that it is there, to about a minute; for an absent node since when it is away"`
	StartedAt  *time.Time `json:"started_at" doc:"by its own clock; null while it is absent"`
	LeaseUntil *time.Time `json:"lease_until" doc:"null without a lease"`
	Running    int        `json:"running" doc:"runs that it has under way; of an absent node those that nobody took over yet"`
	Config     string     `json:"config" doc:"the digest of what must be the same on all nodes; empty while it is absent"`
	ConfigPath string     `json:"config_path"`
	Drift      bool       `json:"drift" doc:"its configuration differs from that of most nodes"`
	Also       []string   `json:"also" nullable:"false" doc:"where another service calls itself the same, as HOST:PID: one of them has to have another name"`
	Web        string     `json:"web" doc:"the address of its pages; empty when they are for its own machine alone"`
}

// Filled returns the member without lists that would be null.
func (v Member) Filled() Member {
	v.Labels, v.Also = filled(v.Labels), filled(v.Also)
	return v
}

// Forgotten is a node that no longer belongs to the system.
type Forgotten struct {
	Name string `json:"name"`
}
