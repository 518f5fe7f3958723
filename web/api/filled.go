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
		e.Details = filled(e.Details)
		return e
	})
	return v
}
