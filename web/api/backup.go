package api

import (
	"time"

	"github.com/ghosteam/upkeep/storage/object"
)

// Backup is an artifact in a store, as `upkeep backup list -o json` lists it.
type Backup struct {
	ID         string       `json:"id" doc:"identifies the artifact in all stores; IDs sort by the time at which artifacts were begun"`
	Set        string       `json:"set" doc:"what the copies of one artifact in several stores share"`
	Workflow   string       `json:"workflow"`
	Job        string       `json:"job"`
	Kind       string       `json:"kind" doc:"the kind of the job that made it"`
	Store      string       `json:"store" doc:"the configured name of the store"`
	Run        string       `json:"run" doc:"the run that made it"`
	Node       string       `json:"node" doc:"where it was made"`
	Created    time.Time    `json:"created" doc:"when it was complete"`
	AgeSeconds float64      `json:"age_seconds"`
	Bytes      int64        `json:"bytes" doc:"what it takes in the store"`
	PlainBytes int64        `json:"plain_bytes" doc:"before compression"`
	Ratio      *float64     `json:"ratio" doc:"its bytes by those of the one before of the same job and store; null for the first"`
	Encrypted  bool         `json:"encrypted"`
	Level      object.Level `json:"level" doc:"how far it was proven, L0 to L4; empty when it is unproven or damaged"`
	ProvenAt   time.Time    `json:"proven_at"`
	Seconds    float64      `json:"proof_seconds" doc:"how long the newest proof took"`
	Damage     string       `json:"damage" doc:"what is wrong with it; empty when it is whole"`
	// What the newest proof restored; null, 0 and empty when it did not go so far.
	RestorableAsOf *time.Time `json:"restorable_as_of" doc:"the state that a drill restored; null when none did"`
	RestoreSeconds float64    `json:"restore_seconds" doc:"how long that took"`
	RestoredBytes  int64      `json:"restored_bytes"`
	RestoredRows   int64      `json:"restored_rows"`
	RestoredOn     string     `json:"restored_on" doc:"on what server"`
	Suspect        string     `json:"suspect" doc:"why it should not be trusted although it was proven; empty when nothing is odd"`
	Retention      string     `json:"retention" enum:",keep,remove,removed" doc:"what retention does with it at the next run; empty when nobody can say"`
	Reasons        []string   `json:"reasons" nullable:"false" doc:"why"`
}

// Backups is a page of artifacts, newest first.
type Backups struct {
	Artifacts []Backup `json:"artifacts" nullable:"false"`
	Next      string   `json:"next" doc:"what to give as before for the next page; empty on the last one"`
	Total     int      `json:"total" doc:"how many artifacts fit in all"`
	Bytes     int64    `json:"bytes" doc:"what they take"`
	// Stores say how old and how whole the answer is.
	Stores     []StoreState     `json:"stores" nullable:"false" doc:"the stores that were read, and when"`
	Retentions []RetentionState `json:"retentions" nullable:"false" doc:"what the retention of each job does at its next run"`
}

// StoreState is what is known of a store just now.
type StoreState struct {
	Name      string     `json:"name"`
	Kind      string     `json:"kind"`
	AsOf      *time.Time `json:"as_of" doc:"when it was last read to its end; null when it never was"`
	Reading   bool       `json:"reading" doc:"it is being read anew"`
	Error     string     `json:"error" doc:"why the last attempt to read it failed; empty when it did not"`
	Artifacts int        `json:"artifacts" doc:"how many it holds"`
	Bytes     int64      `json:"bytes" doc:"what they take"`
	Damaged   []string   `json:"damaged" nullable:"false" doc:"manifests that cannot be read, at most 20"`
}

// RetentionState is what the retention of one job does in one store.
type RetentionState struct {
	Workflow string `json:"workflow"`
	Job      string `json:"job"`
	Store    string `json:"store"`
	Active   bool   `json:"active" doc:"any rule says what to keep; without one all stay"`
	Keep     int    `json:"keep" doc:"how many artifacts stay"`
	Remove   int    `json:"remove" doc:"how many go at the next run"`
	Bytes    int64  `json:"bytes" doc:"what those take that go"`
	Held     string `json:"held" doc:"why nothing or not everything goes that the rules let go; empty when nothing is held back"`
	Error    string `json:"error" doc:"why it is not known"`
}

// BackupStream is a part of what an artifact holds.
type BackupStream struct {
	Name        string `json:"name" doc:"what its bytes would be called as a file"`
	Bytes       int64  `json:"bytes" doc:"what it takes in the store"`
	PlainBytes  int64  `json:"plain_bytes"`
	SHA256      string `json:"sha256" doc:"of the plain bytes"`
	Compression string `json:"compression" enum:"none,gzip,zstd"`
	Encrypted   bool   `json:"encrypted"`
	Parts       int    `json:"parts" doc:"of how many objects it consists"`
}

// RestoreCommand is one way to restore an artifact, for a shell.
type RestoreCommand struct {
	Title   string `json:"title" doc:"what it does, in a few words"`
	Command string `json:"command"`
	// Changes tells whether anything is different afterwards.
	Changes bool `json:"changes" doc:"it changes something; else it only shows the steps"`
}

// BackupDetail is an artifact with what it consists of and how to restore it.
type BackupDetail struct {
	Backup

	Streams []BackupStream   `json:"streams" nullable:"false"`
	Copies  []Backup         `json:"copies" nullable:"false" doc:"the copies of it in other stores"`
	Older   string           `json:"older" doc:"the ID of the one before of the same job and store; empty for the first"`
	Newer   string           `json:"newer" doc:"the ID of the next one; empty for the newest"`
	Restore []RestoreCommand `json:"restore" nullable:"false" doc:"how to restore it, the safest first; empty when this version cannot"`
	State   StoreState       `json:"store_state" doc:"the store that holds it"`
}
