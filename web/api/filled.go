package api

// Filled returns the status without lists that would be null.
func (v Status) Filled() Status {
	v.Next, v.Problems = filled(v.Next), filled(v.Problems)
	return v
}

// Filled returns the node without lists that would be null.
func (v Node) Filled() Node {
	v.Labels = filled(v.Labels)
	return v
}

// Filled returns the answer without lists that would be null.
func (v Reload) Filled() Reload {
	v.Problems = filled(v.Problems)
	return v
}

// Filled returns the plan without lists that would be null.
func (v Plan) Filled() Plan {
	v.Slots = converted(v.Slots, func(s PlannedSlot) PlannedSlot {
		s.Beside = filled(s.Beside)
		return s
	})
	v.Remarks = filled(v.Remarks)
	return v
}

// Filled returns the answer without lists that would be null.
func (v Why) Filled() Why {
	v.Slots = converted(v.Slots, func(e Explained) Explained {
		e.Details, e.Hosts = filled(e.Details), filled(e.Hosts)
		return e
	})
	return v
}

// Filled returns the artifact without lists that would be null.
func (v BackupDetail) Filled() BackupDetail {
	v.Streams, v.Copies, v.Restore = filled(v.Streams), filled(v.Copies), filled(v.Restore)
	v.Reasons, v.State.Damaged = filled(v.Reasons), filled(v.State.Damaged)
	return v
}

// Filled returns the workflow without lists that would be null.
func (v WorkflowDetail) Filled() WorkflowDetail {
	v.Graph, v.Params, v.Makes = FilledGraph(v.Graph), filled(v.Params), filled(v.Makes)
	for i := range v.Params {
		v.Params[i].Values = filled(v.Params[i].Values)
	}
	return v
}

// FilledGraph returns the jobs without lists that would be null.
func FilledGraph(list []JobNode) []JobNode {
	return converted(list, func(n JobNode) JobNode {
		n.Needs, n.Locks = filled(n.Needs), filled(n.Locks)
		return n
	})
}

// Filled returns the configuration without lists that would be null.
func (v ConfigText) Filled() ConfigText {
	v.Files, v.Warnings = filled(v.Files), filled(v.Warnings)
	return v
}
