package api

import (
	"encoding/json"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// VerifyRequest asks for artifacts to be proven anew.
type VerifyRequest struct {
	Artifact   string       `json:"artifact,omitempty" maxLength:"300" doc:"the ID of one; with all or newest WORKFLOW[.JOB], or empty for those of every job"`
	Newest     bool         `json:"newest,omitempty" doc:"the newest artifact of each job in each store"`
	All        bool         `json:"all,omitempty" doc:"every artifact"`
	Store      string       `json:"store,omitempty" maxLength:"100" doc:"only in this store"`
	Level      object.Level `json:"level,omitempty" enum:"L1,L2" doc:"how far; by default L2, or L1 for what is encrypted while no identity is given"`
	Identities []string     `json:"identities,omitempty" maxItems:"20" doc:"age identities that decrypt, each as the text of its file; they are kept in memory, and as long as this takes"`
}

// DrillRequest asks for the proof that artifacts can be restored.
type DrillRequest struct {
	Artifact   string       `json:"artifact,omitempty" maxLength:"300" doc:"an ID, or WORKFLOW[.JOB] for the newest of each job in each store; empty for those of every job"`
	At         *time.Time   `json:"at,omitempty" doc:"the newest that was made then or before; not with an ID"`
	Store      string       `json:"store,omitempty" maxLength:"100" doc:"only in this store"`
	Level      object.Level `json:"level,omitempty" enum:"L3,L4" doc:"how far; L3 by default"`
	Database   string       `json:"database,omitempty" maxLength:"100" doc:"the configured name of a database whose server takes the scratch database; by default as the job says"`
	Assert     []string     `json:"assert,omitempty" maxItems:"50" doc:"SQL that the restored database must answer with true, or with rows, beside what the job says"`
	Identities []string     `json:"identities,omitempty" maxItems:"20" doc:"age identities that decrypt, each as the text of its file; they are kept in memory, and as long as this takes"`
	DryRun     bool         `json:"dry_run,omitempty" doc:"make the checks, say what would be done, and change nothing"`
	Keep       bool         `json:"keep,omitempty" doc:"leave what was restored where it is; for L3"`
}

// RestoreRequest asks for what an artifact holds to be put back.
type RestoreRequest struct {
	Artifact     string     `json:"artifact,omitempty" maxLength:"300" doc:"an ID, or WORKFLOW[.JOB] for its newest artifact; empty with undo"`
	To           string     `json:"to" minLength:"1" maxLength:"4096" doc:"the absolute path of a new file or directory, or the configured name of a database"`
	At           *time.Time `json:"at,omitempty" doc:"the newest that was made then or before; not with an ID"`
	Store        string     `json:"store,omitempty" maxLength:"100" doc:"from this store"`
	Only         []string   `json:"only,omitempty" maxItems:"1000" doc:"only these parts, and what is below them"`
	Identities   []string   `json:"identities,omitempty" maxItems:"20" doc:"age identities that decrypt, each as the text of its file; they are kept in memory, and as long as this takes"`
	DryRun       bool       `json:"dry_run,omitempty" doc:"make the checks, show every step, and change nothing"`
	Undo         bool       `json:"undo,omitempty" doc:"exchange the target again with what replace put aside"`
	Replace      bool       `json:"replace,omitempty" doc:"put it in the place of what is there, which is kept beside it"`
	Create       bool       `json:"create,omitempty" doc:"make the database when it does not exist"`
	Disconnect   bool       `json:"disconnect,omitempty" doc:"end the sessions of others in a database that is exchanged"`
	Jobs         int        `json:"jobs,omitempty" minimum:"0" maximum:"64" doc:"load by so many connections, not in one transaction"`
	Globals      bool       `json:"globals,omitempty" doc:"first make the roles and tablespaces of the backup that are missing"`
	NoOwner      bool       `json:"no_owner,omitempty" doc:"leave out who owns what"`
	NoPrivileges bool       `json:"no_privileges,omitempty" doc:"leave out who may do what"`
}

// PruneRequest asks what retention removes, or has it do that.
type PruneRequest struct {
	Workflow string `json:"workflow,omitempty" maxLength:"100" doc:"only of this workflow"`
	Job      string `json:"job,omitempty" maxLength:"100" doc:"only of this job of it"`
	Store    string `json:"store,omitempty" maxLength:"100" doc:"only in this store"`
	Apply    bool   `json:"apply,omitempty" doc:"remove it; else it is only said what would go"`
}

// The kinds of WorkEvent.
const (
	WorkSaid     = "said"     // Text is a line for people
	WorkStep     = "step"     // Text is what is being done now
	WorkProgress = "progress" // Text is what is being read, Bytes of Total are
	WorkDone     = "done"     // Result is what came of it, Problem what went wrong
)

// WorkEvent is one event of a stream that tells how work on artifacts goes.
type WorkEvent struct {
	Kind    string   `json:"kind" enum:"said,step,progress,done"`
	Text    string   `json:"text,omitempty" doc:"of said a line for people, of step what is being done, of progress what is being read"`
	Bytes   int64    `json:"bytes,omitempty" doc:"of progress: how much was read"`
	Total   int64    `json:"total,omitempty" doc:"of progress: of how much"`
	Result  *Worked  `json:"result,omitempty" doc:"of done: what came of it"`
	Problem *Problem `json:"problem,omitempty" doc:"of done: what went wrong, also when something came of it"`
}

// Worked is what came of work on artifacts.
type Worked struct {
	Artifacts []Backup `json:"artifacts" nullable:"false" doc:"what it was about, as it is now; of prune what any retention speaks of"`
	Empty     string   `json:"empty" doc:"why there are none"`
	Drills    []Drill  `json:"drills" nullable:"false" doc:"what was done with each artifact, in the same order; only of drill"`
	// Restored is nil for all but restore.
	Restored *Restored `json:"restored,omitempty"`
	Number   int       `json:"number" doc:"of prune: how many artifacts were removed, or would be"`
	Bytes    int64     `json:"bytes" doc:"of prune: what they took"`
	Warnings int       `json:"warnings" doc:"how much there is to know about it; a command ends with 5 then"`
}

// Drill is what a drill did with one artifact.
type Drill struct {
	Summary string `json:"summary"`
	Done    string `json:"done" doc:"what it has proven, in words; empty for nothing"`
	Damaged bool   `json:"damaged" doc:"the artifact is not what its manifest says"`
	Kept    string `json:"kept" doc:"where what was restored stays; empty when it is gone"`
}

// Restored is what a restore did, as `upkeep backup restore -o json` prints it.
type Restored struct {
	Artifact string         `json:"artifact"`
	Workflow string         `json:"workflow"`
	Job      string         `json:"job"`
	Kind     string         `json:"kind"`
	Store    string         `json:"store"`
	Created  time.Time      `json:"created,omitzero"`
	To       string         `json:"to"`
	DryRun   bool           `json:"dry_run"`
	Summary  string         `json:"summary"`
	Seconds  float64        `json:"seconds"`
	Findings []jobs.Finding `json:"findings" nullable:"false"`
	Steps    []string       `json:"steps" nullable:"false" doc:"what would be done, in a dry run"`
}

// ExplainRequest asks how a database means to run a statement.
type ExplainRequest struct {
	SQL     string  `json:"sql" minLength:"1" maxLength:"1000000" doc:"one statement"`
	Analyze bool    `json:"analyze,omitempty" doc:"run it, in a transaction that can only read and is rolled back, and measure"`
	Seconds float64 `json:"timeout_seconds,omitempty" minimum:"0" maximum:"3600" doc:"how long the statement may take; 30 by default"`
	Save    string  `json:"save,omitempty" maxLength:"100" doc:"keep the plan under this name beside the ledger of the service"`
	Diff    string  `json:"diff,omitempty" maxLength:"100" doc:"tell what changed since the plan that was kept under this name"`
}

// StatementPlan is how a database means to run a statement.
type StatementPlan struct {
	Plan       json.RawMessage `json:"plan" doc:"the plan, as upkeep db explain -o json prints it"`
	Difference json.RawMessage `json:"difference" doc:"what changed since an earlier plan; null without one"`
}
