package api

import "time"

// Node is one instance that executes runs, or did until it died.
type Node struct {
	Instance string   `json:"instance" doc:"its identity as an owner of runs"`
	Name     string   `json:"name"`
	Host     string   `json:"host"`
	PID      int      `json:"pid"`
	Version  string   `json:"version"`
	Command  string   `json:"command" doc:"what was called"`
	Labels   []string `json:"labels" nullable:"false"`
	// RegisteredAt is by the node's clock, LeaseUntil by the database's.
	RegisteredAt time.Time  `json:"registered_at"`
	LeaseUntil   *time.Time `json:"lease_until" doc:"null without a lease"`
	Alive        bool       `json:"alive" doc:"whether runs that it owns are being worked on"`
}

// Nodes are the instances on record, ordered by name and registration, and the
// nodes that belong to the system, ordered by name.
type Nodes struct {
	Nodes   []Node   `json:"nodes" nullable:"false"`
	Members []Member `json:"members" nullable:"false"`
}
