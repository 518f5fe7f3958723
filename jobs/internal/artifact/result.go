package artifact

import (
	"fmt"
	"strings"
	"time"

	"github.com/ghosteam/upkeep/jobs"
	"github.com/ghosteam/upkeep/storage/object"
)

// Describe adds to r what the publication of so many plain bytes achieved:
// values, findings and artifacts.
func (o Outcome) Describe(r *jobs.Result, plain int64) {
	r.Findings = append(r.Findings, o.Findings...)
	if r.Values == nil {
		r.Values = map[string]float64{}
	}
	r.Values["bytes"] = float64(plain)
	if o.Removed > 0 {
		r.Values["removed_artifacts"] = float64(o.Removed)
		r.Values["removed_bytes"] = float64(o.RemovedBytes)
	}
	if len(o.Copies) == 0 {
		return
	}
	var proving time.Duration
	for _, c := range o.Copies {
		proving += c.Proving
		c.describeDrill(r)
		m := c.Artifact.Manifest
		for _, s := range m.Streams {
			for _, part := range s.Parts {
				r.Artifacts = append(r.Artifacts, object.Info{
					Store: c.Store, Key: c.Artifact.Dir() + "/" + part.Name, Bytes: part.Bytes,
					SHA256: part.SHA256, Modified: m.Created,
				})
			}
		}
		manifest := c.Artifact.Info
		manifest.Store = c.Store
		r.Artifacts = append(r.Artifacts, manifest)
	}
	stored := o.Copies[0].Artifact.Manifest.Stored()
	r.Values["stored_bytes"] = float64(stored)
	r.Values["verify_seconds"] = proving.Seconds()
	if stored > 0 {
		r.Values["ratio"] = float64(plain) / float64(stored)
	}
}

// describeDrill adds what a further proof of the copy found. restore_seconds is
// that of the slowest restore.
func (c Copy) describeDrill(r *jobs.Result) {
	if c.Drilled == nil {
		return
	}
	r.Values["drill_seconds"] += c.Drilled.Seconds
	if restored := c.Drilled.Restored; restored != nil {
		r.Values["restore_seconds"] = max(r.Values["restore_seconds"], restored.Seconds)
	}
	if c.Drilled.Damage == "" {
		if r.Outputs == nil {
			r.Outputs = map[string]string{}
		}
		r.Outputs[provenOutput+c.Store] = string(c.Drilled.Level)
	}
}

// proofs says how far the copies were proven.
func (o Outcome) proofs() string {
	texts := []string{fmt.Sprintf("verified %s", o.Copies[0].Artifact.Manifest.Level)}
	for _, c := range o.Copies {
		switch {
		case c.Drilled == nil:
		case c.Drilled.Damage != "":
			texts = append(texts, "FOUND DAMAGED in "+c.Store)
		default:
			text := fmt.Sprintf("proven %s in %s", c.Drilled.Level, c.Store)
			if restored := c.Drilled.Restored; restored != nil {
				text += fmt.Sprintf(" (restored in %s)", time.Duration(restored.Seconds*float64(time.Second)).Round(100*time.Millisecond))
			}
			texts = append(texts, text)
		}
	}
	return strings.Join(texts, ", ")
}

// Sentence says where so many plain bytes went, such as "56 MB -> 12 MB zstd
// in store local, verified L2". It is empty when no store has a copy.
func (o Outcome) Sentence(plain int64) string {
	if len(o.Copies) == 0 {
		return ""
	}
	var stores []string
	for _, c := range o.Copies {
		stores = append(stores, c.Store)
	}
	m := o.Copies[0].Artifact.Manifest
	word := "store"
	if len(stores) > 1 {
		word = "stores"
	}
	text := fmt.Sprintf("%s -> %s", Bytes(plain), Bytes(m.Stored()))
	if codec := m.Streams[0].Compression; codec != "none" {
		text += " " + codec
	}
	text += fmt.Sprintf(" in %s %s, %s", word, strings.Join(stores, ", "), o.proofs())
	if o.Removed > 0 {
		text += fmt.Sprintf(", %d old removed", o.Removed)
	}
	return text
}
