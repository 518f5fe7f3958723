package api

// CheckSetup is how a check is configured, as far as it bears on what its
// answers mean.
type CheckSetup struct {
	RetrySeconds   float64  `json:"retry_seconds" doc:"how often it is asked while it is about to change"`
	TimeoutSeconds float64  `json:"timeout_seconds" doc:"how long one answer may take"`
	FailAfter      int      `json:"fail_after" doc:"after so many bad answers in a row it counts as failed"`
	OKAfter        int      `json:"ok_after" doc:"after so many good answers in a row it counts as well again"`
	DependsOn      []string `json:"depends_on" nullable:"false" doc:"the checks whose failure explains this one's"`
	Slug           string   `json:"slug" doc:"of a heartbeat: it is told at /ping/SLUG; empty for a public one, whose slug is a secret"`
	GraceSeconds   float64  `json:"grace_seconds" doc:"of a heartbeat: how late a ping may be"`
	Limits         []Limit  `json:"limits" nullable:"false" doc:"what its values are judged against"`
}

// Limit is what one value of a check is judged against.
type Limit struct {
	Value string   `json:"value" doc:"the name of the value; it holds for all whose names go on with a dot after it, too"`
	Warn  *float64 `json:"warn" doc:"from where on it is a warning, in the unit of the value; null for no limit"`
	Crit  *float64 `json:"crit" doc:"from where on it is critical; null for no limit"`
	Below bool     `json:"below" doc:"less than the limit is bad, instead of more"`
}

// Filled returns the check without lists that would be null.
func (v Check) Filled() Check {
	v.Values, v.DependsOn, v.Limits = mapped(v.Values), filled(v.DependsOn), filled(v.Limits)
	return v
}
