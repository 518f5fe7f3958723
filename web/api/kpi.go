package api

import "time"

// KPI is one operational figure over a window.
type KPI struct {
	Name       string      `json:"name"`
	Title      string      `json:"title"`
	Target     float64     `json:"target" doc:"what is to be reached, in the unit"`
	TargetText string      `json:"target_text" doc:"the target as people read it"`
	Above      bool        `json:"above" doc:"whether more is better"`
	Unit       string      `json:"unit" enum:"share,seconds,per_minute"`
	Value      *float64    `json:"value" doc:"null when it is not known"`
	Low        *float64    `json:"low" doc:"what bounds it from below; null when nothing does"`
	High       *float64    `json:"high" doc:"what bounds it from above; null when nothing does"`
	Text       string      `json:"text" doc:"the figure as people read it"`
	Verdict    string      `json:"verdict" enum:"met,missed,insufficient data,no source"`
	N          int64       `json:"n" doc:"on how much it rests"`
	Of         string      `json:"of" doc:"what n counts"`
	Coverage   *float64    `json:"coverage" doc:"for which share of the window something is on record; null where that means nothing"`
	Source     string      `json:"source" doc:"where it comes from"`
	Why        string      `json:"why" doc:"what decided the verdict"`
	Next       string      `json:"next" doc:"what somebody can do about it"`
	More       []KPIDetail `json:"more" nullable:"false" doc:"further figures beside it"`
	Trend      []*float64  `json:"trend" nullable:"false" doc:"the figure in equal parts of the window, the earliest first; null where it is not known"`
	Rows       []KPIRow    `json:"rows" nullable:"false" doc:"what it was computed from; only when that is asked for"`
}

// KPIDetail is a further figure beside one.
type KPIDetail struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// KPIRow is one thing on record that a figure rests on.
type KPIRow struct {
	At    time.Time  `json:"at"`
	Until *time.Time `json:"until" doc:"null for what has no length"`
	What  string     `json:"what" doc:"the name of a series, an incident, a job or a deploy"`
	ID    string     `json:"id" doc:"its own on record; empty for none"`
	Text  string     `json:"text" doc:"what it adds to the figure"`
}

// KPIs are the operational figures over a window.
type KPIs struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	KPIs  []KPI     `json:"kpis" nullable:"false"`
}
