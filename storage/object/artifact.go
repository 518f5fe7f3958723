package object

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxManifest bounds what is read as a manifest or proof.
const maxManifest = 64 << 20

// Artifact is an artifact that exists: its manifest was read from a store. Its
// methods may be called from several goroutines at once, except for Record.
type Artifact struct {
	// Manifest is what it is.
	Manifest Manifest
	// Info describes the manifest's own object.
	Info Info
	// Proof is the outcome of the newest proof after publication; nil when
	// there was none.
	Proof *Proof

	store Store
	// whole holds the streams that were read to their end and matched.
	whole *sync.Map
}

// Proof is the outcome of proving an artifact again after its publication.
type Proof struct {
	// ID is the artifact's id.
	ID string `json:"id"`
	// Level is how far the proof went; when Damage is not empty, how far it
	// was meant to go.
	Level Level `json:"level"`
	// Time is when it ended, UTC; Seconds is how long it took.
	Time    time.Time `json:"time"`
	Seconds float64   `json:"seconds"`
	// Node is where it ran.
	Node string `json:"node"`
	// Damage says what is wrong with the artifact; empty when it is whole.
	Damage string `json:"damage,omitempty"`
	// Restored is what L3 and L4 restored; nil for a proof that did not go so
	// far.
	Restored *Restored `json:"restored,omitempty"`
}

// Restored is what was restored for a proof, and how fast.
type Restored struct {
	// AsOf is the instant of the state that came back, UTC.
	AsOf time.Time `json:"as_of"`
	// Seconds is how long it took until the content was usable, without the
	// making of its place.
	Seconds float64 `json:"seconds"`
	// Bytes is how much room it took where it was restored.
	Bytes int64 `json:"bytes"`
	// Databases, Tables, Rows and Files count what came back, as far as the
	// kind has such things.
	Databases int   `json:"databases,omitempty"`
	Tables    int   `json:"tables,omitempty"`
	Rows      int64 `json:"rows,omitempty"`
	Files     int64 `json:"files,omitempty"`
	// Server says what it was restored on, such as "PostgreSQL 15.18"; empty
	// when no server was needed.
	Server string `json:"server,omitempty"`
	// Assertions is how many demands of people it met.
	Assertions int `json:"assertions,omitempty"`
}

// Level returns the highest level proven, at publication or since. It is
// empty when the newest proof found damage.
func (a *Artifact) Level() Level {
	switch {
	case a.Proof == nil:
		return a.Manifest.Level
	case a.Proof.Damage != "":
		return ""
	case a.Proof.Level.Rank() > a.Manifest.Level.Rank():
		return a.Proof.Level
	}
	return a.Manifest.Level
}

// Dir returns the key prefix of everything that belongs to the artifact,
// without a final slash.
func (a *Artifact) Dir() string { return path.Dir(a.Info.Key) }

func (a *Artifact) key(name string) string { return a.Dir() + "/" + name }

// Load reads the artifact whose manifest stands at key. The error wraps
// ErrNotFound, ErrDamaged or ErrNewer where these apply.
func Load(ctx context.Context, store Store, key string) (*Artifact, error) {
	return load(ctx, store, key, true)
}

// load reads the manifest at key, and the proof beside it if there may be one.
func load(ctx context.Context, store Store, key string, proven bool) (*Artifact, error) {
	text, info, err := readSmall(ctx, store, key)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	m, err := DecodeManifest(text)
	if err != nil {
		return nil, fmt.Errorf("read manifest %s: %w", key, err)
	}
	if path.Base(path.Dir(key)) != m.ID {
		return nil, fmt.Errorf("read manifest %s: %w: it belongs to artifact %s", key, ErrDamaged, m.ID)
	}
	a := &Artifact{Manifest: m, Info: info, store: store, whole: new(sync.Map)}
	if proven {
		if err := a.loadProof(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func (a *Artifact) loadProof(ctx context.Context) error {
	text, _, err := readSmall(ctx, a.store, a.key(proofName))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read proof of artifact %s: %w", a.Manifest.ID, err)
	}
	var proof Proof
	if err := json.Unmarshal(text, &proof); err != nil || proof.ID != a.Manifest.ID {
		// An unreadable note about a proof proves nothing and breaks nothing.
		return nil
	}
	a.Proof = &proof
	return nil
}

// Record stores the outcome of a proof beside the manifest, in place of the
// one before. The manifest itself never changes.
func (a *Artifact) Record(ctx context.Context, proof Proof) error {
	proof.ID = a.Manifest.ID
	text, err := json.MarshalIndent(proof, "", "  ")
	if err != nil {
		return fmt.Errorf("record proof of artifact %s: %w", a.Manifest.ID, err)
	}
	if _, err := a.store.Put(ctx, a.key(proofName), strings.NewReader(string(text)), PutOptions{ContentType: "application/json", Passing: true}); err != nil {
		return fmt.Errorf("record proof of artifact %s: %w", a.Manifest.ID, err)
	}
	a.Proof = &proof
	return nil
}

// isManifest tells whether a key is that of an artifact's manifest.
func isManifest(key string) bool {
	_, err := IDTime(path.Base(path.Dir(key)))
	return err == nil && path.Base(key) == manifestName
}

// Find returns the artifact of that id; the error wraps ErrNotFound when the
// store holds none.
func Find(ctx context.Context, store Store, id string) (*Artifact, error) {
	if _, err := IDTime(id); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrNotFound)
	}
	for info, err := range store.List(ctx, "") {
		if err != nil {
			return nil, fmt.Errorf("find artifact %s: %w", id, err)
		}
		if strings.HasSuffix(info.Key, "/"+id+"/"+manifestName) {
			return Load(ctx, store, info.Key)
		}
	}
	return nil, fmt.Errorf("artifact %s: %w", id, ErrNotFound)
}

func readSmall(ctx context.Context, store Store, key string) (_ []byte, _ Info, err error) {
	r, info, err := store.Get(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	text, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return nil, Info{}, err
	}
	if len(text) > maxManifest {
		return nil, Info{}, fmt.Errorf("%w: longer than %d bytes", ErrDamaged, maxManifest)
	}
	return text, info, nil
}

// Newest returns the newest artifact under prefix whose manifest can be read,
// or nil when there is none.
func Newest(ctx context.Context, store Store, prefix string) (*Artifact, error) {
	var keys []string
	for info, err := range store.List(ctx, prefix) {
		if err != nil {
			return nil, fmt.Errorf("find the newest artifact under %q: %w", prefix, err)
		}
		if isManifest(info.Key) {
			keys = append(keys, info.Key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return cmp.Compare(path.Base(path.Dir(a)), path.Base(path.Dir(b))) })
	for _, key := range slices.Backward(keys) {
		a, err := Load(ctx, store, key)
		if err == nil {
			return a, nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewer) {
			return nil, err
		}
	}
	return nil, nil
}
