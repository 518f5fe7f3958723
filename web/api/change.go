package api

// Topic is a part of what the API answers, of which a page wants to know that
// it changed.
type Topic string

// The topics.
const (
	TopicRuns      Topic = "runs"      // runs and attempts began, ended or were recorded
	TopicIncidents Topic = "incidents" // incidents and what people do about them
	TopicNotices   Topic = "notices"   // what is owed to channels
	TopicSilences  Topic = "silences"
	TopicChecks    Topic = "checks" // a check was answered
	TopicPauses    Topic = "pauses"
	TopicEvents    Topic = "events" // something happened to the system
	TopicArtifacts Topic = "artifacts"
	TopicConfig    Topic = "config" // another configuration is in force, or was refused
	TopicDaemon    Topic = "daemon" // drains, levels of the log
)

// Topics lists all topics.
func Topics() []Topic {
	return []Topic{TopicRuns, TopicIncidents, TopicNotices, TopicSilences, TopicChecks, TopicPauses, TopicEvents, TopicArtifacts, TopicConfig, TopicDaemon}
}

// Changes says what changed since the event before.
type Changes struct {
	Topics []Topic `json:"topics" nullable:"false" enum:"runs,incidents,notices,silences,checks,pauses,events,artifacts,config,daemon"`
}

// The kinds of events of an output.
const (
	OutputText = "output"
	OutputCut  = "cut"
	OutputEnd  = "end"
)

// OutputEvent is one event of the stream of an attempt's output. Places count
// all bytes that the attempt wrote.
type OutputEvent struct {
	Kind string `json:"kind" enum:"output,cut,end,shutdown"`
	From int64  `json:"from" doc:"the place of the first byte that the event is about"`
	Next int64  `json:"next" doc:"the place behind the last one, which is also the event's id"`
	Text string `json:"text" doc:"in output: what was written; bytes that are no UTF-8 are replaced"`
	// State is there at the end.
	State string `json:"state" doc:"in end: the state of the attempt; running when it is given back"`
}
